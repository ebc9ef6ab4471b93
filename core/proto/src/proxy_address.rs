//! The address of a proxy, as users and settings write it: `socks5://[user:pass@]host:port` or
//! `http://[user:pass@]host:port`.

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use url::Url;

/// Port of a SOCKS proxy whose URL names none (RFC 1928).
const SOCKS_PORT: u16 = 1080;
/// Longest user name and longest password in bytes (RFC 1929).
const MAX_CREDENTIAL_BYTES: usize = 255;

/// The protocol that a proxy speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyKind {
    /// SOCKS version 5 (RFC 1928).
    Socks5,
    /// HTTP with the method CONNECT (RFC 9110).
    Http,
}

/// The address of a proxy. Its `Display` and `Debug` leave the credentials out, so that they reach
/// no log.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyAddress {
    kind: ProxyKind,
    url: Url,
    port: u16,
    credentials: Option<(String, String)>,
}

impl ProxyAddress {
    /// Returns the protocol of the proxy.
    pub fn kind(&self) -> ProxyKind {
        self.kind
    }

    /// Returns the host, an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the user name and the password. A name without a password has an empty one.
    pub fn credentials(&self) -> Option<(&str, &str)> {
        self.credentials.as_ref().map(|(user, password)| (user.as_str(), password.as_str()))
    }

    /// Returns the whole URL, with the credentials. `scheme` replaces its scheme: libraries have
    /// several names for SOCKS.
    pub fn url_with(&self, scheme: &str) -> String {
        let url = self.url.as_str();
        format!("{scheme}{}", &url[self.url.scheme().len()..])
    }
}

impl FromStr for ProxyAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<ProxyAddress, String> {
        let malformed = || {
            "write it as socks5://host:port or http://host:port, with user:password@ before the host if the proxy asks for them".to_owned()
        };
        let url = Url::parse(text.trim()).map_err(|_| malformed())?;
        let (kind, usual) = match url.scheme() {
            "socks5" | "socks5h" => (ProxyKind::Socks5, SOCKS_PORT),
            "http" => (ProxyKind::Http, 80),
            _ => return Err(malformed()),
        };
        let port = url.port().unwrap_or(usual);
        let has_host = url.host_str().is_some_and(|host| !host.is_empty());
        if !has_host || port == 0 || !matches!(url.path(), "" | "/") || url.query().or(url.fragment()).is_some() {
            return Err(malformed());
        }
        let decoded = |part: &str| percent_decode_str(part).decode_utf8().map(|text| text.into_owned());
        let user = decoded(url.username()).map_err(|_| malformed())?;
        let password = decoded(url.password().unwrap_or_default()).map_err(|_| malformed())?;
        if user.len().max(password.len()) > MAX_CREDENTIAL_BYTES {
            return Err(format!("the user name and the password have at most {MAX_CREDENTIAL_BYTES} bytes each"));
        }
        if user.chars().chain(password.chars()).any(char::is_control) {
            return Err("the user name and the password must not have control characters".to_owned());
        }
        let credentials = (!user.is_empty() || !password.is_empty()).then_some((user, password));
        Ok(ProxyAddress { kind, url, port, credentials })
    }
}

impl fmt::Display for ProxyAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.kind {
            ProxyKind::Socks5 => "socks5",
            ProxyKind::Http => "http",
        };
        write!(f, "{scheme}://{}:{}", self.url.host_str().unwrap_or_default(), self.port)
    }
}

impl fmt::Debug for ProxyAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProxyAddress({self})")
    }
}

impl Serialize for ProxyAddress {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.url.as_str())
    }
}

impl<'de> Deserialize<'de> for ProxyAddress {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<ProxyAddress, D::Error> {
        // Without the text, which may hold a password.
        String::deserialize(d)?.parse().map_err(|why| serde::de::Error::custom(format!("it is not a proxy: {why}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(text: &str) -> ProxyAddress {
        text.parse().unwrap_or_else(|why| panic!("{text}: {why}"))
    }

    #[test]
    fn both_kinds_are_read_with_and_without_credentials() {
        for (text, kind, host, port, credentials) in [
            ("socks5://192.0.2.1:9050", ProxyKind::Socks5, "192.0.2.1", 9050, None),
            ("socks5h://proxy.example", ProxyKind::Socks5, "proxy.example", 1080, None),
            ("socks5://[2001:db8::1]:1080", ProxyKind::Socks5, "2001:db8::1", 1080, None),
            ("http://proxy.example:3128/", ProxyKind::Http, "proxy.example", 3128, None),
            ("http://proxy.example", ProxyKind::Http, "proxy.example", 80, None),
            ("socks5://u%40x:p%3A%2F@h:1", ProxyKind::Socks5, "h", 1, Some(("u@x", "p:/"))),
            ("http://u@h:1", ProxyKind::Http, "h", 1, Some(("u", ""))),
        ] {
            let read = proxy(text);
            assert_eq!((read.kind(), read.host(), read.port(), read.credentials()), (kind, host, port, credentials));
            let json = serde_json::to_string(&read).unwrap();
            assert_eq!(serde_json::from_str::<ProxyAddress>(&json).unwrap(), read, "{json}");
        }
        assert_eq!(proxy("socks5://u:p@h:1").url_with("socks5h"), "socks5h://u:p@h:1");
    }

    #[test]
    fn credentials_are_not_shown() {
        let shown = format!("{0} {0:?}", proxy("socks5://alice:s3cret@proxy.example:9"));
        assert_eq!(shown, "socks5://proxy.example:9 ProxyAddress(socks5://proxy.example:9)");
        let why = serde_json::from_str::<ProxyAddress>("\"ftp://alice:s3cret@h:1\"").unwrap_err().to_string();
        assert!(!why.contains("s3cret") && why.contains("socks5://host:port"), "{why}");
    }

    #[test]
    fn what_is_no_proxy_is_refused_with_a_sentence() {
        let long = format!("socks5://{}:p@h:1", "u".repeat(256));
        for text in [
            "",
            "h:1",
            "https://h:1",
            "socks4://h:1",
            "socks5://",
            "socks5://h:0",
            "http://h/path",
            "http://h?q",
            "http://u%0a:p@h:1",
            &long,
        ] {
            assert!(text.parse::<ProxyAddress>().is_err(), "{text}");
        }
    }
}
