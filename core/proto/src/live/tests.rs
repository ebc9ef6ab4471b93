use super::*;
use bytes::Bytes;
use proptest::prelude::*;

/// The example of docs/LIVE.md.
const SEED: [u8; 32] = [1; 32];
const PAGE: &str = include_str!("../../../../docs/LIVE.md");

fn key() -> SourceKey {
    SourceKey::from_seed(&SEED)
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

fn shape(data: u8, parity: u8) -> Shape {
    let code = if parity == 0 { CodeId::None } else { CodeId::ReedSolomon };
    Shape::new(data, parity, code).unwrap()
}

fn head() -> Head {
    Head {
        key: key().channel(),
        cast: 0x0123_4567_89ab_cdef,
        revision: 0,
        started_ms: 1_800_000_000_000,
        shape: Shape::new(4, 1, CodeId::Xor).unwrap(),
        group_ms: 250,
        packet_bytes: 4096,
        bytes_per_s: 22_477,
        margin_ms: 1000,
        name: "Example".into(),
        content_type: "audio/mpeg".into(),
        init: Bytes::new(),
    }
}

fn beacon() -> Beacon {
    let at = ["192.0.2.7:6881", "[2001:db8::7]:6881"].map(|addr| addr.parse().unwrap()).to_vec();
    Beacon { cast: head().cast, started_ms: head().started_ms, on_air: true, at }
}

fn minute() -> Minute {
    Minute {
        cast: head().cast,
        number: 2,
        revision: 0,
        first: 7,
        end: 247,
        born_ms: 1_800_000_001_750,
        duration_ms: 60_000,
        length: 1_348_620,
        info_hash: crate::InfoHash(std::array::from_fn(|n| n as u8)),
    }
}

fn title() -> Title {
    Title::new(head().cast, 3, "Artist - Title")
}

/// A group of these packets, each signed.
fn packets(shape: Shape, group: Group, data: &[Bytes]) -> Vec<Packet> {
    assert_eq!(data.len(), shape.packets());
    let tree = Tree::new(data);
    let signed = SignedGroup::new(&key(), group, tree.root());
    let packet = |index: usize| Packet {
        group,
        signature: signed.signature,
        index: index as u8,
        proof: tree.proof(index).unwrap(),
        data: data[index].clone(),
    };
    (0..data.len()).map(packet).collect()
}

fn group(length: u32) -> Group {
    Group { cast: head().cast, revision: 0, number: 7, born_ms: 1_800_000_001_750, length, flags: flags::RESTART }
}

/// The example's packets: "playswarm live" in fours, and their exclusive or.
fn example() -> Vec<Packet> {
    let data = [&b"play"[..], b"swar", b"m li", b"ve", b"\x18\x5e\x6c\x62"].map(Bytes::from_static);
    packets(head().shape, group(14), &data)
}

#[test]
fn the_vectors_of_the_document_are_computed() {
    let example = example();
    let signed = example[0].verify(&key().channel(), head().shape, None).unwrap();
    let head = SignedHead::new(&key(), &head()).unwrap();
    let mut link = ChannelLink::new(key().channel());
    link.at = vec!["192.0.2.7:6881".parse().unwrap(), "[2001:db8::7]:6881".parse().unwrap()];
    link.name = Some("Evening show".into());
    let call = message::Call { node: NodeId(7), caller: Some("192.0.2.7:6881".parse().unwrap()) };
    let item = beacon().sign(&key(), 1_800_000_001_750);
    for (what, written) in [
        ("public key", hex(&key().channel().0)),
        ("key", key().channel().to_string()),
        ("id", key().channel().id().to_string()),
        ("link", link.to_string()),
        ("magnet", link.to_magnet()),
        ("head", String::from_utf8_lossy(&head.bytes()[64..94]).into_owned()),
        ("head's signature", hex(&head.bytes()[..64])),
        ("root", hex(&signed.root)),
        ("group's signature", hex(&signed.signature)),
        ("proof", example[3].proof.siblings().iter().map(|h| hex(h)).collect::<Vec<_>>().join(" ")),
        ("packet", hex(&example[3].encode())),
        ("call", hex(&Message::Call(call).encode())),
        ("minute", hex(&Message::Minutes(vec![minute().sign(&key())]).encode())),
        ("title", hex(&Message::Title(title().sign(&key())).encode())),
        ("beacon", hex(&item.value)),
        ("beacon's signature", hex(&item.signature)),
    ] {
        let bare: String = PAGE.split_whitespace().collect();
        let without_spaces: String = written.split_whitespace().collect();
        assert!(bare.contains(&without_spaces), "docs/LIVE.md lacks the {what}: {written}");
    }
}

#[test]
fn a_key_is_read_as_it_is_written_and_nothing_else_is() {
    let text = key().channel().to_string();
    assert_eq!(text.len(), 52);
    assert_eq!(text.parse(), Ok(key().channel()));
    assert_eq!(text.to_lowercase().parse(), Ok(key().channel()));
    let other_spelling = format!("{}B", &text[..51]);
    for bad in ["", "A", &text[1..], &format!("{text}A"), &text.replace('A', "1"), &other_spelling] {
        assert!(bad.parse::<ChannelKey>().is_err(), "{bad}");
    }
}

#[test]
fn the_debug_text_of_a_secret_key_does_not_reveal_it() {
    assert_eq!(format!("{:?}", key()), format!("SourceKey of {}", key().channel()));
}

#[test]
fn signatures_are_those_of_rfc_8032() {
    // Section 7.1, test 2.
    let bytes = |text: &str| data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap();
    let seed = bytes("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
    let key = SourceKey::from_seed(&seed.try_into().unwrap());
    assert_eq!(hex(&key.channel().0), "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
    let signature = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                     085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
    assert_eq!(hex(&key.sign(&[0x72])), signature);
}

#[test]
fn links_are_read_in_both_forms_and_in_odd_spellings() {
    let key = key().channel();
    let (lower, whole) = (key.to_string().to_lowercase(), format!("playswarm:{key}?at=192.0.2.7:6881&name=A+b"));
    for text in [
        whole.clone(),
        format!("  PlaySwarm://{lower}/?at=192.0.2.7:6881&at=192.0.2.7%3A6881&at=nowhere&name=A%20b&later=1\n"),
        format!("magnet:?xt=urn:psl:{key}&x.pe=192.0.2.7:6881&dn=A+b"),
        format!("magnet:?dn=A+b&xt=urn:btih:x&XT=URN:PSL:{lower}&x.pe=192.0.2.7:6881"),
    ] {
        let link = parse(&text).expect(&text).expect(&text);
        assert_eq!(link.to_string(), whole.replace("192.0.2.7:6881", "192.0.2.7%3A6881"), "{text}");
    }
    for other in ["", "playswarm", "http://playswarm:1/", "magnet:?xt=urn:btih:0123", "film.torrent"] {
        assert_eq!(parse(other), None, "{other}");
    }
    let long = format!("playswarm:{key}?name={}", "x".repeat(MAX_LINK_BYTES));
    for bad in ["playswarm:", "playswarm:ABC", "magnet:?xt=urn:psl:ABC", &long] {
        assert!(matches!(parse(bad), Some(Err(_))), "{bad}");
    }
}

#[test]
fn a_link_keeps_a_bounded_number_of_addresses() {
    let mut text = format!("playswarm:{}?", key().channel());
    (1..=200).for_each(|n| text.push_str(&format!("at=192.0.2.7:{n}&")));
    assert_eq!(parse(&text).unwrap().unwrap().at.len(), 50);
}

#[test]
fn a_head_is_read_as_it_is_written_and_by_its_channel_alone() {
    let signed = SignedHead::new(&key(), &head()).unwrap();
    assert_eq!(SignedHead::verify(signed.bytes().clone(), &key().channel()).unwrap().head(), &head());
    let other = SourceKey::from_seed(&[2; 32]);
    assert_eq!(SignedHead::verify(signed.bytes().clone(), &other.channel()), Err(BadHead::Forged));
    // A head that names one channel and is signed by another is none of either.
    assert_eq!(SignedHead::new(&other, &head()), Err(BadHead::Forged));
    let named = SignedHead::new(&other, &Head { key: other.channel(), ..head() }).unwrap();
    let signature = key().sign(&[&b"playswarm live head 1"[..], &named.bytes()[64..]].concat());
    let bytes: Bytes = [&signature[..], &named.bytes()[64..]].concat().into();
    assert_eq!(SignedHead::verify(bytes, &key().channel()), Err(BadHead::Forged));
    for at in [0, 63, 64, 70, signed.bytes().len() - 1] {
        let mut changed = signed.bytes().to_vec();
        changed[at] ^= 1;
        assert!(SignedHead::verify(changed.into(), &key().channel()).is_err(), "byte {at}");
    }
    for length in 0..signed.bytes().len() {
        assert!(SignedHead::verify(signed.bytes().slice(..length), &key().channel()).is_err(), "{length} bytes");
    }
    assert_eq!(SignedHead::verify(vec![0; MAX_HEAD_BYTES + 1].into(), &key().channel()), Err(BadHead::TooLong));
}

#[test]
fn fields_of_later_versions_are_skipped_and_passed_on() {
    let known = SignedHead::new(&key(), &head()).unwrap();
    let mut fields = known.bytes()[64..].to_vec();
    fields.truncate(fields.len() - 1);
    fields.extend_from_slice(b"4:zealli1ei2eee");
    let signature = key().sign(&[&b"playswarm live head 1"[..], &fields].concat());
    let bytes: Bytes = [&signature[..], &fields].concat().into();
    let later = SignedHead::verify(bytes.clone(), &key().channel()).unwrap();
    assert_eq!((later.head(), later.bytes()), (&head(), &bytes));
}

#[test]
fn a_head_with_a_field_out_of_range_is_not_signed() {
    let cases: [fn(&mut Head); 7] = [
        |head| head.group_ms = 0,
        |head| head.group_ms = 10_001,
        |head| head.packet_bytes = 0,
        |head| head.packet_bytes = MAX_DATA_BYTES as u32 + 1,
        |head| head.margin_ms = 600_001,
        |head| head.name = "x".repeat(MAX_TEXT_BYTES + 1),
        |head| head.init = vec![0; MAX_INIT_BYTES + 1].into(),
    ];
    for (n, change) in cases.iter().enumerate() {
        let mut head = head();
        change(&mut head);
        assert_eq!(SignedHead::new(&key(), &head), Err(BadHead::BadField), "case {n}");
    }
}

#[test]
fn a_beacon_is_read_as_it_is_written_with_a_bounded_number_of_addresses() {
    let value = beacon().encode();
    assert_eq!(Beacon::decode(&value), Some(beacon()));
    let mut many = beacon();
    many.at = (1..=200u8).map(|n| ([192, 0, 2, n], 6881).into()).collect();
    let read = Beacon::decode(&many.encode()).unwrap();
    assert_eq!(read.at, many.at[..MAX_BEACON_ADDRESSES]);
    many.at = (1..=200u16).map(|n| ([0x2001, 0xdb8, 0, 0, 0, 0, 0, n], 6881).into()).collect();
    assert!(many.encode().len() <= 240, "{}", many.encode().len());
    // Fields of later versions are skipped, within the bound on all.
    let later = |bytes: usize| [format!("d1:a{bytes}:").as_bytes(), &vec![0; bytes], &value[1..]].concat();
    assert_eq!(Beacon::decode(&later(500)), Some(beacon()));
    assert_eq!(Beacon::decode(&later(1000)), None);
    for field in ["cast8:", "on_airi1e", "started_msi1800000000000e"] {
        let at = value.windows(field.len()).position(|window| window == field.as_bytes()).unwrap();
        let mut lacks = value.clone();
        lacks[at] ^= 1;
        assert_eq!(Beacon::decode(&lacks), None, "without {field}");
    }
}

#[test]
fn only_shapes_that_the_codes_can_make_exist() {
    for (data, parity, code, possible) in [
        (1, 0, CodeId::None, true),
        (8, 1, CodeId::Xor, true),
        (16, 2, CodeId::ReedSolomon, true),
        (8, 1, CodeId::None, false),
        (8, 2, CodeId::Xor, false),
        (8, 0, CodeId::Xor, false),
        (8, 0, CodeId::ReedSolomon, false),
        (8, 3, CodeId::ReedSolomon, false),
        (7, 1, CodeId::ReedSolomon, false),
        (0, 0, CodeId::None, false),
        (32, 0, CodeId::None, false),
    ] {
        assert_eq!(Shape::new(data, parity, code).is_some(), possible, "{data}+{parity} {code:?}");
    }
}

#[test]
fn data_packets_are_consecutive_parts_of_the_group() {
    for data in [1, 2, 4, 8, 16] {
        let shape = shape(data, 1);
        for length in (0..200).chain([4095, 4096, 4097, shape.max_group_bytes()]) {
            let mut at = 0;
            for index in 0..shape.data() {
                let range = shape.range(length, index);
                assert_eq!((range.start, range.len()), (at, shape.packet_bytes(length, index)));
                at = range.end;
            }
            assert_eq!(at, length);
            assert!(shape.shard_bytes(length) <= MAX_DATA_BYTES && shape.shard_bytes(length).is_multiple_of(2));
        }
    }
}

#[test]
fn a_signature_is_checked_once_for_a_group_and_a_changed_one_is_never_taken() {
    let (key, shape, packets) = (key().channel(), head().shape, example());
    let known = packets[0].verify(&key, shape, None).unwrap();
    for packet in &packets {
        assert_eq!(packet.verify(&key, shape, Some(&known)), Ok(known));
    }
    // Even of a known group: it would be passed on to nodes that have to check it.
    let mut packet = packets[1].clone();
    packet.signature[5] ^= 1;
    assert_eq!(packet.verify(&key, shape, Some(&known)), Err(BadPacket::Forged));
}

#[test]
fn a_packet_of_another_group_place_or_shape_is_refused() {
    let (key, packets) = (key().channel(), example());
    let swapped = |index: u8, from: usize| Packet { index, ..packets[from].clone() };
    assert_eq!(swapped(0, 1).verify(&key, head().shape, None), Err(BadPacket::Forged));
    for (packet, shape) in [
        (swapped(5, 4), head().shape),
        (swapped(255, 4), head().shape),
        (packets[0].clone(), shape(8, 1)),
        (packets[0].clone(), shape(1, 0)),
        (Packet { data: packets[0].data.slice(..3), ..packets[0].clone() }, head().shape),
        (Packet { group: group(u32::MAX), ..packets[0].clone() }, head().shape),
    ] {
        assert_eq!(packet.verify(&key, shape, None), Err(BadPacket::BadShape), "{packet:?}");
    }
}

proptest! {
    #[test]
    fn each_packet_is_verified_and_none_with_a_changed_byte(
        (data, parity) in (prop::sample::select(vec![1u8, 2, 4, 8, 16]), 0u8..3),
        length in 0usize..500,
        at in any::<prop::sample::Index>(),
        change in 1u8..,
    ) {
        let (shape, key) = (shape(data, parity), key().channel());
        let bytes = |index: usize| Bytes::from(vec![index as u8; shape.packet_bytes(length, index)]);
        let data: Vec<Bytes> = (0..shape.packets()).map(bytes).collect();
        for packet in packets(shape, group(length as u32), &data) {
            let bytes = packet.encode();
            prop_assert!(bytes.len() <= MAX_MESSAGE_BYTES);
            let read = Packet::decode(bytes.clone().into()).unwrap();
            prop_assert_eq!(&read, &packet);
            let known = read.verify(&key, shape, None).unwrap();
            let mut changed = bytes.clone();
            changed[at.index(bytes.len())] ^= change;
            let changed = Packet::decode(changed.into());
            for known in [None, Some(&known)] {
                prop_assert!(changed.clone().and_then(|packet| packet.verify(&key, shape, known)).is_err());
            }
            let cut = Packet::decode(Bytes::from(bytes).slice(..at.index(packet.encode().len())));
            prop_assert!(cut.and_then(|packet| packet.verify(&key, shape, Some(&known))).is_err());
        }
    }

    #[test]
    fn the_fuzz_target_holds_for_samples_with_changes(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let signed = SignedHead::new(&key(), &head()).unwrap();
        let link = ChannelLink::new(key().channel()).to_string().into_bytes();
        for sample in [link, signed.bytes()[64..].to_vec(), example()[2].encode(), beacon().encode()] {
            let mut bytes = sample;
            for (at, byte) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            crate::fuzzing::live(&bytes);
        }
    }
}

#[test]
fn a_minute_is_read_if_it_is_possible_and_its_signature_covers_every_field() {
    let signed = minute().sign(&key());
    let read = |bytes: Vec<u8>| Message::decode(bytes.into());
    let bytes = Message::Minutes(vec![signed]).encode();
    assert_eq!(read(bytes.clone()), Ok(Some(Message::Minutes(vec![signed]))));
    assert!(signed.is_signed_by(&key().channel()));
    assert!(!signed.is_signed_by(&SourceKey::from_seed(&[2; 32]).channel()));
    for at in 2..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        if let Ok(Some(Message::Minutes(minutes))) = read(changed) {
            assert!(!minutes[0].is_signed_by(&key().channel()), "byte {at}");
        }
    }
    assert!(read(bytes[..bytes.len() - 1].to_vec()).is_err());
    for bad in [
        Minute { end: 7, ..minute() },
        Minute { length: 0, ..minute() },
        Minute { length: MAX_MINUTE_BYTES + 1, ..minute() },
    ] {
        assert!(read(Message::Minutes(vec![bad.sign(&key())]).encode()).is_err(), "{bad:?}");
    }
    let most = vec![signed; MAX_MINUTES];
    assert!(read(Message::Minutes(most.clone()).encode()).is_ok());
    assert!(read(Message::Minutes([most, vec![signed]].concat()).encode()).is_err());
}

#[test]
fn a_title_is_text_and_its_signature_covers_every_field() {
    let signed = title().sign(&key());
    let read = |bytes: Vec<u8>| Message::decode(bytes.into());
    let bytes = Message::Title(signed.clone()).encode();
    assert!(signed.is_signed_by(&key().channel()) && !signed.is_signed_by(&SourceKey::from_seed(&[2; 32]).channel()));
    for at in 1..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        if let Ok(Some(Message::Title(signed))) = read(changed) {
            assert!(!signed.is_signed_by(&key().channel()), "byte {at}");
        }
    }
    let mut no_text = bytes.clone();
    no_text[14] = 0xff;
    assert!(read(no_text).is_err());
    // Cut between characters.
    assert_eq!(Title::new(1, 1, &"ä".repeat(200)).text.len(), 254);
    let empty = Title::new(1, 1, "").sign(&key());
    assert_eq!(read(Message::Title(empty.clone()).encode()), Ok(Some(Message::Title(empty))));
}
