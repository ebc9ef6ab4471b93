//! Sample tables: from sample numbers to times and positions, one table after the other.
//!
//! Only the relevant samples are followed: the keyframes, and in other tracks the samples at the
//! keyframes' times. The memory therefore does not grow with the film, and the tables' runs are
//! never expanded. Each table is read once, in pieces, and released.

use super::boxes::Wants;
use super::bytes::Bytes;
use super::movie::{Table, Trak};
use crate::held::Held;
use std::ops::Range;

/// Most keyframes that are followed: one every 2.75 seconds for 25 hours, or one every quarter of a
/// second for two hours. If there are more (audio, all-intra films), every n-th one is followed, so
/// that a timeline stays within 1 MiB.
pub(super) const MAX_KEYFRAMES: usize = 32_768;

/// Bytes of the tables held at once.
const WINDOW_BYTES: u64 = 1 << 20;

/// Distance in bytes between entries below which one request for all is cheaper.
const NEAR_BYTES: u64 = 16 << 10;

/// A sample that is followed. Numbers count from 0.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Point {
    pub(super) sample: u32,
    chunk: u32,
    /// In ticks of the media.
    pub(super) time: i64,
    /// Unused while the chunk is unknown. Then the chunk's first sample, then the bytes in the
    /// chunk before the sample, finally the offset in the file.
    pub(super) place: u64,
}

/// The selection of samples to follow.
#[derive(Clone, Debug)]
pub(super) enum Follow {
    /// The keyframes.
    Keyframes,
    /// The samples that are played at these media times, in ticks, ascending.
    At(Vec<i64>),
}

/// A reader of a track's tables.
#[derive(Debug)]
pub(super) struct Tables {
    stage: Stage,
    at: Vec<i64>,
    pub(super) points: Vec<Point>,
    /// Index of the next point to be resolved by this stage.
    next: usize,
    /// Ranges that this stage still has to read, the next one first. Entry widths are those of the
    /// table.
    spans: Vec<Range<u64>>,
    begun: bool,
    /// Samples before the entry that is read next, or the entry's own index.
    sample: u64,
    /// The time of that sample, or the sum of the sizes read.
    sum: i64,
    /// The run of chunks that an entry began: first chunk, samples per chunk.
    run: Option<(u64, u64)>,
    /// The chunk of a running sum of sizes: its first sample, and the sum at that sample.
    chunk: (u64, u64),
    /// The time after the last sample.
    pub(super) end: i64,
    /// Largest ticks by which a sample is shown before its decoding time.
    pub(super) early: i64,
    /// Bytes of tables read.
    pub(super) read: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Syncs,
    Times,
    Offsets,
    Chunks,
    Sizes,
    Places,
    Done,
}

impl Tables {
    pub(super) fn new(follow: Follow) -> Tables {
        let (stage, at) = match follow {
            Follow::Keyframes => (Stage::Syncs, Vec::new()),
            Follow::At(times) => (Stage::Times, times),
        };
        let points = vec![Point::default(); at.len()];
        Tables {
            stage,
            at,
            points,
            next: 0,
            spans: Vec::new(),
            begun: false,
            sample: 0,
            sum: 0,
            run: None,
            chunk: (u64::MAX, 0),
            end: 0,
            early: 0,
            read: 0,
        }
    }

    /// Continues with the available bytes. Returns `Ok(true)` once the points are placed; otherwise
    /// more bytes are wanted.
    pub(super) fn step(&mut self, held: &mut Held, trak: &Trak, wants: &mut Wants) -> Result<bool, String> {
        while self.stage != Stage::Done {
            if !self.begun {
                self.begin(trak);
            }
            let width = self.table(trak).width.max(1);
            while let Some(span) = self.spans.first().cloned() {
                if span.start >= span.end {
                    self.spans.remove(0);
                    if self.stage == Stage::Sizes || self.stage == Stage::Places {
                        self.sample =
                            self.spans.first().map_or(0, |s| (s.start - self.table(trak).entries.start) / width);
                    }
                    continue;
                }
                let here = held.from(span.start).unwrap_or_default();
                let here = &here[..here.len().min((span.end - span.start) as usize)];
                let whole = here.len() as u64 / width * width;
                if whole == 0 {
                    self.want(trak, wants);
                    return Ok(false);
                }
                for entry in here[..whole as usize].chunks_exact(width as usize) {
                    self.entry(Bytes(entry), trak)?;
                }
                let read = span.start..span.start + whole;
                self.spans[0].start = read.end;
                self.read += whole;
                held.forget(read);
            }
            self.finish(trak)?;
        }
        Ok(true)
    }

