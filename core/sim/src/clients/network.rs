//! Connections between nodes, and the data in flight on them.

use super::node::End;
use crate::events::Queue;
use crate::link::Window;
use playswarm_logic::{BlockRef, PeerKey, Time};
use playswarm_proto::wire::Message;

/// A connection between two nodes.
pub(super) struct Connection {
    /// The nodes, the one that dialled first.
    pub(super) nodes: [u32; 2],
    /// The key of each end's peer at its node; `None` before it has joined and after it has left.
    pub(super) keys: [Option<PeerKey>; 2],
    pub(super) open: bool,
    /// Arrival time of the last data that each end sent, since data on a connection stays in order.
    last: [Time; 2],
    /// TCP window of each end.
    pub(super) windows: [Window; 2],
    pub(super) delay_s: f64,
}

impl Connection {
    pub(super) fn new(nodes: [u32; 2], delay_s: f64) -> Connection {
        let window = || Window::new(2.0 * delay_s, true);
        Connection { nodes, keys: [None; 2], open: true, last: [Time::ZERO; 2], windows: [window(), window()], delay_s }
    }

    /// Returns when something that `side` sends now arrives.
    pub(super) fn arrival(&mut self, now: Time, side: usize) -> Time {
        let at = now.plus_secs(self.delay_s).max(self.last[side]);
        self.last[side] = at;
        at
    }

    /// Returns the end that is not `side`.
    pub(super) fn other(&self, connection: usize, side: usize) -> (u32, End) {
        (self.nodes[1 - side], End { connection, side: 1 - side })
    }
}

/// A dial and the messages sent with it.
#[derive(Clone, Debug)]
pub(super) struct Hello {
    pub(super) dial: playswarm_logic::torrent::Dial,
    pub(super) from: u32,
    pub(super) to: u32,
    /// The dialler's first messages, and the pieces that they named.
    pub(super) messages: Vec<Message>,
    pub(super) told: Option<playswarm_logic::Bits>,
}

/// An event of the simulation.
pub(super) enum Event {
    /// A node's program starts.
    Come(u32),
    /// A node's program ends.
    Leave(u32),
    /// A node's tick.
    Tick(u32),
    /// A node's timeout, unless it was set to another time meanwhile.
    Wake(u32, Time),
    /// The tracker answers a node.
    Tracker(u32),
    /// The TCP connection is open, and the dialler sends its first messages.
    Dialled(Box<Hello>),
    /// The first messages arrive.
    Greeted(Box<Hello>),
    /// The answer arrives at the dialler: the connection, its other end's key, and the first
    /// messages.
    Answered(Box<Hello>, usize, Vec<Message>),
    /// A dial failed.
    DialFailed(u32, playswarm_logic::torrent::Dial),
    /// Messages arrive at an end.
    Messages(End, Vec<Message>),
    /// The other end has closed the connection.
    Closed(End),
    /// A node's uplink has sent a block to the other end of this one.
    Sent(End, BlockRef, bool),
    /// A block reaches an end's downlink.
    Arrive(End, BlockRef, bool),
    /// The block has passed the downlink.
    Deliver(End, BlockRef, bool),
    /// An end learns that its bytes have arrived.
    Acked(End, u32),
    /// A piece was hashed.
    Hashed(u32, u32),
    /// An operation of the slot index ends, with its results and whether it succeeded.
    Operation(u32, playswarm_logic::slots::Operation, Vec<std::net::SocketAddr>, bool),
    /// A player checks whether it can continue.
    Play(u32, u32),
    /// A player jumps.
    Jump(u32),
}

/// Events to come.
pub(super) type Events = Queue<Event>;
