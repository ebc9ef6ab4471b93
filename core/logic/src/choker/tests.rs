//! Situations of a choker, and the invariants that hold in all of them.

use super::*;
use proptest::prelude::*;

fn at(s: f64) -> Time {
    Time::from_secs_f64(s)
}

fn key(i: u32) -> PeerKey {
    PeerKey(i)
}

fn choker(slots: usize) -> Choker {
    Choker::new(Time::ZERO, slots, 1)
}

fn drain(choker: &mut Choker) -> Vec<Output> {
    choker.check_invariants();
    std::iter::from_fn(|| choker.poll()).collect()
}

/// Adds `n` interested peers at once.
fn join(choker: &mut Choker, n: u32) {
    join_at(choker, 0.0, n);
}

fn join_at(choker: &mut Choker, s: f64, n: u32) {
    for i in 0..n {
        choker.handle(at(s), Input::Joined(key(i)));
        choker.handle(at(s), Input::Interested(key(i), true));
    }
}

fn unchoked(choker: &Choker, n: u32) -> Vec<u32> {
    (0..n).filter(|i| choker.is_unchoked(key(*i))).collect()
}

/// Runs rounds up to `until` seconds. Before each round, `each` supplies the inputs.
fn rounds(choker: &mut Choker, from: f64, until: f64, mut each: impl FnMut(&mut Choker, Time)) {
    let mut t = from;
    while t <= until {
        each(choker, at(t - 0.5));
        choker.handle(at(t), Input::Timeout);
        drain(choker);
        t += 10.0;
    }
}

#[test]
fn an_interested_peer_is_unchoked_at_once_while_there_are_free_slots() {
    let mut c = choker(2);
    for i in 0..3 {
        c.handle(at(1.0), Input::Joined(key(i)));
    }
    assert_eq!(drain(&mut c), []);
    for i in 0..3 {
        c.handle(at(2.0), Input::Interested(key(i), true));
    }
    assert_eq!(drain(&mut c), [Output::Unchoke(key(0)), Output::Unchoke(key(1))]);
}

#[test]
fn a_free_slot_goes_to_a_peer_that_waits() {
    let mut c = choker(2);
    join(&mut c, 4);
    drain(&mut c);
    c.handle(at(3.0), Input::Left(key(0)));
    assert_eq!(drain(&mut c), [Output::Unchoke(key(2))]);
    c.handle(at(4.0), Input::Interested(key(1), false));
    assert_eq!(drain(&mut c), [Output::Choke(key(1)), Output::Unchoke(key(3))]);
}

#[test]
fn a_peer_that_lost_interest_keeps_its_slot_only_until_the_round_ends() {
    let mut c = choker(2);
    join(&mut c, 1);
    drain(&mut c);
    c.handle(at(3.0), Input::Interested(key(0), false));
    assert_eq!(drain(&mut c), []);
    c.handle(at(10.0), Input::Timeout);
    assert_eq!(drain(&mut c), [Output::Choke(key(0))]);
}

#[test]
fn regular_slots_go_to_the_peers_that_send_most() {
    let mut c = choker(4);
    join(&mut c, 12);
    drain(&mut c);
    rounds(&mut c, 10.0, 60.0, |c, t| (0..12).for_each(|i| c.handle(t, Input::Gave(key(i), u64::from(i) * 1000))));
    let holders = unchoked(&c, 12);
    assert_eq!(holders.len(), 4);
    for best in [9, 10, 11] {
        assert!(holders.contains(&best), "{holders:?}");
    }
}

#[test]
fn the_optimistic_slot_moves_every_thirty_seconds_and_finds_everyone_in_time() {
    let mut c = choker(2);
    join(&mut c, 6);
    let mut seen = std::collections::BTreeSet::new();
    let mut last = (None, 0.0);
    rounds(&mut c, 10.0, 1200.0, |c, t| {
        c.handle(t, Input::Gave(key(0), 10_000));
        let now = t.as_secs_f64();
        if c.optimistic() != last.0 {
            assert!(last.0.is_none() || now - last.1 > 29.0 || last.0 == Some(key(0)), "moved after {}", now - last.1);
            last = (c.optimistic(), now);
        }
        seen.extend(c.optimistic());
    });
    assert!((1..6).all(|i| seen.contains(&key(i))), "{seen:?}");
    assert!(c.is_unchoked(key(0)));
}

#[test]
fn newcomers_are_drawn_three_times_as_often() {
    let mut newcomers = 0;
    for seed in 0..2000 {
        let mut c = Choker::new(Time::ZERO, 2, seed);
        for i in 0..4 {
            c.handle(Time::ZERO, Input::Joined(key(i)));
        }
        // Two old peers and a new one wait. The other two hold the slots, one of them the
        // optimistic one.
        c.handle(at(80.0), Input::Joined(key(4)));
        for i in [0, 1, 2, 3, 4] {
            c.handle(at(81.0), Input::Interested(key(i), true));
        }
        c.handle(at(85.0), Input::Gave(key(0), 1000));
        c.handle(at(120.0), Input::Timeout);
        drain(&mut c);
        newcomers += u32::from(c.optimistic() == Some(key(4)));
    }
    // Weights 1, 1 and 3, since the last optimistic peer is passed over: three fifths of 2000.
    assert!((1120..1280).contains(&newcomers), "{newcomers}");
}

