//! The figures of each viewer and of the whole run.

use crate::options::Options;
use playswarm_tests::netlab::Traffic;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One viewer's playback and the counters of its program.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ViewerReport {
    pub(crate) number: usize,
    /// Seconds since the start of the experiment.
    pub(crate) arrived_s: f64,
    pub(crate) left_s: f64,
    /// Time from the program's start to its `url:` line.
    pub(crate) url_s: f64,
    /// Time from the player's request to the first byte.
    pub(crate) first_byte_s: Option<f64>,
    /// Time from the player's request until playback began.
    pub(crate) start_s: Option<f64>,
    /// Time from the program's start until playback began.
    pub(crate) start_from_process_s: Option<f64>,
    pub(crate) stalls: Vec<Stall>,
    /// Seconds of film received.
    pub(crate) played_s: f64,
    /// Payload received, used or not.
    pub(crate) received_bytes: u64,
    /// The part of it from the origin.
    pub(crate) origin_bytes: u64,
    /// Payload by the way in which the program found the peer.
    pub(crate) bytes_by_finding: BTreeMap<String, u64>,
    /// Payload received without use.
    pub(crate) wasted_bytes: u64,
    /// The part of it that another peer had delivered before.
    pub(crate) duplicate_bytes: u64,
    pub(crate) verified_bytes: u64,
    /// Payload sent.
    pub(crate) sent_bytes: u64,
    /// Traffic on its link.
    pub(crate) traffic: Wire,
    pub(crate) cpu_s: f64,
    pub(crate) memory_bytes: u64,
    /// The reason why it ended early.
    pub(crate) ended_badly: Option<String>,
    /// Periodic samples of its program's status.
    pub(crate) samples: Vec<Sample>,
}

/// A stall of the picture.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Stall {
    /// Time at which playback resumed, since the player's request.
    pub(crate) at_s: f64,
    pub(crate) for_s: f64,
    /// The byte with which it resumed.
    pub(crate) byte: u64,
}

/// A sample of `/status`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub(crate) struct Sample {
    pub(crate) at_s: f64,
    pub(crate) peers: usize,
    pub(crate) verified_bytes: u64,
    pub(crate) downloaded_bytes: u64,
    pub(crate) uploaded_bytes: u64,
    pub(crate) origin_bytes: u64,
    pub(crate) ahead_bytes: u64,
}

/// Bytes of IP packets on a link.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Wire {
    pub(crate) sent_bytes: u64,
    pub(crate) received_bytes: u64,
    pub(crate) lost_packets: u64,
}

impl From<Traffic> for Wire {
    fn from(t: Traffic) -> Wire {
        Wire { sent_bytes: t.sent_bytes, received_bytes: t.received_bytes, lost_packets: t.lost_packets }
    }
}

impl ViewerReport {
    pub(crate) fn stalled_s(&self) -> f64 {
        self.stalls.iter().fold(0.0, |sum, stall| sum + stall.for_s)
    }

    /// Returns the stalled time divided by the playing time.
    pub(crate) fn stall_ratio(&self) -> f64 {
        if self.played_s > 0.0 { self.stalled_s() / self.played_s } else { 1.0 }
    }

    /// Returns the share of the payload that was used.
    pub(crate) fn efficiency(&self) -> f64 {
        1.0 - self.wasted_bytes as f64 / self.received_bytes.max(1) as f64
    }
}

/// The whole run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// The options as given.
    pub(crate) options: serde_json::Value,
    /// The film's bytes per second.
    pub(crate) rate: u64,
    /// Time from the first arrival to the last departure.
    pub(crate) seconds: f64,
    pub(crate) viewers: Vec<ViewerReport>,
    /// Traffic on the origin's link.
    pub(crate) origin_traffic: Wire,
    /// Bytes of IP packets that the origin sent in each second.
    pub(crate) origin_seconds: Vec<u64>,
    /// Error messages of the viewers whose thread failed.
    pub(crate) failed: Vec<String>,
    /// Idle share of processor time.
    pub(crate) idle: f64,
    /// Share of processor time spent on low-priority work of others (`nice`).
    #[serde(default)]
    pub(crate) niced: f64,
    /// Idle share in the busiest period of ten seconds.
    pub(crate) least_idle: f64,
    /// Processor time of the viewers and the origin.
    pub(crate) cpu_s: f64,
    /// Processor time of this program: network, players, tracker.
    pub(crate) harness_cpu_s: f64,
    pub(crate) origin_cpu_s: f64,
    pub(crate) origin_memory_bytes: u64,
    pub(crate) dht_cpu_s: f64,
}

/// Shares at which distributions are shown.
pub(crate) const SHARES: [f64; 4] = [0.5, 0.9, 0.95, 1.0];

impl Report {
    pub(crate) fn each(&self, figure: impl Fn(&ViewerReport) -> f64) -> Vec<f64> {
        self.viewers.iter().map(figure).collect()
    }

    /// Returns the start delays; infinite if playback never began.
    pub(crate) fn starts(&self) -> Vec<f64> {
        self.each(|v| v.start_s.unwrap_or(f64::INFINITY))
    }

    /// Returns the payload from the origin, by the viewers' counters.
    pub(crate) fn origin_payload(&self) -> u64 {
        self.viewers.iter().map(|v| v.origin_bytes).sum()
    }

    /// Returns the origin's mean rate in multiples of the film's rate: payload, and all bytes on
    /// the wire.
    pub(crate) fn origin_streams(&self) -> (f64, f64) {
        let stream = self.seconds.max(1.0) * self.rate as f64;
        (self.origin_payload() as f64 / stream, self.origin_traffic.sent_bytes as f64 / stream)
    }

    /// Returns the origin's highest mean over a minute, in multiples of the film's rate, on the
    /// wire.
    pub(crate) fn origin_peak_streams(&self) -> f64 {
        let window = self.origin_seconds.len().min(60);
        let most = self.origin_seconds.windows(window.max(1)).map(|w| w.iter().sum::<u64>()).max().unwrap_or(0);
        most as f64 / window.max(1) as f64 / self.rate as f64
    }

    pub(crate) fn efficiency(&self) -> f64 {
        let received: u64 = self.viewers.iter().map(|v| v.received_bytes).sum();
        let wasted: u64 = self.viewers.iter().map(|v| v.wasted_bytes).sum();
        1.0 - wasted as f64 / received.max(1) as f64
    }

    /// Returns the options of the run, to be stored with its figures.
    pub(crate) fn describe(options: &Options) -> serde_json::Value {
        serde_json::to_value(options).unwrap_or_default()
    }
}
