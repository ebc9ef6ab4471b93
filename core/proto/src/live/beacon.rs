//! The beacon of a channel: what its source publishes on the DHT, so that the key alone leads to it.
//! It is a mutable item (BEP 44) under the channel's own key.

use super::{ChannelKey, Signature, SourceKey};
use crate::bencode::{Malformed, Reader, put_integer_at, put_string_at};
use crate::compact;
use bytes::BufMut;
use std::net::SocketAddr;

/// Salt of the item (BEP 44), which sets it apart from other items under the same key.
pub const BEACON_SALT: &[u8] = b"playswarm live";
/// Most addresses in a beacon.
pub const MAX_BEACON_ADDRESSES: usize = 8;
/// Longest value read, bytes. BEP 44 allows 1000 for the bencoded value; ours has at most 240, and
/// the rest is for later fields.
pub const MAX_BEACON_BYTES: usize = 996;

/// What a source says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beacon {
    /// Random number of this run of the source.
    pub cast: u64,
    /// When the cast began, milliseconds since 1970 on the source's clock.
    pub started_ms: u64,
    /// Whether the source sends; false once its stream has ended.
    pub on_air: bool,
    /// Addresses at which the source can be dialled, in ascending order.
    pub at: Vec<SocketAddr>,
}

impl Beacon {
    /// Returns the value of the item: a bencoded dictionary with keys in ascending order.
    pub fn encode(&self) -> Vec<u8> {
        let (mut four, mut six) = (Vec::new(), Vec::new());
        for addr in self.at.iter().take(MAX_BEACON_ADDRESSES) {
            let addr = SocketAddr::new(addr.ip().to_canonical(), addr.port());
            compact::put(if addr.is_ipv4() { &mut four } else { &mut six }, addr);
        }
        let mut out = Vec::new();
        out.put_u8(b'd');
        put_string_at(&mut out, "cast", &self.cast.to_be_bytes());
        put_integer_at(&mut out, "on_air", self.on_air.into());
        put_string_at(&mut out, "peers", &four);
        put_string_at(&mut out, "peers6", &six);
        put_integer_at(&mut out, "started_ms", self.started_ms);
        out.put_u8(b'e');
        out
    }

    /// Parses the value of an item whose signature was verified. Unknown fields are skipped. Returns
    /// `None` if a field is missing or out of range.
    pub fn decode(value: &[u8]) -> Option<Beacon> {
        if value.len() > MAX_BEACON_BYTES {
            return None;
        }
        let (mut cast, mut on_air, mut started_ms) = (None, None, None);
        let (mut four, mut six) = (&[][..], &[][..]);
        let mut reader = Reader::of_peer(value);
        reader
            .dict(|key, value| {
                match key {
                    b"cast" => cast = value.string_if_any()?,
                    b"on_air" => on_air = value.integer_if_any()?,
                    b"peers" => four = value.string_if_any()?.unwrap_or_default(),
                    b"peers6" => six = value.string_if_any()?.unwrap_or_default(),
                    b"started_ms" => started_ms = value.integer_if_any()?,
                    _ => {}
                }
                Ok::<_, Malformed>(())
            })
            .ok()?;
        let mut at: Vec<SocketAddr> = compact::v4(four).chain(compact::v6(six)).take(MAX_BEACON_ADDRESSES).collect();
        at.sort_unstable();
        at.dedup();
        Some(Beacon {
            cast: u64::from_be_bytes(cast?.try_into().ok()?),
            started_ms: started_ms?.try_into().ok()?,
            on_air: on_air? != 0,
            at,
        })
    }

    /// Signs the beacon as an item with this sequence number. Of two items, that with the higher
    /// number applies.
    pub fn sign(&self, key: &SourceKey, sequence: i64) -> SignedBeacon {
        let value = self.encode();
        let signature = key.sign(&statement(sequence, &value));
        SignedBeacon { key: key.channel(), sequence, value, signature }
    }
}

/// A beacon as the DHT stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedBeacon {
    /// The channel.
    pub key: ChannelKey,
    /// Sequence number of the item.
    pub sequence: i64,
    /// Its value, without the length that bencoding puts in front of a string.
    pub value: Vec<u8>,
    /// Its signature by the channel's key.
    pub signature: Signature,
}

/// Returns the bytes that are signed (BEP 44).
fn statement(sequence: i64, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_string_at(&mut out, "salt", BEACON_SALT);
    out.put_slice(format!("3:seqi{sequence}e").as_bytes());
    put_string_at(&mut out, "v", value);
    out
}
