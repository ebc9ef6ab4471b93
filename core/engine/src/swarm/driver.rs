//! One torrent's swarm: carries out what the picker, the choker and the metadata machine decide.
//!
//! All decisions are made under one lock and by pure machines; sockets and disk are used outside of it. Here is what a swarm
//! is, how it begins and ends; the machines are told in `machines`, connections are in `connect`, what peers say in `heard`,
//! pieces in `pieces`, the clock in `clock`, peers' tasks in `peer`, readers in `readers`, the files' time in `times`, what is told
//! to the outside in `report`.

use crate::config::Config;
use crate::discovery::{self, Discovery};
use crate::error::{Error, Result};
use crate::peer_address::PeerAddress;
use crate::status::Event;
use crate::store::{Store, StoreOptions};
use crate::swarm::link::Link;
use crate::swarm::listen::Host;
use crate::swarm::named;
use crate::swarm::peer::{Peer, Verdict as Conduct};
use crate::swarm::rates::{Meter, RateLimits};
use crate::swarm::readers::Reader;
use crate::swarm::times::Times;
use crate::swarm::transport::Transport;
use crate::swarm::viewing::Viewing;
use crate::torrent::{InfoHash, Torrent, Trackers, sha1};
use parking_lot::Mutex;
use playswarm_logic::choker::{self, Choker};
use playswarm_logic::metadata as logic_metadata;
use playswarm_logic::named_peers::PortCount;
use playswarm_logic::picker::{Input, Picker};
use playswarm_logic::torrent::Origin;
use playswarm_logic::torrent::address_book::AddressBook;
use playswarm_logic::torrent::fast_grants::FastGrants;
use playswarm_logic::torrent::greeting::FirstWords;
use playswarm_logic::torrent::places::Room;
use playswarm_logic::{BLOCK_BYTES, Bits, PeerKey, PieceIndex, ReaderKey, Time};
use playswarm_proto::extended::ExtendedHandshake;
use playswarm_proto::wire::Message;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;
use tokio::runtime::Handle;
use tokio::sync::{Notify, broadcast, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A torrent and where it is kept, once both are known.
pub(crate) struct Content {
    pub(crate) torrent: Arc<Torrent>,
    pub(crate) store: Arc<Store>,
}

/// See the [module](self).
pub(crate) struct Swarm {
    pub(crate) info_hash: InfoHash,
    pub(super) config: Arc<Config>,
    pub(super) transport: Arc<Transport>,
    pub(super) rates: Arc<RateLimits>,
    pub(super) shared: Arc<discovery::Shared>,
    pub(super) state: Mutex<State>,
    pub(super) content: OnceLock<Content>,
    pub(super) cancel: CancellationToken,
    /// A piece came, was lost, or all is over: readers look again.
    pub(super) news: Notify,
    pub(super) events: broadcast::Sender<Event>,
    pub(super) epoch: Instant,
    /// The timer must look again.
    pub(super) rearm: Notify,
    /// Changes once the torrent is known, or cannot be.
    pub(super) known: watch::Sender<bool>,
    pub(super) failure: Mutex<Option<Error>>,
    pub(super) trackers: Trackers,
    pub(super) closed: watch::Sender<bool>,
    /// Pieces being hashed: their end is awaited before the store is closed, or they would be fetched twice.
    pub(super) verifying: TaskTracker,
    pub(super) runtime: Handle,
    pub(super) this: Weak<Swarm>,
}

/// What the lock guards.
pub(super) struct State {
    pub(super) picker: Option<Picker>,
    pub(super) choker: Choker,
    pub(super) metadata: Option<logic_metadata::Fetch>,
    pub(super) peers: BTreeMap<PeerKey, Peer>,
    pub(super) book: AddressBook,
    /// Ports of peers that strangers named.
    pub(super) named_ports: PortCount,
    pub(super) readers: BTreeMap<ReaderKey, Reader>,
    pub(super) times: Times,
    pub(super) next_peer: u32,
    pub(super) next_reader: u32,
    pub(super) down: Meter,
    pub(super) up: Meter,
    /// Pieces that were announced and are not here any more. Peers that ask for them do so in good faith.
    pub(super) withdrawn: Bits,
    /// What was promised by ALLOWED FAST lately.
    pub(super) fast_grants: FastGrants,
    /// Times that blocks which were here were dropped again, for peers whose blocks were stored at that moment.
    pub(super) resets: u64,
    /// The timer is set for then.
    pub(super) armed: Time,
    pub(super) disk_trouble: Option<String>,
    /// What the user was told of files, the latest last.
    pub(super) notices: Vec<String>,
    /// Why nothing is fetched: memory is full of what is not written yet, or the disk is full.
    pub(super) paused: bool,
    pub(super) lonely_since: Option<Instant>,
    /// Since when a reader waits for what no connected peer gives.
    pub(super) starved_since: Option<Instant>,
    pub(super) warm: Option<(ReaderKey, Instant)>,
    /// The viewer's place in the slot index, once something is watched whose time is known.
    pub(super) viewing: Option<Viewing>,
    pub(super) discovery: Option<Discovery>,
    pub(super) hurried_at: Option<Instant>,
    /// When a connection last gave way to one that was to be dialled.
    pub(super) turned_at: Option<Instant>,
    /// The bound on disk use is reached by what is not watched yet: only what comes next is fetched.
    pub(super) narrow: bool,
    /// Every piece is wanted, whether anybody reads or not.
    pub(super) fetch_all: bool,
}

impl State {
    /// Notes an address that a stranger named and that passed its source's filter; false where it was known or is not wanted.
    pub(super) fn named(&mut self, now: Time, addr: SocketAddr, origin: Origin) -> bool {
        self.named_ports.admit(now, addr) && self.book.add(addr, origin)
    }
}

/// What a swarm begins with.
pub(crate) struct Start {
    pub(crate) info_hash: InfoHash,
    pub(crate) trackers: Trackers,
    pub(crate) peers: Vec<PeerAddress>,
    /// Everything, where it is known; peers are asked for it otherwise.
    pub(crate) torrent: Option<Arc<Torrent>>,
}

impl Swarm {
    /// Starts finding and dialling peers.
    ///
    /// # Errors
    /// Those of [`Store::open`].
    pub(crate) async fn start(
        start: Start,
        config: Arc<Config>,
        transport: Arc<Transport>,
        rates: Arc<RateLimits>,
        shared: &Arc<discovery::Shared>,
    ) -> Result<Arc<Swarm>> {
        let seed = u64::from_le_bytes(*transport.peer_id().0.last_chunk::<8>().unwrap_or(&[0; 8]));
        let state = State {
            picker: None,
            choker: Choker::new(
                Time::ZERO,
                choker::Config { slots: config.upload_slots, seed, ..choker::Config::default() },
            ),
            metadata: None,
            peers: BTreeMap::new(),
            book: AddressBook::new(seed),
            named_ports: PortCount::default(),
            readers: BTreeMap::new(),
            times: Times::default(),
            next_peer: 0,
            next_reader: 0,
            down: Meter::default(),
            up: Meter::default(),
            withdrawn: Bits::default(),
            fast_grants: FastGrants::default(),
            resets: 0,
            armed: Time::NEVER,
            disk_trouble: None,
            notices: Vec::new(),
            paused: false,
            lonely_since: Some(Instant::now()),
            starved_since: None,
            warm: None,
            viewing: None,
            discovery: None,
            hurried_at: None,
            turned_at: None,
            narrow: false,
            fetch_all: false,
        };
        let swarm = Arc::new_cyclic(|this| Swarm {
            info_hash: start.info_hash,
            config,
            transport,
            rates,
            shared: shared.clone(),
            state: Mutex::new(state),
            content: OnceLock::new(),
            cancel: CancellationToken::new(),
            news: Notify::new(),
            events: broadcast::channel(1024).0,
            epoch: Instant::now(),
            rearm: Notify::new(),
            known: watch::channel(false).0,
            failure: Mutex::new(None),
            trackers: start.trackers.clone(),
            closed: watch::channel(false).0,
            verifying: TaskTracker::new(),
            runtime: Handle::current(),
            this: this.clone(),
        });
        let private = start.torrent.as_ref().is_some_and(|t| t.private);
        match start.torrent {
            Some(torrent) => swarm.begin(torrent).await?,
            None => swarm.state.lock().metadata = Some(logic_metadata::Fetch::new(logic_metadata::Config::default())),
        }
        swarm.add_peers(start.peers.iter().chain(&swarm.config.peers));
        swarm.discover(start.trackers, private);
        swarm.dial();
        tokio::spawn(swarm.clone().keep_time());
        Ok(swarm)
    }

    pub(super) fn discover(self: &Arc<Self>, trackers: Trackers, private: bool) {
        let told = self.this.clone();
        let progress = Arc::new(move || told.upgrade().map(|s| s.progress()).unwrap_or_default());
        let params = discovery::Params {
            info_hash: self.info_hash,
            peer_id: self.transport.peer_id().0,
            listen_port: self.transport.listen_addr().port(),
            trackers,
            private,
            progress,
        };
        let (discovery, mut found) = Discovery::start(&self.shared, params);
        self.state.lock().discovery = Some(discovery);
        let (this, cancel) = (self.this.clone(), self.cancel.clone());
        tokio::spawn(async move {
            let mut batch = Vec::new();
            loop {
                let n = tokio::select! {
                    () = cancel.cancelled() => return,
                    n = found.recv_many(&mut batch, 256) => n,
                };
                let (Some(swarm), true) = (this.upgrade(), n > 0) else { return };
                {
                    let mut st = swarm.state.lock();
                    let now = swarm.now();
                    batch.drain(..).for_each(|f: discovery::Found| _ = st.named(now, f.addr, f.origin));
                }
                swarm.dial();
            }
        });
    }

    /// What trackers are told. Before the size of a magnet is known something is missing, at any rate: as other clients do,
    /// a block.
    pub(super) fn progress(&self) -> discovery::Progress {
        let total = self.content.get().map_or(BLOCK_BYTES.into(), |c| c.torrent.layout.total_bytes());
        let st = self.state.lock();
        let here = self.content.get().map_or(0, |c| self.verified_bytes(&c.store.told()));
        discovery::Progress { downloaded: st.down.total(), uploaded: st.up.total(), left: total.saturating_sub(here) }
    }

    pub(super) fn verified_bytes(&self, have: &Bits) -> u64 {
        let Some(c) = self.content.get() else { return 0 };
        let layout = c.torrent.layout;
        let last = PieceIndex(layout.pieces() - 1);
        let short = u64::from(layout.piece_bytes()) - u64::from(layout.bytes_of(last));
        u64::from(have.count()) * u64::from(layout.piece_bytes()) - if have.get(last.0) { short } else { 0 }
    }

    /// Now the pieces are known: the store is opened, the picker made, and the peers that are here already join it.
    pub(super) async fn begin(self: &Arc<Self>, torrent: Arc<Torrent>) -> Result<()> {
        let (store, heard) = Store::open(torrent.clone(), StoreOptions::of(&self.config)).await?;
        let have = store.have();
        let mut config = self.config.picker.clone();
        if self.config.storage_limit_bytes() != 0 {
            // Far ahead of the readers there is nothing to be kept.
            config.jump_points = 0;
        }
        config.max_partial_bytes = config.max_partial_bytes.min(self.config.memory_limit_bytes / 2);
        let mut picker = Picker::new(torrent.layout, &have, config);
        picker.handle(self.now(), Input::KnownTails(store.known_tails()));
        {
            let mut st = self.state.lock();
            // Under the lock, as peers' messages are: none may find the one without the other.
            if self.content.set(Content { torrent: torrent.clone(), store }).is_err() {
                return Ok(());
            }
            st.picker = Some(picker);
            st.metadata = None;
            let all = have.is_full();
            let now = self.now();
            st.withdrawn = Bits::new(have.len());
            self.choke_with(&mut st, choker::Input::Complete(all));
            let keys: Vec<PeerKey> = st.peers.keys().copied().collect();
            for key in keys {
                self.join(&mut st, key, now);
                self.tell_changes(&mut st, key, None);
            }
        }
        self.arm();
        if torrent.private {
            self.make_private();
        }
        tokio::spawn(self.clone().hear_store(heard));
        self.known.send_replace(true);
        Ok(())
    }

    /// A private torrent's peers come from its trackers (BEP 27). One that came by a magnet may have met others before that was
    /// known: they go, and the other ways to find peers are given up.
    fn make_private(&self) {
        let mut st = self.state.lock();
        if let Some(discovery) = &st.discovery {
            discovery.make_private();
        }
        st.book.make_private();
        let others: Vec<PeerKey> = st
            .peers
            .iter()
            .filter(|(_, p)| !st.book.is_named_for_private(p.addr, p.incoming))
            .map(|(key, _)| *key)
            .collect();
        for key in others {
            self.part(&mut st, key, Conduct::Gone("the torrent is private, and no tracker named it".to_owned()));
        }
        // PEX was offered with the handshake.
        let taken_back = ExtendedHandshake { ut_pex: Some(0), ps_slot: Some(0), ..ExtendedHandshake::default() };
        for p in st.peers.values().filter(|p| p.reserved.extended()) {
            p.say(Message::Extended { id: 0, payload: taken_back.encode() });
        }
    }

    /// The torrent, once it is known.
    ///
    /// # Errors
    /// [`Error::Closed`], or what kept its pieces from being stored.
    pub(crate) async fn torrent(&self) -> Result<Arc<Torrent>> {
        let mut known = self.known.subscribe();
        loop {
            if let Some(content) = self.content.get() {
                return Ok(content.torrent.clone());
            }
            if *known.borrow_and_update() {
                return Err(self.failure.lock().take().unwrap_or(Error::Closed));
            }
            tokio::select! {
                () = self.cancel.cancelled() => return Err(Error::Closed),
                changed = known.changed() => changed.map_err(|_| Error::Closed)?,
            }
        }
    }

    /// All parts of the info are here, or so they say: it is hashed off the lock, and the swarm begins.
    pub(super) fn try_info(&self, attempt: u32, info: Vec<u8>) {
        let Some(swarm) = self.this.upgrade() else { return };
        tokio::spawn(async move {
            let (info_hash, trackers) = (swarm.info_hash, swarm.trackers.clone());
            let parsed = tokio::task::spawn_blocking(move || {
                (sha1(&info) == info_hash.0).then(|| Torrent::from_info(info.into(), trackers))
            });
            let parsed = parsed.await.ok().flatten();
            {
                let mut st = swarm.state.lock();
                let right = parsed.is_some();
                swarm.metadata_with(&mut st, logic_metadata::Input::Verdict { attempt, right });
            }
            let begun = match parsed {
                Some(Ok(torrent)) => swarm.begin(Arc::new(torrent)).await,
                // What has the right hash and cannot be used will not get better.
                Some(Err(e)) => Err(e),
                None => Ok(()),
            };
            if let Err(e) = begun {
                *swarm.failure.lock() = Some(e);
                swarm.known.send_modify(|known| *known = true);
            }
            swarm.arm();
        });
    }

    pub(crate) fn add_peer(self: &Arc<Self>, peer: &PeerAddress) {
        self.add_peers([peer]);
        self.dial();
    }

    /// Notes peers that the user or the link named; those with a host name follow once it is looked up.
    fn add_peers<'a>(self: &Arc<Self>, peers: impl IntoIterator<Item = &'a PeerAddress>) {
        let mut st = self.state.lock();
        for peer in peers {
            if let PeerAddress::Ip(addr) = peer {
                st.book.add(*addr, Origin::Given);
                continue;
            }
            let (this, shared, cancel) = (self.this.clone(), self.shared.clone(), self.cancel.clone());
            self.runtime.spawn(named::keep_looking_up(this, shared, cancel, peer.clone()));
        }
    }

    pub(crate) fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    pub(crate) fn fetch_all(&self, on: bool) {
        let total = self.content.get().map_or(0, |c| c.torrent.layout.total_bytes());
        let limit = self.config.storage_limit_bytes();
        if on && limit != 0 && limit < total {
            tracing::warn!("not all of it is fetched: that is more than may be kept");
            return;
        }
        if let Some(content) = self.content.get() {
            if on { content.store.look_through_all() } else { content.store.stop_looking() }
        }
        let mut st = self.state.lock();
        st.fetch_all = on;
        let now = on && st.disk_trouble.is_none();
        self.pick_with(&mut st, Input::FetchAll(now));
        drop(st);
        self.arm();
    }

    pub(crate) async fn sync(&self) -> Result<()> {
        match self.content.get() {
            Some(content) => content.store.sync_all().await,
            None => Ok(()),
        }
    }

    /// Ends everything, at once as far as the outside can tell; what is verified is written behind it.
    pub(crate) fn close(self: &Arc<Self>) {
        if self.cancel.is_cancelled() {
            return;
        }
        self.cancel.cancel();
        self.news.notify_waiters();
        let ended = {
            let mut st = self.state.lock();
            (st.discovery.take(), st.viewing.take(), std::mem::take(&mut st.peers))
        };
        drop(ended);
        let swarm = self.clone();
        // On our own runtime: this may be called from a thread that has none. Where that one has ended, nothing runs any
        // more, and the record on disk is true at any moment.
        self.runtime.spawn(async move {
            swarm.verifying.close();
            swarm.verifying.wait().await;
            if let Some(content) = swarm.content.get()
                && let Err(e) = content.store.close().await
            {
                tracing::warn!("not everything could be written: {e}");
            }
            swarm.closed.send_replace(true);
        });
    }

    /// Peers that were worth connecting to, for whoever goes on with this torrent.
    pub(crate) fn worthy_peers(&self) -> Vec<SocketAddr> {
        self.state.lock().book.worthy()
    }

    /// Waits for the end of [`Swarm::close`].
    pub(crate) async fn closed(&self) {
        let mut closed = self.closed.subscribe();
        let _ = closed.wait_for(|c| *c).await;
    }
}

impl Host for Swarm {
    fn admits(&self, remote: SocketAddr) -> bool {
        let st = self.state.lock();
        !self.cancel.is_cancelled()
            && !st.book.bans.is_banned(remote, self.now())
            && self.room_for(&st, remote.ip()) != Room::None
    }

    fn first_words(&self) -> FirstWords {
        Swarm::first_words(self)
    }

    fn take(&self, link: Link) {
        if let Some(swarm) = self.this.upgrade() {
            let addr = link.remote;
            swarm.adopt(link, addr, Origin::Incoming);
        }
    }
}

impl std::fmt::Debug for Swarm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Swarm").field("info_hash", &self.info_hash).finish_non_exhaustive()
    }
}
