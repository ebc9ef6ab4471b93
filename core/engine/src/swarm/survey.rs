//! A survey of a film's viewers, for display: looks up once every slot that a viewer can be in now.

use crate::discovery::KeyNews;
use crate::error::{Error, Result};
use crate::swarm::driver::Swarm;
use playswarm_logic::slots::{Kind, key, virtual_slot};
use serde::Serialize;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::task::JoinSet;

/// Most slots looked up: four hours of film. The last hours of a longer film are left out.
const MOST_SLOTS: i64 = 120;
/// Most lookups in progress. A node answers a few dozen packets a second, and so does a home
/// router.
const AT_ONCE: usize = 4;
/// Most addresses counted in one slot. Beyond it, the count is a lower bound.
const MOST_ADDRESSES: usize = 500;

/// The viewers that have announced one slot.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SlotCount {
    /// Number of the slot.
    pub slot: i64,
    /// First position of its viewers, seconds into the film.
    pub from_s: f64,
    /// Last position of its viewers, seconds into the film.
    pub until_s: f64,
    /// Addresses announced in its first bucket. Viewers that left within half an hour are still
    /// among them.
    pub addresses: Vec<SocketAddr>,
    /// Whether a DHT node answered.
    pub answered: bool,
}

impl Swarm {
    /// Looks up each slot, and calls `each` with every result.
    pub(crate) async fn survey(
        &self,
        file: usize,
        duration: Duration,
        mut each: impl FnMut(usize, usize) + Send,
    ) -> Result<Vec<SlotCount>> {
        if !self.look(|torrent, _| torrent.has_slots()) {
            let why = "the slot index is off: the torrent is private, or the setting dht or slot_index is false";
            return Err(Error::BadArgument(why.to_owned()));
        }
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64());
        let width = self.config.advanced.slots.virtual_width_s.max(1);
        let (last, first) = (virtual_slot(now_s, 0.0, width), virtual_slot(now_s, duration.as_secs_f64(), width));
        let slots: Vec<i64> = (first.max(last - MOST_SLOTS + 1)..=last).rev().collect();
        let (total, mut left) = (slots.len(), slots.into_iter());
        let (mut running, mut counts) = (JoinSet::new(), Vec::new());
        loop {
            while running.len() < AT_ONCE
                && let Some(slot) = left.next()
            {
                let key = key(&self.info_hash.0, file as u32, Kind::Virtual, width, slot, 0);
                let news = self.shared.key_operation(key.0, None);
                running.spawn(async move {
                    let (mut found, mut answered) = (BTreeSet::new(), false);
                    let Some(mut news) = news else { return (slot, found, answered) };
                    while let Some(news) = news.recv().await {
                        match news {
                            KeyNews::Found(peers) => {
                                let room = MOST_ADDRESSES.saturating_sub(found.len());
                                found.extend(peers.into_iter().take(room));
                            }
                            KeyNews::Ended(well) => answered = well,
                        }
                    }
                    (slot, found, answered)
                });
            }
            let done = tokio::select! {
                () = self.cancel.cancelled() => return Err(Error::Closed),
                done = running.join_next() => done,
            };
            let Some(done) = done else { break };
            let Ok((slot, found, answered)) = done else { continue };
            let begun = slot as f64 * f64::from(width);
            counts.push(SlotCount {
                slot,
                from_s: (now_s - begun - f64::from(width)).max(0.0),
                until_s: (now_s - begun).clamp(0.0, duration.as_secs_f64()),
                addresses: found.into_iter().collect(),
                answered,
            });
            each(counts.len(), total);
        }
        counts.sort_by_key(|count| std::cmp::Reverse(count.slot));
        Ok(counts)
    }
}
