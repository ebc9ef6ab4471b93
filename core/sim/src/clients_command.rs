//! `playswarm-sim clients`: swarms of whole clients on the command line.

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use playswarm_sim::clients::{Report, catalogue, markdown, run as play, svg};
use playswarm_sim::splice;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Options of `playswarm-sim clients`.
#[derive(Args)]
pub(crate) struct ClientsArgs {
    /// Only this scenario (may be given more than once).
    #[arg(long, value_name = "NAME")]
    scenario: Vec<String>,
    /// The run's seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
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
pub(crate) fn read(path: &Path) -> Result<Vec<Report>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("Can't read {}.", path.display()))?;
    let reports = text.lines().map(serde_json::from_str).collect::<Result<Vec<Report>, _>>();
    reports.with_context(|| format!("{} has no reports.", path.display()))
}

pub(crate) fn run(args: &ClientsArgs) -> Result<()> {
    let all = catalogue();
    if args.list {
        all.iter().for_each(|scenario| println!("{:<18} {}", scenario.name, scenario.about));
        return Ok(());
    }
    if let Some(name) = args.scenario.iter().find(|name| !all.iter().any(|s| s.name == **name)) {
        let names: Vec<&str> = all.iter().map(|s| s.name).collect();
        bail!("There is no scenario {name}; there are {}.", names.join(", "));
    }
    let mut reports: Vec<Report> = Vec::new();
    for path in &args.from {
        reports.extend(read(path)?);
    }
    if args.from.is_empty() {
        let mut json = args.json.as_ref().map(std::fs::File::create).transpose().context("Can't write the reports.")?;
        for scenario in all.iter().filter(|s| args.scenario.is_empty() || args.scenario.iter().any(|n| n == s.name)) {
            let began = Instant::now();
            let report = play(scenario, args.seed).map_err(|why| anyhow!("{}: {why}", scenario.name))?;
            println!("{}; {:.1} s", report.line(), began.elapsed().as_secs_f64());
            if let Some(json) = &mut json {
                writeln!(json, "{}", serde_json::to_string(&report)?)?;
            }
            reports.push(report);
        }
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
