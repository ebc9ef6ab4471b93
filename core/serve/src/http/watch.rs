//! The state of the torrent, for programs: JSON, server-sent events, and Prometheus' text format.

use super::App;
use super::library::Library;
use crate::rtsp::{RtspSession, RtspView};
use async_stream::stream;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, sse};
use http::Response;
use http::header::CONTENT_TYPE;
use playswarm::TorrentStatus;
use serde::Serialize;
use std::convert::Infallible;
use std::fmt::{Display, Write as _};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::MissedTickBehavior;

/// Interval between two snapshots of `/status/events`: short enough for a moving bar, long enough
/// to cost little.
const SNAPSHOT_EVERY: Duration = Duration::from_secs(1);

/// Age up to which a snapshot is also sent to other watchers.
const SNAPSHOT_AGE: Duration = Duration::from_millis(200);

/// `/status`
pub(crate) async fn status<L: Library>(State(app): State<Arc<App<L>>>) -> Response<Body> {
    app.answer_off_thread(|app| Json(Status::of(&app.library, &app.rtsp)).into_response()).await
}

/// A torrent's state and the sessions of the RTSP server.
#[derive(Serialize)]
struct Status {
    #[serde(flatten)]
    torrent: TorrentStatus,
    rtsp: Vec<RtspSession>,
}

impl Status {
    fn of<L: Library>(library: &L, rtsp: &OnceLock<RtspView>) -> Status {
        Status { torrent: library.status(), rtsp: rtsp.get().map(RtspView::sessions).unwrap_or_default() }
    }
}

/// `/status/events`: `status` at once and each second, `event` for each event, `lagged` where
/// events were lost.
pub(crate) async fn events<L: Library>(State(app): State<Arc<App<L>>>) -> impl IntoResponse {
    let mut happened = app.library.events();
    let mut tick = tokio::time::interval(SNAPSHOT_EVERY);
    // A client that reads slowly gets fewer snapshots, not a burst of old ones.
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stream = stream! {
        loop {
            let message = tokio::select! {
                _ = tick.tick() => sse::Event::default().event("status").data(app.snapshots.get(&app).await),
                event = happened.recv() => match event {
                    Ok(event) => json("event", &event),
                    Err(RecvError::Lagged(missed)) => sse::Event::default().event("lagged").data(missed.to_string()),
                    Err(RecvError::Closed) => break,
                },
            };
            yield Ok::<_, Infallible>(message);
        }
    };
    ([(super::deliver::NO_BUFFER, "no")], Sse::new(stream).keep_alive(KeepAlive::default()))
}

/// Returns an event with a value as JSON.
pub(crate) fn json<T: Serialize>(name: &str, value: &T) -> sse::Event {
    sse::Event::default().event(name).data(line(value))
}

/// Returns a value as JSON on one line. A value that has no JSON becomes `null`.
fn line<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".into())
}

/// The last snapshot of the state as JSON, shared by all watchers. Its cost grows with the number
/// of pieces.
#[derive(Default)]
pub(crate) struct Snapshots(Mutex<Option<(Instant, Arc<str>)>>);

impl Snapshots {
    /// Returns a snapshot that is at most [`SNAPSHOT_AGE`] old. Watchers that come while one is
    /// made wait for it.
    async fn get<L: Library>(&self, app: &App<L>) -> Arc<str> {
        let mut last = self.0.lock().await;
        if let Some((taken, text)) = &*last
            && taken.elapsed() < SNAPSHOT_AGE
        {
            return text.clone();
        }
        let (library, rtsp) = (app.library.clone(), app.rtsp.clone());
        let made = app.workers.run(move || line(&Status::of(&library, &rtsp))).await;
        let text: Arc<str> = made.unwrap_or_else(|_| "null".into()).into();
        *last = Some((Instant::now(), text.clone()));
        text
    }
}

/// `/metrics`: Prometheus' text format, version 0.0.4.
pub(crate) async fn metrics<L: Library>(State(app): State<Arc<App<L>>>) -> Response<Body> {
    app.answer_off_thread(|app| {
        let mut text = prometheus(&app.library.status(), app.sent_bytes.load(Ordering::Relaxed), app.connections());
        app.rtsp.get().into_iter().for_each(|view| rtsp_metrics(&mut text, view));
        ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text.into_text()).into_response()
    })
    .await
}

/// Escapes a label's value: backslash, quote and line feed.
pub(crate) fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Writes one family after the other, as the format requires: HELP and TYPE once, then all samples.
pub(crate) struct Metrics {
    out: String,
    labels: String,
    name: &'static str,
}

impl Metrics {
    /// Begins a text whose samples have these labels.
    pub(crate) fn new(labels: String) -> Metrics {
        Metrics { out: String::with_capacity(4096), labels, name: "" }
    }

    pub(crate) fn into_text(self) -> String {
        self.out
    }

    fn family(&mut self, name: &'static str, help: &str) -> &mut Self {
        let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
        let _ = write!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        self.name = name;
        self
    }
    fn sample(&mut self, more: &str, value: impl Display) -> &mut Self {
        let _ = writeln!(self.out, "{}{{{}{more}}} {value}", self.name, self.labels);
        self
    }

