//! Second requests: a block that keeps the viewer waiting is asked of a peer that would be sooner.
//!
//! Only blocks of urgent pieces of which nothing is open any more are hedged, the latest first, and only while the bytes
//! lost to hedges stay within their budget. A hedge against a peer that is gone costs nothing, for what it owes never comes.

use super::Picker;
use super::api::Policy;
use super::peer::Peer;
use super::piece::{Block, MAX_ASKERS};
use crate::layout::BLOCK_BYTES;
use crate::{BlockRef, PeerKey, PieceIndex, Time};

/// A hedge must be sooner by this share of the time that is left, and by this many seconds: estimates err.
const GAIN_SHARE: f64 = 0.3;
const GAIN_S: f64 = 0.03;
/// So many times the budget may be spent where the picture would stop otherwise.
const OVERDRAFT: f64 = 2.0;
/// A piece of no more blocks is asked of two peers from the beginning while nothing is known of either,
const TWICE_BLOCKS: u32 = 4;
/// and so are no more of those behind it.
const TWICE_PIECES: u32 = 3;
/// Beyond all budgets, a block for which the player is about to stand still may be asked again so often, and only of a peer that
/// saves it so much.
const EMERGENCY_S: f64 = 1.0;
/// What is shown later than this is no emergency.
const EMERGENCY_WITHIN_S: f64 = 5.0;
/// Only the first urgent pieces are looked at.
const PIECES: usize = 2;

impl Picker {
    /// Bytes that hedges may have cost by now.
    fn hedge_budget(&self) -> f64 {
        // A short clip may not lose a larger share of itself than a film.
        let free = self.config.hedge_bytes.min(self.layout.total_bytes() / 128) as f64;
        free + self.config.hedge_share * self.counters.received_bytes as f64
    }

    /// Whether its blocks may be asked of two peers from the beginning.
    pub(super) fn is_small(&self, piece: u32) -> bool {
        self.layout.blocks_of(PieceIndex(piece)) <= TWICE_BLOCKS
    }

    /// The peers that were asked for this block.
    fn holders<'a>(&'a self, block: &'a Block) -> impl Iterator<Item = &'a Peer> {
        block.askers.iter().flatten().filter_map(|key| self.peers.get(key))
    }

    /// While a reader waits for small pieces: a block of what it waits for that only one peer was asked for of which nothing is
    /// known, and this one is as little known. One in some has a full line, and six blocks of as many strangers would make every
    /// third player wait for such a one.
    pub(super) fn pick_second(&mut self, peer: PeerKey, within_s: f64) -> Option<BlockRef> {
        let p = self.peers.get(&peer).filter(|p| !p.measured() && !p.snubbed && p.queue.is_empty())?;
        let spent = (self.counters.duplicate_bytes + u64::from(BLOCK_BYTES)) as f64;
        if self.config.policy != Policy::EarliestArrival || spent > self.hedge_budget() {
            return None;
        }
        let first = self.plan.first().filter(|w| w.is_waited_for())?.piece;
        for w in self.plan.iter().take_while(|w| w.due_s <= within_s) {
            // Another reader's pieces are in between.
            if w.piece < first || w.piece - first > TWICE_PIECES {
                continue;
            }
            let Some(part) = self.partial.get(&w.piece) else { break };
            if part.open > 0 || part.failures > 0 || !self.is_small(w.piece) {
                break;
            }
            if !p.can_ask(w.piece) {
                continue;
            }
            let of_a_stranger = |b: &Block, block: BlockRef| {
                let unknown = |h: &Peer| !h.measured() && h.queue.iter().any(|a| a.block == block);
                !b.got && b.asked() == 1 && !b.is_asked_of(peer) && self.holders(b).any(unknown)
            };
            let named = |n: usize| BlockRef { piece: PieceIndex(w.piece), block: n as u32 };
            if let Some(n) = part.blocks.iter().enumerate().position(|(n, b)| of_a_stranger(b, named(n))) {
                self.counters.hedges += 1;
                return Some(named(n));
            }
        }
        None
    }

    /// A block worth asking of this peer though another was asked for it.
    pub(super) fn pick_hedge(&mut self, peer: PeerKey) -> Option<BlockRef> {
        if self.config.policy != Policy::EarliestArrival {
            return None;
        }
        let p = self.peers.get(&peer)?;
        if p.snubbed {
            return None;
        }
        let (now, prior) = (self.now, self.prior);
        let arrival = p.arrival(now, prior);
        let spent = self.counters.duplicate_bytes as f64;
        let budget = self.hedge_budget();
        let in_budget = spent + f64::from(BLOCK_BYTES) <= budget;
        let overdrawn = spent > OVERDRAFT * budget;
        if overdrawn && now.since(self.emergency_at).as_secs_f64() < EMERGENCY_S {
            return None;
        }
        let mut looked = 0;
        for w in self.plan.iter().take(4 * PIECES) {
            if looked == PIECES || !w.is_urgent() {
                break;
            }
            let Some(part) = self.partial.get(&w.piece) else { break };
            if part.missing == 0 {
                continue;
            }
            looked += 1;
            if part.open > 0 || part.failures > 0 {
                break;
            }
            if !p.can_ask(w.piece) {
                continue;
            }
            let mut worst: Option<(Time, BlockRef)> = None;
            for (n, b) in part.blocks.iter().enumerate() {
                if b.got || b.asked() == 0 || b.asked() == MAX_ASKERS || b.is_asked_of(peer) {
                    continue;
                }
                let block = BlockRef { piece: PieceIndex(w.piece), block: n as u32 };
                // A third only where a peer that is known can help out two that are not.
                if b.asked() == 2 && !(w.is_waited_for() && p.samples > 0 && self.holders(b).all(|h| !h.measured())) {
                    continue;
                }
                let expected = self.holders(b).filter_map(|h| {
                    let at = h.queue.iter().position(|a| a.block == block)?;
                    Some(h.expected(at, now, prior))
                });
                let Some(expected) = expected.min() else { continue };
                if worst.is_none_or(|(t, _)| expected > t) {
                    worst = Some((expected, block));
                }
            }
            let Some((expected, block)) = worst else { continue };
            // Beyond the budget only what would make the viewer wait, or does already.
            if !in_budget && now.plus_secs(w.due_s.max(0.0)) > expected {
                continue;
            }
            let left = expected.since(now).as_secs_f64();
            let gain = expected.since(arrival).as_secs_f64();
            if overdrawn {
                if !w.is_waited_for() || w.shown_s > EMERGENCY_WITHIN_S || gain < EMERGENCY_S {
                    continue;
                }
                self.emergency_at = now;
            }
            if gain > GAIN_S.max(GAIN_SHARE * left) {
                self.counters.hedges += 1;
                return Some(block);
            }
        }
        None
    }
}
