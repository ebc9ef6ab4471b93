//! Sidecar files of a film in its torrent, judged by names alone: subtitles and artwork.
//!
//! A subtitle belongs to a film if one of these conditions holds:
//!
//! - It has the film's name (`film.mkv`: `film.srt`, `film.en.srt`) and lies in the same folder, or
//!   in a folder called `Subs` or `Subtitles` there.
//! - It lies in a folder of the film's name there (`Subs/film/2_English.srt`).
//! - It names the same episode (`S01E02`), and no other file of the folder does.
//! - Its folder holds no other film.
//!
//! The time is linear in the length of all names.

use super::choose::is_extra;
use super::composed;
use super::episode::episode;
use super::language::{Label, read_label};
use super::{FileEntry, Metainfo, content_type, is_playable, natural_cmp};
use playswarm_media::{Content, Format};
use std::collections::{BTreeMap, BTreeSet};

/// Largest subtitle that is certainly text, bytes. A larger `.sub` holds pictures (VobSub), which
/// are useless without their `.idx`.
const LARGEST_TEXT: u64 = 1 << 20;
/// Names of folders beside a film that hold its subtitles.
const SUBTITLE_FOLDERS: &[&str] = &["subs", "sub", "subtitles", "subtitle", "captions"];
/// Names of pictures that represent a whole folder, best first.
const COVERS: &[&str] = &["poster", "cover", "folder", "front", "albumart", "album", "artwork", "thumb", "default"];
/// Endings that follow a film's name in the name of its picture.
const PICTURE_LABELS: &[&str] = &["-poster", "-thumb", "-cover", ".poster", ".thumb", ".cover"];

/// Most labels behind a film's name in that of its subtitle. A crafted name of dots alone would
/// cost a lookup for each.
const MAX_LABELS: usize = 24;

/// A subtitle file of a film.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Subtitle {
    /// Number of the file.
    pub file: usize,
    /// Format: `srt`, `webvtt`, `ass`, `sub` or `sami`.
    pub format: &'static str,
    /// Language as a BCP 47 tag, if the name states it.
    pub language: Option<String>,
    /// Title for a player's menu, such as `English (forced)`; the file's name if it has no label.
    pub title: String,
    /// Whether it contains only the parts spoken in a foreign language.
    pub forced: bool,
    /// Whether it describes sounds.
    pub hearing_impaired: bool,
}

/// The sidecar files of all films of a torrent.
#[derive(Clone, Debug, Default)]
pub struct Sidecars {
    subtitles: BTreeMap<usize, Vec<Subtitle>>,
    artwork: BTreeMap<usize, usize>,
}

impl Sidecars {
    /// Finds the sidecar files of a torrent.
    pub fn new(torrent: &Metainfo) -> Sidecars {
        Sidecars::of(&torrent.files)
    }

    pub(crate) fn of(files: &[FileEntry]) -> Sidecars {
        let names: Vec<Name> = files.iter().map(|f| Name::new(&f.name)).collect();
        let shelves = Shelves::new(files, &names);
        let mut beside = Sidecars::default();
        for (i, name) in names.iter().enumerate().filter(|(i, _)| !files[*i].padding) {
            if let Some(format) = name.subtitle_format().filter(|_| !shelves.is_vob_sub(i, name))
                && let Some((film, label)) = shelves.film_of(name)
            {
                let subtitle = Subtitle::new(i, format, &label, base(&files[i].name));
                beside.subtitles.entry(film).or_default().push(subtitle);
            }
        }
        for list in beside.subtitles.values_mut() {
            list.sort_by(|a, b| natural_cmp(&files[a.file].name, &files[b.file].name));
        }
        for (film, name) in names.iter().enumerate().filter(|(i, _)| shelves.is_film(*i)) {
            if let Some(picture) = shelves.picture_of(name) {
                beside.artwork.insert(film, picture);
            }
        }
        beside
    }

    /// Returns the subtitles of a file, in natural order.
    pub fn subtitles(&self, film: usize) -> &[Subtitle] {
        self.subtitles.get(&film).map_or(&[], Vec::as_slice)
    }

    /// Returns the properties of a subtitle file according to its name.
    pub fn subtitle(&self, file: usize) -> Option<&Subtitle> {
        self.subtitles.values().flatten().find(|subtitle| subtitle.file == file)
    }

