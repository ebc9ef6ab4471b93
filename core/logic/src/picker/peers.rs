//! What peers say of themselves: coming, going, having, choking, refusing.

use super::Picker;
use super::api::Output;
use crate::{Bits, BlockRef, PeerKey, PieceIndex};
use std::collections::VecDeque;

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
        self.count_bits(&p.bits, false);
        for part in self.partial.values_mut().filter(|part| part.solo == Some(peer)) {
            part.solo = None;
        }
        self.plan_from = 0;
        self.fill_all();
    }

    pub(super) fn count_bits(&mut self, bits: &Bits, add: bool) {
        // Seeds have everything: they make no piece rarer than another.
        if bits.is_full() {
            return;
        }
        for i in bits.iter_ones() {
            let n = &mut self.availability[i as usize];
            *n = if add { n.saturating_add(1) } else { n.saturating_sub(1) };
        }
    }

    pub(super) fn peer_has_bits(&mut self, peer: PeerKey, bits: &Bits) {
        if bits.len() != self.layout.pieces() {
            return;
        }
        let Some(p) = self.peers.get_mut(&peer) else { return };
        p.useful = if bits.is_full() {
            bits.len() - self.have.count()
        } else {
            bits.iter_ones().filter(|i| !self.have.get(*i)).count() as u32
        };
        let old = std::mem::replace(&mut p.bits, bits.clone());
        self.count_bits(&old, false);
        self.count_bits(bits, true);
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
        if p.bits.is_full() {
            // From here on it is counted as a seed.
            for n in &mut self.availability {
                *n = n.saturating_sub(1);
            }
        }
        let n = &mut self.availability[piece.0 as usize];
        *n = n.saturating_add(1);
        if !self.have.get(piece.0) {
            p.useful += 1;
            self.say_interest(peer);
            self.fill(peer);
        }
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
