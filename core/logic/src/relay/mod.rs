//! The trees of a live channel: who feeds whom with which stripe.
//!
//! Each stripe has a tree of its own, rooted at the source. A node asks others to feed it
//! (a `Join`). Who has a free place accepts. Who has none names others, by a policy ([`Add`]): this
//! redirect is the one primitive that also moves children when a node leaves ([`Delete`]), when a
//! newcomer with more upload takes a place, or when a line is too slow (SpreadIt: Deshpande, Bawa,
//! Garcia-Molina, Stanford 2001). A node feeds others in few stripes, its *homes*, so that its
//! death costs everybody else at most one packet of a group, which parity replaces.
//!
//! The machine sees no packets, only their numbers: [`Relay::feeds`] names the children of a
//! stripe, and a driver passes each new packet on to them. One machine serves one node of one
//! channel. All that others claim is bounded.

mod answer;
mod api;
mod beats;
mod call;
mod capacity;
mod contacts;
mod coordinates;
mod fetch;
mod invariants;
mod lag;
mod leave;
mod link;
mod policy;
mod reach;
mod replies;
mod search;
#[cfg(test)]
mod tests;
mod tree;

pub use api::{Channel, Config, Counters, Dialled, Event, Input, Neighbour, Output};
pub use coordinates::Position;
pub use policy::{Add, Delete, Distance, Location};

use crate::rng::Rng;
use crate::token_bucket::TokenBucket;
use crate::{PeerKey, Time};
use capacity::Capacity;
use contacts::Contacts;
use fetch::Waiting;
use lag::Progress;
use leave::Leaving;
use link::Link;
use playswarm_proto::live::message::{Hello, Message, VERSION};
use playswarm_proto::live::{MAX_PACKETS, NodeId, Stripes};
use reach::Reach;
use search::Reason;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use tree::Tree;

/// Time within which a change in a tree is reported to the parent, seconds. Others that change in
/// this time are in the same message.
const REPORT_S: f64 = 0.1;

/// The state machine of a node in a channel's trees; see the [module](self).
#[derive(Debug)]
pub struct Relay {
    config: Config,
    rng: Rng,
    me: NodeId,
    is_source: bool,
    /// Port at which others can dial us; 0 if none.
    port: u16,
    location: Location,
    channel: Option<Channel>,
    capacity: Capacity,
    /// Stripes in which this node feeds others.
    homes: Stripes,
    links: BTreeMap<PeerKey, Link>,
    dialling: BTreeMap<SocketAddr, Time>,
    contacts: Contacts,
    reach: Reach,
    /// A tree for each stripe. Before the head is known, there is one for each possible stripe.
    trees: Vec<Tree>,
    /// Free places of the whole channel in each stripe, if known.
    spare: Vec<Option<u16>>,
    /// Places of newcomers in each stripe that are not in `spare` yet.
    promised: Vec<f64>,
    progress: Progress,
    /// First group of which something is missing.
    next: Option<u64>,
    /// Packets that are to be asked of neighbours.
    waiting: Waiting,
    /// Requests to send at the end of this event.
    joins: BTreeMap<(PeerKey, Option<NodeId>), Stripes>,
    join_budget: TokenBucket,
    call_budget: TokenBucket,
    next_beat: Time,
    sequence: u16,
    /// Drawn anew with each beat: by how much this node waits longer than others, 0 to 1.
    jitter: f64,
    /// Neighbours that get a beat before it is due, and when.
    reports: BTreeSet<PeerKey>,
    report_at: Time,
    next_improvement: Time,
    next_find: Time,
    leaving: Option<Leaving>,
    counters: Counters,
    outputs: VecDeque<Output>,
}

impl Relay {
    /// Creates a viewer's or relay's machine. It begins to look for parents with its first contact.
    /// `port` is the port at which others can dial it, 0 if they can't.
    pub fn new(now: Time, config: Config, me: NodeId, port: u16) -> Relay {
        Relay::create(now, config, me, port, false)
    }

    /// Creates the source's machine.
    pub fn source(now: Time, config: Config, me: NodeId, port: u16, channel: Channel) -> Relay {
        let mut relay = Relay::create(now, config, me, port, true);
        relay.set_channel(channel);
        relay
    }

