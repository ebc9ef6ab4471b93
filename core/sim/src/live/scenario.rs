//! What a crowd is: its viewers, their lines, how they come and go, and what connects them.

use super::network::Network;
use playswarm_logic::relay::{Add, Config, Delete};

/// How viewers come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Crowd {
    /// One after the other, evenly over this time.
    Within(f64),
    /// Half evenly over the first time, the others within the second at its end.
    Flash(f64, f64),
}

/// How viewers go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Departure {
    /// They stay.
    None,
    /// After a stay with this mean (exponential), as after a power cut. Others come in their place.
    Killed(f64),
    /// After a stay with this mean (exponential), with a farewell. Others come in their place.
    Polite(f64),
    /// A share of all at one moment, as after a power cut.
    MassKill {
        /// The moment.
        at_s: f64,
        /// The share.
        share: f64,
    },
    /// At this moment, the viewer at this depth that has most viewers below it in the first stripe.
    One {
        /// The moment.
        at_s: f64,
        /// Number of nodes from the source to it, the source included.
        depth: usize,
        /// Whether it says farewell.
        polite: bool,
    },
}

/// What is simulated one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grain {
    /// Each message and packet: up to 500 viewers.
    Packets,
    /// Each message; of the packets, four groups a second, along the trees as they are then.
    Trees,
}

/// What carries packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A stream: a lost packet holds up those behind it until it was sent again.
    Tcp,
    /// A lost packet is lost.
    Datagram,
}

/// How a new TCP connection begins (RFC 6928).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// It is fast at once.
    Free,
    /// It may send ten segments in its first round trip, and twice as many in each further one. Messages
    /// of one moment share a write, and so a segment.
    Joined,
    /// The same, and each message takes a segment.
    Apart,
}

/// What viewers know of their lines.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lines {
    /// What they carry.
    Known,
    /// Nothing.
    Unknown,
    /// Each believes that its line carries this, bits per second.
    Believed(f64),
}

/// The channel's stripes and policies.
#[derive(Clone, Debug, PartialEq)]
pub struct Trees {
    /// Data packets of a group.
    pub data: u8,
    /// Parity packets of a group.
    pub parity: u8,
    /// Settings of each node.
    pub relay: Config,
}

impl Trees {
    /// Returns this many stripes with our own policies.
    pub fn ours(data: u8, parity: u8) -> Trees {
        Trees { data, parity, relay: Config::default() }
    }

    /// Returns SpreadIt: one stripe, one of its pairs of policies, and nothing of ours.
    pub fn paper(add: Add, delete: Delete) -> Trees {
        Trees { data: 1, parity: 0, relay: Config::paper(add, delete) }
    }
}

/// A crowd that watches a channel.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// The table that it belongs to.
    pub set: &'static str,
    /// What it shows.
    pub about: String,
    /// Number of viewers at once.
    pub viewers: usize,
    /// Bytes of stream a second.
    pub bytes_per_s: f64,
    /// Time from restart group to restart group, seconds.
    pub restart_s: f64,
    /// Upload of the source, in streams with parity.
    pub source_streams: f64,
    /// Uploads of viewers, bits per second, each with its share of the viewers.
    pub uploads: Vec<(f64, f64)>,
    /// What viewers know of them.
    pub lines: Lines,
    /// What every line carries, bits per second, if it is not the upload that its node gives.
    pub line: Option<f64>,
    /// Share of the viewers that can't be dialled.
    pub unreachable: f64,
    /// Share of the viewers that take children and send them no packets.
    pub liars: f64,
    /// How they come.
    pub crowd: Crowd,
    /// How they go.
    pub departure: Departure,
    /// Duration of the run, seconds.
    pub lasts_s: f64,
    /// Stripes and policies.
    pub trees: Trees,
    /// The network.
    pub network: Network,
    /// Share of packets that is lost on every way, besides the network's own loss.
    pub loss: f64,
    /// What carries packets.
    pub transport: Transport,
    /// How connections begin.
    pub start: Start,
    /// What is simulated one by one.
    pub grain: Grain,
    /// Whether viewers ask neighbours for packets that are late.
    pub repair: bool,
}

/// Lines of today: 1, 5, 10 and 20 Mbit/s of upload.
pub(super) const TODAY: &[(f64, f64)] = &[(1e6, 0.2), (5e6, 0.3), (10e6, 0.3), (20e6, 0.2)];

impl Scenario {
    /// Returns viewers of 3 Mbit/s on lines of today, who come within a minute and stay.
    pub fn new(set: &'static str, name: impl Into<String>, about: impl Into<String>, viewers: usize) -> Scenario {
        Scenario {
            name: name.into(),
            set,
            about: about.into(),
            viewers,
            bytes_per_s: 375_000.0,
            restart_s: 2.0,
            source_streams: 3.0,
            uploads: TODAY.to_vec(),
            lines: Lines::Known,
            line: None,
            unreachable: 0.0,
            liars: 0.0,
            crowd: Crowd::Within(60.0),
            departure: Departure::None,
            lasts_s: 180.0,
            trees: Trees::ours(8, 1),
            network: Network::Plane,
            loss: 0.0,
            transport: Transport::Tcp,
            start: Start::Free,
            grain: Grain::Packets,
            repair: true,
        }
    }

    /// Returns the longest time from a group's first byte to its last, milliseconds: about 4 KiB a
    /// packet.
    pub fn group_ms(&self) -> u64 {
        let ms = f64::from(self.trees.data) * 4096.0 / self.bytes_per_s * 1000.0;
        ms.clamp(50.0, 250.0) as u64
    }
}
