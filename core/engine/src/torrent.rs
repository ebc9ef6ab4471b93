//! A torrent's description, checked and within limits: what every other part relies on.

use bytes::Bytes;
use playswarm_logic::Layout;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// The SHA-1 of a torrent's info dictionary (BEP 3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InfoHash(pub [u8; 20]);

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

/// One file of a torrent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileEntry {
    /// The path below the session's folder: relative, of plain components only, unique within the torrent.
    pub path: PathBuf,
    /// The path as the torrent has it, for people; components joined by `/`.
    pub name: String,
    /// Bytes of the file.
    pub length: u64,
    /// Where its first byte stands in the torrent.
    pub offset: u64,
    /// A pad file (BEP 47): zeros that are never written nor shown.
    pub padding: bool,
}

/// A checked torrent (v1, or the v1 half of a hybrid one).
#[derive(Clone, Debug)]
pub struct Torrent {
    /// SHA-1 of the info dictionary.
    pub info_hash: InfoHash,
    /// The torrent's name, for people.
    pub name: String,
    /// Lengths of the torrent and of its pieces.
    pub layout: Layout,
    /// 20 bytes of SHA-1 for each piece.
    pub hashes: Bytes,
    /// The files in the torrent's order; offsets ascend without gaps.
    pub files: Vec<FileEntry>,
    /// BEP 27: peers from its trackers only.
    pub private: bool,
    /// Announce URLs (http, https, udp), without duplicates.
    pub trackers: Vec<String>,
    /// The info dictionary as it was hashed (BEP 9 hands it on).
    pub info: Bytes,
}

impl Torrent {
    /// The SHA-1 that this piece must have; `None` past the end.
    pub fn hash_of(&self, piece: u32) -> Option<&[u8]> {
        let at = piece as usize * 20;
        self.hashes.get(at..at + 20)
    }
}
