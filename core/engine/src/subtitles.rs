//! Fetches the subtitles of a film when its player can spare the line: small files, one after the other. A file that no
//! connected peer has is left alone, so that nothing waits for it.

use crate::season::LOOK_EVERY;
use crate::swarm::driver::Swarm;
use crate::swarm::readers::Purpose;
use crate::torrent::Torrent;
use playswarm_logic::ReaderKey;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Time after which a player that never has enough ahead of it is not waited for any more: subtitles are a thousandth of
/// the film.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause between files then.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest time for one file at a stretch.
const TURN: Duration = Duration::from_secs(10);
/// Largest file that is fetched.
const MOST_BYTES: u64 = 16 << 20;
/// Reads of one file.
const MOST_TURNS: u32 = 3;

/// See [`Media::fetch_subtitles`](crate::Media::fetch_subtitles).
pub(crate) async fn fetch(swarm: Arc<Swarm>, torrent: Arc<Torrent>, files: Vec<usize>, here: impl FnMut(usize) + Send) {
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

/// The bytes of a file within the torrent.
pub(crate) fn bytes_of(torrent: &Torrent, file: usize) -> Option<Range<u64>> {
    torrent.files.get(file).filter(|f| !f.padding).map(|f| f.offset..f.offset + f.length)
}

/// A file that is not here.
struct Wanted {
    file: usize,
    bytes: Range<u64>,
    /// How often it was read.
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
            // With a small bound on disk use, a file is given back before all of it is here.
            !is_here && w.turns < MOST_TURNS
        });
        if wanted.is_empty() {
            return;
        }
        let comfortable = swarm.players_are_comfortable();
        let next = wanted.iter_mut().find(|w| swarm.is_in_reach(w.bytes.clone()));
        match next.filter(|_| comfortable || begun.elapsed() > PATIENCE) {
            Some(next) => {
                // What came until then is kept.
                let ended = timeout(TURN, read(swarm, next)).await.is_ok();
                next.turns += u32::from(ended);
                if !comfortable || !ended {
                    sleep(PAUSE).await;
                }
            }
            None => sleep(LOOK_EVERY).await,
        }
    }
}

/// Reads a file until all of it is here or out of reach.
async fn read(swarm: &Arc<Swarm>, wanted: &Wanted) {
    let Range { start, end } = wanted.bytes;
    let reader = Fetch { swarm, key: swarm.open_reader(Purpose::Index, wanted.file, start, end, start) };
    let mut at = start;
    while at < end && swarm.is_in_reach(at..end) {
        let max = usize::try_from(end - at).unwrap_or(usize::MAX);
        match timeout(LOOK_EVERY, swarm.read(reader.key, at, max)).await {
            Ok(Ok(part)) if !part.is_empty() => at += part.len() as u64,
            Ok(_) => return,
            Err(_) => {}
        }
    }
}

/// A reader that is closed when it is dropped.
struct Fetch<'a> {
    swarm: &'a Swarm,
    key: ReaderKey,
}

impl Drop for Fetch<'_> {
    fn drop(&mut self) {
        self.swarm.close_reader(self.key);
    }
}
