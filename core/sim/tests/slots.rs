//! The slot index in crowds small enough for a test. docs/SLOTS-SIM.md has the large ones.

use playswarm_logic::slots::Kind;
use playswarm_sim::slots::{Crowd, Index, Report, Sharing, crowds, markdown, run, svg};

/// Returns a crowd as dense as 5,000 viewers of a whole film, in a quarter of its time.
fn dense() -> Crowd {
    Crowd { viewers: 900, arrive_s: 1500.0, end_s: 1500.0, film_s: 1500.0, keeps_s: Some(150.0), ..Crowd::default() }
}

fn urgent(crowd: &Crowd, index: Index) -> Report {
    run(crowd, index, Sharing::Urgent, 2)
}

#[test]
fn the_same_seed_gives_the_same_hours() {
    let crowd = Crowd { viewers: 200, ..dense() };
    let index = Index::Slots(Kind::Virtual);
    assert_eq!(urgent(&crowd, index), urgent(&crowd, index));
    assert_ne!(run(&crowd, index, Sharing::Urgent, 3).counters, urgent(&crowd, index).counters);
}

#[test]
fn virtual_slots_relieve_the_origin_by_a_third_even_of_a_small_crowd_and_nobody_stalls_more() {
    let (without, with) = (urgent(&dense(), Index::None), urgent(&dense(), Index::Slots(Kind::Virtual)));
    // The first minutes are the same for both, as the first viewers have no one to copy from.
    let steady = |r: &Report| r.origin_minutes[5..].iter().sum::<f64>();
    assert!(steady(&with) <= 0.67 * steady(&without), "{} of {}", steady(&with), steady(&without));
    assert!(with.stalls <= without.stalls && with.start_s.1 <= without.start_s.1 * 1.05);
    assert!(
        with.operations_per_hour <= 100.0,
        "{}: a first quarter costs more than the mean",
        with.operations_per_hour
    );
}

#[test]
fn sharing_by_urgency_relieves_the_origin_too() {
    let even = run(&dense(), Index::None, Sharing::Even, 2);
    let urgent = urgent(&dense(), Index::None);
    assert!(urgent.origin_streams < even.origin_streams, "{} {}", urgent.origin_streams, even.origin_streams);
}

#[test]
fn garbage_a_sybil_and_an_exodus_leave_the_index_no_worse_than_none() {
    for crowd in [
        Crowd { garbage: 0.33, ..dense() },
        Crowd { sybil_networks: 64, ..dense() },
        Crowd { exodus_s: Some(700.0), ..dense() },
    ] {
        // A single seed varies by a tenth either way.
        let (mut streams, mut without) = (0.0, 0.0);
        for seed in 1..5 {
            let none = run(&crowd, Index::None, Sharing::Urgent, seed);
            let with = run(&crowd, Index::Slots(Kind::Virtual), Sharing::Urgent, seed);
            assert!(with.stalls <= none.stalls + 0.01, "{} stalls", with.stalls);
            assert!(with.dials_per_hour <= 660.0, "{} dials an hour", with.dials_per_hour);
            streams += with.origin_streams;
            without += none.origin_streams;
        }
        assert!(streams <= without * 1.05, "{streams} streams, {without} without an index");
    }
}

#[test]
fn every_crowd_has_its_rows_and_the_table_and_the_picture_have_them_too() {
    let rows = crowds();
    assert!(rows.iter().all(|(_, ways)| !ways.is_empty()));
    assert!(rows.iter().filter(|(crowd, _)| crowd.viewers == 10_000).count() >= 3);
    let reports: Vec<Report> = [Index::None, Index::Slots(Kind::Virtual)]
        .map(|index| run(&Crowd { viewers: 30, end_s: 300.0, ..Crowd::default() }, index, Sharing::Urgent, 1))
        .into();
    assert_eq!(markdown(&reports).lines().count(), 4);
    assert_eq!(svg(&reports).matches("<polyline").count(), 2);
}
