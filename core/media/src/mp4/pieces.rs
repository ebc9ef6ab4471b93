//! Reads the available fragment index: a `sidx` at the front (which may refer to others), else an
//! `mfra` at the end, else the fragments' own headers. Of few fragments it reads all headers, of
//! many the first and the last.

use super::boxes::{Place, Wants, body, header};
use super::fragments::{Fragment, Hop, Moof, Segments, Tracks, find_moof, hop, random_access};
use super::movie::Movie;
use super::seek::Fragments;
use super::tables::MAX_KEYFRAMES;
use crate::held::Held;
use crate::timeline::Keyframe;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Most boxes between the `moov` and the first fragment: indexes of some tracks, and media data.
const MAX_BOXES: u32 = 64;

/// Most bytes of a fragment index. A `sidx` has at most 65,535 entries of 12 bytes.
const MAX_INDEX_BYTES: u64 = 1 << 20;

/// Limits of `sidx` boxes that refer to others: their total number and their depth. Their lengths
/// are not known in advance, since a reference spans the indexed data as well. Most are no longer
/// than the bytes requested for each.
const MAX_INDEXES: usize = 256;
const MAX_DEPTH: u32 = 4;
const USUAL_INDEX_BYTES: u64 = 4 << 10;

/// Most fragments of a film whose headers are all read if there is no index.
const FEW: u64 = 64;

/// Divisor of the file size: the last fragment's header is searched for in this share of the file,
/// with a lower and an upper limit in bytes. Beyond it, the rate of the first fragments is used.
const TAIL_SHARE: u64 = 600;
const LEAST_TAIL_BYTES: u64 = 256 << 10;
const MOST_TAIL_BYTES: u64 = 8 << 20;

/// Bytes of it that are read at a time.
const TAIL_WINDOW_BYTES: u64 = 256 << 10;

/// The data found about the fragments.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    at: u64,
    boxes: u32,
    stage: Stage,
    tracks: Option<Tracks>,
    first: Option<u64>,
    earliest: Option<i64>,
    /// Presentation time of the first fragment's first sample of the main track.
    begins: Option<i64>,
    ends: Option<i64>,
    /// Fragments from indexes: time and offset.
    index: Vec<Fragment>,
    /// `sidx` boxes still to be read, each with the range that it may index, and their depth.
    indexes: Vec<(Range<u64>, u32)>,
    /// Offsets of those already read.
    indexes_read: BTreeSet<u64>,
    index_ends: (i64, u64),
    /// Keyframes from fragments' headers.
    keyframes: Vec<(i64, Keyframe)>,
    hops: u64,
    tail: u64,
    whole: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Front,
    Indexes,
    Tail,
    Headers,
    Last,
    Done,
}

impl Pieces {
    /// Starts after the `moov`.
    pub(super) fn begin(&mut self, at: u64) {
        self.at = at;
    }

    /// Continues with the available bytes. Returns `true` when finished.
    pub(super) fn read(
        &mut self,
        held: &mut Held,
        wants: &mut Wants,
        movie: &Movie,
        main: usize,
        known: bool,
    ) -> Result<bool, String> {
        let tracks = self.tracks.get_or_insert_with(|| Tracks::new(movie, main)).clone();
        while self.stage != Stage::Done {
            let next = match self.stage {
                Stage::Front => self.front(held, wants, &tracks)?,
                Stage::Indexes => self.indexes(held, wants, &tracks),
                Stage::Tail => self.tail(held, wants, movie, main)?,
                Stage::Headers => self.headers(held, wants, &tracks)?,
                Stage::Last => self.last(held, wants, &tracks),
                Stage::Done => Some(Stage::Done),
            };
            let Some(next) = next else { return Ok(false) };
            self.stage = next;
            if self.first.is_none() && self.stage != Stage::Front {
                if !known {
                    return Err("has fragments to come, but none in it".into());
                }
                self.stage = Stage::Done;
            }
        }
        Ok(true)
    }

