//! Connecting, and staying connected.

use super::*;
use std::collections::BTreeSet;

#[test]
fn the_leaf_dials_several_networks_and_stops_at_three_ultrapeers() {
    let near = (1..=20).map(|n| SocketAddrV4::new(Ipv4Addr::new(60, 1, 1, n), 6346));
    let mut lab = Lab::new(&config(near.chain((2..=8).map(host))));
    let first = dialled(&lab.handle(Input::Timeout));
    let networks: BTreeSet<_> = first.iter().map(|(_, address)| address.ip().octets()[1]).collect();
    assert_eq!(networks.len(), first.len(), "each attempt is in another network");
    assert_eq!(first.len(), 8);
    let outputs: Vec<_> = first.iter().flat_map(|(link, _)| lab.handle(Input::Connected { link: *link })).collect();
    assert_eq!(lab.leaf.ultrapeers().len(), 3);
    assert_eq!(outputs.iter().filter(|output| matches!(output, Output::Close { .. })).count(), 5);
    assert!(dialled(&lab.wait(60.0)).is_empty());
}

#[test]
fn ultrapeers_that_refuse_and_name_others_without_end_cost_a_dial_a_second() {
    let mut lab = Lab::new(&config([host(1)]));
    let (mut next, mut count) = (0u32, 0);
    let mut dials = dialled(&lab.handle(Input::Timeout));
    for _ in 0..600 {
        for (link, _) in std::mem::take(&mut dials) {
            count += 1;
            let others = (0..10).map(|_| {
                next += 1;
                SocketAddrV4::new(Ipv4Addr::from(0x3d00_0001 + next * 300), 6346)
            });
            let others = others.collect();
            dials.extend(dialled(&lab.handle(Input::Refused { link, others, banned: None })));
        }
        dials.extend(dialled(&lab.wait(0.1)));
    }
    assert!((60..=70).contains(&count), "{count} dials in 60 s");
    assert!(lab.leaf.hosts.len() <= MAX_HOSTS);
}

#[test]
fn a_host_that_refused_is_left_alone_for_ten_minutes_and_longer_the_next_time() {
    let mut lab = Lab::new(&config([host(1)]));
    let times: Vec<f64> = (0..3)
        .map(|_| {
            let mut dials = dialled(&lab.handle(Input::Timeout));
            while dials.is_empty() {
                dials = dialled(&lab.wait(10.0));
            }
            lab.handle(Input::Refused { link: dials[0].0, others: Vec::new(), banned: None });
            lab.now.as_secs_f64()
        })
        .collect();
    assert!((600.0..=620.0).contains(&(times[1] - times[0])), "{times:?}");
    assert!((1200.0..=1220.0).contains(&(times[2] - times[1])), "{times:?}");
}

#[test]
fn a_ban_is_waited_for() {
    let mut lab = Lab::new(&config([host(1)]));
    let (link, _) = dialled(&lab.handle(Input::Timeout))[0];
    lab.handle(Input::Refused { link, others: Vec::new(), banned: Some(Duration::from_secs(3600)) });
    assert!(dialled(&lab.wait(3599.0)).is_empty());
    assert_eq!(dialled(&lab.wait(2.0)).len(), 1);
}

#[test]
fn without_hosts_caches_are_asked_by_udp_at_once_and_by_http_after_twenty_seconds() {
    let mut lab = Lab::new(&config([]));
    assert_eq!(lab.handle(Input::Timeout), [Output::Resolve { cache: 0 }]);
    assert_eq!(lab.wait(19.9), [Output::Resolve { cache: 1 }]);
    assert_eq!(lab.wait(0.2), [Output::Fetch { cache: 0 }]);
    // Without an answer after 30, 90, 210, 450, 930, 1890, 3810 s and so on.
    let asked = lab.wait(3000.0);
    assert_eq!(asked.len(), 3 * 6, "{asked:?}");
}

