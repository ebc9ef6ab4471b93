//! Looking for a parent: whom to ask, in which order, and what to do with the answers.

use super::{Event, Output, Relay};
use crate::{PeerKey, Time};
use playswarm_proto::live::message::{From, Join, MAX_NODES, Message, Redirect, Why};
use playswarm_proto::live::{NodeId, Stripes, Target};
use std::collections::VecDeque;
use std::net::SocketAddr;

/// Time within which a connected node answers, seconds.
const ANSWER_S: f64 = 1.0;
/// Time within which a dialled node is connected and answers, seconds.
const DIAL_S: f64 = 3.0;
/// Most requests for one stripe at once.
const AT_ONCE: usize = 3;
/// Time after which a newcomer asks a further node, in multiples of that of an orphan. Nothing has
/// stopped yet, and each request that is one too many costs a place for a moment.
const PATIENCE: f64 = 3.0;
/// Longest pause between attempts, seconds.
const MAX_REST_S: f64 = 30.0;
/// Longest pause of a node that had the stream and is cut off from all of it, seconds. Its line may come
/// back at any moment, and what it misses stays in the back buffers of others for half a minute.
const CUT_OFF_REST_S: f64 = 2.0;
/// Rounds of requests without a place, one after the other, after which the channel counts as full. A
/// single one may come before the newest report of a free place.
pub(super) const FULL_ROUNDS: u32 = 2;
/// Number of redirects after which a place below a node of another stripe's path is accepted.
const SPREAD_TRIES: u8 = 6;

/// Why a parent is sought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// There was none yet.
    New,
    /// It is gone.
    Orphan,
    /// It sent us to another.
    Moved,
    /// Its stripe lags behind the others.
    Lag,
    /// There may be a better one. Only nodes that were named are asked.
    Better,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whom {
    Link(PeerKey),
    Dial(SocketAddr),
}

#[derive(Debug)]
pub(super) struct Search {
    pub(super) reason: Reason,
    tries: u8,
    asked: Vec<NodeId>,
    dialled: Vec<SocketAddr>,
    requested: Vec<PeerKey>,
    queue: VecDeque<Target>,
    pending: Vec<(Whom, Time)>,
    /// Time at which a further node may be asked.
    next_at: Time,
    /// Pauses so far, and the end of the present one.
    rests: u32,
    rest_until: Option<Time>,
    /// Longest time that a node asked us to wait.
    retry_s: u8,
    /// Whether a node answered that all places are taken.
    is_full: bool,
    /// Rounds up to now in which a node answered so, without one in between that ended otherwise.
    full_rounds: u32,
    pub(super) instead_of: Option<NodeId>,
}

impl Search {
    pub(super) fn new(now: Time, reason: Reason) -> Search {
        Search {
            reason,
            tries: 0,
            asked: Vec::new(),
            dialled: Vec::new(),
            requested: Vec::new(),
            queue: VecDeque::new(),
            pending: Vec::new(),
            next_at: now,
            rests: 0,
            rest_until: None,
            retry_s: 0,
            is_full: false,
            full_rounds: 0,
            instead_of: None,
        }
    }

    pub(super) fn next_timeout(&self) -> Time {
        let pending = self.pending.iter().map(|(_, until)| *until).min().unwrap_or(Time::NEVER);
        match self.rest_until {
            Some(until) => until,
            // While nobody more is to be asked, an answer or its absence is awaited.
            None if self.pending.len() >= AT_ONCE || self.next_at == Time::NEVER => pending,
            None => pending.min(self.next_at),
        }
    }

    /// Returns the connected nodes whose answer is awaited.
    pub(super) fn peers(&self) -> impl Iterator<Item = PeerKey> {
        self.pending.iter().filter_map(|(whom, _)| match whom {
            Whom::Link(peer) => Some(*peer),
            Whom::Dial(_) => None,
        })
    }

