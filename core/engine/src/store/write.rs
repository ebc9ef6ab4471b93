//! Writes verified pieces to disk, in the background.
//!
//! One writer runs on the blocking pool. Pieces wait for it in memory, and meanwhile the swarm is
//! throttled. The disk is in *trouble* where it accepts nothing: full, broken, without permission,
//! or not within [`SLOW`]. The swarm then continues, and waiting pieces stay in memory within its
//! limit. Those farthest from the readers are given up first. The remaining ones are written once
//! the disk accepts pieces again.

use super::load::Failure;
use super::state::State;
use super::{Store, StoreEvent};
use crate::error::{Error, Result};
use bytes::Bytes;
use playswarm_logic::PieceIndex;
use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Pause before a full disk is tried again, and first pause after another failure.
const RETRY: Duration = Duration::from_secs(1);
/// Longest pause between tries of pieces that cannot be written for another reason than a full
/// disk.
const RETRY_AT_MOST: Duration = Duration::from_secs(30);
/// Longest time for a write, plus a second per [`SLOW_BYTES_PER_S`] of its piece. A slower write
/// does not keep up with any film.
const SLOW: Duration = Duration::from_secs(3);
const SLOW_BYTES_PER_S: u64 = 1 << 20;
/// Time without a failure after which the trouble ends, although failed pieces were given up.
const CALM: Duration = Duration::from_secs(10);

/// The queue of pieces that wait to be written.
#[derive(Default)]
pub(super) struct Queue {
    ready: VecDeque<u32>,
    /// Whether a writer is running.
    active: bool,
    /// The piece that is being written, and the start of its write.
    writing: Option<(u32, Instant)>,
    /// Pieces in memory whose last write failed: they wait for the next try.
    failed: BTreeSet<u32>,
    /// Whether a failed piece was given up since the trouble began.
    gave_up: bool,
    trouble: Option<Trouble>,
    failed_at: Option<Instant>,
    /// Consecutive tries of `failed` without success.
    tries: u32,
    /// Whether the next try is scheduled.
    timer: bool,
}

/// The reason why the disk accepts nothing, or not in time.
#[derive(Clone)]
enum Trouble {
    Full,
    Failing(Failure),
    Slow,
}

impl Trouble {
    fn of(e: &Error) -> Trouble {
        match e {
            Error::DiskFull { .. } => Trouble::Full,
            other => Trouble::Failing(Failure::of(other)),
        }
    }

