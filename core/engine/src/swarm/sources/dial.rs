//! Connections to the servers of sources.
//!
//! Names are looked up here, their addresses are checked, and only those that passed are dialled. So
//! it is for each redirect, by the class of the address that sent it.

use crate::discovery::web::{NotGot, Terms, addresses, literal, permissions, permitted, race};
use crate::network::{Network, certificate_trouble};
use crate::swarm::pushes::Given;
use parking_lot::Mutex;
use playswarm_logic::sources::End;
use playswarm_proto::AddressClass;
use playswarm_proto::address_class::is_local_name;
use playswarm_proto::gnutella::Target;
use playswarm_proto::http_range::Conversation;
use playswarm_proto::printable;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use url::Url;

/// Longest time to connect to one address.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest time for the handshake of TLS.
const SECURE: Duration = Duration::from_secs(10);
/// Most addresses of a source that are remembered. Its redirects may lead to many.
const MAX_ANSWERED: usize = 64;

/// Both directions of a connection.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection to a server.
pub(super) struct Wire {
    pub(super) io: Box<dyn Io>,
    pub(super) talk: Conversation,
    pub(super) addr: SocketAddr,
    /// Class of the address, by which redirects are checked.
    pub(super) class: AddressClass,
    /// Time in which it was established, if that is a round trip.
    pub(super) rtt: Option<Duration>,
    /// Number of complete answers since it was idle.
    pub(super) answers: u32,
    /// Whether the last answer had bytes of the file. A servent is asked for more only then.
    pub(super) serves: bool,
    /// Scheme, host and port.
    server: (String, String, u16),
}

impl Wire {
    /// Returns the connection that the servent of a URL made to us.
    pub(super) fn given(given: Given, url: &Url) -> Option<Wire> {
        Some(Wire {
            class: AddressClass::of(given.remote.ip()),
            io: Box::new(given.stream),
            talk: Conversation::new(),
            addr: given.remote,
            rtt: None,
            answers: 0,
            serves: false,
            server: server(url)?,
        })
    }

    /// Returns whether it leads to the server of a URL.
    pub(super) fn leads_to(&self, url: &Url) -> bool {
        server(url).is_some_and(|server| server == self.server)
    }
}

/// Returns a short description of a failed connection.
pub(super) fn why_io(e: &std::io::Error) -> String {
    printable::line(&e.to_string()).into_owned()
}

/// Returns whether both URLs lead to one server.
pub(super) fn is_same_server(one: &Url, other: &Url) -> bool {
    server(one) == server(other)
}

fn server(url: &Url) -> Option<(String, String, u16)> {
    Some((url.scheme().to_owned(), url.host_str()?.to_owned(), url.port_or_known_default()?))
}

/// The addresses at which servers of a source answered.
#[derive(Default)]
pub(super) struct Answered(Mutex<BTreeSet<SocketAddr>>);

impl Answered {
    /// Notes that a web server answered at an address.
    pub(super) fn note(&self, addr: SocketAddr) {
        let mut all = self.0.lock();
        if all.len() < MAX_ANSWERED {
            all.insert(addr);
        }
    }

    /// Waits until an address may be dialled. Where a server answered, it may at once.
    async fn permit(&self, network: &Network, addr: SocketAddr) -> std::io::Result<()> {
        let is_known = self.0.lock().contains(&addr);
        if is_known { network.permit_again(addr) } else { network.permit_dial(addr).await }
    }
}

/// Connects to the server of a URL. `named_by` is the class of the address that named it, and
/// `is_typed` says that the user typed it.
///
/// # Errors
///
/// The reason, with what it means for the source.
pub(super) async fn dial(
    network: &Network,
    url: &Url,
    named_by: AddressClass,
    is_typed: bool,
    answered: &Answered,
) -> Result<Wire, End> {
    let server = server(url).ok_or_else(|| End::Useless("its URL has no host; check the address".to_owned()))?;
    let (targets, class) = targets(network, url, named_by, is_typed).await?;
    if let (Some(_), [addr]) = (Target::of_url(url), &targets[..]) {
        let many = |wait| End::Held("the servent was connected often of late".to_owned(), wait);
        network.permit_servent(*addr).map_err(many)?;
    }
    let connect = |addr: SocketAddr| async move {
        let failed = |e: &std::io::Error| format!("the server cannot be reached: {}", why_io(e));
        answered.permit(network, addr).await.map_err(|e| failed(&e))?;
        let dialled = async {
            let began = Instant::now();
            let stream = network.connect(addr).await?;
            stream.set_nodelay(true)?;
            Ok::<_, std::io::Error>((stream, addr, began.elapsed()))
        };
        match tokio::time::timeout(CONNECT, dialled).await {
            Ok(dialled) => dialled.map_err(|e| failed(&e)),
            Err(_) => Err(format!("the server did not answer within {} s", CONNECT.as_secs())),
        }
    };
    let (stream, addr, took) = race(targets, connect).await.map_err(End::Failed)?;
    let io = match url.scheme() {
        "https" => secure(network, stream, &server.1).await.map_err(End::Failed)?,
        _ => Box::new(stream) as Box<dyn Io>,
    };
    Ok(Wire {
        io,
        talk: Conversation::new(),
        addr,
        class: class.unwrap_or_else(|| AddressClass::of(addr.ip())),
        rtt: (!network.is_proxied()).then_some(took),
        answers: 0,
        serves: false,
        server,
    })
}

