//! The geometry of a torrent: pieces, blocks and bytes.

use crate::Bits;
pub use playswarm_proto::BLOCK_BYTES;
use std::ops::Range;

/// A piece's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PieceIndex(pub u32);

/// One block: the piece and the block's number within that piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockRef {
    /// The piece that the block is part of.
    pub piece: PieceIndex,
    /// The block's number within the piece; its first byte is at `block * BLOCK_BYTES`.
    pub block: u32,
}

/// Lengths of a torrent and of its pieces, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    total: u64,
    piece: u32,
}

impl Layout {
    /// `None` unless both lengths are above zero and there are at most `u32::MAX` pieces.
    pub fn new(total_bytes: u64, piece_bytes: u32) -> Option<Layout> {
        if total_bytes == 0 || piece_bytes == 0 || total_bytes.div_ceil(u64::from(piece_bytes)) > u64::from(u32::MAX) {
            return None;
        }
        Some(Layout { total: total_bytes, piece: piece_bytes })
    }

    /// All bytes of the torrent.
    pub fn total_bytes(&self) -> u64 {
        self.total
    }

    /// Bytes of every piece but the last.
    pub fn piece_bytes(&self) -> u32 {
        self.piece
    }

    /// How many pieces there are.
    pub fn pieces(&self) -> u32 {
        // `new` made sure that it fits.
        self.total.div_ceil(u64::from(self.piece)) as u32
    }

    /// Where a piece begins, in bytes from the start of the torrent.
    pub fn start_of(&self, piece: PieceIndex) -> u64 {
        u64::from(piece.0) * u64::from(self.piece)
    }

    /// Bytes of that piece (the last may be short); 0 past the end.
    pub fn bytes_of(&self, piece: PieceIndex) -> u32 {
        let start = self.start_of(piece);
        // At most `self.piece`, so it fits.
        self.total.saturating_sub(start).min(u64::from(self.piece)) as u32
    }

    /// How many blocks that piece has; 0 past the end.
    pub fn blocks_of(&self, piece: PieceIndex) -> u32 {
        self.bytes_of(piece).div_ceil(BLOCK_BYTES)
    }

    /// The memory that a piece takes while it is put together from its front, and its first `blocks` blocks are here: in
    /// large pieces an eighth, a quarter, a half or all of it.
    pub fn assembly_bytes(&self, piece: PieceIndex, blocks: u32) -> u32 {
        /// Below this, a piece is put together in memory of its whole size.
        const SMALL: u32 = 1 << 20;
        let whole = self.bytes_of(piece);
        let here = u64::from(blocks) * u64::from(BLOCK_BYTES);
        let parts = [8, 4, 2].into_iter().map(|share| whole.div_ceil(share).next_multiple_of(BLOCK_BYTES));
        parts.into_iter().find(|part| whole > SMALL && here <= u64::from(*part)).unwrap_or(whole)
    }

    /// Bytes of that block; 0 past the end.
    pub fn block_bytes(&self, block: BlockRef) -> u32 {
        let begin = u64::from(block.block) * u64::from(BLOCK_BYTES);
        u64::from(self.bytes_of(block.piece)).saturating_sub(begin).min(u64::from(BLOCK_BYTES)) as u32
    }

    /// The piece that holds this byte; the last one past the end.
    pub fn piece_at(&self, byte: u64) -> PieceIndex {
        PieceIndex((byte.min(self.total - 1) / u64::from(self.piece)) as u32)
    }

    /// The pieces that hold these bytes; none for an empty range.
    pub fn pieces_of(&self, bytes: Range<u64>) -> impl Iterator<Item = PieceIndex> + use<> {
        let end = if bytes.is_empty() { 0 } else { self.piece_at(bytes.end - 1).0 + 1 };
        (self.piece_at(bytes.start).0..end).map(PieceIndex)
    }

    /// Bytes from `position` on whose pieces are all in `have`, without a gap and `most` at most.
    pub fn bytes_here(&self, have: &Bits, position: u64, most: u64) -> u64 {
        let end = position.saturating_add(most).min(self.total);
        let mut to = position;
        while to < end && have.get(self.piece_at(to).0) {
            to = self.start_of(PieceIndex(self.piece_at(to).0 + 1)).min(end);
        }
        to - position
    }

    /// The block that begins at `begin` in `piece` and has `length` bytes, if there is just such a block.
    pub fn block_from_wire(&self, piece: u32, begin: u32, length: u32) -> Option<BlockRef> {
        let block = BlockRef { piece: PieceIndex(piece), block: begin / BLOCK_BYTES };
        (begin.is_multiple_of(BLOCK_BYTES) && length > 0 && self.block_bytes(block) == length).then_some(block)
    }
}
