//! The program as a user starts it: its output and its exit codes.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{OFFLINE, Serving, film, run, season};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

#[test]
fn create_writes_a_torrent_once_and_prints_its_magnet_link() {
    let (dir, _) = film();
    let (code, out, err) =
        run(dir.path(), &["create", "film.mkv", "-o", "x.torrent", "--tracker", "http://t.example/a"]);
    assert_eq!(code, 0, "{err}");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], "torrent: x.torrent");
    assert!(lines[1].starts_with("magnet: magnet:?xt=urn:btih:") && lines[1].contains("&dn=film.mkv&tr=http"), "{out}");
    assert!(dir.path().join("x.torrent").is_file());

    let before = std::fs::read(dir.path().join("film.mkv.torrent")).unwrap();
    let (code, out, err) = run(dir.path(), &["create", "film.mkv"]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.starts_with("error: film.mkv.torrent already exists") && err.lines().count() == 1, "{err}");
    assert_eq!(std::fs::read(dir.path().join("film.mkv.torrent")).unwrap(), before);
    assert_eq!(run(dir.path(), &["create", "film.mkv", "--force"]).0, 0);
}

#[test]
fn what_cannot_be_used_is_one_sentence_and_a_failing_exit() {
    let (dir, _) = film();
    for args in [
        &["create", "no-such-file"][..],
        &["create", "film.mkv", "-o", "y", "--piece-size", "3M"],
        &["stream", "film.mkv.torrent", "--config", "no-such-file"],
        &["stream", "film.mkv.torrent", "--token", ""],
        &["stream", "gopher://x"],
        &["play", "film.mkv.torrent", "--player", "'"],
    ] {
        let (code, out, err) = run(dir.path(), args);
        assert_eq!((code, out.as_str()), (1, ""), "{args:?}: {err}");
        assert!(err.starts_with("error: ") && err.trim_end().lines().count() == 1, "{args:?}: {err}");
    }
    let (code, _, err) = run(dir.path(), &["stream"]);
    assert_eq!(code, 2, "{err}");
    assert_eq!(run(dir.path(), &["stream", "x", "--disk-limit", "much"]).0, 2);
}

#[test]
fn every_command_explains_itself_with_examples() {
    let dir = tempfile::tempdir().unwrap();
    for command in ["stream", "play", "info", "create", "seed", "cast", "watch", "demo"] {
        let (code, out, _) = run(dir.path(), &[command, "--help"]);
        assert_eq!(code, 0);
        assert!(out.contains("Examples:\n  playswarm"), "{out}");
    }
}

