//! What the HTTP and the RTSP server share: the listener, its sockets' options, and its end.
//! [`crate::places`] decides which connections are served.

use crate::places::{Held, Places};
use crate::unanswered::unanswered;
use playswarm::{Error, Result};
use socket2::{SockRef, TcpKeepalive};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// Idle time before TCP probes whether the client is still there, the time between probes, and how
/// many of them may go without an answer. By default the system tries for eleven minutes more.
const KEEPALIVE: Duration = Duration::from_secs(60);
const PROBE_EVERY: Duration = Duration::from_secs(10);
const PROBES: u32 = 3;
/// Pause after a failed accept (no descriptors left), as the next attempt would fail at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Pause after a failed accept where a connection is being closed for it.
const GIVEN_PAUSE: Duration = Duration::from_millis(2);
/// Least time between two warnings about failed accepts.
const WARN_AGAIN: Duration = Duration::from_secs(60);

/// A listener that runs until it is stopped or dropped.
pub(crate) struct Running {
    pub(crate) addr: SocketAddr,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl Running {
    /// Runs `accept`, which ends once its token is cancelled.
    pub(crate) fn start<F>(addr: SocketAddr, accept: impl FnOnce(CancellationToken) -> F) -> Running
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let task = tokio::spawn(accept(stop.clone()));
        Running { addr, stop, task: Some(task) }
    }

    /// Returns an address that a player can open: loopback for "all interfaces".
    pub(crate) fn reachable(&self) -> SocketAddr {
        let ip = match self.addr.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        SocketAddr::new(ip, self.addr.port())
    }

    /// Closes the listener and every connection, and waits until they are gone.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            // It ends by itself; a panic in it has been reported by the runtime.
            let _ = task.await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Binds the address that a setting names.
pub(crate) async fn bind(addr: SocketAddr, setting: &'static str) -> Result<(TcpListener, SocketAddr)> {
    let failed = |source| Error::Listen { addr, setting, source };
    let listener = TcpListener::bind(addr).await.map_err(failed)?;
    let addr = listener.local_addr().map_err(failed)?;
    Ok((listener, addr))
}

/// Accepts connections until it is stopped, and drops those that are open then. `serve` gets each
/// with its place, or without one where all are in use. It returns `None` to close the connection.
/// `unsent_bytes` is the number of bytes that the kernel accepts for a connection before they are
/// sent.
pub(crate) async fn accept<F>(
    listener: TcpListener,
    places: Arc<Places>,
    unsent_bytes: u32,
    stop: CancellationToken,
    serve: impl Fn(TcpStream, SocketAddr, Option<Held>) -> Option<F>,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    let mut warned = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    tracing::debug!(%peer, "connection");
                    set_options(&stream, unsent_bytes);
                    let local = stream.local_addr();
                    if let Some(served) = serve(stream, peer, places.take(peer, CancellationToken::new())) {
                        connections.spawn(until_unanswered(served, local.ok(), peer));
                    }
                }
                Err(e) => {
                    // Mostly for want of a descriptor. An idle connection is worth less than a new
                    // one.
                    let given = places.give_one_up();
                    if warned.is_none_or(|at: tokio::time::Instant| at.elapsed() > WARN_AGAIN) {
                        warned = Some(tokio::time::Instant::now());
                        tracing::warn!(error = %e, "cannot accept a connection; this is retried");
                    }
                    tokio::time::sleep(if given { GIVEN_PAUSE } else { ACCEPT_PAUSE }).await;
                }
            },
        }
    }
    connections.shutdown().await;
}

/// Serves a connection until it ends, or until its client answers nothing.
async fn until_unanswered(served: impl Future<Output = ()>, local: Option<SocketAddr>, peer: SocketAddr) {
    let Some(local) = local else { return served.await };
    tokio::select! {
        () = served => {}
        () = unanswered(local, peer) => tracing::debug!(%peer, "a connection is closed: its client is gone"),
    }
}

/// Sets the options of a connection. Best effort: a socket without them works too.
fn set_options(stream: &TcpStream, unsent_bytes: u32) {
    let _ = stream.set_nodelay(true);
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(PROBE_EVERY).with_retries(PROBES);
    let _ = socket.set_tcp_keepalive(&keepalive);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = socket.set_tcp_notsent_lowat(unsent_bytes);
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = unsent_bytes;
}
