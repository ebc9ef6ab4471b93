//! HTTP requests to places that strangers name: trackers, torrent files, and where those redirect to.
//!
//! Names are looked up here, the addresses are checked ([`AddressClass::may_name`]), and the connection goes to just an address
//! that passed: no second lookup can lead it elsewhere. Each redirect is checked against the host that sent it. So nothing
//! from the Internet makes us ask a service of this machine or its networks. The exception are trackers that a torrent of the
//! user's names there: they are asked at `/announce` alone.
//!
//! Several addresses of a name are tried one beside the other, so that a dead one costs a moment only. A request that goes
//! through the user's HTTP proxy is the proxy's to resolve.

use super::{inflate, source};
use crate::printable;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hyper_util::client::proxy::matcher::Matcher;
use playswarm_proto::AddressClass;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_ENCODING, LOCATION, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use url::{Host, Url};

/// Redirects that are followed.
pub(crate) const MAX_REDIRECTS: usize = 5;
/// Longest lookup of a name.
const LOOKUP: Duration = Duration::from_secs(10);
/// Silence of one address after which the next is tried too.
const STAGGER: Duration = Duration::from_secs(1);
/// Longest attempt to connect to one address.
const CONNECT: Duration = Duration::from_secs(10);
/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 8;
/// Header fields of an answer. Some trackers behind proxies send more than hyper's 100.
const MAX_HEADERS: usize = 1000;
/// Only a local tracker's path that begins so is asked for.
const ANNOUNCE: &str = "/announce";

/// Whether this machine was found to have no CA certificates.
static NO_CERTIFICATES: AtomicBool = AtomicBool::new(false);

tokio::task_local! {
    /// The one address that this request's connection may go to, and its host.
    static PINNED: (String, SocketAddr);
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

/// What a request may do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// The class of the address that named the URL; [`AddressClass::Loopback`] for the user.
    pub(crate) named_by: AddressClass,
    /// Whether hosts of local networks are asked at [`ANNOUNCE`] only.
    pub(crate) announce_only: bool,
    /// Only over this family.
    pub(crate) family: Option<Family>,
    /// Longest time for all of it.
    pub(crate) timeout: Duration,
    /// Longest body.
    pub(crate) max_bytes: usize,
}

/// An answer.
#[derive(Debug)]
pub(crate) enum Got {
    /// A body, unpacked, whatever its status.
    Body {
        status: StatusCode,
        /// Pause that it asks for before the next request (RFC 9110, in seconds alone).
        retry_after: Option<Duration>,
        body: Bytes,
        /// The class of the address that gave it.
        from: AddressClass,
    },
    /// A redirect to a URL that is not HTTP's.
    Elsewhere {
        url: String,
        /// The class of the address that named it.
        from: AddressClass,
    },
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotGot {
    /// The host has no address of that family.
    NoSuchFamily,
    /// A sentence without secrets.
    Failed(String),
}

impl From<String> for NotGot {
    fn from(why: String) -> NotGot {
        NotGot::Failed(why)
    }
}

/// A session's HTTP clients. Each is made when it is first needed.
pub(crate) struct Web {
    /// By `https`, and by whether a proxy is used.
    clients: [[OnceLock<Client>; 2]; 2],
    proxies: Matcher,
}

/// Where a request goes.
enum Way {
    Direct(Vec<SocketAddr>),
    Proxy,
}

impl Web {
    pub(crate) fn new() -> Web {
        if let Err(e) = Client::builder().build() {
            tracing::info!("no CA certificates, so no https: {e:?}");
            NO_CERTIFICATES.store(true, Ordering::Relaxed);
        }
        Web { clients: Default::default(), proxies: Matcher::from_system() }
    }

    /// Whether this machine has CA certificates.
    pub(crate) fn has_certificates(&self) -> bool {
        !NO_CERTIFICATES.load(Ordering::Relaxed)
    }

    /// Whether requests for this URL go through a proxy: then families and addresses are not ours to choose.
    pub(crate) fn is_proxied(&self, url: &Url) -> bool {
        url.as_str().parse().is_ok_and(|uri: http::Uri| self.proxies.intercept(&uri).is_some())
    }

    /// Gets what is at an `http` or `https` URL, also if it is an error page.
    ///
    /// # Errors
    /// Why nothing came, or why it was not asked for.
    pub(crate) async fn get(&self, url: Url, terms: Terms) -> Result<Got, NotGot> {
        match tokio::time::timeout(terms.timeout, self.follow(url, terms)).await {
            Ok(done) => done,
            Err(_) => Err(NotGot::Failed("no answer in time".into())),
        }
    }

