//! The order of groups: which are complete, which are awaited, when packets are asked for again,
//! and when a group is given up.
//!
//! This machine sees numbers and no bytes, so the simulator runs it for thousands of viewers. The
//! [receiver](super::Receiver) adds keys, packets and decoding.

use super::Config;
use crate::Time;
use std::collections::{BTreeMap, VecDeque};

/// Time after which an incomplete group is asked for once a later one is complete, seconds: about
/// what a packet that TCP sends again needs.
const OVERTAKEN_S: f64 = 0.15;
/// Longest time for which a past that comes too slowly delays the start, seconds: twice the usual
/// time between restart groups.
const SLOW_START_S: f64 = 4.0;
/// Time between two requests for the same group that is late, as a share of that before the first.
const AGAIN_SHARE: f64 = 0.5;

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
    /// Groups below this number are not needed any more: a newcomer begins with a later one.
    Unneeded {
        /// First group that may be needed.
        below: u64,
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
    /// When a later group was complete, if this one comes by itself: it is not of the past.
    overtaken: Option<Time>,
    /// Whether it was sent before this node came, so that it does not come by itself.
    is_past: bool,
    wanted: Option<Time>,
}

impl Group {
    fn unknown(now: Time) -> Group {
        Group { since: now, facts: None, have: 0, unusable: 0, overtaken: None, is_past: false, wanted: None }
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
    /// When the first packet arrived.
    heard: Option<Time>,
    /// The group to begin with when requests were made last, before the start.
    wanted_from: Option<u64>,
    /// When a player that never waits takes the group that was given out last, and when that began on
    /// the source's clock.
    due: Option<(Time, u64)>,
    ended: bool,
    outputs: VecDeque<Output>,
}

impl Assembler {
    /// Creates the machine.
    pub fn new(config: Config) -> Assembler {
        Assembler {
            config,
            groups: BTreeMap::new(),
            next: None,
            awaited_to: 0,
            oldest: 0,
            heard: None,
            wanted_from: None,
            due: None,
            ended: false,
            outputs: VecDeque::new(),
        }
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
        let start = self.start_at().filter(|_| self.next.is_none()).map(|(_, at)| at);
        let (first, after_s) = (self.awaited().next(), self.config.want_after_s);
        let from = self.needed_from().filter(|_| !self.ended);
        let needed = self.groups.range(from.unwrap_or(u64::MAX)..).filter(|(_, group)| !group.is_complete());
        let begins = from.filter(|_| self.next.is_none());
        let wants = needed.map(|(number, group)| want_at(group, begins == Some(*number), after_s)).min();
        // A group that is given up already waits for a restart group to become complete or older.
        let skip = first.filter(|_| self.skip_to().is_some()).map(|(_, group)| self.given_up_at(group));
        wants.into_iter().chain(skip).chain(start).min().unwrap_or(Time::NEVER)
    }

    /// Returns the incomplete groups that are to be given out.
    fn awaited(&self) -> impl Iterator<Item = (u64, &Group)> {
        let from = if self.ended { u64::MAX } else { self.next.unwrap_or(u64::MAX) };
        self.groups.range(from..).map(|(number, group)| (*number, group)).filter(|(_, group)| !group.is_complete())
    }

    /// Returns when the next group is given up. After an interruption, all groups that it hid become
    /// known at once. Each is awaited until a player comes to it, and for the patience. The past of a
    /// newcomer is awaited from the start on: whoever has it may have no room for long.
    fn given_up_at(&self, group: &Group) -> Time {
        let due = self.due.filter(|_| !group.is_past).map_or(group.since, |(at, _)| at.max(group.since));
        due.plus_secs(self.config.patience_s)
    }

    /// Notes when a player takes a group that is given out: once it has played the one before, but not
    /// before it was known. Its reserve is no more than what has come since.
    fn schedule(&mut self, now: Time, group: &Group, born_ms: u64) {
        let after = |at: Time, ms: u64| at.plus_secs(ms as f64 / 1000.0);
        let played = self.due.map_or(group.since, |(at, born)| after(at, born_ms.saturating_sub(born)));
        let newest_ms = self.newest_born_ms().unwrap_or(born_ms);
        let latest = after(now, newest_ms.saturating_sub(born_ms));
        self.due = Some((played.max(group.since).min(latest), born_ms));
    }

