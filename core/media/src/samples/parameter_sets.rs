//! Parameter sets of H.264 and H.265, in the configuration records of ISO/IEC 14496-15 and in
//! streams.

use crate::codec::annex_b;

/// Types of the NAL units of video, sequence and picture parameter sets. H.264 has no video ones,
/// and no unit of type 0.
const AVC_KINDS: [u8; 3] = [0, 7, 8];
const HEVC_KINDS: [u8; 3] = [32, 33, 34];

/// Most sets of each kind in one stream.
const MAX_SETS: usize = 64;

/// The parameter sets of a track, and the form of its samples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParameterSets {
    /// Length in bytes of the size field before each NAL unit of a sample: 1, 2 or 4. 0 if start
    /// codes separate them (Annex B).
    pub length_bytes: usize,
    /// Video parameter sets (H.265 alone). NAL units with their headers, without start codes.
    pub vps: Vec<Vec<u8>>,
    /// Sequence parameter sets.
    pub sps: Vec<Vec<u8>>,
    /// Picture parameter sets.
    pub pps: Vec<Vec<u8>>,
}

impl ParameterSets {
    /// Parses an `AVCDecoderConfigurationRecord`.
    pub fn avc(config: &[u8]) -> Option<ParameterSets> {
        let (&[1, _profile, _compatibility, _level, length, count], mut rest) = config.split_first_chunk()? else {
            return None;
        };
        let mut sets = ParameterSets { length_bytes: usize::from(length & 3) + 1, ..ParameterSets::default() };
        for _ in 0..count & 0x1f {
            sets.sps.push(unit(&mut rest)?.to_vec());
        }
        let (count, after) = rest.split_first()?;
        rest = after;
        for _ in 0..*count {
            sets.pps.push(unit(&mut rest)?.to_vec());
        }
        (!sets.sps.is_empty()).then_some(sets)
    }

    /// Parses an `HEVCDecoderConfigurationRecord`.
    pub fn hevc(config: &[u8]) -> Option<ParameterSets> {
        let (head, mut rest) = config.split_first_chunk::<23>()?;
        // Early files have 0 for the version.
        if head[0] > 1 {
            return None;
        }
        let mut sets = ParameterSets { length_bytes: usize::from(head[21] & 3) + 1, ..ParameterSets::default() };
        for _ in 0..head[22] {
            let (&[kind, high, low], after) = rest.split_first_chunk()?;
            rest = after;
            for _ in 0..u16::from_be_bytes([high, low]) {
                let unit = unit(&mut rest)?.to_vec();
                sets.add(kind & 0x3f, HEVC_KINDS, unit);
            }
        }
        (!sets.sps.is_empty()).then_some(sets)
    }

    /// Takes the parameter sets among the NAL units of a stream with start codes.
    pub(crate) fn in_band<'a>(codec: &str, units: impl Iterator<Item = &'a [u8]>) -> Option<ParameterSets> {
        let mut sets = ParameterSets::default();
        for unit in units.filter(|unit| !unit.is_empty()) {
            // Zeros before the next start code belong to no unit.
            let end = unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            let unit = unit.get(..end).unwrap_or(unit).to_vec();
            match (codec, unit.first().copied().unwrap_or_default()) {
                ("h264", head) => sets.add(head & 0x1f, AVC_KINDS, unit),
                ("hevc", head) => sets.add(head >> 1 & 0x3f, HEVC_KINDS, unit),
                _ => {}
            }
        }
        (!sets.sps.is_empty() && !sets.pps.is_empty()).then_some(sets)
    }

    /// Takes a NAL unit if its type is one of those of the three sets.
    fn add(&mut self, kind: u8, kinds: [u8; 3], unit: Vec<u8>) {
        let sets = [&mut self.vps, &mut self.sps, &mut self.pps];
        if let Some((_, sets)) = kinds.iter().zip(sets).find(|(known, _)| **known == kind)
            && sets.len() < MAX_SETS
            && !sets.contains(&unit)
        {
            sets.push(unit);
        }
    }

    /// Iterates over the NAL units of a sample in this form, up to the first that does not fit.
    pub fn units<'a>(&self, sample: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let coded = if self.length_bytes == 0 { sample } else { &[] };
        let (length_bytes, mut rest) = (self.length_bytes, sample);
        let sized = std::iter::from_fn(move || {
            if length_bytes == 0 {
                return None;
            }
            let (length, after) = rest.split_at_checked(length_bytes)?;
            let length = length.iter().fold(0usize, |length, byte| length << 8 | usize::from(*byte));
            let (unit, after) = after.split_at_checked(length)?;
            rest = after;
            Some(unit)
        });
        sized.chain(annex_b::units(coded)).filter(|unit| !unit.is_empty())
    }
}

/// Takes a NAL unit with a length of two bytes before it.
fn unit<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk()?;
    let (unit, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    *rest = after;
    Some(unit)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_sets_of_an_avc_record_are_split() {
        let config = [1, 100, 0, 30, 0xff, 0xe1, 0, 3, 0x67, 1, 2, 1, 0, 2, 0x68, 9, 0xfd];
        let sets = ParameterSets::avc(&config).unwrap();
        assert_eq!((sets.length_bytes, sets.sps, sets.pps), (4, vec![vec![0x67, 1, 2]], vec![vec![0x68, 9]]));
        assert_eq!(ParameterSets::avc(&config[..12]), None);
        assert_eq!(ParameterSets::avc(&[0, 0, 0, 1, 0x67, 100, 0]), None);
    }

    #[test]
    fn units_end_at_the_first_that_does_not_fit() {
        let sets = ParameterSets { length_bytes: 2, ..ParameterSets::default() };
        let units: Vec<&[u8]> = sets.units(&[0, 1, 7, 0, 0, 0, 2, 8, 9, 0, 9, 1]).collect();
        assert_eq!(units, [&[7][..], &[8, 9]]);
    }
}
