//! MPEG-TS over UDP, to an address of this machine or of a multicast group.

use super::raw::MPEG_TS;
use super::sender::{Desk, IngestStatus, Sender};
use crate::listening::Running;
use playswarm::live::Cast;
use playswarm::{Error, Result};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// Silence after which another encoder may send. UDP has no end of a stream.
const SILENCE: Duration = Duration::from_secs(2);
/// Pause after a failed read, which may be a report about another socket.
const READ_AGAIN: Duration = Duration::from_millis(100);
/// Bytes that the kernel keeps for us: half a second at 50 Mbit/s. Most systems allow less.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// A running receiver of MPEG-TS over UDP. [`UdpIngest::stop`] ends it, and so does dropping it.
pub struct UdpIngest {
    running: Running,
    desk: Arc<Desk>,
}

impl UdpIngest {
    /// Returns the URL to which encoders send.
    pub fn url(&self) -> String {
        format!("udp://{}", self.running.reachable())
    }

    /// Returns the address that it listens on, with the real port.
    pub fn addr(&self) -> SocketAddr {
        self.running.addr
    }

    /// Returns who sends, and how much was received.
    pub fn status(&self) -> IngestStatus {
        self.desk.status()
    }

    /// Stops listening. The cast goes on.
    pub async fn stop(self) {
        self.running.stop().await;
    }
}

/// Receives MPEG-TS over UDP at this address, or from this multicast group, and sends it to the
/// channel. It must be started within a tokio runtime.
///
/// UDP has no token: who can send to the address can push. One encoder sends at a time; datagrams of
/// others are dropped until it has been silent for two seconds.
///
/// # Errors
/// [`Error::Listen`] where the address cannot be listened on.
pub async fn receive_udp(cast: Arc<Cast>, addr: SocketAddr) -> Result<UdpIngest> {
    let failed = |source| Error::Listen { addr, setting: "ingest.udp", source };
    let socket = bound(addr).map_err(failed)?;
    let port = socket.local_addr().map_err(failed)?.port();
    let desk = Desk::new(cast);
    let receiving = desk.clone();
    let running = Running::start(SocketAddr::new(addr.ip(), port), |stop| receive(socket, receiving, stop));
    Ok(UdpIngest { running, desk })
}

fn bound(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // Best effort: with less, bursts lose packets sooner.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
    let is_group = addr.ip().is_multicast();
    if is_group {
        // Several programs may receive a group.
        socket.set_reuse_address(true)?;
    }
    socket.bind(&addr.into())?;
    match addr.ip() {
        IpAddr::V4(group) if is_group => socket.join_multicast_v4(&group, &Ipv4Addr::UNSPECIFIED)?,
        IpAddr::V6(group) if is_group => socket.join_multicast_v6(&group, 0)?,
        _ => {}
    }
    UdpSocket::from_std(socket.into())
}

async fn receive(socket: UdpSocket, desk: Arc<Desk>, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = datagrams(&socket, &desk) => {}
    }
}

/// An encoder, and when its last datagram came.
struct Encoder {
    addr: SocketAddr,
    heard: Instant,
    sender: Sender,
}

/// Passes on the datagrams of one encoder after the other.
async fn datagrams(socket: &UdpSocket, desk: &Arc<Desk>) {
    let mut buffer = vec![0; 1 << 16];
    let mut present: Option<Encoder> = None;
    loop {
        let received = match timeout(SILENCE, socket.recv_from(&mut buffer)).await {
            Ok(Ok(received)) => Some(received),
            Ok(Err(e)) => {
                tracing::debug!("a datagram could not be read: {e}");
                tokio::time::sleep(READ_AGAIN).await;
                continue;
            }
            Err(_) => None,
        };
        // Those of others do not prolong its stay.
        present = present.filter(|encoder| encoder.heard.elapsed() < SILENCE);
        let Some((length, addr)) = received else { continue };
        let encoder = match present.take() {
            Some(encoder) if encoder.addr == addr => Some(Encoder { heard: Instant::now(), ..encoder }),
            Some(other) => {
                present = Some(other);
                continue;
            }
            None => {
                let mut sender = Sender::new(desk.clone(), "UDP", addr);
                // Refused where another way into the cast has the place.
                let begun = sender.begin(Some(MPEG_TS), 0);
                begun.is_ok().then(|| Encoder { addr, heard: Instant::now(), sender })
            }
        };
        present = encoder.and_then(|mut encoder| {
            let pushed = encoder.sender.push(&buffer[..length]);
            pushed.inspect_err(|refusal| tracing::debug!("a datagram is dropped: {refusal}")).ok().map(|()| encoder)
        });
    }
}
