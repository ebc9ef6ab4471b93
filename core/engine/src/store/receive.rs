//! Collects received blocks into verified pieces.

use super::piece_buffer::{Filled, PieceBuffer, Whole, block_digests, distinct};
use super::state::State;
use super::whole::Stage;
use super::{NEW_SIXTEENTHS, Put, Store, StoreEvent, Verdict};
#[cfg(test)]
use playswarm_logic::Bits;
use playswarm_logic::PieceIndex;
use playswarm_logic::torrent::Ticket;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Fewest pieces that may be incomplete at once, however small the memory limit is. Playback must
/// continue even with large pieces.
const PIECES_AT_LEAST: usize = 2;

impl Store {
    /// Copies a block into the attempt at its piece that the ticket names.
    ///
    /// `giver` identifies the sender, so that the caller can tell later which peer lied. A block of
    /// an older attempt is ignored. The first block of a newer attempt ends the older one.
    pub(crate) fn put_block(&self, ticket: Ticket, data: &[u8], giver: u32) -> Put {
        let Ticket { block, generation } = ticket;
        let layout = self.torrent.layout;
        if data.is_empty() || layout.block_bytes(block) as usize != data.len() {
            return Put::Ignored;
        }
        let (piece, bytes) = (block.piece.0, layout.bytes_of(block.piece) as usize);
        let piece_buffer = {
            let mut state = self.state.lock();
            if state.closed || state.have.get(piece) || state.whole == Stage::Wrong {
                return Put::Ignored;
            }
            let present = state.piece_buffers.get(&piece).cloned();
            let outdated = present.as_ref().is_some_and(|piece_buffer| piece_buffer.generation < generation);
            if outdated && !self.abandon(&mut state, block.piece) {
                // The piece is complete and being hashed.
                return Put::Ignored;
            }
            match present.filter(|_| !outdated) {
                Some(piece_buffer) if piece_buffer.generation > generation => return Put::Ignored,
                Some(piece_buffer) => piece_buffer,
                None => {
                    if self.room(&state) == 0 {
                        return Put::NoRoom;
                    }
                    let tail = state.tails.get(&block.piece).copied();
                    let piece_buffer = Arc::new(PieceBuffer::new(layout, block.piece, generation, tail));
                    state.piece_buffers.insert(piece, piece_buffer.clone());
                    let dropped = self.keep_within_memory(&mut state);
                    drop(state);
                    self.recycle_all(dropped);
                    piece_buffer
                }
            }
        };
        match piece_buffer.fill(block.block, data, giver, || self.buffer(bytes)) {
            Filled::More => Put::More,
            Filled::Complete => Put::Complete,
            Filled::Ignored => Put::Ignored,
        }
    }

    /// Returns how many more pieces may be started now; 0 when the disk is slower than the swarm.
    /// Request blocks of at most that many pieces beyond those of [`Store::incomplete`].
    pub(crate) fn room_for_pieces(&self) -> u32 {
        self.room(&self.state.lock())
    }

    fn room(&self, state: &State) -> u32 {
        let limit = self.options.memory_limit_bytes * NEW_SIXTEENTHS / 16;
        let used = state.unwritten_bytes() + state.buffered_bytes();
        let room = limit.saturating_sub(used) / u64::from(state.layout.piece_bytes());
        let at_least = if state.queue.is_in_trouble() || state.cache.pinned() as usize <= PIECES_AT_LEAST {
            PIECES_AT_LEAST.saturating_sub(state.piece_buffers.len())
        } else {
            0
        };
        u32::try_from(room).unwrap_or(u32::MAX).max(at_least as u32)
    }

    /// Returns the pieces that have blocks in memory, in ascending order.
    #[cfg(test)]
    pub(crate) fn incomplete(&self) -> Vec<PieceIndex> {
        let mut pieces: Vec<_> = self.state.lock().piece_buffers.keys().map(|p| PieceIndex(*p)).collect();
        pieces.sort_unstable();
        pieces
    }

    /// Returns the blocks of this piece that are in memory, if it is incomplete.
    #[cfg(test)]
    pub(crate) fn blocks_here(&self, piece: PieceIndex) -> Option<Bits> {
        let piece_buffer = self.state.lock().piece_buffers.get(&piece.0)?.clone();
        Some(piece_buffer.got())
    }

