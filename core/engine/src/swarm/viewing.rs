//! The viewer's place in the slot index: tells the machine where the film plays and how it is fed, and does what it says.
//!
//! Which slots are announced and looked up, whom to dial and who stays a parent is decided by [`slots`] in the logic crate;
//! DHT packets are discovery's. Here are the operations under way, the kept places, and the messages between viewers.

use crate::discovery::KeyNews;
use crate::status::{SlotStatus, ViewerStatus};
use crate::swarm::driver::{State, Swarm};
use crate::swarm::peer::Verdict as Conduct;
use crate::swarm::rates::Meter;
use crate::swarm::readers::Purpose;
use bytes::Bytes;
use playswarm_logic::slots::{self, Dialled, Film, Follower, Input, Kind, Operation, Output, Slots};
use playswarm_logic::torrent::Origin;
use playswarm_logic::torrent::conduct::Offence;
use playswarm_logic::{PeerKey, ReaderKey, Time, choker, picker};
use playswarm_proto::wire::Message as Wire;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio_util::task::AbortOnDropHandle;

/// The clock on the wall is looked at so often: it may be set.
const WALL_EVERY: Duration = Duration::from_secs(60);
/// With data slots, so often it is looked at which stretches are here whole; of so many at most, eighty hours.
const STRETCHES_EVERY: Duration = Duration::from_secs(10);
const MOST_STRETCHES: f64 = 1000.0;
/// Without an open reader for so long the viewer has closed the film. Players open several connections, one after the other.
const CLOSED_AFTER: Duration = Duration::from_secs(30);
/// A player that goes on so near to where it stopped reading has not jumped, but made a new connection.
const NEAR_BYTES: u64 = 1 << 20;
/// A viewer with less in hand than this is fed before others, where upload is given and not earned.
const DRY_S: f64 = 10.0;

/// See the [module](self).
pub(super) struct Viewing {
    machine: Slots,
    file: usize,
    follower: Follower,
    /// What the player has read since it began or last jumped, in bytes of the file.
    run: Range<u64>,
    running: BTreeMap<Operation, AbortOnDropHandle<()>>,
    /// Useful bytes of each peer that the machine has not been told of.
    gave: BTreeMap<PeerKey, u64>,
    /// What comes from peers that have everything.
    seeds: Meter,
    /// The most that was ever sent in a second, as a measure of what our line can.
    most_up: f64,
    wall_at: Option<Instant>,
    stretches_at: Option<Instant>,
    read_at: Instant,
}

/// What a peer said of itself, and what we gave it since, which bounds how hungry it can be.
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
        slots::upload::believed_ahead_s(said, given, since(self.elapsed_from), film_bytes_per_s)
    }

    fn playhead_s(&self, now: Time) -> f64 {
        let played = if self.message.playing { now.since(self.at).as_secs_f64() } else { 0.0 };
        self.message.playhead_ms as f64 / 1000.0 + played
    }
}

impl Swarm {
    /// Whether this torrent uses the slot index: not without a DHT, and never where it is private (BEP 27).
    pub(super) fn has_slots(&self) -> bool {
        self.config.slot_index
            && self.shared.has_dht()
            && !self.content.get().is_some_and(|content| content.torrent.private)
    }

