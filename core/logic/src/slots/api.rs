//! The slot index's words: its settings, what it is told, what it says, what it counts.

use super::{Key, Kind, Message};
use crate::{PeerKey, Range};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// What the slot index can be told to do otherwise. Units are in the names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Under what viewers announce and are looked up. Virtual: one announce a quarter of an hour keeps a viewer findable
    /// for the whole film (docs/SLOTS-SIM.md has the two beside each other).
    pub kind: Kind,
    /// Width of a virtual slot. 120 s: clocks and stalls matter little, and a swarm too large for one tracker's answer has
    /// several viewers in it. Part of the key: viewers with another width do not meet.
    pub virtual_width_s: u16,
    /// Width of a data slot. 300 s: a viewer announces twelve an hour. Part of the key.
    pub data_width_s: u16,
    /// Virtual slots that one search goes back at most, the own one included. 8: a quarter of an hour ahead.
    pub reach: u32,
    /// Data slots that are announced at most, newest first. 4: twenty minutes of film.
    pub max_stretches: usize,
    /// Parents without which the search goes on even where nothing is missing. 2: one may leave unnoticed.
    pub least_parents: usize,
    /// Places kept for parents, those being dialled included. 8.
    pub max_parents: usize,
    /// The search stops too when parents give this share of the film's rate. 0.9.
    pub enough_share: f64,
    /// Seeds that give more than this share of the film's rate are relieved: the search goes on. 0.05.
    pub seeds_share: f64,
    /// A parent that gives less than this share of the film's rate does not serve. 0.02: a slow line shared by several.
    pub least_share: f64,
    /// With less in hand the search goes on until the parents' rates are enough, or every place is taken. 15 s: a lookup and a few dials.
    pub low_s: f64,
    /// DHT operations (lookups, announces) at once at most, out of what was not used. 6: a start, or a seek.
    pub operations_burst: u32,
    /// The named budget: DHT operations an hour. 60: at some 37 kB each, about 2 MB an hour.
    pub operations_per_hour: f64,
    /// Dials at once at most, out of what was not used. 16: every place, twice.
    pub dials_burst: u32,
    /// Dials an hour. 600: one in six seconds.
    pub dials_per_hour: f64,
    /// Lookups running at the same time. 2.
    pub lookups_at_once: usize,
    /// Addresses of one operation's answer that are looked at; the rest is ignored. 200.
    pub answer_peers: usize,
    /// Addresses that wait to be dialled. 96: enough to replace every parent several times without the DHT.
    pub max_candidates: usize,
    /// An answer with so many addresses says that its bucket is full, and the slot's next level of buckets is used.
    /// 50: about what one packet of an answer holds.
    pub full_peers: usize,
    /// Announces are repeated after so long, give or take a tenth. 900 s: DHT nodes forget after 25 to 45 minutes.
    pub refresh_s: f64,
    /// A viewer is announced once it has stayed in a slot for so long: who only looks about misleads nobody. 20 s.
    pub announce_after_s: f64,
    /// After a seek the search waits so long for the next one. 1 s. The first search does not wait.
    pub search_after_s: f64,
    /// A bucket is not looked up again for so long; doubled each time it brings nothing new, to 16 times. 60 s.
    pub again_s: f64,
    /// An operation that has not ended by then has failed. 30 s.
    pub operation_timeout_s: f64,
    /// A dial that has not ended by then has failed. 15 s.
    pub dial_timeout_s: f64,
    /// A parent that does not serve for so long while we need more is let go. 15 s.
    pub trial_s: f64,
    /// An address that failed is left alone for so long; doubled each time, to 8 times. 600 s.
    pub forgive_s: f64,
    /// An address that was found and not dialled is forgotten after so long. 600 s: viewers leave.
    pub stale_s: f64,
    /// Parents and dials in one network (IPv4 /24, IPv6 /48) at most, so that one who owns a network owns little of us.
    /// 2. Networks of the local machine and house do not count.
    pub per_network: usize,
    /// Failures in one network after which it is left alone while nobody in it served. 4.
    pub network_failures: u32,
    /// Whether loopback, private and link-local addresses are dialled. Off: on the world's DHT they are garbage, or worse.
    pub local_addresses: bool,
    /// Peers that gave bytes and whose clocks must agree before ours is corrected. 5.
    pub clock_witnesses: usize,
    /// At most so long between two of our messages while we play. 15 s.
    pub tell_s: f64,
    /// Seed of every random choice: buckets, order among equals, spread of the refreshes.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            kind: Kind::Virtual,
            virtual_width_s: 120,
            data_width_s: 300,
            reach: 8,
            max_stretches: 4,
            least_parents: 2,
            max_parents: 8,
            enough_share: 0.9,
            seeds_share: 0.05,
            least_share: 0.02,
            low_s: 15.0,
            operations_burst: 6,
            operations_per_hour: 60.0,
            dials_burst: 16,
            dials_per_hour: 600.0,
            lookups_at_once: 2,
            answer_peers: 200,
            max_candidates: 96,
            full_peers: 50,
            refresh_s: 900.0,
            announce_after_s: 20.0,
            search_after_s: 1.0,
            again_s: 60.0,
            operation_timeout_s: 30.0,
            dial_timeout_s: 15.0,
            trial_s: 15.0,
            forgive_s: 600.0,
            stale_s: 600.0,
            per_network: 2,
            network_failures: 4,
            local_addresses: false,
            clock_witnesses: 5,
            tell_s: 15.0,
            seed: 1,
        }
    }
}

