//! Seeking by time, with a real libtorrent seed and films made by FFmpeg. `?t=`, `/timeline` and
//! `info` must agree with FFmpeg's own reader.
#![allow(clippy::unwrap_used)]

use playswarm_tests::film::film;
use playswarm_tests::http::{self, Response};
use playswarm_tests::peers::{RealPeer, libtorrent};
use playswarm_tests::place::Place;
use playswarm_tests::playswarm::{Builder, Playswarm, binary};
use playswarm_tests::requirement;
use playswarm_tests::torrent::TestTorrent;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Length of the film in seconds.
const FILM_S: u32 = 60;

fn ffprobe(film: &Path, show: &[&str]) -> String {
    let output = Command::new("ffprobe").args(["-v", "error", "-of", "csv=p=0"]).args(show).arg(film).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Returns the keyframes of the film according to FFmpeg: time from the start of the film, and byte
/// position of the packet.
fn keyframes(film: &Path) -> Vec<(f64, u64)> {
    let start: f64 = ffprobe(film, &["-show_entries", "format=start_time"]).trim().parse().unwrap();
    let text = ffprobe(film, &["-select_streams", "v:0", "-show_entries", "packet=pts_time,pos,flags"]);
    let packets = text.lines().filter_map(|line| {
        let mut fields = line.split(',');
        let (pts, pos, flags) = (fields.next()?, fields.next()?, fields.next()?);
        flags.starts_with('K').then(|| (pts.parse::<f64>().unwrap() - start, pos.parse::<u64>().unwrap()))
    });
    packets.collect()
}

struct Scene {
    playswarm: Playswarm,
    film: PathBuf,
    bytes: Vec<u8>,
    seed: RealPeer,
    torrent: TestTorrent,
    _folder: tempfile::TempDir,
}

/// Starts a viewer of the film. `None` if a requirement is missing.
fn scene(name: &str) -> Option<Scene> {
    if !requirement::libtorrent() || !requirement::program("ffmpeg") || !requirement::program("ffprobe") {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let film = film(folder.path(), name, FILM_S, 1_000_000);
    let torrent = TestTorrent::of_file(&film, 64 << 10);
    let seed = libtorrent::seed(&torrent, &libtorrent::Options::default());
    let playswarm = Builder::stream(torrent.file()).peers([seed.addr]).start();
    let bytes = std::fs::read(&film).unwrap();
    Some(Scene { playswarm, film, bytes, seed, torrent, _folder: folder })
}

impl Scene {
    fn get(&self, path: &str) -> Response {
        http::request(&Place::Here, "GET", &self.playswarm.url().at(path), &[]).unwrap()
    }
}

fn number(answer: &Response, name: &str) -> f64 {
    answer.header(name).unwrap_or_else(|| panic!("{name} is missing")).parse().unwrap()
}

fn a_time_lands_on_ffmpegs_keyframe(name: &str) {
    let Some(scene) = scene(name) else { return };
    let truth = keyframes(&scene.film);
    assert!(truth.len() >= 29, "a keyframe every two seconds: {truth:?}");
    for at in [0.5, 31.0, 44.44, 59.5, 2.0] {
        let answer = scene.get(&format!("/stream/0/{name}?t={at}"));
        assert_eq!(answer.status, 206, "{at} s");
        let (time, place) = *truth.iter().rev().find(|(time, _)| *time <= at + 0.0005).unwrap();
        assert!((number(&answer, "playswarm-time") - time).abs() <= 0.0015, "{at} s: {time}");
        assert_eq!(number(&answer, "playswarm-keyframe") as u64, place, "{at} s");
        assert_eq!(answer.header("playswarm-estimated"), Some("no"));
        let range = answer.header("content-range").unwrap().to_owned();
        let from: usize = range.strip_prefix("bytes ").and_then(|r| r.split_once('-')).unwrap().0.parse().unwrap();
        assert!(from as u64 <= place && place - from as u64 <= 1 << 20, "{range}: {place}");
        let mut body = Vec::new();
        std::io::Read::read_to_end(&mut { answer }, &mut body).unwrap();
        assert!(body == scene.bytes[from..], "from {at} s on");
    }
    let beyond = scene.get(&format!("/stream/0/{name}?t=90"));
    assert_eq!(
        (beyond.status, beyond.header("playswarm-time")),
        (200, None),
        "a time beyond the film's end is ignored"
    );
    drop(beyond);
    let timeline: Value = serde_json::from_str(&scene.get("/timeline/0?buckets=10").text().unwrap()).unwrap();
    let duration = timeline["duration_s"].as_f64().unwrap();
    assert!((duration - f64::from(FILM_S)).abs() < 0.1, "{duration}");
    assert_eq!(timeline["bitrate"]["bytes_per_s"].as_array().unwrap().len(), 10);
    let status: Value = serde_json::from_str(&scene.get("/status").text().unwrap()).unwrap();
    assert!(status["playhead"]["time_s"].as_f64().is_some(), "{}", status["playhead"]);
}

#[test]
fn a_time_in_matroska_lands_on_ffmpegs_keyframe() {
    a_time_lands_on_ffmpegs_keyframe("film.mkv");
}

#[test]
fn a_time_in_mp4_lands_on_ffmpegs_keyframe() {
    a_time_lands_on_ffmpegs_keyframe("film.mp4");
}

#[test]
fn a_transport_stream_plays_from_the_time_on() {
    let Some(scene) = scene("film.ts") else { return };
    // A transport stream that is served from a time on begins with its own tables.
    let url = scene.playswarm.url();
    let rest = scene.film.with_file_name("rest.ts");
    let mut body = Vec::new();
    std::io::Read::read_to_end(&mut scene.get(&format!("{}?t=31", url.path)), &mut body).unwrap();
    std::fs::write(&rest, body).unwrap();
    let found = keyframes(&rest);
    let whole = keyframes(&scene.film);
    assert_eq!(found.len(), whole.iter().filter(|(time, _)| *time >= 30.0).count(), "{found:?}");
}

#[test]
fn info_tells_of_the_film_what_ffprobe_tells() {
    let Some(scene) = scene("film.mkv") else { return };
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(binary())
        .args(["info", "--json", scene.torrent.file().to_str().unwrap(), "--peer", &scene.seed.addr.to_string()])
        .args(["--no-dht", "--no-lsd", "--no-port-map", "--no-trackers", "--listen", "127.0.0.1:0"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let info: Value = serde_json::from_slice(&output.stdout).unwrap();
    let timeline = &info["timeline"];
    assert_eq!(timeline["container"], "Matroska");
    assert_eq!((&timeline["tracks"][0]["codec"], &timeline["tracks"][1]["codec"]), (&"h264".into(), &"aac".into()));
    assert_eq!(timeline["tracks"][0]["width"], 320);
    let truth = keyframes(&scene.film);
    let told = timeline["keyframes"].as_array().unwrap();
    assert_eq!(told.len(), truth.len());
    for (told, (time, _)) in told.iter().zip(&truth) {
        assert!((told["time_s"].as_f64().unwrap() - time).abs() <= 0.0015, "{told}: {time}");
    }
    assert!((timeline["keyframe_spacing"]["median_s"].as_f64().unwrap() - 2.0).abs() < 0.01);
}
