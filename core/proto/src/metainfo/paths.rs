//! Turns a torrent's file names into paths that are safe to create, unique and reproducible.
//!
//! Pure functions: nothing here accesses a disk. The store makes sure that no symbolic link is on
//! the way.

use crate::printable::{is_printable, prefix};
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::PathBuf;

/// Longest component of a path, bytes: the limit of common file systems.
pub const MAX_NAME_BYTES: usize = 255;
/// Most components of a path.
pub const MAX_PATH_DEPTH: usize = 64;
/// Longest path, bytes, so that the folder's own path still fits below the usual 4,096.
pub const MAX_PATH_BYTES: usize = 2048;
/// Longest number that distinguishes equal names, ` (200000)`, bytes.
const MAX_SUFFIX_BYTES: usize = 9;
/// Longest component of a displayed name, characters.
const MAX_NAME_CHARS: usize = 255;
/// Longest displayed name or path, bytes.
const MAX_SHOWN_BYTES: usize = 4096;

/// Substitute in displayed names for a `/` within a component, where a `/` separates components. It
/// looks alike.
const SLASH_WITHIN: char = '\u{2215}';

/// The rules of a system for names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rules {
    /// Whether device names, dots and spaces at the end, and some characters are not allowed.
    windows: bool,
    /// Whether names that differ only in case are equal.
    ignores_case: bool,
}

impl Rules {
    const HERE: Rules = Rules { windows: cfg!(windows), ignores_case: cfg!(any(windows, target_os = "macos")) };
    const WINDOWS: Rules = Rules { windows: true, ignores_case: true };

    fn key(self, name: &str) -> String {
        if self.ignores_case { name.to_lowercase() } else { name.to_owned() }
    }
}

/// Returns a component without the surrounding slashes, which some tools write.
pub(super) fn cleaned(component: &str) -> &str {
    component.trim_matches('/')
}

/// Returns the displayed name of a file: its components joined by `/`. A slash within a component
/// becomes [`SLASH_WITHIN`].
pub(crate) fn shown(components: &[&str]) -> String {
    let last = components.len().saturating_sub(1);
    let parts: Vec<Cow<'_, str>> = components
        .iter()
        .enumerate()
        .filter(|(n, part)| *n == last || !part.is_empty())
        .map(|(_, part)| match *part {
            // A URL that ends with these would lead elsewhere.
            "" | "." | ".." => Cow::Borrowed("_"),
            part if part.contains('/') => Cow::Owned(part.replace('/', &String::from(SLASH_WITHIN))),
            part => Cow::Borrowed(part),
        })
        .collect();
    printable(&parts.join("/"))
}

/// Returns whether no name needs the character, because it can deceive terminals or users.
fn is_trick(c: char) -> bool {
    !is_printable(c)
}

/// Returns whether the character is invalid in file names on this system, or unsuitable.
fn is_awkward(c: char, rules: Rules) -> bool {
    is_trick(c) || c == '/' || (rules.windows && matches!(c, '\\' | '<' | '>' | ':' | '"' | '|' | '?' | '*'))
}

/// Returns a name or path for display. Characters that a terminal executes are replaced. A text
/// that is too long is cut to its beginning, `…` and its extension. The rest is unchanged.
pub(super) fn printable(name: &str) -> String {
    if name.len() <= MAX_NAME_CHARS && name.bytes().all(|b| (b' '..0x7f).contains(&b)) {
        return name.to_owned();
    }
    let mut shown = String::new();
    for part in name.split_inclusive('/') {
        let (plain, slash) = part.strip_suffix('/').map_or((part, ""), |plain| (plain, "/"));
        shown.push_str(&abridged(plain));
        shown.push_str(slash);
        if shown.len() > MAX_SHOWN_BYTES {
            let last = name.rsplit('/').next().unwrap_or(name);
            let extension = &last[extension_at(last)..];
            let kept = prefix(&shown, MAX_SHOWN_BYTES - '…'.len_utf8() - extension.len()).len();
            shown.truncate(kept);
            shown.push('…');
            shown.push_str(extension);
            break;
        }
    }
    if shown.bytes().all(|b| (b' '..0x7f).contains(&b)) {
        return shown;
    }
    shown.chars().map(|c| if is_trick(c) { '\u{fffd}' } else { c }).collect()
}

