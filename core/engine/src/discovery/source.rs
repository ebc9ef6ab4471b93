//! What a user gives us: a torrent file, a URL, a magnet, an info-hash.

/// A source of a torrent.
#[derive(Clone, Debug)]
pub enum Source {}
