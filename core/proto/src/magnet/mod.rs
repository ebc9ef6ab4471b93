//! Magnet links (BEP 9, BEP 53): parsing and writing. Links to a torrent are a [`Magnet`], those to
//! one file by its hash a [`FileLink`].

mod file;
mod spelling;

pub use file::{FileLink, parse_file};
pub use spelling::bare;
pub(crate) use spelling::magnet_query;

use crate::address_class::is_acceptable;
use crate::metainfo::{MAX_URL_BYTES, Trackers, parse_web_seed};
use crate::{AddressClass, FileHashes, InfoHash, PeerAddress};
use percent_encoding::percent_decode_str;
use std::collections::HashSet;
use std::fmt;
use std::ops::RangeInclusive;
use url::{Url, form_urlencoded};

/// Longest magnet link, bytes. More trackers and peers fit than are needed.
const MAX_MAGNET_BYTES: usize = 64 << 10;
/// Most peers (`x.pe`) kept.
const MAX_PEERS: usize = 200;
/// Most ranges of files (`so`) kept.
const MAX_RANGES: usize = 1000;

/// Most web servers kept.
const MAX_SERVERS: usize = 100;

/// What a link says about a web server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It is a web seed or mirror (`ws`, BEP 19).
    WebSeed,
    /// It has the torrent file or the content (`xs`, exact source).
    Exact,
    /// It may serve where others fail (`as`, acceptable source).
    Acceptable,
}

impl Role {
    fn key(self) -> &'static str {
        match self {
            Role::WebSeed => "ws",
            Role::Exact => "xs",
            Role::Acceptable => "as",
        }
    }
}

/// A web server that a link names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// What it has.
    pub role: Role,
    /// Its URL (http or https).
    pub url: Url,
}

/// The reason why a magnet link cannot be used, as the end of a sentence about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadMagnet(pub String);

type Result<T> = std::result::Result<T, BadMagnet>;

/// A magnet link: an info-hash, and the peers and trackers to use.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Magnet {
    /// Info-hash of the torrent (`xt=urn:btih:`).
    pub info_hash: InfoHash,
    /// Name of the torrent according to the link (`dn`).
    pub name: Option<String>,
    /// Announce URLs (`tr`).
    pub trackers: Vec<String>,
    /// Peers (`x.pe`).
    pub peers: Vec<PeerAddress>,
    /// Web servers, in the order of the link.
    pub servers: Vec<Server>,
    /// Hashes of the torrent's only file, which name it in other networks too.
    pub hashes: FileHashes,
    /// Numbers of the selected files (`so`, BEP 53). An empty list selects all.
    pub files: Vec<RangeInclusive<usize>>,
    /// Class of the address from which the link came; [`AddressClass::Loopback`] for the user.
    pub named_by: AddressClass,
}

impl Magnet {
    /// Returns the link as named by an address of this class. Peers that such a source may not name
    /// are removed.
    #[must_use]
    pub fn named_by(mut self, class: AddressClass) -> Magnet {
        self.named_by = class;
        self.peers.retain(|peer| match peer {
            PeerAddress::Ip(addr) => is_acceptable(*addr, class),
            // Resolved like the user's own names, so only accepted from sources that may name all
            // addresses.
            PeerAddress::Name { .. } => class == AddressClass::Loopback,
        });
        self
    }

    /// Creates a link to this torrent without further fields.
    pub fn new(info_hash: InfoHash) -> Magnet {
        Magnet {
            info_hash,
            name: None,
            trackers: Vec::new(),
            peers: Vec::new(),
            servers: Vec::new(),
            hashes: FileHashes::default(),
            files: Vec::new(),
            named_by: AddressClass::Loopback,
        }
    }
}

/// Encodes a value of a link.
fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Writes the fields with URLs.
fn write_servers(f: &mut fmt::Formatter<'_>, servers: &[Server]) -> fmt::Result {
    servers.iter().try_for_each(|server| write!(f, "&{}={}", server.role.key(), encoded(server.url.as_str())))
}

impl fmt::Display for Magnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "magnet:?xt=urn:btih:{}", self.info_hash)?;
        self.hashes.urn().iter().try_for_each(|urn| write!(f, "&xt={urn}"))?;
        if let Some(name) = &self.name {
            write!(f, "&dn={}", encoded(name))?;
        }
        self.trackers.iter().try_for_each(|url| write!(f, "&tr={}", encoded(url)))?;
        self.peers.iter().try_for_each(|peer| write!(f, "&x.pe={}", encoded(&peer.to_string())))?;
        write_servers(f, &self.servers)?;
        for (n, range) in self.files.iter().enumerate() {
            f.write_str(if n == 0 { "&so=" } else { "," })?;
            match range.start() == range.end() {
                true => write!(f, "{}", range.start())?,
                false => write!(f, "{}-{}", range.start(), range.end())?,
            }
        }
        Ok(())
    }
}

/// Parses a magnet link in any spelling; `None` if the text is not one.
pub fn parse(text: &str) -> Option<Result<Magnet>> {
    Some(Fields::read(text)?.and_then(Fields::torrent))
}

fn bad<T>(why: impl Into<String>) -> Result<T> {
    Err(BadMagnet(why.into()))
}

