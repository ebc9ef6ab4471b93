//! The minutes of an archive: files of a cast of which the source announces the info-hashes, signed.

use super::{ChannelKey, Signature, SourceKey};
use crate::InfoHash;
use bytes::{Buf, BufMut, Bytes};

/// Most minutes that a node remembers and tells a newcomer: two hours in 16 kB.
pub const MAX_MINUTES: usize = 120;
/// Most bytes of a minute's file, 2 GiB: four minutes of 70 Mbit/s.
pub const MAX_MINUTE_BYTES: u64 = 2 << 30;

/// Label of the signed bytes of a minute. The last byte is the version.
const LABEL: &[u8] = b"playswarm live minute 1";
/// Bytes of a minute without its signature.
const FIELD_BYTES: usize = 69;
/// Bytes of a minute with its signature.
pub(super) const MINUTE_BYTES: usize = FIELD_BYTES + 64;

/// A stretch of a cast that is a torrent of one file: the init bytes of its head, and its groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Minute {
    /// Random number of the run of the source.
    pub cast: u64,
    /// Number of the minute within the cast, from 0.
    pub number: u32,
    /// Revision of the head that applies to all its groups.
    pub revision: u8,
    /// Number of its first group.
    pub first: u64,
    /// One above the number of its last group.
    pub end: u64,
    /// When its first byte reached the source, milliseconds since 1970.
    pub born_ms: u64,
    /// About its duration, milliseconds.
    pub duration_ms: u32,
    /// Bytes of its file.
    pub length: u64,
    /// Info-hash of its torrent.
    pub info_hash: InfoHash,
}

impl Minute {
    fn fields(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(MINUTE_BYTES);
        out.put_u64(self.cast);
        out.put_u32(self.number);
        out.put_u8(self.revision);
        out.put_u64(self.first);
        out.put_u64(self.end);
        out.put_u64(self.born_ms);
        out.put_u32(self.duration_ms);
        out.put_u64(self.length);
        out.put_slice(&self.info_hash.0);
        out
    }

    /// Signs the minute.
    pub fn sign(self, key: &SourceKey) -> SignedMinute {
        SignedMinute { minute: self, signature: key.sign(&[LABEL, &self.fields()].concat()) }
    }
}

/// A minute as it travels. Its signature is not verified yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedMinute {
    /// The minute.
    pub minute: Minute,
    /// Its signature by the channel's key.
    pub signature: Signature,
}

impl SignedMinute {
    /// Returns whether the source of this channel signed it.
    pub fn is_signed_by(&self, key: &ChannelKey) -> bool {
        key.verifies(&[LABEL, &self.minute.fields()].concat(), &self.signature)
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.extend(self.minute.fields());
        out.put_slice(&self.signature);
    }

    /// Reads a minute. `None` if it is cut off, has no group, or has an impossible length.
    pub(super) fn read(bytes: &mut Bytes) -> Option<SignedMinute> {
        if bytes.len() < MINUTE_BYTES {
            return None;
        }
        let mut minute = Minute {
            cast: bytes.get_u64(),
            number: bytes.get_u32(),
            revision: bytes.get_u8(),
            first: bytes.get_u64(),
            end: bytes.get_u64(),
            born_ms: bytes.get_u64(),
            duration_ms: bytes.get_u32(),
            length: bytes.get_u64(),
            info_hash: InfoHash::default(),
        };
        bytes.copy_to_slice(&mut minute.info_hash.0);
        let mut signature = [0; 64];
        bytes.copy_to_slice(&mut signature);
        let is_possible = minute.first < minute.end && (1..=MAX_MINUTE_BYTES).contains(&minute.length);
        is_possible.then_some(SignedMinute { minute, signature })
    }
}
