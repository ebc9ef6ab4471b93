//! The contents of the torrent: a page for people, a playlist for players, the torrent file for
//! other clients.

use super::App;
use super::access::Granted;
use super::library::Library;
use super::links::Links;
use super::names::{base_name, disposition, html, one_line, percent};
use axum::Extension;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::IntoResponse;
use http::header::{ACCEPT, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderMap, Response, StatusCode};
use playswarm::TorrentStatus;
use playswarm::metainfo::is_playable;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fafafa}\
video{width:100%;background:#000}li{margin:.2rem 0}small{color:#666}";
/// What browsers may load for the page: its style sheet, files and pictures from this server alone.
pub(crate) const PAGE_POLICY: &str = "default-src 'none'; style-src 'self'; media-src 'self'; img-src 'self'; base-uri 'none'; \
                           form-action 'none'; frame-ancestors 'none'";

/// `/`: the default file in a `<video>` element and a list of all files, without any script.
pub(crate) async fn page<L: Library>(
    State(app): State<Arc<App<L>>>,
    Extension(Granted { links, .. }): Extension<Granted>,
) -> Response<Body> {
    app.answer_off_thread(move |app| {
        let mut page = String::with_capacity(4096);
        let title = html(&app.library.metainfo().name);
        let style = html(&links.to(&format!("/page.css{}", app.query())));
        let _ = write!(
            page,
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
             <title>{title}</title><link rel=\"stylesheet\" href=\"{style}\"><h1>{title}</h1>",
        );
        push_video(&mut page, app, &links);
        push_files(&mut page, app, &links);
        let status = app.library.status();
        push_notices(&mut page, &status);
        push_sources(&mut page, &status);
        push_trackers(&mut page, &status);
        push_other_paths(&mut page, app, &links);
        page.push_str("</html>");
        ([(CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_SECURITY_POLICY, PAGE_POLICY)], page).into_response()
    })
    .await
}

/// Writes the default file with its picture and its subtitles, if it can be played.
fn push_video<L: Library>(page: &mut String, app: &App<L>, links: &Links) {
    let stream = |file: usize| html(&links.to(&app.path_of(file)));
    let files = &app.library.metainfo().files;
    let Some(file) = files.get(app.file).filter(|f| is_playable(&f.name)) else { return };
    let poster = app.beside.artwork(app.file).map(|i| format!(" poster=\"{}\"", stream(i))).unwrap_or_default();
    let _ = write!(page, "<video controls preload=\"metadata\" src=\"{}\"{poster}>", stream(app.file));
    for subtitle in app.beside.subtitles(app.file) {
        let Some(path) = app.vtt_path(subtitle) else { continue };
        let language = subtitle.language.as_deref().map(|l| format!(" srclang=\"{}\"", html(l)));
        let _ = write!(
            page,
            "<track kind=\"subtitles\" src=\"{}\" label=\"{}\"{}>",
            html(&links.to(&path)),
            html(&subtitle.title),
            language.unwrap_or_default()
        );
    }
    let _ = write!(page, "</video><p>{}</p>", html(&file.name));
}

/// Writes the list of all files.
fn push_files<L: Library>(page: &mut String, app: &App<L>, links: &Links) {
    page.push_str("<ol>");
    for &i in app.natural_order() {
        let file = &app.library.metainfo().files[i];
        let (url, name, length) = (html(&links.to(&app.path_of(i))), html(&file.name), file.length);
        let _ = write!(page, "<li value=\"{i}\"><a href=\"{url}\">{name}</a> <small>{length} bytes</small>");
    }
    page.push_str("</ol>");
}

/// Writes why nothing is fetched, and the notices about the user's files.
fn push_notices(page: &mut String, status: &TorrentStatus) {
    let mut notices = status.trouble.iter().chain(&status.notices).peekable();
    if notices.peek().is_none() {
        return;
    }
    page.push_str("<h2>Notices</h2><ul>");
    for notice in notices {
        let _ = write!(page, "<li>{}", html(notice));
    }
    page.push_str("</ul>");
}

/// Writes the trackers and what they answered.
fn push_trackers(page: &mut String, status: &TorrentStatus) {
    if status.trackers.is_empty() {
        return;
    }
    page.push_str("<h2>Trackers</h2><ul>");
    for tracker in &status.trackers {
        let _ = write!(page, "<li>{} <small>{}</small>", html(&tracker.url), html(&tracker.to_string()));
    }
    page.push_str("</ul>");
}

/// Writes the web seeds, mirrors and servents with their state.
fn push_sources(page: &mut String, status: &TorrentStatus) {
    if status.sources.is_empty() {
        return;
    }
    page.push_str("<h2>Web seeds, mirrors and servents</h2><ul>");
    for source in &status.sources {
        let _ = write!(page, "<li>{} <small>{}</small>", html(&source.url), html(&source.to_string()));
    }
    page.push_str("</ul>");
}

/// Writes links to what else there is.
fn push_other_paths<L: Library>(page: &mut String, app: &App<L>, links: &Links) {
    page.push_str("<p>");
    for (name, path) in
        [("playlist", "/playlist.m3u8"), ("status", "/status"), ("metrics", "/metrics"), ("torrent", "/torrent")]
    {
        let url = html(&links.to(&format!("{path}{}", app.query())));
        let _ = write!(page, "<a href=\"{url}\">{name}</a> ");
    }
    page.push_str("</p>");
}

/// `/page.css`
pub(crate) async fn style() -> Response<Body> {
    ([(CONTENT_TYPE, "text/css; charset=utf-8")], STYLE).into_response()
}

/// `/playlist.m3u8`: every file that can be played, in natural order, with its duration where that
/// is known, its picture and its subtitles. Unknown durations are learnt in the background, for the
/// next request.
///
/// Links are relative, which is right behind any proxy. A browser saves the list, though, and a
/// saved list has lost its place, so links are absolute there. Pictures and subtitles have absolute
/// links everywhere, because players do not resolve them.
///
/// The type is `audio/x-mpegurl`: VLC 3 takes a list with HLS's type
/// (`application/vnd.apple.mpegurl`) for HLS only.
pub(crate) async fn playlist<L: Library>(
    State(app): State<Arc<App<L>>>,
    Extension(Granted { links, .. }): Extension<Granted>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response<Body> {
    let accepts = headers.get(ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or("");
    let mut asked = url::form_urlencoded::parse(query.as_deref().unwrap_or("").as_bytes());
    let absolute = asked.any(|(name, value)| name == "links" && value == "absolute") || accepts.contains("text/html");
    let made = app.clone().answer_off_thread(move |app| {
        let list = list_of_films(app, &links, absolute);
        ([(CONTENT_TYPE, "audio/x-mpegurl; charset=utf-8")], list).into_response()
    });
    let list = made.await;
    app.learn_durations();
    list
}

fn list_of_films<L: Library>(app: &App<L>, links: &Links, absolute: bool) -> String {
    let mut list = String::from("#EXTM3U\n");
    for &i in app.natural_order() {
        let file = &app.library.metainfo().files[i];
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
    list
}

/// `/torrent`: the torrent file, for other clients.
pub(crate) async fn torrent<L: Library>(State(app): State<Arc<App<L>>>) -> Response<Body> {
    app.answer_off_thread(|app| {
        let torrent = app.library.metainfo();
        let Some(bytes) = torrent.to_torrent_bytes() else {
            return (StatusCode::NOT_FOUND, "this file is named by a hash, and no torrent has it\n").into_response();
        };
        let name = disposition(&format!("{}.torrent", one_line(&torrent.name))).replacen("inline", "attachment", 1);
        let head = [(CONTENT_TYPE, "application/x-bittorrent".to_owned()), (CONTENT_DISPOSITION, name)];
        (head, bytes).into_response()
    })
    .await
}

/// Returns `?token=…` where a token is set.
pub(crate) fn token_query(token: Option<&str>) -> String {
    token.map(|token| format!("?token={}", percent(token))).unwrap_or_default()
}

impl<L: Library> App<L> {
    /// Returns `?token=…` where a token is set. Only requests that have it are shown links.
    pub(crate) fn query(&self) -> String {
        token_query(self.token.as_deref())
    }

    /// Starts to learn the durations of all files, unless that is going on.
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

    /// Returns the path of a file's stream. The number decides; the name is for players that look
    /// at its ending.
    pub(crate) fn path_of(&self, file: usize) -> String {
        let name = self.library.metainfo().files.get(file).map(base_name).unwrap_or_default();
        format!("/stream/{file}/{}{}", percent(name), self.query())
    }
}