    fn arrived(&mut self, now: Time, number: u64, index: u8, facts: Facts) {
        if index >= 32 || number < self.oldest {
            return;
        }
        let window = self.config.max_groups.max(1);
        self.forget(number.saturating_sub(window - 1));
        let group = self.groups.entry(number).or_insert(Group::unknown(now));
        group.facts.get_or_insert(facts);
        let was_complete = group.is_complete();
        group.have |= 1 << index;
        let completes = !was_complete && group.is_complete();
        self.heard.get_or_insert(now);
        self.await_up_to_newest(now);
        if completes && let Some(next) = self.next {
            let before = self.groups.range_mut(next.min(number)..number).filter(|(_, group)| !group.is_past);
            before.for_each(|(_, group)| group.overtaken = group.overtaken.or(Some(now)));
        }
    }

    /// Goes on with this group.
    fn go_on(&mut self, now: Time, next: u64) {
        (self.next, self.awaited_to, self.due) = (Some(next), next, None);
        // The wait for the past was part of the start.
        let past = self.groups.range_mut(next..).filter(|(_, group)| group.is_past);
        past.for_each(|(_, group)| group.since = now);
        self.await_up_to_newest(now);
    }

    /// Returns the first group that is needed: the next one, and before the start the one to begin with.
    fn needed_from(&self) -> Option<u64> {
        self.next.or_else(|| self.target())
    }

    /// Returns the restart group with which to begin: the newest that is a margin old, else the oldest.
    /// A parent that is behind names one that is far too old. The past from there would take long to
    /// come, and whoever began with it would be behind, too.
    fn target(&self) -> Option<u64> {
        let newest = self.newest_born_ms()?;
        let restarts = self.groups.iter().filter_map(|(number, group)| Some((*number, group.facts?)));
        let mut restarts = restarts.filter(|(_, facts)| facts.restart);
        let oldest = restarts.clone().next()?;
        Some(restarts.rfind(|(_, facts)| self.is_margin_old(newest, facts)).unwrap_or(oldest).0)
    }

    /// Returns when the newest group began, milliseconds on the source's clock.
    fn newest_born_ms(&self) -> Option<u64> {
        self.groups.values().rev().find_map(|group| group.facts).map(|facts| facts.born_ms)
    }

    fn is_margin_old(&self, newest_born_ms: u64, facts: &Facts) -> bool {
        newest_born_ms.saturating_sub(facts.born_ms) >= self.margin_ms()
    }

