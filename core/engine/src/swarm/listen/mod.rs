//! Incoming connections: accepted within limits, matched to a torrent, and passed to it.
//!
//! A flood of connections costs at most a bounded number of small buffers for a few seconds each.
//! Connections above the bound are closed at once, without a reply.

use crate::metainfo::InfoHash;
use crate::network::Network;
use crate::swarm::handshake::HandshakeError;
use crate::swarm::link::{Link, Raw};
use crate::swarm::pushes::Pushes;
use crate::swarm::sockets::Sockets;
use crate::swarm::transport::{Limits, Transport, canonical, for_peers, raw_tcp, raw_utp};
use librqbit_utp::UtpSocketUdp;
use parking_lot::{Mutex, RwLock};
use playswarm_logic::torrent::greeting::Greeting;
use playswarm_proto::address_class::subscriber;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Pause after a failed accept, usually for lack of file descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// A torrent, as incoming connections see it. The methods are called from many tasks and must not
/// block.
pub(crate) trait Host: Send + Sync {
    /// Returns whether a connection from this address is accepted: it is not banned, and there are
    /// not too many.
    fn admits(&self, remote: SocketAddr) -> bool;
    /// Returns the first messages.
    fn first_words(&self) -> Greeting;
    /// Takes the connection over, or drops it.
    fn take(&self, link: Link);
}

/// The torrents of a session.
#[derive(Default)]
pub(crate) struct Registry {
    hosts: RwLock<HashMap<InfoHash, Arc<dyn Host>>>,
}

impl Registry {
    /// Accepts peers for this torrent from now on.
    pub(crate) fn insert(&self, info_hash: InfoHash, host: Arc<dyn Host>) {
        self.hosts.write().insert(info_hash, host);
    }

    /// Refuses peers for this torrent from now on, unless another host has replaced this one.
    pub(crate) fn remove(&self, info_hash: &InfoHash, host: *const ()) {
        let mut hosts = self.hosts.write();
        if hosts.get(info_hash).is_some_and(|h| Arc::as_ptr(h).cast::<()>() == host) {
            hosts.remove(info_hash);
        }
    }

    fn get(&self, info_hash: &InfoHash) -> Option<Arc<dyn Host>> {
        self.hosts.read().get(info_hash).cloned()
    }
}

/// The accepting side of a [`Transport`].
pub(crate) struct Listener {
    tcp: TcpListener,
    utp: Option<Arc<UtpSocketUdp>>,
    shared: Shared,
}

/// The state for every handshake in progress. It holds no [`Transport`], so that dropping the
/// transport ends the listener.
#[derive(Clone)]
struct Shared {
    our_id: playswarm_proto::handshake::PeerId,
    handshake: Duration,
    half_open: Arc<HalfOpen>,
    sockets: Sockets,
    pushes: Arc<Pushes>,
    network: Arc<Network>,
    cancel: CancellationToken,
}

impl Listener {
    pub(crate) fn new(tcp: TcpListener, transport: &Transport) -> Listener {
        Listener {
            tcp,
            utp: transport.utp.clone(),
            shared: Shared {
                our_id: transport.peer_id,
                handshake: transport.limits.handshake,
                half_open: Arc::new(HalfOpen::new(&transport.limits)),
                sockets: transport.sockets.clone(),
                pushes: transport.pushes.clone(),
                network: transport.network.clone(),
                cancel: transport.cancel.clone(),
            },
        }
    }

