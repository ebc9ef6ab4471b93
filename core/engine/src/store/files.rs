//! Stores pieces in the torrent's files: reads, writes and punches ranges of the torrent across
//! file boundaries.
//!
//! Each file may exist twice: one that we created ([`super::ours`]), and one that another program
//! created under the torrent's own names. The latter is only ever read. Pad files (BEP 47) are
//! created only where their bytes are not zero.

use super::folder::{Access, Folder, Walk, storage_error};
use super::growth::Growth;
use super::names::begins_harmless;
use super::open_files::{Handle, OpenFiles};
use super::ours::{News, Ours, Standing};
use super::record::{Contents, Record};
use crate::error::Result;
use crate::metainfo::{FileEntry, Metainfo};
use parking_lot::Mutex;
use playswarm_logic::{Bits, PieceIndex};
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::sync::Arc;

/// Size of one write in bytes. The kernel allocates page-cache memory in units up to the size of a
/// write, and large units are often unavailable. Measured at 1 GiB, writes of 1 MiB took twice the
/// time of writes of this size.
const WRITE_BYTES: usize = 64 << 10;
/// Alignment in bytes to which a hole's edges are widened, as file systems free whole blocks only.
/// Nearly all use 4 KiB.
const HOLE_ALIGN: u64 = 4096;
/// Most files that are synced one by one. Beyond it, syncing the whole file system costs no more.
const SYNCED_SINGLY: usize = 64;

/// The owner of the files that contain a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Source {
    /// Files that we created.
    Ours,
    /// Files that other programs created under the torrent's own names.
    Theirs,
}

/// The torrent's files below the chosen folder.
pub(super) struct Files {
    folder: Option<Arc<Folder>>,
    torrent: Arc<Metainfo>,
    ours: Ours,
    /// Paths of other programs' files that differ from the torrent's own: files that were once ours
    /// alone.
    theirs: Mutex<HashMap<usize, PathBuf>>,
    /// Whether nothing is ever written.
    read_only: bool,
    open: OpenFiles,
    /// Files written since the last sync, and folders in which names were created.
    unsynced: Mutex<Unsynced>,
}

#[derive(Default)]
struct Unsynced {
    files: BTreeSet<usize>,
    folders: BTreeSet<PathBuf>,
}

/// The part of a range that lies in one file.
pub(super) struct Span<'a> {
    pub(super) index: usize,
    file: &'a FileEntry,
    /// Offset of the part within the file.
    at: u64,
    /// Position of the part within the range.
    pub(super) range: Range<usize>,
}

impl Files {
    pub(super) fn new(
        folder: Option<Arc<Folder>>,
        torrent: Arc<Metainfo>,
        record: Arc<Record>,
        contents: Contents,
        read_only: bool,
    ) -> Files {
        let ours = Ours::new(folder.clone(), torrent.clone(), record, contents.owned);
        Files {
            folder,
            torrent,
            ours,
            theirs: Mutex::default(),
            read_only,
            open: OpenFiles::new(),
            unsynced: Mutex::default(),
        }
    }

    /// Returns the parts of `length` bytes from `start` by file. A file without bytes belongs to
    /// the bytes that follow it, or to the last ones.
    pub(super) fn spans(&self, start: u64, length: u64) -> impl Iterator<Item = Span<'_>> {
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

    /// Writes `data` at `start` of the torrent into our files.
    ///
    /// Missing files and folders are created. Files are sparse and have their full length where
    /// that is cheap. Changes found in our files are added to `news`.
    pub(super) fn write(&self, start: u64, data: &[u8], news: &mut Vec<News>) -> Result<()> {
        for span in self.spans(start, data.len() as u64) {
            let data = &data[span.range.clone()];
            // A missing pad file reads as zeros.
            if span.file.padding && (data.iter().all(|byte| *byte == 0) && !self.ours.has(span.index)) {
                continue;
            }
            let (handle, growth) = self.writable(span.index, news)?;
            let failed = |e| storage_error("write", &self.ours.path(span.index), e);
            growth.check(&handle.file, span.at, data.len() as u64).map_err(failed)?;
            for (n, part) in data.chunks(WRITE_BYTES).enumerate() {
                handle.file.write_all_at(part, span.at + (n * WRITE_BYTES) as u64).map_err(failed)?;
            }
            self.unsynced.lock().files.insert(span.index);
        }
        Ok(())
    }

