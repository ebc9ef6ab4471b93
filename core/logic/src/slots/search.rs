//! The search order: slots, the level of each slot's buckets, and recent lookups.

use super::key::{MAX_LEVEL, buckets_of, level_of};
use super::tuning::{FULL_PEERS, OPERATION_TIMEOUT_S, REACH, REFRESH_S};
use super::{Config, Kind};
use crate::Time;
use crate::rng::Rng;
use std::collections::BTreeMap;

/// Most buckets and slots remembered.
const MAX_CELLS: usize = 256;

/// Returns the slots in which parents may be, nearest first.
///
/// Virtual: our own slot and earlier ones, as far as a viewer can be ahead in the film. `within` is
/// our position in our own slot, from 0 to 1. Its viewers are ahead of us by that share at most, so
/// early in the slot the one before comes first. Data: the stretch needed next, and the one being
/// played.
pub fn order(config: &Config, slot: i64, within: f64, left_s: f64, playing_in: i64) -> Vec<i64> {
    match config.kind {
        Kind::Virtual => {
            let width = f64::from(config.width_s());
            // A viewer that is ahead by more than the rest of the film has finished it.
            let back = ((left_s.max(0.0) / width).ceil() as i64).min(i64::from(REACH) - 1);
            let mut slots: Vec<i64> = (0..=back).map(|i| slot.saturating_sub(i)).collect();
            if within < 0.5 && slots.len() > 1 {
                slots.swap(0, 1);
            }
            slots
        }
        Kind::Data if slot == playing_in => vec![slot],
        Kind::Data => vec![slot, playing_in],
    }
}

#[derive(Clone, Copy, Debug)]
struct Cell {
    /// Time from which the bucket may be looked up again.
    next: Time,
    /// Pause after the next lookup, seconds.
    wait_s: f64,
}

/// The known state of the buckets.
#[derive(Debug, Default)]
pub(super) struct Search {
    cells: BTreeMap<(i64, u16), Cell>,
    /// The deepest level in use of each slot's buckets, and when that was seen.
    levels: BTreeMap<i64, (u8, Time)>,
}

impl Search {
    /// Returns the level at which to announce in this slot.
    pub(super) fn level(&self, slot: i64) -> u8 {
        self.levels.get(&slot).map_or(0, |(level, _)| *level)
    }

    /// Returns a random bucket of the slot's deepest level.
    pub(super) fn bucket_to_announce(&self, slot: i64, rng: &mut Rng) -> u16 {
        let buckets = buckets_of(self.level(slot));
        buckets.start + rng.below(buckets.len() as u32) as u16
    }

    /// Returns the bucket of the slot to look up now, or the time at which one becomes available.
    /// It is drawn from those in use that were not looked up recently, so that lookups spread as
    /// announces do.
    pub(super) fn bucket_to_look_up(&self, now: Time, slot: i64, rng: &mut Rng) -> Result<u16, Time> {
        let in_use = 0..buckets_of(self.level(slot)).end;
        let (mut free, mut soonest) = (Vec::new(), Time::NEVER);
        for bucket in in_use {
            match self.cells.get(&(slot, bucket)) {
                Some(cell) if now < cell.next => soonest = soonest.min(cell.next),
                _ => free.push(bucket),
            }
        }
        match free.get(rng.below(free.len() as u32) as usize) {
            Some(bucket) => Ok(*bucket),
            None => Err(soonest),
        }
    }

    /// Notes that a bucket is being looked up.
    pub(super) fn asked(&mut self, now: Time, config: &Config, slot: i64, bucket: u16) {
        let wait_s = self.cells.get(&(slot, bucket)).map_or(config.again_s, |cell| cell.wait_s);
        self.put(slot, bucket, Cell { next: now.plus_secs(wait_s.max(OPERATION_TIMEOUT_S)), wait_s });
    }

    /// Notes the answer for a bucket: the number of addresses, and how many of them are new and
    /// worth a dial.
    pub(super) fn answered(
        &mut self,
        now: Time,
        config: &Config,
        (slot, bucket): (i64, u16),
        found: usize,
        new: usize,
    ) {
        let was = self.cells.get(&(slot, bucket)).map_or(config.again_s, |cell| cell.wait_s);
        let wait_s = if new > 0 { config.again_s } else { (was * 2.0).min(config.again_s * 16.0) };
        let wait_now = if new > 0 { config.again_s } else { was };
        self.put(slot, bucket, Cell { next: now.plus_secs(wait_now), wait_s });
        self.filled(now, slot, bucket, found);
    }

