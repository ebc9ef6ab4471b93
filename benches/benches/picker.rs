//! Measures the cost of the picker's decisions, and shows that it does not grow with the torrent.
//!
//! One decision is one received block and all resulting outputs of the picker. The swarm is loaded:
//! every peer's queue is full, and blocks arrive from the peers in turn, so each decision refills
//! one queue.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use playswarm_logic::picker::{Config, Input, Manner, Output, Picker};
use playswarm_logic::{Bits, BlockRef, Layout, PeerKey, ReaderKey, Time};
use std::collections::{BTreeMap, VecDeque};
use std::hint::black_box;
use std::time::Duration;

const GIB: u64 = 1 << 30;
const PIECE: u32 = 4 << 20;
const MANNER: Manner = Manner::Blocks { requests: 250, fast: true };

/// A picker and the outstanding requests of each peer, answered in turn as by a network.
struct Swarm {
    picker: Picker,
    layout: Layout,
    now: Time,
    asked: Vec<VecDeque<BlockRef>>,
    missing: BTreeMap<u32, u32>,
    turn: usize,
}

impl Swarm {
    fn new(total: u64, peers: u32) -> Swarm {
        let layout = Layout::new(total, PIECE).expect("lengths are above zero");
        let picker = Picker::new(layout, &Bits::new(layout.pieces()), Config::default());
        let mut swarm = Swarm {
            picker,
            layout,
            now: Time::ZERO,
            asked: vec![VecDeque::new(); peers as usize],
            missing: BTreeMap::new(),
            turn: 0,
        };
        for i in 0..peers {
            let peer = PeerKey(i);
            swarm.tell(Input::PeerJoined { peer, rtt: Some(Duration::from_millis(40)), manner: MANNER });
            swarm.tell(Input::PeerHasBits(peer, Bits::full(layout.pieces())));
            swarm.tell(Input::Unchoked(peer));
        }
        swarm.tell(Input::ReaderOpened {
            reader: ReaderKey(1),
            start: 0,
            position: 0,
            end: total,
            bytes_per_s: Some(1e6),
            window: u64::MAX,
        });
        swarm.tell(Input::ReaderBlocked(ReaderKey(1), true));
        // After the first picture: rates are measured, and queues are full.
        (0..peers * 20).for_each(|_| swarm.block());
        swarm
    }

    fn tell(&mut self, input: Input) {
        self.picker.handle(self.now, input);
        while let Some(output) = self.picker.poll() {
            match output {
                Output::Request(peer, block) => self.asked[peer.0 as usize].push_back(block),
                Output::Cancel(peer, block) => self.asked[peer.0 as usize].retain(|b| *b != block),
                _ => {}
            }
        }
    }

    /// Delivers a block from the next peer with an outstanding request, a moment later.
    fn block(&mut self) {
        for _ in 0..self.asked.len() {
            self.turn = (self.turn + 1) % self.asked.len();
            if let Some(block) = self.asked[self.turn].pop_front() {
                // 500 peers of 1 Mbit/s: a block every 0.26 ms.
                self.now = Time(self.now.0 + 260);
                self.tell(Input::Block(PeerKey(self.turn as u32), block));
                let blocks = self.layout.blocks_of(block.piece);
                let missing = self.missing.entry(block.piece.0).or_insert(blocks);
                *missing = missing.saturating_sub(1);
                if *missing == 0 {
                    self.missing.remove(&block.piece.0);
                    self.tell(Input::PieceVerified(block.piece));
                }
                return;
            }
        }
        // No request is outstanding: time passes.
        self.now = Time(self.now.0 + 25_000);
        self.tell(Input::Timeout);
    }
}

fn decisions(c: &mut Criterion) {
    let mut group = c.benchmark_group("block");
    for gib in [1, 10, 100, 1024] {
        group.bench_function(format!("{gib}_GiB_500_peers"), |b| {
            let mut swarm = Swarm::new(gib * GIB, 500);
            b.iter(|| {
                swarm.block();
                // A torrent of 1 GiB is finished long before the measurement, so it starts again.
                if swarm.picker.have().is_full() {
                    swarm = Swarm::new(gib * GIB, 500);
                }
            });
        });
    }
    for peers in [10, 100, 2000] {
        group.bench_function(format!("100_GiB_{peers}_peers"), |b| {
            let mut swarm = Swarm::new(100 * GIB, peers);
            b.iter(|| swarm.block());
        });
    }
    group.finish();
}

fn turns(c: &mut Criterion) {
    let mut group = c.benchmark_group("turn");
    for gib in [1, 100] {
        group.bench_function(format!("seek_{gib}_GiB_500_peers"), |b| {
            let mut swarm = Swarm::new(gib * GIB, 500);
            let mut at = 0u64;
            b.iter(|| {
                at = (at + 37 * GIB / 100) % (gib * GIB);
                swarm.now = Time(swarm.now.0 + 100_000);
                swarm.tell(Input::ReaderSought(ReaderKey(1), black_box(at)));
            });
        });
    }
    group.bench_function("join_with_bitfield_100_GiB", |b| {
        let mut swarm = Swarm::new(100 * GIB, 500);
        let pieces = swarm.layout.pieces();
        let mut bits = Bits::full(pieces);
        bits.set(pieces / 2, false);
        let mut next = 500;
        b.iter_batched(
            || bits.clone(),
            |bits| {
                let peer = PeerKey(next);
                next += 1;
                swarm.tell(Input::PeerJoined { peer, rtt: None, manner: MANNER });
                swarm.tell(Input::PeerHasBits(peer, bits));
                // The peer leaves again, so that the swarm keeps its stated size.
                swarm.tell(Input::PeerLeft(peer));
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
    targets = decisions, turns
}
criterion_main!(benches);
