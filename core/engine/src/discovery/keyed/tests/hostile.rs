//! Operations on a DHT whose nodes are all hostile. Each must end in time, with a bounded number of
//! addresses.

use super::{KeyNews, MAX_ADDRESSES, MAX_OF_ANSWER, QUERY, Shared, on_dht, to_the_end};
use playswarm_proto::bencode::{put_string, put_string_at};
use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

const KEY: [u8; 20] = [0xa5; 20];

/// A query of ours as a hostile node sees it, with all fields needed for an acceptable answer.
struct Query {
    transaction: Vec<u8>,
    wants_peers: bool,
}

impl Query {
    fn read(bytes: &[u8]) -> Option<Query> {
        let holds = |what: &[u8]| bytes.windows(what.len()).any(|window| window == what);
        let at = bytes.windows(5).rposition(|window| window == b"1:t4:")?;
        let transaction = bytes.get(at + 5..at + 9)?.to_vec();
        (holds(b"1:y1:q")).then(|| Query { transaction, wants_peers: holds(b"9:get_peers") })
    }

    /// Returns a well-formed answer that names these nodes as nearer to the key, and these peers.
    fn answer(&self, id: [u8; 20], nodes: &[([u8; 20], SocketAddrV4)], peers: &[SocketAddrV4]) -> Vec<u8> {
        let mut out = b"d1:rd".to_vec();
        put_string_at(&mut out, "id", &id);
        if self.wants_peers {
            let compact: Vec<u8> = nodes.iter().flat_map(|(id, addr)| [&id[..], &six(*addr)].concat()).collect();
            put_string_at(&mut out, "nodes", &compact);
            put_string_at(&mut out, "token", b"token");
            if !peers.is_empty() {
                out.extend(b"6:valuesl");
                peers.iter().for_each(|peer| put_string(&mut out, &six(*peer)));
                out.push(b'e');
            }
        }
        out.push(b'e');
        put_string_at(&mut out, "t", &self.transaction);
        out.extend(b"1:y1:re");
        out
    }
}

fn six(addr: SocketAddrV4) -> [u8; 6] {
    let ([a, b, c, d], [e, f]) = (addr.ip().octets(), addr.port().to_be_bytes());
    [a, b, c, d, e, f]
}

fn peer(n: u32) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::from(0x0a00_0000 + n), 7000)
}

/// Returns the id of the n-th node. Later nodes are nearer to the key.
fn nearer(n: u32) -> [u8; 20] {
    let mut id = KEY;
    (0..4).for_each(|at| id[4 + at] ^= (u32::MAX - n).to_be_bytes()[at]);
    id
}

