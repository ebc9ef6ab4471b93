//! What is in the torrent, for people (a page), for players (a playlist) and for other clients (the torrent file).

use super::access::Granted;
use super::library::Library;
use super::names::{base_name, html, natural_order, one_line, percent};
use super::{App, is_playable};
use axum::Extension;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::IntoResponse;
use http::header::{ACCEPT, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderMap, Response};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fafafa}\
video{width:100%;background:#000}li{margin:.2rem 0}small{color:#666}";

/// `/`: the default file in a `<video>` and a list of all. No script at all.
pub(crate) async fn page<L: Library>(
    State(app): State<Arc<App<L>>>,
    Extension(Granted { links, .. }): Extension<Granted>,
) -> Response<Body> {
    let torrent = app.library.torrent();
    let mut page = String::with_capacity(4096);
    let title = html(&torrent.name);
    let stream = |file: usize| html(&links.to(&app.path_of(file)));
    let other = |path: &str| html(&links.to(&format!("{path}{}", app.query())));
    let _ = write!(
        page,
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}</title><link rel=\"stylesheet\" href=\"{}\"><h1>{title}</h1>",
        other("/page.css")
    );
    if let Some(file) = torrent.files.get(app.file).filter(|f| is_playable(&f.name)) {
        let poster = app.beside.artwork(app.file).map(|i| format!(" poster=\"{}\"", stream(i)));
        let _ = write!(
            page,
            "<video controls preload=\"metadata\" src=\"{}\"{}>",
            stream(app.file),
            poster.unwrap_or_default()
        );
        for subtitle in app.beside.subtitles(app.file) {
            if let Some(path) = app.vtt_path(subtitle) {
                let language = subtitle.language.as_deref().map(|l| format!(" srclang=\"{}\"", html(l)));
                let _ = write!(
                    page,
                    "<track kind=\"subtitles\" src=\"{}\" label=\"{}\"{}>",
                    html(&links.to(&path)),
                    html(&subtitle.title),
                    language.unwrap_or_default()
                );
            }
        }
        let _ = write!(page, "</video><p>{}</p>", html(&file.name));
    }
    page.push_str("<ol>");
    for i in natural_order(torrent) {
        let file = &torrent.files[i];
        let _ = write!(
            page,
            "<li value=\"{i}\"><a href=\"{}\">{}</a> <small>{} bytes</small>",
            stream(i),
            html(&file.name),
            file.length
        );
    }
    page.push_str("</ol>");
    let trackers = app.library.status().trackers;
    if !trackers.is_empty() {
        page.push_str("<h2>Trackers</h2><ul>");
        for tracker in trackers {
            let _ = write!(page, "<li>{} <small>{}</small>", html(&tracker.url), html(&tracker.to_string()));
        }
        page.push_str("</ul>");
    }
    page.push_str("<p>");
    for (name, path) in
        [("playlist", "/playlist.m3u8"), ("status", "/status"), ("metrics", "/metrics"), ("torrent", "/torrent")]
    {
        let _ = write!(page, "<a href=\"{}\">{name}</a> ", other(path));
    }
    page.push_str("</p></html>");
    let policy = "default-src 'none'; style-src 'self'; media-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    ([(CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_SECURITY_POLICY, policy)], page).into_response()
}

/// `/page.css`
pub(crate) async fn style() -> Response<Body> {
    ([(CONTENT_TYPE, "text/css; charset=utf-8")], STYLE).into_response()
}

/// `/playlist.m3u8`: every file that can be played, in natural order, its duration where that is known, its picture and its
/// subtitles. What is not known yet is learnt behind it, for the next who asks.
///
/// Links are relative, which is right behind any proxy; but a browser saves the list, and what is saved has lost its
/// place, so there they are absolute. So are pictures and subtitles: players take those as they stand.
///
/// Called `audio/x-mpegurl`: what is called by HLS's type (`application/vnd.apple.mpegurl`) VLC 3 takes for HLS alone.
pub(crate) async fn playlist<L: Library>(
    State(app): State<Arc<App<L>>>,
    Extension(Granted { links, .. }): Extension<Granted>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response<Body> {
    let torrent = app.library.torrent();
    let accepts = headers.get(ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or("");
    let mut asked = url::form_urlencoded::parse(query.as_deref().unwrap_or("").as_bytes());
    let absolute = asked.any(|(name, value)| name == "links" && value == "absolute") || accepts.contains("text/html");
    let mut list = String::from("#EXTM3U\n");
    for i in natural_order(torrent) {
        let file = &torrent.files[i];
        if !is_playable(&file.name) {
            continue;
        }
        let duration = app.library.known_timeline(i).filter(|t| t.knows_duration()).map(|t| t.duration().as_secs_f64());
        let _ = writeln!(list, "#EXTINF:{:.0},{}", duration.unwrap_or(-1.0), one_line(&file.name));
        if let Some(picture) = app.beside.artwork(i) {
            let _ = writeln!(list, "#EXTALBUMARTURL:{}", links.absolute(&app.path_of(picture)));
        }
        let subtitles = app.beside.subtitles(i).iter().map(|s| links.absolute(&app.subtitle_path(s.file)));
        let subtitles: Vec<String> = subtitles.collect();
        if !subtitles.is_empty() {
            let _ = writeln!(list, "#EXTVLCOPT:input-slave={}", subtitles.join("#"));
        }
        let path = app.path_of(i);
        let _ = writeln!(list, "{}", if absolute { links.absolute(&path) } else { links.to(&path) });
    }
    app.learn_durations();
    ([(CONTENT_TYPE, "audio/x-mpegurl; charset=utf-8")], list).into_response()
}

/// `/torrent`: the torrent itself, for other clients.
pub(crate) async fn torrent<L: Library>(State(app): State<Arc<App<L>>>) -> Response<Body> {
    let torrent = app.library.torrent();
    let name =
        super::names::disposition(&format!("{}.torrent", one_line(&torrent.name))).replacen("inline", "attachment", 1);
    ([(CONTENT_TYPE, "application/x-bittorrent".to_owned()), (CONTENT_DISPOSITION, name)], torrent.to_torrent_bytes())
        .into_response()
}

impl<L: Library> App<L> {
    /// `?token=…` where one is needed: links are only shown to those who have it.
    pub(crate) fn query(&self) -> String {
        self.token.as_deref().map(|t| format!("?token={}", percent(t))).unwrap_or_default()
    }

    /// Begins to learn the durations of all files, if nobody does.
    fn learn_durations(&self) {
        if self.learning.swap(true, Ordering::Relaxed) {
            return;
        }
        let (learning, work) = (self.learning.clone(), self.library.learn_durations());
        tokio::spawn(async move {
            work.await;
            learning.store(false, Ordering::Relaxed);
        });
    }

    /// The path of a file's stream: the index decides, the name is there for players that look at its ending.
    pub(crate) fn path_of(&self, file: usize) -> String {
        let name = self.library.torrent().files.get(file).map(base_name).unwrap_or_default();
        format!("/stream/{file}/{}{}", percent(name), self.query())
    }
}
