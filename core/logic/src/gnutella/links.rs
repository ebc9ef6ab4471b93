//! The connections to ultrapeers: whom to dial, what is said, and when one is given up.

use super::Leaf;
use super::addresses::network;
use super::api::{LinkKey, Output, SharedFile};
use crate::Time;
use crate::token_bucket::TokenBucket;
use playswarm_proto::address_class::AddressClass;
use playswarm_proto::gnutella::{
    Area, Frame, Ggep, Guid, Message, OURS, Ping, Pong, Query, QueryHit, Record, RouteTable, ServentFlag, Trailer,
    VENDOR, VendorMessage, words,
};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

/// Attempts to connect: one a second on average, and so many at once.
const DIALS_PER_S: f64 = 1.0;
const MAX_DIALS: usize = 8;
/// Time for a connection and its handshake.
const DIAL_TIME: Duration = Duration::from_secs(10);
/// Silence of an ultrapeer after which it is pinged, and after which it is given up.
const QUIET: Duration = Duration::from_secs(90);
const SILENT: Duration = Duration::from_secs(120);
/// Pings of an ultrapeer that are answered: one in ten seconds on average. An answer has 40 bytes.
const PONGS_PER_S: f64 = 0.1;
const MAX_PONGS: f64 = 5.0;
/// Messages that an ultrapeer may send: so many a second, and at once. More is a flood.
const MESSAGES_PER_S: f64 = 100.0;
const MAX_MESSAGES: f64 = 2000.0;
/// Malformed messages of its own that an ultrapeer may send: so many a second, and at once.
const FAULTS_PER_S: f64 = 0.1;
const MAX_FAULTS: f64 = 50.0;
/// Queries of others that are answered, a second, and most results of an answer.
const ANSWERS_PER_S: f64 = 5.0;
const MAX_ANSWER: usize = 10;
/// Most different words of a query that is answered.
const MAX_QUERY_WORDS: usize = 32;
/// Most files that are shared.
const MAX_SHARED: usize = 256;
/// Known hosts below which an ultrapeer is asked for more.
const FEW_HOSTS: usize = 30;
/// Upload rate that hits name, kbit/s. Nobody can check it.
const SPEED: u32 = 1000;

/// Address of a servent that does not listen, as gtk-gnutella names it.
const NOWHERE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 0), 0);

/// Returns the tokens of attempts to connect.
pub(super) fn dials(now: Time) -> TokenBucket {
    TokenBucket::new(now, DIALS_PER_S, MAX_DIALS as f64, MAX_DIALS as f64)
}

/// A file that is shared, and the words of its name.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    file: SharedFile,
    words: BTreeSet<String>,
}

/// A connection to an ultrapeer, or an attempt.
#[derive(Clone, Debug)]
pub(super) struct Link {
    /// Its address.
    pub(super) address: SocketAddrV4,
    /// When the attempt began, or something was heard last.
    heard: Time,
    pinged: bool,
    is_up: bool,
    /// Tokens for malformed messages.
    faults: TokenBucket,
    pongs: TokenBucket,
    messages: TokenBucket,
    answers: TokenBucket,
}

impl Link {
    fn new(now: Time, address: SocketAddrV4) -> Link {
        Link {
            address,
            heard: now,
            pinged: false,
            is_up: false,
            faults: TokenBucket::new(now, FAULTS_PER_S, MAX_FAULTS, MAX_FAULTS),
            pongs: TokenBucket::new(now, PONGS_PER_S, MAX_PONGS, MAX_PONGS),
            messages: TokenBucket::new(now, MESSAGES_PER_S, MAX_MESSAGES, MAX_MESSAGES),
            answers: TokenBucket::new(now, ANSWERS_PER_S, ANSWERS_PER_S, ANSWERS_PER_S),
        }
    }

    /// Whether the handshake has succeeded.
    pub(super) fn is_up(&self) -> bool {
        self.is_up
    }

    /// Returns when the link is pinged or given up.
    pub(super) fn next_timeout(&self) -> Time {
        match (self.is_up, self.pinged) {
            (false, _) => self.heard + DIAL_TIME,
            (true, false) => self.heard + QUIET,
            (true, true) => self.heard + SILENT,
        }
    }
}

impl Leaf {
    /// Whether there is no ultrapeer.
    pub(super) fn is_alone(&self) -> bool {
        self.up() == 0
    }

    fn up(&self) -> usize {
        self.links.values().filter(|link| link.is_up).count()
    }

    /// Returns the number of attempts that may go on at once.
    fn attempts_wanted(&self) -> usize {
        let missing = self.links_wanted.saturating_sub(self.up());
        if missing == 0 { 0 } else { (2 * missing + 2).min(MAX_DIALS) }
    }

