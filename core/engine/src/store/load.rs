//! Loads verified pieces for readers and peers: from memory at once, or from disk, where each is
//! hashed again.

use super::Store;
use crate::error::{Error, Result};
use bytes::Bytes;
use playswarm_logic::PieceIndex;
#[cfg(test)]
use playswarm_logic::{BLOCK_BYTES, BlockRef};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::oneshot;

/// The result of reading a piece, sent to all tasks that waited for it.
#[derive(Clone)]
pub(super) enum Loaded {
    Here(Bytes),
    Gone,
    Failed(Failure),
    /// The store is closed.
    Closed,
}

/// An error of the file system that can be copied: `io::Error` cannot be cloned.
#[derive(Clone)]
pub(super) struct Failure {
    doing: &'static str,
    path: PathBuf,
    kind: io::ErrorKind,
    text: String,
}

impl Failure {
    pub(super) fn of(e: &Error) -> Failure {
        let (doing, path, kind, text) = match e {
            Error::Storage { doing, path, source } => (*doing, path.clone(), source.kind(), source.to_string()),
            Error::DiskFull { path } => ("write", path.clone(), io::ErrorKind::StorageFull, String::new()),
            other => ("use", PathBuf::new(), io::ErrorKind::Other, other.to_string()),
        };
        Failure { doing, path, kind, text }
    }
}

impl From<Failure> for Error {
    fn from(f: Failure) -> Error {
        super::folder::storage_error(f.doing, &f.path, io::Error::new(f.kind, f.text))
    }
}

impl Store {
    /// Returns the piece if it is in memory.
    pub(crate) fn try_piece(&self, piece: PieceIndex) -> Option<Bytes> {
        let mut state = self.state.lock();
        if state.is_sealed() {
            return None;
        }
        let bytes = state.cache.get(piece.0)?;
        state.touch(piece.0);
        Some(bytes)
    }

    /// Returns the piece, from disk if necessary. All concurrent callers share one read. `None`
    /// where the piece is not present, or may not be shown yet.
    ///
    /// # Errors
    /// [`Error::Storage`] where it cannot be read at the moment, [`Error::Closed`] after
    /// [`Store::close`].
    pub(crate) async fn piece(self: &Arc<Self>, piece: PieceIndex) -> Result<Option<Bytes>> {
        if self.state.lock().is_sealed() {
            return Ok(None);
        }
        self.sealed_piece(piece).await
    }

    /// Returns the piece like [`Store::piece`], also if no reader may see it yet.
    pub(super) async fn sealed_piece(self: &Arc<Self>, piece: PieceIndex) -> Result<Option<Bytes>> {
        let loaded = match self.begin_load(piece.0) {
            Ok(waiting) => waiting.await.unwrap_or(Loaded::Closed),
            Err(at_once) => at_once,
        };
        match loaded {
            Loaded::Here(bytes) => Ok(Some(bytes)),
            Loaded::Gone => Ok(None),
            Loaded::Failed(failure) => Err(failure.into()),
            Loaded::Closed => Err(Error::Closed),
        }
    }

    /// Returns whether the piece is in memory. Unlike [`Store::try_piece`], this does not count as
    /// a use.
    pub(crate) fn is_cached(&self, piece: PieceIndex) -> bool {
        self.state.lock().cache.has(piece.0)
    }

    /// Starts to read a piece that will be needed soon, if it is on disk and not in memory.
    pub(crate) fn prefetch(self: &Arc<Self>, piece: PieceIndex) {
        if !self.state.lock().loads.contains_key(&piece.0) {
            drop(self.begin_load(piece.0));
        }
    }

    /// Returns one block of a verified piece, for a peer's request. `None` as for [`Store::piece`].
    #[cfg(test)]
    pub(crate) async fn read_block(self: &Arc<Self>, block: BlockRef) -> Result<Option<Bytes>> {
        let length = self.torrent.layout.block_bytes(block) as usize;
        if length == 0 {
            return Ok(None);
        }
        let at = block.block as usize * BLOCK_BYTES as usize;
        Ok(self.piece(block.piece).await?.map(|piece| piece.slice(at..at + length)))
    }

