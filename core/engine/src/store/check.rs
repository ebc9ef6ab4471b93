//! Taking over pieces that somebody else wrote: files to be seeded, or kept by another engine meanwhile.

use super::Store;
use super::assembly::sha1;
use crate::error::{Error, Result};
use playswarm_logic::PieceIndex;
use std::sync::Arc;

impl Store {
    /// Whether the piece is in the files as it should be. It is recorded if so, whoever wrote it.
    ///
    /// # Errors
    /// [`Error::Storage`] where the record cannot be written; [`Error::Closed`] after [`Store::close`].
    pub(crate) async fn check_piece(self: &Arc<Self>, piece: PieceIndex) -> Result<bool> {
        if self.has(piece) {
            // Recorded: reading it hashes it, and tells the driver where it is not what it was.
            return Ok(self.piece(piece).await?.is_some());
        }
        let store = self.clone();
        let work = move || {
            let length = store.torrent.layout.bytes_of(piece);
            let _disk = store.disk.read();
            let mut buffer = store.buffer(length as usize);
            let read = store.files.read(store.torrent.layout.start_of(piece), &mut buffer);
            let right = read.is_ok() && store.torrent.hash_of(piece.0) == Some(&sha1(&buffer)[..]);
            store.recycle(buffer);
            if right {
                store.record.set(piece.0, true)?;
                let mut state = store.state.lock();
                state.have.set(piece.0, true);
                state.set_on_disk(piece.0, true);
                state.trust(piece.0);
            }
            Ok(right)
        };
        self.runtime.spawn_blocking(work).await.unwrap_or(Err(Error::Closed))
    }
}
