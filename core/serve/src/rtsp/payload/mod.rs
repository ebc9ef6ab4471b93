//! Payload formats: how samples become RTP packets, and how SDP describes them.

mod audio;
mod av1;
mod mpeg4;
mod nal;
mod pcm;
mod vorbis;
mod vpx;

use pcm::Pcm;
use playswarm_media::{ParameterSets, Sample, Track, TrackKind, TrackSetup};

/// Longest payload in bytes. With its headers a packet fits Ethernet, also through a tunnel.
pub(crate) const MAX_PAYLOAD_BYTES: usize = 1400;

/// Payload type of MPEG audio and of MPEG transport streams (RFC 3551).
const MPA: u8 = 14;
pub(crate) const MP2T: u8 = 33;

/// The content of one packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Payload {
    pub(crate) marker: bool,
    /// Time after that of its sample, in nanoseconds.
    pub(crate) after_ns: i64,
    pub(crate) data: Vec<u8>,
}

/// One stream of packets.
#[derive(Clone, Debug)]
pub(crate) struct Format {
    /// The track, by its index in the timeline. `None` for a transport stream of several.
    pub(crate) track: Option<usize>,
    /// The media of the SDP: `video` or `audio`.
    pub(crate) media: &'static str,
    pub(crate) payload_type: u8,
    /// Ticks of timestamps per second.
    pub(crate) clock: u32,
    /// The encoding of `a=rtpmap`, with its clock.
    pub(crate) encoding: String,
    pub(crate) parameters: Option<String>,
    pub(crate) language: Option<String>,
    packer: Packer,
}

/// How samples are split.
#[derive(Clone, Debug)]
enum Packer {
    H264(Option<ParameterSets>),
    H265(Option<ParameterSets>),
    Aac,
    Mpa,
    Ac3,
    Opus,
    Vp8,
    Vp9,
    /// With the configuration of the track.
    Av1(Vec<u8>),
    Mpeg4,
    Vorbis,
    Pcm(Pcm),
    /// Packets are made by a muxer.
    Ready,
}

impl Format {
    /// Returns the format of a track. `None` if players have none in common for its codec.
    pub(crate) fn of(index: usize, track: &Track, setup: &TrackSetup, dynamic: u8) -> Option<Format> {
        let sets = || setup.parameter_sets(&track.codec);
        // Configurations that cannot be parsed leave no way to find the NAL units.
        let readable = sets().is_some() || setup.config.is_empty();
        let audio = track.audio.filter(|(channels, rate)| *channels > 0 && *rate > 0);
        let video = |name: &str, parameters, packer| (90_000, format!("{name}/90000"), parameters, packer);
        let (clock, encoding, parameters, packer) = match track.codec.as_str() {
            "h264" if readable => video("H264", Some(nal::h264_parameters(sets().as_ref())), Packer::H264(sets())),
            "hevc" if readable => video("H265", nal::h265_parameters(sets().as_ref()), Packer::H265(sets())),
            "vp8" => video("VP8", None, Packer::Vp8),
            "vp9" => video("VP9", None, Packer::Vp9),
            "av1" => video("AV1", av1::parameters(&setup.config), Packer::Av1(setup.config.clone())),
            "mpeg4" => video("MP4V-ES", mpeg4::parameters(&setup.config), Packer::Mpeg4),
            "vorbis" => {
                let ((channels, rate), headers) = (audio?, setup.vorbis_headers()?);
                let parameters = Some(vorbis::parameters(headers)?);
                (rate, format!("VORBIS/{rate}/{channels}"), parameters, Packer::Vorbis)
            }
            codec if codec.starts_with("pcm_") => {
                let pcm = Pcm::of(codec, audio?)?;
                (audio?.1, pcm.encoding(), None, Packer::Pcm(pcm))
            }
            // Without a configuration the samples have headers, which this format leaves out.
            "aac" if !setup.config.is_empty() => {
                let (channels, rate) = audio?;
                let encoding = format!("mpeg4-generic/{rate}/{channels}");
                (rate, encoding, Some(audio::aac_parameters(&setup.config)), Packer::Aac)
            }
            "mp2" | "mp3" => (90_000, "MPA/90000".to_owned(), None, Packer::Mpa),
            "ac3" => {
                let (channels, rate) = audio?;
                (rate, format!("AC3/{rate}/{channels}"), None, Packer::Ac3)
            }
            // FFmpeg refuses the whole presentation if there are more than two channels.
            "opus" if audio.is_none_or(|(channels, _)| channels <= 2) => {
                let stereo = audio.is_none_or(|(channels, _)| channels == 2);
                let parameters = format!("sprop-stereo={}", u8::from(stereo));
                (48_000, "opus/48000/2".to_owned(), Some(parameters), Packer::Opus)
            }
            _ => return None,
        };
        let media = match track.kind {
            TrackKind::Video => "video",
            TrackKind::Audio => "audio",
            _ => return None,
        };
        let payload_type = if matches!(packer, Packer::Mpa) { MPA } else { dynamic };
        let language = track.language.clone().filter(|language| language.bytes().all(|b| b.is_ascii_graphic()));
        Some(Format { track: Some(index), media, payload_type, clock, encoding, parameters, language, packer })
    }

    /// Returns the format of a transport stream (RFC 2250, section 2).
    pub(crate) fn transport_stream() -> Format {
        Format {
            track: None,
            media: "video",
            payload_type: MP2T,
            clock: 90_000,
            encoding: "MP2T/90000".to_owned(),
            parameters: None,
            language: None,
            packer: Packer::Ready,
        }
    }

    /// Returns the packets of a sample.
    pub(crate) fn split(&self, sample: &Sample) -> Vec<Payload> {
        let data = sample.data.as_slice();
        if data.is_empty() {
            return Vec::new();
        }
        match &self.packer {
            Packer::H264(sets) => nal::split(data, sets.as_ref(), &nal::H264),
            Packer::H265(sets) => nal::split(data, sets.as_ref(), &nal::H265),
            Packer::Aac => audio::aac(data),
            Packer::Mpa => audio::mpa(data),
            Packer::Ac3 => audio::ac3(data),
            Packer::Opus => vec![Payload { data: sample.data.clone(), ..Payload::default() }],
            Packer::Vp8 => vpx::vp8(data),
            Packer::Vp9 => vpx::vp9(data, sample.key),
            Packer::Av1(config) => av1::split(data, sample.key, config),
            Packer::Mpeg4 => mpeg4::split(data),
            Packer::Vorbis => vorbis::split(data),
            Packer::Pcm(pcm) => pcm.split(data),
            Packer::Ready => Vec::new(),
        }
    }

    /// Converts a time to ticks of this format's clock, rounded to nearest.
    pub(crate) fn ticks(&self, ns: i64) -> i64 {
        ((i128::from(ns) * i128::from(self.clock) + 500_000_000).div_euclid(1_000_000_000)) as i64
    }
}

/// Splits data into payloads that each begin with a header. `head` gets whether the part is the
/// first and the last.
fn fragments(data: &[u8], room: usize, mut head: impl FnMut(bool, bool) -> Vec<u8>) -> Vec<Payload> {
    let last = data.len().div_ceil(room).saturating_sub(1);
    let part = |(n, part): (usize, &[u8])| {
        let mut data = head(n == 0, n == last);
        data.extend_from_slice(part);
        Payload { marker: n == last, data, ..Payload::default() }
    };
    data.chunks(room).enumerate().map(part).collect()
}
