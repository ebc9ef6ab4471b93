//! Searches and what they find.

use super::*;

/// Returns a record that names other sources.
fn with_alternates(n: u16, name: &str, others: &[SocketAddrV4]) -> Record {
    let mut record = record(n, name);
    record.area.ggep = Ggep::new().with("ALT", packed(others));
    record
}

fn addresses(found: &Found) -> Vec<String> {
    found.sources.iter().map(|source| source.address.map_or("push".into(), |address| address.to_string())).collect()
}

#[test]
fn each_ultrapeer_gets_the_query_once_and_one_that_comes_later_too() {
    let mut lab = Lab::connected(2);
    let outputs = lab.begins("the quiet harbour of a long and winding road");
    let queries = sent(&outputs);
    assert_eq!(queries.len(), 2);
    assert_eq!(queries[0].1.header.guid, queries[1].1.header.guid);
    assert_eq!((queries[0].1.header.ttl, queries[0].1.header.kind), (4, kind::QUERY));
    let Message::Query(query) = Message::decode(&queries[0].1).unwrap() else { panic!() };
    assert_eq!(query.text, "the quiet harbour long winding road", "six words, in their order");
    assert!(query.has(flag::FIREWALLED) && query.has(flag::LEAF_GUIDED) && !query.has(flag::OUT_OF_BAND));
    lab.handle(Input::Fetched { cache: 0, hosts: vec![host(9)] });
    let link = lab.link(host(9));
    let later = sent(&lab.handle(Input::Connected { link }));
    assert_eq!(later.last().unwrap().1, queries[0].1);
    assert!(!sent(&lab.wait(20.0)).iter().any(|(_, frame)| frame.header.kind == kind::QUERY));
}

#[test]
fn an_ultrapeer_that_asks_is_told_the_number_of_hits_and_at_the_end_to_stop() {
    let mut lab = Lab::connected(1);
    lab.begins("harbour");
    let query = lab.query_guid();
    let hits = hit(host(50), vec![record(1, "quiet harbour.mkv"), record(2, "loud harbour.mkv")], None);
    assert_eq!(lab.hears(1, &Message::QueryHit(hits), query, 1), [Output::Found { search: SEARCH }]);
    let request = Message::Vendor(VendorMessage::QueryStatusRequest);
    let said = sent(&lab.hears(1, &request, query, 1));
    let status = |hits| Message::Vendor(VendorMessage::QueryStatus(hits));
    assert_eq!((said[0].1.header.guid, Message::decode(&said[0].1).unwrap()), (query, status(2)));
    assert!(lab.hears(1, &request, guid(77), 1).is_empty(), "another's query");
    let outputs = lab.wait(31.0);
    assert!(outputs.contains(&Output::Ended { search: SEARCH, end: End::TimeIsOver }));
    assert!(messages(&outputs).contains(&status(STOP_QUERY)));
    assert_eq!(lab.results().len(), 2, "results outlive the search");
    let late = hit(host(51), vec![record(3, "last harbour.mkv")], None);
    assert!(lab.hears(1, &Message::QueryHit(late), query, 1).is_empty());
    lab.handle(Input::Forget { search: SEARCH });
    assert!(lab.results().is_empty());
}

#[test]
fn a_search_ends_with_enough_files_and_says_if_there_was_no_network() {
    let mut lab = Lab::connected(1);
    let wanted = Wanted { most: 2, ..wanted("harbour") };
    lab.handle(Input::Search { search: SEARCH, wanted: wanted.clone() });
    let hits = hit(host(50), vec![record(1, "quiet harbour.mkv"), record(2, "loud harbour.mkv")], None);
    let query = lab.query_guid();
    let outputs = lab.hears(1, &Message::QueryHit(hits), query, 1);
    assert!(outputs.contains(&Output::Ended { search: SEARCH, end: End::Enough }), "{outputs:?}");
    let mut alone = Lab::new(&config([]));
    alone.handle(Input::Search { search: SEARCH, wanted });
    assert!(alone.wait(31.0).contains(&Output::Ended { search: SEARCH, end: End::NoNetwork }));
}

