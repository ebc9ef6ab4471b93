//! The UDP tracker protocol (BEP 15): sockets and retransmission.

use super::Failure;
use super::http::Found;
use crate::discovery::web::{self, NotGot, Terms};
use crate::network::Network;
use playswarm_proto::AddressClass;
use playswarm_proto::tracker::udp::{self, Reply};
use playswarm_proto::tracker::{Announce, Answer};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};
use url::Url;

/// Times to wait for an answer before the request is sent again. BEP 15's 15 s would keep a viewer
/// waiting for one lost packet.
const WAITS: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(8)];

/// Announces. Returns `None` if the tracker has no address of the family that `terms` demand. Of
/// several addresses, the first that answers counts.
pub(super) async fn announce(
    url: &Url,
    network: &Network,
    terms: Terms,
    announce: &Announce,
    found: &Found<'_>,
) -> Result<Option<Answer>, Failure> {
    let port = url.port().ok_or("its URL has no port".to_owned())?;
    // A datagram of this protocol has no effect on other services, so the path is not checked here.
    let terms = Terms { announce_only: false, ..terms };
    let addresses = match web::permitted(&web::addresses(url, port, network).await?, &terms, "", network) {
        Ok(addresses) => addresses,
        Err(NotGot::NoSuchFamily) => return Ok(None),
        Err(NotGot::Failed(why)) => return Err(why.into()),
    };
    let (answer, peers, from) = web::race(addresses, |addr| exchange(addr, url, network, announce)).await?;
    found(&peers, Vec::new(), AddressClass::of(from));
    Ok(Some(answer))
}

/// Announces to one address. Returns its answer, the peers named, and the address itself.
async fn exchange(
    addr: SocketAddr,
    url: &Url,
    network: &Network,
    announce: &Announce,
) -> Result<(Answer, Vec<SocketAddr>, IpAddr), String> {
    let socket = network.udp(addr).map_err(|e| e.to_string())?;
    // The system then drops datagrams from others, and reports a closed port.
    socket.connect(addr).await.map_err(|e| e.to_string())?;

    let transaction = crate::discovery::random_u32();
    let connected = |reply| if let Reply::Connected(connection) = reply { Some(connection) } else { None };
    let connection = request(&socket, &udp::connect(transaction), transaction, connected).await?;

    let transaction = crate::discovery::random_u32();
    let announced = |reply| if let Reply::Announced(answer, peers) = reply { Some((answer, peers)) } else { None };
    let packet = udp::announce(connection, transaction, url, announce);
    let (answer, peers) = request(&socket, &packet, transaction, announced).await?;
    Ok((answer, peers, addr.ip()))
}

/// Sends a request until it is answered. `wanted` returns the content of the awaited answer, and
/// `None` for one of another kind.
async fn request<T>(
    socket: &UdpSocket,
    packet: &[u8],
    transaction: u32,
    wanted: impl Fn(Reply) -> Option<T>,
) -> Result<T, String> {
    let mut buffer = vec![0; udp::MAX_DATAGRAM];
    let v6 = socket.peer_addr().map_err(|e| e.to_string())?.is_ipv6();
    for wait in WAITS {
        socket.send(packet).await.map_err(|e| e.to_string())?;
        let until = Instant::now() + wait;
        while let Ok(received) = timeout_at(until, socket.recv(&mut buffer)).await {
            let length = received.map_err(|e| format!("nobody answers there: {e}"))?;
            match udp::parse(&buffer[..length], transaction, v6) {
                Some(Reply::Refused(why)) => return Err(format!("it says: {why}")),
                Some(reply) => {
                    if let Some(content) = wanted(reply) {
                        return Ok(content);
                    }
                }
                // Forged, late or too short: keep waiting.
                None => {}
            }
        }
    }
    Err("no answer in time".into())
}
