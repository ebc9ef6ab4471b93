//! Price: a request is made if its gain is at least its price ([`Picker::is_worth`]), both in
//! seconds.
//!
//! The *gain* of a first request is the time by which it completes the piece sooner than the other
//! holders would. The gain of a duplicate is the time by which it is answered sooner than the
//! outstanding request.
//!
//! The *price* of a first request is the delay of a blocked reader that shares the viewer's line
//! with it. It is zero for the blocked piece and the pieces that are fetched together with it, and
//! infinite for later pieces while enough blocks are outstanding. The price of a duplicate grows
//! with the share of bytes already wasted.

use super::Picker;
use super::demand::{Class, Demand};
use super::peer::Peer;
use super::piece::{Block, MAX_ASKERS};
use super::runs::Pick;
use super::tuning::{
    BURST_BLOCKS, DUPLICATE_GAIN, PATIENCE_S, PROBE_BLOCKS, SOON_S, START_S, STUCK_S, TICK_S, URGENT_S,
};
use crate::BLOCK_BYTES;
use crate::{BlockRef, PeerKey, PieceIndex, Time};

/// Number of incomplete pieces that are checked for duplicates. Later ones are rarely due before
/// the next check.
const DUPLICATE_PIECES: usize = 2;

/// The present offer of a peer, and how far ahead it may be asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offer {
    /// Time at which a block requested now would arrive.
    pub(super) arrival_s: f64,
    /// Likely delay beyond it.
    pub(super) risk_s: f64,
    service_s: f64,
    measured: bool,
    /// Whether it sent a block.
    proved: bool,
    /// Whether it has no outstanding requests.
    idle: bool,
    /// Whether it was snubbed and gets only requests that are not urgent, since there are other
    /// peers.
    proving: bool,
    /// Demands due within this time are free, later ones too expensive.
    pub(super) reach_s: f64,
}

/// A possible request to a peer: an open block, or one that is expected from others.
#[derive(Clone, Copy, Debug)]
enum Request {
    First {
        open: u32,
    },
    Duplicate {
        /// Expected arrival of the block from the peers that were asked.
        expected_s: f64,
        /// Whether none of these peers was measured.
        unmeasured: bool,
    },
}

impl Picker {
    /// Returns what to request next from this peer; `None` if no request is worth its price.
    pub(super) fn pick(&mut self, peer: PeerKey) -> Option<Pick> {
        self.skip_requested();
        let p = self.peers.get(&peer)?;
        let end = self.demands_within_horizon(p);
        let offer = self.offer(peer)?;
        if let Some(pick) = self.pick_duplicate(peer, &offer) {
            return Some(pick);
        }
        let (mut at, mut targets) = (self.open_from, true);
        while at < end {
            let w = self.demand[at];
            // All that follow are too dear as well.
            if w.due_s > offer.reach_s {
                return None;
            }
            let block = match w.class {
                Class::Target if targets => {
                    targets = false;
                    self.pick_target(peer)
                }
                Class::Target => None,
                _ => self.pick_open(peer, &offer, &w, at, false),
            };
            if let Some(block) = block {
                return Some(Pick::open(block, Some(at)));
            }
            at += 1;
        }
        let beyond = if offer.reach_s.is_infinite() { self.pick_rarest(peer) } else { None };
        beyond.map(|block| Pick::open(block, None))
    }

    /// Returns the first open block of a piece, the `at`th demand, if it is worth its price. The
    /// price does not matter for one that is `early` at any rate.
    pub(super) fn pick_open(
        &mut self,
        key: PeerKey,
        offer: &Offer,
        w: &Demand,
        at: usize,
        early: bool,
    ) -> Option<BlockRef> {
        let p = self.peers.get(&key)?;
        if !p.bits.get(w.piece) || !self.is_within_horizon(p, w) {
            return None;
        }
        let open = self.open_blocks(w.piece);
        if open == 0 || !self.may_take(key, p, w.piece) {
            return None;
        }
        let share = self.rule.is_some().then(|| self.share_of(key, w));
        let worth = early
            || self.is_solo(w.piece, key)
            || match (&self.rule, share) {
                (Some(rule), Some(share)) => rule.takes(&share),
                _ => self.is_worth(offer, w, Request::First { open }),
            };
        if worth && self.reserve(w.piece, at) { self.next_open(w.piece) } else { None }
    }

    /// Returns whether the gain of a request is at least its price.
    fn is_worth(&self, offer: &Offer, w: &Demand, request: Request) -> bool {
        self.gain_s(offer, w, request) >= self.price_s(offer, w, request)
    }

