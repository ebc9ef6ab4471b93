//! Addresses of nodes: which may be dialled, and which failed. All numbers are bounded.

use crate::{PeerKey, Time};
use playswarm_proto::address_class::{AddressClass, is_acceptable};
use playswarm_proto::live::NodeId;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// First pause after a failed dial, seconds. It doubles with each failure.
const REST_S: f64 = 1.0;
/// Longest pause after failed dials, seconds.
pub(super) const MAX_REST_S: f64 = 60.0;

#[derive(Clone, Copy, Debug)]
struct Contact {
    trusted: bool,
    failures: u32,
    until: Time,
    seen: Time,
    /// The node, if a redirect named it.
    node: Option<NodeId>,
    /// The neighbour that named it last, as long as it was not called through it.
    named_by: Option<PeerKey>,
}

#[derive(Debug, Default)]
pub(super) struct Contacts {
    all: BTreeMap<SocketAddr, Contact>,
    own: Vec<SocketAddr>,
}

impl Contacts {
    /// Adds an address. `named_by` is the class of the address that named it; `None` if the user
    /// did.
    pub(super) fn add(&mut self, now: Time, addr: SocketAddr, named_by: Option<AddressClass>, most: usize) {
        let addr = SocketAddr::new(addr.ip().to_canonical(), addr.port());
        let refused = named_by.is_some_and(|class| !is_acceptable(addr, class));
        if addr.port() == 0 || self.own.contains(&addr) || refused {
            return;
        }
        let trusted = named_by.is_none();
        let fresh = Contact { trusted, failures: 0, until: Time::ZERO, seen: now, node: None, named_by: None };
        let contact = self.all.entry(addr).or_insert(fresh);
        contact.seen = now;
        contact.trusted |= trusted;
        if self.all.len() > most {
            // Those of the user stay; of the others, the one that was named longest ago goes.
            let oldest = self.all.iter().filter(|(_, c)| !c.trusted).min_by_key(|(_, c)| (c.seen, c.failures == 0));
            if let Some(addr) = oldest.map(|(addr, _)| *addr) {
                self.all.remove(&addr);
            }
        }
    }

    /// Notes which node is at an address, and the neighbour that named it.
    pub(super) fn name(&mut self, addr: SocketAddr, node: NodeId, by: PeerKey) {
        if let Some(contact) = self.all.get_mut(&addr) {
            (contact.node, contact.named_by) = (Some(node), Some(by));
        }
    }

    /// Returns the node at an address, and the neighbour through which it can be called.
    pub(super) fn named_by(&self, addr: SocketAddr) -> Option<(NodeId, PeerKey)> {
        let contact = self.all.get(&addr)?;
        Some((contact.node?, contact.named_by?))
    }

    /// As [`Self::named_by`], once.
    pub(super) fn take_named_by(&mut self, addr: SocketAddr) -> Option<(NodeId, PeerKey)> {
        let contact = self.all.get_mut(&addr)?;
        Some((contact.node?, contact.named_by.take()?))
    }

    /// Returns the address at which a redirect named a node.
    pub(super) fn of(&self, node: NodeId) -> Option<SocketAddr> {
        self.all.iter().find(|(_, contact)| contact.node == Some(node)).map(|(addr, _)| *addr)
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The dial to this address failed. It is tried again after `longest_s` at the latest.
    pub(super) fn fail(&mut self, now: Time, addr: SocketAddr, longest_s: f64) {
        if let Some(contact) = self.all.get_mut(&addr) {
            contact.failures += 1;
            let rest_s = (REST_S * f64::from(1u32 << contact.failures.min(6))).min(longest_s);
            contact.until = now.plus_secs(rest_s);
        }
    }

    /// This address answered.
    pub(super) fn succeed(&mut self, now: Time, addr: SocketAddr) {
        if let Some(contact) = self.all.get_mut(&addr) {
            *contact = Contact { failures: 0, until: Time::ZERO, seen: now, ..*contact };
        }
    }

    /// This address is our own.
    pub(super) fn own(&mut self, addr: SocketAddr) {
        self.all.remove(&addr);
        if !self.own.contains(&addr) && self.own.len() < 16 {
            self.own.push(addr);
        }
    }

    /// Returns whether this address may be dialled now.
    pub(super) fn is_usable(&self, now: Time, addr: SocketAddr) -> bool {
        !self.own.contains(&addr) && self.all.get(&addr).is_none_or(|contact| now >= contact.until)
    }

    /// Returns the addresses that may be dialled now: those of the user first, then the most recent.
    pub(super) fn usable(&self, now: Time) -> Vec<SocketAddr> {
        let mut usable: Vec<(bool, Time, SocketAddr)> = (self.all.iter())
            .filter(|(_, contact)| now >= contact.until)
            .map(|(addr, contact)| (contact.trusted, contact.seen, *addr))
            .collect();
        usable.sort_unstable_by(|a, b| b.cmp(a));
        usable.into_iter().map(|(_, _, addr)| addr).collect()
    }
}
