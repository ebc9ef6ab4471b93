//! Rechecks pieces that another program wrote: files to be seeded, or files that another engine
//! kept.

use super::Store;
use super::files::Source;
use crate::error::{Error, Result};
use bytes::BytesMut;
use playswarm_logic::PieceIndex;
use std::sync::Arc;

/// Bytes that are read and hashed at once.
const PART_BYTES: usize = 256 << 10;

impl Store {
    /// Returns whether the piece is correct in the files. A correct piece in our files is recorded.
    ///
    /// # Errors
    /// [`Error::Storage`] where the record cannot be written; [`Error::Closed`] after
    /// [`Store::close`].
    pub(crate) async fn check_piece(self: &Arc<Self>, piece: PieceIndex) -> Result<bool> {
        if self.has(piece) && self.piece(piece).await?.is_some() {
            // Reading the piece hashed it.
            return Ok(true);
        }
        if !self.proof().is_by_piece() {
            // Nothing tells a piece that is here from a hole.
            return Ok(false);
        }
        let store = self.clone();
        let work = move || {
            let _disk = store.disk.read();
            let found = [Source::Ours, Source::Theirs].into_iter().find(|source| store.is_right(piece.0, *source));
            match found {
                None => return Ok(false),
                Some(Source::Ours) => {
                    store.record.set(piece.0, true)?;
                    store.state.lock().set_on_disk(piece.0, true);
                }
                Some(Source::Theirs) => {
                    store.state.lock().theirs.set(piece.0, true);
                }
            }
            let mut state = store.state.lock();
            state.have.set(piece.0, true);
            state.trust(piece.0);
            Ok(true)
        };
        self.runtime.spawn_blocking(work).await.unwrap_or(Err(Error::Closed))
    }

    /// Returns whether the piece is correct in these files. Blocks; does not use the cache.
    pub(super) fn is_right(&self, piece: u32, source: Source) -> bool {
        let layout = self.torrent.layout;
        let (start, length) = (layout.start_of(PieceIndex(piece)), layout.bytes_of(PieceIndex(piece)) as usize);
        let mut part = BytesMut::zeroed(length.min(PART_BYTES));
        let mut check = self.proof().check();
        for at in (0..length).step_by(PART_BYTES) {
            let part = &mut part[..PART_BYTES.min(length - at)];
            if self.files.read(start + at as u64, part, source).is_err() {
                return false;
            }
            check.update(part);
        }
        self.proof().confirms(piece, check)
    }
}
