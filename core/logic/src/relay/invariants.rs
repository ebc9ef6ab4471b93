//! The invariants of a relay; tests check them after every step.

use super::Relay;
use crate::Time;

impl Relay {
    /// Checks every invariant, for tests.
    ///
    /// # Errors
    ///
    /// Returns a sentence that names the violated invariant.
    pub fn check_invariants(&self, now: Time) -> Result<(), String> {
        for (stripe, tree) in self.trees.iter().enumerate() {
            if let Some(parent) = &tree.parent {
                if self.is_source {
                    return Err(format!("the source has a parent in stripe {stripe}"));
                }
                if tree.order.contains(&parent.peer) {
                    return Err(format!("{:?} is parent and child in stripe {stripe}", parent.peer));
                }
                if tree.path.contains(&self.me) {
                    return Err(format!("the path of stripe {stripe} leads through the node itself"));
                }
            } else if !self.is_source && self.leaving.is_none() && tree.search.is_none() {
                return Err(format!("nobody looks for a parent of stripe {stripe}"));
            }
            if tree.order.len() != tree.children.len() {
                return Err(format!("the order of stripe {stripe} lacks a child"));
            }
            let known = tree.parent.iter().map(|parent| parent.peer).chain(tree.order.iter().copied());
            if let Some(peer) = known.into_iter().find(|peer| !self.links.contains_key(peer)) {
                return Err(format!("{peer:?} of stripe {stripe} is not connected"));
            }
            if let Some(peer) = tree.moved.keys().find(|peer| !tree.order.contains(peer)) {
                return Err(format!("{peer:?} is moved in stripe {stripe} and no child"));
            }
        }
        let capacity = usize::from(self.places());
        let taken: usize = self.trees.iter().map(|tree| tree.taken(now, None)).sum();
        let reserved: usize = self.trees.iter().map(|tree| tree.reserved.len()).sum();
        if taken > capacity.max(reserved) + reserved {
            return Err(format!("{taken} places are taken of {capacity}"));
        }
        if self.links.len() > self.config.links && !self.is_source {
            return Err(format!("there are {} connections", self.links.len()));
        }
        if self.next_timeout() <= now {
            return Err(format!("the timeout {:?} is not later than {now:?}", self.next_timeout()));
        }
        Ok(())
    }
}