    /// A dialled node is connected. Returns whether it is to be asked.
    pub(super) fn reached(&mut self, now: Time, addr: SocketAddr, peer: PeerKey) -> bool {
        match self.pending.iter_mut().find(|(whom, _)| *whom == Whom::Dial(addr)) {
            Some(pending) => {
                *pending = (Whom::Link(peer), now.plus_secs(ANSWER_S));
                true
            }
            None => false,
        }
    }

    /// A node that was dialled in vain has dialled us. Returns whether it is to be asked.
    pub(super) fn came(&mut self, now: Time, addr: SocketAddr, peer: PeerKey) -> bool {
        if !self.dialled.contains(&addr) {
            return false;
        }
        self.rest_until = None;
        if !self.reached(now, addr, peer) {
            self.pending.push((Whom::Link(peer), now.plus_secs(ANSWER_S)));
        }
        true
    }

    /// Whether nobody could be asked yet.
    fn had_nobody(&self) -> bool {
        self.requested.is_empty() && self.dialled.is_empty()
    }

    pub(super) fn unreachable(&mut self, now: Time, addr: SocketAddr) {
        self.end(now, Whom::Dial(addr));
    }

    pub(super) fn lost(&mut self, now: Time, peer: PeerKey) {
        self.end(now, Whom::Link(peer));
    }

    /// A request has ended: another node may be asked at once.
    fn end(&mut self, now: Time, whom: Whom) -> bool {
        let before = self.pending.len();
        self.pending.retain(|(pending, _)| *pending != whom);
        let ended = self.pending.len() != before;
        if ended {
            self.next_at = now;
        }
        ended
    }

    /// A node has answered. Returns whether its answer was awaited.
    pub(super) fn answered(&mut self, now: Time, peer: PeerKey) -> bool {
        self.end(now, Whom::Link(peer))
    }

    /// The node that was asked names others.
    pub(super) fn follow(&mut self, redirect: &Redirect, named: &[Target]) {
        self.tries = self.tries.saturating_add(1);
        self.retry_s = self.retry_s.max(redirect.retry_s);
        // Nodes that are not on the air or are leaving ask us to wait too, and so do those with too many
        // requests, which name others.
        self.is_full |= redirect.why == Why::Full && redirect.retry_s > 0 && redirect.targets.is_empty();
        self.instead_of = redirect.instead_of;
        if redirect.instead_of.is_some() {
            // It has no free place, but will take us for the node that named it.
            self.asked.retain(|node| named.iter().all(|target| target.node != *node));
            self.requested.clear();
        }
        // The newest answer knows best.
        named.iter().rev().for_each(|target| self.queue.push_front(*target));
        self.queue.truncate(MAX_NODES);
    }

    fn expire(&mut self, now: Time) {
        let before = self.pending.len();
        self.pending.retain(|(_, until)| now < *until);
        if self.pending.len() != before {
            self.next_at = now;
        }
    }

    /// Returns the time until the next round, seconds, if no place was found because all are taken.
    fn full_for_s(&self, now: Time) -> Option<f64> {
        (self.full_rounds >= FULL_ROUNDS).then(|| self.rest_until.map_or(0.0, |until| until.since(now).as_secs_f64()))
    }

    fn has_asked(&self, node: NodeId) -> bool {
        self.asked.contains(&node)
    }

    fn remember(&mut self, node: NodeId) {
        if self.asked.len() < MAX_NODES && !self.asked.contains(&node) {
            self.asked.push(node);
        }
    }
}

impl Relay {
    /// Begins to look for a parent of a stripe, or goes on for a more urgent reason.
    pub(super) fn search(&mut self, now: Time, stripe: u8, reason: Reason) {
        let tree = &mut self.trees[usize::from(stripe)];
        match &mut tree.search {
            Some(search) if search.reason != Reason::Better => {
                search.reason = reason;
                search.next_at = search.next_at.min(now);
            }
            _ => tree.search = Some(Search::new(now, reason)),
        }
    }

