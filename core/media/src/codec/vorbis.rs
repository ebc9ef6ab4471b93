//! Vorbis (Vorbis I specification): the lengths of packets, and the headers in a configuration.

/// Most modes of a stream.
const MAX_MODES: usize = 64;

/// The lengths of a stream's packets. They depend on the packet before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packets {
    /// Samples in a short and in a long block.
    blocks: [u64; 2],
    /// For each mode, whether its blocks are long.
    long: Vec<bool>,
    last: u64,
}

impl Packets {
    /// Reads the identification and the setup header.
    pub(crate) fn new(identification: &[u8], setup: &[u8]) -> Option<Packets> {
        let blocks = identification.strip_prefix(b"\x01vorbis")?.get(21)?;
        let blocks = [1 << (blocks & 15), 1 << (blocks >> 4)];
        Some(Packets { blocks, long: modes(setup.strip_prefix(b"\x05vorbis")?)?, last: blocks[0] })
    }

    /// Forgets the packet before, after a gap.
    pub(crate) fn reset(&mut self) {
        self.last = self.blocks[0];
    }

    /// Returns the number of samples that a packet completes: a quarter of its block and of the one
    /// before (4.3.8). `None` for a header.
    pub(crate) fn next(&mut self, packet: &[u8]) -> Option<u64> {
        let first = usize::from(*packet.first()?);
        if first & 1 == 1 {
            return None;
        }
        let mode_bits = usize::BITS - (self.long.len() - 1).leading_zeros();
        let mode = first >> 1 & ((1 << mode_bits) - 1);
        let long = *self.long.get(mode)?;
        if long {
            self.last = self.blocks[first >> 1 >> mode_bits & 1];
        }
        let block = self.blocks[usize::from(long)];
        let samples = (self.last + block) / 4;
        self.last = block;
        Some(samples)
    }
}

/// Returns for each mode whether its blocks are long (4.2.4). The modes end the setup header, after
/// codebooks of many forms, so they are read from its end. Each has a flag, two types that are zero,
/// and the number of a mapping; before the first is their number.
fn modes(setup: &[u8]) -> Option<Vec<bool>> {
    const COUNT_BITS: usize = 6;
    const TYPE_BITS: usize = 32;
    const MAPPING_BITS: usize = 8;
    const MODE_BITS: usize = 1 + TYPE_BITS + MAPPING_BITS;
    let bit = |at: usize| setup[at / 8] >> (at % 8) & 1;
    let number = |at: usize, bits: usize| (at..at + bits).rev().fold(0usize, |n, at| n << 1 | usize::from(bit(at)));
    // A set bit ends the header.
    let end = (0..setup.len() * 8).rev().find(|at| bit(*at) == 1)?;
    let (mut at, mut long, mut found) = (end, Vec::new(), None);
    while long.len() < MAX_MODES && at >= MODE_BITS + COUNT_BITS {
        at -= MODE_BITS;
        if number(at + 1, TYPE_BITS) != 0 || number(at + 1 + TYPE_BITS, MAPPING_BITS) > 63 {
            break;
        }
        long.push(bit(at) == 1);
        if number(at - COUNT_BITS, COUNT_BITS) + 1 == long.len() {
            found = Some(long.len());
        }
    }
    long.truncate(found?);
    long.reverse();
    Some(long)
}

/// Returns the configuration with these headers: their number less one, the lengths of all but the
/// last in the manner of Xiph, and the headers.
pub(crate) fn config(headers: &[Vec<u8>]) -> Vec<u8> {
    let Some((last, others)) = headers.split_last() else { return Vec::new() };
    let mut config = vec![others.len() as u8];
    for header in others {
        config.extend(std::iter::repeat_n(255, header.len() / 255));
        config.push((header.len() % 255) as u8);
    }
    others.iter().chain([last]).for_each(|header| config.extend_from_slice(header));
    config
}

