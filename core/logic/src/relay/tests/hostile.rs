//! Nodes that lie, flood and name strangers.

use super::*;
use bytes::Bytes;
use playswarm_proto::live::message::{Hello, Redirect};
use playswarm_proto::live::{MAX_PACKETS, Target};
use proptest::prelude::*;
use std::net::IpAddr;

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
        let peer = greeted(&mut net, 0, n, [30, 0, n as u8, 1]);
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
fn one_network_holds_a_share_of_the_connections() {
    let config = Config { links: 16, ..Config::default() };
    let mut net = Net::new(&config, channel(1, 1), 4);
    let node = net.join(&config, 3);
    for n in 0..40 {
        greeted(&mut net, node, n, [30, 0, 1, n as u8]);
        greeted(&mut net, 0, 100 + n, [30, 0, 1, n as u8]);
    }
    let here = |net: &Net, node: usize, ip: [u8; 3]| {
        let is_there = |link: &&Link| matches!(link.remote.ip(), IpAddr::V4(v4) if v4.octets()[..3] == ip);
        net.node(node).links.values().filter(is_there).count()
    };
    assert_eq!([node, 0].map(|node| here(&net, node, [30, 0, 1])), [4, 16]);
    // Others have theirs, and the nodes of a local network as many as there are.
    for n in 0..9 {
        greeted(&mut net, node, 200 + n, [10, 0, 1, n as u8]);
    }
    greeted(&mut net, node, 300, [30, 0, 2, 1]);
    assert_eq!([[10, 0, 1], [30, 0, 2]].map(|ip| here(&net, node, ip)), [9, 1]);
    // The source is bounded too.
    for n in 0..600u32 {
        greeted(&mut net, 0, 1000 + n, [40, (n >> 8) as u8, n as u8, 1]);
    }
    assert_eq!(net.node(0).links.len(), 16 * 16);
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

fn is_join(output: &Output, to: PeerKey) -> bool {
    matches!(output, Output::Tell(peer, Message::Join(_)) if *peer == to)
}

/// Returns a viewer with two stripes whose first contact is a node of which only this test decides what it
/// says, and the number under which it is known.
fn with_a_liar(net: &mut Net, config: &Config) -> (usize, PeerKey) {
    let node = net.nodes.len();
    let mut relay = Relay::new(net.now, config.clone(), NodeId(1000 + node as u64), 6881);
    relay.handle(net.now, Input::Channel(channel(2, 1)));
    net.nodes.push(Some(relay));
    let liar = greeted(net, node, 1, [30, 0, 0, 1]);
    let is_asked = |net: &Net| net.count(node, |o| is_join(o, liar)) > 0;
    for _ in 0..60 {
        if !is_asked(net) {
            net.pass(0.05);
        }
    }
    assert!(is_asked(net));
    (node, liar)
}

#[test]
fn a_node_that_names_places_that_do_not_exist_delays_a_start_and_no_more() {
    let config = Config::default();
    let mut net = Net::new(&config, channel(2, 1), 4);
    let (node, liar) = with_a_liar(&mut net, &config);
    let target = |n: u64| Target { node: NodeId(5000 + n), addr: addr(200 + n as usize), depth: 1, free: 9 };
    let redirect =
        Redirect { stripes: Stripes::first(2), targets: (0..4).map(target).collect(), ..Redirect::default() };
    net.give(node, Input::Heard(liar, Message::Redirect(redirect)));
    let dials = |o: &Output| matches!(o, Output::Dial(_));
    assert!((1..=4).contains(&net.count(node, dials)), "each place is tried once for all stripes");
    net.give(node, Input::Contact(addr(0), None));
    net.pass(4.0);
    assert_eq!([0, 1].map(|stripe| net.parent(node, stripe)), [Some(0); 2]);
}

#[test]
fn nodes_that_send_a_newcomer_round_in_circles_do_so_no_more_often_than_redirects_are_followed() {
    let config = Config::default();
    let mut net = Net::new(&config, channel(2, 1), 4);
    let (node, first) = with_a_liar(&mut net, &config);
    // Each liar names the next, and each has another number than the last time.
    let mut liars = vec![first];
    for n in 2..60 {
        net.pass(0.05);
        let last = *liars.last().unwrap();
        if net.count(node, |o| is_join(o, last)) == 0 {
            break;
        }
        let next = greeted(&mut net, node, n, [30, 0, n as u8, 1]);
        let target = Target {
            node: NodeId(u64::from(next.0)),
            addr: SocketAddr::from(([30, 0, n as u8, 1], 6881)),
            depth: 1,
            free: 9,
        };
        let redirect = Redirect { stripes: Stripes::first(2), targets: vec![target], ..Redirect::default() };
        net.give(node, Input::Heard(last, Message::Redirect(redirect)));
        liars.push(next);
    }
    let most = usize::from(config.tries) + 1;
    assert!((3..=most).contains(&liars.len()), "{} liars were asked", liars.len());
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
