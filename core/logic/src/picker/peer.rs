//! The model of one peer: its rate, its round trip, and how many requests it may have.
//!
//! Rates are measured only while a request is out. The bound on the queue follows the queueing
//! delay that the answers show (as in TCP Vegas and LEDBAT), so it holds whatever the round trip
//! really is.

use super::api::PeerFigures;
use super::tuning::{LONG_S, PATIENCE_S, PRIOR_RTT_S, PROBE_BLOCKS, RATE_MEMORY_S, SOON_S, STEADY_S};
use crate::BLOCK_BYTES;
use crate::{Bits, BlockRef, Time};
use std::collections::VecDeque;
use std::time::Duration;

/// A request that is out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    pub(super) block: BlockRef,
    pub(super) asked: Time,
    /// When the request went to the peer; before `asked` if it was given up and stands again.
    pub(super) sent: Time,
    /// The queue was at its bound when this was asked, so its delay says whether the bound is
    /// right.
    pub(super) filled: bool,
}

/// Least time after which a request without an answer counts as lost and is sent again, seconds. A slow
/// peer that has it would send the block twice.
const LOST_S: f64 = 10.0;
/// Bound on the requests beyond a peer's computed bound, blocks: half a MiB each half second.
const MAX_BURST: f64 = 32.0;
/// Bound on the refused pieces that are remembered of a peer.
const REFUSALS: usize = 64;
/// Rejects in a row, with nothing given in between, after which a peer counts as snubbed.
const MAX_REJECTS: u32 = 8;
/// Rate above which a measurement is a burst out of some buffer, bytes per second.
const MAX_RATE: f64 = 4e9;
/// Bound on the requests taken back whose answers are still expected; twice as many as ever were
/// out at once come on top.
const STALE_REQUESTS: usize = 1024;

/// A request that was taken back or given up, whose block may still come.
#[derive(Clone, Copy, Debug)]
pub(super) struct StaleRequest {
    pub(super) block: BlockRef,
    asked: Time,
    sent: Time,
    since: Time,
    /// The request still stands at the peer: it was given up without a CANCEL.
    live: bool,
}

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) bits: Bits,
    /// Whether it had all pieces at once, and is counted among the seeds.
    pub(super) counts_as_seed: bool,
    /// When its queue was last filled because of a HAVE.
    pub(super) had_at: Time,
    pub(super) joined: Time,
    pub(super) choked: bool,
    pub(super) fast: bool,
    /// Whether it watches the film.
    pub(super) views: bool,
    /// Whether others from its address gave blocks of pieces that failed.
    pub(super) suspected: bool,
    pub(super) allowed: Vec<u32>,
    /// Pieces of which it rejected a request, and the end of the time for which it is not asked
    /// again.
    refused: Vec<(u32, Time)>,
    refusal_s: f64,
    rejects: u32,
    pub(super) interested: bool,
    /// How many pieces it has that we lack.
    pub(super) useful: u32,
    pub(super) max_requests: u32,
    pub(super) queue: VecDeque<Ask>,
    /// Requests taken back or given up, whose blocks may still come, in the order of time.
    pub(super) stale: VecDeque<StaleRequest>,
    live_stale: usize,
    /// Most requests that were out at once.
    most_asked: usize,
    pub(super) received_bytes: u64,
    /// Blocks that it gave of pieces whose hash was right, and of pieces whose hash was wrong.
    pub(super) right_blocks: u32,
    pub(super) wrong_blocks: u32,
    /// Whether it went silent: nothing more is requested until it answers or `retry_at` has come.
    pub(super) snubbed: bool,
    pub(super) retry_at: Time,
    retry_after_s: f64,
    /// Bound on the queue until the first queueing delay is seen, blocks.
    window: f64,
    startup: bool,
    /// Factor of the computed bound: below 1 while answers wait longer than they should.
    back_off: f64,
    /// Requests beyond that bound, for a peer that answers in bursts.
    burst_allowance: f64,
    burst_began: Time,
    /// Whether the present burst has made the queue longer.
    burst_fed: bool,
    /// Decayed bytes and seconds of delivery. The rate is their ratio.
    bytes: f64,
    seconds: f64,
    pub(super) samples: u32,
    last_sample: Time,
    last_block: Time,
    last_heard: Time,
    /// Silence before requests that were taken back since, seconds. Without it, a peer that never
    /// answers would not become known for that where others are always sooner.
    quiet_before_s: f64,
    /// Time that the connection took to open, where known, seconds.
    rtt_hint: Option<f64>,
    /// Shortest time from a request to the first byte of its answer, in this and the last span of
    /// twice [`LONG_S`].
    base: [f64; 2],
    base_since: Time,
    /// Mean deviation of the latency around its estimate, seconds.
    deviation: f64,
}

