//! HTTP for players, browsers and scripts: files with ranges and times, a page, a playlist, status
//! and metrics.
//!
//! | file | subject |
//! |---|---|
//! | `config` | the settings |
//! | `server`, `connection` | the listener, its connections and their bounds |
//! | `guard`, `access` | which requests are answered: Host, Origin, token |
//! | `request_line` | request targets of old players |
//! | `paths`, `links` | paths as clients write them; links to our own paths, also behind proxies |
//! | `deliver`, `range`, `body_pacer` | one file: preconditions, ranges, the body |
//! | `when`, `seek` | times as text; a file from a time on |
//! | `dlna` | headers of televisions |
//! | `timeline` | the known times of a file |
//! | `subtitles` | subtitle files of a film |
//! | `conversions`, `vtt`, `charset` | subtitles as UTF-8 and as WebVTT |
//! | `listing`, `names` | page, playlist, torrent file; file names |
//! | `watch` | status, events, metrics |
//! | `live` | the server of a live channel: its stream, its status |
//! | `library` | the source of the files: an open torrent, or in tests files in memory |
//! | `workers` | work that must not block the threads of the connections |

mod access;
mod body_pacer;
mod charset;
mod config;
mod connection;
mod conversions;
mod deliver;
mod dlna;
mod guard;
mod library;
pub(crate) mod links;
mod listing;
mod live;
mod names;
pub(crate) mod paths;
pub(crate) mod range;
pub(crate) mod request_line;
mod seek;
mod server;
mod subtitles;
#[cfg(test)]
mod tests;
mod timed_text;
mod timeline;
pub(crate) mod vtt;
mod watch;
mod when;
mod workers;

pub use config::{HttpConfig, Remedies, parse_host, parse_origin};
pub use live::{ChannelServer, serve_channel};
pub use names::natural_order;
pub use timeline::timeline_json;
pub use when::{clock_time, parse_time};

use crate::admission::Limits;
use crate::hosts::own_names;
use crate::listening::{Running, bind};
use crate::places::Places;
use crate::rtsp::RtspView;
use access::Access;
use axum::Router;
use axum::body::Body;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::get;
use connection::Patience;
use guard::Gate;
use http::{Response, StatusCode, header};
use library::Library;
use playswarm::metainfo::Sidecars;
use playswarm::{Error, Result, TorrentHandle};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock};
use workers::Workers;

/// Answers that are made at the same time on threads of their own. Two, so that a long one does not
/// hold up a short one.
const ANSWERS_AT_ONCE: usize = 2;

/// A running HTTP server. [`Server::stop`] ends it, and so does dropping it.
pub struct Server {
    running: Running,
    path_of: Box<dyn Fn(usize) -> String + Send + Sync>,
    subtitle_path: Box<dyn Fn(usize) -> String + Send + Sync>,
    file: usize,
    rtsp: Arc<OnceLock<RtspView>>,
}

impl Server {
    /// Returns the URL of the default file's stream, with the token where one is set.
    pub fn url(&self) -> String {
        self.url_of(self.file)
    }

    /// Returns the URL of a file's stream. For a number that is no file's, the URL answers 404.
    pub fn url_of(&self, file: usize) -> String {
        format!("http://{}{}", self.running.reachable(), (self.path_of)(file))
    }

    /// Returns the URL of a subtitle file for players: as UTF-8, and refused at once while no peer
    /// has it.
    pub fn subtitle_url(&self, file: usize) -> String {
        format!("http://{}{}", self.running.reachable(), (self.subtitle_path)(file))
    }

    /// Shows the sessions of an RTSP server of the same torrent in the status and the metrics. The
    /// first call counts.
    pub fn show_rtsp(&self, view: RtspView) {
        let _ = self.rtsp.set(view);
    }

    /// Returns the address that it listens on, with the real port.
    pub fn addr(&self) -> SocketAddr {
        self.running.addr
    }

    /// Stops listening, closes all connections and waits until they are closed.
    pub async fn stop(self) {
        self.running.stop().await;
    }
}

/// Serves the files of an open torrent over HTTP. `file` is the default file, which [`Server::url`]
/// names.
///
/// The server keeps the torrent open until it is stopped. It must be started within a tokio
/// runtime.
///
/// # Errors
/// [`Error::Listen`] where the address cannot be listened on, [`Error::BadConfig`],
/// [`Error::NoSuchFile`].
pub async fn serve(media: TorrentHandle, file: usize, config: HttpConfig) -> Result<Server> {
    serve_library(media, file, config, Patience::default()).await
}