    /// Returns a file of ours for writing: the one that we created if it still exists, or a new
    /// one.
    fn writable(&self, index: usize, news: &mut Vec<News>) -> Result<(Arc<Handle>, Growth)> {
        let failed = |e| storage_error("write", &self.ours.path(index), e);
        let length = self.torrent.files[index].length;
        match self.ours.standing(index).map_err(failed)? {
            Standing::Here(facts) => {
                let handle = self.handle(index, Source::Ours, Access::Write).map_err(failed)?;
                let growth = handle.grow(facts.length, length).map_err(failed)?;
                return Ok((handle, growth));
            }
            Standing::Changed(changed) => {
                if let News::Shared(_) = &changed {
                    self.theirs.lock().insert(index, self.ours.relative(index));
                }
                self.ours.give_up(&changed)?;
                let folder = matches!(changed, News::FolderGone(_));
                self.open.close_where(|i| folder || i == index);
                news.push(changed);
            }
            Standing::None => {}
        }
        let file = self.ours.create(index, news)?;
        self.unsynced.lock().folders.extend(self.ours.folders_above(index));
        let handle = self.open.add(index, Source::Ours, file, true);
        let growth = handle.grow(0, length).map_err(failed)?;
        Ok((handle, growth))
    }

    /// Fills `into` from `start` of the torrent.
    ///
    /// # Errors
    /// The index of the file that could not be read, and the reason.
    pub(super) fn read(&self, start: u64, into: &mut [u8], source: Source) -> Result<(), (usize, crate::error::Error)> {
        for span in self.spans(start, into.len() as u64).filter(|s| s.file.length > 0) {
            let into = &mut into[span.range.clone()];
            if span.file.padding && !(source == Source::Ours && self.ours.has(span.index)) {
                into.fill(0);
                continue;
            }
            self.read_span(&span, into, source).map_err(|e| {
                let path = self.path(span.index, source);
                (span.index, storage_error("read", &path, e))
            })?;
        }
        Ok(())
    }

    fn read_span(&self, span: &Span<'_>, into: &mut [u8], source: Source) -> io::Result<()> {
        let handle = self.handle(span.index, source, Access::Read)?;
        handle.file.read_exact_at(into, span.at)?;
        // Bytes read from a removed file are correct, but closing it is what frees its disk space.
        if handle.file.metadata()?.nlink() == 0 {
            self.open.close_where(|index| index == span.index);
        }
        Ok(())
    }

    /// Returns a file's handle, opening the file if necessary. Others' files are only read.
    fn handle(&self, index: usize, source: Source, access: Access) -> io::Result<Arc<Handle>> {
        if let Some(handle) = self.open.get(index, source, access) {
            return Ok(handle);
        }
        let file = match (source, &self.folder) {
            (Source::Ours, _) => self.ours.open(index, access)?,
            (Source::Theirs, Some(folder)) => {
                let path = self.their_path(index).ok_or(io::ErrorKind::NotFound)?;
                folder.file(&path, Access::Read)?
            }
            (Source::Theirs, None) => return Err(io::ErrorKind::NotFound.into()),
        };
        Ok(self.open.add(index, source, file, access == Access::Write))
    }

    /// Returns the path of another program's file, below the chosen folder.
    ///
    /// Names such as `.ssh` are excluded: peers must not learn whether these files match the
    /// torrent. In a read-only folder the user chose the files, so no name is excluded.
    fn their_path(&self, index: usize) -> Option<PathBuf> {
        if let Some(path) = self.theirs.lock().get(&index) {
            return Some(path.clone());
        }
        let path = &self.torrent.files[index].path;
        (self.read_only || begins_harmless(path)).then(|| path.clone())
    }

    /// Returns the full path of a file, for messages.
    pub(super) fn path(&self, index: usize, source: Source) -> PathBuf {
        match (source, &self.folder, self.their_path(index)) {
            (Source::Theirs, Some(folder), Some(path)) => folder.full(&path),
            _ => self.ours.path(index),
        }
    }

