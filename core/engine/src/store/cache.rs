//! Caches verified pieces in memory, from which readers and peers are served. Unwritten pieces are
//! pinned. [`evict::from_memory`] chooses which of the others to evict when room is needed.

use bytes::Bytes;
use playswarm_logic::PieceIndex;
use playswarm_logic::evict::{self, Distance, Held, Reader};
use std::collections::HashMap;

#[derive(Default)]
pub(super) struct Cache {
    pieces: HashMap<u32, Entry>,
    bytes: u64,
    pinned_bytes: u64,
    pinned: u32,
    clock: u64,
    /// Bytes that may be evicted, as left by the last [`Cache::drop_far`].
    swept: u64,
}

struct Entry {
    bytes: Bytes,
    last_use: u64,
    pinned: bool,
}

impl Cache {
    /// Returns the bytes of all pieces.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the bytes of pinned pieces, which may not be evicted yet.
    pub(super) fn pinned_bytes(&self) -> u64 {
        self.pinned_bytes
    }

    /// Returns the number of pinned pieces.
    pub(super) fn pinned(&self) -> u32 {
        self.pinned
    }

    /// Returns a counter that grows with each use.
    pub(super) fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    pub(super) fn insert(&mut self, piece: u32, bytes: Bytes, pinned: bool) {
        let length = bytes.len() as u64;
        self.remove(piece);
        let last_use = self.tick();
        self.bytes += length;
        if pinned {
            self.pinned_bytes += length;
            self.pinned += 1;
        }
        self.pieces.insert(piece, Entry { bytes, last_use, pinned });
    }

    /// Returns the piece and counts it as used.
    pub(super) fn get(&mut self, piece: u32) -> Option<Bytes> {
        let now = self.tick();
        let entry = self.pieces.get_mut(&piece)?;
        entry.last_use = now;
        Some(entry.bytes.clone())
    }

    /// Returns whether the piece is cached.
    pub(super) fn has(&self, piece: u32) -> bool {
        self.pieces.contains_key(&piece)
    }

    /// Returns whether the piece is cached and may not be evicted yet.
    pub(super) fn is_pinned(&self, piece: u32) -> bool {
        self.pieces.get(&piece).is_some_and(|e| e.pinned)
    }

    /// Returns the piece without counting it as used.
    pub(super) fn peek(&self, piece: u32) -> Option<Bytes> {
        self.pieces.get(&piece).map(|e| e.bytes.clone())
    }

    /// Marks the piece as on disk, so that it may be evicted.
    pub(super) fn unpin(&mut self, piece: u32) {
        if let Some(entry) = self.pieces.get_mut(&piece)
            && entry.pinned
        {
            entry.pinned = false;
            self.pinned_bytes -= entry.bytes.len() as u64;
            self.pinned -= 1;
        }
    }

    pub(super) fn remove(&mut self, piece: u32) -> Option<Bytes> {
        self.unpin(piece);
        let entry = self.pieces.remove(&piece)?;
        self.bytes -= entry.bytes.len() as u64;
        Some(entry.bytes)
    }

    /// Evicts pieces until at most `limit` bytes remain, and some more where there are many, so
    /// that this does not run for each piece. Returns the evicted buffers, to be freed or reused
    /// outside of any lock.
    ///
    /// Pinned pieces are evicted only where `unpin` allows it, after the others. The piece that
    /// `unpin` names always stays.
    pub(super) fn shrink(&mut self, limit: u64, readers: &[Reader], unpin: (bool, Option<u32>)) -> Vec<(u32, Bytes)> {
        if self.bytes <= limit {
            return Vec::new();
        }
        // With few pieces a scan is cheap, and evicting one too many would be noticed.
        let more = if self.pieces.len() >= 64 { limit / 16 } else { 0 };
        let target = self.bytes - limit + more;
        let mut dropped = evict::from_memory(&self.held(), readers, target);
        let (may_unpin, writing) = unpin;
        if may_unpin {
            let freed: u64 = dropped.iter().filter_map(|p| self.pieces.get(&p.0)).map(|e| e.bytes.len() as u64).sum();
            let pinned = self.pieces.iter().filter(|(p, e)| e.pinned && Some(**p) != writing);
            let pinned: Vec<Held> = pinned.map(held).collect();
            dropped.extend(evict::to_discard(&pinned, readers, target.saturating_sub(freed)));
        }
        dropped.into_iter().filter_map(|p| Some((p.0, self.remove(p.0)?))).collect()
    }

    /// Evicts pieces that no reader reads soon, the least recently used first, until at most `limit`
    /// bytes of them remain. Returns the evicted buffers, as [`Hot::shrink`] does. Runs only once a
    /// quarter of the limit has come since the last time.
    pub(super) fn drop_far(&mut self, limit: u64, readers: &[Reader]) -> Vec<(u32, Bytes)> {
        let evictable = self.bytes - self.pinned_bytes;
        self.swept = self.swept.min(evictable);
        if evictable <= limit || evictable - self.swept < limit / 4 {
            return Vec::new();
        }
        let mut far = self.held();
        far.retain(|held| !matches!(evict::distance(held.piece, readers), Distance::Near(_)));
        let bytes: u64 = far.iter().map(|held| u64::from(held.bytes)).sum();
        let dropped = evict::from_memory(&far, readers, bytes.saturating_sub(limit));
        let dropped = dropped.into_iter().filter_map(|p| Some((p.0, self.remove(p.0)?))).collect();
        self.swept = self.bytes - self.pinned_bytes;
        dropped
    }

    /// Returns the pieces that may be evicted.
    pub(super) fn held(&self) -> Vec<Held> {
        self.pieces.iter().filter(|(_, e)| !e.pinned).map(held).collect()
    }
}

fn held((piece, entry): (&u32, &Entry)) -> Held {
    // A piece is at most `u32::MAX` bytes long.
    Held { piece: PieceIndex(*piece), bytes: entry.bytes.len() as u32, last_use: entry.last_use }
}
