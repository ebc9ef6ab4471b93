//! Decoding of names: UTF-8, the encoding that the torrent file states (`encoding`, `codepage`), or
//! the most likely one.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8};
use std::borrow::Cow;

/// Most bytes of names used to detect their encoding; more do not change the result.
const MAX_LOOKED_AT: usize = 64 << 10;

/// Returns the encoding with this label, as tools write it: `GBK`, `windows-1251`, `cp1251`,
/// `SJIS`. Encodings that are not used for file names are ignored.
pub(crate) fn by_label(label: &str) -> Option<&'static Encoding> {
    let label = label.trim().to_ascii_lowercase();
    let known = Encoding::for_label_no_replacement(label.as_bytes());
    known.filter(|known| known.is_ascii_compatible()).or_else(|| {
        let digits = label.trim_start_matches(|c: char| !c.is_ascii_digit());
        let prefix = label[..label.len() - digits.len()].trim_end_matches(['-', '_', ' ']);
        let is_page = matches!(prefix, "cp" | "ms" | "windows" | "win" | "ibm" | "codepage" | "");
        is_page.then(|| digits.parse().ok().and_then(by_code_page)).flatten()
    })
}

/// Returns the encoding of a Windows code page.
pub(crate) fn by_code_page(page: i64) -> Option<&'static Encoding> {
    let label = match page {
        866 => "ibm866",
        874 => "windows-874",
        932 => "shift_jis",
        936 => "gbk",
        949 => "euc-kr",
        950 => "big5",
        1250..=1258 => return Encoding::for_label(format!("windows-{page}").as_bytes()),
        10000 => "macintosh",
        10007 => "x-mac-cyrillic",
        20866 => "koi8-r",
        21866 => "koi8-u",
        28591..=28606 => return Encoding::for_label(format!("iso-8859-{}", page - 28590).as_bytes()),
        20932 | 51932 => "euc-jp",
        51949 => "euc-kr",
        20936 | 51936 => "gbk",
        54936 => "gb18030",
        65001 => "utf-8",
        _ => return None,
    };
    Encoding::for_label(label.as_bytes())
}

/// The decoder of one torrent's names.
pub(crate) struct Decoder {
    /// Encoding of all names, if one is stated and they are not all UTF-8.
    stated: Option<&'static Encoding>,
    /// Encoding of names that are not UTF-8.
    likely: &'static Encoding,
}

impl Decoder {
    /// Creates a decoder. `names` are all names without a UTF-8 counterpart.
    pub(crate) fn new<'a>(stated: Option<&'static Encoding>, names: impl Iterator<Item = &'a [u8]>) -> Decoder {
        let mut detector = None;
        let mut looked_at = 0;
        // UTF-8 names contain no information about the encoding. Of the rest, as many are used as
        // make the guess certain.
        for name in names.filter(|name| std::str::from_utf8(name).is_err()) {
            let detector = detector.get_or_insert_with(|| EncodingDetector::new(Iso2022JpDetection::Deny));
            let part = &name[..name.len().min(MAX_LOOKED_AT)];
            detector.feed(part, false);
            detector.feed(b" ", false);
            looked_at += part.len();
            if looked_at >= MAX_LOOKED_AT {
                break;
            }
        }
        let Some(mut detector) = detector else { return Decoder { stated: None, likely: UTF_8 } };
        detector.feed(b"", true);
        let likely = detector.guess(None, Utf8Detection::Deny);
        Decoder { stated: stated.filter(|stated| *stated != UTF_8), likely }
    }

    /// Returns a name as text. Invalid parts are replaced.
    pub(crate) fn text<'a>(&self, name: &'a [u8]) -> Cow<'a, str> {
        if let Some(stated) = self.stated {
            let (text, failed) = stated.decode_without_bom_handling(name);
            if !failed {
                return text;
            }
        }
        match std::str::from_utf8(name) {
            Ok(text) => Cow::Borrowed(text.trim_start_matches('\u{feff}')),
            Err(_) => self.stated.unwrap_or(self.likely).decode_without_bom_handling(name).0,
        }
    }
}

/// Returns foreign bytes as text: UTF-8, or the most likely encoding.
pub fn likely_text(bytes: &[u8]) -> Cow<'_, str> {
    Decoder::new(None, std::iter::once(bytes)).text(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_known_by_the_names_that_tools_write() {
        for (label, name) in [
            ("UTF8", "UTF-8"),
            ("utf-8", "UTF-8"),
            ("GBK", "GBK"),
            ("gb2312", "GBK"),
            ("GB18030", "gb18030"),
            ("cp936", "GBK"),
            ("CP1251", "windows-1251"),
            (" windows-1251 ", "windows-1251"),
            ("win1250", "windows-1250"),
            ("SJIS", "Shift_JIS"),
            ("Shift-JIS", "Shift_JIS"),
            ("cp932", "Shift_JIS"),
            ("MS932", "Shift_JIS"),
            ("Big5", "Big5"),
            ("cp950", "Big5"),
            ("EUC-KR", "EUC-KR"),
            ("cp949", "EUC-KR"),
            ("koi8-r", "KOI8-R"),
            ("1253", "windows-1253"),
            ("ISO-8859-1", "windows-1252"),
        ] {
            assert_eq!(by_label(label).map(Encoding::name), Some(name), "{label}");
        }
        for unknown in ["", "UTF-16", "utf-16le", "klingon", "cp99999", "replacement", "iso-2022-kr", "cp"] {
            assert_eq!(by_label(unknown), None, "{unknown}");
        }
    }
}
