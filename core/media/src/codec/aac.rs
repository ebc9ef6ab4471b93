//! AAC's `AudioSpecificConfig` (ISO/IEC 14496-3, 1.6.2.1).

/// The fields of a configuration that say how frames are framed and played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AudioConfig {
    /// Object type of the core: 2 for the usual low complexity.
    pub(crate) object: u32,
    /// Samples per second of the core, which frames of 1024 samples count in.
    pub(crate) core_rate: u32,
    /// Samples per second of the output.
    pub(crate) rate: u32,
    /// Channel configuration of the core: an index; 0 if the stream itself states them.
    pub(crate) layout: u32,
    /// Channels of the output; 0 if not stated.
    pub(crate) channels: u32,
}

/// Sampling rates by their index.
pub(crate) const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8000, 7350];

impl AudioConfig {
    /// Parses the fields at the start of a configuration.
    pub(crate) fn parse(config: &[u8]) -> Option<AudioConfig> {
        const REPLICATION: u32 = 5;
        const PARAMETRIC_STEREO: u32 = 29;
        let mut at = 0;
        let mut bits = |count: usize| {
            let mut value = 0u32;
            for _ in 0..count {
                let byte = config.get(at / 8)?;
                value = value << 1 | u32::from(byte >> (7 - at % 8) & 1);
                at += 1;
            }
            Some(value)
        };
        let object = |bits: &mut dyn FnMut(usize) -> Option<u32>| match bits(5)? {
            31 => Some(32 + bits(6)?),
            object => Some(object),
        };
        let rate = |bits: &mut dyn FnMut(usize) -> Option<u32>| match bits(4)? {
            15 => bits(24),
            index => RATES.get(index as usize).copied(),
        };
        let mut kind = object(&mut bits)?;
        let core_rate = rate(&mut bits)?;
        let layout = bits(4)?;
        let channels = match layout {
            7 => 8,
            channels @ 0..=6 => channels,
            _ => 0,
        };
        // Spectral band replication runs the core at half the rate; parametric stereo makes two
        // channels of one.
        let stereo = kind == PARAMETRIC_STEREO && channels == 1;
        let mut output = core_rate;
        if kind == REPLICATION || kind == PARAMETRIC_STEREO {
            output = rate(&mut bits)?;
            kind = object(&mut bits).unwrap_or(2);
        }
        let channels = if stereo { 2 } else { channels };
        Some(AudioConfig { object: kind, core_rate, rate: output, layout, channels })
    }
}
