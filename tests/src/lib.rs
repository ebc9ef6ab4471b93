//! The harness of playswarm's whole-system tests: a shaped network, real clients as peers, hostile
//! peers, trackers, player models, and the program under test as a child process.
//!
//! It uses only the interfaces of a user: the program's options, its `url:` line, its HTTP server.
//! It knows none of the internals, so the tests stay valid when these are rebuilt. The tests
//! themselves are in `tests/`, one file per subject.
//!
//! All code here is for tests: a harness that cannot do its work panics with a sentence instead of
//! returning errors.
#![allow(clippy::unwrap_used)]
#![cfg_attr(not(test), deny(unsafe_code))]

pub mod bencode;
pub mod browser;
pub mod content;
pub mod figures;
pub mod film;
pub mod hostile;
pub mod http;
pub mod ingest;
pub mod live_stream;
pub mod mp4_head;
pub mod netlab;
pub mod nginx;
pub mod peers;
pub mod place;
pub mod playswarm;
pub mod process;
pub mod proxy;
pub mod reader;
pub mod requirement;
pub mod swarm;
pub mod torrent;
pub mod tracker;
pub mod web_servers;

use std::time::{Duration, Instant};

/// Calls `ready` every 50 ms until it returns a value. Panics with `what` after `limit`.
#[track_caller]
pub fn wait_for<T>(what: &str, limit: Duration, mut ready: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = ready() {
            return found;
        }
        assert!(Instant::now() < end, "timed out after {} s waiting for {what}", limit.as_secs());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Compiles the README's example with the doc tests, so that it stays correct.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
