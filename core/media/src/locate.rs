//! Finds the read position for a time.

use crate::held::{Probe, Walk};
use crate::timeline::{Accuracy, Timeline};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// The position at which playback from a time begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SeekPoint {
    /// The keyframe's time; the requested time if the position is only an estimate.
    pub time: Duration,
    /// Offset at which the keyframe's packet begins.
    pub offset: u64,
    /// The first byte to read.
    pub from: u64,
    /// End of the bytes to buffer before playback starts: the next keyframe.
    pub until: u64,
    /// Whether the position is a linear estimate.
    pub estimated: bool,
}

/// A search for the keyframe at or before a time. With a complete index it finishes at once.
/// Otherwise it reports the bytes it [needs](Locate::needed) until there is a
/// [seek point](Locate::seek_point).
#[derive(Debug)]
pub struct Locate {
    /// The result without reading the file. It is also the seek point if a search fails.
    known: SeekPoint,
    search: Option<Probe<Box<dyn Walk<Found = SeekPoint>>>>,
}

impl Locate {
    /// Starts a search for `time`. A time past the end is treated as the end.
    pub fn new(timeline: &Arc<Timeline>, time: Duration) -> Locate {
        // Audio may begin before the first picture; playback then begins at the first picture.
        // Without this, a search would read all up to the second one.
        let first = timeline.keyframes().first().filter(|_| *timeline.accuracy() == Accuracy::Exact);
        let time = first.map_or(time, |first| time.max(first.time)).min(timeline.duration());
        let search = timeline.search().map(|search| Probe::new(timeline.size(), search.walk(timeline, time)));
        Locate { known: known(timeline, time), search }
    }

    /// Returns the bytes to feed next, the most urgent first. Empty once there is a seek point.
    pub fn needed(&self) -> Vec<Range<u64>> {
        self.search.as_ref().map(Probe::needed).unwrap_or_default()
    }

    /// Accepts bytes of the file and drops those that are not needed.
    pub fn feed(&mut self, offset: u64, bytes: &[u8]) {
        if let Some(search) = &mut self.search {
            search.feed(offset, bytes);
        }
    }

    /// Returns the read position once it is known, which it is as soon as no more bytes are
    /// [needed](Locate::needed).
    pub fn seek_point(&self) -> Option<SeekPoint> {
        match &self.search {
            None => Some(self.known),
            Some(search) => search.outcome().map(|found| found.copied().unwrap_or(self.known)),
        }
    }

    /// Returns the number of bytes of the file held in memory.
    pub fn held_bytes(&self) -> usize {
        self.search.as_ref().map_or(0, Probe::held_bytes)
    }
}

/// Returns the seek point that the timeline gives without reading the file.
pub(crate) fn known(timeline: &Timeline, time: Duration) -> SeekPoint {
    // Audio may begin before the first picture; playback then begins at the first picture.
    let at = timeline.keyframe_at(time).0.or(timeline.keyframes().first().copied());
    match (at, timeline.accuracy()) {
        (Some(at), Accuracy::Exact) => SeekPoint {
            time: at.time,
            offset: at.offset,
            from: at.from,
            until: timeline.end_from(at.time, at.from).max(at.offset + 1),
            estimated: false,
        },
        _ => {
            let from = timeline.byte_at(time);
            SeekPoint { time, offset: from, from, until: ahead(timeline, time, from), estimated: true }
        }
    }
}

/// Returns the end of the bytes to buffer before playback from a time starts, if the next keyframe
/// is unknown or always near.
pub(crate) fn ahead(timeline: &Timeline, time: Duration, from: u64) -> u64 {
    const STRETCH: Duration = Duration::from_secs(2);
    /// One block of a swarm, in case the mapping from time to byte is wrong.
    const LEAST: u64 = 16 << 10;
    timeline.byte_at(time + STRETCH).max(from.saturating_add(LEAST)).min(timeline.size()).max(from)
}

/// Half of the unit to which players round times. A keyframe that is at most this far ahead is the
/// requested one.
pub(crate) const ROUNDING: Duration = Duration::from_micros(500);
