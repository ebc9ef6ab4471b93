//! A simulated node: its machines, its line and what it holds.

use super::network::Place;
use super::player::Player;
use playswarm_logic::relay::Relay;
use playswarm_logic::stripe::Assembler;
use playswarm_logic::stripe::assembler::Facts;
use playswarm_logic::{PeerKey, Time};
use playswarm_proto::live::Message;
use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};

/// Groups that a node keeps: 30 s of the shortest.
const MAX_GROUPS: usize = 600;

/// How old the group is at least with which a child begins, milliseconds.
pub(super) const HALF_MARGIN_MS: u64 = 500;

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) node: usize,
    /// The connection's number there.
    pub(super) peer: PeerKey,
    /// Whether this side has closed it.
    pub(super) is_closed: bool,
    /// When the last bytes of a stream arrive, and when the next may be sent: only where packets
    /// are lost.
    pub(super) last_at: Time,
    pub(super) free_at: Time,
    /// When the first bytes left, the segments so far, the handshake's included, and when the last
    /// message was added: only where connections begin slowly.
    pub(super) began: Option<Time>,
    pub(super) segments: u32,
    pub(super) message_since: Option<Time>,
}

impl End {
    pub(super) fn new(node: usize, peer: PeerKey) -> End {
        let (last_at, free_at) = (Time::ZERO, Time::ZERO);
        End { node, peer, is_closed: false, last_at, free_at, began: None, segments: 1, message_since: None }
    }
}

/// A message or packet that waits for a node's line.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) peer: PeerKey,
    pub(super) bytes: usize,
    pub(super) since: Time,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Message(Box<Message>),
    Packet(u8, u64, Facts),
    /// The end of the connection.
    End,
}

/// What a node holds of a group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) facts: Facts,
    pub(super) have: u32,
    /// Packets that were passed on.
    pub(super) passed: u32,
}

impl Held {
    pub(super) fn is_whole(&self) -> bool {
        self.have.count_ones() >= u32::from(self.facts.needed)
    }
}

/// What a node has of the groups of the tree grain.
#[derive(Clone, Debug, Default)]
pub(super) struct Sampled {
    /// Whether it has each of the last 64 groups; bit 0 is the newest.
    pub(super) held: u64,
    /// Groups that the player has not got yet, and when each was complete.
    pub(super) awaited: VecDeque<(u64, Option<Time>)>,
    /// Groups since the first, and those that did not come by themselves.
    pub(super) groups: u32,
    pub(super) unfed: u32,
}

/// What was counted at a node.
#[derive(Clone, Debug, Default)]
pub(super) struct Counted {
    pub(super) sent: u64,
    pub(super) control: u64,
    pub(super) received: u64,
    pub(super) duplicates: u64,
    pub(super) repairs_s: Vec<f64>,
    pub(super) last_repair: Option<Time>,
    /// Parents found instead of others.
    pub(super) moves: u64,
    /// Time from the start to the first parent of the first stripe, seconds.
    pub(super) parent_s: Option<f64>,
}

/// A node.
pub(super) struct Node {
    pub(super) relay: Relay,
    pub(super) assembler: Assembler,
    pub(super) place: Place,
    pub(super) upload: f64,
    /// What waits for the line: messages and new packets, then packets of the past by their
    /// groups. Connections take turns with these.
    pub(super) urgent: VecDeque<Sending>,
    pub(super) bulk: VecDeque<(PeerKey, BTreeMap<u64, VecDeque<Sending>>)>,
    pub(super) is_sending: bool,
    pub(super) reachable: bool,
    /// Whether it takes children and sends them nothing.
    pub(super) lies: bool,
    pub(super) alive: bool,
    pub(super) has_head: bool,
    pub(super) ends: BTreeMap<PeerKey, End>,
    pub(super) groups: BTreeMap<u64, Held>,
    pub(super) sampled: Sampled,
    pub(super) player: Player,
    pub(super) came: Time,
    pub(super) went: Option<Time>,
    pub(super) first_packet: Option<Time>,
    pub(super) next_peer: u32,
    pub(super) wake: Time,
    pub(super) counted: Counted,
}

