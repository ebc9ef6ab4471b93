//! The places to which players like to jump, fetched while there is nothing better to do.
//!
//! All of them grow together, so that wherever the jump goes, as much as possible is here. A piece is of use to its reader
//! only whole, but each block that is here is one that the reader does not wait for.

use super::Picker;
use super::api::Policy;
use crate::{BlockRef, PeerKey, PieceIndex};

/// Of the memory for pieces on their way, those begun ahead of time may take this share.
const SHARE: u64 = 2;
/// Beside them, there is always room for so many whole pieces.
const WHOLE: u64 = 2;

impl Picker {
    /// A block of a place to which players jump, once everybody is comfortable.
    pub(super) fn pick_jump(&mut self, peer: PeerKey) -> Option<BlockRef> {
        if !self.comfortable || self.config.policy != Policy::EarliestArrival {
            return None;
        }
        let limit = self.config.max_partial_bytes;
        let limit = (limit / SHARE).min(limit.saturating_sub(WHOLE * u64::from(self.layout.piece_bytes())));
        let used: u64 = self.partial.values().filter(|p| p.ahead_of_time).map(|p| p.reserved).sum();
        let p = self.peers.get(&peer)?;
        // The one of which least is here, as long as it may grow; else the one of which most is, to be done with it.
        let mut least: Option<(f64, u32)> = None;
        let mut most: Option<(f64, u32)> = None;
        for piece in self.jump_pieces() {
            let open = self.open_blocks(piece);
            if open == 0 || !self.may_take(peer, p, piece) || self.holds_back_jump(p, piece) {
                continue;
            }
            let part = self.partial.get(&piece);
            let share = part.map_or(1.0, |part| part.open_share());
            let more = match part {
                Some(part) if !part.ahead_of_time => 0,
                part => {
                    let next = self.layout.blocks_of(PieceIndex(piece)) - open + 1;
                    let reserved = part.map_or(0, |part| part.reserved);
                    u64::from(self.layout.assembly_bytes(PieceIndex(piece), next)).saturating_sub(reserved)
                }
            };
            if used + more <= limit && self.has_room(more) && least.is_none_or(|(most_open, _)| share > most_open) {
                least = Some((share, piece));
            }
            if part.is_some() && most.is_none_or(|(least_open, _)| share < least_open) {
                most = Some((share, piece));
            }
        }
        if let Some((_, piece)) = least {
            if !self.partial.contains_key(&piece) {
                self.begin(PieceIndex(piece), true);
            }
            return self.next_open(piece);
        }
        let (_, piece) = most?;
        if self.may_take_on(piece, usize::MAX) { self.next_open(piece) } else { None }
    }

    /// The pieces at the places ahead of each reader to which players jump, the nearest first.
    fn jump_pieces(&self) -> Vec<u32> {
        let mut pieces = Vec::new();
        for r in self.readers.values() {
            let here = self.layout.piece_at(r.position).0;
            let reach = r.fetch_end();
            let ahead = r.jumps.iter().filter(|at| **at < reach).map(|at| self.layout.piece_at(*at).0);
            pieces.extend(ahead.filter(|piece| *piece > here && !self.have.get(*piece)));
        }
        pieces
    }
}
