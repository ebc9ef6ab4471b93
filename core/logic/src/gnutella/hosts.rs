//! The ultrapeers that are known: which to connect to next, and which to save.

use super::addresses::{may_use, network};
use crate::Time;
use crate::rng::Rng;
use playswarm_proto::address_class::AddressClass;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddrV4};
use std::time::Duration;

/// Most hosts that are known. The worst is forgotten for a new one.
pub const MAX_HOSTS: usize = 1000;
/// Most ports of one IP address: strangers must not make us try all ports of a machine.
const MAX_PORTS: usize = 4;
/// Most hosts that are saved.
pub const MAX_SAVED: usize = 100;
/// Time between two attempts at a host. It doubles with each failure.
const RETRY: Duration = Duration::from_secs(10 * 60);
/// Most doublings of [`RETRY`]: about ten hours.
const MAX_DOUBLINGS: u32 = 6;

/// What is known of a host.
#[derive(Clone, Debug, Default)]
struct Host {
    /// Time of the last success in this session.
    worked: Option<Time>,
    /// Place among the hosts of an earlier session, of which the first is the best.
    saved: Option<Reverse<usize>>,
    /// Earliest time of the next attempt.
    due: Time,
    failures: u32,
    /// Whether its pong names free slots for leaves.
    has_slots: bool,
}

impl Host {
    /// Key of the order in which hosts are tried: the greatest first.
    fn rank(&self) -> (bool, Option<Reverse<usize>>, bool, Reverse<u32>) {
        let saved = self.saved.filter(|_| self.failures == 0);
        (self.worked.is_some(), saved, self.has_slots, Reverse(self.failures))
    }

    /// Whether the host is saved. One that was of use may fail once.
    fn is_saved(&self) -> bool {
        self.failures <= u32::from(self.worked.is_some() || self.saved.is_some())
    }
}

/// The host cache.
#[derive(Clone, Debug, Default)]
pub(super) struct Hosts {
    hosts: BTreeMap<SocketAddrV4, Host>,
    changed: bool,
}

impl Hosts {
    /// Creates a cache with the hosts of an earlier session, the best first.
    pub(super) fn new(saved: &[SocketAddrV4]) -> Hosts {
        let host = |place: usize| Host { saved: Some(Reverse(place)), ..Host::default() };
        let acceptable = |address: &&SocketAddrV4| may_use((**address).into(), AddressClass::Loopback, None);
        let hosts = saved.iter().filter(acceptable).take(MAX_SAVED).enumerate();
        let hosts = hosts.map(|(place, address)| (*address, host(place))).collect();
        Hosts { hosts, changed: false }
    }

    /// Number of hosts that are known.
    pub(super) fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Adds a host. Returns whether it is known then.
    pub(super) fn add(&mut self, address: SocketAddrV4, has_slots: bool) -> bool {
        if let Some(host) = self.hosts.get_mut(&address) {
            host.has_slots |= has_slots;
            return true;
        }
        let [first, last] = [0, u16::MAX].map(|port| SocketAddrV4::new(*address.ip(), port));
        if self.hosts.range(first..=last).count() >= MAX_PORTS {
            return false;
        }
        if self.hosts.len() >= MAX_HOSTS {
            let worst = self.hosts.iter().min_by_key(|(_, host)| host.rank()).map(|(address, _)| *address);
            worst.and_then(|address| self.hosts.remove(&address));
        }
        self.hosts.insert(address, Host { has_slots, ..Host::default() });
        true
    }

    /// Takes the host to try next: not in one of these networks if another is there.
    pub(super) fn take(&mut self, now: Time, networks: &[IpAddr], rng: &mut Rng) -> Option<SocketAddrV4> {
        let due = self.hosts.iter().filter(|(_, host)| host.due <= now);
        let key = |address: SocketAddrV4, host: &Host, rng: &mut Rng| {
            (!networks.contains(&network((*address.ip()).into())), host.rank(), rng.next_u64())
        };
        let best = due.map(|(address, host)| (key(*address, host, rng), *address)).max()?.1;
        if let Some(host) = self.hosts.get_mut(&best) {
            host.due = now + RETRY;
        }
        Some(best)
    }

    /// Returns when the next host may be tried; [`Time::NEVER`] if there is none.
    pub(super) fn next_due(&self) -> Time {
        self.hosts.values().map(|host| host.due).min().unwrap_or(Time::NEVER)
    }

    /// Notes that a host accepted us.
    pub(super) fn worked(&mut self, address: SocketAddrV4, now: Time) {
        if let Some(host) = self.hosts.get_mut(&address) {
            (host.worked, host.failures) = (Some(now), 0);
            self.changed = true;
        }
    }

    /// Notes that a host failed or refused us, and for how long it bans us.
    pub(super) fn failed(&mut self, address: SocketAddrV4, now: Time, banned: Duration) {
        if let Some(host) = self.hosts.get_mut(&address) {
            let pause = RETRY * (1 << host.failures.min(MAX_DOUBLINGS));
            host.failures = host.failures.saturating_add(1);
            (host.due, host.has_slots) = (now + pause.max(banned), false);
        }
    }

    /// Forgets a host that misbehaved. It comes back only if another names it.
    pub(super) fn forget(&mut self, address: SocketAddrV4) {
        self.changed |= self.hosts.remove(&address).is_some_and(|host| host.worked.is_some());
    }

    /// Returns the hosts to save, the best first.
    pub(super) fn saved(&self) -> Vec<SocketAddrV4> {
        let mut known: Vec<_> = self.hosts.iter().filter(|(_, host)| host.is_saved()).collect();
        known.sort_by_key(|(_, host)| Reverse((host.worked, host.saved, host.has_slots)));
        known.into_iter().take(MAX_SAVED).map(|(address, _)| *address).collect()
    }

    /// Whether what is saved has changed since the last call.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }
}
