//! The methods of RTSP (RFC 2326, section 10).

use super::answer::Answer;
use super::auth::Proof;
use super::connection::Connection;
use super::feed::Feed;
use super::film::Film;
use super::observe::{Entry, RtspSession};
use super::outlet::Seed;
use super::pace::Profile;
use super::path::{Target, same_secret};
use super::range::{Range, npt};
use super::request::Request;
use super::scale::Scale;
use super::sdp;
use super::session::{Played, Session, Start};
use super::transport::Transport;
use super::udp::Pair;
use crate::admission::State;
use crate::places::Held;
use playswarm::{Player, printable};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use subtle::ConstantTimeEq;

/// The methods that are answered.
const METHODS: &str = "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, TEARDOWN, GET_PARAMETER, SET_PARAMETER";
/// Seconds after which a client should have sent a request, as sessions state.
const SESSION_TIMEOUT_S: u32 = 60;
/// Longest wait for the file's index. Clients give up after 10 to 20 seconds.
const INDEX_WAIT: Duration = Duration::from_secs(10);
/// Seconds from 1900, where NTP begins, to 1970.
const NTP_OFFSET_S: u64 = 2_208_988_800;
/// Time between two reports of the playhead.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// Longest name of a client that is shown, in characters.
const CLIENT_CHARS: usize = 80;
/// Speeds that a client may ask for.
const SPEEDS: std::ops::RangeInclusive<f64> = 0.1..=8.0;

/// How a stream reaches the client: its channels or its ports, of RTP and RTCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    Interleaved(u8, u8),
    Udp(u16, u16),
}

/// The session of a connection. It is valid there alone, and ends with it.
pub(crate) struct Active {
    id: String,
    pub(crate) session: Session,
    pub(crate) feed: Feed,
    pub(crate) udp: Option<Pair>,
    /// The sequence number of a PLAY that has no answer yet.
    pub(crate) held: Option<u32>,
    /// The presentation's URL as the client writes it.
    base: String,
    deliveries: Vec<(usize, Delivery)>,
    speed: Option<f64>,
    scale: Option<Scale>,
    player: Player,
    /// The last report of the playhead: when, and whether the client played.
    told: Option<(Instant, bool)>,
    entry: Entry,
    /// Its place among the sessions.
    place: Held,
}

impl Active {
    /// Whether PLAY was asked for.
    pub(crate) fn has_played(&self) -> bool {
        matches!(self.place.activity.now().state, State::Served(_))
    }

    /// Reports the playhead to the swarm and to watchers: at once after a change, and each second.
    pub(crate) fn report_playhead(&mut self, now: Instant) {
        if self.told.is_none() && self.session.is_ready() {
            // It has not played yet.
            return;
        }
        let (time, playing) = self.session.playhead(now);
        if self.told.is_some_and(|(at, told)| told == playing && (!playing || now < at + TELL_EVERY)) {
            return;
        }
        self.told = Some((now, playing));
        self.player.set_playhead(time, playing);
        self.entry.shows(time.as_secs_f64(), self.session.lead(now).as_secs_f64());
    }

    /// Records what the client reports about losses.
    pub(crate) fn reported(&mut self, losses: &[(u32, u32)]) {
        let session = &self.session;
        self.entry.reported(losses, |ssrc| session.has_ssrc(ssrc));
    }

    /// Counts a packet that is sent, and returns how its stream is delivered.
    pub(crate) fn sent(&self, stream: usize, is_rtcp: bool, bytes: usize) -> Option<Delivery> {
        if !is_rtcp {
            self.entry.sent(bytes);
        }
        self.delivery(stream)
    }

    /// Returns the channels that a stream asks for, or others where another stream has them.
    fn free_channels(&self, stream: usize, wanted: Option<(u8, u8)>) -> (u8, u8) {
        let taken = |channel: u8| {
            let has =
                |delivery: &Delivery| matches!(delivery, Delivery::Interleaved(a, b) if [*a, *b].contains(&channel));
            self.deliveries.iter().any(|(n, delivery)| *n != stream && has(delivery))
        };
        let own = (stream as u8 * 2, stream as u8 * 2 + 1);
        let others = (0..=u8::MAX / 2).map(|n| (n * 2, n * 2 + 1));
        let mut choice = wanted.into_iter().chain([own]).chain(others);
        // The streams of a presentation take fewer channels than there are.
        choice.find(|(rtp, rtcp)| !taken(*rtp) && !taken(*rtcp)).unwrap_or(own)
    }

