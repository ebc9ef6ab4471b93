//! The driver's connections to peers: a handle of each, and the two tasks that read from it and
//! write to it.
//!
//! The reading task passes batches of messages to the torrent. The writing task sends control
//! messages before blocks. It sends blocks only as the rate limit and the line allow, so that a
//! CANCEL still reaches them.

use crate::swarm::driver::Swarm;
use crate::swarm::link::{Link, LinkError, LinkReader, LinkWriter};
use crate::swarm::sockets::Place;
use playswarm_logic::torrent::conduct::{Offence, Toll};
use playswarm_logic::torrent::{Disconnect, Input};
use playswarm_logic::{PeerKey, slots::Operation};
use playswarm_proto::wire::{Message, Span};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// Time between two keep-alives on an idle connection (BEP 3's two minutes are too long).
const KEEP_ALIVE: Duration = Duration::from_secs(90);
/// Most bytes waiting to be written to a peer that does not read. They hold a HAVE for each of
/// 100,000 pieces, and all parts of a large info dictionary that it may request at once.
const MAX_UNSENT_BYTES: usize = 4 << 20;
/// Time after which a peer that accepts no data counts as dead, whatever it sends itself.
const STUCK: Duration = Duration::from_secs(120);
/// Most bytes of blocks in one write, which a CANCEL can no longer reach.
const UPLOAD_BATCH_BYTES: usize = 64 << 10;

/// The connections of a torrent, and the running operations of the slot index.
#[derive(Default)]
pub(super) struct Links {
    peers: BTreeMap<PeerKey, Handle>,
    pub(super) operations: BTreeMap<Operation, AbortOnDropHandle<()>>,
}

/// A handle for sending to a connection.
pub(super) struct Handle {
    orders: mpsc::UnboundedSender<Message>,
    shared: Arc<Shared>,
}

/// The state shared by a connection's handle and its tasks.
struct Shared {
    /// Bytes of messages waiting to be written.
    unsent_bytes: AtomicUsize,
    /// Wakes the writer: there may be blocks to send.
    to_send: Notify,
    /// Whether blocks are being written. If this lasts longer than a moment, the line is busy.
    sending: AtomicBool,
    /// Wakes the reader: reading may resume.
    resume: Notify,
    cancel: CancellationToken,
    /// Reason why we end the tasks, if we do.
    ending: OnceLock<String>,
    /// Freed when both tasks and the handle are gone.
    _place: Option<Place>,
}

/// The messages to a connection whose task is not here: a lane to a source.
pub(super) struct Orders {
    orders: mpsc::UnboundedReceiver<Message>,
    shared: Arc<Shared>,
}

/// The tasks of a new connection, to be spawned once it was accepted.
pub(super) struct Tasks {
    reader: LinkReader,
    writer: LinkWriter,
    orders: mpsc::UnboundedReceiver<Message>,
    shared: Arc<Shared>,
}

impl Links {
    pub(super) fn insert(&mut self, peer: PeerKey, handle: Handle) {
        self.peers.insert(peer, handle);
    }

    pub(super) fn remove(&mut self, peer: PeerKey) {
        self.peers.remove(&peer);
    }

    pub(super) fn send(&self, peer: PeerKey, message: Message) {
        let Some(handle) = self.peers.get(&peer) else { return };
        let waiting = handle.shared.unsent_bytes.fetch_add(weight(&message), Ordering::Relaxed);
        if waiting > MAX_UNSENT_BYTES {
            // The peer does not read. Its tasks end, and the end of the reader removes it from the
            // torrent.
            let _ = handle.shared.ending.set("it does not read our messages".to_owned());
            handle.shared.cancel.cancel();
            return;
        }
        let _ = handle.orders.send(message);
    }

    pub(super) fn wake_writer(&self, peer: PeerKey) {
        if let Some(handle) = self.peers.get(&peer) {
            handle.shared.to_send.notify_one();
        }
    }

    pub(super) fn resume(&self, peer: PeerKey) {
        if let Some(handle) = self.peers.get(&peer) {
            handle.shared.resume.notify_one();
        }
    }

