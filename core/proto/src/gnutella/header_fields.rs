//! Header fields as the handshake and servents' HTTP have them: names and values, of which a value
//! may go on in the next line.

use crate::http1::shortened;

/// Longest head that is read, bytes.
pub const MAX_HEAD_BYTES: usize = 16 << 10;
/// Most fields of a head.
pub const MAX_HEAD_FIELDS: usize = 100;
/// Port of addresses that have none.
pub(super) const DEFAULT_PORT: u16 = 6346;

/// The fields of a head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HeaderFields(Vec<(String, String)>);

/// Returns the length of the head at the start of a connection, with the empty line. `None` if it
/// has no end yet.
pub(super) fn head_bytes(bytes: &[u8]) -> Option<usize> {
    let bytes = &bytes[..bytes.len().min(MAX_HEAD_BYTES)];
    let mut line = 0;
    for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
        if matches!(&bytes[line..at], b"" | b"\r") && line > 0 {
            return Some(at + 1);
        }
        line = at + 1;
    }
    None
}

impl HeaderFields {
    /// Splits a head into its first line and its fields. `None` if there are too many. Lines that
    /// are no fields are skipped.
    pub(super) fn parse(head: &[u8]) -> Option<(String, HeaderFields)> {
        let text = String::from_utf8_lossy(head);
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default().to_owned();
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in lines.take_while(|line| !line.is_empty()) {
            if line.starts_with([' ', '\t']) {
                if let Some((_, value)) = fields.last_mut() {
                    value.push(' ');
                    value.push_str(line.trim());
                }
            } else if let Some((name, value)) = line.split_once(':') {
                if fields.len() == MAX_HEAD_FIELDS {
                    return None;
                }
                fields.push((name.trim().to_owned(), value.trim().to_owned()));
            }
        }
        Some((first, HeaderFields(fields)))
    }

    /// Returns the values of all fields with one of these names.
    pub(super) fn all<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = &'a str> {
        let is_one = |name: &str| names.iter().any(|wanted| wanted.eq_ignore_ascii_case(name));
        self.0.iter().filter(move |(name, _)| is_one(name)).map(|(_, value)| value.as_str())
    }

    /// Returns the value of the first field with this name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Returns the value of a field as a short text.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(shortened).filter(|text| !text.is_empty())
    }

    /// Returns the items of lists, which are separated by commas.
    pub(super) fn items<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = &'a str> {
        self.all(names).flat_map(|value| value.split(',')).map(str::trim).filter(|item| !item.is_empty())
    }

    /// Whether a list has an item, with or without a version after it.
    pub(super) fn has_item(&self, name: &str, wanted: &str) -> bool {
        let is_wanted =
            |item: &str| item.split(['/', ';']).next().is_some_and(|i| i.trim().eq_ignore_ascii_case(wanted));
        self.items(&[name]).any(is_wanted)
    }

    /// Returns a field that is `True` or `False`.
    pub(super) fn truth(&self, name: &str) -> Option<bool> {
        match self.get(name)? {
            value if value.eq_ignore_ascii_case("true") => Some(true),
            value if value.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }
}

/// Parses an address, of which the port may be left out.
pub(super) fn address(text: &str) -> Option<std::net::SocketAddr> {
    let with_default = || text.parse().ok().map(|ip: std::net::IpAddr| (ip, DEFAULT_PORT).into());
    text.parse().ok().or_else(with_default).filter(|address: &std::net::SocketAddr| address.port() != 0)
}
