//! Where to read for a time.

use crate::held::{Probe, Walk};
use crate::timeline::{Accuracy, Timeline};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Where playing from a time begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Landing {
    /// The keyframe's time; the time asked for where that is only an estimate.
    pub time: Duration,
    /// Where the keyframe's packet begins.
    pub offset: u64,
    /// The first byte to read.
    pub from: u64,
    /// What should be here before it plays: up to the next keyframe.
    pub until: u64,
    /// Whether it is a guess along a straight line.
    pub estimated: bool,
}

/// Looks for the keyframe at or before a time. With a whole index it is found at once; otherwise it says which bytes it
/// [needs](Locate::needed) until there is a [landing](Locate::landing).
#[derive(Debug)]
pub struct Locate {
    /// What is known without a look at the file, and the landing when a search comes to nothing.
    known: Landing,
    search: Option<Probe<Box<dyn Walk<Found = Landing>>>>,
}

impl Locate {
    /// A search for `time`; a time past the end is the end's.
    pub fn new(timeline: &Arc<Timeline>, time: Duration) -> Locate {
        let time = time.min(timeline.duration());
        let search = timeline.search().map(|search| Probe::new(timeline.size(), search.walk(timeline, time)));
        Locate { known: known(timeline, time), search }
    }

    /// The bytes to feed next, the most urgent first; none once there is a landing.
    pub fn needed(&self) -> Vec<Range<u64>> {
        self.search.as_ref().map(Probe::needed).unwrap_or_default()
    }

    /// Takes bytes of the file; those that nobody needs are let go.
    pub fn feed(&mut self, offset: u64, bytes: &[u8]) {
        if let Some(search) = &mut self.search {
            search.feed(offset, bytes);
        }
    }

    /// Where to read, once that is known: always, when nothing more is [needed](Locate::needed).
    pub fn landing(&self) -> Option<Landing> {
        match &self.search {
            None => Some(self.known),
            Some(search) => search.outcome().map(|found| found.copied().unwrap_or(self.known)),
        }
    }

    /// Bytes of the file that it holds in memory.
    pub fn held_bytes(&self) -> usize {
        self.search.as_ref().map_or(0, Probe::held_bytes)
    }
}

/// What the timeline says without a look at the file.
pub(crate) fn known(timeline: &Timeline, time: Duration) -> Landing {
    // Sound may begin before the first picture, which is then where playing begins.
    let at = timeline.keyframe_at(time).0.or(timeline.keyframes().first().copied());
    match (at, timeline.accuracy()) {
        (Some(at), Accuracy::Exact) => Landing {
            time: at.time,
            offset: at.offset,
            from: at.from,
            until: timeline.end_from(at.time, at.from).max(at.offset + 1),
            estimated: false,
        },
        _ => {
            let from = timeline.byte_at(time);
            Landing { time, offset: from, from, until: ahead(timeline, time, from), estimated: true }
        }
    }
}

/// What should be here before playing from a time starts, where the next keyframe is not known or always near.
pub(crate) fn ahead(timeline: &Timeline, time: Duration, from: u64) -> u64 {
    const STRETCH: Duration = Duration::from_secs(2);
    /// A block of a swarm, should the line from time to byte be wrong.
    const LEAST: u64 = 16 << 10;
    timeline.byte_at(time + STRETCH).max(from.saturating_add(LEAST)).min(timeline.size()).max(from)
}

/// Half of what players round times to: a keyframe that is no further ahead is the one that is meant.
pub(crate) const ROUNDING: Duration = Duration::from_micros(500);
