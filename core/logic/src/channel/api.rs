//! The settings, inputs and outputs of a channel.

use super::Cast;
use crate::{PeerKey, relay, stripe};
use bytes::Bytes;
use playswarm_proto::live::Minute;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// The settings of a channel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Of its trees.
    pub relay: relay::Config,
    /// Of its packets and players.
    pub stripe: stripe::Config,
}

/// An event that the driver reports.
#[derive(Debug)]
#[non_exhaustive]
pub enum Input {
    /// A node sent a message of the extension.
    Heard(PeerKey, Bytes),
    /// A connection ended.
    Left(PeerKey),
    /// An event of the trees: a connection, a dial, an address, the upload. Messages, packets and
    /// heads are not reported this way.
    Relay(relay::Input),
    /// An event of the source.
    Cast(Cast),
    /// The time of [`super::Channel::next_timeout`] has come.
    Timeout,
}

/// In which order a connection sends what waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Before all others: messages without packets.
    Control,
    /// New packets. After [`crate::stripe::Config::patience_s`] they are of no use.
    New,
    /// Packets of the past, which a new child or a late group needs, by their group: a player begins
    /// with the oldest, and needs all its packets.
    Past(u64),
}

/// An action for the driver.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Output {
    /// Send a message of the extension.
    Send(PeerKey, Bytes, Urgency),
    /// Dial an address.
    Dial(SocketAddr),
    /// Close a connection.
    Close(PeerKey),
    /// Close a connection, and take none from this address any more: it sent what no honest node
    /// sends.
    Ban(PeerKey),
    /// Look for more addresses.
    Find,
    /// A newer head applies.
    Head {
        /// Whether the source began anew.
        new_cast: bool,
    },
    /// The next group of the stream is here.
    Ready {
        /// Its number.
        group: u64,
    },
    /// Groups are lost for good. The stream goes on with another, at which a player can begin.
    Skip {
        /// First group that is lost.
        from: u64,
        /// Next group.
        to: u64,
    },
    /// The source has announced a minute of the archive.
    Minute(Minute),
    /// Another title applies.
    Title,
    /// The source made the parity of a group wrongly.
    WrongParity {
        /// Number of the group.
        group: u64,
    },
    /// The last group of the stream was given out.
    Ended,
    /// For the user.
    Event(relay::Event),
    /// The node has left the channel.
    Done,
}
