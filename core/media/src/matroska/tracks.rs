//! Info and Tracks: the timing and the streams of a Matroska file.

use super::ebml::{child, children, float, text, uint};
use super::ids;
use crate::flac::STREAM_INFO_BYTES;
use crate::riff_codecs;
use crate::timeline::{Track, TrackKind};

/// The properties shared by all blocks of a file.
#[derive(Clone, Debug)]
pub(crate) struct Film {
    /// Nanoseconds per tick of its timestamps.
    pub(crate) scale: u64,
    /// Duration stated by the file, in microseconds.
    pub(crate) duration_us: Option<i64>,
    pub(crate) tracks: Vec<Entry>,
}

/// A track with the properties that determine its blocks' times.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) number: u64,
    /// Nanoseconds per frame.
    pub(crate) frame_ns: Option<u64>,
    /// Codec delay in nanoseconds, which is subtracted from timestamps.
    pub(crate) delay_ns: u64,
    /// Codec configuration; see [`TrackSetup`](crate::TrackSetup).
    pub(crate) config: Vec<u8>,
    /// How its frames are stored.
    pub(crate) coding: Coding,
    pub(crate) track: Track,
}

/// How the frames of a track are stored (RFC 9559, 5.1.4.1.31).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// These bytes were removed from the start of each. Empty for plain frames.
    Stripped(Vec<u8>),
    /// Compressed or encrypted. They are not read.
    Opaque,
}

/// Most tracks that are read.
const MAX_TRACKS: usize = 256;
/// Latest plausible time in microseconds: a thousand years. Sums of later times would overflow.
const MAX_TIME_US: i128 = 1000 * 366 * 86_400 * 1_000_000;

impl Default for Film {
    fn default() -> Film {
        Film { scale: 1_000_000, duration_us: None, tracks: Vec::new() }
    }
}

impl Film {
    /// Converts ticks to microseconds, rounded.
    pub(crate) fn us(&self, ticks: i64) -> i64 {
        let us = (i128::from(ticks) * i128::from(self.scale) + 500).div_euclid(1000);
        us.clamp(-MAX_TIME_US, MAX_TIME_US) as i64
    }

    /// Returns the codec delay of a track in microseconds, rounded to ticks as FFmpeg does.
    pub(crate) fn delay_us(&self, entry: &Entry) -> i64 {
        self.us(((entry.delay_ns + self.scale / 2) / self.scale) as i64)
    }

    /// Returns the first video track, else the first audio track, else the first.
    pub(crate) fn main(&self) -> Option<&Entry> {
        let first = |kind| self.tracks.iter().find(|entry| entry.track.kind == kind);
        first(TrackKind::Video).or_else(|| first(TrackKind::Audio)).or(self.tracks.first())
    }

    pub(crate) fn by_number(&self, number: u64) -> Option<&Entry> {
        self.tracks.iter().find(|entry| entry.number == number)
    }

    /// Takes the content of an Info element.
    pub(crate) fn read_info(&mut self, content: &[u8]) {
        if let Some(scale) = child(content, ids::TIMESTAMP_SCALE).and_then(uint)
            && (1..=10_000_000_000).contains(&scale)
        {
            self.scale = scale;
        }
        let ticks = child(content, ids::DURATION).and_then(float).filter(|ticks| *ticks > 0.0);
        let us = ticks.map(|ticks| ticks * self.scale as f64 / 1000.0);
        self.duration_us = us.filter(|us| *us < MAX_TIME_US as f64).map(|us| us.round() as i64);
    }

    /// Takes the content of a Tracks element.
    pub(crate) fn read_tracks(&mut self, content: &[u8]) {
        let entries = children(content).filter(|(id, _)| *id == ids::TRACK_ENTRY).take(MAX_TRACKS);
        self.tracks = entries.filter_map(|(_, content)| entry(content)).collect();
    }
}

