//! The session: settings, listeners and what is shared by all torrents.

use crate::{Config, Media, Result, Source, Torrent};
use std::net::SocketAddr;

/// The root of everything: one listener, one DHT node, many torrents. Cheap to clone.
#[derive(Clone)]
pub struct Session {}

impl Session {
    /// Starts listening and discovering.
    pub async fn new(config: Config) -> Result<Session> {
        let _ = config;
        todo!()
    }
    /// Opens a torrent and starts connecting to its peers; a magnet waits here for its metadata.
    pub async fn open(&self, source: Source) -> Result<Media> {
        let _ = source;
        todo!()
    }
    /// What is in a torrent, without fetching any of its files.
    pub async fn describe(&self, source: Source) -> Result<Torrent> {
        let _ = source;
        todo!()
    }
    /// Where peers can connect to.
    pub fn listen_addr(&self) -> Option<SocketAddr> {
        todo!()
    }
    /// The settings.
    pub fn config(&self) -> &Config {
        todo!()
    }
    /// Stops all; open streams end with [`ErrorKind::Closed`](crate::ErrorKind::Closed).
    pub async fn close(&self) {
        todo!()
    }
}