    /// Looked at twice a second: where the player is, what it has in hand.
    pub(super) fn keep_viewing(&self, st: &mut State) {
        if !self.has_slots() {
            return;
        }
        let now = self.now();
        let Some((file, run)) = st.times.player() else { return };
        let Some((duration_s, read_s)) = st.times.timeline(file).and_then(|timeline| {
            let known = timeline.bytes_per_s(Duration::ZERO).is_some() && !timeline.duration().is_zero();
            known.then(|| (timeline.duration().as_secs_f64(), timeline.time_at(run.end).as_secs_f64()))
        }) else {
            return;
        };
        let mut readers = st.readers.values().filter(|r| r.purpose == Purpose::Play && r.file == file).peekable();
        let open = readers.peek().is_some();
        let waiting = readers.any(|r| r.waiting);
        if st.viewing.as_ref().is_none_or(|v| v.file != file) {
            if !open {
                return;
            }
            self.begin_viewing(st, now, file, duration_s);
        }
        let begins_s = st.times.timeline(file).map_or(0.0, |timeline| timeline.time_at(run.start).as_secs_f64());
        let Some(v) = &mut st.viewing else { return };
        if open {
            v.read_at = Instant::now();
        } else if v.read_at.elapsed() > CLOSED_AFTER {
            self.slots_with(st, Input::Stopped);
            return;
        }
        if run.start != v.run.start && run.start.abs_diff(v.run.end) > NEAR_BYTES {
            v.follower = Follower::new(now, begins_s);
        }
        v.run = run;
        v.follower.read(now, read_s, waiting);
        let lead_s = v.follower.buffered_s();
        let readers: Vec<ReaderKey> = st
            .readers
            .iter()
            .filter(|(_, r)| r.purpose == Purpose::Play && r.file == file)
            .map(|(key, _)| *key)
            .collect();
        readers.into_iter().for_each(|key| self.pick_with(st, picker::Input::ReaderLead(key, lead_s)));
        let Some(v) = &mut st.viewing else { return };
        if v.wall_at.is_none_or(|at| at.elapsed() > WALL_EVERY) {
            v.wall_at = Some(Instant::now());
            self.slots_with(st, Input::Wall(unix_s()));
        }
        self.tell_gifts(st);
        let Some(v) = &st.viewing else { return };
        let (position_s, playing) = (v.follower.position_s(), v.follower.playing());
        // A supply that was never told counts as none, and would be a lie: it comes first.
        let supply = self.supply(st);
        self.slots_with(st, supply);
        if self.config.slots.kind == Kind::Data {
            self.tell_stretches(st, duration_s);
        }
        self.slots_with(st, Input::Play { position_s, playing });
        let length = self.content.get().and_then(|c| c.torrent.files.get(file)).map_or(0, |f| f.length);
        self.favour_the_dry(st, now, length as f64 / duration_s);
    }

    fn begin_viewing(&self, st: &mut State, now: Time, file: usize, duration_s: f64) {
        let film = Film { info_hash: self.info_hash.0, file: file as u32, duration_s };
        let mut config = self.config.slots.clone();
        // Viewers that draw alike would all meet in the same bucket.
        config.seed ^= u64::from_le_bytes(*self.transport.peer_id().0.last_chunk::<8>().unwrap_or(&[0; 8]));
        let viewing = Viewing {
            machine: Slots::new(now, config, film),
            file,
            follower: Follower::new(now, 0.0),
            run: u64::MAX..u64::MAX,
            running: BTreeMap::new(),
            gave: BTreeMap::new(),
            seeds: Meter::default(),
            most_up: 0.0,
            wall_at: None,
            stretches_at: None,
            read_at: Instant::now(),
        };
        st.viewing = Some(viewing);
        self.slots_with(st, Input::Own(self.transport.listen_addr()));
        let said: Vec<_> = st.peers.iter().filter_map(|(key, p)| Some((*key, p.said?.message))).collect();
        said.into_iter().for_each(|(key, message)| self.slots_with(st, Input::Said(key, message)));
    }

    /// How the viewer is fed.
    fn supply(&self, st: &mut State) -> Input {
        let nothing =
            Input::Supply { film_bytes_per_s: 0.0, ahead_s: 0.0, seeds_bytes_per_s: 0.0, spare_bytes_per_s: 0 };
        let up = st.up.rate();
        let State { viewing: Some(v), picker, times, .. } = st else { return nothing };
        let (Some(timeline), Some(content)) = (times.timeline(v.file), self.content.get()) else { return nothing };
        let Some(entry) = content.torrent.files.get(v.file) else { return nothing };
        let here = picker
            .as_ref()
            .map_or(0, |p| content.torrent.layout.bytes_here(p.have(), entry.offset + v.run.end, u64::MAX));
        let until = timeline.time_at((v.run.end + here).min(entry.length)).as_secs_f64();
        v.most_up = v.most_up.max(up);
        let line = match self.config.upload_bytes_per_s {
            0 => v.most_up,
            limit => limit as f64,
        };
        Input::Supply {
            film_bytes_per_s: entry.length as f64 / timeline.duration().as_secs_f64(),
            ahead_s: (until - v.follower.position_s()).max(0.0),
            seeds_bytes_per_s: v.seeds.rate(),
            spare_bytes_per_s: (line - up).max(0.0) as u64,
        }
    }

