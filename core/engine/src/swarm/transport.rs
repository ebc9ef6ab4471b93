//! Connections to peers over TCP, and over uTP if TCP does not get through, for IPv4 and IPv6, all
//! from one port.
//!
//! [`Transport::bind`] opens the port; [`Transport::connect`] dials and performs the handshake.
//! `listen` handles incoming connections. The driver decides which addresses to dial, and how
//! often.

use crate::error::{Error, Result};
use crate::metainfo::InfoHash;
use crate::network::Network;
use crate::race::race;
use crate::swarm::handshake::{HandshakeError, random_peer_id};
use crate::swarm::link::Words;
use crate::swarm::link::{Link, Raw, Via};
use crate::swarm::listen::Listener;
use crate::swarm::pushes::Pushes;
use crate::swarm::sockets::{Place, Sockets};
use librqbit_utp::{BindDevice, SocketOpts, UtpSocketUdp, UtpSocketUdpOpts, UtpStream};
use playswarm_proto::handshake::PeerId;
use socket2::{Domain, Protocol, Socket, Type};
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Ports tried if none is configured: the customary ones of BitTorrent.
const USUAL_PORTS: std::ops::RangeInclusive<u16> = 6881..=6889;
/// Most attempts to draw a free TCP port whose UDP port is free too.
const PORT_DRAWS: usize = 16;
/// Most connections waiting for accept; the kernel refuses more.
const BACKLOG: i32 = 256;
/// Most bytes that a socket accepts beyond those in flight. Two blocks: the one being sent and the
/// next one.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT_BYTES: u32 = 32 << 10;
/// Most live uTP connections of all torrents.
const MAX_UTP: NonZeroUsize = NonZeroUsize::new(512).expect("it is not zero");
/// Receive window of a uTP connection, bytes: 5 MB/s at 100 ms.
const UTP_WINDOW: NonZeroUsize = NonZeroUsize::new(512 * 1024).expect("it is not zero");
/// Most unsent or unacknowledged bytes of a uTP connection.
const UTP_SEND_BUFFER: NonZeroUsize = NonZeroUsize::new(256 * 1024).expect("it is not zero");
/// Time after which a uTP SYN is sent again. librqbit-utp sends it once, and a lost packet is no
/// refusal.
const UTP_SYN_AGAIN: Duration = Duration::from_millis(1600);

/// The timeouts and bounds of connecting.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Longest time for one transport to connect. 5 s: a third SYN of TCP (after 1 s and 2 s) still
    /// fits.
    pub(crate) connect: Duration,
    /// Longest time for the peer's handshake once connected. 5 s.
    pub(crate) handshake: Duration,
    /// Time after which the second transport is tried in parallel to the first. 1.5 s: just after
    /// TCP's second SYN.
    pub(crate) second_after: Duration,
    /// Most incoming connections before their handshake. 64.
    pub(crate) half_open: usize,
    /// Most such connections from one address (IPv6: one /64). 4.
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

impl Limits {
    /// Returns those for connections through a proxy. Each begins with up to three more round trips,
    /// and the proxy has its own timeout for the peer.
    pub(crate) fn through_proxy() -> Limits {
        Limits { connect: Duration::from_secs(15), ..Limits::default() }
    }
}

/// The way to dial one peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Manner {
    /// Transport to try first.
    pub(crate) prefer: Via,
    /// Whether to send only the handshake before the peer has answered. It costs a round trip, and
    /// is for a peer that closed the last connection right after the handshake. Clients known for
    /// that are handled without this flag.
    pub(crate) patient: bool,
}

