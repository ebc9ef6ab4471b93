//! The datagrams of the UDP tracker protocol (BEP 15), with the URL's path and query as in BEP 41.

use super::{Announce, Answer, Event, MAX_PEERS_OF_ANSWER, words};
use crate::compact;
use std::net::SocketAddr;
use std::time::Duration;
use url::Url;

/// Largest answer, bytes: more peers than trackers send.
pub const MAX_DATAGRAM: usize = 16 << 10;

const CONNECT: u32 = 0;
const ANNOUNCE: u32 = 1;
const ERROR: u32 = 3;
const PROTOCOL: u64 = 0x0417_2710_1980;

/// The id of a connection, which the tracker assigns and each announce returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection([u8; 8]);

/// The content of a datagram that answers a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The tracker accepts announces.
    Connected(Connection),
    /// The answer to an announce, and its peers.
    Announced(Answer, Vec<SocketAddr>),
    /// The tracker refuses, for this reason; safe to display.
    Refused(String),
}

/// Returns the first request to a tracker.
pub fn connect(transaction: u32) -> Vec<u8> {
    [&PROTOCOL.to_be_bytes()[..], &CONNECT.to_be_bytes(), &transaction.to_be_bytes()].concat()
}

/// Returns an announce to the tracker with this URL.
pub fn announce(connection: Connection, transaction: u32, url: &Url, announce: &Announce) -> Vec<u8> {
    let event: u32 = match announce.event {
        Event::None => 0,
        Event::Completed => 1,
        Event::Started => 2,
        Event::Stopped => 3,
    };
    let mut packet = Vec::with_capacity(128);
    packet.extend_from_slice(&connection.0);
    packet.extend_from_slice(&ANNOUNCE.to_be_bytes());
    packet.extend_from_slice(&transaction.to_be_bytes());
    packet.extend_from_slice(&announce.info_hash);
    packet.extend_from_slice(&announce.peer_id);
    packet.extend_from_slice(&announce.downloaded.to_be_bytes());
    packet.extend_from_slice(&announce.left.to_be_bytes());
    packet.extend_from_slice(&announce.uploaded.to_be_bytes());
    packet.extend_from_slice(&event.to_be_bytes());
    // Our address: 0 for the sender's address.
    packet.extend_from_slice(&0u32.to_be_bytes());
    packet.extend_from_slice(&announce.key.to_be_bytes());
    packet.extend_from_slice(&announce.wanted.to_be_bytes());
    packet.extend_from_slice(&announce.port.to_be_bytes());
    // BEP 41, only if the URL holds more than the standard announce path: usually a passkey.
    let said = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    if !matches!(said.as_str(), "" | "/" | "/announce") {
        for part in said.as_bytes().chunks(255) {
            packet.push(2);
            packet.push(part.len() as u8);
            packet.extend_from_slice(part);
        }
    }
    packet
}

/// Parses the answer to the request with this transaction number. Returns `None` for any other
/// datagram. The tracker's own address has the family of the peers (`v6`).
pub fn parse(packet: &[u8], transaction: u32, v6: bool) -> Option<Reply> {
    let (action, rest) = number(packet)?;
    let (given, rest) = number(rest)?;
    if given != transaction {
        return None;
    }
    match action {
        CONNECT => rest.first_chunk::<8>().map(|id| Reply::Connected(Connection(*id))),
        ANNOUNCE => {
            let (interval, rest) = number(rest)?;
            let (leeches, rest) = number(rest)?;
            let (seeds, rest) = number(rest)?;
            let mut peers: Vec<SocketAddr> = if v6 { compact::v6(rest).collect() } else { compact::v4(rest).collect() };
            peers.truncate(MAX_PEERS_OF_ANSWER);
            let answer = Answer {
                interval: Some(Duration::from_secs(interval.into())),
                peers: peers.len(),
                seeds: Some(seeds.into()),
                leeches: Some(leeches.into()),
                ..Answer::default()
            };
            Some(Reply::Announced(answer, peers))
        }
        ERROR => Some(Reply::Refused(words(rest))),
        _ => None,
    }
}

