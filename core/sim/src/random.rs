//! Random swarms, with any behaviour that the protocol allows, for tests of what must hold in all
//! of them.

use crate::rng::Rng;
use crate::spec::{Change, ChokeCycle, Disturbance, Drift, Holds, Http, PeerGroup, Scenario, Script, Step, kbit};

/// Makes a small torrent, one honest seed that stays, and up to thirty peers of any kind. All
/// requested data must arrive.
pub fn random_scenario(seed: u64) -> Scenario {
    let mut rng = Rng::new(seed);
    let piece_bytes = (16 << 10) << rng.below(7);
    let pieces = 3 + rng.below(60);
    // The last piece and its last block may be short.
    let total_bytes = pieces * u64::from(piece_bytes) - rng.below(u64::from(piece_bytes));
    let mut peers = vec![PeerGroup {
        rate: kbit(rng.between(500.0, 8000.0)),
        delay_s: rng.between(0.001, 0.2),
        fast: rng.chance(0.5),
        honours_cancel: rng.chance(0.7),
        choke: rng.chance(0.2).then(|| ChokeCycle { period_s: rng.between(2.0, 20.0), open: rng.between(0.2, 0.9) }),
        max_requests: 1 + rng.below(250) as u32,
        ..PeerGroup::default()
    }];
    let kinds = rng.below(6);
    peers.extend((0..kinds).map(|_| random_group(&mut rng)));
    // Of a generator of their own, so that the rest of a swarm does not depend on them.
    let mut http = Rng::new(!seed);
    peers.iter_mut().for_each(|group| group.http = http.chance(0.2).then(|| random_http(&mut http)));
    let count: u64 = peers.iter().map(|g| u64::from(g.count)).sum();
    let mut disturbances: Vec<Disturbance> = (0..rng.below(6))
        .map(|_| Disturbance {
            at_s: rng.between(0.0, 30.0),
            // Not the first peer, which must stay.
            peer: 1 + rng.below(count) as u32,
            change: match rng.below(5) {
                0 => Change::Cut,
                1 => Change::Mend,
                2 => Change::Leave,
                3 => Change::LosePiece,
                _ => Change::Rate(kbit(rng.between(10.0, 9000.0))),
            },
        })
        .collect();
    if rng.chance(0.15) {
        let at_s = rng.between(0.0, 10.0);
        disturbances.push(Disturbance { at_s, peer: 0, change: Change::Full(true) });
        disturbances.push(Disturbance { at_s: at_s + rng.between(0.0, 5.0), peer: 0, change: Change::Full(false) });
    }
    let readers = (0..1 + rng.below(3)).map(|_| random_script(&mut rng, total_bytes)).collect();
    Scenario {
        total_bytes,
        piece_bytes,
        down_rate: kbit(rng.between(2000.0, 100_000.0)),
        peers,
        disturbances,
        readers,
        end_s: 40.0,
        expire_s: rng.between(5.0, 60.0),
        ample: false,
        ..Scenario::new(&format!("random {seed}"), "drawn by seed")
    }
}

fn random_group(rng: &mut Rng) -> PeerGroup {
    let joined = rng.between(0.0, 15.0);
    PeerGroup {
        count: 1 + rng.below(6) as u32,
        rate: kbit(10f64.powf(rng.between(1.5, 4.5))),
        delay_s: rng.between(0.001, 0.4),
        jitter_s: if rng.chance(0.3) { rng.between(0.0, 0.2) } else { 0.0 },
        loss: if rng.chance(0.3) { rng.between(0.0, 0.05) } else { 0.0 },
        join_s: if rng.chance(0.5) { (0.0, 0.0) } else { (joined, joined + 5.0) },
        unchoke_after_s: if rng.chance(0.3) { rng.between(0.0, 20.0) } else { 0.0 },
        choke: rng.chance(0.3).then(|| ChokeCycle { period_s: rng.between(0.5, 20.0), open: rng.between(0.05, 0.95) }),
        holds: match rng.below(4) {
            0 => Holds::All,
            1 => Holds::Share(rng.unit()),
            2 => Holds::Head(rng.unit()),
            _ => Holds::Growing { share: rng.unit() / 2.0, per_s: rng.between(0.1, 5.0) },
        },
        fast: rng.chance(0.5),
        honours_cancel: rng.chance(0.5),
        buffered_s: rng.between(0.0, 1.0),
        lies: if rng.chance(0.15) { rng.unit() } else { 0.0 },
        answers: !rng.chance(0.15),
        max_requests: 1 + rng.below(250) as u32,
        drift: rng.chance(0.3).then(|| Drift { every_s: rng.between(0.2, 5.0), spread: rng.between(0.0, 0.95) }),
        slow_start: rng.chance(0.7),
        ..PeerGroup::default()
    }
}

fn random_http(rng: &mut Rng) -> Http {
    Http { depth: 1 + rng.below(4) as u8, least_bytes: 1 << rng.below(20), most_bytes: 1 << rng.below(23) }
}

fn random_script(rng: &mut Rng, total_bytes: u64) -> Script {
    let open_s = if rng.chance(0.5) { 0.0 } else { rng.between(0.0, 10.0) };
    if rng.chance(0.3) {
        return Script::probe(open_s, rng.unit(), 1 + rng.below(total_bytes));
    }
    let mut times: Vec<f64> = (0..rng.below(8)).map(|_| rng.between(open_s + 0.01, 35.0)).collect();
    times.sort_by(f64::total_cmp);
    let steps: Vec<(f64, Step)> = times
        .into_iter()
        .map(|at| {
            let step = match rng.below(6) {
                0 => Step::Pause,
                1 => Step::Resume,
                2 if rng.chance(0.3) => Step::Close,
                _ => Step::Seek(rng.unit()),
            };
            (at, step)
        })
        .collect();
    Script {
        open_s,
        rate_known: rng.chance(0.5),
        window: if rng.chance(0.5) { u64::MAX } else { 1 + rng.below(8 << 20) },
        reopens: rng.chance(0.4),
        ..Script::player(kbit(rng.between(100.0, 8000.0)), rng.unit(), &steps)
    }
}
