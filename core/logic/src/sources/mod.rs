//! Sources over HTTP, as a driver asks them: web seeds, mirrors and servents of a torrent.
//!
//! [`Book`] decides which source is dialled when. [`Site`] knows which files a source has, and where
//! they moved. [`Gets`] turns the requests of one connection, a *lane*, into requests of HTTP, and
//! bodies into blocks. [`servent`] has what is different with servents of Gnutella. For the torrent a lane is a peer: see [`crate::torrent::Source`].

mod book;
mod gets;
pub mod servent;
mod site;
#[cfg(test)]
mod tests;

pub use book::{Book, Config, End, Entry, MAX_ALTERNATES, MAX_SOURCES, SourceKey, State, pause_after};
pub use gets::{Gets, Lost, Rest};
pub use site::{After, Moved, Place, Site};
