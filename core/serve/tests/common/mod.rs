//! A film, a seed of it, and bounded waits, for tests of the server over whole sessions.
#![allow(dead_code, clippy::unwrap_used, missing_docs, unreachable_pub)]

use playswarm::{Config, CreateOptions, Metainfo, Session, Source, TorrentHandle, create_torrent};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

pub mod rtsp;

const PIECE: u32 = 64 << 10;
/// Longest wait of a test.
const LONG: Duration = Duration::from_secs(20);

/// Returns bytes that do not repeat, the same for the same seed.
fn pattern(length: usize, seed: u64) -> Vec<u8> {
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

/// A file on disk and its torrent.
pub struct Film {
    dir: TempDir,
    pub torrent: Metainfo,
    pub data: Vec<u8>,
}

impl Film {
    pub async fn new(length: usize, seed: u64) -> Film {
        let (dir, data) = (tempfile::tempdir().unwrap(), pattern(length, seed));
        let path = dir.path().join("film.mkv");
        std::fs::write(&path, &data).unwrap();
        let mut options = CreateOptions::default();
        options.piece_bytes = Some(PIECE);
        let torrent = create_torrent(path, options, |_, _| {}).await.unwrap().torrent;
        Film { dir, torrent, data }
    }

    pub fn source(&self) -> Source {
        Source::from(&self.torrent)
    }

    /// Starts a session that has all of it.
    pub async fn seed(&self) -> Seed {
        let session = Session::new(Config::offline(self.dir.path())).await.unwrap();
        let handle = session.open(self.source()).await.unwrap();
        assert_eq!(handle.recheck(|_, _| {}).await.unwrap(), self.data.len() as u64);
        Seed { session, handle }
    }
}

/// A session that seeds a film, and its handle.
pub struct Seed {
    session: Session,
    handle: TorrentHandle,
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

/// Returns the result of some work, and fails where it takes too long.
pub async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    match timeout(LONG, work).await {
        Ok(done) => done,
        Err(_) => panic!("not within {LONG:?}: {what}"),
    }
}
