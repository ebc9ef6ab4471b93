//! A simulated peer: its request queue, its socket, its uplink and its cable.
//!
//! The peer decides the content and the time of its messages. The world carries them to the viewer.

use crate::events::{Control, Down, Up};
use crate::link::{MSS, Window};
use crate::rng::Rng;
use crate::spec::{Holds, PeerGroup};
use playswarm_logic::{BLOCK_BYTES, Bits, BlockRef, Layout, PieceIndex, Time};
use std::collections::{BTreeSet, VecDeque};

/// Time in which the uplink sends one part, in whole packets and at most a block. It is short
/// enough that streams interleave, and long enough to keep a run cheap.
const PART_S: f64 = 0.01;

/// Data in the socket.
enum Queued {
    Block { block: BlockRef, left: u32, bad: bool },
    Control(Control),
}

/// The next transmission of the uplink.
pub(crate) enum Send {
    /// Part of a block, with its duration.
    Part {
        takes_s: f64,
    },
    /// A message of no length.
    Control(Control),
    Nothing,
}

pub(crate) struct Peer {
    pub(crate) group: PeerGroup,
    pub(crate) join_at: Time,
    pub(crate) have: Bits,
    pub(crate) rng: Rng,
    pub(crate) rate: f64,
    pub(crate) window: Window,
    pub(crate) joined: bool,
    pub(crate) gone: bool,
    pub(crate) cut: bool,
    pub(crate) cuts: u32,
    pub(crate) cut_at: Time,
    pub(crate) choking: bool,
    requests: VecDeque<BlockRef>,
    socket: VecDeque<Queued>,
    socket_bytes: u64,
    sending: Option<u32>,
    /// Last arrival in each direction, since data on a connection stays in order.
    pub(crate) last_arrival: Time,
    pub(crate) last_delivery: Time,
    pub(crate) last_up: Time,
    /// Data held up by a cut.
    pub(crate) held_up: Vec<Up>,
    pub(crate) held_down: Vec<Down>,
    // The viewer's knowledge of the peer, for checking that the picker follows the protocol.
    pub(crate) known: Bits,
    pub(crate) choked: bool,
    pub(crate) interested: bool,
    pub(crate) asked: BTreeSet<BlockRef>,
    /// Outstanding GETs of a source over HTTP, each with its blocks.
    pub(crate) gets: VecDeque<VecDeque<BlockRef>>,
    /// The last request, and the number of the input that caused it.
    pub(crate) last_request: Option<(u64, BlockRef)>,
    /// Rejected blocks. A REJECT that answers a CANCEL looks like one of a later request for the
    /// same block.
    pub(crate) rejected: BTreeSet<BlockRef>,
    // Measurements.
    pub(crate) delivered: u64,
    pub(crate) left_at: Option<Time>,
}

impl Peer {
    pub(crate) fn new(group: &PeerGroup, layout: Layout, mut rng: Rng) -> Peer {
        let pieces = layout.pieces();
        let have = match group.holds {
            Holds::All => Bits::full(pieces),
            Holds::Head(share) => {
                let mut have = Bits::new(pieces);
                (0..(f64::from(pieces) * share).ceil() as u32).for_each(|i| {
                    have.set(i, true);
                });
                have
            }
            Holds::Share(share) | Holds::Growing { share, .. } => {
                let mut have = Bits::new(pieces);
                for i in 0..pieces {
                    if rng.chance(share) {
                        have.set(i, true);
                    }
                }
                have
            }
        };
        let join_at = Time::from_secs_f64(rng.between(group.join_s.0, group.join_s.1));
        let join_at = if group.standby { Time::NEVER } else { join_at };
        Peer {
            join_at,
            have,
            rng,
            rate: group.rate,
            window: Window::new(2.0 * group.delay_s, group.slow_start),
            joined: false,
            gone: false,
            cut: false,
            cuts: 0,
            cut_at: Time::ZERO,
            choking: true,
            requests: VecDeque::new(),
            socket: VecDeque::new(),
            socket_bytes: 0,
            sending: None,
            last_arrival: Time::ZERO,
            last_delivery: Time::ZERO,
            last_up: Time::ZERO,
            held_up: Vec::new(),
            held_down: Vec::new(),
            known: Bits::new(pieces),
            choked: true,
            interested: true,
            asked: BTreeSet::new(),
            gets: VecDeque::new(),
            last_request: None,
            rejected: BTreeSet::new(),
            delivered: 0,
            left_at: None,
            group: group.clone(),
        }
    }

    pub(crate) fn is_http(&self) -> bool {
        self.group.http.is_some()
    }

    /// Returns whether each request that it will not answer is rejected.
    pub(crate) fn rejects(&self) -> bool {
        self.group.fast || self.is_http()
    }

    /// Notes that the block came or was rejected.
    pub(crate) fn answered(&mut self, block: BlockRef) {
        self.asked.remove(&block);
        for get in &mut self.gets {
            get.retain(|b| *b != block);
        }
        self.gets.retain(|get| !get.is_empty());
    }

    pub(crate) fn rtt(&self) -> f64 {
        2.0 * self.group.delay_s
    }

    /// Returns its capacity: its uplink, or the rate that loss permits (Mathis and others 1997).
    pub(crate) fn capacity(&self) -> f64 {
        let share = self.group.choke.map_or(1.0, |c| c.open);
        let loss = self.group.loss;
        let most = if loss > 0.0 { 1.22 * MSS / (self.rtt().max(0.001) * loss.sqrt()) } else { f64::INFINITY };
        self.rate.min(most) * share
    }