#[test]
fn hits_of_one_hash_are_one_file_and_networks_count_more_than_records() {
    let mut lab = Lab::connected(1);
    lab.begins("harbour");
    let query = lab.query_guid();
    for n in 50..52 {
        lab.hears(1, &Message::QueryHit(hit(host(n), vec![record(1, "quiet harbour.mkv")], None)), query, 1);
    }
    for n in 1..=40 {
        let near = SocketAddrV4::new(Ipv4Addr::new(61, 1, 1, n), 6346);
        lab.hears(1, &Message::QueryHit(hit(near, vec![record(2, "other harbour.mkv")], None)), query, 1);
    }
    let again = Message::QueryHit(hit(host(50), vec![record(1, "quiet harbour.mkv")], None));
    assert!(lab.hears(1, &again, query, 1).is_empty(), "nothing new");
    let found = lab.results();
    assert_eq!(
        found.iter().map(|file| (file.hashes, file.sources.len())).collect::<Vec<_>>(),
        [(hashes(1), 2), (hashes(2), 40)]
    );
}

#[test]
fn no_hit_makes_us_connect_to_a_private_network() {
    let mut lab = Lab::connected(1);
    lab.begins("harbour");
    let query = lab.query_guid();
    for ip in [[10, 1, 2, 3], [127, 0, 0, 1], [192, 168, 1, 1], [169, 254, 1, 1], [0, 0, 0, 0], [224, 0, 0, 1]] {
        let local = SocketAddrV4::new(ip.into(), 6346);
        let answer = lab.hears(1, &Message::QueryHit(hit(local, vec![record(1, "quiet harbour.mkv")], None)), query, 1);
        assert!(answer.is_empty() && lab.results().is_empty(), "{local}");
    }
    let mail = SocketAddrV4::new([60, 9, 1, 1].into(), 25);
    lab.hears(1, &Message::QueryHit(hit(mail, vec![record(1, "quiet harbour.mkv")], None)), query, 1);
    assert!(lab.results().is_empty(), "a port of a service");
    let local = SocketAddrV4::new([192, 168, 1, 1].into(), 6346);
    let named = with_alternates(1, "quiet harbour.mkv", &[local, host(60)]);
    lab.hears(1, &Message::QueryHit(hit(host(50), vec![named], None)), query, 1);
    assert_eq!(addresses(lab.results()[0]), ["60.50.1.1:6346", "60.60.1.1:6346"]);
}

#[test]
fn spam_is_hidden_by_what_it_is_and_not_by_how_often_it_comes() {
    let mut lab = Lab::connected(1);
    lab.handle(Input::Search { search: SEARCH, wanted: Wanted { kind: Some(Kind::Video), ..wanted("quiet harbour") } });
    let query = lab.query_guid();
    let hashless = Record { area: Area::default(), ..record(1, "quiet harbour night.mkv") };
    let wrong_kind = record(2, "quiet harbour film.exe");
    let good = record(3, "quiet harbour evening.mkv");
    lab.hears(1, &Message::QueryHit(hit(host(50), vec![hashless, wrong_kind, good], None)), query, 1);
    for n in 0..8 {
        let renamed = record(4, &format!("quiet harbour part {n}{n} of many.mkv"));
        lab.hears(1, &Message::QueryHit(hit(host(100 + n), vec![renamed], None)), query, 1);
    }
    let shown: Vec<_> = lab.results().iter().filter(|file| file.hidden().is_none()).map(|file| file.hashes).collect();
    assert_eq!(shown, [hashes(3)]);
    let many = lab.results().iter().find(|file| file.hashes == hashes(4)).unwrap().hidden();
    assert_eq!(many, Some(Hidden::ManyNames));
    // A file that the user named by its hash is shown whatever it is called.
    let named = Wanted { hashes: hashes(2), ..lab.leaf.search(SEARCH).unwrap().wanted.clone() };
    lab.handle(Input::Search { search: SearchKey(2), wanted: named });
    let query = lab.leaf.search(SearchKey(2)).unwrap().guid;
    lab.hears(1, &Message::QueryHit(hit(host(50), vec![record(2, "quiet harbour film.exe")], None)), query, 1);
    assert_eq!(lab.leaf.results(SearchKey(2))[0].hidden(), None);
}

