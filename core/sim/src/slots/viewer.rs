//! One viewer of the crowd: its position, its chunks, its connections and its results.

use super::scenario::{Crowd, Drawn};
use playswarm_logic::slots::Slots;
use std::collections::BTreeSet;

/// Length of film that is fetched ahead, in seconds.
pub(super) const AHEAD_S: f64 = 60.0;
/// Seconds buffered with which playback starts or resumes.
pub(super) const READY_S: f64 = 2.0;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum State {
    /// Before the arrival, or after the departure.
    Away,
    /// Playback stands still since this time: at the start, after a seek, or in a stall.
    Waiting(f64, Wait),
    Playing,
    /// End of the pause.
    Paused(f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    Start,
    Seek,
    Stall,
}

/// A connection, as one of its ends sees it.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) peer: u32,
    /// Whether it was found by the index alone; it is then closed when it is no longer a parent.
    pub(super) by_index: bool,
    /// Whether it has a reserved place.
    pub(super) parent: bool,
    /// Time at which it last gave us bytes.
    pub(super) used: f64,
    /// Its bytes that were not yet reported to our machine.
    pub(super) unsaid: f64,
}

/// A supplier of this viewer.
#[derive(Clone, Debug)]
pub(super) struct Supplier {
    /// Its index in `links`.
    pub(super) link: u32,
    pub(super) peer: u32,
    /// Its recent rate, in bytes per step.
    pub(super) gives: f64,
    /// Its bytes in this step.
    pub(super) granted: f64,
}

/// The results of a viewer.
#[derive(Clone, Debug, Default)]
pub(super) struct Lived {
    pub(super) start_s: Option<f64>,
    pub(super) seeks_s: Vec<f64>,
    pub(super) stalls: u32,
    pub(super) stalled_s: f64,
    pub(super) played_s: f64,
    /// Seconds of film that were received and played.
    pub(super) useful_s: f64,
    pub(super) sent: f64,
    pub(super) from_peers: f64,
    pub(super) from_parents: f64,
    pub(super) from_origin: f64,
}

pub(super) struct Viewer {
    pub(super) drawn: Drawn,
    pub(super) state: State,
    pub(super) came: bool,
    pub(super) position: f64,
    pub(super) watched_s: f64,
    pub(super) next_act: usize,
    have: Vec<u64>,
    /// Chunks that were received but not yet played.
    fresh: Vec<u64>,
    chunks: u32,
    chunk_s: f64,
    keeps_s: f64,
    /// The first missing chunk from the playhead on, and the bytes of it that are stored.
    pub(super) edge: u32,
    pub(super) got: f64,
    pub(super) links: Vec<Link>,
    pub(super) suppliers: Vec<Supplier>,
    pub(super) rescan: bool,
    pub(super) asked_tracker: f64,
    pub(super) used_origin: bool,
    /// Its own upload as an average over the last five steps, bytes per second.
    pub(super) sends: f64,
    /// The origin's rate as an average over the last ten steps, bytes per second.
    pub(super) origin_gives: f64,
    pub(super) slots: Option<Box<Slots>>,
    pub(super) told_held: BTreeSet<u32>,
    pub(super) lived: Lived,
}

impl Viewer {
    pub(super) fn new(crowd: &Crowd, drawn: Drawn) -> Viewer {
        let chunks = (crowd.film_s / crowd.chunk_s).ceil() as u32;
        Viewer {
            position: drawn.begins_at,
            drawn,
            state: State::Away,
            came: false,
            watched_s: 0.0,
            next_act: 0,
            have: Vec::new(),
            fresh: Vec::new(),
            chunks,
            chunk_s: crowd.chunk_s,
            keeps_s: crowd.keeps_s.unwrap_or(f64::INFINITY),
            edge: 0,
            got: 0.0,
            links: Vec::new(),
            suppliers: Vec::new(),
            rescan: true,
            asked_tracker: 0.0,
            used_origin: false,
            sends: 0.0,
            origin_gives: 0.0,
            slots: None,
            told_held: BTreeSet::new(),
            lived: Lived::default(),
        }
    }

    pub(super) fn is_here(&self) -> bool {
        self.state != State::Away
    }

    pub(super) fn come(&mut self, now: f64) {
        self.came = true;
        // A viewer that arrives within a step arrives at its end.
        self.drawn.arrives = now;
        self.have = vec![0; self.chunks.div_ceil(64) as usize];
        self.fresh = self.have.clone();
        self.state = State::Waiting(self.drawn.arrives, Wait::Start);
        self.find_edge();
    }

    pub(super) fn go(&mut self) {
        self.state = State::Away;
        self.have = Vec::new();
        self.links = Vec::new();
        self.suppliers = Vec::new();
        self.slots = None;
    }

    /// Whether the chunk is stored.
    pub(super) fn holds(&self, chunk: u32) -> bool {
        let at = f64::from(chunk) * self.chunk_s;
        let word = self.have.get((chunk / 64) as usize).copied().unwrap_or(0);
        word >> (chunk % 64) & 1 == 1 && (at - self.position).abs() <= self.keeps_s
    }

