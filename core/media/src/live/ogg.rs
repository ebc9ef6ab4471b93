//! Ogg: the header pages of all logical streams are the init bytes, and a player begins with a
//! page whose first packet is whole, in Theora a keyframe. The next link of a chain has header
//! pages of its own, which players that began before it get in the stream.

use super::syntax::{Role, Step, Syntax};
use super::{MAX_INIT_BYTES, Unsplittable};
use crate::ogg::codec::{Codec, FIRST_PACKET_BYTES};
use crate::ogg::page::{MAX_PAGE_BYTES, Page};
use crate::timeline::TrackKind;

/// Most logical streams of a link: a film with a few languages.
const MAX_STREAMS: usize = 16;
const MAGIC: &[u8; 4] = b"OggS";

/// A chain of links.
#[derive(Debug, Default)]
pub(super) struct Ogg {
    /// The streams of the link.
    streams: Vec<Stream>,
    /// Whether the pages of the link have been headers so far.
    heading: bool,
    init: Vec<u8>,
    /// Whether a page of audio or video was passed on.
    begun: bool,
}

/// A logical stream.
#[derive(Debug)]
struct Stream {
    serial: u32,
    codec: Option<Codec>,
    /// Header packets still expected.
    headers: u32,
}

impl Stream {
    fn kind(&self) -> Option<TrackKind> {
        self.codec.as_ref().map(|codec| codec.track.kind)
    }
}

impl Ogg {
    /// Returns the stream whose keyframes are used: the first of video, else of audio, else the
    /// first.
    fn main(&self) -> Option<&Stream> {
        let first = |kind| self.streams.iter().find(|stream| stream.kind() == Some(kind));
        first(TrackKind::Video).or_else(|| first(TrackKind::Audio)).or(self.streams.first())
    }

    /// Judges a page.
    fn judge(&mut self, page: &Page, bytes: &[u8]) -> Result<Role, Unsplittable> {
        if page.first {
            if !self.heading {
                self.streams.clear();
                self.init.clear();
                self.heading = true;
            }
            let first = &bytes[page.body as usize..];
            let codec = Codec::parse(&first[..first.len().min(FIRST_PACKET_BYTES as usize)]);
            let headers = codec.as_ref().map_or(1, |codec| codec.headers).saturating_sub(page.packets);
            if self.streams.len() < MAX_STREAMS {
                self.streams.push(Stream { serial: page.serial, codec, headers });
            }
            return self.header(bytes);
        }
        let stream = self.streams.iter_mut().find(|stream| stream.serial == page.serial);
        let known = stream.as_ref().is_some_and(|stream| stream.codec.is_some());
        if let Some(stream) = stream.filter(|stream| stream.headers > 0) {
            stream.headers = stream.headers.saturating_sub(page.packets);
            if self.heading {
                return self.header(bytes);
            }
        }
        // Streams of unknown codecs may have more headers than one, before all audio and video.
        if !known && self.heading && self.streams.iter().any(|stream| stream.codec.is_some()) {
            return self.header(bytes);
        }
        self.heading = false;
        self.begun = true;
        let main = self.main().filter(|main| main.serial == page.serial && main.headers == 0);
        Ok(match main {
            Some(main) if begins_with_key(main, page, bytes) => Role::Restart(us(main, page)),
            _ => Role::Unit,
        })
    }

    /// Takes a header page.
    fn header(&mut self, bytes: &[u8]) -> Result<Role, Unsplittable> {
        if self.init.len() + bytes.len() > MAX_INIT_BYTES {
            return Err(Unsplittable::LongInit);
        }
        self.init.extend_from_slice(bytes);
        Ok(if self.begun { Role::Unit } else { Role::Init })
    }
}

/// Whether a page begins with a whole packet, and with a keyframe if it is of video.
fn begins_with_key(stream: &Stream, page: &Page, bytes: &[u8]) -> bool {
    // In Theora the first bits mean: a header; not a keyframe. An empty packet repeats a picture.
    const NOT_KEY: u8 = 0xc0;
    let Some((first, _)) = Page::parts(bytes).next().filter(|_| !page.continued) else { return false };
    let video = stream.kind() == Some(TrackKind::Video);
    !video || bytes.get(first).and_then(|packet| packet.first()).is_some_and(|first| first & NOT_KEY == 0)
}

/// Returns the time at which a page ends, in microseconds.
fn us(stream: &Stream, page: &Page) -> Option<i64> {
    let codec = stream.codec.as_ref()?;
    i64::try_from(codec.nanos(i128::from(codec.done(page.granule?))) / 1000).ok()
}

impl Syntax for Ogg {
    fn next(&mut self, bytes: &[u8], ended: bool) -> Result<Step, Unsplittable> {
        /// Length in bytes of the fixed part of a header. Its last byte has the length of the rest.
        const FIXED: usize = 27;
        if bytes.starts_with(MAGIC) || (bytes.len() < MAGIC.len() && !ended) {
            let Some(rest) = bytes.get(FIXED - 1) else { return Ok(Step::Need(FIXED)) };
            let header = FIXED + usize::from(*rest);
            if bytes.len() < header {
                return Ok(Step::Need(header));
            }
            if let Some(page) = Page::parse(bytes, 0).filter(|page| page.end <= MAX_PAGE_BYTES) {
                let Some(whole) = bytes.get(..page.end as usize) else {
                    // While no page was found, bytes that look like one may be none.
                    let step = Step::Need(page.end as usize);
                    return Ok(if ended { Step::Take(1, Role::Damage) } else { step });
                };
                if page.verified(whole) {
                    return Ok(Step::Take(page.end, self.judge(&page, whole)?));
                }
            }
        }
        // The next page, or what may be the beginning of its magic.
        let next = bytes[1..].windows(MAGIC.len()).position(|magic| magic == MAGIC);
        let skip = next.map_or(bytes.len().saturating_sub(MAGIC.len() - 1), |next| next + 1);
        Ok(Step::Take(skip.max(1) as u64, Role::Damage))
    }

    fn init(&self) -> &[u8] {
        &self.init
    }

    fn extension(&self) -> Option<&'static str> {
        let video = self.main().is_some_and(|main| main.kind() != Some(TrackKind::Audio));
        Some(if video { "ogv" } else { "ogg" })
    }
}
