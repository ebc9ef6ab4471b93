//! The session: configuration, the listener, and the state that all torrents share.

use crate::config::Config;
use crate::discovery::{self, source, source::Resolved, source::Source};
use crate::error::{Error, Result};
use crate::gnutella::{self, Gnutella};
use crate::keep::Keeper;
use crate::live::{self, Cast, CastOptions, Channel};
use crate::metainfo::{InfoHash, Metainfo, Trackers, WebSeeds};
use crate::named;
use crate::network::Network;
use crate::status::{OpeningStatus, TorrentStatus};
use crate::store::load_saved_metainfo;
use crate::swarm::driver::{Start, Swarm};
use crate::swarm::listen::Registry;
use crate::swarm::rates::RateLimits;
use crate::swarm::transport::{Limits, Transport};
use crate::torrent_handle::{Inner, TorrentHandle};
use parking_lot::Mutex;
use playswarm_proto::live::ChannelLink;
use playswarm_proto::magnet::{Role, Server};
use playswarm_proto::{AddressClass, Magnet};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::runtime::Handle;
use url::Url;

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

/// The metainfo, or the link with which it is requested from peers.
type Known = std::result::Result<Arc<Metainfo>, Magnet>;

/// Where and within which limits a torrent is kept.
pub(crate) struct Place {
    pub(crate) config: Arc<Config>,
    pub(crate) rates: Arc<RateLimits>,
}

