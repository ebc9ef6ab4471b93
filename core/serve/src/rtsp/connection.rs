//! One client: its requests, and the packets of its session, in one task.

use super::config::RtspConfig;
use super::feed::{Feed, Item};
use super::film::Film;
use super::methods::{Active, Delivery};
use super::observe::RtspView;
use super::request::{Input, Parser, Request};
use super::session::Output;
use bytes::{Buf, BytesMut};
use playswarm::TorrentHandle;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// Longest time to the first request, and between requests of a client without a session.
const FIRST_REQUEST: Duration = Duration::from_secs(30);
const IDLE: Duration = Duration::from_secs(60);
/// Longest time for which datagrams are sent to a client that neither asks nor reports: the timeout
/// that sessions state, and half of it.
const SILENT: Duration = Duration::from_secs(90);
/// Bytes made for a connection that its socket has not taken. No packet is made beyond.
const OUT_BYTES: usize = 64 << 10;
/// Bytes of answers beyond which no request is read.
const MAX_OUT_BYTES: usize = 256 << 10;

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) torrent: TorrentHandle,
    pub(crate) config: RtspConfig,
    /// Places of sessions.
    pub(crate) sessions: Arc<Semaphore>,
    pub(crate) view: RtspView,
}

impl Shared {
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
    /// Answers and interleaved frames that the socket has not taken.
    out: BytesMut,
    /// When the last request or report came.
    heard: Instant,
    is_new: bool,
}

/// Something that the session of a connection waited for.
enum Event {
    Item(Item),
    /// A report came over UDP: the lost packets of each stream by SSRC.
    Report(Vec<(u32, u32)>),
}

/// Serves a connection until the client or an error ends it.
pub(crate) async fn serve(stream: TcpStream, peer: SocketAddr, shared: Arc<Shared>) {
    let Ok(local) = stream.local_addr() else { return };
    let mut connection = Connection {
        shared,
        peer,
        local: local.ip(),
        described: None,
        active: None,
        out: BytesMut::new(),
        heard: Instant::now(),
        is_new: true,
    };
    if let Err(error) = connection.run(stream).await {
        tracing::debug!(%error, %peer, "an RTSP connection ended");
    }
}

impl Connection {
    async fn run(&mut self, mut stream: TcpStream) -> io::Result<()> {
        let (mut reader, mut writer) = stream.split();
        let mut parser = Parser::default();
        let mut buffer = vec![0; 8 << 10];
        loop {
            self.send_due().await;
            let wake = [self.next_timeout(), self.closes_at()].into_iter().flatten().min();
            tokio::select! {
                written = writer.write(&self.out), if !self.out.is_empty() => self.out.advance(written?),
                read = reader.read(&mut buffer), if self.out.len() < MAX_OUT_BYTES => {
                    let length = read?;
                    if length == 0 {
                        return Ok(());
                    }
                    parser.feed(&buffer[..length]);
                    if let Err(fault) = self.take_inputs(&mut parser).await {
                        writer.write_all(&[&self.out[..], &fault].concat()).await?;
                        return Err(io::ErrorKind::InvalidData.into());
                    }
                }
                event = event(&mut self.active, self.peer.ip()) => self.take_event(event),
                () = sleep_until(wake) => {}
            }
            if self.closes_at().is_some_and(|at| at <= Instant::now()) {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }

    /// Handles what the client has sent.
    ///
    /// # Errors
    /// The answer with which the connection ends.
    async fn take_inputs(&mut self, parser: &mut Parser) -> Result<(), Vec<u8>> {
        while let Some(input) = parser.next().map_err(|fault| fault.answer())? {
            match input {
                // Over TCP it has no use: what is lost is sent again, and the connection shows life.
                Input::Frame(..) => {}
                Input::Request(request) => self.take_request(&request).await,
            }
        }
        Ok(())
    }

    async fn take_request(&mut self, request: &Request) {
        (self.heard, self.is_new) = (Instant::now(), false);
        if let Some(active) = &mut self.active
            && active.held.is_some()
        {
            active.session.release(Instant::now());
            self.send_due().await;
        }
        if let Some(answer) = self.answer(request).await {
            tracing::debug!(method = request.method, url = request.url, status = answer.status(), "RTSP request");
            if answer.status() >= 400 {
                self.shared.view.refused();
            }
            self.out.extend_from_slice(&answer.bytes(request.cseq()));
        } else {
            // The jump's first packets may be here already.
            self.send_due().await;
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
        let patience = match &self.active {
            None if self.is_new => FIRST_REQUEST,
            None => IDLE,
            Some(active) if active.udp.is_some() && !active.session.is_ready() => SILENT,
            Some(_) => return None,
        };
        Some(self.heard + patience)
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
