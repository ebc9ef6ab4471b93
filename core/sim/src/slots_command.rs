//! `playswarm-sim slots`: the crowds of docs/SLOTS-SIM.md on the command line.

use anyhow::{Context, Result, bail};
use clap::Args;
use playswarm_sim::slots::{Comparison, Report, comparison, crowds, markdown, run as play, svg, text};
use playswarm_sim::{clients, splice};
use std::io::Write as _;
use std::path::PathBuf;

/// Options of `playswarm-sim slots`.
#[derive(Args)]
pub(crate) struct SlotsArgs {
    /// Only this crowd (may be given more than once).
    #[arg(long, value_name = "NAME")]
    crowd: Vec<String>,
    /// The run's seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of viewers instead of the crowd's own.
    #[arg(long, value_name = "NUMBER")]
    viewers: Option<u32>,
    /// Lists the crowds with their subjects, and plays none.
    #[arg(long)]
    list: bool,
    /// Plays none, and uses the reports of earlier runs (may be given more than once).
    #[arg(long, value_name = "FILE")]
    from: Vec<PathBuf>,
    /// Plays the viewers of these reports of whole clients as flows, and prints both (may be given more
    /// than once).
    #[arg(long, value_name = "FILE")]
    like: Vec<PathBuf>,
    /// Writes every report as it comes, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes the table into this page, between its markers.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Writes the picture.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

pub(crate) fn run(args: &SlotsArgs) -> Result<()> {
    let all = crowds();
    if args.list {
        for (crowd, _) in &all {
            println!("{:<14} {}", crowd.name, crowd.about);
        }
        return Ok(());
    }
    if !args.like.is_empty() {
        return compare(args);
    }
    if let Some(name) = args.crowd.iter().find(|name| !all.iter().any(|(c, _)| c.name == **name)) {
        let names: Vec<&str> = all.iter().map(|(c, _)| c.name.as_str()).collect();
        bail!("There is no crowd {name}; there are {}.", names.join(", "));
    }
    let reports = if args.from.is_empty() { play_all(args)? } else { read(args)? };
    print!("{}", text(&reports));
    if let Some(path) = &args.markdown {
        let page = std::fs::read_to_string(path).with_context(|| format!("Can't read {}.", path.display()))?;
        std::fs::write(path, splice(&page, &markdown(&reports)))
            .with_context(|| format!("Can't write {}.", path.display()))?;
    }
    if let Some(path) = &args.svg {
        std::fs::write(path, svg(&reports)).with_context(|| format!("Can't write {}.", path.display()))?;
    }
    Ok(())
}

/// Compares runs of whole clients with the same viewers as flows.
fn compare(args: &SlotsArgs) -> Result<()> {
    let mut runs = Vec::new();
    for path in &args.like {
        for report in crate::clients_command::read(path)? {
            let scenario = clients::scenario(&report.scenario)
                .with_context(|| format!("There is no scenario {} any more.", report.scenario))?;
            runs.push(Comparison::new(report, &scenario));
        }
    }
    print!("{}", comparison(&runs));
    Ok(())
}

fn play_all(args: &SlotsArgs) -> Result<Vec<Report>> {
    let mut json = match &args.json {
        Some(path) => {
            let file = std::fs::File::create(path).with_context(|| format!("Can't write {}.", path.display()))?;
            Some(file)
        }
        None => None,
    };
    let mut reports = Vec::new();
    for (mut crowd, rows) in crowds() {
        if !args.crowd.is_empty() && !args.crowd.contains(&crowd.name) {
            continue;
        }
        crowd.viewers = args.viewers.unwrap_or(crowd.viewers);
        for (index, sharing) in rows {
            eprint!("\r{:<60}", format!("{} {} {sharing:?}", crowd.name, index.name()));
            let report = play(&crowd, index, sharing, args.seed);
            if let Some(file) = &mut json {
                writeln!(file, "{}", serde_json::to_string(&report)?).context("Can't write the reports.")?;
            }
            reports.push(report);
        }
    }
    eprintln!("\r{:<60}", "");
    Ok(reports)
}

/// Reads the reports of earlier runs, in the order of the crowds.
fn read(args: &SlotsArgs) -> Result<Vec<Report>> {
    let mut reports: Vec<Report> = Vec::new();
    for path in &args.from {
        let lines = std::fs::read_to_string(path).with_context(|| format!("Can't read {}.", path.display()))?;
        for line in lines.lines() {
            reports.push(serde_json::from_str(line).with_context(|| format!("{}: {line}", path.display()))?);
        }
    }
    let order: Vec<_> = crowds()
        .into_iter()
        .flat_map(|(crowd, rows)| rows.into_iter().map(move |row| (crowd.name.clone(), row)))
        .collect();
    reports.sort_by_key(|r| order.iter().position(|(name, row)| *name == r.crowd && *row == (r.index, r.sharing)));
    Ok(reports)
}
