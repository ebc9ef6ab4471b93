//! Torrents without a viewer: librqbit's session downloads and seeds them, and returns them when
//! one is watched again.
//!
//! The application may give its own running session. Otherwise the first handed-over torrent creates
//! one, with a listener of its own. DHT and LSD are off there, since each exists once per process and
//! is ours. Our discovery announces the session's port, contacts the trackers and supplies peers (see
//! `feed`). The session handles PEX itself.
//!
//! It reads and writes through [`Files`], that is, through our store. It finds and leaves all data
//! where the store has it, and cannot write to files that are not ours. Once the torrent was taken
//! back, it cannot access a file.

mod feed;
mod files;

use crate::config::Config;
use crate::discovery::{Discovery, Params, Progress, Shared, random_token};
use crate::error::{Error, Result};
#[cfg(test)]
use crate::metainfo::InfoHash;
use crate::metainfo::Metainfo;
use crate::status::TorrentStatus;
use crate::store::Store;
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
use playswarm_logic::torrent::AddressBook;
use playswarm_proto::metainfo::write_torrent;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock, Weak};
use tokio::sync::Mutex;

/// Unit of librqbit's "megabytes" per second, bytes.
const MIB: f64 = 1024.0 * 1024.0;
/// Most peers handed over with a torrent; librqbit dials them all.
const MAX_PEERS: usize = 500;
/// Encoding of the private flag (BEP 27) in an info dictionary.
const PRIVATE: &[u8] = b"7:privatei1e";
/// Lowest limit, bytes per second. librqbit's limiter refuses a block larger than the allowance of
/// one second.
const MIN_RATE: u32 = 16 * 1024;

/// The background session.
pub(crate) struct Background {
    config: Config,
    shared: Option<Arc<Shared>>,
    peer_id: Id20,
    /// The application's session, which ends when the application ends it.
    given: Option<Arc<Session>>,
    /// Our own session, created and ended here.
    own: Mutex<Option<Arc<Session>>>,
}

/// A torrent in the background session.
pub(crate) struct Kept {
    api: Api,
    handle: Arc<ManagedTorrent>,
    files: Files,
    feed: Option<Feed>,
}

fn failed(e: impl std::fmt::Display) -> Error {
    Error::Io {
        doing: "the torrent cannot be handed over to the background session",
        source: std::io::Error::other(e.to_string()),
    }
}

fn limit(bytes_per_s: u64) -> Option<NonZeroU32> {
    if bytes_per_s == 0 {
        return None;
    }
    NonZeroU32::new(u32::try_from(bytes_per_s).unwrap_or(u32::MAX).max(MIN_RATE))
}

impl Background {
    /// Creates the background with the application's session, or without a session. Without
    /// `shared`, its only peers are those handed over and those from PEX.
    pub(crate) fn new(config: &Config, shared: Option<Arc<Shared>>, given: Option<Arc<Session>>) -> Background {
        let peer_id = librqbit::generate_peer_id(b"-PS0100-");
        Background { config: config.clone(), shared, peer_id, given, own: Mutex::new(None) }
    }

    async fn session(&self) -> Result<Arc<Session>> {
        if let Some(session) = &self.given {
            return Ok(session.clone());
        }
        let mut slot = self.own.lock().await;
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

    /// Returns the session's listening address; `None` before the first hand-over.
    #[cfg(test)]
    pub(crate) async fn listen_addr(&self) -> Option<SocketAddr> {
        self.own.lock().await.as_ref().and_then(|session| session.listen_addr())
    }

    /// Hands over a torrent, whose files are used through `store` from now on. The caller has
    /// dropped its `Discovery`, or trackers would count the client twice. Returns as soon as the
    /// session has begun to check the stored data.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Io`] if librqbit refuses the torrent. It refuses some names that our code
    /// makes safe, and a torrent that it has already. The caller then still owns the torrent and
    /// may go on seeding it.
    pub(crate) async fn hand_over(&self, store: &Arc<Store>, mut peers: Vec<SocketAddr>) -> Result<Kept> {
        let torrent = store.torrent();
        // librqbit overflows if the flag is a larger number, and would treat the torrent as public.
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
            // librqbit's own storage is not used.
            output_folder: Some(self.config.dir.to_string_lossy().into_owned()),
            initial_peers: Some(peers),
            storage_factory: Some(files.clone().boxed()),
            ..AddTorrentOptions::default()
        };
        let bytes = AddTorrent::from_bytes(write_torrent(&torrent.info, &trackers.into(), None, None));
        let handle = match session.add_torrent(bytes, Some(options)).await.map_err(|e| failed(format!("{e:#}")))? {
            AddTorrentResponse::Added(_, handle) => handle,
            AddTorrentResponse::AlreadyManaged(..) => return Err(failed("the session has it already")),
            AddTorrentResponse::ListOnly(_) => return Err(failed("it was only listed")),
        };
        let _ = progress.set(Arc::downgrade(&handle));
        Ok(Kept { api: Api::new(session, None), handle, files, feed })
    }

