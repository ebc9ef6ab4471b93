//! The archive of a live channel by the program: `cast --archive`, `watch --archive`, `channel`, `play`.
#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{OFFLINE, Serving, playswarm, run};
use playswarm_tests::{requirement, wait_for};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::time::Duration;

/// Longest wait for the program.
const LIMIT: Duration = Duration::from_secs(40);

/// A second of the stream: sound in frames of MP3, at each of which a player can begin.
fn second(n: u32) -> Vec<u8> {
    let frame = |f: u32| {
        [0xff, 0xfb, 0x90, 0].into_iter().chain((4..417).map(move |i| ((n * 40 + f) * 31 + i * 7) as u8 & 0x7f))
    };
    (0..40).flat_map(frame).collect()
}

fn cast(dir: &Path, more: &[&str]) -> (Serving, ChildStdin) {
    let args = ["cast", "--rate", "16k", "--name", "Radio", "--archive", "archive", "--archive-seconds", "2"];
    let mut child = playswarm(dir, &[&args[..], more, &OFFLINE].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let input = child.stdin.take().unwrap();
    (Serving { child, line: line.trim_end().to_owned() }, input)
}

/// Sends a quarter of a second of sound each 0.25 s, until `done` returns something.
fn send<T>(input: &mut ChildStdin, from: u32, mut done: impl FnMut() -> Option<T>) -> T {
    let mut n = from;
    wait_for("the program", LIMIT, || {
        input.write_all(&second(n)).unwrap();
        n += 1;
        std::thread::sleep(Duration::from_millis(250));
        done()
    })
}

/// Returns the visible files below a folder.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(dir).map(|entries| entries.flatten().map(|entry| entry.path()).collect()).unwrap_or_default();
    found.retain(|path| !path.file_name().unwrap().to_string_lossy().starts_with('.'));
    found.sort();
    found.iter().flat_map(|path| if path.is_dir() { files(path) } else { vec![path.clone()] }).collect()
}

fn minutes(dir: &Path) -> Vec<PathBuf> {
    files(dir).into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "mp3")).collect()
}

#[test]
fn a_cast_is_archived_listed_and_played_later_and_its_viewer_has_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (source, mut input) = cast(dir.path(), &[]);
    let link = source.line.strip_prefix("link: ").unwrap().to_owned();
    let viewer = [&["watch", &link, "--archive", "watched"][..], &OFFLINE].concat();
    let mut viewer = playswarm(dir.path(), &viewer).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let watched = dir.path().join("watched");
    send(&mut input, 0, || (minutes(&watched).len() >= 2).then_some(()));

    let (code, out, err) =
        send(&mut input, 1000, || Some(run(dir.path(), &[&["channel", &link][..], &OFFLINE].concat())));
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("minute 1: 0:00:") && out.contains("magnet:?xt=urn:btih:"), "{out}");
    let (_, out, _) =
        send(&mut input, 2000, || Some(run(dir.path(), &[&["channel", &link, "--json"][..], &OFFLINE].concat())));
    let seen: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&seen["minutes"][0]["number"], &seen["archived"]), (&1.into(), &serde_json::Value::Null), "{seen}");
    let magnet = seen["minutes"][0]["magnet"].as_str().unwrap().to_owned();

    // A minute of the past is played while the cast goes on.
    let past = Serving::start(dir.path(), &[&["stream", &magnet, "--dir", "past", "-q"][..], &OFFLINE].concat());
    assert!(past.line.contains("/stream/0/Radio"), "{}", past.line);
    drop(past);

    drop(input);
    let mut source = source;
    assert_eq!(source.child.wait().unwrap().code(), Some(0));
    let mut said = String::new();
    viewer.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(viewer.wait().unwrap().code(), Some(0), "{said}");
    let archive = dir.path().join("archive");
    let read = |paths: Vec<PathBuf>| paths.iter().map(|path| std::fs::read(path).unwrap()).collect::<Vec<_>>();
    assert!(minutes(&archive).len() > 2, "{:?}", files(&archive));
    assert!(read(minutes(&archive)) == read(minutes(&watched)), "{:?} {:?}", files(&archive), files(&watched));
    assert_eq!(files(&archive).len(), minutes(&archive).len() + 1, "and one torrent");
    let torrent = files(&archive).pop().unwrap();
    let whole =
        Serving::start(&archive, &[&["stream", torrent.to_str().unwrap(), "--dir", ".", "-q"][..], &OFFLINE].concat());
    let url = whole.line.strip_prefix("url: ").unwrap();
    if requirement::program("curl") {
        let got = Command::new("curl").args(["-sS", "--max-time", "20", url]).output().unwrap();
        assert!(read(minutes(&archive)).contains(&got.stdout), "{} bytes of {url}", got.stdout.len());
    }
}

#[test]
fn a_killed_cast_keeps_its_whole_minutes_and_the_next_one_leaves_them_alone() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("archive");
    let (mut source, mut input) = cast(dir.path(), &["--key", "radio.key"]);
    send(&mut input, 0, || (minutes(&archive).len() >= 2).then_some(()));
    source.child.kill().unwrap();
    source.child.wait().unwrap();
    let kept: Vec<(PathBuf, Vec<u8>)> =
        files(&archive).into_iter().map(|path| (path.clone(), std::fs::read(&path).unwrap())).collect();
    assert!(kept.iter().all(|(path, bytes)| minutes(&archive).contains(path) && bytes.starts_with(&[0xff, 0xfb])));
    let hidden = |path: &Path| path.file_name().unwrap().to_string_lossy().starts_with(".playswarm-spool");
    assert!(
        !std::fs::read_dir(&archive).unwrap().flatten().any(|entry| hidden(&entry.path())),
        "nothing is left behind"
    );

    let (mut source, mut input) = cast(dir.path(), &["--key", "radio.key"]);
    send(&mut input, 5000, || (minutes(&archive).len() > kept.len()).then_some(()));
    drop(input);
    assert_eq!(source.child.wait().unwrap().code(), Some(0));
    for (path, bytes) in &kept {
        assert!(std::fs::read(path).unwrap() == *bytes, "{} was changed", path.display());
    }
    assert!(files(&archive).len() > kept.len() + 1);
}

#[test]
fn an_archive_that_cannot_be_written_is_said_and_the_cast_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("archive"), "a file").unwrap();
    let args = ["cast", "--rate", "16k", "--archive", "archive"];
    let mut child = playswarm(dir.path(), &[&args[..], &OFFLINE].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&second(0)).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("the archive is incomplete: cannot write to"), "{said}");
    assert_eq!(std::fs::read_to_string(dir.path().join("archive")).unwrap(), "a file");
}
