//! Pieces in the torrent's files: reads, writes and punches ranges of the torrent, whichever files they lie in. Pad
//! files (BEP 47) are zeros that are never on disk. Few files are held open, however many the torrent has.

use super::folder::{Access, Folder, Walk, storage_error};
use crate::error::Result;
use crate::torrent::{FileEntry, Torrent};
use parking_lot::Mutex;
use playswarm_logic::{Bits, PieceIndex};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;

/// Files held open at once. A piece seldom touches more than a few, and 64 leave a process's 1024 descriptors to peers.
pub(super) const OPEN_FILES: usize = 64;

/// Bytes of one write. The kernel takes page-cache memory in units up to the size of a write, and large units are often
/// not there: measured at 1 GiB, writes of 1 MiB cost twice the time of writes of this size.
const WRITE_BYTES: usize = 64 << 10;
/// A hole's edges are widened to this, as file systems only free whole blocks; 4 KiB is what nearly all use.
const HOLE_ALIGN: u64 = 4096;

/// The torrent's files below the chosen folder.
pub(super) struct Files {
    folder: Arc<Folder>,
    torrent: Arc<Torrent>,
    /// The most recently used first.
    open: Mutex<Vec<(usize, Arc<Handle>)>>,
}

struct Handle {
    file: File,
    writable: bool,
}

/// The part of a range that lies in one file.
struct Span<'a> {
    index: usize,
    file: &'a FileEntry,
    /// Its first byte within the file.
    at: u64,
    /// Where it stands within the range.
    range: Range<usize>,
}

impl Files {
    pub(super) fn new(folder: Arc<Folder>, torrent: Arc<Torrent>) -> Files {
        Files { folder, torrent, open: Mutex::new(Vec::with_capacity(OPEN_FILES)) }
    }

