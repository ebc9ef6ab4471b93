//! Enforces the disk limit: evicts watched pieces by punching holes into their files. [`evict`]
//! chooses the pieces.

use super::{Store, StoreEvent};
use crate::error::Error;
use playswarm_logic::PieceIndex;
use playswarm_logic::evict::{self, Reader};
use std::io;
use std::ops::Range;

impl Store {
    /// Returns the bytes that may still be fetched without evicting unwatched pieces; `u64::MAX`
    /// without a limit.
    ///
    /// At 0, fetch only the pieces that readers need next: more would evict pieces fetched before.
    /// The cost grows with the number of pieces on disk, so call it a few times a second at most.
    pub(crate) fn disk_room_bytes(&self) -> u64 {
        if self.options.read_only {
            return self.memory_room_bytes();
        }
        let limit = self.options.disk_limit_bytes;
        let (held, readers, used) = {
            let state = self.state.lock();
            if limit == 0 || state.cannot_punch {
                return u64::MAX;
            }
            // Pieces that wait to be written will need room, too.
            let used = state.disk_bytes + state.cache.pinned_bytes() + state.buffered_bytes();
            (state.held(), state.readers.clone(), used)
        };
        (limit + evict::watched_bytes(&held, &readers)).saturating_sub(used)
    }

    /// Returns the same for a read-only store, where pieces that are in no file are in memory only.
    fn memory_room_bytes(&self) -> u64 {
        let limit = memory_for_pieces(self.options.memory_limit_bytes);
        let (held, readers, buffered) = {
            let state = self.state.lock();
            let mut held = state.cache.held();
            held.retain(|held| state.source_of(held.piece.0).is_none());
            (held, state.readers.clone(), state.buffered_bytes())
        };
        let used: u64 = held.iter().map(|held| u64::from(held.bytes)).sum();
        (limit + evict::watched_bytes(&held, &readers)).saturating_sub(used + buffered)
    }

    /// Reserves room for a piece that is about to be written, and evicts others where the limit
    /// requires it.
    pub(super) fn make_room_on_disk(&self, bytes: u64) {
        let limit = self.options.disk_limit_bytes;
        {
            let mut state = self.state.lock();
            state.writing_bytes += bytes;
            if limit == 0 || state.cannot_punch || state.disk_bytes + state.writing_bytes <= limit {
                return;
            }
        }
        let pieces = self.forget_watched();
        if pieces.is_empty() {
            return;
        }
        // The disk may keep the holes and lose the note in a power cut, so the note is synced first.
        // Readers do not wait for this.
        if let Err(e) = self.record.sync() {
            tracing::warn!(error = %e, "the record may not be on the disk yet");
        }
        // No task reads or writes a piece during eviction.
        let _disk = self.disk.write();
        self.punch(&pieces);
    }

    /// Forgets watched pieces where the limit requires it, in the record and here. Returns them in
    /// ascending order.
    fn forget_watched(&self) -> Vec<u32> {
        let limit = self.options.disk_limit_bytes;
        let _disk = self.disk.write();
        let (held, readers, excess) = {
            let state = self.state.lock();
            let excess = (state.disk_bytes + state.writing_bytes).saturating_sub(limit);
            (state.held(), state.readers.clone(), excess)
        };
        if excess == 0 {
            return Vec::new();
        }
        let readers = self.fitting(&readers);
        // Evicts some more watched pieces, so that this does not run for each piece.
        let target = evict::watched_bytes(&held, &readers).min(excess + limit / 16).max(excess);
        let mut pieces: Vec<u32> = evict::from_disk(&held, &readers, target).into_iter().map(|p| p.0).collect();
        pieces.sort_unstable();
        // The record first: a kill in between leaves holes that no record claims.
        if let Err(e) = self.record.set_all(&pieces, false) {
            tracing::warn!(error = %e, "the record cannot be written; nothing is evicted");
            return Vec::new();
        }
        let dropped = {
            let mut state = self.state.lock();
            for &piece in &pieces {
                state.set_on_disk(piece, false);
                state.have.set(piece, false);
            }
            pieces.iter().filter_map(|p| state.cache.remove(*p)).collect()
        };
        self.recycle_all(dropped);
        pieces
    }

    /// Shrinks the readers' near windows to three quarters of the limit at most. Otherwise there
    /// might be nothing to evict.
    fn fitting(&self, readers: &[Reader]) -> Vec<Reader> {
        let pieces = self.options.disk_limit_bytes / 4 * 3 / u64::from(self.torrent.layout.piece_bytes());
        evict::fit_windows(readers, u32::try_from(pieces).unwrap_or(u32::MAX))
    }

    /// Punches holes at these pieces, which are forgotten and in ascending order. The caller holds
    /// `disk` exclusively.
    fn punch(&self, pieces: &[u32]) {
        for run in runs(pieces) {
            // A missing piece is neither on disk nor being written, and cannot be before `disk` is
            // free.
            let punched = self.files.punch(run.clone(), |neighbour| !self.state.lock().have.get(neighbour));
            if let Err(e) = punched {
                if !is_unsupported(&e) {
                    tracing::warn!(error = %e, "disk space could not be freed");
                } else {
                    let left = pieces.iter().copied().filter(|p| *p >= run.start).collect::<Vec<_>>();
                    return self.keep_after_all(&left);
                }
            }
            run.for_each(|piece| self.tell(StoreEvent::GivenBack(PieceIndex(piece))));
        }
    }

    /// Restores pieces that are still on disk because holes cannot be punched here. Forgetting them
    /// would free nothing.
    fn keep_after_all(&self, pieces: &[u32]) {
        tracing::warn!("this file system cannot punch holes: the disk limit is exceeded");
        if let Err(e) = self.record.set_all(pieces, true) {
            tracing::warn!(error = %e, "the record cannot be written");
        }
        {
            let mut state = self.state.lock();
            state.cannot_punch = true;
            for &piece in pieces {
                state.set_on_disk(piece, true);
                state.have.set(piece, true);
            }
        }
        self.tell(StoreEvent::DiskLimitUnsupported);
    }
}

/// Returns the memory for pieces that are in no file, in a read-only store. The rest is for pieces
/// that are incomplete or being read.
pub(crate) fn memory_for_pieces(memory_limit_bytes: u64) -> u64 {
    memory_limit_bytes / 2
}

fn is_unsupported(e: &Error) -> bool {
    matches!(e, Error::Storage { source, .. } if source.kind() == io::ErrorKind::Unsupported)
}

/// Returns ascending numbers as ranges without gaps.
pub(super) fn runs(pieces: &[u32]) -> impl Iterator<Item = Range<u32>> + '_ {
    pieces.chunk_by(|a, b| a + 1 == *b).map(|run| run[0]..run[run.len() - 1] + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_punched_as_one() {
        let ranges: Vec<_> = runs(&[0, 1, 2, 5, 7, 8]).collect();
        assert_eq!(ranges, [0..3, 5..6, 7..9]);
        assert_eq!(runs(&[]).count(), 0);
    }
}
