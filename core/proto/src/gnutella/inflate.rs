//! Compression with zlib, of a connection and of fields. What is inflated is bounded, whatever
//! the compressed data says.

use super::Fault;
use bytes::{Buf, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use std::fmt;

/// Bytes that are inflated at once, and the most by which a bound is exceeded.
pub const INFLATE_STEP_BYTES: usize = 16 << 10;

/// The receiving end of a compressed stream.
pub(super) struct Inflater(Decompress);

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater").field("inflated_bytes", &self.0.total_out()).finish()
    }
}

impl Inflater {
    pub(super) fn new() -> Inflater {
        Inflater(Decompress::new(true))
    }

    /// Inflates at most [`INFLATE_STEP_BYTES`] and appends them. Returns their number; 0 if more
    /// input is needed.
    pub(super) fn step(&mut self, input: &mut BytesMut, out: &mut BytesMut) -> Result<usize, Fault> {
        let (taken, made) = (self.0.total_in(), self.0.total_out());
        let mut buffer = [0; INFLATE_STEP_BYTES];
        let status = self.0.decompress(input, &mut buffer, FlushDecompress::None).map_err(|_| Fault::Compression)?;
        // Neither is longer than the buffers given.
        input.advance((self.0.total_in() - taken) as usize);
        let made = (self.0.total_out() - made) as usize;
        out.extend_from_slice(&buffer[..made]);
        match status {
            Status::StreamEnd if !input.is_empty() => Err(Fault::Compression),
            _ => Ok(made),
        }
    }
}

/// Returns the content of a compressed field, at most `most` bytes.
pub(super) fn inflate(compressed: &[u8], most: usize) -> Result<Vec<u8>, Fault> {
    let mut stream = Decompress::new(true);
    let (mut out, mut buffer) = (Vec::new(), [0; INFLATE_STEP_BYTES]);
    loop {
        let (taken, made) = (stream.total_in() as usize, stream.total_out() as usize);
        let rest = compressed.get(taken..).unwrap_or_default();
        let status = stream.decompress(rest, &mut buffer, FlushDecompress::None).map_err(|_| Fault::Compression)?;
        out.extend_from_slice(&buffer[..stream.total_out() as usize - made]);
        if out.len() > most {
            return Err(Fault::Bomb(most));
        }
        let stands = stream.total_in() as usize == taken && stream.total_out() as usize == made;
        match status {
            Status::StreamEnd => return Ok(out),
            _ if stands => return Err(Fault::Compression),
            _ => {}
        }
    }
}

/// Returns the data compressed.
pub(super) fn deflate(data: &[u8]) -> Vec<u8> {
    let mut stream = Compress::new(Compression::default(), true);
    let (mut out, mut buffer) = (Vec::new(), [0; INFLATE_STEP_BYTES]);
    loop {
        let (taken, made) = (stream.total_in() as usize, stream.total_out() as usize);
        let rest = data.get(taken..).unwrap_or_default();
        let status = stream.compress(rest, &mut buffer, FlushCompress::Finish);
        out.extend_from_slice(&buffer[..stream.total_out() as usize - made]);
        match status {
            Ok(Status::Ok | Status::BufError) => {}
            // An error means a state that a new stream does not have.
            Ok(Status::StreamEnd) | Err(_) => return out,
        }
    }
}
