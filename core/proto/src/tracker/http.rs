//! The announce URL of the HTTP tracker protocol (BEP 3), and its answer (BEP 3, 7, 23, 24, 31),
//! which is parsed as leniently as other clients do.
//!
//! Trackers put blank lines, byte order marks or script warnings in front, write numbers as
//! strings, and name odd peers among good ones. None of that prevents reading the rest.

use super::{Announce, Answer, Event, MAX_PEERS_OF_ANSWER, Retry, words};
use crate::bencode::{Malformed, Reader};
use crate::{PeerAddress, compact};
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use url::Url;

/// Most bytes skipped in front of an answer.
const MAX_IN_FRONT: usize = 4096;
/// Most positions tried as the beginning of an answer.
const MAX_TRIES: usize = 16;
/// Most peers with host names taken from one answer: each costs a lookup.
const MAX_NAMES: usize = 20;

/// The reason why an answer cannot be read, as a sentence about the tracker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadAnswer(pub String);

impl From<Malformed> for BadAnswer {
    fn from(why: Malformed) -> BadAnswer {
        BadAnswer(format!("its answer is malformed: {}", why.0))
    }
}

type Result<T> = std::result::Result<T, BadAnswer>;

/// A parsed answer and its peers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// The answer.
    pub answer: Answer,
    /// Addresses of peers.
    pub peers: Vec<SocketAddr>,
    /// Peers whose host names must be resolved.
    pub names: Vec<PeerAddress>,
    /// Message of the tracker if it refuses the announce.
    pub refusal: Option<(String, Retry)>,
}

/// Returns the announce URL with its own query (a passkey, for example) and our fields.
pub fn announce_url(url: &Url, announce: &Announce) -> Url {
    let mut query = url.query().filter(|own| !own.is_empty()).map(|own| format!("{own}&")).unwrap_or_default();
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
    if let Some(id) = &announce.tracker_id {
        query.push_str("&trackerid=");
        escape(&mut query, id);
    }
    let mut url = url.clone();
    url.set_query(Some(&query));
    url
}

/// Parses an answer, whatever precedes or follows it.
pub fn parse(body: &[u8]) -> Result<Parsed> {
    let first = dictionary(body);
    if first.is_ok() {
        return first;
    }
    let begins = |n: &usize| body[*n] == b'd' && body.get(n + 1).is_some_and(u8::is_ascii_digit);
    let tries = (1..body.len().min(MAX_IN_FRONT)).filter(begins).take(MAX_TRIES);
    tries.map(|n| dictionary(&body[n..])).find(Result::is_ok).unwrap_or(first)
}

fn dictionary(body: &[u8]) -> Result<Parsed> {
    let mut parsed = Parsed::default();
    let mut refused = None;
    let mut retry = Retry::Usual;
    let mut sensible = false;
    let end = Reader::new(body).dictionary(|key, value| -> Result<()> {
        let is_string = value.peek()?.is_ascii_digit();
        let answer = &mut parsed.answer;
        match key {
            b"failure reason" if is_string => refused = Some(words(value.string()?)),
            // Of another type: the tracker refuses without a message.
            b"failure reason" => {
                value.skip()?;
                refused = Some("no reason".to_owned());
            }
            b"warning message" if is_string => answer.warning = Some(words(value.string()?)).filter(|w| !w.is_empty()),
            b"interval" => answer.interval = seconds(value.number()?),
            b"min interval" => answer.min_interval = seconds(value.number()?),
            b"complete" => answer.seeds = value.number()?.and_then(|n| u64::try_from(n).ok()),
            b"incomplete" => answer.leeches = value.number()?.and_then(|n| u64::try_from(n).ok()),
            b"retry in" if is_string && value.clone().string()? == b"never" => retry = Retry::Never,
            b"retry in" => {
                let pause = value.number()?.and_then(|minutes| seconds(minutes.checked_mul(60)));
                retry = pause.map_or(Retry::Usual, Retry::In);
            }
            b"tracker id" if is_string => answer.tracker_id = Some(value.string()?.to_vec()),
            b"external ip" if is_string => answer.external_ip = address(value.string()?),
            b"peers" if is_string => parsed.peers.extend(compact::v4(value.string()?)),
            b"peers" if value.peek()? == b'l' => value.list(|peer| peer_of_list(peer, &mut parsed))?,
            b"peers6" if is_string => parsed.peers.extend(compact::v6(value.string()?)),
            _ => return Ok(()),
        }
        sensible = true;
        Ok(())
    });
    // An answer that is truncated after its peers is sufficient.
    if parsed.peers.is_empty() {
        end?;
    }
    match refused {
        // Some trackers always write the field.
        Some(why) if !why.is_empty() || parsed.peers.is_empty() => parsed.refusal = Some((why, retry)),
        _ if !sensible => return Err(BadAnswer("its answer has neither peers nor an interval".to_owned())),
        _ => {}
    }
    parsed.peers.truncate(MAX_PEERS_OF_ANSWER);
    parsed.names.truncate(MAX_NAMES);
    parsed.answer.peers = parsed.peers.len() + parsed.names.len();
    Ok(parsed)
}

