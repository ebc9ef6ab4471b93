//! Lookups in the Mojito DHT: which servents have the file of a SHA-1, and which pass pushes on to a
//! servent.
//!
//! We are in no routing table and answer no question, since each message says that we cannot be
//! reached. A node that has no values answers `FIND_VALUE` with nodes nearer to the key, so
//! `FIND_NODE` is seldom needed. Nothing is sent while nothing is looked up.
//!
//! Datagrams are the driver's. An address that a node names is used only if
//! [`is_acceptable`](playswarm_proto::address_class::is_acceptable) allows it from there.

mod api;
mod lookup;
mod nodes;
#[cfg(test)]
mod tests;

pub use api::{Config, End, Found, Input, LookupKey, Output, Target};
pub use lookup::{MAX_DATAGRAMS, MAX_TIME};
pub use nodes::MAX_SAVED;

use super::addresses::may_use;
use super::secrets::Secrets;
use crate::Time;
use crate::token_bucket::TokenBucket;
use lookup::{Lookup, Question};
use nodes::Nodes;
use playswarm_proto::address_class::AddressClass;
use playswarm_proto::gnutella::Frame;
use playswarm_proto::gnutella::dht::{Body, DhtMessage, FileLocation, Kuid, MAX_VALUES, Node, Value, push_proxies};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

/// Most lookups at once.
pub const MAX_LOOKUPS: usize = 8;
/// Nodes that answered before with which a lookup begins. Nodes of unknown names come after them.
const BEGIN_NODES: usize = 8;
/// Datagrams of all lookups, a second; and at once, those of one lookup.
const DATAGRAMS_PER_S: f64 = 20.0;
const MAX_BURST: f64 = 60.0;
/// Time between two times at which nodes are saved.
const SAVE_EVERY: Duration = Duration::from_secs(5 * 60);

/// Returns the distance of two names. Arrays are compared like the numbers that they are.
fn distance(a: &Kuid, b: &Kuid) -> Kuid {
    std::array::from_fn(|at| a[at] ^ b[at])
}

/// The state machine of the lookups; see the [module](self).
#[derive(Debug)]
pub struct Dht {
    /// Time of the last input.
    now: Time,
    secrets: Secrets,
    kuid: Kuid,
    nodes: Nodes,
    lookups: Vec<Lookup>,
    sent: TokenBucket,
    /// Whether a question waits for a token.
    is_held: bool,
    reachable: Option<SocketAddrV4>,
    save_at: Time,
    outputs: VecDeque<Output>,
}

impl Dht {
    /// Creates the machine. It sends nothing before the first lookup.
    pub fn new(now: Time, config: &Config) -> Dht {
        let secrets = Secrets::new(config.key);
        let mut nodes = Nodes::default();
        // The user names them, so one may be in the user's own network.
        let usable = config.nodes.iter().filter(|node| may_use((**node).into(), AddressClass::Loopback, None));
        for node in usable {
            nodes.add_seed(*node);
        }
        Dht {
            now,
            kuid: secrets.kuid(),
            secrets,
            nodes,
            lookups: Vec::new(),
            sent: TokenBucket::new(now, DATAGRAMS_PER_S, MAX_BURST, MAX_BURST),
            is_held: false,
            reachable: None,
            save_at: now + SAVE_EVERY,
            outputs: VecDeque::new(),
        }
    }

    /// Returns the nodes to save, the best first.
    pub fn nodes(&self) -> Vec<SocketAddrV4> {
        self.nodes.saved()
    }

    /// Handles an event at time `now`.
    pub fn handle(&mut self, now: Time, input: Input) {
        self.now = self.now.max(now);
        match input {
            Input::Named { by, nodes } => self.learn(by, &nodes),
            Input::Find { lookup, target } => self.begin(lookup, target),
            Input::Forget { lookup } => {
                self.remove(lookup);
            }
            Input::Datagram { from, frame } => self.datagram(from, &frame),
            Input::Reachable(address) => self.reachable = address,
            Input::Timeout => {}
        }
        self.proceed();
    }

    /// Returns the next action.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns the latest time for [`Input::Timeout`].
    pub fn next_timeout(&self) -> Time {
        let token = self.sent.until(self.now, 1.0).filter(|_| self.is_held);
        let token = token.map_or(Time::NEVER, |wait| self.now + wait);
        let lookups = self.lookups.iter().map(|lookup| lookup.next_timeout(self.now));
        lookups.chain([token, self.save_at]).min().unwrap_or(Time::NEVER)
    }

    fn may_use(&self, address: SocketAddrV4, by: Ipv4Addr) -> bool {
        may_use(address.into(), AddressClass::of(by.into()), self.reachable)
    }

    /// Takes nodes that a host names. Lookups that are under way use them too.
    fn learn(&mut self, by: Ipv4Addr, nodes: &[SocketAddrV4]) {
        for node in nodes {
            if self.may_use(*node, by) && self.nodes.add_seed(*node) {
                self.lookups.iter_mut().for_each(|lookup| lookup.add(*node, None, None));
            }
        }
    }

