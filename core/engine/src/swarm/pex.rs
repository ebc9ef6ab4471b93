//! Peer exchange (BEP 11): its messages, and what to say to one peer, when.
//!
//! Which of the addresses learnt are dialled is for discovery and the driver. Private torrents (BEP 27) neither send nor
//! take it: their driver makes no [`PexState`], and `extended` does not offer it.

use crate::bencode::{Malformed, Reader, put_string_at};
use bytes::{BufMut, Bytes, BytesMut};
use playswarm_logic::named_peers::is_acceptable;
use playswarm_logic::{AddressClass, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// Between two messages to one peer (BEP 11: not more than one a minute).
const INTERVAL: Duration = Duration::from_secs(60);
/// Messages of a peer that come faster than this count against it; BEP 11's minute, less some slack for clocks and queues.
const MIN_RECEIVED_INTERVAL: Duration = Duration::from_secs(45);
/// Most addresses added, and dropped, in one of our messages (BEP 11).
const MAX_SENT: usize = 50;
/// Most addresses taken from one message, of each kind.
const MAX_TAKEN: usize = 100;

/// What is known of an address (BEP 11).
pub(crate) mod flags {
    /// It has all, or takes nothing more.
    pub(crate) const SEED: u8 = 0x02;
    /// It speaks uTP.
    pub(crate) const UTP: u8 = 0x04;
    /// It can be reached: someone has dialled it.
    pub(crate) const REACHABLE: u8 = 0x10;
}

/// One message: addresses that came and went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PexMessage {
    /// Peers that the sender is connected to now, with their flags.
    pub(crate) added: Vec<(SocketAddr, u8)>,
    /// Peers that it is not connected to any more.
    pub(crate) dropped: Vec<SocketAddr>,
}

impl PexMessage {
    /// The payload.
    pub(crate) fn encode(&self) -> Bytes {
        let mut lists: [Vec<u8>; 6] = Default::default();
        let [v4, v4_flags, v6, v6_flags, gone4, gone6] = &mut lists;
        for (addr, flags) in &self.added {
            match addr {
                SocketAddr::V4(_) => (put_addr(v4, addr), v4_flags.push(*flags)),
                SocketAddr::V6(_) => (put_addr(v6, addr), v6_flags.push(*flags)),
            };
        }
        for addr in &self.dropped {
            put_addr(if addr.is_ipv4() { gone4 } else { gone6 }, addr);
        }
        let mut out = BytesMut::new();
        out.put_u8(b'd');
        for (key, list) in ["added", "added.f", "added6", "added6.f", "dropped", "dropped6"].into_iter().zip(&lists) {
            put_string_at(&mut out, key, list);
        }
        out.put_u8(b'e');
        out.freeze()
    }

    /// Reads a payload that came from `from`. Beyond 100 addresses of a kind the rest is left out, and so are addresses
    /// that this peer may not name ([`is_acceptable`]).
    pub(crate) fn decode(payload: &[u8], from: IpAddr) -> Result<PexMessage, Malformed> {
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
        let with_flags = |addrs: Vec<SocketAddr>, flags: &[u8]| {
            let flags = flags.to_vec();
            addrs.into_iter().enumerate().map(move |(i, a)| (a, flags.get(i).copied().unwrap_or(0)))
        };
        let source = AddressClass::of(from);
        let plausible = |addr: &SocketAddr| is_acceptable(*addr, source);
        let added = with_flags(addrs4(v4), v4_flags).chain(with_flags(addrs6(v6), v6_flags));
        Ok(PexMessage {
            added: added.filter(|(addr, _)| plausible(addr)).take(MAX_TAKEN).collect(),
            dropped: addrs4(gone4).into_iter().chain(addrs6(gone6)).filter(plausible).take(MAX_TAKEN).collect(),
        })
    }
}

fn put_addr(out: &mut Vec<u8>, addr: &SocketAddr) {
    match addr.ip() {
        IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
    }
    out.extend_from_slice(&addr.port().to_be_bytes());
}

fn addrs4(bytes: &[u8]) -> Vec<SocketAddr> {
    let (entries, _) = bytes.as_chunks::<6>();
    let addr = |&[a, b, c, d, hi, lo]: &[u8; 6]| {
        SocketAddr::new(Ipv4Addr::new(a, b, c, d).into(), u16::from_be_bytes([hi, lo]))
    };
    entries.iter().take(MAX_TAKEN).map(addr).collect()
}

