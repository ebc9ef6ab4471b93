//! Reads the timelines of media files through the swarm: the index when a file is opened, and a few
//! more bytes for a search by time.
//!
//! [`playswarm_media`] decides which bytes to read. Here they are read, with priority over requests
//! that can wait.

use crate::error::{Error, Result};
use crate::metainfo::{self, Metainfo, Seen};
use crate::swarm::driver::Swarm;
use crate::swarm::readers::RangeReader;
use futures_util::future::{join_all, select_all};
use parking_lot::Mutex;
use playswarm_media::{Container, Format, Indexer, Locate, SeekPoint, Timeline};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::OnceCell;

/// Most ranges that are read at the same time: the head, the index, and the next ranges of a
/// search.
const AT_ONCE: usize = 4;
/// Smallest piece, in bytes, for which the index is guessed at the file's end. Smaller pieces hold
/// little of an index, and the file's beginning soon tells where the index is.
const GUESS_BYTES: u32 = 128 << 10;
/// Bytes read at once.
const CHUNK_BYTES: u64 = 256 << 10;

/// Most seek targets that are prefetched at once.
const PLACES_AHEAD: usize = 4;
/// Most bytes prefetched per seek target. This covers the distance between keyframes, but not a
/// file with a single keyframe.
const AHEAD_BYTES: u64 = 8 << 20;
/// Longest time for one such prefetch.
const AHEAD_FOR: Duration = Duration::from_secs(30);

/// The timelines of a torrent's files. Each is read once, however many tasks request it.
#[derive(Default)]
pub(crate) struct Timelines {
    known: Mutex<BTreeMap<usize, Arc<OnceCell<Arc<Timeline>>>>>,
    /// Held by the task that reads the durations of all files.
    pub(crate) learning: tokio::sync::Mutex<()>,
    /// Number of seek targets that are being prefetched.
    ahead: AtomicUsize,
}

impl Timelines {
    /// Returns the file's timeline, reading it from the swarm if it is not known. Waits for as long
    /// as the swarm needs.
    pub(crate) async fn get(&self, swarm: &Arc<Swarm>, torrent: &Metainfo, file: usize) -> Result<Arc<Timeline>> {
        let cell = self.known.lock().entry(file).or_default().clone();
        cell.get_or_try_init(|| read_index(swarm, torrent, file)).await.cloned()
    }
}

async fn read_index(swarm: &Arc<Swarm>, torrent: &Metainfo, file: usize) -> Result<Arc<Timeline>> {
    let entry = torrent
        .files
        .get(file)
        .filter(|f| !f.padding)
        .ok_or_else(|| Error::NoSuchFile { wanted: file.to_string(), files: torrent.files.len() })?;
    let mut indexer = Indexer::new(&entry.name, entry.length);
    let read = answer(swarm, file, entry.offset, &mut indexer, Indexer::needed, Indexer::feed).await?;
    // An indexer that needs no more bytes has a result.
    let timeline = indexer.timeline().cloned().ok_or(Error::Closed)?;
    tracing::debug!(
        file,
        container = timeline.container().name(),
        duration_s = timeline.duration().as_secs_f64(),
        keyframes = timeline.keyframes().len(),
        accuracy = ?timeline.accuracy(),
        "the file's time is known"
    );
    swarm.set_timeline(file, timeline.clone(), read);
    Ok(timeline)
}

/// Longest wait for the first bytes of files whose names tell nothing.
const LOOK_FOR: Duration = Duration::from_secs(10);

/// Chooses the file to play: by names, and by first bytes where names do not decide.
pub(crate) async fn choose(swarm: &Arc<Swarm>, torrent: &Metainfo) -> Result<usize> {
    let mut seen = Seen::new();
    let looking = async {
        loop {
            let choice = metainfo::choose(torrent, &seen);
            if choice.look_at.is_empty() {
                return;
            }
            let heads = choice.look_at.iter().map(|file| async move { (*file, head(swarm, torrent, *file).await) });
            for (file, head) in join_all(heads).await {
                let found = head.ok().and_then(|head| Format::by_content(&head)).map(|format| format.content);
                tracing::debug!(file, ?found, "the first bytes were read");
                seen.insert(file, found);
            }
        }
    };
    if tokio::time::timeout(LOOK_FOR, looking).await.is_err() {
        tracing::warn!("no peer sent the first bytes of files with unknown endings; the file was chosen by its name");
    }
    metainfo::choose(torrent, &seen).file
}

