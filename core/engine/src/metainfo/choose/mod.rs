//! The choice of the file to play if none is named. It uses names; if these are inconclusive, it
//! uses first bytes, which [`crate::TorrentHandle::choose_file`] reads.

use super::{FileEntry, Metainfo, natural_cmp};
use crate::error::{Error, Result};
use playswarm_media::{Content, Format};
use std::collections::{BTreeMap, BTreeSet};

/// Factor by which archives must outweigh all films beside them to count as the torrent's content.
const MOSTLY_PACKED: u64 = 4;
/// Factor by which a file with an inconclusive name must exceed the film to be examined.
const WORTH_A_LOOK: u64 = 4;
/// Factor by which such a file must exceed the film to be played without an examination: a
/// torrent's film is no mere twentieth of it.
const SURELY_LARGER: u64 = 20;
/// Factor by which an apparent extra exceeds the film if the word belongs to the film's title.
const NO_EXTRA: u64 = 8;
/// Most files examined, the largest first.
const MOST_LOOKS: usize = 4;

/// The content of files according to their first bytes; `None` if these are inconclusive.
pub(crate) type Seen = BTreeMap<usize, Option<Content>>;

/// The file to play, and the files whose first bytes may change the choice.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) file: Result<usize>,
    pub(crate) look_at: Vec<usize>,
}

/// Returns the file to play, given the known first bytes. See
/// [`ChooseFile::default_file`](super::ChooseFile::default_file).
pub(crate) fn choose(torrent: &Metainfo, seen: &Seen) -> Choice {
    let sorted = Sorted::new(torrent, seen);
    let length = |n: usize| torrent.files[n].length;
    let title = words(&torrent.name);
    let (mut extras, mut mains): (Vec<usize>, Vec<usize>) =
        sorted.playable.iter().partition(|n| is_extra(&torrent.files[**n].name, &title));
    // The audio of a film, or its music, is no film.
    if mains.iter().any(|n| !sorted.sound.contains(n)) {
        let (sound, films): (Vec<usize>, Vec<usize>) = mains.iter().partition(|n| sorted.sound.contains(*n));
        extras.extend(sound);
        mains = films;
    }
    if let (Some(extra), main) = (largest(torrent, &extras), largest(torrent, &mains))
        && main.is_some_and(|main| length(extra) / NO_EXTRA > length(main))
    {
        mains.push(extra);
    }
    let bytes_of = |files: &[usize]| files.iter().map(|n| length(*n)).sum::<u64>();
    let main = largest(torrent, &mains);
    let main_bytes = main.map_or(0, length);
    let unknown = largest(torrent, &sorted.unknown).filter(|n| length(*n) / WORTH_A_LOOK > main_bytes);
    let packed = bytes_of(&sorted.packed);
    let is_packed = packed / MOSTLY_PACKED > bytes_of(&mains) && packed > bytes_of(&extras);
    let mut look_at = Vec::new();
    if let Some(unknown) = unknown.filter(|n| !is_packed || length(*n) > packed) {
        look_at = sorted.unknown.clone();
        look_at.retain(|n| length(*n) >= length(unknown) / WORTH_A_LOOK);
        look_at.sort_by_key(|n| std::cmp::Reverse(length(*n)));
        look_at.truncate(MOST_LOOKS);
    }
    let certain = unknown.filter(|n| length(*n) / SURELY_LARGER >= main_bytes && !look_at.is_empty());
    let extra = largest(torrent, &extras).filter(|n| certain.is_none_or(|unknown| length(*n) > length(unknown)));
    let file = match certain.filter(|_| extra.is_none()).or(main) {
        Some(file) if certain == Some(file) || !is_packed => Ok(file),
        _ if is_packed => Err(packed_error(torrent, &sorted.packed)),
        _ => extra.or_else(|| largest(torrent, &sorted.rest)).ok_or(Error::NothingPlayable),
    };
    // A file that is alone is the choice, whatever its first bytes say: the film starts without a look.
    if torrent.files.iter().filter(|file| !file.padding && file.length > 0).count() == 1 {
        look_at.clear();
    }
    Choice { file, look_at }
}

/// Returns the first of the largest files.
fn largest(torrent: &Metainfo, files: &[usize]) -> Option<usize> {
    // `max_by_key` returns the last of equals; users expect the first.
    files.iter().rev().copied().max_by_key(|n| torrent.files[*n].length)
}

