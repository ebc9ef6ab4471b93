//! Sample descriptions: the content of a track, with FFmpeg's codec names.

use super::boxes::{inside, name};
use super::bytes::Bytes;
use crate::codec::aac::AudioConfig;
use crate::timeline::{Track, TrackKind};

/// Fills a track and its codec configuration from the first entry of its `stsd`. The entry may be
/// cut off; unreadable parts are skipped.
pub(super) fn describe(mut entry: Bytes<'_>, track: &mut Track, configuration: &mut Vec<u8>) -> Option<()> {
    let _size = entry.u32()?;
    let kind = entry.kind()?;
    track.codec = codec(kind);
    entry.take(8)?;
    match track.kind {
        TrackKind::Video => {
            entry.take(16)?;
            let resolution = (u32::from(entry.u16()?), u32::from(entry.u16()?));
            track.resolution = Some(resolution).filter(|(width, height)| *width > 0 && *height > 0);
            entry.take(50)?;
            *configuration = config(entry).unwrap_or_default();
            if &kind == b"mp4v"
                && let Some((object, _)) = elementary(entry)
            {
                track.codec = object_codec(object).unwrap_or("mpeg4").into();
            }
        }
        TrackKind::Audio => {
            let version = entry.u16()?;
            entry.take(6)?;
            let channels = u32::from(entry.u16()?);
            entry.take(6)?;
            let rate = entry.u32()? >> 16;
            track.audio = Some((channels, rate));
            match version {
                1 => {
                    entry.take(16)?;
                }
                2 => {
                    // QuickTime's version 2: the rate as a double, then the channels.
                    entry.take(4)?;
                    let rate = f64::from_bits(entry.u64()?);
                    let channels = entry.u32()?;
                    track.audio = Some((channels, rate as u32));
                    entry.take(20)?;
                }
                _ => {}
            }
            let described = inside(entry).find(|(kind, _)| kind == b"wave").map_or(entry, |(_, wave)| wave);
            *configuration = config(described).unwrap_or_default();
            if let Some((channels, audio)) = dolby(entry).zip(track.audio.as_mut()) {
                audio.0 = channels;
            }
            if &kind == b"mp4a"
                && let Some((object, config)) = elementary(described)
            {
                track.codec = object_codec(object).unwrap_or("aac").into();
                if track.codec == "aac"
                    && let Some((channels, rate)) =
                        config.and_then(AudioConfig::parse).map(|config| (config.channels, config.rate))
                {
                    let said = track.audio.map_or(0, |audio| audio.0);
                    track.audio = Some((if channels == 0 { said } else { channels }, rate));
                }
            }
        }
        TrackKind::Subtitle | TrackKind::Other => {}
    }
    Some(())
}

/// Returns the codec configuration among the boxes of a sample entry.
fn config(entry: Bytes<'_>) -> Option<Vec<u8>> {
    inside(entry).find_map(|(kind, body)| match &kind {
        b"avcC" | b"hvcC" | b"vvcC" | b"av1C" => Some(body.0.to_vec()),
        b"esds" => elementary(entry).and_then(|(_, config)| config).map(<[u8]>::to_vec),
        b"dOps" => opus(body),
        // Version and flags, then the header of the metadata block.
        b"dfLa" => body.0.get(8..8 + 34).map(<[u8]>::to_vec),
        b"alac" => Some([&(body.0.len() as u32 + 8).to_be_bytes()[..], b"alac", body.0].concat()),
        _ => None,
    })
}

/// Returns the identification header of RFC 7845 for a `dOps` box, which has the same fields as
/// big-endian numbers.
fn opus(mut body: Bytes<'_>) -> Option<Vec<u8>> {
    let (_version, channels) = (body.u8()?, body.u8()?);
    let (pre_skip, rate, gain) = (body.u16()?, body.u32()?, body.u16()?);
    let head = [b"OpusHead", &[1, channels][..], &pre_skip.to_le_bytes(), &rate.to_le_bytes(), &gain.to_le_bytes()];
    Some([&head.concat(), body.0].concat())
}

