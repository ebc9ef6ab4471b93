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
mod growth;
mod hot;
mod lend;
mod limit;
mod load;
mod names;
mod ours;
mod record;
mod saved;
mod state;
mod suspect;
mod sync;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use limit::memory_for_pieces;
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
use playswarm_proto::sha1::sha1;
use record::Record;
use state::{Claims, State};
use std::path::PathBuf;
use std::sync::Arc;
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
    /// Whether nothing is written: files that are there are read, and what is fetched stays in memory.
    pub(crate) read_only: bool,
}

impl StoreOptions {
    /// As the settings want it.
    pub(crate) fn of(config: &Config) -> StoreOptions {
        StoreOptions {
            dir: config.dir.clone(),
            memory_limit_bytes: config.memory_limit_bytes,
            disk_limit_bytes: config.disk_limit_bytes,
            read_only: config.read_only,
        }
    }
}

/// What happens in the store by itself.
#[derive(Debug)]
pub(crate) enum StoreEvent {
    /// The piece is not here any more: its file was changed, cut or removed by another program. Fetch it again.
    Lost(PieceIndex),
    /// The piece was never here, although a file seemed to hold it; peers were not told of it. Fetch it.
    Unfounded(PieceIndex),
    /// A piece that a file seemed to hold is right: peers may be told of it.
    Proven(PieceIndex),
    /// Pad files of this torrent hold more than zeros: [`Store::known_tails`] has changed.
    PaddingFilled,
    /// The piece was given back as the bound on disk use was reached, or neither disk nor memory had room for it.
    GivenBack(PieceIndex),
    /// This file of ours was changed, cut, removed or replaced by another program.
    FileChanged(PathBuf),
    /// The first path is taken by a file or folder that is not ours: it stays as it is, and ours has the second.
    Elsewhere {
        /// What is there already.
        taken: PathBuf,
        /// What is written instead.
        ours: PathBuf,
    },
    /// There is no room on the disk. Pieces stay in memory as far as that goes, and writing is tried again each second.
    DiskFull,
    /// Pieces cannot be written, for the reason given. They stay in memory as far as that goes, and are tried again.
    WriteFailed(Error),
    /// A write takes so long that no film could wait for it. Pieces stay in memory as far as that goes.
    DiskSlow,
    /// The disk takes pieces again.
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
    record: Arc<Record>,
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
    /// One sync at a time.
    syncing: Mutex<()>,
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

impl Store {
    /// Opens the torrent's store in the folder. What the record claims is believed as far as the files are long enough, and
    /// so are files of other programs by the torrent's own names; nothing is read until it is wanted. Nothing is written
    /// until there is a piece to be written.
    ///
    /// # Errors
    /// [`Error::Storage`] where the folder cannot be used.
    pub(crate) async fn open(
        torrent: Arc<Torrent>,
        options: StoreOptions,
    ) -> Result<(Arc<Store>, mpsc::UnboundedReceiver<StoreEvent>)> {
        let runtime = Handle::current();
        let work = {
            let (torrent, options) = (torrent.clone(), options.clone());
            move || open_on_disk(&torrent, &options)
        };
        let (files, record, claims) = runtime.spawn_blocking(work).await.unwrap_or(Err(Error::Closed))?;
        let layout = torrent.layout;
        let for_loads = options.memory_limit_bytes * LOAD_SIXTEENTHS / 16;
        let loads = (for_loads / u64::from(layout.piece_bytes())).clamp(1, 4) as usize;
        let (events, heard) = mpsc::unbounded_channel();
        let mut state = State::new(layout, claims, options.disk_limit_bytes != 0);
        state.tails = torrent.padded_tails();
        let store = Store {
            state: Mutex::new(state),
            spare: Mutex::new(Spare::new(layout.piece_bytes(), options.memory_limit_bytes * SPARE_SIXTEENTHS / 16)),
            blame: Mutex::new(Blame::default()),
            disk: RwLock::new(()),
            load_permits: Semaphore::new(loads),
            giving: give::Giving::default(),
            progress: watch::Sender::new(0),
            syncing: Mutex::new(()),
            torrent,
            options,
            files,
            record,
            runtime,
            events,
        };
        Ok((Arc::new(store), heard))
    }

    /// The pieces that are verified, or said to be in files: what need not be fetched.
    pub(crate) fn have(&self) -> Bits {
        self.state.lock().have.clone()
    }

    /// Those of [`Store::have`] that peers may be told of.
    pub(crate) fn told(&self) -> Bits {
        let state = self.state.lock();
        let mut told = state.have.clone();
        state.unproven.iter_ones().for_each(|piece| {
            told.set(piece, false);
        });
        told
    }

    /// Whether this piece is verified, or said to be in files.
    pub(crate) fn has(&self, piece: PieceIndex) -> bool {
        self.state.lock().have.get(piece.0)
    }

    /// Bytes from `position` on that are here without a gap, looking no further than `most` bytes.
    pub(crate) fn ready_within(&self, position: u64, most: u64) -> u64 {
        self.torrent.layout.bytes_here(&self.state.lock().have, position, most)
    }