impl Config {
    /// The width of the slots that are announced and looked up, seconds.
    pub fn width_s(&self) -> u16 {
        match self.kind {
            Kind::Virtual => self.virtual_width_s.max(1),
            Kind::Data => self.data_width_s.max(1),
        }
    }

    /// Every number but the seed, of which all are good, and what it may be.
    pub fn ranges(&self) -> Vec<Range> {
        const DAY_S: f64 = 86_400.0;
        /// An hour, for what ends or is done again: nothing useful takes longer.
        const HOUR_S: f64 = 3600.0;
        let count = |name, value: usize, least, most| Range::new(name, value as f64, least, most);
        vec![
            Range::new("virtual_width_s", self.virtual_width_s.into(), 1.0, u16::MAX.into()),
            Range::new("data_width_s", self.data_width_s.into(), 1.0, u16::MAX.into()),
            Range::new("reach", self.reach.into(), 1.0, 1000.0),
            count("max_stretches", self.max_stretches, 0.0, 1000.0),
            count("least_parents", self.least_parents, 0.0, 1000.0),
            count("max_parents", self.max_parents, 0.0, 1000.0),
            Range::new("enough_share", self.enough_share, 0.0, 100.0),
            Range::new("seeds_share", self.seeds_share, 0.0, 100.0),
            Range::new("least_share", self.least_share, 0.0, 1.0),
            Range::new("low_s", self.low_s, 0.0, DAY_S),
            Range::new("operations_burst", self.operations_burst.into(), 0.0, 10_000.0),
            Range::new("operations_per_hour", self.operations_per_hour, 0.0, 100_000.0),
            Range::new("dials_burst", self.dials_burst.into(), 0.0, 10_000.0),
            Range::new("dials_per_hour", self.dials_per_hour, 0.0, 100_000.0),
            count("lookups_at_once", self.lookups_at_once, 0.0, 100.0),
            count("answer_peers", self.answer_peers, 0.0, 10_000.0),
            count("max_candidates", self.max_candidates, 0.0, 100_000.0),
            count("full_peers", self.full_peers, 1.0, 10_000.0),
            Range::new("refresh_s", self.refresh_s, 10.0, DAY_S),
            Range::new("announce_after_s", self.announce_after_s, 0.0, DAY_S),
            Range::new("search_after_s", self.search_after_s, 0.0, HOUR_S),
            Range::new("again_s", self.again_s, 1.0, DAY_S),
            Range::new("operation_timeout_s", self.operation_timeout_s, 1.0, HOUR_S),
            Range::new("dial_timeout_s", self.dial_timeout_s, 1.0, HOUR_S),
            Range::new("trial_s", self.trial_s, 1.0, HOUR_S),
            Range::new("forgive_s", self.forgive_s, 1.0, DAY_S),
            Range::new("stale_s", self.stale_s, 1.0, DAY_S),
            count("per_network", self.per_network, 1.0, 1000.0),
            Range::new("network_failures", self.network_failures.into(), 1.0, 1_000_000.0),
            count("clock_witnesses", self.clock_witnesses, 1.0, 1000.0),
            Range::new("tell_s", self.tell_s, 1.0, HOUR_S),
        ]
    }
}

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Film {
    /// The version-1 info-hash, or the first 20 bytes of the version-2 one where there is no other.
    pub info_hash: [u8; 20],
    /// The file's number in the torrent, from 0.
    pub file: u32,
    /// Its length, seconds.
    pub duration_s: f64,
}

