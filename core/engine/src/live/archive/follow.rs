//! Writes the stream into the spool as it comes. At the source, it also ends and announces minutes.

use super::cut::Cutter;
use super::spool::Group;
use super::{Archive, Spooled, torrent};
use crate::live::node::Node;
use bytes::Bytes;
use playswarm_logic::channel::{Cast, Channel, Input};
use playswarm_proto::live::{Head, Minute};
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// How far the stream was followed.
#[derive(Debug, Default)]
struct Place {
    cast: u64,
    /// The next group. `None` before the first.
    next: Option<u64>,
    ended: bool,
}

/// What is new in the channel.
#[derive(Debug, Default)]
struct News {
    groups: Vec<Group>,
    ended: bool,
}

/// Follows the stream until the node is closed.
pub(super) async fn follow(node: Arc<Node>, archive: Arc<Archive>) {
    let mut place = Place::default();
    let mut cutter = node.is_source().then(|| Cutter::new(u64::from(archive.seconds) * 1000));
    loop {
        let look = || node.look(|channel, ended| place.look(channel, ended)).map_or(Some(None), |news| news.map(Some));
        let Some(news) = node.until(look).await else { return };
        let News { groups, ended } = news;
        let (spooling, last) = (archive.clone(), groups.last().map(|group| group.born_ms));
        let spooled = spawn_blocking(move || {
            let mut spool = spooling.spool.lock();
            groups.into_iter().map(|group| (spool.put(&group), group)).collect::<Vec<_>>()
        });
        let mut minutes = Vec::new();
        for (put, group) in spooled.await.unwrap_or_default() {
            if let Err(e) = &put {
                archive.troubled(&format!("cannot write to {}: {e}", archive.dir.display()));
            }
            if let Some(cutter) = &mut cutter {
                minutes.extend(cutter.take(&group));
                if put.is_err() {
                    cutter.drop_open();
                }
            }
        }
        let next = place.next.unwrap_or(0);
        archive.spooled.send_replace(Spooled { cast: place.cast, next, ended });
        if let Some(cutter) = cutter.as_mut().filter(|_| ended) {
            minutes.extend(cutter.end(last));
        }
        for minute in minutes {
            let number = node.next_minute(minute.cast);
            if let Some(minute) = complete(&node, &archive, Minute { number, ..minute }).await {
                node.tell(Input::Cast(Cast::Minute(minute)));
            }
        }
    }
}

impl Place {
    /// Returns what is new in the channel, if anything is.
    fn look(&mut self, channel: &Channel, ended: bool) -> Option<News> {
        let head = channel.head()?.head();
        if head.cast != self.cast {
            *self = Place { cast: head.cast, ..Place::default() };
        }
        let next = channel.next()?;
        let first = self.next.or_else(|| channel.oldest())?;
        let group = |number: u64| {
            let (group, bytes) = channel.read(number)?;
            let (revision, is_restart, born_ms) = (group.revision, group.is_restart(), group.born_ms);
            Some(Group { cast: head.cast, number, revision, is_restart, born_ms, bytes: bytes.clone() })
        };
        // What cannot be read is lost.
        let groups: Vec<Group> = (first..next).filter_map(group).collect();
        let is_new = next > first || ended != self.ended;
        (self.next, self.ended) = (Some(next.max(first)), ended);
        is_new.then_some(News { groups, ended })
    }
}

/// Adds length and info-hash to a minute. `None` if it is not in the spool.
async fn complete(node: &Arc<Node>, archive: &Arc<Archive>, minute: Minute) -> Option<Minute> {
    let (head, init) = head_of(node, minute.revision)?;
    let (_, folder) = archive.folder(&head);
    let name = super::names::file(&folder, minute.number, &head.content_type);
    let archive_there = archive.clone();
    let work = move || {
        let spool = archive_there.spool.lock();
        let length = spool.length(&minute, &init)?;
        let minute = Minute { length, ..minute };
        let image = spool.image(&minute, Some(init));
        drop(spool);
        Some(torrent::of_image(&image, &name).map(|torrent| (minute, torrent)))
    };
    match spawn_blocking(work).await.ok()?? {
        Ok((minute, torrent)) => Some(Minute { info_hash: torrent?.info_hash, ..minute }),
        Err(e) => {
            archive.troubled(&e);
            None
        }
    }
}

/// Returns the head of this revision, without init bytes, and these.
pub(super) fn head_of(node: &Node, revision: u8) -> Option<(Head, Bytes)> {
    let head = node.look(|channel, _| channel.head_of_revision(revision).map(|head| head.head().clone()))??;
    let init = head.init.clone();
    Some((Head { init: Bytes::new(), ..head }, init))
}
