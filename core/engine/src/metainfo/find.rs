//! Finds the file of a torrent that a user names by number or name.

use super::choose::{rank, words};
use super::episode::{Episode, asked_for, episode, has_bare_number};
use super::{Metainfo, composed};
use crate::error::{Error, Result};
use std::collections::BTreeSet;

/// Most files listed in an error.
const LISTED: usize = 8;
/// Most characters of a name compared for similarity.
const NEAR_CHARS: usize = 200;

/// A rule that decides whether a file's name matches the request. Both exist unchanged, in lower
/// case, and as words.
type Rule = fn(&Wanted, &Name) -> bool;

/// Rules from the strictest to the most lenient. The first that matches any file decides.
const RULES: &[Rule] = &[
    |wanted, name| wanted.plain == name.plain,
    |wanted, name| wanted.lower == name.lower || wanted.below.as_ref() == Some(&name.lower),
    |wanted, name| name.lower.strip_suffix(&wanted.lower).is_some_and(|folder| folder.ends_with('/')),
    |wanted, name| name.stem() == wanted.lower,
    |wanted, name| wanted.is_for(name, |episode| name.episode.is_some_and(|named| named.has(episode))),
    |wanted, name| wanted.is_for(name, |it| name.episode.is_none() && has_bare_number(&name.path, it)),
    |wanted, name| contains_number(&name.lower, &wanted.lower),
    |wanted, name| name.words.contains(&wanted.words),
    |wanted, name| wanted.tokens().all(|token| name.words.contains(&words(token))),
    |wanted, name| unpadded(&name.words).contains(&unpadded(&wanted.words)),
];

struct Wanted {
    plain: String,
    lower: String,
    /// The same without the torrent's own name in front.
    below: Option<String>,
    words: String,
    /// An episode, and the words beside it.
    episode: Option<(Episode, Vec<String>)>,
}

impl Wanted {
    /// Returns the parts between blanks and punctuation. `S02` is one, and is not in `S01E02`.
    fn tokens(&self) -> impl Iterator<Item = &str> {
        self.lower.split(|c: char| !c.is_alphanumeric()).filter(|token| !token.is_empty())
    }

    /// Returns whether an episode is wanted for which `fits` returns true, and the name contains
    /// the words beside it.
    fn is_for(&self, name: &Name, fits: impl Fn(&Episode) -> bool) -> bool {
        self.episode
            .as_ref()
            .is_some_and(|(episode, rest)| fits(episode) && rest.iter().all(|word| name.words.contains(&words(word))))
    }
}

struct Name {
    plain: String,
    lower: String,
    /// In lower case, with the torrent's name in front, which may state the season.
    path: String,
    words: String,
    episode: Option<Episode>,
}

impl Name {
    fn new(name: &str, torrent: &str) -> Name {
        let lower = name.to_lowercase();
        let path = format!("{torrent}/{lower}");
        let episode = episode(&path);
        Name { plain: name.to_owned(), lower, path, words: words(name), episode }
    }

    /// Returns the last component without its extension.
    fn stem(&self) -> &str {
        let base = self.lower.rsplit('/').next().unwrap_or(&self.lower);
        base.rsplit_once('.').map_or(base, |(stem, _)| stem)
    }
}

/// Finds a file; see [`ChooseFile::find_file`](super::ChooseFile::find_file).
pub(super) fn find(torrent: &Metainfo, wanted: &str) -> Result<usize> {
    let number = wanted.parse::<usize>().ok().filter(|n| torrent.files.get(*n).is_some_and(|f| !f.padding));
    if let Some(n) = number.filter(|n| n.to_string() == wanted) {
        return Ok(n);
    }
    let shown: Vec<usize> = (0..torrent.files.len()).filter(|n| !torrent.files[*n].padding).collect();
    let whole = composed(wanted);
    let (asked, wanted) = (wanted, &*whole);
    let title = composed(&torrent.name).to_lowercase();
    let names: Vec<Name> = shown.iter().map(|n| Name::new(&composed(&torrent.files[*n].name), &title)).collect();
    let lower = wanted.to_lowercase();
    let below = lower.strip_prefix(&title).and_then(|below| below.strip_prefix('/')).map(str::to_owned);
    let episode = asked_for(&lower).map(|(it, rest)| (it, rest.into_iter().map(str::to_owned).collect()));
    let wanted_as = Wanted { plain: wanted.to_owned(), below, words: words(wanted), episode, lower };
    if wanted_as.words.trim().is_empty() {
        return Err(Error::NoSuchFile { wanted: asked.to_owned(), files: torrent.files.len() });
    }
    for rule in RULES {
        let fits = shown.iter().zip(&names).filter(|(_, name)| rule(&wanted_as, name)).map(|(n, _)| *n);
        let fits: Vec<usize> = fits.collect();
        match foremost(torrent, &fits)[..] {
            [] => {}
            [one] => return Ok(one),
            ref several => return Err(unclear(torrent, asked, true, several)),
        }
    }
    if let Some(n) = number {
        return Ok(n);
    }
    match near(&wanted_as, &shown, &names)[..] {
        [] => Err(Error::NoSuchFile { wanted: asked.to_owned(), files: torrent.files.len() }),
        ref near => Err(unclear(torrent, asked, false, near)),
    }
}

