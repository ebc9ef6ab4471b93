//! The measurements of a run.

use crate::stats::{gini, median};
use playswarm_logic::picker::Counters;
use std::collections::BTreeMap;

/// The reason why a reader waited for its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitKind {
    /// The reader was opened.
    Start,
    /// The reader jumped.
    Seek,
}

/// The deliveries of one peer during one wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Share {
    /// Bytes of the awaited piece.
    pub useful_bytes: u64,
    /// Bytes of other pieces.
    pub other_bytes: u64,
    /// Time of its first useful bytes in the wait, in seconds.
    pub first_s: f64,
    /// Time of its last useful bytes, likewise.
    pub last_s: f64,
}

/// A wait for a first byte.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Wait {
    /// Whether the reader was opened or jumped.
    pub kind: WaitKind,
    /// Seconds from the start of the run.
    pub at_s: f64,
    /// The piece that contains the byte.
    pub piece: u32,
    /// Blocks of it that were stored already.
    pub blocks_here: u32,
    /// The limit, in seconds.
    pub limit_s: Option<f64>,
    /// The floor, with each peer's own delay and whole blocks, in seconds (docs/SIM.md).
    pub floor_s: Option<f64>,
    /// The measured delay; `None` if the reader left before.
    pub delay_s: Option<f64>,
    /// Least duration of the wait in seconds, if `delay_s` is `None`.
    pub gave_up_s: Option<f64>,
    /// Deliveries during the wait, by the peer's number.
    pub shares: BTreeMap<u32, Share>,
}

impl Wait {
    /// Returns the delay as a ratio to the limit. An abandoned wait counts only if it exceeded its
    /// limit already. A wait whose byte was stored already, or whose piece no peer had, has no
    /// ratio.
    pub fn ratio(&self) -> Option<f64> {
        let limit = self.limit_s?;
        match (self.delay_s, self.gave_up_s) {
            (Some(delay), _) if delay > 0.0 => Some(delay / limit),
            (None, Some(after)) if after > limit => Some(after / limit),
            _ => None,
        }
    }
}

/// The deliveries of one peer in the whole run.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct PeerLoad {
    /// Bytes received from it.
    pub bytes: u64,
    /// Bytes that it could have sent while it was connected.
    pub capacity_bytes: f64,
    /// Time of its dial, in seconds from the start; `None` for a standby that was not needed.
    pub dialled_s: Option<f64>,
}

/// The measurements of one run.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Report {
    /// The scenario's name.
    pub scenario: String,
    /// The policy's name, or the caller's name for its machine.
    pub policy: String,
    /// The seed of the run.
    pub seed: u64,
    /// Waits for first bytes, in order.
    pub waits: Vec<Wait>,
    /// Number of stalls of any reader.
    pub stalls: u32,
    /// Total time of the stalls, in seconds.
    pub stalled_s: f64,
    /// Seconds played.
    pub played_s: f64,
    /// Bytes handed to readers.
    pub read_bytes: u64,
    /// Bytes of whole and partial blocks that passed the viewer's link.
    pub delivered_bytes: u64,
    /// The same for each second of the run.
    pub delivered_by_second: Vec<u64>,
    /// Time at which every piece was verified, in seconds from the start.
    pub complete_s: Option<f64>,
    /// Number of GETs to sources over HTTP.
    pub gets: u64,
    /// Bytes of whole blocks that were stored.
    pub stored_bytes: u64,
    /// The machine's own counters.
    pub counters: Counters,
    /// By the peer's number.
    pub peers: Vec<PeerLoad>,
    /// Number of inputs to the machine.
    pub inputs: u64,
    /// Virtual time until the end of the run, in seconds.
    pub ended_s: f64,
    /// Violations of the protocol by kind: requests to a peer that chokes us or lacks the piece,
    /// repeated requests, and others.
    pub faults: BTreeMap<String, u64>,
    /// Wanted data at the end of the run; empty if all was read.
    pub unfinished: Vec<String>,
}

impl Report {
    /// Returns the delay of the first opening as a ratio to the limit.
    pub fn start_ratio(&self) -> Option<f64> {
        self.waits.iter().find(|w| w.kind == WaitKind::Start)?.ratio()
    }

    /// Returns the delay of each seek that has a ratio.
    pub fn seek_ratios(&self) -> Vec<f64> {
        self.waits.iter().filter(|w| w.kind == WaitKind::Seek).filter_map(Wait::ratio).collect()
    }

    /// Returns the median over all waits of the delay as a ratio to the floor.
    pub fn by_floor(&self) -> Option<f64> {
        let all: Vec<f64> = self
            .waits
            .iter()
            .filter_map(|w| Some((w.delay_s.filter(|d| *d > 0.0)?, w.floor_s?)))
            .map(|(delay, floor)| delay / floor)
            .collect();
        median(&all)
    }

    /// Returns the share of the time after the first picture in which playback stood still.
    pub fn stalled_share(&self) -> f64 {
        let whole = self.stalled_s + self.played_s;
        if whole > 0.0 { self.stalled_s / whole } else { 0.0 }
    }

    /// Returns the share of the received bytes that was wasted.
    pub fn waste_share(&self) -> f64 {
        let received = self.counters.received_bytes.max(1);
        self.counters.wasted_bytes() as f64 / received as f64
    }

    /// Returns the Gini coefficient of the used shares of the peers' capacities: 0 if all are
    /// equal.
    pub fn imbalance(&self) -> f64 {
        let used: Vec<f64> =
            self.peers.iter().filter(|p| p.capacity_bytes > 0.0).map(|p| p.bytes as f64 / p.capacity_bytes).collect();
        gini(&used)
    }
}
