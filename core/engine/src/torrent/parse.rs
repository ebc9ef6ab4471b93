//! From the bytes of a `.torrent` file, or of an info dictionary that peers sent, to a checked [`Torrent`]; and back.
//!
//! Understood: BEP 3, the v1 half of BEP 52's hybrids, BEP 12 (tracker lists), BEP 27 (private), BEP 47 (pad files), and the
//! `.utf-8` names of old clients. Decisions: a path that leaves the folder refuses the torrent, names that are merely awkward
//! are made safe; a symbolic link (BEP 47's attribute `l`) has no bytes and is passed over as an empty pad file is, never
//! created; optional fields of odd shape are ignored; info dictionaries are hashed exactly as they came.

use super::paths::{self, MAX_PATH_DEPTH, PathMaker};
use super::{FileEntry, InfoHash, Torrent};
use crate::bencode::{Malformed, Reader, put_string};
use crate::error::{Error, Result};
use bytes::Bytes;
use librqbit_sha1_wrapper::{ISha1, Sha1};
use playswarm_logic::Layout;
use std::borrow::Cow;
use std::collections::HashSet;
use std::path::PathBuf;

/// Bytes of a `.torrent` file or info dictionary: three million pieces, or all files that are allowed.
pub const MAX_TORRENT_BYTES: usize = 64 << 20;
/// Files in one torrent.
pub const MAX_FILES: usize = 200_000;
/// Bytes of a piece, at least. Real torrents begin at 16 KiB.
pub const MIN_PIECE_BYTES: u32 = 1 << 10;
/// Bytes of a piece, at most: a piece must fit in memory to be verified. Real torrents end at 16 or 32 MiB.
pub const MAX_PIECE_BYTES: u32 = 64 << 20;
/// Bytes of all files together.
pub const MAX_TOTAL_BYTES: u64 = 1 << 50;
/// Trackers that are kept; the rest is ignored.
pub const MAX_TRACKERS: usize = 200;
/// Bytes of a tracker's URL; longer ones are ignored.
pub const MAX_URL_BYTES: usize = 2048;

/// BitComet's pad files, older than BEP 47, are known by their name alone.
const BITCOMET_PADDING: &str = "_____padding_file";

impl From<Malformed> for Error {
    fn from(why: Malformed) -> Error {
        bad(why.0)
    }
}

fn bad(why: impl Into<String>) -> Error {
    Error::BadTorrent(why.into())
}

/// The SHA-1 of bytes.
pub(crate) fn sha1(bytes: &[u8]) -> [u8; 20] {
    let mut hasher = Sha1::new();
    hasher.update(bytes);
    hasher.finish()
}

impl Torrent {
    /// Reads a `.torrent` file.
    ///
    /// # Errors
    /// [`Error::BadTorrent`] with a sentence that says what is wrong with it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Torrent> {
        check_size(bytes)?;
        if bytes.first() != Some(&b'd') {
            return Err(bad("it does not begin like a torrent file"));
        }
        let mut reader = Reader::new(bytes);
        let (mut info, mut single, mut tiers) = (None, None, Vec::new());
        reader.dictionary(|key, value| -> Result<()> {
            match key {
                b"info" => {
                    let before = info.replace(value.skip()?);
                    if before.is_some() {
                        return Err(bad("it has two info dictionaries"));
                    }
                }
                b"announce" if value.peek()?.is_ascii_digit() => single = Some(value.string()?),
                b"announce-list" if value.peek()? == b'l' => value.list(|tier| -> Result<()> {
                    // Some tools write a plain list instead of a list of lists.
                    match tier.peek()? {
                        b'l' => tier.list(|url| -> Result<()> {
                            if url.peek()?.is_ascii_digit() {
                                push_url(&mut tiers, url.string()?);
                            }
                            Ok(())
                        })?,
                        b'0'..=b'9' => push_url(&mut tiers, tier.string()?),
                        _ => {}
                    }
                    Ok(())
                })?,
                _ => {}
            }
            Ok(())
        })?;
        if !reader.at_end() {
            return Err(bad("there is something behind its end"));
        }
        // BEP 12: the list counts where there is one; many torrents' `announce` is in it anyway.
        tiers.extend(single.and_then(|url| std::str::from_utf8(url).ok()).map(str::to_owned));
        let info = info.ok_or_else(|| bad("it has no info dictionary"))?;
        Torrent::from_info(Bytes::copy_from_slice(info), tiers)
    }

    /// Reads an info dictionary, as peers send it (BEP 9). The info-hash is the SHA-1 of these bytes; whether it is the one
    /// that was wanted is for the caller to see.
    ///
    /// # Errors
    /// [`Error::BadTorrent`] with a sentence that says what is wrong with it.
    pub fn from_info(info: Bytes, trackers: Vec<String>) -> Result<Torrent> {
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
        let name = match raw.name_utf8.or(raw.name).map(String::from_utf8_lossy) {
            Some(name) if !name.is_empty() => name,
            _ => Cow::Owned(info_hash.to_string()),
        };
        if paths::is_hostile(&name) {
            return Err(bad("its name tries to leave the download folder"));
        }
        let (files, total) = raw.files(&name)?;
        let layout = Layout::new(total, piece_bytes).ok_or_else(|| bad("it holds no data at all"))?;
        if pieces.len() as u64 != u64::from(layout.pieces()) * 20 {
            return Err(bad(format!(
                "its files make {} pieces, but it has hashes of {}",
                layout.pieces(),
                pieces.len() as f64 / 20.0
            )));
        }
        let (name, private, hashes) = (paths::printable(&name), raw.private, info.slice_ref(pieces));
        Ok(Torrent { info_hash, name, layout, hashes, files, private, trackers: clean_trackers(trackers), info })
    }
}

