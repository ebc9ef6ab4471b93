//! The hot window: verified pieces in memory, from which readers and peers are served. Pieces that are not written yet
//! are pinned; the others go by [`retain::drop_from_memory`] when room is needed.

use bytes::{Bytes, BytesMut};
use playswarm_logic::PieceIndex;
use playswarm_logic::retain::{self, Held, Reader};
use std::collections::HashMap;

#[derive(Default)]
pub(super) struct Hot {
    pieces: HashMap<u32, Entry>,
    bytes: u64,
    pinned_bytes: u64,
    pinned: u32,
    clock: u64,
}

struct Entry {
    bytes: Bytes,
    last_use: u64,
    pinned: bool,
}

impl Hot {
    /// Bytes of all pieces.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes of those that may not go yet.
    pub(super) fn pinned_bytes(&self) -> u64 {
        self.pinned_bytes
    }

    /// How many may not go yet.
    pub(super) fn pinned(&self) -> u32 {
        self.pinned
    }

    /// A count that grows with each use.
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

    /// The piece, which counts as used.
    pub(super) fn get(&mut self, piece: u32) -> Option<Bytes> {
        let now = self.tick();
        let entry = self.pieces.get_mut(&piece)?;
        entry.last_use = now;
        Some(entry.bytes.clone())
    }

    /// Whether the piece is here.
    pub(super) fn has(&self, piece: u32) -> bool {
        self.pieces.contains_key(&piece)
    }

    /// Whether the piece is here and may not go yet.
    pub(super) fn is_pinned(&self, piece: u32) -> bool {
        self.pieces.get(&piece).is_some_and(|e| e.pinned)
    }

    /// The piece without counting as used.
    pub(super) fn peek(&self, piece: u32) -> Option<Bytes> {
        self.pieces.get(&piece).map(|e| e.bytes.clone())
    }

    /// The piece is on disk: it may go.
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

    /// Drops pieces until `limit` bytes are kept, and some more where there are many, so that this is not done for each
    /// piece. What was dropped is handed out, to be freed or used again outside of any lock.
    ///
    /// Pinned pieces go only where `unpin` says so, after the others, and never the one that it names.
    pub(super) fn shrink(&mut self, limit: u64, readers: &[Reader], unpin: (bool, Option<u32>)) -> Vec<(u32, Bytes)> {
        if self.bytes <= limit {
            return Vec::new();
        }
        // With few pieces looking at all of them costs nothing, and one too many would be missed.
        let more = if self.pieces.len() >= 64 { limit / 16 } else { 0 };
        let target = self.bytes - limit + more;
        let mut dropped = retain::drop_from_memory(&self.held(), readers, target);
        let (may_unpin, writing) = unpin;
        if may_unpin {
            let freed: u64 = dropped.iter().filter_map(|p| self.pieces.get(&p.0)).map(|e| e.bytes.len() as u64).sum();
            let pinned = self.pieces.iter().filter(|(p, e)| e.pinned && Some(**p) != writing);
            let pinned: Vec<Held> = pinned.map(held).collect();
            dropped.extend(retain::give_up(&pinned, readers, target.saturating_sub(freed)));
        }
        dropped.into_iter().filter_map(|p| Some((p.0, self.remove(p.0)?))).collect()
    }

    /// The pieces that may go.
    pub(super) fn held(&self) -> Vec<Held> {
        self.pieces.iter().filter(|(_, e)| !e.pinned).map(held).collect()
    }
}

fn held((piece, entry): (&u32, &Entry)) -> Held {
    // A piece is at most `u32::MAX` bytes long.
    Held { piece: PieceIndex(*piece), bytes: entry.bytes.len() as u32, last_use: entry.last_use }
}

/// Buffers that were used and may be used again: a fresh one costs page faults for each of its pages.
pub(super) struct Spare {
    buffers: Vec<BytesMut>,
    length: usize,
    most: usize,
}

impl Spare {
    /// For pieces of `length` bytes, at most `limit` bytes of them and eight.
    pub(super) fn new(length: u32, limit: u64) -> Spare {
        let most = (limit / u64::from(length)).min(8) as usize;
        Spare { buffers: Vec::new(), length: length as usize, most }
    }

    pub(super) fn bytes(&self) -> u64 {
        (self.buffers.len() * self.length) as u64
    }

    /// A buffer with whatever was in it, if one is spare.
    pub(super) fn take(&mut self, length: usize) -> Option<BytesMut> {
        if length == self.length { self.buffers.pop() } else { None }
    }

    /// Keeps the buffer, or hands it back to be freed outside of the lock.
    pub(super) fn keep(&mut self, buffer: BytesMut) -> Option<BytesMut> {
        if buffer.len() == self.length && self.buffers.len() < self.most {
            self.buffers.push(buffer);
            return None;
        }
        Some(buffer)
    }
}
