//! The picker's interface: settings, inputs, outputs and counters.

use super::tuning::PRIOR_READ_RATE;
use crate::{Bits, BlockRef, PeerKey, PieceIndex, Range, ReaderKey};
use serde::{Deserialize, Serialize};
use std::fmt::Debug;
use std::time::Duration;

/// A picking policy that replaces gain and price, for comparisons in the simulator.
pub trait Rule: Debug + Send + Sync {
    /// Returns whether a peer takes an open block of a piece.
    fn takes(&self, share: &Share) -> bool;

    /// Returns how far ahead of the readers pieces are taken in order, in seconds. Pieces beyond it
    /// are taken rarest first.
    fn in_order_s(&self) -> f64 {
        f64::INFINITY
    }
}

/// The facts about a peer and a piece by which a [`Rule`] decides.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// Seconds until a reader stalls without the piece.
    pub due_s: f64,
    /// Number of blocks of the piece.
    pub blocks: u32,
    /// Number of these blocks that the peer delivered or has outstanding.
    pub taken: u32,
    /// Number of peers that can upload blocks of the piece.
    pub holders: usize,
    /// Rate of the peer, in bytes per second.
    pub rate: f64,
    /// Total rate of all holders, in bytes per second.
    pub total_rate: f64,
}

/// Settings of the picker. Units are in the names; docs/adr/0016-picker.md has the evidence for
/// the values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Seed of every random choice (ties between equally rare pieces).
    pub seed: u64,
    /// Number of requests to an unmeasured peer. 4: enough to measure its rate during TCP's slow
    /// start, and few enough to wait for.
    pub first_requests: u32,
    /// Delay that a peer's queue may add to its round trip, milliseconds; at least a block and a
    /// quarter of the round trip. A seek waits for it where CANCEL is ignored, as it is in
    /// practice, since clients hand blocks to their sockets at once. 25: below what a viewer
    /// notices. `residential`, `uneven`.
    pub slack_ms: f64,
    /// Film ahead of a reader with which its read-ahead is full, in seconds. 20: outlasts a choke
    /// cycle, or the restart of a peer's router.
    pub read_ahead_s: f64,
    /// Least distance ahead of each reader within which pieces are taken in order. Pieces beyond it
    /// are taken rarest first.
    pub horizon_bytes: u64,
    /// Memory limit for incomplete pieces. 40 MiB: the store's own limit.
    pub max_partial_bytes: u64,
    /// Share of the received bytes that duplicates may waste before their price rises. 0.02: the
    /// bound on all waste is 0.03.
    pub hedge_share: f64,
    /// Number of evenly spaced seek targets in each file. They are fetched early while every
    /// read-ahead is full, since players seek there by keys and chapters. 10: the number keys of
    /// most players. 0 turns it off. Once the timeline is known, the torrent names tenths of the
    /// duration in their place ([`Input::ReaderSeekTargets`]).
    pub seek_targets: u32,
}

impl Config {
    /// Returns the bytes ahead of a reader with which its read-ahead is full. `rate` is in bytes
    /// per second.
    pub fn read_ahead_bytes_at(&self, rate: Option<f64>) -> u64 {
        let bytes = rate.unwrap_or(PRIOR_READ_RATE) * self.read_ahead_s;
        (bytes as u64).clamp(self.horizon_bytes / 32, 2 * self.horizon_bytes)
    }

    /// Returns the valid range of every number except the seed, for which all values are valid.
    pub fn ranges(&self) -> Vec<Range> {
        /// A tebibyte: more than any read-ahead.
        const BYTES: f64 = (1u64 << 40) as f64;
        const MINUTE_MS: f64 = 60_000.0;
        vec![
            Range::new("first_requests", f64::from(self.first_requests), 1.0, 1000.0),
            Range::new("slack_ms", self.slack_ms, 0.0, MINUTE_MS),
            Range::new("read_ahead_s", self.read_ahead_s, 0.0, 86_400.0),
            Range::new("horizon_bytes", self.horizon_bytes as f64, 0.0, BYTES),
            Range::new("max_partial_bytes", self.max_partial_bytes as f64, f64::from(1 << 20), BYTES),
            Range::new("hedge_share", self.hedge_share, 0.0, 1.0),
            Range::new("seek_targets", f64::from(self.seek_targets), 0.0, 1000.0),
        ]
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            seed: 1,
            first_requests: 4,
            slack_ms: 25.0,
            read_ahead_s: 20.0,
            horizon_bytes: 32 << 20,
            max_partial_bytes: 40 << 20,
            hedge_share: 0.02,
            seek_targets: 10,
        }
    }
}

