//! SHA-1 (RFC 3174), which BitTorrent uses for pieces, info dictionaries and DHT keys. The whole
//! project uses one implementation: that of aws-lc-rs, which rustls depends on and which uses the
//! processor's instructions.

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};

/// A SHA-1 digest.
pub type Digest = [u8; 20];

/// A SHA-1 computation in progress.
#[derive(Clone)]
pub struct Sha1(Context);

impl std::fmt::Debug for Sha1 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sha1")
    }
}

impl Default for Sha1 {
    fn default() -> Sha1 {
        Sha1::new()
    }
}

impl Sha1 {
    /// Creates an empty computation.
    pub fn new() -> Sha1 {
        Sha1(Context::new(&SHA1_FOR_LEGACY_USE_ONLY))
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Returns the digest of all added bytes.
    pub fn finish(self) -> Digest {
        let mut digest = [0; 20];
        digest.copy_from_slice(self.0.finish().as_ref());
        digest
    }
}

/// Returns the digest of `bytes`.
pub fn sha1(bytes: &[u8]) -> Digest {
    let mut hasher = Sha1::new();
    hasher.update(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_rfc_3174() {
        let hex = |digest: Digest| digest.iter().map(|b| format!("{b:02x}")).collect::<String>();
        assert_eq!(hex(sha1(b"abc")), "a9993e364706816aba3e25717850c26c9cd0d89d");
        let mut parts = Sha1::new();
        parts.update(b"a");
        parts.update(b"bc");
        assert_eq!(parts.finish(), sha1(b"abc"));
    }
}
