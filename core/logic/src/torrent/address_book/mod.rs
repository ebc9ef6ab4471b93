//! The address book of one torrent: the known addresses, their sources, and the order in which to
//! dial them. Pure.
//!
//! Sources are not trusted. An address is kept only if its source may name it: no address that is
//! more local than the source, no port of another service, few ports of one address
//! ([`AddressBook::take`]). No origin fills the book alone.
//!
//! The delay before a retry depends on the need for peers. While few peers help, addresses that
//! helped before are retried every few seconds. The only seed of a film is therefore used as soon
//! as it returns.

mod ports;

use super::Origin;
use super::bans::Bans;
use crate::Time;
use playswarm_proto::AddressClass;
use playswarm_proto::address_class::{is_acceptable, is_ours};
use ports::PortCount;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Most addresses kept. A swarm that large soon offers better ones.
const MAX_KNOWN: usize = 2_000;
/// Most addresses of one untrusted origin, so that a hostile one (a tracker, a DHT node) cannot
/// displace the rest.
const MAX_OF_ORIGIN: usize = 1_000;
/// Time without a mention after which an address makes room for another.
const STALE_AFTER: Duration = Duration::from_secs(30 * 60);
/// Time after an unsuccessful search for room in which further addresses are refused unseen.
const FULL_FOR: Duration = Duration::from_secs(1);
/// Most dials in progress at once. All candidates at the start of a film fit, and a list of
/// thousands does not flood a home router.
const MAX_DIALS: usize = 60;
/// Most addresses of our own that are remembered. With more of them, one is dialled a second time.
const MAX_OWN: usize = 64;
/// Delay before the first retry, seconds. Each further delay is twice as long.
const RETRY_S: f64 = 4.0;
const RETRY_MAX_S: f64 = 600.0;
/// Failures in a row after which an address that never answered is dropped, unless the user named
/// it.
const MAX_FAILURES: u32 = 8;
/// Shortest time between two dials of an address that helped before, while few peers help, seconds.
const SOON_S: f64 = 3.0;
/// Longest time between two dials of an address that helped before, while few peers help, seconds.
const SOON_MAX_S: f64 = 60.0;
/// Delay before such a dial, as a fraction of the time since the address last helped. The return of
/// a peer is thus noticed after a small fraction of its absence.
const SOON_PART: f64 = 1.0 / 30.0;
/// Most addresses retried at this rate at once: those that helped last.
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
    /// When a source last named it.
    named: Time,
    state: State,
    failures: u32,
    answered: bool,
    /// Whether the peer closed the connection right after the handshake. It may reject the messages
    /// that follow ours.
    curt: bool,
    next_try: Time,
    ended: Time,
    /// When the peer last helped. An address that the user named counts as having helped.
    helped: Option<Time>,
    /// Whether the peer lacked nothing when we lacked nothing either.
    seed: bool,
}

/// A statement of an untrusted source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A peer may be at an address.
    Peer {
        /// The address.
        addr: SocketAddr,
        /// The source.
        origin: Origin,
        /// Class of the source's own address, which limits the addresses that it may name.
        by: AddressClass,
    },
    /// Our external address, as the source sees it. It is only used to avoid dialling ourselves.
    OwnIp(IpAddr),
}

/// A dial to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dial {
    /// The address.
    pub addr: SocketAddr,
    /// The source of the address.
    pub origin: Origin,
    /// Whether to send only the handshake until the peer has answered.
    pub patient: bool,
}

/// The need for peers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Need {
    /// We have every piece: other seeds are not wanted.
    Nothing,
    /// The usual need.
    #[default]
    Some,
    /// Pieces are missing and few peers help.
    Much,
}

/// The end of a dial or of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The dial failed, or the peer sent nothing useful.
    Failed,
    /// The peer sent useful data before the connection ended.
    Helped,
    /// The peer is at fault: an early retry is useless.
    Fault,
    /// Both sides have every piece.
    BothComplete,
}

