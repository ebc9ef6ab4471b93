//! The first packet of a logical stream: it gives the codec, and how its granules count.
//!
//! Sources: Vorbis I 4.2.2 and A.2, RFC 7845, Theora 6.2, RFC 9639 section 10.1, the Speex manual.

use crate::flac::{STREAM_INFO_BYTES, StreamInfo};
use crate::timeline::{Track, TrackKind};

/// Bytes of a first packet that are read. Speex has the longest, of 80.
pub(crate) const FIRST_PACKET_BYTES: u64 = 128;

/// Most header packets that a stream may claim. A FLAC stream has one per metadata block.
const MAX_HEADERS: u32 = 256;

/// The timing of a codec. A unit is a sample or a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Codec {
    pub(crate) track: Track,
    /// Number of units in `seconds` seconds.
    pub(crate) units: u64,
    pub(crate) seconds: u64,
    /// Units at the start that are decoded but not played.
    pub(crate) skipped: u64,
    /// Packets before the first one of audio or video, including the first packet.
    pub(crate) headers: u32,
    /// Most units in a packet; `None` if each packet states its own (Opus).
    pub(crate) packet: Option<u64>,
    /// Set if granules have two parts.
    keys: Option<Keys>,
    /// Offset of the comments in the second packet.
    pub(crate) comments_at: usize,
}

/// Theora's granules: the number of the last keyframe, and the pictures since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Keys {
    shift: u32,
    /// Whether the first picture has number 1, as since version 3.2.1.
    from_one: bool,
}

fn u16_le(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?)))
}

