//! Checks the hash of the whole file, once every piece is here.
//!
//! Pieces without hashes of their own are sealed until then: the swarm counts them as fetched, and
//! no reader sees them. The check reads each piece once more, from memory or disk, and learns the
//! tree of the file on the way.

use super::limit::runs;
use super::{Store, StoreEvent};
use parking_lot::RwLockWriteGuard;
use playswarm_logic::PieceIndex;
use playswarm_proto::Proof;
use playswarm_proto::proof::Mismatch;
use playswarm_proto::tiger_tree::Level;
use std::sync::Arc;
use std::time::Duration;

/// First pause before a file is hashed again after a piece could not be read.
const RETRY: Duration = Duration::from_secs(1);
/// Longest pause of this kind: each try may read the whole file.
const RETRY_AT_MOST: Duration = Duration::from_secs(60);

/// The result of hashing a whole file: its tree, if the pieces had none, or the hash that differs.
pub(super) type Found = Result<Option<Level>, Mismatch>;

/// How far the hash of the whole file is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The pieces prove the file.
    Unneeded,
    /// It is due once every piece is here. Whether the pieces are sealed until then.
    Due { sealed: bool },
    /// The pieces are being read. Whether they are sealed, and whether a sealed one was lost and
    /// fetched anew in the meantime.
    Running { sealed: bool, is_stale: bool },
    /// It is done.
    Done,
    /// The file was not the named one.
    Wrong,
}

impl Stage {
    /// Returns the stage in which a store begins.
    pub(super) fn at_opening(proof: &Proof) -> Stage {
        match proof.check_whole(0) {
            Some(_) => Stage::Due { sealed: !proof.is_by_piece() },
            None => Stage::Unneeded,
        }
    }

    /// Notes that a piece was fetched, which the running check may not have read.
    pub(super) fn piece_came(&mut self) {
        if let Stage::Running { sealed: true, is_stale } = self {
            *is_stale = true;
        }
    }

    pub(super) fn is_sealed(self) -> bool {
        matches!(self, Stage::Due { sealed: true } | Stage::Running { sealed: true, .. } | Stage::Wrong)
    }
}

/// The result of [`Store::check_whole`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WholeVerdict {
    /// It is not due, or a piece was lost in the meantime.
    NotYet,
    /// The whole file is the named one.
    Right,
    /// The whole file is not the named one. Its pieces were thrown away.
    Wrong(Mismatch),
    /// The pieces are the named ones, and the hash of the whole contradicts them.
    Contradiction(Mismatch),
}

impl Store {
    /// Whether readers must wait for the whole file.
    pub(crate) fn is_sealed(&self) -> bool {
        self.state.lock().is_sealed()
    }

    /// Returns whether every piece is here, and the whole file was checked where it decides.
    pub(crate) fn is_complete(&self) -> bool {
        let state = self.state.lock();
        state.have.is_full() && (!self.torrent.proof.is_settled_by_whole() || state.whole == Stage::Done)
    }

    /// Checks the hash of the whole file, if every piece is here and it has not been checked. Begins
    /// anew where a piece cannot be read at the moment, or was lost and fetched again.
    pub(crate) async fn check_whole(self: &Arc<Self>) -> WholeVerdict {
        let mut pause = RETRY;
        while let Some(sealed) = self.begin_check() {
            match self.hash_whole().await {
                None => {
                    self.state.lock().whole = Stage::Due { sealed };
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(RETRY_AT_MOST);
                }
                Some(found) if self.end_check(sealed, &found) => return self.conclude(found).await,
                Some(_) => {}
            }
        }
        WholeVerdict::NotYet
    }

    /// Begins the check if it is due. Returns whether the pieces are sealed.
    pub(super) fn begin_check(&self) -> Option<bool> {
        let mut state = self.state.lock();
        let Stage::Due { sealed } = state.whole else { return None };
        if state.closed || !state.have.is_full() {
            return None;
        }
        state.whole = Stage::Running { sealed, is_stale: false };
        Some(sealed)
    }

