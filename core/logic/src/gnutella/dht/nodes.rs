//! The nodes that lookups begin with: those that answered, and addresses that may be nodes.

use super::distance;
use crate::Time;
use playswarm_proto::gnutella::dht::Kuid;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::SocketAddrV4;

/// Parts of the space of names, by their first bits, and most nodes in each. A client looks up any
/// key, so it knows nodes everywhere and not only near its own name.
const PARTS_LOG2: u32 = 5;
const PART_NODES: usize = 8;
/// Most addresses that may be nodes.
const MAX_SEEDS: usize = 200;
/// Most addresses that are saved.
pub const MAX_SAVED: usize = 100;

/// An address that may be a node.
#[derive(Clone, Copy, Debug)]
struct Seed {
    /// Lookups in which it did not answer, one after the other.
    failures: u32,
    /// Number of seeds before it: the first is the best.
    place: usize,
}

/// The nodes.
#[derive(Clone, Debug, Default)]
pub(super) struct Nodes {
    /// Names of nodes that answered, with the time of the last answer.
    known: BTreeMap<SocketAddrV4, (Kuid, Time)>,
    seeds: BTreeMap<SocketAddrV4, Seed>,
    places: usize,
    changed: bool,
}

fn part(kuid: &Kuid) -> u8 {
    kuid[0] >> (u8::BITS - PARTS_LOG2)
}

impl Nodes {
    /// Number of nodes that answered.
    #[cfg(test)]
    pub(super) fn known(&self) -> usize {
        self.known.len()
    }

    /// Adds an address that may be a node. If there are too many, one that failed makes room. Returns
    /// whether it is new.
    pub(super) fn add_seed(&mut self, address: SocketAddrV4) -> bool {
        if self.seeds.contains_key(&address) {
            return false;
        }
        if self.seeds.len() >= MAX_SEEDS {
            let failed = self.seeds.iter().filter(|(_, seed)| seed.failures > 0);
            let worst = failed.max_by_key(|(_, seed)| (seed.failures, seed.place)).map(|(address, _)| *address);
            let Some(worst) = worst else { return false };
            self.seeds.remove(&worst);
        }
        self.seeds.insert(address, Seed { failures: 0, place: self.places });
        self.places += 1;
        true
    }

    /// Notes that a node answered with its name. One that is known longer keeps its place.
    pub(super) fn answered(&mut self, now: Time, address: SocketAddrV4, kuid: Kuid) {
        if let Some(seed) = self.seeds.get_mut(&address) {
            seed.failures = 0;
        }
        if self.known.get(&address).is_some_and(|(known, _)| *known != kuid) {
            self.known.remove(&address);
        }
        let is_other = |(other, (name, _)): &(&SocketAddrV4, &(Kuid, Time))| **other != address && *name == kuid;
        let in_part = self.known.values().filter(|(name, _)| part(name) == part(&kuid)).count();
        let is_known = self.known.contains_key(&address);
        if is_known || (in_part < PART_NODES && !self.known.iter().any(|entry| is_other(&entry))) {
            self.changed |= self.known.insert(address, (kuid, now)).is_none();
        }
    }

    /// Notes that an address did not answer in a lookup in which others did.
    pub(super) fn failed(&mut self, address: SocketAddrV4) {
        self.changed |= self.known.remove(&address).is_some();
        if let Some(seed) = self.seeds.get_mut(&address) {
            seed.failures = seed.failures.saturating_add(1);
        }
    }

    /// Returns the nodes that answered and are nearest to a key.
    pub(super) fn nearest(&self, key: &Kuid, most: usize) -> Vec<(SocketAddrV4, Kuid)> {
        let mut known: Vec<_> = self.known.iter().map(|(address, (kuid, _))| (*address, *kuid)).collect();
        known.sort_by_key(|(_, kuid)| distance(kuid, key));
        known.truncate(most);
        known
    }

    /// Returns the addresses that may be nodes, the best first.
    pub(super) fn seeds(&self) -> Vec<SocketAddrV4> {
        let mut seeds: Vec<_> = self.seeds.iter().collect();
        seeds.sort_by_key(|(_, seed)| (seed.failures, seed.place));
        seeds.into_iter().map(|(address, _)| *address).collect()
    }

    /// Returns the addresses to save: those that answered last first, then seeds without a failure.
    pub(super) fn saved(&self) -> Vec<SocketAddrV4> {
        let mut known: Vec<_> = self.known.iter().collect();
        known.sort_by_key(|(_, (_, heard))| Reverse(*heard));
        let fresh = self.seeds.iter().filter(|(address, seed)| seed.failures == 0 && !self.known.contains_key(address));
        known
            .into_iter()
            .map(|(address, _)| *address)
            .chain(fresh.map(|(address, _)| *address))
            .take(MAX_SAVED)
            .collect()
    }

    /// Whether what is saved has changed since the last call.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }
}