impl Peer {
    pub(super) fn new(
        now: Time,
        rtt: Option<Duration>,
        max_requests: u32,
        fast: bool,
        pieces: u32,
        first: u32,
    ) -> Peer {
        Peer {
            bits: Bits::new(pieces),
            counts_as_seed: false,
            had_at: Time::ZERO,
            joined: now,
            choked: true,
            fast,
            views: false,
            suspected: false,
            allowed: Vec::new(),
            refused: Vec::new(),
            refusal_s: PATIENCE_S,
            rejects: 0,
            interested: false,
            useful: 0,
            max_requests: max_requests.clamp(1, super::MAX_REQUESTS),
            queue: VecDeque::new(),
            stale: VecDeque::new(),
            live_stale: 0,
            most_asked: 0,
            received_bytes: 0,
            right_blocks: 0,
            wrong_blocks: 0,
            snubbed: false,
            retry_at: Time::NEVER,
            retry_after_s: 0.5 * SOON_S,
            window: f64::from(first.max(1)),
            startup: true,
            back_off: 1.0,
            burst_allowance: 0.0,
            burst_began: Time::ZERO,
            burst_fed: false,
            bytes: 0.0,
            seconds: 0.0,
            samples: 0,
            last_sample: now,
            last_block: Time::ZERO,
            last_heard: now,
            quiet_before_s: 0.0,
            rtt_hint: rtt.map(|d| d.as_secs_f64()),
            base: [f64::INFINITY; 2],
            base_since: now,
            deviation: 0.0,
        }
    }

    pub(super) fn can_ask(&self, piece: u32) -> bool {
        self.bits.get(piece)
            && (!self.choked || self.allowed.contains(&piece))
            && !self.refused.iter().any(|(p, _)| *p == piece)
    }

    pub(super) fn refuse(&mut self, piece: u32, now: Time) {
        if self.refused.len() == REFUSALS {
            self.refused.remove(0);
        }
        let until = now.plus_secs(self.refusal_s);
        match self.refused.iter_mut().find(|(p, _)| *p == piece) {
            Some(known) => known.1 = until,
            None => self.refused.push((piece, until)),
        }
        self.rejects += 1;
        if self.rejects >= MAX_REJECTS {
            self.snub(now);
        }
        self.refusal_s = (self.refusal_s * 2.0).min(LONG_S);
    }

    pub(super) fn forget_refusals(&mut self, now: Time) {
        self.refused.retain(|(_, until)| *until > now);
    }

    /// Whether anything may be requested of it.
    pub(super) fn serves(&self, now: Time) -> bool {
        (!self.choked || !self.allowed.is_empty()) && (!self.snubbed || now >= self.retry_at)
    }

    pub(super) fn measured(&self) -> bool {
        self.samples >= 2
    }

    /// Returns its rate, bytes per second; `prior` while nothing was measured.
    pub(super) fn rate(&self, prior: f64) -> f64 {
        if self.seconds <= 0.0 {
            return prior;
        }
        // A few blocks say little: they are weighed against one block at the prior rate.
        let block = f64::from(BLOCK_BYTES);
        let weight = if self.samples < 8 { 1.0 } else { 0.0 };
        ((self.bytes + weight * block) / (self.seconds + weight * block / prior)).clamp(64.0, MAX_RATE)
    }

    /// Returns the blocks that are under way in a round trip at its rate.
    pub(super) fn in_flight(&self, prior: f64) -> f64 {
        self.rtt_s() / self.service_s(prior)
    }

    /// Returns the time of one block at its rate, seconds.
    pub(super) fn service_s(&self, prior: f64) -> f64 {
        f64::from(BLOCK_BYTES) / self.rate(prior)
    }

    /// Returns the time from a request to the first byte of its answer with an empty queue,
    /// seconds.
    pub(super) fn rtt_s(&self) -> f64 {
        let seen = self.base[0].min(self.base[1]);
        if seen.is_finite() { seen } else { self.rtt_hint.unwrap_or(PRIOR_RTT_S) }
    }