    /// Returns the bytes of messages waiting to be written to a peer.
    pub(super) fn unsent_bytes(&self, peer: PeerKey) -> usize {
        self.peers.get(&peer).map_or(0, |handle| handle.shared.unsent_bytes.load(Ordering::Relaxed))
    }

    /// Returns the peers to which blocks are being written.
    pub(super) fn sending(&self) -> Vec<PeerKey> {
        let sends = |(key, handle): (&PeerKey, &Handle)| handle.shared.sending.load(Ordering::Relaxed).then_some(*key);
        self.peers.iter().filter_map(sends).collect()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.cancel.cancel();
    }
}

/// Returns the memory of a waiting message, bytes.
fn weight(message: &Message) -> usize {
    size_of::<Message>() + message.payload_bytes()
}

impl Handle {
    /// Creates the handle of a connection, with the messages to it and the state of its tasks.
    fn new(place: Option<Place>, swarm: &CancellationToken) -> (Handle, mpsc::UnboundedReceiver<Message>, Arc<Shared>) {
        let (sender, orders) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            unsent_bytes: AtomicUsize::new(0),
            to_send: Notify::new(),
            sending: AtomicBool::new(false),
            resume: Notify::new(),
            cancel: swarm.child_token(),
            ending: OnceLock::new(),
            _place: place,
        });
        (Handle { orders: sender, shared: shared.clone() }, orders, shared)
    }
}

impl Orders {
    /// Creates the handle of a lane, and the messages to it. `place` is that of its connection.
    pub(super) fn new(place: Place, swarm: &CancellationToken) -> (Handle, Orders) {
        let (handle, orders, shared) = Handle::new(Some(place), swarm);
        (handle, Orders { orders, shared })
    }

    /// Waits for a message; `None` if the torrent closed the connection. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Message> {
        let order = tokio::select! {
            biased;
            () = self.shared.cancel.cancelled() => None,
            order = self.orders.recv() => order,
        };
        order.inspect(|order| self.taken(order))
    }

    /// Returns the next message, if one waits.
    pub(super) fn now(&mut self) -> Option<Message> {
        self.orders.try_recv().ok().inspect(|order| self.taken(order))
    }

    /// Returns the token that is cancelled when the torrent closes the connection.
    pub(super) fn closed(&self) -> CancellationToken {
        self.shared.cancel.clone()
    }

    fn taken(&self, order: &Message) {
        self.shared.unsent_bytes.fetch_sub(weight(order), Ordering::Relaxed);
    }
}

impl Tasks {
    pub(super) fn new(link: Link, swarm: &CancellationToken) -> (Handle, Tasks) {
        let Link { reader, writer, place, .. } = link;
        let (handle, orders, shared) = Handle::new(place, swarm);
        (handle, Tasks { reader, writer, orders, shared })
    }

    pub(super) fn spawn(self, swarm: Arc<Swarm>, key: PeerKey) {
        let Tasks { reader, writer, orders, shared } = self;
        let writing = Writing { writer, orders, shared: shared.clone(), key };
        let writers_swarm = swarm.clone();
        tokio::spawn(async move {
            let shared = writing.shared.clone();
            let end = tokio::select! {
                () = shared.cancel.cancelled() => return,
                end = writing.run(&writers_swarm) => end,
            };
            if let Err(e) = end {
                let _ = shared.ending.set(format!("sending to it failed: {e}"));
            }
            shared.cancel.cancel();
        });
        tokio::spawn(async move {
            let why = tokio::select! {
                () = shared.cancel.cancelled() => {
                    Disconnect::Closed(shared.ending.get().map_or("the connection failed", String::as_str).to_owned())
                }
                why = read(&swarm, key, reader, &shared) => why,
            };
            swarm.tell(Input::Disconnected(key, why));
        });
    }
}

/// Returns the disconnect reason for a read error.
fn disconnect(error: &LinkError) -> Disconnect {
    match error {
        LinkError::Wire(wrong) => match Offence::from(wrong) {
            Offence::Malformed => Disconnect::Banned(Offence::Malformed.why()),
            offence => Disconnect::Kicked(offence.why()),
        },
        LinkError::Closed | LinkError::Io(_) => Disconnect::Closed(error.to_string()),
    }
}

