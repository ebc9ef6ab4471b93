//! Syncs written pieces from the operating system's memory to the disk. Pieces are written as they
//! arrive and synced in batches on a thread of their own. A sync takes as long as the disk needs,
//! and neither readers nor writers wait for it.

use super::Store;
use crate::error::Result;
use std::sync::Arc;
use std::time::Duration;

/// Longest time between a write and the sync that follows it. It limits the loss in a power cut. A
/// shorter time would keep the operating system from writing large runs.
const SYNC_AFTER: Duration = Duration::from_secs(5);

impl Store {
    /// Schedules a sync after a write.
    pub(super) fn sync_later(self: &Arc<Self>) {
        if std::mem::replace(&mut self.state.lock().sync_due, true) {
            return;
        }
        let store = Arc::downgrade(self);
        self.runtime.spawn(async move {
            tokio::time::sleep(SYNC_AFTER).await;
            let Some(store) = store.upgrade() else { return };
            let on_pool = store.clone();
            let synced = store.runtime.spawn_blocking(move || on_pool.sync_now()).await;
            if let Ok(Err(e)) = synced {
                tracing::warn!(error = %e, "written data may not be on the disk yet; the sync is retried");
                store.sync_later();
            }
        });
    }

    /// Syncs all written bytes to the disk and records the pieces: first their bytes, then the
    /// record. Blocks.
    pub(super) fn sync_now(&self) -> Result<()> {
        let _alone = self.syncing.lock();
        let pieces = {
            let mut state = self.state.lock();
            state.sync_due = false;
            std::mem::take(&mut state.unsynced)
        };
        if pieces.is_empty() {
            return Ok(());
        }
        let synced = self.files.sync().and_then(|()| self.record.set_synced(&pieces));
        if synced.is_err() {
            self.state.lock().unsynced.extend(pieces);
        }
        synced
    }
}
