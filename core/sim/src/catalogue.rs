//! The named swarms on which policies are compared. Each differs from the first one as its line
//! says.

use crate::spec::Step::{Close, Pause, Resume, Seek};
use crate::spec::{Change, ChokeCycle, Disturbance, Drift, Holds, PeerGroup, Scenario, Script, Step, kbit};

/// Returns the media's rate in nearly all scenarios: 5 Mbit/s.
fn media() -> f64 {
    kbit(5000.0)
}

pub(crate) fn group(count: u32, rate_kbit: f64, delay_s: f64) -> PeerGroup {
    PeerGroup { count, rate: kbit(rate_kbit), delay_s, ..PeerGroup::default() }
}

pub(crate) fn change(at_s: f64, peer: u32, change: Change) -> Disturbance {
    Disturbance { at_s, peer, change }
}

/// Returns a viewer that opens at the start and jumps three times, far enough apart that the swarm
/// is fully busy at each jump. The places are no round shares of the file: seek targets would be
/// fetched already, and the jump would measure nothing.
fn usual() -> Vec<Script> {
    vec![Script::player(media(), 0.0, &[(6.0, Seek(0.713)), (12.0, Seek(0.347)), (18.0, Seek(0.523))])]
}

pub(crate) fn base(name: &str, about: &str, peers: Vec<PeerGroup>) -> Scenario {
    Scenario { peers, readers: usual(), ..Scenario::new(name, about) }
}

fn large(name: &str, about: &str, peers: Vec<PeerGroup>) -> Scenario {
    Scenario { total_bytes: 512 << 20, piece_bytes: 4 << 20, ..base(name, about, peers) }
}

/// Returns the scenario of that name.
pub fn scenario(name: &str) -> Option<Scenario> {
    catalogue().into_iter().find(|s| s.name == name)
}

/// Returns all named scenarios.
pub fn catalogue() -> Vec<Scenario> {
    let mut all = equal_and_unequal();
    all.extend(coming_and_going());
    all.extend(bad_networks());
    all.extend(odd_viewers());
    all.extend(small_pieces());
    all.extend(crate::sources::sources());
    all
}

fn uneven_peers() -> Vec<PeerGroup> {
    vec![group(2, 8000.0, 0.025), group(4, 2000.0, 0.045), PeerGroup { loss: 0.005, ..group(6, 400.0, 0.095) }]
}

fn equal_and_unequal() -> Vec<Scenario> {
    vec![
        base("residential", "10 equal peers of 4 Mbit/s", vec![group(10, 4000.0, 0.020)]),
        large("uneven", "2 x 8, 4 x 2 and 6 x 0.4 Mbit/s, the slow ones far and lossy", uneven_peers()),
        Scenario {
            piece_bytes: 1 << 20,
            ..base(
                "one_fast_one_slow",
                "2 MiB/s beside 64 KiB/s",
                vec![group(1, 16_777.0, 0.020), group(1, 524.0, 0.040)],
            )
        },
        Scenario { end_s: 50.0, ..base("many_slow", "60 peers of 300 kbit/s", vec![group(60, 300.0, 0.040)]) },
        base("single_seed", "one peer of 20 Mbit/s", vec![group(1, 20_000.0, 0.020)]),
        Scenario {
            total_bytes: 100 << 30,
            piece_bytes: 4 << 20,
            down_rate: kbit(100_000.0),
            end_s: 30.0,
            ..base(
                "thousands",
                "2,000 peers of 0.2 to 2 Mbit/s, 100 GiB",
                vec![
                    PeerGroup { holds: Holds::Share(0.5), ..group(1000, 500.0, 0.050) },
                    PeerGroup { holds: Holds::Share(0.5), ..group(200, 2000.0, 0.030) },
                    PeerGroup { holds: Holds::Share(0.1), ..group(800, 200.0, 0.100) },
                ],
            )
        },
        Scenario {
            piece_bytes: 16 << 20,
            total_bytes: 2 << 30,
            ..base("huge_pieces", "pieces of 16 MiB", vec![group(10, 4000.0, 0.020)])
        },
        Scenario {
            ample: false,
            down_rate: kbit(8000.0),
            ..base("narrow_viewer", "8 Mbit/s at the viewer, 40 at the peers", vec![group(10, 4000.0, 0.020)])
        },
    ]
}

