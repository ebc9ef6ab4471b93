//! One opened torrent.

use crate::{Event, MediaStatus, Result, Stream, Torrent};
use std::net::SocketAddr;
use std::sync::Arc;

/// An open torrent. Cheap to clone; closed when the last clone and the last of its streams are gone.
#[derive(Clone)]
pub struct Media {}

impl Media {
    /// What is in it.
    pub fn torrent(&self) -> &Arc<Torrent> {
        todo!()
    }
    /// The file to play when none is named: the largest that can be played.
    pub fn default_file(&self) -> Result<usize> {
        todo!()
    }
    /// The file that a user means by a number or by (a part of) its name.
    pub fn find_file(&self, wanted: &str) -> Result<usize> {
        let _ = wanted;
        todo!()
    }
    /// A reader of one file, at its start.
    pub fn stream(&self, file: usize) -> Result<Stream> {
        let _ = file;
        todo!()
    }
    /// Starts fetching the beginning of a file before anybody reads it.
    pub fn warm_up(&self, file: usize) {
        let _ = file;
        todo!()
    }
    /// Fetches every piece, whether anybody reads or not (in the foreground; see `Config::keep` for the background).
    pub fn fetch_all(&self, on: bool) {
        let _ = on;
        todo!()
    }
    /// Reads the files that are in the folder and takes note of every piece that is right, so that it is served and not fetched;
    /// gives how many bytes are right. `progress` is told the bytes read so far and all bytes.
    pub async fn check_files(&self, progress: impl Fn(u64, u64) + Send + Sync + 'static) -> Result<u64> {
        let _ = progress;
        todo!()
    }
    /// A snapshot.
    pub fn status(&self) -> MediaStatus {
        todo!()
    }
    /// Events from now on. A receiver that lags loses the oldest.
    pub fn events(&self) -> tokio::sync::broadcast::Receiver<Event> {
        todo!()
    }
    /// A peer to be dialled.
    pub fn add_peer(&self, addr: SocketAddr) {
        let _ = addr;
        todo!()
    }
}
