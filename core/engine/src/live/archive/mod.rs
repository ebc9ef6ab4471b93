//! The archive of a channel: its stream in files of about a minute, each a torrent of which every
//! node that keeps it is a seed at once.
//!
//! The source cuts the stream (`cut`), and announces each minute with its info-hash, signed, within
//! the channel. All nodes made the same bytes, so each writes the same file from its `spool`
//! (`follow`), checks it against the info-hash, and seeds it (`keep`). What is missing is downloaded
//! like any torrent (`fetch`), with what the stream leaves of the line (`share`). `names` are those of the files. The session opens the torrents, and its
//! store writes their files. docs/adr/0024-archive.md has the reasons.

mod cut;
mod fetch;
mod follow;
mod keep;
mod names;
mod share;
mod spool;
mod torrent;

use super::node::Node;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::metainfo::InfoHash;
use crate::session;
use crate::swarm::rates::RateLimits;
use crate::torrent_handle::TorrentHandle;
use parking_lot::Mutex;
use playswarm_proto::live::{Head, Minute};
use share::Share;
use spool::Spool;
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

/// Most minutes that are seeded at once, as many as a node announces.
const MAX_SEEDED: usize = playswarm_proto::live::MAX_MINUTES;
/// Least memory of a torrent, bytes. Of its pieces on disk, the system keeps copies.
const MEMORY_BYTES: u64 = crate::config::LEAST_MEMORY_LIMIT_BYTES;
/// Most connections of a minute's torrent.
const MAX_PEERS: usize = 20;

/// Where and how the archive of a channel is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ArchiveOptions {
    /// Folder that gets a folder and a torrent file for each cast.
    pub dir: PathBuf,
    /// Least duration of a file in seconds, 2 to 120. Sources alone decide it. The next place at which
    /// a player can begin ends the file.
    pub seconds: u32,
}

impl ArchiveOptions {
    /// Returns options for files of about a minute in this folder.
    pub fn new(dir: impl Into<PathBuf>) -> ArchiveOptions {
        ArchiveOptions { dir: dir.into(), seconds: 60 }
    }
}

/// A minute of a channel's archive.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct ChannelMinute {
    /// Its number within the cast, from 1.
    pub number: u64,
    /// When its first byte reached the source, milliseconds since 1970.
    pub begun_ms: u64,
    /// About its duration, milliseconds.
    pub duration_ms: u32,
    /// Bytes of its file.
    pub bytes: u64,
    /// Info-hash of its torrent.
    pub info_hash: InfoHash,
    /// Link to its torrent, with the nodes of the channel that are known.
    pub magnet: String,
}

impl ChannelMinute {
    pub(super) fn of(minute: &Minute, head: &Head, peers: &[std::net::SocketAddr]) -> ChannelMinute {
        let folder = names::folder(&head.name, head.started_ms);
        let mut magnet = playswarm_proto::Magnet::new(minute.info_hash);
        magnet.name = Some(names::file(&folder, minute.number, &head.content_type));
        magnet.peers = peers.iter().copied().map(Into::into).collect();
        ChannelMinute {
            number: u64::from(minute.number) + 1,
            begun_ms: minute.born_ms,
            duration_ms: minute.duration_ms,
            bytes: minute.length,
            info_hash: minute.info_hash,
            magnet: magnet.to_string(),
        }
    }
}

