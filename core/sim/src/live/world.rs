//! Plays a crowd from event to event: arrivals, departures, dials and messages.

use super::network::Map;
use super::node::{End, Node, What, address, at};
use super::report::Report;
use super::scenario::{Crowd, Departure, Grain, Lines, Scenario};
use super::size;
use super::trees::Scratch;
use crate::events::Queue;
use crate::rng::Rng;
use playswarm_logic::relay::{Channel, Config, Dialled, Event as Told, Input, Output, Relay};
use playswarm_logic::stripe::assembler::{self, Facts};
use playswarm_logic::stripe::{self, Assembler};
use playswarm_logic::{PeerKey, Time};
use playswarm_proto::live::NodeId;
use playswarm_proto::live::message::Message;
use std::net::SocketAddr;

/// Bytes of a packet besides its data: signature, proof, and the framing of three layers.
pub(super) const PACKET_BYTES: usize = 160 + 47;
/// Bytes of a message's framing.
const FRAME_BYTES: usize = 6 + 40;
/// Time that the connection to a dead node takes to fail beyond the delay, seconds: the reset of
/// its system.
const RESET_S: f64 = 0.001;
/// Time for which the source is on air before the first viewer comes, seconds.
pub(super) const BEFORE_S: f64 = 4.0;
/// Time between two looks at what waits for a node's line, seconds.
const LOOK_S: f64 = 0.5;
/// Least upload with which a node sends its requests, bytes a second.
const LEAST_UPLOAD: f64 = 32_000.0;

#[derive(Debug)]
pub(super) enum Event {
    Group(u64),
    Come,
    Go(usize, bool),
    Kill(f64),
    KillOne(usize, bool),
    Incoming { at: usize, peer: PeerKey, from: usize, there: PeerKey },
    Dialled { at: usize, addr: SocketAddr, how: Dialled },
    Message { at: usize, peer: PeerKey, message: Box<Message>, bytes: usize },
    Packet { at: usize, peer: PeerKey, stripe: u8, group: u64, facts: Facts },
    Left { at: usize, peer: PeerKey },
    Wake(usize),
    Line(usize),
    Look(usize),
}

/// Receives a line of a trace and its time.
pub type Trace<'a> = &'a mut dyn FnMut(Time, &str);

/// What a run does besides playing.
#[derive(Default)]
pub struct Options<'a> {
    /// Checks the invariants of a node after each of its inputs.
    pub check: bool,
    /// Receives every input and output of this node but beats.
    pub trace: Option<(usize, Trace<'a>)>,
}

pub(super) struct World<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) rng: Rng,
    pub(super) now: Time,
    pub(super) events: Queue<Event>,
    pub(super) nodes: Vec<Node>,
    pub(super) map: Map,
    pub(super) stripes: u8,
    pub(super) packet_bytes: usize,
    /// Requests for places that the source received in each second.
    pub(super) source_joins: Vec<u64>,
    /// Departures so far, and viewers that were below the departed in their trees.
    pub(super) departures: u64,
    pub(super) bereft: u64,
    pub(super) killed: Option<Time>,
    pub(super) scratch: Scratch,
    options: Options<'a>,
}

/// Plays a scenario.
///
/// # Errors
///
/// Returns a sentence if a machine violates an invariant.
pub fn run<'a>(scenario: &'a Scenario, seed: u64, options: Options<'a>) -> Result<Report, String> {
    let mut world = World::new(scenario, seed, options)?;
    let end = Time::from_secs_f64(scenario.lasts_s);
    while let Some((now, event)) = world.events.pop() {
        if now > end {
            break;
        }
        world.now = now;
        world.play(event)?;
    }
    Ok(world.report(seed))
}

