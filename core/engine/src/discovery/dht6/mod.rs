//! The DHT over IPv6 (BEP 32). It is a client of our own, since no crate has one that can be
//! bounded and reports the end of a search (docs/adr/0009). It sends queries and announces, and
//! remembers the nodes that answered. It answers no queries and declares that (BEP 43).

use super::dht::PATIENCE;
use super::random_u32;
use crate::network::Network;
use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use parking_lot::Mutex;
use playswarm_proto::AddressClass;
use playswarm_proto::krpc::{self, Answer, Id};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

/// Number of nodes nearest to a key that store its peers (BEP 5).
const NEAREST: usize = 8;
/// Most outstanding queries of one search.
const AT_ONCE: usize = 8;
/// Most queries of one search. With [`AT_ONCE`] and [`PATIENCE`], a search ends within 12 s,
/// whatever hostile nodes answer.
const MAX_QUERIES: usize = 64;
/// Most nodes remembered, in the order of their last answers. Searches begin there.
const MAX_KNOWN: usize = 500;
/// Time after which bootstrap names without an IPv6 address are resolved again.
const LOOK_UP_EVERY: Duration = Duration::from_secs(60);
/// Longest duration of a name lookup.
const LOOK_UP: Duration = Duration::from_secs(5);

/// The outcome of a search, apart from the peers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Number of nodes that answered.
    pub(super) answered: usize,
    /// Number of nodes that stored the announce.
    pub(super) stored: usize,
}

/// The session's client, created on first use.
pub(super) struct Dht6 {
    network: Arc<Network>,
    bootstrap: Vec<String>,
    client: tokio::sync::Mutex<(Option<Arc<Client>>, Option<Instant>)>,
}

impl Dht6 {
    /// Creates a client that queries these nodes first, or the public bootstrap nodes if there are
    /// none.
    pub(super) fn new(bootstrap: &[String], network: Arc<Network>) -> Dht6 {
        let bootstrap = match bootstrap {
            [] => mainline::DEFAULT_BOOTSTRAP_NODES.map(String::from).to_vec(),
            given => given.to_vec(),
        };
        Dht6 { network, bootstrap, client: Default::default() }
    }

    /// Looks up a key. If `announce` is a port, it is announced to the nearest nodes. `found` gets
    /// the peers of each answer.
    pub(super) async fn search(&self, key: Id, announce: Option<u16>, found: impl FnMut(Vec<SocketAddr>)) -> Outcome {
        match self.client().await {
            Some(client) => client.search(key, announce, found).await,
            None => Outcome::default(),
        }
    }

    /// Returns the client; `None` if no node is reachable over IPv6.
    async fn client(&self) -> Option<Arc<Client>> {
        let (client, tried) = &mut *self.client.lock().await;
        let known = client.as_ref().is_some_and(|client| !client.known.lock().is_empty());
        if !known && tried.is_none_or(|at| at.elapsed() >= LOOK_UP_EVERY) {
            *tried = Some(Instant::now());
            let network = &self.network;
            let look_up = |node: &String| {
                let node = node.clone();
                async move {
                    let (host, port) = node.rsplit_once(':')?;
                    let host = host.trim_start_matches('[').trim_end_matches(']');
                    timeout(LOOK_UP, network.lookup(host, port.parse().ok()?)).await.ok()?.ok()
                }
            };
            let addrs: Vec<_> = join_all(self.bootstrap.iter().map(look_up))
                .await
                .into_iter()
                .flatten()
                .flatten()
                .filter(SocketAddr::is_ipv6)
                .collect();
            *client = if addrs.is_empty() { None } else { Client::start(addrs, &self.network) };
        }
        client.clone()
    }
}

/// A socket and the nodes known through it.
struct Client {
    link: Arc<Link>,
    bootstrap: Vec<SocketAddr>,
    known: Mutex<VecDeque<(Id, SocketAddr)>>,
    _reader: AbortOnDropHandle<()>,
}

