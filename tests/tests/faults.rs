//! Faults of the machine and the network: cut links, killed processes, full disks, changed files,
//! obstacles at the start. Each has a bounded effect and an error message.
#![allow(clippy::unwrap_used)]

use playswarm_tests::content::mix;
use playswarm_tests::netlab::Link;
use playswarm_tests::peers::{fresh_ip, libtorrent};
use playswarm_tests::place::Place;
use playswarm_tests::playswarm::{Builder, STARTUP};
use playswarm_tests::reader::{CheckedReader, Player};
use playswarm_tests::requirement;
use playswarm_tests::swarm::Swarm;
use playswarm_tests::torrent::TestTorrent;
use playswarm_tests::tracker::{Mode, Tracker};
use std::net::SocketAddr;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const PIECE: u64 = 256 << 10;

#[test]
fn pulled_cables_of_two_of_six_seeds_cost_no_stall() {
    if !requirement::network() || !requirement::libtorrent() {
        return;
    }
    let torrent = TestTorrent::single("film.mkv", 48 << 20, 1 << 20);
    // Six seeds of 3 Mbit/s. The remaining four have twice the film's rate of 5 Mbit/s.
    let swarm = Swarm::new(&torrent, Link::home(10_000, 50_000, 5.0), &[Link::home(3_000, 20_000, 15.0); 6]);
    let playswarm = swarm.start(&torrent.file());
    let reader = CheckedReader::new(&playswarm, torrent.content(0));
    let playback = std::thread::scope(|scope| {
        let player = scope.spawn(|| Player { bytes_per_s: 625_000, buffer_s: 2.0 }.play(&reader, 0, 30.0));
        std::thread::sleep(Duration::from_secs(8));
        swarm.net.cut("seed0");
        std::thread::sleep(Duration::from_secs(5));
        swarm.net.cut("seed3");
        player.join().unwrap()
    });
    assert_eq!(playback.stalls, 0, "{playback:?}");
}

#[test]
fn sudden_death_loses_no_verified_piece() {
    if !requirement::libtorrent() {
        return;
    }
    let torrent = TestTorrent::single("film.mkv", 40 << 20, PIECE);
    let seed = libtorrent::seed(&torrent, &libtorrent::Options::limited(6 << 20));
    let dir = tempfile::tempdir().unwrap();
    let mut verified = 0;
    for round in 0..10u64 {
        let mut playswarm = Builder::stream(torrent.file()).dir(dir.path()).peers([seed.addr]).start();
        let after =
            playswarm.wait_status("the verified bytes of the previous run", Duration::from_secs(10), |status| {
                status.verified_bytes >= verified
            });
        let reader = CheckedReader::new(&playswarm, torrent.content(0));
        if verified > 0 {
            // The claimed pieces can be read, and their bytes are right.
            let first = after.piece_map.find('#').expect("a verified piece") as u64;
            reader.read(first * PIECE, PIECE.min(torrent.total() - first * PIECE));
        }
        let reading = std::thread::spawn(move || {
            // The read fails when the program is killed, as intended.
            let _ = reader.try_read(0, u64::MAX);
        });
        std::thread::sleep(Duration::from_millis(150 + mix(round) % 700));
        verified = playswarm.try_status().map_or(verified, |status| status.verified_bytes);
        playswarm.process.kill9();
        reading.join().unwrap();
    }
    assert!(verified > 0, "the program was killed before it verified a piece each time");
    let playswarm = Builder::stream(torrent.file()).dir(dir.path()).peers([seed.addr]).start();
    CheckedReader::new(&playswarm, torrent.content(0)).read_all();
}

#[test]
fn a_file_changed_behind_our_back_is_fetched_again_and_not_served() {
    if !requirement::libtorrent() {
        return;
    }
    let torrent = TestTorrent::single("film.mkv", 4 << 20, PIECE);
    let seed = libtorrent::seed(&torrent, &libtorrent::Options::default());
    let dir = tempfile::tempdir().unwrap();
    let first = Builder::stream(torrent.file()).dir(dir.path()).peers([seed.addr]).start();
    CheckedReader::new(&first, torrent.content(0)).read_all();
    drop(first);
    let path = find(dir.path(), "film.mkv");
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.write_all_at(&[0; 100_000], 1 << 20).unwrap();
    drop(file);
    let second = Builder::stream(torrent.file()).dir(dir.path()).peers([seed.addr]).start();
    CheckedReader::new(&second, torrent.content(0)).read_all();
}

