//! Whole clients against each other. Each node is the torrent machine that the engine runs, with
//! picker, choker, uploads, peer exchange and slot index, and a player. Blocks travel one by one
//! over a virtual network.
//!
//! The other simulations model one part in more detail: [`crate::run`] the picker of a single
//! viewer, packet by packet; [`crate::slots`] ten thousand viewers, as flows. Modelled here:
//! uplinks that serve their connections in turn, downlinks as a queue, delays, TCP windows, dials,
//! a tracker, the DHT's answers, hashing, players. Not modelled: loss, disks, processors, uTP.

mod handshakes;
mod network;
mod node;
mod picture;
mod player;
mod report;
mod scenario;
mod store;
mod table;
mod uplink;
mod world;

pub use picture::svg;
pub use report::{Report, ViewerReport};
pub use scenario::{Scenario, catalogue, scenario};
pub use table::markdown;
pub use world::run;
