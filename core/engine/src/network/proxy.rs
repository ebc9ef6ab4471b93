//! Connections through the proxy: SOCKS5 (RFC 1928, RFC 1929) or HTTP CONNECT, by `hyper-util`, which
//! does the same for the HTTP client.

use super::chosen::Chosen;
use super::names::Names;
use crate::race::race;
use http::{HeaderValue, Uri};
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use playswarm_proto::{ProxyAddress, ProxyKind};
use std::fmt;
use std::future::{Ready, ready};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tower_service::Service;

/// Time for which the addresses of the proxy's name are reused.
const KNOWN_FOR: Duration = Duration::from_secs(60);
/// Silence of one address of the proxy after which the next is tried too.
const STAGGER: Duration = Duration::from_secs(1);

/// The proxy of a session.
pub(super) struct Proxy {
    address: ProxyAddress,
    names: Mutex<Names>,
    known: Mutex<Option<(Instant, Vec<SocketAddr>)>>,
    /// Whether it could not be reached the last time.
    is_down: AtomicBool,
}

impl Proxy {
    pub(super) fn new(address: ProxyAddress) -> Proxy {
        Proxy { address, names: Mutex::default(), known: Mutex::default(), is_down: AtomicBool::new(false) }
    }

    /// Returns its URL with the credentials, as the HTTP client takes it: `socks5h` leaves the names
    /// to the proxy.
    pub(super) fn url(&self) -> String {
        self.address.url_with(match self.address.kind() {
            ProxyKind::Socks5 => "socks5h",
            _ => "http",
        })
    }

    /// Returns whether the proxy is on this machine, as far as its name tells.
    pub(super) fn is_near(&self) -> bool {
        super::is_near(self.address.host())
    }

    pub(super) fn stand_in(&self, host: &str, port: u16) -> Option<SocketAddr> {
        self.names.lock().stand_in(host, port)
    }

    /// Connects to an address through the proxy, or to the host for which it stands.
    pub(super) async fn connect(&self, chosen: &Chosen, to: SocketAddr) -> io::Result<TcpStream> {
        let destination = self.names.lock().destination(to);
        let stream = self.reach(chosen).await.inspect_err(|e| self.is_away(e))?;
        if self.is_down.swap(false, Ordering::Relaxed) {
            tracing::warn!("the proxy {self} can be reached again");
        }
        let destination: Uri = destination.parse().map_err(io::Error::other)?;
        let (stream, user) = (Opened(Some(stream)), self.address.credentials());
        // The services connect to what they are given, whatever this says.
        let nowhere = Uri::from_static("proxy:1");
        let opened = match self.address.kind() {
            ProxyKind::Socks5 => {
                let mut socks = SocksV5::new(nowhere, stream);
                if let Some((user, password)) = user {
                    socks = socks.with_auth(user.to_owned(), password.to_owned());
                }
                socks.call(destination).await.map_err(|e| e.to_string())
            }
            _ => {
                let mut tunnel = Tunnel::new(nowhere, stream);
                if let Some((user, password)) = user {
                    tunnel = tunnel.with_auth(basic(user, password)?);
                }
                tunnel.call(destination).await.map_err(|e| e.to_string())
            }
        };
        opened.map(TokioIo::into_inner).map_err(|why| io::Error::other(format!("the proxy does not connect: {why}")))
    }

    /// Opens a connection to the proxy itself.
    async fn reach(&self, chosen: &Chosen) -> io::Result<TcpStream> {
        let addresses = self.addresses().await?;
        let connect = |addr| chosen.connect(addr);
        race(addresses, STAGGER, connect).await.unwrap_or_else(|| Err(io::Error::other("its name has no address")))
    }

    /// Looks the proxy's own name up, the only one.
    async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        if let Ok(ip) = self.address.host().parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, self.address.port())]);
        }
        let known = self.known.lock().clone();
        if let Some((_, addresses)) = known.filter(|(when, _)| when.elapsed() < KNOWN_FOR) {
            return Ok(addresses);
        }
        let found: Vec<_> = tokio::net::lookup_host((self.address.host(), self.address.port())).await?.collect();
        *self.known.lock() = Some((Instant::now(), found.clone()));
        Ok(found)
    }

    fn is_away(&self, e: &io::Error) {
        if !self.is_down.swap(true, Ordering::Relaxed) {
            tracing::warn!("the proxy {self} cannot be reached: {e}; nothing goes around it");
        }
    }
}

/// Returns the header of HTTP basic authentication (RFC 7617).
fn basic(user: &str, password: &str) -> io::Result<HeaderValue> {
    let credentials = data_encoding::BASE64.encode(format!("{user}:{password}").as_bytes());
    let mut value = HeaderValue::from_str(&format!("Basic {credentials}")).map_err(io::Error::other)?;
    value.set_sensitive(true);
    Ok(value)
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

/// An open connection to the proxy, as a service that gives it once.
struct Opened(Option<TcpStream>);

impl Service<Uri> for Opened {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Ready<io::Result<TokioIo<TcpStream>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        ready(self.0.take().map(TokioIo::new).ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)))
    }
}
