//! The HTTP server as players, browsers and scripts use it: ranges, many readers, readers that go away, strangers.
#![allow(clippy::unwrap_used)]

use playswarm_tests::http::{get_range, request};
use playswarm_tests::peers::{RealPeer, libtorrent};
use playswarm_tests::place::Place;
use playswarm_tests::playswarm::{Builder, Playswarm};
use playswarm_tests::reader::CheckedReader;
use playswarm_tests::requirement;
use playswarm_tests::torrent::TestTorrent;
use std::io::Read;
use std::time::Duration;

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
    let tag = answer.header("etag").expect("a tag by which a player resumes").to_owned();
    let resumed = request(&Place::Here, "GET", &scene.playswarm.url(), &[("Range", "bytes=5-9"), ("If-Range", &tag)]);
    assert_eq!(resumed.unwrap().status, 206);
    let stale = request(&Place::Here, "HEAD", &scene.playswarm.url(), &[("Range", "bytes=5-9"), ("If-Range", "\"x\"")]);
    assert_eq!(stale.unwrap().status, 200, "a tag of something else gives all");
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
    // The slow one holds its connection and reads nothing; another reads all meanwhile.
    CheckedReader::new(&scene.playswarm, scene.torrent.content(0)).read_all();
    slow.read_exact(&mut other).unwrap();
    assert_eq!(scene.torrent.content(0).first_difference(1000, &other), None);
}

#[test]
fn strangers_in_a_browser_are_turned_away() {
    let Some(scene) = scene(0) else { return };
    let url = scene.playswarm.url().at("/status");
    // DNS rebinding: the connection is to loopback, the name is the attacker's.
    let rebound = request(&Place::Here, "GET", &url, &[("Origin", "http://evil.example")]).unwrap();
    assert!(rebound.status == 403 || rebound.header("access-control-allow-origin").is_none());
    let stream = std::net::TcpStream::connect(url.addr).unwrap();
    std::io::Write::write_all(&mut &stream, b"GET /status HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    (&stream).read_to_string(&mut text).unwrap();
    let status = text.split(' ').nth(1).and_then(|code| code.parse::<u16>().ok()).unwrap();
    assert!((400..500).contains(&status), "a foreign Host is refused: {text}");
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
    assert!(text.starts_with("#EXTM3U") && text.contains("http://"), "{text}");
    assert_eq!(get("/no/such/page").status, 404);
}
