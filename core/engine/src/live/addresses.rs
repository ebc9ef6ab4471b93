//! The addresses of this machine that a link to a channel names.

use crate::network::default_sources;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Returns the addresses at which a listener can be reached. For a listener on all interfaces they
/// are those from which the machine sends to other networks, and loopback if there are none. If the
/// user chose an interface, they are its addresses alone.
pub(super) fn reachable(listener: SocketAddr, chosen: Option<&[IpAddr]>) -> Vec<SocketAddr> {
    if listener.port() == 0 {
        return Vec::new();
    }
    if !listener.ip().is_unspecified() {
        return vec![listener];
    }
    let is_heard = |ip: &IpAddr| ip.is_ipv4() || listener.is_ipv6();
    let mut found: Vec<IpAddr> = match chosen {
        Some(all) => all.iter().copied().filter(is_heard).collect(),
        None => default_sources().filter(is_heard).collect(),
    };
    if found.is_empty() && chosen.is_none() {
        found.push(Ipv4Addr::LOCALHOST.into());
    }
    found.into_iter().map(|ip| SocketAddr::new(ip, listener.port())).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_link_names_addresses_that_can_be_dialled() {
        let one = "127.0.0.1:6881".parse().unwrap();
        assert_eq!(reachable(one, None), [one]);
        assert!(reachable("0.0.0.0:0".parse().unwrap(), None).is_empty(), "nothing listens");
        for all in ["0.0.0.0:6881", "[::]:6881"] {
            let found = reachable(all.parse().unwrap(), None);
            assert!(!found.is_empty() && found.iter().all(|at| !at.ip().is_unspecified() && at.port() == 6881));
            let chosen: [IpAddr; 2] = ["192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap()];
            let of_interface = reachable(all.parse().unwrap(), Some(&chosen));
            assert_eq!(of_interface[0], "192.0.2.7:6881".parse().unwrap());
            assert_eq!(of_interface.len(), if all.starts_with('[') { 2 } else { 1 });
            assert!(reachable(all.parse().unwrap(), Some(&[])).is_empty(), "no other address is named");
            assert!(all.starts_with('[') || found.iter().all(SocketAddr::is_ipv4), "{found:?}");
        }
    }
}
