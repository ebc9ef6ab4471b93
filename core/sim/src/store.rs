//! The viewer's pieces: the verified ones, the incomplete ones, and the giver of each block.

use playswarm_logic::{Bits, BlockRef, Layout};
use std::collections::BTreeMap;

struct Part {
    /// The giver of each block, and whether the block is wrong.
    blocks: Vec<Option<(u32, bool)>>,
    missing: u32,
}

/// The result of storing a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It was here already.
    Duplicate,
    Stored,
    /// It was the last of its piece, which is to be hashed.
    Complete,
}

/// The result of hashing a piece.
pub(crate) enum Hash {
    /// Right; these peers are now known to have sent wrong blocks of it before.
    Right(Vec<u32>),
    /// Wrong; this peer gave all blocks.
    Wrong(Option<u32>),
}

pub(crate) struct Store {
    layout: Layout,
    pub(crate) verified: Bits,
    parts: BTreeMap<u32, Part>,
    /// Wrong blocks of failed pieces. Once the piece is right, the engine identifies their givers.
    wrong: BTreeMap<u32, Vec<u32>>,
}

impl Store {
    pub(crate) fn new(layout: Layout) -> Store {
        Store { layout, verified: Bits::new(layout.pieces()), parts: BTreeMap::new(), wrong: BTreeMap::new() }
    }

    pub(crate) fn take(&mut self, block: BlockRef, peer: u32, bad: bool) -> Taken {
        if self.verified.get(block.piece.0) {
            return Taken::Duplicate;
        }
        let blocks = self.layout.blocks_of(block.piece);
        let part = self
            .parts
            .entry(block.piece.0)
            .or_insert_with(|| Part { blocks: vec![None; blocks as usize], missing: blocks });
        let slot = &mut part.blocks[block.block as usize];
        if slot.is_some() {
            return Taken::Duplicate;
        }
        *slot = Some((peer, bad));
        part.missing -= 1;
        if part.missing == 0 { Taken::Complete } else { Taken::Stored }
    }

    /// Hashes a complete piece. `None` if there is no such piece.
    pub(crate) fn hashed(&mut self, piece: u32) -> Option<Hash> {
        let part = self.parts.remove(&piece)?;
        let given: Vec<(u32, bool)> = part.blocks.iter().flatten().copied().collect();
        if given.iter().all(|&(_, bad)| !bad) {
            self.verified.set(piece, true);
            let mut liars = self.wrong.remove(&piece).unwrap_or_default();
            liars.sort_unstable();
            liars.dedup();
            return Some(Hash::Right(liars));
        }
        self.wrong.entry(piece).or_default().extend(given.iter().filter(|g| g.1).map(|g| g.0));
        let first = given[0].0;
        Some(Hash::Wrong(given.iter().all(|&(peer, _)| peer == first).then_some(first)))
    }

    /// Drops the blocks of an incomplete piece. Returns false for a complete one, which is being
    /// hashed.
    pub(crate) fn forget(&mut self, piece: u32) -> bool {
        if self.parts.get(&piece).is_some_and(|p| p.missing == 0) {
            return false;
        }
        self.parts.remove(&piece);
        true
    }

    pub(crate) fn lose(&mut self, piece: u32) {
        self.verified.set(piece, false);
    }

    /// Returns the stored blocks of that piece.
    pub(crate) fn blocks_here(&self, piece: u32) -> u32 {
        self.parts.get(&piece).map_or(0, |p| p.blocks.len() as u32 - p.missing)
    }

    /// Returns the first byte at or after `from` that cannot be read yet.
    pub(crate) fn readable_to(&self, from: u64, end: u64) -> u64 {
        let mut at = from;
        while at < end {
            let piece = self.layout.piece_at(at);
            if !self.verified.get(piece.0) {
                return at;
            }
            at = self.layout.start_of(piece) + u64::from(self.layout.bytes_of(piece));
        }
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use playswarm_logic::PieceIndex;

    fn block(piece: u32, block: u32) -> BlockRef {
        BlockRef { piece: PieceIndex(piece), block }
    }

    #[test]
    #[allow(clippy::unwrap_used)]
    fn a_liar_is_known_once_the_piece_is_right() {
        let mut store = Store::new(Layout::new(65536, 32768).unwrap());
        assert_eq!(store.take(block(0, 0), 7, false), Taken::Stored);
        assert_eq!(store.take(block(0, 0), 8, false), Taken::Duplicate);
        assert_eq!(store.take(block(0, 1), 8, true), Taken::Complete);
        assert!(matches!(store.hashed(0), Some(Hash::Wrong(None))));
        assert_eq!(store.readable_to(0, 65536), 0);
        store.take(block(0, 0), 7, false);
        store.take(block(0, 1), 7, false);
        assert!(matches!(store.hashed(0), Some(Hash::Right(liars)) if liars == [8]));
        assert_eq!(store.readable_to(10, 65536), 32768);
    }
}
