//! AVI: headers at the front, then either `idx1` at the end or the parts of an OpenDML index that
//! the headers name.
//!
//! An index has an entry per chunk, so its length grows with the film: 16 bytes per chunk in
//! `idx1`, 8 bytes per frame in OpenDML. It is read in pieces, of which only the keyframes are
//! kept.

mod headers;
mod order;
mod samples;
mod sound;

use crate::container::Container;
use crate::held::{Held, Step, Walk};
use crate::keyframes::Keyframes;
use crate::samples::Source;
use crate::timeline::{Accuracy, Keyframe, Timeline, TrackKind};
use headers::{CHUNK_HEAD, Chunk, Stream, chunk, streams, u32_at, u64_at};
use samples::{Film, MARK_EVERY, MAX_COUNTED, Mark};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Bytes requested where a chunk begins.
const LOOK: u64 = 4 << 10;
/// Most bytes read of `hdrl`. A super index takes 4 KiB per stream.
const MAX_HEADERS: u64 = 1 << 20;
/// Most chunks at the top level of the file. Half a dozen is usual.
const MAX_CHUNKS: u32 = 64;
/// Bytes of an index read at once.
const PIECE: u64 = 1 << 20;
/// Most bytes of an index in total: 25 hours of video at 25 frames per second, with two audio
/// streams.
const MAX_INDEX: u64 = 160 << 20;
/// Most audio chunks that may precede the pictures that they belong to.
const MAX_AHEAD: usize = 256;
/// Length of an `idx1` entry in bytes: id, flags, offset, size.
const ENTRY: usize = 16;
/// The keyframe flag in `idx1`.
const KEYFRAME: u32 = 0x10;

/// A walk to the index.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// Offset that the walk over chunks has reached.
    top: u64,
    chunks: u32,
    streams: Vec<Stream>,
    /// Offset of the type of the `movi` list.
    movi: Option<u64>,
    stage: Stage,
    frames: Frames,
    /// Base of the offsets in `idx1`, and the units before each so many of its entries.
    base: u64,
    marks: Vec<Mark>,
    counts: [u64; MAX_COUNTED],
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Headers,
    /// Reading `idx1`.
    Old {
        at: u64,
        end: u64,
        /// Offset of the type of the `movi` list. Entries count from there or from the start of the
        /// file.
        movi: u64,
        /// Base that is added to the entries' offsets, once known.
        base: Option<u64>,
    },
    /// Reading an OpenDML index, part by part.
    Parts {
        part: usize,
        /// Offset of the next entries, and the head that they belong to.
        open: Option<Part>,
    },
    Done,
}

/// A part of an OpenDML index.
#[derive(Clone, Copy, Debug)]
struct Part {
    at: u64,
    end: u64,
    base: u64,
    /// Length of an entry in bytes.
    entry: u64,
}

/// The data read from the index so far.
#[derive(Debug, Default)]
struct Frames {
    keyframes: Keyframes,
    /// Units so far, of the main stream and of the audio stream.
    units: u64,
    sound_units: u64,
    /// Audio chunks that have not ended yet, by the time at which each ends.
    sound: VecDeque<(i64, u64)>,
    /// Offset of the last frame.
    last: Option<u64>,
    /// Whether the index does not cover the audio.
    frames_alone: bool,
}

impl Index {
    pub(crate) fn new() -> Index {
        Index { top: 12, ..Index::default() }
    }

    /// Returns the first video stream, else the first audio stream.
    fn main(&self) -> Option<usize> {
        let first = |kind| self.streams.iter().position(|s| s.track.kind == kind && s.rate > 0 && s.scale > 0);
        first(TrackKind::Video).or_else(|| first(TrackKind::Audio))
    }

    /// Returns the first audio stream that accompanies the video.
    fn sound(&self) -> Option<usize> {
        let sound = |s: &Stream| s.track.kind == TrackKind::Audio && s.rate > 0 && s.scale > 0;
        self.streams.iter().position(sound).filter(|sound| Some(*sound) != self.main())
    }