    /// Writes a family with a single sample.
    pub(crate) fn one(&mut self, name: &'static str, help: &str, value: impl Display) {
        self.family(name, help).sample("", value);
    }
}

/// Adds the figures of an RTSP server.
fn rtsp_metrics(text: &mut Metrics, view: &RtspView) {
    let counters = view.counters();
    text.one("playswarm_rtsp_sessions", "RTSP sessions.", view.sessions().len());
    text.one("playswarm_rtsp_sent_packets_total", "RTP packets sent.", counters.packets);
    text.one("playswarm_rtsp_sent_bytes_total", "Bytes of RTP packets sent.", counters.bytes);
    text.one("playswarm_rtsp_lost_packets_total", "Lost RTP packets, as clients report them.", counters.lost);
    text.one(
        "playswarm_rtsp_refused_requests_total",
        "RTSP requests and connections that were refused.",
        counters.refused,
    );
}

fn prometheus(s: &TorrentStatus, http_sent: u64, http_connections: usize) -> Metrics {
    let labels = format!("info_hash=\"{}\",name=\"{}\"", s.info_hash, escape(&s.name));
    let mut m = Metrics::new(labels);
    m.one("playswarm_size_bytes", "Bytes of all files of the torrent.", s.total_bytes);
    m.one("playswarm_verified_bytes", "Bytes of verified pieces.", s.verified_bytes);
    m.one("playswarm_downloaded_bytes_total", "Payload received from peers.", s.downloaded_bytes);
    m.one("playswarm_uploaded_bytes_total", "Payload sent to peers.", s.uploaded_bytes);
    m.family("playswarm_wasted_bytes_total", "Payload received and not used, by reason.")
        .sample(",reason=\"duplicate\"", s.waste.duplicate_bytes)
        .sample(",reason=\"unasked\"", s.waste.unasked_bytes)
        .sample(",reason=\"failed\"", s.waste.failed_bytes)
        .sample(",reason=\"forgotten\"", s.waste.forgotten_bytes);
    m.one("playswarm_download_bytes_per_second", "Payload received over the last seconds.", s.download_bytes_per_s);
    m.one("playswarm_upload_bytes_per_second", "Payload sent over the last seconds.", s.upload_bytes_per_s);
    let incoming = s.peers.iter().filter(|p| p.incoming).count();
    m.family("playswarm_peers", "Connected peers, by direction of the connection.")
        .sample(",direction=\"incoming\"", incoming)
        .sample(",direction=\"outgoing\"", s.peers.len() - incoming);
    m.one(
        "playswarm_unchoking_peers",
        "Connected peers that have unchoked us.",
        s.peers.iter().filter(|p| !p.choked_by).count(),
    );
    let states = ["standby", "dialling", "serving", "queued", "waiting", "refused", "banned"];
    let mut sources = m.family("playswarm_sources", "Web seeds, mirrors and servents, by state.");
    for state in states {
        let count = s.sources.iter().filter(|source| source.state == state).count();
        sources = sources.sample(&format!(",state=\"{state}\""), count);
    }
    m.one(
        "playswarm_sources_downloaded_bytes_total",
        "Payload received from web seeds, mirrors and servents.",
        s.sources.iter().map(|source| source.downloaded_bytes).sum::<u64>(),
    );
    m.one("playswarm_known_peers", "Peers known but not connected.", s.known_peers);
    m.one("playswarm_banned_peers", "Banned peers.", s.banned_peers);
    m.one("playswarm_memory_bytes", "Bytes held in memory for the torrent.", s.memory_bytes);
    m.one("playswarm_disk_bytes", "Bytes of verified pieces on disk.", s.disk_bytes);
    m.one("playswarm_trouble", "1 while downloading is blocked, 0 otherwise.", u8::from(s.trouble.is_some()));
    // Ours that read an index are no player's.
    let players = || s.readers.iter().filter(|r| !r.index);
    m.one("playswarm_readers", "Open readers.", players().count());
    // A reader has no lasting name, so the figures are sums and minima over readers, which stay
    // meaningful over time.
    m.one("playswarm_waiting_readers", "Open readers that wait for data now.", players().filter(|r| r.waiting).count());
    if let Some(least) = players().map(|r| r.ahead_bytes).min() {
        m.one("playswarm_ahead_bytes", "Verified bytes ahead of the reader that has the fewest.", least);
    }
    if let Some(least) = players().filter_map(|r| r.ahead_s).reduce(f64::min) {
        m.one("playswarm_ahead_seconds", "The least media time ahead of any reader.", least);
    }
    if let Some(playhead) = &s.playhead {
        if let Some(time) = playhead.time_s {
            m.one("playswarm_playhead_seconds", "Position of the player in its file.", time);
        }
        if let Some(until) = playhead.buffered_until_s {
            m.one(
                "playswarm_buffered_until_seconds",
                "Position up to which the player can play without waiting.",
                until,
            );
        }
        if let Some(wait) = playhead.initial_buffering_s {
            m.one(
                "playswarm_initial_buffering_seconds",
                "Wait before playback from the beginning with which a player never stalls.",
                wait,
            );
        }
    }
    m.one("playswarm_http_sent_bytes_total", "Bytes of files handed to HTTP clients.", http_sent);
    m.one("playswarm_http_connections", "Open HTTP connections.", http_connections);
    m
}
