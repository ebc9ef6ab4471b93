//! Fetches single packets: those of the past that a newcomer needs for its margin, and those that are
//! late.
//!
//! New packets are pushed along the trees. Parents near the source have no room to push the past as
//! well, but most other nodes do, and any node that has a group can make all its packets. So each
//! packet is asked of one neighbour, the oldest groups first. A neighbour has a few requests at a
//! time, one more for each that it answers soon, and half as many after one that it answers late.

use super::{Output, Relay};
use crate::{PeerKey, Time};
use playswarm_proto::live::Stripes;
use playswarm_proto::live::message::{MAX_WANTED, Message, NodeId, Wanted};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// Packets that a neighbour is asked for at a time: least, which delays little if it is slow, and most.
/// With more at first, all of a slow stream's past would be asked of the parents, which often have no
/// room, also where others do. (Scenario: `homes_slow`.)
pub(super) const AT_ONCE: (usize, usize) = (2, 64);
/// Packets that all neighbours are asked for in any case: a single one need not show first that it has
/// room.
const TOGETHER: usize = 8;
/// Time after which a request counts as unanswered, seconds.
const UNANSWERED_S: f64 = 1.0;
/// Time after which an answer is late and the packet may be asked of another neighbour, seconds: three
/// round trips of 80 ms.
const FRESH_S: f64 = 0.25;
/// Round trip to a neighbour that was not measured yet, seconds.
const USUAL_RTT_S: f64 = 0.08;
/// Neighbours that are enough to fetch from.
const NEIGHBOURS: usize = 5;
/// Most groups that wait to be asked for.
const MAX_WAITING: usize = 1024;

/// Packets of groups that are to be asked for: these, as many of them as are lacking.
#[derive(Debug, Default)]
pub(super) struct Waiting(BTreeMap<u64, (Stripes, u8)>);

impl Relay {
    /// Asks for any `lacks` of the missing packets of a group.
    pub(super) fn late(&mut self, now: Time, group: u64, missing: Stripes, lacks: u8) {
        let asked =
            self.links.values().map(|link| link.asked_of(now, group)).fold(0, |all, asked: Stripes| all | asked.0);
        // What is on its way is not asked for again.
        let on_the_way = Stripes(missing.0 & asked).len() as u8;
        self.waiting.0.insert(group, (Stripes(missing.0 & !asked), lacks.saturating_sub(on_the_way)));
        if self.waiting.0.len() > MAX_WAITING {
            self.waiting.0.pop_last();
        }
        self.fetch(now);
    }

    /// All groups below this one are here, or are not needed any more.
    pub(super) fn fetched_below(&mut self, next: Option<u64>) {
        match next {
            Some(next) => self.waiting.0 = self.waiting.0.split_off(&next),
            None => self.waiting.0.clear(),
        }
    }

    /// A packet has arrived.
    pub(super) fn fetched(&mut self, now: Time, from: PeerKey, group: u64, stripe: u8) {
        if let Some((missing, lacks)) = self.waiting.0.get_mut(&group) {
            missing.0 &= !Stripes::one(stripe).0;
            *lacks = lacks.saturating_sub(1);
        }
        let answered = self.links.get_mut(&from).is_some_and(|link| link.answered(now, group, stripe));
        if answered && !self.waiting.0.is_empty() {
            self.fetch(now);
        }
    }

    /// Asks for what waits, as far as neighbours take requests.
    fn fetch(&mut self, now: Time) {
        let parents: Vec<PeerKey> = self.trees.iter().filter_map(|tree| Some(tree.parent.as_ref()?.peer)).collect();
        self.links.values_mut().for_each(|link| link.expire(now));
        let mut requests: BTreeMap<PeerKey, Vec<Wanted>> = BTreeMap::new();
        while let Some((group, (missing, lacks))) =
            self.waiting.0.first_key_value().map(|(group, rest)| (*group, *rest))
        {
            let Some(stripe) = missing.iter().next().filter(|_| lacks > 0) else {
                self.waiting.0.pop_first();
                continue;
            };
            let Some(peer) = self.soonest(&parents, group, stripe) else {
                self.widen(now);
                break;
            };
            if let Some((missing, lacks)) = self.waiting.0.get_mut(&group) {
                missing.0 &= !Stripes::one(stripe).0;
                *lacks -= 1;
            }
            if let Some(link) = self.links.get_mut(&peer) {
                link.ask(now, group, stripe);
            }
            let wanted = requests.entry(peer).or_default();
            match wanted.last_mut().filter(|wanted| wanted.group == group) {
                Some(wanted) => wanted.packets.add(stripe),
                None => wanted.push(Wanted { group, packets: Stripes::one(stripe) }),
            }
        }
        for (peer, wanted) in requests {
            for wanted in wanted.chunks(MAX_WANTED) {
                self.outputs.push_back(Output::Tell(peer, Message::Want(wanted.to_vec())));
            }
        }
    }

