//! The `moov` box: the tracks, and the positions of their tables. `tables` reads the tables
//! themselves.

use super::boxes::{Place, Wants, body, child, children};
use super::bytes::Bytes;
use super::edits::{Edit, MAX_EDITS, Presentation, nanoseconds};
use super::stsd::describe;
use crate::held::Held;
use crate::timeline::{Track, TrackKind};
use std::ops::Range;

/// Most tracks whose tables are read. A film with all its languages has a few dozen.
const MAX_TRACKS: usize = 64;

/// Bytes read of a sample description. Parameter sets take a hundred, the headers of Vorbis some
/// thousand.
const STSD_BYTES: u64 = 16 << 10;

/// Bytes read of a box with a few fields, such as headers and names.
const FIELDS_BYTES: u64 = 256;

/// The content of a `moov`.
#[derive(Debug, Default)]
pub(super) struct Movie {
    timescale: u32,
    /// Duration including fragments in nanoseconds, if `mehd` states it.
    pub(super) extended_ns: Option<i64>,
    pub(super) traks: Vec<Trak>,
    /// Whether fragments follow (an `mvex` is present).
    pub(super) fragmented: bool,
}

/// A track and the positions of its tables.
#[derive(Debug, Default)]
pub(super) struct Trak {
    pub(super) id: u32,
    pub(super) enabled: bool,
    pub(super) about: Track,
    /// Codec configuration; see [`TrackSetup`](crate::TrackSetup).
    pub(super) config: Vec<u8>,
    /// Largest ticks by which a sample is shown before its decoding time in the tables, which some
    /// files have.
    pub(super) early: i64,
    pub(super) timescale: u32,
    /// Duration of the media in ticks, without edits; 0 if not stated.
    duration: u64,
    edits: Vec<Edit>,
    pub(super) times: Table,
    pub(super) offsets: Table,
    pub(super) syncs: Option<Table>,
    pub(super) chunks: Table,
    pub(super) sizes: Sizes,
    pub(super) places: Table,
    /// Defaults for its fragments.
    pub(super) defaults: Defaults,
}

/// The position of a table's entries in the file.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub(super) entries: Range<u64>,
    /// Length of an entry in bytes.
    pub(super) width: u64,
}

impl Table {
    pub(super) fn len(&self) -> u64 {
        (self.entries.end - self.entries.start) / self.width.max(1)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.entries.end - self.entries.start
    }
}

/// The samples' sizes: their number, and either one size for all or a table.
#[derive(Clone, Debug, Default)]
pub(super) struct Sizes {
    pub(super) count: u64,
    pub(super) constant: u64,
    pub(super) table: Table,
}

/// Values for samples of fragments that do not state their own.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Defaults {
    pub(super) duration: u32,
    pub(super) size: u32,
    pub(super) flags: u32,
}

impl Movie {
    /// Reads the available part. The result is complete if nothing was wanted.
    pub(super) fn read(held: &Held, range: Range<u64>, wants: &mut Wants) -> Result<Movie, String> {
        let places = children(held, range, wants)?;
        if child(&places, *b"cmov").is_some() {
            return Err("is compressed, which only old QuickTime files are".into());
        }
        let mut movie = Movie::default();
        if let Some(mut fields) = child(&places, *b"mvhd").and_then(|place| body(held, place, FIELDS_BYTES, wants)) {
            movie.timescale = times(&mut fields).map(|(timescale, _)| timescale).unwrap_or_default();
        }
        for place in places.iter().filter(|place| &place.kind == b"trak").take(MAX_TRACKS) {
            if let Some(trak) = Trak::read(held, place.body.clone(), wants)? {
                movie.traks.push(trak);
            }
        }
        if let Some(place) = child(&places, *b"mvex") {
            movie.fragmented = true;
            for place in children(held, place.body.clone(), wants)? {
                if let Some(fields) = body(held, &place, FIELDS_BYTES, wants) {
                    movie.extend(place.kind, fields);
                }
            }
        }
        Ok(movie)
    }

