//! Situations of lookups, in a virtual network of nodes of which some lie.

use super::*;
use crate::rng::Rng;
use bytes::Bytes;
use playswarm_proto::gnutella::dht::{self, Node};
use playswarm_proto::gnutella::{Ggep, Guid, Place, kind};
use playswarm_proto::sha1::sha1;
use std::collections::BTreeMap;

mod bounds;
mod liars;
mod lookups;

/// What a node does when it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Conduct {
    /// As it should.
    Right,
    /// Nothing.
    Silent,
    /// Names nodes in private networks.
    Private,
    /// Names nodes that are not there, nearer than any.
    MadeUp,
    /// Names itself and the nodes that do so too, under new names near the key.
    Loops,
    /// Names many ports of one address.
    Victim,
    /// Gives values with private addresses.
    FalseValues,
    /// Answers with an identifier that is not the question's.
    WrongToken,
}

/// The address that is attacked by [`Conduct::Victim`].
const VICTIM: Ipv4Addr = Ipv4Addr::new(62, 9, 9, 9);
/// Nodes in each part of a node's table, as Mojito has them.
const K: usize = 20;

struct VirtualNode {
    kuid: Kuid,
    conduct: Conduct,
    contacts: Vec<SocketAddrV4>,
    values: Vec<Value>,
}

/// A network, one client in it, and the time.
struct Net {
    nodes: BTreeMap<SocketAddrV4, VirtualNode>,
    rng: Rng,
    /// Part of the datagrams that are lost.
    loss: f64,
    dht: Dht,
    now: Time,
    /// Answers under way, with the time at which they arrive.
    answers: Vec<(Time, SocketAddrV4, Frame)>,
    /// All datagrams of the client.
    sent: Vec<(Time, SocketAddrV4)>,
    outputs: Vec<(Time, Output)>,
}

fn at(seconds: f64) -> Time {
    Time::from_secs_f64(seconds)
}

/// Returns a node's address, in a network of its own.
fn host(n: u16) -> SocketAddrV4 {
    let [high, low] = n.to_be_bytes();
    SocketAddrV4::new(Ipv4Addr::new(60, high, low, 1), 6346)
}

fn kuid(n: u16) -> Kuid {
    sha1(&n.to_be_bytes())
}

fn config(nodes: impl IntoIterator<Item = SocketAddrV4>) -> Config {
    Config { key: [7; 32], nodes: nodes.into_iter().collect() }
}

/// Returns where a servent at an address has the file of a key.
fn location(n: u16, key: Kuid) -> Value {
    value_at(host(n), key, false)
}

fn value_at(address: SocketAddrV4, key: Kuid, is_firewalled: bool) -> Value {
    let (servent, port) = (Guid([address.ip().octets()[2]; 16]), address.port());
    let location = FileLocation { servent, port, size: Some(5000), tiger: None, is_firewalled, is_partial: false };
    location.to_value(Node::ours([address.ip().octets()[2]; 20], address), key)
}

impl Net {
    /// Creates a network of this many nodes, `host(1)` and so on, with the tables of a real one. The
    /// client knows `host(1)`.
    fn new(count: u16) -> Net {
        Net::with(count, &config([host(1)]))
    }

    fn with(count: u16, config: &Config) -> Net {
        let mut rng = Rng::new(5);
        let names: Vec<(SocketAddrV4, Kuid)> = (1..=count).map(|n| (host(n), kuid(n))).collect();
        let mut nodes = BTreeMap::new();
        for (address, kuid) in &names {
            let mut others: Vec<_> = names.iter().filter(|(other, _)| other != address).collect();
            others.sort_by_cached_key(|_| rng.next_u64());
            let mut parts = BTreeMap::<u32, Vec<SocketAddrV4>>::new();
            for (other, name) in others {
                let near = u64::from_be_bytes(distance(kuid, name)[..8].try_into().unwrap()).leading_zeros();
                let part = parts.entry(near).or_default();
                if part.len() < K {
                    part.push(*other);
                }
            }
            let contacts = parts.into_values().flatten().collect();
            let node = VirtualNode { kuid: *kuid, conduct: Conduct::Right, contacts, values: Vec::new() };
            nodes.insert(*address, node);
        }
        let (dht, now) = (Dht::new(Time::ZERO, config), Time::ZERO);
        Net { nodes, rng, loss: 0.0, dht, now, answers: vec![], sent: vec![], outputs: vec![] }
    }

