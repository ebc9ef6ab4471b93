//! Nodes that lie, flood and name strangers.

use super::*;
use bytes::Bytes;
use playswarm_proto::live::message::{Hello, Redirect};
use playswarm_proto::live::{MAX_PACKETS, Target};
use proptest::prelude::*;

fn greeted(net: &mut Net, node: usize, peer: u32, ip: [u8; 4]) -> PeerKey {
    let peer = PeerKey(10_000 + peer);
    net.give(node, Input::Incoming(peer, SocketAddr::from((ip, 5000))));
    let hello = Hello { node: NodeId(u64::from(peer.0)), port: 6881, ..Hello::default() };
    net.give(node, Input::Heard(peer, Message::Hello(hello)));
    peer
}

#[test]
fn a_flood_of_requests_is_answered_cheaply_beyond_the_bound() {
    let config = Config::default();
    let mut net = Net::new(&config, channel(1, 1), 4);
    for n in 0..200 {
        let peer = greeted(&mut net, 0, n, [30, 0, 0, n as u8]);
        net.give(0, Input::Heard(peer, Message::Join(join_for(Stripes::first(1)))));
    }
    let counters = net.node(0).counters();
    assert_eq!((counters.joins, counters.accepted, counters.flooded), (200, 4, 150));
    let told = |o: &Output| matches!(o, Output::Tell(_, Message::Redirect(Redirect { retry_s: 1, .. })));
    assert_eq!(net.count(0, told), 150);
}

#[test]
fn nobody_on_the_internet_names_an_address_of_a_private_network() {
    let named = ["127.0.0.1:6881", "192.168.1.1:6881", "10.0.0.1:6881", "[::1]:6881", "20.0.0.77:25", "20.0.0.77:6881"];
    let dialled = named.map(|text| {
        let now = Time::from_secs_f64(1.0);
        let mut relay = Relay::new(now, Config::default(), NodeId(1), 6881);
        relay.handle(now, Input::Contact(addr(0), None));
        relay.handle(now, Input::Dialled(addr(0), Dialled::Connected(PeerKey(1))));
        relay.handle(now, Input::Heard(PeerKey(1), Message::Hello(Hello { node: NodeId(2), ..Hello::default() })));
        while relay.poll().is_some() {}
        let target = Target { node: NodeId(5), addr: text.parse().unwrap(), depth: 1, free: 9 };
        let redirect = Redirect { stripes: Stripes::ALL, targets: vec![target], ..Redirect::default() };
        relay.handle(now, Input::Heard(PeerKey(1), Message::Redirect(redirect)));
        std::iter::from_fn(|| relay.poll()).any(|output| output == Output::Dial(target.addr))
    });
    // Nor a port of the mail service.
    assert_eq!(dialled, [false, false, false, false, false, true]);
}

#[test]
fn who_wants_more_packets_than_its_share_gets_no_answer() {
    let config = Config { wants_per_s: 10.0, ..Config::default() };
    let mut net = Net::new(&config, channel(1, 1), 4);
    let peer = greeted(&mut net, 0, 1, [30, 0, 0, 1]);
    for group in 0..50 {
        net.give(0, Input::Heard(peer, Message::Want(vec![wanted(group, Stripes(1))])));
    }
    assert_eq!(net.count(0, |o| matches!(o, Output::Give(..))), 10);
}

#[test]
fn connections_beyond_the_bound_are_closed() {
    let config = Config { links: 10, ..Config::default() };
    let mut net = Net::new(&config, channel(1, 1), 4);
    let node = net.join(&config, 3);
    for n in 0..30 {
        greeted(&mut net, node, n, [30, 0, 1, n as u8]);
    }
    assert!(net.node(node).links.len() <= 10);
    assert!(net.count(node, |o| matches!(o, Output::Close(_))) >= 20);
}

#[test]
fn connections_without_use_are_closed_but_for_some() {
    let config = Config::default();
    let mut net = Net::new(&config, channel(1, 1), 4);
    for n in 0..30 {
        greeted(&mut net, 0, n, [30, 0, 1, n as u8]);
    }
    for _ in 0..8 {
        net.pass(1.0);
        for n in 0..30 {
            net.give(0, Input::Heard(PeerKey(10_000 + n), Message::Beat(Default::default())));
        }
    }
    assert_eq!(net.node(0).links.len(), config.spare_links);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    /// Whatever arrives, in whatever order: no panic, and the invariants hold.
    #[test]
    fn nothing_that_nodes_send_breaks_the_machine(
        steps in proptest::collection::vec((0u32..5, 0u8..12, proptest::collection::vec(any::<u8>(), 0..80), 0u32..2000), 1..80),
        is_source: bool,
    ) {
        let mut now = Time::from_secs_f64(1.0);
        let config = Config { links: 4, ..Config::default() };
        let mut relay = match is_source {
            true => Relay::source(now, config, NodeId(1), 6881, channel(9, 8)),
            false => Relay::new(now, config, NodeId(1), 6881),
        };
        relay.handle(now, Input::Upload(places(6)));
        for (peer, kind, bytes, wait_ms) in steps {
            now = now.plus_secs(f64::from(wait_ms) / 1000.0);
            let addr = SocketAddr::from(([20, 0, 0, peer as u8], 6881));
            let peer = PeerKey(peer);
            let input = match kind {
                0 => Input::Incoming(peer, addr),
                1 => Input::Dialled(addr, Dialled::Connected(peer)),
                2 => Input::Left(peer),
                3 => Input::Contact(addr, None),
                4 => Input::Channel(channel(1 + bytes.len() as u8 % 18, 1)),
                5 => Input::Arrived { from: peer, stripe: bytes.first().copied().unwrap_or(0), group: bytes.len() as u64 },
                6 => Input::Late { group: 3, missing: Stripes(u32::MAX), lacks: 200 },
                _ => {
                    // Bytes that are nearly a message: a valid kind, and lists with short lengths.
                    let mut message = vec![kind - 6];
                    message.extend(bytes.iter().map(|byte| if *byte < 128 { byte % 3 } else { *byte }));
                    message.extend([0; 40]);
                    match Message::decode(Bytes::from(message)) {
                        Ok(Some(message)) => Input::Heard(peer, message),
                        _ => Input::Heard(peer, Message::Hello(Hello { node: NodeId(u64::from(peer.0) + 1), port: 6881, ..Hello::default() })),
                    }
                }
            };
            relay.handle(now, input);
            while relay.poll().is_some() {}
            for _ in 0..20 {
                if relay.next_timeout() > now {
                    break;
                }
                relay.handle(now, Input::Timeout);
                while relay.poll().is_some() {}
            }
            relay.check_invariants(now).map_err(TestCaseError::fail)?;
            prop_assert!(relay.trees.len() <= MAX_PACKETS);
        }
    }
}
