//! The search that containers without a whole index share: comes near a time by looking at single points of the stream,
//! then reads on from there to the keyframe at or before it and the one after.
//!
//! What a point is and how the stream is read, the container's own module says.

use crate::held::{Held, Step, Walk};
use crate::locate::Landing;
use std::ops::Range;
use std::time::Duration;

/// What a look at the bytes that are here came to.
pub(crate) type Look<T> = Result<T, Short>;

/// Why a look found nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Short {
    /// These are needed first.
    Need(Range<u64>),
    /// There is none up to the end.
    Nothing,
    /// For too far there is nothing of the stream at all.
    Lost,
}

/// A place from which the stream can be read, and its time in microseconds from the film's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) at: u64,
    pub(crate) time: i64,
}

/// A keyframe met while reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// Microseconds from the film's start.
    pub(crate) time: i64,
    pub(crate) offset: u64,
    pub(crate) from: u64,
}

/// A stream that can be entered anywhere.
pub(crate) trait Stream: std::fmt::Debug + Send + Sync {
    /// A reading of it.
    type Reading: Reading + std::fmt::Debug + Send + Sync;

    /// The first point at or after `cursor` and before `end`; moves the cursor over what is done with.
    fn point(&self, held: &Held, cursor: &mut u64, end: u64) -> Look<Point>;

    /// Begins to read at a point.
    fn read(&self, at: u64) -> Self::Reading;
}

/// A reading of a stream, onwards from a point.
pub(crate) trait Reading {
    /// Up to where it has read.
    fn at(&self) -> u64;

    /// The last time that it has read, whatever it belongs to.
    fn time(&self) -> Option<i64>;

    /// The next keyframe; `Need` too where it is time to look at how far the reading has come.
    fn next(&mut self, held: &Held) -> Look<Key>;
}

/// Bounds the bytes that one search reads: a group of pictures of 10 s at 50 Mbit/s is 63 MB.
const MAX_READ: u64 = 96 << 20;
/// How far it reads for the keyframe after the one it lands on; beyond that, what was read is what should be here.
const MAX_READ_PAST: u64 = 8 << 20;
/// Bounds the looks at points: thirty halvings find a byte in a gigabyte, and backing off starts anew.
const MAX_POINTS: u32 = 200;
/// How far one look goes: Matroska's clusters have some megabytes.
const MAX_LOOK: u64 = 8 << 20;
/// Looks at points for one aim, before what is nearest will do.
const POINTS_PER_AIM: u32 = 40;
/// Reading on this far is cheaper than another look.
const NEAR_BYTES: u64 = 192 << 10;
/// A time that lies further outside of its neighbours' than this contradicts them.
const SLACK_US: i64 = 20_000_000;
/// Times are said in milliseconds, and mean the keyframe whose time was rounded to them.
const ROUNDING_US: i64 = 500;
/// An index that leads to a place this far before the time lies, or has holes.
const MAX_LEAD_US: i64 = 60_000_000;

/// What a search starts from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// The first point of the stream.
    pub(crate) start: Point,
    /// Its end, and the time there.
    pub(crate) end: Point,
    /// A keyframe is expected within this many microseconds before any time.
    pub(crate) back: i64,
    /// The keyframe to read through to is at least this many microseconds after the one landed on: where each frame is
    /// one, a player needs more of them.
    pub(crate) reach: i64,
    /// What an index says, where there is one.
    pub(crate) hint: Option<Hint>,
}

/// Where an index has the keyframe. It is looked at before it is believed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hint {
    /// Where to read from to come to the keyframe.
    pub(crate) near: u64,
    /// The keyframe's time and where the next one's data begins, if the index has every keyframe.
    pub(crate) exact: Option<(i64, u64)>,
}

