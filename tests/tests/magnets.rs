//! Magnet links: metadata from real clients (BEP 9), metadata for real clients, and saved metadata.
#![allow(clippy::unwrap_used)]

use playswarm_tests::hostile::{Hostile, Malice};
use playswarm_tests::peers::{RealPeer, aria2, libtorrent, rqbit, transmission};
use playswarm_tests::playswarm::{Builder, STARTUP};
use playswarm_tests::reader::CheckedReader;
use playswarm_tests::requirement;
use playswarm_tests::torrent::TestTorrent;
use playswarm_tests::tracker::{Mode, Tracker};
use std::time::Duration;

/// Returns a torrent with small pieces, so that the metadata itself takes several messages.
fn torrent() -> TestTorrent {
    TestTorrent::single("by magnet.mkv", 20 << 20, 16 << 10)
}

fn plays_by_magnet_from(seed: impl FnOnce(&TestTorrent) -> RealPeer) {
    let torrent = torrent();
    assert!(torrent.info.encode().len() > 16_384, "the metadata takes more than one message");
    let seed = seed(&torrent);
    let playswarm = Builder::stream(torrent.magnet(&[], &[])).peers([seed.addr]).start();
    CheckedReader::new(&playswarm, torrent.content(0)).read(10 << 20, 1 << 20);
}

#[test]
fn libtorrent_gives_the_metadata() {
    if requirement::libtorrent() {
        plays_by_magnet_from(|torrent| libtorrent::seed(torrent, &libtorrent::Options::default()));
    }
}

#[test]
fn transmission_gives_the_metadata() {
    if requirement::program("transmission-daemon") {
        plays_by_magnet_from(|torrent| transmission::seed(torrent, &torrent.file()));
    }
}

#[test]
fn aria2_gives_the_metadata() {
    if requirement::program("aria2c") {
        plays_by_magnet_from(|torrent| aria2::seed(torrent, &torrent.file()));
    }
}

#[test]
fn rqbit_gives_the_metadata() {
    plays_by_magnet_from(|torrent| rqbit::seed(torrent, &torrent.file()));
}

#[test]
fn the_link_itself_names_a_peer() {
    if !requirement::libtorrent() {
        return;
    }
    let torrent = torrent();
    let seed = libtorrent::seed(&torrent, &libtorrent::Options::default());
    let playswarm = Builder::stream(torrent.magnet(&[], &[seed.addr])).start();
    CheckedReader::new(&playswarm, torrent.content(0)).read(0, 1 << 20);
}

#[test]
fn the_link_itself_names_a_tracker() {
    if !requirement::libtorrent() {
        return;
    }
    let torrent = torrent();
    let seed = libtorrent::seed(&torrent, &libtorrent::Options::default());
    for tracker in [Tracker::http(Mode::Honest), Tracker::udp(Mode::Honest)] {
        tracker.add_peer(seed.addr);
        let playswarm = Builder::stream(torrent.magnet(std::slice::from_ref(&tracker.url), &[])).start();
        CheckedReader::new(&playswarm, torrent.content(0)).read(0, 1 << 20);
    }
}

#[test]
fn a_second_opening_needs_no_peer() {
    if !requirement::libtorrent() {
        return;
    }
    let torrent = torrent();
    let dir = tempfile::tempdir().unwrap();
    let seed = libtorrent::seed(&torrent, &libtorrent::Options::default());
    let first = Builder::stream(torrent.magnet(&[], &[])).dir(dir.path()).peers([seed.addr]).start();
    // A little more than the second run reads, because the last piece may not be on disk yet.
    CheckedReader::new(&first, torrent.content(0)).read(0, 4 << 20);
    drop((first, seed));
    let second = Builder::stream(torrent.magnet(&[], &[])).dir(dir.path()).start();
    CheckedReader::new(&second, torrent.content(0)).read(0, 3 << 20);
}

#[test]
fn liars_about_the_metadata_do_not_keep_the_truth_away() {
    if !requirement::libtorrent() {
        return;
    }
    let torrent = torrent();
    let liars = [Malice::WrongMetadata, Malice::AbsurdMetadata, Malice::Silence].map(|m| Hostile::start(m, &torrent));
    let seed = libtorrent::seed(&torrent, &libtorrent::Options::default());
    let peers = liars.iter().map(|liar| liar.addr).chain([seed.addr]);
    let playswarm = Builder::stream(torrent.magnet(&[], &[])).peers(peers).start();
    CheckedReader::new(&playswarm, torrent.content(0)).read(0, 1 << 20);
    assert!(liars.iter().all(|liar| liar.connections() > 0), "all hostile peers were connected");
    assert!(playswarm.process.peak_memory() < 200 << 20, "a claimed size of gigabytes allocates no memory");
}

#[test]
fn a_link_without_peers_ends_with_an_error() {
    let torrent = torrent();
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("impatient.json");
    std::fs::write(&settings, r#"{"metadata_timeout_ms": 2000}"#).unwrap();
    let impatient = Builder::stream(torrent.magnet(&[], &[])).argument("--config").argument(settings.to_str().unwrap());
    let output = impatient.run(STARTUP);
    assert!(!output.status.success());
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(printed.contains("no peer was found within 2 s") && printed.contains("--peer"), "{printed}");
    assert!(output.stdout.is_empty(), "no URL is printed after an error");
}

#[test]
fn libtorrent_gets_the_metadata_and_the_film_from_us() {
    if !requirement::libtorrent() {
        return;
    }
    let torrent = torrent();
    let us = Builder::seed(&torrent.data().join(&torrent.name), &torrent.file()).spawn();
    playswarm_tests::wait_for("playswarm to listen", STARTUP, || std::net::TcpStream::connect(us.listen).ok());
    let leech = libtorrent::leech_magnet(&torrent.magnet(&[], &[us.listen]), &libtorrent::Options::default());
    leech.wait_complete(&torrent, Duration::from_secs(90));
}

#[test]
fn rqbit_gets_the_metadata_and_the_film_from_us() {
    let torrent = torrent();
    let us = Builder::seed(&torrent.data().join(&torrent.name), &torrent.file()).spawn();
    playswarm_tests::wait_for("playswarm to listen", STARTUP, || std::net::TcpStream::connect(us.listen).ok());
    let leech = rqbit::leech(&torrent.magnet(&[], &[]), &[us.listen]);
    leech.wait_complete(&torrent, Duration::from_secs(90));
}

#[test]
fn metadata_is_given_within_the_upload_limit() {
    // 8,192 pieces of 1 KiB make 160 KiB of metadata.
    let torrent = TestTorrent::single("film.mkv", 8 << 20, 1 << 10);
    let file = torrent.data().join("film.mkv");
    let seed = Builder::seed(&file, &torrent.file()).argument("--up-limit").argument("32768").spawn();
    let mut viewer = Builder::stream(torrent.magnet(&[], &[])).peers([seed.listen]).spawn();
    let begun = std::time::Instant::now();
    viewer.wait_url(Duration::from_secs(90));
    assert!(begun.elapsed() > Duration::from_secs(3), "{:?} instead of about 5 s", begun.elapsed());
}
