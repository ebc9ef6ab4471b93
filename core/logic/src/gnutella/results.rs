//! The results of a search: hits grouped by hash, and rules that hide spam.
//!
//! A rule only decides what is shown. Whether a file is what its hash says is proved elsewhere, by
//! the hash, and no number of servents that agree makes a result more true.

use super::addresses::network;
use super::api::{LinkKey, Wanted};
use playswarm_proto::FileHashes;
use playswarm_proto::gnutella::{
    Guid, NO_INDEX, QueryHit, Record, ServentFlag, SpamMark, Trailer, VendorCode, spam_mark, words,
};
use playswarm_proto::printable;
use playswarm_proto::sha1::{Digest, sha1};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::{SocketAddr, SocketAddrV4};

/// Most files of a search.
pub const MAX_FILES: usize = 600;
/// Most sources of a file.
pub const MAX_SOURCES: usize = 64;
/// Most sources of all files of a search.
pub const MAX_ALL_SOURCES: usize = 4000;
/// Names of one hash from which on it counts as spam.
const MANY_NAMES: usize = 6;
/// Longest name that is kept, bytes.
const MAX_NAME_BYTES: usize = 200;
/// Most push proxies of a source that are kept: no more are asked.
const MAX_PROXIES: usize = 4;

/// Why a file is hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hidden {
    /// Each of its results has a mark; this is the first one's.
    Mark(SpamMark),
    /// The same hash has many names.
    ManyNames,
}

/// A servent that has a file, or is said to have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its address; `None` if only a push makes it connect.
    pub address: Option<SocketAddr>,
    /// Its identifier, if it answered itself.
    pub servent: Option<Guid>,
    /// Number of the file at the servent.
    pub index: u32,
    /// Servents that pass a push on.
    pub proxies: Vec<SocketAddrV4>,
    /// The link on which the hit came: a push may go back there.
    pub link: Option<LinkKey>,
    /// Whether the servent has only a part of the file.
    pub is_partial: bool,
    /// Whether the servent has no free slot.
    pub is_busy: bool,
    /// Name of its program.
    pub vendor: Option<VendorCode>,
}

impl Source {
    /// Key by which a source is the same as another.
    fn identity(&self) -> (Option<Guid>, Option<SocketAddr>) {
        (self.servent, if self.servent.is_some() { None } else { self.address })
    }
}

/// A file that was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Name that the first servent gave, without characters that cannot be shown.
    pub name: String,
    /// Its length, bytes.
    pub size: u64,
    /// Its hashes; the tiger root is that which a servent names with the SHA-1.
    pub hashes: FileHashes,
    /// Its sources.
    pub sources: Vec<Source>,
    /// Hashes of the names, to count them: of each servent one.
    names: BTreeSet<u64>,
    /// Whether the search names its hash. It has no wrong name then.
    is_named: bool,
    /// Mark of its first result; `None` once one of its results has none.
    mark: Option<SpamMark>,
}

impl Found {
    /// Returns why the file is hidden.
    pub fn hidden(&self) -> Option<Hidden> {
        match self.mark {
            _ if self.is_named => None,
            _ if self.names.len() >= MANY_NAMES => Some(Hidden::ManyNames),
            mark => mark.map(Hidden::Mark),
        }
    }

    /// Returns the number of networks in which servents answered that have the file. It is the
    /// order in which files are shown: records are easily made up, networks are not.
    pub fn networks(&self) -> usize {
        let address = |source: &Source| source.address.or(source.proxies.first().map(|proxy| (*proxy).into()));
        let servents = self.sources.iter().filter(|source| source.servent.is_some());
        servents.filter_map(address).map(|address| network(address.ip())).collect::<HashSet<_>>().len()
    }
}

/// What names a file. Files without a hash differ by servent and index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum FileKey {
    Sha1(Digest, u64),
    Tiger([u8; 24], u64),
    Index(Guid, u32),
}

/// The results of a search.
#[derive(Clone, Debug, Default)]
pub(super) struct Results {
    files: BTreeMap<FileKey, Found>,
    /// Number of sources of all files.
    sources: usize,
}

impl Results {
    /// Adds a hit. `usable` says whether an address that it names is used. Returns whether there is
    /// anything new.
    pub(super) fn add(
        &mut self,
        wanted: &Wanted,
        hit: &QueryHit,
        usable: impl Fn(SocketAddr) -> bool,
        link: Option<LinkKey>,
    ) -> bool {
        let trailer = hit.trailer.as_ref();
        let mut proxies = trailer.map(Trailer::push_proxies).unwrap_or_default();
        proxies.retain(|proxy| usable((*proxy).into()));
        proxies.truncate(MAX_PROXIES);
        let address = hit.listens_at().filter(|address| !hit.needs_push() && usable(*address));
        if address.is_none() && proxies.is_empty() && (link.is_none() || !hit.needs_push()) {
            return false;
        }
        let source = Source {
            address,
            servent: Some(hit.servent),
            index: NO_INDEX,
            proxies,
            link,
            is_partial: false,
            is_busy: trailer.and_then(|trailer| trailer.flag(ServentFlag::Busy)) == Some(true),
            vendor: trailer.map(|trailer| trailer.vendor),
        };
        let mut new = false;
        for record in &hit.records {
            let is_named = has_hash_of(&record.hashes(), &wanted.hashes);
            let mark = spam_mark(hit, record, &wanted.words, wanted.media()).filter(|_| !is_named);
            let source = Source { index: record.index, is_partial: record.is_partial(), ..source.clone() };
            new |= self.add_record(hit.servent, record, source, mark, is_named);
            for alternate in record.alternates() {
                new |= mark.is_none() && usable(alternate.into()) && self.add_alternate(record, alternate);
            }
        }
        new
    }

