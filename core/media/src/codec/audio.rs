//! Audio frames: their sizes, for streams without a container around each frame, and their
//! durations, for containers that do not state them.

use super::aac::{AudioConfig, RATES};
use crate::mp3::frame::Header;
use crate::ogg::codec::opus_samples;

/// Samples in a block of AC-3.
const BLOCK: u64 = 256;

/// Returns the duration in nanoseconds of an audio frame from its first bytes and its track's
/// configuration and sampling rate. `None` if the codec's frames have no duration known here.
pub(crate) fn frame_ns(codec: &str, config: &[u8], rate: Option<u32>, frame: &[u8]) -> Option<i64> {
    let (samples, rate) = match codec {
        "aac" => (4 * BLOCK, AudioConfig::parse(config).map(|config| config.core_rate).or(rate)?),
        "opus" => (opus_samples(frame), 48_000),
        _ => match Frame::parse(codec, frame) {
            Look::Found(frame) => return Some(frame.ns),
            _ => return None,
        },
    };
    ns(samples, rate)
}

fn ns(samples: u64, rate: u32) -> Option<i64> {
    (rate > 0).then(|| (samples * 1_000_000_000 / u64::from(rate)) as i64)
}

/// A frame with a header of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Bytes before the frame that only frame it.
    pub(crate) head: usize,
    /// Bytes of the frame.
    pub(crate) bytes: usize,
    /// Duration in nanoseconds.
    pub(crate) ns: i64,
}

/// The result of a look for a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    Found(Frame),
    /// More bytes are needed.
    Short,
    /// No frame begins here.
    Lost,
}

impl Frame {
    /// Whether the frames of a codec have headers by which they can be told apart.
    pub(crate) fn has_header(codec: &str) -> bool {
        matches!(codec, "aac" | "mp1" | "mp2" | "mp3" | "ac3" | "eac3" | "opus")
    }

    /// Parses the header of the frame at the start of some bytes.
    pub(crate) fn parse(codec: &str, bytes: &[u8]) -> Look {
        /// Bytes of the longest header.
        const HEADER: usize = 7;
        let found = match codec {
            "opus" => return opus(bytes),
            _ if bytes.len() < HEADER => return Look::Short,
            "aac" => adts(bytes),
            "mp1" | "mp2" | "mp3" => Header::parse(bytes)
                .and_then(|header| Some((header.frame_bytes() as usize, ns(header.samples(), header.rate)?))),
            "ac3" | "eac3" => ac3(bytes),
            _ => None,
        };
        let frame = found.filter(|(bytes, _)| *bytes >= HEADER);
        frame.map_or(Look::Lost, |(bytes, ns)| Look::Found(Frame { head: 0, bytes, ns }))
    }
}

/// Reads the header of an AAC frame (ADTS, ISO/IEC 14496-3, 1.A.2.2).
fn adts(bytes: &[u8]) -> Option<(usize, i64)> {
    let &[0xff, second, third, fourth, fifth, sixth, seventh, ..] = bytes else { return None };
    if second & 0xf6 != 0xf0 {
        return None;
    }
    let length = usize::from(fourth & 3) << 11 | usize::from(fifth) << 3 | usize::from(sixth >> 5);
    let blocks = 1 + u64::from(seventh & 3);
    Some((length, ns(4 * BLOCK * blocks, *RATES.get(usize::from(third >> 2 & 0xf))?)?))
}

