//! Fetches a torrent's info dictionary from many peers at once (BEP 9), although some may send
//! wrong data.
//!
//! Peers that claim the same size fill one shared buffer. Each size has at least one part requested
//! at a time, so silent or slow peers of other sizes, however many, cannot prevent success. The few
//! sizes whose peers answer have more parts requested. Only the hash of the whole shows whether it
//! is right, so the driver hashes it and reports the result. If one peer alone sent a wrong whole,
//! it is banned. If several contributed, each must then send all of it alone. The messages are the
//! engine's.

mod buffer;
mod requests;
#[cfg(test)]
mod tests;

use crate::{BLOCK_BYTES, PeerKey, Time};
use buffer::{Buffer, part_bytes, parts_of};
use playswarm_proto::extended::MAX_METADATA_BYTES;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Most sizes for which more than one request per peer is made.
const MAX_GROUPS: usize = 3;
/// Total of gathered bytes above which only the size that lacks the fewest parts is fetched. More
/// than the largest size, so that an honest one alone does not reach it.
const MANY_BYTES: usize = 48 << 20;
/// Most peers that send the whole alone at once, after a wrong whole.
const MAX_SOLO: usize = 2;
/// Number of bad answers (parts of a wrong length, another total) after which nothing is requested
/// from a peer.
const MAX_STRIKES: u32 = 3;
/// Time after which a missing part is requested from another peer. 2 s.
const TIMEOUT_S: f64 = 2.0;
/// Pause after a reject or a timeout of a peer. It doubles each time, up to 16 times. 3 s.
const REST_S: f64 = 3.0;
/// Most parts outstanding per peer. 2: libtorrent rejects more than a few.
const PER_PEER: usize = 2;

/// An event that the driver reports.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input {
    /// A peer offers metadata of this size in bytes (its extended handshake). A later offer
    /// replaces an earlier one.
    Offered(PeerKey, u32),
    /// A peer left.
    Left(PeerKey),
    /// A part arrived, or several in one message.
    Part {
        /// The sender.
        peer: PeerKey,
        /// Number of the first part.
        part: u32,
        /// Size of the whole according to the message; `None` if it names none.
        total: Option<u32>,
        /// Bytes of the part. If longer than a part, they hold the parts from this one on, as some
        /// clients send all at once.
        data: Vec<u8>,
    },
    /// A peer rejected the request for this part.
    Rejected(PeerKey, u32),
    /// A peer sent an invalid answer.
    Odd(PeerKey),
    /// The driver has hashed the result of an attempt.
    Verdict {
        /// Attempt number from [`Output::Assembled`].
        attempt: u32,
        /// Whether it matches the info-hash and describes a usable torrent.
        right: bool,
    },
    /// The time of [`Fetch::next_timeout`] has come.
    Timeout,
}

/// The progress of the fetch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Number of peers that offer metadata.
    pub peers: usize,
    /// Bytes received of the most complete metadata.
    pub bytes: u64,
    /// Size of that metadata in bytes, as its peers claim.
    pub total: Option<u64>,
}

/// An action for the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// Request this part from this peer.
    Request(PeerKey, u32),
    /// Hash these bytes: all parts have arrived. Answer with [`Input::Verdict`].
    Assembled {
        /// Attempt number for the verdict.
        attempt: u32,
        /// Bytes of the info dictionary.
        info: Vec<u8>,
    },
    /// Ban this peer, which alone sent wrong metadata.
    Ban(PeerKey),
}

#[derive(Debug, Default)]
struct Peer {
    size: u32,
    asked: BTreeMap<u32, Time>,
    /// Parts whose requests timed out. They are still accepted.
    late: BTreeSet<u32>,
    rest_until: Time,
    /// Rejects and timeouts since the peer last sent a part.
    failures: u32,
    /// Whether the peer has ever sent a part.
    gave: bool,
    strikes: u32,
}

#[derive(Debug)]
struct Group {
    since: u64,
    /// Buffer filled by all peers; `None` after a wrong whole, when each peer fills its own.
    shared: Option<Buffer>,
    solo: BTreeMap<PeerKey, Buffer>,
}

