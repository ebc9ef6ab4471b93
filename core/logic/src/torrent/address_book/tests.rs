//! Situations of the address book.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::torrent::bans::Cause;

fn at(s: f64) -> Time {
    Time::from_secs_f64(s)
}

fn addr(n: u8) -> SocketAddr {
    SocketAddr::new([10, 0, 0, n].into(), 6881)
}

#[test]
fn all_candidates_are_dialled_at_once_as_far_as_there_is_room() {
    let mut book = AddressBook::default();
    (1..=20).for_each(|n| assert!(book.add(Time::ZERO, addr(n), Origin::Tracker)));
    assert_eq!(book.dial(Time::ZERO, 15).len(), 15);
    assert_eq!(book.dial(Time::ZERO, 15).len(), 0);
    assert_eq!(book.dial(Time::ZERO, 80).len(), 5);
}

#[test]
fn a_failed_dial_is_retried_later_and_later() {
    let mut book = AddressBook::default();
    book.add(Time::ZERO, addr(1), Origin::Dht);
    let mut now = Time::ZERO;
    let mut gaps = Vec::new();
    for _ in 0..4 {
        assert_eq!(book.dial(now, 10).len(), 1);
        book.ended(addr(1), now, End::Failed);
        let next = book.next_try().unwrap();
        gaps.push(next.since(now).as_secs());
        assert!(book.dial(now, 10).is_empty());
        now = next;
    }
    assert_eq!(gaps, [4, 8, 16, 32]);
}

#[test]
fn a_banned_peer_is_not_dialled_until_its_ban_has_ended() {
    let mut book = AddressBook::default();
    book.add(Time::ZERO, addr(1), Origin::Pex);
    book.dial(Time::ZERO, 10);
    assert!(book.bans.ban(addr(1), Cause::Lie, Time::ZERO));
    book.ended(addr(1), Time::ZERO, End::Fault);
    book.add(Time::ZERO, SocketAddr::new(addr(1).ip(), 1), Origin::Tracker);
    assert_eq!(book.dial(at(500.0), 10), [], "nor another port of the same host");
    assert_eq!(book.dial_one(addr(1), Origin::Slots, at(500.0)), None);
    assert_eq!(book.dial(at(700.0), 10).len(), 2);
}

/// Returns the times within the next 600 s of dials to an address that helped until `now` and is
/// unreachable since.
fn tries(book: &mut AddressBook, who: SocketAddr) -> Vec<f64> {
    let mut tried = Vec::new();
    for tenth in 1..6000 {
        let now = at(f64::from(tenth) / 10.0);
        if book.dial(now, 80).iter().any(|dial| dial.addr == who) {
            tried.push(now.as_secs_f64());
            book.ended(who, now, End::Failed);
        }
    }
    tried
}

#[test]
fn the_only_seed_is_used_within_seconds_of_its_return() {
    let mut book = AddressBook::default();
    book.connected(Time::ZERO, addr(1), Origin::Tracker);
    book.ended(addr(1), Time::ZERO, End::Helped);
    book.set_need(Need::Much);
    let tried = tries(&mut book, addr(1));
    let longest = |until: f64| {
        let times: Vec<f64> = tried.iter().copied().take_while(|t| *t <= until).collect();
        times.windows(2).map(|w| w[1] - w[0]).fold(times[0], f64::max)
    };
    assert!(longest(180.0) < 6.5 && longest(600.0) < 21.0, "{tried:?}");
    assert!(tried.len() < 120, "it is not hammered: {} times in ten minutes", tried.len());
}

#[test]
fn few_are_tried_so_often_and_none_where_enough_help() {
    let mut book = AddressBook::default();
    for n in 1..=40 {
        book.connected(Time::ZERO, addr(n), Origin::Tracker);
        book.ended(addr(n), at(f64::from(n) / 100.0), End::Helped);
        book.ended(addr(n), at(f64::from(n) / 100.0), End::Helped);
    }
    assert_eq!(book.dial(at(3.9), 80), []);
    book.set_need(Need::Much);
    let tried: Vec<SocketAddr> = book.dial(at(3.9), 80).into_iter().map(|dial| dial.addr).collect();
    assert_eq!(tried.len(), MAX_SOON);
    assert!(tried.contains(&addr(40)), "those that helped last");
}

#[test]
fn peers_that_misbehaved_or_never_delivered_are_dialled_less_often() {
    for end in [End::Fault, End::Failed] {
        let mut book = AddressBook::default();
        book.set_need(Need::Much);
        book.connected(Time::ZERO, addr(1), Origin::Tracker);
        book.ended(addr(1), Time::ZERO, end);
        assert!(tries(&mut book, addr(1)).len() < 8);
    }
    // An address that the user named counts as one that helps, and is never dropped.
    let mut book = AddressBook::default();
    book.set_need(Need::Much);
    book.add(Time::ZERO, addr(1), Origin::Given);
    assert!(tries(&mut book, addr(1)).len() > 50);
}

