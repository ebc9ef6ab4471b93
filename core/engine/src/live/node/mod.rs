//! The driver of a channel: owns its connections and clock, and carries out its decisions. `find` looks
//! for other nodes, `talk` reads and writes messages.
//!
//! [`Node::enter`] is the only place that locks the machine, drains its outputs and sets the timer.

mod find;
mod look;
mod talk;

use super::archive::Archive;
use super::channels::Channels;
use super::link::{Outlet, Sender};
use crate::discovery;
use crate::discovery::web::Web;
use crate::random;
use crate::session;
use crate::swarm::handshake::HandshakeError;
use crate::swarm::link::Link;
use crate::swarm::listen::{Host, Registry};
use crate::swarm::transport::{ConnectError, Manner, Transport};
use bytes::Bytes;
use parking_lot::Mutex;
use playswarm_logic::channel::{Channel, Config, Input, Output, Source, Urgency};
use playswarm_logic::relay::{self, Dialled};
use playswarm_logic::torrent::greeting::Greeting;
use playswarm_logic::{PeerKey, Time};
use playswarm_proto::address_class::subscriber;
use playswarm_proto::live::{BadHead, Beacon, ChannelKey, NodeId};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use talk::{extended, greeting, read, write};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Time between two looks at what waits for the connections.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Time between two looks at whether the end of the stream was sent.
const LOOK_AT_END: Duration = Duration::from_millis(20);
/// Time within which a node that leaves has said so.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);
/// Most banned addresses remembered.
const MAX_BANNED: usize = 1024;

/// What a node needs of its session.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) transport: Arc<Transport>,
    pub(crate) discovery: Arc<discovery::Shared>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) channels: Arc<Channels>,
    /// Callers may be on any thread.
    pub(crate) runtime: Handle,
    /// Opens the torrents of archives.
    pub(crate) session: Weak<session::Shared>,
}

/// A node of a channel; see the [module](self).
pub(crate) struct Node {
    key: ChannelKey,
    is_source: bool,
    around: Surroundings,
    inside: Mutex<Inside>,
    sender: Sender,
    epoch: Instant,
    rearm: Notify,
    /// Wakes readers.
    pub(super) news: Notify,
    /// The channel knows no address that it could ask.
    wanted: Notify,
    left: Notify,
    cancel: CancellationToken,
    leaving: AtomicBool,
    /// Open streams.
    readers: AtomicUsize,
    /// How far behind the newest group a player begins, if the source does not want more.
    margin_s: f64,
    archive: OnceLock<Arc<Archive>>,
    this: Weak<Node>,
}

struct Inside {
    channel: Channel,
    /// Time for which the timer is set.
    armed: Time,
    links: BTreeMap<PeerKey, Connection>,
    next_peer: u32,
    banned: BTreeSet<IpAddr>,
    /// The newest beacon of the source, and its sequence number.
    beacon: Option<(i64, Beacon)>,
    ended: bool,
    delay_ms: Option<u64>,
    gaps: u64,
}

impl Inside {
    fn is_banned(&self, addr: SocketAddr) -> bool {
        self.banned.contains(&subscriber(addr.ip()))
    }
}

/// A connection of which the channel knows.
struct Opened {
    key: PeerKey,
    outlet: Arc<Outlet>,
    cancel: CancellationToken,
}

struct Connection {
    remote: SocketAddr,
    /// Whether the node listens at that address.
    is_dialled: bool,
    /// Ends both tasks of the connection.
    _cancel: tokio_util::sync::DropGuard,
}

impl Node {
    pub(super) fn cast(
        settings: &Config,
        around: Surroundings,
        source: impl FnOnce(Time, u64) -> Result<Source, BadHead>,
    ) -> Result<Arc<Node>, BadHead> {
        let source = source(Time::ZERO, unix_ms())?;
        let port = around.transport.listen_addr().port();
        let channel = Channel::source(Time::ZERO, source, &seeded(settings), NodeId(random::number()), port);
        let node = Node::start(channel, true, settings, around);
        node.around.discovery.spawn(find::publish(node.clone()));
        Ok(node)
    }

