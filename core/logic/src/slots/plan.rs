//! Due actions (announces, lookups, dials, judgements, messages), and the time of the next timeout.

use super::tuning::{
    DIAL_TIMEOUT_S, ENOUGH_SHARE, LEAST_PARENTS, LEAST_SHARE, LOOKUPS_AT_ONCE, LOW_S, MAX_STRETCHES,
    OPERATION_TIMEOUT_S, SEEDS_SHARE, TELL_S, TRIAL_S,
};
use super::{Announced, Key, Kind, Operation, Output, Running, Slots, Supply, data_slot, key, network, order};
use crate::{PeerKey, Time};
use std::net::SocketAddr;

/// Share of the slot's width by which stalls may move a viewer out of its slot before the slot
/// changes.
const DRIFT: f64 = 0.25;

impl Slots {
    pub(super) fn plan(&mut self, now: Time) {
        self.wake = Time::NEVER;
        self.expire(now);
        if self.play.is_none() || self.clock.unix_s(now).is_none() {
            return;
        }
        self.clock.settle(self.config.clock_witnesses, f64::from(self.config.virtual_width_s) * DRIFT);
        self.find_slot(now);
        self.judge(now);
        self.announce(now);
        let hungry = self.is_hungry(now);
        if hungry {
            self.dial(now);
            self.look_up(now);
        }
        self.tell(now);
    }

    pub(super) fn wake_at(&mut self, now: Time, at: Time) {
        self.wake = self.wake.min(Time(at.0.max(now.0 + 1)));
    }

    /// Ends operations and dials that timed out.
    fn expire(&mut self, now: Time) {
        let late: Vec<Operation> =
            self.running.iter().filter(|(_, r)| now >= r.deadline).map(|(operation, _)| *operation).collect();
        for operation in late {
            self.outputs.push_back(Output::Cancel(operation));
            self.handle_late(now, operation);
        }
        let late: Vec<SocketAddr> =
            self.dialling.iter().filter(|(_, deadline)| now >= **deadline).map(|(addr, _)| *addr).collect();
        for addr in late {
            self.dialling.remove(&addr);
            self.counters.failed_dials += 1;
            self.candidates.fail(now, addr);
        }
        let next = self.running.values().map(|r| r.deadline).chain(self.dialling.values().copied()).min();
        if let Some(at) = next {
            self.wake_at(now, at);
        }
    }

    fn handle_late(&mut self, now: Time, operation: Operation) {
        // The addresses returned so far count.
        let well = self.running.get(&operation).is_some_and(|r| !r.announce && r.found > 0);
        self.ended(now, operation, well);
    }

    /// Updates the virtual slot: computed anew after a seek or a pause, kept while stalls move us
    /// only a little.
    fn find_slot(&mut self, now: Time) {
        let (Some(play), Some(unix_s)) = (self.play, self.clock.unix_s(now)) else { return };
        if !play.playing && self.slot.is_some() {
            // A paused viewer falls back steadily. Its slot is known again once it plays.
            return;
        }
        let width = f64::from(self.config.virtual_width_s.max(1));
        let at = (unix_s - play.position_s(now)) / width;
        let stays = self.slot.is_some_and(|slot| (slot as f64 - DRIFT..slot as f64 + 1.0 + DRIFT).contains(&at));
        if !stays {
            if self.slot.is_some() {
                self.moved = now;
            }
            self.slot = Some(at.floor() as i64);
            self.told = None;
        }
    }

    /// Returns the viewer's position within its slot, from 0 to 1.
    fn within(&self, now: Time) -> f64 {
        let (Some(play), Some(unix_s), Some(slot)) = (self.play, self.clock.unix_s(now), self.slot) else { return 1.0 };
        let width = f64::from(self.config.virtual_width_s.max(1));
        ((unix_s - play.position_s(now)) / width - slot as f64).clamp(0.0, 1.0)
    }

