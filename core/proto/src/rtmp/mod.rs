//! A server's side of RTMP ("Adobe's Real Time Messaging Protocol", 1.0) for one client that pushes
//! a stream, which comes out as an FLV file. OBS, FFmpeg and GStreamer push so.
//!
//! [`Session`] has the state of one connection and no socket. Audio, video and metadata become FLV
//! tags unchanged, so codecs of Enhanced RTMP pass as well. There is no playing, no AMF3 and no
//! encryption (RTMPE).

mod amf0;
mod chunk;
mod flv;
mod handshake;
mod session;
#[cfg(test)]
mod tests;

pub use chunk::MAX_MESSAGE_BYTES;
pub use session::{Event, Publish, Session};

/// The reason why a connection cannot continue. Its text is for the log: RTMP has no answer to
/// bytes that cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Fault(pub(crate) &'static str);
