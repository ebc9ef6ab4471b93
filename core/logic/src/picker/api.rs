//! The picker's words: what it is told, what it says, what it counts.

use super::tuning::PRIOR_READ_RATE;
use crate::{Bits, BlockRef, PeerKey, PieceIndex, Range, ReaderKey};
use serde::{Deserialize, Serialize};
use std::fmt::Debug;
use std::time::Duration;

/// A way of dealing out blocks that replaces gain and price: the comparison policies of the
/// simulator.
pub trait Rule: Debug + Send + Sync {
    /// Whether a peer takes an open block of a piece.
    fn takes(&self, share: &Share) -> bool;

    /// How far ahead of the readers pieces are taken in order, seconds; those behind are taken
    /// rarest first.
    fn in_order_s(&self) -> f64 {
        f64::INFINITY
    }
}

/// What a [`Rule`] is told of a peer and a piece.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// Seconds until a reader runs dry without the piece.
    pub due_s: f64,
    /// Blocks of the piece.
    pub blocks: u32,
    /// Of these, the ones that the peer gave or is asked for.
    pub taken: u32,
    /// Peers that can give blocks of the piece.
    pub holders: usize,
    /// The peer's rate, bytes per second.
    pub rate: f64,
    /// The rates of all holders.
    pub total_rate: f64,
}

/// Settings of the picker. Units are in the names; docs/adr/0016-picker.md has the evidence for
/// the values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Seed of every random choice (ties between equally rare pieces).
    pub seed: u64,
    /// Requests to an unmeasured peer. 4: enough to measure its rate through TCP's start, and little
    /// enough to wait for.
    pub first_requests: u32,
    /// Delay that a peer's queue may add to its round trip, milliseconds; at least a block or a third
    /// of the round trip. A seek waits for it where CANCEL is ignored, as it is in practice, since
    /// clients hand blocks to their sockets at once. 25: below what a viewer notices.
    pub slack_ms: f64,
    /// TorrentHandle ahead of a reader with which its read-ahead is full, seconds. 20: rides out a peer's
    /// reboot of its router, or a choke cycle.
    pub read_ahead_s: f64,
    /// How far ahead of each reader pieces are taken in order, at least; those behind are taken rarest
    /// first.
    pub horizon_bytes: u64,
    /// Bound on the memory of pieces that are begun and not complete. 40 MiB: the store's own bound.
    pub max_partial_bytes: u64,
    /// Share of the received bytes that duplicates may waste before they become dearer. 0.02: the
    /// bound on all waste is 0.03.
    pub hedge_share: f64,
    /// While every read-ahead is full, the pieces at this many even steps of each file are fetched
    /// early, since players seek there by keys and by clicks on chapters. 10: the number keys of most
    /// players. 0 switches it off.
    pub seek_targets: u32,
}

impl Config {
    /// The bytes that a reader of that rate, bytes per second, must have ahead of it to be
    /// comfortable.
    pub fn comfort_bytes_at(&self, rate: Option<f64>) -> u64 {
        let bytes = rate.unwrap_or(PRIOR_READ_RATE) * self.read_ahead_s;
        (bytes as u64).clamp(self.horizon_bytes / 32, 2 * self.horizon_bytes)
    }

