//! Manages the files that we created, and no others.
//!
//! A file is opened for writing only if the record says that we created it and its identity
//! matches. Anything else that has its name stays unchanged, and our file gets another name.

use super::folder::{Access, Facts, Folder, Identity, Walk, in_the_way};
use super::names::{FLAT, MAX_NAMES, Names, PORTABLE};
use super::record::{Owned, Record};
use crate::error::{Error, Result};
use crate::metainfo::Metainfo;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// A change of our files that was found while one of them was to be used.
#[derive(Debug)]
pub(super) enum News {
    /// This file, at this path, was removed or replaced.
    Gone(usize, PathBuf),
    /// The torrent's folder was removed or replaced, with all its files.
    FolderGone(PathBuf),
    /// This file has another hard link, so it is not ours alone: from now on it is only read.
    Shared(usize),
    /// The first path is taken, or the disk refused its name, so our file got the second.
    Named { taken: PathBuf, ours: PathBuf, refused: bool },
}

/// The state of one of our files.
pub(super) enum Standing {
    /// We never created it.
    None,
    /// It is where we created it.
    Here(Facts),
    /// It was removed or replaced, or it is not ours alone.
    Changed(News),
}

/// See the [module](self).
pub(super) struct Ours {
    folder: Option<Arc<Folder>>,
    torrent: Arc<Metainfo>,
    names: Names,
    record: Arc<Record>,
    /// As in the record: 0 is the torrent's folder, `n + 1` its file `n`.
    owned: Mutex<HashMap<u32, Owned>>,
    /// Entries that were being created when their process ended, with the numbers of their names.
    unfinished: Mutex<HashMap<u32, u32>>,
}

/// Returns the number of a file's entry in the record.
fn entry(index: usize) -> u32 {
    // A torrent has far fewer files than that.
    u32::try_from(index + 1).unwrap_or(u32::MAX)
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "another program removed or replaced it")
}

impl Ours {
    pub(super) fn new(
        folder: Option<Arc<Folder>>,
        torrent: Arc<Metainfo>,
        record: Arc<Record>,
        owned: HashMap<u32, Owned>,
    ) -> Ours {
        let names = Names::of(&torrent);
        let (owned, unfinished): (HashMap<_, _>, HashMap<_, _>) =
            owned.into_iter().partition(|(_, owned)| owned.identity != Identity::default());
        let unfinished = unfinished.into_iter().map(|(entry, owned)| (entry, owned.name)).collect();
        Ours { folder, torrent, names, record, owned: Mutex::new(owned), unfinished: Mutex::new(unfinished) }
    }

    /// Returns whether we created this file.
    pub(super) fn has(&self, index: usize) -> bool {
        self.get(entry(index)).is_some()
    }

    /// Returns whether we created anything.
    pub(super) fn has_any(&self) -> bool {
        !self.owned.lock().is_empty()
    }

    fn get(&self, entry: u32) -> Option<Owned> {
        self.owned.lock().get(&entry).copied()
    }

    fn disown(&self, entry: u32) -> Result<()> {
        self.owned.lock().remove(&entry);
        self.record.own(entry, None)
    }

