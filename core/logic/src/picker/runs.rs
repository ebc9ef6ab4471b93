//! Runs: a peer that serves ranges is asked for several consecutive blocks at once.
//!
//! Gain and price decide on each block of a run as on any other. So a run ends where other peers
//! would deliver the next block sooner, or at the most blocks of one request
//! ([`Peer::run_blocks`](super::peer::Peer::run_blocks)).

use super::Picker;
use super::demand::Class;
use super::tuning::SOON_S;
use crate::{BlockRef, PeerKey, PieceIndex};

/// A decision to request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pick {
    /// The first block.
    pub(super) block: BlockRef,
    /// The number of its demand; `None` beyond the list.
    pub(super) at: Option<usize>,
    /// Number of blocks, consecutive from the first, that were requested from other peers already;
    /// 0 if the first one was not.
    pub(super) duplicates: u32,
}

impl Pick {
    /// Returns the decision for a block that was not requested yet.
    pub(super) fn open(block: BlockRef, at: Option<usize>) -> Pick {
        Pick { block, at, duplicates: 0 }
    }
}

impl Picker {
    /// Requests the blocks that follow the first one, which was just requested, in the same run.
    /// `limit` is the bound on the queue.
    pub(super) fn request_run(&mut self, peer: PeerKey, pick: Pick, limit: usize) {
        let Some(p) = self.peers.get(&peer) else { return };
        let blocks = match pick.duplicates {
            0 => p.run_blocks(self.is_urgent(), self.prior),
            duplicates => duplicates,
        };
        let (mut last, mut at) = (pick.block, pick.at);
        for _ in 1..blocks {
            let Some(next) = self.block_after(last) else { return };
            if pick.duplicates == 0 && !self.continues(peer, next, &mut at) {
                return;
            }
            let filled = self.peers.get(&peer).is_some_and(|p| p.queue.len() + 1 >= limit);
            self.request(peer, next, filled, Some(last));
            last = next;
        }
    }

    fn block_after(&self, block: BlockRef) -> Option<BlockRef> {
        let in_piece = BlockRef { block: block.block + 1, ..block };
        let next = BlockRef { piece: PieceIndex(block.piece.0 + 1), block: 0 };
        [in_piece, next].into_iter().find(|block| self.layout.block_bytes(*block) > 0)
    }

    /// Whether a run may go on with this block. `at` is the demand of the block before it.
    fn continues(&mut self, peer: PeerKey, next: BlockRef, at: &mut Option<usize>) -> bool {
        let piece = next.piece.0;
        if !self.is_open(next) {
            return false;
        }
        if next.block == 0 {
            *at = at.and_then(|at| {
                let later = self.demand.iter().skip(at).position(|w| w.piece == piece);
                later.map(|more| at + more)
            });
            if at.is_none() {
                return false;
            }
        }
        let next_open = match *at {
            None => {
                let may = self.peers.get(&peer).is_some_and(|p| self.may_take(peer, p, piece));
                if may && self.reserve(piece, usize::MAX) { self.next_open(piece) } else { None }
            }
            Some(at) => self.open_in_run(peer, at),
        };
        next_open == Some(next)
    }

    fn is_open(&self, block: BlockRef) -> bool {
        let piece = block.piece.0;
        match self.partial.get(&piece) {
            Some(part) => part.blocks.get(block.block as usize).is_some_and(|b| !b.got && b.asked() == 0),
            None => block.block == 0 && self.open_blocks(piece) > 0,
        }
    }

    /// Returns the first open block of a demand, if a run may go on there. A piece that is due long
    /// after the block would come need not come as soon as possible, and longer runs are fewer
    /// requests.
    fn open_in_run(&mut self, peer: PeerKey, at: usize) -> Option<BlockRef> {
        let w = *self.demand.get(at)?;
        let offer = self.offer(peer)?;
        if w.due_s > offer.reach_s {
            return None;
        }
        if w.class == Class::Target {
            return if self.may_grow(w.piece, self.room_for_targets()) { self.next_open(w.piece) } else { None };
        }
        let arrival_s = offer.arrival_s + offer.risk_s - self.now.as_secs_f64();
        let relaxed = self.rule.is_none() && arrival_s + SOON_S < w.due_s;
        self.pick_open(peer, &offer, &w, at, relaxed)
    }
}
