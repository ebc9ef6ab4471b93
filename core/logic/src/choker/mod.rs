//! Whom we give to: upload slots, tit-for-tat, one optimistic slot (BEP 3).
//!
//! Every ten seconds the regular slots go to the interested peers that gave us most of late; one more slot goes around
//! among the others, newcomers first, so that whoever has nothing to trade gets a start and we find better partners. Once
//! we have all, the slots go around by turns instead, viewers that are about to run dry first. What an unchoked peer is sent, and how fast, is for the driver.

mod rank;
#[cfg(test)]
mod tests;

use crate::rng::Rng;
use crate::{PeerKey, Time};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// What the choker can be told to do otherwise. Units are in the names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Peers unchoked at once, the optimistic one included, of those that want more than the line gives. 8.
    pub slots: usize,
    /// So many times as many peers are unchoked at most, those included that are served as they ask. 6: all that a client is
    /// connected to as a rule.
    pub crowd: usize,
    /// Whoever was unchoked less long ago holds a slot however little it asks for: its requests are under way. 2 s.
    pub settle_s: f64,
    /// Between two rankings. 10 s (BEP 3): shorter, and TCP never gets up to speed before a choke.
    pub round_s: f64,
    /// How long the optimistic slot stays with a peer. 30 s (BEP 3).
    pub optimistic_s: f64,
    /// A peer that has been connected for less counts as new and is three times as likely to be drawn. 60 s.
    pub new_s: f64,
    /// A peer that gave nothing for so long while we asked has snubbed us, and loses its regular slot. 60 s.
    pub snub_s: f64,
    /// A peer is not choked within so long of being unchoked, unless it leaves or loses interest. 10 s.
    pub min_unchoked_s: f64,
    /// Once we have all: how long a slot stays with a peer while others wait. 60 s.
    pub turn_s: f64,
    /// Seed of the draw for the optimistic slot.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            slots: 8,
            crowd: 6,
            settle_s: 2.0,
            round_s: 10.0,
            optimistic_s: 30.0,
            new_s: 60.0,
            snub_s: 60.0,
            min_unchoked_s: 10.0,
            turn_s: 60.0,
            seed: 1,
        }
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input {
    /// A peer is connected; it is choked and not interested.
    Joined(PeerKey),
    /// It is gone.
    Left(PeerKey),
    /// It said INTERESTED or NOT INTERESTED.
    Interested(PeerKey, bool),
    /// So many bytes of blocks came from it.
    Gave(PeerKey, u64),
    /// So many bytes of blocks went to it.
    Took(PeerKey, u64),
    /// Something is outstanding at it (true), or nothing is: without, it cannot snub us.
    Asked(PeerKey, bool),
    /// It is a viewer that is about to run dry (true), as far as that is believed, or it is not, or not any more: it comes
    /// before others where slots are given and not earned.
    Dry(PeerKey, bool),
    /// Whatever it asks for goes out at once (true), so it holds no slot; or it waits for the line (false), as is assumed of
    /// everybody.
    Served(PeerKey, bool),
    /// We have all that we want (true): nobody can give us anything.
    Complete(bool),
    /// So many slots from now on.
    Slots(usize),
    /// The time given by [`Choker::next_timeout`] has come.
    Timeout,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send UNCHOKE.
    Unchoke(PeerKey),
    /// Send CHOKE.
    Choke(PeerKey),
}

#[derive(Clone, Debug)]
struct Peer {
    joined: Time,
    interested: bool,
    unchoked_since: Option<Time>,
    /// When it last had a slot; `None`: never.
    last_slot: Option<Time>,
    /// Bytes it gave us in this round and in the one before.
    gave: [u64; 2],
    gave_at: Time,
    /// Bytes it took in this round and in the one before.
    took: [u64; 2],
    asked_since: Option<Time>,
    /// A viewer that is about to run dry.
    dry: bool,
    /// Served as it asks.
    served: bool,
}