    fn is_as(&self, other: &Trouble) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl Queue {
    pub(super) fn push(&mut self, piece: u32) {
        if self.is_full() {
            // Each try would fail: the next scheduled one shows whether there is room.
            self.failed.insert(piece);
        } else {
            self.ready.push_back(piece);
        }
    }

    /// Returns whether pieces that wait to be written may be given up.
    pub(super) fn is_in_trouble(&self) -> bool {
        self.trouble.is_some()
    }

    /// Returns the piece that is being written and must stay in memory.
    pub(super) fn writing(&self) -> Option<u32> {
        self.writing.map(|(piece, _)| piece)
    }

    /// Notes that the piece was given up.
    pub(super) fn forget(&mut self, piece: u32) {
        self.gave_up |= self.failed.remove(&piece);
    }

    /// Returns the reason why nothing is written although pieces wait, if so.
    pub(super) fn stuck(&self, dir: &Path) -> Option<Error> {
        if self.active || !self.ready.is_empty() || self.failed.is_empty() {
            return None;
        }
        Some(match self.trouble.clone()? {
            Trouble::Full => Error::DiskFull { path: dir.to_owned() },
            Trouble::Failing(failure) => failure.into(),
            Trouble::Slow => return None,
        })
    }

    /// Returns whether no piece waits to be tried.
    pub(super) fn is_idle(&self) -> bool {
        !self.active && self.ready.is_empty()
    }

    fn is_full(&self) -> bool {
        matches!(self.trouble, Some(Trouble::Full)) && self.timer
    }

    /// Notes that a piece was written. Returns whether that ends the trouble.
    fn succeeded(&mut self, piece: u32) -> bool {
        self.failed.remove(&piece);
        self.tries = 0;
        if matches!(self.trouble, Some(Trouble::Full)) {
            // There is room again.
            self.ready.extend(std::mem::take(&mut self.failed));
        }
        let calm = !self.gave_up || self.failed_at.is_none_or(|at| at.elapsed() > CALM);
        let over = self.failed.is_empty() && (calm || !matches!(self.trouble, Some(Trouble::Failing(_))));
        over && self.end_trouble()
    }

    fn end_trouble(&mut self) -> bool {
        self.gave_up = false;
        self.trouble.take().is_some()
    }

    /// Notes that a piece could not be written. Returns whether that is news, and the pause before
    /// the next try if none is scheduled.
    fn failed(&mut self, piece: u32, e: &Error) -> (bool, Option<Duration>) {
        self.failed.insert(piece);
        self.failed_at = Some(Instant::now());
        let trouble = Trouble::of(e);
        if matches!(trouble, Trouble::Full) {
            self.failed.extend(self.ready.drain(..));
        }
        let news = !self.trouble.as_ref().is_some_and(|known| known.is_as(&trouble));
        let pause = match trouble {
            Trouble::Full => RETRY,
            _ => (RETRY * (1 << self.tries.min(10))).min(RETRY_AT_MOST),
        };
        self.trouble = Some(trouble);
        (news, (!std::mem::replace(&mut self.timer, true)).then_some(pause))
    }

    /// Ends the pause. Returns whether that ends the trouble, as no failed piece is left.
    fn try_again(&mut self) -> bool {
        self.timer = false;
        self.tries += 1;
        self.ready.extend(std::mem::take(&mut self.failed));
        let calm = self.failed_at.is_none_or(|at| at.elapsed() > CALM);
        self.ready.is_empty() && !self.active && calm && self.end_trouble()
    }

    /// Returns whether a write has just become too slow.
    fn is_slow(&mut self, piece_bytes: u32) -> bool {
        let bound = SLOW + Duration::from_secs(u64::from(piece_bytes) / SLOW_BYTES_PER_S);
        let slow = self.trouble.is_none() && self.writing.is_some_and(|(_, since)| since.elapsed() > bound);
        if slow {
            self.trouble = Some(Trouble::Slow);
        }
        slow
    }
}

impl State {
    /// Returns the bytes in memory that may not be given up yet, because they are on no disk.
    pub(super) fn unwritten_bytes(&self) -> u64 {
        if self.queue.is_in_trouble() {
            self.queue.writing().map_or(0, |piece| self.bytes_of(piece))
        } else {
            self.cache.pinned_bytes()
        }
    }

    /// Notes that the write of a piece of this length is over.
    fn end_write(&mut self, length: usize) {
        self.writing_bytes -= length as u64;
        self.queue.writing = None;
    }
}

impl Store {
    /// Writes the ready pieces on this thread of the blocking pool, unless another thread does.
    pub(super) fn write_some(self: &Arc<Self>) {
        {
            let queue = &mut self.state.lock().queue;
            if queue.active || queue.ready.is_empty() {
                return;
            }
            queue.active = true;
        }
        while let Some((piece, bytes)) = self.next_to_write() {
            let result = self.write_piece(piece, &bytes);
            drop(bytes);
            if let Some(result) = result {
                self.wrote(piece, result);
            }
            self.progress.send_modify(|n| *n += 1);
        }
        self.progress.send_modify(|n| *n += 1);
    }

