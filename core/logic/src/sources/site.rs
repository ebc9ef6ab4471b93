//! What is known of the files of one source: where they are, and which it lacks.

use crate::{Bits, PieceIndex};
use playswarm_proto::AddressClass;
use playswarm_proto::gnutella::Target;
use playswarm_proto::http_range::{MAX_REDIRECTS, Refusal, Remedy, Request, Version};
use playswarm_proto::metainfo::{Content, Metainfo, WebPaths};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use url::Url;

/// Number of files that a source may lack before it is given up, if it has served none. A wrong
/// address is not tried for each file of a large torrent.
const MAX_LACKING: usize = 8;

/// The place to which a file moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Its URL.
    pub url: Url,
    /// Class of the address that named the URL.
    pub named_by: AddressClass,
    /// Number of redirects that led here since the file was last served.
    hops: u8,
    /// Whether bytes came from there.
    served: bool,
}

/// A range of the torrent within one file, and where its bytes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The bytes of the torrent.
    pub bytes: Range<u64>,
    /// Number of the file.
    pub file: usize,
    /// The request for them; `None` for zeros of a pad file (BEP 47).
    pub request: Option<Request>,
    /// Class of the address that named the URL.
    pub named_by: AddressClass,
}

/// What follows from a refused answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// The same bytes are requested again: the file moved, or its old place is tried.
    Again,
    /// The source lacks this file. Others may be there.
    Lacks,
    /// The source is of no use.
    Useless,
}

/// The files of one source. All lanes to it share this.
#[derive(Clone, Debug)]
pub struct Site {
    torrent: Arc<Metainfo>,
    paths: WebPaths,
    url: Url,
    named_by: AddressClass,
    moved: BTreeMap<usize, Moved>,
    lacking: BTreeSet<usize>,
    has_served: bool,
    /// Whether it is a servent, which gives the only file of the torrent by its hash.
    is_servent: bool,
    /// Parts of the file that a servent has, in order and apart; `None` for all.
    available: Option<Vec<Range<u64>>>,
}

impl Site {
    /// Creates the site of a URL (BEP 19). `named_by` is the class of the address that named it.
    pub fn new(torrent: Arc<Metainfo>, url: Url, named_by: AddressClass) -> Site {
        let paths = torrent.web_paths();
        let (moved, lacking) = (BTreeMap::new(), BTreeSet::new());
        let is_servent = matches!(Target::of_url(&url), Some(Target::File(_)));
        Site { torrent, paths, url, named_by, moved, lacking, has_served: false, is_servent, available: None }
    }

    /// Whether it is a servent of Gnutella.
    pub fn is_servent(&self) -> bool {
        self.is_servent
    }

    /// Notes which parts of its file a servent has; `None` for all. Returns whether that is news.
    pub fn has_parts(&mut self, parts: Option<Vec<Range<u64>>>) -> bool {
        let joined = parts.map(joined);
        let is_news = joined != self.available;
        self.available = joined;
        is_news
    }

    /// Gives the source the permissions of the user, who names it too. Files that it lacked are
    /// requested again.
    pub fn make_mirror(&mut self) {
        self.named_by = AddressClass::Loopback;
        self.lacking.clear();
    }

    /// Returns the URL by which the source is known.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Returns the URL of the first file that it has, and the class of the address that named it.
    pub fn first(&self) -> (Url, AddressClass) {
        let files = self.torrent.files.iter().enumerate();
        let mut at = files.filter(|(n, file)| !file.padding && file.length > 0 && self.has(*n)).map(|(n, _)| n);
        let Some(file) = at.next() else { return (self.url.clone(), self.named_by) };
        match self.moved.get(&file) {
            Some(moved) => (moved.url.clone(), moved.named_by),
            None => (self.url_of(file).unwrap_or_else(|| self.url.clone()), self.named_by),
        }
    }

