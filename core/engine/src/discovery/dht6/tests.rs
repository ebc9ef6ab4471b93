//! Searches over IPv6: on real libtorrent nodes at ::1, and on hostile nodes.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::config::Config;
use crate::discovery::keyed::KeyNews;
use crate::discovery::tests::next;
use crate::discovery::{Discovery, Params, Progress, Shared};
use crate::metainfo::InfoHash;
use crate::network::Network;
use playswarm_proto::bencode::{put_string, put_string_at};
use playswarm_tests::peers::dht_net::DhtNet;
use playswarm_tests::requirement;

const KEY: Id = [0x5a; 20];

async fn real_nodes() -> DhtNet {
    tokio::task::spawn_blocking(|| DhtNet::start(Ipv6Addr::LOCALHOST.into(), 60)).await.unwrap()
}

fn on_dht(net: &DhtNet, port: u16) -> Arc<Shared> {
    let config = Config { dht: true, dht_bootstrap: net.bootstrap(), ..Config::offline(".") };
    Shared::start(&config, SocketAddr::from((Ipv6Addr::LOCALHOST, port)), Network::open()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn on_real_nodes_of_ipv6_an_announcement_is_found_by_another_viewer() {
    if !requirement::libtorrent() {
        return;
    }
    let net = real_nodes().await;
    let (first, second) = (on_dht(&net, 5030), on_dht(&net, 5031));
    let begun = Instant::now();
    let mut announcing = first.key_operation(KEY, Some(5030)).unwrap();
    assert_eq!(announcing.recv().await, Some(KeyNews::Ended(true)));
    println!("announced after {:?}", begun.elapsed());
    let mut looking = second.key_operation(KEY, None).unwrap();
    assert_eq!(looking.recv().await, Some(KeyNews::Found(vec!["[::1]:5030".parse().unwrap()])));
    println!("found after {:?}", begun.elapsed());
    assert_eq!(looking.recv().await, Some(KeyNews::Ended(true)));
    assert_eq!(looking.recv().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_real_nodes_of_ipv6_a_search_asks_few_and_announces_to_the_nearest() {
    if !requirement::libtorrent() {
        return;
    }
    let net = real_nodes().await;
    let dht = Dht6::new(&net.bootstrap(), Network::open());
    let outcome = dht.search(KEY, Some(5032), |_| ()).await;
    assert_eq!(outcome.stored, NEAREST);
    assert!((NEAREST..MAX_QUERIES).contains(&outcome.answered), "{outcome:?}");
    println!("{outcome:?}");
    // The nearest of all are among those it knows now.
    let client = dht.client().await.unwrap();
    let mut ids: Vec<_> = net.nodes.iter().map(|(_, id)| distance(id, &KEY)).collect();
    ids.sort_unstable();
    assert!(client.known.lock().iter().any(|(id, _)| distance(id, &KEY) == ids[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn torrents_are_sought_and_announced_over_ipv6_too() {
    if !requirement::libtorrent() {
        return;
    }
    let net = real_nodes().await;
    let start = |port| {
        let params = Params {
            info_hash: InfoHash([9; 20]),
            peer_id: *b"-PS0100-abcdefghijkl",
            listen_port: port,
            trackers: Default::default(),
            private: false,
            progress: Arc::new(|| Progress { left: 1, ..Progress::default() }),
            announces: Arc::new(|| true),
        };
        let shared = on_dht(&net, port);
        let (discovery, found) = Discovery::start(&shared, params);
        (shared, discovery, found)
    };
    let (_first, _one, mut found_by_one) = start(5033);
    let (_second, _two, mut found_by_two) = start(5034);
    // The first to announce is found by the other.
    let found = timeout(Duration::from_secs(60), async {
        tokio::select! {
            (found, _) = next(&mut found_by_one, "[::1]:5033") => (found, "[::1]:5034"),
            (found, _) = next(&mut found_by_two, "[::1]:5034") => (found, "[::1]:5033"),
        }
    });
    let (found, other) = found.await.unwrap();
    assert_eq!(found, other.parse().unwrap());
}

/// A hostile answer, given the addresses of all nodes, the node's number and the query's
/// transaction.
type Lie = fn(&[SocketAddr], usize, &[u8]) -> Option<Vec<u8>>;

/// Nodes at ::1 that answer as a [`Lie`] decides, and the numbers of those that were queried.
struct Liars {
    addrs: Vec<SocketAddr>,
    asked: Arc<Mutex<Vec<usize>>>,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

impl Liars {
    async fn start(count: usize, lie: Lie) -> Liars {
        let mut sockets = Vec::new();
        for _ in 0..count {
            sockets.push(UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).await.unwrap());
        }
        let addrs: Vec<_> = sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
        let asked = Arc::<Mutex<Vec<usize>>>::default();
        let tasks = sockets.into_iter().enumerate().map(|(n, socket)| {
            let (addrs, asked) = (addrs.clone(), asked.clone());
            AbortOnDropHandle::new(tokio::spawn(async move {
                let mut buffer = [0; 2048];
                while let Ok((size, from)) = socket.recv_from(&mut buffer).await {
                    asked.lock().push(n);
                    let at = buffer[..size].windows(5).rposition(|window| window == b"1:t2:").unwrap() + 5;
                    if let Some(answer) = lie(&addrs, n, &buffer[at..at + 2]) {
                        let _ = socket.send_to(&answer, from).await;
                    }
                }
            }))
        });
        Liars { _tasks: tasks.collect(), addrs, asked }
    }

    /// Runs a search with an announce. Returns its outcome and the addresses found.
    async fn search(&self) -> (Outcome, Vec<SocketAddr>) {
        let dht = Dht6::new(&[self.addrs[0].to_string()], Network::open());
        let mut found = Vec::new();
        let searching = dht.search(KEY, Some(5035), |peers| found.extend(peers));
        let outcome = timeout(Duration::from_secs(20), searching).await.expect("an end in time");
        assert!(dht.client().await.unwrap().link.waiting.lock().is_empty());
        (outcome, found)
    }
}

/// Returns the id of the n-th node. Later nodes are nearer to the key.
fn nearer(n: usize) -> Id {
    let mut id = KEY;
    id[4] ^= !(n as u8);
    id
}

fn answer(n: usize, transaction: &[u8], nodes: &[(Id, SocketAddr)], peers: usize) -> Vec<u8> {
    let compact = |addr: &SocketAddr| {
        let SocketAddr::V6(addr) = addr else { panic!("{addr} is not of IPv6") };
        [&addr.ip().octets()[..], &addr.port().to_be_bytes()].concat()
    };
    let mut out = b"d1:rd".to_vec();
    put_string_at(&mut out, "id", &nearer(n));
    let nodes: Vec<u8> = nodes.iter().flat_map(|(id, addr)| [&id[..], &compact(addr)].concat()).collect();
    put_string_at(&mut out, "nodes6", &nodes);
    put_string_at(&mut out, "token", b"token");
    out.extend(b"6:valuesl");
    (0..peers).for_each(|n| {
        put_string(&mut out, &compact(&SocketAddr::from((Ipv6Addr::from(0x2001_0db8 << 96 | n as u128), 7000))));
    });
    out.extend(b"ee");
    put_string_at(&mut out, "t", transaction);
    out.extend(b"1:y1:re");
    out
}

#[tokio::test]
async fn nodes_that_say_nothing_or_garbage_end_a_search_without_an_answer() {
    let silent = Liars::start(1, |_, _, _| None).await;
    assert_eq!(silent.search().await, (Outcome::default(), vec![]));
    let garbage = Liars::start(1, |_, _, transaction| {
        Some([b"d1:rd2:id20:short6:nodes61:ae1:t2:", transaction, b"1:y1:rellllllllllllllllllll"].concat())
    })
    .await;
    assert_eq!(garbage.search().await, (Outcome::default(), vec![]));
}

#[tokio::test]
async fn a_search_that_is_misled_without_end_asks_a_limited_number_of_nodes() {
    let liars = Liars::start(200, |addrs, n, transaction| {
        let next: Vec<_> = (n + 1..(n + 9).min(addrs.len())).map(|n| (nearer(n), addrs[n])).collect();
        Some(answer(n, transaction, &next, 0))
    })
    .await;
    let (outcome, _) = liars.search().await;
    assert_eq!(outcome, Outcome { answered: MAX_QUERIES, stored: NEAREST });
    assert_eq!(liars.asked.lock().len(), MAX_QUERIES + NEAREST);
}

#[tokio::test]
async fn a_node_that_names_one_address_under_many_ids_and_thousands_of_peers_is_asked_once() {
    let liars = Liars::start(2, |addrs, n, transaction| {
        let same: Vec<_> = (0..15).map(|n| (nearer(n), addrs[1])).collect();
        Some(answer(n, transaction, &same, if n == 0 { 150 } else { 2500 }))
    })
    .await;
    let (outcome, found) = liars.search().await;
    assert_eq!(outcome, Outcome { answered: 1, stored: 1 });
    assert_eq!(found.len(), 150);
    // One is queried for its peers and the announce, the other once: its answer is longer than the
    // limit.
    assert_eq!(*liars.asked.lock(), [0, 1, 0]);
}

#[tokio::test]
async fn nodes_of_ipv4_and_addresses_that_lead_nowhere_are_not_asked() {
    let mut search = Search::new(KEY);
    for (n, addr) in ["127.0.0.1:1", "[::ffff:127.0.0.1]:1", "[::]:1", "[ff02::1]:1", "[::1]:0"].into_iter().enumerate()
    {
        search.hear_of(&nearer(n), addr.parse().unwrap());
    }
    assert_eq!(search.next(), None);
}
