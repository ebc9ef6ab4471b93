//! Limits the memory of incomplete pieces: decides which may be begun, and which are given up for
//! more urgent ones.

use super::Picker;
use super::api::Output;
use super::demand::Class;
use super::piece::Partial;
use crate::{BlockRef, PeerKey, PieceIndex};

/// Number of first demands that may always be begun: the first, and one more while it is hashed.
const ALWAYS: usize = 2;
/// Divisor of the memory limit: this share is kept free for them.
const SPARE: u64 = 4;

impl Picker {
    /// Reserves the memory of a piece, which is the `rank`th demand. Returns whether it may be
    /// requested. If there is too little, the first demands get memory as they grow, and less
    /// urgent pieces are given up for them.
    pub(super) fn reserve(&mut self, piece: u32, rank: usize) -> bool {
        let whole = u64::from(self.layout.bytes_of(PieceIndex(piece)));
        let more = match self.partial.get(&piece) {
            Some(part) if !part.ahead_of_time => return true,
            Some(part) => whole - part.reserved,
            None => whole,
        };
        // Later demands leave room for the next seek. Otherwise a seek would drop received blocks.
        let spare = if rank < ALWAYS { 0 } else { self.config.max_partial_bytes / SPARE };
        if self.has_room(more + spare) || self.partial.is_empty() {
            if let Some(part) = self.partial.get_mut(&piece) {
                (part.ahead_of_time, part.reserved) = (false, whole);
                self.partial_bytes += more;
            }
            return true;
        }
        if rank >= ALWAYS {
            return false;
        }
        let index = PieceIndex(piece);
        let (next, reserved) = match self.partial.get_mut(&piece) {
            Some(part) => (part.next_open().unwrap_or(0), part.reserved),
            None => (0, 0),
        };
        let needed = u64::from(self.layout.buffer_bytes(index, next + 1));
        if !self.make_room(needed.saturating_sub(reserved), piece) {
            return false;
        }
        if !self.partial.contains_key(&piece) {
            self.begin(index, true);
        }
        true
    }

