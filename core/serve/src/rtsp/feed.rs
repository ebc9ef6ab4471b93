//! The samples of a playback, read from the swarm by a task of their own. A jump cancels the read in
//! work and moves the reader at once, so the swarm's requests follow it.

use super::film::Film;
use super::scale::{Scale, Walk};
use playswarm::{Result, Stream, TorrentHandle};
use playswarm_media::{Accuracy, Sample, Samples, SeekPoint};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Samples read ahead of those being sent.
const AHEAD: usize = 8;
/// Bytes that one read asks for.
const CHUNK_BYTES: u64 = 256 << 10;
/// Readers of one playback. Tracks that are not interleaved, and tables, are read at other places
/// than the pictures.
const MAX_READERS: usize = 3;
/// How far ahead of a reader a range may be for it to skip the bytes between.
const NEAR_BYTES: u64 = 2 << 20;

/// What the reading came to.
#[derive(Debug)]
pub(crate) enum Item {
    /// It begins here.
    Landed(SeekPoint),
    Sample(Sample),
    /// No sample follows.
    End,
}

/// A position to read from, with the number of the jump.
#[derive(Clone, Debug)]
struct Jump {
    number: u64,
    to: Duration,
    tracks: Vec<usize>,
    scale: Scale,
}

/// The reading of a film.
#[derive(Debug)]
pub(crate) struct Feed {
    jumps: watch::Sender<Option<Jump>>,
    items: mpsc::Receiver<(u64, Item)>,
    number: u64,
    task: JoinHandle<()>,
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Feed {
    /// Starts a task that waits for the first jump.
    pub(crate) fn new(torrent: TorrentHandle, film: Arc<Film>) -> Feed {
        let (jumps, to) = watch::channel(None);
        let (sender, items) = mpsc::channel(AHEAD);
        Feed { jumps, items, number: 0, task: tokio::spawn(run(torrent, film, to, sender)) }
    }

    /// Reads these tracks from a time on: all of their samples, or the keyframes that a scale shows.
    /// What was read before is dropped by its number: the task may
    /// have read for this jump already when this returns.
    pub(crate) fn jump(&mut self, to: Duration, tracks: Vec<usize>, scale: Scale) {
        self.number += 1;
        let number = self.number;
        self.jumps.send_replace(Some(Jump { number, to, tracks, scale }));
    }

    /// Waits for the next item since the last jump. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Item {
        loop {
            match self.items.recv().await {
                Some((number, item)) if number == self.number => return item,
                Some(_) => {}
                // The task ended, which it does only if it failed.
                None => return Item::End,
            }
        }
    }
}

