//! The server of a live channel: `/live` with any of the usual endings, `/live.m3u8` (HLS), a page,
//! `/status` and `/metrics`.
//!
//! The stream has no length and no positions. Each request is a reader of its own, which begins a
//! margin behind the newest group.

mod hls;
mod icy;
mod page;
mod report;

use super::access::Access;
use super::connection::Patience;
use super::deliver::NO_BUFFER;
use super::guard::{Gate, guard};
use super::listing::{style, token_query};
use super::{HttpConfig, answer, server};
use crate::admission::Limits;
use crate::hosts::own_names;
use crate::listening::{Running, bind};
use crate::places::Places;
use async_stream::stream;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hls::Segments;
use http::header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use icy::Titles;
use parking_lot::Mutex;
use playswarm::live::{Channel, ChannelHead, ChannelLink};
use playswarm::{Error, Result};
use playswarm_media::{LIVE_ENDINGS, live_ending};
use serde::Deserialize;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Time between two looks for the first segment.
const FIRST_SEGMENT: Duration = Duration::from_millis(100);
/// Time between two looks whether the channel is full.
const LOOK_WHETHER_FULL: Duration = Duration::from_millis(250);
/// Time after which to ask again for a stream that does not come, seconds.
const RETRY_S: u64 = 5;
/// Longest wait for the first bytes of the stream before a request is answered with 503.
const FIRST_BYTES: Duration = Duration::from_secs(20);

/// A running HTTP server of a live channel. [`ChannelServer::stop`] ends it, and so does dropping
/// it.
pub struct ChannelServer {
    running: Running,
    live: Arc<Live>,
}

