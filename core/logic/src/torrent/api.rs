//! The configuration, inputs and outputs of a torrent.

use super::{Dial, Event, Finding, Origin};
use crate::{Bits, BlockRef, Layout, PeerKey, PieceIndex, PlayerKey, ReaderKey, picker, slots};
use bytes::Bytes;
use playswarm_proto::InfoHash;
use playswarm_proto::handshake::{PeerId, Reserved};
use playswarm_proto::wire::Message;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// The settings of a torrent. Units are in the names.
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
    /// Whether the slot index is used to find viewers.
    pub slot_index: bool,
    /// Most connections in each direction; see [`super::places`].
    pub max_peers: usize,
    /// Limit of the upload rate; 0 for no limit.
    pub upload_bytes_per_s: u64,
    /// Most memory for pieces.
    pub memory_limit_bytes: u64,
    /// Most bytes of stored pieces, on disk or, without a disk, in memory; 0 for no limit.
    pub storage_limit_bytes: u64,
    /// Seed of every random choice that has no seed of its own.
    pub seed: u64,
    /// Settings of the picker.
    pub picker: picker::Config,
    /// Number of peers unchoked at once, including the optimistic one.
    pub upload_slots: usize,
    /// Settings of the slot index.
    pub slots: slots::Config,
}

/// The content of a torrent, known from its info dictionary.
#[derive(Clone, Debug)]
pub struct Content {
    /// Lengths of the torrent and its pieces.
    pub layout: Layout,
    /// Bytes of each file, from the start of the torrent, in the torrent's order.
    pub files: Vec<Range<u64>>,
    /// Whether the torrent is private: only trackers name peers (BEP 27).
    pub private: bool,
    /// The info dictionary, for peers that request it (BEP 9).
    pub info: Bytes,
}

/// The relation between the bytes of a media file and its presentation time.
pub trait FileTime: Send + Sync {
    /// Returns the duration of the file; zero if unknown.
    fn duration(&self) -> Duration;
    /// Returns the presentation time of a byte of the file.
    fn time_at(&self, byte: u64) -> Duration;
    /// Returns the bytes per second around a time; `None` if the duration is unknown.
    fn bytes_per_s(&self, time: Duration) -> Option<f64>;
    /// Returns the bytes that a player needs for a range of presentation times.
    fn byte_range(&self, times: Range<Duration>) -> Range<u64>;
    /// Returns the first byte that a player reads after a seek to `time`; `None` if the file has no
    /// keyframes.
    fn seek_target(&self, time: Duration) -> Option<u64>;
}

/// A connection after its handshake.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Address at which the peer can be dialled, if known.
    pub addr: SocketAddr,
    /// Source of that address.
    pub origin: Origin,
    /// Remote address of the connection.
    pub remote: SocketAddr,
    /// Peer id that the peer claims.
    pub peer_id: PeerId,
    /// Extensions that the peer supports.
    pub reserved: Reserved,
    /// Whether the peer opened the connection.
    pub incoming: bool,
    /// Whether the connection runs over uTP (BEP 29).
    pub utp: bool,
    /// Time in which a connection that we opened was established: one round trip, or two if a
    /// packet was lost.
    pub rtt: Option<Duration>,
    /// Pieces that our greeting announced; `None` if it announced none.
    pub told: Option<Bits>,
}

/// The decision about a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The connection is accepted as a peer.
    Joined(PeerKey),
    /// The connection is refused: the peer is connected already.
    Known(PeerKey),
    /// The connection is refused.
    Refused,
}

/// The reason for which a connection ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disconnect {
    /// The connection ended by itself or is no longer useful. The peer may return.
    Closed(String),
    /// The peer misbehaved. It may return.
    Kicked(&'static str),
    /// The peer broke the protocol. Its address is banned for a while.
    Banned(&'static str),
    /// The peer sent wrong data. Its address is banned for longer.
    Lied(&'static str),
    /// Both sides have every piece.
    Redundant,
}

/// A permission to store a block outside of the torrent's lock, for one attempt at its piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The block.
    pub block: BlockRef,
    /// The attempt. The number changes each time the blocks of the piece are dropped.
    pub generation: u32,
}

/// The result of storing a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// The block was added to its piece.
    Kept,
    /// The store had the block already.
    Ignored,
    /// The block was not passed to the store, because it was not wanted on arrival.
    Unwanted,
    /// The store had no memory for the block.
    NoRoom,
}

/// A block received from a peer.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// The block and the attempt for which it was stored.
    pub ticket: Ticket,
    /// Bytes of the block.
    pub bytes: u32,
    /// The result of storing it.
    pub stored: Stored,
}

/// The purpose of a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Playback or copying.
    Play,
    /// Reading the file's index, or looking up a time in it.
    Index,
    /// Prefetch of a file that is likely to be played: its beginning is fetched for a while.
    Prefetch,
}

/// A new reader. Bytes count from the start of the torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenReader {
    /// Purpose of the reader.
    pub purpose: Purpose,
    /// Number of the file in the torrent.
    pub file: usize,
    /// First byte of the file.
    pub start: u64,
    /// End of the range to read, exclusive.
    pub end: u64,
    /// Next byte to read.
    pub position: u64,
}

/// The figures that only the driver knows. It reports them every [`super::HOUSEKEEPING`].
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Time since 1970, seconds.
    pub unix_s: f64,
    /// Whether the store has memory for blocks of further pieces.
    pub room: bool,
    /// Bytes that may still be stored before pieces must be evicted, if there is a limit.
    pub disk_room_bytes: u64,
    /// Peers to which blocks are being written.
    pub sending: Vec<PeerKey>,
}

