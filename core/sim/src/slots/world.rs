//! The simulation of a crowd, step by step: flows around the real slot index.
//!
//! Each viewer has a [`Slots`] machine as in the engine, which decides announces, lookups, dials
//! and disconnects. Bytes are flows. In each step a viewer requests from the holders of the next
//! needed film, each for its share. A peer that is asked for more than its line carries shares the
//! line. docs/SLOTS-SIM.md says why this model is fair.

use super::dht::{Dht, address, is_sybil, viewer};
use super::report::{Report, measure};
use super::scenario::{Act, Crowd, Drawn, Index, Sharing, draw};
use super::viewer::{Link, State, Viewer};
use crate::rng::Rng;
use playswarm_logic::slots::{Config, Counters, Dialled, Film, Input, Operation, Slots};
use playswarm_logic::{PeerKey, Time};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// The step in seconds. Times within one are interpolated.
pub(super) const DT: f64 = 2.0;
/// Number of steps between a viewer's updates of its connections and of its machine.
const EVERY: u32 = 4;
/// Most connections that a viewer makes to peers of the tracker, and most connections in all.
pub(super) const OWN_LINKS: usize = 50;
const MOST_LINKS: usize = 120;
/// Share of leavers that notify the tracker. The others stay in its answers for half an hour.
const TELLS: f64 = 0.8;
const TRACKER_FORGETS_S: f64 = 1800.0;
/// Time from arrival to the first request: the tracker's answer and two round trips.
const CONNECT_S: f64 = 0.5;
/// Time after which a dial to a missing peer fails.
pub(super) const DEAD_DIAL_S: f64 = 4.0;
/// The wall clock at the run's start, in seconds since 1970.
const UNIX_S: f64 = 1.8e9;
/// First peer key of the Sybil's connections.
const SYBIL_KEYS: u32 = 1 << 30;

pub(super) enum Event {
    Operation { viewer: u32, operation: Operation, found: Vec<SocketAddr>, well: bool },
    Dialled { viewer: u32, addr: SocketAddr },
    Forget(u32),
}

pub(super) struct Request {
    pub(super) from: u32,
    pub(super) supplier: u32,
    pub(super) bytes: f64,
}

pub(super) struct World<'a> {
    pub(super) crowd: &'a Crowd,
    pub(super) index: Index,
    pub(super) sharing: Sharing,
    pub(super) rng: Rng,
    pub(super) dht: Dht,
    pub(super) viewers: Vec<Viewer>,
    here: Vec<u32>,
    tracker: Vec<u32>,
    events: BTreeMap<(u64, u64), Event>,
    pushed: u64,
    pub(super) inbox: Vec<Vec<Request>>,
    pub(super) origin_minutes: Vec<f64>,
    counters: Counters,
    sybil_dials: u64,
}

/// Plays a crowd from its first viewer to its end.
pub fn run(crowd: &Crowd, index: Index, sharing: Sharing, seed: u64) -> Report {
    run_drawn(crowd, draw(crowd, seed), index, sharing, seed)
}

/// Plays these viewers, in the order in which they come.
pub(super) fn run_drawn(crowd: &Crowd, drawn: Vec<Drawn>, index: Index, sharing: Sharing, seed: u64) -> Report {
    let world = play(crowd, drawn, index, sharing, seed);
    let lived: Vec<_> = world.viewers.iter().filter(|v| v.came).map(|v| &v.lived).collect();
    measure(crowd, index, sharing, &lived, &world.origin_minutes, world.counters, world.sybil_dials)
}

