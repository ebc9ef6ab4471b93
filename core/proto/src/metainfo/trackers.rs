//! The trackers of a torrent: their announce URLs, the tiers of BEP 12, and their sources.

use crate::{AddressClass, printable};
use std::collections::HashSet;
use url::Url;

/// Most trackers kept; the rest is ignored.
pub const MAX_TRACKERS: usize = 200;
/// Longest URL of a tracker, bytes; longer ones are ignored.
pub const MAX_URL_BYTES: usize = 2048;

/// A tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tracker {
    /// Announce URL (http, https or udp), unchanged.
    pub url: String,
    /// Tier (BEP 12), ascending from 0: the trackers of one tier are backups of each other.
    pub tier: u32,
    /// Class of the address from which this URL came; [`AddressClass::Loopback`] for the user.
    pub named_by: AddressClass,
}

impl Tracker {
    /// Returns the announce URL for display, without possible passkeys and without characters that
    /// a terminal executes.
    pub fn shown(&self) -> String {
        printable::line(&printable::without_secrets(&self.url)).into_owned()
    }
}

/// The trackers of a torrent, in the order of their tiers. Each occurs once, in whatever spelling.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trackers {
    list: Vec<Tracker>,
    known: HashSet<String>,
}

impl Trackers {
    /// Creates the list from tiers. Unusable trackers are left out, and so are those beyond the
    /// limits.
    pub fn of_tiers<T: IntoIterator<Item = String>>(tiers: impl IntoIterator<Item = T>) -> Trackers {
        let mut trackers = Trackers::default();
        for tier in tiers {
            let number = trackers.list.last().map_or(0, |t| t.tier + 1);
            tier.into_iter().for_each(|url| trackers.push(&url, number, AddressClass::Loopback));
        }
        trackers
    }

    /// Returns all trackers.
    pub fn iter(&self) -> std::slice::Iter<'_, Tracker> {
        self.list.iter()
    }

    /// Returns their announce URLs.
    pub fn urls(&self) -> impl Iterator<Item = &str> {
        self.list.iter().map(|t| t.url.as_str())
    }

    /// Returns their announce URLs, tier by tier.
    pub fn tiers(&self) -> impl Iterator<Item = impl Iterator<Item = &str>> {
        self.list.chunk_by(|a, b| a.tier == b.tier).map(|tier| tier.iter().map(|t| t.url.as_str()))
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Returns the number of trackers.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Removes all trackers.
    pub fn clear(&mut self) {
        *self = Trackers::default();
    }

    /// Adds those of `others` that are not in the list yet, in further tiers behind the present
    /// ones.
    pub fn extend(&mut self, others: &Trackers) {
        let first = self.list.last().map_or(0, |t| t.tier + 1);
        others.list.iter().for_each(|t| self.push(&t.url, first + t.tier, t.named_by));
    }

    /// Returns the trackers as named by a source at an address of this class.
    #[must_use]
    pub fn named_by(mut self, class: AddressClass) -> Trackers {
        self.list.iter_mut().for_each(|t| t.named_by = t.named_by.min(class));
        self
    }

    fn push(&mut self, url: &str, tier: u32, named_by: AddressClass) {
        let url = url.trim();
        if url.len() > MAX_URL_BYTES || self.list.len() >= MAX_TRACKERS {
            return;
        }
        if let Some(key) = identity(url)
            && self.known.insert(key)
        {
            self.list.push(Tracker { url: url.to_owned(), tier, named_by });
        }
    }
}

/// Creates a tier for each tracker, as in magnet links.
impl From<Vec<String>> for Trackers {
    fn from(urls: Vec<String>) -> Trackers {
        Trackers::of_tiers(urls.into_iter().map(Some))
    }
}

/// Compares announce URLs and their order.
impl<T: AsRef<str>, const N: usize> PartialEq<[T; N]> for Trackers {
    fn eq(&self, urls: &[T; N]) -> bool {
        self.urls().eq(urls.iter().map(AsRef::as_ref))
    }
}
impl<T: AsRef<str>> PartialEq<Vec<T>> for Trackers {
    fn eq(&self, urls: &Vec<T>) -> bool {
        self.urls().eq(urls.iter().map(AsRef::as_ref))
    }
}

