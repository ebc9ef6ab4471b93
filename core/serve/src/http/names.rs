//! File names in URLs, headers, playlists and pages, and their natural order.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use playswarm::metainfo::{FileEntry, Metainfo, natural_cmp};

/// Returns all files except padding in natural order: `part 2` before `part 10`, the files of a
/// folder together.
pub fn natural_order(torrent: &Metainfo) -> Vec<usize> {
    let mut order: Vec<usize> = (0..torrent.files.len()).filter(|&i| !torrent.files[i].padding).collect();
    order.sort_by(|&a, &b| natural_cmp(&torrent.files[a].name, &torrent.files[b].name).then(a.cmp(&b)));
    order
}

/// Returns the last component of a file's name.
pub(crate) fn base_name(file: &FileEntry) -> &str {
    file.name.rsplit('/').next().unwrap_or(&file.name)
}

/// Percent-encodes all but RFC 3986's unreserved characters: safe in a path, a query and an
/// `ext-value` (RFC 8187).
pub(crate) fn percent(text: &str) -> String {
    const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, ENCODED).to_string()
}

/// Returns the `Content-Disposition` for a name (RFC 6266): a plain name for old clients, the real
/// one in UTF-8.
pub(crate) fn disposition(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| if c == ' ' || (c.is_ascii_graphic() && !"\"\\%".contains(c)) { c } else { '_' })
        .collect();
    format!("inline; filename=\"{plain}\"; filename*=UTF-8''{}", percent(name))
}

/// Returns a text as one line without control characters, so that a name cannot add lines to a
/// playlist.
pub(crate) fn one_line(text: &str) -> String {
    playswarm::printable::line_within(text, usize::MAX).into_owned()
}

/// Escapes a text for HTML, attributes included.
pub(crate) fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_stays_inside_its_header_and_its_page() {
        let name = "a\"b\r\nSet-Cookie: x <é>%.mp4";
        assert_eq!(
            disposition(name),
            "inline; filename=\"a_b__Set-Cookie: x <_>_.mp4\"; filename*=UTF-8''a%22b%0D%0ASet-Cookie%3A%20x%20%3C%C3%A9%3E%25.mp4"
        );
        assert_eq!(html(name), "a&quot;b  Set-Cookie: x &lt;é&gt;%.mp4");
        assert_eq!(one_line(name), "a\"b  Set-Cookie: x <é>%.mp4");
    }
}
