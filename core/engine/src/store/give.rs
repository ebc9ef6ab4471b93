//! Reads blocks for uploads to peers. These reads use neither the cache nor the queue of the
//! readers. A reader therefore never waits behind an upload, and uploads evict nothing that a
//! reader uses.
//!
//! A piece is hashed, one part at a time, before the first of its blocks is uploaded, and then once
//! per [`TRUSTED_FOR`]. Otherwise each block of a piece that is not in memory would cost as much as
//! the whole piece.

use super::Store;
use super::state::State;
use crate::error::{Error, Result};
use bytes::{Bytes, BytesMut};
use playswarm_logic::PieceIndex;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// Time for which a piece on disk counts as unchanged for uploads. It limits how long peers may get
/// blocks of a file that another program has changed.
const TRUSTED_FOR: Duration = Duration::from_secs(600);
/// Most pieces that are hashed for uploads at once.
const CHECKS: usize = 1;
/// Most blocks that are read for uploads at once.
const READS: usize = 4;

/// Permits for reads on behalf of peers.
pub(super) struct Giving {
    checks: Arc<Semaphore>,
    reads: Arc<Semaphore>,
}

impl Default for Giving {
    fn default() -> Giving {
        Giving { checks: Arc::new(Semaphore::new(CHECKS)), reads: Arc::new(Semaphore::new(READS)) }
    }
}

#[cfg(test)]
impl Giving {
    /// Takes all permits, so that every read for peers waits.
    #[allow(clippy::unwrap_used)]
    pub(super) fn take_all_turns(&self) -> Vec<tokio::sync::OwnedSemaphorePermit> {
        let all = |turns: &Arc<Semaphore>, n| turns.clone().try_acquire_many_owned(n).unwrap();
        vec![all(&self.checks, CHECKS as u32), all(&self.reads, READS as u32)]
    }
}

/// The location of a piece.
enum Whereabouts {
    Cached(Bytes),
    /// On disk; whether it was hashed recently.
    Disk(bool),
    Gone,
}

impl State {
    /// Notes that the piece on disk was hashed, or that we wrote it.
    pub(super) fn trust(&mut self, piece: u32) {
        self.forget_trust();
        let in_files = self.source_of(piece).is_some();
        self.trusted.set(piece, in_files);
    }

    fn forget_trust(&mut self) {
        if self.trusted_since.elapsed() > TRUSTED_FOR {
            self.trusted = playswarm_logic::Bits::new(self.trusted.len());
            self.trusted_since = Instant::now();
        }
    }
}

impl Store {
    /// Returns a part of a verified piece, for a peer's request; `None` where the piece is not
    /// present.
    ///
    /// # Errors
    /// As [`Store::piece`].
    pub(crate) async fn block(self: &Arc<Self>, piece: PieceIndex, begin: u32, length: u32) -> Result<Option<Bytes>> {
        let end = begin.checked_add(length).filter(|end| length > 0 && *end <= self.torrent.layout.bytes_of(piece));
        let Some(end) = end.filter(|_| !self.state.lock().is_sealed()) else { return Ok(None) };
        let part = |whole: Bytes| whole.slice(begin as usize..end as usize);
        match self.whereabouts(piece) {
            Whereabouts::Cached(whole) => return Ok(Some(part(whole))),
            Whereabouts::Gone => return Ok(None),
            Whereabouts::Disk(true) => {}
            Whereabouts::Disk(false) => {
                if !self.check_for_peers(piece).await? {
                    // Reading it as a reader does investigates the fault and informs the driver.
                    return Ok(self.piece(piece).await?.map(part));
                }
            }
        }
        let store = self.clone();
        let turn = self.giving.reads.clone().acquire_owned().await.map_err(|_| Error::Closed)?;
        let read = move || {
            let _turn = turn;
            // Prevents eviction in the meantime.
            let _disk = store.disk.read();
            let source = store.state.lock().source_of(piece.0);
            source.map(|source| {
                let mut block = BytesMut::zeroed(length as usize);
                let start = store.torrent.layout.start_of(piece) + u64::from(begin);
                store.files.read(start, &mut block, source).map(|()| block.freeze())
            })
        };
        match self.runtime.spawn_blocking(read).await {
            Ok(Some(Ok(block))) => Ok(Some(block)),
            Ok(Some(Err(_))) => Ok(self.piece(piece).await?.map(part)),
            Ok(None) => Ok(None),
            Err(_) => Err(Error::Closed),
        }
    }

    fn whereabouts(&self, piece: PieceIndex) -> Whereabouts {
        if let Some(whole) = self.try_piece(piece) {
            return Whereabouts::Cached(whole);
        }
        let mut state = self.state.lock();
        if state.source_of(piece.0).is_none() || state.closed {
            return Whereabouts::Gone;
        }
        state.forget_trust();
        state.touch(piece.0);
        Whereabouts::Disk(state.trusted.get(piece.0))
    }

    /// Hashes a piece on disk when a permit is free, unless another task has done so in the
    /// meantime. Returns whether the piece is correct.
    async fn check_for_peers(self: &Arc<Self>, piece: PieceIndex) -> Result<bool> {
        let turn = self.giving.checks.clone().acquire_owned().await.map_err(|_| Error::Closed)?;
        match self.whereabouts(piece) {
            Whereabouts::Cached(_) | Whereabouts::Disk(true) => return Ok(true),
            Whereabouts::Gone => return Ok(false),
            Whereabouts::Disk(false) => {}
        }
        let store = self.clone();
        let check = move || {
            let _turn = turn;
            let _disk = store.disk.read();
            let Some(source) = store.state.lock().source_of(piece.0) else { return false };
            let right = store.is_right(piece.0, source);
            if right {
                store.state.lock().trust(piece.0);
                store.proven(piece.0);
            }
            right
        };
        self.runtime.spawn_blocking(check).await.map_err(|_| Error::Closed)
    }
}
