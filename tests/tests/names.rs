//! File names that occur in practice: names that other systems forbid, old encodings, slashes, and
//! files behind links.
#![allow(clippy::unwrap_used)]

use playswarm_tests::bencode::Ben;
use playswarm_tests::playswarm::{Builder, Playswarm, STARTUP, binary};
use playswarm_tests::reader::CheckedReader;
use playswarm_tests::torrent::TestTorrent;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs `playswarm create` on a path. Returns the path of the torrent file and the error output.
fn create(path: &Path, folder: &Path) -> (PathBuf, String) {
    let made = folder.join("made.torrent");
    let output = Command::new(binary()).arg("create").arg(path).arg("-o").arg(&made).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{printed}");
    (made, printed)
}

/// Starts `playswarm seed` and waits until it has checked its files.
fn seed(path: &Path, torrent: &Path) -> Playswarm {
    let mut seed = Builder::seed(path, torrent).spawn();
    seed.process.expect_line(0, STARTUP, |line| line.starts_with("seeding: ").then_some(()));
    seed
}

#[test]
fn names_that_only_windows_forbids_are_created_seeded_and_streamed_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let torrent =
        TestTorrent::multi("Con.Air.1997", &[("Con.Air.1997.mkv", 2 << 20), ("con.air.1997.MKV", 1 << 20)], 64 << 10);
    let (made, printed) = create(&torrent.data().join("Con.Air.1997"), folder.path());
    assert!(!printed.contains("not in the torrent"), "{printed}");
    let seed = seed(&torrent.data().join("Con.Air.1997"), &made);
    let playswarm = Builder::stream(&made).peers([seed.listen]).start();
    assert!(playswarm.url().path.ends_with("/Con.Air.1997.mkv"), "{}", playswarm.url().path);
    CheckedReader::new(&playswarm, torrent.content(0)).read_all();
}

#[test]
fn linked_files_and_folders_are_created_seeded_and_streamed() {
    let folder = tempfile::tempdir().unwrap();
    let torrent = TestTorrent::multi("films", &[("a/one.mkv", 2 << 20), ("two.mkv", 1 << 20)], 64 << 10);
    let linked = folder.path().join("films");
    std::fs::create_dir(&linked).unwrap();
    std::os::unix::fs::symlink(torrent.data().join("films/a"), linked.join("a")).unwrap();
    std::os::unix::fs::symlink(torrent.data().join("films/two.mkv"), linked.join("two.mkv")).unwrap();
    std::os::unix::fs::symlink("nowhere", linked.join("three.mkv")).unwrap();
    let (made, printed) = create(&linked, folder.path());
    assert!(printed.contains("three.mkv: it is a broken link"), "{printed}");
    let seed = seed(&linked, &made);
    let playswarm = Builder::stream(&made).peers([seed.listen]).argument("--file").argument("one.mkv").start();
    CheckedReader::new(&playswarm, torrent.content(0)).read_all();
}

#[test]
fn a_name_in_an_old_encoding_or_with_a_slash_is_whole_in_url_and_playlist() {
    for (name, encoding, shown) in [
        (&b"\xc8\xf0\xee\xed\xe8\xff.mkv"[..], Some("windows-1251"), "%D0%98%D1%80%D0%BE%D0%BD%D0%B8%D1%8F.mkv"),
        (b"\xc8\xc3\xd7\xd3\xb5\xaf\xb7\xc9.mkv", Some("GBK"), "%E8%AE%A9%E5%AD%90%E5%BC%B9%E9%A3%9E.mkv"),
        (b"AC/DC Live.mkv", None, "AC%E2%88%95DC%20Live.mkv"),
        (b"/film.mkv", None, "/film.mkv"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let torrent = TestTorrent::single("film.mkv", 100_000, 64 << 10);
        let mut file = playswarm_tests::bencode::dict([("info", torrent.info.with("name", name.to_vec()))]);
        if let Some(encoding) = encoding {
            file = file.with("encoding", Ben::from(encoding));
        }
        let path = folder.path().join("x.torrent");
        std::fs::write(&path, [b"\xef\xbb\xbf", &file.encode()[..], b"\r\n"].concat()).unwrap();
        let playswarm = Builder::stream(&path).start();
        let url = playswarm.url().path;
        assert!(url.ends_with(shown), "{url}");
        assert!(shown.starts_with('/') || url.rsplit('/').next() == Some(shown), "{url}");
    }
}
