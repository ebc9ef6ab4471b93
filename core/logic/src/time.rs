//! The time passed to the machines: microseconds since an epoch that only the driver knows.

use std::ops::Add;
use std::time::Duration;

/// A point in time, in microseconds since the driver's epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// Epoch of the driver.
    pub const ZERO: Time = Time(0);
    /// Time that never comes.
    pub const NEVER: Time = Time(u64::MAX);

    /// Returns the time `seconds` after the epoch; negative and non-finite values become the epoch.
    pub fn from_secs_f64(seconds: f64) -> Time {
        // `as` saturates, and turns NaN into zero.
        Time((seconds * 1e6) as u64)
    }

    /// Returns the seconds since the epoch.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// Returns the time since `earlier`, or zero if that is later.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// Returns the time `seconds` later; never before this time.
    pub fn plus_secs(self, seconds: f64) -> Time {
        Time(self.0.saturating_add((seconds * 1e6) as u64))
    }
}

impl Add<Duration> for Time {
    type Output = Time;
    fn add(self, d: Duration) -> Time {
        Time(self.0.saturating_add(u64::try_from(d.as_micros()).unwrap_or(u64::MAX)))
    }
}
