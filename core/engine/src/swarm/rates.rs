//! Rates as people see them, and the session's bounds on them.

use parking_lot::Mutex;
use playswarm_logic::Time;
use playswarm_logic::limiter::Limiter;
use std::time::{Duration, Instant};

/// A rate is the bytes of the last so many seconds over that time.
const SPAN_S: usize = 5;

/// Counts bytes, and knows how many came lately.
#[derive(Debug)]
pub(crate) struct Meter {
    total: u64,
    /// Bytes of each of the last seconds, the present one included.
    seconds: [u64; SPAN_S],
    started: Instant,
    /// The second that `seconds[now % SPAN_S]` counts, since `started`.
    at: u64,
}

impl Default for Meter {
    fn default() -> Self {
        Meter { total: 0, seconds: [0; SPAN_S], started: Instant::now(), at: 0 }
    }
}

impl Meter {
    fn advance(&mut self) {
        let now = self.started.elapsed().as_secs();
        for _ in 0..(now - self.at).min(SPAN_S as u64) {
            self.at += 1;
            self.seconds[(self.at % SPAN_S as u64) as usize] = 0;
        }
        self.at = now;
    }

    pub(crate) fn add(&mut self, bytes: u64) {
        self.advance();
        self.total += bytes;
        self.seconds[(self.at % SPAN_S as u64) as usize] += bytes;
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Bytes per second, lately.
    pub(crate) fn rate(&mut self) -> f64 {
        self.advance();
        let elapsed = self.started.elapsed().as_secs_f64();
        let span = (SPAN_S - 1) as f64 + elapsed.fract();
        self.seconds.iter().sum::<u64>() as f64 / span.min(elapsed.max(1.0))
    }
}

/// The session's bounds on payload, shared by all torrents and peers.
#[derive(Debug)]
pub(crate) struct RateLimits {
    epoch: Instant,
    down: Option<Mutex<Limiter>>,
    up: Option<Mutex<Limiter>>,
}

impl RateLimits {
    /// Bytes per second each way; 0 for no bound.
    pub(crate) fn new(down: u64, up: u64) -> RateLimits {
        let limiter = |rate: u64| (rate > 0).then(|| Mutex::new(Limiter::new(Time::ZERO, rate)));
        RateLimits { epoch: Instant::now(), down: limiter(down), up: limiter(up) }
    }

    /// Counts bytes that came, and waits so that on average no more come.
    pub(crate) async fn downloaded(&self, bytes: u64) {
        self.take(self.down.as_ref(), bytes).await;
    }

    /// Counts bytes about to be sent, and waits for their turn.
    pub(crate) async fn upload(&self, bytes: u64) {
        self.take(self.up.as_ref(), bytes).await;
    }

    async fn take(&self, limiter: Option<&Mutex<Limiter>>, bytes: u64) {
        let Some(limiter) = limiter else { return };
        let wait = limiter.lock().take(Time::ZERO + self.epoch.elapsed(), bytes);
        if wait > Duration::ZERO {
            tokio::time::sleep(wait).await;
        }
    }
}
