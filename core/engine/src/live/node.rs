//! The driver of a channel: owns its connections and clock, and carries out its decisions.
//!
//! [`Node::enter`] is the only place that locks the machine, drains its outputs and sets the timer.

use super::ChannelStatus;
use super::link::Queue;
use crate::discovery::resolver::{NamedBy, Resolver};
use crate::random;
use crate::swarm::handshake::HandshakeError;
use crate::swarm::link::{Link, LinkReader, LinkWriter};
use crate::swarm::listen::{Host, Registry};
use crate::swarm::transport::{ConnectError, Manner, Transport};
use bytes::Bytes;
use parking_lot::Mutex;
use playswarm_logic::channel::{Channel, Config, Input, Output, Source};
use playswarm_logic::relay::{self, Dialled};
use playswarm_logic::torrent::greeting::Greeting;
use playswarm_logic::{PeerKey, Time};
use playswarm_proto::PeerAddress;
use playswarm_proto::address_class::subscriber;
use playswarm_proto::extended::{ExtendedHandshake, ours};
use playswarm_proto::handshake::Reserved;
use playswarm_proto::live::{BadHead, ChannelKey, NodeId};
use playswarm_proto::wire::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Upload that a node gives if no limit is set, bytes per second: 10 Mbit/s.
const ASSUMED_UPLOAD: u64 = 1_250_000;
/// Time between two looks at what waits for the connections.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Time within which a node that leaves has said so.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);
/// Most banned addresses remembered.
const MAX_BANNED: usize = 1024;
/// Most bytes that a writer passes to the connection at once. More urgent messages can overtake the
/// rest.
const WRITE_BYTES: usize = 32 << 10;

/// What a node needs of its session.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) transport: Arc<Transport>,
    pub(crate) resolver: Arc<Resolver>,
    pub(crate) registry: Arc<Registry>,
    /// Upload limit in bytes per second, if one is set.
    pub(crate) upload: Option<u64>,
}

/// A node of a channel; see the [module](self).
pub(crate) struct Node {
    key: ChannelKey,
    around: Surroundings,
    inside: Mutex<Inside>,
    epoch: Instant,
    rearm: Notify,
    /// Wakes readers.
    pub(super) news: Notify,
    left: Notify,
    cancel: CancellationToken,
    this: Weak<Node>,
}

struct Inside {
    channel: Channel,
    /// Time for which the timer is set.
    armed: Time,
    links: BTreeMap<PeerKey, Handle>,
    next_peer: u32,
    banned: BTreeSet<IpAddr>,
    ended: bool,
}

struct Handle {
    queue: Arc<Queue>,
    remote: SocketAddr,
    /// Ends both tasks of the connection.
    _cancel: tokio_util::sync::DropGuard,
}

