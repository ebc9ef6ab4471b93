//! The options of a run.

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use playswarm_tests::netlab::Link;
use serde::Serialize;
use std::path::PathBuf;

/// Measures a live channel with real processes on a shaped network: one source whose line holds a few
/// copies of the stream, and many viewers behind home connections.
///
/// Needs root (network namespaces) and iproute2.
#[derive(Clone, Debug, Parser, Serialize)]
#[command(name = "live_figures")]
pub(crate) struct Options {
    /// Name of the run in tables.
    #[arg(long, default_value = "run", value_name = "TEXT")]
    pub(crate) name: String,
    /// Number of viewers that are present at once.
    #[arg(long, default_value_t = 20, value_name = "NUMBER")]
    pub(crate) viewers: usize,
    /// Length of the run in minutes.
    #[arg(long, default_value_t = 2.0)]
    pub(crate) minutes: f64,
    /// Rate of the stream in bytes per second.
    #[arg(long, default_value_t = 50_000, value_name = "BYTES")]
    pub(crate) rate: u64,
    /// Seconds between two keyframes.
    #[arg(long, default_value_t = 2.0, value_name = "SECONDS")]
    pub(crate) keyframes: f64,
    /// Seconds within which the viewers arrive, evenly.
    #[arg(long, default_value_t = 30.0, value_name = "SECONDS")]
    pub(crate) spread: f64,
    /// Mean stay of a viewer in minutes. It then dies as by a power cut, and another arrives at once. 0: all
    /// stay.
    #[arg(long, default_value_t = 0.0, value_name = "MINUTES")]
    pub(crate) stay: f64,
    /// Whom to kill (SIGKILL) once all viewers are there.
    #[arg(long, value_enum, default_value_t = Kill::Nobody)]
    pub(crate) kill: Kill,
    /// Copies of the stream, with parity and framing, that the source's line holds.
    #[arg(long, default_value_t = 3.0, value_name = "NUMBER")]
    pub(crate) copies: f64,
    /// Uplink of the viewers in multiples of a copy, dealt out in turn.
    #[arg(long, default_values_t = [0.5, 1.0, 2.0, 3.0], value_delimiter = ',', value_name = "NUMBER")]
    pub(crate) up: Vec<f64>,
    /// One-way delay of every line in milliseconds.
    #[arg(long, default_value_t = 20.0, value_name = "MS")]
    pub(crate) delay_ms: f64,
    /// The same of the source's line, if it differs.
    #[arg(long, value_name = "MS")]
    pub(crate) source_delay_ms: Option<f64>,
    /// Share of the packets that every viewer's line loses.
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    pub(crate) loss: f64,
    /// Nodes are not told of their lines (no `--up-limit`).
    #[arg(long)]
    pub(crate) unlimited: bool,
    /// Seed of the stays.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Settings of all nodes, a JSON file as for `playswarm watch --config`.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Stripes of data and of parity. Default: 4+1 below 64 kB/s, else 8+1.
    #[arg(long, value_name = "DATA+PARITY", value_parser = stripes)]
    pub(crate) stripes: Option<(u8, u8)>,
    /// Program under test. Default: PLAYSWARM_BIN, else the one built beside this program.
    #[arg(long, value_name = "FILE")]
    pub(crate) program: Option<PathBuf>,
    /// Log filter of all nodes (as PLAYSWARM_LOG).
    #[arg(long, default_value = "warn", value_name = "FILTER")]
    pub(crate) log: String,
    /// Folder to which their logs are written at the end.
    #[arg(long, value_name = "DIR")]
    pub(crate) log_dir: Option<PathBuf>,
    /// Appends the figures as a line of JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Writes the tables into this page, between its markers.
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
    /// Instead of a crowd, starts mpv so many times at a film from FFmpeg's encoder, and prints when its first
    /// picture is there and how old its pictures are.
    #[arg(long, value_name = "STARTS")]
    pub(crate) mpv: Option<usize>,
    /// Runs nothing and uses the figures of earlier runs.
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
}

/// Whom to kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kill {
    /// Nobody.
    Nobody,
    /// Each viewer in turn. Another arrives in its place.
    Each,
    /// A tenth of the viewers within a second.
    Tenth,
}

fn stripes(text: &str) -> Result<(u8, u8)> {
    let (data, parity) = text.split_once('+').context("Write DATA+PARITY, such as 8+1.")?;
    Ok((data.parse()?, parity.parse()?))
}

/// Bytes on the line for each of a packet: proof, signature, frame, and headers of TCP and IP.
const FRAMING: f64 = 1.08;

impl Options {
    /// Rejects impossible options.
    pub(crate) fn check(&self) -> Result<()> {
        if self.viewers == 0 || self.viewers > 200 {
            bail!("--viewers takes 1 to 200, because the network has at most that many hosts.");
        }
        if !(self.minutes > 0.0 && self.minutes <= 600.0 && self.spread >= 0.0 && self.stay >= 0.0) {
            bail!("--minutes takes up to 600; --spread and --stay take no negative time.");
        }
        if self.rate < 2_000 || self.up.is_empty() || self.up.iter().any(|up| *up < 0.0) || self.copies < 1.0 {
            bail!("--rate takes at least 2000 bytes per second, --copies at least 1, --up numbers from 0 on.");
        }
        Ok(())
    }

    /// Returns the bytes of all packets for each of data, N / K.
    pub(crate) fn parity(&self) -> f64 {
        let (data, parity) = self.stripes.unwrap_or(if self.rate < 64_000 { (4, 1) } else { (8, 1) });
        1.0 + f64::from(parity) / f64::from(data)
    }

    /// Returns the bytes per second that this many copies take on a line.
    pub(crate) fn line(&self, copies: f64) -> u64 {
        (copies * self.rate as f64 * self.parity() * FRAMING) as u64
    }

    pub(crate) fn viewer_up(&self, viewer: usize) -> u64 {
        self.line(self.up[viewer % self.up.len()])
    }

    pub(crate) fn link(&self, up: u64, loss: f64) -> Link {
        // A line of nothing would be one without a limit.
        let up_kbit = (up * 8 / 1000).max(64);
        Link { up_kbit, delay_ms: self.delay_ms, loss, ..Link::default() }
    }
}
