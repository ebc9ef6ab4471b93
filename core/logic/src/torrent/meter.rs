//! A byte counter that also measures the recent rate.

use crate::Time;

/// Interval over which a rate is averaged, seconds.
const SPAN_S: usize = 5;

/// A byte counter.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    total: u64,
    /// Bytes of each recent second, the present one included.
    seconds: [u64; SPAN_S],
    started: Option<Time>,
    /// Number of the second since `started` that `seconds[at % SPAN_S]` counts.
    at: u64,
}

impl Meter {
    fn elapsed_s(&self, now: Time) -> f64 {
        self.started.map_or(0.0, |started| now.since(started).as_secs_f64())
    }

    /// Adds bytes.
    pub fn add(&mut self, now: Time, bytes: u64) {
        self.started.get_or_insert(now);
        let second = self.elapsed_s(now) as u64;
        for _ in 0..second.saturating_sub(self.at).min(SPAN_S as u64) {
            self.at += 1;
            self.seconds[(self.at % SPAN_S as u64) as usize] = 0;
        }
        self.at = self.at.max(second);
        self.total += bytes;
        self.seconds[(self.at % SPAN_S as u64) as usize] += bytes;
    }

    /// Returns the total number of bytes.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Returns the average of the last few seconds, bytes per second.
    pub fn rate(&self, now: Time) -> f64 {
        let elapsed_s = self.elapsed_s(now);
        let oldest = (elapsed_s as u64).saturating_sub(SPAN_S as u64 - 1);
        let within = |second: &u64| *second >= oldest && *second + SPAN_S as u64 > self.at;
        let seconds = (oldest..=self.at).filter(within);
        let bytes: u64 = seconds.map(|second| self.seconds[(second % SPAN_S as u64) as usize]).sum();
        let span_s = (SPAN_S - 1) as f64 + elapsed_s.fract();
        bytes as f64 / span_s.min(elapsed_s.max(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_of_the_last_seconds_and_ends_with_them() {
        let (mut meter, at) = (Meter::default(), Time::from_secs_f64);
        for second in 0..20 {
            meter.add(at(100.0 + f64::from(second)), 1000);
        }
        assert!((meter.rate(at(119.5)) - 1000.0).abs() < 150.0, "{}", meter.rate(at(119.5)));
        assert!(meter.rate(at(122.0)) < 600.0);
        assert_eq!((meter.rate(at(130.0)), meter.total()), (0.0, 20_000));
        assert_eq!(Meter::default().rate(at(5.0)), 0.0);
    }
}
