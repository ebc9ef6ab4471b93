//! Subtitles beside the films: a list for scripts and players, and as WebVTT for browsers.

use super::access::Granted;
use super::library::{Library, Reader};
use super::names::base_name;
use super::vtt::to_webvtt;
use super::{App, answer, no_such_file};
use crate::torrent::Subtitle;
use crate::{Error, Result};
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use axum::{Extension, Json};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// A subtitle file is some 100 KB; what is larger is none.
const MOST_BYTES: u64 = 4 << 20;
/// For so long a whole subtitle is waited for.
const WAIT: Duration = Duration::from_secs(30);
/// Read at once.
const CHUNK_BYTES: usize = 256 << 10;

/// `/subtitles`: of all films.
pub(crate) async fn all<L: Library>(State(app): State<Arc<App<L>>>, granted: Extension<Granted>) -> Json<Vec<Value>> {
    Json(app.beside.films().flat_map(|film| app.subtitles_json(film, &granted)).collect())
}

/// `/subtitles/N`: of one film; `/subtitles/N.vtt`: the subtitle file `N` as WebVTT.
pub(crate) async fn one<L: Library>(
    State(app): State<Arc<App<L>>>,
    Path(file): Path<String>,
    granted: Extension<Granted>,
) -> Response<Body> {
    let (number, as_vtt) = file.strip_suffix(".vtt").map_or((file.as_str(), false), |number| (number, true));
    let Some(file) = app.file_of(number) else { return no_such_file() };
    if as_vtt { webvtt(&app, file).await } else { Json(app.subtitles_json(file, &granted)).into_response() }
}

async fn webvtt<L: Library>(app: &App<L>, file: usize) -> Response<Body> {
    let entry = &app.library.torrent().files[file];
    let not_one = |why: &str| answer(StatusCode::UNSUPPORTED_MEDIA_TYPE, why);
    if !is_convertible(base_name(entry)) {
        return not_one("only .srt and .vtt files can be had as WebVTT");
    }
    if entry.length > MOST_BYTES {
        return not_one("this file is too large for a subtitle");
    }
    match tokio::time::timeout(WAIT, read_all(app, file, entry.length)).await {
        Ok(Ok(bytes)) => match to_webvtt(&bytes) {
            Some(text) => ([(CONTENT_TYPE, "text/vtt; charset=utf-8")], text).into_response(),
            None => not_one("there is no subtitle in this file"),
        },
        Ok(Err(e)) => super::deliver::refuse(&e),
        Err(_) => {
            let mut response =
                answer(StatusCode::SERVICE_UNAVAILABLE, "no peer gave this file yet; ask again in a while");
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("10"));
            response
        }
    }
}

async fn read_all<L: Library>(app: &App<L>, file: usize, length: u64) -> Result<Vec<u8>> {
    let mut reader = app.library.open(file)?;
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < length {
        let left = usize::try_from(length).unwrap_or(usize::MAX) - bytes.len();
        let chunk = reader.read_chunk(CHUNK_BYTES.min(left)).await?;
        if chunk.is_empty() {
            return Err(Error::Io { doing: "reading the subtitle", source: std::io::ErrorKind::UnexpectedEof.into() });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn is_convertible(name: &str) -> bool {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending).to_ascii_lowercase();
    ending == "srt" || ending == "vtt"
}

impl<L: Library> App<L> {
    fn subtitles_json<'a>(&'a self, film: usize, granted: &'a Granted) -> Vec<Value> {
        let entry = |s: &Subtitle| {
            let name = base_name(&self.library.torrent().files[s.file]);
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

    /// Where the subtitle is to be had as WebVTT, if it can be.
    pub(crate) fn vtt_path(&self, subtitle: &Subtitle) -> Option<String> {
        let name = base_name(&self.library.torrent().files[subtitle.file]);
        is_convertible(name).then(|| format!("/subtitles/{}.vtt{}", subtitle.file, self.query()))
    }
}
