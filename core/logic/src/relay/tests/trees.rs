//! Joining: who gets which place.

use super::*;
use playswarm_proto::live::message::{Accept, Hello, Redirect, Why};

#[test]
fn a_newcomer_is_fed_by_the_source_in_every_stripe() {
    let config = Config::default();
    let mut net = Net::new(&config, channel(9, 8), 27);
    let a = net.join(&config, 10);
    assert!((0..9).all(|stripe| net.parent(a, stripe) == Some(0)));
    assert_eq!(net.node(a).path(4), [NodeId(1000)]);
    assert_eq!(net.node(a).homes().len(), 1, "ten places are given in one stripe");
    // One request for all stripes, and one dial.
    assert_eq!(net.count(a, |o| matches!(o, Output::Tell(_, Message::Join(_)))), 1);
    assert_eq!(net.count(a, |o| matches!(o, Output::Dial(_))), 1);
    assert_eq!(net.count(0, |o| matches!(o, Output::Serve { from: From::Start, .. })), 9);
}

#[test]
fn a_full_source_names_the_free_place_and_the_newcomer_goes_there() {
    let config = Config::default();
    let mut net = Net::new(&config, channel(1, 1), 2);
    let [a, b] = [3, 0].map(|count| net.join(&config, count));
    net.pass(1.5); // Its beat has told the source of its places.
    let c = net.join(&config, 0);
    assert_eq!([a, b, c].map(|node| net.parent(node, 0)), [Some(0), Some(0), Some(a)]);
    assert_eq!(net.node(c).path(0), [NodeId(1000), NodeId(1000 + a as u64)]);
}

#[test]
fn who_gives_takes_the_place_of_who_does_not_and_nobody_is_without_a_parent_meanwhile() {
    let config = Config::default();
    let mut net = Net::new(&config, channel(1, 1), 1);
    let idle = net.join(&config, 0);
    let giver = net.join(&config, 4);
    net.pass(0.5);
    assert_eq!([net.parent(giver, 0), net.parent(idle, 0)], [Some(0), Some(giver)]);
    assert_eq!(net.count(idle, |o| matches!(o, Output::Event(Event::Orphaned { .. }))), 0);
    // The old parent was left after the new one had accepted.
    let told = |what: &dyn Fn(&Output) -> bool| net.log.iter().position(|(_, o)| what(o)).unwrap();
    let adopted = told(&|o| matches!(o, Output::Tell(_, Message::Accept(Accept { adopts: Some(_), .. }))));
    let left =
        net.log.iter().rposition(|(node, o)| *node == idle && matches!(o, Output::Tell(_, Message::Leave(_)))).unwrap();
    assert!(adopted < left);
    // Without stepping in, the giver would have found no place at all.
    let config = Config { step_in: false, ..config };
    let mut net = Net::new(&config, channel(1, 1), 1);
    net.join(&config, 0);
    let giver = net.join(&config, 4);
    net.pass(0.5);
    assert_eq!(net.parent(giver, 0), None);
}

#[test]
fn givers_are_dealt_out_to_the_stripes_with_the_fewest_places() {
    let config = Config::default();
    let mut net = Net::new(&config, channel(5, 4), 15);
    let viewers: Vec<usize> = (0..10)
        .map(|_| {
            net.pass(0.3);
            net.join(&config, 8)
        })
        .collect();
    net.pass(30.0);
    let mut homes = [0; 5];
    for node in &viewers {
        net.node(*node).homes().iter().for_each(|stripe| homes[usize::from(stripe)] += 1);
        assert_eq!(net.node(*node).fed(), 5, "node {node} lacks a stripe");
    }
    assert!(homes.iter().all(|count| *count >= 1), "{homes:?}");
}

#[test]
fn newcomers_of_one_moment_get_different_homes() {
    let config = Config::default();
    let mut net = Net::new(&config, channel(5, 4), 25);
    let homes: Vec<Stripes> = (0..5)
        .map(|_| {
            let node = net.join(&config, 8);
            net.node(node).homes()
        })
        .collect();
    let all: Stripes = homes.iter().flat_map(|homes| homes.iter()).collect();
    assert_eq!(all.len(), 5, "{homes:?}");
}

#[test]
fn a_crowd_too_small_for_givers_in_each_stripe_is_served_by_those_that_are_there() {
    let config = Config::default();
    // The source feeds one viewer. The second takes nine stripes from the first, whose home is one.
    let mut net = Net::new(&config, channel(9, 8), 9);
    let a = net.join(&config, 12);
    net.pass(2.5);
    let b = net.join(&config, 12);
    net.pass(10.0);
    assert_eq!([a, b].map(|node| net.node(node).fed()), [9, 9]);
}

#[test]
fn no_node_is_an_ancestor_in_more_stripes_than_parity_replaces() {
    let config = Config::default();
    let mut net = Net::new(&config, channel(5, 4), 10);
    let viewers: Vec<usize> = (0..20)
        .map(|_| {
            net.pass(0.5);
            net.join(&config, 12)
        })
        .collect();
    net.pass(120.0);
    let mut shared = 0;
    for node in viewers {
        let paths = (0..5).flat_map(|stripe| net.node(node).path(stripe).iter().skip(1).copied());
        let mut nodes: Vec<NodeId> = paths.collect();
        nodes.sort_unstable();
        shared += usize::from(nodes.windows(2).any(|pair| pair[0] == pair[1]));
    }
    assert!(shared <= 2, "{shared} of 20 have an ancestor twice");
}

