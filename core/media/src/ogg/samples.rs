//! Samples of an Ogg file: the packets of its logical streams, page by page.

use super::codec::Codec;
use super::headers::Lengths;
use super::page::{MAX_HEADER_BYTES, Page};
use super::{Link, Stream};
use crate::held::{Held, Stop};
use crate::samples::{Demux, MAX_SAMPLE_BYTES, Plan, Sample, Source, Starts, TrackSetup, look};
use std::collections::VecDeque;
use std::sync::Arc;

/// Bytes searched at once for the next page after damage.
const RESYNC: u64 = 64 << 10;

/// Most bytes of damage before the reader gives up. False pages count by their length, as each costs
/// a checksum.
const MAX_DAMAGE: u64 = 16 << 20;

/// What the index knows of the samples of a file.
#[derive(Debug)]
pub(super) struct Film {
    links: Arc<Vec<Link>>,
    setups: Vec<TrackSetup>,
}

impl Film {
    pub(super) fn new(links: Arc<Vec<Link>>, setups: Vec<TrackSetup>) -> Arc<Film> {
        Arc::new(Film { links, setups })
    }
}

impl Source for Film {
    fn setups(&self) -> &[TrackSetup] {
        &self.setups
    }

    fn demux(self: Arc<Self>, starts: Starts) -> Box<dyn Demux> {
        let from = starts.from.from;
        let link = self.links.iter().rposition(|link| link.bytes.start <= from).filter(|_| !starts.whole).unwrap_or(0);
        let start = self.links.get(link).map_or(0, |link| link.bytes.start);
        let at = if starts.whole { start } else { from.max(start) };
        let mut reader = Reader {
            film: self,
            starts,
            link,
            at,
            lost: false,
            patience: MAX_DAMAGE,
            streams: Vec::new(),
            ready: VecDeque::new(),
        };
        reader.open(at == start);
        Box::new(reader)
    }
}

/// A reader of the chosen tracks.
#[derive(Debug)]
struct Reader {
    film: Arc<Film>,
    starts: Starts,
    /// Index of the link that is read.
    link: usize,
    /// Offset of the next page.
    at: u64,
    /// Whether a page is searched for after damage.
    lost: bool,
    /// Bytes of damage until the reader gives up. Good pages restore it.
    patience: u64,
    streams: Vec<Open>,
    ready: VecDeque<Sample>,
}

/// A logical stream that is being read.
#[derive(Debug)]
struct Open {
    serial: u32,
    track: usize,
    codec: Codec,
    lengths: Lengths,
    /// Number of the last page.
    sequence: Option<u32>,
    /// Whether the next page is its first.
    fresh: bool,
    /// A packet that continues on the next page, and the offset of the page on which it begins.
    packet: Option<(u64, Vec<u8>)>,
    /// The unit with which the next packet begins, if known.
    next: Option<i128>,
}

/// A packet of a page, in units.
struct Packet {
    offset: u64,
    data: Vec<u8>,
    units: i128,
}

impl Open {
    fn new(stream: &Stream, fresh: bool) -> Option<Open> {
        let (track, lengths) = stream.reading.clone()?;
        let codec = stream.codec.clone()?;
        Some(Open { serial: stream.serial, track, codec, lengths, sequence: None, fresh, packet: None, next: None })
    }

    /// Takes a page and returns the packets that end on it. At most `room` bytes of a packet are kept
    /// for the next page.
    fn packets(&mut self, page: &Page, bytes: &[u8], room: u64) -> Vec<Packet> {
        if self.sequence.replace(page.sequence).is_some_and(|last| last.wrapping_add(1) != page.sequence) {
            (self.packet, self.next) = (None, None);
            self.lengths.reset();
        }
        if !page.continued {
            self.packet = None;
        }
        let mut whole = Vec::new();
        // The end of a packet whose start is missing belongs to none.
        let mut skip = page.continued && self.packet.is_none();
        for (part, ends) in Page::parts(bytes) {
            if !std::mem::take(&mut skip) {
                let (offset, mut data) = self.packet.take().unwrap_or((page.offset, Vec::new()));
                data.extend_from_slice(bytes.get(part).unwrap_or_default());
                if !ends {
                    self.packet = Some((offset, data)).filter(|(_, data)| data.len() as u64 <= room);
                } else if let Some(units) = self.lengths.next(&data) {
                    whole.push(Packet { offset, data, units: units.into() });
                }
            }
        }
        whole
    }

    /// Returns the unit with which the first of a page's packets begins, and sets that of the next
    /// page. `None` if it is not known.
    fn time(&mut self, page: &Page, packets: &[Packet]) -> Option<i128> {
        let total: i128 = packets.iter().map(|packet| packet.units).sum();
        let done = page.granule.filter(|_| page.packets > 0).map(|granule| i128::from(self.codec.done(granule)));
        // The end of a stream may be cut from its last packet. If it is the first as well, it begins
        // with zero.
        let only = self.fresh && page.last;
        self.fresh &= packets.is_empty();
        let start = self.next.or_else(|| if only { Some(0) } else { Some(done? - total) })?;
        self.next = Some(done.unwrap_or_default().max(start + total));
        Some(start)
    }
}

