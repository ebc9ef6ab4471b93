//! Links that name one file by its hash, as Gnutella and RHash write them.

use super::{Fields, Result, Server, bad, encoded, write_servers};
use crate::{AddressClass, FileHashes};
use std::fmt;

/// A link to one file: its hashes, and servers that may have it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileLink {
    /// Hashes of the file (`xt`); at least one.
    pub hashes: FileHashes,
    /// Length of the file according to the link, bytes (`xl`).
    pub length: Option<u64>,
    /// Name of the file according to the link (`dn`). It is not safe as a path.
    pub name: Option<String>,
    /// Web servers, in the order of the link.
    pub servers: Vec<Server>,
    /// Class of the address from which the link came; [`AddressClass::Loopback`] for the user.
    pub named_by: AddressClass,
}

impl FileLink {
    /// Creates a link to the file with these hashes without further fields.
    pub fn new(hashes: FileHashes) -> FileLink {
        FileLink { hashes, length: None, name: None, servers: Vec::new(), named_by: AddressClass::Loopback }
    }

    /// Returns the link as named by an address of this class.
    #[must_use]
    pub fn named_by(mut self, class: AddressClass) -> FileLink {
        self.named_by = class;
        self
    }
}

impl fmt::Display for FileLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "magnet:?xt={}", self.hashes.urn().unwrap_or_default())?;
        self.length.iter().try_for_each(|length| write!(f, "&xl={length}"))?;
        self.name.iter().try_for_each(|name| write!(f, "&dn={}", encoded(name)))?;
        write_servers(f, &self.servers)
    }
}

/// Parses a magnet link that names a file by its hash and no torrent. `None` if the text is no
/// magnet link.
///
/// # Errors
/// The reason why it names no such file.
pub fn parse_file(text: &str) -> Option<Result<FileLink>> {
    Some(Fields::read(text)?.and_then(|fields| {
        if fields.hash.is_some() {
            return bad("it names a torrent");
        }
        if fields.hashes.is_empty() {
            return bad("it has no hash of a file (xt=urn:sha1:…, urn:bitprint:… or urn:tree:tiger:…)");
        }
        Ok(FileLink {
            hashes: fields.hashes,
            length: fields.length,
            name: fields.name,
            servers: fields.servers,
            named_by: AddressClass::Loopback,
        })
    }))
}
