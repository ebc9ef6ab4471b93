use super::super::assembler::Output as Order;
use super::super::receiver::{Input, Output, Receiver};
use super::*;
use crate::{PeerKey, Time};
use playswarm_proto::live::BadPacket;
use proptest::prelude::*;

const PEER: PeerKey = PeerKey(1);

struct Node {
    receiver: Receiver,
    now: Time,
    /// Bytes of the stream that were given out.
    stream: Vec<u8>,
    passed_on: Vec<Packet>,
    others: Vec<Output>,
}

impl Node {
    fn new(source: &Source) -> Node {
        Node::with(source, Config { margin_s: 0.0, ..Config::default() })
    }

    fn with(source: &Source, config: Config) -> Node {
        let receiver = Receiver::new(source.channel(), config);
        let (stream, passed_on, others) = (Vec::new(), Vec::new(), Vec::new());
        let mut node = Node { receiver, now: Time::ZERO, stream, passed_on, others };
        node.tell(Input::Head(source.head()));
        assert_eq!(node.others(), [Output::Head { new_cast: false }]);
        node
    }

    fn tell(&mut self, input: Input) {
        self.receiver.handle(self.now, input);
        while let Some(output) = self.receiver.poll() {
            match output {
                Output::PassOn(from, packet) => {
                    assert_eq!(from, PEER);
                    self.passed_on.push(packet);
                }
                Output::Group(Order::Ready { group }) => {
                    let (_, bytes) = self.receiver.buffer().read(group).expect("a group that is ready can be read");
                    self.stream.extend_from_slice(bytes);
                }
                other => self.others.push(other),
            }
        }
    }

    fn gets(&mut self, packet: &Packet) {
        self.tell(Input::Packet(PEER, packet.clone()));
    }

    fn passes(&mut self, millis: u64) {
        self.now = Time(self.now.0 + millis * 1000);
        self.tell(Input::Timeout);
    }

    fn others(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.others)
    }
}

fn eight_and_one() -> Source {
    Source::new(Shape::new(8, 1, CodeId::ReedSolomon).unwrap())
}

fn stream(source: &Source, groups: std::ops::Range<u64>) -> Vec<u8> {
    groups.flat_map(|number| source.bytes(number)).collect()
}

#[test]
fn the_stream_is_whole_without_any_one_stripe_and_what_is_missing_is_made_again() {
    for shape in shapes().into_iter().filter(|shape| shape.parity() > 0) {
        let source = Source::new(shape);
        for lost in 0..shape.packets() {
            let mut node = Node::new(&source);
            for packet in (0..12).flat_map(|number| source.packets(number)) {
                if usize::from(packet.index) != lost {
                    node.gets(&packet);
                }
            }
            assert_eq!(node.stream, stream(&source, 0..12), "{shape:?} without {lost}");
            assert_eq!(node.passed_on.len(), 12 * (shape.packets() - 1));
            for packet in (0..12).flat_map(|number| source.packets(number)) {
                let made = node.receiver.packet(packet.group.number, packet.index);
                assert_eq!(made.as_ref(), Some(&packet), "{shape:?} without {lost}");
            }
            assert_eq!(node.receiver.packet(0, shape.packets() as u8), None);
        }
    }
}

#[test]
fn a_restored_group_is_reported_and_its_late_packet_is_passed_on_once() {
    let source = eight_and_one();
    let (mut node, packets) = (Node::new(&source), source.packets(0));
    packets[1..].iter().for_each(|packet| node.gets(packet));
    assert_eq!(node.others(), [Output::Restored { group: 0 }]);
    node.gets(&packets[0]);
    node.gets(&packets[0]);
    assert_eq!(node.passed_on.last(), Some(&packets[0]));
    let counts = node.receiver.counts();
    assert_eq!((counts.accepted, counts.duplicate, counts.restored), (9, 1, 1));
}

