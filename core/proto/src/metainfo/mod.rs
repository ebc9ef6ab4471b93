//! Metainfo: the description of a torrent (BEP 3), checked and within limits.
//!
//! `parse` reads and writes torrent files, `info` reads the info dictionary, `paths` makes safe
//! paths. Where metainfo comes from, and which of its files is played, is up to the engine.

mod info;
mod pads;
mod parse;
mod paths;
mod trackers;
mod web_paths;
mod web_seeds;

pub use parse::{
    MAX_FILES, MAX_PIECE_BYTES, MAX_TORRENT_BYTES, MAX_TOTAL_BYTES, MIN_PIECE_BYTES, is_web_page, write_torrent,
};
pub use paths::{MAX_NAME_BYTES, MAX_PATH_BYTES, MAX_PATH_DEPTH, portable, sanitize, with_suffix};
pub(crate) use paths::{PathMaker, shown as shown_name};
pub use trackers::{MAX_TRACKERS, MAX_URL_BYTES, Tracker, Trackers, parse as parse_tracker};
pub use web_paths::{Content, Part, WebPaths};
pub use web_seeds::{MAX_WEB_SEEDS, WebSeed, WebSeeds, parse as parse_web_seed};

use crate::bencode::Malformed;
use crate::named_file::NamedFile;
use crate::proof::Proof;
use crate::{InfoHash, Layout, Magnet, magnet};
use bytes::Bytes;
use info::RawInfo;
use serde::Serialize;
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// The reason why metainfo cannot be used, as the end of a sentence about the torrent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
#[non_exhaustive]
pub struct BadMetainfo(pub String);

impl From<Malformed> for BadMetainfo {
    fn from(why: Malformed) -> BadMetainfo {
        bad(why.0)
    }
}

fn bad(why: impl Into<String>) -> BadMetainfo {
    BadMetainfo(why.into())
}

type Result<T> = std::result::Result<T, BadMetainfo>;

/// One file of a torrent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FileEntry {
    /// The path of other clients' files below a folder: relative, of plain components only, unique
    /// within the torrent. The client's own file gets another name if this one is taken or begins
    /// with a dot.
    pub path: PathBuf,
    /// The path as the torrent has it, for display; components joined by `/`.
    pub name: String,
    /// Length of the file, bytes.
    pub length: u64,
    /// Offset of its first byte in the torrent.
    pub offset: u64,
    /// Whether it is a pad file (BEP 47): never shown, and written only where its bytes are not
    /// zeros.
    pub padding: bool,
}

/// A checked torrent (v1, or the v1 half of a hybrid one).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Metainfo {
    /// SHA-1 of the info dictionary.
    pub info_hash: InfoHash,
    /// Name of the torrent, for display.
    pub name: String,
    /// Lengths of the torrent and of its pieces, for the engine. Applications use
    /// [`total_bytes`](Metainfo::total_bytes), [`piece_bytes`](Metainfo::piece_bytes) and
    /// [`pieces`](Metainfo::pieces).
    #[doc(hidden)]
    pub layout: Layout,
    /// What the bytes are checked against: a SHA-1 for each piece, unless hashes name the file.
    pub proof: Proof,
    /// The file that hashes name; `None` for a torrent. Such a file is in none of BitTorrent's
    /// networks, and `info_hash` only identifies it here.
    pub named: Option<NamedFile>,
    /// The files in the torrent's order; offsets ascend without gaps.
    pub files: Vec<FileEntry>,
    /// Whether only its trackers may name peers (BEP 27).
    pub private: bool,
    /// Its trackers.
    pub trackers: Trackers,
    /// HTTP servers that have its files (`url-list`, BEP 19).
    pub web_seeds: WebSeeds,
    /// Encoding of names that are not UTF-8, if the torrent file states one (`encoding`,
    /// `codepage`).
    pub encoding: Option<&'static str>,
    /// Numbers of the files that the link selects (`so`, BEP 53). An empty list selects all.
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

    /// Returns the SHA-1 that a piece must have; `None` past the end. Pieces of a file that hashes
    /// name may have others, or none.
    pub fn hash_of(&self, piece: u32) -> Option<&[u8]> {
        self.proof.flat_hash_of(piece)
    }

    /// Returns the metainfo of a file that hashes name.
    pub(crate) fn of_named(named: NamedFile, layout: Layout, proof: Proof) -> Result<Metainfo> {
        let info: Bytes = named.info().into();
        let content = RawInfo::read(&info)?.content(None, "file")?;
        Ok(Metainfo {
            info_hash: named.id(),
            name: content.name.unwrap_or_else(|| named.shown_name()),
            layout,
            proof,
            files: content.files,
            // Nothing may name a peer, as there are none.
            private: true,
            trackers: Trackers::default(),
            web_seeds: named.servers.clone(),
            encoding: None,
            selected: Vec::new(),
            info,
            named: Some(named),
        })
    }

    /// Returns a link to this torrent, or to the file that hashes name. `None` for a file of which
    /// only the hashes of its pieces are known.
    pub fn link(&self) -> Option<String> {
        match &self.named {
            None => Some(self.magnet().to_string()),
            Some(named) => named.link(),
        }
    }

    /// Returns a `.torrent` file (BEP 3) with this torrent's info dictionary, byte for byte, and
    /// its trackers and web seeds. `None` for a file that hashes name, which no torrent has.
    pub fn to_torrent_bytes(&self) -> Option<Vec<u8>> {
        let bytes = || parse::write(&self.info, &self.trackers, &self.web_seeds, None, self.encoding);
        self.named.is_none().then(bytes)
    }

    /// Returns a magnet link (BEP 9) to this torrent, with its name, trackers and web seeds.
    fn magnet(&self) -> Magnet {
        let mut magnet = Magnet::new(self.info_hash);
        magnet.name = Some(self.name.clone());
        magnet.trackers = self.trackers.urls().map(str::to_owned).collect();
        let server = |seed: &WebSeed| magnet::Server { role: magnet::Role::WebSeed, url: seed.url.clone() };
        magnet.servers = self.web_seeds.iter().map(server).collect();
        magnet
    }

    /// Returns which files may be the default one: those that the link selects, or all if it
    /// selects none with data.
    pub fn selection(&self) -> impl Fn(usize) -> bool + '_ {
        let selects = |n: usize| self.selected.iter().any(|range| range.contains(&n));
        let has_data = |n: &usize| !self.files[*n].padding && self.files[*n].length > 0;
        let any = !self.selected.is_empty() && (0..self.files.len()).filter(has_data).any(selects);
        move |n| !any || selects(n)
    }
}

#[cfg(test)]
mod tests;
