//! Connections to peers, and what is said over them.
//!
//! Nothing here decides what to fetch. The lower half of the folder is pure (bytes to messages and back, queues,
//! scores); `transport`, `listen` and `link` are the only files that touch a socket.

pub(crate) mod background;
mod blame;
mod clock;
mod connect;
pub(crate) mod driver;
mod giver;
pub(crate) mod handshake;
mod having;
mod heard;
pub(crate) mod link;
pub(crate) mod listen;
mod machines;
mod named;
mod opening;
mod peer;
mod pieces;
pub(crate) mod rates;
pub(crate) mod readers;
mod report;
pub(crate) mod sockets;
pub(crate) mod survey;
mod times;
pub(crate) mod transport;
mod turnover;
mod upload;
mod viewing;
