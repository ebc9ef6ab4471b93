//! Decides how a file grows to its length: at once where the file system makes holes, otherwise in
//! order.
//!
//! FAT, exFAT and some network file systems write zeros into skipped ranges. A seek to the middle
//! of a film would cost minutes of zeros, during which nothing else is written. On these file
//! systems, files grow only as pieces follow each other. A write far beyond the end fails for now,
//! and its piece stays in memory until a retry succeeds.
//!
//! A length that the file system or a limit of the process refuses fails in the same way. It fails
//! without SIGXFSZ, which would end a process that has no handler for it.

use rustix::fs::SeekFrom;
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;

/// Length in bytes up to which files get their full length at once: zeros of this length are cheap.
const SMALL_BYTES: u64 = 1 << 20;
/// Bytes by which a file is extended to test whether that makes a hole.
const PROBE_BYTES: u64 = 1 << 20;
/// Most bytes that may be skipped in a file that grows in order: about a second of zeros on a slow
/// disk.
const SKIP_BYTES: u64 = 16 << 20;

/// The way in which a file of ours grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Growth {
    /// It has its full length.
    Whole,
    /// It cannot have its full length. Writes beyond its end leave holes.
    Sparse,
    /// A write beyond its end must be preceded by zeros.
    InOrder,
}

impl Growth {
    /// Extends a file to its full length if that is cheap. Returns how the file grows.
    pub(super) fn prepare(file: &File, length: u64) -> io::Result<Growth> {
        Growth::prepare_within(file, length, size_limit())
    }

    fn prepare_within(file: &File, length: u64, limit: u64) -> io::Result<Growth> {
        let here = file.metadata()?.len();
        if here >= length {
            return Ok(Growth::Whole);
        }
        if length > limit {
            return Ok(Growth::Sparse);
        }
        if length > SMALL_BYTES && !makes_holes(file, here)? {
            return Ok(Growth::InOrder);
        }
        match file.set_len(length) {
            Err(e) if e.raw_os_error() == Some(Errno::FBIG.raw_os_error()) => Ok(Growth::Sparse),
            done => done.map(|()| Growth::Whole),
        }
    }

    /// Refuses to write `length` bytes at `at` where that would end the process or take minutes.
    pub(super) fn check(self, file: &File, at: u64, length: u64) -> io::Result<()> {
        self.check_within(file, at, length, size_limit())
    }

    fn check_within(self, file: &File, at: u64, length: u64, limit: u64) -> io::Result<()> {
        if at.saturating_add(length) > limit {
            return Err(Errno::FBIG.into());
        }
        if self != Growth::InOrder {
            return Ok(());
        }
        let here = file.metadata()?.len();
        if at <= here.saturating_add(SKIP_BYTES) {
            return Ok(());
        }
        let skipped = (at - here) >> 20;
        Err(io::Error::other(format!(
            "the file system has no sparse files, so {skipped} MiB of zeros must be written first"
        )))
    }
}

/// Returns whether extending a file leaves a hole.
fn makes_holes(file: &File, here: u64) -> io::Result<bool> {
    let before = file.metadata()?.blocks();
    file.set_len(here + PROBE_BYTES)?;
    let taken = file.metadata()?.blocks().saturating_sub(before) * 512;
    // Some file systems do not count blocks, others do not report holes: either sign is enough.
    let hole = || rustix::fs::seek(file, SeekFrom::Hole(here)).is_ok_and(|at| at < here + PROBE_BYTES);
    let holes = taken < PROBE_BYTES / 2 || hole();
    file.set_len(here)?;
    Ok(holes)
}

/// Returns the length of the longest file that this process may write (`ulimit -f`).
fn size_limit() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Fsize).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn where_holes_are_made_a_file_has_its_length_at_once_and_else_grows_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::create(dir.path().join("f")).unwrap();
        assert_eq!(Growth::prepare(&file, 50 << 20).unwrap(), Growth::Whole);
        assert_eq!(file.metadata().unwrap().len(), 50 << 20);
        assert!(file.metadata().unwrap().blocks() * 512 < 1 << 20);
        let other = File::create(dir.path().join("g")).unwrap();
        assert!(Growth::InOrder.check(&other, 0, 1).is_ok());
        assert!(Growth::InOrder.check(&other, SKIP_BYTES, 1).is_ok());
        let far = Growth::InOrder.check(&other, 40 << 20, 1).unwrap_err();
        assert!(far.to_string().contains("40 MiB of zeros"), "{far}");
        assert!(Growth::Sparse.check(&other, 40 << 20, 1).is_ok());
        other.set_len(30 << 20).unwrap();
        assert!(Growth::InOrder.check(&other, 40 << 20, 1).is_ok());
    }

    #[test]
    fn a_limit_on_the_size_of_files_is_kept_before_the_system_enforces_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::create(dir.path().join("f")).unwrap();
        assert_eq!(Growth::prepare_within(&file, 5 << 20, 4 << 20).unwrap(), Growth::Sparse);
        assert_eq!(file.metadata().unwrap().len(), 0);
        assert!(Growth::Sparse.check_within(&file, (4 << 20) - 10, 10, 4 << 20).is_ok());
        let e = Growth::Whole.check_within(&file, (4 << 20) - 10, 11, 4 << 20).unwrap_err();
        assert_eq!(e.raw_os_error(), Some(Errno::FBIG.raw_os_error()));
    }
}
