//! The info-hash of a torrent.

use data_encoding::{BASE32_NOPAD_NOCASE, HEXLOWER_PERMISSIVE};
use serde::Serialize;
use std::fmt;

/// The SHA-1 of a torrent's info dictionary (BEP 3).
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InfoHash(pub [u8; 20]);

impl InfoHash {
    /// Parses 40 hexadecimal digits, or 32 characters of base32 as in old links.
    pub fn from_text(text: &str) -> Option<InfoHash> {
        let encoding = match text.len() {
            40 => HEXLOWER_PERMISSIVE,
            32 => BASE32_NOPAD_NOCASE,
            _ => return None,
        };
        encoding.decode(text.as_bytes()).ok()?.try_into().ok().map(InfoHash)
    }
}

impl fmt::Display for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}
impl fmt::Debug for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl Serialize for InfoHash {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}
