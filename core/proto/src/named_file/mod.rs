//! A file that hashes name, without a torrent: from a URN, a magnet link or a Metalink. It becomes
//! [`Metainfo`] of one file, with another [`Proof`].

use crate::bencode::{put_integer, put_string};
use crate::gnutella::Target;
use crate::magnet::{FileLink, Role, Server};
use crate::metainfo::{BadMetainfo, MAX_PIECE_BYTES, MAX_TOTAL_BYTES, MIN_PIECE_BYTES, WebSeeds};
use crate::proof::{Proof, WholeHashes};
use crate::sha1::Sha1;
use crate::tiger_tree::Level;
use crate::{AddressClass, FileHashes, InfoHash, Layout, Metainfo, metalink};
use data_encoding::{BASE32_NOPAD, HEXLOWER};
use percent_encoding::percent_decode_str;
use url::Url;

/// Shortest piece of a file whose tree would permit shorter ones, bytes. It is four blocks, so that
/// a request is worth its round trip.
const LEAST_PIECE_BYTES: u64 = 64 << 10;
/// What is hashed before the name of a file, so that the result is no hash that another network
/// knows.
const ID_PREFIX: &[u8] = b"playswarm file\0";

/// A file that hashes name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NamedFile {
    /// Hashes of the whole file.
    pub whole: WholeHashes,
    /// Hashes of its pieces.
    pub pieces: Option<metalink::Pieces>,
    /// Its length according to the link, bytes.
    pub length: Option<u64>,
    /// Its name according to the link. It is not safe as a path.
    pub name: Option<String>,
    /// Web servers that may have it, or its tree.
    pub servers: WebSeeds,
}

impl From<FileLink> for NamedFile {
    fn from(link: FileLink) -> NamedFile {
        let mut servers = WebSeeds::default();
        link.servers.into_iter().for_each(|server| servers.push(server.url, link.named_by));
        NamedFile { whole: link.hashes.into(), pieces: None, length: link.length, name: link.name, servers }
    }
}

impl From<metalink::File> for NamedFile {
    fn from(file: metalink::File) -> NamedFile {
        let mut servers = WebSeeds::default();
        file.mirrors.into_iter().for_each(|mirror| servers.push(mirror.url, AddressClass::Loopback));
        let whole = WholeHashes { sha1: file.sha1, sha256: file.sha256, tiger: None };
        NamedFile { whole, pieces: file.pieces, length: file.length, name: Some(file.name), servers }
    }
}

/// The proof of a named file's bytes, as far as it is known.
#[derive(Clone, Debug)]
pub enum Tree {
    /// None is known.
    Unknown,
    /// One whose root is named, or was proven.
    Proven(Level),
    /// One that a server claims and that the user accepts.
    Accepted(Level),
}

impl NamedFile {
    /// Whether no hash names it.
    pub fn is_nameless(&self) -> bool {
        self.whole.is_empty() && self.pieces.is_none()
    }

    /// Returns the file with its servers as named by an address of this class.
    #[must_use]
    pub fn named_by(mut self, class: AddressClass) -> NamedFile {
        self.servers = self.servers.named_by(class);
        self
    }

    /// Whether a tree of it would be of use.
    pub fn wants_tree(&self) -> bool {
        self.pieces.is_none()
    }

    /// Returns a number in the form of an info-hash, derived from the strongest hash. It identifies
    /// the file here, and means nothing in any network.
    pub fn id(&self) -> InfoHash {
        let mut hash = Sha1::new();
        hash.update(ID_PREFIX);
        match (&self.whole, &self.pieces) {
            (WholeHashes { tiger: Some(root), .. }, _) => hash.update(root),
            (WholeHashes { sha256: Some(digest), .. }, _) => hash.update(digest),
            (WholeHashes { sha1: Some(digest), .. }, _) => hash.update(digest),
            (_, pieces) => hash.update(pieces.as_ref().map_or(&[], |pieces| &pieces.hashes)),
        }
        InfoHash(hash.finish())
    }

    /// Returns the URN of its strongest hash of the whole; `None` if it has only hashes of pieces.
    pub fn urn(&self) -> Option<String> {
        let WholeHashes { sha1, sha256, tiger } = self.whole;
        let sha256 = || sha256.map(|digest| format!("urn:sha256:{}", HEXLOWER.encode(&digest)));
        FileHashes { sha1, tiger }
            .urn()
            .filter(|_| tiger.is_some())
            .or_else(sha256)
            .or_else(|| FileHashes { sha1, tiger }.urn())
    }

    /// Returns how messages name it: by its name, or by the hash as a link writes it.
    pub fn label(&self) -> String {
        self.given_name().or_else(|| self.urn()).unwrap_or_else(|| self.shown_name())
    }

