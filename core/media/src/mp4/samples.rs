//! Samples of an MP4 film: those of the `moov`'s tables, then those of fragments, merged by
//! decoding time.

use super::boxes::Wants;
use super::cursor::{Aim, Cursor, Entry};
use super::edits::{Segment, nanoseconds};
use super::fragments::{Hop, Tracks, find_moof, hop_over};
use super::movie::{Movie, Trak};
use crate::held::{Held, Stop};
use crate::locate::ROUNDING;
use crate::samples::{Demux, MAX_SAMPLE_BYTES, Plan, READ_AHEAD_BYTES, Sample, Source, Starts, TrackSetup};
use crate::timeline::TrackKind;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// Most samples whose bytes are requested ahead.
const READ_AHEAD_SAMPLES: usize = 1024;

/// Most samples of fragments that wait for those of other tracks. A fragment has 100,000 at most.
const MAX_QUEUED: usize = 200_000;

/// Most fragments read in advance to interleave tracks that have fragments of their own.
const MAX_AHEAD: u32 = 8;

/// Bytes searched at a time for the next fragment after damage.
const SCAN_BYTES: u64 = 256 << 10;

/// Nanoseconds before the start of an edit from which sound is decoded, as in FFmpeg.
const PREROLL_NS: i64 = 1_000_000_000;

/// What the index knows of the samples of a film.
#[derive(Debug)]
pub(super) struct Film {
    movie: Movie,
    /// Presentation time of the film's start.
    origin_ns: i64,
    /// Offset of the first fragment, and the tracks as fragments need them.
    fragments: Option<(u64, Tracks)>,
    setups: Vec<TrackSetup>,
}

impl Film {
    pub(super) fn new(mut movie: Movie, origin_ns: i64, fragments: Option<(u64, Tracks)>) -> Arc<Film> {
        let setup = |trak: &mut Trak| TrackSetup {
            config: std::mem::take(&mut trak.config),
            timescale: trak.timescale,
            in_band: None,
        };
        let setups = movie.traks.iter_mut().map(setup).collect();
        Arc::new(Film { movie, origin_ns, fragments, setups })
    }
}

impl Source for Film {
    fn setups(&self) -> &[TrackSetup] {
        &self.setups
    }

    fn demux(self: Arc<Self>, starts: Starts) -> Box<dyn Demux> {
        let first = self.fragments.as_ref().map(|(first, _)| *first);
        // Media before the first fragment is in the tables.
        let tabled = first.is_none_or(|first| starts.from.from < first);
        let tracks = starts.tracks().map(|index| Reading::new(&self, index, &starts, tabled)).collect();
        let at = first.map(|first| starts.from.from.max(first));
        Box::new(Reader {
            film: self,
            starts,
            tracks,
            begun: false,
            at,
            lost: false,
            planned: VecDeque::new(),
            read: Vec::new(),
        })
    }
}

/// A sample to be read, with its size.
type Planned = (Plan, u64);

/// A reader of the chosen tracks.
#[derive(Debug)]
struct Reader {
    film: Arc<Film>,
    starts: Starts,
    tracks: Vec<Reading>,
    /// Whether the first windows of the tables were requested.
    begun: bool,
    /// Offset of the box that is read next for fragments; `None` at their end.
    at: Option<u64>,
    /// Whether a fragment is searched for after damage.
    lost: bool,
    /// The next samples in decoding order.
    planned: VecDeque<Planned>,
    /// Ranges that were read and are still held.
    read: Vec<Range<u64>>,
}

/// The state of a chosen track.
#[derive(Debug)]
struct Reading {
    index: usize,
    video: bool,
    /// The edits still to be read, the current one first.
    segments: VecDeque<Segment>,
    /// The place in the tables; `None` once they were read.
    cursor: Option<Cursor>,
    /// Samples of fragments in decoding order.
    queue: VecDeque<Planned>,
    /// Largest ticks by which a sample of fragments is shown before its decoding time.
    early: i64,
}

impl Reading {
    fn new(film: &Film, index: usize, starts: &Starts, tabled: bool) -> Reading {
        let trak = &film.movie.traks[index];
        let presentation = film.movie.presentation(trak);
        let video = trak.about.kind == TrackKind::Video;
        let mut reading =
            Reading { index, video, segments: VecDeque::new(), cursor: None, queue: VecDeque::new(), early: 0 };
        if !tabled || trak.timescale == 0 {
            return reading;
        }
        let start_ns = if starts.whole && !video { 0 } else { starts.start_ns() };
        let target = start_ns.saturating_add(film.origin_ns);
        let segments = presentation.segments();
        let current = segments.partition_point(|segment| segment.shown <= target).saturating_sub(1);
        reading.segments = segments.iter().skip(current).copied().collect();
        let rounding = ROUNDING.as_nanos() as i64;
        let into = target.saturating_sub(segments.get(current).map_or(0, |segment| segment.shown)).max(0);
        let media_ns = presentation.media_at(target).saturating_add(if video { rounding } else { 0 });
        // The decoder needs what precedes the first sound.
        let preroll_ns = if starts.whole || into == 0 { PREROLL_NS } else { 0 };
        reading.cursor = Some(reading.aimed(trak, media_ns, preroll_ns));
        reading
    }

