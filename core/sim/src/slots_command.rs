//! `playswarm-sim slots`: the crowds of docs/SLOTS-SIM.md on the command line.

use anyhow::{Context, Result, bail};
use clap::Args;
use playswarm_logic::slots::Kind;
use playswarm_sim::slots::{Index, Report, Sharing, crowds, run as play};

/// What `playswarm-sim slots` can be told.
#[derive(Args)]
pub(crate) struct SlotsArgs {
    /// Only this crowd (may be given more than once).
    #[arg(long, value_name = "NAME")]
    crowd: Vec<String>,
    /// The run's seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only the row of this number.
    #[arg(long)]
    mode: Option<usize>,
    /// Another number of viewers than the crowd's own.
    #[arg(long)]
    viewers: Option<u32>,
}

pub(crate) fn run(args: &SlotsArgs) -> Result<()> {
    let all = crowds();
    for name in &args.crowd {
        if !all.iter().any(|c| c.name == *name) {
            let names: Vec<&str> = all.iter().map(|c| c.name.as_str()).collect();
            bail!("There is no crowd {name}; there are {}.", names.join(", "));
        }
    }
    for crowd in all.iter().filter(|c| args.crowd.is_empty() || args.crowd.contains(&c.name)) {
        let mut crowd = crowd.clone();
        crowd.viewers = args.viewers.unwrap_or(crowd.viewers);
        for (n, (index, sharing)) in [
            (Index::None, Sharing::Even),
            (Index::None, Sharing::Urgent),
            (Index::Slots(Kind::Virtual), Sharing::Even),
            (Index::Slots(Kind::Virtual), Sharing::Urgent),
            (Index::Slots(Kind::Data), Sharing::Urgent),
        ].into_iter().enumerate() {
            if args.mode.is_some_and(|m| m != n) { continue; }
            let began = std::time::Instant::now();
            let r: Report = play(&crowd, index, sharing, args.seed);
            let mut r2 = r.clone();
            r2.origin_minutes.clear();
            println!("{:.1}s {}", began.elapsed().as_secs_f64(), serde_json::to_string(&r2).context("json")?);
        }
    }
    Ok(())
}