#[test]
fn hits_by_udp_need_a_claim_and_its_token() {
    let mut lab = Lab::connected(1);
    let ours = SocketAddrV4::new(Ipv4Addr::new(59, 1, 1, 1), 6346);
    lab.handle(Input::Reachable(Some(ours)));
    let outputs = lab.begins("harbour");
    let query = lab.query_guid();
    assert_eq!(query.address(), ours, "hits come to the address in the identifier");
    let Message::Query(said) = &messages(&outputs)[0] else { panic!() };
    assert!(said.has(flag::OUT_OF_BAND) && said.has_secure_oob() && !said.has(flag::FIREWALLED));
    let announce = |version| Message::Vendor(VendorMessage::OobIndication { version, hits: 1, is_reachable: true });
    let result = |token: &[u8]| Message::QueryHit(hit(host(50), vec![record(1, "quiet harbour.mkv")], Some(token)));
    assert!(lab.receives(host(50), &announce(2), query).is_empty(), "a version without a token");
    assert!(lab.receives(host(50), &announce(3), guid(9)).is_empty(), "no query of ours");
    let claim = datagrams(&lab.receives(host(50), &announce(3), query));
    let [(to, id, Message::Vendor(VendorMessage::OobClaim { hits: 1, token: Some(token) }))] = &claim[..] else {
        panic!("{claim:?}")
    };
    assert_eq!((*to, *id), (host(50), query));
    assert!(lab.receives(host(50), &announce(3), query).is_empty(), "claimed once");
    lab.receives(host(51), &result(token), query);
    lab.receives(host(50), &result(b"12345678"), query);
    assert!(lab.results().is_empty(), "forged hits");
    assert_eq!(lab.receives(host(50), &result(token), query), [Output::Found { search: SEARCH }]);
}

