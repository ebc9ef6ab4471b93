//! AVI headers: RIFF chunks and the stream descriptions in `hdrl`.

use crate::riff_codecs;
use crate::timeline::{Track, TrackKind};

/// The head of a chunk: its id and the length of its content in bytes. Content of odd length is
/// followed by a padding byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) id: [u8; 4],
    pub(crate) size: u64,
}

/// Length of a chunk's head in bytes.
pub(crate) const CHUNK_HEAD: u64 = 8;
/// Most streams that are read. Chunk ids have room for a hundred.
const MAX_STREAMS: usize = 100;
/// Most index parts that a stream's super index may name. One per gigabyte is usual.
const MAX_PARTS: usize = 1024;

/// Parses the chunk that begins here.
pub(crate) fn chunk(bytes: &[u8]) -> Option<Chunk> {
    Some(Chunk { id: *bytes.first_chunk::<4>()?, size: u64::from(u32_at(bytes, 4)?) })
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Iterates over the chunks within a content. For a list, the id is its type, and the content is
/// what follows the type. The last chunk may be cut off.
fn chunks(content: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    let mut rest = content;
    std::iter::from_fn(move || {
        let head = chunk(rest)?;
        let body = &rest[CHUNK_HEAD as usize..];
        let size = usize::try_from(head.size).ok()?;
        let content = &body[..size.min(body.len())];
        rest = body.get(size.saturating_add(size & 1)..).unwrap_or_default();
        match (&head.id, content.first_chunk::<4>()) {
            (b"LIST", Some(kind)) => Some((*kind, &content[4..])),
            _ => Some((head.id, content)),
        }
    })
}

/// A stream as described by the headers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stream {
    pub(crate) track: Track,
    /// One unit lasts `scale / rate` seconds. It is a frame, or `sample_size` bytes.
    pub(crate) scale: u32,
    pub(crate) rate: u32,
    /// Number of units before the stream begins.
    pub(crate) start: u32,
    /// Number of units.
    pub(crate) length: u32,
    /// Bytes per unit. If zero, each chunk is one unit, or each `block_align` bytes are one.
    pub(crate) sample_size: u32,
    pub(crate) block_align: u32,
    /// Parts of its OpenDML index: offset and length of their chunks, and the units in each.
    pub(crate) parts: Vec<(u64, u32, u32)>,
    /// What follows the format that all codecs share.
    pub(crate) config: Vec<u8>,
}

impl Stream {
    /// Returns the file's own time at which a unit begins, counted from the stream's start, in
    /// nanoseconds. Rounded down.
    pub(crate) fn ns(&self, unit: i64) -> i64 {
        let ns = i128::from(unit) * i128::from(self.scale) * 1_000_000_000;
        i64::try_from(ns.div_euclid(i128::from(self.rate.max(1)))).unwrap_or(i64::MAX / 4)
    }

    /// Returns the number of units in a chunk of the given length.
    pub(crate) fn units(&self, bytes: u32) -> u64 {
        let each = if self.sample_size > 0 { self.sample_size } else { self.block_align };
        match (self.track.kind, each) {
            (TrackKind::Audio, 1..) if self.sample_size > 0 => u64::from(bytes / each),
            (TrackKind::Audio, 1..) => u64::from(bytes.div_ceil(each)),
            _ => 1,
        }
    }
}

/// Parses the streams in the content of a `hdrl` list. Streams without a usable rate are kept,
/// since chunks name streams by number.
pub(crate) fn streams(hdrl: &[u8]) -> Vec<Stream> {
    let lists = chunks(hdrl).filter(|(id, _)| id == b"strl").take(MAX_STREAMS);
    lists.map(|(_, list)| stream(list).unwrap_or_default()).collect()
}