impl ChannelServer {
    /// Returns the URL of the stream, with the token where one is set. Its ending is that of the
    /// stream's container, once that is known.
    pub fn url(&self) -> String {
        format!("http://{}{}", self.running.reachable(), self.live.path())
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

/// Serves a live channel over HTTP. `link` is the one by which it was found, for the status.
///
/// The server keeps the channel open until it is stopped. It must be started within a tokio
/// runtime.
///
/// # Errors
/// [`Error::Listen`] where the address cannot be listened on, [`Error::BadConfig`].
pub async fn serve_channel(channel: Channel, link: &ChannelLink, config: HttpConfig) -> Result<ChannelServer> {
    config.check()?;
    let (listener, addr) = bind(config.listen, "http.listen").await?;
    let places = Places::new(Limits { places: config.max_connections, per_host: config.max_connections_per_host });
    let names = tokio::task::spawn_blocking(own_names).await.map_err(|_| Error::Closed)?;
    let gate = Arc::new(Gate { access: Access::new(&config, names), addr });
    let live = Arc::new(Live {
        channel,
        link: link.to_string(),
        query: token_query(config.token.as_deref()),
        segments: Mutex::default(),
        sent_bytes: AtomicU64::new(0),
    });
    let running = server::run(listener, addr, router(live.clone(), gate), places, Patience::default());
    Ok(ChannelServer { running, live })
}

fn router(live: Arc<Live>, gate: Arc<Gate>) -> Router {
    // Players choose a demuxer by the ending.
    let paths = LIVE_ENDINGS.iter().map(|ending| format!("/live.{ending}")).chain(["/live".to_owned()]);
    let streams = paths.fold(Router::new(), |router, path| router.route(&path, get(stream_of)));
    streams
        .route("/", get(page::page))
        .route("/page.css", get(style))
        .route("/live.m3u8", get(playlist))
        .route("/live/{file}", get(segment))
        .route("/status", get(report::status))
        .route("/status/events", get(report::events))
        .route("/metrics", get(report::metrics))
        .fallback(|| async { answer(StatusCode::NOT_FOUND, "there is no such page; /live is the stream") })
        .layer(from_fn_with_state(gate, guard))
        .with_state(live)
}

/// The state that all handlers share.
struct Live {
    channel: Channel,
    link: String,
    /// `?token=…` where a token is set.
    query: String,
    segments: Mutex<Segments>,
    /// Bytes of the stream that clients were sent.
    sent_bytes: AtomicU64,
}

impl Live {
    /// Returns the path of the stream, whose ending is that of its container.
    fn path(&self) -> String {
        let kind = self.channel.head().map(|head| head.content_type).unwrap_or_default();
        let ending = live_ending(&kind).map(|ending| format!(".{ending}")).unwrap_or_default();
        format!("/live{ending}{}", self.query)
    }

    /// Returns the title of what is playing, or the channel's name.
    fn title(&self) -> String {
        let name = || self.channel.head().map(|head| head.name).unwrap_or_default();
        self.channel.title().unwrap_or_else(name)
    }

    fn count(&self, sent: &[u8]) {
        self.sent_bytes.fetch_add(sent.len() as u64, Ordering::Relaxed);
    }

    /// Waits for the stream. Returns what to answer if there is none.
    async fn on_air(&self) -> std::result::Result<ChannelHead, Response> {
        tokio::select! {
            biased;
            on_air = self.channel.on_air() => {
                on_air.ok_or_else(|| answer(StatusCode::GONE, "the stream of this channel has ended"))
            }
            retry_s = self.full() => {
                Err(later(retry_s, &format!("the channel is full: no node has a free place; try again in {retry_s} s")))
            }
            () = tokio::time::sleep(FIRST_BYTES) => {
                Err(later(RETRY_S, "no node gives the stream of this channel; its source may be off the air"))
            }
        }
    }

    /// Waits until the channel is full. Returns the seconds until its nodes are asked again.
    async fn full(&self) -> u64 {
        loop {
            if let Some(retry_s) = self.channel.status().full_for_s {
                return retry_s;
            }
            tokio::time::sleep(LOOK_WHETHER_FULL).await;
        }
    }
}

/// Returns an answer that asks the client to come again after some seconds.
fn later(retry_s: u64, why: &str) -> Response {
    let mut response = answer(StatusCode::SERVICE_UNAVAILABLE, why);
    response.headers_mut().insert(RETRY_AFTER, retry_s.into());
    response
}

/// Where a reader begins.
#[derive(Debug, Deserialize)]
struct Begin {
    /// Seconds behind the newest group. 0 is the newest keyframe.
    back: Option<f64>,
}

/// `GET` and `HEAD` of the stream. A `Range` is answered with the whole stream, as RFC 9110 allows
/// where there are no positions.
async fn stream_of(
    State(live): State<Arc<Live>>,
    method: Method,
    Query(begin): Query<Begin>,
    asked: HeaderMap,
) -> Response {
    let back = match begin.back.map(Duration::try_from_secs_f64) {
        None => None,
        Some(Ok(back)) => Some(back),
        Some(Err(_)) => return answer(StatusCode::BAD_REQUEST, "write ?back= with seconds, such as ?back=20"),
    };
    let head = match live.on_air().await {
        Ok(head) => head,
        Err(response) => return response,
    };
    let media_type = safe_type(&head.content_type);
    let is_sound = media_type.as_bytes().starts_with(b"audio/") && media_type != "audio/mp4";
    let titles = is_sound && asked.get("icy-metadata").is_some_and(|value| value == "1");
    let mut headers = HeaderMap::from_iter([
        (ACCEPT_RANGES, HeaderValue::from_static("none")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (NO_BUFFER, HeaderValue::from_static("no")),
        (CONTENT_TYPE, media_type),
    ]);
    if is_sound {
        let kbit = u64::from(head.bytes_per_s) * 8 / 1000;
        headers.insert("icy-br", kbit.into());
        if let Ok(name) = HeaderValue::from_str(&head.name) {
            headers.insert("icy-name", name);
        }
    }
    if titles {
        headers.insert("icy-metaint", icy::INTERVAL.into());
    }
    // HEAD gets no reader. Its body is not sent, but an empty one would state a length.
    let body = (method != Method::HEAD).then(|| live.clone());
    let body = stream! {
        let Some(live) = body else { return };
        let mut reader = match back {
            None => live.channel.stream(),
            Some(back) => live.channel.stream_behind(back),
        };
        let mut titles = titles.then(Titles::new);
        while let Some(chunks) = reader.next().await {
            for chunk in chunks {
                live.count(&chunk);
                let Some(titles) = &mut titles else {
                    yield Ok::<_, Infallible>(chunk);
                    continue;
                };
                for chunk in titles.insert(chunk, &live.title()) {
                    yield Ok(chunk);
                }
            }
        }
    };
    (headers, Body::from_stream(body)).into_response()
}

/// `/live.m3u8`
async fn playlist(State(live): State<Arc<Live>>) -> Response {
    let head = match live.on_air().await {
        Ok(head) => head,
        Err(response) => return response,
    };
    let Some(kind) = hls::kind(live_ending(&head.content_type)) else {
        let why = "HLS has no segments of this container; play /live, or cast MPEG-TS or fragmented MP4";
        return answer(StatusCode::UNSUPPORTED_MEDIA_TYPE, why);
    };
    let begun = tokio::time::Instant::now();
    loop {
        {
            let mut segments = live.segments.lock();
            segments.update(&live.channel.parts());
            if let Some(list) = segments.playlist(kind, &live.query, false) {
                let headers = [(CONTENT_TYPE, "application/vnd.apple.mpegurl"), (CACHE_CONTROL, "no-cache")];
                return (headers, list).into_response();
            }
        }
        if begun.elapsed() > FIRST_BYTES {
            return later(RETRY_S, "there is no whole segment of the stream yet; its keyframes may be far apart");
        }
        tokio::time::sleep(FIRST_SEGMENT).await;
    }
}

/// `/live/12.ts`, `/live/12.m4s` and the like, and `/live/init-12.mp4`: a segment and its init bytes.
async fn segment(State(live): State<Arc<Live>>, Path(file): Path<String>) -> Response {
    const GONE: &str = "this segment is not held any more; read /live.m3u8 again";
    let head = live.channel.head().unwrap_or_default();
    let Some((kind, (name, _))) = hls::kind(live_ending(&head.content_type)).zip(file.rsplit_once('.')) else {
        return answer(StatusCode::NOT_FOUND, "there is no such segment; /live.m3u8 names those that there are");
    };
    let (number, init_alone) = match name.strip_prefix("init-") {
        Some(number) => (number, true),
        None => (name, false),
    };
    let found = number.parse().ok().and_then(|number| live.segments.lock().segment(number));
    let Some((groups, init)) = found else { return answer(StatusCode::NOT_FOUND, GONE) };
    let mut chunks = Vec::new();
    if init_alone || !kind.map {
        chunks.push(init);
    }
    if !init_alone {
        let Some(bytes) = live.channel.bytes(groups) else { return answer(StatusCode::NOT_FOUND, GONE) };
        chunks.extend(bytes);
    }
    let body = chunks.concat();
    live.count(&body);
    ([(CONTENT_TYPE, safe_type(&head.content_type)), (CACHE_CONTROL, HeaderValue::from_static("max-age=60"))], body)
        .into_response()
}

/// Returns the media type for a browser. The source chose it, and must not choose one in which
/// scripts run.
fn safe_type(stated: &str) -> HeaderValue {
    let is_media = stated.starts_with("video/") || stated.starts_with("audio/") || stated == "application/ogg";
    let value = HeaderValue::from_str(stated).ok().filter(|_| is_media);
    value.unwrap_or(HeaderValue::from_static("application/octet-stream"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_source_cannot_make_a_browser_run_scripts() {
        assert_eq!(safe_type("video/mp2t"), "video/mp2t");
        for bad in ["text/html", "image/svg+xml", "", "video/\u{1}", "application/xhtml+xml"] {
            assert_eq!(safe_type(bad), "application/octet-stream", "{bad:?}");
        }
    }
}