    /// Returns the slots under which viewers should find us.
    fn wanted_announces(&self, now: Time) -> Vec<i64> {
        let Some(play) = self.play else { return Vec::new() };
        match self.config.kind {
            Kind::Virtual => {
                // A viewer paused for longer than a slot is no longer where its slot says. The
                // announce may expire.
                let rests = !play.playing && now >= play.since.plus_secs(f64::from(self.config.width_s()));
                self.slot.filter(|_| !rests).into_iter().collect()
            }
            // Stretches at and behind the playhead come first: viewers close behind us need these.
            Kind::Data => {
                let at = data_slot(play.position_s(now), self.config.width_s());
                let mut held: Vec<i64> = self.held.iter().map(|stretch| i64::from(*stretch)).collect();
                held.sort_by_key(|slot| (slot.abs_diff(at), *slot));
                held.truncate(MAX_STRETCHES);
                held
            }
        }
    }

    fn announce(&mut self, now: Time) {
        let wanted = self.wanted_announces(now);
        let gone: Vec<Operation> = self
            .announced
            .iter()
            .filter(|(slot, _)| !wanted.contains(slot))
            .filter_map(|(_, announced)| announced.running)
            .collect();
        gone.into_iter().for_each(|operation| self.cancel(operation));
        self.announced.retain(|slot, _| wanted.contains(slot));
        let settled = self.moved.plus_secs(self.config.announce_after_s);
        for slot in wanted {
            let fresh = Announced { due: Time::ZERO, failures: 0, running: None };
            let announced = *self.announced.entry(slot).or_insert(fresh);
            if announced.running.is_some() {
                continue;
            }
            let due = announced.due.max(settled);
            if now < due {
                self.wake_at(now, due);
            } else if self.operations.take(now) {
                let bucket = self.search.bucket_to_announce(slot, &mut self.rng);
                let (operation, key) = self.begin(now, slot, bucket, true);
                self.announced.insert(slot, Announced { running: Some(operation), ..announced });
                self.outputs.push_back(Output::Announce { operation, key });
            } else {
                let at = self.operations.when(now, 0);
                self.wake_at(now, at);
            }
        }
    }

    fn begin(&mut self, now: Time, slot: i64, bucket: u16, announce: bool) -> (Operation, Key) {
        let operation = Operation(self.next_operation);
        self.next_operation = self.next_operation.wrapping_add(1);
        let deadline = now.plus_secs(OPERATION_TIMEOUT_S);
        self.running.insert(operation, Running { slot, bucket, announce, deadline, found: 0, new: 0 });
        self.wake_at(now, deadline);
        if announce {
            self.counters.announces += 1;
        } else {
            self.counters.lookups += 1;
        }
        let key = key(&self.film.info_hash, self.film.file, self.config.kind, self.config.width_s(), slot, bucket);
        (operation, key)
    }

    /// Returns whether more parents are wanted.
    pub(super) fn is_hungry(&self, now: Time) -> bool {
        let Some(play) = self.play else { return false };
        let Supply { film_bytes_per_s: film, ahead_s, seeds_bytes_per_s, .. } = self.supply;
        let short = ahead_s < LOW_S;
        // A paused viewer with a sufficient buffer needs no new parents.
        if !play.playing && !short {
            return false;
        }
        if self.parents.all.len() < LEAST_PARENTS {
            return true;
        }
        let fed = film > 0.0 && self.parents.serving(now, 0.0).1 >= ENOUGH_SHARE * film;
        !fed && (short || seeds_bytes_per_s > SEEDS_SHARE * film)
    }

    /// Releases parents that do not serve while more are wanted.
    fn judge(&mut self, now: Time) {
        let least = LEAST_SHARE * self.supply.film_bytes_per_s;
        let due: Vec<(PeerKey, SocketAddr, bool, u64)> = self
            .parents
            .all
            .iter()
            .filter(|(_, p)| now >= p.judged_at)
            .map(|(key, p)| (*key, p.addr, p.rate(now) >= least && p.rate(now) > 0.0, p.bytes))
            .collect();
        let hungry = !due.is_empty() && self.is_hungry(now);
        for (peer, addr, serves, bytes) in due {
            if hungry && !serves {
                self.parents.all.remove(&peer);
                self.counters.released += 1;
                self.outputs.push_back(Output::Release(peer));
                // A parent that served before is not a failed dial: its time is over, or its line
                // is busy.
                if bytes == 0 {
                    self.counters.failed_dials += 1;
                }
                self.candidates.fail(now, addr);
                continue;
            }
            if serves {
                self.candidates.served(now, addr);
            }
            if let Some(parent) = self.parents.all.get_mut(&peer) {
                parent.judged_at = now.plus_secs(TRIAL_S);
            }
        }
        if let Some(at) = self.parents.all.values().map(|p| p.judged_at).min() {
            self.wake_at(now, at);
        }
    }