fn play(crowd: &Crowd, drawn: Vec<Drawn>, index: Index, sharing: Sharing, seed: u64) -> World<'_> {
    let mut rng = Rng::new(seed);
    let viewers: Vec<Viewer> = drawn.into_iter().map(|drawn| Viewer::new(crowd, drawn)).collect();
    let mut world = World {
        crowd,
        index,
        sharing,
        dht: Dht::new(rng.fork(1), crowd.sybil_networks, crowd.garbage),
        inbox: viewers.iter().map(|_| Vec::new()).collect(),
        rng: Rng::new(rng.next()),
        viewers,
        here: Vec::new(),
        tracker: Vec::new(),
        events: BTreeMap::new(),
        pushed: 0,
        origin_minutes: vec![0.0; (crowd.end_s / 60.0).ceil() as usize],
        counters: Counters::default(),
        sybil_dials: 0,
    };
    let steps = (crowd.end_s / DT) as u32;
    let mut next = 0;
    for step in 0..steps {
        let now = f64::from(step) * DT;
        while next < world.viewers.len() && world.viewers[next].drawn.arrives + CONNECT_S <= now {
            world.come(now, next as u32);
            next += 1;
        }
        world.step(step, now);
    }
    let all: Vec<u32> = world.here.clone();
    all.into_iter().for_each(|id| world.count(id));
    world
}

pub(super) fn at(now: f64) -> Time {
    Time::from_secs_f64(now)
}

