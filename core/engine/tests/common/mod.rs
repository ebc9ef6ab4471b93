//! Shared code of the session tests: files with known content, seeds of them, and bounded waits.
#![allow(dead_code, clippy::unwrap_used, missing_docs, unreachable_pub)]

pub mod raw;

use playswarm::{Config, CreateOptions, Metainfo, Session, Source, TorrentHandle, create_torrent};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

pub const PIECE: u32 = 64 << 10;

/// Longest wait of a test.
pub const LONG: Duration = Duration::from_secs(20);

/// Returns bytes that do not repeat, the same for the same seed.
pub fn pattern(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}

/// Returns options for pieces of a size.
pub fn pieces_of(bytes: u32) -> CreateOptions {
    let mut options = CreateOptions::default();
    options.piece_bytes = Some(bytes);
    options
}

/// Returns settings of a session on this machine alone, changed by `change`.
pub fn offline_with(dir: &Path, change: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config::offline(dir);
    change(&mut config);
    config
}

/// A file on disk and its torrent.
pub struct Film {
    pub dir: TempDir,
    pub torrent: Metainfo,
    pub data: Vec<u8>,
}

impl Film {
    pub async fn new(length: usize, seed: u64) -> Film {
        Film::with(length, seed, pieces_of(PIECE)).await
    }

    pub async fn with(length: usize, seed: u64, options: CreateOptions) -> Film {
        Film::of("film.mkv", pattern(length, seed), options).await
    }

    /// Creates a file of that name with these bytes, and its torrent.
    pub async fn of(name: &str, data: Vec<u8>, options: CreateOptions) -> Film {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(name), &data).unwrap();
        let torrent = create_torrent(dir.path().join(name), options, |_, _| {}).await.unwrap().torrent;
        Film { dir, torrent, data }
    }

    pub fn source(&self) -> Source {
        Source::from(&self.torrent)
    }

    /// Starts a session that has all of it.
    pub async fn seed(&self) -> Seed {
        self.seed_with(|_| {}).await
    }

    pub async fn seed_with(&self, change: impl FnOnce(&mut Config)) -> Seed {
        let session = Session::new(offline_with(self.dir.path(), change)).await.unwrap();
        let handle = session.open(self.source()).await.unwrap();
        assert_eq!(handle.recheck(|_, _| {}).await.unwrap(), self.data.len() as u64);
        Seed { session, handle }
    }
}

pub struct Seed {
    pub session: Session,
    pub handle: TorrentHandle,
}

impl Seed {
    pub fn addr(&self) -> SocketAddr {
        self.session.listen_addr().unwrap()
    }
}

/// Starts an empty session that knows these peers.
pub async fn viewer(dir: &Path, peers: Vec<SocketAddr>) -> Session {
    let mut config = Config::offline(dir);
    config.peers = peers.into_iter().map(Into::into).collect();
    Session::new(config).await.unwrap()
}

/// Waits until a condition holds.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < end, "not within {LONG:?}: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Returns the result of some work, and fails if it takes too long.
pub async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    match timeout(LONG, work).await {
        Ok(done) => done,
        Err(_) => panic!("not within {LONG:?}: {what}"),
    }
}
