mod assembler;
mod code;
mod cutter;
mod receiver;

use super::*;
use playswarm_proto::live::{ChannelKey, CodeId, Head, Shape, SignedHead, flags};

/// Shapes of each code.
fn shapes() -> Vec<Shape> {
    let mut shapes = Vec::new();
    for data in [1, 2, 4, 8, 16] {
        for (parity, code) in [(0, CodeId::None), (1, CodeId::Xor), (1, CodeId::ReedSolomon), (2, CodeId::ReedSolomon)]
        {
            shapes.push(Shape::new(data, parity, code).unwrap());
        }
    }
    shapes
}

/// Bytes without a pattern.
fn noise(length: usize, seed: u64) -> Bytes {
    let mut rng = crate::rng::Rng::new(seed);
    (0..length).map(|_| rng.next_u64() as u8).collect::<Vec<u8>>().into()
}

/// A source whose groups are numbered from 0 and begin each 100 ms.
struct Source {
    key: SourceKey,
    head: Head,
    code: Code,
}

impl Source {
    fn new(shape: Shape) -> Source {
        Source::with_cast(shape, 1, 1000)
    }

    fn with_cast(shape: Shape, cast: u64, started_ms: u64) -> Source {
        let key = SourceKey::from_seed(&[3; 32]);
        let head = Head {
            key: key.channel(),
            cast,
            revision: 0,
            started_ms,
            shape,
            group_ms: 100,
            packet_bytes: 4096,
            bytes_per_s: 10_000,
            margin_ms: 1000,
            name: "test".into(),
            content_type: "video/mp2t".into(),
            init: Bytes::from_static(b"init"),
        };
        Source { code: Code::new(shape), key, head }
    }

    fn channel(&self) -> ChannelKey {
        self.key.channel()
    }

    fn head(&self) -> SignedHead {
        SignedHead::new(&self.key, &self.head).unwrap()
    }

    fn describe(&self, number: u64, restart: bool) -> Group {
        let flags = if restart { flags::RESTART } else { 0 };
        let born_ms = self.head.started_ms + number * 100;
        Group { cast: self.head.cast, revision: self.head.revision, number, born_ms, length: 0, flags }
    }

    /// The bytes of a group: about 1000, of lengths that no shape divides.
    fn bytes(&self, number: u64) -> Bytes {
        noise(1000 + (number % 7) as usize, number)
    }

    /// The packets of a group. A player can begin at each tenth.
    fn packets(&self, number: u64) -> Vec<Packet> {
        packets(&self.key, &self.code, self.describe(number, number.is_multiple_of(10)), &self.bytes(number))
    }
}
