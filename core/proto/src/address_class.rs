//! Classes of IP addresses, and which sources may name them to us.
//!
//! Trackers, torrents, redirects, DNS answers and other peers all name addresses. An Internet
//! source that names an address of the user's own network would make us connect to a router or a
//! service there. A source may therefore name only addresses that are no more local than its own:
//! see [`AddressClass::may_name`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A class of addresses. The order is from unreachable to nearest: each class is more local than
/// the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressClass {
    /// No possible destination of a connection: unspecified, "this network", multicast, broadcast,
    /// discard, reserved.
    Nowhere,
    /// The Internet. Documentation and benchmark networks count here too: no user's machine is
    /// there, while proxies map the names of public hosts to the benchmark network.
    Global,
    /// The network between a provider and its customers (RFC 6598). Some virtual private networks
    /// use it too.
    Shared,
    /// A private network (RFC 1918, RFC 4193, and the site-local addresses of RFC 3513).
    Private,
    /// One link (RFC 3927, RFC 4291). Cloud providers keep their metadata service here.
    LinkLocal,
    /// This machine.
    Loopback,
}

impl AddressClass {
    /// Returns the class of an address. An IPv6 address that a translator or tunnel turns into an
    /// IPv4 address has the class of the latter.
    pub fn of(ip: IpAddr) -> AddressClass {
        match plain(ip) {
            IpAddr::V4(ip) => of_v4(ip),
            IpAddr::V6(ip) => of_v6(ip),
        }
    }

    /// Returns whether the class belongs to this machine or a network around it, not to the
    /// Internet.
    pub fn is_local(self) -> bool {
        self >= AddressClass::Shared
    }

    /// Returns whether a source at an address of this class may name an address of class `named` to
    /// us. A source on this machine may name all addresses. A host of a private network may name
    /// others there but none of this machine, and so on.
    pub fn may_name(self, named: AddressClass) -> bool {
        named != AddressClass::Nowhere && named <= self.max(AddressClass::Global)
    }
}

/// Returns the address at which a packet to `ip` arrives. It is the IPv4 address within mapped
/// (`::ffff:0:0/96`), compatible (`::/96`), translated (`64:ff9b::/96`, RFC 6052;
/// `::ffff:0:0:0/96`, RFC 2765), 6to4 (`2002::/16`, RFC 3056) and Teredo (`2001::/32`, RFC 4380)
/// addresses. Any other address is returned unchanged.
pub fn plain(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    let s = v6.segments();
    let v4 = |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match s {
        // `::` and `::1` contain no IPv4 address.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => ip,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => v4(high, low),
        // The client's address, with each bit inverted.
        [0x2001, 0, _, _, _, _, high, low] => v4(!high, !low),
        _ => ip,
    }
}

fn of_v4(ip: Ipv4Addr) -> AddressClass {
    match ip.octets() {
        [0 | 224..=255, ..] => AddressClass::Nowhere,
        [127, ..] => AddressClass::Loopback,
        [169, 254, ..] => AddressClass::LinkLocal,
        // 192.0.0.0/24 holds protocol assignments, such as the inner addresses of DS-Lite (RFC
        // 7335).
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [192, 0, 0, _] => AddressClass::Private,
        [100, 64..=127, ..] => AddressClass::Shared,
        _ => AddressClass::Global,
    }
}

fn of_v6(ip: Ipv6Addr) -> AddressClass {
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => AddressClass::Loopback,
        // `::` and discard (RFC 6666).
        [0, 0, 0, 0, 0, 0, 0, 0] | [0x100, 0, 0, 0, ..] => AddressClass::Nowhere,
        // Multicast.
        [0xff00..=0xffff, ..] => AddressClass::Nowhere,
        [0xfe80..=0xfebf, ..] => AddressClass::LinkLocal,
        // Unique local, and site-local, which is deprecated but still used.
        [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => AddressClass::Private,
        // A translator's prefix within a private network (RFC 8215).
        [0x64, 0xff9b, 1, ..] => AddressClass::Private,
        _ => AddressClass::Global,
    }
}