/// An address book; see the [module](self).
#[derive(Debug, Default)]
pub struct AddressBook {
    /// The banned addresses.
    pub bans: Bans,
    known: BTreeMap<SocketAddr, Entry>,
    /// Addresses that lead to ourselves. Trackers and peers name those too.
    ourselves: BTreeSet<SocketAddr>,
    /// Our listening address, and our external addresses, one of each family.
    listen: Option<SocketAddr>,
    external: [Option<IpAddr>; 2],
    /// Ports that untrusted sources named.
    ports: PortCount,
    /// Until when a full book takes no further addresses.
    full_until: Time,
    dialing: usize,
    /// No address is due before this time, so [`AddressBook::dial`] need not look through them.
    /// Does not hold while the need is [`Need::Much`].
    next_due: Time,
    need: Need,
    /// Whether the torrent is private: only trackers and the user may name peers (BEP 27).
    private: bool,
    /// Random key that breaks ties between addresses, so that clients do not all dial the same
    /// peers.
    salt: u64,
}

/// Returns a number that orders addresses of equal rank.
fn lot(salt: u64, addr: SocketAddr) -> u64 {
    let mut hasher = DefaultHasher::new();
    (salt, addr).hash(&mut hasher);
    hasher.finish()
}

/// Returns whether a private torrent accepts peers from this source.
fn is_fit_for_private(origin: Origin) -> bool {
    matches!(origin, Origin::Tracker | Origin::Given)
}

