//! The slot index: real viewers find each other through real DHT nodes, and play as well without
//! any nodes.
#![allow(clippy::unwrap_used)]

use playswarm_tests::film::film;
use playswarm_tests::http;
use playswarm_tests::peers::{dht_net::DhtNet, fresh_ip, libtorrent};
use playswarm_tests::place::Place;
use playswarm_tests::playswarm::{Builder, Playswarm};
use playswarm_tests::torrent::TestTorrent;
use playswarm_tests::{requirement, wait_for};
use serde_json::Value;
use std::io::Read;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

const FILM_S: u32 = 60;
const BITS_PER_S: u32 = 800_000;

/// The film's torrent, and settings for viewers on one machine. They are those of the internet with
/// shorter times.
struct Scene {
    torrent: TestTorrent,
    settings: PathBuf,
    folder: tempfile::TempDir,
}

impl Scene {
    /// Makes a film and its torrent. `None` if a requirement is missing.
    fn new() -> Option<Scene> {
        if !requirement::libtorrent() || !requirement::program("ffmpeg") {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let film = film(folder.path(), "film.mkv", FILM_S, BITS_PER_S);
        let torrent = TestTorrent::of_file(&film, 64 << 10);
        let settings = folder.path().join("settings.json");
        let text = r#"{"lsd": false, "pex": false, "port_map": false, "trackers": false,
            "advanced": {"slots": {"local_addresses": true, "announce_after_s": 1.0, "search_after_s": 0.2, "again_s": 3.0}}}"#;
        std::fs::write(&settings, text).unwrap();
        Some(Scene { torrent, settings, folder })
    }

    fn set(&self, builder: Builder, bootstrap: &[String]) -> Builder {
        let builder = builder.open_network().listen(free()).argument("--config").argument(as_text(&self.settings));
        bootstrap.iter().fold(builder, |builder, node| builder.argument("--dht-bootstrap").argument(node))
    }

    fn viewer(&self, bootstrap: &[String], peers: &[SocketAddr]) -> Playswarm {
        self.set(Builder::stream(self.torrent.file()), bootstrap).peers(peers.iter().copied()).start()
    }
}

fn as_text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Returns a free address on 127.0.0.1. DHT nodes see requests from loopback as coming from there,
/// so viewers must listen there.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Starts a DHT on addresses other than those of the tests' peers.
fn dht(count: usize) -> DhtNet {
    let [a, b, c, _] = fresh_ip().octets();
    DhtNet::start(IpAddr::from([a, 220 + b % 30, c, 0]), count)
}

/// Reads the film at its own rate and compares it.
fn watch(viewer: &Playswarm, film: &Path) -> std::thread::JoinHandle<usize> {
    let (url, film) = (viewer.url(), std::fs::read(film).unwrap());
    std::thread::spawn(move || {
        let mut body = http::get_range(&Place::Here, &url, 0, None).unwrap();
        let (mut read, mut buffer) = (0, vec![0; (BITS_PER_S / 8 / 2) as usize]);
        loop {
            let Ok(n) = body.read(&mut buffer) else { return read };
            if n == 0 {
                return read;
            }
            assert!(buffer[..n] == film[read..read + n], "wrong bytes at {read}");
            read += n;
            std::thread::sleep(Duration::from_millis(500 * n as u64 / buffer.len() as u64));
        }
    })
}

fn status(viewer: &Playswarm) -> Value {
    let answer = http::request(&Place::Here, "GET", &viewer.url().at("/status"), &[]).unwrap();
    serde_json::from_str(&answer.text().unwrap()).unwrap()
}