    /// Adds a result. `is_named` is whether the search names its hash.
    fn add_record(
        &mut self,
        servent: Guid,
        record: &Record,
        source: Source,
        mark: Option<SpamMark>,
        is_named: bool,
    ) -> bool {
        let hashes = record.hashes();
        let key = key_of(&hashes, record.size).unwrap_or(FileKey::Index(servent, record.index));
        if !self.make_room(&key, mark) {
            return false;
        }
        let name = printable::line_within(&record.name, MAX_NAME_BYTES).into_owned();
        let size = record.size;
        let fresh = || Found { name, size, hashes, sources: Vec::new(), names: BTreeSet::new(), is_named, mark };
        let found = self.files.entry(key).or_insert_with(fresh);
        found.mark = found.mark.filter(|_| mark.is_some());
        found.is_named |= is_named;
        found.hashes = found.hashes.or(hashes);
        let is_new = insert(&mut found.sources, source, &mut self.sources);
        if is_new && found.names.len() < MANY_NAMES {
            found.names.insert(name_key(&record.name));
        }
        is_new
    }

    /// Adds another source that a servent names.
    fn add_alternate(&mut self, record: &Record, address: SocketAddrV4) -> bool {
        let Some(found) = key_of(&record.hashes(), record.size).and_then(|key| self.files.get_mut(&key)) else {
            return false;
        };
        let (servent, link, vendor) = (None, None, None);
        let (is_partial, is_busy, proxies, index) = (false, false, Vec::new(), NO_INDEX);
        let address = Some(address.into());
        let source = Source { address, servent, index, proxies, link, is_partial, is_busy, vendor };
        let known = found.sources.iter().any(|other| other.address == address);
        !known && insert(&mut found.sources, source, &mut self.sources)
    }

    /// Makes room for a source of a file. For a result without a mark, a hidden file is forgotten; if
    /// there is none, a new file takes a source from the file with the most. Returns whether there
    /// is room.
    fn make_room(&mut self, key: &FileKey, mark: Option<SpamMark>) -> bool {
        let is_new = !self.files.contains_key(key);
        let has_place = !is_new || self.files.len() < MAX_FILES;
        if has_place && self.sources < MAX_ALL_SOURCES {
            return true;
        }
        if mark.is_some() {
            return false;
        }
        let hidden = self.files.iter().find(|(other, found)| *other != key && found.hidden().is_some());
        if let Some(hidden) = hidden.map(|(other, _)| *other) {
            self.sources -= self.files.remove(&hidden).map_or(0, |found| found.sources.len());
            return true;
        }
        let richest = self.files.values_mut().max_by_key(|found| found.sources.len());
        let gives = is_new && has_place && richest.is_some_and(|found| found.sources.pop().is_some());
        self.sources -= usize::from(gives);
        gives
    }

    /// Returns the files, hidden ones too, those of the most networks first.
    pub(super) fn files(&self) -> Vec<&Found> {
        let mut files: Vec<_> = self.files.values().collect();
        files.sort_by_cached_key(|found| std::cmp::Reverse((found.networks(), found.sources.len())));
        files
    }

    /// Returns the number of files that are shown.
    pub(super) fn shown(&self) -> usize {
        self.files.values().filter(|found| found.hidden().is_none()).count()
    }

    /// Returns the source that is a servent.
    pub(super) fn servent(&self, servent: Guid) -> Option<&Source> {
        self.files.values().flat_map(|found| &found.sources).find(|source| source.servent == Some(servent))
    }
}

/// Adds a source if it is new and there is room for it among the sources of the file, and of all. A
/// servent that answers takes the place of its address that another named. If the list is full, it
/// takes that of the last such address.
fn insert(sources: &mut Vec<Source>, source: Source, all: &mut usize) -> bool {
    if sources.iter().any(|other| other.identity() == source.identity()) {
        return false;
    }
    let is_full = sources.len() >= MAX_SOURCES || *all >= MAX_ALL_SOURCES;
    let named = |other: &Source| other.servent.is_none();
    let own = sources.iter().position(|other| named(other) && other.address == source.address);
    let place = own.or_else(|| sources.iter().rposition(named).filter(|_| is_full));
    if let Some(place) = place.filter(|_| source.servent.is_some()) {
        sources[place] = source;
        return true;
    }
    let fits = !is_full;
    if fits {
        sources.push(source);
        *all += 1;
    }
    fits
}

/// Whether a result has one of the hashes that are wanted.
fn has_hash_of(hashes: &FileHashes, wanted: &FileHashes) -> bool {
    (wanted.sha1.is_some() && wanted.sha1 == hashes.sha1) || (wanted.tiger.is_some() && wanted.tiger == hashes.tiger)
}

fn key_of(hashes: &FileHashes, size: u64) -> Option<FileKey> {
    let tiger = || hashes.tiger.map(|root| FileKey::Tiger(root, size));
    hashes.sha1.map(|sha1| FileKey::Sha1(sha1, size)).or_else(tiger)
}

/// Returns a number for a name by its words: other signs and their case make no other name.
fn name_key(name: &str) -> u64 {
    let hash = sha1(words(name).join(" ").as_bytes());
    hash.iter().take(8).fold(0, |key, byte| key << 8 | u64::from(*byte))
}