impl Node {
    pub(super) fn cast(
        settings: &Config,
        around: Surroundings,
        source: impl FnOnce(Time, u64) -> Result<Source, BadHead>,
    ) -> Result<Arc<Node>, BadHead> {
        let unix_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64);
        let source = source(Time::ZERO, unix_ms)?;
        let port = around.transport.listen_addr().port();
        let channel = Channel::source(Time::ZERO, source, &seeded(settings), NodeId(random::number()), port);
        Ok(Node::start(channel, around))
    }

    pub(super) fn watch(key: ChannelKey, settings: &Config, around: Surroundings) -> Arc<Node> {
        let port = around.transport.listen_addr().port();
        let channel = Channel::new(Time::ZERO, key, &seeded(settings), NodeId(random::number()), port);
        Node::start(channel, around)
    }

    fn start(channel: Channel, around: Surroundings) -> Arc<Node> {
        let upload = around.upload.unwrap_or(ASSUMED_UPLOAD);
        let cancel = around.transport.cancel.child_token();
        let node = Arc::new_cyclic(|this| Node {
            key: channel.key(),
            around,
            inside: Mutex::new(Inside {
                channel,
                armed: Time::NEVER,
                links: BTreeMap::new(),
                next_peer: 0,
                banned: BTreeSet::new(),
                ended: false,
            }),
            epoch: Instant::now(),
            rearm: Notify::new(),
            news: Notify::new(),
            left: Notify::new(),
            cancel,
            this: this.clone(),
        });
        node.tell(Input::Relay(relay::Input::Upload(upload as f64)));
        tokio::spawn(keep_time(node.clone()));
        node
    }

    pub(crate) fn key(&self) -> ChannelKey {
        self.key
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
        let mut news = false;
        while let Some(output) = inside.channel.poll() {
            news |= matches!(output, Output::Ready { .. } | Output::Skip { .. } | Output::Head { .. } | Output::Ended);
            self.carry_out(&mut inside, now, output);
        }
        let next = inside.channel.next_timeout();
        let rearm = next < inside.armed;
        if rearm {
            inside.armed = next;
        }
        drop(inside);
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
            Output::Send(peer, message, urgency) => {
                let reads = inside.links.get(&peer).is_none_or(|link| link.queue.push(message, urgency));
                if !reads {
                    inside.links.remove(&peer);
                    inside.channel.handle(now, Input::Left(peer));
                }
            }
            Output::Dial(addr) => {
                if let Some(node) = self.this.upgrade() {
                    tokio::spawn(node.dial(addr));
                }
            }
            Output::Close(peer) => drop(inside.links.remove(&peer)),
            Output::Ban(peer) => {
                if let Some(link) = inside.links.remove(&peer) {
                    tracing::debug!(remote = %link.remote, "a node of the channel sent what none may send, and is banned");
                    inside.banned.insert(subscriber(link.remote.ip()));
                    if inside.banned.len() > MAX_BANNED {
                        inside.banned.pop_first();
                    }
                }
            }
            Output::Ended => inside.ended = true,
            Output::Done => self.left.notify_one(),
            Output::Event(event) => tracing::trace!(?event, "live"),
            Output::WrongParity { group } => tracing::warn!(group, "the source made parity wrongly"),
            Output::Find | Output::Head { .. } | Output::Ready { .. } | Output::Skip { .. } => {}
            _ => {}
        }
    }

    /// Reads the channel without changing it, and whether its stream has ended.
    pub(super) fn look<R>(&self, work: impl FnOnce(&Channel, bool) -> R) -> R {
        let inside = self.inside.lock();
        work(&inside.channel, inside.ended || self.cancel.is_cancelled())
    }

    pub(super) fn status(&self) -> ChannelStatus {
        let inside = self.inside.lock();
        let (channel, relay, counts) = (&inside.channel, inside.channel.relay(), inside.channel.counts());
        let stripes = channel.head().map_or(0, |head| head.head().shape.packets());
        let all = 0..stripes as u8;
        ChannelStatus {
            stripes,
            fed: relay.fed(),
            depth: all.clone().map(|stripe| relay.path(stripe).len()).max().unwrap_or(0),
            children: all.map(|stripe| relay.feeds(stripe).len()).sum(),
            connections: inside.links.len(),
            packets: counts.accepted,
            refused: counts.refused,
            restored: counts.restored,
            lost: counts.lost,
        }
    }

    /// Adds an address that the user gave, after its name was looked up.
    pub(super) fn dial_by_name(&self, addr: PeerAddress) {
        let Some(node) = self.this.upgrade() else { return };
        tokio::spawn(async move {
            for addr in node.around.resolver.addresses(&addr, NamedBy::User).await {
                node.tell(Input::Relay(relay::Input::Contact(addr, None)));
            }
        });
    }

    async fn dial(self: Arc<Self>, addr: SocketAddr) {
        let words = || greeting(&self.around.transport);
        let dialled = tokio::select! {
            () = self.cancel.cancelled() => return,
            dialled = self.around.transport.connect(addr, self.key.id(), &words, Manner::default()) => dialled,
        };
        match dialled {
            Ok(link) => self.adopt(link, |peer, _| relay::Input::Dialled(addr, Dialled::Connected(peer))),
            Err(e) => {
                tracing::debug!(%addr, "cannot connect to a node of the channel: {e}");
                let ourselves = matches!(e, ConnectError::Handshake(HandshakeError::Ourselves));
                let how = if ourselves { Dialled::Ourselves } else { Dialled::Failed };
                self.tell(Input::Relay(relay::Input::Dialled(addr, how)));
            }
        }
    }

    /// Takes a connection over.
    fn adopt(&self, link: Link, input: impl FnOnce(PeerKey, SocketAddr) -> relay::Input) {
        let Some(node) = self.this.upgrade().filter(|_| !self.cancel.is_cancelled()) else { return };
        let Link { remote, reader, writer, place, .. } = link;
        let (queue, cancel) = (Arc::new(Queue::default()), self.cancel.child_token());
        let guard = cancel.clone().drop_guard();
        let key = self.enter(|inside, now| {
            let key = PeerKey(inside.next_peer);
            inside.next_peer += 1;
            inside.links.insert(key, Handle { queue: queue.clone(), remote, _cancel: guard });
            inside.channel.handle(now, Input::Relay(input(key, remote)));
            key
        });
        let ends = cancel.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = ends.cancelled() => {}
                _ = write(writer, &queue) => ends.cancel(),
            }
            drop(place);
        });
        tokio::spawn(async move {
            tokio::select! {
                () = cancel.cancelled() => {}
                () = read(&node, key, reader) => {}
            }
            cancel.cancel();
            node.enter(|inside, now| {
                if inside.links.remove(&key).is_some() {
                    inside.channel.handle(now, Input::Left(key));
                }
            });
        });
    }

    /// Leaves the channel, and returns once that is done.
    pub(super) async fn leave(&self) {
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
        !self.cancel.is_cancelled() && !self.inside.lock().banned.contains(&subscriber(remote.ip()))
    }

    fn first_words(&self) -> Greeting {
        greeting(&self.around.transport)
    }

    fn take(&self, link: Link) {
        self.adopt(link, relay::Input::Incoming);
    }
}

