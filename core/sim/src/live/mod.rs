//! Live channels: whole crowds of viewers that pass stripes on to each other.
//!
//! Each node runs the real machine, [`playswarm_logic::relay::Relay`], and where packets are
//! simulated one by one also [`playswarm_logic::stripe::Assembler`]. Packets have numbers and
//! lengths, and no bytes. docs/LIVE-SIM.md says what is modelled and what is not.

mod catalogue;
mod network;
mod node;
mod packets;
mod picture;
mod player;
mod report;
mod scenario;
mod size;
mod table;
mod trees;
mod world;

pub use catalogue::{SETS, Set, catalogue};
pub use network::Network;
pub use picture::svg;
pub use report::{AfterKill, Links, Report, ViewerReport};
pub use scenario::{Crowd, Departure, Grain, Lines, Scenario, Start, Transport, Trees};
pub use table::markdown;
pub use world::{Options, Trace, run};
