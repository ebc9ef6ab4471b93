//! Answering requests for a place: accept, or name others.

use super::policy::{Child, Model, Newcomer, Verdict};
use super::{Output, REPORT_S, Relay};
use crate::{PeerKey, Time};
use playswarm_proto::AddressClass;
use playswarm_proto::address_class::is_acceptable;
use playswarm_proto::live::message::{Accept, Join, MAX_TARGETS, Message, Redirect, Why};
use playswarm_proto::live::{NodeId, Stripes, Target};
use std::net::{Ipv6Addr, SocketAddr};

/// Time after which a node that found no place should ask again, seconds.
const FULL_RETRY_S: u8 = 3;
/// The same after a request that was not looked into.
const FLOOD_RETRY_S: u8 = 1;

/// The address of a node in its own report: its neighbour knows it better.
pub(super) const MYSELF: SocketAddr = SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);

/// Returns the children that a node can have in a stripe, if it can have `capacity` in all.
fn places_in(stripe: u8, homes: Stripes, capacity: u16) -> u16 {
    if homes.has(stripe) { capacity / homes.len().max(1) as u16 } else { 0 }
}

/// An answer for one stripe.
enum Answer {
    /// Accept, and move this child to the newcomer.
    Accept(Option<PeerKey>),
    /// Name others.
    Redirect(Redirect),
}

impl Relay {
    /// Answers a request for places.
    pub(super) fn answer(&mut self, now: Time, peer: PeerKey, join: &Join) {
        let places = self.places_of(join.upload.into());
        let Some(link) = self.links.get_mut(&peer) else { return };
        let Some(node) = link.node() else { return };
        link.capacity = places;
        link.location.route.clone_from(&join.route);
        let stripes = join.stripes.and(Stripes::first(self.trees.len()));
        self.counters.joins += stripes.len() as u64;
        if self.channel.is_none() || self.leaving.is_some() {
            return self.send_on(peer, stripes, Why::Dry, FLOOD_RETRY_S);
        }
        if !self.join_budget.has(now, 1.0) {
            self.counters.flooded += stripes.len() as u64;
            return self.send_on(peer, stripes, Why::Full, FLOOD_RETRY_S);
        }
        self.join_budget.take(now, 1.0);
        let homes = self.homes_of(join, places);
        let mut redirects: Vec<Redirect> = Vec::new();
        for stripe in stripes.iter() {
            match self.answer_one(now, peer, node, join, homes, stripe) {
                Answer::Accept(out) => self.accept(now, peer, node, join, homes, stripe, out),
                Answer::Redirect(redirect) => {
                    self.counters.redirected += 1;
                    let redirect = Redirect { homes, ..redirect };
                    // Stripes with the same answer share a message.
                    let same = redirects
                        .iter_mut()
                        .find(|known| Redirect { stripes: redirect.stripes, ..(*known).clone() } == redirect);
                    match same {
                        Some(known) => known.stripes.add(stripe),
                        None => redirects.push(redirect),
                    }
                }
            }
        }
        redirects.into_iter().for_each(|redirect| self.tell(peer, Message::Redirect(redirect)));
    }

    /// Redirects to random neighbours, without a look at the request.
    fn send_on(&mut self, peer: PeerKey, stripes: Stripes, why: Why, retry_s: u8) {
        let mut targets: Vec<Target> = (self.links.iter())
            .filter(|(other, _)| **other != peer)
            .filter_map(|(other, _)| self.target(*other, 0, 0))
            .collect();
        while targets.len() > MAX_TARGETS {
            let at = self.rng.below(targets.len() as u32) as usize;
            targets.swap_remove(at);
        }
        self.counters.redirected += stripes.len() as u64;
        self.tell(peer, Message::Redirect(Redirect { stripes, why, retry_s, targets, ..Redirect::default() }));
    }

    /// Returns a neighbour as a target, if it can be dialled.
    pub(super) fn target(&self, peer: PeerKey, depth: u8, free: u16) -> Option<Target> {
        let link = self.links.get(&peer)?;
        Some(Target { node: link.node()?, addr: link.listen?, depth, free })
    }

