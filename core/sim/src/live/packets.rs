//! The packet grain: lines, packets and the order of groups.

use super::node::{Sending, What};
use super::scenario::{Grain, Start, Transport};
use super::world::{Event, PACKET_BYTES, World};
use playswarm_logic::relay::Input;
use playswarm_logic::stripe::Arrival;
use playswarm_logic::stripe::assembler::{self, Facts};
use playswarm_logic::{PeerKey, Time};
use playswarm_proto::live::Stripes;
use playswarm_proto::live::message::{From, Wanted};

/// Time after which a packet that still waits for the line is not sent, seconds.
const STALE_S: f64 = 2.0;
/// Bytes of a segment, and the constant of the rate that loss allows (Mathis and others, 1997).
const SEGMENT_BYTES: f64 = 1460.0;
const MATHIS: f64 = 1.22;
/// Segments that a new connection may send before the first acknowledgement (RFC 6928).
const FIRST_WINDOW: u32 = 10;
/// Round trips until a lost packet is sent again.
const RESEND_RTT: f64 = 1.25;

impl World<'_> {
    pub(super) fn make_group(&mut self, number: u64) {
        let ms = self.scenario.group_ms();
        let each = ((self.scenario.restart_s * 1000.0) as u64 / ms).max(1);
        let facts = Facts {
            needed: self.scenario.trees.data,
            born_ms: (self.now.0 / 1000).saturating_sub(ms),
            restart: number.is_multiple_of(each),
            end: false,
        };
        self.events.push(self.now.plus_secs(ms as f64 / 1000.0), Event::Group(number + 1));
        let all = Stripes::first(usize::from(self.stripes));
        self.nodes[0].hold(number, facts).have = all.0;
        for stripe in all.iter() {
            self.pass_on(0, stripe, number, facts, None);
            self.nodes[0].relay.handle(self.now, Input::Arrived { from: PeerKey(0), stripe, group: number });
        }
        self.drain(0);
    }

    /// Passes a packet on to the children of its stripe.
    fn pass_on(&mut self, node: usize, stripe: u8, group: u64, facts: Facts, except: Option<PeerKey>) {
        let held = self.nodes[node].hold(group, facts);
        if held.passed & 1 << stripe != 0 {
            return;
        }
        held.passed |= 1 << stripe;
        let mut next = 0;
        while let Some(peer) = self.nodes[node].relay.feeds(stripe).get(next).copied() {
            next += 1;
            if Some(peer) != except {
                self.send_packet(node, peer, stripe, group, facts, true);
            }
        }
    }

    fn send_packet(&mut self, node: usize, peer: PeerKey, stripe: u8, group: u64, facts: Facts, is_urgent: bool) {
        if !self.nodes[node].lies {
            let bytes = self.packet_bytes + PACKET_BYTES;
            self.send(node, peer, bytes, What::Packet(stripe, group, facts), is_urgent);
        }
    }

    pub(super) fn send(&mut self, node: usize, peer: PeerKey, bytes: usize, what: What, is_urgent: bool) {
        let sending = Sending { peer, bytes, since: self.now, what };
        if self.scenario.grain == Grain::Trees {
            return self.deliver(node, sending, self.now);
        }
        let sender = &mut self.nodes[node];
        match sending.what {
            What::Packet(_, group, _) if !is_urgent => sender.push_past(group, sending),
            _ => sender.urgent.push_back(sending),
        }
        if !sender.is_sending {
            self.use_line(node);
        }
    }

    /// Puts the next message or packet on a node's line.
    pub(super) fn use_line(&mut self, from: usize) {
        let now = self.now;
        let rate = self.line_rate(from);
        let sender = &mut self.nodes[from];
        sender.is_sending = false;
        let Some(next) = sender.pop_sending() else { return };
        let takes_s = next.bytes as f64 / rate;
        sender.is_sending = true;
        self.events.push(now.plus_secs(takes_s), Event::Line(from));
        if !matches!(next.what, What::Packet(..)) || now.since(next.since).as_secs_f64() <= STALE_S {
            self.deliver(from, next, now.plus_secs(takes_s));
        }
    }

    /// Takes bytes that have left the line at `left` to the other end.
    fn deliver(&mut self, from: usize, sending: Sending, left: Time) {
        let Some(end) = self.nodes[from].ends.get(&sending.peer).copied() else { return };
        self.nodes[from].counted.sent += sending.bytes as u64;
        let Some(when) = self.arrival(from, &sending, left) else { return };
        let (at, peer) = (end.node, end.peer);
        let event = match sending.what {
            What::Message(message) => Event::Message { at, peer, message, bytes: sending.bytes },
            What::Packet(stripe, group, facts) => Event::Packet { at, peer, stripe, group, facts },
            What::End => {
                self.nodes[from].ends.remove(&sending.peer);
                Event::Left { at, peer }
            }
        };
        self.events.push(when, event);
    }

    /// Returns when bytes arrive; `None` if they are lost.
    fn arrival(&mut self, from: usize, sending: &Sending, left: Time) -> Option<Time> {
        let end = *self.nodes[from].ends.get(&sending.peer)?;
        let delay_s = self.delay_s(from, end.node);
        let loss = self.scenario.loss;
        if loss <= 0.0 || self.scenario.grain == Grain::Trees {
            let left = self.begin_slowly(from, sending, left, 2.0 * delay_s)?;
            return Some(left.plus_secs(delay_s));
        }
        let rtt_s = 2.0 * delay_s;
        let rate = MATHIS * SEGMENT_BYTES / (rtt_s * loss.sqrt());
        let free_at = left.max(end.free_at).plus_secs(sending.bytes as f64 / rate);
        // A packet spans several segments, and each may be lost.
        let segments = (sending.bytes as f64 / SEGMENT_BYTES).ceil() as i32;
        let lost = 1.0 - (1.0 - loss).powi(segments);
        let is_stream = self.scenario.transport == Transport::Tcp || !matches!(sending.what, What::Packet(..));
        let mut when = free_at.plus_secs(delay_s);
        let mut is_lost = self.rng.chance(lost);
        let arrives = is_stream || !is_lost;
        while is_stream && is_lost {
            when = when.plus_secs(rtt_s * RESEND_RTT);
            // As a rule one segment of several is lost, and sent again alone.
            is_lost = self.rng.chance(loss);
        }
        let end = self.nodes[from].ends.get_mut(&sending.peer)?;
        end.free_at = free_at;
        if is_stream {
            when = when.max(end.last_at);
            end.last_at = when;
        }
        arrives.then_some(when)
    }

    /// Returns when bytes leave a connection whose window doubles with each round trip.
    fn begin_slowly(&mut self, from: usize, sending: &Sending, left: Time, rtt_s: f64) -> Option<Time> {
        let start = self.scenario.start;
        if start == Start::Free || self.scenario.grain == Grain::Trees {
            return Some(left);
        }
        let end = self.nodes[from].ends.get_mut(&sending.peer)?;
        let is_message = matches!(sending.what, What::Message(_));
        let shares = start == Start::Joined && is_message && end.message_since == Some(sending.since);
        end.message_since = is_message.then_some(sending.since);
        if !shares {
            end.segments += (sending.bytes as f64 / SEGMENT_BYTES).ceil() as u32;
        }
        // Ten segments, then twenty more, then forty.
        let rounds = (end.segments.saturating_sub(1) / FIRST_WINDOW + 1).ilog2();
        let may = end.began.get_or_insert(left).plus_secs(rtt_s * f64::from(rounds));
        end.last_at = end.last_at.max(left).max(may);
        Some(end.last_at)
    }

    pub(super) fn take_packet(&mut self, at: usize, peer: PeerKey, stripe: u8, group: u64, facts: Facts) {
        let now = self.now;
        let node = &mut self.nodes[at];
        if !node.alive || !node.is_open(peer) {
            return;
        }
        node.counted.received += (self.packet_bytes + PACKET_BYTES) as u64;
        node.first_packet.get_or_insert(now);
        match node.assembler.arrival(group, stripe) {
            Arrival::New => {}
            Arrival::Duplicate => {
                node.counted.duplicates += 1;
                return;
            }
            Arrival::Late => return,
        }
        let held = node.hold(group, facts);
        let was_whole = held.is_whole();
        held.have |= 1 << stripe;
        let heals = !was_whole && held.is_whole();
        node.relay.handle(now, Input::Arrived { from: peer, stripe, group });
        self.pass_on(at, stripe, group, facts, Some(peer));
        if heals {
            // The other packets can be made now.
            let all = Stripes::first(usize::from(self.stripes));
            for made in all.iter() {
                self.pass_on(at, made, group, facts, None);
            }
        }
        self.order(at, assembler::Input::Arrived { group, index: stripe, facts });
        self.drain(at);
    }

    pub(super) fn order(&mut self, at: usize, input: assembler::Input) {
        let now = self.now;
        self.nodes[at].assembler.handle(now, input);
        while let Some(output) = self.nodes[at].assembler.poll() {
            let node = &mut self.nodes[at];
            match output {
                assembler::Output::Ready { group } => {
                    if let Some(held) = node.groups.get(&group) {
                        node.player.ready(now, Time(held.facts.born_ms * 1000));
                    }
                    node.relay.handle(now, Input::Next(Some(group + 1)));
                }
                assembler::Output::Want { group, have, lacks } if self.scenario.repair => {
                    let missing = Stripes(!have).and(Stripes::first(usize::from(self.stripes)));
                    let lacks = lacks.unwrap_or(self.scenario.trees.data);
                    node.relay.handle(now, Input::Late { group, missing, lacks });
                }
                assembler::Output::Skip { from, to } => {
                    let lost_s = (to - from) as f64 * self.scenario.group_ms() as f64 / 1000.0;
                    node.player.skip(now, lost_s);
                    node.relay.handle(now, Input::Next(Some(to)));
                }
                assembler::Output::Unneeded { below } => node.relay.handle(now, Input::Unneeded(below)),
                _ => {}
            }
        }
    }

    /// Sends a new child the packets of a stripe that are here.
    pub(super) fn serve(&mut self, at: usize, peer: PeerKey, stripe: u8, from: From) {
        let groups = match from {
            From::Start => match self.nodes[at].start() {
                Some(first) => first..=first,
                None => return,
            },
            From::Group(group) => group..=u64::MAX,
        };
        let groups: Vec<(u64, Facts)> = (self.nodes[at].groups.range(groups))
            .filter(|(_, held)| held.is_whole() || held.have & 1 << stripe != 0)
            .map(|(number, held)| (*number, held.facts))
            .collect();
        for (group, facts) in groups {
            self.send_packet(at, peer, stripe, group, facts, false);
        }
    }

    /// Sends single packets that a neighbour lacks.
    pub(super) fn give(&mut self, at: usize, peer: PeerKey, wanted: &[Wanted]) {
        for wanted in wanted {
            let Some(held) = self.nodes[at].groups.get(&wanted.group) else { continue };
            let (facts, have, whole) = (held.facts, held.have, held.is_whole());
            for stripe in wanted.packets.iter().filter(|stripe| whole || have & 1 << stripe != 0) {
                self.send_packet(at, peer, stripe, wanted.group, facts, false);
            }
        }
    }
}
