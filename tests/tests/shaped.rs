//! Streaming in a swarm of home connections: the time to the first byte, as a ratio to the computed
//! limit.
//!
//! The bounds are loose, so that they hold on a loaded machine too. They detect a picker that is
//! far off. The simulator and the experiment of docs/P2PMOD.md measure exactly.
#![allow(clippy::unwrap_used)]

use playswarm_tests::netlab::Link;
use playswarm_tests::reader::{CheckedReader, Player};
use playswarm_tests::requirement;
use playswarm_tests::swarm::Swarm;
use playswarm_tests::torrent::TestTorrent;
use std::time::Duration;

/// Largest ratio of the time to the first byte to the limit.
const RATIO: f64 = 2.0;

fn within(what: &str, took: Duration, limit: Duration) {
    let ratio = took.as_secs_f64() / limit.as_secs_f64();
    eprintln!("{what}: {:.2} s, {ratio:.2} times the limit", took.as_secs_f64());
    assert!(ratio <= RATIO, "{what} took {ratio:.2} times the limit of {:.2} s", limit.as_secs_f64());
}

#[test]
fn ten_equal_home_connections_start_seek_and_play_without_a_stall() {
    if !requirement::network() || !requirement::libtorrent() {
        return;
    }
    let torrent = TestTorrent::single("film.mkv", 96 << 20, 2 << 20);
    let swarm = Swarm::new(&torrent, Link::home(10_000, 50_000, 5.0), &[Link::home(4_000, 20_000, 15.0); 10]);
    let limit = swarm.limit(torrent.piece_length);
    let playswarm = swarm.start(&torrent.file());
    let reader = CheckedReader::new(&playswarm, torrent.content(0));
    let at = |share: f64| ((torrent.total() as f64 * share) as u64 / torrent.piece_length) * torrent.piece_length;
    within("the start", reader.read(0, 1 << 20).first_byte, limit);
    within("the seek to 70 %", reader.read(at(0.7), 1 << 20).first_byte, limit);
    within("the seek to 35 %", reader.read(at(0.35), 1 << 20).first_byte, limit);
    let playback = Player { bytes_per_s: 625_000, buffer_s: 2.0 }.play(&reader, at(0.5), 15.0);
    assert_eq!(playback.stalls, 0, "{playback:?}");
    let status = playswarm.status();
    let wasted = status.waste.total() as f64 / status.downloaded_bytes as f64;
    eprintln!("wasted: {:.2} %", wasted * 100.0);
    assert!(wasted <= 0.05, "{:?} of {}", status.waste, status.downloaded_bytes);
    // The received bytes on the link confirm the counters. Headers and control messages are a few
    // per cent.
    let received = swarm.net.traffic("viewer").received_bytes;
    assert!(received as f64 <= status.downloaded_bytes as f64 * 1.12 + 2e6, "{received} bytes came over the wire");
}

#[test]
fn fast_and_slow_lossy_connections_together_do_not_wait_for_the_slowest() {
    if !requirement::network() || !requirement::libtorrent() {
        return;
    }
    let torrent = TestTorrent::single("film.mkv", 64 << 20, 1 << 20);
    let mut links = vec![Link::home(8_000, 20_000, 20.0); 2];
    links.extend([Link { loss: 0.005, ..Link::home(400, 4_000, 90.0) }; 4]);
    let swarm = Swarm::new(&torrent, Link::home(10_000, 50_000, 5.0), &links);
    let playswarm = swarm.start(&torrent.file());
    let reader = CheckedReader::new(&playswarm, torrent.content(0));
    let playback = Player { bytes_per_s: 625_000, buffer_s: 2.0 }.play(&reader, 0, 15.0);
    assert_eq!(playback.stalls, 0, "{playback:?}");
    let seek = reader.read(48 << 20, 1 << 20).first_byte;
    assert!(seek < Duration::from_secs(3), "a seek that the two fast ones answer in 0.6 s took {seek:?}");
}
