//! The address book of one torrent: which peers are known, and which to dial next. Pure.
//!
//! How soon an address is tried again depends on the need: with few peers that help, those that gave us something before are tried
//! every few seconds, so that the only seed of a film is used as soon as it is back.

use super::Origin;
use super::bans::Bans;
use crate::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;

/// More addresses than this are not kept: a swarm that large has better ones soon.
const MAX_KNOWN: usize = 2_000;
/// Half-open dials at once. All candidates of a film's start fit; a list of thousands does not flood a home router.
const MAX_DIALS: usize = 60;
/// Addresses of our own that are remembered; who has more of them dials one twice.
const MAX_OWN: usize = 64;
/// The first retry comes after so long, each further one after twice that.
const RETRY_S: f64 = 4.0;
const RETRY_MAX_S: f64 = 600.0;
/// An address that never answered is dropped after so many tries, unless the user named it.
const MAX_FAILURES: u32 = 8;
/// Shortest time between two tries of an address that helped before, while few help, seconds.
const SOON_S: f64 = 3.0;
/// Longest, seconds.
const SOON_MAX_S: f64 = 60.0;
/// In between it is this part of the time since the address last helped: its return is noticed after so small a part of its absence.
const SOON_PART: f64 = 1.0 / 30.0;
/// Addresses that are tried so often at once: those that helped last.
const MAX_SOON: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Dialing,
    Connected,
}

#[derive(Debug)]
struct Entry {
    origin: Origin,
    state: State,
    failures: u32,
    answered: bool,
    /// It shook hands and left at once: it may not like what else we say first.
    curt: bool,
    next_try: Time,
    ended: Time,
    /// When it last helped; the user says of an address that it will.
    helped: Option<Time>,
    /// It lacked nothing when neither did we.
    seed: bool,
}

/// A dial to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dial {
    /// The address.
    pub addr: SocketAddr,
    /// How it came to be known.
    pub origin: Origin,
    /// Say nothing but the handshake until the peer has answered.
    pub patient: bool,
}

/// How badly peers are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Need {
    /// We have all: peers that have all too are not wanted.
    Nothing,
    /// As ever.
    #[default]
    Some,
    /// Something is missing and few peers help.
    Much,
}

/// How a dial or a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// There was no connection, or nothing came of it.
    Failed,
    /// It gave us something before it went.
    Helped,
    /// Trying soon again makes no sense.
    Fault,
    /// Both of us have all.
    BothComplete,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub struct AddressBook {
    /// The addresses that are refused.
    pub bans: Bans,
    known: BTreeMap<SocketAddr, Entry>,
    /// Ways that lead to ourselves: trackers and peers tell us of those too.
    ourselves: BTreeSet<SocketAddr>,
    dialing: usize,
    need: Need,
    /// Only trackers and the user name peers (BEP 27).
    private: bool,
    /// Which of equals are dialled first: who all went by the address would all meet at the same few.
    salt: u64,
}

/// A number that says nothing but which of two comes first.
fn lot(salt: u64, addr: SocketAddr) -> u64 {
    let mut hasher = DefaultHasher::new();
    (salt, addr).hash(&mut hasher);
    hasher.finish()
}

/// Whether a private torrent's peer may have come to be known so.
fn is_fit_for_private(origin: Origin) -> bool {
    matches!(origin, Origin::Tracker | Origin::Given)
}

impl Entry {
    fn new(origin: Origin) -> Entry {
        Entry {
            origin,
            state: State::Idle,
            failures: 0,
            answered: false,
            curt: false,
            next_try: Time::ZERO,
            ended: Time::ZERO,
            helped: (origin == Origin::Given).then_some(Time::ZERO),
            seed: false,
        }
    }

    /// Whether it may be tried before its turn: it helped before.
    fn is_due_soon(&self, now: Time) -> bool {
        self.helped.is_some_and(|helped| {
            let gap_s = (now.since(helped).as_secs_f64() * SOON_PART).clamp(SOON_S, SOON_MAX_S);
            now >= self.ended.plus_secs(gap_s)
        })
    }
}

