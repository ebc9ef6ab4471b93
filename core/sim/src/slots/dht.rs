//! The DHT as viewers see it: keys, and who announced there. Nodes are not modelled, what they do to answers is.
//!
//! An operation takes seconds and may fail; announces are forgotten after half an hour whether their viewers are still
//! there or not; a key has room for so many; an answer is a sample. Garbage and Sybils are here too.

use crate::rng::Rng;
use playswarm_logic::slots::Key;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

/// Nodes forget an announce after this long: 30 minutes (BEP 5 leaves it open; libtorrent and others have about that).
const FORGET_S: f64 = 1800.0;
/// Peers under one key: libtorrent's `dht_max_peers`, and mainline's.
const ROOM: usize = 500;
/// Addresses in the answers of the eight nodes of one lookup together, which hold about the same.
const ANSWER: usize = 80;
/// Median of the time of an operation, and the spread of its logarithm: 2 s as our crate has it, 10 s now and then.
const MEDIAN_S: f64 = 2.0;
const SPREAD: f64 = 0.6;
/// Operations that fail.
const FAILS: f64 = 0.05;

/// The address of the viewer of that number, each in a network of its own.
pub(crate) fn address(viewer: u32) -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::from(0x1400_0007 + (viewer << 8)), 6881))
}

/// The viewer behind an address, if it is one's.
pub(crate) fn viewer(addr: SocketAddr, viewers: usize) -> Option<u32> {
    let SocketAddr::V4(v4) = addr else { return None };
    let at = u32::from(*v4.ip()).checked_sub(0x1400_0007)?;
    (at & 0xff == 0 && ((at >> 8) as usize) < viewers).then_some(at >> 8)
}

/// The Sybil's addresses: sixteen in each network.
fn sybil(n: u32) -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::from(0x4000_0000 + ((n / 16) << 8) + n % 16 + 1), 6881))
}

/// Whether it is one of the Sybil's.
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

    /// How long the next operation takes, and whether it succeeds.
    pub(crate) fn fate(&mut self) -> (f64, bool) {
        // Box and Muller's normal number.
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
        // It announces in every slot, and takes as much of the room as nodes give to one: all alike.
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
    // Anything, nonsense like 0.0.0.0 and port 0 among it; not the block where viewers live.
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
