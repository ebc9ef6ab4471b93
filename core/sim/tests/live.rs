//! Live channels in crowds small enough for a test. docs/LIVE-SIM.md has the large ones.

use playswarm_logic::relay::{Add, Delete};
use playswarm_sim::live::{
    Crowd, Departure, Grain, Network, Options, Report, Scenario, Start, Transport, Trees, catalogue, markdown, run, svg,
};

/// Returns viewers of 1 Mbit/s who come within five seconds, on lines of 1.7 and 7 Mbit/s. Groups
/// are as long as they get, which saves events.
fn small(viewers: usize, lasts_s: f64) -> Scenario {
    Scenario {
        bytes_per_s: 131_072.0,
        uploads: vec![(1.7e6, 0.7), (7e6, 0.3)],
        crowd: Crowd::Within(5.0),
        lasts_s,
        ..Scenario::new("test", "small", "a test", viewers)
    }
}

/// Plays a crowd, checking each node's invariants after each of its inputs.
fn play(scenario: &Scenario, seed: u64) -> Report {
    run(scenario, seed, Options { check: true, trace: None }).expect("no invariant is violated")
}

fn gaps(report: &Report) -> u32 {
    report.viewers.iter().map(|viewer| viewer.gaps).sum()
}

/// Returns the sum of a figure over some seeds.
fn over_seeds(scenario: &Scenario, of: impl Fn(&Report) -> f64) -> f64 {
    (1..3).map(|seed| of(&play(scenario, seed))).sum()
}

#[test]
fn every_viewer_of_a_small_crowd_is_served_without_a_gap_and_the_source_feeds_three() {
    for viewers in [3, 10, 30] {
        let report = play(&small(viewers, 18.0), 1);
        assert_eq!((report.viewers.len(), report.unserved()), (viewers, 0));
        assert!(report.viewers.iter().all(|viewer| viewer.fed >= 8), "{}", report.line());
        assert_eq!(gaps(&report), 0, "{}", report.line());
        assert!(report.source_streams <= 3.7, "{}", report.line());
        assert!(report.depth() <= 4, "{}", report.line());
    }
}

/// Returns a crowd in which a viewer that feeds others goes.
fn one_goes(polite: bool) -> Scenario {
    Scenario { departure: Departure::One { at_s: 14.0, depth: 1, polite }, ..small(30, 20.0) }
}

#[test]
fn the_death_of_one_viewer_leaves_the_others_without_a_gap() {
    for seed in 1..4 {
        let report = play(&one_goes(false), seed);
        assert_eq!(report.departures, 1);
        assert!(report.bereft.expect("somebody went") >= 1.0, "it fed nobody: {}", report.line());
        let after = report.after_kill.as_ref().expect("somebody was killed");
        assert_eq!((after.survivors, after.unharmed), (29, 1.0), "{}", report.line());
        assert!(report.viewers.iter().all(|viewer| !viewer.stayed || viewer.fed >= 8), "{}", report.line());
    }
}

#[test]
fn a_viewer_that_says_farewell_costs_fewer_stripes_than_one_that_dies() {
    let repairs = |report: &Report| report.repairs_s.len() as f64;
    let (told, untold) = (over_seeds(&one_goes(true), repairs), over_seeds(&one_goes(false), repairs));
    assert!(told * 2.0 < untold, "{told} stripes lost with farewells, {untold} without");
    let report = play(&one_goes(true), 1);
    assert_eq!(report.viewers.iter().filter(|viewer| !viewer.stayed).count(), 1);
    assert_eq!(gaps(&report), 0, "{}", report.line());
}

#[test]
fn the_same_seed_gives_the_same_report() {
    for grain in [Grain::Packets, Grain::Trees] {
        let scenario = Scenario { grain, departure: Departure::Killed(10.0), ..small(10, 14.0) };
        assert_eq!(play(&scenario, 1), play(&scenario, 1));
        assert_ne!(play(&scenario, 1).viewers, play(&scenario, 2).viewers);
    }
}

#[test]
fn both_grains_tell_the_same_of_one_crowd() {
    let of = |grain| play(&Scenario { grain, ..small(30, 20.0) }, 1);
    let (packets, trees) = (of(Grain::Packets), of(Grain::Trees));
    let near = |a: f64, b: f64, share: f64| (a - b).abs() <= share * a.max(b);
    let pair = |figure: fn(&Report) -> f64| (figure(&packets), figure(&trees));
    for (name, (a, b), share) in [
        ("delay", pair(|r| r.delay_s(0.5).expect("a delay")), 0.3),
        ("depth", pair(Report::mean_depth), 0.3),
        ("source", pair(|r| r.source_streams), 0.05),
    ] {
        assert!(near(a, b, share), "{name}: {a} with packets, {b} with trees");
    }
    assert_eq!((trees.unserved(), gaps(&trees)), (0, 0), "{}", trees.line());
}

