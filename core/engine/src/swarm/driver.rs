//! One torrent's swarm: carries out what the picker, the choker and the metadata machine decide.
//!
//! All decisions are made under one lock and by pure machines; sockets and disk are used outside of it. Peers' tasks are
//! in `peer`, readers in `readers`, what is told to the outside in `report`.

use crate::config::Config;
use crate::discovery::{self, Discovery, Origin};
use crate::error::{Error, Result};
use crate::status::Event;
use crate::store::{Store, StoreEvent, StoreOptions, Verdict};
use crate::swarm::book::{Book, Dial};
use crate::swarm::extended::ExtendedHandshake;
use crate::swarm::fast;
use crate::swarm::handshake::{FirstWords, HaveWords, Reserved};
use crate::swarm::link::Link;
use crate::swarm::listen::Host;
use crate::swarm::metadata::MetadataMessage;
use crate::swarm::peer::{Peer, Verdict as Conduct};
use crate::swarm::rates::{Meter, RateLimits};
use crate::swarm::readers::Reader;
use crate::swarm::transport::{Manner, Transport};
use crate::swarm::wire::{Message, Span};
use crate::torrent::{InfoHash, Torrent, sha1};
use parking_lot::Mutex;
use playswarm_logic::choker::{self, Choker};
use playswarm_logic::metadata as logic_metadata;
use playswarm_logic::picker::{Input, Output, Picker};
use playswarm_logic::{BLOCK_BYTES, Bits, BlockRef, PeerKey, PieceIndex, ReaderKey, Time, retain};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{Notify, broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often what has no timer of its own is looked at.
const HOUSEKEEPING: Duration = Duration::from_millis(500);
/// A handshake may take so long; pieces that came meanwhile are announced once more.
const RECENT: Duration = Duration::from_secs(20);
/// A connection on which nothing came for so long is dead (BEP 3 wants a keep-alive each two minutes).
const SILENCE: Duration = Duration::from_secs(150);
/// The same where an answer is owed: a pulled cable sends no RST.
const OWING_SILENCE: Duration = Duration::from_secs(20);
/// Two that dial each other at once notice it within so long.
const CROSSING: Duration = Duration::from_secs(5);
/// While a reader waits and fewer peers than this serve us, others are asked for more.
const FEW_PEERS: usize = 3;
/// So often at most.
const HURRY_EVERY: Duration = Duration::from_secs(15);
/// What a reader has ahead of it is never given back within so many bytes.
pub(super) const NEAR_BYTES: u64 = 16 << 20;

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
    pub(super) state: Mutex<State>,
    pub(super) content: OnceLock<Content>,
    pub(super) cancel: CancellationToken,
    /// A piece came, was lost, or all is over: readers look again.
    pub(super) news: Notify,
    pub(super) events: broadcast::Sender<Event>,
    epoch: Instant,
    /// The timer must look again.
    rearm: Notify,
    /// Changes once the torrent is known, or cannot be.
    known: watch::Sender<bool>,
    failure: Mutex<Option<Error>>,
    trackers: Vec<String>,
    closed: watch::Sender<bool>,
    /// Pieces being hashed: their end is awaited before the store is closed, or they would be fetched twice.
    verifying: TaskTracker,
    runtime: Handle,
    this: Weak<Swarm>,
}

/// What the lock guards.
pub(super) struct State {
    pub(super) picker: Option<Picker>,
    pub(super) choker: Choker,
    pub(super) metadata: Option<logic_metadata::Fetch>,
    pub(super) peers: BTreeMap<PeerKey, Peer>,
    pub(super) book: Book,
    pub(super) readers: BTreeMap<ReaderKey, Reader>,
    pub(super) next_peer: u32,
    pub(super) next_reader: u32,
    pub(super) down: Meter,
    pub(super) up: Meter,
    /// Pieces verified over the last moments, for peers whose handshake was under way.
    pub(super) recent: VecDeque<(Instant, u32)>,
    /// The timer is set for then.
    armed: Time,
    pub(super) disk_trouble: Option<String>,
    /// Why nothing is fetched: memory is full of what is not written yet, or the disk is full.
    paused: bool,
    pub(super) lonely_since: Option<Instant>,
    pub(super) warm: Option<(ReaderKey, Instant)>,
    discovery: Option<Discovery>,
    hurried_at: Option<Instant>,
    /// The bound on disk use is reached by what is not watched yet: only what comes next is fetched.
    pub(super) narrow: bool,
}

