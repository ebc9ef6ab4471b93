//! The faces that speak a network protocol to players: HTTP with ranges, a page, a playlist, status and metrics.
//!
//! | file | is about |
//! |---|---|
//! | `server` | the listener, its connections and their bounds |
//! | `access` | who may ask: Host, Origin, token |
//! | `deliver`, `range` | one file: preconditions, ranges, the body |
//! | `when`, `seek` | times as they are written; a file from a time on |
//! | `timeline` | what is known of a file's time |
//! | `subtitles`, `vtt` | what lies beside a film, and for browsers as WebVTT |
//! | `listing` | page, playlist, torrent file |
//! | `watch` | status, events, metrics |
//! | `library` | what is served, as the front sees it |

mod access;
mod deliver;
mod library;
mod listing;
mod names;
pub(crate) mod range;
mod seek;
mod server;
mod subtitles;
#[cfg(test)]
mod tests;
mod timeline;
mod vtt;
mod watch;
mod when;

pub use names::natural_order;
pub use timeline::timeline_json;
pub use when::{clock_time, parse_time};

use crate::torrent::{Beside, content_type, is_playable, natural_cmp};
use crate::{Error, Media, Result};
use access::{Access, Granted, Refusal};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::IntoResponse;
use axum::routing::get;
use http::header::{self, HeaderName};
use http::{HeaderValue, Method, Response, StatusCode};
use library::Library;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use tokio::sync::Semaphore;

/// Settings of the HTTP front.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Where to listen. Loopback, any free port: nobody else's business until the user says so.
    pub listen: SocketAddr,
    /// A secret that every request must bring, as `Authorization: Bearer …` or `?token=…`; visible ASCII. None by default.
    pub token: Option<String>,
    /// Names (without port) under which this server is known beside its address and `localhost`.
    pub allow_hosts: Vec<String>,
    /// Origins (`https://app.example`) whose pages may read everything here (CORS). None by default.
    pub allow_origins: Vec<String>,
    /// Connections at once; more are answered 503. 256: players open a handful each.
    pub max_connections: usize,
}

impl Default for HttpConfig {
    fn default() -> Self {
        HttpConfig {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            token: None,
            allow_hosts: Vec::new(),
            allow_origins: Vec::new(),
            max_connections: 256,
        }
    }
}

/// The token is a secret, so it does not show.
impl fmt::Debug for HttpConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpConfig")
            .field("listen", &self.listen)
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("allow_hosts", &self.allow_hosts)
            .field("allow_origins", &self.allow_origins)
            .field("max_connections", &self.max_connections)
            .finish()
    }
}

impl HttpConfig {
    /// Refuses what could not work, with a sentence.
    pub fn check(&self) -> Result<()> {
        let bad = |name: &str, why: &str| Err(Error::BadConfig { name: name.into(), why: why.into() });
        if self.token.as_ref().is_some_and(|t| t.is_empty() || !t.bytes().all(|b| b.is_ascii_graphic())) {
            return bad("token", "a token is one or more visible ASCII characters without spaces");
        }
        if self.max_connections == 0 || self.max_connections > Semaphore::MAX_PERMITS {
            return bad("max_connections", "at least one connection is needed");
        }
        Ok(())
    }
}

/// A running HTTP front; stopped by [`Server::stop`] or when it is dropped.
pub struct Server {
    running: server::Running,
    path_of: Box<dyn Fn(usize) -> String + Send + Sync>,
    file: usize,
}

impl Server {
    /// The URL of the default file's stream, the token included where one is needed.
    pub fn url(&self) -> String {
        self.url_of(self.file)
    }

    /// The URL of that file's stream. One that the torrent lacks gives a URL that answers 404.
    pub fn url_of(&self, file: usize) -> String {
        format!("http://{}{}", reachable(self.running.addr), (self.path_of)(file))
    }

    /// Where it listens; the port is the real one.
    pub fn addr(&self) -> SocketAddr {
        self.running.addr
    }

    /// Stops listening, ends every connection and waits for that.
    pub async fn stop(self) {
        self.running.stop().await;
    }
}

/// "All interfaces" is no address that a player could open.
fn reachable(addr: SocketAddr) -> SocketAddr {
    match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), addr.port()),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::new(std::net::Ipv6Addr::LOCALHOST.into(), addr.port()),
        _ => addr,
    }
}

/// Serves the files of an open torrent over HTTP; `file` is the one that [`Server::url`] names.
///
/// # Errors
/// [`Error::Listen`] where the address cannot be had, [`Error::BadConfig`], [`Error::NoSuchFile`].
pub async fn serve(media: Media, file: usize, config: HttpConfig) -> Result<Server> {
    serve_library(media, file, config).await
}

