//! Events and actions of the DHT's lookups.

use bytes::Bytes;
use playswarm_proto::gnutella::dht::{self, Kuid, ValueType};
use playswarm_proto::gnutella::{Frame, Guid};
use playswarm_proto::sha1::{Digest, sha1};
use playswarm_proto::tiger_tree;
use std::net::{Ipv4Addr, SocketAddrV4};

/// A lookup, numbered by the driver. Numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LookupKey(pub u32);

/// Settings of the DHT.
#[derive(Clone, Debug)]
pub struct Config {
    /// 32 random bytes for nothing else: strangers must not guess identifiers.
    pub key: [u8; 32],
    /// Nodes to begin with, the best first: those of an earlier session, and the user's.
    pub nodes: Vec<SocketAddrV4>,
}

/// What is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The servents that have the file of this SHA-1.
    Sources(Digest),
    /// The push proxies of a servent.
    Proxies(Guid),
}

impl Target {
    /// Returns the key of the values.
    pub fn key(&self) -> Kuid {
        match self {
            Target::Sources(sha1) => *sha1,
            Target::Proxies(servent) => sha1(&servent.0),
        }
    }

    /// Returns the type of the values. There are two for proxies.
    pub(super) fn of_type(&self) -> ValueType {
        match self {
            Target::Sources(_) => dht::FILE_LOCATION,
            Target::Proxies(_) => dht::ANY,
        }
    }
}

/// What a value says. It is a claim of the node that gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A servent that has the file.
    Source {
        /// Its identifier.
        servent: Guid,
        /// Its address; `None` if only a push makes it connect.
        address: Option<SocketAddrV4>,
        /// Length of the file, bytes.
        size: Option<u64>,
        /// Root of the file's tiger tree.
        tiger: Option<tiger_tree::Digest>,
        /// Whether the servent has only a part of the file.
        is_partial: bool,
    },
    /// A servent that passes pushes on.
    Proxy(SocketAddrV4),
}

impl Found {
    /// Key by which it is the same as another.
    pub(super) fn identity(&self) -> (Option<Guid>, Option<SocketAddrV4>) {
        match self {
            Found::Source { servent, address, .. } => (Some(*servent), *address),
            Found::Proxy(address) => (None, Some(*address)),
        }
    }
}

/// An event that the driver reports.
#[derive(Clone, Debug)]
pub enum Input {
    /// A host named nodes, e.g. an ultrapeer in a pong.
    Named {
        /// Address of the host.
        by: Ipv4Addr,
        /// The nodes.
        nodes: Vec<SocketAddrV4>,
    },
    /// A lookup begins.
    Find {
        /// The lookup.
        lookup: LookupKey,
        /// What is looked up.
        target: Target,
    },
    /// A lookup is of no use any more. It ends without a word.
    Forget {
        /// The lookup.
        lookup: LookupKey,
    },
    /// A datagram came that is a message of the DHT.
    Datagram {
        /// Address of the sender.
        from: SocketAddrV4,
        /// The message.
        frame: Frame,
    },
    /// Our address as strangers can reach it; `None` if they cannot.
    Reachable(Option<SocketAddrV4>),
    /// The time of [`super::Dht::next_timeout`] has come.
    Timeout,
}

/// Why a lookup has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Enough nodes gave values.
    Enough,
    /// All nodes near the key were asked.
    AllAsked,
    /// Its time is over.
    TimeIsOver,
    /// It sent as many datagrams as it may.
    TooManyDatagrams,
    /// Its time is over, and no node answered, or none was known.
    NoNetwork,
    /// Too many lookups went on at once, and a newer one took its place.
    Replaced,
}

/// An action for the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a datagram.
    SendTo {
        /// Address of the receiver.
        to: SocketAddrV4,
        /// One message.
        bytes: Bytes,
    },
    /// A lookup found something new.
    Found {
        /// The lookup.
        lookup: LookupKey,
        /// What it found.
        found: Found,
    },
    /// A lookup has ended, and is forgotten.
    Ended {
        /// The lookup.
        lookup: LookupKey,
        /// Why.
        end: End,
    },
    /// Save [`super::Dht::nodes`] for the next session.
    SaveNodes,
}