#[test]
fn a_seed_is_left_alone_while_we_lack_nothing() {
    let mut book = AddressBook::default();
    book.connected(Time::ZERO, addr(1), Origin::Tracker);
    book.ended(addr(1), Time::ZERO, End::BothComplete);
    book.set_need(Need::Nothing);
    assert_eq!(book.dial(at(1000.0), 10), []);
    book.set_need(Need::Some);
    assert_eq!(book.dial(at(1000.0), 10).len(), 1);
}

#[test]
fn a_private_torrent_keeps_what_trackers_and_the_user_named() {
    let mut book = AddressBook::default();
    let origins = [Origin::Dht, Origin::Pex, Origin::Lsd, Origin::Slots, Origin::Tracker, Origin::Given, Origin::Pex];
    for (origin, n) in origins.iter().zip(1..) {
        assert!(book.add(Time::ZERO, addr(n), *origin));
    }
    book.add(Time::ZERO, addr(7), Origin::Tracker);
    book.make_private();
    assert_eq!(book.known().collect::<Vec<_>>(), [addr(5), addr(6), addr(7)], "the others are forgotten");
    assert!(!book.add(Time::ZERO, addr(9), Origin::Dht));
    let mut dialled: Vec<SocketAddr> = book.dial(Time::ZERO, 80).into_iter().map(|dial| dial.addr).collect();
    dialled.sort_unstable();
    assert_eq!(dialled, [addr(5), addr(6), addr(7)]);
    let elsewhere = SocketAddr::new(addr(5).ip(), 50_000);
    assert!(book.is_named_for_private(elsewhere, true) && !book.is_named_for_private(elsewhere, false));
    assert!(!book.is_named_for_private(addr(1), true));
}

#[test]
fn our_own_address_is_dialled_once_from_any_source() {
    let mut book = AddressBook::default();
    book.add(Time::ZERO, addr(1), Origin::Pex);
    assert_eq!(book.dial(Time::ZERO, 1).len(), 1);
    book.is_us(addr(1));
    assert!(!book.add(Time::ZERO, addr(1), Origin::Tracker));
    assert!(
        book.add(Time::ZERO, SocketAddr::new(addr(1).ip(), 1), Origin::Tracker),
        "another peer behind the same router"
    );
    assert_eq!(book.dial(Time::ZERO, 1).len(), 1, "its place is free again");
}

#[test]
fn the_book_is_bounded() {
    let mut book = AddressBook::default();
    for n in 0..5000u32 {
        book.add(Time::ZERO, SocketAddr::new(std::net::Ipv4Addr::from(0x0b00_0000 + n).into(), 6881), Origin::Pex);
    }
    assert_eq!(book.idle(), MAX_KNOWN);
}

#[test]
fn equals_are_dialled_in_another_order_by_everybody() {
    let order = |salt| {
        let mut book = AddressBook::new(salt, addr(0));
        (1..=50).for_each(|n| assert!(book.add(Time::ZERO, addr(n), Origin::Tracker)));
        book.dial(Time::ZERO, 50).into_iter().map(|dial| dial.addr).collect::<Vec<_>>()
    };
    assert_eq!(order(1), order(1));
    assert_ne!(order(1), order(2));
    assert_eq!(order(1).len(), 50);
}

fn named(addr: SocketAddr, origin: Origin, by: AddressClass) -> Finding {
    Finding::Peer { addr, origin, by }
}

fn many(n: usize) -> SocketAddr {
    SocketAddr::from(([11, (n >> 16) as u8, (n >> 8) as u8, n as u8], 7000))
}

#[test]
fn a_peer_is_known_once_however_often_it_is_named() {
    let mut book = AddressBook::default();
    let near = AddressClass::Private;
    assert!(book.take(at(0.0), named(addr(1), Origin::Dht, near)));
    assert!(!book.take(at(1.0), named(addr(1), Origin::Tracker, near)));
    assert!(!book.take(at(2.0), named("[::ffff:10.0.0.1]:6881".parse().unwrap(), Origin::Lsd, near)));
    let dials = book.dial(at(2.0), 10);
    assert_eq!((dials.len(), dials[0].origin), (1, Origin::Tracker), "a tracker counts, whoever came first");
}

