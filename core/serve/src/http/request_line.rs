//! Repairs request targets of old players, which contain spaces and bytes of old encodings. The
//! HTTP parser refuses such a request, although only the name is wrong, which decides nothing
//! ([`super::paths`]). Pure: bytes are changed in place.

/// Replacement for a byte that cannot be in a target.
const INSTEAD: u8 = b'_';
/// The text after the space at the end of a target.
const VERSION: &[u8] = b"HTTP/";

/// The position of a connection in a request's head. Requests have no body here, so the line after
/// a head is a request line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Repair {
    /// In the method, or in empty lines before it.
    #[default]
    Method,
    Target,
    /// In the rest of the request line, or in a header.
    Line,
    /// At a header's first byte, or at the end of the head.
    LineStart,
}

impl Repair {
    /// Repairs the next bytes of the connection. Their number stays the same, and only targets are
    /// changed.
    pub(crate) fn bytes(&mut self, bytes: &mut [u8]) {
        for i in 0..bytes.len() {
            let b = bytes[i];
            *self = match (*self, b) {
                (Repair::Method | Repair::LineStart, b'\n') => Repair::Method,
                (Repair::Target | Repair::Line, b'\n') => Repair::LineStart,
                (Repair::Method, b' ') => Repair::Target,
                (Repair::Target, b' ') if ends_target(&bytes[i + 1..]) => Repair::Line,
                (Repair::Target, b' ' | b'\t' | b'<' | b'>' | b'`' | 0x7f..) => {
                    bytes[i] = INSTEAD;
                    Repair::Target
                }
                (Repair::LineStart, b'\r') => Repair::LineStart,
                (Repair::LineStart, _) => Repair::Line,
                (state, _) => state,
            };
        }
    }
}

/// Whether a space before these bytes is the end of the target. Where too few bytes are here to
/// tell, it is, as in a correct request.
fn ends_target(rest: &[u8]) -> bool {
    let known = rest.len().min(VERSION.len());
    rest[..known] == VERSION[..known]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn repaired(text: &[u8]) -> Vec<u8> {
        let mut bytes = text.to_vec();
        Repair::default().bytes(&mut bytes);
        bytes
    }

    #[test]
    fn a_name_in_an_old_encoding_or_with_spaces_becomes_a_target() {
        for (given, expected) in [
            (
                &b"GET /stream/0/Am\xe9lie.mkv HTTP/1.1\r\nHost: a\r\n\r\n"[..],
                &b"GET /stream/0/Am_lie.mkv HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            ),
            (b"GET /stream/0/My <b> Film.mkv HTTP/1.0\r\n\r\n", b"GET /stream/0/My__b__Film.mkv HTTP/1.0\r\n\r\n"),
            (b"\r\nGET /a b HTTP/1.1\n\nHEAD /c d HTTP/1.1\n\n", b"\r\nGET /a_b HTTP/1.1\n\nHEAD /c_d HTTP/1.1\n\n"),
            (b"GET / HTTP/1.1\r\nX: \xe9 <a b>\r\n\r\n", b"GET / HTTP/1.1\r\nX: \xe9 <a b>\r\n\r\n"),
            (b"GET /\r\n\r\n", b"GET /\r\n\r\n"),
        ] {
            assert_eq!(repaired(given), expected, "{}", String::from_utf8_lossy(given));
        }
    }

    proptest! {
        #[test]
        fn sound_requests_stay_as_they_are_wherever_they_are_cut(
            targets in proptest::collection::vec("/[!-;=?-_a-~]{0,12}", 1..4),
            headers in "([A-Za-z]{1,5}: [ -~]{0,10}\r\n){0,3}",
            cut in 1usize..20,
        ) {
            let text: String = targets.iter().map(|t| format!("GET {t} HTTP/1.1\r\n{headers}\r\n")).collect();
            let (mut repair, mut bytes) = (Repair::default(), text.clone().into_bytes());
            bytes.chunks_mut(cut).for_each(|part| repair.bytes(part));
            prop_assert_eq!(String::from_utf8(bytes).unwrap(), text);
            prop_assert_eq!(repair, Repair::Method);
        }

        #[test]
        fn any_bytes_keep_their_number(text in proptest::collection::vec(any::<u8>(), 0..60)) {
            prop_assert_eq!(repaired(&text).len(), text.len());
        }
    }
}
