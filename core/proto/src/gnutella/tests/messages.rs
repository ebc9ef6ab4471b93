//! Messages that no recording has, and the values of drafts.

use super::*;
use crate::FileHashes;
use proptest::prelude::*;

#[test]
fn words_have_the_slots_of_the_draft() {
    // Rohrs, "Query Routing for the Gnutella Network", appendix.
    for (word, bits, slot) in [
        ("", 13, 0),
        ("eb", 13, 6791),
        ("ebc", 13, 7082),
        ("ebck", 13, 6698),
        ("ebckl", 13, 3179),
        ("ebcklm", 13, 3235),
        ("ebcklme", 13, 6438),
        ("ebcklmen", 13, 1062),
        ("ebcklmenq", 13, 3527),
        ("", 16, 0),
        ("n", 16, 65003),
        ("nd", 16, 54193),
        ("ndf", 16, 4953),
        ("ndfl", 16, 58201),
        ("ndfla", 16, 34830),
        ("ndflal", 16, 36910),
        ("ndflale", 16, 34586),
        ("ndflalem", 16, 37658),
        ("ndflaleme", 16, 45559),
        ("ol2j34lj", 10, 318),
        ("asdfas23", 10, 503),
        ("9um3o34fd", 10, 758),
        ("a234d", 10, 281),
        ("a3f", 10, 767),
        ("3nja9", 10, 581),
        ("2459345938032343", 10, 146),
        ("7777a88a8a8a8", 10, 342),
        ("asdfjklkj3k", 10, 861),
        ("adfk32l", 10, 1011),
        ("zzzzzzzzzzz", 10, 944),
    ] {
        assert_eq!(hash(word, bits), slot, "{word}");
    }
}

#[test]
fn words_lose_accents_case_and_signs() {
    assert_eq!(words("Élan_Vital (1999) a Straße.mkv"), ["elan", "vital", "1999", "strasse", "mkv"]);
    assert_eq!(words("映画 ＡＢ"), ["映画", "ab"]);
}

#[test]
fn a_table_survives_its_messages_in_each_form() {
    let many: Vec<String> = (0..5000).map(|n| format!("word{n}")).collect();
    let table = RouteTable::of(many.iter().map(String::as_str));
    let updates = table.updates();
    assert!(updates.len() > 2, "it takes several parts: {}", updates.len());
    let mut receiver = RouteReceiver::default();
    let mut last = None;
    for update in &updates {
        let Message::Route(update) = again(&Message::Route(update.clone())) else { panic!() };
        last = receiver.update(&update).unwrap();
    }
    assert_eq!(last, Some(table));

    // Eight bits and one bit, as other servents send them.
    for (entry_bits, data) in [(8, vec![0, 0xfa, 0, 0, 0, 0, 0, 0xff]), (1, vec![0x41]), (4, vec![0x0a, 0, 0, 0x0f])] {
        let reset = RouteUpdate::Reset { slots_log2: 3, infinity: 7 };
        assert_eq!(receiver.update(&reset), Ok(None));
        let data = data.into();
        let patch = RouteUpdate::Patch { part: 1, parts: 1, is_deflated: false, entry_bits, data };
        let table = receiver.update(&patch).unwrap().unwrap();
        assert_eq!(table.set_slots(), 2, "{entry_bits}");
    }
}