    /// Steps from chunk to chunk up to the index.
    fn headers(&mut self, held: &Held) -> Result<(), Step<Range<u64>>> {
        loop {
            let at = self.top;
            if at >= held.size() || self.chunks >= MAX_CHUNKS {
                return Err(Step::Failed("has no index".into()));
            }
            let look = at..at.saturating_add(LOOK);
            let bytes = held.get(at..at.saturating_add(CHUNK_HEAD + 4)).ok_or(Step::Need(vec![look]))?;
            let Some(Chunk { id, size }) = chunk(bytes) else { return Err(Step::Failed("has no index".into())) };
            let content = at + CHUNK_HEAD;
            let kind = bytes.get(CHUNK_HEAD as usize..).unwrap_or_default();
            match &id {
                b"LIST" if kind == b"hdrl" && self.streams.is_empty() => {
                    let range = content + 4..content.saturating_add(size.clamp(4, MAX_HEADERS));
                    let headers = held.get(range.clone()).ok_or(Step::Need(vec![range]))?;
                    self.streams = streams(headers);
                }
                b"LIST" if kind == b"movi" && self.movi.is_none() => {
                    self.movi = Some(content);
                    let main = self.main().ok_or(Step::Failed("has no streams".into()))?;
                    if !self.streams[main].parts.is_empty() {
                        self.frames.frames_alone = true;
                        self.stage = Stage::Parts { part: 0, open: None };
                        return Ok(());
                    }
                }
                b"idx1" => {
                    self.main().ok_or(Step::Failed("has no streams".into()))?;
                    let movi = self.movi.ok_or(Step::Failed("comes before any frame".into()))?;
                    let end = content.saturating_add(size.min(MAX_INDEX)).min(held.size());
                    self.stage = Stage::Old { at: content, end, movi, base: None };
                    return Ok(());
                }
                _ => {}
            }
            self.chunks += 1;
            self.top = content.saturating_add(size).saturating_add(size & 1);
        }
    }

    /// Reads the available part of `idx1`. Returns the range needed to continue.
    fn old(&mut self, held: &mut Held) -> Result<(), Step<Range<u64>>> {
        let Stage::Old { at: start, end, movi, base } = self.stage else { return Ok(()) };
        let piece = start..(start + PIECE).min(end);
        let Some(bytes) = held.get(piece.clone()) else { return Err(Step::Need(vec![piece])) };
        let base = match base {
            Some(base) => base,
            None => {
                let Some(first) = bytes.get(..ENTRY) else { return Err(Step::Failed("has an empty index".into())) };
                let offset = u64::from(u32_at(first, 8).unwrap_or(0));
                // Writers differ in the base of offsets; the chunk itself shows which one is right.
                let places = [movi, 0].map(|base| base + offset..base + offset + 4);
                let is_there = |place: &Range<u64>| held.get(place.clone()).map(|id| id == &first[..4]);
                let there = places.clone().map(|place| is_there(&place));
                let missing = places.into_iter().zip(there).filter(|(_, there)| there.is_none());
                let missing: Vec<_> = missing.map(|(place, _)| place).collect();
                match there {
                    [Some(true), _] => movi,
                    _ if !missing.is_empty() => return Err(Step::Need(missing)),
                    [_, Some(true)] => 0,
                    _ => return Err(Step::Failed("has an index that points nowhere".into())),
                }
            }
        };
        let (main, sound) = (self.main(), self.sound());
        self.base = base;
        for (n, entry) in bytes.chunks_exact(ENTRY).enumerate() {
            let word = |at| u32_at(entry, at).unwrap_or(0);
            let number = entry_stream(entry);
            let offset = base + u64::from(word(8));
            let ascends = self.marks.last().is_none_or(|last| last.offset < offset);
            if (n as u64).is_multiple_of(MARK_EVERY) && ascends {
                self.marks.push(Mark { at: start + (n * ENTRY) as u64, offset, units: self.counts });
            }
            if let Some((count, stream)) = number.and_then(|n| self.counts.get_mut(n).zip(self.streams.get(n))) {
                *count += stream.units(word(12));
            }
            if number.is_some() && number == main {
                self.frames.frame(&self.streams[main.unwrap_or(0)], offset, word(12), word(4) & KEYFRAME != 0);
            } else if let Some(number) = number.filter(|number| Some(*number) == sound) {
                self.frames.sound(&self.streams[number], offset, word(12));
            }
        }
        let read = (bytes.len() / ENTRY * ENTRY) as u64;
        held.forget_before(piece.end);
        let more = read > 0 && start + read + ENTRY as u64 <= end;
        self.stage = if more { Stage::Old { at: start + read, end, movi, base: Some(base) } } else { Stage::Done };
        Ok(())
    }

