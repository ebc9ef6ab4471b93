//! A torrent's description, checked and within limits: what every other part relies on.
//!
//! The parsing is in `torrent/parse.rs`, the safe paths in `torrent/paths.rs`; where torrents come from is up to `discovery`.

mod choose;
mod episode;
mod find;
mod language;
mod media_type;
mod pads;
mod parse;
mod paths;
mod sidecars;
mod trackers;

pub(crate) use choose::Seen;
pub use media_type::{content_type, is_playable, natural_cmp};
pub use parse::{
    MAX_FILES, MAX_PIECE_BYTES, MAX_TORRENT_BYTES, MAX_TOTAL_BYTES, MAX_TRACKERS, MAX_URL_BYTES, MIN_PIECE_BYTES,
};
pub(crate) use parse::{likely_text, write_torrent};
pub(crate) use paths::with_suffix;
pub use paths::{MAX_NAME_BYTES, MAX_PATH_BYTES, MAX_PATH_DEPTH, sanitize};
pub use playswarm_proto::InfoHash;
pub(crate) use playswarm_proto::sha1::sha1;
pub use sidecars::{Sidecars, Subtitle};
pub(crate) use trackers::parse as parse_tracker;
pub use trackers::{Tracker, Trackers};

use crate::discovery::source::Magnet;
use bytes::Bytes;
use playswarm_logic::Layout;
use serde::Serialize;
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// One file of a torrent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FileEntry {
    /// The path of other clients' files below a folder: relative, of plain components only, unique within the torrent. Our
    /// own file gets another name where this one is taken, or begins with a dot.
    pub path: PathBuf,
    /// The path as the torrent has it, for people; components joined by `/`.
    pub name: String,
    /// Bytes of the file.
    pub length: u64,
    /// Where its first byte stands in the torrent.
    pub offset: u64,
    /// A pad file (BEP 47): never shown, and written only where its bytes are not zeros.
    pub padding: bool,
}

/// A checked torrent (v1, or the v1 half of a hybrid one).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Metainfo {
    /// SHA-1 of the info dictionary.
    pub info_hash: InfoHash,
    /// The torrent's name, for people.
    pub name: String,
    /// Lengths of the torrent and of its pieces.
    pub(crate) layout: Layout,
    /// 20 bytes of SHA-1 for each piece.
    pub hashes: Bytes,
    /// The files in the torrent's order; offsets ascend without gaps.
    pub files: Vec<FileEntry>,
    /// BEP 27: peers from its trackers only.
    pub private: bool,
    /// Its trackers.
    pub trackers: Trackers,
    /// The encoding of names that are not UTF-8, where the torrent file states one (`encoding`, `codepage`).
    pub encoding: Option<&'static str>,
    /// The files that the link means (`so`, BEP 53), by number; none stands for all of them.
    pub selected: Vec<RangeInclusive<usize>>,
    /// The info dictionary as it was hashed (BEP 9 hands it on).
    pub info: Bytes,
}

impl Metainfo {
    /// Returns the total size of all files in bytes, pad files included.
    pub fn total_bytes(&self) -> u64 {
        self.layout.total_bytes()
    }

    /// Returns the bytes per piece. The last piece may be shorter.
    pub fn piece_bytes(&self) -> u32 {
        self.layout.piece_bytes()
    }

    /// Returns the number of pieces.
    pub fn pieces(&self) -> u32 {
        self.layout.pieces()
    }

    /// The SHA-1 that this piece must have; `None` past the end.
    pub fn hash_of(&self, piece: u32) -> Option<&[u8]> {
        let at = piece as usize * 20;
        self.hashes.get(at..at + 20)
    }

    /// A `.torrent` file (BEP 3) with this torrent's info dictionary, byte for byte, and its trackers.
    pub fn to_torrent_bytes(&self) -> Vec<u8> {
        write_torrent(&self.info, &self.trackers, None, self.encoding)
    }

    /// A magnet link (BEP 9) to this torrent, with its name and trackers.
    pub fn magnet(&self) -> Magnet {
        let mut magnet = Magnet::new(self.info_hash);
        magnet.name = Some(self.name.clone());
        magnet.trackers = self.trackers.urls().map(str::to_owned).collect();
        magnet
    }

    /// Tells which files may be the default one: those that the link selects, or all where it selects none with data.
    pub(crate) fn selection(&self) -> impl Fn(usize) -> bool + '_ {
        let selects = |n: usize| self.selected.iter().any(|range| range.contains(&n));
        let has_data = |n: &usize| !self.files[*n].padding && self.files[*n].length > 0;
        let any = !self.selected.is_empty() && (0..self.files.len()).filter(has_data).any(selects);
        move |n| !any || selects(n)
    }

    /// The files that a player would open by themselves, in the order in which people list them.
    pub fn playable(&self) -> Vec<usize> {
        let mut files: Vec<usize> = (0..self.files.len())
            .filter(|&n| !self.files[n].padding && self.files[n].length > 0 && is_playable(&self.files[n].name))
            .collect();
        files.sort_by(|&a, &b| natural_cmp(&self.files[a].name, &self.files[b].name));
        files
    }
}
