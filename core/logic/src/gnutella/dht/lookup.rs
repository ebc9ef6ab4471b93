//! One lookup: which node is asked next, and when it ends.
//!
//! The nearest nodes are asked first, and name nearer ones. Who names nodes that do not answer loses
//! credit, and so does the network of such nodes, until no more of them are asked. A liar therefore
//! costs a few datagrams, and a victim that liars name gets no more than those.

use super::api::{End, Found, LookupKey, Target};
use super::distance;
use crate::Time;
use playswarm_proto::address_class::network;
use playswarm_proto::gnutella::Guid;
use playswarm_proto::gnutella::dht::{Kuid, MAX_NODES};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddrV4};
use std::time::Duration;

/// Questions that wait for their answers at once. Mojito's own clients have 3 to 5.
const ALPHA: usize = 5;
/// Time after which another node is asked in place of a silent one. It doubles for the second
/// question. An answer that comes later is taken all the same.
const PATIENCE: Duration = Duration::from_millis(500);
/// Most questions to a node that does not answer: a datagram may be lost.
const MAX_ATTEMPTS: u32 = 2;
/// Longest lookup.
pub const MAX_TIME: Duration = Duration::from_secs(10);
/// Most datagrams of a lookup.
pub const MAX_DATAGRAMS: usize = 60;
/// Nodes that must have given values that are of use. More than one, since one may lie.
const ENOUGH_GIVERS: usize = 3;
/// Questions without an answer that a namer, or a network, may cost. In a network of which half has
/// left, an honest namer loses as many in a row once in 32 times.
const CREDIT: u32 = 5;
/// Credit that an answer gives: that of its question, and one more.
const REWARD: u32 = 2;
/// Distance of a node whose name is not known: farther than all others.
const FAR: Kuid = [0xff; 20];

/// Whose credit a question costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Payer {
    /// A node that named the one that is asked.
    Namer(SocketAddrV4),
    /// The network of the one that is asked.
    Network(IpAddr),
}

/// What a node is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// Values, or else nodes.
    Values,
    /// The values that did not fit into its answer.
    Rest,
    /// Nodes, since it gave values instead and no other node is known: one node may lie.
    Nodes,
}

/// An address that may be asked.
#[derive(Clone, Debug)]
struct Candidate {
    /// Distance of its name from the key.
    distance: Kuid,
    /// Number of candidates before it.
    place: usize,
    /// Nodes that named it, with the distance of the name that each gave; none for one that was
    /// known before.
    namers: Vec<(SocketAddrV4, Kuid)>,
    attempts: u32,
    waits_until: Time,
    has_answered: bool,
    /// Whether it gave values, and was not asked for nodes.
    may_name: bool,
}

/// A lookup.
#[derive(Clone, Debug)]
pub(super) struct Lookup {
    pub(super) key: LookupKey,
    pub(super) target: Target,
    end_at: Time,
    candidates: BTreeMap<SocketAddrV4, Candidate>,
    credit: BTreeMap<Payer, u32>,
    /// Who was asked with which identifier, and did not answer yet.
    questions: BTreeMap<Guid, (SocketAddrV4, Question)>,
    datagrams: usize,
    found: BTreeSet<(Option<Guid>, Option<SocketAddrV4>)>,
    /// Nodes that gave values that are of use.
    givers: BTreeSet<SocketAddrV4>,
}

impl Lookup {
    pub(super) fn new(now: Time, key: LookupKey, target: Target) -> Lookup {
        Lookup {
            key,
            target,
            end_at: now + MAX_TIME,
            candidates: BTreeMap::new(),
            credit: BTreeMap::new(),
            questions: BTreeMap::new(),
            datagrams: 0,
            found: BTreeSet::new(),
            givers: BTreeSet::new(),
        }
    }

    /// Adds a node: of an unknown name, or named by another.
    pub(super) fn add(&mut self, address: SocketAddrV4, kuid: Option<Kuid>, namer: Option<SocketAddrV4>) {
        let distance = kuid.map_or(FAR, |kuid| distance(&kuid, &self.target.key()));
        let place = self.candidates.len();
        let candidate = self.candidates.entry(address).or_insert_with(|| Candidate {
            distance,
            place,
            namers: namer.map(|namer| (namer, distance)).into_iter().collect(),
            attempts: 0,
            waits_until: Time::ZERO,
            has_answered: false,
            may_name: false,
        });
        if !candidate.has_answered {
            // A wrong name must not hide a near node.
            candidate.distance = candidate.distance.min(distance);
        }
        // One that was known before needs no namer.
        let is_new = |namer: &SocketAddrV4| candidate.namers.iter().all(|(other, _)| other != namer);
        if let Some(namer) = namer.filter(|namer| !candidate.namers.is_empty() && is_new(namer)) {
            candidate.namers.push((namer, distance));
        }
    }

    fn credit(&self, payer: Payer) -> u32 {
        self.credit.get(&payer).copied().unwrap_or(CREDIT)
    }

    fn network(address: SocketAddrV4) -> Payer {
        Payer::Network(network((*address.ip()).into()))
    }

    /// Whether a candidate may be asked now or once others have answered.
    fn may_ask(&self, now: Time, address: SocketAddrV4, candidate: &Candidate) -> bool {
        let is_idle = !candidate.has_answered && candidate.waits_until <= now && candidate.attempts < MAX_ATTEMPTS;
        let namers = &candidate.namers;
        let has_namer = namers.is_empty() || namers.iter().any(|(namer, _)| self.credit(Payer::Namer(*namer)) > 0);
        is_idle && has_namer && self.credit(Self::network(address)) > 0
    }

