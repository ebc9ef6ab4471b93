//! What a node sends next: all its connections share one line.
//!
//! Home lines buffer what is sent too fast, and drop what does not fit. Both delay every stripe at
//! once, so a node must never send faster than its line. The most urgent message of all connections
//! goes first, and none waits in the system's buffers where a more urgent one could not overtake it.

use super::Urgency;
use crate::token_bucket::TokenBucket;
use crate::{PeerKey, Time};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Most bytes waiting for a node. A connection that exceeds it is closed: it does not read.
const MAX_WAITING_BYTES: usize = 8 << 20;
/// Most bytes of messages without packets in one write, unless a single one is longer. A packet of another
/// connection waits for no more than these.
const MAX_WRITE_BYTES: usize = 256 << 10;
/// Time after which a packet that was not sent is of no use: it was asked of others.
const STALE: Duration = Duration::from_secs(2);
/// Time for which unused rate accumulates. It hides a late timer, and stays below what a line's
/// buffer takes.
const KEPT_S: f64 = 0.01;
/// Bytes of a TCP segment, and of its headers and those of IP and the link.
const SEGMENT: (usize, usize) = (1448, 66);

/// The ranks of [`Urgency`].
const CONTROL: usize = 0;
const NEW: usize = 1;
const PAST: usize = 2;

/// The messages of all connections that wait, and the rate at which they may go.
#[derive(Debug)]
pub struct Line {
    bucket: TokenBucket,
    ways: BTreeMap<PeerKey, Way>,
    /// Counts messages, so that the oldest goes first among equals.
    count: u64,
}

/// A connection.
#[derive(Debug, Default)]
struct Way {
    /// By urgency.
    waiting: [VecDeque<Waiting>; 3],
    bytes: usize,
    /// Whether it takes a write now.
    is_ready: bool,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    /// The group of a packet of the past: the oldest goes first.
    group: u64,
    since: Time,
    message: Bytes,
}

impl Line {
    /// Creates a line that takes this many bytes a second, headers included.
    pub fn new(now: Time, bytes_per_s: f64) -> Line {
        Line { bucket: bucket(now, bytes_per_s), ways: BTreeMap::new(), count: 0 }
    }

    /// Changes the rate.
    pub fn set_rate(&mut self, now: Time, bytes_per_s: f64) {
        self.bucket = bucket(now, bytes_per_s);
    }

    /// Adds a connection. It takes no message yet.
    pub fn open(&mut self, peer: PeerKey) {
        self.ways.insert(peer, Way::default());
    }

    /// Removes a connection and what waits for it.
    pub fn close(&mut self, peer: PeerKey) {
        self.ways.remove(&peer);
    }

    /// Adds a message. Returns false if the node does not read. Without a connection, it is dropped.
    pub fn push(&mut self, now: Time, peer: PeerKey, message: Bytes, urgency: Urgency) -> bool {
        let Some(way) = self.ways.get_mut(&peer) else { return true };
        self.count += 1;
        way.bytes += message.len();
        let (rank, group) = match urgency {
            Urgency::Control => (CONTROL, 0),
            Urgency::New => (NEW, 0),
            Urgency::Past(group) => (PAST, group),
        };
        let queue = &mut way.waiting[rank];
        let at = queue.partition_point(|waiting| waiting.group <= group);
        queue.insert(at, Waiting { number: self.count, group, since: now, message });
        way.bytes <= MAX_WAITING_BYTES
    }

    /// Returns the first messages without packets that wait for a connection. They go with its handshake,
    /// before it takes writes.
    pub fn take_control(&mut self, now: Time, peer: PeerKey) -> Vec<Bytes> {
        self.take(now, peer, CONTROL, usize::MAX)
    }

    /// A connection takes another write.
    pub fn ready(&mut self, peer: PeerKey) {
        if let Some(way) = self.ways.get_mut(&peer) {
            way.is_ready = true;
        }
    }

    /// Returns what a connection writes next, if it may go now: messages without packets
    /// together, or one packet. Each write takes a TCP segment at least, and a new connection has ten
    /// of them for its first round trip.
    pub fn poll(&mut self, now: Time) -> Option<(PeerKey, Vec<Bytes>)> {
        let stale = |waiting: &Waiting| now.since(waiting.since) >= STALE;
        for way in self.ways.values_mut() {
            for packets in &mut way.waiting[NEW..] {
                while packets.front().is_some_and(stale) {
                    way.bytes -= packets.pop_front().map_or(0, |old| old.message.len());
                }
            }
        }
        let has_room = self.bucket.has(now, 0.0);
        let (urgency, _, peer) = self.first().filter(|(urgency, ..)| has_room || *urgency == CONTROL)?;
        self.ways.get_mut(&peer)?.is_ready = false;
        let count = if urgency == CONTROL { usize::MAX } else { 1 };
        Some((peer, self.take(now, peer, urgency, count)))
    }

