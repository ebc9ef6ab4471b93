//! The files of a handed-over torrent, as librqbit reads and writes them through our store. Files
//! that are not ours are only read, and only until the torrent is taken back.

use crate::metainfo::{FileEntry, Metainfo};
use crate::store::Store;
use anyhow::{Context, ensure};
use librqbit::storage::{BoxStorageFactory, StorageFactory, StorageFactoryExt, TorrentStorage};
use librqbit::{ManagedTorrentShared, TorrentMetadata};
use parking_lot::RwLock;
use std::path::Path;
use std::sync::Arc;

struct Inner {
    store: Arc<Store>,
    /// Whether the background may still use the files. Locked for reading during each read and
    /// write.
    lent: RwLock<bool>,
}

/// The files, and the factory from which librqbit obtains them.
#[derive(Clone)]
pub(super) struct Files(Arc<Inner>);

impl Files {
    pub(super) fn new(store: Arc<Store>) -> Files {
        Files(Arc::new(Inner { store, lent: RwLock::new(true) }))
    }

    /// Returns the torrent.
    pub(super) fn torrent(&self) -> &Metainfo {
        self.0.store.torrent()
    }

    /// Waits for reads and writes in progress, and prevents further ones.
    pub(super) fn close(&self) {
        *self.0.lent.write() = false;
    }

    /// Runs `work` unless the torrent was taken back.
    fn while_lent<T>(&self, work: impl FnOnce(&Inner) -> anyhow::Result<T>) -> anyhow::Result<T> {
        let lent = self.0.lent.read();
        ensure!(*lent, "the torrent was taken back from the background session");
        work(&self.0)
    }
}

impl Inner {
    fn entry(&self, file: usize) -> anyhow::Result<&FileEntry> {
        self.store.torrent().files.get(file).context("no such file")
    }
}

impl TorrentStorage for Files {
    fn init(&mut self, _shared: &ManagedTorrentShared, metadata: &TorrentMetadata) -> anyhow::Result<()> {
        // Both sides number the files alike. Otherwise every byte would go to the wrong place.
        let theirs = metadata.file_infos.iter().map(|f| (f.offset_in_torrent, f.len));
        let ours = self.torrent().files.iter().map(|f| (f.offset, f.length));
        ensure!(theirs.eq(ours), "the background session lays out its files differently");
        Ok(())
    }

    /// Reads bytes; those that no file contains are zeros. (librqbit treats an error as the end of
    /// the useful data in this file.)
    fn pread_exact(&self, file: usize, offset: u64, buffer: &mut [u8]) -> anyhow::Result<()> {
        self.while_lent(|inner| {
            inner.store.read_lent(inner.entry(file)?.offset + offset, buffer);
            Ok(())
        })
    }

    fn pwrite_all(&self, file: usize, offset: u64, buffer: &[u8]) -> anyhow::Result<()> {
        self.while_lent(|inner| {
            let entry = inner.entry(file)?;
            ensure!(
                offset.saturating_add(buffer.len() as u64) <= entry.length,
                "the background session wrote beyond the end of a file"
            );
            Ok(inner.store.write_lent(entry.offset + offset, buffer)?)
        })
    }

    /// Does nothing: files get their length at the first write.
    fn ensure_file_length(&self, _file: usize, _length: u64) -> anyhow::Result<()> {
        self.while_lent(|_| Ok(()))
    }

    /// Does nothing: files are never removed.
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
