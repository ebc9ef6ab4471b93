//! Where the bytes of a torrent are on a web seed (BEP 19): the URL of each file, and the requests
//! for a range of the torrent.

use super::info::RawInfo;
use super::{Metainfo, paths};
use crate::http_range::{Request, Version};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use std::ops::Range;
use url::Url;

/// Characters of names that are encoded: all but those that mean themselves everywhere (RFC 3986,
/// section 2.3). A `+` is among them, because some servers read it as a space.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Where the bytes of a part of a torrent come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// From the server, by this request.
    Server(Box<Request>),
    /// They are zeros of a pad file (BEP 47), which servers do not have.
    Zeros,
    /// The file has no name that a URL can have.
    Unavailable,
}

/// A part of a torrent that lies in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Part {
    /// The bytes of the torrent.
    pub bytes: Range<u64>,
    /// Number of the file.
    pub file: usize,
    /// Where they come from.
    pub content: Content,
}

/// The paths of a torrent's files on web seeds.
#[derive(Clone, Debug)]
pub struct WebPaths {
    /// Whether the torrent has no list of files, so that a URL may be that of its file.
    is_single: bool,
    /// Path of each file below the folder, encoded; `None` if a URL cannot have it.
    paths: Vec<Option<String>>,
}

impl Metainfo {
    /// Returns the paths of the files on web seeds. They are the names as the torrent has them,
    /// which [`FileEntry`](super::FileEntry) does not keep: those for disks are changed.
    pub fn web_paths(&self) -> WebPaths {
        // It was read before, when this metainfo was made.
        let Some((is_single, names)) = RawInfo::read(&self.info).ok().and_then(|raw| raw.names().ok()) else {
            return WebPaths { is_single: false, paths: Vec::new() };
        };
        WebPaths { is_single, paths: names.iter().map(|names| path(names)).collect() }
    }

    /// Returns the files that contain these bytes of the torrent, with the range of each.
    pub fn files_of(&self, bytes: Range<u64>) -> impl Iterator<Item = (usize, Range<u64>)> + '_ {
        let first = self.files.partition_point(|file| file.offset + file.length <= bytes.start);
        let behind = bytes.end;
        self.files.iter().enumerate().skip(first).take_while(move |(_, file)| file.offset < behind).filter_map(
            move |(n, file)| {
                let start = bytes.start.max(file.offset);
                let end = bytes.end.min(file.offset + file.length);
                (start < end).then(|| (n, start - file.offset..end - file.offset))
            },
        )
    }
}

impl WebPaths {
    /// Returns the URL of a file. `seed` is the URL of a web seed; `None` if it cannot have the
    /// file.
    ///
    /// As in BEP 19 and libtorrent, a URL with a slash at its end is a folder, and so is any for a
    /// torrent with a list of files. The names are added to it.
    pub fn url(&self, seed: &Url, file: usize) -> Option<Url> {
        let path = self.paths.get(file)?.as_deref()?;
        let text = seed.as_str();
        // The only file of a list: many tools write its own URL.
        let is_its_own = || self.paths.len() == 1 && text.rsplit('/').next() == path.rsplit('/').next();
        match text.ends_with('/') {
            true => Url::parse(&format!("{text}{path}")).ok(),
            false if self.is_single || is_its_own() => Some(seed.clone()),
            false => Url::parse(&format!("{text}/{path}")).ok(),
        }
    }

    /// Returns the parts of a range of the torrent, in order, with the request for each.
    pub fn parts<'a>(
        &'a self,
        torrent: &'a Metainfo,
        seed: &'a Url,
        bytes: Range<u64>,
    ) -> impl Iterator<Item = Part> + 'a {
        torrent.files_of(bytes).map(move |(n, range)| {
            let file = &torrent.files[n];
            let request = || {
                let request = Request::new(self.url(seed, n)?, range.clone())?;
                Some(Box::new(request.expecting(Some(file.length), Version::default())))
            };
            let content = match file.padding {
                true => Content::Zeros,
                false => request().map_or(Content::Unavailable, Content::Server),
            };
            Part { bytes: file.offset + range.start..file.offset + range.end, file: n, content }
        })
    }
}