    /// Frees the disk space of these consecutive pieces in our files. `free` returns whether a
    /// neighbour's bytes may go too.
    pub(super) fn punch(&self, pieces: Range<u32>, free: impl Fn(u32) -> bool) -> Result<()> {
        let layout = &self.torrent.layout;
        let start = layout.start_of(PieceIndex(pieces.start));
        let end = layout.start_of(PieceIndex(pieces.end)).min(layout.total_bytes());
        // A file system block that straddles two pieces is freed with the second of them.
        let wide = u64::from(layout.piece_bytes()) >= HOLE_ALIGN;
        let widen_front = wide && pieces.start > 0 && free(pieces.start - 1);
        let widen_back = wide && pieces.end < layout.pieces() && free(pieces.end);
        for (file, Range { start: mut from, end: mut to }) in self.file_ranges(start, end) {
            let file_entry = &self.torrent.files[file];
            let failed = |e| storage_error("free space in", &self.ours.path(file), e);
            // In a file that is not ours alone the bytes stay.
            let Standing::Here(_) = self.ours.standing(file).map_err(failed)? else { continue };
            if widen_front && file_entry.offset + from == start {
                from = from / HOLE_ALIGN * HOLE_ALIGN;
            }
            if (widen_back && file_entry.offset + to == end) || to == file_entry.length {
                to = to.next_multiple_of(HOLE_ALIGN);
            }
            let handle = self.handle(file, Source::Ours, Access::Write).map_err(failed)?;
            punch_hole(&handle.file, from, to - from).map_err(failed)?;
        }
        Ok(())
    }

    /// Returns the ranges within files of the torrent's bytes `start..end`, without pad files and
    /// empty files.
    fn file_ranges(&self, start: u64, end: u64) -> impl Iterator<Item = (usize, Range<u64>)> {
        let files = &self.torrent.files;
        let first = files.partition_point(|f| f.offset + f.length <= start);
        let touched = files.iter().enumerate().skip(first).take_while(move |(_, f)| f.offset < end);
        touched
            .filter(|(_, f)| !f.padding && f.length > 0)
            .map(move |(n, f)| (n, f.offset.max(start) - f.offset..(f.offset + f.length).min(end) - f.offset))
    }

    /// Returns the pieces that touch this file.
    pub(super) fn pieces_of(&self, index: usize) -> Range<u32> {
        let (layout, file) = (self.torrent.layout, &self.torrent.files[index]);
        if file.length == 0 {
            return 0..0;
        }
        layout.piece_at(file.offset).0..layout.piece_at(file.offset + file.length - 1).0 + 1
    }

    /// Calls `missing` with each piece of this file that extends beyond its first `length` bytes.
    fn beyond(&self, index: usize, length: u64, missing: impl FnMut(u32)) {
        let (layout, file) = (self.torrent.layout, &self.torrent.files[index]);
        let pieces = self.pieces_of(index);
        let first = if length >= file.length { pieces.end } else { layout.piece_at(file.offset + length).0 };
        (first.max(pieces.start)..pieces.end).for_each(missing);
    }

    /// Removes from `claims` each piece that cannot be in our files, as they are missing or too
    /// short.
    pub(super) fn drop_impossible(&self, claims: &mut Bits) {
        let files = &self.torrent.files;
        let claimed = |index: &usize| self.pieces_of(*index).any(|piece| claims.get(piece));
        let needed = |index: &usize| files[*index].length > 0 && !files[*index].padding;
        let wanted: Vec<usize> = (0..files.len()).filter(needed).filter(claimed).collect();
        for (index, length) in self.ours.lengths(wanted.into_iter()) {
            self.beyond(index, length, |piece| {
                claims.set(piece, false);
            });
        }
    }

    /// Returns the pieces that other programs' files may contain, judged by file lengths alone.
    pub(super) fn their_claims(&self) -> Bits {
        let (files, pieces) = (&self.torrent.files, self.torrent.layout.pieces());
        let Some(folder) = &self.folder else { return Bits::new(pieces) };
        let mut walk = Walk::default();
        let mut claims = None::<Bits>;
        let mut missing: Vec<(usize, u64)> = Vec::new();
        for index in (0..files.len()).filter(|index| files[*index].length > 0 && !files[*index].padding) {
            // What lies where our file was is another program's. So are all files of a drive whose
            // driver numbers them anew with each mount.
            if let Some(identity) = self.ours.identity(index) {
                let path = self.ours.relative(index);
                if folder.walk(&path, &mut walk).is_some_and(|facts| !identity.is(facts.identity)) {
                    self.theirs.lock().insert(index, path);
                }
            }
            let length = self.their_path(index).and_then(|path| folder.walk(&path, &mut walk)).map_or(0, |facts| {
                let ours = self.ours.identity(index).is_some_and(|identity| identity.is(facts.identity));
                if ours { 0 } else { facts.length }
            });
            if length > 0 {
                claims.get_or_insert_with(|| Bits::full(pieces));
            }
            if length < files[index].length {
                missing.push((index, length));
            }
        }
        let Some(mut claims) = claims else { return Bits::new(pieces) };
        for (index, length) in missing {
            self.beyond(index, length, |piece| {
                claims.set(piece, false);
            });
        }
        claims
    }