    /// Number of nodes whose answers are waited for.
    fn waiting(&self, now: Time) -> usize {
        self.candidates.values().filter(|candidate| candidate.waits_until > now).count()
    }

    /// Returns the node to ask next: the nearest that was not asked, of the nearest 20 that can
    /// answer; then one that was silent.
    fn nearest(&self, now: Time) -> Option<SocketAddrV4> {
        let is_alive = |(address, candidate): &(&SocketAddrV4, &Candidate)| {
            candidate.has_answered || candidate.waits_until > now || self.may_ask(now, **address, candidate)
        };
        let mut alive: Vec<_> = self.candidates.iter().filter(is_alive).collect();
        alive.sort_by_key(|(_, candidate)| (candidate.distance, candidate.place));
        let window = alive.into_iter().take(MAX_NODES);
        let idle = window.filter(|(address, candidate)| self.may_ask(now, **address, candidate));
        idle.min_by_key(|(_, c)| (c.attempts, c.distance, c.place)).map(|(address, _)| *address)
    }

    /// Returns the node to ask now and for what, if another may be asked.
    pub(super) fn next(&self, now: Time) -> Option<(SocketAddrV4, Question)> {
        let waiting = self.waiting(now);
        if !self.has_datagrams() || waiting >= ALPHA {
            return None;
        }
        let giver = || self.candidates.iter().find(|(_, candidate)| candidate.may_name && waiting == 0);
        let for_values = self.nearest(now).map(|address| (address, Question::Values));
        for_values.or_else(|| giver().map(|(address, _)| (*address, Question::Nodes)))
    }

    /// Notes that a node was asked.
    pub(super) fn asked(&mut self, now: Time, address: SocketAddrV4, question: Question, guid: Guid) {
        let Some(candidate) = self.candidates.get_mut(&address) else { return };
        candidate.may_name &= question != Question::Nodes;
        candidate.waits_until = now + PATIENCE * (1 << candidate.attempts.min(MAX_ATTEMPTS));
        candidate.attempts += 1;
        self.questions.insert(guid, (address, question));
        self.datagrams += 1;
        let namers = candidate.namers.iter().map(|(namer, _)| Payer::Namer(*namer));
        for payer in namers.chain([Self::network(address)]).collect::<Vec<_>>() {
            let left = self.credit(payer).saturating_sub(1);
            self.credit.insert(payer, left);
        }
    }

    /// Takes an answer from a node of this name. Returns what it answers, if that was asked.
    pub(super) fn take_answer(&mut self, guid: Guid, from: SocketAddrV4, kuid: &Kuid) -> Option<Question> {
        let (_, question) = *self.questions.get(&guid).filter(|(to, _)| *to == from)?;
        self.questions.remove(&guid);
        let candidate = self.candidates.get_mut(&from)?;
        candidate.waits_until = Time::ZERO;
        let is_first = !std::mem::replace(&mut candidate.has_answered, true);
        if question == Question::Values && !is_first {
            // Both questions to a node may be answered.
            return None;
        }
        let true_distance = distance(kuid, &self.target.key());
        candidate.distance = true_distance;
        let right = candidate.namers.iter().filter(|(_, named)| *named == true_distance);
        let right = right.map(|(namer, _)| Payer::Namer(*namer));
        for payer in right.chain([Self::network(from)]).collect::<Vec<_>>() {
            let credit = self.credit(payer) + REWARD;
            self.credit.insert(payer, credit);
        }
        Some(question)
    }

    /// Notes that a node gave values in place of nodes.
    pub(super) fn gave_values(&mut self, from: SocketAddrV4, question: Question) {
        if let Some(candidate) = self.candidates.get_mut(&from) {
            candidate.may_name |= question == Question::Values;
        }
    }

    /// Takes what a node gave. Returns what is new.
    pub(super) fn given(&mut self, by: SocketAddrV4, given: Vec<Found>) -> Vec<Found> {
        if !given.is_empty() {
            self.givers.insert(by);
        }
        given.into_iter().filter(|found| self.found.insert(found.identity())).collect()
    }

    /// Whether another datagram may be sent.
    pub(super) fn has_datagrams(&self) -> bool {
        self.datagrams < MAX_DATAGRAMS
    }

    fn has_answers(&self) -> bool {
        self.candidates.values().any(|candidate| candidate.has_answered)
    }

    /// Returns why the lookup ends now, if it does. One that nobody has answered waits for hints of
    /// nodes until its time is over.
    pub(super) fn end(&self, now: Time) -> Option<End> {
        match () {
            () if self.givers.len() >= ENOUGH_GIVERS => Some(End::Enough),
            () if now >= self.end_at && !self.has_answers() => Some(End::NoNetwork),
            () if now >= self.end_at => Some(End::TimeIsOver),
            () if self.waiting(now) > 0 => None,
            () if !self.has_datagrams() && self.has_answers() => Some(End::TooManyDatagrams),
            () if self.next(now).is_none() && self.has_answers() => Some(End::AllAsked),
            () => None,
        }
    }

    /// Returns the nodes that were known before and did not answer, if others did.
    pub(super) fn failed(&self, now: Time) -> Vec<SocketAddrV4> {
        if !self.has_answers() {
            return Vec::new();
        }
        let is_silent =
            |c: &Candidate| c.namers.is_empty() && c.attempts > 0 && !c.has_answered && c.waits_until <= now;
        self.candidates.iter().filter(|(_, candidate)| is_silent(candidate)).map(|(address, _)| *address).collect()
    }

    /// Returns the latest time for a timeout.
    pub(super) fn next_timeout(&self, now: Time) -> Time {
        let waits = self.candidates.values().map(|candidate| candidate.waits_until).filter(|until| *until > now);
        waits.chain([self.end_at]).min().unwrap_or(self.end_at)
    }
}
