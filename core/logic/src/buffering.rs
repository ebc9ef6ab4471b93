//! The wait before playback where data arrives more slowly than it is shown (GnuStream, section on
//! buffer control).

use crate::Time;
use crate::torrent::FileTime;
use std::time::Duration;

/// Most points of a film at which the need is looked up.
const MAX_POINTS: u32 = 2_000;
/// Memory of the rate of arrival, seconds. Blocks of slow sources come a third of a second apart: a
/// shorter one shows their number and not their rate.
const MEMORY_S: f64 = 10.0;
/// Shortest time over which arrival is measured, and silence that counts as arrival of nothing,
/// seconds.
const LEAST_S: f64 = 1.0;

/// The rate at which data arrives while it is wanted.
#[derive(Clone, Debug, Default)]
pub struct Arrival {
    /// Decayed bytes, and the decayed seconds in which they came.
    bytes: f64,
    seconds: f64,
    /// Time of the last block, unless nothing was wanted since.
    since: Option<Time>,
}

impl Arrival {
    /// Counts a block. If it was not needed (`is_idle`), its rate says nothing, nor the time until the
    /// next one.
    pub fn count(&mut self, now: Time, bytes: u32, is_idle: bool) {
        if is_idle {
            self.since = None;
            return;
        }
        if let Some(since) = self.since.replace(now) {
            let took_s = now.since(since).as_secs_f64();
            let kept = (-took_s / MEMORY_S).exp();
            self.bytes = self.bytes * kept + f64::from(bytes);
            self.seconds = self.seconds * kept + took_s;
        }
    }

    /// Returns the rate in bytes per second; `None` until it was measured for a second.
    pub fn bytes_per_s(&self, now: Time) -> Option<f64> {
        let quiet_s = self.since.map_or(0.0, |since| now.since(since).as_secs_f64());
        let seconds = self.seconds + if quiet_s > LEAST_S { quiet_s } else { 0.0 };
        (self.seconds >= LEAST_S).then(|| self.bytes / seconds)
    }
}

/// Returns the shortest wait before playback with which no byte is late, in seconds. That is the
/// greatest lag of arrival behind need. `needs` are presentation times from the beginning, in
/// seconds, each with the number of bytes that must be here by then. `arrival` is in bytes per
/// second; `None` if it is not positive, since then no wait suffices.
pub fn initial_buffering_s(needs: impl IntoIterator<Item = (f64, u64)>, arrival: f64) -> Option<f64> {
    let lag = |(time_s, bytes): (f64, u64)| bytes as f64 / arrival - time_s;
    (arrival > 0.0 && arrival.is_finite()).then(|| needs.into_iter().map(lag).fold(0.0, f64::max))
}

/// Returns [`initial_buffering_s`] for a film of steady rate: `L (1/A - 1/P)`, with its length in
/// bytes and both rates in bytes per second.
pub fn of_steady_film(length_bytes: u64, arrival: f64, playback: f64) -> Option<f64> {
    (playback > 0.0).then_some(())?;
    initial_buffering_s([(length_bytes as f64 / playback, length_bytes)], arrival)
}

/// Returns the needs of a film whose times are known, for [`initial_buffering_s`]. Empty if its
/// duration is not known.
pub fn needs_of(time: &dyn FileTime) -> Vec<(f64, u64)> {
    let duration = time.duration();
    if duration.is_zero() {
        return Vec::new();
    }
    let points = (duration.as_secs().max(1) as u32).min(MAX_POINTS);
    let point = |n: u32| {
        let until = duration.mul_f64(f64::from(n) / f64::from(points));
        (until.as_secs_f64(), time.byte_range(Duration::ZERO..until).end)
    };
    (1..=points).map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::Range;

    const CLIP: u64 = 17_160_000;

    /// A film of 120 s with the bytes of the clip, of which the first half has this share.
    struct Film(f64);

    impl FileTime for Film {
        fn duration(&self) -> Duration {
            Duration::from_secs(120)
        }

        fn time_at(&self, _: u64) -> Duration {
            Duration::ZERO
        }

        fn bytes_per_s(&self, _: Duration) -> Option<f64> {
            None
        }

        fn byte_range(&self, times: Range<Duration>) -> Range<u64> {
            let half = CLIP as f64 * self.0;
            let s = times.end.as_secs_f64();
            let end = if s <= 60.0 { half * s / 60.0 } else { half + (CLIP as f64 - half) * (s - 60.0) / 60.0 };
            0..end.round() as u64
        }

        fn seek_target(&self, _: Duration) -> Option<u64> {
            None
        }
    }

    fn of_film(first_half: f64, arrival: f64) -> Option<f64> {
        initial_buffering_s(needs_of(&Film(first_half)), arrival)
    }

    #[test]
    fn two_senders_of_gnustream_need_23_seconds() {
        let wait_s = of_steady_film(CLIP, 120e3, 143e3).unwrap();
        assert!((wait_s - 23.0).abs() < 0.01, "{wait_s}");
        let even = of_film(0.5, 120e3).unwrap();
        assert!((even - 23.0).abs() < 0.01, "{even}");
        assert_eq!(of_steady_film(CLIP, 180e3, 143e3), Some(0.0), "three senders are fast enough");
    }

    #[test]
    fn a_film_whose_first_half_has_most_of_the_bytes_needs_longer_than_its_mean_rate_says() {
        let wait_s = of_film(0.7, 120e3).unwrap();
        assert!((wait_s - (0.7 * CLIP as f64 / 120e3 - 60.0)).abs() < 0.01, "{wait_s}");
        // Even where the arrival suffices for the mean rate.
        assert!(of_film(0.7, 180e3).unwrap() > 5.0);
        // The second half has more: the end decides.
        let late = of_film(0.3, 120e3).unwrap();
        assert!((late - 23.0).abs() < 0.01, "{late}");
    }

    #[test]
    fn without_arrival_no_wait_suffices() {
        assert_eq!(of_steady_film(CLIP, 0.0, 143e3), None);
        assert_eq!(of_steady_film(CLIP, f64::NAN, 143e3), None);
        assert_eq!(of_steady_film(CLIP, 120e3, 0.0), None);
        assert_eq!(of_film(0.5, -1.0), None);
    }

    #[test]
    fn arrival_is_measured_while_data_is_wanted() {
        let at = |ms: u64| Time::ZERO + Duration::from_millis(ms);
        let mut arrival = Arrival::default();
        // Blocks of 30 kB, four a second.
        (0..=3).for_each(|n| arrival.count(at(250 * n), 30_000, false));
        assert_eq!(arrival.bytes_per_s(at(750)), None, "too short");
        (4..=40).for_each(|n| arrival.count(at(250 * n), 30_000, false));
        let near = |arrival: &Arrival, ms, wanted: f64| {
            let rate = arrival.bytes_per_s(at(ms)).unwrap();
            assert!((rate / wanted - 1.0).abs() < 0.01, "{rate}");
        };
        near(&arrival, 10_000, 120e3);
        near(&arrival, 10_200, 120e3);
        // A minute in which nothing is wanted changes nothing, nor do blocks that come meanwhile.
        arrival.count(at(10_250), 30_000, true);
        arrival.count(at(40_000), 30_000, true);
        near(&arrival, 70_000, 120e3);
        arrival.count(at(70_000), 30_000, false);
        near(&arrival, 70_100, 120e3);
        // Silence counts, as does a new rate.
        assert!(arrival.bytes_per_s(at(90_000)).unwrap() < 60e3);
        (1..=400).for_each(|n| arrival.count(at(70_000 + 125 * n), 30_000, false));
        near(&arrival, 120_000, 240e3);
    }
}
