//! The options of the experiment.

use anyhow::{Result, bail};
use clap::{Parser, ValueEnum};
use playswarm_tests::netlab::Link;
use serde::Serialize;
use std::path::PathBuf;

/// Runs P2PMoD's experiment with real processes: one origin and many viewers of one film, each
/// behind a home connection.
///
/// Needs root (network namespaces) and iproute2. The DHT and a libtorrent origin need the Python
/// environment of scripts/setup.sh --test.
#[derive(Clone, Debug, Parser, Serialize)]
#[command(name = "p2pmod")]
pub(crate) struct Options {
    /// Number of viewers.
    #[arg(long, default_value_t = 70, value_name = "NUMBER")]
    pub(crate) viewers: usize,
    /// Length of the film in minutes.
    #[arg(long, default_value_t = 10.0)]
    pub(crate) minutes: f64,
    /// Rate of the film in bytes per second.
    #[arg(long, default_value_t = 40_000, value_name = "BYTES")]
    pub(crate) rate: u64,
    /// Piece size in KiB. The default of 32 is 0.8 s of this film, by the rule of `playswarm
    /// create`. By file size alone the rule would choose 256, which is 6.6 s.
    #[arg(long, default_value_t = 32, value_name = "KIB")]
    pub(crate) piece: u64,
    /// Makes a film without an index, so that the program must estimate its rate from the player's
    /// reads.
    #[arg(long)]
    pub(crate) unknown_rate: bool,
    /// Time in seconds within which the viewers arrive, approximately, as a Poisson process.
    #[arg(long, default_value_t = 600.0, value_name = "SECONDS")]
    pub(crate) spread: f64,
    /// Random seed of the arrivals.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Seconds of film buffered before a player begins.
    #[arg(long, default_value_t = 2.0, value_name = "SECONDS")]
    pub(crate) buffer: f64,
    /// Uplink of a viewer in kbit/s.
    #[arg(long, default_value_t = 1_000, value_name = "KBIT")]
    pub(crate) up: u64,
    /// Downlink of a viewer in kbit/s.
    #[arg(long, default_value_t = 8_000, value_name = "KBIT")]
    pub(crate) down: u64,
    /// Uplink of the origin in kbit/s.
    #[arg(long, default_value_t = 10_000, value_name = "KBIT")]
    pub(crate) origin_up: u64,
    /// One-way delay of every line in milliseconds.
    #[arg(long, default_value_t = 20.0, value_name = "MS")]
    pub(crate) delay_ms: f64,
    /// Client of the origin.
    #[arg(long, value_enum, default_value_t = Origin::Playswarm)]
    pub(crate) origin: Origin,
    /// Upload limit of the origin in bytes per second (`--up-limit` of `playswarm seed`).
    #[arg(long, value_name = "BYTES")]
    pub(crate) origin_limit: Option<u64>,
    /// Number of peers in a tracker's response, drawn anew each time.
    #[arg(long, default_value_t = 50, value_name = "NUMBER")]
    pub(crate) named: usize,
    /// Number of libtorrent nodes in the private DHT.
    #[arg(long, default_value_t = 20, value_name = "NUMBER", conflicts_with = "no_dht")]
    pub(crate) dht: u16,
    /// Runs without a DHT.
    #[arg(long)]
    pub(crate) no_dht: bool,
    /// Enables or disables the viewers' slot index (settings `slot_index` and `advanced.slots`).
    #[arg(long, value_enum)]
    pub(crate) index: Option<Switch>,
    /// Settings of the viewers, a JSON object as for `playswarm stream --config`.
    #[arg(long, value_name = "FILE")]
    pub(crate) viewer_config: Option<PathBuf>,
    /// Settings of the origin, likewise.
    #[arg(long, value_name = "FILE")]
    pub(crate) origin_config: Option<PathBuf>,
    /// Program under test. Default: PLAYSWARM_BIN, else the one built beside this program.
    #[arg(long, value_name = "FILE")]
    pub(crate) program: Option<PathBuf>,
    /// Log filter of the viewers and the origin (as PLAYSWARM_LOG).
    #[arg(long, default_value = "warn", value_name = "FILTER")]
    pub(crate) log: String,
    /// Folder to which their logs are written at the end.
    #[arg(long, value_name = "DIR")]
    pub(crate) log_dir: Option<PathBuf>,
    /// Writes all figures as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Writes the table into this page, between its markers.
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
    /// Writes the picture as SVG.
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// Runs nothing and uses the figures of an earlier run.
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
}

/// A client that can be the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Origin {
    /// `playswarm seed`.
    Playswarm,
    /// libtorrent, by its Python module.
    Libtorrent,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Switch {
    On,
    Off,
}

impl Options {
    /// Rejects impossible options.
    pub(crate) fn check(&self) -> Result<()> {
        if self.viewers == 0 || self.viewers > 200 {
            bail!("--viewers takes 1 to 200, because the network has at most that many hosts.");
        }
        if !(self.minutes > 0.0 && self.minutes <= 600.0 && self.spread >= 0.0 && self.spread.is_finite()) {
            bail!("--minutes takes up to 600, and --spread seconds from 0 on.");
        }
        if self.rate == 0 || !self.piece.is_power_of_two() || !(16..=16_384).contains(&self.piece) {
            bail!("--rate takes bytes per second, --piece a power of two from 16 to 16384.");
        }
        Ok(())
    }

    /// Returns the size of the film in bytes.
    pub(crate) fn film_bytes(&self) -> u64 {
        (self.minutes * 60.0 * self.rate as f64) as u64
    }

    pub(crate) fn viewer_link(&self) -> Link {
        Link::home(self.up, self.down, self.delay_ms)
    }

    pub(crate) fn origin_link(&self) -> Link {
        Link::home(self.origin_up, 0, self.delay_ms)
    }

    /// Returns the link of the hub with tracker and DHT: no bottleneck, but as far away as any
    /// other host.
    pub(crate) fn hub_link(&self) -> Link {
        Link::home(0, 0, self.delay_ms)
    }
}