fn seeded(settings: &Config) -> Config {
    let mut settings = settings.clone();
    settings.relay.seed = random::number();
    settings
}

/// Returns the first messages: the extended handshake alone. A channel has no pieces.
fn greeting(transport: &Transport) -> Greeting {
    let port = Some(transport.listen_addr().port()).filter(|port| *port != 0);
    let mut extended = ExtendedHandshake::ours(None, port, false, false, false);
    (extended.ut_metadata, extended.lt_donthave, extended.ps_live) = (None, None, Some(ours::PS_LIVE));
    Greeting { reserved: Reserved::extended_only(), extended, have: None, interested: false }
}

async fn read(node: &Arc<Node>, key: PeerKey, mut reader: LinkReader) {
    let mut batch = Vec::new();
    while reader.read_batch(&mut batch).await.is_ok() {
        for message in batch.drain(..) {
            // Both sides know by the channel's id that they speak the extension, so its number is
            // fixed, and messages need not wait for the extended handshake.
            if let Message::Extended { id: ours::PS_LIVE, payload } = message {
                // Copied: the back buffer keeps packets, and would keep the whole read buffer.
                node.tell(Input::Heard(key, Bytes::copy_from_slice(&payload)));
            }
        }
    }
}

async fn write(mut writer: LinkWriter, queue: &Queue) -> std::io::Result<()> {
    writer.flush().await?;
    loop {
        while writer.queued_bytes() < WRITE_BYTES
            && let Some(payload) = queue.pop()
        {
            writer.queue(&Message::Extended { id: ours::PS_LIVE, payload });
        }
        match writer.queued_bytes() {
            0 => queue.to_send.notified().await,
            _ => writer.flush().await?,
        }
    }
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
            _ = look.tick() => {
                let delays: Vec<(PeerKey, f64)> = (node.inside.lock().links.iter())
                    .map(|(peer, link)| (*peer, link.queue.delay().as_secs_f64()))
                    .collect();
                for (peer, delay_s) in delays {
                    node.tell(Input::Relay(relay::Input::Queue(peer, delay_s)));
                }
            }
        }
    }
}
