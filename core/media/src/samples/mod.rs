//! Coded samples of a film in decoding order, for muxers and payload formats.
//!
//! A [`Samples`] reader begins at a read position and gives each picture, audio frame and subtitle
//! of the chosen tracks. It names the bytes that it needs and is fed them, as an
//! [`Indexer`](crate::Indexer) is. It knows nothing of the use that is made of the samples.
//!
//! Each container implements [`Source`] and [`Demux`] beside its index and shares its parsers.

pub(crate) mod order;
mod parameter_sets;
mod setup;

pub use parameter_sets::ParameterSets;
pub use setup::TrackSetup;

use crate::held::{Held, Stop};
use crate::locate::{ROUNDING, SeekPoint};
use crate::timeline::{Timeline, TrackKind};
use std::ops::Range;
use std::sync::Arc;

/// Longest sample in bytes. An intra picture of 8K video at the highest rates is smaller. A longer
/// one is skipped.
pub(crate) const MAX_SAMPLE_BYTES: u64 = 16 << 20;

/// Bytes that a reader requests ahead of the sample it waits for.
pub(crate) const READ_AHEAD_BYTES: u64 = 1 << 20;

/// Returns the bytes of a range, for a reader that goes through a file in order. It needs nothing
/// before the range, and what follows up to `end` soon.
pub(crate) fn look(held: &mut Held, range: Range<u64>, end: u64) -> Result<&[u8], Stop> {
    if held.get(range.clone()).is_none() {
        held.forget_before(range.start);
        held.wish(range.start..range.start.saturating_add(READ_AHEAD_BYTES).min(end));
        return Err(Stop::need(range));
    }
    Ok(held.get(range).unwrap_or_default())
}

/// Most samples left out in a row: some hours of sound. A file with more of them has no picture to
/// begin with.
const MAX_LEFT_OUT: u32 = 1 << 20;

/// Most tracks of one reading. Each may hold some windows of tables.
const MAX_TRACKS: usize = 32;

/// Most consecutive steps that make no progress; a reader that takes more is at fault.
const MAX_IDLE_STEPS: u32 = 16;

/// A coded picture, audio frame or subtitle.
///
/// Times count from the film's start, as those of the [`Timeline`] do, in nanoseconds. They are
/// truncated to nanoseconds, so a conversion to ticks of another clock has to round to nearest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sample {
    /// The track, by its index in [`Timeline::tracks`].
    pub track: usize,
    /// Presentation timestamp. Negative for samples that are only decoded, such as the priming of
    /// an audio decoder.
    pub pts_ns: i64,
    /// Decoding timestamp, ascending within a track. At most the presentation timestamp.
    pub dts_ns: i64,
    /// Duration; 0 if unknown.
    pub duration_ns: i64,
    /// Whether it can be decoded without others.
    pub key: bool,
    /// Offset in the file at which it begins.
    pub offset: u64,
    /// The sample in the form that its track's [`TrackSetup`] describes.
    pub data: Vec<u8>,
}

impl Sample {
    /// Returns the sample without its bytes.
    pub(crate) fn plan(&self) -> Plan {
        let &Sample { track, pts_ns, dts_ns, duration_ns, key, offset, .. } = self;
        Plan { track, pts_ns, dts_ns, duration_ns, key, offset }
    }
}

/// The reason why a reader gives no more samples.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// The chosen tracks have ended.
    Through,
    /// The rest of the file cannot be read. The reason is a sentence.
    Damaged(String),
}

/// A reader of some tracks of a film, from a read position on.
///
/// Samples of one track come in decoding order. Tracks are interleaved by decoding time in MP4, and
/// as in the file elsewhere. The first sample of each video track is a keyframe. Pictures that
/// follow it but are shown before it are left out, since they refer to pictures before it. Other
/// tracks begin with the first sample that ends after the start; at the beginning of the film
/// nothing of them is left out.
///
/// Damaged parts are skipped. The memory is bounded by a read-ahead of 1 MiB and the largest
/// sample, which has at most 16 MiB.
#[derive(Debug)]
pub struct Samples {
    held: Held,
    demux: Box<dyn Demux>,
    needed: Vec<Range<u64>>,
    ready: Option<Sample>,
    end: Option<End>,
}

