//! The RTSP server (RFC 2326): any RTSP player plays, pauses and jumps. docs/RTSP.md describes what
//! it answers.
//!
//! The grammar (`request`, `transport`, `range`, `path`), the packets (`rtp`, `payload`, `sdp`), the
//! clock, the pace and the session machine do no I/O and read no clock. `feed` reads samples from
//! the swarm, `connection` drives one client's session, `server` listens.

mod answer;
mod base64;
mod clock;
mod config;
mod connection;
mod feed;
mod film;
mod methods;
mod pace;
mod path;
mod payload;
mod range;
mod request;
mod rtp;
mod sdp;
mod server;
mod session;
mod transport;
mod udp;

pub use config::RtspConfig;
pub use server::{RtspServer, serve_rtsp};

#[cfg(test)]
mod tests;