    /// The parts of `length` bytes from `start`; files without a byte are with the bytes that they stand before, or with the last.
    fn spans(&self, start: u64, length: u64) -> impl Iterator<Item = Span<'_>> {
        let files = &self.torrent.files;
        let end = start + length;
        let last = end >= self.torrent.layout.total_bytes();
        let first = files.partition_point(|f| f.offset + f.length <= start && f.offset < start);
        files[first..]
            .iter()
            .enumerate()
            .take_while(move |(_, f)| f.offset < end || (last && f.length == 0))
            .filter(move |(_, f)| f.length == 0 || f.offset + f.length > start)
            .map(move |(n, file)| {
                let from = file.offset.max(start);
                let to = (file.offset + file.length).min(end).max(from);
                // A range is at most a piece long, so it fits.
                let range = (from - start) as usize..(to - start) as usize;
                Span { index: first + n, file, at: from - file.offset, range }
            })
    }

    /// Writes `data` at `start` of the torrent, making files as needed: sparse, with their full length, folders and all.
    pub(super) fn write(&self, start: u64, data: &[u8]) -> Result<()> {
        for span in self.spans(start, data.len() as u64).filter(|s| !s.file.padding) {
            self.write_span(&span, &data[span.range.clone()])
                .map_err(|e| storage_error("write", &self.folder.full(&span.file.path), e))?;
        }
        Ok(())
    }

    fn write_span(&self, span: &Span<'_>, data: &[u8]) -> io::Result<()> {
        let mut handle = self.handle(span.index, Access::Write)?;
        // Somebody removed or replaced the file: what is written to the old one would be lost.
        if handle.file.metadata()?.nlink() == 0 {
            self.open.lock().retain(|(index, _)| *index != span.index);
            handle = self.handle(span.index, Access::Write)?;
        }
        for (n, part) in data.chunks(WRITE_BYTES).enumerate() {
            handle.file.write_all_at(part, span.at + (n * WRITE_BYTES) as u64)?;
        }
        Ok(())
    }

    /// Fills `into` from `start` of the torrent.
    pub(super) fn read(&self, start: u64, into: &mut [u8]) -> Result<()> {
        for span in self.spans(start, into.len() as u64).filter(|s| s.file.length > 0) {
            let into = &mut into[span.range.clone()];
            if span.file.padding {
                into.fill(0);
                continue;
            }
            self.handle(span.index, Access::Read)
                .and_then(|h| h.file.read_exact_at(into, span.at))
                .map_err(|e| storage_error("read", &self.folder.full(&span.file.path), e))?;
        }
        Ok(())
    }

    /// Gives back the disk space of these pieces, which follow each other; `free` says whether a neighbour's bytes may go too.
    pub(super) fn punch(&self, pieces: Range<u32>, free: impl Fn(u32) -> bool) -> Result<()> {
        let layout = &self.torrent.layout;
        let start = layout.start_of(PieceIndex(pieces.start));
        let end = layout.start_of(PieceIndex(pieces.end)).min(layout.total_bytes());
        // A block that straddles two pieces is freed with the second of them to go.
        let wide = u64::from(layout.piece_bytes()) >= HOLE_ALIGN;
        let widen_front = wide && pieces.start > 0 && free(pieces.start - 1);
        let widen_back = wide && pieces.end < layout.pieces() && free(pieces.end);
        for (file, Range { start: mut from, end: mut to }) in self.file_ranges(start, end) {
            let file_entry = &self.torrent.files[file];
            if widen_front && file_entry.offset + from == start {
                from = from / HOLE_ALIGN * HOLE_ALIGN;
            }
            if (widen_back && file_entry.offset + to == end) || to == file_entry.length {
                to = to.next_multiple_of(HOLE_ALIGN);
            }
            match self.handle(file, Access::Read).and_then(|h| punch_hole(&h.file, from, to - from)) {
                // Whoever removed the file freed its room.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                punched => {
                    punched.map_err(|e| storage_error("give back room in", &self.folder.full(&file_entry.path), e))?;
                }
            }
        }
        Ok(())
    }

    /// The files' own ranges of the torrent's bytes `start..end`, without pad files and empty ones.
    fn file_ranges(&self, start: u64, end: u64) -> impl Iterator<Item = (usize, Range<u64>)> {
        let files = &self.torrent.files;
        let first = files.partition_point(|f| f.offset + f.length <= start);
        let touched = files.iter().enumerate().skip(first).take_while(move |(_, f)| f.offset < end);
        touched
            .filter(|(_, f)| !f.padding && f.length > 0)
            .map(move |(n, f)| (n, f.offset.max(start) - f.offset..(f.offset + f.length).min(end) - f.offset))
    }

    /// Takes out of `claims` each piece that cannot be here, as its files are missing or too short.
    pub(super) fn drop_impossible(&self, claims: &mut Bits) {
        let layout = self.torrent.layout;
        let piece_bytes = u64::from(layout.piece_bytes());
        let mut walk = Walk::default();
        for file in self.torrent.files.iter().filter(|f| f.length > 0 && !f.padding) {
            let pieces = layout.piece_at(file.offset).0..=layout.piece_at(file.offset + file.length - 1).0;
            if !pieces.clone().any(|p| claims.get(p)) {
                continue;
            }
            let here = self.folder.length_of(&file.path, &mut walk).unwrap_or(0);
            for piece in pieces {
                let end = (u64::from(piece) * piece_bytes + piece_bytes).min(file.offset + file.length);
                if end - file.offset > here {
                    claims.set(piece, false);
                }
            }
        }
    }

    /// How many files are held open.
    #[cfg(test)]
    pub(super) fn open_count(&self) -> usize {
        self.open.lock().len()
    }

    /// Lets go of every open file.
    pub(super) fn close(&self) {
        let open = std::mem::take(&mut *self.open.lock());
        drop(open);
    }

    fn handle(&self, index: usize, access: Access) -> io::Result<Arc<Handle>> {
        let known = {
            let mut open = self.open.lock();
            let found = open.iter().position(|(i, h)| *i == index && (h.writable || access == Access::Read));
            found.map(|at| {
                open[..=at].rotate_right(1);
                open[0].1.clone()
            })
        };
        if let Some(handle) = known {
            return Ok(handle);
        }
        let entry = &self.torrent.files[index];
        let file = self.folder.file(&entry.path, access)?;
        if access == Access::Write && file.metadata()?.len() != entry.length {
            file.set_len(entry.length)?;
        }
        let handle = Arc::new(Handle { file, writable: access == Access::Write });
        let mut dropped = Vec::new();
        {
            let mut open = self.open.lock();
            // Also takes out a handle that could only be read.
            dropped.extend(open.extract_if(.., |(i, _)| *i == index));
            while open.len() >= OPEN_FILES {
                dropped.extend(open.pop());
            }
            open.insert(0, (index, handle.clone()));
        }
        drop(dropped);
        Ok(handle)
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn punch_hole(file: &File, at: u64, length: u64) -> io::Result<()> {
    use rustix::fs::FallocateFlags;
    Ok(rustix::fs::fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, at, length)?)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn punch_hole(_: &File, _: u64, _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
