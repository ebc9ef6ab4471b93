//! playswarm turns a BitTorrent swarm into a seekable stream. The blocks that a player needs are
//! requested first, from all peers that have them. They are verified and handed over while the
//! download continues.
//!
//! - A [`Session`] is the root object: configuration ([`Config`]), one listener, and peer
//!   discovery.
//! - A [`TorrentHandle`] is an open torrent, created from a [`Source`]: a torrent file, a magnet link or a
//!   URL.
//! - A [`Stream`] reads one of its files through [`AsyncRead`](tokio::io::AsyncRead) and
//!   [`AsyncSeek`](tokio::io::AsyncSeek). After [`Stream::into_blocking`], it reads through
//!   [`Read`](std::io::Read) and [`Seek`](std::io::Seek).
//!
//! The crate `playswarm-serve` serves the files of a [`TorrentHandle`] to players over HTTP, and uses this
//! public interface only.
//!
//! Every byte that is handed out was verified against the torrent's hashes.
//!
//! Settings and options start from their defaults, and fields are set on them: [`Config`]. Records
//! and enums may gain fields and variants in any release, so they cannot be written out in full.
//! Only the module [`advanced`] makes no promise.
//!
//! # A film from one session to another
//!
//! ```
//! use playswarm::{Config, CreateOptions, Session, Source, create_torrent};
//! use std::io::SeekFrom;
//! use tokio::io::{AsyncReadExt, AsyncSeekExt};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (here, there) = (tempfile::tempdir()?, tempfile::tempdir()?);
//! # let (here, there) = (here.path(), there.path());
//! // One session creates a torrent of a file and seeds it. `offline` uses this machine only.
//! let film: Vec<u8> = (0..1_000_000u32).map(|i| (i / 251 * 7 + i) as u8).collect();
//! std::fs::write(here.join("film.mkv"), &film)?;
//! let torrent = create_torrent(here.join("film.mkv"), CreateOptions::default(), |_, _| {}).await?.torrent;
//! let seed = Session::new(Config::offline(here)).await?;
//! let seeded = seed.open(Source::from(&torrent)).await?;
//! seeded.recheck(|_looked_at, _of| {}).await?;
//!
//! // Another session plays it.
//! let mut config = Config::offline(there);
//! config.peers = seed.listen_addr().into_iter().map(Into::into).collect();
//! let session = Session::new(config).await?;
//! let media = session.open(Source::from(&torrent)).await?;
//! let mut stream = media.stream(media.default_file()?)?;
//! let mut bytes = vec![0; 1000];
//! stream.read_exact(&mut bytes).await?;
//! assert_eq!(bytes, film[..1000]);
//! stream.seek(SeekFrom::Start(900_000)).await?;
//! stream.read_exact(&mut bytes).await?;
//! assert_eq!(bytes, film[900_000..901_000]);
//!
//! session.close().await;
//! seed.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! # From blocking code
//!
//! The session needs a running tokio runtime; everything else may block. See [`BlockingStream`].
#![forbid(unsafe_code)]

pub mod advanced;
pub mod config;
mod create;
mod discovery;
pub mod error;
pub mod gnutella;
mod keep;
pub mod live;
mod player;
mod torrent_handle;
pub use playswarm_proto::printable;
pub mod metainfo;
mod named;
mod network;
mod race;
mod random;
mod season;
mod session;
pub mod status;
mod store;
mod stream;
mod subtitles;
mod swarm;
mod timeline;

pub use config::{Config, SettingRange};
pub use create::{CreateOptions, Created, LeftOut, create_torrent, streaming_piece_bytes};
pub use discovery::source::Source;
pub use error::{Error, ErrorKind, Result};
pub use metainfo::{ChooseFile, FileEntry, InfoHash, Metainfo};
pub use player::Player;
pub use playswarm_media::{Accuracy, Container, Content, Format, Keyframe, SeekPoint, Timeline, Track, TrackKind};
pub use playswarm_proto::{Magnet, NamedFile, PeerAddress, ProxyAddress, ProxyKind};
pub use session::Session;
pub use status::{
    Event, OpeningStatus, PeerStatus, Playhead, ReaderStatus, SlotStatus, SourceStatus, TimelineStatus, TorrentStatus,
    TrackStatus, ViewerStatus,
};
pub use stream::{BlockingStream, Canceller, Readable, Stream};
pub use swarm::survey::SlotCount;
pub use torrent_handle::TorrentHandle;
