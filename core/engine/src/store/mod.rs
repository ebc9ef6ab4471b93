//! Pieces on disk and in memory: puts them together from blocks, verifies, writes, records, reads and gives back.
//!
//! Every byte that is handed out was hashed first, be it fresh from peers or read from disk, so the record of what is
//! on disk is only a claim. A verified piece is served from memory at once and written behind the reader's back. What
//! to fetch, whom to ban and what the user is told are left to the driver in [`crate::swarm`], which hears of what
//! happens here by [`StoreEvent`]s.
//!
//! Locks: `state` is short and never held across an await or a disk operation. `disk` and the record's own lock are
//! held across disk operations, and so are taken on the blocking pool only; then always before `state`.

mod assemble;
mod assembly;
mod check;
mod files;
mod folder;
mod give;
mod hot;
mod limit;
mod load;
mod record;
mod saved;
mod state;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use saved::load_saved_torrent_bytes;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::torrent::Torrent;
use assembly::Blame;
use bytes::{Bytes, BytesMut};
use files::Files;
use folder::Folder;
use hot::Spare;
use parking_lot::{Mutex, RwLock};
use playswarm_logic::retain::Reader;
use playswarm_logic::{Bits, PieceIndex};
use record::{NOTES, Record, Refused};
use state::State;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, watch};

/// Where a torrent is kept and within which bounds.
#[derive(Clone, Debug)]
pub(crate) struct StoreOptions {
    /// The folder below which the torrent's files lie.
    pub(crate) dir: PathBuf,
    /// Bound on verified pieces, pieces being put together and pieces not yet written, all in memory.
    pub(crate) memory_limit_bytes: u64,
    /// Bound on the bytes of verified pieces on disk; 0 for none.
    pub(crate) disk_limit_bytes: u64,
}

impl StoreOptions {
    /// As the settings want it.
    pub(crate) fn of(config: &Config) -> StoreOptions {
        StoreOptions {
            dir: config.dir.clone(),
            memory_limit_bytes: config.memory_limit_bytes,
            disk_limit_bytes: config.disk_limit_bytes,
        }
    }
}

/// What happens in the store by itself.
#[derive(Debug)]
pub(crate) enum StoreEvent {
    /// The piece is not here any more: its file was changed, cut or removed by somebody else. Fetch it again.
    Lost(PieceIndex),
    /// The piece was given back as the bound on disk use was reached.
    GivenBack(PieceIndex),
    /// There is no room on the disk. Pieces stay in memory, and writing is tried again each second.
    DiskFull,
    /// A piece cannot be written, for the reason given. It stays in memory and is tried again.
    WriteFailed(Error),
    /// Everything that could not be written has been.
    DiskOk,
    /// The file system cannot give room back: the bound on disk use is not kept, and nothing is given up for it.
    DiskLimitUnsupported,
}

/// What became of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// Taken; the piece lacks others.
    More,
    /// Taken, and the piece is whole: [`Store::verify`] is due, once.
    Complete,
    /// Here before, or no block of this torrent.
    Ignored,
    /// Memory is full of pieces that are not whole or not written: ask for this block again when there is
    /// [`Store::room_for_assembly`].
    NoRoom,
}

/// What the hash said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The piece is right and can be read.
    Verified {
        /// Who gave wrong blocks of it in an earlier, failed try; ascending.
        liars: Vec<u32>,
    },
    /// The piece is wrong and was dropped.
    Corrupt {
        /// Who gave its blocks, ascending. Where it is one alone, it lied.
        givers: Vec<u32>,
    },
    /// There was no whole piece to hash.
    NotWhole,
}

/// A torrent's pieces on disk and in memory.
pub(crate) struct Store {
    torrent: Arc<Torrent>,
    options: StoreOptions,
    files: Files,
    record: Record,
    runtime: Handle,
    events: mpsc::UnboundedSender<StoreEvent>,
    state: Mutex<State>,
    spare: Mutex<Spare>,
    blame: Mutex<Blame>,
    /// Shared by those who read and write pieces, exclusive for those who give them back.
    disk: RwLock<()>,
    /// Bounds the pieces being read from disk at once.
    load_permits: Semaphore,
    giving: give::Giving,
    /// Changes with each write that ended, for those who wait for all of them.
    progress: watch::Sender<u64>,
}