    /// Reads up to the first fragment and notes indexes on the way.
    fn front(&mut self, held: &mut Held, wants: &mut Wants, tracks: &Tracks) -> Result<Option<Stage>, String> {
        while self.boxes < MAX_BOXES && held.size().saturating_sub(self.at) >= 8 {
            let Some(place) = header(held, self.at, held.size(), wants)? else { return Ok(None) };
            if &place.kind == b"moof" {
                let Some(Hop::Moof(moof, _)) = hop(held, self.at, tracks, wants)? else { return Ok(None) };
                self.first = Some(self.at);
                self.earliest = moof.earliest;
                self.begins = moof.begins;
                break;
            }
            if &place.kind == b"sidx" && place.body.end - place.body.start <= MAX_INDEX_BYTES {
                let Some(bytes) = body(held, &place, MAX_INDEX_BYTES, wants) else { return Ok(None) };
                self.take_index(place.start, Segments::read(bytes.0, place.body.end), 0, tracks);
                held.forget(place.body.clone());
            }
            self.boxes += 1;
            self.at = place.body.end;
        }
        Ok(Some(Stage::Indexes))
    }

    fn take_index(&mut self, start: u64, segments: Option<Segments>, depth: u32, tracks: &Tracks) {
        if !self.indexes_read.insert(start) {
            return;
        }
        let Some(segments) = segments.filter(|segments| segments.track == tracks.main()) else { return };
        self.index_ends = self.index_ends.max(segments.ends);
        self.index.extend(segments.fragments);
        self.index.truncate(2 * MAX_KEYFRAMES);
        if depth < MAX_DEPTH {
            self.indexes.extend(segments.indexes.into_iter().map(|range| (range, depth + 1)));
            self.indexes.truncate(MAX_INDEXES.saturating_sub(self.indexes_read.len()));
        }
    }

    /// Reads the indexes that the first one refers to.
    fn indexes(&mut self, held: &mut Held, wants: &mut Wants, tracks: &Tracks) -> Option<Stage> {
        // Indexes met on the way to the first fragment need not be read again.
        self.indexes.retain(|(range, _)| !self.indexes_read.contains(&range.start));
        while !self.indexes.is_empty() {
            let found = self.referred(held, wants);
            if !wants.is_empty() {
                return None;
            }
            self.indexes.clear();
            for (place, depth) in &found {
                let bytes = held.get(place.body.clone());
                let segments = bytes.and_then(|bytes| Segments::read(bytes, place.body.end));
                self.take_index(place.start, segments, *depth, tracks);
            }
            for (place, _) in &found {
                held.forget(place.start..place.body.end.max(place.start + USUAL_INDEX_BYTES));
            }
            self.indexes.retain(|(range, _)| !self.indexes_read.contains(&range.start));
        }
        // Some writers put an index before each fragment that covers only this one.
        let covers = self.index_ends.1 >= held.size() / 10 * 9 && !self.index.is_empty();
        if covers {
            // An index may count from 0 where the fragments themselves begin later (FFmpeg's does,
            // with B-frames).
            let first = self.index.iter().find(|(_, at)| Some(*at) == self.first);
            let shift = first.zip(self.begins).map_or(0, |((time, _), begins)| begins.saturating_sub(*time));
            self.index.iter_mut().for_each(|(time, _)| *time = time.saturating_add(shift));
            self.ends = Some(self.index_ends.0.saturating_add(shift));
            return Some(self.indexed());
        }
        self.index.clear();
        Some(Stage::Tail)
    }

    /// Returns the boxes of the indexes to be read. They are available if nothing is wanted.
    fn referred(&self, held: &Held, wants: &mut Wants) -> Vec<(Place, u32)> {
        // All together may take no more than one alone.
        let mut left = MAX_INDEX_BYTES;
        let mut found = Vec::new();
        for (range, depth) in &self.indexes {
            let end = range.end.min(held.size());
            let usual = range.start..end.min(range.start.saturating_add(USUAL_INDEX_BYTES));
            if held.get(usual.clone()).is_none() {
                wants.push(usual);
                continue;
            }
            let place = header(held, range.start, end, wants).ok().flatten();
            let Some(place) = place.filter(|place| &place.kind == b"sidx" && place.body.end <= end) else { continue };
            if let Some(rest) = left.checked_sub(place.body.end - place.body.start) {
                left = rest;
                body(held, &place, MAX_INDEX_BYTES, wants);
                found.push((place, *depth));
            }
        }
        found
    }

