//! Places for connections: their number, their division, and which connection gives way. Pure.
//!
//! Beyond the usual number of places, each direction has a reserve of a quarter of that number.
//! Incoming connections cannot take the places needed for dialling, and the other way round. One
//! subscriber holds few places. If all are taken, the least useful connection gives way.

use super::bans::is_shared_locally;
use crate::PeerKey;
use playswarm_proto::address_class::subscriber;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Divisor of all places that gives the number of places for one subscriber.
const SUBSCRIBER_SHARE: usize = 10;
/// Divisor for one subscriber if the programs of one machine share the address.
const LOCAL_SHARE: usize = 2;
/// Least number of places for one subscriber.
const SUBSCRIBER_LEAST: usize = 2;
/// Time for which a new connection is never closed for another, seconds. Peers need a while to
/// exchange their first blocks.
const SETTLED_S: f64 = 20.0;
/// Idle time after which a connection may be closed for another, whatever its ends want, seconds.
/// Each side may be waiting for its turn, and turns come every 30 s.
const IDLE_S: f64 = 300.0;

/// A connection, as it counts when places run short.
#[derive(Clone, Copy, Debug)]
pub struct Tenant {
    /// The peer.
    pub key: PeerKey,
    /// Address of the peer.
    pub ip: IpAddr,
    /// Whether the peer opened the connection.
    pub incoming: bool,
    /// Time since the connection opened, seconds.
    pub age_s: f64,
    /// Time since the last block in either direction, or since the connection opened, seconds.
    pub idle_s: f64,
    /// Whether the peer has pieces that we lack, or wants pieces that we have.
    pub useful: bool,
    /// Whether the connection never gives way: the user named the peer, or it is a parent among
    /// viewers.
    pub kept: bool,
}

/// The availability of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// A place is free.
    Free,
    /// A place is free once this connection is closed.
    Instead(PeerKey),
    /// No place is available.
    None,
}

/// Returns the number of places reserved for each direction.
fn reserve(max_peers: usize) -> usize {
    max_peers / 4
}

/// Returns the number of connections that one subscriber may hold.
pub fn per_subscriber(max_peers: usize, ip: IpAddr) -> usize {
    let share = if is_shared_locally(ip) { LOCAL_SHARE } else { SUBSCRIBER_SHARE };
    (max_peers / share).max(SUBSCRIBER_LEAST)
}

/// Returns the number of further connections that may be dialled.
pub fn for_dials(max_peers: usize, incoming: usize, outgoing: usize) -> usize {
    max_peers.saturating_sub(incoming + outgoing).max(reserve(max_peers).saturating_sub(outgoing))
}

/// Returns whether a place is available for an incoming connection from this address.
pub fn for_incoming(max_peers: usize, tenants: &[Tenant], ip: IpAddr) -> Room {
    let from = subscriber(ip);
    let same: Vec<Tenant> = tenants.iter().filter(|t| subscriber(t.ip) == from).copied().collect();
    let instead = |of: &[Tenant]| least_useful(of).map_or(Room::None, Room::Instead);
    if same.len() >= per_subscriber(max_peers, ip) {
        return instead(&same);
    }
    let incoming = tenants.iter().filter(|t| t.incoming).count();
    if incoming < max_peers.max(1) && tenants.len() < max_peers + reserve(max_peers) {
        return Room::Free;
    }
    instead(tenants)
}

