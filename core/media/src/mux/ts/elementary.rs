//! Elementary streams in the form that transport streams carry: Annex B byte streams with access
//! unit delimiters, AAC with ADTS headers, Opus with control headers.

use super::tables::descriptor;
use crate::codec::aac::{AudioConfig, RATES};
use crate::codec::annex_b;
use crate::samples::{ParameterSets, Sample, TrackSetup};
use crate::timeline::Track;

const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// How a codec is carried.
#[derive(Clone, Debug)]
pub(super) struct Carriage {
    pub(super) stream_type: u8,
    pub(super) stream_id: u8,
    pub(super) descriptors: Vec<u8>,
    form: Form,
}

/// How a sample becomes a part of an elementary stream.
#[derive(Clone, Debug)]
enum Form {
    /// Unchanged.
    Plain,
    /// NAL units, with the parameter sets of the configuration.
    Units {
        sets: Option<ParameterSets>,
        hevc: bool,
    },
    /// AAC frames, with the configuration for their headers. Without one they have headers.
    Adts(Option<AudioConfig>),
    /// With the configuration before keyframes.
    Headed(Vec<u8>),
    Opus,
}

impl Carriage {
    /// Returns how a track is carried. `None` if transport streams cannot carry it.
    pub(super) fn of(track: &Track, setup: &TrackSetup) -> Option<Carriage> {
        const REGISTRATION: u8 = 0x05;
        const EXTENSION: u8 = 0x7f;
        const VIDEO: u8 = 0xe0;
        const AUDIO: u8 = 0xc0;
        const PRIVATE: u8 = 0xbd;
        let sets = || setup.parameter_sets(&track.codec);
        let registered = |name: &[u8; 4]| descriptor(REGISTRATION, name);
        // Configurations that cannot be parsed leave no way to convert.
        let readable = sets().is_some() || setup.config.is_empty();
        let (stream_type, stream_id, descriptors, form) = match track.codec.as_str() {
            "h264" if readable => (0x1b, VIDEO, Vec::new(), Form::Units { sets: sets(), hevc: false }),
            "hevc" if readable => (0x24, VIDEO, registered(b"HEVC"), Form::Units { sets: sets(), hevc: true }),
            "mpeg4" => (0x10, VIDEO, Vec::new(), Form::Headed(setup.config.clone())),
            "mpeg1video" => (0x01, VIDEO, Vec::new(), Form::Headed(setup.config.clone())),
            "mpeg2video" => (0x02, VIDEO, Vec::new(), Form::Headed(setup.config.clone())),
            "aac" if setup.config.is_empty() => (0x0f, AUDIO, Vec::new(), Form::Adts(None)),
            "aac" => (0x0f, AUDIO, Vec::new(), Form::Adts(Some(adts(&setup.config)?))),
            "mp1" | "mp2" | "mp3" => {
                // ISO/IEC 13818-3 has the rates below 32 kHz.
                let low = track.audio.is_some_and(|(_, rate)| rate < 32_000);
                (if low { 0x04 } else { 0x03 }, AUDIO, Vec::new(), Form::Plain)
            }
            "ac3" => (0x81, PRIVATE, registered(b"AC-3"), Form::Plain),
            "eac3" => (0x87, PRIVATE, registered(b"EAC3"), Form::Plain),
            "dts" => (0x8a, PRIVATE, registered(b"DTS1"), Form::Plain),
            "opus" => {
                let channels = setup.config.get(9).copied().or(track.audio.map(|(channels, _)| channels as u8))?;
                // Codes above 8 have tables of their own.
                let extension = descriptor(EXTENSION, &[0x80, Some(channels).filter(|n| (1..=8).contains(n))?]);
                (0x06, PRIVATE, [registered(b"Opus"), extension].concat(), Form::Opus)
            }
            _ => return None,
        };
        let language = track.language.as_deref().map(str::as_bytes).filter(|language| language.len() == 3);
        const LANGUAGE: u8 = 0x0a;
        let language = language.map(|language| descriptor(LANGUAGE, &[language, &[0]].concat())).unwrap_or_default();
        Some(Carriage { stream_type, stream_id, descriptors: [descriptors, language].concat(), form })
    }

    /// Appends a sample in the form of the elementary stream.
    pub(super) fn append(&self, sample: &Sample, out: &mut Vec<u8>) {
        let data = sample.data.as_slice();
        match &self.form {
            Form::Plain | Form::Adts(None) => out.extend_from_slice(data),
            Form::Units { sets: Some(sets), hevc } => {
                append_units(sets.units(data), Some(sets), *hevc, sample.key, out);
            }
            Form::Units { sets: None, hevc } => append_units(annex_b::units(data), None, *hevc, sample.key, out),
            Form::Adts(Some(config)) => {
                out.extend_from_slice(&adts_header(config, data.len()));
                out.extend_from_slice(data);
            }
            Form::Headed(config) => {
                if sample.key && !data.starts_with(config.get(..4).unwrap_or(config)) {
                    out.extend_from_slice(config);
                }
                out.extend_from_slice(data);
            }
            Form::Opus => {
                out.extend_from_slice(&[0x7f, 0xe0]);
                let mut rest = data.len();
                while rest >= 255 {
                    out.push(255);
                    rest -= 255;
                }
                out.push(rest as u8);
                out.extend_from_slice(data);
            }
        }
    }
}

