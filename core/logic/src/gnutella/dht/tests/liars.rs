//! Nodes that lie cost little.

use super::*;

/// Runs a lookup among liars of this conduct. Returns the network, the seconds and the datagrams.
fn among(conduct: Conduct, count: u16, part: f64, is_stored: bool) -> (Net, f64, usize) {
    let mut net = Net::new(count);
    net.lie(conduct, part);
    if is_stored {
        net.store(&[location(2000, film(1)), location(2001, film(1))]);
    }
    let (_, seconds, datagrams) = net.run(1, Target::Sources(film(1)));
    assert!(seconds <= 10.0 && datagrams <= MAX_DATAGRAMS, "{conduct:?}: {seconds} s, {datagrams} datagrams");
    (net, seconds, datagrams)
}

const LIES: [Conduct; 6] =
    [Conduct::Private, Conduct::MadeUp, Conduct::Loops, Conduct::Victim, Conduct::FalseValues, Conduct::WrongToken];

#[test]
fn among_liars_of_each_kind_a_file_is_found_in_time() {
    for conduct in LIES {
        for (count, part) in [(20, 0.4), (1000, 0.2)] {
            let (net, seconds, _) = among(conduct, count, part, true);
            let mut found = net.sources();
            found.sort();
            assert_eq!(found, [Some(host(2000)), Some(host(2001))], "{conduct:?} among {count}");
            assert!(seconds < 5.0, "{conduct:?} among {count}: {seconds}");
        }
    }
}

#[test]
fn a_lookup_among_liars_ends_in_time_and_asks_each_real_node_even_if_nobody_has_the_file() {
    for conduct in LIES {
        let (net, ..) = among(conduct, 20, 0.3, false);
        let honest = net.nodes.iter().filter(|(_, node)| node.conduct == Conduct::Right);
        for (address, _) in honest {
            assert!(net.sent.iter().any(|(_, to)| to == address), "{conduct:?}: {address}");
        }
    }
}

#[test]
fn nothing_is_sent_to_private_networks_and_a_liar_costs_five_datagrams() {
    let only = |conduct| {
        let mut net = Net::new(20);
        net.nodes.get_mut(&host(1)).unwrap().conduct = conduct;
        let (end, ..) = net.run(1, Target::Sources(film(1)));
        assert_eq!(end, End::AllAsked);
        net.sent.iter().map(|(_, to)| *to).collect::<Vec<_>>()
    };
    assert_eq!(only(Conduct::Private), [host(1)]);
    assert_eq!(only(Conduct::Loops), [host(1)]);
    assert_eq!(only(Conduct::MadeUp).len(), 6);
    let (net, ..) = among(Conduct::Private, 1000, 0.5, false);
    assert!(net.sent.iter().all(|(_, to)| to.ip().octets()[0] == 60));
}

#[test]
fn many_liars_together_send_no_more_than_five_datagrams_to_a_victim() {
    for (count, part) in [(20, 0.9), (1000, 0.3)] {
        let (net, ..) = among(Conduct::Victim, count, part, false);
        let to_victim = net.sent.iter().filter(|(_, to)| *to.ip() == VICTIM).count();
        assert!((1..=5).contains(&to_victim), "{to_victim}");
    }
}

#[test]
fn a_value_counts_only_for_its_key_and_at_an_address_that_strangers_may_name() {
    let key = film(1);
    let mut net = Net::new(1);
    let at_home = value_at(SocketAddrV4::new([192, 168, 0, 9].into(), 6346), key, false);
    let of_a_service = value_at(SocketAddrV4::new([60, 0, 9, 1].into(), 6379), key, false);
    let ours = value_at(host(77), key, false);
    let firewalled = value_at(SocketAddrV4::new([192, 168, 8, 9].into(), 6346), key, true);
    let mut malformed = location(93, key);
    malformed.data = Bytes::from_static(b"none");
    let values = vec![
        at_home,
        of_a_service,
        ours,
        location(95, film(2)),
        malformed,
        firewalled,
        location(94, key),
        location(94, key),
    ];
    net.handle(Input::Reachable(Some(host(77))));
    let question = questions(&net.find(1, Target::Sources(key))).remove(0).1;
    let body = Body::Values { load: 0.0, values, creators: Vec::new() };
    let frame = message(question.guid, kuid(1), host(1), body);
    net.handle(Input::Datagram { from: host(1), frame });
    assert_eq!(net.sources(), [None, Some(host(94))]);
}

#[test]
fn answers_that_were_not_asked_for_from_others_or_a_second_time_are_ignored() {
    let mut net = Net::with(0, &config([host(1)]));
    let question = questions(&net.find(1, Target::Sources(film(1)))).remove(0).1;
    let nodes = |n| Body::Nodes { token: Bytes::new(), nodes: vec![Node::ours(kuid(n), host(n))] };
    let mut said = |guid, from, body| net.handle(Input::Datagram { from, frame: message(guid, kuid(1), from, body) });
    assert_eq!(said(Guid([3; 16]), host(1), nodes(2)), []);
    assert_eq!(said(question.guid, host(9), nodes(2)), []);
    for body in [Body::Ping, Body::FindNode(film(1))] {
        assert_eq!(said(Guid([4; 16]), host(9), body), [], "we answer no question");
    }
    assert_eq!(said(question.guid, host(1), nodes(2)).len(), 1);
    assert_eq!(said(question.guid, host(1), nodes(3)), []);
}

#[test]
fn a_node_that_says_that_it_cannot_be_reached_is_not_remembered() {
    let known = |is_passive| {
        let mut net = Net::with(0, &config([host(1)]));
        let question = questions(&net.find(1, Target::Sources(film(1)))).remove(0).1;
        let body = Body::Nodes { token: Bytes::new(), nodes: Vec::new() };
        let node = Node::ours(kuid(1), host(1));
        let answer = DhtMessage { guid: question.guid, node, instance: 0, is_passive, body };
        let frame = Frame::from_datagram(&answer.encode().unwrap()).unwrap();
        net.handle(Input::Datagram { from: host(1), frame });
        net.dht.nodes.known()
    };
    assert_eq!((known(false), known(true)), (1, 0));
}

#[test]
fn a_node_that_gives_false_values_alone_does_not_end_the_lookup() {
    let mut net = Net::new(20);
    let key = film(1);
    net.store(&[location(90, key)]);
    let liar = net.nodes.keys().nth(4).copied().unwrap();
    net.nodes.get_mut(&liar).unwrap().values = (0..30).map(|n| location(3000 + n, key)).collect();
    net.nodes.get_mut(&host(1)).unwrap().contacts.retain(|node| *node == liar || *node == host(3));
    assert_eq!(net.run(1, Target::Sources(key)).0, End::Enough);
    assert!(net.sources().contains(&Some(host(90))));
}