    /// Connects to more ultrapeers if there are too few.
    pub(super) fn dial(&mut self) {
        while self.links.len() - self.up() < self.attempts_wanted() && self.dials.has(self.now, 1.0) {
            let networks: Vec<_> = self.links.values().map(|link| network((*link.address.ip()).into())).collect();
            let Some(address) = self.hosts.take(self.now, &networks, &mut self.rng) else { return };
            if self.links.values().any(|link| link.address == address) {
                continue;
            }
            self.dials.take(self.now, 1.0);
            self.next_link += 1;
            let link = LinkKey(self.next_link);
            self.links.insert(link, Link::new(self.now, address));
            self.outputs.push_back(Output::Dial { link, address });
        }
    }

    /// Returns when the next attempt begins.
    pub(super) fn next_dial(&self) -> Time {
        if self.links.len() - self.up() >= self.attempts_wanted() {
            return Time::NEVER;
        }
        let token = self.dials.until(self.now, 1.0).map_or(Time::NEVER, |wait| self.now + wait);
        token.max(self.hosts.next_due())
    }

    pub(super) fn connected(&mut self, key: LinkKey) {
        let (now, up) = (self.now, self.up());
        let Some(link) = self.links.get_mut(&key) else { return };
        let address = link.address;
        self.hosts.worked(address, now);
        if up >= self.links_wanted {
            return self.close(key);
        }
        (link.is_up, link.heard) = (true, now);
        self.greet(key);
        self.ask(key);
        // Most ultrapeers are nodes of the DHT, at the same port.
        self.outputs.push_back(Output::Nodes { by: *address.ip(), nodes: vec![address] });
    }

    /// Sends what an ultrapeer has to know: the messages that we understand, and our words.
    fn greet(&mut self, link: LinkKey) {
        self.send_vendor(link, VendorMessage::Supported(OURS.to_vec()));
        self.send_table(link);
        if self.hosts.len() < FEW_HOSTS {
            // A ping with a second hop is answered by the pongs of others.
            let guid = self.secrets.guid();
            self.send(link, &Message::Ping(Ping::to_host_cache()), guid, 2);
        }
    }

    /// Returns what is shared: nothing while nobody can connect to us, since pushes are not carried
    /// out.
    fn offered(&self) -> &[Shared] {
        if self.reachable.is_some() { &self.shared } else { &[] }
    }

    /// Sends the words of what is shared. Without any, no query is wanted at all.
    fn send_table(&mut self, link: LinkKey) {
        let names: BTreeSet<&str> =
            self.offered().iter().flat_map(|shared| shared.words.iter().map(String::as_str)).collect();
        let is_empty = names.is_empty();
        let table = if is_empty { RouteTable::empty() } else { RouteTable::of(names.into_iter()) };
        self.send_vendor(link, VendorMessage::HopsFlow(if is_empty { 0 } else { u8::MAX }));
        for update in table.updates() {
            let guid = self.secrets.guid();
            self.send(link, &Message::Route(update), guid, 1);
        }
    }

    pub(super) fn share(&mut self, mut files: Vec<SharedFile>) {
        files.truncate(MAX_SHARED);
        let with_words = |file: SharedFile| Shared { words: words(&file.name).into_iter().collect(), file };
        self.shared = files.into_iter().map(with_words).collect();
        self.send_tables();
    }

    /// Sets our address as strangers can reach it.
    pub(super) fn set_reachable(&mut self, address: Option<SocketAddrV4>) {
        let is_change = address.is_some() != self.reachable.is_some();
        self.reachable = address;
        if is_change && !self.shared.is_empty() {
            self.send_tables();
        }
    }

    fn send_tables(&mut self) {
        let up: Vec<_> = self.links.iter().filter(|(_, link)| link.is_up).map(|(key, _)| *key).collect();
        up.into_iter().for_each(|link| self.send_table(link));
    }

    pub(super) fn refused(&mut self, key: LinkKey, others: &[SocketAddrV4], banned: Option<Duration>) {
        let Some(link) = self.remove(key) else { return };
        self.hosts.failed(link.address, self.now, banned.unwrap_or_default());
        self.learn(others, AddressClass::of((*link.address.ip()).into()), false);
    }

    pub(super) fn closed(&mut self, key: LinkKey) {
        if let Some(link) = self.remove(key) {
            self.hosts.failed(link.address, self.now, Duration::ZERO);
        }
    }

    /// Closes a link from our side.
    fn close(&mut self, key: LinkKey) {
        if self.remove(key).is_some() {
            self.outputs.push_back(Output::Close { link: key });
        }
    }

    fn remove(&mut self, key: LinkKey) -> Option<Link> {
        let link = self.links.remove(&key)?;
        if link.is_up && self.is_alone() {
            self.alone_since = self.now;
        }
        Some(link)
    }

    /// Closes a link that has failed.
    fn give_up(&mut self, key: LinkKey) {
        if let Some(link) = self.links.get(&key) {
            self.hosts.failed(link.address, self.now, Duration::ZERO);
            self.close(key);
        }
    }

    /// Closes a link whose other end misbehaves, and forgets that host.
    fn expel(&mut self, key: LinkKey) {
        if let Some(address) = self.links.get(&key).map(|link| link.address) {
            self.hosts.forget(address);
            self.close(key);
        }
    }

