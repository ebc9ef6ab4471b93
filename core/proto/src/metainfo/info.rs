//! The info dictionary: its raw fields, and the files that they describe.
//!
//! Dictionaries that other clients accept are accepted here too: duplicate keys (the first counts),
//! numbers as text, odd optional fields, names of any shape. Only contradictory lengths and hashes
//! make a torrent invalid.

use super::paths::{self, MAX_PATH_DEPTH, PathMaker};
use super::{FileEntry, MAX_FILES, MAX_TOTAL_BYTES, Result, bad};
use crate::bencode::Reader;
use crate::charset::{self, Decoder};
use encoding_rs::Encoding;
use std::borrow::Cow;
use std::path::PathBuf;

/// Name of BitComet's pad files. They are older than BEP 47 and have no other mark.
const BITCOMET_PADDING: &str = "_____padding_file";

/// The fields of an info dictionary.
#[derive(Default)]
pub(super) struct RawInfo<'a> {
    name: Option<&'a [u8]>,
    name_utf8: Option<&'a [u8]>,
    pub(super) pieces: Option<&'a [u8]>,
    pub(super) piece_length: Option<i64>,
    length: Option<i64>,
    files: Option<Reader<'a>>,
    pub(super) private: bool,
    pub(super) v2: bool,
    /// Some tools put it here instead of beside the info dictionary.
    encoding: Option<&'static Encoding>,
}

/// A torrent's name and files.
pub(super) struct Content {
    /// Name of the torrent; `None` if it has none.
    pub(super) name: Option<String>,
    pub(super) files: Vec<FileEntry>,
    pub(super) total: u64,
}

impl<'a> RawInfo<'a> {
    pub(super) fn read(info: &'a [u8]) -> Result<RawInfo<'a>> {
        let mut reader = Reader::new(info);
        let mut raw = RawInfo::default();
        reader.dictionary(|key, value| -> Result<()> {
            // The first of two fields with one name counts, as in libtorrent.
            match key {
                b"name" => first(&mut raw.name, value.string_if_any()?),
                b"name.utf-8" => first(&mut raw.name_utf8, utf8(value.string_if_any()?)),
                b"pieces" => first(&mut raw.pieces, value.string_if_any()?),
                b"piece length" => first(&mut raw.piece_length, value.number()?),
                b"length" => first(&mut raw.length, value.number()?),
                // Checked as a whole by skipping it, parsed later.
                b"files" if value.peek()? == b'l' => first(&mut raw.files, Some(value.clone())),
                b"private" => raw.private |= flag(value)?,
                b"meta version" => raw.v2 |= value.number()? == Some(2),
                b"encoding" => first(&mut raw.encoding, label(value)?),
                b"codepage" => first(&mut raw.encoding, code_page(value)?),
                _ => {}
            }
            Ok(())
        })?;
        if !reader.at_end() {
            return Err(bad("it has data after the end of its info dictionary"));
        }
        Ok(raw)
    }

    /// Returns the files with their safe paths. `nameless` is the name for a torrent without one.
    pub(super) fn content(&self, stated: Option<&'static Encoding>, nameless: &str) -> Result<Content> {
        let files = self.raw_files()?;
        let own = if self.name_utf8.is_some() { None } else { self.name };
        let twinless = files.iter().flatten().flat_map(|file| file.path.iter().copied().filter(|_| !file.is_utf8));
        let decoder = Decoder::new(stated.or(self.encoding), own.into_iter().chain(twinless));
        let name = match (self.name_utf8, self.name) {
            (Some(name), _) => Some(String::from_utf8_lossy(name)),
            (None, name) => name.map(|name| decoder.text(name)),
        };
        let name = name.filter(|name| !paths::cleaned(name).is_empty());
        let top = name.as_deref().map_or(nameless, paths::cleaned);
        let mut all = Files { list: Vec::new(), paths: PathMaker::new(), total: 0 };
        match files {
            None => all.push(&[top], self.length.unwrap_or(0), false)?,
            Some(files) => files.iter().try_for_each(|file| {
                let text =
                    |part: &'a [u8]| if file.is_utf8 { String::from_utf8_lossy(part) } else { decoder.text(part) };
                let parts: Vec<Cow<'_, str>> = file.path.iter().map(|part| text(part)).collect();
                let all_parts: Vec<&str> =
                    std::iter::once(top).chain(parts.iter().map(|part| paths::cleaned(part))).collect();
                let padding = file.padding
                    || (file.symlink && file.length == 0)
                    || all_parts.last().is_some_and(|last| last.starts_with(BITCOMET_PADDING));
                all.push(&all_parts, file.length, padding)
            })?,
        }
        let name = name.map(|name| paths::printable(paths::cleaned(&name)));
        Ok(Content { name, files: all.list, total: all.total })
    }

    /// Returns the names of each file as they are, the torrent's name first, and whether there is no
    /// list of files.
    pub(super) fn names(&self) -> Result<(bool, Vec<Vec<&'a [u8]>>)> {
        let top = self.name_utf8.or(self.name).unwrap_or_default();
        let files = self.raw_files()?;
        let is_single = files.is_none();
        let names = match files {
            None => vec![vec![top]],
            Some(files) => files.into_iter().map(|file| [&[top], &file.path[..]].concat()).collect(),
        };
        Ok((is_single, names))
    }

    /// Returns the list of files; `None` for a torrent of one file. If both are present, the list
    /// counts, as in libtorrent.
    fn raw_files(&self) -> Result<Option<Vec<RawFile<'a>>>> {
        let Some(mut reader) = self.files.clone() else {
            return if self.length.is_some() { Ok(None) } else { Err(bad("it has no files")) };
        };
        let mut files = Vec::new();
        reader.list(|item| -> Result<()> {
            if files.len() >= MAX_FILES {
                return Err(bad(format!("it has more than {MAX_FILES} files")));
            }
            files.push(RawFile::read(item)?);
            Ok(())
        })?;
        if files.is_empty() {
            return Err(bad("it has no files"));
        }
        Ok(Some(files))
    }
}

