//! A network without delays, in which relays talk to each other.

mod capacity;
mod hostile;
mod nat;
mod policies;
mod repairs;
mod trees;

use super::*;
use playswarm_proto::live::message::{From, Join, Wanted};
use std::net::Ipv4Addr;

/// What one stripe costs in these tests, bytes per second: enough for a beat a second. The upload is
/// given in places.
const STRIPE: f64 = 100_000.0;

pub(super) fn channel(stripes: u8, needed: u8) -> Channel {
    Channel { stripes, needed, stripe_bytes_per_s: STRIPE }
}

/// Returns the upload that makes this many places.
pub(super) fn places(count: u16) -> f64 {
    f64::from(count) * STRIPE / 0.9 + 1.0
}

pub(super) fn addr(node: usize) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(20, 0, node as u8, 1), 6881))
}

#[derive(Debug)]
enum Job {
    Deliver(usize, Input),
}

pub(super) struct Net {
    pub(super) now: Time,
    pub(super) nodes: Vec<Option<Relay>>,
    /// The ends of each connection: node and its number there.
    ends: BTreeMap<(usize, PeerKey), (usize, PeerKey)>,
    jobs: VecDeque<Job>,
    next_peer: u32,
    /// What every node did, in order, without beats.
    pub(super) log: Vec<(usize, Output)>,
    /// Nodes whose messages are lost.
    pub(super) mute: BTreeSet<usize>,
    /// Nodes behind firewalls: dials to them get no answer, except from nodes that they have dialled.
    pub(super) hidden: BTreeSet<usize>,
    /// Pairs of nodes, the first of which has dialled the second.
    met: BTreeSet<(usize, usize)>,
}

impl Net {
    /// Creates a network whose node 0 is the source, with this many places.
    pub(super) fn new(config: &Config, channel: Channel, source_places: u16) -> Net {
        let mut net = Net {
            now: Time::from_secs_f64(1.0),
            nodes: Vec::new(),
            ends: BTreeMap::new(),
            jobs: VecDeque::new(),
            next_peer: 0,
            log: Vec::new(),
            mute: BTreeSet::new(),
            hidden: BTreeSet::new(),
            met: BTreeSet::new(),
        };
        let source = Relay::source(net.now, config.clone(), NodeId(1000), 6881, channel);
        net.nodes.push(Some(source));
        net.give(0, Input::Upload(places(source_places)));
        net
    }

    /// Adds a viewer with this many places that knows the source.
    pub(super) fn join(&mut self, config: &Config, count: u16) -> usize {
        let channel = self.nodes[0].as_ref().unwrap().channel.unwrap();
        self.join_of(config, channel, count)
    }

    pub(super) fn join_of(&mut self, config: &Config, channel: Channel, count: u16) -> usize {
        let node = self.nodes.len();
        let config = Config { seed: node as u64, ..config.clone() };
        let mut relay = Relay::new(self.now, config, NodeId(1000 + node as u64), 6881);
        // The head comes with the first answer; here it is known at once.
        relay.handle(self.now, Input::Channel(channel));
        self.nodes.push(Some(relay));
        self.give(node, Input::Upload(places(count)));
        self.give(node, Input::Contact(addr(0), None));
        node
    }

    pub(super) fn node(&self, node: usize) -> &Relay {
        self.nodes[node].as_ref().unwrap()
    }

    /// Returns the node that feeds another with a stripe.
    pub(super) fn parent(&self, node: usize, stripe: u8) -> Option<usize> {
        Some((self.node(node).parent(stripe)?.node.0 - 1000) as usize)
    }

    /// Returns for how long the channel is full to a node.
    pub(super) fn full_for_s(&self, node: usize) -> Option<f64> {
        self.node(node).full_for_s(self.now)
    }

    /// Returns the number under which a node knows another.
    pub(super) fn peer(&self, node: usize, other: usize) -> Option<PeerKey> {
        self.node(node).link_of(NodeId(1000 + other as u64))
    }

