//! The order in which pieces are wanted, and who is soon enough for which of them.
//!
//! In deadline order each block goes to the peer from which it is expected soonest. Dealing all blocks out at once would
//! be wrong a moment later, so only the *cutoffs* are kept: for each of the first pieces, the time by which the peers that
//! hold it could bring all that is open of it and of the pieces before. A peer that would be later leaves the piece to
//! the others and looks at the next one; so a fast peer's neighbours never hold up what the viewer waits for, and slow
//! peers work on what is due later.

use super::Picker;
use super::api::Policy;
use super::peer::Peer;
use crate::{BlockRef, PeerKey, PieceIndex, Time};

/// A piece that some reader will want.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) piece: u32,
    /// Seconds until its first reader runs dry without it; below zero where one waits for it.
    pub(super) due_s: f64,
    /// Seconds until it is shown, which is later where the player reads ahead; zero where that is not known.
    pub(super) shown_s: f64,
    /// When all that is open of it could be here.
    cutoff: Time,
}

/// What is due sooner than this is urgent.
const URGENT_S: f64 = 3.0;
/// What is due sooner than this is not given to peers that may well be late.
const RISKY_S: f64 = 10.0;
/// Cutoffs are computed for so many pieces with open blocks, and drawn on in a straight line for those behind.
const CUTOFF_PIECES: usize = 6;
/// A reader of unknown rate is taken to use this many bytes per second (8 Mbit/s: a good film).
const DEFAULT_READ_RATE: f64 = 1e6;
/// P2PMoD's split: what is due within so many seconds goes by deadline, the rest rarest first.
const DEADLINE_RAREST_S: f64 = 10.0;

impl Wanted {
    /// Whether all of it can be here before anybody would want something else meanwhile.
    pub(super) fn is_soon(&self, now: Time) -> bool {
        self.cutoff <= now.plus_secs(URGENT_S)
    }

    /// Whether nobody could bring it when that was last looked at.
    pub(super) fn is_new(&self) -> bool {
        self.cutoff == Time::NEVER
    }

    /// Whether its reader waits for it.
    pub(super) fn is_waited_for(&self) -> bool {
        self.due_s < 0.0
    }

    pub(super) fn is_urgent(&self) -> bool {
        self.due_s < URGENT_S
    }
}

impl Picker {
    /// Makes the plan anew where something changed it, and the cutoffs where they have aged.
    pub(super) fn refresh_plan(&mut self) {
        if self.plan_stale {
            self.make_plan();
            return;
        }
        // The more peers, the dearer the cutoffs, and the less one block changes them.
        let age = self.now.since(self.cutoffs_at).as_secs_f64();
        if age > (0.0002 * self.peers.len() as f64).max(0.01) {
            self.set_cutoffs();
        }
    }

    pub(super) fn make_plan(&mut self) {
        self.plan_stale = false;
        self.plan_made_at = self.now;
        self.plan_from = 0;
        let first = self.plan.first().map(|w| w.piece);
        self.plan.clear();
        self.comfortable = true;
        let (layout, now) = (self.layout, self.now);
        for r in self.readers.values_mut() {
            if r.position >= r.end {
                continue;
            }
            let last = layout.piece_at(r.end - 1).0;
            r.ready_to = r.ready_to.max(layout.piece_at(r.position).0);
            while r.ready_to <= last && self.have.get(r.ready_to) {
                r.ready_to += 1;
            }
            let ready = layout.start_of(PieceIndex(r.ready_to)).min(r.end).saturating_sub(r.position);
            let comfort = self.config.comfort_bytes_at(r.rate());
            let fetch_end = r.fetch_end();
            if ready < comfort.min(fetch_end.saturating_sub(r.position)) {
                self.comfortable = false;
            }
            let lead_s = r.lead_s(now);
            let known = r.rate().is_some();
            let rate = r.rate().unwrap_or(DEFAULT_READ_RATE).max(1.0);
            let horizon = self.config.horizon_bytes.max(2 * comfort);
            let stop = (r.position + ready).saturating_add(horizon).min(fetch_end);
            let mut piece = r.ready_to;
            while piece <= last && layout.start_of(PieceIndex(piece)) < stop {
                if !self.have.get(piece) {
                    let ahead = layout.start_of(PieceIndex(piece)).saturating_sub(r.position);
                    let mut due_s = ahead as f64 / rate;
                    if piece == r.ready_to && r.waits_for(now, due_s) {
                        due_s = -1.0;
                    }
                    let shown_s = if known { due_s.max(0.0) + lead_s } else { 0.0 };
                    self.plan.push(Wanted { piece, due_s, shown_s, cutoff: Time::NEVER });
                }
                piece += 1;
            }
        }
        self.plan.sort_by(|a, b| a.due_s.total_cmp(&b.due_s).then(a.piece.cmp(&b.piece)));
        if self.readers.len() > 1 {
            let mut seen = std::collections::BTreeSet::new();
            self.plan.retain(|w| seen.insert(w.piece));
        }
        if self.plan.first().map(|w| w.piece) != first {
            self.waited_at = self.now;
        }
        self.set_prior();
        self.count_viewers();
        self.set_cutoffs();
    }