    /// Returns the time by which the piece is expected sooner with this request, in seconds.
    fn gain_s(&self, offer: &Offer, w: &Demand, request: Request) -> f64 {
        let now_s = self.now.as_secs_f64();
        match request {
            // An unmeasured peer is measured with a real block, unless that is among the last of
            // the piece. While a reader is blocked on small pieces, each peer that sent nothing yet
            // gets one block, although another may be sooner by a guess: a duplicate compensates
            // for it.
            Request::First { open }
                if !offer.measured
                    && (open > 2 * self.peers.len() as u32
                        || (offer.idle && !offer.proved && self.blocking().is_some() && self.is_small(w.piece))) =>
            {
                f64::INFINITY
            }
            Request::First { .. } => {
                let risk_s = if w.due_s < SOON_S { offer.risk_s } else { 0.0 };
                w.cutoff.as_secs_f64() + 0.1 * offer.service_s - offer.arrival_s - risk_s
            }
            Request::Duplicate { expected_s, unmeasured } => {
                // A piece that arrives before its reader needs it is soon enough. Behind a blocked
                // reader is a player that shows nothing before it has more than the first piece. But
                // on a busy line such duplicates would delay that one.
                let starts = self.blocking().is_some() && !self.is_line_busy();
                let start_s = if starts { START_S } else { 0.0 };
                let arrival_s = offer.arrival_s.max(now_s + (w.due_s - start_s).max(0.0));
                let (left_s, after_s) = (expected_s - now_s, arrival_s - now_s);
                if unmeasured && w.is_blocking() && left_s > 0.0 {
                    left_s * (-after_s / left_s).exp()
                } else {
                    left_s - after_s
                }
            }
        }
    }

    /// Returns the price of a request, in seconds of waiting.
    fn price_s(&self, offer: &Offer, w: &Demand, request: Request) -> f64 {
        let Request::Duplicate { expected_s, .. } = request else {
            let dear = w.due_s > offer.reach_s || (offer.proving && w.is_urgent());
            return if dear { f64::INFINITY } else { 0.0 };
        };
        let left_s = expected_s - self.now.as_secs_f64();
        let price_s = (DUPLICATE_GAIN * left_s).max(0.1 * TICK_S) * self.waste().powi(3).max(1.0);
        if w.is_blocking() && w.shown_s <= URGENT_S {
            // A stall justifies a duplicate at any share of waste, but each one raises the price.
            price_s.min(PATIENCE_S * (1 + self.duplicates.len()) as f64)
        } else {
            price_s
        }
    }

    /// Returns the bytes of duplicates, with one more block, as a share of the permitted waste.
    /// Those sent within [`PATIENCE_S`] count in full, since it is not known yet which of them
    /// arrive twice.
    fn waste(&self) -> f64 {
        let sent = (self.duplicates.len() as u64 + 1) * u64::from(BLOCK_BYTES);
        let spent = (self.counters.duplicate_bytes + sent) as f64;
        // A player that starts justifies duplicates, too: half of its read-ahead and a burst count
        // as received. But a clip may not waste a larger share of its bytes than a film.
        let wanted: u64 = self.readers.values().map(|r| r.fetch_end().saturating_sub(r.position)).sum();
        let credit = wanted.min(self.config.horizon_bytes) / 2 + u64::from(BURST_BLOCKS) * u64::from(BLOCK_BYTES);
        let credit = credit.min(self.layout.total_bytes() / 2);
        spent / (self.config.hedge_share * (self.counters.received_bytes + credit) as f64).max(1.0)
    }

    pub(super) fn offer(&self, key: PeerKey) -> Option<Offer> {
        let p = self.peers.get(&key)?;
        Some(Offer {
            arrival_s: p.arrival(self.now, self.prior).as_secs_f64(),
            risk_s: p.risk_s(self.prior),
            service_s: p.service_s(self.prior),
            measured: p.measured() || p.snubbed,
            proved: p.samples > 0,
            idle: p.queue.is_empty(),
            proving: p.snubbed && self.peers.values().any(|o| !o.snubbed && o.serves(self.now)),
            reach_s: self.reach_s(p),
        })
    }