    pub(super) fn give(&mut self, node: usize, input: Input) {
        self.jobs.push_back(Job::Deliver(node, input));
        while let Some(Job::Deliver(node, input)) = self.jobs.pop_front() {
            let now = self.now;
            let Some(relay) = &mut self.nodes[node] else { continue };
            relay.handle(now, input);
            let outputs: Vec<Output> = std::iter::from_fn(|| relay.poll()).collect();
            if relay.next_timeout() > now {
                relay.check_invariants(now).unwrap_or_else(|why| panic!("node {node} at {now:?}: {why}"));
            }
            outputs.into_iter().for_each(|output| self.carry_out(node, output));
        }
    }

    fn carry_out(&mut self, node: usize, output: Output) {
        match &output {
            Output::Tell(_, Message::Beat(_)) => {}
            _ => self.log.push((node, output.clone())),
        }
        match output {
            Output::Dial(to) => {
                let there = self.nodes.iter().enumerate().position(|(n, relay)| addr(n) == to && relay.is_some());
                self.met.extend(there.map(|there| (node, there)));
                if there.is_some_and(|there| self.hidden.contains(&there) && !self.met.contains(&(there, node))) {
                    return;
                }
                let Some(there) = there else {
                    return self.jobs.push_back(Job::Deliver(node, Input::Dialled(to, Dialled::Failed)));
                };
                let (a, b) = (PeerKey(self.next_peer), PeerKey(self.next_peer + 1));
                self.next_peer += 2;
                self.ends.insert((node, a), (there, b));
                self.ends.insert((there, b), (node, a));
                self.jobs.push_back(Job::Deliver(there, Input::Incoming(b, addr(node))));
                self.jobs.push_back(Job::Deliver(node, Input::Dialled(to, Dialled::Connected(a))));
            }
            Output::Tell(peer, message) => {
                if let Some((there, from)) = self.ends.get(&(node, peer)).copied()
                    && !self.mute.contains(&node)
                {
                    self.jobs.push_back(Job::Deliver(there, Input::Heard(from, message)));
                }
            }
            Output::Close(peer) => {
                if let Some((there, from)) = self.ends.remove(&(node, peer)) {
                    self.ends.remove(&(there, from));
                    self.jobs.push_back(Job::Deliver(there, Input::Left(from)));
                }
            }
            _ => {}
        }
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, seconds: f64) {
        let end = self.now.plus_secs(seconds);
        loop {
            let next =
                self.nodes.iter().enumerate().filter_map(|(n, relay)| Some((relay.as_ref()?.next_timeout(), n))).min();
            let Some((at, node)) = next.filter(|(at, _)| *at <= end) else { break };
            self.now = self.now.max(at);
            self.give(node, Input::Timeout);
        }
        self.now = end;
    }

    /// Ends a node as a power cut does.
    pub(super) fn kill(&mut self, node: usize) {
        self.nodes[node] = None;
        let ends: Vec<_> = self.ends.iter().filter(|((n, _), _)| *n == node).map(|(a, b)| (*a, *b)).collect();
        for (here, there) in ends {
            self.ends.remove(&here);
            self.ends.remove(&there);
            self.give(there.0, Input::Left(there.1));
        }
    }

    /// The source sends a packet of each stripe down the trees.
    pub(super) fn send_group(&mut self, group: u64, stripes: Stripes) {
        for stripe in stripes.iter() {
            let mut todo: Vec<usize> = vec![0];
            while let Some(node) = todo.pop() {
                for peer in self.node(node).feeds(stripe).to_vec() {
                    let (there, from) = self.ends[&(node, peer)];
                    self.give(there, Input::Arrived { from, stripe, group });
                    todo.push(there);
                }
            }
        }
    }

    pub(super) fn count(&self, node: usize, is: impl Fn(&Output) -> bool) -> usize {
        self.log.iter().filter(|(of, output)| *of == node && is(output)).count()
    }
}

pub(super) fn join_for(stripes: Stripes) -> Join {
    Join {
        stripes,
        from: From::Start,
        upload: 0,
        homes: Stripes::NONE,
        tries: 0,
        instead_of: None,
        asked: Vec::new(),
        ancestors: Vec::new(),
        route: Vec::new(),
    }
}

pub(super) fn wanted(group: u64, packets: Stripes) -> Wanted {
    Wanted { group, packets }
}