    /// The median rate of measured peers is the best guess for the others.
    fn set_prior(&mut self) {
        let mut rates: Vec<f64> =
            self.peers.values().filter(|p| p.samples > 0).map(|p| p.rate(super::PRIOR_RATE)).collect();
        self.prior = match rates.len() {
            0 => super::PRIOR_RATE,
            n => *rates.select_nth_unstable_by(n / 2, f64::total_cmp).1,
        };
    }

    fn set_cutoffs(&mut self) {
        self.cutoffs_at = self.now;
        if self.config.policy != Policy::EarliestArrival || self.plan.is_empty() {
            return;
        }
        // For each peer that serves: when it could begin on a further block, how much later it may well be, and its blocks
        // per second.
        let (now, prior) = (self.now, self.prior);
        let serving: Vec<(&Peer, f64, f64, f64)> = self
            .peers
            .values()
            .filter(|p| p.serves(now) && !p.snubbed)
            .map(|p| {
                let s = p.service_s(prior);
                (p, p.arrival(now, prior).since(now).as_secs_f64() - s, p.risk_s(prior), 1.0 / s)
            })
            .collect();
        let mut open_so_far = 0.0;
        let mut computed = 0;
        let (mut last_cutoff, mut last_open, mut last_rate) = (0.0, 0.0, 1.0);
        let mut plan = std::mem::take(&mut self.plan);
        let mut holders: Vec<(f64, f64)> = Vec::with_capacity(serving.len());
        for w in &mut plan {
            let open = f64::from(self.open_blocks(w.piece));
            if open == 0.0 {
                // All of it is asked for: it will be here before anything behind it.
                w.cutoff = now.plus_secs(last_cutoff);
                continue;
            }
            open_so_far += open;
            if computed < CUTOFF_PIECES {
                computed += 1;
                holders.clear();
                // Not whoever only has it: a peer that chokes us gives what it allows, and nothing else.
                let able = serving.iter().filter(|(p, ..)| p.can_ask(w.piece) && !self.holds_back(p, w));
                // Counted as it will be when blocks are picked: else nobody at all may be in time for the rest of a piece
                // that one unsteady peer alone has.
                let risky = w.due_s < RISKY_S;
                holders.extend(able.map(|(_, at, risk, rate)| (at + if risky { *risk } else { 0.0 }, *rate)));
                last_cutoff = finish(&holders, open_so_far);
                last_open = open_so_far;
                last_rate = holders.iter().map(|h| h.1).sum::<f64>().max(1e-3);
                w.cutoff = now.plus_secs(last_cutoff);
            } else {
                w.cutoff = now.plus_secs(last_cutoff + (open_so_far - last_open) / last_rate);
            }
        }
        self.plan = plan;
    }

