//! The session: configuration, the listener, and the state that all torrents share.

use crate::config::Config;
use crate::discovery::{self, source, source::Resolved, source::Source};
use crate::error::{Error, Result};
use crate::keep::Keeper;
use crate::live::{self, Cast, CastOptions, Channel};
use crate::metainfo::{InfoHash, Metainfo, Trackers};
use crate::status::{OpeningStatus, TorrentStatus};
use crate::store::load_saved_metainfo;
use crate::swarm::driver::{Start, Swarm};
use crate::swarm::listen::Registry;
use crate::swarm::rates::RateLimits;
use crate::swarm::transport::{Limits, Transport};
use crate::torrent_handle::{Inner, TorrentHandle};
use parking_lot::Mutex;
use playswarm_logic::channel;
use playswarm_proto::AddressClass;
use playswarm_proto::live::ChannelLink;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::runtime::Handle;

/// The root object: one listener, one DHT node, many torrents. Cheap to clone.
///
/// ```no_run
/// # async fn example() -> playswarm::Result<()> {
/// use playswarm::{Config, Session, Source};
/// use tokio::io::AsyncReadExt;
///
/// let session = Session::new(Config::default()).await?;
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

pub(crate) struct Shared {
    config: Arc<Config>,
    transport: Arc<Transport>,
    registry: Arc<Registry>,
    discovery: Arc<discovery::Shared>,
    rates: Arc<RateLimits>,
    open: Mutex<BTreeMap<InfoHash, Weak<Inner>>>,
    /// The last swarm of each torrent, which may still be writing its pieces.
    swarms: Mutex<BTreeMap<InfoHash, Weak<Swarm>>>,
    /// Locks that serialize opening, handing over and taking back per torrent.
    turns: Mutex<BTreeMap<InfoHash, Arc<tokio::sync::Mutex<()>>>>,
    keeper: Option<Keeper>,
    closed: AtomicBool,
    runtime: Handle,
}

impl Shared {
    fn turn(&self, info_hash: InfoHash) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock();
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        turns.entry(info_hash).or_default().clone()
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    fn opened(&self, info_hash: &InfoHash) -> Option<Arc<Inner>> {
        self.open.lock().get(info_hash).and_then(Weak::upgrade)
    }

    /// Hands over a torrent that was closed to the background, if the user wants that.
    pub(crate) fn keep(self: Arc<Self>, runtime: &Handle, swarm: Arc<Swarm>, torrent: Arc<Metainfo>) {
        if self.keeper.is_none() || self.is_closed() {
            return;
        }
        runtime.spawn(async move {
            let turn = self.turn(torrent.info_hash);
            let _turn = turn.lock().await;
            swarm.closed().await;
            let Some(keeper) = &self.keeper else { return };
            if self.is_closed() || self.opened(&torrent.info_hash).is_some() {
                return;
            }
            if let Err(e) = keeper.hand_over(torrent, &self.config, swarm.worthy_peers()).await {
                tracing::warn!("{e}");
            }
        });
    }
}

/// A swarm whose torrent is being opened. It is closed if opening fails or is abandoned.
struct Opening<'a> {
    registry: &'a Registry,
    swarm: Option<Arc<Swarm>>,
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        if let Some(swarm) = &self.swarm {
            self.registry.remove(&swarm.info_hash, Arc::as_ptr(swarm).cast());
            swarm.close();
        }
    }
}

impl Session {
    /// Starts the listener and peer discovery. Call it within a tokio runtime.
    ///
    /// # Errors
    /// [`Error::BadConfig`], [`Error::Listen`], or [`Error::Storage`] where the folder cannot be
    /// used.
    pub async fn new(config: Config) -> Result<Session> {
        Session::start(config, None).await
    }

    /// Starts like [`Session::new`], with [`Config::seed_in_background`] set. Torrents that no
    /// reader has open are then completed and seeded by the application's running librqbit session,
    /// rather than by a second one.
    ///
    /// A torrent is in that session from the close of its last handle until it is opened again, and
    /// only the session's own limits hold for it there. Files stay where this session has them.
    /// [`Session::close`] takes the torrents back and leaves the session running. Close this session
    /// before that one ends.
    ///
    /// librqbit persists only torrents with its own storage, so a session with persistence refuses
    /// these torrents. They then stay unseeded, with a warning in the log. The parameter's type
    /// follows librqbit's version (see [`advanced::librqbit`](crate::advanced::librqbit)).
    ///
    /// # Errors
    /// Those of [`Session::new`].
    pub async fn with_background(mut config: Config, background: Arc<librqbit::Session>) -> Result<Session> {
        config.seed_in_background = true;
        Session::start(config, Some(background)).await
    }