#[test]
fn a_packet_that_does_not_verify_is_an_offence_and_goes_nowhere() {
    let source = eight_and_one();
    let (mut node, packets, other) = (Node::new(&source), source.packets(0), source.packets(1));
    node.gets(&packets[0]);
    let good = packets[3].clone();
    let bad = [
        // Forged bytes, a forged group, a forged signature.
        Packet { data: noise(good.data.len(), 9), ..good.clone() },
        Packet { group: Group { born_ms: 7, ..good.group }, ..good.clone() },
        Packet { signature: [0; 64], ..good.clone() },
        // Swapped: another place, and the proof or the signature of another group.
        Packet { index: 4, ..good.clone() },
        Packet { proof: other[3].proof, ..good.clone() },
        Packet { signature: other[3].signature, ..good.clone() },
        Packet { group: other[3].group, ..good.clone() },
        // Truncated and extended.
        Packet { data: good.data.slice(1..), ..good.clone() },
        Packet { data: [&good.data[..], &[0]].concat().into(), ..good.clone() },
        Packet { index: 9, ..good.clone() },
        Packet { index: 200, ..good.clone() },
    ];
    for packet in &bad {
        node.gets(packet);
        let others = node.others();
        assert!(matches!(others[..], [Output::Offence(PEER, BadPacket::Forged | BadPacket::BadShape)]), "{others:?}");
    }
    assert_eq!(node.passed_on, [packets[0].clone()]);
    assert_eq!(node.receiver.counts().refused, bad.len() as u64);
    // The right ones are still accepted.
    packets.iter().for_each(|packet| node.gets(packet));
    assert_eq!(node.stream, source.bytes(0));
}

#[test]
fn packets_of_a_minute_ago_are_late_and_no_offence() {
    let source = eight_and_one();
    let mut node = Node::new(&source);
    let replayed = source.packets(5);
    (0..400).flat_map(|number| source.packets(number)).for_each(|packet| node.gets(&packet));
    node.passed_on.clear();
    node.others();
    replayed.iter().for_each(|packet| node.gets(packet));
    assert_eq!(node.receiver.counts().late, 9);
    assert!(node.passed_on.is_empty() && node.others().is_empty());
    // 30 s of 100 ms each, and the newest.
    assert_eq!(node.receiver.buffer().span(), Some((99, 399)));
}

#[test]
fn a_packet_far_ahead_moves_the_window_and_the_player_goes_on_there() {
    let source = eight_and_one();
    let mut node = Node::new(&source);
    (0..3).flat_map(|number| source.packets(number)).for_each(|packet| node.gets(&packet));
    node.gets(&source.packets(1_000_000)[0]);
    assert_eq!(node.receiver.buffer().span(), Some((1_000_000, 1_000_000)));
    (1_000_000..1_000_003).flat_map(|number| source.packets(number)).for_each(|packet| node.gets(&packet));
    let skip = Output::Group(Order::Skip { from: 3, to: 1_000_000 });
    assert_eq!(node.others(), [skip]);
    assert_eq!(node.stream, [stream(&source, 0..3), stream(&source, 1_000_000..1_000_003)].concat());
    assert_eq!(node.receiver.counts().lost, 999_997);
}

#[test]
fn a_backlog_that_comes_after_newer_packets_is_taken() {
    let source = eight_and_one();
    let mut node = Node::new(&source);
    source.packets(50).iter().take(2).for_each(|packet| node.gets(packet));
    (30..60).flat_map(|number| source.packets(number)).for_each(|packet| node.gets(&packet));
    assert_eq!(node.stream, stream(&source, 30..60));
}

#[test]
fn of_two_versions_of_a_group_the_first_counts() {
    let source = eight_and_one();
    let mut node = Node::new(&source);
    let other = packets(&source.key, &source.code, source.describe(0, true), &noise(1000, 77));
    node.gets(&source.packets(0)[0]);
    other[1..].iter().for_each(|packet| node.gets(packet));
    assert_eq!((node.receiver.counts().conflicting, node.passed_on.len()), (8, 1));
    source.packets(0)[2..].iter().for_each(|packet| node.gets(packet));
    assert_eq!(node.stream, source.bytes(0));
}

