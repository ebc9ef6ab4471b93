//! Metadata messages (BEP 9).
//!
//! `playswarm_logic::metadata` decides which part to request from which peer. Uses our own bencode
//! (see `bencode`).

use crate::bencode::{Malformed, Reader, put_integer_at};
use bytes::{BufMut, Bytes, BytesMut};

/// Length of a metadata part: 16 KiB (BEP 9).
pub const PART_BYTES: usize = crate::BLOCK_BYTES as usize;

/// A metadata message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataMessage {
    /// A request for a part.
    Request(u32),
    /// A part, or several: some clients send all parts at once.
    Data {
        /// Number of the part.
        part: u32,
        /// Length of the whole info dictionary, if the sender names it.
        total: Option<u32>,
        /// Bytes of the part.
        data: Bytes,
    },
    /// A rejected request for a part.
    Reject(u32),
    /// A message of another type, to be ignored (BEP 9).
    Unknown,
}

/// Error for an invalid metadata message.
const ODD: Malformed = Malformed("it is no metadata message");

impl MetadataMessage {
    /// Returns the payload.
    pub fn encode(&self) -> Bytes {
        let (kind, part, total, data): (_, _, _, &[u8]) = match self {
            MetadataMessage::Request(part) => (0, *part, None, &[]),
            MetadataMessage::Data { part, total, data } => (1, *part, *total, data),
            MetadataMessage::Reject(part) => (2, *part, None, &[]),
            // We never send this; the number is one that no client knows.
            MetadataMessage::Unknown => (255, 0, None, &[]),
        };
        let mut out = BytesMut::with_capacity(64 + data.len());
        out.put_u8(b'd');
        put_integer_at(&mut out, "msg_type", kind);
        put_integer_at(&mut out, "piece", u64::from(part));
        if let Some(total) = total {
            put_integer_at(&mut out, "total_size", u64::from(total));
        }
        out.put_u8(b'e');
        out.put_slice(data);
        out.freeze()
    }

    /// Parses a payload. The requester checks that number, size and length of a part match.
    pub fn decode(payload: &Bytes) -> Result<MetadataMessage, Malformed> {
        let (mut kind, mut part, mut total) = (None, None, None);
        let mut reader = Reader::of_peer(payload);
        reader.dict(|key, r| {
            match key {
                b"msg_type" => kind = r.integer_if_any()?,
                b"piece" => part = r.integer_if_any()?,
                b"total_size" => total = r.integer_if_any()?,
                _ => {}
            }
            Ok(())
        })?;
        let data = payload.slice(payload.len() - reader.rest().len()..);
        let number = |n: Option<i64>| n.and_then(|n| u32::try_from(n).ok()).ok_or(ODD);
        Ok(match kind.ok_or(ODD)? {
            0 => MetadataMessage::Request(number(part)?),
            1 => {
                MetadataMessage::Data { part: number(part)?, total: total.map(|n| number(Some(n))).transpose()?, data }
            }
            2 => MetadataMessage::Reject(number(part)?),
            _ => MetadataMessage::Unknown,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn messages_look_as_in_bep_9_and_survive_their_bytes() {
        let data = MetadataMessage::Data { part: 1, total: Some(16389), data: Bytes::from_static(b"xxxxx") };
        for (message, bytes) in [
            (MetadataMessage::Request(3), &b"d8:msg_typei0e5:piecei3ee"[..]),
            (MetadataMessage::Reject(7), b"d8:msg_typei2e5:piecei7ee"),
            (data, b"d8:msg_typei1e5:piecei1e10:total_sizei16389eexxxxx"),
        ] {
            assert_eq!(message.encode(), bytes);
            assert_eq!(MetadataMessage::decode(&Bytes::from_static(bytes)).unwrap(), message);
        }
    }

    #[test]
    fn malformed_messages_are_refused_and_unknown_ones_ignored() {
        let decode = |bytes: &'static [u8]| MetadataMessage::decode(&Bytes::from_static(bytes));
        assert_eq!(decode(b"d8:msg_typei9e5:piecei0ee"), Ok(MetadataMessage::Unknown));
        for bad in [&b"d5:piecei0ee"[..], b"d8:msg_typei0e5:piecei-1ee", b"d8:msg_typei1ee", b"i1e", b""] {
            assert!(decode(bad).is_err());
        }
        let all = decode(b"d8:msg_typei1e5:piecei0eexx");
        assert_eq!(all, Ok(MetadataMessage::Data { part: 0, total: None, data: Bytes::from_static(b"xx") }));
    }
}
