//! The regular message between neighbours: round trips, paths, and free places.

use super::answer::MYSELF;
use super::policy::Child;
use super::search::Reason;
use super::{Position, Relay};
use crate::{PeerKey, Time};
use playswarm_proto::live::message::{Beat, Down, MAX_PATH, MAX_TARGETS, Message, Up};
use playswarm_proto::live::{NodeId, Stripes, Target};

impl Relay {
    pub(super) fn beat_all(&mut self, now: Time) {
        // Promised places have been reported by now, or their node has not come.
        let left = 0.5f64.powf(self.beat_s());
        self.promised.iter_mut().for_each(|promised| *promised *= left);
        let peers: Vec<PeerKey> = self.links.keys().copied().collect();
        peers.into_iter().for_each(|peer| self.beat(now, peer));
    }

    /// Returns the time between two beats. In a slow channel they are rarer: what they cost grows
    /// with the number of stripes, and not with the stream. Between them, each change is reported
    /// at once, and packets show that a parent lives.
    pub(super) fn beat_s(&self) -> f64 {
        /// Bytes of a beat as it travels, about.
        const BEAT_BYTES: f64 = 150.0;
        /// Share of a stripe that its beats may cost in each direction. With half of it, repairs in
        /// slow channels wait for what beats say of free places.
        const BEAT_SHARE: f64 = 0.009;
        /// Longest time between two beats, seconds.
        const MAX_BEAT_S: f64 = 10.0;
        let rate = self.channel.map_or(0.0, |channel| channel.stripe_bytes_per_s);
        let least = self.config.beat_s;
        if rate > 0.0 { (BEAT_BYTES / (BEAT_SHARE * rate)).clamp(least, least.max(MAX_BEAT_S)) } else { least }
    }

    /// Takes note of the channel's free places in a stripe. Without any, other rules apply to all
    /// nodes, and that must not wait for the next beat.
    pub(super) fn note_spare(&mut self, now: Time, stripe: u8, spare: u16) {
        let known = self.spare[usize::from(stripe)].replace(spare);
        if (known == Some(0)) != (spare == 0) {
            self.report_up(now, stripe);
            self.report_down(now, stripe);
        }
    }

    /// Counts the free places of the channel, at its source.
    pub(super) fn count_spare(&mut self, now: Time) {
        for stripe in 0..self.trees.len() as u8 {
            let spare = self.spare_below(now, stripe);
            self.note_spare(now, stripe, spare);
        }
    }

    /// Sends a beat.
    pub(super) fn beat(&mut self, now: Time, peer: PeerKey) {
        let trees = || (0u8..).zip(&self.trees);
        let up = trees().filter(|(_, tree)| tree.is_parent(peer)).map(|(stripe, _)| self.up(now, stripe)).collect();
        let down = trees()
            .filter(|(_, tree)| self.path_is_known(tree.parent.is_some()))
            .filter_map(|(stripe, tree)| Some((stripe, tree, tree.children.iter().find(|child| child.peer == peer)?)))
            .map(|(stripe, tree, child)| {
                let mut path = tree.path.clone();
                path.push(self.me);
                path.truncate(MAX_PATH);
                Down { stripe, path, kin: self.kin_for(stripe, child.node) }
            })
            .collect();
        let offers = (0u8..).take(self.trees.len()).filter(|stripe| self.free(now, *stripe, None) > 0).collect();
        let is_known = self.channel.is_some() && self.spare.iter().all(Option::is_some);
        let Some(link) = self.links.get_mut(&peer).filter(|link| link.hello.is_some()) else { return };
        self.sequence = self.sequence.wrapping_add(1);
        link.sent_beat(now, self.sequence);
        let (echo, held_ms) = match link.last_beat {
            Some((sequence, at)) => (sequence, now.since(at).as_millis().min(65_535) as u16),
            None => (0, 0),
        };
        let beat = Beat {
            sequence: self.sequence,
            echo,
            held_ms,
            coordinate: self.location.position.encode(),
            newest: self.progress.newest().unwrap_or(0),
            spare: if is_known { self.spare.iter().map(|spare| spare.unwrap_or(0)).collect() } else { Vec::new() },
            offers,
            up,
            down,
        };
        self.tell(peer, Message::Beat(beat));
    }

    fn path_is_known(&self, has_parent: bool) -> bool {
        self.is_source || has_parent
    }

    fn up(&self, now: Time, stripe: u8) -> Up {
        let tree = &self.trees[usize::from(stripe)];
        let subtree: usize = 1 + tree.children.iter().map(|child| usize::from(child.subtree)).sum::<usize>();
        let free = self.free(now, stripe, None);
        let depth = tree.path.len().min(255) as u8;
        let own = (free > 0).then_some(Target { node: self.me, addr: MYSELF, depth, free: free.min(65_535) as u16 });
        let nearest = |places: &mut dyn Iterator<Item = Target>| places.min_by_key(|place| (place.depth, place.node));
        let below = nearest(&mut tree.children.iter().filter_map(|child| child.best));
        // Who gives less than half of what a node gives in one stripe gives way to most.
        let staying = tree.children.iter().filter(|child| !tree.moved.contains_key(&child.peer));
        let least = staying.map(|child| child.gives).min().filter(|least| least * 2 < self.config.home_places);
        let own_step = least.filter(|_| self.port != 0).map(|free| Target { node: self.me, addr: MYSELF, depth, free });
        Up {
            stripe,
            subtree: subtree.min(65_535) as u16,
            spare: self.spare_below(now, stripe),
            places: self.quota(stripe).min(65_535) as u16,
            best: own.or(below),
            step: own_step.or_else(|| nearest(&mut tree.children.iter().filter_map(|child| child.step))),
        }
    }

