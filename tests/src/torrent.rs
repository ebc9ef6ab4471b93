//! Torrents for tests: content on disk, metainfo (BEP 3), magnet link. Hostile torrents start from
//! [`TestTorrent::info`] and change single fields.

use crate::bencode::{Ben, dict};
use crate::content::{Content, mix};
pub use playswarm_proto::sha1::sha1;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A torrent with its content in its own folder.
pub struct TestTorrent {
    /// Its name: the file, or the folder of its files.
    pub name: String,
    /// The files in order: path below the data folder, and content.
    pub files: Vec<(PathBuf, Content)>,
    /// Bytes per piece.
    pub piece_length: u64,
    /// The info dictionary.
    pub info: Ben,
    /// The SHA-1 of the info dictionary.
    pub info_hash: [u8; 20],
    folder: TempDir,
}

/// Formats bytes as lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

impl TestTorrent {
    /// Creates a torrent of one file of `length` bytes.
    pub fn single(name: &str, length: u64, piece_length: u64) -> TestTorrent {
        Self::build(name, vec![(PathBuf::from(name), length)], piece_length, true, false)
    }

    /// Creates a torrent of one file that begins with its own head, followed by computed bytes.
    pub fn headed(name: &str, head: Vec<u8>, length: u64, piece_length: u64) -> TestTorrent {
        let mut files = Self::contents(name, vec![(PathBuf::from(name), length)]);
        files[0].1 = files[0].1.with_head(head);
        Self::of_contents(name, files, piece_length, true, false)
    }

    /// Creates a torrent of one file whose peers come from its trackers only (BEP 27).
    pub fn private(name: &str, length: u64, piece_length: u64) -> TestTorrent {
        Self::build(name, vec![(PathBuf::from(name), length)], piece_length, true, true)
    }

    /// Creates a torrent of a folder of files.
    pub fn multi(name: &str, files: &[(&str, u64)], piece_length: u64) -> TestTorrent {
        let files = files.iter().map(|(path, length)| (Path::new(name).join(path), *length)).collect();
        Self::build(name, files, piece_length, false, false)
    }

    /// Creates a torrent of an existing file, such as a film made by FFmpeg. Its content cannot be
    /// computed, so only real players can read it.
    pub fn of_file(path: &Path, piece_length: u64) -> TestTorrent {
        let folder = tempfile::tempdir().unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        std::fs::copy(path, folder.path().join("data").join(&name)).unwrap();
        let bytes = std::fs::read(path).unwrap();
        let pieces = bytes.chunks(piece_length as usize).flat_map(sha1).collect::<Vec<u8>>();
        let info = dict([
            ("length", Ben::Int(bytes.len() as i64)),
            ("name", name.as_str().into()),
            ("piece length", Ben::Int(piece_length as i64)),
            ("pieces", pieces.into()),
        ]);
        let info_hash = sha1(&info.encode());
        let files = vec![(PathBuf::from(&name), Content::new(0, bytes.len() as u64))];
        TestTorrent { name, files, piece_length, info, info_hash, folder }
    }

    /// Creates a torrent of the existing files of a folder, ordered by name.
    pub fn of_folder(path: &Path, piece_length: u64) -> TestTorrent {
        let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = entries.collect();
        names.sort();
        TestTorrent::of_files(path, &names, piece_length)
    }

    /// Creates a torrent of existing files below a folder, in this order.
    pub fn of_files(folder: &Path, names: &[String], piece_length: u64) -> TestTorrent {
        let copy = tempfile::tempdir().unwrap();
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let (mut all, mut files, mut list) = (Vec::new(), Vec::new(), Vec::new());
        for path in names {
            let bytes = std::fs::read(folder.join(path)).unwrap();
            let to = copy.path().join("data").join(&name).join(path);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::write(to, &bytes).unwrap();
            let parts = path.split('/').map(Ben::from).collect::<Vec<_>>();
            list.push(dict([("length", Ben::Int(bytes.len() as i64)), ("path", parts.into())]));
            files.push((Path::new(&name).join(path), Content::new(0, bytes.len() as u64)));
            all.extend(bytes);
        }
        let pieces = all.chunks(piece_length as usize).flat_map(sha1).collect::<Vec<u8>>();
        let info = dict([
            ("files", list.into()),
            ("name", name.as_str().into()),
            ("piece length", Ben::Int(piece_length as i64)),
            ("pieces", pieces.into()),
        ]);
        let info_hash = sha1(&info.encode());
        TestTorrent { name, files, piece_length, info, info_hash, folder: copy }
    }

    /// Returns the same torrent, marked as private (BEP 27).
    pub fn made_private(mut self) -> TestTorrent {
        self.info = self.info.with("private", 1);
        self.info_hash = sha1(&self.info.encode());
        self
    }

