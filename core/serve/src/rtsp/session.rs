//! The state of one client's playback (RFC 2326, appendix A), without I/O.
//!
//! `Ready`, after SETUP, becomes `Seeking` with PLAY, and `Playing` when the first sample is here.
//! The answer to PLAY waits for that sample, because clients discard packets that precede the
//! answer. PAUSE goes back to `Ready` and keeps what was not sent; a jump drops it. After the last
//! sample follow the goodbyes, and `Ended`.
//!
//! Sequence numbers are given to packets as they leave, so those that a jump drops leave no gap.

use super::clock::{MediaClock, nanos};
use super::film::Film;
use super::outlet::{Outlet, Seed};
use super::pace::{Pace, Profile};
use super::payload::{MAX_PAYLOAD_BYTES, Payload};
use super::range::Range;
use super::rtp::HEADER_BYTES;
use super::scale::Scale;
use playswarm_media::{Sample, SeekPoint, TrackKind, mux::TsMuxer};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest wait of PLAY for the first sample. Clients give up after 10 to 20 seconds.
const PLAY_WAIT: Duration = Duration::from_secs(8);
/// Time between sender reports of a stream.
const REPORT_EVERY: Duration = Duration::from_secs(5);
/// Silence after which a transport stream gets null packets. VLC gives up after two seconds.
const SILENCE: Duration = Duration::from_millis(500);
/// How often a client is told of the end where a datagram may be lost, and the time between. Without it,
/// FFmpeg waits for minutes.
const GOODBYES: u32 = 4;
const GOODBYE_EVERY: Duration = Duration::from_millis(500);
/// Length in bytes of a packet of a transport stream, and how many fit a payload.
const TS_PACKET_BYTES: usize = 188;
const TS_PACKETS: usize = MAX_PAYLOAD_BYTES / TS_PACKET_BYTES;

/// What PLAY needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// Samples from this time on.
    Jump(Duration),
    /// Nothing; samples continue.
    Continue,
}

/// What the client is to be sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Output {
    /// The answer to PLAY.
    Played(Played),
    /// A packet of a stream.
    Send { stream: usize, is_rtcp: bool, packet: Vec<u8> },
}

/// Content of the answer to PLAY.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Played {
    pub(crate) start: Duration,
    /// Where it ends. `None` if that is not known.
    pub(crate) end: Option<Duration>,
    /// For each stream its number, the next sequence number and the timestamp of `start`.
    pub(crate) streams: Vec<(usize, u16, u32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ready,
    Seeking { since: Instant, asked: Duration, landed: Option<Duration> },
    Playing,
    Ended,
}

/// A packet that was made but not sent.
#[derive(Clone, Debug)]
struct Pending {
    stream: usize,
    pts_ns: i64,
    payload: Payload,
}

/// A playback.
#[derive(Debug)]
pub(crate) struct Session {
    film: Arc<Film>,
    profile: Profile,
    is_udp: bool,
    speed: f64,
    scale: Scale,
    outlets: Vec<Outlet>,
    state: State,
    clock: MediaClock,
    pace: Pace,
    muxer: Option<TsMuxer>,
    /// The next sample. Those before it were sent, or are pending.
    next: Option<Sample>,
    /// Whether no sample follows `next`.
    is_last: bool,
    /// End of the requested range.
    until_ns: i64,
    /// End of what was sent, in decoding time.
    reached_ns: i64,
    pending: VecDeque<Pending>,
    /// Whether a part of what is pending was sent.
    is_begun: bool,
    /// When the line allows the next packet.
    line_at: Option<Instant>,
    sent_at: Instant,
    /// When it last paused or ended.
    stopped_at: Instant,
    /// How often the client was told of the end.
    goodbyes: u32,
    outbox: VecDeque<Output>,
}