    /// Reads the available part of an OpenDML index. Returns the range needed to continue.
    fn parts(&mut self, held: &mut Held) -> Result<(), Step<Range<u64>>> {
        let main = self.main().map(|main| &self.streams[main]);
        let Stage::Parts { part, open } = &mut self.stage else { return Ok(()) };
        let Some((main, (place, size, _))) = main.and_then(|main| Some((main, *main.parts.get(*part)?))) else {
            self.stage = Stage::Done;
            return Ok(());
        };
        let Some(Part { at, end, base, entry }) = *open else {
            /// Length of a part's head: that of the chunk, and 24 bytes.
            const HEAD: u64 = 32;
            let whole = place..place.saturating_add(u64::from(size).clamp(HEAD, PIECE)).min(held.size());
            let Some(head) = held.get(place..place.saturating_add(HEAD)) else { return Err(Step::Need(vec![whole])) };
            let longs = u64::from(head.get(8).copied().unwrap_or(0));
            let count = u64::from(u32_at(head, 12).unwrap_or(0));
            let base = u64_at(head, 20).unwrap_or(0);
            let at = place.saturating_add(HEAD);
            // Two words per entry, or three for interlaced pictures.
            if head.starts_with(b"ix") && (2..=3).contains(&longs) {
                let end = at.saturating_add((count * longs * 4).min(MAX_INDEX)).min(held.size());
                *open = Some(Part { at, end, base, entry: longs * 4 });
            } else {
                *part += 1;
            }
            return Ok(());
        };
        let piece = at..(at + PIECE / 12 * 12).min(end);
        let Some(bytes) = held.get(piece.clone()) else { return Err(Step::Need(vec![piece])) };
        for words in bytes.chunks_exact(entry as usize) {
            /// The bit that marks a frame as not a keyframe.
            const DELTA: u32 = 1 << 31;
            let (offset, size) = (u32_at(words, 0).unwrap_or(0), u32_at(words, 4).unwrap_or(0));
            // These offsets point past the chunk's head.
            let offset = base.saturating_add(u64::from(offset)).saturating_sub(CHUNK_HEAD);
            self.frames.frame(main, offset, size & !DELTA, size & DELTA == 0);
        }
        held.forget_before(piece.end);
        if piece.end + entry <= end && !piece.is_empty() {
            *open = Some(Part { at: piece.end, end, base, entry });
        } else {
            (*part, *open) = (*part + 1, None);
        }
        Ok(())
    }

    /// Returns the reader of samples, if there are any.
    fn source(&mut self, origin_ns: i64) -> Option<Arc<dyn Source>> {
        let (main, movi) = self.main().zip(self.movi)?;
        Some(Arc::new(Film {
            main,
            first: movi + 4,
            origin_ns,
            base: self.base,
            marks: std::mem::take(&mut self.marks),
            setups: self.streams.iter().map(Film::setup).collect(),
            streams: self.streams.clone(),
        }))
    }

    fn finish(&mut self, size: u64) -> Timeline {
        let main = self.main().map(|main| &self.streams[main]);
        let starts = self.streams.iter().filter(|s| s.rate > 0).map(|s| s.ns(s.start.into()));
        let origin = starts.min().unwrap_or(0);
        // The headers give the lengths. That of the video comes from the index, because headers may
        // cover the first gigabyte only.
        let ends = self.streams.iter().filter(|s| s.rate > 0 && s.scale > 0).map(|stream| {
            let units = match main {
                Some(main) if std::ptr::eq(main, stream) && self.frames.units > 0 => self.frames.units,
                _ => u64::from(stream.length),
            };
            stream.ns((u64::from(stream.start) + units) as i64)
        });
        let end = ends.max().unwrap_or(0).saturating_sub(origin);
        let duration = Duration::from_nanos(u64::try_from(end).unwrap_or(0));
        let tracks = self.streams.iter().map(|stream| stream.track.clone()).collect();
        let start = main.map_or(0, |main| main.ns(main.start.into())) - origin;
        let start = Duration::from_nanos(u64::try_from(start).unwrap_or(0));
        let keyframes = std::mem::take(&mut self.frames.keyframes);
        let thinned = keyframes.thinned();
        let mut keyframes = keyframes.into_list();
        keyframes.iter_mut().for_each(|keyframe| keyframe.time = keyframe.time.saturating_add(start));
        let timeline = Timeline::new(Container::Avi, size, duration, keyframes);
        let source = self.source(origin);
        if timeline.keyframes().is_empty() || duration.is_zero() {
            let why = "the AVI file's index cannot be used: it has no keyframes within the file";
            let duration = Some(duration).filter(|duration| !duration.is_zero());
            return Timeline::estimate(Container::Avi, size, duration, why).with_tracks(tracks).with_samples(source);
        }
        let timeline = timeline.with_tracks(tracks).with_origin_us(origin / 1000).with_samples(source);
        if thinned { timeline.with_accuracy(Accuracy::Sparse) } else { timeline }
    }
}