async fn run(
    torrent: TorrentHandle,
    film: Arc<Film>,
    mut jumps: watch::Receiver<Option<Jump>>,
    items: mpsc::Sender<(u64, Item)>,
) {
    let mut readers = Readers { torrent: torrent.clone(), file: film.file, readers: Vec::new(), reads_ahead: true };
    loop {
        let jump = jumps.borrow_and_update().clone();
        let reading = async {
            if let Some(jump) = &jump {
                let reads_ahead = !jump.scale.is_by_keyframes();
                readers.read_ahead(reads_ahead);
                let read = match reads_ahead {
                    true => read(&mut readers, &film, jump, &items).await,
                    false => read_keyframes(&mut readers, &film, jump, &items).await,
                };
                if let Err(error) = read {
                    tracing::debug!(%error, "an RTSP playback ends early");
                }
                // Fails only if nobody waits for it.
                let _ = items.send((jump.number, Item::End)).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            changed = jumps.changed() => if changed.is_err() { return },
            () = reading => {}
        }
    }
}

async fn read(readers: &mut Readers, film: &Film, jump: &Jump, items: &mpsc::Sender<(u64, Item)>) -> Result<()> {
    // To find the exact place may need a piece. What follows it is asked for at the same time.
    let near = match (film.timeline.accuracy(), film.timeline.keyframe_at(jump.to)) {
        (Accuracy::Exact, (Some(keyframe), _)) => keyframe.from,
        _ => film.timeline.byte_at(jump.to),
    };
    readers.jump(near)?;
    let point = readers.torrent.locate(film.file, jump.to).await?;
    readers.jump(point.from)?;
    let Some(mut samples) = Samples::new(&film.timeline, &jump.tracks, point) else { return Ok(()) };
    let _ = items.send((jump.number, Item::Landed(point))).await;
    while let Some(sample) = readers.next(&mut samples).await? {
        let _ = items.send((jump.number, Item::Sample(sample))).await;
    }
    tracing::debug!(end = ?samples.end(), "an RTSP playback has read all samples");
    Ok(())
}

/// Reads keyframes one by one, and of the film no more than they need.
async fn read_keyframes(
    readers: &mut Readers,
    film: &Film,
    jump: &Jump,
    items: &mpsc::Sender<(u64, Item)>,
) -> Result<()> {
    let (mut walk, mut to) = (Walk::new(jump.scale), Some(jump.to));
    let mut is_first = true;
    while let Some(time) = to {
        let point = readers.torrent.locate(film.file, time).await?;
        if walk.found(point.time) {
            if std::mem::take(&mut is_first) {
                let _ = items.send((jump.number, Item::Landed(point))).await;
            }
            if let Some(sample) = readers.keyframe(film, &jump.tracks, point).await? {
                let _ = items.send((jump.number, Item::Sample(sample))).await;
            }
        } else if jump.scale.is_backward() {
            return Ok(());
        }
        to = walk.next(&film.timeline);
    }
    Ok(())
}

/// Readers of one file, the last used first.
struct Readers {
    torrent: TorrentHandle,
    file: usize,
    readers: Vec<Stream>,
    reads_ahead: bool,
}

impl Readers {
    /// Sets whether the swarm may be asked for more than is being read.
    fn read_ahead(&mut self, reads_ahead: bool) {
        if self.reads_ahead != reads_ahead {
            self.reads_ahead = reads_ahead;
            self.readers.clear();
        }
    }

    /// Moves to a position, so that the swarm is asked for it before anything is read.
    fn jump(&mut self, position: u64) -> Result<()> {
        self.readers.truncate(1);
        if self.readers.is_empty() {
            self.readers.push(self.torrent.stream(self.file)?);
        }
        self.readers[0].seek_to(position);
        Ok(())
    }

    /// Reads the first sample at a position, a keyframe. `None` if there is none.
    async fn keyframe(&mut self, film: &Film, tracks: &[usize], point: SeekPoint) -> Result<Option<Sample>> {
        match Samples::new(&film.timeline, tracks, point) {
            Some(mut samples) => self.next(&mut samples).await,
            None => Ok(None),
        }
    }

    /// Reads the next sample. `None` after the last one.
    async fn next(&mut self, samples: &mut Samples) -> Result<Option<Sample>> {
        loop {
            if let Some(sample) = samples.next() {
                return Ok(Some(sample));
            }
            if samples.end().is_some() {
                return Ok(None);
            }
            let Some(range) = samples.needed().into_iter().next() else { return Ok(None) };
            let bytes = self.read(&range).await?;
            if bytes.is_empty() {
                return Ok(None);
            }
            samples.feed(range.start, &bytes);
        }
    }

    /// Reads the beginning of a range.
    async fn read(&mut self, range: &std::ops::Range<u64>) -> Result<bytes::Bytes> {
        let near =
            |reader: &Stream| range.start.checked_sub(reader.position()).is_some_and(|ahead| ahead <= NEAR_BYTES);
        let at = match self.readers.iter().position(near) {
            Some(at) => at,
            None if self.readers.len() < MAX_READERS => {
                self.readers.push(self.torrent.stream(self.file)?);
                self.readers.len() - 1
            }
            None => MAX_READERS - 1,
        };
        self.readers[..=at].rotate_right(1);
        let reader = &mut self.readers[0];
        reader.seek_to(range.start);
        if !self.reads_ahead {
            reader.set_end(range.end);
        }
        reader.read_chunk((range.end - range.start).min(CHUNK_BYTES) as usize).await
    }
}