    /// Returns when a block requested now would be here.
    pub(super) fn arrival(&self, now: Time, prior: f64) -> Time {
        let s = self.service_s(prior);
        // What was taken back is mostly on its way already, and comes first.
        let stale = self.pending_stale(now, prior) as f64;
        let fresh = now.plus_secs(self.rtt_s().max(stale * s) + s);
        match self.queue.len() {
            0 => fresh,
            n => self.expected_after(stale, n - 1, now, prior).plus_secs(s).max(fresh),
        }
    }

    /// Returns how many of the blocks that were taken back will probably come all the same.
    fn pending_stale(&self, now: Time, prior: f64) -> usize {
        if self.stale.is_empty() {
            return 0;
        }
        let (s, rtt) = (self.service_s(prior), self.rtt_s());
        let comes = |n: usize| now.since(self.stale[n].since).as_secs_f64() < rtt + 1.5 * s * (n + 1) as f64;
        // They are in the order of time: from one on all of them come. As a rule none does.
        if !comes(self.stale.len() - 1) {
            return 0;
        }
        let (mut from, mut to) = (0, self.stale.len());
        while from < to {
            let middle = usize::midpoint(from, to);
            if comes(middle) { to = middle } else { from = middle + 1 }
        }
        self.stale.len() - from
    }

    /// Returns when the `n`th block of its queue is expected: blocks come one after another at its
    /// rate, none sooner than a round trip after its request. What is overdue is expected to take
    /// as long again as it is late.
    pub(super) fn expected(&self, n: usize, now: Time, prior: f64) -> Time {
        self.expected_after(self.pending_stale(now, prior) as f64, n, now, prior)
    }

    /// As [`Peer::expected`], with the number of stale blocks that come before.
    fn expected_after(&self, stale: f64, n: usize, now: Time, prior: f64) -> Time {
        let (s, rtt) = (self.service_s(prior), self.rtt_s());
        let (Some(head), Some(ask)) = (self.queue.front(), self.queue.get(n)) else { return now };
        let due = self.last_block.plus_secs(stale * s).max(head.asked.plus_secs(rtt)).plus_secs(s);
        let head_at = if due >= now {
            due
        } else {
            // Of a peer whose rate is not known, that it is late says that the rate was guessed too
            // high: then all the time since it was asked is what to go by.
            let since = if self.measured() { due.max(self.last_heard) } else { head.asked.max(self.last_block) };
            now.plus_secs(now.since(since).as_secs_f64().max(s * 0.5))
        };
        head_at.plus_secs(n as f64 * s).max(ask.asked.plus_secs(rtt + s))
    }

    /// Returns how much later than expected its blocks may well be, seconds: nothing for a steady
    /// peer, much for one whose line loses packets.
    pub(super) fn risk_s(&self, prior: f64) -> f64 {
        2.0 * (self.deviation - self.service_s(prior).max(STEADY_S)).max(0.0)
    }

    /// Returns how far the hashes of pieces so far speak for its blocks, from 0 to 1.
    pub(super) fn credibility(&self) -> f64 {
        f64::from(self.right_blocks + 1) / (f64::from(self.right_blocks) + f64::from(self.wrong_blocks) + 2.0)
    }

    /// A message that answers a request came.
    pub(super) fn is_heard(&mut self, now: Time) {
        self.last_heard = self.last_heard.max(now);
        self.quiet_before_s = 0.0;
    }

    /// Some bytes of a block came. A peer that goes on dribbling for long counts as silent, so that
    /// its blocks are requested elsewhere.
    pub(super) fn progresses(&mut self, now: Time, prior: f64) {
        let Some(head) = self.queue.front() else { return };
        let for_s = now.since(self.last_block.max(head.asked)).as_secs_f64();
        if for_s < SOON_S.max(3.0 * self.service_s(prior)) {
            self.is_heard(now);
        }
    }

    /// Returns its silence since an answer was due, seconds.
    pub(super) fn quiet_s(&self, now: Time, prior: f64) -> f64 {
        let Some(head) = self.queue.front() else { return 0.0 };
        let due = head.asked.plus_secs(self.rtt_s() + self.service_s(prior)).max(self.last_block).max(self.last_heard);
        self.quiet_before_s + now.since(due).as_secs_f64()
    }

    /// Returns the silence after which this peer counts as snubbed, seconds: never below `least`.
    pub(super) fn patience_s(&self, least: f64, prior: f64) -> f64 {
        let unsteady = (4.0 * self.deviation).min(2.0 * least);
        least.max(4.0 * self.service_s(prior)).max(3.0 * self.rtt_s()).max(unsteady)
    }