    /// Returns the files that have subtitles, ascending.
    pub fn films(&self) -> impl Iterator<Item = usize> + '_ {
        self.subtitles.keys().copied()
    }

    /// Returns the picture of a file: its own, or else that of its folder or of the parent folder.
    pub fn artwork(&self, film: usize) -> Option<usize> {
        self.artwork.get(&film).copied()
    }
}

impl Subtitle {
    fn new(file: usize, format: &'static str, label: &str, name: &str) -> Subtitle {
        let Label { language, language_name, forced, hearing_impaired } = read_label(label);
        let kind = match (forced, hearing_impaired) {
            (true, _) => " (forced)",
            (false, true) => " (SDH)",
            _ => "",
        };
        let title = match (&language, language_name) {
            (Some(tag), Some(name)) if tag.contains('-') => format!("{name}, {tag}{kind}"),
            (_, Some(name)) => format!("{name}{kind}"),
            _ => name.to_owned(),
        };
        Subtitle { file, format, language, title, forced, hearing_impaired }
    }
}

/// A path in lower case, split into parts.
struct Name {
    folder: String,
    stem: String,
    ending: String,
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Returns the folder and the name in it.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

impl Name {
    fn new(path: &str) -> Name {
        let lower = composed(path).to_lowercase();
        let (folder, base) = split(&lower);
        let (stem, ending) = base.rsplit_once('.').unwrap_or((base, ""));
        Name { folder: folder.into(), stem: stem.into(), ending: ending.into() }
    }

    /// Returns the format of a subtitle that players support.
    fn subtitle_format(&self) -> Option<&'static str> {
        let format = Format::by_name(&format!("x.{}", self.ending))?;
        (format.content == Content::Subtitle && !format.name.is_empty()).then_some(format.name)
    }

    fn is_picture(&self) -> bool {
        matches!(self.ending.as_str(), "jpg" | "jpeg" | "png" | "webp")
    }
}

/// The films and pictures of each folder.
struct Shelves<'a> {
    files: &'a [FileEntry],
    films: BTreeMap<&'a str, Vec<usize>>,
    by_stem: BTreeMap<(&'a str, &'a str), usize>,
    /// Film by folder and episode; `None` if several films are the same episode.
    by_episode: BTreeMap<(&'a str, Key), Option<usize>>,
    pictures: BTreeMap<(&'a str, &'a str), usize>,
    /// The `.idx` files of VobSub subtitles.
    indexes: BTreeSet<(&'a str, &'a str)>,
    /// The picture of each folder; `None` if a folder holds several.
    only_picture: BTreeMap<&'a str, Option<usize>>,
}

/// A season and a first episode.
type Key = (Option<u32>, u32);

/// Returns the key of the episode that a name contains, by which subtitles are found.
fn key(name: &str) -> Option<Key> {
    episode(name).map(|episode| (episode.season, episode.first))
}

