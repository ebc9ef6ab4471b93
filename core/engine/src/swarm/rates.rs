//! The rate limits of a session.

use parking_lot::Mutex;
use playswarm_logic::Time;
use playswarm_logic::limiter::Limiter;
use std::time::{Duration, Instant};

/// The limits of a session on payload, shared by all torrents and peers. Those of an archive change.
#[derive(Debug)]
pub(crate) struct RateLimits {
    epoch: Instant,
    down: Mutex<Limit>,
    up: Mutex<Limit>,
}

/// The limit of one direction, bytes per second. 0 is none.
#[derive(Debug)]
struct Limit(u64, Limiter);

impl RateLimits {
    /// Creates limits in bytes per second for each direction; 0 for no limit.
    pub(crate) fn new(down: u64, up: u64) -> RateLimits {
        let limit = |rate: u64| Mutex::new(Limit(rate, Limiter::new(Time::ZERO, rate)));
        RateLimits { epoch: Instant::now(), down: limit(down), up: limit(up) }
    }

    /// Changes both limits.
    pub(crate) fn set(&self, down: u64, up: u64) {
        for (limit, rate) in [(&self.down, down), (&self.up, up)] {
            let mut limit = limit.lock();
            // Small changes would forget what is owed each time.
            if limit.0.abs_diff(rate) > limit.0 / 8 {
                *limit = Limit(rate, Limiter::new(Time::ZERO + self.epoch.elapsed(), rate));
            }
        }
    }

    /// Counts received bytes, and waits so that the average rate stays within the limit.
    pub(crate) async fn downloaded(&self, bytes: u64) {
        self.take(&self.down, bytes).await;
    }

    /// Counts bytes to be sent, and waits for their turn.
    pub(crate) async fn upload(&self, bytes: u64) {
        self.take(&self.up, bytes).await;
    }

    async fn take(&self, limit: &Mutex<Limit>, bytes: u64) {
        let wait = {
            let mut limit = limit.lock();
            match limit.0 {
                0 => return,
                _ => limit.1.take(Time::ZERO + self.epoch.elapsed(), bytes),
            }
        };
        if wait > Duration::ZERO {
            tokio::time::sleep(wait).await;
        }
    }
}
