//! Addresses returned by operations: which may be dialled, which comes next, and which have failed.
//!
//! All numbers are bounded, whatever the DHT returns.
//!
//! This is no second address book. It ranks the answers of lookups by their distance in the film,
//! forgets them after a seek, and knows whole networks of false viewers. Whether an address may be
//! dialled at all (bans, own addresses, ports, a connection that is open) is up to the torrent's
//! address book, which each [`Output::Dial`](super::Output::Dial) passes.

use super::Config;
use super::tuning::{FORGIVE_S, NETWORK_FAILURES, STALE_S};
use crate::Time;
use crate::rng::Rng;
use playswarm_proto::AddressClass;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// Most failed addresses remembered.
const MAX_FAILED: usize = 512;
/// Most networks remembered.
const MAX_NETWORKS: usize = 256;
/// Most addresses of our own remembered.
const MAX_OWN: usize = 16;

/// The network of an address: IPv4 /24, IPv6 /48. Local addresses have none, because neighbours
/// there do not imply one owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Network(u64);

pub(super) fn network(ip: IpAddr) -> Option<Network> {
    if AddressClass::of(ip).is_local() {
        return None;
    }
    Some(Network(match ip {
        IpAddr::V4(v4) => u64::from(u32::from(v4) >> 8),
        IpAddr::V6(v6) => (1 << 63) | u64::try_from(u128::from(v6) >> 80).unwrap_or(0),
    }))
}

/// Returns the address in the form in which it is dialled, or `None` if no peer can be there.
pub(super) fn sane(addr: SocketAddr, local: bool) -> Option<SocketAddr> {
    // An IPv4 address in IPv6 form is the same peer.
    let ip = addr.ip().to_canonical();
    let source = if local { AddressClass::Loopback } else { AddressClass::Global };
    let allowed = addr.port() != 0 && source.may_name(AddressClass::of(ip));
    allowed.then(|| SocketAddr::new(ip, addr.port()))
}

#[derive(Clone, Copy, Debug)]
struct Failed {
    until: Time,
    times: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Record {
    failures: u32,
    served: bool,
    until: Time,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    rank: u32,
    draw: u64,
    found: Time,
}

#[derive(Debug, Default)]
pub(super) struct Candidates {
    waiting: BTreeMap<SocketAddr, Waiting>,
    /// The same addresses in dial order.
    order: BTreeSet<(u32, u64, SocketAddr)>,
    failed: BTreeMap<SocketAddr, Failed>,
    networks: BTreeMap<Network, Record>,
    own: BTreeSet<SocketAddr>,
}

impl Candidates {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Adds an address of our own.
    pub(super) fn own(&mut self, addr: SocketAddr) {
        let addr = SocketAddr::new(addr.ip().to_canonical(), addr.port());
        if self.own.len() >= MAX_OWN {
            self.own.pop_first();
        }
        self.own.insert(addr);
        self.remove(addr);
    }

    /// Adds an address. Returns true if it is worth a dial and was not known.
    pub(super) fn add(&mut self, now: Time, config: &Config, rng: &mut Rng, addr: SocketAddr, rank: u32) -> bool {
        let Some(addr) = sane(addr, config.local_addresses) else { return false };
        if self.own.contains(&addr) || self.is_shunned(now, addr) {
            return false;
        }
        if let Some(known) = self.waiting.get(&addr).copied() {
            // Found again: it counts as fresh, and has the rank of the nearest slot that lists it.
            self.order.remove(&(known.rank, known.draw, addr));
            let again = Waiting { rank: known.rank.min(rank), found: now, ..known };
            self.order.insert((again.rank, again.draw, addr));
            self.waiting.insert(addr, again);
            return false;
        }
        let entry = Waiting { rank, draw: rng.next_u64(), found: now };
        self.waiting.insert(addr, entry);
        self.order.insert((entry.rank, entry.draw, addr));
        if self.waiting.len() > config.max_candidates {
            // The farthest address goes. Random draws break ties, so that the order within an
            // answer favours no address.
            if let Some((_, _, last)) = self.order.last().copied() {
                self.remove(last);
                return last != addr;
            }
        }
        true
    }

    fn is_shunned(&self, now: Time, addr: SocketAddr) -> bool {
        let failed = self.failed.get(&addr).is_some_and(|f| now < f.until);
        let record = network(addr.ip()).and_then(|net| self.networks.get(&net));
        failed || record.is_some_and(|r| !r.served && r.failures >= NETWORK_FAILURES && now < r.until)
    }

    fn remove(&mut self, addr: SocketAddr) {
        if let Some(entry) = self.waiting.remove(&addr) {
            self.order.remove(&(entry.rank, entry.draw, addr));
        }
    }

    /// Returns the next address to dial. `used` returns the number of parents and dials in a
    /// network.
    pub(super) fn next(&mut self, now: Time, config: &Config, used: impl Fn(Network) -> usize) -> Option<SocketAddr> {
        let mut gone = Vec::new();
        let mut next = None;
        for (_, _, addr) in &self.order {
            let stale = self.waiting.get(addr).is_none_or(|w| now >= w.found.plus_secs(STALE_S));
            if stale || self.is_shunned(now, *addr) {
                gone.push(*addr);
            } else if network(addr.ip()).is_none_or(|net| used(net) < config.per_network) {
                next = Some(*addr);
                break;
            }
        }
        gone.into_iter().chain(next).for_each(|addr| self.remove(addr));
        next
    }

    /// Forgets the waiting addresses after a seek, which made their distances meaningless. Failures
    /// stay.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.order.clear();
    }

