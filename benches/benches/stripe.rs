//! Measures what a group of a live stream costs: parity, restoring a lost packet, signing and
//! verifying. Groups are those of the default cut at 3 Mbit/s and at 20 Mbit/s, with 8 data
//! packets.
//!
//! `ours` is `playswarm_logic::stripe::Code`. `novelpoly` is the crate that it takes its factors
//! from, used directly. `simd` is the crate `reed-solomon-simd`, for comparison.

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use playswarm_logic::stripe::{self, Code, Config, Cut, Input, Receiver};
use playswarm_logic::{PeerKey, Time};
use playswarm_proto::live::{CodeId, Group, Head, Packet, Shape, SignedHead, SourceKey, flags};
use reed_solomon_novelpoly::{CodeParams, WrappedShard};
use std::hint::black_box;

const K: usize = 8;

/// The rates, and the bytes of a group at each.
fn rates() -> [(&'static str, usize); 2] {
    [("3_Mbit", 375_000), ("20_Mbit", 2_500_000)].map(|(name, bytes_per_s)| {
        let cut = Cut::of_rate(bytes_per_s as u64);
        (name, bytes_per_s * cut.group.as_millis() as usize / 1000 / (2 * K) * (2 * K))
    })
}

fn shape(parity: u8, code: CodeId) -> Shape {
    Shape::new(K as u8, parity, code).expect("the shape is possible")
}

fn payload(length: usize) -> Bytes {
    (0..length).map(|n| (n * n / 7 + n) as u8).collect::<Vec<u8>>().into()
}

const CODES: [(&str, u8, CodeId); 3] =
    [("xor_8+1", 1, CodeId::Xor), ("ours_8+1", 1, CodeId::ReedSolomon), ("ours_8+2", 2, CodeId::ReedSolomon)];

fn encode(c: &mut Criterion) {
    for (rate, length) in rates() {
        let mut group = c.benchmark_group(format!("encode_{rate}"));
        group.throughput(Throughput::Bytes(length as u64));
        let payload = payload(length);
        for (name, parity, id) in CODES {
            let code = Code::new(shape(parity, id));
            group.bench_function(name, |b| b.iter(|| code.packets(black_box(&payload))));
        }
        for parity in [1, 2] {
            let encoder = CodeParams::derive_parameters(K + parity, K).expect("valid").make_encoder();
            group.bench_function(format!("novelpoly_8+{parity}"), |b| {
                b.iter(|| encoder.encode::<WrappedShard>(black_box(&payload)).expect("encodes"));
            });
            let data: Vec<&[u8]> = payload.chunks(length / K).collect();
            group.bench_function(format!("simd_8+{parity}"), |b| {
                b.iter(|| reed_solomon_simd::encode(K, parity, black_box(&data)).expect("encodes"));
            });
        }
        group.finish();
    }
}

fn decode(c: &mut Criterion) {
    for (rate, length) in rates() {
        let mut group = c.benchmark_group(format!("restore_{rate}"));
        group.throughput(Throughput::Bytes(length as u64));
        let payload = payload(length);
        for (name, parity, id) in CODES {
            let mut code = Code::new(shape(parity, id));
            let mut packets: Vec<Option<Bytes>> = code.packets(&payload).into_iter().map(Some).collect();
            packets[..usize::from(parity)].fill(None);
            assert_eq!(code.restore(length, &packets), Some(payload.clone()));
            group.bench_function(name, |b| b.iter(|| code.restore(length, black_box(&packets))));
            if id == CodeId::ReedSolomon {
                let fresh = Code::new(shape(parity, id));
                group.bench_function(format!("{name}_first"), |b| {
                    let packets = &packets;
                    b.iter_batched(|| fresh.clone(), |mut code| code.restore(length, packets), BatchSize::SmallInput);
                });
            }
        }
        let decoder = CodeParams::derive_parameters(K + 1, K).expect("valid").make_encoder();
        let shards = decoder.encode::<WrappedShard>(&payload).expect("encodes");
        let mut shards: Vec<Option<WrappedShard>> = shards.into_iter().map(Some).collect();
        shards[0] = None;
        group.bench_function("novelpoly_8+1", |b| {
            b.iter_batched(|| shards.clone(), |s| decoder.reconstruct(s).expect("decodes"), BatchSize::SmallInput);
        });
        let data: Vec<&[u8]> = payload.chunks(length / K).collect();
        let parity = reed_solomon_simd::encode(K, 1, &data).expect("encodes");
        group.bench_function("simd_8+1", |b| {
            b.iter(|| {
                let here = data.iter().enumerate().skip(1);
                reed_solomon_simd::decode(K, 1, here, parity.iter().enumerate()).expect("decodes")
            });
        });
        group.finish();
    }
}

fn describe(number: u64) -> Group {
    Group { cast: 1, revision: 0, number, born_ms: number * 87, length: 0, flags: flags::RESTART }
}

fn authenticity(c: &mut Criterion) {
    let (_, length) = rates()[0];
    let key = SourceKey::from_seed(&[1; 32]);
    let (channel, shape) = (key.channel(), shape(1, CodeId::Xor));
    let (code, payload) = (Code::new(shape), payload(length));
    let mut group = c.benchmark_group("packet_3_Mbit");
    group.bench_function("make_group", |b| b.iter(|| stripe::packets(&key, &code, describe(7), &payload)));
    let packets = stripe::packets(&key, &code, describe(7), &payload);
    let known = packets[0].verify(&channel, shape, None).expect("verifies");
    group.bench_function("verify_first", |b| b.iter(|| black_box(&packets[3]).verify(&channel, shape, None)));
    group.bench_function("verify_next", |b| b.iter(|| black_box(&packets[3]).verify(&channel, shape, Some(&known))));
    let head = Head {
        key: channel,
        cast: 1,
        revision: 0,
        started_ms: 0,
        shape,
        group_ms: 87,
        packet_bytes: 16 << 10,
        bytes_per_s: 375_000,
        margin_ms: 1000,
        name: String::new(),
        content_type: String::new(),
        init: Bytes::new(),
    };
    let head = SignedHead::new(&key, &head).expect("the fields are in range");
    // Whole groups of 9 packets, in which one of data came last or not at all.
    for (name, lost) in [("receive_group", None), ("receive_group_and_restore", Some(0))] {
        let mut receiver = Receiver::new(channel, Config::default());
        receiver.handle(Time::ZERO, Input::Head(head.clone()));
        let mut number = 0;
        let mut next = || {
            number += 1;
            let packets = stripe::packets(&key, &code, describe(number), &payload);
            packets.into_iter().filter(|packet| Some(packet.index) != lost).collect::<Vec<Packet>>()
        };
        group.bench_function(name, |b| {
            b.iter_batched(
                &mut next,
                |packets| {
                    let at = Time(packets[0].group.born_ms * 1000);
                    packets.into_iter().for_each(|packet| receiver.handle(at, Input::Packet(PeerKey(1), packet)));
                    while let Some(output) = receiver.poll() {
                        black_box(output);
                    }
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, encode, decode, authenticity);
criterion_main!(benches);