/// Returns whether a peer named by a source at an address of class `source` may be dialled.
pub fn is_acceptable(addr: SocketAddr, source: AddressClass) -> bool {
    let class = AddressClass::of(addr.ip());
    source.may_name(class) && is_peer_port(addr.port(), class)
}

/// Returns whether a peer may listen on this port: no system service uses it. On the Internet,
/// peers behind strict firewalls use 80 and 443; in a local network these belong to a router.
fn is_peer_port(port: u16, class: AddressClass) -> bool {
    port >= 1024 || (matches!(port, 80 | 443) && !class.is_local())
}

/// Returns whether a URL from a stranger may name this port: that of a web server, or none of those
/// that belong to system services.
pub fn is_web_port(port: u16) -> bool {
    port >= 1024 || matches!(port, 80 | 443)
}

/// Returns whether a host name is one of a local network (RFC 6761, RFC 6762, RFC 8375, and the
/// names in use there), for names that are not looked up here.
pub fn is_local_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_local =
        matches!(last, "localhost" | "local" | "internal" | "intranet" | "lan" | "home" | "corp" | "localdomain");
    !name.contains('.') || is_local || name.ends_with(".home.arpa")
}

/// Returns whether the address is that of a client that listens at `listen`: trackers and DHT nodes
/// name it too. An external address is not known here; the handshake detects our own peer id.
pub fn is_ours(addr: SocketAddr, listen: SocketAddr) -> bool {
    addr.port() == listen.port()
        && (addr.ip() == listen.ip().to_canonical() || (listen.ip().is_unspecified() && addr.ip().is_loopback()))
}

/// Returns the unit that one subscriber holds: an IPv4 address, or the /64 of an IPv6 address.
pub fn subscriber(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// Returns the network that one holder can fill with clients: the /24 of an IPv4 address, or the /48
/// of an IPv6 address.
pub fn network(ip: IpAddr) -> IpAddr {
    match plain(ip) {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & !0xff).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !(u128::MAX >> 48)).into(),
    }
}