#[test]
fn viewers_of_the_same_minute_become_parents_and_may_leave() {
    let Some(scene) = Scene::new() else { return };
    let net = dht(20);
    let bootstrap = net.bootstrap();
    let limited = libtorrent::Options { upload: 200_000, ..libtorrent::Options::default() };
    let seed = libtorrent::seed(&scene.torrent, &limited);
    let film = scene.folder.path().join("film.mkv");

    let mut first = scene.viewer(&bootstrap, &[seed.addr]);
    let first_watches = watch(&first, &film);
    wait_for("the first viewer's announcement", Duration::from_secs(60), || {
        status(&first)["slots"]["announces"].as_u64().filter(|n| *n > 0)
    });

    let second = scene.viewer(&bootstrap, &[seed.addr]);
    let second_watches = watch(&second, &film);
    let parent = second.wait_status("a parent", Duration::from_secs(60), |status| {
        status.peers.iter().any(|peer| peer.parent && peer.addr == first.listen)
    });
    assert!(parent.peers.iter().all(|peer| peer.addr != seed.addr || !peer.parent), "the seed is not a parent");
    let said = wait_for("the parent's reported position", Duration::from_secs(20), || {
        let status = status(&second);
        let peers = status["peers"].as_array()?.clone();
        let parent = peers.into_iter().find(|peer| peer["parent"] == true)?;
        (status["slots"]["parent_bytes"].as_u64()? > 0 && !parent["viewer"].is_null()).then_some((status, parent))
    });
    let (ours, theirs) = (&said.0["slots"], &said.1["viewer"]);
    assert!(theirs["playhead_s"].as_f64() > ours["playhead_s"].as_f64(), "a parent is ahead of us: {said:?}");
    assert_eq!(theirs["playing"], true);

    // A read-only search sees both viewers and announces nothing.
    let seen = wait_for("both viewers in the output", Duration::from_secs(60), || {
        let look = scene.set(Builder::slots(scene.torrent.file()), &bootstrap).argument("--json");
        let output =
            look.argument("--wait").argument("12").peers([first.listen, second.listen]).run(Duration::from_secs(60));
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}: {}", String::from_utf8_lossy(&output.stderr));
        let seen: Value = serde_json::from_str(text.lines().last()?).unwrap();
        let announced: usize =
            seen["slots"].as_array()?.iter().filter_map(|slot| Some(slot["addresses"].as_array()?.len())).sum();
        (announced >= 2 && seen["viewers"].as_array()?.len() >= 2).then_some(seen)
    });
    assert!((seen["duration_s"].as_f64().unwrap() - f64::from(FILM_S)).abs() < 1.0);

    // All parents leave at the same moment, and the film plays on.
    first.process.kill9();
    second.wait_status("no parent", Duration::from_secs(30), |status| status.peers.iter().all(|peer| !peer.parent));
    let length = std::fs::metadata(&film).unwrap().len() as usize;
    assert_eq!(second_watches.join().unwrap(), length, "it read the film to its end");
    assert!(first_watches.join().unwrap() <= length);
}

#[test]
fn without_any_dht_a_film_plays_as_ever() {
    let Some(scene) = Scene::new() else { return };
    let seed = libtorrent::seed(&scene.torrent, &libtorrent::Options::default());
    let viewer = scene.viewer(&["127.0.0.1:9".to_owned()], &[seed.addr]);
    let film = scene.folder.path().join("film.mkv");
    let watching = watch(&viewer, &film);
    let slots = wait_for("a lookup that fails", Duration::from_secs(60), || {
        let slots = status(&viewer)["slots"].clone();
        (slots["failed_operations"].as_u64()? > 0).then_some(slots)
    });
    assert_eq!(slots["dials"], 0);
    let operations = slots["lookups"].as_u64().unwrap() + slots["announces"].as_u64().unwrap();
    assert!(operations <= 6, "few operations without a DHT: {slots}");
    assert!(status(&viewer)["playhead"]["time_s"].as_f64().unwrap() > 1.0);
    drop(viewer);
    watching.join().unwrap();
}

#[test]
fn a_private_film_has_no_place_in_the_index() {
    let Some(scene) = Scene::new() else { return };
    let film = scene.folder.path().join("film.mkv");
    for private in [false, true] {
        let torrent = TestTorrent::of_file(&film, 64 << 10);
        let torrent = if private { torrent.made_private() } else { torrent };
        let seed = libtorrent::seed(&torrent, &libtorrent::Options::default());
        let viewer = scene.set(Builder::stream(torrent.file()), &["127.0.0.1:9".to_owned()]).peers([seed.addr]).start();
        let watching = watch(&viewer, &film);
        viewer.wait_status("the film", Duration::from_secs(30), |status| status.verified_bytes == status.total_bytes);
        wait_for("the film's time", Duration::from_secs(20), || {
            status(&viewer)["playhead"]["time_s"].as_f64().filter(|time| *time > 3.0)
        });
        let has_place = || (!status(&viewer)["slots"].is_null()).then_some(());
        if private {
            // The status is read twice a second.
            std::thread::sleep(Duration::from_secs(2));
            assert_eq!(has_place(), None);
        } else {
            wait_for("its place", Duration::from_secs(20), has_place);
        }
        drop(viewer);
        watching.join().unwrap();
        let look = scene.set(Builder::slots(torrent.file()), &["127.0.0.1:9".to_owned()]).peers([seed.addr]);
        let output = look.argument("--wait").argument("5").run(Duration::from_secs(90));
        assert_eq!(output.status.success(), !private, "{}", String::from_utf8_lossy(&output.stderr));
    }
}