#[test]
fn a_cache_is_asked_after_three_seconds_if_no_known_host_answers_and_not_while_connected() {
    let mut lab = Lab::new(&config([host(1)]));
    let (link, _) = dialled(&lab.handle(Input::Timeout))[0];
    assert_eq!(lab.wait(2.9), []);
    assert_eq!(lab.wait(0.2), [Output::Resolve { cache: 0 }]);
    lab.handle(Input::Connected { link });
    assert!(!lab.wait(60.0).iter().any(|output| matches!(output, Output::Resolve { .. } | Output::Fetch { .. })));
    lab.handle(Input::Closed { link });
    assert!(lab.wait(3.1).contains(&Output::Resolve { cache: 1 }));
}

#[test]
fn a_cache_teaches_hosts_only_from_its_own_address_and_with_our_identifier() {
    let mut lab = Lab::new(&config([]));
    lab.handle(Input::Timeout);
    let cache = SocketAddrV4::new(Ipv4Addr::new(70, 1, 1, 1), 9999);
    let asked = datagrams(&lab.handle(Input::Resolved { cache: 0, address: Some(cache) }));
    let [(to, ours, Message::Ping(ping))] = &asked[..] else { panic!("{asked:?}") };
    assert!(*to == cache && ping.wants_addresses());
    let local = SocketAddrV4::new(Ipv4Addr::new(192, 168, 1, 1), 6346);
    let pong = Message::Pong(ultrapeer_pong(cache, &[host(5), local, host(6)]));
    assert!(lab.receives(host(9), &pong, *ours).is_empty(), "another sender");
    assert!(lab.receives(cache, &pong, guid(1)).is_empty(), "another identifier");
    let outputs = lab.receives(cache, &pong, *ours);
    let dials: BTreeSet<_> = dialled(&outputs).into_iter().map(|(_, address)| address).collect();
    assert_eq!(dials, BTreeSet::from([cache, host(5), host(6)]), "none in a private network");
    assert!(dialled(&lab.receives(cache, &Message::Pong(ultrapeer_pong(host(8), &[])), *ours)).is_empty(), "again");
}

#[test]
fn an_ultrapeer_is_told_at_once_that_no_query_is_wanted_until_something_is_shared() {
    let mut lab = Lab::new(&config([host(1)]));
    let (link, _) = dialled(&lab.handle(Input::Timeout))[0];
    let said = messages(&lab.handle(Input::Connected { link }));
    let table = |said: &[Message]| {
        let mut receiver = RouteReceiver::default();
        let updates =
            said.iter().filter_map(|message| if let Message::Route(update) = message { Some(update) } else { None });
        updates.filter_map(|update: &RouteUpdate| receiver.update(update).unwrap()).last().unwrap()
    };
    assert!(matches!(&said[0], Message::Vendor(VendorMessage::Supported(ids)) if !ids.is_empty()));
    assert!(said.contains(&Message::Vendor(VendorMessage::HopsFlow(0))));
    assert_eq!(table(&said).set_slots(), 0);
    lab.handle(Input::Reachable(Some(SocketAddrV4::new(Ipv4Addr::new(59, 1, 1, 1), 6346))));
    let film = SharedFile { name: "quiet harbour.mkv".into(), size: 5_000_000, hashes: hashes(3) };
    let said = messages(&lab.handle(Input::Share(vec![film])));
    assert!(said.contains(&Message::Vendor(VendorMessage::HopsFlow(u8::MAX))));
    assert!(table(&said).has("harbour") && !table(&said).has("lantern"));
    let ask = |lab: &mut Lab, text| {
        let query = Message::Query(Query::new(text, &FileHashes::default()));
        messages(&lab.hears(1, &query, guid(4), 2))
    };
    let answer = ask(&mut lab, "harbour quiet");
    assert!(matches!(&answer[..], [Message::QueryHit(hit)] if hit.records[0].hashes() == hashes(3)), "{answer:?}");
    assert_eq!(ask(&mut lab, "harbour loud"), []);
}