    /// Takes a box of `mvex`.
    fn extend(&mut self, kind: [u8; 4], mut fields: Bytes<'_>) -> Option<()> {
        let (version, _) = fields.full()?;
        match &kind {
            b"mehd" => {
                let ticks = i64::try_from(fields.wide(version)?).ok()?;
                self.extended_ns = Some(nanoseconds(ticks, self.timescale)).filter(|ns| *ns > 0);
            }
            b"trex" => {
                let id = fields.u32()?;
                fields.u32()?;
                let (duration, size, flags) = (fields.u32()?, fields.u32()?, fields.u32()?);
                let defaults = Defaults { duration, size, flags };
                self.traks.iter_mut().filter(|trak| trak.id == id).for_each(|trak| trak.defaults = defaults);
            }
            _ => {}
        }
        Some(())
    }

    /// Returns the presentation of a track.
    pub(super) fn presentation(&self, trak: &Trak) -> Presentation {
        Presentation::new(&trak.edits, self.timescale, trak.timescale)
    }

    /// Returns the track whose keyframes are used: the first enabled video track, else the first
    /// video track, else the same of audio.
    pub(super) fn main(&self) -> Option<usize> {
        let first = |kind: TrackKind, enabled: bool| {
            let plays = |trak: &Trak| trak.about.kind == kind && (trak.enabled || !enabled);
            self.traks.iter().position(plays)
        };
        let of = |kind| first(kind, true).or_else(|| first(kind, false));
        of(TrackKind::Video).or_else(|| of(TrackKind::Audio))
    }
}

impl Trak {
    /// Reads a track. Returns `None` if a mandatory part of it is missing or not available yet.
    fn read(held: &Held, range: Range<u64>, wants: &mut Wants) -> Result<Option<Trak>, String> {
        let mut trak = Trak::default();
        let places = children(held, range, wants)?;
        if let Some(fields) = child(&places, *b"tkhd").and_then(|place| body(held, place, FIELDS_BYTES, wants)) {
            trak.header(fields);
        }
        if let Some(edts) = child(&places, *b"edts") {
            let edits = children(held, edts.body.clone(), wants)?;
            const MOST: u64 = 8 + 20 * MAX_EDITS as u64;
            if let Some(fields) = child(&edits, *b"elst").and_then(|place| body(held, place, MOST, wants)) {
                trak.edit(fields);
            }
        }
        if let Some(udta) = child(&places, *b"udta") {
            let about = children(held, udta.body.clone(), wants)?;
            if let Some(title) = child(&about, *b"name").and_then(|place| body(held, place, FIELDS_BYTES, wants)) {
                trak.about.title = Some(text(title.0)).filter(|title| !title.is_empty());
            }
        }
        let Some(mdia) = child(&places, *b"mdia") else { return Ok(None) };
        let media = children(held, mdia.body.clone(), wants)?;
        if let Some(mut fields) = child(&media, *b"mdhd").and_then(|place| body(held, place, FIELDS_BYTES, wants)) {
            (trak.timescale, trak.duration) = times(&mut fields).unwrap_or_default();
            trak.about.language = fields.u16().and_then(language);
        }
        if let Some(mut fields) = child(&media, *b"elng").and_then(|place| body(held, place, FIELDS_BYTES, wants)) {
            let said = fields.full().map(|_| text(fields.0));
            trak.about.language = said.filter(|language| !language.is_empty()).or(trak.about.language.take());
        }
        if let Some(fields) = child(&media, *b"hdlr").and_then(|place| body(held, place, FIELDS_BYTES, wants)) {
            trak.about.kind = match fields.0.get(8..12) {
                Some(b"vide") => TrackKind::Video,
                Some(b"soun") => TrackKind::Audio,
                Some(b"sbtl" | b"subt" | b"text" | b"clcp" | b"subp") => TrackKind::Subtitle,
                _ => TrackKind::Other,
            };
        }
        let Some(minf) = child(&media, *b"minf") else { return Ok(None) };
        let information = children(held, minf.body.clone(), wants)?;
        let Some(stbl) = child(&information, *b"stbl") else { return Ok(None) };
        for place in children(held, stbl.body.clone(), wants)? {
            trak.table(held, &place, wants)?;
        }
        Ok(Some(trak))
    }

    fn header(&mut self, mut fields: Bytes<'_>) -> Option<()> {
        const ENABLED: u32 = 1;
        let (version, flags) = fields.full()?;
        self.enabled = flags & ENABLED != 0;
        fields.take(if version == 0 { 8 } else { 16 })?;
        self.id = fields.u32()?;
        Some(())
    }

