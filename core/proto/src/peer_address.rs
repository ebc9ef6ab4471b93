//! A peer's address as written by users, settings and magnet links: an IP address or a host name,
//! with a port.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use url::Host;

/// Longest host name in bytes (RFC 1035).
const MAX_NAME_BYTES: usize = 253;

/// A peer's address: `192.0.2.7:6881`, `[2001:db8::7]:6881` or `peer.example:6881`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PeerAddress {
    /// An IP address and a port.
    Ip(SocketAddr),
    /// A host name, which is resolved when the peer is dialled.
    Name {
        /// The name in its ASCII form.
        host: String,
        /// The port.
        port: u16,
    },
}

impl PeerAddress {
    /// Parses a tracker's host, which is an IP address or a host name without a port. Returns
    /// `None` where no connection is possible.
    pub fn of_host(host: &str, port: u16) -> Option<PeerAddress> {
        if port == 0 {
            return None;
        }
        let host = host.trim();
        if let Ok(ip) = host.trim_start_matches('[').trim_end_matches(']').parse() {
            return Some(PeerAddress::Ip(SocketAddr::new(ip, port))).filter(PeerAddress::leads_somewhere);
        }
        match Host::parse(host).ok()? {
            Host::Domain(name) if name.len() <= MAX_NAME_BYTES && !name.trim_matches('.').is_empty() => {
                Some(PeerAddress::Name { host: name, port })
            }
            // "127.1" and "0x7f000001" are other spellings of an IP address.
            Host::Ipv4(ip) => Some(PeerAddress::Ip((ip, port).into())).filter(PeerAddress::leads_somewhere),
            _ => None,
        }
    }

    fn leads_somewhere(&self) -> bool {
        match self {
            PeerAddress::Ip(addr) => addr.port() != 0 && !addr.ip().is_unspecified(),
            PeerAddress::Name { port, .. } => *port != 0,
        }
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeerAddress::Ip(addr) => addr.fmt(f),
            PeerAddress::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

impl FromStr for PeerAddress {
    type Err = String;
    fn from_str(text: &str) -> Result<PeerAddress, String> {
        let text = text.trim();
        let parsed = match text.parse::<SocketAddr>() {
            Ok(addr) => Some(PeerAddress::Ip(addr)).filter(PeerAddress::leads_somewhere),
            Err(_) => text
                .rsplit_once(':')
                // An IPv6 address needs brackets: without them its last group would count as the
                // port.
                .filter(|(host, _)| !host.contains(':'))
                .and_then(|(host, port)| PeerAddress::of_host(host, port.parse().ok()?)),
        };
        parsed.ok_or_else(|| {
            let shown: String = text.chars().filter(|c| !c.is_control()).take(80).collect();
            format!(
                "'{shown}' is not an address with a port, such as 192.0.2.7:6881, [2001:db8::7]:6881 or peer.example:6881"
            )
        })
    }
}

impl From<SocketAddr> for PeerAddress {
    fn from(addr: SocketAddr) -> PeerAddress {
        PeerAddress::Ip(addr)
    }
}

impl Serialize for PeerAddress {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PeerAddress {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<PeerAddress, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_host_names_are_read_and_written_alike() {
        for (given, written) in [
            ("192.0.2.7:6881", "192.0.2.7:6881"),
            (" [2001:db8::7]:6881\n", "[2001:db8::7]:6881"),
            ("peer.example:6881", "peer.example:6881"),
            ("Seed-Box.Example:1", "seed-box.example:1"),
            ("localhost:65535", "localhost:65535"),
            ("bücher.example:80", "xn--bcher-kva.example:80"),
            ("127.1:80", "127.0.0.1:80"),
        ] {
            let address: PeerAddress = given.parse().unwrap();
            assert_eq!(address.to_string(), written, "{given}");
            assert_eq!(
                serde_json::from_str::<PeerAddress>(&serde_json::to_string(&address).unwrap()).unwrap(),
                address
            );
        }
    }

    #[test]
    fn what_leads_nowhere_is_refused_with_a_sentence() {
        for bad in [
            "",
            ":",
            ":1",
            "host",
            "host:",
            "host:0",
            "host:65536",
            "1.2.3.4:0",
            "0.0.0.0:1",
            "[::]:1",
            "::1:5",
            "a b:1",
            "a/b:1",
            "user@host:1",
            ".:1",
            "host:1:2",
            "1.2.3.4:99999",
        ] {
            let why = bad.parse::<PeerAddress>().expect_err(bad);
            assert!(why.contains("not an address with a port"), "{why}");
        }
        assert!(format!("{}:1", "x".repeat(300)).parse::<PeerAddress>().is_err());
    }

    #[test]
    fn the_host_and_port_of_a_trackers_dictionary_are_an_address_too() {
        let of = |host: &str| PeerAddress::of_host(host, 7).map(|a| a.to_string());
        assert_eq!(of("1.2.3.4").as_deref(), Some("1.2.3.4:7"));
        assert_eq!(of("::1").as_deref(), Some("[::1]:7"));
        assert_eq!(of("[::1]").as_deref(), Some("[::1]:7"));
        assert_eq!(of("peer.example").as_deref(), Some("peer.example:7"));
        assert_eq!((of(""), of("a b")), (None, None));
        for host in ["1.2.3.4", "peer.example"] {
            assert_eq!(PeerAddress::of_host(host, 0), None, "{host}");
        }
    }
}