impl AddressBook {
    /// An empty book. Those with different salts dial equals in different orders.
    pub fn new(salt: u64) -> AddressBook {
        AddressBook { salt, ..AddressBook::default() }
    }

    /// Notes an address; false where it was known or is not wanted.
    pub fn add(&mut self, addr: SocketAddr, origin: Origin) -> bool {
        if self.ourselves.contains(&addr) || (self.private && !is_fit_for_private(origin)) {
            return false;
        }
        if let Some(known) = self.known.get_mut(&addr) {
            // What a tracker or the user named stays if the torrent turns out to be private, whoever named it before.
            if is_fit_for_private(origin) && !is_fit_for_private(known.origin) {
                known.origin = origin;
            }
            return false;
        }
        if self.known.len() >= MAX_KNOWN && !self.make_room() {
            return false;
        }
        self.known.insert(addr, Entry::new(origin));
        true
    }

    /// Drops the address that failed most often; false where each may still be good.
    fn make_room(&mut self) -> bool {
        let worst = self
            .known
            .iter()
            .filter(|(_, e)| e.state == State::Idle && e.failures > 0)
            .max_by_key(|(_, e)| (e.helped.is_none(), e.failures))
            .map(|(addr, _)| *addr);
        worst.is_some_and(|addr| self.known.remove(&addr).is_some())
    }

    /// How badly peers are wanted from now on.
    pub fn set_need(&mut self, need: Need) {
        self.need = need;
    }

    /// The torrent turned out to be private (BEP 27): what others than trackers and the user named is forgotten.
    pub fn make_private(&mut self) {
        self.private = true;
        self.known.retain(|_, e| e.state != State::Idle || is_fit_for_private(e.origin));
    }

    /// Whether a peer may stay in a private torrent: a tracker or the user named its address. `any_port`: for a peer that came to
    /// us, from some port of its own.
    pub fn is_named_for_private(&self, addr: SocketAddr, any_port: bool) -> bool {
        let named = |(known, e): (&SocketAddr, &Entry)| {
            is_fit_for_private(e.origin) && (*known == addr || (any_port && known.ip() == addr.ip()))
        };
        self.known.iter().any(named)
    }

    /// The addresses to dial now, so that at most `room` more connections come of it.
    pub fn dial(&mut self, now: Time, room: usize) -> Vec<Dial> {
        let n = room.saturating_sub(self.dialing).min(MAX_DIALS.saturating_sub(self.dialing));
        if n == 0 {
            return Vec::new();
        }
        let (need, salt, bans, private) = (self.need, self.salt, &self.bans, self.private);
        let candidates = self.known.iter_mut().filter(|(addr, e)| {
            e.state == State::Idle
                && !(e.seed && need == Need::Nothing)
                && !(private && !is_fit_for_private(e.origin) && e.origin != Origin::Incoming)
                && !bans.is_banned(**addr, now)
        });
        let (mut due, mut others): (Vec<_>, Vec<_>) = candidates.partition(|(_, e)| e.next_try <= now);
        if need == Need::Much {
            others.retain(|(_, e)| e.is_due_soon(now));
            others.sort_by_key(|(_, e)| std::cmp::Reverse(e.helped));
            due.extend(others.into_iter().take(MAX_SOON));
        }
        // Those that once answered first, then those that failed least.
        due.sort_by_cached_key(|(addr, e)| (!e.answered, e.failures, lot(salt, **addr)));
        let mut dialed = Vec::new();
        for (addr, entry) in due.into_iter().take(n) {
            entry.state = State::Dialing;
            dialed.push(Dial { addr: *addr, origin: entry.origin, patient: entry.curt });
        }
        self.dialing += dialed.len();
        dialed
    }

    /// How many are being dialled.
    pub fn dialling(&self) -> usize {
        self.dialing
    }

