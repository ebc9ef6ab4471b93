//! The allowed-fast set of BEP 6: pieces that a peer may ask of us while it is choked.

use crate::torrent::InfoHash;
use librqbit_sha1_wrapper::{ISha1, Sha1};
use playswarm_logic::Time;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// Pieces in the set (BEP 6 suggests 10): enough for a newcomer to have something to trade.
pub(crate) const ALLOWED_FAST: usize = 10;

/// The first `count` pieces that a peer at `ip` is allowed, as every client computes them. Empty for IPv6, for which
/// BEP 6 defines none; all pieces where the torrent has no more than `count`.
pub(crate) fn allowed_fast(ip: IpAddr, info_hash: &InfoHash, pieces: u32, count: usize) -> Vec<u32> {
    let IpAddr::V4(ip) = ip.to_canonical() else { return Vec::new() };
    if pieces as usize <= count {
        return (0..pieces).collect();
    }
    let mut allowed = Vec::with_capacity(count);
    let mut seed = Vec::with_capacity(24);
    // The network's part of the address only, so that a subscriber gains nothing by changing the rest.
    seed.extend_from_slice(&[ip.octets()[0], ip.octets()[1], ip.octets()[2], 0]);
    seed.extend_from_slice(&info_hash.0);
    // SHA-1's values are as good as random, so this ends soon; the bound is for the mind.
    for _ in 0..1000 {
        let mut hash = Sha1::new();
        hash.update(&seed);
        let digest = hash.finish();
        for word in digest.as_chunks::<4>().0 {
            let piece = u32::from_be_bytes(*word) % pieces;
            if !allowed.contains(&piece) {
                allowed.push(piece);
            }
            if allowed.len() == count {
                return allowed;
            }
        }
        seed.clear();
        seed.extend_from_slice(&digest);
    }
    allowed
}

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
pub(crate) struct FastGrants {
    given: BTreeMap<[u8; 3], (Time, u64)>,
}

impl FastGrants {
    /// Chooses among a peer's allowed pieces and their bytes those that it is promised.
    pub(crate) fn grant(&mut self, now: Time, ip: IpAddr, pieces: impl Iterator<Item = (u32, u32)>) -> Vec<(u32, u32)> {
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

    #[test]
    fn the_example_of_bep_6_comes_out() {
        let set = |k| allowed_fast("80.4.4.200".parse().unwrap(), &InfoHash([0xaa; 20]), 1313, k);
        assert_eq!(set(7), [1059, 431, 808, 1217, 287, 376, 1188]);
        assert_eq!(set(9), [1059, 431, 808, 1217, 287, 376, 1188, 353, 508]);
    }

    #[test]
    fn small_torrents_and_ipv6_have_plain_answers() {
        let hash = InfoHash([0xaa; 20]);
        assert_eq!(allowed_fast("80.4.4.200".parse().unwrap(), &hash, 3, 10), [0, 1, 2]);
        assert!(allowed_fast("2001:db8::1".parse().unwrap(), &hash, 1313, 10).is_empty());
        assert!(allowed_fast("80.4.4.200".parse().unwrap(), &hash, 0, 10).is_empty());
    }
}
