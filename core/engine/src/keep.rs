//! Torrents that nobody reads any more and the user wants kept: given to the background session, and taken back from it.
//!
//! When that happens is decided in `session`; how librqbit is handled is in `swarm::background`. See docs/adr/0004-hand-over.md.

use crate::config::Config;
use crate::discovery;
use crate::error::Result;
use crate::status::{MediaStatus, Waste};
use crate::store::{Store, StoreOptions};
use crate::swarm::background::{Background, Kept};
use crate::torrent::{InfoHash, Torrent};
use parking_lot::Mutex;
use playswarm_logic::Bits;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

/// What is kept, and by whom.
pub(crate) struct Keeper {
    background: Background,
    kept: Mutex<BTreeMap<InfoHash, Entry>>,
}

struct Entry {
    torrent: Arc<Torrent>,
    kept: Kept,
}

/// A torrent that was taken back.
pub(crate) struct TakenBack {
    pub(crate) torrent: Arc<Torrent>,
    /// The pieces that are right; `None` where all is as it was handed over.
    pub(crate) claims: Option<Bits>,
}

impl Keeper {
    /// Keeps torrents where the settings ask for it. With a bound on disk use, nothing is: all of a torrent may not fit.
    pub(crate) fn new(config: &Config, shared: &Arc<discovery::Shared>) -> Option<Keeper> {
        if config.keep && config.disk_limit_bytes != 0 {
            tracing::warn!("nothing is kept in the background: there is a limit on disk use");
            return None;
        }
        config
            .keep
            .then(|| Keeper { background: Background::new(config, Some(shared.clone())), kept: Mutex::default() })
    }

    /// Gives a torrent to the background: its store is closed, its discovery gone.
    ///
    /// # Errors
    /// Those of [`Background::hand_over`].
    pub(crate) async fn hand_over(&self, torrent: Arc<Torrent>, dir: &Path, peers: Vec<SocketAddr>) -> Result<()> {
        let kept = self.background.hand_over(&torrent, dir, peers).await?;
        self.kept.lock().insert(torrent.info_hash, Entry { torrent, kept });
        Ok(())
    }

    /// Takes a torrent back, if it is here: from then on nobody else writes its files.
    pub(crate) async fn take_back(&self, info_hash: &InfoHash) -> Option<TakenBack> {
        let Entry { torrent, kept } = self.kept.lock().remove(info_hash)?;
        let claims = self.background.take_back(kept).await.unwrap_or_else(|e| {
            tracing::warn!("{e}");
            None
        });
        Some(TakenBack { torrent, claims })
    }

    /// What the background has made of each of them.
    pub(crate) fn status(&self) -> Vec<MediaStatus> {
        self.kept.lock().values().map(Entry::status).collect()
    }

    /// Stops all, and notes which pieces are right, for the next session.
    pub(crate) async fn close(&self, config: &Config) {
        let all: Vec<InfoHash> = self.kept.lock().keys().copied().collect();
        for info_hash in all {
            let Some(TakenBack { torrent, claims: Some(claims) }) = self.take_back(&info_hash).await else { continue };
            if let Err(e) = note(torrent, config, &claims).await {
                tracing::warn!("what was fetched in the background could not be noted: {e}");
            }
        }
        self.background.close().await;
    }
}

async fn note(torrent: Arc<Torrent>, config: &Config, claims: &Bits) -> Result<()> {
    let (store, _events) = Store::open(torrent, StoreOptions::of(config)).await?;
    store.claim(claims).await?;
    store.close().await
}

impl Entry {
    fn status(&self) -> MediaStatus {
        let (torrent, status) = (&self.torrent, self.kept.status());
        let layout = torrent.layout;
        let bits = self.kept.bits().unwrap_or_else(|| Bits::new(layout.pieces()));
        MediaStatus {
            info_hash: torrent.info_hash,
            name: torrent.name.clone(),
            total_bytes: layout.total_bytes(),
            verified_bytes: status.have_bytes,
            piece_bytes: layout.piece_bytes(),
            pieces: layout.pieces(),
            piece_map: (0..layout.pieces()).map(|piece| if bits.get(piece) { '#' } else { '.' }).collect(),
            download_bytes_per_s: status.download_bytes_per_s,
            upload_bytes_per_s: status.upload_bytes_per_s,
            downloaded_bytes: status.downloaded_bytes,
            uploaded_bytes: status.uploaded_bytes,
            waste: Waste::default(),
            readers: Vec::new(),
            playhead: None,
            slots: None,
            timelines: Vec::new(),
            peers: Vec::new(),
            known_peers: status.peers,
            banned_peers: 0,
            trouble: status.trouble,
            memory_bytes: 0,
            disk_bytes: status.have_bytes,
            background: true,
        }
    }
}
