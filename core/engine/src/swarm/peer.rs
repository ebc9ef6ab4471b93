//! One connected peer: what we know of it, and the two tasks that read from it and write to it.
//!
//! The reading task hands batches to the swarm under one lock; the writing task sends what was decided, control messages
//! before blocks, and blocks only as the rate limit and the line allow, so that a CANCEL still finds them.

use crate::swarm::driver::Swarm;
use crate::swarm::giver::MetadataGiver;
use crate::swarm::having::Early;
use crate::swarm::link::{Link, LinkError, LinkReader, LinkWriter};
use crate::swarm::upload::UploadQueue;
use crate::swarm::viewing::Said;
use playswarm_logic::torrent::Origin;
use playswarm_logic::torrent::conduct::{Conduct, Offence, Toll};
use playswarm_logic::torrent::pex::PexState;
use playswarm_logic::{Bits, PeerKey, Time};
use playswarm_proto::clients::client_name;
use playswarm_proto::extended::{ExtendedHandshake, encode_dont_have};
use playswarm_proto::handshake::{PeerId, Reserved};
use playswarm_proto::pex::flags;
use playswarm_proto::wire::{Message, Span};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

/// Between two keep-alives when nothing else is said (BEP 3: two minutes are too long).
const KEEP_ALIVE: Duration = Duration::from_secs(90);
/// Bytes that wait to be written to a peer that does not read: more, and it is dropped. A HAVE for each of 100,000 pieces
/// fits, and all parts of a large info dictionary that it may ask for at once.
const MAX_UNSENT_BYTES: usize = 4 << 20;
/// A peer that takes nothing for so long is dead, whatever it says itself.
const STUCK: Duration = Duration::from_secs(120);
/// Pieces that are withdrawn before its extended handshake came, at most.
const MAX_WITHDRAWN: usize = 4096;
/// Bytes of blocks put into one write: what a CANCEL can no longer reach.
const UPLOAD_BATCH_BYTES: usize = 64 << 10;
/// Whoever had something waiting each time that we looked, for so long, waits for our line. A block takes a moment on any line, and where
/// a dozen peers ask for one now and then, many of them would be seen waiting though the line is half empty.
const WAITS_LONG: Duration = Duration::from_millis(900);
/// Whoever had to wait so lately may well wait still.
const WAITED_LATELY: Duration = Duration::from_secs(2);