    fn build(name: &str, files: Vec<(PathBuf, u64)>, piece_length: u64, single: bool, private: bool) -> TestTorrent {
        Self::of_contents(name, Self::contents(name, files), piece_length, single, private)
    }

    fn contents(name: &str, files: Vec<(PathBuf, u64)>) -> Vec<(PathBuf, Content)> {
        let seed = name.bytes().fold(files.len() as u64, |seed, b| mix(seed ^ u64::from(b)));
        let files = files.into_iter().enumerate();
        files.map(|(i, (path, length))| (path, Content::new(mix(seed + i as u64), length))).collect()
    }

    fn of_contents(
        name: &str,
        files: Vec<(PathBuf, Content)>,
        piece_length: u64,
        single: bool,
        private: bool,
    ) -> TestTorrent {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let mut pieces = Vec::new();
        let mut piece = Vec::with_capacity(piece_length as usize);
        for (path, content) in &files {
            content.write_to(&data.join(path));
            let mut at = 0;
            while at < content.length {
                let take = (piece_length - piece.len() as u64).min(content.length - at) as usize;
                piece.extend(content.bytes(at, take));
                at += take as u64;
                if piece.len() as u64 == piece_length {
                    pieces.extend(sha1(&piece));
                    piece.clear();
                }
            }
        }
        if !piece.is_empty() {
            pieces.extend(sha1(&piece));
        }
        let mut info =
            dict([("name", name.into()), ("piece length", Ben::Int(piece_length as i64)), ("pieces", pieces.into())]);
        if single {
            info = info.with("length", files[0].1.length as i64);
        } else {
            let list = files.iter().map(|(path, content)| {
                let parts = path.iter().skip(1).map(|part| Ben::from(part.to_str().unwrap())).collect::<Vec<_>>();
                dict([("length", Ben::Int(content.length as i64)), ("path", parts.into())])
            });
            info = info.with("files", list.collect::<Vec<_>>());
        }
        if private {
            info = info.with("private", 1);
        }
        let info_hash = sha1(&info.encode());
        TestTorrent { name: name.into(), files, piece_length, info, info_hash, folder }
    }

    /// Returns the folder that contains the content. A seed's save path must be this folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Returns the content of a file by its index in the torrent.
    pub fn content(&self, file: usize) -> Content {
        self.files[file].1
    }

    /// Returns the total size of all files in bytes.
    pub fn total(&self) -> u64 {
        self.files.iter().map(|(_, content)| content.length).sum()
    }

    /// Returns the number of pieces.
    pub fn pieces(&self) -> u32 {
        self.total().div_ceil(self.piece_length) as u32
    }

    /// Writes the torrent file without a tracker.
    pub fn file(&self) -> PathBuf {
        self.file_with(&[])
    }

    /// Writes the torrent file with these trackers.
    pub fn file_with(&self, trackers: &[String]) -> PathBuf {
        self.file_with_tiers(&trackers.iter().map(|url| vec![url.clone()]).collect::<Vec<_>>())
    }

    /// Writes the torrent file with trackers in these tiers (BEP 12).
    pub fn file_with_tiers(&self, tiers: &[Vec<String>]) -> PathBuf {
        let mut metainfo = dict([("info", self.info.clone())]);
        if let Some(first) = tiers.iter().flatten().next() {
            let tier = |urls: &Vec<String>| urls.iter().map(|url| url.as_str().into()).collect::<Vec<Ben>>().into();
            let list = tiers.iter().map(tier).collect::<Vec<Ben>>();
            metainfo = metainfo.with("announce", first.as_str()).with("announce-list", list);
        }
        let written = tiers.iter().flat_map(|tier| tier.iter().flat_map(|url| url.bytes()).chain([0]));
        let tag = mix(written.fold(0, |sum, b| mix(sum ^ u64::from(b))));
        let path = self.folder.path().join(format!("{tag:x}.torrent"));
        // In one step: a program that was started with it may be reading it.
        let part = path.with_extension("part");
        std::fs::write(&part, metainfo.encode()).unwrap();
        std::fs::rename(&part, &path).unwrap();
        path
    }

    /// Returns the magnet link (BEP 9) with these trackers and peers (`x.pe`).
    pub fn magnet(&self, trackers: &[String], peers: &[SocketAddr]) -> String {
        let mut magnet = format!("magnet:?xt=urn:btih:{}&dn={}", hex(&self.info_hash), self.name);
        for tracker in trackers {
            magnet += &format!("&tr={}", tracker.replace(':', "%3A").replace('/', "%2F"));
        }
        for peer in peers {
            magnet += &format!("&x.pe={peer}");
        }
        magnet
    }
}
