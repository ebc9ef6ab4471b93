//! The address book of one torrent: which peers are known, which to dial next, which never again. Pure.

use crate::discovery::Origin;
use playswarm_logic::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, SocketAddr};

/// More addresses than this are not kept: a swarm that large has better ones soon.
const MAX_KNOWN: usize = 2_000;
/// Half-open dials at once. All candidates of a film's start fit; a list of thousands does not flood a home router.
const MAX_DIALS: usize = 60;
/// Addresses of our own that are remembered; who has more of them dials one twice.
const MAX_OWN: usize = 64;
/// The first retry comes after so long, each further one after twice that.
const RETRY_S: f64 = 4.0;
const RETRY_MAX_S: f64 = 600.0;
/// An address that never answered is dropped after so many tries.
const MAX_FAILURES: u32 = 8;

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
}

/// A dial to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dial {
    pub(crate) addr: SocketAddr,
    pub(crate) origin: Origin,
    /// Say nothing but the handshake until the peer has answered.
    pub(crate) patient: bool,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Book {
    known: BTreeMap<SocketAddr, Entry>,
    banned: BTreeSet<IpAddr>,
    /// Loopback peers share an address, so there the port is part of the name.
    banned_local: BTreeSet<SocketAddr>,
    /// Ways that lead to ourselves: trackers and peers tell us of those too.
    ourselves: BTreeSet<SocketAddr>,
    dialing: usize,
    /// Which of equals are dialled first: who all went by the address would all meet at the same few.
    salt: u64,
}

/// A number that says nothing but which of two comes first.
fn lot(salt: u64, addr: SocketAddr) -> u64 {
    let mut hasher = DefaultHasher::new();
    (salt, addr).hash(&mut hasher);
    hasher.finish()
}

impl Book {
    /// An empty book. Those with different salts dial equals in different orders.
    pub(crate) fn new(salt: u64) -> Book {
        Book { salt, ..Book::default() }
    }

    /// Notes an address; false where it was known or is not wanted.
    pub(crate) fn add(&mut self, addr: SocketAddr, origin: Origin) -> bool {
        if self.is_banned(addr) || self.ourselves.contains(&addr) || self.known.contains_key(&addr) {
            return false;
        }
        if self.known.len() >= MAX_KNOWN && !self.make_room() {
            return false;
        }
        let entry =
            Entry { origin, state: State::Idle, failures: 0, answered: false, curt: false, next_try: Time::ZERO };
        self.known.insert(addr, entry);
        true
    }

    /// Drops the address that failed most often; false where each may still be good.
    fn make_room(&mut self) -> bool {
        let worst = self
            .known
            .iter()
            .filter(|(_, e)| e.state == State::Idle && e.failures > 0)
            .max_by_key(|(_, e)| e.failures)
            .map(|(addr, _)| *addr);
        worst.is_some_and(|addr| self.known.remove(&addr).is_some())
    }

