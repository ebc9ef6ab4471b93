//! What is fetched when nothing is urgent: rarest first among what lies ahead, for the swarm's sake.

use super::Picker;
use super::api::Policy;
use crate::{BlockRef, PeerKey, PieceIndex};

/// So many random pieces ahead are compared; the rarest of them is taken. With 32 it lies among the rarest tenth in 97
/// of 100 cases, at a cost that does not grow with the torrent.
const SAMPLES: u32 = 32;
/// Where sampling finds nothing (nearly all is here), so many pieces are looked at in a row.
const SCAN: u32 = 512;
/// Of a peer that has no more than so many pieces that we lack, each is looked at.
const FEW: u32 = 32;
/// Where no peer may be asked for any of the first so many pieces that are wanted, all others are welcome.
const FIRST_PIECES: usize = 8;

impl Picker {
    /// A block from beyond the plan, if this peer has nothing better to do and nobody is the worse for it.
    pub(super) fn pick_comfort(&mut self, peer: PeerKey) -> Option<BlockRef> {
        let p = self.peers.get(&peer)?;
        if p.snubbed || self.is_spared(p) {
            return None;
        }
        let by_rarity = self.config.policy == Policy::DeadlineRarest;
        // A peer that holds nothing of what is wanted first does no harm by bringing other things, a little at a time.
        let helpless = || !self.plan.iter().take(FIRST_PIECES).any(|w| p.can_ask(w.piece)) && p.queue.len() < 2;
        let any = self.is_nothing_to_be_had();
        if !self.comfortable && !by_rarity && !any && !helpless() {
            return None;
        }
        let begun = self.begun_elsewhere(peer, any).filter(|piece| self.may_take_on(*piece, usize::MAX));
        if let Some(piece) = begun {
            return self.next_open(piece);
        }
        let piece = self.rarest(peer, any)?;
        if self.may_take_on(piece, usize::MAX) { self.next_open(piece) } else { None }
    }

    /// A piece outside of the plan's order that is begun already: it is finished before another is begun.
    fn begun_elsewhere(&self, peer: PeerKey, any: bool) -> Option<u32> {
        let p = self.peers.get(&peer)?;
        self.partial
            .iter()
            .find(|(n, part)| part.open > 0 && self.may_take(peer, p, **n) && (any || self.is_ahead(**n)))
            .map(|(n, _)| *n)
    }

    /// Whether some reader may still want this piece.
    fn is_ahead(&self, piece: u32) -> bool {
        let start = self.layout.start_of(PieceIndex(piece));
        let end = start + u64::from(self.layout.bytes_of(PieceIndex(piece)));
        self.fetch_all || self.readers.values().any(|r| end > r.position && start < r.fetch_end())
    }

    /// Whether something is wanted, and nobody may be asked for the first of it. Then whatever a peer has is taken, also behind the
    /// readers: a super-seeding seed shows other pieces only once those are spread that it has shown.
    fn is_nothing_to_be_had(&self) -> bool {
        let to_be_had = |piece| self.peers.values().any(|p| p.serves(self.now) && p.can_ask(piece));
        !self.plan.is_empty() && !self.plan.iter().take(FIRST_PIECES).any(|w| to_be_had(w.piece))
    }

    fn is_wanted(&self, peer: PeerKey, piece: u32, any: bool) -> bool {
        !self.have.get(piece)
            && !self.partial.contains_key(&piece)
            && self.peers.get(&peer).is_some_and(|p| p.can_ask(piece))
            && (any || self.is_ahead(piece))
    }

    fn rarest(&mut self, peer: PeerKey, any: bool) -> Option<u32> {
        let p = self.peers.get(&peer)?;
        if p.useful <= FEW {
            let wanted = p.bits.beyond(&self.have).filter(|piece| self.is_wanted(peer, *piece, any));
            return wanted.min_by_key(|piece| self.availability.of(*piece));
        }
        let (first, last) = if any { (0, self.layout.pieces() - 1) } else { self.span_ahead()? };
        let width = last - first + 1;
        let mut best: Option<(i32, u32)> = None;
        for _ in 0..SAMPLES {
            let piece = first + self.rng.below(width);
            if self.is_wanted(peer, piece, any) {
                let rarity = self.availability.of(piece);
                if best.is_none_or(|(r, _)| rarity < r) {
                    best = Some((rarity, piece));
                }
            }
        }
        if let Some((_, piece)) = best {
            return Some(piece);
        }
        for _ in 0..SCAN.min(width) {
            self.comfort_cursor = if self.comfort_cursor < first || self.comfort_cursor >= last {
                first
            } else {
                self.comfort_cursor + 1
            };
            if self.is_wanted(peer, self.comfort_cursor, any) {
                return Some(self.comfort_cursor);
            }
        }
        None
    }

    /// The pieces from the rearmost reader to the foremost end.
    fn span_ahead(&self) -> Option<(u32, u32)> {
        if self.fetch_all {
            return Some((0, self.layout.pieces() - 1));
        }
        let first = self.readers.values().filter(|r| r.position < r.end).map(|r| r.position).min()?;
        let end = self.readers.values().map(super::reader::Reader::fetch_end).max()?;
        let last = self.layout.piece_at(end.max(first + 1) - 1).0;
        Some((self.layout.piece_at(first).0, last))
    }
}
