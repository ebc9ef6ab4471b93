//! Metainfo as applications see it: the records of `playswarm-proto`, and which of a torrent's files
//! is meant.
//!
//! `choose` picks the file to play, `find` the one that a user names, and `sidecars` the subtitles
//! and the artwork of a film. They need the formats of `playswarm-media`.

mod choose;
mod episode;
mod find;
mod language;
mod media_type;
mod sidecars;

#[cfg(test)]
pub(crate) use choose::tests::torrent;
pub(crate) use choose::{Seen, choose};
pub use media_type::{content_type, is_playable, natural_cmp};
pub use playswarm_proto::metainfo::{
    BadMetainfo, FileEntry, MAX_FILES, MAX_NAME_BYTES, MAX_PATH_BYTES, MAX_PATH_DEPTH, MAX_PIECE_BYTES,
    MAX_TORRENT_BYTES, MAX_TOTAL_BYTES, MAX_TRACKERS, MAX_URL_BYTES, MIN_PIECE_BYTES, Tracker, Trackers, WebSeed,
    WebSeeds, sanitize,
};
pub use playswarm_proto::{InfoHash, Metainfo};
pub use sidecars::{Sidecars, Subtitle};

use crate::error::Result;
use icu_normalizer::ComposingNormalizerBorrowed;
use std::borrow::Cow;

/// The choice of a file of a [`Metainfo`]. It is a trait because `Metainfo` belongs to the crate of
/// bytes, which knows no formats of films. [`TorrentHandle`](crate::TorrentHandle) chooses without
/// it.
///
/// ```
/// use playswarm::ChooseFile;
///
/// fn film(torrent: &playswarm::Metainfo) -> playswarm::Result<&str> {
///     Ok(&torrent.files[torrent.default_file()?].name)
/// }
/// ```
pub trait ChooseFile {
    /// Returns the file to play when none is named: the largest that is playable by its name.
    /// Samples, trailers, extras and audio files come after a film. A file with an inconclusive
    /// name is chosen if it is far larger than all playable ones. If the link selects files (BEP
    /// 53), the choice is one of those.
    ///
    /// # Errors
    ///
    /// Returns [`Error::NothingPlayable`](crate::Error::NothingPlayable) or
    /// [`Error::Packed`](crate::Error::Packed).
    fn default_file(&self) -> Result<usize>;

    /// Finds the file that a user names by its number, its path, its name, or a part of its name.
    /// Of several matches, films come before subtitles and other files, and samples and extras come
    /// last.
    ///
    /// # Errors
    ///
    /// Returns [`Error::NoSuchFile`](crate::Error::NoSuchFile) if no file matches. Returns
    /// [`Error::UnclearFile`](crate::Error::UnclearFile) if several match, or if some are only
    /// similar.
    fn find_file(&self, wanted: &str) -> Result<usize>;

    /// Returns the files that a player would open by themselves, in natural order of their names.
    fn playable(&self) -> Vec<usize>;
}

impl ChooseFile for Metainfo {
    fn default_file(&self) -> Result<usize> {
        choose(self, &Seen::new()).file
    }

    fn find_file(&self, wanted: &str) -> Result<usize> {
        find::find(self, wanted)
    }

    fn playable(&self) -> Vec<usize> {
        let mut files: Vec<usize> = (0..self.files.len())
            .filter(|&n| !self.files[n].padding && self.files[n].length > 0 && is_playable(&self.files[n].name))
            .collect();
        files.sort_by(|&a, &b| natural_cmp(&self.files[a].name, &self.files[b].name));
        files
    }
}

/// Returns a name with composed letters (NFC), to be compared: macOS writes an accent as a character
/// of its own, and keyboards do not.
fn composed(name: &str) -> Cow<'_, str> {
    ComposingNormalizerBorrowed::new_nfc().normalize(name)
}
