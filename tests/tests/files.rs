//! The user's files are never changed, whatever names a torrent has. Files of ours are recognised,
//! kept, and fetched again if another program damages or removes them.
#![allow(clippy::unwrap_used)]

use playswarm_tests::peers::{fresh_ip, libtorrent};
use playswarm_tests::playswarm::{Builder, Playswarm, STARTUP, binary};
use playswarm_tests::process::Process;
use playswarm_tests::reader::CheckedReader;
use playswarm_tests::requirement;
use playswarm_tests::torrent::TestTorrent;
use std::collections::BTreeMap;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const PIECE: u64 = 128 << 10;

/// Returns each path below a folder with its kind, length, inode, and times of the last change of
/// bytes and metadata.
fn snapshot(dir: &Path) -> BTreeMap<PathBuf, [i64; 6]> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let meta = entry.metadata().unwrap();
            let times = [meta.mtime(), meta.mtime_nsec(), meta.ctime_nsec()];
            let facts = [i64::from(meta.mode()), meta.len() as i64, meta.ino() as i64, times[0], times[1], times[2]];
            found.insert(entry.path(), facts);
            if meta.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    found
}

/// Checks that all previous entries still exist, unchanged.
#[track_caller]
fn kept(dir: &Path, before: &BTreeMap<PathBuf, [i64; 6]>) {
    let after = snapshot(dir);
    for (path, facts) in before {
        let meta_of_folder = |f: &[i64; 6]| f[0] & 0o170_000 == 0o040_000;
        match after.get(path) {
            // Names may be added to folders.
            Some(now) if meta_of_folder(facts) => assert_eq!((now[0], now[2]), (facts[0], facts[2]), "{path:?}"),
            now => assert_eq!(now, Some(facts), "{path:?}"),
        }
    }
}

fn said(playswarm: &Playswarm, wanted: &str) -> usize {
    playswarm.process.stderr().iter().filter(|line| line.contains(wanted)).count()
}

#[test]
fn what_another_client_fetched_plays_with_no_peer_and_nothing_is_written() {
    if !requirement::libtorrent() {
        return;
    }
    let files = [("e1.mkv", 700_000), ("subs/e1.srt", 5000), ("e2.mkv", 900_000)];
    let torrent = TestTorrent::multi("season", &files, PIECE);
    let mut seed = libtorrent::seed(&torrent, &libtorrent::Options::default());
    let client = libtorrent::leech(&torrent.file(), &libtorrent::Options::default());
    seed.connect(client.addr);
    client.wait_complete(&torrent, Duration::from_secs(60));
    let folder = client.dir.clone();
    drop(seed);
    let before = snapshot(&folder);
    let playswarm = Builder::stream(torrent.file()).dir(&folder).start();
    for file in [2, 0] {
        CheckedReader::of_file(&playswarm, file, torrent.content(file)).read_all();
    }
    assert_eq!(playswarm.status().downloaded_bytes, 0);
    drop(playswarm);
    assert_eq!(snapshot(&folder), before);
}

#[test]
fn a_file_of_the_user_with_the_films_name_stays_and_the_film_plays_all_the_same() {
    if !requirement::libtorrent() {
        return;
    }
    let torrent = TestTorrent::single("film.mkv", 3_000_000, PIECE);
    let seed = libtorrent::seed(&torrent, &libtorrent::Options::default());
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("film.mkv"), vec![9; 5_000_000]).unwrap();
    let before = snapshot(dir.path());
    for run in 0..2 {
        let playswarm = Builder::stream(torrent.file()).dir(dir.path()).peers([seed.addr]).start();
        CheckedReader::new(&playswarm, torrent.content(0)).read_all();
        playswarm.wait_status("the whole torrent", Duration::from_secs(10), |s| s.verified_bytes == s.total_bytes);
        let told = said(&playswarm, "left unchanged");
        assert_eq!(told, 1 - run, "one message, when the name is chosen");
        assert_eq!(playswarm.status().downloaded_bytes > 0, run == 0, "our file is used by the next run");
        stop(playswarm);
        kept(dir.path(), &before);
    }
}

/// Stops the program with Ctrl-C, so that it writes everything.
fn stop(mut playswarm: Playswarm) {
    playswarm.process.terminate();
    playswarm.process.wait(Duration::from_secs(10));
}

