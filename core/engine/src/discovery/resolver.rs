//! Resolves the host names of peers: few at a time, with a timeout, and without repeated lookups of
//! a name.
//!
//! The caller decides which of the addresses may be dialled, as it knows the source of the name.

use crate::network::Network;
use parking_lot::Mutex;
use playswarm_proto::PeerAddress;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// Most lookups in progress for each kind of source; the system's resolver occupies a thread for
/// each.
const MAX_LOOKUPS: usize = 8;
/// Longest wait for one lookup, not counting the wait for a free place.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Most addresses used per name: both families of a host with several lines.
const MAX_ADDRESSES: usize = 8;
/// Most names whose addresses are remembered, 100 bytes each.
const MAX_REMEMBERED: usize = 1024;
/// Time for which a lookup's result, also an empty one, is reused.
const REMEMBERED_FOR: Duration = Duration::from_secs(5 * 60);
/// Time for which an empty result is reused for a name that the user gave: the network may have
/// been down.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The source of a host name. Names from untrusted sources never delay those of the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NamedBy {
    /// The user, or the link that the user opened.
    User,
    /// A torrent, a tracker or a peer.
    Stranger,
}

/// The resolver of a session.
pub(crate) struct Resolver {
    network: Arc<Network>,
    user: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    remembered: Mutex<HashMap<String, (Instant, Vec<IpAddr>)>>,
}

impl Resolver {
    pub(crate) fn new(network: Arc<Network>) -> Resolver {
        Resolver {
            network,
            user: Arc::new(Semaphore::new(MAX_LOOKUPS)),
            strangers: Arc::new(Semaphore::new(MAX_LOOKUPS)),
            remembered: Mutex::default(),
        }
    }

    /// Returns the addresses of a peer: its own, or those of its name. Returns none if the lookup
    /// fails, or for another kind of address. May wait for other lookups; dropping the future cancels it.
    pub(crate) async fn addresses(&self, peer: &PeerAddress, by: NamedBy) -> Vec<SocketAddr> {
        match peer {
            PeerAddress::Ip(addr) => vec![*addr],
            // The class of an address that only the proxy knows cannot be checked.
            PeerAddress::Name { .. } if self.network.is_proxied() && by == NamedBy::Stranger => Vec::new(),
            PeerAddress::Name { host, port } if self.network.is_proxied() => {
                self.network.stand_in(host, *port).into_iter().collect()
            }
            PeerAddress::Name { host, port } => {
                self.lookup(host, by).await.into_iter().map(|ip| SocketAddr::new(ip, *port)).collect()
            }
            _ => Vec::new(),
        }
    }

    async fn lookup(&self, name: &str, by: NamedBy) -> Vec<IpAddr> {
        if let Some(known) = self.recall(name, by) {
            return known;
        }
        let places = if by == NamedBy::User { &self.user } else { &self.strangers };
        // The semaphore is never closed, so this always succeeds.
        let Ok(permit) = places.clone().acquire_owned().await else { return Vec::new() };
        // Another peer with the same name may have been resolved meanwhile.
        if let Some(known) = self.recall(name, by) {
            return known;
        }
        let (asked, network) = (name.to_owned(), self.network.clone());
        // A separate task: the system's resolver cannot be interrupted, and its place is free only
        // when it has ended.
        let lookup = tokio::spawn(async move {
            let found = network.lookup(&asked, 0).await;
            drop(permit);
            found.map(|found| found.into_iter().map(|addr| addr.ip()).collect::<Vec<_>>())
        });
        let found = match tokio::time::timeout(TIMEOUT, lookup).await {
            Ok(Ok(Ok(found))) => found,
            Ok(Ok(Err(e))) => {
                tracing::debug!(name, error = %e, "a peer's host name could not be resolved");
                Vec::new()
            }
            Ok(Err(_)) => Vec::new(),
            Err(_) => {
                tracing::debug!(name, "resolving a peer's host name timed out");
                Vec::new()
            }
        };
        self.remember(name, found)
    }

    fn recall(&self, name: &str, by: NamedBy) -> Option<Vec<IpAddr>> {
        let remembered = self.remembered.lock();
        let (when, addresses) = remembered.get(name)?;
        let kept = if addresses.is_empty() && by == NamedBy::User { RETRY_AFTER } else { REMEMBERED_FOR };
        (when.elapsed() < kept).then(|| addresses.clone())
    }

    fn remember(&self, name: &str, mut found: Vec<IpAddr>) -> Vec<IpAddr> {
        let mut seen = std::collections::HashSet::new();
        found.retain(|ip| seen.insert(*ip));
        found.truncate(MAX_ADDRESSES);
        let mut remembered = self.remembered.lock();
        if remembered.len() >= MAX_REMEMBERED {
            remembered.retain(|_, (when, _)| when.elapsed() < REMEMBERED_FOR);
            if remembered.len() >= MAX_REMEMBERED {
                remembered.clear();
            }
        }
        remembered.insert(name.to_owned(), (Instant::now(), found.clone()));
        found
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_host_name_becomes_addresses_with_its_port_and_is_remembered() {
        let resolver = Resolver::new(Network::open());
        let peer: PeerAddress = "localhost:7".parse().unwrap();
        let found = resolver.addresses(&peer, NamedBy::User).await;
        assert!(found.iter().any(|addr| addr.ip().is_loopback() && addr.port() == 7), "{found:?}");
        assert_eq!(resolver.addresses(&peer, NamedBy::Stranger).await, found);
        assert_eq!(resolver.remembered.lock().len(), 1);
        // What is remembered is the answer, whatever a lookup would give.
        let known: IpAddr = "192.0.2.9".parse().unwrap();
        resolver.remember("localhost", vec![known]);
        assert_eq!(resolver.addresses(&peer, NamedBy::User).await, [SocketAddr::new(known, 7)]);
        let literal: PeerAddress = "192.0.2.7:6881".parse().unwrap();
        assert_eq!(resolver.addresses(&literal, NamedBy::User).await, ["192.0.2.7:6881".parse().unwrap()]);
    }

    #[test]
    fn its_memory_is_bounded() {
        let resolver = Resolver::new(Network::open());
        for n in 0..3 * MAX_REMEMBERED {
            resolver.remember(&format!("host{n}.example"), vec![IpAddr::from([192, 0, 2, 1]); 100]);
        }
        assert!(resolver.remembered.lock().len() <= MAX_REMEMBERED);
        assert_eq!(resolver.recall("host3000.example", NamedBy::Stranger).unwrap().len(), 1);
    }
}
