//! The listener: the number of connections and their socket options. [`super::connection`] bounds
//! the time of each, and the router answers their requests.

use super::admission::{Admission, Host, Limits, Place, admit, give_up};
use super::connection::{Activity, Patience, refuse, serve};
use axum::Router;
use parking_lot::Mutex;
use playswarm::{Error, Result};
use socket2::{SockRef, TcpKeepalive};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// Connections beyond the limit that are answered with 503 at the same time. Further ones are
/// closed without an answer.
const MAX_REFUSALS: usize = 32;
/// Idle time before TCP probes whether the client is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// Unsent bytes that the kernel accepts for a connection. More would put the reader of a slow
/// client megabytes ahead of it.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT_BYTES: u32 = 256 * 1024;
/// Pause after a failed accept (no descriptors left), as the next attempt would fail at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The same where a connection is being closed for it.
const GIVEN_PAUSE: Duration = Duration::from_millis(2);
/// Least time between two warnings about failed accepts.
const WARN_AGAIN: Duration = Duration::from_secs(60);

/// A listener that runs until it is stopped or dropped.
pub(crate) struct Running {
    pub(crate) addr: SocketAddr,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

/// Binds the address.
pub(crate) async fn bind(addr: SocketAddr) -> Result<(TcpListener, SocketAddr)> {
    let failed = |source| Error::Listen { addr, setting: "http.listen", source };
    let listener = TcpListener::bind(addr).await.map_err(failed)?;
    let addr = listener.local_addr().map_err(failed)?;
    Ok((listener, addr))
}

/// Serves until stopped.
pub(crate) fn run(
    listener: TcpListener,
    addr: SocketAddr,
    router: Router,
    places: Arc<Places>,
    patience: Patience,
) -> Running {
    let stop = CancellationToken::new();
    let task = tokio::spawn(accept(listener, router, places, patience, stop.clone()));
    Running { addr, stop, task: Some(task) }
}

impl Running {
    /// Closes the listener and every connection, and waits until they are gone.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            // It ends by itself; a panic in it has been reported by the runtime.
            let _ = task.await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The connections that hold a place.
pub(crate) struct Places {
    limits: Limits,
    held: Mutex<Vec<Arc<Activity>>>,
}

impl Places {
    /// Returns places of which none is taken.
    pub(crate) fn new(limits: Limits) -> Arc<Places> {
        Arc::new(Places { limits, held: Mutex::default() })
    }

    /// Returns the number of places that are taken.
    pub(crate) fn len(&self) -> usize {
        self.held.lock().len()
    }

    /// Takes a place for a new connection, from another one if necessary. `None` where it can get
    /// none.
    fn take(self: &Arc<Places>, peer: SocketAddr) -> Option<Held> {
        let mut held = self.held.lock();
        match admit(&all(&held), Host::of(peer.ip()), self.limits, Instant::now()) {
            Admission::Free => {}
            Admission::InsteadOf(i) => held.swap_remove(i).closed.cancel(),
            Admission::Full => return None,
        }
        let activity = Activity::new(peer);
        held.push(activity.clone());
        Some(Held { places: self.clone(), activity })
    }

    /// Closes the connection that is of least use. Returns `false` where all are being served.
    fn give_one_up(&self) -> bool {
        let mut held = self.held.lock();
        let given = give_up(&all(&held), Instant::now());
        if let Some(i) = given {
            held.swap_remove(i).closed.cancel();
        }
        given.is_some()
    }
}

fn all(held: &[Arc<Activity>]) -> Vec<Place> {
    held.iter().map(|activity| activity.place()).collect()
}

/// A taken place, freed when it is dropped.
struct Held {
    places: Arc<Places>,
    activity: Arc<Activity>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.places.held.lock().retain(|a| !Arc::ptr_eq(a, &self.activity));
    }
}

async fn accept(
    listener: TcpListener,
    router: Router,
    places: Arc<Places>,
    patience: Patience,
    stop: CancellationToken,
) {
    let mut connections = JoinSet::new();
    let overflow = Arc::new(Semaphore::new(MAX_REFUSALS));
    let mut warned = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    tracing::debug!(%peer, "http connection");
                    set_options(&stream);
                    if let Some(held) = places.take(peer) {
                        let router = router.clone();
                        connections.spawn(async move {
                            serve(stream, peer, router, held.activity.clone(), patience).await;
                            drop(held);
                        });
                    } else if let Ok(slot) = overflow.clone().try_acquire_owned() {
                        connections.spawn(async move {
                            refuse(stream).await;
                            drop(slot);
                        });
                    }
                }
                Err(e) => {
                    // Mostly for want of a descriptor. An idle connection is worth less than a new
                    // one.
                    let given = places.give_one_up();
                    if warned.is_none_or(|at: tokio::time::Instant| at.elapsed() > WARN_AGAIN) {
                        warned = Some(tokio::time::Instant::now());
                        tracing::warn!(error = %e, "cannot accept an HTTP connection; this is retried");
                    }
                    tokio::time::sleep(if given { GIVEN_PAUSE } else { ACCEPT_PAUSE }).await;
                }
            },
        }
    }
    // Bodies may wait for the swarm without an end, so they are cut off.
    connections.shutdown().await;
}

/// Best effort: a socket without them works too.
fn set_options(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let socket = SockRef::from(stream);
    let _ = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = socket.set_tcp_notsent_lowat(UNSENT_BYTES);
}
