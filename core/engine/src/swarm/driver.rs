//! The driver of one torrent: owns the sockets, the disk and the clock, and carries out the
//! torrent's decisions.
//!
//! [`Torrent`] makes all decisions. This module begins and ends a swarm. Its state is in `door`,
//! connections are in `connect` and `links`, received messages in `receive`, pieces in `pieces`,
//! and readers in `readers`. The presentation time of files is in `times`, DHT operations of the
//! slot index are in `slots`, and the status is in `report`.

use crate::config::Config;
use crate::discovery::{self, Discovery};
use crate::error::{Error, Result};
use crate::metainfo::{BadMetainfo, InfoHash, Metainfo, Trackers, WebSeeds};
use crate::status::Event;
use crate::store::{Store, StoreOptions};
use crate::swarm::door::Door;
use crate::swarm::link::Link;
use crate::swarm::listen::Host;
use crate::swarm::named;
use crate::swarm::rates::RateLimits;
use crate::swarm::sources::Sources;
use crate::swarm::transport::Transport;
use parking_lot::Mutex;
use playswarm_logic::torrent::{self, Content as Known, Greeting, Input, Origin, Torrent};
use playswarm_logic::{BLOCK_BYTES, Bits, Machine, PieceIndex};
use playswarm_proto::proof::Mismatch;
use playswarm_proto::sha1::sha1;
use playswarm_proto::{AddressClass, PeerAddress};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, OnceLock, Weak};
use tokio::runtime::Handle;
use tokio::sync::{Notify, SetOnce, broadcast, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

/// A torrent and its store, once both are known.
pub(crate) struct Content {
    pub(crate) torrent: Arc<Metainfo>,
    pub(crate) store: Arc<Store>,
}

/// The phase of a torrent; not set while its metadata is being fetched.
pub(super) enum Phase {
    /// The content is known.
    Ready(Content),
    /// The torrent is unusable. The first caller gets the reason.
    Failed(Mutex<Option<Error>>),
}

/// A swarm; see the [module](self).
pub(crate) struct Swarm {
    pub(crate) info_hash: InfoHash,
    pub(super) config: Arc<Config>,
    pub(super) transport: Arc<Transport>,
    pub(super) rates: Arc<RateLimits>,
    pub(super) shared: Arc<discovery::Shared>,
    pub(super) door: Door,
    pub(super) phase: SetOnce<Phase>,
    pub(super) times: Mutex<BTreeMap<usize, Arc<playswarm_media::Timeline>>>,
    pub(super) discovery: Mutex<Option<Discovery>>,
    /// Reports to the user about files and disk.
    pub(super) reports: Mutex<crate::swarm::pieces::Reports>,
    pub(super) next_reader: AtomicU32,
    pub(super) cancel: CancellationToken,
    /// Wakes readers when a piece was completed or lost, or the swarm is closed.
    pub(super) news: Notify,
    pub(super) events: broadcast::Sender<Event>,
    pub(super) trackers: Trackers,
    /// Web seeds that the link names.
    pub(super) web_seeds: WebSeeds,
    /// Held while the store is opened. Peers and servers may send the info dictionary at once.
    beginning: tokio::sync::Mutex<()>,
    pub(super) sources: Sources,
    /// Whether it is a file that hashes name. No network of BitTorrent may learn of it.
    is_named: bool,
    /// The reason why the whole file is not the named one.
    pub(super) wrong: OnceLock<Mismatch>,
    closed: watch::Sender<bool>,
    /// Pieces being hashed. The store is closed after they end; otherwise they would be fetched
    /// twice.
    pub(super) verifying: TaskTracker,
    pub(super) runtime: Handle,
    pub(super) this: Weak<Swarm>,
}

/// The parameters of a new swarm.
pub(crate) struct Start {
    pub(crate) info_hash: InfoHash,
    pub(crate) trackers: Trackers,
    /// Web seeds beside those of the metainfo.
    pub(crate) web_seeds: WebSeeds,
    pub(crate) peers: Vec<PeerAddress>,
    /// The metainfo, if known. Otherwise its info dictionary is requested from peers, and from the
    /// servers that may have the torrent file.
    pub(crate) torrent: Option<Arc<Metainfo>>,
    /// These servers, and the class of the address that named them.
    pub(crate) servers: (Vec<Url>, AddressClass),
}

impl Swarm {
    /// Starts a swarm, which finds and dials peers.
    ///
    /// # Errors
    ///
    /// Returns those of [`Store::open`].
    pub(crate) async fn start(
        start: Start,
        config: Arc<Config>,
        transport: Arc<Transport>,
        rates: Arc<RateLimits>,
        shared: &Arc<discovery::Shared>,
    ) -> Result<Arc<Swarm>> {
        let mut settings = settings(start.info_hash, &config, &transport, shared);
        let is_named = start.torrent.as_ref().is_some_and(|torrent| torrent.named.is_some());
        if is_named {
            (settings.dht, settings.pex, settings.slot_index) = (false, false, false);
        }
        let sources = Sources::new(&config.advanced.sources);
        let swarm = Arc::new_cyclic(|this| Swarm {
            info_hash: start.info_hash,
            config,
            transport,
            rates,
            shared: shared.clone(),
            door: Door::new(|now| Torrent::new(now, settings)),
            phase: SetOnce::new(),
            times: Mutex::default(),
            discovery: Mutex::new(None),
            reports: Mutex::default(),
            next_reader: AtomicU32::new(0),
            cancel: CancellationToken::new(),
            news: Notify::new(),
            events: broadcast::channel(1024).0,
            trackers: start.trackers.clone(),
            web_seeds: start.web_seeds,
            beginning: tokio::sync::Mutex::default(),
            sources,
            is_named,
            wrong: OnceLock::new(),
            closed: watch::channel(false).0,
            verifying: TaskTracker::new(),
            runtime: Handle::current(),
            this: this.clone(),
        });
        let private = start.torrent.as_ref().is_some_and(|t| t.private);
        let (servers, named_by) = start.servers;
        let is_link = start.torrent.is_none();
        if let Some(torrent) = start.torrent {
            swarm.begin(torrent).await?;
        }
        swarm.add_peers(start.peers.iter().chain(&swarm.config.peers));
        if !is_named {
            swarm.discover(start.trackers, private);
        }
        if is_link && swarm.config.web_seeds && !servers.is_empty() {
            tokio::spawn(swarm.clone().fetch_metainfo(servers, named_by));
        }
        tokio::spawn(swarm.clone().keep_time());
        Ok(swarm)
    }

    /// Returns the torrent's content, once known.
    pub(crate) fn content(&self) -> Option<&Content> {
        match self.phase.get() {
            Some(Phase::Ready(content)) => Some(content),
            Some(Phase::Failed(_)) | None => None,
        }
    }

    fn discover(self: &Arc<Self>, trackers: Trackers, private: bool) {
        let told = self.this.clone();
        let progress = Arc::new(move || told.upgrade().map(|s| s.progress()).unwrap_or_default());
        let params = discovery::Params {
            info_hash: self.info_hash,
            peer_id: self.transport.peer_id().0,
            listen_port: self.transport.listen_addr().port(),
            trackers,
            private,
            progress,
            announces: Arc::new(|| true),
        };
        let (discovery, mut found) = Discovery::start(&self.shared, params);
        *self.discovery.lock() = Some(discovery);
        let (this, cancel) = (self.this.clone(), self.cancel.clone());
        tokio::spawn(async move {
            let mut batch = Vec::new();
            loop {
                let n = tokio::select! {
                    () = cancel.cancelled() => return,
                    n = found.recv_many(&mut batch, 256) => n,
                };
                let (Some(swarm), true) = (this.upgrade(), n > 0) else { return };
                swarm.tell(Input::Found(std::mem::take(&mut batch)));
            }
        });
    }

    /// Returns the progress to announce to trackers. Before the size of a magnet's torrent is
    /// known, one block counts as missing, as in other clients.
    pub(super) fn progress(&self) -> discovery::Progress {
        let total = self.content().map_or(BLOCK_BYTES.into(), |c| c.torrent.layout.total_bytes());
        let here = self.content().map_or(0, |c| self.verified_bytes(&c.store.told()));
        let (downloaded, uploaded) = self.look(|torrent, now| (torrent.download(now).0, torrent.upload(now).0));
        discovery::Progress { downloaded, uploaded, left: total.saturating_sub(here) }
    }

    pub(super) fn verified_bytes(&self, have: &Bits) -> u64 {
        let Some(c) = self.content() else { return 0 };
        let layout = c.torrent.layout;
        let last = PieceIndex(layout.pieces() - 1);
        let short = u64::from(layout.piece_bytes()) - u64::from(layout.bytes_of(last));
        u64::from(have.count()) * u64::from(layout.piece_bytes()) - if have.get(last.0) { short } else { 0 }
    }

    /// Begins with the known pieces: opens the store, and the connected peers join.
    pub(super) async fn begin(self: &Arc<Self>, torrent: Arc<Metainfo>) -> Result<()> {
        let _beginning = self.beginning.lock().await;
        if self.phase.get().is_some() {
            return Ok(());
        }
        let (store, heard) = Store::open(torrent.clone(), StoreOptions::of(&self.config)).await?;
        let known = Known {
            layout: torrent.layout,
            files: torrent.files.iter().map(|file| file.offset..file.offset + file.length).collect(),
            private: torrent.private,
            info: torrent.info.clone(),
        };
        let mut web_seeds = torrent.web_seeds.clone();
        web_seeds.retain(|seed| self.config.web_seeds || seed.is_mirror);
        let (have, told, known_tails) = (store.have(), store.told(), store.known_tails());
        let (is_sealed, settled) = (store.is_sealed(), torrent.proof.is_settled_by_whole());
        self.enter(|inside, now| {
            // Under the lock, like peers' messages: none may see one of the two without the other.
            if self.phase.set(Phase::Ready(Content { torrent, store })).is_ok() {
                inside.handle(now, Input::Ready { content: known, have, told, known_tails });
            }
        });
        self.sources.add_all(&web_seeds);
        tokio::spawn(self.clone().hear_store(heard));
        tokio::spawn(self.clone().keep_sources());
        if is_sealed {
            self.explain_wait();
            self.tell(Input::FetchAll(true));
        }
        if settled {
            self.prove_whole();
        }
        Ok(())
    }

    /// Returns the torrent, once known.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Closed`], or the reason why its pieces cannot be stored.
    pub(crate) async fn torrent(&self) -> Result<Arc<Metainfo>> {
        let phase = tokio::select! {
            () = self.cancel.cancelled() => return Err(Error::Closed),
            phase = self.phase.wait() => phase,
        };
        match phase {
            Phase::Ready(content) => Ok(content.torrent.clone()),
            Phase::Failed(why) => Err(why.lock().take().unwrap_or(Error::Closed)),
        }
    }

    /// Hashes the info dictionary, whose parts are complete according to the peers. If it is right,
    /// the swarm begins.
    pub(super) async fn check_info(self: Arc<Self>, (attempt, info): (u32, Vec<u8>)) {
        let (info_hash, trackers, web_seeds) = (self.info_hash, self.trackers.clone(), self.web_seeds.clone());
        let parsed = tokio::task::spawn_blocking(move || {
            (sha1(&info) == info_hash.0).then(|| {
                let mut torrent = Metainfo::from_info(info.into(), trackers)?;
                torrent.web_seeds = web_seeds;
                Ok::<_, BadMetainfo>(torrent)
            })
        });
        let parsed = parsed.await.ok().flatten();
        self.tell(Input::InfoChecked { attempt, right: parsed.is_some() });
        let begun = match parsed {
            Some(Ok(torrent)) => self.begin(Arc::new(torrent)).await,
            // An info dictionary that has the right hash and is unusable remains so.
            Some(Err(why)) => Err(why.into()),
            None => Ok(()),
        };
        if let Err(e) = begun {
            self.fail(e);
        }
    }

    /// Ends an opening: the torrent cannot be used.
    pub(super) fn fail(&self, why: Error) {
        let _ = self.phase.set(Phase::Failed(Mutex::new(Some(why))));
        self.tell(Input::Unusable);
    }

    pub(crate) fn add_peer(self: &Arc<Self>, peer: &PeerAddress) {
        self.add_peers([peer]);
    }

    /// Adds peers that the user or the link named. Those with a host name follow once it is
    /// resolved.
    fn add_peers<'a>(self: &Arc<Self>, peers: impl IntoIterator<Item = &'a PeerAddress>) {
        if self.is_named {
            return;
        }
        let mut addrs = Vec::new();
        for peer in peers {
            if let PeerAddress::Ip(addr) = peer {
                addrs.push(*addr);
                continue;
            }
            let (this, shared, cancel) = (self.this.clone(), self.shared.clone(), self.cancel.clone());
            let found = move |addrs| this.upgrade().inspect(|swarm| swarm.tell(Input::Given(addrs))).is_some();
            self.runtime.spawn(named::keep_looking_up(shared, cancel, peer.clone(), found));
        }
        self.tell(Input::Given(addrs));
    }

    pub(crate) fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    pub(crate) fn fetch_all(&self, on: bool) {
        let total = self.content().map_or(0, |c| c.torrent.layout.total_bytes());
        let limit = self.config.storage_limit_bytes();
        if on && limit != 0 && limit < total {
            tracing::warn!("not all pieces are fetched: they exceed the disk limit");
            return;
        }
        if let Some(content) = self.content() {
            if on { content.store.look_through_all() } else { content.store.stop_looking() }
        }
        // Nothing can be shown of a sealed file before all of it is here.
        self.tell(Input::FetchAll(on || self.content().is_some_and(|content| content.store.is_sealed())));
    }

    pub(crate) async fn sync(&self) -> Result<()> {
        match self.content() {
            Some(content) => content.store.sync_all().await,
            None => Ok(()),
        }
    }

    /// Closes the swarm, at once for the caller. Verified data is written in the background.
    pub(crate) fn close(self: &Arc<Self>) {
        if self.cancel.is_cancelled() {
            return;
        }
        self.cancel.cancel();
        self.news.notify_waiters();
        let discovery = self.discovery.lock().take();
        drop(discovery);
        self.door.close();
        let swarm = self.clone();
        // This uses our own runtime, as the caller's thread may have none. If that runtime has
        // ended, no task is left, and the record on disk is valid at any moment.
        self.runtime.spawn(async move {
            swarm.verifying.close();
            swarm.verifying.wait().await;
            if let Some(content) = swarm.content()
                && let Err(e) = content.store.close().await
            {
                tracing::warn!("some data could not be written: {e}");
            }
            swarm.closed.send_replace(true);
        });
    }

    /// Returns the addresses of useful peers, for a program that resumes this torrent.
    pub(crate) fn worthy_peers(&self) -> Vec<SocketAddr> {
        self.look(|torrent, _| torrent.worthy_peers())
    }

    /// Waits for the end of [`Swarm::close`].
    pub(crate) async fn closed(&self) {
        let mut closed = self.closed.subscribe();
        let _ = closed.wait_for(|c| *c).await;
    }
}

