//! What is known of a file's time: the outcome of an [`Indexer`](crate::Indexer).

use crate::container::Container;
use crate::held::Walk;
use crate::locate::Landing;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// What a file's index says: duration, tracks, and where its keyframes are.
///
/// Times count from the first presentation timestamp of the file, as players show them; [`Timeline::origin_us`] has
/// what the container itself calls that moment.
#[derive(Clone, Debug)]
pub struct Timeline {
    container: Container,
    size: u64,
    duration: Duration,
    origin_us: i64,
    tracks: Vec<Track>,
    /// Of the main track, ascending in time and in `from`.
    keyframes: Vec<Keyframe>,
    /// Points of the line from time to byte, ascending in both, where they are not keyframes; empty where keyframes serve.
    line: Vec<(Duration, u64)>,
    accuracy: Accuracy,
    /// How a [`Locate`](crate::Locate) finds what lies between the known keyframes; `None` where all are known.
    search: Option<Arc<dyn Search>>,
}

/// How a container is searched for the keyframe at or before a time.
pub(crate) trait Search: std::fmt::Debug + Send + Sync {
    /// A walk that ends with the landing for `time`, which is within the film.
    fn walk(&self, timeline: &Arc<Timeline>, time: Duration) -> Box<dyn Walk<Found = Landing>>;
}

/// A point where playing can start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keyframe {
    /// Its presentation timestamp, from the start of the film.
    pub time: Duration,
    /// Where its packet begins in the file: the sample (MP4; in a sparse timeline, its fragment), the content of the block
    /// (Matroska, whose Cues know no more than the cluster: a [`Locate`](crate::Locate) finds the block) or of the chunk (AVI),
    /// the first transport packet of its PES packet (MPEG-TS), the frame (audio).
    pub offset: u64,
    /// The first byte that a player needs to play from here: the lowest of all tracks' data at that time.
    pub from: u64,
}

/// A stream of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Track {
    /// What it carries.
    pub kind: TrackKind,
    /// The codec by FFmpeg's name (`h264`, `hevc`, `vp9`, `av1`, `aac`, `opus`, …), or what the container calls it.
    pub codec: String,
    /// Its language, ISO 639-2 (`eng`) or BCP 47; `None` where it is not said.
    pub language: Option<String>,
    /// Its title, where it has one.
    pub title: Option<String>,
    /// Width and height in pixels. Of MPEG-TS, which has them in the pictures alone: of H.264, HEVC, MPEG-1 and MPEG-2, where
    /// the beginning or the end has a keyframe.
    pub resolution: Option<(u32, u32)>,
    /// Channels and samples a second.
    pub audio: Option<(u32, u32)>,
}

/// What a track carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TrackKind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
    /// Text or pictures of text.
    Subtitle,
    /// Anything else.
    #[default]
    Other,
}

/// How far a timeline can be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accuracy {
    /// Every keyframe of the main track is known; of more than 32,768, every so-manyth.
    Exact,
    /// Some keyframes are known, or only the ends; a [`Locate`](crate::Locate) looks for the others.
    Sparse,
    /// Nothing but a straight line from the first byte to the last.
    Estimate {
        /// Why there is nothing better, as a sentence.
        why: String,
    },
}

impl Timeline {
    /// A timeline of what a walk found. Keyframes may come in any order; those that contradict the others or the file's
    /// size are dropped.
    pub(crate) fn new(container: Container, size: u64, duration: Duration, mut keyframes: Vec<Keyframe>) -> Timeline {
        keyframes.retain(|k| k.offset < size && k.from <= k.offset);
        keyframes.sort_unstable_by_key(|k| (k.time, k.offset));
        keyframes.dedup_by_key(|k| k.time);
        // From the end back: a later keyframe is never reached from behind an earlier one.
        let mut lowest = u64::MAX;
        for keyframe in keyframes.iter_mut().rev() {
            lowest = lowest.min(keyframe.from);
            keyframe.from = lowest;
        }
        keyframes.shrink_to_fit();
        Timeline {
            container,
            size,
            duration,
            origin_us: 0,
            tracks: Vec::new(),
            keyframes,
            line: Vec::new(),
            accuracy: Accuracy::Exact,
            search: None,
        }
    }

    /// A straight line, or where not even the duration is known, nothing but the start of the file.
    pub(crate) fn estimate(
        container: Container,
        size: u64,
        duration: Option<Duration>,
        why: impl Into<String>,
    ) -> Timeline {
        let mut timeline = Timeline::new(container, size, duration.unwrap_or_default(), Vec::new());
        timeline.accuracy = Accuracy::Estimate { why: why.into() };
        timeline
    }

    pub(crate) fn with_tracks(mut self, tracks: Vec<Track>) -> Timeline {
        self.tracks = tracks;
        self
    }

    pub(crate) fn with_origin_us(mut self, origin_us: i64) -> Timeline {
        self.origin_us = origin_us;
        self
    }

    /// Points that are only near to where playing can start; they replace the keyframes in the line from time to byte.
    pub(crate) fn with_line(mut self, mut line: Vec<(Duration, u64)>) -> Timeline {
        line.retain(|(_, byte)| *byte <= self.size);
        self.line = line;
        self
    }

