//! The places of a server: its open connections, and which of them is closed for a new one.
//! [`crate::admission`] decides.

use crate::admission::{Admission, Host, Limits, Place, State, admit, give_up};
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use tokio_util::sync::CancellationToken;

/// The places of a server.
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

    /// Takes a place for a new client, from another one if necessary. `None` where it can get none.
    /// `closed` is cancelled when the place is given to another client.
    pub(crate) fn take(self: &Arc<Places>, peer: SocketAddr, closed: CancellationToken) -> Option<Held> {
        let mut held = self.held.lock();
        match admit(&all(&held), Host::of(peer.ip()), self.limits, Instant::now()) {
            Admission::Free => {}
            Admission::InsteadOf(i) => held.swap_remove(i).closed.cancel(),
            Admission::Full => return None,
        }
        let activity = Activity::new(peer, closed);
        held.push(activity.clone());
        Some(Held { places: self.clone(), activity })
    }

    /// Closes the connection that is of least use. Returns `false` where all are being served.
    pub(crate) fn give_one_up(&self) -> bool {
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
pub(crate) struct Held {
    places: Arc<Places>,
    pub(crate) activity: Arc<Activity>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.places.held.lock().retain(|a| !Arc::ptr_eq(a, &self.activity));
    }
}

/// The activity of a client, for the decision on new ones.
pub(crate) struct Activity {
    host: Host,
    now: Mutex<Now>,
    /// Closes the connection.
    pub(crate) closed: CancellationToken,
}

/// What a connection does at a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) state: State,
    /// Since when a write waits for the client.
    pub(crate) blocked: Option<Instant>,
    /// When the last write was taken.
    pub(crate) written: Instant,
}

impl Activity {
    /// Returns that of a connection that was accepted just now.
    fn new(peer: SocketAddr, closed: CancellationToken) -> Arc<Activity> {
        let now = Instant::now();
        let now = Now { state: State::New(now), blocked: None, written: now };
        Arc::new(Activity { host: Host::of(peer.ip()), now: Mutex::new(now), closed })
    }

    /// Returns what the decision on a new connection needs.
    fn place(&self) -> Place {
        let now = self.now();
        let state = match (now.state, now.blocked) {
            // The answer is complete here, but the client has not taken all of it yet.
            (State::Idle(_) | State::Served(_), Some(blocked)) => State::Served(Some(blocked)),
            (state, _) => state,
        };
        Place { host: self.host, state }
    }

    pub(crate) fn now(&self) -> Now {
        *self.now.lock()
    }

    pub(crate) fn set(&self, state: State) {
        let mut now = self.now.lock();
        now.state = state;
        // An answer begins as if it had been written to.
        now.written = Instant::now();
    }

    /// Records a write, which the client took or which waits for it.
    pub(crate) fn wrote(&self, pending: bool) {
        let mut now = self.now.lock();
        match (pending, now.blocked) {
            (true, None) => now.blocked = Some(Instant::now()),
            (false, Some(_)) => now.blocked = None,
            _ => {}
        }
        if !pending {
            now.written = Instant::now();
        }
    }
}