/// Returns a comment header with its maker alone (5.2). The comments are no concern of a decoder.
pub(crate) fn without_comments(header: &[u8]) -> Vec<u8> {
    const MAGIC: usize = 7;
    let maker = || {
        let (length, rest) = header.get(MAGIC..)?.split_first_chunk()?;
        rest.get(..u32::from_le_bytes(*length) as usize)
    };
    let maker = maker().unwrap_or_default();
    [b"\x03vorbis", &(maker.len() as u32).to_le_bytes()[..], maker, &0u32.to_le_bytes(), &[1]].concat()
}

/// Splits a configuration into the identification, the comment and the setup header.
pub(crate) fn headers(config: &[u8]) -> Option<[&[u8]; 3]> {
    let (2, mut rest) = config.split_first().map(|(count, rest)| (*count, rest))? else { return None };
    let mut length = || {
        let whole = rest.iter().take_while(|byte| **byte == 255).count();
        let (lengths, after) = rest.split_at_checked(whole + 1)?;
        rest = after;
        Some(whole * 255 + usize::from(lengths[whole]))
    };
    let (first, second) = (length()?, length()?);
    let (first, rest) = rest.split_at_checked(first)?;
    let (second, third) = rest.split_at_checked(second)?;
    Some([first, second, third])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Returns bits, each number with its width, from the lowest bit on.
    fn bits(numbers: &[(u64, usize)]) -> Vec<u8> {
        let bits: Vec<u8> =
            numbers.iter().flat_map(|(n, width)| (0..*width).map(move |i| (n >> i & 1) as u8)).collect();
        bits.chunks(8).map(|byte| byte.iter().rev().fold(0, |byte, bit| byte << 1 | bit)).collect()
    }

    #[test]
    fn packets_have_a_quarter_of_their_block_and_of_the_one_before() {
        let mut identification = b"\x01vorbis".to_vec();
        identification.resize(28, 0);
        identification.push(0xb8);
        // Any codebooks, then a short and a long mode, and the bit that ends the header.
        let setup = bits(&[(0xdead_beef, 35), (1, 6), (0, 33), (0, 8), (1, 1), (0, 32), (1, 8), (1, 1)]);
        let mut packets = Packets::new(&identification, &[b"\x05vorbis", &setup[..]].concat()).unwrap();
        assert_eq!(packets.long, [false, true]);
        // Short, long after short, long after long, short after long, a header.
        let found: Vec<_> = [0b0000, 0b0010, 0b0110, 0b0000, 0b0001].map(|byte| packets.next(&[byte])).into();
        assert_eq!(found, [Some(128), Some(576), Some(1024), Some(576), None]);
    }

    #[test]
    fn setup_headers_without_modes_are_refused() {
        assert_eq!(modes(&[]), None);
        assert_eq!(modes(&[0; 100]), None);
        assert_eq!(modes(&[0xff; 100]), None);
    }

    #[test]
    fn a_comment_header_keeps_its_maker_alone() {
        let whole = b"\x03vorbis\x02\0\0\0me\x01\0\0\0\x03\0\0\0A=B\x01";
        assert_eq!(without_comments(whole), b"\x03vorbis\x02\0\0\0me\0\0\0\0\x01");
        assert_eq!(without_comments(&whole[..12]), b"\x03vorbis\0\0\0\0\0\0\0\0\x01");
    }

    #[test]
    fn a_configuration_splits_into_the_headers_it_was_made_of() {
        let three = [vec![1; 30], vec![2; 600], vec![3; 255]];
        let joined = config(&three);
        assert_eq!(joined[..5], [2, 30, 255, 255, 90]);
        assert_eq!(headers(&joined).unwrap().map(<[u8]>::to_vec), three);
        assert_eq!(headers(&joined[..600]), None);
        assert_eq!(headers(&[2, 255, 255]), None);
        assert_eq!(headers(&[]), None);
    }
}
