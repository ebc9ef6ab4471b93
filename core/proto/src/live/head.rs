//! The head of a channel: the stream's parameters and the bytes that a player needs first, signed
//! by the source.

use super::{ChannelKey, CodeId, MAX_DATA_BYTES, Shape, Signature, SourceKey};
use crate::bencode::{Malformed, Reader, put_integer_at, put_string_at};
use bytes::{Buf, BufMut, Bytes};
use std::ops::RangeInclusive;

/// Most init bytes, 1 MiB. Headers of live Matroska, FLV and MP4 have a few kilobytes; Ogg with
/// artwork has more.
pub const MAX_INIT_BYTES: usize = 1 << 20;
/// Longest name and longest content type, bytes.
pub const MAX_TEXT_BYTES: usize = 255;
/// Longest head with its signature. The part beside the init bytes leaves room for later fields.
pub const MAX_HEAD_BYTES: usize = MAX_INIT_BYTES + (16 << 10);

/// Label of the signed bytes of a head. The last byte is the version.
const LABEL: &[u8] = b"playswarm live head 1";
/// Longest time from a group's first byte to its last, milliseconds.
const MAX_GROUP_MS: i64 = 10_000;
/// Largest margin, milliseconds.
const MAX_MARGIN_MS: i64 = 600_000;

/// The parameters of a channel's stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The channel. It is signed, so that a head of one channel is none of another.
    pub key: ChannelKey,
    /// Random number of this run of the source.
    pub cast: u64,
    /// Number of the head within the cast. It grows by one with each change.
    pub revision: u8,
    /// When the cast began, milliseconds since 1970 on the source's clock.
    pub started_ms: u64,
    /// Packets of a group, and their code.
    pub shape: Shape,
    /// Longest time from a group's first byte to its last, milliseconds.
    pub group_ms: u16,
    /// Most bytes of stream in a packet.
    pub packet_bytes: u32,
    /// Bytes of stream per second, about; 0 if the source does not know.
    pub bytes_per_s: u32,
    /// How far behind the newest group players should start, milliseconds.
    pub margin_ms: u32,
    /// Name of the channel for people. May be empty.
    pub name: String,
    /// Media type of the stream, such as `video/mp2t`. May be empty.
    pub content_type: String,
    /// Bytes that a player needs before those of a restart group.
    pub init: Bytes,
}

/// The reason why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadHead {
    /// It is longer than [`MAX_HEAD_BYTES`].
    #[error("The head of the channel is longer than any can be.")]
    TooLong,
    /// The source did not sign it.
    #[error("The head is not one that the channel's source signed.")]
    Forged,
    /// It is not a signature and a bencoded dictionary.
    #[error("The head of the channel is not bencoded.")]
    NotBencode,
    /// A field is missing or out of range.
    #[error("A field of the channel's head is missing or out of range.")]
    BadField,
}

/// A verified head with its bytes, which are passed on unchanged: they may have fields that this
/// version does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedHead {
    head: Head,
    bytes: Bytes,
}

impl SignedHead {
    /// Signs a head.
    ///
    /// # Errors
    ///
    /// Returns an error if a field is out of range, or the key is not that of the channel.
    pub fn new(key: &SourceKey, head: &Head) -> Result<SignedHead, BadHead> {
        let fields = head.fields();
        let signature = key.sign(&statement(&fields));
        let bytes: Bytes = [signature.as_slice(), &fields].concat().into();
        SignedHead::verify(bytes, &head.key)
    }

    /// Verifies and parses a head of the channel with this key.
    ///
    /// # Errors
    ///
    /// Returns an error if the head is too long, not signed by the source, or lacks a field.
    pub fn verify(bytes: Bytes, key: &ChannelKey) -> Result<SignedHead, BadHead> {
        if bytes.len() > MAX_HEAD_BYTES {
            return Err(BadHead::TooLong);
        }
        let mut fields = bytes.clone();
        let mut signature: Signature = [0; 64];
        fields.try_copy_to_slice(&mut signature).map_err(|_| BadHead::NotBencode)?;
        if !key.verifies(&statement(&fields), &signature) {
            return Err(BadHead::Forged);
        }
        let head = Head::parse(&fields)?;
        match head.key == *key {
            true => Ok(SignedHead { head, bytes }),
            false => Err(BadHead::Forged),
        }
    }

