//! `playswarm-sim live`: crowds of live viewers on the command line.

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use playswarm_logic::Time;
use playswarm_sim::live::{Options, Report, SETS, catalogue, markdown, run as play, svg};
use playswarm_sim::splice;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Options of `playswarm-sim live`.
#[derive(Args)]
pub(crate) struct LiveArgs {
    /// Only this scenario (may be given more than once).
    #[arg(long, value_name = "NAME")]
    scenario: Vec<String>,
    /// Only the scenarios of this table (may be given more than once).
    #[arg(long, value_name = "NAME")]
    set: Vec<String>,
    /// The run's seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Prints the inputs and outputs of the node with this number, 0 for the source: `<` and `>`.
    #[arg(long, value_name = "NODE")]
    trace: Option<usize>,
    /// Lists the scenarios with their subjects, and plays none.
    #[arg(long)]
    list: bool,
    /// Plays none, and uses the reports of earlier runs (may be given more than once).
    #[arg(long, value_name = "FILE")]
    from: Vec<PathBuf>,
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

/// Returns the reports of earlier runs.
fn read(path: &Path) -> Result<Vec<Report>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("Can't read {}.", path.display()))?;
    let reports = text.lines().map(serde_json::from_str).collect::<Result<Vec<Report>, _>>();
    reports.with_context(|| format!("{} has no reports.", path.display()))
}

pub(crate) fn run(args: &LiveArgs) -> Result<()> {
    let all = catalogue();
    if args.list {
        all.iter().for_each(|scenario| println!("{:<10} {:<28} {}", scenario.set, scenario.name, scenario.about));
        return Ok(());
    }
    if let Some(name) = args.scenario.iter().find(|name| !all.iter().any(|s| s.name == **name)) {
        bail!("There is no scenario {name}; `playswarm-sim live --list` names them.");
    }
    if let Some(name) = args.set.iter().find(|name| !SETS.iter().any(|s| s.name == **name)) {
        bail!("There is no table {name}; there are {}.", SETS.map(|set| set.name).join(", "));
    }
    let mut reports: Vec<Report> = Vec::new();
    for path in &args.from {
        reports.extend(read(path)?);
    }
    if args.from.is_empty() {
        play_all(args, &mut reports)?;
    }
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

fn play_all(args: &LiveArgs, reports: &mut Vec<Report>) -> Result<()> {
    let is_all = args.scenario.is_empty() && args.set.is_empty();
    let mut json = args.json.as_ref().map(std::fs::File::create).transpose().context("Can't write the reports.")?;
    for scenario in catalogue() {
        if !(is_all || args.scenario.contains(&scenario.name) || args.set.iter().any(|set| set == scenario.set)) {
            continue;
        }
        let mut print = |at: Time, line: &str| println!("{:>11.6} {line}", at.as_secs_f64());
        let trace = args.trace.map(|node| (node, &mut print as &mut dyn FnMut(Time, &str)));
        let began = Instant::now();
        let options = Options { check: false, trace };
        let report = play(&scenario, args.seed, options).map_err(|why| anyhow!("{}: {why}", scenario.name))?;
        println!("{}; {:.1} s", report.line(), began.elapsed().as_secs_f64());
        if let Some(json) = &mut json {
            writeln!(json, "{}", serde_json::to_string(&report)?)?;
        }
        reports.push(report);
    }
    Ok(())
}