    /// Notes that an address could not be reached, or that its peer did not serve.
    pub(super) fn fail(&mut self, now: Time, addr: SocketAddr) {
        let times = self.failed.get(&addr).map_or(0, |f| f.times);
        let wait = FORGIVE_S * f64::from(1u32 << times.min(3));
        bounded(&mut self.failed, MAX_FAILED, |f| f.until);
        self.failed.insert(addr, Failed { until: now.plus_secs(wait), times: times.saturating_add(1) });
        if let Some(net) = network(addr.ip()) {
            bounded(&mut self.networks, MAX_NETWORKS, |r| r.until);
            let record = self.networks.entry(net).or_default();
            record.failures = if now >= record.until { 1 } else { record.failures.saturating_add(1) };
            record.until = now.plus_secs(FORGIVE_S);
        }
    }

    /// Notes that a peer left, or is elsewhere in the film. The DHT's entry is outdated, without
    /// any fault.
    pub(super) fn rest(&mut self, now: Time, addr: SocketAddr) {
        bounded(&mut self.failed, MAX_FAILED, |f| f.until);
        self.failed.insert(addr, Failed { until: now.plus_secs(FORGIVE_S), times: 0 });
    }

    /// Bans an address for good.
    pub(super) fn ban(&mut self, addr: SocketAddr) {
        bounded(&mut self.failed, MAX_FAILED, |f| f.until);
        self.failed.insert(addr, Failed { until: Time::NEVER, times: u32::MAX });
        self.remove(addr);
    }

    /// Notes that a peer served: its network contains viewers.
    pub(super) fn served(&mut self, now: Time, addr: SocketAddr) {
        self.failed.remove(&addr);
        if let Some(net) = network(addr.ip()) {
            bounded(&mut self.networks, MAX_NETWORKS, |r| r.until);
            self.networks.insert(net, Record { failures: 0, served: true, until: now.plus_secs(FORGIVE_S * 8.0) });
        }
    }

    pub(super) fn check(&self, config: &Config) -> Result<(), String> {
        if self.waiting.len() != self.order.len() || self.waiting.len() > config.max_candidates {
            return Err(format!("{} addresses wait, {} in order", self.waiting.len(), self.order.len()));
        }
        if self.failed.len() > MAX_FAILED || self.networks.len() > MAX_NETWORKS || self.own.len() > MAX_OWN {
            return Err("more failures are remembered than are allowed".into());
        }
        match self.waiting.keys().find(|addr| self.own.contains(addr)) {
            Some(own) => Err(format!("our own address {own} waits to be dialled")),
            None => Ok(()),
        }
    }
}

/// Makes room for one more entry by removing the one that expires first.
fn bounded<K: Ord + Copy, V>(map: &mut BTreeMap<K, V>, most: usize, until: impl Fn(&V) -> Time) {
    if map.len() >= most
        && let Some(first) = map.iter().min_by_key(|(key, value)| (until(value), **key)).map(|(key, _)| *key)
    {
        map.remove(&first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn invalid_addresses_are_not_dialled() {
        for nonsense in [
            "0.0.0.0:6881",
            "8.8.8.8:0",
            "255.255.255.255:1",
            "224.0.0.1:6881",
            "240.1.2.3:5",
            "127.0.0.1:6881",
            "10.1.2.3:6881",
            "192.168.1.1:80",
            "100.64.0.9:6881",
            "169.254.1.1:6881",
            "[::]:6881",
            "[::1]:6881",
            "[ff02::1]:6881",
            "[fe80::1]:6881",
            "[fd00::1]:6881",
            "[::ffff:10.0.0.1]:6881",
        ] {
            assert_eq!(sane(addr(nonsense), false), None, "{nonsense}");
        }
        assert_eq!(sane(addr("[::ffff:8.8.8.8]:5"), false), Some(addr("8.8.8.8:5")));
        assert_eq!(sane(addr("[2a00::5]:5"), false), Some(addr("[2a00::5]:5")));
        assert_eq!(sane(addr("127.0.0.3:5"), true), Some(addr("127.0.0.3:5")), "in a lab it is somebody");
    }

    #[test]
    fn the_nearest_are_dialled_first_and_the_farthest_forgotten() {
        let config = Config { max_candidates: 3, ..Config::default() };
        let (mut candidates, mut rng) = (Candidates::default(), Rng::new(1));
        for (rank, text) in [(3, "1.0.0.1:1"), (0, "2.0.0.1:1"), (2, "3.0.0.1:1"), (1, "4.0.0.1:1")] {
            candidates.add(Time::ZERO, &config, &mut rng, addr(text), rank);
        }
        let order: Vec<String> =
            std::iter::from_fn(|| candidates.next(Time::ZERO, &config, |_| 0)).map(|a| a.to_string()).collect();
        assert_eq!(order, ["2.0.0.1:1", "4.0.0.1:1", "3.0.0.1:1"]);
    }

    #[test]
    fn a_network_that_only_fails_is_left_alone_until_it_is_forgiven() {
        let config = Config::default();
        let (mut candidates, mut rng) = (Candidates::default(), Rng::new(1));
        for host in 1..=4 {
            candidates.fail(Time::ZERO, addr(&format!("5.5.5.{host}:1")));
        }
        assert!(!candidates.add(Time::ZERO, &config, &mut rng, addr("5.5.5.77:1"), 0));
        assert!(candidates.add(Time::ZERO, &config, &mut rng, addr("5.5.6.77:1"), 0));
        assert!(candidates.add(Time::from_secs_f64(601.0), &config, &mut rng, addr("5.5.5.77:1"), 0));
    }
}
