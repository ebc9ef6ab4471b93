//! The listener: the number of connections and their socket options. [`super::connection`] bounds
//! the time of each, and the router answers their requests.

use super::admission::{Admission, Host, Limits, Place, admit, give_up};
use super::connection::{Activity, Patience, refuse, serve};
use crate::listening::{ACCEPT_PAUSE, Running, set_options};
use axum::Router;
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Connections beyond the limit that are answered with 503 at the same time. Further ones are
/// closed without an answer.
const MAX_REFUSALS: usize = 32;
/// Unsent bytes that the kernel accepts for a connection. More would put the reader of a slow
/// client megabytes ahead of it.
const UNSENT_BYTES: u32 = 256 * 1024;
/// Pause after a failed accept where a connection is being closed for it.
const GIVEN_PAUSE: Duration = Duration::from_millis(2);
/// Least time between two warnings about failed accepts.
const WARN_AGAIN: Duration = Duration::from_secs(60);

/// Serves until stopped.
pub(crate) fn run(
    listener: TcpListener,
    addr: SocketAddr,
    router: Router,
    places: Arc<Places>,
    patience: Patience,
) -> Running {
    Running::start(addr, |stop| accept(listener, router, places, patience, stop))
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
                    set_options(&stream, UNSENT_BYTES);
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
