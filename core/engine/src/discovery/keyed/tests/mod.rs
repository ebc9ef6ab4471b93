//! Operations on keys: on a small DHT, on 200 real libtorrent nodes, and on hostile nodes.
#![allow(clippy::unwrap_used)]

mod hostile;

use super::*;
use crate::config::Config;
use crate::network::Network;
use mainline::Testnet;
use playswarm_tests::peers::{dht_net::DhtNet, fresh_ip};
use playswarm_tests::requirement;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Creates a session on a DHT, with its port at 127.0.0.1.
fn on_dht(bootstrap: &[String], port: u16) -> Arc<Shared> {
    let config = Config { dht: true, dht_bootstrap: bootstrap.to_vec(), ..Config::offline(".") };
    Shared::start(&config, SocketAddr::from(([127, 0, 0, 1], port)), Network::open()).unwrap()
}

async fn testnet() -> Testnet {
    tokio::task::spawn_blocking(|| Testnet::builder(5).build().unwrap()).await.unwrap()
}

/// Returns all results of an operation, and how it ended.
async fn to_the_end(mut news: mpsc::Receiver<KeyNews>) -> (Vec<SocketAddr>, bool) {
    let (mut found, mut ended) = (Vec::new(), None);
    while let Some(news) = timeout(Duration::from_secs(30), news.recv()).await.expect("an end in time") {
        assert_eq!(ended, None, "nothing follows the end");
        match news {
            KeyNews::Found(addrs) => found.extend(addrs),
            KeyNews::Ended(done) => ended = Some(done),
        }
    }
    (found, ended.expect("an end"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lookup_of_a_key_finds_the_announcers() {
    let net = testnet().await;
    let (first, second) = (on_dht(&net.bootstrap, 5008), on_dht(&net.bootstrap, 5009));
    assert!(first.has_dht());
    assert_eq!(to_the_end(first.key_operation([3; 20], Some(5008)).unwrap()).await, (vec![], true));
    let found = to_the_end(second.key_operation([3; 20], None).unwrap()).await;
    assert_eq!(found, (vec!["127.0.0.1:5008".parse().unwrap()], true));
    // An announce returns the addresses that its own search found, never our own address.
    let found = to_the_end(second.key_operation([3; 20], Some(5009)).unwrap()).await;
    assert_eq!(found, (vec!["127.0.0.1:5008".parse().unwrap()], true));
    let found = to_the_end(first.key_operation([3; 20], None).unwrap()).await;
    assert_eq!(found, (vec!["127.0.0.1:5009".parse().unwrap()], true));
    assert_eq!(to_the_end(second.key_operation([4; 20], None).unwrap()).await, (vec![], true));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_without_a_network_fails_and_without_a_dht_is_none() {
    let nobody = Config { dht: true, dht_bootstrap: vec!["127.0.0.1:1".into()], ..Config::offline(".") };
    let shared = Shared::start(&nobody, "127.0.0.1:5010".parse().unwrap(), Network::open()).unwrap();
    for announce in [None, Some(5010)] {
        assert_eq!(to_the_end(shared.key_operation([5; 20], announce).unwrap()).await, (vec![], false));
    }
    let without = Shared::start(&Config::offline("."), "127.0.0.1:5011".parse().unwrap(), Network::open()).unwrap();
    assert!(!without.has_dht());
    assert!(without.key_operation([5; 20], None).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_ends_with_its_session() {
    let net = testnet().await;
    let shared = on_dht(&net.bootstrap, 5012);
    let operation = shared.key_operation([6; 20], None).unwrap();
    let ended = tokio::spawn(to_the_end(operation));
    timeout(Duration::from_secs(5), shared.close()).await.unwrap();
    timeout(Duration::from_secs(1), ended).await.unwrap().unwrap();
}

/// Starts real nodes, each at an address of its own.
async fn real_nodes(count: usize) -> DhtNet {
    let [a, b, c, _] = fresh_ip().octets();
    tokio::task::spawn_blocking(move || DhtNet::start(IpAddr::from([a, b, c, 0]), count)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_operation_asks_both_networks_and_merges_what_they_bring() {
    if !requirement::libtorrent() {
        return;
    }
    let four = testnet().await;
    let six = tokio::task::spawn_blocking(|| DhtNet::start(Ipv6Addr::LOCALHOST.into(), 30)).await.unwrap();
    let both = [four.bootstrap.clone(), six.bootstrap()].concat();
    let (first, second) = (on_dht(&both, 5015), on_dht(&both, 5016));
    assert_eq!(to_the_end(first.key_operation([7; 20], Some(5015)).unwrap()).await, (vec![], true));
    let (mut found, ended) = to_the_end(second.key_operation([7; 20], None).unwrap()).await;
    found.sort_unstable();
    let wanted: [SocketAddr; 2] = ["127.0.0.1:5015".parse().unwrap(), "[::1]:5015".parse().unwrap()];
    assert_eq!((&found[..], ended), (&wanted[..], true));
}

#[tokio::test(flavor = "multi_thread")]
async fn on_200_real_nodes_each_announcement_is_found_by_another_viewer() {
    if !requirement::libtorrent() {
        return;
    }
    let net = real_nodes(200).await;
    let (first, second) = (on_dht(&net.bootstrap(), 5013), on_dht(&net.bootstrap(), 5014));
    let wanted = SocketAddr::from(([127, 0, 0, 1], 5013));
    let mut took = Vec::new();
    for n in 0..10u8 {
        let key = std::array::from_fn(|at| (151 * usize::from(n) + 29 * at) as u8);
        let begun = Instant::now();
        let announcing = tokio::spawn(to_the_end(first.key_operation(key, Some(5013)).unwrap()));
        // The other viewer searches all the time, like one that starts meanwhile.
        'looking: loop {
            assert!(begun.elapsed() < QUERY, "announcement {n} was not found");
            let mut looking = second.key_operation(key, None).unwrap();
            while let Some(news) = looking.recv().await {
                match news {
                    KeyNews::Found(found) if found.contains(&wanted) => break 'looking,
                    KeyNews::Found(found) => panic!("unexpected addresses: {found:?}"),
                    KeyNews::Ended(answered) => assert!(answered),
                }
            }
            sleep(Duration::from_millis(100)).await;
        }
        took.push(begun.elapsed());
        assert_eq!(announcing.await.unwrap(), (vec![], true));
        println!("announcement {n}: found after {:?}, confirmed after {:?}", took[usize::from(n)], begun.elapsed());
    }
    took.sort_unstable();
    println!(
        "announcements were found after {:?} in the median, {:?} at most",
        took[took.len() / 2],
        took[took.len() - 1]
    );
}