fn check_size(bytes: &[u8]) -> Result<()> {
    if bytes.len() > MAX_TORRENT_BYTES {
        return Err(bad(format!("it is larger than {} MiB", MAX_TORRENT_BYTES >> 20)));
    }
    Ok(())
}

fn push_url(urls: &mut Vec<String>, url: &[u8]) {
    // Ten times what is kept: unusable ones and duplicates are sorted out later.
    if urls.len() < MAX_TRACKERS * 10
        && url.len() <= MAX_URL_BYTES
        && let Ok(url) = std::str::from_utf8(url)
    {
        urls.push(url.to_owned());
    }
}

/// Keeps the announce URLs that can be asked, in order, without duplicates and within the limits.
pub(crate) fn clean_trackers(urls: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    urls.into_iter()
        .map(|url| url.trim().to_owned())
        .filter(|url| url.len() <= MAX_URL_BYTES)
        .filter(|url| {
            url::Url::parse(url)
                .is_ok_and(|url| matches!(url.scheme(), "http" | "https" | "udp") && url.host_str().is_some())
        })
        .filter(|url| seen.insert(url.clone()))
        .take(MAX_TRACKERS)
        .collect()
}

/// The fields of an info dictionary as they stand there.
#[derive(Default)]
struct RawInfo<'a> {
    name: Option<&'a [u8]>,
    name_utf8: Option<&'a [u8]>,
    pieces: Option<&'a [u8]>,
    piece_length: Option<i64>,
    length: Option<i64>,
    files: Option<Reader<'a>>,
    private: bool,
    v2: bool,
}

impl<'a> RawInfo<'a> {
    fn read(info: &'a [u8]) -> Result<RawInfo<'a>> {
        let mut reader = Reader::new(info);
        let mut raw = RawInfo::default();
        let mut seen = HashSet::new();
        reader.dictionary(|key, value| -> Result<()> {
            let known: &[&[u8]] =
                &[b"name", b"name.utf-8", b"pieces", b"piece length", b"length", b"files", b"private", b"meta version"];
            if known.contains(&key) && !seen.insert(key) {
                return Err(bad(format!("it has two fields named '{}'", String::from_utf8_lossy(key))));
            }
            match key {
                b"name" => raw.name = Some(value.string()?),
                b"name.utf-8" if value.peek()?.is_ascii_digit() => raw.name_utf8 = Some(value.string()?),
                b"pieces" => raw.pieces = Some(value.string()?),
                b"piece length" => raw.piece_length = Some(value.integer()?),
                b"length" => raw.length = Some(value.integer()?),
                // Checked as a whole here (by passing over it), read later.
                b"files" => raw.files = Some(value.clone()),
                // One bit by BEP 27. Any byte is taken; beyond that librqbit's parser, which gets these bytes too, overflows.
                b"private" if value.peek()? == b'i' => {
                    let flag = u8::try_from(value.integer()?).map_err(|_| bad("its private flag is no flag"))?;
                    raw.private = flag != 0;
                }
                b"meta version" if value.peek()? == b'i' => raw.v2 = value.integer()? == 2,
                _ => {}
            }
            Ok(())
        })?;
        if !reader.at_end() {
            return Err(bad("there is something behind the end of its info dictionary"));
        }
        Ok(raw)
    }

    /// The files with their safe paths, and the bytes of all of them.
    fn files(&self, name: &str) -> Result<(Vec<FileEntry>, u64)> {
        let mut files = Files { list: Vec::new(), paths: PathMaker::new(), total: 0 };
        match (self.length, self.files.clone()) {
            (Some(length), None) => files.push(&[name], &[name], length, false)?,
            (None, Some(mut reader)) => reader.list(|item| -> Result<()> {
                let raw = RawFile::read(item)?;
                let parts: Vec<Cow<'_, str>> = raw.path.iter().map(|part| String::from_utf8_lossy(part)).collect();
                if parts.is_empty() || parts.iter().all(|part| part.is_empty()) {
                    return Err(bad("it has a file without a name"));
                }
                if parts.len() >= MAX_PATH_DEPTH {
                    return Err(bad(format!("it has a file within more than {MAX_PATH_DEPTH} folders")));
                }
                if parts.iter().any(|part| paths::is_hostile(part)) {
                    return Err(bad("it has a file whose path tries to leave the download folder"));
                }
                let all: Vec<&str> = std::iter::once(name).chain(parts.iter().map(AsRef::as_ref)).collect();
                let padding = raw.padding
                    || (raw.symlink && raw.length == 0)
                    || all.last().is_some_and(|last| last.starts_with(BITCOMET_PADDING));
                files.push(&all, &all[1..], raw.length, padding)
            })?,
            (None, None) => return Err(bad("it has no files")),
            (Some(_), Some(_)) => return Err(bad("it claims to be one file and several files at once")),
        }
        if files.list.is_empty() {
            return Err(bad("it has no files"));
        }
        Ok((files.list, files.total))
    }
}

/// One entry of the list of files.
struct RawFile<'a> {
    path: Vec<&'a [u8]>,
    length: i64,
    padding: bool,
    symlink: bool,
}

