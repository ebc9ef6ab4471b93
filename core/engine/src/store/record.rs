//! Records the pieces that we wrote and the files that we created. The record is one small file in
//! the state folder, beside the torrent's files. It is created with the first
//! file that is written, so a torrent without writes leaves nothing behind.
//!
//! A piece has two bits:
//!
//! - `written` is set by a write of one byte once the piece is in its files. A `kill` at any moment
//!   leaves no bit without its piece.
//! - `synced` is set once the operating system has confirmed that the piece is on the disk. A power
//!   cut may leave a `written` piece without its bytes, so such a piece is checked before it is
//!   trusted.
//!
//! Layout, with little-endian integers:
//!
//! - 0: magic
//! - 8: version (u32)
//! - 12: info-hash
//! - 32: total bytes (u64)
//! - 40: piece bytes (u32)
//! - 44: number of files (u32)
//! - 48: zeros
//! - 64: the bits of `written` in the order of BEP 3, then those of `synced`
//! - then 24 bytes for the torrent's own folder and for each of its files: at 0 the number of its
//!   candidate name, counted from 1, or 0 where we did not create it (u32); at 4 zeros; at 8 the
//!   inode (u64); at 16 the time of birth in nanoseconds (u64). Both are 0 while it is being created

use super::folder::{Access, Folder, Identity, storage_error};
use super::saved_metainfo;
use crate::error::{Error, Result};
use crate::metainfo::Metainfo;
use parking_lot::Mutex;
use playswarm_logic::{Bits, Layout, PieceIndex};
use playswarm_proto::tiger_tree::Level;
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Name of the state folder, below the chosen one: it contains the records and saved metainfo.
pub(super) const STATE_DIR: &str = ".playswarm";

const MAGIC: &[u8; 8] = b"PLAYSWRM";
const VERSION: u32 = 2;
const HEADER_BYTES: usize = 64;
const OWNED_BYTES: usize = 24;

/// Most processes that may have the same torrent open in the same folder, each with its own record
/// and files.
const MAX_RECORDS: u32 = 16;

/// Most attempts to lock a record that is in use, [`IN_USE_WAIT`] apart: a store that was just
/// dropped may be writing its last pieces.
const IN_USE_TRIES: u32 = 20;
const IN_USE_WAIT: Duration = Duration::from_millis(50);

/// A file or folder that we created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owned {
    /// Number of its candidate name: 0 is the torrent's own.
    pub(super) name: u32,
    pub(super) identity: Identity,
}

/// The contents of a record.
#[derive(Default)]
pub(super) struct Contents {
    pub(super) written: Bits,
    pub(super) synced: Bits,
    /// Entries by number, see [`Record::own`].
    pub(super) owned: HashMap<u32, Owned>,
}

/// The record, locked against other processes while it is open.
pub(super) struct Record {
    folder: Option<Arc<Folder>>,
    torrent: Arc<Metainfo>,
    /// Held across the write of a byte, or two writers of neighbouring pieces could undo each
    /// other's bits. Taken on the blocking pool only.
    state: Mutex<State>,
}

enum State {
    /// There is none yet, apart from those with lower numbers that other processes use.
    Missing,
    Open(Open),
    /// Nothing is ever written.
    ReadOnly,
    Closed,
}

struct Open {
    file: File,
    path: PathBuf,
    /// Whether its name may not be on the disk yet.
    fresh: bool,
    written: Bits,
    synced: Bits,
}

impl Record {
    /// Opens the torrent's record below `folder`, if there is one that no other process uses, and
    /// returns its contents.
    ///
    /// With `read_only` the record is read even while it is in use, and not kept open. A record
    /// that is damaged, or of another torrent or version, counts as empty.
    pub(super) fn open(
        folder: Option<Arc<Folder>>,
        torrent: &Arc<Metainfo>,
        read_only: bool,
    ) -> Result<(Record, Contents)> {
        let pieces = torrent.layout.pieces();
        let mut contents =
            Contents { written: Bits::new(pieces), synced: Bits::new(pieces), owned: HashMap::default() };
        let mut state = if read_only { State::ReadOnly } else { State::Missing };
        let state_dir = match &folder {
            Some(folder) => match folder.below(Path::new(STATE_DIR), false) {
                Ok(state_dir) => Some(state_dir),
                Err(e) if e.kind() == io::ErrorKind::NotFound || read_only => None,
                Err(e) => return Err(storage_error("use", &folder.full(Path::new(STATE_DIR)), e)),
            },
            None => None,
        };
        if let Some(state_dir) = state_dir {
            let found =
                if read_only { read_first(&state_dir, torrent) } else { lock_first(&state_dir, torrent, false)? };
            if let Some((file, path)) = found {
                let said = read_contents(&file, torrent).map_err(|e| storage_error("read", &path, e))?;
                let is_current = said.as_ref().is_some_and(|(_, layout)| *layout == torrent.layout);
                if let Some((said, _)) = said {
                    contents = said;
                }
                if !is_current && !read_only {
                    write_contents(&file, torrent, &contents).map_err(|e| storage_error("write", &path, e))?;
                }
                if !read_only {
                    let (written, synced) = (contents.written.clone(), contents.synced.clone());
                    state = State::Open(Open { file, path, fresh: false, written, synced });
                }
            }
        }
        Ok((Record { folder, torrent: torrent.clone(), state: Mutex::new(state) }, contents))
    }