    pub(super) fn watch(key: ChannelKey, settings: &Config, around: Surroundings) -> Arc<Node> {
        let port = around.transport.listen_addr().port();
        let channel = Channel::new(Time::ZERO, key, &seeded(settings), NodeId(random::number()), port);
        Node::start(channel, false, settings, around)
    }

    fn start(channel: Channel, is_source: bool, settings: &Config, around: Surroundings) -> Arc<Node> {
        let cancel = around.discovery.ends().child_token();
        let epoch = Instant::now();
        let sender = Sender::new(epoch);
        let node = Arc::new_cyclic(|this| Node {
            key: channel.key(),
            is_source,
            around,
            inside: Mutex::new(Inside {
                channel,
                armed: Time::NEVER,
                links: BTreeMap::new(),
                next_peer: 0,
                banned: BTreeSet::new(),
                beacon: None,
                ended: false,
                delay_ms: None,
                gaps: 0,
            }),
            sender,
            epoch,
            rearm: Notify::new(),
            news: Notify::new(),
            wanted: Notify::new(),
            left: Notify::new(),
            cancel,
            leaving: AtomicBool::new(false),
            readers: AtomicUsize::new(0),
            margin_s: settings.stripe.margin_s,
            archive: OnceLock::new(),
            this: this.clone(),
        });
        tokio::spawn(keep_time(node.clone()));
        tokio::spawn(find::look(node.clone()));
        node
    }

    /// Changes the upload that the node gives, bytes per second. `None` if it is not limited: the relay
    /// then finds out what the line carries.
    pub(super) fn set_upload(&self, bytes_per_s: Option<f64>) {
        match bytes_per_s {
            Some(bytes_per_s) => {
                self.sender.set_rate(bytes_per_s);
                self.tell(Input::Relay(relay::Input::Upload(bytes_per_s)));
            }
            None => self.tell(Input::Relay(relay::Input::UploadUnknown)),
        }
    }

    pub(crate) fn key(&self) -> ChannelKey {
        self.key
    }

    /// Returns the session's HTTP clients.
    pub(super) fn web(&self) -> &Web {
        self.around.discovery.web()
    }

    /// Returns the address at which the session accepts connections.
    pub(super) fn listen_addr(&self) -> SocketAddr {
        self.around.transport.listen_addr()
    }

    fn now(&self) -> Time {
        Time::ZERO + self.epoch.elapsed()
    }

    /// Passes an event to the channel.
    pub(super) fn tell(&self, input: Input) {
        self.enter(|inside, now| inside.channel.handle(now, input));
    }

    /// Runs `work` on the state, then carries out the outputs.
    fn enter<R>(&self, work: impl FnOnce(&mut Inside, Time) -> R) -> R {
        let mut inside = self.inside.lock();
        // Read under the lock, so that the channel's time never goes back.
        let now = self.now();
        let result = work(&mut inside, now);
        // An output may lead to further inputs: a node that does not read is left.
        let (mut news, mut sends) = (false, false);
        while let Some(output) = inside.channel.poll() {
            sends |= matches!(output, Output::Send(..));
            news |= matches!(
                output,
                Output::Ready { .. }
                    | Output::Skip { .. }
                    | Output::Head { .. }
                    | Output::Minute(_)
                    | Output::Title
                    | Output::Ended
            );
            self.carry_out(&mut inside, now, output);
        }
        let next = inside.channel.next_timeout();
        let rearm = next < inside.armed;
        if rearm {
            inside.armed = next;
        }
        drop(inside);
        if sends {
            self.sender.hand_out();
        }
        if rearm {
            self.rearm.notify_one();
        }
        if news {
            self.news.notify_waiters();
        }
        result
    }

