//! Torrents that nobody is watching: librqbit's session completes and seeds them, and gives them back when somebody watches.
//!
//! The session is made with the first torrent that is handed over. It has a listener of its own; DHT and LSD are off there,
//! since one of each a process is ours: our discovery announces its port, asks the trackers and feeds it with peers (see `feed`). It
//! speaks PEX itself.
//!
//! It reads and writes through [`Files`], that is through our store: it finds and leaves everything where the store has it, cannot
//! write to files that are not ours, and cannot touch a file any more once the torrent was taken back.

mod feed;
mod files;

use crate::config::Config;
use crate::discovery::{Discovery, Params, Progress, Shared, random_token};
use crate::error::{Error, Result};
use crate::status::TrackerStatus;
use crate::store::Store;
#[cfg(test)]
use crate::torrent::InfoHash;
use crate::torrent::{Torrent, write_torrent};
use feed::Feed;
use files::Files;
use librqbit::api::{Api, TorrentIdOrHash};
use librqbit::limits::LimitsConfig;
use librqbit::storage::StorageFactoryExt;
use librqbit::{
    AddTorrent, AddTorrentOptions, AddTorrentResponse, ListenerMode, ListenerOptions, ManagedTorrent, Session,
    SessionOptions, TorrentStatsState,
};
use librqbit_core::Id20;
use playswarm_logic::Bits;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock, Weak};
use tokio::sync::Mutex;

/// What librqbit calls a megabyte of its speeds.
const MIB: f64 = 1024.0 * 1024.0;
/// Peers handed over with a torrent; librqbit dials them all.
const MAX_PEERS: usize = 500;
/// The private flag (BEP 27) as it is written in an info dictionary.
const PRIVATE: &[u8] = b"7:privatei1e";
/// librqbit's limiter refuses a block that is larger than a second's worth, so a limit cannot be below one block a second.
const MIN_RATE: u32 = 16 * 1024;

/// The background session.
pub(crate) struct Background {
    config: Config,
    shared: Option<Arc<Shared>>,
    peer_id: Id20,
    session: Mutex<Option<Arc<Session>>>,
}

/// A torrent in the background's care.
pub(crate) struct Kept {
    api: Api,
    handle: Arc<ManagedTorrent>,
    files: Files,
    pieces: u32,
    feed: Option<Feed>,
}

/// What the background has made of a torrent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct KeptStatus {
    /// It is still finding out what is there; the other figures are to come.
    pub(crate) checking: bool,
    /// Bytes of verified pieces.
    pub(crate) have_bytes: u64,
    /// Verified payload received since the hand-over, bytes.
    pub(crate) downloaded_bytes: u64,
    /// Payload sent since the hand-over, bytes.
    pub(crate) uploaded_bytes: u64,
    /// Received lately, bytes per second.
    pub(crate) download_bytes_per_s: f64,
    /// Sent lately, bytes per second.
    pub(crate) upload_bytes_per_s: f64,
    /// Connected peers.
    pub(crate) peers: usize,
    /// Every piece is here.
    pub(crate) complete: bool,
    /// Why it stopped, if it did.
    pub(crate) trouble: Option<String>,
}

fn failed(e: impl std::fmt::Display) -> Error {
    Error::Io { doing: "the torrent cannot be kept in the background", source: std::io::Error::other(e.to_string()) }
}

fn limit(bytes_per_s: u64) -> Option<NonZeroU32> {
    if bytes_per_s == 0 {
        return None;
    }
    NonZeroU32::new(u32::try_from(bytes_per_s).unwrap_or(u32::MAX).max(MIN_RATE))
}

impl Background {
    /// Nothing is started yet. Without `shared`, only PEX and the peers that are handed over are known.
    pub(crate) fn new(config: &Config, shared: Option<Arc<Shared>>) -> Background {
        let peer_id = librqbit::generate_peer_id(b"-PS0100-");
        Background { config: config.clone(), shared, peer_id, session: Mutex::new(None) }
    }

