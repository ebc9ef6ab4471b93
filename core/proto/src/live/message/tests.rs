use super::codec::{FIELD, LIST, LONG, SHORT};
use super::*;
use proptest::prelude::*;

fn target(node: u64, addr: &str) -> Target {
    Target { node: NodeId(node), addr: addr.parse().unwrap(), depth: 2, free: 9 }
}

fn minute(number: u32) -> SignedMinute {
    let info_hash = crate::InfoHash([9; 20]);
    let minute = crate::live::Minute { number, first: 5, end: 9, length: 77, info_hash, ..Default::default() };
    minute.sign(&crate::live::SourceKey::from_seed(&[1; 32]))
}

/// One message of each type, with every list filled.
fn examples() -> Vec<Message> {
    let at = Coordinate { x: -301, y: 42, height: 17, error: 250 };
    let targets = vec![target(5, "192.0.2.7:6881"), target(6, "[2001:db8::7]:443")];
    let caller = targets[1].addr;
    vec![
        Message::Hello(Hello { version: 1, node: NodeId(9), port: 6881, source: true, coordinate: at }),
        Message::Head { part: 1, parts: 3, bytes: Bytes::from_static(b"head") },
        Message::Join(Join {
            stripes: Stripes::first(9),
            from: From::Group(77),
            upload: 625_000,
            homes: Stripes::one(3),
            tries: 2,
            instead_of: Some(NodeId(4)),
            asked: vec![NodeId(1), NodeId(2)],
            ancestors: vec![NodeId(3)],
            route: vec![10, 20],
        }),
        Message::Accept(Accept {
            stripe: 8,
            path: vec![NodeId(1), NodeId(2)],
            homes: Stripes::one(1),
            adopts: Some(NodeId(3)),
        }),
        Message::Redirect(Redirect {
            stripes: Stripes(5),
            why: Why::Spread,
            all: true,
            keep: true,
            retry_s: 3,
            homes: Stripes(2),
            instead_of: Some(NodeId(8)),
            targets: targets.clone(),
        }),
        Message::Leave(Stripes::ALL),
        Message::Beat(Beat {
            sequence: 7,
            echo: 6,
            held_ms: 20,
            coordinate: at,
            newest: 1_000_000,
            spare: vec![1, 2, 65_535],
            offers: Stripes(1),
            up: vec![Up { stripe: 1, subtree: 12, spare: 3, places: 11, best: Some(targets[0]), step: None }],
            down: vec![Down { stripe: 2, path: vec![NodeId(1)], kin: targets }],
        }),
        Message::Want(vec![Wanted { group: 5, packets: Stripes(0b101) }]),
        Message::NeedHead,
        Message::Call(Call { node: NodeId(7), caller: None }),
        Message::Call(Call { node: NodeId(7), caller: Some(caller) }),
        Message::Minutes(vec![minute(3), minute(4)]),
        Message::Title(crate::live::Title::new(7, 1, "Ä - B").sign(&crate::live::SourceKey::from_seed(&[1; 32]))),
    ]
}

#[test]
fn what_is_written_is_read() {
    for message in examples() {
        assert_eq!(Message::decode(message.encode().into()), Ok(Some(message)));
    }
}

#[test]
fn what_a_later_version_adds_is_skipped() {
    for message in examples() {
        if matches!(message, Message::Head { .. }) {
            continue; // The rest of it is the part.
        }
        let mut bytes = message.encode();
        bytes.extend(b"more");
        assert_eq!(Message::decode(bytes.into()), Ok(Some(message)));
    }
    assert_eq!(Message::decode(Bytes::from_static(&[200, 1, 2])), Ok(None));
}

#[test]
fn each_kind_of_nonsense_is_refused() {
    let refused = |bytes: &[u8]| Message::decode(Bytes::copy_from_slice(bytes)).unwrap_err();
    assert_eq!(refused(&[]), SHORT);
    for message in examples() {
        let bytes = message.encode();
        if bytes.len() > 1 && !matches!(message, Message::Head { .. }) {
            assert_eq!(refused(&bytes[..bytes.len() - 1]), SHORT, "{message:?}");
        }
    }
    assert_eq!(refused(&[2, 3, 3, 1]), FIELD, "part 3 of 3");
    assert_eq!(refused(&[2, 0, 1]), FIELD, "an empty part");
    assert_eq!(refused(&[4, 18, 0, 0, 0, 0, 0, 0]), FIELD, "stripe 18");
    assert_eq!(refused(&[9, 33]), LIST, "33 groups");
    assert_eq!(refused(&[5, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 5]), LIST, "five targets");
    let long = vec![2; MAX_LIVE_BYTES + 1];
    assert_eq!(refused(&long), LONG);
}

#[test]
fn sets_of_stripes_have_the_bits_of_their_stripes() {
    assert_eq!(Stripes::first(0), Stripes::NONE);
    assert_eq!(Stripes::first(9).iter().collect::<Vec<_>>(), (0..9).collect::<Vec<_>>());
    assert_eq!(Stripes::one(40), Stripes::NONE);
    assert_eq!([3u8, 5].into_iter().collect::<Stripes>().0, 0b10_1000);
    assert_eq!(Stripes::ALL.len(), MAX_PACKETS);
    assert!(!Stripes::ALL.has(18));
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(Some(message)) = Message::decode(Bytes::from(bytes)) {
            prop_assert_eq!(Message::decode(message.encode().into()), Ok(Some(message)));
        }
    }
}