impl<'a> World<'a> {
    fn new(scenario: &'a Scenario, seed: u64, options: Options<'a>) -> Result<World<'a>, String> {
        let stripes = scenario.trees.data + scenario.trees.parity;
        let group_s = scenario.group_ms() as f64 / 1000.0;
        let packet_bytes = (scenario.bytes_per_s * group_s / f64::from(scenario.trees.data)).ceil() as usize;
        let mut rng = Rng::new(seed);
        let map = Map::new(scenario.network, &mut rng.fork(u64::MAX));
        let mut world = World {
            scenario,
            now: Time::ZERO,
            events: Queue::default(),
            nodes: Vec::new(),
            map,
            stripes,
            packet_bytes,
            source_joins: vec![0; scenario.lasts_s as usize + 2],
            departures: 0,
            bereft: 0,
            killed: None,
            scratch: Scratch::default(),
            options,
            rng: Rng::new(rng.next()),
        };
        let config = world.relay_config();
        let channel = world.channel();
        let relay = Relay::source(Time::ZERO, config, NodeId(1), 6881, channel);
        let upload = channel.stripe_bytes_per_s * f64::from(stripes) * scenario.source_streams;
        // Beside the stripes that it feeds, a source answers requests.
        world.add(relay, upload / (1.0 - scenario.trees.relay.reserve_share))?;
        world.events.push(Time::from_secs_f64(0.01), Event::Group(0));
        world.schedule();
        Ok(world)
    }

    pub(super) fn channel(&self) -> Channel {
        let groups_per_s = 1000.0 / self.scenario.group_ms() as f64;
        Channel {
            stripes: self.stripes,
            needed: self.scenario.trees.data,
            stripe_bytes_per_s: groups_per_s * (self.packet_bytes + PACKET_BYTES) as f64,
        }
    }

    fn relay_config(&mut self) -> Config {
        Config { seed: self.rng.next(), ..self.scenario.trees.relay.clone() }
    }

    fn schedule(&mut self) {
        let count = self.scenario.viewers;
        for viewer in 0..count {
            let share = viewer as f64 / count as f64;
            let at_s = match self.scenario.crowd {
                Crowd::Within(s) => share * s,
                Crowd::Flash(s, _) if share < 0.5 => share * 2.0 * s,
                Crowd::Flash(s, rush) => s + (share - 0.5) * 2.0 * rush,
            };
            self.events.push(Time::from_secs_f64(BEFORE_S + at_s), Event::Come);
        }
        match self.scenario.departure {
            Departure::MassKill { at_s, share } => self.events.push(Time::from_secs_f64(at_s), Event::Kill(share)),
            Departure::One { at_s, depth, polite } => {
                self.events.push(Time::from_secs_f64(at_s), Event::KillOne(depth, polite));
            }
            _ => {}
        }
    }

    fn add(&mut self, relay: Relay, upload: f64) -> Result<usize, String> {
        let place = self.map.place(&mut self.rng.fork(self.nodes.len() as u64));
        let assembler = Assembler::new(stripe::Config::default());
        self.nodes.push(Node::new(self.now, relay, assembler, upload, place));
        let new = self.nodes.len() - 1;
        if self.scenario.grain == Grain::Packets {
            self.events.push(self.now.plus_secs(LOOK_S), Event::Look(new));
        }
        let known = if new == 0 { Lines::Known } else { self.scenario.lines };
        self.tell(
            new,
            match known {
                Lines::Known => Input::Upload(upload),
                Lines::Unknown => Input::UploadUnknown,
                Lines::Believed(bits) => Input::Upload(bits / 8.0),
            },
        )?;
        let path = self.map.path(&self.nodes[0].place, &self.nodes[new].place);
        if !path.is_empty() {
            self.tell(new, Input::Route(path.into_iter().map(|router| router as u32).collect()))?;
        }
        Ok(new)
    }

    fn come(&mut self) -> Result<(), String> {
        let config = self.relay_config();
        let reachable = !self.rng.chance(self.scenario.unreachable);
        let lies = self.rng.chance(self.scenario.liars);
        let draw = self.rng.unit();
        let mut sum = 0.0;
        let upload = self.scenario.uploads.iter().find(|(_, share)| {
            sum += share;
            draw < sum
        });
        let upload = upload.map_or(0.0, |(bits, _)| bits / 8.0);
        let id = NodeId(self.nodes.len() as u64 + 1);
        let relay = Relay::new(self.now, config, id, if reachable { 6881 } else { 0 });
        let new = self.add(relay, upload)?;
        (self.nodes[new].reachable, self.nodes[new].lies) = (reachable, lies);
        let stay = match self.scenario.departure {
            Departure::Killed(mean_s) => Some((mean_s, false)),
            Departure::Polite(mean_s) => Some((mean_s, true)),
            _ => None,
        };
        if let Some((mean_s, polite)) = stay {
            let stay_s = -mean_s * (1.0 - self.rng.unit()).ln();
            self.events.push(self.now.plus_secs(stay_s), Event::Go(new, polite));
        }
        self.tell(new, Input::Contact(address(0), None))
    }

    fn play(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Group(number) => {
                match self.scenario.grain {
                    Grain::Packets => self.make_group(number),
                    Grain::Trees => self.sample(number),
                }
                Ok(())
            }
            Event::Come => self.come(),
            Event::Go(node, polite) => self.go(node, polite),
            Event::Kill(share) => {
                self.kill(share);
                Ok(())
            }
            Event::KillOne(depth, polite) => self.kill_one(depth, polite),
            Event::Incoming { at, peer, from, there } if self.nodes[at].alive => {
                self.nodes[at].ends.insert(peer, End::new(from, there));
                self.tell(at, Input::Incoming(peer, address(from)))
            }
            Event::Incoming { .. } => Ok(()),
            Event::Dialled { at, addr, how } => self.dialled(at, addr, how),
            Event::Message { at, peer, message, bytes } => self.take_message(at, peer, message, bytes),
            Event::Line(node) => {
                self.use_line(node);
                Ok(())
            }
            Event::Look(node) => self.look(node),
            Event::Packet { at, peer, stripe, group, facts } => {
                self.take_packet(at, peer, stripe, group, facts);
                Ok(())
            }
            Event::Left { at, peer } => {
                let was_open = self.nodes[at].ends.remove(&peer).is_some_and(|end| !end.is_closed);
                if was_open && self.nodes[at].alive { self.tell(at, Input::Left(peer)) } else { Ok(()) }
            }
            Event::Wake(node) => {
                if !self.nodes[node].alive || self.nodes[node].wake > self.now {
                    return Ok(());
                }
                self.nodes[node].wake = Time::NEVER;
                if self.scenario.grain == Grain::Packets {
                    self.order(node, assembler::Input::Timeout);
                }
                self.tell(node, Input::Timeout)
            }
        }
    }

    /// Tells a node how long its data waits, as the engine does.
    fn look(&mut self, node: usize) -> Result<(), String> {
        if !self.nodes[node].alive {
            return Ok(());
        }
        self.events.push(self.now.plus_secs(LOOK_S), Event::Look(node));
        for (peer, wait_s) in self.nodes[node].waits(self.now) {
            self.tell(node, Input::Queue(peer, wait_s))?;
        }
        Ok(())
    }

    fn take_message(&mut self, at: usize, peer: PeerKey, message: Box<Message>, bytes: usize) -> Result<(), String> {
        if !self.nodes[at].alive || !self.nodes[at].is_open(peer) {
            return Ok(());
        }
        self.nodes[at].counted.received += bytes as u64;
        if at == 0
            && let Message::Join(join) = &*message
        {
            self.source_joins[self.now.as_secs_f64() as usize] += u64::from(!join.stripes.is_empty());
        }
        // The head comes before the answer.
        if !self.nodes[at].has_head && matches!(*message, Message::Accept(_) | Message::Redirect(_)) {
            self.nodes[at].has_head = true;
            let channel = self.channel();
            self.tell(at, Input::Channel(channel))?;
        }
        self.tell(at, Input::Heard(peer, *message))
    }

    pub(super) fn tell(&mut self, at: usize, input: Input) -> Result<(), String> {
        if let Some((node, trace)) = &mut self.options.trace
            && *node == at
            && !matches!(input, Input::Heard(_, Message::Beat(_)) | Input::Timeout)
        {
            trace(self.now, &format!("< {input:?}"));
        }
        self.nodes[at].relay.handle(self.now, input);
        self.drain(at);
        // After packets alone, what is due may still be open.
        if self.options.check && self.nodes[at].alive {
            let relay = &self.nodes[at].relay;
            relay.check_invariants(self.now).map_err(|why| format!("{:?} at {:?}: {why}", relay.node(), self.now))?;
        }
        Ok(())
    }

    pub(super) fn drain(&mut self, at: usize) {
        while let Some(output) = self.nodes[at].relay.poll() {
            if let Some((node, trace)) = &mut self.options.trace
                && *node == at
                && !matches!(output, Output::Tell(_, Message::Beat(_)))
            {
                trace(self.now, &format!("> {output:?}"));
            }
            self.carry_out(at, output);
        }
        let node = &mut self.nodes[at];
        let due = node.relay.next_timeout().min(node.assembler.next_timeout()).max(Time(self.now.0 + 1));
        if node.alive && due < node.wake {
            node.wake = due;
            self.events.push(due, Event::Wake(at));
        }
    }

    fn carry_out(&mut self, at: usize, output: Output) {
        match output {
            Output::Dial(addr) => self.dial(at, addr),
            Output::Close(peer) => self.close(at, peer),
            Output::Tell(peer, message) => {
                let bytes = size::bytes(&message) + FRAME_BYTES;
                self.nodes[at].counted.control += bytes as u64;
                self.send(at, peer, bytes, What::Message(Box::new(message)), true);
            }
            Output::Serve { peer, stripe, from } => self.serve(at, peer, stripe, from),
            Output::Give(peer, wanted) => self.give(at, peer, &wanted),
            Output::Event(Told::Joined { after_s, repaired, .. }) => self.joined(at, after_s, repaired),
            Output::Done => {
                self.nodes[at].alive = false;
                self.nodes[at].went.get_or_insert(self.now);
            }
            _ => {}
        }
    }

    /// A node has found a parent.
    fn joined(&mut self, at: usize, after_s: f64, repaired: bool) {
        let node = &mut self.nodes[at];
        match node.counted.parent_s {
            None => node.counted.parent_s = Some(after_s),
            Some(_) => node.counted.moves += u64::from(node.player.has_begun()),
        }
        if repaired {
            node.counted.repairs_s.push(after_s);
            node.counted.last_repair = Some(self.now);
        }
        if self.scenario.grain == Grain::Trees {
            self.begin(at);
        }
    }

    /// Returns what a node's line carries, bytes a second.
    pub(super) fn line_rate(&self, node: usize) -> f64 {
        self.scenario.line.map_or(self.nodes[node].upload, |bits| bits / 8.0).max(LEAST_UPLOAD)
    }

    pub(super) fn delay_s(&self, from: usize, to: usize) -> f64 {
        self.map.delay_s(&self.nodes[from].place, &self.nodes[to].place)
    }

    fn dial(&mut self, from: usize, addr: SocketAddr) {
        let to = at(addr).filter(|to| *to < self.nodes.len());
        let delay_s = to.map_or(0.05, |to| self.delay_s(from, to));
        // SYN and SYN-ACK.
        self.events.push(self.now.plus_secs(2.0 * delay_s), Event::Dialled { at: from, addr, how: Dialled::Failed });
    }

    fn dialled(&mut self, from: usize, addr: SocketAddr, how: Dialled) -> Result<(), String> {
        if !self.nodes[from].alive {
            return Ok(());
        }
        let to = at(addr).filter(|to| self.nodes.get(*to).is_some_and(|node| node.alive && node.reachable));
        let Some(to) = to else { return self.tell(from, Input::Dialled(addr, how)) };
        if to == from {
            return self.tell(from, Input::Dialled(addr, Dialled::Ourselves));
        }
        let (here, there) = (self.nodes[from].take_peer(), self.nodes[to].take_peer());
        let delay_s = self.delay_s(from, to);
        self.nodes[from].ends.insert(here, End::new(to, there));
        // The first bytes arrive with it.
        self.events.push(self.now.plus_secs(delay_s), Event::Incoming { at: to, peer: there, from, there: here });
        self.tell(from, Input::Dialled(addr, Dialled::Connected(here)))
    }

    fn close(&mut self, at: usize, peer: PeerKey) {
        if let Some(end) = self.nodes[at].ends.get_mut(&peer) {
            end.is_closed = true;
            self.send(at, peer, FRAME_BYTES, What::End, true);
        }
    }

    fn go(&mut self, node: usize, polite: bool) -> Result<(), String> {
        if !self.nodes[node].alive {
            return Ok(());
        }
        self.departures += 1;
        self.bereft += self.below(node, 0) as u64;
        self.events.push(self.now.plus_secs(0.5), Event::Come);
        if polite {
            return self.tell(node, Input::Leave);
        }
        self.die(node);
        Ok(())
    }

    /// Returns the number of viewers below a node in the tree of a stripe.
    fn below(&self, node: usize, stripe: u8) -> usize {
        let mut found = vec![node];
        let mut at = 0;
        while let Some(parent) = found.get(at).copied() {
            at += 1;
            let children = self.nodes[parent].relay.feeds(stripe).iter();
            found.extend(children.filter_map(|peer| self.nodes[parent].ends.get(peer)).map(|end| end.node));
            if found.len() > self.nodes.len() {
                break;
            }
        }
        found.len() - 1
    }

    fn die(&mut self, node: usize) {
        self.nodes[node].alive = false;
        self.nodes[node].went = Some(self.now);
        for end in std::mem::take(&mut self.nodes[node].ends).into_values() {
            let delay_s = self.delay_s(node, end.node);
            self.events.push(self.now.plus_secs(delay_s + RESET_S), Event::Left { at: end.node, peer: end.peer });
        }
    }

    fn kill(&mut self, share: f64) {
        self.killed = Some(self.now);
        for node in 1..self.nodes.len() {
            if self.nodes[node].alive && self.rng.chance(share) {
                self.die(node);
            }
        }
    }

    fn kill_one(&mut self, depth: usize, polite: bool) -> Result<(), String> {
        let at_depth =
            (1..self.nodes.len()).filter(|n| self.nodes[*n].alive && self.nodes[*n].relay.path(0).len() == depth);
        let Some(node) = at_depth.max_by_key(|node| (self.below(*node, 0), *node)) else { return Ok(()) };
        self.killed = Some(self.now);
        self.departures += 1;
        self.bereft += self.below(node, 0) as u64;
        for other in &mut self.nodes {
            other.counted.moves = 0;
        }
        let second = self.now.as_secs_f64() as usize;
        self.source_joins[..second].fill(0);
        if polite {
            return self.tell(node, Input::Leave);
        }
        self.die(node);
        Ok(())
    }
}
