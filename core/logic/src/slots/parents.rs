//! The viewers ahead of us with a reserved place: the rate of each, and whether it serves.

use crate::{PeerKey, Time};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Time over which a parent's rate is averaged: long enough for the burst of a piece, short enough
/// to notice when one stops.
const AVERAGE_S: f64 = 10.0;

#[derive(Clone, Debug)]
pub(super) struct Parent {
    pub(super) addr: SocketAddr,
    /// Time of the next judgement.
    pub(super) judged_at: Time,
    /// Exponential average of the rate at time `at`, bytes per second.
    rate: f64,
    at: Time,
    pub(super) bytes: u64,
}

impl Parent {
    pub(super) fn rate(&self, now: Time) -> f64 {
        self.rate * (-now.since(self.at).as_secs_f64() / AVERAGE_S).exp()
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Parents {
    pub(super) all: BTreeMap<PeerKey, Parent>,
}

impl Parents {
    pub(super) fn add(&mut self, now: Time, peer: PeerKey, addr: SocketAddr, trial_s: f64) {
        let judged_at = now.plus_secs(trial_s);
        self.all.entry(peer).or_insert(Parent { addr, judged_at, rate: 0.0, at: now, bytes: 0 });
    }

    /// Counts bytes from a peer. Returns whether it is a parent.
    pub(super) fn gave(&mut self, now: Time, peer: PeerKey, bytes: u64) -> bool {
        let Some(parent) = self.all.get_mut(&peer) else { return false };
        parent.rate = parent.rate(now) + bytes as f64 / AVERAGE_S;
        parent.at = now;
        parent.bytes = parent.bytes.saturating_add(bytes);
        true
    }

    /// Returns how many parents serve at `least` bytes per second or more, and the total rate of
    /// all parents.
    pub(super) fn serving(&self, now: Time, least: f64) -> (usize, f64) {
        self.all.values().fold((0, 0.0), |(count, sum), parent| {
            let rate = parent.rate(now);
            (count + usize::from(rate > 0.0 && rate >= least), sum + rate)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_giver_is_seen_at_its_rate_and_one_that_stopped_fades() {
        let mut parents = Parents::default();
        parents.add(Time::ZERO, PeerKey(1), "1.2.3.4:5".parse().unwrap(), 15.0);
        let at = |s: f64| Time::from_secs_f64(s);
        (1..=120).for_each(|i| assert!(parents.gave(at(f64::from(i) * 0.5), PeerKey(1), 5000)));
        let rate = parents.all[&PeerKey(1)].rate(at(60.0));
        assert!((9500.0..10_500.0).contains(&rate), "{rate}");
        assert_eq!(parents.serving(at(60.0), 1000.0).0, 1);
        assert_eq!(parents.serving(at(100.0), 1000.0).0, 0);
        assert!(!parents.gave(at(1.0), PeerKey(2), 1));
    }
}