fn u32_le(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_be(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

impl Codec {
    /// Parses a first packet. Returns `None` if its codec's timing is not supported.
    pub(crate) fn parse(packet: &[u8]) -> Option<Codec> {
        let codec = if packet.starts_with(b"\x01vorbis") {
            let blocks = *packet.get(28)?;
            Codec::sound("vorbis", u32::from(*packet.get(11)?), u32_le(packet, 12)?)
                .headed(3, 7)
                // Two windows of the longer kind that overlap by half.
                .holding(1 << (blocks >> 4) >> 1)
        } else if packet.starts_with(b"OpusHead") {
            let mut codec = Codec::sound("opus", u32::from(*packet.get(9)?), 48_000).headed(2, 8);
            codec.skipped = u64::from(u16_le(packet, 10)?);
            codec
        } else if packet.starts_with(b"Speex   ") {
            let samples = u64::from(u32_le(packet, 56)?) * u64::from(u32_le(packet, 64)?.max(1));
            let headers = u32_le(packet, 68)?.checked_add(2)?;
            Codec::sound("speex", u32_le(packet, 48)?, u32_le(packet, 36)?).headed(headers, 0).holding(samples)
        } else if packet.starts_with(b"\x7fFLAC") {
            let info = StreamInfo::parse(packet.get(17..17 + STREAM_INFO_BYTES)?)?;
            let others = u32::from(u16::from_be_bytes(*packet.get(7..)?.first_chunk()?));
            // A zero means that the number is unknown. There is always a comment packet.
            Codec::sound("flac", info.channels, info.rate)
                .headed(1 + others.max(1), 4)
                .holding(u64::from(info.max_block))
        } else if packet.starts_with(b"\x80theora") {
            Codec::theora(packet)?
        } else {
            return None;
        };
        (codec.units > 0 && codec.seconds > 0 && codec.headers <= MAX_HEADERS).then_some(codec)
    }

    fn sound(name: &str, channels: u32, rate: u32) -> Codec {
        let audio = Some((channels, rate));
        let track = Track { kind: TrackKind::Audio, codec: name.into(), audio, ..Track::default() };
        let (units, keys) = (u64::from(rate), None);
        Codec { track, units, seconds: 1, skipped: 0, headers: 1, packet: None, keys, comments_at: 0 }
    }

    fn headed(self, headers: u32, comments_at: usize) -> Codec {
        Codec { headers, comments_at, ..self }
    }

    fn holding(self, units: u64) -> Codec {
        Codec { packet: Some(units.max(1)), ..self }
    }

    fn theora(packet: &[u8]) -> Option<Codec> {
        // Three bytes, after the last letter of the magic.
        let version = u32_be(packet, 6)? & 0x00ff_ffff;
        let size = |at: usize| Some(u32_be(packet, at)? >> 8);
        let shift = u32::from(u16::from_be_bytes(*packet.get(40..)?.first_chunk()?)) >> 5 & 31;
        let mut codec = Codec::sound("theora", 0, 0).headed(3, 7).holding(1);
        codec.track.kind = TrackKind::Video;
        codec.track.audio = None;
        codec.track.resolution = Some((size(14)?, size(17)?));
        codec.units = u64::from(u32_be(packet, 22)?);
        codec.seconds = u64::from(u32_be(packet, 26)?);
        codec.keys = Some(Keys { shift, from_one: version >= 0x03_02_01 });
        Some(codec)
    }

    /// Returns the number of units that end with a packet of the given granule.
    pub(crate) fn done(&self, granule: u64) -> u64 {
        match self.keys {
            None => granule,
            Some(Keys { shift, from_one }) => {
                (granule >> shift) + (granule & ((1 << shift) - 1)) + u64::from(!from_one)
            }
        }
    }

    /// Returns the unit at which decoding must begin for the packet of the given granule. `None` if
    /// it can begin anywhere.
    pub(crate) fn key(&self, granule: u64) -> Option<u64> {
        self.keys.map(|keys| (granule >> keys.shift).saturating_sub(u64::from(keys.from_one)))
    }

    /// Returns the number of units in a packet that begins with these bytes.
    pub(crate) fn packet_units(&self, packet: &[u8]) -> u64 {
        self.packet.unwrap_or_else(|| opus_samples(packet))
    }

    /// Returns the file's own timestamp of the end of this many units, in nanoseconds.
    pub(crate) fn nanos(&self, units: i128) -> i128 {
        (units - i128::from(self.skipped)) * i128::from(self.seconds) * 1_000_000_000 / i128::from(self.units)
    }

    /// Returns the unit that is played at the file's own timestamp.
    pub(crate) fn unit_at(&self, nanos: i128) -> u64 {
        // One nanosecond is added: times are truncated to whole ones, and a unit's own time should
        // find it.
        let unit = ((nanos + 1) * i128::from(self.units)).div_euclid(i128::from(self.seconds) * 1_000_000_000);
        u64::try_from(unit + i128::from(self.skipped)).unwrap_or(0)
    }
}

/// Returns the number of samples at 48 kHz in an Opus packet, from its first two bytes (RFC 6716
/// section 3.1); 0 if there are none.
pub(crate) fn opus_samples(packet: &[u8]) -> u64 {
    let Some(&toc) = packet.first() else { return 0 };
    let config = usize::from(toc >> 3);
    let frame = match config {
        0..12 => [480, 960, 1920, 2880][config & 3],
        12..16 => [480, 960][config & 1],
        _ => [120, 240, 480, 960][config & 3],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => packet.get(1).map_or(0, |count| u64::from(count & 63)),
    };
    frame * frames
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn theora(version: [u8; 3]) -> Codec {
        let mut packet = b"\x80theora".to_vec();
        packet.extend_from_slice(&version);
        packet.resize(42, 0);
        packet[14..17].copy_from_slice(&[0, 2, 0x80]);
        packet[17..20].copy_from_slice(&[0, 1, 0x68]);
        packet[22..26].copy_from_slice(&25u32.to_be_bytes());
        packet[26..30].copy_from_slice(&1u32.to_be_bytes());
        packet[40..42].copy_from_slice(&(6u16 << 5).to_be_bytes());
        Codec::parse(&packet).unwrap()
    }

    #[test]
    fn theoras_granules_count_keyframes_and_pictures_since() {
        let new = theora([3, 2, 1]);
        assert_eq!(new.track.resolution, Some((640, 360)));
        assert_eq!((new.done(31 << 6 | 4), new.key(31 << 6 | 4)), (35, Some(30)));
        let old = theora([3, 2, 0]);
        assert_eq!((old.done(30 << 6 | 4), old.key(30 << 6 | 4)), (35, Some(30)));
    }

    #[test]
    fn opus_packets_tell_how_long_they_are() {
        assert_eq!(opus_samples(&[0x08]), 960);
        assert_eq!(opus_samples(&[0xfc]), 960);
        assert_eq!(opus_samples(&[0xfd]), 1920);
        assert_eq!(opus_samples(&[0xe3, 0x03]), 360);
        assert_eq!(opus_samples(&[]), 0);
    }

    #[test]
    fn a_first_packet_that_is_cut_or_has_no_rate_is_none() {
        let whole = b"\x01vorbis\0\0\0\0\x02\x44\xac\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xb8\x01";
        assert_eq!(Codec::parse(whole).unwrap().packet, Some(1024));
        for cut in 0..28 {
            assert_eq!(Codec::parse(&whole[..cut]), None);
        }
        let mut silent = whole.to_vec();
        silent[12..16].fill(0);
        assert_eq!(Codec::parse(&silent), None);
    }

    #[test]
    fn the_time_of_a_unit_finds_the_unit() {
        let codec = theora([3, 2, 1]);
        for unit in [0, 1, 24, 25, 1_000_000] {
            assert_eq!(codec.unit_at(codec.nanos(unit)), unit as u64);
        }
    }
}