/// How the bound on memory is shared out, in sixteenths: pieces being put together or waiting to be written may have
/// this much, so that a slow disk holds up the swarm and not the readers,
const NEW_SIXTEENTHS: u64 = 10;
/// pieces being read from disk this much,
const LOAD_SIXTEENTHS: u64 = 2;
/// used buffers that wait to be used again this much,
const SPARE_SIXTEENTHS: u64 = 1;
/// and pieces that readers are at have this much for sure, besides whatever the others leave.
const READ_SIXTEENTHS: u64 = 3;

/// How long a torrent that is in use is waited for: a store that was just dropped may be writing its last pieces.
const IN_USE_TRIES: u32 = 20;
const IN_USE_WAIT: Duration = Duration::from_millis(50);

impl Store {
    /// Opens the torrent's store in the folder. What the record claims is believed as far as the files are long enough;
    /// nothing is read until it is wanted.
    ///
    /// # Errors
    /// [`Error::Storage`] where the folder cannot be used or another playswarm keeps this torrent there,
    /// [`Error::DiskFull`] where not even the record has room, [`Error::BadTorrent`] for files in our own notes' place.
    pub(crate) async fn open(
        torrent: Arc<Torrent>,
        options: StoreOptions,
    ) -> Result<(Arc<Store>, mpsc::UnboundedReceiver<StoreEvent>)> {
        let runtime = Handle::current();
        let mut tries = 0;
        let (files, record, claims) = loop {
            let (torrent, dir) = (torrent.clone(), options.dir.clone());
            match runtime.spawn_blocking(move || open_on_disk(&torrent, &dir)).await {
                Ok(Ok(opened)) => break opened,
                Ok(Err(Refused::InUse(_))) if tries < IN_USE_TRIES => tokio::time::sleep(IN_USE_WAIT).await,
                Ok(Err(Refused::InUse(e) | Refused::Failed(e))) => return Err(e),
                Err(_) => return Err(Error::Closed),
            }
            tries += 1;
        };
        let layout = torrent.layout;
        let for_loads = options.memory_limit_bytes * LOAD_SIXTEENTHS / 16;
        let loads = (for_loads / u64::from(layout.piece_bytes())).clamp(1, 4) as usize;
        let (events, heard) = mpsc::unbounded_channel();
        let store = Store {
            state: Mutex::new(State::new(layout, claims, options.disk_limit_bytes != 0)),
            spare: Mutex::new(Spare::new(layout.piece_bytes(), options.memory_limit_bytes * SPARE_SIXTEENTHS / 16)),
            blame: Mutex::new(Blame::default()),
            disk: RwLock::new(()),
            load_permits: Semaphore::new(loads),
            giving: give::Giving::default(),
            progress: watch::Sender::new(0),
            torrent,
            options,
            files,
            record,
            runtime,
            events,
        };
        Ok((Arc::new(store), heard))
    }

    /// The pieces that are verified or recorded: what may be told to peers.
    pub(crate) fn have(&self) -> Bits {
        self.state.lock().have.clone()
    }

    /// Whether this piece is verified or recorded.
    pub(crate) fn has(&self, piece: PieceIndex) -> bool {
        self.state.lock().have.get(piece.0)
    }

