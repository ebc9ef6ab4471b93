//! The shape of a channel's groups: how many packets of data and of parity, by which code.

/// Most bytes of stream in a packet, 48 KiB. With its proof, a packet stays below the 64 KiB that
/// an extended message may have.
pub const MAX_DATA_BYTES: usize = 48 << 10;
/// Most packets of a group: 16 of data and 2 of parity.
pub const MAX_PACKETS: usize = 18;

/// Accepted numbers of data packets. The Reed-Solomon code rounds down to a power of two.
const DATA_PACKETS: [u8; 5] = [1, 2, 4, 8, 16];
/// Most packets of parity.
const MAX_PARITY: u8 = 2;

/// The code that makes the parity packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CodeId {
    /// No parity.
    None,
    /// Reed-Solomon over GF(2^16), in the basis of Lin, Han and Chung (FOCS 2014).
    ReedSolomon,
    /// One packet that is the exclusive or of all data packets.
    Xor,
}

impl CodeId {
    /// Returns the code with this number in a head.
    pub fn from_number(number: u8) -> Option<CodeId> {
        Some(match number {
            0 => CodeId::None,
            1 => CodeId::ReedSolomon,
            2 => CodeId::Xor,
            _ => return None,
        })
    }

    /// Returns the code's number in a head.
    pub fn number(self) -> u8 {
        match self {
            CodeId::None => 0,
            CodeId::ReedSolomon => 1,
            CodeId::Xor => 2,
        }
    }
}

/// A valid combination of numbers of packets and code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    data: u8,
    parity: u8,
    code: CodeId,
}

impl Shape {
    /// Returns the shape with this many packets of data and of parity, if the code can make it.
    pub fn new(data: u8, parity: u8, code: CodeId) -> Option<Shape> {
        let possible = match code {
            CodeId::None => parity == 0,
            CodeId::Xor => parity == 1,
            CodeId::ReedSolomon => (1..=MAX_PARITY).contains(&parity),
        };
        (possible && DATA_PACKETS.contains(&data)).then_some(Shape { data, parity, code })
    }

    /// Returns the number of data packets, any of which are replaced by parity packets.
    pub fn data(self) -> usize {
        usize::from(self.data)
    }

    /// Returns the number of parity packets.
    pub fn parity(self) -> usize {
        usize::from(self.parity)
    }

    /// Returns the code.
    pub fn code(self) -> CodeId {
        self.code
    }

    /// Returns the number of all packets of a group.
    pub fn packets(self) -> usize {
        self.data() + self.parity()
    }

    /// Returns the most bytes of stream in a group.
    pub fn max_group_bytes(self) -> usize {
        self.data() * MAX_DATA_BYTES
    }

    /// Returns the length of a packet in a group of `length` bytes of stream, before the last data
    /// packets are cut to what is left of the stream. It is even, as symbols have two bytes.
    pub fn shard_bytes(self, length: usize) -> usize {
        length.div_ceil(self.data()).next_multiple_of(2)
    }

    /// Returns the part of the group's bytes in a data packet; for a parity packet, an empty range.
    pub fn range(self, length: usize, index: usize) -> std::ops::Range<usize> {
        let shard = self.shard_bytes(length);
        let at = |index: usize| (index.min(self.data()) * shard).min(length);
        at(index)..at(index + 1)
    }

    /// Returns the length of the data in a packet of a group of `length` bytes of stream.
    pub fn packet_bytes(self, length: usize, index: usize) -> usize {
        match index < self.data() {
            true => self.range(length, index).len(),
            false => self.shard_bytes(length),
        }
    }

    /// Returns the number of hashes in a packet's proof.
    pub fn depth(self) -> usize {
        self.packets().next_power_of_two().trailing_zeros() as usize
    }
}