#[test]
fn addresses_that_lead_nowhere_to_services_or_to_ourselves_are_not_taken() {
    let mut book = AddressBook::new(0, "0.0.0.0:6881".parse().unwrap());
    book.take(at(0.0), Finding::OwnIp("::ffff:5.6.7.8".parse().unwrap()));
    let mut takes =
        |text: &str| book.take(at(0.0), named(text.parse().unwrap(), Origin::Tracker, AddressClass::Loopback));
    for nowhere in [
        "1.2.3.4:0",
        "0.0.0.0:1",
        "0.1.2.3:1",
        "224.0.0.1:1",
        "255.255.255.255:1",
        "[::]:1",
        "[ff02::1]:1",
        "127.0.0.1:6881",
        "[::1]:6881",
        "[::ffff:0.0.0.0]:5",
        "192.168.1.1:22",
        "5.6.7.8:6881",
    ] {
        assert!(!takes(nowhere), "{nowhere}");
    }
    for fine in ["127.0.0.1:6882", "192.168.1.2:6881", "[2001:db8::1]:1024", "5.6.7.8:6882"] {
        assert!(takes(fine), "{fine}");
    }
}

#[test]
fn a_source_names_nothing_more_local_than_itself_and_few_ports_of_an_address() {
    let mut book = AddressBook::default();
    for local in ["127.0.0.1:6882", "192.168.1.2:6881", "[::ffff:10.0.0.1]:6881", "[fd00::1]:6881"] {
        let addr = local.parse().unwrap();
        assert!(!book.take(at(0.0), named(addr, Origin::Tracker, AddressClass::Global)), "{local}");
        assert!(book.take(at(0.0), named(addr, Origin::Tracker, AddressClass::Loopback)), "{local}");
    }
    let port = |port: u16| SocketAddr::from(([9, 9, 9, 9], port));
    let pex = |port_number| named(port(port_number), Origin::Pex, AddressClass::Global);
    assert_eq!((2000..2100).filter(|n| book.take(at(0.0), pex(*n))).count(), 4);
    assert_eq!(book.dial_one(port(3000), Origin::Slots, at(0.0)), None, "the slot index has no more");
}

#[test]
fn one_origin_cannot_crowd_out_the_others_and_all_together_are_bounded() {
    let mut book = AddressBook::default();
    let mut taken = |from: usize, origin| {
        let takes = |n: &usize| book.take(at(0.0), named(many(*n), origin, AddressClass::Global));
        (from..from + 3000).filter(takes).count()
    };
    assert_eq!(taken(0, Origin::Tracker), MAX_OF_ORIGIN);
    assert_eq!(taken(10_000, Origin::Dht), MAX_KNOWN - MAX_OF_ORIGIN);
    assert_eq!(taken(20_000, Origin::Pex), 0);
    assert_eq!(book.known().count(), MAX_KNOWN);
}

#[test]
fn stale_addresses_make_room() {
    let mut book = AddressBook::default();
    let name = |n: usize| named(many(n), Origin::Tracker, AddressClass::Global);
    (0..MAX_OF_ORIGIN).for_each(|n| assert!(book.take(at(0.0), name(n))));
    assert!(!book.take(at(900.0), name(5000)));
    // One of them is named again, and stays.
    book.take(at(900.0), name(0));
    assert!(book.take(at(1801.0), name(5000)));
    assert!(book.known().any(|known| known == many(0)));
    assert_eq!(book.known().count(), MAX_OF_ORIGIN);
}

/// Applies random events to two books, one of which goes through all its addresses at each check.
#[test]
fn looks_that_are_left_out_would_have_found_nothing() {
    for seed in 0..40 {
        let mut rng = crate::rng::Rng::new(seed);
        let (mut book, mut thorough) = (AddressBook::new(seed, addr(250)), AddressBook::new(seed, addr(250)));
        let (mut now, mut dials) = (Time::ZERO, 0);
        for _ in 0..2000 {
            now = now.plus_secs(rng.unit());
            let (what, n, end) = (rng.below(40), addr(1 + rng.below(30) as u8), rng.below(3));
            let need = [Need::Nothing, Need::Some, Need::Some, Need::Much][rng.below(4) as usize];
            let end = [End::Failed, End::Helped, End::BothComplete][end as usize];
            let mut dialled = Vec::new();
            for book in [&mut book, &mut thorough] {
                match what {
                    0..10 => {
                        book.add(now, n, Origin::Tracker);
                    }
                    10..14 if book.known.get(&n).is_some_and(|e| e.state != State::Idle) => book.ended(n, now, end),
                    14..16 if book.known.get(&n).is_some_and(|e| e.state == State::Dialing) => {
                        book.connected(now, n, Origin::Tracker);
                    }
                    16 => book.set_need(need),
                    17 if end == End::Failed => book.hurry(now),
                    18 => book.forget(n),
                    _ => {}
                }
            }
            thorough.next_due = Time::ZERO;
            let room = if what % 4 == 0 { 2 } else { 60 };
            for book in [&mut book, &mut thorough] {
                dialled.push(book.dial(now, room));
            }
            dials += dialled[0].len();
            assert_eq!(dialled[0], dialled[1], "seed {seed} at {now:?}");
        }
        assert!(dials > 100, "{dials}");
    }
}