    /// Awaits groups of which no packet came too: a later one shows that they exist.
    fn await_up_to_newest(&mut self, now: Time) {
        let Some((newest, from)) = self.newest().zip(self.needed_from()) else { return };
        // Before the start, an older restart group may become known.
        let is_past = self.next.is_none();
        let from = if is_past { from } else { self.awaited_to };
        for number in from.max(self.oldest)..newest {
            self.groups.entry(number).or_insert(Group { is_past, ..Group::unknown(now) });
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
        self.give_out(now);
        while let Some((from, to)) = self.loss(now) {
            self.outputs.push_back(Output::Skip { from, to });
            self.go_on(now, to);
            self.give_out(now);
        }
        self.want(now);
    }

    /// Returns the next group, if it is lost for good, and the one with which to go on.
    fn loss(&self, now: Time) -> Option<(u64, u64)> {
        let next = self.next.filter(|_| !self.ended)?;
        let late = || self.awaited().next().is_some_and(|(_, group)| self.given_up_at(group) <= now);
        if next < self.oldest || late() { Some((next, self.skip_to()?)) } else { None }
    }

    fn give_out(&mut self, now: Time) {
        while let Some(next) = self.next
            && let Some(group) = self.groups.get(&next).filter(|group| group.is_complete()).copied()
            && let Some(facts) = group.facts
        {
            self.outputs.push_back(Output::Ready { group: next });
            self.next = Some(next.saturating_add(1));
            self.schedule(now, &group, facts.born_ms);
            if facts.end || next == u64::MAX {
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
    /// with them would have no margin. One that began before the past comes fast enough would soon
    /// wait for it. If that is too slow, the next restart group needs no past.
    fn first(&self, now: Time) -> Option<u64> {
        let newest = self.groups.values().rev().find_map(|group| group.facts)?;
        let is_old = |facts: &Facts| newest.end || self.is_margin_old(newest.born_ms, facts);
        let mut restarts = self.complete_restarts(0);
        let first = restarts.rfind(|(number, facts)| is_old(facts) && self.keeps_pace(now, *number, *facts));
        first.map(|(number, _)| number).or_else(|| {
            let (number, at) = self.start_at()?;
            (now >= at).then_some(number)
        })
    }

    /// Returns the milliseconds of the past, from a group on, that have come without a hole, and those
    /// still to come.
    fn past(&self, number: u64, first: Facts) -> (u64, u64) {
        let groups = || self.groups.range(number..);
        let born = |group: &Group| group.facts.map(|facts| facts.born_ms);
        let complete = groups().take_while(|(_, group)| group.is_complete()).last();
        let last = complete.and_then(|(_, group)| born(group)).unwrap_or(first.born_ms);
        let missing = groups().rev().find(|(_, group)| group.is_past && !group.is_complete());
        let end = missing.and_then(|(missing, _)| self.groups.range(missing..).find_map(|(_, group)| born(group)));
        (last.saturating_sub(first.born_ms), end.unwrap_or(last).saturating_sub(last))
    }

    /// Returns whether the rest of the past, at the pace of what came, is here before it is played.
    fn keeps_pace(&self, now: Time, number: u64, first: Facts) -> bool {
        let (have_ms, rest_ms) = self.past(number, first);
        let took_ms = self.heard.map_or(0.0, |heard| now.since(heard).as_secs_f64() * 1000.0);
        // rest / pace, where pace = have / took.
        let (have_ms, rest_ms) = (have_ms as f64, rest_ms as f64);
        rest_ms == 0.0 || have_ms > 0.0 && rest_ms * took_ms <= have_ms * (have_ms + rest_ms)
    }

    /// Returns the first restart group, and when it is given out in any case: if the source pauses,
    /// time alone makes the margin.
    fn start_at(&self) -> Option<(u64, Time)> {
        let (number, facts) = self.complete_restarts(0).next()?;
        let (_, rest_ms) = self.past(number, facts);
        let wait_s = if rest_ms == 0 { self.config.margin_s } else { SLOW_START_S.max(self.config.margin_s) };
        Some((number, self.groups.get(&number)?.since.plus_secs(wait_s)))
    }

    fn margin_ms(&self) -> u64 {
        (self.config.margin_s * 1000.0) as u64
    }

    /// Returns where to go on after a loss: the newest restart group that is a margin older than the
    /// newest group, so that the player has its margin again; else the oldest one there is.
    fn skip_to(&self) -> Option<u64> {
        let newest = self.newest_born_ms()?;
        let from = self.next?;
        let mut restarts = self.complete_restarts(from);
        let oldest = restarts.next()?;
        let newer = restarts.rfind(|(_, facts)| self.is_margin_old(newest, facts));
        Some(newer.unwrap_or(oldest).0)
    }

    fn want(&mut self, now: Time) {
        let Some(from) = self.needed_from().filter(|_| !self.ended) else { return };
        if self.next.is_none() && self.wanted_from.replace(from).is_some_and(|before| before < from) {
            self.outputs.push_back(Output::Unneeded { below: from });
        }
        let (begins, after_s) = (Some(from).filter(|_| self.next.is_none()), self.config.want_after_s);
        for (number, group) in self.groups.range_mut(from..).filter(|(_, group)| !group.is_complete()) {
            if want_at(group, begins == Some(*number), after_s) <= now {
                group.wanted = Some(now);
                let want = Output::Want { group: *number, have: group.have & !group.unusable, lacks: group.lacks() };
                self.outputs.push_back(want);
            }
        }
    }
}

/// Returns when other nodes are asked for an incomplete group. One of the past does not come by
/// itself, but the `first` one, of which each parent sends a packet. A later group that is complete
/// shows that one is late; if none comes, time does.
fn want_at(group: &Group, is_first: bool, after_s: f64) -> Time {
    match (group.wanted, group.overtaken) {
        (Some(at), None) if !group.is_past => at.plus_secs(after_s),
        (Some(at), _) => at.plus_secs(after_s * AGAIN_SHARE),
        (None, _) if group.is_past => group.since,
        (None, _) if is_first => group.since.plus_secs(OVERTAKEN_S.min(after_s)),
        (None, Some(at)) => at.plus_secs(OVERTAKEN_S).min(group.since.plus_secs(after_s)),
        (None, None) => group.since.plus_secs(after_s),
    }
}
