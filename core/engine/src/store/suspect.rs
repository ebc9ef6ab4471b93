//! Checks files that are not as claimed. Other programs change, truncate, remove and replace files,
//! and a file with the right name may have other contents. The first wrong piece has its whole file
//! checked ahead of the readers, so that other wrong pieces are fetched in time.

use super::files::Source;
use super::ours::News;
use super::{Store, StoreEvent};
use playswarm_logic::PieceIndex;
use std::sync::Arc;

/// Number of sample pieces, spread evenly over a file. At least one must be correct for the others
/// to be checked.
const SAMPLES: usize = 8;

impl Store {
    /// Handles a piece that was read and is correct.
    pub(super) fn proven(self: &Arc<Self>, piece: u32) {
        let ours = {
            let mut state = self.state.lock();
            if !state.unproven.set(piece, false) {
                return;
            }
            state.on_disk.get(piece)
        };
        self.tell(StoreEvent::Proven(PieceIndex(piece)));
        if ours && !self.options.read_only {
            // It was written by a process that was killed before it could sync.
            let layout = self.torrent.layout;
            self.files.needs_sync(layout.start_of(PieceIndex(piece)), layout.bytes_of(PieceIndex(piece)).into());
            self.state.lock().unsynced.push(piece);
            self.sync_later();
        }
    }

    /// Handles a piece that was read and is wrong, or could not be read. Other pieces of its files
    /// may be wrong, too.
    pub(super) fn suspect(self: &Arc<Self>, piece: u32, source: Source) {
        self.lose(&[piece], source);
        if source == Source::Ours
            && let Some(gone) = self.files.folder_gone()
        {
            self.heed(vec![gone]);
            return;
        }
        let layout = self.torrent.layout;
        let touched = self.files.spans(layout.start_of(PieceIndex(piece)), layout.bytes_of(PieceIndex(piece)).into());
        for index in touched.filter(|span| !span.range.is_empty()).map(|span| span.index) {
            if self.torrent.files[index].padding || !self.state.lock().suspects.insert((index, source)) {
                continue;
            }
            if source == Source::Ours {
                self.tell(StoreEvent::FileChanged(self.files.path(index, source)));
            }
            let store = self.clone();
            self.runtime.spawn(async move { store.look_through(index, source, piece).await });
        }
    }

    /// Has every unverified piece checked, so that wrong ones are fetched.
    pub(crate) fn look_through_all(self: &Arc<Self>) {
        if std::mem::replace(&mut self.state.lock().gathering, true) {
            return;
        }
        let store = self.clone();
        self.runtime.spawn(async move {
            let unproven: Vec<u32> = store.state.lock().unproven.iter_ones().collect();
            for piece in unproven {
                if !store.state.lock().gathering {
                    break;
                }
                let source = store.state.lock().source_of(piece);
                if let Some(source) = source {
                    store.look_at(piece, source).await;
                }
            }
            store.gather().await;
            store.state.lock().gathering = false;
            store.progress.send_modify(|n| *n += 1);
        });
    }

    /// Ends the work that [`Store::look_through_all`] began.
    pub(crate) fn stop_looking(&self) {
        self.state.lock().gathering = false;
        self.progress.send_modify(|n| *n += 1);
    }

    /// Copies pieces from files of other programs into ours where theirs are incomplete, so that
    /// ours are complete.
    async fn gather(self: &Arc<Self>) {
        let theirs = self.state.lock().theirs.clone();
        if theirs.is_full() || self.options.read_only {
            return;
        }
        for piece in theirs.iter_ones() {
            let mut progress = self.progress.subscribe();
            while self.state.lock().gathering && self.room_for_pieces() == 0 {
                // The sender lives as long as `self`.
                let _ = progress.changed().await;
            }
            // It fails where the piece was lost in the meantime, which is then fetched.
            let Ok(Some(bytes)) = self.piece(PieceIndex(piece)).await else { continue };
            {
                let mut state = self.state.lock();
                if state.closed || !state.gathering {
                    return;
                }
                if state.on_disk.get(piece) || state.cache.is_pinned(piece) {
                    continue;
                }
                state.cache.insert(piece, bytes, true);
                state.queue.push(piece);
            }
            self.start_writers();
        }
    }

