//! Settings of the Gnutella network.

use crate::error::{Error, Result};
use playswarm_logic::Range;
use playswarm_proto::PeerAddress;
use serde::{Deserialize, Serialize};
use std::net::SocketAddrV4;
use url::Url;

/// Well-known caches of hosts: those by UDP that gtk-gnutella 1.2 asks, and web caches that
/// answered in 2026.
const WELL_KNOWN: [&str; 9] = [
    "useast.gnutella.dyslexicfish.net:3558",
    "uswest.gnutella.dyslexicfish.net:3558",
    "uk.gnutella.dyslexicfish.net:3558",
    "au.gnutella.dyslexicfish.net:3558",
    "1.uhc.gtk-gnutella.nl:19104",
    "2.uhc.gtk-gnutella.nl:4876",
    "http://midian.jayl.de/g2/bazooka.php",
    "http://bj.ddns.net/beacon/gwc.php",
    "http://gweb3.4octets.co.uk/gwc.php",
];

/// The settings of the Gnutella network (docs/GNUTELLA.md).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct GnutellaConfig {
    /// Whether the network may be used. Off by default: the words of a search, and our address, are
    /// seen by strangers.
    pub enabled: bool,
    /// Ultrapeers to connect to first, before those of earlier sessions.
    pub hosts: Vec<SocketAddrV4>,
    /// Caches that name ultrapeers: `host:port` is asked by UDP, a URL by HTTP (GWebCache). Empty
    /// means the well-known ones, or none if `hosts` are given.
    pub caches: Vec<String>,
    /// Longest duration of a search, in milliseconds. 8 s: most hits come within three, and the
    /// connections before it take up to four.
    pub search_wait_ms: u64,
}

impl Default for GnutellaConfig {
    fn default() -> Self {
        GnutellaConfig { enabled: false, hosts: Vec::new(), caches: Vec::new(), search_wait_ms: 8000 }
    }
}

/// Caches of hosts, by the way in which they are asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Caches {
    pub(super) udp: Vec<PeerAddress>,
    pub(super) web: Vec<Url>,
    /// Whether they are the well-known ones. The user did not name them, so that they must not lead to the
    /// user's network.
    pub(super) is_well_known: bool,
}

impl GnutellaConfig {
    /// Returns the caches to ask.
    ///
    /// # Errors
    /// [`Error::BadConfig`] for a text that is neither an address nor a URL.
    pub(super) fn caches(&self) -> Result<Caches> {
        let well_known = self.caches.is_empty() && self.hosts.is_empty();
        let given: Vec<&str> =
            if well_known { WELL_KNOWN.to_vec() } else { self.caches.iter().map(String::as_str).collect() };
        let mut caches = Caches { is_well_known: well_known, ..Caches::default() };
        for text in given {
            if text.contains("://") {
                caches.web.push(web_cache(text)?);
            } else {
                caches.udp.push(text.parse().map_err(bad_cache)?);
            }
        }
        Ok(caches)
    }

    /// Checks the settings that are no numbers.
    ///
    /// # Errors
    /// [`Error::BadConfig`] with the setting's name.
    pub(crate) fn check(&self) -> Result<()> {
        self.caches().map(drop)
    }

    /// Returns the numeric settings with their valid values.
    pub(crate) fn ranges(&self) -> Vec<Range> {
        /// An hour in milliseconds.
        const HOUR_MS: f64 = 3_600_000.0;
        vec![Range::new("search_wait_ms", self.search_wait_ms as f64, 100.0, HOUR_MS)]
    }
}

fn web_cache(text: &str) -> Result<Url> {
    let url = Url::parse(text).map_err(|e| bad_cache(format!("'{text}' is not a URL: {e}")))?;
    if matches!(url.scheme(), "http" | "https") {
        Ok(url)
    } else {
        Err(bad_cache(format!("'{text}' is neither an http nor an https URL")))
    }
}

fn bad_cache(why: String) -> Error {
    Error::BadConfig { name: "gnutella.caches".to_owned(), why }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_well_known_caches_are_asked_unless_others_or_hosts_are_given() {
        let well_known = GnutellaConfig::default().caches().unwrap();
        assert_eq!((well_known.udp.len(), well_known.web.len()), (6, 3));
        let hosts = vec!["192.0.2.1:6346".parse().unwrap()];
        assert_eq!(GnutellaConfig { hosts: hosts.clone(), ..Default::default() }.caches().unwrap(), Caches::default());
        let caches = vec!["cache.example:1".to_owned(), "https://cache.example/gwc".to_owned()];
        let both = GnutellaConfig { hosts, caches, ..Default::default() }.caches().unwrap();
        assert_eq!((both.udp.len(), both.web.len()), (1, 1));
        assert!(well_known.is_well_known && !both.is_well_known);
    }

    #[test]
    fn a_cache_that_is_neither_an_address_nor_a_url_is_refused_by_name() {
        for text in ["", "cache.example", "ftp://cache.example/", "http://"] {
            let config = GnutellaConfig { caches: vec![text.to_owned()], ..Default::default() };
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains("gnutella.caches"), "{text}: {error}");
        }
    }
}
