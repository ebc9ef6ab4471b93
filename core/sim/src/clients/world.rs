//! The run: takes the earliest event, passes it to the node concerned, and carries out the outputs
//! of its torrent.

use super::network::{Connection, Event, Events};
use super::node::{End, Node};
use super::report::Report;
use super::scenario::Scenario;
use super::store::Hash;
use crate::rng::Rng;
use crate::slots::{Dht, address};
use playswarm_logic::torrent::{Finding, HOUSEKEEPING, Input, Origin, Output, Received, Stored, Surroundings, Torrent};
use playswarm_logic::{BLOCK_BYTES, BlockRef, Layout, Machine, PeerKey, PieceIndex, Time, slots};
use playswarm_proto::AddressClass;
use playswarm_proto::wire::Message;
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher};

/// Delay of a tracker's response, in seconds.
const TRACKER_S: f64 = 0.15;
/// Shortest time between two announces of one node, in seconds.
const TRACKER_EVERY_S: f64 = 60.0;
/// Longest time that a run continues after the last arrival, in lengths of the film.
const PATIENCE: f64 = 2.0;

/// A simulation run.
pub(super) struct World<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) now: Time,
    pub(super) layout: Layout,
    pub(super) events: Events,
    pub(super) nodes: Vec<Node>,
    pub(super) connections: Vec<Connection>,
    /// Nodes that the tracker knows.
    announced: BTreeSet<u32>,
    dht: Dht,
    rng: Rng,
    /// Viewers that have not left yet.
    viewers_to_go: u32,
    last_left: Time,
    first_came: Time,
    trace: DefaultHasher,
}

/// Plays a scenario.
///
/// # Errors
/// An error if the scenario makes no torrent.
pub fn run(scenario: &Scenario, seed: u64) -> Result<Report, String> {
    let layout = Layout::new(scenario.film_bytes(), scenario.piece_bytes).ok_or("the scenario has an empty film")?;
    let rng = Rng::new(seed);
    let all = scenario.origins + scenario.viewers;
    let mut world = World {
        scenario,
        now: Time::ZERO,
        layout,
        events: Events::default(),
        nodes: (0..all).map(|n| Node::new(scenario, layout, n, rng.fork(u64::from(n)))).collect(),
        connections: Vec::new(),
        announced: BTreeSet::new(),
        dht: Dht::new(rng.fork(u64::MAX), 0, 0.0),
        rng: rng.fork(u64::MAX - 1),
        viewers_to_go: scenario.viewers,
        last_left: Time::ZERO,
        first_came: Time::NEVER,
        trace: DefaultHasher::new(),
    };
    world.set_up();
    world.play();
    Ok(world.report(seed))
}