    fn aimed(&self, trak: &Trak, media_ns: i64, preroll_ns: i64) -> Cursor {
        let ticks = |ns: i64| (i128::from(ns) * i128::from(trak.timescale) / 1_000_000_000) as i64;
        let aim = match self.video {
            true => Aim::Keyframe(ticks(media_ns)),
            false => Aim::Time(ticks(media_ns.saturating_sub(preroll_ns))),
        };
        Cursor::new(trak, aim)
    }

    /// Returns the next sample of the tables.
    fn next(&mut self, film: &Film, held: &mut Held) -> Result<Option<Planned>, Stop> {
        let trak = &film.movie.traks[self.index];
        while let (Some(cursor), Some(segment)) = (&mut self.cursor, self.segments.front()) {
            let entry = cursor.peek(held)?.filter(|entry| entry.offset.saturating_add(entry.size) <= held.size());
            let ends = |entry: &Entry| {
                let media = nanoseconds(entry.pts, trak.timescale);
                media >= segment.media_end() && (entry.key || !self.video)
            };
            let Some(entry) = entry.filter(|entry| !ends(entry)) else {
                self.segments.pop_front();
                self.cursor = self.segments.front().map(|segment| self.aimed(trak, segment.media, PREROLL_NS));
                continue;
            };
            cursor.pass(held, &entry)?;
            let shown = |ticks| segment.shows(nanoseconds(ticks, trak.timescale)).saturating_sub(film.origin_ns);
            let plan = plan(self.index, &entry, trak.timescale, trak.early, self.video, shown);
            return Ok(Some((plan, entry.size)));
        }
        self.cursor = None;
        Ok(None)
    }
}

/// Returns the plan of a sample. `shown` maps ticks to times of the film.
fn plan(track: usize, entry: &Entry, timescale: u32, early: i64, video: bool, shown: impl Fn(i64) -> i64) -> Plan {
    let pts_ns = shown(entry.pts);
    Plan {
        track,
        pts_ns,
        dts_ns: shown(entry.dts.saturating_sub(early)).min(pts_ns),
        duration_ns: nanoseconds(entry.duration, timescale),
        key: entry.key || !video,
        offset: entry.offset,
    }
}

impl Reader {
    /// Plans the next sample. Returns `false` at the end.
    fn plan(&mut self, held: &mut Held) -> Result<bool, Stop> {
        loop {
            for track in &mut self.tracks {
                if track.queue.is_empty()
                    && track.cursor.is_some()
                    && let Some(planned) = track.next(&self.film, held)?
                {
                    track.queue.push_back(planned);
                }
            }
            self.fragments(held)?;
            let heads = self.tracks.iter_mut().filter(|track| !track.queue.is_empty());
            let next = heads.min_by_key(|track| track.queue.front().map(|(plan, _)| plan.dts_ns));
            let Some((plan, size)) = next.and_then(|track| track.queue.pop_front()) else { return Ok(false) };
            if self.starts.take(&plan)? && size <= MAX_SAMPLE_BYTES {
                self.planned.push_back((plan, size));
                return Ok(true);
            }
        }
    }

    /// Reads fragments until each track has a sample, as far as that is near.
    fn fragments(&mut self, held: &mut Held) -> Result<(), Stop> {
        let mut ahead = 0;
        while let Some(at) = self.at {
            let tabled = self.tracks.iter().any(|track| track.cursor.is_some());
            let any = self.tracks.iter().any(|track| !track.queue.is_empty());
            let all = self.tracks.iter().all(|track| !track.queue.is_empty());
            let queued: usize = self.tracks.iter().map(|track| track.queue.len()).sum();
            if tabled || all || any && (ahead >= MAX_AHEAD || queued >= MAX_QUEUED) {
                return Ok(());
            }
            ahead += u32::from(self.fragment(held, at)?);
        }
        Ok(())
    }

