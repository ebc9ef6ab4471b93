//! FLAC's stream information and frame header (RFC 9639 sections 8.2 and 9.1).

/// Length of the stream information block in bytes.
pub(crate) const STREAM_INFO_BYTES: usize = 34;

/// Length of the longest frame header in bytes: four, seven of number, two and two of sizes, one of
/// checksum.
pub(crate) const MAX_HEADER_BYTES: u64 = 16;

/// The stream information from the first metadata block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamInfo {
    /// Largest number of samples in a block. With a fixed size, all blocks but the last have it.
    pub(crate) max_block: u32,
    /// Length of the longest frame in bytes; 0 if unknown.
    pub(crate) max_frame: u32,
    /// Samples per second; never 0.
    pub(crate) rate: u32,
    pub(crate) channels: u32,
    bits: u32,
    /// Total number of samples; 0 if unknown.
    pub(crate) total: u64,
}

impl StreamInfo {
    pub(crate) fn parse(bytes: &[u8]) -> Option<StreamInfo> {
        let block: &[u8; STREAM_INFO_BYTES] = bytes.first_chunk()?;
        let packed = u64::from_be_bytes(*block[10..].first_chunk()?);
        let info = StreamInfo {
            max_block: u32::from(u16::from_be_bytes([block[2], block[3]])),
            max_frame: u32::from_be_bytes([0, block[7], block[8], block[9]]),
            rate: (packed >> 44) as u32,
            channels: (packed >> 41 & 7) as u32 + 1,
            bits: (packed >> 36 & 31) as u32 + 1,
            total: packed & 0xf_ffff_ffff,
        };
        (info.rate > 0 && info.max_block >= 16).then_some(info)
    }
}

/// A parsed frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// Whether the number counts samples; otherwise it counts frames.
    pub(crate) variable: bool,
    pub(crate) number: u64,
    /// Number of samples in the frame.
    pub(crate) block: u32,
}

impl FrameHeader {
    /// Parses the header of a frame of the given stream. Returns `None` unless sync code, reserved
    /// bits, stream properties and checksum all match.
    pub(crate) fn parse(bytes: &[u8], info: &StreamInfo) -> Option<FrameHeader> {
        let &[0xff, strategy, sizes, layout] = bytes.first_chunk::<4>()? else { return None };
        if strategy & 0xfe != 0xf8 || layout & 1 != 0 {
            return None;
        }
        let channels = match u32::from(layout >> 4) {
            independent @ 0..8 => independent + 1,
            8..=10 => 2,
            _ => return None,
        };
        let bits = match layout >> 1 & 7 {
            0 => info.bits,
            3 => return None,
            code => [0, 8, 12, 0, 16, 20, 24, 32][usize::from(code)],
        };
        if channels != info.channels || bits != info.bits {
            return None;
        }
        let (number, mut at) = coded_number(bytes.get(4..)?)?;
        at += 4;
        let mut take = |count: usize| {
            let value = bytes.get(at..at + count)?.iter().fold(0u32, |value, byte| value << 8 | u32::from(*byte));
            at += count;
            Some(value)
        };
        let block = match sizes >> 4 {
            0 => return None,
            1 => 192,
            code @ 2..6 => 144 << code,
            6 => take(1)? + 1,
            7 => take(2)? + 1,
            code => 1 << code,
        };
        let rate = match sizes & 15 {
            0 => info.rate,
            code @ 1..12 => {
                let kinds = [88_200, 176_400, 192_000, 8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000];
                kinds[usize::from(code) - 1]
            }
            12 => take(1)? * 1000,
            13 => take(2)?,
            14 => take(2)? * 10,
            _ => return None,
        };
        if rate != info.rate || block > info.max_block || crc8(bytes.get(..at)?) != *bytes.get(at)? {
            return None;
        }
        Some(FrameHeader { variable: strategy & 1 == 1, number, block })
    }
}

/// Decodes a number of up to 36 bits in the manner of UTF-8. Returns it with its length in bytes.
fn coded_number(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let length = match first.leading_ones() {
        0 => return Some((u64::from(first), 1)),
        length @ 2..=7 => length as usize,
        _ => return None,
    };
    let high = u64::from(first) & (0x7f >> length);
    let value = bytes
        .get(1..length)?
        .iter()
        .try_fold(high, |value, byte| (byte & 0xc0 == 0x80).then_some(value << 6 | u64::from(byte & 0x3f)))?;
    Some((value, length))
}

/// Computes the header's checksum: x⁸ + x² + x + 1.
fn crc8(bytes: &[u8]) -> u8 {
    bytes
        .iter()
        .fold(0, |crc, byte| (0..8).fold(crc ^ byte, |crc, _| if crc & 0x80 != 0 { crc << 1 ^ 0x07 } else { crc << 1 }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use super::*;

    /// Returns stream information: mono, 16 bits, 8,000 Hz, blocks of 4096.
    pub(crate) fn info() -> StreamInfo {
        StreamInfo { max_block: 4096, max_frame: 0, rate: 8000, channels: 1, bits: 16, total: 0 }
    }

    /// Returns a frame header for [`info`].
    pub(crate) fn header(number: u32) -> Vec<u8> {
        let mut bytes = vec![0xff, 0xf8, 0xc4, 0x08];
        let number = char::from_u32(number).unwrap();
        bytes.extend_from_slice(number.encode_utf8(&mut [0; 4]).as_bytes());
        bytes.push(crc8(&bytes));
        bytes
    }

    #[test]
    fn a_header_tells_its_number_and_its_block() {
        for number in [0, 0x7f, 0x80, 0x7ff, 0x800, 0x1_0000] {
            let parsed = FrameHeader::parse(&header(number), &info()).unwrap();
            assert_eq!(parsed, FrameHeader { variable: false, number: u64::from(number), block: 4096 });
        }
    }

    #[test]
    fn any_flipped_bit_of_a_header_makes_it_none() {
        let whole = header(0x1234);
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(FrameHeader::parse(&bytes, &info()), None, "bit {bit}");
        }
        for cut in 0..whole.len() {
            assert_eq!(FrameHeader::parse(&whole[..cut], &info()), None);
        }
    }

    #[test]
    fn numbers_of_up_to_36_bits_are_read() {
        assert_eq!(coded_number(&[0xfe, 0xbf, 0xbf, 0xbf, 0xbf, 0xbf, 0xbf]), Some((0xf_ffff_ffff, 7)));
        assert_eq!(coded_number(&[0xff, 0x80]), None);
        assert_eq!(coded_number(&[0x80]), None);
        assert_eq!(coded_number(&[0xc2, 0x00]), None);
    }

    #[test]
    fn stream_information_without_a_sample_rate_is_none() {
        assert_eq!(StreamInfo::parse(&[0; STREAM_INFO_BYTES]), None);
    }
}
