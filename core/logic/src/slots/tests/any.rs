//! Arbitrary inputs in any order.

use super::*;
use proptest::prelude::*;

fn any_input() -> impl Strategy<Value = Input> {
    let seconds = prop_oneof![-10.0f64..7000.0, Just(f64::NAN), Just(f64::INFINITY), Just(-1e300)];
    let address = prop_oneof![
        (0u32..200).prop_map(addr),
        any::<u32>().prop_map(|ip| SocketAddr::from((std::net::Ipv4Addr::from(ip), 80))),
        any::<u128>().prop_map(|ip| SocketAddr::from((std::net::Ipv6Addr::from(ip), 81))),
    ];
    let peer = (0u32..30).prop_map(PeerKey);
    let how = (0u32..40).prop_map(|n| match n {
        0 => Dialled::Ourselves,
        1..=5 => Dialled::Failed,
        6 => Dialled::NotTried,
        n => Dialled::Connected(PeerKey(n)),
    });
    let message =
        (0u64..7_000_000, any::<i64>(), any::<i64>(), 0u32..2).prop_map(|(playhead_ms, slot, unix_s, file)| Message {
            playhead_ms,
            slot,
            unix_s,
            file,
            ..Message::default()
        });
    prop_oneof![
        seconds.clone().prop_map(Input::Wall),
        (1.79e9..1.81e9).prop_map(Input::Wall),
        (seconds.clone(), any::<bool>()).prop_map(|(position_s, playing)| Input::Play { position_s, playing }),
        (seconds.clone(), seconds.clone(), seconds).prop_map(|(film_bytes_per_s, ahead_s, seeds_bytes_per_s)| {
            Input::Supply { film_bytes_per_s, ahead_s, seeds_bytes_per_s, spare_bytes_per_s: 7 }
        }),
        (any::<u32>(), any::<bool>()).prop_map(|(stretch, held)| Input::Holds { stretch, held }),
        (0u32..20, any::<bool>()).prop_map(|(stretch, held)| Input::Holds { stretch, held }),
        address.clone().prop_map(Input::Own),
        (0u32..60, proptest::collection::vec(address.clone(), 0..60)).prop_map(|(o, a)| Input::Found(Operation(o), a)),
        (0u32..60, any::<bool>()).prop_map(|(o, well)| Input::Ended(Operation(o), well)),
        (address, how).prop_map(|(a, how)| Input::Dialled(a, how)),
        (peer.clone(), message).prop_map(|(p, m)| Input::Said(p, m)),
        (peer.clone(), any::<u64>()).prop_map(|(p, bytes)| Input::Gave(p, bytes)),
        peer.clone().prop_map(Input::Left),
        peer.prop_map(Input::Banned),
        Just(Input::Stopped),
        Just(Input::Timeout),
    ]
}

proptest! {
    #[test]
    fn whatever_comes_the_bounds_hold_and_the_budgets_too(
        kind in prop_oneof![Just(Kind::Virtual), Just(Kind::Data)],
        events in proptest::collection::vec((0.0f64..20.0, any_input(), any::<bool>()), 1..250),
    ) {
        let mut d = Driver::new(Config { kind, ..Config::default() });
        d.tell(Input::Wall(UNIX_S));
        d.supply(0.0, 0.0);
        d.tell(Input::Play { position_s: 10.0, playing: true });
        for (wait, input, answer) in events {
            let now = d.now + wait;
            d.until(now);
            d.tell(input);
            if answer {
                // The inputs of an honest driver among the arbitrary ones.
                d.answer(&(0..30).map(addr).collect::<Vec<_>>());
                for a in d.dials() {
                    d.next_peer = d.next_peer.max(1000) + 1;
                    d.tell(Input::Dialled(a, Dialled::Connected(PeerKey(d.next_peer))));
                }
            }
            let hours = d.now / 3600.0;
            let done = d.slots.counters();
            prop_assert!((done.lookups + done.announces) as f64 <= 6.0 + 60.0 * hours + 0.01);
            prop_assert!(done.dials as f64 <= 16.0 + 600.0 * hours + 0.01);
        }
    }
}