#[test]
fn pings_are_answered_but_not_without_end() {
    let mut lab = Lab::connected(1);
    let ping = Message::Ping(Ping::default());
    let outputs = lab.hears(1, &ping, guid(3), 1);
    let said = sent(&outputs);
    assert_eq!((said[0].1.header.guid, said[0].1.header.kind), (guid(3), kind::PONG));
    let count: usize = (0..100).map(|_| lab.hears(1, &ping, guid(3), 1).len()).sum();
    assert!((1..=5).contains(&count), "{count}");
}

#[test]
fn a_silent_ultrapeer_is_pinged_then_given_up_and_replaced() {
    let mut lab = Lab::connected(3);
    lab.leaf.hosts.add(host(9), true);
    lab.now = at(89.0);
    for n in [2, 3] {
        lab.hears(n, &Message::Pong(ultrapeer_pong(host(n), &[])), Guid::ZERO, 1);
    }
    let outputs = lab.wait(2.0);
    assert_eq!(sent(&outputs).len(), 1, "one ping: {outputs:?}");
    assert_eq!(
        sent(&outputs)[0],
        (lab.link(host(1)), Message::Ping(Ping::default()).frame(sent(&outputs)[0].1.header.guid, 1).unwrap())
    );
    let link = lab.link(host(1));
    let outputs = lab.wait(30.0);
    assert!(outputs.contains(&Output::Close { link }));
    assert_eq!(dialled(&outputs).iter().map(|(_, address)| *address).collect::<Vec<_>>(), [host(9)]);
}

#[test]
fn an_ultrapeer_that_floods_is_closed_and_not_dialled_for_a_while() {
    let mut lab = Lab::connected(2);
    let link = lab.link(host(1));
    let pong = Message::Pong(ultrapeer_pong(host(7), &[]));
    let closed = (0..5000).any(|_| {
        let frame = pong.frame(guid(1), 1).unwrap();
        lab.handle(Input::Message { link, frame }).contains(&Output::Close { link })
    });
    assert!(closed && lab.leaf.hosts.len() == 3, "others may have caused it");
    let later: Vec<_> = dialled(&lab.wait(500.0)).into_iter().map(|(_, address)| address).collect();
    assert!(!later.contains(&host(1)) && lab.leaf.hosts.len() == 3, "{later:?}");
}

#[test]
fn an_ultrapeer_that_says_bye_is_replaced_and_one_that_talks_nonsense_is_left() {
    let mut lab = Lab::connected(2);
    let bye = Message::Bye(Bye { code: 503, text: "going".into() });
    let link = lab.link(host(1));
    assert!(lab.hears(1, &bye, guid(1), 1).contains(&Output::Close { link }));
    let link = lab.link(host(2));
    let mut header = Message::Ping(Ping::default()).frame(guid(1), 1).unwrap().header;
    header.kind = kind::PONG;
    let nonsense = Frame { header, payload: Bytes::from_static(b"short") };
    let closes =
        |lab: &mut Lab| lab.handle(Input::Message { link, frame: nonsense.clone() }).contains(&Output::Close { link });
    let until = (1..100).find(|_| closes(&mut lab));
    assert!(until.is_some_and(|count| count > 10), "some faults are forgiven: {until:?}");
}

#[test]
fn hosts_are_saved_with_those_first_that_accepted_us() {
    let mut lab = Lab::new(&config([]));
    lab.handle(Input::Fetched { cache: 0, hosts: (1..=50).map(host).collect() });
    let (link, address) = (LinkKey(1), lab.leaf.links[&LinkKey(1)].address);
    lab.now = at(1.0);
    lab.handle(Input::Connected { link });
    lab.handle(Input::Refused { link: LinkKey(2), others: Vec::new(), banned: None });
    assert_eq!(lab.leaf.hosts()[0], address);
    assert!(lab.leaf.hosts().len() > 30 && lab.leaf.hosts().len() <= MAX_SAVED);
    let mut heard = 0;
    let mut saves = 0;
    for _ in 0..40 {
        heard += 1;
        let frame = Message::Pong(ultrapeer_pong(address, &[])).frame(guid(heard), 1).unwrap();
        lab.handle(Input::Message { link, frame });
        saves += lab.wait(15.0).iter().filter(|output| **output == Output::SaveHosts).count();
    }
    assert_eq!(saves, 1, "once in ten minutes, because nothing changes later");
}

