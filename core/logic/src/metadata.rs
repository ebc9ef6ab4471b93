//! Fetching a torrent's info dictionary from many peers at once (BEP 9), liars among them.
//!
//! Peers that claim the same size fill one assembly together. Each size is asked for at least a part at a time, so peers of other
//! sizes that are silent or slow cannot keep it from coming, however many they are; the few sizes whose peers answer are asked
//! for more. Only the hash of the whole tells whether it is right, so the driver hashes what is assembled and says
//! so. A wrong whole from one giver convicts it; from several, each must then give all of it alone. The messages are the engine's.

#[cfg(test)]
mod tests;

use crate::{BLOCK_BYTES, PeerKey, Time};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Sizes that are asked for with more than one request a peer.
const MAX_GROUPS: usize = 3;
/// With this many bytes gathered, only the size that lacks the fewest parts is worked on.
const MANY_BYTES: usize = 16 << 20;
/// Peers that give all of it alone at once, after a wrong whole.
const MAX_SOLO: usize = 2;
/// Bad answers (parts of a wrong length, another total) after which a peer is not asked again.
const MAX_STRIKES: u32 = 3;

/// What the fetch can be told to do otherwise. Units are in the names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Largest size that is believed. 16 MiB: 800,000 pieces.
    pub max_bytes: u32,
    /// A part that has not come within this is asked of somebody else. 2 s.
    pub timeout_s: f64,
    /// How long a peer that rejected or let time run out is left alone; doubled each time, to 16 times. 3 s.
    pub rest_s: f64,
    /// Parts asked of one peer at once. 2: libtorrent rejects more than a few.
    pub per_peer: usize,
    /// Peers asked for the same part at once. 3: it is small, and a viewer waits.
    pub duplicates: usize,
    /// A request older than this does not keep another peer from being asked for the same part. 0.5 s.
    pub slow_s: f64,
}

