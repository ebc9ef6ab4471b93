//! Duration of audio frames, for containers that do not state it.

use super::aac::AudioConfig;
use crate::mp3::frame::Header;
use crate::ogg::codec::opus_samples;

/// Returns the duration in nanoseconds of an audio frame from its first bytes and its track's
/// configuration and sampling rate. `None` if the codec's frames have no duration known here.
pub(crate) fn frame_ns(codec: &str, config: &[u8], rate: Option<u32>, frame: &[u8]) -> Option<i64> {
    const BLOCK: u64 = 256;
    let (samples, rate) = match codec {
        "aac" => (4 * BLOCK, AudioConfig::parse(config).map(|config| config.core_rate).or(rate)?),
        "mp1" | "mp2" | "mp3" => Header::parse(frame).map(|header| (header.samples(), header.rate))?,
        "opus" => (opus_samples(frame), 48_000),
        "ac3" => (6 * BLOCK, rate?),
        // Two bits after the sampling rate (ETSI TS 102 366, E.1.2.2).
        "eac3" => ([1, 2, 3, 6][usize::from(frame.get(4)? >> 4 & 3)] * BLOCK, rate?),
        _ => return None,
    };
    (rate > 0).then(|| (samples * 1_000_000_000 / u64::from(rate)) as i64)
}
