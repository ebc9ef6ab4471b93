//! Which connections are closed: useless ones, those whose place another needs, and old connections
//! to a peer that returned by another address.

use super::places::{self, Room, Tenant};
use super::{Connection, Disconnect, Origin, Peer, Torrent};
use crate::{PeerKey, Time};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Time for which two seeds stay connected. They may have peers to exchange.
const REDUNDANT: Duration = Duration::from_secs(30);
/// Time for which two peers stay connected while neither has pieces that the other lacks. Either
/// may get new ones.
const USELESS: Duration = Duration::from_secs(600);
/// Time between two connections that give way to pending dials.
const TURN_EVERY: Duration = Duration::from_secs(5);
/// Number of connections that give way at once while a reader is blocked on a piece that no
/// connected peer has.
const TURNS_WHILE_STARVED: usize = 8;
/// Time within which two peers that dial each other at once notice it.
const CROSSING: Duration = Duration::from_secs(5);
/// Silence from which a connection may be dead. A peer with the same id may then open a second one.
const DOUBTFUL: Duration = Duration::from_secs(10);
/// Silence from which a connection may be dead if the peer owes an answer.
const DOUBTFUL_OWING: Duration = Duration::from_secs(3);
/// Most connections to peers with one id.
const MAX_TWINS: usize = 2;
/// Most further addresses remembered for a peer.
const MAX_OTHER_ADDRS: usize = 4;

/// The decision about a connection to a peer whose id is connected already.
pub(super) enum Twin {
    /// The id is not connected yet.
    None,
    /// The old connection stays; the new one is refused.
    Refused(PeerKey),
    /// The old connection may be dead: both stay until one proves useful.
    Beside(PeerKey),
}

impl Torrent {
    fn tenants(&self, now: Time) -> Vec<Tenant> {
        let complete = self.is_complete();
        let tenant = |(key, p): (&PeerKey, &Peer)| Tenant {
            key: *key,
            ip: p.addr.ip(),
            incoming: p.incoming,
            age_s: now.since(p.joined).as_secs_f64(),
            idle_s: now.since(p.traded).as_secs_f64(),
            useful: (!complete && p.wanted) || (p.interested && !self.peer_is_complete(*key)),
            // Even peers that the user named give way while none of them has the piece on which a
            // reader is blocked.
            kept: (p.origin == Origin::Given && self.starved_since.is_none()) || self.is_parent(*key),
        };
        self.connections().map(tenant).collect()
    }

    /// Returns whether a place is available for an incoming connection from this address.
    pub(super) fn room_for(&self, now: Time, ip: IpAddr) -> Room {
        places::for_incoming(self.config.max_peers, &self.tenants(now), ip)
    }

    /// Returns how many more connections may be dialled.
    pub(super) fn room_for_dials(&self) -> usize {
        let (all, incoming) =
            self.connections().fold((0, 0), |(all, incoming), (_, p)| (all + 1, incoming + usize::from(p.incoming)));
        places::for_dials(self.config.max_peers, incoming, all - incoming)
    }

    /// Closes connections that are useless from now on.
    pub(super) fn end_useless(&mut self) {
        let (complete, now) = (self.is_complete(), self.now);
        let seeds: Vec<PeerKey> = self.peers.keys().copied().filter(|key| self.peer_is_complete(*key)).collect();
        let mut redundant = Vec::new();
        for (key, p) in &mut self.peers {
            let both = complete && seeds.contains(key);
            p.redundant_since = both.then(|| p.redundant_since.unwrap_or(now));
            if p.redundant_since.is_some_and(|since| now.since(since) > REDUNDANT) {
                redundant.push(*key);
            }
        }
        redundant.into_iter().for_each(|key| self.disconnect(key, &Disconnect::Redundant));
        if self.ready().is_none() {
            return;
        }
        let useless = |p: &Peer| {
            let trades = (p.wanted && !complete) || p.interested;
            !trades && now.since(p.traded) > USELESS && p.origin != Origin::Given && p.source.is_none()
        };
        let useless: Vec<PeerKey> = self.peers.iter().filter(|(_, p)| useless(p)).map(|(key, _)| *key).collect();
        for key in useless {
            self.disconnect(key, &Disconnect::Closed("neither side has pieces that the other lacks".to_owned()));
        }
    }