    /// Reads the box at an offset. Returns whether it was a fragment.
    fn fragment(&mut self, held: &mut Held, at: u64) -> Result<bool, Stop> {
        if self.lost {
            return self.find(held, at).map(|()| false);
        }
        let Some((_, tracks)) = &self.film.fragments else { return Ok(false) };
        let mut wants = Wants::new();
        match hop_over(held, at, &mut wants) {
            Ok(None) => Err(Stop::Need(wants)),
            Ok(Some(Hop::Moof(body, end))) => {
                let (size, origin_ns) = (held.size(), self.film.origin_ns);
                tracks.samples(at, body, |track, entry| {
                    let chosen = self.tracks.iter_mut().find(|chosen| chosen.index == track.index);
                    let Some(chosen) = chosen.filter(|_| entry.offset.saturating_add(entry.size) <= size) else {
                        return;
                    };
                    chosen.early = chosen.early.max(entry.dts.saturating_sub(entry.pts));
                    let media_ns = |ticks| nanoseconds(ticks, track.timescale);
                    let shown = |ticks| track.presentation.shown_last(media_ns(ticks)).saturating_sub(origin_ns);
                    let plan = plan(track.index, &entry, track.timescale, chosen.early, chosen.video, shown);
                    chosen.queue.push_back((plan, entry.size));
                });
                self.at = Some(end);
                Ok(true)
            }
            Ok(Some(Hop::Other(next))) => {
                self.at = Some(next);
                Ok(false)
            }
            Ok(Some(Hop::End)) => {
                self.at = None;
                Ok(false)
            }
            Err(_) => {
                self.lost = true;
                self.at = Some(at + 1);
                Ok(false)
            }
        }
    }

    /// Searches for the next fragment after damage.
    fn find(&mut self, held: &mut Held, at: u64) -> Result<(), Stop> {
        /// Bytes that identify a fragment.
        const OVERLAP: u64 = 24;
        let end = at.saturating_add(SCAN_BYTES).min(held.size());
        let Some(bytes) = held.get(at..end) else { return Err(Stop::need(at..end)) };
        let found = find_moof(bytes);
        self.lost = found.is_none();
        self.at = match found {
            Some(found) => Some(at + found as u64),
            None if end >= held.size() => None,
            None => Some(end - OVERLAP),
        };
        held.forget(at..self.at.unwrap_or(end));
        Ok(())
    }

    /// Releases what was read.
    fn release(&mut self, held: &mut Held) {
        self.read.drain(..).for_each(|range| held.forget(range));
        // Without tables everything before the next sample is behind. That includes the headers of
        // boxes, which were requested by the block.
        if let Some(at) = self.at.filter(|_| self.tracks.iter().all(|track| track.cursor.is_none())) {
            let queued = self.tracks.iter().flat_map(|track| &track.queue).chain(&self.planned);
            let first = queued.map(|(plan, _)| plan.offset).min();
            held.forget_before(first.map_or(at, |first| first.min(at)));
        }
    }
}

impl Demux for Reader {
    fn next(&mut self, held: &mut Held) -> Result<Option<Sample>, Stop> {
        if !self.begun {
            self.begun = true;
            let windows = self.tracks.iter().flat_map(|track| track.cursor.iter().flat_map(Cursor::windows)).collect();
            return Err(Stop::Need(windows));
        }
        if self.planned.is_empty() && !self.plan(held)? {
            return Ok(None);
        }
        let Some(&(plan, size)) = self.planned.front() else { return Ok(None) };
        let range = plan.offset..plan.offset.saturating_add(size);
        if let Some(data) = held.get(range.clone()) {
            let sample = plan.with(data.to_vec());
            match self.read.last_mut().filter(|last| last.end == range.start) {
                Some(last) => last.end = range.end,
                None => self.read.push(range),
            }
            self.planned.pop_front();
            return Ok(Some(sample));
        }
        self.release(held);
        let mut bytes: u64 = self.planned.iter().map(|(_, size)| size).sum();
        while bytes < READ_AHEAD_BYTES && self.planned.len() < READ_AHEAD_SAMPLES {
            match self.plan(held) {
                Ok(true) => bytes += self.planned.back().map_or(0, |(_, size)| *size),
                Ok(false) | Err(Stop::Failed(_)) => break,
                Err(Stop::Need(ranges)) => {
                    ranges.into_iter().for_each(|range| held.wish(range));
                    break;
                }
            }
        }
        let mut left = READ_AHEAD_BYTES.saturating_sub(size);
        let fits = |(_, size): &&Planned| {
            let fits = *size <= left;
            left = left.saturating_sub(*size);
            fits
        };
        let ahead = self.planned.iter().skip(1).take_while(fits);
        let mut ahead: Vec<Range<u64>> = ahead.map(|(plan, size)| plan.offset..plan.offset + size).collect();
        ahead.sort_unstable_by_key(|range| range.start);
        let mut joined: Vec<Range<u64>> = Vec::new();
        for range in ahead {
            match joined.last_mut().filter(|last| last.end >= range.start) {
                Some(last) => last.end = last.end.max(range.end),
                None => joined.push(range),
            }
        }
        joined.into_iter().for_each(|range| held.wish(range));
        Err(Stop::need(range))
    }
}