    async fn session(&self) -> Result<Arc<Session>> {
        let mut slot = self.session.lock().await;
        if let Some(session) = &*slot {
            return Ok(session.clone());
        }
        let ip = self.config.listen.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |listen| listen.ip());
        let options = SessionOptions {
            dht: None,
            disable_local_service_discovery: true,
            fastresume: false,
            persistence: None,
            peer_id: Some(self.peer_id),
            listen: Some(ListenerOptions {
                mode: ListenerMode::TcpOnly,
                listen_addr: SocketAddr::new(ip, 0),
                enable_upnp_port_forwarding: false,
                ..ListenerOptions::default()
            }),
            ratelimits: LimitsConfig {
                upload_bps: limit(self.config.upload_bytes_per_s),
                download_bps: limit(self.config.download_bytes_per_s),
            },
            peer_limit: Some(self.config.max_peers),
            client_name_and_version: Some(concat!("playswarm ", env!("CARGO_PKG_VERSION")).to_owned()),
            ..SessionOptions::default()
        };
        let session =
            Session::new_with_opts(self.config.dir.clone(), options).await.map_err(|e| failed(format!("{e:#}")))?;
        *slot = Some(session.clone());
        Ok(session)
    }

    /// Where the background listens; `None` before the first hand-over.
    #[cfg(test)]
    pub(crate) async fn listen_addr(&self) -> Option<SocketAddr> {
        self.session.lock().await.as_ref().and_then(|session| session.listen_addr())
    }

    /// Gives a torrent away, whose files are used through `store` from now on. The caller has dropped its `Discovery`, or
    /// trackers would count it twice. Returns as soon as the background has begun to check what is there.
    ///
    /// # Errors
    /// [`Error::Io`] where librqbit does not take it (it refuses some names that ours makes safe, and a torrent that it has
    /// already): then the caller still has it and may go on seeding it.
    pub(crate) async fn hand_over(&self, store: &Arc<Store>, mut peers: Vec<SocketAddr>) -> Result<Kept> {
        let torrent = store.torrent();
        // librqbit overflows where the flag is a larger number, and would take the torrent for a public one.
        if torrent.private && !torrent.info.windows(PRIVATE.len()).any(|bytes| bytes == PRIVATE) {
            return Err(failed("its private flag is written in an unusual way"));
        }
        let session = self.session().await?;
        peers.truncate(MAX_PEERS);
        let files = Files::new(store.clone());
        let progress = Arc::<OnceLock<Weak<ManagedTorrent>>>::default();
        let feed = self.feed(torrent, &session, progress.clone()).await;
        let trackers: Vec<String> = feed.iter().map(|feed| feed.url().to_owned()).collect();
        let options = AddTorrentOptions {
            overwrite: true,
            // Its own storage is not used.
            output_folder: Some(self.config.dir.to_string_lossy().into_owned()),
            initial_peers: Some(peers),
            storage_factory: Some(files.clone().boxed()),
            ..AddTorrentOptions::default()
        };
        let bytes = AddTorrent::from_bytes(write_torrent(&torrent.info, &trackers.into(), None, None));
        let handle = match session.add_torrent(bytes, Some(options)).await.map_err(|e| failed(format!("{e:#}")))? {
            AddTorrentResponse::Added(_, handle) => handle,
            AddTorrentResponse::AlreadyManaged(..) => return Err(failed("it is there already")),
            AddTorrentResponse::ListOnly(_) => return Err(failed("it was only listed")),
        };
        let _ = progress.set(Arc::downgrade(&handle));
        Ok(Kept { api: Api::new(session, None), handle, files, pieces: torrent.layout.pieces(), feed })
    }

    /// Our own discovery, on behalf of librqbit's listener. It asks the trackers too: librqbit's client of them asks whatever
    /// address and path a torrent names. `progress` is what it asks for; all of the torrent is missing before it is set.
    async fn feed(
        &self,
        torrent: &Torrent,
        session: &Session,
        progress: Arc<OnceLock<Weak<ManagedTorrent>>>,
    ) -> Option<Feed> {
        let shared = self.shared.as_ref()?;
        let total = torrent.layout.total_bytes();
        let progress = move || {
            let handle = progress.get().and_then(Weak::upgrade);
            let Some(stats) = handle.map(|handle| handle.stats()) else {
                return Progress { left: total, ..Progress::default() };
            };
            let checking = matches!(stats.state, TorrentStatsState::Initializing { .. });
            Progress {
                downloaded: stats.live.as_ref().map_or(0, |live| live.snapshot.downloaded_and_checked_bytes),
                uploaded: stats.uploaded_bytes,
                left: if checking { total } else { total.saturating_sub(stats.progress_bytes) },
            }
        };
        let params = Params {
            info_hash: torrent.info_hash,
            peer_id: self.peer_id.0,
            listen_port: session.listen_addr().map_or(0, |addr| addr.port()),
            trackers: torrent.trackers.clone(),
            private: torrent.private,
            progress: Arc::new(progress),
        };
        let (discovery, mut found) = Discovery::start(shared, params);
        // They are asked for all at once, by the feed; this only keeps the channel from filling up. It ends with the discovery.
        tokio::spawn(async move { while found.recv().await.is_some() {} });
        Feed::start(discovery, &random_token())
            .await
            .inspect_err(|e| tracing::info!(error = %e, "no feed of peers"))
            .ok()
    }

    /// Takes a torrent back with what is verified, so that our store can go on with its files: from here on nobody else writes
    /// them. `None` where the background had not even finished looking: then all is as it was handed over.
    ///
    /// # Errors
    /// None that leaves the torrent there; they are reported when the session itself is gone.
    pub(crate) async fn take_back(&self, kept: Kept) -> Result<Option<Bits>> {
        let Kept { api, handle, files, pieces, feed: _feed } = kept;
        let session = api.session();
        // A check that is broken off in the middle would know too little of what is there.
        let checking = matches!(handle.stats().state, TorrentStatsState::Initializing { .. });
        // Fails where it is paused or in error already: both are as good.
        let _ = session.pause(&handle).await;
        // Ends what is being written at this moment; afterwards nothing is.
        let closing = files.clone();
        tokio::task::spawn_blocking(move || closing.close()).await.map_err(|_| Error::Closed)?;
        let bits = if checking { None } else { bits(&api, &handle, pieces) };
        session.delete(TorrentIdOrHash::Hash(handle.info_hash()), false).await.map_err(|e| failed(format!("{e:#}")))?;
        Ok(bits)
    }

    /// Whether a torrent is here.
    #[cfg(test)]
    pub(crate) async fn has(&self, info_hash: InfoHash) -> bool {
        let session = self.session.lock().await;
        session.as_ref().is_some_and(|s| s.get(TorrentIdOrHash::Hash(Id20::new(info_hash.0))).is_some())
    }

    /// Stops all. What is verified stays on disk.
    pub(crate) async fn close(&self) {
        if let Some(session) = self.session.lock().await.take() {
            session.stop().await;
        }
    }
}

