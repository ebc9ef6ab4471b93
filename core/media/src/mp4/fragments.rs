//! Fragments (`moof`) and their indexes: `sidx` at the front, `mfra` at the end.

use super::boxes::{inside, name};
use super::bytes::Bytes;
use super::cursor::Entry;
use super::edits::{MAX_NS, Presentation, nanoseconds};
use super::movie::{Defaults, Movie};
use crate::held::Held;
use std::ops::Range;

/// Longest header of a fragment in bytes. A fragment of ten seconds has about a hundred samples per
/// track; a larger header is not plausible.
pub(super) const MAX_MOOF_BYTES: u64 = 1 << 20;

/// Most samples of one fragment, over all its tracks. Bounds runs whose samples take no bytes.
const MAX_SAMPLES: u32 = 100_000;

/// The presentation of the tracks, for reading fragments.
#[derive(Clone, Debug)]
pub(super) struct Tracks {
    tracks: Vec<FragmentTrack>,
    main: u32,
    audio_only: bool,
}

/// A track as its fragments need it.
#[derive(Clone, Debug)]
pub(super) struct FragmentTrack {
    pub(super) id: u32,
    /// Its index in the movie.
    pub(super) index: usize,
    plays: bool,
    pub(super) timescale: u32,
    defaults: Defaults,
    pub(super) presentation: Presentation,
}

/// The content of a `moof`. Times in nanoseconds of the presentation.
#[derive(Clone, Debug, Default)]
pub(super) struct Moof {
    /// Keyframes of the main track.
    pub(super) keyframes: Vec<(i64, u64)>,
    /// Presentation time of the first sample of the main track, or, without one, of any track.
    pub(super) begins: Option<i64>,
    /// Earliest presentation time of all samples.
    pub(super) earliest: Option<i64>,
    /// Latest end of all samples.
    pub(super) ends: Option<i64>,
    /// Whether it has samples of the main track.
    pub(super) main: bool,
}

impl Tracks {
    pub(super) fn new(movie: &Movie, main: usize) -> Tracks {
        let tracks = movie.traks.iter().enumerate().map(|(index, trak)| FragmentTrack {
            id: trak.id,
            index,
            plays: trak.plays(),
            timescale: trak.timescale,
            defaults: trak.defaults,
            presentation: movie.presentation(trak),
        });
        let main = &movie.traks[main];
        Tracks { tracks: tracks.collect(), main: main.id, audio_only: main.about.kind == crate::TrackKind::Audio }
    }

    pub(super) fn main(&self) -> u32 {
        self.main
    }

    /// Parses the body of a `moof`.
    pub(super) fn moof(&self, start: u64, body: &[u8]) -> Moof {
        let mut moof = Moof::default();
        let mut main_begins: Option<i64> = None;
        self.samples(start, body, |track, sample| {
            if !track.plays {
                return;
            }
            let shown = |ticks| track.presentation.shown_last(nanoseconds(ticks, track.timescale));
            let (begins, ends) = (shown(sample.pts), shown(sample.pts.saturating_add(sample.duration)));
            moof.ends = moof.ends.max(Some(ends));
            if track.id != self.main {
                moof.begins = Some(moof.begins.map_or(begins, |first| first.min(begins)));
                return;
            }
            main_begins = Some(main_begins.map_or(begins, |first| first.min(begins)));
            if sample.key || self.audio_only {
                moof.keyframes.push((begins, sample.offset));
            }
        });
        moof.earliest = [moof.begins, main_begins].into_iter().flatten().min();
        moof.main = main_begins.is_some();
        moof.begins = main_begins.or(moof.begins);
        moof.keyframes.sort_unstable();
        moof
    }

    /// Calls `sample` with the samples of a `moof` that begins at an offset and has this body.
    pub(super) fn samples(&self, start: u64, body: &[u8], mut sample: impl FnMut(&FragmentTrack, Entry)) {
        let mut budget = MAX_SAMPLES;
        // Start of the data of a track that does not state it: after the data of the track before.
        let mut data = start;
        for (kind, traf) in inside(Bytes(body)) {
            if &kind == b"traf" {
                self.traf(start, traf, &mut data, &mut budget, &mut sample);
            }
        }
    }

