//! The memory for pieces on their way: which may be begun, and which are given up when something more urgent has no room.

use super::Picker;
use super::api::Output;
use super::piece::Partial;
use crate::{BlockRef, PieceIndex};

/// The piece needed first may always be begun, and one more while it is hashed.
const ALWAYS: usize = 2;
/// This share of the memory is kept for them.
const SPARE: u64 = 4;

impl Picker {
    /// Whether blocks of this piece may be asked for, which is the `rank`th that is needed. It gets all its memory; where there is
    /// not so much, what is needed first gets it as it grows, and room is made for that.
    pub(super) fn may_take_on(&mut self, piece: u32, rank: usize) -> bool {
        let whole = u64::from(self.layout.bytes_of(PieceIndex(piece)));
        let more = match self.partial.get(&piece) {
            Some(part) if !part.ahead_of_time => return true,
            Some(part) => whole - part.reserved,
            None => whole,
        };
        // What is needed later leaves room for where the player jumps next, or a jump would throw away what has come.
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
        let needed = u64::from(self.layout.assembly_bytes(index, next + 1));
        if !self.make_room(needed.saturating_sub(reserved), piece) {
            return false;
        }
        if !self.partial.contains_key(&piece) {
            self.begin(index, true);
        }
        true
    }

    /// Whether so many bytes more may be set aside.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        self.partial_bytes + bytes <= self.config.max_partial_bytes
    }

    /// Gives up the pieces of which least is here, until there is room for `more` bytes for this one.
    fn make_room(&mut self, more: u64, for_piece: u32) -> bool {
        while !self.has_room(more) {
            let near: Vec<u32> = self.plan.iter().take(ALWAYS).map(|w| w.piece).collect();
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

    /// Sets memory aside for a block that is about to be asked for.
    pub(super) fn set_aside(&mut self, block: BlockRef) {
        let piece = block.piece;
        match self.partial.get_mut(&piece.0) {
            Some(part) if part.ahead_of_time => {
                let needed = u64::from(self.layout.assembly_bytes(piece, block.block + 1));
                let more = needed.saturating_sub(part.reserved);
                part.reserved += more;
                self.partial_bytes += more;
            }
            Some(_) => {}
            None => self.begin(piece, false),
        }
    }

    /// The pieces that `unwanted` names keep what is here of them, and the memory for the rest is given back.
    pub(super) fn set_aside_less(&mut self, unwanted: impl Fn(u32) -> bool) {
        for (piece, part) in self.partial.iter_mut().filter(|(piece, part)| part.missing > 0 && unwanted(**piece)) {
            let needed = u64::from(self.layout.assembly_bytes(PieceIndex(*piece), part.reach()));
            self.partial_bytes -= part.reserved.saturating_sub(needed);
            part.reserved = part.reserved.min(needed);
            part.ahead_of_time = true;
        }
    }

    /// Begins a piece; ahead of time, memory is set aside only for its front.
    pub(super) fn begin(&mut self, piece: PieceIndex, ahead_of_time: bool) {
        let whole = self.layout.bytes_of(piece);
        let reserved = u64::from(if ahead_of_time { self.layout.assembly_bytes(piece, 1) } else { whole });
        let mut part = Partial::new(self.layout.blocks_of(piece), reserved);
        part.ahead_of_time = ahead_of_time;
        if let Some(from) = self.known_tails.get(&piece.0) {
            part.know_tail(*from);
        }
        self.partial_bytes += reserved;
        self.partial.insert(piece.0, part);
    }

    /// A block that comes late, after its piece was given up, is kept all the same if there is room.
    pub(super) fn welcome(&mut self, block: BlockRef) {
        if !self.partial.contains_key(&block.piece.0) && self.may_welcome(block) {
            self.begin(block.piece, true);
        }
    }

    pub(super) fn may_welcome(&self, block: BlockRef) -> bool {
        let needed = self.layout.assembly_bytes(block.piece, block.block + 1);
        !self.have.get(block.piece.0) && self.has_room(u64::from(needed))
    }
}