/// Returns a component of at most [`MAX_NAME_CHARS`].
fn abridged(part: &str) -> Cow<'_, str> {
    if part.chars().nth(MAX_NAME_CHARS).is_none() {
        return Cow::Borrowed(part);
    }
    let (stem, extension) = part.split_at(extension_at(part));
    let kept = MAX_NAME_CHARS - 1 - extension.chars().count();
    Cow::Owned(stem.chars().take(kept).chain(['…']).chain(extension.chars()).collect())
}

/// Returns whether the name is a device name that Windows reserves in every folder, with any
/// extension.
fn is_reserved(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end_matches(' ');
    // The longest of them has 7 bytes.
    if !(3..=7).contains(&stem.len()) {
        return false;
    }
    let upper = stem.to_ascii_uppercase();
    matches!(upper.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$" | "CLOCK$")
        || ((upper.starts_with("COM") || upper.starts_with("LPT"))
            && upper.chars().count() == 4
            && upper.ends_with(|c: char| matches!(c, '0'..='9' | '¹' | '²' | '³')))
}

/// Returns the position of the extension: the last dot, if the rest is short and the dot is not
/// first.
fn extension_at(name: &str) -> usize {
    match name.rfind('.') {
        Some(dot) if dot > 0 && name.len() - dot <= 16 => dot,
        _ => name.len(),
    }
}

/// Returns `name` with `suffix` before its extension, shortened to `max_bytes` without losing
/// either.
fn fit(name: &str, suffix: &str, max_bytes: usize) -> String {
    fit_parts(name.split_at(extension_at(name)), suffix, max_bytes)
}

/// Returns `name` with `suffix` at its end, before a file's extension, within the limit of common
/// file systems.
pub fn with_suffix(name: &str, suffix: &str, is_file: bool) -> String {
    let extension = if is_file { extension_at(name) } else { name.len() };
    fit_parts(name.split_at(extension), suffix, MAX_NAME_BYTES)
}

fn fit_parts((stem, extension): (&str, &str), suffix: &str, max_bytes: usize) -> String {
    let extension = prefix(extension, max_bytes.saturating_sub(suffix.len() + 1));
    let room = max_bytes.saturating_sub(suffix.len() + extension.len());
    let fitted = format!("{}{suffix}{extension}", prefix(stem, room));
    // Shortening may leave a dot or space at the end.
    if fitted.ends_with(['.', ' ']) { format!("{}_", &fitted[..fitted.len() - 1]) } else { fitted }
}

/// Returns a component made safe: a plain, visible name of at most `max_bytes` that this system
/// accepts. It is never empty, `.` or `..`. Applying it again changes nothing.
pub fn sanitize(component: &str, max_bytes: usize) -> String {
    sanitize_for(Rules::HERE, component, max_bytes)
}

/// Returns a component as FAT, exFAT and NTFS accept it: also disks mounted on this system refuse
/// names with `:` or `?`.
pub fn portable(component: &str) -> String {
    sanitize_for(Rules::WINDOWS, component, MAX_NAME_BYTES)
}

fn sanitize_for(rules: Rules, component: &str, max_bytes: usize) -> String {
    // Nearly all names need no change.
    let is_plain =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b' ' | b'(' | b')' | b'[' | b']');
    if component.len() <= max_bytes
        && component.bytes().all(is_plain)
        && component.bytes().last().is_some_and(|b| b != b'.' && b != b' ')
        && !(rules.windows && is_reserved(component))
    {
        return component.to_owned();
    }
    let mut name: String = component.chars().map(|c| if is_awkward(c, rules) { '_' } else { c }).collect();
    if matches!(name.as_str(), "" | "." | "..") {
        return "_".to_owned();
    }
    if rules.windows {
        // Windows drops dots and spaces at the end, so two names would be one.
        let kept = name.trim_end_matches(['.', ' ']).len();
        if kept < name.len() {
            let tail = "_".repeat(name.len() - kept);
            name.replace_range(kept.., &tail);
        }
        if is_reserved(&name) {
            name.insert(0, '_');
        }
    }
    if name.len() > max_bytes { fit(&name, "", max_bytes) } else { name }
}

enum Entry {
    Folder { id: u32, name: String },
    File,
}

