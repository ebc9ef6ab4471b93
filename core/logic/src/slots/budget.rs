//! A budget of operations: a burst, and a number per hour.

use crate::Time;
use crate::token_bucket::TokenBucket;

/// A budget of operations.
#[derive(Clone, Debug)]
pub(super) struct Budget(TokenBucket);

impl Budget {
    pub(super) fn new(now: Time, burst: u32, per_hour: f64) -> Budget {
        Budget(TokenBucket::new(now, per_hour / 3600.0, f64::from(burst), f64::from(burst)))
    }

    /// Returns whether one operation may be taken with `keep` left over.
    pub(super) fn allows(&self, now: Time, keep: u32) -> bool {
        self.0.has(now, 1.0 + f64::from(keep))
    }

    /// Takes one operation, if available.
    pub(super) fn take(&mut self, now: Time) -> bool {
        let allowed = self.allows(now, 0);
        if allowed {
            self.0.take(now, 1.0);
        }
        allowed
    }

    /// Returns when one operation may be taken with `keep` left over.
    pub(super) fn when(&self, now: Time, keep: u32) -> Time {
        self.0.until(now, 1.0 + f64::from(keep)).map_or(Time::NEVER, |wait| now + wait)
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
    fn an_operation_that_waits_until_its_time_is_allowed() {
        let mut budget = Budget::new(Time::ZERO, 1, 77.0);
        assert!(budget.take(Time::ZERO) && !budget.take(Time::ZERO));
        let due = budget.when(Time::ZERO, 0);
        assert!(budget.take(due));
        assert_eq!(budget.when(due, 1), Time::NEVER, "a burst of one never leaves one");
    }
}