/// The walk to the keyframe at or before a time.
#[derive(Debug)]
pub(crate) struct Bisect<S: Stream> {
    stream: S,
    time: i64,
    bounds: Bounds,
    low: Point,
    high: Point,
    phase: Phase<S::Reading>,
    back: i64,
    /// Looks at points, for this aim and in all.
    looks: (u32, u32),
    /// Whether the last looks fell on the same side, so that a straight line misleads.
    lean: i32,
    read: u64,
    /// The last keyframe met at or before the time.
    best: Option<Key>,
    /// The first one after it.
    after: Option<Key>,
    /// Where the reading met what lies after the time.
    passed: Option<u64>,
    /// Where it was given up to read for the keyframe after.
    ended: Option<u64>,
    /// Where an earlier reading began, which found nothing before the time.
    stop: u64,
}

#[derive(Debug)]
enum Phase<R> {
    Aim,
    Looking { from: u64, cursor: u64 },
    Reading(R),
}

impl<S: Stream> Bisect<S> {
    pub(crate) fn new(stream: S, time: Duration, bounds: Bounds) -> Bisect<S> {
        let time = i64::try_from(time.as_micros()).unwrap_or(i64::MAX).saturating_add(ROUNDING_US);
        let phase = bounds.hint.map_or(Phase::Aim, |hint| Phase::Reading(stream.read(hint.near)));
        let low = bounds.hint.map_or(bounds.start, |hint| Point { at: hint.near, time });
        Bisect {
            stream,
            time,
            bounds,
            low,
            high: bounds.end,
            phase,
            back: bounds.back,
            looks: (0, 0),
            lean: 0,
            read: 0,
            best: None,
            after: None,
            passed: None,
            ended: None,
            stop: u64::MAX,
        }
    }

    fn need(&mut self, held: &mut Held, range: Range<u64>) -> Step<Landing> {
        let missing: u64 = held.missing(range.clone()).iter().map(|r| r.end - r.start).sum();
        self.read += missing;
        if missing == 0 || self.read > MAX_READ {
            return Step::Failed("has no keyframe within reach of that time".into());
        }
        held.make_room();
        Step::Need(vec![range])
    }

    /// Where to look next for a point at or before `aim`; `None` if the nearest known will do.
    fn aim(&self, aim: i64) -> Option<u64> {
        let (low, high) = (self.low, self.high);
        let gap = high.at.saturating_sub(low.at);
        let close = (self.bounds.back / 2).max(500_000);
        if aim <= low.time.saturating_add(close) || gap <= NEAR_BYTES || self.looks.0 >= POINTS_PER_AIM {
            return None;
        }
        let line = (aim - low.time) as f64 / (high.time.saturating_sub(low.time)).max(1) as f64;
        // Two looks in a row on one side: the line misleads, so halve.
        let share = if self.lean.abs() >= 2 { 0.5 } else { line.clamp(0.02, 0.98) };
        // A little lower, for the point found lies after the place looked at.
        let at = low.at + (gap as f64 * share) as u64;
        Some(at.saturating_sub(NEAR_BYTES / 4).clamp(low.at + 1, high.at.saturating_sub(1).max(low.at + 1)))
    }

    fn found(&mut self, from: u64, point: Point, aim: i64) -> Result<(), String> {
        let outside =
            point.time < self.low.time.saturating_sub(SLACK_US) || point.time > self.high.time.saturating_add(SLACK_US);
        if outside || point.at < from {
            return Err("has times that do not ascend".into());
        }
        if point.time <= aim {
            self.low = point;
            self.lean = self.lean.max(0) + 1;
        } else {
            // No point begins between the place looked at and this one.
            self.high = Point { at: from, time: point.time };
            self.lean = self.lean.min(0) - 1;
        }
        Ok(())
    }

    fn landing(&self, key: Key) -> Landing {
        let until = self.after.map(|after| after.offset).or(self.ended).unwrap_or(self.bounds.end.at);
        Landing {
            time: Duration::from_micros(u64::try_from(key.time).unwrap_or(0)),
            offset: key.offset,
            from: key.from,
            until: until.min(self.bounds.end.at).max(key.offset),
            estimated: false,
        }
    }

    /// Looks for a place to read from, without a hint.
    fn search(&mut self) {
        self.bounds.hint = None;
        self.low = self.bounds.start;
        self.looks.0 = 0;
        self.lean = 0;
        self.phase = Phase::Aim;
    }

