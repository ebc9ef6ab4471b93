//! The model of one peer: how fast it delivers, how long a request takes, how much may be asked of it at once.
//!
//! Rates are learned only while something was asked of the peer, and the bound on its queue follows the queueing delay
//! that its answers show (as TCP Vegas and LEDBAT do), so it holds whatever the round trip really is.

use super::api::PeerFigures;
use crate::layout::BLOCK_BYTES;
use crate::{Bits, BlockRef, Time};
use std::collections::VecDeque;
use std::time::Duration;

/// A request that is out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    pub(super) block: BlockRef,
    pub(super) asked: Time,
    /// The queue was at its bound when this was asked, so its delay says whether the bound is right.
    pub(super) filled: bool,
}

/// Seconds over which rates are remembered; for slow peers, the time of [`MEMORY_BLOCKS`].
const MEMORY_S: f64 = 0.8;
const MEMORY_BLOCKS: f64 = 8.0;
/// The shortest round trip seen is forgotten after so long, for routes change. Long, since a queue that is never empty
/// shows no round trip, and what it shows instead would make the bound creep up.
const BASE_MEMORY_S: f64 = 120.0;
/// Blocks that a peer is asked for beyond its bound at most, however it answers: half a MiB each half second.
const MOST_HUNGER: f64 = 32.0;
/// Whoever rejects a request is not asked for that piece for so long; twice as long each time until it gives something.
const REFUSAL_S: f64 = 1.0;
const REFUSAL_MAX_S: f64 = 60.0;
/// So many refused pieces are remembered of a peer.
const REFUSALS: usize = 64;
/// A rate above this is a burst out of some buffer, not a rate.
const MAX_RATE: f64 = 4e9;
/// Where the handshake gave no round trip: a continental one, in seconds.
const RTT_S: f64 = 0.08;
/// Answers that vary by less are steady.
const STEADY_S: f64 = 0.1;
/// Whoever rejects so many requests in a row, and gives nothing in between, is left alone for a while.
const REJECTS_IN_A_ROW: u32 = 8;
/// Bytes of a block are a sign of life for so many seconds, or for so many times what a block takes. Whoever dribbles on
/// after that counts as silent, so that what it holds is asked of others.
const DRIBBLE_S: f64 = 10.0;
const DRIBBLE_BLOCKS: f64 = 3.0;
/// Answers to requests that were taken back are expected for so many blocks, and for twice as many as ever were out at once.
const GHOSTS: usize = 1024;