/// Reads the header of an AC-3 or E-AC-3 frame (ETSI TS 102 366, 4.3 and E.1.2).
fn ac3(bytes: &[u8]) -> Option<(usize, i64)> {
    const KBITS: [u32; 19] = [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640];
    const RATES: [u32; 3] = [48_000, 44_100, 32_000];
    let &[0x0b, 0x77, third, fourth, fifth, sixth, ..] = bytes else { return None };
    let rate = RATES.get(usize::from(fifth >> 6)).copied();
    // The identification of the bit stream: E-AC-3 has 11 to 16.
    match sixth >> 3 {
        0..=10 => {
            let (code, rate) = (fifth & 0x3f, rate?);
            let words = KBITS.get(usize::from(code >> 1))? * 1000 * (6 * BLOCK as u32) / rate / 16;
            // At 44.1 kHz every other size has a word more.
            let words = words + u32::from(code & 1 == 1 && rate == 44_100);
            Some((2 * words as usize, ns(6 * BLOCK, rate)?))
        }
        11..=16 => {
            let words = (usize::from(third & 7) << 8 | usize::from(fourth)) + 1;
            let (rate, blocks) = match rate {
                Some(rate) => (rate, [1, 2, 3, 6][usize::from(fifth >> 4 & 3)]),
                None => (RATES.get(usize::from(fifth >> 4 & 3))? / 2, 6),
            };
            Some((2 * words, ns(blocks * BLOCK, rate)?))
        }
        _ => None,
    }
}

/// Reads the control header before an Opus packet in a transport stream (ETSI TS 103 491).
fn opus(bytes: &[u8]) -> Look {
    let [first, second, ..] = bytes else { return Look::Short };
    if *first != 0x7f || second & 0xe0 != 0xe0 {
        return Look::Lost;
    }
    let (mut length, mut head) = (0, 2);
    loop {
        let Some(byte) = bytes.get(head) else { return Look::Short };
        head += 1;
        length += usize::from(*byte);
        if *byte < 255 {
            break;
        }
    }
    // Samples to leave out at the start and at the end, two bytes each.
    head += usize::from(second >> 4 & 1) * 2 + usize::from(second >> 3 & 1) * 2;
    // An extension states its length.
    if second & 4 != 0 {
        let Some(extension) = bytes.get(head) else { return Look::Short };
        head += 1 + usize::from(*extension);
    }
    let Some(packet) = bytes.get(head..).filter(|packet| packet.len() >= 2 || length < 2) else { return Look::Short };
    Look::Found(Frame { head, bytes: length, ns: ns(opus_samples(packet), 48_000).unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_the_sizes_of_their_headers() {
        let found = |codec: &str, bytes: &[u8]| match Frame::parse(codec, bytes) {
            Look::Found(frame) => Some((frame.head, frame.bytes, frame.ns)),
            _ => None,
        };
        assert_eq!(found("aac", &[0xff, 0xf1, 0x50, 0x80, 0x25, 0x5f, 0xfc]), Some((0, 0x12a, 23_219_954)));
        // 192 kbit/s at 48 kHz, and 448 with a word more at 44.1 kHz.
        assert_eq!(found("ac3", &[0x0b, 0x77, 0, 0, 20, 0x40, 0]), Some((0, 768, 32_000_000)));
        assert_eq!(found("ac3", &[0x0b, 0x77, 0, 0, 0x40 | 31, 0x40, 0]), Some((0, 1952, 34_829_931)));
        assert_eq!(found("eac3", &[0x0b, 0x77, 0x03, 0x7f, 0x34, 0x80, 0]), Some((0, 1792, 32_000_000)));
        let opus = [&[0x7f, 0xe0, 255, 3][..], &[0xfc; 258]].concat();
        assert_eq!(found("opus", &opus), Some((4, 258, 20_000_000)));
    }

    #[test]
    fn headers_that_are_cut_or_none_are_told_apart() {
        assert_eq!(Frame::parse("aac", &[0xff, 0xf1]), Look::Short);
        assert_eq!(Frame::parse("aac", &[0; 7]), Look::Lost);
        assert_eq!(Frame::parse("aac", &[0xff, 0xf1, 0x50, 0x80, 0, 0x1f, 0xfc]), Look::Lost, "shorter than a header");
        assert_eq!(Frame::parse("opus", &[0x7f, 0xe0, 255]), Look::Short);
        assert_eq!(Frame::parse("dts", &[0x7f; 9]), Look::Lost);
    }
}
