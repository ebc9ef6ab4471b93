//! playswarm turns a swarm into a seekable stream.
#![forbid(unsafe_code)]

mod bencode;
pub mod config;
mod create;
mod discovery;
pub mod error;
pub mod front;
#[doc(hidden)]
pub mod fuzzing;
mod keep;
mod media;
mod session;
pub mod status;
mod store;
mod stream;
mod swarm;
pub mod torrent;

pub use config::Config;
pub use create::{CreateOptions, create_torrent, streaming_piece_bytes};
pub use discovery::source::{Magnet, Source};
pub use error::{Error, ErrorKind, Result};
pub use media::Media;
pub use session::Session;
pub use status::{Event, MediaStatus, PeerStatus};
pub use stream::{BlockingStream, Canceller, Stream};
pub use torrent::{FileEntry, InfoHash, Torrent};
