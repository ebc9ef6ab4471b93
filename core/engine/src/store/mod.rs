//! Stores pieces on disk and in memory: collects their blocks, verifies, writes, records,
//! reads and evicts them.
//!
//! The store hashes every byte before it hands the byte out, whether it came from peers or from
//! disk. The record of pieces on disk is therefore only a claim. A verified piece is served from
//! memory at once and written in the background. The driver in [`crate::swarm`] decides which
//! pieces to fetch, which peers to ban and what to report to the user. It learns of changes here
//! from [`StoreEvent`]s.
//!
//! Locks: `state` is held briefly, and never across an await or a disk operation. `disk` and the
//! record's own lock are held across disk operations, so they are taken on the blocking pool only.
//! They are always taken before `state`.

mod buffer_pool;
mod cache;
mod check;
mod files;
mod folder;
mod give;
mod growth;
mod lend;
mod limit;
mod load;
mod names;
mod open_files;
mod ours;
mod piece_buffer;
mod receive;
mod record;
mod saved_metainfo;
mod state;
mod suspect;
mod sync;
#[cfg(test)]
mod tests;
mod whole;
mod write;

pub(crate) use limit::memory_for_pieces;
pub(crate) use saved_metainfo::{load_saved_metainfo, load_saved_tree, load_state, save_state};
pub(crate) use whole::WholeVerdict;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::metainfo::Metainfo;
use buffer_pool::BufferPool;
use bytes::{Bytes, BytesMut};
use files::Files;
use folder::Folder;
use parking_lot::{Mutex, RwLock};
use piece_buffer::Blame;
use playswarm_logic::evict::Reader;
use playswarm_logic::{Bits, PieceIndex};
use playswarm_proto::Proof;
use record::Record;
use state::{Claims, State};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, watch};

/// The location and the limits of a torrent's store.
#[derive(Clone, Debug)]
pub(crate) struct StoreOptions {
    /// Folder that contains the torrent's files.
    pub(crate) dir: PathBuf,
    /// Limit in bytes on verified, incomplete and unwritten pieces in memory.
    pub(crate) memory_limit_bytes: u64,
    /// Limit in bytes on verified pieces on disk; 0 means no limit.
    pub(crate) disk_limit_bytes: u64,
    /// Whether the store writes nothing: it reads existing files and keeps fetched pieces in
    /// memory.
    pub(crate) read_only: bool,
}

impl StoreOptions {
    /// Returns the options that the configuration asks for.
    pub(crate) fn of(config: &Config) -> StoreOptions {
        StoreOptions {
            dir: config.dir.clone(),
            memory_limit_bytes: config.memory_limit_bytes,
            disk_limit_bytes: config.disk_limit_bytes,
            read_only: config.read_only,
        }
    }
}

/// A change in the store that the driver did not cause directly.
#[derive(Debug)]
pub(crate) enum StoreEvent {
    /// The piece is lost: another program changed, truncated or removed its file. Fetch it again.
    Lost(PieceIndex),
    /// The piece was never present, although a file seemed to contain it. Peers were not told of
    /// it. Fetch it.
    Unfounded(PieceIndex),
    /// A piece that a file seemed to contain is correct: it may be advertised to peers.
    Proven(PieceIndex),
    /// Pad files of this torrent contain bytes other than zero: [`Store::known_tails`] has changed.
    PaddingFilled,
    /// The piece was evicted, because of the disk limit or because neither disk nor memory had
    /// room.
    GivenBack(PieceIndex),
    /// Another program changed, truncated, removed or replaced this file of ours.
    FileChanged(PathBuf),
    /// A file or folder that is not ours has the first path. It stays unchanged, and our file gets
    /// the second path.
    Elsewhere {
        /// The path that is taken.
        taken: PathBuf,
        /// The path that is written instead.
        ours: PathBuf,
        /// Whether the first path is free, but the disk does not accept its name.
        refused: bool,
    },
    /// The disk is full. Pieces stay in memory within its limit, and writing is retried each
    /// second.
    DiskFull,
    /// Pieces cannot be written, for the given reason. They stay in memory within its limit, and
    /// writing is retried.
    WriteFailed(Error),
    /// A write is too slow for playback to keep up. Pieces stay in memory within its limit.
    DiskSlow,
    /// The disk accepts pieces again.
    DiskOk,
    /// The file system cannot punch holes: the disk limit is not enforced, and nothing is evicted
    /// for it.
    DiskLimitUnsupported,
}

/// The result of storing a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// Stored; the piece lacks other blocks.
    More,
    /// Stored, and the piece is complete: [`Store::verify`] is due, once.
    Complete,
    /// Already present, or not a block of this torrent.
    Ignored,
    /// Memory is full of incomplete or unwritten pieces: request this block again when
    /// [`Store::room_for_pieces`] returns room.
    NoRoom,
}

/// The result of verifying a piece's hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The piece is correct and can be read.
    Verified {
        /// Peers that sent wrong blocks of it in an earlier, failed attempt, in ascending order.
        liars: Vec<u32>,
    },
    /// The piece is wrong and was dropped.
    Corrupt {
        /// Peers that sent its blocks, in ascending order. A single peer is the one that lied.
        givers: Vec<u32>,
    },
    /// There was no complete piece to hash.
    NotWhole,
}