    fn carry_out(&self, inside: &mut Inside, now: Time, output: Output) {
        match output {
            Output::Send(peer, message, urgency) => self.send(inside, now, peer, message, urgency),
            Output::Dial(addr) if inside.is_banned(addr) => {
                inside.channel.handle(now, Input::Relay(relay::Input::Dialled(addr, Dialled::Failed)));
            }
            Output::Dial(addr) => {
                if let Some(node) = self.this.upgrade() {
                    self.around.runtime.spawn(node.dial(addr));
                }
            }
            Output::Close(peer) => drop(self.drop_link(inside, peer)),
            Output::Ban(peer) => {
                if let Some(link) = self.drop_link(inside, peer) {
                    tracing::debug!(remote = %link.remote, "a node of the channel sent what none may send, and is banned");
                    inside.banned.insert(subscriber(link.remote.ip()));
                    if inside.banned.len() > MAX_BANNED {
                        inside.banned.pop_first();
                    }
                }
            }
            Output::Ready { group } => {
                let born_ms = inside.channel.read(group).map(|(group, _)| group.born_ms);
                inside.delay_ms = born_ms.map(|born_ms| unix_ms().saturating_sub(born_ms));
            }
            Output::Skip { .. } => inside.gaps += 1,
            Output::Head { new_cast: true } => (inside.ended, inside.delay_ms) = (false, None),
            Output::Ended => inside.ended = true,
            Output::Done => self.left.notify_one(),
            Output::Event(event) => tracing::trace!(?event, "live"),
            Output::WrongParity { group } => tracing::warn!(group, "the source made parity wrongly"),
            Output::Find => self.wanted.notify_one(),
            Output::Head { .. } => {}
            _ => {}
        }
    }

    fn send(&self, inside: &mut Inside, now: Time, peer: PeerKey, message: Bytes, urgency: Urgency) {
        if !self.sender.push(peer, message, urgency) {
            tracing::debug!(?peer, "a node of the channel does not read, and is left");
            self.drop_link(inside, peer);
            inside.channel.handle(now, Input::Left(peer));
        }
    }

    fn drop_link(&self, inside: &mut Inside, peer: PeerKey) -> Option<Connection> {
        self.sender.close(peer);
        inside.links.remove(&peer)
    }

    async fn dial(self: Arc<Self>, addr: SocketAddr) {
        let opened: Mutex<Option<Opened>> = Mutex::new(None);
        // Called once the connection is open, again if it has to be opened anew. What the channel
        // says then travels with our handshake: nothing of it depends on that of the other side.
        let words = || {
            let new = self.open(addr, |peer| relay::Input::Dialled(addr, Dialled::Connected(peer)));
            let mut words = greeting(&self.around.transport);
            words.more.extend(self.sender.first(new.key).into_iter().map(extended));
            let old = opened.lock().replace(new);
            if let Some(old) = old {
                self.ended(old.key);
            }
            words
        };
        let dialled = tokio::select! {
            () = self.cancel.cancelled() => return,
            dialled = self.around.transport.connect(addr, self.key.id(), &words, Manner::default()) => dialled,
        };
        match (dialled, opened.into_inner()) {
            (Ok(link), Some(opened)) => self.run(link, opened),
            (Ok(_), None) => {}
            (Err(e), opened) => {
                tracing::debug!(%addr, "cannot connect to a node of the channel: {e}");
                if let Some(opened) = opened {
                    self.ended(opened.key);
                }
                let ourselves = matches!(e, ConnectError::Handshake(HandshakeError::Ourselves));
                let how = if ourselves { Dialled::Ourselves } else { Dialled::Failed };
                self.tell(Input::Relay(relay::Input::Dialled(addr, how)));
            }
        }
    }

