//! Matroska and WebM (RFC 9559): SeekHead, Info, Tracks and Cues, wherever they lie. Of a file
//! without Cues, its ends are read and its clusters are searched.
//!
//! The walk steps from header to header and requests no more than it needs. A stated size is
//! trusted only as far as bytes were fed.

pub(crate) mod blocks;
pub(crate) mod ebml;
pub(crate) mod ids;
mod lacing;
mod samples;
pub(crate) mod tracks;

use crate::bisect::{Bisect, Bounds, Hint, Point, Short};
use crate::container::Container;
use crate::held::{Held, Step, Walk};
use crate::keyframes::Keyframes;
use crate::locate::SeekPoint;
use crate::timeline::{Accuracy, Keyframe, Search, Timeline, TrackKind};
use blocks::{Blocks, Clusters, cluster};
use ebml::{child, children, header, uint};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tracks::Film;

/// Bytes requested where an element begins.
const CHUNK: u64 = 4 << 10;
/// Most bytes read of one SeekHead, Info or Tracks. Cover pictures and fonts lie elsewhere; the
/// codecs' own headers have a few KiB.
const MAX_HEAD: u64 = 1 << 20;
/// Most elements before the first cluster. A dozen is usual.
const MAX_ELEMENTS: u32 = 256;
/// Most entries of all SeekHeads.
const MAX_SEEKS: usize = 64;
/// Bytes of the Cues requested at once.
const CUES_CHUNK: u64 = 256 << 10;
/// Most bytes of the Cues. A film of 25 hours with a keyframe per second has 2 MiB.
const MAX_CUES: u64 = 32 << 20;
/// Largest cue point in bytes; a larger one is skipped. It would have a thousand tracks.
const MAX_CUE_POINT: u64 = 32 << 10;
/// Most blocks read for the film's first time. Each track's first block is among the first few.
const MAX_FIRST_BLOCKS: u32 = 24;
/// Longest distance in bytes over which the first and the last blocks are searched for.
const MAX_FIRST: u64 = 4 << 20;
const MAX_LAST: u64 = 8 << 20;
/// Bytes read first at the end.
const LAST: u64 = 64 << 10;
/// Microseconds before any time within which a keyframe is expected. Encoders' usual limits are 2
/// to 10 s, and reading from header to header costs little.
const BACK_US: i64 = 5_000_000;
/// Latest first time, in microseconds, that audio beginning before the picture or the like
/// explains.
const LATE_US: i64 = 1_000_000;
/// Microseconds of a film without video to buffer before playback starts.
const AUDIO_REACH_US: i64 = 1_000_000;

/// A walk to the index.
#[derive(Debug)]
pub(crate) struct Index {
    film: Film,
    have_info: bool,
    have_tracks: bool,
    /// Start of the segment's content. Positions in the file count from here.
    segment: Option<u64>,
    /// Offset that the walk over elements has reached; `None` at its end.
    top: Option<u64>,
    elements: u32,
    /// SeekHead entries still to be read.
    seeks: Vec<(u32, u64)>,
    seeks_seen: usize,
    cues: Option<Cues>,
    first_cluster: Option<u64>,
    first: Option<First>,
    last: Option<Last>,
}

/// Reads the Cues.
#[derive(Debug)]
struct Cues {
    at: u64,
    /// Offset of their end; `None` until their header was read.
    end: Option<u64>,
    list: Keyframes,
}

/// Reads the first blocks.
#[derive(Debug)]
struct First {
    blocks: Blocks,
    seen: Vec<u64>,
    count: u32,
    origin: Option<i64>,
    done: bool,
}

/// Reads the last blocks.
#[derive(Debug)]
struct Last {
    /// Start of the current search. It moves back each time that nothing was found up to the
    /// previous start.
    from: u64,
    until: u64,
    cursor: u64,
    blocks: Option<Blocks>,
    end: Option<i64>,
    done: bool,
}

impl Index {
    pub(crate) fn new() -> Index {
        Index {
            film: Film::default(),
            have_info: false,
            have_tracks: false,
            segment: None,
            top: Some(0),
            elements: 0,
            seeks: Vec::new(),
            seeks_seen: 0,
            cues: None,
            first_cluster: None,
            first: None,
            last: None,
        }
    }