async fn secure(network: &Network, stream: TcpStream, host: &str) -> Result<Box<dyn Io>, String> {
    match tokio::time::timeout(SECURE, network.secure(stream, host)).await {
        Ok(Ok(stream)) => Ok(Box::new(stream)),
        Ok(Err(e)) => {
            let cause = e.to_string();
            Err(certificate_trouble(&cause, true).unwrap_or_else(|| format!("https failed: {}", why_io(&e))))
        }
        Err(_) => Err(format!("the server did not begin https within {} s", SECURE.as_secs())),
    }
}

/// Returns the addresses to be dialled. With them, the class of the server where only the proxy
/// knows its address.
async fn targets(
    network: &Network,
    url: &Url,
    named_by: AddressClass,
    is_typed: bool,
) -> Result<(Vec<SocketAddr>, Option<AddressClass>), End> {
    let (host, port) = (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default());
    let named_by = permissions(url, named_by, is_typed).map_err(End::Useless)?;
    if network.is_proxied() && literal(url).is_none() {
        if is_local_name(host) && named_by != AddressClass::Loopback {
            let why = "its name is one of a local network, which sources from outside must not name";
            return Err(End::Useless(why.to_owned()));
        }
        let stand_in =
            network.stand_in(host, port).ok_or_else(|| End::Useless("there are too many names".to_owned()))?;
        return Ok((vec![stand_in], Some(AddressClass::Global)));
    }
    let terms = Terms { named_by, announce_only: false, family: None, timeout: CONNECT, max_bytes: 0 };
    let found = addresses(url, port, network).await.map_err(End::Failed)?;
    match permitted(&found, &terms, url.path(), network) {
        Ok(addresses) => Ok((addresses, None)),
        Err(NotGot::Failed(why)) => Err(End::Useless(why)),
        Err(NotGot::NoSuchFamily) => Err(End::Failed("its host name has no address".to_owned())),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::Config;
    use AddressClass::{Global, Loopback};
    use futures_util::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_stranger_leads_neither_to_this_machine_nor_to_the_port_of_another_service() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let network = Network::open();
        let here = format!("http://127.0.0.1:{port}/film.mkv");
        let refused = [
            (here.clone(), Global, false, "local network"),
            (format!("http://[::ffff:7f00:1]:{port}/film.mkv"), Global, false, "local network"),
            (format!("http://localhost:{port}/film.mkv"), Global, false, "local network"),
            // A torrent that the user opened may name a local server, but may not command it.
            (format!("{here}?restart=1"), Loopback, false, "local network"),
            ("http://127.0.0.1:25/film.mkv".to_owned(), Loopback, false, "another service"),
        ];
        for (url, named_by, is_typed, says) in refused {
            match dial(&network, &url.parse().unwrap(), named_by, is_typed, &Answered::default()).await {
                Err(End::Useless(why)) => assert!(why.contains(says), "{url}: {why}"),
                Err(other) => panic!("{url}: {other:?}"),
                Ok(_) => panic!("{url} was dialled"),
            }
        }
        for (url, is_typed) in [(here.clone(), false), (format!("{here}?token=1"), true)] {
            let (url, answered) = (url.parse().unwrap(), Answered::default());
            let wire = dial(&network, &url, Loopback, is_typed, &answered).await.unwrap();
            assert_eq!((wire.class, wire.addr.port()), (Loopback, port));
            let (_, from) = listener.accept().await.unwrap();
            assert!(from.ip().is_loopback(), "the refused ones made no connection before");
        }
    }

    /// Starts a proxy that connects its clients to nothing, so that a name is an address of the
    /// Internet here.
    async fn proxy() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let _ = client.read(&mut [0; 4096]).await;
                let _ = client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            }
        });
        addr
    }

    #[tokio::test]
    async fn a_server_that_answered_is_dialled_as_often_as_it_closes_and_others_are_not() {
        let proxy = format!("http://{}", proxy().await).parse().unwrap();
        let network = Network::new(&Config { proxy: Some(proxy), ..Config::offline(".") }).await.unwrap();
        let (url, answered) = ("http://h.example/film.mkv".parse().unwrap(), Answered::default());
        for _ in 0..30 {
            let wire = dial(&network, &url, Global, false, &answered).await.unwrap();
            assert_eq!(AddressClass::of(wire.addr.ip()), Global);
            answered.note(wire.addr);
        }
        // Only the first one cost something.
        let addr = network.stand_in("h.example", 80).unwrap();
        assert!((0..9).all(|_| network.permit_dial(addr).now_or_never().is_some_and(|permit| permit.is_ok())));
        // A server that never answered has used up the budget by now.
        assert!((0..9).any(|_| network.permit_dial(addr).now_or_never().is_none_or(|permit| permit.is_err())));
    }
}
