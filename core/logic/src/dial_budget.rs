//! How often addresses of the Internet are dialled: in all, and in one network.
//!
//! Strangers name addresses: peers, trackers, DHT nodes. A thousand of them that name the ports of
//! one victim would turn this client, and all others, against it. Dials that exceed the budget wait,
//! and those that would wait for long are not made.

use crate::Time;
use crate::token_bucket::TokenBucket;
use playswarm_proto::AddressClass;
use playswarm_proto::address_class::{is_stand_in, network};
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Dials a second, and at once, of all addresses: a fifth of what home routers track as new connections.
const EACH: (f64, f64) = (20.0, 100.0);
/// The same in one network (a /24 of IPv4, a /48 of IPv6). Ten at once are enough for the peers of one
/// provider's network.
const OF_NETWORK: (f64, f64) = (0.5, 10.0);
/// Longest wait of a dial. The torrent dials the address again later, if it still wants it.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Number of networks from which on those without debt are forgotten.
const MANY_NETWORKS: usize = 1024;

/// The budget of a session.
#[derive(Debug)]
pub struct DialBudget {
    all: TokenBucket,
    networks: HashMap<IpAddr, TokenBucket>,
}

impl Default for DialBudget {
    fn default() -> DialBudget {
        DialBudget { all: full(Time::ZERO, EACH), networks: HashMap::new() }
    }
}

fn full(now: Time, (per_s, at_once): (f64, f64)) -> TokenBucket {
    TokenBucket::new(now, per_s, at_once, at_once)
}

impl DialBudget {
    /// Takes a dial of an address from the budget, and returns the time to wait before it. Returns
    /// `None` if the dial is not to be made. Addresses of local networks cost nothing.
    pub fn take(&mut self, now: Time, ip: IpAddr) -> Option<Duration> {
        if AddressClass::of(ip) != AddressClass::Global {
            return Some(Duration::ZERO);
        }
        if self.networks.len() >= MANY_NETWORKS {
            self.networks.retain(|_, bucket| !bucket.has(now, OF_NETWORK.1));
        }
        // Behind neighbouring stand-ins are hosts of any networks.
        let place = if is_stand_in(ip) { ip } else { network(ip) };
        let of_network = self.networks.entry(place).or_insert_with(|| full(now, OF_NETWORK));
        let wait = self.all.until(now, 1.0)?.max(of_network.until(now, 1.0)?);
        if wait > LONGEST_WAIT {
            return None;
        }
        self.all.take(now, 1.0);
        of_network.take(now, 1.0);
        Some(wait)
    }
}

/// Most connections to one servent of Gnutella within [`SERVENT_TIME`]. gtk-gnutella bans addresses that
/// make more than five in a minute.
const SERVENT_DIALS: usize = 4;
/// The minute, and the longest wait between the permission and the dial.
const SERVENT_TIME: Duration = Duration::from_secs(60 + LONGEST_WAIT.as_secs());

/// The connections to servents of late.
#[derive(Debug, Default)]
pub struct ServentDials(HashMap<SocketAddr, VecDeque<Time>>);

impl ServentDials {
    /// Takes a dial of a servent.
    ///
    /// # Errors
    ///
    /// The time to wait, if there were too many.
    pub fn take(&mut self, now: Time, to: SocketAddr) -> Result<(), Duration> {
        let is_old = |dial: &Time| now.since(*dial) >= SERVENT_TIME;
        self.0.retain(|_, dials| !dials.back().is_none_or(is_old));
        let dials = self.0.entry(to).or_default();
        while dials.front().is_some_and(is_old) {
            dials.pop_front();
        }
        match dials.front().filter(|_| dials.len() >= SERVENT_DIALS) {
            Some(first) => Err(SERVENT_TIME - now.since(*first)),
            None => {
                dials.push_back(now);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Time {
        Time::from_secs_f64(seconds)
    }

    fn ip(n: u32) -> IpAddr {
        IpAddr::from((0x0800_0000 + (n << 8)).to_be_bytes())
    }

    #[test]
    fn a_network_is_dialled_ten_times_at_once_and_then_every_two_seconds() {
        let mut budget = DialBudget::default();
        let victim = |host: u8| IpAddr::from([8, 8, 8, host]);
        let waits: Vec<_> = (0..20).map(|host| budget.take(at(1.0), victim(host))).collect();
        assert!(waits[..10].iter().all(|wait| *wait == Some(Duration::ZERO)), "{waits:?}");
        assert_eq!(waits[10..15], [2, 4, 6, 8, 10].map(|s| Some(Duration::from_secs(s))));
        assert!(waits[15..].iter().all(Option::is_none), "{waits:?}");
        assert_eq!(budget.take(at(1.0), ip(5)), Some(Duration::ZERO), "other networks do not wait");
        assert_eq!(budget.take(at(100.0), victim(1)), Some(Duration::ZERO));
        let mapped: IpAddr = "::ffff:8.8.8.8".parse().unwrap();
        let waits = (0..20).map(|_| budget.take(at(100.0), mapped)).filter(Option::is_none).count();
        assert!(waits > 0, "the mapped form is the same network");
    }

    #[test]
    fn all_dials_together_are_a_hundred_at_once_and_then_twenty_a_second() {
        let mut budget = DialBudget::default();
        let waits: Vec<_> = (0..400).map(|n| budget.take(at(1.0), ip(n))).collect();
        assert!(waits[..100].iter().all(|wait| *wait == Some(Duration::ZERO)));
        assert_eq!(waits[119], Some(Duration::from_secs(1)));
        assert!(waits[100 + 201..].iter().all(Option::is_none));
    }

    #[test]
    fn a_servent_is_dialled_four_times_in_a_minute() {
        let mut dials = ServentDials::default();
        let (one, other) = (SocketAddr::new(ip(1), 6346), SocketAddr::new(ip(1), 6347));
        assert!((0..4).all(|n| dials.take(at(f64::from(n)), one).is_ok()));
        assert_eq!(dials.take(at(10.0), one), Err(Duration::from_secs(60)));
        assert_eq!(dials.take(at(10.0), other), Ok(()), "it is another servent");
        assert_eq!(dials.take(at(69.9), one).map_err(|wait| wait.as_secs_f64() < 0.2), Err(true));
        assert_eq!((dials.take(at(70.0), one), dials.take(at(70.1), one).is_err()), (Ok(()), true));
        assert_eq!(dials.take(at(1000.0), other), Ok(()));
        assert_eq!(dials.0.len(), 1, "old ones are forgotten");
    }

    #[test]
    fn the_names_behind_a_proxy_are_no_network() {
        let mut budget = DialBudget::default();
        let name = |n: u8| IpAddr::from([198, 18, 0, n]);
        assert!((0..100).all(|n| budget.take(at(1.0), name(n)) == Some(Duration::ZERO)));
        let mut budget = DialBudget::default();
        assert_eq!((0..20).filter(|_| budget.take(at(1.0), name(7)) == Some(Duration::ZERO)).count(), 10);
    }

    #[test]
    fn local_networks_are_free_and_the_memory_is_bounded() {
        let mut budget = DialBudget::default();
        for _ in 0..1000 {
            for local in ["127.0.0.1", "10.0.0.1", "192.168.1.1", "fe80::1"] {
                assert_eq!(budget.take(at(1.0), local.parse().unwrap()), Some(Duration::ZERO));
            }
        }
        for n in 0..20_000 {
            budget.take(at(f64::from(n) * 0.05), ip(n));
        }
        assert!(budget.networks.len() <= MANY_NETWORKS + 1, "{}", budget.networks.len());
    }
}