    /// Updates the depth of the slot's buckets from an answer with `found` addresses. Returns true
    /// if the depth grew.
    pub(super) fn filled(&mut self, now: Time, slot: i64, bucket: u16, found: usize) -> bool {
        let (known, seen) = self.levels.get(&slot).copied().unwrap_or((0, now));
        // Viewers leave too: an old observation is replaced from the top level.
        let known = if now >= seen.plus_secs(REFRESH_S * 2.0) { 0 } else { known };
        let full = found >= FULL_PEERS;
        let level = if full { known.max((level_of(bucket) + 1).min(MAX_LEVEL)) } else { known };
        if self.levels.len() >= MAX_CELLS && !self.levels.contains_key(&slot) {
            let oldest = self.levels.iter().min_by_key(|(slot, (_, at))| (*at, **slot)).map(|(slot, _)| *slot);
            oldest.map(|slot| self.levels.remove(&slot));
        }
        if level > 0 {
            let at = if level > known || full { now } else { seen };
            self.levels.insert(slot, (level, at));
        } else {
            self.levels.remove(&slot);
        }
        level > known
    }

    fn put(&mut self, slot: i64, bucket: u16, cell: Cell) {
        if self.cells.len() >= MAX_CELLS && !self.cells.contains_key(&(slot, bucket)) {
            let oldest = self.cells.iter().min_by_key(|(key, cell)| (cell.next, **key)).map(|(key, _)| *key);
            oldest.map(|key| self.cells.remove(&key));
        }
        self.cells.insert((slot, bucket), cell);
    }

    pub(super) fn check(&self) -> Result<(), String> {
        if self.cells.len() > MAX_CELLS || self.levels.len() > MAX_CELLS {
            return Err(format!("{} buckets and {} slots are remembered", self.cells.len(), self.levels.len()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_and_earlier_slots_nearest_first_and_none_beyond_the_films_end() {
        let config = Config::default();
        assert_eq!(order(&config, 100, 0.9, 6000.0, 0), [100, 99, 98, 97, 96, 95, 94, 93]);
        assert_eq!(
            order(&config, 100, 0.1, 6000.0, 0),
            [99, 100, 98, 97, 96, 95, 94, 93],
            "few of our own slot are ahead of us"
        );
        assert_eq!(order(&config, 100, 0.9, 100.0, 0), [100, 99], "who is further ahead has finished");
        assert_eq!(order(&config, 100, 0.1, -5.0, 0), [100]);
        assert_eq!(order(&config, i64::MIN, 0.9, f64::INFINITY, 0).len(), 8);
    }

    #[test]
    fn the_stretch_that_is_needed_next_comes_before_the_one_being_played() {
        let config = Config { kind: Kind::Data, ..Config::default() };
        assert_eq!(order(&config, 7, 0.0, 0.0, 6), [7, 6]);
        assert_eq!(order(&config, 7, 0.0, 0.0, 7), [7]);
    }

    #[test]
    fn a_full_bucket_opens_the_next_level_and_lookups_and_announces_spread_over_it() {
        let (mut search, mut rng) = (Search::default(), Rng::new(3));
        assert_eq!(search.bucket_to_announce(9, &mut rng), 0);
        assert!(!search.filled(Time::ZERO, 9, 0, 49));
        assert!(search.filled(Time::ZERO, 9, 0, 50));
        assert!(!search.filled(Time::ZERO, 9, 0, 50), "known already");
        let announced: std::collections::BTreeSet<u16> =
            (0..50).map(|_| search.bucket_to_announce(9, &mut rng)).collect();
        assert_eq!(announced, [1, 2].into());
        let asked: std::collections::BTreeSet<u16> =
            (0..90).map(|_| search.bucket_to_look_up(Time::ZERO, 9, &mut rng).unwrap()).collect();
        assert_eq!(asked, [0, 1, 2].into());
        for bucket in 0..200 {
            search.filled(Time::ZERO, 9, bucket, 1_000_000);
        }
        assert_eq!(search.level(9), MAX_LEVEL, "however many there are");
    }

    #[test]
    fn a_bucket_that_brings_nothing_new_is_asked_ever_less_often() {
        let (config, mut search, mut rng) = (Config::default(), Search::default(), Rng::new(3));
        let (mut now, mut waits) = (Time::ZERO, Vec::new());
        for _ in 0..7 {
            search.asked(now, &config, 5, 0);
            search.answered(now, &config, (5, 0), 3, 0);
            let next = search.bucket_to_look_up(now, 5, &mut rng).unwrap_err();
            waits.push(next.since(now).as_secs());
            now = next;
        }
        assert_eq!(waits, [60, 120, 240, 480, 960, 960, 960]);
        search.answered(now, &config, (5, 0), 3, 1);
        assert_eq!(search.bucket_to_look_up(now, 5, &mut rng).unwrap_err().since(now).as_secs(), 60);
    }

    #[test]
    fn its_memory_is_bounded() {
        let (config, mut search) = (Config::default(), Search::default());
        for slot in 0..5000 {
            search.asked(Time(slot as u64), &config, slot, 0);
            search.answered(Time(slot as u64), &config, (slot, 0), 1000, 0);
        }
        search.check().unwrap();
    }
}