/// Outstanding requests assumed to be accepted by a peer until it states its limit (BEP 10 `reqq`).
pub(crate) const DEFAULT_REQUESTS: u32 = 250;

/// How a peer is asked for data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// BitTorrent: a request asks for one block, and CANCEL may withdraw it.
    Blocks {
        /// Most outstanding requests that the peer accepts (BEP 10 `reqq`); 250 if unknown.
        requests: u32,
        /// Whether the peer supports BEP 6: requests then survive a choke until they are rejected.
        fast: bool,
    },
    /// HTTP: a request asks for a range of bytes, here a *run* of consecutive blocks. Requests are
    /// answered in order. One that was sent cannot be withdrawn.
    ///
    /// The driver makes one request of the [`Output::Request`]s of one input that follow each other
    /// for the same peer and are for consecutive blocks. After [`Output::Cancel`] it drops the block
    /// if it did not send the request yet, and answers with [`Input::Rejected`]; otherwise it does
    /// nothing, and the block comes.
    Ranges {
        /// Most outstanding requests. 1 if requests cannot be pipelined.
        depth: u8,
        /// Least length of a run in bytes, as far as consecutive blocks are wanted. Ignored while a
        /// reader waits.
        least_bytes: u32,
        /// Most length of a run in bytes.
        most_bytes: u32,
    },
}

impl Default for Manner {
    fn default() -> Manner {
        Manner::Blocks { requests: DEFAULT_REQUESTS, fast: false }
    }
}

/// An event that the driver reports.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Input {
    /// A peer finished its handshake. It chokes us until [`Input::Unchoked`], and has no pieces
    /// until it announces them. While pieces are missing, INTERESTED was sent with the handshake,
    /// so that an UNCHOKE may come a round trip sooner. [`Output::Interested`] revokes it if the
    /// peer has no useful piece.
    PeerJoined {
        /// The new peer.
        peer: PeerKey,
        /// Time that its connection took to open (one round trip), if known.
        rtt: Option<Duration>,
        /// How it is asked for data.
        manner: Manner,
    },
    /// The peer is asked in another manner from now on: it stated its limit (BEP 10 `reqq`), or
    /// pipelining proved to work or to fail. Requests that are outstanding stay so.
    PeerManner(PeerKey, Manner),
    /// The number of peers that are being dialled.
    Dialled(usize),
    /// The peer left. Its outstanding requests will not be answered.
    PeerLeft(PeerKey),
    /// All pieces of the peer (bitfield, HAVE ALL, HAVE NONE).
    PeerHasBits(PeerKey, Bits),
    /// HAVE.
    PeerHas(PeerKey, PieceIndex),
    /// DONT HAVE (BEP 54).
    PeerLacks(PeerKey, PieceIndex),
    /// CHOKE.
    Choked(PeerKey),
    /// UNCHOKE.
    Unchoked(PeerKey),
    /// ALLOWED FAST: this piece may be requested while choked.
    AllowedFast(PeerKey, PieceIndex),
    /// REJECT: this request will not be answered. A peer that serves ranges must reject each block
    /// that will not come, also after a choke.
    Rejected(PeerKey, BlockRef),
    /// A complete block arrived from this peer, wanted or not.
    Block(PeerKey, BlockRef),
    /// A complete block arrived from this peer and could not be stored (no memory). It is still
    /// wanted.
    Unkept(PeerKey, BlockRef),
    /// The peer reports that it watches the film. It is asked for pieces that are shown soon, which
    /// relieves idle seeds.
    PeerViews(PeerKey),
    /// Other peers from this peer's address sent blocks of pieces that failed. These pieces are
    /// requested from other peers if possible.
    PeerSuspected(PeerKey),
    /// Some bytes of an incomplete block arrived from this peer.
    Progress(PeerKey),
    /// The piece was hashed and is right. It may be read.
    PieceVerified(PieceIndex),
    /// The piece was hashed and is wrong. All its blocks are wanted again.
    PieceFailed(PieceIndex),
    /// A stored piece was lost (evicted, or changed on disk).
    PieceLost(PieceIndex),
    /// A reader was opened for `[position, end)` of the file that begins at `start`, in bytes from
    /// the start of the torrent.
    ReaderOpened {
        /// The new reader.
        reader: ReaderKey,
        /// First byte of its file.
        start: u64,
        /// Next byte that it will read.
        position: u64,
        /// End of its range (its file's end), exclusive.
        end: u64,
        /// Rate of the media in bytes per second, if known. Otherwise it is measured from its
        /// reads.
        bytes_per_s: Option<f64>,
        /// Most bytes ahead of the reader that may be fetched; `u64::MAX` for no limit.
        window: u64,
    },
    /// The limits of the fetch for the reader changed.
    ReaderLimits {
        /// The reader.
        reader: ReaderKey,
        /// End of its range, exclusive.
        end: u64,
        /// Most bytes ahead of the reader that may be fetched.
        window: u64,
    },
    /// The seek targets of the reader's player, in bytes from the start of the torrent. They
    /// replace the evenly spaced ones of [`Config::seek_targets`].
    ReaderSeekTargets(ReaderKey, Vec<u64>),
    /// The reader read on up to this byte, without a gap.
    ReaderRead(ReaderKey, u64),
    /// The reader jumped to this byte.
    ReaderSought(ReaderKey, u64),
    /// Whether the reader is blocked on its next byte.
    ReaderBlocked(ReaderKey, bool),
    /// The seconds from a byte's reading to its presentation by the player.
    ReaderBuffer(ReaderKey, f64),
    /// The rate of the media in bytes per second, now known.
    ReaderRate(ReaderKey, f64),
    /// The reader was closed.
    ReaderClosed(ReaderKey),
    /// The blocks of these pieces from the given one on are known (zeros of pad files, BEP 47).
    /// They are not requested unless their piece turns out wrong. Replaces earlier reports.
    KnownTails(Vec<(PieceIndex, u32)>),
    /// Whether to fetch every piece, with or without readers.
    FetchAll(bool),
    /// Whether nothing can be stored (full disk). Requests stop until it is false again.
    Paused(bool),
    /// The time given by [`Picker::next_timeout`](super::Picker::next_timeout) has come.
    Timeout,
}