    /// Accepts an index. Its entries are not checked further: a search reads the fragments
    /// themselves.
    fn indexed(&mut self) -> Stage {
        self.index.sort_unstable();
        self.index.dedup_by_key(|fragment| fragment.1);
        let step = self.index.len().div_ceil(MAX_KEYFRAMES).max(1);
        let first = self.first.unwrap_or_default();
        let points = self.index.drain(..).step_by(step).filter(|(_, at)| *at >= first);
        self.keyframes = points.map(|(time, at)| (time, keyframe(at, at))).collect();
        self.index = Vec::new();
        if self.ends.is_some() { Stage::Done } else { Stage::Last }
    }

    /// Reads the index at the end.
    fn tail(
        &mut self,
        held: &mut Held,
        wants: &mut Wants,
        movie: &Movie,
        main: usize,
    ) -> Result<Option<Stage>, String> {
        const OFFSET: u64 = 16;
        let size = held.size();
        let Some(end) = held.get(size.saturating_sub(OFFSET)..size) else {
            wants.push(size.saturating_sub(OFFSET)..size);
            return Ok(None);
        };
        if end.get(4..8) == Some(b"mfro") {
            let length = end.get(12..16).and_then(|b| b.try_into().ok()).map_or(0, u32::from_be_bytes);
            let start = size.saturating_sub(u64::from(length));
            let fits = (OFFSET + 1..=MAX_INDEX_BYTES).contains(&u64::from(length));
            let place = if fits { header(held, start, size, wants)? } else { None };
            if !wants.is_empty() {
                wants.clear();
                wants.push(start..size);
                return Ok(None);
            }
            if let Some(place) = place.filter(|place| &place.kind == b"mfra") {
                let Some(bytes) = body(held, &place, MAX_INDEX_BYTES, wants) else { return Ok(None) };
                let trak = &movie.traks[main];
                self.index = random_access(bytes.0, trak.id, trak.timescale, &movie.presentation(trak));
            }
        }
        let last = self.index.iter().map(|(_, at)| *at).max();
        if let Some(last) = last.filter(|last| *last < size) {
            self.at = last;
            return Ok(Some(self.indexed()));
        }
        self.index.clear();
        self.at = self.first.unwrap_or(self.at);
        Ok(Some(Stage::Headers))
    }

    /// Steps from header to header if there are few.
    fn headers(&mut self, held: &mut Held, wants: &mut Wants, tracks: &Tracks) -> Result<Option<Stage>, String> {
        let first = self.first.unwrap_or_default();
        loop {
            match hop(held, self.at, tracks, wants)? {
                None => return Ok(None),
                Some(Hop::End) => {
                    self.whole = true;
                    return Ok(Some(Stage::Done));
                }
                Some(Hop::Other(next)) => {
                    self.at = next;
                    self.boxes += 1;
                    if self.boxes > MAX_BOXES + 8 * FEW as u32 {
                        return Err("has boxes without end between its fragments".into());
                    }
                    held.forget_before(next);
                    // Four fragments give an estimate of their number.
                    let many =
                        self.hops >= 4 && held.size().saturating_sub(first) / (next - first).max(1) * self.hops > FEW;
                    if many || self.hops > 2 * FEW {
                        // The bytes read at the start show the length of fragments. The rest is
                        // found on demand.
                        self.tail = TAIL_WINDOW_BYTES;
                        return Ok(Some(Stage::Last));
                    }
                }
                Some(Hop::Moof(moof, next)) => {
                    self.hops += 1;
                    self.take(self.at, &moof);
                    self.at = next;
                    held.forget_before(next);
                    if self.hops > 4 * FEW {
                        return Err("has fragments without media".into());
                    }
                }
            }
        }
    }

