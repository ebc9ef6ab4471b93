//! Integrity: which peers may give blocks of a piece that failed its hash.

use super::Picker;
use super::peer::Peer;
use crate::{PeerKey, PieceIndex};

impl Picker {
    /// Whether this peer may take open blocks of this piece: it has it, and a piece that failed is
    /// kept from suspects.
    pub(super) fn may_take(&self, key: PeerKey, p: &Peer, piece: u32) -> bool {
        if !p.can_ask(piece) {
            return false;
        }
        let Some(part) = self.partial.get(&piece) else { return true };
        if part.failures == 0 {
            return true;
        }
        if let Some(solo) = part.solo
            && self.peers.get(&solo).is_some_and(|o| o.can_ask(piece) && o.serves(self.now) && !o.snubbed)
        {
            return solo == key;
        }
        let able = |k: &PeerKey, o: &Peer| *k != key && o.can_ask(piece) && o.serves(self.now) && !o.snubbed;
        if part.is_for_one() {
            return !self.peers.iter().any(|(k, o)| able(k, o) && o.credibility() > p.credibility());
        }
        let Some(at) = part.suspects.iter().position(|k| *k == key) else {
            let better = |k: &PeerKey, o: &Peer| able(k, o) && !o.suspected && !part.suspects.contains(k);
            return !p.suspected || !self.peers.iter().any(|(k, o)| better(k, o));
        };
        let others = self.peers.iter().filter(|(k, o)| able(k, o) && !part.suspects.contains(k)).count();
        if others * 2 >= part.suspects.len() {
            return false;
        }
        // Else one half of the suspects tries, then the other. The half that brings a right piece
        // convicts the liars of the first try, at half the rate and not at that of one peer.
        let half = |at: usize| at % 2 == part.failures as usize - 1;
        let helped = |k: &PeerKey| part.suspects.iter().position(|s| s == k).is_some_and(half);
        half(at) || !self.peers.iter().any(|(k, o)| able(k, o) && helped(k))
    }

    /// The hash of a piece is known: it speaks for or against the peers that gave its blocks.
    pub(super) fn note_givers(&mut self, piece: PieceIndex, right: bool) {
        let Some(part) = self.partial.get(&piece.0) else { return };
        for giver in part.blocks.iter().filter_map(|block| block.giver) {
            if let Some(p) = self.peers.get_mut(&giver) {
                let blocks = if right { &mut p.right_blocks } else { &mut p.wrong_blocks };
                *blocks = blocks.saturating_add(1);
            }
        }
    }

    /// Whether this peer takes this piece alone, and so whole, however long it needs.
    pub(super) fn is_solo(&self, piece: u32, key: PeerKey) -> bool {
        self.partial.get(&piece).is_some_and(|part| part.solo == Some(key))
    }
}
