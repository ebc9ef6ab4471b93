//! Uncompressed sound: L16 (RFC 3551, 4.5.11) and L24 (RFC 3190).

use super::{MAX_PAYLOAD_BYTES, Payload};

/// The form of samples in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pcm {
    /// Bytes per sample; one is unsigned.
    bytes: usize,
    little_endian: bool,
    channels: usize,
    rate: u32,
}

impl Pcm {
    /// Returns the form of a codec by FFmpeg's name. `None` if no format carries it.
    pub(super) fn of(codec: &str, (channels, rate): (u32, u32)) -> Option<Pcm> {
        let (bytes, little_endian) = match codec {
            "pcm_u8" => (1, true),
            "pcm_s16le" => (2, true),
            "pcm_s16be" => (2, false),
            "pcm_s24le" => (3, true),
            "pcm_s24be" => (3, false),
            _ => return None,
        };
        Some(Pcm { bytes, little_endian, channels: usize::try_from(channels).ok()?, rate })
            .filter(|pcm| pcm.wire_bytes() * pcm.channels <= MAX_PAYLOAD_BYTES)
    }

    /// Bytes per sample in packets. Samples of eight bits are widened, as few players take L8.
    fn wire_bytes(self) -> usize {
        self.bytes.max(2)
    }

    pub(super) fn encoding(self) -> String {
        format!("L{}/{}/{}", self.wire_bytes() * 8, self.rate, self.channels)
    }

    /// Returns whole frames in each payload, with their times.
    pub(super) fn split(self, data: &[u8]) -> Vec<Payload> {
        let frames = MAX_PAYLOAD_BYTES / (self.wire_bytes() * self.channels);
        let whole = data.len() / (self.bytes * self.channels) * (self.bytes * self.channels);
        let parts = data[..whole].chunks(frames * self.bytes * self.channels).enumerate();
        let after_ns = |n: usize| (n * frames) as i64 * 1_000_000_000 / i64::from(self.rate);
        parts.map(|(n, part)| Payload { marker: false, after_ns: after_ns(n), data: self.big_endian(part) }).collect()
    }

    fn big_endian(self, part: &[u8]) -> Vec<u8> {
        match (self.bytes, self.little_endian) {
            // The middle of unsigned samples is 128.
            (1, _) => part.iter().flat_map(|byte| [byte ^ 0x80, 0]).collect(),
            (bytes, true) => part.chunks_exact(bytes).flat_map(|sample| sample.iter().rev().copied()).collect(),
            _ => part.to_vec(),
        }
    }
}
