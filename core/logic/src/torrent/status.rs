//! What is reported about a torrent to users.

use serde::Serialize;
use std::net::SocketAddr;

/// A viewer's report about itself, advanced to the present. Not verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ViewerStatus {
    /// Number of the file that it watches.
    pub file: usize,
    /// Virtual slot of the viewer.
    pub slot: i64,
    /// Its playhead, in seconds into the film.
    pub playhead_s: f64,
    /// Whether it is playing and not paused.
    pub playing: bool,
    /// Seconds of film that it has buffered.
    pub ahead_s: f64,
    /// Upload capacity that it can spare, in bytes per second.
    pub spare_bytes_per_s: u64,
}

/// The viewer's place in the slot index, and the index's costs and benefits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SlotStatus {
    /// Number of the file that is watched.
    pub file: usize,
    /// Our slot, once it is known.
    pub slot: Option<i64>,
    /// Width of a slot in seconds.
    pub width_s: u16,
    /// Estimated playhead in seconds into the film. Players read ahead of the displayed frame.
    pub playhead_s: f64,
    /// Whether playback is running and not paused.
    pub playing: bool,
    /// Number of parents: viewers with a reserved place.
    pub parents: usize,
    /// Current rate from all parents, in bytes per second.
    pub parents_bytes_per_s: f64,
    /// Useful bytes from parents.
    pub parent_bytes: u64,
    /// Useful bytes from all other peers.
    pub other_bytes: u64,
    /// Number of lookups on the DHT.
    pub lookups: u64,
    /// Number of announces on the DHT.
    pub announces: u64,
    /// Number of lookups and announces that failed.
    pub failed_operations: u64,
    /// Budget for lookups and announces together, per hour.
    pub operations_per_hour: f64,
    /// Number of addresses that the DHT returned.
    pub found: u64,
    /// Number of these that were ignored: invalid, our own, known, failed before, or beyond the
    /// limit.
    pub ignored: u64,
    /// Number of dials for the index.
    pub dials: u64,
    /// Number of these that gained no parent.
    pub failed_dials: u64,
    /// Number of parents that lost their place because they did not serve.
    pub released: u64,
    /// Seconds added to our clock to agree with viewers that sent us bytes.
    pub clock_correction_s: f64,
}

/// An event of a torrent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// A peer was connected.
    #[non_exhaustive]
    PeerConnected {
        /// Address of the peer.
        addr: SocketAddr,
    },
    /// A peer was disconnected.
    #[non_exhaustive]
    PeerDisconnected {
        /// Address of the peer.
        addr: SocketAddr,
        /// The reason, in a few words.
        why: String,
    },
    /// A peer was banned.
    #[non_exhaustive]
    PeerBanned {
        /// Address of the peer.
        addr: SocketAddr,
        /// The reason, in a few words.
        why: String,
    },
    /// A piece is present and verified.
    #[non_exhaustive]
    PieceVerified {
        /// Number of the piece.
        piece: u32,
    },
    /// A piece failed its hash; it is fetched again.
    #[non_exhaustive]
    PieceFailed {
        /// Number of the piece.
        piece: u32,
    },
    /// A piece is lost: it was evicted, or another program changed its file.
    #[non_exhaustive]
    PieceLost {
        /// Number of the piece.
        piece: u32,
    },
    /// Nothing can be fetched for now.
    Trouble {
        /// The reason and the remedy, as a sentence.
        message: String,
    },
    /// The trouble is over.
    TroubleOver,
    /// Information about the torrent's files for the user: a name that is taken, a file that
    /// another program changed. It needs no action.
    Notice {
        /// The information, as a sentence.
        message: String,
    },
    /// Every piece is present.
    Completed,
}
