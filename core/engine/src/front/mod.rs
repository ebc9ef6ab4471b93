//! The faces that speak a network protocol to players: HTTP with ranges, a page, a playlist, status and metrics.
//!
//! | file | is about |
//! |---|---|
//! | `config` | the settings |
//! | `server`, `connection` | the listener, its connections and their bounds |
//! | `access`, `hosts` | who may ask: Host, Origin, token; the machine's own names |
//! | `request_line` | request targets of old players |
//! | `paths`, `links` | paths as clients write them; links to our own, behind proxies too |
//! | `deliver`, `range` | one file: preconditions, ranges, the body |
//! | `when`, `seek` | times as they are written; a file from a time on |
//! | `dlna` | what televisions ask for |
//! | `timeline` | what is known of a file's time |
//! | `subtitles` | what lies beside a film |
//! | `conversions`, `vtt`, `charset` | the same as WebVTT, for browsers |
//! | `listing` | page, playlist, torrent file |
//! | `watch` | status, events, metrics |
//! | `library` | what is served, as the front sees it |

mod access;
mod charset;
mod config;
mod connection;
mod conversions;
mod deliver;
mod dlna;
mod hosts;
mod library;
mod links;
mod listing;
mod names;
mod paths;
pub(crate) mod range;
mod request_line;
mod seek;
mod server;
mod subtitles;
#[cfg(test)]
mod tests;
mod timeline;
pub(crate) mod vtt;
mod watch;
mod when;

pub use config::{HttpConfig, Remedies, parse_host, parse_origin};
pub use names::natural_order;
pub use timeline::timeline_json;
pub use when::{clock_time, parse_time};

use crate::torrent::{Beside, content_type, is_playable, natural_cmp};
use crate::{Error, Media, Result};
use access::{Access, Granted, Refusal, is_trusted_proxy};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::IntoResponse;
use axum::routing::get;
use connection::{Ends, Patience};
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use library::Library;
use links::{Forwarded, Links};
use paths::Depth;
use playswarm_logic::admission::Limits;
use server::Places;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

/// A running HTTP front; stopped by [`Server::stop`] or when it is dropped.
pub struct Server {
    running: server::Running,
    path_of: Box<dyn Fn(usize) -> String + Send + Sync>,
    subtitle_path: Box<dyn Fn(usize) -> String + Send + Sync>,
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

