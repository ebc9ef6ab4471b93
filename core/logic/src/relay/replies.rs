//! The replies to a request for a place, and a parent's redirect.

use super::search::Reason;
use super::tree::Parent;
use super::{Event, Output, Relay};
use crate::{PeerKey, Time};
use playswarm_proto::AddressClass;
use playswarm_proto::address_class::is_acceptable;
use playswarm_proto::live::message::{Accept, Message, Redirect};
use playswarm_proto::live::{Stripes, Target};

impl Relay {
    /// A node accepted us as its child.
    pub(super) fn accepted(&mut self, now: Time, peer: PeerKey, accept: Accept) {
        let (stripe, at) = (accept.stripe, usize::from(accept.stripe));
        let Some(node) = self.links.get(&peer).and_then(|link| link.node()) else { return };
        let Some(tree) = self.trees.get_mut(at) else { return };
        if tree.is_parent(peer) {
            return;
        }
        let expected = tree.search.as_mut().is_some_and(|search| search.answered(now, peer));
        let is_loop = accept.path.contains(&self.me) || accept.path.last() != Some(&node);
        // Others came first, or the node itself has moved.
        let is_worse = tree.search.as_ref().is_some_and(|search| search.reason == Reason::Better)
            && accept.path.len() > tree.path.len();
        // Both asked the other at the same time.
        let is_child = tree.order.contains(&peer);
        if !expected || is_loop || is_worse || is_child {
            self.counters.loops += u64::from(is_loop);
            return self.tell(peer, Message::Leave(Stripes::one(stripe)));
        }
        let others: Vec<PeerKey> = tree.asked_peers().collect();
        let old = tree.parent.replace(Parent { peer, since: now, newest: None });
        tree.path = accept.path;
        tree.kin.clear();
        let reason = tree.search.take().map(|search| search.reason);
        let after_s = tree.lost.take().map_or(0.0, |lost| now.since(lost).as_secs_f64());
        let repaired = std::mem::replace(&mut tree.had_parent, true)
            && reason != Some(Reason::Moved)
            && reason != Some(Reason::Better);
        let depth = tree.path.len().min(255) as u8;
        if let Some(of) = accept.adopts {
            tree.reserved.retain(|(_, until)| now < *until);
            tree.reserved.push((of, now.plus_secs(self.config.keep_s)));
        }
        self.counters.repaired += u64::from(repaired);
        self.outputs.push_back(Output::Event(Event::Joined { stripe, depth, after_s, repaired }));
        // What others accept later, and the old parent, is given back.
        for other in others.into_iter().chain(old.map(|old| old.peer)) {
            self.tell(other, Message::Leave(Stripes::one(stripe)));
        }
        if self.homes.is_empty() {
            self.homes = accept.homes.and(Stripes::first(self.trees.len()));
        }
        self.report_up(now, stripe);
        self.report_down(now, stripe);
    }

    /// A node names others: the one that we asked, or the parent that sends us away.
    pub(super) fn redirected(&mut self, now: Time, peer: PeerKey, redirect: &Redirect) {
        let Some(link) = self.links.get(&peer) else { return };
        let (class, from_source) = (AddressClass::of(link.remote.ip()), link.is_source());
        for target in redirect.targets.iter().filter(|target| target.node != self.me) {
            self.contacts.add(now, target.addr, Some(class), self.config.contacts);
            self.contacts.name(target.addr, target.node, peer);
        }
        if self.homes.is_empty() && from_source {
            self.homes = redirect.homes.and(Stripes::first(self.trees.len()));
        }
        let named: Vec<Target> =
            (redirect.targets.iter().copied()).filter(|target| is_acceptable(target.addr, class)).collect();
        for stripe in redirect.stripes.and(Stripes::first(self.trees.len())).iter() {
            let at = usize::from(stripe);
            if self.trees[at].is_parent(peer) {
                self.sent_away(now, stripe, redirect, &named);
                continue;
            }
            let Some(search) = &mut self.trees[at].search else { continue };
            if search.answered(now, peer) {
                search.follow(redirect, &named);
            }
        }
    }

    /// Our parent sends us to others.
    fn sent_away(&mut self, now: Time, stripe: u8, redirect: &Redirect, named: &[Target]) {
        let tree = &mut self.trees[usize::from(stripe)];
        let stepping = tree.stepping.take().and_then(|node| named.iter().find(|target| target.node == node));
        let children: Vec<PeerKey> = tree.children.iter().map(|child| child.peer).collect();
        if redirect.all || stepping.is_some() {
            let pass_on = Redirect {
                stripes: Stripes::one(stripe),
                keep: self.config.keep,
                targets: named.to_vec(),
                ..redirect.clone()
            };
            children.into_iter().for_each(|child| self.tell(child, Message::Redirect(pass_on.clone())));
        }
        if !redirect.keep {
            let tree = &mut self.trees[usize::from(stripe)];
            tree.lost.get_or_insert(now);
            tree.parent = None;
        }
        self.search_at(now, stripe, Reason::Moved, named, redirect.instead_of);
    }
}