#[test]
fn nonsense_that_an_ultrapeer_relays_is_not_its_fault_and_its_own_faults_are_forgiven_in_time() {
    let mut lab = Lab::connected(1);
    let link = lab.link(host(1));
    let says = |lab: &mut Lab, hops: u8| {
        let mut header = Message::Ping(Ping::default()).frame(guid(1), 1).unwrap().header;
        (header.kind, header.hops) = (kind::QUERY_HIT, hops);
        let frame = Frame { header, payload: Bytes::from_static(b"short") };
        lab.handle(Input::Message { link, frame }).contains(&Output::Close { link })
    };
    assert!(!(0..1000).any(|_| says(&mut lab, 1)), "from farther servents");
    for _ in 0..10 {
        assert!(!(0..30).any(|_| says(&mut lab, 0)), "now and then");
        lab.now = lab.now.plus_secs(600.0);
    }
    assert!((0..60).any(|_| says(&mut lab, 0)), "one after another");
}

#[test]
fn a_query_with_very_many_words_is_not_answered_but_repeated_words_count_once() {
    let mut lab = Lab::connected(1);
    lab.handle(Input::Reachable(Some(SocketAddrV4::new(Ipv4Addr::new(59, 1, 1, 1), 6346))));
    let long: Vec<String> = (10..60).map(|n| format!("w{n}")).collect();
    let film = SharedFile { name: long.join(" "), size: 5_000_000, hashes: hashes(3) };
    lab.handle(Input::Share(vec![film]));
    let mut answers = |text: String| {
        let mut query = Query::new("", &FileHashes::default());
        query.text = text;
        lab.now = lab.now.plus_secs(1.0);
        lab.hears(1, &Message::Query(query), guid(4), 2).len()
    };
    assert_eq!(answers(long[..30].join(" ")), 1);
    assert_eq!(answers(long.join(" ")), 0);
    assert_eq!(answers(["w10"; 50].join(" ")), 1);
}

#[test]
fn a_cache_that_does_not_answer_is_asked_again_soon_and_one_that_does_after_an_hour() {
    let mut lab = Lab::new(&config([]));
    let (udp, web) = (Output::Resolve { cache: 0 }, Output::Fetch { cache: 0 });
    assert!(lab.handle(Input::Timeout).contains(&udp));
    lab.handle(Input::Resolved { cache: 0, address: None });
    assert!(!lab.wait(29.0).contains(&udp));
    assert!(lab.wait(2.0).contains(&udp));
    // Its answer names no host.
    let cache = SocketAddrV4::new(Ipv4Addr::new(70, 1, 1, 1), 9999);
    let asked = datagrams(&lab.handle(Input::Resolved { cache: 0, address: Some(cache) }));
    lab.receives(cache, &Message::Pong(Pong::of_leaf(cache, 0, 0)), asked[0].1);
    lab.handle(Input::Fetched { cache: 0, hosts: Vec::new() });
    assert!(lab.wait(30.0).contains(&web), "the other failed");
    lab.handle(Input::Fetched { cache: 0, hosts: vec![SocketAddrV4::new([10, 0, 0, 1].into(), 6346)] });
    let later = lab.wait(3400.0);
    assert!(!later.contains(&udp) && !later.contains(&web), "{later:?}");
    let later = lab.wait(300.0);
    assert!(later.contains(&udp) && later.contains(&web), "{later:?}");
}

