//! The server of a live channel: `/live` with any of the usual endings, and `/status`.
//!
//! The stream has no length and no positions. Each request is a reader of its own, which begins a
//! margin behind the newest group.

use super::access::Access;
use super::connection::Patience;
use super::deliver::NO_BUFFER;
use super::guard::{Gate, guard};
use super::listing::token_query;
use super::{HttpConfig, answer, server};
use crate::admission::Limits;
use crate::hosts::own_names;
use crate::listening::{Running, bind};
use crate::places::Places;
use async_stream::stream;
use axum::body::Body;
use axum::extract::State;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Method, StatusCode};
use playswarm::live::{Channel, ChannelLink, ChannelStatus};
use playswarm::metainfo::content_type;
use playswarm::{Error, Result};
use serde::Serialize;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Endings under which the stream can be requested. Players choose a demuxer by them.
const ENDINGS: [&str; 9] = ["ts", "webm", "mkv", "flv", "mp4", "mp3", "aac", "ogg", "flac"];
/// Longest wait for the first bytes of the stream before a request is answered with 503.
const FIRST_BYTES: Duration = Duration::from_secs(20);

/// A running HTTP server of a live channel. [`ChannelServer::stop`] ends it, and so does dropping
/// it.
pub struct ChannelServer {
    running: Running,
    live: Arc<Live>,
    query: String,
}

impl ChannelServer {
    /// Returns the URL of the stream, with the token where one is set. Its ending is that of the
    /// stream's container, once that is known.
    pub fn url(&self) -> String {
        let kind = self.live.channel.head().map(|head| head.content_type).unwrap_or_default();
        let ending = ending_of(&kind).map(|ending| format!(".{ending}")).unwrap_or_default();
        format!("http://{}/live{ending}{}", self.running.reachable(), self.query)
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
    let live = Arc::new(Live { channel, link: link.to_string() });
    let running = server::run(listener, addr, router(live.clone(), gate), places, Patience::default());
    Ok(ChannelServer { running, live, query: token_query(config.token.as_deref()) })
}

fn router(live: Arc<Live>, gate: Arc<Gate>) -> Router {
    let paths = ENDINGS.iter().map(|ending| format!("/live.{ending}")).chain(["/live".to_owned()]);
    let streams = paths.fold(Router::new(), |router, path| router.route(&path, get(stream_of)));
    streams
        .route("/status", get(status))
        .fallback(|| async { answer(StatusCode::NOT_FOUND, "there is no such page; /live is the stream") })
        .layer(from_fn_with_state(gate, guard))
        .with_state(live)
}

/// The state that all handlers share.
struct Live {
    channel: Channel,
    link: String,
}

/// `GET` and `HEAD` of the stream. A `Range` is answered with the whole stream, as RFC 9110 allows
/// where there are no positions.
async fn stream_of(State(live): State<Arc<Live>>, method: Method) -> Response {
    let head = match tokio::time::timeout(FIRST_BYTES, live.channel.on_air()).await {
        Ok(Some(head)) => head,
        Ok(None) => return answer(StatusCode::GONE, "the stream of this channel has ended"),
        Err(_) => {
            let mut response = answer(
                StatusCode::SERVICE_UNAVAILABLE,
                "no node gives the stream of this channel; its source may be off the air, or its nodes full",
            );
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
            return response;
        }
    };
    let headers = [
        (ACCEPT_RANGES, HeaderValue::from_static("none")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (NO_BUFFER, HeaderValue::from_static("no")),
        (CONTENT_TYPE, safe_type(&head.content_type)),
    ];
    // HEAD gets no reader. Its body is not sent, but an empty one would state a length.
    let reader = (method != Method::HEAD).then(|| live.channel.stream());
    let body = stream! {
        let Some(mut reader) = reader else { return };
        while let Some(chunks) = reader.next().await {
            for chunk in chunks {
                yield Ok::<_, Infallible>(chunk);
            }
        }
    };
    (headers, Body::from_stream(body)).into_response()
}

/// Returns the media type for a browser. The source chose it, and must not choose one in which
/// scripts run.
fn safe_type(stated: &str) -> HeaderValue {
    let is_media = stated.starts_with("video/") || stated.starts_with("audio/") || stated == "application/ogg";
    let value = HeaderValue::from_str(stated).ok().filter(|_| is_media);
    value.unwrap_or(HeaderValue::from_static("application/octet-stream"))
}

/// Returns the ending of a media type's container.
fn ending_of(media_type: &str) -> Option<&'static str> {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "video/ogg" | "application/ogg" => Some("ogg"),
        "audio/mp4" => Some("mp4"),
        essence => ENDINGS.into_iter().find(|ending| content_type(&format!("live.{ending}")) == essence),
    }
}

/// `/status`
async fn status(State(live): State<Arc<Live>>) -> Json<Status> {
    let head = live.channel.head().unwrap_or_default();
    Json(Status {
        key: live.channel.key().to_string(),
        link: live.link.clone(),
        name: head.name,
        content_type: head.content_type,
        bytes_per_s: head.bytes_per_s,
        channel: live.channel.status(),
    })
}

/// A channel and this node's place in it.
#[derive(Serialize)]
struct Status {
    key: String,
    link: String,
    name: String,
    content_type: String,
    bytes_per_s: u32,
    #[serde(flatten)]
    channel: ChannelStatus,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn urls_end_as_the_container_does() {
        for (media_type, ending) in [
            ("video/mp2t", Some("ts")),
            ("Video/WebM; codecs=\"vp8\"", Some("webm")),
            ("video/x-matroska", Some("mkv")),
            ("video/x-flv", Some("flv")),
            ("video/mp4", Some("mp4")),
            ("audio/mpeg", Some("mp3")),
            ("audio/aac", Some("aac")),
            ("audio/ogg", Some("ogg")),
            ("audio/flac", Some("flac")),
            ("text/html", None),
            ("", None),
        ] {
            assert_eq!(ending_of(media_type), ending, "{media_type}");
        }
    }

    #[test]
    fn a_source_cannot_make_a_browser_run_scripts() {
        assert_eq!(safe_type("video/mp2t"), "video/mp2t");
        for bad in ["text/html", "image/svg+xml", "", "video/\u{1}", "application/xhtml+xml"] {
            assert_eq!(safe_type(bad), "application/octet-stream", "{bad:?}");
        }
    }
}
