//! Subtitle files of a film: a list for scripts, the files as UTF-8 for players and as WebVTT for
//! browsers.

use super::access::Granted;
use super::conversions::{Form, MOST_BYTES};
use super::library::Library;
use super::names::{base_name, percent};
use super::range::{self, Ranges, Span};
use super::{App, answer, no_such_file};
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use axum::{Extension, Json};
use bytes::Bytes;
use http::header::{ACCEPT_RANGES, CONTENT_RANGE, CONTENT_TYPE, RANGE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use parking_lot::Mutex;
use playswarm::metainfo::{Subtitle, content_type};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Longest wait of a browser for a subtitle. It loads subtitles while it plays.
const WAIT: Duration = Duration::from_secs(30);
/// Longest wait of a player for all subtitles of a film together. It loads them before it plays.
const WAIT_FOR_ALL: Duration = Duration::from_secs(1);
/// Time after which a subtitle is taken to be opened by another player, or for another film.
const ANOTHER_PLAYER: Duration = Duration::from_secs(20);

/// `/subtitles`: of all films.
pub(crate) async fn all<L: Library>(State(app): State<Arc<App<L>>>, granted: Extension<Granted>) -> Response<Body> {
    app.answer_off_thread(move |app| {
        let all = app.beside.films().flat_map(|film| app.subtitles_json(film, &granted));
        Json(all.collect::<Vec<Value>>()).into_response()
    })
    .await
}

/// `/subtitles/N`: of one film; `/subtitles/N.vtt`: the subtitle file `N` as WebVTT.
pub(crate) async fn one<L: Library>(
    State(app): State<Arc<App<L>>>,
    Path(file): Path<String>,
    granted: Extension<Granted>,
) -> Response<Body> {
    let (number, as_vtt) = file.strip_suffix(".vtt").map_or((file.as_str(), false), |number| (number, true));
    let Some(file) = app.file_of(number) else { return no_such_file() };
    if as_vtt {
        return webvtt(&app, file).await;
    }
    app.answer_off_thread(move |app| Json(app.subtitles_json(file, &granted)).into_response()).await
}

async fn webvtt<L: Library>(app: &App<L>, file: usize) -> Response<Body> {
    let entry = &app.library.metainfo().files[file];
    if !is_convertible(base_name(entry)) {
        return no_subtitle("only .srt, .vtt, .ass, .ssa, .smi and .sami files can be converted to WebVTT");
    }
    match converted(app, file, Form::WebVtt, Instant::now() + WAIT).await {
        Ok(text) => ([(CONTENT_TYPE, "text/vtt; charset=utf-8")], text).into_response(),
        Err(response) => response,
    }
}

/// `/subtitles/N/any-name`: the subtitle file `N` as UTF-8, for players, which open all subtitles
/// before they show a film. A file that no peer has is refused at once.
pub(crate) async fn text<L: Library>(
    State(app): State<Arc<App<L>>>,
    Path((file, _name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response<Body> {
    let Some(file) = app.file_of(&file) else { return no_such_file() };
    let name = base_name(&app.library.metainfo().files[file]);
    if !is_text(name) {
        return no_subtitle("only text subtitles can be converted; /stream serves every file unchanged");
    }
    if !app.library.is_available(file) {
        return not_yet();
    }
    let text = match converted(&app, file, Form::Text, app.subtitle_wait.end()).await {
        Ok(text) => text,
        Err(response) => return response,
    };
    let size = text.len() as u64;
    let ranges = headers.get(RANGE).map_or(Ranges::Whole, |value| range::parse(value.as_bytes(), size));
    let head = [(CONTENT_TYPE, content_type(name)), (ACCEPT_RANGES, "bytes")];
    match ranges {
        Ranges::Spans(spans) if spans.len() == 1 => {
            let Span { start, end } = spans[0];
            let part = text.slice(start as usize..end as usize);
            let range = format!("bytes {start}-{}/{size}", end - 1);
            (StatusCode::PARTIAL_CONTENT, head, [(CONTENT_RANGE, range)], part).into_response()
        }
        Ranges::Unsatisfiable => {
            (StatusCode::RANGE_NOT_SATISFIABLE, [(CONTENT_RANGE, format!("bytes */{size}"))]).into_response()
        }
        _ => (head, text).into_response(),
    }
}

/// Returns a converted file, or the answer to give instead.
async fn converted<L: Library>(app: &App<L>, file: usize, form: Form, until: Instant) -> Result<Bytes, Response<Body>> {
    if app.library.metainfo().files[file].length > MOST_BYTES {
        return Err(no_subtitle("this file is too large for a subtitle"));
    }
    let language = app.beside.subtitle(file).and_then(|s| s.language.as_deref());
    match timeout_at(until, app.conversions.get(&app.library, file, form, language)).await {
        Ok(Ok(Some(text))) => Ok(text),
        Ok(Ok(None)) => Err(no_subtitle("this file contains no subtitles")),
        Ok(Err(e)) => Err(super::deliver::refuse(&e)),
        Err(_) => Err(not_yet()),
    }
}

fn no_subtitle(why: &str) -> Response<Body> {
    answer(StatusCode::UNSUPPORTED_MEDIA_TYPE, why)
}

fn not_yet() -> Response<Body> {
    let mut response = answer(StatusCode::SERVICE_UNAVAILABLE, "no peer has sent this file yet; try again in a while");
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("10"));
    response
}

/// The time for which players wait for subtitles. It is one for all subtitles of a film, because
/// players open them one after the other and show nothing before the last. Holds when the first one
/// was opened.
#[derive(Default)]
pub(crate) struct SubtitleWait(Mutex<Option<Instant>>);

impl SubtitleWait {
    /// Returns when the wait ends for a subtitle that is opened now.
    fn end(&self) -> Instant {
        let (now, mut begun) = (Instant::now(), self.0.lock());
        let begun = match *begun {
            Some(begun) if now < begun + ANOTHER_PLAYER => begun,
            _ => *begun.insert(now),
        };
        begun + WAIT_FOR_ALL
    }
}

/// Whether a file is a text, by its name.
fn is_text(name: &str) -> bool {
    content_type(name).starts_with("text/") || is_convertible(name)
}

fn is_convertible(name: &str) -> bool {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending).to_ascii_lowercase();
    matches!(ending.as_str(), "srt" | "vtt" | "ass" | "ssa" | "smi" | "sami")
}

impl<L: Library> App<L> {
    fn subtitles_json<'a>(&'a self, film: usize, granted: &'a Granted) -> Vec<Value> {
        let entry = |s: &Subtitle| {
            let name = base_name(&self.library.metainfo().files[s.file]);
            let vtt = self.vtt_path(s).map(|path| granted.links.to(&path));
            json!({
                "film": film,
                "file": s.file,
                "name": name,
                "title": s.title,
                "language": s.language,
                "forced": s.forced,
                "hearing_impaired": s.hearing_impaired,
                "format": s.format,
                "url": granted.links.to(&self.path_of(s.file)),
                "vtt_url": vtt,
            })
        };
        self.beside.subtitles(film).iter().map(entry).collect()
    }

    /// Returns the path of a subtitle for players: as UTF-8 where it is a text, else as it is.
    pub(crate) fn subtitle_path(&self, file: usize) -> String {
        match self.library.metainfo().files.get(file) {
            Some(entry) if is_text(base_name(entry)) && entry.length <= MOST_BYTES => {
                format!("/subtitles/{file}/{}{}", percent(base_name(entry)), self.query())
            }
            _ => self.path_of(file),
        }
    }

    /// Returns the path of a subtitle as WebVTT, where it can be converted.
    pub(crate) fn vtt_path(&self, subtitle: &Subtitle) -> Option<String> {
        let name = base_name(&self.library.metainfo().files[subtitle.file]);
        is_convertible(name).then(|| format!("/subtitles/{}.vtt{}", subtitle.file, self.query()))
    }
}
