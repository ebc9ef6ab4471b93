//! The order of groups: which are complete, which are awaited, when packets are asked for again,
//! and when a group is given up.
//!
//! This machine sees numbers and no bytes, so the simulator runs it for thousands of viewers. The
//! [receiver](super::Receiver) adds keys, packets and decoding.

use super::Config;
use crate::Time;
use std::collections::{BTreeMap, VecDeque};

/// What is known of a group from its first packet on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Number of packets that suffice.
    pub needed: u8,
    /// When the group began, milliseconds on the source's clock.
    pub born_ms: u64,
    /// Whether a player can begin here.
    pub restart: bool,
    /// Whether the stream ends here.
    pub end: bool,
}

/// An event that the driver reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input {
    /// A verified packet arrived.
    Arrived {
        /// Number of the group.
        group: u64,
        /// Number of the packet in the group, below 32.
        index: u8,
        /// Facts about the group, the same for all its packets.
        facts: Facts,
    },
    /// Give out groups from this number on, as after an interruption. Without it, the first is the
    /// first complete group at which a player can begin.
    Resume(u64),
    /// The packets of groups below this number are gone, for lack of room.
    Dropped(u64),
    /// These packets of a group must not be used: its parity was made wrongly.
    Unusable {
        /// Number of the group.
        group: u64,
        /// A bit for each packet.
        packets: u32,
    },
    /// The time of [`Assembler::next_timeout`] has come.
    Timeout,
}

/// An action for the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// The next group is complete.
    Ready {
        /// Number of the group.
        group: u64,
    },
    /// Ask other nodes for packets of a group, which is late. Repeated until it is complete.
    Want {
        /// Number of the group.
        group: u64,
        /// A bit for each packet that is here.
        have: u32,
        /// Number of packets that would complete it; `None` if nothing is known of the group.
        lacks: Option<u8>,
    },
    /// Groups are lost for good. The next one given out is `to`, at which a player can begin.
    Skip {
        /// First group that is lost.
        from: u64,
        /// Next group that is given out.
        to: u64,
    },
    /// The last group of the stream was given out.
    Ended,
}

/// How a packet was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It is the first with its number, whether or not its group is complete already.
    New,
    /// It was here already.
    Duplicate,
    /// Its group is older than the window.
    Late,
}

#[derive(Clone, Copy, Debug)]
struct Group {
    /// When it was first known of: by a packet of it or of a later group.
    since: Time,
    facts: Option<Facts>,
    have: u32,
    /// Packets that must not be used.
    unusable: u32,
    wanted: Option<Time>,
}

impl Group {
    fn unknown(now: Time) -> Group {
        Group { since: now, facts: None, have: 0, unusable: 0, wanted: None }
    }

    fn usable(&self) -> u32 {
        (self.have & !self.unusable).count_ones()
    }

    fn lacks(&self) -> Option<u8> {
        Some(self.facts?.needed.saturating_sub(self.usable() as u8))
    }

    fn is_complete(&self) -> bool {
        self.lacks() == Some(0)
    }

    fn is_restart(&self) -> bool {
        self.facts.is_some_and(|facts| facts.restart)
    }
}

/// The state machine of the order of groups; see the [module](self).
#[derive(Clone, Debug)]
pub struct Assembler {
    config: Config,
    /// The groups of the window that are known of. From `next` on there are no holes.
    groups: BTreeMap<u64, Group>,
    /// Next group to give out; `None` before the start.
    next: Option<u64>,
    /// From `next` to this number, each group of the window is in `groups`.
    awaited_to: u64,
    /// Groups below are late.
    oldest: u64,
    ended: bool,
    outputs: VecDeque<Output>,
}

impl Assembler {
    /// Creates the machine.
    pub fn new(config: Config) -> Assembler {
        let (groups, outputs) = (BTreeMap::new(), VecDeque::new());
        Assembler { config, groups, next: None, awaited_to: 0, oldest: 0, ended: false, outputs }
    }