impl<'a> RawFile<'a> {
    fn read(item: &mut Reader<'a>) -> Result<RawFile<'a>> {
        let (mut path, mut path_utf8, mut length, mut attr) = (None, None, None, &b""[..]);
        item.dictionary(|key, value| -> Result<()> {
            match key {
                b"path" => path = Some(strings(value)?),
                b"path.utf-8" if value.peek()? == b'l' => path_utf8 = Some(strings(value)?),
                b"length" => {
                    let before = length.replace(value.integer()?);
                    if before.is_some() {
                        return Err(bad("it has a file with two lengths"));
                    }
                }
                b"attr" if value.peek()?.is_ascii_digit() => attr = value.string()?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(RawFile {
            path: path_utf8.or(path).ok_or_else(|| bad("it has a file without a name"))?,
            length: length.ok_or_else(|| bad("it has a file without a length"))?,
            padding: attr.contains(&b'p'),
            symlink: attr.contains(&b'l'),
        })
    }
}

/// A list of strings, no longer than a path may be.
fn strings<'a>(value: &mut Reader<'a>) -> Result<Vec<&'a [u8]>> {
    let mut strings = Vec::new();
    value.list(|item| -> Result<()> {
        if strings.len() >= MAX_PATH_DEPTH {
            return Err(bad(format!("it has a file within more than {MAX_PATH_DEPTH} folders")));
        }
        strings.push(item.string()?);
        Ok(())
    })?;
    Ok(strings)
}

struct Files {
    list: Vec<FileEntry>,
    paths: PathMaker,
    total: u64,
}

impl Files {
    fn push(&mut self, path: &[&str], shown: &[&str], length: i64, padding: bool) -> Result<()> {
        if self.list.len() >= MAX_FILES {
            return Err(bad(format!("it has more than {MAX_FILES} files")));
        }
        let length = u64::try_from(length).map_err(|_| bad("it has a file of negative length"))?;
        let offset = self.total;
        self.total = offset
            .checked_add(length)
            .filter(|total| *total <= MAX_TOTAL_BYTES)
            .ok_or_else(|| bad(format!("it claims to hold more than {} TiB", MAX_TOTAL_BYTES >> 40)))?;
        // Equal names among pad files are common (BEP 47) and meet on no disk; this path is one that no real file can have.
        let path = if padding {
            PathBuf::from(format!("{}/pad/{}", paths::OURS, self.list.len()))
        } else {
            self.paths.path(path)
        };
        self.list.push(FileEntry { path, name: paths::printable(&shown.join("/")), length, offset, padding });
        Ok(())
    }
}

/// A `.torrent` file around an info dictionary.
pub(crate) fn write_torrent(info: &[u8], trackers: &[String], comment: Option<&str>) -> Vec<u8> {
    // BEP 3: keys in the order of their bytes.
    let mut out = Vec::with_capacity(info.len() + 256);
    out.push(b'd');
    if let Some(first) = trackers.first() {
        put_string(&mut out, b"announce");
        put_string(&mut out, first.as_bytes());
        put_string(&mut out, b"announce-list");
        out.push(b'l');
        for url in trackers {
            out.push(b'l');
            put_string(&mut out, url.as_bytes());
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
    put_string(&mut out, b"info");
    out.extend_from_slice(info);
    out.push(b'e');
    out
}

#[cfg(test)]
mod tests;
