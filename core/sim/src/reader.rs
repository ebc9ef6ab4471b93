//! A reader with the behaviour of a player: a clock, two seconds buffered before it starts, and ten
//! seconds of read-ahead.

use crate::spec::Script;
use playswarm_logic::{ReaderKey, Time};

/// Seconds buffered before the clock starts, at first and after each stall or seek.
const START_BUFFER_S: f64 = 2.0;
/// Read-ahead of a player beyond its clock, in seconds.
const READ_AHEAD_S: f64 = 10.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Not open yet, or closed.
    Off,
    /// The clock waits for the buffer.
    Filling,
    Playing,
    /// The end of the file was shown.
    Done,
}

pub(crate) struct Reader {
    pub(crate) script: Script,
    pub(crate) key: ReaderKey,
    pub(crate) state: State,
    pub(crate) paused: bool,
    /// The next byte to show.
    pub(crate) shown: f64,
    /// The next byte to read.
    pub(crate) read: u64,
    /// The end of its range, exclusive.
    pub(crate) end: u64,
    clock_at: Time,
    pub(crate) ticks: u32,
    pub(crate) waiting: bool,
    /// The current wait for a first byte, by its number among the run's waits.
    pub(crate) wait: Option<usize>,
    /// Start of the current stall.
    stalled_at: Option<Time>,
    pub(crate) stalls: u32,
    pub(crate) stalled_s: f64,
    pub(crate) played_s: f64,
    pub(crate) bytes_read: u64,
}

impl Reader {
    pub(crate) fn new(script: &Script, key: ReaderKey) -> Reader {
        Reader {
            script: script.clone(),
            key,
            state: State::Off,
            paused: false,
            shown: 0.0,
            read: 0,
            end: 0,
            clock_at: Time::ZERO,
            ticks: 0,
            waiting: false,
            wait: None,
            stalled_at: None,
            stalls: 0,
            stalled_s: 0.0,
            played_s: 0.0,
            bytes_read: 0,
        }
    }

    pub(crate) fn has_clock(&self) -> bool {
        self.script.rate > 0.0
    }

    /// Moves to this byte and starts to buffer.
    pub(crate) fn jump(&mut self, now: Time, position: u64, end: u64) {
        self.advance(now);
        self.end_stall(now);
        self.state = State::Filling;
        self.read = position;
        self.shown = position as f64;
        self.end = end;
        self.waiting = false;
    }

    /// Advances the clock to now.
    pub(crate) fn advance(&mut self, now: Time) {
        let dt = now.since(self.clock_at).as_secs_f64();
        let from = self.clock_at;
        self.clock_at = now;
        if self.state != State::Playing || self.paused {
            return;
        }
        let in_hand_s = (self.read as f64 - self.shown) / self.script.rate;
        if dt <= in_hand_s {
            self.shown += dt * self.script.rate;
            self.played_s += dt;
            return;
        }
        self.shown = self.read as f64;
        self.played_s += in_hand_s;
        if self.read >= self.end {
            self.state = State::Done;
        } else {
            self.state = State::Filling;
            self.stalls += 1;
            self.stalled_at = Some(from.plus_secs(in_hand_s));
        }
    }

    fn end_stall(&mut self, now: Time) {
        if let Some(at) = self.stalled_at.take() {
            self.stalled_s += now.since(at).as_secs_f64();
        }
    }

    /// Returns the position up to which it would read now if all bytes were available.
    pub(crate) fn wants_to(&self) -> u64 {
        if !self.has_clock() {
            return self.end;
        }
        let ahead = self.script.rate * READ_AHEAD_S;
        self.end.min((self.shown + ahead) as u64)
    }

    /// Starts the clock if enough is buffered. Returns whether it started now.
    pub(crate) fn start_if_ready(&mut self, now: Time) -> bool {
        let enough = self.shown + self.script.rate * START_BUFFER_S;
        if self.state != State::Filling || !self.has_clock() || (self.read < self.end && (self.read as f64) < enough) {
            return false;
        }
        self.state = State::Playing;
        self.end_stall(now);
        true
    }

    /// Closes the reader. A current wait no longer counts as a stall.
    pub(crate) fn close(&mut self, now: Time) {
        self.advance(now);
        self.end_stall(now);
        self.state = State::Off;
        self.waiting = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_begins_when_the_buffer_is_dry_and_not_when_it_is_noticed() {
        let mut reader = Reader::new(&Script::player(1000.0, 0.0, &[]), ReaderKey(1));
        reader.jump(Time::ZERO, 0, 100_000);
        reader.read = 2000;
        assert!(reader.start_if_ready(Time::ZERO));
        reader.advance(Time(5_000_000));
        assert_eq!((reader.stalls, reader.state), (1, State::Filling));
        reader.read = 6000;
        assert!(reader.start_if_ready(Time(5_000_000)));
        assert_eq!((reader.stalled_s, reader.played_s), (3.0, 2.0));
    }
}
