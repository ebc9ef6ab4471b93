//! The number of peer connections, bounded by the file descriptors that this process may have.
//!
//! Each TCP connection takes a descriptor, and so do players, files, trackers and the host's own
//! work. Without a free descriptor, a process can neither accept its player's connection nor open
//! the film. Peers therefore get a share that leaves enough for the rest. Connections over uTP
//! share one descriptor and are not counted.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Descriptors reserved for players, files, trackers, name lookups and the DHT.
const KEPT: usize = 40;
/// Divisor of the limit that gives the descriptors reserved for the host's own work and for needs
/// beyond [`KEPT`].
const KEPT_SHARE: usize = 4;
/// Number of peers accepted even if descriptors are scarce.
const LEAST: usize = 4;
/// Most connections, however many descriptors there are.
const MOST: usize = 16_384;
/// Assumed number of open descriptors if the system does not report it: the need of a session at
/// its start.
const USED: usize = 32;

/// The places for a session's TCP connections to peers.
#[derive(Clone)]
pub(crate) struct Sockets {
    places: Arc<Semaphore>,
    all: usize,
}

/// A place among these, freed when dropped.
pub(crate) type Place = OwnedSemaphorePermit;

impl Sockets {
    /// Creates as many places as the process's limit allows at this moment.
    pub(crate) fn new() -> Sockets {
        let all = places(limit(), used());
        Sockets { places: Arc::new(Semaphore::new(all)), all }
    }

    /// Returns the total number of places.
    pub(crate) fn count(&self) -> usize {
        self.all
    }

    /// Takes a place for one more connection, if one is free.
    pub(crate) fn take(&self) -> Option<Place> {
        self.places.clone().try_acquire_owned().ok()
    }
}

fn places(limit: usize, used: usize) -> usize {
    limit.saturating_sub(used).saturating_sub(KEPT.max(limit / KEPT_SHARE)).clamp(LEAST, MOST)
}

/// Returns the number of descriptors that this process may have open.
pub(crate) fn limit() -> usize {
    rustix::process::getrlimit(rustix::process::Resource::Nofile)
        .current
        .map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// Returns the number of descriptors that are open now.
fn used() -> usize {
    // One of them is open to read the folder.
    std::fs::read_dir("/dev/fd").map_or(USED, |all| all.count().saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_leave_descriptors_for_players_and_files() {
        assert_eq!(places(128, 30), 58);
        assert_eq!(places(1024, 30), 738);
        assert_eq!(places(64, 60), LEAST);
        assert_eq!(places(usize::MAX, 30), MOST);
    }

    #[test]
    fn a_place_is_given_back_when_its_connection_is_gone() {
        let sockets = Sockets { places: Arc::new(Semaphore::new(1)), all: 1 };
        let place = sockets.take().expect("the only place");
        assert!(sockets.take().is_none());
        drop(place);
        assert!(sockets.take().is_some());
    }
}
