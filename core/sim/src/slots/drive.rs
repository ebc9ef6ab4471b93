//! Drives the machines: passes each its viewer's state, and carries out its outputs.

use super::dht::{is_sybil, viewer};
use super::scenario::Index;
use super::viewer::State;
use super::world::{DEAD_DIAL_S, Event, OWN_LINKS, World, at};
use playswarm_logic::PeerKey;
use playswarm_logic::slots::{Config, Input, Kind, Output};

/// Time between two announces to the tracker, in seconds: half an hour, as trackers ask for (BEP
/// 3's `interval` in practice). Viewers that need the origin use five minutes, the shortest
/// interval of libtorrent.
const TRACKER_S: f64 = 1800.0;
const TRACKER_SOON_S: f64 = 300.0;

impl World<'_> {
    /// Reports its viewer's position to a machine.
    pub(super) fn inform(&mut self, now: f64, id: u32) {
        let v = &self.viewers[id as usize];
        let playing = !matches!(v.state, State::Paused(_));
        let position_s = v.position;
        let supply = Input::Supply {
            film_bytes_per_s: self.crowd.film_rate,
            ahead_s: v.ahead_s(),
            seeds_bytes_per_s: v.origin_gives,
            // A line counts as full if a twentieth of it is used.
            spare_bytes_per_s: if v.sends > 0.95 * v.drawn.up { 0 } else { (v.drawn.up - v.sends) as u64 },
        };
        self.tell(now, id, supply);
        self.tell(now, id, Input::Play { position_s, playing });
    }

    pub(super) fn tell(&mut self, now: f64, id: u32, input: Input) {
        let Some(mut slots) = self.viewers[id as usize].slots.take() else { return };
        slots.handle(at(now), input);
        let mut dials = Vec::new();
        while let Some(output) = slots.poll() {
            match output {
                Output::Lookup { operation, key } => {
                    let (takes, well) = self.dht.fate();
                    let found = if well { self.dht.look_up(now + takes, key) } else { Vec::new() };
                    self.push(now + takes, Event::Operation { viewer: id, operation, found, well });
                }
                Output::Announce { operation, key } => {
                    let (takes, well) = self.dht.fate();
                    let found = if well { self.dht.look_up(now + takes, key) } else { Vec::new() };
                    if well {
                        self.dht.announce(now + takes, key, id);
                    }
                    self.push(now + takes, Event::Operation { viewer: id, operation, found, well });
                }
                Output::Dial(addr) => dials.push(addr),
                Output::Release(PeerKey(peer)) => {
                    let v = &mut self.viewers[id as usize];
                    if let Some(at) = v.link_to(peer) {
                        v.links[at].parent = false;
                        if v.links[at].by_index {
                            self.disconnect(id, peer);
                        }
                    }
                }
                // The model knows the quality of every connection. Those that cannot be closed end
                // by themselves.
                Output::Tell(_) | Output::Cancel(_) => {}
                other => unreachable!("the simulator does not know {other:?}"),
            }
        }
        self.viewers[id as usize].slots = Some(slots);
        for addr in dials {
            let lives = is_sybil(addr) || viewer(addr, self.viewers.len()).is_some_and(|v| self.can_be_dialled(v));
            self.push(now + if lives { 0.3 } else { DEAD_DIAL_S }, Event::Dialled { viewer: id, addr });
        }
    }

    /// Every few steps: removes viewers that left, reports received bytes, asks the tracker, and
    /// updates connections.
    pub(super) fn keep_house(&mut self, now: f64, id: u32) {
        let gone: Vec<(u32, bool)> = {
            let links = &self.viewers[id as usize].links;
            links.iter().filter(|l| !self.viewers[l.peer as usize].is_here()).map(|l| (l.peer, l.parent)).collect()
        };
        let v = &mut self.viewers[id as usize];
        v.links.retain(|link| !gone.iter().any(|(peer, _)| *peer == link.peer));
        v.rescan = true;
        if v.slots.is_some() {
            for link in 0..self.viewers[id as usize].links.len() {
                let link = &mut self.viewers[id as usize].links[link];
                // Peers that are not parents are only counted by the machine, and reported once a
                // minute.
                if !link.parent && link.unsaid < 60.0 * 10_000.0 {
                    continue;
                }
                let (peer, bytes) = (link.peer, link.unsaid as u64);
                link.unsaid = 0.0;
                if bytes > 0
                    && let Some(slots) = &mut self.viewers[id as usize].slots
                {
                    slots.handle(at(now), Input::Gave(PeerKey(peer), bytes));
                }
            }
            for (peer, _) in gone.iter().filter(|(_, parent)| *parent) {
                self.tell(now, id, Input::Left(PeerKey(*peer)));
            }
            if self.index == Index::Slots(Kind::Data) {
                self.tell_stretches(now, id);
            }
            self.inform(now, id);
        }
        let v = &mut self.viewers[id as usize];
        let wait = if v.used_origin { TRACKER_SOON_S } else { TRACKER_S };
        if now >= v.asked_tracker + wait {
            v.used_origin = false;
            // Closes connections that gave nothing for two minutes, while their number is at its
            // limit.
            if v.links.iter().filter(|l| !l.by_index).count() >= OWN_LINKS {
                let idle: Vec<u32> = v
                    .links
                    .iter()
                    .filter(|l| !l.by_index && !l.parent && now > l.used + 120.0)
                    .map(|l| l.peer)
                    .collect();
                for peer in idle {
                    let needs_us =
                        self.viewers[peer as usize].links.iter().any(|l| l.peer == id && now < l.used + 120.0);
                    if !needs_us {
                        self.disconnect(id, peer);
                    }
                }
            }
            self.ask_tracker(now, id);
        }
    }

    fn tell_stretches(&mut self, now: f64, id: u32) {
        let v = &self.viewers[id as usize];
        let width = f64::from(Config::default().data_width_s);
        let chunks = (width / self.crowd.chunk_s) as u32;
        let whole = |stretch: u32| v.run(stretch * chunks, chunks) == chunks;
        let last = (self.crowd.film_s / width) as u32;
        let held: std::collections::BTreeSet<u32> = (0..last).filter(|s| whole(*s)).collect();
        let changed: Vec<(u32, bool)> =
            held.symmetric_difference(&v.told_held).map(|s| (*s, held.contains(s))).collect();
        for (stretch, held) in changed {
            self.tell(now, id, Input::Holds { stretch, held });
        }
        self.viewers[id as usize].told_held = held;
    }
}
