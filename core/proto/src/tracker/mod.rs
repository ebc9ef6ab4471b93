//! Announces to trackers and their answers: over HTTP (BEP 3) in `http`, over UDP (BEP 15) in `udp`.
//!
//! `playswarm-logic` decides which tracker is announced to, and when; the engine owns the sockets.

pub mod http;
pub mod udp;

use crate::{charset, printable};
use std::net::IpAddr;
use std::time::Duration;

/// Most peers taken from one answer.
pub const MAX_PEERS_OF_ANSWER: usize = 500;
/// Longest message of a tracker kept, characters.
const MAX_WORDS: usize = 200;

/// The event of an announce (BEP 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A regular announce.
    None,
    /// The first announce.
    Started,
    /// Every piece is complete now.
    Completed,
    /// The torrent stops.
    Stopped,
}

/// The retry that a failed tracker demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The tracker named none.
    Usual,
    /// Retry after this pause (BEP 31).
    In(Duration),
    /// Never retry (BEP 31).
    Never,
}

/// The fields of one announce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announce {
    /// Info-hash of the torrent.
    pub info_hash: [u8; 20],
    /// Our peer id.
    pub peer_id: [u8; 20],
    /// Port at which peers reach us; 0 if they cannot.
    pub port: u16,
    /// Payload received since the torrent was opened, bytes.
    pub downloaded: u64,
    /// Payload sent since the torrent was opened, bytes.
    pub uploaded: u64,
    /// Bytes still missing.
    pub left: u64,
    /// The event.
    pub event: Event,
    /// Number that identifies us to the tracker if our address changes.
    pub key: u32,
    /// Number of peers requested.
    pub wanted: u32,
    /// Tracker id to return (HTTP only).
    pub tracker_id: Option<Vec<u8>>,
}

/// A tracker's answer, apart from its peers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Time until the next announce.
    pub interval: Option<Duration>,
    /// Shortest time until the next announce.
    pub min_interval: Option<Duration>,
    /// Number of peers named.
    pub peers: usize,
    /// Number of seeds in the swarm.
    pub seeds: Option<u64>,
    /// Number of other peers in the swarm.
    pub leeches: Option<u64>,
    /// Warning for the user, safe to display.
    pub warning: Option<String>,
    /// Id to return with each announce.
    pub tracker_id: Option<Vec<u8>>,
    /// Our address as the tracker sees it (BEP 24).
    pub external_ip: Option<IpAddr>,
}

impl Answer {
    /// Merges this answer with that over the other address family.
    #[must_use]
    pub fn and(self, other: Answer) -> Answer {
        Answer {
            peers: self.peers + other.peers,
            warning: self.warning.or(other.warning),
            tracker_id: self.tracker_id.or(other.tracker_id),
            seeds: self.seeds.max(other.seeds),
            leeches: self.leeches.max(other.leeches),
            ..self
        }
    }
}

/// Returns a tracker's message in a form that is safe to display.
pub fn words(text: &[u8]) -> String {
    // A character has at most four bytes: the rest cannot be shown in any case.
    let some = &text[..text.len().min(4 * MAX_WORDS)];
    printable::line_within(charset::likely_text(some).trim(), MAX_WORDS).into_owned()
}
