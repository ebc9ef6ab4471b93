//! Thousands of viewers of one film, with and without the slot index: docs/SLOTS-SIM.md.
//!
//! This model is coarser than the rest of the crate, which simulates one viewer's swarm block by
//! block: bytes are flows in steps of a second. The announces, lookups and dials are decided by the
//! same [`playswarm_logic::slots::Slots`] as in the engine.

mod compare;
mod dht;
mod drive;
mod flow;
mod picture;
mod report;
mod scenario;
mod sharing;
mod table;
mod viewer;
mod world;

pub use compare::{Comparison, comparison};
pub use picture::svg;
pub use report::Report;
pub use scenario::{Arrivals, Crowd, Index, Jumps, Rows, Sharing, crowds};
pub use table::{markdown, text};
pub use world::run;

pub(crate) use dht::{Dht, address, viewer};
