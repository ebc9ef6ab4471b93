//! Damaged and hostile bytes: no panic, and no memory beyond the bounds.

use super::recording::all;
use super::*;
use crate::gnutella::inflate::{deflate, inflate};
use proptest::prelude::*;

/// Length of what the bombs become, bytes.
const BOMB_BYTES: usize = 1 << 20;

fn bomb() -> Vec<u8> {
    let bomb = deflate(&vec![0; BOMB_BYTES]);
    assert!(bomb.len() < 2000, "{}", bomb.len());
    bomb
}

#[test]
fn a_compressed_field_is_inflated_to_its_bound() {
    assert_eq!(inflate(&bomb(), 1000), Err(Fault::Bomb(1000)));
    assert_eq!(inflate(&bomb(), BOMB_BYTES).map(|plain| plain.len()), Ok(BOMB_BYTES));
    assert_eq!(inflate(&bomb(), BOMB_BYTES - 1), Err(Fault::Bomb(BOMB_BYTES - 1)));
    assert_eq!(inflate(&bomb()[..500], BOMB_BYTES), Err(Fault::Compression));
    assert_eq!(inflate(b"no zlib", 1000), Err(Fault::Compression));
    assert_eq!(inflate(b"", 1000), Err(Fault::Compression));
}

/// Returns a block of one extension with these flags.
fn block(flags: u8, data: &[u8]) -> Vec<u8> {
    let length = data.len();
    let mut bytes = vec![0xc3, flags | 1, b'H'];
    bytes.extend([0x80 | (length >> 12) as u8, 0x80 | (length >> 6 & 0x3f) as u8, 0x40 | (length & 0x3f) as u8]);
    bytes.extend(data);
    bytes
}

fn ggep(bytes: &[u8]) -> Result<Ggep, Fault> {
    Ggep::decode(&Bytes::copy_from_slice(bytes), &mut Budget::default()).map(|(ggep, _)| ggep)
}

#[test]
fn extensions_that_are_bombs_are_refused_and_the_message_is_read() {
    assert_eq!(ggep(&block(0xa0, &bomb())), Err(Fault::Bomb(MAX_DATA_BYTES)));
    let exact = deflate(&vec![0; MAX_DATA_BYTES]);
    assert_eq!(ggep(&block(0xa0, &exact)).unwrap().get("H").unwrap().len(), MAX_DATA_BYTES);
    // Two of 64 KiB are a message's bound, and a third is too much.
    let mut budget = Budget::default();
    let read = |budget: &mut Budget| Ggep::decode(&block(0xa0, &exact).into(), budget);
    assert!(read(&mut budget).is_ok() && read(&mut budget).is_ok());
    assert_eq!(read(&mut budget).map(|_| ()), Err(Fault::Bomb(0)));
    // In a pong, a hit and a query.
    let mut pong = vec![0; 14];
    pong.extend(block(0xa0, &bomb()));
    let Ok(Message::Pong(pong)) = decode(kind::PONG, &pong) else { panic!() };
    assert!(pong.ggep.is_empty());
    for (plain_bytes, is_read) in [(MAX_DATA_BYTES, true), (100 << 10, false)] {
        let block = block(0xa0, &deflate(&vec![0; plain_bytes]));
        assert!(block.len() < 200);
        let query = [&b"\x80\0word\0urn:x\x1c"[..], &block].concat();
        let Ok(Message::Query(query)) = decode(kind::QUERY, &query) else { panic!() };
        assert_eq!((query.area.ggep.has("H"), query.area.texts().count()), (is_read, 1));
        let hit = [&[0; 11][..], b"TEST\x02\0\0", &block, &[9; 16]].concat();
        let Ok(Message::QueryHit(hit)) = decode(kind::QUERY_HIT, &hit) else { panic!() };
        assert_eq!((hit.trailer.unwrap().ggep.has("H"), hit.servent), (is_read, Guid([9; 16])));
    }
}

