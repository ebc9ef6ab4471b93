//! A filter for the addresses that sources name: passes usable ones on to the driver, each once in
//! a while, within bounds.

use parking_lot::Mutex;
use playswarm_logic::torrent::Origin;
use playswarm_proto::AddressClass;
use playswarm_proto::address_class::is_acceptable;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Most addresses remembered for a torrent. A driver connects to less than a tenth of them.
pub(crate) const MAX_KNOWN: usize = 2000;
/// Most addresses from one source, so that a hostile one (a tracker, a DHT node) cannot displace
/// the rest.
const MAX_OF_ORIGIN: usize = 1000;
/// Time after which a repeated address is passed on again: its peer may have returned.
const AGAIN_AFTER: Duration = Duration::from_secs(5 * 60);
/// Time without a mention after which an address is removed if room is needed.
const STALE_AFTER: Duration = Duration::from_secs(30 * 60);

/// An address to dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Address of the peer.
    pub(crate) addr: SocketAddr,
    /// Source that named it first.
    pub(crate) origin: Origin,
}

struct Known {
    origin: Origin,
    named: Instant,
    passed_on: Instant,
}

/// The filter of one torrent.
pub(crate) struct PeerFilter {
    tx: mpsc::Sender<Found>,
    listen: SocketAddr,
    /// Our external addresses as trackers see them, one of each family.
    outer: Mutex<[Option<IpAddr>; 2]>,
    known: Mutex<(HashMap<SocketAddr, Known>, Instant)>,
}

impl PeerFilter {
    /// Creates a filter. `listen` is our own listening address.
    pub(crate) fn new(listen: SocketAddr) -> (PeerFilter, mpsc::Receiver<Found>) {
        // Capacity for all of them: passing on never waits, and a slow driver loses nothing.
        let (tx, rx) = mpsc::channel(MAX_KNOWN);
        let known = Mutex::new((HashMap::new(), Instant::now()));
        (PeerFilter { tx, listen, outer: Mutex::default(), known }, rx)
    }

    /// Notes our external address as a tracker sees it. It is only used to avoid dialling our own
    /// port there.
    pub(crate) fn seen_as(&self, ip: IpAddr) {
        let ip = ip.to_canonical();
        self.outer.lock()[usize::from(ip.is_ipv6())] = Some(ip);
    }

    /// Handles an address named by a source at an address of class `by`. Returns whether it was
    /// passed on.
    pub(crate) fn offer(&self, addr: SocketAddr, origin: Origin, by: AddressClass) -> bool {
        self.offer_at(Instant::now(), addr, origin, by)
    }

    fn offer_at(&self, now: Instant, addr: SocketAddr, origin: Origin, by: AddressClass) -> bool {
        let addr = SocketAddr::new(addr.ip().to_canonical(), addr.port());
        let at_home = |outer: &Option<IpAddr>| *outer == Some(addr.ip()) && addr.port() == self.listen.port();
        if !is_acceptable(addr, by) || is_ours(addr, self.listen) || self.outer.lock().iter().any(at_home) {
            return false;
        }
        let mut known = self.known.lock();
        let (known, purged) = &mut *known;
        if let Some(old) = known.get_mut(&addr) {
            old.named = now;
            // If the torrent turns out to be private, a mention by a tracker matters.
            if origin == Origin::Tracker && old.origin != Origin::Tracker {
                (old.origin, old.passed_on) = (origin, now);
                return self.tx.try_send(Found { addr, origin }).is_ok();
            }
            if now.duration_since(old.passed_on) < AGAIN_AFTER {
                return false;
            }
            old.passed_on = now;
            return self.tx.try_send(Found { addr, origin: old.origin }).is_ok();
        }
        let full = |known: &HashMap<SocketAddr, Known>| {
            known.len() >= MAX_KNOWN || known.values().filter(|k| k.origin == origin).count() >= MAX_OF_ORIGIN
        };
        // The limits are checked only when they may be near, and old addresses removed at most once
        // a minute.
        if known.len() >= MAX_OF_ORIGIN && full(known) {
            if now.duration_since(*purged) < Duration::from_secs(60) {
                return false;
            }
            *purged = now;
            known.retain(|_, k| now.duration_since(k.named) < STALE_AFTER);
            if full(known) {
                return false;
            }
        }
        if self.tx.try_send(Found { addr, origin }).is_err() {
            return false;
        }
        known.insert(addr, Known { origin, named: now, passed_on: now });
        true
    }

    /// Returns all addresses that were passed on, for handing the torrent over.
    pub(crate) fn known(&self) -> Vec<SocketAddr> {
        self.known.lock().0.keys().copied().collect()
    }
}