    /// Asks these nodes first.
    pub(super) fn search_at(
        &mut self,
        now: Time,
        stripe: u8,
        reason: Reason,
        targets: &[Target],
        instead_of: Option<NodeId>,
    ) {
        self.search(now, stripe, reason);
        if let Some(search) = &mut self.trees[usize::from(stripe)].search {
            search.queue.extend(targets);
            search.instead_of = instead_of;
        }
    }

    /// New addresses are known: searches that wait go on.
    pub(super) fn wake_searches(&mut self, now: Time) {
        for search in self.trees.iter_mut().filter_map(|tree| tree.search.as_mut()) {
            search.next_at = search.next_at.min(now);
            if (search.rests == 1 || search.had_nobody()) && search.retry_s == 0 {
                search.rest_until = None;
            }
        }
    }

    /// Goes on with the search for a stripe's parent, if there is one.
    pub(super) fn seek(&mut self, now: Time, stripe: u8) {
        let at = usize::from(stripe);
        let Some(search) = &mut self.trees[at].search else { return };
        if let Some(until) = search.rest_until {
            if now < until {
                return;
            }
            let (rests, full_rounds) = (search.rests, search.full_rounds);
            *search = Search { rests, full_rounds, ..Search::new(now, search.reason) };
        }
        search.expire(now);
        while let Some(search) = &self.trees[at].search
            && search.pending.len() < AT_ONCE
            && now >= search.next_at
        {
            let tries = search.tries;
            let whom = if tries < self.config.tries { self.whom(now, stripe) } else { None };
            let Some(search) = &mut self.trees[at].search else { return };
            let Some(whom) = whom else {
                search.next_at = Time::NEVER;
                if search.pending.is_empty() {
                    self.rest(now, stripe);
                }
                return;
            };
            let patience = if search.reason == Reason::New { PATIENCE } else { 1.0 };
            search.next_at = now.plus_secs(self.config.hedge_s * patience);
            match whom {
                Whom::Link(peer) => {
                    search.pending.push((whom, now.plus_secs(ANSWER_S)));
                    self.request(peer, stripe);
                }
                Whom::Dial(addr) => {
                    search.pending.push((whom, now.plus_secs(DIAL_S)));
                    search.dialled.push(addr);
                    self.dial(now, addr);
                }
            }
        }
    }

    pub(super) fn dial(&mut self, now: Time, addr: SocketAddr) {
        if self.dialling.insert(addr, now).is_none() {
            self.note_dial(addr);
            self.outputs.push_back(Output::Dial(addr));
        }
    }

    /// Returns the longest pause before something that failed is tried again, `usual_s` otherwise.
    pub(super) fn longest_rest_s(&self, usual_s: f64) -> f64 {
        let is_cut_off = self.fed() == 0 && self.trees.iter().any(|tree| tree.had_parent);
        if is_cut_off { CUT_OFF_REST_S } else { usual_s }
    }

    /// Returns the time until this node asks for a place again, seconds, if the channel is full: the
    /// stream does not arrive here, since nodes answered that all places are taken. `None` otherwise.
    pub fn full_for_s(&self, now: Time) -> Option<f64> {
        let needed = self.channel.map_or(1, |channel| usize::from(channel.needed));
        let searches = self.trees.iter().filter_map(|tree| tree.search.as_ref()?.full_for_s(now));
        searches.min_by(f64::total_cmp).filter(|_| !self.is_source && self.fed() < needed)
    }

