//! Sends what the connections of a node have to send, in the order that `channel::Line` decides.

use bytes::Bytes;
use parking_lot::Mutex;
use playswarm_logic::channel::{Line, Urgency};
use playswarm_logic::{PeerKey, Time};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Rate of a line without a limit, bytes per second: more than any has.
const UNLIMITED: f64 = 1e12;

/// The line that the connections of a node share.
pub(super) struct Sender {
    epoch: Instant,
    inside: Mutex<Inside>,
    rearm: Notify,
}

struct Inside {
    line: Line,
    outlets: BTreeMap<PeerKey, Arc<Outlet>>,
    /// Time for which the timer is set.
    armed: Time,
}

/// What a connection is to write next.
#[derive(Default)]
pub(super) struct Outlet {
    messages: Mutex<Vec<Bytes>>,
    given: Notify,
}

impl Outlet {
    /// Waits for the messages of the next write.
    pub(super) async fn messages(&self) -> Vec<Bytes> {
        loop {
            let messages = std::mem::take(&mut *self.messages.lock());
            if !messages.is_empty() {
                return messages;
            }
            self.given.notified().await;
        }
    }
}

impl Sender {
    pub(super) fn new(epoch: Instant) -> Sender {
        let line = Line::new(Time::ZERO, UNLIMITED);
        let inside = Inside { line, outlets: BTreeMap::new(), armed: Time::NEVER };
        Sender { epoch, inside: Mutex::new(inside), rearm: Notify::new() }
    }

    /// Runs `work` on the line, then hands out what may go.
    fn enter<R>(&self, work: impl FnOnce(&mut Inside, Time) -> R) -> R {
        let mut inside = self.inside.lock();
        let now = Time::ZERO + self.epoch.elapsed();
        let result = work(&mut inside, now);
        while let Some((peer, messages)) = inside.line.poll(now) {
            if let Some(outlet) = inside.outlets.get(&peer) {
                *outlet.messages.lock() = messages;
                outlet.given.notify_one();
            }
        }
        let next = inside.line.next_timeout(now);
        if next < inside.armed {
            inside.armed = next;
            self.rearm.notify_one();
        }
        result
    }

    /// Changes the rate of the line.
    pub(super) fn set_rate(&self, bytes_per_s: f64) {
        self.enter(|inside, now| inside.line.set_rate(now, bytes_per_s));
    }

    pub(super) fn open(&self, peer: PeerKey) -> Arc<Outlet> {
        let outlet = Arc::<Outlet>::default();
        self.enter(|inside, _| {
            inside.line.open(peer);
            inside.outlets.insert(peer, outlet.clone());
        });
        outlet
    }

    pub(super) fn close(&self, peer: PeerKey) {
        self.enter(|inside, _| {
            inside.line.close(peer);
            inside.outlets.remove(&peer);
        });
    }

    /// Adds a message, which [`Self::hand_out`] lets go. Returns false if the node does not read.
    pub(super) fn push(&self, peer: PeerKey, message: Bytes, urgency: Urgency) -> bool {
        let mut inside = self.inside.lock();
        let now = Time::ZERO + self.epoch.elapsed();
        inside.line.push(now, peer, message, urgency)
    }

    /// Hands out what was added. Called once for all that one event led to, so that messages to the same
    /// node share a write.
    pub(super) fn hand_out(&self) {
        self.enter(|_, _| ());
    }

    /// Returns the messages that go with a connection's handshake.
    pub(super) fn first(&self, peer: PeerKey) -> Vec<Bytes> {
        self.enter(|inside, now| inside.line.take_control(now, peer))
    }

    /// Reports that a connection has written its messages.
    pub(super) fn ready(&self, peer: PeerKey) {
        self.enter(|inside, _| inside.line.ready(peer));
    }

    /// Whether nothing waits, here or at a connection.
    pub(super) fn is_idle(&self) -> bool {
        self.enter(|inside, _| inside.line.is_idle())
    }

    /// Returns for each connection how long its oldest new packet has been waiting.
    pub(super) fn delays(&self) -> Vec<(PeerKey, Duration)> {
        self.enter(|inside, now| inside.line.delays(now).collect())
    }

    /// Hands out what had to wait for its time. Never returns.
    pub(super) async fn keep_time(&self) {
        loop {
            let armed = self.inside.lock().armed;
            let timer = async {
                match armed {
                    Time::NEVER => std::future::pending().await,
                    at => tokio::time::sleep_until((self.epoch + Duration::from_micros(at.0)).into()).await,
                }
            };
            tokio::select! {
                () = timer => self.enter(|inside, _| inside.armed = Time::NEVER),
                () = self.rearm.notified() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Urgency::{Control, New};

    const PEER: PeerKey = PeerKey(1);

    #[tokio::test]
    async fn what_one_event_says_to_a_node_is_one_write() {
        let sender = Sender::new(Instant::now());
        let outlet = sender.open(PEER);
        sender.ready(PEER);
        for (message, urgency) in [("hello", Control), ("group", New), ("accept", Control)] {
            assert!(sender.push(PEER, Bytes::from_static(message.as_bytes()), urgency));
        }
        sender.hand_out();
        assert_eq!(outlet.messages().await, ["hello", "accept"]);
        assert!(!sender.is_idle(), "the connection has not written them");
        sender.ready(PEER);
        assert_eq!(outlet.messages().await, ["group"]);
    }
}
