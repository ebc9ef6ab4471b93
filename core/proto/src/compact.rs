//! Compact addresses in trackers' answers (BEP 23, BEP 7), peer exchange (BEP 11) and the DHT (BEP
//! 5, BEP 32). Each is an IP address and a port of two bytes, both in network order. Bytes left
//! over at the end are ignored.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Length of an IPv4 address with its port, bytes.
pub const V4_BYTES: usize = 6;
/// Length of an IPv6 address with its port, bytes.
pub const V6_BYTES: usize = 18;

/// Returns the consecutive IPv4 addresses in `bytes`.
pub fn v4(bytes: &[u8]) -> impl Iterator<Item = SocketAddr> + '_ {
    bytes.as_chunks::<V4_BYTES>().0.iter().map(|[a, b, c, d, high, low]| {
        SocketAddr::from((Ipv4Addr::new(*a, *b, *c, *d), u16::from_be_bytes([*high, *low])))
    })
}

/// Returns the consecutive IPv6 addresses in `bytes`. An IPv4 address in IPv6 form is returned as
/// IPv4.
pub fn v6(bytes: &[u8]) -> impl Iterator<Item = SocketAddr> + '_ {
    bytes.as_chunks::<V6_BYTES>().0.iter().map(one_v6)
}

/// Returns the IPv6 address.
pub fn one_v6(bytes: &[u8; V6_BYTES]) -> SocketAddr {
    let [ip @ .., high, low] = *bytes;
    SocketAddr::from((Ipv6Addr::from(ip).to_canonical(), u16::from_be_bytes([high, low])))
}

/// Appends an address.
pub fn put(out: &mut Vec<u8>, addr: SocketAddr) {
    match addr.ip() {
        IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
    }
    out.extend_from_slice(&addr.port().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_their_bytes() {
        let mut out = Vec::new();
        let addrs: Vec<SocketAddr> = ["1.2.3.4:6881", "255.0.0.9:1"].map(|a| a.parse().unwrap()).to_vec();
        addrs.iter().for_each(|addr| put(&mut out, *addr));
        out.push(7);
        assert_eq!(v4(&out).collect::<Vec<_>>(), addrs);
        let mut out = Vec::new();
        put(&mut out, "[2001:db8::1]:6881".parse().unwrap());
        put(&mut out, "[::ffff:1.2.3.4]:80".parse().unwrap());
        let expected: Vec<SocketAddr> = ["[2001:db8::1]:6881", "1.2.3.4:80"].map(|a| a.parse().unwrap()).to_vec();
        assert_eq!(v6(&out).collect::<Vec<_>>(), expected);
    }
}
