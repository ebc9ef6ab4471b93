//! Streams that a program pushes over HTTP: PUT and POST, and Icecast's SOURCE and PUT. FFmpeg,
//! curl, GStreamer, BUTT, Mixxx and Liquidsoap push so.
//!
//! hyper refuses `ICE/1.0`, and by RFC 9112 it sees no body where Icecast's clients send one: they
//! state neither a length nor chunks. So [`Session`] reads one connection from its first byte on.
//! It has the state of that connection and no socket. The caller decides who may push, and compares
//! credentials in constant time.

mod head;
mod refusal;
mod session;
#[cfg(test)]
mod tests;

pub use crate::http1::{Framing, MAX_TEXT_BYTES};
pub use head::{Credentials, Kind, MAX_HEAD_BYTES, Metadata, Push, Request};
pub use refusal::Refusal;
pub use session::{Event, Session};