impl<'a> Shelves<'a> {
    fn new(files: &'a [FileEntry], names: &'a [Name]) -> Shelves<'a> {
        let mut shelves = Shelves {
            files,
            films: BTreeMap::new(),
            by_stem: BTreeMap::new(),
            by_episode: BTreeMap::new(),
            pictures: BTreeMap::new(),
            indexes: BTreeSet::new(),
            only_picture: BTreeMap::new(),
        };
        for (i, name) in names.iter().enumerate() {
            let folder = name.folder.as_str();
            if shelves.is_film(i) {
                shelves.by_stem.entry((folder, &name.stem)).or_insert(i);
                shelves.films.entry(folder).or_default().push(i);
            } else if name.ending == "idx" {
                shelves.indexes.insert((folder, &name.stem));
            } else if name.is_picture() && !files[i].padding {
                shelves.pictures.entry((folder, &name.stem)).or_insert(i);
                shelves.only_picture.entry(folder).and_modify(|picture| *picture = None).or_insert(Some(i));
            }
        }
        let Shelves { films, by_episode, .. } = &mut shelves;
        for (folder, films) in films {
            // A sample beside a film does not count as a second film, nor as a second episode.
            let is_extra = |film: &usize| is_extra(&files[*film].name, "");
            if !films.iter().all(is_extra) {
                films.retain(|film| !is_extra(film));
            }
            for film in films {
                if let Some(episode) = key(&names[*film].stem) {
                    by_episode.entry((*folder, episode)).and_modify(|film| *film = None).or_insert(Some(*film));
                }
            }
        }
        shelves
    }

    /// Returns whether a `.sub` holds pictures.
    fn is_vob_sub(&self, file: usize, name: &Name) -> bool {
        let has_index = self.indexes.contains(&(name.folder.as_str(), name.stem.as_str()));
        name.ending == "sub" && (has_index || self.files[file].length > LARGEST_TEXT)
    }

    fn is_film(&self, file: usize) -> bool {
        let f = &self.files[file];
        !f.padding && is_playable(&f.name)
    }

    /// Returns the film that a subtitle belongs to, and the part of its name that may state the
    /// language.
    fn film_of(&self, subtitle: &Name) -> Option<(usize, String)> {
        let folder = subtitle.folder.as_str();
        let (above, own) = split(folder);
        let (above_both, subs) = split(above);
        // The folders that may contain its film, nearest first.
        let mut places = vec![folder];
        if SUBTITLE_FOLDERS.contains(&own) {
            places.push(above);
        }
        if SUBTITLE_FOLDERS.contains(&subs) && above != folder {
            // `Subs/film/2_English.srt`: the folder has the film's name.
            if let Some(film) = self.by_stem.get(&(above_both, own)) {
                return Some((*film, subtitle.stem.clone()));
            }
            places.push(above_both);
        }
        for place in &places {
            if let Some(found) = self.by_prefix(place, &subtitle.stem) {
                return Some(found);
            }
        }
        let named = key(&subtitle.stem).or_else(|| key(own));
        for place in &places {
            if let Some(film) = named.and_then(|e| *self.by_episode.get(&(*place, e))?) {
                return Some((film, subtitle.stem.clone()));
            }
        }
        // A subtitle that names another episode belongs to none of these.
        let alone = |place: &&str| self.films.get(*place).filter(|films| films.len() == 1);
        let film = *places.iter().find_map(alone)?.first()?;
        let other = named.is_some_and(|e| key(&Name::new(&self.files[film].name).stem).is_some_and(|f| f != e));
        (!other).then(|| (film, subtitle.stem.clone()))
    }

    /// Returns the film whose name is the longest prefix of this name.
    fn by_prefix(&self, folder: &str, stem: &str) -> Option<(usize, String)> {
        let mut end = stem.len();
        for _ in 0..=MAX_LABELS {
            if let Some(film) = self.by_stem.get(&(folder, &stem[..end])) {
                return Some((*film, stem[end..].to_owned()));
            }
            // Names are split at characters that precede labels.
            end = stem[..end].rfind(['.', '_', '-', ' ', '(', '['])?;
        }
        None
    }

    fn picture_of(&self, film: &Name) -> Option<usize> {
        let folder = film.folder.as_str();
        let picture = |folder: &str, stem: &str| self.pictures.get(&(folder, stem)).copied();
        let own = || PICTURE_LABELS.iter().find_map(|label| picture(folder, &format!("{}{label}", film.stem)));
        let of = |folder: &str| COVERS.iter().find_map(|cover| picture(folder, cover));
        picture(folder, &film.stem)
            .or_else(own)
            .or_else(|| of(folder))
            .or_else(|| self.only_picture.get(folder).copied().flatten())
            .or_else(|| (!folder.is_empty()).then(|| of(split(folder).0)).flatten())
            .filter(|picture| content_type(&self.files[*picture].name).starts_with("image/"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::choose::tests::entry;
    use super::*;
    use proptest::prelude::*;

    fn files(names: &[impl AsRef<str>]) -> Vec<FileEntry> {
        let entry = |name: &str| {
            let mut file = entry(name, 1);
            file.padding = name.ends_with(".pad");
            file
        };
        names.iter().map(|name| entry(name.as_ref())).collect()
    }

    /// Returns the names of a film's subtitles, with their languages.
    fn subtitles<'a>(names: &[&'a str], film: usize) -> Vec<(&'a str, Option<String>)> {
        let beside = Sidecars::of(&files(names));
        beside.subtitles(film).iter().map(|s| (names[s.file], s.language.clone())).collect()
    }

    fn tag(tag: &str) -> Option<String> {
        Some(tag.to_owned())
    }

    #[test]
    fn subtitles_that_are_pictures_are_left_out() {
        let names = ["f.mkv", "f.sub", "f.idx", "Subs/f.en.sub", "Subs/other.idx", "f.sup"];
        assert_eq!(subtitles(&names, 0), [("Subs/f.en.sub", tag("en"))]);
        let mut files = files(&names);
        files[3].length = 3 << 20;
        assert!(Sidecars::of(&files).subtitles(0).is_empty(), "no text is that long");
    }

    #[test]
    fn a_sample_takes_no_subtitle_from_its_episode_and_a_title_makes_no_sample() {
        let names = ["s/Show.S01E02.mkv", "s/Show.S01E02.sample.mkv", "s/Subs/S01E02.srt"];
        assert_eq!(subtitles(&names, 0), [(names[2], None)]);
        let names = ["The Interview.mkv", "Subs/2_English.srt"];
        assert_eq!(subtitles(&names, 0), [(names[1], tag("en"))]);
    }

    #[test]
    fn subtitles_of_the_films_name_are_found_with_their_language() {
        let names =
            ["Film/Film.mkv", "Film/film.srt", "Film/Film.en.srt", "Film/Film.ger.forced.srt", "Film/Film 2.mkv"];
        let expected = [(names[2], tag("en")), (names[3], tag("de")), (names[1], None)];
        assert_eq!(subtitles(&names, 0), expected);
        assert_eq!(subtitles(&names, 4), []);
        let beside = Sidecars::of(&files(&names));
        let forced: Vec<_> = beside.subtitles(0).iter().map(|s| (s.title.as_str(), s.forced)).collect();
        assert_eq!(forced, [("English", false), ("German (forced)", true), ("film.srt", false)]);
    }

    #[test]
    fn the_longest_name_wins() {
        let names = ["a.mkv", "a.part2.mkv", "a.part2.en.srt", "a.en.srt"];
        assert_eq!(subtitles(&names, 0), [("a.en.srt", tag("en"))]);
        assert_eq!(subtitles(&names, 1), [("a.part2.en.srt", tag("en"))]);
    }

    #[test]
    fn a_folder_for_subtitles_serves_the_only_film() {
        let names = [
            "Film.2020/Film.2020.mp4",
            "Film.2020/sample.mp4",
            "Film.2020/Subs/2_English.srt",
            "Film.2020/Subs/3_French.srt",
        ];
        assert_eq!(subtitles(&names, 0), [(names[2], tag("en")), (names[3], tag("fr"))]);
        assert_eq!(subtitles(&names, 1), []);
    }

    #[test]
    fn each_episode_has_its_folder_or_its_number() {
        let names = [
            "S/Show.S01E01.mkv",
            "S/Show.S01E02.mkv",
            "S/Subs/Show.S01E01/2_English.srt",
            "S/Subs/Show.S01E02/2_English.srt",
            "S/Subtitles/Show S01E02 german.srt",
            "S/Subtitles/other.srt",
        ];
        assert_eq!(subtitles(&names, 0), [(names[2], tag("en"))]);
        assert_eq!(subtitles(&names, 1), [(names[3], tag("en")), (names[4], tag("de"))]);
    }

    #[test]
    fn a_subtitle_of_another_episode_is_not_the_only_films() {
        assert_eq!(subtitles(&["Show.S01E01.mkv", "Show.S01E09.en.srt"], 0), []);
    }

    #[test]
    fn artwork_is_the_films_own_then_its_folders_then_the_one_aboves() {
        let names = [
            "show/poster.jpg",
            "show/s1/e1.mkv",
            "show/s1/e2.mkv",
            "show/s1/e2-thumb.jpg",
            "show/s1/x.png",
            "album/01.mp3",
            "album/scan.png",
            "one/film.mkv",
            "one/Film.jpg",
        ];
        let beside = Sidecars::of(&files(&names));
        let found = |film: usize| beside.artwork(film).map(|i| names[i]);
        assert_eq!(found(1), Some("show/poster.jpg"));
        assert_eq!(found(2), Some("show/s1/e2-thumb.jpg"));
        assert_eq!(found(5), Some("album/scan.png"));
        assert_eq!(found(7), Some("one/Film.jpg"));
        assert_eq!(found(0), None);
    }

    proptest! {
        #[test]
        fn any_names_give_each_subtitle_to_one_film_at_most(
            names in proptest::collection::vec("(([Ss]ubs|é|a)/)?(s1e1|s1e2|é|a|a.b)(\\.en|_é|)(\\.mkv|\\.srt|\\.jpg|\\.pad)", 0..12)
        ) {
            let files = files(&names);
            let beside = Sidecars::of(&files);
            let mut seen = BTreeSet::new();
            for film in beside.films() {
                prop_assert!(is_playable(&files[film].name));
                for subtitle in beside.subtitles(film) {
                    prop_assert!(seen.insert(subtitle.file), "{:?}", names);
                    prop_assert!(names[subtitle.file].ends_with(".srt"));
                }
            }
        }
    }
}