/// Returns those of the files with the best rank.
fn foremost(torrent: &Metainfo, files: &[usize]) -> Vec<usize> {
    let title = words(&torrent.name);
    let ranks: Vec<u32> = files.iter().map(|n| rank(&torrent.files[*n], &title)).collect();
    let first = ranks.iter().min();
    files.iter().zip(&ranks).filter(|(_, rank)| Some(*rank) == first).map(|(n, _)| *n).collect()
}

/// Returns the files whose names are most similar to the request.
fn near(wanted: &Wanted, shown: &[usize], names: &[Name]) -> Vec<usize> {
    let parts = parts(&wanted.words);
    let share = |name: &Name| {
        let base = name.words.as_str();
        self::parts(base).intersection(&parts).count() * 100 / parts.len().max(1)
    };
    let mut near: Vec<(usize, usize)> = shown.iter().zip(names).map(|(n, name)| (share(name), *n)).collect();
    near.retain(|(share, _)| *share >= 40);
    near.sort_by_key(|(share, n)| (std::cmp::Reverse(*share), *n));
    near.truncate(LISTED);
    near.into_iter().map(|(_, n)| n).collect()
}

fn unclear(torrent: &Metainfo, wanted: &str, several: bool, files: &[usize]) -> Error {
    let name = |n: &usize| (*n, torrent.files[*n].name.clone());
    let more = files.len().saturating_sub(LISTED);
    let files = files.iter().take(LISTED).map(name).collect();
    Error::UnclearFile { wanted: wanted.to_owned(), several, files, more }
}

/// Returns words whose numbers have no leading zeros.
fn unpadded(words: &str) -> String {
    let mut out = String::with_capacity(words.len());
    for word in words.split_whitespace() {
        out.push(' ');
        out.push_str(word.trim_start_matches('0'));
    }
    out + " "
}

/// Returns whether a name contains a text, with no digit adjoining a digit at its beginning or end:
/// `e1` is not in `e10`.
fn contains_number(name: &str, text: &str) -> bool {
    let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    name.match_indices(text).any(|(at, _)| {
        let (before, after) = (name[..at].chars().next_back(), name[at + text.len()..].chars().next());
        !(digit(before) && digit(text.chars().next()) || digit(after) && digit(text.chars().next_back()))
    })
}