/// Returns whether an address is of the benchmark network (RFC 2544), 198.18.0.0/15. No host of the
/// Internet has one: proxies, ours among them, use each in place of a host name.
pub fn is_stand_in(ip: IpAddr) -> bool {
    matches!(plain(ip), IpAddr::V4(v4) if matches!(v4.octets(), [198, 18 | 19, ..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use AddressClass::{Global, LinkLocal, Loopback, Nowhere, Private, Shared};

    fn class(text: &str) -> AddressClass {
        AddressClass::of(text.parse().unwrap())
    }

    #[test]
    fn each_network_has_its_class_to_its_last_address() {
        for (class_of_all, addresses) in [
            (
                Nowhere,
                "0.0.0.0 0.255.255.255 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 :: ff02::1 ffff::1 100::1",
            ),
            (Loopback, "127.0.0.1 127.255.255.255 ::1"),
            (LinkLocal, "169.254.0.0 169.254.169.254 169.254.255.255 fe80::1 febf:ffff::1"),
            (Private, "10.0.0.0 10.255.255.255 172.16.0.0 172.31.255.255 192.168.0.0 192.168.255.255 192.0.0.1"),
            (Private, "fc00::1 fdff:ffff::1 fec0::1 feff::1 64:ff9b:1::1"),
            (Shared, "100.64.0.0 100.127.255.255"),
            (
                Global,
                "1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 169.253.255.255",
            ),
            (Global, "169.255.0.0 172.15.255.255 172.32.0.0 192.167.255.255 192.169.0.0 223.255.255.255 198.18.0.1"),
            (Global, "2606:4700::1 2001:db8::1 203.0.113.9 2001:1::1 fbff::1 200::1 64:ff9b:2::1"),
        ] {
            for address in addresses.split(' ') {
                assert_eq!(class(address), class_of_all, "{address}");
            }
        }
    }

    #[test]
    fn an_ipv4_address_in_ipv6_clothes_keeps_its_class() {
        for (v4, hex, inverted) in [
            ("127.0.0.1", "7f00:1", "80ff:fffe"),
            ("10.1.2.3", "a01:203", "f5fe:fdfc"),
            ("169.254.169.254", "a9fe:a9fe", "5601:5601"),
            ("192.168.1.1", "c0a8:101", "3f57:fefe"),
            ("100.64.0.1", "6440:1", "9bbf:fffe"),
            ("8.8.8.8", "808:808", "f7f7:f7f7"),
            ("255.255.255.255", "ffff:ffff", "0:0"),
        ] {
            for dressed in [
                format!("::ffff:{hex}"),
                format!("::{hex}"),
                format!("::ffff:0:{hex}"),
                format!("64:ff9b::{hex}"),
                format!("2002:{hex}::9"),
                format!("2001:0:1234:5678:0:0:{inverted}"),
            ] {
                assert_eq!(class(&dressed), class(v4), "{dressed}");
                assert_eq!(plain(dressed.parse().unwrap()), v4.parse::<IpAddr>().unwrap(), "{dressed}");
            }
        }
        assert_eq!(plain("2606:4700::1".parse().unwrap()), "2606:4700::1".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn a_source_names_only_addresses_that_are_no_more_local_than_itself() {
        let all = [Nowhere, Global, Shared, Private, LinkLocal, Loopback];
        let named = |source: AddressClass| all.into_iter().filter(|c| source.may_name(*c)).collect::<Vec<_>>();
        assert_eq!(named(Nowhere), [Global]);
        assert_eq!(named(Global), [Global]);
        assert_eq!(named(Shared), [Global, Shared]);
        assert_eq!(named(Private), [Global, Shared, Private]);
        assert_eq!(named(LinkLocal), [Global, Shared, Private, LinkLocal]);
        assert_eq!(named(Loopback), all[1..]);
        assert_eq!(all.map(AddressClass::is_local), [false, false, true, true, true, true]);
    }

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
    fn a_network_is_what_one_holder_can_fill() {
        for (address, of) in [
            ("198.51.100.77", "198.51.100.0"),
            ("::ffff:198.51.100.77", "198.51.100.0"),
            ("2001:db8:1:2::3", "2001:db8:1::"),
        ] {
            assert_eq!(network(address.parse().unwrap()), of.parse::<IpAddr>().unwrap(), "{address}");
        }
    }

    #[test]
    fn names_of_local_networks_are_known_and_others_are_not() {
        for name in
            ["localhost", "LOCALHOST.", "router", "nas.local", "a.b.lan", "x.home.arpa", "metadata.google.internal", ""]
        {
            assert!(is_local_name(name), "{name}");
        }
        for name in ["tracker.example", "local.example", "lan.example.org", "home.arpa.example"] {
            assert!(!is_local_name(name), "{name}");
        }
        assert!(is_web_port(80) && is_web_port(443) && is_web_port(1024) && !is_web_port(22) && !is_web_port(0));
    }

    #[test]
    fn ports_of_other_services_are_left_alone() {
        let acceptable = |named: &str| is_acceptable(addr(named), Loopback);
        for port in [0, 1, 22, 25, 53, 445, 1023] {
            assert!(!acceptable(&format!("9.9.9.9:{port}")) && !acceptable(&format!("10.0.0.1:{port}")), "{port}");
        }
        for port in [80, 443] {
            assert!(acceptable(&format!("9.9.9.9:{port}")) && !acceptable(&format!("10.0.0.1:{port}")), "{port}");
        }
        assert!(acceptable("9.9.9.9:1024") && acceptable("10.0.0.1:65535"));
    }
}