/// A block that may still come though it is not waited for any more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ghost {
    pub(super) block: BlockRef,
    asked: Time,
    since: Time,
    /// The request still stands at the peer: it was given up without a word.
    live: bool,
}

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) bits: Bits,
    /// It said at once that it has all, and is counted among the seeds.
    pub(super) counts_as_seed: bool,
    /// When it was last looked for what it may be asked because of a HAVE.
    pub(super) had_at: Time,
    pub(super) joined: Time,
    pub(super) choked: bool,
    pub(super) fast: bool,
    /// It watches the film.
    pub(super) views: bool,
    /// Others from its address gave blocks of pieces that failed.
    pub(super) suspected: bool,
    pub(super) allowed: Vec<u32>,
    /// Pieces of which it rejected a request, and until when it is not asked for them again.
    refused: Vec<(u32, Time)>,
    refusal_s: f64,
    rejects: u32,
    pub(super) interested: bool,
    /// How many pieces it has that we lack.
    pub(super) useful: u32,
    pub(super) max_requests: u32,
    pub(super) queue: VecDeque<Ask>,
    /// Blocks that may still come though the request was taken back or given up.
    pub(super) ghosts: VecDeque<Ghost>,
    live_ghosts: usize,
    /// Requests that were out at once at most.
    most_asked: usize,
    pub(super) received_bytes: u64,
    /// Gone quiet: nothing more is asked until it answers or `retry_at` has come.
    pub(super) snubbed: bool,
    pub(super) retry_at: Time,
    retry_after_s: f64,
    /// Bound on the queue while its rate is still being found out, in blocks.
    window: f64,
    startup: bool,
    /// Share of the computed bound that may be used: below 1 while answers wait longer than they should.
    brake: f64,
    /// Blocks beyond that bound, for a peer that answers in pulses.
    hunger: f64,
    pulse_began: Time,
    /// The present pulse has made the queue longer.
    pulse_fed: bool,
    /// Decayed bytes and seconds of delivery, the rate being their ratio.
    bytes: f64,
    seconds: f64,
    pub(super) samples: u32,
    last_sample: Time,
    last_block: Time,
    last_heard: Time,
    /// How long it has owed answers to requests that were taken back since, without a word. Else a peer that never answers would
    /// never be known for it where others are always sooner.
    quiet_before_s: f64,
    /// What the connection took to open, where known.
    rtt_hint: Option<f64>,
    /// Shortest time from a request to the first byte of its answer, in this and the last span of [`BASE_MEMORY_S`].
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
            refusal_s: REFUSAL_S,
            rejects: 0,
            interested: false,
            useful: 0,
            max_requests: max_requests.clamp(1, super::MAX_REQUESTS),
            queue: VecDeque::new(),
            ghosts: VecDeque::new(),
            live_ghosts: 0,
            most_asked: 0,
            received_bytes: 0,
            snubbed: false,
            retry_at: Time::NEVER,
            retry_after_s: 5.0,
            window: f64::from(first.max(1)),
            startup: true,
            brake: 1.0,
            hunger: 0.0,
            pulse_began: Time::ZERO,
            pulse_fed: false,
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
        if self.rejects >= REJECTS_IN_A_ROW {
            self.snub(now);
        }
        self.refusal_s = (self.refusal_s * 2.0).min(REFUSAL_MAX_S);
    }

    pub(super) fn forget_refusals(&mut self, now: Time) {
        self.refused.retain(|(_, until)| *until > now);
    }

    /// Whether something may be asked of it at all.
    pub(super) fn serves(&self, now: Time) -> bool {
        (!self.choked || !self.allowed.is_empty()) && (!self.snubbed || now >= self.retry_at)
    }

    pub(super) fn measured(&self) -> bool {
        self.samples >= 2
    }

    /// Bytes per second; what is not measured yet is taken to be `prior`.
    pub(super) fn rate(&self, prior: f64) -> f64 {
        if self.seconds <= 0.0 {
            return prior;
        }
        // A few blocks say little: they are weighed against one block at the prior rate.
        let block = f64::from(BLOCK_BYTES);
        let weight = if self.samples < 8 { 1.0 } else { 0.0 };
        ((self.bytes + weight * block) / (self.seconds + weight * block / prior)).clamp(64.0, MAX_RATE)
    }

    /// Blocks that are under way in a round trip at its rate.
    pub(super) fn in_flight(&self, prior: f64) -> f64 {
        self.rtt_s() / self.service_s(prior)
    }

    /// Seconds that one block takes at its rate.
    pub(super) fn service_s(&self, prior: f64) -> f64 {
        f64::from(BLOCK_BYTES) / self.rate(prior)
    }

    /// Seconds from a request to the first byte of its answer when nothing is queued before it.
    pub(super) fn rtt_s(&self) -> f64 {
        let seen = self.base[0].min(self.base[1]);
        if seen.is_finite() { seen } else { self.rtt_hint.unwrap_or(RTT_S) }
    }

    /// When a block asked now would be here.
    pub(super) fn arrival(&self, now: Time, prior: f64) -> Time {
        let s = self.service_s(prior);
        // What was taken back is mostly on its way already, and comes first.
        let ahead = self.pending_ghosts(now, prior) as f64 * s;
        let fresh = now.plus_secs(self.rtt_s().max(ahead) + s);
        match self.queue.len() {
            0 => fresh,
            n => self.expected(n - 1, now, prior).plus_secs(s).max(fresh),
        }
    }

    /// How many of the blocks that were taken back will probably come all the same.
    fn pending_ghosts(&self, now: Time, prior: f64) -> usize {
        if self.ghosts.is_empty() {
            return 0;
        }
        let (s, rtt) = (self.service_s(prior), self.rtt_s());
        let comes = |n: usize| now.since(self.ghosts[n].since).as_secs_f64() < rtt + 1.5 * s * (n + 1) as f64;
        // They are in the order of time: from one on all of them come.
        let (mut from, mut to) = (0, self.ghosts.len());
        while from < to {
            let middle = usize::midpoint(from, to);
            if comes(middle) { to = middle } else { from = middle + 1 }
        }
        self.ghosts.len() - from
    }

    /// When the `n`th of its queue is expected: blocks come one after another at its rate, none sooner than a round
    /// trip after its request. What is overdue is expected to take as long again as it is late.
    pub(super) fn expected(&self, n: usize, now: Time, prior: f64) -> Time {
        let (s, rtt) = (self.service_s(prior), self.rtt_s());
        let (Some(head), Some(ask)) = (self.queue.front(), self.queue.get(n)) else { return now };
        let ghosts = self.pending_ghosts(now, prior) as f64;
        let due = self.last_block.plus_secs(ghosts * s).max(head.asked.plus_secs(rtt)).plus_secs(s);
        let head_at = if due >= now {
            due
        } else {
            // Of a peer whose rate is not known, that it is late says that the rate was guessed too high: then all the time since
            // it was asked is what to go by.
            let since = if self.measured() { due.max(self.last_heard) } else { head.asked.max(self.last_block) };
            now.plus_secs(now.since(since).as_secs_f64().max(s * 0.5))
        };
        head_at.plus_secs(n as f64 * s).max(ask.asked.plus_secs(rtt + s))
    }

    /// How much later than expected its blocks may well be, in seconds: nothing for a steady peer, much for one whose
    /// line loses packets.
    pub(super) fn risk_s(&self, prior: f64) -> f64 {
        2.0 * (self.deviation - self.service_s(prior).max(STEADY_S)).max(0.0)
    }

    /// It said something to the point.
    pub(super) fn is_heard(&mut self, now: Time) {
        self.last_heard = self.last_heard.max(now);
        self.quiet_before_s = 0.0;
    }

    /// Some bytes of a block came.
    pub(super) fn progresses(&mut self, now: Time, prior: f64) {
        let Some(head) = self.queue.front() else { return };
        let for_s = now.since(self.last_block.max(head.asked)).as_secs_f64();
        if for_s < DRIBBLE_S.max(DRIBBLE_BLOCKS * self.service_s(prior)) {
            self.is_heard(now);
        }
    }

    /// How long it has said nothing though an answer was due, in seconds.
    pub(super) fn quiet_s(&self, now: Time, prior: f64) -> f64 {
        let Some(head) = self.queue.front() else { return 0.0 };
        let due = head.asked.plus_secs(self.rtt_s() + self.service_s(prior)).max(self.last_block).max(self.last_heard);
        self.quiet_before_s + now.since(due).as_secs_f64()
    }

    /// How long a silence is too long for this peer, in seconds: never below `least`.
    pub(super) fn patience_s(&self, least: f64, prior: f64) -> f64 {
        let unsteady = (4.0 * self.deviation).min(2.0 * least);
        least.max(4.0 * self.service_s(prior)).max(3.0 * self.rtt_s()).max(unsteady)
    }

    /// How many requests may be out at once: as many as are under way in a round trip, and `slack_s` of its rate.
    pub(super) fn limit(&self, now: Time, slack_s: f64, prior: f64) -> usize {
        let (s, rtt) = (self.service_s(prior), self.rtt_s());
        let least = if rtt > 0.3 * s { 2.0 } else { 1.0 };
        let steady = (1.0 + (rtt + slack_s.max(rtt / 4.0)) / s) * self.brake + self.hunger;
        let window = if self.startup { self.window.max(if self.measured() { steady } else { 0.0 }) } else { steady };
        // What was taken back and will come all the same takes its place in the queue; but two are always asked for, as
        // some peers do honour CANCEL.
        let ghosts = self.pending_ghosts(now, prior);
        let room = (window.max(least).ceil() as usize).saturating_sub(ghosts).max(2.min(least as usize));
        room.min((self.max_requests as usize).saturating_sub(self.live_ghosts))
    }

    pub(super) fn ask(&mut self, block: BlockRef, now: Time, slack_s: f64, prior: f64) {
        let filled = self.queue.len() + 1 >= self.limit(now, slack_s, prior);
        if self.queue.is_empty() {
            self.last_heard = self.last_heard.max(now);
        }
        self.queue.push_back(Ask { block, asked: now, filled });
        self.most_asked = self.most_asked.max(self.queue.len());
    }

    /// Takes back a request of which another peer was sooner. Its silence until then is remembered.
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
    pub(super) fn haunt(&mut self, ask: Ask, since: Time, live: bool) {
        if self.ghosts.len() >= GHOSTS + 2 * self.most_asked
            && let Some(old) = self.ghosts.pop_front()
        {
            self.live_ghosts -= usize::from(old.live);
        }
        self.live_ghosts += usize::from(live);
        self.ghosts.push_back(Ghost { block: ask.block, asked: ask.asked, since, live });
    }

    /// If this block was asked and taken back or given up, it is expected no more; says when it was asked.
    pub(super) fn lay_ghost(&mut self, block: BlockRef) -> Option<Time> {
        let at = self.ghosts.iter().position(|g| g.block == block)?;
        let ghost = self.ghosts.remove(at)?;
        self.live_ghosts -= usize::from(ghost.live);
        Some(ghost.asked)
    }

    /// A choke without BEP 6: no request stands any more.
    pub(super) fn drop_requests(&mut self) {
        self.ghosts.iter_mut().for_each(|g| g.live = false);
        self.live_ghosts = 0;
    }

    /// If the request for this block was given up without a word, it stands again. One that was cancelled does not, and
    /// its REJECT may still come.
    pub(super) fn revive(&mut self, block: BlockRef) -> bool {
        self.ghosts.iter().any(|g| g.live && g.block == block) && self.lay_ghost(block).is_some()
    }

    /// Whether this REJECT answers a cancel rather than a request that stands.
    pub(super) fn answers_cancel(&mut self, block: BlockRef) -> bool {
        self.ghosts.iter().any(|g| !g.live && g.block == block) && self.lay_ghost(block).is_some()
    }

    /// Learns from a block that came, asked at `asked`; `ask` is its request, if it was still out.
    pub(super) fn learn(&mut self, asked: Time, ask: Option<Ask>, bytes: u32, now: Time, slack_s: f64, prior: f64) {
        self.feel_pulse(now, prior);
        // What was taken back counts like the rest: blocks behind it came no faster for having been overtaken.
        let begun = self.last_block.max(asked.plus_secs(self.rtt_s()));
        let took = now.since(begun).as_secs_f64();
        let memory = MEMORY_S.max(MEMORY_BLOCKS * self.service_s(prior));
        let keep = (-(now.since(self.last_sample).as_secs_f64().min(took.max(1e-6) * 4.0)) / memory).exp();
        self.bytes = self.bytes * keep + f64::from(bytes);
        self.seconds = self.seconds * keep + took.max(f64::from(bytes) / MAX_RATE);
        self.samples = self.samples.saturating_add(1);
        self.last_sample = now;
        self.last_block = now;
        self.is_heard(now);
        self.received_bytes += u64::from(bytes);
        self.snubbed = false;
        self.retry_after_s = 5.0;
        self.refusal_s = REFUSAL_S;
        self.rejects = 0;
        if let Some(ask) = ask {
            self.steer(ask, now, slack_s, prior);
        }
    }

    /// Some clients answer in pulses: all that was asked of them at once, and then they rest (Transmission, twice a second). What
    /// they are asked for bounds their rate, and so the queue that their rate would allow. It grows with each pulse that
    /// left nothing of before unanswered, as then nothing waits there that a seek would have to wait for.
    fn feel_pulse(&mut self, now: Time, prior: f64) {
        let (gap, s) = (now.since(self.last_block).as_secs_f64(), self.service_s(prior));
        let begins = self.pulse_began == Time::ZERO || gap > s / 4.0;
        let answered = |since: Time| self.queue.iter().all(|ask| ask.asked >= since);
        if begins {
            if !answered(now) && gap > s / 2.0 {
                self.hunger *= 0.95;
            }
            (self.pulse_began, self.pulse_fed) = (now, false);
        } else if !self.pulse_fed && answered(self.pulse_began) {
            self.pulse_fed = true;
            self.hunger = (self.hunger * 1.25 + 1.0).min(MOST_HUNGER);
        }
    }

    /// Moves the bound on the queue so that what waits in it at the peer takes about `slack_s`.
    fn steer(&mut self, ask: Ask, now: Time, slack_s: f64, prior: f64) {
        let latency = now.since(ask.asked).as_secs_f64();
        if now.since(self.base_since).as_secs_f64() > BASE_MEMORY_S {
            self.base = [f64::INFINITY, self.base[0]];
            self.base_since = now;
        }
        let s = self.service_s(prior);
        // Nothing comes back sooner than the connection's own round trip; a rate guessed too low would say so.
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
            self.brake = (self.brake * 0.95).max(0.5);
        } else {
            self.brake = (self.brake + 0.02).min(1.0);
        }
    }

    /// It has been quiet for too long.
    pub(super) fn snub(&mut self, now: Time) {
        self.snubbed = true;
        self.startup = false;
        self.retry_at = now.plus_secs(self.retry_after_s);
        self.retry_after_s = (self.retry_after_s * 2.0).min(60.0);
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
