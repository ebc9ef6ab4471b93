//! The rate limits of a session.

use parking_lot::Mutex;
use playswarm_logic::Time;
use playswarm_logic::limiter::Limiter;
use std::time::{Duration, Instant};

/// The limits of a session on payload, shared by all torrents and peers.
#[derive(Debug)]
pub(crate) struct RateLimits {
    epoch: Instant,
    down: Option<Mutex<Limiter>>,
    up: Option<Mutex<Limiter>>,
}

impl RateLimits {
    /// Creates limits in bytes per second for each direction; 0 for no limit.
    pub(crate) fn new(down: u64, up: u64) -> RateLimits {
        let limiter = |rate: u64| (rate > 0).then(|| Mutex::new(Limiter::new(Time::ZERO, rate)));
        RateLimits { epoch: Instant::now(), down: limiter(down), up: limiter(up) }
    }

    /// Counts received bytes, and waits so that the average rate stays within the limit.
    pub(crate) async fn downloaded(&self, bytes: u64) {
        self.take(self.down.as_ref(), bytes).await;
    }

    /// Counts bytes to be sent, and waits for their turn.
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