    /// Tells the channel of a new connection. What it says there waits.
    fn open(&self, remote: SocketAddr, input: impl FnOnce(PeerKey) -> relay::Input) -> Opened {
        let cancel = self.cancel.child_token();
        let guard = cancel.clone().drop_guard();
        let (key, outlet) = self.enter(|inside, now| {
            let key = PeerKey(inside.next_peer);
            inside.next_peer += 1;
            let outlet = self.sender.open(key);
            let input = input(key);
            let is_dialled = matches!(input, relay::Input::Dialled(..));
            inside.links.insert(key, Connection { remote, is_dialled, _cancel: guard });
            inside.channel.handle(now, Input::Relay(input));
            (key, outlet)
        });
        Opened { key, outlet, cancel }
    }

    /// Tells the channel that a connection has ended, unless it ended it itself.
    fn ended(&self, key: PeerKey) {
        self.enter(|inside, now| {
            if self.drop_link(inside, key).is_some() {
                inside.channel.handle(now, Input::Left(key));
            }
        });
    }

    /// Reads and writes messages until a connection ends.
    fn run(&self, link: Link, opened: Opened) {
        let Some(node) = self.this.upgrade() else { return };
        let Link { reader, writer, place, .. } = link;
        let Opened { key, outlet, cancel } = opened;
        let (ends, sending) = (cancel.clone(), node.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = ends.cancelled() => {}
                _ = write(&sending.sender, key, &outlet, writer) => ends.cancel(),
            }
            drop(place);
        });
        tokio::spawn(async move {
            tokio::select! {
                () = cancel.cancelled() => {}
                () = read(&node, key, reader) => {}
            }
            cancel.cancel();
            node.ended(key);
        });
    }

    /// Returns once all messages were handed to the connections.
    pub(super) async fn all_sent(&self) {
        while !self.sender.is_idle() {
            tokio::time::sleep(LOOK_AT_END).await;
        }
    }

    /// Leaves the channel, and returns once that is done.
    pub(super) async fn leave(&self) {
        self.leaving.store(true, Ordering::SeqCst);
        self.tell(Input::Relay(relay::Input::Leave));
        let _ = tokio::time::timeout(LEAVE_WITHIN, self.left.notified()).await;
        self.close();
    }

    pub(crate) fn close(&self) {
        self.cancel.cancel();
        self.inside.lock().links.clear();
        self.news.notify_waiters();
    }
}

impl Host for Node {
    fn admits(&self, remote: SocketAddr) -> bool {
        !self.cancel.is_cancelled() && !self.inside.lock().is_banned(remote)
    }

    fn first_words(&self) -> Greeting {
        greeting(&self.around.transport)
    }

    fn take(&self, mut link: Link) {
        if !self.cancel.is_cancelled() {
            let remote = link.remote;
            let opened = self.open(remote, |peer| relay::Input::Incoming(peer, remote));
            // A request that came with the handshake is answered in the same write as our hello.
            self.hear(opened.key, &mut link.reader.buffered());
            self.run(link, opened);
        }
    }
}

/// Returns the wall clock, milliseconds since 1970.
fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

fn seeded(settings: &Config) -> Config {
    let mut settings = settings.clone();
    settings.relay.seed = random::number();
    settings
}

/// Passes timeouts to the channel, and how long data waits for its connections, until it is closed.
async fn keep_time(node: Arc<Node>) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let at = {
            let mut inside = node.inside.lock();
            inside.armed = inside.channel.next_timeout();
            (inside.armed != Time::NEVER).then(|| node.epoch + Duration::from_micros(inside.armed.0))
        };
        let timer = async {
            match at {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = node.cancel.cancelled() => return,
            () = timer => node.tell(Input::Timeout),
            () = node.rearm.notified() => {}
            () = node.sender.keep_time() => {}
            _ = look.tick() => {
                for (peer, delay) in node.sender.delays() {
                    node.tell(Input::Relay(relay::Input::Queue(peer, delay.as_secs_f64())));
                }
            }
        }
    }
}