/// The state machine; see the [module](self).
#[derive(Debug)]
pub struct Choker {
    config: Config,
    peers: BTreeMap<PeerKey, Peer>,
    optimistic: Option<PeerKey>,
    complete: bool,
    next_round: Time,
    next_optimistic: Time,
    rng: Rng,
    outputs: VecDeque<Output>,
}

impl Choker {
    /// Nobody is connected yet.
    pub fn new(now: Time, config: Config) -> Choker {
        Choker {
            next_round: now.plus_secs(config.round_s),
            next_optimistic: now.plus_secs(config.optimistic_s),
            rng: Rng::new(config.seed),
            config,
            peers: BTreeMap::new(),
            optimistic: None,
            complete: false,
            outputs: VecDeque::new(),
        }
    }

    /// Tells what happened. What to do about it comes from [`Choker::poll`].
    pub fn handle(&mut self, now: Time, input: Input) {
        match input {
            Input::Joined(key) => {
                self.peers.entry(key).or_insert(Peer {
                    joined: now,
                    interested: false,
                    unchoked_since: None,
                    last_slot: None,
                    gave: [0; 2],
                    gave_at: now,
                    took: [0; 2],
                    asked_since: None,
                    dry: false,
                    served: false,
                });
            }
            Input::Left(key) => {
                self.peers.remove(&key);
                if self.optimistic == Some(key) {
                    self.optimistic = None;
                }
                self.fill(now);
            }
            Input::Interested(key, interested) => {
                if let Some(peer) = self.peers.get_mut(&key) {
                    peer.interested = interested;
                    // One that lost interest keeps its slot until somebody needs it or the round ends: many only wait
                    // for our next HAVE.
                    self.fill(now);
                }
            }
            Input::Gave(key, bytes) => {
                if let Some(peer) = self.peers.get_mut(&key) {
                    peer.gave[0] = peer.gave[0].saturating_add(bytes);
                    peer.gave_at = now;
                    // One that snubbed us and gives again need not wait for the round where a slot is free.
                    if peer.interested && peer.unchoked_since.is_none() && self.has_free_slot(now) {
                        self.fill(now);
                    }
                }
            }
            Input::Took(key, bytes) => {
                if let Some(peer) = self.peers.get_mut(&key) {
                    peer.took[0] = peer.took[0].saturating_add(bytes);
                }
            }
            Input::Asked(key, asked) => {
                if let Some(peer) = self.peers.get_mut(&key) {
                    peer.asked_since = asked.then(|| peer.asked_since.unwrap_or(now));
                    if !asked && peer.interested && peer.unchoked_since.is_none() {
                        self.fill(now);
                    }
                }
            }
            Input::Dry(key, dry) => {
                if let Some(peer) = self.peers.get_mut(&key) {
                    peer.dry = dry;
                }
            }
            Input::Served(key, served) => {
                if let Some(peer) = self.peers.get_mut(&key) {
                    peer.served = served;
                }
                // Time alone frees slots, too: a peer settles.
                if served && self.has_free_slot(now) {
                    self.fill(now);
                }
            }
            Input::Complete(complete) => {
                self.complete = complete;
                self.fill(now);
            }
            Input::Slots(slots) => {
                self.config.slots = slots;
                self.shed(now);
                self.fill(now);
            }
            Input::Timeout => {
                if now >= self.next_round {
                    self.round(now);
                }
            }
        }
    }

    /// The next thing to do, until there is none.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Timeout`] is wanted.
    pub fn next_timeout(&self) -> Time {
        self.next_round
    }

    /// Whether the peer has a slot.
    pub fn is_unchoked(&self, key: PeerKey) -> bool {
        self.peers.get(&key).is_some_and(|p| p.unchoked_since.is_some())
    }

    /// The peer in the optimistic slot, if any.
    pub fn optimistic(&self) -> Option<PeerKey> {
        self.optimistic
    }

