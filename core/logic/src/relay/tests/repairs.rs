//! Deaths, lags, farewells and loops.

use super::*;
use playswarm_proto::live::message::{Accept, Beat, Down, Hello};

/// Nine stripes, and twelve viewers with twelve places each.
fn crowd() -> (Net, Vec<usize>) {
    let config = Config { improve: false, ..Config::default() };
    let mut net = Net::new(&config, channel(9, 8), 27);
    let viewers = (0..12)
        .map(|_| {
            net.pass(0.5);
            net.join(&config, 12)
        })
        .collect();
    net.pass(20.0);
    (net, viewers)
}

#[test]
fn the_children_of_a_dead_node_find_other_parents() {
    let (mut net, viewers) = crowd();
    let busiest =
        *viewers.iter().max_by_key(|node| (0..9).map(|s| net.node(**node).feeds(s).len()).sum::<usize>()).unwrap();
    let orphans: usize = (0..9).map(|s| net.node(busiest).feeds(s).len()).sum();
    assert!(orphans >= 3);
    net.log.clear();
    net.kill(busiest);
    net.pass(0.3);
    for node in viewers.into_iter().filter(|node| *node != busiest) {
        assert_eq!(net.node(node).fed(), 9, "node {node}");
    }
    // Mostly over connections that were open.
    let dials = net.log.iter().filter(|(_, o)| matches!(o, Output::Dial(_))).count();
    assert!(3 * dials <= orphans, "{dials} dials for {orphans} orphans");
}

#[test]
fn a_node_that_is_silent_is_left() {
    let (mut net, viewers) = crowd();
    let silent = *viewers.iter().find(|node| (0..9).any(|s| !net.node(**node).feeds(s).is_empty())).unwrap();
    net.mute.insert(silent);
    net.pass(10.0);
    for node in viewers.into_iter().filter(|node| *node != silent) {
        assert_eq!(net.node(node).fed(), 9, "node {node}");
        assert!((0..9).all(|stripe| net.parent(node, stripe) != Some(silent)));
    }
}

#[test]
fn a_stripe_that_lags_behind_the_others_gets_another_parent() {
    let (mut net, viewers) = crowd();
    let node = viewers[5];
    let lagging = (0..9).find(|stripe| net.parent(node, *stripe) != Some(0)).unwrap();
    let before = net.parent(node, lagging);
    for group in 100..120 {
        // The parent goes on with its beats, but brings no packets of this stripe.
        let others: Stripes = (0..9).filter(|stripe| *stripe != lagging).collect();
        net.send_group(group, others);
        net.pass(0.05);
    }
    assert_ne!(net.parent(node, lagging), before);
    assert!(net.node(node).counters().lagged >= 1);
    assert_eq!(net.node(node).counters().orphaned, 0, "the old parent was kept until the new one accepted");
}

#[test]
fn a_pause_of_the_source_alarms_nobody() {
    let (mut net, viewers) = crowd();
    for group in 100..110 {
        net.send_group(group, Stripes::first(9));
        net.pass(0.1);
    }
    net.log.clear();
    net.pass(30.0);
    assert!(net.log.iter().all(|(_, o)| !matches!(o, Output::Tell(_, Message::Join(_)))));
    assert!(viewers.iter().all(|node| net.node(*node).counters().lagged == 0));
}

#[test]
fn who_leaves_first_finds_its_children_other_parents() {
    let (mut net, viewers) = crowd();
    let leaving =
        *viewers.iter().max_by_key(|node| (0..9).map(|s| net.node(**node).feeds(s).len()).sum::<usize>()).unwrap();
    net.log.clear();
    net.give(leaving, Input::Leave);
    net.pass(1.6);
    let orphaned = net.log.iter().filter(|(_, o)| matches!(o, Output::Event(Event::Orphaned { .. }))).count();
    assert_eq!(orphaned, 0);
    assert_eq!(net.count(leaving, |o| matches!(o, Output::Done)), 1);
    for node in viewers.into_iter().filter(|node| *node != leaving) {
        assert_eq!(net.node(node).fed(), 9, "node {node}");
        assert!((0..9).all(|stripe| net.parent(node, stripe) != Some(leaving)));
    }
}

