//! Chooses the names that a torrent's files may have in the chosen folder. Pure: nothing here
//! accesses a disk.
//!
//! A taken name is never used: the next candidate is tried. At the top of the chosen folder the
//! candidates are the torrent's name, the name with the beginning of the info-hash, then numbers.
//! Within the torrent's own folder they are the name and numbers. Where the disk refuses a name, the
//! same candidates follow in a form that every disk accepts.

use crate::metainfo::Metainfo;
use playswarm_proto::metainfo::{portable, with_suffix};
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

/// Most candidate names that are tried for one file: more than programs leave behind, and few enough
/// to be tried in a second on a network disk.
pub(super) const MAX_NAMES: u32 = 2000;

/// First number of the names at the top of the torrent's folder. They serve a file whose own folder
/// cannot be created, as something else has its name.
pub(super) const FLAT: u32 = 1 << 16;

/// First number of the names in the form that every disk accepts. FAT, exFAT and NTFS refuse names
/// with `:` or `?`.
pub(super) const PORTABLE: u32 = 1 << 17;

/// The naming rules for one torrent.
pub(super) struct Names {
    /// Name of the folder that contains all files; `None` for a torrent of one file.
    folder: Option<OsString>,
    /// Beginning of the info-hash.
    short_hash: String,
}

impl Names {
    pub(super) fn of(torrent: &Metainfo) -> Names {
        let mut folder: Option<&OsStr> = None;
        let mut common = true;
        for file in torrent.files.iter().filter(|f| !f.padding) {
            let mut parts = file.path.components();
            match (parts.next(), parts.next()) {
                (Some(Component::Normal(top)), Some(_)) if folder.is_none_or(|f| f == top) => folder = Some(top),
                _ => common = false,
            }
        }
        let hash = torrent.info_hash.to_string();
        Names {
            folder: folder.filter(|_| common).map(OsStr::to_owned),
            short_hash: hash.get(..8).unwrap_or(&hash).to_owned(),
        }
    }

    /// Returns whether the torrent has a folder of its own.
    pub(super) fn has_folder(&self) -> bool {
        self.folder.is_some()
    }

    /// Returns the torrent's folder under its `n`-th candidate name.
    pub(super) fn folder(&self, n: u32) -> Option<PathBuf> {
        self.folder.as_ref().map(|name| in_form(self.at_top(name, n % PORTABLE, false), n))
    }

    /// Returns the path of a file under its `n`-th candidate name. The path is relative to the
    /// torrent's folder, or to the chosen folder where the torrent has none.
    pub(super) fn file(&self, torrent: &Metainfo, index: usize, n: u32) -> PathBuf {
        in_form(self.natural_file(torrent, index, n % PORTABLE), n)
    }

    fn natural_file(&self, torrent: &Metainfo, index: usize, n: u32) -> PathBuf {
        let file = &torrent.files[index];
        if file.padding {
            // Names of pad files are often equal.
            return PathBuf::from(if n == 0 { format!(".pad/{index}") } else { format!(".pad/{index} ({n})") });
        }
        if self.folder.is_none() {
            return match (file.path.parent(), file.path.file_name()) {
                (Some(parent), Some(name)) if parent.as_os_str().is_empty() => self.at_top(name, n, true),
                _ => file.path.with_file_name(numbered(file.path.file_name(), n, true)),
            };
        }
        let mut below = file.path.components();
        below.next();
        let path = below.as_path();
        match n.checked_sub(FLAT) {
            None => path.with_file_name(numbered(path.file_name(), n, true)),
            Some(n) => {
                let name = path.file_name().map(OsStr::to_string_lossy).unwrap_or_default();
                PathBuf::from(numbered(Some(OsStr::new(&format!("{index} {name}"))), n, true))
            }
        }
    }

    fn at_top(&self, name: &OsStr, n: u32, is_file: bool) -> PathBuf {
        let name = harmless(&name.to_string_lossy());
        PathBuf::from(match n {
            0 => name,
            1 => with_suffix(&name, &format!(" [{}]", self.short_hash), is_file),
            n => with_suffix(&name, &format!(" [{}] ({n})", self.short_hash), is_file),
        })
    }
}

/// Returns a path in the form that its candidate's number says.
fn in_form(path: PathBuf, n: u32) -> PathBuf {
    if n < PORTABLE {
        return path;
    }
    path.components().map(|part| portable(&part.as_os_str().to_string_lossy())).collect()
}

fn numbered(name: Option<&OsStr>, n: u32, is_file: bool) -> OsString {
    let name = name.unwrap_or_default();
    if n == 0 {
        name.to_owned()
    } else {
        with_suffix(&name.to_string_lossy(), &format!(" ({})", n + 1), is_file).into()
    }
}

/// Returns a name without meaning to other programs at the top of a folder such as the user's home.
/// Names with a leading dot belong to settings, keys and our own state.
fn harmless(name: &str) -> String {
    if is_harmless(name) { name.to_owned() } else { with_suffix(&format!("_{name}"), "", true) }
}

/// Returns whether a name at the top of the chosen folder is that of ordinary files.
pub(super) fn is_harmless(name: &str) -> bool {
    // Some file systems ignore characters without width.
    let unseen =
        |c: char| c.is_whitespace() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    !name.trim_start_matches(unseen).starts_with('.')
}

/// Returns whether a torrent's own path begins with a harmless name.
pub(super) fn begins_harmless(path: &Path) -> bool {
    path.components().next().is_some_and(|first| is_harmless(&first.as_os_str().to_string_lossy()))
}
