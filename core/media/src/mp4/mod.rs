//! MP4, MOV and M4A (ISO/IEC 14496-12, QuickTime): finds the `moov`, reads the relevant part of its
//! tables, and the indexes of fragments if there are any. TorrentHandle data is never read.
//!
//! `movie` has the structure, `tables` the sample tables, `edits` the edit lists and `stsd` the
//! codecs. `fragments` has the fragments and `pieces` their index. `seek` searches for a keyframe
//! in films whose fragments are not all known. `samples` reads samples, by `cursor` or fragments.

mod boxes;
mod bytes;
mod cursor;
mod edits;
pub(crate) mod fragmented;
mod fragments;
mod movie;
mod pieces;
mod samples;
mod seek;
mod stsd;
mod tables;

use crate::container::Container;
use crate::held::{Held, Step, Walk};
use crate::timeline::{Keyframe, Timeline};
use boxes::{Wants, header, name};
use edits::{MAX_NS, Presentation};
use fragments::Tracks as FragmentTracks;
use movie::{Movie, Table, Trak};
use pieces::Pieces;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tables::{Follow, MAX_KEYFRAMES, Tables};

/// Most boxes before the `moov`. A few are usual; a camera writes an `mdat` each time that it
/// stops.
const MAX_TOP_BOXES: u32 = 1000;

/// Divisor of the file size: other tracks' tables together are read up to this share of the file.
/// If they are larger, the position of their audio is guessed.
const OTHERS_SHARE: u64 = 500;

/// Bytes that other tracks' tables may have in any case.
const OTHERS_BYTES: u64 = 512 << 10;

/// Divisor of the file size: the main track's tables may take this share. The limit is at least
/// [`LEAST_TABLE_BYTES`] and at most [`MOST_TABLE_BYTES`]: a day of film.
const TABLES_SHARE: u64 = 20;
const LEAST_TABLE_BYTES: u64 = 4 << 20;
const MOST_TABLE_BYTES: u64 = 64 << 20;

/// Assumed interleaving if other tracks' tables are too large to read. Muxers interleave within
/// slightly more than a second.
const INTERLEAVE: Duration = Duration::from_secs(1);
const INTERLEAVE_BYTES: u64 = 256 << 10;

/// A walk through an MP4 file.
#[derive(Debug, Default)]
pub(crate) struct Mp4 {
    at: u64,
    boxes: u32,
    moov: Option<Range<u64>>,
    movie: Option<Movie>,
    /// Index of the main track.
    main: usize,
    keyframes: Option<Keyframes>,
    reading: Option<Tables>,
    others: Option<Others>,
    pieces: Pieces,
}

/// The main track's keyframes with their presentation times in nanoseconds.
#[derive(Debug, Default)]
struct Keyframes {
    known: Vec<(i64, Keyframe)>,
    /// Presentation time of the first sample if there is no edit list.
    begins: Option<i64>,
    /// Duration of the media by its table of times.
    media_ns: i64,
    /// Largest ticks by which a sample is shown before its decoding time.
    early: i64,
    /// Bytes of tables read so far.
    cost: u64,
}

/// The other tracks whose tables are still to be read, the next one last.
#[derive(Debug)]
struct Others {
    traks: Vec<usize>,
    guess: bool,
}

impl Others {
    fn new(movie: &Movie, main: usize) -> Others {
        let plays = |(i, trak): &(usize, &Trak)| *i != main && trak.plays() && trak.sizes.count > 0;
        let mut traks: Vec<usize> = movie.traks.iter().enumerate().filter(plays).map(|(i, _)| i).collect();
        traks.reverse();
        Others { traks, guess: false }
    }

    /// Moves each keyframe's start back to the samples of the other tracks that are shown with it.
    /// Returns whether all tables are read.
    fn read(
        &mut self,
        held: &mut Held,
        wants: &mut Wants,
        movie: &Movie,
        keyframes: &mut Keyframes,
        reading: &mut Option<Tables>,
    ) -> bool {
        while let Some(trak) = self.traks.last().map(|i| &movie.traks[*i]) {
            let cost = trak.times.bytes() + trak.chunks.bytes() + trak.places.bytes();
            if reading.is_none() && keyframes.cost + cost > (held.size() / OTHERS_SHARE).max(OTHERS_BYTES) {
                self.guess = true;
                self.traks.pop();
                continue;
            }
            let shown = movie.presentation(trak);
            let tables = reading.get_or_insert_with(|| {
                keyframes.cost += cost;
                Tables::new(Follow::At(media_ticks(&keyframes.known, &shown, trak.timescale)))
            });
            // If the tables of another track are unusable, those of the main track still serve.
            match tables.step(held, trak, wants) {
                Ok(false) => return false,
                Ok(true) => {
                    for (point, (_, keyframe)) in tables.points.iter().zip(&mut keyframes.known) {
                        keyframe.from = keyframe.from.min(point.place);
                    }
                }
                Err(_) => self.guess = true,
            }
            *reading = None;
            self.traks.pop();
        }
        true
    }
}