    fn edit(&mut self, mut fields: Bytes<'_>) -> Option<()> {
        let (version, _) = fields.full()?;
        let count = fields.u32()?;
        // The available bytes end the loop, whatever the count is.
        for _ in 0..count.min(MAX_EDITS as u32) {
            let duration = fields.wide(version)?;
            let media_time = if version == 0 { i64::from(fields.i32()?) } else { fields.u64()? as i64 };
            fields.u32()?;
            self.edits.push(Edit { duration, media_time: (media_time >= 0).then_some(media_time) });
        }
        Some(())
    }

    /// Takes a box of `stbl`. Only the count of a table is read, limited to the length of the box.
    fn table(&mut self, held: &Held, place: &Place, wants: &mut Wants) -> Result<(), String> {
        const FULL: u64 = 4;
        const COUNT: u64 = 8;
        let read = |most, wants: &mut Wants| body(held, place, most, wants);
        let counted = |count: u32, start: u64, width: u64| {
            let start = (place.body.start + start).min(place.body.end);
            let most = (place.body.end - start) / width;
            Table { entries: start..start + most.min(u64::from(count)) * width, width }
        };
        let entries = |width: u64, wants: &mut Wants| {
            let mut fields = read(COUNT, wants)?;
            fields.take(FULL as usize)?;
            Some(counted(fields.u32()?, COUNT, width))
        };
        match &place.kind {
            b"stsd" => {
                if let Some(mut fields) = read(STSD_BYTES, wants) {
                    fields.take(COUNT as usize).and_then(|_| describe(fields, &mut self.about, &mut self.config));
                }
            }
            b"stts" => self.times = entries(8, wants).unwrap_or_default(),
            b"ctts" => self.offsets = entries(8, wants).unwrap_or_default(),
            b"stss" => self.syncs = entries(4, wants),
            b"stsc" => self.chunks = entries(12, wants).unwrap_or_default(),
            b"stco" => self.places = entries(4, wants).unwrap_or_default(),
            b"co64" => self.places = entries(8, wants).unwrap_or_default(),
            b"stsz" => {
                if let Some((size, count)) = read(12, wants).and_then(|mut b| Some((b.u32().and(b.u32())?, b.u32()?))) {
                    let table = if size == 0 { counted(count, 12, 4) } else { Table::default() };
                    let count = if size == 0 { table.len() } else { u64::from(count) };
                    self.sizes = Sizes { count, constant: u64::from(size), table };
                }
            }
            b"stz2" => {
                if let Some((width, count)) = read(12, wants).and_then(|mut b| Some((b.u32().and(b.u32())?, b.u32()?)))
                {
                    let width = match width & 0xff {
                        8 => 1,
                        16 => 2,
                        _ => return Err("has sizes of half a byte, which no film has".into()),
                    };
                    let table = counted(count, 12, width);
                    self.sizes = Sizes { count: table.len(), constant: 0, table };
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Returns the duration of its media in nanoseconds according to `mdhd`; `None` if unknown.
    pub(super) fn media_ns(&self) -> Option<i64> {
        let known = self.duration != 0 && self.duration != u64::from(u32::MAX) && self.duration != u64::MAX;
        known.then(|| nanoseconds(i64::try_from(self.duration).unwrap_or(i64::MAX), self.timescale))
    }

    pub(super) fn plays(&self) -> bool {
        matches!(self.about.kind, TrackKind::Video | TrackKind::Audio)
    }
}

/// Reads timescale and duration of an `mvhd` or `mdhd`.
fn times(fields: &mut Bytes<'_>) -> Option<(u32, u64)> {
    let (version, _) = fields.full()?;
    fields.take(if version == 0 { 8 } else { 16 })?;
    Some((fields.u32()?, fields.wide(version)?))
}

/// Decodes ISO 639-2 in three times five bits, or one of QuickTime's numbers, of which only the
/// first are known here.
fn language(packed: u16) -> Option<String> {
    const QUICKTIME: [&str; 12] = ["eng", "fra", "ger", "ita", "dut", "sve", "spa", "dan", "por", "nor", "heb", "jpn"];
    if packed < 0x400 {
        return QUICKTIME.get(usize::from(packed)).map(|language| (*language).to_owned());
    }
    let letter = |shift: u16| char::from((packed >> shift & 0x1f) as u8 + 0x60);
    let language: String = [10, 5, 0].into_iter().map(letter).collect();
    (language.bytes().all(|letter| letter.is_ascii_lowercase()) && language != "und").then_some(language)
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).trim().to_owned()
}
