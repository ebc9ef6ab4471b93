//! Samples of an AVI film: the chunks of its `movi` lists, in the order of the file.
//!
//! AVI has no times. A chunk's time is the number of units before it in its stream, which the index
//! tells at the start of a reading.

use super::headers::{CHUNK_HEAD, Chunk, Stream, chunk, u32_at};
use super::order::Shown;
use super::sound::Sound;
use super::{ENTRY, entry_stream};
use crate::codec::annex_b;
use crate::held::{Held, Stop};
use crate::samples::{Demux, MAX_SAMPLE_BYTES, ParameterSets, Sample, Source, Starts, TrackSetup, look};
use crate::timeline::TrackKind;
use std::collections::VecDeque;
use std::sync::Arc;

/// Bytes searched at once for the next chunk after damage.
const RESYNC: u64 = 64 << 10;

/// Most bytes of damage before the reader gives up.
const MAX_DAMAGE: u64 = 16 << 20;

/// Number of entries of `idx1` between two marks.
pub(super) const MARK_EVERY: u64 = 256;

/// Most streams whose units are counted in marks.
pub(super) const MAX_COUNTED: usize = 8;

/// The units of each stream before a chunk of the index.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    /// Offset of the entry in `idx1`.
    pub(super) at: u64,
    /// Offset of the chunk.
    pub(super) offset: u64,
    pub(super) units: [u64; MAX_COUNTED],
}

/// What the index knows of the samples of a film.
#[derive(Debug)]
pub(super) struct Film {
    pub(super) streams: Vec<Stream>,
    pub(super) main: usize,
    /// Offset of the first chunk.
    pub(super) first: u64,
    /// The file's own time of the film's start, in nanoseconds.
    pub(super) origin_ns: i64,
    /// Base that is added to offsets in `idx1`.
    pub(super) base: u64,
    /// Ascending by offset.
    pub(super) marks: Vec<Mark>,
    pub(super) setups: Vec<TrackSetup>,
}

impl Film {
    /// Returns the set-up of a stream's decoder.
    pub(super) fn setup(stream: &Stream) -> TrackSetup {
        let (codec, config) = (stream.track.codec.as_str(), stream.config.as_slice());
        let byte_stream = matches!(codec, "h264" | "hevc") && config.first() != Some(&1);
        let in_band = if byte_stream { ParameterSets::in_band(codec, annex_b::units(config)) } else { None };
        let needed = stream.track.kind == TrackKind::Video && !byte_stream || codec == "aac";
        let config = if needed { config.to_vec() } else { Vec::new() };
        let timescale = (stream.rate / stream.scale.max(1)).max(1);
        TrackSetup { config, timescale, in_band }
    }

    /// Returns the time from the film's start at which a unit begins, in nanoseconds.
    pub(super) fn ns(&self, stream: &Stream, unit: i64) -> i64 {
        stream.ns(unit.saturating_add(stream.start.into())).saturating_sub(self.origin_ns)
    }

    /// Returns the unit that is nearest to a time.
    fn unit_at(&self, stream: &Stream, ns: i64) -> u64 {
        let each = i128::from(stream.scale.max(1)) * 1_000_000_000;
        let units =
            ((i128::from(ns) + i128::from(self.origin_ns)) * i128::from(stream.rate) + each / 2).div_euclid(each);
        u64::try_from(units - i128::from(stream.start)).unwrap_or(0)
    }
}

impl Source for Film {
    fn setups(&self) -> &[TrackSetup] {
        &self.setups
    }

    fn demux(self: Arc<Self>, starts: Starts) -> Box<dyn Demux> {
        let from = starts.from;
        let (estimated, whole) = (from.estimated && !starts.whole, starts.whole);
        let count = |stream: &Stream| if estimated { self.unit_at(stream, starts.start_ns()) } else { 0 };
        let chosen: Vec<usize> = starts.tracks().collect();
        let read = |(n, stream): (usize, &Stream)| match stream.track.kind {
            _ if !chosen.contains(&n) || stream.rate == 0 || stream.scale == 0 => Reading::None,
            TrackKind::Video if n == self.main => Reading::Video(Shown::new(n, stream)),
            TrackKind::Audio => Reading::Audio(Sound::new(n, stream)),
            _ => Reading::None,
        };
        Box::new(Reader {
            at: if whole { self.first } else { from.from.max(self.first) },
            counting: (!whole && !from.estimated).then_some(Counting::Start),
            counts: self.streams.iter().map(count).collect(),
            readings: self.streams.iter().enumerate().map(read).collect(),
            mark: 0,
            lost: estimated,
            patience: MAX_DAMAGE,
            ready: VecDeque::new(),
            film: self,
            starts,
            ended: false,
        })
    }
}

/// How a stream is read.
#[derive(Debug)]
enum Reading {
    None,
    Video(Shown),
    Audio(Sound),
}

