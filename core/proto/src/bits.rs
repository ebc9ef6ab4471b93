//! A set of piece numbers with the layout of BEP 3's bitfield: the high bit of the first byte is
//! piece 0.

/// A bitfield of fixed length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bits {
    bytes: Vec<u8>,
    len: u32,
    ones: u32,
}

impl Bits {
    /// Returns `len` bits, all clear.
    pub fn new(len: u32) -> Bits {
        Bits { bytes: vec![0; len.div_ceil(8) as usize], len, ones: 0 }
    }

    /// Returns `len` bits, all set.
    pub fn full(len: u32) -> Bits {
        let mut bits = Bits { bytes: vec![0xff; len.div_ceil(8) as usize], len, ones: len };
        bits.clear_spare();
        bits
    }

    /// Parses a bitfield message. Returns `None` if the number of bytes is wrong.
    ///
    /// Spare bits are ignored, as libtorrent and Transmission do. BEP 3 asks to drop such a peer,
    /// but it may be a seed that sends only ones.
    pub fn from_bitfield(bytes: &[u8], len: u32) -> Option<Bits> {
        if bytes.len() != len.div_ceil(8) as usize {
            return None;
        }
        let mut bits = Bits { bytes: bytes.to_vec(), len, ones: 0 };
        bits.clear_spare();
        bits.ones = bits.bytes.iter().map(|b| b.count_ones()).sum();
        Some(bits)
    }

    fn clear_spare(&mut self) {
        let spare = self.len % 8;
        if spare != 0
            && let Some(last) = self.bytes.last_mut()
        {
            *last &= 0xffu8 << (8 - spare);
        }
    }

    /// Returns the number of bits.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Returns whether the length is zero.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the number of set bits.
    pub fn count(&self) -> u32 {
        self.ones
    }

    /// Returns whether every bit is set.
    pub fn is_full(&self) -> bool {
        self.ones == self.len
    }

    /// Returns whether bit `i` is set; false past the end.
    pub fn get(&self, i: u32) -> bool {
        i < self.len && self.bytes[(i / 8) as usize] & (0x80 >> (i % 8)) != 0
    }

    /// Sets or clears bit `i`. Returns whether that changed it; past the end nothing happens.
    pub fn set(&mut self, i: u32, on: bool) -> bool {
        if i >= self.len || self.get(i) == on {
            return false;
        }
        self.bytes[(i / 8) as usize] ^= 0x80 >> (i % 8);
        if on {
            self.ones += 1;
        } else {
            self.ones -= 1;
        }
        true
    }

    /// Returns the bits in the form of a bitfield message.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the numbers of the bits that differ from `other`, ascending, up to the shorter
    /// length.
    pub fn differences<'a>(&'a self, other: &'a Bits) -> impl Iterator<Item = u32> + 'a {
        numbers(self.bytes.iter().zip(&other.bytes).map(|(a, b)| a ^ b))
    }

    /// Returns the numbers of the bits that are set here and not in `other`, ascending, up to the
    /// shorter length.
    pub fn beyond<'a>(&'a self, other: &'a Bits) -> impl Iterator<Item = u32> + 'a {
        numbers(self.bytes.iter().zip(&other.bytes).map(|(a, b)| a & !b))
    }

    /// Returns the number of bits that are set here and not in `other`.
    pub fn count_beyond(&self, other: &Bits) -> u32 {
        let common: u32 = self.bytes.iter().zip(&other.bytes).map(|(a, b)| (a & b).count_ones()).sum();
        self.ones - common
    }

    /// Returns the numbers of the clear bits, ascending.
    pub fn iter_zeros(&self) -> impl Iterator<Item = u32> + '_ {
        numbers(self.bytes.iter().map(|b| !b)).filter(|i| *i < self.len)
    }

    /// Returns the numbers of the set bits, ascending.
    pub fn iter_ones(&self) -> impl Iterator<Item = u32> + '_ {
        numbers(self.bytes.iter().copied())
    }
}

/// Returns the numbers of the bits that are set in these bytes.
fn numbers(bytes: impl Iterator<Item = u8>) -> impl Iterator<Item = u32> {
    let some = bytes.enumerate().filter(|(_, b)| *b != 0);
    some.flat_map(|(n, b)| (0..8u32).filter(move |k| b & (0x80 >> k) != 0).map(move |k| n as u32 * 8 + k))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spare_bits_of_a_bitfield_are_ignored_and_another_length_is_refused() {
        let right = Bits::from_bitfield(&[0b1010_0000], 3).expect("a bitfield of three pieces");
        let spare = Bits::from_bitfield(&[0b1011_1111], 3).expect("the same with all spare bits");
        assert_eq!(spare, right);
        assert_eq!((spare.count(), spare.iter_ones().collect::<Vec<_>>()), (2, vec![0, 2]));
        assert_eq!(spare.as_bytes(), [0b1010_0000], "nothing of it is sent on");
        assert_eq!(Bits::from_bitfield(&[0xff], 3), Some(Bits::full(3)), "a seed that sends only ones");
        assert!(Bits::from_bitfield(&[0, 0], 3).is_none());
        assert!(Bits::from_bitfield(&[], 3).is_none());
    }

    #[test]
    fn set_and_count_agree_with_the_iterator() {
        let mut bits = Bits::new(20);
        for i in [0, 7, 8, 19] {
            assert!(bits.set(i, true));
            assert!(!bits.set(i, true));
        }
        assert_eq!(bits.iter_ones().collect::<Vec<_>>(), [0, 7, 8, 19]);
        assert_eq!(bits.count(), 4);
        assert!(bits.set(7, false) && !bits.get(7) && !bits.set(20, true));
        assert_eq!(Bits::full(20).iter_ones().count(), 20);
        assert_eq!(bits.iter_zeros().count(), 17);
        assert_eq!(Bits::full(20).iter_zeros().count(), 0);
    }

    #[test]
    fn two_sets_are_compared_bit_by_bit() {
        let (mut a, mut b) = (Bits::new(20), Bits::new(20));
        [1, 9, 19].iter().for_each(|i| assert!(a.set(*i, true)));
        [1, 8].iter().for_each(|i| assert!(b.set(*i, true)));
        assert_eq!(a.differences(&b).collect::<Vec<_>>(), [8, 9, 19]);
        assert_eq!(a.beyond(&b).collect::<Vec<_>>(), [9, 19]);
        assert_eq!((a.count_beyond(&b), b.count_beyond(&a)), (2, 1));
        assert_eq!(Bits::full(20).count_beyond(&a), 17);
    }
}