    /// Returns the stripes in which a newcomer should feed others. If it has not decided, these are
    /// the ones with the fewest free places, as far as is known here.
    fn homes_of(&mut self, join: &Join, places: u16) -> Stripes {
        if !join.homes.is_empty() || places == 0 {
            return join.homes;
        }
        let count = usize::from(places.div_ceil(self.config.home_places)).clamp(1, self.trees.len());
        let mut order: Vec<(i64, u64, u8)> = (0u8..)
            .take(self.trees.len())
            .map(|stripe| {
                let at = usize::from(stripe);
                let spare = f64::from(self.spare[at].unwrap_or(0)) + self.promised[at];
                ((spare * 16.0) as i64, self.rng.next_u64(), stripe)
            })
            .collect();
        order.sort_unstable();
        let mut homes = Stripes::NONE;
        for (_, _, stripe) in order.into_iter().take(count) {
            homes.add(stripe);
            self.promised[usize::from(stripe)] += f64::from(places) / count as f64;
        }
        homes
    }

    fn answer_one(
        &mut self,
        now: Time,
        peer: PeerKey,
        node: NodeId,
        join: &Join,
        homes: Stripes,
        stripe: u8,
    ) -> Answer {
        let tree = &self.trees[usize::from(stripe)];
        if tree.order.contains(&peer) && !tree.moved.contains_key(&peer) {
            return Answer::Accept(None);
        }
        let no = |why, retry_s, targets| {
            Answer::Redirect(Redirect { stripes: Stripes::one(stripe), why, retry_s, targets, ..Redirect::default() })
        };
        if tree.path.contains(&node) {
            return no(Why::Loop, 0, self.kin_of(stripe, node, join));
        }
        if !self.is_source && tree.parent.is_none() {
            return no(Why::Dry, 0, self.kin_of(stripe, node, join));
        }
        let is_crowded = |of: &NodeId| join.ancestors.contains(of);
        if !self.is_source && (is_crowded(&self.me) || tree.path.iter().skip(1).any(is_crowded)) {
            return no(Why::Spread, 0, self.kin_of(stripe, node, join));
        }
        if self.free(now, stripe, Some(node)) > 0 {
            return Answer::Accept(None);
        }
        if let Some(of) = join.instead_of
            && let Some(child) = tree
                .children
                .iter()
                .find(|child| child.node == of && self.places_of(join.upload.into()) > child.capacity)
            && !tree.moved.contains_key(&child.peer)
        {
            return Answer::Accept(Some(child.peer));
        }
        let Some(link) = self.links.get(&peer) else { return no(Why::Full, 0, Vec::new()) };
        let gives = places_in(stripe, homes, link.capacity);
        let new = Newcomer { node, gives, capacity: link.capacity, location: link.location.clone() };
        let here: Vec<Child> = tree
            .children
            .iter()
            .filter(|child| !tree.moved.contains_key(&child.peer))
            .map(|child| Child {
                best: child.best.and_then(|best| tree.left(now, best)),
                step: child.step.filter(|step| !tree.is_promised(now, step.node)),
                ..child.clone()
            })
            .collect();
        let kin: Vec<Target> =
            tree.kin.iter().filter(|kin| kin.free > 0).filter_map(|kin| tree.left(now, *kin)).collect();
        let model = Model {
            by: self.config.distance,
            step_in: self.config.step_in,
            is_source: self.is_source,
            capacity: self.places(),
            location: &self.location,
            children: &here,
            calm: self.trees.iter().all(|tree| tree.moved.is_empty()),
            kin: &kin,
        };
        let verdict = self.config.add.decide(&mut self.rng, &model, &new, &join.asked);
        self.redirect_by(now, stripe, node, join, verdict)
    }

    fn redirect_by(&mut self, now: Time, stripe: u8, node: NodeId, join: &Join, verdict: Verdict) -> Answer {
        let depth = self.trees[usize::from(stripe)].path.len() as u8 + 1;
        let mut redirect = Redirect { stripes: Stripes::one(stripe), ..Redirect::default() };
        match verdict {
            Verdict::Replace(out) => return Answer::Accept(Some(out)),
            Verdict::Places(targets) => {
                if let Some(first) = targets.first() {
                    self.trees[usize::from(stripe)].promise(now, first.node);
                }
                targets.into_iter().for_each(|target| {
                    if redirect.targets.iter().all(|known| known.node != target.node) {
                        redirect.targets.push(target);
                    }
                });
            }
            Verdict::Children(children) => {
                redirect.targets = children.iter().filter_map(|child| self.target(*child, depth, 0)).collect();
                // The next one in turn.
                if let Some(tree) = self.trees.get_mut(usize::from(stripe)).filter(|tree| !tree.children.is_empty()) {
                    tree.children.rotate_left(1);
                }
            }
            Verdict::StepUp => {
                let parent = self.trees[usize::from(stripe)].parent.as_ref().map(|parent| parent.peer);
                redirect.targets.extend(parent.and_then(|parent| self.target(parent, depth.saturating_sub(2), 0)));
                redirect.instead_of = Some(self.me);
                self.trees[usize::from(stripe)].stepping = Some(node);
            }
            Verdict::Refuse => {
                redirect.targets = self.kin_of(stripe, node, join);
                // Without a free place in the channel, nodes give outside their homes too.
                if self.spare[usize::from(stripe)] == Some(0) {
                    let able =
                        |child: &&Child| child.capacity > 0 && child.node != node && !join.asked.contains(&child.node);
                    let children = self.trees[usize::from(stripe)].children.iter().filter(able);
                    redirect.targets.extend(children.filter_map(|child| self.target(child.peer, depth, 0)));
                }
                redirect.retry_s = if redirect.targets.is_empty() { FULL_RETRY_S } else { 0 };
            }
        }
        redirect.targets.truncate(MAX_TARGETS);
        Answer::Redirect(redirect)
    }

