//! What is known of a connected node.

use super::coordinates::Position;
use super::fetch::{AT_ONCE, Asked};
use super::{Location, Output, Relay};
use crate::token_bucket::TokenBucket;
use crate::{PeerKey, Time};
use playswarm_proto::AddressClass;
use playswarm_proto::address_class::network;
use playswarm_proto::live::message::Hello;
use playswarm_proto::live::{NodeId, Stripes};
use std::collections::VecDeque;
use std::net::SocketAddr;

/// Beats sent whose echo is awaited.
const MAX_SENT: usize = 4;
/// Time for which a connection without use is kept, even if there are more than enough, seconds. A
/// redirect and the request after it need it.
const IDLE_S: f64 = 5.0;

/// Connections of a source, in multiples of those of other nodes. Newcomers begin there, and leave
/// once they are placed.
const SOURCE_LINKS: usize = 16;
/// Divisor that gives a network's share of the connections of a node. One holder of addresses then
/// cannot surround a node, nor keep others from it. A source feeds few and only names others, so all
/// viewers behind one address must get their answers: a sixteenth of its connections is enough.
const NETWORK_SHARE: usize = 4;
const NETWORK_SHARE_OF_SOURCE: usize = 16;

#[derive(Debug)]
pub(super) struct Link {
    /// The other end of the connection.
    pub(super) remote: SocketAddr,
    pub(super) dialled: bool,
    pub(super) hello: Option<Hello>,
    /// Address at which the node can be dialled.
    pub(super) listen: Option<SocketAddr>,
    opened: Time,
    pub(super) heard: Time,
    /// Last time at which the connection was of use.
    used: Time,
    pub(super) location: Location,
    /// Children that it can have in all stripes.
    pub(super) capacity: u16,
    /// Stripes that it would feed us with.
    pub(super) offers: Stripes,
    /// By how many groups its newest was ahead of ours when it said so. That changes little, while
    /// its newest group does. `None` if it had none.
    pub(super) ahead: Option<i64>,
    /// The last beat from it.
    pub(super) last_beat: Option<(u16, Time)>,
    sent: VecDeque<(u16, Time)>,
    pub(super) rtt_s: Option<f64>,
    pub(super) wants: TokenBucket,
    /// Packets that it was asked for.
    pub(super) requests: Vec<Asked>,
    /// How many these may be.
    pub(super) at_once: usize,
    /// Time since which data waits too long to be sent.
    pub(super) slow_since: Option<Time>,
}

impl Link {
    pub(super) fn new(now: Time, remote: SocketAddr, dialled: bool, wants_per_s: f64) -> Link {
        Link {
            remote,
            dialled,
            hello: None,
            listen: None,
            opened: now,
            heard: now,
            used: now,
            location: Location { ip: Some(remote.ip()), ..Location::default() },
            capacity: 0,
            offers: Stripes::NONE,
            ahead: None,
            last_beat: None,
            sent: VecDeque::new(),
            rtt_s: None,
            wants: TokenBucket::new(now, wants_per_s, wants_per_s, wants_per_s),
            requests: Vec::new(),
            at_once: AT_ONCE.0,
            slow_since: None,
        }
    }

    pub(super) fn greet(&mut self, hello: Hello) {
        self.listen = match (self.dialled, hello.port) {
            (true, _) => Some(self.remote),
            (false, 0) => None,
            (false, port) => Some(SocketAddr::new(self.remote.ip(), port)),
        };
        self.location.position = Position::decode(hello.coordinate);
        self.hello = Some(hello);
    }

    pub(super) fn node(&self) -> Option<NodeId> {
        self.hello.map(|hello| hello.node)
    }

    pub(super) fn is_source(&self) -> bool {
        self.hello.is_some_and(|hello| hello.source)
    }

    pub(super) fn sent_beat(&mut self, now: Time, sequence: u16) {
        if self.sent.len() >= MAX_SENT {
            self.sent.pop_front();
        }
        self.sent.push_back((sequence, now));
    }

    /// Returns the round trip that the echo of a beat shows.
    pub(super) fn echoed(&mut self, now: Time, echo: u16, held_ms: u16) -> Option<f64> {
        let at = self.sent.iter().position(|(sequence, _)| *sequence == echo)?;
        let (_, sent) = self.sent[at];
        self.sent.drain(..=at);
        let rtt_s = now.since(sent).as_secs_f64() - f64::from(held_ms) / 1000.0;
        if rtt_s < 0.0 {
            return None;
        }
        self.rtt_s = Some(self.rtt_s.map_or(rtt_s, |known| known + (rtt_s - known) / 4.0));
        Some(rtt_s)
    }
}

impl Relay {
    /// Returns whether the bounds allow one more connection to this address. Networks of users and of
    /// providers' customers have no bound of their own: their nodes know each other.
    pub(super) fn has_room(&self, addr: SocketAddr) -> bool {
        let (most, share) = match self.is_source {
            true => (SOURCE_LINKS * self.config.links, NETWORK_SHARE_OF_SOURCE),
            false => (self.config.links, NETWORK_SHARE),
        };
        let of = network(addr.ip());
        let is_near =
            || self.links.values().filter(|link| network(link.remote.ip()) == of).count() < most.div_ceil(share);
        self.links.len() < most && (AddressClass::of(addr.ip()).is_local() || is_near())
    }

    /// Closes connections to nodes that have been silent for too long.
    pub(super) fn close_dead_links(&mut self, now: Time) {
        let silence_s = self.beat_s() * f64::from(self.config.missed);
        let dead: Vec<PeerKey> = (self.links.iter())
            .filter(|(_, link)| now >= link.heard.plus_secs(silence_s))
            .map(|(peer, _)| *peer)
            .collect();
        for peer in dead {
            self.outputs.push_back(Output::Close(peer));
            self.left(now, peer);
        }
    }

    /// Closes connections beyond those that are kept for repairs, the one without use for longest
    /// first.
    pub(super) fn close_idle_links(&mut self, now: Time) {
        let asked: Vec<PeerKey> = self.trees.iter().flat_map(|tree| tree.asked_peers()).collect();
        let used: Vec<PeerKey> =
            self.links.keys().copied().filter(|peer| self.is_used(*peer) || asked.contains(peer)).collect();
        for peer in &used {
            if let Some(link) = self.links.get_mut(peer) {
                link.used = now;
            }
        }
        let spare = self.links.len() - used.len();
        if spare <= self.config.spare_links {
            return;
        }
        let mut idle: Vec<(Time, PeerKey)> = (self.links.iter())
            .filter(|(peer, link)| !used.contains(peer) && now >= link.used.max(link.opened).plus_secs(IDLE_S))
            .map(|(peer, link)| (link.used, *peer))
            .collect();
        idle.sort_unstable();
        for (_, peer) in idle.into_iter().take(spare - self.config.spare_links) {
            self.outputs.push_back(Output::Close(peer));
            self.left(now, peer);
        }
    }
}
