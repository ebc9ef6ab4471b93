//! Peers found by the DHT alone, and peers reached over IPv6.
#![allow(clippy::unwrap_used)]

use playswarm_tests::netlab::{Link, Net};
use playswarm_tests::peers::{RealPeer, fresh_ip, libtorrent};
use playswarm_tests::playswarm::Builder;
use playswarm_tests::reader::CheckedReader;
use playswarm_tests::requirement;
use playswarm_tests::torrent::TestTorrent;
use std::net::SocketAddr;
use std::time::Duration;

/// Starts a libtorrent session that is a node of a private DHT and knows these other nodes.
fn node(bootstrap: &[SocketAddr]) -> RealPeer {
    let nodes = bootstrap.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(",");
    libtorrent::start(&libtorrent::Options { dht: Some(nodes), ..libtorrent::Options::default() })
}

#[test]
fn a_magnet_needs_nothing_but_the_dht() {
    if !requirement::libtorrent() {
        return;
    }
    let torrent = TestTorrent::single("film.mkv", 4 << 20, 64 << 10);
    let first = node(&[]);
    let second = node(&[first.addr]);
    let dht = Some(format!("{},{}", first.addr, second.addr));
    let seed = libtorrent::seed(&torrent, &libtorrent::Options { dht, ..libtorrent::Options::default() });
    // All other ways to find peers are disabled.
    let settings = tempfile::tempdir().unwrap();
    let file = settings.path().join("dht.json");
    std::fs::write(&file, r#"{"lsd": false, "pex": false, "port_map": false, "trackers": false}"#).unwrap();
    let listen = SocketAddr::new(fresh_ip().into(), 6881);
    let mut playswarm = Builder::stream(torrent.magnet(&[], &[]))
        .listen(listen)
        .open_network()
        .argument("--config")
        .argument(file.to_str().unwrap())
        .argument("--dht-bootstrap")
        .argument(&first.addr.to_string())
        .argument("--dht-bootstrap")
        .argument(&second.addr.to_string())
        .spawn();
    // The seed's announce and our lookup take a few seconds each, and the first lookup may precede
    // the announce.
    playswarm.wait_url(Duration::from_secs(60));
    CheckedReader::new(&playswarm, torrent.content(0)).read_all();
    let status = playswarm.status();
    let peer = status.peers.iter().find(|peer| peer.addr == seed.addr).expect("the seed is connected");
    assert_eq!(peer.origin, "dht");
}

#[test]
fn a_seed_that_has_ipv6_only_is_a_peer_like_any_other() {
    if !requirement::network() || !requirement::libtorrent() {
        return;
    }
    let torrent = TestTorrent::single("film.mkv", 4 << 20, 64 << 10);
    let net = Net::new(&[("viewer", Link::default()), ("seed", Link::default()), ("leech", Link::default())]);
    let at = |host: &str, n: u8| (net.place(host), format!("[fd77::{n}]:6881").parse::<SocketAddr>().unwrap());
    let (place, listen) = at("seed", 2);
    let seed = libtorrent::seed(&torrent, &libtorrent::Options { place, listen, ..libtorrent::Options::default() });
    let (place, listen) = at("viewer", 1);
    let playswarm = Builder::stream(torrent.file()).place(place, listen).peers([seed.addr]).start();
    CheckedReader::new(&playswarm, torrent.content(0)).read_all();
    let (place, listen) = at("leech", 3);
    let options = libtorrent::Options { place, listen, ..libtorrent::Options::default() };
    let mut leech = libtorrent::leech(&torrent.file(), &options);
    drop(seed);
    leech.connect(playswarm.listen);
    leech.wait_complete(&torrent, Duration::from_secs(60));
}