    /// The URL of a subtitle file for players: as UTF-8, and refused at once where no peer has it.
    pub fn subtitle_url(&self, file: usize) -> String {
        format!("http://{}{}", reachable(self.running.addr), (self.subtitle_path)(file))
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
    conversions: conversions::Conversions,
    courtesy: subtitles::Courtesy,
    /// Somebody learns the durations of all files already.
    learning: Arc<AtomicBool>,
    /// The default file.
    file: usize,
    addr: SocketAddr,
    token: Option<String>,
    access: Access,
    /// Bytes of files handed to connections.
    sent_bytes: Arc<AtomicU64>,
    places: Arc<Places>,
    snapshots: watch::Snapshots,
}

impl<L> App<L> {
    fn connections(&self) -> usize {
        self.places.len()
    }
}

impl<L: Library> App<L> {
    /// The file of that number, as it stands in a path.
    fn file_of(&self, number: &str) -> Option<usize> {
        // A sign is none of a number's digits.
        let digits = number.bytes().all(|b| b.is_ascii_digit());
        let file = number.parse::<usize>().ok().filter(|_| digits)?;
        self.library.torrent().files.get(file).filter(|f| !f.padding).map(|_| file)
    }
}

async fn serve_library<L: Library>(library: L, file: usize, config: HttpConfig) -> Result<Server> {
    serve_patiently(library, file, config, Patience::default()).await
}

async fn serve_patiently<L: Library>(
    library: L,
    file: usize,
    config: HttpConfig,
    patience: Patience,
) -> Result<Server> {
    config.check()?;
    let files = library.torrent().files.len();
    if file >= files {
        return Err(Error::NoSuchFile { wanted: file.to_string(), files });
    }
    let (listener, addr) = server::bind(config.listen).await?;
    let places = Places::new(Limits { places: config.max_connections, per_host: config.max_connections_per_host });
    let app = Arc::new(App {
        beside: Beside::new(library.torrent()),
        conversions: conversions::Conversions::default(),
        courtesy: subtitles::Courtesy::default(),
        learning: Arc::default(),
        library,
        file,
        addr,
        token: config.token.clone(),
        access: Access::new(&config, hosts::own_names()),
        sent_bytes: Arc::new(AtomicU64::new(0)),
        places: places.clone(),
        snapshots: watch::Snapshots::default(),
    });
    let (paths, subtitles) = (app.clone(), app.clone());
    let running = server::run(listener, addr, router(app), places, patience);
    Ok(Server {
        running,
        path_of: Box::new(move |i| paths.path_of(i)),
        subtitle_path: Box::new(move |i| subtitles.subtitle_path(i)),
        file,
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
        .fallback(|| async { answer(StatusCode::NOT_FOUND, "there is nothing here; / lists what there is") })
        .layer(from_fn_with_state(app.clone(), guard::<L>))
        .with_state(app)
}

/// What pages of allowed sites may read of an answer's head.
const EXPOSED: &str = "Accept-Ranges, Content-Length, Content-Range, ETag, Retry-After, Playswarm-Time, Playswarm-Keyframe, \
                       Playswarm-Estimated, Playswarm-Duration, TimeSeekRange.dlna.org";

/// Checks every request before its handler, and puts on every answer what belongs on all of them.
async fn guard<L: Library>(State(app): State<Arc<App<L>>>, request: Request, next: Next) -> Response<Body> {
    // The path only: the query may hold the token.
    tracing::debug!(method = %request.method(), path = request.uri().path(), range = ?request.headers().get(header::RANGE), "http request");
    let ends = request.extensions().get::<Ends>().copied();
    let trusted = ends.is_some_and(|ends| is_trusted_proxy(ends.peer.ip()));
    let forwarded = if trusted { Forwarded::of(request.headers()) } else { Forwarded::default() };
    let checked = app.access.check(request.method(), request.uri(), request.headers(), &forwarded);
    let mut response = match checked {
        Err(refusal) => refused(refusal),
        Ok(granted) => {
            let depth = request.extensions().get::<Depth>().copied().unwrap_or_default();
            // A client that knows no Host found us by the address at its connection's end.
            let found = || ends.map_or(app.addr, |ends| ends.local).to_string();
            let authority = granted.authority.clone().unwrap_or_else(found);
            let links = Links::new(depth, &authority, &forwarded);
            granted_answer(Granted { links, ..granted }, request, next).await
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::VARY, HeaderValue::from_static("Origin, Accept"));
    if !headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
        headers
            .insert(HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin"));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// Refuses, and ends the connection: its place is for those that are served.
fn refused(Refusal(status, why): Refusal) -> Response<Body> {
    tracing::debug!(%status, %why, "http request refused");
    let mut response = answer(status, &why);
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

async fn granted_answer(granted: Granted, mut request: Request, next: Next) -> Response<Body> {
    if request.method() == Method::OPTIONS {
        return options(granted.cors, request.headers());
    }
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

/// What may be asked; to a page of an allowed site in the words of CORS, and for a page from the public network that wants
/// to reach a private one in those of Private Network Access, by its first name and its present one (Local Network Access).
fn options(cors: Option<HeaderValue>, asked: &HeaderMap) -> Response<Body> {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
    let Some(origin) = cors else { return response };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD"));
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("Authorization, Range, If-Range, If-Match, If-None-Match, TimeSeekRange.dlna.org"),
    );
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    for (wanted, allowed) in [
        ("access-control-request-private-network", "access-control-allow-private-network"),
        ("access-control-request-local-network", "access-control-allow-local-network"),
    ] {
        if asked.get(wanted).is_some_and(|v| v.as_bytes() == b"true") {
            headers.insert(HeaderName::from_static(allowed), HeaderValue::from_static("true"));
        }
    }
    response
}

/// What must hold for any bytes of a request's head. For the fuzz target and its test.
pub(crate) fn check_head(data: &[u8]) {
    let mut repaired = data.to_vec();
    request_line::Repair::default().bytes(&mut repaired);
    assert_eq!(repaired.len(), data.len());
    let text = String::from_utf8_lossy(&repaired);
    let straight = paths::straight(&text);
    assert_eq!(paths::straight(&straight), straight);
    for read in [parse_host(&text), parse_origin(&text)].into_iter().flatten() {
        assert!(!read.is_empty() && !read.contains(char::is_whitespace), "{read:?}");
    }
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    for name in ["forwarded", "x-forwarded-host", "x-forwarded-prefix", "x-forwarded-proto", "x-forwarded-port"] {
        let headers = HeaderMap::from_iter([(HeaderName::from_static(name), value.clone())]);
        let links = Links::new(Depth(1), "localhost", &Forwarded::of(&headers));
        let (relative, absolute) = (links.to("/status"), links.absolute("/status"));
        assert!(!relative.starts_with("//") && !relative.contains(['"', '<', '\\', ' ']), "{relative}");
        assert!(url::Url::parse(&absolute).is_ok_and(|url| url.path().ends_with("/status")), "{absolute}");
    }
}

fn no_such_file() -> Response<Body> {
    answer(StatusCode::NOT_FOUND, "there is no such file in this torrent; / lists them")
}

/// A status and a sentence.
fn answer(status: StatusCode, sentence: &str) -> Response<Body> {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{sentence}\n")).into_response()
}
