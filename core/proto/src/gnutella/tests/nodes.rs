//! Messages of the DHT, and results that are hidden.

use super::recording::Recording;
use super::*;
use crate::gnutella::dht::{self, Body, DhtMessage, FileLocation, Node, Value};
use proptest::prelude::*;

fn messages(file: &'static str, text: &str) -> Vec<(bool, Bytes, DhtMessage)> {
    let decode = |bytes: &Bytes| DhtMessage::decode(&Frame::from_datagram(bytes).unwrap()).unwrap();
    let datagrams = Recording::parse(file, text).datagrams.into_iter();
    datagrams.map(|(theirs, bytes)| (theirs, bytes.clone(), decode(&bytes))).collect()
}

fn lookup() -> Vec<(bool, Bytes, DhtMessage)> {
    messages("15a", include_str!("../fixtures/15a-dht-lookup.txt"))
}

fn store() -> Vec<(bool, Bytes, DhtMessage)> {
    messages("15b", include_str!("../fixtures/15b-dht-store.txt"))
}

#[test]
fn every_recorded_message_of_the_dht_is_written_as_it_was() {
    let all: Vec<_> = lookup().into_iter().chain(store()).collect();
    assert_eq!(all.len(), 28);
    for (_, bytes, message) in all {
        assert_eq!(message.encode().unwrap(), bytes, "{message:?}");
        assert!(!matches!(message.body, Body::Other(..)));
    }
}

fn values(message: &DhtMessage) -> &[Value] {
    if let Body::Values { values, .. } = &message.body { values } else { &[] }
}

#[test]
fn a_lookup_finds_nodes_the_file_and_the_proxies_of_a_servent() {
    let theirs: Vec<DhtMessage> = lookup().into_iter().filter(|(theirs, ..)| *theirs).map(|(.., m)| m).collect();
    let us = v4("44.77.20.51:6346");
    assert_eq!(theirs[0].body, Body::Pong { our_address: us, network_size: 0x17 });
    assert_eq!(
        (theirs[0].node.vendor, theirs[0].node.address, theirs[0].is_passive),
        (*b"GTKG", v4("44.77.1.2:6346"), false)
    );
    let Body::Nodes { token, nodes } = &theirs[2].body else { panic!() };
    assert_eq!((&token[..], nodes.len()), (&[0x5c, 0x54, 0xfc, 0xe5][..], dht::MAX_NODES));
    assert_eq!(nodes[0].address, v4("44.77.133.2:6346"));
    let location = FileLocation::of(&values(&theirs[3])[0]).unwrap();
    assert_eq!((location.port, location.size), (6346, Some(3_000_001)));
    assert!(location.tiger.is_some() && !location.is_firewalled && !location.is_partial);
    let value = &values(&theirs[3])[0];
    assert_eq!(location.to_value(value.creator, value.key), *value);
    let found: Vec<_> = theirs.iter().flat_map(values).filter_map(dht::push_proxies).collect();
    let servent = Guid::from_hex("b7393102f14f52b35d8148cadea29b71").unwrap();
    let of_first = [v4("44.77.1.2:6346"), v4("44.77.7.2:6346")].map(|proxy| (servent, vec![proxy]));
    assert_eq!(found[..2], of_first);
    assert_eq!(found[2].1, [v4("44.77.8.2:6346")]);
    // We asked as a node that enters no table.
    assert!(lookup().iter().filter(|(theirs, ..)| !*theirs).all(|(.., message)| message.is_passive));
}

#[test]
fn a_value_is_stored_with_the_right_token() {
    let stored: Vec<_> = store()
        .into_iter()
        .filter_map(|(.., m)| if let Body::Stored(outcomes) = m.body { Some(outcomes[0].2) } else { None })
        .collect();
    assert_eq!(stored, [13, 1]);
}

