//! Handles inputs from peers: joining, leaving, pieces, chokes, rejects.

use super::api::{Manner, Output};
use super::peer::Peer;
use super::tuning::STUCK_S;
use super::{MAX_ALLOWED, Picker, URGENT_TICK_S};
use crate::{Bits, BlockRef, PeerKey, PieceIndex};
use std::time::Duration;

/// Shortest time between two HAVEs of a peer that each fill its queue, in seconds. It bounds the
/// work.
const HAVE_S: f64 = 0.01;

impl Picker {
    pub(super) fn peer_joined(&mut self, peer: PeerKey, rtt: Option<Duration>, manner: Manner) {
        let mut new = Peer::new(self.now, rtt, manner, self.layout.pieces(), self.config.first_requests);
        new.interested = !self.have.is_full();
        debug_assert!(!self.peers.contains_key(&peer), "a peer's key is never reused");
        self.peers.insert(peer, new);
    }

    pub(super) fn peer_manner(&mut self, peer: PeerKey, manner: Manner) {
        if let Some(p) = self.peers.get_mut(&peer) {
            p.manner = manner;
        }
    }

    pub(super) fn dialled(&mut self, peers: usize) {
        if peers > self.dialled {
            self.dialled_until = self.now.plus_secs(STUCK_S);
        }
        self.dialled = peers;
    }

    pub(super) fn choked(&mut self, peer: PeerKey) {
        let Some(p) = self.peers.get_mut(&peer) else { return };
        p.choked = true;
        if p.drops_on_choke() {
            p.drop_requests();
        }
        // BEP 6: requests for allowed fast pieces are answered nevertheless.
        let kept = if p.drops_on_choke() { Vec::new() } else { p.allowed.clone() };
        self.release(peer, |piece| !kept.contains(&piece));
    }

    pub(super) fn unchoked(&mut self, peer: PeerKey) {
        if let Some(p) = self.peers.get_mut(&peer) {
            p.choked = false;
            p.is_heard(self.now);
            self.count_viewers();
            self.fill(peer);
        }
    }

    pub(super) fn allowed_fast(&mut self, peer: PeerKey, piece: PieceIndex) {
        let pieces = self.layout.pieces();
        let Some(p) = self.peers.get_mut(&peer) else { return };
        if p.allowed.len() >= MAX_ALLOWED || piece.0 >= pieces || p.allowed.contains(&piece.0) {
            return;
        }
        p.allowed.push(piece.0);
        // UNCHOKE usually follows at once. The allowed piece is a random one: requested now, it
        // would precede the piece on which a reader is blocked. If no UNCHOKE comes, the next event
        // fills the queue.
        self.refresh_demand();
        if self.demand.first().is_some_and(|w| w.piece == piece.0) {
            self.fill(peer);
        }
    }

    pub(super) fn peer_views(&mut self, peer: PeerKey) {
        if let Some(p) = self.peers.get_mut(&peer)
            && !std::mem::replace(&mut p.views, true)
        {
            self.count_viewers();
        }
    }

    pub(super) fn peer_left(&mut self, peer: PeerKey) {
        // It is removed first. Otherwise its released blocks would be requested from it again.
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
        self.open_from = 0;
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
        self.refresh_demand();
        let first = self.demand.first().map(|w| w.piece).filter(|w| bits.get(*w));
        let have_it = |w| self.peers.values().filter(|p| p.bits.get(w)).count();
        if first.is_some_and(|w| self.is_first_of_blocking(w) && have_it(w) == 1) {
            self.progress_at = self.now;
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
        // Of many HAVEs, one fills the queue at once, the others with the next tick.
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

    /// Returns whether a connected peer has this piece.
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
        if let Some(ask) = p.take(block) {
            self.outstanding -= 1;
            if let Some(part) = self.partial.get_mut(&block.piece.0) {
                part.release(block.block, peer);
            }
            // A peer that rejects without choking us lacks the piece, or will not send it now. The
            // piece is not requested from it for a while. Otherwise both would repeat themselves
            // endlessly.
            if !p.choked && !ask.withdrawn {
                p.refuse(block.piece.0, self.now);
            }
            p.allowed.retain(|a| *a != block.piece.0);
            self.open_from = 0;
            self.fill_all();
        } else {
            p.take_stale(block);
        }
    }

    /// Gives up the requests to a peer for the pieces that are `gone`, without a CANCEL.
    pub(super) fn release(&mut self, peer: PeerKey, gone: impl Fn(u32) -> bool) {
        let Some(p) = self.peers.get_mut(&peer) else { return };
        // BEP 6 keeps requests alive through a choke; BEP 3 drops them.
        let live = !p.choked || !p.drops_on_choke();
        let before = p.queue.len();
        let lost = p.give_up(self.now, live, |ask| gone(ask.block.piece.0));
        if lost.is_empty() {
            return;
        }
        self.outstanding -= before - p.queue.len();
        for ask in lost {
            if let Some(part) = self.partial.get_mut(&ask.block.piece.0) {
                part.release(ask.block.block, peer);
            }
        }
        self.open_from = 0;
        self.fill_all();
    }
}
