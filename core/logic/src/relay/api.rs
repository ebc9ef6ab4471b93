//! The settings, inputs, outputs and counters of a relay.

use super::{Add, Delete, Distance};
use crate::{PeerKey, Range};
use playswarm_proto::AddressClass;
use playswarm_proto::live::message::{From, Message, Wanted};
use playswarm_proto::live::{NodeId, Stripes};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// The settings of a relay. Units are in the names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What to do with a newcomer if no place is free.
    pub add: Add,
    /// Where children go if this node leaves, and whom an orphan asks first.
    pub delete: Delete,
    /// How the distance of two nodes is estimated.
    pub distance: Distance,
    /// Whether a newcomer that gives in a stripe takes the place of a child that does not. On:
    /// without it, striped trees starve.
    pub step_in: bool,
    /// Whether a child that is moved is fed until its new parent does. On.
    pub keep: bool,
    /// Whether children that lose their parent ask the neighbours that they know. On; SpreadIt's
    /// ask the source.
    pub neighbours: bool,
    /// Whether to look for parents nearer to the source, or on another path. On.
    pub improve: bool,
    /// Time between two beats. 1 s.
    pub beat_s: f64,
    /// Number of beats whose absence means that a neighbour is dead. 3.
    pub missed: u32,
    /// How far a stripe may lag behind the others before another parent is sought. 0.3 s.
    pub lag_s: f64,
    /// Time after which a further node is asked if the first does not answer. 0.1 s for a stripe
    /// that stopped.
    pub hedge_s: f64,
    /// Most redirects that a request follows. 16.
    pub tries: u8,
    /// Share of the upload that is not dealt out as places. 0.1: it pays for repairs and for
    /// children that are being moved.
    pub reserve_share: f64,
    /// Most children in one stripe, before a node feeds a second one. 12.
    pub home_places: u16,
    /// How long a moved child is fed without having found another parent. 3 s.
    pub keep_s: f64,
    /// Most connections, a quarter of them to one network of the Internet. 64. A source has sixteen
    /// times as many, since all newcomers begin there.
    pub links: usize,
    /// Connections kept for repairs, beside those to parents and children. 8.
    pub spare_links: usize,
    /// Most addresses kept. 64.
    pub contacts: usize,
    /// Most requests for a place that are looked into, per second; others are only redirected. 50.
    pub joins_per_s: f64,
    /// Most packets that a neighbour may want, per second. 200.
    pub wants_per_s: f64,
    /// Seed of every random choice.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            add: Add::Nearest,
            delete: Delete::Spares,
            distance: Distance::Coordinates,
            step_in: true,
            keep: true,
            neighbours: true,
            improve: true,
            beat_s: 1.0,
            missed: 3,
            lag_s: 0.3,
            hedge_s: 0.1,
            tries: 16,
            reserve_share: 0.1,
            home_places: 12,
            keep_s: 3.0,
            links: 64,
            spare_links: 8,
            contacts: 64,
            joins_per_s: 50.0,
            wants_per_s: 200.0,
            seed: 1,
        }
    }
}

impl Config {
    /// Returns SpreadIt as it was published: these policies, and none of our additions. The
    /// channel has one stripe.
    pub fn paper(add: Add, delete: Delete) -> Config {
        Config { add, delete, step_in: false, keep: false, neighbours: false, improve: false, ..Config::default() }
    }

    /// Returns the value and bounds of every number except the seed, which may have any value.
    pub fn ranges(&self) -> Vec<Range> {
        let count = |name, value: usize, least, most| Range::new(name, value as f64, least, most);
        vec![
            Range::new("beat_s", self.beat_s, 0.1, 60.0),
            Range::new("missed", self.missed.into(), 1.0, 100.0),
            Range::new("lag_s", self.lag_s, 0.05, 60.0),
            Range::new("hedge_s", self.hedge_s, 0.01, 60.0),
            Range::new("tries", self.tries.into(), 1.0, 255.0),
            Range::new("reserve_share", self.reserve_share, 0.0, 0.9),
            Range::new("home_places", self.home_places.into(), 1.0, 1000.0),
            Range::new("keep_s", self.keep_s, 0.0, 60.0),
            count("links", self.links, 2.0, 10_000.0),
            count("spare_links", self.spare_links, 0.0, 1000.0),
            count("contacts", self.contacts, 1.0, 10_000.0),
            Range::new("joins_per_s", self.joins_per_s, 0.1, 10_000.0),
            Range::new("wants_per_s", self.wants_per_s, 1.0, 100_000.0),
        ]
    }
}