    fn traf(
        &self,
        start: u64,
        traf: Bytes<'_>,
        data: &mut u64,
        budget: &mut u32,
        sample: &mut impl FnMut(&FragmentTrack, Entry),
    ) -> Option<()> {
        let (_, mut header) = inside(traf).find(|(kind, _)| kind == b"tfhd")?;
        let (_, flags) = header.full()?;
        let id = header.u32()?;
        let track = self.tracks.iter().find(|track| track.id == id);
        let mut defaults = track.map(|track| track.defaults).unwrap_or_default();
        let base = if flags & 1 != 0 {
            header.u64()?
        } else if flags & 0x2_0000 != 0 {
            start
        } else {
            *data
        };
        if flags & 2 != 0 {
            header.u32()?;
        }
        for (flag, field) in [(8, &mut defaults.duration), (0x10, &mut defaults.size), (0x20, &mut defaults.flags)] {
            if flags & flag != 0 {
                *field = header.u32()?;
            }
        }
        let decode = inside(traf).find(|(kind, _)| kind == b"tfdt").and_then(|(_, mut time)| {
            let (version, _) = time.full()?;
            time.wide(version)
        });
        let mut run = Run { time: i64::try_from(decode?).ok()?, at: base };
        for (kind, trun) in inside(traf) {
            if &kind == b"trun" {
                run.read(trun, base, &defaults, budget, |entry| {
                    if let Some(track) = track {
                        sample(track, entry);
                    }
                });
            }
        }
        *data = run.at;
        Some(())
    }
}

/// The next sample of a track in a fragment: its decoding time and its offset in the file.
struct Run {
    time: i64,
    at: u64,
}

impl Run {
    /// Parses a `trun`. Calls `sample` with each of its samples.
    fn read(
        &mut self,
        mut trun: Bytes<'_>,
        base: u64,
        defaults: &Defaults,
        budget: &mut u32,
        mut sample: impl FnMut(Entry),
    ) -> Option<()> {
        const NOT_SYNC: u32 = 0x1_0000;
        const DEPENDS: u32 = 0x100_0000;
        let (_, flags) = trun.full()?;
        let count = trun.u32()?;
        if flags & 1 != 0 {
            self.at = base.saturating_add_signed(i64::from(trun.i32()?));
        }
        let mut first_flags = if flags & 4 != 0 { Some(trun.u32()?) } else { None };
        for _ in 0..count {
            *budget = budget.checked_sub(1)?;
            let duration = if flags & 0x100 != 0 { trun.u32()? } else { defaults.duration };
            let size = if flags & 0x200 != 0 { trun.u32()? } else { defaults.size };
            let own = if flags & 0x400 != 0 { Some(trun.u32()?) } else { None };
            // Signed in version 1 only, but some files of version 0 have negative offsets.
            let offset = if flags & 0x800 != 0 { trun.i32()? } else { 0 };
            let about = first_flags.take().or(own).unwrap_or(defaults.flags);
            let (duration, size) = (i64::from(duration), u64::from(size));
            let pts = self.time.saturating_add(i64::from(offset));
            let key = about & (NOT_SYNC | DEPENDS) == 0;
            sample(Entry { dts: self.time, pts, duration, key, offset: self.at, size });
            self.time = self.time.saturating_add(duration);
            self.at = self.at.saturating_add(size);
        }
        Some(())
    }
}

/// A point of a fragment index: time in nanoseconds by the index's own count, and offset of the
/// fragment.
pub(super) type Fragment = (i64, u64);

/// The content of a `sidx`.
#[derive(Debug, Default)]
pub(super) struct Segments {
    pub(super) track: u32,
    /// Fragments that begin with a keyframe.
    pub(super) fragments: Vec<Fragment>,
    /// Other `sidx` boxes that it refers to.
    pub(super) indexes: Vec<Range<u64>>,
    /// Time and offset at which its last segment ends.
    pub(super) ends: (i64, u64),
}

impl Segments {
    /// Parses the body of a `sidx` that ends at an offset. Its references count from there.
    pub(super) fn read(body: &[u8], end: u64) -> Option<Segments> {
        let mut fields = Bytes(body);
        let (version, _) = fields.full()?;
        let mut segments = Segments { track: fields.u32()?, ..Segments::default() };
        let timescale = fields.u32()?;
        let mut ticks = i64::try_from(fields.wide(version)?).ok()?;
        let mut at = end.saturating_add(fields.wide(version)?);
        fields.u16()?;
        for _ in 0..fields.u16()? {
            let (reference, duration, sap) = (fields.u32()?, fields.u32()?, fields.u32()?);
            let size = u64::from(reference & 0x7fff_ffff);
            if reference >> 31 == 1 {
                segments.indexes.push(at..at.saturating_add(size));
            } else if sap >> 31 == 1 {
                segments.fragments.push((nanoseconds(ticks, timescale), at));
            }
            ticks = ticks.saturating_add(i64::from(duration));
            at = at.saturating_add(size);
        }
        segments.ends = (nanoseconds(ticks, timescale), at);
        Some(segments)
    }
}

