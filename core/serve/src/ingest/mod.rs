//! Encoders that push: a TCP port for HTTP, Icecast's protocol, RTMP and MPEG-TS, and MPEG-TS over
//! UDP. Each stream goes to a [`Cast`], which takes one at a time.
//!
//! `playswarm::live::protocol` reads and writes the protocols. Here are the sockets:
//!
//! | file | subject |
//! |---|---|
//! | `config` | settings |
//! | `access` | who may push |
//! | `connection` | one connection, whatever its protocol |
//! | `http`, `rtmp`, `raw` | what a protocol's events do |
//! | `sender` | the stream of one encoder, and what the status says of it |
//! | `udp` | MPEG-TS over UDP |

mod access;
mod config;
mod connection;
mod http;
mod raw;
mod rtmp;
mod sender;
#[cfg(test)]
mod tests;
mod udp;

pub use config::IngestConfig;
pub use sender::IngestStatus;
pub use udp::{UdpIngest, receive_udp};

use crate::admission::Limits;
use crate::hosts::own_names;
use crate::listening::{Running, accept, bind};
use crate::places::{Held, Places};
use access::Access;
use playswarm::live::Cast;
use playswarm::{Error, Result};
use sender::Desk;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;

/// Unsent bytes that the kernel accepts for a connection. Answers are short.
const UNSENT_BYTES: u32 = 16 << 10;

/// A running server for encoders that push. [`IngestServer::stop`] ends it, and so does dropping it.
pub struct IngestServer {
    running: Running,
    shared: Arc<Shared>,
}

/// What all connections share.
struct Shared {
    desk: Arc<Desk>,
    access: Access,
}

impl IngestServer {
    /// Returns the URL for HTTP, with the token where one is asked for. Icecast's clients use its
    /// address, any mount, and the token as password.
    pub fn http_url(&self) -> String {
        let query = self.shared.access.token().map(|token| format!("?token={token}")).unwrap_or_default();
        format!("http://{}/live{query}", self.running.reachable())
    }

    /// Returns the URL for RTMP. Its last element is the stream key: the token where one is asked
    /// for.
    pub fn rtmp_url(&self) -> String {
        let key = self.shared.access.token().unwrap_or("stream");
        format!("rtmp://{}/live/{key}", self.running.reachable())
    }

    /// Returns the address that it listens on, with the real port.
    pub fn addr(&self) -> SocketAddr {
        self.running.addr
    }

    /// Returns who sends, and how much was received.
    pub fn status(&self) -> IngestStatus {
        self.shared.desk.status()
    }

    /// Stops listening, closes all connections and waits until they are closed. The cast goes on.
    pub async fn stop(self) {
        self.running.stop().await;
    }
}

/// Takes the streams of encoders that push, and sends them to the channel. It must be started within
/// a tokio runtime.
///
/// One encoder sends at a time, as [`Cast::begin`] has it; others are refused. After it another may
/// follow, also in another size or codec.
///
/// # Errors
/// [`Error::Listen`] where the address cannot be listened on, [`Error::BadConfig`], [`Error::Io`] if
/// the system has no randomness for a token.
pub async fn serve_ingest(cast: Arc<Cast>, config: IngestConfig) -> Result<IngestServer> {
    config.check()?;
    let (listener, addr) = bind(config.listen, "ingest.listen").await?;
    // Reads the hosts file, and binds sockets.
    let names = tokio::task::spawn_blocking(own_names).await.map_err(|_| Error::Closed)?;
    let places = Places::new(Limits { places: config.max_connections, per_host: config.max_connections_per_host });
    let shared = Arc::new(Shared { desk: Desk::new(cast), access: Access::new(&config, names)? });
    let sharing = shared.clone();
    let serve = move |stream: TcpStream, peer: SocketAddr, held: Option<Held>| {
        let shared = sharing.clone();
        let Some(held) = held else {
            tracing::warn!(%peer, "a connection of an encoder is closed: too many are open");
            return None;
        };
        Some(connection::serve(stream, peer, held, shared))
    };
    let running = Running::start(addr, |stop| accept(listener, places, UNSENT_BYTES, stop, serve));
    Ok(IngestServer { running, shared })
}
