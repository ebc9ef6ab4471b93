//! Detects a stripe that lags behind the others.
//!
//! If a parent fails, usually only its stripe stops. So stripes are compared with each other, not
//! with a clock, and a pause of the source triggers no search. A channel with a single stripe is
//! compared with the newest groups that neighbours report.

use super::Relay;
use super::search::Reason;
use crate::{PeerKey, Time};
use std::collections::{BTreeMap, VecDeque};

/// Most groups that are counted.
const MAX_COUNTED: usize = 64;
/// Time between two looks, seconds.
const LOOK_S: f64 = 0.1;
/// Time that a new parent has before its stripe can lag, seconds. What it sends first takes a
/// while.
const GRACE_S: f64 = 1.0;

/// How far the groups have come.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Packets that have come of each recent group.
    counts: BTreeMap<u64, u8>,
    /// Groups of which enough packets had come, and the time from which a stripe without them
    /// lags.
    due: VecDeque<(u64, Time)>,
    newest: Option<u64>,
    /// Highest group of which a neighbour reports.
    claimed: u64,
    next_check: Option<Time>,
}

impl Progress {
    pub(super) fn newest(&self) -> Option<u64> {
        self.newest
    }

    pub(super) fn next_check(&self) -> Time {
        self.next_check.unwrap_or(Time::NEVER)
    }

    fn count(&mut self, group: u64, needed: u8) -> bool {
        if self.newest.is_some_and(|newest| group + MAX_COUNTED as u64 <= newest) {
            return false;
        }
        self.newest = self.newest.max(Some(group));
        let count = self.counts.entry(group).or_insert(0);
        *count = count.saturating_add(1);
        let is_due = *count == needed;
        while self.counts.len() > MAX_COUNTED {
            self.counts.pop_first();
        }
        is_due
    }

    fn expect(&mut self, now: Time, group: u64, at: Time) {
        self.due.push_back((group, at));
        if self.due.len() > MAX_COUNTED {
            self.due.pop_front();
        }
        self.next_check.get_or_insert(now.plus_secs(LOOK_S));
    }

    /// Returns the newest group that every stripe should have brought by now.
    fn overdue(&mut self, now: Time) -> Option<u64> {
        let mut overdue = None;
        while let Some((group, at)) = self.due.front().copied()
            && now >= at
        {
            overdue = overdue.max(Some(group));
            self.due.pop_front();
        }
        self.next_check = (!self.due.is_empty()).then(|| now.plus_secs(LOOK_S));
        overdue
    }
}

impl Relay {
    pub(super) fn arrived(&mut self, now: Time, from: PeerKey, stripe: u8, group: u64) {
        if let Some(link) = self.links.get_mut(&from) {
            link.heard = now;
        }
        self.fetched(now, from, group, stripe);
        let Some(channel) = self.channel else { return };
        if let Some(parent) = self.trees.get_mut(usize::from(stripe)).and_then(|tree| tree.parent.as_mut())
            && parent.peer == from
        {
            parent.newest = parent.newest.max(Some(group));
        }
        if self.progress.count(group, channel.needed) && channel.stripes > 1 {
            let at = now.plus_secs(self.config.lag_s);
            self.progress.expect(now, group, at);
        }
    }

    /// A neighbour reports that it has this group.
    pub(super) fn claim(&mut self, now: Time, group: u64) {
        let is_news = group > self.progress.claimed && self.progress.newest.is_some_and(|newest| group > newest);
        if !is_news || self.channel.is_none_or(|channel| channel.stripes > 1) {
            return;
        }
        self.progress.claimed = group;
        // As long as for a neighbour that says nothing.
        let silence_s = self.beat_s() * f64::from(self.config.missed);
        self.progress.expect(now, group, now.plus_secs(silence_s));
    }

    /// Looks for other parents for the stripes that lag.
    pub(super) fn check_lag(&mut self, now: Time) {
        if self.progress.next_check.is_none_or(|at| now < at) {
            return;
        }
        let Some(group) = self.progress.overdue(now) else { return };
        let lagging: Vec<u8> = (0u8..)
            .zip(&self.trees)
            .filter(|(_, tree)| tree.search.is_none())
            .filter(|(_, tree)| {
                tree.parent.as_ref().is_some_and(|parent| {
                    now >= parent.since.plus_secs(GRACE_S) && parent.newest.is_none_or(|newest| newest < group)
                })
            })
            .map(|(stripe, _)| stripe)
            .collect();
        for stripe in lagging {
            self.counters.lagged += 1;
            self.trees[usize::from(stripe)].lost = Some(now);
            self.search(now, stripe, Reason::Lag);
        }
    }
}
