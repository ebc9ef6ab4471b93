//! Upload slots: tit-for-tat and one optimistic slot (BEP 3).
//!
//! Every ten seconds the regular slots go to the interested peers that sent us most recently. One
//! more slot rotates among the others, new peers first. A peer with nothing to trade thus gets a
//! start, and we find better partners. Once we have every piece, the slots rotate instead, and
//! viewers with a low buffer come first. The driver decides which blocks an unchoked peer is sent,
//! and at what rate.

mod rank;
#[cfg(test)]
mod tests;

use crate::rng::Rng;
use crate::{PeerKey, Time};
use std::collections::{BTreeMap, VecDeque};

/// Factor of `slots` that bounds all unchoked peers, including those served without waiting. 6:
/// usually all peers of a client.
const UNCHOKE_FACTOR: usize = 6;
/// Time after an unchoke for which a peer holds a slot, however little it requests: its
/// requests are under way. 2 s.
const GRACE_S: f64 = 2.0;
/// Time between two rankings. 10 s (BEP 3): with a shorter one, TCP never reaches full speed
/// before a choke.
const ROUND_S: f64 = 10.0;
/// Time for which the optimistic slot stays with a peer. 30 s (BEP 3).
const OPTIMISTIC_S: f64 = 30.0;
/// Connection time below which a peer counts as new and is three times as likely to be drawn.
/// 60 s.
const NEW_S: f64 = 60.0;
/// Time without data, while requests are outstanding, after which a peer has snubbed us and
/// loses its regular slot. 60 s.
const SNUB_S: f64 = 60.0;
/// Shortest time between unchoke and choke of a peer, unless it leaves or loses interest. 10 s.
const MIN_UNCHOKED_S: f64 = 10.0;
/// Time for which a slot stays with a peer while others wait, once we have every piece. 60 s.
const TURN_S: f64 = 60.0;

/// An event that the driver reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input {
    /// A peer connected. It is choked and not interested.
    Joined(PeerKey),
    /// A peer left.
    Left(PeerKey),
    /// A peer sent INTERESTED (true) or NOT INTERESTED (false).
    Interested(PeerKey, bool),
    /// A peer sent this many bytes of blocks.
    Gave(PeerKey, u64),
    /// This many bytes of blocks were sent to a peer.
    Took(PeerKey, u64),
    /// Whether requests to the peer are outstanding. Without any, it cannot snub us. Counts from the
    /// next [`Input::Timeout`] on.
    Asked(PeerKey, bool),
    /// Whether the peer is a viewer with a low buffer, as far as its report is believed. Such
    /// viewers come first where slots are not earned.
    LowBuffer(PeerKey, bool),
    /// Whether the peer's requests are answered without waiting, so that it holds no slot. Until
    /// reported, every peer is assumed to wait for the line. Counts from the next [`Input::Timeout`]
    /// on.
    Served(PeerKey, bool),
    /// Whether we have every wanted piece: no peer can send us anything useful.
    Complete(bool),
    /// The time of [`Choker::next_timeout`] has come, or reports about peers are complete.
    Timeout,
}

/// An action for the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send UNCHOKE.
    Unchoke(PeerKey),
    /// Send CHOKE.
    Choke(PeerKey),
}

#[derive(Clone, Debug, Default)]
struct Peer {
    joined: Time,
    interested: bool,
    unchoked_since: Option<Time>,
    /// Time at which the peer last had a slot; `None` if never.
    last_slot: Option<Time>,
    /// Bytes received from the peer in this round and in the one before.
    gave: [u64; 2],
    gave_at: Time,
    /// Bytes sent to the peer in this round and in the one before.
    took: [u64; 2],
    asked_since: Option<Time>,
    /// Whether the peer is a viewer with a low buffer.
    low_buffer: bool,
    /// Whether the peer's requests are answered without waiting.
    served: bool,
}

impl Peer {
    fn new(joined: Time) -> Peer {
        Peer { joined, gave_at: joined, ..Peer::default() }
    }
}

/// The state machine of the choker; see the [module](self).
#[derive(Debug)]
pub struct Choker {
    /// Number of peers unchoked at once, including the optimistic one, of those that want more than
    /// the line gives.
    slots: usize,
    peers: BTreeMap<PeerKey, Peer>,
    optimistic: Option<PeerKey>,
    complete: bool,
    next_round: Time,
    next_optimistic: Time,
    rng: Rng,
    outputs: VecDeque<Output>,
}

impl Choker {
    /// Creates a choker without peers.
    pub fn new(now: Time, slots: usize, seed: u64) -> Choker {
        Choker {
            next_round: now.plus_secs(ROUND_S),
            next_optimistic: now.plus_secs(OPTIMISTIC_S),
            rng: Rng::new(seed),
            slots,
            peers: BTreeMap::new(),
            optimistic: None,
            complete: false,
            outputs: VecDeque::new(),
        }
    }