/// The state machine of the metadata fetch; see the [module](self).
#[derive(Debug)]
pub struct Fetch {
    /// Most peers from which the same part is requested at once. 3: a part is small, and a viewer
    /// waits.
    duplicates: usize,
    /// Age at which a request no longer keeps another peer from getting the same one. 0.5 s.
    slow_s: f64,
    peers: BTreeMap<PeerKey, Peer>,
    groups: BTreeMap<u32, Group>,
    banned: BTreeSet<PeerKey>,
    /// Attempts being hashed, with their size and their contributors.
    checking: BTreeMap<u32, (u32, BTreeSet<PeerKey>)>,
    next_attempt: u32,
    groups_made: u64,
    /// Time at which requests were last considered.
    asked_at: Time,
    done: bool,
    outputs: VecDeque<Output>,
}

impl Default for Fetch {
    fn default() -> Fetch {
        Fetch {
            duplicates: 3,
            slow_s: 0.5,
            peers: BTreeMap::new(),
            groups: BTreeMap::new(),
            banned: BTreeSet::new(),
            checking: BTreeMap::new(),
            next_attempt: 0,
            groups_made: 0,
            asked_at: Time::ZERO,
            done: false,
            outputs: VecDeque::new(),
        }
    }
}

impl Fetch {
    /// Returns the progress.
    pub fn progress(&self) -> Progress {
        let most = self.groups.iter().map(|(size, group)| {
            let bytes = group.shared.iter().chain(group.solo.values()).map(Buffer::bytes).max().unwrap_or(0);
            (bytes as u64, Some(u64::from(*size)))
        });
        let (bytes, total) = most.max().unwrap_or_default();
        Progress { peers: self.peers.len(), bytes, total }
    }

    /// Handles an input. [`Fetch::poll`] returns the resulting actions.
    pub fn handle(&mut self, now: Time, input: Input) {
        if self.done {
            return;
        }
        match input {
            Input::Offered(peer, size) => self.offered(peer, size),
            Input::Left(peer) => self.remove(peer),
            Input::Part { peer, part, total, data } => self.part(now, peer, part, total, &data),
            Input::Rejected(key, part) => {
                if self.peers.get_mut(&key).is_some_and(|peer| peer.asked.remove(&part).is_some()) {
                    self.failed(now, key);
                }
            }
            Input::Odd(key) => {
                if let Some(peer) = self.peers.get_mut(&key).filter(|peer| !peer.asked.is_empty()) {
                    peer.asked.clear();
                    self.strike(now, key);
                }
            }
            Input::Verdict { attempt, right } => self.verdict(attempt, right),
            Input::Timeout => self.expire(now),
        }
        self.ask(now);
    }

    /// Returns the next action; `None` once all are taken.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns when [`Input::Timeout`] is due; [`Time::NEVER`] if nothing is outstanding.
    pub fn next_timeout(&self) -> Time {
        if self.done {
            return Time::NEVER;
        }
        // A request that becomes slow allows requests to other peers. After that, only its timeout
        // counts.
        let due = |at: &Time| {
            let slow = at.plus_secs(self.slow_s);
            if self.asked_at < slow { slow } else { at.plus_secs(TIMEOUT_S) }
        };
        let asked = self.peers.values().flat_map(|p| p.asked.values()).map(due);
        let rests = self.peers.values().filter(|p| p.rest_until > Time::ZERO).map(|p| p.rest_until);
        asked.chain(rests).min().unwrap_or(Time::NEVER)
    }

    fn offered(&mut self, key: PeerKey, size: u32) {
        if self.banned.contains(&key) || self.peers.get(&key).is_some_and(|p| p.size == size) {
            return;
        }
        self.remove(key);
        if size == 0 || size > MAX_METADATA_BYTES {
            return;
        }
        self.peers.insert(key, Peer { size, ..Peer::default() });
        let since = self.groups_made;
        self.groups_made += 1;
        self.groups.entry(size).or_insert_with(|| Group {
            since,
            shared: Some(Buffer::new(size)),
            solo: BTreeMap::new(),
        });
        self.prune();
    }

    fn remove(&mut self, key: PeerKey) {
        if let Some(peer) = self.peers.remove(&key)
            && let Some(group) = self.groups.get_mut(&peer.size)
        {
            group.solo.remove(&key);
        }
        self.prune();
    }

