//! Reads the durations of the files of a season or an album: one by one, and never at a player's
//! expense.

use crate::metainfo::{ChooseFile, Metainfo};
use crate::swarm::driver::Swarm;
use crate::timeline::Timelines;
use playswarm_media::Container;
use std::sync::Arc;
use std::time::Duration;

/// Most files of one torrent that are read: more than any season or album has.
const MOST_FILES: usize = 200;
/// Interval between checks whether the players have enough read-ahead.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Longest time to read a file's index before the file is skipped.
const PATIENCE: Duration = Duration::from_secs(30);

/// See [`TorrentHandle::learn_durations`](crate::TorrentHandle::learn_durations).
pub(crate) async fn learn(timelines: Arc<Timelines>, swarm: Arc<Swarm>, torrent: Arc<Metainfo>) {
    let _learning = timelines.learning.lock().await;
    let all = async {
        // Sorting the names of many files takes long.
        let listed = tokio::task::spawn_blocking({
            let torrent = torrent.clone();
            move || candidates(&torrent).collect::<Vec<usize>>()
        });
        for file in listed.await.unwrap_or_default() {
            learn_one(&timelines, &swarm, &torrent, file).await;
        }
    };
    tokio::select! {
        () = all => {}
        () = swarm.closed() => {}
    }
}

/// Returns the playable files that may have an index.
fn candidates(torrent: &Metainfo) -> impl Iterator<Item = usize> + '_ {
    let has_index = |n: &usize| Container::by_name(&torrent.files[*n].name) != Container::Other;
    torrent.playable().into_iter().filter(has_index).take(MOST_FILES)
}

async fn learn_one(timelines: &Timelines, swarm: &Arc<Swarm>, torrent: &Metainfo, file: usize) {
    while swarm.timeline(file).is_none() {
        while !swarm.read_ahead_is_full() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        tokio::select! {
            _ = timelines.get(swarm, torrent, file) => return,
            // Blocks received so far are kept; the rest is requested once no player needs to wait
            // for it.
            () = read_ahead_runs_low(swarm) => {}
            () = tokio::time::sleep(PATIENCE) => return,
        }
    }
}

async fn read_ahead_runs_low(swarm: &Swarm) {
    while swarm.read_ahead_is_full() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::metainfo::torrent;

    #[test]
    fn a_bounded_number_of_files_is_looked_at_in_their_natural_order() {
        let names = (0..300).rev().map(|n| format!("E{n}.mkv")).chain(["cover.jpg".into(), "old.wmv".into()]);
        let names: Vec<String> = names.collect();
        let files: Vec<(&str, u64)> = names.iter().map(|name| (&**name, 1)).collect();
        let torrent = torrent("x", &files);
        let found: Vec<usize> = candidates(&torrent).collect();
        assert_eq!(found, (100..300).rev().collect::<Vec<_>>(), "E0 to E199");
    }
}
