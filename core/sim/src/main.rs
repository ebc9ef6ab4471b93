//! `playswarm-sim`: swarms of the catalogue on the command line.

mod clients_command;
mod live_command;
mod slots_command;

use anyhow::{Context, Result, anyhow, bail};
use clap::{Parser, Subcommand};
use playswarm_logic::Time;
use playswarm_sim::{
    Options, Policy, Report, Scenario, bench, catalogue, describe, markdown, random_scenario, run_policy, scenario,
    splice, svg, text,
};
use std::io::Write as _;
use std::path::PathBuf;

/// Plays simulated swarms with playswarm's real picker.
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Lists the scenarios with their subjects.
    List,
    /// Compares policies over scenarios: delays as ratios to the computed limit, stalls, waste and load.
    Bench {
        /// Only this scenario (may be given more than once).
        #[arg(long, value_name = "NAME")]
        scenario: Vec<String>,
        /// Only this policy (may be given more than once).
        #[arg(long, value_name = "NAME")]
        policy: Vec<String>,
        /// Runs of each, with seeds from 1; the table shows their medians.
        #[arg(long, default_value_t = 5)]
        seeds: u64,
        /// Writes the table into this page, between its markers.
        #[arg(long, value_name = "FILE")]
        markdown: Option<PathBuf>,
        /// Writes the picture.
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
        /// Writes every report, one JSON object a line.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// Prints every event of one run: `<` inputs of the picker, `>` its outputs, `#` the viewer,
    /// `!` faults.
    Trace {
        /// The scenario's name, or random:SEED for a swarm of the random tests.
        scenario: String,
        /// The policy's name.
        #[arg(long, default_value = "earliest_arrival")]
        policy: String,
        /// The run's seed.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Only from this second on.
        #[arg(long, default_value_t = 0.0, value_name = "SECONDS")]
        from: f64,
        /// Only up to this second.
        #[arg(long, default_value_t = f64::INFINITY, value_name = "SECONDS")]
        to: f64,
    },
    /// Plays thousands of viewers of one film, with and without the slot index.
    Slots(slots_command::SlotsArgs),
    /// Plays swarms of whole clients, with all decisions of the engine: docs/CLIENTS-SIM.md.
    Clients(clients_command::ClientsArgs),
    /// Plays crowds that watch a live channel: docs/LIVE-SIM.md.
    Live(live_command::LiveArgs),
    /// Lists for each wait of one run the deliveries of each peer, and the totals of each peer.
    Explain {
        /// The scenario's name, or random:SEED for a swarm of the random tests.
        scenario: String,
        /// The policy's name.
        #[arg(long, default_value = "earliest_arrival")]
        policy: String,
        /// The run's seed.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
}

fn main() -> Result<()> {
    match Args::parse().command {
        Command::List => {
            for s in catalogue() {
                println!("{:<18} {}", s.name, s.about);
            }
            Ok(())
        }
        Command::Bench { scenario, policy, seeds, markdown, svg, json } => {
            compare(&scenario, &policy, seeds, markdown, svg, json)
        }
        Command::Trace { scenario, policy, seed, from, to } => {
            let (from, to) = (Time::from_secs_f64(from), Time::from_secs_f64(to));
            let mut out = std::io::BufWriter::new(std::io::stdout().lock());
            let mut closed = false;
            let mut line = |at: Time, text: &str| {
                if at >= from && at <= to && !closed {
                    // The reader of the trace may close the pipe early.
                    closed = writeln!(out, "{:>11.6} {text}", at.as_secs_f64()).is_err();
                }
            };
            let options = Options { trace: Some(&mut line), check: false };
            run_policy(&named(&scenario)?, policy_named(&policy)?, seed, options).map_err(|e| anyhow!(e))?;
            Ok(())
        }
        Command::Slots(args) => slots_command::run(&args),
        Command::Clients(args) => clients_command::run(&args),
        Command::Live(args) => live_command::run(&args),
        Command::Explain { scenario, policy, seed } => {
            let report = run_policy(&named(&scenario)?, policy_named(&policy)?, seed, Options::default());
            let text = explain(&report.map_err(|e| anyhow!(e))?);
            // The reader may close the pipe early.
            let _ = std::io::stdout().write_all(text.as_bytes());
            Ok(())
        }
    }
}

/// Returns a scenario of the catalogue, or the random one of `random:SEED`.
fn named(name: &str) -> Result<Scenario> {
    if let Some(seed) = name.strip_prefix("random:") {
        return Ok(random_scenario(seed.parse().with_context(|| format!("{seed} is not a seed: give a number."))?));
    }
    scenario(name).with_context(|| format!("There is no scenario {name}; `playswarm-sim list` names them."))
}

fn policy_named(name: &str) -> Result<Policy> {
    Policy::ALL
        .into_iter()
        .find(|p| p.name() == name)
        .with_context(|| format!("There is no policy {name}; there are {}.", Policy::ALL.map(Policy::name).join(", ")))
}

fn compare(
    scenarios: &[String],
    policies: &[String],
    seeds: u64,
    page: Option<PathBuf>,
    picture: Option<PathBuf>,
    json: Option<PathBuf>,
) -> Result<()> {
    if seeds == 0 {
        bail!("At least one seed is needed.");
    }
    let scenarios = if scenarios.is_empty() {
        catalogue()
    } else {
        scenarios.iter().map(|n| named(n)).collect::<Result<Vec<_>>>()?
    };
    let policies = if policies.is_empty() {
        Policy::ALL.to_vec()
    } else {
        policies.iter().map(|n| policy_named(n)).collect::<Result<Vec<_>>>()?
    };
    let (mut cells, mut lines) = (Vec::new(), String::new());
    for s in &scenarios {
        for &policy in &policies {
            eprint!("\r{:<60}", format!("{} {}", s.name, policy.name()));
            let (cell, reports) = bench(s, policy, seeds).map_err(|e| anyhow!(e))?;
            cells.push(cell);
            for report in &reports {
                lines += &(serde_json::to_string(report)? + "\n");
            }
        }
    }
    eprintln!("\r{:<60}", "");
    print!("{}", text(&cells));
    if let Some(path) = page {
        let old = match std::fs::read_to_string(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            other => other.with_context(|| format!("Can't read {}.", path.display()))?,
        };
        std::fs::write(&path, splice(&old, &markdown(&cells)))
            .with_context(|| format!("Can't write {}.", path.display()))?;
    }
    if let Some(path) = picture {
        std::fs::write(&path, svg(&cells)).with_context(|| format!("Can't write {}.", path.display()))?;
    }
    if let Some(path) = json {
        std::fs::write(&path, lines).with_context(|| format!("Can't write {}.", path.display()))?;
    }
    Ok(())
}

fn explain(report: &Report) -> String {
    let mut out: String = report.waits.iter().map(|wait| describe(wait) + "\n").collect();
    out += &format!(
        "\nplayed {:.1} s, {} stalls, {:.2} s; wasted {:.2} %; {:?}\nfaults {:?}; unfinished {:?}; {} inputs; over at {:.1} s\n",
        report.played_s,
        report.stalls,
        report.stalled_s,
        report.waste_share() * 100.0,
        report.counters,
        report.faults,
        report.unfinished,
        report.inputs,
        report.ended_s
    );
    out += &format!("delivered {} KiB, stored {} KiB\n", report.delivered_bytes >> 10, report.stored_bytes >> 10);
    for (i, peer) in report.peers.iter().enumerate().take(40) {
        let used = if peer.capacity_bytes > 0.0 { peer.bytes as f64 / peer.capacity_bytes * 100.0 } else { 0.0 };
        out += &format!("peer {i}: {} KiB, {used:.0} % of its capacity\n", peer.bytes >> 10);
    }
    out
}