impl World<'_> {
    pub(super) fn push(&mut self, when: f64, event: Event) {
        self.events.insert((at(when).0, self.pushed), event);
        self.pushed += 1;
    }

    fn come(&mut self, now: f64, id: u32) {
        let v = &mut self.viewers[id as usize];
        v.come(now - CONNECT_S);
        if let Index::Slots(kind) = self.index {
            let film = Film { info_hash: [0x5a; 20], file: 0, duration_s: self.crowd.film_s };
            let clock_witnesses =
                if self.crowd.corrects_clocks { Config::default().clock_witnesses } else { usize::MAX };
            let config = Config { kind, seed: u64::from(id) + 1, clock_witnesses, ..Config::default() };
            let mut slots = Slots::new(at(now), config, film);
            slots.handle(at(now), Input::Own(address(id)));
            slots.handle(at(now), Input::Wall(UNIX_S + now + v.drawn.clock_off_s));
            v.slots = Some(Box::new(slots));
        }
        self.here.push(id);
        self.tracker.push(id);
        self.ask_tracker(now, id);
        self.inform(now, id);
    }

    /// Adds a viewer's machine's counters to the total, at its end.
    fn count(&mut self, id: u32) {
        let Some(slots) = &self.viewers[id as usize].slots else { return };
        let (c, sum) = (slots.counters(), &mut self.counters);
        sum.lookups += c.lookups;
        sum.announces += c.announces;
        sum.failed_operations += c.failed_operations;
        sum.found += c.found;
        sum.ignored += c.ignored;
        sum.dials += c.dials;
        sum.failed_dials += c.failed_dials;
        sum.released += c.released;
        sum.parent_bytes += c.parent_bytes;
        sum.other_bytes += c.other_bytes;
    }

    fn leave(&mut self, now: f64, id: u32, silently: bool) {
        self.count(id);
        self.viewers[id as usize].go();
        if !silently && self.rng.chance(TELLS) {
            self.tracker.retain(|other| *other != id);
        } else {
            self.push(now + TRACKER_FORGETS_S, Event::Forget(id));
        }
    }

    /// Asks the tracker: fifty random peers, all of which are dialled.
    pub(super) fn ask_tracker(&mut self, now: f64, id: u32) {
        self.viewers[id as usize].asked_tracker = now;
        for _ in 0..self.crowd.tracker_peers {
            let Some(&other) = self.tracker.get(self.rng.below(self.tracker.len() as u64) as usize) else { return };
            let own = self.viewers[id as usize].links.iter().filter(|l| !l.by_index).count();
            if own >= OWN_LINKS {
                return;
            }
            if other != id && self.can_be_dialled(other) {
                self.connect(now, id, other, false);
            }
        }
    }

    pub(super) fn can_be_dialled(&self, id: u32) -> bool {
        let v = &self.viewers[id as usize];
        v.is_here() && v.drawn.reachable && v.links.len() < MOST_LINKS
    }

    /// Connects two viewers. Both may request, and both report their positions.
    fn connect(&mut self, now: f64, id: u32, other: u32, by_index: bool) {
        if self.viewers[id as usize].link_to(other).is_some() {
            return;
        }
        for (a, b) in [(id, other), (other, id)] {
            let link = Link { peer: b, by_index, parent: false, used: now, unsaid: 0.0 };
            self.viewers[a as usize].links.push(link);
        }
        self.introduce(now, id, other);
    }

    /// Reports both positions, as peers do when a connection opens.
    fn introduce(&mut self, now: f64, id: u32, other: u32) {
        for (a, b) in [(id, other), (other, id)] {
            let said = self.viewers[b as usize].slots.as_ref().and_then(|s| s.message(at(now)));
            if let Some(message) = said {
                self.tell(now, a, Input::Said(PeerKey(b), message));
            }
        }
    }

    pub(super) fn disconnect(&mut self, id: u32, other: u32) {
        for (a, b) in [(id, other), (other, id)] {
            let v = &mut self.viewers[a as usize];
            v.links.retain(|link| link.peer != b);
            v.suppliers.clear();
            v.rescan = true;
        }
    }

    fn step(&mut self, step: u32, now: f64) {
        while self.events.first_key_value().is_some_and(|((when, _), _)| *when <= at(now).0) {
            if let Some((_, event)) = self.events.pop_first() {
                self.happen(now, event);
            }
        }
        let exodus = self.crowd.exodus_s.is_some_and(|when| (now..now + DT).contains(&when));
        let here = std::mem::take(&mut self.here);
        for &id in &here {
            self.behave(now, id, exodus && id % 10 == 3);
        }
        self.here = here.into_iter().filter(|id| self.viewers[*id as usize].is_here()).collect();
        let here = std::mem::take(&mut self.here);
        for &id in &here {
            if (id + step).is_multiple_of(EVERY) {
                self.keep_house(now, id);
            } else if self.viewers[id as usize].slots.as_ref().is_some_and(|s| s.next_timeout() <= at(now)) {
                self.tell(now, id, Input::Timeout);
            }
            if self.viewers[id as usize].rescan {
                self.scan(id);
            }
        }
        self.flow(now, &here);
        self.here = here;
    }

    fn happen(&mut self, now: f64, event: Event) {
        match event {
            Event::Operation { viewer, operation, found, well } => {
                if !found.is_empty() {
                    self.tell(now, viewer, Input::Found(operation, found));
                }
                self.tell(now, viewer, Input::Ended(operation, well));
            }
            Event::Dialled { viewer: id, addr } => {
                if !self.viewers[id as usize].is_here() {
                    return;
                }
                let how = match viewer(addr, self.viewers.len()) {
                    _ if is_sybil(addr) => {
                        self.sybil_dials += 1;
                        let SocketAddr::V4(v4) = addr else { return };
                        Dialled::Connected(PeerKey(SYBIL_KEYS + (u32::from(*v4.ip()) & 0xffff)))
                    }
                    Some(other) if other == id => Dialled::Ourselves,
                    Some(other) if self.can_be_dialled(other) => {
                        self.connect(now, id, other, true);
                        let v = &mut self.viewers[id as usize];
                        if let Some(link) = v.link_to(other) {
                            v.links[link].parent = true;
                        }
                        v.rescan = true;
                        Dialled::Connected(PeerKey(other))
                    }
                    _ => Dialled::Failed,
                };
                self.tell(now, id, Input::Dialled(addr, how));
                if let Dialled::Connected(PeerKey(other)) = how
                    && other < SYBIL_KEYS
                {
                    self.introduce(now, id, other);
                }
            }
            Event::Forget(id) => self.tracker.retain(|other| *other != id),
        }
    }

    fn behave(&mut self, now: f64, id: u32, driven_out: bool) {
        let film_s = self.crowd.film_s;
        let v = &mut self.viewers[id as usize];
        if driven_out || v.has_finished(film_s) {
            return self.leave(now, id, driven_out);
        }
        if let State::Paused(until) = v.state {
            if now < until {
                return;
            }
            v.state = State::Playing;
            self.inform(now, id);
            return;
        }
        if let Some((when, act)) = v.drawn.acts.get(v.next_act).copied()
            && v.watched_s >= when
        {
            v.next_act += 1;
            match act {
                Act::Pause(seconds) if v.state == State::Playing => v.state = State::Paused(now + seconds),
                Act::Pause(_) => {}
                Act::By(seconds) => v.seek(now, (v.position + seconds).clamp(0.0, film_s - 30.0)),
                Act::To(second) => v.seek(now, second),
            }
            self.inform(now, id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use playswarm_logic::slots::Kind;

    fn tiny(viewers: u32) -> Crowd {
        Crowd { viewers, arrive_s: 900.0, end_s: 1200.0, film_s: 1800.0, ..Crowd::default() }
    }

    #[test]
    fn no_line_carries_more_than_it_can_and_nobody_gets_what_nobody_sent() {
        let crowd = tiny(150);
        for index in [Index::None, Index::Slots(Kind::Virtual), Index::Slots(Kind::Data)] {
            let world = play(&crowd, draw(&crowd, 4), index, Sharing::Urgent, 4);
            let (mut sent, mut came) = (0.0, 0.0);
            for v in &world.viewers {
                let here = crowd.end_s - v.drawn.arrives + DT;
                assert!(v.lived.sent <= v.drawn.up * here + 1.0, "{} sent", v.lived.sent);
                let received = v.lived.from_peers + v.lived.from_origin;
                assert!(received <= v.drawn.down * here + 1.0, "{received} received");
                assert!(v.lived.useful_s * crowd.film_rate <= received + 1.0);
                sent += v.lived.sent;
                came += v.lived.from_peers;
            }
            assert!((sent - came).abs() <= 1e-6 * sent, "{sent} sent, {came} received");
            let from_origin: f64 = world.viewers.iter().map(|v| v.lived.from_origin).sum();
            let by_minutes: f64 = world.origin_minutes.iter().sum();
            assert!((from_origin - by_minutes).abs() <= 1e-6 * by_minutes);
        }
    }

    #[test]
    fn what_nobody_had_comes_from_the_origin() {
        // Viewers that are close together, so that each has only a little that others lack.
        let crowd = Crowd {
            viewers: 60,
            arrive_s: 30.0,
            end_s: 240.0,
            chunk_s: 0.8,
            keeps_s: None,
            film_s: 600.0,
            ..Crowd::default()
        };
        let world = play(&crowd, draw(&crowd, 6), Index::None, Sharing::Urgent, 6);
        let chunks = (crowd.film_s / crowd.chunk_s) as u32;
        let held = (0..chunks).filter(|chunk| world.viewers.iter().any(|v| v.holds(*chunk))).count();
        let held = held as f64 * crowd.chunk_s * crowd.film_rate;
        let from_origin: f64 = world.viewers.iter().map(|v| v.lived.from_origin).sum();
        assert!(held > 200.0 * crowd.film_rate && from_origin >= 0.999 * held, "{held} held, {from_origin} given");
    }

    #[test]
    fn one_viewer_alone_is_fed_by_the_origin_at_the_films_rate() {
        let crowd = Crowd { viewers: 1, arrive_s: 1.0, end_s: 600.0, ..Crowd::default() };
        let world = play(&crowd, draw(&crowd, 9), Index::Slots(Kind::Virtual), Sharing::Urgent, 9);
        let lived = &world.viewers[0].lived;
        assert_eq!(lived.from_peers, 0.0);
        // The played film, plus at most the ten seconds that the origin buffers, one chunk and one
        // seek.
        let ahead = lived.from_origin / crowd.film_rate - lived.useful_s;
        assert!(lived.played_s > 300.0 && lived.stalls == 0, "{lived:?}");
        assert!((0.0..=40.0).contains(&ahead), "{ahead}");
    }
}