    pub(crate) fn with_accuracy(mut self, accuracy: Accuracy) -> Timeline {
        self.accuracy = accuracy;
        self
    }

    /// For an index that is not whole.
    pub(crate) fn with_search(mut self, search: Arc<dyn Search>) -> Timeline {
        self.accuracy = Accuracy::Sparse;
        self.search = Some(search);
        self
    }

    pub(crate) fn search(&self) -> Option<&Arc<dyn Search>> {
        self.search.as_ref()
    }

    /// The container.
    pub fn container(&self) -> Container {
        self.container
    }

    /// Bytes of the file.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How long it plays: zero where that is [not known](Timeline::knows_duration).
    pub fn duration(&self) -> Duration {
        self.duration
    }

    /// The container's own timestamp of the first picture or sound, in microseconds.
    pub fn origin_us(&self) -> i64 {
        self.origin_us
    }

    /// The streams in the file, in its order.
    pub fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// The known keyframes of the main track (the first video track, else the first audio track), ascending in time.
    pub fn keyframes(&self) -> &[Keyframe] {
        &self.keyframes
    }

    /// How far it can be trusted.
    pub fn accuracy(&self) -> &Accuracy {
        &self.accuracy
    }

    /// Whether it is only an estimate.
    pub fn is_estimate(&self) -> bool {
        matches!(self.accuracy, Accuracy::Estimate { .. })
    }

    /// The known keyframe at or before a time, and the one after it.
    pub fn keyframe_at(&self, time: Duration) -> (Option<Keyframe>, Option<Keyframe>) {
        let after = self.keyframes.partition_point(|k| k.time <= time);
        let at = after.checked_sub(1).map(|i| self.keyframes[i]);
        (at, self.keyframes.get(after).copied())
    }

    /// The bytes that a player needs for a stretch of time: from the keyframe at or before its start up to the first known
    /// keyframe at or after its end. Between known keyframes of a sparse timeline, along a straight line.
    pub fn byte_range(&self, times: Range<Duration>) -> Range<u64> {
        let start = match (self.keyframe_at(times.start).0, &self.accuracy) {
            (Some(keyframe), Accuracy::Exact) => keyframe.from,
            _ => self.byte_at(times.start),
        };
        let end = match &self.accuracy {
            Accuracy::Exact => self.end_from(times.end, start),
            _ => self.byte_at(times.end),
        };
        start..end.max(start)
    }

    /// Where the first keyframe at or after a time begins that lies in another stretch of the file than one that begins at
    /// `start`: keyframes of one fragment or cluster begin at the same byte.
    pub(crate) fn end_from(&self, time: Duration, start: u64) -> u64 {
        let next = self.keyframes.partition_point(|k| k.time < time || k.from <= start);
        self.keyframes.get(next).map_or(self.size, |k| k.from)
    }

    /// The byte on the line through the known keyframes.
    pub fn byte_at(&self, time: Duration) -> u64 {
        let (before, after) = self.around(|point| point.0 <= time);
        let span = after.0.saturating_sub(before.0).as_secs_f64();
        let into = time.saturating_sub(before.0).as_secs_f64();
        let share = if span > 0.0 { (into / span).min(1.0) } else { 0.0 };
        before.1 + ((after.1 - before.1) as f64 * share) as u64
    }

    /// The time at which a byte is played, on the line through the known keyframes.
    pub fn time_at(&self, byte: u64) -> Duration {
        let (before, after) = self.around(|point| point.1 <= byte);
        let span = after.1 - before.1;
        if span == 0 {
            return before.0;
        }
        let share = (byte.saturating_sub(before.1) as f64 / span as f64).min(1.0);
        before.0 + after.0.saturating_sub(before.0).mul_f64(share)
    }

    /// Bytes a second that a player takes around a time: over the ten seconds from it on. `None` where the duration is not
    /// known.
    pub fn bytes_per_s(&self, time: Duration) -> Option<f64> {
        const WINDOW: Duration = Duration::from_secs(10);
        if self.duration.is_zero() {
            return None;
        }
        let end = (time + WINDOW).min(self.duration);
        let start = time.min(end.saturating_sub(WINDOW));
        let seconds = (end - start).as_secs_f64();
        Some((self.byte_at(end) - self.byte_at(start)) as f64 / seconds).filter(|rate| rate.is_finite() && *rate > 0.0)
    }

    /// The points of the line on either side of where `before` turns false: the start, the keyframes, the end.
    fn around(&self, before: impl Fn((Duration, u64)) -> bool) -> ((Duration, u64), (Duration, u64)) {
        let point = |i: usize| match self.line.is_empty() {
            true => self.keyframes.get(i).map(|k| (k.time, k.from)),
            false => self.line.get(i).copied(),
        };
        let i = match self.line.is_empty() {
            true => self.keyframes.partition_point(|k| before((k.time, k.from))),
            false => self.line.partition_point(|point| before(*point)),
        };
        let first = point(0).map_or(0, |(_, from)| from);
        let start = i.checked_sub(1).and_then(point).unwrap_or((Duration::ZERO, first.min(self.size)));
        // Without a start of its own, the line begins where the first keyframe's data does.
        let start = if point(0).is_none() { (Duration::ZERO, 0) } else { start };
        let end = point(i).unwrap_or((self.duration.max(start.0), self.size));
        (start, end)
    }
}
