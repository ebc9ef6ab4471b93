//! What a torrent is made with, what it is told, and what it says.

use super::{Dial, Origin};
use crate::{Bits, BlockRef, Layout, PeerKey, PieceIndex, ReaderKey, choker, metadata, picker, retain, slots};
use bytes::Bytes;
use playswarm_proto::InfoHash;
use playswarm_proto::handshake::{PeerId, Reserved};
use playswarm_proto::wire::Message;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Settings of a torrent. Units are in the names.
#[derive(Clone, Debug)]
pub struct Config {
    /// The torrent.
    pub info_hash: InfoHash,
    /// Peer id of this client.
    pub peer_id: PeerId,
    /// Address on which this client accepts connections; port 0 if it does not.
    pub listen: SocketAddr,
    /// Whether a DHT node runs (announced in the handshake, BEP 5).
    pub dht: bool,
    /// Whether peers are exchanged (BEP 11).
    pub pex: bool,
    /// Whether viewers are found by the slot index.
    pub slot_index: bool,
    /// Most connections in each direction; see [`super::places`].
    pub max_peers: usize,
    /// Limit of the upload rate; 0 for none.
    pub upload_bytes_per_s: u64,
    /// Memory for pieces.
    pub memory_limit_bytes: u64,
    /// Bytes of pieces that may be kept, on disk or without a disk in memory; 0 for no limit.
    pub storage_limit_bytes: u64,
    /// Seed of every random choice that does not have its own.
    pub seed: u64,
    /// Settings of the picker.
    pub picker: picker::Config,
    /// Settings of the choker.
    pub choker: choker::Config,
    /// Settings of the metadata fetch.
    pub metadata: metadata::Config,
    /// Settings of the slot index.
    pub slots: slots::Config,
}

/// What is known of a torrent once its info dictionary is.
#[derive(Clone, Debug)]
pub struct Content {
    /// Lengths of the torrent and its pieces.
    pub layout: Layout,
    /// Bytes of each file, from the start of the torrent, in the torrent's order.
    pub files: Vec<Range<u64>>,
    /// Whether only trackers name peers (BEP 27).
    pub private: bool,
    /// The info dictionary, for peers that ask for it (BEP 9).
    pub info: Bytes,
}

/// How the bytes of a media file relate to its time.
pub trait FileTime: Send + Sync {
    /// Returns how long the file plays; zero if unknown.
    fn duration(&self) -> Duration;
    /// Returns the time at which a byte of the file is played.
    fn time_at(&self, byte: u64) -> Duration;
    /// Returns the bytes a second around a time; `None` if the duration is unknown.
    fn bytes_per_s(&self, time: Duration) -> Option<f64>;
    /// Returns the bytes that a player needs for a stretch of time.
    fn byte_range(&self, times: Range<Duration>) -> Range<u64>;
    /// Returns the byte from which a player that seeks to `time` reads; `None` if the file has no keyframes.
    fn seek_target(&self, time: Duration) -> Option<u64>;
}

/// A connection after its handshake.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Address at which the peer can be dialled, as far as known.
    pub addr: SocketAddr,
    /// How that address came to be known.
    pub origin: Origin,
    /// The other end of the connection.
    pub remote: SocketAddr,
    /// Peer id that the peer claims.
    pub peer_id: PeerId,
    /// Extensions that the peer speaks.
    pub reserved: Reserved,
    /// Whether the peer connected to us.
    pub incoming: bool,
    /// Whether the connection runs over uTP (BEP 29).
    pub utp: bool,
    /// Time that the connection took to open, if we opened it: one round trip, two if a packet was lost.
    pub rtt: Option<Duration>,
    /// Pieces that our greeting named; `None` if it named none.
    pub told: Option<Bits>,
}

/// What became of a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is a peer from now on.
    Joined(PeerKey),
    /// It is not wanted: this peer is connected already.
    Known(PeerKey),
    /// It is not wanted.
    Refused,
}

/// Why a connection ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disconnect {
    /// It ended by itself, or is of no more use. The peer may come back.
    Closed(String),
    /// The peer did something that it should not have. It may come back.
    Kicked(&'static str),
    /// The peer broke the protocol: its address is refused for a while.
    Banned(&'static str),
    /// The peer gave wrong data: its address is refused for longer.
    Lied(&'static str),
    /// Both sides have everything.
    Redundant,
}

/// Permission to store a block outside of the torrent's lock, for one attempt at its piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The block.
    pub block: BlockRef,
    /// The attempt: it changes each time the blocks of the piece are given up.
    pub generation: u32,
}

/// What the store made of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// The block is part of its piece now.
    Kept,
    /// The store has the block already.
    Ignored,
    /// The block was not given to the store, as it was not wanted when it came.
    Unwanted,
    /// There was no memory for it.
    NoRoom,
}

/// A block that came from a peer.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// The block, and the attempt for which it was stored.
    pub ticket: Ticket,
    /// Bytes of the block.
    pub bytes: u32,
    /// What the store made of it.
    pub stored: Stored,
}

/// What a reader is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A player, or a program that copies.
    Play,
    /// A look for the file's index, or for a time in it.
    Index,
    /// A guess that the file will be played: its beginning is fetched for a while.
    Prefetch,
}

/// A new reader; bytes from the start of the torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenReader {
    /// What the reader is for.
    pub purpose: Purpose,
    /// Number of the file in the torrent.
    pub file: usize,
    /// First byte of the file.
    pub start: u64,
    /// First byte that is not read any more.
    pub end: u64,
    /// The next byte to be read.
    pub position: u64,
}

