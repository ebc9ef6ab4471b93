use super::*;
use proptest::prelude::*;
use reed_solomon_novelpoly::{CodeParams, WrappedShard};

/// All sets of `count` out of `of` packets.
fn sets(of: usize, count: usize) -> Vec<u32> {
    (0..1u32 << of).filter(|set| set.count_ones() as usize == count).collect()
}

fn only(packets: &[Bytes], set: u32) -> Vec<Option<Bytes>> {
    packets.iter().enumerate().map(|(n, packet)| (set & 1 << n != 0).then(|| packet.clone())).collect()
}

#[test]
fn any_k_packets_give_the_bytes_and_fewer_give_nothing() {
    for shape in shapes() {
        let mut code = Code::new(shape);
        for length in [0, 1, 2, 3, 31, 32, 33, 500] {
            let payload = noise(length, length as u64);
            let packets = code.packets(&payload);
            for set in sets(shape.packets(), shape.data()) {
                assert_eq!(code.restore(length, &only(&packets, set)), Some(payload.clone()), "{shape:?} {set:b}");
            }
            let fewer = only(&packets, sets(shape.packets(), shape.data() - 1)[0]);
            assert_eq!(code.restore(length, &fewer), None, "{shape:?}");
        }
    }
}

#[test]
fn data_packets_are_the_stream_itself() {
    for shape in shapes() {
        let payload = noise(4001, 1);
        let packets = Code::new(shape).packets(&payload);
        assert_eq!(packets[..shape.data()].concat(), payload);
        for (index, packet) in packets.iter().enumerate() {
            assert_eq!(packet.len(), shape.packet_bytes(payload.len(), index), "{shape:?}");
        }
    }
}

#[test]
fn parity_is_that_of_the_crate() {
    for shape in shapes().into_iter().filter(|shape| shape.code() == CodeId::ReedSolomon) {
        let (k, payload) = (shape.data(), noise(shape.data() * 64, 5));
        let packets = Code::new(shape).packets(&payload);
        // The crate deals out symbols in turn; ours are contiguous.
        let symbols =
            (0..32).flat_map(|at| packets[..k].iter().flat_map(move |data| data[2 * at..2 * at + 2].to_vec()));
        let dealt: Vec<u8> = symbols.collect();
        let crates = CodeParams::derive_parameters(shape.packets(), k).unwrap().make_encoder();
        let shards: Vec<WrappedShard> = crates.encode(&dealt).unwrap();
        let shards: Vec<Bytes> = shards.into_iter().map(|shard| shard.into_inner().into()).collect();
        // With one data packet and two of parity the crate chooses the same code word.
        assert_eq!(shards, packets, "{shape:?}");
    }
}

#[test]
fn exclusive_or_is_exclusive_or() {
    let shape = Shape::new(4, 1, CodeId::Xor).unwrap();
    let packets = Code::new(shape).packets(&Bytes::from_static(b"playswarm live"));
    assert_eq!(packets[..], [&b"play"[..], b"swar", b"m li", b"ve", b"\x18\x5e\x6c\x62"]);
}

proptest! {
    #[test]
    fn any_k_packets_of_any_group_give_its_bytes(
        shape in prop::sample::select(shapes()),
        payload in prop::collection::vec(any::<u8>(), 0..3000),
        losses in prop::collection::vec(any::<prop::sample::Index>(), 0..2),
    ) {
        let (mut code, payload) = (Code::new(shape), Bytes::from(payload));
        let mut packets: Vec<_> = code.packets(&payload).into_iter().map(Some).collect();
        for lost in losses.iter().take(shape.parity()) {
            packets[lost.index(shape.packets())] = None;
        }
        prop_assert_eq!(code.restore(payload.len(), &packets), Some(payload));
    }
}