    /// Starts our own discovery on behalf of librqbit's listener. It also contacts the trackers,
    /// because librqbit's tracker client connects to any address and path that a torrent names.
    /// Discovery reads `progress`; before it is set, the whole torrent counts as missing.
    async fn feed(
        &self,
        torrent: &Metainfo,
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
            // A session announces no port of loopback by itself, but our discovery may.
            listen_port: session.announce_port().or(session.listen_addr().map(|addr| addr.port())).unwrap_or(0),
            trackers: torrent.trackers.clone(),
            private: torrent.private,
            progress: Arc::new(progress),
            announces: Arc::new(|| true),
        };
        let book = AddressBook::new(0, shared.listen_at(params.listen_port));
        let (discovery, found) = Discovery::start(shared, params);
        Feed::start(discovery, found, book, &random_token())
            .await
            .inspect_err(|e| tracing::info!(error = %e, "the peer feed could not be started"))
            .ok()
    }

    /// Takes a torrent back with its verified pieces, so that our store can continue with its
    /// files. No other code writes them from here on. Returns `None` if the session had not
    /// finished its check: all data is then as it was handed over.
    ///
    /// # Errors
    ///
    /// Never leaves the torrent in the session; errors are reported when the session itself has
    /// ended.
    pub(crate) async fn take_back(&self, kept: Kept) -> Result<Option<Bits>> {
        let Kept { api, handle, files, feed: _feed } = kept;
        let session = api.session();
        // An aborted check would know too little about the stored data.
        let checking = matches!(handle.stats().state, TorrentStatsState::Initializing { .. });
        // This fails if it is paused or in error already, which serves as well.
        let _ = session.pause(&handle).await;
        // Waits for the present write; none follows it.
        let closing = files.clone();
        tokio::task::spawn_blocking(move || closing.close()).await.map_err(|_| Error::Closed)?;
        let bits = if checking { None } else { bits(&api, &handle, files.torrent().layout.pieces()) };
        session.delete(TorrentIdOrHash::Hash(handle.info_hash()), false).await.map_err(|e| failed(format!("{e:#}")))?;
        Ok(bits)
    }

    /// Returns whether the session has a torrent.
    #[cfg(test)]
    pub(crate) async fn has(&self, info_hash: InfoHash) -> bool {
        let session = self.own.lock().await;
        session.as_ref().is_some_and(|s| s.get(TorrentIdOrHash::Hash(Id20::new(info_hash.0))).is_some())
    }

    /// Stops our own session. Verified data stays on disk.
    pub(crate) async fn close(&self) {
        if let Some(session) = self.own.lock().await.take() {
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
    /// Returns a snapshot.
    pub(crate) fn status(&self) -> TorrentStatus {
        let (torrent, stats) = (self.files.torrent(), self.handle.stats());
        let layout = torrent.layout;
        let bits = self.bits().unwrap_or_else(|| Bits::new(layout.pieces()));
        let checking = matches!(stats.state, TorrentStatsState::Initializing { .. });
        // During the check, librqbit counts the examined bytes, not the verified ones.
        let have_bytes = if checking { 0 } else { stats.progress_bytes };
        let live = stats.live.as_ref();
        TorrentStatus {
            info_hash: torrent.info_hash,
            name: torrent.name.clone(),
            total_bytes: layout.total_bytes(),
            verified_bytes: have_bytes,
            piece_bytes: layout.piece_bytes(),
            pieces: layout.pieces(),
            piece_map: (0..layout.pieces()).map(|piece| if bits.get(piece) { '#' } else { '.' }).collect(),
            download_bytes_per_s: live.map_or(0.0, |live| live.download_speed.mbps * MIB),
            upload_bytes_per_s: live.map_or(0.0, |live| live.upload_speed.mbps * MIB),
            downloaded_bytes: live.map_or(0, |live| live.snapshot.downloaded_and_checked_bytes),
            uploaded_bytes: stats.uploaded_bytes,
            trackers: self.feed.as_ref().map(Feed::trackers).unwrap_or_default(),
            known_peers: live.map_or(0, |live| live.snapshot.peer_stats.live as usize),
            trouble: stats.error,
            disk_bytes: have_bytes,
            background: true,
            ..TorrentStatus::default()
        }
    }

    /// Returns the verified pieces; `None` during the check.
    pub(crate) fn bits(&self) -> Option<Bits> {
        bits(&self.api, &self.handle, self.files.torrent().layout.pieces())
    }

    /// Waits for the end of the check.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Io`] if the files cannot be used.
    #[cfg(test)]
    pub(crate) async fn checked(&self) -> Result<()> {
        self.handle.wait_until_initialized().await.map_err(|e| failed(format!("{e:#}")))
    }
}

#[cfg(test)]
mod tests;