impl<'a> IntoIterator for &'a Trackers {
    type Item = &'a Tracker;
    type IntoIter = std::slice::Iter<'a, Tracker>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Returns the common form of all spellings of a tracker; `None` if it is unusable.
///
/// Spellings differ in the case of scheme and host, a default port, a dot behind the host, an empty
/// query or a fragment. A UDP tracker is identified by host and port alone, unless its path is not
/// the standard one (BEP 41).
fn identity(url: &str) -> Option<String> {
    let url = parse(url)?;
    let host = url.host_str()?;
    let host = host.strip_suffix('.').unwrap_or(host);
    // Without further dots, a name such as "0.." would become a number, and so an address.
    if host.is_empty() || host.ends_with('.') {
        return None;
    }
    let port = url.port_or_known_default();
    let path = match (url.path(), url.scheme()) {
        ("" | "/" | "/announce", "udp") => "",
        ("", _) => "/",
        (path, _) => path,
    };
    let query = url.query().filter(|q| !q.is_empty()).map(|q| format!("?{q}")).unwrap_or_default();
    let user = match (url.username(), url.password()) {
        ("", None) => String::new(),
        (user, password) => format!("{user}:{}@", password.unwrap_or_default()),
    };
    Some(format!("{}://{user}{host}:{}{path}{query}", url.scheme(), port.map(|p| p.to_string()).unwrap_or_default()))
}

/// Parses a tracker's URL, with its host in the form for lookups; `None` if it is invalid.
pub fn parse(url: &str) -> Option<Url> {
    let mut url = Url::parse(url.trim()).ok()?;
    match url.scheme() {
        "http" | "https" => {}
        // The url crate normalises hosts only of schemes that it knows.
        "udp" => {
            let known: Url = format!("http{}", url.as_str().strip_prefix("udp")?).parse().ok()?;
            url.set_host(Some(known.host_str()?)).ok()?;
        }
        _ => return None,
    }
    url.host_str().is_some().then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn urls(trackers: &Trackers) -> Vec<&str> {
        trackers.urls().collect()
    }

    #[test]
    fn one_tracker_in_many_spellings_is_one() {
        for spellings in [
            &["http://t.example/announce", " HTTP://T.Example:80/announce#x", "http://t.example./announce?"][..],
            &["https://t.example/a", "https://T.EXAMPLE:443/a"],
            &[
                "udp://t.example:80",
                "UDP://T.example:80/announce",
                "udp://t.example.:80/",
                "udp://t.example:80/announce?",
            ],
            &["udp://1.2.3.4:7/announce", "udp://0x01020304:7"],
            &["http://b\u{fc}cher.example/announce", "http://xn--bcher-kva.example/announce"],
            &["udp://b\u{fc}cher.example:1", "udp://xn--bcher-kva.example:1"],
            &["http://127.0.0.1/announce", "http://127.1/announce", "http://2130706433/announce"],
            &["http://[::1]:6969/announce", "http://[0:0:0:0:0:0:0:1]:6969/announce"],
        ] {
            let trackers = Trackers::from(spellings.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
            assert_eq!(urls(&trackers), [spellings[0]], "{spellings:?}");
        }
        let different = [
            "http://t.example/announce",
            "https://t.example/announce",
            "udp://t.example:80/announce",
            "udp://t.example:80/announce?passkey=1",
            "udp://t.example:81",
            "http://t.example/announce?passkey=1",
            "http://t.example/Announce",
            "http://t.example:81/announce",
            "http://u.example/announce",
        ];
        assert_eq!(urls(&Trackers::from(different.map(str::to_owned).to_vec())), different);
    }

    #[test]
    fn tiers_are_numbered_without_gaps_and_what_cannot_be_asked_is_left_out() {
        let tiers = [
            vec!["ftp://no.example/".to_owned(), "wss://no.example/".into(), "http://".into(), String::new()],
            vec!["http://a.example/announce".into(), "udp://b.example:1".into()],
            vec!["http://a.example:80/announce".into()],
            vec!["http://c.example/announce".into()],
        ];
        let trackers = Trackers::of_tiers(tiers);
        let told: Vec<_> = trackers.iter().map(|t| (t.url.as_str(), t.tier)).collect();
        assert_eq!(
            told,
            [("http://a.example/announce", 0), ("udp://b.example:1", 0), ("http://c.example/announce", 1)]
        );
        let many = Trackers::from((0..1000).map(|n| format!("http://t{n}.example/")).collect::<Vec<_>>());
        assert_eq!(many.len(), MAX_TRACKERS);
    }

    #[test]
    fn trackers_of_another_source_keep_their_place_and_their_origin() {
        let mut trackers = Trackers::from(vec!["udp://a.example:1".to_owned()]);
        let others = Trackers::from(vec!["udp://A.example:1/".to_owned(), "udp://b.example:1".to_owned()]);
        trackers.extend(&others.named_by(AddressClass::Global));
        assert_eq!(urls(&trackers), ["udp://a.example:1", "udp://b.example:1"]);
        let origins: Vec<_> = trackers.iter().map(|t| t.named_by).collect();
        assert_eq!(origins, [AddressClass::Loopback, AddressClass::Global]);
    }

    #[test]
    fn a_host_with_an_empty_label_is_none() {
        assert_eq!(identity("http://0../"), None);
        assert_eq!(identity("http://a.example./"), identity("http://a.example/"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<String>(), rest in "[a-z0-9.:@/?#%\\[\\]-]{0,40}") {
            let _ = identity(&text);
            let _ = identity(&format!("udp://{rest}"));
            if let Some(key) = identity(&format!("http://{rest}")) {
                prop_assert_eq!(identity(&key), Some(key));
            }
        }
    }
}