/// Returns FFmpeg's name for the kind of a sample entry. An unknown kind is returned unchanged.
fn codec(kind: [u8; 4]) -> String {
    let known = match &kind {
        b"avc1" | b"avc2" | b"avc3" | b"avc4" | b"dva1" | b"dvav" => "h264",
        b"hvc1" | b"hev1" | b"dvh1" | b"dvhe" => "hevc",
        b"vvc1" | b"vvi1" => "vvc",
        b"av01" | b"dav1" => "av1",
        b"vp08" => "vp8",
        b"vp09" => "vp9",
        b"mp4v" => "mpeg4",
        b"s263" | b"h263" => "h263",
        b"jpeg" | b"mjpa" => "mjpeg",
        b"png " => "png",
        b"apch" | b"apcn" | b"apcs" | b"apco" | b"ap4h" | b"ap4x" => "prores",
        b"AVdn" | b"AVdh" => "dnxhd",
        b"mp4a" => "aac",
        b".mp3" | b"mp3 " => "mp3",
        b"ac-3" | b"AC-3" | b"sac3" => "ac3",
        b"ec-3" => "eac3",
        b"ac-4" => "ac4",
        b"dtsc" | b"dtsh" | b"dtsl" | b"dtse" => "dts",
        b"mlpa" => "truehd",
        b"Opus" => "opus",
        b"fLaC" => "flac",
        b"alac" => "alac",
        b"samr" => "amr_nb",
        b"sawb" => "amr_wb",
        b"sowt" => "pcm_s16le",
        b"twos" => "pcm_s16be",
        b"in24" => "pcm_s24be",
        b"in32" => "pcm_s32be",
        b"fl32" => "pcm_f32be",
        b"fl64" => "pcm_f64be",
        b"ulaw" => "pcm_mulaw",
        b"alaw" => "pcm_alaw",
        b"tx3g" | b"text" => "mov_text",
        b"wvtt" => "webvtt",
        b"stpp" => "ttml",
        b"c608" => "eia_608",
        _ => return name(kind).trim_end().to_owned(),
    };
    known.to_owned()
}

/// Returns FFmpeg's name for an object type of MPEG-4 Systems (ISO/IEC 14496-1, and the
/// registration authority's list).
fn object_codec(object: u8) -> Option<&'static str> {
    Some(match object {
        0x20 => "mpeg4",
        0x40 | 0x66..=0x68 => "aac",
        0x60..=0x65 => "mpeg2video",
        0x69 | 0x6b => "mp3",
        0x6a => "mpeg1video",
        0x6c => "mjpeg",
        0xa5 => "ac3",
        0xa6 => "eac3",
        0xa9 => "dts",
        0xad => "opus",
        0xdd => "vorbis",
        _ => return None,
    })
}

/// Returns the object type in an `esds` box and the decoder's configuration.
fn elementary(entry: Bytes<'_>) -> Option<(u8, Option<&[u8]>)> {
    let (_, mut body) = inside(entry).find(|(kind, _)| kind == b"esds")?;
    body.full()?;
    let (tag, mut stream) = descriptor(&mut body)?;
    if tag != 3 {
        return None;
    }
    stream.u16()?;
    let flags = stream.u8()?;
    if flags & 0x80 != 0 {
        stream.take(2)?;
    }
    if flags & 0x40 != 0 {
        let length = stream.u8()?;
        stream.take(usize::from(length))?;
    }
    if flags & 0x20 != 0 {
        stream.take(2)?;
    }
    let (tag, mut config) = descriptor(&mut stream)?;
    if tag != 4 {
        return None;
    }
    let object = config.u8()?;
    let specific = config.take(12).and_then(|_| descriptor(&mut config)).filter(|(tag, _)| *tag == 5);
    Some((object, specific.map(|(_, bytes)| bytes.0)))
}

/// Reads a descriptor: tag, length in groups of seven bits, and body, which may be cut off.
fn descriptor<'a>(bytes: &mut Bytes<'a>) -> Option<(u8, Bytes<'a>)> {
    let tag = bytes.u8()?;
    let mut length = 0usize;
    for _ in 0..4 {
        let byte = bytes.u8()?;
        length = length << 7 | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    let length = length.min(bytes.0.len());
    Some((tag, Bytes(bytes.take(length)?)))
}

/// Returns the channels of AC-3 and E-AC-3 (ETSI TS 102 366, Annex F), whose sample entries always
/// state two.
fn dolby(entry: Bytes<'_>) -> Option<u32> {
    const CHANNELS: [u32; 8] = [2, 1, 2, 3, 3, 4, 4, 5];
    let mode = |bits: u32| CHANNELS[(bits >> 1 & 7) as usize] + (bits & 1);
    inside(entry).find_map(|(kind, body)| match (&kind, body.0) {
        // fscod 2, bsid 5, bsmod 3, acmod 3, lfeon 1, and more.
        (b"dac3", [a, b, ..]) => Some(mode(u32::from_be_bytes([0, 0, *a, *b]) >> 2)),
        // data_rate 13, num_ind_sub 3; fscod 2, bsid 5, reserved 1, asvc 1, bsmod 3, acmod 3, lfeon
        // 1.
        (b"dec3", [_, _, a, b, ..]) => Some(mode(u32::from_be_bytes([0, 0, *a, *b]))),
        _ => None,
    })
}
