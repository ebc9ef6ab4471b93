//! Each real client as the only seed: the film plays to its end, seeks work, and every byte is
//! right.
#![allow(clippy::unwrap_used)]

use playswarm_tests::peers::{RealPeer, aria2, libtorrent, rqbit, rtorrent, transmission};
use playswarm_tests::playswarm::{Builder, Playswarm};
use playswarm_tests::reader::CheckedReader;
use playswarm_tests::requirement;
use playswarm_tests::torrent::TestTorrent;
use std::time::Duration;

/// Length of the film: a little over 12 MiB, so that the last piece and the last block are short.
const LENGTH: u64 = (12 << 20) + 12_345;
const PIECE: u64 = 256 << 10;
/// Longest wait after a seek. A seed on the same machine answers in milliseconds, unless a client
/// delays its answers.
const SEEK: Duration = Duration::from_secs(3);

/// Reads the middle, the end, the beginning, and then the whole film.
fn plays_through(playswarm: &Playswarm, torrent: &TestTorrent, seed: &RealPeer) {
    let reader = CheckedReader::new(playswarm, torrent.content(0));
    // The first read includes the connection and the seed's next unchoke round.
    reader.read(torrent.total() / 2, 300_000);
    // Later the seed may be gone, as some clients disconnect complete peers.
    let peers = playswarm.status().peers;
    assert!(peers.iter().any(|peer| peer.addr == seed.addr), "the seed is shown: {peers:?}");
    let waits = [(torrent.total() - 100_000, 100_000), (PIECE - 3, 7), (0, LENGTH)].map(|(from, length)| {
        let timing = reader.read(from, length);
        eprintln!("from {from}: {timing:?}");
        timing.first_byte
    });
    assert!(waits.iter().all(|wait| *wait < SEEK), "waited {waits:?} after seeks");
    let status = playswarm.wait_status("every piece", Duration::from_secs(10), |s| s.verified_bytes == s.total_bytes);
    assert_eq!(status.total_bytes, torrent.total());
    assert_eq!(status.pieces, torrent.pieces());
    assert!(status.piece_map.chars().all(|c| c == '#'), "{}", status.piece_map);
    assert_eq!(status.waste.failed_bytes, 0);
    let bound = status.downloaded_bytes * 3 / 100;
    assert!(status.waste.total() <= bound, "{:?} of {}", status.waste, status.downloaded_bytes);
    assert_eq!(status.banned_peers, 0, "an honest seed is not banned");
}

fn streams_from(seed: impl FnOnce(&TestTorrent) -> RealPeer) {
    let torrent = TestTorrent::single("film.mkv", LENGTH, PIECE);
    let seed = seed(&torrent);
    let playswarm = Builder::stream(torrent.file()).peers([seed.addr]).start();
    plays_through(&playswarm, &torrent, &seed);
}

#[test]
fn streams_from_libtorrent() {
    if requirement::libtorrent() {
        streams_from(|torrent| libtorrent::seed(torrent, &libtorrent::Options::default()));
    }
}

#[test]
fn streams_from_transmission() {
    if requirement::program("transmission-daemon") {
        streams_from(|torrent| transmission::seed(torrent, &torrent.file()));
    }
}

#[test]
fn streams_from_aria2() {
    if requirement::program("aria2c") {
        streams_from(|torrent| aria2::seed(torrent, &torrent.file()));
    }
}

#[test]
fn streams_from_rtorrent() {
    if requirement::program("rtorrent") {
        streams_from(|torrent| rtorrent::seed(torrent, &torrent.file()));
    }
}

#[test]
fn streams_from_a_super_seeding_libtorrent_from_the_middle_and_from_the_start() {
    if !requirement::libtorrent() {
        return;
    }
    let torrent = TestTorrent::single("film.mkv", 4 << 20, PIECE);
    let seed = libtorrent::super_seed(&torrent, &libtorrent::Options::default());
    let playswarm = Builder::stream(torrent.file()).peers([seed.addr]).start();
    let reader = CheckedReader::new(&playswarm, torrent.content(0));
    reader.read(torrent.total() / 2, torrent.total() / 4);
    reader.read_all();
}

#[test]
fn streams_from_rqbit() {
    streams_from(|torrent| rqbit::seed(torrent, &torrent.file()));
}