    /// Returns how far ahead a peer may be asked without delaying a blocked reader, in seconds.
    /// Zero permits only the blocking piece, since all other blocks share the viewer's line with
    /// it.
    fn reach_s(&self, p: &Peer) -> f64 {
        const BLOCKING: f64 = 0.0;
        const NOTHING: f64 = -1.0;
        let Some(first) = self.demand.first().filter(|w| w.is_urgent()) else {
            return if self.is_line_full() { URGENT_S } else { f64::INFINITY };
        };
        let probes = self.probe_blocks(first.piece);
        let can_help = p.can_ask(first.piece) && self.open_blocks(first.piece) > 0;
        if !self.is_held(first) {
            // Dozens of unmeasured peers with a few blocks each would fill the line before urgent
            // blocks.
            let one_each = self.is_small(first.piece) && !p.queue.is_empty();
            let enough = !p.measured() && !can_help && (one_each || self.outstanding >= 2 * probes);
            return if enough { BLOCKING } else { f64::INFINITY };
        }
        if first.cutoff <= self.now.plus_secs(URGENT_S) {
            let run = self.demand.iter().take(self.supply.near);
            let lacks = !run.clone().any(|w| p.can_ask(w.piece));
            let full = self.outstanding as u64 * 2 > u64::from(self.supply.run_blocks);
            if lacks || (full && self.open_from >= self.supply.run) {
                return BLOCKING;
            }
        }
        if p.measured() {
            return URGENT_S;
        }
        if self.others_will_come(p, first) {
            return NOTHING;
        }
        if self.outstanding >= probes && !can_help {
            return BLOCKING;
        }
        // An unmeasured peer is asked for the first few small pieces only.
        let near = PROBE_BLOCKS / self.layout.blocks_of(PieceIndex(first.piece)).max(1);
        match near {
            _ if p.samples > 0 => URGENT_S,
            0 | 1 => URGENT_S,
            near => self.demand.get(near as usize - 1).map_or(URGENT_S, |w| w.due_s),
        }
    }

    /// Returns whether the piece that blocks a reader will soon arrive, which is assumed as soon as
    /// a peer that has it joined. If no block of it arrived for a while, its arrival is unknown,
    /// and other requests need not wait for it. On a busy line it may be queued behind other
    /// blocks, and more of those would only delay it.
    fn is_held(&self, first: &Demand) -> bool {
        let is_late = self.now.since(self.progress_at).as_secs_f64() > STUCK_S;
        if !first.is_blocking() || (is_late && !self.is_line_busy()) {
            return false;
        }
        let comes = |p: &Peer| p.can_ask(first.piece) || (p.bits.get(first.piece) && self.is_new(p));
        let unknown = first.cutoff == Time::NEVER && self.peers.values().any(comes);
        unknown || first.cutoff <= self.now.plus_secs(URGENT_S)
    }

    /// Returns whether it joined moments ago: its UNCHOKE may be under way.
    pub(super) fn is_new(&self, p: &Peer) -> bool {
        self.now.since(p.joined).as_secs_f64() < STUCK_S
    }

    /// Returns whether the blocks that block a reader will go to other unmeasured peers, those that
    /// joined with this one or are being dialled. Each of them delivers as many as this one has
    /// before this one delivers one more.
    fn others_will_come(&self, p: &Peer, first: &Demand) -> bool {
        if p.queue.is_empty() {
            return false;
        }
        let open = self.open_blocks(first.piece) as usize;
        let dialled = if self.now < self.dialled_until { self.dialled } else { 0 };
        let coming = |o: &&Peer| {
            let comes = self.is_new(o) || o.can_ask(first.piece);
            o.bits.get(first.piece) && !o.measured() && o.queue.is_empty() && comes
        };
        let enough = |others: usize| others > 0 && others * p.queue.len() >= open;
        enough(dialled) || enough(dialled + self.peers.values().filter(coming).count())
    }

    /// Returns whether each block of this piece can go to a different unmeasured peer.
    fn is_small(&self, piece: u32) -> bool {
        self.layout.blocks_of(PieceIndex(piece)) <= PROBE_BLOCKS
    }

