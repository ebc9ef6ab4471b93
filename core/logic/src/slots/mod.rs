//! The slot index: viewers of a film find the viewers just ahead of them through any DHT.
//!
//! After P2PMoD: a viewer's *virtual slot* is the minute at which it would have begun at the film's
//! start. The slot stays constant while the viewer plays. Viewers of the same or an earlier slot
//! hold the pieces that it needs next. The machine decides which keys to announce ([`key`]), which
//! to look up and when, which addresses to dial, and which of the dialled peers stay as *parents*.
//! It judges parents only by the data they deliver. The driver handles DHT packets, connections,
//! blocks and messages. The [picker](crate::picker) assigns blocks to peers. One machine serves one
//! viewer of one file.
//!
//! All outside data is bounded: operations and dials by budgets; addresses, failures and witnesses
//! by number. docs/SLOTS.md has the formats, docs/SLOTS-SIM.md the measured benefit.

mod api;
mod budget;
mod candidates;
mod clock;
mod follower;
mod invariants;
mod key;
mod parents;
mod plan;
mod search;
#[cfg(test)]
mod tests;
mod tuning;

pub use api::{Config, Counters, Dialled, Film, Input, Operation, Output};
pub use follower::Follower;
pub use key::{Key, Kind, MAX_LEVEL, buckets_of, data_slot, key, level_of, virtual_slot};
pub use playswarm_proto::slots::{EXTENSION, MAX_MESSAGE_BYTES, Message, VERSION};
pub use search::order;

use crate::rng::Rng;
use crate::{PeerKey, Time};
use budget::Budget;
use candidates::{Candidates, network};
use clock::Clock;
use parents::Parents;
use search::Search;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use tuning::{LOW_S, REFRESH_S, TRIAL_S};

/// Most stretches remembered as held; more cannot be announced.
const MAX_HELD: usize = 4096;
/// Deviation of a reported playhead beyond which it counts as a seek. Players report frames, not
/// clock times.
const JUMP_S: f64 = 2.0;

/// The viewer's playhead.
#[derive(Clone, Copy, Debug)]
struct Play {
    position_s: f64,
    at: Time,
    playing: bool,
    /// Time since which it plays, or is paused.
    since: Time,
}

impl Play {
    fn position_s(&self, now: Time) -> f64 {
        if self.playing { self.position_s + now.since(self.at).as_secs_f64() } else { self.position_s }
    }
}

/// An operation in progress.
#[derive(Clone, Debug)]
struct Running {
    slot: i64,
    bucket: u16,
    announce: bool,
    deadline: Time,
    /// Addresses returned so far, and how many of them are new and worth a dial.
    found: usize,
    new: usize,
}

/// An announce that is kept alive.
#[derive(Clone, Copy, Debug)]
struct Announced {
    due: Time,
    failures: u32,
    running: Option<Operation>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Supply {
    film_bytes_per_s: f64,
    ahead_s: f64,
    seeds_bytes_per_s: f64,
    spare_bytes_per_s: u64,
}

/// The state machine of the slot index; see the [module](self).
#[derive(Debug)]
pub struct Slots {
    config: Config,
    film: Film,
    rng: Rng,
    clock: Clock,
    play: Option<Play>,
    supply: Supply,
    /// The virtual slot, kept while the viewer plays.
    slot: Option<i64>,
    /// Time of the last new slot or seek.
    moved: Time,
    /// Whether the viewer was anywhere before: the first search does not wait.
    jumped: bool,
    held: BTreeSet<u32>,
    announced: BTreeMap<i64, Announced>,
    running: BTreeMap<Operation, Running>,
    next_operation: u32,
    search: Search,
    candidates: Candidates,
    dialling: BTreeMap<SocketAddr, Time>,
    parents: Parents,
    operations: Budget,
    dials: Budget,
    /// The last message sent, and its time.
    told: Option<(Time, Message)>,
    counters: Counters,
    wake: Time,
    outputs: VecDeque<Output>,
}

impl Slots {
    /// Creates a machine for a film that is not playing yet.
    pub fn new(now: Time, config: Config, film: Film) -> Slots {
        Slots {
            rng: Rng::new(config.seed),
            clock: Clock::default(),
            play: None,
            supply: Supply::default(),
            slot: None,
            moved: now,
            jumped: false,
            held: BTreeSet::new(),
            announced: BTreeMap::new(),
            running: BTreeMap::new(),
            next_operation: 0,
            search: Search::default(),
            candidates: Candidates::default(),
            dialling: BTreeMap::new(),
            parents: Parents::default(),
            operations: Budget::new(now, config.operations_burst, config.operations_per_hour),
            dials: Budget::new(now, config.dials_burst, config.dials_per_hour),
            told: None,
            counters: Counters::default(),
            wake: Time::NEVER,
            outputs: VecDeque::new(),
            config,
            film,
        }
    }

