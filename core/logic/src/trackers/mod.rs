//! Decides which tracker to announce to, and when (BEP 3, 12, 27, 31).
//!
//! The tiers of BEP 12 are backups of each other, but a viewer must not wait for a dead one. All
//! tiers are therefore used at once. Within a tier, trackers are used one after the other, in a
//! random order of our own. The next one follows as soon as one fails, answers without a peer, or
//! is silent for [`PATIENCE`]. The one that answers moves to the front and gets the later
//! announces. When peers run short, the next ones of the tier are used too.
//!
//! A private torrent announces to one tracker at a time (BEP 27). All tiers form one list then, and
//! the next tracker is used only when one fails.

use crate::Time;
use crate::rng::Rng;
use playswarm_proto::tracker::{Event, Retry};
use std::time::Duration;

/// Silence of a tracker after which the next of its tier is used too.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// Shortest time between two announces to a tracker, whatever interval it names: 0 would be a busy
/// loop.
pub const MIN_INTERVAL: Duration = Duration::from_secs(30);
/// Longest time between two announces, whatever interval the tracker names.
pub const MAX_INTERVAL: Duration = Duration::from_secs(60 * 60);
/// Time between two announces if a tracker names no interval.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(30 * 60);
/// Time after which a tracker may be used again when peers run short, unless it forbids that.
const HURRY_INTERVAL: Duration = Duration::from_secs(60);
/// Pause after a failure. It doubles with each further one.
const FIRST_RETRY: Duration = Duration::from_secs(5);
const MAX_RETRY: Duration = Duration::from_secs(10 * 60);
/// Longest pause that a tracker may demand when it fails (BEP 31).
const MAX_RETRY_IN: Duration = Duration::from_secs(24 * 60 * 60);

/// An event that the driver reports. Trackers are identified by their index in the list given to
/// [`Trackers::new`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A tracker answered an announce.
    Answered {
        /// Index of the tracker.
        tracker: usize,
        /// Interval until the next announce, if the tracker names one.
        interval: Option<Duration>,
        /// Shortest interval, if the tracker names one.
        min_interval: Option<Duration>,
        /// Number of peers in the answer.
        peers: usize,
    },
    /// A tracker failed or refused the announce.
    Failed {
        /// Index of the tracker.
        tracker: usize,
        /// Retry that it demands.
        retry: Retry,
    },
    /// Peers run short.
    Hurry,
    /// The torrent is complete.
    Completed,
    /// The torrent turned out to be private.
    Private,
    /// The time of [`Trackers::next_timeout`] has come.
    Timeout,
}

/// An action for the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Announce, and report the result (except for [`Event::Stopped`]).
    Announce {
        /// Index of the tracker.
        tracker: usize,
        /// Event to announce.
        event: Event,
    },
}

/// The state of a tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not in use: another of its tier answers.
    Idle,
    /// An announce is outstanding.
    Asking,
    /// The last announce succeeded.
    Working,
    /// The last announce failed or was refused.
    Failed,
}

#[derive(Clone, Debug)]
struct Entry {
    /// Start and event of the outstanding announce.
    asking: Option<(Time, Event)>,
    /// Earliest time of the next announce; [`Time::NEVER`] if the tracker demands no retry.
    due: Time,
    /// Earliest time of the next announce when peers run short.
    soonest: Time,
    failures: u32,
    /// Whether the tracker has answered. It then distributes our address until it receives
    /// `stopped`.
    welcome: bool,
    completed: bool,
}

impl Entry {
    /// Returns when the tracker is to be told that the torrent is complete.
    fn completion_due(&self) -> Time {
        match (self.completed && self.asking.is_none(), self.failures) {
            (true, 0) => Time::ZERO,
            (true, _) => self.due,
            (false, _) => Time::NEVER,
        }
    }
}

/// A tier, or all tiers of a private torrent.
#[derive(Clone, Debug)]
struct Group {
    /// Trackers of the group, in the order of use.
    order: Vec<usize>,
    /// Time until which the group's needs are met.
    content_until: Time,
}

/// The state machine of all trackers of a torrent; see the [module](self).
#[derive(Clone, Debug)]
pub struct Trackers {
    entries: Vec<Entry>,
    groups: Vec<Group>,
    private: bool,
    /// Trackers that are still to receive `stopped`.
    leaving: Vec<usize>,
    /// Time of the last input.
    now: Time,
    /// Spread of the retries, so that clients do not all return to a recovered tracker at once.
    spread: f64,
    rng: Rng,
}

