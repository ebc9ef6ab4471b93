//! Whether others can dial this node. No node is asked for that: those that come show it, and those that
//! had to call.

use super::Relay;
use playswarm_proto::AddressClass;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

/// Most hosts that were dialled and are remembered.
const MAX_DIALLED: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Reach {
    pub(super) known: Option<bool>,
    /// Hosts that were dialled. A firewall lets their packets pass, so that they show nothing.
    dialled: BTreeSet<IpAddr>,
}

impl Relay {
    pub(super) fn note_dial(&mut self, addr: SocketAddr) {
        let dialled = &mut self.reach.dialled;
        dialled.insert(addr.ip());
        if dialled.len() > MAX_DIALLED {
            dialled.pop_first();
        }
    }

    /// A connection was accepted from this address. One from the local network shows nothing to a node
    /// that has others.
    pub(super) fn note_incoming(&mut self, addr: SocketAddr) {
        let is_local = |addr: SocketAddr| AddressClass::of(addr.ip()).is_local();
        let is_near = is_local(addr) && self.links.values().any(|link| !is_local(link.remote));
        if !is_near && !self.reach.dialled.contains(&addr.ip()) {
            self.reach.known = Some(true);
        }
    }

    /// A node asks, through a neighbour, to be dialled: it has dialled this one in vain.
    pub(super) fn note_call(&mut self) {
        self.reach.known.get_or_insert(false);
    }
}
