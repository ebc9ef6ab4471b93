//! The extensions of a query and of a result: URNs and other texts, separated by 0x1c (HUGE 0.94),
//! and a block of GGEP.

use super::Ggep;
use super::ggep::{Budget, MAGIC, Place};
use crate::{FileHashes, sha1, tiger_tree};
use bytes::{Buf, Bytes};

/// Separates the texts.
const SEPARATOR: u8 = 0x1c;
/// Ends a text. Some servents end the extensions of a query with a NUL.
const ENDS: [u8; 2] = [SEPARATOR, 0];
/// Most texts that are kept.
const MAX_TEXTS: usize = 16;

/// Extensions between two NULs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Area {
    /// URNs and other texts, each without NUL and separator.
    texts: Vec<Bytes>,
    /// Extensions of GGEP.
    pub ggep: Ggep,
}

impl Area {
    /// Returns the area that names a file in text: `urn:sha1`, or the URN of all hashes that are
    /// known.
    pub fn of_urn(hashes: &FileHashes) -> Area {
        Area { texts: hashes.urn().map(Bytes::from).into_iter().collect(), ggep: Ggep::new() }
    }

    /// Returns the texts.
    pub fn texts(&self) -> impl Iterator<Item = &[u8]> {
        self.texts.iter().map(|text| &text[..])
    }

    /// Returns the hashes of the file: those of URNs, and those of the extensions `H` (SHA-1 or
    /// bitprint), `TT` (root of the tiger tree) and `S1` (SHA-1).
    pub fn hashes(&self) -> FileHashes {
        let urns = self.texts().filter_map(|text| std::str::from_utf8(text).ok()).filter_map(FileHashes::from_urn);
        let mut hashes = urns.fold(FileHashes::default(), FileHashes::or);
        let mut add = |sha1: Option<sha1::Digest>, tiger: Option<tiger_tree::Digest>| {
            hashes.sha1 = hashes.sha1.or(sha1);
            hashes.tiger = hashes.tiger.or(tiger);
        };
        match self.ggep.get("H").and_then(|data| data.split_first()) {
            Some((1, sha1)) => add(sha1.try_into().ok(), None),
            Some((2, both)) if both.len() == 20 + tiger_tree::DIGEST_BYTES => {
                let (sha1, tiger) = both.split_at(20);
                add(sha1.try_into().ok(), tiger.try_into().ok());
            }
            _ => {}
        }
        add(self.ggep.exact("S1"), self.ggep.exact("TT"));
        hashes
    }

    /// Reads an area. What is not understood is skipped; a broken block of GGEP ends it.
    pub(super) fn decode(bytes: &Bytes, budget: &mut Budget) -> Area {
        let (mut area, mut rest) = (Area::default(), bytes.clone());
        while !rest.is_empty() {
            if rest[0] == MAGIC {
                let Ok((ggep, after)) = Ggep::decode(&rest, budget) else { break };
                if area.ggep.is_empty() {
                    area.ggep = ggep;
                }
                rest = after;
            } else {
                let end = rest.iter().position(|b| ENDS.contains(b)).unwrap_or(rest.len());
                let text = rest.split_to(end);
                if !text.is_empty() && area.texts.len() < MAX_TEXTS {
                    area.texts.push(text);
                }
            }
            if rest.first().is_some_and(|b| ENDS.contains(b)) {
                rest.advance(1);
            }
        }
        area
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        for (at, text) in self.texts.iter().enumerate() {
            if at > 0 {
                out.push(SEPARATOR);
            }
            out.extend_from_slice(text);
        }
        if !self.texts.is_empty() && !self.ggep.is_empty() {
            out.push(SEPARATOR);
        }
        self.ggep.encode(Place::AmongTexts, out);
    }
}
