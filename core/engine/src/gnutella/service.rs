//! The leaf of a session, and its lookups in the DHT: owns their connections, their UDP socket and their
//! clock, and carries out their decisions.
//!
//! [`Service::enter`] is the only place that locks the machines, drains their outputs and sets the timer.

use super::lookup::{Event, Lookup};
use super::settings::Caches;
use super::{hosts, link};
use crate::config::Config;
use crate::discovery;
use crate::error::Result;
use crate::network::Network;
use bytes::Bytes;
use parking_lot::Mutex;
use playswarm_logic::Time;
use playswarm_logic::gnutella::dht::{self, Dht, LookupKey, Target};
use playswarm_logic::gnutella::{self, End, Input, LINKS, Leaf, LinkKey, Output, SearchKey, Wanted};
use playswarm_proto::gnutella::{Frame, Guid, HeadPong, kind};
use playswarm_proto::sha1::Digest;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use tokio::runtime::Handle;
use tokio::sync::{Notify, broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Longest datagram, bytes.
const MAX_DATAGRAM_BYTES: usize = 64 << 10;
/// Pause after an error of the UDP socket, such as that of a network that is down.
const SOCKET_PAUSE: Duration = Duration::from_millis(200);
/// Answers to probes that wait for a slow receiver; older ones are lost.
const MAX_PROBES: usize = 64;

/// What a servent answered to [`Input::Probe`]: its address, SHA-1 of the file, and the answer.
pub(crate) type Probed = (SocketAddrV4, Digest, HeadPong);

/// Changes with each new result of a search, and has the reason for its end.
pub(super) type Progress = watch::Receiver<Option<End>>;

/// The leaf of a session; see the [module](self).
pub(crate) struct Service {
    discovery: Arc<discovery::Shared>,
    caches: Caches,
    /// Folder in which hosts and nodes are saved.
    dir: Option<PathBuf>,
    servent: Guid,
    socket: Option<UdpSocket>,
    inside: Mutex<Inside>,
    /// Answers to probes, for all who subscribe.
    pub(crate) probed: broadcast::Sender<Probed>,
    epoch: Instant,
    rearm: Notify,
    cancel: CancellationToken,
    runtime: Handle,
    this: Weak<Service>,
}

struct Inside {
    leaf: Leaf,
    dht: Dht,
    /// Time for which the timer is set.
    armed: Time,
    /// Messages to the ultrapeers; without its entry, a connection is closed.
    outboxes: BTreeMap<LinkKey, mpsc::Sender<Bytes>>,
    searches: BTreeMap<SearchKey, watch::Sender<Option<End>>>,
    next_search: u32,
    lookups: BTreeMap<LookupKey, mpsc::UnboundedSender<Event>>,
    next_lookup: u32,
    /// Attempts to connect so far.
    dials: usize,
}

impl Inside {
    /// Returns the next time at which a machine has something to do.
    fn next_timeout(&self) -> Time {
        self.leaf.next_timeout().min(self.dht.next_timeout())
    }
}

impl Service {
    /// Starts the leaf. Call it within the session's runtime.
    ///
    /// # Errors
    /// Returns [`Error::BadConfig`](crate::Error::BadConfig) for a cache that is none.
    pub(super) fn start(config: &Config, discovery: &Arc<discovery::Shared>) -> Result<Arc<Service>> {
        let caches = config.gnutella.caches()?;
        let mut known = config.gnutella.hosts.clone();
        known.extend(hosts::load(&config.dir, hosts::HOSTS));
        let mut nodes = hosts::load(&config.dir, hosts::NODES);
        // An ultrapeer is mostly a node too.
        nodes.extend(&config.gnutella.hosts);
        let socket = open_socket(discovery.network(), &config.gnutella.hosts);
        let settings = gnutella::Config {
            key: random_key(),
            links: *LINKS.start(),
            hosts: known,
            udp_caches: caches.udp.len(),
            web_caches: caches.web.len(),
            udp: socket.is_some(),
        };
        let leaf = Leaf::new(Time::ZERO, &settings);
        let service = Arc::new_cyclic(|this| Service {
            discovery: discovery.clone(),
            caches,
            dir: (!config.read_only).then(|| config.dir.clone()),
            servent: leaf.servent(),
            socket,
            inside: Mutex::new(Inside {
                leaf,
                dht: Dht::new(Time::ZERO, &dht::Config { key: random_key(), nodes }),
                armed: Time::NEVER,
                outboxes: BTreeMap::new(),
                searches: BTreeMap::new(),
                next_search: 0,
                lookups: BTreeMap::new(),
                next_lookup: 0,
                dials: 0,
            }),
            probed: broadcast::Sender::new(MAX_PROBES),
            epoch: Instant::now(),
            rearm: Notify::new(),
            cancel: discovery.ends().child_token(),
            runtime: Handle::current(),
            this: this.clone(),
        });
        // The first input: the leaf begins.
        service.tell(Input::Timeout);
        tokio::spawn(keep_time(service.clone()));
        tokio::spawn(receive(service.clone()));
        Ok(service)
    }

    /// Returns the identifier of our servent, new in each session.
    pub(crate) fn servent(&self) -> Guid {
        self.servent
    }

    pub(super) fn discovery(&self) -> &discovery::Shared {
        &self.discovery
    }

    pub(super) fn has_well_known_caches(&self) -> bool {
        self.caches.is_well_known
    }

    /// Waits until the service is closed.
    pub(super) async fn closed(&self) {
        self.cancel.cancelled().await;
    }

    pub(super) fn network(&self) -> &Network {
        self.discovery.network()
    }

    pub(super) fn now(&self) -> Time {
        Time::ZERO + self.epoch.elapsed()
    }

    /// Reads the state of the leaf.
    pub(crate) fn look<R>(&self, work: impl FnOnce(&Leaf) -> R) -> R {
        work(&self.inside.lock().leaf)
    }

    /// Returns the number of attempts to connect so far.
    pub(super) fn dials(&self) -> usize {
        self.inside.lock().dials
    }

    /// Passes an event to the leaf.
    pub(crate) fn tell(&self, input: Input) {
        self.enter(|inside, now| inside.leaf.handle(now, input));
    }

    /// Sends a datagram, unless the network policy forbids it. Like any other it may be lost.
    pub(crate) fn send_datagram(&self, to: SocketAddrV4, bytes: &[u8]) {
        let Some(socket) = &self.socket else { return };
        if let Err(e) = self.network().permit_again(to.into()).and_then(|()| socket.try_send_to(bytes, to.into())) {
            tracing::trace!(%to, "a datagram is not sent: {e}");
        }
    }

    /// Begins a search.
    pub(super) fn search(&self, wanted: Wanted) -> (SearchKey, Progress) {
        self.enter(|inside, now| {
            let search = SearchKey(inside.next_search);
            inside.next_search += 1;
            let (sender, progress) = watch::channel(None);
            inside.searches.insert(search, sender);
            inside.leaf.handle(now, Input::Search { search, wanted });
            (search, progress)
        })
    }

    /// Ends a search, and forgets its results.
    pub(super) fn forget(&self, search: SearchKey) {
        self.enter(|inside, now| {
            inside.searches.remove(&search);
            inside.leaf.handle(now, Input::Forget { search });
        });
    }

    /// Looks up in the DHT which servents have the file of a SHA-1.
    pub(crate) fn lookup(self: &Arc<Self>, sha1: Digest) -> Lookup {
        let (sender, events) = mpsc::unbounded_channel();
        let key = self.enter(|inside, now| {
            let lookup = LookupKey(inside.next_lookup);
            inside.next_lookup += 1;
            if !self.cancel.is_cancelled() {
                inside.lookups.insert(lookup, sender);
                inside.dht.handle(now, dht::Input::Find { lookup, target: Target::Sources(sha1) });
            }
            lookup
        });
        Lookup::new(self.clone(), key, events)
    }

    /// Ends a lookup.
    pub(super) fn forget_lookup(&self, lookup: LookupKey) {
        self.enter(|inside, now| {
            inside.lookups.remove(&lookup);
            inside.dht.handle(now, dht::Input::Forget { lookup });
        });
    }

    /// Closes all connections, ends all searches and lookups, and saves hosts and nodes.
    pub(super) fn close(&self) {
        if self.cancel.is_cancelled() {
            return;
        }
        self.cancel.cancel();
        let (hosts, nodes) = {
            let mut inside = self.inside.lock();
            inside.outboxes.clear();
            inside.searches.clear();
            inside.lookups.clear();
            (inside.leaf.hosts(), inside.dht.nodes())
        };
        if let Some(dir) = &self.dir {
            hosts::save(dir, hosts::HOSTS, &hosts);
            hosts::save(dir, hosts::NODES, &nodes);
        }
    }

    /// Runs `work` on the state, then carries out the outputs. None of them waits.
    fn enter<R>(&self, work: impl FnOnce(&mut Inside, Time) -> R) -> R {
        let mut inside = self.inside.lock();
        // Read under the lock, so that the leaf's time never goes back.
        let now = self.now();
        let result = work(&mut inside, now);
        while let Some(output) = inside.leaf.poll() {
            self.carry_out(&mut inside, now, output);
        }
        // The leaf names nodes, but the DHT tells the leaf nothing.
        while let Some(output) = inside.dht.poll() {
            self.carry_out_for_dht(&mut inside, output);
        }
        let next = inside.next_timeout();
        let rearm = next < inside.armed;
        if rearm {
            inside.armed = next;
        }
        drop(inside);
        if rearm {
            self.rearm.notify_one();
        }
        result
    }

    fn carry_out(&self, inside: &mut Inside, now: Time, output: Output) {
        match output {
            Output::Dial { link, address } => {
                let (outbox, messages) = mpsc::channel(link::MAX_WAITING);
                inside.outboxes.insert(link, outbox);
                inside.dials += 1;
                self.spawn(|service| async move { link::run(&service, link, address, messages).await });
            }
            Output::Send { link, bytes } => {
                if inside.outboxes.get(&link).is_some_and(|outbox| outbox.try_send(bytes).is_err()) {
                    inside.outboxes.remove(&link);
                    inside.leaf.handle(now, Input::Closed { link });
                }
            }
            Output::Close { link } => drop(inside.outboxes.remove(&link)),
            Output::SendTo { to, bytes } => self.send_datagram(to, &bytes),
            Output::Resolve { cache } => {
                if let Some(at) = self.caches.udp.get(cache).cloned() {
                    self.spawn(|service| async move { hosts::resolve(&service, cache, &at).await });
                }
            }
            Output::Fetch { cache } => {
                if let Some(at) = self.caches.web.get(cache).cloned() {
                    self.spawn(|service| async move { hosts::fetch(&service, cache, &at).await });
                }
            }
            Output::Found { search } => {
                if let Some(search) = inside.searches.get(&search) {
                    search.send_modify(|_| {});
                }
            }
            Output::Ended { search, end } => {
                if let Some(search) = inside.searches.get(&search) {
                    search.send_replace(Some(end));
                }
            }
            Output::Nodes { by, nodes } => inside.dht.handle(now, dht::Input::Named { by, nodes }),
            Output::Probed { address, sha1, pong } => drop(self.probed.send((address, sha1, pong))),
            Output::SaveHosts => self.save(hosts::HOSTS, inside.leaf.hosts()),
        }
    }

    fn carry_out_for_dht(&self, inside: &mut Inside, output: dht::Output) {
        // A lookup that nobody reads any more is about to be forgotten.
        match output {
            dht::Output::SendTo { to, bytes } => self.send_datagram(to, &bytes),
            dht::Output::Found { lookup, found } => {
                if let Some(events) = inside.lookups.get(&lookup) {
                    let _ = events.send(Event::Found(found));
                }
            }
            dht::Output::Ended { lookup, end } => {
                if let Some(events) = inside.lookups.remove(&lookup) {
                    let _ = events.send(Event::Ended(end));
                }
            }
            dht::Output::SaveNodes => self.save(hosts::NODES, inside.dht.nodes()),
        }
    }

    /// Saves addresses for the next session, apart from this thread.
    fn save(&self, file: &'static str, addresses: Vec<SocketAddrV4>) {
        if let Some(dir) = self.dir.clone() {
            self.runtime.spawn_blocking(move || hosts::save(&dir, file, &addresses));
        }
    }

    /// Does work beside the others that leads to an input, until the service is closed.
    fn spawn<F: Future<Output = Input> + Send + 'static>(&self, work: impl FnOnce(Arc<Service>) -> F) {
        let Some(service) = self.this.upgrade() else { return };
        let work = work(service.clone());
        self.runtime.spawn(async move {
            tokio::select! {
                () = service.cancel.cancelled() => {}
                input = work => service.tell(input),
            }
        });
    }

    /// Passes on a datagram.
    fn heard(&self, from: SocketAddrV4, datagram: &Bytes) {
        match Frame::from_datagram(datagram) {
            Ok(frame) if frame.header.kind == kind::DHT => {
                self.enter(|inside, now| inside.dht.handle(now, dht::Input::Datagram { from, frame }));
            }
            Ok(frame) => self.tell(Input::Datagram { from, frame }),
            Err(why) => tracing::trace!(%from, "a datagram is ignored: {why}"),
        }
    }
}

