//! Opens files below the chosen folder, one path component at a time and never through a symbolic
//! link. So nothing outside of the folder is ever read or written.
//!
//! Compares files by identity, to notice when another program put a file in the place of ours. The
//! files' contents are left to [`super::files`].

use crate::error::{Error, Result};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

/// The purpose for which a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// For reading; the file must exist.
    Read,
    /// For reading and writing; the file must exist.
    Write,
    /// For reading and writing; a missing file is created. For the state folder only.
    State,
}

/// A folder that is held open, so that renaming it changes nothing.
pub(super) struct Folder {
    fd: OwnedFd,
    path: PathBuf,
    /// Whether a file keeps its inode number when the file system is mounted again. FAT and exFAT
    /// invent the numbers.
    stable_inodes: bool,
    /// Whether the user's own links below the folder are followed. This is so only where nothing is
    /// written and the user chose the files.
    follow: bool,
}

/// The folder that was entered last, as consecutive files often share a folder.
#[derive(Default)]
pub(super) struct Walk(Option<(PathBuf, Option<OwnedFd>)>);

/// The identity of a file or folder, to tell it from one that takes its name later. It consists of
/// the inode and the time of birth, since inode numbers are reused. Either is 0 where the file
/// system does not provide it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) inode: u64,
    pub(super) born_ns: u64,
}

impl Identity {
    /// Returns whether both are the same file. Without known values they count as different.
    pub(super) fn is(self, other: Identity) -> bool {
        self == other && self != Identity::default()
    }
}

