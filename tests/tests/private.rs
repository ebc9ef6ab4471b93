//! A private torrent (BEP 27) works through its tracker. It is not announced to the DHT, to the
//! local network, or to peers by PEX.
#![allow(clippy::unwrap_used)]

use playswarm_tests::hostile::{Hostile, Malice};
use playswarm_tests::netlab::{Link, Net, Sighting};
use playswarm_tests::peers::libtorrent;
use playswarm_tests::playswarm::Builder;
use playswarm_tests::reader::CheckedReader;
use playswarm_tests::requirement;
use playswarm_tests::torrent::{TestTorrent, hex};
use playswarm_tests::tracker::{Mode, Tracker};
use std::time::Duration;

/// Streams a torrent on a network of viewer, seed and tracker, with all peer sources enabled.
/// Returns the viewer's packets about the torrent to other destinations.
fn sightings(torrent: &TestTorrent) -> Vec<Sighting> {
    let net = Net::new(&[("viewer", Link::default()), ("seed", Link::default()), ("tracker", Link::default())]);
    let tracker = Tracker::http_at(&net.place("tracker"), net.addr("tracker", 6969), Mode::Honest);
    let file = torrent.file_with(std::slice::from_ref(&tracker.url));
    let (place, listen) = (net.place("seed"), net.addr("seed", 6881));
    let options = libtorrent::Options { place, listen, pex: true, ..libtorrent::Options::default() };
    let seed = libtorrent::seed_with(torrent, &file, &options, &[]);
    tracker.add_peer(seed.addr);
    // LSD writes the info-hash in hexadecimal, all others in binary.
    net.watch(vec![torrent.info_hash.to_vec(), hex(&torrent.info_hash).into_bytes()]);
    let listen = net.addr("viewer", 6881);
    let playswarm = Builder::stream(&file).place(net.place("viewer"), listen).open_network().start();
    CheckedReader::new(&playswarm, torrent.content(0)).read_all();
    std::thread::sleep(Duration::from_secs(4)); // announces may take a few seconds
    assert!(tracker.announces().iter().any(|a| a.peer.ip() == listen.ip()), "the tracker received an announce");
    let partners = [seed.addr.ip(), tracker.addr.ip()];
    let others = |s: &Sighting| s.host == "viewer" && !partners.contains(&s.to.ip());
    net.sightings().into_iter().filter(others).collect()
}

#[test]
fn a_private_torrent_is_mentioned_to_its_tracker_and_its_peers_only() {
    if !requirement::network() || !requirement::libtorrent() {
        return;
    }
    let private = TestTorrent::private("private.mkv", 2 << 20, 64 << 10);
    assert_eq!(sightings(&private), []);
    // The same torrent without the private flag is announced on the local network. This shows that
    // the check above can fail.
    let public = TestTorrent::single("private.mkv", 2 << 20, 64 << 10);
    let seen = sightings(&public);
    assert!(seen.iter().any(|s| s.to.ip().is_multicast()), "LSD was on: {seen:?}");
}

#[test]
fn peers_told_of_by_pex_are_not_dialled_for_a_private_torrent() {
    if !requirement::libtorrent() {
        return;
    }
    let torrent = TestTorrent::private("private.mkv", 2 << 20, 64 << 10);
    let tracker = Tracker::http(Mode::Honest);
    let pex_peer = Hostile::start(Malice::PexFlood, &torrent);
    let seed = libtorrent::seed(&torrent, &libtorrent::Options::default());
    tracker.add_peer(pex_peer.addr);
    tracker.add_peer(seed.addr);
    let playswarm = Builder::stream(torrent.file_with(std::slice::from_ref(&tracker.url))).start();
    CheckedReader::new(&playswarm, torrent.content(0)).read_all();
    std::thread::sleep(Duration::from_secs(3));
    assert!(pex_peer.connections() > 0, "the peer that sends PEX was connected");
    let status = playswarm.status();
    assert!(status.known_peers + status.peers.len() <= 4, "{} peers are known", status.known_peers);
}