/// Returns an error that names the archive of the film: the first volume of the largest.
fn packed_error(torrent: &Metainfo, packed: &[usize]) -> Error {
    let format = |n: usize| Format::by_name(&torrent.files[n].name).map_or("archive", |format| format.name);
    let kind = largest(torrent, packed).map(format);
    let is_volume = |n: usize| torrent.files[n].name.ends_with(|c: char| c.is_ascii_digit());
    let first = packed.iter().copied().filter(|n| Some(format(*n)) == kind).min_by(|a, b| {
        let by_name = || natural_cmp(&torrent.files[*a].name, &torrent.files[*b].name);
        is_volume(*a).cmp(&is_volume(*b)).then_with(by_name)
    });
    let name = first.map(|n| torrent.files[n].name.clone()).unwrap_or_default();
    Error::Packed { name, format: kind.unwrap_or("archive") }
}

/// The files by their purpose.
#[derive(Default)]
struct Sorted {
    playable: Vec<usize>,
    /// Playable files without video.
    sound: BTreeSet<usize>,
    packed: Vec<usize>,
    /// Files whose names and first bytes are inconclusive.
    unknown: Vec<usize>,
    /// Other files, served if there is nothing better.
    rest: Vec<usize>,
}

impl Sorted {
    fn new(torrent: &Metainfo, seen: &Seen) -> Sorted {
        let (mut sorted, counts) = (Sorted::default(), torrent.selection());
        let has_data = |(n, file): &(usize, &FileEntry)| !file.padding && file.length > 0 && counts(*n);
        for (n, file) in torrent.files.iter().enumerate().filter(has_data) {
            let content = match (seen.get(&n), Format::by_name(&file.name)) {
                (None, None) => {
                    sorted.unknown.push(n);
                    continue;
                }
                (Some(content), _) => *content,
                (None, Some(format)) => Some(format.content),
            };
            if content == Some(Content::Audio) {
                sorted.sound.insert(n);
            }
            sorted.list(content).push(n);
        }
        sorted
    }

    fn list(&mut self, content: Option<Content>) -> &mut Vec<usize> {
        match content {
            Some(content) if content.is_playable() => &mut self.playable,
            Some(Content::Packed) => &mut self.packed,
            _ => &mut self.rest,
        }
    }
}

/// Common words for files that are not the film, in names of files and folders.
const EXTRAS: &[&str] = &[
    "sample",
    "samples",
    "trailer",
    "trailers",
    "muestra",
    "bande annonce",
    "трейлер",
    "teaser",
    "teasers",
    "extra",
    "extras",
    "featurette",
    "featurettes",
    "special features",
    "bonus",
    "promo",
    "preview",
    "previews",
    "proof",
    "ncop",
    "nced",
    "creditless",
    "bloopers",
    "interview",
    "interviews",
    "gag reel",
    "making of",
    "behind the scenes",
    "behindthescenes",
    "deleted scene",
    "deleted scenes",
    "deletedscenes",
];

/// Returns whether a file is a sample, a trailer or an extra by its path. `title` is the torrent's
/// name as [`words`]: words in it belong to the title of the film.
pub(super) fn is_extra(path: &str, title: &str) -> bool {
    let path = words(path);
    EXTRAS.iter().any(|label| {
        let label = format!(" {label} ");
        path.contains(&label) && !title.contains(&label)
    })
}

/// Returns a text in lower case, with one blank before, between and after its words. Numbers are
/// words of their own.
pub(super) fn words(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    let mut digit = false;
    out.push(' ');
    for c in text.chars().flat_map(char::to_lowercase) {
        let is_digit = c.is_ascii_digit();
        if (!c.is_alphanumeric() || is_digit != digit) && !out.ends_with(' ') {
            out.push(' ');
        }
        digit = is_digit;
        if c.is_alphanumeric() {
            out.push(c);
        }
    }
    if !out.ends_with(' ') {
        out.push(' ');
    }
    out
}

/// Returns the rank of a file by its name, for names that match several files. Films come first,
/// then files with inconclusive names, extras, and other files.
pub(super) fn rank(file: &FileEntry, title: &str) -> u32 {
    match Format::by_name(&file.name).map(|format| format.content) {
        Some(content) if content.is_playable() => 2 * u32::from(is_extra(&file.name, title)),
        None => 1,
        Some(_) => 3,
    }
}

#[cfg(test)]
pub(super) mod tests;