fn bits(api: &Api, handle: &ManagedTorrent, pieces: u32) -> Option<Bits> {
    let (have, count) = api.api_dump_haves(TorrentIdOrHash::Hash(handle.info_hash())).ok()?;
    let mut bits = Bits::new(pieces);
    (0..pieces.min(count)).filter(|&piece| have[piece as usize]).for_each(|piece| {
        bits.set(piece, true);
    });
    Some(bits)
}

impl Kept {
    /// A snapshot.
    pub(crate) fn status(&self) -> KeptStatus {
        let stats = self.handle.stats();
        let checking = matches!(stats.state, TorrentStatsState::Initializing { .. });
        let live = stats.live.as_ref().map(|live| &live.snapshot);
        KeptStatus {
            checking,
            // While checking, librqbit counts what it looked at, not what it found.
            have_bytes: if checking { 0 } else { stats.progress_bytes },
            downloaded_bytes: live.map_or(0, |live| live.downloaded_and_checked_bytes),
            uploaded_bytes: stats.uploaded_bytes,
            download_bytes_per_s: stats.live.as_ref().map_or(0.0, |l| l.download_speed.mbps * MIB),
            upload_bytes_per_s: stats.live.as_ref().map_or(0.0, |l| l.upload_speed.mbps * MIB),
            peers: live.map_or(0, |live| live.peer_stats.live as usize),
            complete: stats.finished,
            trouble: stats.error,
        }
    }

    /// The trackers that are asked for it.
    pub(crate) fn trackers(&self) -> Vec<TrackerStatus> {
        self.feed.as_ref().map(Feed::trackers).unwrap_or_default()
    }

    /// Which pieces are verified; `None` while that is being found out.
    pub(crate) fn bits(&self) -> Option<Bits> {
        bits(&self.api, &self.handle, self.pieces)
    }

    /// Waits until it is known what is there.
    ///
    /// # Errors
    /// [`Error::Io`] where the files cannot be used.
    #[cfg(test)]
    pub(crate) async fn checked(&self) -> Result<()> {
        self.handle.wait_until_initialized().await.map_err(|e| failed(format!("{e:#}")))
    }
}

#[cfg(test)]
mod tests;
