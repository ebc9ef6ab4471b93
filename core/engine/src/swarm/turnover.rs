//! Which connections are given up: those of no use to either side, those whose place another needs, and old connections to
//! a peer that has come back by another way.

use crate::swarm::driver::{State, Swarm};
use crate::swarm::link::Link;
use crate::swarm::peer::{Peer, Verdict as Conduct};
use playswarm_logic::torrent::places::{self, Room, Tenant};
use playswarm_logic::{PeerKey, Time};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use playswarm_logic::torrent::Origin;

/// How long two that both have all stay connected: they may have peers to tell each other.
const REDUNDANT: Duration = Duration::from_secs(30);
/// How long two stay connected of which neither has what the other lacks. Either may get something new.
const USELESS: Duration = Duration::from_secs(600);
/// Between two connections that give way to ones that are to be dialled.
const TURN_EVERY: Duration = Duration::from_secs(5);
/// Connections that give way at once while a reader waits for what no connected peer has.
const TURNS_WHILE_STARVED: usize = 8;
/// Two that dial each other at once notice it within this time.
const CROSSING: Duration = Duration::from_secs(5);
/// A connection silent for longer than this may be dead: a peer of the same id may connect beside it.
const DOUBTFUL: Duration = Duration::from_secs(10);
/// The same where the peer owes us an answer.
const DOUBTFUL_OWING: Duration = Duration::from_secs(3);
/// Connections to peers of one id at most.
const MAX_TWINS: usize = 2;
/// Further addresses remembered of a peer.
const MAX_OTHER_ADDRS: usize = 4;

/// What to do with a connection to a peer whose id is that of another.
pub(super) enum Twin {
    /// There is no other.
    None,
    /// The other one stays, and this one is not wanted.
    Refused(PeerKey),
    /// The other one may be dead: both stay until it is known which is of use.
    Beside(PeerKey),
}

impl Swarm {
    fn is_complete(st: &State) -> bool {
        st.picker.as_ref().is_some_and(|p| p.have().is_full())
    }

    fn tenants(&self, st: &State) -> Vec<Tenant> {
        let complete = Swarm::is_complete(st);
        let tenant = |(key, p): (&PeerKey, &Peer)| Tenant {
            key: *key,
            ip: p.addr.ip(),
            incoming: p.incoming,
            age_s: p.joined.elapsed().as_secs_f64(),
            idle_s: p.traded.elapsed().as_secs_f64(),
            useful: (!complete && p.wanted) || (p.interested && !p.is_complete()),
            // Even those that the user named give way to others while none of them has what is waited for.
            kept: (p.origin == Origin::Given && st.starved_since.is_none()) || Swarm::is_parent(st, *key),
        };
        st.peers.iter().map(tenant).collect()
    }

    /// Whether a connection that comes in from there finds a place.
    pub(super) fn room_for(&self, st: &State, ip: IpAddr) -> Room {
        places::for_incoming(self.config.max_peers, &self.tenants(st), ip)
    }

    /// How many more connections may be dialled.
    pub(super) fn room_for_dials(&self, st: &State) -> usize {
        let incoming = st.peers.values().filter(|p| p.incoming).count();
        places::for_dials(self.config.max_peers, incoming, st.peers.len() - incoming)
    }

    /// Ends connections over which nothing will go any more.
    pub(super) fn end_useless(&self, st: &mut State) {
        let complete = Swarm::is_complete(st);
        let mut redundant = Vec::new();
        for (key, p) in &mut st.peers {
            let both = complete && p.is_complete();
            p.redundant_since = both.then(|| p.redundant_since.unwrap_or_else(Instant::now));
            if p.redundant_since.is_some_and(|since| since.elapsed() > REDUNDANT) {
                redundant.push(*key);
            }
        }
        redundant.into_iter().for_each(|key| self.part(st, key, Conduct::Redundant));
        if self.content.get().is_none() {
            return;
        }
        let useless = |p: &Peer| {
            !((p.wanted && !complete) || p.interested) && p.traded.elapsed() > USELESS && p.origin != Origin::Given
        };
        let useless: Vec<PeerKey> = st.peers.iter().filter(|(_, p)| useless(p)).map(|(key, _)| *key).collect();
        for key in useless {
            self.part(st, key, Conduct::Gone("neither has what the other lacks".to_owned()));
        }
    }

