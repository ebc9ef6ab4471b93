//! Width and height of pictures, from the data before a keyframe, since the tables of a transport
//! stream do not contain them.
//!
//! Reads no further than needed:
//!
//! - MPEG-1 and MPEG-2: the sequence header (ISO/IEC 13818-2, 6.2.2).
//! - H.264 and HEVC: the sequence parameter set.
//!
//! For other codecs the resolution stays unknown.

use super::packet::content;
use super::reading::{Event, Transport};
use crate::codec::annex_b::units;
use crate::codec::sps;
use crate::held::Held;
use crate::timeline::{Track, TrackKind};

/// Most bytes read of a picture's PES packet. Delimiter and parameter sets come first.
const MAX_BYTES: usize = 1024;
/// Longest span in bytes of these in the file, between packets of other streams.
const MAX_SPAN: u64 = 64 << 10;
/// Most pictures of a stream that are read to find its resolution.
const MAX_PICTURES: usize = 8;
/// Most pixels of either dimension. The highest levels of H.264 and HEVC end at half of it.
const MAX_PIXELS: u32 = 1 << 16;

/// Sets the resolution of a transport stream's video tracks where it is unknown and these events
/// contain it. Bytes from `end` on are not read.
pub(crate) fn complete(tracks: &mut [Track], transport: &Transport, held: &Held, events: &[Event], end: u64) {
    for (track, stream) in tracks.iter_mut().zip(&transport.program.streams) {
        if track.kind == TrackKind::Video && track.resolution.is_none() {
            // Keyframes are known for the main stream only.
            let pictures = events.iter().filter(|event| event.pid == stream.pid && (event.key || !event.main));
            track.resolution = pictures.take(MAX_PICTURES).find_map(|event| {
                let range = event.at..end.min(event.at + MAX_SPAN);
                of(&track.codec, &content(transport.layout, held, stream.pid, range, MAX_BYTES))
            });
        }
    }
}

/// Returns the size of a picture from its first bytes.
fn of(codec: &str, body: &[u8]) -> Option<(u32, u32)> {
    let size = match codec {
        "h264" => units(body).find_map(sps::h264).map(|set| set.size),
        "hevc" => units(body).find_map(sps::hevc).map(|set| set.size),
        "mpeg1video" | "mpeg2video" => mpeg2(body),
        _ => None,
    };
    size.filter(|(width, height)| (1..MAX_PIXELS).contains(width) && (1..MAX_PIXELS).contains(height))
}

