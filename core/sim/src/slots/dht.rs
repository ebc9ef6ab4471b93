//! The DHT as viewers see it: keys and their announced peers. Nodes are not modelled, but their
//! effect on answers is.
//!
//! An operation takes seconds and may fail. Announces expire after half an hour, whether or not
//! their viewers are still there. A key has room for a limited number of peers, and an answer is a
//! sample of them. Garbage and Sybils are modelled here, too.

use crate::rng::Rng;
use playswarm_logic::slots::Key;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

/// Time after which nodes drop an announce: 30 minutes. BEP 5 leaves it open; libtorrent and others
/// use about this.
const FORGET_S: f64 = 1800.0;
/// Most peers under one key: libtorrent's `dht_max_peers`, and mainline's.
const ROOM: usize = 500;
/// Most addresses in the answers of the eight nodes of one lookup together, which store about the
/// same peers.
const ANSWER: usize = 80;
/// Median of the time of an operation, and the spread of its logarithm: 2 s as with our crate,
/// sometimes 10 s.
const MEDIAN_S: f64 = 2.0;
const SPREAD: f64 = 0.6;
/// Share of operations that fail.
const FAILS: f64 = 0.05;

/// Returns the address of the viewer of that number, each in a network of its own.
pub(crate) fn address(viewer: u32) -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::from(0x1400_0007 + (viewer << 8)), 6881))
}

/// Returns the viewer of an address, if there is one.
pub(crate) fn viewer(addr: SocketAddr, viewers: usize) -> Option<u32> {
    let SocketAddr::V4(v4) = addr else { return None };
    let at = u32::from(*v4.ip()).checked_sub(0x1400_0007)?;
    (at & 0xff == 0 && ((at >> 8) as usize) < viewers).then_some(at >> 8)
}

/// Returns the Sybil's addresses: sixteen in each network.
fn sybil(n: u32) -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::from(0x4000_0000 + ((n / 16) << 8) + n % 16 + 1), 6881))
}

/// Whether the address is one of the Sybil's.
pub(super) fn is_sybil(addr: SocketAddr) -> bool {
    matches!(addr, SocketAddr::V4(v4) if u32::from(*v4.ip()) >> 24 == 0x40)
}

pub(crate) struct Dht {
    keys: BTreeMap<Key, Vec<(u32, f64)>>,
    rng: Rng,
    sybils: u32,
    garbage: f64,
}

impl Dht {
    pub(crate) fn new(rng: Rng, sybil_networks: u32, garbage: f64) -> Dht {
        Dht { keys: BTreeMap::new(), rng, sybils: sybil_networks * 16, garbage }
    }

    /// Draws the duration of the next operation, and whether it succeeds.
    pub(crate) fn fate(&mut self) -> (f64, bool) {
        // A normally distributed number by Box and Muller.
        let (a, b) = (1.0 - self.rng.unit(), self.rng.unit());
        let normal = (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos();
        ((MEDIAN_S * (SPREAD * normal).exp()).clamp(0.3, 20.0), !self.rng.chance(FAILS))
    }

    pub(crate) fn announce(&mut self, now: f64, key: Key, viewer: u32) {
        let peers = self.keys.entry(key).or_default();
        peers.retain(|(who, at)| *who != viewer && now < at + FORGET_S);
        if peers.len() >= ROOM {
            peers.remove(0);
        }
        peers.push((viewer, now));
    }

    pub(crate) fn look_up(&mut self, now: f64, key: Key) -> Vec<SocketAddr> {
        if self.rng.chance(self.garbage) {
            return (0..2000).map(|_| made_up(&mut self.rng)).collect();
        }
        let mut all: Vec<SocketAddr> = Vec::new();
        if let Some(peers) = self.keys.get_mut(&key) {
            peers.retain(|(_, at)| now < at + FORGET_S);
            all.extend(peers.iter().map(|(who, _)| address(*who)));
        }
        // It announces in every slot, and takes as much of a node's room as any other announcer
        // can.
        all.extend((0..self.sybils.min(ROOM as u32)).map(|_| sybil(self.rng.below(u64::from(self.sybils)) as u32)));
        for i in 0..all.len().min(ANSWER) {
            let j = i + self.rng.below((all.len() - i) as u64) as usize;
            all.swap(i, j);
        }
        all.truncate(ANSWER);
        all
    }
}

fn made_up(rng: &mut Rng) -> SocketAddr {
    // Any address, including invalid ones like 0.0.0.0 and port 0, but none of the viewers' block.
    let ip = (rng.next() as u32) | 0x8000_0000;
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::from(if rng.chance(0.1) { 0 } else { ip }), rng.next() as u16))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announce_is_found_until_it_is_forgotten() {
        let mut dht = Dht::new(Rng::new(1), 0, 0.0);
        let key = Key([7; 20]);
        dht.announce(10.0, key, 3);
        assert_eq!(dht.look_up(1700.0, key), [address(3)]);
        assert_eq!(viewer(address(3), 10), Some(3));
        assert_eq!(dht.look_up(1811.0, key), []);
    }

    #[test]
    fn an_answer_is_a_sample_of_what_there_is() {
        let mut dht = Dht::new(Rng::new(1), 4, 0.0);
        (0..1000).for_each(|i| dht.announce(f64::from(i) * 0.01, Key([7; 20]), i));
        let found = dht.look_up(20.0, Key([7; 20]));
        let real = found.iter().filter(|a| viewer(**a, 1000).is_some_and(|v| v >= 500)).count();
        let sybils = found.iter().filter(|a| is_sybil(**a)).count();
        assert_eq!(found.len(), ANSWER);
        assert!(real + sybils == ANSWER && real > 60 && sybils > 2, "{real} {sybils}");
    }
}
