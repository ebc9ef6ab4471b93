//! Files that a search found, and links to them.

use crate::discovery::source::Source;
use playswarm_logic::gnutella::{self, Found, Hidden};
use playswarm_proto::FileHashes;
use playswarm_proto::gnutella::SpamMark;
use playswarm_proto::magnet::{FileLink, Role, Server};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use std::net::SocketAddr;
use url::Url;

/// Most sources that a link names. Those are enough for a film, and further ones are found.
const MAX_LINK_SOURCES: usize = 10;

/// A file that a search found. Serialized, it has its link as well (`magnet`).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Hit {
    /// Name that the first servent gave. It is no path.
    pub name: String,
    /// Its length, bytes.
    pub size_bytes: u64,
    /// Its hashes as a URN: `urn:bitprint:…`, or `urn:sha1:…` if no servent named a tree. `None` if
    /// there is none: such a file cannot be checked.
    pub urn: Option<String>,
    /// Number of networks in which servents have it, by which files are ordered.
    pub networks: usize,
    /// Its sources so far.
    pub sources: Vec<HitSource>,
    /// Why it is not shown, if it looks like spam.
    pub hidden: Option<&'static str>,
}

/// A servent that has a file, or is said to have it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct HitSource {
    /// Its address; `None` if it cannot be reached and has to connect to us.
    pub address: Option<SocketAddr>,
    /// Its program, by the four letters of Gnutella.
    pub program: Option<String>,
    /// Whether it has a part of the file only.
    pub partial: bool,
    /// Whether it has no free slot now.
    pub busy: bool,
}

impl Hit {
    pub(super) fn of(found: &Found) -> Hit {
        Hit {
            name: found.name.clone(),
            size_bytes: found.size,
            urn: found.hashes.urn(),
            networks: found.networks(),
            sources: found.sources.iter().map(HitSource::of).collect(),
            hidden: found.hidden().map(reason),
        }
    }

    /// Returns a text that differs for different files. It stays while more becomes known of one.
    pub(super) fn identity(&self) -> String {
        let hash = |urn: &str| urn.rsplit(':').next().map(|hash| hash.split('.').next().unwrap_or(hash).to_owned());
        let hash = self.urn.as_deref().and_then(hash).unwrap_or_else(|| self.name.clone());
        format!("{hash} {}", self.size_bytes)
    }

    /// Returns the link with which the file is opened: its hashes, name and length, and up to ten
    /// sources. `None` if it has no hash.
    pub fn magnet(&self) -> Option<String> {
        self.link().map(|link| link.to_string())
    }

    /// Returns the file for [`Session::open`](crate::Session::open), as its link names it. `None` if it
    /// has no hash.
    pub fn source(&self) -> Option<Source> {
        self.link().map(|link| Source::File(link.into()))
    }

    fn link(&self) -> Option<FileLink> {
        let hashes = FileHashes::from_urn(self.urn.as_deref()?)?;
        let mut link = FileLink::new(hashes);
        (link.length, link.name) = (Some(self.size_bytes), Some(self.name.clone()).filter(|name| !name.is_empty()));
        let mut sha1 = hashes;
        sha1.tiger = None;
        if let Some(urn) = sha1.urn() {
            // Whole files first, and servents that have a free slot.
            let mut sources: Vec<&HitSource> = self.sources.iter().collect();
            sources.sort_by_key(|source| (source.partial, source.busy));
            let url = |address: SocketAddr| Url::parse(&format!("http://{address}/uri-res/N2R?{urn}")).ok();
            let urls = sources.into_iter().filter_map(|source| source.address).filter_map(url);
            link.servers = urls.map(|url| Server { role: Role::Exact, url }).take(MAX_LINK_SOURCES).collect();
        }
        Some(link)
    }
}

impl Serialize for Hit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Hit", 7)?;
        fields.serialize_field("name", &self.name)?;
        fields.serialize_field("size_bytes", &self.size_bytes)?;
        fields.serialize_field("urn", &self.urn)?;
        fields.serialize_field("magnet", &self.magnet())?;
        fields.serialize_field("networks", &self.networks)?;
        fields.serialize_field("sources", &self.sources)?;
        fields.serialize_field("hidden", &self.hidden)?;
        fields.end()
    }
}

