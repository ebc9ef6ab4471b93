//! Sources of wrong data, and the bans that follow. Pure.
//!
//! The unit of a ban is a subscriber: an IPv4 address, or the /64 of an IPv6 address. Sources are
//! banned by host, since other programs may share their addresses. The store
//! compares blocks to find the peer that sent a wrong one. This module decides the consequences,
//! also for peers that have left.

use super::source::{HostKey, Party};
use crate::{PeerKey, Time};
use playswarm_proto::address_class::subscriber;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Most subscribers remembered. Beyond it, those that were quiet for longest are forgotten.
const MAX_PLACES: usize = 4_096;
/// Most peers remembered after they left, as their pieces may fail later.
const MAX_LEFT: usize = 4_096;
/// First ban for wrong data, seconds. Each further ban lasts [`LONGER`] times as long.
const LIE_S: f64 = 600.0;
/// First ban for breaking the protocol, seconds. It is shorter because a faulty client harms only
/// itself.
const PROTOCOL_S: f64 = 120.0;
/// Factor by which each further ban of the same subscriber is longer.
const LONGER: f64 = 4.0;
/// Longest ban, seconds: a day. Providers reassign addresses after that.
const LONGEST_S: f64 = 86_400.0;
/// Right pieces from a subscriber that make up for a wrong one. It may have faulty memory, or many
/// users may share its address.
const GOOD_FOR_ONE_BAD: u32 = 200;
/// Time for which peers of a subscriber are suspected after a piece failed to which several peers
/// contributed, seconds.
const SUSPECT_S: f64 = 600.0;
/// Number of banned parts of a larger network at which all of it is banned. A peer that moves
/// around in a /56 or /48 holds all of it.
const PARTS: usize = 4;

/// The reason for a ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The peer sent wrong data.
    Lie,
    /// The peer broke the protocol.
    Protocol,
}

/// A unit of bans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// A network or, on the loopback address that all programs of a machine share, one port.
    Network { ip: IpAddr, bits: u8, port: u16 },
    /// A host that serves ranges over HTTP.
    Host(HostKey),
}

#[derive(Clone, Copy, Debug, Default)]
struct Record {
    /// Right pieces to which the subscriber contributed, and pieces that its blocks spoiled.
    good: u32,
    bad: u32,
    /// Number of bans so far.
    bans: u32,
    banned_until: Time,
    suspect_until: Time,
    seen: Time,
}

/// The bans of one torrent; see the [module](self).
#[derive(Debug, Default)]
pub struct Bans {
    places: BTreeMap<Place, Record>,
    left: BTreeMap<PeerKey, Party>,
}

/// Returns whether programs of one machine share this address by default, so that it does not tell
/// peers apart.
pub fn is_shared_locally(ip: IpAddr) -> bool {
    ip == IpAddr::V4(Ipv4Addr::LOCALHOST) || ip == IpAddr::V6(Ipv6Addr::LOCALHOST)
}

impl Place {
    fn of(party: Party) -> Place {
        if let Some(host) = party.host {
            return Place::Host(host);
        }
        let ip = party.addr.ip().to_canonical();
        match ip {
            _ if is_shared_locally(ip) => Place::Network { ip, bits: 128, port: party.addr.port() },
            IpAddr::V4(_) => Place::Network { ip, bits: 32, port: 0 },
            IpAddr::V6(_) => Place::Network { ip: subscriber(ip), bits: 64, port: 0 },
        }
    }

    /// Returns the next larger network that may have the same holder.
    fn wider(self) -> Option<Place> {
        match self {
            Place::Network { ip, port: 1.., .. } => Some(Place::Network { ip, bits: 128, port: 0 }),
            Place::Network { ip: IpAddr::V6(ip), bits: bits @ (64 | 56), .. } => {
                let bits = bits - 8;
                let ip = Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << (128 - u32::from(bits))));
                Some(Place::Network { ip: ip.into(), bits, port: 0 })
            }
            Place::Network { .. } | Place::Host(_) => None,
        }
    }
}

impl Bans {
    fn record(&mut self, place: Place, now: Time) -> &mut Record {
        if self.places.len() >= MAX_PLACES && !self.places.contains_key(&place) {
            let quietest = self.places.iter().min_by_key(|(_, r)| (r.banned_until > now, r.banned_until, r.seen));
            if let Some(place) = quietest.map(|(place, _)| *place) {
                self.places.remove(&place);
            }
        }
        let record = self.places.entry(place).or_default();
        record.seen = now;
        record
    }

