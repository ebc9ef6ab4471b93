//! A viewer's player: when it starts, and when its picture stops.

use playswarm_logic::Time;

/// Time after the first picture in which a gap belongs to the start, seconds. The packets of the
/// past come at the line's pace, which may be slower than the player's.
const START_S: f64 = 3.0;
/// How much later than due a group may be without a gap, seconds.
const TOLERANCE_S: f64 = 0.001;

/// Interruptions of a picture.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gaps {
    pub(super) count: u32,
    pub(super) s: f64,
}

/// Plays a group as long after the first as it was born after it.
#[derive(Clone, Debug, Default)]
pub(super) struct Player {
    /// How long after its birth a group is due, seconds; `None` before the start and after a skip.
    due_after_s: Option<f64>,
    pub(super) first_at: Option<Time>,
    pub(super) start_gaps: Gaps,
    pub(super) gaps: Gaps,
    /// Times of the later gaps.
    pub(super) gaps_at: Vec<Time>,
    pub(super) delays_s: Vec<f32>,
}

impl Player {
    /// Takes the next group, complete at `at` and born at `born`.
    pub(super) fn ready(&mut self, at: Time, born: Time) {
        let first = *self.first_at.get_or_insert(at);
        let delay_s = at.since(born).as_secs_f64();
        // The first groups come in one burst, and are no measure of the delay.
        if at.since(first).as_secs_f64() > START_S {
            self.delays_s.push(delay_s as f32);
        }
        let due_after_s = *self.due_after_s.get_or_insert(delay_s);
        if delay_s > due_after_s + TOLERANCE_S {
            self.gap(at, delay_s - due_after_s);
            self.due_after_s = Some(delay_s);
        }
    }

    /// Loses groups of this length, and goes on with the next.
    pub(super) fn skip(&mut self, now: Time, lost_s: f64) {
        self.gap(now, lost_s);
        self.due_after_s = None;
    }

    /// Returns whether it plays.
    pub(super) fn has_begun(&self) -> bool {
        self.first_at.is_some()
    }

    fn gap(&mut self, now: Time, s: f64) {
        let is_start = self.first_at.is_none_or(|first| now.since(first).as_secs_f64() < START_S);
        let gaps = if is_start { &mut self.start_gaps } else { &mut self.gaps };
        gaps.count += 1;
        gaps.s += s;
        if !is_start {
            self.gaps_at.push(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_group_is_a_gap_once_and_the_first_seconds_count_apart() {
        let mut player = Player::default();
        let s = Time::from_secs_f64;
        player.ready(s(11.0), s(10.0));
        player.ready(s(12.5), s(11.0));
        player.ready(s(13.5), s(12.0));
        assert_eq!((player.start_gaps.count, player.gaps.count), (1, 0));
        player.ready(s(20.0), s(18.6));
        player.ready(s(22.0), s(20.0));
        player.ready(s(22.5), s(20.5));
        assert_eq!((player.start_gaps.count, player.gaps.count), (1, 1));
        assert!((player.gaps.s - 0.5).abs() < 1e-9);
        player.skip(s(30.0), 2.0);
        assert_eq!(player.gaps_at, [s(22.0), s(30.0)]);
    }
}
