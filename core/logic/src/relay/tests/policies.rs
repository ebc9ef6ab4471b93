//! SpreadIt's policies, each on a model of its own and in a small tree.

use super::super::policy::{Child, Model, Newcomer, Verdict};
use super::*;
use playswarm_proto::live::Target;
use playswarm_proto::live::message::Redirect;

fn child(peer: u32, x_s: f64, capacity: u16) -> Child {
    Child {
        peer: PeerKey(peer),
        node: NodeId(peer.into()),
        since: Time::ZERO,
        gives: capacity,
        capacity,
        subtree: 1,
        spare: 0,
        best: None,
        step: None,
        location: at(x_s),
    }
}

/// Returns a location at this distance along one line.
fn at(x_s: f64) -> Location {
    let coordinate =
        playswarm_proto::live::message::Coordinate { x: (x_s * 10_000.0) as i16, y: 0, height: 1, error: 100 };
    Location { position: Position::decode(coordinate), ..Location::default() }
}

fn newcomer(x_s: f64, capacity: u16) -> Newcomer {
    Newcomer { node: NodeId(99), gives: capacity, capacity, location: at(x_s) }
}

fn decide(add: Add, children: &[Child], new: &Newcomer) -> Verdict {
    let here = at(0.0);
    let model = Model {
        by: Distance::Coordinates,
        step_in: true,
        is_source: false,
        capacity: 4,
        location: &here,
        children,
        calm: true,
        kin: &[],
    };
    add.decide(&mut Rng::new(1), &model, new, &[])
}