impl Entry {
    fn new(origin: Origin, named: Time) -> Entry {
        Entry {
            origin,
            named,
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

    /// Returns whether the address may be dialled early because it helped before.
    fn is_due_soon(&self, now: Time) -> bool {
        self.helped.is_some_and(|helped| {
            let gap_s = (now.since(helped).as_secs_f64() * SOON_PART).clamp(SOON_S, SOON_MAX_S);
            now >= self.ended.plus_secs(gap_s)
        })
    }
}

impl AddressBook {
    /// Creates an empty book of a client that listens at `listen`. Books with different salts break
    /// ties differently.
    pub fn new(salt: u64, listen: SocketAddr) -> AddressBook {
        AddressBook { salt, listen: Some(listen), ..AddressBook::default() }
    }

    /// Handles a statement of an untrusted source. Returns whether it added an address.
    pub fn take(&mut self, now: Time, finding: Finding) -> bool {
        let (addr, origin, by) = match finding {
            Finding::Peer { addr, origin, by } => (addr, origin, by),
            Finding::OwnIp(ip) => {
                let ip = ip.to_canonical();
                self.external[usize::from(ip.is_ipv6())] = Some(ip);
                return false;
            }
        };
        let addr = SocketAddr::new(addr.ip().to_canonical(), addr.port());
        if !self.may_be_named(now, addr, by) {
            return false;
        }
        if !self.known.contains_key(&addr) && self.known.len() >= MAX_OF_ORIGIN {
            let full = self.known.values().filter(|e| e.origin == origin).count() >= MAX_OF_ORIGIN;
            if full && (now < self.full_until || !self.make_room(now, Some(origin))) {
                self.full_until = self.full_until.max(now + FULL_FOR);
                return false;
            }
        }
        let added = self.add(now, addr, origin);
        if let Some(e) = self.known.get_mut(&addr) {
            e.named = now;
        }
        added
    }

    /// Returns whether a source at an address of class `by` may name this address as a peer's. Few
    /// ports of one address may be named.
    pub fn may_be_named(&mut self, now: Time, addr: SocketAddr, by: AddressClass) -> bool {
        let external = |ip: &Option<IpAddr>| *ip == Some(addr.ip());
        let ours = self.listen.is_some_and(|listen| {
            is_ours(addr, listen) || (addr.port() == listen.port() && self.external.iter().any(external))
        });
        is_acceptable(addr, by) && !ours && self.ports.admit(now, addr)
    }

    /// Adds an address from a trusted source, or one that was connected. Returns false if it was
    /// known or is not wanted.
    pub fn add(&mut self, now: Time, addr: SocketAddr, origin: Origin) -> bool {
        if self.ourselves.contains(&addr) || (self.private && !is_fit_for_private(origin)) {
            return false;
        }
        if let Some(known) = self.known.get_mut(&addr) {
            // An address that a tracker or the user named stays if the torrent turns out to be
            // private, even if another source named it first.
            if is_fit_for_private(origin) && !is_fit_for_private(known.origin) {
                known.origin = origin;
                self.next_due = Time::ZERO;
            }
            return false;
        }
        if self.known.len() >= MAX_KNOWN && !self.make_room(now, None) {
            return false;
        }
        self.known.insert(addr, Entry::new(origin, now));
        self.next_due = Time::ZERO;
        true
    }

    /// Drops the address, of this origin if any, that failed most often, or that was not named for
    /// longest. Returns false if every address may still be good.
    fn make_room(&mut self, now: Time, of: Option<Origin>) -> bool {
        let is_poor = |e: &Entry| {
            let stale = e.origin != Origin::Given && now.since(e.named.max(e.ended)) >= STALE_AFTER;
            e.state == State::Idle && (e.failures > 0 || stale) && of.is_none_or(|of| e.origin == of)
        };
        let worst = self
            .known
            .iter()
            .filter(|(_, e)| is_poor(e))
            .max_by_key(|(_, e)| (e.helped.is_none(), e.failures, std::cmp::Reverse(e.named)))
            .map(|(addr, _)| *addr);
        worst.is_some_and(|addr| self.known.remove(&addr).is_some())
    }

    /// Sets the need for peers.
    pub fn set_need(&mut self, need: Need) {
        if need != self.need {
            (self.need, self.next_due) = (need, Time::ZERO);
        }
    }

    /// Marks the torrent as private (BEP 27). Addresses from sources other than trackers and the
    /// user are forgotten.
    pub fn make_private(&mut self) {
        self.private = true;
        self.known.retain(|_, e| e.state != State::Idle || is_fit_for_private(e.origin));
    }

    /// Returns whether a peer may stay in a private torrent: a tracker or the user named its
    /// address. `any_port` is for incoming connections, which use an arbitrary port.
    pub fn is_named_for_private(&self, addr: SocketAddr, any_port: bool) -> bool {
        let named = |(known, e): (&SocketAddr, &Entry)| {
            is_fit_for_private(e.origin) && (*known == addr || (any_port && known.ip() == addr.ip()))
        };
        self.known.iter().any(named)
    }

    /// Returns the addresses to dial now, for at most `room` more connections.
    pub fn dial(&mut self, now: Time, room: usize) -> Vec<Dial> {
        let n = room.saturating_sub(self.dialing).min(MAX_DIALS.saturating_sub(self.dialing));
        if n == 0 || (now < self.next_due && self.need != Need::Much) {
            return Vec::new();
        }
        let (need, salt, bans, private) = (self.need, self.salt, &self.bans, self.private);
        let candidates = self.known.iter_mut().filter(|(_, e)| {
            e.state == State::Idle
                && !(e.seed && need == Need::Nothing)
                && !(private && !is_fit_for_private(e.origin) && e.origin != Origin::Incoming)
        });
        let (mut due, mut others): (Vec<_>, Vec<_>) = candidates.partition(|(_, e)| e.next_try <= now);
        let mut next_due = others.iter().map(|(_, e)| e.next_try).min().unwrap_or(Time::NEVER);
        let all_due = due.len();
        due.retain(|(addr, _)| !bans.is_banned(**addr, now));
        if due.len() < all_due {
            // A ban may end.
            next_due = next_due.min(now.plus_secs(RETRY_S));
        }
        self.next_due = if due.len() > n { Time::ZERO } else { next_due };
        if need == Need::Much {
            others.retain(|(addr, e)| e.is_due_soon(now) && !bans.is_banned(**addr, now));
            others.sort_by_key(|(_, e)| std::cmp::Reverse(e.helped));
            due.extend(others.into_iter().take(MAX_SOON));
        }
        // Addresses that once answered come first, then those with the fewest failures.
        due.sort_by_cached_key(|(addr, e)| (!e.answered, e.failures, lot(salt, **addr)));
        let mut dialed = Vec::new();
        for (addr, entry) in due.into_iter().take(n) {
            entry.state = State::Dialing;
            dialed.push(Dial { addr: *addr, origin: entry.origin, patient: entry.curt });
        }
        self.dialing += dialed.len();
        dialed
    }

    /// Returns the number of dials in progress.
    pub fn dialling(&self) -> usize {
        self.dialing
    }

    /// Returns the addresses that are due and only wait for a free connection slot.
    pub fn due(&self, now: Time) -> impl Iterator<Item = SocketAddr> + '_ {
        let due =
            move |e: &Entry| e.state == State::Idle && e.next_try <= now && !(e.seed && self.need == Need::Nothing);
        self.known.iter().filter(move |(addr, e)| due(e) && !self.bans.is_banned(**addr, now)).map(|(addr, _)| *addr)
    }

    /// Returns when the next address may be dialled.
    #[cfg(test)]
    pub fn next_try(&self) -> Option<Time> {
        self.known.values().filter(|e| e.state == State::Idle).map(|e| e.next_try).min()
    }

    /// Dials one address now, regardless of free connection slots. Returns `None` if the address is
    /// banned, being dialled or connected, if it failed and its retry is not due, or if too many
    /// ports of it were named.
    pub fn dial_one(&mut self, addr: SocketAddr, origin: Origin, now: Time) -> Option<Dial> {
        if !self.ports.admit(now, addr) || self.bans.is_banned(addr, now) {
            return None;
        }
        self.add(now, addr, origin);
        let entry = self.known.get_mut(&addr).filter(|e| e.state == State::Idle && e.next_try <= now)?;
        entry.state = State::Dialing;
        self.dialing += 1;
        Some(Dial { addr, origin, patient: entry.curt })
    }

    /// Returns whether the address leads to ourselves.
    pub fn is_ourselves(&self, addr: SocketAddr) -> bool {
        self.ourselves.contains(&addr)
    }

    /// Notes that a connection is open. For an incoming one, `addr` is the listening address that
    /// the peer named, if any. It also applies to a further address of a connected peer, which is
    /// not dialled until that connection has ended.
    pub fn connected(&mut self, now: Time, addr: SocketAddr, origin: Origin) {
        self.add(now, addr, origin);
        if let Some(e) = self.known.get_mut(&addr) {
            if e.state == State::Dialing {
                self.dialing -= 1;
            }
            (e.state, e.answered, e.failures) = (State::Connected, true, 0);
        }
    }

    /// Notes that the peer left right after the handshake. The next dial sends only the handshake
    /// at first.
    pub fn was_curt(&mut self, addr: SocketAddr) {
        if let Some(e) = self.known.get_mut(&addr) {
            e.curt = !e.curt;
        }
    }

    /// Notes that the dial failed or the connection ended.
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
        // A peer that left without sending useful data has none for now.
        let late = end == End::Fault || (was_connected && end == End::Failed);
        let steps = f64::from(e.failures.min(10) - 1) + if late { 3.0 } else { 0.0 };
        e.next_try = now.plus_secs((RETRY_S * 2f64.powf(steps)).min(RETRY_MAX_S));
        self.next_due = self.next_due.min(e.next_try);
        if e.failures > MAX_FAILURES && !e.answered && e.origin != Origin::Given {
            self.known.remove(&addr);
        }
    }

