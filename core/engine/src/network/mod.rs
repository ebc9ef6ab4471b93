//! The network policy of a session: the one way out for its connections, datagrams and name lookups.
//!
//! Everything that the engine sends goes through the sockets that are opened here. They belong to
//! the interface that the user chose, and lead to the proxy if there is one. Addresses on the user's
//! blocklist are neither dialled nor accepted. docs/adr/0023-network-policy.md has the reasons.
//!
//! Which source may name which address is decided by `playswarm_proto::address_class`, before an
//! address comes here, because it depends on the source.

mod chosen;
mod names;
mod proxy;
mod source;
#[cfg(test)]
mod tests;
mod tls;

pub(crate) use source::{default_sources, is_here};
pub(crate) use tls::certificate_trouble;

use crate::config::Config;
use crate::error::{Error, Result};
use chosen::Chosen;
use librqbit_utp::BindDevice;
use parking_lot::Mutex;
use playswarm_logic::Time;
use playswarm_logic::dial_budget::{DialBudget, ServentDials};
use playswarm_proto::Blocklist;
use playswarm_proto::blocklist::MAX_BLOCKLIST_BYTES;
use proxy::Proxy;
use reqwest::ClientBuilder;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

/// The network policy of a session.
#[derive(Debug)]
pub(crate) struct Network {
    chosen: Chosen,
    proxy: Option<Proxy>,
    blocklist: Option<Blocklist>,
    budget: Mutex<DialBudget>,
    servents: Mutex<ServentDials>,
    epoch: Instant,
    tls: tls::Tls,
}

impl Network {
    /// Prepares the network of a session. Reads the blocklist.
    ///
    /// # Errors
    ///
    /// Returns [`Error::BadConfig`] if the interface is not there or the blocklist cannot be used,
    /// and [`Error::Storage`] if it cannot be read.
    pub(crate) async fn new(config: &Config) -> Result<Arc<Network>> {
        let blocklist = match config.blocklist.clone() {
            Some(path) => {
                let read = tokio::task::spawn_blocking(move || read_blocklist(&path));
                Some(read.await.map_err(|_| Error::Closed)??)
            }
            None => None,
        };
        let network = Network {
            chosen: Chosen::new(config.interface.as_deref(), config.listen)?,
            proxy: config.proxy.clone().map(Proxy::new),
            blocklist,
            budget: Mutex::default(),
            servents: Mutex::default(),
            epoch: Instant::now(),
            tls: tls::Tls::default(),
        };
        // A session without peers loses nothing by it.
        if let Some(proxy) = network.proxy.as_ref().filter(|_| config.dht || config.lsd || config.port_map) {
            tracing::warn!(
                "all connections go through the proxy {proxy}: there are no incoming connections, no DHT, no local \
                 search, no UDP trackers, no uTP and no port mapping"
            );
        }
        Ok(Arc::new(network))
    }

    /// Returns a network without any policy, for tests.
    #[cfg(test)]
    pub(crate) fn open() -> Arc<Network> {
        let (chosen, budget) = (Chosen::default(), Mutex::default());
        Arc::new(Network {
            chosen,
            proxy: None,
            blocklist: None,
            budget,
            servents: Mutex::default(),
            epoch: Instant::now(),
            tls: tls::Tls::default(),
        })
    }

    /// Returns whether everything goes through a proxy that the user chose. There is then no
    /// listener, no datagram and no name lookup.
    pub(crate) fn is_proxied(&self) -> bool {
        self.proxy.is_some()
    }

    /// Returns the proxy without its credentials.
    pub(crate) fn proxy(&self) -> Option<String> {
        self.proxy.as_ref().map(Proxy::to_string)
    }

    /// Returns whether the user chose an interface or an address to send from.
    pub(crate) fn is_chosen(&self) -> bool {
        self.chosen.is_some()
    }

    /// Returns whether the user restricted the network in any way.
    pub(crate) fn is_restricted(&self) -> bool {
        self.is_proxied() || self.is_chosen() || self.blocklist.is_some()
    }

    /// Returns the addresses of the interface that the user chose; `None` if the user chose none.
    pub(crate) fn addresses(&self) -> Option<&[IpAddr]> {
        self.chosen.addresses()
    }

    /// Returns the interface to which sockets that others open must be bound.
    pub(crate) fn device(&self) -> Option<&BindDevice> {
        self.chosen.device()
    }

    /// Returns the IPv4 address to which the DHT node is bound, which others open without an
    /// interface; `None` if its datagrams could take another way than the chosen one.
    pub(crate) fn dht_address(&self) -> Option<Ipv4Addr> {
        if self.is_proxied() { None } else { self.chosen.dht_address() }
    }

    /// Returns whether the user blocked an address.
    pub(crate) fn blocks(&self, ip: IpAddr) -> bool {
        self.blocklist.as_ref().is_some_and(|list| list.contains(ip))
    }

    /// Checks that an address may be reached: it is not blocked, and the chosen address has its
    /// family.
    ///
    /// # Errors
    ///
    /// Returns an error that says what is in the way.
    pub(crate) fn permit(&self, ip: IpAddr) -> io::Result<()> {
        let denied = |why| Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        match () {
            () if self.blocks(ip) => denied("it is on the blocklist"),
            () if self.proxy.is_none() && !self.chosen.reaches(ip) => {
                denied("it cannot be reached from the chosen address")
            }
            () => Ok(()),
        }
    }