impl Reader {
    /// Opens the streams of the current link.
    fn open(&mut self, fresh: bool) {
        let streams = self.film.links.get(self.link).map(|link| link.streams.as_slice()).unwrap_or_default();
        let chosen: Vec<usize> = self.starts.tracks().collect();
        let opened = streams.iter().filter_map(|stream| Open::new(stream, fresh));
        self.streams = opened.filter(|open| chosen.contains(&open.track)).collect();
    }

    /// Returns the bytes of a range, which ends with the link.
    fn look<'a>(&self, held: &'a mut Held, bytes: u64) -> Result<&'a [u8], Stop> {
        let end = self.end(held);
        let range = self.at..self.at.saturating_add(bytes).min(end);
        look(held, range, end)
    }

    /// Returns the end of the current link; that of the file past the last one.
    fn end(&self, held: &Held) -> u64 {
        self.film.links.get(self.link).map_or(held.size(), |link| link.bytes.end).min(held.size())
    }

    /// Reads the page at the current position, or searches for the next one.
    fn page(&mut self, held: &mut Held) -> Result<(), Stop> {
        if self.lost {
            let bytes = self.look(held, RESYNC)?;
            let found = bytes.windows(4).position(|magic| magic == b"OggS");
            // The last bytes may begin a page.
            let skipped = found.unwrap_or(bytes.len().saturating_sub(3).max(1)) as u64;
            self.lost = found.is_none();
            self.at += skipped;
            return self.damage(skipped);
        }
        let page = Page::parse(self.look(held, MAX_HEADER_BYTES)?, self.at);
        let Some(page) = page.filter(|page| page.end <= self.end(held)) else { return self.lose(1) };
        let length = page.end - page.offset;
        let bytes = self.look(held, length)?;
        if !page.verified(bytes) {
            return self.lose(length);
        }
        self.at = page.end;
        self.patience = self.patience.saturating_add(length).min(MAX_DAMAGE);
        let film = Arc::clone(&self.film);
        match film.links.get(self.link) {
            Some(link) => self.take(link, &page, bytes),
            None => Ok(()),
        }
    }

    /// Continues behind the start of a false page.
    fn lose(&mut self, cost: u64) -> Result<(), Stop> {
        self.lost = true;
        self.at += 1;
        self.damage(cost)
    }

    fn damage(&mut self, bytes: u64) -> Result<(), Stop> {
        let left = self.patience.checked_sub(bytes);
        self.patience = left.ok_or_else(|| Stop::failed("has no pages after damage"))?;
        Ok(())
    }

    /// Adds the samples of a page.
    fn take(&mut self, link: &Link, page: &Page, bytes: &[u8]) -> Result<(), Stop> {
        let open: u64 = self.streams.iter().flat_map(|stream| &stream.packet).map(|(_, data)| data.len() as u64).sum();
        let Some(stream) = self.streams.iter_mut().find(|stream| stream.serial == page.serial) else { return Ok(()) };
        let own = stream.packet.as_ref().map_or(0, |(_, data)| data.len() as u64);
        let packets = stream.packets(page, bytes, MAX_SAMPLE_BYTES.saturating_sub(open - own));
        let Some(mut unit) = stream.time(page, &packets) else { return Ok(()) };
        let ns = |unit: i128| {
            let ns = stream.codec.nanos(unit) - link.origin + link.time.as_nanos() as i128;
            // What a decoder takes in before the first sound of a link follows the link before.
            let ns = if self.link > 0 { ns.max(link.time.as_nanos() as i128) } else { ns };
            i64::try_from(ns).unwrap_or(i64::MAX)
        };
        let last = packets.len().saturating_sub(1);
        for (n, Packet { offset, data, units }) in packets.into_iter().enumerate() {
            let mut end = unit + units;
            if let Some(granule) = page.granule.filter(|_| page.last && n == last) {
                end = end.min(i128::from(stream.codec.done(granule)).max(unit));
            }
            let (pts_ns, key) = (ns(unit), stream.lengths.is_key(&data));
            let duration_ns = ns(end) - pts_ns;
            unit += units;
            let plan = Plan { track: stream.track, pts_ns, dts_ns: pts_ns, duration_ns, key, offset };
            if !data.is_empty() && self.starts.take(&plan)? {
                self.ready.push_back(plan.with(data));
            }
        }
        Ok(())
    }
}

impl Demux for Reader {
    fn next(&mut self, held: &mut Held) -> Result<Option<Sample>, Stop> {
        loop {
            if let Some(sample) = self.ready.pop_front() {
                return Ok(Some(sample));
            }
            if self.at >= self.end(held) {
                let Some(next) = self.film.links.get(self.link + 1) else { return Ok(None) };
                (self.link, self.at, self.lost) = (self.link + 1, next.bytes.start, false);
                self.open(true);
            }
            if self.at < self.end(held) {
                self.page(held)?;
            }
        }
    }
}
