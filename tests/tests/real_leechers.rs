//! Each real client downloads a whole torrent from us, from `playswarm seed` and from a viewer.
#![allow(clippy::unwrap_used)]

use playswarm_tests::peers::{RealPeer, aria2, libtorrent, rqbit, rtorrent, transmission};
use playswarm_tests::playswarm::{Builder, Playswarm};
use playswarm_tests::reader::CheckedReader;
use playswarm_tests::requirement;
use playswarm_tests::torrent::TestTorrent;
use playswarm_tests::tracker::{Mode, Tracker};
use playswarm_tests::wait_for;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(90);

fn torrent() -> TestTorrent {
    TestTorrent::single("given.mkv", (8 << 20) + 4321, 256 << 10)
}

/// Starts `playswarm seed` of the whole torrent, and waits until it listens.
fn seeding(torrent: &TestTorrent, file: &Path, peers: &[SocketAddr]) -> Playswarm {
    let playswarm = Builder::seed(&torrent.data().join(&torrent.name), file).peers(peers.iter().copied()).spawn();
    listening(playswarm)
}

fn listening(playswarm: Playswarm) -> Playswarm {
    wait_for("playswarm to listen", Duration::from_secs(20), || {
        TcpStream::connect_timeout(&playswarm.listen, Duration::from_secs(1)).ok()
    });
    playswarm
}

#[test]
fn libtorrent_downloads_from_us() {
    if !requirement::libtorrent() {
        return;
    }
    let torrent = torrent();
    let playswarm = seeding(&torrent, &torrent.file(), &[]);
    let mut leech = libtorrent::leech(&torrent.file(), &libtorrent::Options::default());
    leech.connect(playswarm.listen);
    leech.wait_complete(&torrent, PATIENCE);
}

#[test]
fn transmission_downloads_from_us_when_we_dial_it() {
    if !requirement::program("transmission-daemon") {
        return;
    }
    let torrent = torrent();
    let leech = transmission::leech(&torrent.file());
    let _playswarm = seeding(&torrent, &torrent.file(), &[leech.addr]);
    leech.wait_complete(&torrent, PATIENCE);
}

#[test]
fn rtorrent_downloads_from_us_however_much_it_asks_for_at_once() {
    if !requirement::program("rtorrent") {
        return;
    }
    // Long enough for rTorrent to measure the line's rate and to request more than a thousand
    // blocks at once.
    let torrent = TestTorrent::single("given.mkv", 224 << 20, 1 << 20);
    let leech = rtorrent::leech(&torrent.file());
    let _playswarm = seeding(&torrent, &torrent.file(), &[leech.addr]);
    leech.wait_complete(&torrent, PATIENCE);
}

/// Checks that a client without BEP 54 is not disconnected for requests of evicted pieces. The
/// client downloads more slowly than the film is watched, so it requests pieces that were announced
/// and then evicted.
///
/// With `dialled`, we dial the client, because it dials no address of this machine.
fn stays_though_we_gave_back_what_it_asks_for(program: &str, dialled: bool, leech: impl Fn(&Path) -> RealPeer) {
    if !requirement::libtorrent() || !requirement::program(program) {
        return;
    }
    let torrent = TestTorrent::single("film.mkv", 72 << 20, 1 << 20);
    let tracker = Tracker::http(Mode::Honest);
    let file = torrent.file_with(std::slice::from_ref(&tracker.url));
    let seed = libtorrent::seed(&torrent, &libtorrent::Options::default());
    let early = dialled.then(|| leech(&file));
    let playswarm = Builder::stream(torrent.file())
        .peers([seed.addr].into_iter().chain(early.as_ref().map(|leech| leech.addr)))
        .argument("--disk-limit")
        .argument("32MiB")
        .argument("--up-limit")
        .argument("2MB")
        .start();
    tracker.add_peer(playswarm.listen);
    let leech = early.unwrap_or_else(|| leech(&file));
    let reader = CheckedReader::new(&playswarm, torrent.content(0));
    reader.read(0, 24 << 20);
    playswarm.wait_status("the client takes something", PATIENCE, |status| status.uploaded_bytes > 0);
    reader.read(24 << 20, 48 << 20);
    // The client downloads the remaining pieces and requests the evicted ones in vain.
    std::thread::sleep(Duration::from_secs(12));
    let log = playswarm.process.stderr();
    let disconnects = log.iter().filter(|line| line.contains("dropped") || line.contains("banned")).collect::<Vec<_>>();
    assert!(disconnects.is_empty(), "{disconnects:?}");
    assert_eq!(playswarm.status().peers.len(), 2, "{:?}", playswarm.status().peers);
    drop(leech);
}

