//! The keys of a channel. Ed25519 and SHA-256 are those of aws-lc-rs, as SHA-1 is everywhere.

use crate::InfoHash;
use crate::sha1::Sha1;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use data_encoding::{BASE32_NOPAD, BASE32_NOPAD_NOCASE};
use std::fmt;
use std::str::FromStr;

/// A signature of Ed25519 (RFC 8032).
pub type Signature = [u8; 64];

/// Label in front of the key in the hash that is the channel's id. The last byte is the version.
const ID_LABEL: &[u8] = b"playswarm live 1";
/// Characters of a key in base32, without padding.
const KEY_CHARS: usize = 52;

/// The public key of a channel, which identifies it. Written in base32 (RFC 4648) without padding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelKey(pub [u8; 32]);

impl ChannelKey {
    /// Returns the channel's id. It takes the place of an info-hash in handshakes, on the DHT and
    /// in local discovery.
    pub fn id(&self) -> InfoHash {
        let mut hash = Sha1::new();
        hash.update(ID_LABEL);
        hash.update(&self.0);
        InfoHash(hash.finish())
    }

    /// Returns whether the holder of the channel's secret key signed this message.
    pub fn verifies(&self, message: &[u8], signature: &Signature) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, signature).is_ok()
    }
}

impl fmt::Display for ChannelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE32_NOPAD.encode(&self.0))
    }
}

impl fmt::Debug for ChannelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ChannelKey {
    type Err = String;
    fn from_str(text: &str) -> Result<ChannelKey, String> {
        let key = if text.len() == KEY_CHARS { BASE32_NOPAD_NOCASE.decode(text.as_bytes()).ok() } else { None };
        key.and_then(|key| key.try_into().ok())
            .map(ChannelKey)
            .ok_or_else(|| format!("a channel key has {KEY_CHARS} characters of base32 (A to Z, 2 to 7)"))
    }
}

/// The secret key of a channel's source.
pub struct SourceKey(Ed25519KeyPair);

impl SourceKey {
    /// Creates the key from its seed (RFC 8032): 32 random bytes that the caller draws and keeps
    /// secret.
    pub fn from_seed(seed: &[u8; 32]) -> SourceKey {
        SourceKey(Ed25519KeyPair::from_seed_unchecked(seed).expect("every 32 bytes are a seed of Ed25519"))
    }

    /// Returns the channel's public key.
    pub fn channel(&self) -> ChannelKey {
        let mut key = [0; 32];
        key.copy_from_slice(self.0.public_key().as_ref());
        ChannelKey(key)
    }

    /// Returns the signature of a message. It depends on the key and the message alone.
    pub fn sign(&self, message: &[u8]) -> Signature {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.0.sign(message).as_ref());
        signature
    }
}

impl fmt::Debug for SourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceKey of {}", self.channel())
    }
}
