//! The set-up of a track's decoder.

use super::ParameterSets;
use crate::codec::vorbis;

/// What a decoder of a track needs in addition to its samples. The codec, the language and the
/// audio format are in the [`Track`](crate::Track) of the same index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrackSetup {
    /// Codec configuration, in the form that FFmpeg calls extradata. Empty if the samples carry all
    /// that a decoder needs.
    ///
    /// | codec | content |
    /// |---|---|
    /// | `h264` | `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15); empty: Annex B samples |
    /// | `hevc` | `HEVCDecoderConfigurationRecord`; empty: Annex B samples |
    /// | `av1` | `AV1CodecConfigurationRecord` |
    /// | `aac` | `AudioSpecificConfig` (ISO/IEC 14496-3); empty: samples with ADTS headers |
    /// | `mpeg4` | visual object sequence and layer headers |
    /// | `opus` | identification header (RFC 7845, 5.1) |
    /// | `vorbis` | the three headers with Xiph lacing: 2, two lengths, the headers |
    /// | `theora` | the three headers, each with its length in two bytes before it |
    /// | `speex` | its header |
    /// | `flac` | `STREAMINFO` without its block header |
    /// | `alac` | the `alac` box with its header |
    pub config: Vec<u8>,
    /// Ticks per second in which the container counts this track's times.
    pub timescale: u32,
    /// Parameter sets at the beginning of a stream that carries them in its samples.
    pub(crate) in_band: Option<ParameterSets>,
}

impl TrackSetup {
    /// Returns the parameter sets of H.264 or H.265: those of the configuration, else those at the
    /// beginning of the stream. `None` if neither has any.
    pub fn parameter_sets(&self, codec: &str) -> Option<ParameterSets> {
        match codec {
            _ if self.config.is_empty() => self.in_band.clone(),
            "h264" => ParameterSets::avc(&self.config),
            "hevc" => ParameterSets::hevc(&self.config),
            _ => None,
        }
    }

    /// Returns the identification, the comment and the setup header of Vorbis. `None` if the
    /// configuration does not have them.
    pub fn vorbis_headers(&self) -> Option<[&[u8]; 3]> {
        vorbis::headers(&self.config)
    }
}
