//! Peer discovery through a small DHT on loopback, and its absence in private torrents.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::network::Network;
use mainline::Testnet;
use playswarm_logic::Time;
use playswarm_logic::torrent::AddressBook;
use playswarm_proto::live::{Beacon, ChannelKey, SignedBeacon, SourceKey};
use std::time::Duration;
use tokio::time::{sleep, timeout};

fn params(hash: u8, port: u16, private: bool) -> Params {
    Params {
        info_hash: InfoHash([hash; 20]),
        peer_id: *b"-PS0100-abcdefghijkl",
        listen_port: port,
        trackers: Default::default(),
        private,
        progress: Arc::new(|| Progress { left: 1, ..Progress::default() }),
        announces: Arc::new(|| true),
    }
}

fn on_dht(testnet: &Testnet, port: u16) -> Arc<Shared> {
    let config = Config { dht: true, dht_bootstrap: testnet.bootstrap.clone(), ..Config::offline(".") };
    Shared::start(&config, SocketAddr::from(([127, 0, 0, 1], port)), Network::open()).unwrap()
}

async fn testnet() -> Testnet {
    tokio::task::spawn_blocking(|| Testnet::builder(5).build().unwrap()).await.unwrap()
}

/// Returns the first peer that the address book of a client at this address takes.
pub(super) async fn next(found: &mut mpsc::Receiver<Finding>, listen: &str) -> (SocketAddr, Origin) {
    let mut book = AddressBook::new(0, listen.parse().unwrap());
    loop {
        let finding = timeout(Duration::from_secs(40), found.recv()).await.expect("a peer in time").unwrap();
        if let Finding::Peer { addr, origin, .. } = finding
            && book.take(Time::ZERO, finding)
        {
            return (addr, origin);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sessions_find_each_other_through_the_dht() {
    let net = testnet().await;
    let first = on_dht(&net, 5001);
    let (_one, _found) = Discovery::start(&first, params(9, 5001, false));
    // The announce follows the first search, which takes the network's timeouts.
    sleep(Duration::from_secs(6)).await;
    let second = on_dht(&net, 5002);
    let (_two, mut found) = Discovery::start(&second, params(9, 5002, false));
    assert_eq!(next(&mut found, "127.0.0.1:5002").await, ("127.0.0.1:5001".parse().unwrap(), Origin::Dht));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_torrent_is_neither_sought_nor_announced_on_the_dht() {
    let net = testnet().await;
    let first = on_dht(&net, 5003);
    let (_one, _found) = Discovery::start(&first, params(8, 5003, true));
    let (magnet, _found) = Discovery::start(&first, params(7, 5003, false));
    magnet.make_private();
    sleep(Duration::from_secs(5)).await;
    let second = on_dht(&net, 5004);
    let (_two, mut found) = Discovery::start(&second, params(8, 5004, false));
    let (_three, mut also) = Discovery::start(&second, params(7, 5004, false));
    sleep(Duration::from_secs(8)).await;
    // Each finds its own announce, and no other client.
    for (found, port) in [(&mut found, 5004), (&mut also, 5004)] {
        while let Ok(finding) = found.try_recv() {
            assert!(matches!(&finding, Finding::Peer { addr, .. } if addr.port() == port), "{finding:?}");
        }
    }
}

#[tokio::test]
async fn a_session_without_any_network_starts_at_once_and_ends_at_once() {
    let config = Config {
        dht: true,
        dht_bootstrap: vec!["no-such-host.invalid:1".into()],
        lsd: true,
        trackers: true,
        ..Config::offline(".")
    };
    let begun = Instant::now();
    let shared = Shared::start(&config, "127.0.0.1:5005".parse().unwrap(), Network::open()).unwrap();
    let (discovery, mut found) = Discovery::start(&shared, params(6, 5005, false));
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    drop(discovery);
    timeout(Duration::from_secs(5), shared.close()).await.unwrap();
    // The tasks have ended, and with them the sender.
    assert!(timeout(Duration::from_secs(5), found.recv()).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sessions_on_one_network_find_each_other_by_multicast() {
    let config = Config { lsd: true, ..Config::offline(".") };
    let on = |port: u16| Shared::start(&config, SocketAddr::from(([127, 0, 0, 1], port)), Network::open()).unwrap();
    let (one, two) = (on(5006), on(5007));
    // A new hash for each run: other runs of this test may share the network.
    let hash = random_u32().to_be_bytes();
    let of = |port| {
        let mut params = params(5, port, false);
        params.info_hash.0[..4].copy_from_slice(&hash);
        params
    };
    let (_one, mut found_by_one) = Discovery::start(&one, of(5006));
    sleep(Duration::from_secs(1)).await;
    let (_two, mut found_by_two) = Discovery::start(&two, of(5007));
    let (second, origin) = next(&mut found_by_one, "127.0.0.1:5006").await;
    assert_eq!((second.port(), origin), (5007, Origin::Lsd));
    let (first, origin) = next(&mut found_by_two, "127.0.0.1:5007").await;
    assert_eq!((first.port(), origin), (5006, Origin::Lsd));
}

/// Returns the beacon with the highest sequence number that a client finds.
async fn newest(shared: &Arc<Shared>, key: &ChannelKey) -> Option<(i64, Beacon)> {
    let (mut beacons, mut newest) = (shared.find_beacon(key), None);
    while let Some(found) = timeout(Duration::from_secs(30), beacons.recv()).await.expect("an end in time") {
        newest = newest.filter(|(sequence, _)| *sequence > found.0).or(Some(found));
    }
    newest
}

#[tokio::test(flavor = "multi_thread")]
async fn a_beacon_is_found_by_its_key_until_a_newer_one_replaces_it() {
    let net = testnet().await;
    let (source, viewer) = (on_dht(&net, 5041), on_dht(&net, 5042));
    let [key, other] = [1, 2].map(|seed| SourceKey::from_seed(&[seed; 32]));
    let beacon = |on_air| Beacon { cast: 7, started_ms: 9, on_air, at: vec!["127.0.0.1:5041".parse().unwrap()] };
    assert_eq!(source.store_beacon(&beacon(true).sign(&key, 10)).await, Stored::Yes);
    assert_eq!(newest(&viewer, &key.channel()).await, Some((10, beacon(true))));
    assert_eq!(source.store_beacon(&beacon(false).sign(&key, 12)).await, Stored::Yes);
    assert_eq!(source.store_beacon(&beacon(true).sign(&key, 11)).await, Stored::Outdated);
    // Another key's signature.
    let forged = SignedBeacon { key: key.channel(), ..beacon(true).sign(&other, 13) };
    assert_eq!(source.store_beacon(&forged).await, Stored::No);
    assert_eq!(newest(&viewer, &key.channel()).await, Some((12, beacon(false))));
    assert_eq!(newest(&viewer, &other.channel()).await, None);
    let without = Shared::start(&Config::offline("."), "127.0.0.1:5043".parse().unwrap(), Network::open()).unwrap();
    assert_eq!(without.store_beacon(&beacon(true).sign(&key, 14)).await, Stored::No);
    assert_eq!(newest(&without, &key.channel()).await, None);
}
