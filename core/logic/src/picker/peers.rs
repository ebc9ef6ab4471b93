//! What peers say of themselves: coming, going, having, choking, refusing.

use super::api::Output;
use super::{Picker, URGENT_TICK_S};
use crate::{Bits, BlockRef, PeerKey, PieceIndex};
use std::collections::VecDeque;

/// Shortest time between two HAVEs of a peer after each of which it is looked for what it may be asked, in seconds.
const HAVE_S: f64 = 0.01;

impl Picker {
    pub(super) fn peer_left(&mut self, peer: PeerKey) {
        // Out of the table first, or what it leaves behind would be asked of it again.
        let Some(p) = self.peers.remove(&peer) else { return };
        self.outstanding -= p.queue.len();
        for ask in p.queue {
            if let Some(part) = self.partial.get_mut(&ask.block.piece.0) {
                part.release(ask.block.block, peer);
            }
        }
        self.availability.remove(&p.bits, p.counts_as_seed);
        for part in self.partial.values_mut().filter(|part| part.solo == Some(peer)) {
            part.solo = None;
        }
        self.plan_from = 0;
        self.fill_all();
    }

    pub(super) fn peer_has_bits(&mut self, peer: PeerKey, bits: &Bits) {
        if bits.len() != self.layout.pieces() {
            return;
        }
        let Some(p) = self.peers.get_mut(&peer) else { return };
        p.useful = bits.count_beyond(&self.have);
        self.availability.remove(&p.bits, p.counts_as_seed);
        p.counts_as_seed = self.availability.add(bits);
        p.bits.clone_from(bits);
        self.count_viewers();
        self.say_interest(peer);
        self.refresh_plan();
        let first = self.plan.first().map(|w| w.piece).filter(|w| bits.get(*w));
        let have_it = |w| self.peers.values().filter(|p| p.bits.get(w)).count();
        if first.is_some_and(|w| self.is_waited_for_and_new(w) && have_it(w) == 1) {
            self.waited_at = self.now;
        }
        self.fill(peer);
    }

    pub(super) fn peer_has(&mut self, peer: PeerKey, piece: PieceIndex) {
        let Some(p) = self.peers.get_mut(&peer) else { return };
        if !p.bits.set(piece.0, true) {
            return;
        }
        self.availability.gain(piece.0, &p.bits);
        if self.have.get(piece.0) {
            return;
        }
        p.useful += 1;
        // One HAVE of many is acted upon at once, the others with the next tick.
        let at_once = self.now.since(p.had_at).as_secs_f64() >= HAVE_S;
        if at_once {
            p.had_at = self.now;
        }
        self.say_interest(peer);
        if at_once {
            self.fill(peer);
        } else {
            self.next_tick = self.next_tick.min(self.now.plus_secs(URGENT_TICK_S));
        }
    }

    pub(super) fn peer_lacks(&mut self, peer: PeerKey, piece: PieceIndex) {
        let Some(p) = self.peers.get_mut(&peer) else { return };
        if !p.bits.set(piece.0, false) {
            return;
        }
        self.availability.lose(piece.0, &p.bits);
        if !self.have.get(piece.0) {
            p.useful -= 1;
            self.say_interest(peer);
        }
    }

    /// Whether a connected peer has this piece.
    pub fn any_peer_has(&self, piece: PieceIndex) -> bool {
        self.peers.values().any(|p| p.bits.get(piece.0))
    }

    pub(super) fn say_interest(&mut self, peer: PeerKey) {
        if let Some(p) = self.peers.get_mut(&peer)
            && p.interested != (p.useful > 0)
        {
            p.interested = p.useful > 0;
            self.out.push_back(Output::Interested(peer, p.interested));
        }
    }

    pub(super) fn rejected(&mut self, peer: PeerKey, block: BlockRef) {
        let Some(p) = self.peers.get_mut(&peer) else { return };
        p.is_heard(self.now);
        if p.answers_cancel(block) {
            return;
        }
        if p.take(block).is_some() {
            self.outstanding -= 1;
            if let Some(part) = self.partial.get_mut(&block.piece.0) {
                part.release(block.block, peer);
            }
            // Whoever rejects while it does not choke us does not have what it claimed, or will not give it now: it
            // is not asked for that piece for a while, lest the two of us talk in circles.
            if !p.choked {
                p.refuse(block.piece.0, self.now);
            }
            p.allowed.retain(|a| *a != block.piece.0);
            self.plan_from = 0;
            self.fill_all();
        } else {
            p.lay_ghost(block);
        }
    }

    /// Takes back what is asked of a peer for the pieces that `gone` names, without a word to it.
    pub(super) fn release(&mut self, peer: PeerKey, gone: impl Fn(u32) -> bool) {
        let Some(p) = self.peers.get_mut(&peer) else { return };
        let (kept, lost): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut p.queue).into_iter().partition(|ask| !gone(ask.block.piece.0));
        p.queue = kept;
        if lost.is_empty() {
            return;
        }
        self.outstanding -= lost.len();
        // BEP 6 keeps requests alive through a choke; BEP 3 drops them.
        let live = !p.choked || p.fast;
        for ask in lost {
            p.haunt(ask, self.now, live);
            if let Some(part) = self.partial.get_mut(&ask.block.piece.0) {
                part.release(ask.block.block, peer);
            }
        }
        self.plan_from = 0;
        self.fill_all();
    }
}