    fn chosen(&self) -> io::Result<&Arc<Folder>> {
        self.folder.as_ref().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Returns the folder that contains our files, if it exists and is ours. A torrent of one file
    /// has no folder of its own.
    pub(super) fn base(&self) -> io::Result<Arc<Folder>> {
        let chosen = self.chosen()?;
        if !self.names.has_folder() {
            return Ok(chosen.clone());
        }
        let Owned { name, identity } = self.get(0).ok_or_else(gone)?;
        let below = chosen.below(&self.names.folder(name).unwrap_or_default(), false)?;
        if below.own_facts()?.identity.is(identity) { Ok(Arc::new(below)) } else { Err(gone()) }
    }

    fn folder_path(&self) -> PathBuf {
        let name = self.get(0).map_or(0, |owned| owned.name);
        self.full(&self.names.folder(name).unwrap_or_default())
    }

    fn full(&self, path: &std::path::Path) -> PathBuf {
        self.folder.as_ref().map_or_else(|| path.to_owned(), |folder| folder.full(path))
    }

    /// Returns the path of one of our files below the chosen folder. For a file that was not
    /// created yet, this is the path that it would have.
    pub(super) fn relative(&self, index: usize) -> PathBuf {
        let name = self.get(entry(index)).map_or(0, |owned| owned.name);
        let top = self.get(0).map_or(0, |owned| owned.name);
        self.names.folder(top).unwrap_or_default().join(self.names.file(&self.torrent, index, name))
    }

    /// Returns the same path in full, for messages.
    pub(super) fn path(&self, index: usize) -> PathBuf {
        self.full(&self.relative(index))
    }

    /// Checks a file by its path.
    pub(super) fn standing(&self, index: usize) -> io::Result<Standing> {
        let Some(Owned { name, identity }) = self.get(entry(index)) else { return Ok(Standing::None) };
        let base = match self.base() {
            Ok(base) => base,
            Err(e) if is_gone(&e) && self.names.has_folder() => {
                return Ok(Standing::Changed(News::FolderGone(self.folder_path())));
            }
            Err(e) => return Err(e),
        };
        match base.facts(&self.names.file(&self.torrent, index, name)) {
            Ok(facts) if !facts.regular || !facts.identity.is(identity) => {
                Ok(Standing::Changed(News::Gone(index, self.path(index))))
            }
            Ok(facts) if facts.links > 1 => Ok(Standing::Changed(News::Shared(index))),
            Ok(facts) => Ok(Standing::Here(facts)),
            Err(e) if is_gone(&e) => Ok(Standing::Changed(News::Gone(index, self.path(index)))),
            Err(e) => Err(e),
        }
    }

    /// Returns news if the torrent's folder is no longer where we created it.
    pub(super) fn folder_gone(&self) -> Option<News> {
        let made = self.names.has_folder() && self.get(0).is_some();
        let gone = made && self.base().is_err_and(|e| is_gone(&e));
        gone.then(|| News::FolderGone(self.folder_path()))
    }

    /// Forgets files and folders that are no longer ours.
    pub(super) fn give_up(&self, news: &News) -> Result<()> {
        match news {
            News::Gone(index, _) | News::Shared(index) => self.disown(entry(*index)),
            News::FolderGone(_) => {
                let all: Vec<u32> = self.owned.lock().keys().copied().collect();
                all.into_iter().try_for_each(|entry| self.disown(entry))
            }
            News::Named { .. } => Ok(()),
        }
    }

    /// Opens a file of ours. It may have been replaced since it was checked, so the open file is
    /// checked again.
    pub(super) fn open(&self, index: usize, access: Access) -> io::Result<File> {
        let Owned { name, identity } = self.get(entry(index)).ok_or_else(gone)?;
        let base = self.base()?;
        let file = base.file(&self.names.file(&self.torrent, index, name), access)?;
        let facts = base.facts_of(&file)?;
        // A file with another hard link may be read.
        let ours = facts.identity.is(identity) && (facts.links <= 1 || access == Access::Read);
        if ours { Ok(file) } else { Err(gone()) }
    }

    /// Creates a file under the first of its candidate names that is free, with the folders above
    /// it. Where the disk refuses the name itself, the portable forms of the names follow.
    pub(super) fn create(&self, index: usize, news: &mut Vec<News>) -> Result<File> {
        self.record.begin()?;
        let failed = |e| super::folder::storage_error("create", &self.path(index), e);
        let base = match self.base() {
            Ok(base) => base,
            Err(e) if is_gone(&e) && self.names.has_folder() => {
                if self.get(0).is_some() {
                    let gone = News::FolderGone(self.folder_path());
                    self.give_up(&gone)?;
                    news.push(gone);
                }
                self.create_base(news)?
            }
            Err(e) => return Err(failed(e)),
        };
        let taken = self.path(index);
        let name = |n| self.names.file(&self.torrent, index, n);
        let mut last = in_the_way();
        for first in [0, FLAT, PORTABLE, PORTABLE + FLAT] {
            // Only a file in a folder has a name at the top of the torrent's folder, too.
            let is_flat = first % PORTABLE == FLAT;
            let same = || first >= PORTABLE && name(first) == name(first - PORTABLE);
            if (is_flat && !self.names.has_folder()) || same() {
                continue;
            }
            match self.create_from(&base, index, first)? {
                Ok((file, name)) => {
                    if name > 0 {
                        news.push(News::Named { taken, ours: self.path(index), refused: name >= PORTABLE });
                    }
                    return Ok(file);
                }
                // Something other than a folder has the name of its folder.
                Err(e) if e.kind() == io::ErrorKind::NotADirectory => last = e,
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => last = in_the_way(),
                Err(e) if is_refused_name(&e) => last = e,
                Err(e) => return Err(failed(e)),
            }
        }
        Err(failed(last))
    }

    /// Creates a file under the first free one of its candidate names from `first` on. Returns it
    /// with the number of its name.
    fn create_from(&self, base: &Folder, index: usize, first: u32) -> Result<io::Result<(File, u32)>> {
        let entry = entry(index);
        let unfinished = self.unfinished.lock().get(&entry).copied();
        for name in first..first + MAX_NAMES {
            let path = self.names.file(&self.torrent, index, name);
            if unfinished != Some(name) && base.facts(&path).is_ok() {
                continue;
            }
            // A kill after this leaves an empty file that the next start takes for ours.
            self.record.own(entry, Some(Owned { name, identity: Identity::default() }))?;
            let created = match base.create_file(&path) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && unfinished == Some(name) => {
                    base.empty_file(&path).map_err(|_| e)
                }
                created => created,
            };
            let file = match created {
                Ok(file) => file,
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(e) => {
                    self.record.own(entry, None)?;
                    return Ok(Err(e));
                }
            };
            let identity = match base.facts_of(&file) {
                Ok(facts) => facts.identity,
                Err(e) => return Ok(Err(e)),
            };
            self.note(entry, Owned { name, identity })?;
            return Ok(Ok((file, name)));
        }
        self.record.own(entry, None)?;
        Ok(Err(io::ErrorKind::AlreadyExists.into()))
    }