    /// What the reading came to when it is at its end; `None` if another one begins.
    fn settle(&mut self) -> Option<Step<Landing>> {
        if let Some(best) = self.best {
            return Some(Step::Done(self.landing(best)));
        }
        if self.low.at > self.bounds.start.at {
            // Further back, up to where this one began.
            self.stop = self.low.at;
            self.high = self.low;
            self.back = self.back.saturating_mul(3).max(1_000_000);
            self.search();
            return None;
        }
        // Nothing before it: the film starts with its first keyframe.
        match self.after.take() {
            Some(first) if first.time > self.time => {
                self.time = first.time;
                self.passed = None;
                let from = if self.stop == u64::MAX { self.bounds.start.at } else { self.stop };
                self.stop = u64::MAX;
                self.phase = Phase::Reading(self.stream.read(from));
                None
            }
            _ => Some(Step::Failed("has no keyframe".into())),
        }
    }
}

impl<S: Stream> Walk for Bisect<S> {
    type Found = Landing;

    fn step(&mut self, held: &mut Held) -> Step<Landing> {
        loop {
            let aim = self.time.saturating_sub(self.back);
            match &mut self.phase {
                Phase::Aim => match self.aim(aim) {
                    Some(_) if self.looks.1 >= MAX_POINTS => return Step::Failed("cannot be searched".into()),
                    Some(from) => {
                        self.looks = (self.looks.0 + 1, self.looks.1 + 1);
                        self.phase = Phase::Looking { from, cursor: from };
                    }
                    None => self.phase = Phase::Reading(self.stream.read(self.low.at)),
                },
                Phase::Looking { from, cursor } => {
                    let from = *from;
                    if *cursor > from.saturating_add(MAX_LOOK) {
                        return Step::Failed("has a hole".into());
                    }
                    match self.stream.point(held, cursor, self.high.at) {
                        Err(Short::Need(range)) => return self.need(held, range),
                        Ok(point) => {
                            self.phase = Phase::Aim;
                            if let Err(why) = self.found(from, point, aim) {
                                return Step::Failed(why);
                            }
                        }
                        Err(Short::Nothing) => {
                            self.high.at = from;
                            self.phase = Phase::Aim;
                        }
                        Err(Short::Lost) => return Step::Failed("has a hole".into()),
                    }
                }
                Phase::Reading(reading) => {
                    let at = reading.at();
                    if self.bounds.hint.is_some()
                        && reading.time().is_some_and(|t| t < self.time.saturating_sub(MAX_LEAD_US))
                    {
                        self.search();
                        continue;
                    }
                    if self.passed.is_none() && reading.time().is_some_and(|time| time > self.time) {
                        self.passed = Some(at);
                    }
                    let past = self.passed.is_some_and(|passed| at > passed.saturating_add(MAX_READ_PAST));
                    match if at >= self.stop || past { Err(Short::Nothing) } else { reading.next(held) } {
                        Err(Short::Need(range)) => return self.need(held, range),
                        Ok(key) if key.time <= self.time => {
                            if self.best.is_none_or(|best| key.time >= best.time) {
                                self.best = Some(key);
                            }
                            if let Some((time, until)) = self.bounds.hint.and_then(|hint| hint.exact)
                                && key.time >= time
                            {
                                self.ended = Some(until);
                                return Step::Done(self.landing(key));
                            }
                        }
                        Ok(key) => {
                            let least = self.best.map_or(key.time, |best| best.time.saturating_add(self.bounds.reach));
                            if key.time >= least {
                                self.after = Some(key);
                                if let Some(step) = self.settle() {
                                    return step;
                                }
                            }
                        }
                        Err(Short::Lost) if self.best.is_none() => return Step::Failed("has a hole".into()),
                        Err(Short::Nothing | Short::Lost) => {
                            if past {
                                self.ended = Some(at);
                            }
                            if let Some(step) = self.settle() {
                                return step;
                            }
                        }
                    }
                }
            }
        }
    }
}