#[test]
fn malformed_extensions_are_refused() {
    for (name, bytes) in [
        ("nothing", &[][..]),
        ("another magic", &[0xc2, 0x81, b'H', 0x40]),
        ("reserved flag", &[0xc3, 0x91, b'H', 0x40]),
        ("no name", &[0xc3, 0x80, 0x40]),
        ("NUL in the name", &[0xc3, 0x82, b'H', 0, 0x40]),
        ("no length", &[0xc3, 0x81, b'H']),
        ("length of four bytes", &[0xc3, 0x81, b'H', 0x80, 0x80, 0x80, 0x40]),
        ("length without marks", &[0xc3, 0x81, b'H', 0x01, 1]),
        ("length with both marks", &[0xc3, 0x81, b'H', 0xc1, 1]),
        ("data cut", &[0xc3, 0x81, b'H', 0x42, 1]),
        ("no last", &[0xc3, 0x01, b'H', 0x40]),
        ("COBS of length 0", &[0xc3, 0xc1, b'H', 0x41, 0]),
        ("COBS with NUL", &[0xc3, 0xc1, b'H', 0x42, 2, 0]),
        ("COBS cut", &[0xc3, 0xc1, b'H', 0x42, 5, 1]),
    ] {
        assert_eq!(ggep(bytes), Err(Fault::Ggep), "{name}");
    }
    let many = |count: usize| {
        let mut bytes = vec![0xc3];
        (1..count).for_each(|_| bytes.extend([0x01, b'H', 0x40]));
        bytes.extend([0x81, b'H', 0x40]);
        bytes
    };
    assert!(ggep(&many(MAX_EXTENSIONS)).is_ok());
    assert_eq!(ggep(&many(MAX_EXTENSIONS + 1)), Err(Fault::Ggep));
}

#[test]
fn a_compressed_connection_is_inflated_as_far_as_the_next_message() {
    // A thousand pings of zeros: one message each time, and memory for one step.
    let plain = vec![0; 1000 * HEADER_BYTES + (8 << 20)];
    let stream = deflate(&plain);
    assert!(stream.len() < 20_000, "{}", stream.len());
    let mut reader = Reader::new(true);
    reader.feed(&stream);
    for taken in 1..1000 {
        assert!(reader.next_frame().unwrap().is_some());
        let inflated = reader.plain_bytes() as usize;
        assert!(inflated <= taken * HEADER_BYTES + INFLATE_STEP_BYTES, "{inflated} after {taken}");
    }
}

#[test]
fn a_broken_connection_is_an_error_and_a_cut_one_waits() {
    let mut reader = Reader::new(true);
    reader.feed(b"GNUTELLA is not zlib");
    assert_eq!(reader.next_frame(), Err(Fault::Compression));
    let mut reader = Reader::new(true);
    let stream = deflate(&[0; HEADER_BYTES]);
    reader.feed(&stream);
    assert!(reader.next_frame().unwrap().is_some());
    assert_eq!(reader.next_frame(), Ok(None));
    reader.feed(b"after the end");
    assert_eq!(reader.next_frame(), Err(Fault::Compression));
    let mut reader = Reader::new(false);
    reader.feed(&[0; HEADER_BYTES - 1]);
    assert_eq!(reader.next_frame(), Ok(None));
}

#[test]
fn messages_at_their_bounds_are_read_and_longer_ones_are_not() {
    for (kind, most) in [(kind::QUERY, MAX_QUERY_BYTES), (kind::QUERY_HIT, MAX_HIT_BYTES), (0x99, MAX_OTHER_BYTES)] {
        let header = |length: u32| [&[0; 16][..], &[kind, 1, 0], &length.to_le_bytes()].concat();
        let mut reader = Reader::new(false);
        reader.feed(&header(most));
        reader.feed(&vec![0; most as usize]);
        assert_eq!(reader.next_frame().unwrap().unwrap().payload.len(), most as usize);
        reader.feed(&header(most + 1));
        assert_eq!(reader.next_frame(), Err(Fault::LongMessage { kind, bytes: most + 1, most }));
        let long = Message::Other { kind, payload: vec![0; most as usize + 1].into() };
        assert!(matches!(long.encode(Guid::ZERO, 1), Err(Fault::TooLong { what: "message", .. })));
    }
    for datagram in [&[0; HEADER_BYTES - 1][..], &[0; HEADER_BYTES + 1]] {
        assert!(Frame::from_datagram(&Bytes::copy_from_slice(datagram)).is_err());
    }
}

