//! The common time of the viewers of a film.
//!
//! Virtual slots need clocks that agree to about half a slot. Most do, to the second. A clock that
//! is wrong by an hour is corrected by the clocks of peers that sent useful data. Peers that send
//! nothing do not count, so a crowd of fabricated peers cannot move the clock. Only significant
//! differences are corrected, so correct clocks stay unchanged.

use crate::{PeerKey, Time};
use std::collections::BTreeMap;

/// Most witnesses remembered.
const MAX_WITNESSES: usize = 64;
/// Largest plausible clock difference: ten years.
const MAX_OFFSET_S: f64 = 3.2e8;

#[derive(Clone, Debug)]
struct Witness {
    /// The peer's clock minus ours, seconds.
    offset_s: f64,
    /// Whether the peer has sent useful data.
    gave: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Clock {
    /// A reading of the driver's clock: machine time and seconds since 1970.
    wall: Option<(Time, f64)>,
    witnesses: BTreeMap<PeerKey, Witness>,
    correction_s: f64,
    /// Whether anything changed since the clock was last settled.
    news: bool,
}

impl Clock {
    /// Sets the driver's clock. A step of it shifts the offsets that were measured against it.
    pub(super) fn set(&mut self, now: Time, unix_s: f64) {
        if !unix_s.is_finite() || unix_s.abs() > 1e11 {
            return;
        }
        if let Some(was) = self.own(now) {
            let step = unix_s - was;
            self.witnesses.values_mut().for_each(|w| w.offset_s -= step);
        }
        self.wall = Some((now, unix_s));
        self.news = true;
    }

    fn own(&self, now: Time) -> Option<f64> {
        self.wall.map(|(at, unix_s)| unix_s + now.since(at).as_secs_f64())
    }

    /// Returns the corrected time, seconds since 1970.
    pub(super) fn unix_s(&self, now: Time) -> Option<f64> {
        self.own(now).map(|unix_s| unix_s + self.correction_s)
    }

    pub(super) fn correction_s(&self) -> f64 {
        self.correction_s
    }

    /// Notes a peer's clock.
    pub(super) fn said(&mut self, now: Time, peer: PeerKey, unix_s: f64) {
        let Some(own) = self.own(now) else { return };
        let offset_s = unix_s - own;
        if !offset_s.is_finite() || offset_s.abs() > MAX_OFFSET_S {
            return;
        }
        if let Some(witness) = self.witnesses.get_mut(&peer) {
            witness.offset_s = offset_s;
            self.news |= witness.gave;
        } else {
            if self.witnesses.len() >= MAX_WITNESSES {
                // A peer that sent nothing is removed first. Otherwise peers that only send
                // messages could displace all others.
                let silent = self.witnesses.iter().find(|(_, w)| !w.gave).map(|(key, _)| *key);
                let Some(goes) = silent else { return };
                self.witnesses.remove(&goes);
            }
            self.witnesses.insert(peer, Witness { offset_s, gave: false });
        }
    }

    pub(super) fn gave(&mut self, peer: PeerKey) {
        if let Some(witness) = self.witnesses.get_mut(&peer) {
            self.news |= !witness.gave;
            witness.gave = true;
        }
    }

    pub(super) fn banned(&mut self, peer: PeerKey) {
        self.news |= self.witnesses.remove(&peer).is_some();
    }

    /// Corrects our clock by the median of the witnesses that sent data, with our own clock
    /// included. This needs `at_least` such witnesses and a difference above `tolerance_s`.
    pub(super) fn settle(&mut self, at_least: usize, tolerance_s: f64) {
        if !std::mem::take(&mut self.news) {
            return;
        }
        let mut offsets: Vec<f64> = self.witnesses.values().filter(|w| w.gave).map(|w| w.offset_s).collect();
        if offsets.len() < at_least.max(1) {
            return;
        }
        offsets.push(0.0);
        offsets.sort_by(f64::total_cmp);
        // Of an even number, the one nearer to our own clock.
        let (low, high) = (offsets[(offsets.len() - 1) / 2], offsets[offsets.len() / 2]);
        let median = if low.abs() <= high.abs() { low } else { high };
        if (median - self.correction_s).abs() > tolerance_s || self.correction_s == 0.0 {
            self.correction_s = if median.abs() > tolerance_s { median } else { 0.0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(claims: &[(f64, bool)]) -> Clock {
        let mut clock = Clock::default();
        clock.set(Time::ZERO, 1e9);
        for (i, (offset, gave)) in claims.iter().enumerate() {
            clock.said(Time::ZERO, PeerKey(i as u32), 1e9 + offset);
            if *gave {
                clock.gave(PeerKey(i as u32));
            }
        }
        clock.settle(5, 30.0);
        clock
    }

    #[test]
    fn an_hour_is_corrected_once_five_givers_agree() {
        let hour = (3600.0, true);
        assert_eq!(clock(&[hour; 4]).correction_s(), 0.0);
        assert_eq!(clock(&[hour; 5]).correction_s(), 3600.0);
    }

    #[test]
    fn talkers_that_give_nothing_have_no_say() {
        let mut claims = vec![(86_400.0, false); 1000];
        claims.extend([(1.0, true); 6]);
        assert_eq!(clock(&claims).correction_s(), 0.0);
    }

    #[test]
    fn a_second_more_or_less_is_left_alone_and_a_liar_among_five_too() {
        assert_eq!(clock(&[(1.0, true), (-2.0, true), (0.5, true), (20.0, true), (9000.0, true)]).correction_s(), 0.0);
    }

    #[test]
    fn a_clock_that_was_set_right_needs_no_correction_any_more() {
        let mut c = clock(&[(3600.0, true); 6]);
        c.set(Time::ZERO, 1e9 + 3600.0);
        c.settle(5, 30.0);
        assert_eq!((c.correction_s(), c.unix_s(Time::ZERO)), (0.0, Some(1e9 + 3600.0)));
    }

    #[test]
    fn wild_claims_are_no_clocks() {
        let mut c = clock(&[(f64::NAN, true), (f64::INFINITY, true), (1e300, true), (-1e12, true), (1e12, true)]);
        c.set(Time::ZERO, f64::NAN);
        assert_eq!((c.correction_s(), c.unix_s(Time::ZERO)), (0.0, Some(1e9)));
    }
}
