//! The web seeds of a torrent (BEP 19): URLs of HTTP servers that have its files.

use super::MAX_URL_BYTES;
use crate::http1::is_web_url;
use crate::{AddressClass, printable};
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use std::borrow::Cow;
use url::Url;

/// Most web seeds kept; the rest is ignored.
pub const MAX_WEB_SEEDS: usize = 100;
/// Length of the longest scheme that begins a URL, `https`, and a letter more, bytes.
const MAX_SCHEME_BYTES: usize = 6;

/// A web seed.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebSeed {
    /// URL (http or https) of a file, or of the folder that has the torrent's files.
    pub url: Url,
    /// Class of the address from which this URL came; [`AddressClass::Loopback`] for the user.
    pub named_by: AddressClass,
    /// Whether the user named it, and not the torrent or the link. A mirror may be anywhere.
    pub is_mirror: bool,
}

/// The URL is shown without possible keys.
impl std::fmt::Debug for WebSeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebSeed").field("url", &self.shown()).field("named_by", &self.named_by).finish()
    }
}

impl WebSeed {
    /// Returns the URL for display, without possible keys and without characters that a terminal
    /// executes.
    pub fn shown(&self) -> String {
        printable::line(&printable::without_secrets(self.url.as_str())).into_owned()
    }
}

/// The web seeds of a torrent. Each URL occurs once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebSeeds(Vec<WebSeed>);

impl WebSeeds {
    /// Returns all web seeds.
    pub fn iter(&self) -> std::slice::Iter<'_, WebSeed> {
        self.0.iter()
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the number of web seeds.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds a web seed, unless it is there already or there are [`MAX_WEB_SEEDS`].
    pub fn push(&mut self, url: Url, named_by: AddressClass) {
        if self.0.len() < MAX_WEB_SEEDS && self.0.iter().all(|seed| seed.url != url) {
            self.0.push(WebSeed { url, named_by, is_mirror: false });
        }
    }

    /// Adds a mirror that the user names, behind the other mirrors and before all else. One that is in
    /// the list becomes a mirror. If the list is full, its last web seed makes room.
    pub fn push_mirror(&mut self, url: Url) {
        let mirrors = self.0.iter().filter(|seed| seed.is_mirror).count();
        if mirrors < MAX_WEB_SEEDS && self.0.iter().all(|seed| seed.url != url || !seed.is_mirror) {
            self.0.retain(|seed| seed.url != url);
            self.0.truncate(MAX_WEB_SEEDS - 1);
            self.0.insert(mirrors, WebSeed { url, named_by: AddressClass::Loopback, is_mirror: true });
        }
    }

    /// Keeps those for which `keep` returns true.
    pub fn retain(&mut self, keep: impl FnMut(&WebSeed) -> bool) {
        self.0.retain(keep);
    }

    /// Adds those of `others` that are not in the list yet.
    pub fn extend(&mut self, others: &WebSeeds) {
        others.iter().for_each(|seed| self.push(seed.url.clone(), seed.named_by));
    }

    /// Returns the web seeds as named by a source at an address of this class. It did not name the
    /// mirrors.
    #[must_use]
    pub fn named_by(mut self, class: AddressClass) -> WebSeeds {
        let theirs = self.0.iter_mut().filter(|seed| !seed.is_mirror);
        theirs.for_each(|seed| seed.named_by = seed.named_by.min(class));
        self
    }

    /// Adds the URLs of a text as torrents have it: one URL, or several with white space between
    /// them. Unusable ones are left out.
    pub(super) fn push_text(&mut self, text: &[u8]) {
        let text = readable(&text[..text.len().min(MAX_WEB_SEEDS * MAX_URL_BYTES)]);
        for url in urls(&text) {
            if let Some(url) = parse(url) {
                self.push(url, AddressClass::Loopback);
            }
        }
    }
}

/// Takes the URLs as those of the user. Unusable ones are left out, and so are those beyond the
/// limits.
impl From<Vec<Url>> for WebSeeds {
    fn from(urls: Vec<Url>) -> WebSeeds {
        let mut seeds = WebSeeds::default();
        urls.into_iter().filter(is_usable).for_each(|url| seeds.push(url, AddressClass::Loopback));
        seeds
    }
}

impl<'a> IntoIterator for &'a WebSeeds {
    type Item = &'a WebSeed;
    type IntoIter = std::slice::Iter<'a, WebSeed>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Parses the URL of a web seed or mirror; `None` if it is none of HTTP, or too long.
///
/// Torrents have URLs that were never encoded. Spaces and other letters are encoded here, and so
/// are `#`, since no server receives a fragment, and a `%` without digits.
pub fn parse(text: &str) -> Option<Url> {
    let text = text.trim();
    if text.len() > MAX_URL_BYTES {
        return None;
    }
    let mut whole = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        let is_escape = || text.as_bytes().get(at + 1..at + 3).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
        match c {
            '#' => whole.push_str("%23"),
            '%' if !is_escape() => whole.push_str("%25"),
            _ => whole.push(c),
        }
    }
    Url::parse(&whole).ok().filter(is_usable)
}

fn is_usable(url: &Url) -> bool {
    is_web_url(url) && url.as_str().len() <= MAX_URL_BYTES
}

