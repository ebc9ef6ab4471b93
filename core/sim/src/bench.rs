//! Runs scenarios with policies and seeds, and takes the medians.

use crate::measure::Report;
use crate::policy::Policy;
use crate::spec::Scenario;
use crate::stats::median;
use crate::world::{Options, run_policy};

/// Medians over the seeds of one scenario under one policy.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Cell {
    /// The scenario's name.
    pub scenario: String,
    /// The policy's name.
    pub policy: String,
    /// Start delay as a ratio to the limit.
    pub start: Option<f64>,
    /// Median of the seeks of each run.
    pub seek: Option<f64>,
    /// The worst seek of all runs.
    pub worst_seek: Option<f64>,
    /// Delay of starts and seeks together, as a ratio to the floor.
    pub by_floor: Option<f64>,
    /// Stalls per run.
    pub stalls: f64,
    /// Share of the time in which playback stood still.
    pub stalled_share: f64,
    /// Share of the received bytes that was wasted.
    pub waste: f64,
    /// Gini coefficient of the used shares of the peers' capacities.
    pub imbalance: f64,
    /// Requests sent twice, per run.
    pub hedges: f64,
    /// Requests cancelled, per run.
    pub cancels: f64,
    /// Requests abandoned, per run.
    pub timeouts: f64,
    /// All violations of the protocol, in all runs.
    pub faults: u64,
    /// Number of runs in which a wanted byte did not arrive.
    pub unfinished: usize,
}

/// Runs a scenario under a policy with the seeds 1 to `seeds`.
///
/// # Errors
/// As [`run_policy`].
pub fn bench(scenario: &Scenario, policy: Policy, seeds: u64) -> Result<(Cell, Vec<Report>), String> {
    let reports: Vec<Report> = (1..=seeds.max(1))
        .map(|seed| run_policy(scenario, policy, seed, Options::default()))
        .collect::<Result<_, _>>()?;
    let over = |f: &dyn Fn(&Report) -> f64| median(&reports.iter().map(f).collect::<Vec<f64>>()).unwrap_or(0.0);
    let starts: Vec<f64> = reports.iter().filter_map(Report::start_ratio).collect();
    let seeks: Vec<f64> = reports.iter().filter_map(|r| median(&r.seek_ratios())).collect();
    let cell = Cell {
        scenario: scenario.name.clone(),
        policy: policy.name().into(),
        start: median(&starts),
        seek: median(&seeks),
        worst_seek: reports.iter().flat_map(Report::seek_ratios).reduce(f64::max),
        by_floor: median(&reports.iter().filter_map(Report::by_floor).collect::<Vec<f64>>()),
        stalls: over(&|r| f64::from(r.stalls)),
        stalled_share: over(&Report::stalled_share),
        waste: over(&Report::waste_share),
        imbalance: over(&Report::imbalance),
        hedges: over(&|r| r.counters.hedges as f64),
        cancels: over(&|r| r.counters.cancels as f64),
        timeouts: over(&|r| r.counters.timeouts as f64),
        faults: reports.iter().flat_map(|r| r.faults.values()).sum(),
        unfinished: reports.iter().filter(|r| !r.unfinished.is_empty()).count(),
    };
    Ok((cell, reports))
}