impl Node {
    pub(super) fn new(now: Time, relay: Relay, assembler: Assembler, upload: f64, place: Place) -> Node {
        Node {
            relay,
            assembler,
            place,
            upload,
            urgent: VecDeque::new(),
            bulk: VecDeque::new(),
            is_sending: false,
            reachable: true,
            lies: false,
            alive: true,
            has_head: false,
            ends: BTreeMap::new(),
            groups: BTreeMap::new(),
            sampled: Sampled::default(),
            player: Player::default(),
            came: now,
            went: None,
            first_packet: None,
            next_peer: 0,
            wake: Time::NEVER,
            counted: Counted::default(),
        }
    }

    pub(super) fn is_open(&self, peer: PeerKey) -> bool {
        self.ends.get(&peer).is_some_and(|end| !end.is_closed)
    }

    pub(super) fn take_peer(&mut self) -> PeerKey {
        self.next_peer += 1;
        PeerKey(self.next_peer)
    }

    /// Adds a packet of the past.
    pub(super) fn push_past(&mut self, group: u64, sending: Sending) {
        let at = self.bulk.iter().position(|(peer, _)| *peer == sending.peer).unwrap_or_else(|| {
            self.bulk.push_back((sending.peer, BTreeMap::new()));
            self.bulk.len() - 1
        });
        self.bulk[at].1.entry(group).or_default().push_back(sending);
    }

    /// Returns what is sent next.
    pub(super) fn pop_sending(&mut self) -> Option<Sending> {
        if let Some(next) = self.urgent.pop_front() {
            return Some(next);
        }
        let (peer, mut waiting) = self.bulk.pop_front()?;
        let mut oldest = waiting.first_entry()?;
        let next = oldest.get_mut().pop_front();
        if oldest.get().is_empty() {
            oldest.remove();
        }
        if !waiting.is_empty() {
            self.bulk.push_back((peer, waiting));
        }
        next
    }

    /// Returns how long data has waited for each connection, seconds.
    pub(super) fn waits(&self, now: Time) -> Vec<(PeerKey, f64)> {
        let mut waits: BTreeMap<PeerKey, f64> = self
            .ends
            .iter()
            .filter(|(_, end)| !end.is_closed)
            .map(|(peer, end)| (*peer, end.free_at.0.saturating_sub(now.0) as f64 / 1e6))
            .collect();
        for sending in &self.urgent {
            if let Some(wait_s) = waits.get_mut(&sending.peer) {
                *wait_s = wait_s.max(now.since(sending.since).as_secs_f64());
            }
        }
        waits.into_iter().collect()
    }

    pub(super) fn hold(&mut self, group: u64, facts: Facts) -> &mut Held {
        while self.groups.len() > MAX_GROUPS {
            self.groups.pop_first();
        }
        self.groups.entry(group).or_insert(Held { facts, have: 0, passed: 0 })
    }

    /// Returns the group with which a child begins: the newest restart group that is half a margin
    /// old.
    pub(super) fn start(&self) -> Option<u64> {
        let newest = self.groups.values().rev().find(|held| held.is_whole())?.facts.born_ms;
        let restarts = || self.groups.iter().rev().filter(|(_, held)| held.is_whole() && held.facts.restart);
        restarts()
            .find(|(_, held)| newest.saturating_sub(held.facts.born_ms) >= HALF_MARGIN_MS)
            .or_else(|| restarts().next_back())
            .map(|(number, _)| *number)
    }

    /// Returns the node that feeds it with a stripe, if the connection is open.
    pub(super) fn fed_by(&self, stripe: u8) -> Option<usize> {
        let end = self.ends.get(&self.relay.parent(stripe)?.peer)?;
        (!end.is_closed).then_some(end.node)
    }
}

/// Returns the address of a node.
pub(super) fn address(node: usize) -> SocketAddr {
    let [_, a, b, c] = (node as u32 + 1).to_be_bytes();
    SocketAddr::from((Ipv4Addr::new(20 + a, b, c, 9), 6881))
}

/// Returns the node at an address.
pub(super) fn at(addr: SocketAddr) -> Option<usize> {
    let SocketAddr::V4(addr) = addr else { return None };
    let [a, b, c, _] = addr.ip().octets();
    (u32::from_be_bytes([0, a.checked_sub(20)?, b, c]) as usize).checked_sub(1)
}
