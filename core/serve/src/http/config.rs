//! The settings of the HTTP server and their checks.

use playswarm::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use url::{Host, Url};

/// Largest number of connections: more than a process has descriptors for.
const MOST_CONNECTIONS: usize = 1_000_000;

/// Settings of the HTTP server.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct HttpConfig {
    /// The address to listen on. Loopback and any free port by default, so that no other machine
    /// can connect.
    pub listen: SocketAddr,
    /// A secret that every request must carry, as `Authorization: Bearer …` or `?token=…`, in
    /// visible ASCII. None by default.
    pub token: Option<String>,
    /// Host names of this server, in addition to its addresses, `localhost` and the machine's own
    /// name; see [`parse_host`]. None by default.
    pub allow_hosts: Vec<String>,
    /// Origins (`https://app.example`) whose pages may read all answers (CORS); see
    /// [`parse_origin`]. None by default.
    pub allow_origins: Vec<String>,
    /// Most connections at the same time. Further ones get the place of an idle one, or the answer
    /// 503. 256 by default, because a player opens a few.
    pub max_connections: usize,
    /// Most connections of one other machine at the same time. Programs on this machine have no
    /// such bound, because a reverse proxy serves many clients. 64 by default, a quarter of all.
    pub max_connections_per_host: usize,
    /// How refusals tell the user to allow what they refuse.
    #[serde(skip)]
    pub remedies: Remedies,
}

/// What a refusal tells the user to do. `{}` stands for the name or origin that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Remedies {
    /// The remedy where a `Host` is refused.
    pub host: String,
    /// The remedy where an `Origin` is refused.
    pub origin: String,
}

/// Names the settings of [`HttpConfig`]. A program names its own options instead.
impl Default for Remedies {
    fn default() -> Self {
        Remedies {
            host: "add {} to the setting allow_hosts".into(),
            origin: "add {} to the setting allow_origins".into(),
        }
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        HttpConfig {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            token: None,
            allow_hosts: Vec::new(),
            allow_origins: Vec::new(),
            max_connections: 256,
            max_connections_per_host: 64,
            remedies: Remedies::default(),
        }
    }
}

/// Leaves out the token, which is a secret.
impl fmt::Debug for HttpConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpConfig")
            .field("listen", &self.listen)
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("allow_hosts", &self.allow_hosts)
            .field("allow_origins", &self.allow_origins)
            .field("max_connections", &self.max_connections)
            .field("max_connections_per_host", &self.max_connections_per_host)
            .field("remedies", &self.remedies)
            .finish()
    }
}

impl HttpConfig {
    /// Checks that the settings can be used.
    ///
    /// # Errors
    /// [`Error::BadConfig`] with the setting and the reason.
    pub fn check(&self) -> Result<()> {
        let bad = |name: &str, why: &str| Err(Error::BadConfig { name: name.into(), why: why.into() });
        if self.token.as_ref().is_some_and(|t| t.is_empty() || !t.bytes().all(|b| b.is_ascii_graphic())) {
            return bad("token", "a token is one or more visible ASCII characters without spaces");
        }
        if self.max_connections == 0 || self.max_connections > MOST_CONNECTIONS {
            return bad("max_connections", "it must be from 1 to 1,000,000");
        }
        if self.max_connections_per_host == 0 {
            return bad("max_connections_per_host", "it must be at least 1");
        }
        for host in &self.allow_hosts {
            parse_host(host).or_else(|why| bad("allow_hosts", &why).map(|()| String::new()))?;
        }
        for origin in &self.allow_origins {
            parse_origin(origin).or_else(|why| bad("allow_origins", &why).map(|()| String::new()))?;
        }
        Ok(())
    }
}

/// Reads a name for [`HttpConfig::allow_hosts`]. Returns it as browsers send it, in lower case and
/// without the port.
///
/// # Errors
/// A sentence that says how to write one.
pub fn parse_host(text: &str) -> Result<String, String> {
    let refused = |why: &str| Err(format!("'{}' is not a host name: {why}", shortened(text)));
    if text.contains('*') {
        return refused(
            "wildcards are not accepted, since a web site can make any name resolve to this server; list each name",
        );
    }
    if text.contains(['/', '@', '?', '#']) {
        return refused("write only the name, as in films.example");
    }
    match crate::hosts::host_of(text) {
        Some(Host::Domain(name)) => Ok(name),
        Some(Host::Ipv4(ip)) => Ok(ip.to_string()),
        Some(Host::Ipv6(ip)) => Ok(ip.to_string()),
        None => refused("write it as in films.example"),
    }
}

