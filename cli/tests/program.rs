//! The program as a user starts it: what it prints where, and its exit codes.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn playswarm(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_playswarm"));
    command.current_dir(dir).args(args).env_remove("PLAYSWARM_LOG").env_remove("RUST_LOG").env("HOME", dir);
    command
}

fn run(dir: &Path, args: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = playswarm(dir, args).output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// A folder with `film.mkv` and its torrent; the film's bytes.
fn film() -> (tempfile::TempDir, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..700_000u32).map(|i| (i * 7 + i / 300) as u8).collect();
    std::fs::write(dir.path().join("film.mkv"), &bytes).unwrap();
    let (code, ..) = run(dir.path(), &["create", "film.mkv", "-q"]);
    assert_eq!(code, 0);
    (dir, bytes)
}

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
    assert!(err.starts_with("error: film.mkv.torrent is there already") && err.lines().count() == 1, "{err}");
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
    for command in ["stream", "play", "info", "create", "seed", "demo"] {
        let (code, out, _) = run(dir.path(), &[command, "--help"]);
        assert_eq!(code, 0);
        assert!(out.contains("Examples:\n  playswarm"), "{out}");
    }
}

#[test]
fn info_lists_the_files_as_text_and_as_json() {
    let (dir, _) = film();
    let (code, out, err) = run(dir.path(), &["info", "film.mkv.torrent"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("name       film.mkv\n") && out.contains("  0 *   683.6 KiB  film.mkv"), "{out}");
    let (_, out, _) = run(dir.path(), &["info", "film.mkv.torrent", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["files"][0]["length"], 700_000);
    assert_eq!(json["files"][0]["content_type"], "video/x-matroska");
}

/// A program that serves; killed if a test fails before it has ended.
struct Serving {
    child: Child,
    line: String,
}

impl Serving {
    fn start(dir: &Path, args: &[&str]) -> Serving {
        let mut child = playswarm(dir, args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        Serving { child, line: line.trim_end().to_owned() }
    }

    #[cfg(unix)]
    fn end(mut self) -> (i32, Duration) {
        let asked = Instant::now();
        Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        (self.child.wait().unwrap().code().unwrap(), asked.elapsed())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(unix)]
#[test]
fn what_one_seeds_another_streams_and_both_end_when_told() {
    let (dir, bytes) = film();
    let offline = ["--no-dht", "--no-lsd", "--no-port-map", "--no-trackers", "--listen", "127.0.0.1:0"];
    let seed = Serving::start(dir.path(), &[&["seed", "film.mkv", "film.mkv.torrent"][..], &offline].concat());
    let at = seed.line.rsplit(' ').next().unwrap().to_owned();
    assert!(seed.line.starts_with("seeding: ") && seed.line.contains(" film.mkv at 127.0.0.1:"), "{}", seed.line);

    let viewer = tempfile::tempdir().unwrap();
    let torrent = dir.path().join("film.mkv.torrent");
    let stream = Serving::start(
        viewer.path(),
        &[&["stream", torrent.to_str().unwrap(), "--peer", &at, "--token", "geheim"][..], &offline].concat(),
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

#[test]
fn the_demo_finds_that_all_is_well() {
    let dir = tempfile::tempdir().unwrap();
    let (code, out, err) = run(dir.path(), &["demo", "--check"]);
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(out.matches("first byte after").count(), 6, "{out}");
}