    /// Where all places are taken and there is an address to be tried, the least useful connection gives way.
    pub(super) fn turn_over(&self, st: &mut State, now: Time) {
        let rested = st.turned_at.is_none_or(|at| at.elapsed() > TURN_EVERY);
        if !rested || self.room_for_dials(st) > 0 {
            return;
        }
        let turns = st.book.due(now).take(if st.starved_since.is_some() { TURNS_WHILE_STARVED } else { 1 }).count();
        for _ in 0..turns {
            let Some(key) = places::least_useful(&self.tenants(st)) else { return };
            st.turned_at = Some(Instant::now());
            self.part(st, key, Conduct::Gone("its place is for another".to_owned()));
        }
    }

    /// What a new connection is to a peer that is connected already by its id. Ids are no proof of anything: whoever copies one
    /// ends no connection but its own.
    pub(super) fn twin(&self, st: &mut State, link: &Link) -> Twin {
        let same: Vec<PeerKey> = st.peers.iter().filter(|(_, p)| p.id == link.peer_id).map(|(key, _)| *key).collect();
        let Some(key) = same.first().copied() else { return Twin::None };
        let Some(old) = st.peers.get(&key) else { return Twin::None };
        if self.crossed(old, link) {
            self.part(st, key, Conduct::Gone("it dialled us while we dialled it".to_owned()));
            return Twin::None;
        }
        // An id that has given us nothing must not keep out another that may.
        let elsewhere = old.addr.ip() != link.remote.ip();
        let gave_nothing = !Swarm::is_complete(st) && old.downloaded == 0 && old.joined.elapsed() > CROSSING;
        let beside = Swarm::is_doubtful(st, key, old) || (elsewhere && gave_nothing);
        if beside && same.len() < MAX_TWINS { Twin::Beside(key) } else { Twin::Refused(key) }
    }

    /// Whether two of ours dialled each other at once and this new link is the one that both keep: that of the one with
    /// the smaller id. Other clients' rules are not known, so there the first link stays.
    fn crossed(&self, old: &Peer, new: &Link) -> bool {
        let ours = self.transport.peer_id().0;
        old.incoming != new.incoming
            && old.heard.elapsed() < CROSSING
            && old.downloaded == 0
            && new.peer_id.0.starts_with(&ours[..4])
            && new.incoming == (new.peer_id.0 < ours)
    }

    fn is_doubtful(st: &State, key: PeerKey, p: &Peer) -> bool {
        let silent = p.heard.elapsed();
        let owes = || {
            let figures = st.picker.as_ref().and_then(|picker| picker.peer(key));
            figures.is_some_and(|f| f.snubbed || f.outstanding > 0)
        };
        silent > DOUBTFUL || (silent > DOUBTFUL_OWING && owes())
    }

    /// An address at which a connected peer answered too: it is not dialled while that connection is there.
    pub(super) fn answers_at(&self, st: &mut State, key: PeerKey, addr: std::net::SocketAddr, origin: Origin) -> bool {
        let Some(p) = st.peers.get_mut(&key) else { return false };
        if !p.other_addrs.contains(&addr) {
            if p.other_addrs.len() >= MAX_OTHER_ADDRS {
                return false;
            }
            p.other_addrs.push(addr);
        }
        st.book.connected(addr, origin);
        true
    }

    /// Of two connections to a peer of one id the older one goes where it has been silent while the newer one gave us something;
    /// the newer one where the older one turned out to be alive.
    pub(super) fn settle_twins(&self, st: &mut State) {
        let pairs: Vec<(PeerKey, PeerKey)> =
            st.peers.iter().filter_map(|(key, p)| p.twin.map(|old| (*key, old))).collect();
        for (new, old) in pairs {
            let (Some(n), Some(o)) = (st.peers.get(&new), st.peers.get(&old)) else {
                if let Some(n) = st.peers.get_mut(&new) {
                    n.twin = None;
                }
                continue;
            };
            if n.right > 0 && o.heard < n.joined && o.heard.elapsed() > DOUBTFUL {
                self.part(st, old, Conduct::Gone("it came back by another way".to_owned()));
            } else if o.heard > n.joined && n.downloaded == 0 && n.joined.elapsed() > CROSSING {
                let (addr, origin, dialled) = (n.addr, n.origin, !n.incoming);
                self.part(st, new, Conduct::Gone("it is connected already".to_owned()));
                if dialled {
                    self.answers_at(st, old, addr, origin);
                }
            }
        }
    }
}
