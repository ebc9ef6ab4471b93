//! The geometry of a torrent: pieces, blocks and bytes.

use crate::{BLOCK_BYTES, Bits};
use std::ops::Range;

/// The number of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PieceIndex(pub u32);

/// A block: its piece and its number within that piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockRef {
    /// The piece that contains the block.
    pub piece: PieceIndex,
    /// Number of the block within the piece; its first byte is at `block * BLOCK_BYTES`.
    pub block: u32,
}

/// The lengths of a torrent and of its pieces, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    total: u64,
    piece: u32,
}

impl Layout {
    /// Creates a layout. Returns `None` unless both lengths are above zero and there are at most
    /// `u32::MAX` pieces.
    pub fn new(total_bytes: u64, piece_bytes: u32) -> Option<Layout> {
        if total_bytes == 0 || piece_bytes == 0 || total_bytes.div_ceil(u64::from(piece_bytes)) > u64::from(u32::MAX) {
            return None;
        }
        Some(Layout { total: total_bytes, piece: piece_bytes })
    }

    /// Returns the length of the torrent, bytes.
    pub fn total_bytes(&self) -> u64 {
        self.total
    }

    /// Returns the length of every piece except the last, bytes.
    pub fn piece_bytes(&self) -> u32 {
        self.piece
    }

    /// Returns the number of pieces.
    pub fn pieces(&self) -> u32 {
        // `new` made sure that it fits.
        self.total.div_ceil(u64::from(self.piece)) as u32
    }

    /// Returns the offset of a piece from the start of the torrent, bytes.
    pub fn start_of(&self, piece: PieceIndex) -> u64 {
        u64::from(piece.0) * u64::from(self.piece)
    }

    /// Returns the length of a piece in bytes; the last may be short. Returns 0 past the end.
    pub fn bytes_of(&self, piece: PieceIndex) -> u32 {
        let start = self.start_of(piece);
        // At most `self.piece`, so it fits.
        self.total.saturating_sub(start).min(u64::from(self.piece)) as u32
    }

    /// Returns the number of blocks of a piece; 0 past the end.
    pub fn blocks_of(&self, piece: PieceIndex) -> u32 {
        self.bytes_of(piece).div_ceil(BLOCK_BYTES)
    }

    /// Returns the memory for a piece whose first `blocks` blocks arrive from the front.
    /// For large pieces it is an eighth, a quarter, a half or all of the piece.
    pub fn buffer_bytes(&self, piece: PieceIndex, blocks: u32) -> u32 {
        /// Length below which the buffer of a piece has its full size at once.
        const SMALL: u32 = 1 << 20;
        let whole = self.bytes_of(piece);
        let here = u64::from(blocks) * u64::from(BLOCK_BYTES);
        let parts = [8, 4, 2].into_iter().map(|share| whole.div_ceil(share).next_multiple_of(BLOCK_BYTES));
        parts.into_iter().find(|part| whole > SMALL && here <= u64::from(*part)).unwrap_or(whole)
    }

    /// Returns the length of a block in bytes; 0 past the end.
    pub fn block_bytes(&self, block: BlockRef) -> u32 {
        let begin = u64::from(block.block) * u64::from(BLOCK_BYTES);
        u64::from(self.bytes_of(block.piece)).saturating_sub(begin).min(u64::from(BLOCK_BYTES)) as u32
    }

    /// Returns the piece that contains this byte; the last one past the end.
    pub fn piece_at(&self, byte: u64) -> PieceIndex {
        PieceIndex((byte.min(self.total - 1) / u64::from(self.piece)) as u32)
    }

    /// Returns the pieces that contain these bytes; none for an empty range.
    pub fn pieces_of(&self, bytes: Range<u64>) -> impl Iterator<Item = PieceIndex> + use<> {
        let end = if bytes.is_empty() { 0 } else { self.piece_at(bytes.end - 1).0 + 1 };
        (self.piece_at(bytes.start).0..end).map(PieceIndex)
    }

    /// Returns the number of contiguous bytes from `position` on whose pieces are all in `have`, at
    /// most `most`.
    pub fn bytes_here(&self, have: &Bits, position: u64, most: u64) -> u64 {
        let end = position.saturating_add(most).min(self.total);
        let mut to = position;
        while to < end && have.get(self.piece_at(to).0) {
            to = self.start_of(PieceIndex(self.piece_at(to).0 + 1)).min(end);
        }
        to - position
    }

    /// Returns the block that begins at `begin` in `piece` and has `length` bytes; `None` if no
    /// block matches exactly.
    pub fn block_from_wire(&self, piece: u32, begin: u32, length: u32) -> Option<BlockRef> {
        let block = BlockRef { piece: PieceIndex(piece), block: begin / BLOCK_BYTES };
        (begin.is_multiple_of(BLOCK_BYTES) && length > 0 && self.block_bytes(block) == length).then_some(block)
    }
}