/// The parameters of the channel that concern its trees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Channel {
    /// Number of stripes.
    pub stripes: u8,
    /// Number of stripes that suffice.
    pub needed: u8,
    /// What one stripe costs to pass on to one child, bytes per second.
    pub stripe_bytes_per_s: f64,
}

/// The result of a dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialled {
    /// The connection is open. What is told to the node now goes with the first bytes, before it
    /// has said anything.
    Connected(PeerKey),
    /// The connection failed, or its handshake after it was open and was then reported as ended.
    Failed,
    /// The dial reached ourselves.
    Ourselves,
}

/// An event that the driver reports.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Input {
    /// The head is known, or has changed.
    Channel(Channel),
    /// The upload that this node gives, bytes per second.
    Upload(f64),
    /// The upload is not limited, and what the line carries is unknown: the number of children grows
    /// while data does not wait.
    UploadUnknown,
    /// Packets of groups below this one need not be asked for any more.
    Unneeded(u64),
    /// The stripes' first missing group: a new parent begins there. `None` before the start.
    Next(Option<u64>),
    /// An address that may have the channel, and the class of the address that named it: a node of
    /// the Internet must not name one of a private network. `None` if the user gave it.
    Contact(SocketAddr, Option<AddressClass>),
    /// The hashes of the routers from the source to here.
    Route(Vec<u32>),
    /// A connection was accepted, from this address.
    Incoming(PeerKey, SocketAddr),
    /// A dial ended.
    Dialled(SocketAddr, Dialled),
    /// A node sent a message. Heads and packets are not for this machine.
    Heard(PeerKey, Message),
    /// A new verified packet of a stripe arrived.
    Arrived {
        /// Who sent it.
        from: PeerKey,
        /// The stripe.
        stripe: u8,
        /// The group.
        group: u64,
    },
    /// These packets of a group are late, and any `lacks` of them would do.
    Late {
        /// The group.
        group: u64,
        /// The packets that are missing.
        missing: Stripes,
        /// How many of them are needed.
        lacks: u8,
    },
    /// Bytes wait to be sent to a child for this many seconds.
    Queue(PeerKey, f64),
    /// A connection ended.
    Left(PeerKey),
    /// Leave the channel: first the children get other parents.
    Leave,
    /// The time of [`super::Relay::next_timeout`] has come.
    Timeout,
}

/// An action for the driver.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Output {
    /// Dial an address.
    Dial(SocketAddr),
    /// Close a connection.
    Close(PeerKey),
    /// Send a message.
    Tell(PeerKey, Message),
    /// A new child: send it the packets of a stripe from a group on, and all later ones.
    Serve {
        /// The child.
        peer: PeerKey,
        /// The stripe.
        stripe: u8,
        /// Where it begins.
        from: From,
    },
    /// Send these single packets, as far as they are here.
    Give(PeerKey, Vec<Wanted>),
    /// No address is left to ask. Look for more.
    Find,
    /// For the user.
    Event(Event),
    /// The node has left.
    Done,
}

/// What happened to this node's place in the channel.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A stripe has a parent.
    Joined {
        /// The stripe.
        stripe: u8,
        /// Nodes between this one and the source, the source included.
        depth: u8,
        /// Time since it was needed, seconds.
        after_s: f64,
        /// Whether it had a parent before.
        repaired: bool,
    },
    /// A stripe lost its parent.
    Orphaned {
        /// The stripe.
        stripe: u8,
    },
    /// No known node has a place for a stripe. The search resumes after this time.
    NoPlace {
        /// The stripe.
        stripe: u8,
        /// Time until the next attempt, seconds.
        retry_s: f64,
        /// Whether nodes answered that all places are taken.
        is_full: bool,
    },
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Requests for places that were received, one for each stripe.
    pub joins: u64,
    /// Of these, accepted.
    pub accepted: u64,
    /// Of these, redirected.
    pub redirected: u64,
    /// Children that lost their place to a newcomer.
    pub replaced: u64,
    /// Requests sent, one for each stripe.
    pub asked: u64,
    /// Parents lost.
    pub orphaned: u64,
    /// Parents left because their stripe lagged.
    pub lagged: u64,
    /// Parents found after one was lost.
    pub repaired: u64,
    /// Paths that led through this node itself.
    pub loops: u64,
    /// Requests for places beyond the bound, which were not looked into.
    pub flooded: u64,
    /// Messages that an honest node does not send.
    pub odd: u64,
}

/// A node that a stripe comes from or goes to, for the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Connection to it.
    pub peer: PeerKey,
    /// The node.
    pub node: NodeId,
}
