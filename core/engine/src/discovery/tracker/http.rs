//! The HTTP tracker protocol: BEP 3, compact answers (BEP 23), IPv6 peers (BEP 7).

use super::{Announce, Answer, Event, words};
use crate::bencode::{Malformed, Reader};
use crate::discovery::source;
use playswarm_logic::AddressClass;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use url::Url;

/// Bytes of an answer: 500 peers need 3 KB compact and 50 KB as dictionaries.
const MAX_ANSWER_BYTES: usize = 1 << 20;
/// How long a tracker may take.
const TIMEOUT: Duration = Duration::from_secs(20);

pub(super) async fn announce(
    url: &Url,
    client: &reqwest::Client,
    announce: &Announce,
    found: &(dyn Fn(&[SocketAddr], AddressClass) + Sync),
) -> Result<Answer, String> {
    let response = client.get(with_query(url, announce)).timeout(TIMEOUT).send().await.map_err(|e| source::why(&e))?;
    let status = response.status();
    let from = response.remote_addr().map_or(AddressClass::Global, |addr| AddressClass::of(addr.ip()));
    let body = source::read_body(response, MAX_ANSWER_BYTES).await?;
    // Some trackers explain themselves in the body of a 400.
    match parse(&body) {
        Ok((answer, peers)) if status.is_success() => {
            found(&peers, from);
            Ok(answer)
        }
        Err(why) if status.is_success() || why.starts_with("it says") => Err(why),
        _ => Err(format!("it answered {status}")),
    }
}

/// The announce URL with what it carries already (a passkey, say) and what we add.
fn with_query(url: &Url, announce: &Announce) -> Url {
    let mut query = url.query().map(|own| format!("{own}&")).unwrap_or_default();
    let escape = |query: &mut String, bytes: &[u8]| {
        for byte in bytes {
            // Writing to a string cannot fail.
            let _ = write!(query, "%{byte:02X}");
        }
    };
    query.push_str("info_hash=");
    escape(&mut query, &announce.info_hash);
    query.push_str("&peer_id=");
    escape(&mut query, &announce.peer_id);
    let _ = write!(
        query,
        "&port={}&uploaded={}&downloaded={}&left={}&compact=1&no_peer_id=1&numwant={}&key={:08X}",
        announce.port, announce.uploaded, announce.downloaded, announce.left, announce.wanted, announce.key
    );
    query.push_str(match announce.event {
        Event::None => "",
        Event::Started => "&event=started",
        Event::Completed => "&event=completed",
        Event::Stopped => "&event=stopped",
    });
    let mut url = url.clone();
    url.set_query(Some(&query));
    url
}

impl From<Malformed> for String {
    fn from(why: Malformed) -> String {
        format!("its answer makes no sense: {}", why.0)
    }
}

/// The answer and its peers; or why there are none.
fn parse(body: &[u8]) -> Result<(Answer, Vec<SocketAddr>), String> {
    let mut answer = Answer::default();
    let mut peers = Vec::new();
    let mut failure = None;
    let mut sensible = false;
    let seconds = |n: i64| u64::try_from(n).ok().map(Duration::from_secs);
    Reader::new(body).dictionary(|key, value| -> Result<(), String> {
        let is_string = value.peek()?.is_ascii_digit();
        match key {
            b"failure reason" if is_string => failure = Some(words(value.string()?)),
            b"warning message" if is_string => tracing::debug!(warning = words(value.string()?), "tracker warns"),
            b"interval" if value.peek()? == b'i' => answer.interval = seconds(value.integer()?),
            b"min interval" if value.peek()? == b'i' => answer.min_interval = seconds(value.integer()?),
            b"peers" if is_string => peers.extend(compact_v4(value.string()?)),
            b"peers" if value.peek()? == b'l' => value.list(|peer| -> Result<(), String> {
                if peer.peek()? == b'd' {
                    peers.extend(dictionary_peer(peer)?);
                }
                Ok(())
            })?,
            b"external ip" if is_string => {
                let bytes = value.string()?;
                let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
                answer.external_ip = v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok();
            }
            b"peers6" if is_string => peers.extend(compact_v6(value.string()?)),
            _ => return Ok(()),
        }
        sensible = true;
        Ok(())
    })?;
    match failure {
        Some(why) => Err(format!("it says: {why}")),
        None if !sensible => Err("its answer holds neither peers nor an interval".into()),
        None => {
            peers.truncate(super::MAX_PEERS_OF_ANSWER);
            answer.peers = peers.len();
            Ok((answer, peers))
        }
    }
}

