//! Sources of torrents and peers: trackers, the DHT, the local network, the router's port mapping.
//!
//! One [`Shared`] per session holds the common parts (HTTP client, DHT node, socket of the local
//! network, port mapping). One [`Discovery`] per torrent finds its peers until it is dropped. No
//! failure here fails a session or delays its start. Failures are logged, retried where that helps,
//! and otherwise ignored. The swarm connects to the peers found.

mod beacon;
mod dht;
mod dht6;
pub(crate) mod inflate;
mod keyed;
mod local;
pub(crate) mod resolver;
pub(crate) mod source;
mod tracker;
pub(crate) mod web;

pub(crate) use beacon::Stored;
pub(crate) use keyed::KeyNews;
pub(crate) use tracker::FAREWELL;

use crate::config::Config;
use crate::error::Result;
use crate::metainfo::{InfoHash, Trackers};
use crate::network::Network;
use crate::status::TrackerStatus;
use parking_lot::Mutex;
use playswarm_logic::torrent::{Finding, Origin};
use playswarm_proto::AddressClass;
use resolver::Resolver;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// Most findings that wait for their reader. More are lost: a source that is asked again names them
/// again.
const MAX_WAITING: usize = 2000;

/// The progress of a torrent, for trackers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Payload received since it was opened, bytes.
    pub(crate) downloaded: u64,
    /// Payload sent since it was opened, bytes.
    pub(crate) uploaded: u64,
    /// Bytes still missing. Above 0 while the number is not known (a magnet link without its info
    /// dictionary), because trackers send no seeds to seeds.
    pub(crate) left: u64,
}

/// The parameters of a discovery.
pub(crate) struct Params {
    /// Info-hash of the torrent.
    pub(crate) info_hash: InfoHash,
    /// Our peer id, as in the handshake.
    pub(crate) peer_id: [u8; 20],
    /// Port at which peers reach us; 0 if they cannot.
    pub(crate) listen_port: u16,
    /// Trackers to announce to.
    pub(crate) trackers: Trackers,
    /// Whether only trackers may be used (BEP 27).
    pub(crate) private: bool,
    /// Returns the progress, for each announce.
    pub(crate) progress: Arc<dyn Fn() -> Progress + Send + Sync>,
    /// Returns whether to announce on the DHT. Nobody can be reached at port 0, so that is never
    /// announced.
    pub(crate) announces: Arc<dyn Fn() -> bool + Send + Sync>,
}

/// The state shared by all tasks of one torrent.
struct Context {
    info_hash: InfoHash,
    peer_id: [u8; 20],
    listen_port: u16,
    progress: Arc<dyn Fn() -> Progress + Send + Sync>,
    announces: Arc<dyn Fn() -> bool + Send + Sync>,
    found: mpsc::Sender<Finding>,
    network: Arc<Network>,
    web: Arc<web::Web>,
    resolver: Arc<Resolver>,
    /// Trackers to announce to. Further ones may become known.
    trackers: watch::Sender<Trackers>,
    /// Status of the trackers, and the time since which it is valid.
    board: Mutex<(Instant, Vec<TrackerStatus>)>,
    hurry: watch::Sender<u64>,
    /// Cancelled when the torrent is dropped: trackers receive `stopped`.
    cancel: CancellationToken,
    /// Cancelled when the torrent is dropped or private: no DHT, no local network.
    private: CancellationToken,
    /// Random key, constant for the torrent.
    key: u32,
}

impl Context {
    /// Passes on an address that a source at an address of class `by` named.
    fn offer(&self, addr: SocketAddr, origin: Origin, by: AddressClass) {
        let _ = self.found.try_send(Finding::Peer { addr, origin, by });
    }

    /// Passes on our external address as a tracker sees it.
    fn seen_as(&self, ip: IpAddr) {
        let _ = self.found.try_send(Finding::OwnIp(ip));
    }
}

/// The parts that all torrents of a session share.
pub(crate) struct Shared {
    network: Arc<Network>,
    web: Arc<web::Web>,
    resolver: Arc<Resolver>,
    listen: SocketAddr,
    trackers: bool,
    dht: Option<Arc<dht::Dht>>,
    lsd: Option<local::Lsd>,
    tasks: TaskTracker,
    cancel: CancellationToken,
}

