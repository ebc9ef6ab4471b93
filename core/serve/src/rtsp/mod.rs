//! The RTSP server (RFC 2326): any RTSP player plays, pauses and jumps. docs/RTSP.md describes what
//! it answers.
//!
//! The grammar (`request`, `transport`, `range`, `path`), the packets (`rtp`, `payload`, `sdp`), the
//! clock, the pace and the session machine do no I/O and read no clock. `feed` reads samples from
//! the swarm, `connection` drives one client's session, `server` listens.

mod answer;
mod auth;
#[cfg(test)]
mod bounds;
mod clock;
mod config;
mod connection;
mod feed;
mod film;
mod methods;
mod observe;
mod outlet;
mod pace;
mod path;
mod payload;
mod range;
mod request;
mod rtp;
mod scale;
mod sdp;
mod server;
mod session;
mod transport;
mod tunnel;
mod udp;

pub use config::RtspConfig;
pub use observe::{RtspSession, RtspView};
pub use server::{RtspServer, serve_rtsp};

/// Parses any bytes as a client's, and checks what the parsers promise. For fuzzing.
pub(crate) fn check_invariants(data: &[u8]) {
    let _ = rtp::reported_losses(data);
    let _ = tunnel::Decoder::default().decode(data);
    let whole = inputs(&[data]);
    let single: Vec<&[u8]> = data.chunks(1).collect();
    assert_eq!(whole, inputs(&single), "cuts do not matter");
    for input in whole {
        let request::Input::Request(request) = input else { continue };
        if let Some(target) = path::Target::parse(&request.url) {
            assert!(request.url.starts_with(target.base));
        }
        let _ = request.header("Transport").and_then(transport::Transport::choose);
        let _ = request.header("Range").and_then(range::Range::parse);
        let _ = request.header("Scale").and_then(scale::Scale::parse);
    }
}

/// Returns what the parser finds in bytes that come in these cuts, up to the first fault.
fn inputs(cuts: &[&[u8]]) -> Vec<request::Input> {
    let (mut parser, mut found) = (request::Parser::of_connection(), Vec::new());
    for cut in cuts {
        parser.feed(cut);
        loop {
            match parser.next() {
                Ok(Some(input)) => found.push(input),
                Ok(None) => break,
                Err(_) => return found,
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
