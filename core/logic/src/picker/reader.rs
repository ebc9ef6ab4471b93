//! An open reader: its position, its rate, and its read-ahead.

use super::tuning::{PATIENCE_S, SOON_S, STEADY_S, URGENT_S};
use super::{Picker, URGENT_TICK_S};
use crate::{ReaderKey, Time};

#[derive(Debug, Default)]
pub(super) struct Reader {
    pub(super) position: u64,
    pub(super) end: u64,
    pub(super) window: u64,
    /// Seek targets of its player.
    pub(super) targets: Vec<u64>,
    pub(super) blocked: bool,
    blocked_since: Time,
    blocked_until: Time,
    /// Time until which the reported buffer of the player is ignored.
    distrusted_until: Time,
    /// Seconds from a byte's reading to its presentation, if known.
    buffer_s: f64,
    known_rate: Option<f64>,
    /// Decayed bytes and seconds of reading.
    bytes: f64,
    seconds: f64,
    since: Time,
    opened: Time,
    /// First missing piece from the position on.
    pub(super) ready_to: u32,
}

impl Reader {
    pub(super) fn new(now: Time, position: u64, end: u64, window: u64, rate: Option<f64>) -> Reader {
        Reader {
            position,
            end,
            window,
            blocked_since: now,
            blocked_until: now.plus_secs(STEADY_S),
            known_rate: rate.filter(|r| r.is_finite() && *r > 0.0),
            since: now,
            opened: now,
            ..Reader::default()
        }
    }

    fn read_to(&mut self, now: Time, position: u64) {
        let dt = now.since(self.since).as_secs_f64();
        let keep = (-dt / SOON_S).exp();
        self.bytes = self.bytes * keep + position.saturating_sub(self.position) as f64;
        self.seconds = self.seconds * keep + dt;
        self.since = now;
        self.position = position;
    }

    fn set_blocked(&mut self, now: Time, blocked: bool) {
        if self.blocked && !blocked {
            self.blocked_until = now.plus_secs(STEADY_S);
        }
        self.blocked = blocked;
        self.blocked_since = now;
    }

    /// Returns whether it is blocked on the first missing piece, which it would reach in `due_s`,
    /// or is about to be. Between two pieces it is unblocked for moments. If later pieces were
    /// requested in each of these moments, they would fill the line.
    pub(super) fn is_blocked(&self, now: Time, due_s: f64) -> bool {
        (self.blocked || now < self.blocked_until) && due_s < PATIENCE_S
    }

    /// Returns the time from a byte's reading to its presentation, in seconds; zero if unknown. A
    /// reader that is blocked for long is assumed to need it now: its player may play faster than
    /// known.
    pub(super) fn player_buffer_s(&mut self, now: Time) -> f64 {
        if self.blocked && now.since(self.blocked_since).as_secs_f64() > 2.0 * PATIENCE_S {
            self.distrusted_until = now.plus_secs(SOON_S);
        }
        if now < self.distrusted_until { 0.0 } else { self.buffer_s }
    }

    fn seek_to(&mut self, now: Time, position: u64) {
        self.since = now;
        self.position = position;
        self.buffer_s = 0.0;
        // It is about to be blocked there.
        self.blocked_until = now.plus_secs(STEADY_S);
    }

    fn set_rate(&mut self, rate: f64) {
        self.known_rate = (rate.is_finite() && rate > 0.0).then_some(rate);
    }

    /// Returns the rate in bytes per second, given or measured; `None` if neither is reliable yet.
    pub(super) fn rate(&self) -> Option<f64> {
        self.known_rate.or_else(|| {
            let long_enough = self.since.since(self.opened).as_secs_f64() > URGENT_S;
            (long_enough && self.seconds > 0.0 && self.bytes > 0.0).then(|| self.bytes / self.seconds)
        })
    }

    /// Returns the end of the bytes that may be fetched for it, exclusive.
    pub(super) fn fetch_end(&self) -> u64 {
        self.position.saturating_add(self.window).min(self.end)
    }
}

/// Inputs from readers.
impl Picker {
    pub(super) fn reader_opened(&mut self, key: ReaderKey, start: u64, mut new: Reader) {
        new.end = new.end.min(self.layout.total_bytes());
        new.ready_to = self.layout.piece_at(new.position).0;
        let steps = u64::from(self.config.seek_targets);
        new.targets = (1..steps).map(|step| start + new.end.saturating_sub(start) / steps * step).collect();
        self.readers.insert(key, new);
        self.turn_to_readers();
    }

    pub(super) fn reader_limits(&mut self, key: ReaderKey, end: u64, window: u64) {
        if let Some(r) = self.readers.get_mut(&key) {
            (r.end, r.window) = (end.min(self.layout.total_bytes()), window);
            self.turn_to_readers();
        }
    }

    pub(super) fn reader_targets(&mut self, key: ReaderKey, places: Vec<u64>) {
        if let Some(r) = self.readers.get_mut(&key)
            && self.config.seek_targets > 0
        {
            r.targets = places;
        }
    }

    pub(super) fn reader_read(&mut self, key: ReaderKey, position: u64) {
        if let Some(r) = self.readers.get_mut(&key) {
            let before = self.layout.piece_at(r.position);
            r.read_to(self.now, position);
            if self.layout.piece_at(position) != before {
                self.demand_stale = true;
            }
        }
    }

    pub(super) fn reader_sought(&mut self, key: ReaderKey, position: u64) {
        if let Some(r) = self.readers.get_mut(&key) {
            r.seek_to(self.now, position);
            r.ready_to = self.layout.piece_at(position).0;
            self.turn_to_readers();
        }
    }

    pub(super) fn reader_waits(&mut self, key: ReaderKey, waits: bool) {
        if let Some(r) = self.readers.get_mut(&key)
            && r.blocked != waits
        {
            r.set_blocked(self.now, waits);
            self.demand_stale = true;
            if waits {
                self.progress_at = self.now;
                self.next_tick = self.next_tick.min(self.now.plus_secs(URGENT_TICK_S));
            }
        }
    }

    pub(super) fn reader_buffer(&mut self, key: ReaderKey, seconds: f64) {
        if let Some(r) = self.readers.get_mut(&key) {
            r.buffer_s = if seconds.is_finite() { seconds.max(0.0) } else { 0.0 };
        }
    }

    pub(super) fn set_reader_rate(&mut self, key: ReaderKey, rate: f64) {
        if let Some(r) = self.readers.get_mut(&key) {
            r.set_rate(rate);
            self.demand_stale = true;
        }
    }

    pub(super) fn reader_closed(&mut self, key: ReaderKey) {
        if self.readers.remove(&key).is_some() {
            self.turn_to_readers();
        }
    }

    pub(super) fn set_fetch_all(&mut self, on: bool) {
        self.fetch_all = on;
        self.turn_to_readers();
    }

    pub(super) fn set_paused(&mut self, on: bool) {
        self.paused = on;
        if on {
            self.cancel_where(|_| true);
        } else {
            self.turn_to_readers();
        }
    }
}