    /// Returns the name of the link, or the last part of a server's URL. Servents have files by their
    /// hashes, so that their URLs name none.
    fn given_name(&self) -> Option<String> {
        let of_url = |url: &Url| {
            let last = url.path_segments()?.next_back().filter(|part| !part.is_empty())?;
            Some(percent_decode_str(last).decode_utf8_lossy().into_owned())
        };
        let name = self.name.clone().filter(|name| !name.trim().is_empty());
        let names = |url: &&Url| Target::of_url(url).is_none();
        name.or_else(|| self.servers.iter().map(|server| &server.url).filter(names).find_map(of_url))
    }

    /// Returns the name for display: that of the link, the last part of a server's URL, or the hash.
    pub fn shown_name(&self) -> String {
        let of_urn = || Some(self.urn()?.rsplit(':').next()?.to_owned());
        // The whole of a path would become folders.
        let name = self.given_name().or_else(of_urn).unwrap_or_else(|| BASE32_NOPAD.encode(&self.id().0));
        name.rsplit(['/', '\\']).find(|part| !part.is_empty()).unwrap_or("file").to_owned()
    }

    /// Returns a link to the file for others, with its servers. It has neither credentials nor the
    /// mirrors that the user named.
    pub fn link(&self) -> Option<String> {
        let WholeHashes { sha1, tiger, .. } = self.whole;
        let hashes = FileHashes { sha1, tiger };
        let servers = self.servers.iter().filter(|seed| !seed.is_mirror);
        let servers = servers.map(|seed| Server { role: Role::Acceptable, url: without_credentials(&seed.url) });
        let link = FileLink {
            hashes,
            length: self.length,
            name: Some(self.shown_name()),
            servers: servers.collect(),
            named_by: AddressClass::Loopback,
        };
        (!hashes.is_empty()).then(|| link.to_string())
    }

    /// Returns the metainfo of the file, of this length.
    ///
    /// # Errors
    /// The reason why it cannot be one of this length.
    pub fn metainfo(mut self, file_bytes: u64, tree: Tree) -> Result<Metainfo, BadMetainfo> {
        if !(1..=MAX_TOTAL_BYTES).contains(&file_bytes) {
            return Err(BadMetainfo(format!("its length of {file_bytes} bytes is not that of a film")));
        }
        let piece_bytes = |bytes: u64| {
            let bytes = u32::try_from(bytes).ok().filter(|n| (MIN_PIECE_BYTES..=MAX_PIECE_BYTES).contains(n));
            let too_long =
                || BadMetainfo(format!("its pieces are not of {MIN_PIECE_BYTES} to {MAX_PIECE_BYTES} bytes"));
            bytes.ok_or_else(too_long)
        };
        let whole = self.whole;
        // A tree of slices that are too long for a piece proves nothing in time.
        let coarsened =
            |level: Level| Some(level.coarsened(LEAST_PIECE_BYTES)).filter(|l| piece_bytes(l.slice_bytes()).is_ok());
        let (proof, piece_bytes) = match (&self.pieces, tree) {
            (Some(pieces), _) => (Proof::of_pieces(pieces, whole), piece_bytes(pieces.piece_bytes)?),
            (None, tree) => {
                let proof = match tree {
                    Tree::Proven(level) => coarsened(level).map(|level| Proof::of_tree(level, whole)),
                    Tree::Accepted(level) => coarsened(level).map(|level| Proof::of_accepted_tree(level, whole)),
                    Tree::Unknown => None,
                };
                let proof = proof.unwrap_or_else(|| Proof::of_whole(whole));
                let slice = proof.tree().map(Level::slice_bytes);
                let slice = slice.unwrap_or_else(|| Level::slice_bytes_of(file_bytes, LEAST_PIECE_BYTES));
                (proof, piece_bytes(slice)?)
            }
        };
        let layout = Layout::new(file_bytes, piece_bytes).ok_or_else(|| BadMetainfo("it has no data".into()))?;
        if proof.is_by_piece() && proof.hashes() != u64::from(layout.pieces()) {
            return Err(BadMetainfo(format!(
                "{file_bytes} bytes have {} pieces, but it has {} hashes",
                layout.pieces(),
                proof.hashes()
            )));
        }
        self.length = Some(file_bytes);
        Metainfo::of_named(self, layout, proof)
    }

    /// Returns an info dictionary with the file's name and length, for paths on disks and servers.
    pub(crate) fn info(&self) -> Vec<u8> {
        let mut info = b"d".to_vec();
        put_string(&mut info, b"length");
        put_integer(&mut info, self.length.unwrap_or_default());
        put_string(&mut info, b"name");
        put_string(&mut info, self.shown_name().as_bytes());
        info.push(b'e');
        info
    }
}

fn without_credentials(url: &Url) -> Url {
    let mut url = url.clone();
    // These fail only for URLs that cannot have credentials.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

#[cfg(test)]
mod tests;
