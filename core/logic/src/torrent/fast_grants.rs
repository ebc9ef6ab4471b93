//! How much of the allowed-fast set (BEP 6) is granted: bounded by connection and by network.

use crate::Time;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// Bytes of the pieces that one connection is allowed at most. Enough to have something to trade, whatever pieces' length.
const MOST_BYTES: u64 = 16 << 20;
/// Bytes that all peers of one network are allowed within [`FORGOTTEN`], since connections can be made anew.
const MOST_BYTES_OF_NETWORK: u64 = 64 << 20;
/// How long that is remembered.
const FORGOTTEN: Duration = Duration::from_secs(3600);
/// Networks that are remembered at most. Beyond it no other is allowed anything.
const MAX_NETWORKS: usize = 1024;

/// The bytes of allowed-fast pieces by network, those for which the pieces are the same.
#[derive(Debug, Default)]
pub(super) struct FastGrants {
    given: BTreeMap<[u8; 3], (Time, u64)>,
}

impl FastGrants {
    /// Chooses among a peer's allowed pieces and their bytes those that it is promised.
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