    /// Ends a stream. Returns whether others remain.
    fn tear_down(&mut self, stream: usize) -> bool {
        self.deliveries.retain(|(n, _)| *n != stream);
        self.session.tear_down(stream)
    }

    /// Returns how a stream is delivered.
    fn delivery(&self, stream: usize) -> Option<Delivery> {
        self.deliveries.iter().find(|(n, _)| *n == stream).map(|(_, delivery)| *delivery)
    }

    /// Returns the answer to PLAY, with the sequence number of its request.
    pub(crate) fn played(&mut self, played: &Played) -> (Option<u32>, Answer) {
        let end = played.end.map(npt).unwrap_or_default();
        let url = |stream: usize| format!("{}/{}", self.base, sdp::control(stream));
        let info = |(stream, sequence, timestamp): &(usize, u16, u32)| {
            format!("url={};seq={sequence};rtptime={timestamp}", url(*stream))
        };
        let answer = Answer::new(200)
            .with("Session", self.id.clone())
            .with("Range", format!("npt={}-{end}", npt(played.start)))
            .with("RTP-Info", played.streams.iter().map(info).collect::<Vec<_>>().join(","));
        let answer = match self.speed {
            Some(speed) => answer.with("Speed", speed.to_string()),
            None => answer,
        };
        let answer = match self.scale {
            Some(scale) => answer.with("Scale", scale.factor().to_string()),
            None => answer,
        };
        (self.held.take(), answer)
    }
}

impl Connection {
    /// Returns the answer to a request. `None` for PLAY, whose answer follows.
    pub(crate) async fn answer(&mut self, request: &Request) -> Option<Answer> {
        if request.cseq().is_none() {
            return Some(Answer::new(400));
        }
        if let Some(option) = request.header("Require").or(request.header("Proxy-Require")) {
            return Some(Answer::new(551).with("Unsupported", option));
        }
        if request.method == "OPTIONS" {
            return Some(Answer::new(200).with("Public", METHODS));
        }
        let active = self.active.as_ref();
        let in_session = match (request.session(), active) {
            (Some(given), Some(active)) => given.as_bytes().ct_eq(active.id.as_bytes()).into(),
            _ => false,
        };
        let proof = if in_session { Proof::Valid } else { self.proof(request) };
        if proof != Proof::Valid {
            let challenges = self.challenge.headers(proof).into_iter();
            return Some(challenges.fold(Answer::new(401), |answer, text| answer.with("WWW-Authenticate", text)));
        }
        if !in_session && request.session().is_some() {
            return Some(Answer::new(454));
        }
        Some(match request.method.as_str() {
            "DESCRIBE" => self.describe(request).await,
            "SETUP" => self.set_up(request, in_session).await.unwrap_or_else(Answer::new),
            "GET_PARAMETER" | "SET_PARAMETER" => self.with_session(Answer::new(200)),
            "PLAY" | "PAUSE" | "TEARDOWN" if !in_session => Answer::new(454),
            "PLAY" => return self.play(request),
            "PAUSE" => {
                if let Some(active) = &mut self.active {
                    active.session.pause(Instant::now());
                }
                self.with_session(Answer::new(200))
            }
            "TEARDOWN" => self.tear_down(request),
            "ANNOUNCE" | "RECORD" | "REDIRECT" => Answer::new(405).with("Allow", METHODS),
            _ => Answer::new(501).with("Public", METHODS),
        })
    }

    /// Ends a stream, or the session: with its last stream, or where the URL names none.
    fn tear_down(&mut self, request: &Request) -> Answer {
        let stream = Target::parse(&request.url).and_then(|target| target.stream);
        let others_remain = match (&mut self.active, stream) {
            (Some(active), Some(stream)) => active.tear_down(stream),
            _ => false,
        };
        if others_remain {
            return self.with_session(Answer::new(200));
        }
        self.active = None;
        Answer::new(200)
    }

