//! The real picker with sources over HTTP: mirrors, and the experiments of GnuStream.

use playswarm_logic::{BLOCK_BYTES, buffering};
use playswarm_sim::{
    Change, Disturbance, Options, Policy, Report, Scenario, Step, WaitKind, bench, run_policy, scenario,
};

const SEEDS: u64 = 3;
/// GnuStream's clip: bytes, and bytes per second.
const CLIP_BYTES: u64 = 17_160_000;
const CLIP_RATE: f64 = 143_000.0;
/// Time of the change in the experiments with a standby, in seconds.
const CHANGE_S: f64 = 40.0;

fn named(name: &str) -> Scenario {
    scenario(name).unwrap_or_else(|| panic!("no scenario {name}"))
}

fn runs_of(scenario: &Scenario) -> Vec<Report> {
    let run = |seed| {
        let options = Options::default();
        let report = run_policy(scenario, Policy::EarliestArrival, seed, options).expect("the picker is sound");
        assert!(report.faults.is_empty() && report.unfinished.is_empty(), "{:?}", (&report.faults, &report.unfinished));
        report
    };
    (1..=SEEDS).map(run).collect()
}

fn runs(name: &str) -> Vec<Report> {
    runs_of(&named(name))
}

fn delays(report: &Report, kind: WaitKind) -> Vec<f64> {
    report.waits.iter().filter(|w| w.kind == kind).map(|w| w.delay_s.expect("the byte came")).collect()
}

#[test]
fn a_lone_web_seed_shows_its_first_byte_and_that_of_a_jump_at_its_own_pace() {
    let (rtt_s, piece_s) = (0.080, f64::from(1 << 20) / 1.25e6);
    for report in runs("web_seed") {
        let start = delays(&report, WaitKind::Start)[0];
        assert!(start <= 1.2 * (2.0 * rtt_s + piece_s), "{start}");
        for jump in delays(&report, WaitKind::Seek) {
            assert!(jump <= 1.2 * (rtt_s + piece_s), "{jump}");
        }
    }
}

/// Without pipelining, the line is idle for a round trip after each GET, and a jump waits for the
/// rest of one.
#[test]
fn a_web_seed_that_does_not_pipeline_costs_a_few_round_trips_more() {
    let (rtt_s, piece_s) = (0.080, f64::from(1 << 20) / 1.25e6);
    for report in runs("web_seed_serial") {
        let start = delays(&report, WaitKind::Start)[0];
        assert!(start <= 1.7 * (2.0 * rtt_s + piece_s), "{start}");
        for jump in delays(&report, WaitKind::Seek) {
            assert!(jump <= 1.6 * (rtt_s + piece_s), "{jump}");
        }
        assert_eq!(report.stalls, 0);
    }
}

#[test]
fn mirrors_beside_peers_start_and_jump_near_the_limit_of_all_of_them() {
    let (cell, reports) = bench(&named("mirrors"), Policy::EarliestArrival, SEEDS).expect("the picker is sound");
    assert!(cell.start.is_some_and(|ratio| ratio <= 1.25), "{cell:?}");
    assert!(cell.worst_seek.is_some_and(|ratio| ratio <= 1.25), "{cell:?}");
    assert!(cell.waste <= 0.03 && cell.faults == 0 && cell.stalls == 0.0, "{cell:?}");
    // Fewer GETs than a request for each block.
    for report in reports {
        let from_mirrors: u64 = report.peers[..2].iter().map(|p| p.bytes).sum();
        assert!(
            from_mirrors / report.gets > 2 * u64::from(BLOCK_BYTES),
            "{from_mirrors} bytes in {} GETs",
            report.gets
        );
    }
}

#[test]
fn mirrors_and_peers_together_deliver_the_sum_of_their_rates() {
    let whole = named("mirrors_whole");
    let sum: f64 = whole.peers.iter().map(|group| f64::from(group.count) * group.rate).sum();
    for report in runs_of(&whole) {
        let rate = whole.total_bytes as f64 / report.complete_s.expect("all of it came");
        assert!(rate >= 0.95 * sum, "{rate} of {sum}");
        assert!(report.waste_share() <= 0.03, "{}", report.waste_share());
    }
}

