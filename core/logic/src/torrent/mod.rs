//! One torrent as a state machine: peers, what they say and are owed, readers, and the machines that decide for them.

pub mod address_book;
pub mod bans;
pub mod conduct;
pub mod fast_grants;
pub mod greeting;
mod origin;
pub mod pex;
pub mod places;

pub use origin::Origin;
