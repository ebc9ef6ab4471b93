//! A small reader and writer of bencode (BEP 3) for what peers send: extended handshakes, PEX, metadata messages.
//!
//! librqbit-bencode is not used on bytes of peers: in 9.1 a number with too many digits overflows, which is a panic
//! wherever overflow is checked and a wrong length wherever it is not. This one borrows, never recurses, allocates
//! nothing, and has a bound on depth and on the number of items.

use bytes::{BufMut, BytesMut};

/// Deepest nesting that is read; the messages of peers have two levels.
const MAX_DEPTH: u32 = 8;
/// Most values read from one message.
const MAX_ITEMS: u32 = 1024;

/// The bytes are not the bencode that was expected, or go beyond a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed bencode")]
pub(crate) struct BadBencode;

type Result<T> = std::result::Result<T, BadBencode>;

/// Reads values one after another.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    items: u32,
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes, items: 0 }
    }

    /// What has not been read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn item(&mut self) -> Result<()> {
        self.items += 1;
        if self.items > MAX_ITEMS { Err(BadBencode) } else { Ok(()) }
    }

    fn take(&mut self, byte: u8) -> Result<()> {
        match self.rest.split_first() {
            Some((&b, rest)) if b == byte => {
                self.rest = rest;
                Ok(())
            }
            _ => Err(BadBencode),
        }
    }

    /// Digits up to `end`, which is taken too.
    fn number(&mut self, end: u8) -> Result<u64> {
        // 20 digits hold any u64.
        let digits = self.rest.iter().take(21).position(|b| !b.is_ascii_digit()).ok_or(BadBencode)?;
        let (text, rest) = self.rest.split_at(digits);
        self.rest = rest;
        if text.is_empty() {
            return Err(BadBencode);
        }
        self.take(end)?;
        text.iter().try_fold(0u64, |n, b| n.checked_mul(10)?.checked_add(u64::from(b - b'0'))).ok_or(BadBencode)
    }

    /// An integer.
    pub(crate) fn int(&mut self) -> Result<i64> {
        self.item()?;
        self.take(b'i')?;
        let negative = self.take(b'-').is_ok();
        let n = i64::try_from(self.number(b'e')?).map_err(|_| BadBencode)?;
        Ok(if negative { -n } else { n })
    }

    /// A byte string.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8]> {
        self.item()?;
        let length = usize::try_from(self.number(b':')?).map_err(|_| BadBencode)?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(BadBencode)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// An integer, or `None` after skipping a value of another kind.
    pub(crate) fn int_or_skip(&mut self) -> Result<Option<i64>> {
        if self.rest.first() == Some(&b'i') { self.int().map(Some) } else { self.skip().map(|()| None) }
    }

    /// A byte string, or `None` after skipping a value of another kind.
    pub(crate) fn bytes_or_skip(&mut self) -> Result<Option<&'a [u8]>> {
        if self.rest.first().is_some_and(u8::is_ascii_digit) {
            self.bytes().map(Some)
        } else {
            self.skip().map(|()| None)
        }
    }

    /// A dictionary: `each` is called with every key and must read its value.
    pub(crate) fn dict(&mut self, mut each: impl FnMut(&'a [u8], &mut Reader<'a>) -> Result<()>) -> Result<()> {
        self.item()?;
        self.take(b'd')?;
        while self.take(b'e').is_err() {
            let key = self.bytes()?;
            each(key, self)?;
        }
        Ok(())
    }

    /// A dictionary as [`Reader::dict`] reads it, or nothing after skipping a value of another kind.
    pub(crate) fn dict_or_skip(&mut self, each: impl FnMut(&'a [u8], &mut Reader<'a>) -> Result<()>) -> Result<()> {
        if self.rest.first() == Some(&b'd') { self.dict(each) } else { self.skip() }
    }

    /// Any value.
    pub(crate) fn skip(&mut self) -> Result<()> {
        let mut depth = 0u32;
        loop {
            match self.rest.first() {
                Some(b'i') => {
                    self.int()?;
                }
                Some(b'0'..=b'9') => {
                    self.bytes()?;
                }
                Some(b'l' | b'd') => {
                    self.item()?;
                    depth += 1;
                    if depth > MAX_DEPTH {
                        return Err(BadBencode);
                    }
                    self.rest = &self.rest[1..];
                }
                Some(b'e') if depth > 0 => {
                    depth -= 1;
                    self.rest = &self.rest[1..];
                }
                _ => return Err(BadBencode),
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }
}

/// Appends a byte string.
pub(crate) fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    out.put_slice(bytes.len().to_string().as_bytes());
    out.put_u8(b':');
    out.put_slice(bytes);
}

/// Appends a key and an integer. Keys must be given in ascending order (BEP 3).
pub(crate) fn put_int_at(out: &mut BytesMut, key: &str, value: i64) {
    put_bytes(out, key.as_bytes());
    out.put_slice(format!("i{value}e").as_bytes());
}

/// Appends a key and a byte string. Keys must be given in ascending order (BEP 3).
pub(crate) fn put_bytes_at(out: &mut BytesMut, key: &str, value: &[u8]) {
    put_bytes(out, key.as_bytes());
    put_bytes(out, value);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_with_too_many_digits_are_refused_without_overflow() {
        assert_eq!(Reader::new(b"99999999999999999999999999:x").bytes(), Err(BadBencode));
        assert_eq!(Reader::new(b"i99999999999999999999e").int(), Err(BadBencode));
        assert_eq!(Reader::new(b"i-9223372036854775807e").int(), Ok(-i64::MAX));
        assert_eq!(Reader::new(b"i-e").int(), Err(BadBencode));
    }

    #[test]
    fn deep_nesting_ends_at_the_limit_and_not_on_the_stack() {
        let deep = vec![b'l'; 1_000_000];
        assert_eq!(Reader::new(&deep).skip(), Err(BadBencode));
    }

    #[test]
    fn unknown_keys_are_skipped_whatever_they_hold() {
        let mut seen = Vec::new();
        let mut reader = Reader::new(b"d1:ad1:xli1eee1:bi7e1:c2:hieTAIL");
        reader
            .dict(|key, r| {
                if key == b"b" {
                    seen.push(r.int()?);
                    Ok(())
                } else {
                    r.skip()
                }
            })
            .unwrap();
        assert_eq!((seen, reader.rest()), (vec![7], &b"TAIL"[..]));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(
            prop_oneof![Just(b'd'), Just(b'l'), Just(b'i'), Just(b'e'), Just(b':'), Just(b'-'), b'0'..=b'9', any::<u8>()],
            0..80)) {
            let _ = Reader::new(&bytes).skip();
            let _ = Reader::new(&bytes).dict(|_, r| r.skip());
            let _ = (Reader::new(&bytes).int_or_skip(), Reader::new(&bytes).bytes_or_skip());
        }
    }
}
