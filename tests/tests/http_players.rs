//! The HTTP server as players, browsers and scripts use it: ranges, many readers, disconnecting
//! readers, foreign origins.
#![allow(clippy::unwrap_used)]

use playswarm_tests::film::film;
use playswarm_tests::http::{Url, get_range, request};
use playswarm_tests::peers::{RealPeer, libtorrent};
use playswarm_tests::place::Place;
use playswarm_tests::playswarm::{Builder, Playswarm};
use playswarm_tests::reader::CheckedReader;
use playswarm_tests::requirement;
use playswarm_tests::torrent::TestTorrent;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

struct Scene {
    torrent: TestTorrent,
    _seed: RealPeer,
    playswarm: Playswarm,
}

fn scene(upload: u64) -> Option<Scene> {
    if !requirement::libtorrent() {
        return None;
    }
    let torrent = TestTorrent::single("film.mp4", 8 << 20, 128 << 10);
    let seed = libtorrent::seed(&torrent, &libtorrent::Options::limited(upload));
    let playswarm = Builder::stream(torrent.file()).peers([seed.addr]).start();
    Some(Scene { torrent, _seed: seed, playswarm })
}

#[test]
fn ranges_are_answered_as_rfc_9110_has_them() {
    let Some(scene) = scene(0) else { return };
    let (url, total) = (scene.playswarm.url(), scene.torrent.total());
    let ask = |range: &str| request(&Place::Here, "GET", &url, &[("Range", range)]).unwrap();
    for (range, from, length) in [
        ("bytes=0-1".to_owned(), 0, 2),
        ("bytes=-500".to_owned(), total - 500, 500),
        (format!("bytes={}-", total - 7), total - 7, 7),
        (format!("bytes={}-{}", total - 7, total + 100), total - 7, 7),
        ("bytes=131070-131075".to_owned(), 131_070, 6),
    ] {
        let mut answer = ask(&range);
        assert_eq!(answer.status, 206, "{range}");
        let expected = format!("bytes {from}-{}/{total}", from + length - 1);
        assert_eq!(answer.header("content-range"), Some(expected.as_str()));
        let mut bytes = Vec::new();
        answer.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len() as u64, length, "{range}");
        assert_eq!(scene.torrent.content(0).first_difference(from, &bytes), None, "{range}");
    }
    let beyond = ask(&format!("bytes={total}-"));
    assert_eq!((beyond.status, beyond.header("content-range")), (416, Some(format!("bytes */{total}").as_str())));
    assert_eq!(ask("apples=1-2").status, 200, "an unknown unit is ignored");
}

#[test]
fn head_tells_what_get_would() {
    let Some(scene) = scene(0) else { return };
    let answer = request(&Place::Here, "HEAD", &scene.playswarm.url(), &[]).unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-length"), Some(scene.torrent.total().to_string().as_str()));
    assert_eq!(answer.header("accept-ranges"), Some("bytes"));
    assert_eq!(answer.header("content-type"), Some("video/mp4"));
    let tag = answer.header("etag").expect("an ETag for resuming").to_owned();
    let resumed = request(&Place::Here, "GET", &scene.playswarm.url(), &[("Range", "bytes=5-9"), ("If-Range", &tag)]);
    assert_eq!(resumed.unwrap().status, 206);
    let stale = request(&Place::Here, "HEAD", &scene.playswarm.url(), &[("Range", "bytes=5-9"), ("If-Range", "\"x\"")]);
    assert_eq!(stale.unwrap().status, 200, "another ETag returns the whole file");
}

#[test]
fn twelve_readers_at_once_are_all_served() {
    let Some(scene) = scene(0) else { return };
    let reader = CheckedReader::new(&scene.playswarm, scene.torrent.content(0));
    std::thread::scope(|scope| {
        for i in 0..12u64 {
            let reader = &reader;
            scope.spawn(move || reader.read(i * (600 << 10), 500 << 10));
        }
    });
}