/// Returns the path of the file of this name somewhere below a folder.
fn find(below: &Path, name: &str) -> PathBuf {
    let mut folders = vec![below.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path if path.file_name().is_some_and(|n| n == name) => return path,
                _ => {}
            }
        }
    }
    panic!("there is no {name} below {}", below.display());
}

/// A small file system, unmounted when dropped.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    fn new(mib: u32) -> Tmpfs {
        let folder = tempfile::tempdir().unwrap();
        mount(&["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs", folder.path().to_str().unwrap()]);
        Tmpfs(folder)
    }

    fn resize(&self, mib: u32) {
        mount(&["-o", &format!("remount,size={mib}m"), self.0.path().to_str().unwrap()]);
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

fn mount(arguments: &[&str]) {
    assert!(Command::new("mount").args(arguments).status().unwrap().success(), "mount {arguments:?}");
}

#[test]
fn on_a_full_disk_the_film_plays_from_memory_with_a_sentence_and_is_written_when_there_is_room() {
    if !requirement::root() || !requirement::libtorrent() {
        return;
    }
    let torrent = TestTorrent::single("film.mkv", 24 << 20, PIECE);
    let seed = libtorrent::seed(&torrent, &libtorrent::Options::default());
    let disk = Tmpfs::new(8);
    let builder = Builder::stream(torrent.file()).dir(disk.0.path()).argument("--memory-limit").argument("8MiB");
    let mut playswarm = builder.peers([seed.addr]).start();
    let reader = CheckedReader::new(&playswarm, torrent.content(0));
    let reading = std::thread::spawn(move || reader.read_all());
    let status =
        playswarm.wait_status("the full disk to be reported", Duration::from_secs(30), |s| s.trouble.is_some());
    let trouble = status.trouble.unwrap();
    assert!(trouble.contains("full") && trouble.contains("free space"), "{trouble}");
    assert!(playswarm.process.ended().is_none(), "the program still runs");
    // 24 MiB pass through a disk of 8 MiB and a memory of 8 MiB.
    reading.join().unwrap();
    assert!(playswarm.status().trouble.is_some(), "the disk is still full");
    disk.resize(64);
    playswarm.wait_status("the end of the trouble", Duration::from_secs(10), |status| status.trouble.is_none());
    drop(playswarm);
}

/// Runs a command that must fail and returns its error output.
fn fails(builder: Builder) -> String {
    let output = builder.run(STARTUP);
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "it must not succeed: {printed}");
    assert!(output.status.code().is_some(), "it exits without a signal");
    assert!(!printed.contains("panicked"), "{printed}");
    assert!(output.stdout.is_empty(), "no URL is printed after an error");
    printed
}

#[test]
fn a_folder_that_cannot_be_written_ends_it_with_a_sentence() {
    let torrent = TestTorrent::single("film.mkv", 1 << 20, PIECE);
    // A file in place of the folder prevents even root from writing there.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "not a folder").unwrap();
    let printed = fails(Builder::stream(torrent.file()).dir(&file.join("below")));
    assert!(printed.contains("cannot ") && printed.contains("below"), "{printed}");
}

#[test]
fn a_folder_without_permission_ends_it_with_a_sentence() {
    let torrent = TestTorrent::single("film.mkv", 1 << 20, PIECE);
    let folder = tempfile::tempdir().unwrap();
    let sealed = folder.path().join("sealed");
    std::fs::create_dir(&sealed).unwrap();
    std::fs::set_permissions(&sealed, std::fs::Permissions::from_mode(0o555)).unwrap();
    if std::fs::write(sealed.join("probe"), "").is_ok() {
        // Root may write everywhere. The previous test covers root, with a file in place of the
        // folder.
        std::fs::remove_file(sealed.join("probe")).unwrap();
        let printed = fails(Builder::stream(torrent.file()).dir(Path::new("/proc/playswarm")));
        assert!(printed.contains("cannot ") && printed.contains("/proc/playswarm"), "{printed}");
        return;
    }
    let printed = fails(Builder::stream(torrent.file()).dir(&sealed));
    assert!(printed.contains("cannot ") && printed.contains("sealed"), "{printed}");
}