/// Returns the number at the start, and the rest.
fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEAD: [u8; 4] = [0, 0, 0, 9];

    fn answer(action: u32, rest: &[u8]) -> Vec<u8> {
        [&action.to_be_bytes()[..], &HEAD, rest].concat()
    }

    #[test]
    fn a_tracker_is_greeted_and_its_connection_returned_with_the_announce() {
        assert_eq!(connect(9), [&0x0417_2710_1980u64.to_be_bytes()[..], &[0, 0, 0, 0], &HEAD].concat());
        let Some(Reply::Connected(connection)) = parse(&answer(CONNECT, b"connect1and more"), 9, false) else {
            panic!("not connected");
        };
        let fields = Announce {
            info_hash: [7; 20],
            peer_id: [8; 20],
            port: 4242,
            downloaded: 1,
            uploaded: 2,
            left: 3,
            event: Event::Started,
            key: 4,
            wanted: 5,
            tracker_id: None,
        };
        let packet = |url: &str, fields: &Announce| announce(connection, 10, &url.parse().unwrap(), fields);
        let plain = packet("udp://t.example:1/announce", &fields);
        assert_eq!(plain.len(), 98, "BEP 15");
        assert_eq!((&plain[..8], &plain[8..16]), (&b"connect1"[..], &[0, 0, 0, 1, 0, 0, 0, 10][..]));
        assert_eq!(
            (&plain[56..64], &plain[64..72], &plain[72..80]),
            (&[0, 0, 0, 0, 0, 0, 0, 1][..], &[0, 0, 0, 0, 0, 0, 0, 3][..], &[0, 0, 0, 0, 0, 0, 0, 2][..])
        );
        assert_eq!((&plain[80..84], &plain[96..98]), (&[0, 0, 0, 2][..], &4242u16.to_be_bytes()[..]));
        assert_eq!(packet("udp://t.example:1/?k=1", &fields)[98..], *b"\x02\x05/?k=1");
        let long = packet(&format!("udp://t.example:1/{}", "x".repeat(300)), &fields);
        assert_eq!((long[98], long[99], long[98 + 257], long[98 + 258]), (2, 255, 2, 46));
    }

    #[test]
    fn answers_are_read_in_the_trackers_address_family_and_foreign_ones_ignored() {
        let numbers = [[0, 0, 7, 8], [0, 0, 0, 4], [0, 0, 0, 3]].concat();
        let peer = [1, 2, 3, 4, 0x1a, 0xe1];
        let told = answer(ANNOUNCE, &[&numbers[..], &peer, &[9]].concat());
        let Some(Reply::Announced(parsed, peers)) = parse(&told, 9, false) else { panic!("no answer") };
        assert_eq!((parsed.interval, parsed.peers), (Some(Duration::from_secs(1800)), 1));
        assert_eq!((parsed.leeches, parsed.seeds), (Some(4), Some(3)));
        assert_eq!(peers, ["1.2.3.4:6881".parse().unwrap()]);
        let six = answer(ANNOUNCE, &[&numbers[..], &[0x69; 18]].concat());
        assert!(matches!(parse(&six, 9, true), Some(Reply::Announced(_, peers)) if peers[0].is_ipv6()));
        assert_eq!(parse(&answer(ERROR, b"no\x1b"), 9, false), Some(Reply::Refused("no\u{fffd}".into())));
        assert_eq!(parse(&told, 8, false), None, "of another transaction");
        for short in [answer(CONNECT, b"1234567"), answer(ANNOUNCE, &[0; 11]), answer(7, &[0; 20]), vec![0; 7], vec![]]
        {
            assert_eq!(parse(&short, 9, false), None, "{short:?}");
        }
        let many = answer(ANNOUNCE, &[9; 12 + 6 * 2000]);
        assert!(
            matches!(parse(&many, 9, false), Some(Reply::Announced(_, peers)) if peers.len() == MAX_PEERS_OF_ANSWER)
        );
    }

    proptest! {
        #[test]
        fn no_datagram_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60), v6 in any::<bool>()) {
            let _ = parse(&bytes, 0, v6);
            let _ = parse(&answer(ANNOUNCE, &bytes), 9, v6);
        }
    }
}