    /// Stores values at the nodes nearest to their key.
    fn store(&mut self, values: &[Value]) {
        for value in values {
            let mut nearest: Vec<_> = self.nodes.values_mut().collect();
            nearest.sort_by_key(|node| distance(&node.kuid, &value.key));
            nearest.into_iter().take(K).for_each(|node| node.values.push(value.clone()));
        }
    }

    /// Makes this part of the nodes liars, but not `host(1)`.
    fn lie(&mut self, conduct: Conduct, part: f64) {
        for (_, node) in self.nodes.iter_mut().skip(1) {
            if self.rng.unit() < part {
                node.conduct = conduct;
            }
        }
    }

    fn handle(&mut self, input: Input) -> Vec<Output> {
        self.dht.handle(self.now, input);
        let outputs: Vec<_> = std::iter::from_fn(|| self.dht.poll()).collect();
        for output in &outputs {
            self.outputs.push((self.now, output.clone()));
            let Output::SendTo { to, bytes } = output else { continue };
            self.sent.push((self.now, *to));
            let is_lost = self.rng.unit() < self.loss;
            if let Some(frame) = self.answer(*to, bytes).filter(|_| !is_lost) {
                let trip = 0.04 + 0.2 * self.rng.unit();
                self.answers.push((self.now.plus_secs(trip), *to, frame));
            }
        }
        outputs
    }

    fn find(&mut self, lookup: u32, target: Target) -> Vec<Output> {
        self.handle(Input::Find { lookup: LookupKey(lookup), target })
    }

    /// Passes time, with each answer and each timeout that the client wants.
    fn wait(&mut self, seconds: f64) -> Vec<Output> {
        let (end, from) = (self.now.plus_secs(seconds), self.outputs.len());
        for _ in 0..200_000 {
            let arrives = self.answers.iter().map(|(at, ..)| *at).min().unwrap_or(Time::NEVER);
            let next = self.dht.next_timeout();
            if next.min(arrives) > end {
                self.now = end;
                return self.outputs[from..].iter().map(|(_, output)| output.clone()).collect();
            }
            if arrives <= next {
                let first = self.answers.iter().position(|(at, ..)| *at == arrives).unwrap();
                let (_, from, frame) = self.answers.remove(first);
                self.now = self.now.max(arrives);
                self.handle(Input::Datagram { from, frame });
            } else {
                let before = self.now;
                self.now = self.now.max(next);
                self.handle(Input::Timeout);
                assert!(self.dht.next_timeout() > before, "a timeout must bring the client on");
            }
        }
        panic!("the client wants too many timeouts");
    }

    /// Runs a lookup to its end. Returns how it ended, the seconds, and the datagrams.
    fn run(&mut self, lookup: u32, target: Target) -> (End, f64, usize) {
        let (began, from, sent) = (self.now, self.outputs.len(), self.sent.len());
        self.find(lookup, target);
        self.wait(11.0);
        let ended = self.outputs[from..].iter().find_map(|(at, output)| match output {
            Output::Ended { lookup: ended, end } if *ended == LookupKey(lookup) => Some((*end, *at)),
            _ => None,
        });
        let (end, at) = ended.expect("an end within eleven seconds");
        (end, at.since(began).as_secs_f64(), self.sent.len() - sent)
    }

    /// Returns what all lookups found.
    fn found(&self) -> Vec<Found> {
        let read = |(_, output): &(Time, Output)| match output {
            Output::Found { found, .. } => Some(found.clone()),
            _ => None,
        };
        self.outputs.iter().filter_map(read).collect()
    }

    /// Returns the addresses of the sources that were found.
    fn sources(&self) -> Vec<Option<SocketAddrV4>> {
        let address = |found: Found| if let Found::Source { address, .. } = found { Some(address) } else { None };
        self.found().into_iter().filter_map(address).collect()
    }

