//! Collects the keyframes of an index within bounded memory.

use crate::timeline::Keyframe;
use std::time::Duration;

/// Keyframes in reading order. A film of 25 hours with one per second has 90,000. Beyond the limit,
/// which all-intra films exceed, every other one is dropped.
#[derive(Debug, Default)]
pub(crate) struct Keyframes {
    list: Vec<Keyframe>,
    spacing: Duration,
    /// Whether some were dropped.
    thinned: bool,
}

/// Most keyframes kept. Bounds the memory to 10 MiB.
const MAX_KEYFRAMES: usize = 1 << 18;
/// First minimum spacing when there are too many. It doubles each time, so that thinning ends for
/// any sequence of times.
const LEAST_SPACING: Duration = Duration::from_millis(100);

impl Keyframes {
    pub(crate) fn push(&mut self, keyframe: Keyframe) {
        let close = |last: &Keyframe| keyframe.time.abs_diff(last.time) < self.spacing;
        if self.list.last().is_some_and(close) {
            return;
        }
        while self.list.len() >= MAX_KEYFRAMES {
            self.thinned = true;
            self.spacing = (self.spacing * 2).max(LEAST_SPACING);
            let (spacing, mut last) = (self.spacing, None::<Duration>);
            self.list.retain(|keyframe| {
                let keep = last.is_none_or(|last| keyframe.time.abs_diff(last) >= spacing);
                if keep {
                    last = Some(keyframe.time);
                }
                keep
            });
        }
        self.list.push(keyframe);
    }

    pub(crate) fn thinned(&self) -> bool {
        self.thinned
    }

    pub(crate) fn first(&self) -> Option<Keyframe> {
        self.list.first().copied()
    }

    pub(crate) fn into_list(self) -> Vec<Keyframe> {
        self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_billion_keyframes_do_not_grow_without_bound() {
        let mut keyframes = Keyframes::default();
        for n in 0..2_000_000u64 {
            let time = Duration::from_millis(n * 20);
            keyframes.push(Keyframe { time, offset: n * 1000, from: n * 1000 });
        }
        assert!(keyframes.thinned());
        assert!(keyframes.list.len() <= MAX_KEYFRAMES);
        assert!(keyframes.list.windows(2).all(|w| w[1].time - w[0].time <= keyframes.spacing * 2));
        let mut jumping = Keyframes::default();
        for n in 0..1_000_000u64 {
            let time = Duration::from_secs(if n % 2 == 0 { n } else { 10_000_000 + n });
            jumping.push(Keyframe { time, offset: n, from: n });
        }
        assert!(jumping.list.len() <= MAX_KEYFRAMES);
    }
}