/// Returns the number of the stream of a chunk, which its first two characters state. `None` for
/// other chunks, and for changes of a palette.
fn entry_stream(id: &[u8]) -> Option<usize> {
    match id {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9', kind @ ..] if !kind.starts_with(b"pc") => {
            Some(usize::from(tens - b'0') * 10 + usize::from(ones - b'0'))
        }
        _ => None,
    }
}

/// Returns the entries of a part of an OpenDML index: the offset of each chunk, and its length.
fn part_entries(part: &[u8]) -> Vec<(u64, u32)> {
    /// Length of a part's head: that of the chunk, and 24 bytes.
    const HEAD: usize = 32;
    /// The bit that marks a frame as not a keyframe.
    const DELTA: u32 = 1 << 31;
    let (Some(2..=3), Some(base)) = (part.get(8), u64_at(part, 20)) else { return Vec::new() };
    let (longs, count) = (usize::from(part[8]), u32_at(part, 12).unwrap_or(0) as usize);
    let entries = part.get(HEAD..).unwrap_or_default().chunks_exact(longs * 4).take(count);
    let entry = |words: &[u8]| {
        // These offsets point past the chunk's head.
        let offset = base.saturating_add(u64::from(u32_at(words, 0)?)).saturating_sub(CHUNK_HEAD);
        Some((offset, u32_at(words, 4)? & !DELTA))
    };
    entries.filter_map(entry).collect()
}

impl Frames {
    /// Takes an entry of the main stream: the offset of its chunk and the length of its content.
    fn frame(&mut self, stream: &Stream, offset: u64, bytes: u32, key: bool) {
        let time = stream.ns(self.units as i64);
        self.units += stream.units(bytes);
        if key && bytes > 0 {
            while self.sound.front().is_some_and(|(end, _)| *end <= time) {
                self.sound.pop_front();
            }
            let sound = self.sound.front().map(|(_, sound)| *sound);
            // Audio is interleaved with the frames. Where the index does not cover it, the audio of
            // a frame's time begins after the frame before.
            let before = sound.or(self.last.filter(|_| self.frames_alone));
            let from = before.map_or(offset, |before| offset.min(before));
            let time = Duration::from_nanos(u64::try_from(time).unwrap_or(0));
            self.keyframes.push(Keyframe { time, offset: offset.saturating_add(CHUNK_HEAD), from });
        }
        self.last = Some(offset);
    }

    /// Takes an entry of the audio stream.
    fn sound(&mut self, stream: &Stream, offset: u64, bytes: u32) {
        self.sound_units += stream.units(bytes);
        if self.sound.len() >= MAX_AHEAD {
            self.sound.pop_front();
        }
        self.sound.push_back((stream.ns(self.sound_units as i64), offset));
    }
}

impl Walk for Index {
    type Found = Timeline;

    fn step(&mut self, held: &mut Held) -> Step<Timeline> {
        loop {
            let went = match self.stage {
                Stage::Headers => self.headers(held),
                Stage::Old { .. } => self.old(held),
                Stage::Parts { .. } => self.parts(held),
                Stage::Done => return Step::Done(self.finish(held.size())),
            };
            match went {
                Ok(()) => {}
                Err(Step::Need(ranges)) => return Step::Need(ranges),
                Err(Step::Failed(why)) => {
                    // The headers may still give the duration.
                    self.frames = Frames::default();
                    let told = self.finish(held.size());
                    if told.tracks().is_empty() {
                        return Step::Failed(why);
                    }
                    let why = format!("the AVI file's index cannot be used: it {why}");
                    let duration = Some(told.duration());
                    let estimate = Timeline::estimate(Container::Avi, held.size(), duration, why);
                    let estimate = estimate.with_tracks(told.tracks().to_vec()).with_origin_us(told.origin_us());
                    return Step::Done(estimate.with_samples(told.source().cloned()));
                }
                Err(Step::Done(_)) => {}
            }
        }
    }
}
