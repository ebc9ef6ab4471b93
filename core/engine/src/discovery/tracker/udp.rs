//! The UDP tracker protocol (BEP 15), with the URL's path and query as in BEP 41.

use super::answer::{Answer, Failure};
use super::http::Found;
use super::{Announce, Event, MAX_PEERS_OF_ANSWER, words};
use crate::discovery::web::{self, NotGot, Terms};
use playswarm_proto::{AddressClass, compact};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};
use url::Url;

/// Times to wait for an answer before the request is sent again. BEP 15's 15 s would keep a viewer
/// waiting for one lost packet.
const WAITS: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(8)];
/// Largest datagram, bytes: more peers than trackers send.
const MAX_DATAGRAM: usize = 16 << 10;

const CONNECT: u32 = 0;
const ANNOUNCE: u32 = 1;
const ERROR: u32 = 3;
const PROTOCOL: u64 = 0x0417_2710_1980;

/// Announces. Returns `None` if the tracker has no address of the family that `terms` demand. Of
/// several addresses, the first that answers counts.
pub(super) async fn announce(
    url: &Url,
    terms: Terms,
    announce: &Announce,
    found: &Found<'_>,
) -> Result<Option<Answer>, Failure> {
    let port = url.port().ok_or("its URL has no port".to_owned())?;
    // A datagram of this protocol has no effect on other services, so the path is not checked here.
    let terms = Terms { announce_only: false, ..terms };
    let addresses = match web::permitted(&web::addresses(url, port).await?, &terms, "") {
        Ok(addresses) => addresses,
        Err(NotGot::NoSuchFamily) => return Ok(None),
        Err(NotGot::Failed(why)) => return Err(why.into()),
    };
    let (answer, peers, from) = web::race(addresses, |addr| exchange(addr, url, announce)).await?;
    found(&peers, Vec::new(), AddressClass::of(from));
    Ok(Some(answer))
}

/// Announces to one address. Returns its answer, the peers named, and the address itself.
async fn exchange(
    addr: SocketAddr,
    url: &Url,
    announce: &Announce,
) -> Result<(Answer, Vec<SocketAddr>, IpAddr), String> {
    let any: IpAddr = if addr.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await.map_err(|e| e.to_string())?;
    // The system then drops datagrams from others, and reports a closed port.
    socket.connect(addr).await.map_err(|e| e.to_string())?;

    let transaction = crate::discovery::random_u32();
    let connect = [&PROTOCOL.to_be_bytes()[..], &CONNECT.to_be_bytes(), &transaction.to_be_bytes()].concat();
    let answer = request(&socket, &connect, CONNECT, transaction, 8).await?;
    let connection = &answer[..8];

    let transaction = crate::discovery::random_u32();
    let packet = announce_packet(connection, transaction, url, announce);
    let answer = request(&socket, &packet, ANNOUNCE, transaction, 12).await?;
    let number = |at: usize| u32::from_be_bytes([answer[at], answer[at + 1], answer[at + 2], answer[at + 3]]);
    let mut peers: Vec<SocketAddr> =
        if addr.is_ipv4() { compact::v4(&answer[12..]).collect() } else { compact::v6(&answer[12..]).collect() };
    peers.truncate(MAX_PEERS_OF_ANSWER);
    let told = Answer {
        interval: Some(Duration::from_secs(number(0).into())),
        peers: peers.len(),
        seeds: Some(number(8).into()),
        leeches: Some(number(4).into()),
        ..Answer::default()
    };
    Ok((told, peers, addr.ip()))
}

/// Sends a request until it is answered. Returns the bytes that follow the answer's header, at
/// least `least`.
async fn request(
    socket: &UdpSocket,
    packet: &[u8],
    action: u32,
    transaction: u32,
    least: usize,
) -> Result<Vec<u8>, String> {
    let mut buffer = vec![0; MAX_DATAGRAM];
    for wait in WAITS {
        socket.send(packet).await.map_err(|e| e.to_string())?;
        let until = Instant::now() + wait;
        while let Ok(received) = timeout_at(until, socket.recv(&mut buffer)).await {
            let length = received.map_err(|e| format!("nobody answers there: {e}"))?;
            match parse_header(&buffer[..length]) {
                Some((_, other, _)) if other != transaction => {}
                Some((ERROR, _, text)) => return Err(format!("it says: {}", words(text))),
                Some((given, _, rest)) if given == action && rest.len() >= least => return Ok(rest.to_vec()),
                // Too short, or of another kind: keep waiting.
                _ => {}
            }
        }
    }
    Err("no answer in time".into())
}

/// Returns the action, the transaction and the rest.
fn parse_header(packet: &[u8]) -> Option<(u32, u32, &[u8])> {
    let (action, rest) = packet.split_first_chunk::<4>()?;
    let (transaction, rest) = rest.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*action), u32::from_be_bytes(*transaction), rest))
}

fn announce_packet(connection: &[u8], transaction: u32, url: &Url, announce: &Announce) -> Vec<u8> {
    let event: u32 = match announce.event {
        Event::None => 0,
        Event::Completed => 1,
        Event::Started => 2,
        Event::Stopped => 3,
    };
    let mut packet = Vec::with_capacity(128);
    packet.extend_from_slice(connection);
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