    /// Returns a block of the first urgent pieces that is worth a duplicate: the one that is
    /// expected last. Only if no block is open.
    fn pick_duplicate(&mut self, key: PeerKey, offer: &Offer) -> Option<Pick> {
        let first = self.demand.first().filter(|w| w.is_urgent())?;
        let p = self.peers.get(&key).filter(|p| !p.snubbed && self.rule.is_none())?;
        if !(offer.measured || offer.idle) {
            return None;
        }
        let version = (self.counters.requests, self.counters.received_bytes);
        if let Some(latest) = self.latest.filter(|latest| latest.at == self.now && latest.version == version)
            && !self.is_worth(offer, first, latest.request())
        {
            return None;
        }
        let mut latest = Latest { at: self.now, version, expected_s: 0.0, unmeasured: false };
        let (mut looked, mut found) = (0, None);
        for w in self.demand.iter().take_while(|w| w.is_urgent()) {
            let Some(part) = self.partial.get(&w.piece) else { break };
            if part.missing == 0 {
                continue;
            }
            if looked == DUPLICATE_PIECES || part.open > 0 || part.failures > 0 {
                break;
            }
            looked += 1;
            let able = p.can_ask(w.piece) && self.is_within_horizon(p, w);
            let mut last: Option<(f64, Request, BlockRef)> = None;
            for (n, b) in part.blocks.iter().enumerate().filter(|(_, b)| !b.got) {
                let block = BlockRef { piece: PieceIndex(w.piece), block: n as u32 };
                let Some((expected_s, unmeasured)) = self.expected(b, block) else { continue };
                latest.expected_s = latest.expected_s.max(expected_s);
                latest.unmeasured |= unmeasured;
                // A third request only if a reader is blocked, and a peer that sent blocks can help
                // two unmeasured ones.
                let third = b.asked() == 1 || (unmeasured && offer.proved && w.is_blocking());
                if third && !b.is_asked_of(key) && last.is_none_or(|(latest_s, ..)| expected_s >= latest_s) {
                    last = Some((expected_s, Request::Duplicate { expected_s, unmeasured }, block));
                }
            }
            let last = last.filter(|(_, request, _)| able && self.is_worth(offer, w, *request));
            if let Some((_, request, block)) = last {
                found = Some((*w, request, block));
                break;
            }
        }
        self.latest = found.is_none().then_some(latest);
        let (w, request, block) = found?;
        self.counters.hedges += 1;
        self.duplicates.push_back(self.now);
        Some(self.duplicate_run(key, offer, &w, request, block))
    }

    /// Returns the duplicates that go to this peer with the one of `last`, the block that is
    /// expected last. A run is answered in ascending order, so blocks before it are added: the run
    /// meets that of the other peer, which comes from the front.
    fn duplicate_run(&mut self, key: PeerKey, offer: &Offer, w: &Demand, of_last: Request, last: BlockRef) -> Pick {
        let most = self.peers.get(&key).map_or(1, |p| p.run_blocks(true, self.prior));
        let mut pick = Pick { block: last, at: None, duplicates: 1 };
        while pick.duplicates < most && pick.block.block > 0 {
            let block = BlockRef { block: pick.block.block - 1, ..last };
            let Some(b) = self.partial.get(&last.piece.0).map(|part| part.blocks[block.block as usize]) else { break };
            if b.got || b.asked() != 1 || b.is_asked_of(key) {
                break;
            }
            let Some((expected_s, unmeasured)) = self.expected(&b, block) else { break };
            // The other blocks of the run come later by the time of this one.
            let later = Offer { arrival_s: offer.arrival_s + f64::from(pick.duplicates) * offer.service_s, ..*offer };
            let request = Request::Duplicate { expected_s, unmeasured };
            if !self.is_worth(offer, w, request) || !self.is_worth(&later, w, of_last) {
                break;
            }
            self.counters.hedges += 1;
            self.duplicates.push_back(self.now);
            pick = Pick { block, duplicates: pick.duplicates + 1, ..pick };
        }
        pick
    }

    /// Returns the expected arrival of a block from the peers that were asked for it, and whether
    /// none of them was measured. `None` if none or the most possible peers were asked.
    fn expected(&self, b: &Block, block: BlockRef) -> Option<(f64, bool)> {
        if b.asked() == MAX_ASKERS {
            return None;
        }
        let (mut expected, mut unmeasured) = (None, true);
        for p in b.askers.iter().flatten().filter_map(|key| self.peers.get(key)) {
            unmeasured &= !p.measured();
            let at = p.queue.iter().position(|ask| ask.block == block)?;
            let at = p.expected(at, self.now, self.prior);
            expected = expected.map_or(Some(at), |other: Time| Some(other.min(at)));
        }
        expected.map(|at| (at.as_secs_f64(), unmeasured))
    }
}

/// The block that was expected last when no duplicate was worth its price. Until something changes,
/// a peer for which a duplicate of it is not worth the price gets none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Latest {
    at: Time,
    /// Number of requests sent and bytes received by then.
    version: (u64, u64),
    expected_s: f64,
    unmeasured: bool,
}

impl Latest {
    fn request(&self) -> Request {
        Request::Duplicate { expected_s: self.expected_s, unmeasured: self.unmeasured }
    }
}