    /// Connects to further nodes, because all neighbours have as many requests as they take.
    fn widen(&mut self, now: Time) {
        let known: Vec<NodeId> = self.links.values().filter_map(super::Link::node).collect();
        let kin = self.trees.iter().flat_map(|tree| &tree.kin);
        let others: BTreeSet<SocketAddr> =
            kin.filter(|kin| kin.free > 0 && !known.contains(&kin.node)).map(|kin| kin.addr).collect();
        let room = NEIGHBOURS.saturating_sub(self.links.len() + self.dialling.len());
        for addr in others.into_iter().take(room) {
            self.dial(now, addr);
        }
    }

    /// Returns the neighbour with a group that probably answers first, of those that take a request.
    fn soonest(&self, parents: &[PeerKey], group: u64, stripe: u8) -> Option<PeerKey> {
        let newest = self.progress.newest().unwrap_or(0);
        let is_first = self.links.values().map(|link| link.requests.len()).sum::<usize>() < TOGETHER;
        let mut soonest: Option<(f64, PeerKey)> = None;
        for (peer, link) in self.links.iter().filter(|(_, link)| link.hello.is_some()) {
            let has = match link.ahead {
                Some(ahead) => newest.saturating_add_signed(ahead) >= group,
                // Whom we dialled was named for its places.
                None => group <= newest && (link.dialled || parents.contains(peer)),
            };
            let asked = link.requests.len();
            // Who has not answered is not asked for the same again.
            let was_asked = link.requests.iter().any(|asked| (asked.group, asked.stripe) == (group, stripe));
            if !has || was_asked || !is_first && asked >= link.at_once {
                continue;
            }
            // The time that a full row of requests takes is about the same for all.
            let after_s = link.rtt_s.unwrap_or(USUAL_RTT_S) + FRESH_S * asked as f64 / link.at_once as f64;
            if soonest.is_none_or(|(least, _)| after_s < least) {
                soonest = Some((after_s, *peer));
            }
        }
        soonest.map(|(_, peer)| peer)
    }
}

/// A request to a neighbour.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    group: u64,
    stripe: u8,
    until: Time,
}

impl super::Link {
    fn ask(&mut self, now: Time, group: u64, stripe: u8) {
        self.requests.push(Asked { group, stripe, until: now.plus_secs(UNANSWERED_S) });
    }

    /// Drops the requests that will not be answered any more.
    fn expire(&mut self, now: Time) {
        let before = self.requests.len();
        self.requests.retain(|asked| now < asked.until);
        if self.requests.len() < before {
            self.at_once = AT_ONCE.0;
        }
    }

    /// Returns the packets of a group that it was asked for lately.
    fn asked_of(&self, now: Time, group: u64) -> Stripes {
        let lately = |asked: &&Asked| asked.group == group && now.plus_secs(UNANSWERED_S - FRESH_S) < asked.until;
        self.requests.iter().filter(lately).map(|asked| asked.stripe).collect()
    }

    fn answered(&mut self, now: Time, group: u64, stripe: u8) -> bool {
        let is_it = |asked: &Asked| (asked.group, asked.stripe) == (group, stripe);
        let Some(at) = self.requests.iter().position(is_it) else { return false };
        let asked = self.requests.swap_remove(at);
        let is_soon = now.plus_secs(UNANSWERED_S - FRESH_S) < asked.until;
        let at_once = if is_soon { self.at_once + 1 } else { self.at_once / 2 };
        self.at_once = at_once.clamp(AT_ONCE.0, AT_ONCE.1);
        true
    }
}