    /// Handles a message of the viewer.
    pub(crate) fn take(&mut self, up: Up) {
        match up {
            Up::Request(_) if !self.group.answers => {}
            Up::Request(block) if self.choking || !self.have.get(block.piece.0) => {
                if self.rejects() {
                    self.say(Control::Reject(block));
                }
            }
            Up::Request(block) => {
                if self.is_http() || self.requests.len() < self.group.max_requests as usize {
                    self.requests.push_back(block);
                } else if self.group.fast {
                    self.say(Control::Reject(block));
                }
            }
            Up::Cancel(block) => {
                if self.group.honours_cancel
                    && !self.is_http()
                    && let Some(i) = self.requests.iter().position(|&b| b == block)
                {
                    self.requests.remove(i);
                    if self.group.fast {
                        self.say(Control::Reject(block));
                    }
                }
            }
        }
    }

    /// Queues a message behind the data in the socket.
    pub(crate) fn say(&mut self, control: Control) {
        self.socket.push_back(Queued::Control(control));
    }

    /// Chokes or unchokes the viewer. The data in the socket is still sent. The queued requests are
    /// dropped or, with BEP 6, rejected.
    pub(crate) fn choke(&mut self, choke: bool) {
        if self.choking == choke {
            return;
        }
        self.choking = choke;
        if choke {
            self.say(Control::Choke);
            let dropped: Vec<BlockRef> = self.requests.drain(..).collect();
            if self.rejects() {
                dropped.into_iter().for_each(|block| self.say(Control::Reject(block)));
            }
        } else {
            self.say(Control::Unchoke);
        }
    }

    /// Adds a random missing piece, and returns it.
    pub(crate) fn grow(&mut self) -> Option<PieceIndex> {
        let lacking = u64::from(self.have.len() - self.have.count());
        if lacking == 0 {
            return None;
        }
        let nth = self.rng.below(lacking) as usize;
        let piece = (0..self.have.len()).filter(|&i| !self.have.get(i)).nth(nth)?;
        self.have.set(piece, true);
        Some(PieceIndex(piece))
    }

    fn fill_socket(&mut self, layout: Layout) {
        let most = ((self.rate * self.group.buffered_s) as u64).max(1);
        while self.socket_bytes < most
            && let Some(block) = self.requests.pop_front()
        {
            let left = layout.block_bytes(block);
            let bad = self.group.lies > 0.0 && self.rng.chance(self.group.lies);
            self.socket_bytes += u64::from(left);
            self.socket.push_back(Queued::Block { block, left, bad });
        }
    }

    /// Returns the next transmission of the uplink, if it is free.
    pub(crate) fn next_send(&mut self, now: Time, layout: Layout) -> Send {
        if self.sending.is_some() || self.gone {
            return Send::Nothing;
        }
        self.fill_socket(layout);
        match self.socket.front() {
            None => Send::Nothing,
            Some(&Queued::Control(control)) => {
                self.socket.pop_front();
                Send::Control(control)
            }
            Some(&Queued::Block { left, .. }) => {
                let room = self.window.room(now);
                if room < MSS.min(f64::from(left)) {
                    return Send::Nothing;
                }
                let rate = self.rate.max(1000.0);
                let part = ((rate * PART_S / MSS).round().max(1.0) * MSS).min(f64::from(BLOCK_BYTES)).min(room);
                let bytes = left.min(part as u32);
                self.sending = Some(bytes);
                self.window.sent(bytes);
                Send::Part { takes_s: f64::from(bytes) / rate }
            }
        }
    }

    /// Completes the part being sent.
    pub(crate) fn sent(&mut self) -> Option<Down> {
        let bytes = self.sending.take()?;
        let Some(Queued::Block { block, left, bad }) = self.socket.front_mut() else { return None };
        *left -= bytes;
        let down = Down::Data { block: *block, bytes, last: *left == 0, bad: *bad };
        if *left == 0 {
            self.socket.pop_front();
        }
        self.socket_bytes -= u64::from(bytes);
        Some(down)
    }

    /// Returns when data that leaves now arrives, and whether it was lost once on its way.
    pub(crate) fn arrival(&mut self, now: Time, bytes: u32) -> (Time, bool) {
        let packets = f64::from(bytes) / MSS;
        let lost = self.group.loss > 0.0 && bytes > 0 && self.rng.chance(1.0 - (1.0 - self.group.loss).powf(packets));
        let again = if lost { self.rtt() } else { 0.0 };
        let jitter = if self.group.jitter_s > 0.0 { self.rng.between(0.0, self.group.jitter_s) } else { 0.0 };
        self.last_arrival = self.last_arrival.max(now.plus_secs(self.group.delay_s + jitter + again));
        (self.last_arrival, lost)
    }

    /// Returns when data that the viewer sends now reaches the peer.
    pub(crate) fn up_arrival(&mut self, now: Time) -> Time {
        let jitter = if self.group.jitter_s > 0.0 { self.rng.between(0.0, self.group.jitter_s) } else { 0.0 };
        self.last_up = self.last_up.max(now.plus_secs(self.group.delay_s + jitter));
        self.last_up
    }
}