/// A generator of unique paths for the files of one torrent. It also handles case-insensitive
/// systems and files with a folder's name. The store detects a case-insensitive disk on a
/// case-sensitive system.
pub(crate) struct PathMaker {
    rules: Rules,
    /// Content of each folder (by number; 0 is the top), by name. Names are in lower case if case
    /// does not count.
    entries: HashMap<(u32, String), Entry>,
    /// Next number to try for a name that is taken. It is kept so that many equal names cost no
    /// more than as many distinct ones.
    next_suffix: HashMap<(u32, String), u32>,
    folders: u32,
}

impl PathMaker {
    pub(crate) fn new() -> PathMaker {
        PathMaker::with(Rules::HERE)
    }

    fn with(rules: Rules) -> PathMaker {
        PathMaker { rules, entries: HashMap::new(), next_suffix: HashMap::new(), folders: 0 }
    }

    /// Returns the path of a file from its components, the torrent's name first. Pad files need no
    /// path and are not passed here.
    pub(crate) fn path(&mut self, components: &[&str]) -> PathBuf {
        let last = components.len().saturating_sub(1);
        let kept: Vec<&str> = components
            .iter()
            .enumerate()
            .filter(|(n, c)| *n == last || !(c.is_empty() || **c == "."))
            .map(|(_, c)| *c)
            .collect();
        // Every component gets the same room when all of them together would be too long.
        let raw: usize = kept.iter().map(|c| c.len() + 1).sum();
        let room = if raw > MAX_PATH_BYTES {
            (MAX_PATH_BYTES / kept.len().max(1)).clamp(16, MAX_NAME_BYTES)
        } else {
            MAX_NAME_BYTES
        };
        let mut path = PathBuf::new();
        let mut folder = 0;
        for (n, component) in kept.iter().enumerate() {
            let name = sanitize_for(self.rules, component, room);
            if n + 1 == kept.len() {
                path.push(self.file(folder, name, room));
            } else {
                let (id, name) = self.folder(folder, name, room);
                folder = id;
                path.push(name);
            }
        }
        path
    }

    fn folder(&mut self, parent: u32, name: String, room: usize) -> (u32, String) {
        // Where a file has the name, the folder is found again by its suffix.
        let is_file = |name: &str| matches!(self.entries.get(&(parent, self.rules.key(name))), Some(Entry::File));
        let other = || fit_parts((&name, ""), " (folder)", room);
        let name = match is_file(&name) {
            true if is_file(&other()) => self.unused(parent, &other(), room),
            true => other(),
            false => name,
        };
        let key = (parent, self.rules.key(&name));
        if let Some(Entry::Folder { id, name }) = self.entries.get(&key) {
            return (*id, name.clone());
        }
        self.folders += 1;
        self.entries.insert(key, Entry::Folder { id: self.folders, name: name.clone() });
        (self.folders, name)
    }

    fn file(&mut self, parent: u32, name: String, room: usize) -> String {
        let name = if self.entries.contains_key(&(parent, self.rules.key(&name))) {
            self.unused(parent, &name, room)
        } else {
            name
        };
        self.entries.insert((parent, self.rules.key(&name)), Entry::File);
        name
    }

