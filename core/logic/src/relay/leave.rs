//! Leaving a channel: first the children get other parents.

use super::policy::Delete;
use super::{Output, Relay};
use crate::{PeerKey, Time};
use playswarm_proto::live::message::{MAX_TARGETS, Message, Redirect, Why};
use playswarm_proto::live::{NodeId, Stripes, Target};
use std::collections::BTreeSet;

/// Longest time for which children are still fed, seconds.
const LEAVE_S: f64 = 1.5;

#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) until: Time,
}

impl Relay {
    pub(super) fn leave(&mut self, now: Time) {
        if self.leaving.is_some() {
            return;
        }
        self.leaving = Some(Leaving { until: now.plus_secs(LEAVE_S) });
        // Its places are gone, and its parents know that before its children ask them.
        let parents: BTreeSet<PeerKey> =
            self.trees.iter().filter_map(|tree| Some(tree.parent.as_ref()?.peer)).collect();
        parents.into_iter().for_each(|peer| self.beat(now, peer));
        for stripe in 0..self.trees.len() as u8 {
            let children: Vec<(PeerKey, NodeId)> =
                self.trees[usize::from(stripe)].children.iter().map(|child| (child.peer, child.node)).collect();
            for (peer, node) in children {
                let redirect = Redirect {
                    stripes: Stripes::one(stripe),
                    why: Why::Leaving,
                    all: self.config.delete.is_all(),
                    keep: self.config.keep,
                    targets: self.successors(stripe, node),
                    ..Redirect::default()
                };
                self.tell(peer, Message::Redirect(redirect));
            }
            self.trees[usize::from(stripe)].search = None;
        }
    }

    /// Returns the nodes to which a child goes.
    fn successors(&self, stripe: u8, child: NodeId) -> Vec<Target> {
        let parent = self.trees[usize::from(stripe)].parent.as_ref().map(|parent| parent.peer);
        let grandfather = || parent.and_then(|parent| self.target(parent, 0, 0));
        let source =
            || self.links.iter().find(|(_, link)| link.is_source()).and_then(|(peer, _)| self.target(*peer, 0, 0));
        match self.config.delete {
            Delete::Spares => {
                // Who follows has a place here soon: ours.
                let mut kin = self.kin_for(stripe, child);
                kin.retain(|target| target.node != child);
                kin.truncate(MAX_TARGETS);
                kin
            }
            Delete::Grandfather | Delete::GrandfatherAll => grandfather().into_iter().collect(),
            Delete::Root | Delete::RootAll => source().into_iter().collect(),
        }
    }

    /// Leaves the parents once the children are gone, or their time is over.
    pub(super) fn go_on_leaving(&mut self, now: Time) {
        let Some(leaving) = &mut self.leaving else { return };
        let is_over = now >= leaving.until || !self.config.keep;
        if leaving.until == Time::NEVER || !(is_over || self.trees.iter().all(|tree| tree.children.is_empty())) {
            return;
        }
        leaving.until = Time::NEVER;
        let peers: Vec<PeerKey> = self.links.keys().copied().collect();
        for peer in peers {
            self.tell(peer, Message::Leave(Stripes::ALL));
            self.outputs.push_back(Output::Close(peer));
        }
        self.links.clear();
        self.trees.iter_mut().for_each(|tree| {
            tree.parent = None;
            tree.children.clear();
            tree.sort();
            tree.moved.clear();
        });
        self.outputs.push_back(Output::Done);
    }
}
