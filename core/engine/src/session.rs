//! The session: settings, the listener, and what all torrents share.

use crate::config::Config;
use crate::discovery::{self, source, source::Resolved, source::Source};
use crate::error::{Error, Result};
use crate::media::{Inner, Media};
use crate::store::load_saved_torrent_bytes;
use crate::swarm::driver::{Start, Swarm};
use crate::swarm::listen::Registry;
use crate::swarm::rates::RateLimits;
use crate::swarm::transport::{Limits, Transport};
use crate::torrent::{InfoHash, Torrent};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::runtime::Handle;

/// The root of everything: one listener, one DHT node, many torrents. Cheap to clone.
///
/// ```no_run
/// # async fn example() -> playswarm::Result<()> {
/// use playswarm::{Config, Session, Source};
/// use tokio::io::AsyncReadExt;
///
/// let session = Session::new(Config { dir: "/tmp/films".into(), ..Config::default() }).await?;
/// let media = session.open(Source::parse("film.torrent")?).await?;
/// let mut stream = media.stream(media.default_file()?)?;
/// let mut first = vec![0; 1 << 20];
/// stream.read_exact(&mut first).await.expect("the stream ended early");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Session {
    shared: Arc<Shared>,
}

struct Shared {
    config: Arc<Config>,
    transport: Arc<Transport>,
    registry: Arc<Registry>,
    discovery: Arc<discovery::Shared>,
    rates: Arc<RateLimits>,
    open: Mutex<BTreeMap<InfoHash, Weak<Inner>>>,
    opening: tokio::sync::Mutex<()>,
    runtime: Handle,
}

impl Session {
    /// Starts listening and discovering. To be called within a tokio runtime.
    ///
    /// # Errors
    /// [`Error::BadConfig`], [`Error::Listen`], or [`Error::Storage`] where the folder cannot be used.
    pub async fn new(config: Config) -> Result<Session> {
        config.check()?;
        std::fs::create_dir_all(&config.dir).map_err(|source| Error::Storage {
            doing: "create",
            path: config.dir.clone(),
            source,
        })?;
        let (transport, listener) = Transport::bind(config.listen, config.utp, Limits::default()).await?;
        let registry = Arc::new(Registry::default());
        tokio::spawn(listener.run(registry.clone()));
        let discovery = discovery::Shared::start(&config, transport.listen_addr())?;
        let rates = Arc::new(RateLimits::new(config.download_bytes_per_s, config.upload_bytes_per_s));
        let shared = Shared {
            config: Arc::new(config),
            transport,
            registry,
            discovery,
            rates,
            open: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
            runtime: Handle::current(),
        };
        Ok(Session { shared: Arc::new(shared) })
    }

    /// Opens a torrent and starts connecting to its peers. A magnet waits here for its metadata; the peers that gave it
    /// stay connected. A torrent that is open already is shared.
    ///
    /// # Errors
    /// [`Error::BadSource`], [`Error::BadTorrent`], [`Error::Fetch`], [`Error::NoMetadata`], [`Error::Storage`],
    /// [`Error::Closed`].
    pub async fn open(&self, source: Source) -> Result<Media> {
        let resolved = source::resolve(source, self.shared.discovery.http()).await?;
        self.open_resolved(resolved).await
    }

    async fn open_resolved(&self, resolved: Resolved) -> Result<Media> {
        let s = &self.shared;
        let info_hash = match &resolved {
            Resolved::Torrent(torrent) => torrent.info_hash,
            Resolved::Magnet(magnet) => magnet.info_hash,
        };
        // Held until it is open or has failed: two who open the same torrent at once share it.
        let _turn = s.opening.lock().await;
        if let Some(inner) = s.open.lock().get(&info_hash).and_then(Weak::upgrade) {
            return Ok(Media { inner });
        }
        let start = self.start_from(resolved).await;
        let swarm = Swarm::start(start, s.config.clone(), s.transport.clone(), s.rates.clone(), &s.discovery).await?;
        s.registry.insert(info_hash, swarm.clone());
        let wait = Duration::from_millis(s.config.metadata_timeout_ms);
        let torrent = match tokio::time::timeout(wait, swarm.torrent()).await {
            Ok(torrent) => torrent,
            Err(_) => Err(Error::NoMetadata { waited: wait }),
        };
        let torrent = match torrent {
            Ok(torrent) => torrent,
            Err(e) => {
                s.registry.remove(&info_hash);
                swarm.close();
                return Err(e);
            }
        };
        let registry = s.registry.clone();
        let inner = Arc::new(Inner { swarm, torrent, registry, runtime: s.runtime.clone() });
        let mut open = s.open.lock();
        open.retain(|_, inner| inner.strong_count() > 0);
        open.insert(info_hash, Arc::downgrade(&inner));
        Ok(Media { inner })
    }

    /// What a swarm begins with; a magnet whose torrent was seen here before needs no peer to describe it.
    async fn start_from(&self, resolved: Resolved) -> Start {
        match resolved {
            Resolved::Torrent(torrent) => Start {
                info_hash: torrent.info_hash,
                trackers: torrent.trackers.clone(),
                peers: Vec::new(),
                torrent: Some(Arc::new(torrent)),
            },
            Resolved::Magnet(magnet) => {
                let (dir, info_hash) = (self.shared.config.dir.clone(), magnet.info_hash);
                let saved = tokio::task::spawn_blocking(move || {
                    let bytes = load_saved_torrent_bytes(&dir, &info_hash)?;
                    Torrent::from_bytes(&bytes).ok().filter(|t| t.info_hash == info_hash)
                });
                let mut trackers = magnet.trackers;
                let torrent = saved.await.ok().flatten().map(|mut torrent| {
                    trackers
                        .extend(torrent.trackers.iter().filter(|t| !trackers.contains(t)).cloned().collect::<Vec<_>>());
                    torrent.trackers.clone_from(&trackers);
                    Arc::new(torrent)
                });
                Start { info_hash, trackers, peers: magnet.peers, torrent }
            }
        }
    }

    /// What is in a torrent, without fetching any of its files.
    ///
    /// # Errors
    /// Those of [`Session::open`].
    pub async fn describe(&self, source: Source) -> Result<Arc<Torrent>> {
        match source::resolve(source, self.shared.discovery.http()).await? {
            Resolved::Torrent(torrent) => Ok(Arc::new(torrent)),
            magnet => {
                let media = self.open_resolved(magnet).await?;
                Ok(media.torrent().clone())
            }
        }
    }

    /// Where peers can connect to; the address may be unspecified (all interfaces), the port is real.
    pub fn listen_addr(&self) -> Option<SocketAddr> {
        Some(self.shared.transport.listen_addr())
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// Stops all: open streams end with [`Error::Closed`], and what is verified is written.
    pub async fn close(&self) {
        let open: Vec<Arc<Inner>> = self.shared.open.lock().values().filter_map(Weak::upgrade).collect();
        for inner in open {
            inner.swarm.close();
            inner.swarm.closed().await;
        }
        self.shared.discovery.close().await;
        self.shared.transport.close();
    }
}
