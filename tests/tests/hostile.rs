//! Hostile peers beside one honest, slow seed. The film plays on, every byte is right, memory stays
//! bounded, and peers that provably sent wrong data are banned.
#![allow(clippy::unwrap_used)]

use playswarm_tests::content::Content;
use playswarm_tests::hostile::{Hostile, Malice, storm};
use playswarm_tests::peers::{RealPeer, libtorrent};
use playswarm_tests::playswarm::{Builder, Playswarm, Status};
use playswarm_tests::reader::CheckedReader;
use playswarm_tests::requirement;
use playswarm_tests::torrent::TestTorrent;
use std::time::{Duration, Instant};

/// Upload rate of the honest seed in bytes per second. The film below takes 6 s at this rate.
const HONEST: u64 = 2 << 20;
const LENGTH: u64 = 12 << 20;
const PIECE: u64 = 256 << 10;
/// Longest time for the whole film. Hostile peers may delay it, but not prevent it.
const PATIENCE: Duration = Duration::from_secs(75);
/// Largest resident memory, for a setting of 64 MiB, a debug build and its threads.
const MEMORY: u64 = 160 << 20;

struct Scene {
    torrent: TestTorrent,
    hostiles: Vec<Hostile>,
    _seed: RealPeer,
    playswarm: Playswarm,
}

/// Starts a viewer with one honest seed and `count` hostile peers of a kind. `None` if libtorrent
/// is not available.
fn scene(malice: Malice, count: usize) -> Option<Scene> {
    if !requirement::libtorrent() {
        return None;
    }
    let torrent = TestTorrent::single("film.mkv", LENGTH, PIECE);
    let hostiles = (0..count).map(|_| Hostile::start(malice, &torrent)).collect::<Vec<_>>();
    let seed = libtorrent::seed(&torrent, &libtorrent::Options::limited(HONEST));
    let peers = hostiles.iter().map(|hostile| hostile.addr).chain([seed.addr]);
    let playswarm = Builder::stream(torrent.file()).peers(peers).start();
    Some(Scene { torrent, hostiles, _seed: seed, playswarm })
}

impl Scene {
    fn content(&self) -> Content {
        self.torrent.content(0)
    }

    /// Plays with a seek, then the whole film. Returns the status at the end.
    fn plays(&self) -> Status {
        let start = Instant::now();
        let reader = CheckedReader::new(&self.playswarm, self.content());
        reader.read(0, 200_000);
        reader.read(LENGTH * 2 / 3, 500_000);
        reader.read_all();
        assert!(start.elapsed() < PATIENCE, "it took {:?}", start.elapsed());
        assert!(self.hostiles.iter().all(|v| v.connections() > 0), "all hostile peers were connected");
        let peak = self.playswarm.process.peak_memory();
        assert!(peak < MEMORY, "{} MiB were resident", peak >> 20);
        self.playswarm.status()
    }
}

#[test]
fn peers_that_send_wrong_data_are_found_and_banned() {
    let Some(scene) = scene(Malice::WrongData, 3) else { return };
    let status = scene.plays();
    assert!(scene.hostiles.iter().any(|hostile| hostile.requests() > 0), "no hostile peer received a request");
    assert!(status.waste.failed_bytes > 0, "failed pieces are counted");
    assert!(status.banned_peers > 0, "the hostile peers are banned");
}

#[test]
fn a_peer_that_spoils_one_block_per_piece_is_distinguished_from_honest_ones() {
    let Some(scene) = scene(Malice::OneWrongBlock, 1) else { return };
    let status = scene.plays();
    assert_eq!(status.banned_peers, 1, "only the hostile peer is banned");
}

#[test]
fn peers_that_fall_silent_after_unchoking_cost_no_more_than_a_moment() {
    if let Some(scene) = scene(Malice::Silence, 4) {
        scene.plays();
    }
}

#[test]
fn peers_that_choke_and_unchoke_for_ever_are_lived_with() {
    if let Some(scene) = scene(Malice::ChokeFlapping, 4) {
        scene.plays();
    }
}

#[test]
fn peers_that_claim_all_and_reject_each_request_are_lived_with() {
    if let Some(scene) = scene(Malice::RejectAll, 4) {
        scene.plays();
        let requests = scene.hostiles.iter().map(Hostile::requests).sum::<u64>();
        assert!(requests < 20_000, "{requests} requests went to peers that reject all");
    }
}

#[test]
fn requests_for_what_does_not_exist_are_refused() {
    if let Some(scene) = scene(Malice::AbsurdRequests, 4) {
        scene.plays();
    }
}

#[test]
fn a_message_of_gigabytes_ends_the_connection() {
    let Some(scene) = scene(Malice::Oversized, 4) else { return };
    let status = scene.plays();
    let hostiles = scene.hostiles.iter().map(|hostile| hostile.addr).collect::<Vec<_>>();
    assert!(status.peers.iter().all(|peer| !hostiles.contains(&peer.addr)), "the hostile peers are disconnected");
}

#[test]
fn malformed_messages_do_no_harm() {
    // Nine kinds of broken messages, a different one on each connection.
    let Some(scene) = scene(Malice::Malformed, 9) else { return };
    // Bytes that are not a handshake, sent to our listening port.
    storm::rubbish(scene.playswarm.listen, 20);
    scene.plays();
}

#[test]
fn one_byte_a_second_does_not_hold_up_the_film() {
    if let Some(scene) = scene(Malice::OneByteASecond, 4) {
        scene.plays();
    }
}

#[test]
fn another_torrents_handshake_ends_the_connection() {
    let Some(scene) = scene(Malice::WrongInfoHash, 4) else { return };
    let status = scene.plays();
    assert_eq!(status.peers.len(), 1, "the honest seed alone: {:?}", status.peers);
}

#[test]
fn unrequested_blocks_fill_no_memory() {
    let Some(scene) = scene(Malice::Flood, 2) else { return };
    scene.plays();
}

#[test]
fn a_peer_that_asks_for_all_and_reads_nothing_fills_no_memory() {
    let Some(scene) = scene(Malice::NeverReads, 4) else { return };
    scene.plays();
    std::thread::sleep(Duration::from_secs(3));
    let peak = scene.playswarm.process.peak_memory();
    assert!(peak < MEMORY, "{} MiB were resident", peak >> 20);
}

#[test]
fn thousands_of_peers_that_do_not_exist_are_no_burden() {
    let Some(scene) = scene(Malice::PexFlood, 4) else { return };
    let status = scene.plays();
    assert!(status.known_peers <= 5000, "{} peers are remembered", status.known_peers);
}

#[test]
fn storms_of_connections_leave_room_for_the_honest() {
    let Some(scene) = scene(Malice::Silence, 0) else { return };
    let (listen, info_hash) = (scene.playswarm.listen, scene.torrent.info_hash);
    let storm = std::thread::spawn(move || {
        let silent = storm::silent_connections(listen, 300);
        storm::handshake_storm(listen, info_hash, 500);
        storm::rubbish(listen, 100);
        let connections = storm::crowd(listen, info_hash, 150);
        (silent.len(), connections.len())
    });
    scene.plays();
    let (silent, _) = storm.join().unwrap();
    assert!(silent > 0, "the silent connections reached the port");
    let status = scene.playswarm.status();
    assert!(status.peers.len() <= 80, "{} peers are connected, and 80 is the limit", status.peers.len());
    let threads = std::fs::read_dir(format!("/proc/{}/task", scene.playswarm.process.id())).unwrap().count();
    assert!(threads < 100, "{threads} threads");
}
