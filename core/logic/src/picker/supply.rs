//! Supply: the pieces that each peer can deliver, and when.
//!
//! An assignment of all blocks would be outdated a moment later, so only the *cutoffs* are kept.
//! They are, for each of the first demands, the time by which its holders can deliver all open
//! blocks of it and before it. A peer that would be later leaves the piece to the others and
//! considers the next one. All useful peers thus end together, a slow peer delays no piece that a
//! reader waits for, and slow peers work on pieces that are due later.
//!
//! Among viewers supply has a horizon. Their uploads are small, and some viewers have no other
//! source than an idle seed, one that does not watch (docs/adr/0010-among-viewers.md).

use super::Picker;
use super::demand::{Class, Demand};
use super::peer::Peer;
use super::reader::Reader;
use super::tuning::{BURST_BLOCKS, PATIENCE_S, PRIOR_RATE, PROBE_BLOCKS, SOON_S, STUCK_S, URGENT_S};
use crate::BLOCK_BYTES;
use crate::{PieceIndex, Time};
use std::collections::BTreeMap;

/// Number of demands with open blocks for which a cutoff is computed. Beyond them it is
/// extrapolated linearly.
const CUTOFFS: usize = 6;
/// Seconds after which cutoffs are computed again; for each peer that many more, since more peers
/// make them dearer and a single block less important.
const CUTOFF_AGE_S: f64 = 0.01;
const CUTOFF_AGE_PER_PEER_S: f64 = 0.0002;

/// Rate below which a download of everything is worth further sources, bytes a second: an hour of
/// film in a few minutes, and no more than one connection gives on most lines.
const FETCH_BYTES_PER_S: f64 = 2.0 * 1024.0 * 1024.0;

/// Figures of all peers together, computed with the cutoffs.
#[derive(Debug, Default)]
pub(super) struct Supply {
    computed_at: Time,
    /// Whether an idle seed is asked only for pieces that are shown soon.
    spares_seeds: bool,
    /// Whether viewers that have every piece deliver enough for the readers.
    full_viewers: bool,
    /// By piece, the number of its holders and their total rate, if a comparison rule needed them.
    pub(super) holders: BTreeMap<u32, (usize, f64)>,
    /// Number of blocks that fit into a round trip of all measured peers.
    in_flight: f64,
    /// Number of first demands that are fetched together with the piece on which a reader is
    /// blocked, and of their blocks.
    pub(super) run: usize,
    pub(super) run_blocks: u32,
    /// Number of these demands with which any peer may begin.
    pub(super) near: usize,
}

impl Picker {
    /// The demand was made anew.
    pub(super) fn make_supply(&mut self) {
        self.set_prior();
        self.count_viewers();
        self.set_cutoffs();
    }

    /// Computes the cutoffs anew where they have aged.
    pub(super) fn refresh_supply(&mut self) {
        let age = self.now.since(self.supply.computed_at).as_secs_f64();
        if age > (CUTOFF_AGE_PER_PEER_S * self.peers.len() as f64).max(CUTOFF_AGE_S) {
            self.set_cutoffs();
        }
    }