    /// Ends the check, and learns the tree. Returns whether its result holds for the pieces that are
    /// here now; otherwise it is due again.
    pub(super) fn end_check(&self, sealed: bool, found: &Found) -> bool {
        let mut state = self.state.lock();
        let is_stale = state.whole != Stage::Running { sealed, is_stale: false };
        if is_stale || (sealed && !state.have.is_full()) {
            state.whole = Stage::Due { sealed };
            return false;
        }
        let proof = &self.torrent.proof;
        match found {
            Ok(tree) => {
                let slice_bytes = u64::from(self.torrent.layout.piece_bytes());
                let tree = tree.as_ref().filter(|tree| tree.slice_bytes() == slice_bytes);
                let accepted = || proof.tree().filter(|_| proof.is_settled_by_whole());
                if let Some(tree) = tree.or_else(accepted) {
                    let _ = self.learned.set(Proof::of_tree(tree.clone(), *proof.whole()));
                }
                state.whole = Stage::Done;
            }
            // Until it is thrown away, nothing of it is shown.
            Err(_) if proof.is_settled_by_whole() => {}
            Err(_) => state.whole = Stage::Done,
        }
        true
    }

    /// Saves the tree of a right file, or throws a wrong one away.
    async fn conclude(self: &Arc<Self>, found: Found) -> WholeVerdict {
        let store = self.clone();
        match found {
            Ok(_) => {
                let save = move || store.learned.get().and_then(Proof::tree).map(|tree| store.record.save_tree(tree));
                let _ = self.runtime.spawn_blocking(save).await;
                WholeVerdict::Right
            }
            Err(why) if self.torrent.proof.is_settled_by_whole() => {
                let _ = self.runtime.spawn_blocking(move || store.throw_away(&store.disk.write())).await;
                WholeVerdict::Wrong(why)
            }
            Err(why) => WholeVerdict::Contradiction(why),
        }
    }

    /// Saves the tree of a named root, if this verified piece is the last slice. The root does not
    /// bind the file's length, which that slice does. Blocks.
    pub(super) fn save_tree_of(&self, piece: u32) {
        let (proof, last) = (&self.torrent.proof, self.torrent.layout.pieces() - 1);
        if let Some(tree) = proof.tree().filter(|_| !proof.is_settled_by_whole() && piece == last) {
            self.record.save_tree(tree);
        }
    }

    /// Hashes all pieces in order; `None` if one of them cannot be read, or is not here any more.
    pub(super) async fn hash_whole(self: &Arc<Self>) -> Option<Found> {
        let layout = self.torrent.layout;
        let mut check = self.torrent.proof.check_whole(layout.total_bytes())?;
        for piece in 0..layout.pieces() {
            let bytes = self.sealed_piece(PieceIndex(piece)).await.ok()??;
            let work = move || {
                check.add(&bytes);
                check
            };
            check = self.runtime.spawn_blocking(work).await.ok()?;
        }
        self.runtime.spawn_blocking(|| check.finish()).await.ok()
    }

    /// Forgets every piece and frees its space in our files. Blocks. The guard is that of `disk`.
    pub(super) fn throw_away(&self, _disk: &RwLockWriteGuard<'_, ()>) {
        let all: Vec<u32> = (0..self.torrent.layout.pieces()).collect();
        // The record first: a kill in between leaves bytes that no record claims.
        if let Err(e) = self.record.set_all(&all, false) {
            tracing::warn!(error = %e, "the record cannot be written");
        }
        let dropped = {
            let mut state = self.state.lock();
            state.whole = Stage::Wrong;
            for &piece in &all {
                state.set_on_disk(piece, false);
                state.theirs.set(piece, false);
                state.have.set(piece, false);
                state.queue.forget(piece);
            }
            all.iter().filter_map(|piece| state.cache.remove(*piece)).collect()
        };
        self.recycle_all(dropped);
        for run in runs(&all) {
            if let Err(e) = self.files.punch(run, |_| true) {
                tracing::warn!(error = %e, "disk space could not be freed");
            }
        }
        all.iter().for_each(|piece| self.tell(StoreEvent::GivenBack(PieceIndex(*piece))));
    }
}