#[test]
fn a_peer_that_takes_and_never_answers_loses_its_regular_slot() {
    let mut c = choker(2);
    join(&mut c, 2);
    c.handle(at(1.0), Input::Gave(key(0), 1_000_000));
    c.handle(at(1.0), Input::Asked(key(0), true));
    rounds(&mut c, 10.0, 60.0, |_, _| {});
    assert!(c.is_unchoked(key(0)) && !c.snubs(at(60.0), &c.peers[&key(0)]));
    // Two more wait: the silent peer has lost its claim to the regular slot.
    for i in [2, 3] {
        c.handle(at(61.0), Input::Joined(key(i)));
        c.handle(at(61.0), Input::Interested(key(i), true));
    }
    assert!(c.snubs(at(70.0), &c.peers[&key(0)]));
    c.handle(at(70.0), Input::Timeout);
    drain(&mut c);
    assert!(!c.is_unchoked(key(0)) || c.optimistic() == Some(key(0)));
    // One block restores its rank.
    c.handle(at(71.0), Input::Gave(key(0), 16384));
    assert!(!c.snubs(at(71.0), &c.peers[&key(0)]));
    c.handle(at(80.0), Input::Timeout);
    assert!(c.is_unchoked(key(0)));
}

#[test]
fn no_peer_is_choked_within_ten_seconds_of_its_unchoke() {
    let mut c = choker(3);
    join(&mut c, 2);
    drain(&mut c);
    // The third slot is taken just before the round, and then three better peers join.
    c.handle(at(9.0), Input::Joined(key(2)));
    c.handle(at(9.0), Input::Interested(key(2), true));
    c.handle(at(9.1), Input::Left(key(0)));
    c.handle(at(9.2), Input::Joined(key(3)));
    c.handle(at(9.2), Input::Interested(key(3), true));
    for i in 4..7 {
        c.handle(at(9.3), Input::Joined(key(i)));
        c.handle(at(9.3), Input::Interested(key(i), true));
        c.handle(at(9.4), Input::Gave(key(i), 1 << 20));
    }
    drain(&mut c);
    c.handle(at(10.0), Input::Timeout);
    assert!(c.is_unchoked(key(2)) && c.is_unchoked(key(3)));
}

#[test]
fn once_we_have_all_everybody_gets_a_turn() {
    let mut c = choker(3);
    join(&mut c, 9);
    c.handle(Time::ZERO, Input::Complete(true));
    let mut turns = [0u32; 9];
    rounds(&mut c, 10.0, 1200.0, |c, t| {
        for i in unchoked(c, 9) {
            turns[i as usize] += 1;
            c.handle(t, Input::Took(key(i), u64::from(i + 1) * 100_000));
        }
    });
    // 120 rounds of three slots for nine peers: forty each on average.
    assert!(turns.iter().all(|n| (25..60).contains(n)), "{turns:?}");
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let trace = |seed| {
        let mut c = Choker::new(Time::ZERO, 3, seed);
        join(&mut c, 20);
        let mut all = Vec::new();
        for i in 1..40 {
            c.handle(at(f64::from(i) * 10.0), Input::Timeout);
            all.extend(drain(&mut c));
        }
        all
    };
    assert_eq!(trace(7), trace(7));
    assert_ne!(trace(7), trace(8));
}

fn input() -> impl Strategy<Value = Input> {
    let peer = (0u32..12).prop_map(PeerKey);
    prop_oneof![
        3 => peer.clone().prop_map(Input::Joined),
        1 => peer.clone().prop_map(Input::Left),
        4 => (peer.clone(), any::<bool>()).prop_map(|(p, b)| Input::Interested(p, b)),
        4 => (peer.clone(), 0u64..100_000).prop_map(|(p, n)| Input::Gave(p, n)),
        2 => (peer.clone(), 0u64..100_000).prop_map(|(p, n)| Input::Took(p, n)),
        2 => (peer.clone(), any::<bool>()).prop_map(|(p, b)| Input::Asked(p, b)),
        4 => (peer, any::<bool>()).prop_map(|(p, b)| Input::Served(p, b)),
        1 => any::<bool>().prop_map(Input::Complete),
        6 => Just(Input::Timeout),
    ]
}