/// Returns a text in which bytes that are not UTF-8 are percent-encoded: a server that has such
/// names knows them by these bytes.
fn readable(text: &[u8]) -> Cow<'_, str> {
    const OTHER: &AsciiSet = &CONTROLS.remove(b'\n').remove(b'\r').remove(b'\t');
    match std::str::from_utf8(text) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => percent_encode(text, OTHER).to_string().into(),
    }
}

/// Returns the URLs in a text. One begins with its scheme at the start or after white space; spaces
/// elsewhere are part of a URL.
fn urls(text: &str) -> impl Iterator<Item = &str> {
    let begins = |(at, _): (usize, &str)| {
        let scheme = text[..at].bytes().rev().take(MAX_SCHEME_BYTES).take_while(u8::is_ascii_alphabetic).count();
        let before = &text[..at - scheme];
        (scheme > 0 && (before.is_empty() || before.ends_with(char::is_whitespace))).then_some(before.len())
    };
    let mut starts: Vec<usize> = text.match_indices("://").filter_map(begins).take(MAX_WEB_SEEDS + 1).collect();
    starts.push(text.len());
    (0..starts.len() - 1).map(move |n| &text[starts[n]..starts[n + 1]]).take(MAX_WEB_SEEDS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn mirrors_come_first_and_keep_what_the_user_may_name() {
        let url = |n: usize| Url::parse(&format!("http://h{n}.example/")).unwrap();
        let mut seeds = WebSeeds::default();
        (0..MAX_WEB_SEEDS).for_each(|n| seeds.push(url(n), AddressClass::Global));
        [7, 1000, 7].into_iter().for_each(|n| seeds.push_mirror(url(n)));
        let seeds = seeds.named_by(AddressClass::Nowhere);
        let first: Vec<_> =
            seeds.iter().take(3).map(|seed| (seed.url.clone(), seed.named_by, seed.is_mirror)).collect();
        let (user, other) = (AddressClass::Loopback, AddressClass::Nowhere);
        assert_eq!(first, [(url(7), user, true), (url(1000), user, true), (url(0), other, false)]);
        assert_eq!(seeds.len(), MAX_WEB_SEEDS);
    }

    fn seeds(text: &[u8]) -> Vec<String> {
        let mut seeds = WebSeeds::default();
        seeds.push_text(text);
        seeds.iter().map(|seed| seed.url.to_string()).collect()
    }

    #[test]
    fn urls_are_read_as_torrents_spell_them() {
        for (text, wanted) in [
            (&b"http://h.example/f.iso"[..], "http://h.example/f.iso"),
            (b" HTTP://H.example:80/f.iso\r\n", "http://h.example/f.iso"),
            (b"http://h.example/a file+b.iso", "http://h.example/a%20file+b.iso"),
            (b"http://h.example/a%20file%2Bb.iso", "http://h.example/a%20file%2Bb.iso"),
            ("http://h.example/fü.iso".as_bytes(), "http://h.example/f%C3%BC.iso"),
            (b"http://h.example/f\xfc \x01.iso", "http://h.example/f%FC%20%01.iso"),
            (b"http://h.example/C#/100%.iso", "http://h.example/C%23/100%25.iso"),
            (b"http://h.example/get?file=a.iso&x=1", "http://h.example/get?file=a.iso&x=1"),
            (b"http://h.example", "http://h.example/"),
            (b"http://h.example/go?u=http://x/", "http://h.example/go?u=http://x/"),
        ] {
            assert_eq!(seeds(text), [wanted], "{}", String::from_utf8_lossy(text));
        }
        assert_eq!(seeds(b"http://a/x y\nhttps://b/  http://c/"), ["http://a/x%20y", "https://b/", "http://c/"]);
        for text in [&b""[..], b"ftp://h/f", b"h.example/f.iso", b"file:///etc/passwd", b"http://", b"\xff\xfe", b"://"]
        {
            assert_eq!(seeds(text), [""; 0], "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn their_number_and_length_have_limits_and_each_counts_once() {
        let many: String = (0..1000).map(|n| format!("http://h{n}.example/ ")).collect();
        assert_eq!(seeds(many.as_bytes()).len(), MAX_WEB_SEEDS);
        let urls: Vec<Url> = (0..1000).filter_map(|n| parse(&format!("http://h{n}.example/"))).collect();
        let mut all = WebSeeds::from(urls[..60].to_vec());
        all.extend(&WebSeeds::from(urls[40..].to_vec()));
        assert_eq!((WebSeeds::from(urls).len(), all.len()), (MAX_WEB_SEEDS, MAX_WEB_SEEDS));
        assert_eq!(seeds(format!("http://h/{}", "x".repeat(MAX_URL_BYTES)).as_bytes()).len(), 0);
        assert_eq!(seeds(b"http://h/a http://H:80/a"), ["http://h/a"]);
    }

    #[test]
    fn what_is_shown_has_no_secret() {
        let url = "http://me:secret@h.example/f?token=1".parse().unwrap();
        let seed = WebSeed { url, named_by: AddressClass::Loopback, is_mirror: false };
        assert_eq!(seed.shown(), "http://h.example/f");
        assert!(!format!("{seed:?}").contains("secret"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<Vec<u8>>(), rest in "[a-z :/#%?\\u{e0}-\\u{2000}]{0,40}") {
            for text in [&text[..], format!("http://{rest}").as_bytes(), rest.as_bytes()] {
                for url in seeds(text) {
                    prop_assert_eq!(parse(&url).map(String::from), Some(url));
                }
            }
        }
    }
}
