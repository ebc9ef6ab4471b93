//! The viewer's place in the slot index. Reports the playhead and the supply to the machine, and
//! carries out its outputs.
//!
//! [`slots`] decides which slots are announced and looked up, which peers are dialled and which
//! remain parents. This module handles the reserved places and the messages between viewers. The
//! driver performs the operations on the DHT.

use super::conduct::Offence;
use super::{Disconnect, FileTime, Meter, Origin, Output, Phase, Purpose, SlotStatus, Torrent, ViewerStatus};
use crate::slots::{self, Dialled, Film, Follower, Input, Kind, Slots};
use crate::{PeerKey, Time, choker, picker};
use bytes::Bytes;
use playswarm_proto::wire::Message as Wire;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

/// Time between two readings of the wall clock, which the user may change.
const WALL_EVERY: Duration = Duration::from_secs(60);
/// Time between two scans for complete stretches of the film (data slots only).
const STRETCHES_EVERY: Duration = Duration::from_secs(10);
/// Most stretches scanned: eighty hours.
const MOST_STRETCHES: f64 = 1000.0;
/// Time without an open reader after which the viewer counts as having closed the film. Players
/// open several connections, one after the other.
const CLOSED_AFTER: Duration = Duration::from_secs(30);
/// Distance from the end of a player's last read within which a new connection continues it. A
/// larger distance is a seek.
const NEAR_BYTES: u64 = 1 << 20;
/// Buffer below which a viewer is served before others where upload is not earned, seconds.
const LOW_BUFFER_S: f64 = 10.0;

/// A viewer's place in the slot index; see the [module](self).
pub(super) struct SlotIndex {
    machine: Slots,
    file: usize,
    follower: Follower,
    /// Bytes of the file that the player has read since it began or last sought.
    run: Range<u64>,
    /// Useful bytes of each peer that were not reported to the machine yet.
    gave: BTreeMap<PeerKey, u64>,
    /// Bytes received from seeds.
    seeds: Meter,
    /// Highest upload rate so far, as a measure of our line's capacity.
    most_up: f64,
    wall_at: Option<Time>,
    stretches_at: Option<Time>,
    read_at: Time,
}

/// A peer's report of its position, and the bytes sent to it since, which bound its need.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    at: Time,
    message: slots::Message,
    given: u64,
    elapsed_from: Time,
}

impl Said {
    fn ahead_s(&self, now: Time, uploaded: u64, film_bytes_per_s: f64) -> f64 {
        let since = |from: Time| now.since(from).as_secs_f64();
        let played = if self.message.playing { since(self.at) } else { 0.0 };
        let given = uploaded.saturating_sub(self.given) as f64;
        let said = (f64::from(self.message.ahead_s) - played).max(0.0);
        believed_ahead_s(said, given, since(self.elapsed_from), film_bytes_per_s)
    }

    fn playhead_s(&self, now: Time) -> f64 {
        let played = if self.message.playing { now.since(self.at).as_secs_f64() } else { 0.0 };
        self.message.playhead_ms as f64 / 1000.0 + played
    }
}

/// Returns the believed buffer of a viewer, seconds. It is the reported one, but at least the film
/// that we sent in the last `elapsed_s` seconds, less the film that it can have played. A false
/// report of a low buffer thus gains at most the film's rate.
fn believed_ahead_s(said_s: f64, given_bytes: f64, elapsed_s: f64, film_bytes_per_s: f64) -> f64 {
    let given_s = if film_bytes_per_s > 0.0 { given_bytes / film_bytes_per_s } else { 0.0 };
    said_s.max(given_s - elapsed_s).max(0.0)
}

impl Torrent {
    /// Returns whether this torrent uses the slot index. Private torrents never do (BEP 27).
    pub fn has_slots(&self) -> bool {
        self.config.slot_index && !self.is_private()
    }