fn entry(content: &[u8]) -> Option<Entry> {
    let number = child(content, ids::TRACK_NUMBER).and_then(uint)?;
    let kind = match child(content, ids::TRACK_TYPE).and_then(uint)? {
        1 => TrackKind::Video,
        2 => TrackKind::Audio,
        17 => TrackKind::Subtitle,
        _ => TrackKind::Other,
    };
    let id = child(content, ids::CODEC_ID).and_then(text).unwrap_or_default();
    let private = child(content, ids::CODEC_PRIVATE).unwrap_or_default();
    let number_in = |content, id| child(content, id).and_then(uint).and_then(|n| u32::try_from(n).ok());

    let video = child(content, ids::VIDEO);
    let resolution = video.and_then(|v| Some((number_in(v, ids::PIXEL_WIDTH)?, number_in(v, ids::PIXEL_HEIGHT)?)));
    let audio = child(content, ids::AUDIO);
    let bits = audio.and_then(|a| number_in(a, ids::BIT_DEPTH)).unwrap_or(0);
    let audio = audio.map(|a| {
        let own = child(a, ids::SAMPLING_FREQUENCY).and_then(float).unwrap_or(8000.0);
        let rate = child(a, ids::OUTPUT_SAMPLING_FREQUENCY).and_then(float).unwrap_or(own);
        (number_in(a, ids::CHANNELS).unwrap_or(1), rate.clamp(0.0, 1e9) as u32)
    });
    let language = child(content, ids::LANGUAGE_BCP47).or_else(|| child(content, ids::LANGUAGE));
    let language = match language {
        Some(said) => text(said),
        // The standard's default.
        None => Some("eng".into()),
    };
    let codec = codec(&id, private, bits);
    Some(Entry {
        config: config(&id, &codec, private),
        coding: coding(content),
        number,
        frame_ns: child(content, ids::DEFAULT_DURATION).and_then(uint).filter(|ns| (1..60_000_000_000).contains(ns)),
        delay_ns: child(content, ids::CODEC_DELAY).and_then(uint).filter(|ns| *ns < 10_000_000_000).unwrap_or(0),
        track: Track {
            kind,
            codec,
            language: language.filter(|said| said != "und"),
            title: child(content, ids::NAME).and_then(text),
            resolution,
            audio,
        },
    })
}

/// Returns the codec configuration in a track's private data.
fn config(id: &str, codec: &str, private: &[u8]) -> Vec<u8> {
    /// Length of the Windows headers before the codec's own data.
    const BITMAP_HEADER: usize = 40;
    const WAVE_HEADER: usize = 18;
    /// Length of the magic and of the header of a metadata block.
    const FLAC_HEADER: usize = 8;
    let from = |start: usize| private.get(start..).unwrap_or_default();
    let config = match (id, codec) {
        ("V_MS/VFW/FOURCC", _) => from(BITMAP_HEADER),
        ("A_MS/ACM", _) => from(WAVE_HEADER),
        (_, "flac") => from(FLAC_HEADER).get(..STREAM_INFO_BYTES).unwrap_or_default(),
        _ => private,
    };
    config.to_vec()
}

/// Returns how the frames of a track are stored.
fn coding(content: &[u8]) -> Coding {
    const HEADER_STRIPPING: u64 = 3;
    let Some(encodings) = child(content, ids::CONTENT_ENCODINGS) else { return Coding::Stripped(Vec::new()) };
    let mut encodings = children(encodings).filter(|(id, _)| *id == ids::CONTENT_ENCODING);
    let stripped = |encoding: &[u8]| {
        let scope = child(encoding, ids::CONTENT_ENCODING_SCOPE).and_then(uint).unwrap_or(1);
        let compression = child(encoding, ids::CONTENT_COMPRESSION)?;
        let method = child(compression, ids::CONTENT_COMP_ALGO).and_then(uint).unwrap_or(0);
        (method == HEADER_STRIPPING && scope == 1)
            .then(|| child(compression, ids::CONTENT_COMP_SETTINGS).unwrap_or_default().to_vec())
    };
    let Some((_, first)) = encodings.next() else { return Coding::Stripped(Vec::new()) };
    match stripped(first).filter(|_| encodings.next().is_none()) {
        Some(bytes) => Coding::Stripped(bytes),
        None => Coding::Opaque,
    }
}