    /// Notes that a peer that sent blocks has left. Its blocks may yet prove wrong.
    pub fn left(&mut self, key: PeerKey, party: impl Into<Party>) {
        self.left.insert(key, party.into());
        if self.left.len() > MAX_LEFT {
            self.left.pop_first();
        }
    }

    /// Returns the party of a peer that has left.
    pub fn who_was(&self, key: PeerKey) -> Option<Party> {
        self.left.get(&key).copied()
    }

    /// Credits the subscriber for blocks of a right piece.
    pub fn was_right(&mut self, party: impl Into<Party>, now: Time) {
        let record = self.record(Place::of(party.into()), now);
        record.good = record.good.saturating_add(1);
        record.suspect_until = Time::ZERO;
    }

    /// Counts a wrong block against the subscriber. Returns whether to ban it.
    pub fn was_wrong(&mut self, party: impl Into<Party>, now: Time) -> bool {
        let record = self.record(Place::of(party.into()), now);
        record.bad = record.bad.saturating_add(1);
        u64::from(record.bad) * u64::from(GOOD_FOR_ONE_BAD) > u64::from(record.good)
    }

    /// Suspects the subscriber after a failed piece to which several peers contributed.
    pub fn suspect(&mut self, party: impl Into<Party>, now: Time) {
        self.record(Place::of(party.into()), now).suspect_until = now.plus_secs(SUSPECT_S);
    }

    /// Returns whether pieces that failed should not be requested from a new peer at this address.
    pub fn is_suspect(&self, party: impl Into<Party>, now: Time) -> bool {
        self.places.get(&Place::of(party.into())).is_some_and(|r| r.suspect_until > now || (r.bans > 0 && r.good == 0))
    }

    /// Bans the subscriber for a while. Returns true if it was not banned before.
    pub fn ban(&mut self, party: impl Into<Party>, cause: Cause, now: Time) -> bool {
        let party = party.into();
        let new = !self.is_banned(party, now);
        let mut place = Place::of(party);
        self.ban_place(place, cause, now);
        while let Some(wider) = place.wider() {
            let parts = self.places.iter().filter(|(p, r)| p.wider() == Some(wider) && r.banned_until > now).count();
            if parts < PARTS {
                break;
            }
            self.ban_place(wider, cause, now);
            place = wider;
        }
        new
    }

    fn ban_place(&mut self, place: Place, cause: Cause, now: Time) {
        let record = self.record(place, now);
        if record.banned_until > now {
            return;
        }
        let first = if cause == Cause::Lie { LIE_S } else { PROTOCOL_S };
        let ban_s = (first * LONGER.powf(f64::from(record.bans.min(16)))).min(LONGEST_S);
        record.banned_until = now.plus_secs(ban_s);
        record.bans += 1;
    }

    /// Returns whether this address is banned now.
    pub fn is_banned(&self, party: impl Into<Party>, now: Time) -> bool {
        if self.places.is_empty() {
            return false;
        }
        let mut place = Some(Place::of(party.into()));
        while let Some(at) = place {
            if self.places.get(&at).is_some_and(|r| r.banned_until > now) {
                return true;
            }
            place = at.wider();
        }
        false
    }

