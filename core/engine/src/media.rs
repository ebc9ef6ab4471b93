//! One opened torrent.

use crate::error::{Error, Result};
use crate::session::Shared;
use crate::status::{Event, MediaStatus};
use crate::stream::Stream;
use crate::swarm::driver::Swarm;
use crate::swarm::listen::Registry;
use crate::torrent::{InfoHash, Torrent};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use tokio::runtime::Handle;

/// An open torrent. Cheap to clone; when the last clone and the last of its streams are gone, it is closed, or goes on in the
/// background (see [`Config::keep`](crate::Config::keep)).
#[derive(Clone)]
pub struct Media {
    pub(crate) inner: Arc<Inner>,
}

/// What clones and streams share. Dropping it ends the swarm, or hands it over.
pub(crate) struct Inner {
    pub(crate) swarm: Arc<Swarm>,
    pub(crate) torrent: Arc<Torrent>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) session: Weak<Shared>,
    /// Somebody read it or wanted all of it: only then is it worth keeping.
    pub(crate) wanted: AtomicBool,
    pub(crate) runtime: Handle,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.registry.remove(&self.swarm.info_hash, Arc::as_ptr(&self.swarm).cast());
        self.swarm.close();
        if *self.wanted.get_mut()
            && let Some(session) = self.session.upgrade()
        {
            session.keep(&self.runtime, self.swarm.clone(), self.torrent.clone());
        }
    }
}

impl Media {
    /// What is in it.
    pub fn torrent(&self) -> &Arc<Torrent> {
        &self.inner.torrent
    }

    /// Its info-hash.
    pub fn info_hash(&self) -> InfoHash {
        self.inner.torrent.info_hash
    }

    /// The file to play when none is named: the largest that can be played.
    ///
    /// # Errors
    /// [`Error::NothingPlayable`].
    pub fn default_file(&self) -> Result<usize> {
        self.inner.torrent.default_file()
    }

    /// The file that a user means by a number, by its name, or by a part of its name that no other file has.
    ///
    /// # Errors
    /// [`Error::NoSuchFile`] where there is none or more than one.
    pub fn find_file(&self, wanted: &str) -> Result<usize> {
        self.inner.torrent.find_file(wanted)
    }

    /// A reader of one file, at its start. Any number may be open at once.
    ///
    /// # Errors
    /// [`Error::NoSuchFile`] where there is no such file, or it is padding.
    pub fn stream(&self, file: usize) -> Result<Stream> {
        let files = &self.inner.torrent.files;
        let entry = files
            .get(file)
            .filter(|f| !f.padding)
            .ok_or_else(|| Error::NoSuchFile { wanted: file.to_string(), files: files.len() })?;
        self.inner.wanted.store(true, Ordering::Relaxed);
        Ok(Stream::new(self.inner.clone(), file, entry.offset, entry.length))
    }

    /// Starts fetching the beginning of a file before anybody reads it, so that a player finds it there.
    ///
    /// It ends by itself once somebody reads or after half a minute.
    pub fn warm_up(&self, file: usize) {
        if let Some(entry) = self.inner.torrent.files.get(file) {
            self.inner.swarm.warm_up(file, entry.offset, entry.length);
        }
    }

    /// Fetches every piece, whether anybody reads or not; not with a limit on disk use that is too small for that.
    pub fn fetch_all(&self, on: bool) {
        if on {
            self.inner.wanted.store(true, Ordering::Relaxed);
        }
        self.inner.swarm.fetch_all(on);
    }

    /// Looks through the files that are here and takes over every piece that is right: for files that playswarm did not
    /// write itself. `progress` hears the bytes looked at and those of the whole torrent. Returns the bytes of the
    /// pieces that are right.
    ///
    /// # Errors
    /// [`Error::Storage`] where what was found cannot be recorded.
    pub async fn check_files(&self, progress: impl FnMut(u64, u64) + Send) -> Result<u64> {
        self.inner.swarm.check_files(progress).await
    }

    /// A snapshot.
    pub fn status(&self) -> MediaStatus {
        self.inner.swarm.status()
    }

    /// Events from now on. A receiver that lags loses the oldest.
    pub fn events(&self) -> tokio::sync::broadcast::Receiver<Event> {
        self.inner.swarm.events()
    }

    /// Ends when the torrent is closed. It does not keep the torrent open.
    pub fn closed(&self) -> impl Future<Output = ()> + Send + use<> {
        self.inner.swarm.cancelled()
    }

    /// A peer to be dialled.
    pub fn add_peer(&self, addr: SocketAddr) {
        self.inner.swarm.add_peer(addr);
    }

    /// Waits until everything verified is on disk.
    ///
    /// # Errors
    /// [`Error::DiskFull`] or [`Error::Storage`] where it cannot be written.
    pub async fn sync(&self) -> Result<()> {
        self.inner.swarm.sync().await
    }
}