#[test]
fn names_that_mean_something_to_other_programs_are_not_touched() {
    if !requirement::libtorrent() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    for (name, file) in [(".ssh", "authorized_keys"), (".config", "autostart/x.desktop"), ("bin", "ls")] {
        let torrent = TestTorrent::multi(name, &[(file, 300_000), ("film.mkv", 500_000)], PIECE);
        let seed = libtorrent::seed(&torrent, &libtorrent::Options::default());
        let folder = home.path().join(name);
        std::fs::create_dir_all(folder.join(file).parent().unwrap()).unwrap();
        std::fs::write(folder.join(file), "mine").unwrap();
        let before = snapshot(&folder);
        let playswarm = Builder::stream(torrent.file()).dir(home.path()).peers([seed.addr]).start();
        CheckedReader::new(&playswarm, torrent.content(1)).read_all();
        stop(playswarm);
        assert_eq!(snapshot(&folder), before, "{name}: nothing was added either");
    }
}

#[test]
fn two_torrents_of_one_name_and_two_processes_with_one_torrent_share_a_folder() {
    if !requirement::libtorrent() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let torrents = [2_000_000, 2_300_000].map(|length| TestTorrent::single("film.mkv", length, PIECE));
    let seeds = torrents.each_ref().map(|torrent| libtorrent::seed(torrent, &libtorrent::Options::default()));
    // Two processes for the second torrent.
    let start = |n: usize| Builder::stream(torrents[n].file()).dir(dir.path()).peers([seeds[n].addr]).start();
    let mut before = 0;
    for round in 0..2 {
        let running = [0, 1, 1].map(|n| (n, start(n)));
        std::thread::scope(|scope| {
            for (n, playswarm) in &running {
                let reader = CheckedReader::new(playswarm, torrents[*n].content(0));
                scope.spawn(move || reader.read_all());
            }
        });
        let fetched: u64 = running.iter().map(|(_, playswarm)| playswarm.status().downloaded_bytes).sum();
        // From the second round on, either process of a torrent may use the files that the other
        // made.
        assert!(round == 0 || fetched < before / 4, "{fetched} of {before} bytes were fetched again");
        before = fetched;
        running.into_iter().for_each(|(_, playswarm)| stop(playswarm));
    }
}

#[test]
fn info_and_seed_write_nothing_at_all() {
    if !requirement::libtorrent() {
        return;
    }
    let torrent = TestTorrent::single("film.mp4", 2_000_000, PIECE);
    let seed = libtorrent::seed(&torrent, &libtorrent::Options::default());
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("videos");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("film.mp4"), vec![3; 4_000_000]).unwrap();
    let before = snapshot(home.path());
    let magnet = torrent.magnet(&[], &[seed.addr]);
    for source in [torrent.file().to_str().unwrap(), &magnet] {
        for dir in [Some(&folder), None] {
            let mut info = Command::new(binary());
            info.args(["info", source, "--wait", "3", "--no-dht", "--no-lsd", "--no-port-map", "--peer"]);
            info.args([&seed.addr.to_string(), "--listen", &format!("{}:6881", fresh_ip())]);
            dir.map(|dir| info.arg("--dir").arg(dir));
            info.env("HOME", home.path()).env_remove("XDG_CACHE_HOME").env("TMPDIR", home.path()).current_dir(&folder);
            let output = info.output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            assert_eq!(snapshot(home.path()), before, "{source} {dir:?}");
        }
    }
    let data = snapshot(&torrent.data());
    let mut ours = Builder::seed(&torrent.data().join("film.mp4"), &torrent.file()).spawn();
    ours.process.expect_line(0, STARTUP, |line| line.starts_with("seeding: ").then_some(()));
    let playswarm = Builder::stream(torrent.file()).peers([ours.listen]).start();
    CheckedReader::new(&playswarm, torrent.content(0)).read_all();
    stop(ours);
    assert_eq!(snapshot(&torrent.data()), data);
}