    fn take(&mut self, start: u64, moof: &Moof) {
        self.ends = self.ends.max(moof.ends);
        self.earliest = self.earliest.into_iter().chain(moof.earliest).min();
        let keyframes = moof.keyframes.iter().map(|(time, offset)| (*time, keyframe(*offset, start.min(*offset))));
        self.keyframes.extend(keyframes);
        self.keyframes.truncate(MAX_KEYFRAMES);
    }

    /// Reads the last fragment, which gives the duration. An index gives its position; otherwise it
    /// is searched for from the end.
    fn last(&mut self, held: &mut Held, wants: &mut Wants, tracks: &Tracks) -> Option<Stage> {
        let size = held.size();
        if self.tail == 0 {
            let hop = hop(held, self.at, tracks, wants).unwrap_or(Some(Hop::End))?;
            let next = match hop {
                Hop::Moof(moof, next) => {
                    self.ends = self.ends.max(moof.ends);
                    next
                }
                Hop::Other(next) => next,
                Hop::End => return Some(Stage::Done),
            };
            self.hops += 1;
            if self.hops > 2 * FEW {
                return Some(Stage::Done);
            }
            self.at = next;
            held.forget_before(next);
            return Some(Stage::Last);
        }
        // From the end backwards, one window at a time. They overlap by the bytes that identify a
        // header.
        const OVERLAP: u64 = 24;
        let from = size.saturating_sub(self.tail);
        let window = from..(from + TAIL_WINDOW_BYTES + OVERLAP).min(size);
        let Some(bytes) = held.get(window.clone()) else {
            wants.push(window);
            return None;
        };
        let mut last = None;
        let mut at = 0;
        while let Some(found) = bytes.get(at..).and_then(find_moof) {
            last = Some(at + found);
            at += found + 8;
        }
        match last.map(|last| hop(held, from + last as u64, tracks, wants)) {
            Some(Ok(None)) => return None,
            Some(Ok(Some(Hop::Moof(moof, _)))) if moof.ends.is_some() => {
                self.ends = self.ends.max(moof.ends);
                return Some(Stage::Done);
            }
            _ => {}
        }
        held.forget(window);
        if self.tail >= (size / TAIL_SHARE).clamp(LEAST_TAIL_BYTES, MOST_TAIL_BYTES) || self.tail >= size {
            self.extrapolate(size);
            return Some(Stage::Done);
        }
        self.tail += TAIL_WINDOW_BYTES;
        Some(Stage::Last)
    }

    /// Estimates the duration without the last fragment, from the rate of the first ones.
    fn extrapolate(&mut self, size: u64) {
        let (Some(first), Some(ends)) = (self.first, self.ends) else { return };
        let rate = ends.saturating_sub(self.earliest.unwrap_or_default()) as f64
            / (self.at.saturating_sub(first)).max(1) as f64;
        self.ends = Some(ends.max(((size - first) as f64 * rate) as i64));
    }

    /// Whether there are any fragments.
    pub(super) fn any(&self) -> bool {
        self.first.is_some()
    }

    /// Returns the offset of the first fragment.
    pub(super) fn first(&self) -> Option<u64> {
        self.first
    }

    /// Returns the presentation time of the first sample in fragments.
    pub(super) fn earliest(&self) -> Option<i64> {
        self.earliest
    }

    /// Returns the time at which the last one ends.
    pub(super) fn ends(&self) -> Option<i64> {
        self.ends
    }

    /// Returns the known points with their presentation times in nanoseconds.
    pub(super) fn keyframes(&mut self) -> impl Iterator<Item = (i64, Keyframe)> + use<> {
        std::mem::take(&mut self.keyframes).into_iter()
    }

    /// Returns the search for the other keyframes; `None` if all are known.
    pub(super) fn search(&self, origin_ns: i64) -> Option<Arc<Fragments>> {
        let (Some(first), Some(tracks), false) = (self.first, &self.tracks, self.whole) else { return None };
        let (dense, spacing) = (self.tail == 0, self.at.saturating_sub(first) / self.hops.max(1));
        Some(Arc::new(Fragments { tracks: tracks.clone(), origin_ns, first, dense, spacing }))
    }
}

fn keyframe(offset: u64, from: u64) -> Keyframe {
    Keyframe { time: Duration::ZERO, offset, from }
}