    /// Returns the nodes that can feed a child if we can't: the free places that are nearest to the
    /// source, then our parent.
    pub(super) fn kin_for(&self, stripe: u8, child: NodeId) -> Vec<Target> {
        let tree = &self.trees[usize::from(stripe)];
        let mut kin: Vec<Target> = (tree.children.iter())
            .filter(|other| other.node != child)
            .filter_map(|other| other.best)
            .filter(|best| best.node != child)
            .collect();
        kin.extend(tree.kin.iter().filter(|kin| kin.free > 0 && kin.node != child));
        kin.sort_by_key(|kin| kin.depth);
        kin.truncate(MAX_TARGETS - 1);
        if let Some(parent) = &tree.parent {
            let depth = tree.path.len().saturating_sub(1) as u8;
            kin.extend(
                self.target(parent.peer, depth, 0).filter(|parent| kin.iter().all(|kin| kin.node != parent.node)),
            );
        }
        kin
    }

    pub(super) fn hear_beat(&mut self, now: Time, peer: PeerKey, beat: Beat) {
        let Some(link) = self.links.get_mut(&peer) else { return };
        link.last_beat = Some((beat.sequence, now));
        link.offers = beat.offers;
        let ours = self.progress.newest().filter(|_| beat.newest > 0);
        link.ahead = ours.map(|ours| (beat.newest as i64).saturating_sub(ours as i64));
        link.location.position = Position::decode(beat.coordinate);
        let theirs = link.location.position;
        if let Some(rtt_s) = link.echoed(now, beat.echo, beat.held_ms) {
            let angle = self.rng.unit() * std::f64::consts::TAU;
            self.location.position.update(&theirs, rtt_s, angle);
        }
        self.claim(now, beat.newest);
        for up in beat.up {
            self.hear_up(now, peer, &up);
        }
        for down in beat.down {
            self.hear_down(now, peer, down, &beat.spare);
        }
    }

    fn hear_up(&mut self, now: Time, peer: PeerKey, up: &Up) {
        let [best, step] = [up.best, up.step].map(|place| self.resolve(peer, place?));
        let Some(location) = self.links.get(&peer).map(|link| link.location.clone()) else { return };
        let Some(tree) = self.trees.get_mut(usize::from(up.stripe)) else { return };
        let Some(child) = tree.children.iter_mut().find(|child| child.peer == peer) else { return };
        let facts = |child: &Child| (child.subtree, child.spare, child.best, child.step);
        let before = facts(child);
        *child = Child {
            subtree: up.subtree.max(1),
            spare: up.spare,
            step,
            gives: up.places,
            best,
            location,
            ..child.clone()
        };
        if facts(child) != before {
            tree.sort();
            self.report_up(now, up.stripe);
        }
    }

    fn hear_down(&mut self, now: Time, peer: PeerKey, down: Down, spare: &[u16]) {
        let (stripe, at) = (down.stripe, usize::from(down.stripe));
        let kin: Vec<Target> = down.kin.into_iter().filter_map(|kin| self.resolve(peer, kin)).collect();
        let Some(tree) = self.trees.get_mut(at).filter(|tree| tree.is_parent(peer)) else { return };
        tree.kin = kin;
        if let Some(spare) = spare.get(at) {
            self.note_spare(now, stripe, *spare);
        }
        let Some(tree) = self.trees.get_mut(at) else { return };
        if down.path == tree.path {
            return;
        }
        if down.path.contains(&self.me) {
            // Two nodes have adopted each other.
            self.counters.loops += 1;
            self.tell(peer, Message::Leave(Stripes::one(stripe)));
            return self.orphan(now, stripe);
        }
        tree.path = down.path;
        self.report_down(now, stripe);
    }

    /// Looks for a better parent for at most one stripe: nearer to the source, or on a path that
    /// fewer other stripes share.
    pub(super) fn improve(&mut self, now: Time) {
        if !self.config.improve || self.is_source || self.leaving.is_some() || now < self.next_improvement {
            return;
        }
        self.next_improvement = now.plus_secs(5.0 + 10.0 * self.rng.unit());
        if self.trees.iter().any(|tree| tree.parent.is_none()) {
            return;
        }
        let crowded = self.crowded(Stripes::NONE);
        let shared = |tree: &super::Tree| tree.path.iter().skip(1).any(|node| crowded.contains(node));
        // A node in as many paths as may be is not too many; one more is.
        let is_unspread = |tree: &super::Tree| {
            let most =
                self.channel.map_or(1, |channel| usize::from(channel.stripes.saturating_sub(channel.needed)).max(1));
            tree.path
                .iter()
                .skip(1)
                .any(|node| self.trees.iter().filter(|other| other.path.contains(node)).count() > most)
        };
        let free = |tree: &super::Tree, is_better: &dyn Fn(&Target) -> bool| {
            tree.kin.iter().filter(|kin| kin.free > 0 && is_better(kin)).copied().collect::<Vec<Target>>()
        };
        let candidates = (0u8..).zip(&self.trees).filter(|(_, tree)| tree.search.is_none());
        // The deepest stripe has most to gain.
        let better = candidates
            .map(|(stripe, tree)| match shared(tree) && is_unspread(tree) {
                true => (usize::MAX, stripe, free(tree, &|kin| !crowded.contains(&kin.node))),
                false => {
                    let depth = tree.path.len();
                    (depth, stripe, free(tree, &|kin| usize::from(kin.depth) + 1 < depth))
                }
            })
            .filter(|(_, _, targets)| !targets.is_empty())
            .max_by_key(|(gain, stripe, _)| (*gain, *stripe));
        if let Some((_, stripe, targets)) = better {
            self.search_at(now, stripe, Reason::Better, &targets, None);
        }
    }
}