    fn dial(&mut self, now: Time) {
        while self.parents.all.len() + self.dialling.len() < self.config.max_parents && self.candidates.len() > 0 {
            if !self.dials.allows(now, 0) {
                let at = self.dials.when(now, 0);
                self.wake_at(now, at);
                return;
            }
            let (parents, dialling) = (&self.parents.all, &self.dialling);
            let used = |net| {
                let taken = parents.values().map(|p| &p.addr).chain(dialling.keys());
                taken.filter(|addr| network(addr.ip()) == Some(net)).count()
            };
            let Some(addr) = self.candidates.next(now, &self.config, used) else { return };
            if !self.dials.take(now) {
                return;
            }
            let deadline = now.plus_secs(DIAL_TIMEOUT_S);
            self.dialling.insert(addr, deadline);
            self.wake_at(now, deadline);
            self.counters.dials += 1;
            self.outputs.push_back(Output::Dial(addr));
        }
    }

    fn look_up(&mut self, now: Time) {
        let Some(play) = self.play else { return };
        // Known addresses are dialled first. A lookup follows when they are fewer than the places.
        let places = self.config.max_parents.saturating_sub(self.parents.all.len() + self.dialling.len());
        if places == 0 || self.candidates.len() >= places {
            return;
        }
        let from = if self.jumped { self.moved.plus_secs(self.config.search_after_s) } else { self.moved };
        if now < from {
            self.wake_at(now, from);
            return;
        }
        let position = play.position_s(now);
        let playing_in = data_slot(position, self.config.width_s());
        let slot = match self.config.kind {
            Kind::Virtual => self.slot.unwrap_or_default(),
            Kind::Data => data_slot(position + self.supply.ahead_s, self.config.width_s()),
        };
        let left_s = self.film.duration_s - position;
        // One operation is reserved for an announce, which must not wait behind an hour's budget of
        // lookups.
        let keep = 1;
        for slot in order(&self.config, slot, self.within(now), left_s, playing_in) {
            if self.running.values().filter(|r| !r.announce).count() >= LOOKUPS_AT_ONCE {
                return;
            }
            if self.running.values().any(|r| !r.announce && r.slot == slot) {
                continue;
            }
            match self.search.bucket_to_look_up(now, slot, &mut self.rng) {
                Err(later) => {
                    if later < Time::NEVER {
                        self.wake_at(now, later);
                    }
                }
                Ok(bucket) if self.operations.allows(now, keep) && self.operations.take(now) => {
                    self.search.asked(now, &self.config, slot, bucket);
                    let (operation, key) = self.begin(now, slot, bucket, false);
                    self.outputs.push_back(Output::Lookup { operation, key });
                }
                Ok(_) => {
                    let at = self.operations.when(now, keep);
                    if at < Time::NEVER {
                        self.wake_at(now, at);
                    }
                    return;
                }
            }
        }
    }

    /// Sends a message at once for changes that the other viewers would not expect, and otherwise
    /// periodically.
    fn tell(&mut self, now: Time) {
        let (Some(play), Some(message)) = (self.play, self.message(now)) else { return };
        let due = match self.told {
            None => Time::ZERO,
            Some((at, last)) => {
                let low = |ahead_s: u32| f64::from(ahead_s) < LOW_S;
                let moved = last.slot != message.slot || last.playing != message.playing;
                // At most once a second, however the buffer changes.
                let dried = low(last.ahead_s) != low(message.ahead_s);
                match () {
                    () if moved => Time::ZERO,
                    () if dried => at.plus_secs(1.0),
                    () if play.playing => at.plus_secs(TELL_S),
                    () => Time::NEVER,
                }
            }
        };
        if now >= due {
            self.told = Some((now, message));
            self.outputs.push_back(Output::Tell(message));
            if play.playing {
                self.wake_at(now, now.plus_secs(TELL_S));
            }
        } else if due < Time::NEVER {
            self.wake_at(now, due);
        }
    }
}