/// Returns the settings of a torrent, derived from those of the session.
fn settings(
    info_hash: InfoHash,
    config: &Config,
    transport: &Transport,
    shared: &discovery::Shared,
) -> torrent::Config {
    let peer_id = transport.peer_id();
    torrent::Config {
        info_hash,
        peer_id,
        listen: transport.listen_addr(),
        dht: config.dht,
        pex: config.pex,
        slot_index: config.slot_index && shared.has_dht(),
        max_peers: config.max_peers,
        upload_bytes_per_s: config.upload_bytes_per_s,
        memory_limit_bytes: config.memory_limit_bytes,
        storage_limit_bytes: config.storage_limit_bytes(),
        seed: u64::from_le_bytes(*peer_id.0.last_chunk::<8>().unwrap_or(&[0; 8])),
        picker: config.advanced.picker.clone(),
        upload_slots: config.upload_slots,
        slots: config.advanced.slots.clone(),
    }
}

impl Host for Swarm {
    fn admits(&self, remote: SocketAddr) -> bool {
        !self.cancel.is_cancelled() && self.look(|torrent, now| torrent.admits(now, remote))
    }

    fn first_words(&self) -> Greeting {
        self.look(|torrent, _| torrent.greeting())
    }

    fn take(&self, link: Link) {
        let addr = link.remote;
        self.adopt(link, addr, Origin::Incoming);
    }
}

impl std::fmt::Debug for Swarm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Swarm").field("info_hash", &self.info_hash).finish_non_exhaustive()
    }
}