    /// Returns `name` with the first number that makes it unused.
    fn unused(&mut self, parent: u32, name: &str, room: usize) -> String {
        // Cut so that any number fits. Names with the same prefix share one count. With a count for
        // each, many such names would all try the numbers that the others have.
        let (stem, extension) = name.split_at(extension_at(name));
        let extension = prefix(extension, room.saturating_sub(MAX_SUFFIX_BYTES + 1));
        let stem = prefix(stem, room.saturating_sub(MAX_SUFFIX_BYTES + extension.len()));
        let alike = (parent, self.rules.key(&format!("{stem}{extension}")));
        let next = self.next_suffix.entry(alike).or_insert(2);
        loop {
            let tried = fit_parts((stem, extension), &format!(" ({next})"), room);
            *next += 1;
            if !self.entries.contains_key(&(parent, self.rules.key(&tried))) {
                return tried;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;
    use std::path::Component;

    #[test]
    fn a_displayed_name_is_never_long_and_keeps_its_extension() {
        assert_eq!(printable("season 1/é.mkv"), "season 1/é.mkv");
        assert_eq!(printable("a\u{202e}b\x1b.mkv"), "a\u{fffd}b\u{fffd}.mkv");
        let one = printable(&format!("{}.mkv", "é".repeat(10 << 20)));
        assert!(one.ends_with("é….mkv") && one.chars().count() == MAX_NAME_CHARS, "{one}");
        let folder = format!("{}/", "x".repeat(300));
        let path = printable(&format!("{}film.mp4", folder.repeat(1000)));
        assert!(path.len() <= MAX_SHOWN_BYTES && path.starts_with("xxx") && path.ends_with("….mp4"), "{path}");
        assert!(printable(&"/".repeat(20 << 20)).len() <= MAX_SHOWN_BYTES);
    }

    const LINUX: Rules = Rules { windows: false, ignores_case: false };
    const WINDOWS: Rules = Rules { windows: true, ignores_case: true };

    #[test]
    fn names_become_acceptable_to_the_system_and_keep_what_it_allows() {
        for (given, linux, windows) in [
            ("", "_", "_"),
            (".", "_", "_"),
            ("..", "_", "_"),
            ("...", "...", "___"),
            ("AC/DC", "AC_DC", "AC_DC"),
            (r"a\b", r"a\b", "a_b"),
            ("a\0b\nc\u{7f}", "a_b_c_", "a_b_c_"),
            ("C:", "C:", "C_"),
            ("Who? \"Me\" *1*", "Who? \"Me\" *1*", "Who_ _Me_ _1_"),
            ("con", "con", "_con"),
            ("Con.Air.1997.mkv", "Con.Air.1997.mkv", "_Con.Air.1997.mkv"),
            ("NUL.txt", "NUL.txt", "_NUL.txt"),
            ("com1.tar.gz", "com1.tar.gz", "_com1.tar.gz"),
            ("COM\u{b9}", "COM\u{b9}", "_COM\u{b9}"),
            ("console.mp4", "console.mp4", "console.mp4"),
            ("end. . ", "end. . ", "end____"),
            ("gnp\u{202e}exe.png", "gnp_exe.png", "gnp_exe.png"),
            (".hidden", ".hidden", ".hidden"),
            ("film.mkv", "film.mkv", "film.mkv"),
        ] {
            assert_eq!(sanitize_for(LINUX, given, MAX_NAME_BYTES), linux, "{given:?}");
            assert_eq!(sanitize_for(WINDOWS, given, MAX_NAME_BYTES), windows, "{given:?}");
        }
    }

    #[test]
    fn a_slash_within_a_name_is_shown_and_separates_nothing() {
        assert_eq!(shown(&["AC/DC", "AC/DC Live.mkv"]), "AC\u{2215}DC/AC\u{2215}DC Live.mkv");
        assert_eq!((shown(&["a", ""]), shown(&["", "..", "."])), ("a/_".into(), "_/_".into()));
        assert_eq!((cleaned("/film.mkv"), cleaned("dir/"), cleaned("//")), ("film.mkv", "dir", ""));
    }

    #[test]
    fn an_overlong_name_keeps_its_extension() {
        let short = sanitize(&("ü".repeat(300) + ".mkv"), MAX_NAME_BYTES);
        assert!(short.len() <= MAX_NAME_BYTES && short.len() > 250 && short.ends_with("ü.mkv"), "{short}");
    }

    fn paths(files: &[&[&str]]) -> Vec<String> {
        paths_for(WINDOWS, files)
    }

    fn paths_for(rules: Rules, files: &[&[&str]]) -> Vec<String> {
        let mut maker = PathMaker::with(rules);
        files.iter().map(|f| maker.path(f).to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn equal_names_get_numbers_in_the_order_of_the_torrent() {
        assert_eq!(
            paths(&[&["t", "a.mkv"], &["t", "A.MKV"], &["t", "a (2).mkv"], &["t", "a.mkv"]]),
            ["t/a.mkv", "t/A (2).MKV", "t/a (2) (2).mkv", "t/a (3).mkv"]
        );
    }

    #[test]
    fn names_that_differ_by_case_are_different_where_case_counts() {
        assert_eq!(
            paths_for(LINUX, &[&["t", "a.mkv"], &["t", "A.MKV"], &["T", "b"], &["t", "a.mkv"]]),
            ["t/a.mkv", "t/A.MKV", "T/b", "t/a (2).mkv"]
        );
    }

    #[test]
    fn a_path_that_tries_to_leave_the_folder_stays_inside() {
        assert_eq!(
            paths_for(LINUX, &[&["..", "x"], &["t", "..", "..", "x"], &["t", "a/../../b"], &["t", ".."]]),
            ["_/x", "t/_/_/x", "t/a_.._.._b", "t/_ (2)"]
        );
    }

    #[test]
    fn many_long_names_that_are_alike_cost_no_more_than_as_many_others() {
        let mut maker = PathMaker::new();
        let begun = std::time::Instant::now();
        let mut seen = HashSet::new();
        for _ in 0..2 {
            for n in 0..10_000 {
                let name = format!("{}{n:010}", "x".repeat(245));
                assert!(seen.insert(maker.path(&["t", &name])));
            }
        }
        // Fifty million steps if each name tried the numbers of all others.
        assert!(begun.elapsed().as_secs() < 30, "{:?}", begun.elapsed());
    }

    #[test]
    fn a_file_with_the_name_of_a_folder_stands_beside_it() {
        assert_eq!(
            paths(&[&["t", "x"], &["t", "x", "1"], &["t", "X", "2"], &["t", "y", "1"], &["t", "Y"], &["T", "Y", "3"]]),
            ["t/x", "t/x (folder)/1", "t/X (folder)/2", "t/y/1", "t/Y (2)", "t/y/3"]
                .map(|p| p.replace("X (folder)", "x (folder)"))
        );
    }

    #[test]
    fn empty_and_dot_folders_vanish() {
        assert_eq!(paths(&[&["t", "", ".", "x"], &["t", "y", ""]]), ["t/x", "t/y/_"]);
    }

    #[test]
    fn a_path_of_many_long_folders_is_shortened_as_a_whole() {
        let long = "n".repeat(250);
        let deep: Vec<&str> = std::iter::repeat_n(long.as_str(), MAX_PATH_DEPTH).collect();
        assert!(paths(&[&deep])[0].len() <= MAX_PATH_BYTES + MAX_PATH_DEPTH);
    }

    fn nasty() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-cA-C]{0,3}",
            "\\PC{0,20}",
            any::<String>(),
            prop::sample::select(vec![
                ".",
                "..",
                "",
                "CON",
                "nul.txt",
                "a ",
                "a.",
                "C:x",
                ".playswarm",
                "x/y",
                "ſ",
                "ß",
                "İ"
            ])
            .prop_map(String::from),
            "[a-z.]{300,400}",
        ]
    }

    proptest! {
        #[test]
        fn a_sanitized_name_is_one_plain_component_and_stays_as_it_is(name in nasty(), max in 16usize..=255) {
            let safe = sanitize(&name, max);
            prop_assert!(!safe.is_empty() && safe.len() <= max.max(17));
            prop_assert!(!safe.chars().any(|c| is_awkward(c, Rules::HERE)));
            prop_assert!(!sanitize_for(WINDOWS, &name, max).ends_with(['.', ' ']));
            let path = PathBuf::from(&safe);
            let components: Vec<_> = path.components().collect();
            prop_assert!(matches!(components[..], [Component::Normal(_)]));
            prop_assert_eq!(sanitize(&safe, max.max(17)), safe);
        }

        #[test]
        fn paths_stay_inside_and_are_unique_whatever_the_case(files in proptest::collection::vec(proptest::collection::vec(nasty(), 1..5), 1..40)) {
            let mut maker = PathMaker::with(WINDOWS);
            let made: Vec<PathBuf> = files.iter().map(|f| maker.path(&f.iter().map(String::as_str).collect::<Vec<_>>())).collect();
            let lower: Vec<String> = made.iter().map(|p| p.to_str().unwrap().to_lowercase()).collect();
            prop_assert_eq!(lower.iter().collect::<HashSet<_>>().len(), lower.len());
            for path in &made {
                prop_assert!(path.components().all(|c| matches!(c, Component::Normal(_))));
            }
            // No file is another's folder.
            for a in &lower {
                for b in &lower {
                    let prefix = format!("{a}/");
                    prop_assert!(!b.starts_with(&prefix));
                }
            }
        }
    }
}
