//! Identifiers and tokens that strangers cannot guess, from the driver's random key.

use playswarm_proto::gnutella::Guid;
use playswarm_proto::sha1::Sha1;
use std::net::SocketAddrV4;

/// Length of a token, bytes.
const TOKEN_BYTES: usize = 8;

/// The key, and the number of identifiers drawn from it.
#[derive(Clone)]
pub(super) struct Secrets {
    key: [u8; 32],
    drawn: u64,
}

/// The key is not shown.
impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secrets").field("drawn", &self.drawn).finish_non_exhaustive()
    }
}

impl Secrets {
    /// Keeps a key of random bytes.
    pub(super) fn new(key: [u8; 32]) -> Secrets {
        Secrets { key, drawn: 0 }
    }

    fn hash(&self, purpose: &[u8], data: &[u8]) -> [u8; 20] {
        let mut hash = Sha1::new();
        [&self.key[..], purpose, data, &self.key].iter().for_each(|part| hash.update(part));
        hash.finish()
    }

    /// Returns a new identifier.
    pub(super) fn guid(&mut self) -> Guid {
        self.drawn += 1;
        let hash = self.hash(b"guid", &self.drawn.to_be_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash[..16]);
        Guid::of_random(bytes)
    }

    /// Returns the name of a node of the DHT.
    pub(super) fn kuid(&self) -> [u8; 20] {
        self.hash(b"kuid", b"")
    }

    /// Returns a seed for ties.
    pub(super) fn seed(&self) -> u64 {
        self.hash(b"seed", b"").iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte))
    }

    /// Returns the token with which a servent's hits for a query are claimed.
    pub(super) fn token(&self, query: Guid, servent: SocketAddrV4) -> [u8; TOKEN_BYTES] {
        let hash = self.hash(b"token", &[&query.0[..], &servent.ip().octets(), &servent.port().to_be_bytes()].concat());
        let mut token = [0; TOKEN_BYTES];
        token.copy_from_slice(&hash[..TOKEN_BYTES]);
        token
    }

    /// Whether a token is the one of [`Secrets::token`], in constant time.
    pub(super) fn is_token(&self, query: Guid, servent: SocketAddrV4, token: &[u8]) -> bool {
        let right = self.token(query, servent);
        token.len() == right.len() && right.iter().zip(token).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
    }
}
