//! Bencode (BEP 3) for the torrents and messages of tests, well-formed or not. The encoder is our
//! own, because a library's would refuse what a hostile peer sends. Decoding is limited to the
//! needs of the harness.

use std::collections::BTreeMap;

/// A bencoded value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ben {
    /// `i42e`
    Int(i64),
    /// `4:spam`
    Bytes(Vec<u8>),
    /// `l…e`
    List(Vec<Ben>),
    /// `d…e`, keys sorted
    Dict(BTreeMap<Vec<u8>, Ben>),
    /// Arbitrary bytes, written unchanged
    Raw(Vec<u8>),
}

impl From<i64> for Ben {
    fn from(n: i64) -> Ben {
        Ben::Int(n)
    }
}
impl From<&str> for Ben {
    fn from(s: &str) -> Ben {
        Ben::Bytes(s.as_bytes().to_vec())
    }
}
impl From<Vec<u8>> for Ben {
    fn from(b: Vec<u8>) -> Ben {
        Ben::Bytes(b)
    }
}
impl From<Vec<Ben>> for Ben {
    fn from(l: Vec<Ben>) -> Ben {
        Ben::List(l)
    }
}

/// Creates a dictionary of these entries.
pub fn dict<const N: usize>(entries: [(&str, Ben); N]) -> Ben {
    Ben::Dict(entries.into_iter().map(|(k, v)| (k.as_bytes().to_vec(), v)).collect())
}

impl Ben {
    /// Adds or replaces an entry of a dictionary.
    pub fn with(mut self, key: &str, value: impl Into<Ben>) -> Ben {
        let Ben::Dict(entries) = &mut self else { panic!("only a dictionary has entries") };
        entries.insert(key.as_bytes().to_vec(), value.into());
        self
    }

    /// Returns an entry of a dictionary.
    pub fn get(&self, key: &str) -> Option<&Ben> {
        match self {
            Ben::Dict(entries) => entries.get(key.as_bytes()),
            _ => None,
        }
    }

    /// Returns the number, if the value is one.
    pub fn int(&self) -> Option<i64> {
        match self {
            Ben::Int(n) => Some(*n),
            _ => None,
        }
    }

    /// Encodes the value for the wire.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode_into(&mut out);
        out
    }

    fn encode_into(&self, out: &mut Vec<u8>) {
        match self {
            Ben::Int(n) => out.extend(format!("i{n}e").bytes()),
            Ben::Bytes(b) => bytes_into(b, out),
            Ben::List(list) => {
                out.push(b'l');
                list.iter().for_each(|item| item.encode_into(out));
                out.push(b'e');
            }
            Ben::Dict(entries) => {
                out.push(b'd');
                for (key, value) in entries {
                    bytes_into(key, out);
                    value.encode_into(out);
                }
                out.push(b'e');
            }
            Ben::Raw(bytes) => out.extend(bytes),
        }
    }

    /// Decodes one value and returns it with its length in bytes. `None` if it is invalid.
    pub fn decode(from: &[u8]) -> Option<(Ben, usize)> {
        decode_at(from, 0, 0)
    }
}

fn bytes_into(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend(format!("{}:", bytes.len()).bytes());
    out.extend(bytes);
}

fn decode_at(from: &[u8], at: usize, depth: usize) -> Option<(Ben, usize)> {
    if depth > 16 {
        return None;
    }
    match *from.get(at)? {
        b'i' => {
            let end = at + from[at..].iter().position(|&b| b == b'e')?;
            Some((Ben::Int(std::str::from_utf8(&from[at + 1..end]).ok()?.parse().ok()?), end + 1))
        }
        b'l' | b'd' => {
            let is_list = from[at] == b'l';
            let (mut list, mut entries, mut at) = (Vec::new(), BTreeMap::new(), at + 1);
            while *from.get(at)? != b'e' {
                let (first, next) = decode_at(from, at, depth + 1)?;
                at = next;
                if is_list {
                    list.push(first);
                } else {
                    let Ben::Bytes(key) = first else { return None };
                    let (value, next) = decode_at(from, at, depth + 1)?;
                    at = next;
                    entries.insert(key, value);
                }
            }
            Some((if is_list { Ben::List(list) } else { Ben::Dict(entries) }, at + 1))
        }
        b'0'..=b'9' => {
            let colon = at + from[at..].iter().take(12).position(|&b| b == b':')?;
            let length: usize = std::str::from_utf8(&from[at..colon]).ok()?.parse().ok()?;
            let bytes = from.get(colon + 1..(colon + 1).checked_add(length)?)?;
            Some((Ben::Bytes(bytes.to_vec()), colon + 1 + length))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_encoded_is_read_back() {
        let value = dict([("n", Ben::Int(-3)), ("a", vec![Ben::from("x"), Ben::from(1)].into())]);
        let bytes = value.encode();
        assert_eq!(bytes, b"d1:al1:xi1ee1:ni-3ee");
        assert_eq!(Ben::decode(&bytes), Some((value, bytes.len())));
    }

    #[test]
    fn truncated_values_are_refused() {
        for bad in [&b"d1:a"[..], b"i12", b"5:ab", b"l", b"x", b"99999999999999999999:"] {
            assert_eq!(Ben::decode(bad), None);
        }
    }
}
