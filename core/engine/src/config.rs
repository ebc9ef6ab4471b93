//! Every setting of a session, its unit in its name, its default and the reason beside it.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// Settings of a [`Session`](crate::Session).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where files are written. The current folder by default.
    pub dir: PathBuf,
    /// Where peers may connect to us, TCP and uTP. `None`: any free port of 6881 to 6889, on all interfaces.
    pub listen: Option<SocketAddr>,
    /// Find peers on the mainline DHT (BEP 5).
    pub dht: bool,
    /// The DHT nodes asked first, `host:port`. Empty: the well-known ones.
    pub dht_bootstrap: Vec<String>,
    /// Find peers on the local network (BEP 14).
    pub lsd: bool,
    /// Learn of peers from peers (BEP 11).
    pub pex: bool,
    /// Ask the trackers that the torrent names.
    pub trackers: bool,
    /// Ask the router for a port (UPnP).
    pub port_map: bool,
    /// Speak uTP (BEP 29) with peers that cannot be reached over TCP.
    pub utp: bool,
    /// Peers to be dialled for every torrent, beside those that are found.
    pub peers: Vec<SocketAddr>,
    /// Connections per torrent. 80: enough for any film, few enough for home routers.
    pub max_peers: usize,
    /// Bound on bytes downloaded per second; 0 for none.
    pub download_bytes_per_s: u64,
    /// Bound on bytes uploaded per second; 0 for none.
    pub upload_bytes_per_s: u64,
    /// Peers unchoked at once, one of them optimistic (BEP 3). 8: what clients of today do.
    pub upload_slots: usize,
    /// Bound on the bytes of a torrent kept on disk; 0 for none. What was watched is given back first.
    pub disk_limit_bytes: u64,
    /// Bound on the verified and half-assembled bytes kept in memory for each torrent. 64 MiB.
    pub memory_limit_bytes: u64,
    /// How long a magnet may wait for its metadata, in milliseconds. 60 s.
    pub metadata_timeout_ms: u64,
    /// Once nobody has a torrent open any more that was read: complete it and seed it on in the background, until it is
    /// opened again or the session ends (see [`Session::kept`](crate::Session::kept)). Not together with `disk_limit_bytes`.
    pub keep: bool,
    /// How blocks are picked.
    pub picker: playswarm_logic::picker::Config,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            dir: PathBuf::from("."),
            listen: None,
            dht: true,
            dht_bootstrap: Vec::new(),
            lsd: true,
            pex: true,
            trackers: true,
            port_map: true,
            utp: true,
            peers: Vec::new(),
            max_peers: 80,
            download_bytes_per_s: 0,
            upload_bytes_per_s: 0,
            upload_slots: 8,
            disk_limit_bytes: 0,
            memory_limit_bytes: 64 << 20,
            metadata_timeout_ms: 60_000,
            keep: false,
            picker: playswarm_logic::picker::Config::default(),
        }
    }
}

impl Config {
    /// Only peers given by hand or connecting to us, on a free port of loopback: for tests and demonstrations.
    pub fn offline(dir: impl Into<PathBuf>) -> Config {
        Config {
            dir: dir.into(),
            listen: Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)),
            dht: false,
            lsd: false,
            pex: false,
            trackers: false,
            port_map: false,
            ..Config::default()
        }
    }

    /// Refuses what could not work, with a sentence.
    pub fn check(&self) -> Result<()> {
        let bad = |name, why: &str| Err(Error::BadConfig { name, why: why.into() });
        if self.memory_limit_bytes < 8 << 20 {
            return bad("memory_limit_bytes", "at least 8 MiB are needed to hold a few pieces");
        }
        if self.disk_limit_bytes != 0 && self.disk_limit_bytes < 32 << 20 {
            return bad("disk_limit_bytes", "at least 32 MiB are needed; 0 stands for no limit");
        }
        if self.max_peers == 0 {
            return bad("max_peers", "at least one peer is needed");
        }
        if self.upload_slots == 0 {
            return bad("upload_slots", "at least one slot is needed: peers that get nothing give nothing");
        }
        Ok(())
    }
}
