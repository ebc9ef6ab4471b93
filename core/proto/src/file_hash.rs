//! Hashes that name one file, as URNs: `urn:sha1`, `urn:bitprint`, `urn:tree:tiger` and
//! `urn:ttroot` (the Gnutella project's HUGE 0.94; Bitzi's bitprint).

use crate::{sha1, tiger_tree};
use data_encoding::BASE32_NOPAD_NOCASE;

/// The hashes that name a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct FileHashes {
    /// SHA-1 of the whole file. It proves the file when its last byte is here.
    pub sha1: Option<sha1::Digest>,
    /// Root of its tiger tree, which proves each slice.
    pub tiger: Option<tiger_tree::Digest>,
}

impl FileHashes {
    /// Parses a URN in upper or lower case. `None` if it is not one of these, or its text is not
    /// exactly a hash.
    pub fn from_urn(urn: &str) -> Option<FileHashes> {
        let start = |prefix: &str| {
            let head = urn.get(..prefix.len())?;
            head.eq_ignore_ascii_case(prefix).then(|| &urn[prefix.len()..])
        };
        let mut hashes = FileHashes::default();
        if let Some(text) = start("urn:sha1:") {
            hashes.sha1 = Some(base32(text)?);
        } else if let Some(text) = start("urn:bitprint:") {
            let (sha1, tiger) = text.split_once('.')?;
            (hashes.sha1, hashes.tiger) = (Some(base32(sha1)?), Some(base32(tiger)?));
        } else {
            // RHash writes the first, Shareaza the second.
            let text = ["urn:tree:tiger:", "urn:tree:tiger/:", "urn:ttroot:"].into_iter().find_map(start)?;
            hashes.tiger = Some(base32(text)?);
        }
        Some(hashes)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sha1.is_none() && self.tiger.is_none()
    }

    /// Returns these hashes, and those of `other` that are missing.
    #[must_use]
    pub fn or(self, other: FileHashes) -> FileHashes {
        FileHashes { sha1: self.sha1.or(other.sha1), tiger: self.tiger.or(other.tiger) }
    }

    /// Returns the URN that has all of the hashes; `None` if there are none.
    pub fn urn(&self) -> Option<String> {
        let text = |digest: &[u8]| data_encoding::BASE32_NOPAD.encode(digest);
        match (&self.sha1, &self.tiger) {
            (Some(sha1), Some(tiger)) => Some(format!("urn:bitprint:{}.{}", text(sha1), text(tiger))),
            (Some(sha1), None) => Some(format!("urn:sha1:{}", text(sha1))),
            (None, Some(tiger)) => Some(format!("urn:tree:tiger:{}", text(tiger))),
            (None, None) => None,
        }
    }
}

/// Decodes a hash in base32 without padding. The 39 characters of 24 bytes carry 195 bits, of which
/// the last 3 must be 0; the decoder checks that.
fn base32<const N: usize>(text: &str) -> Option<[u8; N]> {
    BASE32_NOPAD_NOCASE.decode(text.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // Hashes of no bytes (RFC 3174; THEX).
    const SHA1: &str = "3I42H3S6NNFQ2MSVX7XZKYAYSCX5QBYJ";
    const TIGER: &str = "LWPNACQDBZRYXW3VHJVCJ64QBZNGHOHHHZWCLNQ";

    #[test]
    fn urns_name_a_file_in_each_spelling() {
        let (sha1, tiger) = (sha1::sha1(b""), tiger_tree::root_of(b""));
        let hashes = |sha1, tiger| Some(FileHashes { sha1, tiger });
        for (urn, wanted) in [
            (format!("urn:sha1:{SHA1}"), hashes(Some(sha1), None)),
            (format!("URN:SHA1:{}", SHA1.to_lowercase()), hashes(Some(sha1), None)),
            (format!("urn:bitprint:{SHA1}.{TIGER}"), hashes(Some(sha1), Some(tiger))),
            (format!("urn:tree:tiger:{TIGER}"), hashes(None, Some(tiger))),
            (format!("urn:tree:tiger/:{TIGER}"), hashes(None, Some(tiger))),
            (format!("urn:ttroot:{}", TIGER.to_lowercase()), hashes(None, Some(tiger))),
        ] {
            let found = FileHashes::from_urn(&urn);
            assert_eq!(found, wanted, "{urn}");
            assert_eq!(found.unwrap().urn().and_then(|urn| FileHashes::from_urn(&urn)), wanted);
        }
    }

    #[test]
    fn other_urns_name_none() {
        let last_bit = format!("{}R", &TIGER[..38]);
        for urn in [
            "",
            "urn:sha1:",
            &format!("urn:sha1:{}", &SHA1[1..]),
            &format!("urn:sha1:{SHA1}A"),
            &format!("urn:sha1:{}1", &SHA1[1..]),
            &format!("urn:bitprint:{SHA1}"),
            &format!("urn:bitprint:{SHA1}.{SHA1}"),
            &format!("urn:tree:tiger:{SHA1}"),
            &format!("urn:tree:tiger:{last_bit}"),
            &format!("urn:tree:tiger:{TIGER}="),
            &format!("urn:md5:{SHA1}"),
            "urn:sha1:\u{fc}",
        ] {
            assert_eq!(FileHashes::from_urn(urn), None, "{urn}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<String>(), rest in "[A-Za-z0-9.=\\u{fc}]{0,80}") {
            for urn in [text, format!("urn:bitprint:{rest}"), format!("urn:tree:tiger:{rest}")] {
                let _ = FileHashes::from_urn(&urn);
            }
        }
    }
}
