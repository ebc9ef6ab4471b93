//! Verified pieces to disk, in the background: a few writers on the blocking pool, a pause while the disk is full, and
//! patience with files that cannot be written.

use super::load::Failure;
use super::{Store, StoreEvent};
use crate::error::{Error, Result};
use bytes::Bytes;
use playswarm_logic::PieceIndex;
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Writers at once. A second one on the same file only waits for the first inside of the kernel.
const WRITERS: u32 = 1;

/// How often a full disk is tried again.
const FULL_RETRY: Duration = Duration::from_secs(1);

/// The longest pause between tries of a piece that cannot be written for another reason; the first is a second.
const RETRY_AT_MOST: Duration = Duration::from_secs(30);

/// Pieces that wait to be written.
#[derive(Default)]
pub(super) struct Queue {
    ready: VecDeque<u32>,
    /// Writers at work.
    active: u32,
    /// The disk is full: nothing is written until the next try.
    full: bool,
    /// Pieces that failed for another reason.
    failing: BTreeMap<u32, Failing>,
    last_failure: Option<Failure>,
    /// The driver was told that the disk is full, or that a write failed, and not yet that it is over.
    told_full: bool,
    told_failed: bool,
}

#[derive(Default)]
struct Failing {
    tries: u32,
    /// Waits for its next try, so it is not in `ready`.
    asleep: bool,
}

impl Queue {
    pub(super) fn push(&mut self, piece: u32) {
        self.ready.push_back(piece);
    }

    /// Why nothing is written although something waits, if so.
    pub(super) fn stuck(&self, dir: &Path) -> Option<Error> {
        if self.active > 0 {
            return None;
        }
        if self.full {
            return Some(Error::DiskFull { path: dir.to_owned() });
        }
        let asleep = self.ready.is_empty() && self.failing.values().any(|f| f.asleep);
        self.last_failure.clone().filter(|_| asleep).map(Error::from)
    }

    fn wake(&mut self, piece: u32) {
        if let Some(failing) = self.failing.get_mut(&piece)
            && std::mem::take(&mut failing.asleep)
        {
            self.ready.push_back(piece);
        }
    }

    fn succeeded(&mut self, piece: u32) -> Option<StoreEvent> {
        self.failing.remove(&piece);
        let over = (self.told_full || self.told_failed) && !self.full && self.failing.is_empty();
        if !over {
            return None;
        }
        (self.told_full, self.told_failed, self.last_failure) = (false, false, None);
        Some(StoreEvent::DiskOk)
    }
}

impl Store {
    /// Writes what is ready on this thread, which is one of the blocking pool, unless enough others do.
    pub(super) fn write_some(self: &Arc<Self>) {
        {
            let queue = &mut self.state.lock().queue;
            if queue.full || queue.ready.is_empty() || queue.active >= WRITERS {
                return;
            }
            queue.active += 1;
        }
        while let Some((piece, bytes)) = self.next_to_write() {
            let result = self.write_piece(piece, &bytes);
            drop(bytes);
            self.wrote(piece, result);
            self.progress.send_modify(|n| *n += 1);
        }
        self.progress.send_modify(|n| *n += 1);
    }

    /// The next piece to write; with `None` this writer counts as gone.
    fn next_to_write(&self) -> Option<(u32, Bytes)> {
        let mut state = self.state.lock();
        while !state.queue.full
            && !state.closed
            && let Some(piece) = state.queue.ready.pop_front()
        {
            if let Some(bytes) = state.hot.peek(piece) {
                return Some((piece, bytes));
            }
        }
        state.queue.active -= 1;
        None
    }

    fn write_piece(self: &Arc<Self>, piece: u32, bytes: &[u8]) -> Result<()> {
        self.make_room_on_disk(bytes.len() as u64);
        let _disk = self.disk.read();
        let mut news = Vec::new();
        let written = self.files.write(self.torrent.layout.start_of(PieceIndex(piece)), bytes, &mut news);
        self.heed(news);
        // Data first, then the bit: a kill in between costs a piece; the other way round it would leave a bit without one.
        let recorded = written.and_then(|()| self.record.set(piece, true));
        let mut state = self.state.lock();
        state.writing_bytes -= bytes.len() as u64;
        if recorded.is_ok() {
            state.set_on_disk(piece, true);
            state.trust(piece);
            state.hot.unpin(piece);
            state.unsynced.push(piece);
        }
        recorded
    }

    fn wrote(self: &Arc<Self>, piece: u32, result: Result<()>) {
        let event = match result {
            Ok(()) => {
                let (event, dropped) = {
                    let mut state = self.state.lock();
                    (state.queue.succeeded(piece), self.keep_within_memory(&mut state))
                };
                self.recycle_all(dropped);
                self.sync_later();
                event
            }
            Err(Error::DiskFull { .. }) => {
                let (first, news) = {
                    let queue = &mut self.state.lock().queue;
                    queue.ready.push_front(piece);
                    (!std::mem::replace(&mut queue.full, true), !std::mem::replace(&mut queue.told_full, true))
                };
                if first {
                    self.retry_after(FULL_RETRY, None);
                }
                news.then_some(StoreEvent::DiskFull)
            }
            Err(e) => {
                tracing::warn!(piece, error = %e, "a piece cannot be written; it is tried again");
                let (pause, news) = {
                    let queue = &mut self.state.lock().queue;
                    let failing = queue.failing.entry(piece).or_default();
                    failing.tries += 1;
                    failing.asleep = true;
                    let pause = Duration::from_secs(1 << (failing.tries - 1).min(10)).min(RETRY_AT_MOST);
                    queue.last_failure = Some(Failure::of(&e));
                    (pause, !std::mem::replace(&mut queue.told_failed, true))
                };
                self.retry_after(pause, Some(piece));
                news.then_some(StoreEvent::WriteFailed(e))
            }
        };
        if let Some(event) = event {
            self.tell(event);
        }
    }

    /// Tries a failed piece again after a while, or with `None` the full disk. A store that is dropped meanwhile is let go.
    fn retry_after(self: &Arc<Self>, pause: Duration, piece: Option<u32>) {
        let store = Arc::downgrade(self);
        self.runtime.spawn(async move {
            tokio::time::sleep(pause).await;
            let Some(store) = store.upgrade() else { return };
            {
                let queue = &mut store.state.lock().queue;
                match piece {
                    Some(piece) => queue.wake(piece),
                    None => queue.full = false,
                }
            }
            store.start_writers();
        });
    }

    /// Tries everything that could not be written, without waiting for its time.
    pub(super) fn retry_writes_now(self: &Arc<Self>) {
        {
            let queue = &mut self.state.lock().queue;
            queue.full = false;
            let failing: Vec<u32> = queue.failing.keys().copied().collect();
            failing.into_iter().for_each(|piece| queue.wake(piece));
        }
        self.start_writers();
    }

    pub(super) fn start_writers(self: &Arc<Self>) {
        for _ in 0..WRITERS {
            let store = self.clone();
            self.runtime.spawn_blocking(move || store.write_some());
        }
    }
}