/// The archive of a node; see the [module](self).
pub(super) struct Archive {
    dir: PathBuf,
    seconds: u32,
    session: Weak<session::Shared>,
    config: Config,
    rates: Arc<RateLimits>,
    /// Locked on the blocking pool only, and across operations of the disk.
    spool: Mutex<Spool>,
    /// The cast and the group after the newest one in the spool, and whether the stream has ended.
    spooled: watch::Sender<Spooled>,
    state: Mutex<State>,
    wanted: mpsc::UnboundedSender<fetch::Wanted>,
    done: watch::Sender<bool>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Spooled {
    cast: u64,
    next: u64,
    ended: bool,
}

#[derive(Default)]
struct State {
    trouble: Option<String>,
    /// The present cast.
    cast: u64,
    /// Minutes of the present cast that are complete here, by number.
    kept: BTreeMap<u32, Kept>,
    /// The newest torrents, which are seeded.
    seeds: VecDeque<TorrentHandle>,
    /// Counts looks at which bytes or minutes had come, to tell whether it goes on.
    progress: u64,
}

/// A complete minute.
struct Kept {
    name: String,
    path: PathBuf,
    length: u64,
}

impl Archive {
    /// Begins the archive of a node.
    pub(super) fn begin(node: &Arc<Node>, options: &ArchiveOptions, session: &Weak<session::Shared>) -> Result<()> {
        if !(2..=spool::MAX_MINUTE_MS as u32 / 1000).contains(&options.seconds) {
            return Err(super::unusable("archive seconds", &"it must be a number from 2 to 120"));
        }
        let shared = session.upgrade().ok_or(Error::Closed)?;
        // Full, so that it stays the same folder for a program that changes its own.
        let dir = std::path::absolute(&options.dir).map_err(|source| Error::Storage {
            doing: "use",
            path: options.dir.clone(),
            source,
        })?;
        let (wanted, queue) = mpsc::unbounded_channel();
        let archive = Arc::new(Archive {
            spool: Mutex::new(Spool::new(dir.clone())),
            dir,
            seconds: options.seconds,
            session: session.clone(),
            config: settings(shared.config()),
            rates: Arc::new(RateLimits::new(0, 0)),
            spooled: watch::channel(Spooled::default()).0,
            state: Mutex::default(),
            wanted,
            done: watch::channel(false).0,
        });
        node.set_archive(archive.clone())?;
        let tasks = [
            tokio::spawn(follow::follow(node.clone(), archive.clone())),
            tokio::spawn(keep::keep(node.clone(), archive.clone())),
            tokio::spawn(fetch::fetch(node.clone(), archive.clone(), queue)),
            tokio::spawn(tend(node.clone(), archive.clone())),
        ];
        let closing = node.closing();
        tokio::spawn(async move {
            closing.cancelled().await;
            tasks.iter().for_each(tokio::task::JoinHandle::abort);
            archive.close();
        });
        Ok(())
    }

    /// Returns the number of minutes of the present cast that are complete here.
    pub(super) fn kept(&self) -> usize {
        self.state.lock().kept.len()
    }

    /// Returns the reason why something is missing in the archive.
    pub(super) fn trouble(&self) -> Option<String> {
        self.state.lock().trouble.clone()
    }

    /// Waits until all of an ended stream that can be had is in the archive.
    pub(super) async fn done(&self) {
        let _ = self.done.subscribe().wait_for(|done| *done).await;
    }

    fn close(&self) {
        self.state.lock().seeds.clear();
        self.done.send_replace(true);
    }

    fn troubled(&self, e: &dyn std::fmt::Display) {
        let text = format!("the archive is incomplete: {e}");
        let mut state = self.state.lock();
        if state.trouble.as_ref() != Some(&text) {
            tracing::warn!("{text}");
            state.trouble = Some(text);
        }
    }

    /// Begins the archive of another cast. Minutes of the one before are still completed and seeded.
    fn begin_cast(&self, cast: u64) {
        let mut state = self.state.lock();
        (state.cast, state.trouble) = (cast, None);
        state.kept.clear();
        drop(state);
        self.done.send_replace(false);
    }

    /// Returns the folder of a cast's files, and its name.
    fn folder(&self, head: &Head) -> (PathBuf, String) {
        let name = names::folder(&head.name, head.started_ms);
        (self.dir.join(&name), name)
    }

    /// Returns the settings of torrents in this folder.
    fn config_in(&self, folder: &Path) -> Arc<Config> {
        Arc::new(Config { dir: folder.to_owned(), ..self.config.clone() })
    }

    /// Records a complete minute, and goes on seeding it.
    fn complete(&self, minute: &Minute, name: String, path: PathBuf, handle: TorrentHandle) {
        let mut state = self.state.lock();
        state.progress += 1;
        if minute.cast == state.cast {
            state.kept.insert(minute.number, Kept { name, path, length: minute.length });
        }
        state.seeds.push_back(handle);
        let dropped = if state.seeds.len() > MAX_SEEDED { state.seeds.pop_front() } else { None };
        drop(state);
        // Outside of the lock, since a torrent is closed with its last handle.
        drop(dropped);
    }
}

/// Returns the settings of an archive's torrents.
fn settings(config: &Config) -> Config {
    Config {
        read_only: false,
        seed_in_background: false,
        slot_index: false,
        disk_limit_bytes: 0,
        memory_limit_bytes: MEMORY_BYTES,
        max_peers: config.max_peers.min(MAX_PEERS),
        metadata_timeout_ms: fetch::PATIENCE.as_millis() as u64,
        ..config.clone()
    }
}

/// Keeps the limits, which follow the channel, until the node is closed.
async fn tend(node: Arc<Node>, archive: Arc<Archive>) {
    let mut share = Share::new();
    loop {
        let status = node.status();
        let rate = node.head().map_or(0, |head| u64::from(head.head().bytes_per_s));
        let is_fed = !node.is_source() && status.fed > 0 && !status.ended;
        let left = (status.children > 0).then(|| share.look(node.waiting()));
        let (down, up) = share::limits(&archive.config, left, is_fed.then_some(rate));
        archive.rates.set(down, up);
        sleep(Share::LOOK_EVERY).await;
    }
}