    /// Returns the number of the newest group of which a packet arrived.
    pub fn newest(&self) -> Option<u64> {
        self.groups.last_key_value().map(|(number, _)| *number)
    }

    /// Returns the number of the next group to give out; `None` before the start.
    pub fn next(&self) -> Option<u64> {
        self.next
    }

    /// Returns the number of the oldest group whose packets are taken.
    pub fn oldest(&self) -> u64 {
        self.oldest
    }

    /// Returns how a packet would be received now.
    pub fn arrival(&self, group: u64, index: u8) -> Arrival {
        if group < self.oldest {
            return Arrival::Late;
        }
        match self.groups.get(&group) {
            Some(known) if known.have & 1 << index != 0 => Arrival::Duplicate,
            _ => Arrival::New,
        }
    }

    /// Handles an event at time `now`, which never goes back.
    pub fn handle(&mut self, now: Time, input: Input) {
        match input {
            Input::Arrived { group, index, facts } => self.arrived(now, group, index, facts),
            Input::Resume(from) => self.go_on(now, from),
            Input::Dropped(below) => self.forget(below),
            Input::Unusable { group, packets } => {
                if group >= self.oldest {
                    self.groups.entry(group).or_insert(Group::unknown(now)).unusable |= packets;
                }
            }
            Input::Timeout => {}
        }
        self.proceed(now);
    }

    /// Returns the next action.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns the latest time for a timeout input: when a packet is wanted, or a group given up.
    pub fn next_timeout(&self) -> Time {
        let want = |group: &Group| match group.wanted {
            None => group.since.plus_secs(self.config.want_after_s),
            Some(at) => at.plus_secs(self.config.want_after_s),
        };
        let start = self.start_at().filter(|_| self.next.is_none());
        let (first, wants) = (self.awaited().next(), self.awaited().map(|(_, group)| want(group)).min());
        // A group that is given up already waits for a restart group to become complete or older.
        let skip = first.filter(|_| self.skip_to().is_some()).map(|(_, group)| self.given_up_at(group));
        wants.into_iter().chain(skip).chain(start).min().unwrap_or(Time::NEVER)
    }

    /// Returns the incomplete groups that are to be given out.
    fn awaited(&self) -> impl Iterator<Item = (u64, &Group)> {
        let from = if self.ended { u64::MAX } else { self.next.unwrap_or(u64::MAX) };
        self.groups.range(from..).map(|(number, group)| (*number, group)).filter(|(_, group)| !group.is_complete())
    }

    fn given_up_at(&self, group: &Group) -> Time {
        group.since.plus_secs(self.config.patience_s)
    }

    fn arrived(&mut self, now: Time, number: u64, index: u8, facts: Facts) {
        if index >= 32 || number < self.oldest {
            return;
        }
        let window = self.config.max_groups.max(1);
        self.forget(number.saturating_sub(window - 1));
        let group = self.groups.entry(number).or_insert(Group::unknown(now));
        group.facts.get_or_insert(facts);
        group.have |= 1 << index;
        self.await_up_to_newest(now);
    }

    /// Goes on with this group.
    fn go_on(&mut self, now: Time, next: u64) {
        (self.next, self.awaited_to) = (Some(next), next);
        self.await_up_to_newest(now);
    }

    /// Awaits groups of which no packet came too: a later one shows that they exist.
    fn await_up_to_newest(&mut self, now: Time) {
        let (Some(newest), true) = (self.newest(), self.next.is_some()) else { return };
        for number in self.awaited_to.max(self.oldest)..newest {
            self.groups.entry(number).or_insert(Group::unknown(now));
        }
        self.awaited_to = self.awaited_to.max(newest);
    }

    /// Forgets the groups below this number, and takes none of them any more.
    fn forget(&mut self, below: u64) {
        if below > self.oldest {
            self.oldest = below;
            self.groups = self.groups.split_off(&below);
        }
    }