    /// Creates the record where there is none, with the state folder, and saves the torrent
    /// there.
    pub(super) fn begin(&self) -> Result<()> {
        let mut state = self.state.lock();
        let State::Missing = *state else {
            return match *state {
                State::Open(_) => Ok(()),
                _ => Err(Error::Closed),
            };
        };
        let folder = self.folder.as_ref().ok_or(Error::Closed)?;
        let in_state_dir = |e| storage_error("create", &folder.full(Path::new(STATE_DIR)), e);
        let state_dir = folder.below(Path::new(STATE_DIR), true).map_err(in_state_dir)?;
        let Some((file, path)) = lock_first(&state_dir, &self.torrent, true)? else {
            return Err(in_state_dir(io::Error::new(
                io::ErrorKind::ResourceBusy,
                "this torrent is open in this folder in too many processes; end one of them, or choose another folder",
            )));
        };
        let bits = Bits::new(self.torrent.layout.pieces());
        let empty = Contents { written: bits.clone(), synced: bits.clone(), owned: HashMap::new() };
        write_contents(&file, &self.torrent, &empty).map_err(|e| storage_error("write", &path, e))?;
        saved_metainfo::save_metainfo(&state_dir, &self.torrent);
        *state = State::Open(Open { file, path, fresh: true, written: bits.clone(), synced: bits });
        Ok(())
    }

    /// Saves the torrent beside the record, if there is one.
    pub(super) fn save_metainfo(&self) -> Result<()> {
        match (&*self.state.lock(), &self.folder) {
            (State::Open(_), Some(folder)) => match folder.below(Path::new(STATE_DIR), false) {
                Ok(state_dir) => {
                    saved_metainfo::save_metainfo(&state_dir, &self.torrent);
                    Ok(())
                }
                Err(e) => Err(storage_error("use", &folder.full(Path::new(STATE_DIR)), e)),
            },
            _ => Ok(()),
        }
    }

    /// Saves the tree of a file that hashes name, which bytes proved. Does nothing where there is no
    /// record.
    pub(super) fn save_tree(&self, tree: &Level) {
        if let (State::Open(_), Some(folder)) = (&*self.state.lock(), &self.folder)
            && let Ok(state_dir) = folder.below(Path::new(STATE_DIR), false)
        {
            saved_metainfo::save_tree(&state_dir, &self.torrent.info_hash, tree);
        }
    }

    /// Records that a file or folder is ours, or no longer ours. Entry 0 is the torrent's own
    /// folder, entry `n + 1` its file `n`. Does nothing once closed.
    pub(super) fn own(&self, entry: u32, owned: Option<Owned>) -> Result<()> {
        let bytes = owned_bytes(owned);
        let at = bits_end(self.torrent.layout, 2) + entry as usize * OWNED_BYTES;
        self.while_open(|open| open.file.write_all_at(&bytes, at as u64))
    }

    /// Records whether a piece is in our files. Does nothing once closed, or where there is no
    /// record.
    pub(super) fn set(&self, piece: u32, on: bool) -> Result<()> {
        self.set_all(&[piece], on)
    }

    /// Records the same for several pieces, in one write from the first changed byte to the last.
    pub(super) fn set_all(&self, pieces: &[u32], on: bool) -> Result<()> {
        let torrent = &self.torrent;
        self.while_open(|open| {
            if !on {
                set_bits(&open.file, &mut open.synced, bits_end(torrent.layout, 1), pieces, false)?;
            }
            set_bits(&open.file, &mut open.written, HEADER_BYTES, pieces, on)
        })
    }

