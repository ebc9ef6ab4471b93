//! The crowds of docs/LIVE-SIM.md, in the order of its tables.

use super::network::Network;
use super::scenario::{Crowd, Departure, Grain, Lines, Scenario, Start, Transport, Trees};
use playswarm_logic::relay::{Add, Config, Delete, Distance};

/// A table of the page: its name, its heading, and how it is read.
pub struct Set {
    /// Its name on the command line.
    pub name: &'static str,
    /// Its heading.
    pub title: &'static str,
}

/// The tables, in order.
pub const SETS: [Set; 7] = [
    Set { name: "ours", title: "Our policies" },
    Set { name: "without", title: "Each of ours switched off" },
    Set { name: "links", title: "Streams against datagrams on lossy ways" },
    Set { name: "testbed", title: "SpreadIt's testbed" },
    Set { name: "sizes", title: "SpreadIt's add policies by number of viewers" },
    Set { name: "departure", title: "SpreadIt's delete policies: one departure" },
    Set { name: "pairs", title: "All pairs of policies" },
];

/// Lines whose mean is 1.4 times what a viewer needs: three of ten give nothing.
const TIGHT: &[(f64, f64)] = &[(0.0, 0.3), (2e6, 0.2), (5e6, 0.2), (12e6, 0.3)];
/// Uploads of the viewers of docs/LIVE-FIGURES.md, in copies of the stream with parity and framing.
const HOMES: [f64; 4] = [0.5, 1.0, 2.0, 3.0];
/// Lines of SpreadIt's time, for streams of 180 kbit/s: modem, DSL, cable, T1, and a campus.
const THEN: &[(f64, f64)] = &[(56e3, 0.2), (256e3, 0.3), (512e3, 0.3), (1.5e6, 0.15), (10e6, 0.05)];
/// Rate of SpreadIt's clip, bytes a second.
const CLIP: f64 = 22_477.0;

const ADDS: [(&str, Add); 6] = [
    ("random", Add::Random),
    ("round_robin", Add::RoundRobin),
    ("smart_placement", Add::SmartPlacement),
    ("knock_downs", Add::KnockDowns),
    ("smart_bandwidth", Add::SmartBandwidth),
    ("nearest", Add::Nearest),
];
const DELETES: [(&str, Delete); 4] = [
    ("grandfather_all", Delete::GrandfatherAll),
    ("root_all", Delete::RootAll),
    ("grandfather", Delete::Grandfather),
    ("root", Delete::Root),
];

/// Returns all scenarios.
pub fn catalogue() -> Vec<Scenario> {
    [ours(), without(), links(), testbed(), sizes(), departure(), pairs()].concat()
}

/// Returns the bits a second with which a viewer can have this many children in one stripe.
fn line(children: f64, bytes_per_s: f64) -> f64 {
    // 1.3: framing and the reserve.
    children * bytes_per_s * 8.0 * 1.3
}

/// Returns viewers on the lines of docs/LIVE-FIGURES.md.
fn homes(name: &str, about: &str, viewers: usize, data: u8, bytes_per_s: f64) -> Scenario {
    // 1.08: framing.
    let copy = bytes_per_s * 8.0 * (1.0 + 1.0 / f64::from(data)) * 1.08;
    Scenario {
        bytes_per_s,
        uploads: HOMES.map(|copies| (copies * copy, 0.25)).to_vec(),
        trees: Trees::ours(data, 1),
        crowd: Crowd::Within(if viewers > 20 { 60.0 } else { 30.0 }),
        lasts_s: 120.0,
        ..Scenario::new("ours", name, about, viewers)
    }
}