/// What only the driver can see; to be told every [`super::HOUSEKEEPING`].
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Seconds since 1970.
    pub unix_s: f64,
    /// Whether the store has memory for blocks of further pieces.
    pub room: bool,
    /// Bytes that may still be kept before pieces must be given back, if there is a limit.
    pub disk_room_bytes: u64,
    /// Peers to which blocks are being written at this moment.
    pub sending: Vec<PeerKey>,
}

/// What happened.
#[non_exhaustive]
pub enum Input {
    /// The info dictionary is known and the store is open.
    Ready {
        /// The torrent.
        content: Content,
        /// Pieces that are here.
        have: Bits,
        /// Those of them that peers may be told of.
        told: Bits,
        /// As in [`Input::KnownTails`].
        known_tails: Vec<(PieceIndex, u32)>,
    },
    /// The torrent cannot be used: nothing more is fetched.
    Unusable,
    /// An assembled info dictionary was hashed.
    InfoChecked {
        /// As [`Output::CheckInfo`] had it.
        attempt: u32,
        /// Whether it is right.
        right: bool,
    },
    /// Strangers named these addresses, which passed their source's filter.
    Found(Vec<(SocketAddr, Origin)>),
    /// The user or the link named these addresses.
    Given(Vec<SocketAddr>),
    /// A dial ended without a connection.
    DialFailed {
        /// The dial.
        dial: Dial,
        /// Whether we reached ourselves.
        ourselves: bool,
    },
    /// A connection ended, or what came over it cannot be read.
    Disconnected(PeerKey, Disconnect),
    /// All blocks of a piece are here, and it is right. With the peers that gave wrong blocks of it in earlier attempts.
    Verified(PieceIndex, Vec<PeerKey>),
    /// A piece was hashed and is wrong. With the peers that gave its blocks: a single one gave wrong data.
    Corrupt(PieceIndex, Vec<PeerKey>),
    /// These pieces are not here any more. True: peers may have been told of them.
    Lost(Vec<(PieceIndex, bool)>),
    /// These pieces, which files only seemed to hold, are right.
    Proven(Vec<PieceIndex>),
    /// A piece that was not known to be here was found in a file.
    Rechecked(PieceIndex),
    /// Every piece was looked at and is right.
    RecheckedAll,
    /// The blocks of these pieces from the given one on are zeros of pad files (BEP 47).
    KnownTails(Vec<(PieceIndex, u32)>),
    /// Whether the disk takes nothing, so that memory is all there is.
    DiskTrouble(bool),
    /// Whether every piece is wanted.
    FetchAll(bool),
    /// A reader was opened.
    ReaderOpened(ReaderKey, OpenReader),
    /// A reader was closed.
    ReaderClosed(ReaderKey),
    /// A reader will not read from this byte on.
    ReaderEnd(ReaderKey, u64),
    /// A reader jumped to this byte.
    ReaderSought(ReaderKey, u64),
    /// A reader's caller says how many bytes a second it reads.
    ReaderRate(ReaderKey, f64),
    /// A reader waits for this byte.
    ReaderWaits(ReaderKey, u64),
    /// A reader gave up waiting.
    ReaderGaveUp(ReaderKey),
    /// A reader has read up to this byte.
    ReaderRead(ReaderKey, u64),
    /// A file's time is known; its index lies in these bytes of the file.
    TimeKnown {
        /// Number of the file.
        file: usize,
        /// Its time.
        time: Arc<dyn FileTime>,
        /// Bytes of the file where its index was read, beyond its head.
        index: Vec<Range<u64>>,
    },
    /// News of an operation of the slot index.
    SlotNews(slots::Input),
    /// What the driver sees.
    Tick(Surroundings),
    /// The time of the next timeout has come.
    Timeout,
}

/// What to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum Output {
    /// Send a message.
    Send(PeerKey, Message),
    /// The peer's request queue is not empty: take requests by [`super::Torrent::next_upload`] and send the blocks.
    Upload(PeerKey),
    /// Read on from a peer whose reading was paused.
    Resume(PeerKey),
    /// Give the peer parts of the info dictionary, from [`super::Torrent::next_info_part`].
    GiveInfo(PeerKey),
    /// Close the connection.
    Disconnect(PeerKey),
    /// Dial an address, and tell what became of it.
    Dial(Dial),
    /// Give up the blocks of the piece that were stored for earlier attempts than this one.
    DropBlocks(PieceIndex, u32),
    /// Hash this info dictionary, and answer with [`Input::InfoChecked`].
    CheckInfo {
        /// To be given back.
        attempt: u32,
        /// The bytes.
        info: Vec<u8>,
    },
    /// Carry out an operation of the slot index: look up or announce.
    Slots(slots::Output),
    /// End all operations of the slot index.
    SlotsEnd,
    /// Ask trackers, DHT and network for peers now.
    AskForPeers,
    /// Use nothing but trackers from now on (BEP 27).
    MakePrivate,
    /// Where the readers are, for what is kept.
    Readers(Vec<retain::Reader>),
    /// Readers should look again: a piece came or went.
    News,
    /// Something that the outside may want to know.
    Event(Event),
}

/// What the outside may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A peer was connected.
    PeerConnected(SocketAddr),
    /// A peer is gone, and why.
    PeerDisconnected(SocketAddr, String),
    /// An address is refused for a while, and why.
    PeerBanned(SocketAddr, String),
    /// A piece is here.
    PieceVerified(PieceIndex),
    /// A piece was wrong.
    PieceFailed(PieceIndex),
    /// A piece is not here any more.
    PieceLost(PieceIndex),
    /// Every piece is here.
    Completed,
}