    /// Handles an input. [`Choker::poll`] returns the resulting actions.
    pub fn handle(&mut self, now: Time, input: Input) {
        match input {
            Input::Joined(key) => {
                self.peers.entry(key).or_insert_with(|| Peer::new(now));
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
                    // A peer that lost interest keeps its slot until another needs it or the round
                    // ends: many only wait for our next HAVE.
                    self.fill(now);
                }
            }
            Input::Gave(key, bytes) => {
                if let Some(peer) = self.peers.get_mut(&key) {
                    peer.gave[0] = peer.gave[0].saturating_add(bytes);
                    peer.gave_at = now;
                    // A peer that snubbed us and sends again need not wait for the round if a slot
                    // is free.
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
                }
            }
            Input::LowBuffer(key, low) => {
                if let Some(peer) = self.peers.get_mut(&key) {
                    peer.low_buffer = low;
                }
            }
            Input::Served(key, served) => {
                if let Some(peer) = self.peers.get_mut(&key) {
                    peer.served = served;
                }
            }
            Input::Complete(complete) => {
                self.complete = complete;
                self.fill(now);
            }
            Input::Timeout if now >= self.next_round => self.round(now),
            // Slots also become free with time: an unchoked peer may stop holding one.
            Input::Timeout => self.fill(now),
        }
    }

    /// Returns the next action; `None` once all are taken.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns when [`Input::Timeout`] is due.
    pub fn next_timeout(&self) -> Time {
        self.next_round
    }

    /// Returns whether the peer is unchoked.
    pub fn is_unchoked(&self, key: PeerKey) -> bool {
        self.peers.get(&key).is_some_and(|p| p.unchoked_since.is_some())
    }

    /// Returns the peer in the optimistic slot, if any.
    pub fn optimistic(&self) -> Option<PeerKey> {
        self.optimistic
    }

    fn snubs(&self, now: Time, peer: &Peer) -> bool {
        let quiet_since = peer.asked_since.map(|at| at.max(peer.gave_at));
        !self.complete && quiet_since.is_some_and(|at| now >= at.plus_secs(SNUB_S))
    }

    /// Returns whether the peer has had its slot for a while and took nothing in this round and the
    /// one before. It wants our pieces and gets them from others.
    fn idles(&self, now: Time, peer: &Peer) -> bool {
        let settled = peer.unchoked_since.is_some_and(|at| now >= at.plus_secs(ROUND_S));
        settled && peer.took == [0; 2]
    }

    /// Returns whether the peer is unchoked without taking upload from others.
    fn holds_no_slot(&self, now: Time, peer: &Peer) -> bool {
        peer.served && peer.unchoked_since.is_some_and(|at| now >= at.plus_secs(GRACE_S))
    }

    fn has_free_slot(&self, now: Time) -> bool {
        let held = |p: &&Peer| p.unchoked_since.is_some() && !self.holds_no_slot(now, p);
        self.peers.values().filter(held).count() < self.slots && self.unchoked() < self.most()
    }

    fn unchoked(&self) -> usize {
        self.peers.values().filter(|p| p.unchoked_since.is_some()).count()
    }

    /// Returns the most peers that are ever unchoked at once.
    fn most(&self) -> usize {
        self.slots * UNCHOKE_FACTOR
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

    /// Fills slots between rounds: free ones, and those of peers that lost interest.
    fn fill(&mut self, now: Time) {
        loop {
            let waiting = self.waiting();
            if waiting.is_empty() {
                return;
            }
            let regular = self.ranked(now).into_iter().find(|key| waiting.contains(key));
            let key = match (self.optimistic, regular) {
                (_, Some(key)) => key,
                // Only peers that snub us wait: the optimistic slot is for them.
                (None, None) => match waiting.first() {
                    Some(key) => *key,
                    None => return,
                },
                (Some(_), None) => return,
            };
            if !self.has_free_slot(now) {
                // A peer that has never had a slot need not wait for the round while another holds
                // one and takes nothing.
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
            // The last slot to be filled is the optimistic one: the first peers to arrive get a
            // start.
            if self.optimistic.is_none() && (regular.is_none() || !self.has_free_slot(now)) {
                self.optimistic = Some(key);
                self.next_optimistic = now.plus_secs(OPTIMISTIC_S);
            }
        }
    }

    fn waiting(&self) -> Vec<PeerKey> {
        self.peers.iter().filter(|(_, p)| p.interested && p.unchoked_since.is_none()).map(|(key, _)| *key).collect()
    }

    fn round(&mut self, now: Time) {
        self.next_round = now.plus_secs(ROUND_S);
        // Peers served without waiting stay unchoked and are not counted.
        let (served, mut keep): (Vec<PeerKey>, Vec<PeerKey>) = self
            .ranked(now)
            .into_iter()
            .partition(|key| self.peers.get(key).is_some_and(|p| self.holds_no_slot(now, p)));
        let interested = self.peers.values().filter(|p| p.interested && !self.holds_no_slot(now, p)).count();
        // A single slot has no room for both kinds; every third round is then optimistic.
        let rotate = now >= self.next_optimistic;
        let (regular, optimistic) = match self.slots {
            0 => (0, 0),
            1 if rotate => (0, 1),
            1 => (1, 0),
            n => (n - 1, 1),
        };
        keep.truncate(if interested <= self.slots { self.slots } else { regular });
        self.optimistic =
            self.optimistic.filter(|key| !keep.contains(key) && !served.contains(key) && self.is_interested(*key));
        if rotate {
            self.next_optimistic = now.plus_secs(OPTIMISTIC_S);
        }
        if optimistic > 0 && keep.len() < self.slots {
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

    /// Asserts that the bound on unchoked peers holds and that the optimistic peer is unchoked. For
    /// tests.
    pub fn check_invariants(&self) {
        assert!(self.unchoked() <= self.most(), "{} unchoked, {} slots", self.unchoked(), self.slots);
        if let Some(key) = self.optimistic {
            assert!(self.is_unchoked(key), "the optimistic peer is choked");
        }
    }
}
