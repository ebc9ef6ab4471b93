//! An open reader: where it is, how fast it goes, how much lies ready ahead of it.

use crate::Time;

/// The rate of reads is measured over about so many seconds.
const RATE_MEMORY_S: f64 = 10.0;
/// A reader that has not been watched for so long says nothing about its rate yet.
const RATE_AFTER_S: f64 = 3.0;

/// Between one piece and the next a reader waits for nothing. It still counts as waiting for so long, where it will have read all
/// that is here within so much of the media's time.
const STILL_WAITS_S: f64 = 0.1;
const STILL_DUE_S: f64 = 1.0;
/// A reader that waits for longer than this gets what it waits for from whoever has it, for so long.
const WAITS_S: f64 = 2.0;
const HURRIED_S: f64 = 10.0;

#[derive(Debug)]
pub(super) struct Reader {
    pub(super) position: u64,
    pub(super) end: u64,
    pub(super) window: u64,
    /// Where its player may jump.
    pub(super) jumps: Vec<u64>,
    pub(super) waiting: bool,
    waiting_since: Time,
    waited_until: Time,
    /// Until then nothing is left for later that it waits for.
    hurried_until: Time,
    /// Seconds from a byte's reading to its showing, as far as known.
    pub(super) lead_s: f64,
    known_rate: Option<f64>,
    /// Decayed bytes and seconds of reading.
    bytes: f64,
    seconds: f64,
    since: Time,
    opened: Time,
    /// The first piece from the position on that is not here.
    pub(super) ready_to: u32,
}

impl Reader {
    pub(super) fn new(now: Time, position: u64, end: u64, window: u64, rate: Option<f64>) -> Reader {
        Reader {
            position,
            end,
            window,
            jumps: Vec::new(),
            waiting: false,
            waiting_since: now,
            waited_until: Time::ZERO,
            hurried_until: Time::ZERO,
            lead_s: 0.0,
            known_rate: rate.filter(|r| r.is_finite() && *r > 0.0),
            bytes: 0.0,
            seconds: 0.0,
            since: now,
            opened: now,
            ready_to: 0,
        }
    }

    pub(super) fn read_to(&mut self, now: Time, position: u64) {
        let dt = now.since(self.since).as_secs_f64();
        let keep = (-dt / RATE_MEMORY_S).exp();
        self.bytes = self.bytes * keep + position.saturating_sub(self.position) as f64;
        self.seconds = self.seconds * keep + dt;
        self.since = now;
        self.position = position;
    }

    pub(super) fn waits(&mut self, now: Time, waits: bool) {
        if self.waiting && !waits {
            self.waited_until = now.plus_secs(STILL_WAITS_S);
        }
        self.waiting = waits;
        self.waiting_since = now;
    }

    /// Whether it waits for the first piece that is not here and that it would reach in `due_s`, or is about to: between two
    /// pieces it waits for nothing, for moments, and were others asked for what comes later in each of them, the line would
    /// be full of that.
    pub(super) fn waits_for(&self, now: Time, due_s: f64) -> bool {
        (self.waiting || now < self.waited_until) && due_s < STILL_DUE_S
    }

    /// How long after its reading a byte is shown, in seconds; zero where that is not known. A reader that waits for long
    /// is believed to need it now, whatever its player was thought to have: it may play faster than we know.
    pub(super) fn lead_s(&mut self, now: Time) -> f64 {
        if self.waiting && now.since(self.waiting_since).as_secs_f64() > WAITS_S {
            self.hurried_until = now.plus_secs(HURRIED_S);
        }
        if now < self.hurried_until { 0.0 } else { self.lead_s }
    }

    pub(super) fn jump_to(&mut self, now: Time, position: u64) {
        self.since = now;
        self.position = position;
        self.lead_s = 0.0;
    }

    pub(super) fn set_rate(&mut self, rate: f64) {
        self.known_rate = (rate.is_finite() && rate > 0.0).then_some(rate);
    }

    /// Bytes per second, as given or as measured; `None` where neither is worth anything yet.
    pub(super) fn rate(&self) -> Option<f64> {
        self.known_rate.or_else(|| {
            let long_enough = self.since.since(self.opened).as_secs_f64() > RATE_AFTER_S;
            (long_enough && self.seconds > 0.0 && self.bytes > 0.0).then(|| self.bytes / self.seconds)
        })
    }

    /// The first byte past what may be fetched for it.
    pub(super) fn fetch_end(&self) -> u64 {
        self.position.saturating_add(self.window).min(self.end)
    }
}