#[test]
fn saved_hosts_keep_their_order_below_those_that_accepted_us_and_survive_one_failure() {
    let saved = [host(9), host(3), host(5), host(7)];
    let mut lab = Lab::new(&config(saved));
    assert_eq!(lab.leaf.hosts(), saved);
    let dials = dialled(&lab.handle(Input::Timeout));
    assert_eq!(dials.iter().map(|(_, address)| *address).collect::<Vec<_>>(), saved, "the best first");
    lab.now = at(1.0);
    lab.handle(Input::Connected { link: dials[2].0 });
    lab.handle(Input::Closed { link: dials[0].0 });
    assert_eq!(lab.leaf.hosts(), [host(5), host(9), host(3), host(7)]);
    lab.handle(Input::Closed { link: dials[2].0 });
    assert_eq!(lab.leaf.hosts()[0], host(5), "it accepted us");
    let mut failed = 0;
    while failed == 0 {
        for (link, address) in dialled(&lab.wait(10.0)) {
            failed += usize::from(address == host(9));
            lab.handle(Input::Closed { link });
        }
    }
    assert!(!lab.leaf.hosts().contains(&host(9)), "it failed twice");
}

#[test]
fn an_ultrapeer_that_says_bye_is_not_dialled_again_at_once() {
    let mut lab = Lab::connected(3);
    for minute in 1..=17 {
        lab.now = at(f64::from(minute) * 60.0);
        for n in 1..=3 {
            lab.hears(n, &Message::Pong(ultrapeer_pong(host(n), &[])), Guid::ZERO, 1);
        }
    }
    let link = lab.link(host(1));
    let outputs = lab.hears(1, &Message::Bye(Bye { code: 503, text: "going".into() }), guid(1), 1);
    assert!(outputs.contains(&Output::Close { link }) && dialled(&outputs).is_empty(), "{outputs:?}");
    assert!(dialled(&lab.wait(590.0)).is_empty());
    assert_eq!(dialled(&lab.wait(20.0)).len(), 1);
}

#[test]
fn while_nobody_can_connect_to_us_nothing_is_shared() {
    let mut lab = Lab::new(&config([host(1)]));
    let film = SharedFile { name: "quiet harbour.mkv".into(), size: 5_000_000, hashes: hashes(3) };
    let (link, _) = dialled(&lab.handle(Input::Share(vec![film])))[0];
    let said = messages(&lab.handle(Input::Connected { link }));
    assert!(said.contains(&Message::Vendor(VendorMessage::HopsFlow(0))), "{said:?}");
    assert!(!said.contains(&Message::Vendor(VendorMessage::PushProxyRequest)), "{said:?}");
    let query = Message::Query(Query::new("harbour", &FileHashes::default()));
    assert_eq!(lab.hears(1, &query, guid(4), 2), []);
    let ours = Some(SocketAddrV4::new(Ipv4Addr::new(59, 1, 1, 1), 6346));
    let said = messages(&lab.handle(Input::Reachable(ours)));
    assert!(said.contains(&Message::Vendor(VendorMessage::HopsFlow(u8::MAX))), "{said:?}");
    assert_eq!(lab.hears(1, &query, guid(4), 2).len(), 1);
    assert_eq!(lab.handle(Input::Reachable(ours)), [], "nothing has changed");
    let said = messages(&lab.handle(Input::Reachable(None)));
    assert!(said.contains(&Message::Vendor(VendorMessage::HopsFlow(0))), "{said:?}");
}

#[test]
fn ultrapeers_and_the_nodes_that_they_name_are_handed_on_for_the_dht() {
    let mut lab = Lab::new(&config([host(1)]));
    let link = dialled(&lab.handle(Input::Timeout))[0].0;
    let at_once = lab.handle(Input::Connected { link });
    assert!(at_once.contains(&Output::Nodes { by: *host(1).ip(), nodes: vec![host(1)] }));
    let mut pong = ultrapeer_pong(host(2), &[]);
    pong.ggep = Ggep::new().with("DHTIPP", packed(&[host(8), host(9)]));
    let outputs = lab.hears(1, &Message::Pong(pong), Guid::ZERO, 1);
    assert!(outputs.contains(&Output::Nodes { by: *host(1).ip(), nodes: vec![host(8), host(9)] }), "{outputs:?}");
}