    /// Gives out what is complete, asks for what is late, and gives up what is lost.
    fn proceed(&mut self, now: Time) {
        if self.ended {
            return;
        }
        if self.next.is_none() {
            self.first(now).into_iter().for_each(|number| self.go_on(now, number));
        }
        self.give_out();
        while let Some((from, to)) = self.loss(now) {
            self.outputs.push_back(Output::Skip { from, to });
            self.go_on(now, to);
            self.give_out();
        }
        self.want(now);
    }

    /// Returns the next group, if it is lost for good, and the one with which to go on.
    fn loss(&self, now: Time) -> Option<(u64, u64)> {
        let next = self.next.filter(|_| !self.ended)?;
        let late = || self.awaited().next().is_some_and(|(_, group)| self.given_up_at(group) <= now);
        if next < self.oldest || late() { Some((next, self.skip_to()?)) } else { None }
    }

    fn give_out(&mut self) {
        while let Some(next) = self.next
            && let Some(group) = self.groups.get(&next).filter(|group| group.is_complete())
        {
            self.outputs.push_back(Output::Ready { group: next });
            self.next = Some(next.saturating_add(1));
            if group.facts.is_some_and(|facts| facts.end) || next == u64::MAX {
                self.ended = true;
                self.outputs.push_back(Output::Ended);
                return;
            }
        }
    }

    /// Returns the complete groups at which a player can begin, from this number on.
    fn complete_restarts(&self, from: u64) -> impl DoubleEndedIterator<Item = (u64, Facts)> {
        let complete = self.groups.range(from..).filter(|(_, group)| group.is_complete() && group.is_restart());
        complete.filter_map(|(number, group)| Some((*number, group.facts?)))
    }

    /// Returns the first group to give out: a restart group that is a margin older than the newest.
    /// New packets often come before those of the past that a new parent sends; a player that began
    /// with them would have no margin. If the source pauses, time alone makes the margin.
    fn first(&self, now: Time) -> Option<u64> {
        let has_waited = self.start_at().is_some_and(|at| now >= at);
        let newest = self.groups.values().rev().find_map(|group| group.facts)?;
        let old = |facts: &Facts| newest.end || newest.born_ms.saturating_sub(facts.born_ms) >= self.margin_ms();
        let mut restarts = self.complete_restarts(0);
        let first = if has_waited { restarts.next() } else { restarts.find(|(_, facts)| old(facts)) };
        first.map(|(number, _)| number)
    }

    /// Returns the time at which the first group is given out in any case.
    fn start_at(&self) -> Option<Time> {
        let (number, _) = self.complete_restarts(0).next()?;
        Some(self.groups.get(&number)?.since.plus_secs(self.config.margin_s))
    }

    fn margin_ms(&self) -> u64 {
        (self.config.margin_s * 1000.0) as u64
    }

    /// Returns where to go on after a loss: the newest restart group that is a margin older than the
    /// newest group, so that the player has its margin again; else the oldest one there is.
    fn skip_to(&self) -> Option<u64> {
        let newest = self.groups.values().rev().find_map(|group| group.facts)?.born_ms;
        let from = self.next?;
        let old = |facts: &Facts| newest.saturating_sub(facts.born_ms) >= self.margin_ms();
        let mut restarts = self.complete_restarts(from);
        let oldest = restarts.next()?;
        let newer = restarts.rfind(|(_, facts)| old(facts));
        Some(newer.unwrap_or(oldest).0)
    }

    fn want(&mut self, now: Time) {
        let Some(next) = self.next else { return };
        for (number, group) in self.groups.range_mut(next..).filter(|(_, group)| !group.is_complete()) {
            let due = group.wanted.unwrap_or(group.since).plus_secs(self.config.want_after_s);
            if due <= now {
                group.wanted = Some(now);
                let want = Output::Want { group: *number, have: group.have & !group.unusable, lacks: group.lacks() };
                self.outputs.push_back(want);
            }
        }
    }
}
