//! Supply: which peers can deliver what, and when.
//!
//! Dealing all blocks out at once would be wrong a moment later, so only the *cutoffs* are kept:
//! for each of the first demands, the time by which the peers that hold it can have brought all
//! that is open of it and before it. A peer that would be later leaves the piece to the others and
//! looks at the next one. So all useful peers end together, a slow peer holds up nothing that a
//! reader waits for, and slow peers work on what is due later.
//!
//! Among viewers supply has a horizon: their uploads are small, and an idle seed (one that has all
//! and watches nothing) is all that those have who find nothing elsewhere
//! (docs/adr/0010-among-viewers.md).

use super::Picker;
use super::demand::{Class, Demand};
use super::peer::Peer;
use super::reader::Reader;
use super::tuning::{BURST_BLOCKS, LONG_S, PATIENCE_S, PRIOR_RATE, PROBE_BLOCKS, SOON_S, STUCK_S, URGENT_S};
use crate::BLOCK_BYTES;
use crate::{PieceIndex, Time};
use std::collections::BTreeMap;

/// Demands with open blocks for which a cutoff is computed; for those behind, it is extrapolated in
/// a straight line.
const CUTOFFS: usize = 6;
/// Seconds after which cutoffs are computed again; for each peer that many more, since more peers
/// make them dearer and a single block less important.
const CUTOFF_AGE_S: f64 = 0.01;
const CUTOFF_AGE_PER_PEER_S: f64 = 0.0002;

/// What is known of all peers together, computed with the cutoffs.
#[derive(Debug, Default)]
pub(super) struct Supply {
    computed_at: Time,
    /// Whether an idle seed is asked only for what is shown soon.
    spares_seeds: bool,
    /// Whether viewers that have all deliver enough for the readers.
    full_viewers: bool,
    /// By piece, its holders and their rates together, as far as a comparison rule asked for them.
    pub(super) holders: BTreeMap<u32, (usize, f64)>,
    /// Blocks under way in a round trip of each measured peer.
    in_flight: f64,
    /// The first demands that are fetched as one with the piece on which a reader is blocked, and
    /// their blocks.
    pub(super) run: usize,
    pub(super) run_blocks: u32,
    /// Of these, the ones that any peer may begin with.
    pub(super) near: usize,
}

impl Picker {
    pub(super) fn make_supply(&mut self) {
        self.set_prior();
        self.count_viewers();
        self.set_cutoffs();
    }

    pub(super) fn refresh_supply(&mut self) {
        let age = self.now.since(self.supply.computed_at).as_secs_f64();
        if age > (CUTOFF_AGE_PER_PEER_S * self.peers.len() as f64).max(CUTOFF_AGE_S) {
            self.set_cutoffs();
        }
    }

    /// The median rate of measured peers is the best guess for the others.
    fn set_prior(&mut self) {
        let measured = self.peers.values().filter(|p| p.samples > 0);
        let mut rates: Vec<f64> = measured.map(|p| p.rate(PRIOR_RATE)).collect();
        self.prior = match rates.len() {
            0 => PRIOR_RATE,
            n => *rates.select_nth_unstable_by(n / 2, f64::total_cmp).1,
        };
    }

    fn set_cutoffs(&mut self) {
        self.supply.computed_at = self.now;
        self.supply.holders.clear();
        let (now, prior) = (self.now, self.prior);
        let serving: Vec<Start<'_>> =
            self.peers.values().filter(|p| p.serves(now) && !p.snubbed).map(|p| Start::of(p, now, prior)).collect();
        self.supply.in_flight = serving.iter().filter(|s| s.peer.measured()).map(|s| s.peer.in_flight(prior)).sum();
        let (mut open_so_far, mut computed) = (0.0, 0);
        let (mut last_cutoff, mut last_open, mut last_rate) = (0.0, 0.0, 1.0);
        let mut cutoffs = Vec::with_capacity(self.demand.len());
        let mut holders: Vec<(f64, f64)> = Vec::with_capacity(serving.len());
        for w in self.demand.iter() {
            let open = f64::from(self.open_blocks(w.piece));
            if open == 0.0 || w.class == Class::Target {
                // All of it is requested: it will be here before what lies behind it.
                cutoffs.push(now.plus_secs(last_cutoff));
                continue;
            }
            open_so_far += open;
            if computed == CUTOFFS {
                cutoffs.push(now.plus_secs(last_cutoff + (open_so_far - last_open) / last_rate));
                continue;
            }
            computed += 1;
            holders.clear();
            // A peer that chokes us gives what it allows, and nothing else.
            let able = serving.iter().filter(|s| s.peer.can_ask(w.piece) && self.is_within_horizon(s.peer, w));
            // As in the gain of a request: else no peer may be in time for the rest of a piece that
            // one unsteady peer has.
            holders.extend(able.map(|s| (s.at_s + if w.due_s < SOON_S { s.risk_s } else { 0.0 }, s.blocks_per_s)));
            last_cutoff = finish(&holders, open_so_far);
            last_open = open_so_far;
            last_rate = holders.iter().map(|h| h.1).sum::<f64>().max(1e-3);
            cutoffs.push(now.plus_secs(last_cutoff));
        }
        self.demand.iter_mut().zip(cutoffs).for_each(|(w, cutoff)| w.cutoff = cutoff);
        self.set_run();
    }