impl Session {
    /// Creates a session of which nothing is set up. `ntp` is the time in units of 2^-32 s.
    pub(crate) fn new(film: Arc<Film>, profile: Profile, is_udp: bool, now: Instant, ntp: u64) -> Session {
        let muxer = film.is_muxed().then(|| TsMuxer::new(&film.timeline, &film.muxed)).flatten();
        Session {
            film,
            profile,
            is_udp,
            speed: 1.0,
            scale: Scale::NORMAL,
            outlets: Vec::new(),
            state: State::Ready,
            clock: MediaClock::new(now, ntp),
            pace: Pace::new(profile, now, 0, 0, 0.0, 1.0),
            muxer,
            next: None,
            is_last: false,
            until_ns: i64::MAX,
            reached_ns: 0,
            pending: VecDeque::new(),
            is_begun: false,
            line_at: None,
            sent_at: now,
            stopped_at: now,
            goodbyes: 0,
            outbox: VecDeque::new(),
        }
    }

    pub(crate) fn film(&self) -> &Arc<Film> {
        &self.film
    }

    /// Sets up a stream, or sets it up again. The stream must exist.
    ///
    /// What was kept by a pause has nothing of a new stream, and is dropped.
    pub(crate) fn set_up(&mut self, now: Instant, stream: usize, seed: Seed) {
        if self.next.is_some() || !self.pending.is_empty() {
            self.is_begun = false;
            self.drop_unsent();
        }
        self.outlets.retain(|outlet| outlet.stream != stream);
        self.outlets.push(Outlet::new(stream, seed, now));
        // Clients that ignore the URLs of RTP-Info take its entries in this order.
        self.outlets.sort_by_key(|outlet| outlet.stream);
    }

    /// Ends a stream. Returns whether others remain.
    pub(crate) fn tear_down(&mut self, stream: usize) -> bool {
        self.outlets.retain(|outlet| outlet.stream != stream);
        self.pending.retain(|pending| pending.stream != stream);
        !self.outlets.is_empty()
    }

    /// Returns the tracks that are to be read: of sound only where the film has its own pace.
    pub(crate) fn tracks(&self) -> Vec<usize> {
        let mut tracks = self.film.tracks(self.outlets.iter().map(|outlet| outlet.stream));
        if !self.scale.is_normal() {
            tracks.retain(|track| self.kind(*track) == Some(TrackKind::Video));
        }
        tracks
    }

    /// Whether the film can run at another pace. The times within a transport stream are the film's.
    pub(crate) fn can_scale(&self) -> bool {
        let mut tracks = self.film.tracks(self.outlets.iter().map(|outlet| outlet.stream)).into_iter();
        !self.film.is_muxed() && tracks.any(|track| self.kind(track) == Some(TrackKind::Video))
    }

    fn kind(&self, track: usize) -> Option<TrackKind> {
        self.film.timeline.tracks().get(track).map(|track| track.kind)
    }