    /// Permits a dial of a server that answered before. It costs nothing of the budget, which
    /// limits dials of unknown addresses.
    ///
    /// # Errors
    ///
    /// As those of [`Network::permit`].
    pub(crate) fn permit_again(&self, to: SocketAddr) -> io::Result<()> {
        self.permit(to.ip())?;
        if self.proxy.is_none() && self.chosen.is_loopback() && !to.ip().to_canonical().is_loopback() {
            return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, "the session uses only this machine"));
        }
        Ok(())
    }

    /// Permits a dial of a peer or a server, and waits until the budget allows it.
    ///
    /// # Errors
    ///
    /// As those of [`Network::permit`]; and an error if the budget is exhausted for long.
    pub(crate) async fn permit_dial(&self, to: SocketAddr) -> io::Result<()> {
        self.permit_again(to)?;
        let wait = self.budget.lock().take(Time::ZERO + self.epoch.elapsed(), to.ip());
        let Some(wait) = wait else {
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, "too many addresses are being dialled"));
        };
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }

    /// Permits a connection to a servent of Gnutella, which bans addresses that make many. It is
    /// permitted beside [`Network::permit_dial`].
    ///
    /// # Errors
    ///
    /// The time to wait, if there were too many of late.
    pub(crate) fn permit_servent(&self, to: SocketAddr) -> std::result::Result<(), Duration> {
        self.servents.lock().take(Time::ZERO + self.epoch.elapsed(), to)
    }

    /// Connects to an address over TCP, through the proxy if there is one. It must have been
    /// permitted.
    ///
    /// # Errors
    ///
    /// Returns those of the system and of the proxy.
    pub(crate) async fn connect(&self, to: SocketAddr) -> io::Result<TcpStream> {
        match &self.proxy {
            Some(proxy) => proxy.connect(&self.chosen, to).await,
            None => self.chosen.connect(to).await,
        }
    }

    /// Opens a socket for datagrams to an address, and to others of its family.
    ///
    /// # Errors
    ///
    /// Returns those of the system; and an error if there is a proxy, which carries no datagrams.
    pub(crate) fn udp(&self, to: SocketAddr) -> io::Result<UdpSocket> {
        if self.is_proxied() {
            return Err(no_datagrams());
        }
        self.permit(to.ip())?;
        self.chosen.udp(to)
    }

    /// Opens a socket for datagrams to many addresses of the family of `like`, on this machine if that
    /// is there. Each must be permitted before it is sent to.
    ///
    /// # Errors
    ///
    /// Returns those of the system; and an error if there is a proxy, which carries no datagrams.
    pub(crate) fn udp_for_many(&self, like: SocketAddr) -> io::Result<UdpSocket> {
        if self.is_proxied() { Err(no_datagrams()) } else { self.chosen.udp(like) }
    }

    /// Returns all addresses of a host name.
    ///
    /// # Errors
    ///
    /// Returns those of the system; and an error if there is a proxy, which looks names up itself.
    pub(crate) async fn lookup(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if self.is_proxied() {
            return Err(io::Error::other("the proxy looks names up"));
        }
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }

    /// Returns an address that stands for a host name: dialled, it leads to that host through the
    /// proxy. `None` without a proxy, or if there are too many.
    pub(crate) fn stand_in(&self, host: &str, port: u16) -> Option<SocketAddr> {
        self.proxy.as_ref()?.stand_in(host, port)
    }

    /// Applies the policy to an HTTP client. With a proxy, all its requests go there. `is_near` says
    /// that they go to this machine.
    ///
    /// # Errors
    ///
    /// Returns an error if the client cannot use the proxy.
    pub(crate) fn client(&self, builder: ClientBuilder, is_near: bool) -> reqwest::Result<ClientBuilder> {
        let (builder, is_near) = match &self.proxy {
            // Without the proxies of the environment, and the exceptions from them.
            Some(proxy) => (builder.no_proxy().proxy(reqwest::Proxy::all(proxy.url())?), proxy.is_near()),
            None => (builder, is_near),
        };
        Ok(if is_near { builder } else { self.chosen.client(builder) })
    }
}

/// Returns whether a host is this machine, as far as its name tells.
pub(crate) fn is_near(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(is_here)
}

/// The error of datagrams where there is a proxy.
fn no_datagrams() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "the proxy carries no datagrams")
}

/// Reads a blocklist, which may be compressed by gzip.
fn read_blocklist(path: &Path) -> Result<Blocklist> {
    use std::io::Read;
    let storage = |source| Error::Storage { doing: "read the blocklist", path: path.to_owned(), source };
    let unusable = |why: String| Error::BadConfig {
        name: "blocklist".to_owned(),
        why: format!("{}: {why}", crate::error::shown(path)),
    };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(storage)?;
    file.take(MAX_BLOCKLIST_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(storage)?;
    let text = crate::discovery::inflate::unpacked(bytes.into(), None, MAX_BLOCKLIST_BYTES).map_err(unusable)?;
    if text.len() > MAX_BLOCKLIST_BYTES {
        return Err(unusable(format!("it is larger than {} MiB; give a shorter list", MAX_BLOCKLIST_BYTES >> 20)));
    }
    let list = Blocklist::parse(&text).map_err(|why| unusable(why.to_string()))?;
    if list.broken_lines() > 0 {
        tracing::warn!("{} lines of the blocklist cannot be read and are left out", list.broken_lines());
    }
    tracing::info!(ranges = list.ranges(), "the blocklist is in use");
    Ok(list)
}

/// Opens a TCP socket of the family of an address.
fn tcp_socket(to: SocketAddr) -> io::Result<TcpSocket> {
    if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }
}