#[test]
fn a_full_channel_says_when_to_ask_again_and_the_place_is_found_once_it_is_free() {
    let config = Config::default();
    let mut net = Net::new(&config, channel(1, 1), 1);
    let a = net.join(&config, 0);
    let b = net.join(&config, 0);
    assert_eq!(net.parent(b, 0), None);
    let refused =
        |o: &Output| matches!(o, Output::Tell(_, Message::Redirect(Redirect { why: Why::Full, retry_s: 1.., .. })));
    assert_eq!(net.count(0, refused), 1);
    assert_eq!(net.count(b, |o| matches!(o, Output::Event(Event::NoPlace { .. }))), 1);
    assert_eq!(net.full_for_s(b), None, "a single answer may be out of date");
    net.pass(5.0);
    assert!(net.full_for_s(b).is_some_and(|s| s <= 8.0), "{:?}", net.full_for_s(b));
    assert_eq!((net.full_for_s(0), net.full_for_s(a)), (None, None), "the others have the stream");
    net.give(a, Input::Leave);
    net.pass(10.0);
    assert_eq!((net.parent(b, 0), net.full_for_s(b)), (Some(0), None));
}

#[test]
fn a_channel_that_is_not_on_the_air_is_not_full() {
    let config = Config::default();
    let mut net = Net::new(&config, channel(1, 1), 1);
    // It is a viewer that has no head yet.
    net.nodes[0] = Some(Relay::new(net.now, config.clone(), NodeId(1000), 6881));
    let viewer = net.join_of(&config, channel(1, 1), 0);
    net.pass(10.0);
    let dry =
        |o: &Output| matches!(o, Output::Tell(_, Message::Redirect(Redirect { why: Why::Dry, retry_s: 1.., .. })));
    assert!(net.count(0, dry) > search::FULL_ROUNDS as usize);
    assert_eq!(net.full_for_s(viewer), None);
    assert_eq!(net.count(viewer, |o| matches!(o, Output::Event(Event::NoPlace { is_full: true, .. }))), 0);
}

#[test]
fn who_reaches_itself_closes_the_connection_and_does_not_dial_it_again() {
    let config = Config::default();
    let mut net = Net::new(&config, channel(1, 1), 1);
    net.kill(0);
    let mut relay = Relay::new(net.now, config, NodeId(7), 6881);
    relay.handle(net.now, Input::Contact(addr(5), None));
    assert_eq!(relay.poll(), Some(Output::Dial(addr(5))));
    relay.handle(net.now, Input::Dialled(addr(5), Dialled::Ourselves));
    relay.handle(net.now.plus_secs(60.0), Input::Timeout);
    assert!(std::iter::from_fn(|| relay.poll()).all(|output| !matches!(output, Output::Dial(_))));
}

#[test]
fn newcomers_between_two_reports_are_sent_to_different_places() {
    let config = Config { improve: false, ..Config::default() };
    let mut net = Net::new(&config, channel(1, 1), 2);
    let [a, b] = [1, 1].map(|count| net.join(&config, count));
    net.pass(1.5);
    // At once: no report comes in between.
    let newcomers = [net.join(&config, 0), net.join(&config, 0)];
    let mut parents = newcomers.map(|node| net.parent(node, 0));
    parents.sort_unstable();
    assert_eq!(parents, [Some(a), Some(b)]);
    let asked = newcomers.map(|node| net.count(node, |o| matches!(o, Output::Tell(_, Message::Join(_)))));
    assert_eq!(asked, [2, 2], "the source, and the place that it named");
}

#[test]
fn the_slower_the_stream_the_rarer_are_beats_and_a_silent_node_is_still_left() {
    let beats = |rate: f64| {
        let config = Config::default();
        let slow = Channel { stripe_bytes_per_s: rate, ..channel(1, 1) };
        let mut relay = Relay::source(Time::from_secs_f64(1.0), config, NodeId(1), 6881, slow);
        let mut now = Time::from_secs_f64(1.0);
        relay.handle(now, Input::Incoming(PeerKey(1), addr(1)));
        let hello = Hello { node: NodeId(2), port: 1, ..Default::default() };
        relay.handle(now, Input::Heard(PeerKey(1), Message::Hello(hello)));
        let (mut beats, mut closed) = (0, None);
        while now < Time::from_secs_f64(61.0) {
            now = relay.next_timeout();
            relay.handle(now, Input::Timeout);
            while let Some(output) = relay.poll() {
                beats += usize::from(matches!(output, Output::Tell(_, Message::Beat(_))));
                closed = closed.or(matches!(output, Output::Close(_)).then_some(now.as_secs_f64() - 1.0));
            }
        }
        (beats, closed.expect("the node is silent"))
    };
    let (fast, slow) = (beats(50_000.0), beats(3_000.0));
    assert!((3..=5).contains(&fast.0) && (3.0..4.1).contains(&fast.1), "{fast:?}");
    assert!((3..=5).contains(&slow.0) && (16.0..23.0).contains(&slow.1), "{slow:?}");
}