    /// Returns the bound on its queue: what is under way in a round trip, and `slack_s` of its
    /// rate.
    pub(super) fn limit(&self, now: Time, slack_s: f64, prior: f64) -> usize {
        let (s, rtt) = (self.service_s(prior), self.rtt_s());
        let least = if rtt > 0.3 * s { 2.0 } else { 1.0 };
        let steady = (1.0 + (rtt + slack_s.max(rtt / 4.0)) / s) * self.back_off + self.burst_allowance;
        let window = if self.startup { self.window.max(if self.measured() { steady } else { 0.0 }) } else { steady };
        // What was taken back and will come all the same takes its place in the queue; but two are
        // always asked for, as some peers do honour CANCEL.
        let stale = self.pending_stale(now, prior);
        let room = (window.max(least).ceil() as usize).saturating_sub(stale).max(2.min(least as usize));
        room.min((self.max_requests as usize).saturating_sub(self.live_stale))
    }

    /// A block is requested; `sent` is when its request went out, and `filled` whether the queue is at
    /// its bound with it.
    pub(super) fn ask(&mut self, block: BlockRef, sent: Time, now: Time, filled: bool) {
        if self.queue.is_empty() {
            self.last_heard = self.last_heard.max(now);
        }
        self.queue.push_back(Ask { block, asked: now, sent, filled });
        self.most_asked = self.most_asked.max(self.queue.len());
    }

    /// Takes back a request for which another peer was sooner. The silence until then is
    /// remembered.
    pub(super) fn take_back(&mut self, block: BlockRef, now: Time, prior: f64) -> Option<Ask> {
        let quiet_s = self.quiet_s(now, prior);
        let ask = self.take(block)?;
        if self.queue.is_empty() {
            self.quiet_before_s = quiet_s;
        }
        Some(ask)
    }

    /// Takes a request out of the queue, answered or not.
    pub(super) fn take(&mut self, block: BlockRef) -> Option<Ask> {
        let at = self.queue.iter().position(|a| a.block == block)?;
        self.queue.remove(at)
    }

    /// A request was taken back, or (`live`) given up without a word.
    pub(super) fn mark_stale(&mut self, ask: Ask, since: Time, live: bool) {
        if self.stale.len() >= STALE_REQUESTS + 2 * self.most_asked
            && let Some(old) = self.stale.pop_front()
        {
            self.live_stale -= usize::from(old.live);
        }
        self.live_stale += usize::from(live);
        self.stale.push_back(StaleRequest { block: ask.block, asked: ask.asked, sent: ask.sent, since, live });
    }

    /// Forgets a stale request for this block, and returns when it was sent.
    pub(super) fn take_stale(&mut self, block: BlockRef) -> Option<Time> {
        let at = self.stale.iter().position(|g| g.block == block)?;
        let old_request = self.stale.remove(at)?;
        self.live_stale -= usize::from(old_request.live);
        Some(old_request.asked)
    }

    /// A choke without BEP 6 drops all requests.
    pub(super) fn drop_requests(&mut self) {
        self.stale.iter_mut().for_each(|g| g.live = false);
        self.live_stale = 0;
    }

    /// If a request for this block was given up without a CANCEL, it stands again; returns when it
    /// was sent. One that was cancelled does not, and its REJECT may still come.
    pub(super) fn revive(&mut self, block: BlockRef) -> Option<Time> {
        if self.live_stale == 0 {
            return None;
        }
        let sent = self.stale.iter().find(|g| g.live && g.block == block)?.sent;
        self.take_stale(block)?;
        Some(sent)
    }

    /// Whether a request that was sent then and has no answer counts as lost: some peers drop requests
    /// without a word.
    pub(super) fn is_lost(&self, sent: Time, now: Time, prior: f64) -> bool {
        now.since(sent).as_secs_f64() > LOST_S.max(4.0 * self.patience_s(LOST_S / 4.0, prior))
    }

    /// Whether this REJECT answers a cancel rather than a request that stands.
    pub(super) fn answers_cancel(&mut self, block: BlockRef) -> bool {
        self.stale.iter().any(|g| !g.live && g.block == block) && self.take_stale(block).is_some()
    }