    /// Steps from element to element up to the first cluster. Returns the range needed to continue.
    fn elements(&mut self, held: &Held) -> Option<Range<u64>> {
        while let Some(at) = self.top {
            if at >= held.size() || self.elements >= MAX_ELEMENTS {
                self.top = None;
                break;
            }
            let Some(bytes) = held.get(at..at.saturating_add(ebml::MAX_HEADER)) else {
                return Some(at..at.saturating_add(CHUNK));
            };
            let Some(header) = header(bytes) else {
                self.top = None;
                break;
            };
            let content = at + header.len;
            match (header.id, self.segment) {
                (ids::SEGMENT, None) => {
                    self.segment = Some(content);
                    self.top = Some(content);
                }
                (ids::CLUSTER, _) => {
                    self.first_cluster = Some(at);
                    self.top = None;
                }
                (id, Some(_)) if matches!(id, ids::SEEK_HEAD | ids::INFO | ids::TRACKS | ids::CUES) => {
                    if let Err(range) = self.take(held, id, at) {
                        return Some(range);
                    }
                    self.top = header.size.and_then(|size| content.checked_add(size));
                }
                // An unknown element of unknown size cannot be skipped.
                _ => self.top = header.size.and_then(|size| content.checked_add(size)),
            }
            self.elements += 1;
        }
        None
    }