    fn begin_load(self: &Arc<Self>, piece: u32) -> std::result::Result<oneshot::Receiver<Loaded>, Loaded> {
        let mut state = self.state.lock();
        if let Some(bytes) = state.cache.get(piece) {
            state.touch(piece);
            return Err(Loaded::Here(bytes));
        }
        if !state.have.get(piece) {
            return Err(Loaded::Gone);
        }
        if state.closed {
            return Err(Loaded::Closed);
        }
        let (tell, told) = oneshot::channel();
        let waiters = state.loads.entry(piece).or_default();
        waiters.push(tell);
        if waiters.len() == 1 {
            drop(state);
            let store = self.clone();
            self.runtime.spawn(async move {
                // The semaphore is never closed. Without a permit, only the memory limit would be
                // exceeded.
                let _permit = store.load_permits.acquire().await;
                let on_pool = store.clone();
                let _ = store.runtime.spawn_blocking(move || on_pool.load(piece)).await;
            });
        }
        Ok(told)
    }

    pub(super) fn load(self: &Arc<Self>, piece: u32) -> Loaded {
        let loaded = self.read_and_check(piece);
        let (waiters, dropped) = {
            let mut state = self.state.lock();
            let waiters = state.loads.remove(&piece).unwrap_or_default();
            let dropped = if let Loaded::Here(bytes) = &loaded {
                state.touch(piece);
                // Evicted in the meantime: only the tasks that waited get it.
                if state.source_of(piece).is_some() {
                    state.trust(piece);
                    state.cache.insert(piece, bytes.clone(), false);
                }
                self.keep_within_memory(&mut state)
            } else {
                Vec::new()
            };
            (waiters, dropped)
        };
        self.recycle_all(dropped);
        for waiter in waiters {
            let _ = waiter.send(loaded.clone());
        }
        loaded
    }

    fn read_and_check(self: &Arc<Self>, piece: u32) -> Loaded {
        let length = self.torrent.layout.bytes_of(PieceIndex(piece));
        // Prevents eviction: recorded pieces stay on disk until this is done.
        let _disk = self.disk.read();
        let (source, dropped) = {
            let mut state = self.state.lock();
            if let Some(bytes) = state.cache.peek(piece) {
                return Loaded::Here(bytes);
            }
            let Some(source) = state.source_of(piece).filter(|_| !state.closed) else { return Loaded::Gone };
            state.loading_bytes += u64::from(length);
            (source, self.keep_within_memory(&mut state))
        };
        self.recycle_all(dropped);
        let mut buffer = self.buffer(length as usize);
        let read = self.files.read(self.torrent.layout.start_of(PieceIndex(piece)), &mut buffer, source);
        let right = read.is_ok() && self.proof().accepts(piece, &buffer);
        self.state.lock().loading_bytes -= u64::from(length);
        if right {
            self.proven(piece);
            return Loaded::Here(buffer.freeze());
        }
        self.recycle(buffer);
        match read {
            Err((_, e)) if !means_gone(&e) => {
                tracing::warn!(piece, error = %e, "a piece cannot be read");
                Loaded::Failed(Failure::of(&e))
            }
            read => {
                let why = read.err().map_or("its bytes do not match the torrent".to_owned(), |(_, e)| e.to_string());
                tracing::debug!(piece, ?source, why, "a piece is not in its file");
                self.suspect(piece, source);
                Loaded::Gone
            }
        }
    }
}

/// Returns whether the bytes are lost, so that fetching them again is the remedy. The causes are a
/// missing or shorter file, something else in its place, or a disk that cannot read them.
fn means_gone(e: &Error) -> bool {
    let Error::Storage { source, .. } = e else { return false };
    let damaged = source.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error());
    let kinds = [
        io::ErrorKind::NotFound,
        io::ErrorKind::UnexpectedEof,
        io::ErrorKind::NotADirectory,
        io::ErrorKind::IsADirectory,
        io::ErrorKind::PermissionDenied,
    ];
    damaged || kinds.contains(&source.kind())
}