/// Returns whether the address is ours, since trackers and DHT nodes name it too. If our external
/// address is not known, the handshake detects our own peer id.
pub(super) fn is_ours(addr: SocketAddr, listen: SocketAddr) -> bool {
    addr.port() == listen.port()
        && (addr.ip() == listen.ip().to_canonical() || (listen.ip().is_unspecified() && addr.ip().is_loopback()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const HERE: AddressClass = AddressClass::Loopback;

    fn sieve() -> (PeerFilter, mpsc::Receiver<Found>) {
        PeerFilter::new("0.0.0.0:6881".parse().unwrap())
    }
    fn addr(n: usize) -> SocketAddr {
        SocketAddr::from(([10, (n >> 16) as u8, (n >> 8) as u8, n as u8], 7000))
    }

    #[test]
    fn a_peer_is_passed_on_once_however_often_it_is_named() {
        let (sieve, mut rx) = sieve();
        assert!(sieve.offer(addr(1), Origin::Tracker, HERE));
        assert!(!sieve.offer(addr(1), Origin::Dht, HERE));
        assert!(!sieve.offer("[::ffff:10.0.0.1]:7000".parse().unwrap(), Origin::Lsd, HERE));
        assert_eq!(rx.try_recv().unwrap(), Found { addr: addr(1), origin: Origin::Tracker });
        assert!(rx.try_recv().is_err());
    }

    #[test]
    fn a_tracker_confirms_a_peer_that_another_source_named_before() {
        let (sieve, mut rx) = sieve();
        assert!(sieve.offer(addr(1), Origin::Dht, HERE) && sieve.offer(addr(1), Origin::Tracker, HERE));
        assert!(!sieve.offer(addr(1), Origin::Tracker, HERE));
        assert_eq!([rx.try_recv().unwrap().origin, rx.try_recv().unwrap().origin], [Origin::Dht, Origin::Tracker]);
    }

    #[test]
    fn a_peer_that_is_named_again_much_later_is_passed_on_again() {
        let (sieve, _rx) = sieve();
        let now = Instant::now();
        assert!(sieve.offer_at(now, addr(1), Origin::Tracker, HERE));
        assert!(!sieve.offer_at(now + AGAIN_AFTER / 2, addr(1), Origin::Tracker, HERE));
        assert!(sieve.offer_at(now + AGAIN_AFTER, addr(1), Origin::Dht, HERE));
    }

    #[test]
    fn addresses_that_lead_nowhere_or_to_ourselves_are_dropped() {
        let (sieve, _rx) = sieve();
        sieve.seen_as("::ffff:5.6.7.8".parse().unwrap());
        for nowhere in [
            "1.2.3.4:0",
            "0.0.0.0:1",
            "0.1.2.3:1",
            "224.0.0.1:1",
            "255.255.255.255:1",
            "[::]:1",
            "[ff02::1]:1",
            "127.0.0.1:6881",
            "[::1]:6881",
            "[::ffff:0.0.0.0]:5",
            "192.168.1.1:22",
            "5.6.7.8:6881",
        ] {
            assert!(!sieve.offer(nowhere.parse().unwrap(), Origin::Tracker, HERE), "{nowhere}");
        }
        for fine in ["127.0.0.1:6882", "192.168.1.2:6881", "[2001:db8::1]:1024", "5.6.7.8:6882"] {
            assert!(sieve.offer(fine.parse().unwrap(), Origin::Tracker, HERE), "{fine}");
        }
    }

    #[test]
    fn what_a_stranger_names_in_our_own_networks_is_dropped() {
        let (sieve, _rx) = sieve();
        for local in ["127.0.0.1:6882", "192.168.1.2:6881", "[::ffff:10.0.0.1]:6881", "[fd00::1]:6881"] {
            assert!(!sieve.offer(local.parse().unwrap(), Origin::Tracker, AddressClass::Global), "{local}");
            assert!(sieve.offer(local.parse().unwrap(), Origin::Tracker, HERE), "{local}");
        }
    }

    #[test]
    fn one_origin_cannot_crowd_out_the_others_and_all_together_are_bounded() {
        let (sieve, _rx) = sieve();
        let now = Instant::now();
        let pass =
            |from: usize, origin| (from..from + 3000).filter(|n| sieve.offer_at(now, addr(*n), origin, HERE)).count();
        assert_eq!(pass(0, Origin::Tracker), MAX_OF_ORIGIN);
        assert_eq!(pass(10_000, Origin::Dht), MAX_KNOWN - MAX_OF_ORIGIN);
        assert_eq!(pass(20_000, Origin::Pex), 0);
        assert_eq!(sieve.known().len(), MAX_KNOWN);
    }

    #[test]
    fn stale_addresses_make_room() {
        let (sieve, mut rx) = sieve();
        let now = Instant::now();
        (0..MAX_OF_ORIGIN).for_each(|n| assert!(sieve.offer_at(now, addr(n), Origin::Tracker, HERE)));
        while rx.try_recv().is_ok() {}
        assert!(!sieve.offer_at(now + STALE_AFTER / 2, addr(5000), Origin::Tracker, HERE));
        assert!(sieve.offer_at(now + STALE_AFTER + Duration::from_secs(61), addr(5000), Origin::Tracker, HERE));
    }
}
