//! The open files of a torrent. Their number is limited, however many files the torrent has.

use super::files::Source;
use super::folder::Access;
use super::growth::Growth;
use parking_lot::Mutex;
use std::fs::File;
use std::io;
use std::sync::{Arc, OnceLock};

/// Most files that are open at once. A piece seldom touches more than a few, and 64 leave most of a
/// process's 1024 descriptors to peers.
pub(super) const OPEN_FILES: usize = 64;

/// An open file.
pub(super) struct Handle {
    pub(super) file: File,
    writable: bool,
    /// How the file grows, once determined.
    growth: OnceLock<Growth>,
}

impl Handle {
    /// Extends the file, which has `here` bytes, to its full length if that is cheap. Returns how
    /// it grows.
    pub(super) fn grow(&self, here: u64, length: u64) -> io::Result<Growth> {
        if here >= length {
            return Ok(Growth::Whole);
        }
        // A file that was whole and no longer is was truncated by another program.
        if let Some(growth) = self.growth.get().filter(|growth| **growth != Growth::Whole) {
            return Ok(*growth);
        }
        let growth = Growth::prepare(&self.file, length)?;
        let _ = self.growth.set(growth);
        Ok(growth)
    }
}

/// The open files of a torrent by file index and owner.
pub(super) struct OpenFiles {
    /// Most files that are open at once.
    most: usize,
    /// Most recently used first.
    files: Mutex<Vec<(usize, Source, Arc<Handle>)>>,
}

impl OpenFiles {
    pub(super) fn new() -> OpenFiles {
        OpenFiles {
            // A process with few descriptors holds fewer files open: its players need some
            // descriptors.
            most: (crate::swarm::sockets::limit() / 32).clamp(2, OPEN_FILES),
            files: Mutex::default(),
        }
    }

    /// Returns an open file that permits this access.
    pub(super) fn get(&self, index: usize, source: Source, access: Access) -> Option<Arc<Handle>> {
        let mut files = self.files.lock();
        let fits = |h: &Handle| h.writable || access == Access::Read;
        let at = files.iter().position(|(i, s, h)| *i == index && *s == source && fits(h))?;
        files[..=at].rotate_right(1);
        Some(files[0].2.clone())
    }

    /// Adds a file that was just opened. Closes the least recently used file if there are too many.
    pub(super) fn add(&self, index: usize, source: Source, file: File, writable: bool) -> Arc<Handle> {
        let handle = Arc::new(Handle { file, writable, growth: OnceLock::new() });
        let mut dropped = Vec::new();
        {
            let mut files = self.files.lock();
            // This also removes a read-only handle.
            dropped.extend(files.extract_if(.., |(i, s, _)| *i == index && *s == source));
            while files.len() >= self.most {
                dropped.extend(files.pop());
            }
            files.insert(0, (index, source, handle.clone()));
        }
        // Closing may take long, so it happens outside the lock.
        drop(dropped);
        handle
    }

    /// Closes the files whose index fulfils `which`.
    pub(super) fn close_where(&self, which: impl Fn(usize) -> bool) {
        let dropped: Vec<_> = self.files.lock().extract_if(.., |(index, ..)| which(*index)).collect();
        drop(dropped);
    }

    /// Returns the number of open files.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.files.lock().len()
    }
}