/// Returns the keyframes of a track that an `mfra` names. Its times are those of the media;
/// `presentation` converts them to those of the film.
pub(super) fn random_access(body: &[u8], track: u32, timescale: u32, presentation: &Presentation) -> Vec<Fragment> {
    let mut found = Vec::new();
    for (kind, fields) in inside(Bytes(body)) {
        if &kind == b"tfra" {
            tfra(fields, track, |ticks, at| found.push((presentation.shown_last(nanoseconds(ticks, timescale)), at)));
        }
    }
    found.retain(|(time, _)| time.abs() < MAX_NS);
    found
}

fn tfra(mut fields: Bytes<'_>, track: u32, mut point: impl FnMut(i64, u64)) -> Option<()> {
    let (version, _) = fields.full()?;
    if fields.u32()? != track {
        return None;
    }
    let lengths = fields.u32()?;
    let numbers = [lengths >> 4 & 3, lengths >> 2 & 3, lengths & 3].iter().map(|length| *length as usize + 1).sum();
    for _ in 0..fields.u32()? {
        let (time, at) = (fields.wide(version)?, fields.wide(version)?);
        fields.take(numbers)?;
        point(i64::try_from(time).ok()?, at);
    }
    Some(())
}

/// Finds the start of a `moof` in bytes, by its kind and the `mfhd` of fixed size that it begins
/// with.
pub(super) fn find_moof(bytes: &[u8]) -> Option<usize> {
    const MARK: &[u8; 12] = b"moof\0\0\0\x10mfhd";
    // Most stretches lack this letter and are skipped quickly.
    const STRETCH: usize = 64;
    let mut starts = bytes.chunks(STRETCH).enumerate().filter(|(_, stretch)| stretch.contains(&MARK[0]));
    starts.find_map(|(i, stretch)| {
        let at = (i * STRETCH..i * STRETCH + stretch.len()).find(|at| *at >= 4 && bytes[*at..].starts_with(MARK))?;
        Some(at - 4)
    })
}

/// A box met while stepping over fragments, with its end.
pub(super) enum Hop<T = Moof> {
    Moof(T, u64),
    /// Some other box, which ends at this offset.
    Other(u64),
    /// The end of the file, or bytes that cannot be a box.
    End,
}

/// Reads the box at an offset, and parses a `moof`.
pub(super) fn hop(held: &Held, at: u64, tracks: &Tracks, wants: &mut Vec<Range<u64>>) -> Result<Option<Hop>, String> {
    Ok(hop_over(held, at, wants)?.map(|hop| match hop {
        Hop::Moof(body, end) => Hop::Moof(tracks.moof(at, body), end),
        Hop::Other(next) => Hop::Other(next),
        Hop::End => Hop::End,
    }))
}

/// Reads the box at an offset, and all of it if it is a `moof`.
pub(super) fn hop_over<'a>(
    held: &'a Held,
    at: u64,
    wants: &mut Vec<Range<u64>>,
) -> Result<Option<Hop<&'a [u8]>>, String> {
    if held.size().saturating_sub(at) < 8 {
        return Ok(Some(Hop::End));
    }
    let Some(place) = super::boxes::header(held, at, held.size(), wants)? else { return Ok(None) };
    if &place.kind != b"moof" {
        return Ok(Some(if place.body.end >= held.size() { Hop::End } else { Hop::Other(place.body.end) }));
    }
    if place.body.end - place.start > MAX_MOOF_BYTES || place.body.end > held.size() {
        return Err(format!("has a {} of {} bytes", name(place.kind), place.body.end - place.start));
    }
    let body = held.get(place.body.clone());
    if body.is_none() {
        wants.push(place.body.clone());
    }
    Ok(body.map(|body| Hop::Moof(body, place.body.end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fragment_is_found_wherever_it_begins() {
        for before in 0..200 {
            let bytes = [vec![b'm'; before], b"\0\0\0\x50moof\0\0\0\x10mfhd\0".to_vec(), vec![0; 99]].concat();
            assert_eq!(find_moof(&bytes), Some(before));
            assert_eq!(find_moof(&bytes[..before + 15]), None);
        }
        assert_eq!(find_moof(b"moof\0\0\0\x10mfhd"), None);
    }
}
