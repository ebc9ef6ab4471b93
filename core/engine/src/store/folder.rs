//! Opens what lies below the chosen folder, one path component at a time and never through a symbolic link, so that
//! nothing outside of it is ever read or written. What is in the files is left to [`super::files`].

use crate::error::{Error, Result};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

/// What an opened file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// To be read; it must be there.
    Read,
    /// To be read and written; made with its folders where it is missing.
    Write,
}

/// A folder that is held open, so that renaming it changes nothing.
pub(super) struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

/// The folder that was entered last, as files of one folder follow each other.
#[derive(Default)]
pub(super) struct Walk(Option<(PathBuf, Option<OwnedFd>)>);

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Folder {
    /// Makes the folder where it is missing and opens it. The folder itself may be a link: the user chose it.
    pub(super) fn open(path: &Path) -> Result<Folder> {
        std::fs::create_dir_all(path).map_err(|e| storage_error("create the folder", path, e))?;
        let fd = rustix::fs::openat(CWD, path, FOLDER, Mode::empty())
            .map_err(|e| storage_error("open the folder", path, e.into()))?;
        Ok(Folder { fd, path: path.to_owned() })
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
        Ok(Folder { fd: self.enter(path, create)?, path: self.full(path) })
    }

    fn enter(&self, path: &Path, create: bool) -> io::Result<OwnedFd> {
        let mut at: Option<OwnedFd> = None;
        for part in path.components() {
            let Component::Normal(name) = part else { return Err(not_plain()) };
            let here = at.as_ref().unwrap_or(&self.fd);
            let mut next = rustix::fs::openat(here, name, FOLDER | OFlags::NOFOLLOW, Mode::empty());
            if create && matches!(next, Err(Errno::NOENT)) {
                match rustix::fs::mkdirat(here, name, Mode::from_raw_mode(0o777)) {
                    // Another writer may have made it in between.
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(e) => return Err(e.into()),
                }
                next = rustix::fs::openat(here, name, FOLDER | OFlags::NOFOLLOW, Mode::empty());
            }
            at =
                Some(next.map_err(|e| if matches!(e, Errno::NOTDIR | Errno::LOOP) { in_the_way() } else { e.into() })?);
        }
        match at {
            Some(fd) => Ok(fd),
            None => self.fd.try_clone(),
        }
    }

    /// Opens a regular file below this folder. For reading, a file that may not be written will do.
    pub(super) fn file(&self, path: &Path, access: Access) -> io::Result<File> {
        let (parent, name) = split(path)?;
        let parent = self.enter(parent, access == Access::Write)?;
        // Without NONBLOCK a named pipe in the place of a file would hold us up for ever.
        let plain = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let open = |flags| rustix::fs::openat(&parent, name, plain | flags, Mode::from_raw_mode(0o666));
        let fd = match access {
            Access::Write => open(OFlags::RDWR | OFlags::CREATE),
            Access::Read => match open(OFlags::RDWR) {
                Err(Errno::ACCESS | Errno::PERM | Errno::ROFS | Errno::TXTBSY) => open(OFlags::RDONLY),
                other => other,
            },
        };
        let file = File::from(fd.map_err(|e| if matches!(e, Errno::LOOP) { in_the_way() } else { e.into() })?);
        if !file.metadata()?.is_file() {
            return Err(in_the_way());
        }
        Ok(file)
    }

    /// The length of a regular file, if there is one; links are not followed.
    pub(super) fn length_of(&self, path: &Path, walk: &mut Walk) -> Option<u64> {
        let (parent, name) = split(path).ok()?;
        if walk.0.as_ref().is_none_or(|(last, _)| last != parent) {
            walk.0 = Some((parent.to_owned(), self.enter(parent, false).ok()));
        }
        let fd = walk.0.as_ref()?.1.as_ref()?;
        let stat = rustix::fs::statat(fd, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        (FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile).then(|| u64::try_from(stat.st_size).ok())?
    }

    /// Puts `from` in the place of `to`, both plain names in this folder.
    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.fd, from, &self.fd, to)?)
    }
}

fn split(path: &Path) -> io::Result<(&Path, &std::ffi::OsStr)> {
    let name = path.file_name().ok_or_else(not_plain)?;
    Ok((path.parent().unwrap_or(Path::new("")), name))
}

fn not_plain() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the path leaves the folder")
}

fn in_the_way() -> io::Error {
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