    async fn follow(&self, mut url: Url, mut terms: Terms) -> Result<Got, NotGot> {
        for _ in 0..=MAX_REDIRECTS {
            let (response, from) = self.one(&url, &terms).await?;
            let location = response.headers().get(LOCATION).filter(|_| is_redirect(response.status()));
            let Some(location) = location else {
                let (status, asked) = (response.status(), response.headers().get(RETRY_AFTER));
                let seconds = asked.and_then(|v| v.to_str().ok()).and_then(|v| v.trim().parse().ok());
                let retry_after = seconds.map(Duration::from_secs);
                return Ok(Got::Body { status, retry_after, body: read(response, terms.max_bytes).await?, from });
            };
            // Not always ASCII, whatever the rules say.
            let location = String::from_utf8_lossy(location.as_bytes()).trim().to_owned();
            // Before it is taken for a URL: `magnet%3A%3Fxt=` would be a path.
            if source::is_magnet(&location) {
                return Ok(Got::Elsewhere { url: location, from });
            }
            url = url.join(&location).map_err(|_| "it redirects to what is no URL".to_owned())?;
            if !matches!(url.scheme(), "http" | "https") {
                // As it was written: the link's own rules for escapes are not those of URLs.
                return Ok(Got::Elsewhere { url: location, from });
            }
            // A local host that redirects to itself or a neighbour was reached by right.
            terms = Terms { named_by: from, announce_only: false, ..terms };
        }
        Err(NotGot::Failed(format!("it was redirected more than {MAX_REDIRECTS} times")))
    }

    /// One request, and the class of the address that answered.
    async fn one(&self, url: &Url, terms: &Terms) -> Result<(Response, AddressClass), NotGot> {
        let secure = url.scheme() == "https";
        match self.way(url, terms).await? {
            Way::Proxy => {
                let response = self.client(secure, true)?.get(url.clone()).send().await.map_err(|e| why(&e))?;
                Ok((response, AddressClass::Global))
            }
            Way::Direct(addresses) => {
                let (client, host) = (self.client(secure, false)?, url.host_str().unwrap_or_default());
                let ask = |addr: SocketAddr| {
                    let asking = PINNED.scope((host.to_owned(), addr), client.get(url.clone()).send());
                    async move { asking.await.map(|r| (r, AddressClass::of(addr.ip()))).map_err(|e| why(&e)) }
                };
                Ok(race(addresses, ask).await?)
            }
        }
    }

    /// The addresses that may be asked.
    async fn way(&self, url: &Url, terms: &Terms) -> Result<Way, NotGot> {
        let port = url.port_or_known_default().ok_or("its URL names no port".to_owned())?;
        let proxied = self.is_proxied(url);
        if proxied && matches!(url.host(), Some(Host::Domain(_))) {
            // The proxy looks it up: it may know names that we don't.
            return Ok(Way::Proxy);
        }
        let addresses = permitted(&addresses(url, port).await?, terms, url.path())?;
        if proxied {
            return Ok(Way::Proxy);
        }
        Ok(Way::Direct(addresses))
    }