/// What every handler shares.
pub(crate) struct App<L> {
    library: L,
    beside: Beside,
    /// Somebody learns the durations of all files already.
    learning: Arc<AtomicBool>,
    /// The default file.
    file: usize,
    addr: SocketAddr,
    token: Option<String>,
    access: Access,
    /// Bytes of files handed to connections.
    sent_bytes: Arc<AtomicU64>,
    slots: Arc<Semaphore>,
    max_connections: usize,
}

impl<L> App<L> {
    fn connections(&self) -> usize {
        self.max_connections.saturating_sub(self.slots.available_permits())
    }
}

impl<L: Library> App<L> {
    /// The file of that number, as it stands in a path.
    fn file_of(&self, number: &str) -> Option<usize> {
        let file = number.parse::<usize>().ok()?;
        self.library.torrent().files.get(file).filter(|f| !f.padding).map(|_| file)
    }
}

pub(crate) async fn serve_library<L: Library>(library: L, file: usize, config: HttpConfig) -> Result<Server> {
    config.check()?;
    let files = library.torrent().files.len();
    if file >= files {
        return Err(Error::NoSuchFile { wanted: file.to_string(), files });
    }
    let (listener, addr) = server::bind(config.listen).await?;
    let slots = Arc::new(Semaphore::new(config.max_connections));
    let app = Arc::new(App {
        beside: Beside::new(library.torrent()),
        learning: Arc::default(),
        library,
        file,
        addr,
        token: config.token.clone(),
        access: Access::new(&config, addr),
        sent_bytes: Arc::new(AtomicU64::new(0)),
        slots: slots.clone(),
        max_connections: config.max_connections,
    });
    let paths = app.clone();
    let running = server::run(listener, addr, router(app), slots);
    Ok(Server { running, path_of: Box::new(move |i| paths.path_of(i)), file })
}

fn router<L: Library>(app: Arc<App<L>>) -> Router {
    Router::new()
        .route("/", get(deliver::root::<L>))
        .route("/page.css", get(listing::style))
        .route("/stream/{file}", get(deliver::plain::<L>))
        .route("/stream/{file}/{*name}", get(deliver::named::<L>))
        .route("/timeline/{file}", get(timeline::timeline::<L>))
        .route("/subtitles", get(subtitles::all::<L>))
        .route("/subtitles/{file}", get(subtitles::one::<L>))
        .route("/playlist.m3u8", get(listing::playlist::<L>))
        .route("/torrent", get(listing::torrent::<L>))
        .route("/status", get(watch::status::<L>))
        .route("/status/events", get(watch::events::<L>))
        .route("/metrics", get(watch::metrics::<L>))
        .fallback(|| async { answer(StatusCode::NOT_FOUND, "there is nothing here; / lists what there is") })
        .layer(from_fn_with_state(app.clone(), guard::<L>))
        .with_state(app)
}

/// What pages of allowed sites may read of an answer's head.
const EXPOSED: &str = "Accept-Ranges, Content-Length, Content-Range, ETag, Retry-After, Playswarm-Time, Playswarm-Keyframe, \
                       Playswarm-Estimated, Playswarm-Duration, TimeSeekRange.dlna.org";

/// Checks every request before its handler, and puts on every answer what belongs on all of them.
async fn guard<L: Library>(State(app): State<Arc<App<L>>>, mut request: Request, next: Next) -> Response<Body> {
    // The path only: the query may hold the token.
    tracing::debug!(method = %request.method(), path = request.uri().path(), range = ?request.headers().get(header::RANGE), "http request");
    let mut response = match app.access.check(request.method(), request.uri(), request.headers()) {
        Err(Refusal(status, why)) => {
            tracing::debug!(%status, why, "http request refused");
            let mut response = answer(status, why);
            if status == StatusCode::UNAUTHORIZED {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            response
        }
        Ok(Granted { cors: Some(origin), .. }) if request.method() == Method::OPTIONS => {
            let mut response = StatusCode::NO_CONTENT.into_response();
            let headers = response.headers_mut();
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD"));
            headers.insert(
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                HeaderValue::from_static(
                    "Authorization, Range, If-Range, If-Match, If-None-Match, TimeSeekRange.dlna.org",
                ),
            );
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
            response
        }
        Ok(granted) => {
            let cors = granted.cors.clone();
            request.extensions_mut().insert(granted);
            let mut response = next.run(request).await;
            if let Some(origin) = cors {
                let headers = response.headers_mut();
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
                headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
            }
            response
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    if !headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
        headers
            .insert(HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin"));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

fn no_such_file() -> Response<Body> {
    answer(StatusCode::NOT_FOUND, "there is no such file in this torrent; / lists them")
}

/// A status and a sentence.
fn answer(status: StatusCode, sentence: &str) -> Response<Body> {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{sentence}\n")).into_response()
}
