//! The chunk stream (RTMP, section 5.3): messages of several chunk streams in pieces, between each
//! other.

use super::Fault;
use bytes::{BufMut, Bytes, BytesMut};
use std::collections::BTreeMap;

/// Longest message, bytes. It holds a keyframe at 60 Mbit/s.
pub const MAX_MESSAGE_BYTES: usize = 8 << 20;
/// Most bytes of messages that have begun on all chunk streams together.
const MAX_UNFINISHED_BYTES: usize = 2 * MAX_MESSAGE_BYTES;
/// Most chunk streams. Encoders use about five.
const MAX_CHUNK_STREAMS: usize = 64;
/// Length of a chunk before either side states another, bytes. Ours stay at that.
const CHUNK_BYTES: usize = 128;
/// Value of the timestamp field if a longer field follows.
const EXTENDED: u32 = 0xff_ffff;

/// A message of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) kind: u8,
    /// Milliseconds. It wraps around.
    pub(super) timestamp: u32,
    pub(super) payload: Bytes,
}

/// A chunk stream: the last header, which later ones refer to, and the message that has begun.
#[derive(Debug, Default)]
struct Stream {
    timestamp: u32,
    /// Time from a message to the next one, if that has no time of its own.
    delta: u32,
    is_extended: bool,
    length: usize,
    kind: u8,
    begun: Option<BytesMut>,
}

/// The header of a chunk.
struct Head {
    chunk_stream: u32,
    /// How much of the header is there: 0 all, 3 nothing.
    format: u8,
    time: u32,
    is_extended: bool,
    length: usize,
    kind: u8,
    /// Length of the header, bytes.
    bytes: usize,
}

/// The reader of one connection's chunks.
#[derive(Debug)]
pub(super) struct Reader {
    chunk_bytes: usize,
    streams: BTreeMap<u32, Stream>,
    /// The chunk stream of the current chunk, and the bytes that it has left.
    current: Option<(u32, usize)>,
    unfinished: usize,
}

impl Reader {
    pub(super) fn new() -> Reader {
        Reader { chunk_bytes: CHUNK_BYTES, streams: BTreeMap::new(), current: None, unfinished: 0 }
    }

    /// Takes the next message from a connection's bytes. `None` if more bytes are needed.
    pub(super) fn next(&mut self, input: &mut BytesMut) -> Result<Option<Message>, Fault> {
        loop {
            let (id, left) = match self.current {
                Some(current) => current,
                None => match head(input, &self.streams) {
                    Some(head) => {
                        let _ = input.split_to(head.bytes);
                        self.begin(&head)?
                    }
                    None => return Ok(None),
                },
            };
            let taken = left.min(input.len());
            self.current = (taken < left).then_some((id, left - taken));
            self.unfinished += taken;
            if self.unfinished > MAX_UNFINISHED_BYTES {
                return Err(Fault("too many long messages have begun at the same time"));
            }
            let Some(stream) = self.streams.get_mut(&id) else { return Ok(None) };
            let begun = stream.begun.get_or_insert_default();
            begun.extend_from_slice(&input.split_to(taken));
            if begun.len() >= stream.length {
                let payload = stream.begun.take().unwrap_or_default().freeze();
                self.unfinished -= payload.len();
                return Ok(Some(Message { kind: stream.kind, timestamp: stream.timestamp, payload }));
            }
            if self.current.is_some() {
                return Ok(None);
            }
        }
    }