    /// Addresses that wait for nothing but a place.
    pub fn due(&self, now: Time) -> impl Iterator<Item = SocketAddr> + '_ {
        let due =
            move |e: &Entry| e.state == State::Idle && e.next_try <= now && !(e.seed && self.need == Need::Nothing);
        self.known.iter().filter(move |(addr, e)| due(e) && !self.bans.is_banned(**addr, now)).map(|(addr, _)| *addr)
    }

    /// When some address may be dialled next.
    #[cfg(test)]
    pub fn next_try(&self) -> Option<Time> {
        self.known.values().filter(|e| e.state == State::Idle).map(|e| e.next_try).min()
    }

    /// Dials one address now, whatever room there is; `None` where that makes no sense: it is banned, being dialled or connected, or
    /// it failed and its next turn has not come.
    pub fn dial_one(&mut self, addr: SocketAddr, origin: Origin, now: Time) -> Option<Dial> {
        self.add(addr, origin);
        if self.bans.is_banned(addr, now) {
            return None;
        }
        let entry = self.known.get_mut(&addr).filter(|e| e.state == State::Idle && e.next_try <= now)?;
        entry.state = State::Dialing;
        self.dialing += 1;
        Some(Dial { addr, origin, patient: entry.curt })
    }

    /// Whether this way leads to ourselves.
    pub fn is_ourselves(&self, addr: SocketAddr) -> bool {
        self.ourselves.contains(&addr)
    }

    /// The connection is there. For one that came in, `addr` is where that peer listens, if it said so. Also for a further way to
    /// a peer that is connected: it is not dialled until that connection has ended.
    pub fn connected(&mut self, addr: SocketAddr, origin: Origin) {
        self.add(addr, origin);
        if let Some(e) = self.known.get_mut(&addr) {
            if e.state == State::Dialing {
                self.dialing -= 1;
            }
            (e.state, e.answered, e.failures) = (State::Connected, true, 0);
        }
    }

    /// It left right after the handshake: the next dial says nothing but that first.
    pub fn was_curt(&mut self, addr: SocketAddr) {
        if let Some(e) = self.known.get_mut(&addr) {
            e.curt = !e.curt;
        }
    }

    /// The dial failed, or the connection ended.
    pub fn ended(&mut self, addr: SocketAddr, now: Time, end: End) {
        let Some(e) = self.known.get_mut(&addr) else { return };
        if e.state == State::Dialing {
            self.dialing -= 1;
        }
        let was_connected = e.state == State::Connected;
        e.state = State::Idle;
        e.ended = now;
        e.failures += 1;
        match end {
            End::Helped => e.helped = Some(now),
            End::Fault => e.helped = None,
            End::BothComplete => e.seed = true,
            End::Failed => {}
        }
        // Whoever left without having given anything has no more to give for now.
        let late = end == End::Fault || (was_connected && end == End::Failed);
        let steps = f64::from(e.failures.min(10) - 1) + if late { 3.0 } else { 0.0 };
        e.next_try = now.plus_secs((RETRY_S * 2f64.powf(steps)).min(RETRY_MAX_S));
        if e.failures > MAX_FAILURES && !e.answered && e.origin != Origin::Given {
            self.known.remove(&addr);
        }
    }

    /// The dial reached ourselves: that address is not dialled again.
    pub fn is_us(&mut self, addr: SocketAddr) {
        self.forget(addr);
        if self.ourselves.len() < MAX_OWN {
            self.ourselves.insert(addr);
        }
    }

    /// Forgets an address until somebody names it again.
    pub fn forget(&mut self, addr: SocketAddr) {
        if self.known.remove(&addr).is_some_and(|e| e.state == State::Dialing) {
            self.dialing -= 1;
        }
    }

    /// Known and not connected.
    pub fn idle(&self) -> usize {
        self.known.values().filter(|e| e.state != State::Connected).count()
    }

    /// Every address that is or was once connected, or was given by hand: worth handing on.
    pub fn worthy(&self) -> Vec<SocketAddr> {
        self.known.iter().filter(|(_, e)| e.answered || e.origin == Origin::Given).map(|(a, _)| *a).collect()
    }

    /// Tries everything that waits for its next turn at once (a seek after a long pause, a network that came back).
    pub fn hurry(&mut self, now: Time) {
        for e in self.known.values_mut().filter(|e| e.state == State::Idle && e.failures < 3) {
            e.next_try = e.next_try.min(now);
        }
    }
}

#[cfg(test)]
mod tests;
