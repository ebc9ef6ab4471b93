//! A leaf of the Gnutella network: which ultrapeers it is connected to, what it says to them, its
//! searches and their results. Lookups in the DHT are a machine of their own, [`dht`].
//!
//! Connections, handshakes, name lookups and datagrams are the driver's. A leaf routes nothing for
//! others. What strangers say is bounded, and an address that one names is used only if
//! [`is_acceptable`](playswarm_proto::address_class::is_acceptable) allows it from there.

mod addresses;
mod api;
mod bootstrap;
pub mod dht;
pub mod giver;
mod hosts;
mod links;
mod results;
mod search;
mod secrets;
#[cfg(test)]
mod tests;
mod udp;

pub use api::{Config, End, Input, Kind, LINKS, LinkKey, Output, SearchKey, SharedFile, Wanted};
pub use hosts::{MAX_HOSTS, MAX_SAVED};
pub use results::{Found, Hidden, MAX_ALL_SOURCES, MAX_FILES, MAX_SOURCES, Source};
pub use search::MAX_SEARCHES;

use crate::Time;
use crate::rng::Rng;
use crate::token_bucket::TokenBucket;
pub(crate) use addresses::may_use;
use bootstrap::{Ask, Bootstrap};
use hosts::Hosts;
use links::{Link, Shared};
use playswarm_proto::address_class::AddressClass;
use playswarm_proto::gnutella::{Guid, Message, QueryHit, STOP_QUERY, VendorMessage};
use search::Search;
use secrets::Secrets;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddrV4};
use std::time::Duration;
use udp::Datagrams;

/// Time between two times at which hosts are saved.
const SAVE_EVERY: Duration = Duration::from_secs(5 * 60);
/// Hops that a query of ours may make.
const QUERY_TTL: u8 = 4;
/// Time for which a push to a servent is not repeated, and most pushes in that time.
const PUSH_PAUSE: Duration = Duration::from_secs(20);
const MAX_PUSHES: usize = 8;

/// The state machine of the leaf; see the [module](self).
#[derive(Debug)]
pub struct Leaf {
    /// Time of the last input.
    now: Time,
    links_wanted: usize,
    servent: Guid,
    secrets: Secrets,
    rng: Rng,
    hosts: Hosts,
    bootstrap: Bootstrap,
    links: BTreeMap<LinkKey, Link>,
    next_link: u32,
    /// Tokens for attempts to connect.
    dials: TokenBucket,
    /// When the last ultrapeer was lost.
    alone_since: Time,
    datagrams: Datagrams,
    reachable: Option<SocketAddrV4>,
    shared: Vec<Shared>,
    searches: Vec<Search>,
    pushes: BTreeMap<Guid, Time>,
    save_at: Time,
    outputs: VecDeque<Output>,
}

impl Leaf {
    /// Creates a leaf, which begins with its first input.
    pub fn new(now: Time, config: &Config) -> Leaf {
        let mut secrets = Secrets::new(config.key);
        Leaf {
            now,
            links_wanted: config.links.clamp(*LINKS.start(), *LINKS.end()),
            servent: secrets.guid(),
            rng: Rng::new(secrets.seed()),
            secrets,
            hosts: Hosts::new(&config.hosts),
            bootstrap: Bootstrap::new(if config.udp { config.udp_caches } else { 0 }, config.web_caches),
            links: BTreeMap::new(),
            next_link: 0,
            dials: links::dials(now),
            alone_since: now,
            datagrams: Datagrams::new(now, config.udp),
            reachable: None,
            shared: Vec::new(),
            searches: Vec::new(),
            pushes: BTreeMap::new(),
            save_at: now + SAVE_EVERY,
            outputs: VecDeque::new(),
        }
    }

    /// Returns the identifier of this servent, for the handshake and for pushes. It is new in each
    /// session.
    pub fn servent(&self) -> Guid {
        self.servent
    }

    /// Returns the hosts to save, the best first.
    pub fn hosts(&self) -> Vec<SocketAddrV4> {
        self.hosts.saved()
    }

    /// Returns the files that a search found, hidden ones too, those of the most networks first.
    pub fn results(&self, search: SearchKey) -> Vec<&Found> {
        self.search(search).map(|search| search.results.files()).unwrap_or_default()
    }

    /// Returns the addresses of the ultrapeers.
    pub fn ultrapeers(&self) -> Vec<SocketAddrV4> {
        self.links.values().filter(|link| link.is_up()).map(|link| link.address).collect()
    }

    /// Handles an event at time `now`.
    pub fn handle(&mut self, now: Time, input: Input) {
        self.now = self.now.max(now);
        match input {
            Input::Connected { link } => self.connected(link),
            Input::Refused { link, others, banned } => self.refused(link, &others, banned),
            Input::Closed { link } => self.closed(link),
            Input::Message { link, frame } => self.message(link, &frame),
            Input::Datagram { from, frame } => self.datagram(from, &frame),
            Input::Resolved { cache, address } => {
                address.into_iter().for_each(|address| self.ping_cache(cache, address));
            }
            Input::Fetched { cache, hosts } => {
                if !hosts.is_empty() {
                    self.bootstrap.answered(now, Ask::Web(cache));
                }
                self.learn(&hosts, AddressClass::Global, false);
            }
            Input::Reachable(address) => self.set_reachable(address),
            Input::Share(files) => self.share(files),
            Input::Search { search, wanted } => self.begin(search, wanted),
            Input::Forget { search } => self.forget(search),
            Input::Push { search, servent } => self.push(search, servent),
            Input::Probe { address, sha1 } => self.probe(address, sha1),
            Input::Timeout => {}
        }
        self.proceed();
    }

