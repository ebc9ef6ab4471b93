//! Whole clients against each other: each node is the torrent machine that the engine runs, with picker, choker, uploads,
//! peer exchange and slot index together, and a player. Block by block, over a virtual network.
//!
//! The other simulations look closer at one part: [`crate::run`] at the picker of a single viewer, packet by packet;
//! [`crate::slots`] at ten thousand viewers, as flows. Modelled here: uplinks that serve their connections by turns, downlinks
//! that are a queue, delays, windows of TCP, dials, a tracker, the DHT's answers, hashing, players. Not modelled: loss,
//! disks, processors, uTP.

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
