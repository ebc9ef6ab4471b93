//! The settings, inputs, outputs and counters of the slot index.

use super::{Key, Kind, Message};
use crate::{PeerKey, Range};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// The settings of the slot index. Units are in the names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Kind of slot under which viewers announce and are looked up. Virtual: one announce per
    /// quarter of an hour keeps a viewer findable for the whole film (docs/SLOTS-SIM.md compares
    /// the two).
    pub kind: Kind,
    /// Width of a virtual slot. 120 s: clock errors and stalls matter little. A swarm too large for
    /// one tracker's answer has several viewers in each slot. Part of the key: viewers with another
    /// width do not meet.
    pub virtual_width_s: u16,
    /// Width of a data slot. 300 s: a viewer announces twelve an hour. Part of the key.
    pub data_width_s: u16,
    /// Places reserved for parents, including those being dialled. 8.
    pub max_parents: usize,
    /// Most DHT operations (lookups, announces) at once, from the unused budget. 6: a start, or a
    /// seek.
    pub operations_burst: u32,
    /// Budget of DHT operations per hour. 60: at about 37 kB each, about 2 MB an hour.
    pub operations_per_hour: f64,
    /// Most dials at once, from the unused budget. 16: every place, twice.
    pub dials_burst: u32,
    /// Budget of dials per hour. 600: one in six seconds.
    pub dials_per_hour: f64,
    /// Most addresses used from the answer to one operation; the rest is ignored. 200.
    pub answer_peers: usize,
    /// Most addresses waiting to be dialled. 96: enough to replace every parent several times
    /// without the DHT.
    pub max_candidates: usize,
    /// Time in a slot before a viewer announces it: a viewer that is only browsing misleads no
    /// other. 20 s.
    pub announce_after_s: f64,
    /// Pause after a seek before the search begins, in case another seek follows. 1 s. The first
    /// search does not wait.
    pub search_after_s: f64,
    /// Shortest time between two lookups of a bucket. It doubles each time the bucket brings
    /// nothing new, up to 16 times. 60 s.
    pub again_s: f64,
    /// Most parents and dials in one network (IPv4 /24, IPv6 /48), so that the owner of a network
    /// gets few of our places. 2. Networks of the local machine and home do not count.
    pub per_network: usize,
    /// Whether to dial loopback, private and link-local addresses. Off: on the public DHT such
    /// addresses are garbage, or worse.
    pub local_addresses: bool,
    /// Number of peers that sent data and whose clocks must agree before ours is corrected. 5.
    pub clock_witnesses: usize,
    /// Seed of every random choice: buckets, order among equals, spread of the refreshes.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            kind: Kind::Virtual,
            virtual_width_s: 120,
            data_width_s: 300,
            max_parents: 8,
            operations_burst: 6,
            operations_per_hour: 60.0,
            dials_burst: 16,
            dials_per_hour: 600.0,
            answer_peers: 200,
            max_candidates: 96,
            announce_after_s: 20.0,
            search_after_s: 1.0,
            again_s: 60.0,
            per_network: 2,
            local_addresses: false,
            clock_witnesses: 5,
            seed: 1,
        }
    }
}

impl Config {
    /// Returns the width of the slots that are announced and looked up, seconds.
    pub fn width_s(&self) -> u16 {
        match self.kind {
            Kind::Virtual => self.virtual_width_s.max(1),
            Kind::Data => self.data_width_s.max(1),
        }
    }

    /// Returns the value and bounds of every number except the seed, which may have any value.
    pub fn ranges(&self) -> Vec<Range> {
        const DAY_S: f64 = 86_400.0;
        /// Bound for durations that end or repeat: nothing useful takes longer than an hour.
        const HOUR_S: f64 = 3600.0;
        let count = |name, value: usize, least, most| Range::new(name, value as f64, least, most);
        vec![
            Range::new("virtual_width_s", self.virtual_width_s.into(), 1.0, u16::MAX.into()),
            Range::new("data_width_s", self.data_width_s.into(), 1.0, u16::MAX.into()),
            count("max_parents", self.max_parents, 0.0, 1000.0),
            Range::new("operations_burst", self.operations_burst.into(), 0.0, 10_000.0),
            Range::new("operations_per_hour", self.operations_per_hour, 0.0, 100_000.0),
            Range::new("dials_burst", self.dials_burst.into(), 0.0, 10_000.0),
            Range::new("dials_per_hour", self.dials_per_hour, 0.0, 100_000.0),
            count("answer_peers", self.answer_peers, 0.0, 10_000.0),
            count("max_candidates", self.max_candidates, 0.0, 100_000.0),
            Range::new("announce_after_s", self.announce_after_s, 0.0, DAY_S),
            Range::new("search_after_s", self.search_after_s, 0.0, HOUR_S),
            Range::new("again_s", self.again_s, 1.0, DAY_S),
            count("per_network", self.per_network, 1.0, 1000.0),
            count("clock_witnesses", self.clock_witnesses, 1.0, 1000.0),
        ]
    }
}