    /// Returns the head.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Returns the bytes to pass on.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// Returns the bytes that are signed.
fn statement(fields: &[u8]) -> Vec<u8> {
    [LABEL, fields].concat()
}

impl Head {
    /// Returns the bencoded dictionary, with keys in ascending order.
    fn fields(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512 + self.init.len());
        out.put_u8(b'd');
        put_integer_at(&mut out, "bytes_per_s", self.bytes_per_s.into());
        put_string_at(&mut out, "cast", &self.cast.to_be_bytes());
        put_integer_at(&mut out, "code", self.shape.code().number().into());
        put_integer_at(&mut out, "data", self.shape.data() as u64);
        put_integer_at(&mut out, "group_ms", self.group_ms.into());
        put_string_at(&mut out, "init", &self.init);
        put_string_at(&mut out, "key", &self.key.0);
        put_integer_at(&mut out, "margin_ms", self.margin_ms.into());
        put_string_at(&mut out, "name", self.name.as_bytes());
        put_integer_at(&mut out, "packet_bytes", self.packet_bytes.into());
        put_integer_at(&mut out, "parity", self.shape.parity() as u64);
        put_integer_at(&mut out, "revision", self.revision.into());
        put_integer_at(&mut out, "started_ms", self.started_ms);
        put_string_at(&mut out, "type", self.content_type.as_bytes());
        out.put_u8(b'e');
        out
    }

    /// Parses the dictionary. Unknown fields are skipped; of a repeated one, the last counts.
    pub(crate) fn parse(fields: &[u8]) -> Result<Head, BadHead> {
        let (mut raw, mut reader) = (Raw::default(), Reader::of_peer(fields));
        reader.dict(|key, value| raw.read(key, value)).map_err(|_| BadHead::NotBencode)?;
        if !reader.at_end() {
            return Err(BadHead::NotBencode);
        }
        raw.head().ok_or(BadHead::BadField)
    }
}

/// The fields of a head as they were found.
#[derive(Default)]
struct Raw<'a> {
    bytes_per_s: Option<i64>,
    cast: Option<&'a [u8]>,
    code: Option<i64>,
    data: Option<i64>,
    group_ms: Option<i64>,
    init: Option<&'a [u8]>,
    key: Option<&'a [u8]>,
    margin_ms: Option<i64>,
    name: Option<&'a [u8]>,
    packet_bytes: Option<i64>,
    parity: Option<i64>,
    revision: Option<i64>,
    started_ms: Option<i64>,
    content_type: Option<&'a [u8]>,
}

impl<'a> Raw<'a> {
    fn read(&mut self, key: &[u8], value: &mut Reader<'a>) -> Result<(), Malformed> {
        match key {
            b"bytes_per_s" => self.bytes_per_s = value.integer_if_any()?,
            b"cast" => self.cast = value.string_if_any()?,
            b"code" => self.code = value.integer_if_any()?,
            b"data" => self.data = value.integer_if_any()?,
            b"group_ms" => self.group_ms = value.integer_if_any()?,
            b"init" => self.init = value.string_if_any()?,
            b"key" => self.key = value.string_if_any()?,
            b"margin_ms" => self.margin_ms = value.integer_if_any()?,
            b"name" => self.name = value.string_if_any()?,
            b"packet_bytes" => self.packet_bytes = value.integer_if_any()?,
            b"parity" => self.parity = value.integer_if_any()?,
            b"revision" => self.revision = value.integer_if_any()?,
            b"started_ms" => self.started_ms = value.integer_if_any()?,
            b"type" => self.content_type = value.string_if_any()?,
            _ => {}
        }
        Ok(())
    }

    fn head(&self) -> Option<Head> {
        let small = |number: Option<i64>| u8::try_from(number?).ok();
        let text = |bytes: Option<&[u8]>| Some(std::str::from_utf8(bytes?).ok()?.to_owned());
        let text = |bytes| text(bytes).filter(|text| text.len() <= MAX_TEXT_BYTES);
        let within = |number: Option<i64>, range: RangeInclusive<i64>| number.filter(|n| range.contains(n));
        Some(Head {
            key: ChannelKey(self.key?.try_into().ok()?),
            cast: u64::from_be_bytes(self.cast?.try_into().ok()?),
            revision: small(self.revision)?,
            started_ms: self.started_ms?.try_into().ok()?,
            shape: Shape::new(small(self.data)?, small(self.parity)?, CodeId::from_number(small(self.code)?)?)?,
            group_ms: within(self.group_ms, 1..=MAX_GROUP_MS)? as u16,
            packet_bytes: within(self.packet_bytes, 1..=MAX_DATA_BYTES as i64)? as u32,
            bytes_per_s: self.bytes_per_s?.try_into().ok()?,
            margin_ms: within(self.margin_ms, 0..=MAX_MARGIN_MS)? as u32,
            name: text(self.name)?,
            content_type: text(self.content_type)?,
            init: Bytes::copy_from_slice(self.init.filter(|init| init.len() <= MAX_INIT_BYTES)?),
        })
    }
}
