//! FLAC: the metadata blocks are the init bytes, and a player can begin with each frame. A frame
//! does not state its length, so it is passed on once the next one begins.

use super::syntax::{Role, Step, Syntax};
use super::{MAX_INIT_BYTES, Unsplittable};
use crate::flac::{FrameHeader, MAX_HEADER_BYTES, STREAM_INFO_BYTES, StreamInfo};

const MAGIC: &[u8; 4] = b"fLaC";

/// Longest frame in bytes: eight channels of 24 bits with the longest blocks that the format's
/// subset allows take half of it.
const MAX_FRAME: usize = 1 << 20;

/// A stream of frames.
#[derive(Debug, Default)]
pub(super) struct Flac {
    info: Option<StreamInfo>,
    init: Vec<u8>,
    /// Whether a frame was passed on.
    begun: bool,
    /// Bytes in front that were searched for the next frame.
    searched: usize,
}

impl Flac {
    /// Reads the metadata blocks in front.
    fn metadata(&mut self, bytes: &[u8]) -> Result<Step, Unsplittable> {
        let mut at = MAGIC.len();
        loop {
            let Some(&[kind, a, b, c]) = bytes.get(at..).and_then(<[u8]>::first_chunk) else {
                return Ok(Step::Need(at + 4));
            };
            at += 4 + u32::from_be_bytes([0, a, b, c]) as usize;
            if at > MAX_INIT_BYTES {
                return if self.begun { Ok(Step::Take(1, Role::Damage)) } else { Err(Unsplittable::LongInit) };
            }
            if kind & 0x80 != 0 {
                break;
            }
        }
        let Some(blocks) = bytes.get(..at) else { return Ok(Step::Need(at)) };
        // The stream information is the first block.
        let info = blocks.get(8..8 + STREAM_INFO_BYTES).and_then(StreamInfo::parse);
        if info.is_none() {
            return Ok(Step::Take(1, Role::Damage));
        }
        (self.info, self.init) = (info, blocks.to_vec());
        Ok(Step::Take(at as u64, if self.begun { Role::Unit } else { Role::Init }))
    }

    /// Returns where the next frame or stream begins after the one in front, or that more bytes are
    /// needed.
    fn next_start(&mut self, bytes: &[u8], info: &StreamInfo, ended: bool) -> Result<usize, Step> {
        let head = MAX_HEADER_BYTES as usize;
        let end = if ended { bytes.len() } else { (bytes.len() + 1).saturating_sub(head) }.min(MAX_FRAME);
        let from = self.searched.max(1);
        let begins = |at: &usize| match bytes[*at] {
            0xff => FrameHeader::parse(&bytes[*at..], info).is_some(),
            b'f' => bytes[*at..].starts_with(MAGIC),
            _ => false,
        };
        let next = (from..end).find(begins);
        self.searched = end.max(from);
        match next {
            Some(next) => Ok(next),
            None if ended || end == MAX_FRAME => Ok(end),
            None => Err(Step::Need(bytes.len() + 1)),
        }
    }
}

impl Syntax for Flac {
    fn next(&mut self, bytes: &[u8], ended: bool) -> Result<Step, Unsplittable> {
        if MAGIC.starts_with(&bytes[..bytes.len().min(MAGIC.len())]) && (bytes.len() >= MAGIC.len() || !ended) {
            return self.metadata(bytes);
        }
        let Some(info) = self.info else { return Ok(Step::Take(1, Role::Damage)) };
        let end = match self.next_start(bytes, &info, ended) {
            Ok(end) => end,
            Err(step) => return Ok(step),
        };
        self.searched = 0;
        let role = match FrameHeader::parse(bytes, &info) {
            Some(header) if crc16(&bytes[..end]) == 0 => {
                self.begun = true;
                let samples = if header.variable { 1 } else { u64::from(info.max_block) };
                let us = u128::from(header.number) * u128::from(samples) * 1_000_000 / u128::from(info.rate);
                Role::Restart(i64::try_from(us).ok())
            }
            _ => Role::Damage,
        };
        Ok(Step::Take(end as u64, role))
    }

    fn init(&self) -> &[u8] {
        &self.init
    }

    fn extension(&self) -> Option<&'static str> {
        Some("flac")
    }
}

/// Computes the checksum of a frame: x¹⁶ + x¹⁵ + x² + 1. It is 0 over a frame with its checksum.
fn crc16(bytes: &[u8]) -> u16 {
    const TABLE: [u16; 256] = {
        let mut table = [0; 256];
        let mut byte = 0;
        while byte < 256 {
            let mut crc = (byte as u16) << 8;
            let mut bit = 0;
            while bit < 8 {
                crc = if crc >> 15 == 1 { crc << 1 ^ 0x8005 } else { crc << 1 };
                bit += 1;
            }
            table[byte] = crc;
            byte += 1;
        }
        table
    };
    bytes.iter().fold(0, |crc, byte| crc << 8 ^ TABLE[usize::from((crc >> 8) as u8 ^ byte)])
}