#[test]
fn parity_that_the_source_made_wrongly_is_not_used() {
    for shape in shapes().into_iter().filter(|shape| shape.parity() > 0) {
        let source = Source::new(shape);
        let mut data = source.code.packets(&source.bytes(0));
        let last = data.len() - 1;
        data[last] = noise(data[last].len(), 66);
        let tree = Tree::new(&data);
        let group = Group { length: source.bytes(0).len() as u32, ..source.describe(0, true) };
        let signed = SignedGroup::new(&source.key, group, tree.root());
        let wrong: Vec<Packet> =
            data.iter().enumerate().filter_map(|(n, data)| packet(&signed, &tree, n as u8, data.clone())).collect();
        let mut node = Node::new(&source);
        wrong[1..].iter().rev().for_each(|packet| node.gets(packet));
        assert_eq!(node.others(), [Output::WrongParity { group: 0 }], "{shape:?}");
        assert!(node.stream.is_empty(), "{shape:?}");
        wrong.iter().for_each(|packet| node.gets(packet));
        assert_eq!(node.stream, source.bytes(0), "{shape:?}");
        assert_eq!(node.receiver.packet(0, 0), None, "{shape:?}");
        assert_eq!(node.passed_on.len(), shape.packets(), "each is passed on once");
    }
}

#[test]
fn packets_of_an_unknown_head_ask_for_it() {
    let (source, mut later) = (eight_and_one(), eight_and_one());
    later.head.revision = 1;
    let mut node = Node::new(&source);
    node.gets(&later.packets(0)[0]);
    let other_cast = Source::with_cast(source.head.shape, 2, 2000);
    node.gets(&other_cast.packets(0)[0]);
    assert_eq!(node.others(), [Output::NeedHead(PEER), Output::NeedHead(PEER)]);
    assert_eq!((node.receiver.counts().unknown, node.passed_on.len()), (2, 0));
}

#[test]
fn a_new_revision_may_change_the_shape() {
    let (source, mut later) = (eight_and_one(), Source::new(Shape::new(4, 1, CodeId::Xor).unwrap()));
    later.head.revision = 1;
    let mut node = Node::new(&source);
    (0..5).flat_map(|number| source.packets(number)).for_each(|packet| node.gets(&packet));
    node.tell(Input::Head(later.head()));
    assert_eq!(node.others(), [Output::Head { new_cast: false }]);
    // Packets of the group before may still come.
    (5..7).flat_map(|number| source.packets(number)).for_each(|packet| node.gets(&packet));
    (7..9).flat_map(|number| later.packets(number)).for_each(|packet| node.gets(&packet));
    assert_eq!(node.stream, stream(&source, 0..9));
    assert_eq!(node.receiver.head_of(0), Some(&source.head()));
    node.tell(Input::Head(source.head()));
    assert!(node.others().is_empty());
    assert_eq!(node.receiver.head(), Some(&later.head()));
}

#[test]
fn a_new_cast_begins_anew_and_an_old_one_does_not_come_back() {
    let old = eight_and_one();
    let new = Source::with_cast(old.head.shape, 2, 2000);
    let mut node = Node::new(&old);
    (0..5).flat_map(|number| old.packets(number)).for_each(|packet| node.gets(&packet));
    node.tell(Input::Head(new.head()));
    node.tell(Input::Head(old.head()));
    assert_eq!(node.others(), [Output::Head { new_cast: true }]);
    node.stream.clear();
    node.gets(&old.packets(5)[0]);
    assert_eq!(node.others(), [Output::Behind(PEER)]);
    (0..5).flat_map(|number| new.packets(number)).for_each(|packet| node.gets(&packet));
    assert_eq!((node.stream.clone(), node.receiver.counts().late), (stream(&new, 0..5), 1));
    let other = Source { key: SourceKey::from_seed(&[4; 32]), ..Source::with_cast(old.head.shape, 3, 3000) };
    let mut head = other.head.clone();
    head.key = other.channel();
    node.tell(Input::Head(SignedHead::new(&other.key, &head).unwrap()));
    assert!(node.others().is_empty(), "the head of another channel is none of this one");
}

