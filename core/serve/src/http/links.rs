//! Links to our own paths, relative or absolute. Pure.
//!
//! Behind a reverse proxy the server has another scheme, name and prefix than in the request that
//! arrives. Relative links are right in any case. For absolute ones, a proxy on this machine sends
//! headers (`Forwarded` of RFC 7239, or `X-Forwarded-Proto`, `-Host`, `-Port` and `-Prefix`). They
//! are used for links alone, and are checked, so a client can only mislead itself.

use super::access::is_authority;
use super::paths::Depth;
use http::HeaderMap;

const FORWARDED: &str = "forwarded";
const PROTO: &str = "x-forwarded-proto";
const SCHEME: &str = "x-forwarded-scheme";
const HOST: &str = "x-forwarded-host";
const PORT: &str = "x-forwarded-port";
const PREFIX: &str = "x-forwarded-prefix";
/// Longest prefix that is used, in bytes.
const LONGEST_PREFIX: usize = 256;

/// The request as a reverse proxy received it, by its headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Forwarded {
    scheme: Option<&'static str>,
    /// `host[:port]`.
    pub(crate) authority: Option<String>,
    /// `/films`, without a slash at its end.
    prefix: Option<String>,
}

impl Forwarded {
    /// Reads the headers. Of several proxies the first counts, which is nearest to the client.
    pub(crate) fn of(headers: &HeaderMap) -> Forwarded {
        let first = |name: &str| Some(headers.get(name)?.to_str().ok()?.split(',').next()?.trim());
        let standard = |wanted: &str| {
            let element = first(FORWARDED)?;
            let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
            let (_, value) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted))?;
            Some(value.trim().trim_matches('"'))
        };
        let scheme = standard("proto").or_else(|| first(PROTO)).or_else(|| first(SCHEME));
        let authority = standard("host").or_else(|| first(HOST)).and_then(checked_authority);
        let port = first(PORT).and_then(|port| port.parse::<u16>().ok());
        let scheme = scheme.and_then(|s| ["http", "https"].into_iter().find(|known| s.eq_ignore_ascii_case(known)));
        let authority = match (authority, port) {
            (Some(host), Some(port)) if !has_port(&host) && Some(port) != default_port(scheme) => {
                Some(format!("{host}:{port}"))
            }
            (authority, _) => authority,
        };
        Forwarded { scheme, authority, prefix: prefix(headers) }
    }
}

fn default_port(scheme: Option<&str>) -> Option<u16> {
    scheme.map(|scheme| if scheme == "https" { 443 } else { 80 })
}

fn has_port(authority: &str) -> bool {
    authority.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'))
}

fn checked_authority(text: &str) -> Option<String> {
    is_authority(text).then(|| text.to_owned())
}

/// Returns the joined prefixes of all proxies, the client's first: each proxy strips its own.
fn prefix(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(PREFIX)?.to_str().ok().filter(|text| !text.is_empty())?;
    let mut joined = String::new();
    for part in text.split(',') {
        let part = part.trim().trim_end_matches('/');
        // Two slashes would make a link to another host, and `..` one to another path. The rest is
        // `pchar` of RFC 3986.
        let sound = part.is_empty() || part.starts_with('/');
        let plain = part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~!$'()*+;:@%/".contains(&b));
        if !sound || !plain || part.contains("//") || part.split('/').any(|s| s == ".." || s == ".") {
            return None;
        }
        joined.push_str(part);
    }
    (joined.len() <= LONGEST_PREFIX).then_some(joined)
}

/// The links of one answer to our paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Links {
    /// The text before the first segment of a relative link.
    up: String,
    /// `scheme://host:port` and the prefix, for absolute links.
    origin: String,
}

impl Links {
    /// Returns the links for a request to `authority`.
    pub(crate) fn new(depth: Depth, authority: &str, forwarded: &Forwarded) -> Links {
        let authority = forwarded.authority.as_deref().unwrap_or(authority);
        let scheme = forwarded.scheme.unwrap_or("http");
        let prefix = forwarded.prefix.as_deref().unwrap_or("");
        Links { up: "../".repeat(depth.0), origin: format!("{scheme}://{authority}{prefix}") }
    }