    /// Whether the peer gave nothing for a minute though we asked.
    pub fn is_snubbing(&self, now: Time, key: PeerKey) -> bool {
        self.peers.get(&key).is_some_and(|p| self.snubs(now, p))
    }

    fn snubs(&self, now: Time, peer: &Peer) -> bool {
        let quiet_since = peer.asked_since.map(|at| at.max(peer.gave_at));
        !self.complete && quiet_since.is_some_and(|at| now >= at.plus_secs(self.config.snub_s))
    }

    /// Whether it has had its slot for a while and taken nothing in this round and the one before: it wants what we have, and
    /// gets it from others.
    fn idles(&self, now: Time, peer: &Peer) -> bool {
        let settled = peer.unchoked_since.is_some_and(|at| now >= at.plus_secs(self.config.round_s));
        settled && peer.took == [0; 2]
    }

    /// Whether it is unchoked and takes nothing from others by it.
    fn holds_no_slot(&self, now: Time, peer: &Peer) -> bool {
        peer.served && peer.unchoked_since.is_some_and(|at| now >= at.plus_secs(self.config.settle_s))
    }

    fn has_free_slot(&self, now: Time) -> bool {
        let held = |p: &&Peer| p.unchoked_since.is_some() && !self.holds_no_slot(now, p);
        self.peers.values().filter(held).count() < self.config.slots && self.unchoked() < self.most()
    }

    fn unchoked(&self) -> usize {
        self.peers.values().filter(|p| p.unchoked_since.is_some()).count()
    }

    /// The most peers that are ever unchoked at once.
    fn most(&self) -> usize {
        self.config.slots * self.config.crowd.max(1)
    }