    /// Handles an input. [`Slots::poll`] returns the resulting actions.
    pub fn handle(&mut self, now: Time, input: Input) {
        match input {
            Input::Wall(unix_s) => self.clock.set(now, unix_s),
            Input::Play { position_s, playing } => {
                let news = self.played(now, position_s, playing);
                if !news && now < self.wake {
                    return; // Playback continues as expected.
                }
            }
            Input::Stopped => self.stopped(),
            Input::Supply { film_bytes_per_s, ahead_s, seeds_bytes_per_s, spare_bytes_per_s } => {
                let finite = |x: f64| if x.is_finite() { x.max(0.0) } else { 0.0 };
                let (hungry, short) = (self.is_hungry(now), self.supply.ahead_s < LOW_S);
                self.supply = Supply {
                    film_bytes_per_s: finite(film_bytes_per_s),
                    ahead_s: finite(ahead_s),
                    seeds_bytes_per_s: finite(seeds_bytes_per_s),
                    spare_bytes_per_s,
                };
                let same = (hungry, short) == (self.is_hungry(now), self.supply.ahead_s < LOW_S);
                if same && now < self.wake {
                    return;
                }
            }
            Input::Holds { stretch, held } => {
                if !held {
                    self.held.remove(&stretch);
                } else if self.held.len() < MAX_HELD {
                    self.held.insert(stretch);
                }
            }
            Input::Own(addr) => self.candidates.own(addr),
            Input::Found(operation, peers) => self.found(now, operation, &peers),
            Input::Ended(operation, well) => self.ended(now, operation, well),
            Input::Dialled(addr, how) => self.dialled(now, addr, how),
            Input::Said(peer, message) => self.said(now, peer, message),
            Input::Gave(peer, bytes) => {
                self.clock.gave(peer);
                if self.parents.gave(now, peer, bytes) {
                    self.counters.parent_bytes = self.counters.parent_bytes.saturating_add(bytes);
                } else {
                    self.counters.other_bytes = self.counters.other_bytes.saturating_add(bytes);
                }
                // Data arrives often, and never requires immediate action.
                return;
            }
            Input::Left(peer) => {
                if let Some(parent) = self.parents.all.remove(&peer) {
                    if parent.bytes == 0 {
                        self.candidates.fail(now, parent.addr);
                    } else {
                        self.candidates.served(now, parent.addr);
                        self.candidates.rest(now, parent.addr);
                    }
                }
            }
            Input::Banned(peer) => {
                self.clock.banned(peer);
                if let Some(parent) = self.parents.all.remove(&peer) {
                    self.candidates.ban(parent.addr);
                }
            }
            Input::Timeout => {}
        }
        self.plan(now);
    }

    /// Returns the next action; `None` once all are taken.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns when [`Input::Timeout`] is due; [`Time::NEVER`] if nothing is pending.
    pub fn next_timeout(&self) -> Time {
        self.wake
    }