    /// Learns from a block that was requested at `asked`; `ask` is its request, if it was still
    /// out.
    pub(super) fn learn(&mut self, asked: Time, ask: Option<Ask>, bytes: u32, now: Time, slack_s: f64, prior: f64) {
        self.detect_burst(now, prior);
        // What was taken back counts like the rest: blocks behind it came no faster for having been
        // overtaken.
        let begun = self.last_block.max(asked.plus_secs(self.rtt_s()));
        let took = now.since(begun).as_secs_f64();
        let memory = RATE_MEMORY_S.max(f64::from(PROBE_BLOCKS) * self.service_s(prior));
        let keep = (-(now.since(self.last_sample).as_secs_f64().min(took.max(1e-6) * 4.0)) / memory).exp();
        self.bytes = self.bytes * keep + f64::from(bytes);
        self.seconds = self.seconds * keep + took.max(f64::from(bytes) / MAX_RATE);
        self.samples = self.samples.saturating_add(1);
        self.last_sample = now;
        self.last_block = now;
        self.is_heard(now);
        self.received_bytes += u64::from(bytes);
        self.snubbed = false;
        self.retry_after_s = 0.5 * SOON_S;
        self.refusal_s = PATIENCE_S;
        self.rejects = 0;
        if let Some(ask) = ask {
            self.steer(ask, now, slack_s, prior);
        }
    }

    /// Some clients answer all requests at once and then rest (Transmission, twice a second). Their
    /// rate is bounded by the requests that they have, and so is the queue that this rate allows.
    /// The queue grows with each burst that left no older request unanswered, as then nothing waits
    /// there that a seek would have to wait for.
    fn detect_burst(&mut self, now: Time, prior: f64) {
        let (gap, s) = (now.since(self.last_block).as_secs_f64(), self.service_s(prior));
        let begins = self.burst_began == Time::ZERO || gap > s / 4.0;
        let answered = |since: Time| self.queue.iter().all(|ask| ask.asked >= since);
        if begins {
            if !answered(now) && gap > s / 2.0 {
                self.burst_allowance *= 0.95;
            }
            (self.burst_began, self.burst_fed) = (now, false);
        } else if !self.burst_fed && answered(self.burst_began) {
            self.burst_fed = true;
            self.burst_allowance = (self.burst_allowance * 1.25 + 1.0).min(MAX_BURST);
        }
    }

    /// Moves the bound on the queue so that the queueing delay at the peer is about `slack_s`.
    fn steer(&mut self, ask: Ask, now: Time, slack_s: f64, prior: f64) {
        let latency = now.since(ask.asked).as_secs_f64();
        if now.since(self.base_since).as_secs_f64() > 2.0 * LONG_S {
            self.base = [f64::INFINITY, self.base[0]];
            self.base_since = now;
        }
        let s = self.service_s(prior);
        // Nothing comes back sooner than the connection's own round trip; a rate guessed too low
        // would say so.
        let first_byte = (latency - s).max(self.rtt_hint.unwrap_or(0.0) * 0.9);
        self.base[0] = self.base[0].min(first_byte);
        let waited = latency - s - self.rtt_s();
        self.deviation += (waited.abs() - self.deviation) / 8.0;
        let target = slack_s.max(s).max(self.rtt_s() / 3.0);
        if self.startup {
            // TCP's own start looks like queueing; a whole round trip of it is more than that.
            if waited > 1.25 * target.max(self.rtt_s()) {
                self.startup = false;
            } else if ask.filled {
                self.window = (self.window + 1.0).min(f64::from(self.max_requests));
            }
        }
        if waited > 2.0 * target + 2.0 * self.deviation {
            self.back_off = (self.back_off * 0.95).max(0.5);
        } else {
            self.back_off = (self.back_off + 0.02).min(1.0);
        }
    }

    /// It was silent for too long.
    pub(super) fn snub(&mut self, now: Time) {
        self.snubbed = true;
        self.startup = false;
        self.retry_at = now.plus_secs(self.retry_after_s);
        self.retry_after_s = (self.retry_after_s * 2.0).min(LONG_S);
    }

    pub(super) fn figures(&self, prior: f64) -> PeerFigures {
        PeerFigures {
            rate_bytes_per_s: self.measured().then(|| self.rate(prior)),
            rtt: Duration::from_secs_f64(self.rtt_s().clamp(0.0, 3600.0)),
            outstanding: self.queue.len() as u32,
            received_bytes: self.received_bytes,
            choked: self.choked,
            snubbed: self.snubbed,
            pieces: self.bits.count(),
        }
    }
}
