//! Datagrams: host caches, queries to ultrapeers that we are not connected to (GUESS), hits out of
//! band, probes of sources, pushes.

use super::api::{Output, SearchKey};
use super::bootstrap::Ask;
use super::{Leaf, MAX_PUSHES, PUSH_PAUSE};
use crate::Time;
use crate::token_bucket::TokenBucket;
use bytes::Bytes;
use playswarm_proto::address_class::AddressClass;
use playswarm_proto::gnutella::{
    Frame, Ggep, Guid, HeadPing, HeadPong, Message, Ping, Pong, Push, QueryHit, VendorMessage,
};
use playswarm_proto::sha1::Digest;
use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::time::Duration;

/// Time for an answer. A later one is not from whom we asked, or of no use.
const ANSWER_TIME: Duration = Duration::from_secs(30);
/// Most questions that wait for their answer.
const MAX_QUESTIONS: usize = 256;
/// Most ultrapeers that are known to take queries by UDP.
const MAX_ULTRAPEERS: usize = 200;
/// Time for which the key of an ultrapeer is used. Servents change theirs about daily.
const KEY_TIME: Duration = Duration::from_secs(20 * 60 * 60);
/// Time between two requests for a key.
const KEY_PAUSE: Duration = Duration::from_secs(60);
/// Longest key that is kept, bytes.
const MAX_KEY_BYTES: usize = 64;
/// Datagrams that we send, a second: all of them together.
const DATAGRAMS_PER_S: f64 = 50.0;
/// Pings of strangers that are answered, a second.
const PONGS_PER_S: f64 = 1.0;
const MAX_PONGS: f64 = 10.0;

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    /// The cache of this index.
    HostCache(usize),
    Key,
    Probe(Digest),
}

/// An ultrapeer that takes queries by UDP.
#[derive(Clone, Debug, Default)]
struct Ultrapeer {
    /// Its key for us, and until when it is used.
    key: Option<(Bytes, Time)>,
    /// When it was asked for a key last.
    asked: Option<Time>,
}

impl Ultrapeer {
    /// Returns its key if that may be used now.
    fn key(&self, now: Time) -> Option<&Bytes> {
        self.key.as_ref().filter(|(_, until)| *until > now).map(|(key, _)| key)
    }

    /// Whether it has no key, and was last asked for one at least this long ago, if ever.
    fn is_due(&self, now: Time, pause: Duration) -> bool {
        self.key(now).is_none() && self.asked.is_none_or(|at| at + pause <= now)
    }
}

/// What is known of those that are asked by UDP.
#[derive(Clone, Debug)]
pub(super) struct Datagrams {
    is_on: bool,
    questions: BTreeMap<Guid, (SocketAddrV4, Question, Time)>,
    ultrapeers: BTreeMap<SocketAddrV4, Ultrapeer>,
    sent: TokenBucket,
    pongs: TokenBucket,
}

impl Datagrams {
    /// Creates the state; with `is_on` false nothing is ever sent.
    pub(super) fn new(now: Time, is_on: bool) -> Datagrams {
        let sent = TokenBucket::new(now, DATAGRAMS_PER_S, DATAGRAMS_PER_S, DATAGRAMS_PER_S);
        let pongs = TokenBucket::new(now, PONGS_PER_S, MAX_PONGS, MAX_PONGS);
        Datagrams { is_on, questions: BTreeMap::new(), ultrapeers: BTreeMap::new(), sent, pongs }
    }

    /// Adds an ultrapeer that takes queries. If there are too many, it takes the place of one that
    /// was asked for its key and did not answer.
    pub(super) fn add_ultrapeer(&mut self, now: Time, address: SocketAddrV4) {
        let is_full = self.ultrapeers.len() >= MAX_ULTRAPEERS;
        if is_full && !self.ultrapeers.contains_key(&address) {
            let is_silent = |one: &Ultrapeer| one.asked.is_some() && one.is_due(now, ANSWER_TIME);
            let silent = self.ultrapeers.iter().find(|(_, one)| is_silent(one)).map(|(silent, _)| *silent);
            silent.and_then(|silent| self.ultrapeers.remove(&silent));
        }
        if self.is_on && self.ultrapeers.len() < MAX_ULTRAPEERS {
            self.ultrapeers.entry(address).or_default();
        }
    }
}

