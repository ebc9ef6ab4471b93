//! Downloads what is missing of minutes, one after the other, with the stream's leave.

use super::spool::Image;
use super::{Archive, torrent};
use crate::error::{Error, Result};
use crate::live::node::Node;
use crate::torrent_handle::TorrentHandle;
use playswarm_proto::Magnet;
use playswarm_proto::live::Minute;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

/// Time without progress after which another minute is tried.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// Time between two looks at a download.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Longest wait for a torrent to close.
const CLOSING: Duration = Duration::from_secs(5);

/// A minute of which something is missing.
pub(super) struct Wanted {
    pub(super) minute: Minute,
    pub(super) folder: PathBuf,
    /// What of it was received.
    pub(super) image: Image,
    /// Its torrent, once its metadata is known.
    pub(super) handle: Option<TorrentHandle>,
}

/// Downloads minutes until the node is closed.
pub(super) async fn fetch(node: Arc<Node>, archive: Arc<Archive>, mut queue: mpsc::UnboundedReceiver<Wanted>) {
    let mut waiting = VecDeque::new();
    loop {
        while let Ok(wanted) = queue.try_recv() {
            waiting.push_back(wanted);
        }
        let mut wanted = match waiting.pop_front() {
            Some(wanted) => wanted,
            None => match queue.recv().await {
                Some(wanted) => wanted,
                None => return,
            },
        };
        match fetch_one(&node, &archive, &mut wanted).await {
            Ok(Some(path)) => {
                if let Some(handle) = wanted.handle.take() {
                    let name = handle.metainfo().files.first().map(|file| file.name.clone()).unwrap_or_default();
                    archive.complete(&wanted.minute, name, path, handle);
                }
            }
            Ok(None) => waiting.push_back(wanted),
            Err(Error::Closed) => return,
            Err(e) => {
                archive.troubled(&e);
                waiting.push_back(wanted);
                sleep(PATIENCE).await;
            }
        }
    }
}

/// Downloads a minute while there is progress. Returns the path of its file once it is complete.
async fn fetch_one(node: &Node, archive: &Archive, wanted: &mut Wanted) -> Result<Option<PathBuf>> {
    let handle = match wanted.handle.clone() {
        Some(handle) => handle,
        None => match begin(node, archive, wanted).await {
            Ok(handle) => wanted.handle.insert(handle).clone(),
            // No node has it now.
            Err(Error::NoMetadata { .. }) => return Ok(None),
            Err(e) => return Err(e),
        },
    };
    handle.fetch_all(true);
    node.dialled().into_iter().for_each(|addr| handle.add_peer(addr));
    let (mut received, mut since) = (0, Instant::now());
    loop {
        let status = handle.status();
        if status.verified_bytes >= wanted.minute.length {
            handle.sync().await?;
            return Ok(handle.inner.swarm.content().map(|content| content.store.path(0)));
        }
        if status.downloaded_bytes > received {
            (received, since) = (status.downloaded_bytes, Instant::now());
            archive.state.lock().progress += 1;
        } else if since.elapsed() > PATIENCE {
            return Ok(None);
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Opens the torrent of a minute, with the pieces that were received.
async fn begin(node: &Node, archive: &Archive, wanted: &mut Wanted) -> Result<TorrentHandle> {
    std::fs::create_dir_all(&wanted.folder).map_err(|source| Error::Storage {
        doing: "create the folder",
        path: wanted.folder.clone(),
        source,
    })?;
    let mut magnet = Magnet::new(wanted.minute.info_hash);
    magnet.peers = node.dialled().into_iter().map(Into::into).collect();
    let handle = torrent::open(archive, &wanted.folder, crate::Source::Magnet(magnet)).await?;
    let metainfo = handle.metainfo().clone();
    if metainfo.total_bytes() != wanted.minute.length || metainfo.files.len() != 1 {
        return Err(Error::BadTorrent("a minute of the archive is not the file that the source announced".to_owned()));
    }
    if wanted.image.is_empty() {
        return Ok(handle);
    }
    // The store has one owner at a time.
    let swarm = handle.inner.swarm.clone();
    drop(handle);
    if timeout(CLOSING, swarm.closed()).await.is_ok() {
        torrent::deposit(archive, &wanted.folder, metainfo.clone(), std::mem::take(&mut wanted.image)).await?;
    }
    torrent::open(archive, &wanted.folder, crate::Source::Metainfo(metainfo)).await
}