    /// Removes the first messages of this urgency, and pays for one write.
    fn take(&mut self, now: Time, peer: PeerKey, urgency: usize, count: usize) -> Vec<Bytes> {
        let Some(way) = self.ways.get_mut(&peer) else { return Vec::new() };
        let queue = &mut way.waiting[urgency];
        let mut bytes = 0;
        let mut fits = |waiting: &&Waiting| {
            bytes += waiting.message.len();
            bytes <= MAX_WRITE_BYTES
        };
        let count = queue.iter().take(count).take_while(&mut fits).count().max(1).min(queue.len());
        let messages: Vec<Bytes> = queue.drain(..count).map(|waiting| waiting.message).collect();
        let bytes = messages.iter().map(Bytes::len).sum();
        way.bytes -= bytes;
        self.bucket.take(now, cost(bytes));
        messages
    }

    /// Returns the most urgent and then the oldest message of the connections that take one.
    fn first(&self) -> Option<(usize, u64, PeerKey)> {
        let ready = self.ways.iter().filter(|(_, way)| way.is_ready);
        let heads = ready.filter_map(|(peer, way)| {
            let (urgency, first) = way.waiting.iter().enumerate().find_map(|(u, queue)| Some((u, queue.front()?)))?;
            Some((urgency, first.number, *peer))
        });
        heads.min()
    }

    /// Whether no message waits, and each connection has written the one before.
    pub fn is_idle(&self) -> bool {
        self.ways.values().all(|way| way.bytes == 0 && way.is_ready)
    }

    /// Returns the time at which the next message may go, if one waits for its time.
    pub fn next_timeout(&self, now: Time) -> Time {
        match self.first().and_then(|_| self.bucket.until(now, 0.0)) {
            Some(wait) => now + wait,
            None => Time::NEVER,
        }
    }

    /// Returns for each connection how long its oldest new packet has been waiting.
    pub fn delays(&self, now: Time) -> impl Iterator<Item = (PeerKey, Duration)> {
        self.ways.iter().map(move |(peer, way)| {
            let first = way.waiting[NEW].front();
            (*peer, first.map_or(Duration::ZERO, |waiting| now.since(waiting.since)))
        })
    }
}

fn bucket(now: Time, bytes_per_s: f64) -> TokenBucket {
    TokenBucket::new(now, bytes_per_s, bytes_per_s * KEPT_S, 0.0)
}