impl Trackers {
    /// Creates the machine from each tracker's tier, ascending. The same seed gives the same order
    /// within tiers.
    pub fn new(tiers: &[u32], private: bool, seed: u64) -> Trackers {
        let mut trackers = Trackers {
            entries: Vec::new(),
            groups: Vec::new(),
            private: false,
            leaving: Vec::new(),
            now: Time::ZERO,
            spread: 0.0,
            rng: Rng::new(seed),
        };
        trackers.extend(tiers);
        trackers.spread = trackers.rng.unit();
        if private {
            trackers.make_private();
        }
        trackers
    }

    /// Adds further trackers, by their tiers. A private torrent uses them after the present ones.
    pub fn extend(&mut self, tiers: &[u32]) {
        let entry =
            Entry { asking: None, due: Time::ZERO, soonest: Time::ZERO, failures: 0, welcome: false, completed: false };
        for tier in tiers.chunk_by(|a, b| a == b) {
            let first = self.entries.len();
            self.entries.extend(vec![entry.clone(); tier.len()]);
            let mut order: Vec<usize> = (first..self.entries.len()).collect();
            for i in (1..order.len()).rev() {
                order.swap(i, self.rng.below(i as u32 + 1) as usize);
            }
            match self.groups.first_mut().filter(|_| self.private) {
                Some(all) => all.order.append(&mut order),
                None => self.groups.push(Group { order, content_until: Time::ZERO }),
            }
        }
    }

    /// Handles an input. [`Trackers::poll`] returns the resulting actions.
    pub fn handle(&mut self, now: Time, input: Input) {
        self.now = now;
        match input {
            Input::Timeout => {}
            Input::Answered { tracker, interval, min_interval, peers } => {
                self.answered(now, tracker, interval, min_interval, peers);
            }
            Input::Failed { tracker, retry } => self.failed(now, tracker, retry),
            Input::Hurry => {
                for entry in &mut self.entries {
                    entry.due = entry.due.min(entry.soonest.max(now));
                }
                self.groups.iter_mut().for_each(|group| group.content_until = now);
            }
            Input::Completed => self.entries.iter_mut().for_each(|entry| entry.completed = entry.welcome),
            Input::Private => self.make_private(),
        }
    }

    /// Returns the next action; `None` once all are taken.
    pub fn poll(&mut self) -> Option<Output> {
        let now = self.now;
        if let Some(tracker) = self.leaving.pop() {
            if !std::mem::take(&mut self.entries[tracker].welcome) {
                return self.poll();
            }
            return Some(Output::Announce { tracker, event: Event::Stopped });
        }
        if let Some((_, tracker)) = self.completion().filter(|(at, _)| *at <= now) {
            self.entries[tracker].completed = false;
            return Some(self.ask(now, tracker, Event::Completed));
        }
        let due = |group: &Group| self.wakes(group).filter(|(at, _)| *at <= now).map(|(_, tracker)| tracker);
        let tracker = self.groups.iter().find_map(due)?;
        let event = if self.entries[tracker].welcome { Event::None } else { Event::Started };
        Some(self.ask(now, tracker, event))
    }

    /// Returns when the next action may be due.
    pub fn next_timeout(&self) -> Time {
        let announces = self.groups.iter().filter_map(|group| self.wakes(group)).map(|(at, _)| at);
        announces.chain(self.completion().map(|(at, _)| at)).min().unwrap_or(Time::NEVER)
    }

    /// Returns the next tracker to be told of the completion, and when. A private torrent waits
    /// until no announce is outstanding.
    fn completion(&self) -> Option<(Time, usize)> {
        if self.private && self.entries.iter().any(|e| e.asking.is_some()) {
            return None;
        }
        self.entries.iter().enumerate().map(|(tracker, e)| (e.completion_due(), tracker)).min()
    }

    /// Returns the state of a tracker.
    pub fn state(&self, tracker: usize) -> State {
        match self.entries.get(tracker) {
            Some(Entry { asking: Some(_), .. }) => State::Asking,
            Some(Entry { failures: 1.., .. }) => State::Failed,
            Some(Entry { welcome: true, .. }) => State::Working,
            _ => State::Idle,
        }
    }