    /// Small pieces right behind the one on which a reader is blocked count as one with it, or a
    /// reader would get one small piece a round trip.
    fn set_run(&mut self) {
        let most = BURST_BLOCKS.max(self.supply.in_flight as u32);
        let (mut run, mut near, mut blocks) = (0, 0, 0);
        let first = self.demand.first().map_or(0, |w| w.piece);
        let mut next = first;
        for (n, w) in self.demand.iter().enumerate().take_while(|(_, w)| w.due_s < URGENT_S) {
            if w.piece != next {
                continue;
            }
            let more = self.layout.blocks_of(PieceIndex(w.piece));
            if blocks > 0 && blocks + more > most {
                break;
            }
            next += 1;
            blocks += more;
            run = n + 1;
            if blocks == more || blocks <= BURST_BLOCKS {
                near = run;
            }
        }
        (self.supply.run, self.supply.run_blocks, self.supply.near) = (run, blocks, near);
    }

    /// A block came through the viewer's line.
    pub(super) fn measure_line(&mut self, bytes: u32) {
        let kept = self.line_bytes_per_s();
        (self.line_rate, self.line_rate_at) = (kept + f64::from(bytes) / PATIENCE_S, self.now);
    }

    /// What arrives from all peers, bytes per second.
    fn line_bytes_per_s(&self) -> f64 {
        self.line_rate * (-self.now.since(self.line_rate_at).as_secs_f64() / PATIENCE_S).exp()
    }

    /// Whether so much is on its way from all peers together that a seek would wait for long behind
    /// it.
    pub(super) fn is_line_full(&self) -> bool {
        let queued = STUCK_S * self.line_bytes_per_s() / f64::from(BLOCK_BYTES);
        self.outstanding as f64 > f64::from(BURST_BLOCKS) + self.supply.in_flight + queued
    }

    /// Requests that unmeasured peers get in all while a reader is blocked on this piece.
    pub(super) fn probe_blocks(&self, piece: u32) -> usize {
        PROBE_BLOCKS.max(self.layout.blocks_of(PieceIndex(piece))) as usize
    }

    /// Decides whether idle seeds are spared: as long as there are as many viewers to ask in their
    /// place, and what these deliver is enough for the film. What peers say of themselves proves
    /// nothing.
    pub(super) fn count_viewers(&mut self) {
        let (mut viewers, mut seeds, mut rate, mut full_rate) = (0, 0, 0.0, 0.0);
        for p in self.peers.values().filter(|p| p.serves(self.now) && !p.snubbed) {
            if p.views {
                let believed = self.believed_rate(p);
                viewers += 1;
                rate += believed;
                full_rate += if p.bits.is_full() { believed } else { 0.0 };
            } else if p.bits.is_full() {
                seeds += 1;
            }
        }
        let readers = self.readers.values().filter(|r| r.position < r.end);
        let wanted: f64 = readers.filter_map(Reader::rate).sum();
        self.supply.spares_seeds = seeds > 0 && viewers >= seeds && rate >= wanted;
        self.supply.full_viewers = full_rate > 0.0 && full_rate >= wanted;
    }

    /// A viewer's rate, bytes per second, as far as it was measured. A new one is taken at its
    /// word.
    fn believed_rate(&self, p: &Peer) -> f64 {
        if p.measured() {
            p.rate(self.prior)
        } else if self.now.since(p.joined).as_secs_f64() < SOON_S {
            f64::INFINITY
        } else {
            0.0
        }
    }

    fn is_spared_seed(&self, p: &Peer) -> bool {
        self.supply.spares_seeds && !p.views && p.bits.is_full()
    }

    /// Whether this peer is asked only for what is shown within a horizon.
    pub(super) fn has_horizon(&self, p: &Peer) -> bool {
        (p.views || self.is_spared_seed(p)) && !self.fetch_all && self.rule.is_none()
    }

    /// Whether this piece is shown within the horizon of this peer. Seek targets are asked of
    /// viewers, and of idle seeds where no other peer has them.
    pub(super) fn is_within_horizon(&self, p: &Peer, w: &Demand) -> bool {
        if !self.has_horizon(p) {
            return true;
        }
        let others_have = || self.supply.full_viewers || self.availability.is_at_partial(w.piece);
        let spared = self.is_spared_seed(p) && w.shown_s > SOON_S && others_have();
        !spared && (w.class == Class::Target || w.shown_s <= LONG_S)
    }
}

/// A peer that serves: when it could begin on a further block, how much later it may well be, and
/// its rate.
struct Start<'a> {
    peer: &'a Peer,
    at_s: f64,
    risk_s: f64,
    blocks_per_s: f64,
}

impl Start<'_> {
    fn of(peer: &Peer, now: Time, prior: f64) -> Start<'_> {
        let service_s = peer.service_s(prior);
        let at_s = peer.arrival(now, prior).since(now).as_secs_f64() - service_s;
        Start { peer, at_s, risk_s: peer.risk_s(prior), blocks_per_s: 1.0 / service_s }
    }
}

/// Returns when peers that can begin at `at` and bring `rate` blocks a second have together brought
/// `blocks` whole ones: seconds from now. Infinite without peers.
fn finish(peers: &[(f64, f64)], blocks: f64) -> f64 {
    let rate: f64 = peers.iter().map(|p| p.1).sum();
    if rate <= 0.0 {
        return f64::INFINITY;
    }
    let first = peers.iter().map(|p| p.0 + 1.0 / p.1).fold(f64::INFINITY, f64::min);
    // Whole blocks: a cast is several times as fast as `floor` here.
    let brought = |t: f64| peers.iter().map(|(at, rate)| ((t - at) * rate).max(0.0) as i64).sum::<i64>() as f64;
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
    fn no_peer_never_finishes() {
        assert!(finish(&[], 1.0).is_infinite());
    }
}