    fn client(&self, secure: bool, proxied: bool) -> Result<&Client, String> {
        let slot = &self.clients[usize::from(secure)][usize::from(proxied)];
        if let Some(client) = slot.get() {
            return Ok(client);
        }
        let mut builder = Client::builder()
            .user_agent(concat!("playswarm/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            // A connection that is used again would go where another request was allowed to go.
            .pool_max_idle_per_host(0)
            .http1_max_headers(MAX_HEADERS)
            .http1_ignore_invalid_headers_in_responses(true)
            .http1_allow_obsolete_multiline_headers_in_responses(true)
            .http1_allow_spaces_after_header_name_in_responses(true)
            .http09_responses();
        if !proxied {
            builder = builder.no_proxy().dns_resolver(Pinned);
        }
        if !secure || NO_CERTIFICATES.load(Ordering::Relaxed) {
            // Without certificates no https server is trusted, and everything else works.
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().map_err(|e| why(&e))?;
        Ok(slot.get_or_init(|| client))
    }
}

/// Gives the address that was chosen for the request at hand, and no other.
struct Pinned;

impl Resolve for Pinned {
    fn resolve(&self, name: Name) -> Resolving {
        let pinned = PINNED.try_with(|(host, addr)| host.eq_ignore_ascii_case(name.as_str()).then_some(*addr));
        let answer: Result<Addrs, Box<dyn std::error::Error + Send + Sync>> = match pinned.ok().flatten() {
            Some(addr) => Ok(Box::new(std::iter::once(addr))),
            None => Err("no address was chosen for this host".into()),
        };
        Box::pin(std::future::ready(answer))
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// All addresses of a URL's host.
pub(crate) async fn addresses(url: &Url, port: u16) -> Result<Vec<SocketAddr>, String> {
    let name = match url.host() {
        Some(Host::Ipv4(ip)) => return Ok(vec![SocketAddr::new(ip.into(), port)]),
        Some(Host::Ipv6(ip)) => return Ok(vec![SocketAddr::new(ip.into(), port)]),
        Some(Host::Domain(name)) => name,
        None => return Err("its URL names no host".to_owned()),
    };
    // In a URL of another scheme a literal address comes as a name.
    if let Ok(ip) = name.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    match tokio::time::timeout(LOOKUP, tokio::net::lookup_host((name, port))).await {
        Ok(Ok(found)) => Ok(found.take(64).collect()),
        Ok(Err(e)) => Err(format!("its name could not be looked up: {e}")),
        Err(_) => Err("its name could not be looked up in time".into()),
    }
}

/// Asks the addresses one beside the other, the next as soon as one fails or is silent for a while; the first answer counts.
pub(crate) async fn race<T, F: Future<Output = Result<T, String>>>(
    addresses: Vec<SocketAddr>,
    ask: impl Fn(SocketAddr) -> F,
) -> Result<T, String> {
    let mut rest = addresses.into_iter();
    let mut asking: FuturesUnordered<_> = rest.next().map(&ask).into_iter().collect();
    let mut failure = "its name has no address".to_owned();
    loop {
        let last = rest.len() == 0;
        tokio::select! {
            done = asking.next() => match done {
                Some(Ok(done)) => return Ok(done),
                Some(Err(e)) => {
                    failure = e;
                    asking.extend(rest.next().map(&ask));
                }
                None => return Err(failure),
            },
            () = tokio::time::sleep(STAGGER), if !last => asking.extend(rest.next().map(&ask)),
        }
    }
}

/// Those of the addresses that `terms` permit, both families in turn, the system's first choice first.
pub(crate) fn permitted(addresses: &[SocketAddr], terms: &Terms, path: &str) -> Result<Vec<SocketAddr>, NotGot> {
    let of_family = |addr: &&SocketAddr| terms.family.is_none_or(|family| addr.is_ipv6() == (family == Family::V6));
    let fitting: Vec<SocketAddr> = addresses.iter().filter(of_family).copied().collect();
    let Some(first) = fitting.first() else { return Err(NotGot::NoSuchFamily) };
    let may_be_named = |addr: &SocketAddr| terms.named_by.may_name(AddressClass::of(addr.ip()));
    let named: Vec<SocketAddr> = fitting.iter().filter(|addr| may_be_named(addr)).copied().collect();
    if named.is_empty() {
        return Err(refusal(first.ip()).into());
    }
    let any_path = !terms.announce_only || is_announce(path);
    let kept = named.into_iter().filter(|addr| any_path || !AddressClass::of(addr.ip()).is_local());
    let (same, other): (Vec<_>, Vec<_>) = kept.partition(|addr| addr.is_ipv4() == first.is_ipv4());
    let mut turns = Vec::new();
    for n in 0..same.len().max(other.len()) {
        turns.extend(same.get(n).into_iter().chain(other.get(n)).copied());
    }
    turns.truncate(MAX_ADDRESSES);
    if turns.is_empty() {
        return Err(format!("a tracker in the local network ({}) is asked at {ANNOUNCE} only", first.ip()).into());
    }
    Ok(turns)
}

/// The sentence about an address that the source may not name.
pub(crate) fn refusal(ip: IpAddr) -> String {
    match AddressClass::of(ip) {
        AddressClass::Nowhere => format!("its address {ip} leads nowhere"),
        _ => format!("its address {ip} is one of the local network, which nothing from outside may name"),
    }
}

/// Whether a path looks like an announce URL's: `/announce`, `/announce.php`, `/announce/passkey`.
fn is_announce(path: &str) -> bool {
    path.strip_prefix(ANNOUNCE).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '.']))
}

/// A response's body, unpacked and no longer than `max_bytes`.
async fn read(response: Response, max_bytes: usize) -> Result<Bytes, String> {
    let too_large = || format!("the answer is larger than {max_bytes} bytes");
    if response.content_length().is_some_and(|length| length > max_bytes as u64) {
        return Err(too_large());
    }
    let encoding = response.headers().get(CONTENT_ENCODING).and_then(|e| e.to_str().ok()).map(str::to_owned);
    let mut stream = response.bytes_stream();
    let mut body = BytesMut::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|e| why(&e))?;
        if body.len() + chunk.len() > max_bytes {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    inflate::unpacked(body.freeze(), encoding.as_deref(), max_bytes)
}

/// An HTTP error in a few words, without the URL: that may hold a passkey.
fn why(e: &reqwest::Error) -> String {
    if e.is_timeout() {
        return "no answer in time".into();
    }
    // The innermost cause is the one that says something ("Connection refused").
    let mut cause: &dyn std::error::Error = e;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if std::ptr::addr_eq(cause, e) {
        return "the request failed".into();
    }
    let cause = cause.to_string();
    // By its text, as the TLS crate's error type is not in reach of ours.
    let what = cause.split_once("invalid peer certificate: ").map(|(_, what)| what);
    match what.map(|what| (what, NO_CERTIFICATES.load(Ordering::Relaxed))) {
        Some(("UnknownIssuer", _) | (_, true)) => "no authority known to this machine vouches for the server's certificate; install CA \
            certificates (the package ca-certificates), or name a file that holds them by the environment's SSL_CERT_FILE"
            .into(),
        Some((what, false)) => format!("the server's certificate cannot be trusted ({what}); check its name and this machine's clock"),
        None => printable::line(&cause).into_owned(),
    }
}

#[cfg(test)]
mod tests;