    /// Records that these pieces are on the disk, except those that were lost in the meantime.
    /// Waits until the record is on the disk, too.
    pub(super) fn set_synced(&self, pieces: &[u32]) -> Result<()> {
        let torrent = &self.torrent;
        self.while_open(|open| {
            let still: Vec<u32> = pieces.iter().copied().filter(|p| open.written.get(*p)).collect();
            set_bits(&open.file, &mut open.synced, bits_end(torrent.layout, 1), &still, true)?;
            open.file.sync_data()?;
            if let Some(folder) = self.folder.as_ref().filter(|_| open.fresh) {
                folder.sync_names(Path::new(STATE_DIR))?;
                folder.sync_names(Path::new(""))?;
                open.fresh = false;
            }
            Ok(())
        })
    }

    /// Waits until the record is on the disk.
    pub(super) fn sync(&self) -> Result<()> {
        self.while_open(|open| open.file.sync_data())
    }

    fn while_open(&self, work: impl FnOnce(&mut Open) -> io::Result<()>) -> Result<()> {
        match &mut *self.state.lock() {
            State::Open(open) => work(open).map_err(|e| storage_error("write", &open.path, e)),
            _ => Ok(()),
        }
    }

    /// Closes the record and releases its lock.
    pub(super) fn close(&self) {
        let state = std::mem::replace(&mut *self.state.lock(), State::Closed);
        if let State::Open(open) = state {
            // A child process may have inherited the descriptor for a moment: closing alone might
            // not unlock.
            let _ = rustix::fs::flock(&open.file, FlockOperation::Unlock);
        }
    }
}

/// Sets bits and writes the changed bytes; after an error the bits are as before.
fn set_bits(file: &File, bits: &mut Bits, start: usize, pieces: &[u32], on: bool) -> io::Result<()> {
    let changed: Vec<u32> = pieces.iter().copied().filter(|p| bits.set(*p, on)).collect();
    let (Some(first), Some(last)) = (changed.iter().min(), changed.iter().max()) else { return Ok(()) };
    let bytes = (first / 8) as usize..=(last / 8) as usize;
    let at = (start + bytes.start()) as u64;
    file.write_all_at(&bits.as_bytes()[bytes], at).inspect_err(|_| {
        for piece in changed {
            bits.set(piece, !on);
        }
    })
}

fn name_of(torrent: &Metainfo, number: u32) -> String {
    match number {
        1 => format!("{}.have", torrent.info_hash),
        n => format!("{}-{n}.have", torrent.info_hash),
    }
}

/// Opens the first record, even while it is in use.
fn read_first(state_dir: &Folder, torrent: &Metainfo) -> Option<(File, PathBuf)> {
    (1..=MAX_RECORDS).find_map(|number| {
        let name = name_of(torrent, number);
        let name = Path::new(&name);
        Some((state_dir.file(name, Access::Read).ok()?, state_dir.full(name)))
    })
}

/// Opens and locks the first record that no other process uses. With `create`, a missing one is
/// created. Anything but a plain file is left alone, and the next number is tried.
fn lock_first(state_dir: &Folder, torrent: &Metainfo, create: bool) -> Result<Option<(File, PathBuf)>> {
    for number in 1..=MAX_RECORDS {
        let name = name_of(torrent, number);
        let (name, access) = (Path::new(&name), if create { Access::State } else { Access::Write });
        let path = state_dir.full(name);
        let file = match state_dir.file(name, access) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) if is_no_file(&e) => {
                tracing::warn!("{} is not a file that playswarm made; another record is used", path.display());
                continue;
            }
            Err(e) => return Err(storage_error("open", &path, e)),
        };
        // Only the first may belong to a store of ours that is about to close.
        if lock(&file, if number == 1 { IN_USE_TRIES } else { 1 }) {
            return Ok(Some((file, path)));
        }
        if number == 1 {
            tracing::info!("another process uses this torrent in this folder; this one writes separate files");
        }
    }
    Ok(None)
}

/// Returns whether a folder, a link, a pipe or a socket has the name.
fn is_no_file(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory)
        || e.raw_os_error() == Some(Errno::NXIO.raw_os_error())
}

fn lock(file: &File, tries: u32) -> bool {
    for attempt in 0..tries {
        match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return true,
            Err(Errno::WOULDBLOCK) if attempt + 1 < tries => std::thread::sleep(IN_USE_WAIT),
            Err(Errno::WOULDBLOCK) => return false,
            Err(e) => {
                // Some network file systems have no locks. Files are created exclusively, so no two
                // processes write the same file.
                tracing::debug!(error = %e, "the record cannot be locked here");
                return true;
            }
        }
    }
    false
}

/// Returns the end of the header and the given number of bit fields.
fn bits_end(layout: Layout, fields: usize) -> usize {
    HEADER_BYTES + fields * layout.pieces().div_ceil(8) as usize
}

