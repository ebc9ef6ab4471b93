//! Measures what a relay's decision about one packet costs: the machine is told that the packet
//! arrived, and names the children that get it. The node has 64 connections, nine parents and twelve
//! children in one stripe.

use criterion::{Criterion, criterion_group, criterion_main};
use playswarm_logic::relay::{Channel, Config, Input, Output, Relay};
use playswarm_logic::{PeerKey, Time};
use playswarm_proto::live::message::{Accept, From, Hello, Join, Message, VERSION};
use playswarm_proto::live::{NodeId, Stripes};
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};

const STRIPES: u8 = 9;
const HOME: u8 = 4;
const PARENTS: u32 = 9;
const CHILDREN: u32 = 12;
const LINKS: u32 = 64;

fn addr(peer: u32) -> SocketAddr {
    // Of one network, only some may connect.
    SocketAddr::from((Ipv4Addr::new(20, 0, peer as u8, 1), 6881))
}

fn node(peer: u32) -> NodeId {
    NodeId(u64::from(peer) + 100)
}

fn join(homes: Stripes) -> Join {
    Join {
        stripes: Stripes::one(HOME),
        from: From::Start,
        upload: 0,
        homes,
        tries: 0,
        instead_of: None,
        asked: Vec::new(),
        ancestors: Vec::new(),
        route: Vec::new(),
    }
}

/// Returns a relay that is fed with all stripes, and its time.
fn relay() -> (Relay, Time) {
    let now = Time::from_secs_f64(1.0);
    let mut relay = Relay::new(now, Config::default(), NodeId(1), 6881);
    relay.handle(now, Input::Channel(Channel { stripes: STRIPES, needed: 8, stripe_bytes_per_s: 50_000.0 }));
    relay.handle(now, Input::Upload(700_000.0));
    for peer in 0..LINKS {
        relay.handle(now, Input::Incoming(PeerKey(peer), addr(peer)));
        let hello = Hello { version: VERSION, node: node(peer), port: 6881, ..Hello::default() };
        relay.handle(now, Input::Heard(PeerKey(peer), Message::Hello(hello)));
    }
    // Each stripe is asked of a node, and the answer is yes.
    for _ in 0..PARENTS {
        relay.handle(now, Input::Contact(addr(0), None));
        let outputs: Vec<Output> = std::iter::from_fn(|| relay.poll()).collect();
        for output in outputs {
            let Output::Tell(peer, Message::Join(join)) = output else { continue };
            for stripe in join.stripes.iter() {
                let path = vec![NodeId(99), node(peer.0)];
                let accept = Accept { stripe, path, homes: Stripes::one(HOME), adopts: None };
                relay.handle(now, Input::Heard(peer, Message::Accept(accept)));
            }
        }
    }
    for peer in LINKS - CHILDREN..LINKS {
        relay.handle(now, Input::Heard(PeerKey(peer), Message::Join(join(Stripes::NONE))));
    }
    while relay.poll().is_some() {}
    assert_eq!((relay.fed(), relay.feeds(HOME).len()), (usize::from(STRIPES), CHILDREN as usize));
    (relay, now)
}

fn packet(c: &mut Criterion) {
    let (mut relay, start) = relay();
    let parents: Vec<PeerKey> = (0..STRIPES).filter_map(|stripe| Some(relay.parent(stripe)?.peer)).collect();
    let (mut number, mut now) = (0u64, start);
    c.bench_function("relay_packet", |b| {
        b.iter(|| {
            let (group, stripe) = (number / u64::from(STRIPES), (number % u64::from(STRIPES)) as u8);
            number += 1;
            // Groups of 87 ms.
            now = Time(now.0 + 9_667);
            relay.handle(now, Input::Arrived { from: parents[usize::from(stripe)], stripe, group });
            black_box(relay.feeds(black_box(HOME)).len())
        });
    });
}

criterion_group!(benches, packet);
criterion_main!(benches);