/// The count of units before the start of a reading.
#[derive(Clone, Copy, Debug)]
enum Counting {
    Start,
    /// Of a stream with an index of its own: the part that is looked at, the units before it, and
    /// whether the start lies in it or before it.
    Part {
        stream: usize,
        part: usize,
        units: u64,
    },
}

/// A reader of the chosen tracks.
#[derive(Debug)]
struct Reader {
    film: Arc<Film>,
    starts: Starts,
    counting: Option<Counting>,
    /// Offset of the next chunk.
    at: u64,
    /// Units of each stream before it.
    counts: Vec<u64>,
    readings: Vec<Reading>,
    /// Index of the next mark.
    mark: usize,
    /// Whether a chunk is searched for.
    lost: bool,
    /// Bytes of damage until the reader gives up. Good chunks restore it.
    patience: u64,
    ready: VecDeque<Sample>,
    ended: bool,
}

impl Reader {
    /// Counts the units before the start in `idx1`, from the last mark on.
    fn count(&mut self, held: &Held) -> Result<(), Stop> {
        let film = Arc::clone(&self.film);
        let before = film.marks.partition_point(|mark| mark.offset <= self.at);
        let Some(mark) = before.checked_sub(1).and_then(|last| film.marks.get(last)) else { return Ok(()) };
        let range = mark.at..mark.at + MARK_EVERY * ENTRY as u64;
        let Some(entries) = held.get(range.clone()) else { return Err(Stop::need(range)) };
        self.counts.iter_mut().zip(mark.units).for_each(|(count, units)| *count = units);
        for entry in entries.chunks_exact(ENTRY) {
            let offset = film.base + u64::from(u32_at(entry, 8).unwrap_or(0));
            if let Some(n) = entry_stream(entry).filter(|_| offset < self.at)
                && let Some((count, stream)) = self.counts.get_mut(n).zip(film.streams.get(n))
            {
                *count += stream.units(u32_at(entry, 12).unwrap_or(0));
            }
        }
        self.mark = before;
        Ok(())
    }

    /// Counts the units before the start in the OpenDML indexes of the streams beside the main one.
    fn count_parts(&mut self, held: &Held) -> Result<(), Stop> {
        /// Most bytes of a part: a quarter of a million entries.
        const MAX_PART: u64 = 2 << 20;
        let film = Arc::clone(&self.film);
        let mut at = match self.counting {
            Some(Counting::Part { stream, part, units }) => (stream, part, units),
            _ => (0, 0, 0),
        };
        while let Some(stream) = film.streams.get(at.0) {
            let (n, part, units) = at;
            let indexed = matches!(self.readings.get(n), Some(Reading::Audio(_))) && n != film.main;
            let Some((place, size, duration)) = stream.parts.get(part).copied().filter(|_| indexed) else {
                if indexed && part > 0 {
                    self.counts[n] = units;
                }
                at = (n + 1, 0, 0);
                continue;
            };
            self.counting = Some(Counting::Part { stream: n, part, units });
            let range = place..place.saturating_add(u64::from(size).min(MAX_PART));
            let Some(bytes) = held.get(range.clone()) else { return Err(Stop::need(range)) };
            let entries = super::part_entries(bytes);
            let before = entries.iter().take_while(|(offset, _)| *offset < self.at);
            let (count, inside) = before.fold((0, 0), |(n, units), (_, bytes)| (n + 1, units + stream.units(*bytes)));
            if count < entries.len() {
                self.counts[n] = units + inside;
                at = (n + 1, 0, 0);
            } else {
                at = (n, part + 1, units + u64::from(duration).max(inside));
            }
        }
        Ok(())
    }