/// Returns a configuration that ADTS headers can express (ISO/IEC 14496-3, 1.A.2.2).
fn adts(config: &[u8]) -> Option<AudioConfig> {
    let config = AudioConfig::parse(config)?;
    let expressible = (1..=4).contains(&config.object) && (1..=7).contains(&config.layout);
    (expressible && RATES.contains(&config.core_rate)).then_some(config)
}

fn adts_header(config: &AudioConfig, length: usize) -> [u8; 7] {
    let index = RATES.iter().position(|rate| *rate == config.core_rate).unwrap_or_default() as u8;
    let (profile, layout) = (config.object as u8 - 1, config.layout as u8);
    // The length has 13 bits. No frame of up to 8 channels is longer.
    let length = (length + 7).min(0x1fff);
    [
        0xff,
        0xf1,
        profile << 6 | index << 2 | layout >> 2,
        layout << 6 | (length >> 11) as u8,
        (length >> 3) as u8,
        (length << 5) as u8 | 0x1f,
        0xfc,
    ]
}

/// Appends the NAL units of a picture with start codes. A delimiter is added, and parameter sets
/// before keyframes, unless the picture has its own.
fn append_units<'a>(
    units: impl Iterator<Item = &'a [u8]>,
    sets: Option<&ParameterSets>,
    hevc: bool,
    key: bool,
    out: &mut Vec<u8>,
) {
    let kind = |unit: &[u8]| unit.first().map_or(0, |head| if hevc { head >> 1 & 0x3f } else { head & 0x1f });
    let (delimiter_kind, sps_kind, delimiter): (u8, u8, &[u8]) =
        if hevc { (35, 33, &[0x46, 0x01, 0x50]) } else { (9, 7, &[0x09, 0xf0]) };
    // Zeros before a start code belong to no unit, and delimiters come first.
    let units = units.map(|unit| &unit[..unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)]);
    let units: Vec<&[u8]> = units.filter(|unit| !unit.is_empty() && kind(unit) != delimiter_kind).collect();
    let complete = units.iter().any(|unit| kind(unit) == sps_kind);
    let sets = sets.filter(|_| key && !complete);
    let sets = sets.into_iter().flat_map(|sets| sets.vps.iter().chain(&sets.sps).chain(&sets.pps));
    for unit in std::iter::once(delimiter).chain(sets.map(Vec::as_slice)).chain(units) {
        out.extend_from_slice(&START_CODE);
        out.extend_from_slice(unit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyframe_gets_a_delimiter_and_the_parameter_sets_that_it_lacks() {
        let mut sets = ParameterSets::default();
        (sets.length_bytes, sets.sps, sets.pps) = (4, vec![vec![0x67, 1]], vec![vec![0x68, 2]]);
        let units: [&[u8]; 2] = [&[0x06, 9], &[0x65, 3, 0]];
        let mut out = Vec::new();
        append_units(units.into_iter(), Some(&sets), false, true, &mut out);
        let expected: [&[u8]; 5] = [&[9, 0xf0], &[0x67, 1], &[0x68, 2], &[6, 9], &[0x65, 3]];
        assert!(annex_b::units(&out).map(|unit| unit.strip_suffix(&[0]).unwrap_or(unit)).eq(expected));
        let (mut own, mut not_key) = (Vec::new(), Vec::new());
        let units: [&[u8]; 3] = [&[9, 0x10], &[0x67, 7], &[0x65, 3]];
        append_units(units.into_iter(), Some(&sets), false, true, &mut own);
        append_units(units[2..].iter().copied(), Some(&sets), false, false, &mut not_key);
        assert_eq!(own, [0, 0, 0, 1, 9, 0xf0, 0, 0, 0, 1, 0x67, 7, 0, 0, 0, 1, 0x65, 3]);
        assert_eq!(not_key, [0, 0, 0, 1, 9, 0xf0, 0, 0, 0, 1, 0x65, 3]);
    }

    #[test]
    fn an_adts_header_has_the_fields_of_the_configuration() {
        // Low complexity, 44.1 kHz, two channels.
        let config = adts(&[0x12, 0x10]).map(|config| adts_header(&config, 0x123));
        assert_eq!(config, Some([0xff, 0xf1, 0x50, 0x80, 0x25, 0x5f, 0xfc]));
        assert_eq!(adts(&[0x12, 0x00]), None, "the layout is in the stream");
    }
}