impl Samples {
    /// Starts to read tracks, given by their indexes in [`Timeline::tracks`], at a read position
    /// that a [`Locate`](crate::Locate) found. Returns `None` if there is no such track, or if
    /// samples of this container cannot be read.
    pub fn new(timeline: &Arc<Timeline>, tracks: &[usize], from: SeekPoint) -> Option<Samples> {
        let source = timeline.source()?;
        let starts = Starts::new(timeline, tracks, from)?;
        let held = Held::new(timeline.size());
        let mut samples =
            Samples { held, demux: Arc::clone(source).demux(starts), needed: Vec::new(), ready: None, end: None };
        samples.advance();
        Some(samples)
    }

    /// Returns the bytes to feed next, the most urgent first. Empty at the end, and while the next
    /// samples need no more bytes.
    pub fn needed(&self) -> Vec<Range<u64>> {
        let ranges = self.needed.iter().chain(self.held.wished());
        ranges.flat_map(|range| self.held.missing(range.clone())).collect()
    }

    /// Accepts bytes of the file that begin at an offset, and drops those that are not needed.
    pub fn feed(&mut self, offset: u64, bytes: &[u8]) {
        let ranges: Vec<_> = self.needed.iter().chain(self.held.wished()).cloned().collect();
        ranges.into_iter().for_each(|range| self.held.keep(range, offset, bytes));
        self.advance();
    }

    /// Returns the next sample. `None` if more bytes are [needed](Samples::needed), and at the
    /// [end](Samples::end).
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Option<Sample> {
        let sample = self.ready.take();
        self.advance();
        sample
    }

    /// Returns the reason why there are no more samples, once all were taken.
    pub fn end(&self) -> Option<&End> {
        self.end.as_ref().filter(|_| self.ready.is_none())
    }

    /// Returns the number of bytes of the file held in memory.
    pub fn held_bytes(&self) -> usize {
        self.held.bytes() + self.ready.as_ref().map_or(0, |sample| sample.data.len())
    }

    /// Reads up to the next sample if none is ready, as far as bytes are available.
    fn advance(&mut self) {
        let mut idle = 0;
        while self.ready.is_none() && self.end.is_none() {
            if self.waits() {
                return;
            }
            self.held.join();
            self.needed.clear();
            let wished = self.held.replace_wished(Vec::new());
            match self.demux.next(&mut self.held) {
                Ok(Some(sample)) => {
                    self.ready = Some(sample);
                    // They may be in flight.
                    self.held.replace_wished(wished);
                }
                Ok(None) => self.end = Some(End::Through),
                Err(Stop::Failed(why)) => self.end = Some(End::Damaged(format!("the file {why}"))),
                Err(Stop::Need(ranges)) => {
                    self.needed = ranges;
                    idle = if self.waits() { 0 } else { idle + 1 };
                    if idle > MAX_IDLE_STEPS {
                        self.end = Some(End::Damaged("the file needs too many steps to be read".into()));
                    }
                }
            }
        }
        if self.end.is_some() {
            self.needed.clear();
            self.held = Held::new(self.held.size());
        }
    }

    /// Whether bytes are missing without which the reader cannot continue.
    fn waits(&self) -> bool {
        self.needed.iter().any(|range| !self.held.missing(range.clone()).is_empty())
    }
}

/// The chosen tracks, and which of their samples belong to the reading.
#[derive(Clone, Debug)]
pub(crate) struct Starts {
    pub(crate) from: SeekPoint,
    /// Whether the reading begins where the film does.
    pub(crate) whole: bool,
    tracks: Vec<Start>,
    left_out: u32,
}