    /// Returns bytes from the current position on.
    fn look<'a>(&self, held: &'a mut Held, bytes: u64) -> Result<&'a [u8], Stop> {
        let end = held.size();
        let range = self.at..self.at.saturating_add(bytes).min(end);
        look(held, range, end)
    }

    /// Reads the chunk at the current position.
    fn chunk(&mut self, held: &mut Held) -> Result<(), Stop> {
        const LIST_HEAD: u64 = CHUNK_HEAD + 4;
        let size = held.size();
        let bytes = self.look(held, LIST_HEAD)?;
        let Some(Chunk { id, size: length }) = chunk(bytes) else {
            self.at = size;
            return Ok(());
        };
        let end = (self.at + CHUNK_HEAD).saturating_add(length);
        let kind = bytes.get(CHUNK_HEAD as usize..).unwrap_or_default();
        match &id {
            b"RIFF" => self.at += LIST_HEAD,
            b"LIST" if matches!(kind, b"movi" | b"rec ") => self.at += LIST_HEAD,
            b"LIST" | b"JUNK" | b"idx1" => self.at = end + (length & 1),
            [b'i', b'x', ..] => self.at = end + (length & 1),
            _ => match entry_stream(&id).filter(|n| *n < self.counts.len() && end <= size) {
                Some(n) => return self.content(held, n, length),
                None => {
                    (self.lost, self.at) = (true, self.at + 1);
                    return Ok(());
                }
            },
        }
        Ok(())
    }

    /// Takes the chunk of a stream, and passes it.
    fn content(&mut self, held: &mut Held, n: usize, length: u64) -> Result<(), Stop> {
        let film = Arc::clone(&self.film);
        let content = self.at + CHUNK_HEAD;
        let chosen = !matches!(self.readings[n], Reading::None) && length <= MAX_SAMPLE_BYTES;
        let data = match chosen {
            true => self.look(held, CHUNK_HEAD + length)?.get(CHUNK_HEAD as usize..).unwrap_or_default(),
            false => &[],
        };
        while let Some(mark) = film.marks.get(self.mark).filter(|mark| mark.offset <= self.at) {
            if mark.offset == self.at {
                self.counts.iter_mut().zip(mark.units).for_each(|(count, units)| *count = units);
            }
            self.mark += 1;
        }
        let stream = &film.streams[n];
        let start = !self.starts.whole && content == self.starts.from.offset;
        if n == film.main && start && !self.starts.from.estimated {
            self.counts[n] = film.unit_at(stream, self.starts.start_ns());
        }
        let unit = self.counts[n];
        self.counts[n] = unit.saturating_add(stream.units(u32::try_from(length).unwrap_or(u32::MAX)));
        let mut samples = Vec::new();
        match &mut self.readings[n] {
            Reading::Video(shown) if chosen => shown.take(&film, unit, start, content, data, &mut samples),
            Reading::Audio(sound) if chosen => sound.take(&film, unit, content, data, &mut samples),
            _ => {}
        }
        (self.at, self.lost) = (content + length + (length & 1), false);
        self.patience = self.patience.saturating_add(length + CHUNK_HEAD).min(MAX_DAMAGE);
        self.add(samples)
    }

    /// Adds those of some samples that belong to the reading.
    fn add(&mut self, samples: Vec<Sample>) -> Result<(), Stop> {
        for sample in samples {
            if self.starts.take(&sample.plan())? {
                self.ready.push_back(sample);
            }
        }
        Ok(())
    }

    /// Searches for the next chunk.
    fn search(&mut self, held: &mut Held) -> Result<(), Stop> {
        let size = held.size();
        let bytes = self.look(held, RESYNC)?;
        let is_chunk = |at: usize| {
            let Some(Chunk { id, size: length }) = bytes.get(at..).and_then(chunk) else { return false };
            let end = (self.at + at as u64 + CHUNK_HEAD).saturating_add(length);
            let next = bytes.get(at + CHUNK_HEAD as usize + (length + (length & 1)) as usize..);
            let follows =
                next.and_then(<[u8]>::first_chunk::<4>).is_none_or(|id| id.iter().all(u8::is_ascii_alphanumeric));
            let known = entry_stream(&id).is_some_and(|n| n < self.counts.len());
            (known || &id == b"LIST" || &id == b"RIFF")
                && end <= size
                && length <= MAX_SAMPLE_BYTES.max(RESYNC)
                && follows
        };
        let found = (0..bytes.len()).find(|at| is_chunk(*at));
        let ended = self.at + bytes.len() as u64 == size;
        let rest = if ended { bytes.len() } else { bytes.len().saturating_sub(CHUNK_HEAD as usize).max(1) };
        let skipped = found.unwrap_or(rest) as u64;
        (self.lost, self.at) = (found.is_none(), self.at + skipped);
        let left = self.patience.checked_sub(skipped);
        self.patience = left.ok_or_else(|| Stop::failed("has no chunks after damage"))?;
        Ok(())
    }

    /// Adds the pictures whose time depends on those that would follow.
    fn finish(&mut self) -> Result<(), Stop> {
        let mut samples = Vec::new();
        let (film, main) = (Arc::clone(&self.film), self.film.main);
        if let Some(Reading::Video(shown)) = self.readings.get_mut(main) {
            shown.finish(&film, self.counts[main], &mut samples);
        }
        self.add(samples)
    }
}

impl Demux for Reader {
    fn next(&mut self, held: &mut Held) -> Result<Option<Sample>, Stop> {
        loop {
            if let Some(sample) = self.ready.pop_front() {
                return Ok(Some(sample));
            }
            if self.counting.is_some() {
                match self.film.marks.is_empty() {
                    true => self.count_parts(held)?,
                    false => self.count(held)?,
                }
                self.counting = None;
                held.forget_before(held.size());
            } else if self.ended {
                return Ok(None);
            } else if self.at >= held.size() {
                self.ended = true;
                self.finish()?;
            } else if self.lost {
                self.search(held)?;
            } else {
                self.chunk(held)?;
            }
        }
    }
}