impl Walk for Mp4 {
    type Found = Timeline;

    fn step(&mut self, held: &mut Held) -> Step<Timeline> {
        let mut wants = Wants::new();
        match self.read(held, &mut wants) {
            Ok(Some(timeline)) => Step::Done(timeline),
            Ok(None) => Step::Need(wants),
            Err(why) => Step::Failed(why),
        }
    }
}

impl Mp4 {
    fn read(&mut self, held: &mut Held, wants: &mut Wants) -> Result<Option<Timeline>, String> {
        if self.movie.is_none() {
            let Some(moov) = self.find(held, wants)? else { return Ok(None) };
            let movie = Movie::read(held, moov.clone(), wants)?;
            if !wants.is_empty() {
                whole_if_small(&moov, wants);
                return Ok(None);
            }
            self.main = movie.main().ok_or("has neither pictures nor sound")?;
            self.movie = Some(movie);
        }
        let Some(movie) = &self.movie else { return Ok(None) };
        let main = &movie.traks[self.main];
        let presentation = movie.presentation(main);

        if self.keyframes.is_none() {
            check_main(main, held.size(), movie.fragmented)?;
            let tables = self.reading.get_or_insert_with(|| Tables::new(Follow::Keyframes));
            if !tables.step(held, main, wants)? {
                return Ok(None);
            }
            self.keyframes = Some(keyframes(tables, main, &presentation, held.size())?);
            self.reading = None;
        }
        let Some(keyframes) = &mut self.keyframes else { return Ok(None) };

        let others = self.others.get_or_insert_with(|| Others::new(movie, self.main));
        if !others.read(held, wants, movie, keyframes, &mut self.reading) {
            return Ok(None);
        }

        let fragmented = movie.fragmented;
        if fragmented && !self.pieces.read(held, wants, movie, self.main, !keyframes.known.is_empty())? {
            return Ok(None);
        }
        let origin_ns = origin(movie, self.main, keyframes, &self.pieces);
        let end_ns = end(movie, self.main, keyframes, &self.pieces);
        let duration = Duration::from_nanos(end_ns.saturating_sub(origin_ns).max(0).unsigned_abs());
        if keyframes.known.is_empty() && !self.pieces.any() {
            return Err("names no keyframe".into());
        }
        let since = |time: i64| Duration::from_nanos(time.saturating_sub(origin_ns).max(0).unsigned_abs());
        let mut known: Vec<Keyframe> = std::mem::take(&mut keyframes.known)
            .into_iter()
            .map(|(time, keyframe)| Keyframe { time: since(time), ..keyframe })
            .collect();
        if others.guess {
            guess_from(&mut known);
        }
        known.extend(self.pieces.keyframes().map(|(time, keyframe)| Keyframe { time: since(time), ..keyframe }));
        let timeline = Timeline::new(Container::Mp4, held.size(), duration, known)
            .with_tracks(movie.traks.iter().map(|trak| trak.about.clone()).collect())
            .with_origin_us(origin_ns / 1000);
        let early = keyframes.early;
        let fragments = self.pieces.first().map(|first| (first, FragmentTracks::new(movie, self.main)));
        let Some(mut movie) = self.movie.take() else { return Ok(None) };
        movie.traks[self.main].early = early;
        let timeline = timeline.with_source(samples::Film::new(movie, origin_ns, fragments));
        Ok(Some(match self.pieces.search(origin_ns) {
            Some(search) => timeline.with_search(Arc::new(search)),
            None => timeline,
        }))
    }

    /// Finds the `moov`.
    fn find(&mut self, held: &Held, wants: &mut Wants) -> Result<Option<Range<u64>>, String> {
        while self.moov.is_none() {
            if held.size().saturating_sub(self.at) < 8 || self.boxes == MAX_TOP_BOXES {
                return Err("has no moov, the box that says where everything is".into());
            }
            let Some(place) = header(held, self.at, held.size(), wants)? else { return Ok(None) };
            self.boxes += 1;
            self.at = place.body.end;
            if &place.kind == b"moov" {
                if place.body.end > held.size() {
                    return Err(format!("has a {} that reaches past the end of the file", name(place.kind)));
                }
                self.pieces.begin(place.body.end);
                self.moov = Some(place.body);
            }
        }
        Ok(self.moov.clone())
    }
}

/// Requests a small `moov` as a whole: that takes fewer round trips, and most of it is needed.
fn whole_if_small(moov: &Range<u64>, wants: &mut Wants) {
    const SMALL_BYTES: u64 = 256 << 10;
    if moov.end - moov.start <= SMALL_BYTES {
        *wants = vec![moov.clone()];
    }
}