impl Shared {
    /// Starts the configured parts in the background. `listen` is the address at which peers reach
    /// us, with the real port.
    ///
    /// # Errors
    ///
    /// Returns an error only if no HTTP client can be created.
    pub(crate) fn start(config: &Config, listen: SocketAddr, network: Arc<Network>) -> Result<Arc<Shared>> {
        let cancel = CancellationToken::new();
        let tasks = TaskTracker::new();
        // Only this machine can reach a listener on loopback.
        let reachable = !listen.ip().is_loopback() && listen.port() != 0;
        let web = Arc::new(web::Web::new(network.clone()));
        let datagrams = !network.is_proxied();
        if config.port_map && reachable && datagrams {
            if network.is_chosen() {
                // The UPnP crate asks the router over connections that it does not bind.
                tracing::info!("no port mapping, as an interface or address was chosen");
            } else if web.has_certificates() {
                local::map_port(&tasks, cancel.clone(), listen.port());
            } else {
                // The UPnP crate creates an HTTP client with certificates, and panics if there are
                // none.
                tracing::info!("no port mapping, as this machine has no CA certificates");
            }
        }
        Ok(Arc::new(Shared {
            web,
            resolver: Arc::new(Resolver::new(network.clone())),
            listen,
            trackers: config.trackers,
            dht: (config.dht && datagrams).then(|| {
                let dht = Arc::new(dht::Dht::new(config.dht_bootstrap.clone(), network.clone()));
                // Lets the node learn its neighbourhood before the first torrent opens.
                let early = dht.clone();
                tasks.spawn(async move {
                    early.node().await;
                });
                dht
            }),
            lsd: (config.lsd && datagrams).then(|| local::Lsd::new(network.clone(), cancel.clone())),
            network,
            tasks,
            cancel,
        }))
    }

    /// Returns our listening address with this port.
    pub(crate) fn listen_at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.listen.ip(), port)
    }

    /// Returns the network policy of the session.
    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    /// Returns the session's HTTP clients, also for [`source::resolve`].
    pub(crate) fn web(&self) -> &web::Web {
        &self.web
    }

    /// Returns the session's resolver for host names of peers.
    pub(crate) fn resolver(&self) -> &Arc<Resolver> {
        &self.resolver
    }

    /// Returns the token that is cancelled when the session closes.
    pub(crate) fn ends(&self) -> &CancellationToken {
        &self.cancel
    }

    /// Starts a task that ends within [`FAREWELL`] once its torrent or channel is closed.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Stops all parts. Waits for a short time until the trackers are informed.
    pub(crate) async fn close(&self) {
        self.cancel.cancel();
        self.tasks.close();
        let _ = tokio::time::timeout(FAREWELL, self.tasks.wait()).await;
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// A peer discovery for one torrent, until it is dropped.
pub(crate) struct Discovery {
    context: Arc<Context>,
    _stop: DropGuard,
}

impl Discovery {
    /// Queries all sources at once. The receiver gets what they say, unchecked and as often as they
    /// say it: see [`AddressBook::take`](playswarm_logic::torrent::AddressBook::take).
    pub(crate) fn start(shared: &Arc<Shared>, params: Params) -> (Discovery, mpsc::Receiver<Finding>) {
        let cancel = shared.cancel.child_token();
        let private = cancel.child_token();
        let (tx, found) = mpsc::channel(MAX_WAITING);
        let context = Arc::new(Context {
            info_hash: params.info_hash,
            peer_id: params.peer_id,
            listen_port: params.listen_port,
            progress: params.progress,
            announces: params.announces,
            found: tx,
            network: shared.network.clone(),
            web: shared.web.clone(),
            resolver: shared.resolver.clone(),
            trackers: watch::Sender::new(params.trackers),
            board: Mutex::new((Instant::now(), Vec::new())),
            hurry: watch::Sender::new(0),
            cancel: cancel.clone(),
            private: private.clone(),
            key: random_u32(),
        });
        if shared.trackers {
            shared.tasks.spawn(tracker::run(params.private, context.clone()));
        }
        if params.private {
            private.cancel();
        } else {
            if let Some(dht) = &shared.dht {
                shared.tasks.spawn(dht::run(dht.clone(), context.clone()));
            }
            if let Some(lsd) = &shared.lsd {
                shared.tasks.spawn(local::run(lsd.clone(), context.clone()));
            }
        }
        (Discovery { context, _stop: cancel.drop_guard() }, found)
    }

    /// Queries all sources again because peers run short, as soon as the shortest interval of each
    /// allows. After completion, it informs the trackers at once; otherwise they learn of it within
    /// 15 s.
    pub(crate) fn hurry(&self) {
        self.context.hurry.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// Announces to these trackers too, which became known with the torrent file of a link.
    pub(crate) fn add_trackers(&self, more: &Trackers) {
        self.context.trackers.send_if_modified(|all| {
            let before = all.len();
            all.extend(more);
            all.len() > before
        });
    }

    /// Returns the trackers with their status.
    pub(crate) fn trackers(&self) -> Vec<TrackerStatus> {
        let (since, mut trackers) = self.context.board.lock().clone();
        let passed = since.elapsed().as_secs_f64();
        trackers.iter_mut().filter_map(|t| t.next_announce_s.as_mut()).for_each(|s| *s = (*s - passed).max(0.0));
        trackers
    }

    /// Restricts discovery to trackers, because a magnet's torrent turned out to be private (BEP
    /// 27).
    pub(crate) fn make_private(&self) {
        self.context.private.cancel();
    }
}

/// Returns a number that is random enough for keys and transaction numbers: the standard library
/// seeds its hashers from the system.
fn random_u32() -> u32 {
    crate::random::number() as u32
}

/// Returns 128 unpredictable bits as hexadecimal digits.
pub(crate) fn random_token() -> String {
    (0..4).map(|_| format!("{:08x}", random_u32())).collect()
}

#[cfg(test)]
mod tests;
