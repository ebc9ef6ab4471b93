//! Nodes that cannot be dialled.

use super::*;
use playswarm_proto::live::message::{Call, Hello};

#[test]
fn a_node_that_cannot_be_dialled_feeds_one_that_can() {
    let config = Config::default();
    let mut net = Net::new(&config, channel(1, 1), 1);
    let hidden = net.join(&config, 3);
    net.hidden.insert(hidden);
    net.pass(2.0);
    assert_eq!(net.parent(hidden, 0), Some(0));
    // The source is full and names the hidden node, which gets the call and dials the newcomer.
    let newcomer = net.join(&config, 0);
    net.pass(1.0);
    assert_eq!(net.parent(newcomer, 0), Some(hidden));
    let dials = |node: usize, to: usize| net.count(node, |output| *output == Output::Dial(addr(to)));
    assert_eq!((dials(newcomer, hidden), dials(hidden, newcomer)), (1, 1));
    let calls = |output: &Output| matches!(output, Output::Tell(_, Message::Call(_)));
    assert_eq!([0, hidden, newcomer].map(|node| net.count(node, calls)), [1, 0, 1]);
}

#[test]
fn two_nodes_behind_firewalls_reach_each_other_by_a_call() {
    let config = Config::default();
    let mut net = Net::new(&config, channel(1, 1), 1);
    let [first, second] = [3, 0].map(|count| {
        let node = net.join(&config, count);
        net.hidden.insert(node);
        net.pass(2.0);
        node
    });
    assert_eq!([net.parent(first, 0), net.parent(second, 0)], [Some(0), Some(first)]);
}

#[test]
fn a_node_learns_from_its_neighbours_whether_it_can_be_dialled() {
    let config = Config::default();
    for is_hidden in [true, false] {
        let mut net = Net::new(&config, channel(1, 1), 1);
        let node = net.join(&config, 3);
        if is_hidden {
            net.hidden.insert(node);
        }
        net.pass(2.0);
        assert_eq!([0, node].map(|node| net.node(node).is_reachable()), [Some(true), None]);
        // The newcomer dials the node, or calls it.
        let newcomer = net.join(&config, 0);
        net.pass(2.0);
        assert_eq!(net.parent(newcomer, 0), Some(node));
        assert_eq!(net.node(node).is_reachable(), Some(!is_hidden));
    }
    // Who answers a dial has shown nothing by coming back, nor has a neighbour in the local network.
    let mut net = Net::new(&config, channel(1, 1), 1);
    let node = net.join(&config, 3);
    net.give(node, Input::Incoming(PeerKey(900), addr(0)));
    net.give(node, Input::Incoming(PeerKey(901), "192.168.1.7:6881".parse().unwrap()));
    assert_eq!(net.node(node).is_reachable(), None);
    net.give(node, Input::Incoming(PeerKey(902), addr(7)));
    assert_eq!(net.node(node).is_reachable(), Some(true));
}

#[test]
fn a_node_feeds_the_one_that_it_gets_other_stripes_from() {
    let config = Config::default();
    // Two stripes, and one place for each at the source: each node gets one stripe from the other.
    let mut net = Net::new(&config, channel(2, 2), 2);
    let reachable = net.join(&config, 4);
    net.pass(2.0);
    let hidden = net.join(&config, 4);
    net.hidden.insert(hidden);
    net.pass(10.0);
    let parents = |node: usize| [net.parent(node, 0), net.parent(node, 1)];
    let (first, second) = (parents(reachable), parents(hidden));
    assert!(first.contains(&Some(hidden)) && second.contains(&Some(reachable)), "{first:?} {second:?}");
}

/// Returns the addresses that a node dials after its neighbour has passed these calls on.
fn dialled(callers: &[&str]) -> Vec<SocketAddr> {
    let now = Time::from_secs_f64(1.0);
    let mut relay = Relay::new(now, Config::default(), NodeId(1), 6881);
    relay.handle(now, Input::Incoming(PeerKey(1), addr(0)));
    relay.handle(now, Input::Heard(PeerKey(1), Message::Hello(Hello { node: NodeId(2), ..Hello::default() })));
    for (node, caller) in (10..).zip(callers) {
        let call = Call { node: NodeId(node), caller: Some(caller.parse().unwrap()) };
        relay.handle(now, Input::Heard(PeerKey(1), Message::Call(call)));
    }
    let dials = |output| match output {
        Output::Dial(addr) => Some(addr),
        _ => None,
    };
    std::iter::from_fn(|| relay.poll()).filter_map(dials).collect()
}

#[test]
fn a_call_leads_to_no_private_network_and_calls_are_bounded() {
    assert!(dialled(&["192.168.1.1:6881", "127.0.0.1:6881", "[::1]:6881", "20.0.0.77:25"]).is_empty());
    let many: Vec<String> = (0..100).map(|n| format!("20.0.{n}.77:6881")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(dialled(&many).len(), 10);
}
