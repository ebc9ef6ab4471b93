//! The model of one peer: its rate, its round trip, and the bound on its outstanding requests.
//!
//! Rates are measured only while requests are outstanding. The bound on the queue follows the
//! queueing delay of the answers (as in TCP Vegas and LEDBAT), so it needs no exact round trip.
//!
//! `learn` updates the model from received blocks. `stale` has the requests that were cancelled and
//! may be answered nevertheless. `ranges` has what differs for a peer that serves ranges.

mod learn;
mod ranges;
mod stale;

use super::api::{Manner, PeerFigures};
use super::tuning::{LONG_S, PATIENCE_S, PRIOR_RTT_S, SOON_S, STEADY_S};
use crate::BLOCK_BYTES;
use crate::{Bits, BlockRef, Time};
use stale::StaleRequest;
use std::collections::VecDeque;
use std::time::Duration;

/// An outstanding request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    pub(super) block: BlockRef,
    pub(super) asked: Time,
    /// Time at which the request was sent; before `asked` if it was given up and stands again.
    pub(super) sent: Time,
    /// Whether the queue was at its bound with this request. Its delay then shows whether the bound
    /// is right.
    pub(super) filled: bool,
    /// Whether it is the first block of a request for a run of blocks. True for a single block.
    pub(super) begins: bool,
    /// Whether it was cancelled or given up, and comes nevertheless since the peer serves ranges.
    pub(super) withdrawn: bool,
}

/// Most refused pieces that are remembered of a peer.
const REFUSALS: usize = 64;
/// Number of rejects without a block in between after which a peer counts as snubbed.
const MAX_REJECTS: u32 = 8;
/// Rate above which a measurement is a burst from a buffer, in bytes per second.
const MAX_RATE: f64 = 4e9;
#[derive(Debug, Default)]
pub(super) struct Peer {
    pub(super) bits: Bits,
    /// Whether it announced all pieces at once, and is counted among the seeds.
    pub(super) counts_as_seed: bool,
    /// Time at which its queue was last filled because of a HAVE.
    pub(super) had_at: Time,
    pub(super) joined: Time,
    pub(super) choked: bool,
    pub(super) manner: Manner,
    /// Whether it watches the film.
    pub(super) views: bool,
    /// Whether other peers from its address sent blocks of pieces that failed.
    pub(super) suspected: bool,
    pub(super) allowed: Vec<u32>,
    /// Pieces of which it rejected a request, with the time until which they are not requested from
    /// it again.
    refused: Vec<(u32, Time)>,
    refusal_s: f64,
    rejects: u32,
    pub(super) interested: bool,
    /// Number of its pieces that are missing here.
    pub(super) useful: u32,
    pub(super) queue: VecDeque<Ask>,
    /// Requests that were cancelled or given up and may still be answered, oldest first.
    pub(super) stale: VecDeque<StaleRequest>,
    live_stale: usize,
    /// Most requests that were outstanding at once.
    most_asked: usize,
    pub(super) received_bytes: u64,
    /// Number of its blocks in pieces whose hash was right, and in pieces whose hash was wrong.
    pub(super) right_blocks: u32,
    pub(super) wrong_blocks: u32,
    /// Whether it is silent: nothing is requested until it answers or `retry_at` has come.
    pub(super) snubbed: bool,
    pub(super) retry_at: Time,
    retry_after_s: f64,
    /// Bound on the queue until the first queueing delay is measured, in blocks.
    window: f64,
    startup: bool,
    /// Factor of the computed bound: below 1 while the queueing delay is too long.
    back_off: f64,
    /// Number of requests beyond that bound, for a peer that answers in bursts.
    burst_allowance: f64,
    burst_began: Time,
    /// Whether the present burst has lengthened the queue.
    burst_fed: bool,
    /// Decayed bytes and seconds of delivery. The rate is their ratio.
    bytes: f64,
    seconds: f64,
    pub(super) samples: u32,
    last_sample: Time,
    last_block: Time,
    last_heard: Time,
    /// Silence before requests that were cancelled since, in seconds. Without it, a peer that never
    /// answers would stay unnoticed if other peers are always sooner.
    quiet_before_s: f64,
    /// Time that the connection took to open, in seconds, if known.
    rtt_hint: Option<f64>,
    /// Shortest time from a request to the first byte of its answer, in this and the previous
    /// interval of twice [`LONG_S`].
    base: [f64; 2],
    base_since: Time,
    /// Mean deviation of the latency from its estimate, in seconds.
    deviation: f64,
}