    /// Forgets sizes that no peer claims any more. A single remaining size is kept for the next
    /// peer.
    fn prune(&mut self) {
        if self.groups.len() > 1 {
            let claimed: BTreeSet<u32> = self.peers.values().map(|p| p.size).collect();
            self.groups.retain(|size, _| claimed.contains(size));
        }
    }

    fn part(&mut self, now: Time, key: PeerKey, part: u32, total: Option<u32>, data: &[u8]) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        if peer.asked.remove(&part).is_none() && !peer.late.remove(&part) {
            return;
        }
        let size = peer.size;
        // Each part in the message must be complete.
        let chunks = data.chunks(BLOCK_BYTES as usize);
        let mut wanted = (part..parts_of(size)).map(|part| part_bytes(size, part));
        let fits = !data.is_empty() && chunks.clone().all(|chunk| wanted.next() == Some(chunk.len()));
        if total.is_some_and(|total| total != size) || !fits {
            self.strike(now, key);
            return;
        }
        (peer.failures, peer.rest_until, peer.gave) = (0, Time::ZERO, true);
        let Some(group) = self.groups.get_mut(&size) else { return };
        let Some(buffer) = group.shared.as_mut().or_else(|| group.solo.get_mut(&key)) else { return };
        let lacked = buffer.missing;
        for (part, chunk) in (part..).zip(chunks) {
            peer.asked.remove(&part);
            buffer.put(key, part, chunk.to_vec());
        }
        if lacked > 0 && buffer.missing == 0 {
            let (mut info, mut givers) = (Vec::with_capacity(size as usize), BTreeSet::new());
            for (giver, data) in buffer.parts.iter().flatten() {
                info.extend_from_slice(data);
                givers.insert(*giver);
            }
            let attempt = self.next_attempt;
            self.next_attempt += 1;
            self.checking.insert(attempt, (size, givers));
            self.outputs.push_back(Output::Assembled { attempt, info });
        }
    }

    /// Notes an invalid answer of a peer. The peer is paused, and excluded after a few of them.
    fn strike(&mut self, now: Time, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        peer.strikes += 1;
        if peer.strikes >= MAX_STRIKES {
            self.banned.insert(key);
            self.remove(key);
        } else {
            self.failed(now, key);
        }
    }

    fn verdict(&mut self, attempt: u32, right: bool) {
        let Some((size, givers)) = self.checking.remove(&attempt) else { return };
        if right {
            self.done = true;
            self.outputs.clear();
            self.groups.clear();
            self.peers.clear();
            return;
        }
        if let Some(giver) = givers.first().filter(|_| givers.len() == 1) {
            self.banned.insert(*giver);
            self.outputs.push_back(Output::Ban(*giver));
            if let Some(group) = self.groups.get_mut(&size)
                && group.shared.is_some()
            {
                group.shared = Some(Buffer::new(size));
            }
            self.remove(*giver);
        } else if let Some(group) = self.groups.get_mut(&size) {
            // The wrong contributor is unknown until each peer sends the whole alone.
            group.shared = None;
            for peer in self.peers.values_mut().filter(|p| p.size == size) {
                peer.asked.clear();
                peer.late.clear();
            }
        }
    }

    /// Pauses the peer. The parts that it sent alone are dropped, so that another peer can take its
    /// place.
    fn failed(&mut self, now: Time, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        let factor = 1u32 << peer.failures.min(4);
        peer.failures += 1;
        peer.rest_until = peer.rest_until.max(now.plus_secs(REST_S * f64::from(factor)));
        let others = self.peers.iter().any(|(other, p)| *other != key && p.size == self.peers[&key].size);
        if others && let Some(group) = self.groups.get_mut(&self.peers[&key].size) {
            group.solo.remove(&key);
        }
    }

    fn expire(&mut self, now: Time) {
        let mut slow = Vec::new();
        for (key, peer) in &mut self.peers {
            if peer.rest_until <= now {
                peer.rest_until = Time::ZERO;
            }
            let gone: Vec<u32> =
                peer.asked.iter().filter(|(_, at)| now >= at.plus_secs(TIMEOUT_S)).map(|(part, _)| *part).collect();
            if !gone.is_empty() {
                slow.push(*key);
            }
            for part in gone {
                peer.asked.remove(&part);
                peer.late.insert(part);
            }
        }
        slow.into_iter().for_each(|key| self.failed(now, key));
    }
}
