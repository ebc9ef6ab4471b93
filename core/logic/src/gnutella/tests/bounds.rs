//! What strangers cannot make the leaf do: grow, talk, or fail.

use super::*;
use proptest::prelude::*;

/// Returns about the memory of a search's results, bytes.
fn memory(lab: &Lab, search: SearchKey) -> usize {
    let of = |found: &&Found| {
        let sources = found.sources.capacity() * size_of::<Source>();
        let proxies: usize = found.sources.iter().map(|source| source.proxies.capacity() * 6).sum();
        // A tree of maps costs about as much again as its entries.
        2 * size_of::<Found>() + found.name.capacity() + sources + proxies + 200
    };
    lab.leaf.results(search).iter().map(of).sum()
}

#[test]
fn floods_of_hits_leave_the_memory_below_eight_mebibytes_and_room_for_what_is_shown() {
    let mut lab = Lab::connected(1);
    let long = "x".repeat(300);
    for search in 0..6 {
        let wanted = Wanted { most: usize::MAX, kind: Some(Kind::Video), ..wanted("harbour") };
        lab.handle(Input::Search { search: SearchKey(search), wanted });
        let query = lab.leaf.search(SearchKey(search)).unwrap().guid;
        for servent in 0..200u16 {
            lab.now = lab.now.plus_secs(0.01);
            let records = (0..60).map(|n| record(servent % 40 * 60 + n, &format!("{long} {n}.exe"))).collect();
            let [high, low] = servent.to_be_bytes();
            let address = SocketAddrV4::new(Ipv4Addr::new(61, high, low, 1), 6346);
            lab.hears(1, &Message::QueryHit(hit(address, records, None)), query, 1);
        }
    }
    assert_eq!(lab.leaf.searches.len(), MAX_SEARCHES);
    let newest = lab.leaf.results(SearchKey(5));
    assert_eq!(newest.len(), MAX_FILES);
    let sources: usize = newest.iter().map(|found| found.sources.len()).sum();
    assert!(sources > 1000 && sources <= MAX_ALL_SOURCES, "{sources}");
    assert!(newest.iter().all(|found| found.sources.len() <= MAX_SOURCES));
    let total: usize = (0..6).map(|search| memory(&lab, SearchKey(search))).sum();
    assert!(total < 7 << 20, "{total} bytes");
    let query = lab.leaf.search(SearchKey(5)).unwrap().guid;
    let good = hit(host(99), vec![record(60_000, "quiet harbour night.mkv")], None);
    lab.hears(1, &Message::QueryHit(good), query, 1);
    let shown = lab.leaf.results(SearchKey(5)).into_iter().filter(|found| found.hidden().is_none()).count();
    assert_eq!(shown, 1, "spam makes room for it");
}

#[test]
fn an_idle_leaf_with_five_busy_ultrapeers_sends_less_than_a_hundred_bytes_a_second() {
    let mut lab = Lab::new(&Config { links: 5, ..config((1..=5).map(host)) });
    for (link, _) in dialled(&lab.handle(Input::Timeout)) {
        lab.handle(Input::Connected { link });
    }
    let mut bytes = 0;
    let count = |outputs: Vec<Output>| -> usize {
        let length = |output: &Output| match output {
            Output::Send { bytes, .. } | Output::SendTo { bytes, .. } => bytes.len() + 40,
            _ => 0,
        };
        outputs.iter().map(length).sum()
    };
    for _ in 0..1200 {
        for n in 1..=5 {
            bytes += count(lab.hears(n, &Message::Ping(Ping::default()), guid(n), 1));
        }
        bytes += count(lab.wait(1.0));
    }
    assert!(bytes > 0 && bytes / 1200 < 100, "{} B/s", bytes / 1200);
}

#[test]
fn no_more_datagrams_leave_than_fifty_a_second() {
    let mut lab = Lab::connected(1);
    let mut count = 0;
    for n in 0..3000u32 {
        let address = SocketAddrV4::new(Ipv4Addr::from(0x3d00_0001 + n * 300), 6346);
        count += datagrams(&lab.handle(Input::Probe { address, sha1: [1; 20] })).len();
        lab.now = lab.now.plus_secs(0.001);
    }
    assert!((150..=210).contains(&count), "{count} in 3 s");
}

#[test]
fn the_same_events_give_the_same_actions_and_another_key_other_identifiers() {
    let run = |key| {
        let mut lab = Lab::new(&Config { key: [key; 32], ..config((1..=9).map(host)) });
        let mut outputs = lab.handle(Input::Timeout);
        for (link, _) in dialled(&outputs) {
            outputs.extend(lab.handle(Input::Connected { link }));
        }
        outputs.extend(lab.begins("harbour"));
        (outputs, lab.leaf.servent())
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).1, run(2).1);
    assert_ne!(run(1).0, run(2).0);
    let shown = format!("{:?}", Lab::new(&config([])).leaf);
    assert!(!shown.contains("7, 7, 7"), "the key is not shown");
}