    fn with_session(&self, answer: Answer) -> Answer {
        match &self.active {
            Some(active) => answer.with("Session", active.id.clone()),
            None => answer,
        }
    }

    /// Checks that a request has the token, if there is one.
    fn proof(&self, request: &Request) -> Proof {
        let Some(token) = &self.shared.config.token else { return Proof::Valid };
        let in_path = Target::parse(&request.url).and_then(|target| target.token);
        match in_path.is_some_and(|given| same_secret(given, token)) {
            true => Proof::Valid,
            false => self.challenge.check(request, token),
        }
    }

    /// Returns the presentation of a file, once its index is known.
    ///
    /// # Errors
    /// The status of the answer.
    async fn film(&self, file: usize, transport_stream: bool) -> Result<Arc<Film>, u16> {
        let torrent = &self.shared.torrent;
        if torrent.metainfo().files.get(file).is_none_or(|file| file.padding) {
            return Err(404);
        }
        let timeline = tokio::time::timeout(INDEX_WAIT, torrent.timeline(file)).await;
        let timeline = timeline.map_err(|_| 503_u16)?.map_err(|_| 503_u16)?;
        Film::new(file, &timeline, transport_stream).map(Arc::new).ok_or(415)
    }

    async fn describe(&mut self, request: &Request) -> Answer {
        let accepts = |value: &str| value.contains("application/sdp") || value.contains('*');
        if !request.header("Accept").is_none_or(|value| accepts(&value.to_ascii_lowercase())) {
            return Answer::new(406);
        }
        let Some(target) = Target::parse(&request.url) else { return Answer::new(404) };
        let film = match self.film(target.file, target.transport_stream).await {
            Ok(film) => film,
            Err(status) => return Answer::new(status),
        };
        let name = printable::line_within(&self.shared.name(film.file), 200).into_owned();
        let duration = Some(film.timeline.duration()).filter(|duration| !duration.is_zero());
        let id = ntp() >> 32;
        let text = sdp::describe(id, &name, self.local, duration, &film.formats);
        self.described = Some((target.base.to_owned(), film));
        Answer::new(200).with("Content-Base", format!("{}/", target.base)).body("application/sdp", text)
    }

    /// Handles SETUP.
    ///
    /// # Errors
    /// The status of the answer.
    async fn set_up(&mut self, request: &Request, in_session: bool) -> Result<Answer, u16> {
        let target = Target::parse(&request.url).ok_or(404_u16)?;
        let transport = request.header("Transport").and_then(Transport::choose).ok_or(461_u16)?;
        let film = match (&self.active, &self.described) {
            (Some(active), _) if in_session && active.base == target.base => active.session.film().clone(),
            (Some(_), _) if in_session => return Err(459),
            (_, Some((base, film))) if base == target.base => film.clone(),
            // Clients that have nothing described, such as Debian's VLC, take a transport stream.
            _ => self.film(target.file, target.transport_stream || target.stream.is_none()).await?,
        };
        let stream = match target.stream {
            None if film.formats.len() > 1 => return Err(459),
            stream => stream.unwrap_or(0),
        };
        if stream >= film.formats.len() {
            return Err(404);
        }
        let is_udp = matches!(transport, Transport::Udp(..));
        if !in_session {
            let client = request.header("User-Agent").unwrap_or_default();
            self.active = None;
            self.active = Some(self.open(film, client, target.base, is_udp).await?);
        }
        let active = self.active.as_mut().ok_or(500_u16)?;
        if active.udp.is_some() != is_udp {
            return Err(461);
        }
        if !active.session.is_ready() {
            return Err(455);
        }
        let seed = random_seed().ok_or(500_u16)?;
        let ssrc = format!("ssrc={:08X}", seed.ssrc);
        let (delivery, text) = match (transport, &active.udp) {
            (Transport::Udp(rtp, rtcp), Some(pair)) => {
                let (own_rtp, own_rtcp) = pair.ports().map_err(|_| 500_u16)?;
                let ports = format!("client_port={rtp}-{rtcp};server_port={own_rtp}-{own_rtcp}");
                (Delivery::Udp(rtp, rtcp), format!("RTP/AVP;unicast;{ports};{ssrc}"))
            }
            (Transport::Interleaved(channels), _) => {
                let (rtp, rtcp) = active.free_channels(stream, channels);
                (Delivery::Interleaved(rtp, rtcp), format!("RTP/AVP/TCP;unicast;interleaved={rtp}-{rtcp};{ssrc}"))
            }
            _ => return Err(461),
        };
        active.session.set_up(Instant::now(), stream, seed);
        active.deliveries.retain(|(n, _)| *n != stream);
        active.deliveries.push((stream, delivery));
        let session = format!("{};timeout={SESSION_TIMEOUT_S}", active.id);
        Ok(Answer::new(200).with("Transport", text).with("Session", session))
    }

