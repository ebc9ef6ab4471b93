//! All protocols of playswarm: encoding and decoding of messages, without I/O.
//!
//! Each module parses foreign bytes into checked values and back, within limits that it names. Only
//! `http_range`, `ingest` and `rtmp` have state, that of a connection: their bytes mean nothing
//! without it.
//! `playswarm-logic` decides what a message means for a torrent; the engine owns the sockets.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod address_class;
pub mod bencode;
mod bits;
pub mod blocklist;
pub mod charset;
pub mod clients;
pub mod compact;
pub mod extended;
pub mod fast;
pub mod file_hash;
#[doc(hidden)]
pub mod fuzzing;
pub mod gnutella;
pub mod handshake;
mod http1;
pub mod http_range;
pub mod icy;
mod info_hash;
pub mod ingest;
pub mod krpc;
mod layout;
pub mod live;
pub mod m3u8;
pub mod magnet;
pub mod metadata;
pub mod metainfo;
pub mod metalink;
pub mod named_file;
mod peer_address;
pub mod pex;
pub mod printable;
pub mod proof;
mod proxy_address;
pub mod rtmp;
pub mod sha1;
pub mod slots;
pub mod tiger_tree;
pub mod tracker;
pub mod wire;

pub use address_class::AddressClass;
pub use bits::Bits;
pub use blocklist::Blocklist;
pub use file_hash::FileHashes;
pub use info_hash::InfoHash;
pub use layout::{BlockRef, Layout, PieceIndex};
pub use magnet::Magnet;
pub use metainfo::Metainfo;
pub use named_file::NamedFile;
pub use peer_address::PeerAddress;
pub use proof::Proof;
pub use proxy_address::{ProxyAddress, ProxyKind};

/// Length of a block, the unit of request: 16 KiB, as all clients use (BEP 3). The last block of a
/// torrent may be shorter.
pub const BLOCK_BYTES: u32 = 16 * 1024;
