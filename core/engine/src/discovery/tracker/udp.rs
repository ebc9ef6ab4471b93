//! The UDP tracker protocol (BEP 15), with the URL's path and query as BEP 41 carries them.

use super::http::{compact_v4, compact_v6};
use super::{Announce, Answer, Event, words};
use playswarm_logic::AddressClass;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::{UdpSocket, lookup_host};
use tokio::time::{Instant, timeout, timeout_at};
use url::{Host, Url};

/// How long an answer is waited for before the request is sent again. BEP 15's 15 s would keep a viewer waiting for one lost packet.
const WAITS: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(8)];
/// How long a name may take to be looked up.
const LOOKUP: Duration = Duration::from_secs(10);
/// Bytes of a datagram: more peers than trackers give.
const MAX_DATAGRAM: usize = 16 << 10;

const CONNECT: u32 = 0;
const ANNOUNCE: u32 = 1;
const ERROR: u32 = 3;
const PROTOCOL: u64 = 0x0417_2710_1980;

/// Announces over IPv4 and IPv6 where the tracker has both, since each knows other peers.
pub(super) async fn announce(
    url: &Url,
    announce: &Announce,
    found: &(dyn Fn(&[SocketAddr], AddressClass) + Sync),
) -> Result<Answer, String> {
    let port = url.port().ok_or("its URL names no port")?;
    let (v4, v6) = addresses(url, port).await?;
    let ask = async |addr: Option<SocketAddr>| match addr {
        Some(addr) => Some(exchange(addr, url, announce, found).await),
        None => None,
    };
    let (v4, v6) = tokio::join!(ask(v4), ask(v6));
    match (v4, v6) {
        (Some(Ok(a)), Some(Ok(b))) => Ok(Answer { peers: a.peers + b.peers, ..a }),
        (Some(Ok(answer)), _) | (_, Some(Ok(answer))) => Ok(answer),
        (Some(Err(why)), _) | (_, Some(Err(why))) => Err(why),
        (None, None) => Err("its name has no address".into()),
    }
}

/// The tracker's first IPv4 and first IPv6 address.
async fn addresses(url: &Url, port: u16) -> Result<(Option<SocketAddr>, Option<SocketAddr>), String> {
    match url.host() {
        // The scheme is not one that the url crate knows, so literal addresses come as names.
        Some(Host::Domain(name)) => {
            if let Ok(ip) = name.parse::<Ipv4Addr>() {
                return Ok((Some((ip, port).into()), None));
            }
            let all: Vec<_> = timeout(LOOKUP, lookup_host((name, port)))
                .await
                .map_err(|_| "its name could not be looked up in time")?
                .map_err(|e| format!("its name could not be looked up: {e}"))?
                .collect();
            Ok((all.iter().copied().find(SocketAddr::is_ipv4), all.iter().copied().find(SocketAddr::is_ipv6)))
        }
        Some(Host::Ipv4(ip)) => Ok((Some((ip, port).into()), None)),
        Some(Host::Ipv6(ip)) => Ok((None, Some((ip, port).into()))),
        None => Err("its URL names no host".into()),
    }
}

async fn exchange(
    addr: SocketAddr,
    url: &Url,
    announce: &Announce,
    found: &(dyn Fn(&[SocketAddr], AddressClass) + Sync),
) -> Result<Answer, String> {
    let any: IpAddr = if addr.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await.map_err(|e| e.to_string())?;
    // So the system drops what others send, and tells us when nobody listens there.
    socket.connect(addr).await.map_err(|e| e.to_string())?;

    let transaction = crate::discovery::random_u32();
    let connect = [&PROTOCOL.to_be_bytes()[..], &CONNECT.to_be_bytes(), &transaction.to_be_bytes()].concat();
    let answer = request(&socket, &connect, CONNECT, transaction, 8).await?;
    let connection = &answer[..8];

    let transaction = crate::discovery::random_u32();
    let packet = announce_packet(connection, transaction, url, announce);
    let answer = request(&socket, &packet, ANNOUNCE, transaction, 12).await?;
    let interval = u32::from_be_bytes([answer[0], answer[1], answer[2], answer[3]]);
    let peers: Vec<SocketAddr> =
        if addr.is_ipv4() { compact_v4(&answer[12..]).collect() } else { compact_v6(&answer[12..]).collect() };
    found(&peers, AddressClass::of(addr.ip()));
    let interval = Some(Duration::from_secs(u64::from(interval)));
    Ok(Answer { interval, peers: peers.len(), ..Answer::default() })
}

/// Sends until there is an answer to just this; gives what follows its header, at least `least` bytes.
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
                // Too short, or of another kind: not worth an end to the waiting.
                _ => {}
            }
        }
    }
    Err("no answer in time".into())
}

/// Action, transaction and the rest.
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
    // Our address: 0 for where this comes from.
    packet.extend_from_slice(&0u32.to_be_bytes());
    packet.extend_from_slice(&announce.key.to_be_bytes());
    packet.extend_from_slice(&announce.wanted.to_be_bytes());
    packet.extend_from_slice(&announce.port.to_be_bytes());
    // BEP 41, only where the URL says more than that it is an announce URL: a passkey, mostly.
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