#[test]
fn counts_beyond_the_message_are_refused() {
    let hit = [&[255, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0][..], &[0; 100]].concat();
    assert_eq!(decode(kind::QUERY_HIT, &hit), Err(Fault::Short("query hit")));
    for number in [0u8, 10] {
        let supported = [&[0; 4][..], &[number, 0, 0, 0], &[0xff, 0xff], &[0; 100]].concat();
        assert_eq!(decode(kind::VENDOR, &supported), Err(Fault::Short("vendor message")));
    }
    let records = (0..256).map(|index| Record { index, size: 1, name: "a".into(), area: Area::default() }).collect();
    let hit = QueryHit { address: v4("1.2.3.4:5"), speed: 1, records, trailer: None, servent: Guid::ZERO };
    assert!(matches!(Message::QueryHit(hit).encode(Guid::ZERO, 1), Err(Fault::TooLong { .. })));
}

#[test]
fn lists_are_cut_at_their_bounds() {
    let addresses = vec![9; 6 * 1000];
    let mut pong = Pong::of_leaf(v4("1.2.3.4:5"), 0, 0);
    pong.ggep = Ggep::new().with("IPP", addresses.clone()).with("DHTIPP", addresses.clone());
    assert_eq!((pong.others().len(), pong.dht_nodes().len()), (MAX_PONG_ADDRESSES, MAX_PONG_ADDRESSES));
    let trailer = Trailer::new(VENDOR, &[], Ggep::new().with("PUSH", addresses.clone()));
    assert_eq!(trailer.push_proxies().len(), MAX_PUSH_PROXIES);
    let mut record = Record { index: 1, size: 1, name: "a".into(), area: Area::default() };
    record.area.ggep = Ggep::new().with("ALT", addresses);
    assert_eq!((record.alternates().len(), record.claimed_alternates()), (MAX_ALTERNATES, 1000));
}

proptest! {
    #[test]
    fn damaged_messages_are_read_or_refused_and_survive_their_bytes(
        which in any::<proptest::sample::Index>(),
        cut in any::<proptest::sample::Index>(),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4),
    ) {
        use std::sync::LazyLock;
        static FRAMES: LazyLock<Vec<Frame>> = LazyLock::new(|| all().iter().flat_map(|r| [true, false].map(|theirs| r.frames(theirs, usize::MAX))).flatten().collect());
        let frame = which.get(&FRAMES[..]).clone();
        let mut payload = frame.payload.to_vec();
        for (at, byte) in &changes {
            if !payload.is_empty() {
                let at = at.index(payload.len());
                payload[at] = *byte;
            }
        }
        payload.truncate(cut.index(payload.len() + 1).max(payload.len() / 2));
        for payload in [payload, frame.payload[..cut.index(frame.payload.len() + 1)].to_vec()] {
            if let Ok(message) = decode(frame.header.kind, &payload) {
                prop_assert_eq!(again(&message), message);
            }
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300), kind in any::<u8>()) {
        for kind in [kind, kind::PING, kind::PONG, kind::BYE, kind::ROUTE, kind::VENDOR, kind::PUSH, kind::QUERY, kind::QUERY_HIT] {
            if let Ok(message) = decode(kind, &bytes) {
                prop_assert_eq!(again(&message), message);
            }
        }
        for is_deflated in [false, true] {
            let mut reader = Reader::new(is_deflated);
            reader.feed(&bytes);
            while let Ok(Some(_)) = reader.next_frame() {}
        }
        let _ = CacheAnswer::parse(&bytes);
    }
}
