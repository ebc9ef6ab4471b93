//! Addresses that strangers name: which are used, and which belong together.

use playswarm_proto::address_class::{AddressClass, is_acceptable, plain};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};

/// Ports above 1023 of services that strangers must not make us talk to: SSDP, MySQL, PostgreSQL,
/// Redis, IRC, memcached and MongoDB.
const SERVICE_PORTS: [u16; 7] = [1900, 3306, 5432, 6379, 6667, 11211, 27017];

/// Whether an address that a source of this class names is used. `ours` is that at which strangers
/// reach us.
pub(crate) fn may_use(address: SocketAddr, source: AddressClass, ours: Option<SocketAddrV4>) -> bool {
    is_acceptable(address, source) && !SERVICE_PORTS.contains(&address.port()) && ours.map(Into::into) != Some(address)
}

/// Returns the network of an address, of which a leaf has one ultrapeer if possible: a single
/// operator seldom has more than one. It is the /16 of an IPv4 address, or the /32 of an IPv6
/// address.
pub(super) fn network(ip: IpAddr) -> IpAddr {
    match plain(ip) {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & !0xffff).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !(u128::MAX >> 32)).into(),
    }
}
