//! Decides which connections get the server's places when there are not enough for all.
//!
//! A client pays nothing to open a connection or to keep it idle, so neither may keep a player out.
//! A connection without a request, or between two requests, gives its place to a new one. A
//! connection that is being served keeps its place, unless its client has taken nothing for a
//! while. One address has a bound, and this machine's own programs have a reserve.
//!
//! Pure: time is an argument.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Age from which a connection without a request is closed first: clients send one within two round
/// trips.
const YOUNG: Duration = Duration::from_secs(1);
/// Time without progress after which a body gives its place to a new connection. A player that
/// reads takes bytes each second, and a paused one can ask again. A program that opens streams and
/// reads none of them keeps players out for this long.
const STALLED: Duration = Duration::from_secs(2);

/// Bounds on the number of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Of all hosts together.
    pub(crate) places: usize,
    /// Of one remote host. Programs on this machine, such as reverse proxies, are bounded by
    /// `places` alone.
    pub(crate) per_host: usize,
}

impl Limits {
    /// Returns the number of places that only programs on this machine get.
    fn reserve(self) -> usize {
        self.places / 8
    }
}

/// The remote end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Host {
    /// An IPv4 address, or the network (/64) of an IPv6 address: a machine can take any address of
    /// it.
    network: u128,
    /// Whether it is this machine.
    local: bool,
}

impl Host {
    /// Returns the host of an address.
    pub(crate) fn of(address: IpAddr) -> Host {
        let address = address.to_canonical();
        let network = match address {
            IpAddr::V4(ip) => u128::from(ip.to_ipv6_mapped()),
            IpAddr::V6(ip) if ip.is_loopback() => u128::from(ip),
            IpAddr::V6(ip) => u128::from(ip) >> 64 << 64,
        };
        Host { network, local: address.is_loopback() }
    }
}

/// The activity of a connection, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Open, without a complete request so far.
    New(Instant),
    /// Between two requests.
    Idle(Instant),
    /// Being served. The time, if any, is when the client last stopped taking bytes that are ready
    /// for it.
    Served(Option<Instant>),
}

/// A connection that holds a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its remote end.
    pub(crate) host: Host,
    /// Its activity.
    pub(crate) state: State,
}

/// The decision on a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// A place is free.
    Free,
    /// It gets the place of the connection with this index, which must be closed.
    InsteadOf(usize),
    /// Every place that it could get is in use.
    Full,
}

/// Decides on a new connection from `host`.
pub(crate) fn admit(places: &[Place], host: Host, limits: Limits, now: Instant) -> Admission {
    let own = places.iter().filter(|p| p.host == host).count();
    let remote = places.iter().filter(|p| !p.host.local).count();
    if !host.local && own >= limits.per_host {
        return instead(places, now, |p| p.host == host);
    }
    if !host.local && remote >= limits.places - limits.reserve() {
        return instead(places, now, |p| !p.host.local);
    }
    if places.len() >= limits.places {
        return instead(places, now, |_| true);
    }
    Admission::Free
}

/// Returns the connection to close when the process has no descriptors left: one that is not being
/// served, if any.
pub(crate) fn give_up(places: &[Place], now: Instant) -> Option<usize> {
    match instead(places, now, |place| !matches!(place.state, State::Served(_))) {
        Admission::InsteadOf(i) => Some(i),
        Admission::Free | Admission::Full => None,
    }
}

/// Returns the first place to give up: by state, then of the host that holds the most, then the
/// oldest.
fn instead(places: &[Place], now: Instant, among: impl Fn(&Place) -> bool) -> Admission {
    let mut held: HashMap<Host, usize> = HashMap::new();
    places.iter().for_each(|p| *held.entry(p.host).or_default() += 1);
    let candidates = places.iter().enumerate().filter(|(_, p)| among(p));
    let readily = candidates.filter_map(|(i, p)| {
        let (rank, since) = readiness(p.state, now)?;
        Some(((rank, std::cmp::Reverse(held[&p.host]), since), i))
    });
    readily.min().map_or(Admission::Full, |(_, i)| Admission::InsteadOf(i))
}

