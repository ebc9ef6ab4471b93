//! Opens what lies below the chosen folder, one path component at a time and never through a symbolic link, so that
//! nothing outside of it is ever read or written. Tells files apart by their identity, so that a file that another program
//! put in the place of ours is noticed. What is in the files is left to [`super::files`].

use crate::error::{Error, Result};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

/// What an opened file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// To be read; it must be there.
    Read,
    /// To be read and written; it must be there.
    Write,
    /// To be read and written; made where it is missing. For our notes alone.
    Notes,
}

/// A folder that is held open, so that renaming it changes nothing.
pub(super) struct Folder {
    fd: OwnedFd,
    path: PathBuf,
    /// Whether a file keeps its inode number after the file system was mounted anew. FAT and exFAT make the numbers up.
    stable_inodes: bool,
    /// Whether the user's own links below it are followed: only where nothing is written, and the user chose the files.
    follow: bool,
}

/// The folder that was entered last, as files of one folder follow each other.
#[derive(Default)]
pub(super) struct Walk(Option<(PathBuf, Option<OwnedFd>)>);

/// What tells a file or folder from another that takes its name later: its inode and its time of birth, since inode
/// numbers are used again. Either is 0 where the file system does not have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) inode: u64,
    pub(super) born_ns: u64,
}

impl Identity {
    /// Whether two identities are those of the same file. Where nothing is known, it counts as another's.
    pub(super) fn is(self, other: Identity) -> bool {
        self == other && self != Identity::default()
    }
}

