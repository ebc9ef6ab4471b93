//! Torrents that are malicious or damaged. They are refused with an error message or handled
//! safely. Nothing is written outside of the folder, and memory and time are bounded.
#![allow(clippy::unwrap_used)]

use playswarm_tests::bencode::{Ben, dict};
use playswarm_tests::peers::libtorrent;
use playswarm_tests::playswarm::{Builder, STARTUP};
use playswarm_tests::reader::CheckedReader;
use playswarm_tests::requirement;
use playswarm_tests::torrent::{TestTorrent, sha1};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

/// A user's folder. The torrent is opened for `root/downloads`, and nothing else may change.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Home {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("downloads")).unwrap();
        Home(home)
    }

    fn downloads(&self) -> PathBuf {
        self.0.path().join("downloads")
    }

    fn torrent(&self, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join("bad.torrent");
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Returns the entries beside the torrent file and the download folder.
    fn other_entries(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.0.path()).unwrap().flatten().map(|entry| entry.path());
        entries.filter(|path| !path.ends_with("downloads") && !path.ends_with("bad.torrent")).collect()
    }
}

fn metainfo(info: Ben) -> Vec<u8> {
    dict([("info", info)]).encode()
}

/// Returns an info dictionary of one file with made-up hashes.
fn single(name: &str, length: i64, piece_length: i64) -> Ben {
    let pieces = if piece_length > 0 { (length.max(0) as u64).div_ceil(piece_length as u64).min(1 << 20) } else { 1 };
    dict([
        ("name", name.into()),
        ("length", Ben::Int(length)),
        ("piece length", Ben::Int(piece_length)),
        ("pieces", vec![7u8; 20 * pieces as usize].into()),
    ])
}

/// Returns an info dictionary of several files.
fn several(name: &str, files: &[(&[&str], i64)]) -> Ben {
    let total = files.iter().map(|(_, length)| (*length).max(0) as u64).sum::<u64>();
    let list = files.iter().map(|(path, length)| {
        let parts = path.iter().map(|part| Ben::from(*part)).collect::<Vec<_>>();
        dict([("length", Ben::Int(*length)), ("path", parts.into())])
    });
    dict([
        ("name", name.into()),
        ("files", list.collect::<Vec<_>>().into()),
        ("piece length", Ben::Int(16_384)),
        ("pieces", vec![7u8; 20 * total.div_ceil(16_384) as usize].into()),
    ])
}

/// Runs `playswarm info` on some bytes, with limits on memory and time.
fn info(home: &Home, bytes: &[u8]) -> Output {
    let path = home.torrent(bytes);
    // 1 GiB of address space is enough for the program and its threads, and for no unbounded
    // allocation.
    let script = "ulimit -v 1500000; exec timeout 30 \"$0\" info --wait 0 \"$1\"";
    let program = playswarm_tests::playswarm::binary();
    let output = Command::new("sh").args(["-c", script]).arg(program).arg(path).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(!printed.contains("panicked") && !printed.contains("memory allocation"), "{printed}");
    assert!(output.status.code().is_some_and(|code| code != 124), "it exits without a signal and in time: {printed}");
    output
}

#[track_caller]
fn refused(what: &str, bytes: &[u8]) {
    let home = Home::new();
    let output = info(&home, bytes);
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success(),
        "{what} must be refused, not described: {}",
        String::from_utf8_lossy(&output.stdout)
    );
    assert!(printed.trim().len() > 20, "an error message says why {what} is refused: {printed:?}");
}

#[test]
fn garbage_and_truncated_files_are_refused() {
    let good = metainfo(single("film.mkv", 100_000, 16_384));
    refused("an empty file", b"");
    refused("garbage", b"\x00\xff\xfe garbage \r\n\r\n");
    refused("a web page", b"<!doctype html><html><body>Sign in</body></html>");
    for cut in [1, 10, good.len() / 2, good.len() - 1] {
        refused("a truncated torrent", &good[..cut]);
    }
    refused("deep nesting", &[b'l'; 200_000]);
    refused("a string longer than the file", b"d4:info999999999999:x");
    refused("an info that is no dictionary", b"d4:info4:spame");
    refused("a torrent without info", b"d8:announce3:abce");
}

