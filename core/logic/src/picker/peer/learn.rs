//! Updates the model of a peer from a block that came: rate, latency, and bursts.

use super::{Ask, MAX_RATE, Peer};
use crate::Time;
use crate::picker::tuning::{LONG_S, PATIENCE_S, PROBE_BLOCKS, RATE_MEMORY_S, SOON_S};

/// Most requests beyond a peer's computed bound, in blocks: half a MiB each half second.
const MAX_BURST: f64 = 32.0;

impl Peer {
    /// Updates the model from a block that was requested at `asked`. `ask` is its request, if it
    /// was still outstanding.
    pub(in crate::picker) fn learn(
        &mut self,
        asked: Time,
        ask: Option<Ask>,
        bytes: u32,
        now: Time,
        slack_s: f64,
        prior: f64,
    ) {
        self.detect_burst(now, prior);
        // Blocks of cancelled requests count like the rest: they took the line's time as well.
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

    /// Lengthens the queue of a peer that answers in bursts. Some clients answer all requests at
    /// once and then pause, as Transmission does twice a second. The requests that they have then
    /// bound their rate, and the rate bounds the queue. The queue grows with each burst that left
    /// no older request unanswered: then no request waits there that would delay a seek.
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

    /// Adjusts the bound on the queue so that the queueing delay at the peer is about `slack_s`.
    fn steer(&mut self, ask: Ask, now: Time, slack_s: f64, prior: f64) {
        if !ask.begins {
            // It waited behind blocks of its own request, which tells nothing about the queue.
            if self.startup && ask.filled {
                self.window += 1.0;
            }
            return;
        }
        let latency = now.since(ask.asked).as_secs_f64();
        if now.since(self.base_since).as_secs_f64() > 2.0 * LONG_S {
            self.base = [f64::INFINITY, self.base[0]];
            self.base_since = now;
        }
        let s = self.service_s(prior);
        // No answer comes sooner than the connection's own round trip. A rate guessed too low would
        // suggest one.
        let first_byte = (latency - s).max(self.rtt_hint.unwrap_or(0.0) * 0.9);
        self.base[0] = self.base[0].min(first_byte);
        let waited = latency - s - self.rtt_s();
        self.deviation += (waited.abs() - self.deviation) / 8.0;
        let target = slack_s.max(s).max(self.rtt_s() / 3.0);
        if self.startup {
            // TCP's slow start looks like queueing. A whole round trip of delay is more than that.
            if waited > 1.25 * target.max(self.rtt_s()) {
                self.startup = false;
            } else if ask.filled {
                self.window = (self.window + 1.0).min(self.max_outstanding() as f64);
            }
        }
        if waited > 2.0 * target + 2.0 * self.deviation {
            self.back_off = (self.back_off * 0.95).max(0.5);
        } else {
            self.back_off = (self.back_off + 0.02).min(1.0);
        }
    }
}
