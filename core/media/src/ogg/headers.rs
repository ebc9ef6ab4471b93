//! The header packets of a logical stream: the configuration of its decoder, and the lengths of its
//! packets.

use super::codec::{Codec, opus_samples};
use super::page::Page;
use crate::codec::vorbis;
use crate::flac::{FrameHeader, STREAM_INFO_BYTES, StreamInfo};
use crate::held::{Held, Stop};
use std::ops::Range;

/// Most bytes of a header that is needed. The longest are the setup headers of Vorbis, of 10 KiB.
const MAX_HEADER: usize = 64 << 10;

/// Most bytes of comments. Longer ones hold a cover, which no decoder needs.
const MAX_COMMENTS: usize = 16 << 10;

/// Headers of Vorbis and Theora; the second one has the comments.
const HEADERS: usize = 3;

/// Place of the stream information in the first packet of FLAC.
const STREAM_INFO: Range<usize> = 17..17 + STREAM_INFO_BYTES;

/// The header packets of a stream as far as they were read.
#[derive(Clone, Debug, Default)]
pub(super) struct Headers {
    whole: Vec<Vec<u8>>,
    open: Vec<u8>,
    /// Whether the open packet is too long to be kept.
    long: bool,
}

impl Headers {
    /// Takes the packets of a page with headers, of which `bytes` has the page's own header.
    pub(super) fn take(&mut self, held: &Held, page: &Page, bytes: &[u8]) -> Result<(), Stop> {
        let (mut next, mut missing) = (self.clone(), Vec::new());
        for (part, ends) in Page::parts(bytes) {
            let limit = if next.whole.len() == 1 { MAX_COMMENTS } else { MAX_HEADER };
            next.long |= next.open.len() + part.len() > limit;
            if next.whole.len() < HEADERS && !next.long {
                let range = page.offset + part.start as u64..page.offset + part.end as u64;
                match held.get(range.clone()) {
                    Some(bytes) => next.open.extend_from_slice(bytes),
                    None => missing.push(range),
                }
            }
            if ends && next.whole.len() < HEADERS {
                let packet = std::mem::take(&mut next.open);
                next.whole.push(if next.long { Vec::new() } else { packet });
                next.long = false;
            }
        }
        if !missing.is_empty() {
            return Err(Stop::Need(missing));
        }
        *self = next;
        Ok(())
    }

    /// Returns the configuration of the decoder. `None` if a header is missing.
    pub(super) fn config(&self, codec: &Codec) -> Option<Vec<u8>> {
        let first = self.whole.first().filter(|first| !first.is_empty())?;
        match codec.track.codec.as_str() {
            "vorbis" => {
                let [first, second, third] = self.all(b"\x03vorbis")?;
                Some(vorbis::config(&[first, vorbis::without_comments(&second), third]))
            }
            "theora" => {
                let headers = self.all(b"\x81theora\0\0\0\0\0\0\0\0")?;
                let sized =
                    |header: &Vec<u8>| Some([&u16::try_from(header.len()).ok()?.to_be_bytes()[..], header].concat());
                Some(headers.iter().map(sized).collect::<Option<Vec<_>>>()?.concat())
            }
            "flac" => first.get(STREAM_INFO).map(<[u8]>::to_vec),
            _ => Some(first.clone()),
        }
    }

    /// Returns the three headers, with comments in place of those that are too long.
    fn all(&self, comments: &[u8]) -> Option<[Vec<u8>; HEADERS]> {
        let [first, second, third] = <[Vec<u8>; HEADERS]>::try_from(self.whole.clone()).ok()?;
        let second = if second.is_empty() { comments.to_vec() } else { second };
        (!third.is_empty()).then_some([first, second, third])
    }

    /// Returns what two streams must have in common for one decoder.
    pub(super) fn key(&self, codec: &Codec) -> Vec<u8> {
        /// Rate, channels and bits in the stream information of FLAC, and the channels in Opus.
        const FLAC_FORM: Range<usize> = 27..30;
        const OPUS_FORM: Range<usize> = 9..10;
        let first = self.whole.first().map(Vec::as_slice).unwrap_or_default();
        let form = match codec.track.codec.as_str() {
            "flac" => first.get(FLAC_FORM).unwrap_or_default().to_vec(),
            "opus" => first.get(OPUS_FORM).unwrap_or_default().to_vec(),
            _ => [first, self.whole.get(2).map(Vec::as_slice).unwrap_or_default()].concat(),
        };
        [codec.track.codec.as_bytes(), &form].concat()
    }

    /// Returns the lengths of the packets. `None` if a header that states them is missing.
    pub(super) fn lengths(&self, codec: &Codec) -> Option<Lengths> {
        match codec.track.codec.as_str() {
            "vorbis" => vorbis::Packets::new(self.whole.first()?, self.whole.get(2)?).map(Lengths::Vorbis),
            "opus" => Some(Lengths::Opus),
            "flac" => StreamInfo::parse(self.whole.first()?.get(STREAM_INFO)?).map(Lengths::Flac),
            "theora" => Some(Lengths::Theora),
            _ => codec.packet.map(Lengths::Fixed),
        }
    }
}

/// The lengths of a stream's packets.
#[derive(Clone, Debug)]
pub(super) enum Lengths {
    Vorbis(vorbis::Packets),
    Opus,
    Flac(StreamInfo),
    Theora,
    Fixed(u64),
}

impl Lengths {
    /// Returns the number of units in the next packet. `None` for a header.
    pub(super) fn next(&mut self, packet: &[u8]) -> Option<u64> {
        let head = |packet: &[u8]| packet.starts_with(b"OpusHead") || packet.starts_with(b"OpusTags");
        match self {
            Lengths::Vorbis(packets) => packets.next(packet),
            Lengths::Opus => (!head(packet)).then(|| opus_samples(packet)),
            Lengths::Flac(info) => Some(u64::from(FrameHeader::parse(packet, info)?.block)),
            // An empty packet repeats the picture before.
            Lengths::Theora => packet.first().is_none_or(|first| first & 0x80 == 0).then_some(1),
            Lengths::Fixed(units) => Some(*units),
        }
    }

    /// Whether a packet can be decoded without others.
    pub(super) fn is_key(&self, packet: &[u8]) -> bool {
        const INTER: u8 = 0x40;
        !matches!(self, Lengths::Theora) || packet.first().is_some_and(|first| first & INTER == 0)
    }

    /// Forgets the packet before, after a gap.
    pub(super) fn reset(&mut self) {
        if let Lengths::Vorbis(packets) = self {
            packets.reset();
        }
    }
}
