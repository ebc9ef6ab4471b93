//! Magnet links (BEP 9, BEP 53): parsing and writing.

mod spelling;

pub use spelling::bare;
pub(crate) use spelling::magnet_query;

use crate::address_class::is_acceptable;
use crate::metainfo::{MAX_URL_BYTES, Trackers};
use crate::{AddressClass, InfoHash, PeerAddress};
use std::collections::HashSet;
use std::fmt;
use std::ops::RangeInclusive;
use url::form_urlencoded;

/// Longest magnet link, bytes. More trackers and peers fit than are needed.
const MAX_MAGNET_BYTES: usize = 64 << 10;
/// Most peers (`x.pe`) kept.
const MAX_PEERS: usize = 200;
/// Most ranges of files (`so`) kept.
const MAX_RANGES: usize = 1000;

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
            files: Vec::new(),
            named_by: AddressClass::Loopback,
        }
    }
}

impl fmt::Display for Magnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        write!(f, "magnet:?xt=urn:btih:{}", self.info_hash)?;
        if let Some(name) = &self.name {
            write!(f, "&dn={}", encode(name))?;
        }
        self.trackers.iter().try_for_each(|url| write!(f, "&tr={}", encode(url)))?;
        self.peers.iter().try_for_each(|peer| write!(f, "&x.pe={}", encode(&peer.to_string())))?;
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
    let query = magnet_query(text)?;
    if text.len() > MAX_MAGNET_BYTES {
        return Some(bad(format!("a magnet link has at most {MAX_MAGNET_BYTES} bytes")));
    }
    Some(parse_query(&query))
}

fn bad(why: impl Into<String>) -> Result<Magnet> {
    Err(BadMagnet(why.into()))
}

fn parse_query(query: &str) -> Result<Magnet> {
    let (mut hash, mut odd, mut v2, mut name) = (None, false, false, None);
    let (mut trackers, mut peers, mut files) = (Vec::new(), Vec::new(), Vec::new());
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
        // Several fields of one kind may be numbered: `tr.1`, `xt.1`.
        let kind = match key.rsplit_once('.') {
            Some((kind, number)) if number.bytes().all(|b| b.is_ascii_digit()) => kind,
            _ => &key,
        };
        match kind {
            "xt" => {
                let value = spelling::decoded_wholly(value);
                let lower = value.to_ascii_lowercase();
                // Some programs write `btih:HASH`, or the hash alone.
                let bare = lower.strip_prefix("btih:").unwrap_or(&lower);
                if lower.starts_with("urn:btih:") || InfoHash::from_text(bare).is_some() {
                    let given = hash_at_start(lower.strip_prefix("urn:btih:").unwrap_or(bare));
                    odd |= given.is_none();
                    // A link may name several hashes. Like other clients, we use one of them.
                    hash = hash.or(given);
                }
                v2 |= lower.starts_with("urn:btmh:");
            }
            "dn" if !value.is_empty() => name = Some(value.to_owned()),
            "tr" if value.len() <= MAX_URL_BYTES => trackers.push(tracker(value)),
            "x.pe" if peers.len() < MAX_PEERS => peers.extend(value.parse::<PeerAddress>().ok()),
            "so" => files.extend(ranges(value).take(MAX_RANGES - files.len().min(MAX_RANGES))),
            _ => {}
        }
    }
    match hash {
        Some(info_hash) => {
            let mut seen = HashSet::new();
            peers.retain(|peer| seen.insert(peer.clone()));
            let named_by = AddressClass::Loopback;
            Ok(Magnet {
                info_hash,
                name,
                trackers: Trackers::from(trackers).urls().map(str::to_owned).collect(),
                peers,
                files,
                named_by,
            })
        }
        None if odd => bad("its info-hash is neither 40 hexadecimal nor 32 base32 characters"),
        None if v2 => bad(
            "it has only the info-hash of a BitTorrent v2 torrent (btmh), which is not supported; find a v1 or hybrid link",
        ),
        None => bad("the link has no info-hash (xt=urn:btih:…)"),
    }
}

/// Returns a tracker's URL, also if it was encoded twice.
fn tracker(value: &str) -> String {
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
