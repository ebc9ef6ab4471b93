//! Swarms: the sockets, the disk and the clock of each torrent, and the connections that they share.
//!
//! What a torrent does is decided by `playswarm_logic::torrent`. `transport`, `listen` and `link` are the only files that
//! touch a socket.

pub(crate) mod background;
mod connect;
mod door;
pub(crate) mod driver;
pub(crate) mod handshake;
pub(crate) mod link;
mod links;
pub(crate) mod listen;
mod named;
mod opening;
mod pieces;
pub(crate) mod rates;
pub(crate) mod readers;
mod receive;
mod report;
mod slots;
pub(crate) mod sockets;
pub(crate) mod survey;
mod times;
pub(crate) mod transport;
