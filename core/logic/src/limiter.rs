//! A rate limit that allows a single excess and charges for it afterwards.
//!
//! The caller sends first and then waits. Bytes are taken at once, and the result is the pause
//! before the next ones. A block larger than the bucket therefore passes, and the rate holds over
//! time.

use crate::Time;
use crate::token_bucket::TokenBucket;
use std::time::Duration;

/// Time for which unused rate accumulates. It is enough to hide a late timer, and short enough that
/// the rate measured over a few blocks is accurate. Nothing accumulates before the start.
const KEPT: Duration = Duration::from_millis(50);

/// A rate limit in bytes per second.
#[derive(Clone, Debug)]
pub struct Limiter(TokenBucket);

impl Limiter {
    /// Creates a limit of `bytes_per_s`.
    pub fn new(now: Time, bytes_per_s: u64) -> Limiter {
        let per_s = bytes_per_s as f64;
        Limiter(TokenBucket::new(now, per_s, per_s * KEPT.as_secs_f64(), 0.0))
    }

    /// Counts bytes that are sent now. Returns the pause before the next ones may be sent.
    pub fn take(&mut self, now: Time, bytes: u64) -> Duration {
        self.0.take(now, bytes as f64);
        self.0.until(now, 0.0).unwrap_or(Duration::ZERO)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_rate_holds_from_the_first_byte_on() {
        let mut limiter = Limiter::new(Time::ZERO, 100_000);
        assert_eq!(limiter.take(Time::ZERO, 10_000), Duration::from_millis(100), "the first goes at once, and is owed");
        assert_eq!(limiter.take(Time(100_000), 0), Duration::ZERO);
        // An hour of silence does not accumulate.
        assert_eq!(limiter.take(Time::from_secs_f64(3600.0), 105_000), Duration::from_secs(1));
    }

    proptest! {
        #[test]
        fn no_stretch_of_time_carries_more_than_the_rate_and_one_burst(
            rate in 1_000u64..10_000_000, takes in proptest::collection::vec((1u64..40_000, 0u64..50_000), 1..200),
        ) {
            let (mut limiter, mut now, mut sent, mut last) = (Limiter::new(Time::ZERO, rate), Time::ZERO, 0, 0);
            for (bytes, idle_us) in takes {
                now = now + Duration::from_micros(idle_us);
                let wait = limiter.take(now, 0);
                now = now + wait;
                prop_assert_eq!(limiter.take(now, 0), Duration::ZERO);
                limiter.take(now, bytes);
                sent += bytes;
                last = last.max(bytes);
                let allowed = rate as f64 * (now.as_secs_f64() + KEPT.as_secs_f64()) + last as f64 + 1.0;
                prop_assert!(sent as f64 <= allowed, "{} bytes in {:?}", sent, now);
            }
        }
    }
}