impl Peer {
    pub(super) fn new(now: Time, rtt: Option<Duration>, manner: Manner, pieces: u32, first: u32) -> Peer {
        Peer {
            bits: Bits::new(pieces),
            joined: now,
            choked: true,
            manner,
            refusal_s: PATIENCE_S,
            retry_at: Time::NEVER,
            retry_after_s: 0.5 * SOON_S,
            window: f64::from(first.max(1)),
            startup: true,
            back_off: 1.0,
            last_sample: now,
            last_heard: now,
            rtt_hint: rtt.map(|d| d.as_secs_f64()),
            base: [f64::INFINITY; 2],
            base_since: now,
            ..Peer::default()
        }
    }

    pub(super) fn can_ask(&self, piece: u32) -> bool {
        self.bits.get(piece)
            && (!self.choked || self.allowed.contains(&piece))
            && !self.refused.iter().any(|(p, _)| *p == piece)
    }

    pub(super) fn refuse(&mut self, piece: u32, now: Time) {
        // A rejected run is one reject, of however many blocks.
        if self.is_asked_for_runs() && self.refused.iter().any(|(p, _)| *p == piece) {
            return;
        }
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

    /// Returns whether anything may be requested from it.
    pub(super) fn serves(&self, now: Time) -> bool {
        (!self.choked || !self.allowed.is_empty()) && (!self.snubbed || now >= self.retry_at)
    }

    pub(super) fn measured(&self) -> bool {
        self.samples >= 2
    }

    /// Returns its rate in bytes per second; `prior` while nothing was measured.
    pub(super) fn rate(&self, prior: f64) -> f64 {
        if self.seconds <= 0.0 {
            return prior;
        }
        // A few blocks are weak evidence, so they are averaged with one block at the prior rate.
        let block = f64::from(BLOCK_BYTES);
        let weight = if self.samples < 8 { 1.0 } else { 0.0 };
        ((self.bytes + weight * block) / (self.seconds + weight * block / prior)).clamp(64.0, MAX_RATE)
    }

    /// Returns the number of blocks that fit into a round trip at its rate.
    pub(super) fn in_flight(&self, prior: f64) -> f64 {
        self.rtt_s() / self.service_s(prior)
    }

    /// Returns the time of one block at its rate, in seconds.
    pub(super) fn service_s(&self, prior: f64) -> f64 {
        f64::from(BLOCK_BYTES) / self.rate(prior)
    }

    /// Returns the time from a request to the first byte of its answer with an empty queue,
    /// seconds.
    pub(super) fn rtt_s(&self) -> f64 {
        let seen = self.base[0].min(self.base[1]);
        if seen.is_finite() { seen } else { self.rtt_hint.unwrap_or(PRIOR_RTT_S) }
    }

    /// Returns the time at which a block requested now would arrive.
    pub(super) fn arrival(&self, now: Time, prior: f64) -> Time {
        let s = self.service_s(prior);
        // Most cancelled blocks are already under way, and arrive first.
        let stale = self.pending_stale(now, prior) as f64;
        let fresh = now.plus_secs(self.rtt_s().max(stale * s) + s);
        match self.queue.len() {
            0 => fresh,
            n => self.expected_after(stale, n - 1, now, prior).plus_secs(s).max(fresh),
        }
    }

    /// Returns the expected arrival of the `n`th block of its queue. Blocks arrive one after
    /// another at its rate, none sooner than a round trip after its request. An overdue block is
    /// expected to take as long again as it is late.
    pub(super) fn expected(&self, n: usize, now: Time, prior: f64) -> Time {
        self.expected_after(self.pending_stale(now, prior) as f64, n, now, prior)
    }

    /// As [`Peer::expected`], with the number of stale blocks that arrive before.
    fn expected_after(&self, stale: f64, n: usize, now: Time, prior: f64) -> Time {
        let (s, rtt) = (self.service_s(prior), self.rtt_s());
        let (Some(head), Some(ask)) = (self.queue.front(), self.queue.get(n)) else { return now };
        let due = self.last_block.plus_secs(stale * s).max(head.asked.plus_secs(rtt)).plus_secs(s);
        let head_at = if due >= now {
            due
        } else {
            // If an unmeasured peer is late, its rate was guessed too high. Then the whole time
            // since the request counts.
            let since = if self.measured() { due.max(self.last_heard) } else { head.asked.max(self.last_block) };
            now.plus_secs(now.since(since).as_secs_f64().max(s * 0.5))
        };
        head_at.plus_secs(n as f64 * s).max(ask.asked.plus_secs(rtt + s))
    }

    /// Returns the likely delay of its blocks beyond their expected arrival, in seconds: zero for a
    /// steady peer, large if its line loses packets.
    pub(super) fn risk_s(&self, prior: f64) -> f64 {
        2.0 * (self.deviation - self.service_s(prior).max(STEADY_S)).max(0.0)
    }

    /// Returns the trust in its blocks by the hashes of their pieces so far, from 0 to 1.
    pub(super) fn credibility(&self) -> f64 {
        f64::from(self.right_blocks + 1) / (f64::from(self.right_blocks) + f64::from(self.wrong_blocks) + 2.0)
    }

    /// Notes that it answered a request.
    pub(super) fn is_heard(&mut self, now: Time) {
        self.last_heard = self.last_heard.max(now);
        self.quiet_before_s = 0.0;
    }

    /// Notes that some bytes of a block arrived. A peer that sends a trickle for long counts as
    /// silent, so that its blocks are requested from other peers.
    pub(super) fn progresses(&mut self, now: Time, prior: f64) {
        let Some(head) = self.queue.front() else { return };
        let for_s = now.since(self.last_block.max(head.asked)).as_secs_f64();
        if for_s < SOON_S.max(3.0 * self.service_s(prior)) {
            self.is_heard(now);
        }
    }

    /// Returns its silence since an answer was due, in seconds.
    pub(super) fn quiet_s(&self, now: Time, prior: f64) -> f64 {
        let Some(head) = self.queue.front() else { return 0.0 };
        let due = head.asked.plus_secs(self.rtt_s() + self.service_s(prior)).max(self.last_block).max(self.last_heard);
        self.quiet_before_s + now.since(due).as_secs_f64()
    }

    /// Returns the silence after which this peer counts as snubbed, in seconds, at least `least`.
    pub(super) fn patience_s(&self, least: f64, prior: f64) -> f64 {
        let unsteady = (4.0 * self.deviation).min(2.0 * least);
        least.max(4.0 * self.service_s(prior)).max(3.0 * self.rtt_s()).max(unsteady)
    }

    /// Returns the bound on its queue: the blocks of a round trip, plus those of `slack_s` at its
    /// rate.
    pub(super) fn limit(&self, now: Time, slack_s: f64, prior: f64) -> usize {
        let (s, rtt) = (self.service_s(prior), self.rtt_s());
        let least = if rtt > 0.3 * s { 2.0 } else { 1.0 };
        let steady = (1.0 + (rtt + slack_s.max(rtt / 4.0)) / s) * self.back_off + self.burst_allowance;
        let window = if self.startup { self.window.max(if self.measured() { steady } else { 0.0 }) } else { steady };
        // Stale blocks that will arrive nevertheless count against the bound. Two requests are
        // always allowed, as some peers do honour CANCEL.
        let stale = self.pending_stale(now, prior);
        let room = (window.max(least).ceil() as usize).saturating_sub(stale).max(2.min(least as usize));
        room.min(self.max_outstanding())
    }

    /// Adds a request.
    pub(super) fn ask(&mut self, ask: Ask) {
        if self.queue.is_empty() {
            self.last_heard = self.last_heard.max(ask.asked);
        }
        self.queue.push_back(ask);
        self.most_asked = self.most_asked.max(self.queue.len());
    }

    /// Gives up a request because another peer was sooner. The silence until then is remembered.
    /// Returns whether there was one.
    pub(super) fn take_back(&mut self, block: BlockRef, now: Time, prior: f64) -> bool {
        let quiet_s = self.quiet_s(now, prior);
        let found = !self.give_up(now, false, |ask| ask.block == block).is_empty();
        if found && self.queue.is_empty() {
            self.quiet_before_s = quiet_s;
        }
        found
    }

    /// Gives up the requests that are `gone`, and returns them. Their blocks may still come: they
    /// become stale or, of a peer that serves ranges, stay in the queue as withdrawn. `live` tells
    /// whether the requests still stand at the peer, as no CANCEL is sent.
    pub(super) fn give_up(&mut self, now: Time, live: bool, gone: impl Fn(&Ask) -> bool) -> Vec<Ask> {
        let mut lost = Vec::new();
        if self.is_asked_for_runs() {
            for ask in self.queue.iter_mut().filter(|ask| !ask.withdrawn && gone(ask)) {
                ask.withdrawn = true;
                lost.push(*ask);
            }
            return lost;
        }
        self.queue.retain(|ask| {
            let gone = gone(ask);
            if gone {
                lost.push(*ask);
            }
            !gone
        });
        lost.iter().for_each(|ask| self.mark_stale(*ask, now, live));
        lost
    }

    /// Removes a request from the queue, answered or not.
    pub(super) fn take(&mut self, block: BlockRef) -> Option<Ask> {
        let at = self.queue.iter().position(|a| a.block == block)?;
        self.queue.remove(at)
    }

    /// Marks it as snubbed after too long a silence.
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
