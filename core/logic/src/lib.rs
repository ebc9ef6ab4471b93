//! All decisions of playswarm, as state machines without any I/O.
//!
//! A machine handles an event (`handle(now, Input)`) and returns actions (`poll() ->
//! Option<Output>`, called until it is drained). Time is passed in as [`Time`], and randomness
//! comes from a seed in the machine's config. Nothing here reads a clock, opens a socket or starts
//! a thread. The engine and the simulator therefore run the same code.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod buffering;
pub mod channel;
pub mod choker;
pub mod dial_budget;
pub mod evict;
pub mod gnutella;
pub mod limiter;
pub mod machine;
pub mod metadata;
pub mod picker;
pub mod range;
pub mod relay;
pub mod rng;
pub mod slots;
pub mod sources;
pub mod stripe;
pub mod time;
pub mod token_bucket;
pub mod torrent;
pub mod trackers;

pub use machine::Machine;
pub use playswarm_proto::{BLOCK_BYTES, Bits, BlockRef, Layout, PieceIndex};
pub use range::Range;
pub use time::Time;

/// A connected peer, numbered by the driver. Numbers are never reused within one machine's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerKey(pub u32);

/// An open reader, numbered by the driver. Numbers are never reused within one machine's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReaderKey(pub u32);

/// A player that reports its playhead, numbered by the driver. Numbers are never reused within one
/// machine's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlayerKey(pub u32);
