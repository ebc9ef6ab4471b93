//! Swarms: the sockets, disk and clock of each torrent, and their shared connections.
//!
//! `playswarm_logic::torrent` decides what a torrent does. Only `transport`, `listen` and `link`
//! access sockets.

pub(crate) mod background;
mod connect;
mod door;
pub(crate) mod driver;
pub(crate) mod handshake;
pub(crate) mod link;
mod links;
pub(crate) mod listen;
pub(crate) mod named;
mod opening;
mod pieces;
mod pushes;
pub(crate) mod rates;
pub(crate) mod readers;
mod receive;
mod report;
mod slots;
pub(crate) mod sockets;
mod sources;
pub(crate) mod survey;
mod times;
pub(crate) mod transport;
