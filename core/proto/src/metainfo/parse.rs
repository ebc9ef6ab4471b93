//! Parses the bytes of a `.torrent` file, or of an info dictionary from peers, into a checked
//! [`Metainfo`], and writes them.
//!
//! Supported: BEP 3, the v1 half of BEP 52's hybrids, BEP 12 (tracker lists), BEP 19 (web seeds),
//! BEP 27 (private) and BEP 47 (pad files). The `.utf-8` names and stated encodings of old clients are supported too.
//! Decisions:
//!
//! - Torrents that other clients accept are accepted.
//! - Every name is made safe, also one that tries to leave the folder.
//! - A symbolic link (BEP 47's attribute `l`) has no bytes. It is skipped like an empty pad file,
//!   and never created.
//! - Optional fields of odd shape are ignored.
//! - Info dictionaries are hashed exactly as received.

use super::info::{self, Content, RawInfo};
use super::{MAX_TRACKERS, MAX_URL_BYTES, MAX_WEB_SEEDS, Metainfo, Result, Trackers, WebSeeds, bad};
use crate::bencode::{Reader, put_string};
use crate::proof::Proof;
use crate::sha1::sha1;
use crate::{InfoHash, Layout};
use bytes::Bytes;
use encoding_rs::Encoding;

/// Largest `.torrent` file or info dictionary, bytes: three million pieces, or the most files
/// allowed.
pub const MAX_TORRENT_BYTES: usize = 64 << 20;
/// Most files in one torrent.
pub const MAX_FILES: usize = 200_000;
/// Shortest piece, bytes. Real torrents begin at 16 KiB.
pub const MIN_PIECE_BYTES: u32 = 1 << 10;
/// Longest piece, bytes: a piece must fit in memory to be verified. Real torrents end at 16 or 32
/// MiB.
pub const MAX_PIECE_BYTES: u32 = 64 << 20;
/// Largest total of all files, bytes.
pub const MAX_TOTAL_BYTES: u64 = 1 << 50;
/// Most bytes in front of a torrent file: the head of an HTTP answer.
pub(super) const MAX_FRONT_BYTES: usize = 4096;
/// Most positions in front that are tried as its beginning.
const MAX_BEGINNINGS: usize = 16;

impl Metainfo {
    /// Parses a `.torrent` file.
    ///
    /// # Errors
    ///
    /// Returns [`BadMetainfo`](super::BadMetainfo), which names the error.
    pub fn from_bytes(bytes: &[u8]) -> Result<Metainfo> {
        check_size(bytes)?;
        if bytes.is_empty() {
            return Err(bad("it is empty"));
        }
        if is_web_page(bytes) {
            return Err(bad("it is a web page and not a torrent file"));
        }
        let mut failure = None;
        for start in beginnings(bytes) {
            match Outer::read(&bytes[start..]) {
                Ok(outer) => {
                    let trackers = Trackers::of_tiers(outer.tiers);
                    let info = Bytes::copy_from_slice(outer.info);
                    let torrent = Metainfo::from_parts(info, trackers, outer.encoding)?;
                    return Ok(Metainfo { web_seeds: outer.web_seeds, ..torrent });
                }
                // The first error is the informative one.
                Err(e) => failure = failure.or(Some(e)),
            }
        }
        Err(failure.unwrap_or_else(|| bad("it does not begin like a torrent file")))
    }

    /// Parses an info dictionary, as peers send it (BEP 9). The info-hash is the SHA-1 of these
    /// bytes. The caller compares it with the wanted one.
    ///
    /// # Errors
    ///
    /// Returns [`BadMetainfo`](super::BadMetainfo), which names the error.
    pub fn from_info(info: Bytes, trackers: impl Into<Trackers>) -> Result<Metainfo> {
        Metainfo::from_parts(info, trackers.into(), None)
    }

