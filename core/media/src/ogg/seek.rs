//! Finds the page on which the packet for a time begins. It bisects over the granules of one
//! stream. For video, it bisects again for the keyframe, then for the audio that is played with it.

use super::page::{MAX_FALSE, MAX_HEADER_BYTES, Page, scan};
use super::{Link, TrackKind};
use crate::held::{Held, Step, Walk};
use crate::locate::{ROUNDING, SeekPoint, ahead};
use crate::timeline::{Search, Timeline};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Bytes first requested at a position: two blocks of a swarm, or several audio pages.
const WINDOW: u64 = 32 << 10;

/// Most bytes requested at a position: the video pages between two audio pages.
const MAX_WINDOW: u64 = 512 << 10;

/// Most windows read for one time. An honest film takes about twenty for picture, keyframe and
/// audio.
const MAX_LOOKS: u32 = 96;

/// Most bytes in these windows. Bounds the search in files without pages where they should be.
const MAX_BYTES: u64 = 3 << 20;

/// Most pages remembered from them.
const MAX_PAGES: usize = 12_000;

/// Most audio streams whose position beside a keyframe is searched for.
const MAX_SOUNDS: usize = 4;

/// The search over an Ogg file.
#[derive(Debug)]
pub(super) struct Links(pub(super) Arc<Vec<Link>>);

impl Search for Links {
    fn walk(&self, timeline: &Arc<Timeline>, time: Duration) -> Box<dyn Walk<Found = SeekPoint>> {
        // The last link that has begun and has a duration.
        let at = |link: &Link| link.time <= time && !link.duration.is_zero();
        let link = self.0.iter().rposition(at).unwrap_or(0);
        Box::new(Find {
            links: self.0.clone(),
            link,
            timeline: timeline.clone(),
            time,
            seen: Seen::default(),
            window: None,
            ceiling: u64::MAX,
            looks: 0,
            bytes: 0,
            doubts: MAX_FALSE,
        })
    }
}

/// Pages that were seen, and the ranges without further pages.
#[derive(Debug, Default)]
struct Seen {
    /// Ascending by offset.
    pages: Vec<Page>,
    /// Ascending and disjoint.
    covered: Vec<Range<u64>>,
}

impl Seen {
    fn add(&mut self, pages: Vec<Page>, range: Range<u64>) {
        for page in pages {
            if let Err(at) = self.pages.binary_search_by_key(&page.offset, |p| p.offset) {
                self.pages.insert(at, page);
            }
        }
        self.covered.push(range);
        self.covered.sort_unstable_by_key(|r| r.start);
        self.covered.dedup_by(|next, last| {
            let joined = next.start <= last.end;
            last.end = if joined { last.end.max(next.end) } else { last.end };
            joined
        });
    }

    /// Returns the offset up to which all pages from `from` on are known.
    fn front(&self, from: u64) -> u64 {
        self.covered.iter().find(|r| r.contains(&from)).map_or(from, |r| r.end)
    }
}

/// Two pages of one stream around a unit: the last one before it, and the first that contains it.
#[derive(Clone, Copy, Debug)]
struct Around {
    before: Option<Page>,
    behind: Option<Page>,
}

#[derive(Debug)]
struct Find {
    links: Arc<Vec<Link>>,
    link: usize,
    timeline: Arc<Timeline>,
    time: Duration,
    seen: Seen,
    /// The requested window, and whether it begins with a page.
    window: Option<(Range<u64>, bool)>,
    /// No page of the searched stream lies between this offset and the page known to be after the
    /// target.
    ceiling: u64,
    looks: u32,
    /// Bytes read so far.
    bytes: u64,
    doubts: u32,
}

/// The range that is needed to continue.
struct Missing(Range<u64>);

impl Find {
    fn link(&self) -> &Link {
        &self.links[self.link]
    }

    /// Returns the number of units of its stream that end with a page.
    fn done(&self, page: &Page) -> Option<u64> {
        Some(self.link().codec_of(page.serial)?.done(page.granule?))
    }

    /// Returns the known pages around a unit.
    fn known(&self, serial: u32, unit: u64) -> Around {
        let of = || self.seen.pages.iter().filter(|p| p.serial == serial);
        let behind = of().find(|page| self.done(page).is_some_and(|done| done > unit)).copied();
        let end = behind.map_or(u64::MAX, |page| page.offset);
        let before = of().take_while(|p| p.offset < end).filter(|p| self.done(p).is_some()).last().copied();
        Around { before, behind }
    }

    /// Bisects until all pages between those around a unit are known.
    fn around(&mut self, held: &mut Held, serial: u32, unit: u64) -> Result<Around, Missing> {
        loop {
            let around = self.known(serial, unit);
            let bytes = self.link().bytes.clone();
            let low = around.before.map_or(bytes.start, |page| page.end);
            let high = around.behind.map_or(bytes.end, |page| page.offset);
            let front = self.seen.front(low);
            let spent = self.looks >= MAX_LOOKS || self.bytes >= MAX_BYTES || self.seen.pages.len() >= MAX_PAGES;
            if front >= high || spent {
                self.ceiling = u64::MAX;
                return Ok(around);
            }
            let (window, known) = match self.window.take() {
                Some(window) => window,
                None => {
                    self.looks += 1;
                    let ceiling = self.ceiling.min(high).max(front);
                    let near = ceiling - front <= 2 * WINDOW;
                    let start = if near { front } else { self.guess(serial, unit, around, front..ceiling) };
                    (start..start + WINDOW, near)
                }
            };
            let limit = (high + MAX_HEADER_BYTES).min(bytes.end);
            let window = window.start..window.end.min(limit);
            let Some(bytes) = held.get(window.clone()) else {
                self.window = Some((window.clone(), known));
                return Err(Missing(window));
            };
            let pages = scan(bytes, window.start, known, &mut self.doubts);
            let length = window.end - window.start;
            let told = pages.iter().find(|page| page.serial == serial && page.granule.is_some());
            let more = if known { pages.is_empty() } else { told.is_none() };
            if more && window.end < limit && length < MAX_WINDOW {
                self.window = Some((window.start..window.end + length, known));
                continue;
            }
            self.bytes += length;
            let behind = told.is_none_or(|page| self.done(page).is_some_and(|done| done > unit));
            if !known && behind {
                self.ceiling = window.start;
            }
            let start = if known { Some(window.start) } else { pages.first().map(|page| page.offset) };
            let end = pages.last().map_or(window.end, |page| page.end);
            if let Some(start) = start {
                self.seen.add(pages, start..end);
            }
            held.forget_before(held.size());
        }
    }

