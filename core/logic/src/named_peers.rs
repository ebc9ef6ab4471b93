//! Which of the peers that strangers name are dialled: none in networks that the source is not in itself, none at ports of
//! other services, and a few ports of an address at most. Without this, one PEX message or tracker answer makes
//! us send greetings to a hundred ports of a router or of a third party.
//!
//! Peers that the user names are not asked about here.

use crate::address_class::{AddressClass, plain};
use crate::time::Time;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Ports of one address that are dialled. A home has few clients; of hundreds behind a provider's shared address some are
/// left out, which costs less than to let anyone point us at each port of a host.
pub const MAX_PORTS: usize = 4;
/// Time for which a port counts. A client that starts anew with another port is dialled again after it.
const COUNTED_FOR: Duration = Duration::from_secs(30 * 60);
/// Addresses whose ports are counted; more than an address book holds.
const MAX_ADDRESSES: usize = 4096;

/// Whether a peer may be dialled that a source at an address of class `source` named.
pub fn is_acceptable(addr: SocketAddr, source: AddressClass) -> bool {
    let class = AddressClass::of(addr.ip());
    source.may_name(class) && is_peer_port(addr.port(), class)
}

/// Whether a peer may listen there: no port of a system service. On the Internet 80 and 443 are used by peers behind strict
/// firewalls; in a local network they are a router's.
fn is_peer_port(port: u16, class: AddressClass) -> bool {
    port >= 1024 || (matches!(port, 80 | 443) && !class.is_local())
}

/// Counts the ports of each address.
#[derive(Clone, Debug, Default)]
pub struct PortCount {
    seen: BTreeMap<IpAddr, Vec<(u16, Time)>>,
}

impl PortCount {
    /// Whether one more port of this address may be dialled; one that was allowed before may.
    pub fn admit(&mut self, now: Time, addr: SocketAddr) -> bool {
        let ip = plain(addr.ip());
        if self.seen.len() >= MAX_ADDRESSES && !self.seen.contains_key(&ip) {
            self.seen.retain(|_, ports| ports.iter().any(|(_, at)| now.since(*at) < COUNTED_FOR));
            if self.seen.len() >= MAX_ADDRESSES {
                self.seen.clear();
            }
        }
        let ports = self.seen.entry(ip).or_default();
        if ports.iter().any(|(port, _)| *port == addr.port()) {
            return true;
        }
        ports.retain(|(_, at)| now.since(*at) < COUNTED_FOR);
        let admitted = ports.len() < MAX_PORTS;
        if admitted {
            ports.push((addr.port(), now));
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_stranger_names_no_private_peer_and_a_neighbour_does() {
        for (named, by, acceptable) in [
            ("192.168.1.1:6881", "8.8.8.8", false),
            ("127.0.0.1:6881", "8.8.8.8", false),
            ("[::ffff:127.0.0.1]:6881", "8.8.8.8", false),
            ("[2002:7f00:1::1]:6881", "8.8.8.8", false),
            ("[fe80::1]:6881", "2606:4700::1", false),
            ("127.0.0.1:6881", "192.168.1.5", false),
            ("192.168.1.7:6881", "192.168.1.5", true),
            ("127.0.0.1:6881", "127.0.0.2", true),
            ("9.9.9.9:6881", "8.8.8.8", true),
            ("9.9.9.9:6881", "127.0.0.1", true),
            ("0.0.0.0:6881", "127.0.0.1", false),
            ("[ff02::1]:6881", "127.0.0.1", false),
        ] {
            let source = AddressClass::of(by.parse().unwrap());
            assert_eq!(is_acceptable(addr(named), source), acceptable, "{named} named by {by}");
        }
    }

    #[test]
    fn ports_of_other_services_are_left_alone() {
        let acceptable = |named: &str| is_acceptable(addr(named), AddressClass::Loopback);
        for port in [0, 1, 22, 25, 53, 445, 1023] {
            assert!(!acceptable(&format!("9.9.9.9:{port}")) && !acceptable(&format!("10.0.0.1:{port}")), "{port}");
        }
        for port in [80, 443] {
            assert!(acceptable(&format!("9.9.9.9:{port}")) && !acceptable(&format!("10.0.0.1:{port}")), "{port}");
        }
        assert!(acceptable("9.9.9.9:1024") && acceptable("10.0.0.1:65535"));
    }

    #[test]
    fn an_address_has_few_ports_and_new_ones_after_a_while() {
        let mut count = PortCount::default();
        let mut admitted = |now: f64, ip: &str| {
            let port = |p: &u16| count.admit(Time::from_secs_f64(now), SocketAddr::new(ip.parse().unwrap(), *p));
            (1..=100).filter(port).count()
        };
        assert_eq!(admitted(0.0, "9.9.9.9"), MAX_PORTS);
        assert_eq!(admitted(60.0, "::ffff:9.9.9.9"), MAX_PORTS, "the same ones as before");
        assert_eq!(admitted(0.0, "9.9.9.8"), MAX_PORTS);
        assert_eq!(admitted(1900.0, "9.9.9.9"), 2 * MAX_PORTS);
    }

    #[test]
    fn the_count_is_bounded() {
        let mut count = PortCount::default();
        for n in 0..50_000u32 {
            count.admit(Time::ZERO, SocketAddr::from((n.to_be_bytes(), 1)));
        }
        assert!(count.seen.len() <= MAX_ADDRESSES);
    }
}