/// A torrent's pieces on disk and in memory.
pub(crate) struct Store {
    torrent: Arc<Metainfo>,
    options: StoreOptions,
    files: Files,
    record: Arc<Record>,
    runtime: Handle,
    events: mpsc::UnboundedSender<StoreEvent>,
    state: Mutex<State>,
    buffer_pool: Mutex<BufferPool>,
    blame: Mutex<Blame>,
    /// Shared by readers and writers of pieces, exclusive for eviction.
    disk: RwLock<()>,
    /// Limits the number of pieces that are read from disk at once.
    load_permits: Semaphore,
    giving: give::Giving,
    /// Changes after each finished write, for tasks that wait for all writes.
    progress: watch::Sender<u64>,
    /// The proof that the whole file gave, once it is proven.
    learned: OnceLock<Proof>,
    /// Serializes syncs.
    syncing: Mutex<()>,
}

/// Share of the memory limit, in sixteenths, for pieces that are incomplete or wait to be
/// written. It makes a slow disk hold up the swarm and not the readers.
const NEW_SIXTEENTHS: u64 = 10;
/// Share of the memory limit, in sixteenths, for pieces that are being read from disk.
const LOAD_SIXTEENTHS: u64 = 2;
/// Share of the memory limit, in sixteenths, for pooled buffers.
const POOL_SIXTEENTHS: u64 = 1;
/// Guaranteed share of the memory limit, in sixteenths, for the pieces that readers use. They also
/// get the memory that the other shares leave free.
const READ_SIXTEENTHS: u64 = 3;
/// Share of the memory limit, in sixteenths, for pieces on disk that no reader reads soon. More
/// would only repeat what the operating system caches of the files.
const FAR_SIXTEENTHS: u64 = 2;

impl Store {
    /// Opens the torrent's store in the folder.
    ///
    /// The store believes the record's claims where the files are long enough. It also believes
    /// files of other programs that have the torrent's own names. It reads nothing until a piece is
    /// needed, and writes nothing until there is a piece to write.
    ///
    /// # Errors
    /// [`Error::Storage`] where the folder cannot be used.
    pub(crate) async fn open(
        torrent: Arc<Metainfo>,
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
        state.whole = whole::Stage::at_opening(&torrent.proof);
        let store = Store {
            state: Mutex::new(state),
            buffer_pool: Mutex::new(BufferPool::new(
                layout.piece_bytes(),
                options.memory_limit_bytes * POOL_SIXTEENTHS / 16,
            )),
            blame: Mutex::new(Blame::default()),
            disk: RwLock::new(()),
            load_permits: Semaphore::new(loads),
            giving: give::Giving::default(),
            progress: watch::Sender::new(0),
            learned: OnceLock::new(),
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

    /// Returns the pieces that are verified or claimed to be in files, and so need not be fetched.
    pub(crate) fn have(&self) -> Bits {
        self.state.lock().have.clone()
    }

    /// Returns the pieces of [`Store::have`] that may be advertised to peers.
    pub(crate) fn told(&self) -> Bits {
        let state = self.state.lock();
        let mut told = state.have.clone();
        state.unproven.iter_ones().for_each(|piece| {
            told.set(piece, false);
        });
        told
    }

    /// Returns whether this piece is verified or claimed to be in files, and may be shown.
    pub(crate) fn has(&self, piece: PieceIndex) -> bool {
        let state = self.state.lock();
        state.have.get(piece.0) && !state.is_sealed()
    }

    /// Returns the pieces of [`Store::have`] that may be shown.
    pub(crate) fn shown(&self) -> Bits {
        let state = self.state.lock();
        if state.is_sealed() { Bits::new(state.have.len()) } else { state.have.clone() }
    }

    /// Returns the number of contiguous bytes from `position` on that are present, at most `most`.
    pub(crate) fn ready_within(&self, position: u64, most: u64) -> u64 {
        let state = self.state.lock();
        if state.is_sealed() { 0 } else { self.torrent.layout.bytes_here(&state.have, position, most) }
    }

    /// Returns what the bytes are checked against.
    pub(crate) fn proof(&self) -> &Proof {
        self.learned.get().unwrap_or(&self.torrent.proof)
    }

    /// Returns the bytes in memory: verified, incomplete and unwritten pieces, and pooled
    /// buffers.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let pooled = self.buffer_pool.lock().bytes();
        self.state.lock().memory_bytes() + pooled
    }

    /// Returns the bytes of the pieces in our files.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.state.lock().disk_bytes
    }

    /// Returns the path of our file of this number, or where it would be.
    pub(crate) fn path(&self, file: usize) -> PathBuf {
        self.files.path(file, files::Source::Ours)
    }

    /// Sets the readers' positions, which decide what stays in memory and on disk.
    pub(crate) fn set_readers(&self, readers: impl IntoIterator<Item = Reader>) {
        let mut state = self.state.lock();
        state.readers.clear();
        state.readers.extend(readers);
    }

