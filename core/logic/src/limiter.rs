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
pub struct Limiter {
    bytes_per_s: u64,
    bucket: TokenBucket,
}

/// Returns the bytes that a limit accumulates.
fn capacity(bytes_per_s: u64) -> f64 {
    bytes_per_s as f64 * KEPT.as_secs_f64()
}

impl Limiter {
    /// Creates a limit of `bytes_per_s`; 0 for no limit.
    pub fn new(now: Time, bytes_per_s: u64) -> Limiter {
        Limiter { bytes_per_s, bucket: TokenBucket::new(now, bytes_per_s as f64, capacity(bytes_per_s), 0.0) }
    }

    /// Changes the limit; 0 for no limit. A debt under the old limit remains.
    pub fn set_rate(&mut self, now: Time, bytes_per_s: u64) {
        self.bytes_per_s = bytes_per_s;
        self.bucket.set(now, bytes_per_s as f64, capacity(bytes_per_s));
    }

    /// Returns the limit, bytes per second; 0 for no limit.
    pub fn rate(&self) -> u64 {
        self.bytes_per_s
    }

    /// Returns the pause before the next bytes may be sent; zero if they may be sent now.
    pub fn wait(&self, now: Time) -> Duration {
        if self.bytes_per_s == 0 {
            return Duration::ZERO;
        }
        self.bucket.until(now, 0.0).unwrap_or(Duration::ZERO)
    }

    /// Counts bytes that are sent now. Returns the pause before the next ones may be sent.
    pub fn take(&mut self, now: Time, bytes: u64) -> Duration {
        if self.bytes_per_s != 0 {
            self.bucket.take(now, bytes as f64);
        }
        self.wait(now)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn no_limit_never_waits() {
        let mut limiter = Limiter::new(Time::ZERO, 0);
        assert_eq!(limiter.take(Time::ZERO, u64::MAX), Duration::ZERO);
    }

    #[test]
    fn the_rate_holds_from_the_first_byte_on() {
        let mut limiter = Limiter::new(Time::ZERO, 100_000);
        assert_eq!(limiter.take(Time::ZERO, 10_000), Duration::from_millis(100), "the first goes at once, and is owed");
        assert_eq!(limiter.wait(Time(100_000)), Duration::ZERO);
        // An hour of silence does not accumulate.
        assert_eq!(limiter.take(Time::from_secs_f64(3600.0), 105_000), Duration::from_secs(1));
    }

    #[test]
    fn another_rate_holds_from_now_on() {
        let mut limiter = Limiter::new(Time::ZERO, 1_000_000);
        limiter.set_rate(Time::ZERO, 1000);
        assert_eq!(limiter.take(Time::ZERO, 1000), Duration::from_secs(1));
    }

    proptest! {
        #[test]
        fn no_stretch_of_time_carries_more_than_the_rate_and_one_burst(
            rate in 1_000u64..10_000_000, takes in proptest::collection::vec((1u64..40_000, 0u64..50_000), 1..200),
        ) {
            let (mut limiter, mut now, mut sent, mut last) = (Limiter::new(Time::ZERO, rate), Time::ZERO, 0, 0);
            for (bytes, idle_us) in takes {
                now += Duration::from_micros(idle_us);
                let wait = limiter.wait(now);
                now += wait;
                prop_assert_eq!(limiter.wait(now), Duration::ZERO);
                limiter.take(now, bytes);
                sent += bytes;
                last = last.max(bytes);
                let allowed = rate as f64 * (now.as_secs_f64() + KEPT.as_secs_f64()) + last as f64 + 1.0;
                prop_assert!(sent as f64 <= allowed, "{} bytes in {:?}", sent, now);
            }
        }
    }
}