/// Reads an origin for [`HttpConfig::allow_origins`]. Returns it as browsers send it,
/// `scheme://host[:port]` in lower case.
///
/// # Errors
/// A sentence that says how to write one.
pub fn parse_origin(text: &str) -> Result<String, String> {
    let refused = |why: &str| Err(format!("'{}' is not an origin: {why}", shortened(text)));
    if text.contains('*') {
        return refused("'*' would let every web site read the films; list each site, as in https://app.example");
    }
    if text.eq_ignore_ascii_case("null") {
        return refused(
            "every local file and sandboxed frame has the origin null; serve the page from a site, as in https://app.example",
        );
    }
    if !text.contains("://") {
        return refused("add the scheme, as in https://app.example");
    }
    let Ok(url) = Url::parse(text) else {
        return refused("write it as in https://app.example or http://192.168.1.5:3000");
    };
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return refused("write only the scheme, the host and the port, as in https://app.example");
    }
    if !matches!(url.path(), "" | "/") {
        return refused("an origin has no path; write it as in https://app.example");
    }
    if url.scheme() == "file" || url.host_str().is_none_or(str::is_empty) {
        return refused("it has no host; write it as in https://app.example");
    }
    let origin = url.origin().ascii_serialization();
    if origin != "null" {
        return Ok(origin);
    }
    // Programs with pages of their own use their own schemes, such as `app://films` or
    // `chrome-extension://…`.
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    Ok(format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default().to_ascii_lowercase()))
}

/// Returns the beginning of a text, to quote it in an error.
fn shortened(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(80).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn origins_are_taken_as_browsers_send_them() {
        for (text, expected) in [
            ("https://app.example", "https://app.example"),
            ("https://App.Example/", "https://app.example"),
            ("https://app.example:443", "https://app.example"),
            ("http://app.example:80/", "http://app.example"),
            ("http://192.168.1.5:3000", "http://192.168.1.5:3000"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("https://b\u{fc}cher.example", "https://xn--bcher-kva.example"),
            ("chrome-extension://ABCdef", "chrome-extension://abcdef"),
            ("app://films", "app://films"),
            (" App://films", "app://films"),
        ] {
            assert_eq!(parse_origin(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_malformed_origin_is_refused_with_a_sentence() {
        for (text, why) in [
            ("*", "every web site"),
            ("https://*.example", "list each site"),
            ("null", "sandboxed"),
            ("", "scheme"),
            ("app.example", "scheme"),
            ("app.example:8080", "scheme"),
            ("https://", "write it as in"),
            ("https://app.example/player", "no path"),
            ("https://me@app.example", "write only the scheme"),
            ("https://app.example?x", "write only the scheme"),
            ("https://a.example, https://b.example", "write it as in"),
            ("https://a.example https://b.example", "write it as in"),
            ("http://a b", "write it as in"),
            ("file:///home/me/player.html", "no path"),
            ("https://app.example:99999", "write it as in"),
        ] {
            let sentence = parse_origin(text).unwrap_err();
            assert!(sentence.contains(why) && sentence.contains("is not an origin"), "{text}: {sentence}");
            let config = HttpConfig { allow_origins: vec![text.into()], ..HttpConfig::default() };
            assert!(config.check().unwrap_err().to_string().contains("allow_origins"), "{text}");
        }
    }

    #[test]
    fn host_names_are_taken_as_browsers_send_them() {
        for (text, expected) in [
            ("TV.lan.", "tv.lan"),
            ("films.example:8443", "films.example"),
            ("b\u{fc}cher.example", "xn--bcher-kva.example"),
            ("192.168.1.5", "192.168.1.5"),
            ("[2001:db8::1]", "2001:db8::1"),
        ] {
            assert_eq!(parse_host(text).as_deref(), Ok(expected), "{text}");
        }
        for text in ["*", "*.example", "", "https://films.example", "films.example/x", "a b", "me@films.example", ":80"]
        {
            assert!(parse_host(text).unwrap_err().contains("is not a host name"), "{text}");
            let config = HttpConfig { allow_hosts: vec![text.into()], ..HttpConfig::default() };
            assert!(config.check().unwrap_err().to_string().contains("allow_hosts"), "{text}");
        }
    }
}
