//! DHT operations on keys that are not info-hashes: the slot index's lookups and announces. Each is
//! a task that ends by itself, whatever DHT nodes answer. `playswarm_logic::slots` decides which
//! keys to look up and when, and rates the addresses.

use super::Shared;
use super::dht::{Dht, Node, QUERY};
use futures_util::StreamExt;
use parking_lot::Mutex;
use playswarm_proto::AddressClass;
use playswarm_proto::address_class::{is_acceptable, is_ours};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Most addresses passed on by one operation, each once. The slot index uses 200.
const MAX_ADDRESSES: usize = 1000;
/// Most addresses used from one answer: an honest node sends no more (libtorrent at most 100). A
/// single hostile node thus cannot fill the slot index's limit.
const MAX_OF_ANSWER: usize = 100;
/// Capacity for every address in a message of its own, and for the end: sending never waits for a
/// reader.
const MAX_NEWS: usize = MAX_ADDRESSES + 1;

/// An event of an operation of the slot index on a DHT key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyNews {
    /// Addresses, each named once per operation. None is unreachable or our own listener.
    Found(Vec<SocketAddr>),
    /// The end of the operation. True if at least one node answered (lookup) or stored the announce
    /// (announce).
    Ended(bool),
}

impl Shared {
    /// Returns whether a DHT node runs (`Config::dht`).
    pub(crate) fn has_dht(&self) -> bool {
        self.dht.is_some()
    }

    /// Looks up `key` (BEP 5 get_peers). If `announce` is a port, it is announced to the nodes
    /// found. Dropping the receiver ends the operation. Returns `None` if there is no DHT. Always
    /// sends exactly one [`KeyNews::Ended`], last, within 25 s.
    pub(crate) fn key_operation(
        self: &Arc<Self>,
        key: [u8; 20],
        announce: Option<u16>,
    ) -> Option<mpsc::Receiver<KeyNews>> {
        let dht = self.dht.clone()?;
        let (tx, rx) = mpsc::channel(MAX_NEWS);
        // Reserves capacity: without it for the end, the reader would wait for ever.
        let end = tx.clone().try_reserve_owned().ok()?;
        let passing = Arc::new(Passing::new(tx, self.listen, dht.class));
        let cancel = self.cancel.clone();
        self.tasks.spawn(async move {
            let done = tokio::select! {
                done = operate(&dht, key, announce, &passing) => done,
                () = passing.tx.closed() => false,
                () = cancel.cancelled() => false,
            };
            // A lookup that timed out still has its answers.
            end.send(KeyNews::Ended(done || (announce.is_none() && passing.answered.load(Ordering::Relaxed))));
        });
        Some(rx)
    }
}

/// Runs one operation over IPv4 and IPv6. Returns true if nodes answered, or stored the announce.
async fn operate(dht: &Arc<Dht>, key: [u8; 20], announce: Option<u16>, passing: &Arc<Passing>) -> bool {
    let six = timeout(QUERY, dht.six.search(key, announce, |peers| passing.pass(peers.into_iter())));
    let (four, six) = tokio::join!(operate_four(dht, key, announce, passing), six);
    let six = six.unwrap_or_default();
    four || if announce.is_some() { six.stored > 0 } else { six.answered > 0 }
}

/// Runs the operation over IPv4.
async fn operate_four(dht: &Arc<Dht>, key: [u8; 20], announce: Option<u16>, passing: &Arc<Passing>) -> bool {
    let passing = passing.clone();
    dht.query(|node| async move { ask(node, key, announce, passing).await.then_some(()) }).await.is_some()
}

/// Queries the network once for all callers: the crate lets further lookups of a key join the
/// search in progress.
async fn ask(node: Node, key: [u8; 20], announce: Option<u16>, passing: Arc<Passing>) -> bool {
    let Ok(target) = mainline::Id::from_bytes(key) else { return false };
    let node = node.client();
    let mut answers = node.get_peers(target);
    let finding = async {
        while let Some(peers) = answers.next().await {
            passing.pass(peers.into_iter().map(SocketAddr::V4));
        }
    };
    match announce {
        // A port of 0 means that peers cannot reach us: there is nothing to announce.
        Some(0) => {
            finding.await;
            false
        }
        // Waits for the end of the search and uses its tokens, or those of a search just before.
        Some(port) => tokio::join!(finding, node.announce_peer(target, Some(port))).1.is_ok(),
        None => !tokio::join!(finding, node.get_closest_nodes(target)).1.is_empty(),
    }
}

/// A filter for the addresses that reach the reader.
struct Passing {
    tx: mpsc::Sender<KeyNews>,
    listen: SocketAddr,
    /// Class of addresses that the DHT's nodes may name.
    class: AddressClass,
    passed: Mutex<HashSet<SocketAddr>>,
    answered: AtomicBool,
}

impl Passing {
    fn new(tx: mpsc::Sender<KeyNews>, listen: SocketAddr, class: AddressClass) -> Passing {
        Passing { tx, listen, class, passed: Mutex::new(HashSet::new()), answered: AtomicBool::new(false) }
    }

    /// Passes on the addresses of one answer.
    fn pass(&self, answer: impl Iterator<Item = SocketAddr>) {
        self.answered.store(true, Ordering::Relaxed);
        let fresh: Vec<_> = {
            let mut passed = self.passed.lock();
            answer
                .map(|addr| SocketAddr::new(addr.ip().to_canonical(), addr.port()))
                .filter(|addr| is_acceptable(*addr, self.class) && !is_ours(*addr, self.listen))
                .take(MAX_OF_ANSWER)
                .filter(|addr| passed.len() < MAX_ADDRESSES && passed.insert(*addr))
                .collect()
        };
        if !fresh.is_empty() {
            // This fails only if the receiver is gone, and the operation is then about to end.
            let _ = self.tx.try_send(KeyNews::Found(fresh));
        }
    }
}

#[cfg(test)]
mod tests;