    /// Returns what the node at an address answers.
    fn answer(&mut self, to: SocketAddrV4, bytes: &Bytes) -> Option<Frame> {
        let question = question(bytes);
        let nothing = (Vec::new(), [0; 4]);
        let (key, (creators, of_type)) = match &question.body {
            Body::FindValue { key, creators, of_type } => (key, (creators, of_type)),
            Body::FindNode(key) => (key, (&nothing.0, &nothing.1)),
            other => panic!("{other:?}"),
        };
        let conduct = self.nodes.get(&to)?.conduct;
        let known = self.nodes[&to].contacts.clone();
        let right = known.into_iter().map(|address| Node::ours(self.nodes[&address].kuid, address)).collect::<Vec<_>>();
        let mut near = || {
            let mut name = *key;
            name[17..].copy_from_slice(&self.rng.next_u64().to_be_bytes()[..3]);
            name
        };
        let mut nodes: Vec<Node> = match conduct {
            Conduct::Silent => return None,
            Conduct::Private => {
                (1..=20).map(|n| Node::ours(near(), SocketAddrV4::new([192, 168, 1, n].into(), 6346))).collect()
            }
            Conduct::MadeUp => (1..=20)
                .map(|n| {
                    let name = near();
                    Node::ours(name, SocketAddrV4::new([61, name[18], name[19], n].into(), 6346))
                })
                .collect(),
            Conduct::Victim => (1..=20).map(|n| Node::ours(near(), SocketAddrV4::new(VICTIM, 7000 + n))).collect(),
            Conduct::Loops => {
                let liars = self.nodes.iter().filter(|(_, node)| node.conduct == Conduct::Loops);
                liars.take(K).map(|(address, _)| Node::ours(near(), *address)).collect()
            }
            Conduct::Right | Conduct::FalseValues | Conduct::WrongToken => right,
        };
        nodes.sort_by_key(|node| distance(&node.kuid, key));
        nodes.truncate(K);
        let is_asked = |value: &&Value| {
            let has_type = *of_type == dht::ANY || *of_type == value.of_type;
            value.key == *key && has_type && (creators.is_empty() || creators.contains(&value.creator.kuid))
        };
        let mut values: Vec<Value> = match conduct {
            Conduct::Right => self.nodes[&to].values.iter().filter(is_asked).cloned().collect(),
            Conduct::FalseValues if *of_type != [0; 4] => {
                (1..=30).map(|n| value_at(SocketAddrV4::new([10, 0, n, 1].into(), 6346), *key, false)).collect()
            }
            _ => Vec::new(),
        };
        values.truncate(K);
        let body = match values.is_empty() {
            true => Body::Nodes { token: Bytes::from_static(&[1, 2, 3, 4]), nodes },
            false => Body::Values { load: 0.0, values, creators: Vec::new() },
        };
        let mut guid = question.guid;
        guid.0[3] ^= u8::from(conduct == Conduct::WrongToken);
        Some(message(guid, self.nodes[&to].kuid, to, body))
    }
}

/// Returns a message of a node.
fn message(guid: Guid, kuid: Kuid, address: SocketAddrV4, body: Body) -> Frame {
    let message = DhtMessage { guid, node: Node::ours(kuid, address), instance: 0, is_passive: false, body };
    Frame::from_datagram(&message.encode().unwrap()).unwrap()
}

fn question(bytes: &Bytes) -> DhtMessage {
    DhtMessage::decode(&Frame::from_datagram(bytes).unwrap()).unwrap()
}

/// Returns the questions among outputs, with their receivers.
fn questions(outputs: &[Output]) -> Vec<(SocketAddrV4, DhtMessage)> {
    let read = |output: &Output| match output {
        Output::SendTo { to, bytes } => Some((*to, question(bytes))),
        _ => None,
    };
    outputs.iter().filter_map(read).collect()
}

/// Returns the key of the film with this number.
fn film(n: u16) -> Kuid {
    sha1(format!("film {n}").as_bytes())
}
