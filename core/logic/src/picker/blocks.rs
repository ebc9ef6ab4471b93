//! Handles blocks and pieces that were received, verified, lost, given up or failed; and cancels.

use super::Picker;
use super::api::Output;
use super::demand::Demand;
use crate::{BlockRef, PeerKey, PieceIndex};

impl Picker {
    pub(super) fn block(&mut self, peer: PeerKey, block: BlockRef) {
        let bytes = self.layout.block_bytes(block);
        let slack = self.slack_s();
        self.measure_line(bytes);
        let Some(p) = self.peers.get_mut(&peer) else { return };
        self.counters.received_bytes += u64::from(bytes);
        let ask = p.take(block);
        self.outstanding -= usize::from(ask.is_some());
        let asked = ask.map(|a| a.asked).or_else(|| p.take_stale(block));
        let Some(asked) = asked.filter(|_| bytes > 0) else {
            self.counters.unasked_bytes += u64::from(bytes);
            return;
        };
        let was_snubbed = p.snubbed;
        let is_first = p.samples == 0;
        p.learn(asked, ask, bytes, self.now, slack, self.prior);
        // The first block of a peer tells how far the guess was off, also for the others. Otherwise it
        // would leave what is open of the first piece to those that are still believed to be fast.
        let is_open = |w: &Demand| self.open_blocks(w.piece) > 0;
        self.demand_stale |= is_first && self.demand.first().is_some_and(is_open);
        self.begin_late(block);
        if self.partial.contains_key(&block.piece.0) {
            self.reserve_block(block);
        }
        let fresh = !self.have.get(block.piece.0)
            && self.partial.get_mut(&block.piece.0).is_some_and(|part| part.receive(block.block, peer));
        if fresh {
            self.arrival.count(self.now, bytes, self.read_ahead_full);
            if self.demand.first().is_some_and(|w| w.piece == block.piece.0) {
                self.progress_at = self.now;
            }
            let askers = self.partial.get(&block.piece.0).map(|part| part.blocks[block.block as usize].askers);
            for other in askers.into_iter().flatten().flatten() {
                if let Some(part) = self.partial.get_mut(&block.piece.0) {
                    part.release(block.block, other);
                }
                if other != peer && self.cancel(other, block) {
                    self.fill(other);
                }
            }
        } else {
            self.counters.duplicate_bytes += u64::from(bytes);
            if let Some(part) = self.partial.get_mut(&block.piece.0) {
                part.release(block.block, peer);
            }
        }
        if was_snubbed {
            self.fill_all();
        } else {
            self.fill(peer);
        }
    }

    pub(super) fn unkept(&mut self, peer: PeerKey, block: BlockRef) {
        let bytes = u64::from(self.layout.block_bytes(block));
        let slack = self.slack_s();
        let Some(p) = self.peers.get_mut(&peer) else { return };
        self.counters.received_bytes += bytes;
        self.counters.forgotten_bytes += bytes;
        if let Some(ask) = p.take(block) {
            self.outstanding -= 1;
            p.learn(ask.asked, Some(ask), bytes as u32, self.now, slack, self.prior);
            if let Some(part) = self.partial.get_mut(&block.piece.0) {
                part.release(block.block, peer);
            }
            self.open_from = 0;
        } else {
            p.take_stale(block);
        }
    }

    pub(super) fn verified(&mut self, piece: PieceIndex) {
        self.note_givers(piece, true);
        self.drop_partial(piece.0);
        if !self.have.set(piece.0, true) {
            return;
        }
        let mut changed = Vec::new();
        for (key, p) in &mut self.peers {
            if p.bits.get(piece.0) {
                p.useful = p.useful.saturating_sub(1);
                if p.useful == 0 {
                    changed.push(*key);
                }
            }
        }
        changed.into_iter().for_each(|key| self.say_interest(key));
        self.demand_stale = true;
    }

    pub(super) fn failed(&mut self, piece: PieceIndex) {
        self.note_givers(piece, false);
        if let Some(part) = self.partial.get_mut(&piece.0) {
            self.counters.failed_bytes += u64::from(self.layout.bytes_of(piece));
            part.fail();
        }
        self.demand_stale = true;
        self.fill_all();
    }

    pub(super) fn lost(&mut self, piece: PieceIndex) {
        if !self.have.set(piece.0, false) {
            return;
        }
        let mut changed = Vec::new();
        for (key, p) in &mut self.peers {
            if p.bits.get(piece.0) {
                p.useful += 1;
                changed.push(*key);
            }
        }
        for r in self.readers.values_mut() {
            r.ready_to = self.layout.piece_at(r.position).0;
        }
        changed.into_iter().for_each(|key| self.say_interest(key));
        self.demand_stale = true;
        self.fill_all();
    }

    /// Ends an incomplete piece, and cancels its requests.
    pub(super) fn drop_partial(&mut self, piece: u32) {
        let Some(part) = self.partial.remove(&piece) else { return };
        self.partial_bytes -= part.reserved;
        for (n, b) in part.blocks.iter().enumerate() {
            let block = BlockRef { piece: PieceIndex(piece), block: n as u32 };
            for peer in b.askers.into_iter().flatten() {
                self.cancel(peer, block);
            }
        }
    }

    /// Cancels one request. Returns whether there was one.
    fn cancel(&mut self, peer: PeerKey, block: BlockRef) -> bool {
        let Some(p) = self.peers.get_mut(&peer) else { return false };
        let before = p.queue.len();
        if !p.take_back(block, self.now, self.prior) {
            return false;
        }
        self.outstanding -= before - p.queue.len();
        self.counters.cancels += 1;
        self.out.push_back(Output::Cancel(peer, block));
        true
    }

    /// Cancels the requests for unwanted pieces.
    pub(super) fn cancel_where(&mut self, unwanted: impl Fn(u32) -> bool) {
        let mut any = false;
        for (key, p) in &mut self.peers {
            let before = p.queue.len();
            for ask in p.give_up(self.now, false, |ask| unwanted(ask.block.piece.0)) {
                any = true;
                if let Some(part) = self.partial.get_mut(&ask.block.piece.0) {
                    part.release(ask.block.block, *key);
                }
                self.counters.cancels += 1;
                self.out.push_back(Output::Cancel(*key, ask.block));
            }
            self.outstanding -= before - p.queue.len();
        }
        if any {
            self.open_from = 0;
        }
        let empty: Vec<u32> = self
            .partial
            .iter()
            .filter(|(n, p)| p.is_empty() && p.failures == 0 && unwanted(**n))
            .map(|(n, _)| *n)
            .collect();
        empty.into_iter().for_each(|n| self.drop_partial(n));
    }

    /// Handles a change of the readers: cancels requests that none of them needs, and fills all
    /// queues again.
    pub(super) fn turn_to_readers(&mut self) {
        self.make_demand();
        let mut wanted: Vec<u32> = self.demand.iter().map(|w| w.piece).collect();
        wanted.sort_unstable();
        let keep_rest = self.fetch_all;
        let unwanted = |piece: u32| !keep_rest && wanted.binary_search(&piece).is_err();
        self.cancel_where(unwanted);
        self.release_reserved(unwanted);
        self.fill_all();
    }
}