    /// Returns a relative link. It never begins with a slash, because mpv takes such a line of a
    /// playlist for a local file.
    pub(crate) fn to(&self, path: &str) -> String {
        format!("{}{}", self.up, path.strip_prefix('/').unwrap_or(path))
    }

    /// Returns an absolute link.
    pub(crate) fn absolute(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn links(depth: usize, headers: &[(&'static str, &str)]) -> (String, String) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let links = Links::new(Depth(depth), "127.0.0.1:80", &Forwarded::of(&map));
        (links.to("/stream/0/a"), links.absolute("/stream/0/a"))
    }

    fn absolute(headers: &[(&'static str, &str)]) -> String {
        links(0, headers).1
    }

    #[test]
    fn relative_links_climb_from_where_they_stand() {
        assert_eq!(links(0, &[]).0, "stream/0/a");
        assert_eq!(links(1, &[]).0, "../stream/0/a");
        assert_eq!(links(0, &[]).1, "http://127.0.0.1:80/stream/0/a");
        assert_eq!(links(0, &[("x-forwarded-prefix", "/films/")]).0, "stream/0/a");
    }

    #[test]
    fn a_proxys_words_make_the_absolute_link() {
        let x = ("x-forwarded-proto", "https");
        for (headers, expected) in [
            (vec![x], "https://127.0.0.1:80"),
            (vec![x, ("x-forwarded-host", "tv.example")], "https://tv.example"),
            (vec![x, ("x-forwarded-host", "tv.example"), ("x-forwarded-port", "8443")], "https://tv.example:8443"),
            (vec![x, ("x-forwarded-host", "tv.example"), ("x-forwarded-port", "443")], "https://tv.example"),
            (vec![x, ("x-forwarded-host", "tv.example:1"), ("x-forwarded-port", "2")], "https://tv.example:1"),
            (vec![x, ("x-forwarded-host", "[2001:db8::1]"), ("x-forwarded-port", "2")], "https://[2001:db8::1]:2"),
            (vec![x, ("x-forwarded-host", "a.example, b.example")], "https://a.example"),
            (vec![("x-forwarded-proto", "https, http"), ("x-forwarded-prefix", "/a, /b/")], "https://127.0.0.1:80/a/b"),
            (vec![("x-forwarded-scheme", "HTTPS")], "https://127.0.0.1:80"),
            (vec![("forwarded", "for=1.2.3.4;Proto=https;host=\"tv.example:8443\"")], "https://tv.example:8443"),
            (vec![("forwarded", "for=1.2.3.4; host=tv.example, for=5.6.7.8;host=b")], "http://tv.example"),
            (vec![("forwarded", "proto=https"), ("x-forwarded-host", "a.example")], "https://a.example"),
        ] {
            assert_eq!(absolute(&headers), format!("{expected}/stream/0/a"), "{headers:?}");
        }
    }

    #[test]
    fn malformed_schemes_hosts_and_prefixes_are_ignored() {
        let plain = absolute(&[]);
        for (name, value) in [
            ("x-forwarded-proto", "javascript"),
            ("x-forwarded-proto", ""),
            ("x-forwarded-host", "evil@tv.example"),
            ("x-forwarded-host", "tv.example/x"),
            ("x-forwarded-host", "a b"),
            ("x-forwarded-host", "\"><script>"),
            ("x-forwarded-host", "tv.example:http"),
            ("x-forwarded-prefix", "//evil.example"),
            ("x-forwarded-prefix", "/a//b"),
            ("x-forwarded-prefix", "/a/../b"),
            ("x-forwarded-prefix", "evil.example"),
            ("x-forwarded-prefix", "/a?b"),
            ("x-forwarded-prefix", "/\"><script>"),
            ("x-forwarded-port", "0x50"),
            ("forwarded", "host"),
            ("forwarded", "proto=gopher;host=;"),
        ] {
            assert_eq!(absolute(&[(name, value)]), plain, "{name}: {value}");
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_a_link_to_elsewhere(value in "[ -~]{0,40}") {
            for name in ["x-forwarded-prefix", "forwarded", "x-forwarded-proto"] {
                let (_, absolute) = links(1, &[(name, &value)]);
                prop_assert!(absolute.contains("://127.0.0.1:80/") || name == "forwarded", "{}", absolute);
                prop_assert!(!absolute.contains(['"', '<', '\\', ' ']), "{}", absolute);
            }
        }
    }
}
