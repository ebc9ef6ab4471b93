//! Figures of a torrent for the outside.

use super::{Meter, Torrent};
use crate::Time;
use playswarm_proto::handshake::PeerId;

impl Torrent {
    /// Returns the payload bytes received and their recent rate.
    pub fn download(&self, now: Time) -> (u64, f64) {
        total_and_rate(&self.down, now)
    }

    /// Returns the payload bytes sent and their recent rate.
    pub fn upload(&self, now: Time) -> (u64, f64) {
        total_and_rate(&self.up, now)
    }

    /// Returns the peer id of this client.
    pub fn peer_id(&self) -> PeerId {
        self.config.peer_id
    }

    /// Returns the number of known addresses that are not connected.
    pub fn idle_addresses(&self) -> usize {
        self.book.idle()
    }

    /// Returns the number of addresses that are being dialled.
    pub fn dialling(&self) -> usize {
        self.book.dialling()
    }

    /// Returns the number of peers that ever connected.
    pub fn met_peers(&self) -> usize {
        self.next_peer as usize
    }

    /// Returns the number of subscribers that are banned now.
    pub fn banned(&self, now: Time) -> usize {
        self.book.bans.banned(now)
    }

    /// Returns since when no peer has been connected; `None` if one is.
    pub fn lonely_since(&self) -> Option<Time> {
        self.lonely_since
    }
}

fn total_and_rate(meter: &Meter, now: Time) -> (u64, f64) {
    (meter.total(), meter.rate(now))
}