    /// Returns the viewer's slot: its virtual slot, or the data slot of the playhead.
    pub fn slot(&self, now: Time) -> Option<i64> {
        match self.config.kind {
            Kind::Virtual => self.slot,
            Kind::Data => self.play.map(|play| data_slot(play.position_s(now), self.config.width_s())),
        }
    }

    /// Returns whether this peer has a place as a parent.
    pub fn is_parent(&self, peer: PeerKey) -> bool {
        self.parents.all.contains_key(&peer)
    }

    /// Returns the parents, with the bytes received from each since it became one and its present
    /// rate in bytes per second.
    pub fn parents(&self, now: Time) -> impl Iterator<Item = (PeerKey, u64, f64)> + '_ {
        self.parents.all.iter().map(move |(key, parent)| (*key, parent.bytes, parent.rate(now)))
    }

    /// Returns the message for a peer that has just announced the extension; `None` if there is
    /// nothing to report yet.
    pub fn message(&self, now: Time) -> Option<Message> {
        let (play, unix_s) = (self.play?, self.clock.unix_s(now)?);
        Some(Message {
            file: self.film.file,
            slot: self.slot.unwrap_or_default(),
            playhead_ms: (play.position_s(now) * 1000.0) as u64,
            playing: play.playing,
            ahead_s: self.supply.ahead_s as u32,
            spare_bytes_per_s: self.supply.spare_bytes_per_s,
            unix_s: unix_s as i64,
        })
    }

    /// Returns the correction of our clock, seconds; negative if it was set back.
    pub fn clock_correction_s(&self) -> f64 {
        self.clock.correction_s()
    }

    /// Returns the counters.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Returns whether this report differs from the expected playhead.
    fn played(&mut self, now: Time, position_s: f64, playing: bool) -> bool {
        if !position_s.is_finite() {
            return false;
        }
        let position_s = position_s.max(0.0);
        let was = self.play;
        let since = was.filter(|play| play.playing == playing).map_or(now, |play| play.since);
        self.play = Some(Play { position_s, at: now, playing, since });
        let Some(was) = was else {
            self.moved = now;
            return true;
        };
        // A stalled player falls behind the expected playhead without a seek. It cannot be ahead,
        // nor go back.
        let (low, high) = (was.position_s - JUMP_S, was.position_s(now) + JUMP_S);
        let jumped = !(low..=high).contains(&position_s);
        if jumped {
            self.jump(now);
        }
        // A stall changes nothing until it has moved us out of our slot; the next timeout checks
        // that.
        jumped || was.playing != playing
    }

    /// Handles a seek: addresses that wait to be dialled are no longer near us.
    fn jump(&mut self, now: Time) {
        self.moved = now;
        self.jumped = true;
        self.slot = None;
        self.candidates.clear();
        self.told = None;
        let lookups: Vec<Operation> = self.running.iter().filter(|(_, r)| !r.announce).map(|(o, _)| *o).collect();
        lookups.into_iter().for_each(|operation| self.cancel(operation));
    }

    fn cancel(&mut self, operation: Operation) {
        if self.running.remove(&operation).is_some() {
            self.outputs.push_back(Output::Cancel(operation));
        }
    }

    fn stopped(&mut self) {
        self.play = None;
        self.slot = None;
        self.jumped = false;
        self.announced.clear();
        self.candidates.clear();
        self.told = None;
        let running: Vec<Operation> = self.running.keys().copied().collect();
        running.into_iter().for_each(|operation| self.cancel(operation));
        let parents = std::mem::take(&mut self.parents.all);
        self.outputs.extend(parents.into_keys().map(Output::Release));
    }