    /// Returns the next position to read in a range. It interpolates between the known pages. Every
    /// third time it takes the middle, for files whose rate varies.
    fn guess(&self, serial: u32, unit: u64, around: Around, range: Range<u64>) -> u64 {
        let length = range.end - range.start;
        let link = self.link();
        let Some(codec) = link.codec_of(serial) else { return range.start };
        let nanos = |page: Page| page.granule.map(|granule| codec.nanos(i128::from(codec.done(granule))));
        let start = around.before.and_then(nanos).unwrap_or(link.origin);
        let end = around.behind.and_then(nanos).unwrap_or(link.origin + link.duration.as_nanos() as i128);
        let share = (codec.nanos(i128::from(unit)) - start) as f64 / (end - start).max(1) as f64;
        let share = if self.looks % 3 == 2 { 0.5 } else { share.clamp(0.0, 1.0) };
        // One page early, so that the page before is seen as well.
        let into = (length as f64 * share) as u64;
        range.start + into.saturating_sub(WINDOW / 2).min(length - WINDOW)
    }

    /// Returns the page of a stream that follows another one, or the first.
    fn following(&self, serial: u32, page: Option<Page>) -> Option<Page> {
        let from = page.map_or(self.link().bytes.start, |page| page.end);
        self.seen.pages.iter().find(|p| p.serial == serial && p.offset >= from).copied()
    }

    /// Returns the offset of the page on which the packet after those of `around.before` begins.
    fn begins(&self, serial: u32, around: Around) -> u64 {
        match around.before {
            Some(page) if page.goes_on => page.offset,
            page => self.following(serial, page).or(page).map_or(self.link().first, |page| page.offset),
        }
    }

    fn find(&mut self, held: &mut Held) -> Result<Option<SeekPoint>, Missing> {
        let link = self.link().clone();
        let (Some(codec), Some(stream)) = (link.codec(), link.streams.get(link.main)) else { return Ok(None) };
        let nanos = link.nanos_at((self.time + ROUNDING).min(link.time + link.duration));
        let mut unit = codec.unit_at(nanos);
        let mut around = self.around(held, stream.serial, unit)?;
        // At the end, or where another stream lasts longer: the last page there is.
        if let (Some(last), None) = (around.before.and_then(|page| self.done(&page)), around.behind) {
            unit = last.saturating_sub(1);
            around = self.around(held, stream.serial, unit)?;
        }
        let before = around.before.and_then(|page| page.granule);
        let start = || codec.unit_at(link.origin);
        if codec.track.kind != TrackKind::Video {
            let offset = self.begins(stream.serial, around);
            // An audio decoder needs earlier packets to warm up. They lie in the page that ends
            // there.
            let from = around.before.map_or(offset, |page| page.offset.min(offset));
            let nanos = before.map_or(link.origin, |granule| codec.nanos(i128::from(codec.done(granule))));
            return Ok(Some(self.seek_point(&link, nanos, offset, from)));
        }
        let key_behind = around.behind.and_then(|page| codec.key(page.granule?)).filter(|key| *key <= unit);
        let key = key_behind.or_else(|| codec.key(before?)).unwrap_or_else(start);
        let around = self.around(held, stream.serial, key)?;
        let at_once = around.before.and_then(|p| p.granule).map_or_else(start, |g| codec.done(g)) == key;
        let offset = match around.behind {
            Some(page) if !at_once => page.offset,
            _ => self.begins(stream.serial, around),
        };
        let nanos = codec.nanos(i128::from(key));
        let sounds = link.streams.iter().filter(|s| s.codec.as_ref().is_some_and(|c| c.track.kind == TrackKind::Audio));
        let mut from = offset;
        for sound in sounds.take(MAX_SOUNDS) {
            let Some(codec) = &sound.codec else { continue };
            let around = self.around(held, sound.serial, codec.unit_at(nanos))?;
            from = from.min(self.begins(sound.serial, around));
            // The last page may cut its last packet, so that only the page before tells its start.
            if let (Some(before), true) = (around.before, around.behind.is_some_and(|page| page.last)) {
                from = from.min(before.offset);
            }
        }
        Ok(Some(self.seek_point(&link, nanos, offset, from)))
    }

    fn seek_point(&self, link: &Link, nanos: i128, offset: u64, from: u64) -> SeekPoint {
        let time = link.time_at(nanos);
        let until = ahead(&self.timeline, self.time, offset);
        SeekPoint { time, offset, from, until, estimated: false }
    }
}

impl Walk for Find {
    type Found = SeekPoint;

    fn step(&mut self, held: &mut Held) -> Step<SeekPoint> {
        match self.find(held) {
            Ok(Some(seek_point)) => Step::Done(seek_point),
            Ok(None) => Step::Failed("has no stream whose time is known".into()),
            Err(Missing(range)) => Step::Need(vec![range]),
        }
    }
}