    fn begin(&mut self, key: LookupKey, target: Target) {
        if self.lookups.len() >= MAX_LOOKUPS {
            self.end(self.lookups[0].key, End::Replaced);
        }
        let mut lookup = Lookup::new(self.now, key, target);
        for (address, kuid) in self.nodes.nearest(&target.key(), BEGIN_NODES) {
            lookup.add(address, Some(kuid), None);
        }
        self.nodes.seeds().into_iter().for_each(|seed| lookup.add(seed, None, None));
        self.lookups.push(lookup);
    }

    fn remove(&mut self, key: LookupKey) -> Option<Lookup> {
        let at = self.lookups.iter().position(|lookup| lookup.key == key)?;
        Some(self.lookups.remove(at))
    }

    fn end(&mut self, key: LookupKey, end: End) {
        let Some(lookup) = self.remove(key) else { return };
        lookup.failed(self.now).into_iter().for_each(|address| self.nodes.failed(address));
        self.outputs.push_back(Output::Ended { lookup: key, end });
    }

    /// Does what is due.
    fn proceed(&mut self) {
        self.is_held = false;
        for at in 0..self.lookups.len() {
            while let Some((to, question)) = self.lookups[at].next(self.now) {
                if !self.ask(at, to, question, Vec::new()) {
                    break;
                }
            }
        }
        let now = self.now;
        let ended: Vec<_> = self.lookups.iter().filter_map(|lookup| Some((lookup.key, lookup.end(now)?))).collect();
        ended.into_iter().for_each(|(key, end)| self.end(key, end));
        if now >= self.save_at {
            self.save_at = now + SAVE_EVERY;
            if self.nodes.take_changed() {
                self.outputs.push_back(Output::SaveNodes);
            }
        }
    }

    /// Asks a node: for values of these creators, or all. Returns whether a datagram may be sent.
    fn ask(&mut self, at: usize, to: SocketAddrV4, question: Question, creators: Vec<Kuid>) -> bool {
        if !self.sent.take_one(self.now) {
            self.is_held = true;
            return false;
        }
        let lookup = &mut self.lookups[at];
        let guid = self.secrets.guid();
        lookup.asked(self.now, to, question, guid);
        let (key, of_type) = (lookup.target.key(), lookup.target.of_type());
        let body = match question {
            Question::Nodes => Body::FindNode(key),
            Question::Values | Question::Rest => Body::FindValue { key, creators, of_type },
        };
        let ours = self.reachable.unwrap_or(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
        let message = DhtMessage { guid, node: Node::ours(self.kuid, ours), instance: 0, is_passive: true, body };
        if let Ok(bytes) = message.encode() {
            self.outputs.push_back(Output::SendTo { to, bytes });
        }
        true
    }

    /// Takes an answer of a node that was asked. All else is ignored.
    fn datagram(&mut self, from: SocketAddrV4, frame: &Frame) {
        let Ok(message) = DhtMessage::decode(frame) else { return };
        let kuid = message.node.kuid;
        let answer = self.lookups.iter_mut().enumerate().find_map(|(at, lookup)| {
            let question = lookup.take_answer(message.guid, from, &kuid)?;
            Some((at, question))
        });
        let Some((at, question)) = answer else { return };
        if !message.is_passive {
            self.nodes.answered(self.now, from, kuid);
        }
        match message.body {
            Body::Nodes { mut nodes, .. } => {
                nodes.retain(|node| node.kuid != self.kuid && self.may_use(node.address, *from.ip()));
                nodes.iter().for_each(|node| self.lookups[at].add(node.address, Some(node.kuid), Some(from)));
            }
            Body::Values { values, mut creators, .. } => {
                let target = self.lookups[at].target;
                let given: Vec<_> = values.iter().flat_map(|value| self.read(&target, *from.ip(), value)).collect();
                // A node with many values names the creators of others. That is asked for once, and
                // only if it gave none.
                self.lookups[at].gave_values(from, question);
                let is_first = question == Question::Values && self.lookups[at].has_datagrams();
                if given.is_empty() && is_first && !creators.is_empty() {
                    creators.truncate(MAX_VALUES);
                    self.ask(at, from, Question::Rest, creators);
                }
                let key = self.lookups[at].key;
                let new = self.lookups[at].given(from, given).into_iter();
                self.outputs.extend(new.map(|found| Output::Found { lookup: key, found }));
            }
            _ => {}
        }
    }

    /// Reads a value that a host gave.
    fn read(&self, target: &Target, by: Ipv4Addr, value: &Value) -> Vec<Found> {
        match target {
            _ if value.key != target.key() => Vec::new(),
            Target::Sources(_) => {
                let Some(location) = FileLocation::of(value) else { return Vec::new() };
                let address = SocketAddrV4::new(*value.creator.address.ip(), location.port);
                let address = (!location.is_firewalled).then_some(address);
                let is_usable = address.is_none_or(|address| self.may_use(address, by));
                let FileLocation { servent, size, tiger, is_partial, .. } = location;
                is_usable.then_some(Found::Source { servent, address, size, tiger, is_partial }).into_iter().collect()
            }
            Target::Proxies(wanted) => {
                let proxies = push_proxies(value).filter(|(servent, _)| servent == wanted);
                let proxies = proxies.map(|(_, proxies)| proxies).unwrap_or_default().into_iter();
                proxies.filter(|proxy| self.may_use(*proxy, by)).map(Found::Proxy).collect()
            }
        }
    }
}