    /// Notes that the dial reached ourselves. The address is not dialled again.
    pub fn is_us(&mut self, addr: SocketAddr) {
        self.forget(addr);
        if self.ourselves.len() < MAX_OWN {
            self.ourselves.insert(addr);
        }
    }

    /// Forgets an address until a source names it again.
    pub fn forget(&mut self, addr: SocketAddr) {
        if self.known.remove(&addr).is_some_and(|e| e.state == State::Dialing) {
            self.dialing -= 1;
        }
    }

    /// Returns all known addresses.
    pub fn known(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.known.keys().copied()
    }

    /// Returns the number of known addresses that are not connected.
    pub fn idle(&self) -> usize {
        self.known.values().filter(|e| e.state != State::Connected).count()
    }

    /// Returns the addresses worth sharing: each that was connected once or that the user named.
    pub fn worthy(&self) -> Vec<SocketAddr> {
        self.known.iter().filter(|(_, e)| e.answered || e.origin == Origin::Given).map(|(a, _)| *a).collect()
    }

    /// Makes every waiting address due now, after a seek following a long pause or when the network
    /// returns.
    pub fn hurry(&mut self, now: Time) {
        self.next_due = Time::ZERO;
        for e in self.known.values_mut().filter(|e| e.state == State::Idle && e.failures < 3) {
            e.next_try = e.next_try.min(now);
        }
    }
}

#[cfg(test)]
mod tests;
