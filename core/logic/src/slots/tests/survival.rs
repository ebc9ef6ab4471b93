//! Conditions that the index must survive: wrong clocks, departing peers, garbage, dead peers, a
//! Sybil attack, no DHT at all.

use super::*;

#[test]
fn a_clock_that_is_an_hour_wrong_is_corrected_by_peers_that_delivered_and_the_slot_moves() {
    let config = Config::default();
    let mut d = Driver::playing(config.clone(), 0.0);
    let wrong = d.slots.slot(at(0.0)).unwrap();
    for peer in 0..6 {
        d.tell(Input::Said(PeerKey(peer), said(100.0, UNIX_S + 3600.0)));
        d.tell(Input::Gave(PeerKey(peer), 16_384));
    }
    // Peers that claim another day and send no data.
    for peer in 100..400 {
        d.tell(Input::Said(PeerKey(peer), said(100.0, UNIX_S - 86_400.0)));
    }
    d.until(1.0);
    d.tell(Input::Timeout);
    assert_eq!(d.slots.clock_correction_s(), 3600.0);
    assert_eq!(d.slots.slot(at(1.0)), Some(wrong + 30));
    d.until(25.0);
    let announced = d.announces();
    assert_eq!(announced[0].1, key_of(&config, wrong + 30, 0), "never under the wrong one");
    assert_eq!(d.slots.message(at(25.0)).unwrap().unix_s, UNIX_S as i64 + 3625);
}

#[test]
fn every_parent_leaving_in_the_same_second_is_made_good_from_those_known_without_the_dht() {
    let mut d = Driver::playing(Config::default(), 0.0);
    d.answer(&(0..60).map(addr).collect::<Vec<_>>());
    let first = d.connect();
    d.until(10.0);
    for peer in &first {
        d.tell(Input::Gave(*peer, 100_000));
    }
    d.said.clear();
    let before = d.slots.counters().lookups;
    first.iter().for_each(|peer| d.tell(Input::Left(*peer)));
    let second = d.connect();
    assert_eq!((second.len(), d.slots.counters().lookups), (8, before), "at once, and without a lookup");
    assert_eq!(d.slots.parents(at(10.0)).count(), 8);
    let unique: BTreeSet<SocketAddr> = d.dialled.iter().copied().collect();
    assert_eq!(unique.len(), d.dialled.len(), "who left is not dialled again");
}

#[test]
fn a_parent_that_jumps_away_is_let_go_as_it_says_so_and_replaced() {
    let mut d = Driver::playing(Config::default(), 1000.0);
    d.answer(&(0..40).map(addr).collect::<Vec<_>>());
    let peers = d.connect();
    d.tell(Input::Gave(peers[0], 1_000_000));
    d.tell(Input::Said(peers[0], said(1100.0, UNIX_S)));
    assert_eq!(d.releases(), []);
    d.tell(Input::Said(peers[0], said(200.0, UNIX_S)));
    assert_eq!(d.releases(), [peers[0]]);
    assert_eq!(d.connect().len(), 1);
}

#[test]
fn a_dial_that_succeeds_too_late_gets_no_place() {
    let mut d = Driver::playing(Config::default(), 0.0);
    d.answer(&[addr(1)]);
    d.until(20.0);
    d.tell(Input::Dialled(addr(1), Dialled::Connected(PeerKey(7))));
    assert_eq!(d.releases(), [PeerKey(7)]);
}

#[test]
fn garbage_thousands_of_peers_and_our_own_address_cost_a_bounded_number_of_dials() {
    let own = addr(5);
    let mut d = Driver::new(Config::default());
    d.tell(Input::Own(own));
    d.tell(Input::Wall(UNIX_S));
    d.supply(0.0, 0.0);
    d.tell(Input::Play { position_s: 0.0, playing: true });
    let mut garbage: Vec<SocketAddr> = (0..50_000u32).map(addr).collect();
    garbage.extend([own; 100]);
    garbage.extend(
        ["0.0.0.0:1", "127.0.0.1:6881", "8.8.8.8:0", "224.0.0.1:9", "[::1]:7"]
            .map(|a| a.parse::<SocketAddr>().unwrap()),
    );
    for minute in 1..=60 {
        d.answer(&garbage);
        for addr in d.dials() {
            d.tell(Input::Dialled(addr, Dialled::Failed));
        }
        d.until(f64::from(minute) * 60.0);
        d.supply(0.0, 0.0);
    }
    assert!(d.dialled.len() <= 16 + 600, "{}", d.dialled.len());
    assert_eq!(d.dialled_to(|a| a == own || a.port() != 6881), 0);
    assert_eq!(d.slots.parents(at(3600.0)).count(), 0);
}

