//! Integrity: decides which peers may send blocks of a piece that failed its hash.

use super::Picker;
use super::peer::Peer;
use crate::{PeerKey, PieceIndex};

impl Picker {
    /// Returns whether this peer may take open blocks of this piece: it has the piece, and is no
    /// suspect if the piece failed.
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
        // Otherwise one half of the suspects is tried, then the other. A half that sends a right
        // piece reveals the liars of the first attempt, at half the total rate instead of that of
        // one peer.
        let half = |at: usize| at % 2 == part.failures as usize - 1;
        let helped = |k: &PeerKey| part.suspects.iter().position(|s| s == k).is_some_and(half);
        half(at) || !self.peers.iter().any(|(k, o)| able(k, o) && helped(k))
    }

    /// Credits or blames the peers that sent the blocks of a piece, once its hash is known.
    pub(super) fn note_givers(&mut self, piece: PieceIndex, right: bool) {
        let Some(part) = self.partial.get(&piece.0) else { return };
        for giver in part.blocks.iter().filter_map(|block| block.giver) {
            if let Some(p) = self.peers.get_mut(&giver) {
                let blocks = if right { &mut p.right_blocks } else { &mut p.wrong_blocks };
                *blocks = blocks.saturating_add(1);
            }
        }
    }

    /// Returns whether this peer takes the whole piece alone, however long it needs.
    pub(super) fn is_solo(&self, piece: u32, key: PeerKey) -> bool {
        self.partial.get(&piece).is_some_and(|part| part.solo == Some(key))
    }
}