/// The watched film.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Film {
    /// The version-1 info-hash, or the first 20 bytes of the version-2 one if there is no other.
    pub info_hash: [u8; 20],
    /// Number of the file in the torrent, from 0.
    pub file: u32,
    /// Duration of the film, seconds.
    pub duration_s: f64,
}

/// A lookup or an announce, numbered by the machine. Numbers are never reused within its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Operation(pub u32);

/// The result of a dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialled {
    /// The peer is connected, newly or from before.
    Connected(PeerKey),
    /// No peer answered, or not in our protocol.
    Failed,
    /// The dial reached ourselves.
    Ourselves,
    /// The address was not dialled: it is banned, or no connection has a place.
    NotTried,
}

/// An event that the driver reports.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Input {
    /// The wall clock, seconds since 1970. Report it first and then periodically, as the user may
    /// set the clock.
    Wall(f64),
    /// The viewer's playhead. Report it at the start, at each seek, pause and resume, and every few
    /// seconds.
    Play {
        /// Playhead, seconds into the film.
        position_s: f64,
        /// Whether the player plays (true) or is paused.
        playing: bool,
    },
    /// The viewer closed the film. Announces, lookups and dials stop until it plays again.
    Stopped,
    /// The viewer's supply. Report it every few seconds.
    Supply {
        /// Mean rate of the film, bytes per second; 0 if unknown.
        film_bytes_per_s: f64,
        /// Buffer beyond the playhead, seconds of film.
        ahead_s: f64,
        /// Recent rate received from seeds. A film supplied only by its seeds wants parents,
        /// however large the buffer.
        seeds_bytes_per_s: f64,
        /// Unused upload rate, bytes per second.
        spare_bytes_per_s: u64,
    },
    /// Whether this stretch of the film (of [`Config::data_width_s`] seconds) is verified and
    /// stored completely. Only data slots use it.
    Holds {
        /// Number of the stretch from the film's start.
        stretch: u32,
        /// Whether it is complete.
        held: bool,
    },
    /// An address at which others reach us. It is not to be dialled.
    Own(SocketAddr),
    /// An operation returned addresses; it may return more. An announce returns those that its own
    /// lookup found.
    Found(Operation, Vec<SocketAddr>),
    /// An operation ended. True: a lookup is complete, or at least one node stored an announce.
    /// False: it failed.
    Ended(Operation, bool),
    /// A dial ended.
    Dialled(SocketAddr, Dialled),
    /// A peer, parent or not, sent a message.
    Said(PeerKey, Message),
    /// A peer, parent or not, sent this many useful bytes.
    Gave(PeerKey, u64),
    /// A peer left.
    Left(PeerKey),
    /// A peer was banned: its address is never dialled again.
    Banned(PeerKey),
    /// The time of [`super::Slots::next_timeout`] has come.
    Timeout,
}

/// An action for the driver.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Output {
    /// Look up this key (BEP 5 get_peers). Answer with [`Input::Found`] and [`Input::Ended`].
    Lookup {
        /// Number of the operation.
        operation: Operation,
        /// Key to look up.
        key: Key,
    },
    /// Announce our port under this key (BEP 5 announce_peer). Answer as for a lookup.
    Announce {
        /// Number of the operation.
        operation: Operation,
        /// Key to announce.
        key: Key,
    },
    /// Cancel this operation, whose answer is no longer needed. No answer is expected.
    Cancel(Operation),
    /// Dial this address, for which a place is reserved. Answer with [`Input::Dialled`].
    Dial(SocketAddr),
    /// Release this peer, which is no longer a parent: its reserved place is free. It may stay as
    /// an ordinary peer.
    Release(PeerKey),
    /// Send this message to all peers that support the extension. Send [`super::Slots::message`] to
    /// each that joins later.
    Tell(Message),
}

/// The counters for status and simulations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Counters {
    /// Lookups started.
    pub lookups: u64,
    /// Announces started.
    pub announces: u64,
    /// Operations that failed or timed out.
    pub failed_operations: u64,
    /// Addresses returned by operations.
    pub found: u64,
    /// Of these, addresses that were ignored: garbage, our own, known, failed before, or too many.
    pub ignored: u64,
    /// Dials started.
    pub dials: u64,
    /// Dials that gained no parent.
    pub failed_dials: u64,
    /// Parents released because they did not serve.
    pub released: u64,
    /// Bytes received from parents while they were parents.
    pub parent_bytes: u64,
    /// Bytes received from all other peers.
    pub other_bytes: u64,
}
