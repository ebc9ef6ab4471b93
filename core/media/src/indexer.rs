//! Entry point: detects the container of a file and reads its index.

use crate::container::Container;
use crate::held::{Held, Probe, Step, Walk};
use crate::timeline::Timeline;
use crate::{avi, flac, header, matroska, mp3, mp4, mpeg_ts, ogg};
use std::ops::Range;
use std::sync::Arc;

/// A reader of one file's index. Query the [needed](Indexer::needed) bytes and
/// [feed](Indexer::feed) them in any order until there is a [timeline](Indexer::timeline). Bytes
/// that are not needed are dropped, so it may be fed any bytes available.
#[derive(Debug)]
pub struct Indexer {
    probe: Probe<Any>,
    timeline: Option<Arc<Timeline>>,
}

impl Indexer {
    /// Creates an indexer for a file with the given name and size in bytes. The name gives the
    /// first guess at the position of the index, so that it is requested together with the head.
    /// The first bytes decide the actual container.
    pub fn new(name: &str, size: u64) -> Indexer {
        let mut indexer = Indexer { probe: Probe::new(size, Any::new(name)), timeline: None };
        indexer.settle(size);
        indexer
    }

    fn settle(&mut self, size: u64) {
        if self.timeline.is_none()
            && let Some(outcome) = self.probe.outcome()
        {
            let timeline = match outcome {
                Ok(timeline) => timeline.clone(),
                Err(why) => Timeline::estimate(Container::Other, size, None, why),
            };
            self.timeline = Some(Arc::new(timeline));
        }
    }

    /// Returns the bytes to feed next, the most urgent first. Empty once there is a timeline.
    pub fn needed(&self) -> Vec<Range<u64>> {
        self.probe.needed()
    }

    /// Accepts bytes of the file that begin at an offset.
    pub fn feed(&mut self, offset: u64, bytes: &[u8]) {
        self.probe.feed(offset, bytes);
        self.settle(self.probe.size());
    }

    /// Returns the outcome once no more bytes are needed. There always is one, if only an estimate.
    pub fn timeline(&self) -> Option<&Arc<Timeline>> {
        self.timeline.as_ref()
    }

    /// Returns the number of bytes of the file held in memory.
    pub fn held_bytes(&self) -> usize {
        self.probe.held_bytes()
    }
}

/// The walk that every file begins with: its first bytes, together with those that its name makes
/// likely.
#[derive(Debug)]
struct Any {
    guess: Container,
    walk: Option<(Container, Inner)>,
    asked: bool,
}

/// The walk of the container itself.
type Inner = Box<dyn Walk<Found = Timeline>>;

/// Bytes requested first of every file.
const HEAD_BYTES: u64 = 16 << 10;

impl Any {
    fn new(name: &str) -> Any {
        Any { guess: Container::by_name(name), walk: None, asked: false }
    }
}

impl Walk for Any {
    type Found = Timeline;

    fn step(&mut self, held: &mut Held) -> Step<Timeline> {
        if !self.asked {
            self.asked = true;
            if let Some(tail) = tail(self.guess, held.size()) {
                held.wish(tail);
            }
            return Step::Need(std::iter::once(0..HEAD_BYTES).collect());
        }
        if self.walk.is_none() {
            let head = held.get(0..Container::SNIFF_BYTES as u64).unwrap_or_default();
            let container = match Container::sniff(head) {
                // Junk before the first frame is common; the walk searches past it.
                Container::Other if self.guess == Container::Mp3 => Container::Mp3,
                container => container,
            };
            match walk(container) {
                Some(inner) => self.walk = Some((container, inner)),
                None => {
                    let why = "this container has no index that playswarm can read";
                    return Step::Done(Timeline::estimate(container, held.size(), None, why));
                }
            }
        }
        match &mut self.walk {
            Some((container, inner)) => match inner.step(held) {
                Step::Failed(why) => {
                    let why = format!("the {} file's index cannot be used: it {why}", container.name());
                    Step::Done(Timeline::estimate(*container, held.size(), None, why))
                }
                step => step,
            },
            None => Step::Failed("has no walk".into()),
        }
    }
}

/// Returns the walk for a container.
fn walk(container: Container) -> Option<Inner> {
    match container {
        Container::Mp4 => Some(Box::new(mp4::Mp4::default())),
        Container::Matroska => Some(Box::new(matroska::Index::new())),
        Container::Avi => Some(Box::new(avi::Index::new())),
        Container::MpegTs => Some(Box::new(mpeg_ts::Ends::new())),
        Container::Mp3 => Some(Box::new(mp3::Index::default())),
        Container::Flac => Some(Box::new(flac::Index::new(0))),
        Container::Ogg => Some(Box::new(ogg::Index::default())),
        other => header::Header::of(other).map(|header| Box::new(header) as Inner),
    }
}

/// Returns the bytes at the end of a file that are worth requesting together with the head, judging
/// by its name.
fn tail(guess: Container, size: u64) -> Option<Range<u64>> {
    /// Indexes at the end take about a thousandth of a film.
    const SHARE: u64 = 1000;
    const LEAST: u64 = 64 << 10;
    match guess {
        // The head gives the position of the box itself. These bytes show whether there is an
        // `mfra`, and often contain all of a `moov`.
        Container::Mp4 => Some(size.saturating_sub((size / 8192).clamp(LEAST, 16 * LEAST))..size),
        // Cues take about twenty bytes per keyframe.
        Container::Matroska => Some(size.saturating_sub((size / 8192).clamp(LEAST, 8 * LEAST))..size),
        // Sixteen bytes per chunk: about a hundredth of a film of low bitrate.
        Container::Avi => Some(size.saturating_sub((size / 256).clamp(LEAST, 16 * LEAST))..size),
        // The last timestamps.
        Container::MpegTs => Some(size.saturating_sub(LEAST)..size),
        Container::Ogg => Some(size.saturating_sub((size / SHARE).clamp(LEAST, 16 * LEAST))..size),
        // Only the tags after the audio.
        Container::Mp3 => Some(size.saturating_sub(mp3::TAIL)..size),
        other => header::tail(other, size),
    }
}
