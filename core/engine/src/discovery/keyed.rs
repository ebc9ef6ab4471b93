//! DHT operations on keys that are no torrent's: the slot index's lookups and announces. Each is a task of its own that
//! ends by itself, whatever DHT nodes answer; what is looked up when, and what the addresses are worth, is decided by
//! `playswarm_logic::slots`.

use super::Shared;
use super::dht::{Dht, Node};
use super::sieve::is_ours;
use futures_util::StreamExt;
use parking_lot::Mutex;
use playswarm_proto::AddressClass;
use playswarm_proto::address_class::is_acceptable;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;

/// How long an operation may take. It ends within seconds as a rule; the slot index gives up after 30 s.
const OPERATION: Duration = Duration::from_secs(25);
/// Addresses that one operation passes on at most, each once. The slot index believes 200.
const MAX_ADDRESSES: usize = 1000;
/// Addresses believed of one answer: what an honest node gives (libtorrent 100 at most), so that a single liar does not
/// fill what the slot index looks at.
const MAX_OF_ANSWER: usize = 100;
/// Room for every address in a message of its own, and for the end: telling never waits for a reader.
const MAX_NEWS: usize = MAX_ADDRESSES + 1;

/// News of an operation on a DHT key that is no torrent's (the slot index).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyNews {
    /// Addresses, each named once in an operation; none that leads nowhere or to our own listener.
    Found(Vec<SocketAddr>),
    /// It is over; true: at least one node answered (lookup), or took the announcement (announce).
    Ended(bool),
}

impl Shared {
    /// Whether there is a DHT at all (`Config::dht`).
    pub(crate) fn has_dht(&self) -> bool {
        self.dht.is_some()
    }

    /// Looks up `key` (BEP 5 get_peers) and, where `announce` is a port, announces it there to the nodes found. Dropping
    /// the receiver ends it. `None` where there is no DHT. Always sends exactly one [`KeyNews::Ended`], last, within 25 s.
    pub(crate) fn key_operation(
        self: &Arc<Self>,
        key: [u8; 20],
        announce: Option<u16>,
    ) -> Option<mpsc::Receiver<KeyNews>> {
        let dht = self.dht.clone()?;
        let (tx, rx) = mpsc::channel(MAX_NEWS);
        // A place kept: an end that found none would leave the reader waiting.
        let end = tx.clone().try_reserve_owned().ok()?;
        let passing = Arc::new(Passing::new(tx, self.listen, dht.class));
        let cancel = self.cancel.clone();
        self.tasks.spawn(async move {
            let done = tokio::select! {
                done = operate(&dht, key, announce, &passing) => done,
                () = passing.tx.closed() => false,
                () = cancel.cancelled() => false,
            };
            // A lookup that ran out of time has its answers nevertheless.
            end.send(KeyNews::Ended(done || (announce.is_none() && passing.answered.load(Ordering::Relaxed))));
        });
        Some(rx)
    }
}

/// One operation over IPv4 and IPv6. True: nodes answered, or took the announcement.
async fn operate(dht: &Arc<Dht>, key: [u8; 20], announce: Option<u16>, passing: &Arc<Passing>) -> bool {
    let six = timeout(OPERATION, dht.six.search(key, announce, |peers| passing.pass(peers.into_iter())));
    let (four, six) = tokio::join!(operate_four(dht, key, announce, passing), six);
    let six = six.unwrap_or_default();
    four || if announce.is_some() { six.stored > 0 } else { six.answered > 0 }
}

/// The same over IPv4, and what follows from it for the node.
async fn operate_four(dht: &Arc<Dht>, key: [u8; 20], announce: Option<u16>, passing: &Arc<Passing>) -> bool {
    let deadline = Instant::now() + OPERATION;
    // Not given up with the operation: a node half made would be begun anew by the next one.
    let making = dht.clone();
    let made = timeout_at(deadline, tokio::spawn(async move { making.node().await })).await;
    let Ok(Ok(Some(node))) = made else { return false };
    // A task of its own: the crate panics when its thread is gone, and that is to end an operation, not the process.
    let asking = AbortOnDropHandle::new(tokio::spawn(ask(node.clone(), key, announce, passing.clone())));
    match timeout_at(deadline, asking).await {
        Ok(Ok(true)) => true,
        Ok(outcome) => {
            dht.drop_if_blind(&node, outcome.is_err()).await;
            false
        }
        // The crate cannot stop a search, and somebody feeds this one with ever new nodes: only the node's end ends it.
        Err(_) => {
            tracing::debug!("a DHT search finds no end; starting another node");
            dht.abandon(&node).await;
            false
        }
    }
}

/// Asks the network, once for all: the crate lets further wishes for a key join the search for it that is under way.
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
        // Where peers can't reach us there is nothing to announce.
        Some(0) => {
            finding.await;
            false
        }
        // Waits for the search's end and takes its tokens; or those of a search just before.
        Some(port) => tokio::join!(finding, node.announce_peer(target, Some(port))).1.is_ok(),
        None => !tokio::join!(finding, node.get_closest_nodes(target)).1.is_empty(),
    }
}

/// What decides which addresses cross to the reader.
struct Passing {
    tx: mpsc::Sender<KeyNews>,
    listen: SocketAddr,
    /// What the DHT's nodes may name.
    class: AddressClass,
    passed: Mutex<HashSet<SocketAddr>>,
    answered: AtomicBool,
}

impl Passing {
    fn new(tx: mpsc::Sender<KeyNews>, listen: SocketAddr, class: AddressClass) -> Passing {
        Passing { tx, listen, class, passed: Mutex::new(HashSet::new()), answered: AtomicBool::new(false) }
    }

    /// Passes on what one answer brought.
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
            // Fails only where nobody listens any more, and then the operation is about to end.
            let _ = self.tx.try_send(KeyNews::Found(fresh));
        }
    }
}

#[cfg(test)]
mod tests;