    /// Drops the blocks of attempts at a piece that are older than `generation`. An attempt that is
    /// being hashed stays.
    pub(crate) fn drop_blocks(&self, piece: PieceIndex, generation: u32) {
        let mut state = self.state.lock();
        if state.piece_buffers.get(&piece.0).is_some_and(|piece_buffer| piece_buffer.generation < generation) {
            self.abandon(&mut state, piece);
        }
    }

    /// Ends the attempt at a piece, unless it is being hashed. Returns whether it ended.
    fn abandon(&self, state: &mut State, piece: PieceIndex) -> bool {
        let Some(buffer) = state.piece_buffers.get(&piece.0).and_then(|piece_buffer| piece_buffer.abandon()) else {
            return false;
        };
        state.remove_piece_buffer(piece.0);
        self.recycle(buffer);
        true
    }

    /// Hashes a complete piece. After `Verified` the piece can be read; it is written in the
    /// background. Dropping the future only discards the verdict.
    pub(crate) async fn verify(self: &Arc<Self>, piece: PieceIndex) -> Verdict {
        let whole = {
            let piece_buffer = self.state.lock().piece_buffers.get(&piece.0).cloned();
            piece_buffer.and_then(|a| a.take_whole())
        };
        let Some(whole) = whole else { return Verdict::NotWhole };
        let (tell, told) = oneshot::channel();
        let store = self.clone();
        self.runtime.spawn_blocking(move || {
            let verdict = store.judge(piece.0, whole);
            // The verdict goes out before the write, so that the reader wakes now.
            let _ = tell.send(verdict);
            store.write_some();
        });
        told.await.unwrap_or(Verdict::NotWhole)
    }

    fn judge(&self, piece: u32, whole: Whole) -> Verdict {
        let Whole { buffer, givers, known } = whole;
        if !self.proof().accepts(piece, &buffer) {
            let distinct = distinct(givers.clone());
            // The caller knows a single giver already.
            if distinct.len() > 1 {
                let blocks = givers.into_iter().zip(block_digests(&buffer)).collect();
                self.blame.lock().remember(piece, blocks);
            }
            {
                let mut state = self.state.lock();
                state.remove_piece_buffer(piece);
                if known {
                    // The next attempt fetches the whole piece from peers.
                    state.tails.remove(&PieceIndex(piece));
                    state.doubted.insert(piece);
                }
            }
            self.recycle(buffer);
            // A single giver may have been honest, if the pad file contains other bytes than zero.
            return Verdict::Corrupt { givers: if known { Vec::new() } else { distinct } };
        }
        self.judge_padding(piece, &buffer);
        let suspects = self.blame.lock().knows(piece);
        let liars = if suspects {
            let right: Vec<_> = block_digests(&buffer).collect();
            self.blame.lock().resolve(piece, &right)
        } else {
            Vec::new()
        };
        let bytes = buffer.freeze();
        let dropped = {
            let mut state = self.state.lock();
            state.remove_piece_buffer(piece);
            if state.whole == Stage::Wrong {
                return Verdict::NotWhole;
            }
            state.whole.piece_came();
            // The piece may have been claimed in the meantime; then it is on disk.
            let unwritten = !self.options.read_only && state.source_of(piece).is_none();
            state.have.set(piece, true);
            state.unproven.set(piece, false);
            state.touch(piece);
            state.cache.insert(piece, bytes, unwritten);
            if unwritten {
                state.queue.push(piece);
            }
            self.keep_within_memory(&mut state)
        };
        self.recycle_all(dropped);
        Verdict::Verified { liars }
    }

    /// Stops assuming zeros in pad files, where that assumption made this verified piece fail
    /// before and its pad file contains other bytes. The other pad files are then fetched, too.
    fn judge_padding(&self, piece: u32, bytes: &[u8]) {
        let mut state = self.state.lock();
        if !state.doubted.remove(&piece) {
            return;
        }
        let start = self.torrent.layout.start_of(PieceIndex(piece));
        let mut pads = self.files.spans(start, bytes.len() as u64).filter(|s| self.torrent.files[s.index].padding);
        if pads.any(|span| bytes[span.range].iter().any(|byte| *byte != 0)) {
            state.tails.clear();
            self.tell(StoreEvent::PaddingFilled);
        }
    }

    /// Returns pieces whose last blocks are zeros of pad files, each with the first of these
    /// blocks. These blocks need not be fetched.
    pub(crate) fn known_tails(&self) -> Vec<(PieceIndex, u32)> {
        self.state.lock().tails.iter().map(|(piece, from)| (*piece, *from)).collect()
    }
}
