//! The allowed-fast set of BEP 6: pieces that a peer may request from us while it is choked.

use crate::InfoHash;
use crate::sha1::sha1;
use std::net::IpAddr;

/// Number of pieces in the set (BEP 6 suggests 10): enough for a new peer to have pieces to trade.
pub const ALLOWED_FAST: usize = 10;

/// Returns the first `count` allowed-fast pieces of a peer at `ip`, as every client computes them.
/// The set is empty for IPv6, for which BEP 6 defines none. It holds all pieces if the torrent has
/// no more than `count`.
pub fn allowed_fast(ip: IpAddr, info_hash: &InfoHash, pieces: u32, count: usize) -> Vec<u32> {
    let IpAddr::V4(ip) = ip.to_canonical() else { return Vec::new() };
    if pieces as usize <= count {
        return (0..pieces).collect();
    }
    let mut allowed = Vec::with_capacity(count);
    let mut seed = Vec::with_capacity(24);
    // Only the network part of the address counts, so that a subscriber gains nothing by changing
    // the rest.
    seed.extend_from_slice(&[ip.octets()[0], ip.octets()[1], ip.octets()[2], 0]);
    seed.extend_from_slice(&info_hash.0);
    // SHA-1 values are practically random, so this ends soon; the bound makes that certain.
    for _ in 0..1000 {
        let digest = sha1(&seed);
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

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
