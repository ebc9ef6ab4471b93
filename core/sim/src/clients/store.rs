//! A node's pieces: the verified ones and the incomplete ones.

use playswarm_logic::torrent::{Stored, Ticket};
use playswarm_logic::{Bits, Layout, PeerKey, PieceIndex};
use std::collections::{BTreeMap, BTreeSet};

/// An incomplete piece.
struct Partial {
    generation: u32,
    got: Bits,
    /// The peers that gave its blocks.
    givers: BTreeSet<PeerKey>,
    /// Whether one of its blocks is wrong.
    bad: bool,
    hashing: bool,
}

/// The result of hashing a piece.
pub(super) enum Hash {
    Right,
    /// The peers that gave the blocks.
    Wrong(Vec<PeerKey>),
}

pub(super) struct Store {
    layout: Layout,
    pub(super) have: Bits,
    partial: BTreeMap<u32, Partial>,
}

impl Store {
    pub(super) fn new(layout: Layout, full: bool) -> Store {
        let have = if full { Bits::full(layout.pieces()) } else { Bits::new(layout.pieces()) };
        Store { layout, have, partial: BTreeMap::new() }
    }

    /// Stores a block. Returns the result, and whether its piece is complete now.
    pub(super) fn put(&mut self, ticket: Ticket, giver: PeerKey, bad: bool) -> (Stored, bool) {
        let Ticket { block, generation } = ticket;
        let piece = block.piece.0;
        if self.have.get(piece) {
            return (Stored::Ignored, false);
        }
        if self.partial.get(&piece).is_some_and(|p| p.generation < generation && !p.hashing) {
            self.partial.remove(&piece);
        }
        let blocks = self.layout.blocks_of(block.piece);
        let partial = self.partial.entry(piece).or_insert_with(|| Partial {
            generation,
            got: Bits::new(blocks),
            givers: BTreeSet::new(),
            bad: false,
            hashing: false,
        });
        if partial.generation != generation || partial.hashing || !partial.got.set(block.block, true) {
            return (Stored::Ignored, false);
        }
        partial.givers.insert(giver);
        partial.bad |= bad;
        partial.hashing = partial.got.is_full();
        (Stored::Kept, partial.hashing)
    }

    /// Forgets the blocks of attempts that are older than `generation`.
    pub(super) fn drop_blocks(&mut self, piece: PieceIndex, generation: u32) {
        if self.partial.get(&piece.0).is_some_and(|p| p.generation < generation && !p.hashing) {
            self.partial.remove(&piece.0);
        }
    }

    /// Hashes a complete piece.
    pub(super) fn hashed(&mut self, piece: u32) -> Option<Hash> {
        let partial = self.partial.remove(&piece)?;
        if partial.bad {
            return Some(Hash::Wrong(partial.givers.into_iter().collect()));
        }
        self.have.set(piece, true);
        Some(Hash::Right)
    }
}
