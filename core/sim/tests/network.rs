//! The simulator itself, driven by a machine whose delays can be computed by hand.

use playswarm_logic::picker::{Counters, Input, Output};
use playswarm_logic::{BlockRef, Layout, PeerKey, PieceIndex, Time};
use playswarm_sim::{Change, Disturbance, Machine, Options, PeerGroup, Report, Scenario, Script, kbit, run};
use std::collections::VecDeque;

/// A machine that requests all blocks of one peer in order, a fixed number at a time, and repeats
/// rejected requests.
struct InOrder {
    layout: Layout,
    peer: PeerKey,
    at_once: usize,
    next: (u32, u32),
    out: VecDeque<Output>,
    asked: usize,
    arrivals: Vec<(Time, BlockRef)>,
    left_at: Option<Time>,
}

impl InOrder {
    fn new(scenario: &Scenario, at_once: usize) -> InOrder {
        InOrder {
            layout: Layout::new(scenario.total_bytes, scenario.piece_bytes).expect("scenarios are not empty"),
            peer: PeerKey(0),
            at_once,
            next: (0, 0),
            out: VecDeque::new(),
            asked: 0,
            arrivals: Vec::new(),
            left_at: None,
        }
    }

    fn ask(&mut self) {
        while self.asked < self.at_once && self.next.0 < self.layout.pieces() {
            let block = BlockRef { piece: PieceIndex(self.next.0), block: self.next.1 };
            self.out.push_back(Output::Request(self.peer, block));
            self.asked += 1;
            self.next.1 += 1;
            if self.next.1 == self.layout.blocks_of(block.piece) {
                self.next = (self.next.0 + 1, 0);
            }
        }
    }
}

impl Machine for InOrder {
    fn handle(&mut self, now: Time, input: Input) {
        match input {
            Input::Unchoked(_) => self.ask(),
            Input::Block(_, block) => {
                self.arrivals.push((now, block));
                self.asked -= 1;
                self.ask();
            }
            Input::PeerLeft(_) => self.left_at = Some(now),
            _ => {}
        }
    }

    fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    fn next_timeout(&self) -> Option<Time> {
        None
    }

    fn counters(&self) -> Counters {
        Counters::default()
    }
}

/// Returns one peer of 1 Mbit/s, 100 ms away, without slow start, and a 1 MiB file of 4 pieces.
fn plain() -> Scenario {
    Scenario {
        total_bytes: 1 << 20,
        piece_bytes: 1 << 18,
        peers: vec![PeerGroup { rate: kbit(1000.0), delay_s: 0.1, slow_start: false, ..PeerGroup::default() }],
        readers: vec![Script::probe(0.0, 0.0, 1 << 20)],
        end_s: 1.0,
        ..Scenario::new("plain", "")
    }
}

fn play(scenario: &Scenario, at_once: usize) -> (InOrder, Report) {
    let mut machine = InOrder::new(scenario, at_once);
    let report = run(scenario, &mut machine, "in order", 1, Options::default()).expect("the machine is sound");
    (machine, report)
}

#[test]
fn a_lone_block_takes_a_round_trip_and_its_own_length() {
    let (machine, _) = play(&plain(), 1);
    let service = 16384.0 / kbit(1000.0);
    // Two round trips to the unchoke, then one for each request.
    for (n, (at, _)) in machine.arrivals.iter().enumerate().take(5) {
        let expected = 0.4 + (n as f64 + 1.0) * (0.2 + service);
        assert!((at.as_secs_f64() - expected).abs() < 0.02, "block {n} at {at:?}, not {expected}");
    }
}

#[test]
fn a_full_pipe_delivers_at_the_peers_rate() {
    let (machine, report) = play(&plain(), 20);
    let last = machine.arrivals.last().expect("blocks came").0.as_secs_f64();
    let expected = 0.4 + 0.2 + f64::from(1 << 20) / kbit(1000.0);
    assert!((last - expected).abs() < 0.05, "{last}, not {expected}");
    assert!(report.unfinished.is_empty() && report.faults.is_empty(), "{report:?}");
    assert_eq!((report.read_bytes, report.stored_bytes), (1 << 20, 1 << 20));
}

#[test]
fn the_viewers_link_is_a_bound_that_all_share() {
    let mut scenario = plain();
    scenario.down_rate = kbit(500.0);
    let (machine, report) = play(&scenario, 20);
    let last = machine.arrivals.last().expect("blocks came").0.as_secs_f64();
    assert!(last >= 0.6 + f64::from(1 << 20) / kbit(500.0) - 0.05, "{last}");
    assert!(report.unfinished.is_empty());
}

#[test]
fn slow_start_costs_round_trips_after_silence() {
    let fast = |slow_start| {
        let mut scenario = plain();
        scenario.peers[0].rate = kbit(20_000.0);
        scenario.peers[0].slow_start = slow_start;
        play(&scenario, 20).0.arrivals[19].0.as_secs_f64()
    };
    let (with, without) = (fast(true), fast(false));
    // 320 KiB are ten packets, twenty, forty and so on: five rounds, with a wait after four of
    // them.
    assert!(with - without > 3.0 * 0.2 && with - without < 5.0 * 0.2, "{with} {without}");
}

#[test]
fn loss_keeps_a_connection_near_what_its_formula_says() {
    let mut scenario = plain();
    scenario.total_bytes = 16 << 20;
    scenario.readers = vec![Script::probe(0.0, 0.0, 16 << 20)];
    scenario.peers[0] = PeerGroup { rate: kbit(50_000.0), loss: 0.01, ..scenario.peers[0].clone() };
    scenario.peers[0].slow_start = true;
    let (machine, _) = play(&scenario, 200);
    let took = machine.arrivals.last().expect("blocks came").0.as_secs_f64();
    let rate = f64::from(16 << 20) / took;
    let mathis = 1.22 * 1460.0 / (0.2 * 0.1);
    assert!(rate > 0.5 * mathis && rate < 1.6 * mathis, "{rate} beside {mathis}");
}

#[test]
fn a_pulled_cable_is_silent_until_the_viewers_timer() {
    let mut scenario = plain();
    scenario.disturbances = vec![Disturbance { at_s: 2.0, peer: 0, change: Change::Cut }];
    scenario.expire_s = 30.0;
    let (machine, report) = play(&scenario, 4);
    assert!(machine.arrivals.iter().all(|(at, _)| at.as_secs_f64() < 2.2));
    assert_eq!(machine.left_at, Some(Time(32_000_000)));
    assert!(!report.unfinished.is_empty());
}

#[test]
fn a_mended_cable_delivers_what_was_held_up() {
    let mut scenario = plain();
    scenario.disturbances = vec![
        Disturbance { at_s: 2.0, peer: 0, change: Change::Cut },
        Disturbance { at_s: 6.0, peer: 0, change: Change::Mend },
    ];
    let (machine, report) = play(&scenario, 4);
    assert!(report.unfinished.is_empty() && machine.left_at.is_none(), "{report:?}");
    assert!(!machine.arrivals.iter().any(|(at, _)| (2.2..8.0).contains(&at.as_secs_f64())));
}

#[test]
fn a_machine_that_breaks_the_protocol_is_seen() {
    let scenario = plain();
    let mut machine = InOrder::new(&scenario, 4);
    machine.peer = PeerKey(9);
    let report = run(&scenario, &mut machine, "astray", 1, Options::default()).expect("it does not contradict itself");
    assert_eq!(report.faults.get("request to an unknown peer"), Some(&4));
}