/// 4 bytes of address and 2 of port each; what is left over at the end is ignored.
pub(super) fn compact_v4(bytes: &[u8]) -> impl Iterator<Item = SocketAddr> {
    bytes
        .chunks_exact(6)
        .map(|b| SocketAddr::from((Ipv4Addr::new(b[0], b[1], b[2], b[3]), u16::from_be_bytes([b[4], b[5]]))))
}

/// 16 bytes of address and 2 of port each.
pub(super) fn compact_v6(bytes: &[u8]) -> impl Iterator<Item = SocketAddr> {
    bytes.chunks_exact(18).filter_map(|b| {
        let ip: [u8; 16] = b[..16].try_into().ok()?;
        Some(SocketAddr::from((Ipv6Addr::from(ip), u16::from_be_bytes([b[16], b[17]]))))
    })
}

/// A peer as a dictionary; host names are not looked up.
fn dictionary_peer(peer: &mut Reader<'_>) -> Result<Option<SocketAddr>, String> {
    let (mut ip, mut port) = (None, None);
    peer.dictionary(|key, value| -> Result<(), String> {
        match key {
            b"ip" if value.peek()?.is_ascii_digit() => {
                ip = std::str::from_utf8(value.string()?).ok().and_then(|text| text.parse::<IpAddr>().ok());
            }
            b"port" if value.peek()? == b'i' => port = u16::try_from(value.integer()?).ok(),
            _ => {}
        }
        Ok(())
    })?;
    Ok(ip.zip(port).map(SocketAddr::from))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn peers_come_compact_or_as_dictionaries_and_odd_ones_are_left_out() {
        let (answer, peers) = parse(
            b"d11:external ip4:\x05\x06\x07\x088:intervali1800e12:min intervali60e5:peers7:\x01\x02\x03\x04\x1a\xe1!6:peers618:iiiiiiiiiiiiiiiippe",
        )
        .unwrap();
        assert_eq!(
            answer,
            Answer {
                interval: Some(Duration::from_secs(1800)),
                min_interval: Some(Duration::from_secs(60)),
                peers: 2,
                external_ip: Some("5.6.7.8".parse().unwrap())
            }
        );
        assert_eq!(
            peers,
            ["1.2.3.4:6881".parse().unwrap(), "[6969:6969:6969:6969:6969:6969:6969:6969]:28784".parse().unwrap()]
        );
        let (_, peers) = parse(b"d5:peersld2:ip7:1.2.3.44:porti7eed2:ip9:localhost4:porti7eed2:ip3:::14:porti99999ee3:oddd2:ip3:::14:porti8eeee").unwrap();
        assert_eq!(peers, ["1.2.3.4:7".parse().unwrap(), "[::1]:8".parse().unwrap()]);
    }

    #[test]
    fn failures_and_rubbish_are_told_apart_from_answers() {
        assert_eq!(parse(b"d14:failure reason9:not today5:peers0:e").unwrap_err(), "it says: not today");
        for rubbish in [
            &b""[..],
            b"<html>",
            b"de",
            b"le",
            b"d5:peersi5ee",
            b"d8:intervali99999999999999999999ee",
            b"d5:peers99:x",
            b"d5:peersld2:ip",
        ] {
            assert!(parse(rubbish).is_err(), "{rubbish:?}");
        }
        assert_eq!(parse(b"d8:intervali-5ee").unwrap().0.interval, None);
    }

    #[test]
    fn a_passkey_in_the_url_stays_there() {
        let announce = Announce {
            info_hash: [0xff; 20],
            peer_id: *b"-PS0100-abcdefghijkl",
            port: 5,
            downloaded: 1,
            uploaded: 2,
            left: 3,
            event: Event::Started,
            key: 7,
            wanted: 9,
        };
        let url = with_query(&"http://t.example/a?passkey=x%20y".parse().unwrap(), &announce);
        assert!(url.as_str().starts_with("http://t.example/a?passkey=x%20y&info_hash=%FF%FF"), "{url}");
        assert!(
            url.as_str().ends_with(
                "&port=5&uploaded=2&downloaded=1&left=3&compact=1&no_peer_id=1&numwant=9&key=00000007&event=started"
            ),
            "{url}"
        );
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = parse(&bytes);
            let _ = parse(&[b"d5:peersl", &bytes[..], b"ee"].concat());
        }
    }
}
