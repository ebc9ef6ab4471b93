//! The listener of the RTSP server.

use super::config::RtspConfig;
use super::connection::{Shared, serve};
use super::path::path;
use playswarm::{Error, Result, TorrentHandle};
use socket2::{SockRef, TcpKeepalive};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// Idle time before TCP probes whether a client is still there. A paused player sends nothing.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// Unsent bytes that the kernel accepts for a connection. After a jump the client has to take them
/// before the answer.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT_BYTES: u32 = 128 << 10;
/// Pause after a failed accept (no descriptors left), as the next attempt would fail at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A running RTSP server. [`RtspServer::stop`] ends it, and so does dropping it.
pub struct RtspServer {
    shared: Arc<Shared>,
    addr: SocketAddr,
    file: usize,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl RtspServer {
    /// Returns the URL of the default file, with the token where one is set.
    pub fn url(&self) -> String {
        self.url_of(self.file)
    }

    /// Returns the URL of a file. For a number that is no file's, the URL answers 404.
    pub fn url_of(&self, file: usize) -> String {
        let ip = match self.addr.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        let name = self.shared.name(file);
        let path = path(file, &name, self.shared.config.token.as_deref());
        format!("rtsp://{}{path}", SocketAddr::new(ip, self.addr.port()))
    }

    /// Returns the address that it listens on, with the real port.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns the number of sessions that are set up.
    pub fn sessions(&self) -> usize {
        self.shared.config.max_sessions - self.shared.sessions.available_permits()
    }

    /// Stops listening, closes all connections and waits until they are closed.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            // It ends by itself; a panic in it has been reported by the runtime.
            let _ = task.await;
        }
    }
}

impl Drop for RtspServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Serves the files of an open torrent over RTSP. `file` is the default file, which
/// [`RtspServer::url`] names.
///
/// The server keeps the torrent open until it is stopped. It must be started within a tokio
/// runtime.
///
/// # Errors
/// [`Error::Listen`] where the address cannot be listened on, [`Error::BadConfig`],
/// [`Error::NoSuchFile`].
pub async fn serve_rtsp(torrent: TorrentHandle, file: usize, config: RtspConfig) -> Result<RtspServer> {
    config.check()?;
    let files = torrent.metainfo().files.len();
    if file >= files {
        return Err(Error::NoSuchFile { wanted: file.to_string(), files });
    }
    let failed = |source| Error::Listen { addr: config.listen, setting: "rtsp.listen", source };
    let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
    let addr = listener.local_addr().map_err(failed)?;
    // The first DESCRIBE needs it.
    torrent.request_timeline(file);
    let shared = Arc::new(Shared { sessions: Arc::new(Semaphore::new(config.max_sessions)), torrent, config });
    let stop = CancellationToken::new();
    let task = tokio::spawn(accept(listener, shared.clone(), stop.clone()));
    Ok(RtspServer { shared, addr, file, stop, task: Some(task) })
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((_, peer)) if connections.len() >= shared.config.max_connections => {
                    tracing::debug!(%peer, "an RTSP connection is closed: too many are open");
                }
                Ok((stream, peer)) => {
                    tracing::debug!(%peer, "RTSP connection");
                    set_options(&stream);
                    connections.spawn(serve(stream, peer, shared.clone()));
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot accept an RTSP connection; this is retried");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    connections.shutdown().await;
}

/// Best effort: a socket without them works too.
fn set_options(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let socket = SockRef::from(stream);
    let _ = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = socket.set_tcp_notsent_lowat(UNSENT_BYTES);
}