fn coming_and_going() -> Vec<Scenario> {
    // The jump goes to the beginning of a piece. From the middle of one, the rest of it would play
    // out before the remaining five peers can deliver the next, under any policy.
    let churn_readers = vec![Script::player(media(), 0.0, &[(45.0, Seek(0.813))])];
    vec![
        Scenario {
            readers: churn_readers.clone(),
            disturbances: vec![
                change(12.0, 0, Change::Cut),
                change(12.0, 1, Change::Cut),
                change(18.0, 2, Change::Rate(kbit(100.0))),
                change(24.0, 3, Change::Cut),
                change(30.0, 0, Change::Mend),
            ],
            ..large(
                "churn",
                "8 x 2 Mbit/s, three cables pulled and one peer slowed in mid-play",
                vec![group(8, 2000.0, 0.030)],
            )
        },
        Scenario {
            readers: churn_readers,
            disturbances: vec![
                change(10.0, 1, Change::Leave),
                change(14.0, 2, Change::Leave),
                change(20.0, 0, Change::Leave),
                change(46.0, 3, Change::Leave),
            ],
            ..base("leavers", "peers that close in mid-play, one in mid-seek", vec![group(10, 2500.0, 0.030)])
        },
        base(
            "flash",
            "20 peers that join over the first 10 s",
            vec![PeerGroup { join_s: (0.0, 10.0), ..group(20, 2000.0, 0.040) }],
        ),
        base(
            "choke_cycles",
            "12 x 4 Mbit/s, each unchoked half of the time",
            vec![
                PeerGroup { choke: Some(ChokeCycle { period_s: 10.0, open: 0.5 }), ..group(6, 4000.0, 0.030) },
                PeerGroup {
                    choke: Some(ChokeCycle { period_s: 10.0, open: 0.5 }),
                    fast: false,
                    ..group(6, 4000.0, 0.030)
                },
            ],
        ),
        base(
            "late_unchoke",
            "peers that unchoke 0 to 15 s after the handshake",
            vec![
                group(3, 4000.0, 0.020),
                PeerGroup { unchoke_after_s: 2.0, ..group(3, 4000.0, 0.020) },
                PeerGroup { unchoke_after_s: 15.0, ..group(6, 4000.0, 0.020) },
            ],
        ),
        base(
            "partial_peers",
            "12 peers with 40 % of the pieces, 6 that are still growing, 1 seed",
            vec![
                PeerGroup { holds: Holds::Share(0.4), ..group(12, 4000.0, 0.030) },
                PeerGroup { holds: Holds::Growing { share: 0.1, per_s: 0.5 }, ..group(6, 4000.0, 0.030) },
                group(1, 4000.0, 0.030),
            ],
        ),
        base(
            "liars",
            "10 x 4 Mbit/s, of which 2 lie in a block of fifty",
            vec![group(8, 4000.0, 0.020), PeerGroup { lies: 0.02, ..group(2, 4000.0, 0.020) }],
        ),
        base(
            "mutes",
            "10 x 4 Mbit/s and 4 that unchoke and never answer",
            vec![group(10, 4000.0, 0.020), PeerGroup { answers: false, ..group(4, 4000.0, 0.010) }],
        ),
    ]
}

fn bad_networks() -> Vec<Scenario> {
    vec![
        base("high_delay", "10 x 4 Mbit/s, 150 ms away", vec![group(10, 4000.0, 0.150)]),
        base(
            "jittery",
            "10 x 4 Mbit/s, 20 to 120 ms away",
            vec![PeerGroup { jitter_s: 0.1, ..group(10, 4000.0, 0.020) }],
        ),
        base(
            "lossy_fast",
            "6 x 20 Mbit/s with 1 % of loss at 40 ms, and 4 clean of 2 Mbit/s",
            vec![PeerGroup { loss: 0.01, ..group(6, 20_000.0, 0.040) }, group(4, 2000.0, 0.020)],
        ),
        base(
            "mobile",
            "12 x 3 Mbit/s, drifting by 60 % each second",
            vec![PeerGroup {
                drift: Some(Drift { every_s: 1.0, spread: 0.6 }),
                jitter_s: 0.03,
                ..group(12, 3000.0, 0.050)
            }],
        ),
        base(
            "deep_buffers",
            "10 x 4 Mbit/s that hand half a second to their sockets, half of them deaf to CANCEL",
            vec![
                PeerGroup { buffered_s: 0.5, ..group(5, 4000.0, 0.020) },
                PeerGroup { buffered_s: 0.5, honours_cancel: false, fast: false, ..group(5, 4000.0, 0.020) },
            ],
        ),
        base(
            "near_and_far",
            "3 x 10 Mbit/s at 200 ms, 6 x 1.5 Mbit/s at 10 ms",
            vec![group(3, 10_000.0, 0.200), group(6, 1500.0, 0.010)],
        ),
    ]
}

