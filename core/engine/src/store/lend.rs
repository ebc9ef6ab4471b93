//! Lends the torrent's files to an engine that fetches and checks pieces by itself.
//!
//! The store stays open in the meantime, so the record is locked and files of other programs are
//! safe. Afterwards [`Store::claim`] receives the pieces that are correct.

use super::Store;
use super::files::Source;
use super::load::Loaded;
use crate::error::{Error, Result};
use crate::metainfo::Metainfo;
use playswarm_logic::{Bits, PieceIndex};
use std::ops::Range;
use std::sync::Arc;

impl Store {
    /// Returns the torrent.
    pub(crate) fn torrent(&self) -> &Metainfo {
        &self.torrent
    }

    /// Fills `into` from `start` of the torrent, with zeros for bytes that are in no file. Bytes of
    /// our files are not checked. Blocks.
    pub(crate) fn read_lent(self: &Arc<Self>, start: u64, into: &mut [u8]) {
        for (piece, range) in self.by_piece(start, into.len()) {
            let at = start + range.start as u64;
            let part = &mut into[range];
            let source = self.state.lock().source_of(piece);
            let read = match source {
                // Other programs may change them at any time, and the other engine hashes nothing
                // that it serves.
                Some(Source::Theirs) => match self.load(piece) {
                    Loaded::Here(bytes) => {
                        let from = (at - self.torrent.layout.start_of(PieceIndex(piece))) as usize;
                        part.copy_from_slice(&bytes[from..from + part.len()]);
                        true
                    }
                    _ => false,
                },
                _ => {
                    let _disk = self.disk.read();
                    self.files.read(at, part, Source::Ours).is_ok()
                }
            };
            if !read {
                part.fill(0);
            }
        }
    }

    /// Writes into our files, from `start` of the torrent. Blocks.
    ///
    /// # Errors
    /// [`Error::Storage`] and [`Error::DiskFull`].
    pub(crate) fn write_lent(self: &Arc<Self>, start: u64, data: &[u8]) -> Result<()> {
        let _disk = self.disk.read();
        let mut news = Vec::new();
        let written = self.files.write(start, data, &mut news);
        self.heed(news);
        written?;
        let mut state = self.state.lock();
        for (piece, _) in self.by_piece(start, data.len()) {
            // The piece was fetched because another program's file had it wrong.
            state.theirs.set(piece, false);
        }
        Ok(())
    }

    /// Returns the parts of a range of the torrent by piece.
    fn by_piece(&self, start: u64, length: usize) -> impl Iterator<Item = (u32, Range<usize>)> + use<> {
        let layout = self.torrent.layout;
        let end = start + length as u64;
        let mut at = start;
        std::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            let piece = layout.piece_at(at);
            let next = layout.start_of(PieceIndex(piece.0 + 1)).min(end);
            // A range in memory fits.
            let range = (at - start) as usize..(next - start) as usize;
            at = next;
            Some((piece.0, range))
        })
    }

    /// Accepts the claim of another engine that these pieces are in the files. Each is hashed when
    /// it is read, as always. Pieces that cannot be there are left out.
    pub(crate) async fn claim(self: &Arc<Self>, pieces: &Bits) -> Result<()> {
        if pieces.len() != self.torrent.layout.pieces() {
            return Ok(());
        }
        let (store, mut claims) = (self.clone(), pieces.clone());
        let work = move || {
            for piece in store.state.lock().theirs.iter_ones() {
                claims.set(piece, false);
            }
            store.files.drop_impossible(&mut claims);
            let _disk = store.disk.read();
            let mut dropped = Vec::new();
            let recorded: Vec<u32> = {
                let mut state = store.state.lock();
                let new: Vec<u32> = claims.iter_ones().filter(|p| !state.have.get(*p)).collect();
                for &piece in &new {
                    state.have.set(piece, true);
                    state.set_on_disk(piece, true);
                    state.unsynced.push(piece);
                    // Its blocks are no longer needed, unless it is being hashed now.
                    if let Some(buffer) = state.piece_buffers.get(&piece).and_then(|a| a.abandon()) {
                        state.remove_piece_buffer(piece);
                        dropped.push(buffer);
                    }
                }
                new
            };
            dropped.into_iter().for_each(|buffer| store.recycle(buffer));
            store.record.set_all(&recorded, true)
        };
        self.runtime.spawn_blocking(work).await.unwrap_or(Err(Error::Closed))
    }
}