impl Leaf {
    /// Queues a datagram. Returns whether it may be sent.
    fn send_to(&mut self, to: SocketAddrV4, message: &Message, guid: Guid) -> bool {
        match message.encode(guid, 1) {
            Ok(bytes) if self.datagrams.is_on && self.datagrams.sent.take_one(self.now) => {
                self.outputs.push_back(Output::SendTo { to, bytes });
                true
            }
            _ => false,
        }
    }

    /// Sends a question, whose answer has its identifier. Returns whether it was sent.
    fn question(&mut self, to: SocketAddrV4, message: &Message, question: Question) -> bool {
        let now = self.now;
        self.datagrams.questions.retain(|_, (_, _, until)| *until > now);
        let guid = self.secrets.guid();
        let is_sent = self.datagrams.questions.len() < MAX_QUESTIONS && self.send_to(to, message, guid);
        if is_sent {
            self.datagrams.questions.insert(guid, (to, question, now + ANSWER_TIME));
        }
        is_sent
    }

    /// Takes the question that an answer from this address is for.
    fn take_question(&mut self, guid: Guid, from: SocketAddrV4) -> Option<Question> {
        let (to, question, until) = *self.datagrams.questions.get(&guid)?;
        let is_answer = to == from && until > self.now;
        is_answer.then(|| self.datagrams.questions.remove(&guid))?;
        Some(question)
    }

    pub(super) fn ping_cache(&mut self, cache: usize, address: SocketAddrV4) {
        // The user names the caches, so one may be in the user's own network.
        if self.may_use(address, AddressClass::Loopback) {
            self.question(address, &Message::Ping(Ping::to_host_cache()), Question::HostCache(cache));
        }
    }

    pub(super) fn probe(&mut self, address: SocketAddrV4, sha1: Digest) {
        let ping = Message::Vendor(VendorMessage::HeadPing(HeadPing::new(sha1)));
        self.question(address, &ping, Question::Probe(sha1));
    }

    pub(super) fn datagram(&mut self, from: SocketAddrV4, frame: &Frame) {
        let guid = frame.header.guid;
        match Message::decode(frame) {
            Ok(Message::Pong(pong)) => self.udp_pong(guid, from, &pong),
            Ok(Message::QueryHit(hit)) => self.udp_hit(guid, from, &hit),
            Ok(Message::Vendor(VendorMessage::OobIndication { version, hits, .. })) if version >= 3 => {
                self.claim(guid, from, hits);
            }
            Ok(Message::Vendor(VendorMessage::HeadPong(pong))) => self.head_pong(guid, from, pong),
            Ok(Message::Ping(_)) if self.reachable.is_some() => self.udp_ping(from, frame),
            _ => {}
        }
    }

    /// Answers a ping of a stranger, by no more bytes than came: its address may be forged.
    fn udp_ping(&mut self, from: SocketAddrV4, ping: &Frame) {
        let (guid, class) = (ping.header.guid, AddressClass::of((*from.ip()).into()));
        let pong = Message::Pong(self.our_pong());
        let is_short = pong.frame(guid, 1).is_ok_and(|pong| pong.payload.len() <= ping.payload.len());
        if is_short && self.may_use(from, class) && self.datagrams.pongs.take_one(self.now) {
            self.send_to(from, &pong, guid);
        }
    }

    fn head_pong(&mut self, guid: Guid, from: SocketAddrV4, mut pong: HeadPong) {
        if let Some(Question::Probe(sha1)) = self.take_question(guid, from) {
            let class = AddressClass::of((*from.ip()).into());
            pong.alternates.retain(|address| self.may_use(*address, class));
            self.outputs.push_back(Output::Probed { address: from, sha1, pong });
        }
    }

    fn udp_pong(&mut self, guid: Guid, from: SocketAddrV4, pong: &Pong) {
        let is_acknowledged = self.search_of(guid).is_some_and(|search| search.has_guessed(from));
        let question = self.take_question(guid, from);
        if question.is_none() && !is_acknowledged {
            return;
        }
        if let Some(Question::HostCache(cache)) = question {
            self.bootstrap.answered(self.now, Ask::Udp(cache));
        }
        if let Some(key) = pong.query_key().filter(|key| key.len() <= MAX_KEY_BYTES)
            && let Some(ultrapeer) = self.datagrams.ultrapeers.get_mut(&from)
        {
            // A copy: the key would keep the whole datagram.
            ultrapeer.key = Some((Bytes::copy_from_slice(key), self.now + KEY_TIME));
            self.resume_guesses();
        }
        if is_acknowledged {
            // The numbers of such a pong are random, and its address is that of another ultrapeer.
            self.learn(&[pong.address], AddressClass::of((*from.ip()).into()), false);
            let others = pong.others();
            self.learn(&others, AddressClass::of((*from.ip()).into()), false);
        } else {
            self.pong(pong, *from.ip());
        }
    }