#[test]
fn counts_and_lengths_of_the_dht_have_bounds() {
    let node = Node::ours([1; 20], v4("1.2.3.4:5"));
    let message = |body| DhtMessage { guid: Guid::ZERO, node, instance: 1, is_passive: true, body };
    let value = FileLocation {
        servent: Guid([3; 16]),
        port: 9,
        size: Some(1 << 40),
        tiger: None,
        is_firewalled: true,
        is_partial: false,
    }
    .to_value(node, [2; 20]);
    let bodies = [
        Body::Nodes { token: vec![0; 99].into(), nodes: vec![node; 100] },
        Body::Values { load: 1.5, values: vec![value.clone(); 100], creators: vec![[4; 20]; 300] },
        Body::Store { token: vec![1].into(), values: vec![Value { data: vec![0; 9999].into(), ..value }] },
        Body::Pong { our_address: v4("1.2.3.4:5"), network_size: u64::MAX },
    ];
    for body in bodies {
        let written = message(body.clone()).encode().unwrap();
        let read = DhtMessage::decode(&Frame::from_datagram(&written).unwrap()).unwrap();
        match read.body {
            Body::Nodes { nodes, .. } => assert_eq!(nodes.len(), dht::MAX_NODES),
            Body::Values { values, creators, .. } => assert_eq!((values.len(), creators.len()), (dht::MAX_VALUES, 255)),
            Body::Store { values, .. } => assert_eq!(values[0].data.len(), dht::MAX_VALUE_BYTES),
            other => assert_eq!(other, body),
        }
    }
    // Counts beyond the bounds, in messages of others.
    let head = message(Body::Ping).encode().unwrap();
    let with = |opcode: u8, rest: &[u8]| {
        let mut payload = head[HEADER_BYTES..].to_vec();
        payload[0] = opcode;
        payload.extend(rest);
        DhtMessage::decode(&frame(kind::DHT, &payload)).map(|message| message.body)
    };
    // Contact, key, type, version, and no data.
    let contact = &head[HEADER_BYTES + 1..HEADER_BYTES + 34];
    let value = [contact, &[0; 28]].concat();
    let nodes = |count: u8| with(6, &[&[0, count][..], &contact.repeat(count.into())].concat());
    let values = |count: u8| with(8, &[&[0, 0, 0, 0, count][..], &value.repeat(count.into()), &[0]].concat());
    let token = |length: u8| with(6, &[&[length][..], &vec![9; length.into()], &[0]].concat());
    assert!(nodes(20).is_ok() && values(32).is_ok() && token(32).is_ok());
    let fault = Err(Fault::Value("message of the DHT"));
    assert_eq!((nodes(21), values(33), token(33)), (fault.clone(), fault.clone(), fault));
    assert_eq!(with(6, &[0, 20]), Err(Fault::Short("message of the DHT")));
}

#[test]
fn results_without_a_sign_of_life_are_hidden() {
    let area = Area::of_urn(&crate::FileHashes { sha1: Some([1; 20]), tiger: None });
    let record = Record { index: 3, size: 700, name: "amber lantern orchard.mkv".into(), area };
    let hit = |record: &Record, vendor| QueryHit {
        address: v4("1.2.3.4:5"),
        speed: 1,
        records: vec![record.clone()],
        trailer: Some(Trailer::new(vendor, &[], Ggep::new())),
        servent: Guid::ZERO,
    };
    let mark = |record: &Record, vendor: &[u8; 4]| {
        spam_mark(&hit(record, *vendor), record, "amber lantern", Some(media::VIDEO))
    };
    let alternates = |count: usize| {
        let mut record = record.clone();
        record.area.ggep = Ggep::new().with("ALT", vec![9; 6 * count]);
        record
    };
    assert_eq!(mark(&record, b"GTKG"), None);
    for (name, found, wanted) in [
        ("no hash", mark(&Record { area: Area::default(), ..record.clone() }, b"GTKG"), SpamMark::NoHash),
        ("no bytes", mark(&Record { size: 0, ..record.clone() }, b"GTKG"), SpamMark::Empty),
        ("no index", mark(&Record { index: u32::MAX, ..record.clone() }, b"GTKG"), SpamMark::Index),
        ("17 alternates", mark(&alternates(17), b"GTKG"), SpamMark::Alternates),
        ("11 of LimeWire", mark(&alternates(11), b"LIME"), SpamMark::Alternates),
        ("vendor", mark(&record, b"A-BC"), SpamMark::Vendor),
        ("kind", mark(&Record { name: "amber lantern orchard.exe".into(), ..record.clone() }, b"GTKG"), SpamMark::Kind),
        ("echo", mark(&Record { name: "Amber Lantern.mkv".into(), ..record.clone() }, b"GTKG"), SpamMark::Echo),
    ] {
        assert_eq!(found, Some(wanted), "{name}");
    }
    assert_eq!(mark(&alternates(16), b"GTKG"), None);
    let mut twice = hit(&record, *b"GTKG");
    twice.records.push(Record { name: "another.mkv".into(), ..record.clone() });
    assert_eq!(spam_mark(&twice, &record, "amber", None), Some(SpamMark::Index));
    // A servent that has uploaded lives, whatever the name.
    let echo = Record { name: "amber lantern.mkv".into(), ..record };
    let mut alive = hit(&echo, *b"GTKG");
    alive.trailer = Some(Trailer::new(*b"GTKG", &[(ServentFlag::HasUploaded, true)], Ggep::new()));
    assert_eq!(spam_mark(&alive, &echo, "amber lantern", None), None);
}

proptest! {
    #[test]
    fn damaged_messages_of_the_dht_are_read_or_refused(
        which in any::<proptest::sample::Index>(),
        cut in any::<proptest::sample::Index>(),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let all = lookup();
        let (_, bytes, _) = which.get(&all);
        let mut payload = bytes[HEADER_BYTES..].to_vec();
        for (at, byte) in &changes {
            let at = at.index(payload.len());
            payload[at] = *byte;
        }
        for payload in [&payload[..], &payload[..cut.index(payload.len())]] {
            if let Ok(message) = DhtMessage::decode(&frame(kind::DHT, payload)) {
                let again = DhtMessage::decode(&Frame::from_datagram(&message.encode().unwrap()).unwrap());
                prop_assert_eq!(again, Ok(message));
            }
        }
    }
}
