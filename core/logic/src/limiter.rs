//! A rate limit as a token bucket that may go into debt.
//!
//! The caller sends first and waits afterwards: whatever is taken is taken at once, and the answer says how long the next
//! one must wait. So a block larger than the bucket still goes through, and the rate holds over time.

use crate::Time;
use std::time::Duration;

/// How much unused rate is kept for later: enough to hide a late timer, and so little that who measures the rate over a
/// few blocks sees the true one. Nothing is kept from before the beginning.
const KEPT: Duration = Duration::from_millis(50);

/// What is owed within the error of the arithmetic is not owed.
const HAIR_BYTES: f64 = 1e-3;

/// A limit on bytes per second.
#[derive(Clone, Debug)]
pub struct Limiter {
    bytes_per_s: u64,
    /// Bytes that may go out now; below zero, what was taken ahead.
    balance: f64,
    at: Time,
}

impl Limiter {
    /// A limit of so many bytes per second; 0 for none.
    pub fn new(now: Time, bytes_per_s: u64) -> Limiter {
        Limiter { bytes_per_s, balance: 0.0, at: now }
    }

    /// Another rate from now on; 0 for none. What was taken ahead under the old one is still owed.
    pub fn set_rate(&mut self, now: Time, bytes_per_s: u64) {
        self.refill(now);
        self.bytes_per_s = bytes_per_s;
        self.balance = self.balance.min(bytes_per_s as f64 * KEPT.as_secs_f64());
    }

    /// The limit, bytes per second; 0 for none.
    pub fn rate(&self) -> u64 {
        self.bytes_per_s
    }

    fn refill(&mut self, now: Time) {
        let rate = self.bytes_per_s as f64;
        self.balance = (self.balance + now.since(self.at).as_secs_f64() * rate).min(rate * KEPT.as_secs_f64());
        self.at = self.at.max(now);
    }

    /// How long to wait before anything may go out; zero: now.
    pub fn wait(&mut self, now: Time) -> Duration {
        if self.bytes_per_s == 0 {
            return Duration::ZERO;
        }
        self.refill(now);
        if self.balance > -HAIR_BYTES {
            return Duration::ZERO;
        }
        // Rounded up to a whole microsecond, or a caller that waits exactly so long would find a hair missing.
        Duration::from_micros((-self.balance / self.bytes_per_s as f64 * 1e6).ceil() as u64)
    }

    /// These bytes go out now: how long to wait before the next may.
    pub fn take(&mut self, now: Time, bytes: u64) -> Duration {
        if self.bytes_per_s == 0 {
            return Duration::ZERO;
        }
        self.refill(now);
        self.balance -= bytes as f64;
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
        // An hour of silence is not saved up.
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
