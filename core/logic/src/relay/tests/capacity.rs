//! Lines that carry less or more than was thought.

use super::*;

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
        net.give(0, Input::Queue(slow, 0.5));
        net.pass(0.1);
    }
    net.pass(1.0);
    assert_eq!([net.parent(a, 0), net.parent(b, 0)], [Some(0), Some(a)]);
    assert_eq!(net.count(b, |o| matches!(o, Output::Event(Event::Orphaned { .. }))), 0);
}

/// A source with six children of one stripe each, and the connections to them.
fn six() -> (Net, Vec<PeerKey>) {
    let config = Config { improve: false, ..Config::default() };
    let mut net = Net::new(&config, channel(1, 1), 6);
    let children: Vec<usize> = (0..6)
        .map(|_| {
            net.pass(1.5);
            net.join(&config, 6)
        })
        .collect();
    net.pass(1.5);
    let peers = children.iter().map(|child| net.peer(0, *child).unwrap()).collect();
    (net, peers)
}

fn wait(net: &mut Net, slow: &[PeerKey], seconds: f64) {
    for _ in 0..5 {
        slow.iter().for_each(|peer| net.give(0, Input::Queue(*peer, seconds)));
        net.pass(0.25);
    }
}

#[test]
fn a_line_on_which_all_wait_gives_a_quarter_of_its_places_up_and_does_not_give_them_again() {
    let (mut net, peers) = six();
    wait(&mut net, &peers, 0.5);
    net.pass(1.0);
    assert_eq!(net.node(0).feeds(0), &peers[..4]);
    assert_eq!(net.node(0).places(), 4);
    let newcomer = net.join(&Config::default(), 0);
    net.pass(1.0);
    assert_ne!(net.parent(newcomer, 0), Some(0));
}

#[test]
fn one_slow_way_is_given_up_alone_and_the_places_stay() {
    let (mut net, peers) = six();
    wait(&mut net, &peers[2..3], 0.5);
    net.pass(1.0);
    assert_eq!(net.node(0).feeds(0).len(), 5);
    assert!(!net.node(0).feeds(0).contains(&peers[2]));
    assert_eq!(net.node(0).places(), 6);
}

#[test]
fn a_node_that_does_not_know_its_line_takes_more_children_while_nothing_waits() {
    let config = Config { improve: false, ..Config::default() };
    let mut net = Net::new(&config, channel(1, 1), 1);
    let relay = net.join(&config, 0);
    net.give(relay, Input::UploadUnknown);
    let first = net.node(relay).places();
    assert!(first >= 2);
    let fill = |net: &mut Net| {
        while net.node(relay).feeds(0).len() < usize::from(net.node(relay).places()) {
            net.join(&config, 0);
            net.pass(0.2);
        }
    };
    // More than it has children are of no use.
    net.pass(30.0);
    assert_eq!(net.node(relay).places(), first);
    fill(&mut net);
    net.pass(6.5);
    let more = net.node(relay).places();
    assert!(more >= first + 2, "{more} places after {first}");
    // Data that waits a little shows that the line is busy.
    fill(&mut net);
    let child = net.node(relay).feeds(0)[0];
    let more = net.node(relay).places();
    for _ in 0..40 {
        net.give(relay, Input::Queue(child, 0.3));
        net.pass(0.5);
    }
    assert_eq!(net.node(relay).places(), more);
}
