//! Live channels: keys, links, the signed head, groups of packets and their proofs, the minutes
//! of the archive, and titles. docs/LIVE.md specifies every byte.
//!
//! A channel is an Ed25519 key (RFC 8032). Its source cuts the stream into groups, makes data and
//! parity packets of each group, and signs the root of a hash tree over them. Each packet carries
//! the signature and its path to the root, so any node can verify it alone and before it passes it
//! on. This module has no state; `playswarm_logic::stripe` decides.

mod beacon;
mod head;
mod key;
mod link;
pub mod message;
mod minute;
mod packet;
mod shape;
#[cfg(test)]
mod tests;
mod title;
mod tree;

pub use beacon::{BEACON_SALT, Beacon, MAX_BEACON_ADDRESSES, MAX_BEACON_BYTES, SignedBeacon};
pub use head::{BadHead, Head, MAX_HEAD_BYTES, MAX_INIT_BYTES, MAX_TEXT_BYTES, SignedHead};
pub use key::{ChannelKey, Signature, SourceKey};
pub use link::{BadLink, ChannelLink, MAX_LINK_BYTES, parse};
pub use message::{Message, NodeId, Stripes, Target};
pub use minute::{MAX_MINUTE_BYTES, MAX_MINUTES, Minute, SignedMinute};
pub use packet::{BadPacket, Group, MAX_MESSAGE_BYTES, Packet, SignedGroup, flags};
pub use shape::{CodeId, MAX_DATA_BYTES, MAX_PACKETS, Shape};
pub use title::{MAX_TITLE_BYTES, SignedTitle, Title};
pub use tree::{Hash, Proof, Tree};
