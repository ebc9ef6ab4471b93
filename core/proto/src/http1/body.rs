//! The body of a message: a number of bytes, chunks (RFC 9112, section 7.1), or everything until the
//! end of the connection.

use super::Fault;
use bytes::{Buf, Bytes, BytesMut};

/// Longest line with the length of a chunk and its extensions, bytes.
const MAX_CHUNK_HEAD_BYTES: usize = 512;
/// Longest trailer after the last chunk, bytes. Its fields are skipped.
const MAX_TRAILER_BYTES: usize = 4 << 10;

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// After this number of bytes.
    Length(u64),
    /// With a chunk of no bytes.
    Chunked,
    /// With the connection.
    Raw,
}

/// The position in a body.
#[derive(Debug)]
pub(crate) enum Body {
    /// In a body of known length, or in a chunk: bytes that are left.
    Length(u64),
    Chunk(u64),
    ChunkHead,
    /// Before the line end after a chunk.
    ChunkEnd,
    /// In the trailer, with the number of its bytes so far.
    Trailer(usize),
    Raw,
    Done,
}

impl Body {
    pub(crate) fn new(framing: Framing) -> Body {
        match framing {
            Framing::Length(length) => Body::Length(length),
            Framing::Chunked => Body::ChunkHead,
            Framing::Raw => Body::Raw,
        }
    }

    /// Takes the next bytes of the body from those of the connection. `None` if more bytes are
    /// needed, or the body is done.
    pub(crate) fn take(&mut self, input: &mut BytesMut) -> Result<Option<Bytes>, Fault> {
        loop {
            match self {
                Body::Length(0) => *self = Body::Done,
                Body::Chunk(0) => *self = Body::ChunkEnd,
                Body::Done => return Ok(None),
                _ if input.is_empty() => return Ok(None),
                Body::Raw => return Ok(Some(input.split().freeze())),
                Body::Length(left) | Body::Chunk(left) => {
                    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                    *left -= length as u64;
                    return Ok(Some(input.split_to(length).freeze()));
                }
                Body::ChunkHead => {
                    let line = &input[..input.len().min(MAX_CHUNK_HEAD_BYTES)];
                    match httparse::parse_chunk_size(line) {
                        Ok(httparse::Status::Complete((head, size))) => {
                            input.advance(head);
                            *self = if size == 0 { Body::Trailer(0) } else { Body::Chunk(size) };
                        }
                        Ok(httparse::Status::Partial) if line.len() < MAX_CHUNK_HEAD_BYTES => return Ok(None),
                        _ => return Err(Fault::ChunkHead),
                    }
                }
                Body::ChunkEnd => {
                    let end = line_end(input);
                    match end {
                        Some(end) if input[..end].iter().all(|b| b"\r\n".contains(b)) && end <= 2 => input.advance(end),
                        None if input[..] == b"\r"[..] => return Ok(None),
                        _ => return Err(Fault::ChunkEnd),
                    }
                    *self = Body::ChunkHead;
                }
                Body::Trailer(length) => {
                    let Some(end) = line_end(input) else {
                        let too_long = *length + input.len() > MAX_TRAILER_BYTES;
                        return if too_long { Err(Fault::LongTrailer) } else { Ok(None) };
                    };
                    *length += end;
                    if *length > MAX_TRAILER_BYTES {
                        return Err(Fault::LongTrailer);
                    }
                    let is_last = end <= 2 && input[..end].iter().all(|b| b"\r\n".contains(b));
                    input.advance(end);
                    if is_last {
                        *self = Body::Done;
                    }
                }
            }
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self, Body::Done)
    }

    /// Whether the end of the connection ends the body.
    pub(crate) fn may_end(&self) -> bool {
        matches!(self, Body::Raw | Body::Done)
    }
}

/// Returns the length of the first line with its end.
fn line_end(input: &[u8]) -> Option<usize> {
    input.iter().position(|b| *b == b'\n').map(|at| at + 1)
}