/// The state that all handlers share.
pub(crate) struct App<L> {
    library: L,
    beside: Sidecars,
    /// The files in their natural order, once a listing needed it.
    order: OnceLock<Vec<usize>>,
    conversions: conversions::Conversions,
    subtitle_wait: subtitles::SubtitleWait,
    /// Whether the durations of all files are being learnt.
    learning: Arc<AtomicBool>,
    /// The default file.
    file: usize,
    token: Option<String>,
    gate: Arc<Gate>,
    /// Bytes of files handed to connections.
    sent_bytes: Arc<AtomicU64>,
    places: Arc<Places>,
    /// The RTSP server beside, if there is one.
    rtsp: Arc<OnceLock<RtspView>>,
    snapshots: watch::Snapshots,
    workers: Workers,
}

impl<L> App<L> {
    /// Returns the number of open connections.
    fn connections(&self) -> usize {
        self.places.len()
    }
}

impl<L: Library> App<L> {
    /// Returns the file of a number in a path. `None` where it is no number, or no file's.
    fn file_of(&self, number: &str) -> Option<usize> {
        // `parse` would take a sign.
        let digits = number.bytes().all(|b| b.is_ascii_digit());
        let file = number.parse::<usize>().ok().filter(|_| digits)?;
        self.library.metainfo().files.get(file).filter(|f| !f.padding).map(|_| file)
    }

    /// Returns the files in their natural order. The first call sorts them, which takes a while for
    /// a large torrent.
    fn natural_order(&self) -> &[usize] {
        self.order.get_or_init(|| natural_order(self.library.metainfo()))
    }

    /// Makes an answer on a thread of its own, because it may take long for a large torrent.
    async fn answer_off_thread(
        self: Arc<Self>,
        make: impl FnOnce(&Arc<Self>) -> Response<Body> + Send + 'static,
    ) -> Response<Body> {
        let app = self.clone();
        self.workers.run(move || make(&app)).await.unwrap_or_else(|e| deliver::refuse(&e))
    }
}

async fn serve_library<L: Library>(library: L, file: usize, config: HttpConfig, patience: Patience) -> Result<Server> {
    config.check()?;
    let files = library.metainfo().files.len();
    if file >= files {
        return Err(Error::NoSuchFile { wanted: file.to_string(), files });
    }
    let (listener, addr) = bind(config.listen, "http.listen").await?;
    let places = Places::new(Limits { places: config.max_connections, per_host: config.max_connections_per_host });
    let workers = Workers::new(ANSWERS_AT_ONCE);
    let rtsp = Arc::new(OnceLock::new());
    let torrent = library.metainfo().clone();
    // Names of many files, the hosts file, and sockets.
    let (beside, own_names) = workers.run(move || (Sidecars::new(&torrent), own_names())).await?;
    let app = Arc::new(App {
        beside,
        order: OnceLock::new(),
        conversions: conversions::Conversions::default(),
        subtitle_wait: subtitles::SubtitleWait::default(),
        learning: Arc::default(),
        library,
        file,
        token: config.token.clone(),
        gate: Arc::new(Gate { access: Access::new(&config, own_names), addr }),
        sent_bytes: Arc::new(AtomicU64::new(0)),
        places: places.clone(),
        rtsp: rtsp.clone(),
        snapshots: watch::Snapshots::default(),
        workers,
    });
    let (paths, subtitles) = (app.clone(), app.clone());
    let running = server::run(listener, addr, router(app), places, patience);
    Ok(Server {
        running,
        path_of: Box::new(move |i| paths.path_of(i)),
        subtitle_path: Box::new(move |i| subtitles.subtitle_path(i)),
        file,
        rtsp,
    })
}

fn router<L: Library>(app: Arc<App<L>>) -> Router {
    Router::new()
        .route("/", get(deliver::root::<L>))
        .route("/page.css", get(listing::style))
        .route("/stream/{file}", get(deliver::file::<L>))
        .route("/timeline/{file}", get(timeline::timeline::<L>))
        .route("/subtitles", get(subtitles::all::<L>))
        .route("/subtitles/{file}", get(subtitles::one::<L>))
        .route("/subtitles/{file}/{*name}", get(subtitles::text::<L>))
        .route("/playlist.m3u8", get(listing::playlist::<L>))
        .route("/torrent", get(listing::torrent::<L>))
        .route("/status", get(watch::status::<L>))
        .route("/status/events", get(watch::events::<L>))
        .route("/metrics", get(watch::metrics::<L>))
        .fallback(|| async { answer(StatusCode::NOT_FOUND, "there is no such page; / lists all files") })
        .layer(from_fn_with_state(app.gate.clone(), guard::guard))
        .with_state(app)
}

fn no_such_file() -> Response<Body> {
    answer(StatusCode::NOT_FOUND, "there is no such file in this torrent; / lists them")
}

/// Returns an answer with a status and a sentence.
fn answer(status: StatusCode, sentence: &str) -> Response<Body> {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{sentence}\n")).into_response()
}

/// Sets a header, if the value can be one.
fn put(headers: &mut http::HeaderMap, name: http::HeaderName, value: &str) {
    if let Ok(value) = http::HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
