//! Helpers that start the program as a user does, and that make a small film and a season.
#![allow(dead_code, clippy::unwrap_used, missing_docs, unreachable_pub)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

pub fn playswarm(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_playswarm"));
    command.current_dir(dir).args(args).env_remove("PLAYSWARM_LOG").env_remove("RUST_LOG").env("HOME", dir);
    command
}

pub fn run(dir: &Path, args: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = playswarm(dir, args).output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// Makes a folder with `film.mkv` and its torrent. Returns it with the film's bytes.
pub fn film() -> (tempfile::TempDir, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..700_000u32).map(|i| (i * 7 + i / 300) as u8).collect();
    std::fs::write(dir.path().join("film.mkv"), &bytes).unwrap();
    let (code, ..) = run(dir.path(), &["create", "film.mkv", "-q"]);
    assert_eq!(code, 0);
    (dir, bytes)
}

/// A serving program, killed if a test fails before it has ended.
pub struct Serving {
    pub child: Child,
    pub line: String,
}

impl Serving {
    pub fn start(dir: &Path, args: &[&str]) -> Serving {
        let mut child = playswarm(dir, args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        Serving { child, line: line.trim_end().to_owned() }
    }

    #[cfg(unix)]
    pub fn end(mut self) -> (i32, Duration) {
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

pub const OFFLINE: [&str; 6] = ["--no-dht", "--no-lsd", "--no-port-map", "--no-trackers", "--listen", "127.0.0.1:0"];

/// Makes and seeds a season of two real films with subtitles: the demo's clip, 30 s of H.264,
/// twice. Returns folder, seed and address.
#[cfg(unix)]
pub fn season() -> (tempfile::TempDir, Serving, String) {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("season");
    std::fs::create_dir(&folder).unwrap();
    let clip = include_bytes!("../../demo/clip.mp4");
    std::fs::write(folder.join("E10.mp4"), clip).unwrap();
    std::fs::write(folder.join("E2.mp4"), [&clip[..], &[0; 100]].concat()).unwrap();
    std::fs::write(folder.join("E2.en.srt"), "1\n00:00:01,000 --> 00:00:02,000\nx\n").unwrap();
    assert_eq!(run(dir.path(), &["create", "season", "--piece-size", "64KiB", "-q"]).0, 0);
    let seed = Serving::start(dir.path(), &[&["seed", "season", "season.torrent", "-q"][..], &OFFLINE].concat());
    let at = seed.line.rsplit(' ').next().unwrap().to_owned();
    (dir, seed, at)
}
