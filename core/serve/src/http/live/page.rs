//! The page of a channel, for people.

use super::{Live, hls};
use crate::http::access::Granted;
use crate::http::listing::PAGE_POLICY;
use crate::http::names::html;
use axum::Extension;
use axum::extract::State;
use axum::response::IntoResponse;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use playswarm_media::live_ending;
use std::fmt::Write as _;
use std::sync::Arc;

/// `/`: the stream in a `<video>` element, without any script.
pub(super) async fn page(
    State(live): State<Arc<Live>>,
    Extension(Granted { links, .. }): Extension<Granted>,
) -> impl IntoResponse {
    let head = live.channel.head().unwrap_or_default();
    let name = if head.name.is_empty() { "A live channel" } else { &head.name };
    let (title, query) = (html(name), &live.query);
    let link = |path: &str| html(&links.to(path));
    let ending = live_ending(&head.content_type);
    // Browsers play WebM, MP4 and sound as they come. MPEG-TS they know as HLS, if at all.
    let by_hls = hls::kind(ending).is_some_and(|kind| kind.ending == "ts");
    let stream = if by_hls { format!("/live.m3u8{query}") } else { live.path() };
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}</title><link rel=\"stylesheet\" href=\"{}\"><h1>{title}</h1>\
         <video controls autoplay muted src=\"{}\"></video><p>",
        link(&format!("/page.css{query}")),
        link(&stream),
    );
    let hls = hls::kind(ending).map(|_| ("HLS", format!("/live.m3u8{query}")));
    let other = [("status", format!("/status{query}")), ("metrics", format!("/metrics{query}"))];
    for (name, path) in [("stream", live.path())].into_iter().chain(hls).chain(other) {
        let _ = write!(page, "<a href=\"{}\">{name}</a> ", link(&path));
    }
    page.push_str("</p>");
    if let Some(s) = live.channel.status().full_for_s {
        let _ = write!(page, "<p>The channel is full. Its nodes are asked for a place again in {s} s.</p>");
    }
    page.push_str("</html>");
    ([(CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_SECURITY_POLICY, PAGE_POLICY)], page)
}