impl HitSource {
    fn of(source: &gnutella::Source) -> HitSource {
        HitSource {
            address: source.address,
            program: source.vendor.map(|vendor| vendor.iter().map(|byte| shown(*byte)).collect()),
            partial: source.is_partial,
            busy: source.is_busy,
        }
    }
}

fn shown(byte: u8) -> char {
    if byte.is_ascii_graphic() { byte.into() } else { '?' }
}

/// Returns why a file is hidden, as the end of a sentence about it.
fn reason(hidden: Hidden) -> &'static str {
    match hidden {
        Hidden::ManyNames => "it has many different names",
        Hidden::Mark(SpamMark::NoHash) => "it has no hash, so that nothing could be checked",
        Hidden::Mark(SpamMark::Empty) => "it is empty",
        Hidden::Mark(SpamMark::Index) => "its number is not one that servents give",
        Hidden::Mark(SpamMark::Alternates) => "it names more sources than servents do",
        Hidden::Mark(SpamMark::Vendor) => "its servent has an impossible name",
        Hidden::Mark(SpamMark::Echo) => "its name is the query",
        Hidden::Mark(SpamMark::Kind) => "it is of another kind",
        Hidden::Mark(_) => "it looks like spam",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use playswarm_proto::magnet::parse_file;

    const SHA1: &str = "urn:sha1:PLSTHIPQGSSZTS5FJUPAKUZWUGYQYPFB";
    const BOTH: &str = "urn:bitprint:PLSTHIPQGSSZTS5FJUPAKUZWUGYQYPFB.VEKXTRSV67IRXL7ZQ6DCO37LTHH5BHLPGTYR7VQ";

    fn source(address: &str, partial: bool, busy: bool) -> HitSource {
        HitSource { address: address.parse().ok(), program: None, partial, busy }
    }

    fn hit(urn: &str) -> Hit {
        let sources = vec![
            source("9.9.9.1:1001", true, false),
            source("", false, false),
            source("9.9.9.2:1002", false, true),
            source("[2600::1]:1003", false, false),
        ];
        let urn = Some(urn.to_owned()).filter(|urn| !urn.is_empty());
        Hit { name: "a & b.mkv".to_owned(), size_bytes: 1234, urn, networks: 1, sources, hidden: None }
    }

    #[test]
    fn the_link_of_a_file_is_one_that_is_opened_and_names_the_best_sources_first() {
        let text = hit(BOTH).magnet().unwrap();
        assert!(Source::parse(&text).is_ok(), "{text}");
        let link = parse_file(&text).unwrap().unwrap();
        assert_eq!((link.hashes.urn().as_deref(), link.length), (Some(BOTH), Some(1234)));
        assert_eq!(link.name.as_deref(), Some("a & b.mkv"));
        let servers: Vec<String> = link.servers.iter().map(|server| server.url.to_string()).collect();
        let url = |at: &str| format!("http://{at}/uri-res/N2R?{SHA1}");
        assert_eq!(servers, ["[2600::1]:1003", "9.9.9.2:1002", "9.9.9.1:1001"].map(url));
        let Some(Source::File(file)) = hit(BOTH).source() else { panic!("it is a file") };
        assert_eq!(file, link.into());
    }

    #[test]
    fn a_file_without_a_hash_has_no_link_and_one_with_a_tree_alone_names_no_source() {
        assert_eq!(hit("").magnet(), None);
        assert!(hit("").source().is_none());
        let tree = format!("urn:tree:tiger:{}", BOTH.rsplit('.').next().unwrap());
        assert!(!hit(&tree).magnet().unwrap().contains("xs="));
    }

    #[test]
    fn a_file_stays_the_same_when_its_tree_becomes_known() {
        assert_eq!(hit(SHA1).identity(), hit(BOTH).identity());
        assert_ne!(hit(SHA1).identity(), hit("").identity());
        assert_ne!(hit(SHA1).identity(), Hit { size_bytes: 1, ..hit(SHA1) }.identity());
    }
}