#[test]
fn a_player_starts_at_the_newest_restart_that_is_a_margin_old() {
    let source = eight_and_one();
    let mut node = Node::new(&source);
    assert_eq!(node.receiver.start(1.0), None);
    let upto = |node: &mut Node, from: u64, to: u64| {
        (from..to).flat_map(|number| source.packets(number)).for_each(|packet| node.gets(&packet));
    };
    upto(&mut node, 20, 25);
    // None is that old.
    assert_eq!(node.receiver.start(1.0), Some(20));
    upto(&mut node, 25, 45);
    assert_eq!([0.0, 0.4, 1.0, 1.5, 9.0].map(|margin| node.receiver.start(margin)), [40, 40, 30, 20, 20].map(Some));
    // Not across a loss.
    upto(&mut node, 46, 62);
    node.passes(2000);
    assert_eq!([0.1, 9.0].map(|margin| node.receiver.start(margin)), [60, 50].map(Some));
}

#[test]
fn the_buffer_is_bounded_in_bytes_and_drops_the_oldest() {
    let source = eight_and_one();
    let config = Config { back_bytes: 10_000, margin_s: 0.0, ..Config::default() };
    let mut node = Node::with(&source, config);
    for packet in (0..50).flat_map(|number| source.packets(number)) {
        node.gets(&packet);
        assert!(node.receiver.buffer().bytes() <= 10_000);
    }
    assert_eq!(node.stream, stream(&source, 0..50));
    assert!(node.receiver.buffer().span().unwrap().0 >= 39);
    assert!(node.receiver.buffer().bytes() > 8000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn packets_in_any_order_with_losses_and_copies_give_the_stream(
        shape in prop::sample::select(shapes()),
        order in Just((0..6usize * 18).collect::<Vec<_>>()).prop_shuffle(),
        lost in prop::collection::vec(any::<prop::sample::Index>(), 12),
        copies in 1usize..3,
    ) {
        let source = Source::new(shape);
        let mut node = Node::new(&source);
        let lost = |number: usize| -> Vec<usize> {
            lost[2 * number..][..shape.parity()].iter().map(|lost| lost.index(shape.packets())).collect()
        };
        let mut sent = std::collections::BTreeSet::new();
        for at in order {
            let (number, index) = (at / 18, at % 18);
            if index < shape.packets() && !lost(number).contains(&index) {
                let packet = &source.packets(number as u64)[index];
                (0..copies).for_each(|_| node.gets(packet));
                sent.insert((number as u64, index as u8));
            }
        }
        prop_assert_eq!(node.stream, stream(&source, 0..6));
        let passed_on: std::collections::BTreeSet<_> = node.passed_on.iter().map(|p| (p.group.number, p.index)).collect();
        prop_assert_eq!(node.passed_on.len(), passed_on.len(), "each packet is passed on once");
        prop_assert_eq!(passed_on, sent);
    }

    #[test]
    fn memory_is_bounded_and_bytes_are_right_in_a_hostile_order(
        arrivals in prop::collection::vec((0u64..400, 0usize..9, 0u64..500), 0..300),
        back_bytes in 0usize..20_000,
        max_groups in 1u64..50,
    ) {
        let source = eight_and_one();
        let mut node = Node::with(&source, Config { back_bytes, max_groups, margin_s: 0.0, ..Config::default() });
        let largest = 2 * 1010;
        for (number, index, pause) in arrivals {
            // Whole runs at times, so that some groups become complete.
            let packets = source.packets(number);
            let run = if pause.is_multiple_of(3) { &packets[..] } else { &packets[index..=index] };
            run.iter().for_each(|packet| node.gets(packet));
            node.passes(pause);
            let buffer = node.receiver.buffer();
            prop_assert!(buffer.bytes() <= back_bytes.max(largest), "{} bytes", buffer.bytes());
            if let Some((oldest, newest)) = buffer.span() {
                prop_assert!(newest - oldest < max_groups);
                for number in oldest..=newest {
                    if let Some((_, bytes)) = buffer.read(number) {
                        prop_assert_eq!(bytes, &source.bytes(number));
                    }
                }
            }
        }
        prop_assert!(!node.others.iter().any(|output| matches!(output, Output::Offence(..))));
    }
}