    /// Gives silent links up, and pings those that have been quiet.
    pub(super) fn keep_links(&mut self) {
        let due: Vec<_> =
            self.links.iter().filter(|(_, link)| link.next_timeout() <= self.now).map(|(k, _)| *k).collect();
        for key in due {
            let Some(link) = self.links.get_mut(&key) else { continue };
            if link.is_up && !link.pinged {
                link.pinged = true;
                let guid = self.secrets.guid();
                self.send(key, &Message::Ping(Ping::default()), guid, 1);
            } else {
                self.give_up(key);
            }
        }
    }

    pub(super) fn message(&mut self, key: LinkKey, frame: &Frame) {
        let (now, offers) = (self.now, !self.offered().is_empty());
        let Some(link) = self.links.get_mut(&key).filter(|link| link.is_up) else { return };
        (link.heard, link.pinged) = (now, false);
        if !link.messages.take_one(now) {
            // Others may have caused the flood, so that the host remains known.
            return self.give_up(key);
        }
        let ip = *link.address.ip();
        let Ok(message) = Message::decode(frame) else {
            // What it relays is not its fault.
            if frame.header.hops == 0 && !link.faults.take_one(now) {
                self.expel(key);
            }
            return;
        };
        match message {
            // A ping of a farther servent is not for a leaf.
            Message::Ping(_) if frame.header.hops == 0 && link.pongs.take_one(now) => {
                let pong = Message::Pong(self.our_pong());
                self.send(key, &pong, frame.header.guid, 1);
            }
            Message::Pong(pong) => self.pong(&pong, ip),
            Message::Bye(_) => self.give_up(key),
            Message::Vendor(VendorMessage::QueryStatusRequest) => {
                if let Some(hits) = self.search_of(frame.header.guid).map(|search| search.hits) {
                    self.send(key, &Message::Vendor(VendorMessage::QueryStatus(hits)), frame.header.guid, 1);
                }
            }
            Message::Query(query) if offers && link.answers.take_one(now) => {
                if let Some(hit) = self.hit_for(&query) {
                    let ttl = frame.header.hops.saturating_add(2);
                    self.send(key, &Message::QueryHit(hit), frame.header.guid, ttl);
                }
            }
            Message::QueryHit(hit) => self.found(frame.header.guid, &hit, ip.into(), Some(key)),
            _ => {}
        }
    }

    /// Returns the answer to pings.
    pub(super) fn our_pong(&self) -> Pong {
        let files = u32::try_from(self.offered().len()).unwrap_or(u32::MAX);
        let kib: u64 = self.offered().iter().map(|shared| shared.file.size >> 10).sum();
        Pong::of_leaf(self.our_address(), files, u32::try_from(kib).unwrap_or(u32::MAX))
    }

    fn our_address(&self) -> SocketAddrV4 {
        self.reachable.unwrap_or(NOWHERE)
    }

    /// Learns the ultrapeers that a pong names. It came from a host at `ip`.
    pub(super) fn pong(&mut self, pong: &Pong, ip: Ipv4Addr) {
        let class = AddressClass::of(ip.into());
        let has_slots = pong.ultrapeer_slots().is_some_and(|slots| slots.leaves > 0);
        let is_new = pong.is_ultrapeer() && self.learn(&[pong.address], class, has_slots);
        if is_new && pong.has_guess() {
            self.datagrams.add_ultrapeer(self.now, pong.address);
            self.resume_guesses();
        }
        self.learn(&pong.others(), class, false);
        let nodes = pong.dht_nodes();
        if !nodes.is_empty() {
            self.outputs.push_back(Output::Nodes { by: ip, nodes });
        }
    }

    /// Returns the hit for a query of others.
    fn hit_for(&self, query: &Query) -> Option<QueryHit> {
        let (wanted, hashes) = (BTreeSet::from_iter(words(&query.text)), query.area.hashes());
        let is_match = |shared: &Shared| match hashes.sha1 {
            Some(sha1) => shared.file.hashes.sha1 == Some(sha1),
            None => (1..=MAX_QUERY_WORDS).contains(&wanted.len()) && wanted.is_subset(&shared.words),
        };
        let matches = self.offered().iter().enumerate().filter(|(_, shared)| is_match(shared));
        let record = |(index, Shared { file, .. }): (usize, &Shared)| Record {
            index: index as u32 + 1,
            size: file.size,
            name: file.name.clone(),
            area: Area::of_urn(&file.hashes),
        };
        let records: Vec<_> = matches.map(record).take(MAX_ANSWER).collect();
        let trailer = Trailer::new(VENDOR, &[(ServentFlag::Push, false)], Ggep::new());
        let (address, servent): (_, Guid) = (self.our_address(), self.servent);
        (!records.is_empty()).then_some(QueryHit { address, speed: SPEED, records, trailer: Some(trailer), servent })
    }
}