/// Why a connection ends.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It ended by itself.
    Gone(String),
    /// It did something that it should not have; it may come back.
    Drop(&'static str),
    /// It broke the protocol: its address is turned away for a while.
    Ban(&'static str),
    /// It gave wrong data: the same, for longer.
    Lied(&'static str),
    /// It lacks nothing, and neither do we.
    Redundant,
}

/// A connected peer.
pub(super) struct Peer {
    /// Where it can be dialled, as far as we know.
    pub(super) addr: SocketAddr,
    pub(super) origin: Origin,
    pub(super) id: PeerId,
    pub(super) client: String,
    pub(super) via: &'static str,
    pub(super) incoming: bool,
    pub(super) reserved: Reserved,
    pub(super) rtt: Option<Duration>,
    pub(super) extended: ExtendedHandshake,
    pub(super) uploads: UploadQueue,
    pub(super) chokes_us: bool,
    pub(super) interested: bool,
    pub(super) downloaded: u64,
    pub(super) uploaded: u64,
    pub(super) heard: Instant,
    pub(super) joined: Instant,
    /// When a block last went either way.
    pub(super) traded: Instant,
    /// Since when it lacked nothing and neither did we.
    pub(super) redundant_since: Option<Instant>,
    /// Whether it has what we lack.
    pub(super) wanted: bool,
    /// Pieces that turned out right to which it gave blocks.
    pub(super) right: u32,
    /// An older connection to a peer of the same id.
    pub(super) twin: Option<PeerKey>,
    /// Further addresses at which it answered.
    pub(super) other_addrs: Vec<SocketAddr>,
    /// Nothing but a handshake came yet.
    pub(super) silent_so_far: bool,
    /// The book has it as connected, so it must hear of its end.
    pub(super) booked: bool,
    pub(super) pex: PexState,
    pub(super) cancel: CancellationToken,
    /// What it has, once the number of pieces is known.
    pub(super) bits: Option<Bits>,
    /// What it said of its pieces before that.
    pub(super) early: Early,
    /// Pieces to withdraw once it says whether and how it takes DONT HAVE.
    withdrawn: Vec<u32>,
    /// Where it is in the film, if it said so.
    pub(super) said: Option<Said>,
    /// It was told where we are.
    pub(super) greeted: bool,
    pub(super) giver: MetadataGiver,
    pub(super) conduct: Conduct,
    pub(super) orders: mpsc::UnboundedSender<Message>,
    pub(super) queued: Arc<AtomicUsize>,
    /// There may be blocks to send.
    pub(super) to_send: Arc<Notify>,
    /// Blocks are being written: longer than a moment, and the line is what they wait for.
    sending: Arc<AtomicBool>,
    waits: Waits,
    /// Nothing is read from it until less of what it asked for is unanswered.
    pub(super) paused: bool,
    /// Less is unanswered now.
    pub(super) room: Arc<Notify>,
    /// Why its tasks end, where that is our doing.
    ending: Arc<OnceLock<String>>,
}

/// The tasks of a new peer, to be spawned outside of the lock.
pub(super) struct Tasks {
    reader: LinkReader,
    writer: LinkWriter,
    orders: mpsc::UnboundedReceiver<Message>,
    queued: Arc<AtomicUsize>,
    to_send: Arc<Notify>,
    sending: Arc<AtomicBool>,
    cancel: CancellationToken,
    ending: Arc<OnceLock<String>>,
}

impl Peer {
    pub(super) fn new(
        link: Link,
        addr: SocketAddr,
        origin: Origin,
        now: Time,
        swarm: &CancellationToken,
    ) -> (Peer, Tasks) {
        let (orders, given) = mpsc::unbounded_channel();
        let queued = Arc::new(AtomicUsize::new(0));
        let to_send = Arc::new(Notify::new());
        let sending = Arc::new(AtomicBool::new(false));
        let ending = Arc::new(OnceLock::new());
        let cancel = swarm.child_token();
        let tasks = Tasks {
            reader: link.reader,
            writer: link.writer,
            orders: given,
            queued: queued.clone(),
            to_send: to_send.clone(),
            sending: sending.clone(),
            cancel: cancel.clone(),
            ending: ending.clone(),
        };
        let peer = Peer {
            addr,
            origin,
            client: client_name(&link.peer_id.0),
            id: link.peer_id,
            via: link.via.name(),
            incoming: link.incoming,
            reserved: link.reserved,
            rtt: link.rtt,
            extended: ExtendedHandshake::default(),
            uploads: UploadQueue::new(now, link.reserved.fast()),
            chokes_us: true,
            interested: false,
            downloaded: 0,
            uploaded: 0,
            heard: Instant::now(),
            joined: Instant::now(),
            traded: Instant::now(),
            redundant_since: None,
            wanted: true,
            right: 0,
            twin: None,
            other_addrs: Vec::new(),
            silent_so_far: true,
            booked: !link.incoming,
            pex: PexState::default(),
            cancel,
            bits: None,
            early: Early::default(),
            withdrawn: Vec::new(),
            said: None,
            greeted: false,
            giver: MetadataGiver::default(),
            conduct: Conduct::default(),
            orders,
            queued,
            to_send,
            sending,
            waits: Waits::default(),
            paused: false,
            room: Arc::new(Notify::new()),
            ending,
        };
        (peer, tasks)
    }

    pub(super) fn say(&self, message: Message) {
        let waiting = self.queued.fetch_add(weight(&message), Ordering::Relaxed);
        if waiting > MAX_UNSENT_BYTES {
            // It takes nothing off the line: its tasks end, and reading's end takes it out of the swarm.
            let _ = self.ending.set("it reads too little of what is said to it".to_owned());
            self.cancel.cancel();
            return;
        }
        let _ = self.orders.send(message);
    }

    /// Bytes of messages that wait to be written.
    pub(super) fn unsent_bytes(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    pub(super) fn wake_writer(&self) {
        self.to_send.notify_one();
    }

    /// Reads on, if reading pauses and little is unanswered by now.
    pub(super) fn look_for_room(&self) {
        if self.paused && self.uploads.is_shallow() {
            self.room.notify_one();
        }
    }

    /// Says that a piece is not here any more, if it takes that (BEP 54).
    pub(super) fn withdraw(&mut self, piece: u32) {
        self.withdrawn.push(piece);
        self.withdraw_late();
    }

    /// Says what could not be said before its extended handshake.
    pub(super) fn withdraw_late(&mut self) {
        if let Some(id) = self.extended.dont_have_id() {
            for piece in std::mem::take(&mut self.withdrawn) {
                self.say(Message::Extended { id, payload: encode_dont_have(piece) });
            }
        } else if self.withdrawn.len() > MAX_WITHDRAWN || self.extended != ExtendedHandshake::default() {
            self.withdrawn.clear();
        }
    }

    /// Whether what it asks for goes out as it asks. To be looked at now and then.
    pub(super) fn is_served(&mut self) -> bool {
        let waits = self.sending.load(Ordering::Relaxed) || !self.uploads.is_empty();
        self.waits.look(Instant::now(), waits)
    }

    /// Whether it will ask for nothing: it has all, or all that it wants (BEP 21).
    pub(super) fn is_complete(&self) -> bool {
        self.extended.upload_only == Some(true) || self.bits.as_ref().is_some_and(|b| !b.is_empty() && b.is_full())
    }

    /// What BEP 11 lets us tell others of it.
    pub(super) fn pex_flags(&self) -> u8 {
        let seed = self.is_complete();
        let flag = |holds: bool, flag: u8| if holds { flag } else { 0 };
        flag(seed, flags::SEED) | flag(self.via == "utp", flags::UTP) | flag(!self.incoming, flags::REACHABLE)
    }

    /// Share of the pieces that it has, 0 to 1.
    pub(super) fn share(&self) -> f64 {
        self.bits.as_ref().filter(|b| !b.is_empty()).map_or(0.0, |b| f64::from(b.count()) / f64::from(b.len()))
    }
}

/// Whether a peer waits for our line, from looks at it now and then.
#[derive(Debug, Default)]
struct Waits {
    since: Option<Instant>,
    long_at: Option<Instant>,
}

impl Waits {
    /// Something waits for it now, or nothing does. Whether it is served as it asks.
    fn look(&mut self, now: Instant, something: bool) -> bool {
        self.since = something.then(|| self.since.unwrap_or(now));
        if self.since.is_some_and(|since| now - since >= WAITS_LONG) {
            self.long_at = Some(now);
        }
        self.long_at.is_none_or(|at| now - at > WAITED_LATELY)
    }
}

/// What a message that waits costs, in bytes.
fn weight(message: &Message) -> usize {
    size_of::<Message>()
        + match message {
            Message::Extended { payload, .. } => payload.len(),
            Message::Bitfield(bytes) => bytes.len(),
            _ => 0,
        }
}

impl Tasks {
    pub(super) fn spawn(self, swarm: Arc<Swarm>, key: PeerKey) {
        let Tasks { reader, writer, orders, queued, to_send, sending, cancel, ending } = self;
        let writing = Writing { writer, orders, queued, to_send, sending, key };
        let (writer_swarm, writer_cancel, writer_ending) = (swarm.clone(), cancel.clone(), ending.clone());
        tokio::spawn(async move {
            let end = tokio::select! {
                () = writer_cancel.cancelled() => return,
                end = writing.run(&writer_swarm) => end,
            };
            if let Err(e) = end {
                let _ = writer_ending.set(format!("writing to it failed: {e}"));
            }
            writer_cancel.cancel();
        });
        tokio::spawn(async move {
            let why = tokio::select! {
                () = cancel.cancelled() => {
                    Verdict::Gone(ending.get().map_or("the connection broke", String::as_str).to_owned())
                }
                why = read(&swarm, key, reader) => why,
            };
            let mut st = swarm.state.lock();
            swarm.part(&mut st, key, why);
            drop(st);
            swarm.arm();
            swarm.dial();
        });
    }
}

async fn read(swarm: &Arc<Swarm>, key: PeerKey, mut reader: LinkReader) -> Verdict {
    let mut batch = Vec::new();
    let mut pieces_known = false;
    let mut toll = Toll::default();
    let late = swarm.content.get().is_none();
    loop {
        if !pieces_known && let Some(content) = swarm.content.get() {
            reader.set_pieces(content.torrent.layout.pieces(), late);
            pieces_known = true;
        }
        batch.clear();
        let partial = match reader.read_batch(&mut batch).await {
            Ok(partial) => partial,
            Err(e) => {
                return match &e {
                    LinkError::Wire(wrong) => match Offence::from(wrong) {
                        Offence::Malformed => Verdict::Ban(Offence::Malformed.why()),
                        offence => Verdict::Drop(offence.why()),
                    },
                    LinkError::Closed | LinkError::Io(_) => Verdict::Gone(e.to_string()),
                };
            }
        };
        match swarm.heard(key, &mut batch, partial.is_some()) {
            Ok(heard) => {
                swarm.rates.downloaded(heard.bytes).await;
                if heard.deep {
                    swarm.until_shallow(key).await;
                }
                let rest = toll.pay(swarm.now(), heard.took);
                if rest > Duration::ZERO {
                    tokio::time::sleep(rest).await;
                }
            }
            Err(why) => return why,
        }
    }
}

struct Writing {
    writer: LinkWriter,
    orders: mpsc::UnboundedReceiver<Message>,
    queued: Arc<AtomicUsize>,
    to_send: Arc<Notify>,
    sending: Arc<AtomicBool>,
    key: PeerKey,
}

impl Writing {
    async fn run(mut self, swarm: &Arc<Swarm>) -> std::io::Result<()> {
        // What had to wait for the handshake.
        self.flush().await?;
        loop {
            tokio::select! {
                biased;
                order = self.orders.recv() => match order {
                    Some(order) => self.queue(&order),
                    None => return Ok(()),
                },
                () = self.to_send.notified() => self.send_blocks(swarm).await?,
                () = tokio::time::sleep(KEEP_ALIVE) => self.writer.queue(&Message::KeepAlive),
            }
            self.queue_orders();
            self.flush().await?;
            self.sending.store(false, Ordering::Relaxed);
        }
    }

    async fn flush(&mut self) -> std::io::Result<()> {
        match tokio::time::timeout(STUCK, self.writer.flush()).await {
            Ok(done) => done,
            Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
        }
    }

    fn queue(&mut self, message: &Message) {
        self.queued.fetch_sub(weight(message), Ordering::Relaxed);
        self.writer.queue(message);
    }

    fn queue_orders(&mut self) {
        while let Ok(order) = self.orders.try_recv() {
            self.queue(&order);
        }
    }

    /// Sends blocks while the peer has asked for some.
    async fn send_blocks(&mut self, swarm: &Arc<Swarm>) -> std::io::Result<()> {
        while let Some(next) = swarm.waiting_upload(self.key) {
            self.wait_for_turn(swarm, next).await?;
            // Taken off only now: until here a CANCEL or a CHOKE still reached it.
            let Some(span) = swarm.next_upload(self.key) else { return Ok(()) };
            match swarm.upload_data(span).await {
                Some(data) => {
                    self.sending.store(true, Ordering::Relaxed);
                    self.writer.queue_piece(span.piece, span.begin, &data);
                    swarm.uploaded(self.key, u64::from(span.length));
                }
                None => swarm.put_off_reject(self.key, span),
            }
            self.queue_orders();
            if self.writer.queued_bytes() >= UPLOAD_BATCH_BYTES {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Waits until the rate limit lets a block go. What is to be said meanwhile is said: our own requests must not wait
    /// behind our uploads.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_waits_for_our_line_that_is_never_seen_without_something_waiting() {
        let (mut waits, start) = (Waits::default(), Instant::now());
        let mut look = |ms: u64, something| waits.look(start + Duration::from_millis(ms), something);
        // Two looks in three by chance, as on a line that is used well.
        let by_chance: Vec<bool> = (0..=30).map(|n| look(n * 500, n % 3 != 0)).collect();
        assert!(by_chance.iter().all(|served| *served));
        let all_the_time: Vec<bool> = (31..35).map(|n| look(n * 500, true)).collect();
        assert_eq!(all_the_time, [true, true, false, false]);
        let afterwards: Vec<bool> = (35..41).map(|n| look(n * 500, false)).collect();
        assert_eq!(afterwards, [false, false, false, false, true, true]);
    }
}
