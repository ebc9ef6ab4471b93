//! Spellings of links: quoted, wrapped, or escaped by desktops, web pages, shells and JSON. This
//! module restores the intended link; the parent module parses its fields.

use crate::{FileHashes, InfoHash};
use percent_encoding::percent_decode_str;
use std::borrow::Cow;

/// Schemes that stand for a magnet link. WebTorrent, browsers' handlers and players each have their
/// own.
const MAGNET_SCHEMES: [&str; 5] = ["magnet", "stream-magnet", "web+magnet", "bittorrent", "stream"];
/// Pairs of characters that users and programs put around links.
const QUOTES: [(char, char); 8] =
    [('"', '"'), ('\'', '\''), ('`', '`'), ('<', '>'), ('“', '”'), ('„', '“'), ('‘', '’'), ('«', '»')];
/// Most times that a link may be percent-encoded as a whole.
const MAX_ROUNDS: usize = 3;

/// Returns the text without surrounding whitespace and invisible characters. For a link,
/// surrounding quotes and the line breaks within it are removed too; paths keep theirs.
pub fn bare(text: &str) -> Cow<'_, str> {
    let text = trimmed(text);
    let mut inner = text;
    while let Some(within) = QUOTES.iter().find_map(|(open, close)| inner.strip_prefix(*open)?.strip_suffix(*close)) {
        inner = trimmed(within);
    }
    if !is_link(inner) {
        return Cow::Borrowed(text);
    }
    if !inner.contains(['\n', '\r', '\t']) {
        return Cow::Borrowed(inner);
    }
    // In a list of links, the first counts. Mail programs wrap a link into several lines.
    let mut lines = inner.lines().map(str::trim);
    let mut whole: String = lines.next().unwrap_or_default().to_owned();
    lines.take_while(|line| !is_link(line)).for_each(|line| whole.push_str(line));
    whole.retain(|c| c != '\t');
    Cow::Owned(whole)
}

fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| {
        c.is_whitespace() || c.is_control() || matches!(c, '\u{feff}' | '\u{200b}'..='\u{200f}' | '\u{2060}')
    })
}

fn is_link(text: &str) -> bool {
    let web = ["http:", "https:", "file:"].iter().any(|scheme| starts_with(text, scheme));
    web || magnet_query(text).is_some() || InfoHash::from_text(text).is_some()
}

fn starts_with(text: &str, start: &str) -> bool {
    text.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start))
}

/// Returns the query of a magnet link, `key=value&…`, in any spelling; `None` if the text is not a
/// magnet link.
pub(crate) fn magnet_query(text: &str) -> Option<Cow<'_, str>> {
    if starts_with(text, "urn:btih:") || starts_with(text, "urn:btmh:") || starts_with(text, "urn%3abtih") {
        return Some(Cow::Owned(format!("xt={text}")));
    }
    let urn = text.split(['&', '?']).next().unwrap_or_default();
    if FileHashes::from_urn(urn).is_some() {
        return Some(Cow::Owned(format!("xt={}", as_written(text).replacen('?', "&", 1))));
    }
    let after = text.split_once(':').map(|(_, after)| after.split(['&', '?']).next().unwrap_or_default());
    if starts_with(text, "btih:") && after.is_some_and(|hash| InfoHash::from_text(hash).is_some()) {
        return Some(Cow::Owned(format!("xt=urn:{}", as_written(text).replacen('?', "&", 1))));
    }
    // The end of a link, from its hash on.
    if let Some((hash, rest)) = text.split_once(['&', '?']).filter(|(hash, _)| InfoHash::from_text(hash).is_some()) {
        return Some(Cow::Owned(format!("xt=urn:btih:{hash}&{}", as_written(rest))));
    }
    if starts_with(text, "xt=urn:bt") || starts_with(text, "?xt=urn:bt") {
        return Some(as_written(text.trim_start_matches('?')));
    }
    let rest = MAGNET_SCHEMES.iter().find_map(|scheme| {
        let rest = starts_with(text, scheme).then(|| &text[scheme.len()..])?;
        rest.strip_prefix(':').or_else(|| starts_with(rest, "%3a").then(|| &rest[3..]))
    })?;
    let mut rest = rest;
    for slash in ["//", "/", "%2f%2f", "%2f"] {
        if starts_with(rest, slash) {
            rest = &rest[slash.len()..];
            break;
        }
    }
    let rest = rest.trim_start_matches(['\\', '/']);
    if let Some(hash) = InfoHash::from_text(rest) {
        return Some(Cow::Owned(format!("xt=urn:btih:{hash}")));
    }
    let query = match rest.strip_prefix('?') {
        Some(query) => query,
        None if starts_with(rest, "%3f") => &rest[3..],
        None => rest,
    };
    // A path such as `stream:2.torrent` is no link.
    let is_magnet = starts_with(text, "magnet") || query.to_ascii_lowercase().contains("urn");
    is_magnet.then(|| as_written(query))
}

/// Reverts the escaping of a query as a whole.
fn as_written(query: &str) -> Cow<'_, str> {
    let mut query = Cow::Borrowed(query);
    // Escaped for JSON.
    replace(&mut query, "\\u0026", "&");
    replace(&mut query, "\\u003d", "=");
    for _ in 0..MAX_ROUNDS {
        let encoded = query.contains('%');
        let one = !query.contains('&') && query.contains("%26");
        if !(encoded && (one || !query.contains('='))) {
            break;
        }
        query = Cow::Owned(decoded(&query));
    }
    // Escaped for a web page or for a shell.
    for (escaped, plain) in [("\\&", "&"), ("\\=", "="), ("\\?", "?"), ("&#38;", "&"), ("&#038;", "&"), ("&#x26;", "&")]
    {
        replace(&mut query, escaped, plain);
    }
    replace(&mut query, "&amp;", "&");
    query
}

/// Replaces all of `from`, in any case, also those that a replacement produces (`&amp;amp;`).
fn replace(text: &mut Cow<'_, str>, from: &str, to: &str) {
    for _ in 0..MAX_ROUNDS {
        let lower = text.to_ascii_lowercase();
        if !lower.contains(from) {
            return;
        }
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        for (found, _) in lower.match_indices(from) {
            out.push_str(&text[at..found]);
            out.push_str(to);
            at = found + from.len();
        }
        out.push_str(&text[at..]);
        *text = Cow::Owned(out);
    }
}

/// Returns a value with repeated percent-encoding removed.
pub(super) fn decoded_wholly(value: &str) -> Cow<'_, str> {
    let mut value = Cow::Borrowed(value);
    for _ in 0..MAX_ROUNDS {
        if value.contains(':') || !value.contains('%') {
            break;
        }
        value = Cow::Owned(decoded(&value));
    }
    value
}

/// Returns the text with each `%XX` decoded once. Unlike in a form, `+` is unchanged: it is part of
/// the values.
pub(super) fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}