    /// Returns the pieces that are whole there; `None` if it has all of them.
    pub fn bits(&self) -> Option<Bits> {
        let torrent = &self.torrent;
        let absent = |n: &usize| !torrent.files[*n].padding && torrent.files[*n].length > 0 && !self.has(*n);
        let mut bits = Bits::full(torrent.pieces());
        for n in (0..torrent.files.len()).filter(absent) {
            let file = &torrent.files[n];
            for piece in torrent.layout.pieces_of(file.offset..file.offset + file.length) {
                bits.set(piece.0, false);
            }
        }
        if let Some(parts) = &self.available {
            for piece in 0..bits.len() {
                let start = self.start_of(piece);
                let is_here = within(parts, &(start..start + u64::from(torrent.layout.bytes_of(PieceIndex(piece)))));
                bits.set(piece, is_here && bits.get(piece));
            }
        }
        (!bits.is_full()).then_some(bits)
    }

    fn has(&self, file: usize) -> bool {
        !self.lacking.contains(&file) && self.url_of(file).is_some()
    }

    fn url_of(&self, file: usize) -> Option<Url> {
        if self.is_servent {
            return (self.torrent.files.len() == 1).then(|| self.url.clone());
        }
        self.paths.url(&self.url, file)
    }

    /// Returns whether a range of the torrent is whole there.
    pub fn has_all(&self, bytes: Range<u64>) -> bool {
        self.available.as_ref().is_none_or(|parts| within(parts, &bytes))
            && self.torrent.files_of(bytes).all(|(n, _)| self.torrent.files[n].padding || self.has(n))
    }

    /// Returns the places of a range of the torrent, in order.
    pub fn places(&self, bytes: Range<u64>) -> Vec<Place> {
        let parts = self.paths.parts(&self.torrent, &self.url, bytes);
        parts.map(|part| self.place(part.file, part.bytes, part.content == Content::Zeros)).collect()
    }

    fn place(&self, file: usize, bytes: Range<u64>, is_zeros: bool) -> Place {
        let entry = &self.torrent.files[file];
        let moved = self.moved.get(&file);
        let request = || {
            let url = moved.map(|moved| moved.url.clone()).or_else(|| self.url_of(file))?;
            let request = Request::new(url, bytes.start - entry.offset..bytes.end - entry.offset)?;
            Some(request.expecting(Some(entry.length), Version::default()))
        };
        let request = if is_zeros { None } else { request() };
        Place { file, request, named_by: moved.map_or(self.named_by, |moved| moved.named_by), bytes }
    }

    /// Notes that bytes of a file came.
    pub fn served(&mut self, file: usize) {
        self.has_served = true;
        if let Some(moved) = self.moved.get_mut(&file) {
            (moved.served, moved.hops) = (true, 0);
        }
    }

    /// Notes that an answer about a file is of no use. `from` is the class of the address that sent
    /// it. Call it only for refusals that time does not cure.
    pub fn refused(&mut self, file: usize, refusal: &Refusal, from: AddressClass) -> After {
        let before = self.moved.remove(&file);
        if let Remedy::Follow(url) = refusal.remedy() {
            let hops = before.map_or(0, |moved| moved.hops) + 1;
            if hops <= MAX_REDIRECTS {
                self.moved.insert(file, Moved { url, named_by: from, hops, served: false });
                return After::Again;
            }
        } else if before.is_some_and(|moved| moved.served) {
            // Some places are valid for a while only.
            return After::Again;
        }
        self.lacking.insert(file);
        let is_useless = self.torrent.files.len() == 1 || self.bits().is_some_and(|b| b.count() == 0);
        if is_useless || (!self.has_served && self.lacking.len() >= MAX_LACKING) {
            After::Useless
        } else {
            After::Lacks
        }
    }

    /// Returns the first byte of a piece.
    pub(super) fn start_of(&self, piece: u32) -> u64 {
        self.torrent.layout.start_of(PieceIndex(piece))
    }
}

/// Returns ranges in order, joined where they touch.
fn joined(mut parts: Vec<Range<u64>>) -> Vec<Range<u64>> {
    parts.sort_by_key(|part| part.start);
    let mut all: Vec<Range<u64>> = Vec::new();
    for part in parts {
        match all.last_mut().filter(|last| part.start <= last.end) {
            Some(last) => last.end = last.end.max(part.end),
            None => all.push(part),
        }
    }
    all
}

/// Whether one of these ranges, which are in order, has all of `bytes`.
fn within(parts: &[Range<u64>], bytes: &Range<u64>) -> bool {
    let after = parts.partition_point(|part| part.start <= bytes.start);
    after.checked_sub(1).is_some_and(|at| parts[at].end >= bytes.end)
}
