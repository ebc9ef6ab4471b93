//! Reads and writes untrusted bencoding (BEP 3) without recursion or allocation.
//!
//! librqbit-bencode is not used, because it parses integers and string lengths without a check for
//! overflow. That panics in debug builds and wraps in release builds (a piece length of 2^32 +
//! 16384 reads as 16384). One odd field that is not needed also makes it refuse the whole torrent.
//! This reader walks the bytes in place within limits; the caller interprets the fields.

use bytes::BufMut;

/// Deepest nesting of lists and dictionaries. Real torrents need 6; libtorrent stops at 100 too.
pub const MAX_NESTING: usize = 100;
/// Deepest nesting in messages of peers, which have two levels.
const MAX_PEER_NESTING: usize = 8;
/// Most values read from one message of a peer.
const MAX_PEER_VALUES: u32 = 1024;

/// The reason why bytes are not bencoding, as the end of a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

type Result<T> = std::result::Result<T, Malformed>;

const CUT_OFF: Malformed = Malformed("its data is cut off");

/// A position within bencoded bytes.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    nesting: usize,
    values_left: u32,
}

impl<'a> Reader<'a> {
    /// Creates a reader for a torrent, an answer of a tracker or a file of ours.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0, nesting: MAX_NESTING, values_left: u32::MAX }
    }

    /// Creates a reader for a peer's message, which is small and frequent.
    pub fn of_peer(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0, nesting: MAX_PEER_NESTING, values_left: MAX_PEER_VALUES }
    }

    /// Returns the bytes that were not read yet.
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    fn count(&mut self) -> Result<()> {
        self.values_left = self.values_left.checked_sub(1).ok_or(Malformed("it holds too many values"))?;
        Ok(())
    }

    /// Returns the first byte of the next value, or the `e` that ends a list or dictionary.
    pub fn peek(&self) -> Result<u8> {
        self.bytes.get(self.at).copied().ok_or(CUT_OFF)
    }

    /// Returns whether all bytes were read.
    pub fn at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// Reads decimal digits up to `end`, without sign. Leading zeros are allowed, as some old
    /// clients wrote them.
    fn digits(&mut self, end: u8) -> Result<u64> {
        let mut value = 0u64;
        let start = self.at;
        loop {
            let byte = self.peek()?;
            self.at += 1;
            match byte {
                b'0'..=b'9' => {
                    value = value
                        .checked_mul(10)
                        .and_then(|v| v.checked_add(u64::from(byte - b'0')))
                        .ok_or(Malformed("it holds a number that is too large"))?;
                }
                _ if byte == end && self.at - 1 > start => return Ok(value),
                _ => return Err(Malformed("it holds a malformed number")),
            }
        }
    }

    /// Reads an integer that fits 64 bits.
    pub fn integer(&mut self) -> Result<i64> {
        self.count()?;
        if self.peek()? != b'i' {
            return Err(Malformed("it holds something else where a number belongs"));
        }
        self.at += 1;
        let negative = self.peek()? == b'-';
        if negative {
            self.at += 1;
        }
        let value = i64::try_from(self.digits(b'e')?).map_err(|_| Malformed("it holds a number that is too large"))?;
        Ok(if negative { -value } else { value })
    }

    /// Reads a byte string, in place.
    pub fn string(&mut self) -> Result<&'a [u8]> {
        self.count()?;
        if !self.peek()?.is_ascii_digit() {
            return Err(Malformed("it holds something else where a string belongs"));
        }
        let length = usize::try_from(self.digits(b':')?).map_err(|_| CUT_OFF)?;
        let string = self.at.checked_add(length).and_then(|end| self.bytes.get(self.at..end)).ok_or(CUT_OFF)?;
        self.at += length;
        Ok(string)
    }

    /// Skips one value of any kind and returns its bytes. Checks everything within it.
    pub fn skip(&mut self) -> Result<&'a [u8]> {
        let start = self.at;
        // For each open container, whether it is a dictionary and, if so, whether its next string
        // is a key.
        let mut open: Vec<Option<bool>> = Vec::new();
        loop {
            let byte = self.peek()?;
            let ends = byte == b'e';
            if let Some(Some(key_next)) = open.last_mut() {
                if *key_next && !ends && !byte.is_ascii_digit() {
                    return Err(Malformed("it holds a dictionary whose key is no string"));
                }
                if !*key_next && ends {
                    return Err(Malformed("it holds a dictionary whose last key has no value"));
                }
                *key_next = !*key_next;
            }
            match byte {
                b'e' if !open.is_empty() => {
                    self.at += 1;
                    open.pop();
                }
                b'd' | b'l' => {
                    self.count()?;
                    if open.len() >= self.nesting {
                        return Err(Malformed("its lists are nested too deeply"));
                    }
                    self.at += 1;
                    open.push((byte == b'd').then_some(true));
                    continue;
                }
                b'i' => {
                    self.integer()?;
                }
                _ => {
                    self.string()?;
                }
            }
            if open.is_empty() {
                return Ok(&self.bytes[start..self.at]);
            }
        }
    }

    /// Reads an integer. Skips a value of another kind and returns `None`.
    pub fn integer_if_any(&mut self) -> Result<Option<i64>> {
        if self.peek()? == b'i' { self.integer().map(Some) } else { self.skip().map(|_| None) }
    }

    /// Reads a number, also one written as a string. Skips any other value.
    pub fn number(&mut self) -> Result<Option<i64>> {
        if self.peek()?.is_ascii_digit() {
            let text = self.string()?;
            return Ok(std::str::from_utf8(text).ok().and_then(|text| text.trim().parse().ok()));
        }
        self.integer_if_any()
    }

    /// Reads a byte string. Skips a value of another kind and returns `None`.
    pub fn string_if_any(&mut self) -> Result<Option<&'a [u8]>> {
        if self.peek()?.is_ascii_digit() { self.string().map(Some) } else { self.skip().map(|_| None) }
    }

    /// Reads a dictionary, like [`Reader::dictionary`], with only the errors of this module.
    pub fn dict(&mut self, field: impl FnMut(&'a [u8], &mut Reader<'a>) -> Result<()>) -> Result<()> {
        self.dictionary(field)
    }

    /// Reads a dictionary. Skips a value of another kind.
    pub fn dict_if_any(&mut self, field: impl FnMut(&'a [u8], &mut Reader<'a>) -> Result<()>) -> Result<()> {
        if self.peek()? == b'd' { self.dict(field) } else { self.skip().map(drop) }
    }

    /// Calls `field` with each key of a dictionary. The callback either reads the value from the
    /// reader, or leaves it to be skipped. The caller sees duplicate keys in their order.
    pub fn dictionary<E: From<Malformed>>(
        &mut self,
        mut field: impl FnMut(&'a [u8], &mut Reader<'a>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        if self.peek()? != b'd' {
            return Err(Malformed("it holds something else where a dictionary belongs").into());
        }
        self.at += 1;
        while self.peek()? != b'e' {
            let key = self.string()?;
            let before = self.at;
            field(key, self)?;
            if self.at == before {
                self.skip()?;
            }
        }
        self.at += 1;
        Ok(())
    }

    /// Calls `item` before each item of a list. As in [`Reader::dictionary`], the callback reads
    /// the item or leaves it.
    pub fn list<E: From<Malformed>>(
        &mut self,
        mut item: impl FnMut(&mut Reader<'a>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        if self.peek()? != b'l' {
            return Err(Malformed("it holds something else where a list belongs").into());
        }
        self.at += 1;
        while self.peek()? != b'e' {
            let before = self.at;
            item(self)?;
            if self.at == before {
                self.skip()?;
            }
        }
        self.at += 1;
        Ok(())
    }
}