    /// Nobody is left to ask: a pause, or the end of a search that was not needed.
    fn rest(&mut self, now: Time, stripe: u8) {
        let longest_s = self.longest_rest_s(MAX_REST_S);
        let tree = &mut self.trees[usize::from(stripe)];
        let Some(search) = &mut tree.search else { return };
        if tree.parent.is_some() && search.reason == Reason::Better {
            tree.search = None;
            return;
        }
        search.rests += 1;
        let rest_s = f64::from(1u32 << (search.rests - 1).min(5)).min(longest_s).max(search.retry_s.into());
        // Not all nodes at the same moment, but all stripes of one: they share a message.
        let rest_s = rest_s * (0.5 + self.jitter / 2.0);
        search.rest_until = Some(now.plus_secs(rest_s));
        search.full_rounds = if search.is_full { search.full_rounds + 1 } else { 0 };
        if !search.requested.is_empty() || !search.dialled.is_empty() {
            let is_full = search.is_full;
            self.outputs.push_back(Output::Event(Event::NoPlace { stripe, retry_s: rest_s, is_full }));
        }
        if now >= self.next_find {
            self.next_find = now.plus_secs(5.0);
            self.outputs.push_back(Output::Find);
        }
    }

    /// Returns the next node to ask for a stripe.
    fn whom(&mut self, now: Time, stripe: u8) -> Option<Whom> {
        let at = usize::from(stripe);
        loop {
            let target = self.trees[at].search.as_mut()?.queue.pop_front();
            let Some(target) = target else { break };
            if let Some(whom) = self.whom_of(now, stripe, &target) {
                return Some(whom);
            }
        }
        let search = self.trees[at].search.as_ref()?;
        if search.reason == Reason::Better {
            return None;
        }
        let (reason, neighbours) = (search.reason, self.config.neighbours);
        let source_first = self.config.delete.is_root() && reason == Reason::Orphan;
        if source_first && let Some(whom) = self.source_link(stripe).or_else(|| self.contact(now, stripe)) {
            return Some(whom);
        }
        if neighbours {
            if let Some(peer) = self.offering_link(stripe) {
                return Some(Whom::Link(peer));
            }
            let kin = self.trees[at].kin.clone();
            if let Some(whom) = kin.iter().find_map(|target| self.whom_of(now, stripe, target)) {
                return Some(whom);
            }
        }
        // Newcomers begin with what the user gave. An orphan comes back to that last.
        let ask_links = |relay: &Relay| relay.any_link(stripe).map(Whom::Link);
        match reason {
            Reason::New => self.contact(now, stripe).or_else(|| ask_links(self)),
            _ => ask_links(self).or_else(|| self.contact(now, stripe)).or_else(|| self.source_link(stripe)),
        }
    }

    /// Returns how to ask a node that was named, unless it is of no use.
    fn whom_of(&self, now: Time, stripe: u8, target: &Target) -> Option<Whom> {
        let search = self.trees[usize::from(stripe)].search.as_ref()?;
        if target.node == self.me || search.has_asked(target.node) {
            return None;
        }
        if let Some(peer) = self.link_of(target.node).or_else(|| self.link_at(target.addr)) {
            return self.may_ask(stripe, peer).then_some(Whom::Link(peer));
        }
        self.may_dial(now, stripe, target.addr).then_some(Whom::Dial(target.addr))
    }

    pub(super) fn link_at(&self, addr: SocketAddr) -> Option<PeerKey> {
        self.links.iter().find(|(_, link)| link.listen == Some(addr) || link.remote == addr).map(|(peer, _)| *peer)
    }

    fn may_dial(&self, now: Time, stripe: u8, addr: SocketAddr) -> bool {
        let search = self.trees[usize::from(stripe)].search.as_ref();
        let is_new = search.is_some_and(|search| !search.dialled.contains(&addr));
        is_new
            && self.contacts.is_usable(now, addr)
            && self.links.len() + self.dialling.len() < self.config.links
            && self.has_room(addr)
    }

    /// Returns whether this neighbour can be asked for a stripe: it is neither its parent nor a
    /// child in it, and was not asked before.
    pub(super) fn may_ask(&self, stripe: u8, peer: PeerKey) -> bool {
        let tree = &self.trees[usize::from(stripe)];
        let Some(search) = &tree.search else { return false };
        let Some(link) = self.links.get(&peer) else { return false };
        let asked = link.node().is_some_and(|node| search.has_asked(node)) || search.requested.contains(&peer);
        !asked && !tree.is_used(peer)
    }

