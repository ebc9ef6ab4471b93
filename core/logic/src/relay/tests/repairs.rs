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

/// Returns the neighbours that a node asked for packets, and those.
fn asked(net: &Net) -> Vec<(PeerKey, Wanted)> {
    let wants = net.log.iter().filter_map(|(_, output)| match output {
        Output::Tell(peer, Message::Want(wanted)) => Some((*peer, wanted.clone())),
        _ => None,
    });
    wants.flat_map(|(peer, wanted)| wanted.into_iter().map(move |wanted| (peer, wanted))).collect()
}

#[test]
fn each_late_packet_is_asked_of_one_neighbour_that_has_it() {
    let (mut net, viewers) = crowd();
    for group in 100..110 {
        net.send_group(group, Stripes::first(9));
        net.pass(0.1);
    }
    net.pass(1.0);
    net.log.clear();
    let late = |net: &mut Net| {
        net.log.clear();
        net.give(viewers[3], Input::Late { group: 105, missing: Stripes(0b111_0000), lacks: 2 });
        asked(net)
    };
    let first = late(&mut net);
    let packets = |asked: &[(PeerKey, Wanted)]| asked.iter().fold(0, |all, (_, wanted)| all | wanted.packets.0);
    assert_eq!(packets(&first), 0b11_0000);
    assert_eq!(late(&mut net), [], "the answers are on their way");
    net.pass(0.3);
    let again = late(&mut net);
    let same = |(peer, wanted): &(PeerKey, Wanted)| {
        first.iter().any(|(p, w)| p == peer && w.packets.0 & wanted.packets.0 != 0)
    };
    assert!(packets(&again) != 0 && !again.iter().any(same), "others are asked: {again:?}");
    // What a neighbour had when it said so is old; what it has now is as much ahead of us as then.
    for group in 110..118 {
        net.send_group(group, Stripes::first(9));
    }
    net.log.clear();
    net.give(viewers[3], Input::Late { group: 117, missing: Stripes(0b11_0000), lacks: 1 });
    assert_eq!(asked(&net).len(), 1);
    net.log.clear();
    net.give(viewers[3], Input::Late { group: 999, missing: Stripes(1), lacks: 1 });
    assert_eq!(asked(&net), [], "nobody has that group");
}

/// Three viewers whom the source feeds with all nine stripes. The last one knows only the source, and
/// wants the groups from 60 to 99.
fn newcomer() -> (Net, usize) {
    let config = Config { improve: false, ..Config::default() };
    let mut net = Net::new(&config, channel(9, 8), 27);
    let viewers: Vec<usize> = (0..3).map(|_| net.join(&config, 12)).collect();
    net.pass(2.0);
    (100..110).for_each(|group| net.send_group(group, Stripes::first(9)));
    net.log.clear();
    for group in 60..100 {
        net.give(viewers[2], Input::Late { group, missing: Stripes::first(9), lacks: 8 });
    }
    (net, viewers[2])
}

fn packets_asked(net: &Net) -> Vec<(PeerKey, u64, u8)> {
    let each = |(peer, wanted): (PeerKey, Wanted)| {
        wanted.packets.iter().map(move |stripe| (peer, wanted.group, stripe)).collect::<Vec<_>>()
    };
    asked(net).into_iter().flat_map(each).collect()
}

#[test]
fn who_answers_soon_gets_more_requests_and_who_answers_late_gets_fewer() {
    let (mut net, node) = newcomer();
    let source = net.peer(node, 0).unwrap();
    let mut at_once: Vec<(PeerKey, u64, u8)> = packets_asked(&net);
    at_once.retain(|(peer, ..)| *peer == source);
    assert_eq!(at_once.len(), 8);
    assert!(at_once.iter().all(|(_, group, _)| *group == 60), "the oldest first: {at_once:?}");
    net.log.clear();
    for (from, group, stripe) in at_once {
        net.give(node, Input::Arrived { from, stripe, group });
    }
    let mut more = packets_asked(&net);
    more.retain(|(peer, ..)| *peer == source);
    assert_eq!(more.len(), 10);
    net.pass(0.3);
    net.log.clear();
    let (from, group, stripe) = more[0];
    net.give(node, Input::Arrived { from, stripe, group });
    assert!(!packets_asked(&net).iter().any(|(peer, ..)| *peer == source), "it has nine, and now may have five");
}

#[test]
fn what_a_newcomer_does_not_need_any_more_is_not_asked_for() {
    let (mut net, node) = newcomer();
    let asked = packets_asked(&net);
    assert!(asked.iter().all(|(_, group, _)| *group < 90), "{asked:?}");
    net.log.clear();
    net.give(node, Input::Unneeded(90));
    for (from, group, stripe) in asked {
        net.give(node, Input::Arrived { from, stripe, group });
    }
    let more = packets_asked(&net);
    assert!(!more.is_empty() && more.iter().all(|(_, group, _)| *group >= 90), "{more:?}");
}

#[test]
fn while_all_neighbours_are_busy_nodes_with_free_places_are_dialled() {
    let (net, node) = newcomer();
    let dialled = |to: usize| net.count(node, |output| *output == Output::Dial(addr(to)));
    assert_eq!([dialled(1), dialled(2)], [1, 1]);
    let peers: BTreeSet<PeerKey> = asked(&net).into_iter().map(|(peer, _)| peer).collect();
    assert_eq!(peers.len(), 3, "they are asked too");
}

#[test]
fn a_child_that_is_sent_away_is_fed_until_it_has_another_parent_or_its_time_is_over() {
    let config = Config::default();
    let mut net = Net::new(&config, channel(1, 1), 3);
    let child = net.join(&config, 0);
    let slow = net.peer(0, child).unwrap();
    for _ in 0..12 {
        net.give(0, Input::Queue(slow, 0.5));
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

/// Returns after how many seconds a node that can dial nobody finds the source, which is back after
/// this time.
fn found_after(had_the_stream: bool, offline_s: f64) -> f64 {
    let config = Config::default();
    let mut net = Net::new(&config, channel(2, 1), 4);
    if !had_the_stream {
        net.kill(0);
    }
    let node = net.join_of(&config, channel(2, 1), 0);
    net.pass(2.0);
    assert_eq!(net.parent(node, 0).is_some(), had_the_stream);
    if had_the_stream {
        net.kill(0);
    }
    net.pass(offline_s);
    let mut source = Relay::source(net.now, config, NodeId(1000), 6881, channel(2, 1));
    source.handle(net.now, Input::Upload(places(4)));
    net.nodes[0] = Some(source);
    let back = net.now;
    while net.node(node).fed() < 2 {
        net.pass(0.1);
        assert!(net.now.since(back).as_secs_f64() < 120.0, "it is never found");
    }
    net.now.since(back).as_secs_f64()
}

#[test]
fn a_node_that_is_cut_off_from_the_whole_stream_tries_each_two_seconds() {
    for offline_s in [5.0, 20.0, 60.0] {
        let after_s = found_after(true, offline_s);
        assert!(after_s <= 4.1, "{after_s} s after {offline_s} s");
    }
    // A newcomer has nothing to catch up with, and soon tries rarely.
    let after_s: Vec<f64> = [20.0, 45.0, 70.0].map(|offline_s| found_after(false, offline_s)).into();
    assert!(after_s.iter().any(|after_s| *after_s > 6.0), "{after_s:?}");
}