#[test]
fn two_nodes_that_adopt_each_other_notice_it() {
    let config = Config::default();
    let mut net = Net::new(&config, channel(1, 1), 1);
    let a = net.join(&config, 3);
    net.pass(1.5);
    let b = net.join(&config, 3);
    net.pass(1.5);
    assert_eq!([net.parent(a, 0), net.parent(b, 0)], [Some(0), Some(a)]);
    // A reports a path through B itself.
    let from_a = net.peer(b, a).unwrap();
    let down = Down { stripe: 0, path: vec![NodeId(1000), net.node(b).node(), net.node(a).node()], kin: Vec::new() };
    net.give(b, Input::Heard(from_a, Message::Beat(Beat { down: vec![down], ..Beat::default() })));
    assert_eq!(net.node(b).counters().loops, 1);
    assert_eq!(net.count(b, |o| matches!(o, Output::Event(Event::Orphaned { .. }))), 1);
    // Nor is a place accepted at the end of such a path.
    net.pass(5.0);
    let mut fresh = Relay::new(net.now, config, NodeId(7), 6881);
    fresh.handle(net.now, Input::Channel(channel(1, 1)));
    fresh.handle(net.now, Input::Contact(addr(9), None));
    fresh.handle(net.now, Input::Dialled(addr(9), Dialled::Connected(PeerKey(1))));
    let hello = Hello { node: NodeId(8), ..Hello::default() };
    fresh.handle(net.now, Input::Heard(PeerKey(1), Message::Hello(hello)));
    let accept = Accept { stripe: 0, path: vec![NodeId(7), NodeId(8)], homes: Stripes::NONE, adopts: None };
    fresh.handle(net.now, Input::Heard(PeerKey(1), Message::Accept(accept)));
    assert_eq!((fresh.parent(0), fresh.counters().loops), (None, 1));
}

#[test]
fn late_packets_are_asked_of_two_neighbours_that_have_them() {
    let (mut net, viewers) = crowd();
    for group in 100..110 {
        net.send_group(group, Stripes::first(9));
        net.pass(0.1);
    }
    net.pass(1.0);
    net.log.clear();
    net.give(viewers[3], Input::Late { group: 105, missing: Stripes(0b11_0000), lacks: 1 });
    let asks = |o: &Output| *o == Output::Tell(net_peer(o), Message::Want(vec![wanted(105, Stripes(0b1_0000))]));
    assert_eq!(net.count(viewers[3], asks), 2);
    assert_eq!(net.log.iter().filter(|(_, o)| matches!(o, Output::Give(..))).count(), 2);
    net.log.clear();
    net.give(viewers[3], Input::Late { group: 999, missing: Stripes(1), lacks: 1 });
    assert!(net.log.is_empty(), "nobody has that group");
}

fn net_peer(output: &Output) -> PeerKey {
    match output {
        Output::Tell(peer, _) => *peer,
        _ => PeerKey(u32::MAX),
    }
}

#[test]
fn a_child_that_is_sent_away_is_fed_until_it_has_another_parent_or_its_time_is_over() {
    let config = Config::default();
    let mut net = Net::new(&config, channel(1, 1), 3);
    let child = net.join(&config, 0);
    let slow = net.peer(0, child).unwrap();
    for _ in 0..12 {
        net.give(0, Input::Queue(slow, 0.4));
        net.pass(0.1);
    }
    // It is its own only child, and nobody else has a place.
    assert_eq!(net.count(0, |o| matches!(o, Output::Tell(_, Message::Redirect(_)))), 1);
    net.pass(1.0);
    assert_eq!(net.node(0).feeds(0), [slow]);
    assert_eq!(net.count(child, |o| matches!(o, Output::Event(Event::Orphaned { .. }))), 0);
    net.mute.insert(child);
    net.pass(2.5);
    assert!(net.node(0).feeds(0).is_empty());
    assert_eq!(net.count(child, |o| matches!(o, Output::Event(Event::Orphaned { .. }))), 1);
}

#[test]
fn a_line_that_feeds_too_many_gives_up_its_newest_child() {
    let config = Config::default();
    let mut net = Net::new(&config, channel(1, 1), 3);
    let [a, b] = [5, 0].map(|count| {
        net.pass(1.5);
        net.join(&config, count)
    });
    net.pass(1.5);
    let slow = net.peer(0, a).unwrap();
    for _ in 0..20 {
        net.give(0, Input::Queue(slow, 0.4));
        net.pass(0.1);
    }
    net.pass(1.0);
    assert_eq!([net.parent(a, 0), net.parent(b, 0)], [Some(0), Some(a)]);
    assert_eq!(net.count(b, |o| matches!(o, Output::Event(Event::Orphaned { .. }))), 0);
}