    /// Returns nodes outside the tree below this one that may have a place.
    fn kin_of(&self, stripe: u8, node: NodeId, join: &Join) -> Vec<Target> {
        let kin = self.trees[usize::from(stripe)].kin.iter().copied();
        kin.filter(|kin| kin.node != node && !join.asked.contains(&kin.node)).take(MAX_TARGETS).collect()
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one request")]
    fn accept(
        &mut self,
        now: Time,
        peer: PeerKey,
        node: NodeId,
        join: &Join,
        homes: Stripes,
        stripe: u8,
        out: Option<PeerKey>,
    ) {
        self.counters.accepted += 1;
        let at = usize::from(stripe);
        let Some(link) = self.links.get(&peer) else { return };
        let (location, capacity) = (link.location.clone(), link.capacity);
        let adopts =
            out.and_then(|out| self.trees[at].children.iter().find(|child| child.peer == out)).map(|child| child.node);
        let tree = &mut self.trees[at];
        tree.reserved.retain(|(of, until)| *of != node && now < *until);
        let gives = places_in(stripe, homes, capacity);
        tree.remove_child(peer);
        tree.children.push(Child {
            peer,
            node,
            since: now,
            gives,
            capacity,
            subtree: 1,
            spare: gives,
            best: None,
            step: None,
            location,
        });
        tree.sort();
        let mut path = tree.path.clone();
        path.push(self.me);
        self.tell(peer, Message::Accept(Accept { stripe, path, homes, adopts }));
        self.outputs.push_back(Output::Serve { peer, stripe, from: join.from });
        // Soon it knows who can replace us, and which groups we have.
        self.reports.insert(peer);
        self.report_at = self.report_at.min(now.plus_secs(REPORT_S));
        if let Some(out) = out
            && let Some(target) = self.target(peer, self.trees[at].path.len() as u8 + 1, gives)
        {
            self.counters.replaced += 1;
            self.move_child(now, stripe, out, Why::Replaced, vec![target]);
        }
        self.report_up(now, stripe);
    }

    /// Sends a child to others, and feeds it until it has found a place.
    pub(super) fn move_child(&mut self, now: Time, stripe: u8, child: PeerKey, why: Why, targets: Vec<Target>) {
        let keep = self.config.keep;
        let redirect = Redirect { stripes: Stripes::one(stripe), why, keep, targets, ..Redirect::default() };
        self.tell(child, Message::Redirect(redirect));
        let until = now.plus_secs(self.config.keep_s);
        let tree = &mut self.trees[usize::from(stripe)];
        match keep {
            true => drop(tree.moved.insert(child, until)),
            false => drop(tree.remove_child(child)),
        }
    }

    /// Ends the feeding of children that were sent away and did not go.
    pub(super) fn end_moves(&mut self, now: Time) {
        for stripe in 0..self.trees.len() as u8 {
            let tree = &mut self.trees[usize::from(stripe)];
            let late: Vec<PeerKey> =
                tree.moved.iter().filter(|(_, until)| now >= **until).map(|(peer, _)| *peer).collect();
            for peer in late {
                self.trees[usize::from(stripe)].remove_child(peer);
                self.tell(peer, Message::Leave(Stripes::one(stripe)));
                self.report_up(now, stripe);
            }
        }
    }

    /// Returns where a report of a neighbour's own place leads.
    pub(super) fn resolve(&self, peer: PeerKey, target: Target) -> Option<Target> {
        let link = self.links.get(&peer)?;
        if target.addr == MYSELF {
            return Some(Target { node: link.node()?, addr: link.listen?, ..target });
        }
        let may_name = is_acceptable(target.addr, AddressClass::of(link.remote.ip()));
        (may_name && target.node != self.me).then_some(target)
    }
}
