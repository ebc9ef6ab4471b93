//! The listener of the RTSP server.

use super::config::RtspConfig;
use super::connection::{Patience, Shared, serve};
use super::observe::{RtspSession, RtspView};
use super::path::path;
use crate::admission::Limits;
use crate::hosts::own_names;
use crate::listening::{Running, accept, bind};
use crate::places::{Held, Places};
use playswarm::{Error, Result, TorrentHandle};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;

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

    /// Returns the number of requests that were answered with an error, and of connections that were
    /// closed for want of a place.
    pub fn refused(&self) -> u64 {
        self.shared.view.counters().refused
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
    serve_with(torrent, file, config, Patience::default()).await
}

pub(crate) async fn serve_with(
    torrent: TorrentHandle,
    file: usize,
    config: RtspConfig,
    patience: Patience,
) -> Result<RtspServer> {
    config.check()?;
    let files = torrent.metainfo().files.len();
    if file >= files {
        return Err(Error::NoSuchFile { wanted: file.to_string(), files });
    }
    let (listener, addr) = bind(config.listen, "rtsp.listen").await?;
    // The first DESCRIBE needs it.
    torrent.request_timeline(file);
    // Reads the hosts file, and binds sockets.
    let own_names = tokio::task::spawn_blocking(own_names).await.unwrap_or_default();
    let places = Places::new(Limits { places: config.max_connections, per_host: config.max_connections_per_host });
    let shared = Arc::new(Shared::new(torrent, config, own_names, patience));
    let sharing = shared.clone();
    let serve = move |stream: TcpStream, peer: SocketAddr, held: Option<Held>| {
        let shared = sharing.clone();
        let Some(held) = held else {
            tracing::debug!(%peer, "an RTSP connection is closed: too many are open");
            shared.view.refused();
            return None;
        };
        Some(serve(stream, peer, held, shared))
    };
    let running = Running::start(addr, |stop| accept(listener, places, UNSENT_BYTES, stop, serve));
    Ok(RtspServer { shared, running, file })
}
