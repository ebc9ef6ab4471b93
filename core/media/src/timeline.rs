//! The time information of a file: the result of an [`Indexer`](crate::Indexer).

use crate::container::Container;
use crate::held::Walk;
use crate::locate::SeekPoint;
use crate::samples::{Source, TrackSetup};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// The content of a file's index: duration, tracks and keyframe positions.
///
/// Times count from the first presentation timestamp of the file, as players show them.
/// [`Timeline::origin_us`] gives the container's own timestamp of that moment.
#[derive(Clone, Debug)]
pub struct Timeline {
    container: Container,
    size: u64,
    duration: Duration,
    origin_us: i64,
    tracks: Vec<Track>,
    /// Keyframes of the main track, ascending in time and in `from`.
    keyframes: Vec<Keyframe>,
    /// Points that map time to byte where they are not keyframes, ascending in both. Empty where
    /// keyframes are used.
    line: Vec<(Duration, u64)>,
    accuracy: Accuracy,
    /// How a [`Locate`](crate::Locate) finds positions between the known keyframes; `None` if all
    /// are known.
    search: Option<Arc<dyn Search>>,
    /// The reader of samples, if this container has one.
    source: Option<Arc<dyn Source>>,
}

/// A method to search a container for the keyframe at or before a time.
pub(crate) trait Search: std::fmt::Debug + Send + Sync {
    /// Returns a walk that ends with the seek point for `time`, which must be within the film.
    fn walk(&self, timeline: &Arc<Timeline>, time: Duration) -> Box<dyn Walk<Found = SeekPoint>>;
}

/// A point where playback can start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Keyframe {
    /// Its presentation timestamp, from the start of the film.
    pub time: Duration,
    /// Offset in the file at which its packet begins. In MP4, the sample (in a sparse timeline, its
    /// fragment). In Matroska, the content of the block; Cues give only the cluster, and a
    /// [`Locate`](crate::Locate) finds the block. In AVI, the content of the chunk. In MPEG-TS, the
    /// first transport packet of its PES packet. In audio files, the frame.
    pub offset: u64,
    /// The first byte that a player needs to play from here: the lowest of all tracks' data at that
    /// time.
    pub from: u64,
}

/// A stream of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Track {
    /// The type of its content.
    pub kind: TrackKind,
    /// The codec by FFmpeg's name (`h264`, `hevc`, `vp9`, `av1`, `aac`, `opus`, …), or the
    /// container's name for it.
    pub codec: String,
    /// Its language, ISO 639-2 (`eng`) or BCP 47; `None` if not stated.
    pub language: Option<String>,
    /// Its title, if it has one.
    pub title: Option<String>,
    /// Width and height in pixels. MPEG-TS carries them only in the pictures. There they are known
    /// for H.264, HEVC, MPEG-1 and MPEG-2 if the beginning or the end has a keyframe.
    pub resolution: Option<(u32, u32)>,
    /// Channels and samples per second.
    pub audio: Option<(u32, u32)>,
}

/// The type of a track's content.
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

/// The degree to which a timeline can be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Accuracy {
    /// Every keyframe of the main track is known. If there are more than 32,768, every n-th one.
    Exact,
    /// Some keyframes are known, or only the ends; a [`Locate`](crate::Locate) searches for the
    /// others.
    Sparse,
    /// A straight line from the first byte to the last.
    Estimate {
        /// The reason for the estimate, as a sentence.
        why: String,
    },
}