impl Client {
    fn start(bootstrap: Vec<SocketAddr>, network: &Arc<Network>) -> Option<Arc<Client>> {
        let link = Link::bind(network).inspect_err(|e| tracing::debug!(error = %e, "no DHT over IPv6")).ok()?;
        let link = Arc::new(link);
        let reader = AbortOnDropHandle::new(tokio::spawn({
            let link = link.clone();
            async move { link.read().await }
        }));
        Some(Arc::new(Client { link, bootstrap, known: Mutex::default(), _reader: reader }))
    }

    async fn search(&self, key: Id, announce: Option<u16>, mut found: impl FnMut(Vec<SocketAddr>)) -> Outcome {
        let mut search = Search::new(key);
        let mut known: Vec<_> = self.known.lock().iter().copied().collect();
        known.sort_unstable_by_key(|(id, _)| distance(id, &key));
        known.truncate(2 * NEAREST);
        if known.len() < NEAREST {
            // Their ids are not known yet. They count as far away, so that any node they name is
            // nearer.
            known.extend(self.bootstrap.iter().enumerate().map(|(at, addr)| (farthest(&key, at), *addr)));
        }
        known.iter().for_each(|(id, addr)| search.hear_of(id, *addr));

        let mut asked = FuturesUnordered::new();
        loop {
            while asked.len() < AT_ONCE
                && let Some((place, addr)) = search.next()
            {
                let query = self.link.ask(addr, |transaction| krpc::get_peers(transaction, &self.link.id, &key));
                asked.push(async move { (place, addr, query.await) });
            }
            let Some((place, addr, answer)) = asked.next().await else { break };
            let Some(answer) = answer else {
                search.failed(&place);
                self.forget(addr);
                continue;
            };
            self.remember(answer.id, addr);
            let source = AddressClass::of(addr.ip());
            let may_be_named = |named: &SocketAddr| source.may_name(AddressClass::of(named.ip()));
            answer.nodes.iter().filter(|(_, a)| may_be_named(a)).for_each(|(id, a)| search.hear_of(id, *a));
            search.answered(&place, answer.token);
            let peers: Vec<SocketAddr> = answer.peers.into_iter().filter(may_be_named).collect();
            if !peers.is_empty() {
                found(peers);
            }
        }
        let stored = match announce.filter(|port| *port != 0) {
            Some(port) => join_all(search.nearest().map(|(addr, token)| {
                self.link.ask(addr, |transaction| krpc::announce_peer(transaction, &self.link.id, &key, port, token))
            }))
            .await
            .into_iter()
            .flatten()
            .count(),
            None => 0,
        };
        Outcome { answered: search.answers, stored }
    }

    fn remember(&self, id: Id, addr: SocketAddr) {
        let mut known = self.known.lock();
        known.retain(|(_, other)| *other != addr);
        known.push_back((id, addr));
        if known.len() > MAX_KNOWN {
            known.pop_front();
        }
    }

    fn forget(&self, addr: SocketAddr) {
        self.known.lock().retain(|(_, other)| *other != addr);
    }
}

/// A socket that sends queries and matches the answers.
struct Link {
    network: Arc<Network>,
    socket: UdpSocket,
    id: Id,
    next: AtomicU16,
    waiting: Mutex<HashMap<u16, (SocketAddr, oneshot::Sender<Answer>)>>,
}