/// The state of a chosen track at the start of a reading.
#[derive(Clone, Debug)]
struct Start {
    track: usize,
    video: bool,
    /// Presentation timestamp of its first sample.
    first_ns: Option<i64>,
}

impl Starts {
    fn new(timeline: &Timeline, tracks: &[usize], from: SeekPoint) -> Option<Starts> {
        let start = |track: &usize| {
            let video = timeline.tracks().get(*track)?.kind == TrackKind::Video;
            Some(Start { track: *track, video, first_ns: None })
        };
        let tracks: Vec<Start> = tracks.iter().filter_map(start).take(MAX_TRACKS).collect();
        let first = timeline.keyframes().first().map(|first| first.time);
        let whole = from.time.is_zero() || first.is_some_and(|first| from.time <= first);
        (!tracks.is_empty()).then_some(Starts { from, whole, tracks, left_out: 0 })
    }

    /// Returns the chosen tracks.
    pub(crate) fn tracks(&self) -> impl Iterator<Item = usize> + '_ {
        self.tracks.iter().map(|start| start.track)
    }

    /// Returns the time at which the reading begins.
    pub(crate) fn start_ns(&self) -> i64 {
        i64::try_from(self.from.time.as_nanos()).unwrap_or(i64::MAX)
    }

    /// Whether a sample belongs to the reading: its track has begun, or begins with it. Fails after
    /// too many samples that do not.
    pub(crate) fn take(&mut self, sample: &Plan) -> Result<bool, Stop> {
        let start_ns = self.start_ns();
        let Some(start) = self.tracks.iter_mut().find(|start| start.track == sample.track) else { return Ok(false) };
        let begins = match start.first_ns {
            Some(first_ns) => !start.video || sample.pts_ns >= first_ns,
            None if start.video => {
                let near = sample.pts_ns.saturating_add(ROUNDING.as_nanos() as i64) >= start_ns;
                // A keyframe of an edited film may be shown earlier than its place in the timeline.
                sample.key && (near || self.whole || sample.offset == self.from.offset)
            }
            None => self.whole || sample.pts_ns.saturating_add(sample.duration_ns.max(1)) > start_ns,
        };
        if begins {
            start.first_ns.get_or_insert(sample.pts_ns);
            self.left_out = 0;
            return Ok(true);
        }
        self.left_out += 1;
        if self.left_out > MAX_LEFT_OUT {
            return Err(Stop::failed("has no keyframe at which its samples could begin"));
        }
        Ok(false)
    }
}

/// A sample whose bytes are still to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) track: usize,
    pub(crate) pts_ns: i64,
    pub(crate) dts_ns: i64,
    pub(crate) duration_ns: i64,
    pub(crate) key: bool,
    pub(crate) offset: u64,
}

impl Plan {
    /// Returns the sample with its bytes.
    pub(crate) fn with(self, data: Vec<u8>) -> Sample {
        let Plan { track, pts_ns, dts_ns, duration_ns, key, offset } = self;
        Sample { track, pts_ns, dts_ns, duration_ns, key, offset, data }
    }
}

/// Readers of one film's samples. It keeps what its index said of the tracks.
pub(crate) trait Source: std::fmt::Debug + Send + Sync {
    /// Returns the set-up of each track, in the order of [`Timeline::tracks`].
    fn setups(&self) -> &[TrackSetup];

    /// Starts to read the chosen tracks from the start of the reading on.
    fn demux(self: Arc<Self>, starts: Starts) -> Box<dyn Demux>;
}

/// A reader of the samples of one container.
pub(crate) trait Demux: std::fmt::Debug + Send + Sync {
    /// Returns the next sample, or `None` at the end of the tracks. It is called again whenever the
    /// bytes that it needed are available. When it needs more, it names all that it would like to
    /// have ahead as well, and releases the bytes that it has read.
    fn next(&mut self, held: &mut Held) -> Result<Option<Sample>, Stop>;
}
