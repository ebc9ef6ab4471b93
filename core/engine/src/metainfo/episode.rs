//! Detects the episode of a series in a path, in the forms that users and release groups write.
//! Pure.
//!
//! Forms: `S01E02`, `S01.E02`, `1x02`, `S2 - 05`, `E02`, `Episode 2` in several languages, `第02話`,
//! and ranges such as `S01E02E03` and `S01E02-04`. A folder may name the season: `Season 2/Episode
//! 3`.

/// Words that precede the number of a season.
const SEASON: &[&str] = &[
    "s",
    "season",
    "series",
    "staffel",
    "saison",
    "temporada",
    "stagione",
    "seizoen",
    "sezon",
    "säsong",
    "sesong",
    "сезон",
];
/// Words that precede the number of an episode.
const EPISODE: &[&str] = &[
    "e",
    "ep",
    "eps",
    "episode",
    "épisode",
    "episodio",
    "episódio",
    "folge",
    "capitulo",
    "capítulo",
    "cap",
    "aflevering",
    "avsnitt",
    "afsnit",
    "odcinek",
    "jakso",
    "bölüm",
    "rész",
    "tập",
    "серия",
    "серія",
    "эпизод",
];
/// Characters that follow the number of an episode that begins with 第.
const COUNTERS: [char; 4] = ['集', '話', '话', '回'];
/// Names of folders for episodes without a season, which count as season 0.
const SPECIALS: &[&str] = &["specials", "special"];
/// Most digits of an episode's number.
const MAX_DIGITS: usize = 4;

/// An episode, or several consecutive ones in one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Episode {
    /// Season, if the path states it.
    pub(super) season: Option<u32>,
    pub(super) first: u32,
    pub(super) last: u32,
}

impl Episode {
    /// Returns whether this file contains the wanted episode. A file without a season belongs to
    /// the first, or its number holds both: `Cap.102`.
    pub(super) fn has(&self, wanted: &Episode) -> bool {
        let season = wanted.season.is_none_or(|season| self.season.unwrap_or(1) == season);
        let within = season && (self.first..=self.last).contains(&wanted.first) && wanted.last <= self.last;
        within || (self.season.is_none() && self.first == self.last && wanted.with_season() == Some(self.first))
    }

    /// Returns season and episode as one number.
    fn with_season(&self) -> Option<u32> {
        let season = self.season.filter(|season| *season > 0 && self.first < 100 && self.first == self.last)?;
        Some(season * 100 + self.first)
    }
}

/// Returns the episode named by a path in lower case.
pub(super) fn episode(path: &str) -> Option<Episode> {
    let (folder, base) = path.rsplit_once('/').unwrap_or(("", path));
    let (mut episode, _) = in_name(base)?;
    episode.season = episode.season.or_else(|| folder.rsplit('/').find_map(season));
    Some(episode)
}

/// Returns the episode requested by a text in lower case, and its remaining words.
pub(super) fn asked_for(text: &str) -> Option<(Episode, Vec<&str>)> {
    let (episode, used) = in_name(text)?;
    let all = tokens(text);
    let rest = all.iter().enumerate().filter(|(i, _)| !used.contains(i)).map(|(_, token)| token.text);
    Some((episode, rest.collect()))
}

/// Returns whether a path without an episode contains the wanted number alone: `Show - 02`, `Season
/// 2/03 Title`, or `Show 102` for the second of season 1. Text in brackets does not count.
pub(super) fn has_bare_number(path: &str, wanted: &Episode) -> bool {
    let (folder, base) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = base.rsplit_once('.').map_or(base, |(stem, _)| stem);
    let of_season = folder.rsplit('/').find_map(season).unwrap_or(1);
    let all = tokens(stem);
    all.iter().enumerate().any(|(i, token)| {
        let alone = i == 0 || !token.gap.is_empty();
        let alone = alone && all.get(i + 1).is_none_or(|next| !next.gap.is_empty());
        let fits = |number: u32| {
            let counts = wanted.season.is_none_or(|season| season == of_season);
            (counts && number == wanted.first) || Some(number) == wanted.with_season()
        };
        alone && !token.bracketed && token.number().is_some_and(fits)
    })
}

/// A run of digits or of letters.
struct Token<'a> {
    text: &'a str,
    /// The text between the previous token and this one.
    gap: &'a str,
    bracketed: bool,
}

