//! From which of its addresses the system sends.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// Addresses that are never dialled. The system only says from which of its own it would.
const ELSEWHERE: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];

/// Returns the addresses from which the system sends to the Internet, at most one of each family.
pub(crate) fn default_sources() -> impl Iterator<Item = IpAddr> {
    ELSEWHERE.into_iter().filter_map(source_for)
}

/// Returns whether an address is one of this machine, whose packets take the loopback interface.
pub(crate) fn is_here(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    ip.is_loopback() || source_for(ip) == Some(ip)
}

/// Returns the address from which the system would send to another. Nothing is sent.
fn source_for(to: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((to, 9)).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified()).then_some(ip)
}
