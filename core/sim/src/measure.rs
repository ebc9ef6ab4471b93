//! What a run is judged by.

use crate::stats::{gini, median};
use playswarm_logic::picker::Counters;
use std::collections::BTreeMap;

/// Why a reader had to wait for its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitKind {
    /// It opened.
    Start,
    /// It jumped.
    Seek,
}

/// What one peer did during one wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Share {
    /// Bytes of the piece that was waited for.
    pub useful_bytes: u64,
    /// Bytes of other pieces.
    pub other_bytes: u64,
    /// Seconds into the wait when its first useful bytes came, and its last.
    pub first_s: f64,
    /// See `first_s`.
    pub last_s: f64,
}

/// One wait for a first byte.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Wait {
    /// Opened or sought.
    pub kind: WaitKind,
    /// Seconds from the start of the run.
    pub at_s: f64,
    /// The piece of the byte.
    pub piece: u32,
    /// Blocks of it that were here already.
    pub blocks_here: u32,
    /// The least that it could take, seconds.
    pub limit_s: Option<f64>,
    /// The least with each peer's own delay and whole blocks, seconds (docs/SIM.md).
    pub floor_s: Option<f64>,
    /// What it took; `None` where the reader left before.
    pub delay_s: Option<f64>,
    /// Seconds that it lasted at least, where `delay_s` is `None`.
    pub gave_up_s: Option<f64>,
    /// Who delivered what meanwhile, by the peer's number.
    pub shares: BTreeMap<u32, Share>,
}

impl Wait {
    /// Delay by limit. A wait that was left counts only if it was over its limit already. One whose byte was here
    /// at once, or whose piece nobody had, says nothing.
    pub fn ratio(&self) -> Option<f64> {
        let limit = self.limit_s?;
        match (self.delay_s, self.gave_up_s) {
            (Some(delay), _) if delay > 0.0 => Some(delay / limit),
            (None, Some(after)) if after > limit => Some(after / limit),
            _ => None,
        }
    }
}

/// What one peer did in the whole run.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct PeerLoad {
    /// Bytes that came from it.
    pub bytes: u64,
    /// Bytes that it could have sent while it was there.
    pub capacity_bytes: f64,
}

/// The measures of one run.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Report {
    /// The scenario's name.
    pub scenario: String,
    /// The policy's name, or what the caller called its machine.
    pub policy: String,
    /// The seed of the run.
    pub seed: u64,
    /// Waits for first bytes, in order.
    pub waits: Vec<Wait>,
    /// Times the clock of any reader stood for want of bytes.
    pub stalls: u32,
    /// Seconds of it.
    pub stalled_s: f64,
    /// Seconds played.
    pub played_s: f64,
    /// Bytes handed to readers.
    pub read_bytes: u64,
    /// Bytes of blocks and of parts of blocks that came through the viewer's link.
    pub delivered_bytes: u64,
    /// Bytes of whole blocks that were stored.
    pub stored_bytes: u64,
    /// The machine's own counters.
    pub counters: Counters,
    /// By the peer's number.
    pub peers: Vec<PeerLoad>,
    /// How often the machine was told something.
    pub inputs: u64,
    /// Seconds of virtual time until the run was over.
    pub ended_s: f64,
    /// What went against the protocol, by kind: requests to who chokes us, or has not the piece, or twice, and so on.
    pub faults: BTreeMap<String, u64>,
    /// What was still wanted when the run had to end; empty when all was read.
    pub unfinished: Vec<String>,
}

impl Report {
    /// Delay by limit of the first opening.
    pub fn start_ratio(&self) -> Option<f64> {
        self.waits.iter().find(|w| w.kind == WaitKind::Start)?.ratio()
    }

    /// Delay by limit of each seek that says something.
    pub fn seek_ratios(&self) -> Vec<f64> {
        self.waits.iter().filter(|w| w.kind == WaitKind::Seek).filter_map(Wait::ratio).collect()
    }

    /// Delay by floor, the median over all waits that say something.
    pub fn by_floor(&self) -> Option<f64> {
        let all: Vec<f64> = self
            .waits
            .iter()
            .filter_map(|w| Some((w.delay_s.filter(|d| *d > 0.0)?, w.floor_s?)))
            .map(|(delay, floor)| delay / floor)
            .collect();
        median(&all)
    }

    /// Share of the time after the first picture in which the clock stood.
    pub fn stalled_share(&self) -> f64 {
        let whole = self.stalled_s + self.played_s;
        if whole > 0.0 { self.stalled_s / whole } else { 0.0 }
    }

    /// Share of the received bytes that was for nothing.
    pub fn waste_share(&self) -> f64 {
        let received = self.counters.received_bytes.max(1);
        self.counters.wasted_bytes() as f64 / received as f64
    }

    /// How unevenly the peers' capacities were used: Gini of used shares, 0 where all alike.
    pub fn imbalance(&self) -> f64 {
        let used: Vec<f64> =
            self.peers.iter().filter(|p| p.capacity_bytes > 0.0).map(|p| p.bytes as f64 / p.capacity_bytes).collect();
        gini(&used)
    }
}
