//! The record of which pieces are on disk: one small file beside the torrent's, a bit a piece, changed by one write of
//! one byte after a piece was written or before it is given back. A `kill` at any moment so leaves no bit without its
//! piece; what a power cut may leave is caught by the hash, as every piece that is read is hashed again.
//!
//! Layout, integers little-endian: 0 magic, 8 version (u32), 12 info-hash, 32 total bytes (u64), 40 piece bytes (u32),
//! 44 zeros, 64 the bitfield as BEP 3 has it.

use super::folder::{Access, Folder, storage_error};
use crate::error::{Error, Result};
use crate::torrent::Torrent;
use parking_lot::Mutex;
use playswarm_logic::Bits;
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The folder below the chosen one that holds what playswarm notes for itself.
pub(super) const NOTES: &str = ".playswarm";

const MAGIC: &[u8; 8] = b"PLAYSWRM";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 64;

/// The record, locked against a second playswarm for as long as it is open.
pub(super) struct Record {
    path: PathBuf,
    /// Held across the write of a byte, or two writers of neighbouring pieces could undo each other. Taken on the
    /// blocking pool only. `None` once closed.
    open: Mutex<Option<Open>>,
}

struct Open {
    file: File,
    bits: Bits,
}

/// Why a record could not be opened.
pub(super) enum Refused {
    /// Somebody else has it open; that may pass.
    InUse(Error),
    /// It will not do.
    Failed(Error),
}

impl Record {
    /// Opens or makes the record and gives what it claims. One of another torrent, or damaged, counts as empty.
    pub(super) fn open(notes: &Folder, torrent: &Torrent) -> Result<(Record, Bits), Refused> {
        let name = format!("{}.have", torrent.info_hash);
        let path = notes.full(Path::new(&name));
        let failed = |doing, e| Refused::Failed(storage_error(doing, &path, e));
        let file = notes.file(Path::new(&name), Access::Write).map_err(|e| failed("open", e))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                return Err(Refused::InUse(Error::Storage {
                    doing: "keep this torrent in",
                    path: notes.path().parent().unwrap_or(notes.path()).to_owned(),
                    source: io::Error::new(
                        io::ErrorKind::ResourceBusy,
                        "it is in use by another playswarm; close that one or choose another folder",
                    ),
                }));
            }
            // Some network file systems have no locks; one process alone is then the user's care.
            Err(e) => tracing::debug!(error = %e, "the record cannot be locked here"),
        }
        let pieces = torrent.layout.pieces();
        let bits = match read_bits(&file, torrent) {
            Ok(Some(bits)) => bits,
            Ok(None) => {
                let mut fresh = header(torrent).to_vec();
                fresh.resize(HEADER_BYTES + pieces.div_ceil(8) as usize, 0);
                file.set_len(0).and_then(|()| file.write_all_at(&fresh, 0)).map_err(|e| failed("write", e))?;
                Bits::new(pieces)
            }
            Err(e) => return Err(failed("read", e)),
        };
        Ok((Record { path, open: Mutex::new(Some(Open { file, bits: bits.clone() })) }, bits))
    }

    /// Notes whether a piece is on disk. Nothing happens once closed.
    pub(super) fn set(&self, piece: u32, on: bool) -> Result<()> {
        self.set_all(&[piece], on)
    }

    /// Notes whether these pieces are on disk, in one write from the first byte concerned to the last.
    pub(super) fn set_all(&self, pieces: &[u32], on: bool) -> Result<()> {
        let mut open = self.open.lock();
        let Some(Open { file, bits }) = open.as_mut() else { return Ok(()) };
        let changed: Vec<u32> = pieces.iter().copied().filter(|p| bits.set(*p, on)).collect();
        let (Some(first), Some(last)) = (changed.iter().min(), changed.iter().max()) else { return Ok(()) };
        let bytes = (first / 8) as usize..=(last / 8) as usize;
        let at = (HEADER_BYTES + bytes.start()) as u64;
        file.write_all_at(&bits.as_bytes()[bytes], at).map_err(|e| {
            for piece in changed {
                bits.set(piece, !on);
            }
            storage_error("write", &self.path, e)
        })
    }

    /// Notes all of these in one write and forgets the others.
    pub(super) fn replace(&self, bits: &Bits) -> Result<()> {
        let mut open = self.open.lock();
        let Some(open) = open.as_mut() else { return Ok(()) };
        open.bits = bits.clone();
        open.file.write_all_at(bits.as_bytes(), HEADER_BYTES as u64).map_err(|e| storage_error("write", &self.path, e))
    }

    /// Lets go of the record and of its lock.
    pub(super) fn close(&self) {
        let open = self.open.lock().take();
        if let Some(open) = open {
            // A child process may have inherited the description for a moment: closing alone might not unlock.
            let _ = rustix::fs::flock(&open.file, FlockOperation::Unlock);
        }
    }
}

fn header(torrent: &Torrent) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[12..32].copy_from_slice(&torrent.info_hash.0);
    header[32..40].copy_from_slice(&torrent.layout.total_bytes().to_le_bytes());
    header[40..44].copy_from_slice(&torrent.layout.piece_bytes().to_le_bytes());
    header
}

/// What the record claims, or `None` where it is not this torrent's, of another version, or damaged.
fn read_bits(mut file: &File, torrent: &Torrent) -> io::Result<Option<Bits>> {
    let pieces = torrent.layout.pieces();
    let length = HEADER_BYTES + pieces.div_ceil(8) as usize;
    if file.metadata()?.len() != length as u64 {
        return Ok(None);
    }
    let mut all = Vec::with_capacity(length);
    file.by_ref().take(length as u64).read_to_end(&mut all)?;
    if all.len() != length || all[..HEADER_BYTES] != header(torrent) {
        return Ok(None);
    }
    Ok(Bits::from_bitfield(&all[HEADER_BYTES..], pieces))
}