    fn set_unchoked(&mut self, now: Time, key: PeerKey, unchoked: bool) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        if peer.unchoked_since.is_some() == unchoked {
            return;
        }
        peer.unchoked_since = unchoked.then_some(now);
        peer.last_slot = Some(now);
        if !unchoked && self.optimistic == Some(key) {
            self.optimistic = None;
        }
        self.outputs.push_back(if unchoked { Output::Unchoke(key) } else { Output::Choke(key) });
    }

    /// Between rounds: gives free slots, and those of peers that lost interest, to whoever waits.
    fn fill(&mut self, now: Time) {
        loop {
            let waiting = self.waiting();
            let regular = self.ranked(now).into_iter().find(|key| waiting.contains(key));
            let key = match (self.optimistic, regular) {
                (_, Some(key)) => key,
                // Only peers that snub us wait: for them there is the optimistic slot.
                (None, None) => match waiting.first() {
                    Some(key) => *key,
                    None => return,
                },
                (Some(_), None) => return,
            };
            if !self.has_free_slot(now) {
                // Whoever has never had a slot need not wait for the round where somebody holds one and takes nothing.
                let newcomer = self.peers.get(&key).is_some_and(|p| p.last_slot.is_none());
                let full = self.unchoked() >= self.most();
                let holds = |p: &Peer| p.unchoked_since.is_some() && (full || !self.holds_no_slot(now, p));
                let holders = || self.peers.iter().filter(|(_, p)| holds(p));
                let uninterested = holders().find(|(_, p)| !p.interested);
                let idle =
                    || holders().filter(|(_, p)| newcomer && self.idles(now, p)).min_by_key(|(_, p)| p.unchoked_since);
                let Some((&idle, _)) = uninterested.or_else(idle) else { return };
                self.set_unchoked(now, idle, false);
            }
            if !self.has_free_slot(now) {
                return;
            }
            self.set_unchoked(now, key, true);
            // The last slot to be filled is the optimistic one: who is there first gets a start.
            if self.optimistic.is_none() && (regular.is_none() || !self.has_free_slot(now)) {
                self.optimistic = Some(key);
                self.next_optimistic = now.plus_secs(self.config.optimistic_s);
            }
        }
    }

    /// Chokes the lowest ranked until no more than the slots are unchoked.
    fn shed(&mut self, now: Time) {
        let ranked = self.ranked(now);
        let (served, holding): (Vec<_>, Vec<_>) = self
            .peers
            .iter()
            .filter(|(_, p)| p.unchoked_since.is_some())
            .partition(|(_, p)| self.holds_no_slot(now, p));
        let keys = |some: Vec<(&PeerKey, &Peer)>| {
            let mut keys: Vec<PeerKey> = some.into_iter().map(|(key, _)| *key).collect();
            keys.sort_by_key(|key| ranked.iter().position(|k| k == key).unwrap_or(usize::MAX));
            keys
        };
        let (served, holding) = (keys(served), keys(holding));
        let kept = holding.len().min(self.config.slots);
        let beyond = served.into_iter().skip(self.most() - kept);
        let choked: Vec<PeerKey> = holding.into_iter().skip(kept).chain(beyond).collect();
        choked.into_iter().for_each(|key| self.set_unchoked(now, key, false));
    }

    fn waiting(&self) -> Vec<PeerKey> {
        self.peers.iter().filter(|(_, p)| p.interested && p.unchoked_since.is_none()).map(|(key, _)| *key).collect()
    }

    fn round(&mut self, now: Time) {
        self.next_round = now.plus_secs(self.config.round_s);
        // Whoever is served as it asks stays, and is not counted.
        let (served, mut keep): (Vec<PeerKey>, Vec<PeerKey>) = self
            .ranked(now)
            .into_iter()
            .partition(|key| self.peers.get(key).is_some_and(|p| self.holds_no_slot(now, p)));
        let interested = self.peers.values().filter(|p| p.interested && !self.holds_no_slot(now, p)).count();
        // With a single slot there is no room for both kinds; then every third round is optimistic.
        let rotate = now >= self.next_optimistic;
        let (regular, optimistic) = match self.config.slots {
            0 => (0, 0),
            1 if rotate => (0, 1),
            1 => (1, 0),
            n => (n - 1, 1),
        };
        keep.truncate(if interested <= self.config.slots { self.config.slots } else { regular });
        self.optimistic =
            self.optimistic.filter(|key| !keep.contains(key) && !served.contains(key) && self.is_interested(*key));
        if rotate {
            self.next_optimistic = now.plus_secs(self.config.optimistic_s);
        }
        if optimistic > 0 && keep.len() < self.config.slots {
            if rotate || self.optimistic.is_none() {
                let out: Vec<PeerKey> = keep.iter().chain(&served).copied().collect();
                self.optimistic = self.draw(now, &out).or(self.optimistic);
            }
            keep.extend(self.optimistic);
        } else {
            self.optimistic = None;
        }
        keep.extend(served.into_iter().take(self.most().saturating_sub(keep.len())));
        let (choke, unchoke): (Vec<PeerKey>, Vec<PeerKey>) = (
            self.peers
                .iter()
                .filter(|(k, p)| p.unchoked_since.is_some() && !keep.contains(k))
                .map(|(k, _)| *k)
                .collect(),
            keep.into_iter().filter(|key| !self.is_unchoked(*key)).collect(),
        );
        choke.into_iter().for_each(|key| self.set_unchoked(now, key, false));
        unchoke.into_iter().for_each(|key| self.set_unchoked(now, key, true));
        for peer in self.peers.values_mut() {
            peer.gave = [0, peer.gave[0]];
            peer.took = [0, peer.took[0]];
        }
        self.fill(now);
    }

    fn is_interested(&self, key: PeerKey) -> bool {
        self.peers.get(&key).is_some_and(|p| p.interested)
    }

    /// Nobody is unchoked beyond the bound, and the optimistic peer is one of the unchoked. For tests.
    pub fn check_invariants(&self) {
        assert!(self.unchoked() <= self.most(), "{} unchoked, {} slots", self.unchoked(), self.config.slots);
        if let Some(key) = self.optimistic {
            assert!(self.is_unchoked(key), "the optimistic peer is choked");
        }
    }
}