fn ours() -> Vec<Scenario> {
    let of = |name, about, viewers| Scenario::new("ours", name, about, viewers);
    let churn = Scenario {
        departure: Departure::Killed(300.0),
        lasts_s: 400.0,
        ..of("churn", "viewers stay five minutes in the mean and go like a power cut", 100)
    };
    let large = |name, about, viewers, within_s, lasts_s| Scenario {
        grain: Grain::Trees,
        crowd: Crowd::Within(within_s),
        lasts_s,
        ..of(name, about, viewers)
    };
    vec![
        of("few", "ten viewers, fewer than stripes need for givers of their own", 10),
        homes("homes", "twenty viewers who give half a copy, one, two and three", 20, 8, 375_000.0),
        homes("homes_slow", "a hundred of them, and a stream of 300 kbit/s", 100, 4, 37_500.0),
        of("hundred", "a hundred viewers of 3 Mbit/s from a source that feeds three", 100),
        Scenario { lasts_s: 120.0, ..of("crowd", "five hundred viewers", 500) },
        large("crowd_trees", "the same five hundred, with trees as the grain", 500, 60.0, 120.0),
        large("crowd_2000", "two thousand viewers", 2000, 90.0, 150.0),
        large("crowd_10000", "ten thousand viewers", 10_000, 120.0, 150.0),
        Scenario {
            crowd: Crowd::Flash(60.0, 10.0),
            lasts_s: 120.0,
            ..of("flash", "three hundred viewers, half of them within ten seconds", 300)
        },
        Scenario {
            uploads: TIGHT.to_vec(),
            lasts_s: 120.0,
            ..of("tight", "the upload is 1.25 times what all need with framing; three of ten give none", 300)
        },
        Scenario {
            unreachable: 0.7,
            lasts_s: 120.0,
            ..of("unreachable", "seven of ten can't be dialled, and feed nobody", 300)
        },
        Scenario { liars: 0.1, lasts_s: 120.0, ..of("liars", "one of ten takes children and sends them nothing", 200) },
        churn.clone(),
        Scenario {
            departure: Departure::Polite(300.0),
            name: "farewells".into(),
            about: "the same with farewells".into(),
            ..churn
        },
        Scenario {
            departure: Departure::MassKill { at_s: 100.0, share: 0.1 },
            lasts_s: 120.0,
            ..of("tenth", "a tenth of three hundred viewers dies in one moment", 300)
        },
        Scenario {
            departure: Departure::MassKill { at_s: 120.0, share: 0.1 },
            ..large("tenth_2000", "a tenth of two thousand viewers dies in one moment", 2000, 90.0, 150.0)
        },
        Scenario {
            lines: Lines::Unknown,
            ..of("unknown", "a hundred viewers that don't know what their lines carry", 100)
        },
        Scenario {
            uploads: vec![(4e6, 1.0)],
            lines: Lines::Believed(10e6),
            ..of("slow_lines", "a hundred lines of 4 Mbit/s that are believed to carry 10", 100)
        },
        Scenario {
            uploads: vec![(0.0, 0.6), (12e6, 0.4)],
            lasts_s: 120.0,
            ..of("riders", "six of ten give nothing, and the others enough", 80)
        },
        Scenario { bytes_per_s: CLIP, trees: Trees::ours(4, 1), ..of("clip", "180 kbit/s in 4 + 1 stripes", 100) },
    ]
}

fn without() -> Vec<Scenario> {
    let churn = |name: &str, about: &str, trees| Scenario {
        departure: Departure::Killed(300.0),
        lasts_s: 400.0,
        trees,
        ..Scenario::new("without", name, about, 100)
    };
    let with = |change: fn(&mut Config)| {
        let mut trees = Trees::ours(8, 1);
        change(&mut trees.relay);
        trees
    };
    let ours = Trees::ours(8, 1);
    // Viewers who come one by one to a source with room.
    let lone = |name: &str, about: &str, start| Scenario {
        set: "without",
        network: Network::Even(0.08),
        source_streams: 20.0,
        crowd: Crowd::Within(60.0),
        start,
        ..homes(name, about, 12, 8, 375_000.0)
    };
    vec![
        lone("joined", "twelve viewers at the source, round trip 80 ms, TCP's first window", Start::Joined),
        lone("apart", "the same, and each small message takes a segment", Start::Apart),
        churn("no_parity", "churn with eight stripes and no parity", Trees::ours(8, 0)),
        churn("more_parity", "churn with two packets of parity", Trees::ours(8, 2)),
        churn("four_stripes", "churn with 4 + 1 stripes", Trees::ours(4, 1)),
        Scenario { repair: false, ..churn("no_repair", "late packets are not asked for", ours) },
        churn("no_neighbours", "orphans ask the source", with(|relay| relay.neighbours = false)),
        churn("no_keep", "moved children are not fed meanwhile", with(|relay| relay.keep = false)),
        churn("no_improve", "no better parents are looked for", with(|relay| relay.improve = false)),
        churn("no_step_in", "givers do not step in", with(|relay| relay.step_in = false)),
        churn("one_tree", "one stripe with our policies", Trees::ours(1, 0)),
        churn(
            "spreadit",
            "one stripe, Random, Root Traverse: the policies of SpreadIt's testbed",
            Trees::paper(Add::Random, Delete::Root),
        ),
    ]
}

fn links() -> Vec<Scenario> {
    let mut all = Vec::new();
    for rtt_ms in [40, 100] {
        for (loss, share) in [("0", 0.0), ("0.5", 0.005), ("1", 0.01), ("2", 0.02), ("5", 0.05)] {
            for (name, transport) in [("tcp", Transport::Tcp), ("datagram", Transport::Datagram)] {
                let about = format!("{loss} % loss, round trip {rtt_ms} ms, {name}");
                all.push(Scenario {
                    network: Network::Even(f64::from(rtt_ms) / 1000.0),
                    loss: share,
                    transport,
                    crowd: Crowd::Within(20.0),
                    lasts_s: 60.0,
                    ..Scenario::new("links", format!("{name}_{loss}_{rtt_ms}"), about, 60)
                });
            }
        }
    }
    all
}