#[test]
fn a_reader_that_goes_away_is_forgotten_at_once() {
    let Some(scene) = scene(512 << 10) else { return };
    let readers = |n: usize| move |status: &playswarm_tests::playswarm::Status| status.readers.len() == n;
    let gone = get_range(&Place::Here, &scene.playswarm.url(), 6 << 20, None).unwrap();
    scene.playswarm.wait_status("the reader to be shown", Duration::from_secs(10), readers(1));
    drop(gone);
    scene.playswarm.wait_status("the reader to be forgotten", Duration::from_secs(3), readers(0));
}

#[test]
fn a_slow_reader_does_not_make_it_hoard() {
    let Some(scene) = scene(0) else { return };
    let mut slow = get_range(&Place::Here, &scene.playswarm.url(), 0, None).unwrap();
    let mut other = [0; 1000];
    slow.read_exact(&mut other).unwrap();
    // The slow reader keeps its connection and reads nothing, while another reads the whole file.
    CheckedReader::new(&scene.playswarm, scene.torrent.content(0)).read_all();
    slow.read_exact(&mut other).unwrap();
    assert_eq!(scene.torrent.content(0).first_difference(1000, &other), None);
}

#[test]
fn strangers_in_a_browser_are_turned_away() {
    let Some(scene) = scene(0) else { return };
    let url = scene.playswarm.url().at("/status");
    // DNS rebinding: the connection is to loopback, but the Host header is the attacker's.
    let rebound = request(&Place::Here, "GET", &url, &[("Origin", "http://evil.example")]).unwrap();
    assert!(rebound.status == 403 || rebound.header("access-control-allow-origin").is_none());
    let text = raw(&url, b"GET /status HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    assert!(text.starts_with("HTTP/1.1 403"), "a foreign Host is refused: {text}");
    assert!(text.contains("--allow-host evil.example"), "the message names the option that allows it: {text}");
    for origin in ["*", "app.example", "https://app.example/player", "null"] {
        let output = Builder::stream(scene.torrent.file())
            .argument("--allow-origin")
            .argument(origin)
            .run(Duration::from_secs(20));
        let printed = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && printed.contains("--allow-origin"), "{origin}: {printed}");
        assert!(printed.contains("https://app.example"), "the message gives an example: {printed}");
    }
}

