//! The listener of the RTSP server.

use super::config::RtspConfig;
use super::connection::{Shared, serve};
use super::observe::{RtspSession, RtspView};
use super::path::path;
use crate::listening::{ACCEPT_PAUSE, Running, bind, set_options};
use playswarm::{Error, Result, TorrentHandle};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Unsent bytes that the kernel accepts for a connection. After a jump the client has to take them
/// before the answer.
const UNSENT_BYTES: u32 = 128 << 10;

/// A running RTSP server. [`RtspServer::stop`] ends it, and so does dropping it.
pub struct RtspServer {
    shared: Arc<Shared>,
    running: Running,
    file: usize,
}

impl RtspServer {
    /// Returns the URL of the default file, with the token where one is set.
    pub fn url(&self) -> String {
        self.url_of(self.file)
    }

    /// Returns the URL of a file. For a number that is no file's, the URL answers 404.
    pub fn url_of(&self, file: usize) -> String {
        let name = self.shared.name(file);
        let path = path(file, &name, self.shared.config.token.as_deref());
        format!("rtsp://{}{path}", self.running.reachable())
    }

    /// Returns the address that it listens on, with the real port.
    pub fn addr(&self) -> SocketAddr {
        self.running.addr
    }

    /// Returns the sessions that are set up, the oldest first.
    pub fn sessions(&self) -> Vec<RtspSession> {
        self.shared.view.sessions()
    }

    /// Returns a view of the sessions, for the status of an HTTP server.
    pub fn view(&self) -> RtspView {
        self.shared.view.clone()
    }

    /// Stops listening, closes all connections and waits until they are closed.
    pub async fn stop(self) {
        self.running.stop().await;
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
    let (listener, addr) = bind(config.listen, "rtsp.listen").await?;
    // The first DESCRIBE needs it.
    torrent.request_timeline(file);
    let sessions = Arc::new(Semaphore::new(config.max_sessions));
    let shared = Arc::new(Shared { sessions, torrent, config, view: RtspView::default() });
    let running = Running::start(addr, |stop| accept(listener, shared.clone(), stop));
    Ok(RtspServer { shared, running, file })
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
                    set_options(&stream, UNSENT_BYTES);
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
