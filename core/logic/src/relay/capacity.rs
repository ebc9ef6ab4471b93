//! How much a node gives: what its user allows, and what its line turns out to carry.
//!
//! Data that waits for a connection shows that too many are fed. If it waits for half of them, the
//! line is too slow: some of them go, and as many places with them. If it waits for a few only, the
//! ways to these are slow, and they go. While all places are taken and nothing waits, there may be
//! room for more.

use super::{Channel, Config, Relay};
use crate::{PeerKey, Time};
use playswarm_proto::live::message::Why;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Longest time that data may wait for a connection, seconds, and for how long it may be so. A full
/// line takes up to the length of a group, at most 0.25 s, to send a packet to all children. Half a
/// player's margin hides no more.
const SLOW_S: f64 = 0.4;
const SLOW_FOR_S: f64 = 1.0;
/// Longest wait of data on a line that has room for more, seconds.
const SHORT_S: f64 = 0.2;
/// Time for which all is well before more places are tried, seconds. It doubles each time that
/// those tried prove too many, up to a minute.
const TRY_S: f64 = 5.0;
const MAX_TRY_S: f64 = 60.0;
/// Upload that a node with an unknown line begins with, bytes per second: 4 Mbit/s. A source feeds
/// all stripes from the start, and begins with 10 Mbit/s.
const FIRST_UPLOAD: f64 = 500_000.0;
const FIRST_UPLOAD_OF_SOURCE: f64 = 1_250_000.0;

/// What a node gives.
#[derive(Debug)]
pub(super) struct Capacity {
    /// Most that it may give, bytes per second.
    limit: f64,
    /// What it gives, bytes per second.
    pub(super) upload: f64,
    /// Since when nothing has waited and the number of places has not changed.
    calm_since: Time,
    /// Whether more places were tried since they last proved too many.
    tried: bool,
    try_s: f64,
}

impl Capacity {
    pub(super) fn new(now: Time) -> Capacity {
        Capacity { limit: 0.0, upload: 0.0, calm_since: now, tried: false, try_s: TRY_S }
    }

    /// Sets the upload that the user allows.
    pub(super) fn limit(&mut self, bytes_per_s: f64) {
        self.limit = if bytes_per_s.is_finite() { bytes_per_s.max(0.0) } else { 0.0 };
        self.upload = self.limit;
    }

    /// The line is unknown and not limited.
    pub(super) fn unknown(&mut self, is_source: bool) {
        self.limit = f64::INFINITY;
        self.upload = if is_source { FIRST_UPLOAD_OF_SOURCE } else { FIRST_UPLOAD };
    }
}

impl Relay {
    /// Data has waited this long for a connection.
    pub(super) fn queue(&mut self, now: Time, peer: PeerKey, seconds: f64) {
        let Some(link) = self.links.get_mut(&peer) else { return };
        if seconds >= SHORT_S {
            self.capacity.calm_since = now;
        }
        if seconds < SLOW_S {
            link.slow_since = None;
            return;
        }
        let since = *link.slow_since.get_or_insert(now);
        if now >= since.plus_secs(SLOW_FOR_S) {
            self.shed(now, peer);
        }
    }

    /// Sends a quarter of the children away: of those with a slow way, or of all if the line is slow.
    /// Who gets most over one connection goes first, then the newest.
    fn shed(&mut self, now: Time, slow: PeerKey) {
        let children = (0u8..).zip(&self.trees).flat_map(|(stripe, tree)| {
            let staying = tree.children.iter().filter(|child| !tree.moved.contains_key(&child.peer));
            staying.map(move |child| (child.peer, child.since, stripe))
        });
        let mut children: Vec<(PeerKey, Time, u8)> = children.collect();
        let mut stripes: BTreeMap<PeerKey, usize> = BTreeMap::new();
        children.iter().for_each(|(peer, ..)| *stripes.entry(*peer).or_insert(0) += 1);
        let total = children.len();
        let is_slow = |peer: &PeerKey| self.links.get(peer).is_some_and(|link| link.slow_since.is_some());
        let is_line = 2 * children.iter().filter(|(peer, ..)| is_slow(peer)).count() >= total;
        children.retain(|(peer, ..)| is_line || *peer == slow);
        children.sort_unstable_by_key(|(peer, since, stripe)| Reverse((stripes[peer], *since, *stripe)));
        children.truncate(children.len().div_ceil(4));
        let left = total - children.len();
        for (child, _, stripe) in children {
            let node = self.links.get(&child).and_then(|link| link.node()).unwrap_or_default();
            let targets = self.kin_for(stripe, node);
            self.move_child(now, stripe, child, Why::Slow, targets);
        }
        // What still waits is given a second to drain.
        let drained = self.links.iter_mut().filter(|(peer, _)| is_line || **peer == slow);
        drained.for_each(|(_, link)| link.slow_since = None);
        if is_line {
            let Capacity { upload, tried, try_s, .. } = &mut self.capacity;
            if std::mem::take(tried) {
                *try_s = (*try_s * 2.0).min(MAX_TRY_S);
            }
            let fits = upload_for(left, self.channel.as_ref(), &self.config);
            *upload = upload.min(fits);
        }
        self.capacity.calm_since = now;
    }

    /// Tries more places if all are taken and the line is not busy, and gives in a further stripe if
    /// those are too many for its homes.
    pub(super) fn try_more(&mut self, now: Time) {
        let Capacity { limit, upload, calm_since, try_s, .. } = self.capacity;
        let taken: usize = self.trees.iter().map(|tree| tree.taken(now, None)).sum();
        let is_due = upload < limit && now >= calm_since.plus_secs(try_s) && self.channel.is_some();
        if !is_due || taken < usize::from(self.places()) {
            return;
        }
        (self.capacity.calm_since, self.capacity.tried) = (now, true);
        self.capacity.upload = limit.min(upload_for(taken + (taken / 4).max(2), self.channel.as_ref(), &self.config));
        let wanted = usize::from(self.places()).div_ceil(self.config.home_places.into()).min(self.trees.len());
        if !self.is_source && !self.homes.is_empty() && self.homes.len() < wanted {
            let others = (0u8..).zip(&self.spare).take(self.trees.len()).filter(|(s, _)| !self.homes.has(*s));
            if let Some((stripe, _)) = others.min_by_key(|(stripe, spare)| (spare.unwrap_or(0), *stripe)) {
                self.homes.add(stripe);
            }
        }
    }
}

/// Returns the upload with which a node can have this many children.
fn upload_for(places: usize, channel: Option<&Channel>, config: &Config) -> f64 {
    let rate = channel.map_or(0.0, |channel| channel.stripe_bytes_per_s);
    // Half a place more: the number is rounded down.
    (places as f64 + 0.5) * rate / (1.0 - config.reserve_share)
}