impl World<'_> {
    fn set_up(&mut self) {
        for n in 0..self.scenario.origins {
            self.events.push(Time::ZERO, Event::Come(n));
        }
        for n in self.scenario.origins..self.nodes.len() as u32 {
            let at = 5.0 + self.rng.between(0.0, self.scenario.arrivals_s);
            self.events.push(Time::from_secs_f64(at), Event::Come(n));
        }
    }

    fn play(&mut self) {
        let most_s = 5.0 + self.scenario.arrivals_s + PATIENCE * self.scenario.film_s;
        let end = Time::from_secs_f64(most_s);
        while let Some((at, event)) = self.events.pop() {
            if at > end || self.viewers_to_go == 0 {
                break;
            }
            self.now = at;
            self.happen(event);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Come(n) => self.come(n),
            Event::Leave(n) => self.leave(n),
            Event::Tick(n) => self.tick(n),
            Event::Wake(n, at) => {
                if self.nodes[n as usize].wake_at == at {
                    self.tell(n, Input::Timeout);
                }
            }
            Event::Tracker(n) => self.tracker_answers(n),
            Event::Dialled(hello) => self.dialled(hello),
            Event::Greeted(hello) => self.greeted(hello),
            Event::Answered(hello, connection, messages) => self.answered(&hello, connection, messages),
            Event::DialFailed(n, dial) => self.tell(n, Input::DialFailed { dial, ourselves: false }),
            Event::Messages(end, messages) => self.messages(end, messages),
            Event::Closed(end) => self.closed(end),
            Event::Sent(end, block, bad) => self.sent(end, block, bad),
            Event::Arrive(end, block, bad) => {
                let n = self.connections[end.connection].nodes[end.side] as usize;
                let at = self.nodes[n].down.force(self.now, self.layout.block_bytes(block));
                self.events.push(at, Event::Deliver(end, block, bad));
            }
            Event::Deliver(end, block, bad) => self.deliver(end, block, bad),
            Event::Acked(end, bytes) => {
                let connection = &mut self.connections[end.connection];
                connection.windows[end.side].acked(self.now, bytes);
                let n = connection.nodes[end.side];
                self.pump(n);
            }
            Event::Hashed(n, piece) => self.hashed(n, piece),
            Event::Operation(n, operation, found, well) => {
                if !found.is_empty() {
                    self.tell(n, Input::SlotNews(slots::Input::Found(operation, found)));
                }
                self.tell(n, Input::SlotNews(slots::Input::Ended(operation, well)));
            }
            Event::Play(n, number) => {
                if self.nodes[n as usize].player.ticks == number {
                    self.serve(n);
                }
            }
            Event::Jump(n) => self.jump(n),
        }
    }

    /// Passes an input to a node's torrent, and carries out its outputs.
    pub(super) fn tell(&mut self, n: u32, input: Input) {
        self.enter(n, |torrent, now| torrent.handle(now, input));
    }

    pub(super) fn enter<R>(&mut self, n: u32, work: impl FnOnce(&mut Torrent, Time) -> R) -> Option<R> {
        let node = &mut self.nodes[n as usize];
        if !node.here || node.gone {
            return None;
        }
        let result = work(&mut node.torrent, self.now);
        let outputs: Vec<Output> = std::iter::from_fn(|| node.torrent.poll()).collect();
        let wake_at = node.torrent.next_timeout();
        if wake_at != node.wake_at && wake_at != Time::NEVER {
            self.events.push(wake_at.max(self.now), Event::Wake(n, wake_at));
        }
        node.wake_at = wake_at;
        self.carry_out(n, outputs);
        Some(result)
    }

    fn carry_out(&mut self, n: u32, outputs: Vec<Output>) {
        let (mut said, mut news): (Vec<(PeerKey, Vec<Message>)>, bool) = (Vec::new(), false);
        for output in outputs {
            match output {
                Output::Send(peer, message) => {
                    // As in the engine's writer, all messages to one peer leave in one write.
                    match said.iter_mut().find(|(to, _)| *to == peer) {
                        Some((_, messages)) => messages.push(message),
                        None => said.push((peer, vec![message])),
                    }
                }
                Output::Upload(peer) => self.nodes[n as usize].up.add(peer),
                Output::Disconnect(peer) => self.disconnect(n, peer),
                Output::Dial(dial) => self.dial(n, dial),
                Output::DropBlocks(piece, generation) => {
                    self.nodes[n as usize].store.drop_blocks(piece, generation);
                }
                Output::Slots(output) => self.operate(n, &output),
                Output::AskForPeers => self.ask_tracker(n),
                Output::News => news = true,
                _ => {}
            }
        }
        for (peer, messages) in said {
            let Some(end) = self.nodes[n as usize].ends.get(&peer).copied() else { continue };
            let connection = &mut self.connections[end.connection];
            let at = connection.arrival(self.now, end.side);
            let (_, to) = connection.other(end.connection, end.side);
            (at, n, messages.len()).hash(&mut self.trace);
            self.events.push(at, Event::Messages(to, messages));
        }
        self.pump(n);
        if news {
            self.serve(n);
        }
    }

    fn come(&mut self, n: u32) {
        let (now, scenario, layout) = (self.now, self.scenario, self.layout);
        let node = &mut self.nodes[n as usize];
        node.start(now, scenario, layout);
        let (is_origin, first) = (node.is_origin, node.rng.unit());
        self.events.push(now.plus_secs(first * HOUSEKEEPING.as_secs_f64()), Event::Tick(n));
        self.ask_tracker(n);
        self.tell(n, Input::Found(Vec::new()));
        if is_origin {
            return;
        }
        self.first_came = self.first_came.min(now);
        self.nodes[n as usize].report.came_s = now.as_secs_f64();
        let node = &mut self.nodes[n as usize];
        if node.rng.chance(scenario.leavers) {
            let stays = node.rng.between(0.0, scenario.film_s);
            self.events.push(now.plus_secs(stays), Event::Leave(n));
        }
        if scenario.jumps_s > 0.0 {
            let after = node.rng.between(0.5, 1.5) * scenario.jumps_s;
            self.events.push(now.plus_secs(after), Event::Jump(n));
        }
        self.open_player(n);
    }

    fn leave(&mut self, n: u32) {
        let now = self.now;
        let node = &mut self.nodes[n as usize];
        if node.gone {
            return;
        }
        node.player.close(now);
        node.report.stalls = node.player.stalls;
        node.report.stalled_s = node.player.stalled_s;
        node.report.played_s = node.player.played_s;
        node.gone = true;
        self.viewers_to_go -= u32::from(!node.is_origin);
        self.last_left = now;
        self.announced.remove(&n);
        for (_, end) in std::mem::take(&mut self.nodes[n as usize].ends) {
            self.close(end);
        }
    }

    fn tick(&mut self, n: u32) {
        let node = &self.nodes[n as usize];
        if node.gone {
            return;
        }
        self.events.push(self.now + HOUSEKEEPING, Event::Tick(n));
        let sending = node.up.sending.into_iter().collect();
        let unix_s = 1.7e9 + self.now.as_secs_f64();
        self.tell(n, Input::Tick(Surroundings { unix_s, room: true, disk_room_bytes: u64::MAX, sending }));
    }

    fn ask_tracker(&mut self, n: u32) {
        let now = self.now;
        let node = &mut self.nodes[n as usize];
        if node.asked_tracker_at.is_some_and(|at| now.since(at).as_secs_f64() < TRACKER_EVERY_S) {
            return;
        }
        node.asked_tracker_at = Some(now);
        self.events.push(now.plus_secs(TRACKER_S), Event::Tracker(n));
    }

    fn tracker_answers(&mut self, n: u32) {
        let mut others: Vec<u32> = self.announced.iter().copied().filter(|other| *other != n).collect();
        let count = others.len().min(self.scenario.tracker_peers);
        for i in 0..count {
            let j = i + self.rng.below((others.len() - i) as u64) as usize;
            others.swap(i, j);
        }
        others.truncate(count);
        if !self.nodes[n as usize].gone {
            self.announced.insert(n);
        }
        let named = |other| Finding::Peer { addr: address(other), origin: Origin::Tracker, by: AddressClass::Loopback };
        self.tell(n, Input::Found(others.into_iter().map(named).collect()));
    }

    fn operate(&mut self, n: u32, output: &slots::Output) {
        let (operation, key, announce) = match *output {
            slots::Output::Lookup { operation, key } => (operation, key, false),
            slots::Output::Announce { operation, key } => (operation, key, true),
            _ => return,
        };
        let (takes_s, well) = self.dht.fate();
        let now_s = self.now.as_secs_f64();
        let mut found = if well { self.dht.look_up(now_s, key) } else { Vec::new() };
        found.retain(|addr| *addr != address(n));
        if announce && well {
            self.dht.announce(now_s, key, n);
        }
        let well = well && (announce || !found.is_empty());
        self.events.push(self.now.plus_secs(takes_s), Event::Operation(n, operation, found, well));
    }

    /// Returns the node and key of an end that still exists.
    fn at(&self, end: End) -> Option<(u32, PeerKey)> {
        let connection = &self.connections[end.connection];
        Some((connection.nodes[end.side], connection.keys[end.side]?))
    }

    pub(super) fn messages(&mut self, end: End, mut messages: Vec<Message>) {
        let Some((n, key)) = self.at(end) else { return };
        let heard = self.enter(n, |torrent, now| torrent.receive_messages(now, key, &mut messages));
        if let Some(Err(why)) = heard {
            self.tell(n, Input::Disconnected(key, why));
        }
    }

    /// Sends the blocks for which the uplink has room.
    fn pump(&mut self, n: u32) {
        let now = self.now;
        for _ in 0..self.nodes[n as usize].up.waiting() {
            let node = &mut self.nodes[n as usize];
            if node.up.sending.is_some() || node.gone {
                return;
            }
            let Some(peer) = node.up.next_turn() else { return };
            let (Some(end), Some(_)) = (node.ends.get(&peer).copied(), node.torrent.peek_upload(peer)) else {
                node.up.remove(peer);
                continue;
            };
            // A window smaller than a block admits one block when nothing is in flight.
            let window = &mut self.connections[end.connection].windows[end.side];
            if window.room(now) < 1.0 {
                continue;
            }
            let Some(Some(span)) = self.enter_quietly(n, |torrent| torrent.next_upload(peer)) else { continue };
            let node = &mut self.nodes[n as usize];
            if !node.store.have.get(span.piece) {
                self.enter(n, |torrent, _| torrent.upload_failed(peer, span));
                return;
            }
            node.up.sending = Some(peer);
            node.up.sent_bytes += u64::from(span.length);
            let bad = node.lies && node.rng.chance(0.5);
            let takes_s = f64::from(span.length) / node.up.bytes_per_s;
            self.connections[end.connection].windows[end.side].sent(span.length);
            let block = BlockRef { piece: PieceIndex(span.piece), block: span.begin / BLOCK_BYTES };
            self.events.push(now.plus_secs(takes_s), Event::Sent(end, block, bad));
        }
    }

    /// Calls a method of a node's torrent whose only possible output is to resume reading.
    fn enter_quietly<R>(&mut self, n: u32, work: impl FnOnce(&mut Torrent) -> R) -> Option<R> {
        let node = &mut self.nodes[n as usize];
        (!node.gone).then(|| work(&mut node.torrent))
    }

    fn sent(&mut self, end: End, block: BlockRef, bad: bool) {
        let connection = &mut self.connections[end.connection];
        let n = connection.nodes[end.side];
        let key = connection.keys[end.side];
        let at = connection.arrival(self.now, end.side);
        let (_, to) = connection.other(end.connection, end.side);
        self.events.push(at, Event::Arrive(to, block, bad));
        self.nodes[n as usize].up.sending = None;
        let bytes = u64::from(self.layout.block_bytes(block));
        if let Some(key) = key {
            self.enter(n, |torrent, now| torrent.uploaded(now, key, bytes));
        }
        self.pump(n);
    }

    fn deliver(&mut self, end: End, block: BlockRef, bad: bool) {
        let bytes = self.layout.block_bytes(block);
        let (_, sender) = self.connections[end.connection].other(end.connection, end.side);
        let delay_s = self.connections[end.connection].delay_s;
        self.events.push(self.now.plus_secs(delay_s), Event::Acked(sender, bytes));
        let Some((n, key)) = self.at(end) else { return };
        let from_origin = self.nodes[self.connections[end.connection].nodes[1 - end.side] as usize].is_origin;
        let data = bytes::Bytes::from_static(&[0; BLOCK_BYTES as usize]).slice(..bytes as usize);
        let message = [Message::Piece { piece: block.piece.0, begin: block.block * BLOCK_BYTES, data }];
        let admitted = self.enter(n, |torrent, now| torrent.admit_blocks(now, key, &message));
        let Some(Ok(admitted)) = admitted else { return };
        let Some((mut ticket, mut wanted)) = admitted.first().copied().flatten() else { return };
        let report = &mut self.nodes[n as usize].report;
        report.received_bytes += u64::from(bytes);
        report.origin_bytes += if from_origin { u64::from(bytes) } else { 0 };
        loop {
            let (stored, whole) =
                if wanted { self.nodes[n as usize].store.put(ticket, key, bad) } else { (Stored::Unwanted, false) };
            if stored == Stored::Kept {
                self.nodes[n as usize].report.useful_bytes += u64::from(bytes);
            }
            let received = [Received { ticket, bytes, stored }];
            let told = self.enter(n, |torrent, now| torrent.receive_blocks(now, key, &received, false));
            if whole {
                // About 1 GB/s of SHA-1.
                let takes_s = f64::from(self.layout.bytes_of(block.piece)) / 1e9;
                self.events.push(self.now.plus_secs(takes_s), Event::Hashed(n, block.piece.0));
            }
            match told {
                Some(Ok(again)) => match again.first() {
                    Some((_, renewed)) => (ticket, wanted) = (*renewed, true),
                    None => return,
                },
                Some(Err(why)) => return self.tell(n, Input::Disconnected(key, why)),
                None => return,
            }
        }
    }

    fn hashed(&mut self, n: u32, piece: u32) {
        let bytes = u64::from(self.layout.bytes_of(PieceIndex(piece)));
        match self.nodes[n as usize].store.hashed(piece) {
            Some(Hash::Right) => self.tell(n, Input::Verified(PieceIndex(piece), Vec::new())),
            Some(Hash::Wrong(givers)) => {
                let report = &mut self.nodes[n as usize].report;
                report.useful_bytes = report.useful_bytes.saturating_sub(bytes);
                self.tell(n, Input::Corrupt(PieceIndex(piece), givers));
            }
            None => {}
        }
    }

    fn report(mut self, seed: u64) -> Report {
        let now = self.now;
        for n in 0..self.nodes.len() as u32 {
            self.leave(n);
        }
        let lasted = self.last_left.max(now).since(self.first_came).as_secs_f64();
        let mut viewers: Vec<_> = self.nodes.iter().filter(|n| !n.is_origin).map(|n| n.report.clone()).collect();
        viewers.sort_by(|a, b| a.came_s.total_cmp(&b.came_s));
        Report {
            scenario: self.scenario.name.to_owned(),
            seed,
            viewers,
            origin_sent_bytes: self.nodes.iter().filter(|n| n.is_origin).map(|n| n.up.sent_bytes).sum(),
            lasted_s: lasted,
            film_bytes_per_s: self.scenario.film_bytes_per_s,
            events: self.events.count(),
            trace: self.trace.finish(),
        }
    }

    pub(super) fn later(&mut self, after_s: f64, event: Event) {
        self.events.push(self.now.plus_secs(after_s), event);
    }
}
