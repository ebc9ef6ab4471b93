//! The 16 bytes that name a servent, or a message and its answers.

use super::fields;
use data_encoding::{BASE32_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use std::fmt;
use std::net::SocketAddrV4;

/// A globally unique identifier: of a message, which its answers repeat, or of a servent.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Guid(pub [u8; 16]);

/// Index of the byte that is 255 in identifiers of modern servents.
const MODERN_MARK: usize = 8;
/// Index of the byte that is 0.
const ZERO_MARK: usize = 15;

impl Guid {
    /// The identifier of messages that answer none.
    pub const ZERO: Guid = Guid([0; 16]);

    /// Returns an identifier from random bytes, with the marks of modern servents.
    pub fn of_random(mut bytes: [u8; 16]) -> Guid {
        bytes[MODERN_MARK] = 0xff;
        bytes[ZERO_MARK] = 0;
        Guid(bytes)
    }

    /// Returns the identifier of a query whose hits go to this UDP address directly, out of band.
    #[must_use]
    pub fn with_address(mut self, address: SocketAddrV4) -> Guid {
        self.0[..4].copy_from_slice(&address.ip().octets());
        self.0[13..15].copy_from_slice(&address.port().to_le_bytes());
        self
    }

    /// Returns the UDP address in the identifier of a query that asks for hits out of band. In
    /// other identifiers it is random.
    pub fn address(&self) -> SocketAddrV4 {
        let [a, b, c, d, .., low, high, _] = self.0;
        fields::address(&[a, b, c, d, low, high])
    }

    /// Parses 32 hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Guid> {
        HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?.try_into().ok().map(Guid)
    }

    /// Parses 26 characters of base32, as requests to push proxies have them.
    pub fn from_base32(text: &str) -> Option<Guid> {
        data_encoding::BASE32_NOPAD_NOCASE.decode(text.as_bytes()).ok()?.try_into().ok().map(Guid)
    }

    /// Returns the identifier in base32.
    pub fn to_base32(&self) -> String {
        BASE32_NOPAD.encode(&self.0)
    }
}

/// Writes 32 hexadecimal digits.
impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