fn stream(list: &[u8]) -> Option<Stream> {
    let of = |wanted: &[u8; 4]| chunks(list).find(|(id, _)| id == wanted).map(|(_, content)| content);
    let header = of(b"strh")?;
    let format = of(b"strf").unwrap_or_default();
    let number = |at| u32_at(header, at);
    let kind = match header.get(..4)? {
        b"vids" => TrackKind::Video,
        b"auds" => TrackKind::Audio,
        b"txts" => TrackKind::Subtitle,
        _ => TrackKind::Other,
    };
    let mut track = Track { kind, title: of(b"strn").and_then(text), ..Track::default() };
    let mut block_align = 0;
    match kind {
        TrackKind::Video => {
            let fourcc = format.get(16..20).or(header.get(4..8)).and_then(<[u8]>::first_chunk).copied();
            track.codec = riff_codecs::video(fourcc.unwrap_or_default());
            // A negative height means that the picture is stored from the top.
            let height = u32_at(format, 8).map(|height| height.cast_signed().unsigned_abs());
            track.resolution = u32_at(format, 4).zip(height);
        }
        TrackKind::Audio => {
            let bits = u16_at(format, 14).unwrap_or(0);
            track.codec = riff_codecs::audio(u16_at(format, 0).unwrap_or(0), bits.into());
            track.audio = u16_at(format, 2).map(u32::from).zip(u32_at(format, 4));
            block_align = u16_at(format, 12).unwrap_or(0).into();
        }
        _ => {
            let fourcc = header.get(4..8).and_then(<[u8]>::first_chunk).copied();
            track.codec = riff_codecs::video(fourcc.unwrap_or_default());
        }
    }
    Some(Stream {
        track,
        scale: number(20)?,
        rate: number(24)?,
        start: number(28)?,
        length: number(32)?,
        sample_size: number(44).unwrap_or(0),
        block_align,
        parts: of(b"indx").map(parts).unwrap_or_default(),
        config: config(kind, format).to_vec(),
    })
}

/// Returns what follows a BITMAPINFOHEADER or a WAVEFORMATEX, of limited length.
fn config(kind: TrackKind, format: &[u8]) -> &[u8] {
    const MAX_CONFIG: usize = 64 << 10;
    let start = if kind == TrackKind::Video { 40 } else { 18 };
    let config = format.get(start..).unwrap_or_default();
    &config[..config.len().min(MAX_CONFIG)]
}

/// Parses the parts that a super index names (OpenDML AVI 1.02, 3.0): 16 bytes each, after its own
/// 24.
fn parts(index: &[u8]) -> Vec<(u64, u32, u32)> {
    const INDEX_OF_INDEXES: u8 = 0;
    if index.get(3) != Some(&INDEX_OF_INDEXES) {
        return Vec::new();
    }
    let count = u32_at(index, 4).unwrap_or(0) as usize;
    let entries = index.get(24..).unwrap_or_default().chunks_exact(16);
    let entries =
        entries.take(count.min(MAX_PARTS)).filter_map(|e| Some((u64_at(e, 0)?, u32_at(e, 8)?, u32_at(e, 12)?)));
    entries.filter(|(at, ..)| *at > 0).collect()
}

fn text(content: &[u8]) -> Option<String> {
    const MAX_TEXT: usize = 512;
    let end = content.iter().position(|byte| *byte == 0).unwrap_or(content.len()).min(MAX_TEXT);
    (end > 0).then(|| String::from_utf8_lossy(&content[..end]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_padded_and_the_last_may_be_cut_off() {
        let bytes = b"odd \x03\0\0\0abc\0LIST\x08\0\0\0typeabcdlong\xff\xff\xff\xffrest";
        let found: Vec<_> = chunks(bytes).collect();
        assert_eq!(found, [(*b"odd ", &b"abc"[..]), (*b"type", b"abcd"), (*b"long", b"rest")]);
    }

    #[test]
    fn a_rate_of_zero_or_a_count_that_lies_ends_nothing() {
        let stream = Stream { scale: u32::MAX, rate: 0, ..Stream::default() };
        assert!(stream.ns(i64::MAX) > 0);
        let mut index = vec![0; 24 + 16];
        index[0] = 4;
        index[4..8].fill(0xff);
        index[24] = 9;
        assert_eq!(parts(&index), [(9, 0, 0)]);
    }
}
