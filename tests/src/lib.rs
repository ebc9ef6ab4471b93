//! The harness of playswarm's whole-system tests: a shaped network of its own, real clients as peers, hostile peers,
//! trackers, players' models, and the program under test as a child process.
//!
//! It knows the program by what a user knows (its options, its `url:` line, its HTTP server) and nothing of its insides,
//! so the same tests hold whatever is rebuilt within. The tests themselves are in `tests/`, a file for each subject.
//!
//! Everything here is for tests: a harness that cannot do its part panics with a sentence instead of returning errors.
#![allow(clippy::unwrap_used)]
#![cfg_attr(not(test), deny(unsafe_code))]

pub mod bencode;
pub mod content;
pub mod film;
pub mod hostile;
pub mod http;
pub mod netlab;
pub mod nginx;
pub mod peers;
pub mod place;
pub mod playswarm;
pub mod process;
pub mod reader;
pub mod requirement;
pub mod swarm;
pub mod torrent;
pub mod tracker;

use std::time::{Duration, Instant};

/// Asks `ready` every 50 ms until it gives something; panics with `what` when `limit` is over.
#[track_caller]
pub fn wait_for<T>(what: &str, limit: Duration, mut ready: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = ready() {
            return found;
        }
        assert!(Instant::now() < end, "waited {} s in vain for {what}", limit.as_secs());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The README's example is compiled with the doc tests, so that it stays true.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
