//! Statistics of a timeline for display: the distribution of bytes over time, and the keyframe
//! spacing.

use crate::timeline::Timeline;
use std::time::Duration;

impl Timeline {
    /// Whether the duration comes from the file itself: from its index, its header, its ends or its
    /// frames.
    pub fn knows_duration(&self) -> bool {
        self.bytes_per_s(Duration::ZERO).is_some()
    }

    /// Returns the bitrate in bytes per second of consecutive, equal stretches of the film. Empty
    /// if the duration is a guess, since every rate would then be one too.
    pub fn bitrate_curve(&self, stretches: usize) -> Vec<f64> {
        if stretches == 0 || !self.knows_duration() {
            return Vec::new();
        }
        let seconds = self.duration().as_secs_f64() / stretches as f64;
        // The bytes before the first picture are headers, which are not played.
        let bytes: Vec<u64> =
            (0..=stretches).map(|n| self.byte_at(self.duration().mul_f64(n as f64 / stretches as f64))).collect();
        bytes.windows(2).map(|ends| ends[1].saturating_sub(ends[0]) as f64 / seconds).collect()
    }

    /// Returns the median and the longest time from one known keyframe to the next; the last one
    /// reaches to the end. `None` if no keyframe is known.
    pub fn keyframe_spacing(&self) -> Option<(Duration, Duration)> {
        let times = self.keyframes().iter().map(|k| k.time);
        let nexts = times.clone().skip(1).chain(std::iter::once(self.duration()));
        let mut gaps: Vec<Duration> = times.zip(nexts).map(|(at, next)| next.saturating_sub(at)).collect();
        gaps.sort_unstable();
        Some((*gaps.get(gaps.len() / 2)?, *gaps.last()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::Container;
    use crate::timeline::Keyframe;

    fn key(seconds: u64, from: u64) -> Keyframe {
        Keyframe { time: Duration::from_secs(seconds), offset: from, from }
    }

    fn film(keyframes: &[(u64, u64)]) -> Timeline {
        let keyframes = keyframes.iter().map(|(s, from)| key(*s, *from)).collect();
        Timeline::new(Container::Mp4, 1000, Duration::from_secs(40), keyframes)
    }

    #[test]
    fn the_curve_has_every_byte_in_its_stretch() {
        let film = film(&[(0, 0), (10, 400), (20, 500), (30, 600)]);
        assert_eq!(film.bitrate_curve(4), [40.0, 10.0, 10.0, 40.0]);
        assert_eq!(film.bitrate_curve(2), [25.0, 25.0]);
        assert_eq!(film.bitrate_curve(1), [25.0]);
        assert_eq!(film.bitrate_curve(0), [0.0; 0]);
        let all: f64 = film.bitrate_curve(77).iter().map(|rate| rate * 40.0 / 77.0).sum();
        assert!((all - 1000.0).abs() < 1e-6, "{all}");
    }

    #[test]
    fn a_guess_has_no_curve_and_no_spacing() {
        let guess = Timeline::estimate(Container::Other, 1000, None, "it is a test");
        assert!(!guess.knows_duration());
        assert!(guess.bitrate_curve(5).is_empty());
        assert_eq!(guess.keyframe_spacing(), None);
    }

    #[test]
    fn the_last_keyframe_reaches_to_the_end() {
        let seconds = Duration::from_secs;
        assert_eq!(film(&[(0, 0), (10, 400), (15, 500)]).keyframe_spacing(), Some((seconds(10), seconds(25))));
        assert_eq!(film(&[(0, 0)]).keyframe_spacing(), Some((seconds(40), seconds(40))));
    }
}