/// Returns the rank of a place (0 is given up first) and its age. `None` where it must be kept.
fn readiness(state: State, now: Instant) -> Option<(u8, Instant)> {
    match state {
        State::New(since) if now - since >= YOUNG => Some((0, since)),
        State::Idle(since) => Some((1, since)),
        State::New(since) => Some((2, since)),
        State::Served(Some(since)) if now - since >= STALLED => Some((3, since)),
        State::Served(_) => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    const LIMITS: Limits = Limits { places: 16, per_host: 4 };

    fn at(seconds: f64) -> Instant {
        static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);
        *BEGUN + Duration::from_secs_f64(seconds)
    }

    fn host(text: &str) -> Host {
        Host::of(text.parse().unwrap())
    }

    fn places(host: Host, state: State, n: usize) -> Vec<Place> {
        vec![Place { host, state }; n]
    }

    #[test]
    fn idle_connections_of_this_machine_keep_no_player_out() {
        let local = host("127.0.0.1");
        for state in [State::New(at(1.0)), State::New(at(99.9)), State::Idle(at(99.9))] {
            let full = places(local, state, 16);
            assert_eq!(admit(&full, local, LIMITS, at(100.0)), Admission::InsteadOf(0), "{state:?}");
            assert_eq!(admit(&full, host("10.0.0.1"), LIMITS, at(100.0)), Admission::InsteadOf(0), "{state:?}");
        }
    }

    #[test]
    fn a_connection_that_is_served_keeps_its_place_unless_its_client_stops_reading() {
        let local = host("::1");
        let mut full = places(local, State::Served(None), 16);
        assert_eq!(admit(&full, local, LIMITS, at(100.0)), Admission::Full);
        full[7].state = State::Served(Some(at(99.0)));
        assert_eq!(admit(&full, local, LIMITS, at(100.0)), Admission::Full);
        assert_eq!(admit(&full, local, LIMITS, at(101.0)), Admission::InsteadOf(7));
        assert_eq!(give_up(&full, at(101.0)), None);
        full[8].state = State::Idle(at(100.5));
        assert_eq!(give_up(&full, at(101.0)), Some(8));
    }

    #[test]
    fn one_remote_host_has_its_bound_and_all_of_them_leave_a_reserve() {
        let far = host("192.0.2.1");
        let four = places(far, State::Served(None), 4);
        assert_eq!(admit(&four, far, LIMITS, at(1.0)), Admission::Full);
        assert_eq!(admit(&four, host("192.0.2.2"), LIMITS, at(1.0)), Admission::Free);
        let many: Vec<Place> =
            (0..14).flat_map(|n| places(host(&format!("192.0.2.{n}")), State::Served(None), 1)).collect();
        assert_eq!(admit(&many, host("198.51.100.1"), LIMITS, at(1.0)), Admission::Full);
        assert_eq!(admit(&many, host("127.0.0.1"), LIMITS, at(1.0)), Admission::Free);
    }

    #[test]
    fn a_full_server_first_gives_up_the_oldest_silent_connection_of_the_host_with_most() {
        let (a, b) = (host("192.0.2.1"), host("192.0.2.2"));
        let mut all = places(a, State::New(at(5.0)), 1);
        all.extend(places(b, State::New(at(7.0)), 3));
        all.extend(places(host("127.0.0.1"), State::Idle(at(1.0)), 12));
        all[2].state = State::New(at(6.0));
        assert_eq!(admit(&all, host("127.0.0.1"), LIMITS, at(10.0)), Admission::InsteadOf(2));
        // A new connection is about to send its request, so idle ones go first.
        assert_eq!(admit(&all[1..], host("127.0.0.1"), LIMITS, at(7.1)), Admission::Free);
        let young = |p: &mut Place| p.state = State::New(at(9.9));
        all.iter_mut().take(4).for_each(young);
        assert_eq!(admit(&all, host("127.0.0.1"), LIMITS, at(10.0)), Admission::InsteadOf(4));
    }

    #[test]
    fn a_network_of_ipv6_is_one_host_and_a_mapped_address_is_its_ipv4() {
        assert_eq!(host("2001:db8::1"), host("2001:db8::ffff:1"));
        assert_ne!(host("2001:db8::1"), host("2001:db8:0:1::1"));
        assert_eq!(host("::ffff:192.0.2.1"), host("192.0.2.1"));
        assert!(host("::ffff:127.0.0.1").local && host("::1").local && !host("192.0.2.1").local);
    }

    fn states() -> impl Strategy<Value = State> {
        let time = (0u32..100).prop_map(|s| at(f64::from(s)));
        prop_oneof![
            time.clone().prop_map(State::New),
            time.clone().prop_map(State::Idle),
            proptest::option::of(time).prop_map(State::Served),
        ]
    }

    proptest! {
        #[test]
        fn bounds_hold_and_nothing_that_moves_is_closed(
            steps in proptest::collection::vec((0u8..6, states()), 1..80),
        ) {
            let mut all: Vec<Place> = Vec::new();
            for (n, state) in steps {
                let new = if n == 0 { host("127.0.0.1") } else { host(&format!("192.0.2.{n}")) };
                match admit(&all, new, LIMITS, at(100.0)) {
                    Admission::Free => all.push(Place { host: new, state }),
                    Admission::InsteadOf(i) => {
                        prop_assert!(readiness(all[i].state, at(100.0)).is_some());
                        all[i] = Place { host: new, state };
                    }
                    Admission::Full => {}
                }
                prop_assert!(all.len() <= LIMITS.places);
                for p in all.iter().filter(|p| !p.host.local) {
                    prop_assert!(all.iter().filter(|q| q.host == p.host).count() <= LIMITS.per_host);
                }
                prop_assert!(all.iter().filter(|p| !p.host.local).count() <= LIMITS.places - LIMITS.reserve());
            }
        }
    }
}
