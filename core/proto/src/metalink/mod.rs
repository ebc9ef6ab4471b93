//! Metalink 4 (`.meta4`, RFC 5854): files with their mirrors and hashes.
//!
//! The document is foreign. It has no document type and no entities of its own, and it is bounded
//! in length and depth. Names of files become paths that cannot leave a folder.

mod parse;
#[cfg(test)]
mod tests;

use crate::sha1;
use bytes::Bytes;
use std::path::PathBuf;
use url::Url;

/// Longest document, bytes.
pub const MAX_METALINK_BYTES: usize = 1 << 20;
/// Most elements within each other. A document of RFC 5854 has four.
pub const MAX_DEPTH: usize = 8;
/// Most files kept; the rest is ignored.
pub const MAX_FILES: usize = 1000;
/// Most mirrors kept of a file; the rest is ignored.
pub const MAX_MIRRORS: usize = 100;
/// Priority of a mirror that has none: the lowest (RFC 5854, section 4.2.16.1).
pub const LOWEST_PRIORITY: u32 = 999_999;

/// Media type of a document.
pub const MEDIA_TYPE: &str = "application/metalink4+xml";

/// The reason why a document cannot be used, as the end of a sentence about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadMetalink(pub String);

type Result<T> = std::result::Result<T, BadMetalink>;

fn bad<T>(why: impl Into<String>) -> Result<T> {
    Err(BadMetalink(why.into()))
}

/// A SHA-256 digest.
pub type Sha256 = [u8; 32];

/// A document.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metalink {
    /// The files; at least one.
    pub files: Vec<File>,
}

/// One file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct File {
    /// Its name for display; components joined by `/`.
    pub name: String,
    /// Its path below a folder: relative, of plain components only, unique within the document.
    pub path: PathBuf,
    /// Its length, bytes.
    pub length: Option<u64>,
    /// SHA-1 of the whole file.
    pub sha1: Option<sha1::Digest>,
    /// SHA-256 of the whole file.
    pub sha256: Option<Sha256>,
    /// Hashes of its pieces, the strongest known ones.
    pub pieces: Option<Pieces>,
    /// Mirrors, the preferred ones first.
    pub mirrors: Vec<Mirror>,
    /// URLs of torrent files that have the file (`metaurl`), the preferred ones first.
    pub torrents: Vec<Mirror>,
}

/// A hash function of pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HashKind {
    /// SHA-1, 20 bytes.
    Sha1,
    /// SHA-256, 32 bytes.
    Sha256,
}

impl HashKind {
    /// Returns the length of a hash, bytes.
    pub fn bytes(self) -> usize {
        match self {
            HashKind::Sha1 => 20,
            HashKind::Sha256 => 32,
        }
    }
}

/// The hashes of a file's pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pieces {
    /// The hash function.
    pub kind: HashKind,
    /// Length of every piece except the last, bytes.
    pub piece_bytes: u64,
    /// The hashes, one after the other.
    pub hashes: Bytes,
}

impl Pieces {
    /// Returns the number of pieces.
    pub fn count(&self) -> usize {
        self.hashes.len() / self.kind.bytes()
    }

    /// Returns the hash that a piece must have; `None` past the end.
    pub fn hash_of(&self, piece: usize) -> Option<&[u8]> {
        self.hashes.chunks_exact(self.kind.bytes()).nth(piece)
    }
}

/// A server that has a file, or a torrent of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mirror {
    /// Its URL (http or https).
    pub url: Url,
    /// 1 for the most preferred ones, at most [`LOWEST_PRIORITY`].
    pub priority: u32,
    /// Country of the server, two lower-case letters (ISO 3166-1).
    pub location: Option<[u8; 2]>,
}
