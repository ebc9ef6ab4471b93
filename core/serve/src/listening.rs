//! What the HTTP and the RTSP server share: the listener, its sockets' options, and its end.

use playswarm::{Error, Result};
use socket2::{SockRef, TcpKeepalive};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Idle time before TCP probes whether the client is still there, the time between probes, and how
/// many of them may go without an answer. By default the system tries for eleven minutes more.
const KEEPALIVE: Duration = Duration::from_secs(60);
const PROBE_EVERY: Duration = Duration::from_secs(10);
const PROBES: u32 = 3;
/// Pause after a failed accept (no descriptors left), as the next attempt would fail at once.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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

/// Sets the options of a connection. `unsent_bytes` is how much the kernel accepts before it is
/// sent. Best effort: a socket without them works too.
pub(crate) fn set_options(stream: &TcpStream, unsent_bytes: u32) {
    let _ = stream.set_nodelay(true);
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(PROBE_EVERY).with_retries(PROBES);
    let _ = socket.set_tcp_keepalive(&keepalive);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = socket.set_tcp_notsent_lowat(unsent_bytes);
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = unsent_bytes;
}