#[test]
fn streams_from_a_seed_that_dials_us() {
    if !requirement::libtorrent() {
        return;
    }
    let torrent = TestTorrent::single("film.mkv", LENGTH, PIECE);
    let playswarm = Builder::stream(torrent.file()).start();
    let mut seed = libtorrent::seed(&torrent, &libtorrent::Options::default());
    seed.connect(playswarm.listen);
    CheckedReader::new(&playswarm, torrent.content(0)).read_all();
}

#[test]
fn streams_from_seeds_that_hold_a_part_each() {
    if !requirement::libtorrent() {
        return;
    }
    let torrent = TestTorrent::single("film.mkv", LENGTH, PIECE);
    let last = torrent.pieces() - 1;
    let part = |first, last| {
        let options = libtorrent::Options::default();
        libtorrent::seed_with(&torrent, &torrent.file(), &options, &[(first, last)])
    };
    let seeds = [part(0, last / 2), part(last / 2 + 1, last)];
    let playswarm = Builder::stream(torrent.file()).peers(seeds.iter().map(|seed| seed.addr)).start();
    let reader = CheckedReader::new(&playswarm, torrent.content(0));
    reader.read(torrent.total() * 3 / 4, 100_000);
    reader.read_all();
}

#[test]
fn streams_the_named_file_of_several_and_shows_the_others() {
    if !requirement::libtorrent() {
        return;
    }
    let files = [("readme.txt", 1000), ("one.mkv", 3 << 20), ("second/two.mkv", 5 << 20), ("empty.nfo", 0)];
    let torrent = TestTorrent::multi("season", &files, PIECE);
    let seed = libtorrent::seed(&torrent, &libtorrent::Options::default());
    let largest = Builder::stream(torrent.file()).peers([seed.addr]).start();
    CheckedReader::new(&largest, torrent.content(2)).read_all();
    let listed = largest.process.stderr().join("\n");
    assert!(listed.contains("one.mkv"), "the other playable files are listed: {listed}");
    drop(largest);
    let named = Builder::stream(torrent.file()).peers([seed.addr]).argument("--file").argument("one.mkv").start();
    CheckedReader::new(&named, torrent.content(1)).read_all();
}

#[test]
fn finds_its_seed_by_an_http_tracker_and_by_a_udp_tracker() {
    use playswarm_tests::tracker::{Mode, Tracker};
    if !requirement::libtorrent() {
        return;
    }
    for tracker in [Tracker::http(Mode::Honest), Tracker::udp(Mode::Honest)] {
        let torrent = TestTorrent::single("film.mkv", 2 << 20, PIECE);
        let seed = libtorrent::seed(&torrent, &libtorrent::Options::default());
        tracker.add_peer(seed.addr);
        let playswarm = Builder::stream(torrent.file_with(std::slice::from_ref(&tracker.url))).start();
        CheckedReader::new(&playswarm, torrent.content(0)).read_all();
        let status = playswarm.status();
        let peer = status.peers.iter().find(|peer| peer.addr == seed.addr).expect("the seed is connected");
        assert_eq!(peer.origin, "tracker");
        let announces = tracker.announces();
        assert!(announces.iter().any(|a| a.info_hash == torrent.info_hash && a.peer.port() == playswarm.listen.port()));
    }
}

#[test]
fn a_reader_waits_on_while_other_pieces_come() {
    if !requirement::libtorrent() {
        return;
    }
    let torrent = TestTorrent::single("film.mkv", LENGTH, PIECE);
    // No peer has the first piece. Each of the other pieces wakes all blocked readers.
    let keep = [(1, torrent.pieces() - 1)];
    let seed = libtorrent::seed_with(&torrent, &torrent.file(), &libtorrent::Options::default(), &keep);
    let playswarm = Builder::stream(torrent.file()).peers([seed.addr]).start();
    let reader = CheckedReader::new(&playswarm, torrent.content(0));
    std::thread::spawn(move || drop(reader.try_read(0, LENGTH)));
    let rest = torrent.total() - PIECE;
    let status =
        playswarm.wait_status("all but the first piece", Duration::from_secs(30), |s| s.verified_bytes == rest);
    assert!(status.readers.iter().any(|reader| reader.position == 0 && reader.waiting), "{:?}", status.readers);
}
