//! One client: its requests, and the packets of its session, in one task.

use super::auth::Challenge;
use super::config::RtspConfig;
use super::feed::{Feed, Item};
use super::film::Film;
use super::methods::{Active, Delivery};
use super::observe::RtspView;
use super::path::without_token;
use super::request::{Input, Parser, Request, refuse_http};
use super::session::Output;
use super::tunnel::{Half, OPENED, Requests, Tunnels};
use crate::admission::{Limits, State};
use crate::hosts::Hosts;
use crate::places::{Held, Places};
use bytes::{Buf, BytesMut};
use playswarm::TorrentHandle;
use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::ReadHalf;

/// Bytes made for a connection that its socket has not taken. No packet is made beyond.
const OUT_BYTES: usize = 64 << 10;
/// Bytes of answers beyond which no request is read.
const MAX_OUT_BYTES: usize = 256 << 10;

/// Bounds on a connection's time. Only tests use others than the default.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Longest time to the end of the first request.
    pub(crate) first_request: Duration,
    /// Longest time between requests of a client that plays nothing and has not played.
    pub(crate) idle: Duration,
    /// Longest time for which datagrams are sent to a client that neither asks nor reports.
    pub(crate) silent: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        // The last is the timeout that sessions state, and half of it.
        let [first_request, idle, silent] = [30, 60, 90].map(Duration::from_secs);
        Patience { first_request, idle, silent }
    }
}

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) torrent: TorrentHandle,
    pub(crate) config: RtspConfig,
    patience: Patience,
    hosts: Hosts,
    /// Places of sessions.
    pub(crate) sessions: Arc<Places>,
    tunnels: Arc<Tunnels>,
    pub(crate) view: RtspView,
}

impl Shared {
    pub(crate) fn new(
        torrent: TorrentHandle,
        config: RtspConfig,
        own_names: BTreeSet<String>,
        patience: Patience,
    ) -> Shared {
        let most = config.max_sessions;
        let sessions = Places::new(Limits { places: most, per_host: most });
        let hosts = Hosts::new(own_names, &config.allow_hosts);
        Shared { torrent, config, patience, hosts, sessions, tunnels: Arc::default(), view: RtspView::default() }
    }

    /// Returns the name of a file without its folders.
    pub(crate) fn name(&self, file: usize) -> String {
        let file = self.torrent.metainfo().files.get(file);
        file.map(|file| file.name.rsplit('/').next().unwrap_or_default().to_owned()).unwrap_or_default()
    }
}

/// The state of a connection apart from its socket.
pub(crate) struct Connection {
    pub(crate) shared: Arc<Shared>,
    pub(crate) peer: SocketAddr,
    pub(crate) local: IpAddr,
    /// The last presentation that the client had described.
    pub(crate) described: Option<(String, Arc<Film>)>,
    pub(crate) active: Option<Active>,
    pub(crate) challenge: Challenge,
    /// Answers and interleaved frames that the socket has not taken.
    out: BytesMut,
    pub(crate) place: Held,
    /// When the last request or report came.
    heard: Instant,
    is_new: bool,
    /// Whether requests come through a tunnel over HTTP.
    pub(crate) is_tunnelled: bool,
}

/// Something that the session of a connection waited for.
enum Event {
    Item(Item),
    /// A report came over UDP: the lost packets of each stream by SSRC.
    Report(Vec<(u32, u32)>),
}

/// Serves a connection until the client or an error ends it.
pub(crate) async fn serve(stream: TcpStream, peer: SocketAddr, place: Held, shared: Arc<Shared>) {
    let mut nonce = [0; 16];
    let (Ok(local), Ok(())) = (stream.local_addr(), getrandom::fill(&mut nonce)) else { return };
    let mut connection = Connection {
        shared,
        peer,
        local: local.ip(),
        described: None,
        active: None,
        challenge: Challenge::new(u128::from_ne_bytes(nonce)),
        out: BytesMut::new(),
        place,
        heard: Instant::now(),
        is_new: true,
        is_tunnelled: false,
    };
    if let Err(error) = connection.run(stream).await {
        tracing::debug!(%error, %peer, "an RTSP connection ended");
    }
}

