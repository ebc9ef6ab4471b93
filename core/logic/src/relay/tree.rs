//! A node's position in the tree of one stripe.

use super::Relay;
use super::policy::Child;
use super::search::{Reason, Search};
use crate::{PeerKey, Time};
use playswarm_proto::live::{NodeId, Target};
use std::collections::BTreeMap;

/// Time after which a newcomer that was sent to a place has taken it, and that is reported, or has
/// not, seconds.
const PROMISE_S: f64 = 1.0;

#[derive(Debug)]
pub(super) struct Parent {
    pub(super) peer: PeerKey,
    pub(super) since: Time,
    /// Newest group that it brought.
    pub(super) newest: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Tree {
    pub(super) parent: Option<Parent>,
    /// The nodes from the source to the parent. An orphan keeps its last path, as its children do.
    pub(super) path: Vec<NodeId>,
    /// Nodes that the parent named for the case that it fails.
    pub(super) kin: Vec<Target>,
    pub(super) children: Vec<Child>,
    /// The same, in the order of feeding.
    pub(super) order: Vec<PeerKey>,
    /// Children that were sent away and are fed until this time.
    pub(super) moved: BTreeMap<PeerKey, Time>,
    /// Nodes that lost their place to us and may come until this time.
    pub(super) reserved: Vec<(NodeId, Time)>,
    /// Places to which newcomers were sent, and until when that counts. No more than requests are
    /// looked into in this time.
    promised: Vec<(NodeId, Time)>,
    pub(super) search: Option<Search>,
    /// Time of the loss of the parent, or of the start.
    pub(super) lost: Option<Time>,
    /// Whether there was a parent before.
    pub(super) had_parent: bool,
    /// A newcomer that is to take our place, and our children with it.
    pub(super) stepping: Option<NodeId>,
}

impl Tree {
    pub(super) fn new(now: Time, needs_parent: bool) -> Tree {
        Tree {
            parent: None,
            path: Vec::new(),
            kin: Vec::new(),
            children: Vec::new(),
            order: Vec::new(),
            moved: BTreeMap::new(),
            reserved: Vec::new(),
            promised: Vec::new(),
            search: needs_parent.then(|| Search::new(now, Reason::New)),
            lost: needs_parent.then_some(now),
            had_parent: false,
            stepping: None,
        }
    }

    pub(super) fn is_used(&self, peer: PeerKey) -> bool {
        self.is_parent(peer) || self.order.contains(&peer)
    }

    pub(super) fn is_parent(&self, peer: PeerKey) -> bool {
        self.parent.as_ref().is_some_and(|parent| parent.peer == peer)
    }

    pub(super) fn asked_peers(&self) -> impl Iterator<Item = PeerKey> {
        self.search.iter().flat_map(Search::peers)
    }

    /// Adds or removes a child, or takes a change of the trees below into account.
    pub(super) fn sort(&mut self) {
        let mut order: Vec<(u16, PeerKey)> = self.children.iter().map(|child| (child.subtree, child.peer)).collect();
        order.sort_by_key(|(subtree, _)| std::cmp::Reverse(*subtree));
        self.order = order.into_iter().map(|(_, peer)| peer).collect();
    }

    /// Removes a child; returns whether it was one.
    pub(super) fn remove_child(&mut self, peer: PeerKey) -> bool {
        let before = self.children.len();
        self.children.retain(|child| child.peer != peer);
        self.moved.remove(&peer);
        self.sort();
        self.children.len() != before
    }

    /// A newcomer is sent to this place.
    pub(super) fn promise(&mut self, now: Time, node: NodeId) {
        self.promised.retain(|(_, until)| now < *until);
        self.promised.push((node, now.plus_secs(PROMISE_S)));
    }

    fn sent_to(&self, now: Time, node: NodeId) -> usize {
        self.promised.iter().filter(|(to, until)| *to == node && now < *until).count()
    }

    /// Returns whether a newcomer was sent to a node.
    pub(super) fn is_promised(&self, now: Time, node: NodeId) -> bool {
        self.sent_to(now, node) > 0
    }

    /// Returns what a node has free after the newcomers that were sent there.
    pub(super) fn left(&self, now: Time, place: Target) -> Option<Target> {
        let sent = self.sent_to(now, place.node).min(65_535) as u16;
        let free = place.free.saturating_sub(sent);
        (free > 0).then_some(Target { free, ..place })
    }

    /// Returns the children that are not being moved, and the places kept for others than `node`.
    pub(super) fn taken(&self, now: Time, node: Option<NodeId>) -> usize {
        let reserved = self.reserved.iter().filter(|(of, until)| now < *until && Some(*of) != node).count();
        self.children.len() - self.moved.len() + reserved
    }
}

impl Relay {
    /// Returns the children that this node can have in a stripe of which it is a home.
    pub(super) fn quota(&self, stripe: u8) -> usize {
        let capacity = usize::from(self.places());
        match self.is_source {
            true => {
                let stripes = self.trees.len();
                capacity / stripes + usize::from(usize::from(stripe) < capacity % stripes)
            }
            false if self.homes.has(stripe) => capacity / self.homes.len().max(1),
            false => 0,
        }
    }

    /// Returns the free places in a stripe for `node`, or for anybody. A node gives in a stripe
    /// other than its homes only if the whole channel has no other place there: in a crowd too
    /// small for each stripe to have givers of its own.
    pub(super) fn free(&self, now: Time, stripe: u8, node: Option<NodeId>) -> usize {
        let Some(tree) = self.trees.get(usize::from(stripe)) else { return 0 };
        if self.leaving.is_some() || !self.is_source && (tree.parent.is_none() || self.port == 0) {
            return 0;
        }
        let taken: usize = self.trees.iter().map(|tree| tree.taken(now, node)).sum();
        let total = usize::from(self.places()).saturating_sub(taken);
        let quota = self.quota(stripe).saturating_sub(tree.taken(now, node));
        let is_starved = !self.is_source && self.spare[usize::from(stripe)] == Some(0);
        match is_starved && !self.homes.has(stripe) {
            true => total,
            false => quota.min(total),
        }
    }

    /// Returns the free places in the tree below this node, its own included. Those outside its
    /// homes don't count.
    pub(super) fn spare_below(&self, now: Time, stripe: u8) -> u16 {
        let own = if self.is_source || self.homes.has(stripe) { self.free(now, stripe, None) } else { 0 };
        let tree = &self.trees[usize::from(stripe)];
        let below: usize = tree.children.iter().map(|child| usize::from(child.spare)).sum();
        (own + below).min(usize::from(u16::MAX)) as u16
    }
}
