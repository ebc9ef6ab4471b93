//! A live channel at one node, whole: its place in the trees, its packets and its head.
//!
//! The [relay](crate::relay) decides who feeds whom, and sees numbers only. The
//! [receiver](crate::stripe::Receiver) verifies packets and gives out the stream. This machine
//! joins them: it reads and writes the messages of connections, passes each new packet on to the
//! children of its stripe, makes the packets of a whole group that did not arrive, and hands heads
//! from node to node. A source is a node whose packets come from itself.
//!
//! The driver keeps sockets and the clock. One machine serves one channel.

mod api;
mod heads;
mod line;
mod minutes;
mod source;
#[cfg(test)]
mod tests;
mod titles;

pub use api::{Config, Input, Output, Urgency};
pub use line::Line;
pub use source::{Cast, Source};

use crate::relay::{self, Relay};
use crate::stripe::{self, Receiver, assembler};
use crate::{PeerKey, Time};
use bytes::Bytes;
use heads::Heads;
use minutes::{Minutes, Taken};
use playswarm_proto::live::message::{From, MAX_LIVE_BYTES, Message, Wanted};
use playswarm_proto::live::{
    ChannelKey, Group, Head, NodeId, Packet, SignedBeacon, SignedHead, SignedMinute, SignedTitle, Stripes,
};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

/// The connection from which a source's own packets come.
const MYSELF: PeerKey = PeerKey(u32::MAX);
/// Most groups whose passed-on packets are remembered.
const MAX_PASSED: usize = 2048;
/// Rate that is assumed if the head has none, bytes per second.
const ASSUMED_BYTES_PER_S: u32 = 375_000;
/// Bytes of a packet besides its data, as they travel: signature, proof, frame and headers.
const PACKET_BYTES: f64 = 210.0;

/// The state machine of a channel; see the [module](self).
#[derive(Debug)]
pub struct Channel {
    key: ChannelKey,
    relay: Relay,
    receiver: Receiver,
    heads: Heads,
    minutes: Minutes,
    /// The newest title of the present cast.
    title: Option<SignedTitle>,
    source: Option<Source>,
    /// Packets of recent groups that were passed on, whether they arrived or were made here.
    passed: BTreeMap<u64, Stripes>,
    outputs: VecDeque<Output>,
}

impl Channel {
    /// Creates the machine of a viewer or relay. `port` is the port at which others can dial it, 0
    /// if they can't.
    pub fn new(now: Time, key: ChannelKey, config: &Config, node: NodeId, port: u16) -> Channel {
        Channel::with(key, config, Relay::new(now, config.relay.clone(), node, port), None)
    }

    /// Creates the machine of a source, which is on air at once.
    pub fn source(now: Time, source: Source, config: &Config, node: NodeId, port: u16) -> Channel {
        let head = source.head();
        let relay = Relay::source(now, config.relay.clone(), node, port, trees_of(head.head()));
        let mut channel = Channel::with(head.head().key, config, relay, Some(source));
        channel.receiver.handle(now, stripe::Input::Head(head));
        channel.drain(now);
        channel
    }

