//! Which parts are requested from which peers.

use super::{Buffer, Fetch, MANY_BYTES, MAX_GROUPS, MAX_SOLO, Output, PER_PEER, parts_of};
use crate::{PeerKey, Time};
use std::collections::BTreeMap;

impl Fetch {
    /// Makes all requests that are useful now.
    pub(super) fn ask(&mut self, now: Time) {
        self.asked_at = now;
        if self.done {
            return;
        }
        let mut gathered = 0;
        // For each size: peers that answer, peers available for requests, and missing parts.
        let mut sizes: BTreeMap<u32, (usize, usize, usize)> = BTreeMap::new();
        for (size, group) in &self.groups {
            let buffers = || group.shared.iter().chain(group.solo.values());
            gathered += buffers().map(Buffer::bytes).sum::<usize>();
            let missing = buffers().map(|a| a.missing).min().unwrap_or(parts_of(*size) as usize);
            sizes.insert(*size, (0, 0, missing));
        }
        for peer in self.peers.values().filter(|p| p.rest_until <= now) {
            let Some((answering, able, _)) = sizes.get_mut(&peer.size) else { continue };
            *answering += usize::from(peer.gave && peer.failures == 0);
            *able += 1;
        }
        let since = |size: &u32| self.groups.get(size).map_or(u64::MAX, |g| g.since);
        let mut order: Vec<u32> = sizes.iter().filter(|(_, (_, able, _))| *able > 0).map(|(size, _)| *size).collect();
        let many = gathered >= MANY_BYTES;
        order.sort_by_key(|size| {
            let (answering, able, missing) = sizes[size];
            let first = if many { missing } else { 0 };
            (first, std::cmp::Reverse((answering, able)), since(size))
        });
        order.truncate(if many { 1 } else { usize::MAX });
        for (place, size) in order.into_iter().enumerate() {
            self.ask_group(now, size, place < MAX_GROUPS);
        }
    }

    /// Requests parts from the peers that claim this size. If it is not `favoured`, one part at a
    /// time.
    fn ask_group(&mut self, now: Time, size: u32, favoured: bool) {
        let Some(group) = self.groups.get_mut(&size) else { return };
        let able = self.peers.iter().filter(|(_, p)| p.size == size && p.rest_until <= now);
        let mut keys: Vec<PeerKey> = able.map(|(key, _)| *key).collect();
        // Peers that have answered come first, then those with the fewest failures.
        keys.sort_by_key(|key| self.peers.get(key).map(|p| (!p.gave, p.failures)));
        let solo = group.shared.is_none();
        if solo {
            for key in &keys {
                if group.solo.len() < MAX_SOLO && !group.solo.contains_key(key) {
                    group.solo.insert(*key, Buffer::new(size));
                }
            }
        }
        let (per_peer, duplicates) = if favoured { (PER_PEER, self.duplicates) } else { (1, 1) };
        // Slow requests and those to peers that failed before do not count.
        let mut askers: Vec<usize> = vec![0; parts_of(size) as usize];
        for peer in self.peers.values().filter(|p| p.size == size && p.failures == 0) {
            for (part, _) in peer.asked.iter().filter(|(_, at)| now < at.plus_secs(self.slow_s)) {
                askers[*part as usize] += 1;
            }
        }
        // One part per peer and round, so that the parts are spread before any peer gets a second.
        for _ in 0..per_peer {
            for key in &keys {
                let Some(peer) = self.peers.get_mut(key) else { continue };
                let Some(buffer) = group.shared.as_ref().or_else(|| group.solo.get(key)) else { continue };
                if peer.asked.len() >= per_peer {
                    continue;
                }
                let part = (0..parts_of(size))
                    .filter(|part| buffer.lacks(*part) && !peer.asked.contains_key(part))
                    .filter(|part| solo || askers[*part as usize] < duplicates)
                    .min_by_key(|part| if solo { 0 } else { askers[*part as usize] });
                if let Some(part) = part {
                    askers[part as usize] += usize::from(peer.failures == 0);
                    peer.late.remove(&part);
                    peer.asked.insert(part, now);
                    self.outputs.push_back(Output::Request(*key, part));
                }
            }
        }
    }
}