fn testbed() -> Vec<Scenario> {
    let mut all = Vec::new();
    for (place, rtt_s) in [("near", 0.002), ("far", 0.08)] {
        for (name, source, viewer, about) in [
            ("star", 6.0, 0.0, "all six at the source"),
            ("local_tree", 1.0, 2.0, "one at the source, two at each viewer"),
            ("chain", 1.0, 1.0, "one behind the other"),
        ] {
            all.push(Scenario {
                bytes_per_s: CLIP,
                source_streams: source + 0.2,
                line: Some(100e6),
                uploads: vec![(line(viewer, CLIP), 1.0)],
                network: Network::Even(rtt_s),
                crowd: Crowd::Within(6.0),
                lasts_s: 64.0,
                trees: Trees::paper(Add::Random, Delete::Root),
                ..Scenario::new(
                    "testbed",
                    format!("{name}_{place}"),
                    format!("{about}, round trip {:.0} ms", rtt_s * 1000.0),
                    6,
                )
            });
        }
    }
    all
}

/// Returns a crowd as SpreadIt would have it, on routers.
fn paper(set: &'static str, name: String, about: String, viewers: usize, add: Add, delete: Delete) -> Scenario {
    let mut trees = Trees::paper(add, delete);
    if add == Add::Nearest {
        trees.relay.step_in = true;
    }
    trees.relay.distance = Distance::Route;
    Scenario {
        bytes_per_s: CLIP,
        source_streams: 5.0,
        uploads: THEN.to_vec(),
        network: Network::TransitStub,
        transport: Transport::Datagram,
        grain: Grain::Trees,
        trees,
        repair: false,
        lasts_s: 100.0,
        ..Scenario::new(set, name, about, viewers)
    }
}

fn sizes() -> Vec<Scenario> {
    let mut all = Vec::new();
    for viewers in [10, 100, 500, 2000, 10_000] {
        for (name, add) in ADDS {
            let about = format!("{viewers} viewers, {name}");
            all.push(paper("sizes", format!("{name}_{viewers}"), about, viewers, add, Delete::Root));
        }
    }
    for (name, add) in ADDS {
        let about = format!("500 viewers on equal lines with three places, {name}");
        all.push(Scenario {
            uploads: vec![(line(3.0, CLIP), 1.0)],
            source_streams: 3.0,
            ..paper("sizes", format!("{name}_equal"), about, 500, add, Delete::Root)
        });
    }
    all
}

fn departure() -> Vec<Scenario> {
    let mut all = Vec::new();
    for (how, polite) in [("farewell", true), ("failure", false)] {
        for (name, delete) in
            DELETES.into_iter().filter(|(_, delete)| polite || matches!(delete, Delete::Root | Delete::RootAll))
        {
            for depth in 1..=3 {
                let about = format!("the fullest viewer at depth {depth} goes, {how}, {name}");
                all.push(Scenario {
                    departure: Departure::One { at_s: 80.0, depth, polite },
                    lasts_s: 110.0,
                    ..paper("departure", format!("{name}_{how}_{depth}"), about, 500, Add::Random, delete)
                });
            }
        }
    }
    all
}

fn pairs() -> Vec<Scenario> {
    let mut all = Vec::new();
    let churn = |name: String, add, delete, polite| {
        let mean_s = 300.0;
        let about = format!("500 viewers, mean stay five minutes, {name}");
        Scenario {
            departure: if polite { Departure::Polite(mean_s) } else { Departure::Killed(mean_s) },
            lasts_s: 200.0,
            ..paper("pairs", name, about, 500, add, delete)
        }
    };
    for (how, polite) in [("", true), ("_failures", false)] {
        for (add_name, add) in ADDS.into_iter().take(5) {
            // After a failure nobody knows the grandfather.
            for (name, delete) in
                DELETES.into_iter().filter(|(_, d)| polite || matches!(d, Delete::Root | Delete::RootAll))
            {
                all.push(churn(format!("{add_name}+{name}{how}"), add, delete, polite));
            }
        }
        let ours = churn(format!("ours{how}"), Add::Nearest, Delete::Spares, polite);
        all.push(Scenario { trees: Trees::ours(1, 0), ..ours.clone() });
        all.push(Scenario { trees: Trees::ours(4, 1), name: format!("ours_4+1{how}"), repair: true, ..ours });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_every_scenario_has_its_table() {
        let mut names: Vec<String> = catalogue().into_iter().map(|scenario| scenario.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(catalogue().iter().all(|scenario| SETS.iter().any(|set| set.name == scenario.set)));
    }

    #[test]
    fn the_lines_of_tight_suffice_for_all() {
        let tight = ours().into_iter().find(|scenario| scenario.name == "tight").expect("tight is in the catalogue");
        let mean: f64 = tight.uploads.iter().map(|(bits, share)| bits / 8.0 * share).sum();
        let need = tight.bytes_per_s * f64::from(tight.trees.data + tight.trees.parity) / f64::from(tight.trees.data);
        assert!(mean >= 1.25 * need && mean < 1.5 * need, "{}", mean / need);
        assert!(tight.uploads.iter().any(|(bits, share)| *bits == 0.0 && *share >= 0.3));
    }
}