#[test]
fn a_peer_port_in_use_ends_it_with_a_sentence() {
    let torrent = TestTorrent::single("film.mkv", 1 << 20, PIECE);
    let addr = SocketAddr::new(fresh_ip().into(), 6881);
    let _taken = Place::Here.listen(addr);
    let printed = fails(Builder::stream(torrent.file()).listen(addr));
    assert!(printed.contains(&addr.to_string()) && printed.contains("--listen"), "{printed}");
}

#[test]
fn an_http_port_in_use_ends_it_with_a_sentence() {
    let torrent = TestTorrent::single("film.mkv", 1 << 20, PIECE);
    let taken = Place::Here.listen("127.0.0.1:0".parse().unwrap());
    let addr = taken.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(playswarm_tests::playswarm::binary())
        .args(["stream", torrent.file().to_str().unwrap(), "--http", &addr, "--no-dht", "--no-lsd", "--no-port-map"])
        .args(["--listen", &format!("{}:6881", fresh_ip())])
        .arg("--dir")
        .arg(dir.path())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && printed.contains(&addr) && printed.contains("--http"), "{printed}");
}

#[test]
fn broken_trackers_do_not_stop_a_torrent_whose_peers_are_known() {
    if !requirement::libtorrent() {
        return;
    }
    let torrent = TestTorrent::single("film.mkv", 2 << 20, PIECE);
    let seed = libtorrent::seed(&torrent, &libtorrent::Options::default());
    let trackers = [
        Tracker::http(Mode::Rubbish),
        Tracker::http(Mode::Hang),
        Tracker::http(Mode::Refuse),
        Tracker::udp(Mode::Rubbish),
        Tracker::udp(Mode::Hang),
        Tracker::udp(Mode::Refuse),
    ];
    let urls = trackers.iter().map(|tracker| tracker.url.clone()).collect::<Vec<_>>();
    let playswarm = Builder::stream(torrent.file_with(&urls)).peers([seed.addr]).start();
    CheckedReader::new(&playswarm, torrent.content(0)).read_all();
    // An honest tracker beside them is used, at any position in the list.
    let honest = Tracker::http(Mode::Honest);
    honest.add_peer(seed.addr);
    let urls = urls.into_iter().chain([honest.url.clone()]).collect::<Vec<_>>();
    let playswarm = Builder::stream(torrent.file_with(&urls)).start();
    CheckedReader::new(&playswarm, torrent.content(0)).read_all();
}

#[test]
fn no_peers_at_all_is_reported_and_a_later_peer_is_used() {
    if !requirement::libtorrent() {
        return;
    }
    let torrent = TestTorrent::single("film.mkv", 1 << 20, PIECE);
    let playswarm = Builder::stream(torrent.file()).start();
    let status = playswarm.wait_status("the lack of peers to be reported", STARTUP, |status| status.trouble.is_some());
    let trouble = status.trouble.unwrap();
    assert!(trouble.contains("peer"), "{trouble}");
    let mut seed = libtorrent::seed(&torrent, &libtorrent::Options::default());
    seed.connect(playswarm.listen);
    CheckedReader::new(&playswarm, torrent.content(0)).read_all();
    playswarm.wait_status("the end of the trouble", Duration::from_secs(10), |status| status.trouble.is_none());
}

#[test]
fn ctrl_c_and_sigterm_end_it_at_once_and_cleanly() {
    let torrent = TestTorrent::single("film.mkv", 1 << 20, PIECE);
    for terminate in [false, true] {
        let mut playswarm = Builder::stream(torrent.file()).start();
        if terminate {
            playswarm.process.terminate();
        } else {
            playswarm.process.interrupt();
        }
        let status = playswarm.process.wait(Duration::from_secs(5));
        assert!(status.code().is_some(), "it exits without a signal: {status}");
    }
}