    fn create(now: Time, config: Config, me: NodeId, port: u16, is_source: bool) -> Relay {
        let mut rng = Rng::new(config.seed);
        let trees = (0..MAX_PACKETS).map(|_| Tree::new(now, !is_source)).collect();
        Relay {
            me,
            is_source,
            port,
            location: Location::default(),
            channel: None,
            capacity: Capacity::new(now),
            homes: Stripes::NONE,
            links: BTreeMap::new(),
            dialling: BTreeMap::new(),
            contacts: Contacts::default(),
            reach: Reach::default(),
            trees,
            spare: vec![None; MAX_PACKETS],
            promised: vec![0.0; MAX_PACKETS],
            progress: Progress::default(),
            next: None,
            waiting: Waiting::default(),
            joins: BTreeMap::new(),
            join_budget: TokenBucket::new(now, config.joins_per_s, config.joins_per_s, config.joins_per_s),
            call_budget: TokenBucket::new(now, call::CALLS_PER_S, call::CALLS_PER_S, call::CALLS_PER_S),
            next_beat: now.plus_secs(config.beat_s * rng.unit()),
            sequence: 0,
            jitter: rng.unit(),
            reports: BTreeSet::new(),
            report_at: Time::NEVER,
            next_improvement: now.plus_secs(5.0 + 5.0 * rng.unit()),
            next_find: now,
            leaving: None,
            counters: Counters::default(),
            outputs: VecDeque::new(),
            rng,
            config,
        }
    }

    /// Handles an event at time `now`, which never goes back.
    pub fn handle(&mut self, now: Time, input: Input) {
        match input {
            Input::Channel(channel) => self.set_channel(channel),
            Input::Upload(bytes_per_s) => self.capacity.limit(bytes_per_s),
            Input::UploadUnknown => self.capacity.unknown(self.is_source),
            Input::Unneeded(below) => return self.fetched_below(Some(below)),
            Input::Next(next) => {
                self.next = next;
                return self.fetched_below(next);
            }
            Input::Contact(addr, named_by) => {
                self.contacts.add(now, addr, named_by, self.config.contacts);
                self.wake_searches(now);
            }
            Input::Route(route) => self.location.route = route,
            Input::Incoming(peer, addr) => {
                self.note_incoming(addr);
                self.connected(now, peer, addr, false);
            }
            Input::Dialled(addr, how) => self.dialled(now, addr, how),
            Input::Heard(peer, message) => self.heard(now, peer, message),
            Input::Arrived { from, stripe, group } => {
                self.arrived(now, from, stripe, group);
                // Packets arrive often; what they show is looked at with the next timeout.
                return;
            }
            Input::Late { group, missing, lacks } => self.late(now, group, missing, lacks),
            Input::Queue(peer, seconds) => self.queue(now, peer, seconds),
            Input::Left(peer) => self.left(now, peer),
            Input::Leave => self.leave(now),
            Input::Timeout => {}
        }
        self.run(now);
    }

    /// Returns the next action.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns the latest time for a timeout input.
    pub fn next_timeout(&self) -> Time {
        let searches = self.trees.iter().filter_map(|tree| Some(tree.search.as_ref()?.next_timeout()));
        let moved = self.trees.iter().flat_map(|tree| tree.moved.values().copied());
        let leaving = self.leaving.as_ref().map(|leaving| leaving.until);
        (searches.chain(moved).chain(leaving).chain(self.next_call()))
            .chain([self.next_beat, self.report_at, self.progress.next_check()])
            .min()
            .unwrap_or(Time::NEVER)
    }

    /// Returns the children of a stripe, in the order in which to feed them: the largest tree
    /// first, because a line sends to one after the other.
    pub fn feeds(&self, stripe: u8) -> &[PeerKey] {
        self.trees.get(usize::from(stripe)).map_or(&[], |tree| &tree.order)
    }

    /// Returns the parent of a stripe.
    pub fn parent(&self, stripe: u8) -> Option<Neighbour> {
        let peer = self.trees.get(usize::from(stripe))?.parent.as_ref()?.peer;
        Some(Neighbour { peer, node: self.links.get(&peer)?.node()? })
    }

    /// Returns the nodes from the source to the parent of a stripe.
    pub fn path(&self, stripe: u8) -> &[NodeId] {
        self.trees.get(usize::from(stripe)).map_or(&[], |tree| &tree.path)
    }

    /// Returns the number of stripes that have a parent.
    pub fn fed(&self) -> usize {
        self.trees.iter().filter(|tree| tree.parent.is_some()).count()
    }

