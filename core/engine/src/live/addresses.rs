//! The addresses of this machine that a link to a channel names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Addresses that are never dialled. The system only says from which of its own it would.
const ELSEWHERE: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];

/// Returns the addresses at which a listener can be reached. For a listener on all interfaces they
/// are those from which the machine sends to other networks, and loopback if there are none.
pub(super) fn reachable(listener: SocketAddr) -> Vec<SocketAddr> {
    if listener.port() == 0 {
        return Vec::new();
    }
    if !listener.ip().is_unspecified() {
        return vec![listener];
    }
    let families = ELSEWHERE.into_iter().filter(|to| to.is_ipv4() || listener.is_ipv6());
    let mut found: Vec<IpAddr> = families.filter_map(source_for).collect();
    if found.is_empty() {
        found.push(Ipv4Addr::LOCALHOST.into());
    }
    found.into_iter().map(|ip| SocketAddr::new(ip, listener.port())).collect()
}

/// Returns the address from which the machine would send to another. Nothing is sent.
fn source_for(to: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((to, 9)).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified()).then_some(ip)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_link_names_addresses_that_can_be_dialled() {
        let one = "127.0.0.1:6881".parse().unwrap();
        assert_eq!(reachable(one), [one]);
        assert!(reachable("0.0.0.0:0".parse().unwrap()).is_empty(), "nothing listens");
        for all in ["0.0.0.0:6881", "[::]:6881"] {
            let found = reachable(all.parse().unwrap());
            assert!(!found.is_empty() && found.iter().all(|at| !at.ip().is_unspecified() && at.port() == 6881));
            assert!(all.starts_with('[') || found.iter().all(SocketAddr::is_ipv4), "{found:?}");
        }
    }
}
