//! Where torrents and peers come from: sources, trackers, the DHT, the local network, the router's port.
//!
//! One [`Shared`] a session holds what is there once (HTTP client, DHT node, socket of the local network, port mapping); one
//! [`Discovery`] a torrent finds its peers until it is dropped. Nothing here fails a session or waits at its start: what
//! does not work is logged, tried again where that helps, and done without. Connecting to what is found is the swarm's part.

mod dht;
mod dht6;
pub(crate) mod inflate;
mod keyed;
mod local;
pub(crate) mod resolver;
mod sieve;
pub(crate) mod source;
mod tracker;
pub(crate) mod web;

pub(crate) use keyed::KeyNews;
pub(crate) use sieve::Found;

use crate::config::Config;
use crate::error::Result;
use crate::status::TrackerStatus;
use crate::torrent::{InfoHash, Trackers};
use parking_lot::Mutex;
#[cfg(test)]
use playswarm_proto::AddressClass;
use resolver::Resolver;
use sieve::Sieve;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// How far a torrent is, for trackers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Payload received since it was opened, bytes.
    pub(crate) downloaded: u64,
    /// Payload sent since it was opened, bytes.
    pub(crate) uploaded: u64,
    /// Bytes still missing. Above 0 while that is not known (a magnet without its info): trackers give seeds no seeds.
    pub(crate) left: u64,
}

/// What to find peers for.
pub(crate) struct Params {
    /// The torrent.
    pub(crate) info_hash: InfoHash,
    /// Ours, as in the handshake.
    pub(crate) peer_id: [u8; 20],
    /// Where peers reach us; 0 where they can't.
    pub(crate) listen_port: u16,
    /// Whom to announce to.
    pub(crate) trackers: Trackers,
    /// BEP 27: trackers only.
    pub(crate) private: bool,
    /// Asked at each announcement.
    pub(crate) progress: Arc<dyn Fn() -> Progress + Send + Sync>,
}

/// What all tasks of one torrent use.
struct Context {
    info_hash: InfoHash,
    peer_id: [u8; 20],
    listen_port: u16,
    progress: Arc<dyn Fn() -> Progress + Send + Sync>,
    sieve: Sieve,
    web: Arc<web::Web>,
    resolver: Arc<Resolver>,
    /// What the trackers said, and since when that stands here.
    board: Mutex<(Instant, Vec<TrackerStatus>)>,
    hurry: watch::Sender<u64>,
    /// The torrent was dropped: trackers say goodbye.
    cancel: CancellationToken,
    /// The torrent was dropped or is private: no DHT, no local network.
    private: CancellationToken,
    /// Random, once a torrent.
    key: u32,
}

/// What a session has once for all its torrents.
pub(crate) struct Shared {
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
    /// Starts what the settings allow, in the background. `listen` is where peers reach us, with the real port.
    ///
    /// # Errors
    /// Only where no HTTP client can be set up at all.
    pub(crate) fn start(config: &Config, listen: SocketAddr) -> Result<Arc<Shared>> {
        let cancel = CancellationToken::new();
        let tasks = TaskTracker::new();
        // Nobody beyond this machine reaches a listener on loopback.
        let reachable = !listen.ip().is_loopback() && listen.port() != 0;
        let web = Arc::new(web::Web::new());
        if config.port_map && reachable {
            if web.has_certificates() {
                local::map_port(&tasks, cancel.clone(), listen.port());
            } else {
                // The crate that asks the router makes an HTTP client with certificates and panics where there are none.
                tracing::info!("no port mapping, as this machine has no CA certificates");
            }
        }
        Ok(Arc::new(Shared {
            web,
            resolver: Arc::new(Resolver::new()),
            listen,
            trackers: config.trackers,
            dht: config.dht.then(|| {
                let dht = Arc::new(dht::Dht::new(config.dht_bootstrap.clone()));
                // So that it knows its way before the first torrent is opened.
                let early = dht.clone();
                tasks.spawn(async move {
                    early.node().await;
                });
                dht
            }),
            lsd: config.lsd.then(|| local::Lsd::new(cancel.clone())),
            tasks,
            cancel,
        }))
    }

    /// The session's HTTP requests, for [`source::resolve`] too.
    pub(crate) fn web(&self) -> &web::Web {
        &self.web
    }

    /// The session's lookups of peers' host names.
    pub(crate) fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    /// Stops all; waits for the trackers to be told, but not long.
    pub(crate) async fn close(&self) {
        self.cancel.cancel();
        self.tasks.close();
        let _ = tokio::time::timeout(tracker::FAREWELL, self.tasks.wait()).await;
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// Finds peers for one torrent until it is dropped.
pub(crate) struct Discovery {
    context: Arc<Context>,
    _stop: DropGuard,
}

impl Discovery {
    /// Asks everybody at once. The receiver gives each usable address once, and again when it is named much later.
    pub(crate) fn start(shared: &Arc<Shared>, params: Params) -> (Discovery, mpsc::Receiver<Found>) {
        let cancel = shared.cancel.child_token();
        let private = cancel.child_token();
        let (sieve, found) = Sieve::new(SocketAddr::new(shared.listen.ip(), params.listen_port));
        let context = Arc::new(Context {
            info_hash: params.info_hash,
            peer_id: params.peer_id,
            listen_port: params.listen_port,
            progress: params.progress,
            sieve,
            web: shared.web.clone(),
            resolver: shared.resolver.clone(),
            board: Mutex::new((Instant::now(), Vec::new())),
            hurry: watch::Sender::new(0),
            cancel: cancel.clone(),
            private: private.clone(),
            key: random_u32(),
        });
        if shared.trackers && !params.trackers.is_empty() {
            shared.tasks.spawn(tracker::run(params.trackers, params.private, context.clone()));
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

    /// Peers run short: everybody is asked again, as soon as good manners allow (each has its own least interval).
    /// Called when the torrent has become complete, it tells the trackers at once; else they learn it within 15 s.
    pub(crate) fn hurry(&self) {
        self.context.hurry.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// The trackers, and what each of them said.
    pub(crate) fn trackers(&self) -> Vec<TrackerStatus> {
        let (since, mut trackers) = self.context.board.lock().clone();
        let passed = since.elapsed().as_secs_f64();
        trackers.iter_mut().filter_map(|t| t.next_announce_s.as_mut()).for_each(|s| *s = (*s - passed).max(0.0));
        trackers
    }

    /// A magnet turned out to be private (BEP 27): from now on trackers only.
    pub(crate) fn make_private(&self) {
        self.context.private.cancel();
    }

    /// An address from elsewhere (a peer, the user): it takes the same way as those found here. Says whether it did.
    #[cfg(test)]
    pub(crate) fn offer(&self, addr: SocketAddr, origin: playswarm_logic::torrent::Origin) -> bool {
        self.context.sieve.offer(addr, origin, AddressClass::Loopback)
    }

    /// All addresses that were found and not forgotten, for the hand-over.
    pub(crate) fn known(&self) -> Vec<SocketAddr> {
        self.context.sieve.known()
    }
}

/// What a DHT node or a tracker may answer, on these bytes. See [`crate::fuzzing`].
pub(crate) fn fuzz(data: &[u8]) {
    dht6::fuzz(data);
    tracker::fuzz(data);
}

/// Random enough for keys and transaction numbers: the standard library seeds its hashers from the system.
fn random_u32() -> u32 {
    crate::random::number() as u32
}

/// 128 bits that nobody guesses, as hexadecimal digits.
pub(crate) fn random_token() -> String {
    (0..4).map(|_| format!("{:08x}", random_u32())).collect()
}

#[cfg(test)]
mod tests;
