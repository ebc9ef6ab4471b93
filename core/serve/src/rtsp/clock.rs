//! The clock of a session: one line between media time and NTP for its whole life, and RTP
//! timestamps on it. A jump changes only which time of the film a moment of media time shows.

use super::payload::Format;
use std::time::{Duration, Instant};

/// Assumed duration of a sample that states none, in nanoseconds.
const USUAL_SAMPLE_NS: i64 = 40_000_000;

/// A clock that never runs backward.
#[derive(Clone, Debug)]
pub(crate) struct MediaClock {
    zero: Instant,
    /// NTP at `zero`, in units of 2^-32 s.
    ntp_zero: u64,
    /// The film's time at which the current part began, and the media time of that moment.
    npt_ns: i64,
    media_ns: i64,
    /// Time of the film per media time. Negative where the film runs backward.
    scale: f64,
    /// End of what was sent, in media time.
    sent_ns: i64,
}

impl MediaClock {
    pub(crate) fn new(now: Instant, ntp: u64) -> MediaClock {
        MediaClock { zero: now, ntp_zero: ntp, npt_ns: 0, media_ns: 0, scale: 1.0, sent_ns: 0 }
    }

    /// Begins a part at a time of the film: after all that was sent, and not in the past.
    pub(crate) fn begin(&mut self, now: Instant, npt: Duration, scale: f64) {
        self.media_ns = nanos(now.saturating_duration_since(self.zero)).max(self.sent_ns);
        (self.npt_ns, self.scale) = (nanos(npt), scale);
    }

    /// Records that a sample was sent.
    pub(crate) fn sent(&mut self, pts_ns: i64, duration_ns: i64) {
        let duration_ns = if duration_ns > 0 { duration_ns } else { USUAL_SAMPLE_NS };
        self.sent_ns = self.sent_ns.max(self.media(pts_ns).saturating_add(duration_ns));
    }

    /// Returns the RTP timestamp of a time of the film. Differences within a part are exact.
    pub(crate) fn timestamp(&self, format: &Format, base: u32, pts_ns: i64) -> u32 {
        let passed = match self.scale {
            1.0 => format.ticks(pts_ns) - format.ticks(self.npt_ns),
            scale => format.ticks(scaled(pts_ns.saturating_sub(self.npt_ns), scale)),
        };
        base.wrapping_add((format.ticks(self.media_ns) + passed) as u32)
    }

    /// Returns NTP at a time of the film.
    pub(crate) fn ntp(&self, pts_ns: i64) -> u64 {
        let fixed = (i128::from(self.media(pts_ns)) << 32) / 1_000_000_000;
        self.ntp_zero.wrapping_add(fixed as u64)
    }

    fn media(&self, pts_ns: i64) -> i64 {
        self.media_ns.saturating_add(scaled(pts_ns.saturating_sub(self.npt_ns), self.scale))
    }
}

fn scaled(span_ns: i64, scale: f64) -> i64 {
    if scale == 1.0 { span_ns } else { (span_ns as f64 / scale).round() as i64 }
}

/// Returns a duration in nanoseconds, at most 292 years.
pub(crate) fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_continues_the_timestamps_after_what_was_sent() {
        let format = Format::transport_stream();
        let now = Instant::now();
        let mut clock = MediaClock::new(now, 5 << 32);
        clock.begin(now, Duration::from_secs(10), 1.0);
        let base = u32::MAX;
        assert_eq!(clock.timestamp(&format, base, 10_000_000_000), base);
        assert_eq!(clock.timestamp(&format, base, 11_000_000_000), base.wrapping_add(90_000));
        assert_eq!(clock.timestamp(&format, base, 9_000_000_000), base.wrapping_sub(90_000));
        // Eight seconds were sent ahead within one.
        clock.sent(18_000_000_000, 1_000_000_000);
        clock.begin(now + Duration::from_secs(1), Duration::from_secs(2), 1.0);
        assert_eq!(clock.timestamp(&format, base, 2_000_000_000), base.wrapping_add(9 * 90_000));
        assert_eq!(clock.ntp(2_000_000_000), (5 + 9) << 32);
        clock.begin(now + Duration::from_secs(60), Duration::from_secs(2), 1.0);
        assert_eq!(clock.ntp(3_000_000_000), (5 + 61) << 32);
    }

    #[test]
    fn timestamps_rise_also_while_the_film_runs_backward() {
        let format = Format::transport_stream();
        let now = Instant::now();
        let mut clock = MediaClock::new(now, 5 << 32);
        clock.begin(now, Duration::from_secs(10), -4.0);
        assert_eq!(clock.timestamp(&format, 7, 10_000_000_000), 7);
        assert_eq!(clock.timestamp(&format, 7, 2_000_000_000), 7 + 2 * 90_000);
        assert_eq!(clock.ntp(2_000_000_000), (5 + 2) << 32);
        clock.sent(2_000_000_000, 1_000_000_000);
        clock.begin(now, Duration::from_secs(2), 2.0);
        assert_eq!(clock.timestamp(&format, 7, 2_000_000_000), 7 + 3 * 90_000);
        assert_eq!(clock.timestamp(&format, 7, 4_000_000_000), 7 + 4 * 90_000);
    }
}