/// Returns every sequence of three characters.
fn parts(text: &str) -> BTreeSet<[char; 3]> {
    let chars: Vec<char> = text.chars().take(NEAR_CHARS).collect();
    chars.windows(3).filter_map(|three| three.try_into().ok()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::choose::tests::torrent;
    use crate::metainfo::ChooseFile;

    fn found(files: &[&str], wanted: &str) -> String {
        let with_length: Vec<(&str, u64)> = files.iter().map(|name| (*name, 100)).collect();
        match torrent("Show", &with_length).find_file(wanted) {
            Ok(n) => files[n].to_owned(),
            Err(e) => e.to_string(),
        }
    }

    #[test]
    fn a_part_of_a_name_means_the_film_and_not_what_lies_beside_it() {
        let files = [
            "Show.S01E01.mkv",
            "Show.S01E02.mkv",
            "Show.S01E02.srt",
            "Show.S01E02.nfo",
            "Sample/Show.S01E02.sample.mkv",
            "Show.S01E02-thumb.jpg",
            "Show.S01E20.mkv",
        ];
        assert_eq!(found(&files, "S01E02"), files[1]);
        assert_eq!(found(&files, "s01e02"), files[1]);
        assert_eq!(found(&files, "1x02"), files[1], "an episode may be written in another way");
        assert_eq!(found(&files, "S1E2"), files[1]);
        assert_eq!(found(&files, "show s01e02"), files[1], "words may be divided in another way");
        assert_eq!(found(&files, "S01E02.srt"), files[2], "what is named is what is meant");
        assert_eq!(found(&files, "sample"), files[4]);
        assert_eq!(found(&files, "1"), files[1]);
        let album = ["E1.mkv", "E10.mkv", "E11.mkv"];
        assert_eq!(found(&album, "E1"), "E1.mkv");
        assert_eq!(found(&["01 Pilot.mkv", "02 Next.mkv", "03 Last.mkv"], "02"), "02 Next.mkv");
    }

    #[test]
    fn a_path_is_exact_whatever_else_has_its_name() {
        let files = ["film.mkv", "Sample/film.mkv", "Film.mkv", "Subs/film.srt"];
        assert_eq!(found(&files, "film.mkv"), "film.mkv");
        assert_eq!(found(&files, "Film.mkv"), "Film.mkv");
        assert_eq!(found(&files, "Sample/film.mkv"), "Sample/film.mkv");
        assert_eq!(found(&files, "sample/FILM.mkv"), "Sample/film.mkv");
        assert_eq!(found(&files, "Show/Subs/film.srt"), "Subs/film.srt", "with the torrent's name in front");
        assert_eq!(found(&["a/film.mkv", "Sample/film.mkv"], "film.mkv"), "a/film.mkv");
        assert_eq!(found(&["film", "film.srt", "Sample/film.mkv"], "film"), "film");
    }

    #[test]
    fn a_composed_letter_and_its_decomposed_twin_are_the_same() {
        let (composed, decomposed) = ("Amélie.mkv", "Ame\u{301}lie.mkv");
        assert_eq!(found(&[decomposed, "Other.mkv"], composed), decomposed);
        assert_eq!(found(&[composed, "Other.mkv"], decomposed), composed);
        assert_eq!(found(&["x/Ame\u{301}lie/1.mkv", "Other.mkv"], "amélie"), "x/Ame\u{301}lie/1.mkv");
        assert_eq!(found(&["가.mkv", "Other.mkv"], "\u{1100}\u{1161}"), "가.mkv");
        // Both are there: the one of that number is had by its number.
        let both = found(&[composed, decomposed], composed);
        assert!(both.contains("0: Amélie.mkv") && both.contains("1: "), "{both}");
    }

    #[test]
    fn a_season_is_no_episode_of_another() {
        let files = ["Show S01E01.mkv", "Show S01E02.mkv", "Show S01E10.mkv"];
        assert!(!files.contains(&found(&files, "S02").as_str()));
        assert_eq!(found(&files, "show e02"), "Show S01E02.mkv");
    }

    #[test]
    fn an_episode_is_found_in_whatever_form_it_is_asked_for() {
        let season = ["Show.S01E01.mkv", "Show.S01E02E03.mkv", "Show.S01E04-05.mkv", "Show.S01E10.mkv"];
        assert_eq!(found(&season, "S01E1"), season[0], "not the tenth");
        assert_eq!(found(&season, "E1"), season[0]);
        assert_eq!(found(&season, "S01E03"), season[1]);
        assert_eq!(found(&season, "episode 5"), season[2]);
        assert_eq!(found(&season, "1x10"), season[3]);
        assert!(found(&season, "S02E01").starts_with("there is no file"));
        let seasons = ["S1/Show 1x01.mkv", "S1/Show 1x02.mkv", "S2/Show 2x01.mkv", "S2/Sample/show.2x01.sample.mkv"];
        assert_eq!(found(&seasons, "season 2 episode 1"), seasons[2]);
        assert_eq!(found(&seasons, "show s1.e2"), seasons[1]);
        let folders = ["Season 1/Episode 3.mkv", "Season 2/Episode 3.mkv", "Season 2/Episode 13.mkv"];
        assert_eq!(found(&folders, "S02E03"), folders[1]);
        let anime = ["[G] Show - 01 [1080p][ABCD1E02].mkv", "[G] Show - 02 [1080p][ABCD1234].mkv", "NCOP2.mkv"];
        assert_eq!(found(&anime, "E02"), anime[1]);
        assert_eq!(found(&anime, "S01E02"), anime[1]);
        assert_eq!(found(&["Show 012.mkv", "Show 112.mkv", "Show 120.mkv"], "show 12"), "Show 012.mkv");
        assert_eq!(found(&["S01/02. A.mkv", "S02/02. B.mkv"], "S02E02"), "S02/02. B.mkv");
        assert_eq!(found(&["Serie Cap.102.avi", "Serie Cap.202.avi"], "S02E02"), "Serie Cap.202.avi");
        assert_eq!(found(&["Show.103.mkv", "Show.104.mkv"], "1x04"), "Show.104.mkv");
        assert_eq!(found(&["番組 第1話.mp4", "番組 第2話.mp4"], "E02"), "番組 第2話.mp4");
    }

    #[test]
    fn several_that_fit_and_near_ones_are_listed() {
        let files = ["Show.S01E02.720p.mkv", "Show.S01E02.1080p.mkv", "Show.S01E03.mkv", "Show.S01E02.srt"];
        let sentence = found(&files, "S01E02");
        assert!(
            sentence.contains("0: Show.S01E02.720p.mkv") && sentence.contains("1: Show.S01E02.1080p.mkv"),
            "{sentence}"
        );
        assert!(!sentence.contains("srt") && !sentence.contains("E03"), "{sentence}");
        let sentence = found(&files, "Shaw.S01E03.mkv");
        assert!(sentence.contains("2: Show.S01E03.mkv"), "{sentence}");
        let sentence = found(&files, "zzz");
        assert!(sentence.contains("no file zzz") && !sentence.contains("Show"), "{sentence}");
        for nothing in ["", " ", "/", "..."] {
            assert!(found(&files, nothing).starts_with("there is no file"), "{nothing:?}");
        }
        assert!(found(&files, "99").starts_with("there is no file 99"));
    }
}