    /// Builds a torrent. `encoding` applies to names that are not UTF-8, if the torrent file states
    /// one.
    fn from_parts(info: Bytes, trackers: Trackers, encoding: Option<&'static Encoding>) -> Result<Metainfo> {
        check_size(&info)?;
        let raw = RawInfo::read(&info)?;
        let info_hash = InfoHash(sha1(&info));
        let Some(pieces) = raw.pieces else {
            return Err(bad(if raw.v2 {
                "it is a BitTorrent v2 torrent without a v1 part, which is not supported"
            } else {
                "it has no piece hashes"
            }));
        };
        let piece_bytes = raw
            .piece_length
            .and_then(|n| u32::try_from(n).ok())
            .filter(|n| (MIN_PIECE_BYTES..=MAX_PIECE_BYTES).contains(n))
            .ok_or_else(|| {
                bad(format!("its piece length is not between {MIN_PIECE_BYTES} and {MAX_PIECE_BYTES} bytes"))
            })?;
        let nameless = info_hash.to_string();
        let Content { name, files, total } = raw.content(encoding, &nameless)?;
        let layout = Layout::new(total, piece_bytes).ok_or_else(|| bad("it has no data"))?;
        if pieces.len() as u64 != u64::from(layout.pieces()) * 20 {
            return Err(bad(format!(
                "its files have {} pieces, but it has {} hashes",
                layout.pieces(),
                pieces.len() as f64 / 20.0
            )));
        }
        let (name, private) = (name.unwrap_or(nameless), raw.private);
        let (proof, named) = (Proof::of_torrent(info.slice_ref(pieces)), None);
        let encoding = encoding.map(Encoding::name);
        let (web_seeds, selected) = (WebSeeds::default(), Vec::new());
        Ok(Metainfo {
            info_hash,
            name,
            layout,
            proof,
            named,
            files,
            private,
            trackers,
            web_seeds,
            encoding,
            selected,
            info,
        })
    }
}

/// Returns whether the body is HTML or XML, whatever precedes the first tag.
pub fn is_web_page(body: &[u8]) -> bool {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii_start();
    body.first() == Some(&b'<')
}

/// Returns the positions at which a torrent file may begin: some have a byte order mark, blank
/// lines or the head of an HTTP answer in front.
fn beginnings(bytes: &[u8]) -> impl Iterator<Item = usize> + '_ {
    let front = &bytes[..bytes.len().min(MAX_FRONT_BYTES + 2)];
    let begins = |pair: &[u8]| pair[0] == b'd' && pair[1].is_ascii_digit();
    front.windows(2).enumerate().filter(move |(_, pair)| begins(pair)).map(|(at, _)| at).take(MAX_BEGINNINGS)
}

/// The relevant fields of the dictionary around the info dictionary.
struct Outer<'a> {
    info: &'a [u8],
    /// Announce URLs by tiers (BEP 12), unchanged.
    tiers: Vec<Vec<String>>,
    web_seeds: WebSeeds,
    encoding: Option<&'static Encoding>,
}