/// The reason why a dial failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// No transport connected in time.
    #[error("no answer within {} s", .0.as_secs_f32())]
    TimedOut(Duration),
    /// The peer or the network refused the connection.
    #[error("cannot be reached: {0}")]
    Unreachable(#[from] io::Error),
    /// The connection opened, but the handshake failed.
    #[error("{0}")]
    Handshake(#[from] HandshakeError),
}

/// The port, and the state needed to dial from it. Dropping it (and the listener's task) closes the
/// port.
pub(crate) struct Transport {
    listen: SocketAddr,
    pub(crate) utp: Option<Arc<UtpSocketUdp>>,
    pub(crate) peer_id: PeerId,
    pub(crate) limits: Limits,
    pub(crate) network: Arc<Network>,
    /// Places for connections over TCP.
    pub(crate) sockets: Sockets,
    /// Servents of Gnutella that are asked to connect to us.
    pub(crate) pushes: Arc<Pushes>,
    /// Ends the accept loop and uTP's own tasks.
    pub(crate) cancel: CancellationToken,
    _cancel_on_drop: DropGuard,
}

impl Transport {
    /// Opens the port for TCP and, if requested, uTP. `None` means the first free port of 6881 to
    /// 6889, or else any, on all interfaces for IPv4 and IPv6. The listener must run, or
    /// connections remain unanswered.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Listen`] if a configured port is in use or not permitted.
    pub(crate) async fn bind(
        listen: Option<SocketAddr>,
        utp: bool,
        limits: Limits,
        network: Arc<Network>,
    ) -> Result<(Arc<Transport>, Listener)> {
        let cancel = CancellationToken::new();
        let utp = utp.then_some(&cancel);
        let device = network.device();
        let (tcp, utp) = match listen {
            Some(addr) if addr.port() != 0 => {
                let tcp = bind_tcp(addr, device).map_err(|source| listen_error(addr, source))?;
                let utp = match utp {
                    // Peers can still reach us over TCP: no reason to fail.
                    Some(cancel) => bind_utp(addr, device, cancel).await.ok(),
                    None => None,
                };
                (tcp, utp)
            }
            Some(addr) => bind_any(addr, device, utp).await.map_err(|source| listen_error(addr, source))?,
            None => bind_usual(device, utp).await?,
        };
        let addr = tcp.local_addr().map_err(|source| Error::Io { doing: "determining the local address", source })?;
        tracing::debug!(%addr, utp = utp.is_some(), "listening for peers");
        let transport = Transport::new(addr, utp, limits, network, cancel);
        let listener = Listener::new(tcp, &transport);
        Ok((transport, listener))
    }

    /// Creates a transport without a port: it only dials, over TCP.
    pub(crate) fn without_port(limits: Limits, network: Arc<Network>) -> Arc<Transport> {
        let nowhere = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        Transport::new(nowhere, None, limits, network, CancellationToken::new())
    }

    fn new(
        listen: SocketAddr,
        utp: Option<Arc<UtpSocketUdp>>,
        limits: Limits,
        network: Arc<Network>,
        cancel: CancellationToken,
    ) -> Arc<Transport> {
        Arc::new(Transport {
            listen,
            utp,
            peer_id: random_peer_id(),
            limits,
            network,
            sockets: Sockets::new(),
            pushes: Arc::default(),
            _cancel_on_drop: cancel.clone().drop_guard(),
            cancel,
        })
    }

    /// Returns the address to which peers can connect. It may be unspecified (all interfaces); the
    /// port is real, or 0 without a port.
    pub(crate) fn listen_addr(&self) -> SocketAddr {
        self.listen
    }

    /// Returns our peer id, one for the session.
    pub(crate) fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    /// Stops listening and closes the uTP connections.
    pub(crate) fn close(&self) {
        self.cancel.cancel();
    }

    /// Dials a peer and performs the handshake. The second transport starts in parallel once the
    /// first takes long.
    ///
    /// The first messages go with the handshake, unless the peer is known not to accept them
    /// together. Such a peer is dialled again. Takes at most two connect timeouts and a handshake
    /// timeout (twice that if dialled again); cancel-safe.
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
        // The peer is about to close this connection.
        let prefer = link.via;
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

    async fn dial(&self, addr: SocketAddr, prefer: Via) -> Result<Raw, ConnectError> {
        self.network.permit_dial(addr).await?;
        let other = if prefer == Via::Tcp { Via::Utp } else { Via::Tcp };
        let ways = if self.utp.is_some() { vec![prefer, other] } else { vec![Via::Tcp] };
        let dial = |via| async move {
            match (via, &self.utp) {
                (Via::Utp, Some(socket)) => self.within(dial_utp(socket, addr)).await,
                _ => self.within(self.dial_tcp(addr)).await,
            }
        };
        let dialled = race(ways, self.limits.second_after, dial).await;
        dialled.unwrap_or(Err(ConnectError::TimedOut(self.limits.connect)))
    }

    async fn within(&self, dialling: impl Future<Output = io::Result<Raw>>) -> Result<Raw, ConnectError> {
        match tokio::time::timeout(self.limits.connect, dialling).await {
            Ok(raw) => Ok(raw?),
            Err(_) => Err(ConnectError::TimedOut(self.limits.connect)),
        }
    }

    async fn dial_tcp(&self, addr: SocketAddr) -> io::Result<Raw> {
        let none = || io::Error::other("this process has reached its limit on open files and connections");
        let place = self.sockets.take().ok_or_else(none)?;
        let start = Instant::now();
        let stream = self.network.connect(addr).await?;
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

/// Configures a connection to a peer. Small messages go out at once. Unsent data waits in our queue
/// and not in the socket, where no CANCEL would reach it and a full line would go unnoticed.
pub(crate) fn for_peers(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // Not available everywhere, and optional.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_BYTES);
    Ok(())
}

pub(crate) fn raw_tcp(stream: TcpStream, remote: SocketAddr, rtt: Option<Duration>, place: Place) -> Raw {
    let (reader, writer) = stream.into_split();
    Raw { reader: Box::new(reader), writer: Box::new(writer), remote, via: Via::Tcp, rtt, place: Some(place) }
}

pub(crate) fn raw_utp(stream: UtpStream, remote: SocketAddr, rtt: Option<Duration>) -> Raw {
    let (reader, writer) = stream.split();
    Raw { reader: Box::new(reader), writer: Box::new(writer), remote, via: Via::Utp, rtt, place: None }
}

/// Returns an IPv4 address in IPv4 form, even if a dual-stack socket shows it mapped into IPv6.
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

fn bind_tcp(addr: SocketAddr, device: Option<&BindDevice>) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        // `[::]` accepts IPv4 and IPv6, any other address only its own family.
        socket.set_only_v6(!addr.ip().is_unspecified())?;
    }
    // A port that was ours a minute ago has connections in TIME_WAIT. On Unix, this does not let
    // two programs listen at once.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    // An address of one interface is bound to it by itself, and reachable from this machine.
    if let Some(device) = device.filter(|_| addr.ip().is_unspecified()) {
        device.bind_sref(&socket, addr.is_ipv6()).map_err(io::Error::other)?;
    }
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

async fn bind_utp(
    addr: SocketAddr,
    device: Option<&BindDevice>,
    cancel: &CancellationToken,
) -> io::Result<Arc<UtpSocketUdp>> {
    let opts = SocketOpts {
        vsock_rx_bufsize_bytes: Some(UTP_WINDOW),
        vsock_tx_bufsize_bytes_max: Some(UTP_SEND_BUFFER),
        disable_nagle: true,
        cancellation_token: cancel.child_token(),
        max_live_vsocks: Some(MAX_UTP),
        ..SocketOpts::default()
    };
    UtpSocketUdp::new_udp_with_opts(addr, opts, UtpSocketUdpOpts { bind_device: device }).await.map_err(|e| {
        tracing::debug!(%addr, "no uTP: {e}");
        io::Error::new(io::ErrorKind::AddrInUse, e)
    })
}

type Bound = (TcpListener, Option<Arc<UtpSocketUdp>>);

/// Binds any port that is free for TCP, and for UDP too if uTP is wanted (`utp` then ends it).
async fn bind_any(addr: SocketAddr, device: Option<&BindDevice>, utp: Option<&CancellationToken>) -> io::Result<Bound> {
    let Some(cancel) = utp else { return Ok((bind_tcp(addr, device)?, None)) };
    for _ in 0..PORT_DRAWS {
        let tcp = bind_tcp(addr, device)?;
        if let Ok(utp) = bind_utp(tcp.local_addr()?, device, cancel).await {
            return Ok((tcp, Some(utp)));
        }
    }
    Ok((bind_tcp(addr, device)?, None))
}

async fn bind_usual(device: Option<&BindDevice>, utp: Option<&CancellationToken>) -> Result<Bound> {
    // A host without IPv6 cannot open `[::]` at all.
    let v6 = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0);
    let all: IpAddr = if bind_tcp(v6, device).is_ok() { v6.ip() } else { Ipv4Addr::UNSPECIFIED.into() };
    for port in USUAL_PORTS {
        let addr = SocketAddr::new(all, port);
        let Ok(tcp) = bind_tcp(addr, device) else { continue };
        match utp {
            None => return Ok((tcp, None)),
            Some(cancel) => {
                if let Ok(utp) = bind_utp(addr, device, cancel).await {
                    return Ok((tcp, Some(utp)));
                }
            }
        }
    }
    let any = SocketAddr::new(all, 0);
    bind_any(any, device, utp).await.map_err(|source| listen_error(any, source))
}
