//! Magnet links (BEP 9): parsed and written.

use super::{bad_source, literal_addr};
use crate::error::Result;
use crate::torrent::{InfoHash, MAX_URL_BYTES};
use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;
use url::form_urlencoded;

/// Bytes of a link; the trackers and peers that fit are more than enough.
const MAX_MAGNET_BYTES: usize = 64 << 10;
/// Peers (`x.pe`) that are kept.
const MAX_PEERS: usize = 200;

/// A magnet link: what peers and trackers to ask for which torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Magnet {
    /// Which torrent (`xt=urn:btih:`).
    pub info_hash: InfoHash,
    /// Its name, as the link has it (`dn`).
    pub name: Option<String>,
    /// Announce URLs (`tr`).
    pub trackers: Vec<String>,
    /// Addresses of peers (`x.pe`); host names are not looked up and left out.
    pub peers: Vec<SocketAddr>,
}

impl fmt::Display for Magnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        write!(f, "magnet:?xt=urn:btih:{}", self.info_hash)?;
        if let Some(name) = &self.name {
            write!(f, "&dn={}", encode(name))?;
        }
        self.trackers.iter().try_for_each(|url| write!(f, "&tr={}", encode(url)))?;
        self.peers.iter().try_for_each(|peer| write!(f, "&x.pe={}", encode(&peer.to_string())))
    }
}

pub(super) fn parse(text: &str) -> Result<Magnet> {
    if text.len() > MAX_MAGNET_BYTES {
        return Err(bad_source(text, format!("a magnet link has at most {MAX_MAGNET_BYTES} bytes")));
    }
    let query = text.split_once('?').map_or("", |(_, query)| query);
    let (mut hash, mut v2, mut name) = (None, false, None);
    let (mut trackers, mut peers) = (Vec::new(), Vec::new());
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        // Several of one kind may be numbered: `tr.1`, `xt.1`.
        let kind = match key.split_once('.') {
            Some((kind, number)) if number.bytes().all(|b| b.is_ascii_digit()) => kind,
            _ => &*key,
        };
        match kind {
            "xt" => {
                let lower = value.to_ascii_lowercase();
                if lower.starts_with("urn:btih:") {
                    let given = &value["urn:btih:".len()..];
                    let parsed = hash_from_hex(given).or_else(|| hash_from_base32(given)).ok_or_else(|| {
                        bad_source(text, "its info-hash is neither 40 hexadecimal nor 32 base32 characters")
                    })?;
                    if *hash.get_or_insert(parsed) != parsed {
                        return Err(bad_source(text, "it names two different torrents"));
                    }
                }
                v2 |= lower.starts_with("urn:btmh:");
            }
            "dn" if !value.is_empty() => name = Some(value.into_owned()),
            "tr" if value.len() <= MAX_URL_BYTES => trackers.push(value.into_owned()),
            "x.pe" if peers.len() < MAX_PEERS => peers.extend(literal_addr(&value)),
            _ => {}
        }
    }
    match hash {
        Some(info_hash) => {
            let mut seen = HashSet::new();
            peers.retain(|peer| seen.insert(*peer));
            Ok(Magnet { info_hash, name, trackers: crate::torrent::clean_trackers(trackers), peers })
        }
        None if v2 => Err(bad_source(
            text,
            "it names a BitTorrent v2 torrent (btmh) alone, which is not supported; find a v1 or hybrid link",
        )),
        None => Err(bad_source(text, "the link names no torrent (xt=urn:btih:…)")),
    }
}

/// 40 hexadecimal digits.
pub(super) fn hash_from_hex(text: &str) -> Option<InfoHash> {
    let digits = text.as_bytes();
    if digits.len() != 40 {
        return None;
    }
    let digit = |d: u8| (d as char).to_digit(16);
    let mut hash = [0u8; 20];
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = (digit(pair[0])? * 16 + digit(pair[1])?) as u8;
    }
    Some(InfoHash(hash))
}

/// 32 characters of base32 (RFC 4648), as old links have them.
fn hash_from_base32(text: &str) -> Option<InfoHash> {
    if text.len() != 32 {
        return None;
    }
    let mut hash = [0u8; 20];
    for (bytes, group) in hash.chunks_exact_mut(5).zip(text.as_bytes().chunks_exact(8)) {
        let mut bits = 0u64;
        for c in group {
            let five = match c.to_ascii_uppercase() {
                c @ b'A'..=b'Z' => c - b'A',
                c @ b'2'..=b'7' => c - b'2' + 26,
                _ => return None,
            };
            bits = bits << 5 | u64::from(five);
        }
        bytes.copy_from_slice(&bits.to_be_bytes()[3..]);
    }
    Some(InfoHash(hash))
}
