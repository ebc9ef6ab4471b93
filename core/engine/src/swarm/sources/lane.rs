//! One lane: the task that serves a connection to a source.
//!
//! The torrent sees a peer: it sends requests and cancels, and gets blocks, rejects and bitfields. A
//! lane stays while its server closes connections, as many do after each answer or a pause.

use super::Known;
use super::dial::{Wire, dial, why_io};
use crate::swarm::driver::Swarm;
use crate::swarm::links::Orders;
use bytes::BytesMut;
use playswarm_logic::PeerKey;
use playswarm_logic::picker::Manner;
use playswarm_logic::sources::{End, Gets, servent};
use playswarm_logic::torrent::{Admission, Disconnect, Input, Origin, Source};
use playswarm_proto::gnutella::ServentFields;
use playswarm_proto::http_range::Event;
use playswarm_proto::printable;
use playswarm_proto::wire::Message;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Manner in which a server is asked at first: with eight requests under way.
const PIPELINED: Manner = Manner::Ranges { depth: 8, least_bytes: 32 << 10, most_bytes: MOST_BYTES };
/// Manner for a server that closes the connection after an answer. Fewer requests are fewer
/// connections.
pub(super) const ONE_BY_ONE: Manner = Manner::Ranges { depth: 1, least_bytes: 1 << 20, most_bytes: MOST_BYTES };
/// Most bytes of one request.
const MOST_BYTES: u32 = 4 << 20;
/// Time over which the rate of a server is judged while it owes bytes.
const JUDGED: Duration = Duration::from_secs(20);
/// Least bytes that must come in that time, 1 KiB a second.
const LEAST_BYTES: u64 = 20 << 10;
/// Pause after which an idle connection is closed, as most servers would.
const IDLE: Duration = Duration::from_secs(60);
/// Longest time until the server takes a request.
const STUCK: Duration = Duration::from_secs(20);
/// Number of times in a row that a connection may break, or an answer end, before it gave
/// [`FEW_BYTES`].
pub(super) const MAX_BREAKS: u32 = 2;
/// Fewest bytes for which a request is worth its round trip.
pub(super) const FEW_BYTES: u64 = 16 << 10;
/// Most bytes read at once.
const READ_BYTES: usize = 256 << 10;

/// A lane.
pub(super) struct Lane {
    pub(super) swarm: Arc<Swarm>,
    pub(super) known: Arc<Known>,
    pub(super) key: PeerKey,
    orders: Orders,
    pub(super) gets: Gets,
    pub(super) wire: Option<Wire>,
    pub(super) manner: Manner,
    /// Whether the source is a servent.
    pub(super) is_servent: bool,
    /// What the servent said in the head of its last answer.
    pub(super) fields: ServentFields,
    /// Time until which the servent makes us wait over a connection that is kept.
    pub(super) held: Option<Instant>,
    /// Number of times in a row that the connection broke, or an answer ended, after few bytes.
    pub(super) breaks: u32,
    /// Bytes of the file that came with this answer.
    pub(super) came: u64,
    /// Time for which the server owed bytes, and the bytes of the file that came meanwhile.
    pub(super) owed: (Duration, u64),
    /// Messages for the torrent.
    pub(super) said: Vec<Message>,
    input: BytesMut,
}

impl Lane {
    /// Connects to a source, and adds it to the torrent.
    pub(super) async fn open(swarm: Arc<Swarm>, known: Arc<Known>) -> Result<Lane, End> {
        let full = || End::Failed("this process has reached its limit on open files and connections".to_owned());
        // Taken in any case: left there, it would stay open.
        let given = swarm.sources.given.lock().remove(&known.key);
        let place = swarm.transport.sockets.take().ok_or_else(full)?;
        let (url, named_by, server, is_servent) = {
            let mut site = known.site.lock();
            // A servent may have more by now.
            site.has_parts(None);
            let (url, named_by) = site.first();
            let server = printable::line(site.url().host_str().unwrap_or_default()).into_owned();
            (url, named_by, server, site.is_servent())
        };
        let manner = if is_servent { servent::PIPELINED } else { PIPELINED };
        let is_typed = swarm.sources.is_typed(&known, &url);
        let wire = match given.and_then(|given| Wire::given(given, &url)) {
            Some(wire) => wire,
            None => dial(swarm.shared.network(), &url, named_by, is_typed, &known.answered).await?,
        };
        let source = Source {
            host: known.host,
            origin: swarm.sources.origin(known.key),
            addr: wire.addr,
            server,
            manner,
            rtt: wire.rtt,
            bits: known.site.lock().bits(),
        };
        let (handle, orders) = Orders::new(place, &swarm.cancel);
        let admission = swarm.enter_with(
            |torrent, now| torrent.connect_source(now, &source),
            |links, admission| {
                if let Admission::Joined(key) = admission {
                    links.insert(*key, handle);
                }
            },
        );
        let Admission::Joined(key) = admission else { return Err(End::Unwanted) };
        known.lanes.lock().push(key);
        swarm.sources.book.lock().joined(swarm.now(), known.key);
        Ok(Lane {
            swarm,
            known,
            key,
            orders,
            gets: Gets::default(),
            wire: Some(wire),
            manner,
            is_servent,
            fields: ServentFields::default(),
            held: None,
            breaks: 0,
            came: 0,
            owed: (Duration::ZERO, 0),
            said: Vec::new(),
            input: BytesMut::new(),
        })
    }

