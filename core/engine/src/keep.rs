//! Keeps torrents that were closed: hands them to the background session, and takes them back.
//!
//! `session` decides when this happens; `swarm::background` controls librqbit. See
//! docs/adr/0004-hand-over.md.

use crate::config::Config;
use crate::discovery;
use crate::error::Result;
use crate::metainfo::{InfoHash, Metainfo};
use crate::status::TorrentStatus;
use crate::store::{Store, StoreOptions};
use crate::swarm::background::{Background, Kept};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// The torrents that the background session keeps.
pub(crate) struct Keeper {
    background: Background,
    kept: Mutex<BTreeMap<InfoHash, Entry>>,
}

struct Entry {
    torrent: Arc<Metainfo>,
    /// Open while the background session uses its files.
    store: Arc<Store>,
    kept: Kept,
}

impl Keeper {
    /// Creates the keeper where the settings ask for it, with the application's session if it gave
    /// one. With a disk limit nothing is kept, as a whole torrent may not fit; nor with a network
    /// policy, which librqbit does not know.
    pub(crate) fn new(
        config: &Config,
        shared: &Arc<discovery::Shared>,
        given: Option<Arc<librqbit::Session>>,
    ) -> Option<Keeper> {
        if config.seed_in_background && config.read_only {
            tracing::warn!("torrents are not seeded in the background: the folder is read-only");
            return None;
        }
        if config.seed_in_background && config.disk_limit_bytes != 0 {
            tracing::warn!("torrents are not seeded in the background: a disk limit is set");
            return None;
        }
        if config.seed_in_background && shared.network().is_restricted() {
            tracing::warn!(
                "torrents are not seeded in the background: the library that does so does not obey the proxy, the \
                 interface and the blocklist"
            );
            return None;
        }
        config.seed_in_background.then(|| Keeper {
            background: Background::new(config, Some(shared.clone()), given),
            kept: Mutex::default(),
        })
    }

    /// Hands a torrent to the background session. Its own store and discovery must be closed.
    ///
    /// # Errors
    /// Those of [`Store::open`] and [`Background::hand_over`].
    pub(crate) async fn hand_over(
        &self,
        torrent: Arc<Metainfo>,
        config: &Config,
        peers: Vec<SocketAddr>,
    ) -> Result<()> {
        // Events are discarded: changes of its files are reported when it is opened again.
        let (store, _) = Store::open(torrent.clone(), StoreOptions::of(config)).await?;
        match self.background.hand_over(&store, peers).await {
            Ok(kept) => {
                self.kept.lock().insert(torrent.info_hash, Entry { torrent, store, kept });
                Ok(())
            }
            Err(e) => {
                let _ = store.close().await;
                Err(e)
            }
        }
    }

    /// Takes a torrent back, if it is kept, and records its correct pieces. From then on, the
    /// background session does not write to its files.
    pub(crate) async fn take_back(&self, info_hash: &InfoHash) -> Option<Arc<Metainfo>> {
        let Entry { torrent, store, kept } = self.kept.lock().remove(info_hash)?;
        let noted = match self.background.take_back(kept).await {
            Ok(Some(right)) => store.claim(&right).await,
            // Nothing has changed since the handover.
            Ok(None) => Ok(()),
            Err(e) => Err(e),
        };
        if let Err(e) = noted.and(store.close().await) {
            tracing::warn!("pieces fetched in the background could not be recorded: {e}");
        }
        Some(torrent)
    }

    /// Returns the status of each kept torrent.
    pub(crate) fn status(&self) -> Vec<TorrentStatus> {
        self.kept.lock().values().map(|entry| entry.kept.status()).collect()
    }

    /// Stops the background session, and records the correct pieces for the next session.
    pub(crate) async fn close(&self) {
        let all: Vec<InfoHash> = self.kept.lock().keys().copied().collect();
        for info_hash in all {
            self.take_back(&info_hash).await;
        }
        self.background.close().await;
    }
}
