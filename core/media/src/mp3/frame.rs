//! The four-byte header of an MPEG audio frame (ISO/IEC 11172-3 2.4.1.3, ISO/IEC 13818-3), and the
//! search for frames in arbitrary bytes.

/// Length of a header in bytes.
pub(crate) const HEADER_BYTES: usize = 4;

/// Length of the longest frame in bytes: layer II of MPEG-2.5 at 160 kbit/s and 8 kHz, with
/// padding.
pub(crate) const MAX_FRAME_BYTES: u64 = 2881;

/// A parsed frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// 1 for MPEG-1, 2 for MPEG-2, 3 for MPEG-2.5 (lower sample rates, not standardised).
    pub(crate) version: u8,
    /// The layer, 1 to 3.
    pub(crate) layer: u8,
    /// Bits per second.
    pub(crate) bitrate: u32,
    /// Samples per second.
    pub(crate) rate: u32,
    pub(crate) channels: u32,
    /// Whether a 16-bit checksum follows.
    pub(crate) checksum: bool,
    padding: bool,
}

/// Bitrates in kbit/s by index, in five rows: MPEG-1 layers I, II, III; MPEG-2 layer I; MPEG-2
/// layers II and III.
const BITRATES: [[u32; 14]; 5] = [
    [32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
    [32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
    [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
    [32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
    [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];

impl Header {
    /// Parses a header. Returns `None` if the bytes are not a header, or one of the free format,
    /// whose frames do not carry their size.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Header> {
        let &[sync, a, b, c] = bytes.first_chunk::<HEADER_BYTES>()?;
        if sync != 0xff || a & 0xe0 != 0xe0 || c & 3 == 2 {
            return None;
        }
        let version = match a >> 3 & 3 {
            0 => 3,
            2 => 2,
            3 => 1,
            _ => return None,
        };
        let layer = match a >> 1 & 3 {
            1 => 3,
            2 => 2,
            3 => 1,
            _ => return None,
        };
        let table = match (version, layer) {
            (1, layer) => usize::from(layer) - 1,
            (_, 1) => 3,
            _ => 4,
        };
        let bitrate = BITRATES[table].get(usize::from(b >> 4).checked_sub(1)?)? * 1000;
        let rate = [44_100, 48_000, 32_000].get(usize::from(b >> 2 & 3))? >> (version - 1);
        let channels = if c >> 6 == 3 { 1 } else { 2 };
        Some(Header { version, layer, bitrate, rate, channels, checksum: a & 1 == 0, padding: b & 2 != 0 })
    }

    /// Returns the number of samples in a frame.
    pub(crate) fn samples(&self) -> u64 {
        match (self.layer, self.version) {
            (1, _) => 384,
            (3, 2..) => 576,
            _ => 1152,
        }
    }

    /// Returns the number of bytes from this header to the next.
    pub(crate) fn frame_bytes(&self) -> u64 {
        // Layer I counts in slots of four bytes.
        let slot = if self.layer == 1 { 4 } else { 1 };
        let slots = self.samples() * u64::from(self.bitrate) / (8 * slot * u64::from(self.rate));
        (slots + u64::from(self.padding)) * slot
    }

    /// Returns the mean frame size in bytes at this bitrate, averaged over padding.
    pub(crate) fn mean_frame_bytes(&self) -> f64 {
        self.samples() as f64 * f64::from(self.bitrate) / (8.0 * f64::from(self.rate))
    }

    /// Whether both headers may belong to one stream.
    pub(crate) fn fits(&self, other: &Header) -> bool {
        (self.version, self.layer, self.rate) == (other.version, other.layer, other.rate)
    }

    /// Returns the length in bytes of layer III's side information, which follows the header.
    pub(crate) fn side_bytes(&self) -> usize {
        match (self.version, self.channels) {
            (1, 1) => 17,
            (1, _) => 32,
            (_, 1) => 9,
            _ => 17,
        }
    }

    /// Returns FFmpeg's name of the codec.
    pub(crate) fn codec(&self) -> &'static str {
        ["mp1", "mp2", "mp3"][usize::from(self.layer) - 1]
    }
}

/// Consecutive frames that must follow a candidate to confirm it. Sync words also occur by chance
/// within audio data.
const FOLLOWERS: u32 = 2;

/// Returns the header at a position of a window if [`FOLLOWERS`] matching frames follow it. If the
/// window reaches the end of the audio (`ended`), the last frame may end there instead.
pub(crate) fn confirmed(window: &[u8], at: usize, ended: bool) -> Option<Header> {
    let first = Header::parse(window.get(at..)?)?;
    let (mut header, mut place) = (first, at);
    for _ in 0..FOLLOWERS {
        place += header.frame_bytes() as usize;
        if ended && place == window.len() {
            break;
        }
        header = Header::parse(window.get(place..)?).filter(|next| next.fits(&first))?;
    }
    Some(first)
}

/// Returns the first confirmed frame in a window.
pub(crate) fn find(window: &[u8], ended: bool, like: Option<&Header>) -> Option<(usize, Header)> {
    (0..window.len())
        .filter(|at| window[*at] == 0xff)
        .filter_map(|at| Some((at, confirmed(window, at, ended)?)))
        .find(|(_, header)| like.is_none_or(|like| like.fits(header)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_each_version_and_layer_have_the_standards_sizes() {
        let of = |bytes: [u8; 4]| {
            let h = Header::parse(&bytes).unwrap();
            (h.version, h.layer, h.bitrate, h.rate, h.samples(), h.frame_bytes())
        };
        assert_eq!(of([0xff, 0xfb, 0x90, 0x64]), (1, 3, 128_000, 44_100, 1152, 417));
        assert_eq!(of([0xff, 0xfb, 0x92, 0x64]), (1, 3, 128_000, 44_100, 1152, 418));
        assert_eq!(of([0xff, 0xf3, 0x84, 0x64]), (2, 3, 64_000, 24_000, 576, 192));
        assert_eq!(of([0xff, 0xe3, 0x18, 0x64]), (3, 3, 8_000, 8_000, 576, 72));
        assert_eq!(of([0xff, 0xfd, 0x80, 0x04]), (1, 2, 128_000, 44_100, 1152, 417));
        assert_eq!(of([0xff, 0xff, 0xc0, 0x04]), (1, 1, 384_000, 44_100, 384, 416));
        assert_eq!(of([0xff, 0xe5, 0xea, 0x04]), (3, 2, 160_000, 8_000, 1152, MAX_FRAME_BYTES));
    }

    #[test]
    fn headers_with_reserved_values_or_a_free_format_are_none() {
        for bytes in [
            [0xff, 0xeb, 0x90, 0x64],
            [0xff, 0xf9, 0x90, 0x64],
            [0xff, 0xfb, 0xf0, 0x64],
            [0xff, 0xfb, 0x00, 0x64],
            [0xff, 0xfb, 0x9c, 0x64],
            [0xff, 0xfb, 0x90, 0x66],
            [0xfe, 0xfb, 0x90, 0x64],
        ] {
            assert_eq!(Header::parse(&bytes), None, "{bytes:02x?}");
        }
        assert_eq!(Header::parse(&[0xff, 0xfb, 0x90]), None);
    }

    #[test]
    fn a_sync_word_inside_sound_is_not_taken_for_a_frame() {
        let mut window = vec![0xff; 700];
        window[100..104].copy_from_slice(&[0xff, 0xfb, 0x90, 0x64]);
        let start = window.len();
        for _ in 0..3 {
            let mut frame = vec![0; 417];
            frame[..4].copy_from_slice(&[0xff, 0xfb, 0x90, 0x64]);
            window.extend(frame);
        }
        assert_eq!(find(&window, true, None).unwrap().0, start);
        assert_eq!(find(&window[..start + 417 * 2], false, None), None);
    }
}