/// A lookup or an announce, named by the machine; never reused within its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Operation(pub u32);

/// How a dial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialled {
    /// There is a connection, new or from before: this is its peer.
    Connected(PeerKey),
    /// Nobody answered, or not in our protocol.
    Failed,
    /// We answered ourselves.
    Ourselves,
    /// It was not tried: it is banned, or there is no place for any connection.
    NotTried,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Input {
    /// The clock on the wall says so many seconds since 1970. To be told first of all, and again now and then: it may be
    /// set meanwhile.
    Wall(f64),
    /// Where the viewer plays: told at the start, at each seek, pause and resume, and every few seconds.
    Play {
        /// Seconds into the film.
        position_s: f64,
        /// Whether it plays on (true) or is paused.
        playing: bool,
    },
    /// The viewer closed the film: nothing more is announced, looked up or dialled until it plays again.
    Stopped,
    /// How the viewer is supplied: told every few seconds.
    Supply {
        /// The film's mean rate; 0 where unknown.
        film_bytes_per_s: f64,
        /// Seconds of film in hand beyond the playhead.
        ahead_s: f64,
        /// What came lately from peers that hold the whole file. A film that only its seeds feed wants parents, however much
        /// is in hand.
        seeds_bytes_per_s: f64,
        /// Upload that nobody uses now.
        spare_bytes_per_s: u64,
    },
    /// This stretch of the film (of [`Config::data_width_s`] seconds) is verified and kept whole, or not any more. Only
    /// data slots use it.
    Holds {
        /// Its number from the film's start.
        stretch: u32,
        /// Whether it is held.
        held: bool,
    },
    /// An address under which others reach us: not to be dialled.
    Own(SocketAddr),
    /// An operation brought addresses; it may bring more. An announce brings those that its own lookup saw.
    Found(Operation, Vec<SocketAddr>),
    /// An operation is over: a lookup found nobody else, an announce was stored by at least one node (true); or it failed.
    Ended(Operation, bool),
    /// A dial ended.
    Dialled(SocketAddr, Dialled),
    /// A message of a peer, parent or not.
    Said(PeerKey, Message),
    /// So many bytes that we could use came from a peer, parent or not.
    Gave(PeerKey, u64),
    /// A peer is gone.
    Left(PeerKey),
    /// A peer was banned: its address is never dialled again.
    Banned(PeerKey),
    /// The time given by [`super::Slots::next_timeout`] has come.
    Timeout,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Output {
    /// Look up this key (BEP 5 get_peers); answer with [`Input::Found`] and [`Input::Ended`].
    Lookup {
        /// Its name.
        operation: Operation,
        /// What to look up.
        key: Key,
    },
    /// Announce our port under this key (BEP 5 announce_peer); answer as for a lookup.
    Announce {
        /// Its name.
        operation: Operation,
        /// Under what.
        key: Key,
    },
    /// This operation's answer is not needed any more; no need to answer.
    Cancel(Operation),
    /// Dial this address, with a place kept for it; answer with [`Input::Dialled`].
    Dial(SocketAddr),
    /// This peer is no parent any more: its kept place is free. It may stay as any other peer.
    Release(PeerKey),
    /// Send this to all peers that know the extension, and what [`super::Slots::message`] gives to each that comes later.
    Tell(Message),
}

/// What was done, for status and for simulations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Counters {
    /// Lookups begun.
    pub lookups: u64,
    /// Announces begun.
    pub announces: u64,
    /// Operations that failed or ran out of time.
    pub failed_operations: u64,
    /// Addresses that answers brought.
    pub found: u64,
    /// Of these, those that were ignored: garbage, our own, known, failed before, or too many.
    pub ignored: u64,
    /// Dials begun.
    pub dials: u64,
    /// Dials that brought no parent.
    pub failed_dials: u64,
    /// Parents that were let go because they did not serve.
    pub released: u64,
    /// Bytes that parents gave while they were parents.
    pub parent_bytes: u64,
    /// Bytes that all other peers gave.
    pub other_bytes: u64,
}