/// Returns the first bytes of a file.
async fn head(swarm: &Swarm, torrent: &Metainfo, file: usize) -> Result<Vec<u8>> {
    let (start, length) = torrent.files.get(file).map_or((0, 0), |f| (f.offset, f.length));
    let mut reader = RangeReader::open(swarm, file, start, 0..length.min(Container::SNIFF_BYTES as u64));
    let mut bytes = Vec::new();
    reader.read_to_end(CHUNK_BYTES, |part| bytes.extend_from_slice(part)).await?;
    Ok(bytes)
}

/// Returns the position in a file to read for a presentation time.
pub(crate) async fn locate(
    swarm: &Arc<Swarm>,
    torrent: &Metainfo,
    file: usize,
    timeline: &Arc<Timeline>,
    time: Duration,
) -> Result<SeekPoint> {
    let offset = torrent.files.get(file).map_or(0, |f| f.offset);
    let mut locate = Locate::new(timeline, time);
    answer(swarm, file, offset, &mut locate, Locate::needed, Locate::feed).await?;
    locate.seek_point().ok_or(Error::Closed)
}

/// Prefetches from a seek point through the next keyframe. At most [`PLACES_AHEAD`] run at once: a
/// caller that requests many is likely to read none of them.
pub(crate) async fn fetch_ahead(timelines: &Timelines, swarm: &Swarm, file: usize, start: u64, seek_point: SeekPoint) {
    let place = Place(&timelines.ahead);
    if timelines.ahead.fetch_add(1, Ordering::Relaxed) >= PLACES_AHEAD {
        return;
    }
    let end = seek_point.until.min(seek_point.from.saturating_add(AHEAD_BYTES));
    let mut reader = RangeReader::open(swarm, file, start, seek_point.from..end);
    if tokio::time::timeout(AHEAD_FOR, reader.read_to_end(CHUNK_BYTES, |_| {})).await.is_err() {
        tracing::debug!(file, from = seek_point.from, "no peer sent the bytes at the player's position");
    }
    drop(place);
}

/// One running prefetch of a seek target.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Reads the requested ranges until no more are requested. Returns the ranges of the file that were
/// read.
async fn answer<A>(
    swarm: &Arc<Swarm>,
    file: usize,
    start: u64,
    asks: &mut A,
    needed: impl Fn(&A) -> Vec<Range<u64>>,
    feed: impl Fn(&mut A, u64, &[u8]),
) -> Result<Vec<Range<u64>>> {
    let mut read = Vec::new();
    let mut open: Vec<RangeReader<'_>> = Vec::new();
    let small = swarm.piece_bytes().is_some_and(|bytes| bytes < GUESS_BYTES);
    loop {
        let needed = needed(asks);
        if needed.is_empty() {
            return Ok(read);
        }
        // Bytes that are already present need no reader.
        let here = needed.iter().find_map(|range| {
            let max = CHUNK_BYTES.min(range.end - range.start) as usize;
            Some((range.start, swarm.peek(start + range.start, max)?))
        });
        if let Some((at, bytes)) = here {
            read.push(at..at + bytes.len() as u64);
            feed(asks, at, &bytes);
            continue;
        }
        let mut still: Vec<RangeReader<'_>> = Vec::new();
        for range in needed {
            // Before the first read, a range at the end is a guess.
            if still.len() == if small && read.is_empty() { 1 } else { AT_ONCE } {
                break;
            }
            match open.iter().position(|fetch| range.contains(&fetch.at)) {
                Some(i) => {
                    let mut fetch = open.swap_remove(i);
                    fetch.end_at(range.end);
                    still.push(fetch);
                }
                None => still.push(RangeReader::open(swarm, file, start, range)),
            }
        }
        // Readers that are no longer needed are dropped last: where others still need their pieces,
        // no request is cancelled.
        open = still;
        let reads = open.iter().map(|fetch| Box::pin(fetch.read(CHUNK_BYTES)));
        let (bytes, which, others) = select_all(reads).await;
        drop(others);
        let (bytes, fetch) = (bytes?, &mut open[which]);
        let end = fetch.at + bytes.len() as u64;
        read.push(fetch.at..end);
        feed(asks, fetch.at, &bytes);
        fetch.at = end;
    }
}