impl Connection {
    async fn run(&mut self, mut stream: TcpStream) -> io::Result<()> {
        let mut parser = Parser::of_connection();
        let Some(head) = self.converse(&mut stream, &mut parser, None).await? else { return Ok(()) };
        let closed = self.place.activity.closed.clone();
        match self.shared.tunnels.open(&head, self.peer.ip(), &self.shared.hosts) {
            Ok(Half::Get(requests)) => {
                self.is_tunnelled = true;
                self.out.extend_from_slice(OPENED.as_bytes());
                self.converse(&mut stream, &mut Parser::default(), Some(requests)).await.map(|_| ())
            }
            Ok(Half::Post(post)) => {
                self.place.activity.set(State::Served(None));
                let first = parser.rest();
                tokio::select! {
                    carried = post.carry(&mut stream, &first) => carried,
                    () = closed.cancelled() => Err(io::ErrorKind::ConnectionAborted.into()),
                }
            }
            Err(status) => {
                tracing::debug!(status, peer = %self.peer, "a tunnel over HTTP is refused");
                self.shared.view.refused();
                stream.write_all(&refuse_http(status)).await
            }
        }
    }

    /// Answers requests until the connection ends. They come from the socket or, within a tunnel,
    /// from another one. Returns the head with which a tunnel begins.
    async fn converse(
        &mut self,
        stream: &mut TcpStream,
        parser: &mut Parser,
        mut tunnel: Option<Requests>,
    ) -> io::Result<Option<Request>> {
        let (mut reader, mut writer) = stream.split();
        let mut buffer = vec![0; 8 << 10];
        loop {
            self.send_due().await;
            let wake = [self.next_timeout(), self.closes_at()].into_iter().flatten().min();
            tokio::select! {
                written = writer.write(&self.out), if !self.out.is_empty() => self.out.advance(written?),
                read = input(&mut reader, &mut buffer, &mut tunnel), if self.out.len() < MAX_OUT_BYTES => {
                    let bytes = read?;
                    if bytes.is_empty() {
                        return Ok(None);
                    }
                    parser.feed(&bytes);
                    match self.take_inputs(parser).await {
                        Ok(None) => {}
                        Ok(head) => return Ok(head),
                        Err(fault) => {
                            self.shared.view.refused();
                            writer.write_all(&[&self.out[..], &fault].concat()).await?;
                            return Err(io::ErrorKind::InvalidData.into());
                        }
                    }
                }
                event = event(&mut self.active, self.peer.ip()) => self.take_event(event),
                () = sleep_until(wake) => {}
                () = self.place.activity.closed.cancelled() => return Err(io::ErrorKind::ConnectionAborted.into()),
            }
            if self.closes_at().is_some_and(|at| at <= Instant::now()) {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }

    /// Handles what the client has sent. Returns the head with which a tunnel begins.
    ///
    /// # Errors
    /// The answer with which the connection ends.
    async fn take_inputs(&mut self, parser: &mut Parser) -> Result<Option<Request>, Vec<u8>> {
        while let Some(input) = parser.next().map_err(|fault| fault.answer())? {
            match input {
                // Over TCP it has no use: what is lost is sent again, and the connection shows life.
                Input::Frame(..) => {}
                Input::Request(request) => self.take_request(&request).await,
                Input::Tunnel(head) => return Ok(Some(head)),
            }
        }
        Ok(None)
    }

    async fn take_request(&mut self, request: &Request) {
        (self.heard, self.is_new) = (Instant::now(), false);
        self.place.activity.set(State::Served(None));
        if let Some(active) = &mut self.active
            && active.held.is_some()
        {
            active.session.release(Instant::now());
            self.send_due().await;
        }
        if let Some(answer) = self.answer(request).await {
            let url = without_token(&request.url);
            tracing::debug!(method = request.method, %url, status = answer.status(), "RTSP request");
            if answer.status() >= 400 {
                self.shared.view.refused();
            }
            self.out.extend_from_slice(&answer.bytes(request.cseq()));
        } else {
            // The jump's first packets may be here already.
            self.send_due().await;
        }
        if self.active.is_none() {
            self.place.activity.set(State::Idle(Instant::now()));
        }
    }

    fn take_event(&mut self, event: Event) {
        let Some(active) = &mut self.active else { return };
        match event {
            Event::Item(Item::Landed(point)) => active.session.landed(point),
            Event::Item(Item::Sample(sample)) => active.session.offer(sample),
            Event::Item(Item::End) => active.session.end(),
            Event::Report(losses) => {
                self.heard = Instant::now();
                active.reported(&losses);
            }
        }
    }

    /// Sends what is due: over UDP at once, else as far as there is room.
    async fn send_due(&mut self) {
        let Some(active) = &mut self.active else { return };
        active.report_playhead(Instant::now());
        while self.out.len() < OUT_BYTES {
            let Some(output) = active.session.poll(Instant::now()) else { return };
            match output {
                Output::Played(played) => {
                    let (cseq, answer) = active.played(&played);
                    self.out.extend_from_slice(&answer.bytes(cseq));
                }
                Output::Send { stream, is_rtcp, packet } => match active.sent(stream, is_rtcp, packet.len()) {
                    Some(Delivery::Interleaved(rtp, rtcp)) => {
                        let channel = if is_rtcp { rtcp } else { rtp };
                        self.out.extend_from_slice(&[b'$', channel]);
                        self.out.extend_from_slice(&(packet.len() as u16).to_be_bytes());
                        self.out.extend_from_slice(&packet);
                    }
                    Some(Delivery::Udp(rtp, rtcp)) => {
                        let port = if is_rtcp { rtcp } else { rtp };
                        if let Some(pair) = &active.udp {
                            pair.send(is_rtcp, SocketAddr::new(self.peer.ip(), port), &packet).await;
                        }
                    }
                    None => {}
                },
            }
        }
    }

    /// Returns when the session has to be looked at again. Not while the socket has to take bytes
    /// first.
    fn next_timeout(&self) -> Option<Instant> {
        let active = self.active.as_ref().filter(|_| self.out.len() < OUT_BYTES)?;
        active.session.next_timeout(Instant::now())
    }

    /// Returns when the connection is closed if the client remains silent. A session within the
    /// connection lives as long as that: a paused player sends nothing for hours.
    fn closes_at(&self) -> Option<Instant> {
        let Patience { first_request, idle, silent } = self.shared.patience;
        let most = match &self.active {
            None if self.is_new => first_request,
            None => idle,
            Some(active) if !active.has_played() => idle,
            Some(active) if active.udp.is_some() && !active.session.is_ready() => silent,
            Some(_) => return None,
        };
        Some(self.heard + most)
    }
}

/// Waits for bytes of the client: those of the socket or, in a tunnel, those that POST carried.
/// Returns none at the end. Dropping the future loses nothing.
async fn input(reader: &mut ReadHalf<'_>, buffer: &mut [u8], tunnel: &mut Option<Requests>) -> io::Result<Vec<u8>> {
    loop {
        let carried = async {
            match tunnel {
                Some(requests) => requests.next().await,
                None => std::future::pending().await,
            }
        };
        let length = tokio::select! {
            bytes = carried => return bytes,
            read = reader.read(buffer) => read?,
        };
        // What follows the head of GET has no meaning.
        if length == 0 || tunnel.is_none() {
            return Ok(buffer[..length].to_vec());
        }
    }
}

/// Waits for the next event of a session.
async fn event(active: &mut Option<Active>, peer: IpAddr) -> Event {
    let Some(Active { session, feed, udp, .. }) = active else { return std::future::pending().await };
    let wants = session.wants_sample();
    let report = async {
        match udp {
            Some(pair) => pair.report(peer).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        item = next_item(feed), if wants => Event::Item(item),
        losses = report => Event::Report(losses),
    }
}

async fn next_item(feed: &mut Feed) -> Item {
    feed.next().await
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