impl Token<'_> {
    fn number(&self) -> Option<u32> {
        (self.text.len() <= MAX_DIGITS).then(|| self.text.parse().ok())?
    }
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let kind = |c: char| match c {
        c if c.is_ascii_digit() => 1,
        c if c.is_alphabetic() => 2,
        _ => 0,
    };
    let (mut out, mut depth, mut gap, mut at) = (Vec::new(), 0usize, 0, 0);
    while let Some(c) = text[at..].chars().next() {
        let end = text[at..].find(|other| kind(other) != kind(c)).map_or(text.len(), |length| at + length);
        if kind(c) != 0 {
            out.push(Token { text: &text[at..end], gap: &text[gap..at], bracketed: depth > 0 });
            gap = end;
        }
        for c in text[at..end].chars() {
            match c {
                '[' | '(' | '{' | '【' => depth += 1,
                ']' | ')' | '}' | '】' => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        at = end;
    }
    out
}

/// Returns the episode in the last component of a path, and the range of its tokens.
fn in_name(base: &str) -> Option<(Episode, std::ops::Range<usize>)> {
    let all = tokens(base);
    let (mut season, mut begin) = (None, None);
    let mut i = 0;
    while i < all.len() {
        let from = begin.unwrap_or(i);
        let found = |at: usize, season| {
            let first = all[at].number()?;
            let (last, end) = last_of_range(&all, at, first);
            Some((Episode { season, first, last }, from..end))
        };
        if let Some(at) = marked(&all, i, SEASON, false) {
            (season, begin) = (all[at].number(), begin.or(Some(i)));
            // `S2 - 05`
            let next = all.get(at + 1).filter(|next| next.gap.trim() == "-" && next.text.len() <= 3);
            if next.is_some_and(|next| next.number().is_some() && !has_unit(&all, at + 1)) {
                return found(at + 1, season);
            }
            i = at + 1;
        } else if let Some(at) = marked(&all, i, EPISODE, season.is_some()).or_else(|| counted(&all, i)) {
            return found(at, season);
        } else if let Some(at) = crossed(&all, i) {
            return found(at, all[i].number());
        } else {
            i += 1;
        }
    }
    None
}

/// Returns the position of the number that follows one of these words. Single letters must be
/// joined to it, and to no other token except the number of a season.
fn marked(all: &[Token<'_>], i: usize, words: &[&str], after_season: bool) -> Option<usize> {
    let (word, number) = (&all[i], all.get(i + 1)?);
    number.number()?;
    let letter = word.text.len() == 1;
    let stands = i == 0 || !word.gap.is_empty() || (after_season && letter);
    let near = if letter { number.gap.is_empty() } else { number.gap.chars().all(|c| " ._-#:№".contains(c)) };
    (stands && near && words.contains(&word.text)).then_some(i + 1)
}

/// Returns the position of the number in the form `第02話`.
fn counted(all: &[Token<'_>], i: usize) -> Option<usize> {
    let (number, counter) = (all.get(i + 1)?, all.get(i + 2)?);
    let joined = number.number().is_some() && number.gap.is_empty() && counter.gap.trim().is_empty();
    (joined && all[i].text.ends_with('第') && counter.text.starts_with(COUNTERS)).then_some(i + 1)
}

/// Returns the position of the number in the form `1x02`, but not `1920x1080`.
fn crossed(all: &[Token<'_>], i: usize) -> Option<usize> {
    let (cross, number) = (all.get(i + 1)?, all.get(i + 2)?);
    let joined = cross.text == "x" && cross.gap.is_empty() && number.gap.is_empty();
    let season = all[i].number().is_some() && all[i].text.len() <= 2 && (i == 0 || !all[i].gap.is_empty());
    (joined && season && number.number().is_some() && number.text.len() <= 3).then_some(i + 2)
}

/// Returns the last episode of a range that begins with the number at `at`, and the end of its
/// tokens.
fn last_of_range(all: &[Token<'_>], at: usize, first: u32) -> (u32, usize) {
    let (mut last, mut end) = (first, at + 1);
    while let Some(next) = all.get(end) {
        let is_letter = matches!(next.text, "e" | "ep" | "x") && matches!(next.gap, "" | "-");
        let number = match all.get(end + 1).filter(|number| is_letter && number.gap.is_empty()) {
            Some(_) => end + 1,
            None if next.gap == "-" => end,
            None => break,
        };
        let longer = all[number].number().filter(|n| *n > last && all[number].text.len() == all[at].text.len());
        match longer.filter(|_| !has_unit(all, number)) {
            Some(n) => (last, end) = (n, number + 1),
            None => break,
        }
    }
    (last, end)
}

/// Returns whether letters are joined to a number, as in `720p`.
fn has_unit(all: &[Token<'_>], number: usize) -> bool {
    all.get(number + 1).is_some_and(|next| next.gap.is_empty() && !matches!(next.text, "e" | "ep" | "x"))
}

/// Returns the season that a folder's name states.
fn season(folder: &str) -> Option<u32> {
    let all = tokens(folder);
    let marked = (0..all.len()).find_map(|i| all[marked(&all, i, SEASON, false)?].number());
    marked.or_else(|| (all.len() == 1 && SPECIALS.contains(&all[0].text)).then_some(0))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn told(path: &str) -> Option<(Option<u32>, u32, u32)> {
        episode(&path.to_lowercase()).map(|e| (e.season, e.first, e.last))
    }

    #[test]
    fn episodes_are_recognised_in_the_usual_forms() {
        for (path, wanted) in [
            ("show.s01e02.720p", (Some(1), 2, 2)),
            ("Show S1E2", (Some(1), 2, 2)),
            ("Show.S01.E02.1080p", (Some(1), 2, 2)),
            ("show 1x02", (Some(1), 2, 2)),
            ("[Grp] Show S2 - 05 [1080p]", (Some(2), 5, 5)),
            ("Show.E02", (None, 2, 2)),
            ("Show Ep. 12", (None, 12, 12)),
            ("Serie Staffel 2 Folge 3", (Some(2), 3, 3)),
            ("Serie.Temporada.1.Capitulo.4", (Some(1), 4, 4)),
            ("Сериал Сезон 1 Серия 2", (Some(1), 2, 2)),
            ("剧集.第02集", (None, 2, 2)),
            ("番組 第2話", (None, 2, 2)),
            ("Season 2/Episode 3", (Some(2), 3, 3)),
            ("Show S03/Extras/E04", (Some(3), 4, 4)),
            ("Specials/Show E01", (Some(0), 1, 1)),
            ("show.s01e02e03", (Some(1), 2, 3)),
            ("show.s01e04-e05", (Some(1), 4, 5)),
            ("show.s01e06-07.720p", (Some(1), 6, 7)),
            ("show.s01e08e09e10", (Some(1), 8, 10)),
            ("show 1x02-1x03", (Some(1), 2, 2)),
        ] {
            assert_eq!(told(path), Some(wanted), "{path}");
        }
        let range = told("Show S01E06-1080p").unwrap();
        assert_eq!((range.1, range.2), (6, 6), "a resolution ends no range");
    }

    #[test]
    fn other_numbers_are_no_episodes() {
        for path in [
            "film.1920x1080",
            "Ocean's 11",
            "sense and sexy",
            "Show - 02 [A1E23B4C]",
            "Movie x264",
            "Film 2019",
            "Se7en",
            "S02",
            "",
        ] {
            assert_eq!(told(path), None, "{path}");
        }
    }

    #[test]
    fn a_number_by_itself_is_that_of_an_episode_outside_of_brackets() {
        let wanted = |season, first| Episode { season, first, last: first };
        assert!(has_bare_number("[grp] show - 02 [1080p][abcd1234].mkv", &wanted(None, 2)));
        assert!(has_bare_number("[grp] show - 02.mkv", &wanted(Some(1), 2)));
        assert!(has_bare_number("show.102.mkv", &wanted(Some(1), 2)));
        assert!(has_bare_number("show/s02/02. title.mkv", &wanted(Some(2), 2)));
        assert!(!has_bare_number("show/s01/02. title.mkv", &wanted(Some(2), 2)));
        assert!(!has_bare_number("show - 02.mkv", &wanted(Some(2), 2)));
        assert!(!has_bare_number("show [02].mkv", &wanted(None, 2)));
        assert!(!has_bare_number("show 2nd.mp4", &wanted(None, 4)));
    }

    proptest! {
        #[test]
        fn any_name_is_read(path in "[sex第0-9 .\\-話/\\[]{0,24}") {
            if let Some(episode) = episode(&path) {
                prop_assert!(episode.first <= episode.last);
            }
            let _ = asked_for(&path);
        }
    }
}