    /// Returns the pieces that this file cannot contain at the moment.
    pub(super) fn lacks(&self, index: usize, source: Source) -> Vec<u32> {
        let length = match (source, &self.folder) {
            (Source::Ours, _) => self.ours.lengths([index].into_iter()).next().map_or(0, |(_, length)| length),
            (Source::Theirs, Some(folder)) => self
                .their_path(index)
                .and_then(|path| folder.facts(&path).ok())
                .filter(|facts| facts.regular)
                .map_or(0, |facts| facts.length),
            (Source::Theirs, None) => 0,
        };
        // The path may lead to another file by now.
        self.open.close_where(|i| i == index);
        let mut lacking = Vec::new();
        self.beyond(index, length, |piece| lacking.push(piece));
        lacking
    }

    /// Marks these bytes of our files as unsynced, whichever process wrote them.
    pub(super) fn needs_sync(&self, start: u64, length: u64) {
        let touched: Vec<usize> = self.spans(start, length).map(|s| s.index).filter(|i| self.ours.has(*i)).collect();
        self.unsynced.lock().files.extend(touched);
    }

    /// Waits until all written bytes and names of files are on the disk.
    pub(super) fn sync(&self) -> Result<()> {
        let Unsynced { files, folders } = std::mem::take(&mut *self.unsynced.lock());
        let result = self.sync_these(&files, &folders);
        if result.is_err() {
            let mut unsynced = self.unsynced.lock();
            unsynced.files.extend(files);
            unsynced.folders.extend(folders);
        }
        result
    }

    fn sync_these(&self, files: &BTreeSet<usize>, folders: &BTreeSet<PathBuf>) -> Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if files.len() + folders.len() > SYNCED_SINGLY {
            return folder.sync_all().map_err(|e| storage_error("write", folder.path(), e));
        }
        for &index in files {
            let handle = self.handle(index, Source::Ours, Access::Read);
            match handle.and_then(|handle| handle.file.sync_data()) {
                Ok(()) => {}
                // Removed or replaced in the meantime: its bytes are lost anyway, and the next read
                // notices.
                Err(e) if super::ours::is_gone(&e) => {}
                Err(e) => return Err(storage_error("write", &self.ours.path(index), e)),
            }
        }
        for path in folders {
            match folder.sync_names(path) {
                Err(e) if !super::ours::is_gone(&e) => return Err(storage_error("write", &folder.full(path), e)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Returns the news, once, that the torrent's folder is no longer where we created it.
    pub(super) fn folder_gone(&self) -> Option<News> {
        let gone = self.ours.folder_gone()?;
        if !self.read_only
            && let Err(e) = self.ours.give_up(&gone)
        {
            tracing::warn!(error = %e, "the record cannot be written");
        }
        self.open.close_where(|_| true);
        Some(gone)
    }

    /// Returns whether any file or folder of ours exists.
    pub(super) fn has_ours(&self) -> bool {
        self.ours.has_any()
    }

    /// Checks whether files may be created in the chosen folder.
    pub(super) fn check_writable(&self) -> Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        folder.is_writable().map_err(|e| storage_error("write in the folder", folder.path(), e))
    }

    /// Returns the number of open files.
    /// Uses this handle for one of our files.
    #[cfg(test)]
    pub(super) fn replace_handle(&self, index: usize, file: File) {
        self.open.add(index, Source::Ours, file, true);
    }

    #[cfg(test)]
    pub(super) fn open_count(&self) -> usize {
        self.open.count()
    }

    /// Closes every open file.
    pub(super) fn close(&self) {
        self.open.close_where(|_| true);
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