    /// Returns the next piece to write; with `None` this writer counts as ended.
    fn next_to_write(&self) -> Option<(u32, Bytes)> {
        let mut state = self.state.lock();
        while !state.closed
            && let Some(piece) = state.queue.ready.pop_front()
        {
            // A piece that was given up in the meantime is no longer cached.
            if let Some(bytes) = state.cache.peek(piece) {
                state.queue.writing = Some((piece, Instant::now()));
                return Some((piece, bytes));
            }
        }
        state.queue.active = false;
        None
    }

    /// Writes and records a piece. `None` if it was given up before the disk was free.
    fn write_piece(self: &Arc<Self>, piece: u32, bytes: &[u8]) -> Option<Result<()>> {
        self.make_room_on_disk(bytes.len() as u64);
        let _disk = self.disk.read();
        {
            // A whole file that proves wrong is thrown away with what waits to be written.
            let mut state = self.state.lock();
            if !state.cache.has(piece) {
                state.end_write(bytes.len());
                return None;
            }
        }
        let mut news = Vec::new();
        let written = self.files.write(self.torrent.layout.start_of(PieceIndex(piece)), bytes, &mut news);
        self.heed(news);
        // Data first, then the bit: a kill in between costs a piece. The reverse order would leave
        // a bit without its piece.
        let recorded = written.and_then(|()| self.record.set(piece, true));
        if recorded.is_ok() {
            self.save_tree_of(piece);
        }
        let mut state = self.state.lock();
        state.end_write(bytes.len());
        if recorded.is_ok() {
            state.set_on_disk(piece, true);
            state.trust(piece);
            state.cache.unpin(piece);
            state.unsynced.push(piece);
        }
        Some(recorded)
    }

    fn wrote(self: &Arc<Self>, piece: u32, result: Result<()>) {
        let event = match result {
            Ok(()) => {
                let (over, dropped) = {
                    let mut state = self.state.lock();
                    (state.queue.succeeded(piece), self.keep_within_memory(&mut state))
                };
                self.recycle_all(dropped);
                self.sync_later();
                over.then_some(StoreEvent::DiskOk)
            }
            Err(e) => {
                let (news, due, dropped) = {
                    let mut state = self.state.lock();
                    let (news, due) = state.queue.failed(piece, &e);
                    (news, due, self.keep_within_memory(&mut state))
                };
                self.recycle_all(dropped);
                if let Some(pause) = due {
                    self.retry_after(pause);
                }
                if news {
                    tracing::warn!(error = %e, "pieces cannot be written and are kept in memory; writing is retried");
                } else {
                    tracing::debug!(piece, error = %e, "a piece cannot be written");
                }
                news.then_some(match e {
                    Error::DiskFull { .. } => StoreEvent::DiskFull,
                    e => StoreEvent::WriteFailed(e),
                })
            }
        };
        if let Some(event) = event {
            self.tell(event);
        }
    }

    /// Retries failed writes after a pause. A store that is dropped in the meantime is not kept
    /// alive.
    fn retry_after(self: &Arc<Self>, pause: Duration) {
        let store = Arc::downgrade(self);
        self.runtime.spawn(async move {
            tokio::time::sleep(pause).await;
            if let Some(store) = store.upgrade() {
                store.retry_writes_now();
            }
        });
    }

    /// Retries all failed writes without waiting for the pause.
    pub(super) fn retry_writes_now(self: &Arc<Self>) {
        if self.state.lock().queue.try_again() {
            self.tell(StoreEvent::DiskOk);
        }
        self.start_writers();
    }

    pub(super) fn start_writers(self: &Arc<Self>) {
        let store = self.clone();
        self.runtime.spawn_blocking(move || store.write_some());
    }

    /// Checks whether the disk keeps up. Call it now and then.
    pub(crate) fn watch_disk(&self) {
        let slow = {
            let mut state = self.state.lock();
            let piece_bytes = state.layout.piece_bytes();
            state.queue.is_slow(piece_bytes)
        };
        if slow {
            self.tell(StoreEvent::DiskSlow);
        }
    }
}
