//! GnuStream's experiments with real processes (Jiang, Dong, Hefeeda, Bhargava: GnuStream, a P2P media
//! streaming system prototype, ICME 2003): one receiver aggregates several slow senders.
//!
//!     cargo run --release -p playswarm-tests --bin gnustream -- --markdown docs/GNUSTREAM.md
//!
//! The senders are nginx on hosts of a shaped network, the receiver is playswarm with a player. All
//! experiments run at the same time, each on a network of its own: their lines are slow, so that the
//! machine is idle for most of the time.
#![allow(clippy::unwrap_used)]

mod options;
mod report;
mod run;

use anyhow::{Context, Result, bail};
use clap::Parser;
use options::Options;
use playswarm_tests::figures::{self, Ticks};
use playswarm_tests::torrent::TestTorrent;
use playswarm_tests::{mp4_head, playswarm, requirement};
use report::Report;

/// Bytes of a piece.
const PIECE: u64 = 256 << 10;

fn main() -> Result<()> {
    let options = Options::parse();
    options.check()?;
    let report = match &options.from {
        Some(path) => {
            let text = figures::read(path)?;
            serde_json::from_str(&text).with_context(|| format!("{} contains no figures of a run.", path.display()))?
        }
        None => measure(&options)?,
    };
    print!("{}", report.table());
    if let Some(path) = &options.json {
        figures::write(path, &serde_json::to_string_pretty(&report)?)?;
    }
    if let Some(path) = &options.markdown {
        figures::write_into(path, &report.table())?;
    }
    Ok(())
}

fn measure(options: &Options) -> Result<Report> {
    if !requirement::network() || !requirement::program("nginx") {
        bail!("The experiments need root, a private network and nginx.");
    }
    let program = options.program.clone().unwrap_or_else(playswarm::binary);
    if !program.is_file() {
        bail!("There is no program {}.", program.display());
    }
    if let Some(dir) = &options.log_dir {
        std::fs::create_dir_all(dir).with_context(|| format!("Can't make {}.", dir.display()))?;
    }
    let head = mp4_head::head(options.rate, options.clip_bytes());
    let clip = TestTorrent::headed("clip.mp4", head, options.clip_bytes(), PIECE);
    let before = Ticks::now();
    // The networks are made one after the other: they share names.
    let scenes: Vec<_> =
        options.experiments().into_iter().map(|which| run::Scene::new(which, options, &clip, &program)).collect();
    let runs = std::thread::scope(|scope| {
        let runs: Vec<_> = scenes.into_iter().map(|scene| scope.spawn(|| scene.play())).collect();
        runs.into_iter()
            .map(|run| run.join().map_err(|_| anyhow::anyhow!("An experiment failed.")).flatten())
            .collect::<Result<_>>()
    })?;
    Ok(Report::new(options, runs, Ticks::now().idle_since(before)))
}