impl Timeline {
    /// Creates a timeline from the result of a walk. Keyframes may come in any order. Those that
    /// contradict the others or the file's size are dropped.
    pub(crate) fn new(container: Container, size: u64, duration: Duration, mut keyframes: Vec<Keyframe>) -> Timeline {
        keyframes.retain(|k| k.offset < size && k.from <= k.offset);
        keyframes.sort_unstable_by_key(|k| (k.time, k.offset));
        keyframes.dedup_by_key(|k| k.time);
        // From the end backwards: the data of a keyframe never begins after that of a later one.
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
            source: None,
        }
    }

    /// Creates a straight line. If the duration is unknown, only the start of the file is known.
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

    /// Sets points that are only near to positions where playback can start. They replace the
    /// keyframes in the mapping from time to byte.
    pub(crate) fn with_line(mut self, mut line: Vec<(Duration, u64)>) -> Timeline {
        line.retain(|(_, byte)| *byte <= self.size);
        self.line = line;
        self
    }

    pub(crate) fn with_accuracy(mut self, accuracy: Accuracy) -> Timeline {
        self.accuracy = accuracy;
        self
    }

    /// Sets the search for an incomplete index.
    pub(crate) fn with_search(mut self, search: Arc<dyn Search>) -> Timeline {
        self.accuracy = Accuracy::Sparse;
        self.search = Some(search);
        self
    }

    /// Sets the reader of samples.
    pub(crate) fn with_source(self, source: Arc<dyn Source>) -> Timeline {
        self.with_samples(Some(source))
    }

    /// Sets the reader of samples, if there is one.
    pub(crate) fn with_samples(mut self, source: Option<Arc<dyn Source>>) -> Timeline {
        self.source = source;
        self
    }

    pub(crate) fn source(&self) -> Option<&Arc<dyn Source>> {
        self.source.as_ref()
    }

    pub(crate) fn search(&self) -> Option<&Arc<dyn Search>> {
        self.search.as_ref()
    }

    /// Returns the container.
    pub fn container(&self) -> Container {
        self.container
    }

    /// Returns the size of the file in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns the duration; zero if it is [unknown](Timeline::knows_duration).
    pub fn duration(&self) -> Duration {
        self.duration
    }

    /// Returns the container's own timestamp of the first picture or sound, in microseconds.
    pub fn origin_us(&self) -> i64 {
        self.origin_us
    }

    /// Returns the streams of the file, in its order.
    pub fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// Returns the decoders' set-ups of the [tracks](Timeline::tracks), in their order. Empty if
    /// [`Samples`](crate::Samples) of this file cannot be read.
    pub fn setups(&self) -> &[TrackSetup] {
        self.source.as_ref().map_or(&[], |source| source.setups())
    }

    /// Returns the known keyframes of the main track (the first video track, else the first audio
    /// track), ascending in time.
    pub fn keyframes(&self) -> &[Keyframe] {
        &self.keyframes
    }

    /// Returns the degree to which the timeline can be trusted.
    pub fn accuracy(&self) -> &Accuracy {
        &self.accuracy
    }

    /// Whether the timeline is only an estimate.
    pub fn is_estimate(&self) -> bool {
        matches!(self.accuracy, Accuracy::Estimate { .. })
    }

    /// Returns the known keyframe at or before a time, and the one after it.
    pub fn keyframe_at(&self, time: Duration) -> (Option<Keyframe>, Option<Keyframe>) {
        let after = self.keyframes.partition_point(|k| k.time <= time);
        let at = after.checked_sub(1).map(|i| self.keyframes[i]);
        (at, self.keyframes.get(after).copied())
    }

    /// Returns the bytes that a player needs for a span of time. They reach from the keyframe at or
    /// before its start to the first known keyframe at or after its end. Between known keyframes of
    /// a sparse timeline it interpolates linearly.
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

    /// Returns the offset of the first keyframe at or after a time that lies in another part of the
    /// file than a keyframe that begins at `start`. Keyframes of one fragment or cluster begin at
    /// the same byte.
    pub(crate) fn end_from(&self, time: Duration, start: u64) -> u64 {
        let next = self.keyframes.partition_point(|k| k.time < time || k.from <= start);
        self.keyframes.get(next).map_or(self.size, |k| k.from)
    }

    /// Maps a time to a byte, by interpolation between the known keyframes.
    pub fn byte_at(&self, time: Duration) -> u64 {
        let (before, after) = self.around(|point| point.0 <= time);
        let span = after.0.saturating_sub(before.0).as_secs_f64();
        let into = time.saturating_sub(before.0).as_secs_f64();
        let share = if span > 0.0 { (into / span).min(1.0) } else { 0.0 };
        before.1 + ((after.1 - before.1) as f64 * share) as u64
    }

    /// Maps a byte to the time at which it is played, by interpolation between the known keyframes.
    pub fn time_at(&self, byte: u64) -> Duration {
        let (before, after) = self.around(|point| point.1 <= byte);
        let span = after.1 - before.1;
        if span == 0 {
            return before.0;
        }
        let share = (byte.saturating_sub(before.1) as f64 / span as f64).min(1.0);
        before.0 + after.0.saturating_sub(before.0).mul_f64(share)
    }

    /// Returns the bitrate at a time in bytes per second, averaged over the ten seconds from it on.
    /// `None` if the duration is unknown.
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

    /// Returns the points on either side of the position where `before` turns false: the start, the
    /// keyframes, the end.
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
        // Without a start of its own, the line begins at the first keyframe's data.
        let start = if point(0).is_none() { (Duration::ZERO, 0) } else { start };
        let end = point(i).unwrap_or((self.duration.max(start.0), self.size));
        (start, end)
    }
}
