//! The figures of a run.

use playswarm_tests::netlab::Traffic;
use serde::{Deserialize, Serialize};

/// One viewer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Viewer {
    pub(crate) host: usize,
    /// Seconds since the start of the stream.
    pub(crate) arrived_s: f64,
    pub(crate) left_s: f64,
    /// Time from the program's start to the first byte at its HTTP server.
    pub(crate) first_s: Option<f64>,
    /// From the joining of the channel to the first verified packet.
    #[serde(default)]
    pub(crate) first_packet_s: Option<f64>,
    /// Whether it was killed, or stayed to the end.
    pub(crate) killed: bool,
    /// Interruptions of the picture: when, and for how long, in seconds.
    pub(crate) gaps: Vec<(f64, f64)>,
    pub(crate) packets: u64,
    pub(crate) lost: u64,
    pub(crate) repeated: u64,
    pub(crate) damaged: u64,
    /// Ages of packets at its HTTP server in seconds, least to most: 5, 50, 95 and 100 %.
    pub(crate) delay_s: Option<[f64; 4]>,
    pub(crate) depth: usize,
    pub(crate) children: usize,
    pub(crate) restored: u64,
    /// Bytes of IP packets on its line.
    pub(crate) received_bytes: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) cpu_s: f64,
    pub(crate) memory_bytes: u64,
}

/// A kill, and what the others saw.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Killed {
    pub(crate) at_s: f64,
    pub(crate) hosts: Vec<usize>,
    /// For each other viewer that lost a stripe: seconds until all its stripes had parents.
    pub(crate) repaired_s: Vec<f64>,
}

/// A run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) name: String,
    pub(crate) options: serde_json::Value,
    pub(crate) rate: u64,
    /// N / K.
    pub(crate) parity: f64,
    pub(crate) seconds: f64,
    pub(crate) viewers: Vec<Viewer>,
    pub(crate) kills: Vec<Killed>,
    /// Bytes of IP packets that the source sent in each second.
    pub(crate) source_seconds: Vec<u64>,
    pub(crate) source_cpu_s: f64,
    pub(crate) source_memory_bytes: u64,
    pub(crate) failed: Vec<String>,
    pub(crate) idle: f64,
    pub(crate) least_idle: f64,
}

impl Viewer {
    pub(crate) fn line(&mut self, before: Traffic, after: Traffic) {
        self.received_bytes = after.received_bytes - before.received_bytes;
        self.sent_bytes = after.sent_bytes - before.sent_bytes;
    }

    pub(crate) fn stayed_s(&self) -> f64 {
        (self.left_s - self.arrived_s).max(0.0)
    }
}

impl Report {
    pub(crate) fn each(&self, figure: impl Fn(&Viewer) -> Option<f64>) -> Vec<f64> {
        self.viewers.iter().filter_map(figure).collect()
    }

    pub(crate) fn viewer_hours(&self) -> f64 {
        self.viewers.iter().map(Viewer::stayed_s).sum::<f64>() / 3600.0
    }

    pub(crate) fn gaps(&self) -> usize {
        self.viewers.iter().map(|v| v.gaps.len()).sum()
    }

    pub(crate) fn lost(&self) -> u64 {
        self.viewers.iter().map(|v| v.lost + v.repeated + v.damaged).sum()
    }

    /// Returns the source's mean and its highest rate over ten seconds, in stream rates on the line.
    pub(crate) fn source(&self) -> (f64, f64) {
        let rate =
            |seconds: &[u64]| seconds.iter().sum::<u64>() as f64 / seconds.len().max(1) as f64 / self.rate as f64;
        (rate(&self.source_seconds), self.source_seconds.windows(10).map(rate).fold(0.0, f64::max))
    }

    /// Returns what the viewers' lines carried beside stream and parity, as a share of these.
    pub(crate) fn overhead(&self) -> f64 {
        let stayed: Vec<&Viewer> = self.viewers.iter().filter(|v| !v.killed && v.packets > 0).collect();
        let sent = stayed.iter().map(|v| v.sent_bytes).sum::<u64>() + self.source_seconds.iter().sum::<u64>();
        let needed = stayed.iter().map(|v| v.packets as f64 * 188.0 * self.parity).sum::<f64>();
        sent as f64 / needed - 1.0
    }

    /// Returns the share of the viewers that saw no gap within ten seconds of a kill.
    pub(crate) fn unharmed(&self) -> Option<f64> {
        let (mut all, mut harmed) = (0, 0);
        for kill in &self.kills {
            for viewer in self.viewers.iter().filter(|v| v.arrived_s < kill.at_s - 3.0 && v.left_s > kill.at_s + 3.0) {
                all += 1;
                harmed += usize::from(viewer.gaps.iter().any(|(at, _)| (kill.at_s..kill.at_s + 10.0).contains(at)));
            }
        }
        (all > 0).then(|| 1.0 - harmed as f64 / f64::from(all))
    }
}