    /// Every number but the seed, of which all are good, and what it may be.
    pub fn ranges(&self) -> Vec<Range> {
        /// A tebibyte: more than anybody has ahead of a player.
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

/// What happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Input {
    /// A peer finished its handshake. It chokes us until [`Input::Unchoked`], and has nothing until
    /// it says so. As long as anything is missing here it was told with the handshake that we are
    /// interested, in the hope of an UNCHOKE a round trip sooner; [`Output::Interested`] takes that
    /// back where it turns out to have nothing for us.
    PeerJoined {
        /// The new peer.
        peer: PeerKey,
        /// The time its connection took to open (one round trip), where known.
        rtt: Option<Duration>,
        /// How many requests it takes at once (BEP 10 `reqq`), 250 where unknown.
        max_requests: u32,
        /// Whether it speaks BEP 6: a choke then keeps requests alive until they are rejected.
        fast: bool,
    },
    /// So many peers are being dialled now.
    Dialled(usize),
    /// It is gone; what was asked of it will not come.
    PeerLeft(PeerKey),
    /// What it has, all at once (bitfield, HAVE ALL, HAVE NONE).
    PeerHasBits(PeerKey, Bits),
    /// HAVE.
    PeerHas(PeerKey, PieceIndex),
    /// DONT HAVE (BEP 54).
    PeerLacks(PeerKey, PieceIndex),
    /// CHOKE.
    Choked(PeerKey),
    /// UNCHOKE.
    Unchoked(PeerKey),
    /// ALLOWED FAST: this piece may be asked for while choked.
    AllowedFast(PeerKey, PieceIndex),
    /// REJECT: this request will not be answered.
    Rejected(PeerKey, BlockRef),
    /// A whole block came from this peer, wanted or not.
    Block(PeerKey, BlockRef),
    /// A whole block came from this peer and could not be kept (no memory): it is wanted still.
    Unkept(PeerKey, BlockRef),
    /// It takes so many requests at once (BEP 10 `reqq`, which comes after it joined).
    PeerTakes(PeerKey, u32),
    /// It watches the film, as it says: it is asked for what is shown soon, and spares whoever has
    /// all and watches nothing.
    PeerViews(PeerKey),
    /// Others from this peer's address gave blocks of pieces that failed: those are asked of others
    /// where there are any.
    PeerSuspected(PeerKey),
    /// Some bytes of a block came from this peer, the block is not complete yet.
    Progress(PeerKey),
    /// The whole piece was hashed and is right: it may be read.
    PieceVerified(PieceIndex),
    /// The whole piece was hashed and is wrong: all its blocks are wanted again.
    PieceFailed(PieceIndex),
    /// A piece that was here is not any more (given back, or changed on disk).
    PieceLost(PieceIndex),
    /// Someone will read `[position, end)` of the file that begins at `start`; bytes from the start
    /// of the torrent.
    ReaderOpened {
        /// The new reader.
        reader: ReaderKey,
        /// The first byte of its file.
        start: u64,
        /// The next byte that it will read.
        position: u64,
        /// The first byte that it will not read (its file's end).
        end: u64,
        /// The media's rate in bytes per second, where known; measured from its reads otherwise.
        bytes_per_s: Option<f64>,
        /// How many bytes ahead of the reader may be fetched; `u64::MAX` for no bound.
        window: u64,
    },
    /// What is fetched for the reader ends elsewhere now.
    ReaderLimits {
        /// The reader.
        reader: ReaderKey,
        /// The first byte that it will not read.
        end: u64,
        /// How many bytes ahead of the reader may be fetched.
        window: u64,
    },
    /// Where the reader's player may jump, bytes from the start of the torrent, where more is known
    /// than the even steps of [`Config::seek_targets`].
    ReaderSeekTargets(ReaderKey, Vec<u64>),
    /// The reader has read up to here: ahead of where it was, without a gap.
    ReaderRead(ReaderKey, u64),
    /// The reader jumped here.
    ReaderSought(ReaderKey, u64),
    /// The reader wants its next byte now, or does not any more.
    ReaderBlocked(ReaderKey, bool),
    /// The player shows what this reader reads so many seconds after it was read.
    ReaderBuffer(ReaderKey, f64),
    /// The media's rate in bytes per second, as now known.
    ReaderRate(ReaderKey, f64),
    /// Nobody reads there any more.
    ReaderClosed(ReaderKey),
    /// The blocks of these pieces from the given one on are known without any peer (zeros of pad
    /// files, BEP 47): they are not asked for, unless their piece turns out wrong. What was said
    /// before is forgotten.
    KnownTails(Vec<(PieceIndex, u32)>),
    /// Fetch every piece, whether anybody reads or not.
    FetchAll(bool),
    /// Nothing can be stored now (full disk): true stops requests, false resumes them.
    Paused(bool),
    /// The time given by [`Picker::next_timeout`](super::Picker::next_timeout) has come.
    Timeout,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// Ask this peer for this block.
    Request(PeerKey, BlockRef),
    /// Take that request back.
    Cancel(PeerKey, BlockRef),
    /// Tell this peer whether we are interested in it.
    Interested(PeerKey, bool),
    /// Give up this piece's blocks, to make room for pieces that are needed sooner.
    Forget(PieceIndex),
}

/// Bytes counted since the picker was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Of blocks that came, of any kind.
    pub received_bytes: u64,
    /// Of blocks that came though they were already here (the losers of hedges, and late ones).
    pub duplicate_bytes: u64,
    /// Of blocks that came though nothing of the kind was asked of that peer.
    pub unasked_bytes: u64,
    /// Of pieces that failed their hash.
    pub failed_bytes: u64,
    /// Of blocks given up to make room (see [`Output::Forget`]).
    pub forgotten_bytes: u64,
    /// Requests sent.
    pub requests: u64,
    /// Requests sent a second time, to a peer that would be sooner.
    pub hedges: u64,
    /// Requests taken back.
    pub cancels: u64,
    /// Requests given up as unanswered.
    pub timeouts: u64,
}

impl Counters {
    /// Bytes received for nothing.
    pub fn wasted_bytes(&self) -> u64 {
        self.duplicate_bytes + self.unasked_bytes + self.failed_bytes + self.forgotten_bytes
    }
}

/// A peer as the picker sees it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PeerFigures {
    /// Delivered rate while something was asked of it, bytes per second; `None` until measured.
    pub rate_bytes_per_s: Option<f64>,
    /// From a request to the first byte of its answer, apart from queueing.
    pub rtt: Duration,
    /// Blocks asked of it and not yet here.
    pub outstanding: u32,
    /// Bytes of blocks that it gave us.
    pub received_bytes: u64,
    /// Whether it chokes us.
    pub choked: bool,
    /// Whether it has gone quiet while something was asked of it.
    pub snubbed: bool,
    /// How many pieces it has.
    pub pieces: u32,
}