    /// Waits until every verified piece is on the disk, according to the operating system.
    ///
    /// # Errors
    /// [`Error::DiskFull`] or the reason why the remaining pieces cannot be written at the moment;
    /// [`Error::Closed`] where the store was closed with unwritten pieces.
    pub(crate) async fn sync_all(self: &Arc<Self>) -> Result<()> {
        let mut progress = self.progress.subscribe();
        loop {
            {
                let state = self.state.lock();
                if state.cache.pinned() == 0 && !state.gathering {
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

    /// Waits until the writer has tried every queued piece.
    async fn writer_idle(&self) {
        let mut progress = self.progress.subscribe();
        while !self.state.lock().queue.is_idle() {
            // The sender lives as long as `self`.
            let _ = progress.changed().await;
        }
    }

    /// Retries failed writes once, waits for the other writes, and closes the files and the record.
    /// Afterwards only the pieces in memory can be read.
    ///
    /// # Errors
    /// As [`Store::sync_all`]; the unwritten pieces are then lost, the others are safe.
    pub(crate) async fn close(self: &Arc<Self>) -> Result<()> {
        self.stop_looking();
        // Also retries a write that fails at this moment.
        self.writer_idle().await;
        self.retry_writes_now();
        let written = self.sync_all().await;
        self.state.lock().closed = true;
        let store = self.clone();
        let let_go = move || {
            // Waits for tasks that still read or write.
            let _disk = store.disk.write();
            // Syncs even where other pieces could not be written.
            if let Err(e) = store.sync_now() {
                tracing::warn!(error = %e, "written data may not be on the disk yet");
            }
            store.files.close();
            store.record.close();
        };
        let _ = self.runtime.spawn_blocking(let_go).await;
        written
    }

    fn tell(&self, event: StoreEvent) {
        // The receiver may be gone: the driver can end before the last pieces are written.
        let _ = self.events.send(event);
    }

    /// Returns a buffer of this length with unspecified contents.
    fn buffer(&self, length: usize) -> BytesMut {
        let used = self.buffer_pool.lock().take(length);
        used.unwrap_or_else(|| BytesMut::zeroed(length))
    }

    fn recycle(&self, buffer: BytesMut) {
        let too_many = self.buffer_pool.lock().keep(buffer);
        drop(too_many);
    }

    fn recycle_all(&self, dropped: Vec<Bytes>) {
        for bytes in dropped {
            // A reader that still holds the buffer frees it.
            if let Ok(buffer) = bytes.try_into_mut() {
                self.recycle(buffer);
            }
        }
    }

    /// Evicts pieces from the cache until it fits the memory limit: pieces that are on disk, and
    /// unwritten pieces while the disk accepts none.
    fn keep_within_memory(&self, state: &mut State) -> Vec<Bytes> {
        let limit = self.options.memory_limit_bytes;
        let others = state.buffered_bytes() + state.loading_bytes + limit * POOL_SIXTEENTHS / 16;
        // The piece that is being read always stays, however large it is. Otherwise each read would
        // fetch it from disk again.
        let least = (limit * READ_SIXTEENTHS / 16).max(u64::from(state.layout.piece_bytes()));
        let bound = limit.saturating_sub(others).max(state.unwritten_bytes() + least);
        let State { cache, readers, queue, .. } = state;
        let mut dropped = cache.shrink(bound, readers, (queue.is_in_trouble(), queue.writing()));
        if !self.options.read_only {
            dropped.extend(cache.drop_far(limit * FAR_SIXTEENTHS / 16, readers));
        }
        dropped
            .into_iter()
            .map(|(piece, bytes)| {
                // The piece is in no file: only memory held it.
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

fn open_on_disk(torrent: &Arc<Metainfo>, options: &StoreOptions) -> Result<(Files, Arc<Record>, Claims)> {
    let StoreOptions { dir, read_only, .. } = options;
    let folder = if *read_only { Folder::open_read_only(dir).ok() } else { Some(Folder::make(dir)?) }.map(Arc::new);
    let (record, mut contents) = Record::open(folder.clone(), torrent, *read_only)?;
    record.save_metainfo()?;
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
    if !torrent.proof.is_by_piece() {
        // A power cut may have taken their bytes, and nothing would tell.
        let unsynced: Vec<u32> = ours.iter_ones().filter(|piece| !synced.get(*piece)).collect();
        record.set_all(&unsynced, false)?;
        for piece in unsynced {
            ours.set(piece, false);
        }
    }
    for piece in torrent.pad_pieces() {
        let length = torrent.layout.bytes_of(piece) as usize;
        if !ours.get(piece.0) && torrent.proof.accepts(piece.0, &vec![0; length]) {
            // A piece of zeros in pad files needs no file.
            ours.set(piece.0, true);
            needless.push(piece.0);
        }
    }
    // Without hashes of pieces, nothing tells a file of the same name from the wanted one.
    let is_by_piece = torrent.proof.is_by_piece();
    let mut theirs = if is_by_piece { files.their_claims() } else { Bits::new(torrent.layout.pieces()) };
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