/// Returns the least useful connection, if one may be closed. Connections of no use to either side
/// come first, then those of subscribers that hold many, then those idle for longest.
pub fn least_useful(tenants: &[Tenant]) -> Option<PeerKey> {
    let mut held: BTreeMap<IpAddr, usize> = BTreeMap::new();
    tenants.iter().for_each(|t| *held.entry(subscriber(t.ip)).or_default() += 1);
    let may_go = |t: &&Tenant| !t.kept && t.age_s >= SETTLED_S && t.idle_s >= if t.useful { IDLE_S } else { SETTLED_S };
    let rank = |t: &Tenant| (!t.useful, held.get(&subscriber(t.ip)).copied().unwrap_or(0));
    tenants
        .iter()
        .filter(may_go)
        .max_by(|a, b| rank(a).cmp(&rank(b)).then(a.idle_s.total_cmp(&b.idle_s)))
        .map(|t| t.key)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn tenant(n: u32, ip: IpAddr) -> Tenant {
        Tenant { key: PeerKey(n), ip, incoming: true, age_s: 100.0, idle_s: 1.0, useful: true, kept: false }
    }

    fn host(n: u32) -> IpAddr {
        std::net::Ipv4Addr::from(0x0a00_0000 + n).into()
    }

    #[test]
    fn one_host_cannot_take_every_place() {
        let mut tenants = Vec::new();
        for n in 0..100 {
            let from = ip(&format!("2001:db8::{n:x}"));
            if for_incoming(80, &tenants, from) == Room::Free {
                tenants.push(tenant(n, from));
            }
        }
        assert_eq!(tenants.len(), 8);
        assert_eq!(for_incoming(80, &tenants, ip("2001:db8:0:1::1")), Room::Free);
        assert_eq!(per_subscriber(80, ip("127.0.0.1")), 40, "programs of this machine share it");
        assert_eq!(per_subscriber(80, ip("127.0.0.2")), 8);
    }

    #[test]
    fn those_that_come_in_leave_places_for_dialling_and_the_other_way_round() {
        let tenants: Vec<Tenant> = (0..80).map(|n| tenant(n, host(n))).collect();
        assert_eq!(for_incoming(80, &tenants, host(200)), Room::None);
        assert_eq!(for_dials(80, 80, 0), 20);
        assert_eq!(for_dials(80, 80, 20), 0);
        assert_eq!((for_dials(80, 0, 0), for_dials(80, 10, 60), for_dials(80, 0, 80)), (80, 10, 0));
        let dialled: Vec<Tenant> = tenants.iter().map(|t| Tenant { incoming: false, ..*t }).collect();
        assert_eq!(for_incoming(80, &dialled, host(200)), Room::Free);
        assert_eq!(for_incoming(1, &[], host(1)), Room::Free);
    }

    #[test]
    fn the_least_useful_gives_way() {
        let mut tenants: Vec<Tenant> = (0..80).map(|n| tenant(n, host(n))).collect();
        tenants[5].idle_s = 400.0;
        assert_eq!(for_incoming(80, &tenants, host(200)), Room::Instead(PeerKey(5)));
        (tenants[7].useful, tenants[7].idle_s) = (false, 30.0);
        assert_eq!(for_incoming(80, &tenants, host(200)), Room::Instead(PeerKey(7)), "no use goes before long idle");
        tenants[7].kept = true;
        tenants[5].age_s = 5.0;
        assert_eq!(for_incoming(80, &tenants, host(200)), Room::None);
        tenants[20..23].iter_mut().for_each(|t| (t.useful, t.idle_s) = (false, 30.0));
        (tenants[21].ip, tenants[22].ip) = (host(300), host(300));
        assert!(matches!(for_incoming(80, &tenants, host(200)), Room::Instead(PeerKey(21 | 22))));
    }

    #[test]
    fn a_subscriber_with_all_its_places_gives_up_one_of_its_own() {
        let mut tenants: Vec<Tenant> = (0..8).map(|n| tenant(n, host(1))).collect();
        tenants.push(Tenant { useful: false, idle_s: 99.0, ..tenant(9, host(2)) });
        assert_eq!(for_incoming(80, &tenants, host(1)), Room::None);
        (tenants[3].useful, tenants[3].idle_s) = (false, 30.0);
        assert_eq!(for_incoming(80, &tenants, host(1)), Room::Instead(PeerKey(3)));
    }
}