/// Sets a field unless it is set already.
fn first<T>(field: &mut Option<T>, value: Option<T>) {
    if field.is_none() {
        *field = value;
    }
}

fn utf8(text: Option<&[u8]>) -> Option<&[u8]> {
    text.filter(|text| !text.is_empty() && std::str::from_utf8(text).is_ok())
}

/// Reads a flag: a number, or text.
fn flag(value: &mut Reader<'_>) -> Result<bool> {
    if value.peek()?.is_ascii_digit() {
        let text = value.string()?.trim_ascii();
        return Ok(!matches!(text, b"" | b"0" | b"no" | b"false"));
    }
    Ok(value.integer_if_any()?.is_some_and(|n| n != 0))
}

/// Reads the value of `encoding`.
pub(super) fn label(value: &mut Reader<'_>) -> Result<Option<&'static Encoding>> {
    let label = value.string_if_any()?.and_then(|label| std::str::from_utf8(label).ok());
    Ok(label.and_then(charset::by_label))
}

/// Reads the value of `codepage`.
pub(super) fn code_page(value: &mut Reader<'_>) -> Result<Option<&'static Encoding>> {
    Ok(value.number()?.and_then(charset::by_code_page))
}

/// An entry of the list of files.
struct RawFile<'a> {
    path: Vec<&'a [u8]>,
    /// Whether the path comes from `path.utf-8`.
    is_utf8: bool,
    length: i64,
    padding: bool,
    symlink: bool,
}

impl<'a> RawFile<'a> {
    fn read(item: &mut Reader<'a>) -> Result<RawFile<'a>> {
        let (mut path, mut path_utf8, mut length, mut attr) = (None, None, None, None);
        item.dictionary(|key, value| -> Result<()> {
            match key {
                b"path" => first(&mut path, strings(value)?),
                b"path.utf-8" => first(&mut path_utf8, strings(value)?),
                b"length" => first(&mut length, value.number()?),
                b"attr" => first(&mut attr, value.string_if_any()?),
                _ => {}
            }
            Ok(())
        })?;
        let usable =
            |parts: &Vec<&[u8]>| !parts.is_empty() && parts.iter().all(|part| std::str::from_utf8(part).is_ok());
        let path_utf8 = path_utf8.filter(usable);
        let attr = attr.unwrap_or_default();
        Ok(RawFile {
            is_utf8: path_utf8.is_some(),
            // A file without a name gets a generated one; its bytes count all the same.
            path: path_utf8.or(path).filter(|parts| !parts.is_empty()).unwrap_or_else(|| vec![b""]),
            length: length.ok_or_else(|| bad("it has a file without a length"))?,
            padding: attr.contains(&b'p'),
            symlink: attr.contains(&b'l'),
        })
    }
}

/// Reads the components of a path: a list of strings, or one string; `None` for any other value.
fn strings<'a>(value: &mut Reader<'a>) -> Result<Option<Vec<&'a [u8]>>> {
    match value.peek()? {
        b'0'..=b'9' => return Ok(Some(vec![value.string()?])),
        b'l' => {}
        _ => return Ok(None),
    }
    let mut strings = Vec::new();
    value.list(|item| -> Result<()> {
        // One less than the limit of a path: the torrent's name comes first.
        if strings.len() + 1 >= MAX_PATH_DEPTH {
            return Err(bad(format!("it has a file within more than {MAX_PATH_DEPTH} folders")));
        }
        strings.extend(item.string_if_any()?);
        Ok(())
    })?;
    Ok(Some(strings))
}

struct Files {
    list: Vec<FileEntry>,
    paths: PathMaker,
    total: u64,
}

impl Files {
    /// Adds a file. `path` begins with the torrent's name.
    fn push(&mut self, path: &[&str], length: i64, padding: bool) -> Result<()> {
        let length = u64::try_from(length).map_err(|_| bad("it has a file of negative length"))?;
        let offset = self.total;
        self.total = offset
            .checked_add(length)
            .filter(|total| *total <= MAX_TOTAL_BYTES)
            .ok_or_else(|| bad(format!("it claims more than {} TiB", MAX_TOTAL_BYTES >> 40)))?;
        let shown = if path.len() > 1 { &path[1..] } else { path };
        let name = paths::shown(shown);
        // Equal names are common among pad files (BEP 47), which are never written to disk. No real
        // file can have this path.
        let path =
            if padding { PathBuf::from(format!(".playswarm/pad/{}", self.list.len())) } else { self.paths.path(path) };
        self.list.push(FileEntry { path, name, length, offset, padding });
        Ok(())
    }
}
