//! The messages between the nodes of a channel. They travel in one extended message (BEP 10).
//!
//! A node takes each stripe from one *parent* and passes it on to its *children*. Only a request to
//! feed somebody ([`Join`]), its two answers ([`Accept`], [`Redirect`]), [`Message::Leave`] and the
//! regular [`Beat`] keep these trees. A redirect names other nodes to ask; it also moves children,
//! when a node leaves or a newcomer with more upload takes a child's place.

mod codec;
#[cfg(test)]
mod tests;

use super::packet::MAX_MESSAGE_BYTES;
use super::{MAX_PACKETS, Packet, SignedMinute, SignedTitle};
use bytes::Bytes;
use std::net::SocketAddr;

/// Name in the `m` dictionary of the extended handshake (BEP 10).
pub const EXTENSION: &str = "ps_live";
/// Version in [`Hello`]. Readers accept later ones, and skip messages that they do not know.
pub const VERSION: u8 = 1;
/// Most targets of a redirect.
pub const MAX_TARGETS: usize = 4;
/// Most nodes on a path from the source.
pub const MAX_PATH: usize = 32;
/// Most nodes in each list of a [`Join`].
pub const MAX_NODES: usize = 32;
/// Most routers of a route in a [`Join`].
pub const MAX_ROUTE: usize = 16;
/// Most groups of which one message wants packets.
pub const MAX_WANTED: usize = 32;
/// Most bytes of a head in one message. A head has up to 18 parts.
pub const MAX_PART_BYTES: usize = 60 << 10;

/// The number of a node, drawn at random for each run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

/// A set of stripes: bit *s* stands for stripe *s*.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stripes(pub u32);

impl Stripes {
    /// All stripes that a channel can have.
    pub const ALL: Stripes = Stripes(u32::MAX >> (32 - MAX_PACKETS));
    /// No stripe.
    pub const NONE: Stripes = Stripes(0);

    /// Returns the set of one stripe.
    pub fn one(stripe: u8) -> Stripes {
        Stripes(1u32.checked_shl(stripe.into()).unwrap_or(0))
    }

    /// Returns the set of the first `count` stripes.
    pub fn first(count: usize) -> Stripes {
        Stripes(u32::MAX.checked_shr(32 - count.min(32) as u32).unwrap_or(0))
    }

    /// Returns whether the set has this stripe.
    pub fn has(self, stripe: u8) -> bool {
        self.0 & Stripes::one(stripe).0 != 0
    }

    /// Adds a stripe.
    pub fn add(&mut self, stripe: u8) {
        self.0 |= Stripes::one(stripe).0;
    }

    /// Returns the stripes that are in both sets.
    pub fn and(self, other: Stripes) -> Stripes {
        Stripes(self.0 & other.0)
    }

    /// Returns whether the set is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the number of stripes in the set.
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Returns the stripes in order.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (0..32).filter(move |stripe| self.has(*stripe))
    }
}

impl FromIterator<u8> for Stripes {
    fn from_iter<I: IntoIterator<Item = u8>>(stripes: I) -> Stripes {
        stripes.into_iter().fold(Stripes::NONE, |all, stripe| Stripes(all.0 | Stripes::one(stripe).0))
    }
}

/// A position in the network's coordinates (Vivaldi: Dabek and others, SIGCOMM 2004).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coordinate {
    /// Plane, in 0.1 ms of round trip.
    pub x: i16,
    /// Plane, in 0.1 ms of round trip.
    pub y: i16,
    /// Delay of the node's own line, in 0.1 ms.
    pub height: u16,
    /// Relative error of the position, in 1/1000.
    pub error: u16,
}

/// A node that may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The node.
    pub node: NodeId,
    /// Address at which it listens.
    pub addr: SocketAddr,
    /// Number of nodes between it and the source, the source included.
    pub depth: u8,
    /// Places that it has free, as far as the sender knows.
    pub free: u16,
}

/// The first message in both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    /// Version of the sender.
    pub version: u8,
    /// The sender.
    pub node: NodeId,
    /// Port at which the sender listens; 0 if it can't be reached.
    pub port: u16,
    /// Whether the sender is the channel's source.
    pub source: bool,
    /// Position of the sender.
    pub coordinate: Coordinate,
}

/// With which packets a new parent begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// Those of the newest restart group that is half a margin old: a player begins there once it is
    /// a margin old.
    Start,
    /// Those of this group: the first of which the stripe's packet is missing.
    Group(u64),
}

/// Why a node is moved to another parent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Why {
    /// The sender has no place.
    #[default]
    Full,
    /// The sender leaves.
    Leaving,
    /// A newcomer has the place, because it gives more or is nearer.
    Replaced,
    /// The sender's line is too slow for all its children.
    Slow,
    /// Too many of the receiver's stripes would come through the same node.
    Spread,
    /// The sender does not get the stripe itself.
    Dry,
    /// The sender comes after the receiver on the stripe's path.
    Loop,
}

