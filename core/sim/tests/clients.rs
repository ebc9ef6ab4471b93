//! Swarms of whole clients, small enough for each run of the tests. docs/CLIENTS-SIM.md has the
//! large ones.
#![allow(clippy::unwrap_used)]

use playswarm_sim::clients::{Report, Scenario, run, scenario};

/// Returns a scenario of the catalogue with fewer viewers and a shorter film.
fn small(name: &str, viewers: u32, film_s: f64, arrivals_s: f64) -> Scenario {
    Scenario { viewers, film_s, arrivals_s, ..scenario(name).unwrap() }
}

fn play(scenario: &Scenario) -> Report {
    let report = run(scenario, 1).unwrap();
    println!("{}", report.line());
    report
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let scenario = small("jumpers", 8, 60.0, 20.0);
    let (a, b) = (run(&scenario, 3).unwrap(), run(&scenario, 3).unwrap());
    assert_eq!((a.trace, a.events), (b.trace, b.events));
    assert_ne!(a.trace, run(&scenario, 4).unwrap().trace);
}

#[test]
fn viewers_that_come_one_by_one_start_at_once_never_stall_and_spare_the_origin() {
    let report = play(&small("p2pmod", 24, 120.0, 120.0));
    assert_eq!((report.starts().len(), report.stalls().0), (24, 0));
    assert!(report.starts().last().unwrap() < &1.8, "{:?}", report.starts());
    assert!(report.efficiency() > 0.97, "{}", report.efficiency());
    assert!(report.origin_streams() < 3.0 && report.from_viewers() > 0.6, "{}", report.origin_streams());
}

/// A viewer that plays with a full read-ahead is choked by the others at times. If they did not count
/// then, it would fetch the rest of the film from the origin, which would send 1.2 streams.
#[test]
fn a_viewer_that_has_enough_spares_the_origin_while_others_choke_it() {
    let report = play(&small("p2pmod", 70, 600.0, 600.0));
    assert_eq!((report.starts().len(), report.stalls().0), (70, 0));
    assert!(report.origin_streams() < 1.0, "{}", report.origin_streams());
}

#[test]
fn a_crowd_that_comes_at_once_starts_and_plays() {
    let report = play(&small("flash_crowd", 40, 90.0, 20.0));
    assert_eq!((report.starts().len(), report.stalls().0), (40, 0));
    assert!(report.starts().last().unwrap() < &2.0, "{:?}", report.starts());
}

/// Downlinks of three times the film's rate, and peers that have up to a minute more of the film.
///
/// Without `is_line_busy` in the picker's `is_held`, the piece that blocks the reader counts as
/// stuck while it is queued in the viewer's own line. All peers are then asked for later pieces, which
/// fill the line further: 17 viewers stall, for 5.41 % of the time.
#[test]
fn viewers_with_narrow_downlinks_do_not_stall_behind_their_own_requests() {
    let report = play(&Scenario { viewer_down: 1e6 / 8.0, ..small("p2pmod", 40, 60.0, 60.0) });
    assert_eq!((report.starts().len(), report.stalls().0), (40, 0));
}

#[test]
fn jumps_show_a_picture_soon() {
    let report = play(&small("jumpers", 12, 120.0, 30.0));
    let jumps = report.jumps();
    assert!(jumps.len() > 10 && jumps[jumps.len() * 9 / 10] < 2.0, "{jumps:?}");
}

#[test]
fn wrong_blocks_cost_time_and_nothing_else() {
    let report = play(&small("liars", 15, 90.0, 40.0));
    assert_eq!(report.starts().len(), 15);
    let (_, share) = report.stalls();
    assert!(share < 0.02, "{share}");
}

#[test]
fn viewers_of_whom_most_cannot_be_dialled_feed_each_other_nevertheless() {
    let report = play(&small("behind_nat", 20, 90.0, 60.0));
    assert_eq!((report.starts().len(), report.stalls().0), (20, 0));
    assert!(report.from_viewers() > 0.25, "{}", report.from_viewers());
}