#[test]
fn rtorrent_stays_though_we_gave_back_what_it_asks_for() {
    stays_though_we_gave_back_what_it_asks_for("rtorrent", false, rtorrent::leech);
}

#[test]
fn transmission_stays_though_we_gave_back_what_it_asks_for() {
    stays_though_we_gave_back_what_it_asks_for("transmission-daemon", true, transmission::leech);
}

#[test]
fn aria2_stays_though_we_gave_back_what_it_asks_for() {
    stays_though_we_gave_back_what_it_asks_for("aria2c", false, |file| aria2::leech(file.to_str().unwrap()));
}

#[test]
fn aria2_finds_us_at_the_tracker_and_downloads() {
    if !requirement::program("aria2c") {
        return;
    }
    let torrent = torrent();
    let tracker = Tracker::http(Mode::Honest);
    let file = torrent.file_with(std::slice::from_ref(&tracker.url));
    let playswarm = seeding(&torrent, &file, &[]);
    wait_for("our announce", Duration::from_secs(20), || {
        tracker.announces().iter().any(|a| a.peer.port() == playswarm.listen.port()).then_some(())
    });
    // The announce comes from an address chosen by the system. Our listening address is added by
    // hand.
    tracker.add_peer(playswarm.listen);
    let leech = aria2::leech(file.to_str().unwrap());
    leech.wait_complete(&torrent, PATIENCE);
}

#[test]
fn rqbit_downloads_from_us() {
    let torrent = torrent();
    let playswarm = seeding(&torrent, &torrent.file(), &[]);
    let leech = rqbit::leech(torrent.file().to_str().unwrap(), &[playswarm.listen]);
    leech.wait_complete(&torrent, PATIENCE);
}

#[test]
fn several_clients_at_once_are_all_served() {
    if !requirement::libtorrent() {
        return;
    }
    let torrent = torrent();
    let playswarm = seeding(&torrent, &torrent.file(), &[]);
    let start = |_| {
        let mut leech = libtorrent::leech(&torrent.file(), &libtorrent::Options::default());
        leech.connect(playswarm.listen);
        leech
    };
    let leeches = (0..3).map(start).collect::<Vec<RealPeer>>();
    let rqbit = rqbit::leech(torrent.file().to_str().unwrap(), &[playswarm.listen]);
    leeches.iter().chain([&rqbit]).for_each(|leech| leech.wait_complete(&torrent, PATIENCE));
}

#[test]
fn what_we_have_watched_others_get_from_us() {
    if !requirement::libtorrent() {
        return;
    }
    let torrent = torrent();
    let seed = libtorrent::seed(&torrent, &libtorrent::Options::default());
    let playswarm = Builder::stream(torrent.file()).peers([seed.addr]).start();
    CheckedReader::new(&playswarm, torrent.content(0)).read_all();
    drop(seed);
    let mut leech = libtorrent::leech(&torrent.file(), &libtorrent::Options::default());
    leech.connect(playswarm.listen);
    leech.wait_complete(&torrent, PATIENCE);
    assert!(playswarm.status().uploaded_bytes >= torrent.total(), "the uploaded bytes are counted");
}
