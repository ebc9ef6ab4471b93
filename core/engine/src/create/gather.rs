//! The files of a new torrent: the content of a folder, with linked files and folders, and a reason
//! for each entry that is left out.

use super::storage;
use crate::error::Result;
use crate::metainfo::{MAX_FILES, MAX_NAME_BYTES, MAX_PATH_DEPTH, natural_cmp, sanitize};
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Most entries listed as left out; more are only counted.
const MAX_LISTED: usize = 1000;

/// A file of the new torrent.
pub(super) struct Input {
    /// Path of the file.
    pub(super) path: PathBuf,
    /// Components below the torrent's name; none for a torrent of one file.
    pub(super) parts: Vec<String>,
    pub(super) length: u64,
    pub(super) offset: u64,
}

/// An entry of a folder that is not part of the torrent created from it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeftOut {
    /// Path of the file or folder.
    pub path: PathBuf,
    /// Reason why it is left out, as the end of a sentence.
    pub why: String,
}

/// The content of a folder.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) inputs: Vec<Input>,
    pub(super) left_out: Vec<LeftOut>,
    /// Number of entries left out beyond [`MAX_LISTED`].
    pub(super) not_listed: usize,
    /// Number of folders entered; the same one counts each time that a link leads to it.
    folders: usize,
    /// Folders that contain the present position, to detect links that lead back to one of them.
    within: Vec<FolderId>,
}

impl Gathered {
    /// Returns a single file.
    pub(super) fn of_file(path: &Path) -> Gathered {
        let input = Input { path: path.to_owned(), parts: Vec::new(), length: 0, offset: 0 };
        Gathered { inputs: vec![input], ..Gathered::default() }
    }

    /// Returns the files below a folder in natural order.
    ///
    /// # Errors
    ///
    /// Returns an error if the folder cannot be read, or if there are more files than a torrent may
    /// have.
    pub(super) fn of_folder(root: &Path) -> Result<Gathered> {
        let mut gathered = Gathered::default();
        let entries = fs::read_dir(root).map_err(|e| storage("read", root, e))?;
        let meta = fs::metadata(root).map_err(|e| storage("read", root, e))?;
        gathered.within.push(folder_id(&meta));
        gathered.walk(root, entries, &mut Vec::new())?;
        Ok(gathered)
    }

    fn leave_out(&mut self, path: PathBuf, why: impl Into<String>) {
        if self.left_out.len() < MAX_LISTED {
            self.left_out.push(LeftOut { path, why: why.into() });
        } else {
            self.not_listed += 1;
        }
    }

    fn walk(&mut self, folder: &Path, read: fs::ReadDir, parts: &mut Vec<String>) -> Result<()> {
        let mut entries = Vec::new();
        let mut any = false;
        for entry in read {
            let entry = match entry {
                Ok(entry) => entry,
                Err(e) => {
                    self.leave_out(folder.to_owned(), format!("it cannot be read to its end: {e}"));
                    break;
                }
            };
            any = true;
            match usable(&entry) {
                Ok((name, meta)) => entries.push((name, meta)),
                Err(why) => self.leave_out(entry.path(), why),
            }
        }
        if !any && !parts.is_empty() {
            self.leave_out(folder.to_owned(), "it is empty");
        }
        entries.sort_by(|a, b| natural_cmp(&a.0, &b.0));
        for (name, meta) in entries {
            let path = folder.join(&name);
            parts.push(name);
            if meta.is_dir() {
                self.enter(path, &meta, parts)?;
            } else {
                self.add(path, parts)?;
            }
            parts.pop();
        }
        Ok(())
    }

    fn enter(&mut self, path: PathBuf, meta: &Metadata, parts: &mut Vec<String>) -> Result<()> {
        let id = folder_id(meta);
        if self.within.contains(&id) {
            self.leave_out(path, "it is a link to a folder that contains it");
            return Ok(());
        }
        if parts.len() + 2 > MAX_PATH_DEPTH {
            self.leave_out(path, format!("it is more than {MAX_PATH_DEPTH} folders deep"));
            return Ok(());
        }
        // Links that lead to each other's folders can create any number of paths.
        self.folders += 1;
        if self.folders > MAX_FILES {
            return Err(storage("share", &path, io::Error::other(format!("there are more than {MAX_FILES} folders"))));
        }
        match fs::read_dir(&path) {
            Err(e) => self.leave_out(path, format!("it cannot be read: {e}")),
            Ok(entries) => {
                self.within.push(id);
                let walked = self.walk(&path, entries, parts);
                self.within.pop();
                walked?;
            }
        }
        Ok(())
    }

    fn add(&mut self, path: PathBuf, parts: &[String]) -> Result<()> {
        // Detected here, and not after minutes of hashing.
        if let Err(e) = File::open(&path) {
            self.leave_out(path, format!("it cannot be read: {e}"));
            return Ok(());
        }
        if self.inputs.len() >= MAX_FILES {
            let folder = path.parent().unwrap_or(&path);
            return Err(storage("share", folder, io::Error::other(format!("it has more than {MAX_FILES} files"))));
        }
        self.inputs.push(Input { path, parts: parts.to_vec(), length: 0, offset: 0 });
        Ok(())
    }
}

/// Returns the name of an entry and the metadata of it or of its target. If it cannot be part of a
/// torrent, returns the reason.
fn usable(entry: &fs::DirEntry) -> std::result::Result<(String, Metadata), String> {
    if entry.file_name().as_encoded_bytes().first() == Some(&b'.') {
        return Err("it is hidden".into());
    }
    let name = fit(&entry.file_name())?;
    let meta = entry.metadata().map_err(|e| format!("it cannot be read: {e}"))?;
    let meta = if meta.is_symlink() { linked(&entry.path(), &meta)? } else { meta };
    if !meta.is_dir() && !meta.is_file() {
        return Err("it is a device, a pipe or a socket".into());
    }
    Ok((name, meta))
}

/// Returns the name in the form that a torrent can carry.
pub(super) fn fit(name: &OsStr) -> std::result::Result<String, String> {
    let name = name.to_str().ok_or("its name is not UTF-8; rename it")?;
    // If a name is changed to be safe, the files of peers that have them would not be found.
    if sanitize(name, MAX_NAME_BYTES) != name {
        return Err("its name has characters that are unsafe to share; rename it".into());
    }
    Ok(name.to_owned())
}

/// Returns the metadata of a link's target, if the user owns both. Otherwise other users could make
/// us share files that they may not read themselves.
fn linked(path: &Path, link: &Metadata) -> std::result::Result<Metadata, String> {
    let target = fs::metadata(path).map_err(|_| "it is a broken link".to_owned())?;
    let user = rustix::process::geteuid().as_raw();
    if link.uid() != user || target.uid() != user {
        return Err("it is a link, and the link or its target belongs to another user".into());
    }
    Ok(target)
}

/// The identity of a folder, whatever path leads to it: its device and inode.
type FolderId = (u64, u64);

fn folder_id(meta: &Metadata) -> FolderId {
    (meta.dev(), meta.ino())
}
