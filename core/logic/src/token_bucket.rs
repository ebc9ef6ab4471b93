//! A bucket of tokens that fills evenly.

use crate::Time;
use std::time::Duration;

/// Number of tokens within the error of the arithmetic, which counts as zero.
const HAIR: f64 = 1e-6;

/// A bucket of tokens that fills evenly up to its capacity, and may go into debt.
#[derive(Clone, Debug)]
pub struct TokenBucket {
    per_s: f64,
    capacity: f64,
    level: f64,
    at: Time,
}

impl TokenBucket {
    /// Creates a bucket that gains `per_s` tokens a second up to `capacity`, and holds `level` now.
    pub fn new(now: Time, per_s: f64, capacity: f64, level: f64) -> TokenBucket {
        let per_s = if per_s.is_finite() { per_s.max(0.0) } else { 0.0 };
        TokenBucket { per_s, capacity, level, at: now }
    }

    fn refill(&mut self, now: Time) {
        self.level = self.level_at(now);
        self.at = self.at.max(now);
    }

    fn level_at(&self, now: Time) -> f64 {
        (self.level + now.since(self.at).as_secs_f64() * self.per_s).min(self.capacity)
    }

    /// Returns whether at least `tokens` are available.
    pub fn has(&self, now: Time, tokens: f64) -> bool {
        self.level_at(now) + HAIR >= tokens
    }

    /// Takes tokens, into debt if necessary.
    pub fn take(&mut self, now: Time, tokens: f64) {
        self.refill(now);
        self.level -= tokens;
    }

    /// Takes one token if it is available. Returns whether it was.
    pub fn take_one(&mut self, now: Time) -> bool {
        let has = self.has(now, 1.0);
        if has {
            self.take(now, 1.0);
        }
        has
    }

    /// Returns the time until `tokens` are available, in whole microseconds rounded up; `None` if
    /// that never happens.
    pub fn until(&self, now: Time, tokens: f64) -> Option<Duration> {
        let short = tokens - self.level_at(now);
        match () {
            () if short <= HAIR => Some(Duration::ZERO),
            () if self.per_s <= 0.0 || tokens > self.capacity => None,
            // At least a microsecond: a driver that waits for exactly this time would otherwise
            // spin.
            () => Some(Duration::from_micros(((short / self.per_s * 1e6).ceil() as u64).max(1))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_evenly_up_to_the_capacity() {
        let at = Time::from_secs_f64;
        let mut bucket = TokenBucket::new(Time::ZERO, 2.0, 3.0, 3.0);
        bucket.take(at(0.0), 3.0);
        assert!(!bucket.has(at(0.4), 1.0) && bucket.has(at(0.5), 1.0));
        assert_eq!(bucket.until(at(0.0), 2.0), Some(Duration::from_secs(1)));
        assert!(bucket.has(at(100.0), 3.0) && !bucket.has(at(100.0), 3.1));
        assert_eq!(bucket.until(at(100.0), 4.0), None);
    }

    #[test]
    fn a_debt_is_paid_first_and_a_bucket_without_rate_never_fills() {
        let mut bucket = TokenBucket::new(Time::ZERO, 10.0, 1.0, 0.0);
        bucket.take(Time::ZERO, 20.0);
        assert_eq!(bucket.until(Time::ZERO, 0.0), Some(Duration::from_secs(2)));
        assert_eq!(TokenBucket::new(Time::ZERO, 0.0, 1.0, 0.0).until(Time::ZERO, 1.0), None);
    }
}