    async fn start(mut config: Config, background: Option<Arc<librqbit::Session>>) -> Result<Session> {
        config.check()?;
        config.dir = config.folder()?.unwrap_or_default();
        if !config.read_only {
            std::fs::create_dir_all(&config.dir).map_err(|source| Error::Storage {
                doing: "create the folder",
                path: config.dir.clone(),
                source,
            })?;
        }
        let (transport, listener) = Transport::bind(config.listen, config.utp, Limits::default()).await?;
        // The other sockets are for incoming connections and outgoing attempts.
        let most = (transport.sockets.count() / 4 * 3).max(1);
        if config.max_peers > most {
            tracing::info!(most, "the number of peers is lowered, as this process may open few descriptors");
            config.max_peers = most;
        }
        let registry = Arc::new(Registry::default());
        tokio::spawn(listener.run(registry.clone()));
        let discovery = discovery::Shared::start(&config, transport.listen_addr())?;
        let rates = Arc::new(RateLimits::new(config.download_bytes_per_s, config.upload_bytes_per_s));
        let keeper = Keeper::new(&config, &discovery, background);
        let shared = Shared {
            config: Arc::new(config),
            transport,
            registry,
            discovery,
            rates,
            open: Mutex::default(),
            swarms: Mutex::default(),
            turns: Mutex::default(),
            keeper,
            closed: AtomicBool::new(false),
            runtime: Handle::current(),
        };
        Ok(Session { shared: Arc::new(shared) })
    }

    /// Opens a torrent and starts to connect to its peers.
    ///
    /// A magnet link waits here for its metadata; the peers that sent it stay connected. A torrent
    /// that is already open is shared.
    ///
    /// # Errors
    /// [`Error::BadSource`], [`Error::BadTorrent`], [`Error::Fetch`], [`Error::NoMetadata`],
    /// [`Error::Storage`], [`Error::Closed`].
    pub async fn open(&self, source: Source) -> Result<TorrentHandle> {
        let resolved = source::resolve(source, self.shared.discovery.web()).await?;
        self.open_resolved(resolved).await
    }

    /// Begins to cast a live channel. Viewers pass the stream on to each other.
    ///
    /// # Errors
    ///
    /// [`Error::BadConfig`] if an option cannot be used, [`Error::Closed`].
    pub fn cast(&self, options: CastOptions) -> Result<Cast> {
        Cast::start(options, &channel::Config::default(), self.live_surroundings()?)
    }

    /// Joins a live channel, whose nodes are dialled at once. Its stream can be opened at once too;
    /// it waits for the first bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`].
    pub fn watch(&self, link: &ChannelLink) -> Result<Channel> {
        Ok(Channel::join(link, &channel::Config::default(), self.live_surroundings()?))
    }

    fn live_surroundings(&self) -> Result<live::Surroundings> {
        let s = &self.shared;
        if s.is_closed() {
            return Err(Error::Closed);
        }
        Ok(live::Surroundings {
            transport: s.transport.clone(),
            resolver: s.discovery.resolver().clone(),
            registry: s.registry.clone(),
            upload: Some(s.config.upload_bytes_per_s).filter(|rate| *rate > 0),
        })
    }

    /// Fetches and parses a source without contacting peers. It becomes a [`Source::Metainfo`], or a
    /// [`Source::Magnet`] where only peers have the torrent's info.
    ///
    /// # Errors
    /// [`Error::BadSource`], [`Error::BadTorrent`], [`Error::Fetch`] or [`Error::Storage`].
    pub async fn resolve(&self, source: Source) -> Result<Source> {
        Ok(match source::resolve(source, self.shared.discovery.web()).await? {
            Resolved::Metainfo(torrent) => Source::Metainfo(torrent),
            Resolved::Magnet(magnet) => Source::Magnet(magnet),
        })
    }