    async fn look_through(self: Arc<Self>, index: usize, source: Source, from: u32) {
        let store = self.clone();
        let cut = move || {
            let lacking = store.files.lacks(index, source);
            store.lose(&lacking, source);
        };
        let _ = self.runtime.spawn_blocking(cut).await;
        let pieces: Vec<u32> = {
            let state = self.state.lock();
            let claims = state.claims_of(source);
            let (before, after): (Vec<u32>, Vec<u32>) =
                self.files.pieces_of(index).filter(|piece| claims.get(*piece)).partition(|piece| *piece < from);
            after.into_iter().chain(before).collect()
        };
        let step = (pieces.len() / SAMPLES).max(1);
        // For another program's file, pieces that were read before count as correct.
        let mut any = source == Source::Theirs && {
            let state = self.state.lock();
            pieces.iter().any(|piece| !state.unproven.get(*piece))
        };
        for piece in pieces.iter().step_by(step) {
            any |= self.look_at(*piece, source).await;
        }
        if any {
            for piece in &pieces {
                self.look_at(*piece, source).await;
            }
        } else {
            let store = self.clone();
            let _ = self.runtime.spawn_blocking(move || store.lose(&pieces, source)).await;
        }
        self.state.lock().suspects.remove(&(index, source));
    }

    /// Checks a piece, and forgets it if it is wrong. Returns whether it is correct.
    async fn look_at(self: &Arc<Self>, piece: u32, source: Source) -> bool {
        // Shares the permits with the readers.
        let _permit = self.load_permits.acquire().await;
        let store = self.clone();
        let work = move || {
            let _disk = store.disk.read();
            {
                let state = store.state.lock();
                if state.closed || !state.claims_of(source).get(piece) {
                    return false;
                }
            }
            let right = store.is_right(piece, source);
            if right {
                store.proven(piece);
            } else {
                store.lose(&[piece], source);
            }
            right
        };
        self.runtime.spawn_blocking(work).await.unwrap_or(false)
    }

    /// Forgets pieces that are not in these files. Pieces that are still in memory are written
    /// again.
    ///
    /// The record is changed first: once the state says so, a piece may be fetched and recorded
    /// again.
    pub(super) fn lose(self: &Arc<Self>, pieces: &[u32], source: Source) {
        let pieces: Vec<u32> = {
            let state = self.state.lock();
            pieces.iter().copied().filter(|piece| state.claims_of(source).get(*piece)).collect()
        };
        if pieces.is_empty() {
            return;
        }
        if source == Source::Ours
            && let Err(e) = self.record.set_all(&pieces, false)
        {
            // They stay claims, which fail their hash again the next time.
            tracing::warn!(error = %e, "the record cannot be written");
        }
        let mut again = false;
        {
            let mut state = self.state.lock();
            for piece in pieces {
                match source {
                    Source::Ours => state.set_on_disk(piece, false),
                    Source::Theirs => {
                        state.theirs.set(piece, false);
                        state.trusted.set(piece, false);
                    }
                }
                let told = !state.unproven.set(piece, false);
                if state.source_of(piece).is_some() {
                    continue;
                }
                if let Some(bytes) = state.cache.peek(piece) {
                    if !self.options.read_only && !state.cache.is_pinned(piece) {
                        state.cache.insert(piece, bytes, true);
                        state.queue.push(piece);
                        again = true;
                    }
                } else if state.have.set(piece, false) {
                    let piece = PieceIndex(piece);
                    self.tell(if told { StoreEvent::Lost(piece) } else { StoreEvent::Unfounded(piece) });
                }
            }
        }
        if again {
            self.start_writers();
        }
    }

    /// Handles changes that were found while writing.
    pub(super) fn heed(self: &Arc<Self>, news: Vec<News>) {
        for item in news {
            match item {
                News::Gone(index, path) => {
                    self.tell(StoreEvent::FileChanged(path));
                    self.lose(&self.files.pieces_of(index).collect::<Vec<_>>(), Source::Ours);
                }
                News::FolderGone(path) => {
                    self.tell(StoreEvent::FileChanged(path));
                    self.lose(&(0..self.torrent.layout.pieces()).collect::<Vec<_>>(), Source::Ours);
                }
                News::Shared(index) => self.share(index),
                News::Named { taken, ours, refused } => self.tell(StoreEvent::Elsewhere { taken, ours, refused }),
            }
        }
    }

    /// Handles a file of ours that another program now shares: its pieces are still read there, but
    /// it is not written any more.
    fn share(&self, index: usize) {
        let pieces: Vec<u32> = {
            let state = self.state.lock();
            self.files.pieces_of(index).filter(|piece| state.on_disk.get(*piece)).collect()
        };
        if let Err(e) = self.record.set_all(&pieces, false) {
            tracing::warn!(error = %e, "the record cannot be written");
        }
        let mut state = self.state.lock();
        for piece in pieces {
            state.set_on_disk(piece, false);
            state.theirs.set(piece, true);
        }
    }
}
