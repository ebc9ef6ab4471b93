//! Bounds on the allowed-fast set (BEP 6), by connection and by network.

use crate::Time;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// Most bytes of allowed-fast pieces for one connection. Enough to have pieces to trade, whatever
/// their length.
const MOST_BYTES: u64 = 16 << 20;
/// Most bytes of allowed-fast pieces for all peers of one network within [`FORGOTTEN`], since a
/// peer can reconnect.
const MOST_BYTES_OF_NETWORK: u64 = 64 << 20;
/// Time for which a grant is remembered.
const FORGOTTEN: Duration = Duration::from_secs(3600);
/// Most networks remembered. Beyond it, further networks receive no grant.
const MAX_NETWORKS: usize = 1024;

/// A record of the bytes of allowed-fast pieces granted to each network. Peers of one network have
/// the same allowed-fast set.
#[derive(Debug, Default)]
pub(super) struct FastGrants {
    given: BTreeMap<[u8; 3], (Time, u64)>,
}

impl FastGrants {
    /// Selects the pieces to grant from a peer's allowed-fast set, given with their lengths.
    pub(super) fn grant(&mut self, now: Time, ip: IpAddr, pieces: impl Iterator<Item = (u32, u32)>) -> Vec<(u32, u32)> {
        let IpAddr::V4(ip) = ip.to_canonical() else { return Vec::new() };
        let [a, b, c, _] = ip.octets();
        self.given.retain(|_, (since, _)| now.since(*since) < FORGOTTEN);
        if self.given.len() >= MAX_NETWORKS && !self.given.contains_key(&[a, b, c]) {
            return Vec::new();
        }
        let (_, given) = self.given.entry([a, b, c]).or_insert((now, 0));
        let mut left = MOST_BYTES.min(MOST_BYTES_OF_NETWORK.saturating_sub(*given));
        let fits = |(_, bytes): &(u32, u32)| {
            let rest = left.checked_sub(u64::from(*bytes));
            left = rest.unwrap_or(left);
            rest.is_some()
        };
        let granted: Vec<(u32, u32)> = pieces.filter(fits).collect();
        *given += granted.iter().map(|(_, bytes)| u64::from(*bytes)).sum::<u64>();
        granted
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn promises_are_bounded_by_connection_and_by_network() {
        let mut grants = FastGrants::default();
        let mut grant = |s, ip: &str, bytes: u32| {
            let pieces = (0..10).map(|piece| (piece, bytes));
            grants.grant(Time::from_secs_f64(s), ip.parse().unwrap(), pieces).len()
        };
        assert_eq!(grant(0.0, "80.4.4.200", 1 << 20), 10);
        assert_eq!(grant(0.0, "80.4.4.201", 4 << 20), 4);
        let again: usize = (0..20).map(|_| grant(9.0, "80.4.4.7", 4 << 20)).sum();
        assert_eq!(again, 9, "64 MiB in all");
        assert_eq!(grant(9.0, "80.4.5.7", 4 << 20), 4);
        assert_eq!(grant(9.0, "80.4.6.7", 32 << 20), 0);
        assert_eq!(grant(3700.0, "80.4.4.7", 4 << 20), 4);
        assert_eq!(grant(9.0, "2001:db8::1", 1), 0);
    }
}
