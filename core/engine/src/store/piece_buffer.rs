//! Collects the blocks of one piece in a buffer, with the sender of each. Also remembers pieces that
//! failed, to find out later which peer lied.

use bytes::BytesMut;
use parking_lot::Mutex;
use playswarm_logic::{BLOCK_BYTES, Bits, Layout, PieceIndex};
use playswarm_proto::sha1::{Digest, sha1};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};

/// A piece that is incomplete. Each has its own lock, so copies into different pieces do not
/// wait for each other.
///
/// The buffer of a large piece grows with its blocks (see [`Layout::buffer_bytes`]). Of some
/// pieces only the beginning is fetched, in case of a seek to there.
pub(super) struct PieceBuffer {
    layout: Layout,
    piece: PieceIndex,
    /// The attempt at the piece to which the blocks belong (see
    /// [`playswarm_logic::torrent::Ticket`]).
    pub(super) generation: u32,
    /// First of the last blocks that are known to be zeros; no peer sent these.
    known_from: u32,
    /// Bytes of memory in use.
    held: AtomicU32,
    inner: Mutex<Inner>,
}

struct Inner {
    /// Empty before the first block and after the piece was taken.
    buffer: BytesMut,
    got: Bits,
    givers: Vec<u32>,
    closed: bool,
}

/// All blocks of a piece, and the sender of each.
pub(super) struct Whole {
    pub(super) buffer: BytesMut,
    /// The sender of each block, without the last blocks that no peer sent.
    pub(super) givers: Vec<u32>,
    /// Whether the last blocks are known zeros that no peer sent.
    pub(super) known: bool,
}

/// The result of adding a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filled {
    More,
    Complete,
    Ignored,
}

impl PieceBuffer {
    /// Creates an empty piece_buffer. With `known_from`, the blocks from that one on are zeros.
    pub(super) fn new(layout: Layout, piece: PieceIndex, generation: u32, known_from: Option<u32>) -> PieceBuffer {
        let blocks = layout.blocks_of(piece);
        let givers = vec![0; blocks as usize];
        let known_from = known_from.unwrap_or(blocks);
        let mut got = Bits::new(blocks);
        (known_from..blocks).for_each(|block| {
            got.set(block, true);
        });
        let inner = Inner { buffer: BytesMut::new(), got, givers, closed: false };
        let held = layout.buffer_bytes(piece, 1).into();
        PieceBuffer { layout, piece, generation, known_from, held, inner: Mutex::new(inner) }
    }

    /// Returns the bytes of memory in use.
    pub(super) fn held_bytes(&self) -> u64 {
        u64::from(self.held.load(Ordering::Relaxed))
    }

    /// Copies a block in. Calls `allocate` for a buffer of the whole piece when one is needed. A
    /// block that is already present stays.
    pub(super) fn fill(&self, block: u32, data: &[u8], giver: u32, allocate: impl FnOnce() -> BytesMut) -> Filled {
        let mut inner = self.inner.lock();
        if inner.closed || inner.got.get(block) || block >= inner.got.len() {
            return Filled::Ignored;
        }
        let needed = self.layout.buffer_bytes(self.piece, block + 1);
        if inner.buffer.len() < needed as usize {
            let whole = needed == self.layout.bytes_of(self.piece);
            let mut buffer = if whole { allocate() } else { BytesMut::zeroed(needed as usize) };
            buffer[..inner.buffer.len()].copy_from_slice(&inner.buffer);
            inner.buffer = buffer;
            self.held.store(needed, Ordering::Relaxed);
        }
        let at = block as usize * BLOCK_BYTES as usize;
        let Some(into) = inner.buffer.get_mut(at..at + data.len()) else { return Filled::Ignored };
        into.copy_from_slice(data);
        inner.givers[block as usize] = giver;
        inner.got.set(block, true);
        if inner.got.is_full() { Filled::Complete } else { Filled::More }
    }

