//! How nodes connect: dials, handshakes, greetings, and the end of connections.

use super::network::{Connection, Event, Hello};
use super::node::End;
use super::world::World;
use crate::slots::{address, viewer};
use bytes::BytesMut;
use playswarm_logic::PeerKey;
use playswarm_logic::torrent::{Admission, Connection as Joining, Dial, Disconnect, Input, Origin};
use playswarm_proto::handshake::{PeerId, Reserved};
use playswarm_proto::wire::{self, Limits, Message};
use std::net::SocketAddr;

/// Time after which a dial to a host that does not exist fails, in seconds.
const DIAL_TIMEOUT_S: f64 = 4.0;

impl World<'_> {
    pub(super) fn dial(&mut self, n: u32, dial: Dial) {
        let there = viewer(dial.addr, self.nodes.len()).filter(|to| {
            let node = &self.nodes[*to as usize];
            node.here && !node.gone && node.reachable && *to != n
        });
        let Some(to) = there else {
            self.events.push(self.now.plus_secs(DIAL_TIMEOUT_S), Event::DialFailed(n, dial));
            return;
        };
        let hello = Hello { dial, from: n, to, messages: Vec::new(), told: None };
        self.events.push(self.now.plus_secs(self.rtt_s()), Event::Dialled(Box::new(hello)));
    }

    /// Returns the round trip: two lines each way.
    fn rtt_s(&self) -> f64 {
        4.0 * self.scenario.delay_s
    }

    /// Returns the messages of a greeting, as decoded from its bytes.
    fn greeting(
        &self,
        n: u32,
        to: SocketAddr,
        theirs: Option<Reserved>,
    ) -> (Vec<Message>, Option<playswarm_logic::Bits>) {
        let greeting = self.nodes[n as usize].torrent.greeting();
        let mut bytes = BytesMut::new();
        greeting.encode(theirs, to.ip(), &mut bytes);
        let limits = Limits { pieces: Some(self.layout.pieces()), metadata: false };
        let messages = std::iter::from_fn(|| wire::decode(&mut bytes, limits).ok().flatten()).collect();
        (messages, greeting.have)
    }

    pub(super) fn dialled(&mut self, mut hello: Box<Hello>) {
        let node = &self.nodes[hello.from as usize];
        if node.gone {
            return;
        }
        (hello.messages, hello.told) = self.greeting(hello.from, hello.dial.addr, None);
        self.events.push(self.now.plus_secs(self.rtt_s() / 2.0), Event::Greeted(hello));
    }

    fn joining(
        &self,
        n: u32,
        addr: SocketAddr,
        origin: Origin,
        incoming: bool,
        told: Option<playswarm_logic::Bits>,
    ) -> Joining {
        Joining {
            addr,
            origin,
            remote: addr,
            peer_id: self.peer_id(n),
            reserved: Reserved::ours(true),
            incoming,
            utp: false,
            rtt: (!incoming).then(|| std::time::Duration::from_secs_f64(self.rtt_s())),
            told,
        }
    }

    fn peer_id(&self, n: u32) -> PeerId {
        self.nodes[n as usize].torrent.peer_id()
    }

    pub(super) fn greeted(&mut self, hello: Box<Hello>) {
        let (from, to, dial) = (hello.from, hello.to, hello.dial);
        let mut remote = address(from);
        remote.set_port(40_000 + (self.connections.len() % 20_000) as u16);
        let (messages, told) = self.greeting(to, remote, Some(Reserved::ours(true)));
        let joining = self.joining(from, remote, Origin::Incoming, true, told);
        let taken = self.enter(to, |torrent, now| {
            if torrent.admits(now, remote) { torrent.connect(now, &joining) } else { Admission::Refused }
        });
        let back_s = self.rtt_s() / 2.0;
        let Some(Admission::Joined(key)) = taken else {
            self.events.push(self.now.plus_secs(back_s), Event::DialFailed(from, dial));
            return;
        };
        let id = self.connections.len();
        let mut connection = Connection::new([from, to], back_s);
        connection.keys[1] = Some(key);
        let at = connection.arrival(self.now, 1);
        self.connections.push(connection);
        self.nodes[to as usize].ends.insert(key, End { connection: id, side: 1 });
        let said = hello.messages.clone();
        self.events.push(at, Event::Answered(hello, id, messages));
        self.messages(End { connection: id, side: 1 }, said);
    }

    pub(super) fn answered(&mut self, hello: &Hello, id: usize, messages: Vec<Message>) {
        let Hello { dial, from, to, .. } = *hello;
        let acceptor = End { connection: id, side: 1 };
        if self.nodes[from as usize].gone || !self.connections[id].open {
            self.close(End { connection: id, side: 0 });
            self.tell(from, Input::DialFailed { dial, ourselves: false });
            return;
        }
        let joining = self.joining(to, dial.addr, dial.origin, false, hello.told.clone());
        match self.enter(from, |torrent, now| torrent.connect(now, &joining)) {
            Some(Admission::Joined(key)) => {
                self.connections[id].keys[0] = Some(key);
                self.nodes[from as usize].ends.insert(key, End { connection: id, side: 0 });
                self.messages(End { connection: id, side: 0 }, messages);
            }
            _ => {
                self.connections[id].open = false;
                self.events.push(self.now.plus_secs(self.rtt_s() / 2.0), Event::Closed(acceptor));
            }
        }
    }

    /// Handles that a node has ended the connection.
    pub(super) fn disconnect(&mut self, n: u32, peer: PeerKey) {
        self.nodes[n as usize].up.remove(peer);
        if let Some(end) = self.nodes[n as usize].ends.remove(&peer) {
            self.close(end);
        }
    }

    /// Closes this end of a connection, and notifies the other end.
    pub(super) fn close(&mut self, end: End) {
        let connection = &mut self.connections[end.connection];
        connection.open = false;
        connection.keys[end.side] = None;
        let at = connection.arrival(self.now, end.side);
        let (_, other) = connection.other(end.connection, end.side);
        self.events.push(at, Event::Closed(other));
    }

    pub(super) fn closed(&mut self, end: End) {
        let connection = &mut self.connections[end.connection];
        let (n, key) = (connection.nodes[end.side], connection.keys[end.side].take());
        if let Some(key) = key {
            self.nodes[n as usize].ends.remove(&key);
            self.nodes[n as usize].up.remove(key);
            let why = Disconnect::Closed("the peer closed the connection".to_owned());
            self.tell(n, Input::Disconnected(key, why));
        }
    }
}
