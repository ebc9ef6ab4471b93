//! Finds the FLAC frame that contains a time: by bisection over the numbers in frame headers. A
//! valid seek table, if present, narrows the range.

use super::Layout;
use super::frame::{FrameHeader, MAX_HEADER_BYTES, StreamInfo};
use crate::held::{Held, Step, Walk};
use crate::locate::{ROUNDING, SeekPoint, ahead};
use crate::timeline::{Search, Timeline};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Bytes first requested at a position: one block of a swarm.
const WINDOW: u64 = 16 << 10;

/// Most bytes requested at a position: two frames of eight channels at 24 bits. Less if the stream
/// declares its longest frame.
const MAX_WINDOW: u64 = 256 << 10;

/// Most windows read for one time. An honest file of any size needs a dozen.
const MAX_LOOKS: u32 = 40;

/// Most bytes in these windows. Bounds the search in files without frames where they should be.
const MAX_BYTES: u64 = 2 << 20;

/// Most headers kept from one window. A 16 KiB block of silence has a thousand frames.
const MAX_FRAMES: usize = 4096;

/// The position of a frame, from its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) offset: u64,
    pub(super) sample: u64,
    block: u64,
}

impl Frame {
    pub(super) fn new(offset: u64, header: &FrameHeader, info: &StreamInfo) -> Frame {
        // With a fixed size, all blocks but the last have the maximum.
        let unit = if header.variable { 1 } else { u64::from(info.max_block) };
        Frame { offset, sample: header.number * unit, block: u64::from(header.block) }
    }

    /// Returns the sample after the last one of this frame.
    pub(super) fn next(&self) -> u64 {
        self.sample + self.block
    }
}

/// Returns every position that looks like a frame header, in bytes that begin at an offset.
pub(super) fn frames(bytes: &[u8], offset: u64, info: &StreamInfo) -> Vec<Frame> {
    let headers = bytes.windows(2).enumerate().filter(|(_, pair)| pair[0] == 0xff && pair[1] & 0xfe == 0xf8);
    let frames = headers.filter_map(|(at, _)| {
        let end = bytes.len().min(at + MAX_HEADER_BYTES as usize);
        Some(Frame::new(offset + at as u64, &FrameHeader::parse(&bytes[at..end], info)?, info))
    });
    frames.take(MAX_FRAMES).collect()
}

impl Search for Layout {
    fn walk(&self, timeline: &Arc<Timeline>, time: Duration) -> Box<dyn Walk<Found = SeekPoint>> {
        let target = (time + ROUNDING).as_nanos() * u128::from(self.info.rate) / 1_000_000_000;
        let target = (target as u64).min(self.total.saturating_sub(1));
        let (at, next) = timeline.keyframe_at(time + ROUNDING);
        let point = |time: Duration, offset| {
            // One nanosecond is added: durations are truncated to whole ones, and a sample's own
            // time should find it.
            let sample = (time.as_nanos() + 1) * u128::from(self.info.rate) / 1_000_000_000;
            Frame { offset, sample: sample as u64, block: 0 }
        };
        let low = at.map_or_else(|| self.first(timeline), |k| point(k.time, k.offset));
        let target = target.max(low.sample);
        let high = next.map_or_else(|| self.end(), |k| point(k.time, k.offset));
        let table = timeline.keyframes().len() > 1;
        let ceiling = high.offset;
        Box::new(Find {
            layout: self.clone(),
            timeline: timeline.clone(),
            target,
            low,
            high,
            ceiling,
            table,
            checked: false,
            window: None,
            looks: 0,
            bytes: 0,
        })
    }
}

impl Layout {
    fn first(&self, timeline: &Timeline) -> Frame {
        let sample = timeline
            .keyframes()
            .first()
            .map_or(0, |k| ((k.time.as_nanos() + 1) * u128::from(self.info.rate) / 1_000_000_000) as u64);
        Frame { offset: self.bytes.start, sample, block: 0 }
    }

    fn end(&self) -> Frame {
        Frame { offset: self.bytes.end, sample: self.total, block: 0 }
    }
}

#[derive(Debug)]
struct Find {
    layout: Layout,
    timeline: Arc<Timeline>,
    target: u64,
    /// The last frame known to be at or before the target.
    low: Frame,
    /// The first frame known to be after the target, or the end.
    high: Frame,
    /// The searched frame begins before this offset.
    ceiling: u64,
    /// Whether `low` and `high` are points of a seek table, which may be false.
    table: bool,
    /// Whether `low` was confirmed to be a frame.
    checked: bool,
    window: Option<Range<u64>>,
    looks: u32,
    /// Bytes read so far.
    bytes: u64,
}

impl Find {
    fn seek_point(&self) -> SeekPoint {
        let (time, offset) = (self.layout.time(self.low.sample), self.low.offset);
        SeekPoint { time, offset, from: offset, until: ahead(&self.timeline, time, self.low.offset), estimated: false }
    }

