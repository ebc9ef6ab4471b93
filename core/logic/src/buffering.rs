//! The wait before playback where data arrives more slowly than it is shown (GnuStream, section on
//! buffer control).

use crate::torrent::FileTime;
use std::time::Duration;

/// Most points of a film at which the need is looked up.
const MAX_POINTS: u32 = 10_000;

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

/// Returns [`initial_buffering_s`] for a film whose times are known, from its beginning to its end.
/// `None` also if the duration is unknown.
pub fn of_film(time: &dyn FileTime, arrival: f64) -> Option<f64> {
    let duration = Some(time.duration()).filter(|duration| !duration.is_zero())?;
    let points = (duration.as_secs().max(1) as u32).min(MAX_POINTS);
    let point = |n: u32| {
        let until = duration.mul_f64(f64::from(n) / f64::from(points));
        (until.as_secs_f64(), time.byte_range(Duration::ZERO..until).end)
    };
    initial_buffering_s((1..=points).map(point), arrival)
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

    #[test]
    fn two_senders_of_gnustream_need_23_seconds() {
        let wait_s = of_steady_film(CLIP, 120e3, 143e3).unwrap();
        assert!((wait_s - 23.0).abs() < 0.01, "{wait_s}");
        let even = of_film(&Film(0.5), 120e3).unwrap();
        assert!((even - 23.0).abs() < 0.01, "{even}");
        assert_eq!(of_steady_film(CLIP, 180e3, 143e3), Some(0.0), "three senders are fast enough");
    }

    #[test]
    fn a_film_whose_first_half_has_most_of_the_bytes_needs_longer_than_its_mean_rate_says() {
        let wait_s = of_film(&Film(0.7), 120e3).unwrap();
        assert!((wait_s - (0.7 * CLIP as f64 / 120e3 - 60.0)).abs() < 0.01, "{wait_s}");
        // Even where the arrival suffices for the mean rate.
        assert!(of_film(&Film(0.7), 180e3).unwrap() > 5.0);
        // The second half has more: the end decides.
        let late = of_film(&Film(0.3), 120e3).unwrap();
        assert!((late - 23.0).abs() < 0.01, "{late}");
    }

    #[test]
    fn without_arrival_no_wait_suffices() {
        assert_eq!(of_steady_film(CLIP, 0.0, 143e3), None);
        assert_eq!(of_steady_film(CLIP, f64::NAN, 143e3), None);
        assert_eq!(of_steady_film(CLIP, 120e3, 0.0), None);
        assert_eq!(of_film(&Film(0.5), -1.0), None);
    }
}
