//! The opening of a magnet link: its progress, and how long to wait for it.

use crate::discovery::Discovery;
use crate::error::{Error, Result};
use crate::metainfo::Metainfo;
use crate::status::OpeningStatus;
use crate::swarm::driver::Swarm;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Time between two checks of the progress.
const LOOK: Duration = Duration::from_millis(250);
/// Factor of the longest silence for which new peers count as progress, since useless peers may
/// arrive for ever.
const PEERS_COUNT_FOR: u32 = 5;

impl Swarm {
    /// Returns the progress; `None` once the torrent is known, or if this is closed.
    pub(crate) fn opening(&self) -> Option<OpeningStatus> {
        if self.content().is_some() || self.is_closed() {
            return None;
        }
        let trackers = self.discovery.lock().as_ref().map(Discovery::trackers).unwrap_or_default();
        self.look(|torrent, _| {
            let info = torrent.metadata_progress().unwrap_or_default();
            let connected_peers = torrent.peers().count();
            Some(OpeningStatus {
                info_hash: self.info_hash,
                waited_s: self.door.age().as_secs_f64(),
                found_peers: torrent.idle_addresses() + connected_peers,
                dialled_peers: torrent.dialling(),
                connected_peers,
                met_peers: torrent.met_peers(),
                offering_peers: info.peers,
                received_bytes: info.bytes,
                total_bytes: info.total,
                trackers,
            })
        })
    }

    /// Waits for the torrent as long as there is progress: new peers, and parts of the info
    /// dictionary. `silence` is the longest time without progress.
    ///
    /// # Errors
    ///
    /// Returns [`Error::NoMetadata`], and those of [`Swarm::torrent`].
    pub(crate) async fn torrent_unless_silent(&self, silence: Duration) -> Result<Arc<Metainfo>> {
        let begun = Instant::now();
        let (mut last, mut best) = (begun, (0, 0));
        let torrent = self.torrent();
        tokio::pin!(torrent);
        loop {
            let now = Instant::now();
            if let Ok(torrent) = timeout_at(now + LOOK.min(silence), &mut torrent).await {
                return torrent;
            }
            let Some(found) = self.opening() else { continue };
            let peers_count = begun.elapsed() < silence * PEERS_COUNT_FOR;
            if found.received_bytes > best.0 || (found.met_peers > best.1 && peers_count) {
                best = (best.0.max(found.received_bytes), best.1.max(found.met_peers));
                last = Instant::now();
            }
            if last.elapsed() >= silence {
                return Err(Error::NoMetadata {
                    waited: begun.elapsed(),
                    found: found.found_peers,
                    met: found.met_peers,
                    received_bytes: found.received_bytes,
                });
            }
        }
    }
}