    /// The block that this peer should bring next of what is due within `within_s`, by the policy; `None` where it has
    /// nothing to bring in time.
    pub(super) fn pick(&mut self, peer: PeerKey, within_s: f64) -> Option<BlockRef> {
        let p = self.peers.get(&peer)?;
        let policy = self.config.policy;
        let arrival = p.arrival(self.now, self.prior);
        let risk_s = p.risk_s(self.prior);
        // A peer that nobody knows yet is measured on a real block, unless that would be the piece's last.
        let trial = !p.measured() && !p.snubbed;
        // While a reader waits for small pieces the next stranger has the next block, whoever would be sooner by a guess: there
        // is a second one for each that would keep it waiting.
        let next_stranger = trial && p.queue.is_empty() && self.plan.first().is_some_and(Wanted::is_waited_for);
        let tolerance = 0.1 * p.service_s(self.prior);
        // A peer that went quiet proves itself on what is not urgent, as long as there are others.
        let proving = p.snubbed && self.peers.values().any(|o| !o.snubbed && o.serves(self.now));
        let mut at = self.plan_from;
        let mut leading = true;
        while let Some(w) = self.plan.get(at).copied() {
            let open = self.open_blocks(w.piece);
            if open == 0 {
                at += 1;
                if leading {
                    self.plan_from = at;
                }
                continue;
            }
            leading = false;
            let within_s = if policy == Policy::DeadlineRarest { within_s.min(DEADLINE_RAREST_S) } else { within_s };
            if w.due_s > within_s {
                break;
            }
            let p = self.peers.get(&peer)?;
            let fits = !(self.holds_back(p, &w) || (proving && w.is_urgent()))
                && self.may_take(peer, p, w.piece)
                && match policy {
                    Policy::EarliestArrival => {
                        // Whoever takes a piece alone takes it whole, however long it needs.
                        self.partial.get(&w.piece).is_some_and(|part| part.solo == Some(peer))
                            || arrival.plus_secs(if w.due_s < RISKY_S { risk_s } else { 0.0 })
                                <= w.cutoff.plus_secs(tolerance)
                            || (trial && open > 2 * self.peers.len() as u32)
                            || (next_stranger && self.is_small(w.piece))
                    }
                    Policy::Even | Policy::Proportional => self.quota(peer, w.piece),
                    Policy::DeadlineRarest | Policy::Sequential => true,
                };
            if fits && self.may_take_on(w.piece, at) {
                return self.next_open(w.piece);
            }
            at += 1;
        }
        None
    }

    /// GnuStream's splits: whether this peer still has a share in this piece.
    fn quota(&self, peer: PeerKey, piece: u32) -> bool {
        let Some(part) = self.partial.get(&piece) else { return true };
        let blocks = part.blocks.len() as f64;
        let holders = self.peers.values().filter(|p| p.can_ask(piece) && p.serves(self.now) && !p.snubbed);
        let share = match self.config.policy {
            Policy::Proportional => {
                let all: f64 = holders.map(|p| p.rate(self.prior)).sum();
                self.peers.get(&peer).map_or(0.0, |p| p.rate(self.prior)) / all.max(1.0)
            }
            _ => 1.0 / holders.count().max(1) as f64,
        };
        f64::from(part.taken_by(peer)) < (blocks * share).ceil()
    }
}

/// When peers that can begin at `at` and bring `rate` blocks a second have together brought `blocks` whole ones:
/// seconds from now. Infinite where there is nobody.
fn finish(peers: &[(f64, f64)], blocks: f64) -> f64 {
    let rate: f64 = peers.iter().map(|p| p.1).sum();
    if rate <= 0.0 {
        return f64::INFINITY;
    }
    let first = peers.iter().map(|p| p.0 + 1.0 / p.1).fold(f64::INFINITY, f64::min);
    let brought = |t: f64| peers.iter().map(|(at, rate)| ((t - at) * rate).max(0.0).floor()).sum::<f64>();
    let (mut low, mut high) = (first, first + blocks / rate);
    // Late beginners and unfinished blocks push the end out; doubling finds a bound quickly.
    while brought(high) < blocks {
        let span = (high - first).max(1e-3);
        low = high;
        high = first + 2.0 * span;
    }
    // To a thousandth of the span: far below what the rates are known to.
    for _ in 0..12 {
        let middle = 0.5 * (low + high);
        if brought(middle) < blocks { low = middle } else { high = middle }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::finish;

    #[test]
    fn equal_peers_finish_together() {
        let peers = vec![(0.0, 10.0); 4];
        assert!((finish(&peers, 40.0) - 1.0).abs() < 0.01);
    }

    #[test]
    fn a_peer_too_slow_to_bring_one_block_in_time_does_not_count() {
        // Ten blocks a second beside one that needs five seconds for a block.
        let t = finish(&[(0.0, 10.0), (0.0, 0.2)], 20.0);
        assert!((t - 2.0).abs() < 0.02, "{t}");
    }

    #[test]
    fn nobody_never_finishes() {
        assert!(finish(&[], 1.0).is_infinite());
    }
}
