//! What lookups find, and how soon.

use super::*;

#[test]
fn among_twenty_nodes_a_file_is_found_from_one_of_them() {
    let mut net = Net::new(20);
    let key = film(1);
    net.store(&[location(90, key), location(91, key)]);
    let (end, seconds, datagrams) = net.run(1, Target::Sources(key));
    assert_eq!((end, net.sources()), (End::Enough, vec![Some(host(90)), Some(host(91))]));
    assert!(seconds < 1.0 && datagrams <= 9, "{seconds} s, {datagrams} datagrams");
    let Found::Source { size, is_partial, .. } = net.found()[0] else { panic!() };
    assert_eq!((size, is_partial), (Some(5000), false));
    let first = questions(&[net.outputs[0].1.clone()]).remove(0);
    assert_eq!((first.0, first.1.is_passive), (host(1), true), "we enter no routing table");
}

#[test]
fn a_file_that_nobody_has_ends_the_lookup_when_each_node_near_it_was_asked_once() {
    let mut net = Net::new(20);
    let (end, seconds, datagrams) = net.run(1, Target::Sources(film(1)));
    assert_eq!((end, datagrams), (End::AllAsked, 20));
    assert!(seconds < 3.0, "{seconds}");
    let mut big = Net::new(1000);
    let (end, seconds, datagrams) = big.run(1, Target::Sources(film(1)));
    assert!(end == End::AllAsked && (20..=40).contains(&datagrams) && seconds < 4.0, "{end:?} {datagrams} {seconds}");
}

#[test]
fn among_a_thousand_nodes_with_a_fifth_gone_and_lost_datagrams_each_file_is_found() {
    let mut net = Net::new(1000);
    net.lie(Conduct::Silent, 0.2);
    net.loss = 0.05;
    let films: Vec<Kuid> = (0..40).map(film).collect();
    for key in &films {
        net.store(&[location(2000, *key)]);
    }
    let mut seconds = Vec::new();
    for (n, key) in films.iter().enumerate() {
        let before = net.sources().len();
        let (_, took, datagrams) = net.run(n as u32, Target::Sources(*key));
        assert!(took <= 10.0 && datagrams <= MAX_DATAGRAMS, "{took} s, {datagrams} datagrams");
        assert_eq!(net.sources().len(), before + 1, "film {n}");
        seconds.push(took);
    }
    seconds.sort_by(f64::total_cmp);
    assert!(seconds[20] < 2.0, "{seconds:?}");
    assert!(net.dht.nodes.known() > 50 && net.dht.nodes.known() <= 256);
}

#[test]
fn nodes_that_answered_are_asked_first_by_the_next_lookup_and_are_saved() {
    let mut net = Net::new(200);
    for n in 0..4 {
        net.run(n, Target::Sources(film(u16::try_from(n).unwrap())));
    }
    let key = film(50);
    let asked = questions(&net.find(9, Target::Sources(key)));
    let known = net.dht.nodes.nearest(&key, 1)[0].0;
    assert!(asked[0].0 == known && known != host(1));
    net.wait(301.0);
    let saves = net.outputs.iter().filter(|(_, output)| *output == Output::SaveNodes).count();
    assert_eq!(saves, 1, "nothing has changed since");
    let saved = net.dht.nodes();
    assert!((30..=MAX_SAVED).contains(&saved.len()) && saved.iter().all(|node| net.nodes.contains_key(node)));
    let mut later = Net::with(200, &config(saved));
    later.store(&[location(90, key)]);
    assert_eq!(later.run(1, Target::Sources(key)).0, End::Enough);
}

