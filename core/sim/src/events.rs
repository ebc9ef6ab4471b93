//! The events of the simulated world, and the heap that returns them in order of time.

use playswarm_logic::{BlockRef, PieceIndex, Time};
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// A message from the viewer to a peer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Up {
    Request(BlockRef),
    Cancel(BlockRef),
}

/// A message of a peer other than a block.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Control {
    Choke,
    Unchoke,
    Have(PieceIndex),
    Reject(BlockRef),
}

/// A part of a peer's stream on its way to the viewer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Down {
    /// `bytes` of a block; `last` if they complete it, `bad` if the peer made them wrong.
    Data {
        block: BlockRef,
        bytes: u32,
        last: bool,
        bad: bool,
    },
    Control(Control),
}

/// An event of the simulation.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    /// This peer is dialled.
    Dial(u32),
    /// The time to look whether a standby is needed.
    Standby,
    /// The handshake with this peer is finished.
    Joined(u32),
    /// A message of the viewer reaches the peer.
    Up(u32, Up),
    /// The peer's uplink has sent its current part.
    Sent(u32),
    /// A part of the peer's stream reaches the viewer's own link.
    Arrive(u32, Down),
    /// The part has passed the viewer's link.
    Deliver(u32, Down),
    /// The peer learns that this many bytes arrived.
    Ack(u32, u32),
    /// The peer's choke cycle turns; the flag is the new state.
    Choke(u32, bool),
    /// A peer that is itself downloading gets one more piece.
    Grow(u32),
    /// A peer's rate drifts.
    Drift(u32),
    /// The scenario's disturbance of that number.
    Disturb(u32),
    /// The viewer's own timer gives a cut peer up; outdated unless it is the peer's cut of that
    /// number.
    Expire(u32, u32),
    /// The data that a cut held up flows again.
    Resume(u32),
    /// A complete piece has been hashed.
    Hashed(u32),
    /// A player's clock; outdated unless it is the reader's tick of that number.
    Tick(u32, u32),
    /// The step of that number in the reader's script.
    Step(u32, u32),
    /// The machine's own timeout.
    Wake,
}

struct Entry<E> {
    at: Time,
    seq: u64,
    event: E,
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Entry<E>) -> Ordering {
        // The heap returns its greatest entry, so the earliest is the greatest. Equal times are
        // returned in the order of insertion.
        (other.at, other.seq).cmp(&(self.at, self.seq))
    }
}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Entry<E>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Entry<E>) -> bool {
        self.seq == other.seq
    }
}

impl<E> Eq for Entry<E> {}

/// Events to come, of any kind.
pub(crate) struct Queue<E> {
    heap: BinaryHeap<Entry<E>>,
    pushed: u64,
}

/// The events of a viewer's swarm.
pub(crate) type Events = Queue<Event>;

impl<E> Default for Queue<E> {
    fn default() -> Queue<E> {
        Queue { heap: BinaryHeap::new(), pushed: 0 }
    }
}

impl<E> Queue<E> {
    /// Adds an event.
    pub(crate) fn push(&mut self, at: Time, event: E) {
        self.heap.push(Entry { at, seq: self.pushed, event });
        self.pushed += 1;
    }

    /// Removes the earliest event; of equal times the first inserted.
    pub(crate) fn pop(&mut self) -> Option<(Time, E)> {
        self.heap.pop().map(|entry| (entry.at, entry.event))
    }

    /// Returns the number of events that were pushed.
    pub(crate) fn count(&self) -> u64 {
        self.pushed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_comes_first_and_equals_in_the_order_they_were_pushed() {
        let mut events = Events::default();
        for (at, peer) in [(5, 0), (3, 1), (5, 2), (3, 3)] {
            events.push(Time(at), Event::Sent(peer));
        }
        let mut order = Vec::new();
        while let Some((at, Event::Sent(peer))) = events.pop() {
            order.push((at.0, peer));
        }
        assert_eq!(order, [(3, 1), (3, 3), (5, 0), (5, 2)]);
    }
}