/// Returns the encoded path of a file from its names. `None` if it has none, or one that would lead
/// elsewhere: also an encoded `..` does.
fn path(names: &[&[u8]]) -> Option<String> {
    let mut path = String::new();
    for name in names {
        // Some tools write a whole path as one name.
        let mut parts = name.split(|b| *b == b'/').filter(|part| !part.is_empty()).peekable();
        parts.peek()?;
        for part in parts {
            if matches!(part, b"." | b"..") || path.len() > paths::MAX_PATH_BYTES {
                return None;
            }
            if !path.is_empty() {
                path.push('/');
            }
            path.extend(percent_encode(part, ENCODED));
        }
    }
    (!path.is_empty()).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bencode::{put_integer, put_string};
    use proptest::prelude::*;

    const PIECE_BYTES: u64 = 16 << 10;

    /// Returns a torrent with files of these paths and lengths; one file of an empty path is a
    /// torrent without a list. A path of `pad` is that of a pad file.
    fn torrent(name: &[u8], files: &[(&[&[u8]], u64)]) -> Metainfo {
        let mut info = b"d".to_vec();
        let total: u64 = files.iter().map(|(_, length)| length).sum();
        match files {
            [([], length)] => {
                put_string(&mut info, b"length");
                put_integer(&mut info, *length);
            }
            _ => {
                put_string(&mut info, b"files");
                info.push(b'l');
                for (path, length) in files {
                    info.push(b'd');
                    if *path == [b"pad"] {
                        put_string(&mut info, b"attr");
                        put_string(&mut info, b"p");
                    }
                    put_string(&mut info, b"length");
                    put_integer(&mut info, *length);
                    put_string(&mut info, b"path");
                    info.push(b'l');
                    path.iter().for_each(|part| put_string(&mut info, part));
                    info.extend_from_slice(b"ee");
                }
                info.push(b'e');
            }
        }
        put_string(&mut info, b"name");
        put_string(&mut info, name);
        put_string(&mut info, b"piece length");
        put_integer(&mut info, PIECE_BYTES);
        put_string(&mut info, b"pieces");
        put_string(&mut info, &vec![7; total.div_ceil(PIECE_BYTES) as usize * 20]);
        info.push(b'e');
        Metainfo::from_info(info.into(), Vec::new()).unwrap()
    }

    /// Returns the URL of each file.
    fn urls(torrent: &Metainfo, seed: &str) -> Vec<Option<String>> {
        let (paths, seed) = (torrent.web_paths(), seed.parse().unwrap());
        (0..torrent.files.len()).map(|n| paths.url(&seed, n).map(String::from)).collect()
    }

    #[test]
    fn the_url_of_a_single_file_is_its_own_or_that_of_its_folder() {
        let film = torrent("fi lm+é.mkv".as_bytes(), &[(&[], 5)]);
        let url = |seed: &str| urls(&film, seed).swap_remove(0).unwrap();
        assert_eq!(url("http://h/other.mkv"), "http://h/other.mkv");
        assert_eq!(url("http://h/dir/"), "http://h/dir/fi%20lm%2B%C3%A9.mkv");
        assert_eq!(url("http://h"), "http://h/fi%20lm%2B%C3%A9.mkv");
        assert_eq!(url("http://h/get?file=1"), "http://h/get?file=1");
        assert_eq!(urls(&film, "http://h/").len(), 1);
    }

    #[test]
    fn names_are_added_to_a_folder_letter_by_letter() {
        let show = torrent(
            b"show #1",
            &[(&[b"100%", b"what?.mkv"], 5), (&["ü&=;@:".as_bytes()], 5), (&[b"f\xfc.srt"], 5), (&[b"a/b.nfo"], 5)],
        );
        for seed in ["http://h/x/", "http://h/x"] {
            let wanted = [
                "http://h/x/show%20%231/100%25/what%3F.mkv",
                "http://h/x/show%20%231/%C3%BC%26%3D%3B%40%3A",
                // A server has the bytes of the name, whatever their encoding.
                "http://h/x/show%20%231/f%FC.srt",
                "http://h/x/show%20%231/a/b.nfo",
            ];
            assert_eq!(urls(&show, seed), wanted.map(|url| Some(url.to_owned())), "{seed}");
        }
        // A list of one file, for which tools write either URL.
        let one = torrent(b"show", &[(&[b"film.mkv"], 5)]);
        assert_eq!(urls(&one, "http://h/film.mkv"), [Some("http://h/film.mkv".to_owned())]);
        assert_eq!(urls(&one, "http://h/x"), [Some("http://h/x/show/film.mkv".to_owned())]);
    }

    #[test]
    fn a_name_that_leads_elsewhere_has_no_url() {
        let show = torrent(b"show", &[(&[b"..", b"secret"], 5), (&[b"a/../../b"], 5), (&[b""], 5), (&[b"ok"], 5)]);
        assert_eq!(urls(&show, "http://h/"), [None, None, None, Some("http://h/show/ok".to_owned())]);
        let seed = "http://h/".parse().unwrap();
        let paths = show.web_paths();
        let contents: Vec<Content> = paths.parts(&show, &seed, 0..20).map(|part| part.content).collect();
        assert!(matches!(&contents[..3], [Content::Unavailable, Content::Unavailable, Content::Unavailable]));
        assert!(matches!(contents[3], Content::Server(_)));
        assert_eq!(paths.url(&seed, 4), None);
        let nameless = torrent(b"", &[(&[], 5)]);
        assert_eq!(urls(&nameless, "http://h/"), [None]);
    }

    #[test]
    fn a_piece_over_several_files_is_several_requests_and_padding_is_none() {
        let show = torrent(
            b"show",
            &[(&[b"a"], 20_000), (&[b"empty"], 0), (&[b"pad"], 12_768), (&[b"b"], 10), (&[b"c"], 30_000)],
        );
        let (paths, seed) = (show.web_paths(), "http://h/".parse().unwrap());
        type Seen = (Range<u64>, Option<(String, Range<u64>)>);
        let parts = |bytes: Range<u64>| -> Vec<Seen> {
            let parts = paths.parts(&show, &seed, bytes);
            parts
                .map(|part| match part.content {
                    Content::Server(request) => (part.bytes, Some((request.url().path().to_owned(), request.range()))),
                    Content::Zeros => (part.bytes, None),
                    Content::Unavailable => panic!("{part:?}"),
                })
                .collect()
        };
        let of = |path: &str, range: Range<u64>| Some((path.to_owned(), range));
        assert_eq!(parts(0..16_384), [(0..16_384, of("/show/a", 0..16_384))]);
        assert_eq!(parts(16_384..32_768), [(16_384..20_000, of("/show/a", 16_384..20_000)), (20_000..32_768, None)]);
        assert_eq!(
            parts(32_768..49_152),
            [(32_768..32_778, of("/show/b", 0..10)), (32_778..49_152, of("/show/c", 0..16_374))]
        );
        assert_eq!(parts(62_778..99_999), []);
        assert_eq!(parts(5..5), []);
    }

    proptest! {
        #[test]
        fn parts_cover_a_range_once(lengths in proptest::collection::vec(0u64..40_000, 1..6), from in 0u64..100_000, length in 0u64..100_000) {
            let name: &[&[u8]] = &[b"f"];
            let files: Vec<(&[&[u8]], u64)> = lengths.iter().map(|length| (name, *length)).collect();
            prop_assume!(lengths.iter().any(|length| *length > 0));
            let torrent = torrent(b"show", &files);
            let mut at = from.min(torrent.total_bytes());
            for (file, range) in torrent.files_of(from..from + length) {
                prop_assert!(!range.is_empty() && range.end <= torrent.files[file].length);
                prop_assert_eq!(torrent.files[file].offset + range.start, at);
                at += range.end - range.start;
            }
            prop_assert_eq!(at, (from + length).min(torrent.total_bytes()));
        }
    }
}
