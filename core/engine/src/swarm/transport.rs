//! How we reach peers: TCP, and uTP where TCP does not get through; both families; all from one port.
//!
//! [`Transport::bind`] opens the port; [`Transport::connect`] dials and shakes hands. Those who dial us are taken in by
//! `listen`. Whom to dial, and how often, is for the driver.

use crate::error::{Error, Result};
use crate::swarm::handshake::{HandshakeError, random_peer_id};
use crate::swarm::link::Words;
use crate::swarm::link::{Link, Raw, Via};
use crate::swarm::listen::Listener;
use crate::swarm::sockets::{Half, Place, Sockets};
use crate::torrent::InfoHash;
use librqbit_utp::{SocketOpts, UtpSocketUdp, UtpStream};
use playswarm_proto::handshake::PeerId;
use socket2::{Domain, Protocol, Socket, Type};
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

/// The ports that are tried when none is named; the customary ones of BitTorrent.
const USUAL_PORTS: std::ops::RangeInclusive<u16> = 6881..=6889;
/// How often a free TCP port is drawn whose UDP port turns out to be taken.
const PORT_DRAWS: usize = 16;
/// Connections that may wait for accept; storms beyond it are the kernel's to turn away.
const BACKLOG: i32 = 256;
/// Bytes that a socket takes beyond what is on its way. Two blocks: the one being sent, and the next one.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT_BYTES: u32 = 32 << 10;
/// Live uTP connections at most, of all torrents.
const MAX_UTP: NonZeroUsize = NonZeroUsize::new(512).expect("it is not zero");
/// Receive window of a uTP connection, bytes: 5 MB/s at 100 ms.
const UTP_WINDOW: NonZeroUsize = NonZeroUsize::new(512 * 1024).expect("it is not zero");
/// Most bytes that a uTP connection holds unsent or unacknowledged.
const UTP_SEND_BUFFER: NonZeroUsize = NonZeroUsize::new(256 * 1024).expect("it is not zero");
/// librqbit-utp sends a SYN once; after this it is sent anew, as a lost packet is no refusal.
const UTP_SYN_AGAIN: Duration = Duration::from_millis(1600);

/// Times and bounds of connecting.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// How long one transport may take to connect. 5 s: a third SYN of TCP (1 s, 2 s) still fits.
    pub(crate) connect: Duration,
    /// How long the peer may take to shake hands once connected. 5 s.
    pub(crate) handshake: Duration,
    /// How long the first transport is waited for before the other is tried beside it. 1.5 s: just after TCP's second SYN.
    pub(crate) second_after: Duration,
    /// Incoming connections that have not shaken hands yet, at most. 64.
    pub(crate) half_open: usize,
    /// The same from one address (IPv6: one /64). 4.
    pub(crate) half_open_per_ip: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connect: Duration::from_secs(5),
            handshake: Duration::from_secs(5),
            second_after: Duration::from_millis(1500),
            half_open: 64,
            half_open_per_ip: 4,
        }
    }
}

/// Which way to try first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Prefer {
    /// TCP, then uTP.
    #[default]
    Tcp,
    /// uTP, then TCP: PEX says that the peer would rather, or it worked before.
    Utp,
}

/// How to go about one peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Manner {
    /// Which way to try first.
    pub(crate) prefer: Prefer,
    /// Say nothing but the handshake before the peer has answered. Costs a round trip; for a peer that closed the last
    /// connection right after the handshake. Clients that are known for it are taken care of without.
    pub(crate) patient: bool,
}

impl From<Prefer> for Manner {
    fn from(prefer: Prefer) -> Manner {
        Manner { prefer, patient: false }
    }
}

