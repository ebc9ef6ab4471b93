//! What neither strangers nor the driver can make it do: grow, talk, or fail.

use super::*;
use proptest::prelude::*;

#[test]
fn without_a_lookup_nothing_is_sent() {
    let mut net = Net::new(20);
    net.run(1, Target::Sources(film(1)));
    let sent = net.sent.len();
    net.handle(Input::Named { by: Ipv4Addr::new(59, 1, 1, 1), nodes: (100..160).map(host).collect() });
    net.wait(24.0 * 3600.0);
    assert_eq!(net.sent.len(), sent);
}

#[test]
fn many_lookups_at_once_send_a_burst_and_twenty_datagrams_a_second() {
    let mut net = Net::with(0, &config((1..=200).map(host)));
    for n in 0..20 {
        net.find(n, Target::Sources(film(1)));
        assert!(net.dht.lookups.len() <= MAX_LOOKUPS);
    }
    let replaced = net.outputs.iter().filter(|(_, output)| matches!(output, Output::Ended { end: End::Replaced, .. }));
    assert_eq!(replaced.count(), 12);
    net.wait(9.0);
    let within = |seconds: f64| net.sent.iter().filter(|(time, _)| *time <= at(seconds)).count();
    assert_eq!(within(0.0), 60);
    assert!((60 + 175..=60 + 181).contains(&within(9.0)), "{}", within(9.0));
    net.wait(2.0);
    assert!(net.dht.lookups.is_empty());
}

#[test]
fn a_lookup_that_is_forgotten_sends_and_says_nothing_more() {
    let mut net = Net::new(20);
    net.find(1, Target::Sources(film(1)));
    net.handle(Input::Forget { lookup: LookupKey(1) });
    let outputs = net.wait(20.0);
    assert_eq!(outputs, []);
}

#[test]
fn hints_are_bounded_and_do_not_push_out_what_the_user_named() {
    let mut net = Net::new(20);
    for n in 0..20 {
        let nodes = (0..60).map(|m| host(1000 + n * 60 + m)).collect();
        net.handle(Input::Named { by: Ipv4Addr::new(59, 1, 1, 1), nodes });
    }
    assert_eq!((net.dht.nodes.seeds().len(), net.dht.nodes.seeds()[0]), (200, host(1)));
    let private = vec![SocketAddrV4::new([10, 0, 0, 1].into(), 6346), SocketAddrV4::new([60, 0, 1, 1].into(), 25)];
    let mut other = Net::with(0, &config([]));
    other.handle(Input::Named { by: Ipv4Addr::new(59, 1, 1, 1), nodes: private.clone() });
    assert!(other.dht.nodes.seeds().is_empty());
    other.handle(Input::Named { by: Ipv4Addr::new(10, 0, 0, 2), nodes: private });
    assert_eq!(other.dht.nodes.seeds().len(), 1, "a neighbour may name a neighbour");
}

#[test]
fn the_same_events_give_the_same_actions_and_another_key_other_identifiers() {
    let run = |key| {
        let mut net = Net::with(50, &Config { key: [key; 32], ..config([host(1)]) });
        net.run(1, Target::Sources(film(1)));
        net.outputs
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
    assert!(!format!("{:?}", Net::new(1).dht).contains("7, 7, 7"), "the key is not shown");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn whatever_nodes_say_the_lookup_ends_in_time(
        said in prop::collection::vec((0..9u8, prop::collection::vec(any::<u8>(), 0..200), any::<bool>()), 1..60),
    ) {
        let mut net = Net::with(0, &config((1..40).map(host)));
        net.find(1, Target::Sources(film(1)));
        for (opcode, body, is_answer) in said {
            let Some((to, bytes)) = net.outputs.iter().rev().find_map(|(_, output)| match output {
                Output::SendTo { to, bytes } => Some((*to, bytes.clone())),
                _ => None,
            }) else { panic!() };
            let guid = if is_answer { question(&bytes).guid } else { Guid([9; 16]) };
            let mut frame = message(guid, kuid(9), to, Body::Ping);
            prop_assert_eq!(frame.header.kind, kind::DHT);
            let mut payload = frame.payload.to_vec();
            payload[0] = opcode;
            payload.extend(body);
            frame.payload = payload.into();
            let outputs = net.handle(Input::Datagram { from: to, frame });
            prop_assert!(outputs.len() < 70);
            net.wait(0.2);
        }
        net.wait(10.0);
        prop_assert!(net.dht.lookups.is_empty() && net.sent.len() <= MAX_DATAGRAMS);
    }
}
