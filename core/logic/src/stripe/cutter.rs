//! Cuts a stream into groups, at the source.

use crate::Time;
use bytes::{Bytes, BytesMut};
use playswarm_proto::live::{CodeId, MAX_DATA_BYTES, Shape};
use std::collections::VecDeque;
use std::time::Duration;

/// Bytes of stream that a packet should have, 4 KiB. Its proof and signature are then 4 % of it.
const GOOD_PACKET_BYTES: u64 = 4096;
/// Most bytes of stream in a packet, 16 KiB. A keyframe that arrives at once is cut into several
/// groups, so that relays pass on its first packets while the next are on their way.
const MOST_PACKET_BYTES: usize = 16 << 10;
/// Shortest and longest time in which a group is collected. A shorter one has packets that are
/// mostly proof; a longer one is delay that each viewer sees.
const GROUP_TIMES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(250));
/// Rate below which groups have 4 data packets instead of 8, so that these are not too small.
const SLOW_BYTES_PER_S: u64 = 64_000;

/// How a stream is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Packets of a group.
    pub shape: Shape,
    /// Longest time from a group's first byte to its last.
    pub group: Duration,
    /// Most bytes of stream in a packet.
    pub packet_bytes: usize,
}

impl Cut {
    /// Returns the cut that suits a stream of this rate: packets of about 4 KiB, one of parity, 4 of
    /// data for slow streams and 8 for others.
    pub fn of_rate(bytes_per_s: u64) -> Cut {
        let data = if bytes_per_s < SLOW_BYTES_PER_S { 4 } else { 8 };
        let shape = Shape::new(data, 1, CodeId::Xor).expect("these numbers of packets are possible");
        let millis = u64::from(data) * GOOD_PACKET_BYTES * 1000 / bytes_per_s.max(1);
        let group = Duration::from_millis(millis).clamp(GROUP_TIMES.0, GROUP_TIMES.1);
        Cut { shape, group, packet_bytes: MOST_PACKET_BYTES }
    }

    /// Returns the most bytes of a group.
    fn group_bytes(&self) -> usize {
        // An odd length would be rounded up to more than the packets may have.
        let packet = self.packet_bytes.clamp(2, MAX_DATA_BYTES) & !1;
        packet * self.shape.data()
    }
}

/// An event that the driver reports.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input {
    /// Bytes of the stream.
    Bytes {
        /// The bytes.
        bytes: Bytes,
        /// Whether a player can begin with the first of them. A group begins there then.
        restart: bool,
    },
    /// Cut differently from the next group on. What was collected becomes a group of the old cut.
    Cut(Cut),
    /// The stream ends.
    End,
    /// The time of [`Cutter::next_timeout`] has come.
    Timeout,
}

/// An action for the driver: send these bytes as a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Number of the group.
    pub number: u64,
    /// When its first byte came.
    pub begun: Time,
    /// The bytes.
    pub bytes: Bytes,
    /// Whether a player can begin with it.
    pub restart: bool,
    /// Whether the stream ends after it.
    pub end: bool,
    /// How it was cut.
    pub cut: Cut,
}

/// The state machine of the cutter. A group ends when its time is over, when it is full, before
/// bytes with which a player can begin, or with the stream.
#[derive(Clone, Debug)]
pub struct Cutter {
    cut: Cut,
    number: u64,
    collected: BytesMut,
    begun: Time,
    restart: bool,
    ended: bool,
    outputs: VecDeque<Output>,
}

impl Cutter {
    /// Creates a cutter whose first group has this number.
    pub fn new(cut: Cut, number: u64) -> Cutter {
        let (collected, outputs) = (BytesMut::new(), VecDeque::new());
        Cutter { cut, number, collected, begun: Time::ZERO, restart: false, ended: false, outputs }
    }

    /// Handles an event at time `now`, which never goes back.
    pub fn handle(&mut self, now: Time, input: Input) {
        if now >= self.next_timeout() {
            self.close(now, false);
        }
        match input {
            Input::Bytes { bytes, restart } if !self.ended => self.collect(now, &bytes, restart),
            Input::Cut(cut) => {
                self.close(now, false);
                self.cut = cut;
            }
            Input::End if !self.ended => {
                self.close(now, true);
                self.ended = true;
            }
            Input::Bytes { .. } | Input::End | Input::Timeout => {}
        }
    }

    /// Returns the next group.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns the time at which the group that is being collected ends.
    pub fn next_timeout(&self) -> Time {
        if self.collected.is_empty() { Time::NEVER } else { self.begun + self.cut.group }
    }

    fn collect(&mut self, now: Time, mut bytes: &[u8], restart: bool) {
        if restart && !bytes.is_empty() {
            self.close(now, false);
            self.restart = true;
        }
        while !bytes.is_empty() {
            if self.collected.is_empty() {
                self.begun = now;
            }
            let room = self.cut.group_bytes() - self.collected.len();
            let (part, rest) = bytes.split_at(room.min(bytes.len()));
            self.collected.extend_from_slice(part);
            bytes = rest;
            if self.collected.len() == self.cut.group_bytes() {
                self.close(now, false);
            }
        }
    }

    /// Ends the group. Only the last one of the stream may be empty.
    fn close(&mut self, now: Time, end: bool) {
        if self.collected.is_empty() && !end {
            return;
        }
        let begun = if self.collected.is_empty() { now } else { self.begun };
        let bytes = self.collected.split().freeze();
        let restart = std::mem::take(&mut self.restart);
        self.outputs.push_back(Output { number: self.number, begun, bytes, restart, end, cut: self.cut });
        self.number += 1;
    }
}