/// The file system's data about a file or folder.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) identity: Identity,
    pub(super) length: u64,
    /// Number of hard links to it.
    pub(super) links: u64,
    pub(super) regular: bool,
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Folder {
    /// Opens the folder. The folder itself may be a link: the user chose it.
    pub(super) fn open(path: &Path) -> io::Result<Folder> {
        let fd = rustix::fs::openat(CWD, path, FOLDER, Mode::empty())?;
        let stable_inodes = has_stable_inodes(&fd);
        Ok(Folder { fd, path: path.to_owned(), stable_inodes, follow: false })
    }

    /// Opens the folder for reading only. Links below it are followed where the user owns both the
    /// link and its target.
    pub(super) fn open_read_only(path: &Path) -> io::Result<Folder> {
        Ok(Folder { follow: true, ..Folder::open(path)? })
    }

    fn link_flags(&self) -> AtFlags {
        if self.follow { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW }
    }

    fn no_follow(&self) -> OFlags {
        if self.follow { OFlags::empty() } else { OFlags::NOFOLLOW }
    }

    /// Opens the folder, creating it where it is missing.
    pub(super) fn make(path: &Path) -> Result<Folder> {
        std::fs::create_dir_all(path).map_err(|e| storage_error("create the folder", path, e))?;
        Folder::open(path).map_err(|e| storage_error("open the folder", path, e))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the full path of a file, for messages.
    pub(super) fn full(&self, file: &Path) -> PathBuf {
        self.path.join(file)
    }

    /// Opens a folder below this one.
    pub(super) fn below(&self, path: &Path, create: bool) -> io::Result<Folder> {
        let fd = self.enter(path, create)?;
        Ok(Folder { fd, path: self.full(path), stable_inodes: self.stable_inodes, follow: self.follow })
    }

    /// Checks whether this user may create files here.
    pub(super) fn is_writable(&self) -> io::Result<()> {
        use rustix::fs::Access;
        Ok(rustix::fs::accessat(&self.fd, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)?)
    }

    fn enter(&self, path: &Path, create: bool) -> io::Result<OwnedFd> {
        let mut at: Option<OwnedFd> = None;
        for part in path.components() {
            let Component::Normal(name) = part else { return Err(not_plain()) };
            let here = at.as_ref().unwrap_or(&self.fd);
            let mut next = rustix::fs::openat(here, name, FOLDER | self.no_follow(), Mode::empty());
            if create && matches!(next, Err(Errno::NOENT)) {
                match rustix::fs::mkdirat(here, name, Mode::from_raw_mode(0o777)) {
                    // Another writer may have created it in between.
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(e) => return Err(e.into()),
                }
                next = rustix::fs::openat(here, name, FOLDER | OFlags::NOFOLLOW, Mode::empty());
            }
            let next =
                next.map_err(|e| if matches!(e, Errno::NOTDIR | Errno::LOOP) { in_the_way() } else { e.into() })?;
            self.check_link(here, name, &next)?;
            at = Some(next);
        }
        match at {
            Some(fd) => Ok(fd),
            None => self.fd.try_clone(),
        }
    }

    /// Refuses a file that was opened through a link unless the user owns both. Otherwise others
    /// could make us share files that they may not read.
    fn check_link(&self, parent: &OwnedFd, name: &std::ffi::OsStr, opened: &OwnedFd) -> io::Result<()> {
        if !self.follow {
            return Ok(());
        }
        let named = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let user = rustix::process::geteuid().as_raw();
        let is_link = FileType::from_raw_mode(named.st_mode) == FileType::Symlink;
        if is_link && (named.st_uid != user || rustix::fs::fstat(opened)?.st_uid != user) {
            let why = "it is a link, and the link or its target belongs to another user";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        Ok(())
    }

    /// Opens a regular file below this folder.
    pub(super) fn file(&self, path: &Path, access: Access) -> io::Result<File> {
        let (parent, name) = split(path)?;
        let parent = self.enter(parent, false)?;
        // Without NONBLOCK, opening a named pipe in the place of a file would block for ever.
        let plain = self.no_follow() | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let flags = match access {
            Access::Read => OFlags::RDONLY,
            Access::Write => OFlags::RDWR,
            Access::State => OFlags::RDWR | OFlags::CREATE,
        };
        let fd = rustix::fs::openat(&parent, name, plain | flags, Mode::from_raw_mode(0o666));
        let fd = fd.map_err(|e| if matches!(e, Errno::LOOP) { in_the_way() } else { e.into() })?;
        self.check_link(&parent, name, &fd)?;
        let file = File::from(fd);
        if !file.metadata()?.is_file() {
            return Err(in_the_way());
        }
        Ok(file)
    }

    /// Creates a new file for reading and writing, with the folders above it.
    ///
    /// Fails with `AlreadyExists` where anything has that name, as the file system compares names.
    pub(super) fn create_file(&self, path: &Path) -> io::Result<File> {
        let (parent, name) = split(path)?;
        let parent = self.enter(parent, true)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&parent, name, flags, Mode::from_raw_mode(0o666))?.into())
    }

    /// Creates a new folder.
    pub(super) fn create_folder(&self, name: &Path) -> io::Result<Facts> {
        rustix::fs::mkdirat(&self.fd, name, Mode::from_raw_mode(0o777))?;
        self.facts(name)
    }

    /// Opens a file for reading and writing if it is empty and has no other name.
    pub(super) fn empty_file(&self, path: &Path) -> io::Result<File> {
        let file = self.file(path, Access::Write)?;
        let facts = self.facts_of(&file)?;
        if facts.length == 0 && facts.links == 1 { Ok(file) } else { Err(in_the_way()) }
    }

    /// Removes a folder directly below this one if it is empty.
    pub(super) fn remove_empty(&self, name: &Path) {
        // Anything else stays, and another name is used.
        let _ = rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR);
    }

    /// Returns the file system's data about this path. Links are not followed.
    pub(super) fn facts(&self, path: &Path) -> io::Result<Facts> {
        let (parent, name) = split(path)?;
        if parent.as_os_str().is_empty() {
            return self.facts_at(&self.fd, name);
        }
        self.facts_at(self.enter(parent, false)?, name)
    }

    /// Returns the same for an open file.
    pub(super) fn facts_of(&self, file: impl AsFd) -> io::Result<Facts> {
        facts(file.as_fd(), None, self)
    }

    /// Returns the same for this folder.
    pub(super) fn own_facts(&self) -> io::Result<Facts> {
        self.facts_of(&self.fd)
    }

    fn facts_at(&self, parent: impl AsFd, name: &std::ffi::OsStr) -> io::Result<Facts> {
        facts(parent.as_fd(), Some(name), self)
    }

    /// Returns the data about a regular file, if there is one. Links are not followed.
    pub(super) fn walk(&self, path: &Path, walk: &mut Walk) -> Option<Facts> {
        let (parent, name) = split(path).ok()?;
        if walk.0.as_ref().is_none_or(|(last, _)| last != parent) {
            walk.0 = Some((parent.to_owned(), self.enter(parent, false).ok()));
        }
        let fd = walk.0.as_ref()?.1.as_ref()?;
        self.facts_at(fd, name).ok().filter(|f| f.regular)
    }

    /// Renames `from` to `to`, replacing it. Both are plain names in this folder.
    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.fd, from, &self.fd, to)?)
    }

    /// Waits until the names in a folder below this one are on the disk.
    pub(super) fn sync_names(&self, path: &Path) -> io::Result<()> {
        match rustix::fs::fsync(self.enter(path, false)?) {
            // Some file systems do not support this call for folders.
            Ok(()) | Err(Errno::INVAL | Errno::BADF) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Waits until all writes to the whole file system are on the disk.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) fn sync_all(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(&self.fd)?)
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn facts(at: impl AsFd, name: Option<&std::ffi::OsStr>, of: &Folder) -> io::Result<Facts> {
    use rustix::fs::StatxFlags;
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
    let (name, flags) = match name {
        Some(name) => (name, of.link_flags()),
        None => (std::ffi::OsStr::new(""), AtFlags::EMPTY_PATH),
    };
    let stat = rustix::fs::statx(at, name, flags, wanted)?;
    let known = StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::BTIME);
    let born = &stat.stx_btime;
    let born_ns = u64::try_from(born.tv_sec).unwrap_or(0).wrapping_mul(1_000_000_000) + u64::from(born.tv_nsec);
    Ok(Facts {
        identity: Identity {
            inode: if of.stable_inodes { stat.stx_ino } else { 0 },
            born_ns: if known { born_ns } else { 0 },
        },
        length: stat.stx_size,
        links: u64::from(stat.stx_nlink),
        regular: FileType::from_raw_mode(u32::from(stat.stx_mode)) == FileType::RegularFile,
    })
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn facts(at: impl AsFd, name: Option<&std::ffi::OsStr>, of: &Folder) -> io::Result<Facts> {
    let stat = match name {
        Some(name) => rustix::fs::statat(at, name, of.link_flags())?,
        None => rustix::fs::fstat(at)?,
    };
    #[allow(clippy::unnecessary_cast)] // the fields' types differ from system to system
    Ok(Facts {
        identity: Identity { inode: if of.stable_inodes { stat.st_ino as u64 } else { 0 }, born_ns: 0 },
        length: u64::try_from(stat.st_size).unwrap_or(0),
        links: stat.st_nlink as u64,
        regular: FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile,
    })
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn has_stable_inodes(fd: &OwnedFd) -> bool {
    /// File system types of FAT and exFAT (statfs(2)).
    const MADE_UP: [u64; 2] = [0x4d44, 0x2011_bab0];
    #[allow(clippy::cast_sign_loss, clippy::unnecessary_cast)] // its type differs from machine to machine
    rustix::fs::fstatfs(fd).map_or(true, |fs| !MADE_UP.contains(&(fs.f_type as u64 & 0xffff_ffff)))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn has_stable_inodes(_: &OwnedFd) -> bool {
    true
}

fn split(path: &Path) -> io::Result<(&Path, &std::ffi::OsStr)> {
    let name = path.file_name().ok_or_else(not_plain)?;
    Ok((path.parent().unwrap_or(Path::new("")), name))
}

fn not_plain() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the path leaves the folder")
}

pub(super) fn in_the_way() -> io::Error {
    io::Error::new(
        io::ErrorKind::NotADirectory,
        "its path has a symbolic link or another entry that is not a plain file or folder; remove it",
    )
}

/// Converts an error of the file system for the user: a full disk has its own error.
pub(super) fn storage_error(doing: &'static str, path: &Path, source: io::Error) -> Error {
    if is_full(&source) {
        return Error::DiskFull { path: path.to_owned() };
    }
    Error::Storage { doing, path: path.to_owned(), source }
}

/// Returns whether there is no room on the disk, or none within the user's quota.
pub(super) fn is_full(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