/// The fields of a link.
#[derive(Default)]
struct Fields {
    hash: Option<InfoHash>,
    /// Whether an info-hash cannot be read.
    is_odd: bool,
    /// Whether there is the info-hash of a BitTorrent v2 torrent.
    is_v2: bool,
    hashes: FileHashes,
    name: Option<String>,
    length: Option<u64>,
    trackers: Vec<String>,
    peers: Vec<PeerAddress>,
    servers: Vec<Server>,
    files: Vec<RangeInclusive<usize>>,
}

impl Fields {
    /// Reads a link in any spelling; `None` if the text is not one.
    fn read(text: &str) -> Option<Result<Fields>> {
        let query = magnet_query(text)?;
        if text.len() > MAX_MAGNET_BYTES {
            return Some(bad(format!("a magnet link has at most {MAX_MAGNET_BYTES} bytes")));
        }
        let mut fields = Fields::default();
        for pair in query.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            fields.add(&form_decoded(key).trim().to_ascii_lowercase(), value);
        }
        Some(Ok(fields))
    }

    /// Adds a field. The value is as the link has it.
    fn add(&mut self, key: &str, raw: &str) {
        // Several fields of one kind may be numbered: `tr.1`, `xt.1`.
        let kind = match key.rsplit_once('.') {
            Some((kind, number)) if number.bytes().all(|b| b.is_ascii_digit()) => kind,
            _ => key,
        };
        let form = form_decoded(raw);
        let value = form.trim();
        match kind {
            "xt" => self.add_topic(&spelling::decoded_wholly(value)),
            "dn" if !value.is_empty() => self.name = Some(value.to_owned()),
            "xl" => self.length = value.parse().ok(),
            "tr" if value.len() <= MAX_URL_BYTES => self.trackers.push(url_text(value)),
            "x.pe" if self.peers.len() < MAX_PEERS => self.peers.extend(value.parse::<PeerAddress>().ok()),
            "ws" => self.add_server(Role::WebSeed, raw),
            "xs" => self.add_server(Role::Exact, raw),
            "as" => self.add_server(Role::Acceptable, raw),
            "so" => self.files.extend(ranges(value).take(MAX_RANGES - self.files.len().min(MAX_RANGES))),
            _ => {}
        }
    }

    /// Adds a hash (`xt`).
    fn add_topic(&mut self, value: &str) {
        let lower = value.to_ascii_lowercase();
        // Some programs write `btih:HASH`, or the hash alone.
        let bare = lower.strip_prefix("btih:").unwrap_or(&lower);
        if lower.starts_with("urn:btih:") || InfoHash::from_text(bare).is_some() {
            let given = hash_at_start(lower.strip_prefix("urn:btih:").unwrap_or(bare));
            self.is_odd |= given.is_none();
            // A link may name several hashes. Like other clients, we use one of them.
            self.hash = self.hash.or(given);
        }
        self.is_v2 |= lower.starts_with("urn:btmh:");
        if let Some(hashes) = FileHashes::from_urn(value) {
            self.hashes = self.hashes.or(hashes);
        }
    }

    /// Adds a server, unless it is there or there are too many. A `+` is itself: a URL has no
    /// spaces, and many links have URLs that are not encoded.
    fn add_server(&mut self, role: Role, raw: &str) {
        let Some(url) = parse_web_seed(&url_text(&spelling::decoded(raw))) else { return };
        let server = Server { role, url };
        if self.servers.len() < MAX_SERVERS && !self.servers.contains(&server) {
            self.servers.push(server);
        }
    }

    /// Returns the link to a torrent.
    fn torrent(self) -> Result<Magnet> {
        let Some(info_hash) = self.hash else { return bad(self.why_no_torrent()) };
        let mut peers = self.peers;
        let mut seen = HashSet::new();
        peers.retain(|peer| seen.insert(peer.clone()));
        Ok(Magnet {
            info_hash,
            name: self.name,
            trackers: Trackers::from(self.trackers).urls().map(str::to_owned).collect(),
            peers,
            servers: self.servers,
            hashes: self.hashes,
            files: self.files,
            named_by: AddressClass::Loopback,
        })
    }

    fn why_no_torrent(&self) -> &'static str {
        match (self.is_odd, self.is_v2) {
            (true, _) => "its info-hash is neither 40 hexadecimal nor 32 base32 characters",
            (_, true) => {
                "it has only the info-hash of a BitTorrent v2 torrent (btmh), which is not supported; find a v1 or hybrid link"
            }
            _ if !self.hashes.is_empty() => "it names one file by its hash and no torrent (xt=urn:btih:…)",
            _ => "the link has no info-hash (xt=urn:btih:…)",
        }
    }
}

/// Returns a value decoded as in a form, where `+` is a space.
fn form_decoded(raw: &str) -> String {
    percent_decode_str(&raw.replace('+', " ")).decode_utf8_lossy().into_owned()
}

/// Returns a URL, also if it was encoded twice.
fn url_text(value: &str) -> String {
    let twice = !value.contains("://") && value.to_ascii_lowercase().contains("%3a%2f%2f");
    if twice { spelling::decoded(value) } else { value.to_owned() }
}

/// Returns the ranges of BEP 53, `0,2,4-6`. Invalid parts are skipped.
fn ranges(value: &str) -> impl Iterator<Item = RangeInclusive<usize>> + '_ {
    value.split(',').filter_map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        (first <= last).then_some(first..=last)
    })
}

/// Parses an info-hash with trailing characters that cannot belong to a hash, such as a slash.
fn hash_at_start(text: &str) -> Option<InfoHash> {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
    InfoHash::from_text(&text[..end])
}

#[cfg(test)]
mod tests;