    /// Requests the next pieces of this stage's table and of the tables that will follow.
    fn want(&self, trak: &Trak, wants: &mut Wants) {
        let following: &[&Table] = match self.stage {
            Stage::Syncs => &[&trak.times, &trak.offsets, &trak.chunks],
            Stage::Times if self.at.is_empty() => &[&trak.offsets, &trak.chunks],
            Stage::Times | Stage::Offsets => &[&trak.chunks],
            _ => &[],
        };
        let mut left = WINDOW_BYTES;
        for span in self.spans.iter().cloned().chain(following.iter().map(|table| table.entries.clone())) {
            let width = 24; // a multiple of all widths
            let piece = if span.end - span.start > left { left / width * width } else { span.end - span.start };
            wants.push(span.start..span.start + piece);
            left -= piece;
            if span.end - span.start > piece {
                break;
            }
        }
    }

    fn table<'a>(&self, trak: &'a Trak) -> &'a Table {
        match self.stage {
            Stage::Syncs => trak.syncs.as_ref().unwrap_or(&trak.times),
            Stage::Times => &trak.times,
            Stage::Offsets => &trak.offsets,
            Stage::Chunks => &trak.chunks,
            Stage::Sizes => &trak.sizes.table,
            Stage::Places | Stage::Done => &trak.places,
        }
    }

    /// Sets the ranges that this stage has to read.
    fn begin(&mut self, trak: &Trak) {
        self.begun = true;
        (self.next, self.sample, self.sum, self.run) = (0, 0, 0, None);
        let whole = |table: &Table| vec![table.entries.clone()];
        self.spans = match self.stage {
            Stage::Syncs => match &trak.syncs {
                Some(table) => whole(table),
                None => {
                    let step = step(trak.sizes.count);
                    let samples = (0..trak.sizes.count.min(u64::from(u32::MAX))).step_by(step);
                    self.points = samples.map(|sample| Point { sample: sample as u32, ..Point::default() }).collect();
                    Vec::new()
                }
            },
            Stage::Offsets if !self.at.is_empty() => Vec::new(),
            // Other tracks are read from the start of a chunk, which needs no table of sizes.
            Stage::Sizes if !self.at.is_empty() || trak.sizes.constant != 0 => Vec::new(),
            Stage::Sizes => {
                let inner = self.points.iter().filter(|point| u64::from(point.sample) > point.place);
                spans(&trak.sizes.table, inner.map(|point| point.place..u64::from(point.sample) + 1))
            }
            Stage::Places => {
                spans(&trak.places, self.points.iter().map(|p| u64::from(p.chunk)..u64::from(p.chunk) + 1))
            }
            _ => whole(self.table(trak)),
        };
        if let Some(first) = self.spans.first()
            && (self.stage == Stage::Sizes || self.stage == Stage::Places)
        {
            let table = self.table(trak);
            self.sample = (first.start - table.entries.start) / table.width.max(1);
        }
    }

    /// Takes the next entry of this stage's table.
    fn entry(&mut self, mut entry: Bytes<'_>, trak: &Trak) -> Result<(), String> {
        let short = || "has a table that is cut off".to_owned();
        match self.stage {
            Stage::Syncs => {
                let sample = entry.u32().ok_or_else(short)?;
                let step = trak.syncs.as_ref().map_or(1, |table| step(table.len()));
                let keep = self.sample.is_multiple_of(step as u64);
                self.sample += 1;
                // Numbers count from 1 here; some writers have a 0 for the first.
                let sample = sample.saturating_sub(1);
                if u64::from(sample) >= trak.sizes.count {
                    return Ok(());
                }
                if self.points.last().is_some_and(|last| sample < last.sample) {
                    return Err("lists its keyframes out of order".into());
                }
                if keep && self.points.last().is_none_or(|last| sample > last.sample) {
                    self.points.push(Point { sample, ..Point::default() });
                }
            }
            Stage::Times => {
                let (count, delta) = entry.u32().zip(entry.u32()).ok_or_else(short)?;
                if delta > i32::MAX as u32 {
                    return Err("has times that run backwards".into());
                }
                let count = u64::from(count).min(trak.sizes.count.saturating_sub(self.sample));
                let end = self.sum.saturating_add((count * u64::from(delta)) as i64);
                self.times(count, i64::from(delta), end);
                (self.sample, self.sum) = (self.sample + count, end);
            }
            Stage::Offsets => {
                // Signed in version 1 only, but some files of version 0 have negative offsets.
                let (count, offset) = entry.u32().zip(entry.i32()).ok_or_else(short)?;
                let end = self.sample + u64::from(count);
                self.early = self.early.max(-i64::from(offset));
                while let Some(point) = self.points.get_mut(self.next).filter(|point| u64::from(point.sample) < end) {
                    point.time = point.time.saturating_add(i64::from(offset));
                    self.next += 1;
                }
                self.sample = end;
            }
            Stage::Chunks => {
                let (first, count) = entry.u32().zip(entry.u32()).ok_or_else(short)?;
                let first = u64::from(first).saturating_sub(1);
                if self.run.is_some_and(|run| first <= run.0) {
                    return Err("has chunks out of order".into());
                }
                self.chunks(first);
                self.run = Some((first, u64::from(count)));
            }
            Stage::Sizes => {
                let size = match trak.sizes.table.width {
                    1 => entry.u8().map(u64::from),
                    2 => entry.u16().map(u64::from),
                    _ => entry.u32().map(u64::from),
                };
                self.size(size.ok_or_else(short)?);
            }
            Stage::Places => {
                let width = trak.places.width;
                let start = if width == 4 { entry.u32().map(u64::from) } else { entry.u64() }.ok_or_else(short)?;
                while let Some(point) =
                    self.points.get_mut(self.next).filter(|point| u64::from(point.chunk) == self.sample)
                {
                    point.place = start.saturating_add(point.place);
                    self.next += 1;
                }
                self.sample += 1;
            }
            Stage::Done => {}
        }
        Ok(())
    }

    /// Takes `count` samples of duration `delta`. Assigns times to points among them, or samples to
    /// times.
    fn times(&mut self, count: u64, delta: i64, end: i64) {
        if self.at.is_empty() {
            let before = self.sample + count;
            while let Some(point) = self.points.get_mut(self.next).filter(|point| u64::from(point.sample) < before) {
                let into = u64::from(point.sample).saturating_sub(self.sample) as i64;
                point.time = self.sum.saturating_add(into.saturating_mul(delta));
                self.next += 1;
            }
            return;
        }
        while let Some(at) = self.at.get(self.next).filter(|at| **at < end) {
            let into = if delta > 0 { (at - self.sum).max(0) / delta } else { 0 };
            self.points[self.next].sample = u32::try_from(self.sample + into as u64).unwrap_or(u32::MAX);
            self.next += 1;
        }
    }

    /// Ends the open run of chunks before a chunk, and assigns chunks to the points in it.
    fn chunks(&mut self, before: u64) {
        let Some((first, each)) = self.run else { return };
        let end = self.sample.saturating_add((before - first).saturating_mul(each));
        while let Some(point) = self.points.get_mut(self.next).filter(|point| u64::from(point.sample) < end) {
            let into = u64::from(point.sample).saturating_sub(self.sample);
            point.chunk = u32::try_from(first + into / each).unwrap_or(u32::MAX);
            point.place = u64::from(point.sample) - into % each;
            self.next += 1;
        }
        self.sample = end;
    }

    /// Takes the size of the next sample. Sizes of samples before a point in its chunk are added
    /// up.
    fn size(&mut self, size: u64) {
        let sum = self.sum as u64;
        while let Some(point) = self.points.get_mut(self.next) {
            let (first, sample) = (point.place, u64::from(point.sample));
            if first == sample {
                point.place = 0;
            } else {
                if first == self.sample && self.chunk.0 != first {
                    self.chunk = (first, sum);
                }
                if sample != self.sample {
                    break;
                }
                point.place = sum.saturating_sub(self.chunk.1);
            }
            self.next += 1;
        }
        self.sum = self.sum.saturating_add(size as i64);
        self.sample += 1;
    }

    /// Resolves what the finished table left open and starts the next stage.
    fn finish(&mut self, trak: &Trak) -> Result<(), String> {
        let following = match self.stage {
            Stage::Syncs => Stage::Times,
            Stage::Times => {
                self.end = self.sum;
                // A track needs no byte past its end; a keyframe there has no time.
                self.points.truncate(self.next);
                Stage::Offsets
            }
            Stage::Offsets => Stage::Chunks,
            Stage::Chunks => {
                if let Some((first, _)) = self.run {
                    self.chunks(trak.places.len().max(first));
                }
                self.points.truncate(self.next);
                Stage::Sizes
            }
            Stage::Sizes => {
                for point in &mut self.points[self.next..] {
                    let before = u64::from(point.sample).saturating_sub(point.place);
                    // With a table, the remaining points are the first samples of chunks. Other
                    // tracks are read from there.
                    point.place = if self.at.is_empty() { before.saturating_mul(trak.sizes.constant) } else { 0 };
                }
                Stage::Places
            }
            Stage::Places => {
                self.points.truncate(self.next);
                Stage::Done
            }
            Stage::Done => Stage::Done,
        };
        self.stage = following;
        self.begun = false;
        self.chunk = (u64::MAX, 0);
        Ok(())
    }
}

/// Returns the step with which `count` keyframes are thinned.
fn step(count: u64) -> usize {
    usize::try_from(count.div_ceil(MAX_KEYFRAMES as u64)).unwrap_or(usize::MAX).max(1)
}

/// Returns the ranges of a table that hold these entries, ascending. Ranges near to each other are
/// merged.
fn spans(table: &Table, entries: impl Iterator<Item = Range<u64>>) -> Vec<Range<u64>> {
    let mut spans: Vec<Range<u64>> = Vec::new();
    for entry in entries {
        let end = table.entries.start.saturating_add(entry.end.saturating_mul(table.width)).min(table.entries.end);
        let start = table.entries.start.saturating_add(entry.start.saturating_mul(table.width)).min(end);
        match spans.last_mut() {
            Some(last) if start <= last.end.saturating_add(NEAR_BYTES) => last.end = last.end.max(end),
            _ if start < end => spans.push(start..end),
            _ => {}
        }
    }
    spans
}