impl Link {
    fn bind(network: &Arc<Network>) -> std::io::Result<Link> {
        let socket = network.udp(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)))?;
        let mut id = [0; 20];
        id.chunks_mut(4).for_each(|part| part.copy_from_slice(&random_u32().to_be_bytes()));
        let next = AtomicU16::new(random_u32() as u16);
        Ok(Link { network: network.clone(), socket, id, next, waiting: Mutex::default() })
    }

    /// Sends a query and returns its answer; `None` after a timeout or an error.
    async fn ask(&self, addr: SocketAddr, query: impl FnOnce(u16) -> Vec<u8>) -> Option<Answer> {
        let transaction = self.next.fetch_add(1, Ordering::Relaxed);
        self.network.permit(addr.ip()).ok()?;
        let (tx, rx) = oneshot::channel();
        self.waiting.lock().insert(transaction, (addr, tx));
        // Removes the entry however the query ends, also if the search is dropped.
        let _waiting = Waiting { link: self, transaction };
        self.socket.send_to(&query(transaction), addr).await.ok()?;
        timeout(PATIENCE, rx).await.ok()?.ok()
    }

    async fn read(&self) {
        let mut buffer = [0; 4096];
        loop {
            let Ok((size, from)) = self.socket.recv_from(&mut buffer).await else {
                // An error of one datagram, or the network is down for now.
                sleep(Duration::from_millis(100)).await;
                continue;
            };
            let Some((transaction, answer)) = krpc::read(&buffer[..size]) else { continue };
            let mut waiting = self.waiting.lock();
            if waiting.get(&transaction).is_some_and(|(addr, _)| *addr == from)
                && let Some((_, tx)) = waiting.remove(&transaction)
                && let Some(answer) = answer
            {
                let _ = tx.send(answer);
            }
        }
    }
}

struct Waiting<'a> {
    link: &'a Link,
    transaction: u16,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.link.waiting.lock().remove(&self.transaction);
    }
}

/// The nodes that one search knows, nearest first, and their states.
struct Search {
    key: Id,
    nodes: BTreeMap<Id, (SocketAddr, State)>,
    addrs: HashSet<SocketAddr>,
    queries: usize,
    answers: usize,
}

enum State {
    Fresh,
    Asked,
    Answered(Option<Vec<u8>>),
    Failed,
}

impl Search {
    fn new(key: Id) -> Search {
        Search { key, nodes: BTreeMap::new(), addrs: HashSet::new(), queries: 0, answers: 0 }
    }

    /// Adds a node that another one named. Each address is queried once, under the first id named
    /// for it.
    fn hear_of(&mut self, id: &Id, addr: SocketAddr) {
        let somewhere = addr.port() != 0 && AddressClass::of(addr.ip()) != AddressClass::Nowhere;
        if somewhere && addr.ip().to_canonical().is_ipv6() && self.addrs.insert(addr) {
            self.nodes.entry(distance(id, &self.key)).or_insert((addr, State::Fresh));
        }
    }

    /// Returns the next node to query: one of the nearest that did not fail, until all of these
    /// have answered.
    fn next(&mut self) -> Option<(Id, SocketAddr)> {
        if self.queries >= MAX_QUERIES {
            return None;
        }
        let mut alive = self.nodes.iter_mut().filter(|(_, (_, state))| !matches!(state, State::Failed)).take(NEAREST);
        let (place, (addr, state)) = alive.find(|(_, (_, state))| matches!(state, State::Fresh))?;
        *state = State::Asked;
        self.queries += 1;
        Some((*place, *addr))
    }

    fn answered(&mut self, place: &Id, token: Option<Vec<u8>>) {
        self.answers += 1;
        self.put(place, State::Answered(token));
    }

    fn failed(&mut self, place: &Id) {
        self.put(place, State::Failed);
    }

    fn put(&mut self, place: &Id, state: State) {
        if let Some(node) = self.nodes.get_mut(place) {
            node.1 = state;
        }
    }

    /// Returns the nearest nodes that answered and accept announces.
    fn nearest(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        self.nodes
            .values()
            .filter_map(|(addr, state)| match state {
                State::Answered(Some(token)) => Some((*addr, &token[..])),
                _ => None,
            })
            .take(NEAREST)
    }
}

fn distance(id: &Id, key: &Id) -> Id {
    std::array::from_fn(|at| id[at] ^ key[at])
}

/// Returns distinct ids that are farthest from a key.
fn farthest(key: &Id, nth: usize) -> Id {
    let mut id = key.map(|byte| !byte);
    id[19] ^= nth as u8;
    id
}

#[cfg(test)]
mod tests;