async fn read(swarm: &Arc<Swarm>, key: PeerKey, mut reader: LinkReader, shared: &Shared) -> Disconnect {
    let mut batch = Vec::new();
    let mut pieces_known = false;
    let mut toll = Toll::default();
    let late = swarm.content().is_none();
    loop {
        if !pieces_known && let Some(content) = swarm.content() {
            reader.set_pieces(content.torrent.layout.pieces(), late);
            pieces_known = true;
        }
        batch.clear();
        let partial = match reader.read_batch(&mut batch).await {
            Ok(partial) => partial,
            Err(e) => return disconnect(&e),
        };
        let heard = match swarm.receive(key, &mut batch, partial.is_some()) {
            Ok(heard) => heard,
            Err(why) => return why,
        };
        swarm.rates.downloaded(heard.bytes).await;
        if heard.pause {
            while swarm.enter(|torrent, now| torrent.is_paused(now, key)) {
                shared.resume.notified().await;
            }
        }
        let rest = toll.pay(swarm.now(), heard.took);
        if rest > Duration::ZERO {
            tokio::time::sleep(rest).await;
        }
    }
}

struct Writing {
    writer: LinkWriter,
    orders: mpsc::UnboundedReceiver<Message>,
    shared: Arc<Shared>,
    key: PeerKey,
}

impl Writing {
    async fn run(mut self, swarm: &Arc<Swarm>) -> std::io::Result<()> {
        // Sends the messages that waited for the handshake.
        self.flush().await?;
        loop {
            tokio::select! {
                biased;
                order = self.orders.recv() => match order {
                    Some(order) => self.queue(&order),
                    None => return Ok(()),
                },
                () = self.shared.to_send.notified() => self.send_blocks(swarm).await?,
                () = tokio::time::sleep(KEEP_ALIVE) => self.writer.queue(&Message::KeepAlive),
            }
            self.queue_orders();
            self.flush().await?;
            self.shared.sending.store(false, Ordering::Relaxed);
        }
    }

    async fn flush(&mut self) -> std::io::Result<()> {
        match tokio::time::timeout(STUCK, self.writer.flush()).await {
            Ok(done) => done,
            Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
        }
    }

    fn queue(&mut self, message: &Message) {
        self.shared.unsent_bytes.fetch_sub(weight(message), Ordering::Relaxed);
        self.writer.queue(message);
    }

    fn queue_orders(&mut self) {
        while let Ok(order) = self.orders.try_recv() {
            self.queue(&order);
        }
    }

    /// Sends blocks while the peer has requests.
    async fn send_blocks(&mut self, swarm: &Arc<Swarm>) -> std::io::Result<()> {
        let key = self.key;
        while let Some(next) = swarm.enter(|torrent, _| torrent.peek_upload(key)) {
            self.wait_for_turn(swarm, next).await?;
            // Taken only now: until here, a CANCEL or a CHOKE still applied.
            let Some(span) = swarm.enter(|torrent, _| torrent.next_upload(key)) else { return Ok(()) };
            match swarm.upload_data(span).await {
                Some(data) => {
                    self.shared.sending.store(true, Ordering::Relaxed);
                    self.writer.queue_piece(span.piece, span.begin, &data);
                    swarm.enter(|torrent, now| torrent.uploaded(now, key, u64::from(span.length)));
                }
                None => swarm.enter(|torrent, _| torrent.upload_failed(key, span)),
            }
            self.queue_orders();
            if self.writer.queued_bytes() >= UPLOAD_BATCH_BYTES {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Waits until the rate limit allows a block. Control messages are sent meanwhile: our own
    /// requests must not wait behind our uploads.
    async fn wait_for_turn(&mut self, swarm: &Arc<Swarm>, span: Span) -> std::io::Result<()> {
        let mut turn = std::pin::pin!(swarm.rates.upload(u64::from(span.length)));
        loop {
            tokio::select! {
                biased;
                () = &mut turn => return Ok(()),
                order = self.orders.recv() => match order {
                    Some(order) => self.queue(&order),
                    None => return Err(std::io::ErrorKind::NotConnected.into()),
                },
            }
            self.queue_orders();
            self.flush().await?;
        }
    }
}
