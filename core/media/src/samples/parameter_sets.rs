//! Parameter sets of H.264 and H.265 in the configuration records of ISO/IEC 14496-15.

/// The parameter sets of a track, and the form of its samples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParameterSets {
    /// Length in bytes of the size field before each NAL unit of a sample: 1, 2 or 4.
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
        const VPS: u8 = 32;
        const SPS: u8 = 33;
        const PPS: u8 = 34;
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
                match kind & 0x3f {
                    VPS => sets.vps.push(unit),
                    SPS => sets.sps.push(unit),
                    PPS => sets.pps.push(unit),
                    _ => {}
                }
            }
        }
        (!sets.sps.is_empty()).then_some(sets)
    }

    /// Iterates over the NAL units of a sample in this form, up to the first that does not fit.
    pub fn units<'a>(&self, sample: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let (length_bytes, mut rest) = (self.length_bytes, sample);
        std::iter::from_fn(move || {
            let (length, after) = rest.split_at_checked(length_bytes)?;
            let length = length.iter().fold(0usize, |length, byte| length << 8 | usize::from(*byte));
            let (unit, after) = after.split_at_checked(length)?;
            rest = after;
            Some(unit)
        })
        .filter(|unit| !unit.is_empty())
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