    /// Which stretches of the film are here whole.
    fn tell_stretches(&self, st: &mut State, duration_s: f64) {
        let width_s = f64::from(self.config.slots.width_s());
        let State { viewing: Some(v), picker: Some(picker), times, .. } = st else { return };
        if v.stretches_at.is_some_and(|at| at.elapsed() < STRETCHES_EVERY) {
            return;
        }
        v.stretches_at = Some(Instant::now());
        let (Some(timeline), Some(content)) = (times.timeline(v.file), self.content.get()) else { return };
        let Some(entry) = content.torrent.files.get(v.file) else { return };
        let layout = content.torrent.layout;
        let holds = |stretch: u32| {
            let time = |n: u32| Duration::from_secs_f64((f64::from(n) * width_s).min(duration_s));
            let bytes = timeline.byte_range(time(stretch)..time(stretch + 1));
            let pieces =
                layout.piece_at(entry.offset + bytes.start).0..=layout.piece_at(entry.offset + bytes.end.max(1) - 1).0;
            Input::Holds { stretch, held: pieces.into_iter().all(|piece| picker.have().get(piece)) }
        };
        let told: Vec<Input> = (0..(duration_s / width_s).ceil().min(MOST_STRETCHES) as u32).map(holds).collect();
        told.into_iter().for_each(|input| self.slots_with(st, input));
    }

    /// Useful bytes came from a peer.
    pub(super) fn took_gift(&self, st: &mut State, key: PeerKey, bytes: u64) {
        let State { viewing: Some(v), peers, .. } = st else { return };
        *v.gave.entry(key).or_default() += bytes;
        if peers.get(&key).is_some_and(|p| p.share() >= 1.0) {
            v.seeds.add(bytes);
        }
    }

    fn tell_gifts(&self, st: &mut State) {
        let gifts = st.viewing.as_mut().map(|v| std::mem::take(&mut v.gave)).unwrap_or_default();
        gifts.into_iter().for_each(|(key, bytes)| self.slots_with(st, Input::Gave(key, bytes)));
    }

    /// A peer is gone.
    pub(super) fn viewer_left(&self, st: &mut State, key: PeerKey, banned: bool) {
        self.tell_gifts(st);
        self.slots_with(st, if banned { Input::Banned(key) } else { Input::Left(key) });
    }

    /// A `ps_slot` message came.
    pub(super) fn viewer_said(&self, st: &mut State, key: PeerKey, now: Time, payload: &[u8]) -> Result<(), Conduct> {
        if !self.has_slots() {
            return Ok(());
        }
        let Ok(message) = slots::Message::decode(payload) else {
            return self.offend(st, key, now, Offence::Extension);
        };
        let Some(p) = st.peers.get_mut(&key) else { return Ok(()) };
        let (given, elapsed_from) = p.said.map_or((p.uploaded, now), |said| (said.given, said.elapsed_from));
        p.said = Some(Said { at: now, message, given, elapsed_from });
        self.pick_with(st, picker::Input::PeerViews(key));
        self.slots_with(st, Input::Said(key, message));
        Ok(())
    }

    /// A peer has said that it knows the extension: it hears where we are.
    pub(super) fn greet_viewer(&self, st: &mut State, key: PeerKey) {
        let now = self.now();
        let Some(message) = st.viewing.as_ref().and_then(|v| v.machine.message(now)) else { return };
        let Some(p) = st.peers.get_mut(&key).filter(|p| !p.greeted) else { return };
        let Some(id) = p.extended.slot_id() else { return };
        p.greeted = true;
        p.say(Wire::Extended { id, payload: Bytes::from(message.encode()) });
    }

    /// Viewers that are about to run dry are fed first, whatever they have to trade: they have nothing yet.
    fn favour_the_dry(&self, st: &mut State, now: Time, film_bytes_per_s: f64) {
        let dry: Vec<(PeerKey, bool)> = st
            .peers
            .iter()
            .filter_map(|(key, p)| Some((*key, p.said?.ahead_s(now, p.uploaded, film_bytes_per_s) < DRY_S)))
            .collect();
        dry.into_iter().for_each(|(key, dry)| self.choke_with(st, choker::Input::Dry(key, dry)));
    }