/// A request to be fed with stripes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// The stripes.
    pub stripes: Stripes,
    /// Where to begin.
    pub from: From,
    /// Upload that the sender gives to the channel, bytes per second; 0 if it can't be dialled.
    pub upload: u32,
    /// Stripes in which the sender feeds others. Empty if that is not decided yet.
    pub homes: Stripes,
    /// Number of redirects that led here.
    pub tries: u8,
    /// The child of the receiver whose place the sender is to take.
    pub instead_of: Option<NodeId>,
    /// Nodes that were asked in vain.
    pub asked: Vec<NodeId>,
    /// Nodes through which as many other stripes of the sender come as may: another stripe must
    /// not.
    pub ancestors: Vec<NodeId>,
    /// Routers between the sender and the source, as hashes; for one policy only.
    pub route: Vec<u32>,
}

/// The answer of a new parent. Packets of the stripe follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accept {
    /// The stripe.
    pub stripe: u8,
    /// The nodes from the source to the sender, both included.
    pub path: Vec<NodeId>,
    /// Stripes in which the receiver should feed others, if it has not decided that.
    pub homes: Stripes,
    /// A node that loses its place to the receiver, and comes to ask it for one.
    pub adopts: Option<NodeId>,
}

/// Names other nodes to ask for stripes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redirect {
    /// The stripes.
    pub stripes: Stripes,
    /// The reason.
    pub why: Why,
    /// Whether the receiver passes this redirect on to its own children.
    pub all: bool,
    /// Whether the sender goes on feeding the receiver until another does.
    pub keep: bool,
    /// Time after which asking again makes sense, seconds; 0 for at once.
    pub retry_s: u8,
    /// Stripes in which the receiver should feed others, if it has not decided that.
    pub homes: Stripes,
    /// The receiver is to take this node's place at the first target.
    pub instead_of: Option<NodeId>,
    /// Nodes to ask, best first.
    pub targets: Vec<Target>,
}

/// What a child reports of a stripe that it gets from the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Up {
    /// The stripe.
    pub stripe: u8,
    /// Nodes in the tree below the child, itself included.
    pub subtree: u16,
    /// Free places in that tree.
    pub spare: u16,
    /// Children of the sender in this stripe that it can have altogether.
    pub places: u16,
    /// The node with a free place that is nearest to the source.
    pub best: Option<Target>,
    /// The node, nearest to the source, with a child that feeds few: a newcomer that feeds at least
    /// twice as many can take that child's place. `free` is the number that the child feeds.
    pub step: Option<Target>,
}

/// What a parent reports of a stripe that it feeds the receiver with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Down {
    /// The stripe.
    pub stripe: u8,
    /// The nodes from the source to the sender, both included.
    pub path: Vec<NodeId>,
    /// Nodes that can feed the receiver if the sender can't: nearer to the source first.
    pub kin: Vec<Target>,
}

/// The regular message between neighbours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beat {
    /// Number of this message.
    pub sequence: u16,
    /// Number of the last beat that the sender received.
    pub echo: u16,
    /// How long ago that was, milliseconds.
    pub held_ms: u16,
    /// Position of the sender.
    pub coordinate: Coordinate,
    /// Newest group that the sender has; 0 if none.
    pub newest: u64,
    /// Free places of the channel in each stripe, as the sender knows; empty if it does not.
    pub spare: Vec<u16>,
    /// Stripes that the sender could feed a further node with.
    pub offers: Stripes,
    /// Of the stripes that the receiver feeds the sender with.
    pub up: Vec<Up>,
    /// Of the stripes that the sender feeds the receiver with, if they changed.
    pub down: Vec<Down>,
}

/// Packets of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Number of the group.
    pub group: u64,
    /// The packets, by their stripes.
    pub packets: Stripes,
}

/// A request that a node dial another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// The node that is called, or the caller.
    pub node: NodeId,
    /// Where the receiver is to dial the caller. `None` if the receiver is to pass the call on to
    /// the node.
    pub caller: Option<SocketAddr>,
}

/// A message between two nodes of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// The first message in both directions.
    Hello(Hello),
    /// A part of the channel's head.
    Head {
        /// Number of the part, from 0.
        part: u8,
        /// Number of all parts.
        parts: u8,
        /// Bytes of the part.
        bytes: Bytes,
    },
    /// A request to be fed.
    Join(Join),
    /// A request was accepted.
    Accept(Accept),
    /// Ask others.
    Redirect(Redirect),
    /// The sender gives or takes these stripes no more.
    Leave(Stripes),
    /// The regular message.
    Beat(Beat),
    /// A packet of a stripe.
    Packet(Packet),
    /// Request for single packets that are late.
    Want(Vec<Wanted>),
    /// Request for the head.
    NeedHead,
    /// A call through a neighbour of both to a node that cannot be dialled.
    Call(Call),
    /// Minutes of the archive, not verified yet.
    Minutes(Vec<SignedMinute>),
    /// The title of what is playing, not verified yet.
    Title(SignedTitle),
}

/// The reason why a message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("The message of the live channel is malformed: {0}.")]
pub struct BadMessage(pub &'static str);

/// Most bytes of a message. Longer ones are refused unread.
pub const MAX_LIVE_BYTES: usize = {
    let part = MAX_PART_BYTES + 3;
    if part > MAX_MESSAGE_BYTES + 1 { part } else { MAX_MESSAGE_BYTES + 1 }
};