#[test]
fn ultrapeers_are_asked_by_udp_after_a_while_slowly_and_each_once() {
    let mut lab = Lab::connected(1);
    for n in 100..130 {
        lab.hears(1, &Message::Pong(ultrapeer_pong(host(n), &[])), Guid::ZERO, 1);
    }
    lab.begins("harbour");
    let query = lab.query_guid();
    assert!(datagrams(&lab.wait(1.4)).is_empty());
    let mut times = Vec::new();
    let mut asked = Vec::new();
    for _ in 0..1500 {
        for (to, id, message) in datagrams(&lab.wait(0.01)) {
            times.push(lab.now.as_secs_f64());
            match message {
                Message::Ping(ping) if ping.ggep.has("QK") => {
                    let ggep = Ggep::new().with("QK", vec![to.ip().octets()[1]; 4]);
                    lab.receives(to, &Message::Pong(Pong { ggep, ..ultrapeer_pong(to, &[]) }), id);
                }
                Message::Query(said) => {
                    assert_eq!((id, &said.key().unwrap()[..]), (query, &[to.ip().octets()[1]; 4][..]));
                    asked.push(to);
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(times.windows(2).take(30).all(|pair| pair[1] - pair[0] > 0.18), "{times:?}");
    asked.sort();
    assert_eq!(asked, (100..130).map(host).collect::<Vec<_>>(), "each once");
    let result = Message::QueryHit(hit(host(200), vec![record(1, "quiet harbour.mkv")], None));
    assert!(lab.receives(host(99), &result, query).is_empty(), "from one that was not asked");
    assert_eq!(lab.receives(host(100), &result, query), [Output::Found { search: SEARCH }]);
}

#[test]
fn without_udp_no_datagram_is_ever_sent() {
    let mut lab = Lab::new(&Config { udp: false, ..config([host(1)]) });
    let (link, _) = dialled(&lab.handle(Input::Timeout))[0];
    lab.handle(Input::Connected { link });
    lab.hears(1, &Message::Pong(ultrapeer_pong(host(100), &[])), Guid::ZERO, 1);
    lab.begins("harbour");
    lab.handle(Input::Probe { address: host(50), sha1: [1; 20] });
    assert!(datagrams(&lab.wait(20.0)).is_empty());
    lab.handle(Input::Closed { link });
    assert!(!lab.wait(10.0).iter().any(|output| matches!(output, Output::Resolve { .. })));
}

#[test]
fn a_push_goes_to_the_proxies_and_back_over_the_ultrapeer_and_not_twice() {
    let mut lab = Lab::connected(1);
    lab.begins("harbour");
    let query = lab.query_guid();
    let proxies =
        Ggep::new().with("PUSH", packed(&[host(70), SocketAddrV4::new([10, 0, 0, 1].into(), 6346), host(71)]));
    let trailer = Trailer::new(*b"TEST", &[(ServentFlag::Push, true)], proxies);
    let nowhere = SocketAddrV4::new([127, 0, 0, 0].into(), 0);
    let firewalled = QueryHit { trailer: Some(trailer), ..hit(nowhere, vec![record(1, "quiet harbour.mkv")], None) };
    lab.hears(1, &Message::QueryHit(firewalled.clone()), query, 1);
    assert_eq!(addresses(lab.results()[0]), ["push"]);
    let push = Input::Push { search: SEARCH, servent: firewalled.servent };
    assert!(lab.handle(push.clone()).is_empty(), "nobody could connect to us");
    let ours = SocketAddrV4::new(Ipv4Addr::new(59, 1, 1, 1), 6346);
    lab.handle(Input::Reachable(Some(ours)));
    let outputs = lab.handle(push.clone());
    let is_push = |message: &Message| matches!(message, Message::Push(push) if push.servent == firewalled.servent && push.address == ours);
    let by_udp = datagrams(&outputs);
    assert_eq!(by_udp.iter().map(|(to, ..)| *to).collect::<Vec<_>>(), [host(70), host(71)]);
    assert!(by_udp.iter().all(|(.., message)| is_push(message)) && messages(&outputs).iter().all(is_push));
    assert_eq!(messages(&outputs).len(), 1);
    assert!(lab.handle(push.clone()).is_empty(), "too soon");
    lab.wait(21.0);
    assert_eq!(lab.handle(push).len(), 3);
}

#[test]
fn a_probe_is_answered_only_by_whom_it_was_sent_to() {
    let mut lab = Lab::connected(1);
    let sha1 = [5; 20];
    let asked = datagrams(&lab.handle(Input::Probe { address: host(50), sha1 }));
    let [(to, id, Message::Vendor(VendorMessage::HeadPing(ping)))] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!((*to, ping.sha1), (host(50), sha1));
    let mut pong = playswarm_proto::gnutella::HeadPong::not_found(2);
    pong.holding =
        Some(playswarm_proto::gnutella::Holding { is_whole: true, is_firewalled: false, is_downloading: false });
    (pong.vendor, pong.queue) = (Some(*b"TEST"), Some(playswarm_proto::gnutella::Queue::Free(1)));
    pong.alternates = vec![host(60), SocketAddrV4::new([192, 168, 1, 1].into(), 6346)];
    let answer = Message::Vendor(VendorMessage::HeadPong(pong));
    assert!(lab.receives(host(51), &answer, *id).is_empty());
    let outputs = lab.receives(host(50), &answer, *id);
    let [Output::Probed { address, sha1: asked_for, pong }] = &outputs[..] else { panic!("{outputs:?}") };
    assert_eq!((*address, *asked_for, &pong.alternates[..]), (host(50), sha1, &[host(60)][..]));
    assert!(lab.receives(host(50), &answer, *id).is_empty(), "once");
}

#[test]
fn hits_by_udp_are_asked_for_only_while_the_address_in_the_identifier_is_ours() {
    let ours = SocketAddrV4::new(Ipv4Addr::new(59, 1, 1, 1), 6346);
    let other = SocketAddrV4::new(Ipv4Addr::new(59, 2, 2, 2), 6346);
    // The address when the search begins, and when an ultrapeer is there.
    for (before, after) in
        [(None, Some(ours)), (Some(ours), Some(ours)), (Some(ours), Some(other)), (Some(ours), None), (None, None)]
    {
        let mut lab = Lab::new(&config([host(1)]));
        let (link, _) = dialled(&lab.handle(Input::Timeout))[0];
        lab.handle(Input::Reachable(before));
        lab.begins("harbour");
        lab.handle(Input::Reachable(after));
        let said = messages(&lab.handle(Input::Connected { link }));
        let Some(Message::Query(query)) = said.last() else { panic!("{said:?}") };
        let is_ours = before.is_some() && before == after;
        assert_eq!((query.has(flag::OUT_OF_BAND), query.has_secure_oob()), (is_ours, is_ours), "{before:?} {after:?}");
        assert!(!is_ours || lab.query_guid().address() == ours);
    }
}

#[test]
fn one_servent_gives_a_file_one_name_and_a_file_named_by_a_hash_has_no_wrong_name() {
    let mut bitprint = hashes(4);
    bitprint.tiger = Some([4; 24]);
    let called = |n: u8| Record {
        index: n.into(),
        area: Area::of_urn(&bitprint),
        ..record(4, &format!("quiet harbour part {n}{n} of many.mkv"))
    };
    let mut tiger = FileHashes::default();
    tiger.tiger = bitprint.tiger;
    for (asked, expected) in
        [(FileHashes::default(), Some(Hidden::ManyNames)), (hashes(4), None), (tiger, None), (bitprint, None)]
    {
        let mut lab = Lab::connected(1);
        lab.handle(Input::Search { search: SEARCH, wanted: Wanted { hashes: asked, ..wanted("quiet harbour") } });
        let query = lab.query_guid();
        lab.hears(1, &Message::QueryHit(hit(host(50), (1..9).map(called).collect(), None)), query, 1);
        assert_eq!(lab.results()[0].hidden(), None, "one servent");
        for n in 1..9 {
            lab.hears(1, &Message::QueryHit(hit(host(50 + n), vec![called(n)], None)), query, 1);
        }
        assert_eq!(lab.results()[0].hidden(), expected, "{asked:?}");
    }
}

#[test]
fn a_servent_that_answers_takes_the_place_of_an_address_that_was_only_named() {
    let mut lab = Lab::connected(1);
    lab.begins("harbour");
    let query = lab.query_guid();
    let name = "quiet harbour.mkv";
    let says = |lab: &mut Lab, n: u8, others: &[SocketAddrV4]| {
        let answer = Message::QueryHit(hit(host(n), vec![with_alternates(1, name, others)], None));
        lab.hears(1, &answer, query, 1)
    };
    says(&mut lab, 50, &[host(60), host(61)]);
    assert_eq!(says(&mut lab, 60, &[host(50)]), [Output::Found { search: SEARCH }]);
    let file = lab.results()[0].clone();
    assert_eq!(addresses(&file), ["60.50.1.1:6346", "60.60.1.1:6346", "60.61.1.1:6346"]);
    let answered: Vec<_> = file.sources.iter().map(|source| source.servent.is_some()).collect();
    assert_eq!((answered, file.networks()), (vec![true, true, false], 2), "an address that is named proves no network");
    for n in 1..7 {
        let others: Vec<_> = (0..10).map(|other| host(100 + n * 10 + other)).collect();
        says(&mut lab, 60 + n, &others);
    }
    assert_eq!(lab.results()[0].sources.len(), MAX_SOURCES);
    says(&mut lab, 90, &[]);
    let file = lab.results()[0].clone();
    assert_eq!((file.sources.len(), file.networks()), (MAX_SOURCES, 9));
    assert!(addresses(&file).contains(&"60.90.1.1:6346".into()));
}

#[test]
fn networks_of_both_families_are_told_apart_by_their_first_32_and_16_bits() {
    let mut lab = Lab::connected(1);
    lab.begins("harbour");
    let query = lab.query_guid();
    for (n, address) in ["2a01:1::1", "2b01:1::1", "2b01:1:5::1"].into_iter().enumerate() {
        let ip: std::net::Ipv6Addr = address.parse().unwrap();
        let trailer = Trailer::new(*b"TEST", &[], Ggep::new().with("6", ip.octets().to_vec()));
        let nowhere = SocketAddrV4::new([127, 0, 0, 0].into(), 6346);
        let answer = QueryHit { trailer: Some(trailer), ..hit(nowhere, vec![record(1, "quiet harbour.mkv")], None) };
        let answer = QueryHit { servent: guid(n as u8), ..answer };
        lab.hears(1, &Message::QueryHit(answer), query, 1);
    }
    assert_eq!((lab.results()[0].sources.len(), lab.results()[0].networks()), (3, 2));
}

#[test]
fn a_long_title_is_asked_for_by_whole_words_and_every_query_is_short_enough_to_be_sent() {
    let long: Vec<String> = (b'a'..b'h').map(|c| String::from_utf8(vec![c; 30]).unwrap()).collect();
    let mut lab = Lab::connected(1);
    lab.handle(Input::Reachable(Some(SocketAddrV4::new(Ipv4Addr::new(59, 1, 1, 1), 6346))));
    lab.hears(1, &Message::Pong(ultrapeer_pong(host(100), &[])), Guid::ZERO, 1);
    let wanted = Wanted { hashes: hashes(1), kind: Some(Kind::Video), ..wanted(&long.join(" ")) };
    let said = messages(&lab.handle(Input::Search { search: SEARCH, wanted }));
    let [Message::Query(query)] = &said[..] else { panic!("{said:?}") };
    assert!(query.text.split(' ').count() >= 3 && query.text.split(' ').all(|word| long.iter().any(|w| w == word)));
    // By UDP it has the servent's key as well.
    let [(to, id, Message::Ping(_))] = &datagrams(&lab.wait(1.6))[..] else { panic!() };
    let ggep = Ggep::new().with("QK", vec![7; 64]);
    lab.receives(*to, &Message::Pong(Pong { ggep, ..ultrapeer_pong(*to, &[]) }), *id);
    let asked = datagrams(&lab.wait(1.0));
    let [(_, _, Message::Query(query))] = &asked[..] else { panic!("{asked:?}") };
    assert!(query.text.split(' ').all(|word| long.iter().any(|w| w == word)), "{}", query.text);
}

#[test]
fn a_search_too_many_takes_the_place_of_an_ended_one_or_else_ends_the_oldest() {
    let mut lab = Lab::connected(1);
    let begin = |lab: &mut Lab, key, wait| {
        let wanted = Wanted { wait: Duration::from_secs(wait), ..wanted("harbour") };
        lab.handle(Input::Search { search: SearchKey(key), wanted })
    };
    for key in 0..MAX_SEARCHES as u32 {
        begin(&mut lab, key, if key == 2 { 10 } else { 60 });
    }
    lab.wait(11.0);
    let keys = |lab: &Lab| lab.leaf.searches.iter().map(|search| search.key.0).collect::<Vec<_>>();
    let ended = |outputs: &[Output]| outputs.iter().filter(|output| matches!(output, Output::Ended { .. })).count();
    assert_eq!((ended(&begin(&mut lab, 10, 60)), keys(&lab)), (0, vec![0, 1, 3, 10]));
    let outputs = begin(&mut lab, 11, 60);
    assert!(outputs.contains(&Output::Ended { search: SearchKey(0), end: End::Replaced }), "{outputs:?}");
    assert_eq!((ended(&outputs), keys(&lab)), (1, vec![1, 3, 10, 11]));
}

#[test]
fn ultrapeers_that_give_no_key_make_room_for_others() {
    let mut lab = Lab::connected(1);
    for n in 2..202 {
        lab.hears(1, &Message::Pong(ultrapeer_pong(host(n), &[])), Guid::ZERO, 1);
    }
    let wanted = Wanted { wait: Duration::from_secs(300), ..wanted("harbour") };
    lab.handle(Input::Search { search: SEARCH, wanted });
    assert!(datagrams(&lab.wait(100.0)).len() >= 200);
    lab.hears(1, &Message::Pong(ultrapeer_pong(host(220), &[])), Guid::ZERO, 1);
    assert!(datagrams(&lab.wait(60.0)).iter().any(|(to, ..)| *to == host(220)));
}

#[test]
fn an_ultrapeer_counts_as_asked_by_udp_only_when_the_datagram_was_sent() {
    let mut lab = Lab::connected(1);
    lab.hears(1, &Message::Pong(ultrapeer_pong(host(100), &[])), Guid::ZERO, 1);
    lab.begins("harbour");
    let probes = |lab: &mut Lab| {
        (0..60).for_each(|n| drop(lab.handle(Input::Probe { address: host(n), sha1: [1; 20] })));
    };
    lab.wait(1.499);
    probes(&mut lab);
    assert_eq!(datagrams(&lab.wait(0.002)), [], "no datagram is left");
    let said = datagrams(&lab.wait(1.0));
    let [(to, id, Message::Ping(_))] = &said[..] else { panic!("{said:?}") };
    let ggep = Ggep::new().with("QK", vec![7; 4]);
    probes(&mut lab);
    lab.receives(*to, &Message::Pong(Pong { ggep, ..ultrapeer_pong(*to, &[]) }), *id);
    let said = datagrams(&lab.wait(1.0));
    assert!(matches!(&said[..], [(to, _, Message::Query(_))] if *to == host(100)), "{said:?}");
}