impl<'a> Outer<'a> {
    /// Parses the dictionary. Data behind it is ignored.
    fn read(bytes: &'a [u8]) -> Result<Outer<'a>> {
        let (mut info, mut encoding, mut page) = (None, None, None);
        let (mut single, mut tiers, mut web_seeds) = (Vec::new(), Vec::new(), WebSeeds::default());
        Reader::new(bytes).dictionary(|key, value| -> Result<()> {
            match key {
                // The first of duplicates counts, as in libtorrent.
                b"info" if info.is_none() && value.peek()? == b'd' => info = Some(value.skip()?),
                b"announce" => push_urls(&mut single, value)?,
                b"announce-list" => push_urls(&mut tiers, value)?,
                b"url-list" => push_web_seeds(&mut web_seeds, value)?,
                b"encoding" => encoding = encoding.or(info::label(value)?),
                b"codepage" => page = page.or(info::code_page(value)?),
                _ => {}
            }
            Ok(())
        })?;
        // BEP 12: the list takes precedence if present; many torrents' `announce` is in it too.
        tiers.append(&mut single);
        let info = info.ok_or_else(|| bad("it has no info dictionary"))?;
        Ok(Outer { info, tiers, web_seeds, encoding: encoding.or(page) })
    }
}

fn check_size(bytes: &[u8]) -> Result<()> {
    if bytes.len() > MAX_TORRENT_BYTES {
        return Err(bad(format!("it is larger than {} MiB", MAX_TORRENT_BYTES >> 20)));
    }
    Ok(())
}

/// Adds the URLs of `announce` or `announce-list`. Tools write a string, a list, or a list of lists
/// in either, and several URLs in one string. URLs that are not in an inner list become tiers of
/// their own.
fn push_urls(tiers: &mut Vec<Vec<String>>, value: &mut Reader<'_>) -> Result<()> {
    if value.peek()? != b'l' {
        value.string_if_any()?.into_iter().for_each(|text| tiers.extend(urls(text).map(|url| vec![url])));
        return Ok(());
    }
    value.list(|tier| -> Result<()> {
        // Ten times the limit: unusable ones and duplicates are removed later.
        if tiers.iter().map(Vec::len).sum::<usize>() >= MAX_TRACKERS * 10 {
            return Ok(());
        }
        if tier.peek()? != b'l' {
            tier.string_if_any()?.into_iter().for_each(|text| tiers.extend(urls(text).map(|url| vec![url])));
            return Ok(());
        }
        let mut one = Vec::new();
        tier.list(|url| -> Result<()> {
            url.string_if_any()?
                .filter(|_| one.len() < MAX_TRACKERS)
                .into_iter()
                .for_each(|text| one.extend(urls(text)));
            Ok(())
        })?;
        tiers.extend((!one.is_empty()).then_some(one));
        Ok(())
    })
}

/// Adds the URLs of `url-list` (BEP 19): a string, or a list of strings.
fn push_web_seeds(seeds: &mut WebSeeds, value: &mut Reader<'_>) -> Result<()> {
    if value.peek()? != b'l' {
        value.string_if_any()?.into_iter().for_each(|text| seeds.push_text(text));
        return Ok(());
    }
    value.list(|item| -> Result<()> {
        item.string_if_any()?
            .filter(|_| seeds.len() < MAX_WEB_SEEDS)
            .into_iter()
            .for_each(|text| seeds.push_text(text));
        Ok(())
    })
}

/// Returns the URLs in a text.
fn urls(text: &[u8]) -> impl Iterator<Item = String> + '_ {
    let text = std::str::from_utf8(text).unwrap_or_default();
    text.split_whitespace().filter(|url| url.len() <= MAX_URL_BYTES).take(MAX_TRACKERS).map(str::to_owned)
}

/// Returns a `.torrent` file (BEP 3) for an info dictionary.
pub fn write_torrent(info: &[u8], trackers: &Trackers, comment: Option<&str>, encoding: Option<&str>) -> Vec<u8> {
    write(info, trackers, &WebSeeds::default(), comment, encoding)
}

pub(super) fn write(
    info: &[u8],
    trackers: &Trackers,
    web_seeds: &WebSeeds,
    comment: Option<&str>,
    encoding: Option<&str>,
) -> Vec<u8> {
    // BEP 3: keys in the order of their bytes.
    let mut out = Vec::with_capacity(info.len() + 256);
    out.push(b'd');
    if let Some(first) = trackers.urls().next() {
        put_string(&mut out, b"announce");
        put_string(&mut out, first.as_bytes());
        put_string(&mut out, b"announce-list");
        out.push(b'l');
        for tier in trackers.tiers() {
            out.push(b'l');
            tier.for_each(|url| put_string(&mut out, url.as_bytes()));
            out.push(b'e');
        }
        out.push(b'e');
    }
    if let Some(comment) = comment {
        put_string(&mut out, b"comment");
        put_string(&mut out, comment.as_bytes());
    }
    put_string(&mut out, b"created by");
    put_string(&mut out, concat!("playswarm ", env!("CARGO_PKG_VERSION")).as_bytes());
    if let Some(encoding) = encoding {
        put_string(&mut out, b"encoding");
        put_string(&mut out, encoding.as_bytes());
    }
    put_string(&mut out, b"info");
    out.extend_from_slice(info);
    if !web_seeds.is_empty() {
        put_string(&mut out, b"url-list");
        out.push(b'l');
        web_seeds.iter().for_each(|seed| put_string(&mut out, seed.url.as_str().as_bytes()));
        out.push(b'e');
    }
    out.push(b'e');
    out
}