/// Returns FFmpeg's name of a codec, or the file's own name for it.
fn codec(id: &str, private: &[u8], bits: u32) -> String {
    let name = match id {
        "V_MPEG4/ISO/AVC" => "h264",
        "V_MPEGH/ISO/HEVC" => "hevc",
        "V_MPEGI/ISO/VVC" => "vvc",
        "V_MPEG4/ISO/ASP" | "V_MPEG4/ISO/SP" | "V_MPEG4/ISO/AP" => "mpeg4",
        "V_MPEG4/MS/V3" => "msmpeg4v3",
        "V_UNCOMPRESSED" => "rawvideo",
        "A_MPEG/L1" => "mp1",
        "A_MPEG/L2" => "mp2",
        "A_MPEG/L3" => "mp3",
        "A_TTA1" => "tta",
        "A_WAVPACK4" => "wavpack",
        "A_PCM/INT/LIT" if bits == 8 => "pcm_u8",
        "A_PCM/INT/LIT" => return format!("pcm_s{bits}le"),
        "A_PCM/INT/BIG" => return format!("pcm_s{bits}be"),
        "A_PCM/FLOAT/IEEE" => return format!("pcm_f{bits}le"),
        "S_TEXT/UTF8" => "subrip",
        "S_TEXT/ASCII" => "text",
        "S_TEXT/ASS" | "S_TEXT/SSA" | "S_ASS" | "S_SSA" => "ass",
        "S_VOBSUB" => "dvd_subtitle",
        "S_HDMV/PGS" => "hdmv_pgs_subtitle",
        "S_HDMV/TEXTST" => "hdmv_text_subtitle",
        "S_DVBSUB" => "dvb_subtitle",
        // These carry a Windows header with its own codec code.
        "V_MS/VFW/FOURCC" => match private.get(16..20) {
            Some(fourcc) => return riff_codecs::video(fourcc.try_into().unwrap_or_default()),
            None => id,
        },
        "A_MS/ACM" => match private {
            [low, high, ..] => return riff_codecs::audio(u16::from_le_bytes([*low, *high]), bits),
            _ => id,
        },
        _ => match id {
            id if id.starts_with("A_AAC") => "aac",
            id if id.starts_with("A_AC3") => "ac3",
            id if id.starts_with("A_DTS") => "dts",
            id if id.starts_with("V_REAL/RV") => return format!("rv{}", &id["V_REAL/RV".len()..].to_lowercase()),
            id if id.ends_with("WEBVTT") || id.starts_with("D_WEBVTT") => "webvtt",
            "V_MPEG1" => "mpeg1video",
            "V_MPEG2" => "mpeg2video",
            // The others have matching names: V_VP9, A_OPUS, A_FLAC, …
            id => return id.split_once('_').map_or(id, |(_, name)| name).to_ascii_lowercase(),
        },
    };
    name.to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn element(id: &[u8], content: &[u8]) -> Vec<u8> {
        [id, &[0x80 | content.len() as u8], content].concat()
    }

    #[test]
    fn codecs_have_ffmpegs_names() {
        for (id, name) in [
            ("V_MPEG4/ISO/AVC", "h264"),
            ("V_VP9", "vp9"),
            ("V_AV1", "av1"),
            ("V_MPEG2", "mpeg2video"),
            ("A_OPUS", "opus"),
            ("A_AAC/MPEG4/LC/SBR", "aac"),
            ("A_EAC3", "eac3"),
            ("A_TRUEHD", "truehd"),
            ("S_TEXT/UTF8", "subrip"),
            ("D_WEBVTT/SUBTITLES", "webvtt"),
            ("S_TEXT/WEBVTT", "webvtt"),
        ] {
            assert_eq!(codec(id, &[], 0), name, "{id}");
        }
        assert_eq!(codec("A_PCM/INT/LIT", &[], 16), "pcm_s16le");
        let mut header = vec![0; 40];
        header[16..20].copy_from_slice(b"XVID");
        assert_eq!(codec("V_MS/VFW/FOURCC", &header, 0), "mpeg4");
        assert_eq!(codec("V_MS/VFW/FOURCC", &[], 0), "V_MS/VFW/FOURCC");
        assert_eq!(codec("A_MS/ACM", &[0x55, 0], 0), "mp3");
    }

    #[test]
    fn a_track_that_does_not_say_its_language_is_english_as_the_standard_has_it() {
        let track = [element(&[0xd7], &[1]), element(&[0x83], &[17])].concat();
        assert_eq!(entry(&track).unwrap().track.language.as_deref(), Some("eng"));
        let und = [track.clone(), element(&[0x22, 0xb5, 0x9c], b"und")].concat();
        assert_eq!(entry(&und).unwrap().track.language, None);
        let both = [track, element(&[0x22, 0xb5, 0x9c], b"ger"), element(&[0x22, 0xb5, 0x9d], b"de-CH")].concat();
        assert_eq!(entry(&both).unwrap().track.language.as_deref(), Some("de-CH"));
    }

    #[test]
    fn times_that_would_overflow_are_clamped() {
        let film = Film { scale: 10_000_000_000, ..Film::default() };
        assert!(film.us(i64::MAX) < i64::MAX / 100);
        assert!(film.us(i64::MIN) > i64::MIN / 100);
        let film = Film::default();
        assert_eq!(film.us(-3), -3000);
    }
}