fn addrs6(bytes: &[u8]) -> Vec<SocketAddr> {
    let (entries, _) = bytes.as_chunks::<18>();
    let addr = |entry: &[u8; 18]| {
        let mut ip = [0; 16];
        ip.copy_from_slice(&entry[..16]);
        SocketAddr::new(Ipv6Addr::from(ip).to_canonical(), u16::from_be_bytes([entry[16], entry[17]]))
    };
    entries.iter().take(MAX_TAKEN).map(addr).collect()
}

/// What one peer has been told, and when it last told us something.
#[derive(Debug, Default)]
pub(crate) struct PexState {
    told: BTreeSet<SocketAddr>,
    sent_at: Option<Time>,
    received_at: Option<Time>,
}

impl PexState {
    /// When there may be something to say next.
    pub(crate) fn next_timeout(&self) -> Time {
        self.sent_at.map_or(Time::ZERO, |at| at + INTERVAL)
    }

    /// What to send now, if it is time and something has changed. `connected`: the addresses on which the connected
    /// peers listen, and their flags; `peer` itself is left out.
    pub(crate) fn poll(
        &mut self,
        now: Time,
        peer: SocketAddr,
        connected: &BTreeMap<SocketAddr, u8>,
    ) -> Option<PexMessage> {
        if now < self.next_timeout() {
            return None;
        }
        self.sent_at = Some(now);
        let added: Vec<_> = connected
            .iter()
            .filter(|(addr, _)| **addr != peer && !self.told.contains(addr))
            .take(MAX_SENT)
            .map(|(addr, flags)| (*addr, *flags))
            .collect();
        let dropped: Vec<_> =
            self.told.iter().filter(|addr| !connected.contains_key(addr)).take(MAX_SENT).copied().collect();
        if added.is_empty() && dropped.is_empty() {
            return None;
        }
        self.told.extend(added.iter().map(|(addr, _)| *addr));
        self.told.retain(|addr| !dropped.contains(addr));
        Some(PexMessage { added, dropped })
    }

    /// A message came; false if that was too soon after the last, in which case it is to be ignored.
    pub(crate) fn received(&mut self, now: Time) -> bool {
        let soon = self.received_at.is_some_and(|at| now.since(at) < MIN_RECEIVED_INTERVAL);
        if !soon {
            self.received_at = Some(now);
        }
        !soon
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SOMEONE: IpAddr = IpAddr::V4(Ipv4Addr::new(9, 9, 9, 9));

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn many(n: u8) -> BTreeMap<SocketAddr, u8> {
        (0..n).map(|i| (SocketAddr::new(Ipv4Addr::new(5, 5, 5, i).into(), 6881), 0)).collect()
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

    #[test]
    fn each_minute_tells_what_changed_and_never_the_peer_of_itself() {
        let (mut state, mut connected) = (PexState::default(), many(3));
        let peer = addr("5.5.5.1:6881");
        let first = state.poll(Time::ZERO, peer, &connected).unwrap();
        assert_eq!(first.added.len(), 2);
        assert!(first.added.iter().all(|(a, _)| *a != peer));
        connected.remove(&addr("5.5.5.0:6881"));
        assert_eq!(state.poll(Time::from_secs_f64(59.0), peer, &connected), None);
        let next = state.poll(Time::from_secs_f64(60.0), peer, &connected).unwrap();
        assert_eq!(next, PexMessage { added: vec![], dropped: vec![addr("5.5.5.0:6881")] });
        assert_eq!(state.poll(Time::from_secs_f64(120.0), peer, &connected), None);
    }

    #[test]
    fn a_large_swarm_is_told_in_parts_of_fifty() {
        let (mut state, connected) = (PexState::default(), many(120));
        let counts: Vec<usize> = (0..4)
            .map(|i| {
                state
                    .poll(Time::from_secs_f64(60.0 * f64::from(i)), addr("9.9.9.9:1"), &connected)
                    .map_or(0, |m| m.added.len())
            })
            .collect();
        assert_eq!(counts, [50, 50, 20, 0]);
    }

    #[test]
    fn messages_that_come_too_often_are_noticed() {
        let mut state = PexState::default();
        assert!(state.received(Time::ZERO));
        assert!(!state.received(Time::from_secs_f64(10.0)));
        assert!(state.received(Time::from_secs_f64(60.0)));
    }
}