    /// Returns whether this many further bytes may be reserved.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        self.partial_bytes + bytes <= self.config.max_partial_bytes
    }

    /// Gives up the pieces with the fewest received blocks until there is room for this one.
    fn make_room(&mut self, more: u64, for_piece: u32) -> bool {
        while !self.has_room(more) {
            let near: Vec<u32> = self.demand.iter().take(ALWAYS).map(|w| w.piece).collect();
            let least = self
                .partial
                .iter()
                .filter(|(n, p)| **n != for_piece && !near.contains(n) && p.missing > 0)
                .min_by_key(|(_, p)| p.blocks.len() as u32 - p.missing)
                .map(|(n, _)| *n);
            let Some(least) = least else { return true };
            if let Some(part) = self.partial.get(&least) {
                let got = part.blocks.iter().enumerate().take(part.known_from as usize).filter(|(_, b)| b.got);
                let bytes = |n| self.layout.block_bytes(BlockRef { piece: PieceIndex(least), block: n as u32 });
                self.counters.forgotten_bytes += got.map(|(n, _)| u64::from(bytes(n))).sum::<u64>();
            }
            self.drop_partial(least);
            self.out.push_back(Output::Forget(PieceIndex(least)));
        }
        true
    }

    /// Reserves memory for a block that is about to be requested.
    pub(super) fn reserve_block(&mut self, block: BlockRef) {
        let piece = block.piece;
        match self.partial.get_mut(&piece.0) {
            Some(part) if part.ahead_of_time => {
                let needed = u64::from(self.layout.buffer_bytes(piece, block.block + 1));
                let more = needed.saturating_sub(part.reserved);
                part.reserved += more;
                self.partial_bytes += more;
            }
            Some(_) => {}
            None => self.begin(piece, false),
        }
    }

    /// Releases the memory that unwanted pieces reserve for missing blocks. They keep their
    /// received blocks.
    pub(super) fn release_reserved(&mut self, unwanted: impl Fn(u32) -> bool) {
        for (piece, part) in self.partial.iter_mut().filter(|(piece, part)| part.missing > 0 && unwanted(**piece)) {
            let needed = u64::from(self.layout.buffer_bytes(PieceIndex(*piece), part.reach()));
            self.partial_bytes -= part.reserved.saturating_sub(needed);
            part.reserved = part.reserved.min(needed);
            part.ahead_of_time = true;
        }
    }

    /// Begins a piece. Ahead of time, only the memory of its front is reserved.
    pub(super) fn begin(&mut self, piece: PieceIndex, ahead_of_time: bool) {
        let whole = self.layout.bytes_of(piece);
        let reserved = u64::from(if ahead_of_time { self.layout.buffer_bytes(piece, 1) } else { whole });
        let mut part = Partial::new(self.layout.blocks_of(piece), reserved);
        part.ahead_of_time = ahead_of_time;
        if let Some(from) = self.known_tails.get(&piece.0) {
            part.know_tail(*from);
        }
        self.partial_bytes += reserved;
        self.partial.insert(piece.0, part);
    }

    /// Keeps a block that arrives after its piece was given up, if there is room.
    pub(super) fn begin_late(&mut self, block: BlockRef) {
        if !self.partial.contains_key(&block.piece.0) && self.has_room_for(block) {
            self.begin(block.piece, true);
        }
    }

    pub(super) fn has_room_for(&self, block: BlockRef) -> bool {
        let needed = self.layout.buffer_bytes(block.piece, block.block + 1);
        !self.have.get(block.piece.0) && self.has_room(u64::from(needed))
    }

    /// Returns the memory that seek targets may still take, in bytes; `None` if they have too much.
    pub(super) fn room_for_targets(&self) -> Option<u64> {
        let limit = self.config.max_partial_bytes;
        let room_for_others = ALWAYS as u64 * u64::from(self.layout.piece_bytes());
        let limit = (limit / 2).min(limit.saturating_sub(room_for_others));
        limit.checked_sub(self.partial.values().filter(|p| p.ahead_of_time).map(|p| p.reserved).sum())
    }

    /// Whether the front of a seek target may grow by a block, with this memory for all of them.
    pub(super) fn may_grow(&self, piece: u32, room: Option<u64>) -> bool {
        let more = match self.partial.get(&piece) {
            Some(part) if !part.ahead_of_time => 0,
            part => {
                let next = self.layout.blocks_of(PieceIndex(piece)) - self.open_blocks(piece) + 1;
                let reserved = part.map_or(0, |part| part.reserved);
                u64::from(self.layout.buffer_bytes(PieceIndex(piece), next)).saturating_sub(reserved)
            }
        };
        room.is_some_and(|room| more <= room) && self.has_room(more)
    }

    /// Returns a block of a seek target. All targets grow together, so that each has as much as
    /// possible when a seek comes. Of the targets whose front may grow, the one with the fewest
    /// blocks is chosen; otherwise the one with the most, to complete it.
    pub(super) fn pick_target(&mut self, peer: PeerKey) -> Option<BlockRef> {
        let room = self.room_for_targets();
        let p = self.peers.get(&peer)?;
        let mut least: Option<(f64, u32)> = None;
        let mut most: Option<(f64, u32)> = None;
        let targets = self.demand.iter().skip_while(|w| w.class < Class::Target);
        for w in targets.take_while(|w| w.class == Class::Target) {
            let (piece, open) = (w.piece, self.open_blocks(w.piece));
            if open == 0 || !self.may_take(peer, p, piece) || !self.is_within_horizon(p, w) {
                continue;
            }
            let part = self.partial.get(&piece);
            let share = part.map_or(1.0, Partial::open_share);
            if least.is_none_or(|(most_open, _)| share > most_open) && self.may_grow(piece, room) {
                least = Some((share, piece));
            }
            if part.is_some() && most.is_none_or(|(least_open, _)| share < least_open) {
                most = Some((share, piece));
            }
        }
        if let Some((_, piece)) = least {
            if !self.partial.contains_key(&piece) {
                self.begin(PieceIndex(piece), true);
            }
            return self.next_open(piece);
        }
        let (_, piece) = most?;
        if self.reserve(piece, usize::MAX) { self.next_open(piece) } else { None }
    }
}