/// Checks that the main track's tables are worth reading.
fn check_main(main: &Trak, size: u64, fragmented: bool) -> Result<(), String> {
    if main.timescale == 0 {
        return Err("has a track whose clock stands still".into());
    }
    if main.sizes.count == 0 && !fragmented {
        return Err("has no samples in its main track".into());
    }
    let tables = [&main.times, &main.offsets, &main.chunks, &main.sizes.table, &main.places];
    let syncs = main.syncs.as_ref().map_or(0, Table::bytes);
    let bytes: u64 = tables.iter().map(|table| table.bytes()).sum::<u64>().saturating_add(syncs);
    if bytes > (size / TABLES_SHARE).clamp(LEAST_TABLE_BYTES, MOST_TABLE_BYTES) {
        return Err(format!("has {} MiB of tables", bytes >> 20));
    }
    Ok(())
}

/// Returns the result of the main track's tables.
fn keyframes(tables: &Tables, main: &Trak, presentation: &Presentation, size: u64) -> Result<Keyframes, String> {
    let times: Vec<i64> = tables.points.iter().map(|point| edits::nanoseconds(point.time, main.timescale)).collect();
    if !times.is_sorted() {
        return Err("has keyframes whose times run backwards".into());
    }
    /// Divisor of the number of keyframes that may lie past the end. A truncated file may lack its
    /// last keyframes; one that lacks more is false.
    const PAST_END_SHARE: usize = 10;
    let past = tables.points.iter().filter(|point| point.place >= size).count();
    if past * PAST_END_SHARE > tables.points.len() {
        return Err("has keyframes that are past the end of the file".into());
    }
    let mut known = Vec::new();
    presentation.place(&times, MAX_KEYFRAMES, |i, time| {
        let offset = tables.points[i].place;
        known.push((time, Keyframe { time: Duration::ZERO, offset, from: offset }));
    });
    let media_ns = edits::nanoseconds(tables.end, main.timescale);
    let begins = presentation.begins().or(times.first().copied());
    Ok(Keyframes { known, begins, media_ns, early: tables.early, cost: tables.read })
}

/// Returns the keyframes' times in another track's ticks, ascending. If segments are shown in
/// another order than recorded, the earlier times count.
fn media_ticks(keyframes: &[(i64, Keyframe)], shown: &Presentation, timescale: u32) -> Vec<i64> {
    let mut lowest = i64::MAX;
    let mut ticks: Vec<i64> = Vec::with_capacity(keyframes.len());
    for (time, _) in keyframes.iter().rev() {
        let ns = i128::from(shown.media_at(*time));
        lowest = lowest.min((ns * i128::from(timescale) / 1_000_000_000) as i64);
        ticks.push(lowest);
    }
    ticks.reverse();
    ticks
}

/// Returns the presentation time of the first picture or sound.
fn origin(movie: &Movie, main: usize, keyframes: &Keyframes, pieces: &Pieces) -> i64 {
    let begins = |(i, trak): (usize, &Trak)| {
        let edited = movie.presentation(trak).begins();
        let own = if i == main { keyframes.begins } else { (trak.sizes.count > 0).then_some(0) };
        let (has, fragments) = (trak.sizes.count > 0, pieces.earliest());
        if has || fragments.is_some() { edited.or(own).or(fragments) } else { None }
    };
    let plays = movie.traks.iter().enumerate().filter(|(_, trak)| trak.plays());
    plays.filter_map(begins).min().unwrap_or_default()
}

/// Returns the time at which the last picture or sound ends.
fn end(movie: &Movie, main: usize, keyframes: &Keyframes, pieces: &Pieces) -> i64 {
    let end = |(i, trak): (usize, &Trak)| {
        let shown = movie.presentation(trak);
        let own = if i == main { keyframes.begins.unwrap_or_default() } else { 0 };
        let table = if i == main && keyframes.media_ns > 0 { Some(keyframes.media_ns) } else { None };
        shown.duration().or_else(|| Some(shown.begins().unwrap_or(own).saturating_add(trak.media_ns().or(table)?)))
    };
    let plays = movie.traks.iter().enumerate().filter(|(_, trak)| trak.plays());
    let tracks = plays.filter_map(end).max().unwrap_or_default();
    let fragments = if movie.fragmented { pieces.ends().or(movie.extended_ns) } else { None };
    fragments.map_or(tracks, |ns| if pieces.ends().is_some() { ns } else { ns.max(tracks) }).clamp(0, MAX_NS)
}

/// Moves each `from` back to where the audio of that time may begin.
fn guess_from(keyframes: &mut [Keyframe]) {
    for i in (0..keyframes.len()).rev() {
        let before = keyframes[i.saturating_sub(1)];
        let span = keyframes[i].time.saturating_sub(before.time).as_secs_f64();
        let bytes = keyframes[i].offset.saturating_sub(before.offset) as f64;
        let second = if span > 0.0 { (bytes / span * INTERLEAVE.as_secs_f64()) as u64 } else { 0 };
        keyframes[i].from =
            keyframes[i].from.min(keyframes[i].offset.saturating_sub(second.saturating_add(INTERLEAVE_BYTES)));
    }
}