    async fn open_resolved(&self, resolved: Resolved) -> Result<TorrentHandle> {
        let s = &self.shared;
        let (info_hash, selected) = match &resolved {
            Resolved::Metainfo(torrent) => (torrent.info_hash, torrent.selected.clone()),
            Resolved::Magnet(magnet) => (magnet.info_hash, magnet.files.clone()),
        };
        // Held until it is open or has failed: concurrent calls for the same torrent share it.
        let turn = s.turn(info_hash);
        let _turn = turn.lock().await;
        if s.is_closed() {
            return Err(Error::Closed);
        }
        if let Some(inner) = s.opened(&info_hash) {
            return Ok(TorrentHandle::new(inner, selected));
        }
        // The last swarm of this torrent may still be writing.
        let last = s.swarms.lock().get(&info_hash).and_then(Weak::upgrade);
        if let Some(last) = last {
            last.closed().await;
        }
        let mut start = self.start_from(resolved).await;
        let mut wanted = false;
        if let Some(keeper) = &s.keeper
            && let Some(torrent) = keeper.take_back(&info_hash).await
        {
            start.torrent.get_or_insert(torrent);
            wanted = true;
        }
        let swarm = Swarm::start(start, s.config.clone(), s.transport.clone(), s.rates.clone(), &s.discovery).await?;
        let mut opening = Opening { registry: &s.registry, swarm: Some(swarm.clone()) };
        {
            let mut swarms = s.swarms.lock();
            swarms.retain(|_, swarm| swarm.strong_count() > 0);
            swarms.insert(info_hash, Arc::downgrade(&swarm));
        }
        s.registry.insert(info_hash, swarm.clone());
        let wait = Duration::from_millis(s.config.metadata_timeout_ms);
        let torrent = swarm.torrent_unless_silent(wait).await?;
        opening.swarm = None;
        let inner = Arc::new(Inner {
            swarm,
            metainfo: torrent,
            registry: s.registry.clone(),
            session: Arc::downgrade(s),
            wanted: AtomicBool::new(wanted),
            runtime: s.runtime.clone(),
            timelines: Arc::default(),
        });
        {
            let mut open = s.open.lock();
            open.retain(|_, inner| inner.strong_count() > 0);
            open.insert(info_hash, Arc::downgrade(&inner));
        }
        if s.is_closed() {
            // Closed while this was in progress: `close` did not see this swarm.
            inner.swarm.close();
            return Err(Error::Closed);
        }
        Ok(TorrentHandle::new(inner, selected))
    }

    /// Returns the start state of a swarm. A magnet link whose torrent was saved here needs no peer
    /// for its metadata.
    async fn start_from(&self, resolved: Resolved) -> Start {
        match resolved {
            Resolved::Metainfo(torrent) => Start {
                info_hash: torrent.info_hash,
                trackers: torrent.trackers.clone(),
                peers: Vec::new(),
                torrent: Some(torrent),
            },
            Resolved::Magnet(magnet) => {
                let (dir, info_hash) = (self.shared.config.dir.clone(), magnet.info_hash);
                let saved = tokio::task::spawn_blocking(move || {
                    let bytes = load_saved_metainfo(&dir, &info_hash)?;
                    Metainfo::from_bytes(&bytes).ok().filter(|t| t.info_hash == info_hash)
                });
                let mut trackers = Trackers::from(magnet.trackers).named_by(magnet.named_by);
                let torrent = saved.await.ok().flatten().map(|mut torrent| {
                    // The source of the saved torrent is no longer known.
                    trackers.extend(&torrent.trackers.named_by(AddressClass::Global));
                    torrent.trackers = trackers.clone();
                    Arc::new(torrent)
                });
                Start { info_hash, trackers, peers: magnet.peers, torrent }
            }
        }
    }

    /// Returns the progress of torrents that [`Session::open`] is opening and whose metadata is not
    /// known yet.
    pub fn opening(&self) -> Vec<OpeningStatus> {
        let swarms: Vec<Arc<Swarm>> = self.shared.swarms.lock().values().filter_map(Weak::upgrade).collect();
        swarms.iter().filter_map(|swarm| swarm.opening()).collect()
    }

    /// Returns a torrent's contents, without fetching any of its files.
    ///
    /// # Errors
    /// Those of [`Session::open`].
    pub async fn describe(&self, source: Source) -> Result<Arc<Metainfo>> {
        match source::resolve(source, self.shared.discovery.web()).await? {
            Resolved::Metainfo(torrent) => Ok(torrent),
            magnet => {
                let media = self.open_resolved(magnet).await?;
                Ok(media.metainfo().clone())
            }
        }
    }

    /// Returns the address for incoming peers. The IP address may be unspecified (all interfaces);
    /// the port is the actual one.
    pub fn listen_addr(&self) -> Option<SocketAddr> {
        Some(self.shared.transport.listen_addr())
    }

    /// Returns the configuration.
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// Returns the torrents that are completed and seeded in the background after they were closed
    /// (see [`Config::seed_in_background`]), in the order of their info-hashes.
    ///
    /// Each has `background: true`, and the number of its peers in `known_peers`. Its counters
    /// start at the handover.
    pub fn seeded_in_background(&self) -> Vec<TorrentStatus> {
        self.shared.keeper.as_ref().map(Keeper::status).unwrap_or_default()
    }

    /// Stops everything: open streams end with [`Error::Closed`], and verified pieces are written.
    pub async fn close(&self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        let swarms: Vec<Arc<Swarm>> = self.shared.swarms.lock().values().filter_map(Weak::upgrade).collect();
        swarms.iter().for_each(Swarm::close);
        for swarm in &swarms {
            swarm.closed().await;
        }
        // Handovers in progress finish first.
        let turns: Vec<_> = self.shared.turns.lock().values().cloned().collect();
        for turn in turns {
            drop(turn.lock().await);
        }
        if let Some(keeper) = &self.shared.keeper {
            keeper.close().await;
        }
        self.shared.discovery.close().await;
        self.shared.transport.close();
    }
}
