//! Makes text from torrents, trackers, peers and servers safe for terminals and logs.
//!
//! Foreign text may hold escape sequences that a terminal executes and line breaks that forge a log
//! line. It may also hold characters that change the direction of text ("gnp.exe" shown as
//! "exe.png"). All code that prints foreign text uses one of these functions. Characters that are
//! not printable are replaced, never interpreted: the result shows that a character was there.

use std::borrow::Cow;
use url::Url;

/// Substitute for a character that is not printable.
pub const REPLACEMENT: char = '\u{fffd}';
/// Longest line returned by [`line`], characters. It is more than any name or sentence needs, and
/// too little to flood a screen.
pub const LINE_CHARS: usize = 512;
/// Least length of a part of a path that may be a passkey, characters. It exceeds the length of
/// words; a key mixes digits and letters.
const KEY_CHARS: usize = 16;

/// Returns whether a character affects only its own position on a screen.
///
/// Control characters (C0, DEL, C1), line and paragraph separators, and the controls that embed,
/// override or isolate a direction of text do not qualify. The marks that only hint at a direction
/// (U+200E, U+200F) do: names in Hebrew and Arabic contain them.
pub fn is_printable(c: char) -> bool {
    !(c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
}

/// Returns the text as one line of at most [`LINE_CHARS`] characters.
pub fn line(text: &str) -> Cow<'_, str> {
    line_within(text, LINE_CHARS)
}

/// Returns the text as one line of at most `most` characters; a longer one ends with `…`.
///
/// White space other than a blank becomes a blank. Every other unprintable character becomes
/// [`REPLACEMENT`].
pub fn line_within(text: &str, most: usize) -> Cow<'_, str> {
    let end = text.char_indices().nth(most).map(|(at, _)| at);
    if end.is_none() && text.chars().all(is_printable) {
        return Cow::Borrowed(text);
    }
    let kept = if end.is_some() { most.saturating_sub(1) } else { most };
    let mut shown: String = text.chars().take(kept).map(|c| replaced(c, false)).collect();
    if end.is_some() {
        shown.push('…');
    }
    Cow::Owned(shown)
}

/// Returns the longest prefix of `text` within `bytes` that ends between characters.
pub(crate) fn prefix(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Returns a URL for messages. Credentials, query, fragment and parts of the path that look like a
/// key are removed, as passkeys are found there.
pub fn without_secrets(url: &str) -> String {
    match Url::parse(url) {
        Ok(mut url) => {
            url.set_query(None);
            url.set_fragment(None);
            let is_key = |part: &str| {
                part.len() >= KEY_CHARS
                    && part.bytes().all(|b| b.is_ascii_alphanumeric())
                    && part.bytes().any(|b| b.is_ascii_digit())
            };
            if url.path().split('/').any(is_key) {
                let parts: Vec<&str> = url.path().split('/').map(|p| if is_key(p) { "***" } else { p }).collect();
                let path = parts.join("/");
                url.set_path(&path);
            }
            // These fail only for URLs that cannot have credentials.
            let _ = url.set_username("");
            let _ = url.set_password(None);
            url.into()
        }
        Err(_) => "the URL".into(),
    }
}

/// Returns foreign bytes as one line of at most `most` characters. Invalid UTF-8 becomes
/// [`REPLACEMENT`].
pub fn line_of_bytes(bytes: &[u8], most: usize) -> String {
    // A character has at most four bytes: the rest cannot be shown in any case.
    let some = &bytes[..bytes.len().min(most.saturating_mul(4).saturating_add(4))];
    line_within(String::from_utf8_lossy(some).trim(), most).into_owned()
}

/// Returns a text of several lines, each made printable. It is not shortened.
pub fn lines(text: &str) -> Cow<'_, str> {
    if text.chars().all(|c| c == '\n' || is_printable(c)) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| replaced(c, true)).collect())
}

/// Returns JSON whose strings contain nothing that a terminal executes. Unprintable characters are
/// escaped, so that a program reads the same value.
///
/// The text must be JSON as `serde_json` writes it: outside of strings, line breaks are its only
/// unprintable characters.
pub fn json(text: &str) -> Cow<'_, str> {
    if text.chars().all(|c| c == '\n' || is_printable(c)) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if c == '\n' || is_printable(c) {
            shown.push(c);
        } else {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| shown.push_str(&format!("\\u{unit:04x}")));
        }
    }
    Cow::Owned(shown)
}

fn replaced(c: char, many_lines: bool) -> char {
    match c {
        '\n' if many_lines => c,
        '\t' | '\n' | '\u{b}' | '\u{c}' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => ' ',
        c if is_printable(c) => c,
        _ => REPLACEMENT,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_terminal_obeys_is_replaced_and_the_rest_stays() {
        for (text, shown) in [
            ("Amélie (2001) 映画.mkv", "Amélie (2001) 映画.mkv"),
            ("می‌خواهم 👩‍🚀", "می‌خواهم 👩‍🚀"),
            ("\u{1b}[2J\u{1b}]0;owned\u{7}x", "\u{fffd}[2J\u{fffd}]0;owned\u{fffd}x"),
            ("a\u{9b}31mb\u{7f}", "a\u{fffd}31mb\u{fffd}"),
            ("one\r\nurl: http://evil/", "one  url: http://evil/"),
            ("\u{202e}gnp.exe\u{2066}", "\u{fffd}gnp.exe\u{fffd}"),
            ("a\u{2028}b\u{85}c\td", "a b c d"),
        ] {
            assert_eq!(line(text), shown);
        }
        assert_eq!(lines("one\ntwo\r\u{1b}"), "one\ntwo \u{fffd}");
        assert_eq!(line_of_bytes(b"  closed\xff\x1b[31m ", 200), "closed\u{fffd}\u{fffd}[31m");
    }

    #[test]
    fn a_line_is_bounded() {
        assert_eq!(line_within("12345", 5), "12345");
        assert_eq!(line_within("123456", 5), "1234…");
        assert_eq!(line_within("", 0), "");
        assert_eq!(line(&"ü".repeat(10_000)).chars().count(), LINE_CHARS);
        assert_eq!(line_of_bytes(&[b'x'; 100_000], 200).chars().count(), 200);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_one_printable_line(text in any::<String>(), most in 1usize..100) {
            let shown = line_within(&text, most);
            prop_assert!(shown.chars().all(is_printable));
            prop_assert!(shown.chars().count() <= most);
            prop_assert_eq!(line_within(&shown, most), shown.clone());
        }

        #[test]
        fn json_says_the_same_and_is_printable(text in any::<String>()) {
            let written = serde_json::to_string_pretty(&serde_json::json!({ "x": text })).unwrap();
            let shown = json(&written);
            prop_assert!(shown.chars().all(|c| c == '\n' || is_printable(c)));
            let read: serde_json::Value = serde_json::from_str(&shown).unwrap();
            prop_assert_eq!(read["x"].as_str().unwrap(), text);
        }
    }
}