#[test]
fn three_senders_play_the_clip_of_gnustream() {
    for report in runs("gnustream") {
        let start = delays(&report, WaitKind::Start)[0];
        assert!(start <= 1.2 * 1.54, "{start}");
        assert_eq!(report.stalls, 0);
        let rate = CLIP_BYTES as f64 / report.complete_s.expect("all of it came");
        assert!(rate >= 171e3, "{rate}");
        let mean = CLIP_BYTES as f64 / 3.0;
        for sender in &report.peers {
            assert!((sender.bytes as f64 / mean - 1.0).abs() <= 0.1, "{:?}", report.peers);
        }
        assert!(report.waste_share() <= 0.02, "{}", report.waste_share());
    }
}

/// Checks that a standby replaces a sender, and that it was dialled within this time.
fn a_standby_takes_over(name: &str, noticed_s: f64) {
    for report in runs(name) {
        assert_eq!(report.stalls, 0, "{name}");
        let dialled_s = report.peers[3].dialled_s.expect("the standby was needed");
        assert!((0.0..=noticed_s).contains(&(dialled_s - CHANGE_S)), "{name}: noticed at {dialled_s}");
        // The mean of two seconds: senders of three blocks a second deliver these unevenly.
        let from = (dialled_s + 1.0).ceil() as usize;
        let rate = report.delivered_by_second[from..from + 2].iter().sum::<u64>() as f64 / 2.0;
        assert!(rate >= CLIP_RATE, "{name}: {rate}");
        assert!(report.waste_share() <= 0.02, "{name}: {}", report.waste_share());
    }
}

#[test]
fn a_standby_replaces_a_sender_that_was_killed() {
    a_standby_takes_over("gnustream_standby", 0.3);
}

#[test]
fn a_standby_replaces_a_sender_that_was_pulled() {
    a_standby_takes_over("gnustream_pulled", 1.5);
}

#[test]
fn a_standby_replaces_a_sender_that_was_throttled() {
    a_standby_takes_over("gnustream_throttled", 5.0);
}

#[test]
fn a_standby_is_not_dialled_without_need() {
    let calm = Scenario { disturbances: Vec::new(), ..named("gnustream_standby") };
    for report in runs_of(&calm) {
        assert_eq!(report.peers[3].dialled_s, None);
    }
}

#[test]
fn the_wait_that_two_slow_senders_demand_is_known_after_eight_seconds() {
    for report in runs("gnustream_two") {
        assert!(report.stalls > 0, "a player that begins at once stalls");
        // The first two seconds are left out: the senders are dialled.
        let arrival = report.delivered_by_second[2..8].iter().sum::<u64>() as f64 / 6.0;
        let wait_s = buffering::of_steady_film(CLIP_BYTES, arrival, CLIP_RATE).expect("data arrives");
        assert!((wait_s / 23.0 - 1.0).abs() <= 0.1, "{wait_s}");
    }
}

/// The margin covers the time to the first byte, and the tenth by which the figure may be wrong.
#[test]
fn a_player_that_waits_as_long_as_two_slow_senders_demand_does_not_stall() {
    let mut patient = named("gnustream_two");
    patient.readers[0].steps = vec![(0.0, Step::Pause), (1.5 + 1.1 * 23.0, Step::Resume)];
    for report in runs_of(&patient) {
        assert_eq!(report.stalls, 0, "{} s", report.stalled_s);
    }
}

/// GnuStream's policies even and proportional, beside playswarm's own.
#[test]
fn no_policy_of_gnustream_plays_better_than_earliest_arrival() {
    for name in ["gnustream", "gnustream_uneven", "gnustream_drift", "gnustream_dying"] {
        let cell = |policy| bench(&named(name), policy, SEEDS).expect("the picker is sound").0;
        let ours = cell(Policy::EarliestArrival);
        assert!(ours.start.is_some(), "{name}: {ours:?}");
        for policy in [Policy::Even, Policy::Proportional] {
            let other = cell(policy);
            assert!(ours.start <= other.start.map(|start| 1.03 * start), "{name}: {ours:?} {other:?}");
            assert!(ours.stalled_share <= other.stalled_share + 0.03, "{name}: {ours:?} {other:?}");
        }
    }
}

#[test]
fn a_mirror_that_dies_in_mid_play_is_not_missed() {
    let mut dying = named("mirrors");
    for change in [Change::Leave, Change::Cut, Change::Rate(2_000.0)] {
        dying.disturbances = vec![Disturbance { at_s: 9.0, peer: 0, change }];
        for report in runs_of(&dying) {
            assert_eq!(report.stalls, 0, "{change:?}");
            assert!(report.waste_share() <= 0.03, "{change:?}: {}", report.waste_share());
        }
    }
}
