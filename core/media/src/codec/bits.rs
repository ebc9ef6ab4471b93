//! Bit reader for parameter sets that may end anywhere: numbers of fixed width and Exp-Golomb codes
//! (ITU-T H.264, 9.1).

/// The bits of a parameter set. Each read returns `None` past its end.
#[derive(Clone, Debug)]
pub(crate) struct Bits {
    bytes: Vec<u8>,
    /// Index of the next bit.
    at: usize,
}

impl Bits {
    /// Returns the bits of a NAL unit's first bytes, without emulation prevention bytes (ITU-T
    /// H.264, 7.4.1).
    pub(crate) fn of_unit(unit: &[u8], most: usize) -> Bits {
        let mut bytes: Vec<u8> = Vec::new();
        let mut zeros = 0;
        for &byte in unit.iter().take(most) {
            if zeros >= 2 && byte == 3 {
                zeros = 0;
                continue;
            }
            zeros = if byte == 0 { zeros + 1 } else { 0 };
            bytes.push(byte);
        }
        Bits { bytes, at: 0 }
    }

    pub(crate) fn bit(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1 == 1;
        self.at += 1;
        Some(bit)
    }

    /// Reads a number of at most 32 bits.
    pub(crate) fn number(&mut self, bits: u32) -> Option<u32> {
        (0..bits.min(32)).try_fold(0, |number, _| Some(number << 1 | u32::from(self.bit()?)))
    }

    /// Skips bits. The next read reports whether any are left.
    pub(crate) fn skip(&mut self, bits: usize) {
        self.at = self.at.saturating_add(bits);
    }

    /// Reads an unsigned Exp-Golomb code: `ue(v)`, of at most 31 bits after its prefix.
    pub(crate) fn golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.bit()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1 << zeros) - 1 + self.number(zeros)?)
    }

    /// Reads a signed Exp-Golomb code: `se(v)`.
    pub(crate) fn signed_golomb(&mut self) -> Option<i64> {
        let code = i64::from(self.golomb()?);
        Some(if code % 2 == 0 { -code / 2 } else { (code + 1) / 2 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_standards_table() {
        // 1 010 011 00100 00101 1, then zeros to the end of the byte.
        let mut bits = Bits::of_unit(&[0b1010_0110, 0b0100_0010, 0b1100_0000], 3);
        let codes: Vec<_> = std::iter::from_fn(|| bits.golomb()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 0]);
        let mut bits = Bits::of_unit(&[0b1010_0110, 0b0100_0010, 0b1100_0000], 3);
        let codes: Vec<_> = std::iter::from_fn(|| bits.signed_golomb()).collect();
        assert_eq!(codes, [0, 1, -1, 2, -2, 0]);
    }

    #[test]
    fn a_code_is_of_31_bits_at_most() {
        assert_eq!(Bits::of_unit(&[0, 1, 0xff, 0xff, 0xff, 0xff], 6).golomb(), Some((1 << 16) - 2));
        let longest = [0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(Bits::of_unit(&longest, 8).golomb(), Some(u32::MAX - 1));
        assert_eq!(Bits::of_unit(&[0, 0, 0, 0, 0x80, 1, 1, 1, 1, 1], 10).golomb(), None);
    }

    #[test]
    fn bytes_against_start_codes_are_left_out() {
        let mut bits = Bits::of_unit(&[0, 0, 3, 1, 0, 0, 3, 0, 0, 3, 3], 11);
        assert_eq!(bits.number(32), Some(1 << 8));
        assert_eq!(bits.number(32), Some(3), "only the first of two threes is one");
        assert_eq!(bits.bit(), None);
    }

    #[test]
    fn past_the_end_there_is_nothing() {
        let mut bits = Bits::of_unit(&[0xff; 4], 2);
        assert_eq!(bits.number(17), None);
        bits.skip(usize::MAX);
        assert_eq!((bits.bit(), bits.golomb()), (None, None));
    }
}