    /// Returns when the next announce to a tracker is due, if known.
    pub fn next_announce(&self, tracker: usize) -> Option<Time> {
        self.entries
            .get(tracker)
            .filter(|e| e.asking.is_none() && (e.welcome || e.failures > 0) && e.due != Time::NEVER)
            .map(|e| e.due)
    }

    /// Returns the trackers to be told that the torrent stops.
    pub fn welcome(&self) -> impl Iterator<Item = usize> + '_ {
        self.entries.iter().enumerate().filter(|(_, e)| e.welcome).map(|(tracker, _)| tracker)
    }

    /// Returns the group's next tracker and its announce time, if nothing happens before.
    fn wakes(&self, group: &Group) -> Option<(Time, usize)> {
        let asked = group.order.iter().filter_map(|t| self.entries[*t].asking).map(|(since, _)| since).max();
        let patience = match asked {
            Some(_) if self.private => return None,
            Some(since) => since + PATIENCE,
            None => Time::ZERO,
        };
        let from = group.content_until.max(patience);
        let idle = group.order.iter().filter(|t| self.entries[**t].asking.is_none());
        // The first in order among the trackers available when the group needs one. Otherwise, the
        // one that is available first.
        idle.map(|t| (self.entries[*t].due.max(from), *t))
            .filter(|(at, _)| *at != Time::NEVER)
            .min_by_key(|(at, _)| *at)
    }

    fn ask(&mut self, now: Time, tracker: usize, event: Event) -> Output {
        self.entries[tracker].asking = Some((now, event));
        Output::Announce { tracker, event }
    }

    fn answered(
        &mut self,
        now: Time,
        tracker: usize,
        interval: Option<Duration>,
        least: Option<Duration>,
        peers: usize,
    ) {
        let least = least.unwrap_or_default().min(MAX_INTERVAL);
        let pause = interval.unwrap_or(DEFAULT_INTERVAL).max(least).clamp(MIN_INTERVAL, MAX_INTERVAL);
        let Some(entry) = self.entries.get_mut(tracker) else { return };
        entry.asking = None;
        entry.failures = 0;
        entry.welcome = true;
        entry.due = now + pause;
        entry.soonest = now + least.max(HURRY_INTERVAL);
        let due = entry.due;
        let private = self.private;
        let Some(group) = self.group_of(tracker) else { return };
        if private || peers > 0 {
            if let Some(at) = group.order.iter().position(|t| *t == tracker) {
                group.order[..=at].rotate_right(1);
            }
            group.content_until = group.content_until.max(due);
        }
        if private {
            let others = self.entries.iter().enumerate().filter(|(t, e)| e.welcome && *t != tracker);
            self.leaving.extend(others.map(|(t, _)| t));
        }
    }

    fn failed(&mut self, now: Time, tracker: usize, retry: Retry) {
        let spread = self.spread;
        let Some(entry) = self.entries.get_mut(tracker) else { return };
        let usual = FIRST_RETRY.saturating_mul(1 << entry.failures.min(10)).min(MAX_RETRY).mul_f64(1.0 + spread / 4.0);
        // A completion that could not be announced goes with the next attempt.
        entry.completed |= matches!(entry.asking.take(), Some((_, Event::Completed)));
        entry.failures += 1;
        (entry.due, entry.soonest) = match retry {
            Retry::Usual => (now + usual, now + usual.min(HURRY_INTERVAL)),
            Retry::In(pause) => {
                let due = now + pause.clamp(MIN_INTERVAL, MAX_RETRY_IN);
                (due, due)
            }
            Retry::Never => (Time::NEVER, Time::NEVER),
        };
    }

    fn group_of(&mut self, tracker: usize) -> Option<&mut Group> {
        self.groups.iter_mut().find(|group| group.order.contains(&tracker))
    }

    /// Merges all tiers into one list with one tracker at a time. The first that answered
    /// continues; the others receive `stopped`.
    fn make_private(&mut self) {
        if std::mem::replace(&mut self.private, true) {
            return;
        }
        let mut order: Vec<usize> = self.groups.drain(..).flat_map(|group| group.order).collect();
        let welcome: Vec<usize> = order.iter().copied().filter(|t| self.entries[*t].welcome).collect();
        let mut content_until = Time::ZERO;
        if let Some((first, others)) = welcome.split_first() {
            self.leaving.extend(others);
            order.retain(|t| t != first);
            order.insert(0, *first);
            content_until = self.entries[*first].due;
        }
        self.groups.push(Group { order, content_until });
    }
}

#[cfg(test)]
mod tests;