/// Returns the bytes that a message takes on the line.
fn cost(bytes: usize) -> f64 {
    (bytes + bytes.div_ceil(SEGMENT.0) * SEGMENT.1) as f64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use Urgency::{Control, New, Past};

    const A: PeerKey = PeerKey(1);
    const B: PeerKey = PeerKey(2);

    fn line(bytes_per_s: f64) -> Line {
        let mut line = Line::new(Time::ZERO, bytes_per_s);
        line.open(A);
        line.open(B);
        line
    }

    fn push(line: &mut Line, ms: u64, peer: PeerKey, what: &'static str, urgency: Urgency) {
        assert!(line.push(Time(ms * 1000), peer, Bytes::from_static(what.as_bytes()), urgency));
    }

    /// Returns what goes up to a time, as text, with connections that take everything. Messages of one
    /// write are joined by `+`.
    fn sent(line: &mut Line, from_ms: u64, to_ms: u64) -> String {
        let mut sent = Vec::new();
        for ms in from_ms..=to_ms {
            loop {
                line.ready(A);
                line.ready(B);
                let Some((peer, messages)) = line.poll(Time(ms * 1000)) else { break };
                let name = if peer == A { 'A' } else { 'B' };
                let texts: Vec<_> = messages.iter().map(|message| String::from_utf8_lossy(message)).collect();
                sent.push(format!("{name}:{}", texts.join("+")));
            }
        }
        sent.join(" ")
    }

    #[test]
    fn the_most_urgent_goes_first_whatever_its_connection() {
        let mut line = line(1e9);
        push(&mut line, 0, A, "old2", Past(2));
        push(&mut line, 0, A, "old1", Past(1));
        push(&mut line, 0, A, "new1", New);
        push(&mut line, 0, B, "new2", New);
        push(&mut line, 0, A, "new3", New);
        push(&mut line, 0, B, "beat", Control);
        assert_eq!(sent(&mut line, 0, 1), "B:beat A:new1 B:new2 A:new3 A:old1 A:old2");
    }

    #[test]
    fn the_rate_of_the_line_holds_for_all_and_messages_without_packets_do_not_wait() {
        // Each takes 69 bytes, and so 10 ms.
        let mut line = line(6_900.0);
        for name in ["1", "2", "3"].map(|n| [n, n, n].concat()) {
            let name: &'static str = name.leak();
            push(&mut line, 0, A, name, New);
            push(&mut line, 0, B, name, New);
        }
        assert_eq!(sent(&mut line, 0, 25), "A:111 B:111 A:222");
        push(&mut line, 25, B, "now", Control);
        assert_eq!(line.next_timeout(Time(25_000)), Time(30_000));
        assert_eq!(sent(&mut line, 25, 50), "B:now B:222 A:333", "which the next packets pay for");
        assert_eq!(line.delays(Time(50_000)).collect::<Vec<_>>()[1], (B, Duration::from_millis(50)));
        line.set_rate(Time(50_000), 1e6);
        assert_eq!(sent(&mut line, 50, 60), "B:333");
        assert_eq!(line.next_timeout(Time(60_000)), Time::NEVER);
    }

    #[test]
    fn messages_without_packets_of_a_connection_share_a_write_and_packets_do_not() {
        // A byte takes 1 ms, and each write 66 more.
        let mut line = line(1000.0);
        for name in ["hello", "head", "accept"] {
            push(&mut line, 0, A, name, Control);
        }
        push(&mut line, 0, B, "beat", Control);
        push(&mut line, 0, A, "one", New);
        push(&mut line, 0, A, "two", New);
        assert_eq!(sent(&mut line, 0, 1), "A:hello+head+accept B:beat");
        // 15 and 4 bytes, and two writes.
        assert_eq!(sent(&mut line, 2, 150), "");
        assert_eq!(sent(&mut line, 151, 152), "A:one");
        assert_eq!(sent(&mut line, 153, 300), "A:two");
    }

    #[test]
    fn a_write_is_bounded_so_that_packets_of_others_come_in_between() {
        let mut line = line(1e9);
        for part in [MAX_WRITE_BYTES + 1, MAX_WRITE_BYTES / 2, MAX_WRITE_BYTES / 2, 1] {
            assert!(line.push(Time::ZERO, A, vec![0; part].into(), Control));
        }
        let mut writes = Vec::new();
        while let Some((_, messages)) = {
            line.ready(A);
            line.poll(Time::ZERO)
        } {
            writes.push(messages.len());
        }
        assert_eq!(writes, [1, 2, 1]);
    }

    #[test]
    fn what_goes_with_the_handshake_is_taken_once_and_paid_for() {
        let mut line = line(6_900.0);
        push(&mut line, 0, A, "hello", Control);
        push(&mut line, 0, A, "join", Control);
        push(&mut line, 0, A, "new", New);
        push(&mut line, 0, B, "hello", Control);
        assert_eq!(line.take_control(Time::ZERO, A), ["hello", "join"]);
        assert!(line.take_control(Time::ZERO, A).is_empty() && line.take_control(Time::ZERO, PeerKey(9)).is_empty());
        assert_eq!(sent(&mut line, 0, 1), "B:hello", "the rest waits for what was paid");
        assert_eq!(sent(&mut line, 1, 50), "A:new");
    }

    #[test]
    fn a_connection_that_does_not_take_its_message_holds_up_no_other() {
        let mut line = line(1e6);
        push(&mut line, 0, A, "mine", New);
        push(&mut line, 0, B, "yours", New);
        line.ready(B);
        assert_eq!(line.poll(Time(1000)).unwrap().0, B);
        assert!(line.poll(Time(1000)).is_none(), "B takes one at a time, and A none");
        assert_eq!(line.next_timeout(Time(1000)), Time::NEVER);
        assert!(!line.is_idle(), "B has not written its message");
        // What is too old by then is left out.
        push(&mut line, 1000, A, "fresh", New);
        assert_eq!(sent(&mut line, 2000, 2001), "A:fresh");
        assert!(line.is_idle());
    }

    #[test]
    fn a_node_that_does_not_read_is_noticed_and_forgotten() {
        let mut line = line(1e6);
        let mib = Bytes::from(vec![0; 1 << 20]);
        assert!((0..8).all(|_| line.push(Time::ZERO, A, mib.clone(), Past(1))));
        assert!(!line.push(Time::ZERO, A, mib.clone(), Past(1)));
        line.close(A);
        line.ready(A);
        assert!(line.push(Time::ZERO, A, mib, Past(1)) && line.poll(Time(1)).is_none());
    }
}
