//! A player that reports what it shows.

use crate::torrent_handle::Inner;
use playswarm_logic::PlayerKey;
use std::sync::Arc;
use std::time::Duration;

/// A player of one file that reports its playhead, from
/// [`TorrentHandle::player`](crate::TorrentHandle::player).
///
/// Without a report, the playhead is estimated from what is read. Players read ahead of the picture,
/// some by minutes. With one, requests are as urgent as the picture needs them, and the slot index
/// announces what the viewer sees. It does not matter how the player reads: by a
/// [`Stream`](crate::Stream), over HTTP, or with several connections.
///
/// Like a stream, it keeps its torrent open. Dropping it ends the report.
pub struct Player {
    media: Arc<Inner>,
    key: PlayerKey,
    file: usize,
}

impl Player {
    pub(crate) fn new(media: Arc<Inner>, file: usize) -> Player {
        let key = media.swarm.open_player();
        Player { media, key, file }
    }

    /// Reports the time of the film that is shown now, and whether it plays or is paused. A stalled
    /// player plays.
    ///
    /// Call it after each jump, pause and resume, and every few seconds while it plays. Between two
    /// reports the playhead moves with the clock, for at most ten seconds.
    pub fn set_playhead(&self, time: Duration, playing: bool) {
        self.media.swarm.player_shows(self.key, self.file, time, playing);
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.media.swarm.close_player(self.key);
    }
}
