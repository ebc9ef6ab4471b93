//! Fills the peers' queues with requests, up to the bound on each.

use super::Picker;
use super::api::{Output, Share};
use super::demand::Demand;
use super::peer::{Ask, Peer};
use crate::{BlockRef, PeerKey, PieceIndex, Time};

impl Picker {
    /// Returns the delay that a peer's queue may add to its round trip, in seconds.
    pub(super) fn slack_s(&self) -> f64 {
        self.config.slack_ms / 1000.0
    }

    /// Returns whether any piece is wanted, by a reader or because everything is to be fetched.
    pub fn is_wanted_at_all(&self) -> bool {
        !self.readers.is_empty() || self.fetch_all
    }

    pub(super) fn fill_all(&mut self) {
        if self.paused || !self.is_wanted_at_all() {
            return;
        }
        let keys: Vec<PeerKey> = self.peers.iter().filter(|(_, p)| p.serves(self.now)).map(|(key, _)| *key).collect();
        for key in keys {
            self.fill(key);
        }
    }

    /// Fills the queue of this peer up to its bound.
    pub(super) fn fill(&mut self, peer: PeerKey) {
        if self.paused || !self.is_wanted_at_all() {
            return;
        }
        self.refresh_demand();
        if !self.may_have_use_for(peer) {
            return;
        }
        self.refresh_supply();
        let slack = self.slack_s();
        loop {
            let Some(p) = self.peers.get(&peer) else { return };
            if !p.serves(self.now) {
                return;
            }
            let limit = p.limit(self.now, slack, self.prior);
            if p.queue.len() >= limit || p.is_at_depth() {
                return;
            }
            let filled = p.queue.len() + 1 >= limit;
            // One block at a time tests whether a snubbed peer answers again.
            if p.snubbed && !p.queue.is_empty() {
                return;
            }
            let in_runs = p.is_asked_for_runs() && !p.snubbed;
            let Some(pick) = self.pick(peer) else { return };
            self.request(peer, pick.block, filled, None);
            if in_runs {
                self.request_run(peer, pick, limit);
            }
        }
    }

    /// Whether anything may be wanted of a peer: it has something that we lack, and if it has a
    /// horizon, something within that is urgent or open. Cheap, and asked of each peer all the time.
    fn may_have_use_for(&mut self, peer: PeerKey) -> bool {
        self.skip_requested();
        let Some(p) = self.peers.get(&peer) else { return false };
        let open = self.open_from < self.demands_within_horizon(p);
        p.useful > 0 && (open || self.is_urgent() || !self.has_horizon(p))
    }

    /// Requests a block. `after` is the block before it in the same run, if any.
    pub(super) fn request(&mut self, peer: PeerKey, block: BlockRef, filled: bool, after: Option<BlockRef>) {
        if self.is_first_of_blocking(block.piece.0) {
            self.progress_at = self.now;
        }
        self.reserve_block(block);
        let Some(part) = self.partial.get_mut(&block.piece.0) else { return };
        part.add_asker(block.block, peer);
        if part.is_for_one() {
            part.solo = Some(peer);
        }
        let Some(p) = self.peers.get_mut(&peer) else { return };
        if p.is_asked_for_runs() && p.ask_again(block) {
            return;
        }
        // A request that still stands at the peer is not sent again unless it was lost. A lost one
        // is cancelled first, so that it is not answered twice.
        let standing = p.revive(block);
        let lost = standing.is_some_and(|sent| p.is_lost(sent, self.now, self.prior));
        let stands = standing.is_some() && !lost;
        let (sent, asked) = (standing.filter(|_| stands).unwrap_or(self.now), self.now);
        let begins = after.is_none() || p.queue.back().map(|ask| ask.block) != after;
        p.ask(Ask { block, asked, sent, filled, begins, withdrawn: false });
        if lost {
            self.out.push_back(Output::Cancel(peer, block));
        }
        self.outstanding += 1;
        if p.snubbed {
            p.retry_at = Time::NEVER;
        }
        if !stands {
            self.counters.requests += 1;
            self.out.push_back(Output::Request(peer, block));
        }
    }

    /// Returns whether a reader is blocked on this piece before all others, and no block of it was
    /// requested yet.
    pub(super) fn is_first_of_blocking(&self, piece: u32) -> bool {
        let first = self.blocking().is_some_and(|w| w.piece == piece);
        first && self.partial.get(&piece).is_none_or(|part| part.open == part.missing)
    }

    /// Requests one wanted block from an unlikely source if nothing is outstanding. Every peer is
    /// ruled out then, but an unlikely source is better than none. The likeliest comes first.
    pub(super) fn request_anything(&mut self) {
        if self.paused || self.is_new_peer_expected() {
            return;
        }
        let slack = self.slack_s();
        let idle = |p: &Peer| p.useful > 0 && p.queue.is_empty() && p.limit(self.now, slack, self.prior) > 0;
        let idle: Vec<(PeerKey, &Peer)> =
            self.peers.iter().filter(|(_, p)| idle(p)).map(|(key, p)| (*key, p)).collect();
        let Some(end) = idle.iter().map(|(_, p)| self.demands_within_horizon(p)).max() else { return };
        for at in self.open_from..end {
            let w = self.demand[at];
            if self.open_blocks(w.piece) == 0 {
                continue;
            }
            let able = idle.iter().filter(|(_, p)| p.can_ask(w.piece) && self.is_within_horizon(p, &w));
            let likeliest = able.min_by_key(|(_, p)| (p.snubbed, !p.serves(self.now))).map(|(key, _)| *key);
            let Some(peer) = likeliest else { continue };
            if let Some(block) = self.next_open(w.piece) {
                self.request(peer, block, false, None);
            }
            return;
        }
    }

    /// Returns whether a peer that has the piece on which a reader is blocked joined moments ago.
    fn is_new_peer_expected(&self) -> bool {
        let first = self.blocking();
        first.is_some_and(|w| self.peers.values().any(|p| p.bits.get(w.piece) && self.is_new(p)))
    }

    /// Returns the facts about a peer and a piece for a comparison rule.
    pub(super) fn share_of(&mut self, key: PeerKey, w: &Demand) -> Share {
        let known = self.supply.holders.get(&w.piece).copied();
        let (holders, total) = known.unwrap_or_else(|| {
            let able = |p: &&Peer| p.can_ask(w.piece) && p.serves(self.now) && !p.snubbed;
            let rates = self.peers.values().filter(able).map(|p| p.rate(self.prior));
            rates.fold((0, 0.0), |(n, total), rate| (n + 1, total + rate))
        });
        self.supply.holders.insert(w.piece, (holders, total));
        Share {
            due_s: w.due_s,
            blocks: self.layout.blocks_of(PieceIndex(w.piece)),
            taken: self.partial.get(&w.piece).map_or(0, |part| part.taken_by(key)),
            holders,
            rate: self.peers.get(&key).map_or(0.0, |p| p.rate(self.prior)),
            total_rate: total,
        }
    }
}