    /// Returns the next action.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns the latest time for [`Input::Timeout`].
    pub fn next_timeout(&self) -> Time {
        let searches = self.searches.iter().map(Search::next_timeout);
        let links = self.links.values().map(Link::next_timeout);
        let caches = if self.is_alone() { self.bootstrap.next_timeout(self.alone_since) } else { Time::NEVER };
        searches.chain(links).chain([caches, self.next_dial(), self.save_at]).min().unwrap_or(Time::NEVER)
    }

    /// Does what is due.
    fn proceed(&mut self) {
        self.keep_links();
        self.dial();
        while let Some(ask) = self.next_cache() {
            self.outputs.push_back(match ask {
                Ask::Udp(cache) => Output::Resolve { cache },
                Ask::Web(cache) => Output::Fetch { cache },
            });
        }
        self.end_searches();
        self.guess();
        if self.now >= self.save_at {
            self.save_at = self.now + SAVE_EVERY;
            if self.hosts.take_changed() {
                self.outputs.push_back(Output::SaveHosts);
            }
        }
    }

    fn next_cache(&mut self) -> Option<Ask> {
        let (now, since, has_hosts) = (self.now, self.alone_since, self.hosts.len() > 0);
        self.is_alone().then(|| self.bootstrap.take(now, since, has_hosts))?
    }

    /// Whether an address that a source of this class names is used.
    fn may_use(&self, address: SocketAddrV4, source: AddressClass) -> bool {
        may_use(address.into(), source, self.reachable)
    }

    /// Adds hosts that a source of this class names. Returns whether all are known then.
    fn learn(&mut self, hosts: &[SocketAddrV4], source: AddressClass, has_slots: bool) -> bool {
        let kept = hosts.iter().filter(|host| self.may_use(**host, source) && self.hosts.add(**host, has_slots));
        kept.count() == hosts.len()
    }

    /// Queues a message that begins here, for a link. Returns whether it can be written.
    fn send(&mut self, link: LinkKey, message: &Message, guid: Guid, ttl: u8) -> bool {
        let Ok(bytes) = message.encode(guid, ttl) else { return false };
        self.outputs.push_back(Output::Send { link, bytes });
        true
    }

    /// Queues a vendor message with a new identifier.
    fn send_vendor(&mut self, link: LinkKey, message: VendorMessage) {
        let guid = self.secrets.guid();
        self.send(link, &Message::Vendor(message), guid, 1);
    }

    fn search(&self, key: SearchKey) -> Option<&Search> {
        self.searches.iter().find(|search| search.key == key)
    }

    /// Returns the search whose query has this identifier.
    fn search_of(&mut self, guid: Guid) -> Option<&mut Search> {
        self.searches.iter_mut().find(|search| search.guid == guid)
    }

    fn begin(&mut self, key: SearchKey, wanted: Wanted) {
        if self.searches.len() >= MAX_SEARCHES {
            // The oldest one that has ended makes room, or the oldest one.
            let ended = self.searches.iter().position(|search| !search.is_active());
            let search = self.searches[ended.unwrap_or_default()].key;
            self.forget(search);
            if ended.is_none() {
                self.outputs.push_back(Output::Ended { search, end: End::Replaced });
            }
        }
        let guid = self.secrets.guid();
        self.searches.push(Search::new(self.now, key, guid, self.reachable, wanted));
        let links: Vec<_> = self.links.iter().filter(|(_, link)| link.is_up()).map(|(key, _)| *key).collect();
        links.into_iter().for_each(|link| self.ask(link));
    }

    /// Sends the queries of all searches to an ultrapeer that has them not.
    fn ask(&mut self, link: LinkKey) {
        for at in 0..self.searches.len() {
            let search = &self.searches[at];
            if search.is_active() && !search.asked.contains(&link) {
                let (guid, query) = (search.guid, search.query(self.reachable, None));
                let is_sent = query.is_some_and(|query| self.send(link, &Message::Query(query), guid, QUERY_TTL));
                self.searches[at].asked(link, is_sent);
            }
        }
    }

    /// Adds a hit that came over a host of this class.
    fn found(&mut self, guid: Guid, hit: &QueryHit, source: IpAddr, link: Option<LinkKey>) {
        let (ours, servent) = (self.reachable, self.servent);
        let Some(search) = self.search_of(guid).filter(|search| search.is_active()) else { return };
        if hit.servent == servent {
            return;
        }
        let count = u16::try_from(hit.records.len()).unwrap_or(u16::MAX);
        search.hits = search.hits.saturating_add(count).min(STOP_QUERY - 1);
        let key = search.key;
        let usable = |address| may_use(address, AddressClass::of(source), ours);
        if search.results.add(&search.wanted, hit, usable, link) {
            self.outputs.push_back(Output::Found { search: key });
        }
    }

    fn end_searches(&mut self) {
        let now = self.now;
        let mut ended = Vec::new();
        for search in &mut self.searches {
            if let Some(end) = search.end(now) {
                ended.push((search.key, search.guid, std::mem::take(&mut search.asked), end));
            }
        }
        for (search, guid, asked, end) in ended {
            self.stop_query(guid, asked.into_iter().collect());
            self.outputs.push_back(Output::Ended { search, end });
        }
    }

    /// Tells ultrapeers that no more results are wanted.
    fn stop_query(&mut self, guid: Guid, asked: Vec<LinkKey>) {
        for link in asked {
            if self.links.get(&link).is_some_and(Link::is_up) {
                self.send(link, &Message::Vendor(VendorMessage::QueryStatus(STOP_QUERY)), guid, 1);
            }
        }
    }

    fn forget(&mut self, key: SearchKey) {
        let Some(at) = self.searches.iter().position(|search| search.key == key) else { return };
        let search = self.searches.remove(at);
        if search.is_active() {
            self.stop_query(search.guid, search.asked.into_iter().collect());
        }
    }
}
