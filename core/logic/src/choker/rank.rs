//! The ranking for regular slots and the draw for the optimistic slot.

use super::{Choker, MIN_UNCHOKED_S, NEW_S, Peer, TURN_S};
use crate::{PeerKey, Time};
use std::cmp::Reverse;

/// Factor by which a new peer is likelier to be drawn (as in the original client).
const NEW_WEIGHT: u64 = 3;
/// Factor by which a viewer with a low buffer is likelier to be drawn.
const LOW_BUFFER_WEIGHT: u64 = 4;

impl Choker {
    /// Returns the interested peers that may have a regular slot, best first.
    pub(super) fn ranked(&self, now: Time) -> Vec<PeerKey> {
        let fresh = |p: &Peer| p.unchoked_since.is_some_and(|at| now < at.plus_secs(MIN_UNCHOKED_S));
        let mut peers: Vec<(&PeerKey, &Peer)> =
            self.peers.iter().filter(|(_, p)| p.interested && !self.snubs(now, p)).collect();
        if self.complete {
            // By turns. A peer that has just got a slot keeps it, and viewers with a low buffer
            // come next. Then come peers that have had theirs for less than a turn, those that have
            // waited longest, and those whose turn is over. Among equals, fast downloaders come
            // first: they pass pieces on soonest.
            peers.sort_by_key(|(key, p)| {
                let over =
                    self.optimistic == Some(**key) || p.unchoked_since.is_some_and(|at| now >= at.plus_secs(TURN_S));
                let class = match p.unchoked_since {
                    Some(_) if !over && fresh(p) => 0,
                    _ if p.low_buffer => 1,
                    Some(_) if !over => 2,
                    None => 3,
                    Some(_) => 4,
                };
                let waited_from =
                    if p.unchoked_since.is_none() { p.last_slot.unwrap_or(Time::ZERO) } else { Time::ZERO };
                (class, waited_from, Reverse(p.took[0].saturating_add(p.took[1])), p.joined)
            });
        } else {
            // The rate over this round and the last: a single round is too sensitive to a short
            // stall. Among equals, peers that have a slot come first, as every change costs a round
            // trip and a slow start.
            peers.sort_by_key(|(key, p)| {
                let optimistic = self.optimistic == Some(**key);
                (
                    !fresh(p) || optimistic,
                    Reverse(p.gave[0].saturating_add(p.gave[1])),
                    p.unchoked_since.is_none() || optimistic,
                    p.joined,
                )
            });
        }
        peers.into_iter().map(|(key, _)| *key).collect()
    }

    /// Draws the optimistic peer among the interested ones without a regular slot. The last one is
    /// drawn again only if there is no other.
    pub(super) fn draw(&mut self, now: Time, regular: &[PeerKey]) -> Option<PeerKey> {
        let last = self.optimistic;
        let candidates: Vec<(PeerKey, u64)> = self
            .peers
            .iter()
            .filter(|(key, p)| p.interested && !regular.contains(key) && last != Some(**key))
            .map(|(key, p)| {
                let new = if now < p.joined.plus_secs(NEW_S) { NEW_WEIGHT } else { 1 };
                (*key, new * if p.low_buffer { LOW_BUFFER_WEIGHT } else { 1 })
            })
            .collect();
        let total: u64 = candidates.iter().map(|(_, weight)| weight).sum();
        if total == 0 {
            return None;
        }
        let mut at = u64::from(self.rng.below(u32::try_from(total).unwrap_or(u32::MAX)));
        candidates.into_iter().find_map(|(key, weight)| {
            let here = at < weight;
            at = at.saturating_sub(weight);
            here.then_some(key)
        })
    }
}
