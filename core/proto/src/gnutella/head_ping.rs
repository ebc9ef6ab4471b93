//! HEAD ping and pong (LIME/23 and 24): whether a servent has a file, how long its queue is, and
//! which other sources it knows. One datagram each.

use super::fields::{Fields, addresses, pack};
use super::ggep::{Budget, Place};
use super::ping::VendorCode;
use super::{Fault, Ggep};
use crate::{FileHashes, sha1};
use bytes::{BufMut, Bytes};
use std::net::SocketAddrV4;
use std::ops::RangeInclusive;

/// Most ranges that are taken from a pong.
pub const MAX_RANGES: usize = 512;
/// Most other sources that are taken from a pong.
pub const MAX_PONG_ALTERNATES: usize = 64;
/// Longest URN that is read, bytes.
const MAX_URN_BYTES: usize = 128;
/// Queue byte of a servent that takes no more requests.
const BUSY: i8 = 0x7f;

/// What a ping asks for, and a pong of version 1 has.
mod flag {
    /// Ranges that the servent has.
    pub(super) const RANGES: u8 = 0x01;
    /// Other sources.
    pub(super) const ALTERNATES: u8 = 0x02;
    /// Other sources that need a push.
    pub(super) const PUSH_ALTERNATES: u8 = 0x04;
    /// An answer in GGEP is understood.
    pub(super) const ALL: u8 = 0x1f;
}

/// A question about a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadPing {
    /// Version of the message, 1 or 2. The answer has the same.
    pub version: u16,
    /// What is asked for, as bits.
    flags: u8,
    /// Hash of the file.
    pub sha1: sha1::Digest,
}

impl HeadPing {
    /// Returns the question for all that a servent knows of a file.
    pub fn new(sha1: sha1::Digest) -> HeadPing {
        HeadPing { version: 2, flags: flag::ALL, sha1 }
    }

    /// Returns the same in version 1, for old servents.
    #[must_use]
    pub fn of_version_1(mut self) -> HeadPing {
        self.version = 1;
        self
    }

    /// Whether ranges are asked for.
    pub fn wants_ranges(&self) -> bool {
        self.flags & flag::RANGES != 0
    }

    /// Whether other sources are asked for.
    pub fn wants_alternates(&self) -> bool {
        self.flags & flag::ALTERNATES != 0
    }

    pub(super) fn decode(version: u16, mut fields: Fields) -> Result<HeadPing, Fault> {
        let flags = fields.u8()?;
        let urn = fields.rest();
        // The text ends with the message, or with extensions.
        let end = urn.iter().take(MAX_URN_BYTES).position(|b| !b.is_ascii_graphic()).unwrap_or(urn.len());
        let text = urn.get(..end).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default();
        let hashes = FileHashes::from_urn(text).unwrap_or_default();
        let sha1 = hashes.sha1.ok_or(Fault::Value("HEAD ping"))?;
        Ok(HeadPing { version, flags, sha1 })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.flags);
        let hashes = FileHashes { sha1: Some(self.sha1), ..FileHashes::default() };
        out.extend(hashes.urn().unwrap_or_default().bytes());
    }
}

/// How long one waits at a servent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// It takes no more requests.
    Busy,
    /// Number of requests before ours.
    Waiting(u8),
    /// Number of free slots.
    Free(u8),
}

impl Queue {
    fn of_byte(byte: i8) -> Queue {
        match byte {
            BUSY => Queue::Busy,
            0.. => Queue::Waiting(byte.unsigned_abs()),
            _ => Queue::Free(byte.unsigned_abs()),
        }
    }

    fn to_byte(self) -> i8 {
        match self {
            Queue::Busy => BUSY,
            Queue::Waiting(count) => i8::try_from(count).unwrap_or(BUSY).min(BUSY - 1),
            Queue::Free(count) => i8::try_from(-i16::from(count.max(1))).unwrap_or(i8::MIN),
        }
    }
}

/// What a servent has of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// All of it, or a part.
    pub is_whole: bool,
    /// Whether the servent cannot be reached from outside.
    pub is_firewalled: bool,
    /// Whether it is downloading the file.
    pub is_downloading: bool,
}

impl Holding {
    fn of_code(code: u8) -> Result<Option<Holding>, Fault> {
        let is_whole = match code & 3 {
            0 => return Ok(None),
            1 => true,
            2 => false,
            _ => return Err(Fault::Value("HEAD pong")),
        };
        Ok(Some(Holding { is_whole, is_firewalled: code & 4 != 0, is_downloading: code & 8 != 0 }))
    }

    fn code(self) -> u8 {
        let what = if self.is_whole { 1 } else { 2 };
        what | u8::from(self.is_firewalled) << 2 | u8::from(self.is_downloading) << 3
    }
}