    /// Returns the number of subscribers that are banned now.
    pub fn banned(&self, now: Time) -> usize {
        self.places.values().filter(|r| r.banned_until > now).count()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn at(s: f64) -> Time {
        Time::from_secs_f64(s)
    }

    #[test]
    fn all_addresses_of_one_subscriber_are_banned_together() {
        let mut bans = Bans::default();
        assert!(bans.ban(addr("[2001:db8:1:2::7]:6881"), Cause::Lie, at(1.0)));
        assert!(!bans.ban(addr("[2001:db8:1:2::8]:6881"), Cause::Lie, at(2.0)), "it is banned already");
        assert!(bans.is_banned(addr("[2001:db8:1:2:ffff::1]:9"), at(3.0)));
        assert!(!bans.is_banned(addr("[2001:db8:1:3::7]:6881"), at(3.0)), "the neighbour is not");
        bans.ban(addr("10.0.0.1:1"), Cause::Lie, at(3.0));
        assert!(bans.is_banned(addr("[::ffff:10.0.0.1]:2"), at(4.0)) && !bans.is_banned(addr("10.0.0.2:1"), at(4.0)));
        assert_eq!(bans.banned(at(4.0)), 2);
    }

    #[test]
    fn a_liar_that_changes_its_network_has_the_larger_network_banned() {
        let mut bans = Bans::default();
        let liar = |n: u32| addr(&format!("[2001:db8:1:{n:x}::1]:6881"));
        for n in 0..PARTS as u32 {
            bans.ban(liar(n), Cause::Lie, at(1.0));
        }
        assert!(bans.is_banned(liar(0xff), at(2.0)), "the rest of its /56");
        assert!(!bans.is_banned(liar(0x100), at(2.0)), "another /56");
        assert!(!bans.is_banned(addr("[2001:db8:2::1]:6881"), at(2.0)), "another customer");
        // Loopback addresses are told apart by port, up to a point.
        assert!(bans.ban(addr("127.0.0.1:1"), Cause::Lie, at(3.0)));
        assert!(!bans.is_banned(addr("127.0.0.1:2"), at(3.0)));
        for port in 2..=PARTS {
            bans.ban(addr(&format!("127.0.0.1:{port}")), Cause::Lie, at(3.0));
        }
        assert!(bans.is_banned(addr("127.0.0.1:9"), at(3.0)));
    }

    #[test]
    fn bans_expire_and_last_longer_each_time() {
        let mut bans = Bans::default();
        let liar = addr("10.0.0.1:1");
        bans.ban(liar, Cause::Lie, at(0.0));
        assert!(bans.is_banned(liar, at(599.0)) && !bans.is_banned(liar, at(601.0)));
        bans.ban(liar, Cause::Lie, at(1000.0));
        assert!(bans.is_banned(liar, at(3000.0)) && !bans.is_banned(liar, at(3500.0)));
        for n in 0..100 {
            bans.ban(liar, Cause::Lie, at(1e5 + 1e5 * f64::from(n)));
        }
        assert!(!bans.is_banned(liar, at(1e5 + 1e5 * 99.0 + LONGEST_S + 1.0)), "a day at most");
    }

    #[test]
    fn one_wrong_piece_in_many_bans_no_peer() {
        let mut bans = Bans::default();
        let shared = addr("10.0.0.1:1");
        (0..1000).for_each(|_| bans.was_right(shared, at(1.0)));
        assert!(!bans.was_wrong(shared, at(2.0)));
        assert!((0..10).any(|_| bans.was_wrong(shared, at(3.0))), "but not for ever");
        assert!(bans.was_wrong(addr("10.0.0.2:1"), at(3.0)), "with nothing to its credit");
    }

    #[test]
    fn suspicion_outlives_the_connection_and_ends_with_right_data_or_time() {
        let mut bans = Bans::default();
        let (one, other) = (addr("[2001:db8::1]:5"), addr("[2001:db8::2]:6"));
        bans.left(PeerKey(7), one);
        let was = bans.who_was(PeerKey(7)).unwrap();
        bans.suspect(was, at(1.0));
        assert!(bans.is_suspect(other, at(2.0)) && !bans.is_suspect(other, at(1000.0)));
        bans.was_right(other, at(3.0));
        assert!(!bans.is_suspect(one, at(4.0)));
        assert_eq!(bans.who_was(PeerKey(8)), None);
    }

    #[test]
    fn a_host_is_banned_and_not_its_address() {
        let mut bans = Bans::default();
        let shared = addr("10.0.0.1:443");
        let host = |n| Party { addr: shared, host: Some(HostKey(n)) };
        assert!(bans.ban(host(1), Cause::Lie, at(1.0)));
        assert!(bans.is_banned(Party { addr: addr("10.0.0.2:443"), ..host(1) }, at(2.0)), "its other addresses too");
        assert!(!bans.is_banned(host(2), at(2.0)) && !bans.is_banned(shared, at(2.0)));
        bans.ban(shared, Cause::Lie, at(3.0));
        assert!(!bans.is_banned(host(2), at(4.0)), "a peer at the address of a host");
    }

    #[test]
    fn the_record_is_bounded_and_bans_are_forgotten_last() {
        let mut bans = Bans::default();
        let liar = addr("10.9.9.9:1");
        bans.ban(liar, Cause::Lie, at(0.0));
        for n in 0..3 * MAX_PLACES as u32 {
            let from = SocketAddr::new(Ipv4Addr::from(0x0b00_0000 + n).into(), 1);
            bans.was_right(from, at(1.0));
            bans.left(PeerKey(n), from);
        }
        assert_eq!((bans.places.len(), bans.left.len()), (MAX_PLACES, MAX_LEFT));
        assert!(bans.is_banned(liar, at(2.0)));
    }
}