    /// Bytes in memory: verified, being put together, waiting to be written, and spare buffers.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let spare = self.spare.lock().bytes();
        self.state.lock().memory_bytes() + spare
    }

    /// Bytes of the pieces that are on disk.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.state.lock().disk_bytes
    }

    /// Where the readers are, for what is kept in memory and on disk.
    pub(crate) fn set_readers(&self, readers: impl IntoIterator<Item = Reader>) {
        let mut state = self.state.lock();
        state.readers.clear();
        state.readers.extend(readers);
    }

    /// Believes that these pieces are in the files, as somebody else who writes the same files says so; each is hashed
    /// when it is read, as always. Pieces that lie beyond a file's end are left out.
    pub(crate) async fn claim(self: &Arc<Self>, pieces: &Bits) -> Result<()> {
        if pieces.len() != self.torrent.layout.pieces() {
            return Ok(());
        }
        let (store, mut claims) = (self.clone(), pieces.clone());
        let work = move || {
            store.files.drop_impossible(&mut claims);
            let _disk = store.disk.read();
            let mut dropped = Vec::new();
            let recorded: Vec<u32> = {
                let mut state = store.state.lock();
                let new: Vec<u32> = claims.iter_ones().filter(|p| !state.have.get(*p)).collect();
                for &piece in &new {
                    state.have.set(piece, true);
                    state.set_on_disk(piece, true);
                    // Its blocks are not needed any more, unless it is being hashed now.
                    if let Some(buffer) = state.assemblies.get(&piece).and_then(|a| a.abandon()) {
                        state.remove_assembly(piece);
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

    /// Waits until every verified piece is written.
    ///
    /// # Errors
    /// [`Error::DiskFull`] or the reason why the rest cannot be written at the moment; [`Error::Closed`] where the store
    /// was closed with pieces unwritten.
    pub(crate) async fn sync_all(self: &Arc<Self>) -> Result<()> {
        let mut progress = self.progress.subscribe();
        loop {
            {
                let state = self.state.lock();
                if state.hot.pinned() == 0 {
                    return Ok(());
                }
                if let Some(why) = state.queue.stuck(&self.options.dir) {
                    return Err(why);
                }
                if state.closed {
                    return Err(Error::Closed);
                }
            }
            // The sender lives as long as `self`.
            let _ = progress.changed().await;
        }
    }

    /// Tries once more to write what could not be written, waits for the rest, and lets go of the files and the record.
    /// Then only what is in memory can be read.
    ///
    /// # Errors
    /// As [`Store::sync_all`]; the pieces concerned are then lost, the others safe.
    pub(crate) async fn close(self: &Arc<Self>) -> Result<()> {
        self.retry_writes_now();
        let written = self.sync_all().await;
        self.state.lock().closed = true;
        let store = self.clone();
        let let_go = move || {
            // Waits for whoever still reads or writes.
            let _disk = store.disk.write();
            store.files.close();
            store.record.close();
        };
        let _ = self.runtime.spawn_blocking(let_go).await;
        written
    }

    fn tell(&self, event: StoreEvent) {
        // Nobody listening is fine: the driver may be gone while the last pieces are written.
        let _ = self.events.send(event);
    }

    /// A buffer of this length with anything in it.
    fn buffer(&self, length: usize) -> BytesMut {
        let spare = self.spare.lock().take(length);
        spare.unwrap_or_else(|| BytesMut::zeroed(length))
    }

    fn recycle(&self, buffer: BytesMut) {
        let too_many = self.spare.lock().keep(buffer);
        drop(too_many);
    }

    fn recycle_all(&self, dropped: Vec<Bytes>) {
        for bytes in dropped {
            // Where a reader still has it, the reader frees it.
            if let Ok(buffer) = bytes.try_into_mut() {
                self.recycle(buffer);
            }
        }
    }

    /// Drops from the hot window what the bound on memory leaves no room for.
    fn keep_within_memory(&self, state: &mut State) -> Vec<Bytes> {
        let limit = self.options.memory_limit_bytes;
        let others = state.assembly_bytes() + state.loading_bytes + limit * SPARE_SIXTEENTHS / 16;
        // However large pieces are, the one that is being read stays, or each read would fetch it from disk again.
        let least = (limit * READ_SIXTEENTHS / 16).max(u64::from(state.layout.piece_bytes()));
        let State { hot, readers, .. } = state;
        hot.shrink(limit.saturating_sub(others).max(hot.pinned_bytes() + least), readers)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.record.close();
    }
}

fn open_on_disk(torrent: &Arc<Torrent>, dir: &Path) -> Result<(Files, Record, Bits), Refused> {
    let ours = |path: &Path| path.iter().next().is_some_and(|first| first.eq_ignore_ascii_case(NOTES));
    // Pad files have a path there, and are never written.
    if torrent.files.iter().any(|f| !f.padding && ours(&f.path)) {
        return Err(Refused::Failed(Error::BadTorrent(format!(
            "it has a file in the place of our own notes, {NOTES}"
        ))));
    }
    let folder = Arc::new(Folder::open(dir).map_err(Refused::Failed)?);
    let notes = folder
        .below(Path::new(NOTES), true)
        .map_err(|e| Refused::Failed(folder::storage_error("create", &folder.full(Path::new(NOTES)), e)))?;
    let (record, mut claims) = Record::open(&notes, torrent)?;
    saved::save_torrent(&notes, torrent).map_err(Refused::Failed)?;
    let files = Files::new(folder, torrent.clone());
    let recorded = claims.count();
    files.drop_impossible(&mut claims);
    if claims.count() != recorded {
        tracing::info!(lost = recorded - claims.count(), "files are missing or shorter than they were");
        record.replace(&claims).map_err(Refused::Failed)?;
    }
    Ok((files, record, claims))
}
