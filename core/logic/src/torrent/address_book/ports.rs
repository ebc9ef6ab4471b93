//! A bound on the ports of an address that untrusted sources name. Without it, one PEX message or
//! tracker answer could make us send handshakes to a hundred ports of a router or of a third party.

use crate::Time;
use playswarm_proto::address_class::plain;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Most ports dialled per address. A home has few clients. Of hundreds behind a provider's shared
/// address some are left out. That costs less than letting any source direct us at each port of a
/// host.
const MAX_PORTS: usize = 4;
/// Time for which a port counts. A client that restarts on another port is dialled again after it.
const COUNTED_FOR: Duration = Duration::from_secs(30 * 60);
/// Most addresses whose ports are counted; more than an address book holds.
const MAX_ADDRESSES: usize = 4096;

/// A count of the ports of each address.
#[derive(Clone, Debug, Default)]
pub(super) struct PortCount {
    seen: BTreeMap<IpAddr, Vec<(u16, Time)>>,
}

impl PortCount {
    /// Returns whether this port of the address may be dialled. A port that was admitted before
    /// remains admitted.
    pub(super) fn admit(&mut self, now: Time, addr: SocketAddr) -> bool {
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