    /// Returns the number of stored chunks from this one on without a gap, up to `most`.
    pub(super) fn run(&self, from: u32, most: u32) -> u32 {
        (0..most).take_while(|i| self.holds(from + i)).count() as u32
    }

    pub(super) fn find_edge(&mut self) {
        let mut edge = ((self.position / self.chunk_s) as u32).min(self.chunks);
        while edge < self.chunks && self.holds(edge) {
            edge += 1;
        }
        self.edge = edge;
    }

    /// Returns the buffered seconds in whole chunks, since unverified data can't be played.
    pub(super) fn ahead_s(&self) -> f64 {
        (f64::from(self.edge) * self.chunk_s - self.position).max(0.0)
    }

    pub(super) fn at_end(&self) -> bool {
        self.edge >= self.chunks
    }

    /// Returns the bytes wanted from the edge on, for this number of buffered seconds.
    pub(super) fn wants(&self, seconds: f64, chunk_bytes: f64) -> f64 {
        let until = (((self.position + seconds) / self.chunk_s).ceil() as u32).min(self.chunks);
        (f64::from(until.saturating_sub(self.edge)) * chunk_bytes - self.got).max(0.0)
    }

    /// Adds received bytes.
    pub(super) fn receive(&mut self, bytes: f64, chunk_bytes: f64) {
        self.got += bytes;
        // Slightly less than a chunk counts as a chunk, because sums of shares are not exact.
        while self.got >= chunk_bytes - 0.5 && self.edge < self.chunks {
            self.got = (self.got - chunk_bytes).max(0.0);
            self.have[(self.edge / 64) as usize] |= 1 << (self.edge % 64);
            self.fresh[(self.edge / 64) as usize] |= 1 << (self.edge % 64);
            self.edge += 1;
            while self.edge < self.chunks && self.holds(self.edge) {
                self.edge += 1;
            }
        }
        if self.at_end() {
            self.got = 0.0;
        }
    }

    /// Jumps to this second.
    pub(super) fn seek(&mut self, now: f64, to: f64) {
        self.position = to.max(0.0);
        let old = self.keeps_s;
        if old.is_finite() {
            // Film outside of the kept window is evicted for good.
            let (low, high) = ((self.position - old) / self.chunk_s, (self.position + old) / self.chunk_s);
            for chunk in 0..self.chunks {
                if f64::from(chunk) < low || f64::from(chunk) > high {
                    self.have[(chunk / 64) as usize] &= !(1 << (chunk % 64));
                }
            }
        }
        self.got = 0.0;
        self.find_edge();
        self.suppliers.clear();
        self.rescan = true;
        // A jump during a wait continues that wait, measured from the last jump.
        let wait = if matches!(self.state, State::Waiting(_, Wait::Start)) { Wait::Start } else { Wait::Seek };
        self.state = State::Waiting(if wait == Wait::Start { self.drawn.arrives } else { now }, wait);
    }

    /// Plays through a step of `dt` seconds that began at `now` with `before_s` buffered.
    /// `fraction` of the step passed before enough was buffered to begin.
    pub(super) fn play(&mut self, now: f64, dt: f64, fraction: f64) {
        let mut left = dt;
        if let State::Waiting(since, wait) = self.state {
            if self.ahead_s() < READY_S && !self.at_end() {
                if wait == Wait::Stall {
                    self.lived.stalled_s += dt;
                }
                return;
            }
            let at = now + fraction * dt;
            left = dt * (1.0 - fraction);
            match wait {
                Wait::Start => self.lived.start_s = Some((at - since).max(0.0)),
                Wait::Seek => self.lived.seeks_s.push((at - since).max(0.0)),
                Wait::Stall => self.lived.stalled_s += (at - now).max(0.0),
            }
            self.state = State::Playing;
        }
        if self.state != State::Playing {
            return;
        }
        let can = self.ahead_s().min(left);
        let playing = (self.position / self.chunk_s) as u32;
        self.position += can;
        for chunk in playing..=((self.position / self.chunk_s) as u32).min(self.chunks - 1) {
            let (word, bit) = ((chunk / 64) as usize, 1 << (chunk % 64));
            if self.fresh[word] & bit != 0 {
                self.fresh[word] &= !bit;
                self.lived.useful_s += self.chunk_s;
            }
        }
        self.watched_s += can;
        self.lived.played_s += can;
        if can < left && !self.at_end() {
            self.lived.stalls += 1;
            self.lived.stalled_s += left - can;
            self.state = State::Waiting(now + dt - (left - can), Wait::Stall);
        }
    }

    pub(super) fn has_finished(&self, film_s: f64) -> bool {
        self.position >= film_s - 0.01 || self.watched_s >= self.drawn.watches_s
    }

    pub(super) fn link_to(&self, peer: u32) -> Option<usize> {
        self.links.iter().position(|link| link.peer == peer)
    }
}