    /// Returns the free places of the whole channel in a stripe, if neighbours have told them.
    pub fn free_places(&self, stripe: u8) -> Option<u16> {
        self.spare.get(usize::from(stripe)).copied().flatten()
    }

    /// Returns the stripes in which this node feeds others.
    pub fn homes(&self) -> Stripes {
        self.homes
    }

    /// Returns the number of this node.
    pub fn node(&self) -> NodeId {
        self.me
    }

    /// Returns whether this node is worth an announcement: it is the source, which names others even
    /// if it is full, or it has a free place.
    pub fn is_helpful(&self, now: Time) -> bool {
        self.is_source || (0..self.trees.len() as u8).any(|stripe| self.free(now, stripe, None) > 0)
    }

    /// Returns the number of addresses of other nodes that are known.
    pub fn contacts(&self) -> usize {
        self.contacts.len()
    }

    /// Returns whether others can dial this node. `None` if nothing has shown it yet.
    pub fn is_reachable(&self) -> Option<bool> {
        self.reach.known
    }

    /// Returns the counters.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn set_channel(&mut self, channel: Channel) {
        let count = usize::from(channel.stripes).clamp(1, MAX_PACKETS);
        let is_source = self.is_source;
        if self.channel.is_none() || count <= self.trees.len() {
            self.trees.truncate(count);
        }
        self.trees.resize_with(count, || Tree::new(Time::ZERO, !is_source));
        self.spare.resize(count, None);
        self.promised.resize(count, 0.0);
        self.homes = self.homes.and(Stripes::first(count));
        self.channel = Some(Channel { stripes: count as u8, ..channel });
    }

    /// Returns the number of children that this node can have in all stripes.
    fn places(&self) -> u16 {
        self.places_of(self.capacity.upload)
    }

    /// Returns the number of children that a node with this upload, bytes per second, can have.
    fn places_of(&self, upload: f64) -> u16 {
        let rate = self.channel.map_or(0.0, |channel| channel.stripe_bytes_per_s);
        if rate > 0.0 { (upload * (1.0 - self.config.reserve_share) / rate) as u16 } else { 0 }
    }

    /// Does what is due. Each event ends here.
    fn run(&mut self, now: Time) {
        self.check_lag(now);
        self.end_moves(now);
        if self.is_source {
            self.count_spare(now);
        }
        self.call_silent(now);
        if now >= self.next_beat {
            self.next_beat = now.plus_secs(self.beat_s());
            self.jitter = self.rng.unit();
            self.close_dead_links(now);
            self.close_idle_links(now);
            self.try_more(now);
            self.beat_all(now);
            self.improve(now);
        }
        if now >= self.report_at {
            self.report_at = Time::NEVER;
            let peers = std::mem::take(&mut self.reports);
            peers.into_iter().for_each(|peer| self.beat(now, peer));
        }
        if self.leaving.is_some() {
            self.go_on_leaving(now);
        } else if !self.is_source {
            (0..self.trees.len()).for_each(|stripe| self.seek(now, stripe as u8));
            self.send_joins();
        }
    }

    fn tell(&mut self, peer: PeerKey, message: Message) {
        self.outputs.push_back(Output::Tell(peer, message));
    }

    fn hello(&self) -> Message {
        Message::Hello(Hello {
            version: VERSION,
            node: self.me,
            port: self.port,
            source: self.is_source,
            coordinate: self.location.position.encode(),
        })
    }

    fn connected(&mut self, now: Time, peer: PeerKey, addr: SocketAddr, dialled: bool) {
        if self.links.contains_key(&peer) {
            return;
        }
        if !self.has_room(addr) {
            self.outputs.push_back(Output::Close(peer));
            return;
        }
        self.links.insert(peer, Link::new(now, addr, dialled, self.config.wants_per_s));
        let hello = self.hello();
        self.tell(peer, hello);
    }

    fn dialled(&mut self, now: Time, addr: SocketAddr, how: Dialled) {
        self.dialling.remove(&addr);
        match how {
            // The address is proven by a hello only: any server accepts connections.
            Dialled::Connected(peer) => {
                self.connected(now, peer, addr, true);
                // The requests go with the first bytes.
                for stripe in 0..self.trees.len() as u8 {
                    if self.trees[usize::from(stripe)].search.as_mut().is_some_and(|s| s.reached(now, addr, peer)) {
                        self.request(peer, stripe);
                    }
                }
            }
            Dialled::Failed => {
                self.contacts.fail(now, addr, self.longest_rest_s(contacts::MAX_REST_S));
                self.call(addr);
            }
            Dialled::Ourselves => self.contacts.own(addr),
        }
        if !matches!(how, Dialled::Connected(_)) {
            self.trees
                .iter_mut()
                .filter_map(|tree| tree.search.as_mut())
                .for_each(|search| search.unreachable(now, addr));
        }
    }

    fn heard(&mut self, now: Time, peer: PeerKey, message: Message) {
        let Some(link) = self.links.get_mut(&peer) else { return };
        link.heard = now;
        if link.hello.is_none() && !matches!(message, Message::Hello(_)) {
            self.counters.odd += 1;
            return;
        }
        match message {
            Message::Hello(hello) if hello.node == self.me => {
                let addr = link.remote;
                self.contacts.own(addr);
                self.outputs.push_back(Output::Close(peer));
                self.left(now, peer);
            }
            Message::Hello(hello) => {
                link.greet(hello);
                let dialled = link.dialled;
                if let Some(addr) = link.listen.filter(|_| dialled) {
                    self.contacts.succeed(now, addr);
                }
                self.came(now, peer);
            }
            Message::Join(join) => self.answer(now, peer, &join),
            Message::Accept(accept) => self.accepted(now, peer, accept),
            Message::Redirect(redirect) => self.redirected(now, peer, &redirect),
            Message::Leave(stripes) => self.left_stripes(now, peer, stripes),
            Message::Beat(beat) => self.hear_beat(now, peer, beat),
            Message::Call(call) => self.called(now, peer, call),
            Message::Want(wanted) => {
                let count: usize = wanted.iter().map(|wanted| wanted.packets.len()).sum();
                if link.wants.has(now, 1.0) {
                    link.wants.take(now, count as f64);
                    self.outputs.push_back(Output::Give(peer, wanted));
                }
            }
            _ => {}
        }
    }

    /// A connection ended: its stripes need other parents.
    fn left(&mut self, now: Time, peer: PeerKey) {
        self.left_stripes(now, peer, Stripes::ALL);
        self.links.remove(&peer);
        self.reports.remove(&peer);
        self.joins.retain(|(to, _), _| *to != peer);
        for tree in &mut self.trees {
            if let Some(search) = &mut tree.search {
                search.lost(now, peer);
            }
        }
    }

    /// A neighbour neither gives nor takes these stripes any more.
    fn left_stripes(&mut self, now: Time, peer: PeerKey, stripes: Stripes) {
        for stripe in stripes.and(Stripes::first(self.trees.len())).iter() {
            let tree = &mut self.trees[usize::from(stripe)];
            if tree.remove_child(peer) {
                self.report_up(now, stripe);
            }
            let tree = &mut self.trees[usize::from(stripe)];
            if tree.parent.as_ref().is_some_and(|parent| parent.peer == peer) {
                self.orphan(now, stripe);
            }
        }
    }

    /// A stripe has lost its parent.
    fn orphan(&mut self, now: Time, stripe: u8) {
        let tree = &mut self.trees[usize::from(stripe)];
        tree.parent = None;
        tree.lost.get_or_insert(now);
        self.counters.orphaned += 1;
        self.outputs.push_back(Output::Event(Event::Orphaned { stripe }));
        self.search(now, stripe, Reason::Orphan);
    }

    /// Reports a change in a stripe's tree to its parent soon.
    fn report_up(&mut self, now: Time, stripe: u8) {
        if let Some(parent) = self.trees.get(usize::from(stripe)).and_then(|tree| tree.parent.as_ref()) {
            self.reports.insert(parent.peer);
            self.report_at = self.report_at.min(now.plus_secs(REPORT_S));
        }
    }

    /// Reports a new path to the children of a stripe at once.
    fn report_down(&mut self, now: Time, stripe: u8) {
        let children = self.trees[usize::from(stripe)].children.iter().map(|child| child.peer);
        self.reports.extend(children);
        self.report_at = now;
    }

    fn link_of(&self, node: NodeId) -> Option<PeerKey> {
        self.links.iter().find(|(_, link)| link.node() == Some(node)).map(|(peer, _)| *peer)
    }

    /// Returns whether a neighbour is a parent or a child in any stripe.
    fn is_used(&self, peer: PeerKey) -> bool {
        self.trees.iter().any(|tree| tree.is_used(peer))
    }
}
