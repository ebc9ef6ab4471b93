//! The files of a handed-over torrent, as librqbit reads and writes them: by the paths of our store, never through a symbolic
//! link, few open at a time, and only until the torrent is taken back.

use crate::torrent::FileEntry;
use anyhow::{Context, bail, ensure};
use librqbit::storage::{BoxStorageFactory, StorageFactory, StorageFactoryExt, TorrentStorage};
use librqbit::{ManagedTorrentShared, TorrentMetadata};
use parking_lot::{Mutex, RwLock};
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Files kept open; a torrent may have 100,000.
const MAX_OPEN: usize = 32;

struct Entry {
    path: PathBuf,
    length: u64,
    padding: bool,
}

struct Inner {
    dir: PathBuf,
    entries: Vec<Entry>,
    /// The most recently used last.
    open: Mutex<VecDeque<(usize, Arc<File>)>>,
    /// Whether the background may still use the files. Held for reading during each read and write.
    ours: RwLock<bool>,
}

/// The files, and the factory that librqbit asks for them.
#[derive(Clone)]
pub(super) struct Files(Arc<Inner>);

impl Files {
    pub(super) fn new(dir: &Path, files: &[FileEntry]) -> Files {
        let entries =
            files.iter().map(|f| Entry { path: f.path.clone(), length: f.length, padding: f.padding }).collect();
        Files(Arc::new(Inner { dir: dir.to_owned(), entries, open: Mutex::default(), ours: RwLock::new(true) }))
    }

    /// Waits for reads and writes under way, and lets no more happen.
    pub(super) fn close(&self) {
        *self.0.ours.write() = false;
        self.0.open.lock().clear();
    }

    /// Runs `work` unless the torrent was taken back.
    fn while_ours<T>(&self, work: impl FnOnce(&Inner) -> anyhow::Result<T>) -> anyhow::Result<T> {
        let ours = self.0.ours.read();
        ensure!(*ours, "the torrent was taken back");
        work(&self.0)
    }
}

impl Inner {
    fn entry(&self, file: usize) -> anyhow::Result<&Entry> {
        self.entries.get(file).context("no such file")
    }

    /// The open file; where it does not exist, it is created if `create` says so.
    fn open(&self, file: usize, create: bool) -> anyhow::Result<Option<Arc<File>>> {
        let mut open = self.open.lock();
        if let Some(at) = open.iter().position(|(n, _)| *n == file) {
            let found = open.remove(at).context("it was there")?;
            let handle = found.1.clone();
            open.push_back(found);
            return Ok(Some(handle));
        }
        let entry = self.entry(file)?;
        let mut path = self.dir.clone();
        for component in entry.path.components() {
            path.push(component);
            match fs::symlink_metadata(&path) {
                Ok(meta) if meta.is_symlink() => bail!("{} is a symbolic link", path.display()),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound && !create => return Ok(None),
                Err(e) if e.kind() == io::ErrorKind::NotFound => break,
                Err(e) => return Err(e).with_context(|| format!("cannot use {}", path.display())),
            }
        }
        let path = self.dir.join(&entry.path);
        if create && let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(create).truncate(false);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32);
        }
        let handle = Arc::new(options.open(&path).with_context(|| format!("cannot open {}", path.display()))?);
        if open.len() >= MAX_OPEN {
            open.pop_front();
        }
        open.push_back((file, handle.clone()));
        Ok(Some(handle))
    }
}

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, offset)
}
#[cfg(unix)]
fn write_all_at(file: &File, buffer: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, buffer, offset)
}
#[cfg(windows)]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, offset)
}
#[cfg(windows)]
fn write_all_at(file: &File, mut buffer: &[u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        let written = std::os::windows::fs::FileExt::seek_write(file, buffer, offset)?;
        buffer = &buffer[written..];
        offset += written as u64;
    }
    Ok(())
}

impl TorrentStorage for Files {
    fn init(&mut self, _shared: &ManagedTorrentShared, metadata: &TorrentMetadata) -> anyhow::Result<()> {
        // Both sides number the files alike, or every byte would land in the wrong place.
        let theirs = metadata.file_infos.iter().map(|f| (f.offset_in_torrent, f.len));
        let mut offset = 0;
        let ours = self.0.entries.iter().map(|entry| {
            offset += entry.length;
            (offset - entry.length, entry.length)
        });
        ensure!(theirs.eq(ours), "its files are laid out differently there");
        Ok(())
    }

    fn pread_exact(&self, file: usize, offset: u64, buffer: &mut [u8]) -> anyhow::Result<()> {
        self.while_ours(|inner| {
            let mut filled = 0;
            if !inner.entry(file)?.padding
                && let Some(handle) = inner.open(file, false)?
            {
                while filled < buffer.len() {
                    match read_at(&handle, &mut buffer[filled..], offset + filled as u64) {
                        Ok(0) => break,
                        Ok(read) => filled += read,
                        Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                        Err(e) => return Err(e.into()),
                    }
                }
            }
            // A hole at a sparse file's end is a hole like any other. (librqbit takes an error here for the end of all that is
            // worth looking at in this file.)
            buffer[filled..].fill(0);
            Ok(())
        })
    }

    fn pwrite_all(&self, file: usize, offset: u64, buffer: &[u8]) -> anyhow::Result<()> {
        self.while_ours(|inner| {
            let entry = inner.entry(file)?;
            if entry.padding {
                return Ok(());
            }
            ensure!(offset.saturating_add(buffer.len() as u64) <= entry.length, "a write beyond the end of a file");
            let handle = inner.open(file, true)?.context("it was just created")?;
            Ok(write_all_at(&handle, buffer, offset)?)
        })
    }

    fn ensure_file_length(&self, file: usize, length: u64) -> anyhow::Result<()> {
        self.while_ours(|inner| {
            if inner.entry(file)?.padding {
                return Ok(());
            }
            let handle = inner.open(file, true)?.context("it was just created")?;
            if handle.metadata()?.len() != length {
                handle.set_len(length)?;
            }
            Ok(())
        })
    }

    /// Nothing is ever removed from here.
    fn remove_file(&self, _file: usize, _path: &Path) -> anyhow::Result<()> {
        Ok(())
    }

    fn remove_directory_if_empty(&self, _path: &Path) -> anyhow::Result<()> {
        Ok(())
    }

    fn take(&self) -> anyhow::Result<Box<dyn TorrentStorage>> {
        Ok(Box::new(self.clone()))
    }
}

impl StorageFactory for Files {
    type Storage = Files;

    fn create(&self, _shared: &ManagedTorrentShared, _metadata: &TorrentMetadata) -> anyhow::Result<Files> {
        Ok(self.clone())
    }

    fn clone_box(&self) -> BoxStorageFactory {
        self.clone().boxed()
    }
}