    /// Updates the assumed rate of unmeasured peers: the median of the measured ones.
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
                // All of it is requested, so it arrives before later pieces.
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
            // A peer that chokes us sends only allowed fast pieces.
            let able = serving.iter().filter(|s| s.peer.can_ask(w.piece) && self.is_within_horizon(s.peer, w));
            // As in the gain of a request. Otherwise no peer might be in time for the rest of a
            // piece that one unsteady peer has.
            holders.extend(able.map(|s| (s.at_s + if w.due_s < SOON_S { s.risk_s } else { 0.0 }, s.blocks_per_s)));
            last_cutoff = finish(&holders, open_so_far);
            last_open = open_so_far;
            last_rate = holders.iter().map(|h| h.1).sum::<f64>().max(1e-3);
            cutoffs.push(now.plus_secs(last_cutoff));
        }
        self.demand.iter_mut().zip(cutoffs).for_each(|(w, cutoff)| w.cutoff = cutoff);
        self.set_run();
    }

    /// Counts the small pieces right behind the one on which a reader is blocked as one with it.
    /// Otherwise a reader would get one small piece per round trip.
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

    /// Counts a block that arrived.
    pub(super) fn measure_line(&mut self, bytes: u32) {
        let kept = self.line_bytes_per_s();
        (self.line_rate, self.line_rate_at) = (kept + f64::from(bytes) / PATIENCE_S, self.now);
    }

    /// Returns the total rate of arrival, in bytes per second.
    fn line_bytes_per_s(&self) -> f64 {
        self.line_rate * (-self.now.since(self.line_rate_at).as_secs_f64() / PATIENCE_S).exp()
    }

    /// Returns the number of blocks that the line delivers within [`STUCK_S`].
    fn line_blocks(&self) -> f64 {
        STUCK_S * self.line_bytes_per_s() / f64::from(BLOCK_BYTES)
    }

    /// Returns whether the outstanding blocks of all peers would delay a seek for long.
    pub(super) fn is_line_full(&self) -> bool {
        self.outstanding as f64 > f64::from(BURST_BLOCKS) + self.supply.in_flight + self.line_blocks()
    }

    /// Returns whether blocks arrive steadily, and those outstanding take longer than [`STUCK_S`].
    pub(super) fn is_line_busy(&self) -> bool {
        self.line_blocks() > 1.0 && self.outstanding as f64 > self.line_blocks()
    }

    /// Returns the number of outstanding requests at all peers beyond which an unmeasured peer is
    /// asked for nothing ahead of this piece, on which a reader is blocked.
    pub(super) fn probe_blocks(&self, piece: u32) -> usize {
        PROBE_BLOCKS.max(self.layout.blocks_of(PieceIndex(piece))) as usize
    }

    /// Decides whether idle seeds are spared: while there are as many viewers as idle seeds, and
    /// their measured delivery suffices for the film. Their own reports are no evidence. While every
    /// read-ahead is full, it is enough that viewers are there, whether they deliver or not: the
    /// film need not come sooner, and each viewer that reads far ahead at the origin takes its line
    /// from those that need it now. (Scenario: `p2pmod` with seeds 2 and 3.)
    pub(super) fn count_viewers(&mut self) {
        let (mut viewers, mut seeds, mut rate, mut full_rate) = (0, 0, 0.0, 0.0);
        for p in self.peers.values().filter(|p| !p.snubbed) {
            let serves = p.serves(self.now);
            if p.views && (serves || self.read_ahead_full) {
                let believed = self.believed_rate(p);
                viewers += 1;
                rate += believed;
                full_rate += if p.bits.is_full() { believed } else { 0.0 };
            } else if !p.views && serves && p.bits.is_full() {
                seeds += 1;
            }
        }
        let wanted = self.wanted_bytes_per_s();
        self.supply.spares_seeds = seeds > 0 && viewers >= seeds && (rate >= wanted || self.read_ahead_full);
        self.supply.full_viewers = full_rate > 0.0 && full_rate >= wanted;
    }

    /// Returns a peer's measured rate in bytes per second. An unmeasured peer counts as infinitely
    /// fast while it is new, and as useless later.
    fn believed_rate(&self, p: &Peer) -> f64 {
        if p.measured() {
            p.rate(self.prior)
        } else if self.now.since(p.joined).as_secs_f64() < SOON_S {
            f64::INFINITY
        } else {
            0.0
        }
    }

    /// Returns whether the peers deliver less than the readers use, so that further sources are worth
    /// a dial. False while every read-ahead is full. If everything is fetched, at least
    /// [`FETCH_BYTES_PER_S`] are worth it, also without readers. A peer that was silent for
    /// [`PATIENCE_S`] counts as useless, although its requests stand for longer if nothing is urgent.
    pub fn is_short(&self) -> bool {
        if self.read_ahead_full && !self.fetch_all {
            return false;
        }
        let delivers = |p: &&Peer| {
            let is_silent = p.owes() && p.quiet_s(self.now, self.prior) > p.patience_s(PATIENCE_S, self.prior);
            p.useful > 0 && p.serves(self.now) && !p.snubbed && !is_silent
        };
        let rate: f64 = self.peers.values().filter(delivers).map(|p| self.believed_rate(p)).sum();
        let wanted = self.wanted_bytes_per_s();
        rate < if self.fetch_all { wanted.max(FETCH_BYTES_PER_S) } else { wanted }
    }

    /// Returns what the readers use together.
    fn wanted_bytes_per_s(&self) -> f64 {
        let readers = self.readers.values().filter(|r| r.position < r.end);
        readers.filter_map(Reader::rate).sum()
    }

    fn is_spared_seed(&self, p: &Peer) -> bool {
        self.supply.spares_seeds && !p.views && p.bits.is_full()
    }

    /// Returns whether this peer is asked only for pieces that are shown within a horizon.
    pub(super) fn has_horizon(&self, p: &Peer) -> bool {
        (p.views || self.is_spared_seed(p)) && !self.fetch_all && self.rule.is_none()
    }

    /// Returns the number of first demands among which are all within the horizon of this peer.
    pub(super) fn demands_within_horizon(&self, p: &Peer) -> usize {
        if self.has_horizon(p) { self.within_horizon } else { self.demand.len() }
    }

    /// Whether this piece is shown within the horizon of this peer. Seek targets are asked of
    /// viewers, and of idle seeds where no other peer has them.
    pub(super) fn is_within_horizon(&self, p: &Peer, w: &Demand) -> bool {
        if !self.has_horizon(p) {
            return true;
        }
        let others_have = || self.supply.full_viewers || self.availability.is_at_partial(w.piece);
        let spared = self.is_spared_seed(p) && w.shown_s > SOON_S && others_have();
        !spared && w.is_within_horizon()
    }
}

/// A peer that serves: the time at which it could begin a further block, its likely delay, and its
/// rate.
struct Start<'a> {
    peer: &'a Peer,
    at_s: f64,
    risk_s: f64,
    blocks_per_s: f64,
}

impl Start<'_> {
    fn of(peer: &Peer, now: Time, prior: f64) -> Start<'_> {
        let service_s = peer.service_s(prior);
        let at_s = peer.arrival(now, prior).since(now).as_secs_f64() - service_s + peer.pause_s();
        Start { peer, at_s, risk_s: peer.risk_s(prior), blocks_per_s: 1.0 / service_s }
    }
}

/// Returns the time in seconds from now by which the peers together deliver `blocks` whole blocks.
/// Each begins at `at` and delivers `rate` blocks a second. Infinite without peers.
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
    // To a thousandth of the span: far more precise than the rates.
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