/// The answer about a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadPong {
    /// Version of the message, 1 or 2.
    pub version: u16,
    /// What the servent has; `None` if nothing.
    pub holding: Option<Holding>,
    /// Name of the program.
    pub vendor: Option<VendorCode>,
    /// How long one waits there.
    pub queue: Option<Queue>,
    /// Bytes of the file that the servent has, if it says so. Known from files below 4 GiB alone.
    pub ranges: Vec<RangeInclusive<u32>>,
    /// Other sources, at most [`MAX_PONG_ALTERNATES`].
    pub alternates: Vec<SocketAddrV4>,
}

impl HeadPong {
    /// Returns the answer about a file that is not there.
    pub fn not_found(version: u16) -> HeadPong {
        HeadPong { version, holding: None, vendor: None, queue: None, ranges: Vec::new(), alternates: Vec::new() }
    }

    pub(super) fn decode_v1(mut fields: Fields) -> Result<HeadPong, Fault> {
        let mut pong = HeadPong::not_found(1);
        let flags = fields.u8()?;
        pong.holding = Holding::of_code(fields.u8()?)?;
        if fields.is_empty() {
            return Ok(pong);
        }
        pong.vendor = Some(fields.array()?);
        pong.queue = Some(Queue::of_byte(fields.u8()? as i8));
        let mut field = |bit: u8| -> Result<Bytes, Fault> {
            if flags & bit == 0 {
                return Ok(Bytes::new());
            }
            let length = fields.u16_be()?;
            fields.bytes(length.into())
        };
        pong.ranges = ranges(&field(flag::RANGES)?);
        // Addresses of servents with their proxies, which are not used.
        field(flag::PUSH_ALTERNATES)?;
        pong.alternates = addresses(&field(flag::ALTERNATES)?, MAX_PONG_ALTERNATES);
        Ok(pong)
    }

    pub(super) fn decode_v2(payload: &Bytes) -> Result<HeadPong, Fault> {
        let (ggep, _) = Ggep::decode(payload, &mut Budget::default())?;
        let byte = |name: &str| ggep.get(name).and_then(|data| data.first().copied());
        let code = byte("C").ok_or(Fault::Short("HEAD pong"))?;
        Ok(HeadPong {
            version: 2,
            holding: Holding::of_code(code)?,
            vendor: ggep.get("V").and_then(|data| data.first_chunk().copied()),
            queue: byte("Q").map(|byte| Queue::of_byte(byte as i8)),
            ranges: ggep.get("R").map(|data| ranges(data)).unwrap_or_default(),
            alternates: ggep.get("A").map(|data| addresses(data, MAX_PONG_ALTERNATES)).unwrap_or_default(),
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let code = self.holding.map_or(0, Holding::code);
        let ranges = pack_ranges(&self.ranges);
        let alternates = pack(&self.alternates[..self.alternates.len().min(MAX_PONG_ALTERNATES)]);
        if self.version > 1 {
            let mut ggep = Ggep::new().with("C", vec![code]);
            if let Some(queue) = self.queue {
                ggep = ggep.with("Q", vec![queue.to_byte() as u8]);
            }
            if let Some(vendor) = self.vendor {
                ggep = ggep.with("V", vendor.to_vec());
            }
            for (name, data) in [("R", ranges), ("A", alternates)] {
                if !data.is_empty() {
                    ggep = ggep.with(name, data);
                }
            }
            return ggep.encode(Place::Free, out);
        }
        let has = |data: &Bytes, bit: u8| if data.is_empty() { 0 } else { bit };
        out.push(has(&ranges, flag::RANGES) | has(&alternates, flag::ALTERNATES));
        out.push(code);
        // A file that is not there needs no more, and more is not read without the vendor.
        let (Some(vendor), Some(queue)) = (self.vendor, self.queue) else { return };
        out.put_slice(&vendor);
        out.put_i8(queue.to_byte());
        for data in [ranges, alternates] {
            if !data.is_empty() {
                // At most 4 KiB: 512 ranges of 8 bytes.
                out.put_u16(data.len() as u16);
                out.put_slice(&data);
            }
        }
    }
}

/// Reads pairs of the first and the last byte, big-endian. Empty ranges are skipped.
fn ranges(bytes: &[u8]) -> Vec<RangeInclusive<u32>> {
    let pairs =
        bytes.as_chunks::<8>().0.iter().take(MAX_RANGES).map(|[a, b, c, d, e, f, g, h]| {
            u32::from_be_bytes([*a, *b, *c, *d])..=u32::from_be_bytes([*e, *f, *g, *h])
        });
    pairs.filter(|range| !range.is_empty()).collect()
}

fn pack_ranges(ranges: &[RangeInclusive<u32>]) -> Bytes {
    let bytes = |range: &RangeInclusive<u32>| [range.start().to_be_bytes(), range.end().to_be_bytes()];
    ranges.iter().take(MAX_RANGES).flat_map(bytes).flatten().collect()
}