fn seconds(n: impl Into<Option<i64>>) -> Option<Duration> {
    n.into().and_then(|n| u64::try_from(n).ok()).map(Duration::from_secs)
}

/// Parses an address of 4 or 16 bytes; some trackers write it as text.
fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(v4.into());
    }
    if let Some(ip) = std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()) {
        return Some(ip);
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

/// Reads a peer as a dictionary: an IP address or a host name, and a port.
fn peer_of_list(peer: &mut Reader<'_>, parsed: &mut Parsed) -> Result<()> {
    if peer.peek()? != b'd' {
        return Ok(());
    }
    let (mut host, mut port) = (None, None);
    peer.dictionary(|key, value| -> Result<()> {
        match key {
            b"ip" if value.peek()?.is_ascii_digit() => host = std::str::from_utf8(value.string()?).ok(),
            b"port" => port = value.number()?.and_then(|n| u16::try_from(n).ok()),
            _ => {}
        }
        Ok(())
    })?;
    match host.zip(port).and_then(|(host, port)| PeerAddress::of_host(host, port)) {
        Some(PeerAddress::Ip(addr)) if parsed.peers.len() < MAX_PEERS_OF_ANSWER => parsed.peers.push(addr),
        Some(name @ PeerAddress::Name { .. }) if parsed.names.len() < MAX_NAMES => parsed.names.push(name),
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refusal(body: &[u8]) -> (String, Retry) {
        parse(body).unwrap().refusal.unwrap()
    }
    fn addrs<const N: usize>(texts: [&str; N]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    const PLAIN: &[u8] = b"d8:completei3e11:external ip4:\x05\x06\x07\x0810:incompletei4e8:intervali1800e12:min intervali60e5:peers7:\x01\x02\x03\x04\x1a\xe1!6:peers618:iiiiiiiiiiiiiiiipp10:tracker id3:abce";

    #[test]
    fn peers_come_compact_or_as_dictionaries_and_odd_ones_are_left_out() {
        let Parsed { answer, peers, .. } = parse(PLAIN).unwrap();
        let wanted = Answer {
            interval: Some(Duration::from_secs(1800)),
            min_interval: Some(Duration::from_secs(60)),
            peers: 2,
            seeds: Some(3),
            leeches: Some(4),
            warning: None,
            tracker_id: Some(b"abc".to_vec()),
            external_ip: Some("5.6.7.8".parse().unwrap()),
        };
        assert_eq!(answer, wanted);
        assert_eq!(peers, addrs(["1.2.3.4:6881", "[6969:6969:6969:6969:6969:6969:6969:6969]:28784"]));
        let listed = b"d5:peersld2:ip7:1.2.3.44:porti7eed2:ip9:localhost4:porti7eed2:ip3:::14:porti99999ee3:oddd2:ip3:::14:port1:8eeee";
        let Parsed { peers, names, .. } = parse(listed).unwrap();
        assert_eq!(peers, addrs(["1.2.3.4:7", "[::1]:8"]));
        assert_eq!(names, ["localhost:7".parse().unwrap()]);
    }

    #[test]
    fn an_answer_is_read_whatever_stands_around_it() {
        let wanted = parse(PLAIN).unwrap();
        for front in [
            &b"\r\n"[..],
            b"\n\n  ",
            b"\xef\xbb\xbf",
            b"\xef\xbb\xbf\r\n",
            b"<br />\n<b>Warning</b>: fopen() failed in d2.php on line 12<br />\n",
            b"ICY 200 OK\r\nContent-Length: 9\r\n\r\n",
        ] {
            for behind in [&b""[..], b"\n", b"\r\n<!-- 0.1 s -->", b"\0\0"] {
                assert_eq!(parse(&[front, PLAIN, behind].concat()).unwrap(), wanted, "{front:?} {behind:?}");
            }
        }
        assert_eq!(parse(&PLAIN[..PLAIN.len() - 3]).unwrap().peers, wanted.peers, "it is cut off behind its peers");
    }

    #[test]
    fn numbers_may_be_strings() {
        let answer = parse(b"d8:interval4:180012:min interval3: 60e").unwrap().answer;
        assert_eq!(answer.interval, Some(Duration::from_secs(1800)));
        assert_eq!(answer.min_interval, Some(Duration::from_secs(60)));
        assert_eq!(parse(b"d8:interval4:soon5:peers0:e").unwrap().answer.interval, None);
        assert_eq!(parse(b"d8:intervali-5ee").unwrap().answer.interval, None);
    }

    #[test]
    fn failures_and_garbage_are_distinguished_from_answers() {
        assert_eq!(refusal(b"d14:failure reason9:not today5:peers0:e"), ("not today".into(), Retry::Usual));
        assert_eq!(refusal(b"d14:failure reason2:no8:retry ini5ee").1, Retry::In(Duration::from_secs(300)));
        assert_eq!(refusal(b"d14:failure reason2:no8:retry in1:5e").1, Retry::In(Duration::from_secs(300)));
        assert_eq!(refusal(b"d14:failure reason2:no8:retry in5:nevere").1, Retry::Never);
        assert_eq!(refusal(b"d14:failure reason2:no8:retry ini9223372036854775807ee").1, Retry::Usual);
        assert_eq!(refusal(b"d14:failure reason6:a\x1b[2Jbe").0, "a\u{fffd}[2Jb");
        assert_eq!(refusal(b"d14:failure reasoni5ee").0, "no reason");
        let russian = b"d14:failure reason17:\xd2\xee\xf0\xf0\xe5\xed\xf2 \xed\xe5 \xed\xe0\xe9\xe4\xe5\xede";
        assert_eq!(refusal(russian).0, "Торрент не найден");
        assert_eq!(parse(b"d14:failure reason0:5:peers6:\x01\x02\x03\x04\x1a\xe1e").unwrap().refusal, None);
        let warned = parse(b"d15:warning message3:old5:peers0:e").unwrap();
        assert_eq!((warned.answer.warning.as_deref(), warned.refusal), (Some("old"), None));
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
    }

    #[test]
    fn long_answers_are_cut() {
        let many = [b"d5:peers60000:".to_vec(), vec![9; 60_000], b"e".to_vec()].concat();
        assert_eq!(parse(&many).unwrap().peers.len(), MAX_PEERS_OF_ANSWER);
        let names = [b"d5:peersl".to_vec(), b"d2:ip3:a.b4:porti7ee".repeat(1000), b"ee".to_vec()].concat();
        assert_eq!(parse(&names).unwrap().names.len(), MAX_NAMES);
    }

    #[test]
    fn a_passkey_in_the_url_stays_there() {
        let mut announce = Announce {
            info_hash: [0xff; 20],
            peer_id: *b"-PS0100-abcdefghijkl",
            port: 5,
            downloaded: 1,
            uploaded: 2,
            left: 3,
            event: Event::Started,
            key: 7,
            wanted: 9,
            tracker_id: None,
        };
        let url = announce_url(&"http://t.example/a?passkey=x%20y".parse().unwrap(), &announce);
        assert!(url.as_str().starts_with("http://t.example/a?passkey=x%20y&info_hash=%FF%FF"), "{url}");
        assert!(
            url.as_str().ends_with(
                "&port=5&uploaded=2&downloaded=1&left=3&compact=1&no_peer_id=1&numwant=9&key=00000007&event=started"
            ),
            "{url}"
        );
        announce.tracker_id = Some(b"a&\0".to_vec());
        let url = announce_url(&"http://t.example/a?".parse().unwrap(), &announce);
        assert!(url.as_str().starts_with("http://t.example/a?info_hash="), "{url}");
        assert!(url.as_str().ends_with("&event=started&trackerid=%61%26%00"), "{url}");
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = parse(&bytes);
            let _ = parse(&[b"d5:peersl", &bytes[..], b"ee"].concat());
        }
    }
}