/// Why there is no connection to a peer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// Neither way led to it in time.
    #[error("no answer within {} s", .0.as_secs_f32())]
    TimedOut(Duration),
    /// It, or the network, said no.
    #[error("cannot be reached: {0}")]
    Unreachable(#[from] io::Error),
    /// There was a connection but no handshake.
    #[error("{0}")]
    Handshake(#[from] HandshakeError),
}

type Dialling<'a> = Pin<Box<dyn Future<Output = Result<Raw, ConnectError>> + Send + 'a>>;

/// The port, and all that is needed to dial from it. Dropping it (and the listener's task) closes the port.
pub(crate) struct Transport {
    listen: SocketAddr,
    pub(crate) utp: Option<Arc<UtpSocketUdp>>,
    pub(crate) peer_id: PeerId,
    pub(crate) limits: Limits,
    /// Places for connections over TCP.
    pub(crate) sockets: Sockets,
    /// Ends the accept loop and uTP's own tasks.
    pub(crate) cancel: CancellationToken,
    _cancel_on_drop: DropGuard,
}

impl Transport {
    /// Opens the port for TCP and (if asked) uTP. `None`: the first free one of 6881 to 6889, else any, on all
    /// interfaces of both families. The listener must be run, or connections pile up unanswered.
    ///
    /// Errors: [`Error::Listen`] when a port that was named is in use or not ours to open.
    pub(crate) async fn bind(
        listen: Option<SocketAddr>,
        utp: bool,
        limits: Limits,
    ) -> Result<(Arc<Transport>, Listener)> {
        let cancel = CancellationToken::new();
        let utp = utp.then_some(&cancel);
        let (tcp, utp) = match listen {
            Some(addr) if addr.port() != 0 => {
                let tcp = bind_tcp(addr).map_err(|source| listen_error(addr, source))?;
                let utp = match utp {
                    // Peers can still reach us over TCP: not worth failing for.
                    Some(cancel) => bind_utp(addr, cancel).await.ok(),
                    None => None,
                };
                (tcp, utp)
            }
            Some(addr) => bind_any(addr, utp).await.map_err(|source| listen_error(addr, source))?,
            None => bind_usual(utp).await?,
        };
        let addr = tcp.local_addr().map_err(|source| Error::Io { doing: "asking for our own address", source })?;
        tracing::debug!(%addr, utp = utp.is_some(), "listening for peers");
        let transport = Arc::new(Transport {
            listen: addr,
            utp,
            peer_id: random_peer_id(),
            limits,
            sockets: Sockets::new(),
            _cancel_on_drop: cancel.clone().drop_guard(),
            cancel,
        });
        let listener = Listener::new(tcp, &transport);
        Ok((transport, listener))
    }

    /// Where peers can connect to; the address may be unspecified (all interfaces), the port is real.
    pub(crate) fn listen_addr(&self) -> SocketAddr {
        self.listen
    }

    /// Our peer id, one for the session.
    pub(crate) fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    /// Stops listening and ends uTP's connections.
    pub(crate) fn close(&self) {
        self.cancel.cancel();
    }

    /// Dials a peer and shakes hands: both ways in turn, the second beside the first once that takes long.
    ///
    /// The first words go with the handshake, unless the peer is one that cannot take them so; such a one is dialled again.
    /// Takes at most two connect times and a handshake time (twice that if dialled again); cancel-safe.
    pub(crate) async fn connect(
        &self,
        addr: SocketAddr,
        info_hash: InfoHash,
        words: Words<'_>,
        manner: Manner,
    ) -> Result<Link, ConnectError> {
        let addr = canonical(addr);
        let link = self.attempt(addr, info_hash, words, manner).await?;
        if manner.patient || !link.peer_id.wants_bare_handshake() {
            return Ok(link);
        }
        // It is about to close this one.
        let prefer = if link.via == Via::Tcp { Prefer::Tcp } else { Prefer::Utp };
        drop(link);
        self.attempt(addr, info_hash, words, Manner { prefer, patient: true }).await
    }

    async fn attempt(
        &self,
        addr: SocketAddr,
        info_hash: InfoHash,
        words: Words<'_>,
        manner: Manner,
    ) -> Result<Link, ConnectError> {
        let raw = self.dial(addr, manner.prefer).await?;
        let shaking = Link::dialled(raw, info_hash, self.peer_id, words, manner.patient);
        match tokio::time::timeout(self.limits.handshake, shaking).await {
            Ok(link) => Ok(link?),
            Err(_) => Err(HandshakeError::TimedOut.into()),
        }
    }

    async fn dial(&self, addr: SocketAddr, prefer: Prefer) -> Result<Raw, ConnectError> {
        let tcp: Dialling<'_> = Box::pin(self.within(self.dial_tcp(addr)));
        let Some(socket) = &self.utp else { return tcp.await };
        let utp: Dialling<'_> = Box::pin(self.within(dial_utp(socket, addr)));
        let (mut first, mut second) = if prefer == Prefer::Tcp { (tcp, utp) } else { (utp, tcp) };
        let failed = tokio::select! {
            result = &mut first => match result {
                Ok(raw) => return Ok(raw),
                Err(e) => Some(e),
            },
            () = tokio::time::sleep(self.limits.second_after) => None,
        };
        let why = match failed {
            Some(why) => why,
            None => tokio::select! {
                result = &mut first => match result {
                    Ok(raw) => return Ok(raw),
                    Err(why) => why,
                },
                result = &mut second => match result {
                    Ok(raw) => return Ok(raw),
                    Err(_) => return first.await,
                },
            },
        };
        // What the first way said is what people know how to read ("connection refused").
        second.await.map_err(|_| why)
    }

    async fn within(&self, dialling: impl Future<Output = io::Result<Raw>>) -> Result<Raw, ConnectError> {
        match tokio::time::timeout(self.limits.connect, dialling).await {
            Ok(raw) => Ok(raw?),
            Err(_) => Err(ConnectError::TimedOut(self.limits.connect)),
        }
    }

    async fn dial_tcp(&self, addr: SocketAddr) -> io::Result<Raw> {
        let none = || io::Error::other("this process may not open more files and connections");
        let place = self.sockets.take().ok_or_else(none)?;
        let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        let ip = self.listen.ip();
        // Who listens on one interface only wants to be seen from there only.
        if !ip.is_unspecified() && ip.is_ipv4() == addr.is_ipv4() {
            socket.bind(SocketAddr::new(ip, 0))?;
        }
        let start = Instant::now();
        let stream = socket.connect(addr).await?;
        for_peers(&stream)?;
        Ok(raw_tcp(stream, addr, Some(start.elapsed()), place))
    }
}

async fn dial_utp(socket: &Arc<UtpSocketUdp>, addr: SocketAddr) -> io::Result<Raw> {
    loop {
        let start = Instant::now();
        match tokio::time::timeout(UTP_SYN_AGAIN, socket.connect(addr)).await {
            Ok(Ok(stream)) => return Ok(raw_utp(stream, addr, Some(start.elapsed()))),
            Ok(Err(e)) => return Err(io::Error::other(e)),
            Err(_) => {}
        }
    }
}

/// What a connection to a peer is set to: small messages go at once, and what is not sent yet waits with us and not in the
/// socket, where no CANCEL would find it and nobody would see that the line is full.
pub(crate) fn for_peers(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // Not everywhere to be had, and nothing breaks without.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_BYTES);
    Ok(())
}

pub(crate) fn raw_tcp(stream: TcpStream, remote: SocketAddr, rtt: Option<Duration>, place: Place) -> Raw {
    let (reader, writer) = stream.into_split();
    let (reader, writer) = (Box::new(Half::new(reader, place.clone())), Box::new(Half::new(writer, place)));
    Raw { reader, writer, remote, via: Via::Tcp, rtt }
}

pub(crate) fn raw_utp(stream: UtpStream, remote: SocketAddr, rtt: Option<Duration>) -> Raw {
    let (reader, writer) = stream.split();
    Raw { reader: Box::new(reader), writer: Box::new(writer), remote, via: Via::Utp, rtt }
}

/// IPv4 as IPv4, also where a socket of both families shows it mapped into IPv6.
pub(crate) fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr {
        SocketAddr::V6(v6) if v6.ip().to_ipv4_mapped().is_some() => {
            SocketAddr::new(addr.ip().to_canonical(), addr.port())
        }
        other => other,
    }
}