#[test]
fn info_lists_the_files_as_text_and_as_json() {
    let (dir, _) = film();
    let (code, out, err) = run(dir.path(), &["info", "film.mkv.torrent", "--wait", "0"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("name       film.mkv\n") && out.contains("  0 *   683.6 KiB  film.mkv"), "{out}");
    let (_, out, _) = run(dir.path(), &["info", "film.mkv.torrent", "--json", "--wait", "0"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["files"][0]["length"], 700_000);
    assert_eq!(json["files"][0]["content_type"], "video/x-matroska");
    assert!(json["timeline"].is_null() && json["files"][0]["duration_s"].is_null());
}

#[cfg(unix)]
#[test]
fn what_one_seeds_another_streams_and_both_end_when_told() {
    let (dir, bytes) = film();
    let seed = Serving::start(dir.path(), &[&["seed", "film.mkv", "film.mkv.torrent"][..], &OFFLINE].concat());
    let at = seed.line.rsplit(' ').next().unwrap().to_owned();
    assert!(seed.line.starts_with("seeding: ") && seed.line.contains(" film.mkv at 127.0.0.1:"), "{}", seed.line);

    let viewer = tempfile::tempdir().unwrap();
    let torrent = dir.path().join("film.mkv.torrent");
    let stream = Serving::start(
        viewer.path(),
        &[&["stream", torrent.to_str().unwrap(), "--peer", &at, "--token", "geheim"][..], &OFFLINE].concat(),
    );
    let url = stream.line.strip_prefix("url: http://").unwrap();
    let (host, path) = url.split_once('/').unwrap();
    assert!(path.ends_with("film.mkv?token=geheim"), "{url}");
    let mut socket = TcpStream::connect(host).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    write!(socket, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nRange: bytes=-300000\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    let body = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    assert!(answer.starts_with(b"HTTP/1.1 206"));
    assert!(answer[body..] == bytes[400_000..], "these are not the film's last bytes");

    for serving in [stream, seed] {
        let (code, took) = serving.end();
        assert_eq!(code, 0);
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
}

#[cfg(unix)]
#[test]
fn info_reads_the_films_time_from_peers_and_how_long_the_others_play() {
    let (dir, _seed, at) = season();
    let viewer = tempfile::tempdir().unwrap();
    let torrent = dir.path().join("season.torrent");
    let ask = |more: &[&str]| {
        let (code, out, err) =
            run(viewer.path(), &[&["info", torrent.to_str().unwrap(), "--peer", &at][..], more, &OFFLINE].concat());
        assert_eq!(code, 0, "{err}");
        out
    };
    let json: serde_json::Value = serde_json::from_str(&ask(&["--json"])).unwrap();
    let timeline = &json["timeline"];
    assert_eq!((timeline["container"].as_str(), timeline["accuracy"].as_str()), (Some("MP4"), Some("exact")), "{json}");
    let duration = timeline["duration_s"].as_f64().unwrap();
    let keyframes = timeline["keyframes"].as_array().unwrap();
    assert!(duration > 10.0 && keyframes.len() > 2, "{timeline}");
    assert_eq!(keyframes[0]["time_s"], 0.0);
    assert!(timeline["keyframe_spacing"]["median_s"].as_f64().unwrap() > 0.0);
    let curve: f64 = timeline["bitrate"]["bytes_per_s"].as_array().unwrap().iter().map(|r| r.as_f64().unwrap()).sum();
    let bytes = curve * timeline["bitrate"]["bucket_s"].as_f64().unwrap();
    let size = timeline["size_bytes"].as_f64().unwrap();
    assert!(bytes <= size && bytes > 0.9 * size, "the curve holds the film's bytes: {bytes} of {size}");
    for file in json["files"].as_array().unwrap().iter().filter(|f| f["playable"] == true) {
        assert_eq!(file["duration_s"].as_f64().unwrap(), duration, "{file}");
    }
    assert_eq!(json["files"][1]["subtitles"].as_array().unwrap().len(), 1, "{json}");

    let text = ask(&["--file", "E10"]);
    for part in [": E10.mp4\n", "container  MP4\n", "tracks     video h264 ", "keyframes  ", "█"] {
        assert!(text.contains(part), "{part:?} is missing: {text}");
    }
    let left = std::fs::read_dir(viewer.path()).unwrap().count();
    assert_eq!(left, 0, "info leaves nothing in the folder");
}

#[cfg(unix)]
#[test]
fn a_player_gets_the_time_and_looks_for_no_subtitles_itself() {
    let (dir, _seed, at) = season();
    let viewer = tempfile::tempdir().unwrap();
    // A script with the name mpv gets mpv's arguments, and writes them to a file.
    let mpv = viewer.path().join("mpv");
    std::fs::write(&mpv, "#!/bin/sh\nprintf '%s\\n' \"$@\" > printed\nexit 3\n").unwrap();
    let mut permissions = mpv.metadata().unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
    std::fs::set_permissions(&mpv, permissions).unwrap();
    let torrent = dir.path().join("season.torrent");
    let play = ["play", torrent.to_str().unwrap(), "--at", "0:05.5", "--file", "E2.mp4", "--peer", &at];
    let player = ["--player", mpv.to_str().unwrap()];
    let (code, _, err) = run(viewer.path(), &[&play[..], &player, &OFFLINE].concat());
    assert_eq!(code, 3, "{err}");
    let printed = std::fs::read_to_string(viewer.path().join("printed")).unwrap();
    let printed: Vec<&str> = printed.lines().collect();
    assert_eq!(printed[0], "--start=5.500");
    // Playback does not wait for subtitles: mpv's script adds each one when it is available.
    assert!(printed[1].starts_with("--script=") && printed[1].ends_with(".lua"), "{printed:?}");
    assert!(printed[2].starts_with("http://127.0.0.1:") && printed[2].ends_with("/E2.mp4"), "{printed:?}");
}

#[test]
fn the_demo_finds_that_all_is_well() {
    let dir = tempfile::tempdir().unwrap();
    let (code, out, err) = run(dir.path(), &["demo", "--check"]);
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(out.matches("first byte after").count(), 6, "{out}");
}