    /// Updates the playhead and the buffer.
    pub(super) fn update_slot_index(&mut self, unix_s: f64) {
        if !self.has_slots() {
            return;
        }
        let now = self.now;
        let Some((file, run)) = self.times.player() else { return };
        let Some(time) = self.times.of(file).cloned() else { return };
        if time.bytes_per_s(Duration::ZERO).is_none() || time.duration().is_zero() {
            return;
        }
        let told = self.told(file).next();
        let plays = |r: &&super::Reader| r.purpose != Purpose::Index && r.file == file;
        let is_open = self.readers.values().any(|r| plays(&r));
        let waiting = self.readers.values().filter(plays).any(|r| r.waiting);
        if self.slot_index.as_ref().is_none_or(|v| v.file != file) {
            if !is_open {
                return;
            }
            self.start_slot_index(file, time.duration().as_secs_f64());
        }
        let Some(v) = &mut self.slot_index else { return };
        if is_open {
            v.read_at = now;
        } else if now.since(v.read_at) > CLOSED_AFTER {
            self.tell_slots(Input::Stopped);
            return;
        }
        match told {
            Some(told) => {
                v.follower.shows(now, told.position_s, told.playing);
                v.run = told.read_to.map_or(run, |byte| byte..byte);
            }
            None => {
                if run.start != v.run.start && run.start.abs_diff(v.run.end) > NEAR_BYTES {
                    v.follower = Follower::new(now, time.time_at(run.start).as_secs_f64());
                }
                v.follower.read(now, time.time_at(run.end).as_secs_f64(), waiting);
                v.run = run;
            }
        }
        let lead_s = v.follower.buffered_s();
        let wall = v.wall_at.is_none_or(|at| now.since(at) > WALL_EVERY);
        if wall {
            v.wall_at = Some(now);
        }
        if told.is_none() {
            self.set_lead(file, lead_s);
        }
        if wall {
            self.tell_slots(Input::Wall(unix_s));
        }
        self.report_to_slots(file, &*time);
    }

    fn report_to_slots(&mut self, file: usize, time: &dyn FileTime) {
        self.tell_deliveries();
        let Some(v) = &self.slot_index else { return };
        let (position_s, playing) = (v.follower.position_s(), v.follower.playing());
        // A supply that was never reported counts as none, which would be wrong: the supply comes
        // first.
        let supply = self.supply(file, time);
        self.tell_slots(supply);
        if self.config.slots.kind == Kind::Data {
            self.tell_stretches(file, time);
        }
        self.tell_slots(Input::Play { position_s, playing });
        self.favour_low_buffers(self.file_bytes(file) as f64 / time.duration().as_secs_f64());
    }

    fn file_bytes(&self, file: usize) -> u64 {
        self.ready().and_then(|ready| ready.content.files.get(file)).map_or(0, |bytes| bytes.end - bytes.start)
    }

    fn start_slot_index(&mut self, file: usize, duration_s: f64) {
        let film = Film { info_hash: self.config.info_hash.0, file: file as u32, duration_s };
        let mut config = self.config.slots.clone();
        // Viewers with the same random seed would all meet in the same bucket.
        config.seed ^= self.config.seed;
        self.slot_index = Some(SlotIndex {
            machine: Slots::new(self.now, config, film),
            file,
            follower: Follower::new(self.now, 0.0),
            run: u64::MAX..u64::MAX,
            gave: BTreeMap::new(),
            seeds: Meter::default(),
            most_up: 0.0,
            wall_at: None,
            stretches_at: None,
            read_at: self.now,
        });
        self.do_later(Output::SlotsEnd);
        self.tell_slots(Input::Own(self.config.listen));
        let said = self.peers.iter().filter_map(|(key, p)| Some((*key, p.said?.message)));
        for (key, message) in said.collect::<Vec<_>>() {
            self.tell_slots(Input::Said(key, message));
        }
    }

    /// Returns the viewer's supply.
    fn supply(&mut self, file: usize, time: &dyn FileTime) -> Input {
        let nothing =
            Input::Supply { film_bytes_per_s: 0.0, ahead_s: 0.0, seeds_bytes_per_s: 0.0, spare_bytes_per_s: 0 };
        let (up, length) = (self.up.rate(self.now), self.file_bytes(file));
        let (Some(v), Phase::Ready(ready)) = (&mut self.slot_index, &self.phase) else { return nothing };
        let Some(bytes) = ready.content.files.get(file) else { return nothing };
        let here = ready.content.layout.bytes_here(ready.picker.have(), bytes.start + v.run.end, u64::MAX);
        let until = time.time_at((v.run.end + here).min(length)).as_secs_f64();
        v.most_up = v.most_up.max(up);
        let line = match self.config.upload_bytes_per_s {
            0 => v.most_up,
            limit => limit as f64,
        };
        Input::Supply {
            film_bytes_per_s: length as f64 / time.duration().as_secs_f64(),
            ahead_s: (until - v.follower.position_s()).max(0.0),
            seeds_bytes_per_s: v.seeds.rate(self.now),
            spare_bytes_per_s: (line - up).max(0.0) as u64,
        }
    }

