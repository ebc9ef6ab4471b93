//! The `Scale` header (RFC 2326, section 12.34): slow and fast motion, forward and backward.

use playswarm_media::{Accuracy, Timeline};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Scales at which all pictures are shown. Players decode no more than twice as many.
const ALL_PICTURES: RangeInclusive<f64> = 0.5..=2.0;
/// Fastest scale, forward and backward.
const FASTEST: f64 = 64.0;
/// Time between pictures, about, where only keyframes are shown and are near enough. Each costs the
/// swarm a piece.
const PICTURE_EVERY_S: f64 = 0.2;

/// Time of the film per time of the client.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scale(f64);

impl Scale {
    pub(crate) const NORMAL: Scale = Scale(1.0);

    /// Parses a header. `None` for scales that this server does not have.
    pub(crate) fn parse(value: &str) -> Option<Scale> {
        let scale: f64 = value.trim().parse().ok()?;
        (*ALL_PICTURES.start()..=FASTEST).contains(&scale.abs()).then_some(Scale(scale))
    }

    pub(crate) fn factor(self) -> f64 {
        self.0
    }

    pub(crate) fn is_normal(self) -> bool {
        self == Scale::NORMAL
    }

    pub(crate) fn is_backward(self) -> bool {
        self.0 < 0.0
    }

    /// Whether only keyframes are shown.
    pub(crate) fn is_by_keyframes(self) -> bool {
        !ALL_PICTURES.contains(&self.0)
    }
}

/// The keyframes that are shown one after another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk {
    scale: Scale,
    shown: Option<Duration>,
    /// How far from the last keyframe the next one is searched.
    step: Duration,
}

impl Walk {
    pub(crate) fn new(scale: Scale) -> Walk {
        Walk { scale, shown: None, step: Walk::step(scale) }
    }

    /// Returns the film's time that passes between two pictures, about.
    fn step(scale: Scale) -> Duration {
        Duration::from_secs_f64(scale.0.abs() * PICTURE_EVERY_S)
    }

    /// Records the keyframe that a search has found. Returns whether it is one to be shown.
    pub(crate) fn found(&mut self, time: Duration) -> bool {
        let is_new = match self.shown {
            None => true,
            Some(shown) if self.scale.is_backward() => time < shown,
            Some(shown) => time > shown,
        };
        if is_new {
            (self.shown, self.step) = (Some(time), Walk::step(self.scale));
        } else {
            // Keyframes are farther from each other, and not all are known.
            self.step *= 2;
        }
        is_new
    }

    /// Returns the time at or before which the next keyframe is searched. `None` at the end.
    pub(crate) fn next(&self, timeline: &Timeline) -> Option<Duration> {
        let shown = self.shown?;
        if self.scale.is_backward() {
            let first = timeline.keyframes().first().map(|keyframe| keyframe.time).unwrap_or_default();
            return (shown > first).then(|| shown.saturating_sub(self.step));
        }
        let next = shown + self.step;
        match timeline.accuracy() {
            Accuracy::Exact => timeline.keyframe_at(shown).1.map(|keyframe| keyframe.time.max(next)),
            _ => (next < timeline.duration()).then_some(next),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_within_bounds_are_understood() {
        for (text, factor, keyframes) in [
            ("1", 1.0, false),
            ("0.5", 0.5, false),
            (" 2.000 ", 2.0, false),
            ("2.1", 2.1, true),
            ("64", 64.0, true),
            ("-1", -1.0, true),
            ("-64.0", -64.0, true),
        ] {
            let scale = Scale::parse(text).map(|scale| (scale.factor(), scale.is_by_keyframes()));
            assert_eq!(scale, Some((factor, keyframes)), "{text}");
        }
        for text in ["0", "0.4", "-0.1", "65", "-1000", "nan", "inf", "-inf", "fast", ""] {
            assert_eq!(Scale::parse(text), None, "{text}");
        }
    }
}