    /// Applies a header to its chunk stream. Returns that and the length of the chunk.
    fn begin(&mut self, head: &Head) -> Result<(u32, usize), Fault> {
        if head.format > 0 && !self.streams.contains_key(&head.chunk_stream) {
            return Err(Fault("a chunk refers to a header before it, and there is none"));
        }
        if self.streams.len() >= MAX_CHUNK_STREAMS && !self.streams.contains_key(&head.chunk_stream) {
            return Err(Fault("there are too many chunk streams"));
        }
        if head.format < 3 {
            // A message that another one replaces will not be continued.
            self.abort(head.chunk_stream);
        }
        let stream = self.streams.entry(head.chunk_stream).or_default();
        if stream.begun.is_none() {
            if head.format < 3 || head.is_extended {
                stream.delta = head.time;
            }
            // After a full header, the next message without a time is later by that header's time.
            // The specification says so, and FFmpeg writes and reads it thus.
            stream.timestamp = if head.format == 0 { head.time } else { stream.timestamp.wrapping_add(stream.delta) };
        }
        if head.format < 3 {
            stream.is_extended = head.is_extended;
        }
        if head.format < 2 {
            (stream.length, stream.kind) = (head.length, head.kind);
        }
        if stream.length > MAX_MESSAGE_BYTES {
            return Err(Fault("a message has over 8 MiB"));
        }
        let here = stream.begun.as_ref().map_or(0, BytesMut::len);
        Ok((head.chunk_stream, (stream.length - here).min(self.chunk_bytes)))
    }

    /// Forgets the message that has begun on a chunk stream.
    pub(super) fn abort(&mut self, chunk_stream: u32) {
        let begun = self.streams.get_mut(&chunk_stream).and_then(|stream| stream.begun.take());
        self.unfinished -= begun.map_or(0, |begun| begun.len());
    }

    /// Applies the length of the client's chunks. No chunk is longer than its message, so a longer
    /// one than that is as good as the longest message.
    pub(super) fn set_chunk_bytes(&mut self, length: u32) -> Result<(), Fault> {
        if length == 0 || length >> 31 != 0 {
            return Err(Fault("the length of chunks is zero or has over 31 bits"));
        }
        self.chunk_bytes = (length as usize).min(MAX_MESSAGE_BYTES);
        Ok(())
    }
}

/// Parses the header of a chunk. `None` if more bytes are needed.
fn head(bytes: &[u8], streams: &BTreeMap<u32, Stream>) -> Option<Head> {
    let (&[first], mut rest) = bytes.split_first_chunk()?;
    let mut fields = |length: usize| {
        let (taken, after) = rest.split_at_checked(length)?;
        rest = after;
        Some(taken.iter().rev().fold((0, 0), |(value, shift), b| (value | u32::from(*b) << shift, shift + 8)).0)
    };
    let chunk_stream = match first & 0x3f {
        0 => 64 + fields(1)?,
        1 => 64 + u32::from((fields(2)? as u16).swap_bytes()),
        number => u32::from(number),
    };
    let format = first >> 6;
    let mut time = if format < 3 { fields(3)? } else { 0 };
    let length = if format < 2 { fields(3)? as usize } else { 0 };
    let kind = if format < 2 { fields(1)? as u8 } else { 0 };
    if format == 0 {
        // The message stream. There is one on a connection here.
        fields(4)?;
    }
    let is_extended = match format {
        3 => streams.get(&chunk_stream).is_some_and(|stream| stream.is_extended),
        _ => time == EXTENDED,
    };
    if is_extended {
        time = fields(4)?;
    }
    Some(Head { chunk_stream, format, time, is_extended, length, kind, bytes: bytes.len() - rest.len() })
}

/// Writes a message in chunks. `chunk_stream` is from 2 to 63.
pub(super) fn write(out: &mut BytesMut, chunk_stream: u8, kind: u8, message_stream: u32, payload: &[u8]) {
    out.put_u8(chunk_stream);
    // The time of answers is of no use.
    out.put_uint(0, 3);
    out.put_uint(payload.len() as u64, 3);
    out.put_u8(kind);
    out.put_u32_le(message_stream);
    for (n, chunk) in payload.chunks(CHUNK_BYTES).enumerate() {
        if n > 0 {
            out.put_u8(0xc0 | chunk_stream);
        }
        out.extend_from_slice(chunk);
    }
}