#[test]
fn a_node_that_is_silent_while_others_answer_is_forgotten_and_none_is_while_all_are_silent() {
    let mut net = Net::new(20);
    net.run(1, Target::Sources(film(1)));
    let known = net.dht.nodes.known();
    net.loss = 1.0;
    assert_eq!(net.run(2, Target::Sources(film(2))).0, End::NoNetwork);
    assert_eq!(net.dht.nodes.known(), known);
    net.loss = 0.0;
    net.nodes.get_mut(&host(5)).unwrap().conduct = Conduct::Silent;
    net.run(3, Target::Sources(film(3)));
    assert!(net.dht.nodes().contains(&host(6)) && !net.dht.nodes().contains(&host(5)));
}

#[test]
fn a_lookup_without_a_node_waits_for_hints_and_says_if_none_came() {
    let mut net = Net::with(20, &config([]));
    let (end, seconds, datagrams) = net.run(1, Target::Sources(film(1)));
    assert_eq!((end, seconds, datagrams), (End::NoNetwork, 10.0, 0));
    let key = film(2);
    net.store(&[location(90, key)]);
    net.find(2, Target::Sources(key));
    net.wait(3.0);
    net.handle(Input::Named { by: Ipv4Addr::new(59, 1, 1, 1), nodes: vec![host(200), host(3)] });
    net.wait(2.0);
    assert_eq!(net.sources(), [Some(host(90))]);
}

#[test]
fn push_proxies_of_a_servent_are_found_in_values_of_both_types() {
    let (servent, other) = (Guid([1; 16]), Guid([2; 16]));
    let key = Target::Proxies(servent).key();
    let value = |of_type, ggep: Ggep| {
        let mut data = Vec::new();
        ggep.encode(Place::Free, &mut data);
        Value { creator: Node::ours([9; 20], host(70)), key, of_type, version: [0, 0], data: data.into() }
    };
    let proxy =
        |guid: Guid, port: u16| Ggep::new().with("guid", guid.0.to_vec()).with("port", port.to_be_bytes().to_vec());
    let list =
        [[6, 60, 0, 71, 1].as_slice(), &6346u16.to_be_bytes(), &[6, 10, 0, 0, 1], &6346u16.to_be_bytes()].concat();
    let list = Ggep::new().with("client-id", servent.0.to_vec()).with("proxies", list);
    let mut net = Net::new(20);
    net.store(&[
        value(dht::PROXY_NODE, proxy(servent, 6346)),
        value(dht::PROXY_NODE, proxy(other, 7000)),
        value(dht::PUSH_PROXIES, list),
    ]);
    assert_eq!(net.run(1, Target::Proxies(servent)).0, End::Enough);
    assert_eq!(net.found(), [Found::Proxy(host(70)), Found::Proxy(host(71))], "one is another's, one is private");
}

#[test]
fn a_lost_datagram_to_the_only_known_node_is_sent_again() {
    let mut net = Net::new(20);
    net.store(&[location(90, film(1))]);
    net.loss = 1.0;
    net.find(1, Target::Sources(film(1)));
    net.loss = 0.0;
    net.wait(3.0);
    assert_eq!((net.sources(), net.sent[1].1), (vec![Some(host(90))], host(1)));
}

#[test]
fn values_that_did_not_fit_are_asked_for_by_the_names_of_their_creators() {
    let mut net = Net::with(0, &config([host(1)]));
    let key = film(1);
    let first = questions(&net.find(1, Target::Sources(key))).remove(0).1;
    let rest = Body::Values { load: 0.0, values: Vec::new(), creators: vec![[4; 20]; 200] };
    let frame = message(first.guid, kuid(1), host(1), rest.clone());
    let asked = questions(&net.handle(Input::Datagram { from: host(1), frame }));
    let Body::FindValue { creators, .. } = &asked[0].1.body else { panic!() };
    assert_eq!((asked.len(), asked[0].0, creators.len()), (1, host(1), MAX_VALUES));
    let frame = message(asked[0].1.guid, kuid(1), host(1), rest);
    let asked = questions(&net.handle(Input::Datagram { from: host(1), frame }));
    assert!(asked.len() == 1 && asked[0].1.body == Body::FindNode(key), "the rest is asked for once");
}