fn listen_error(addr: SocketAddr, source: io::Error) -> Error {
    Error::Listen { addr, setting: "listen", source }
}

fn bind_tcp(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        // `[::]` takes both families, any other address just its own.
        socket.set_only_v6(!addr.ip().is_unspecified())?;
    }
    // A port that was ours a minute ago has connections in TIME_WAIT; on Unix this does not let two listen at once.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

async fn bind_utp(addr: SocketAddr, cancel: &CancellationToken) -> io::Result<Arc<UtpSocketUdp>> {
    let opts = SocketOpts {
        vsock_rx_bufsize_bytes: Some(UTP_WINDOW),
        vsock_tx_bufsize_bytes_max: Some(UTP_SEND_BUFFER),
        disable_nagle: true,
        cancellation_token: cancel.child_token(),
        max_live_vsocks: Some(MAX_UTP),
        ..SocketOpts::default()
    };
    UtpSocketUdp::new_udp_with_opts(addr, opts, Default::default()).await.map_err(|e| {
        tracing::debug!(%addr, "no uTP: {e}");
        io::Error::new(io::ErrorKind::AddrInUse, e)
    })
}

type Bound = (TcpListener, Option<Arc<UtpSocketUdp>>);

/// Any port that is free for TCP, and for UDP too if uTP is wanted (then `utp` is what will end it).
async fn bind_any(addr: SocketAddr, utp: Option<&CancellationToken>) -> io::Result<Bound> {
    let Some(cancel) = utp else { return Ok((bind_tcp(addr)?, None)) };
    for _ in 0..PORT_DRAWS {
        let tcp = bind_tcp(addr)?;
        if let Ok(utp) = bind_utp(tcp.local_addr()?, cancel).await {
            return Ok((tcp, Some(utp)));
        }
    }
    Ok((bind_tcp(addr)?, None))
}

async fn bind_usual(utp: Option<&CancellationToken>) -> Result<Bound> {
    // A host without IPv6 cannot open `[::]` at all.
    let v6 = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0);
    let all: IpAddr = if bind_tcp(v6).is_ok() { v6.ip() } else { Ipv4Addr::UNSPECIFIED.into() };
    for port in USUAL_PORTS {
        let addr = SocketAddr::new(all, port);
        let Ok(tcp) = bind_tcp(addr) else { continue };
        match utp {
            None => return Ok((tcp, None)),
            Some(cancel) => {
                if let Ok(utp) = bind_utp(addr, cancel).await {
                    return Ok((tcp, Some(utp)));
                }
            }
        }
    }
    let any = SocketAddr::new(all, 0);
    bind_any(any, utp).await.map_err(|source| listen_error(any, source))
}