/// Reads the sequence header, and the extension after it in which MPEG-2 has the highest bits.
fn mpeg2(body: &[u8]) -> Option<(u32, u32)> {
    let mut units = units(body).skip_while(|unit| unit.first() != Some(&0xb3));
    let &[_, first, second, third, ..] = units.next()? else { return None };
    let (first, second, third) = (u32::from(first), u32::from(second), u32::from(third));
    let (mut width, mut height) = (first << 4 | second >> 4, (second & 0xf) << 8 | third);
    if let Some(&[0xb5, first, second, third, ..]) = units.next()
        && first >> 4 == 1
    {
        width |= u32::from(second & 1) << 13 | u32::from(third >> 7) << 12;
        height |= u32::from(third >> 5 & 3) << 12;
    }
    Some((width, height))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Encodes numbers as Exp-Golomb codes.
    fn golomb(numbers: &[u32]) -> String {
        let code = |number: &u32| {
            let code = format!("{:b}", number + 1);
            "0".repeat(code.len() - 1) + &code
        };
        numbers.iter().map(code).collect()
    }

    /// Returns a NAL unit of a header and bits, after its start code.
    fn unit(header: &[u8], bits: &str) -> Vec<u8> {
        let mut unit = [&[0, 0, 1], header].concat();
        for eight in bits.as_bytes().chunks(8) {
            let byte = (0..8).fold(0, |byte, i| byte << 1 | u8::from(eight.get(i) == Some(&b'1')));
            // The emulation prevention byte.
            if byte <= 3 && unit.ends_with(&[0, 0]) {
                unit.push(3);
            }
            unit.push(byte);
        }
        unit
    }

    /// Returns an H.264 parameter set from three parts: the fields that a high profile adds, those
    /// of the picture order type, and the size.
    fn h264_set(profile: u8, high: &str, order: &str, size: &str) -> Vec<u8> {
        let start = format!("{profile:08b}0000000000011110{}", golomb(&[0]));
        unit(&[0x67], &[&start, high, &golomb(&[0]), order, &golomb(&[4]), "0", size].concat())
    }

    #[test]
    fn the_size_is_found_behind_lists_of_scaling() {
        let flat = "1".repeat(1 + 16);
        // Ends after two of its numbers: 4 more than 8 is 12, and 12 less than that nothing.
        let short = "1".to_owned() + "0001000" + "000011001";
        let large = "1".repeat(1 + 64);
        let high = [&golomb(&[1, 0, 0]), "01", &flat, &short, "0000", &large, "0"].concat();
        let size = golomb(&[119, 67]) + "111" + &golomb(&[0, 0, 0, 4]);
        assert_eq!(of("h264", &h264_set(100, &high, &golomb(&[0, 0]), &size)), Some((1920, 1080)));
    }

    #[test]
    fn the_size_is_found_behind_a_cycle_of_picture_orders() {
        let order = golomb(&[1]) + "0" + &golomb(&[5, 6, 3, 700, 8, 1]);
        let size = golomb(&[44, 17]) + "0010";
        assert_eq!(of("h264", &h264_set(77, "", &order, &size)), Some((720, 576)));
    }

    #[test]
    fn the_size_is_found_behind_profiles_of_temporal_layers() {
        let set = |layers: &str, about: &str| {
            let size = golomb(&[0, 1, 1920, 1088]) + "1" + &golomb(&[0, 0, 0, 4]);
            unit(&[0x42, 1], &["0000", layers, "1", &"01".repeat(48), about, &size].concat())
        };
        let single = set("000", "");
        assert_eq!(of("hevc", &single), Some((1920, 1080)));
        // One layer with profile and level, one with its level alone; six pairs of bits are
        // padding.
        let about = ["1101", &"00".repeat(6), &"10".repeat((88 + 8 + 8) / 2)].concat();
        assert_eq!(of("hevc", &set("010", &about)), Some((1920, 1080)));
        let other = [&single[..4], &[1 << 3 | 1], &single[5..]].concat();
        assert_eq!(of("hevc", &other), None, "that of another layer");
    }

    #[test]
    fn an_extension_has_the_highest_bits_of_a_sequence_headers_size() {
        let header = [0, 0, 1, 0xb3, 0xe0, 0x08, 0x70, 0x33, 0xff, 0xff, 0xe0, 0x18];
        assert_eq!(of("mpeg1video", &header), Some((0xe00, 0x870)));
        let extended = [&header[..], &[0, 0, 1, 0xb5, 0x14, 0x83, 0xa0, 1, 0, 0]].concat();
        assert_eq!(of("mpeg2video", &extended), Some((0xe00 | 3 << 12, 0x870 | 1 << 12)));
        let other = [&header[..], &[0, 0, 1, 0xb5, 0x24, 0x83, 0xa0, 1, 0, 0]].concat();
        assert_eq!(of("mpeg2video", &other), Some((0xe00, 0x870)), "an extension for display has none");
    }

    #[test]
    fn sizes_that_cannot_be_are_none() {
        let set = |size: String| of("h264", &h264_set(77, "", &golomb(&[0, 0]), &size));
        assert_eq!(set(golomb(&[9, 9]) + "110"), Some((160, 160)));
        assert_eq!(set(golomb(&[9, 9]) + "111" + &golomb(&[40, 40, 0, 0])), None, "nothing is left");
        assert_eq!(set(golomb(&[9, 9]) + "111" + &golomb(&[0, 0, u32::MAX - 1, u32::MAX - 1])), None);
        assert_eq!(set(golomb(&[u32::MAX - 1, 9]) + "110"), None);
        assert_eq!(set(golomb(&[4095, 9]) + "110"), None);
        assert_eq!(set(golomb(&[9])), None, "it ends before");
        assert_eq!(of("mpeg2video", &[0, 0, 1, 0xb3, 0, 0, 0x20]), None);
        assert_eq!(of("vvc", &h264_set(77, "", &golomb(&[0, 0]), &(golomb(&[9, 9]) + "110"))), None);
    }

    proptest! {
        #[test]
        fn any_bytes_have_a_size_or_none(
            head in 0_usize..5,
            rest in prop::collection::vec(prop_oneof![Just(0), Just(0xff), any::<u8>()], 0..700),
        ) {
            let heads: [&[u8]; 5] = [&[], &[0x67, 100, 0, 30], &[0x67, 77, 0, 30], &[0x42, 1], &[0xb3]];
            let body = [&[0, 0, 1], heads[head], &rest].concat();
            for codec in ["h264", "hevc", "mpeg2video"] {
                let size = of(codec, &body);
                prop_assert!(size.is_none_or(|(width, height)| width.max(height) < MAX_PIXELS && width.min(height) > 0));
            }
        }
    }
}
