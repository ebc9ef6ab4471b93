//! The options of the experiments, and what each of them is.

use anyhow::{Result, bail};
use clap::{Parser, ValueEnum};
use playswarm_tests::netlab::Link;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Bytes of TCP's payload in a packet, and of a packet, on a line of the shaped network.
const PACKET: (f64, f64) = (1448.0, 1500.0);

/// Replays GnuStream's experiments with real processes: a receiver, and senders that are web servers
/// behind slow lines.
///
/// Needs root (network namespaces), iproute2 and nginx.
#[derive(Clone, Debug, Parser)]
#[command(name = "gnustream")]
pub(crate) struct Options {
    /// Experiments to run, all by default.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) only: Vec<Experiment>,
    /// Rate of a sender in kB/s.
    #[arg(long, default_value_t = 60.0)]
    pub(crate) sender: f64,
    /// Round trip to each sender in milliseconds.
    #[arg(long, default_value_t = 40.0, value_name = "MS")]
    pub(crate) round_trip: f64,
    /// Rate of the clip in bytes per second.
    #[arg(long, default_value_t = 143_000, value_name = "BYTES")]
    pub(crate) rate: u64,
    /// Length of the clip in seconds.
    #[arg(long, default_value_t = 120)]
    pub(crate) seconds: u64,
    /// Time of the failure in E2, in seconds after the player's request.
    #[arg(long, default_value_t = 40.0, value_name = "SECONDS")]
    pub(crate) failure: f64,
    /// The program, instead of the one next to this binary.
    #[arg(long, value_name = "FILE")]
    pub(crate) program: Option<PathBuf>,
    /// Writes the figures to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Writes the tables into this page, between its markers.
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
    /// Shows the figures of this file instead of running anything.
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
    /// Writes the program's logs into this folder.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) log_dir: Option<PathBuf>,
}

/// One of GnuStream's experiments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub(crate) enum Experiment {
    /// Three senders.
    E1,
    /// The same and a standby; a sender is killed.
    Killed,
    /// The same; its cable is pulled.
    Pulled,
    /// The same; it is throttled to 10 kB/s.
    Throttled,
    /// Two senders, which are too slow. The player begins at once.
    E3,
    /// The same. The player waits as long as it was told, and a tenth.
    Patient,
}

impl Experiment {
    /// Returns all of them.
    pub(crate) const ALL: [Experiment; 6] = [
        Experiment::E1,
        Experiment::Killed,
        Experiment::Pulled,
        Experiment::Throttled,
        Experiment::E3,
        Experiment::Patient,
    ];

    /// Returns the number of senders.
    pub(crate) fn senders(self) -> usize {
        match self {
            Experiment::E1 => 3,
            Experiment::Killed | Experiment::Pulled | Experiment::Throttled => 4,
            Experiment::E3 | Experiment::Patient => 2,
        }
    }

    /// Whether a sender fails.
    pub(crate) fn fails(self) -> bool {
        self.senders() == 4
    }

    /// Returns its name in the tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Experiment::E1 => "E1, three senders",
            Experiment::Killed => "E2, killed",
            Experiment::Pulled => "E2, cable pulled",
            Experiment::Throttled => "E2, throttled to 10 kB/s",
            Experiment::E3 => "E3, two senders, begun at once",
            Experiment::Patient => "E3, begun after the wait",
        }
    }
}

impl Options {
    /// Checks what clap cannot.
    pub(crate) fn check(&self) -> Result<()> {
        if !(1.0..=100_000.0).contains(&self.sender) || !(0.0..=1000.0).contains(&self.round_trip) {
            bail!("A sender has 1 to 100,000 kB/s, and a round trip takes at most 1000 ms.");
        }
        if !(1000..=100_000_000).contains(&self.rate) || !(1..=3600).contains(&self.seconds) {
            bail!("The clip has 1000 to 100,000,000 bytes per second and lasts 1 to 3600 s.");
        }
        Ok(())
    }

    /// Returns the experiments to run.
    pub(crate) fn experiments(&self) -> Vec<Experiment> {
        if self.only.is_empty() { Experiment::ALL.to_vec() } else { self.only.clone() }
    }

    /// Returns the length of the clip in bytes.
    pub(crate) fn clip_bytes(&self) -> u64 {
        self.rate * self.seconds
    }

    /// Returns the uplink of a sender that delivers this payload, in kB/s.
    pub(crate) fn uplink(rate: f64) -> u64 {
        (rate * 8.0 * PACKET.1 / PACKET.0).round() as u64
    }

    /// Returns the line of a sender.
    pub(crate) fn sender_link(&self) -> Link {
        Link { up_kbit: Options::uplink(self.sender), ..self.viewer_link() }
    }

    /// Returns the receiver's line. It has its half of the delay.
    pub(crate) fn viewer_link(&self) -> Link {
        Link { delay_ms: self.round_trip / 4.0, ..Link::default() }
    }

    /// Returns the shortest time to the first byte from this many senders, in seconds: two round trips
    /// and a piece.
    pub(crate) fn limit_s(&self, senders: usize) -> f64 {
        let piece_s = crate::PIECE as f64 / (self.sender * 1000.0 * senders as f64);
        2.0 * self.round_trip / 1000.0 + piece_s
    }

    /// Returns L (1/A - 1/P) for this many senders, in seconds.
    pub(crate) fn wait_s(&self, senders: usize) -> f64 {
        let arrival = self.sender * 1000.0 * senders as f64;
        (self.clip_bytes() as f64 * (1.0 / arrival - 1.0 / self.rate as f64)).max(0.0)
    }
}
