//! Fetches the subtitles of a film when its player can spare the bandwidth: small files, one by
//! one. A file that no connected peer has is skipped, so that it delays nothing.

use crate::metainfo::Metainfo;
use crate::season::LOOK_EVERY;
use crate::swarm::driver::Swarm;
use crate::swarm::readers::RangeReader;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Longest wait for a player to have enough read-ahead. Subtitles are a thousandth of the film, so
/// they are then fetched anyway.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause between files after that wait.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest time for one read of a file.
const TURN: Duration = Duration::from_secs(10);
/// Size in bytes of the largest file that is fetched.
const MOST_BYTES: u64 = 16 << 20;
/// Most reads of one file.
const MOST_TURNS: u32 = 3;

/// See [`TorrentHandle::fetch_subtitles`](crate::TorrentHandle::fetch_subtitles).
pub(crate) async fn fetch(
    swarm: Arc<Swarm>,
    torrent: Arc<Metainfo>,
    files: Vec<usize>,
    here: impl FnMut(usize) + Send,
) {
    let small = |file: usize| {
        let bytes = bytes_of(&torrent, file).filter(|bytes| bytes.end - bytes.start <= MOST_BYTES)?;
        Some(Wanted { file, bytes, turns: 0 })
    };
    let wanted = files.into_iter().filter_map(small).collect();
    tokio::select! {
        () = fetch_all(&swarm, wanted, here) => {}
        () = swarm.closed() => {}
    }
}

/// Returns the bytes of a file within the torrent.
pub(crate) fn bytes_of(torrent: &Metainfo, file: usize) -> Option<Range<u64>> {
    torrent.files.get(file).filter(|f| !f.padding).map(|f| f.offset..f.offset + f.length)
}

/// A file that is not complete on this machine.
struct Wanted {
    file: usize,
    bytes: Range<u64>,
    /// Number of finished reads.
    turns: u32,
}

async fn fetch_all(swarm: &Arc<Swarm>, mut wanted: Vec<Wanted>, mut here: impl FnMut(usize)) {
    let begun = Instant::now();
    loop {
        wanted.retain(|w| {
            let is_here = swarm.is_here(w.bytes.clone());
            if is_here {
                here(w.file);
            }
            // With a small disk limit, the beginning of a file is evicted before the file is
            // complete.
            !is_here && w.turns < MOST_TURNS
        });
        if wanted.is_empty() {
            return;
        }
        let full = swarm.read_ahead_is_full();
        let next = wanted.iter_mut().find(|w| swarm.is_in_reach(w.bytes.clone()));
        match next.filter(|_| full || begun.elapsed() > PATIENCE) {
            Some(next) => {
                // Blocks received until then are kept.
                let ended = timeout(TURN, read(swarm, next)).await.is_ok();
                next.turns += u32::from(ended);
                if !full || !ended {
                    sleep(PAUSE).await;
                }
            }
            None => sleep(LOOK_EVERY).await,
        }
    }
}

/// Reads a file until it is complete or no connected peer has the rest.
async fn read(swarm: &Arc<Swarm>, wanted: &Wanted) {
    let Range { start, end } = wanted.bytes;
    let mut reader = RangeReader::open(swarm, wanted.file, start, 0..end - start);
    while !reader.is_at_end() && swarm.is_in_reach(start + reader.at..end) {
        match timeout(LOOK_EVERY, reader.read(u64::MAX)).await {
            Ok(Ok(part)) => reader.at += part.len() as u64,
            Ok(Err(_)) => return,
            Err(_) => {}
        }
    }
}