/// Returns a frame of a stranger with the identifier of the search or another one.
fn frame(kind: u8, payload: Vec<u8>, guid: Guid, hops: u8) -> Frame {
    let mut header = Message::Ping(Ping::default()).frame(guid, 1).unwrap().header;
    (header.kind, header.hops) = (kind, hops);
    Frame { header, payload: payload.into() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn whatever_strangers_say_the_leaf_goes_on(
        said in prop::collection::vec(
            (prop::sample::select(vec![0, 1, 2, 0x30, 0x31, 0x40, 0x80, 0x81]), prop::collection::vec(any::<u8>(), 0..120), 0..3u8, any::<bool>()),
            1..60,
        ),
    ) {
        let mut lab = Lab::connected(3);
        lab.handle(Input::Reachable(Some(SocketAddrV4::new(Ipv4Addr::new(59, 1, 1, 1), 6346))));
        lab.begins("harbour");
        let query = lab.query_guid();
        for (kind, payload, hops, ours) in said {
            let frame = frame(kind, payload, if ours { query } else { guid(1) }, hops);
            let link = LinkKey(1 + u32::from(hops));
            let outputs = lab.handle(Input::Message { link, frame: frame.clone() });
            prop_assert!(outputs.len() < 40);
            lab.handle(Input::Datagram { from: host(50), frame });
            lab.wait(0.3);
        }
        prop_assert!(lab.leaf.hosts.len() <= MAX_HOSTS);
    }
}

#[test]
fn a_flood_of_sources_leaves_room_for_a_file_that_comes_later() {
    // Spam, and made-up names that look right.
    for ending in ["exe", "mkv"] {
        let mut lab = Lab::connected(1);
        let wanted = Wanted { most: usize::MAX, kind: Some(Kind::Video), ..wanted("harbour") };
        lab.handle(Input::Search { search: SEARCH, wanted });
        let query = lab.query_guid();
        for servent in 0..40u8 {
            lab.now = lab.now.plus_secs(0.01);
            let first = u16::from(servent) % 4 * 125;
            let records = (first..first + 125).map(|n| record(n, &format!("harbour {n}.{ending}"))).collect();
            lab.hears(1, &Message::QueryHit(hit(host(50 + servent), records, None)), query, 1);
        }
        let sources = |lab: &Lab| lab.results().iter().map(|found| found.sources.len()).sum::<usize>();
        assert_eq!(sources(&lab), MAX_ALL_SOURCES);
        let good = Message::QueryHit(hit(host(200), vec![record(60_000, "quiet harbour night.mkv")], None));
        assert_eq!(lab.hears(1, &good, query, 1), [Output::Found { search: SEARCH }], "{ending}");
        let results = lab.results();
        let found = results.iter().find(|found| found.hashes == hashes(60_000)).unwrap();
        assert_eq!((found.sources.len(), found.hidden()), (1, None));
        assert!(results.iter().all(|found| !found.sources.is_empty()) && sources(&lab) <= MAX_ALL_SOURCES);
    }
}

#[test]
fn our_own_address_ports_of_other_services_and_many_ports_of_one_host_are_not_used() {
    let mut lab = Lab::connected(1);
    let ours = SocketAddrV4::new(Ipv4Addr::new(59, 1, 1, 1), 6346);
    lab.handle(Input::Reachable(Some(ours)));
    lab.begins("harbour");
    let query = lab.query_guid();
    let known = lab.leaf.hosts.len();
    let mut refused: Vec<_> = [1900, 3306, 5432, 6379, 6667, 11211, 27017]
        .map(|port| SocketAddrV4::new(Ipv4Addr::new(60, 9, 1, 1), port))
        .into();
    refused.push(ours);
    for address in refused {
        lab.hears(1, &Message::QueryHit(hit(address, vec![record(1, "quiet harbour.mkv")], None)), query, 1);
        lab.hears(1, &Message::Pong(ultrapeer_pong(address, &[address])), Guid::ZERO, 1);
        assert!(lab.results().is_empty() && lab.leaf.hosts.len() == known, "{address}");
    }
    let servent = lab.leaf.servent();
    let own = QueryHit { servent, ..hit(host(50), vec![record(1, "quiet harbour.mkv")], None) };
    lab.hears(1, &Message::QueryHit(own), query, 1);
    assert!(lab.results().is_empty());
    let many: Vec<_> = (0..60).map(|n| SocketAddrV4::new(Ipv4Addr::new(60, 9, 1, 1), 7000 + n)).collect();
    lab.hears(1, &Message::Pong(ultrapeer_pong(host(1), &many)), Guid::ZERO, 1);
    assert!((1..=4).contains(&(lab.leaf.hosts.len() - known)), "{}", lab.leaf.hosts.len() - known);
}

#[test]
fn a_ping_by_udp_is_answered_by_no_more_bytes_than_it_has() {
    let mut lab = Lab::connected(1);
    lab.handle(Input::Reachable(Some(SocketAddrV4::new(Ipv4Addr::new(59, 1, 1, 1), 6346))));
    assert_eq!(lab.receives(host(50), &Message::Ping(Ping::default()), guid(1)), []);
    let long = Ping { ggep: Ggep::new().with("X", vec![0; 60]) };
    assert_eq!(datagrams(&lab.receives(host(50), &Message::Ping(long), guid(1))).len(), 1);
}