#[test]
fn absurd_numbers_are_refused() {
    refused("a piece length of 0", &metainfo(single("a.mkv", 1000, 0)));
    refused("a negative piece length", &metainfo(single("a.mkv", 1000, -16_384)));
    refused("a piece length of 2^62", &metainfo(single("a.mkv", 1000, 1 << 62)));
    refused("a piece length of 4 GiB", &metainfo(single("a.mkv", 1000, 1 << 32)));
    refused("a negative length", &metainfo(single("a.mkv", -1, 16_384)));
    refused("a length of 2^62 with few hashes", &metainfo(single("a.mkv", 1 << 62, 16_384)));
    refused("too few hashes", &metainfo(single("a.mkv", 100_000, 16_384).with("pieces", vec![7u8; 20])));
    refused("hashes of 19 bytes", &metainfo(single("a.mkv", 1000, 16_384).with("pieces", vec![7u8; 19])));
    let sum = several("a", &[(&["x.mkv"], 1000), (&["y.mkv"], 1000)]);
    let overflow = dict([("length", Ben::Int(i64::MAX)), ("path", vec![Ben::from("x.mkv")].into())]);
    refused("lengths that overflow", &metainfo(sum.with("files", vec![overflow.clone(), overflow.clone(), overflow])));
}

#[test]
fn no_path_leads_out_of_the_folder() {
    if !requirement::libtorrent() {
        return;
    }
    let bad: &[&[&str]] = &[
        &["..", "escaped.mkv"],
        &["..", "..", "..", "escaped.mkv"],
        &["a", "..", "..", "escaped.mkv"],
        &["/", "escaped.mkv"],
        &["/tmp/escaped.mkv"],
        &["..\\escaped.mkv"],
        &["a/../../escaped.mkv"],
        &["escaped\0.mkv"],
        &[".", "escaped.mkv"],
        &["", "escaped.mkv"],
    ];
    for path in bad {
        for name in ["season", "..", "/", "a/../..", ""] {
            stays_inside(&metainfo(several(name, &[(path, 1000)])), &format!("{path:?} in {name:?}"));
        }
    }
    for name in ["..", "../escaped.mkv", "/tmp/escaped.mkv", "a/../../escaped.mkv", ".", ""] {
        stays_inside(&metainfo(single(name, 1000, 16_384)), name);
    }
}

/// Checks that a torrent is either refused, or makes files in the folder only.
#[track_caller]
fn stays_inside(bytes: &[u8], what: &str) {
    let home = Home::new();
    let output = info(&home, bytes);
    if output.status.success() {
        // The path was made harmless. The files must then stay in the folder, too.
        let torrent = home.torrent(bytes);
        let mut playswarm = Builder::stream(torrent).dir(&home.downloads()).argument("--file").argument("0").spawn();
        let url = playswarm.process.find_line(Duration::from_secs(3), |line| line.starts_with("url: ").then_some(()));
        if url.is_some() {
            std::thread::sleep(Duration::from_millis(300));
        }
        playswarm.process.kill9();
    }
    assert_eq!(home.other_entries(), Vec::<PathBuf>::new(), "{what} made an entry outside of the folder");
    assert!(!Path::new("/tmp/escaped.mkv").exists(), "{what} made a file outside of the folder");
}

#[test]
fn reserved_and_overlong_names_are_made_harmless_and_play() {
    if !requirement::libtorrent() {
        return;
    }
    // Names that a file system or another program does not accept.
    let long = "n".repeat(400) + ".mkv";
    for name in ["CON.mkv", "a:b|c?.mkv", "film\u{202e}gpj.mkv", "-rf.mkv", "tab\tnew\nline.mkv", &long] {
        let content = playswarm_tests::content::Content::new(5, 50_000);
        let bytes = content.bytes(0, 50_000);
        let pieces = bytes.chunks(16_384).flat_map(sha1).collect::<Vec<u8>>();
        let info = single(name, 50_000, 16_384).with("pieces", pieces);
        let home = Home::new();
        let torrent = home.torrent(&metainfo(info));
        let mut playswarm = Builder::stream(torrent).dir(&home.downloads()).spawn();
        playswarm.wait_url(STARTUP);
        assert_eq!(home.other_entries(), Vec::<PathBuf>::new());
        let control = |path: &PathBuf| path.to_string_lossy().chars().any(char::is_control);
        let made = std::fs::read_dir(home.downloads()).unwrap().flatten().map(|entry| entry.path());
        assert!(!made.into_iter().any(|path| control(&path)), "no control characters in names");
    }
}

#[test]
fn a_link_in_the_target_folder_is_not_followed_out_of_it() {
    if !requirement::libtorrent() {
        return;
    }
    let torrent = TestTorrent::multi("season", &[("one.mkv", 300_000)], 16 << 10);
    let seed = libtorrent::seed(&torrent, &libtorrent::Options::default());
    let home = Home::new();
    let outside = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(outside.path(), home.downloads().join("season")).unwrap();
    let mut playswarm = Builder::stream(torrent.file()).dir(&home.downloads()).peers([seed.addr]).spawn();
    let started = playswarm.process.find_line(Duration::from_secs(10), |l| l.strip_prefix("url: ").map(str::to_owned));
    if started.is_some() {
        playswarm.wait_url(STARTUP);
        // The program may continue without that place, or refuse to serve. It must not write
        // through the link.
        let _ = CheckedReader::new(&playswarm, torrent.content(0)).try_read(0, 10_000);
    }
    drop(playswarm);
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0, "it wrote through the link");
}

