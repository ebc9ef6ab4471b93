//! The mainline DHT (BEP 5), by the `mainline` crate: one node per session, as a client. That crate
//! supports only IPv4, so `dht6` queries IPv6 in parallel.

use super::Context;
use super::dht6::Dht6;
use crate::network::Network;
use futures_util::StreamExt;
use mainline::async_dht::AsyncDht;
use playswarm_logic::torrent::Origin;
use playswarm_proto::AddressClass;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;

/// Longest time for a node's answer. Nearly every search meets dead nodes and waits this long for
/// the last of them; an announce follows the end of its search. The default of `mainline` is 2 s.
pub(super) const PATIENCE: Duration = Duration::from_millis(1500);
/// Longest duration of a query by [`Dht::query`]. It usually ends within seconds; the slot index waits
/// for 30 s.
pub(super) const QUERY: Duration = Duration::from_secs(25);
/// Longest duration of a search. It usually ends by itself within a few seconds.
const SEARCH: Duration = Duration::from_secs(60);
/// Pauses between searches. They are short at first, while the node learns its neighbourhood, and
/// then five minutes.
const PAUSES: [Duration; 6] = [
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(120),
    Duration::from_secs(300),
];
/// Shortest pause before a search when peers run short.
const HURRY_PAUSE: Duration = Duration::from_secs(10);
/// Time between two announces. Nodes forget an announce after about half an hour (BEP 5 does not
/// specify it).
const ANNOUNCE_EVERY: Duration = Duration::from_secs(10 * 60);
/// Time after which a node without neighbours (for example, without network at its start) is
/// replaced. The new one resolves the bootstrap names again.
const REBUILD_AFTER: Duration = Duration::from_secs(10);

/// A node of ours, identified by its start time.
#[derive(Clone)]
pub(super) struct Node {
    client: AsyncDht,
    since: Instant,
}

impl Node {
    /// Returns the interface to the network. It panics if its thread has ended.
    pub(super) fn client(&self) -> &AsyncDht {
        &self.client
    }

    /// Returns whether both are the same node.
    pub(super) fn is(&self, other: &Node) -> bool {
        self.since == other.since
    }
}

/// The session's node, created on first use.
pub(super) struct Dht {
    network: Arc<Network>,
    bootstrap: Vec<String>,
    /// Class of addresses that its nodes may name: the Internet, unless the user configured
    /// bootstrap nodes in a local network.
    pub(super) class: AddressClass,
    /// The client over IPv6.
    pub(super) six: Dht6,
    node: tokio::sync::Mutex<Option<Node>>,
}

impl Dht {
    pub(super) fn new(bootstrap: Vec<String>, network: Arc<Network>) -> Dht {
        let six = Dht6::new(&bootstrap, network.clone());
        Dht { network, six, class: class_of(&bootstrap), bootstrap, node: tokio::sync::Mutex::new(None) }
    }

    /// Returns the node; `None` if none can be created at the moment.
    pub(super) async fn node(&self) -> Option<Node> {
        let mut slot = self.node.lock().await;
        if let Some(node) = &*slot {
            return Some(node.clone());
        }
        let Some(address) = self.network.dht_address() else {
            tracing::info!("no DHT, as its datagrams would not leave by the chosen interface or address");
            return None;
        };
        let bootstrap = self.bootstrap.clone();
        // This resolves names and binds a socket: both may block.
        let built = tokio::task::spawn_blocking(move || {
            let mut builder = mainline::Dht::builder();
            // Any port: our own uTP uses 6881 over UDP.
            builder.port(0).bind_address(address).request_timeout(PATIENCE);
            if !bootstrap.is_empty() {
                builder.bootstrap(&bootstrap);
            }
            builder.build()
        });
        match built.await {
            Ok(Ok(node)) => {
                let node = Node { client: node.as_async(), since: Instant::now() };
                *slot = Some(node.clone());
                Some(node)
            }
            Ok(Err(e)) => {
                tracing::info!(error = %e, "the DHT node could not be started");
                None
            }
            Err(_) => None,
        }
    }

    /// Runs a query on the node. Returns `None` if there is no node, or the query returns `None`
    /// because no other node answered, or takes longer than [`QUERY`]. Replaces the node if necessary.
    pub(super) async fn query<R, F>(self: &Arc<Dht>, query: impl FnOnce(Node) -> F) -> Option<R>
    where
        R: Send + 'static,
        F: Future<Output = Option<R>> + Send + 'static,
    {
        let deadline = Instant::now() + QUERY;
        // This survives the end of the query: otherwise the next one would have to create the node
        // anew.
        let making = self.clone();
        let made = timeout_at(deadline, tokio::spawn(async move { making.node().await })).await;
        let Ok(Ok(Some(node))) = made else { return None };
        // A separate task: the crate panics when its thread is gone. That is to end a query, not the
        // process.
        let asking = AbortOnDropHandle::new(tokio::spawn(query(node.clone())));
        match timeout_at(deadline, asking).await {
            Ok(Ok(Some(result))) => Some(result),
            Ok(outcome) => {
                self.drop_if_blind(&node, outcome.is_err()).await;
                None
            }
            // The crate cannot stop a search, and hostile nodes prolong this one with ever new nodes.
            // Only the end of our node ends it.
            Err(_) => {
                tracing::debug!("a DHT search does not end; starting a new node");
                self.abandon(&node).await;
                None
            }
        }
    }

