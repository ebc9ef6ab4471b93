//! Every decision of playswarm, as state machines without any I/O.
//!
//! A machine takes what happened (`handle(now, Input)`) and says what to do (`poll() -> Option<Output>`, called until
//! it is drained). Time comes in as [`Time`], randomness from a seed in the machine's config, and nothing here reads a
//! clock, opens a socket or starts a thread. So the engine and the simulator drive the very same code.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod bits;
pub mod choker;
pub mod layout;
pub mod limiter;
pub mod machine;
pub mod metadata;
pub mod named_peers;
pub mod picker;
pub mod range;
pub mod retain;
pub mod rng;
pub mod slots;
pub mod time;
pub mod token_bucket;
pub mod torrent;
pub mod trackers;

pub use bits::Bits;
pub use layout::{BLOCK_BYTES, BlockRef, Layout, PieceIndex};
pub use machine::Machine;
pub use range::Range;
pub use time::Time;

/// A connected peer, named by whoever drives the machine; never reused within one machine's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerKey(pub u32);

/// An open reader, named by whoever drives the machine; never reused within one machine's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReaderKey(pub u32);
