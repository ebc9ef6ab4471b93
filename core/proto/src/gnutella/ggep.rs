//! GGEP, the extensions of messages: names of at most 15 bytes, each with data that may be
//! compressed, and encoded so that it has no NUL (COBS). Draft "Gnutella Generic Extension
//! Protocol", version 0.51.

use super::Fault;
use super::inflate::{deflate, inflate};
use bytes::{Buf, Bytes};

/// First byte of a block of extensions.
pub(super) const MAGIC: u8 = 0xc3;
/// Most extensions of a block.
pub const MAX_EXTENSIONS: usize = 64;
/// Longest data of an extension after decompression, bytes.
pub const MAX_DATA_BYTES: usize = 64 << 10;
/// Longest name of an extension, bytes.
const MAX_NAME_BYTES: usize = 15;
/// Longest data that the length field can describe, bytes: three times six bits.
const MAX_ENCODED_BYTES: usize = (1 << 18) - 1;

const LAST: u8 = 0x80;
const COBS: u8 = 0x40;
const DEFLATED: u8 = 0x20;
const RESERVED: u8 = 0x10;
const NAME_BYTES: u8 = 0x0f;

/// What the extensions of one message may still use.
#[derive(Debug)]
pub struct Budget {
    /// Inflated bytes.
    bytes: usize,
    /// Compressed extensions: each costs a decompressor.
    streams: usize,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget { bytes: 128 << 10, streams: 16 }
    }
}

/// One extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Extension {
    name: Bytes,
    data: Bytes,
    /// Whether it is compressed on the wire.
    is_deflated: bool,
}

/// A block of extensions, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ggep(Vec<Extension>);

/// Where a block is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Between texts that end with NUL: data has none.
    AmongTexts,
    /// At the end of a message: any data.
    Free,
}

impl Ggep {
    /// Creates an empty block.
    pub fn new() -> Ggep {
        Ggep::default()
    }

    /// Whether there are no extensions.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the data of the first extension with this name.
    pub fn get(&self, name: &str) -> Option<&Bytes> {
        self.0.iter().find(|extension| extension.name == name.as_bytes()).map(|extension| &extension.data)
    }

    /// Returns the data of the first extension with this name, if it is exactly this long.
    pub fn exact<const N: usize>(&self, name: &str) -> Option<[u8; N]> {
        self.get(name)?[..].try_into().ok()
    }