    /// Takes hits of a servent whose hits were claimed, or that was asked. Others are forged.
    fn udp_hit(&mut self, guid: Guid, from: SocketAddrV4, hit: &QueryHit) {
        let token = hit.trailer.as_ref().and_then(|trailer| trailer.token()).cloned().unwrap_or_default();
        let has_token = self.secrets.is_token(guid, from, &token);
        let Some(search) = self.search_of(guid) else { return };
        if search.has_guessed(from) || (search.has_claimed(from) && has_token) {
            self.found(guid, hit, (*from.ip()).into(), None);
        }
    }

    /// Claims hits that a servent announces.
    fn claim(&mut self, guid: Guid, from: SocketAddrV4, hits: u8) {
        let class = AddressClass::of((*from.ip()).into());
        let is_wanted = hits > 0 && self.reachable.is_some() && self.may_use(from, class);
        if is_wanted && self.search_of(guid).is_some_and(|search| search.claim(from)) {
            let token = Bytes::copy_from_slice(&self.secrets.token(guid, from));
            let claim = VendorMessage::OobClaim { hits, token: Some(token) };
            self.send_to(from, &Message::Vendor(claim), guid);
        }
    }

    /// Lets active searches ask by UDP again.
    pub(super) fn resume_guesses(&mut self) {
        self.searches.iter_mut().for_each(|search| search.resume_guesses(self.now));
    }

    /// Asks the next ultrapeer by UDP for each search that is due: for its key first.
    pub(super) fn guess(&mut self) {
        let now = self.now;
        for at in 0..self.searches.len() {
            if !self.searches[at].wants_guess(now) {
                continue;
            }
            let search = &self.searches[at];
            let fresh = |(address, _): &(&SocketAddrV4, &Ultrapeer)| !search.has_guessed(**address);
            let candidates = || self.datagrams.ultrapeers.iter().filter(fresh);
            let with_key = candidates().find_map(|(address, one)| Some((*address, one.key(now)?.clone())));
            let without = || candidates().find(|(_, one)| one.is_due(now, KEY_PAUSE)).map(|(address, _)| *address);
            if let Some((address, key)) = with_key {
                let Some(query) = search.query(self.reachable, Some(&key)) else {
                    self.searches[at].pause_guesses();
                    continue;
                };
                let guid = search.guid;
                let is_sent = self.send_to(address, &Message::Query(query), guid);
                self.searches[at].guessed(now, address, is_sent);
            } else if let Some(address) = without() {
                self.searches[at].guessed(now, address, false);
                let is_sent = self.question(address, &Message::Ping(Ping::for_query_key()), Question::Key);
                if let Some(ultrapeer) = self.datagrams.ultrapeers.get_mut(&address).filter(|_| is_sent) {
                    ultrapeer.asked = Some(now);
                }
            } else {
                self.searches[at].pause_guesses();
            }
        }
    }

    /// Lets a servent connect to us, on the ways that its hit names.
    pub(super) fn push(&mut self, search: SearchKey, servent: Guid) {
        let now = self.now;
        self.pushes.retain(|_, until| *until > now);
        let source = self.search(search).and_then(|search| search.results.servent(servent)).cloned();
        let (Some(address), Some(source)) = (self.reachable, source) else { return };
        if self.pushes.len() >= MAX_PUSHES || self.pushes.contains_key(&servent) {
            return;
        }
        self.pushes.insert(servent, now + PUSH_PAUSE);
        let push = Message::Push(Push { servent, index: source.index, address, ggep: Ggep::new() });
        for proxy in source.proxies {
            let guid = self.secrets.guid();
            self.send_to(proxy, &push, guid);
        }
        if let Some(link) = source.link.filter(|link| self.links.get(link).is_some_and(|link| link.is_up())) {
            let guid = self.secrets.guid();
            self.send(link, &push, guid, super::QUERY_TTL);
        }
    }
}
