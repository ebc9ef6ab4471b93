//! Ogg (RFC 3533): the granule of the last page gives the length; bisection over granules finds a
//! time ([`seek`]).
//!
//! A file may carry several logical streams at once, identified by serial numbers. Several groups
//! of streams may follow one another in a chain, as in recorded radio; each group counts its
//! granules separately. Two links of a chain with the same serial numbers, which the standard
//! forbids, are treated as one.

pub(crate) mod codec;
mod headers;
pub(crate) mod page;
mod samples;
mod seek;

use crate::comments;
use crate::container::Container;
use crate::held::{Held, Step, Stop, Walk};
use crate::samples::TrackSetup;
use crate::timeline::{Accuracy, Keyframe, Timeline, Track, TrackKind};
use codec::{Codec, FIRST_PACKET_BYTES};
use headers::{Headers, Lengths};
use page::{MAX_FALSE, MAX_HEADER_BYTES, MAX_PAGE_BYTES, Page, scan};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Bytes requested at a page: its header, the start of its packets, and small pages after it.
const PEEK: u64 = 4 << 10;

/// Most pages read before the first one with audio or video. Where comments hold cover art, they
/// have 64 KiB each.
const MAX_HEAD_PAGES: u32 = 192;

/// Most concurrent logical streams: a film with a few languages.
const MAX_STREAMS: usize = 16;

/// Most links of a chain: an album. Each costs about twenty reads of the file.
const MAX_LINKS: usize = 32;

/// Least and most bytes read at the end of a file or link. The last audio page may lie before many
/// video pages.
const TAIL: Range<u64> = 64 << 10..1 << 20;

/// Most bytes read to find the boundaries of a chain. An album needs a tenth of this.
const MAX_BYTES: u64 = 32 << 20;

/// Size in bytes of the range in which the boundary between two links is searched for page by page.
const BORDER: u64 = 192 << 10;

/// Longest duration that a file may claim: 1,000 hours. That is a thousandth of the value that a
/// flipped bit makes of a granule.
const MAX_NANOS: i128 = 1000 * 3600 * 1_000_000_000;

/// A logical stream.
#[derive(Clone, Debug)]
struct Stream {
    serial: u32,
    /// `None` for a stream that has no timing, or none that is supported.
    codec: Option<Codec>,
    /// Header packets still expected, and those that were read while the head of its link is.
    headers: u32,
    head: Headers,
    /// The track to which its packets belong, and their lengths. `None` if its samples cannot be
    /// read.
    reading: Option<(usize, Lengths)>,
    /// Packets of audio or video so far, and the units in them, while the first granule is searched
    /// for.
    units: u64,
}

impl Stream {
    /// Returns the set-up of its decoder.
    fn setup(&self) -> TrackSetup {
        let config = self.codec.as_ref().and_then(|codec| self.head.config(codec)).unwrap_or_default();
        let timescale = self.codec.as_ref().and_then(|codec| u32::try_from(codec.units).ok()).unwrap_or(1).max(1);
        TrackSetup { config, timescale, in_band: None }
    }

    /// Returns what streams must have in common for one decoder. Empty if it has none.
    fn key(&self) -> Vec<u8> {
        self.codec.as_ref().map(|codec| self.head.key(codec)).unwrap_or_default()
    }
}

/// Concurrent logical streams, from their first pages to their last.
#[derive(Clone, Debug)]
struct Link {
    streams: Vec<Stream>,
    /// Index of the stream whose keyframes are used: the first video stream, else the first audio
    /// stream.
    main: usize,
    /// From the first page of audio or video to the end.
    bytes: Range<u64>,
    /// The main stream's first such page.
    first: u64,
    /// The file's own timestamp of the first picture or sound, in nanoseconds.
    origin: i128,
    /// The time at which it is played.
    time: Duration,
    duration: Duration,
}

impl Link {
    fn codec(&self) -> Option<&Codec> {
        self.streams.get(self.main)?.codec.as_ref()
    }

    fn has(&self, serial: u32) -> bool {
        self.streams.iter().any(|s| s.serial == serial)
    }

    fn codec_of(&self, serial: u32) -> Option<&Codec> {
        self.streams.iter().find(|s| s.serial == serial)?.codec.as_ref()
    }

    /// Converts the file's own timestamp to a time.
    fn time_at(&self, nanos: i128) -> Duration {
        let into = u64::try_from((nanos - self.origin).max(0)).map_or(self.duration, Duration::from_nanos);
        self.time + into.min(self.duration)
    }

    /// Converts a time of this link to the file's own timestamp.
    fn nanos_at(&self, time: Duration) -> i128 {
        time.saturating_sub(self.time).as_nanos() as i128 + self.origin
    }

