//! The mainline DHT (BEP 5), by the `mainline` crate: one node a session, as a client. That crate knows IPv4 alone, so IPv6 is
//! asked beside it by `dht6`.

use super::Context;
use super::dht6::Dht6;
use futures_util::StreamExt;
use mainline::async_dht::AsyncDht;
use playswarm_logic::torrent::Origin;
use playswarm_proto::AddressClass;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

/// How long a node's answer may take. A search that meets dead nodes, and nearly each does, waits so long for the last of them;
/// and an announcement follows its search's end. `mainline` waits for 2 s where it is not told.
pub(super) const PATIENCE: Duration = Duration::from_millis(1500);
/// How long one search may take; it ends by itself within a few seconds as a rule.
const SEARCH: Duration = Duration::from_secs(60);
/// Pauses between searches: soon again at first, while the node still gets to know its surroundings, then every five minutes.
const PAUSES: [Duration; 6] = [
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(120),
    Duration::from_secs(300),
];
/// When peers run short, a search may follow the last one this soon.
const HURRY_PAUSE: Duration = Duration::from_secs(10);
/// Nodes forget an announcement after half an hour or so (BEP 5 leaves it open).
const ANNOUNCE_EVERY: Duration = Duration::from_secs(10 * 60);
/// A node that knows nobody (no network at its start, say) is replaced by one that looks up the bootstrap names again.
const REBUILD_AFTER: Duration = Duration::from_secs(10);

/// A node of ours, as it was at some time.
#[derive(Clone)]
pub(super) struct Node {
    client: AsyncDht,
    since: Instant,
}

impl Node {
    /// What speaks to the network. It panics where its thread is gone.
    pub(super) fn client(&self) -> &AsyncDht {
        &self.client
    }

    /// Whether they are the same one.
    pub(super) fn is(&self, other: &Node) -> bool {
        self.since == other.since
    }
}

/// The session's node, made when it is first wanted.
pub(super) struct Dht {
    bootstrap: Vec<String>,
    /// What its nodes may name: peers of the Internet, unless the user asks the nodes of a local network first.
    pub(super) class: AddressClass,
    /// The same over IPv6.
    pub(super) six: Dht6,
    node: tokio::sync::Mutex<Option<Node>>,
}

impl Dht {
    pub(super) fn new(bootstrap: Vec<String>) -> Dht {
        Dht { six: Dht6::new(&bootstrap), class: class_of(&bootstrap), bootstrap, node: tokio::sync::Mutex::new(None) }
    }

    /// The node; `None` where none can be made at the moment.
    pub(super) async fn node(&self) -> Option<Node> {
        let mut slot = self.node.lock().await;
        if let Some(node) = &*slot {
            return Some(node.clone());
        }
        let bootstrap = self.bootstrap.clone();
        // Looks up names and binds a socket: both may block.
        let built = tokio::task::spawn_blocking(move || {
            let mut builder = mainline::Dht::builder();
            // Any port: 6881 over UDP is our own uTP's.
            builder.port(0).request_timeout(PATIENCE);
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
                tracing::info!(error = %e, "no DHT node for now");
                None
            }
            Err(_) => None,
        }
    }

    /// Gives up this node, where it is still ours, if it has failed, or is old enough to know somebody and knows nobody.
    pub(super) async fn drop_if_blind(&self, node: &Node, failed: bool) {
        if !failed && node.since.elapsed() < REBUILD_AFTER {
            return;
        }
        let client = node.client.clone();
        // A task of its own: see `Node::client`.
        let blind = failed || tokio::spawn(async move { client.to_bootstrap().await.is_empty() }).await.unwrap_or(true);
        if blind {
            tracing::debug!("the DHT node knows nobody; starting another");
            self.abandon(node).await;
        }
    }

    /// Gives up this node, where it is still ours. Its thread ends when nobody has it any more.
    pub(super) async fn abandon(&self, node: &Node) {
        self.node.lock().await.take_if(|now| now.is(node));
    }
}

/// The least local class of the nodes that are asked first.
fn class_of(bootstrap: &[String]) -> AddressClass {
    let class = |node: &String| match node.parse::<SocketAddr>() {
        Ok(addr) => AddressClass::of(addr.ip()),
        Err(_) if node.starts_with("localhost:") => AddressClass::Loopback,
        Err(_) => AddressClass::Global,
    };
    bootstrap.iter().map(class).min().unwrap_or(AddressClass::Global)
}

/// Searches and announces until the torrent is dropped or turns out to be private.
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
        let announce = context.listen_port != 0 && announced.is_none_or(|at| at.elapsed() >= ANNOUNCE_EVERY);
        // A task of its own: the crate panics when its thread is gone, and that is to end a search, not all searching.
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

/// One search, and an announcement to the nodes that it ended at, over IPv4 and IPv6. Gives the peers named and whether
/// nodes took the announcement.
async fn search(dht: Arc<Dht>, node: Node, context: Arc<Context>, announce: bool) -> (usize, bool) {
    let mut found_by_six = 0;
    let port = announce.then_some(context.listen_port);
    let six = dht.six.search(context.info_hash.0, port, |peers| {
        found_by_six += peers.len();
        peers.into_iter().for_each(|peer| _ = context.sieve.offer(peer, Origin::Dht, dht.class));
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
                context.sieve.offer(SocketAddr::V4(peer), Origin::Dht, dht.class);
            }
        }
    })
    .await;
    if ended.is_err() {
        // The crate cannot stop a search, and somebody feeds this one with ever new nodes: only the node's end ends it.
        dht.abandon(node).await;
        return (found, false);
    }
    let stored = announce
        && matches!(timeout(SEARCH, node.client.announce_peer(target, Some(context.listen_port))).await, Ok(Ok(_)));
    (found, stored)
}