proptest! {
    #[test]
    fn slots_are_never_exceeded_nor_wasted(
        slots in 0usize..6, seed in any::<u64>(),
        inputs in proptest::collection::vec((input(), 0u64..6_000_000), 1..200),
    ) {
        let mut c = Choker::new(Time::ZERO, slots, seed);
        let (mut now, mut told) = (Time::ZERO, std::collections::BTreeSet::new());
        for (input, wait_us) in inputs {
            now = now + std::time::Duration::from_micros(wait_us);
            let round = input == Input::Timeout && now >= c.next_timeout();
            if let Input::Left(peer) = input { told.remove(&peer); }
            c.handle(now, input);
            c.check_invariants();
            while let Some(output) = c.poll() {
                // Each output changes the state of a connected peer.
                match output {
                    Output::Unchoke(peer) => prop_assert!(told.insert(peer)),
                    Output::Choke(peer) => prop_assert!(told.remove(&peer)),
                }
            }
            let holding = c.peers.values().filter(|p| p.unchoked_since.is_some() && !c.holds_no_slot(now, p)).count();
            // A peer that was served without waiting may want more between rounds.
            prop_assert!(holding <= slots || !round);
            prop_assert!(told.len() <= slots * UNCHOKE_FACTOR);
            for (peer, state) in &c.peers {
                prop_assert_eq!(state.unchoked_since.is_some(), told.contains(peer));
                if round {
                    prop_assert!(state.interested || !told.contains(peer), "an uninterested peer outlived a round");
                }
            }
            let someone_waits = c.peers.values()
                .any(|p| p.interested && p.unchoked_since.is_none() && !c.snubs(now, p));
            let changed = match input {
                Input::Interested(peer, _) => c.peers.contains_key(&peer),
                Input::Left(_) => true,
                _ => round,
            };
            prop_assert!(
                !changed || !someone_waits || holding >= slots || told.len() == slots * UNCHOKE_FACTOR,
                "a slot is free though someone waits"
            );
        }
    }
}

#[test]
fn a_seed_gives_the_next_slot_to_a_viewer_that_runs_dry() {
    let mut c = choker(3);
    c.handle(Time::ZERO, Input::Complete(true));
    join(&mut c, 9);
    drain(&mut c);
    let low = (0..9).map(key).filter(|k| !c.is_unchoked(*k)).max().unwrap();
    c.handle(at(9.0), Input::LowBuffer(low, true));
    c.handle(at(10.0), Input::Timeout);
    assert!(c.is_unchoked(low), "at the next round, though others wait for longer");
    rounds(&mut c, 20.0, 200.0, |_, _| {});
    assert!(c.is_unchoked(low), "as long as it needs it");
    c.handle(at(205.0), Input::LowBuffer(low, false));
    rounds(&mut c, 210.0, 400.0, |_, _| {});
    let others = (0..9).filter(|i| key(*i) != low && c.peers[&key(*i)].last_slot.is_some()).count();
    assert_eq!(others, 8, "everybody has had a turn");
}

#[test]
fn a_new_peer_gets_the_slot_of_an_idle_one_at_once() {
    let mut c = choker(4);
    join(&mut c, 4);
    drain(&mut c);
    rounds(&mut c, 10.0, 40.0, |c, t| (0..3).for_each(|i| c.handle(t, Input::Took(key(i), 50_000))));
    c.handle(at(42.0), Input::Joined(key(9)));
    c.handle(at(42.0), Input::Interested(key(9), true));
    assert_eq!(drain(&mut c), [Output::Choke(key(3)), Output::Unchoke(key(9))]);
    // If all peers take data, the next one waits for its turn.
    c.handle(at(43.0), Input::Joined(key(10)));
    c.handle(at(43.0), Input::Interested(key(10), true));
    assert_eq!(drain(&mut c), []);
}

#[test]
fn no_peer_waits_while_the_line_has_room() {
    let mut c = choker(4);
    join(&mut c, 20);
    drain(&mut c);
    assert_eq!(unchoked(&c, 20).len(), 4);
    // All unchoked peers are served without waiting: the next four are unchoked, and so on.
    for n in 1..=10 {
        (0..20).for_each(|i| c.handle(at(f64::from(n) * 2.0), Input::Served(key(i), true)));
        c.handle(at(f64::from(n) * 2.0), Input::Timeout);
        drain(&mut c);
    }
    assert_eq!(unchoked(&c, 20).len(), 20);
    // A new peer is unchoked at once.
    c.handle(at(25.0), Input::Joined(key(30)));
    c.handle(at(25.0), Input::Interested(key(30), true));
    assert_eq!(drain(&mut c), [Output::Unchoke(key(30))]);
    // Twelve peers begin to wait for the line: all but four of these are choked. Those that send
    // most stay unchoked.
    c.handle(at(28.0), Input::Served(key(30), true));
    for i in 0..12 {
        c.handle(at(29.0), Input::Gave(key(i), u64::from(i) * 1000));
        c.handle(at(29.0), Input::Served(key(i), false));
    }
    c.handle(at(30.0), Input::Timeout);
    let held: Vec<u32> = unchoked(&c, 12);
    assert_eq!(held.len(), 4, "{held:?}");
    assert!([9, 10, 11].iter().all(|i| held.contains(i)), "{held:?}");
    assert_eq!(unchoked(&c, 20).len(), 12, "whoever asks for little is left alone");
    // The bound on all unchoked peers.
    join_at(&mut c, 40.0, 40);
    for n in 0..20 {
        let t = 41.0 + f64::from(n) * 2.5;
        (0..40).for_each(|i| c.handle(at(t), Input::Served(key(i), true)));
        c.handle(at(t), Input::Timeout);
        drain(&mut c);
    }
    assert_eq!(c.unchoked(), 24);
}
