//! Calls: a node that cannot be dialled is asked, through a neighbour of both, to dial itself. Who
//! dials and who feeds are unrelated.

use super::Relay;
use crate::{PeerKey, Time};
use playswarm_proto::AddressClass;
use playswarm_proto::address_class::is_acceptable;
use playswarm_proto::live::message::{Call, Hello, Message};
use std::net::SocketAddr;

/// Time after which a node that was dialled and has not answered is called, seconds. It is that of a
/// long round trip.
const CALL_AFTER_S: f64 = 0.3;
/// Most calls that a node follows or passes on, per second. A newcomer follows a few redirects.
pub(super) const CALLS_PER_S: f64 = 10.0;

impl Relay {
    /// Returns the next time at which a node may have to be called.
    pub(super) fn next_call(&self) -> Option<Time> {
        let silent = self.dialling.iter().filter(|(addr, _)| self.contacts.named_by(**addr).is_some());
        silent.map(|(_, since)| since.plus_secs(CALL_AFTER_S)).min()
    }

    /// Calls the nodes that were dialled and have not answered.
    pub(super) fn call_silent(&mut self, now: Time) {
        let silent = self.dialling.iter().filter(|(_, since)| now >= since.plus_secs(CALL_AFTER_S));
        let silent: Vec<SocketAddr> = silent.map(|(addr, _)| *addr).collect();
        silent.into_iter().for_each(|addr| self.call(addr));
    }

    /// Calls the node at an address that does not answer, once, through the neighbour that named it.
    pub(super) fn call(&mut self, addr: SocketAddr) {
        let Some((node, through)) = self.contacts.take_named_by(addr) else { return };
        if self.port != 0 && self.links.contains_key(&through) && self.link_of(node).is_none() {
            self.tell(through, Message::Call(Call { node, caller: None }));
        }
    }

    /// A neighbour calls a node through this one, or this one.
    pub(super) fn called(&mut self, now: Time, peer: PeerKey, call: Call) {
        if !self.call_budget.has(now, 1.0) || self.leaving.is_some() {
            return;
        }
        self.call_budget.take(now, 1.0);
        let Some(link) = self.links.get(&peer) else { return };
        match call.caller {
            None => {
                let Some(Hello { node, .. }) = link.hello else { return };
                if let (Some(caller), Some(there)) = (link.listen, self.link_of(call.node)) {
                    self.tell(there, Message::Call(Call { node, caller: Some(caller) }));
                }
            }
            Some(caller) => {
                let may_name = is_acceptable(caller, AddressClass::of(link.remote.ip()));
                if may_name
                    && self.link_of(call.node).is_none()
                    && self.link_at(caller).is_none()
                    && self.has_room(caller)
                {
                    self.note_call();
                    self.dial(now, caller);
                }
            }
        }
    }

    /// A node has dialled us. If it was named here, it is asked for the stripes for which it was dialled
    /// in vain.
    pub(super) fn came(&mut self, now: Time, peer: PeerKey) {
        let Some(addr) = self.links.get(&peer).and_then(|link| self.contacts.of(link.node()?)) else { return };
        for stripe in 0..self.trees.len() as u8 {
            if self.may_ask(stripe, peer)
                && let Some(search) = &mut self.trees[usize::from(stripe)].search
                && search.came(now, addr, peer)
            {
                self.request(peer, stripe);
            }
        }
    }
}
