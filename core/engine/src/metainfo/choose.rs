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
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::metainfo::ChooseFile;
    use bytes::Bytes;
    use proptest::prelude::*;

    /// Returns a torrent of these files; lengths in thousands of bytes.
    pub(crate) fn torrent(name: &str, files: &[(&str, u64)]) -> Metainfo {
        let info = b"d6:lengthi1e4:name1:x12:piece lengthi16384e6:pieces20:xxxxxxxxxxxxxxxxxxxxe";
        let mut torrent = Metainfo::from_info(Bytes::from_static(info), Vec::new()).unwrap();
        torrent.name = name.into();
        torrent.files = files.iter().map(|(name, length)| entry(name, length * 1000)).collect();
        torrent
    }

    /// Returns a file of a torrent.
    pub(in super::super) fn entry(name: &str, length: u64) -> FileEntry {
        let mut file = FileEntry::default();
        (file.path, file.name, file.length) = (name.into(), name.into(), length);
        file
    }

    /// Returns the name of the file to play, or the sentence that explains why there is none.
    fn played(name: &str, files: &[(&str, u64)]) -> String {
        match torrent(name, files).default_file() {
            Ok(n) => files[n].0.to_owned(),
            Err(e) => e.to_string(),
        }
    }

    #[test]
    fn playable_files_are_listed_in_natural_order() {
        let files = [("E10.mkv", 1), ("E2.mkv", 1), ("x.txt", 1), ("E1.mkv", 0)];
        assert_eq!(torrent("f", &files).playable(), [1, 0]);
    }

    #[test]
    fn samples_trailers_and_extras_give_way_to_the_film() {
        for extra in [
            "Sample/f.mkv",
            "f-sample.mkv",
            "Extras/Making of.mkv",
            "Featurettes/a.mkv",
            "f.trailer.mp4",
            "NCOP1.mkv",
            "Behind.The.Scenes/a.mkv",
            "bonus/disc2.mkv",
            "Special Features/a.mkv",
            "f-behindthescenes.mkv",
            "Muestra/f.mkv",
            "Soundtrack/all.flac",
            "f.mka",
        ] {
            assert_eq!(played("Film 2014", &[(extra, 900_000), ("f.mkv", 700_000)]), "f.mkv", "{extra}");
            assert_eq!(played("Film 2014", &[(extra, 900_000)]), extra, "there is nothing else");
        }
    }

    #[test]
    fn a_title_that_equals_a_word_for_extras_is_no_extra() {
        assert_eq!(
            played("The.Interview.2014", &[("The.Interview.2014.mkv", 700_000), ("site.mp4", 200_000)]),
            "The.Interview.2014.mkv"
        );
        assert_eq!(played("x", &[("Trailer Park Boys.mkv", 700_000), ("site.mp4", 900)]), "Trailer Park Boys.mkv");
    }

    #[test]
    fn a_film_that_is_packed_is_named_and_its_sample_is_not_played() {
        let rar: Vec<(String, u64)> = (0..40).map(|n| (format!("rel.r{n:02}"), 15_000)).collect();
        let mut files: Vec<(&str, u64)> = rar.iter().map(|(name, length)| (name.as_str(), *length)).collect();
        files.extend([("rel.rar", 15_000), ("rel.sfv", 1), ("rel.nfo", 7)]);
        for sample in [None, Some(("Sample/rel-sample.mkv", 6)), Some(("rel-s.avi", 20_000))] {
            let files: Vec<(&str, u64)> = files.iter().copied().chain(sample).collect();
            let sentence = played("rel", &files);
            assert!(sentence.contains("in the archive rel.rar (RAR archive)"), "{sample:?}: {sentence}");
        }
        for name in
            ["film.iso", "film.img", "film.nrg", "film.zip", "film.7z", "film.7z.001", "film.part1.rar", "film.r00"]
        {
            let sentence = played("f", &[(name, 4_000_000), ("trailer.mp4", 30_000), ("readme.txt", 1)]);
            assert!(sentence.contains(name), "{sentence}");
        }
        let sentence = played("f", &[("f.z01", 100_000), ("f.z02", 100_000), ("f.zip", 50_000)]);
        assert!(sentence.contains("in the archive f.zip (ZIP archive)"), "{sentence}");
    }

    #[test]
    fn an_album_is_played_where_its_film_is_small() {
        assert_eq!(played("a", &[("1.flac", 300_000), ("2.flac", 310_000), ("clip.mp4", 20_000)]), "2.flac");
        assert_eq!(played("a", &[("all.flac", 300_000), ("concert.mkv", 250_000)]), "concert.mkv");
    }

    #[test]
    fn small_archives_beside_a_film_or_an_album_are_nothing() {
        assert_eq!(played("f", &[("f.mkv", 700_000), ("Subs.rar", 1000), ("scans.zip", 90_000)]), "f.mkv");
        assert_eq!(played("a", &[("1.flac", 30_000), ("2.flac", 31_000), ("scans.zip", 100_000)]), "2.flac");
        assert_eq!(played("f", &[("f.mkv", 700_000), ("f.iso", 1_500_000)]), "f.mkv");
        assert_eq!(played("f", &[("sample.mkv", 20_000), ("art.zip", 1000)]), "sample.mkv");
    }

    #[test]
    fn a_file_without_an_ending_is_played_where_it_is_far_larger_and_is_looked_at() {
        for name in ["film", "film.xyz", "film.bin", "Film 2014 x264"] {
            let files = [(name, 700_000), ("sample.mkv", 20_000), ("other.mkv", 20_000), ("a.srt", 90)];
            assert_eq!(played("f", &files), name);
            let choice = choose(&torrent("f", &files), &Seen::new());
            assert_eq!(choice.look_at, [0]);
        }
        let files = [("film", 700_000), ("film.mkv", 100_000), ("x", 3)];
        assert_eq!(played("f", &files), "film.mkv", "names decide where nothing else is known");
        let torrent = torrent("f", &files);
        assert_eq!(choose(&torrent, &Seen::new()).look_at, [0]);
        let told = |content| choose(&torrent, &Seen::from([(0, content)]));
        assert_eq!(told(Some(Content::Video)).file.unwrap(), 0);
        assert_eq!(told(Some(Content::Document)).file.unwrap(), 1);
        assert_eq!(told(None).file.unwrap(), 1);
        assert!(matches!(told(Some(Content::Packed)).file, Err(Error::Packed { .. })));
        assert_eq!(choose(&torrent, &Seen::new()).look_at, [0]);
    }

    #[test]
    fn a_file_that_is_alone_is_played_without_a_look() {
        for name in ["film", "content-256", "film.xyz"] {
            let torrent = torrent(name, &[(name, 700_000)]);
            let choice = choose(&torrent, &Seen::new());
            assert_eq!((choice.file.unwrap(), choice.look_at), (0, Vec::new()), "{name}");
        }
    }

    #[test]
    fn every_ending_of_a_film_counts() {
        for name in ["f.m2t", "f.tp", "f.dv", "f.vob", "f.evo", "f.mxf", "f.rmvb", "f.3g2", "f.f4v", "f.mpv", "f.wtv"] {
            assert_eq!(played("f", &[(name, 700_000), ("sample.mkv", 20_000), ("x.avi", 300_000)]), name);
        }
    }

    #[test]
    fn a_torrent_without_media_gives_its_largest_file_and_an_empty_one_says_so() {
        assert_eq!(played("f", &[("a.txt", 5), ("b.pdf", 9)]), "b.pdf");
        assert_eq!(played("f", &[("a", 5), ("b", 9), ("c", 9)]), "b");
        assert!(matches!(torrent("f", &[("a.mkv", 0)]).default_file(), Err(Error::NothingPlayable)));
    }

    #[test]
    fn a_link_that_selects_files_chooses_among_them() {
        let files = [("big.mkv", 900), ("a.mkv", 300), ("b.mkv", 500), ("notes.txt", 600)];
        let mut torrent = torrent("t", &files);
        for (selected, wanted) in [
            (vec![], 0),
            (vec![1..=1], 1),
            (vec![1..=3], 2),
            (vec![3..=3], 3),
            (vec![9..=99_999_999_999], 0),
            (vec![9..=9, 1..=1], 1),
        ] {
            torrent.selected.clone_from(&selected);
            assert_eq!(torrent.default_file().unwrap(), wanted, "{selected:?}");
        }
    }

    proptest! {
        #[test]
        fn any_files_give_one_of_them_or_a_sentence(
            files in proptest::collection::vec(("(Sample/)?[a-c](\\.mkv|\\.rar|\\.srt|\\.xyz|)", 0u64..100), 0..8),
            seen in proptest::collection::vec(0usize..8, 0..4),
        ) {
            let files: Vec<(&str, u64)> = files.iter().map(|(name, length)| (name.as_str(), *length)).collect();
            let torrent = torrent("t", &files);
            let seen: Seen = seen.into_iter().map(|n| (n, Some(Content::Video))).collect();
            let choice = choose(&torrent, &seen);
            if let Ok(n) = choice.file {
                prop_assert!(torrent.files[n].length > 0);
            }
            prop_assert!(choice.look_at.iter().all(|n| !seen.contains_key(n)));
        }
    }
}