    /// Returns the neighbour with the shortest round trip that offers a stripe.
    fn offering_link(&self, stripe: u8) -> Option<PeerKey> {
        let offering = self.links.iter().filter(|(peer, link)| link.offers.has(stripe) && self.may_ask(stripe, **peer));
        let rtt_s = |link: &super::Link| link.rtt_s.unwrap_or(1.0);
        offering.min_by(|(_, a), (_, b)| rtt_s(a).total_cmp(&rtt_s(b))).map(|(peer, _)| *peer)
    }

    fn any_link(&self, stripe: u8) -> Option<PeerKey> {
        self.links.iter().find(|(peer, link)| !link.is_source() && self.may_ask(stripe, **peer)).map(|(peer, _)| *peer)
    }

    fn source_link(&self, stripe: u8) -> Option<Whom> {
        let source = self.links.iter().find(|(peer, link)| link.is_source() && self.may_ask(stripe, **peer));
        source.map(|(peer, _)| Whom::Link(*peer))
    }

    fn contact(&self, now: Time, stripe: u8) -> Option<Whom> {
        self.contacts.usable(now).into_iter().find_map(|addr| match self.link_at(addr) {
            Some(peer) => self.may_ask(stripe, peer).then_some(Whom::Link(peer)),
            None => self.may_dial(now, stripe, addr).then_some(Whom::Dial(addr)),
        })
    }

    /// Adds a stripe to the request that a node gets at the end of this event.
    pub(super) fn request(&mut self, peer: PeerKey, stripe: u8) {
        let Some(search) = &mut self.trees[usize::from(stripe)].search else { return };
        if let Some(node) = self.links.get(&peer).and_then(|link| link.node()) {
            search.remember(node);
        }
        search.requested.push(peer);
        self.joins.entry((peer, search.instead_of)).or_default().add(stripe);
        self.counters.asked += 1;
    }

    /// Sends the requests of this event.
    pub(super) fn send_joins(&mut self) {
        for ((peer, instead_of), stripes) in std::mem::take(&mut self.joins) {
            let trees = stripes.iter().filter_map(|stripe| self.trees.get(usize::from(stripe)));
            let searches: Vec<&Search> = trees.filter_map(|tree| tree.search.as_ref()).collect();
            let tries = searches.iter().map(|search| search.tries).max().unwrap_or(0);
            let mut asked: Vec<NodeId> = searches.iter().flat_map(|search| search.asked.iter().copied()).collect();
            asked.sort_unstable();
            asked.dedup();
            asked.truncate(MAX_NODES);
            let join = Join {
                stripes,
                from: self.next.map_or(From::Start, From::Group),
                upload: if self.port == 0 { 0 } else { self.capacity.upload as u32 },
                homes: self.homes,
                tries,
                instead_of,
                asked,
                ancestors: if tries < SPREAD_TRIES { self.crowded(stripes) } else { Vec::new() },
                route: self.location.route.clone(),
            };
            self.tell(peer, Message::Join(join));
        }
    }

    /// Returns the nodes through which as many stripes come as may. `except` are stripes that are
    /// about to move.
    pub(super) fn crowded(&self, except: Stripes) -> Vec<NodeId> {
        let Some(channel) = self.channel else { return Vec::new() };
        let most = usize::from(channel.stripes - channel.needed.min(channel.stripes)).max(1);
        let mut nodes: Vec<NodeId> = (0u8..)
            .zip(&self.trees)
            .filter(|(stripe, tree)| !except.has(*stripe) && tree.parent.is_some())
            // All stripes come from the source.
            .flat_map(|(_, tree)| tree.path.iter().skip(1).copied())
            .collect();
        nodes.sort_unstable();
        let mut crowded: Vec<NodeId> =
            nodes.chunk_by(|a, b| a == b).filter(|same| same.len() >= most).map(|same| same[0]).collect();
        crowded.truncate(MAX_NODES);
        crowded
    }
}
