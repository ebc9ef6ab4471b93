//! The search shared by containers without a complete index. It approaches a time by reading single
//! points of the stream. From there it reads on to the keyframe at or before the time and to the
//! one after.
//!
//! The container's own module defines points and how the stream is read.

use crate::held::{Held, Step, Walk};
use crate::locate::SeekPoint;
use std::ops::Range;
use std::time::Duration;

/// The result of a look at the available bytes.
pub(crate) type Look<T> = Result<T, Short>;

/// The reason why a look found nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Short {
    /// This range is needed first.
    Need(Range<u64>),
    /// There is nothing up to the end.
    Nothing,
    /// A long range contains nothing of the stream.
    Lost,
}

/// An offset from which the stream can be read, and its time in microseconds from the film's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) at: u64,
    pub(crate) time: i64,
}

/// A keyframe found while reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// Microseconds from the film's start.
    pub(crate) time: i64,
    pub(crate) offset: u64,
    pub(crate) from: u64,
}

/// A stream that can be entered anywhere.
pub(crate) trait Stream: std::fmt::Debug + Send + Sync {
    /// A sequential reader of it.
    type Reading: Reading + std::fmt::Debug + Send + Sync;

    /// Returns the first point at or after `cursor` and before `end`. Moves the cursor past the
    /// bytes that are done with.
    fn point(&self, held: &Held, cursor: &mut u64, end: u64) -> Look<Point>;

    /// Starts reading at a point.
    fn read(&self, at: u64) -> Self::Reading;
}

/// A sequential reader of a stream, starting at a point.
pub(crate) trait Reading {
    /// Returns the offset up to which it has read.
    fn at(&self) -> u64;

    /// Returns the last time that it has read, of any stream.
    fn time(&self) -> Option<i64>;

    /// Returns the next keyframe. Also returns `Need` when it is time to check the progress of the
    /// reading.
    fn next(&mut self, held: &Held) -> Look<Key>;
}

/// Most bytes read in one search. A group of pictures of 10 s at 50 Mbit/s has 63 MB.
const MAX_READ: u64 = 96 << 20;
/// Longest distance in bytes that is read for the keyframe after the seek point. Beyond it, the bytes
/// read so far are those to buffer.
const MAX_READ_PAST: u64 = 8 << 20;
/// Most looks at points. Thirty halvings find a byte in a gigabyte, and backing off restarts the
/// search.
const MAX_POINTS: u32 = 200;
/// Longest distance in bytes of one look. Matroska's clusters have several megabytes.
const MAX_LOOK: u64 = 8 << 20;
/// Most looks at points for one aim before the nearest is accepted.
const POINTS_PER_AIM: u32 = 40;
/// Distance in bytes over which sequential reading is cheaper than another look.
const NEAR_BYTES: u64 = 192 << 10;
/// Largest deviation in microseconds of a time outside the range of its neighbours. A larger one
/// contradicts them.
const SLACK_US: i64 = 20_000_000;
/// Rounding tolerance in microseconds. Times are given in milliseconds and mean the keyframe whose
/// time was rounded to them.
const ROUNDING_US: i64 = 500;
/// Largest distance in microseconds before the time to which an index may lead. A larger one means
/// that the index is false or has holes.
const MAX_LEAD_US: i64 = 60_000_000;

/// The known limits that a search starts from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// The first point of the stream.
    pub(crate) start: Point,
    /// Its end, and the time there.
    pub(crate) end: Point,
    /// Microseconds before any time within which a keyframe is expected.
    pub(crate) back: i64,
    /// Least distance in microseconds from the seek point to the keyframe up to which it reads. Where
    /// every frame is a keyframe, a player needs several of them.
    pub(crate) reach: i64,
    /// The position from an index, if there is one.
    pub(crate) hint: Option<Hint>,
}

/// The position of the keyframe according to an index. It is checked before it is used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hint {
    /// Offset to read from in order to reach the keyframe.
    pub(crate) near: u64,
    /// The keyframe's time and the start of the next one's data, if the index has every keyframe.
    pub(crate) exact: Option<(i64, u64)>,
}

/// A walk to the keyframe at or before a time.
#[derive(Debug)]
pub(crate) struct Bisect<S: Stream> {
    stream: S,
    time: i64,
    bounds: Bounds,
    low: Point,
    high: Point,
    phase: Phase<S::Reading>,
    back: i64,
    /// Looks at points, for this aim and in total.
    looks: (u32, u32),
    /// Consecutive looks on the same side, signed by side. They show that interpolation misleads.
    lean: i32,
    read: u64,
    /// The last keyframe found at or before the time.
    best: Option<Key>,
    /// The first one after it.
    after: Option<Key>,
    /// Offset at which the reading passed the time.
    passed: Option<u64>,
    /// Offset at which the search for the keyframe after was given up.
    ended: Option<u64>,
    /// Start of an earlier reading, which found nothing before the time.
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

    fn need(&mut self, held: &mut Held, range: Range<u64>) -> Step<SeekPoint> {
        let missing: u64 = held.missing(range.clone()).iter().map(|r| r.end - r.start).sum();
        self.read += missing;
        if missing == 0 || self.read > MAX_READ {
            return Step::Failed("has no keyframe within reach of that time".into());
        }
        held.make_room();
        Step::Need(vec![range])
    }

    /// Returns the next position to look for a point at or before `aim`. `None` if the nearest
    /// known one is good enough.
    fn aim(&self, aim: i64) -> Option<u64> {
        let (low, high) = (self.low, self.high);
        let gap = high.at.saturating_sub(low.at);
        let close = (self.bounds.back / 2).max(500_000);
        if aim <= low.time.saturating_add(close) || gap <= NEAR_BYTES || self.looks.0 >= POINTS_PER_AIM {
            return None;
        }
        let line = (aim - low.time) as f64 / (high.time.saturating_sub(low.time)).max(1) as f64;
        // Two looks in a row on one side: interpolation misleads, so halve.
        let share = if self.lean.abs() >= 2 { 0.5 } else { line.clamp(0.02, 0.98) };
        // Slightly lower, since the point found lies after the position looked at.
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
            // No point begins between the position looked at and this one.
            self.high = Point { at: from, time: point.time };
            self.lean = self.lean.min(0) - 1;
        }
        Ok(())
    }

    fn seek_point(&self, key: Key) -> SeekPoint {
        let until = self.after.map(|after| after.offset).or(self.ended).unwrap_or(self.bounds.end.at);
        SeekPoint {
            time: Duration::from_micros(u64::try_from(key.time).unwrap_or(0)),
            offset: key.offset,
            from: key.from,
            until: until.min(self.bounds.end.at).max(key.offset),
            estimated: false,
        }
    }

    /// Searches for a position to read from, without a hint.
    fn search(&mut self) {
        self.bounds.hint = None;
        self.low = self.bounds.start;
        self.looks.0 = 0;
        self.lean = 0;
        self.phase = Phase::Aim;
    }

    /// Returns the result when the reading is at its end. `None` if another reading begins.
    fn settle(&mut self) -> Option<Step<SeekPoint>> {
        if let Some(best) = self.best {
            return Some(Step::Done(self.seek_point(best)));
        }
        if self.low.at > self.bounds.start.at {
            // Further back, up to where this reading began.
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
    type Found = SeekPoint;

    fn step(&mut self, held: &mut Held) -> Step<SeekPoint> {
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
                                return Step::Done(self.seek_point(key));
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