fn odd_viewers() -> Vec<Scenario> {
    // Twenty jumps, 0.7 s apart, to places in no order.
    let storm: Vec<(f64, Step)> =
        (0..20).map(|i| (4.0 + 0.7 * f64::from(i), Seek(f64::from(i * 37 % 97) / 97.0))).collect();
    let reopening = Script { reopens: true, ..usual().remove(0) };
    let known = Script { rate_known: true, ..usual().remove(0) };
    let stopping = Script::player(media(), 0.1, &[(8.0, Pause), (20.0, Resume), (30.0, Seek(0.618)), (50.0, Close)]);
    vec![
        Scenario {
            readers: vec![Script::player(media(), 0.0, &storm)],
            end_s: 30.0,
            ..base("seek_storm", "a seek each 0.7 s, 20 times", vec![group(10, 4000.0, 0.020)])
        },
        Scenario {
            readers: vec![usual().remove(0), Script::probe(0.0, 0.995, 1 << 20)],
            ..base("two_readers", "the video, and a probe of the index at the end", vec![group(10, 4000.0, 0.020)])
        },
        Scenario {
            readers: vec![reopening],
            ..base("reopening", "a seek opens a second reader and closes the first", vec![group(10, 4000.0, 0.020)])
        },
        Scenario {
            readers: vec![known],
            ..large("uneven_known_rate", "uneven, with the media's rate known", uneven_peers())
        },
        Scenario {
            readers: vec![stopping],
            ..base("pausing", "a viewer who pauses for 12 s and then jumps", vec![group(6, 2000.0, 0.030)])
        },
        Scenario {
            readers: vec![Script { window: 16 << 20, ..usual().remove(0) }],
            ..base("small_window", "16 MiB ahead at most", vec![group(10, 4000.0, 0.020)])
        },
        Scenario {
            readers: vec![Script::player(kbit(12_000.0), 0.0, &[(30.0, Seek(0.618))])],
            ample: false,
            ..base(
                "tight",
                "12 Mbit/s of media from 13 Mbit/s of peers",
                vec![group(1, 6000.0, 0.020), group(4, 1500.0, 0.040), group(3, 333.0, 0.080)],
            )
        },
    ]
}

/// Torrents of small pieces. A single duplicate block shows in the share of waste, and the first
/// picture needs only a few blocks of unmeasured peers.
fn small_pieces() -> Vec<Scenario> {
    let clip = |name, about, readers, peers| Scenario {
        total_bytes: 1 << 20,
        piece_bytes: 64 << 10,
        down_rate: kbit(1e6),
        readers,
        end_s: 10.0,
        ..base(name, about, peers)
    };
    let whole = || vec![Script::player(kbit(1000.0), 0.0, &[])];
    // As `playswarm demo --check`: the rates of its peers, and the places that it reads.
    let demo_peers = [150e3, 100e3, 80e3, 50e3, 40e3, 30e3];
    let demo_peers = demo_peers.map(|rate| PeerGroup { rate, ..group(1, 0.0, 0.000_1) });
    let places = [0.0, 0.7, 0.35, 0.9, 0.1, 0.98];
    let probes = places.iter().enumerate().map(|(n, at)| Script::probe(n as f64, *at, 128 << 10));
    // P2PMoD's lines: see docs/P2PMOD.md.
    let film = |name, about, peers| Scenario {
        total_bytes: 24 << 20,
        piece_bytes: 32 << 10,
        down_rate: kbit(8000.0),
        down_queue_s: 0.2,
        readers: vec![Script { rate_known: true, ..Script::player(kbit(320.0), 0.0, &[(15.0, Seek(0.313))]) }],
        end_s: 30.0,
        ..base(name, about, peers)
    };
    vec![
        Scenario {
            total_bytes: 7_616_095,
            ..clip(
                "demo",
                "6 places of a clip in pieces of 64 KiB, 6 uneven peers on the same machine",
                probes.collect(),
                demo_peers.to_vec(),
            )
        },
        clip(
            "clip_near",
            "1 MiB in pieces of 64 KiB from 3 peers on the same machine",
            whole(),
            vec![group(3, 500_000.0, 0.000_1)],
        ),
        clip(
            "clip_uneven",
            "1 MiB in pieces of 64 KiB from 6 uneven peers on the same machine",
            whole(),
            demo_peers.to_vec(),
        ),
        clip(
            "clip",
            "1 MiB in pieces of 64 KiB from 3 peers of 8 Mbit/s, 20 ms away",
            whole(),
            vec![group(3, 8000.0, 0.020)],
        ),
        film(
            "crowd",
            "40 peers of 1 Mbit/s with all pieces, one in five with a full line; pieces of 32 KiB behind 8 Mbit/s",
            vec![group(32, 1000.0, 0.040), PeerGroup { buffered_s: 2.0, ..group(8, 30.0, 0.300) }],
        ),
        film(
            "viewers",
            "an origin of 10 Mbit/s and 30 viewers of 1 Mbit/s, each with half of the film",
            vec![
                group(1, 10_000.0, 0.040),
                PeerGroup { holds: Holds::Share(0.5), views: true, ..group(30, 1000.0, 0.040) },
            ],
        ),
    ]
}