    /// Drops this node if it has failed, or if it is old and has no neighbours. Does nothing if it
    /// was replaced already.
    pub(super) async fn drop_if_blind(&self, node: &Node, failed: bool) {
        if !failed && node.since.elapsed() < REBUILD_AFTER {
            return;
        }
        let client = node.client.clone();
        // A separate task: see `Node::client`.
        let blind = failed || tokio::spawn(async move { client.to_bootstrap().await.is_empty() }).await.unwrap_or(true);
        if blind {
            tracing::debug!("the DHT node has no other nodes; starting a new one");
            self.abandon(node).await;
        }
    }

    /// Drops this node, if it is still the session's. Its thread ends with the last reference.
    pub(super) async fn abandon(&self, node: &Node) {
        self.node.lock().await.take_if(|now| now.is(node));
    }
}

/// Returns the least local class of the bootstrap nodes.
fn class_of(bootstrap: &[String]) -> AddressClass {
    let class = |node: &String| match node.parse::<SocketAddr>() {
        Ok(addr) => AddressClass::of(addr.ip()),
        Err(_) if node.starts_with("localhost:") => AddressClass::Loopback,
        Err(_) => AddressClass::Global,
    };
    bootstrap.iter().map(class).min().unwrap_or(AddressClass::Global)
}

/// Searches, and announces if that is wanted, until the torrent is dropped or turns out to be private.
pub(super) async fn run(dht: Arc<Dht>, context: Arc<Context>) {
    let mut hurry = context.hurry.subscribe();
    let mut announced: Option<Instant> = None;
    for n in 0usize.. {
        let Some(node) = (tokio::select! {
            node = dht.node() => node,
            () = context.private.cancelled() => return,
        }) else {
            tokio::select! {
                () = sleep(PAUSES[n.min(PAUSES.len() - 1)]) => continue,
                () = context.private.cancelled() => return,
            }
        };
        let begun = Instant::now();
        let wanted = context.listen_port != 0 && (context.announces)();
        let announce = wanted && announced.is_none_or(|at| at.elapsed() >= ANNOUNCE_EVERY);
        // A separate task: the crate panics when its thread is gone. That is to end one search, not
        // all.
        let search = AbortOnDropHandle::new(tokio::spawn(search(dht.clone(), node.clone(), context.clone(), announce)));
        let outcome = tokio::select! {
            outcome = search => outcome,
            () = context.private.cancelled() => return,
        };
        let failed = outcome.is_err();
        let (found, stored) = outcome.unwrap_or((0, false));
        tracing::debug!(found, stored, took = ?begun.elapsed(), "DHT search done");
        if stored {
            announced = Some(begun);
        }
        let mut due = Instant::now() + PAUSES[n.min(PAUSES.len() - 1)];
        if found == 0 {
            dht.drop_if_blind(&node, failed).await;
        }
        hurry.mark_unchanged();
        while Instant::now() < due {
            tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                changed = hurry.changed() => match changed {
                    Ok(()) => due = due.min(begun + HURRY_PAUSE),
                    Err(_) => return,
                },
                () = context.private.cancelled() => return,
            }
        }
    }
}

/// Runs one search over IPv4 and IPv6, and announces to the nodes at which it ended. Returns the
/// number of peers named and whether nodes stored the announce.
async fn search(dht: Arc<Dht>, node: Node, context: Arc<Context>, announce: bool) -> (usize, bool) {
    let mut found_by_six = 0;
    let port = announce.then_some(context.listen_port);
    let six = dht.six.search(context.info_hash.0, port, |peers| {
        found_by_six += peers.len();
        peers.into_iter().for_each(|peer| context.offer(peer, Origin::Dht, dht.class));
    });
    let ((found, stored), six) = tokio::join!(search_four(&dht, &node, &context, announce), six);
    (found + found_by_six, stored || six.stored > 0)
}

async fn search_four(dht: &Dht, node: &Node, context: &Context, announce: bool) -> (usize, bool) {
    let Ok(target) = mainline::Id::from_bytes(context.info_hash.0) else { return (0, false) };
    let mut found = 0;
    let ended = timeout(SEARCH, async {
        let mut answers = node.client.get_peers(target);
        while let Some(peers) = answers.next().await {
            found += peers.len();
            for peer in peers {
                context.offer(SocketAddr::V4(peer), Origin::Dht, dht.class);
            }
        }
    })
    .await;
    if ended.is_err() {
        // The crate cannot stop a search, and hostile nodes prolong this one with ever new nodes.
        // Only the end of our node ends it.
        dht.abandon(node).await;
        return (found, false);
    }
    let stored = announce
        && matches!(timeout(SEARCH, node.client.announce_peer(target, Some(context.listen_port))).await, Ok(Ok(_)));
    (found, stored)
}