    /// The addresses to dial now, so that at most `room` more connections come of it.
    pub(crate) fn dial(&mut self, now: Time, room: usize) -> Vec<Dial> {
        let n = room.saturating_sub(self.dialing).min(MAX_DIALS.saturating_sub(self.dialing));
        if n == 0 {
            return Vec::new();
        }
        let mut due: Vec<_> =
            self.known.iter_mut().filter(|(_, e)| e.state == State::Idle && e.next_try <= now).collect();
        // Those that once answered first, then those that failed least.
        let salt = self.salt;
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
    pub(crate) fn dialling(&self) -> usize {
        self.dialing
    }

    /// When some address may be dialled next.
    #[cfg(test)]
    pub(crate) fn next_try(&self) -> Option<Time> {
        self.known.values().filter(|e| e.state == State::Idle).map(|e| e.next_try).min()
    }

    /// Dials one address now, whatever room there is; `None` where that makes no sense: it is banned, being dialled or connected, or
    /// it failed and its next turn has not come.
    pub(crate) fn dial_one(&mut self, addr: SocketAddr, origin: Origin, now: Time) -> Option<Dial> {
        self.add(addr, origin);
        let entry = self.known.get_mut(&addr).filter(|e| e.state == State::Idle && e.next_try <= now)?;
        entry.state = State::Dialing;
        self.dialing += 1;
        Some(Dial { addr, origin, patient: entry.curt })
    }

    /// Whether this way leads to ourselves.
    pub(crate) fn is_ourselves(&self, addr: SocketAddr) -> bool {
        self.ourselves.contains(&addr)
    }

    /// The connection is there. For one that came in, `addr` is where that peer listens, if it said so.
    pub(crate) fn connected(&mut self, addr: SocketAddr, origin: Origin) {
        self.add(addr, origin);
        if let Some(e) = self.known.get_mut(&addr) {
            if e.state == State::Dialing {
                self.dialing -= 1;
            }
            (e.state, e.answered, e.failures) = (State::Connected, true, 0);
        }
    }

    /// It left right after the handshake: the next dial says nothing but that first.
    pub(crate) fn was_curt(&mut self, addr: SocketAddr) {
        if let Some(e) = self.known.get_mut(&addr) {
            e.curt = !e.curt;
        }
    }

    /// The dial failed, or the connection ended. `fault` where trying soon again makes no sense.
    pub(crate) fn ended(&mut self, addr: SocketAddr, now: Time, fault: bool) {
        let Some(e) = self.known.get_mut(&addr) else { return };
        if e.state == State::Dialing {
            self.dialing -= 1;
        }
        e.state = State::Idle;
        e.failures += 1;
        let steps = f64::from(e.failures.min(10) - 1) + if fault { 3.0 } else { 0.0 };
        e.next_try = now.plus_secs((RETRY_S * 2f64.powf(steps)).min(RETRY_MAX_S));
        if e.failures > MAX_FAILURES && !e.answered {
            self.known.remove(&addr);
        }
    }

    /// The dial reached ourselves: that address is not dialled again.
    pub(crate) fn is_us(&mut self, addr: SocketAddr) {
        if self.known.remove(&addr).is_some_and(|e| e.state == State::Dialing) {
            self.dialing -= 1;
        }
        if self.ourselves.len() < MAX_OWN {
            self.ourselves.insert(addr);
        }
    }

    /// Nothing is said to this peer any more. True if it was not banned before.
    pub(crate) fn ban(&mut self, addr: SocketAddr) -> bool {
        if let Some(e) = self.known.remove(&addr)
            && e.state == State::Dialing
        {
            self.dialing -= 1;
        }
        if addr.ip().is_loopback() { self.banned_local.insert(addr) } else { self.banned.insert(addr.ip()) }
    }

    pub(crate) fn is_banned(&self, addr: SocketAddr) -> bool {
        self.banned.contains(&addr.ip()) || self.banned_local.contains(&addr)
    }

    pub(crate) fn banned(&self) -> usize {
        self.banned.len() + self.banned_local.len()
    }

    /// Known and not connected.
    pub(crate) fn idle(&self) -> usize {
        self.known.values().filter(|e| e.state != State::Connected).count()
    }

    /// Every address that is or was once connected, or was given by hand: worth handing on.
    pub(crate) fn worthy(&self) -> Vec<SocketAddr> {
        self.known.iter().filter(|(_, e)| e.answered || e.origin == Origin::Given).map(|(a, _)| *a).collect()
    }

    /// Tries everything that waits for its next turn at once (a seek after a long pause, a network that came back).
    pub(crate) fn hurry(&mut self, now: Time) {
        for e in self.known.values_mut().filter(|e| e.state == State::Idle && e.failures < 3) {
            e.next_try = e.next_try.min(now);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn addr(n: u8) -> SocketAddr {
        SocketAddr::new([10, 0, 0, n].into(), 6881)
    }

    #[test]
    fn all_candidates_are_dialled_at_once_as_far_as_there_is_room() {
        let mut book = Book::default();
        (1..=20).for_each(|n| assert!(book.add(addr(n), Origin::Tracker)));
        assert_eq!(book.dial(Time::ZERO, 15).len(), 15);
        assert_eq!(book.dial(Time::ZERO, 15).len(), 0);
        assert_eq!(book.dial(Time::ZERO, 80).len(), 5);
    }

    #[test]
    fn a_failed_dial_is_retried_later_and_later() {
        let mut book = Book::default();
        book.add(addr(1), Origin::Dht);
        let mut now = Time::ZERO;
        let mut gaps = Vec::new();
        for _ in 0..4 {
            assert_eq!(book.dial(now, 10).len(), 1);
            book.ended(addr(1), now, false);
            let next = book.next_try().unwrap();
            gaps.push((next - now).as_secs());
            assert!(book.dial(now, 10).is_empty());
            now = next;
        }
        assert_eq!(gaps, [4, 8, 16, 32]);
    }

    #[test]
    fn a_banned_peer_is_never_dialled_again() {
        let mut book = Book::default();
        book.add(addr(1), Origin::Pex);
        book.dial(Time::ZERO, 10);
        assert!(book.ban(addr(1)));
        assert!(!book.add(addr(1), Origin::Tracker));
        assert!(!book.add(SocketAddr::new(addr(1).ip(), 1), Origin::Tracker), "another port of the same host");
        assert_eq!((book.banned(), book.idle()), (1, 0));
    }

    #[test]
    fn our_own_address_is_dialled_once_whoever_names_it() {
        let mut book = Book::default();
        book.add(addr(1), Origin::Pex);
        assert_eq!(book.dial(Time::ZERO, 1).len(), 1);
        book.is_us(addr(1));
        assert!(!book.add(addr(1), Origin::Tracker));
        assert!(book.add(SocketAddr::new(addr(1).ip(), 1), Origin::Tracker), "another peer behind the same router");
        assert_eq!(book.dial(Time::ZERO, 1).len(), 1, "its place is free again");
    }

    #[test]
    fn the_book_is_bounded() {
        let mut book = Book::default();
        for n in 0..5000u32 {
            book.add(SocketAddr::new(std::net::Ipv4Addr::from(0x0b00_0000 + n).into(), 6881), Origin::Pex);
        }
        assert_eq!(book.idle(), MAX_KNOWN);
    }

    #[test]
    fn equals_are_dialled_in_another_order_by_everybody() {
        let order = |salt| {
            let mut book = Book::new(salt);
            (1..=50).for_each(|n| assert!(book.add(addr(n), Origin::Tracker)));
            book.dial(Time::ZERO, 50).into_iter().map(|dial| dial.addr).collect::<Vec<_>>()
        };
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
        assert_eq!(order(1).len(), 50);
    }
}