    /// Takes the piece if it is complete; it then accepts no further blocks.
    pub(super) fn take_whole(&self) -> Option<Whole> {
        let mut inner = self.inner.lock();
        if inner.closed || !inner.got.is_full() {
            return None;
        }
        inner.closed = true;
        let (mut buffer, mut givers) = (std::mem::take(&mut inner.buffer), std::mem::take(&mut inner.givers));
        let known = self.known_from < inner.got.len();
        if known {
            let at = self.known_from as usize * BLOCK_BYTES as usize;
            buffer.truncate(at);
            buffer.resize(self.layout.bytes_of(self.piece) as usize, 0);
            givers.truncate(self.known_from as usize);
        }
        Some(Whole { buffer, givers, known })
    }

    /// Abandons the piece and returns its buffer, to be reused if it has the whole length; `None`
    /// where the piece was taken before.
    pub(super) fn abandon(&self) -> Option<BytesMut> {
        let mut inner = self.inner.lock();
        if inner.closed {
            return None;
        }
        inner.closed = true;
        Some(std::mem::take(&mut inner.buffer))
    }

    /// Returns the blocks that are present.
    #[cfg(test)]
    pub(super) fn got(&self) -> Bits {
        self.inner.lock().got.clone()
    }
}

/// Most blocks of failed pieces that are remembered; 65,536 are about 2 MiB of digests.
const BLAME_LIMIT_BLOCKS: usize = 65_536;

/// Pieces that failed: a digest and the sender of each block. When the piece is verified at last,
/// the senders of other bytes lied.
#[derive(Default)]
pub(super) struct Blame {
    failed: VecDeque<Failed>,
    blocks: usize,
}

struct Failed {
    piece: u32,
    blocks: Vec<(u32, Digest)>,
}

/// Returns the digest of each block.
pub(super) fn block_digests(piece: &[u8]) -> impl Iterator<Item = Digest> + '_ {
    piece.chunks(BLOCK_BYTES as usize).map(sha1)
}

/// Returns each giver once, in ascending order.
pub(super) fn distinct(mut givers: Vec<u32>) -> Vec<u32> {
    givers.sort_unstable();
    givers.dedup();
    givers
}

impl Blame {
    /// Remembers a failed piece; beyond the limit the oldest are forgotten.
    pub(super) fn remember(&mut self, piece: u32, blocks: Vec<(u32, Digest)>) {
        self.blocks += blocks.len();
        self.failed.push_back(Failed { piece, blocks });
        while self.blocks > BLAME_LIMIT_BLOCKS
            && let Some(oldest) = self.failed.pop_front()
        {
            self.blocks -= oldest.blocks.len();
        }
    }

    pub(super) fn knows(&self, piece: u32) -> bool {
        self.failed.iter().any(|f| f.piece == piece)
    }

    /// Compares the piece's failed attempts with the correct digests. Returns each sender of other
    /// bytes once, and forgets the piece.
    pub(super) fn resolve(&mut self, piece: u32, right: &[Digest]) -> Vec<u32> {
        let mut liars = Vec::new();
        self.failed.retain(|failed| {
            if failed.piece != piece {
                return true;
            }
            let wrong = failed.blocks.iter().zip(right).filter(|((_, was), is)| was != *is);
            liars.extend(wrong.map(|((giver, _), _)| *giver));
            self.blocks -= failed.blocks.len();
            false
        });
        distinct(liars)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blame_is_bounded_and_the_oldest_goes_first() {
        let mut blame = Blame::default();
        for piece in 0..100 {
            blame.remember(piece, vec![(1, [0; 20]); 1024]);
        }
        assert!(blame.blocks <= BLAME_LIMIT_BLOCKS);
        assert!(!blame.knows(0) && blame.knows(99));
        assert_eq!(blame.resolve(99, &[[1; 20]; 1024]), [1]);
        assert!(!blame.knows(99));
    }

    #[test]
    fn a_peer_that_sent_right_bytes_of_a_failed_piece_is_no_liar() {
        let mut blame = Blame::default();
        blame.remember(3, vec![(7, [1; 20]), (8, [2; 20])]);
        blame.remember(3, vec![(9, [9; 20]), (7, [2; 20])]);
        assert_eq!(blame.resolve(3, &[[1; 20], [2; 20]]), [9]);
    }
}