    fn found(&mut self, now: Time, operation: Operation, peers: &[SocketAddr]) {
        self.counters.found = self.counters.found.saturating_add(peers.len() as u64);
        let Some(running) = self.running.get_mut(&operation) else {
            self.counters.ignored = self.counters.ignored.saturating_add(peers.len() as u64);
            return;
        };
        let room = self.config.answer_peers.saturating_sub(running.found);
        let own = self.slot;
        let rank = match (self.config.kind, own) {
            (Kind::Virtual, Some(own)) => u32::try_from(own.abs_diff(running.slot)).unwrap_or(u32::MAX),
            _ => 0,
        };
        let (parents, dialling) = (&self.parents, &self.dialling);
        let mut new = 0;
        for addr in peers.iter().take(room) {
            let known = dialling.contains_key(addr) || parents.all.values().any(|p| p.addr == *addr);
            if !known && self.candidates.add(now, &self.config, &mut self.rng, *addr, rank) {
                new += 1;
            }
        }
        running.found += peers.len().min(room);
        running.new += new;
        self.counters.ignored = self.counters.ignored.saturating_add((peers.len() - new) as u64);
    }

    fn ended(&mut self, now: Time, operation: Operation, well: bool) {
        let Some(running) = self.running.remove(&operation) else { return };
        if !well {
            self.counters.failed_operations += 1;
        }
        let Running { slot, bucket, found, new, announce, .. } = running;
        if !announce {
            self.search.answered(now, &self.config, (slot, bucket), found, new);
            return;
        }
        let deeper = self.search.filled(now, slot, bucket, found);
        let Some(announced) = self.announced.get_mut(&slot) else { return };
        announced.running = None;
        if !well {
            announced.failures = announced.failures.saturating_add(1);
            let wait = self.config.again_s * f64::from(1u32 << announced.failures.min(4));
            announced.due = now.plus_secs(wait.min(REFRESH_S));
        } else if deeper {
            // Its bucket is crowded: viewers would not find us there, and the next level is open
            // now.
            announced.due = now;
        } else {
            announced.failures = 0;
            announced.due = now.plus_secs(REFRESH_S * (0.9 + 0.2 * self.rng.unit()));
        }
    }

    fn said(&mut self, now: Time, peer: PeerKey, message: Message) {
        self.clock.said(now, peer, message.unix_s as f64);
        let Some(play) = self.play else { return };
        // A parent that sought elsewhere, or was never ahead of us, lacks the pieces that we need
        // next. Its place goes to another before the buffer shrinks. A false report gains a peer
        // nothing here.
        let needs_s = play.position_s(now) + self.supply.ahead_s;
        let has_until_s = message.playhead_ms as f64 / 1000.0 + f64::from(message.ahead_s);
        let elsewhere = message.file != self.film.file || has_until_s <= needs_s;
        // A full line is no reason to release a parent: it still feeds viewers with a low buffer.
        // In simulation, releasing such parents cost the origin a sixth more.
        if elsewhere && let Some(parent) = self.parents.all.remove(&peer) {
            self.candidates.rest(now, parent.addr);
            self.counters.released += 1;
            self.outputs.push_back(Output::Release(peer));
        }
    }

    fn dialled(&mut self, now: Time, addr: SocketAddr, how: Dialled) {
        if self.dialling.remove(&addr).is_none() {
            // The dial took longer than our timeout, or was never ours: there is no place any more.
            match how {
                Dialled::Connected(peer) if !self.is_parent(peer) => self.outputs.push_back(Output::Release(peer)),
                Dialled::Ourselves => self.candidates.own(addr),
                _ => {}
            }
            return;
        }
        match how {
            Dialled::Connected(peer) => {
                if self.play.is_some() {
                    self.parents.add(now, peer, addr, TRIAL_S);
                } else {
                    self.outputs.push_back(Output::Release(peer));
                }
                return;
            }
            Dialled::Failed => self.candidates.fail(now, addr),
            Dialled::Ourselves => self.candidates.own(addr),
            Dialled::NotTried => {}
        }
        self.counters.failed_dials += 1;
    }
}