/// What the file system says of a file or folder.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) identity: Identity,
    pub(super) length: u64,
    /// Names that lead to it.
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

    /// The same for reading alone: links below it are followed where the user owns both the link and its target.
    pub(super) fn open_read_only(path: &Path) -> io::Result<Folder> {
        Ok(Folder { follow: true, ..Folder::open(path)? })
    }

    fn link_flags(&self) -> AtFlags {
        if self.follow { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW }
    }

    fn no_follow(&self) -> OFlags {
        if self.follow { OFlags::empty() } else { OFlags::NOFOLLOW }
    }

    /// Makes the folder where it is missing and opens it.
    pub(super) fn make(path: &Path) -> Result<Folder> {
        std::fs::create_dir_all(path).map_err(|e| storage_error("create the folder", path, e))?;
        Folder::open(path).map_err(|e| storage_error("open the folder", path, e))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The full path of a file, for messages.
    pub(super) fn full(&self, file: &Path) -> PathBuf {
        self.path.join(file)
    }

    /// A folder below this one.
    pub(super) fn below(&self, path: &Path, create: bool) -> io::Result<Folder> {
        let fd = self.enter(path, create)?;
        Ok(Folder { fd, path: self.full(path), stable_inodes: self.stable_inodes, follow: self.follow })
    }

    /// Whether this user may make files here.
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
                    // Another writer may have made it in between.
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

    /// Refuses what was opened through a link unless the user owns both: others could make us share what they may not read.
    fn check_link(&self, parent: &OwnedFd, name: &std::ffi::OsStr, opened: &OwnedFd) -> io::Result<()> {
        if !self.follow {
            return Ok(());
        }
        let named = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let user = rustix::process::geteuid().as_raw();
        let is_link = FileType::from_raw_mode(named.st_mode) == FileType::Symlink;
        if is_link && (named.st_uid != user || rustix::fs::fstat(opened)?.st_uid != user) {
            let why = "it is a link, and it or what it leads to belongs to another user";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        Ok(())
    }

    /// Opens a regular file below this folder.
    pub(super) fn file(&self, path: &Path, access: Access) -> io::Result<File> {
        let (parent, name) = split(path)?;
        let parent = self.enter(parent, false)?;
        // Without NONBLOCK a named pipe in the place of a file would hold us up for ever.
        let plain = self.no_follow() | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let flags = match access {
            Access::Read => OFlags::RDONLY,
            Access::Write => OFlags::RDWR,
            Access::Notes => OFlags::RDWR | OFlags::CREATE,
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

    /// Makes a file that was not there before, for reading and writing, and the folders above it. Where anything has that
    /// name, as the file system compares names, this fails with `AlreadyExists`.
    pub(super) fn create_file(&self, path: &Path) -> io::Result<File> {
        let (parent, name) = split(path)?;
        let parent = self.enter(parent, true)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&parent, name, flags, Mode::from_raw_mode(0o666))?.into())
    }

    /// Makes a folder that was not there before.
    pub(super) fn create_folder(&self, name: &Path) -> io::Result<Facts> {
        rustix::fs::mkdirat(&self.fd, name, Mode::from_raw_mode(0o777))?;
        self.facts(name)
    }

    /// Removes what was just made, if it is still that: a file or an empty folder of this identity.
    pub(super) fn unmake(&self, path: &Path, identity: Identity) {
        let Ok(facts) = self.facts(path) else { return };
        if !facts.identity.is(identity) || facts.links > 2 {
            return;
        }
        let Ok((parent, name)) = split(path) else { return };
        let Ok(parent) = self.enter(parent, false) else { return };
        let flags = if facts.regular { AtFlags::empty() } else { AtFlags::REMOVEDIR };
        // What cannot be removed stays: it is empty, and nobody takes it for ours.
        let _ = rustix::fs::unlinkat(&parent, name, flags);
    }

    /// What is known of what has this path. Links are not followed.
    pub(super) fn facts(&self, path: &Path) -> io::Result<Facts> {
        let (parent, name) = split(path)?;
        if parent.as_os_str().is_empty() {
            return self.facts_at(&self.fd, name);
        }
        self.facts_at(self.enter(parent, false)?, name)
    }

    /// The same of an open file.
    pub(super) fn facts_of(&self, file: impl AsFd) -> io::Result<Facts> {
        facts(file.as_fd(), None, self)
    }

    /// The same of this folder.
    pub(super) fn own_facts(&self) -> io::Result<Facts> {
        self.facts_of(&self.fd)
    }

    fn facts_at(&self, parent: impl AsFd, name: &std::ffi::OsStr) -> io::Result<Facts> {
        facts(parent.as_fd(), Some(name), self)
    }

    /// The facts of a regular file, if there is one; links are not followed.
    pub(super) fn walk(&self, path: &Path, walk: &mut Walk) -> Option<Facts> {
        let (parent, name) = split(path).ok()?;
        if walk.0.as_ref().is_none_or(|(last, _)| last != parent) {
            walk.0 = Some((parent.to_owned(), self.enter(parent, false).ok()));
        }
        let fd = walk.0.as_ref()?.1.as_ref()?;
        self.facts_at(fd, name).ok().filter(|f| f.regular)
    }

    /// Puts `from` in the place of `to`, both plain names in this folder.
    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.fd, from, &self.fd, to)?)
    }

    /// Waits until the names in a folder below this one are on the disk.
    pub(super) fn sync_names(&self, path: &Path) -> io::Result<()> {
        match rustix::fs::fsync(self.enter(path, false)?) {
            // Some file systems have no such call for folders.
            Ok(()) | Err(Errno::INVAL | Errno::BADF) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Waits until everything that was written to the whole file system is on the disk.
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
    /// The numbers by which FAT and exFAT are known (statfs(2)).
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
        "a symbolic link or something else that is not a plain file or folder is in the way; remove it",
    )
}

/// An error of the file system as the user should see it: a full disk is one of its own.
pub(super) fn storage_error(doing: &'static str, path: &Path, source: io::Error) -> Error {
    if is_full(&source) {
        return Error::DiskFull { path: path.to_owned() };
    }
    Error::Storage { doing, path: path.to_owned(), source }
}

/// No room, or none that this user may take.
pub(super) fn is_full(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
