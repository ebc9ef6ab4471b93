//! The real picker in random swarms: its invariants hold after every event, and all bytes that
//! honest peers have arrive.

use playswarm_sim::{Options, Policy, random_scenario, run_policy};

/// Returns the number of swarms: 200, or `PLAYSWARM_SIM_SWARMS` for a longer search.
fn swarms() -> u64 {
    std::env::var("PLAYSWARM_SIM_SWARMS").ok().and_then(|n| n.parse().ok()).unwrap_or(200)
}

fn all_goes_well(policy: Policy, seeds: impl Iterator<Item = u64>) {
    let mut wrong = Vec::new();
    for seed in seeds {
        let scenario = random_scenario(seed);
        match run_policy(&scenario, policy, seed, Options { trace: None, check: true }) {
            Err(why) => wrong.push(why),
            Ok(report) if !report.unfinished.is_empty() || !report.faults.is_empty() => {
                wrong.push(format!("seed {seed}: {:?} {:?}", report.unfinished, report.faults));
            }
            Ok(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{} of the swarms:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn whatever_the_swarm_every_wanted_byte_arrives_and_the_invariants_hold() {
    all_goes_well(Policy::EarliestArrival, 1..=swarms());
}

#[test]
fn the_other_policies_lose_nothing_either() {
    for (i, policy) in Policy::ALL.into_iter().enumerate().skip(1) {
        let first = 1000 * i as u64;
        all_goes_well(policy, first..first + swarms() / 10);
    }
}