    /// Restarts the search without the seek table.
    fn distrust(&mut self) {
        self.low = self.layout.first(&self.timeline);
        self.target = self.target.max(self.low.sample);
        self.high = self.layout.end();
        self.ceiling = self.high.offset;
        (self.table, self.checked, self.window) = (false, false, None);
    }

    /// Returns the next position to read. It interpolates between the known frames and aims one
    /// frame early. Every third time it takes the middle, for files whose rate varies.
    fn guess(&self) -> u64 {
        let (low, high) = (self.low.offset, self.ceiling);
        if high <= low + WINDOW {
            return low;
        }
        if self.looks % 3 == 2 {
            return low + (high - low) / 2;
        }
        let span = self.high.sample.saturating_sub(self.low.sample).max(1) as f64;
        let bytes = self.high.offset.saturating_sub(low) as f64;
        let early = bytes * self.low.block as f64 / span;
        let guess = low + (bytes * (self.target - self.low.sample) as f64 / span - early).max(0.0) as u64;
        guess.min(high - WINDOW / 2)
    }

    /// Returns the window size in bytes in which two frames are certain to begin.
    fn most(&self) -> u64 {
        match u64::from(self.layout.info.max_frame) {
            0 => MAX_WINDOW,
            frame => (2 * frame + MAX_HEADER_BYTES).clamp(WINDOW, MAX_WINDOW),
        }
    }

    /// Returns the frames of a window that belong to the stream: each follows another or is
    /// followed by one.
    fn chained(&self, bytes: &[u8], offset: u64) -> Vec<Frame> {
        let mut found = frames(bytes, offset, &self.layout.info);
        found.retain(|frame| (self.low.sample..=self.high.sample).contains(&frame.sample));
        let starts: BTreeSet<u64> = found.iter().map(|f| f.sample).chain([self.high.sample]).collect();
        let ends: BTreeSet<u64> = found.iter().map(Frame::next).collect();
        found.retain(|f| starts.contains(&f.next()) || ends.contains(&f.sample) || *f == self.low);
        found
    }

    /// Narrows the range by the frames of a window. Returns whether it did.
    fn learn(&mut self, found: &[Frame], start: u64) -> bool {
        let before = (self.low, self.high, self.ceiling);
        let behind = found.iter().position(|f| f.sample > self.target);
        if let Some(behind) = behind {
            self.high = found[behind];
            self.ceiling = self.ceiling.min(if behind == 0 { start } else { self.high.offset });
        }
        if let Some(low) = found[..behind.unwrap_or(found.len())].last().filter(|f| f.offset >= self.low.offset) {
            self.low = *low;
        }
        self.ceiling = self.ceiling.max(self.low.offset + 1);
        before != (self.low, self.high, self.ceiling)
    }

    fn look(&mut self, held: &mut Held) -> Step<SeekPoint> {
        if !self.checked {
            let range = self.low.offset..self.low.offset + MAX_HEADER_BYTES;
            let Some(bytes) = held.get(range.clone()) else { return Step::Need(vec![range]) };
            let info = &self.layout.info;
            let frame = FrameHeader::parse(bytes, info).map(|header| Frame::new(self.low.offset, &header, info));
            match frame.filter(|f| f.sample == self.low.sample) {
                Some(frame) => (self.low, self.checked) = (frame, true),
                None if self.table => self.distrust(),
                None => return Step::Failed("has no frame where its sound begins".into()),
            }
            return self.look(held);
        }
        if self.low.next() > self.target || self.looks >= MAX_LOOKS || self.bytes >= MAX_BYTES {
            return Step::Done(self.seek_point());
        }
        let window = match self.window.clone() {
            Some(window) => window,
            None => {
                self.looks += 1;
                let guess = self.guess();
                guess..guess + WINDOW
            }
        };
        // The first frame after the target may be the only confirmation of the one before.
        let limit = (self.high.offset + MAX_HEADER_BYTES).min(self.layout.bytes.end);
        let window = window.start..window.end.min(limit);
        let Some(bytes) = held.get(window.clone()) else {
            self.window = Some(window.clone());
            return Step::Need(vec![window]);
        };
        let found = self.chained(bytes, window.start);
        let (whole, length) = (window.end >= limit, window.end - window.start);
        let told = self.learn(&found, window.start);
        if !told && !whole && length < self.most() {
            self.window = Some(window.start..window.start + 2 * length);
            return self.look(held);
        }
        self.window = None;
        self.bytes += length;
        if !told {
            if window.start > self.low.offset {
                self.ceiling = window.start;
            } else if self.table {
                self.distrust();
            } else {
                // Damage follows the last whole frame, which is the best result available.
                self.looks = MAX_LOOKS;
            }
        }
        held.forget_before(held.size());
        self.look(held)
    }
}

impl Walk for Find {
    type Found = SeekPoint;

    fn step(&mut self, held: &mut Held) -> Step<SeekPoint> {
        self.look(held)
    }
}