/// Returns the only source of what strangers must not guess.
fn random_key() -> [u8; 32] {
    let mut key = [0; 32];
    crate::random::fill(&mut key);
    key
}

/// Opens the UDP socket; `None` where there can be none, as with a proxy. Hosts that the user named
/// tell whether the network is on this machine.
fn open_socket(network: &Network, hosts: &[SocketAddrV4]) -> Option<UdpSocket> {
    let far = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
    let near = hosts.iter().find(|host| host.ip().is_loopback()).copied();
    let socket = network.udp_for_many(near.unwrap_or(far).into());
    socket.inspect_err(|e| tracing::info!("no datagrams of the Gnutella network: {e}")).ok()
}

/// Passes on the datagrams that come, until the service is closed.
async fn receive(service: Arc<Service>) {
    let Some(socket) = &service.socket else { return };
    let mut buffer = vec![0; MAX_DATAGRAM_BYTES];
    loop {
        let received = tokio::select! {
            () = service.cancel.cancelled() => return,
            received = socket.recv_from(&mut buffer) => received,
        };
        match received {
            Ok((length, SocketAddr::V4(from))) if !service.network().blocks((*from.ip()).into()) => {
                service.heard(from, &Bytes::copy_from_slice(&buffer[..length]));
            }
            Ok(_) => {}
            Err(_) => tokio::time::sleep(SOCKET_PAUSE).await,
        }
    }
}

/// Passes timeouts to the machines, until the service is closed.
async fn keep_time(service: Arc<Service>) {
    loop {
        let at = {
            let mut inside = service.inside.lock();
            inside.armed = inside.next_timeout();
            (inside.armed != Time::NEVER).then(|| service.epoch + inside.armed.since(Time::ZERO))
        };
        let timer = async {
            match at {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = service.cancel.cancelled() => return,
            () = timer => service.enter(|inside, now| {
                inside.leaf.handle(now, Input::Timeout);
                inside.dht.handle(now, dht::Input::Timeout);
            }),
            () = service.rearm.notified() => {}
        }
    }
}