    /// Closes the least useful connections if all places are taken and addresses wait to be
    /// dialled.
    pub(super) fn turn_over(&mut self) {
        let now = self.now;
        let rested = self.turned_at.is_none_or(|at| now.since(at) > TURN_EVERY);
        if !rested || self.room_for_dials() > 0 {
            return;
        }
        let most = if self.starved_since.is_some() { TURNS_WHILE_STARVED } else { 1 };
        let turns = self.book.due(now).take(most).count();
        for _ in 0..turns {
            let Some(key) = places::least_useful(&self.tenants(now)) else { return };
            self.turned_at = Some(now);
            self.give_place_of(key);
        }
    }

    /// Compares a new connection with the connected peer of the same id. Ids prove nothing: a peer
    /// that copies one closes only its own connection.
    pub(super) fn twin(&mut self, connection: &Connection) -> Twin {
        let same = self.connections().filter(|(_, p)| p.id == connection.peer_id);
        let same: Vec<PeerKey> = same.map(|(key, _)| *key).collect();
        let Some(key) = same.first().copied() else { return Twin::None };
        let Some(old) = self.peers.get(&key) else { return Twin::None };
        if self.crossed(old, connection) {
            self.disconnect(key, &Disconnect::Closed("both sides connected at the same time".to_owned()));
            return Twin::None;
        }
        // An id that has sent us nothing must not keep out a peer that may.
        let elsewhere = old.addr.ip() != connection.remote.ip();
        let gave_nothing = !self.is_complete() && old.downloaded == 0 && self.now.since(old.joined) > CROSSING;
        let beside = self.is_doubtful(key, old) || (elsewhere && gave_nothing);
        if beside && same.len() < MAX_TWINS { Twin::Beside(key) } else { Twin::Refused(key) }
    }

    /// Returns whether two clients like ours dialled each other at once and both keep this new
    /// connection: the one of the client with the smaller id. The rules of other clients are not
    /// known, so with them the first connection stays.
    fn crossed(&self, old: &Peer, new: &Connection) -> bool {
        let ours = self.config.peer_id;
        old.incoming != new.incoming
            && self.now.since(old.heard) < CROSSING
            && old.downloaded == 0
            && new.peer_id.is_playswarm()
            && new.incoming == (new.peer_id < ours)
    }

    fn is_doubtful(&self, key: PeerKey, p: &Peer) -> bool {
        let silent = self.now.since(p.heard);
        let owes = || {
            let figures = self.picker().and_then(|picker| picker.peer(key));
            figures.is_some_and(|f| f.snubbed || f.outstanding > 0)
        };
        silent > DOUBTFUL || (silent > DOUBTFUL_OWING && owes())
    }

    /// Notes a further address at which a connected peer answered. It is not dialled during that
    /// connection. Returns whether there was room for it.
    pub(super) fn answers_at(&mut self, key: PeerKey, addr: SocketAddr, origin: Origin) -> bool {
        let Some(p) = self.peers.get_mut(&key) else { return false };
        if !p.other_addrs.contains(&addr) {
            if p.other_addrs.len() >= MAX_OTHER_ADDRS {
                return false;
            }
            p.other_addrs.push(addr);
        }
        self.book.connected(self.now, addr, origin);
        true
    }

    /// Closes one of two connections to a peer with one id. The older one closes if it was silent
    /// while the newer one sent useful data. The newer one closes if the older one proved alive.
    pub(super) fn settle_twins(&mut self) {
        let now = self.now;
        let twins = self.peers.iter().filter_map(|(key, p)| p.twin.map(|old| (*key, old)));
        for (new, old) in twins.collect::<Vec<_>>() {
            let (Some(n), Some(o)) = (self.peers.get(&new), self.peers.get(&old)) else {
                if let Some(n) = self.peers.get_mut(&new) {
                    n.twin = None;
                }
                continue;
            };
            if n.right > 0 && o.heard < n.joined && now.since(o.heard) > DOUBTFUL {
                self.disconnect(old, &Disconnect::Closed("it reconnected from another address".to_owned()));
            } else if o.heard > n.joined && n.downloaded == 0 && now.since(n.joined) > CROSSING {
                let (addr, origin, dialled) = (n.addr, n.origin, !n.incoming);
                self.disconnect(new, &Disconnect::Closed("the peer is already connected".to_owned()));
                if dialled {
                    self.answers_at(old, addr, origin);
                }
            }
        }
    }
}