/// Returns the length of the torrent's record if its pieces have this layout.
fn record_bytes(torrent: &Metainfo, layout: Layout) -> usize {
    bits_end(layout, 2) + (torrent.files.len() + 1) * OWNED_BYTES
}

fn header(torrent: &Metainfo) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[12..32].copy_from_slice(&torrent.info_hash.0);
    header[32..40].copy_from_slice(&torrent.layout.total_bytes().to_le_bytes());
    header[40..44].copy_from_slice(&torrent.layout.piece_bytes().to_le_bytes());
    // A torrent has far fewer files than that.
    header[44..48].copy_from_slice(&u32::try_from(torrent.files.len()).unwrap_or(u32::MAX).to_le_bytes());
    header
}

fn write_contents(file: &File, torrent: &Metainfo, contents: &Contents) -> io::Result<()> {
    let mut all = [&header(torrent)[..], contents.written.as_bytes(), contents.synced.as_bytes()].concat();
    for entry in 0..=torrent.files.len() as u32 {
        all.extend(owned_bytes(contents.owned.get(&entry).copied()));
    }
    // One of another length counts as damaged until this is done.
    file.set_len(0)?;
    file.write_all_at(&all, 0)
}

/// Reads the record, and returns the layout in which it was written; `None` where it is damaged, or
/// of another torrent or version.
fn read_contents(mut file: &File, torrent: &Metainfo) -> io::Result<Option<(Contents, Layout)>> {
    let mut head = [0; HEADER_BYTES];
    let there = file.metadata()?.len();
    if there < HEADER_BYTES as u64 {
        return Ok(None);
    }
    file.read_exact_at(&mut head, 0)?;
    let Some(layout) = layout_of(&head, torrent) else { return Ok(None) };
    let length = record_bytes(torrent, layout);
    if there != length as u64 {
        return Ok(None);
    }
    let mut all = Vec::with_capacity(length);
    file.by_ref().take(length as u64).read_to_end(&mut all)?;
    if all.len() != length {
        return Ok(None);
    }
    let field = |n| {
        let bytes = &all[bits_end(layout, n)..bits_end(layout, n + 1)];
        // A spare bit that is set is damage.
        let bits = Bits::from_bitfield(bytes, layout.pieces()).filter(|bits| bits.as_bytes() == bytes)?;
        Some(if layout == torrent.layout { bits } else { translate(&bits, layout, torrent.layout) })
    };
    let (Some(written), Some(synced)) = (field(0), field(1)) else { return Ok(None) };
    let owned = all[bits_end(layout, 2)..].chunks_exact(OWNED_BYTES).zip(0u32..);
    let owned = owned.filter_map(|(entry, n)| Some((n, read_owned(entry)?))).collect();
    Ok(Some((Contents { written, synced, owned }, layout)))
}

/// Returns the layout of a record with this header. That of a file that hashes name may have pieces
/// of another length: it depends on the tree that was known.
fn layout_of(head: &[u8; HEADER_BYTES], torrent: &Metainfo) -> Option<Layout> {
    let mut expected = header(torrent);
    if torrent.named.is_some() {
        expected[40..44].copy_from_slice(&head[40..44]);
    }
    let piece_bytes = u32::from_le_bytes(*head[40..].first_chunk()?);
    Layout::new(torrent.layout.total_bytes(), piece_bytes).filter(|_| *head == expected)
}

/// Returns the pieces of one layout whose bytes are all in pieces of another one.
fn translate(bits: &Bits, from: Layout, to: Layout) -> Bits {
    let mut translated = Bits::new(to.pieces());
    for piece in (0..to.pieces()).map(PieceIndex) {
        let start = to.start_of(piece);
        let bytes = start..start + u64::from(to.bytes_of(piece));
        translated.set(piece.0, from.pieces_of(bytes).all(|part| bits.get(part.0)));
    }
    translated
}

fn owned_bytes(owned: Option<Owned>) -> [u8; OWNED_BYTES] {
    let mut bytes = [0; OWNED_BYTES];
    if let Some(Owned { name, identity }) = owned {
        bytes[..4].copy_from_slice(&(name + 1).to_le_bytes());
        bytes[8..16].copy_from_slice(&identity.inode.to_le_bytes());
        bytes[16..].copy_from_slice(&identity.born_ns.to_le_bytes());
    }
    bytes
}

fn read_owned(entry: &[u8]) -> Option<Owned> {
    let name = u32::from_le_bytes(*entry.first_chunk()?).checked_sub(1)?;
    let inode = u64::from_le_bytes(*entry.get(8..)?.first_chunk()?);
    let born_ns = u64::from_le_bytes(*entry.get(16..)?.first_chunk()?);
    Some(Owned { name, identity: Identity { inode, born_ns } })
}