#[test]
fn a_table_with_gaps_or_of_another_length_is_refused() {
    let patch = |part, parts, data: &[u8]| RouteUpdate::Patch {
        part,
        parts,
        is_deflated: false,
        entry_bits: 4,
        data: Bytes::copy_from_slice(data),
    };
    let reset = RouteUpdate::Reset { slots_log2: 3, infinity: 7 };
    for (name, patches) in [
        ("gap", vec![patch(1, 3, &[0; 2]), patch(3, 3, &[0; 2])]),
        ("another begins", vec![patch(1, 2, &[0; 2]), patch(2, 3, &[0; 2])]),
        ("not from the first", vec![patch(2, 2, &[0; 4])]),
        ("short", vec![patch(1, 1, &[0; 3])]),
        ("long", vec![patch(1, 1, &[0; 5])]),
        ("endless", vec![patch(1, 200, &[0; 8000])]),
    ] {
        let mut receiver = RouteReceiver::default();
        receiver.update(&reset).unwrap();
        let last = patches.iter().map(|patch| receiver.update(patch)).find(Result::is_err);
        assert_eq!(last, Some(Err(Fault::Table)), "{name}");
    }
    for payload in
        [&[0, 3, 0, 0, 0, 7][..], &[0, 0, 0, 0, 1, 7], &[0, 8, 0, 0, 0, 0], &[1, 0, 1, 0, 4], &[1, 1, 1, 2, 4], &[2]]
    {
        assert_eq!(decode(kind::ROUTE, payload), Err(Fault::Value("routing table")), "{payload:?}");
    }
}

#[test]
fn large_files_have_their_size_in_an_extension() {
    for size in [0, u64::from(u32::MAX) - 1, u32::MAX.into(), 1 << 32, 9_663_676_416, u64::MAX] {
        let record = Record { index: 1, size, name: "a".into(), area: Area::default() };
        let hit = QueryHit {
            address: v4("44.77.2.2:6346"),
            speed: 100,
            records: vec![record],
            trailer: Some(Trailer::new(VENDOR, &[], Ggep::new())),
            servent: Guid::of_random([5; 16]),
        };
        let message = Message::QueryHit(hit);
        assert_eq!(again(&message), message, "{size}");
    }
}

#[test]
fn a_trailer_of_limewire_has_a_byte_and_xml_around_its_extensions() {
    let mut payload = vec![0];
    payload.extend([0xca, 0x18, 44, 77, 2, 2, 100, 0, 0, 0]);
    payload.extend(b"LIME\x04\x3d\x25\x05\x00");
    payload.extend([1, 0xc3, 0x82, b'B', b'H', 0x40]);
    payload.extend(b"<xml>");
    payload.extend([7; 16]);
    let Ok(Message::QueryHit(hit)) = decode(kind::QUERY_HIT, &payload) else { panic!() };
    let trailer = hit.trailer.unwrap();
    assert_eq!((trailer.vendor, trailer.can_browse(), hit.servent), (*b"LIME", true, Guid([7; 16])));
    assert_eq!(trailer.flag(ServentFlag::Push), Some(true));
    assert_eq!(trailer.flag(ServentFlag::Busy), Some(true));
}

