//! Events and actions of the leaf.

use bytes::Bytes;
use playswarm_proto::FileHashes;
use playswarm_proto::gnutella::{Frame, Guid, HeadPong, media};
use playswarm_proto::sha1::Digest;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

/// A connection to an ultrapeer, numbered by the machine. Numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkKey(pub u32);

/// A search, numbered by the driver. Numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SearchKey(pub u32);

/// Fewest and most ultrapeers to which a leaf is connected.
pub const LINKS: std::ops::RangeInclusive<usize> = 3..=5;

/// Settings of the leaf.
#[derive(Clone, Debug)]
pub struct Config {
    /// 32 random bytes, the only source of what strangers must not guess: identifiers and tokens.
    pub key: [u8; 32],
    /// Ultrapeers to connect to, within [`LINKS`].
    pub links: usize,
    /// Hosts of an earlier session, the best first.
    pub hosts: Vec<SocketAddrV4>,
    /// Number of host caches that answer by UDP. The driver has their names.
    pub udp_caches: usize,
    /// Number of host caches that answer by HTTP (GWebCache). The driver has their URLs.
    pub web_caches: usize,
    /// Whether UDP may be used at all: not behind a proxy that has TCP alone.
    pub udp: bool,
}

/// A kind of file that is searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Audio.
    Audio,
    /// Video.
    Video,
}

impl Kind {
    /// Returns the kind as queries name it.
    pub fn media(self) -> u32 {
        match self {
            Kind::Audio => media::AUDIO,
            Kind::Video => media::VIDEO,
        }
    }
}

/// What a search looks for, and when it ends.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Words that the file's name has. Queries without words are not routed.
    pub words: String,
    /// Hashes of the file, if it is known.
    pub hashes: FileHashes,
    /// Kind of the file; `None` for any.
    pub kind: Option<Kind>,
    /// Time until the search ends.
    pub wait: Duration,
    /// Number of files after which it ends.
    pub most: usize,
}

impl Wanted {
    /// Returns the kinds of files that are wanted; `None` for all.
    pub fn media(&self) -> Option<u32> {
        self.kind.map(Kind::media)
    }
}

/// A file that is shared with others.
#[derive(Clone, Debug)]
pub struct SharedFile {
    /// Its name.
    pub name: String,
    /// Its length, bytes.
    pub size: u64,
    /// Its hashes.
    pub hashes: FileHashes,
}

/// An event that the driver reports.
#[derive(Clone, Debug)]
pub enum Input {
    /// The handshake of a link has succeeded.
    Connected {
        /// The link.
        link: LinkKey,
    },
    /// The handshake was refused, and the connection is closed.
    Refused {
        /// The link.
        link: LinkKey,
        /// Other ultrapeers that the answer names (`X-Try-Ultrapeers`).
        others: Vec<SocketAddrV4>,
        /// Time for which the servent bans us, if it does.
        banned: Option<Duration>,
    },
    /// A connection has failed or ended.
    Closed {
        /// The link.
        link: LinkKey,
    },
    /// A message came on a link.
    Message {
        /// The link.
        link: LinkKey,
        /// The message.
        frame: Frame,
    },
    /// A datagram came that is a message.
    Datagram {
        /// Address of the sender.
        from: SocketAddrV4,
        /// The message.
        frame: Frame,
    },
    /// The name of a host cache was looked up.
    Resolved {
        /// Index of the cache that answers by UDP.
        cache: usize,
        /// Its address; `None` if it has none.
        address: Option<SocketAddrV4>,
    },
    /// A host cache answered by HTTP, or failed: then there are no hosts.
    Fetched {
        /// Index of the cache that answers by HTTP.
        cache: usize,
        /// The hosts that it names.
        hosts: Vec<SocketAddrV4>,
    },
    /// Our address as strangers can reach it by TCP and UDP; `None` if they cannot.
    Reachable(Option<SocketAddrV4>),
    /// The files that are shared from now on.
    Share(Vec<SharedFile>),
    /// A search begins.
    Search {
        /// The search.
        search: SearchKey,
        /// What it looks for.
        wanted: Wanted,
    },
    /// A search ends, and its results are forgotten.
    Forget {
        /// The search.
        search: SearchKey,
    },
    /// A servent that cannot be reached is to connect to us. [`Input::Reachable`] has our address.
    Push {
        /// The search that found it.
        search: SearchKey,
        /// The servent.
        servent: Guid,
    },
    /// A servent is to be asked what it has of a file, and how long its queue is.
    Probe {
        /// Its address.
        address: SocketAddrV4,
        /// SHA-1 of the file.
        sha1: Digest,
    },
    /// The time of [`super::Leaf::next_timeout`] has come.
    Timeout,
}

/// Why a search has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Enough files were found.
    Enough,
    /// Its time is over.
    TimeIsOver,
    /// Its time is over, and there was no ultrapeer in all of it.
    NoNetwork,
    /// Too many searches went on at once, and a newer one took its place. Its results are forgotten.
    Replaced,
}

/// An action for the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Connect and make the handshake, then report [`Input::Connected`], [`Input::Refused`] or
    /// [`Input::Closed`].
    Dial {
        /// The link.
        link: LinkKey,
        /// Address of the ultrapeer.
        address: SocketAddrV4,
    },
    /// Send bytes on a link.
    Send {
        /// The link.
        link: LinkKey,
        /// One message.
        bytes: Bytes,
    },
    /// Close a link after what was sent. It is forgotten already.
    Close {
        /// The link.
        link: LinkKey,
    },
    /// Send a datagram.
    SendTo {
        /// Address of the receiver.
        to: SocketAddrV4,
        /// One message.
        bytes: Bytes,
    },
    /// Look up a host cache that answers by UDP, and report [`Input::Resolved`].
    Resolve {
        /// Its index.
        cache: usize,
    },
    /// Ask a host cache by HTTP, and report [`Input::Fetched`].
    Fetch {
        /// Its index.
        cache: usize,
    },
    /// A search has new results, see [`super::Leaf::results`].
    Found {
        /// The search.
        search: SearchKey,
    },
    /// A search has ended. Its results are kept until [`Input::Forget`].
    Ended {
        /// The search.
        search: SearchKey,
        /// Why.
        end: End,
    },
    /// A servent answered a probe.
    Probed {
        /// Its address.
        address: SocketAddrV4,
        /// SHA-1 of the file.
        sha1: Digest,
        /// The answer.
        pong: HeadPong,
    },
    /// Tell the DHT of addresses that may be its nodes, see [`super::dht::Input::Named`].
    Nodes {
        /// Address of the host that names them.
        by: Ipv4Addr,
        /// The addresses.
        nodes: Vec<SocketAddrV4>,
    },
    /// Save [`super::Leaf::hosts`] for the next session.
    SaveHosts,
}