#[test]
fn a_link_in_place_of_the_file_is_not_followed() {
    if !requirement::libtorrent() {
        return;
    }
    let torrent = TestTorrent::single("one.mkv", 300_000, 16 << 10);
    let seed = libtorrent::seed(&torrent, &libtorrent::Options::default());
    let home = Home::new();
    let outside = tempfile::tempdir().unwrap();
    let precious = outside.path().join("precious");
    std::fs::write(&precious, "precious").unwrap();
    std::os::unix::fs::symlink(&precious, home.downloads().join("one.mkv")).unwrap();
    let mut playswarm = Builder::stream(torrent.file()).dir(&home.downloads()).peers([seed.addr]).spawn();
    let started = playswarm.process.find_line(Duration::from_secs(10), |l| l.strip_prefix("url: ").map(str::to_owned));
    if started.is_some() {
        playswarm.wait_url(STARTUP);
        let _ = CheckedReader::new(&playswarm, torrent.content(0)).try_read(0, 10_000);
    }
    drop(playswarm);
    assert_eq!(std::fs::read_to_string(&precious).unwrap(), "precious");
}

#[test]
fn empty_files_and_pad_files_are_handled() {
    if !requirement::libtorrent() {
        return;
    }
    let files = [("a.nfo", 0), ("one.mkv", 100_000), (".pad/31072", 31_072), ("z.mkv", 200_000), ("end.nfo", 0)];
    let mut torrent = TestTorrent::multi("padded", &files, 16 << 10);
    // A pad file (BEP 47) contains zeros by definition, so its content and the hashes are computed
    // anew.
    let pad = torrent.data().join(&torrent.files[2].0);
    std::fs::write(&pad, vec![0; 31_072]).unwrap();
    let whole = torrent.files.iter().flat_map(|(path, _)| std::fs::read(torrent.data().join(path)).unwrap());
    let whole = whole.collect::<Vec<u8>>();
    let pieces = whole.chunks(16 << 10).flat_map(sha1).collect::<Vec<u8>>();
    let list = files.iter().map(|(path, length)| {
        let parts = path.split('/').map(Ben::from).collect::<Vec<_>>();
        let file = dict([("length", Ben::Int(*length as i64)), ("path", parts.into())]);
        if path.starts_with(".pad") { file.with("attr", "p") } else { file }
    });
    torrent.info = torrent.info.clone().with("files", list.collect::<Vec<_>>()).with("pieces", pieces);
    torrent.info_hash = sha1(&torrent.info.encode());
    let seed = libtorrent::seed(&torrent, &libtorrent::Options::default());
    let playswarm = Builder::stream(torrent.file()).peers([seed.addr]).start();
    CheckedReader::new(&playswarm, torrent.content(3)).read_all();
    assert!(!playswarm.dir.join("padded/.pad").exists(), "pad files are not written");
}

#[test]
fn a_hundred_thousand_files_are_described_in_time() {
    let names = (0..100_000).map(|i| format!("part {i:06}.mkv")).collect::<Vec<_>>();
    let parts = names.iter().map(|name| [name.as_str()]).collect::<Vec<_>>();
    let files = parts.iter().map(|part| (&part[..], 10)).collect::<Vec<_>>();
    let home = Home::new();
    let output = info(&home, &metainfo(several("many", &files)));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("many"), "{}", &text[..text.len().min(300)]);
}

#[test]
fn overlong_strings_are_refused_or_cut() {
    let long = "x".repeat(20 << 20);
    let home = Home::new();
    let output = info(&home, &metainfo(single(&long, 1000, 16_384)));
    let printed = output.stdout.len() + output.stderr.len();
    assert!(printed < 1 << 20, "{printed} bytes of output for a name of 20 MiB");
    let many = metainfo(single("a.mkv", 1000, 16_384)).into_iter().take(1);
    let announce = format!("8:announce{}:{long}", long.len()).into_bytes();
    let bytes = many.chain(announce).chain(metainfo(single("a.mkv", 1000, 16_384)).into_iter().skip(1));
    let output = info(&home, &bytes.collect::<Vec<_>>());
    assert!(output.stdout.len() + output.stderr.len() < 1 << 20);
}

#[test]
fn magnets_that_are_none_are_refused() {
    let bad = [
        "magnet:?",
        "magnet:?xt=urn:btih:short",
        "magnet:?xt=urn:btih:zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
        "magnet:?xt=urn:md5:d41d8cd98f00b204e9800998ecf8427e",
        "magnet:?dn=name",
    ];
    for magnet in bad {
        let output = Builder::stream(magnet).run(STARTUP);
        let printed = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && printed.contains("not a torrent"), "{magnet}: {printed}");
    }
}