#[test]
fn random_sends_to_any_child_and_to_each_about_as_often() {
    let children = [child(1, 0.0, 4), child(2, 0.0, 4), child(3, 0.0, 4)];
    let here = at(0.0);
    let model = Model {
        by: Distance::Coordinates,
        step_in: false,
        is_source: true,
        capacity: 4,
        location: &here,
        children: &children,
        calm: true,
        kin: &[],
    };
    let mut rng = Rng::new(5);
    let mut counts = [0; 4];
    for _ in 0..600 {
        match Add::Random.decide(&mut rng, &model, &newcomer(0.0, 1), &[]) {
            Verdict::Children(to) => counts[to[0].0 as usize] += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(counts[1..].iter().all(|count| (150..250).contains(count)), "{counts:?}");
}

#[test]
fn smart_placement_sends_to_the_child_nearest_to_the_newcomer() {
    let children = [child(1, 0.010, 4), child(2, 0.050, 4), child(3, 0.090, 4)];
    assert_eq!(decide(Add::SmartPlacement, &children, &newcomer(0.055, 1)), Verdict::Children(vec![PeerKey(2)]));
    assert_eq!(decide(Add::SmartPlacement, &children, &newcomer(0.200, 1)), Verdict::Children(vec![PeerKey(3)]));
}

#[test]
fn knock_downs_replaces_the_farthest_child_only_if_the_newcomer_is_nearer_than_all() {
    let children = [child(1, 0.010, 4), child(2, 0.050, 4), child(3, 0.090, 4)];
    assert_eq!(decide(Add::KnockDowns, &children, &newcomer(0.005, 1)), Verdict::Replace(PeerKey(3)));
    assert_eq!(decide(Add::KnockDowns, &children, &newcomer(0.020, 1)), Verdict::Children(vec![PeerKey(1)]));
    // One that can feed nobody could not take the child over.
    assert_eq!(decide(Add::KnockDowns, &children, &newcomer(0.005, 0)), Verdict::Children(vec![PeerKey(1)]));
}

#[test]
fn smart_bandwidth_gives_up_its_own_place_to_who_has_more() {
    let children = [child(1, 0.0, 4)];
    assert_eq!(decide(Add::SmartBandwidth, &children, &newcomer(0.0, 5)), Verdict::StepUp);
    assert_eq!(decide(Add::SmartBandwidth, &children, &newcomer(0.0, 4)), Verdict::Children(vec![PeerKey(1)]));
}

fn place(node: u64, depth: u8, free: u16) -> Target {
    Target { node: NodeId(node), addr: addr(node as usize), depth, free }
}

#[test]
fn who_gives_twice_as_much_takes_the_place_of_the_child_that_gives_least() {
    let children = [child(1, 0.0, 8), child(2, 0.0, 3), child(3, 0.0, 5)];
    assert_eq!(decide(Add::Nearest, &children, &newcomer(0.0, 10)), Verdict::Replace(PeerKey(2)));
    assert_eq!(decide(Add::Nearest, &children, &newcomer(0.0, 5)), Verdict::Refuse);
    // A child that gives nothing gives way to any that does.
    let children = [child(1, 0.0, 8), child(2, 0.0, 0)];
    assert_eq!(decide(Add::Nearest, &children, &newcomer(0.0, 1)), Verdict::Replace(PeerKey(2)));
    assert_eq!(decide(Add::Nearest, &children, &newcomer(0.0, 0)), Verdict::Refuse);
}

#[test]
fn a_newcomer_is_sent_to_the_place_nearest_to_the_source_wherever_it_is() {
    let mut children = [child(1, 0.0, 8), child(2, 0.0, 8)];
    children[0].best = Some(place(11, 4, 2));
    // A child of node 12 feeds two, and gives way to a newcomer that feeds four.
    children[1].step = Some(place(12, 3, 2));
    let here = at(0.0);
    let kin = [place(13, 2, 1)];
    let model = |kin| Model {
        by: Distance::Coordinates,
        step_in: true,
        is_source: false,
        capacity: 2,
        location: &here,
        children: &children,
        calm: true,
        kin,
    };
    let sent = |kin, gives| match Add::Nearest.decide(&mut Rng::new(1), &model(kin), &newcomer(0.0, gives), &[]) {
        Verdict::Places(places) => places.iter().map(|place| place.node.0).collect(),
        _ => Vec::new(),
    };
    assert_eq!(sent(&kin, 4), [13, 12, 11]);
    assert_eq!(sent(&kin, 3), [13, 11]);
    assert_eq!(sent(&[], 4), [12, 11]);
}

#[test]
fn routes_and_addresses_have_distances_too() {
    let on = |route: &[u32]| Location { route: route.to_vec(), ..Location::default() };
    assert_eq!(on(&[1, 2, 3]).distance(&on(&[1, 2, 4, 5]), Distance::Route), 3.0);
    let ip = |text: &str| Location { ip: Some(text.parse().unwrap()), ..Location::default() };
    assert_eq!(ip("10.1.2.3").distance(&ip("10.1.2.3"), Distance::Prefix), 0.0);
    assert_eq!(ip("10.1.2.3").distance(&ip("10.1.3.3"), Distance::Prefix), 9.0);
    assert_eq!(ip("10.1.2.3").distance(&Location::default(), Distance::Prefix), 128.0);
}

/// A source with one place, a viewer with `places` and further ones, by these policies.
fn paper(add: Add, delete: Delete, first: u16, others: &[u16]) -> (Net, Vec<usize>) {
    let config = Config::paper(add, delete);
    let mut net = Net::new(&config, channel(1, 1), 1);
    let mut nodes = vec![net.join(&config, first)];
    for count in others {
        net.pass(1.5);
        nodes.push(net.join(&config, *count));
    }
    net.pass(2.0);
    (net, nodes)
}

#[test]
fn round_robin_sends_to_the_children_in_turn() {
    let (net, nodes) = paper(Add::RoundRobin, Delete::Root, 2, &[3, 3, 0, 0, 0, 0]);
    let parents: Vec<Option<usize>> = nodes[3..].iter().map(|node| net.parent(*node, 0)).collect();
    let (b, c) = (Some(nodes[1]), Some(nodes[2]));
    assert!(parents == [b, c, b, c] || parents == [c, b, c, b], "{parents:?}");
}

#[test]
fn with_smart_bandwidth_a_stronger_newcomer_ends_up_above_the_weaker() {
    let (net, nodes) = paper(Add::SmartBandwidth, Delete::Root, 1, &[0, 6]);
    let (weak, leaf, strong) = (nodes[0], nodes[1], nodes[2]);
    assert_eq!(net.parent(strong, 0), Some(0));
    assert_eq!(net.parent(weak, 0), Some(strong));
    // Its children come along.
    assert_eq!(net.parent(leaf, 0), Some(strong));
}

/// Who is named to the children of a leaving node: source 0, above it `a`, `b` leaves, `c` below.
fn successors(delete: Delete) -> (Redirect, Net, Vec<usize>) {
    let (mut net, nodes) = paper(Add::Random, delete, 1, &[1, 1, 1]);
    assert_eq!(
        nodes.iter().map(|n| net.parent(*n, 0)).collect::<Vec<_>>(),
        [Some(0), Some(nodes[0]), Some(nodes[1]), Some(nodes[2])]
    );
    net.log.clear();
    net.give(nodes[1], Input::Leave);
    let told = net.log.iter().find_map(|(node, o)| match o {
        Output::Tell(_, Message::Redirect(redirect)) if *node == nodes[1] => Some(redirect.clone()),
        _ => None,
    });
    net.pass(5.0);
    (told.unwrap(), net, nodes)
}

#[test]
fn the_delete_policies_name_grandfather_or_root_to_children_or_to_all() {
    for (delete, all, to) in [
        (Delete::Grandfather, false, 1),
        (Delete::GrandfatherAll, true, 1),
        (Delete::Root, false, 0),
        (Delete::RootAll, true, 0),
    ] {
        let (redirect, net, nodes) = successors(delete);
        let named: Vec<NodeId> = redirect.targets.iter().map(|target| target.node).collect();
        let expected = if to == 0 { NodeId(1000) } else { net.node(nodes[0]).node() };
        assert_eq!((redirect.all, named.first()), (all, Some(&expected)), "{delete:?}");
        assert!(!redirect.keep, "SpreadIt's are cut off at once");
        for node in [nodes[0], nodes[2], nodes[3]] {
            assert_eq!(net.node(node).fed(), 1, "{delete:?}: node {node}");
        }
        // The grandchild moves only if all do.
        let moved = net.log.iter().any(|(node, o)| *node == nodes[3] && matches!(o, Output::Tell(_, Message::Join(_))));
        assert_eq!(moved, all, "{delete:?}");
    }
}

#[test]
fn after_a_failure_spreadits_orphans_ask_the_source() {
    let (mut net, nodes) = paper(Add::Random, Delete::Root, 2, &[2, 2, 0]);
    let dead = (nodes[..3].iter().copied()).find(|node| *node != nodes[0] && !net.node(*node).feeds(0).is_empty());
    let Some(dead) = dead else { return };
    let orphan = nodes.iter().copied().find(|node| *node != dead && net.parent(*node, 0) == Some(dead)).unwrap();
    net.log.clear();
    net.kill(dead);
    net.pass(5.0);
    let first = net.log.iter().find_map(|(node, o)| match o {
        Output::Tell(peer, Message::Join(_)) if *node == orphan => Some(*peer),
        _ => None,
    });
    assert_eq!(first, net.peer(orphan, 0));
    assert_eq!(net.node(orphan).fed(), 1);
}