    /// Bytes in memory: verified, being put together, waiting to be written, and spare buffers.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let spare = self.spare.lock().bytes();
        self.state.lock().memory_bytes() + spare
    }

    /// Bytes of the pieces that are in files of ours.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.state.lock().disk_bytes
    }

    /// Where the readers are, for what is kept in memory and on disk.
    pub(crate) fn set_readers(&self, readers: impl IntoIterator<Item = Reader>) {
        let mut state = self.state.lock();
        state.readers.clear();
        state.readers.extend(readers);
    }

    /// Waits until every verified piece is on the disk, as far as the operating system says so.
    ///
    /// # Errors
    /// [`Error::DiskFull`] or the reason why the rest cannot be written at the moment; [`Error::Closed`] where the store
    /// was closed with pieces unwritten.
    pub(crate) async fn sync_all(self: &Arc<Self>) -> Result<()> {
        let mut progress = self.progress.subscribe();
        loop {
            {
                let state = self.state.lock();
                if state.hot.pinned() == 0 && !state.gathering {
                    break;
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
        let store = self.clone();
        self.runtime.spawn_blocking(move || store.sync_now()).await.unwrap_or(Err(Error::Closed))
    }

    /// Waits until the writer has tried all that waited.
    async fn writer_idle(&self) {
        let mut progress = self.progress.subscribe();
        while !self.state.lock().queue.is_idle() {
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
        self.stop_looking();
        // A write that fails at this moment is tried once more, too.
        self.writer_idle().await;
        self.retry_writes_now();
        let written = self.sync_all().await;
        self.state.lock().closed = true;
        let store = self.clone();
        let let_go = move || {
            // Waits for whoever still reads or writes.
            let _disk = store.disk.write();
            // Also where other pieces could not be written.
            if let Err(e) = store.sync_now() {
                tracing::warn!(error = %e, "what was written may not be on the disk yet");
            }
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

    /// Drops from the hot window what the bound on memory leaves no room for: pieces that are on disk, and others too while
    /// the disk takes none.
    fn keep_within_memory(&self, state: &mut State) -> Vec<Bytes> {
        let limit = self.options.memory_limit_bytes;
        let others = state.assembly_bytes() + state.loading_bytes + limit * SPARE_SIXTEENTHS / 16;
        // However large pieces are, the one that is being read stays, or each read would fetch it from disk again.
        let least = (limit * READ_SIXTEENTHS / 16).max(u64::from(state.layout.piece_bytes()));
        let bound = limit.saturating_sub(others).max(state.unwritten_bytes() + least);
        let State { hot, readers, queue, .. } = state;
        let dropped = hot.shrink(bound, readers, (queue.is_in_trouble(), queue.writing()));
        dropped
            .into_iter()
            .map(|(piece, bytes)| {
                // In no file: memory was all that held it.
                if state.source_of(piece).is_none() && state.have.set(piece, false) {
                    state.queue.forget(piece);
                    self.tell(StoreEvent::GivenBack(PieceIndex(piece)));
                }
                bytes
            })
            .collect()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.record.close();
    }
}

fn open_on_disk(torrent: &Arc<Torrent>, options: &StoreOptions) -> Result<(Files, Arc<Record>, Claims)> {
    let StoreOptions { dir, read_only, .. } = options;
    let folder = if *read_only { Folder::open_read_only(dir).ok() } else { Some(Folder::make(dir)?) }.map(Arc::new);
    let (record, mut contents) = Record::open(folder.clone(), torrent, *read_only)?;
    record.save_torrent()?;
    let record = Arc::new(record);
    let (mut ours, synced) = (std::mem::take(&mut contents.written), std::mem::take(&mut contents.synced));
    let files = Files::new(folder, torrent.clone(), record.clone(), contents, *read_only);
    let recorded = ours.clone();
    files.drop_impossible(&mut ours);
    let mut needless = Vec::new();
    let lost: Vec<u32> = recorded.iter_ones().filter(|piece| !ours.get(*piece)).collect();
    if !lost.is_empty() {
        tracing::info!(lost = lost.len(), "files are missing or shorter than they were");
        record.set_all(&lost, false)?;
    }
    for piece in torrent.pad_pieces() {
        let length = torrent.layout.bytes_of(piece) as usize;
        if !ours.get(piece.0) && torrent.hash_of(piece.0) == Some(&sha1(&vec![0; length])[..]) {
            // It needs no file.
            ours.set(piece.0, true);
            needless.push(piece.0);
        }
    }
    let mut theirs = files.their_claims();
    let mut unproven = theirs.clone();
    for piece in ours.iter_ones() {
        theirs.set(piece, false);
        unproven.set(piece, *read_only || !synced.get(piece));
    }
    for piece in needless {
        unproven.set(piece, false);
    }
    let missing = ours.count() + theirs.count() < torrent.layout.pieces();
    if missing && !read_only && !files.has_ours() {
        files.check_writable()?;
    }
    Ok((files, record, Claims { ours, theirs, unproven }))
}