/// Appends a byte string.
pub fn put_string(out: &mut impl BufMut, string: &[u8]) {
    out.put_slice(string.len().to_string().as_bytes());
    out.put_u8(b':');
    out.put_slice(string);
}

/// Appends an integer.
pub fn put_integer(out: &mut impl BufMut, value: u64) {
    out.put_slice(format!("i{value}e").as_bytes());
}

/// Appends a key and an integer. Write keys in ascending order (BEP 3).
pub fn put_integer_at(out: &mut impl BufMut, key: &str, value: u64) {
    put_string(out, key.as_bytes());
    put_integer(out, value);
}

/// Appends a key and a byte string. Write keys in ascending order (BEP 3).
pub fn put_string_at(out: &mut impl BufMut, key: &str, value: &[u8]) {
    put_string(out, key.as_bytes());
    put_string(out, value);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn skip_all(bytes: &[u8]) -> Result<()> {
        let mut reader = Reader::new(bytes);
        reader.skip()?;
        if reader.at_end() { Ok(()) } else { Err(Malformed("rest")) }
    }

    #[test]
    fn well_formed_values_are_passed_over_whole() {
        for good in ["i0e", "i-7e", "0:", "3:abc", "le", "de", "d1:ai1e1:bl2:xyd1:cleeee", "i9223372036854775807e"] {
            assert_eq!(skip_all(good.as_bytes()), Ok(()), "{good}");
        }
    }

    #[test]
    fn malformed_values_are_refused() {
        for bad in [
            "",
            "e",
            "i",
            "ie",
            "i-e",
            "i1",
            "i+1e",
            "i1.5e",
            "i--1e",
            "5:abcd",
            ":",
            "1",
            "-1:a",
            "l",
            "d",
            "d1:a",
            "d1:ae",
            "di1ei2ee",
            "dlei1ee",
            "x",
            "lxe",
            "i9223372036854775808e",
            "i99999999999999999999999999e",
            "18446744073709551615:a",
            "18446744073709551616:a",
            "99999999999999999999999999:a",
        ] {
            assert!(skip_all(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_peers_message_is_read_within_its_own_limits() {
        let deep = |n: usize| "l".repeat(n) + &"e".repeat(n);
        assert!(Reader::of_peer(deep(MAX_PEER_NESTING).as_bytes()).skip().is_ok());
        assert!(Reader::of_peer(deep(MAX_PEER_NESTING + 1).as_bytes()).skip().is_err());
        let wide = |n: usize| format!("l{}e", "i1e".repeat(n));
        assert!(Reader::of_peer(wide(1000).as_bytes()).skip().is_ok());
        assert!(Reader::of_peer(wide(1024).as_bytes()).skip().is_err());
        assert!(Reader::new(wide(1024).as_bytes()).skip().is_ok());
    }

    #[test]
    fn unknown_keys_are_passed_over_whatever_they_hold_and_what_follows_is_left() {
        let mut seen = Vec::new();
        let mut reader = Reader::of_peer(b"d1:ad1:xli1eee1:bi7e1:c2:hieTAIL");
        let each = |key: &[u8], r: &mut Reader<'_>| {
            if key == b"b" {
                seen.extend(r.integer_if_any()?);
            }
            Ok(())
        };
        reader.dict(each).unwrap();
        assert_eq!((seen, reader.rest()), (vec![7], &b"TAIL"[..]));
        let mut reader = Reader::of_peer(b"i5e2:abde");
        assert_eq!(reader.string_if_any(), Ok(None));
        assert_eq!(reader.integer_if_any(), Ok(None));
        assert_eq!(reader.dict_if_any(|_, _| Ok(())), Ok(()));
        assert!(reader.at_end());
    }

    #[test]
    fn nesting_beyond_the_limit_is_refused_without_recursion() {
        let deep = |n: usize| "l".repeat(n) + &"e".repeat(n);
        assert_eq!(skip_all(deep(MAX_NESTING).as_bytes()), Ok(()));
        assert!(skip_all(deep(MAX_NESTING + 1).as_bytes()).is_err());
        assert!(skip_all("l".repeat(5_000_000).as_bytes()).is_err());
        assert!(skip_all("d1:a".repeat(5_000_000).as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(prop_oneof![Just(b'd'), Just(b'l'), Just(b'e'), Just(b'i'), Just(b':'), Just(b'1'), Just(b'0'), any::<u8>()], 0..200)) {
            let _ = skip_all(&bytes);
        }

        #[test]
        fn written_values_are_read_back(string in proptest::collection::vec(any::<u8>(), 0..50), number in 0..=i64::MAX) {
            let mut out = Vec::new();
            put_string(&mut out, &string);
            put_integer(&mut out, number as u64);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.string().unwrap(), &string[..]);
            prop_assert_eq!(reader.integer().unwrap(), number);
            prop_assert!(reader.at_end());
        }
    }
}