    /// Computes the length from the last known pages. `None` if none of them belongs to the main
    /// stream.
    fn measure(&mut self, pages: &[Page]) -> Option<Result<(), String>> {
        let main = self.streams[self.main].serial;
        pages.iter().find(|page| page.serial == main && page.granule.is_some())?;
        let end = |page: &Page| {
            let codec = self.codec_of(page.serial)?;
            Some(codec.nanos(i128::from(codec.done(page.granule?))))
        };
        let end = pages.iter().filter_map(end).max()? - self.origin;
        if !(1..=MAX_NANOS).contains(&end) {
            return Some(Err("has granules that run backwards or beyond a thousand hours".into()));
        }
        self.duration = Duration::from_nanos(end as u64);
        Some(Ok(()))
    }
}

/// A walk over the first pages, the last ones, and the boundaries of a chain's links.
#[derive(Debug)]
pub(crate) struct Index {
    links: Vec<Link>,
    tracks: Vec<Track>,
    setups: Vec<TrackSetup>,
    /// What the streams of other links must have in common with each track.
    keys: Vec<Vec<u8>>,
    phase: Phase,
    doubts: u32,
    /// Bytes read to find boundaries.
    bytes: u64,
}

#[derive(Debug)]
enum Phase {
    /// At the first pages of a link. Pages of audio or video begin at `data`, once known.
    Head { at: u64, pages: u32, streams: Vec<Stream>, data: Option<u64> },
    /// At the end of the file, with this many bytes of it.
    Tail { bytes: u64 },
    /// Between a page of the last known link and one of a later link.
    Border { low: u64, high: u64, window: u64 },
    /// At the end of the last known link.
    End { at: u64, bytes: u64 },
}

impl Default for Index {
    fn default() -> Index {
        let (tracks, setups, keys) = (Vec::new(), Vec::new(), Vec::new());
        Index { links: Vec::new(), tracks, setups, keys, phase: Phase::head(0), doubts: MAX_FALSE, bytes: 0 }
    }
}

impl Phase {
    fn head(at: u64) -> Phase {
        Phase::Head { at, pages: 0, streams: Vec::new(), data: None }
    }
}

/// The result of one part of the walk: continue, or finish.
type Progress = Result<Option<Timeline>, Stop>;

impl Index {
    /// Reads one page of the head.
    fn head(&mut self, held: &Held) -> Progress {
        let Phase::Head { at, pages, streams, data } = &mut self.phase else { return Ok(None) };
        let here = *at;
        let Some(bytes) = held.get(here..here + MAX_HEADER_BYTES + FIRST_PACKET_BYTES) else {
            return Err(Stop::need(here..here + PEEK));
        };
        if bytes.is_empty() {
            return Err(Stop::failed("has no page of sound or pictures whose granule could tell its time"));
        }
        let Some(page) = Page::parse(bytes, here) else {
            return Err(Stop::failed("has something else where a page of its head should be"));
        };
        let packet = &bytes[((page.body - here) as usize).min(bytes.len())..];
        if let Some(stream) = streams.iter_mut().find(|s| s.serial == page.serial && s.headers > 0) {
            stream.head.take(held, &page, bytes)?;
        }
        (*at, *pages) = (page.end, *pages + 1);
        if *pages > MAX_HEAD_PAGES {
            return Err(Stop::failed(format!(
                "has more than {MAX_HEAD_PAGES} pages before its first sound or picture"
            )));
        }
        if page.first && data.is_none() && !streams.iter().any(|s| s.serial == page.serial) {
            if streams.len() == MAX_STREAMS {
                return Err(Stop::failed(format!("has more than {MAX_STREAMS} logical streams")));
            }
            let packet = &packet[..packet.len().min((page.end - page.body) as usize)];
            let codec = Codec::parse(packet);
            let headers = codec.as_ref().map_or(0, |c| c.headers).saturating_sub(page.packets);
            let mut head = Headers::default();
            head.take(held, &page, bytes)?;
            streams.push(Stream { serial: page.serial, codec, headers, head, reading: None, units: 0 });
            return Ok(None);
        }
        let Some(stream) = streams.iter_mut().find(|s| s.serial == page.serial) else {
            // The page belongs to the next link or to none: the head is over.
            return self.close_head(None);
        };
        let Some(codec) = &mut stream.codec else { return Ok(None) };
        if stream.headers > 0 {
            if stream.headers + 1 == codec.headers && codec.track.title.is_none() {
                let here = held.from(page.body).unwrap_or_default();
                let here = &here[..here.len().min((page.end - page.body) as usize)];
                comments::read(here.get(codec.comments_at..).unwrap_or_default(), &mut codec.track);
            }
            stream.headers = stream.headers.saturating_sub(page.packets);
            return Ok(None);
        }
        data.get_or_insert(here);
        stream.units = stream.units.saturating_add(codec.packet_units(packet).saturating_mul(u64::from(page.packets)));
        let serial = page.serial;
        let main = main(streams);
        if main.is_some_and(|main| streams[main].serial == serial) && page.granule.is_some() {
            return self.close_head(Some(page));
        }
        Ok(None)
    }

