//! Detects keyframes by the first bytes of their PES packet, for muxers that do not set the random
//! access indicator. Implements only the part of each codec's syntax that this needs.

/// Whether the picture that begins here is a keyframe according to its first bytes.
pub(crate) fn starts(codec: &str, body: &[u8]) -> bool {
    // The byte after each start code.
    let mut units = body.windows(4).filter(|w| w.starts_with(&[0, 0, 1])).map(|w| w[3]);
    match codec {
        // An IDR slice or a sequence parameter set (ITU-T H.264, table 7-1).
        "h264" => units.any(|unit| matches!(unit & 0x1f, 5 | 7)),
        // A picture with random access, or a parameter set of the video or the sequence (ITU-T
        // H.265, table 7-1).
        "hevc" => units.any(|unit| matches!(unit >> 1 & 0x3f, 16..=21 | 32 | 33)),
        // The same of ITU-T H.266, whose type is in the second byte.
        "vvc" => body.windows(5).any(|w| w.starts_with(&[0, 0, 1]) && matches!(w[4] >> 3, 7..=9 | 14 | 15)),
        // A sequence header, or a picture of type I (ISO/IEC 13818-2, 6.2).
        "mpeg1video" | "mpeg2video" => {
            units.any(|unit| unit == 0xb3)
                || body.windows(6).any(|w| w.starts_with(&[0, 0, 1, 0]) && w[5] >> 3 & 7 == 1)
        }
        // A visual object sequence, or a VOP of type I (ISO/IEC 14496-2, 6.2).
        "mpeg4" => {
            units.any(|unit| unit == 0xb0) || body.windows(5).any(|w| w.starts_with(&[0, 0, 1, 0xb6]) && w[4] >> 6 == 0)
        }
        // A sequence header (SMPTE 421M, annex E).
        "vc1" => units.any(|unit| unit == 0x0f),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keyframes_are_known_by_their_first_units() {
        assert!(starts("h264", &[0, 0, 0, 1, 9, 0xf0, 0, 0, 0, 1, 0x67, 0x42]));
        assert!(starts("h264", &[0, 0, 1, 0x65, 0x88]));
        assert!(!starts("h264", &[0, 0, 0, 1, 9, 0xf0, 0, 0, 0, 1, 0x41, 0x9a]));
        assert!(starts("hevc", &[0, 0, 0, 1, 0x46, 1, 0x50, 0, 0, 0, 1, 0x40, 1]));
        assert!(starts("hevc", &[0, 0, 1, 0x26, 1]));
        assert!(!starts("hevc", &[0, 0, 1, 0x02, 1]));
        assert!(starts("mpeg2video", &[0, 0, 1, 0xb3, 0x14]));
        assert!(starts("mpeg2video", &[0, 0, 1, 0, 0, 0x0f, 0xff]));
        assert!(!starts("mpeg2video", &[0, 0, 1, 0, 0, 0x57, 0xff]));
        assert!(!starts("aac", &[0xff, 0xf1]));
    }
}