    fn with(key: ChannelKey, config: &Config, relay: Relay, source: Option<Source>) -> Channel {
        Channel {
            key,
            relay,
            receiver: Receiver::new(key, config.stripe.clone()),
            heads: Heads::default(),
            minutes: Minutes::default(),
            title: None,
            source,
            passed: BTreeMap::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Handles an event at time `now`, which never goes back.
    pub fn handle(&mut self, now: Time, input: Input) {
        match input {
            Input::Heard(peer, bytes) => self.heard(now, peer, bytes),
            Input::Left(peer) => {
                self.heads.left(peer);
                self.relay.handle(now, relay::Input::Left(peer));
            }
            Input::Relay(input) => self.relay.handle(now, input),
            Input::Cast(event) => {
                if let Some(source) = &mut self.source {
                    source.handle(now, event);
                }
            }
            Input::Timeout => {
                if let Some(source) = &mut self.source {
                    source.handle(now, Cast::Timeout);
                }
                self.receiver.handle(now, stripe::Input::Timeout);
                self.relay.handle(now, relay::Input::Timeout);
            }
        }
        self.drain(now);
    }

    /// Returns the next action.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns the latest time for a timeout input.
    pub fn next_timeout(&self) -> Time {
        let source = self.source.as_ref().map_or(Time::NEVER, Source::next_timeout);
        self.relay.next_timeout().min(self.receiver.next_timeout()).min(source)
    }

    /// Returns the channel's key.
    pub fn key(&self) -> ChannelKey {
        self.key
    }

    /// Returns the node's place in the trees.
    pub fn relay(&self) -> &Relay {
        &self.relay
    }

    /// Returns the newest head.
    pub fn head(&self) -> Option<&SignedHead> {
        self.receiver.head()
    }

    /// Returns the head that applies to a group.
    pub fn head_of(&self, group: &Group) -> Option<&SignedHead> {
        self.receiver.head_of(group.revision)
    }

    /// Returns the head of the present cast with this revision, if it is still known.
    pub fn head_of_revision(&self, revision: u8) -> Option<&SignedHead> {
        self.receiver.head_of(revision)
    }

    /// Returns the minutes of the present cast's archive that are known, in order.
    pub fn minutes(&self) -> impl Iterator<Item = &SignedMinute> {
        self.minutes.known()
    }

    /// Returns the group with which a player begins, this much behind the newest.
    pub fn start(&self, margin_s: f64) -> Option<u64> {
        self.receiver.start(margin_s)
    }

    /// Returns a group and its bytes, if all of it is here.
    pub fn read(&self, group: u64) -> Option<(&Group, &Bytes)> {
        self.receiver.buffer().read(group)
    }

    /// Returns the number of the oldest group of which something is held.
    pub fn oldest(&self) -> Option<u64> {
        Some(self.receiver.buffer().span()?.0)
    }

    /// Returns the number of the next group to be given out.
    pub fn next(&self) -> Option<u64> {
        self.receiver.assembler().next()
    }

    /// Returns the counts of packets.
    pub fn counts(&self) -> stripe::Counts {
        self.receiver.counts()
    }

    /// Returns when the first packet came that was verified and new.
    pub fn first_packet(&self) -> Option<Time> {
        self.receiver.first_packet()
    }

    /// Returns what a source publishes on the DHT: that it is on air or no longer, and that it can be
    /// dialled at these addresses. `None` at other nodes.
    pub fn beacon(&self, sequence: i64, on_air: bool, at: Vec<SocketAddr>) -> Option<SignedBeacon> {
        Some(self.source.as_ref()?.beacon(sequence, on_air, at))
    }

    fn heard(&mut self, now: Time, peer: PeerKey, bytes: Bytes) {
        let message = match Message::decode(bytes) {
            Ok(Some(message)) => message,
            Ok(None) => return,
            Err(_) => return self.ban(now, peer),
        };
        match message {
            Message::Head { part, parts, bytes } => {
                let Some(bytes) = self.heads.take(peer, part, parts, bytes) else { return };
                match SignedHead::verify(bytes, &self.key) {
                    Ok(head) => self.take_head(now, peer, head),
                    Err(_) => self.ban(now, peer),
                }
            }
            Message::Packet(packet) => self.receiver.handle(now, stripe::Input::Packet(peer, packet)),
            Message::NeedHead => {
                self.introduce(peer, true);
            }
            Message::Join(join) => {
                // The answer is of use only with the head, so that comes first.
                self.introduce(peer, false);
                self.relay.handle(now, relay::Input::Heard(peer, Message::Join(join)));
            }
            Message::Minutes(minutes) => self.take_minutes(now, peer, minutes),
            Message::Title(title) => self.take_title(now, peer, title),
            message => self.relay.handle(now, relay::Input::Heard(peer, message)),
        }
    }

    /// Takes a head that the source signed. A node that is behind gets ours.
    fn take_head(&mut self, now: Time, peer: PeerKey, head: SignedHead) {
        let cast = head.head().cast;
        match &mut self.source {
            Some(source) => source.meet(now, head.head()),
            None => self.receiver.handle(now, stripe::Input::Head(head)),
        }
        if self.receiver.head().is_some_and(|ours| ours.head().cast != cast) {
            self.introduce(peer, false);
        }
    }

    /// Sends the head to a node, also `again`, and the title with it. The minutes go with the first one.
    fn introduce(&mut self, peer: PeerKey, again: bool) {
        let is_new = !self.heads.knows(peer);
        if again {
            self.heads.forget(peer);
        }
        self.send_head(peer);
        if !self.heads.knows(peer) {
            return;
        }
        if is_new {
            self.send_minutes([peer].into_iter(), self.minutes.known().copied().collect());
        }
        if is_new || again {
            self.send_title([peer].into_iter());
        }
    }

    /// Keeps minutes that the source signed, and passes those on that are new.
    fn take_minutes(&mut self, now: Time, peer: PeerKey, minutes: Vec<SignedMinute>) {
        let Some(cast) = self.receiver.head().map(|head| head.head().cast) else { return };
        let mut new = Vec::new();
        for signed in minutes {
            match self.minutes.take(&self.key, cast, signed) {
                Taken::New => new.push(signed),
                Taken::Dropped => {}
                Taken::Forged => {
                    self.ban(now, peer);
                    break;
                }
            }
        }
        self.outputs.extend(new.iter().map(|signed| Output::Minute(signed.minute)));
        let others: Vec<PeerKey> = self.heads.told().filter(|other| *other != peer).collect();
        self.send_minutes(others.into_iter(), new);
    }

    fn send_minutes(&mut self, peers: impl Iterator<Item = PeerKey>, minutes: Vec<SignedMinute>) {
        if minutes.is_empty() {
            return;
        }
        let bytes = Bytes::from(Message::Minutes(minutes).encode());
        self.outputs.extend(peers.map(|peer| Output::Send(peer, bytes.clone(), Urgency::Control)));
    }

    /// A node sent what no honest node sends.
    fn ban(&mut self, now: Time, peer: PeerKey) {
        self.outputs.push_back(Output::Ban(peer));
        self.heads.left(peer);
        self.relay.handle(now, relay::Input::Left(peer));
    }

    /// Sends the newest head to a node that does not have it from us.
    fn send_head(&mut self, peer: PeerKey) {
        let Some(head) = self.receiver.head() else { return };
        for message in self.heads.send(peer, head) {
            self.outputs.push_back(Output::Send(peer, message.encode().into(), Urgency::Control));
        }
    }

    fn drain(&mut self, now: Time) {
        loop {
            if let Some(output) = self.receiver.poll() {
                self.received(now, output);
            } else if let Some(made) = self.source.as_mut().and_then(Source::poll) {
                match made {
                    source::Made::Head(head) => self.receiver.handle(now, stripe::Input::Head(head)),
                    source::Made::Packet(packet) => self.receiver.handle(now, stripe::Input::Packet(MYSELF, packet)),
                    source::Made::Minute(minute) => self.take_minutes(now, MYSELF, vec![minute]),
                    source::Made::Title(title) => self.take_title(now, MYSELF, title),
                }
            } else if let Some(output) = self.relay.poll() {
                self.decided(output);
            } else {
                return;
            }
        }
    }

    fn received(&mut self, now: Time, output: stripe::Output) {
        match output {
            stripe::Output::Head { new_cast } => {
                if let Some(head) = self.receiver.head() {
                    self.relay.handle(now, relay::Input::Channel(trees_of(head.head())));
                }
                if new_cast {
                    self.passed.clear();
                    self.minutes.clear();
                    self.title = None;
                    // Their bytes are gone.
                    self.outputs.retain(|output| !matches!(output, Output::Ready { .. }));
                    self.relay.handle(now, relay::Input::Next(None));
                }
                let peers: Vec<PeerKey> = self.heads.told().collect();
                peers.into_iter().for_each(|peer| self.send_head(peer));
                self.outputs.push_back(Output::Head { new_cast });
            }
            stripe::Output::PassOn(from, packet) => {
                let (stripe, group) = (packet.index, packet.group.number);
                self.relay.handle(now, relay::Input::Arrived { from, stripe, group });
                self.pass_on(&packet, Some(from));
            }
            stripe::Output::Offence(peer, _) => self.ban(now, peer),
            stripe::Output::NeedHead(peer) => {
                self.outputs.push_back(Output::Send(peer, Message::NeedHead.encode().into(), Urgency::Control));
            }
            stripe::Output::Behind(MYSELF) => {}
            stripe::Output::Behind(peer) => self.introduce(peer, false),
            stripe::Output::Restored { group } => self.make_up(group),
            stripe::Output::WrongParity { group } => self.outputs.push_back(Output::WrongParity { group }),
            stripe::Output::Group(output) => self.ordered(now, output),
        }
    }

    fn ordered(&mut self, now: Time, output: assembler::Output) {
        match output {
            assembler::Output::Ready { group } => {
                self.make_up(group);
                self.relay.handle(now, relay::Input::Next(Some(group.saturating_add(1))));
                self.outputs.push_back(Output::Ready { group });
            }
            assembler::Output::Want { group, have, lacks } => {
                let Some(shape) = self.receiver.head().map(|head| head.head().shape) else { return };
                let missing = Stripes(!have).and(Stripes::first(shape.packets()));
                let lacks = lacks.unwrap_or(shape.data() as u8);
                self.relay.handle(now, relay::Input::Late { group, missing, lacks });
            }
            assembler::Output::Unneeded { below } => self.relay.handle(now, relay::Input::Unneeded(below)),
            assembler::Output::Skip { from, to } => {
                self.relay.handle(now, relay::Input::Next(Some(to)));
                self.outputs.push_back(Output::Skip { from, to });
            }
            assembler::Output::Ended => self.outputs.push_back(Output::Ended),
        }
    }

    fn decided(&mut self, output: relay::Output) {
        match output {
            relay::Output::Tell(peer, message) => {
                self.outputs.push_back(Output::Send(peer, message.encode().into(), Urgency::Control));
            }
            relay::Output::Serve { peer, stripe, from } => self.serve(peer, stripe, from),
            relay::Output::Give(peer, wanted) => self.give(peer, &wanted),
            relay::Output::Close(peer) => {
                self.heads.left(peer);
                self.outputs.push_back(Output::Close(peer));
            }
            relay::Output::Dial(addr) => self.outputs.push_back(Output::Dial(addr)),
            relay::Output::Find => self.outputs.push_back(Output::Find),
            relay::Output::Event(event) => self.outputs.push_back(Output::Event(event)),
            relay::Output::Done => self.outputs.push_back(Output::Done),
        }
    }

    /// Passes a packet on to the children of its stripe, once.
    fn pass_on(&mut self, packet: &Packet, except: Option<PeerKey>) {
        let passed = self.passed.entry(packet.group.number).or_default();
        if passed.has(packet.index) {
            return;
        }
        passed.add(packet.index);
        if self.passed.len() > MAX_PASSED {
            self.passed.pop_first();
        }
        let children = self.relay.feeds(packet.index);
        if children.iter().any(|child| Some(*child) != except) {
            // The same bytes for all.
            let bytes = Bytes::from(Message::Packet(packet.clone()).encode());
            for child in children.iter().filter(|child| Some(**child) != except) {
                self.outputs.push_back(Output::Send(*child, bytes.clone(), Urgency::New));
            }
        }
    }

    /// Makes the packets of a whole group that did not arrive, for the children of their stripes.
    fn make_up(&mut self, group: u64) {
        let Some((facts, _)) = self.receiver.buffer().read(group) else { return };
        let Some(shape) = self.receiver.head_of(facts.revision).map(|head| head.head().shape) else { return };
        let passed = self.passed.get(&group).copied().unwrap_or_default();
        for stripe in Stripes::first(shape.packets()).iter().filter(|stripe| !passed.has(*stripe)) {
            if !self.relay.feeds(stripe).is_empty()
                && let Some(packet) = self.receiver.packet(group, stripe)
            {
                self.pass_on(&packet, None);
            }
        }
    }

    /// Sends a new child the past of a stripe.
    fn serve(&mut self, peer: PeerKey, stripe: u8, from: From) {
        let margin_s = self.receiver.head().map_or(1.0, |head| f64::from(head.head().margin_ms) / 1000.0);
        let Some((oldest, newest)) = self.receiver.buffer().span() else { return };
        let groups = match from {
            // It grows a margin old before the child plays it, and shows the child where to begin.
            // What follows is asked of those who have room.
            From::Start => match self.receiver.start(margin_s / 2.0) {
                Some(first) => first..=first,
                None => return,
            },
            From::Group(group) => group.max(oldest)..=newest,
        };
        for group in groups {
            self.send_past(peer, group, stripe);
        }
    }

    fn give(&mut self, peer: PeerKey, wanted: &[Wanted]) {
        for wanted in wanted {
            for stripe in wanted.packets.iter() {
                self.send_past(peer, wanted.group, stripe);
            }
        }
    }

    fn send_past(&mut self, peer: PeerKey, group: u64, stripe: u8) {
        if let Some(packet) = self.receiver.packet(group, stripe) {
            let bytes = Message::Packet(packet).encode();
            debug_assert!(bytes.len() <= MAX_LIVE_BYTES);
            self.outputs.push_back(Output::Send(peer, bytes.into(), Urgency::Past(group)));
        }
    }
}

/// Returns what of a head concerns the trees.
fn trees_of(head: &Head) -> relay::Channel {
    let (data, packets) = (head.shape.data() as f64, head.shape.packets());
    let rate = if head.bytes_per_s == 0 { ASSUMED_BYTES_PER_S } else { head.bytes_per_s };
    let groups_per_s = 1000.0 / f64::from(head.group_ms.max(1));
    relay::Channel {
        stripes: packets as u8,
        needed: head.shape.data() as u8,
        stripe_bytes_per_s: f64::from(rate) / data + groups_per_s * PACKET_BYTES,
    }
}