    /// Creates a link from the head; `page` is the main stream's first with a granule.
    fn close_head(&mut self, page: Option<Page>) -> Progress {
        let Phase::Head { at, streams, data, .. } = &mut self.phase else { return Ok(None) };
        let Some(main) = main(streams) else {
            return Err(Stop::failed("carries no stream whose time is known (Vorbis, Opus, FLAC, Speex or Theora)"));
        };
        let Some(codec) = &streams[main].codec else { return Ok(None) };
        // A stream cut from a longer one does not begin with 0. One that ends at once may be
        // shorter than its packets.
        let start = match page.and_then(|page| Some((page, page.granule?))) {
            Some((page, granule)) if !page.last => i128::from(codec.done(granule)) - i128::from(streams[main].units),
            _ => 0,
        };
        // Only Speex has its silence before 0.
        let start = if codec.track.codec == "speex" { start } else { start.max(0) };
        let origin = codec.nanos(start + i128::from(codec.skipped));
        let first = page.map_or(*at, |page| page.offset);
        let bytes = data.unwrap_or(first)..first;
        let time = self.links.last().map_or(Duration::ZERO, |link| link.time + link.duration);
        let mut streams = std::mem::take(streams);
        self.set_up(&mut streams);
        self.links.push(Link { streams, main, bytes, first, origin, time, duration: Duration::ZERO });
        self.phase = Phase::Tail { bytes: TAIL.start };
        Ok(None)
    }

    /// Assigns the streams of a link to tracks: those of the first link are the tracks. Others
    /// continue them where one decoder can read both.
    fn set_up(&mut self, streams: &mut [Stream]) {
        if self.links.is_empty() {
            let unknown = || Track { codec: "unknown".into(), ..Track::default() };
            self.tracks = streams.iter().map(|s| s.codec.as_ref().map_or_else(unknown, |c| c.track.clone())).collect();
            self.setups = streams.iter().map(Stream::setup).collect();
            self.keys = streams.iter().map(Stream::key).collect();
        }
        let mut taken = vec![false; self.keys.len()];
        for stream in streams {
            let key = stream.key();
            let track = self.keys.iter().zip(&taken).position(|(of, taken)| !taken && *of == key);
            let lengths = stream.codec.as_ref().and_then(|codec| stream.head.lengths(codec));
            stream.reading = track.zip(lengths);
            track.into_iter().for_each(|track| taken[track] = true);
            stream.head = Headers::default();
        }
    }

    /// Reads the end of the file. It belongs to the last link, or there are more links.
    fn tail(&mut self, held: &Held) -> Progress {
        let (Phase::Tail { bytes }, Some(link)) = (&mut self.phase, self.links.last_mut()) else { return Ok(None) };
        let window = held.size().saturating_sub(*bytes).max(link.bytes.start)..held.size();
        let Some(tail) = held.get(window.clone()) else { return Err(Stop::need(window)) };
        let pages = scan(tail, window.start, window.start == link.bytes.start, &mut self.doubts);
        if let Some(other) = pages.iter().find(|page| !link.has(page.serial)) {
            self.phase = Phase::Border { low: link.bytes.start, high: other.offset, window: PEEK << 2 };
            return Ok(None);
        }
        match link.measure(&pages) {
            Some(Ok(())) => {
                link.bytes.end = held.size();
                Ok(Some(self.timeline(held.size())))
            }
            Some(Err(why)) => Err(Stop::failed(why)),
            None if window.start == link.bytes.start => {
                Err(Stop::failed("has no page whose granule tells how long it is"))
            }
            None if *bytes >= TAIL.end => {
                Err(Stop::failed(format!("has no page of its main stream in its last {} KiB", TAIL.end >> 10)))
            }
            None => {
                *bytes *= 4;
                Ok(None)
            }
        }
    }