    /// Reports which stretches of the film are complete.
    fn tell_stretches(&mut self, file: usize, time: &dyn FileTime) {
        let now = self.now;
        let width_s = f64::from(self.config.slots.width_s());
        let duration_s = time.duration().as_secs_f64();
        let (Some(v), Phase::Ready(ready)) = (&mut self.slot_index, &self.phase) else { return };
        if v.stretches_at.is_some_and(|at| now.since(at) < STRETCHES_EVERY) {
            return;
        }
        v.stretches_at = Some(now);
        let Some(start) = ready.content.files.get(file).map(|bytes| bytes.start) else { return };
        let (layout, have) = (ready.content.layout, ready.picker.have());
        let holds = |stretch: u32| {
            let at = |n: u32| Duration::from_secs_f64((f64::from(n) * width_s).min(duration_s));
            let bytes = time.byte_range(at(stretch)..at(stretch + 1));
            let pieces = layout.piece_at(start + bytes.start).0..=layout.piece_at(start + bytes.end.max(1) - 1).0;
            Input::Holds { stretch, held: pieces.into_iter().all(|piece| have.get(piece)) }
        };
        let told: Vec<Input> = (0..(duration_s / width_s).ceil().min(MOST_STRETCHES) as u32).map(holds).collect();
        told.into_iter().for_each(|input| self.tell_slots(input));
    }

    /// Counts useful bytes from a peer.
    pub(super) fn count_delivery(&mut self, key: PeerKey, bytes: u64) {
        if self.slot_index.is_none() {
            return;
        }
        let (now, is_seed) = (self.now, self.share_of(key) >= 1.0);
        let Some(v) = &mut self.slot_index else { return };
        *v.gave.entry(key).or_default() += bytes;
        if is_seed {
            v.seeds.add(now, bytes);
        }
    }

    fn tell_deliveries(&mut self) {
        let gave = self.slot_index.as_mut().map(|v| std::mem::take(&mut v.gave)).unwrap_or_default();
        gave.into_iter().for_each(|(key, bytes)| self.tell_slots(Input::Gave(key, bytes)));
    }

    pub(super) fn viewer_left(&mut self, key: PeerKey, banned: bool) {
        self.tell_deliveries();
        self.tell_slots(if banned { Input::Banned(key) } else { Input::Left(key) });
    }

    /// Handles a message of the slot index.
    pub(super) fn viewer_said(&mut self, key: PeerKey, payload: &[u8]) -> Result<(), Disconnect> {
        if !self.has_slots() {
            return Ok(());
        }
        let Ok(message) = slots::Message::decode(payload) else {
            return self.offend(key, Offence::Extension);
        };
        let now = self.now;
        let Some(p) = self.peers.get_mut(&key) else { return Ok(()) };
        let (given, elapsed_from) = p.said.map_or((p.uploaded, now), |said| (said.given, said.elapsed_from));
        p.said = Some(Said { at: now, message, given, elapsed_from });
        self.pick(picker::Input::PeerViews(key));
        self.tell_slots(Input::Said(key, message));
        Ok(())
    }

    /// Sends our position to a peer that has announced the extension.
    pub(super) fn greet_viewer(&mut self, key: PeerKey) {
        let Some(message) = self.slot_index.as_ref().and_then(|v| v.machine.message(self.now)) else { return };
        let Some(p) = self.peers.get_mut(&key).filter(|p| !p.greeted) else { return };
        let Some(id) = p.extended.slot_id() else { return };
        p.greeted = true;
        self.say(key, Wire::Extended { id, payload: Bytes::from(message.encode()) });
    }

    fn tell_viewers(&mut self, message: slots::Message) {
        let payload = Bytes::from(message.encode());
        for (key, p) in &mut self.peers {
            if let Some(id) = p.extended.slot_id() {
                p.greeted = true;
                let message = Wire::Extended { id, payload: payload.clone() };
                self.outputs.push_back(Output::Send(*key, message));
            }
        }
    }

    /// Serves viewers with a small buffer first, regardless of trade: they have no pieces to trade
    /// yet.
    fn favour_low_buffers(&mut self, film_bytes_per_s: f64) {
        let now = self.now;
        let low = self
            .peers
            .iter()
            .filter_map(|(key, p)| Some((*key, p.said?.ahead_s(now, p.uploaded, film_bytes_per_s) < LOW_BUFFER_S)));
        for (key, low) in low.collect::<Vec<_>>() {
            self.choke(choker::Input::LowBuffer(key, low));
        }
    }

