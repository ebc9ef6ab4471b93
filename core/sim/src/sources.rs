//! Named swarms with sources over HTTP: mirrors, and the senders of GnuStream (Jiang and others,
//! ICME 2003).

use crate::catalogue::{base, change, group};
use crate::spec::{Change, Drift, Http, PeerGroup, Scenario, Script};

/// GETs of a server that pipelines, as nginx, Apache and lighttpd do.
const PIPELINED: Http = Http { depth: 8, least_bytes: 32 << 10, most_bytes: 4 << 20 };
/// GETs of one that does not.
const ONE_BY_ONE: Http = Http { depth: 1, least_bytes: 32 << 10, most_bytes: 4 << 20 };
/// GETs of a Gnutella servent.
const SERVENT: Http = Http { depth: 2, least_bytes: 32 << 10, most_bytes: 1 << 20 };

/// Returns the named swarms.
pub(crate) fn sources() -> Vec<Scenario> {
    let mut all = mirrors();
    all.extend(senders());
    all
}

fn mirrors() -> Vec<Scenario> {
    let six_peers = [group(2, 4000.0, 0.020), group(2, 2000.0, 0.030), group(2, 1000.0, 0.050)];
    let two_mirrors = [
        PeerGroup { http: Some(PIPELINED), ..group(1, 12_000.0, 0.020) },
        PeerGroup { http: Some(PIPELINED), ..group(1, 4000.0, 0.030) },
    ];
    let all = || two_mirrors.iter().chain(&six_peers).cloned().collect::<Vec<_>>();
    let whole = 128 << 20;
    let seed = |http| vec![PeerGroup { http: Some(http), ..group(1, 10_000.0, 0.040) }];
    let small = |scenario| Scenario { piece_bytes: 1 << 20, ..scenario };
    vec![
        base("mirrors", "mirrors of 12 and 4 Mbit/s, and 6 peers of 1 to 4 Mbit/s", all()),
        Scenario {
            total_bytes: whole,
            readers: vec![Script::probe(0.0, 0.0, whole)],
            ..base("mirrors_whole", "as mirrors, all of 128 MiB as fast as possible", all())
        },
        small(base("web_seed", "no peer but a web seed of 10 Mbit/s, 40 ms away", seed(PIPELINED))),
        small(base("web_seed_serial", "the same without pipelining", seed(ONE_BY_ONE))),
    ]
}

/// Returns senders with these rates, in bytes per second, over a round trip of 40 ms.
fn senders_of(rates: &[f64]) -> Vec<PeerGroup> {
    let sender = |rate: &f64| PeerGroup { rate: *rate, http: Some(SERVENT), ..group(1, 0.0, 0.020) };
    rates.iter().map(sender).collect()
}

/// Returns GnuStream's clip, 120 s of 143,000 bytes per second, from these senders.
fn gnustream(name: &str, about: &str, peers: Vec<PeerGroup>) -> Scenario {
    const RATE: f64 = 143_000.0;
    Scenario {
        total_bytes: 17_160_000,
        piece_bytes: 256 << 10,
        readers: vec![Script { rate_known: true, ..Script::player(RATE, 0.0, &[]) }],
        end_s: 150.0,
        ..base(name, about, peers)
    }
}

fn senders() -> Vec<Scenario> {
    let lost = |name, about, what| {
        let mut peers = senders_of(&[60e3, 60e3, 60e3, 60e3]);
        peers[3].standby = true;
        Scenario { disturbances: vec![change(40.0, 0, what)], ..gnustream(name, about, peers) }
    };
    let drift = Some(Drift { every_s: 2.0, spread: 0.5 });
    let drifting = senders_of(&[60e3; 3]).into_iter().map(|sender| PeerGroup { drift, ..sender }).collect();
    vec![
        gnustream("gnustream", "three senders of 60 kB/s and a clip of 143 kB/s", senders_of(&[60e3; 3])),
        lost("gnustream_standby", "the same, one killed after 40 s, and a standby", Change::Leave),
        lost("gnustream_pulled", "the same, one pulled after 40 s, and a standby", Change::Cut),
        lost("gnustream_throttled", "the same, one throttled to 10 kB/s after 40 s, and a standby", Change::Rate(10e3)),
        Scenario {
            ample: false,
            ..gnustream("gnustream_two", "two senders, which are too slow for the clip", senders_of(&[60e3; 2]))
        },
        gnustream("gnustream_uneven", "senders of 100, 50 and 30 kB/s", senders_of(&[100e3, 50e3, 30e3])),
        Scenario {
            ample: false,
            ..gnustream("gnustream_drift", "three senders that drift by half each 2 s around 60 kB/s", drifting)
        },
        Scenario {
            ample: false,
            disturbances: vec![change(40.0, 0, Change::Leave)],
            ..gnustream(
                "gnustream_dying",
                "one of the three killed after 40 s, without a standby",
                senders_of(&[60e3; 3]),
            )
        },
    ]
}