    /// Opens a session.
    ///
    /// # Errors
    /// The status of the answer.
    async fn open(&self, film: Arc<Film>, client: &str, base: &str, is_udp: bool) -> Result<Active, u16> {
        let profile = Profile::of(client, is_udp);
        // Without its session, a connection is of no use.
        let closed = self.place.activity.closed.clone();
        let place = self.shared.sessions.take(self.peer, closed).ok_or(453_u16)?;
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|_| 500_u16)?;
        let udp = match is_udp {
            true => Some(Pair::bind(self.local).await.map_err(|_| 503_u16)?),
            false => None,
        };
        // The player asks for its beginning next.
        self.shared.torrent.prefetch(film.file);
        tracing::debug!(file = film.file, profile = profile.name, peer = %self.peer, "RTSP session");
        let entry = self.shared.view.enter(RtspSession {
            file: film.file,
            transport: match is_udp {
                true => "udp",
                false if self.is_tunnelled => "http",
                false => "tcp",
            },
            format: if film.is_muxed() { "mpegts" } else { "elementary" },
            client: printable::line_within(client, CLIENT_CHARS).into_owned(),
            ..RtspSession::default()
        });
        Ok(Active {
            player: self.shared.torrent.player(film.file).map_err(|_| 404_u16)?,
            told: None,
            entry,
            id: format!("{:032x}", u128::from_ne_bytes(id)),
            feed: Feed::new(self.shared.torrent.clone(), film.clone()),
            session: Session::new(film, profile, is_udp, Instant::now(), ntp()),
            udp,
            held: None,
            base: base.to_owned(),
            deliveries: Vec::new(),
            speed: None,
            scale: None,
            place,
        })
    }

    /// Handles PLAY. Returns an answer only if it is refused.
    fn play(&mut self, request: &Request) -> Option<Answer> {
        let active = self.active.as_mut()?;
        let range = match request.header("Range").map(Range::parse) {
            Some(None) => return Some(Answer::new(457)),
            range => range.flatten(),
        };
        // A scale that is not honoured is not answered, and the film has its own pace.
        let scale = request.header("Scale").and_then(Scale::parse).filter(|_| active.session.can_scale());
        if range.is_some_and(|range: Range| !range.runs(scale.is_some_and(Scale::is_backward))) {
            return Some(Answer::new(457));
        }
        active.scale = scale;
        let scale = scale.unwrap_or(Scale::NORMAL);
        let speed = request.header("Speed").and_then(|value| value.parse::<f64>().ok());
        active.speed = speed.filter(|speed| SPEEDS.contains(speed));
        active.held = request.cseq();
        active.place.activity.set(State::Served(None));
        active.told = None;
        let start = active.session.play(Instant::now(), range, active.speed.unwrap_or(1.0), scale);
        if let Start::Jump(to) = start {
            active.feed.jump(to, active.session.tracks(), scale);
        }
        None
    }
}

fn random_seed() -> Option<Seed> {
    let mut bytes = [0; 10];
    getrandom::fill(&mut bytes).ok()?;
    let word = |at: usize| u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    Some(Seed { ssrc: word(0), timestamp: word(4), sequence: u16::from_ne_bytes([bytes[8], bytes[9]]) })
}

/// Returns the time since 1900 in units of 2^-32 s.
fn ntp() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    (since.as_secs() + NTP_OFFSET_S) << 32 | fraction
}