    /// Tells the machine and does what it says.
    pub(super) fn slots_with(&self, st: &mut State, input: Input) {
        let now = self.now();
        let Some(v) = &mut st.viewing else { return };
        v.machine.handle(now, input);
        while let Some(output) = st.viewing.as_mut().and_then(|v| v.machine.poll()) {
            tracing::debug!(t = now.as_secs_f64(), ?output, "slots");
            match output {
                Output::Lookup { operation, key } => self.operate(st, operation, key, None),
                Output::Announce { operation, key } => {
                    let port = self.transport.listen_addr().port();
                    self.operate(st, operation, key, Some(port));
                }
                Output::Cancel(operation) => {
                    if let Some(v) = &mut st.viewing {
                        v.running.remove(&operation);
                    }
                }
                Output::Dial(addr) => self.dial_parent(st, now, addr),
                // Its place was one beyond the usual number.
                Output::Release(key) if st.peers.len() > self.config.max_peers => {
                    self.part(st, key, Conduct::Gone("its place is for another".to_owned()));
                }
                Output::Tell(message) => {
                    let payload = Bytes::from(message.encode());
                    for p in st.peers.values_mut() {
                        if let Some(id) = p.extended.slot_id() {
                            p.greeted = true;
                            p.say(Wire::Extended { id, payload: payload.clone() });
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn operate(&self, st: &mut State, operation: Operation, key: slots::Key, announce: Option<u16>) {
        let news = self.shared.key_operation(key.0, announce);
        let this = self.this.clone();
        let task = self.runtime.spawn(async move {
            if let Some(mut news) = news {
                while let Some(news) = news.recv().await {
                    let Some(swarm) = this.upgrade() else { return };
                    match news {
                        KeyNews::Found(peers) => swarm.operated(Input::Found(operation, peers)),
                        KeyNews::Ended(well) => return swarm.operated(Input::Ended(operation, well)),
                    }
                }
            }
            if let Some(swarm) = this.upgrade() {
                swarm.operated(Input::Ended(operation, false));
            }
        });
        if let Some(v) = &mut st.viewing {
            v.running.insert(operation, AbortOnDropHandle::new(task));
        }
    }

    fn operated(&self, input: Input) {
        let mut st = self.state.lock();
        let ended = match input {
            Input::Ended(operation, _) => st.viewing.as_mut().and_then(|v| v.running.remove(&operation)),
            _ => None,
        };
        self.slots_with(&mut st, input);
        drop(st);
        self.arm();
        // Last: this runs in that task itself.
        drop(ended);
    }

    /// Dials a viewer that was found, with a place kept for it.
    fn dial_parent(&self, st: &mut State, now: Time, addr: SocketAddr) {
        let here = st.peers.iter().find(|(_, p)| p.addr == addr).map(|(key, _)| *key);
        let at_once = match here {
            Some(key) => Some(Dialled::Connected(key)),
            None if st.book.is_ourselves(addr) => Some(Dialled::Ourselves),
            None => None,
        };
        let dial = match at_once {
            None if st.named_ports.admit(now, addr) => st.book.dial_one(addr, Origin::Slots, now),
            _ => None,
        };
        let (Some(dial), Some(swarm)) = (dial, self.this.upgrade()) else {
            let how = at_once.unwrap_or(Dialled::NotTried);
            if let Some(v) = &mut st.viewing {
                v.machine.handle(now, Input::Dialled(addr, how));
            }
            return;
        };
        self.runtime.spawn(async move {
            let how = swarm.connect(dial).await;
            let mut st = swarm.state.lock();
            swarm.slots_with(&mut st, Input::Dialled(addr, how));
            drop(st);
            swarm.arm();
        });
    }

    /// Whether this peer has a kept place.
    pub(super) fn is_parent(st: &State, key: PeerKey) -> bool {
        st.viewing.as_ref().is_some_and(|v| v.machine.is_parent(key))
    }

    /// What a peer said of itself, as of now.
    pub(super) fn viewer_status(&self, said: &Said, now: Time, uploaded: u64) -> ViewerStatus {
        ViewerStatus {
            file: said.message.file as usize,
            slot: said.message.slot,
            playhead_s: said.playhead_s(now),
            playing: said.message.playing,
            ahead_s: said.ahead_s(now, uploaded, 0.0),
            spare_bytes_per_s: said.message.spare_bytes_per_s,
        }
    }

    /// The viewer's place, for the outside.
    pub(super) fn slot_status(&self, st: &State) -> Option<SlotStatus> {
        let (v, now) = (st.viewing.as_ref()?, self.now());
        let counters = v.machine.counters();
        let untold = |parent: bool| {
            v.gave.iter().filter(|(key, _)| v.machine.is_parent(**key) == parent).map(|(_, n)| n).sum::<u64>()
        };
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

    /// When the machine wants to be woken.
    pub(super) fn viewing_timeout(st: &State) -> Time {
        st.viewing.as_ref().map_or(Time::NEVER, |v| v.machine.next_timeout())
    }
}

fn unix_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}