#[test]
fn an_ipv6_servent_has_its_address_in_an_extension() {
    let ggep = Ggep::new().with("6", vec![0x20, 1, 13, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
    let mut hit = QueryHit {
        address: v4("127.0.0.0:6346"),
        speed: 0,
        records: Vec::new(),
        trailer: Some(Trailer::new(VENDOR, &[(ServentFlag::Push, false)], ggep)),
        servent: Guid::ZERO,
    };
    assert_eq!(hit.listens_at(), Some("[2001:db8::9]:6346".parse().unwrap()));
    assert!(!hit.needs_push());
    hit.address.set_port(0);
    assert!(hit.listens_at().is_none() && hit.needs_push());
}

#[test]
fn our_queries_are_within_the_draft_and_have_no_control_characters() {
    let hashes = FileHashes { sha1: Some([3; 20]), tiger: Some([4; 24]) };
    let query = Query::new(&"wörd\0\n ".repeat(100), &hashes).with_partial_files().of_media(media::VIDEO).out_of_band();
    let bytes = Message::Query(query.clone()).encode(Guid::ZERO, 4).unwrap();
    assert!(bytes.len() <= HEADER_BYTES + MAX_OUR_QUERY_BYTES);
    assert!(query.text.starts_with("wörd") && !query.text.contains(char::is_control));
    assert_eq!(query.area.hashes(), FileHashes { sha1: Some([3; 20]), tiger: None });
    assert_eq!((query.media(), query.has(flag::OUT_OF_BAND)), (Some(media::VIDEO), true));
    assert_eq!(again(&Message::Query(query.clone())), Message::Query(query.clone()));
    let long = query.with_key(&vec![7; 100].into());
    let fault = Message::Query(long).encode(Guid::ZERO, 4);
    assert!(matches!(fault, Err(Fault::TooLong { what: "query", .. })), "{fault:?}");
}

#[test]
fn vendor_messages_survive_their_bytes() {
    let pong = HeadPong {
        version: 1,
        holding: Some(Holding { is_whole: false, is_firewalled: true, is_downloading: true }),
        vendor: Some(VENDOR),
        queue: Some(Queue::Waiting(3)),
        ranges: vec![0..=999, 5000..=u32::MAX],
        alternates: vec![v4("1.2.3.4:5"), v4("6.7.8.9:65535")],
    };
    for message in [
        VendorMessage::Supported(OURS.to_vec()),
        VendorMessage::HopsFlow(3),
        VendorMessage::UdpConnectBack(6346),
        VendorMessage::QueryStatusRequest,
        VendorMessage::QueryStatus(STOP_QUERY),
        VendorMessage::OobIndication { version: 1, hits: 9, is_reachable: false },
        VendorMessage::OobIndication { version: 2, hits: 255, is_reachable: true },
        VendorMessage::OobClaim { hits: 255, token: Some(vec![0, 1, 0, 2].into()) },
        VendorMessage::HeadPong(HeadPong { version: 2, ..pong.clone() }),
        VendorMessage::HeadPong(HeadPong { queue: Some(Queue::Busy), ..pong.clone() }),
        VendorMessage::HeadPong(HeadPong { queue: Some(Queue::Free(128)), ..pong.clone() }),
        VendorMessage::HeadPong(HeadPong::not_found(1)),
        VendorMessage::HeadPong(pong),
        VendorMessage::Other { id: Id { vendor: *b"BEAR", number: 1, version: 1 }, payload: vec![1, 2].into() },
    ] {
        let message = Message::Vendor(message);
        assert_eq!(again(&message), message);
    }
}

#[test]
fn caches_of_both_versions_are_read_and_asked() {
    let answer =
        CacheAnswer::parse(b"I|pong|x\r\nH|1.2.3.4:6346|60\nU|http://c.example/g.php|9\nX|1.2.3.4:5\nH|1.2.3:4\n");
    assert_eq!(answer.hosts, [v4("1.2.3.4:6346")]);
    assert_eq!(answer.caches.iter().map(url::Url::as_str).collect::<Vec<_>>(), ["http://c.example/g.php"]);
    let old =
        CacheAnswer::parse(b"5.6.7.8:1\n9.9.9.9:65536\nhttp://d.example/\nftp://e/\nhttp://u@f.example/\nERROR\n");
    assert_eq!((old.hosts, old.caches.len()), (vec![v4("5.6.7.8:1")], 1));
    let many = CacheAnswer::parse("1.2.3.4:5\n".repeat(20_000).as_bytes());
    assert_eq!(many.hosts.len(), MAX_CACHE_LINES);
    let cache = "http://c.example/g.php?x=1#y".parse().unwrap();
    let url = cache_request(&cache, CacheVersion::Two);
    assert!(url.as_str().starts_with("http://c.example/g.php?get=1&net=gnutella&client=PSWM&version="), "{url}");
    assert!(cache_request(&cache, CacheVersion::One).as_str().starts_with("http://c.example/g.php?hostfile=1&client"));
}

#[test]
fn pongs_name_other_caches_packed_in_either_way() {
    let list = b"a.example:9999&ipv6=1\nB.example:1\nbad\nc.example:0\n:5\nd e:7\n";
    let pong = |ggep| Pong { ggep, ..Pong::of_leaf(v4("1.2.3.4:5"), 1, 2) };
    for ggep in [
        Ggep::new().with_deflated("PHC", list.to_vec()),
        Ggep::new().with("PHC", inflate::deflate(list)),
        Ggep::new().with("PHC", list.to_vec()),
    ] {
        let message = Message::Pong(pong(ggep));
        let Message::Pong(read) = again(&message) else { panic!() };
        assert_eq!(read.host_caches(), [("a.example".to_owned(), 9999), ("b.example".to_owned(), 1)]);
    }
    // A leaf is not taken for an ultrapeer by the length of its files.
    assert!(!Pong::of_leaf(v4("1.2.3.4:5"), 1, 4096).is_ultrapeer());
}

proptest! {
    #[test]
    fn extensions_survive_their_bytes(
        data in proptest::collection::vec((0usize..4, proptest::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 0..700)), 0..8),
    ) {
        const NAMES: [&str; 4] = ["A", "LF", "GTKGV", "fifteen-letters"];
        let ggep = data.iter().fold(Ggep::new(), |ggep, (name, data)| match data.len() % 3 {
            0 => ggep.with_deflated(NAMES[*name], data.clone()),
            _ => ggep.with(NAMES[*name], data.clone()),
        });
        for place in [Place::AmongTexts, Place::Free] {
            let mut bytes = Vec::new();
            ggep.encode(place, &mut bytes);
            prop_assert!(place == Place::Free || !bytes.contains(&0));
            if ggep.is_empty() {
                prop_assert!(bytes.is_empty());
                continue;
            }
            bytes.push(0x1c);
            let (again, rest) = Ggep::decode(&bytes.into(), &mut Budget::default()).unwrap();
            prop_assert_eq!(&again, &ggep);
            prop_assert_eq!(&rest[..], &[0x1c][..]);
        }
    }

    #[test]
    fn lengths_are_written_as_in_the_draft(length in 0usize..65536) {
        let mut bytes = Vec::new();
        Ggep::new().with("A", vec![1; length]).encode(Place::Free, &mut bytes);
        let head = bytes.len() - length - 3;
        prop_assert_eq!(head, match length { 0..64 => 1, 64..4096 => 2, _ => 3 });
    }
}

#[test]
fn lengths_at_their_bounds_are_those_of_the_draft() {
    for (length, wanted) in [(0, &[0x40][..]), (63, &[0x7f]), (64, &[0x81, 0x40]), (4095, &[0xbf, 0x7f])] {
        let mut bytes = Vec::new();
        Ggep::new().with("A", vec![1; length]).encode(Place::Free, &mut bytes);
        assert_eq!(&bytes[3..bytes.len() - length], wanted);
    }
}

#[test]
fn words_of_other_writings_are_those_of_servents() {
    for (text, expected) in [
        // Voiced sounds stay, composed or not.
        ("ガンダム か\u{3099}くせい", &["ガンダム", "がくせい"][..]),
        ("한국어 영화", &["한국어", "영화"]),
        ("東京タワー2024第1話", &["東京", "タワー", "2024", "第", "話"]),
        // Points and vowel signs vanish without a cut, spacing ones cut, and viramas stay.
        ("שָׁלוֹם", &["שלום"]),
        ("हिन्दुस्तान", &["न\u{94d}दस\u{94d}त"]),
        ("ΟΔΟΣ οδός", &["οδοσ", "οδοσ"]),
        ("СЪЕШЬ Йод a1б2", &["съешь", "иод", "a1"]),
        ("STRAẞE ﬁlm Ⅷ", &["strasse", "film", "viii"]),
    ] {
        assert_eq!(words(text), expected, "{text}");
    }
}

#[test]
fn the_slot_of_a_word_is_made_of_the_low_bytes_of_utf_16() {
    // Two letters, and a letter of two surrogates.
    for (word, bytes) in [("ою", [0x3e, 0x4e, 0, 0]), ("𠀼", [0x40, 0x3c, 0, 0])] {
        let expected = u32::from_le_bytes(bytes).wrapping_mul(0x4f1b_bcdc) >> 16;
        assert_eq!(hash(word, 16), expected as usize, "{word}");
    }
}