#[test]
fn without_a_folder_files_are_in_the_users_cache_and_without_that_it_ends_with_a_sentence() {
    let torrent = TestTorrent::single("film.mkv", 500_000, PIECE);
    let seed = Builder::seed(&torrent.data().join("film.mkv"), &torrent.file()).spawn();
    let home = tempfile::tempdir().unwrap();
    let here = tempfile::tempdir().unwrap();
    let command = || {
        let mut command = Command::new(binary());
        command.args(["stream", torrent.file().to_str().unwrap(), "--no-dht", "--no-lsd", "--no-port-map"]);
        command.args(["--listen", &format!("{}:6881", fresh_ip()), "--peer", &seed.listen.to_string()]);
        command.current_dir(here.path()).env_remove("XDG_CACHE_HOME").env("HOME", home.path());
        command
    };
    let found = |folder: PathBuf| {
        let mut process = Process::start("playswarm", command());
        process.expect_line(0, STARTUP, |line| line.starts_with("url: ").then_some(()));
        let until = Instant::now() + Duration::from_secs(20);
        while !folder.join("film.mkv").exists() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(50));
        }
        folder.join("film.mkv").exists()
    };
    assert!(found(home.path().join(".cache/playswarm")));
    assert_eq!(std::fs::read_dir(here.path()).unwrap().count(), 0);
    let output = command().env_remove("HOME").output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("XDG_CACHE_HOME") && text.contains("dir"), "{text}");
}

#[test]
fn files_that_are_overwritten_cut_removed_or_moved_meanwhile_are_fetched_again_without_a_stand_still() {
    if !requirement::libtorrent() {
        return;
    }
    let torrent = TestTorrent::single("film.mkv", 24 << 20, PIECE);
    let seed = libtorrent::seed(&torrent, &libtorrent::Options::default());
    let dir = tempfile::tempdir().unwrap();
    let film = dir.path().join("film.mkv");
    let start = || {
        let memory = Builder::stream(torrent.file()).argument("--memory-limit").argument("8MiB");
        memory.dir(dir.path()).peers([seed.addr]).start()
    };
    let first = start();
    CheckedReader::new(&first, torrent.content(0)).read_all();
    let faults: [(&str, &dyn Fn()); 4] = [
        ("overwritten", &|| {
            let file = std::fs::File::options().write(true).open(&film).unwrap();
            file.write_all_at(&vec![0; 24 << 20], 0).unwrap();
        }),
        ("cut", &|| std::fs::File::options().write(true).open(&film).unwrap().set_len(1 << 20).unwrap()),
        ("removed", &|| std::fs::remove_file(&film).unwrap()),
        ("moved", &|| std::fs::rename(&film, dir.path().join("library.mkv")).unwrap()),
    ];
    let mut playswarm = first;
    for (what, fault) in faults {
        // Restarts the program, so that no piece is in memory and all reads go to the disk.
        stop(playswarm);
        playswarm = start();
        CheckedReader::new(&playswarm, torrent.content(0)).read(5 << 20, 1 << 20);
        fault();
        let reader = CheckedReader::new(&playswarm, torrent.content(0));
        let begun = Instant::now();
        reader.read_all();
        // Without the check of whole files, each 25 pieces took 4.5 s, which is more than 30 s in
        // total.
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}: {:?}", begun.elapsed());
        let warnings = playswarm.process.stderr().iter().filter(|line| line.contains("WARN")).count();
        assert!(warnings <= 2, "{what}: {warnings} warnings: {:#?}", playswarm.process.stderr());
    }
    stop(playswarm);
    assert!(torrent.content(0).is_at(&dir.path().join("library.mkv")), "the file that the user moved is unchanged");
}

#[test]
fn links_and_folders_in_the_way_cost_nothing_but_the_name() {
    if !requirement::libtorrent() {
        return;
    }
    let torrent = TestTorrent::multi("season", &[("one.mkv", 600_000)], PIECE);
    let seed = libtorrent::seed(&torrent, &libtorrent::Options::default());
    let outside = tempfile::tempdir().unwrap();
    for kind in ["link", "file"] {
        let dir = tempfile::tempdir().unwrap();
        match kind {
            "link" => symlink(outside.path(), dir.path().join("season")).unwrap(),
            _ => std::fs::write(dir.path().join("season"), "mine").unwrap(),
        }
        let playswarm = Builder::stream(torrent.file()).dir(dir.path()).peers([seed.addr]).start();
        CheckedReader::new(&playswarm, torrent.content(0)).read_all();
        assert!(playswarm.status().trouble.is_none());
        stop(playswarm);
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
        let ours = std::fs::read_dir(dir.path()).unwrap().flatten().find(|e| {
            let name = e.file_name().into_string().unwrap();
            name.starts_with("season [")
        });
        assert!(torrent.content(0).is_at(&ours.unwrap().path().join("one.mkv")), "{kind}");
    }
}