/// An event that the driver reports.
#[non_exhaustive]
pub enum Input {
    /// The info dictionary is known and the store is open.
    Ready {
        /// The torrent.
        content: Content,
        /// Pieces in the store.
        have: Bits,
        /// Stored pieces that may be announced to peers.
        told: Bits,
        /// See [`Input::KnownTails`].
        known_tails: Vec<(PieceIndex, u32)>,
    },
    /// The torrent is unusable. Nothing further is fetched.
    Unusable,
    /// A complete info dictionary was hashed.
    InfoChecked {
        /// Attempt number from [`Output::CheckInfo`].
        attempt: u32,
        /// Whether the hash matches.
        right: bool,
    },
    /// Statements of untrusted sources about addresses.
    Found(Vec<Finding>),
    /// The user or the link named these addresses.
    Given(Vec<SocketAddr>),
    /// A dial failed.
    DialFailed {
        /// The dial.
        dial: Dial,
        /// Whether the dial reached ourselves.
        ourselves: bool,
    },
    /// A connection ended, or its data cannot be parsed.
    Disconnected(PeerKey, Disconnect),
    /// A source is asked in another manner from now on: pipelining proved to work or to fail.
    SourceManner(PeerKey, picker::Manner),
    /// A piece is complete and its hash matches. The peers sent wrong blocks of it in earlier
    /// attempts.
    Verified(PieceIndex, Vec<PeerKey>),
    /// A piece is complete and its hash does not match. The peers sent its blocks; a single peer is
    /// at fault.
    Corrupt(PieceIndex, Vec<PeerKey>),
    /// These pieces were lost. The flag tells whether they may have been announced to peers.
    Lost(Vec<(PieceIndex, bool)>),
    /// These pieces, which files only appeared to contain, passed verification.
    Proven(Vec<PieceIndex>),
    /// A recheck found a piece that was not known to be stored.
    Rechecked(PieceIndex),
    /// A recheck verified every piece.
    RecheckedAll,
    /// The blocks of these pieces from the given one on are zeros of pad files (BEP 47).
    KnownTails(Vec<(PieceIndex, u32)>),
    /// Whether the disk accepts no data, so that only memory is available.
    DiskTrouble(bool),
    /// Whether every piece is wanted.
    FetchAll(bool),
    /// A reader opened.
    ReaderOpened(ReaderKey, OpenReader),
    /// A reader closed.
    ReaderClosed(ReaderKey),
    /// A reader's range now ends before this byte.
    ReaderEnd(ReaderKey, u64),
    /// A reader sought to this byte.
    ReaderSought(ReaderKey, u64),
    /// The caller of a reader gave its rate, bytes per second.
    ReaderRate(ReaderKey, f64),
    /// A reader is blocked on this byte.
    ReaderBlocked(ReaderKey, u64),
    /// A reader gave up waiting.
    ReaderGaveUp(ReaderKey),
    /// A reader has read up to this byte.
    ReaderRead(ReaderKey, u64),
    /// A player reports what it shows.
    PlayerShows {
        /// The player.
        player: PlayerKey,
        /// Number of the file.
        file: usize,
        /// Time of the film that it shows now.
        time: Duration,
        /// Whether it plays, stalls included, or is paused (false).
        playing: bool,
    },
    /// A player that reported what it shows was closed.
    PlayerClosed(PlayerKey),
    /// The index of a file is known. It lies in these bytes of the file.
    TimeKnown {
        /// Number of the file.
        file: usize,
        /// Relation between its bytes and its time.
        time: Arc<dyn FileTime>,
        /// Bytes of the file that contained its index, beyond the head.
        index: Vec<Range<u64>>,
    },
    /// The result of an operation of the slot index.
    SlotNews(slots::Input),
    /// A periodic report of the driver's figures.
    Tick(Surroundings),
    /// The time of the next timeout has come.
    Timeout,
}

/// An action for the driver.
#[derive(Debug)]
#[non_exhaustive]
pub enum Output {
    /// Send a message.
    Send(PeerKey, Message),
    /// Send blocks to the peer, whose request queue is not empty. Take the requests with
    /// [`super::Torrent::next_upload`].
    Upload(PeerKey),
    /// Resume reading from a peer whose reading was paused.
    Resume(PeerKey),
    /// Send the peer parts of the info dictionary, from [`super::Torrent::next_info_part`].
    GiveInfo(PeerKey),
    /// Close the connection.
    Disconnect(PeerKey),
    /// Dial an address and report the result.
    Dial(Dial),
    /// Drop the blocks of the piece that were stored for attempts before this one.
    DropBlocks(PieceIndex, u32),
    /// Hash this info dictionary and answer with [`Input::InfoChecked`].
    CheckInfo {
        /// Attempt number to return.
        attempt: u32,
        /// The bytes.
        info: Vec<u8>,
    },
    /// Carry out an operation of the slot index: look up or announce.
    Slots(slots::Output),
    /// End all operations of the slot index.
    SlotsEnd,
    /// Ask trackers, DHT and local network for peers now.
    AskForPeers,
    /// Use only trackers from now on (BEP 27).
    MakePrivate,
    /// Tell the store where the readers are, from [`super::Torrent::reader_places`].
    ReadersMoved,
    /// Wake the readers: a piece was completed or lost.
    News,
    /// Report an event to the program.
    Event(Event),
}
