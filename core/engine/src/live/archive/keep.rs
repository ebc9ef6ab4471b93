//! Turns announced minutes into torrents that are seeded, and the cast into one torrent at its end.

use super::fetch::Wanted;
use super::follow::head_of;
use super::spool::Image;
use super::{Archive, torrent};
use crate::create::torrent_of;
use crate::error::Result;
use crate::live::node::Node;
use crate::metainfo::Metainfo;
use bytes::Bytes;
use playswarm_logic::channel::Channel;
use playswarm_proto::live::{Head, Minute};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

/// Longest wait for the last groups of a minute: they may be on their way, or being repaired.
const LAST_GROUPS: Duration = Duration::from_secs(10);
/// Time without progress after the end of the stream after which nothing more is expected.
const LAST_MINUTES: Duration = Duration::from_secs(8);
/// Time between two looks after the end of the stream.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What is to be done next.
enum Work {
    /// A minute was announced.
    Minute(Head, Minute),
    /// The stream has ended, and all known minutes were taken.
    End(Head),
}

/// Keeps each minute that is announced, until the node is closed.
pub(super) async fn keep(node: Arc<Node>, archive: Arc<Archive>) {
    let (mut cast, mut next, mut ended) = (None, 0, false);
    loop {
        let find = || {
            node.look(|channel, has_ended| {
                let head = channel.head()?.head();
                if cast != Some(head.cast) {
                    (cast, next, ended) = (Some(head.cast), 0, false);
                    archive.begin_cast(head.cast);
                }
                let without_init = || Head { init: Bytes::new(), ..head.clone() };
                if let Some(signed) = channel.minutes().find(|signed| signed.minute.number >= next) {
                    return Some(Some(Work::Minute(without_init(), signed.minute)));
                }
                let is_new = has_ended && !ended;
                is_new.then(|| Some(Work::End(without_init())))
            })
            .unwrap_or(Some(None))
        };
        let Some(work) = node.until(find).await else { return };
        match work {
            Work::Minute(head, minute) => {
                next = minute.number.saturating_add(1);
                take(&node, &archive, &head, minute).await;
            }
            Work::End(head) => ended = finish(&node, &archive, &head, next).await,
        }
    }
}

/// Writes a minute from the spool and seeds it. What is not in the spool is downloaded later.
async fn take(node: &Node, archive: &Arc<Archive>, head: &Head, minute: Minute) {
    let has_come =
        |spooled: &super::Spooled| spooled.cast == minute.cast && (spooled.next >= minute.end || spooled.ended);
    let _ = timeout(LAST_GROUPS, archive.spooled.subscribe().wait_for(has_come)).await;
    let init = head_of(node, minute.revision);
    let content_type = init.as_ref().map_or(&head.content_type, |(head, _)| &head.content_type);
    let (folder, name) = archive.folder(head);
    let file = super::names::file(&name, minute.number, content_type);
    let spooled = archive.clone();
    let (named, init) = (file.clone(), init.map(|(_, init)| init));
    let work = move || {
        let image = spooled.spool.lock().image(&minute, init);
        let torrent = torrent::of_image(&image, &named);
        (image, torrent)
    };
    let Ok((image, torrent)) = spawn_blocking(work).await else { return };
    let torrent = torrent.ok().flatten().filter(|torrent| torrent.info_hash == minute.info_hash);
    let wanted = |image| Wanted { minute, folder: folder.clone(), image, handle: None };
    let rest = match torrent {
        // Other bytes than those of the source, or not all of them.
        None => wanted(image),
        Some(torrent) => match seed(archive, &folder, Arc::new(torrent), image).await {
            Ok((path, handle)) => return archive.complete(&minute, file, path, handle),
            Err(e) => {
                archive.troubled(&e);
                wanted(Image::default())
            }
        },
    };
    // The receiver lives as long as this task.
    let _ = archive.wanted.send(rest);
}

async fn seed(
    archive: &Archive,
    folder: &Path,
    torrent: Arc<Metainfo>,
    image: Image,
) -> Result<(PathBuf, crate::TorrentHandle)> {
    let path = torrent::deposit(archive, folder, torrent.clone(), image).await?;
    Ok((path, torrent::open(archive, folder, crate::Source::Metainfo(torrent)).await?))
}

/// Waits for the rest of an ended cast, and writes its torrent. Returns whether nothing else can
/// come; if not, there is another minute or cast.
async fn finish(node: &Node, archive: &Arc<Archive>, head: &Head, next: u32) -> bool {
    let (mut seen, mut since) = (None, Instant::now());
    loop {
        let look = |channel: &Channel, has_ended: bool| {
            let is_same = has_ended && channel.head().is_some_and(|new| new.head().cast == head.cast);
            let minutes: Vec<Minute> = channel.minutes().map(|signed| signed.minute).collect();
            is_same.then_some((minutes, channel.next()))
        };
        let Some((minutes, end)) = node.look(look).flatten() else { return false };
        if minutes.last().is_some_and(|last| last.number >= next) {
            return false;
        }
        let (kept, progress) = {
            let state = archive.state.lock();
            (state.kept.keys().copied().collect::<Vec<u32>>(), state.progress)
        };
        let last = minutes.last().filter(|last| Some(last.end) >= end);
        let is_whole = last.is_some_and(|last| kept.iter().copied().eq(0..=last.number));
        if seen.replace(progress) != Some(progress) {
            since = Instant::now();
        }
        let is_over = since.elapsed() >= LAST_MINUTES;
        if is_whole && !node.is_source() {
            // What could not be written at first was downloaded since.
            archive.state.lock().trouble = None;
        }
        if is_whole || (is_over && node.is_source()) {
            write_whole(archive, head).await;
            archive.done.send_replace(true);
            return true;
        }
        if is_over && !*archive.done.borrow() {
            archive.troubled(&missing(&minutes, kept.len()));
            archive.done.send_replace(true);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Returns what an archive lacks, as the end of a sentence.
fn missing(minutes: &[Minute], kept: usize) -> String {
    match minutes.last() {
        None => "the source has announced no minutes; it keeps no archive".to_owned(),
        Some(last) => {
            format!("{kept} of {} minutes are here, and no node gives the others", u64::from(last.number) + 1)
        }
    }
}

/// Writes a torrent over all minutes of the cast that are here.
async fn write_whole(archive: &Arc<Archive>, head: &Head) {
    let (_, name) = archive.folder(head);
    let files: Vec<(PathBuf, String, u64)> = {
        let state = archive.state.lock();
        state.kept.values().map(|kept| (kept.path.clone(), kept.name.clone(), kept.length)).collect()
    };
    if files.is_empty() {
        return;
    }
    let dir = archive.dir.clone();
    let work = move || torrent::write_new(&dir, &name, &torrent_of(&name, files)?);
    if let Ok(Err(e)) = spawn_blocking(work).await {
        archive.troubled(&e);
    }
}
