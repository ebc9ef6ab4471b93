//! Caches of hosts: by UDP (UHC), whose pongs name others, and by HTTP (GWebCache, versions 1 and
//! 2).

use super::inflate::inflate;
use super::ping::VENDOR;
use std::net::SocketAddrV4;
use url::Url;

/// Longest answer of a cache that is read, bytes.
pub const MAX_CACHE_BYTES: usize = 64 << 10;
/// Most lines of it that are read.
pub const MAX_CACHE_LINES: usize = 500;
/// Most caches that are taken from one answer.
const MAX_CACHES: usize = 32;
/// Longest host name, bytes.
const MAX_HOST_BYTES: usize = 253;

/// Reads other host caches from a pong (`PHC`): lines of `host:port`, each perhaps with parameters.
/// Some servents compress the list itself, not the extension.
pub(super) fn packed_list(packed: &[u8]) -> Vec<(String, u16)> {
    let inflated = inflate(packed, MAX_CACHE_BYTES);
    let text = String::from_utf8_lossy(inflated.as_deref().unwrap_or(packed)).into_owned();
    let host = |line: &str| {
        let address = line.split('&').next()?.trim();
        let (host, port) = address.rsplit_once(':')?;
        let is_host = (1..=MAX_HOST_BYTES).contains(&host.len())
            && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
        let port: u16 = port.parse().ok().filter(|port| *port != 0)?;
        is_host.then(|| (host.to_ascii_lowercase(), port))
    };
    text.lines().take(MAX_CACHE_LINES).filter_map(host).take(MAX_CACHES).collect()
}

/// Version of a cache's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheVersion {
    /// Addresses alone.
    One,
    /// Lines with a letter.
    Two,
}

/// Returns the URL at which a cache is asked for hosts.
pub fn cache_request(cache: &Url, version: CacheVersion) -> Url {
    let mut url = cache.clone();
    url.set_fragment(None);
    {
        let mut query = url.query_pairs_mut();
        query.clear();
        match version {
            CacheVersion::One => query.append_pair("hostfile", "1"),
            CacheVersion::Two => query.append_pair("get", "1").append_pair("net", "gnutella"),
        };
        query.append_pair("client", &String::from_utf8_lossy(&VENDOR));
        query.append_pair("version", env!("CARGO_PKG_VERSION"));
    }
    url
}

/// What a cache answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheAnswer {
    /// Addresses of hosts.
    pub hosts: Vec<SocketAddrV4>,
    /// Other caches.
    pub caches: Vec<Url>,
}

impl CacheAnswer {
    /// Reads an answer of either version. Lines that are not understood are skipped, and so is what
    /// exceeds [`MAX_CACHE_BYTES`] or [`MAX_CACHE_LINES`].
    pub fn parse(body: &[u8]) -> CacheAnswer {
        let text = String::from_utf8_lossy(&body[..body.len().min(MAX_CACHE_BYTES)]).into_owned();
        let mut answer = CacheAnswer::default();
        for line in text.lines().take(MAX_CACHE_LINES) {
            let mut fields = line.trim().split('|');
            match (fields.next().unwrap_or_default(), fields.next()) {
                ("H" | "h", Some(host)) => answer.hosts.extend(host.parse::<SocketAddrV4>().ok()),
                ("U" | "u", Some(url)) => answer.add_cache(url),
                (host, None) => match host.parse() {
                    Ok(host) => answer.hosts.push(host),
                    Err(_) => answer.add_cache(host),
                },
                _ => {}
            }
        }
        answer
    }

    fn add_cache(&mut self, url: &str) {
        let url = Url::parse(url).ok().filter(|url| crate::http1::is_web_url(url) && url.username().is_empty());
        self.caches.extend(url.filter(|_| self.caches.len() < MAX_CACHES));
    }
}