    /// Records that a file or folder is ours.
    fn note(&self, entry: u32, owned: Owned) -> Result<()> {
        self.record.own(entry, Some(owned))?;
        self.unfinished.lock().remove(&entry);
        self.owned.lock().insert(entry, owned);
        Ok(())
    }

    fn create_base(&self, news: &mut Vec<News>) -> Result<Arc<Folder>> {
        let chosen = self.folder.as_ref().ok_or(Error::Closed)?;
        let natural = self.folder_path();
        let failed = |e| super::folder::storage_error("create the folder", &natural, e);
        let unfinished = self.unfinished.lock().get(&0).copied();
        if let Some(path) = unfinished.and_then(|name| self.names.folder(name)) {
            chosen.remove_empty(&path);
        }
        let mut name = 0;
        while name % PORTABLE < MAX_NAMES {
            let path = self.names.folder(name).unwrap_or_default();
            if chosen.facts(&path).is_ok() {
                name += 1;
                continue;
            }
            self.record.own(0, Some(Owned { name, identity: Identity::default() }))?;
            match chosen.create_folder(&path) {
                Ok(facts) => {
                    self.note(0, Owned { name, identity: facts.identity })?;
                    if name > 0 {
                        let (taken, ours) = (natural.clone(), chosen.full(&path));
                        news.push(News::Named { taken, ours, refused: name >= PORTABLE });
                    }
                    return self.base().map_err(failed);
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => name += 1,
                Err(e) if is_refused_name(&e) && name < PORTABLE => name = PORTABLE,
                Err(e) => {
                    self.record.own(0, None)?;
                    return Err(failed(e));
                }
            }
        }
        Err(failed(in_the_way()))
    }

    /// Returns the lengths of the `wanted` files that are where we created them; 0 for the others.
    pub(super) fn lengths<'a>(
        &'a self,
        wanted: impl Iterator<Item = usize> + 'a,
    ) -> impl Iterator<Item = (usize, u64)> + 'a {
        let base = self.base().ok();
        let mut walk = Walk::default();
        wanted.map(move |index| {
            let length = self.get(entry(index)).zip(base.as_ref()).and_then(|(owned, base)| {
                let facts = base.walk(&self.names.file(&self.torrent, index, owned.name), &mut walk)?;
                facts.identity.is(owned.identity).then_some(facts.length)
            });
            (index, length.unwrap_or(0))
        })
    }

    /// Returns the identity of a file of ours.
    pub(super) fn identity(&self, index: usize) -> Option<Identity> {
        self.get(entry(index)).map(|owned| owned.identity)
    }

    /// Returns the folders, below the chosen one, whose entries changed when this file was created.
    pub(super) fn folders_above(&self, index: usize) -> Vec<PathBuf> {
        self.relative(index).ancestors().skip(1).map(PathBuf::from).collect()
    }
}

/// Returns whether the path has nothing, or something else.
pub(super) fn is_gone(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory)
}

/// Returns whether the disk refuses the name itself. Some drivers deny that such a name exists.
fn is_refused_name(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidFilename | io::ErrorKind::NotFound)
}