/// Sends these bytes and reads the whole response.
fn raw(url: &Url, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(url.addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(bytes).unwrap();
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn the_machine_is_served_by_its_own_names() {
    let Some(scene) = scene(0) else { return };
    let url = scene.playswarm.url();
    let name = rustix::system::uname().nodename().to_str().unwrap().to_owned();
    let label = name.split('.').next().unwrap();
    for host in [label, &format!("{label}.local"), "films.localhost", "LOCALHOST.", "192.168.77.5", "[fe80::1]"] {
        let text =
            raw(&url, format!("HEAD /status HTTP/1.1\r\nHost: {host}:8080\r\nConnection: close\r\n\r\n").as_bytes());
        assert!(text.starts_with("HTTP/1.1 200"), "{host}: {text}");
    }
    for host in ["other.local", "localhost.example", &format!("{label}.example"), &format!("{label}.local.example")] {
        let text =
            raw(&url, format!("HEAD /status HTTP/1.1\r\nHost: {host}:8080\r\nConnection: close\r\n\r\n").as_bytes());
        assert!(text.starts_with("HTTP/1.1 403"), "{host}: {text}");
    }
}

#[test]
fn idle_connections_do_not_keep_the_player_out() {
    let Some(scene) = scene(0) else { return };
    let url = scene.playswarm.url();
    let silent: Vec<TcpStream> = (0..300)
        .map(|n| {
            let mut stream = TcpStream::connect(url.addr).unwrap();
            if n % 2 == 0 {
                stream.write_all(b"GET / HTTP/1.1\r\nHost: local").unwrap();
            }
            stream
        })
        .collect();
    let begun = Instant::now();
    for _ in 0..20 {
        assert_eq!(request(&Place::Here, "GET", &url, &[("Range", "bytes=0-9")]).unwrap().status, 206);
    }
    assert!(begun.elapsed() < Duration::from_secs(8), "it took {:?}", begun.elapsed());
    // Connections without a complete request are closed soon.
    for mut stream in silent.into_iter().rev().take(5) {
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        assert!(!matches!(stream.read(&mut [0; 1024]), Err(e) if e.kind() == std::io::ErrorKind::WouldBlock));
    }
    assert!(begun.elapsed() < Duration::from_secs(30), "it took {:?}", begun.elapsed());
}

#[test]
fn what_a_television_is_given_by_time_decodes_and_the_rest_is_announced_by_byte() {
    if !requirement::libtorrent() || !requirement::program("ffmpeg") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let shelf = folder.path().join("shelf");
    std::fs::create_dir(&shelf).unwrap();
    for name in ["a.mkv", "a.mp4", "a.ts"] {
        film(&shelf, name, 12, 300_000);
    }
    let sound = ["-v", "error", "-f", "lavfi", "-i", "sine=frequency=440:duration=12", "-b:a", "96k"];
    assert!(Command::new("ffmpeg").args(sound).arg(shelf.join("b.mp3")).status().unwrap().success());
    let torrent = TestTorrent::of_folder(&shelf, 64 << 10);
    let seed = libtorrent::seed(&torrent, &libtorrent::Options::default());
    let playswarm = Builder::stream(torrent.file()).peers([seed.addr]).start();
    let ask = |method: &str, file: usize, headers: &[(&str, &str)]| {
        request(&Place::Here, method, &playswarm.url().at(&format!("/stream/{file}")), headers).unwrap()
    };
    for (file, operations) in [(0, "01"), (1, "01"), (2, "11"), (3, "11")] {
        let features = ask("HEAD", file, &[("getcontentFeatures.dlna.org", "1")]);
        let features = features.header("contentfeatures.dlna.org").unwrap().to_owned();
        assert!(features.contains(&format!("DLNA.ORG_OP={operations};")), "{file}: {features}");
        let start = ask("GET", file, &[("TimeSeekRange.dlna.org", "npt=0.000-")]);
        assert!(matches!(start.status, 200 | 206), "{file}: a request for the start needs no conversion");
        let answer = ask("GET", file, &[("TimeSeekRange.dlna.org", "npt=6.5-")]);
        if operations == "01" {
            assert_eq!(answer.status, 406, "{file}");
            continue;
        }
        assert_eq!(answer.status, 206, "{file}");
        let told = answer.header("timeseekrange.dlna.org").unwrap().to_owned();
        assert!(told.starts_with("npt=6.") && told.contains(" bytes="), "{told}");
        let cut = folder.path().join("cut");
        let mut bytes = Vec::new();
        { answer }.read_to_end(&mut bytes).unwrap();
        std::fs::write(&cut, bytes).unwrap();
        let decoded = Command::new("ffmpeg")
            .args(["-v", "error", "-xerror", "-i", cut.to_str().unwrap(), "-f", "framecrc", "-"])
            .output()
            .unwrap();
        let frames = String::from_utf8_lossy(&decoded.stdout).lines().filter(|line| line.starts_with("0,")).count();
        assert!(decoded.status.success() && frames >= 140, "{file}: {frames}: {decoded:?}");
    }
}

#[test]
fn metrics_and_the_playlist_are_there() {
    let Some(scene) = scene(0) else { return };
    let get = |path: &str| request(&Place::Here, "GET", &scene.playswarm.url().at(path), &[]).unwrap();
    let metrics = get("/metrics");
    assert_eq!(metrics.status, 200);
    assert!(metrics.text().unwrap().contains("playswarm_"), "figures bear the program's name");
    let playlist = get("/playlist.m3u8");
    assert_eq!(playlist.status, 200);
    let text = playlist.text().unwrap();
    assert!(text.starts_with("#EXTM3U") && text.contains("\nstream/0/film.mp4"), "{text}");
    assert_eq!(get("/no/such/page").status, 404);
}
