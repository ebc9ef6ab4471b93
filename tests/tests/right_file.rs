//! The choice of the file and the information about its time, with a real libtorrent seed where the
//! film's bytes are needed.
#![allow(clippy::unwrap_used)]

use playswarm_tests::film::film;
use playswarm_tests::http::{self, Response};
use playswarm_tests::peers::libtorrent;
use playswarm_tests::place::Place;
use playswarm_tests::playswarm::{Builder, Playswarm};
use playswarm_tests::requirement;
use playswarm_tests::torrent::TestTorrent;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

fn get(playswarm: &Playswarm, path: &str) -> Response {
    http::request(&Place::Here, "GET", &playswarm.url().at(path), &[]).unwrap()
}

#[test]
fn a_film_without_an_ending_is_known_by_its_first_bytes() {
    if !requirement::libtorrent() || !requirement::program("ffmpeg") {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("Film");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::rename(film(&folder, "film.mkv", 30, 800_000), folder.join("film")).unwrap();
    film(&folder, "site.mkv", 3, 800_000);
    // As large as the film, but not playable.
    std::fs::write(folder.join("data.xyz"), vec![b'x'; 4 << 20]).unwrap();
    let names = ["data.xyz", "film", "site.mkv"].map(str::to_owned);
    let torrent = TestTorrent::of_files(&folder, &names, 64 << 10);
    let seed = libtorrent::seed(&torrent, &libtorrent::Options::default());
    let playswarm = Builder::stream(torrent.file()).peers([seed.addr]).start();
    assert!(playswarm.url().path.starts_with("/stream/1/film"), "{}", playswarm.url().path);
    let timeline = get(&playswarm, "/timeline/1").text().unwrap();
    assert!(timeline.contains("\"duration_known\":true") && timeline.contains("Matroska"), "{timeline}");
}

#[test]
fn a_packed_film_is_named_and_the_part_of_a_name_means_the_film() {
    let files = [("rel.rar", 300_000), ("rel.r00", 300_000), ("Sample/rel-sample.mkv", 6000)];
    let torrent = TestTorrent::multi("Rel", &files, 32 << 10);
    let output = Builder::stream(torrent.file()).run(Duration::from_secs(30));
    let printed = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && printed.contains("in the archive rel.rar (RAR archive)"), "{printed}");
    let files = [("Show.S01E02.mkv", 300_000), ("Show.S01E02.srt", 3000), ("Show.S01E03.mkv", 300_000)];
    let torrent = TestTorrent::multi("Show", &files, 32 << 10);
    let playswarm = Builder::stream(torrent.file()).argument("--file").argument("S01E02").start();
    assert!(playswarm.url().path.starts_with("/stream/0/"), "{}", playswarm.url().path);
    let output = Builder::stream(torrent.file()).argument("--file").argument("Show").run(Duration::from_secs(30));
    let printed = String::from_utf8(output.stderr).unwrap();
    assert!(printed.contains("0: Show.S01E02.mkv, 2: Show.S01E03.mkv"), "{printed}");
}

#[test]
fn the_times_of_a_windows_film_are_its_headers_and_no_time_is_refused_on_a_guess() {
    if !requirement::libtorrent() || !requirement::program("ffmpeg") {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("Film");
    std::fs::create_dir_all(&folder).unwrap();
    make_wmv(&folder.join("film.wmv"));
    std::fs::write(folder.join("other.xyz"), vec![b'x'; 100_000]).unwrap();
    let torrent = TestTorrent::of_files(&folder, &["film.wmv".to_owned(), "other.xyz".to_owned()], 32 << 10);
    let seed = libtorrent::seed(&torrent, &libtorrent::Options::default());
    let playswarm = Builder::stream(torrent.file()).peers([seed.addr]).start();
    let answer = get(&playswarm, "/stream/0/film.wmv?t=20");
    assert_eq!((answer.status, answer.header("playswarm-estimated")), (206, Some("yes")));
    let duration: f64 = answer.header("playswarm-duration").unwrap().parse().unwrap();
    assert!((39.0..41.0).contains(&duration), "{duration}");
    let answer = get(&playswarm, "/stream/1/other.xyz?t=50");
    assert_eq!((answer.status, answer.header("playswarm-duration")), (200, Some("unknown")));
}

fn make_wmv(path: &Path) {
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=40"])
        .args(["-c:v", "wmv2", "-b:v", "400k", "-g", "50"])
        .arg(path)
        .status()
        .unwrap();
    assert!(status.success());
}