impl Default for Config {
    fn default() -> Self {
        Config { max_bytes: 16 << 20, timeout_s: 2.0, rest_s: 3.0, per_peer: 2, duplicates: 3, slow_s: 0.5 }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input {
    /// A peer offers metadata of this size in bytes (its extended handshake). Said again, the later size holds.
    Offered(PeerKey, u32),
    /// It is gone.
    Left(PeerKey),
    /// A part came, or several in one message.
    Part {
        /// From this peer.
        peer: PeerKey,
        /// The first part's number.
        part: u32,
        /// The size of the whole, as the message says; `None` where it does not.
        total: Option<u32>,
        /// The part. Longer than a part: the parts from this one on, as some clients send all at once.
        data: Vec<u8>,
    },
    /// A reject came.
    Rejected(PeerKey, u32),
    /// An answer came that makes no sense.
    Odd(PeerKey),
    /// The whole of this attempt was hashed: it is right, or it is not.
    Verdict {
        /// As [`Output::Assembled`] had it.
        attempt: u32,
        /// Whether it has the info-hash, and is a torrent that can be used.
        right: bool,
    },
    /// The time given by [`Fetch::next_timeout`] has come.
    Timeout,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Peers that offer metadata.
    pub peers: usize,
    /// Bytes received of the metadata of which most is here.
    pub bytes: u64,
    /// Its size in bytes, as its peers say.
    pub total: Option<u64>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// Ask this peer for this part.
    Request(PeerKey, u32),
    /// All parts are here: hash them, and answer with [`Input::Verdict`].
    Assembled {
        /// To name it in the verdict.
        attempt: u32,
        /// The bytes.
        info: Vec<u8>,
    },
    /// This peer alone gave wrong metadata: never speak to it again.
    Ban(PeerKey),
}

#[derive(Debug)]
struct Peer {
    size: u32,
    asked: BTreeMap<u32, Time>,
    /// Asked for, given up, but welcome still.
    late: BTreeSet<u32>,
    rest_until: Time,
    /// Rejects and time-outs since it last gave something.
    failures: u32,
    /// Whether it has ever given a part.
    gave: bool,
    strikes: u32,
}

#[derive(Debug)]
struct Assembly {
    parts: Vec<Option<(PeerKey, Vec<u8>)>>,
    missing: usize,
}

#[derive(Debug)]
struct Group {
    since: u64,
    /// Filled by all; `None` once it came out wrong, from then on each fills its own.
    shared: Option<Assembly>,
    solo: BTreeMap<PeerKey, Assembly>,
}

/// The state machine; see the [module](self).
#[derive(Debug)]
pub struct Fetch {
    config: Config,
    peers: BTreeMap<PeerKey, Peer>,
    groups: BTreeMap<u32, Group>,
    banned: BTreeSet<PeerKey>,
    /// Attempts being hashed, and who gave them.
    checking: BTreeMap<u32, (u32, BTreeSet<PeerKey>)>,
    next_attempt: u32,
    groups_made: u64,
    /// When it was last looked at whom to ask.
    asked_at: Time,
    done: bool,
    outputs: VecDeque<Output>,
}

fn parts_of(size: u32) -> u32 {
    size.div_ceil(BLOCK_BYTES)
}

fn part_bytes(size: u32, part: u32) -> usize {
    u64::from(size).saturating_sub(u64::from(part) * u64::from(BLOCK_BYTES)).min(u64::from(BLOCK_BYTES)) as usize
}

impl Assembly {
    fn new(size: u32) -> Assembly {
        let parts = parts_of(size) as usize;
        Assembly { parts: vec![None; parts], missing: parts }
    }

    fn lacks(&self, part: u32) -> bool {
        self.parts.get(part as usize).is_some_and(Option::is_none)
    }

    fn put(&mut self, peer: PeerKey, part: u32, data: Vec<u8>) {
        if let Some(slot @ None) = self.parts.get_mut(part as usize) {
            *slot = Some((peer, data));
            self.missing -= 1;
        }
    }

    fn bytes(&self) -> usize {
        self.parts.iter().flatten().map(|(_, data)| data.len()).sum()
    }
}

impl Fetch {
    /// Nobody has offered anything yet.
    pub fn new(config: Config) -> Fetch {
        Fetch {
            config,
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

    /// Whether the right metadata was found. Nothing more is asked for then.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// What has come by now.
    pub fn progress(&self) -> Progress {
        let most = self.groups.iter().map(|(size, group)| {
            let bytes = group.shared.iter().chain(group.solo.values()).map(Assembly::bytes).max().unwrap_or(0);
            (bytes as u64, Some(u64::from(*size)))
        });
        let (bytes, total) = most.max().unwrap_or_default();
        Progress { peers: self.peers.len(), bytes, total }
    }

    /// Tells what happened. What to do about it comes from [`Fetch::poll`].
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

    /// The next thing to do, until there is none.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Timeout`] is wanted; [`Time::NEVER`] if nothing is under way.
    pub fn next_timeout(&self) -> Time {
        if self.done {
            return Time::NEVER;
        }
        // A request that has just become slow lets others be asked; after that only its end counts.
        let due = |at: &Time| {
            let slow = at.plus_secs(self.config.slow_s);
            if self.asked_at < slow { slow } else { at.plus_secs(self.config.timeout_s) }
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
        if size == 0 || size > self.config.max_bytes {
            return;
        }
        let peer = Peer {
            size,
            asked: BTreeMap::new(),
            late: BTreeSet::new(),
            rest_until: Time::ZERO,
            failures: 0,
            gave: false,
            strikes: 0,
        };
        self.peers.insert(key, peer);
        let since = self.groups_made;
        self.groups_made += 1;
        self.groups.entry(size).or_insert_with(|| Group {
            since,
            shared: Some(Assembly::new(size)),
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

    /// Forgets sizes that nobody claims any more; but the only one there is may be taken up again by the next peer.
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
        // All parts that the message holds must be whole.
        let chunks = data.chunks(BLOCK_BYTES as usize);
        let mut wanted = (part..parts_of(size)).map(|part| part_bytes(size, part));
        let fits = !data.is_empty() && chunks.clone().all(|chunk| wanted.next() == Some(chunk.len()));
        if total.is_some_and(|total| total != size) || !fits {
            self.strike(now, key);
            return;
        }
        (peer.failures, peer.rest_until, peer.gave) = (0, Time::ZERO, true);
        let Some(group) = self.groups.get_mut(&size) else { return };
        let Some(assembly) = group.shared.as_mut().or_else(|| group.solo.get_mut(&key)) else { return };
        let lacked = assembly.missing;
        for (part, chunk) in (part..).zip(chunks) {
            peer.asked.remove(&part);
            assembly.put(key, part, chunk.to_vec());
        }
        if lacked > 0 && assembly.missing == 0 {
            let (mut info, mut givers) = (Vec::with_capacity(size as usize), BTreeSet::new());
            for (giver, data) in assembly.parts.iter().flatten() {
                info.extend_from_slice(data);
                givers.insert(*giver);
            }
            let attempt = self.next_attempt;
            self.next_attempt += 1;
            self.checking.insert(attempt, (size, givers));
            self.outputs.push_back(Output::Assembled { attempt, info });
        }
    }

    /// Its answer makes no sense: it rests, and after a few of those it is not asked any more.
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
                group.shared = Some(Assembly::new(size));
            }
            self.remove(*giver);
        } else if let Some(group) = self.groups.get_mut(&size) {
            // Whoever lied cannot be told from the others, until each stands alone.
            group.shared = None;
            for peer in self.peers.values_mut().filter(|p| p.size == size) {
                peer.asked.clear();
                peer.late.clear();
            }
        }
    }

    /// Lets the peer rest. What it has given alone is forgotten: another may stand in its place.
    fn failed(&mut self, now: Time, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        let factor = 1u32 << peer.failures.min(4);
        peer.failures += 1;
        peer.rest_until = peer.rest_until.max(now.plus_secs(self.config.rest_s * f64::from(factor)));
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
            let gone: Vec<u32> = peer
                .asked
                .iter()
                .filter(|(_, at)| now >= at.plus_secs(self.config.timeout_s))
                .map(|(part, _)| *part)
                .collect();
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

    /// Asks as much as makes sense, of all.
    fn ask(&mut self, now: Time) {
        self.asked_at = now;
        if self.done {
            return;
        }
        let mut gathered = 0;
        // For each size: peers that answer, peers that may be asked, and parts that are missing.
        let mut sizes: BTreeMap<u32, (usize, usize, usize)> = BTreeMap::new();
        for (size, group) in &self.groups {
            let assemblies = || group.shared.iter().chain(group.solo.values());
            gathered += assemblies().map(Assembly::bytes).sum::<usize>();
            let missing = assemblies().map(|a| a.missing).min().unwrap_or(parts_of(*size) as usize);
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

    /// Asks the peers that claim this size. One that is not `favoured` is asked for a part at a time.
    fn ask_group(&mut self, now: Time, size: u32, favoured: bool) {
        let Some(group) = self.groups.get_mut(&size) else { return };
        let able = self.peers.iter().filter(|(_, p)| p.size == size && p.rest_until <= now);
        let mut keys: Vec<PeerKey> = able.map(|(key, _)| *key).collect();
        // Those that answer first, then those that have failed least.
        keys.sort_by_key(|key| self.peers.get(key).map(|p| (!p.gave, p.failures)));
        let solo = group.shared.is_none();
        if solo {
            for key in &keys {
                if group.solo.len() < MAX_SOLO && !group.solo.contains_key(key) {
                    group.solo.insert(*key, Assembly::new(size));
                }
            }
        }
        let (per_peer, duplicates) = if favoured { (self.config.per_peer, self.config.duplicates) } else { (1, 1) };
        // Requests to peers that failed before, and those that are slow, are not counted on.
        let mut askers: Vec<usize> = vec![0; parts_of(size) as usize];
        for peer in self.peers.values().filter(|p| p.size == size && p.failures == 0) {
            for (part, _) in peer.asked.iter().filter(|(_, at)| now < at.plus_secs(self.config.slow_s)) {
                askers[*part as usize] += 1;
            }
        }
        // Round by round, so that the parts are spread over the peers before anyone gets a second.
        for _ in 0..per_peer {
            for key in &keys {
                let Some(peer) = self.peers.get_mut(key) else { continue };
                let Some(assembly) = group.shared.as_ref().or_else(|| group.solo.get(key)) else { continue };
                if peer.asked.len() >= per_peer {
                    continue;
                }
                let part = (0..parts_of(size))
                    .filter(|part| assembly.lacks(*part) && !peer.asked.contains_key(part))
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