/// Nodes that answer every query with the result of `lie` for the query and the node's number. Each
/// has an address of its own.
struct Liars {
    first: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Liars {
    async fn start(count: u32, lie: impl Fn(u32, &Query) -> Option<Vec<u8>> + Send + Sync + 'static) -> Liars {
        Liars::taking_time(Duration::ZERO, count, lie).await
    }

    async fn taking_time(
        time: Duration,
        count: u32,
        lie: impl Fn(u32, &Query) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Liars {
        let (lie, mut tasks, mut first) = (Arc::new(lie), JoinSet::new(), None);
        for n in 0..count {
            let socket = UdpSocket::bind(liar(n)).await.unwrap();
            first.get_or_insert(socket.local_addr().unwrap());
            let lie = lie.clone();
            tasks.spawn(async move {
                let mut buffer = [0; 2048];
                while let Ok((size, from)) = socket.recv_from(&mut buffer).await {
                    if let Some(answer) = Query::read(&buffer[..size]).and_then(|query| lie(n, &query)) {
                        sleep(time).await;
                        let _ = socket.send_to(&answer, from).await;
                    }
                }
            });
        }
        Liars { first: first.unwrap(), _tasks: tasks }
    }

    fn viewer(&self) -> Arc<Shared> {
        on_dht(&[self.first.to_string()], 5020)
    }
}

/// Returns the address of the n-th hostile node of this process. Processes of tests run at the same
/// time, so each has a range of addresses.
fn liar(n: u32) -> SocketAddrV4 {
    let of_process = 0x7f80_0000 + std::process::id() % 4096 * 0x800;
    SocketAddrV4::new(Ipv4Addr::from(of_process + n / 250 * 0x100 + 1 + n % 250), 6881)
}

/// Runs a lookup and an announce. Each must end in time, with bounded results.
async fn survives(liars: &Liars) -> [(Vec<SocketAddr>, bool); 2] {
    let viewer = liars.viewer();
    let mut outcomes = Vec::new();
    for announce in [None, Some(5020)] {
        let begun = Instant::now();
        let (found, ended) = to_the_end(viewer.key_operation(KEY, announce).unwrap()).await;
        assert!(begun.elapsed() < QUERY + Duration::from_secs(2), "{:?}", begun.elapsed());
        assert!(found.len() <= MAX_ADDRESSES, "{}", found.len());
        assert_eq!(found.iter().collect::<HashSet<_>>().len(), found.len(), "none is named twice");
        outcomes.push((found, ended));
    }
    outcomes.try_into().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_say_nothing_end_an_operation_without_success() {
    let liars = Liars::start(1, |_, _| None).await;
    assert_eq!(survives(&liars).await, [(vec![], false), (vec![], false)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_in_answers_is_dropped() {
    let turn = AtomicU32::new(0);
    let liars = Liars::start(1, move |n, query| {
        let good = query.answer(nearer(n), &[], &[]);
        let turn = turn.fetch_add(1, Ordering::Relaxed);
        Some(match turn % 6 {
            0 => (0..1200u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect(),
            1 => good[..good.len() / 2].to_vec(),
            2 => vec![b'l'; 2000],
            3 => [b"d1:rd2:id20:", &[7u8; 20][..], b"5:token99999999999999999999:"].concat(),
            4 => [b"d1:rd2:id3:abc5:nodes5:abcde6:valuesl1:a2:bcee1:t4:", &query.transaction[..], b"1:y1:re"].concat(),
            _ => [b"d1:eli-1e0:e1:t4:", &query.transaction[..], b"1:y1:ee"].concat(),
        })
    })
    .await;
    for _ in 0..3 {
        let [(found, _), (also, stored)] = survives(&liars).await;
        assert_eq!((found, also, stored), (vec![], vec![], false));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_lead_nowhere_or_to_ourselves_do_not_cross() {
    let liars = Liars::start(1, |n, query| {
        let named = [
            "127.0.0.1:5020",
            "0.0.0.0:1",
            "0.1.2.3:4",
            "10.0.0.9:0",
            "224.0.0.1:5",
            "255.255.255.255:6",
            "10.0.0.1:7000",
        ];
        Some(query.answer(nearer(n), &[], &named.map(|addr| addr.parse().unwrap())))
    })
    .await;
    let only = vec!["10.0.0.1:7000".parse().unwrap()];
    // The node never confirms the announce. A pong counts as a confirmation, as in other clients.
    assert_eq!(survives(&liars).await, [(only.clone(), true), (only, true)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_names_thousands_of_peers_gets_the_share_of_one() {
    let liars = Liars::start(1, |n, query| {
        // The most that fits into a message within our limit. For every second query, the most that
        // UDP carries.
        let count = if query.transaction[3] & 2 == 0 { 230 } else { 8000 };
        Some(query.answer(nearer(n), &[], &(0..count).map(peer).collect::<Vec<_>>()))
    })
    .await;
    for (found, _) in survives(&liars).await {
        assert!(found.len() <= MAX_OF_ANSWER, "{}", found.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_nodes_that_name_thousands_of_peers_pass_a_thousand() {
    let liars = Liars::start(40, |n, query| {
        let nodes: Vec<_> = (0..40).map(|n| (nearer(n), liar(n))).collect();
        let peers: Vec<_> = (0..100).map(|i| peer(1000 * n + i)).collect();
        Some(query.answer(nearer(n), &nodes, &peers))
    })
    .await;
    for (found, ended) in survives(&liars).await {
        assert_eq!((found.len(), ended), (MAX_ADDRESSES, true));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_nodes_among_the_nearest_cost_time_and_nothing_else() {
    let liars = Liars::start(2, |n, query| {
        // Only the first two are alive.
        let nodes: Vec<_> = (0..60).map(|n| (nearer(n), liar(n))).collect();
        Some(query.answer(nearer(n), &nodes, &[peer(n)]))
    })
    .await;
    for (found, ended) in survives(&liars).await {
        assert!(ended && found.contains(&peer(0).into()), "{found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_that_is_led_on_without_end_is_ended_and_its_node_replaced() {
    // Each node names the next, slightly nearer, and answers slowly. An operation has no time for
    // four hundred.
    let liars = Liars::taking_time(Duration::from_millis(100), 400, |n, query| {
        Some(query.answer(nearer(n), &[(nearer(n + 1), liar(n + 1))], &[peer(n)]))
    })
    .await;
    let viewer = liars.viewer();
    let dht = viewer.dht.clone().unwrap();
    let before = dht.node().await.unwrap();
    let begun = Instant::now();
    let (found, ended) = to_the_end(viewer.key_operation(KEY, None).unwrap()).await;
    assert!(begun.elapsed() < QUERY + Duration::from_secs(2), "{:?}", begun.elapsed());
    // The results up to then are valid.
    assert!(ended && found.len() > 20, "{}", found.len());
    assert!(!dht.node().await.unwrap().is(&before));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_thread_panics_ends_the_operation_and_is_replaced() {
    // The crate asserts that it announces to at most 255 nodes. In one network, it announces to all
    // that answered.
    let liars = Liars::start(300, |n, query| {
        let nodes: Vec<_> = (n + 1..(n + 9).min(300)).map(|n| (nearer(n), liar(n))).collect();
        Some(query.answer(nearer(n), &nodes, &[]))
    })
    .await;
    let viewer = liars.viewer();
    let dht = viewer.dht.clone().unwrap();
    let before = dht.node().await.unwrap();
    let (found, ended) = to_the_end(viewer.key_operation(KEY, Some(5020)).unwrap()).await;
    assert_eq!((found, ended), (vec![], false));
    assert!(!dht.node().await.unwrap().is(&before));
    assert_eq!(to_the_end(viewer.key_operation(KEY, None).unwrap()).await, (vec![], true));
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_receiver_ends_an_operation() {
    let liars = Liars::start(1, |_, _| None).await;
    let viewer = liars.viewer();
    for _ in 0..20 {
        drop(viewer.key_operation(KEY, Some(5020)).unwrap());
    }
    let mut last = viewer.key_operation(KEY, None).unwrap();
    assert_eq!(timeout(QUERY, last.recv()).await.unwrap(), Some(KeyNews::Ended(false)));
    timeout(Duration::from_secs(2), viewer.close()).await.unwrap();
}
