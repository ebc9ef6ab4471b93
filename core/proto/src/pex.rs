//! The messages of peer exchange (BEP 11): encoding and decoding.

use crate::address_class::{AddressClass, is_acceptable};
use crate::bencode::{Malformed, Reader, put_string_at};
use crate::compact;
use bytes::{BufMut, Bytes, BytesMut};
use std::net::{IpAddr, SocketAddr};

/// Most addresses of each kind taken from one message.
const MAX_TAKEN: usize = 100;

/// The flags of an address (BEP 11).
pub mod flags {
    /// Flag of a peer that has every piece, or requests nothing more.
    pub const SEED: u8 = 0x02;
    /// Flag of a peer that supports uTP.
    pub const UTP: u8 = 0x04;
    /// Flag of a reachable peer: another peer has dialled it.
    pub const REACHABLE: u8 = 0x10;
}

/// A PEX message: connected and disconnected addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PexMessage {
    /// Peers to which the sender is connected now, with their flags.
    pub added: Vec<(SocketAddr, u8)>,
    /// Peers to which it is no longer connected.
    pub dropped: Vec<SocketAddr>,
}

impl PexMessage {
    /// Returns the payload.
    pub fn encode(&self) -> Bytes {
        let mut lists: [Vec<u8>; 6] = Default::default();
        let [v4, v4_flags, v6, v6_flags, gone4, gone6] = &mut lists;
        for (addr, flags) in &self.added {
            match addr {
                SocketAddr::V4(_) => (compact::put(v4, *addr), v4_flags.push(*flags)),
                SocketAddr::V6(_) => (compact::put(v6, *addr), v6_flags.push(*flags)),
            };
        }
        for addr in &self.dropped {
            compact::put(if addr.is_ipv4() { gone4 } else { gone6 }, *addr);
        }
        let mut out = BytesMut::new();
        out.put_u8(b'd');
        for (key, list) in ["added", "added.f", "added6", "added6.f", "dropped", "dropped6"].into_iter().zip(&lists) {
            put_string_at(&mut out, key, list);
        }
        out.put_u8(b'e');
        out.freeze()
    }

    /// Parses a payload from the peer at `from`. Addresses beyond 100 of a kind are dropped, and so
    /// are addresses that this peer may not name ([`is_acceptable`]).
    pub fn decode(payload: &[u8], from: IpAddr) -> Result<PexMessage, Malformed> {
        let mut lists: [&[u8]; 6] = [&[]; 6];
        Reader::of_peer(payload).dict(|key, r| {
            let at = match key {
                b"added" => 0,
                b"added.f" => 1,
                b"added6" => 2,
                b"added6.f" => 3,
                b"dropped" => 4,
                b"dropped6" => 5,
                _ => return Ok(()),
            };
            lists[at] = r.string_if_any()?.unwrap_or_default();
            Ok(())
        })?;
        let [v4, v4_flags, v6, v6_flags, gone4, gone6] = lists;
        let flag = |flags: &[u8], i: usize| flags.get(i).copied().unwrap_or(0);
        let source = AddressClass::of(from);
        let plausible = |addr: &SocketAddr| is_acceptable(*addr, source);
        let added4 = compact::v4(v4).enumerate().take(MAX_TAKEN).map(|(i, addr)| (addr, flag(v4_flags, i)));
        let added6 = compact::v6(v6).enumerate().take(MAX_TAKEN).map(|(i, addr)| (addr, flag(v6_flags, i)));
        let dropped = compact::v4(gone4).take(MAX_TAKEN).chain(compact::v6(gone6).take(MAX_TAKEN));
        Ok(PexMessage {
            added: added4.chain(added6).filter(|(addr, _)| plausible(addr)).take(MAX_TAKEN).collect(),
            dropped: dropped.filter(plausible).take(MAX_TAKEN).collect(),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const SOMEONE: IpAddr = IpAddr::V4(Ipv4Addr::new(9, 9, 9, 9));

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn both_families_and_their_flags_survive_the_bytes() {
        let message = PexMessage {
            added: vec![
                (addr("1.2.3.4:5000"), flags::SEED),
                (addr("[2001:db8::1]:6881"), flags::UTP | flags::REACHABLE),
            ],
            dropped: vec![addr("4.3.2.1:9000"), addr("[2001:db8::2]:1024")],
        };
        assert_eq!(PexMessage::decode(&message.encode(), SOMEONE).unwrap(), message);
    }

    #[test]
    fn at_most_a_hundred_addresses_are_taken_and_ragged_ends_are_left() {
        let list = [7u8; 6 * 400 + 3];
        let mut payload = format!("d5:added{}:", list.len()).into_bytes();
        payload.extend_from_slice(&list);
        payload.push(b'e');
        assert_eq!(PexMessage::decode(&payload, SOMEONE).unwrap().added.len(), 100);
    }

    #[test]
    fn addresses_that_a_peer_may_not_name_are_left_out() {
        let message = PexMessage {
            added: [
                "0.0.0.0:6881",
                "1.2.3.4:0",
                "1.2.3.4:25",
                "127.0.0.1:6881",
                "192.168.1.1:6881",
                "224.0.0.1:6881",
                "255.255.255.255:6881",
                "[::1]:6881",
                "[::]:6881",
                "[fe80::1]:6881",
            ]
            .map(|a| (addr(a), 0))
            .to_vec(),
            dropped: vec![],
        };
        let from = |ip: &str| PexMessage::decode(&message.encode(), ip.parse().unwrap()).unwrap().added;
        let all = |addrs: &[&str]| addrs.iter().map(|a| (addr(a), 0)).collect::<Vec<_>>();
        assert_eq!(from("9.9.9.9"), []);
        assert_eq!(from("192.168.1.9"), all(&["192.168.1.1:6881"]));
        assert_eq!(from("127.0.0.9"), all(&["127.0.0.1:6881", "192.168.1.1:6881", "[::1]:6881", "[fe80::1]:6881"]));
    }
}