pub(crate) struct Shared {
    config: Arc<Config>,
    transport: Arc<Transport>,
    registry: Arc<Registry>,
    discovery: Arc<discovery::Shared>,
    rates: Arc<RateLimits>,
    channels: Arc<live::Channels>,
    gnutella: Gnutella,
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
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

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

/// Returns the web seeds that a link names, and the servers that may have its torrent file. `xs` and
/// `as` may name either; the content of a torrent file is never that of the torrent.
fn servers_of(servers: &[Server]) -> (Vec<Url>, Vec<Url>) {
    let is_file = |url: &Url| url.path().to_ascii_lowercase().ends_with(".torrent");
    let seeds = servers.iter().filter(|server| server.role == Role::WebSeed || !is_file(&server.url));
    let exact = servers.iter().filter(|server| server.role != Role::WebSeed);
    (seeds.map(|server| server.url.clone()).collect(), exact.map(|server| server.url.clone()).collect())
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
        let network = Network::new(&config).await?;
        let registry = Arc::new(Registry::default());
        let transport = if network.is_proxied() {
            Transport::without_port(Limits::through_proxy(), network.clone())
        } else {
            let bound = Transport::bind(config.listen, config.utp, Limits::default(), network.clone()).await;
            let (transport, listener) = bound?;
            tokio::spawn(listener.run(registry.clone()));
            transport
        };
        // The other sockets are for incoming connections and outgoing attempts.
        let most = (transport.sockets.count() / 4 * 3).max(1);
        if config.max_peers > most {
            tracing::info!(most, "the number of peers is lowered, as this process may open few descriptors");
            config.max_peers = most;
        }
        let discovery = discovery::Shared::start(&config, transport.listen_addr(), network)?;
        let rates = Arc::new(RateLimits::new(config.download_bytes_per_s, config.upload_bytes_per_s));
        let upload = Some(config.upload_bytes_per_s).filter(|rate| *rate > 0);
        let keeper = Keeper::new(&config, &discovery, background);
        let shared = Shared {
            config: Arc::new(config),
            transport,
            registry,
            discovery,
            rates,
            channels: Arc::new(live::Channels::new(upload)),
            gnutella: Gnutella::default(),
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

    /// Returns a handle of a session.
    pub(crate) fn of(shared: Arc<Shared>) -> Session {
        Session { shared }
    }

    /// Opens a torrent like [`Session::open`], in another folder and within other limits. It is never
    /// handed over to the background.
    ///
    /// # Errors
    /// Those of [`Session::open`].
    pub(crate) async fn open_in(&self, source: Source, place: Place) -> Result<TorrentHandle> {
        let resolved = source::resolve(source, self.shared.discovery.web()).await?;
        self.open_at(resolved, place, Weak::new()).await
    }

    /// Begins to cast a live channel. Viewers pass the stream on to each other.
    ///
    /// # Errors
    ///
    /// [`Error::BadConfig`] if an option cannot be used, [`Error::BadArgument`] if the channel is open
    /// in this session already, [`Error::Closed`].
    pub fn cast(&self, options: CastOptions) -> Result<Cast> {
        let _here = self.shared.runtime.enter();
        Cast::start(options, &self.shared.config.channel(), &self.live_surroundings()?)
    }

    /// Joins a live channel, whose nodes are dialled at once. Its stream can be opened at once too;
    /// it waits for the first bytes. A channel that is already open is shared.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`].
    pub fn watch(&self, link: &ChannelLink) -> Result<Channel> {
        let _here = self.shared.runtime.enter();
        Ok(Channel::join(link, &self.shared.config.channel(), &self.live_surroundings()?))
    }

    /// Returns the leaf of the Gnutella network, which begins with the first call.
    ///
    /// # Errors
    ///
    /// [`Error::BadConfig`] if the network is off, [`Error::Closed`].
    pub(crate) fn gnutella(&self) -> Result<Arc<gnutella::Service>> {
        let s = &self.shared;
        let _here = s.runtime.enter();
        if s.is_closed() { Err(Error::Closed) } else { s.gnutella.service(&s.config, &s.discovery) }
    }

    fn live_surroundings(&self) -> Result<live::Surroundings> {
        let s = &self.shared;
        if s.is_closed() {
            return Err(Error::Closed);
        }
        Ok(live::Surroundings {
            transport: s.transport.clone(),
            discovery: s.discovery.clone(),
            registry: s.registry.clone(),
            channels: s.channels.clone(),
            runtime: s.runtime.clone(),
            session: Arc::downgrade(s),
        })
    }

    /// Fetches and parses a source without contacting peers. It becomes a [`Source::Metainfo`], or a
    /// [`Source::Magnet`] where only peers have the torrent's info.
    ///
    /// # Errors
    /// [`Error::BadSource`], [`Error::BadTorrent`], [`Error::Fetch`] or [`Error::Storage`].
    pub async fn resolve(&self, source: Source) -> Result<Source> {
        let resolved = source::resolve(source, self.shared.discovery.web()).await?;
        Ok(match self.known(resolved, &self.shared.config).await? {
            Ok(torrent) => Source::Metainfo(torrent),
            Err(magnet) => Source::Magnet(magnet),
        })
    }

    /// Returns the metainfo, or the link with which it is requested from peers.
    async fn known(&self, resolved: Resolved, config: &Config) -> Result<Known> {
        Ok(match resolved {
            Resolved::Metainfo(torrent) => Ok(torrent),
            Resolved::Magnet(magnet) => Err(magnet),
            Resolved::File(file) => Ok(gnutella::prepare(self, self.shared.discovery.web(), file, config).await?),
        })
    }

    async fn open_resolved(&self, resolved: Resolved) -> Result<TorrentHandle> {
        let s = &self.shared;
        let place = Place { config: s.config.clone(), rates: s.rates.clone() };
        self.open_at(resolved, place, Arc::downgrade(s)).await
    }

    /// Opens a torrent. `keeper` is the session that keeps it once it is closed.
    async fn open_at(&self, resolved: Resolved, place: Place, keeper: Weak<Shared>) -> Result<TorrentHandle> {
        let s = &self.shared;
        if let Resolved::File(file) = &resolved
            && let Some(inner) = s.opened(&file.id())
        {
            return Ok(TorrentHandle::new(inner, Vec::new()));
        }
        let known = self.known(resolved, &place.config).await?;
        let (info_hash, selected) = match &known {
            Ok(torrent) => (torrent.info_hash, torrent.selected.clone()),
            Err(magnet) => (magnet.info_hash, magnet.files.clone()),
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
        let mut start = Session::start_from(known, place.config.dir.clone()).await;
        let named = start.torrent.clone().filter(|torrent| torrent.named.is_some());
        let is_named = named.is_some();
        named.map_or(Ok(()), |torrent| named::check_room(&torrent, &place.config))?;
        let mut wanted = false;
        if let Some(keeper) = s.keeper.as_ref().filter(|_| !is_named)
            && let Some(torrent) = keeper.take_back(&info_hash).await
        {
            start.torrent.get_or_insert(torrent);
            wanted = true;
        }
        let wait = Duration::from_millis(place.config.metadata_timeout_ms);
        let swarm = Swarm::start(start, place.config, s.transport.clone(), place.rates, &s.discovery).await?;
        let mut opening = Opening { registry: &s.registry, swarm: Some(swarm.clone()) };
        {
            let mut swarms = s.swarms.lock();
            swarms.retain(|_, swarm| swarm.strong_count() > 0);
            swarms.insert(info_hash, Arc::downgrade(&swarm));
        }
        // No peer may ask for a file that is in none of BitTorrent's networks.
        if !is_named {
            s.registry.insert(info_hash, swarm.clone());
        }
        let torrent = swarm.torrent_unless_silent(wait).await?;
        gnutella::keep_finding(self, &swarm);
        opening.swarm = None;
        let inner = Arc::new(Inner {
            swarm,
            metainfo: torrent,
            registry: s.registry.clone(),
            // The background session fetches from BitTorrent peers alone.
            session: if is_named { Weak::new() } else { keeper },
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
    async fn start_from(known: Known, dir: PathBuf) -> Start {
        match known {
            Ok(torrent) => Start {
                info_hash: torrent.info_hash,
                trackers: torrent.trackers.clone(),
                web_seeds: WebSeeds::default(),
                servers: (Vec::new(), AddressClass::Loopback),
                peers: Vec::new(),
                torrent: Some(torrent),
            },
            Err(magnet) => {
                let info_hash = magnet.info_hash;
                let saved = tokio::task::spawn_blocking(move || {
                    let bytes = load_saved_metainfo(&dir, &info_hash)?;
                    Metainfo::from_bytes(&bytes).ok().filter(|t| t.info_hash == info_hash)
                });
                let mut trackers = Trackers::from(magnet.trackers).named_by(magnet.named_by);
                let (seeds, exact) = servers_of(&magnet.servers);
                let mut web_seeds = WebSeeds::from(seeds).named_by(magnet.named_by);
                let servers = (exact, magnet.named_by);
                let torrent = saved.await.ok().flatten().map(|mut torrent| {
                    // The source of the saved torrent is no longer known.
                    trackers.extend(&torrent.trackers.named_by(AddressClass::Global));
                    web_seeds.extend(&std::mem::take(&mut torrent.web_seeds).named_by(AddressClass::Global));
                    torrent.trackers = trackers.clone();
                    torrent.web_seeds = web_seeds.clone();
                    Arc::new(torrent)
                });
                Start { info_hash, trackers, web_seeds, servers, peers: magnet.peers, torrent }
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
        let resolved = source::resolve(source, self.shared.discovery.web()).await?;
        match self.known(resolved, &self.shared.config).await?.map_err(Resolved::Magnet) {
            Ok(torrent) => Ok(torrent),
            Err(magnet) => {
                let media = self.open_resolved(magnet).await?;
                Ok(media.metainfo().clone())
            }
        }
    }

    /// Returns the address for incoming peers. The IP address may be unspecified (all interfaces);
    /// the port is the actual one. `None` if there are none, because of a proxy.
    pub fn listen_addr(&self) -> Option<SocketAddr> {
        Some(self.shared.transport.listen_addr()).filter(|addr| addr.port() != 0)
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
        self.shared.gnutella.close();
        self.shared.discovery.close().await;
        self.shared.transport.close();
    }
}
