//! An estimate of the playhead from the bytes that a player reads, unless it reports it. Players
//! read ahead of the picture, some by minutes.

use crate::Time;

/// Time without new reads, while data was available, after which a player that has shown all it
/// read counts as paused.
const PAUSED_AFTER_S: f64 = 8.0;

/// A follower of one player through one file. Times are seconds into the film.
///
/// The model: the player shows the film in real time from where it began to read or last sought,
/// and never beyond the bytes it has read.
#[derive(Clone, Copy, Debug)]
pub struct Follower {
    position_s: f64,
    at: Time,
    read_s: f64,
    /// Time at which the player last read new data or was blocked.
    read_at: Time,
    /// Whether the player plays, if it reports it.
    reported: Option<bool>,
}

impl Follower {
    /// Creates a follower for a player that begins to read at this position, or has sought there.
    pub fn new(now: Time, position_s: f64) -> Follower {
        Follower { position_s, at: now, read_s: position_s, read_at: now, reported: None }
    }

    /// Notes that the player has read up to this position. `waiting` tells whether it is blocked.
    pub fn read(&mut self, now: Time, read_s: f64, waiting: bool) {
        if read_s > self.read_s || waiting {
            self.read_at = now;
        }
        self.read_s = read_s;
        let shown_s = self.position_s + now.since(self.at).as_secs_f64();
        self.position_s = shown_s.min(read_s).max(0.0);
        self.at = now;
        self.reported = None;
    }

    /// Notes what the player reports: it shows this position now, and plays or is paused.
    pub fn shows(&mut self, now: Time, position_s: f64, playing: bool) {
        (self.position_s, self.at, self.reported) = (position_s, now, Some(playing));
    }

    /// Returns the playhead, as of the last [`Follower::read`] or [`Follower::shows`].
    pub fn position_s(&self) -> f64 {
        self.position_s
    }

    /// Returns whether it plays, stalls included, or is paused (false).
    pub fn playing(&self) -> bool {
        let guess = self.position_s < self.read_s || self.at.since(self.read_at).as_secs_f64() < PAUSED_AFTER_S;
        self.reported.unwrap_or(guess)
    }

    /// Returns the film that the player has read and not shown yet, seconds.
    pub fn buffered_s(&self) -> f64 {
        (self.read_s - self.position_s).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: f64) -> Time {
        Time::from_secs_f64(s)
    }

    #[test]
    fn a_player_that_reads_everything_at_once_still_shows_a_second_a_second() {
        let mut follower = Follower::new(at(0.0), 60.0);
        (1..=20).for_each(|s| follower.read(at(f64::from(s)), 3600.0, false));
        assert!((follower.position_s() - 80.0).abs() < 1e-9 && follower.playing());
        assert!((follower.buffered_s() - 3520.0).abs() < 1e-9);
    }

    #[test]
    fn a_player_that_waits_for_data_stands_still_and_is_not_paused() {
        let mut follower = Follower::new(at(0.0), 0.0);
        (1..=60).for_each(|s| follower.read(at(f64::from(s)), 5.0, true));
        assert!((follower.position_s() - 5.0).abs() < 1e-9 && follower.playing());
    }

    #[test]
    fn a_player_that_could_read_and_does_not_is_paused_once_it_has_shown_all() {
        let mut follower = Follower::new(at(0.0), 0.0);
        (1..=4).for_each(|s| follower.read(at(f64::from(s)), 20.0, false));
        (5..=15).for_each(|s| follower.read(at(f64::from(s)), 20.0, false));
        assert!(follower.playing(), "it shows what it has");
        (16..=40).for_each(|s| follower.read(at(f64::from(s)), 20.0, false));
        assert!(!follower.playing());
        follower.read(at(41.0), 20.5, false);
        assert!(follower.playing(), "it goes on");
    }
}