    /// Reads an element of level 1 if it has this id. Returns the range needed to continue.
    fn take(&mut self, held: &Held, id: u32, at: u64) -> Result<(), Range<u64>> {
        if id == ids::CUES {
            if self.cues.is_none() {
                self.cues = Some(Cues { at, end: None, list: Keyframes::default() });
            }
            return Ok(());
        }
        let head = held.get(at..at.saturating_add(ebml::MAX_HEADER)).ok_or(at..at.saturating_add(CHUNK))?;
        let Some(header) = header(head).filter(|header| header.id == id) else { return Ok(()) };
        // Of unknown size: the bytes requested at once are enough for these.
        let size = header.size.unwrap_or(CHUNK).min(MAX_HEAD);
        let content = at + header.len;
        let range = content..content.saturating_add(size);
        let content = held.get(range.clone()).ok_or(range)?;
        match id {
            ids::INFO if !self.have_info => {
                self.film.read_info(content);
                self.have_info = true;
            }
            ids::TRACKS if !self.have_tracks => {
                self.film.read_tracks(content);
                self.have_tracks = !self.film.tracks.is_empty();
            }
            ids::SEEK_HEAD => {
                let segment = self.segment.unwrap_or(0);
                for (_, seek) in children(content).filter(|(id, _)| *id == ids::SEEK) {
                    let id = child(seek, ids::SEEK_ID).and_then(uint).and_then(|id| u32::try_from(id).ok());
                    let at = child(seek, ids::SEEK_POSITION).and_then(uint).and_then(|p| p.checked_add(segment));
                    let wanted = [ids::SEEK_HEAD, ids::INFO, ids::TRACKS, ids::CUES];
                    // Each entry is followed once and their number is bounded, since one may lead
                    // back to its origin.
                    if let (Some(id), Some(at)) = (id.filter(|id| wanted.contains(id)), at)
                        && at < held.size()
                        && self.seeks_seen < MAX_SEEKS
                    {
                        self.seeks_seen += 1;
                        if id == ids::CUES && self.cues.is_none() {
                            self.cues = Some(Cues { at, end: None, list: Keyframes::default() });
                        } else {
                            self.seeks.push((id, at));
                        }
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Reads the elements that SeekHeads point to, as far as they are still useful.
    fn follow(&mut self, held: &Held) -> Option<Range<u64>> {
        while let Some((id, at)) = self.seeks.last().copied() {
            let wanted = match id {
                ids::INFO => !self.have_info,
                ids::TRACKS => !self.have_tracks,
                _ => self.cues.is_none(),
            };
            if wanted && let Err(range) = self.take(held, id, at) {
                return Some(range);
            }
            // The element may have added further entries, which are followed later.
            self.seeks.retain(|seek| *seek != (id, at));
        }
        None
    }

    /// Reads the film's first time.
    fn first(&mut self, held: &Held) -> Option<Range<u64>> {
        let start = self.first_cluster?;
        let film = &self.film;
        let first = self.first.get_or_insert_with(|| First {
            blocks: Blocks::new(Arc::new(film.clone()), start),
            seen: Vec::new(),
            count: 0,
            origin: None,
            done: false,
        });
        let timed = |kind| matches!(kind, TrackKind::Video | TrackKind::Audio);
        let tracks = film.tracks.iter().filter(|entry| timed(entry.track.kind)).count();
        while !first.done {
            if first.blocks.at() > start.saturating_add(MAX_FIRST) {
                break;
            }
            match first.blocks.next(held) {
                Err(Short::Need(range)) => return Some(range),
                Err(Short::Nothing | Short::Lost) => break,
                Ok(block) => {
                    first.count += 1;
                    if film.by_number(block.track).is_some_and(|entry| timed(entry.track.kind)) {
                        first.origin = Some(first.origin.map_or(block.us, |origin| origin.min(block.us)));
                        if !first.seen.contains(&block.track) {
                            first.seen.push(block.track);
                        }
                    }
                    first.done = first.seen.len() >= tracks || first.count >= MAX_FIRST_BLOCKS;
                }
            }
        }
        first.done = true;
        None
    }

    fn origin(&self) -> i64 {
        self.first.as_ref().and_then(|first| first.origin).unwrap_or(0)
    }

    /// Reads the Cues.
    fn read_cues(&mut self, held: &mut Held) -> Option<Range<u64>> {
        let segment = self.segment.unwrap_or(0);
        let main = self.film.main().map_or(0, |entry| entry.number);
        let cues = self.cues.as_mut()?;
        let end = match cues.end {
            Some(end) => end,
            None => {
                let Some(bytes) = held.get(cues.at..cues.at.saturating_add(ebml::MAX_HEADER)) else {
                    return Some(cues.at..cues.at.saturating_add(CHUNK));
                };
                let Some(header) = header(bytes).filter(|header| header.id == ids::CUES) else {
                    self.cues = None;
                    return None;
                };
                let size = header.size.unwrap_or(u64::MAX).min(MAX_CUES);
                cues.at += header.len;
                *cues.end.insert(cues.at.saturating_add(size).min(held.size()))
            }
        };
        while cues.at < end {
            let need = cues.at..cues.at.saturating_add(CUES_CHUNK).min(end);
            let Some(header) = held.get(cues.at..cues.at.saturating_add(ebml::MAX_HEADER).min(end)) else {
                return Some(need);
            };
            let Some((len, size, id)) = ebml::header(header).and_then(|h| Some((h.len, h.size?, h.id))) else { break };
            let content = cues.at + len;
            let Some(next) = content.checked_add(size).filter(|next| *next <= end) else { break };
            if id == ids::CUE_POINT && size <= MAX_CUE_POINT {
                let Some(point) = held.get(content..next) else { return Some(need) };
                let time = child(point, ids::CUE_TIME).and_then(uint).and_then(|ticks| i64::try_from(ticks).ok());
                let positions = children(point).filter(|(id, _)| *id == ids::CUE_TRACK_POSITIONS);
                for (_, position) in positions {
                    let cluster = child(position, ids::CUE_CLUSTER_POSITION).and_then(uint);
                    if let (Some(time), Some(cluster)) = (time, cluster.and_then(|c| c.checked_add(segment)))
                        && child(position, ids::CUE_TRACK).and_then(uint) == Some(main)
                    {
                        // Its time is by the file's clock until the film's start is known.
                        let time = Duration::from_micros(u64::try_from(self.film.us(time)).unwrap_or(0));
                        cues.list.push(Keyframe { time, offset: cluster, from: cluster });
                    }
                }
            } else if id != ids::CUE_POINT && !matches!(id, 0xec | 0xbf) {
                break;
            }
            cues.at = next;
        }
        cues.at = end;
        None
    }

    /// Finds the last block of the file.
    fn last(&mut self, held: &mut Held) -> Option<Range<u64>> {
        let start = self.first_cluster?;
        let size = held.size();
        let film = &self.film;
        let last = self.last.get_or_insert_with(|| {
            let from = size.saturating_sub(LAST).max(start);
            Last { from, until: size, cursor: from, blocks: None, end: None, done: false }
        });
        while !last.done {
            if let Some(blocks) = &mut last.blocks {
                match blocks.next(held) {
                    Err(Short::Need(range)) => return Some(range),
                    Err(Short::Nothing | Short::Lost) => last.done = true,
                    Ok(block) => {
                        let entry = film.by_number(block.track);
                        let frame = entry.and_then(|entry| entry.frame_ns).map_or(0, |ns| (ns / 1000) as i64);
                        let end = block.us.saturating_add(block.duration_us.unwrap_or(frame));
                        last.end = Some(last.end.map_or(end, |last| last.max(end)));
                    }
                }
                continue;
            }
            match cluster(film, held, &mut last.cursor, last.until) {
                Err(Short::Need(range)) => return Some(range),
                Ok(_) => last.blocks = Some(Blocks::new(Arc::new(film.clone()), last.cursor)),
                Err(Short::Lost) => last.done = true,
                Err(Short::Nothing) if last.from <= start || size - last.from >= MAX_LAST => {
                    last.done = true;
                }
                Err(Short::Nothing) => {
                    last.until = last.from;
                    last.from = size.saturating_sub((size - last.from).saturating_mul(2)).max(start);
                    last.cursor = last.from;
                }
            }
        }
        None
    }

    fn finish(&mut self, size: u64) -> Step<Timeline> {
        let origin = self.origin();
        // Block times exclude the codec's delay, those of Cues include it.
        let delay = self.film.main().map_or(0, |entry| self.film.delay_us(entry));
        let last = self.last.as_ref().and_then(|last| last.end).map(|end| end - origin);
        let us = last.or(self.film.duration_us).filter(|us| *us > 0);
        let mut duration = us.map(|us| Duration::from_micros(us as u64));
        let cues = self.cues.take().map(|cues| cues.list).unwrap_or_default();
        let thinned = cues.thinned();
        let shift = |time: Duration| {
            let us = i64::try_from(time.as_micros()).unwrap_or(i64::MAX).saturating_sub(origin + delay);
            Duration::from_micros(u64::try_from(us).unwrap_or(0))
        };
        let mut keyframes = cues.into_list();
        keyframes.iter_mut().for_each(|keyframe| keyframe.time = shift(keyframe.time));
        if duration.is_none() {
            duration =
                keyframes.iter().filter(|k| k.offset < size).map(|k| k.time).max().filter(|time| !time.is_zero());
        }
        let tracks: Vec<_> = self.film.tracks.iter().map(|entry| entry.track.clone()).collect();
        let Some((duration, start)) = duration.zip(self.first_cluster) else {
            let why = "the Matroska file's index cannot be used: it has no clusters, or none with a time";
            return Step::Done(Timeline::estimate(Container::Matroska, size, duration, why).with_tracks(tracks));
        };
        let video = self.film.main().is_some_and(|entry| entry.track.kind == TrackKind::Video);
        let film = Arc::new(std::mem::take(&mut self.film));
        let source = samples::Film::new(Arc::clone(&film), origin);
        let search = Arc::new(Cluster { clusters: Clusters { film, origin }, start, video });
        let timeline = Timeline::new(Container::Matroska, size, duration, keyframes);
        let whole = video && !thinned && !timeline.keyframes().is_empty();
        let timeline = timeline.with_tracks(tracks).with_origin_us(origin).with_search(search).with_source(source);
        Step::Done(if whole { timeline.with_accuracy(Accuracy::Exact) } else { timeline })
    }
}

impl Walk for Index {
    type Found = Timeline;

    fn step(&mut self, held: &mut Held) -> Step<Timeline> {
        // The Cues are requested together with the elements once their position is known.
        let cues = self.cues.as_ref().map(|cues| cues.at..cues.at.saturating_add(CHUNK));
        if let Some(range) = self.elements(held) {
            return Step::Need(std::iter::once(range).chain(cues).collect());
        }
        if self.segment.is_none() {
            return Step::Failed("has no segment".into());
        }
        if let Some(range) = self.follow(held) {
            return Step::Need(std::iter::once(range).chain(cues).collect());
        }
        if !self.have_tracks {
            return Step::Failed("has no tracks".into());
        }
        let needed: Vec<_> = [self.first(held), self.read_cues(held)].into_iter().flatten().collect();
        if !needed.is_empty() {
            held.make_room();
            return Step::Need(needed);
        }
        if self.first_cluster.is_none() {
            // A walk that was cut short: the first keyframe's cluster stands for it.
            self.first_cluster = self.cues.as_ref().and_then(|cues| cues.list.first()).map(|keyframe| keyframe.from);
        }
        // The clock begins late. Writers differ on whether the duration counts from its zero or
        // from the film's start.
        let doubtful = self.film.duration_us.is_none() || self.origin() > LATE_US;
        if doubtful && let Some(range) = self.last(held) {
            held.make_room();
            return Step::Need(vec![range]);
        }
        self.finish(held.size())
    }
}

/// A search among a file's clusters.
#[derive(Debug)]
struct Cluster {
    clusters: Clusters,
    /// Offset of the first cluster.
    start: u64,
    video: bool,
}

impl Search for Cluster {
    fn walk(&self, timeline: &Arc<Timeline>, time: Duration) -> Box<dyn Walk<Found = SeekPoint>> {
        let us = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        let at = timeline.keyframe_at(time).0;
        let whole = *timeline.accuracy() == Accuracy::Exact;
        let hint = at.map(|at| {
            // Several keyframes may share a cluster.
            let next = timeline.keyframes().partition_point(|k| k.from <= at.from);
            let until = timeline.keyframes().get(next).map_or(timeline.size(), |next| next.from);
            Hint { near: at.from, exact: whole.then_some((us(at.time), until)) }
        });
        let bounds = Bounds {
            start: Point { at: self.start, time: 0 },
            end: Point { at: timeline.size(), time: us(timeline.duration()) },
            back: if self.video { BACK_US } else { 0 },
            reach: if self.video { 0 } else { AUDIO_REACH_US },
            hint,
        };
        Box::new(Bisect::new(self.clusters.clone(), time, bounds))
    }
}
