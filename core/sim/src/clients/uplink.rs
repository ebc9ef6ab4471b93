//! A node's uplink: one block at a time, with its connections in turn.

use playswarm_logic::PeerKey;
use std::collections::VecDeque;

/// The uplink of one node.
pub(super) struct Uplink {
    pub(super) bytes_per_s: f64,
    /// The connection whose block is being sent.
    pub(super) sending: Option<PeerKey>,
    /// Connections that may have requests, in the order of their turns.
    turns: VecDeque<PeerKey>,
    pub(super) sent_bytes: u64,
}

impl Uplink {
    pub(super) fn new(bytes_per_s: f64) -> Uplink {
        Uplink { bytes_per_s, sending: None, turns: VecDeque::new(), sent_bytes: 0 }
    }

    /// Adds a connection that may have requests.
    pub(super) fn add(&mut self, peer: PeerKey) {
        if !self.turns.contains(&peer) {
            self.turns.push_back(peer);
        }
    }

    pub(super) fn remove(&mut self, peer: PeerKey) {
        self.turns.retain(|other| *other != peer);
    }

    /// Returns how many connections wait for their turn.
    pub(super) fn waiting(&self) -> usize {
        self.turns.len()
    }

    /// Moves the connection whose turn it is to the end of the queue and returns it.
    pub(super) fn next_turn(&mut self) -> Option<PeerKey> {
        let peer = self.turns.pop_front()?;
        self.turns.push_back(peer);
        Some(peer)
    }
}