#[test]
fn ourselves_under_an_address_that_we_did_not_know_is_dialled_once() {
    let mut d = Driver::playing(Config::default(), 0.0);
    d.answer(&[addr(1)]);
    assert_eq!(d.dials(), [addr(1)]);
    d.tell(Input::Dialled(addr(1), Dialled::Ourselves));
    for hour in 1..=3 {
        d.until(f64::from(hour) * 3600.0);
        d.answer(&[addr(1)]);
    }
    assert_eq!(d.dials(), []);
}

#[test]
fn dead_peers_are_left_alone_for_longer_each_time() {
    let mut d = Driver::playing(Config::default(), 0.0);
    let mut times = Vec::new();
    for tick in 0..1440 {
        d.until(f64::from(tick) * 10.0);
        d.answer(&[addr(1)]);
        for addr in d.dials() {
            times.push(d.now);
            d.tell(Input::Dialled(addr, Dialled::Failed));
        }
    }
    let gaps: Vec<f64> = times.windows(2).map(|w| w[1] - w[0]).collect();
    assert!(gaps.len() >= 3 && gaps[0] >= 600.0 && gaps[1] >= 1200.0 && gaps[2] >= 2400.0, "{gaps:?}");
}

#[test]
fn a_sybil_in_every_slot_costs_bounded_dials_and_the_viewers_that_deliver_stay() {
    // A thousand addresses in four networks, mixed with twenty viewers. The Sybil peers accept
    // connections and send nothing.
    let sybil = |n: u32| SocketAddr::from((std::net::Ipv4Addr::from(0x4000_0001 + ((n % 4) << 8) + n / 4), 6881));
    let is_sybil = |a: SocketAddr| a.to_string().starts_with("64.");
    let crowd: Vec<SocketAddr> = (0..1000).map(sybil).chain((0..20).map(addr)).collect();
    let mut d = Driver::playing(Config { answer_peers: 2000, max_candidates: 2000, ..Config::default() }, 0.0);
    let mut givers: Vec<PeerKey> = Vec::new();
    for second in 0..600 {
        d.until(f64::from(second));
        d.answer(&crowd);
        for a in d.dials() {
            let peer = PeerKey(d.next_peer);
            d.next_peer += 1;
            if !is_sybil(a) {
                givers.push(peer);
            }
            d.tell(Input::Dialled(a, Dialled::Connected(peer)));
        }
        for peer in givers.clone() {
            d.tell(Input::Gave(peer, 6000));
        }
        d.supply(5.0, 0.0);
    }
    let sybils = d.dialled_to(is_sybil);
    assert!(sybils <= 24, "{sybils} dials: a network that only fails is left alone");
    assert!(givers.iter().filter(|g| d.slots.is_parent(**g)).count() >= 6);
    // With a network for each address, the budget of dials is the bound.
    let mut d = Driver::playing(Config::default(), 0.0);
    for second in 0..3600u32 {
        d.until(f64::from(second));
        d.answer(&(0..300).map(|n| addr(n + 300 * second)).collect::<Vec<_>>());
        for a in d.dials() {
            d.next_peer += 1;
            d.tell(Input::Dialled(a, Dialled::Connected(PeerKey(d.next_peer))));
        }
        d.supply(5.0, 0.0);
    }
    assert!(d.dialled.len() <= 16 + 600, "{}", d.dialled.len());
}

#[test]
fn a_banned_peer_is_never_dialled_again() {
    let mut d = Driver::playing(Config::default(), 0.0);
    d.answer(&[addr(1)]);
    let peers = d.connect();
    d.tell(Input::Banned(peers[0]));
    for day in 1..=5 {
        d.until(f64::from(day) * 86_400.0);
        d.answer(&[addr(1)]);
    }
    assert_eq!(d.dials(), []);
}

#[test]
fn without_a_dht_operations_fail_ever_more_rarely_and_nothing_else_happens() {
    let mut d = Driver::playing(Config::default(), 0.0);
    for minute in 1..=180 {
        for (operation, _) in d.lookups().into_iter().chain(d.announces()) {
            d.tell(Input::Ended(operation, false));
        }
        d.until(f64::from(minute) * 60.0);
        d.supply(40.0, 0.0);
    }
    let done = d.slots.counters();
    assert_eq!((done.dials, done.failed_operations > 10), (0, true));
    assert!(done.lookups + done.announces < 6 + 180, "{done:?}");
}

#[test]
fn operations_that_never_end_are_given_up_and_cancelled() {
    let mut d = Driver::playing(Config::default(), 0.0);
    let first: Vec<Operation> = d.lookups().into_iter().map(|(o, _)| o).collect();
    d.until(31.0);
    let cancelled = d.take(|o| match o {
        Output::Cancel(operation) => Some(*operation),
        _ => None,
    });
    assert!(first.iter().all(|o| cancelled.contains(o)), "{cancelled:?}");
    d.tell(Input::Found(first[0], vec![addr(3)]));
    assert_eq!(d.dials(), [], "what comes too late is nobody's answer");
}
