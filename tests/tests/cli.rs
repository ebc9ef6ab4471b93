//! The command line: help, exit codes for scripts, one line on stdout.
#![allow(clippy::unwrap_used)]

use playswarm_tests::peers::libtorrent;
use playswarm_tests::playswarm::{Builder, binary};
use playswarm_tests::reader::CheckedReader;
use playswarm_tests::requirement;
use playswarm_tests::torrent::{TestTorrent, hex};
use std::process::{Command, Output};

fn run(arguments: &[&str]) -> (Output, String, String) {
    let output = Command::new(binary()).args(arguments).output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, out, err)
}

#[test]
fn every_command_has_help_that_teaches() {
    let (output, help, _) = run(&["--help"]);
    assert!(output.status.success());
    for command in ["stream", "play", "info", "create", "seed", "demo"] {
        assert!(help.contains(command), "{command} is listed: {help}");
        let (output, help, _) = run(&[command, "--help"]);
        assert!(output.status.success());
        assert!(help.lines().count() > 8 && help.contains("playswarm"), "{command}: {help}");
    }
}

#[test]
fn the_options_of_stream_are_those_that_are_promised() {
    let (_, help, _) = run(&["stream", "--help"]);
    let promised = "--file --dir --http --listen --peer --no-dht --no-lsd --no-port-map --disk-limit --memory-limit";
    for option in promised.split(' ') {
        assert!(help.contains(option), "{option} is missing: {help}");
    }
}

#[test]
fn the_version_is_the_packages() {
    let (output, out, _) = run(&["--version"]);
    assert!(output.status.success());
    assert_eq!(out.trim(), format!("playswarm {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_options_end_with_2_and_failures_with_another_code() {
    let (output, ..) = run(&["stream"]);
    assert_eq!(output.status.code(), Some(2), "no source");
    let (output, ..) = run(&["stream", "x.torrent", "--no-such-option"]);
    assert_eq!(output.status.code(), Some(2));
    let (output, out, err) = run(&["info", "/no/such/file.torrent"]);
    assert!(output.status.code().is_some_and(|code| code != 0 && code != 2), "{:?}", output.status);
    assert!(out.is_empty() && err.contains("/no/such/file.torrent"), "{err}");
}

#[test]
fn info_lists_the_contents_of_a_torrent() {
    let torrent = TestTorrent::multi("season", &[("one.mkv", 300_000), ("extra/two.mkv", 500_000)], 16 << 10);
    let (output, out, err) = run(&["info", torrent.file().to_str().unwrap(), "--wait", "0"]);
    assert!(output.status.success(), "{err}");
    for part in ["season", "one.mkv", "extra/two.mkv", &hex(&torrent.info_hash)] {
        assert!(out.contains(part), "{part} is missing: {out}");
    }
}

#[test]
fn stream_prints_one_line_to_stdout() {
    if !requirement::libtorrent() {
        return;
    }
    let torrent = TestTorrent::single("film.mkv", 1 << 20, 64 << 10);
    let seed = libtorrent::seed(&torrent, &libtorrent::Options::default());
    let playswarm = Builder::stream(torrent.file()).peers([seed.addr]).start();
    CheckedReader::new(&playswarm, torrent.content(0)).read_all();
    std::thread::sleep(std::time::Duration::from_millis(1500)); // the live view prints to stderr
    let lines = playswarm.process.stdout();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("url: http://127.0.0.1:"), "{lines:?}");
}

#[test]
fn a_created_torrent_is_seeded_by_others_and_streamed_by_us() {
    if !requirement::libtorrent() {
        return;
    }
    let torrent = TestTorrent::single("film.mkv", 6 << 20, 256 << 10);
    let folder = tempfile::tempdir().unwrap();
    let film = torrent.data().join("film.mkv");
    let output = Command::new(binary()).arg("create").arg(&film).current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut made = Vec::new();
    for place in [folder.path(), &torrent.data()] {
        let entries = std::fs::read_dir(place).unwrap().flatten().map(|entry| entry.path());
        made.extend(entries.filter(|path| path.extension().is_some_and(|e| e == "torrent")));
    }
    let [made] = &made[..] else { panic!("one torrent file is made: {made:?}") };
    let seed = libtorrent::seed_with(&torrent, made, &libtorrent::Options::default(), &[]);
    let playswarm = Builder::stream(made).peers([seed.addr]).start();
    CheckedReader::new(&playswarm, torrent.content(0)).read_all();
}