    /// Accepts connections until the transport is closed or dropped. Spawn it as a task.
    pub(crate) async fn run(self, registry: Arc<Registry>) {
        let Listener { tcp, utp, shared } = self;
        let over_tcp = async {
            loop {
                match tcp.accept().await {
                    Ok((stream, remote)) => {
                        let remote = canonical(remote);
                        let Some(place) = shared.enter(remote.ip()) else { continue };
                        let Some(socket) = shared.sockets.take() else { continue };
                        if for_peers(&stream).is_ok() {
                            let (shared, registry) = (shared.clone(), Arc::clone(&registry));
                            tokio::spawn(async move {
                                let Some(stream) = shared.unless_given(stream, remote).await else { return };
                                shared.welcome(raw_tcp(stream, remote, None, socket), place, registry);
                            });
                        }
                    }
                    Err(e) => {
                        tracing::debug!("cannot accept a connection: {e}");
                        tokio::time::sleep(ACCEPT_REST).await;
                    }
                }
            }
        };
        let over_utp = async {
            let Some(utp) = utp else { return std::future::pending::<()>().await };
            loop {
                match utp.accept().await {
                    Ok(stream) => {
                        let remote = canonical(stream.remote_addr());
                        let Some(place) = shared.enter(remote.ip()) else { continue };
                        shared.clone().welcome(raw_utp(stream, remote, None), place, Arc::clone(&registry));
                    }
                    Err(e) => {
                        tracing::debug!("cannot accept over uTP: {e}");
                        tokio::time::sleep(ACCEPT_REST).await;
                    }
                }
            }
        };
        tokio::select! {
            () = shared.cancel.cancelled() => {}
            () = async { tokio::join!(over_tcp, over_utp); } => {}
        }
    }
}

impl Shared {
    /// Returns a place for a connection from an address, unless it is blocked or there are too many.
    fn enter(&self, ip: IpAddr) -> Option<Place> {
        if self.network.blocks(ip) { None } else { self.half_open.enter(ip) }
    }

    /// Returns a connection, unless a servent makes it that we asked to. It is looked at only while one
    /// is awaited.
    async fn unless_given(&self, stream: TcpStream, remote: SocketAddr) -> Option<TcpStream> {
        if !self.pushes.is_any() {
            return Some(stream);
        }
        let taken = tokio::time::timeout(self.handshake, self.pushes.take(stream, remote));
        tokio::select! {
            () = self.cancel.cancelled() => None,
            taken = taken => taken.ok()?.ok()?,
        }
    }

    fn welcome(self, raw: Raw, place: Place, registry: Arc<Registry>) {
        let cancel = self.cancel.clone();
        tokio::spawn(async move {
            let remote = raw.remote;
            let mut host = None;
            let shaking = Link::accepted(raw, self.our_id, |info_hash| {
                let found = registry.get(&info_hash).ok_or(HandshakeError::WrongTorrent)?;
                if !found.admits(remote) {
                    return Err(HandshakeError::NotWanted);
                }
                Ok(host.insert(found).first_words())
            });
            let result = tokio::select! {
                () = cancel.cancelled() => return,
                result = tokio::time::timeout(self.handshake, shaking) => result.unwrap_or(Err(HandshakeError::TimedOut)),
            };
            drop(place);
            match (result, host) {
                (Ok((_, link)), Some(host)) => host.take(link),
                (Err(e), _) => tracing::debug!(%remote, "an incoming connection failed: {e}"),
                (Ok(_), None) => {}
            }
        });
    }
}

/// A count of the connections before their handshake.
struct HalfOpen {
    total: usize,
    per_ip: usize,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    total: usize,
    per_ip: HashMap<IpAddr, usize>,
}

/// A connection's place among the half-open ones; freed when dropped.
struct Place {
    of: Arc<HalfOpen>,
    ip: IpAddr,
}

impl HalfOpen {
    fn new(limits: &Limits) -> HalfOpen {
        HalfOpen { total: limits.half_open, per_ip: limits.half_open_per_ip, counts: Mutex::default() }
    }

    fn enter(self: &Arc<Self>, ip: IpAddr) -> Option<Place> {
        let ip = subscriber(ip);
        let mut counts = self.counts.lock();
        if counts.total >= self.total || counts.per_ip.get(&ip).is_some_and(|n| *n >= self.per_ip) {
            return None;
        }
        counts.total += 1;
        *counts.per_ip.entry(ip).or_default() += 1;
        Some(Place { of: Arc::clone(self), ip })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.of.counts.lock();
        counts.total -= 1;
        if let Some(n) = counts.per_ip.get_mut(&self.ip) {
            *n -= 1;
            if *n == 0 {
                counts.per_ip.remove(&self.ip);
            }
        }
    }
}

#[cfg(test)]
mod tests;