    /// Whether there is an extension with this name.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Returns names and data in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Bytes)> {
        self.0.iter().map(|extension| (&extension.name[..], &extension.data))
    }

    /// Adds an extension. One that cannot be written is left out: a name of none or more than 15
    /// bytes, data of more than 64 KiB, or more than 64 extensions.
    #[must_use]
    pub fn with(mut self, name: &'static str, data: impl Into<Bytes>) -> Ggep {
        self.push(name, data.into(), false);
        self
    }

    /// Adds an extension that is compressed on the wire.
    #[must_use]
    pub fn with_deflated(mut self, name: &'static str, data: impl Into<Bytes>) -> Ggep {
        self.push(name, data.into(), true);
        self
    }

    fn push(&mut self, name: &'static str, data: Bytes, is_deflated: bool) {
        let is_name = (1..=MAX_NAME_BYTES).contains(&name.len()) && !name.contains('\0');
        if is_name && data.len() <= MAX_DATA_BYTES && self.0.len() < MAX_EXTENSIONS {
            self.0.push(Extension { name: Bytes::from_static(name.as_bytes()), data, is_deflated });
        }
    }

    /// Removes the extensions with this name, and returns the data of the first one.
    pub(super) fn take(&mut self, name: &str) -> Option<Bytes> {
        let data = self.get(name).cloned();
        self.0.retain(|extension| extension.name != name.as_bytes());
        data
    }

    /// Adds an extension before the others.
    pub(super) fn push_first(&mut self, name: &'static str, data: Bytes) {
        self.0.truncate(MAX_EXTENSIONS - 1);
        let name = Bytes::from_static(name.as_bytes());
        self.0.insert(0, Extension { name, data, is_deflated: false });
    }

    /// Reads the block at the start of `input`, and returns what follows it.
    ///
    /// # Errors
    /// [`Fault::Ggep`] if it is malformed, and faults of compressed data.
    pub fn decode(input: &Bytes, budget: &mut Budget) -> Result<(Ggep, Bytes), Fault> {
        let mut rest = input.clone();
        if take(&mut rest, 1)?[0] != MAGIC {
            return Err(Fault::Ggep);
        }
        let mut extensions = Vec::new();
        loop {
            let flags = take(&mut rest, 1)?[0];
            let name = take(&mut rest, usize::from(flags & NAME_BYTES))?;
            if flags & RESERVED != 0 || name.is_empty() || name.contains(&0) || extensions.len() == MAX_EXTENSIONS {
                return Err(Fault::Ggep);
            }
            let length = take_length(&mut rest)?;
            let mut data = take(&mut rest, length)?;
            if flags & COBS != 0 {
                data = cobs_decode(&data)?.into();
            }
            let is_deflated = flags & DEFLATED != 0;
            if is_deflated {
                budget.streams = budget.streams.checked_sub(1).ok_or(Fault::Ggep)?;
                data = inflate(&data, MAX_DATA_BYTES.min(budget.bytes))?.into();
                budget.bytes -= data.len();
            }
            if data.len() > MAX_DATA_BYTES {
                return Err(Fault::Bomb(MAX_DATA_BYTES));
            }
            extensions.push(Extension { name, data, is_deflated });
            if flags & LAST != 0 {
                return Ok((Ggep(extensions), rest));
            }
        }
    }

    /// Reads a block that may be missing or broken: then there are no extensions.
    pub(super) fn decode_lenient(input: &Bytes) -> Ggep {
        Ggep::decode(input, &mut Budget::default()).map(|(ggep, _)| ggep).unwrap_or_default()
    }

    /// Appends the block; nothing if it is empty.
    pub fn encode(&self, place: Place, out: &mut Vec<u8>) {
        let Some(last) = self.0.len().checked_sub(1) else { return };
        out.push(MAGIC);
        for (at, extension) in self.0.iter().enumerate() {
            let mut flags = extension.name.len() as u8 & NAME_BYTES;
            let mut data = extension.data.clone();
            if extension.is_deflated {
                flags |= DEFLATED;
                data = deflate(&data).into();
            }
            if place == Place::AmongTexts && data.contains(&0) {
                flags |= COBS;
                data = cobs_encode(&data).into();
            }
            if at == last {
                flags |= LAST;
            }
            out.push(flags);
            out.extend_from_slice(&extension.name);
            put_length(out, data.len());
            out.extend_from_slice(&data);
        }
    }
}

fn take(rest: &mut Bytes, length: usize) -> Result<Bytes, Fault> {
    if length > rest.len() {
        return Err(Fault::Ggep);
    }
    Ok(rest.split_to(length))
}

/// Reads a length: one to three bytes of six bits, of which the last has a mark.
fn take_length(rest: &mut Bytes) -> Result<usize, Fault> {
    let mut length = 0;
    for _ in 0..3 {
        let byte = take(rest, 1)?[0];
        length = length << 6 | usize::from(byte & 0x3f);
        match byte >> 6 {
            0b01 => return Ok(length),
            0b10 => {}
            _ => return Err(Fault::Ggep),
        }
    }
    Err(Fault::Ggep)
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    debug_assert!(length <= MAX_ENCODED_BYTES, "64 KiB fit, also encoded");
    for shift in [12, 6] {
        if length >> shift > 0 {
            out.push(0x80 | (length >> shift & 0x3f) as u8);
        }
    }
    out.push(0x40 | (length & 0x3f) as u8);
}

/// Decodes COBS: groups, each with its length first, and NULs between them.
fn cobs_decode(mut bytes: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::with_capacity(bytes.len());
    while let Some((length, rest)) = bytes.split_first() {
        let group = usize::from(*length).checked_sub(1).and_then(|length| rest.get(..length)).ok_or(Fault::Ggep)?;
        if group.contains(&0) {
            return Err(Fault::Ggep);
        }
        out.extend_from_slice(group);
        bytes = rest;
        bytes.advance(group.len());
        if *length != u8::MAX && !bytes.is_empty() {
            out.push(0);
        }
    }
    Ok(out)
}

/// Encodes bytes without NULs (COBS).
fn cobs_encode(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() + data.len() / 254 + 1);
    let mut groups = data.split(|b| *b == 0).peekable();
    while let Some(mut group) = groups.next() {
        let is_last = groups.peek().is_none();
        while group.len() >= 254 {
            out.push(u8::MAX);
            out.extend_from_slice(&group[..254]);
            group = &group[254..];
            if group.is_empty() && is_last {
                return out;
            }
        }
        out.push(group.len() as u8 + 1);
        out.extend_from_slice(group);
    }
    out
}
