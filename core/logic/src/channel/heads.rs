//! Heads on their way: parts that arrive, and who has been sent which.

use crate::PeerKey;
use bytes::{Bytes, BytesMut};
use playswarm_proto::live::message::{MAX_PART_BYTES, Message};
use playswarm_proto::live::{MAX_HEAD_BYTES, SignedHead};
use std::collections::BTreeMap;

/// Most heads that are put together at once. Beyond, further nodes' heads are not taken.
const MAX_PARTIAL: usize = 4;

#[derive(Debug)]
struct Partial {
    parts: u8,
    next: u8,
    bytes: BytesMut,
}

#[derive(Debug, Default)]
pub(super) struct Heads {
    partial: BTreeMap<PeerKey, Partial>,
    /// Cast and revision of the head that each node was sent.
    sent: BTreeMap<PeerKey, (u64, u8)>,
}

impl Heads {
    /// Takes a part. Returns the head once it is whole. Parts come in order; others are dropped.
    pub(super) fn take(&mut self, peer: PeerKey, part: u8, parts: u8, bytes: Bytes) -> Option<Bytes> {
        if part == 0 {
            if parts == 1 {
                return Some(bytes);
            }
            if self.partial.len() >= MAX_PARTIAL && !self.partial.contains_key(&peer) {
                return None;
            }
            self.partial.insert(peer, Partial { parts, next: 0, bytes: BytesMut::new() });
        }
        let partial = self.partial.get_mut(&peer)?;
        let fits = partial.bytes.len() + bytes.len() <= MAX_HEAD_BYTES;
        if partial.next != part || partial.parts != parts || !fits {
            self.partial.remove(&peer);
            return None;
        }
        partial.bytes.extend_from_slice(&bytes);
        partial.next += 1;
        if partial.next < parts {
            return None;
        }
        self.partial.remove(&peer).map(|whole| whole.bytes.freeze())
    }

    /// Returns the parts to send to a node, unless it was sent this head.
    pub(super) fn send(&mut self, peer: PeerKey, signed: &SignedHead) -> Vec<Message> {
        let which = (signed.head().cast, signed.head().revision);
        if self.sent.insert(peer, which) == Some(which) {
            return Vec::new();
        }
        let bytes = signed.bytes();
        let parts = bytes.len().div_ceil(MAX_PART_BYTES) as u8;
        let part = |part: u8| {
            let from = usize::from(part) * MAX_PART_BYTES;
            bytes.slice(from..(from + MAX_PART_BYTES).min(bytes.len()))
        };
        (0..parts).map(|n| Message::Head { part: n, parts, bytes: part(n) }).collect()
    }

    /// Returns whether a node was sent a head.
    pub(super) fn knows(&self, peer: PeerKey) -> bool {
        self.sent.contains_key(&peer)
    }

    /// Returns the nodes that were sent a head.
    pub(super) fn told(&self) -> impl Iterator<Item = PeerKey> {
        self.sent.keys().copied()
    }

    /// A node says that it lacks the head.
    pub(super) fn forget(&mut self, peer: PeerKey) {
        self.sent.remove(&peer);
    }

    pub(super) fn left(&mut self, peer: PeerKey) {
        self.partial.remove(&peer);
        self.sent.remove(&peer);
    }
}
