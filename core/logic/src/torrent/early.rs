//! Piece announcements of a peer before the number of pieces is known (magnet links).

use crate::Bits;
use playswarm_proto::wire::{MAX_PIECES, Message};

/// The pieces that a peer announced before their number was known.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Early {
    /// Length of its bitfield in bytes, if it sent one.
    length: Option<usize>,
    /// Last byte of a bitfield that is otherwise full: every piece except those that this byte
    /// omits. 0xff after HAVE ALL.
    all: Option<u8>,
    /// A bitfield up to the last announced piece.
    bits: Vec<u8>,
    /// Whether announcements were dropped for lack of memory.
    forgotten: bool,
}

impl Early {
    /// Processes a HAVE, bitfield, HAVE ALL or HAVE NONE. Returns whether it is valid.
    pub(super) fn hear(&mut self, message: &Message) -> bool {
        match message {
            Message::Have(piece) if *piece >= MAX_PIECES => return false,
            Message::Have(_) if self.forgotten => {}
            Message::Have(piece) => {
                let at = (*piece / 8) as usize;
                if at >= self.bits.len() {
                    self.bits.resize(at + 1, 0);
                }
                self.bits[at] |= 0x80 >> (piece % 8);
            }
            Message::HaveAll => *self = Early { all: Some(0xff), ..Early::default() },
            Message::Bitfield(bytes) => {
                let (last, rest) = bytes.split_last().map_or((0, &[][..]), |(last, rest)| (*last, rest));
                let all = last != 0 && rest.iter().all(|b| *b == 0xff);
                let bits = if all { Vec::new() } else { bytes.to_vec() };
                *self = Early { length: Some(bytes.len()), all: all.then_some(last), bits, forgotten: false };
            }
            _ => *self = Early::default(),
        }
        true
    }

    /// Returns the memory in use, bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.bits.capacity() as u64
    }

    pub(super) fn forget(&mut self) {
        *self = Early { forgotten: true, ..Early::default() };
    }

    /// Returns whether announced pieces were dropped.
    pub(super) fn is_forgotten(&self) -> bool {
        self.forgotten
    }

    /// Returns the announced pieces, now that the number of pieces is known. Returns `None` if they
    /// are invalid.
    pub(super) fn take(self, pieces: u32) -> Option<Bits> {
        let bytes = pieces.div_ceil(8) as usize;
        if self.length.is_some_and(|length| length != bytes) {
            return None;
        }
        let mut bits = match (self.all, self.length) {
            (Some(_), None) => Bits::full(pieces),
            (Some(last), Some(_)) => {
                let mut said = vec![0xff; bytes];
                said[bytes - 1] = last;
                Bits::from_bitfield(&said, pieces)?
            }
            (None, Some(length)) => Bits::from_bitfield(self.bits.get(..length)?, pieces)?,
            (None, None) => Bits::new(pieces),
        };
        for (at, byte) in self.bits.iter().enumerate().filter(|(_, b)| **b != 0) {
            for k in (0..8).filter(|k| byte & (0x80 >> k) != 0) {
                bits.set(at as u32 * 8 + k, true);
            }
        }
        Some(bits)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn said(messages: &[Message], pieces: u32) -> Option<Vec<u32>> {
        let mut early = Early::default();
        messages.iter().for_each(|m| assert!(early.hear(m)));
        early.take(pieces).map(|bits| bits.iter_ones().collect())
    }

    #[test]
    fn what_was_said_early_comes_out_as_it_was_said() {
        let bitfield = |bytes: &'static [u8]| Message::Bitfield(Bytes::from_static(bytes));
        assert_eq!(said(&[Message::Have(9), Message::Have(2)], 10), Some(vec![2, 9]));
        assert_eq!(said(&[bitfield(&[0x80, 0x40]), Message::Have(3)], 10), Some(vec![0, 3, 9]));
        assert_eq!(said(&[bitfield(&[0xff, 0xc0])], 10), Some((0..10).collect()));
        assert_eq!(said(&[bitfield(&[0xff, 0x80]), Message::Have(9)], 10), Some((0..10).collect()));
        assert_eq!(said(&[Message::HaveAll], 10), Some((0..10).collect()));
        assert_eq!(said(&[Message::Have(1), Message::HaveNone], 10), Some(vec![]));
        assert_eq!(said(&[], 10), Some(vec![]));
        // Spare bits are no pieces.
        assert_eq!(said(&[bitfield(&[0xff, 0xe0])], 10), Some((0..10).collect()));
        // A bitfield of another length.
        assert_eq!(said(&[bitfield(&[0xff, 0xc0])], 17), None);
        assert_eq!(said(&[bitfield(&[])], 10), None);
        // A piece beyond the last is ignored.
        assert_eq!(said(&[Message::Have(11)], 10), Some(vec![]));
    }

    #[test]
    fn early_announcements_take_no_more_memory_than_a_bitfield() {
        let mut early = Early::default();
        for piece in 0..MAX_PIECES {
            assert!(early.hear(&Message::Have(piece)));
        }
        assert!(!early.hear(&Message::Have(MAX_PIECES)));
        assert!(early.bytes() <= 2 * u64::from(MAX_PIECES / 8), "{}", early.bytes());
        early.forget();
        assert!(early.hear(&Message::Have(5)) && early.bytes() == 0 && early.is_forgotten());
        early.hear(&Message::Bitfield(vec![0xff; 100_000].into()));
        assert_eq!(early.bytes(), 0);
    }
}
