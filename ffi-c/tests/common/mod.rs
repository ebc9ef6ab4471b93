//! Shared code of the tests of C programs: the library installed as for a user, programs built
//! against it, and a peer.
#![allow(dead_code, clippy::unwrap_used, missing_docs, unreachable_pub)]

use engine::{Config, CreateOptions, Session, Source, create_torrent};
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;
use tokio::runtime::Runtime;

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Returns the folder of cargo's libraries that belong to this test.
pub fn libraries() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().to_owned()
}

/// Runs a command, and shows its output if it failed.
#[track_caller]
pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(
        output.status.success(),
        "{command:?} ended with {}:\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Tests are parallel processes, so a lock lets one at a time install or build.
fn alone<T>(work: impl FnOnce(&Path) -> T) -> T {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let lock = File::create(place.join("c.lock")).unwrap();
    lock.lock().unwrap();
    work(place)
}

/// Returns the folder where this build of the library is installed.
pub fn installed() -> PathBuf {
    alone(|place| {
        let prefix = place.join("prefix");
        let library = libraries().join("libplayswarm_c.so");
        let there = prefix.join("lib/libplayswarm.so");
        let time = |path: &Path| fs::metadata(path).and_then(|m| m.modified()).ok();
        let headers = ["include/playswarm.h", "bindings/cpp/playswarm.hpp", "ffi-c/cmake/playswarm-config.cmake"];
        let sources = headers.iter().map(|f| root().join(f)).chain([library.clone()]);
        if sources.filter_map(|f| time(&f)).max() > time(&there) {
            run(Command::new("bash").arg(root().join("scripts/install-c.sh")).arg(&prefix).arg(libraries()));
        }
        prefix
    })
}

/// Builds a folder with a CMakeLists.txt against the installed library. Returns the folder of its
/// programs.
pub fn build(source: &Path, name: &str, options: &[&str]) -> PathBuf {
    let prefix = installed();
    alone(|place| {
        let out = place.join(name);
        run(Command::new("cmake")
            .arg("-S")
            .arg(source)
            .arg("-B")
            .arg(&out)
            .arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display()))
            .args(options));
        run(Command::new("cmake").arg("--build").arg(&out).args(["--parallel", "2"]));
        out
    })
}

/// A film, its torrent, and a session that seeds it.
pub struct World {
    pub folder: TempDir,
    pub torrent: PathBuf,
    pub film: PathBuf,
    pub data: Vec<u8>,
    pub peer: SocketAddr,
    runtime: Runtime,
    _seed: (Session, engine::TorrentHandle),
}

impl World {
    /// Makes a film of bytes that do not repeat.
    pub fn new(length: usize) -> World {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        };
        World::of(&(0..length).map(|_| next()).collect::<Vec<u8>>())
    }

    pub fn of(data: &[u8]) -> World {
        let folder = tempfile::tempdir().unwrap();
        let seed = folder.path().join("seed");
        fs::create_dir_all(&seed).unwrap();
        let film = seed.join("film.mkv");
        fs::write(&film, data).unwrap();
        let runtime = Runtime::new().unwrap();
        let (peer, torrent, open) = runtime.block_on(async {
            let mut options = CreateOptions::default();
            options.piece_bytes = Some(64 << 10);
            let made = create_torrent(&film, options, |_, _| {}).await.unwrap();
            let (torrent, bytes) = (made.torrent, made.bytes);
            let file = folder.path().join("film.torrent");
            fs::write(&file, bytes).unwrap();
            let session = Session::new(Config::offline(&seed)).await.unwrap();
            let handle = session.open(Source::from(&torrent)).await.unwrap();
            assert_eq!(handle.recheck(|_, _| {}).await.unwrap(), data.len() as u64);
            (session.listen_addr().unwrap(), file, (session, handle))
        });
        World { folder, torrent, film, data: data.to_vec(), peer, runtime, _seed: open }
    }

    /// Creates an empty folder.
    pub fn fresh(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }
}
