//! The content of a file according to its name, for HTTP's Content-Type and for choosing a file to
//! play. Also the natural order of file names.

use playswarm_media::Format;
use std::cmp::Ordering;

/// Returns the media type (RFC 6838) for a file name; `application/octet-stream` if the name
/// suggests none. It never returns `text/html` or another type in which a foreign file could run
/// scripts in a browser.
pub fn content_type(name: &str) -> &'static str {
    Format::by_name(name).map_or("application/octet-stream", |format| format.media_type)
}

/// Returns whether a player would open this file by itself: video or audio, by its name.
pub fn is_playable(name: &str) -> bool {
    Format::by_name(name).is_some_and(|format| format.content.is_playable())
}

/// Compares names in natural order: case does not count, and `E2` comes before `E10`. A total
/// order: equal only for equal names.
pub fn natural_cmp(a: &str, b: &str) -> Ordering {
    let (mut x, mut y) = (a.as_bytes(), b.as_bytes());
    loop {
        match (x.first(), y.first()) {
            (Some(c), Some(d)) if c.is_ascii_digit() && d.is_ascii_digit() => {
                let (m, rest_x) = number(x);
                let (n, rest_y) = number(y);
                // Without leading zeros the longer number is the larger one.
                match m.len().cmp(&n.len()).then_with(|| m.cmp(n)) {
                    Ordering::Equal => (x, y) = (rest_x, rest_y),
                    unequal => return unequal,
                }
            }
            (Some(c), Some(d)) => match c.to_ascii_lowercase().cmp(&d.to_ascii_lowercase()) {
                Ordering::Equal => (x, y) = (&x[1..], &y[1..]),
                unequal => return unequal,
            },
            (None, None) => return a.cmp(b),
            (c, d) => return c.cmp(&d),
        }
    }
}

/// Returns the digits at the start, without leading zeros, and the rest.
fn number(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|c| !c.is_ascii_digit()).unwrap_or(text.len());
    let zeros = text[..end].iter().take_while(|c| **c == b'0').count();
    (&text[zeros..end], &text[end..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn types_follow_the_extension_whatever_its_case() {
        assert_eq!(content_type("A film.MKV"), "video/x-matroska");
        assert_eq!(content_type("x.tar.mp4"), "video/mp4");
        assert_eq!(content_type("page.html"), "application/octet-stream");
        assert_eq!(content_type("mp4"), "application/octet-stream");
        assert!(is_playable("a.webm") && is_playable("a.flac") && !is_playable("a.srt") && !is_playable("webm"));
    }

    #[test]
    fn episodes_are_listed_by_number() {
        let mut names = ["E10", "e2", "E1", "e02", "E", "Z", "a"];
        names.sort_by(|a, b| natural_cmp(a, b));
        assert_eq!(names, ["a", "E", "E1", "e02", "e2", "E10", "Z"]);
    }

    proptest! {
        #[test]
        fn the_order_is_total(a in "[a-bA-B0-2]{0,5}", b in "[a-bA-B0-2]{0,5}", c in "[a-bA-B0-2]{0,5}") {
            prop_assert_eq!(natural_cmp(&a, &b), natural_cmp(&b, &a).reverse());
            prop_assert_eq!(natural_cmp(&a, &b) == Ordering::Equal, a == b);
            if natural_cmp(&a, &b) != Ordering::Greater && natural_cmp(&b, &c) != Ordering::Greater {
                prop_assert_ne!(natural_cmp(&a, &c), Ordering::Greater);
            }
        }
    }
}
