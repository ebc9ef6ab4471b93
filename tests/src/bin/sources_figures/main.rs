//! Figures of web seeds and mirrors with real processes, beside the limit that the lines set and beside
//! other programs.
//!
//!     cargo run --release -p playswarm-tests --bin sources_figures -- --markdown docs/SOURCES-FIGURES.md
//!
//! The servers are nginx on hosts of a shaped network. On loopback, the whole of a large file is read
//! beside curl.
#![allow(clippy::unwrap_used)]

mod loopback;
mod rivals;
mod shaped;

use anyhow::{Result, bail};
use clap::{Parser, ValueEnum};
use playswarm_tests::figures::{self, Ticks};
use playswarm_tests::{playswarm, requirement};
use std::path::PathBuf;

/// Measures web seeds and mirrors.
///
/// Needs root (network namespaces), iproute2 and nginx; for the peers and for libtorrent the Python
/// environment of scripts/setup.sh --test.
#[derive(Clone, Debug, Parser)]
#[command(name = "sources_figures")]
pub(crate) struct Options {
    /// Measurements to make, all by default.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// MiB of the file on loopback.
    #[arg(long, default_value_t = 1024, value_name = "MIB")]
    loopback: u64,
    /// The program, instead of the one next to this binary.
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Writes the tables into this page, between its markers.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

/// A measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// One web seed of 10 Mbit/s, 40 ms away, without peers.
    Seed,
    /// Two mirrors and six peers.
    Mirrors,
    /// Other programs on the same mirrors.
    Rivals,
    /// A large file on loopback, beside curl.
    Loopback,
}

/// A row of the table: what, the limit or goal, and the figure.
pub(crate) type Row = (String, String, String);

fn main() -> Result<()> {
    let options = Options::parse();
    if !requirement::network() || !requirement::program("nginx") {
        bail!("The figures need root, a private network and nginx.");
    }
    let program = options.program.clone().unwrap_or_else(playswarm::binary);
    if !program.is_file() {
        bail!("There is no program {}.", program.display());
    }
    let parts = [Part::Seed, Part::Mirrors, Part::Rivals, Part::Loopback];
    let wanted = |part: &Part| options.only.is_empty() || options.only.contains(part);
    let mut table = String::new();
    for part in parts.iter().filter(|part| wanted(part)) {
        let before = Ticks::now();
        let (title, rows) = match part {
            Part::Seed => ("One web seed of 10 Mbit/s, round trip 80 ms", shaped::seed(&program)),
            Part::Mirrors => ("Two mirrors (12 and 4 Mbit/s) and six peers (1 to 4 Mbit/s)", shaped::mirrors(&program)),
            Part::Rivals => ("Two mirrors (12 and 4 Mbit/s) without peers", rivals::all(&program)?),
            Part::Loopback => ("nginx on loopback", loopback::whole(&program, options.loopback << 20)?),
        };
        let idle = 100.0 * Ticks::now().idle_since(before);
        table += &format!("| {title}; processors idle {idle:.0} % | limit or goal | measured |\n|---|---:|---:|\n");
        rows.iter().for_each(|(what, limit, figure)| table += &format!("| {what} | {limit} | {figure} |\n"));
        table += "\n";
    }
    print!("{table}");
    if let Some(path) = &options.markdown {
        figures::write_into(path, &table)?;
    }
    Ok(())
}