#[test]
fn without_stepping_in_viewers_that_give_nothing_starve_the_others() {
    let mut scenario = Scenario { grain: Grain::Trees, ..small(40, 20.0) };
    scenario.uploads = vec![(0.0, 0.6), (4e6, 0.4)];
    let short = |report: &Report| report.viewers.iter().filter(|viewer| viewer.fed < 8).count() as f64;
    let with = over_seeds(&scenario, short);
    scenario.trees.relay.step_in = false;
    let without = over_seeds(&scenario, short);
    assert!(without > with + 10.0, "{without} viewers lack stripes without, {with} with");
}

#[test]
fn without_parity_a_death_is_felt_by_more_viewers() {
    let departure = Departure::MassKill { at_s: 12.0, share: 0.1 };
    let of = |trees| {
        // What parity hides is what would otherwise be asked for.
        let scenario = Scenario { departure, trees, repair: false, ..small(30, 17.0) };
        over_seeds(&scenario, |report| f64::from(gaps(report)))
    };
    let (with, without) = (of(Trees::ours(8, 1)), of(Trees::ours(8, 0)));
    assert!(without > with, "{without} gaps without parity, {with} with");
}

#[test]
fn without_feeding_children_that_move_arrivals_are_felt() {
    let mut scenario = Scenario { grain: Grain::Trees, crowd: Crowd::Within(15.0), ..small(40, 20.0) };
    scenario.uploads = vec![(0.0, 0.5), (7e6, 0.5)];
    scenario.trees = Trees::ours(8, 0);
    let unfed = |report: &Report| report.unfed().expect("groups were counted");
    let with = over_seeds(&scenario, unfed);
    scenario.trees.relay.keep = false;
    let without = over_seeds(&scenario, unfed);
    assert!(without > 2.0 * with, "the share of groups that did not come is {without} without, {with} with");
}

#[test]
fn datagrams_lose_packets_and_streams_delay_them() {
    let of = |transport| play(&Scenario { transport, loss: 0.02, network: Network::Even(0.1), ..small(15, 14.0) }, 1);
    let (tcp, datagram) = (of(Transport::Tcp), of(Transport::Datagram));
    let none = play(&Scenario { network: Network::Even(0.1), ..small(15, 14.0) }, 1);
    assert_eq!((tcp.unserved(), datagram.unserved()), (0, 0));
    let delay = |report: &Report| report.delay_s(0.5).expect("a delay");
    assert!(delay(&tcp) > 1.1 * delay(&none), "{} with loss, {} without", delay(&tcp), delay(&none));
}

#[test]
fn spreadits_policies_build_one_tree_and_the_farther_a_viewer_is_the_later_it_sees() {
    let scenario = Scenario {
        bytes_per_s: 22_477.0,
        uploads: vec![(1e6, 1.0)],
        trees: Trees::paper(Add::Random, Delete::Root),
        network: Network::TransitStub,
        grain: Grain::Trees,
        ..small(60, 40.0)
    };
    let report = play(&scenario, 1);
    assert_eq!((report.stripes, report.unserved()), (1, 0), "{}", report.line());
    let delays = report.delay_by_depth();
    assert!(delays.len() >= 3, "{delays:?}");
    assert!(delays.windows(2).all(|pair| pair[0].1 < pair[1].1), "{delays:?}");
    let links = report.links.expect("there are routers");
    assert!(links.stretch.0 >= 1.0 && links.stress.0 >= 2, "{links:?}");
}

#[test]
fn parents_that_send_nothing_are_left() {
    let mut scenario = Scenario { liars: 0.2, repair: false, ..small(20, 20.0) };
    let of = |report: &Report| f64::from(gaps(report) + report.unserved() as u32);
    let with = over_seeds(&scenario, of);
    // Longer than the run: no stripe ever lags.
    scenario.trees.relay.lag_s = 60.0;
    let without = over_seeds(&scenario, of);
    assert!(without > with, "{without} gaps if they are kept, {with} if they are left");
}

#[test]
fn the_tables_have_a_row_for_each_run_and_the_picture_a_line_for_each_policy() {
    let report = |name: &str| Report { scenario: name.into(), ..play(&small(3, 12.0), 1) };
    let names = ["few", "no_parity", "random_10", "random_100", "nearest_10", "root+none"];
    let reports: Vec<Report> = names.map(report).into();
    let text = markdown(&reports);
    for name in &names[..5] {
        assert!(text.contains(&format!("\n| {name} | ")), "{name}: {text}");
    }
    assert!(!text.contains("root+none") && text.matches("### ").count() == 3, "{text}");
    // Three panels with the two policies that were played.
    assert_eq!(svg(&reports).matches("<polyline").count(), 6);
    assert!(catalogue().len() > 100);
}

#[test]
fn small_messages_that_share_a_segment_leave_the_first_window_to_packets() {
    let lone = catalogue().into_iter().find(|scenario| scenario.name == "joined").expect("it is there");
    let of = |start| {
        let scenario = Scenario { start, crowd: Crowd::Within(8.0), lasts_s: 10.0, ..lone.clone() };
        play(&scenario, 1).first_packet_s(0.5).expect("they play")
    };
    let (free, joined, apart) = (of(Start::Free), of(Start::Joined), of(Start::Apart));
    // A round trip of 80 ms.
    assert!(joined + 0.07 < apart && free <= joined, "{free}, {joined}, {apart}");
}