    /// Halves the range in which a link ends.
    fn border(&mut self, held: &mut Held) -> Progress {
        let (Phase::Border { low, high, window }, Some(link)) = (&mut self.phase, self.links.last_mut()) else {
            return Ok(None);
        };
        let near = *high - *low <= BORDER;
        let from = if near { *low } else { *low + (*high - *low) / 2 };
        let range = if near { from..*high + MAX_HEADER_BYTES } else { from..from + *window };
        let Some(bytes) = held.get(range.clone()) else { return Err(Stop::need(range)) };
        self.bytes += range.end - range.start;
        let pages = scan(bytes, from, near, &mut self.doubts);
        let other = pages.iter().position(|page| !link.has(page.serial));
        if near || other.is_some_and(|other| other > 0) {
            link.bytes.end = other.map_or(*high, |other| pages[other].offset);
            self.phase = Phase::End { at: link.bytes.end, bytes: TAIL.start };
        } else if let Some(page) = pages.last().filter(|_| other.is_none()) {
            *low = page.offset;
            *window = PEEK << 2;
        } else if other.is_some() {
            *high = pages[0].offset;
            *window = PEEK << 2;
        } else if *window < 2 * MAX_PAGE_BYTES {
            *window = 2 * MAX_PAGE_BYTES + 1;
        } else {
            return Err(Stop::failed("is a chain with a stretch of damage between its links"));
        }
        held.forget_before(held.size());
        Ok(None)
    }

    /// Measures a link that is followed by others, and continues with the next.
    fn end(&mut self, held: &mut Held) -> Progress {
        let (Phase::End { at, bytes }, Some(link)) = (&mut self.phase, self.links.last_mut()) else { return Ok(None) };
        let window = at.saturating_sub(*bytes).max(link.bytes.start)..*at;
        let Some(tail) = held.get(window.clone()) else { return Err(Stop::need(window)) };
        let pages = scan(tail, window.start, window.start == link.bytes.start, &mut self.doubts);
        match link.measure(&pages) {
            Some(Err(why)) => return Err(Stop::failed(why)),
            None if window.start > link.bytes.start && *bytes < TAIL.end => {
                *bytes *= 4;
                return Ok(None);
            }
            // A link of headers alone has no duration.
            Some(Ok(())) | None => {}
        }
        if self.links.len() == MAX_LINKS || self.bytes > MAX_BYTES {
            return Ok(Some(self.rest(held.size())));
        }
        self.phase = Phase::head(*at);
        held.forget_before(held.size());
        Ok(None)
    }

    fn timeline(&mut self, size: u64) -> Timeline {
        let duration = self.links.last().map_or(Duration::ZERO, |link| link.time + link.duration);
        let keyframe = |link: &Link| Keyframe { time: link.time, offset: link.first, from: link.bytes.start };
        let keyframes = self.links.iter().filter(|link| link.first < link.bytes.end).map(keyframe).collect();
        let origin_us = self.links.first().map_or(0, |link| (link.origin / 1000) as i64);
        let links = Arc::new(std::mem::take(&mut self.links));
        Timeline::new(Container::Ogg, size, duration, keyframes)
            .with_origin_us(origin_us)
            .with_tracks(std::mem::take(&mut self.tracks))
            .with_source(samples::Film::new(links.clone(), std::mem::take(&mut self.setups)))
            .with_search(Arc::new(seek::Links(links)))
    }

    /// Returns the timeline of a chain that is too long, extrapolated from the known links.
    fn rest(&mut self, size: u64) -> Timeline {
        let known = self.links.last().map_or(0, |link| link.bytes.end);
        let duration = self.links.last().map_or(Duration::ZERO, |link| link.time + link.duration);
        let duration = duration.mul_f64(size as f64 / known.max(1) as f64);
        let why =
            format!("the Ogg file is a chain of more than {MAX_LINKS} links, or its links are hard to tell apart");
        Timeline::new(Container::Ogg, size, duration, Vec::new())
            .with_tracks(std::mem::take(&mut self.tracks))
            .with_accuracy(Accuracy::Estimate { why })
    }
}

/// Returns the stream whose keyframes are used.
fn main(streams: &[Stream]) -> Option<usize> {
    let of = |kind| streams.iter().position(|s| s.codec.as_ref().is_some_and(|c| c.track.kind == kind));
    of(TrackKind::Video).or_else(|| of(TrackKind::Audio))
}

impl Walk for Index {
    type Found = Timeline;

    fn step(&mut self, held: &mut Held) -> Step<Timeline> {
        loop {
            let progress = match self.phase {
                Phase::Head { .. } => self.head(held),
                Phase::Tail { .. } => self.tail(held),
                Phase::Border { .. } => self.border(held),
                Phase::End { .. } => self.end(held),
            };
            match progress {
                Ok(None) => {}
                Ok(Some(timeline)) => return Step::Done(timeline),
                Err(stop) => return stop.into(),
            }
        }
    }
}