/// What a swarm begins with.
pub(crate) struct Start {
    pub(crate) info_hash: InfoHash,
    pub(crate) trackers: Vec<String>,
    pub(crate) peers: Vec<SocketAddr>,
    /// Everything, where it is known; peers are asked for it otherwise.
    pub(crate) torrent: Option<Arc<Torrent>>,
    /// Pieces that somebody else who wrote the same files found to be right.
    pub(crate) claims: Option<Bits>,
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
            book: Book::default(),
            readers: BTreeMap::new(),
            next_peer: 0,
            next_reader: 0,
            down: Meter::default(),
            up: Meter::default(),
            recent: VecDeque::new(),
            armed: Time::NEVER,
            disk_trouble: None,
            paused: false,
            lonely_since: Some(Instant::now()),
            warm: None,
            discovery: None,
            hurried_at: None,
            narrow: false,
        };
        let swarm = Arc::new_cyclic(|this| Swarm {
            info_hash: start.info_hash,
            config,
            transport,
            rates,
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
            Some(torrent) => swarm.begin(torrent, start.claims).await?,
            None => swarm.state.lock().metadata = Some(logic_metadata::Fetch::new(logic_metadata::Config::default())),
        }
        {
            let mut st = swarm.state.lock();
            for addr in start.peers.iter().chain(&swarm.config.peers) {
                st.book.add(*addr, Origin::Given);
            }
        }
        swarm.discover(shared, start.trackers, private);
        swarm.dial();
        tokio::spawn(swarm.clone().keep_time());
        Ok(swarm)
    }

    fn discover(self: &Arc<Self>, shared: &Arc<discovery::Shared>, trackers: Vec<String>, private: bool) {
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
        let (discovery, mut found) = Discovery::start(shared, params);
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
                    batch.drain(..).for_each(|f: discovery::Found| {
                        st.book.add(f.addr, f.origin);
                    });
                }
                swarm.dial();
            }
        });
    }

    /// What trackers are told.
    fn progress(&self) -> discovery::Progress {
        let total = self.content.get().map_or(u64::MAX, |c| c.torrent.layout.total_bytes());
        let st = self.state.lock();
        let here = st.picker.as_ref().map_or(0, |p| self.verified_bytes(p.have()));
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
    async fn begin(self: &Arc<Self>, torrent: Arc<Torrent>, claims: Option<Bits>) -> Result<()> {
        let (store, heard) = Store::open(torrent.clone(), StoreOptions::of(&self.config)).await?;
        if let Some(claims) = claims {
            store.claim(&claims).await?;
        }
        let have = store.have();
        let mut config = self.config.picker.clone();
        if self.config.disk_limit_bytes != 0 {
            // Far ahead of the readers there is nothing to be kept.
            config.jump_points = 0;
        }
        config.max_partial_bytes = config.max_partial_bytes.min(self.config.memory_limit_bytes / 2);
        let picker = Picker::new(torrent.layout, &have, config);
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
            let told: Vec<u32> = have.iter_ones().collect();
            self.choke_with(&mut st, choker::Input::Complete(all));
            // Those who shake hands right now are told of no pieces yet.
            let at = Instant::now();
            st.recent.extend(told.iter().map(|p| (at, *p)));
            let keys: Vec<PeerKey> = st.peers.keys().copied().collect();
            for key in keys {
                self.join(&mut st, key, now);
                told.iter().for_each(|p| self.say(&mut st, key, Message::Have(*p)));
            }
        }
        self.arm();
        if torrent.private
            && let Some(discovery) = &self.state.lock().discovery
        {
            discovery.make_private();
        }
        tokio::spawn(self.clone().hear_store(heard));
        self.known.send_replace(true);
        Ok(())
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
    fn try_info(&self, attempt: u32, info: Vec<u8>) {
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
                Some(Ok(torrent)) => swarm.begin(Arc::new(torrent), None).await,
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

    pub(super) fn now(&self) -> Time {
        Time::ZERO + self.epoch.elapsed()
    }

    fn instant(&self, at: Time) -> Instant {
        self.epoch + Duration::from_micros(at.0)
    }

    // ---- machines ----

    /// Tells the picker and does what it says.
    pub(super) fn pick_with(&self, st: &mut State, input: Input) {
        let now = self.now();
        let Some(picker) = &mut st.picker else { return };
        match input {
            Input::Timeout | Input::ReaderRead(..) => {}
            _ => tracing::trace!(t = now.as_secs_f64(), ?input, "told"),
        }
        picker.handle(now, input);
        self.drain_picker(st);
    }

    pub(super) fn drain_picker(&self, st: &mut State) {
        let Some(content) = self.content.get() else { return };
        let layout = content.torrent.layout;
        let span = |block: BlockRef| Span {
            piece: block.piece.0,
            begin: block.block * BLOCK_BYTES,
            length: layout.block_bytes(block),
        };
        while let Some(output) = st.picker.as_mut().and_then(Picker::poll) {
            tracing::trace!(t = self.now().as_secs_f64(), ?output, "do");
            match output {
                Output::Request(peer, block) => self.say(st, peer, Message::Request(span(block))),
                Output::Cancel(peer, block) => self.say(st, peer, Message::Cancel(span(block))),
                Output::Interested(peer, true) => self.say(st, peer, Message::Interested),
                Output::Interested(peer, false) => self.say(st, peer, Message::NotInterested),
                Output::Forget(piece) => content.store.drop_assembly(piece),
                _ => {}
            }
        }
    }

    pub(super) fn say(&self, st: &mut State, peer: PeerKey, message: Message) {
        if let Some(p) = st.peers.get_mut(&peer) {
            p.say(message);
        }
    }

    // ---- peers ----

    pub(super) fn first_words(&self) -> FirstWords {
        let content = self.content.get();
        let have = content.map(|c| c.store.have());
        let pex = self.config.pex && !content.is_some_and(|c| c.torrent.private);
        let incomplete = have.as_ref().is_none_or(|h| !h.is_full());
        let metadata = content.map(|c| c.torrent.info.len() as u32);
        let port = Some(self.transport.listen_addr().port()).filter(|p| *p != 0);
        FirstWords {
            reserved: Reserved::ours(self.config.dht),
            extended: ExtendedHandshake::ours(metadata, port, pex, !incomplete),
            have: have.as_ref().map(HaveWords::from),
            interested: incomplete,
        }
    }

    /// Dials what the book has to offer.
    pub(super) fn dial(self: &Arc<Self>) {
        if self.cancel.is_cancelled() {
            return;
        }
        let due = {
            let mut st = self.state.lock();
            let room = self.config.max_peers.saturating_sub(st.peers.len());
            st.book.dial(self.now(), room)
        };
        if due.is_empty() {
            return;
        }
        let words = Arc::new(self.first_words());
        for Dial { addr, origin, patient } in due {
            let (swarm, words) = (self.clone(), words.clone());
            tokio::spawn(async move {
                let manner = Manner { patient, ..Manner::default() };
                let dialled = tokio::select! {
                    () = swarm.cancel.cancelled() => return,
                    r = swarm.transport.connect(addr, swarm.info_hash, &words, manner) => r,
                };
                match dialled {
                    Ok(link) => swarm.adopt(link, addr, origin),
                    Err(e) => {
                        tracing::debug!(%addr, "cannot connect: {e}");
                        swarm.state.lock().book.ended(addr, swarm.now(), false);
                    }
                }
            });
        }
    }

    /// Takes a connection in. `addr`: where that peer can be dialled, as far as we know.
    pub(super) fn adopt(self: &Arc<Self>, link: Link, addr: SocketAddr, origin: Origin) {
        if self.cancel.is_cancelled() {
            return;
        }
        let now = self.now();
        let mut st = self.state.lock();
        let mut twin = st.peers.iter().find(|(_, p)| p.id == link.peer_id).map(|(key, _)| *key);
        if let Some(key) = twin
            && st.peers.get(&key).is_some_and(|p| self.crossed(p, &link))
        {
            self.part(&mut st, key, Conduct::Gone("it dialled us while we dialled it".to_owned()));
            twin = None;
        }
        let full = st.peers.len() >= self.config.max_peers + if link.incoming { self.config.max_peers / 4 } else { 0 };
        if twin.is_some() || full || st.book.is_banned(addr) {
            tracing::debug!(%addr, twin = twin.is_some(), full, "not taken in");
            if !link.incoming {
                // A twin is here already by another way: later attempts would end like this one.
                st.book.ended(addr, now, true);
            }
            return;
        }
        let key = PeerKey(st.next_peer);
        st.next_peer += 1;
        if !link.incoming {
            st.book.connected(addr, origin);
        }
        let (peer, tasks) = Peer::new(link, addr, origin, now, &self.cancel);
        st.peers.insert(key, peer);
        st.lonely_since = None;
        self.choke_with(&mut st, choker::Input::Joined(key));
        if st.picker.is_some() {
            self.join(&mut st, key, now);
            // Pieces that came while hands were shaken are in no bitfield.
            let recent: Vec<u32> = st.recent.iter().filter(|(at, _)| at.elapsed() < RECENT).map(|(_, p)| *p).collect();
            recent.into_iter().for_each(|p| self.say(&mut st, key, Message::Have(p)));
        }
        drop(st);
        let _ = self.events.send(Event::PeerConnected { addr });
        tasks.spawn(self.clone(), key);
        self.arm();
    }

    /// Whether two of ours dialled each other at once and this new link is the one that both keep: that of the one with
    /// the smaller id. Other clients' rules are not known, so there the first link stays.
    fn crossed(&self, old: &Peer, new: &Link) -> bool {
        let ours = self.transport.peer_id().0;
        old.incoming != new.incoming
            && old.heard.elapsed() < CROSSING
            && old.downloaded == 0
            && new.peer_id.0.starts_with(&ours[..4])
            && new.incoming == (new.peer_id.0 < ours)
    }

    /// A peer and the picker get to know each other.
    fn join(&self, st: &mut State, key: PeerKey, now: Time) {
        let Some(content) = self.content.get() else { return };
        let pieces = content.torrent.layout.pieces();
        let Some(p) = st.peers.get_mut(&key) else { return };
        let (rtt, fast, max_requests) = (p.rtt, p.reserved.fast(), p.extended.reqq.unwrap_or(250));
        let has = p.take_early(pieces);
        let unchoked = !p.chokes_us;
        if let Some(picker) = &mut st.picker {
            picker.handle(now, Input::PeerJoined { peer: key, rtt, max_requests, fast });
            match has {
                Ok(Some(bits)) => picker.handle(now, Input::PeerHasBits(key, bits)),
                Ok(None) => {}
                Err(()) => {
                    self.part(st, key, Conduct::Ban("sent a bitfield of the wrong size"));
                    return;
                }
            }
            if unchoked {
                picker.handle(now, Input::Unchoked(key));
            }
        }
        self.drain_picker(st);
        self.allow_fast(st, key, content);
    }

    /// Tells a newcomer which pieces it may ask for while it is choked (BEP 6).
    fn allow_fast(&self, st: &mut State, key: PeerKey, content: &Content) {
        let pieces = content.torrent.layout.pieces();
        let have = content.store.have();
        let Some(p) = st.peers.get_mut(&key).filter(|p| p.reserved.fast()) else { return };
        if p.share() >= 1.0 {
            return;
        }
        let allowed: Vec<u32> = fast::allowed_fast(p.addr.ip(), &self.info_hash, pieces, fast::ALLOWED_FAST);
        // Whoever asks for what is missing would only be refused.
        let allowed: Vec<u32> = allowed.into_iter().filter(|piece| have.get(*piece)).collect();
        p.uploads.allow_fast(allowed.iter().copied());
        allowed.into_iter().for_each(|piece| p.say(Message::AllowedFast(piece)));
    }

    /// Ends a connection.
    pub(super) fn part(&self, st: &mut State, key: PeerKey, why: Conduct) {
        let Some(peer) = st.peers.remove(&key) else { return };
        peer.cancel.cancel();
        let now = self.now();
        let fault = !matches!(why, Conduct::Gone(_)) || peer.downloaded == 0;
        if peer.booked {
            if !peer.incoming && peer.silent_so_far && matches!(why, Conduct::Gone(_)) {
                st.book.was_curt(peer.addr);
            }
            st.book.ended(peer.addr, now, fault);
        }
        match why {
            Conduct::Ban(why) => {
                tracing::debug!(addr = %peer.addr, why, "banned");
                st.book.ban(peer.addr);
                let _ = self.events.send(Event::PeerBanned { addr: peer.addr, why: why.to_owned() });
            }
            Conduct::Drop(why) => {
                let _ = self.events.send(Event::PeerDisconnected { addr: peer.addr, why: why.to_owned() });
            }
            Conduct::Gone(why) => {
                tracing::debug!(addr = %peer.addr, why, "gone");
                let _ = self.events.send(Event::PeerDisconnected { addr: peer.addr, why });
            }
        }
        if st.peers.is_empty() {
            st.lonely_since = Some(Instant::now());
        }
        self.pick_with(st, Input::PeerLeft(key));
        self.choke_with(st, choker::Input::Left(key));
        self.metadata_with(st, logic_metadata::Input::Left(key));
    }

    // ---- pieces ----

    /// All blocks of a piece are here: hashes it, and tells everybody.
    pub(super) fn verify(self: &Arc<Self>, piece: PieceIndex) {
        let swarm = self.clone();
        self.verifying.spawn(async move {
            let Some(content) = swarm.content.get() else { return };
            match content.store.verify(piece).await {
                Verdict::Verified { liars } => swarm.verified(piece, &liars),
                Verdict::Corrupt { givers } => {
                    let mut st = swarm.state.lock();
                    swarm.pick_with(&mut st, Input::PieceFailed(piece));
                    if let [liar] = givers[..] {
                        swarm.part(&mut st, PeerKey(liar), Conduct::Ban("sent wrong data"));
                    }
                    drop(st);
                    let _ = swarm.events.send(Event::PieceFailed { piece: piece.0 });
                    swarm.arm();
                }
                Verdict::NotWhole => {}
            }
        });
    }

    fn verified(self: &Arc<Self>, piece: PieceIndex, liars: &[u32]) {
        let complete = {
            let mut st = self.state.lock();
            self.pick_with(&mut st, Input::PieceVerified(piece));
            for liar in liars {
                self.part(&mut st, PeerKey(*liar), Conduct::Ban("sent wrong data"));
            }
            let now = Instant::now();
            while st.recent.front().is_some_and(|(at, _)| now - *at > RECENT) {
                st.recent.pop_front();
            }
            st.recent.push_back((now, piece.0));
            self.announce(&mut st, piece.0);
            let complete = st.picker.as_ref().is_some_and(|p| p.have().is_full());
            if complete {
                self.choke_with(&mut st, choker::Input::Complete(true));
                // Trackers want to know at once.
                if let Some(discovery) = &st.discovery {
                    discovery.hurry();
                }
            }
            complete
        };
        // Readers first: all else can wait.
        self.news.notify_waiters();
        let _ = self.events.send(Event::PieceVerified { piece: piece.0 });
        if complete {
            let _ = self.events.send(Event::Completed);
        }
        self.arm();
    }

    /// HAVE to those who lack the piece.
    pub(super) fn announce(&self, st: &mut State, piece: u32) {
        let lacking: Vec<PeerKey> = st.peers.iter().filter(|(_, p)| !p.has(piece)).map(|(k, _)| *k).collect();
        lacking.into_iter().for_each(|key| self.say(st, key, Message::Have(piece)));
    }

    pub(super) fn lost(&self, piece: u32) {
        let mut st = self.state.lock();
        self.pick_with(&mut st, Input::PieceLost(PieceIndex(piece)));
        self.choke_with(&mut st, choker::Input::Complete(false));
        st.recent.retain(|(_, p)| *p != piece);
        let mut rejects = Vec::new();
        for (key, p) in &mut st.peers {
            rejects.extend(p.uploads.forget_piece(piece).into_iter().map(|span| (*key, Message::Reject(span))));
            if let Some(id) = p.extended.dont_have_id() {
                rejects.push((*key, Message::Extended { id, payload: super::extended::encode_dont_have(piece) }));
            }
        }
        rejects.into_iter().for_each(|(key, message)| self.say(&mut st, key, message));
        drop(st);
        let _ = self.events.send(Event::PieceLost { piece });
        self.arm();
    }

    async fn hear_store(self: Arc<Self>, mut heard: mpsc::UnboundedReceiver<StoreEvent>) {
        loop {
            let event = tokio::select! {
                () = self.cancel.cancelled() => return,
                event = heard.recv() => event,
            };
            let Some(event) = event else { return };
            match event {
                StoreEvent::Lost(piece) => {
                    tracing::warn!(
                        piece = piece.0,
                        "a piece on disk was changed by somebody else; it is fetched again"
                    );
                    self.lost(piece.0);
                    self.news.notify_waiters();
                }
                StoreEvent::GivenBack(piece) => self.lost(piece.0),
                StoreEvent::DiskFull => {
                    self.disk_trouble(Some(Error::DiskFull { path: self.config.dir.clone() }.to_string()));
                }
                StoreEvent::WriteFailed(e) => self.disk_trouble(Some(e.to_string())),
                StoreEvent::DiskOk => self.disk_trouble(None),
                StoreEvent::DiskLimitUnsupported => {
                    let message = "the file system cannot give room back, so the disk limit is not kept".to_owned();
                    tracing::warn!("{message}");
                    let _ = self.events.send(Event::Trouble { message });
                }
            }
        }
    }

    fn disk_trouble(&self, trouble: Option<String>) {
        let mut st = self.state.lock();
        let event = match &trouble {
            Some(message) => Event::Trouble { message: message.clone() },
            None => Event::TroubleOver,
        };
        st.disk_trouble = trouble;
        self.check_room(&mut st);
        drop(st);
        let _ = self.events.send(event);
        self.arm();
    }

    /// Stops asking while nothing more can be kept.
    pub(super) fn check_room(&self, st: &mut State) {
        let Some(content) = self.content.get() else { return };
        let paused = st.disk_trouble.is_some() || content.store.room_for_assembly() == 0;
        if paused != st.paused {
            st.paused = paused;
            self.pick_with(st, Input::Paused(paused));
        }
    }

    // ---- time ----

    /// Wakes the timer where a machine wants to be told of an earlier time than it is set for.
    pub(super) fn arm(&self) {
        let mut st = self.state.lock();
        let next = self.next_timeout(&st);
        if next < st.armed {
            st.armed = next;
            drop(st);
            self.rearm.notify_one();
        }
    }

    fn next_timeout(&self, st: &State) -> Time {
        let picker = st.picker.as_ref().and_then(Picker::next_timeout).unwrap_or(Time::NEVER);
        let metadata = st.metadata.as_ref().map_or(Time::NEVER, logic_metadata::Fetch::next_timeout);
        picker.min(metadata).min(st.choker.next_timeout())
    }

    async fn keep_time(self: Arc<Self>) {
        let mut house = tokio::time::interval(HOUSEKEEPING);
        house.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let weak = Arc::downgrade(&self);
        let cancel = self.cancel.clone();
        drop(self);
        loop {
            let Some(swarm) = weak.upgrade() else { return };
            let at = {
                let mut st = swarm.state.lock();
                let next = swarm.next_timeout(&st);
                st.armed = next;
                (next != Time::NEVER).then(|| swarm.instant(next))
            };
            let timer = async {
                match at {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = cancel.cancelled() => return,
                () = timer => swarm.on_time(),
                () = swarm.rearm.notified() => {}
                _ = house.tick() => swarm.keep_house(),
            }
        }
    }

    fn on_time(self: &Arc<Self>) {
        let mut st = self.state.lock();
        let now = self.now();
        if st.picker.as_ref().and_then(Picker::next_timeout).is_some_and(|t| t <= now) {
            self.pick_with(&mut st, Input::Timeout);
        }
        if st.choker.next_timeout() <= now {
            self.choke_with(&mut st, choker::Input::Timeout);
        }
        if st.metadata.as_ref().is_some_and(|m| m.next_timeout() <= now) {
            self.metadata_with(&mut st, logic_metadata::Input::Timeout);
        }
    }

    fn keep_house(self: &Arc<Self>) {
        let now = self.now();
        {
            let mut st = self.state.lock();
            self.check_room(&mut st);
            let dead: Vec<PeerKey> = st
                .peers
                .iter()
                .filter(|(key, p)| {
                    let figures = st.picker.as_ref().and_then(|picker| picker.peer(**key));
                    let silent = p.heard.elapsed();
                    silent > SILENCE || (silent > OWING_SILENCE && figures.is_some_and(|f| f.snubbed))
                })
                .map(|(key, _)| *key)
                .collect();
            for key in dead {
                self.part(&mut st, key, Conduct::Gone("said nothing for too long".to_owned()));
            }
            if st.warm.is_some_and(|(_, since)| since.elapsed() > super::readers::WARM) {
                self.cool_down(&mut st);
            }
            self.fit_windows(&mut st);
            self.tell_choker_who_owes(&mut st);
            self.ask_for_more_peers(&mut st);
            self.exchange_peers(&mut st, now);
            self.place_readers(&st);
        }
        self.dial();
        self.arm();
    }

    /// Who owes us blocks can snub us; who owes nothing cannot.
    fn tell_choker_who_owes(&self, st: &mut State) {
        let Some(picker) = &st.picker else { return };
        let owing: Vec<(PeerKey, bool)> = st
            .peers
            .keys()
            .filter_map(|key| picker.peer(*key).map(|figures| (*key, figures.outstanding > 0 && !figures.choked)))
            .collect();
        owing.into_iter().for_each(|(key, owes)| self.choke_with(st, choker::Input::Asked(key, owes)));
    }

    /// A reader waits and hardly anybody serves it: everybody who may know of peers is asked again.
    fn ask_for_more_peers(&self, st: &mut State) {
        let few = st.peers.values().filter(|p| !p.chokes_us && p.share() > 0.0).count() < FEW_PEERS;
        let waiting = st.readers.values().any(|r| r.waiting);
        let long_ago = st.hurried_at.is_none_or(|at| at.elapsed() > HURRY_EVERY);
        if few && waiting && long_ago && self.epoch.elapsed() > HURRY_EVERY {
            st.hurried_at = Some(Instant::now());
            st.book.hurry(self.now());
            if let Some(discovery) = &st.discovery {
                discovery.hurry();
            }
        }
    }

    /// Where the readers are, for what is given back when disk or memory runs short.
    pub(super) fn place_readers(&self, st: &State) {
        let Some(content) = self.content.get() else { return };
        let layout = content.torrent.layout;
        let near = (NEAR_BYTES / u64::from(layout.piece_bytes())).clamp(2, 1 << 20) as u32;
        let readers: Vec<retain::Reader> = st
            .readers
            .values()
            .map(|r| retain::Reader {
                first: layout.piece_at(r.start),
                at: layout.piece_at(r.position),
                near,
                end: PieceIndex(layout.piece_at(r.end.saturating_sub(1)).0 + 1),
            })
            .collect();
        content.store.set_readers(&readers);
    }

    // ---- outside ----

    pub(crate) fn add_peer(self: &Arc<Self>, addr: SocketAddr) {
        self.state.lock().book.add(addr, Origin::Given);
        self.dial();
    }

    pub(crate) fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    pub(crate) fn fetch_all(&self, on: bool) {
        let total = self.content.get().map_or(0, |c| c.torrent.layout.total_bytes());
        if on && self.config.disk_limit_bytes != 0 && self.config.disk_limit_bytes < total {
            tracing::warn!("not all of it is fetched: that is more than the limit on disk use");
            return;
        }
        let mut st = self.state.lock();
        self.pick_with(&mut st, Input::FetchAll(on));
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
        let (discovery, peers) = {
            let mut st = self.state.lock();
            (st.discovery.take(), std::mem::take(&mut st.peers))
        };
        drop((discovery, peers));
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
            && !st.book.is_banned(remote)
            && st.peers.len() < self.config.max_peers + self.config.max_peers / 4
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

impl Swarm {
    /// Tells the metadata machine and does what it says.
    pub(super) fn metadata_with(&self, st: &mut State, input: logic_metadata::Input) {
        let now = self.now();
        let Some(fetch) = &mut st.metadata else { return };
        fetch.handle(now, input);
        while let Some(output) = st.metadata.as_mut().and_then(logic_metadata::Fetch::poll) {
            match output {
                logic_metadata::Output::Request(key, part) => {
                    let Some(id) = st.peers.get(&key).and_then(|p| p.extended.metadata_id()) else { continue };
                    let payload = MetadataMessage::Request(part).encode();
                    self.say(st, key, Message::Extended { id, payload });
                }
                logic_metadata::Output::Assembled { attempt, info } => self.try_info(attempt, info),
                logic_metadata::Output::Ban(key) => self.part(st, key, Conduct::Ban("gave wrong metadata")),
                _ => {}
            }
        }
    }

    /// Tells the choker and does what it says.
    pub(super) fn choke_with(&self, st: &mut State, input: choker::Input) {
        let now = self.now();
        st.choker.handle(now, input);
        while let Some(output) = st.choker.poll() {
            self.carry_out_choke(st, now, output);
        }
    }
}

impl std::fmt::Debug for Swarm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Swarm").field("info_hash", &self.info_hash).finish_non_exhaustive()
    }
}