    /// Passes an input to the machine and carries out its outputs.
    pub(super) fn tell_slots(&mut self, input: Input) {
        let now = self.now;
        let Some(v) = &mut self.slot_index else { return };
        v.machine.handle(now, input);
        while let Some(output) = self.slot_index.as_mut().and_then(|v| v.machine.poll()) {
            match output {
                slots::Output::Dial(addr) => self.dial_parent(addr),
                // The peer held a place beyond the usual number.
                slots::Output::Release(key) if self.peers.len() > self.config.max_peers => self.give_place_of(key),
                slots::Output::Release(_) => {}
                slots::Output::Tell(message) => self.tell_viewers(message),
                operation => self.do_later(Output::Slots(operation)),
            }
        }
    }

    /// Dials a viewer for which a place is reserved.
    fn dial_parent(&mut self, addr: SocketAddr) {
        let connected = self.peers.iter().find(|(_, p)| p.addr == addr).map(|(key, _)| *key);
        let at_once = match connected {
            Some(key) => Some(Dialled::Connected(key)),
            None if self.book.is_ourselves(addr) => Some(Dialled::Ourselves),
            None => None,
        };
        let dial = match at_once {
            None => self.book.dial_one(addr, Origin::Slots, self.now),
            _ => None,
        };
        if let Some(dial) = dial {
            self.slot_dials.insert(addr);
            self.do_later(Output::Dial(dial));
        } else if let Some(v) = &mut self.slot_index {
            v.machine.handle(self.now, Input::Dialled(addr, at_once.unwrap_or(Dialled::NotTried)));
        }
    }

    /// Returns whether this peer has a reserved place.
    pub fn is_parent(&self, key: PeerKey) -> bool {
        self.slot_index.as_ref().is_some_and(|v| v.machine.is_parent(key))
    }

    /// Returns a peer's report of its position in the film, as of now.
    pub fn viewer_status(&self, now: Time, key: PeerKey) -> Option<ViewerStatus> {
        let p = self.peers.get(&key)?;
        let said = p.said?;
        Some(ViewerStatus {
            file: said.message.file as usize,
            slot: said.message.slot,
            playhead_s: said.playhead_s(now),
            playing: said.message.playing,
            ahead_s: said.ahead_s(now, p.uploaded, 0.0),
            spare_bytes_per_s: said.message.spare_bytes_per_s,
        })
    }

    /// Returns this viewer's place in the slot index.
    pub fn slot_status(&self, now: Time) -> Option<SlotStatus> {
        let v = self.slot_index.as_ref()?;
        let untold = |parent: bool| {
            v.gave.iter().filter(|(key, _)| v.machine.is_parent(**key) == parent).map(|(_, n)| n).sum::<u64>()
        };
        let counters = v.machine.counters();
        Some(SlotStatus {
            file: v.file,
            slot: v.machine.slot(now),
            width_s: self.config.slots.width_s(),
            playhead_s: v.follower.position_s(),
            playing: v.follower.playing(),
            parents: v.machine.parents(now).count(),
            parents_bytes_per_s: v.machine.parents(now).map(|(_, _, rate)| rate).sum(),
            parent_bytes: counters.parent_bytes + untold(true),
            other_bytes: counters.other_bytes + untold(false),
            lookups: counters.lookups,
            announces: counters.announces,
            failed_operations: counters.failed_operations,
            operations_per_hour: self.config.slots.operations_per_hour,
            found: counters.found,
            ignored: counters.ignored,
            dials: counters.dials,
            failed_dials: counters.failed_dials,
            released: counters.released,
            clock_correction_s: v.machine.clock_correction_s(),
        })
    }

    /// Returns the time of the slot index's next timeout.
    pub(super) fn slot_index_timeout(&self) -> Time {
        self.slot_index.as_ref().map_or(Time::NEVER, |v| v.machine.next_timeout())
    }
}

#[cfg(test)]
mod tests {
    use super::believed_ahead_s;

    #[test]
    fn crying_hunger_helps_only_until_we_fed_it_ourselves() {
        assert_eq!(believed_ahead_s(0.0, 75_000.0 * 90.0, 60.0, 75_000.0), 30.0);
        assert_eq!(believed_ahead_s(0.0, 1000.0, 60.0, 75_000.0), 0.0);
        assert_eq!(believed_ahead_s(45.0, 0.0, 60.0, 75_000.0), 45.0);
    }
}