/// An action for the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// Request this block from this peer.
    Request(PeerKey, BlockRef),
    /// Cancel that request.
    Cancel(PeerKey, BlockRef),
    /// Tell this peer whether we are interested in it.
    Interested(PeerKey, bool),
    /// Drop the blocks of this piece, to make room for more urgent pieces.
    Forget(PieceIndex),
}

/// Bytes and requests counted since the picker was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Bytes of all received blocks.
    pub received_bytes: u64,
    /// Bytes of received blocks that were already stored (losing duplicates, and late blocks).
    pub duplicate_bytes: u64,
    /// Bytes of received blocks that were not requested from that peer.
    pub unasked_bytes: u64,
    /// Bytes of pieces that failed their hash.
    pub failed_bytes: u64,
    /// Bytes of blocks dropped to make room (see [`Output::Forget`]).
    pub forgotten_bytes: u64,
    /// Number of requests sent.
    pub requests: u64,
    /// Number of duplicate requests, each to a peer that is expected to answer sooner.
    pub hedges: u64,
    /// Number of cancelled requests.
    pub cancels: u64,
    /// Number of requests given up as unanswered.
    pub timeouts: u64,
}

impl Counters {
    /// Returns the bytes that were received and not used.
    pub fn wasted_bytes(&self) -> u64 {
        self.duplicate_bytes + self.unasked_bytes + self.failed_bytes + self.forgotten_bytes
    }
}

/// The three pointers of a reader's buffer, in bytes from the start of the torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Pointers {
    /// Next byte that it reads.
    pub offset: u64,
    /// End of the verified bytes from there on.
    pub end_of_data: u64,
    /// End of the bytes that may be fetched for it.
    pub end_of_buffer: u64,
}

/// Measurements of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PeerFigures {
    /// Rate while requests were outstanding, in bytes per second; `None` until measured.
    pub rate_bytes_per_s: Option<f64>,
    /// Time from a request to the first byte of its answer, without queueing.
    pub rtt: Duration,
    /// Number of outstanding blocks.
    pub outstanding: u32,
    /// Bytes of blocks received from it.
    pub received_bytes: u64,
    /// Whether it chokes us.
    pub choked: bool,
    /// Whether it is silent while requests are outstanding.
    pub snubbed: bool,
    /// Number of its pieces.
    pub pieces: u32,
}
