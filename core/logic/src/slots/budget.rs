//! How much may be done: so much at once, and so much an hour.

use crate::Time;

/// A bucket of tokens that fills evenly.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    burst: f64,
    per_s: f64,
    left: f64,
    at: Time,
}

impl Budget {
    pub(super) fn new(now: Time, burst: u32, per_hour: f64) -> Budget {
        let per_s = if per_hour.is_finite() { per_hour.max(0.0) / 3600.0 } else { 0.0 };
        Budget { burst: f64::from(burst), per_s, left: f64::from(burst), at: now }
    }

    fn refill(&mut self, now: Time) {
        self.left = (self.left + now.since(self.at).as_secs_f64() * self.per_s).min(self.burst);
        self.at = self.at.max(now);
    }

    /// Whether one can be taken and so many stay.
    pub(super) fn allows(&mut self, now: Time, keep: u32) -> bool {
        self.refill(now);
        // A hair of tolerance: who waits exactly until the next token must get it.
        self.left + 1e-6 >= 1.0 + f64::from(keep)
    }

    /// Takes one, if there is one.
    pub(super) fn take(&mut self, now: Time) -> bool {
        let allowed = self.allows(now, 0);
        if allowed {
            self.left -= 1.0;
        }
        allowed
    }

    /// When one can be taken and so many stay.
    pub(super) fn when(&self, now: Time, keep: u32) -> Time {
        let short = 1.0 + f64::from(keep) - self.left;
        let from = self.at.max(now);
        match () {
            () if short <= 0.0 => from,
            () if self.per_s <= 0.0 || 1.0 + f64::from(keep) > self.burst => Time::NEVER,
            // Never a moment that is not later than now, or a driver would spin.
            () => Time(self.at.plus_secs(short / self.per_s).0.max(now.0 + 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_stretch_of_time_gives_more_than_the_burst_and_the_rate(
            burst in 1u32..10, per_hour in 1.0f64..5000.0, waits in proptest::collection::vec(0u64..60_000_000, 1..300),
        ) {
            let mut budget = Budget::new(Time::ZERO, burst, per_hour);
            let (mut now, mut taken) = (Time::ZERO, 0u32);
            for wait in waits {
                now = Time(now.0 + wait);
                let due = budget.when(now, 0);
                let got = budget.take(now);
                prop_assert!(got || due > now);
                taken += u32::from(got);
                prop_assert!(f64::from(taken) <= f64::from(burst) + now.as_secs_f64() * per_hour / 3600.0 + 0.01);
            }
        }
    }

    #[test]
    fn who_waits_until_the_moment_gets_one() {
        let mut budget = Budget::new(Time::ZERO, 1, 77.0);
        assert!(budget.take(Time::ZERO) && !budget.take(Time::ZERO));
        let due = budget.when(Time::ZERO, 0);
        assert!(budget.take(due));
        assert_eq!(budget.when(due, 1), Time::NEVER, "a burst of one never leaves one");
    }
}
