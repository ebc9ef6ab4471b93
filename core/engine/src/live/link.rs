//! What a connection has to send, in order of urgency.

use bytes::Bytes;
use parking_lot::Mutex;
use playswarm_logic::channel::Urgency;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Most bytes waiting for a node. A connection that exceeds it is closed: it does not read.
const MAX_WAITING_BYTES: usize = 8 << 20;
/// Time after which a new packet that was not sent is of no use.
const STALE: Duration = Duration::from_secs(2);

/// Messages that wait, the most urgent first.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    pub(super) to_send: Notify,
}

#[derive(Default)]
struct Waiting {
    control: VecDeque<Bytes>,
    new: VecDeque<(Instant, Bytes)>,
    past: VecDeque<Bytes>,
    bytes: usize,
}

impl Queue {
    /// Adds a message. Returns false if the node does not read.
    pub(super) fn push(&self, message: Bytes, urgency: Urgency) -> bool {
        let mut waiting = self.waiting.lock();
        waiting.bytes += message.len();
        match urgency {
            Urgency::Control => waiting.control.push_back(message),
            Urgency::New => waiting.new.push_back((Instant::now(), message)),
            Urgency::Past => waiting.past.push_back(message),
        }
        let reads = waiting.bytes <= MAX_WAITING_BYTES;
        drop(waiting);
        self.to_send.notify_one();
        reads
    }

    /// Returns the next message.
    pub(super) fn pop(&self) -> Option<Bytes> {
        let mut waiting = self.waiting.lock();
        let message = loop {
            if let Some(message) = waiting.control.pop_front() {
                break message;
            }
            let Some((since, message)) = waiting.new.pop_front() else { break waiting.past.pop_front()? };
            if since.elapsed() < STALE {
                break message;
            }
            waiting.bytes -= message.len();
        };
        waiting.bytes -= message.len();
        Some(message)
    }

    /// Returns how long the oldest new packet has been waiting.
    pub(super) fn delay(&self) -> Duration {
        self.waiting.lock().new.front().map_or(Duration::ZERO, |(since, _)| since.elapsed())
    }
}