    /// Whether streams may be set up: nothing is being played.
    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready | State::Ended)
    }

    /// Returns the time of the film that the client shows, and whether it plays. A client that has
    /// shown all that was sent stands still.
    pub(crate) fn playhead(&self, now: Instant) -> (Duration, bool) {
        let (at, playing) = match self.state {
            State::Seeking { asked, .. } => return (asked, true),
            State::Playing => (now, true),
            State::Ready | State::Ended => (self.stopped_at, false),
        };
        let shown = self.pace.shows(at).min(self.reached_ns).max(0);
        (Duration::from_nanos(shown.unsigned_abs()), playing)
    }

    /// Returns the film that was sent and is not shown yet.
    pub(crate) fn lead(&self, now: Instant) -> Duration {
        let reached = Duration::from_nanos(self.reached_ns.max(0).unsigned_abs());
        match self.state {
            State::Seeking { .. } => Duration::ZERO,
            _ => reached.saturating_sub(self.playhead(now).0),
        }
    }

    /// Whether a stream has this SSRC.
    pub(crate) fn has_ssrc(&self, ssrc: u32) -> bool {
        self.outlets.iter().any(|outlet| outlet.seed.ssrc == ssrc)
    }

    /// Handles PLAY. Its answer is an [`Output::Played`].
    pub(crate) fn play(&mut self, now: Instant, range: Option<Range>, speed: f64, scale: Scale) -> Start {
        let goes_on = scale == self.scale;
        let here = self.position(now, scale);
        let never = if scale.is_backward() { i64::MIN } else { i64::MAX };
        self.until_ns = range.and_then(|range| range.end).map_or(never, nanos);
        (self.speed, self.scale) = (speed, scale);
        let asked = range.and_then(|range| range.start);
        match (asked, self.state, &self.next) {
            (None, State::Playing, _) if goes_on => {
                self.outbox.push_back(Output::Played(self.played(here)));
                return Start::Continue;
            }
            (None, State::Ready, Some(next)) if goes_on => {
                let start = Duration::from_nanos(next.dts_ns.max(0).unsigned_abs());
                self.begin(now, start, start);
                return Start::Continue;
            }
            _ => {}
        }
        let asked = asked.unwrap_or(here);
        self.drop_unsent();
        let duration = self.film.timeline.duration();
        let is_past = !duration.is_zero() && asked >= duration && !scale.is_backward();
        self.is_last = is_past;
        let asked = if is_past { duration } else { asked };
        self.state = State::Seeking { since: now, asked, landed: is_past.then_some(duration) };
        if is_past { Start::Continue } else { Start::Jump(asked) }
    }

    /// Returns the time from which a PLAY without a time plays.
    fn position(&self, now: Instant, scale: Scale) -> Duration {
        let at = match self.state {
            State::Playing => self.pace.shows(now),
            // A pause may have come while the next sample was awaited.
            State::Ready => self.reached_ns,
            State::Seeking { asked, .. } => return asked,
            State::Ended if scale.is_backward() => return self.film.timeline.duration(),
            State::Ended => 0,
        };
        Duration::from_nanos(at.max(0).unsigned_abs())
    }

    /// Drops what a jump makes useless. A picture of which a part was sent is sent to its end, since a
    /// player would decode half a one.
    fn drop_unsent(&mut self) {
        (self.next, self.is_last, self.line_at) = (None, false, None);
        let Some(muxer) = &mut self.muxer else {
            if !self.is_begun {
                self.pending.clear();
            }
            return;
        };
        let mut out = Vec::new();
        muxer.flush(&mut out);
        muxer.restart();
        self.queue_packets(self.reached_ns, &out);
    }

    /// Handles PAUSE. What was not sent is kept, and the sample in work is sent to its end.
    pub(crate) fn pause(&mut self, now: Instant) {
        self.release(now);
        if self.state == State::Playing {
            self.stopped_at = now;
        }
        self.state = State::Ready;
    }

    /// Answers a PLAY that waits, because the client has sent another request.
    pub(crate) fn release(&mut self, now: Instant) {
        if let State::Seeking { asked, landed, .. } = self.state {
            self.begin(now, landed.unwrap_or(asked), asked);
        }
    }

    /// Records where the reading begins.
    pub(crate) fn landed(&mut self, point: SeekPoint) {
        if let State::Seeking { landed, .. } = &mut self.state
            && !point.estimated
        {
            *landed = Some(point.time);
        }
    }

    /// Whether the next sample is needed.
    pub(crate) fn wants_sample(&self) -> bool {
        let runs = matches!(self.state, State::Seeking { .. } | State::Playing);
        runs && self.next.is_none() && self.pending.is_empty() && !self.is_last
    }

    /// Accepts the next sample. Sound before the film's start, the priming of a decoder, is left out:
    /// players take the first time for the film's start, and their jumps would be off by it.
    pub(crate) fn offer(&mut self, sample: Sample) {
        let is_sound = self.kind(sample.track) == Some(TrackKind::Audio);
        let is_past = match self.scale.is_backward() {
            true => sample.pts_ns < self.until_ns,
            false => sample.dts_ns >= self.until_ns,
        };
        match is_past {
            true => self.is_last = true,
            false if is_sound && sample.pts_ns < 0 => {}
            false => self.next = Some(sample),
        }
    }

    /// Records that no sample follows.
    pub(crate) fn end(&mut self) {
        self.is_last = true;
    }

    /// Begins to play at a time, and answers PLAY.
    fn begin(&mut self, now: Instant, start: Duration, asked: Duration) {
        let rate = self.film.timeline.bytes_per_s(start).unwrap_or_default();
        // A player that shows only keyframes decodes nothing up to the time that it asked for.
        let asked = if self.scale.is_by_keyframes() { start } else { asked };
        let scale = self.scale.factor();
        self.clock.begin(now, start, scale);
        self.pace = Pace::new(self.profile, now, nanos(start), nanos(asked), rate, self.speed * scale);
        self.outlets.iter_mut().for_each(|outlet| outlet.report_at = now);
        self.outbox.push_back(Output::Played(self.played(start)));
        self.reached_ns = nanos(start);
        (self.state, self.sent_at) = (State::Playing, now);
    }

    fn played(&self, start: Duration) -> Played {
        let stream = |outlet: &Outlet| {
            let format = &self.film.formats[outlet.stream];
            (outlet.stream, outlet.sequence, self.clock.timestamp(format, outlet.seed.timestamp, nanos(start)))
        };
        let duration = Some(self.film.timeline.duration()).filter(|duration| !duration.is_zero());
        let until = Duration::from_nanos(self.until_ns.max(0).unsigned_abs());
        let end = match self.scale.is_backward() {
            true => Some(until),
            false if self.until_ns == i64::MAX => duration,
            false => Some(duration.map_or(until, |duration| until.min(duration))),
        };
        // The keyframe at which it begins may lie beyond: nothing is played then.
        let end = end.map(|end| if self.scale.is_backward() { end.min(start) } else { end.max(start) });
        Played { start, end, streams: self.outlets.iter().map(stream).collect() }
    }

    /// Returns what is to be sent now, in order.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Output> {
        loop {
            if let Some(output) = self.outbox.pop_front() {
                return Some(output);
            }
            if self.state == State::Playing
                && let Some(report) = self.report(now)
            {
                return Some(report);
            }
            if let Some(pending) = self.pending.front() {
                let bytes = HEADER_BYTES + pending.payload.data.len();
                self.line_at = self.pace.line(now, bytes).err();
                return if self.line_at.is_some() { None } else { self.send(now) };
            }
            match self.state {
                State::Ended if self.goodbye_at().is_some_and(|at| at <= now) => self.say_goodbye(now),
                State::Ready | State::Ended => return None,
                State::Seeking { since, asked, landed } => {
                    if self.next.is_none() && !self.is_last && now < since + PLAY_WAIT {
                        return None;
                    }
                    let first = self.next.as_ref().map(|next| Duration::from_nanos(next.pts_ns.max(0).unsigned_abs()));
                    self.begin(now, landed.or(first).unwrap_or(asked), asked);
                }
                State::Playing if self.next.as_ref().is_some_and(|next| self.pace.due(next.dts_ns) <= now) => {
                    self.pack(now);
                }
                State::Playing if self.end_at(now).is_some_and(|at| at <= now) => {
                    (self.state, self.stopped_at, self.goodbyes) = (State::Ended, now, 0);
                    self.say_goodbye(now);
                }
                State::Playing if self.muxer.is_some() && now >= self.sent_at + SILENCE => {
                    let mut nulls = Vec::new();
                    self.muxer.iter().for_each(|muxer| muxer.idle(TS_PACKETS, &mut nulls));
                    self.queue_packets(self.pace.shows(now), &nulls);
                }
                State::Playing => return None,
            }
        }
    }

    /// Returns when [`Session::poll`] must be called again, if nothing else happens.
    pub(crate) fn next_timeout(&self, now: Instant) -> Option<Instant> {
        let reports = self.outlets.iter().map(|outlet| outlet.report_at).min();
        match self.state {
            _ if !self.pending.is_empty() => self.line_at,
            State::Ended => self.goodbye_at(),
            State::Ready => None,
            State::Seeking { since, .. } => Some(since + PLAY_WAIT),
            State::Playing => {
                let due = self.next.as_ref().map(|next| self.pace.due(next.dts_ns));
                let nulls = self.muxer.is_some().then(|| self.sent_at + SILENCE);
                [due, self.end_at(now), nulls, reports].into_iter().flatten().min()
            }
        }
    }

    /// Tells the client that its streams have ended.
    fn say_goodbye(&mut self, now: Instant) {
        let goodbyes: Vec<Output> = (0..self.outlets.len()).map(|n| self.sender_report(now, n, true)).collect();
        self.outbox.extend(goodbyes);
        self.goodbyes += 1;
    }

    /// Returns when an ended session says so again.
    fn goodbye_at(&self) -> Option<Instant> {
        (self.is_udp && self.goodbyes < GOODBYES).then(|| self.stopped_at + self.goodbyes * GOODBYE_EVERY)
    }

    /// Returns when the client is told of the end, after the last sample was sent.
    fn end_at(&self, now: Instant) -> Option<Instant> {
        let after = self.pace.profile().end_after;
        let at = || if after.is_zero() { now } else { self.pace.shown(self.reached_ns) + after };
        (self.is_last && self.next.is_none() && self.pending.is_empty()).then(at)
    }

    /// Makes packets of the next sample.
    fn pack(&mut self, now: Instant) {
        let Some(sample) = self.next.take() else { return };
        self.pace.goes_out(now, sample.dts_ns);
        self.is_begun = false;
        self.reached_ns = match self.scale.is_backward() {
            true => sample.dts_ns,
            false => self.reached_ns.max(sample.dts_ns.saturating_add(sample.duration_ns)),
        };
        self.clock.sent(sample.pts_ns, sample.duration_ns);
        if let Some(muxer) = &mut self.muxer {
            let mut out = Vec::new();
            muxer.write(&sample, &mut out);
            self.queue_packets(sample.pts_ns, &out);
            return;
        }
        let is_of = |outlet: &&Outlet| self.film.formats[outlet.stream].track == Some(sample.track);
        let Some(&Outlet { stream, .. }) = self.outlets.iter().find(is_of) else { return };
        let payloads = self.film.formats[stream].split(&sample);
        let pending = |payload: Payload| Pending { stream, pts_ns: sample.pts_ns + payload.after_ns, payload };
        self.pending.extend(payloads.into_iter().map(pending));
    }

    /// Queues whole packets of a transport stream, as many in a payload as fit.
    fn queue_packets(&mut self, pts_ns: i64, packets: &[u8]) {
        let payloads = packets.chunks(TS_PACKETS * TS_PACKET_BYTES);
        let payload = |data: &[u8]| Payload { data: data.to_vec(), ..Payload::default() };
        self.pending.extend(payloads.map(|data| Pending { stream: 0, pts_ns, payload: payload(data) }));
    }

    /// Sends the first pending packet.
    fn send(&mut self, now: Instant) -> Option<Output> {
        let Pending { stream, pts_ns, payload } = self.pending.pop_front()?;
        self.is_begun = !self.pending.is_empty();
        let outlet = self.outlets.iter_mut().find(|outlet| outlet.stream == stream)?;
        let format = &self.film.formats[outlet.stream];
        let timestamp = self.clock.timestamp(format, outlet.seed.timestamp, pts_ns);
        self.sent_at = now;
        Some(Output::Send { stream, is_rtcp: false, packet: outlet.packet(format.payload_type, timestamp, &payload) })
    }

    /// Returns the report of a stream for which it is due.
    fn report(&mut self, now: Instant) -> Option<Output> {
        let due = self.outlets.iter().position(|outlet| outlet.report_at <= now)?;
        self.outlets[due].report_at = now + REPORT_EVERY;
        Some(self.sender_report(now, due, false))
    }

    fn sender_report(&self, now: Instant, outlet: usize, ends: bool) -> Output {
        let outlet = &self.outlets[outlet];
        let at = self.pace.shows(now);
        let timestamp = self.clock.timestamp(&self.film.formats[outlet.stream], outlet.seed.timestamp, at);
        let packet = outlet.report(self.clock.ntp(at), timestamp, ends);
        Output::Send { stream: outlet.stream, is_rtcp: true, packet }
    }
}
