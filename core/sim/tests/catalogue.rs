//! The real picker in the named swarms.

use playswarm_sim::{Options, Policy, Report, Scenario, bench, catalogue, median, run_policy, scenario};

fn named(name: &str) -> Scenario {
    scenario(name).unwrap_or_else(|| panic!("no scenario {name}"))
}

fn ours(scenario: &Scenario, seed: u64) -> Report {
    run_policy(scenario, Policy::EarliestArrival, seed, Options::default()).expect("the picker is sound")
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let traced = |seed| {
        let mut lines = Vec::new();
        let mut keep = |at: playswarm_logic::Time, line: &str| lines.push(format!("{at:?} {line}"));
        let options = Options { trace: Some(&mut keep), check: false };
        let report = run_policy(&named("mobile"), Policy::EarliestArrival, seed, options).expect("the picker is sound");
        (lines, report)
    };
    let (first, again, other) = (traced(7), traced(7), traced(8));
    assert_eq!(first.0.len(), again.0.len());
    assert!(first == again);
    assert!(first.0 != other.0);
}

#[test]
fn names_are_unique() {
    let mut names: Vec<String> = catalogue().into_iter().map(|s| s.name).collect();
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all);
    assert!(all >= 12);
}

#[test]
fn no_peer_and_no_link_delivers_more_than_it_can() {
    for scenario in catalogue() {
        let report = ours(&scenario, 3);
        let through = report.delivered_bytes as f64;
        assert!(through <= scenario.down_rate * report.ended_s + 65536.0, "{}: {through}", scenario.name);
        assert!(report.stored_bytes <= report.delivered_bytes, "{}", scenario.name);
        assert_eq!(report.delivered_bytes, report.peers.iter().map(|p| p.bytes).sum::<u64>());
        // Varying rates and loss make a peer's capacity an average. Only peers with steady rates
        // are bounded by it.
        let steady = scenario.disturbances.is_empty()
            && scenario.peers.iter().all(|g| g.drift.is_none() && g.loss == 0.0 && g.choke.is_none());
        for (i, peer) in report.peers.iter().enumerate().filter(|_| steady) {
            assert!(peer.bytes as f64 <= peer.capacity_bytes + 65536.0, "{}: peer {i}: {peer:?}", scenario.name);
        }
    }
}

#[test]
fn each_swarm_brings_all_that_is_asked_and_the_protocol_is_kept() {
    for scenario in catalogue() {
        for seed in 1..=2 {
            let report = ours(&scenario, seed);
            assert!(report.unfinished.is_empty(), "{} {seed}: {:?}", scenario.name, report.unfinished);
            assert!(report.faults.is_empty(), "{} {seed}: {:?}", scenario.name, report.faults);
            assert!(!report.waits.is_empty() && report.read_bytes > 0);
        }
    }
}

#[test]
fn the_three_swarms_of_the_lab_start_and_seek_near_the_limit() {
    for (name, start, seek) in [("residential", 1.5, 1.4), ("uneven", 1.5, 1.4), ("churn", 1.5, 1.4)] {
        let (cell, _) = bench(&named(name), Policy::EarliestArrival, 3).expect("the picker is sound");
        assert!(cell.start.is_some_and(|r| r <= start), "{cell:?}");
        assert!(cell.worst_seek.is_some_and(|r| r <= seek), "{cell:?}");
    }
}

/// The bounds are loose, because the limit does not include slow start over long round trips,
/// jitter and unknown rates. docs/SIM.md has the figures.
#[test]
fn every_swarm_starts_and_seeks_within_a_loose_bound() {
    for scenario in catalogue() {
        let bound = match scenario.name.as_str() {
            "thousands" | "high_delay" => 3.0,
            _ => 2.0,
        };
        let (cell, _) = bench(&scenario, Policy::EarliestArrival, 3).expect("the picker is sound");
        // The limit counts a far peer's rate but not its delay, and rates that are not known yet.
        // Where these are most, only the floor is meaningful.
        if matches!(scenario.name.as_str(), "near_and_far" | "clip_uneven" | "demo") {
            assert!(cell.by_floor.is_none_or(|r| r <= bound), "{cell:?}");
            continue;
        }
        assert!(cell.start.is_none_or(|r| r <= bound), "{cell:?}");
        assert!(cell.seek.is_none_or(|r| r <= bound), "{cell:?}");
    }
}

#[test]
fn there_is_no_stall_where_there_is_capacity() {
    for scenario in catalogue().into_iter().filter(|s| s.ample) {
        for seed in 1..=2 {
            let report = ours(&scenario, seed);
            assert_eq!(report.stalls, 0, "{} {seed}: {} s", scenario.name, report.stalled_s);
        }
    }
}

/// Hostile peers are excepted, because a piece with a wrong block is lost as a whole. Pieces of 16
/// MiB have a larger bound: memory has room for two, and a seek drops the received part of a third.
#[test]
fn little_is_wasted() {
    for scenario in catalogue().into_iter().filter(|s| s.name != "liars") {
        let waste: Vec<f64> = (1..=3).map(|seed| ours(&scenario, seed).waste_share()).collect();
        let waste = median(&waste).expect("three runs");
        let bound = match scenario.name.as_str() {
            "huge_pieces" => 0.10,
            _ => 0.03,
        };
        assert!(waste <= bound, "{}: {:.2} %", scenario.name, waste * 100.0);
    }
}

#[test]
fn liars_are_found_and_what_they_spoilt_is_fetched_elsewhere() {
    let report = ours(&named("liars"), 1);
    assert!(report.counters.failed_bytes > 0, "{:?}", report.counters);
    // They can deliver little before they are banned. Two of ten peers that stayed would deliver a
    // fifth of the bytes.
    let lied: u64 = report.peers[8..].iter().map(|p| p.bytes).sum();
    assert!((lied as f64) < 0.1 * report.delivered_bytes as f64, "{lied} of {}", report.delivered_bytes);
    assert_eq!(report.stalls, 0);
}

/// Compares the delays of our policy with each other one, as the median of the ratios over the
/// catalogue.
#[test]
fn earliest_arrival_is_no_worse_than_the_other_policies() {
    let few =
        ["residential", "uneven", "one_fast_one_slow", "many_slow", "churn", "choke_cycles", "partial_peers", "mobile"];
    let cells = |policy| -> Vec<_> {
        few.iter().map(|name| bench(&named(name), policy, 2).expect("the picker is sound").0).collect()
    };
    let ours = cells(Policy::EarliestArrival);
    for policy in Policy::ALL.into_iter().filter(|p| *p != Policy::EarliestArrival) {
        let others = cells(policy);
        let ratios: Vec<f64> = ours
            .iter()
            .zip(&others)
            .flat_map(|(a, b)| [a.start.zip(b.start), a.seek.zip(b.seek)])
            .flatten()
            .map(|(a, b)| a / b)
            .collect();
        let middle = median(&ratios).expect("some scenario has a ratio");
        assert!(middle <= 1.03, "{}: {middle:.2} of {ratios:.2?}", policy.name());
    }
}