    /// Serves the lane until it ends.
    pub(super) async fn run(mut self) -> End {
        let closed = self.orders.closed();
        let ended = loop {
            let turn = tokio::select! {
                biased;
                () = closed.cancelled() => break None,
                turn = self.turn() => turn,
            };
            if let Err(end) = turn {
                break Some(end);
            }
        };
        let end = ended.unwrap_or_else(|| self.dismissed());
        let why = match &end {
            End::Failed(why) | End::Busy(why, _) | End::Held(why, _) | End::Useless(why) => why.clone(),
            End::Idle | End::Unwanted => "the connection is closed".to_owned(),
        };
        self.known.lanes.lock().retain(|key| *key != self.key);
        self.swarm.tell(Input::Disconnected(self.key, Disconnect::Closed(why)));
        end
    }

    /// Returns why the torrent closed this lane.
    fn dismissed(&self) -> End {
        let is_banned = self.swarm.look(|torrent, now| torrent.is_host_banned(now, self.known.host));
        match () {
            () if self.swarm.cancel.is_cancelled() => End::Idle,
            () if is_banned => End::Unwanted,
            () => End::Failed("the torrent closed the connection".to_owned()),
        }
    }

    /// Sends requests and messages, then handles the next order, answer or timeout.
    async fn turn(&mut self) -> Result<(), End> {
        self.send().await?;
        self.say(false).await?;
        // A servent that holds us owes nothing, also if a second request was under way.
        let is_owed = self.held.is_none() && self.gets.is_waiting();
        let began = Instant::now();
        let wait = match self.held {
            _ if is_owed => JUDGED.saturating_sub(self.owed.0),
            Some(until) => until.saturating_duration_since(began),
            None => IDLE,
        };
        let (orders, wire, input) = (&mut self.orders, &mut self.wire, &mut self.input);
        let read = async {
            match wire {
                Some(wire) => {
                    input.reserve(READ_BYTES);
                    wire.io.read_buf(input).await
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            order = orders.next() => {
                self.owes(is_owed, began.elapsed())?;
                if let Some(order) = order {
                    self.take_orders(order);
                }
                Ok(())
            }
            read = read => {
                let took = began.elapsed();
                self.hear(read).await?;
                self.owes(is_owed, took)
            }
            () = tokio::time::sleep(wait) => {
                self.owes(is_owed, began.elapsed())?;
                match self.held {
                    _ if is_owed => Ok(()),
                    Some(_) => {
                        self.go_on();
                        Ok(())
                    }
                    None => self.rest(),
                }
            }
        }
    }

    /// Counts the time for which the server owed bytes. Heads of answers are none.
    fn owes(&mut self, is_owed: bool, took: Duration) -> Result<(), End> {
        if is_owed {
            self.owed.0 += took;
        }
        if self.owed.0 < JUDGED {
            return Ok(());
        }
        match std::mem::take(&mut self.owed).1 {
            0 => Err(End::Failed(format!("the server sent nothing for {} s; others are asked", JUDGED.as_secs()))),
            bytes if bytes < LEAST_BYTES => {
                Err(End::Failed("the server sends less than 1 KiB a second; others are asked".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// Closes an idle connection. A lane beside others ends with it.
    fn rest(&mut self) -> Result<(), End> {
        self.wire = None;
        if self.known.site.lock().has_parts(None) {
            self.said.push(Message::HaveAll);
        }
        if self.known.lanes.lock().len() > 1 { Err(End::Idle) } else { Ok(()) }
    }

    fn take_orders(&mut self, first: Message) {
        // The requests of one decision come together: the links are locked until the last one.
        self.swarm.with_links(|_| {});
        let site = self.known.site.lock();
        let mut next = Some(first);
        while let Some(order) = next {
            match order {
                Message::Request(span) => self.gets.request(&site, span),
                Message::Cancel(span) => self.said.extend(self.gets.cancel(span)),
                _ => {}
            }
            next = self.orders.now();
        }
    }

    /// Sends requests, as many as may be under way. Connects if need be.
    async fn send(&mut self) -> Result<(), End> {
        if self.held.is_some() {
            // What waits was requested before the torrent learned that we do, or the connection broke.
            self.gets.reject_waiting(&mut self.said);
        }
        loop {
            let under_way = self.wire.as_ref().map_or(0, |wire| wire.talk.outstanding());
            // A servent refuses a request that comes before its first answer.
            let is_new = self.is_servent && self.wire.as_ref().is_none_or(|wire| !wire.serves);
            let (depth, most_bytes) = bounds(self.manner);
            if under_way >= if is_new { 1 } else { depth } {
                break;
            }
            let next = self.gets.next(&self.known.site.lock(), most_bytes, &mut self.said);
            let Some((named_by, mut request)) = next.and_then(|place| Some((place.named_by, place.request?))) else {
                break;
            };
            if self.is_servent {
                request = request.to_servent(&self.fields_for_servent());
            }
            let fits = |wire: &Wire| wire.talk.takes_requests() && wire.leads_to(request.url());
            match &mut self.wire {
                Some(wire) if fits(wire) => {
                    if let Some(id) = wire.talk.request(request) {
                        self.gets.sent(id);
                    }
                }
                // Another server, after this one has answered.
                Some(_) if self.gets.is_waiting() => break,
                _ if self.swarm.sources.origin(self.known.key) == Origin::Pushed => {
                    return Err(End::Useless("the servent closed the connection that it made to us".to_owned()));
                }
                _ => {
                    let is_typed = self.swarm.sources.is_typed(&self.known, request.url());
                    self.wire = None;
                    let network = self.swarm.shared.network();
                    self.wire = Some(dial(network, request.url(), named_by, is_typed, &self.known.answered).await?);
                }
            }
        }
        let Some(wire) = &mut self.wire else { return Ok(()) };
        let output = wire.talk.take_output();
        if output.is_empty() {
            return Ok(());
        }
        let sent = async {
            wire.io.write_all(&output).await?;
            wire.io.flush().await
        };
        match tokio::time::timeout(STUCK, sent).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(e)) => self.broke(&format!("sending to the server failed: {}", why_io(&e))),
            Err(_) => self.broke("the server takes no requests"),
        }
    }

    /// Handles bytes of the server, or the end of the connection.
    async fn hear(&mut self, read: std::io::Result<usize>) -> Result<(), End> {
        let mut failure = None;
        let Some(wire) = &mut self.wire else { return Ok(()) };
        match read {
            Ok(0) => wire.talk.end_of_input(),
            Ok(_) => wire.talk.feed(&self.input),
            Err(e) => {
                failure = Some(why_io(&e));
                wire.talk.end_of_input();
            }
        }
        let before = self.said.len();
        self.input.clear();
        let mut came = false;
        let mut heard = Ok(());
        while let Some(event) = self.wire.as_mut().and_then(|wire| wire.talk.next_event()) {
            came |= matches!(event, Event::Data { .. });
            heard = self.event(event, failure.as_deref());
            if heard.is_err() {
                break;
            }
        }
        if self.wire.is_some() && self.gets.is_idle() {
            self.wire.iter_mut().for_each(|wire| wire.answers = 0);
        }
        // Bytes before a failure are passed on: the torrent verifies them.
        let progress = came && self.said.len() == before;
        heard.and(self.say(progress).await)
    }

    /// Closes the connection. What is missing is requested over the next one.
    pub(super) fn begin_anew(&mut self) {
        self.wire = None;
        self.gets.reset(&self.known.site.lock(), &mut self.said);
    }

    /// Passes messages to the torrent. `progress` says that part of a block came.
    async fn say(&mut self, progress: bool) -> Result<(), End> {
        if self.said.is_empty() && !progress {
            return Ok(());
        }
        let mut said = std::mem::take(&mut self.said);
        let swarm = self.swarm.clone();
        let heard = swarm.receive(self.key, &mut said, progress);
        said.clear();
        self.said = said;
        let heard = heard.map_err(|why| End::Failed(format!("the torrent refused its answers: {why:?}")))?;
        if heard.bytes > 0 {
            swarm.sources.book.lock().served(self.known.key, heard.bytes);
            swarm.rates.downloaded(heard.bytes).await;
        }
        Ok(())
    }
}

/// Returns how many requests may be under way, and the most bytes of one.
fn bounds(manner: Manner) -> (usize, u64) {
    match manner {
        Manner::Ranges { depth, most_bytes, .. } => (usize::from(depth), u64::from(most_bytes)),
        Manner::Blocks { .. } => (1, 0),
    }
}
