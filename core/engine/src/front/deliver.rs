//! One file over HTTP: preconditions, ranges and the body (RFC 9110, sections 13 to 15).
//! Who may ask was decided before ([`super::access`]); the bytes come from a [`Reader`].

use super::access::Granted;
use super::library::{Library, Reader};
use super::links::Links;
use super::names::{base_name, disposition};
use super::range::{Ranges, Span, parse};
use super::seek::{Landed, Moment};
use super::{App, answer, content_type, no_such_file};
use crate::{Error, ErrorKind};
use async_stream::try_stream;
use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use bytes::Bytes;
use futures_util::Stream;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_MATCH,
    IF_NONE_MATCH, IF_RANGE, RANGE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use playswarm_logic::Time;
use playswarm_logic::reserve::{Reserve, Turn};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Bytes asked of the reader at once. Large enough that a chunk's fixed costs vanish, small enough that the position
/// stays near what the client has: the connection holds at most one chunk that is not in the socket yet.
const CHUNK_BYTES: usize = 256 * 1024;
/// nginx's word for not reading ahead.
pub(crate) const NO_BUFFER: HeaderName = HeaderName::from_static("x-accel-buffering");
/// Where so much lies ready, nobody waits for anything soon.
const LOOK_BYTES: u64 = 64 << 20;

/// `GET` and `HEAD` of `/stream/N`, and so of `/stream/N/any-name` ([`super::paths`]).
pub(crate) async fn file<L: Library>(
    state: State<Arc<App<L>>>,
    Extension(granted): Extension<Granted>,
    Path(file): Path<String>,
    RawQuery(query): RawQuery,
    method: Method,
    headers: HeaderMap,
) -> Response<Body> {
    let asked = Asked { query: query.as_deref(), method: &method, headers: &headers, links: &granted.links };
    deliver(&state, &file, &asked).await
}

/// `GET` and `HEAD` of `/`: the page; but who asks for a range is a player, and gets the default file.
pub(crate) async fn root<L: Library>(
    state: State<Arc<App<L>>>,
    granted: Extension<Granted>,
    method: Method,
    headers: HeaderMap,
) -> Response<Body> {
    if headers.contains_key(RANGE) {
        let file = state.file.to_string();
        let asked = Asked { query: None, method: &method, headers: &headers, links: &granted.links };
        return deliver(&state, &file, &asked).await;
    }
    super::listing::page(state, granted).await
}

/// What a request for a file says beside which one.
struct Asked<'a> {
    query: Option<&'a str>,
    method: &'a Method,
    headers: &'a HeaderMap,
    links: &'a Links,
}

async fn deliver<L: Library>(app: &App<L>, file: &str, asked: &Asked<'_>) -> Response<Body> {
    let Asked { query, method, headers, links } = *asked;
    let torrent = app.library.torrent();
    let Some(index) = app.file_of(file) else { return no_such_file() };
    let entry = &torrent.files[index];
    let moment = match Moment::of(query, headers) {
        Ok(moment) => moment,
        Err(sentence) => return answer(StatusCode::BAD_REQUEST, sentence),
    };
    let size = entry.length;
    // The info-hash covers every byte, so this is a strong validator that no restart changes.
    let etag = format!("\"{}-{index}\"", torrent.info_hash);

    if headers.contains_key(IF_MATCH) && !matches_etag(headers, IF_MATCH, &etag, false) {
        return answer(StatusCode::PRECONDITION_FAILED, "this is another file than the one in If-Match");
    }
    let mut response = Response::new(Body::empty());
    let out = response.headers_mut();
    out.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // The folder of the session is the cache, with the user's bounds; a browser need not keep a second copy of a film.
    out.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    put(out, ETAG, &etag);
    if headers.contains_key(IF_NONE_MATCH) && matches_etag(headers, IF_NONE_MATCH, &etag, true) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    // A proxy that reads ahead of its client would have us fetch a film that nobody watches.
    out.insert(NO_BUFFER, HeaderValue::from_static("no"));
    put(out, CONTENT_DISPOSITION, &disposition(base_name(entry)));
    super::dlna::tell(app, index, headers, links, out);

    // A Range counts for GET only (§14.2), and not if it continues another file (§13.1.5; we give no dates to compare).
    let continues = headers.get(IF_RANGE).is_none_or(|v| v.as_bytes() == etag.as_bytes());
    let mut given = headers.get_all(RANGE).iter();
    let ranges = match (given.next(), given.next()) {
        (Some(value), None) if method == Method::GET && continues => parse(value.as_bytes(), size),
        _ => Ranges::Whole,
    };
    // A time is part of what is asked for, by HEAD too.
    let ranges = match moment {
        None => ranges,
        Some(moment) => match Landed::find(app, index, moment).await {
            Ok(None) => {
                if app.library.known_timeline(index).is_some_and(|timeline| !timeline.knows_duration()) {
                    response.headers_mut().insert("playswarm-duration", HeaderValue::from_static("unknown"));
                }
                ranges
            }
            Ok(Some(landed)) => {
                landed.tell(response.headers_mut());
                if method == Method::HEAD {
                    // Who asks where it is will ask for it.
                    app.library.fetch_from(index, landed.landing);
                }
                landed.cut(ranges)
            }
            Err(refused) => return refused,
        },
    };
    let kind = safe_content_type(base_name(entry));
    let Some(parts) = framed(ranges, size, kind, &mut response) else { return response };
    let length = parts.bytes();
    put(response.headers_mut(), CONTENT_LENGTH, &length.to_string());
    if method == Method::HEAD || length == 0 {
        return response;
    }
    match app.library.open(index) {
        Ok(reader) => {
            *response.body_mut() = Body::from_stream(body(reader, parts, app.sent_bytes.clone()));
            response
        }
        Err(e) => refuse(&e),
    }
}

/// Status and headers for these ranges, and what the body is made of; `None` for no body at all.
fn framed(ranges: Ranges, size: u64, kind: &'static str, response: &mut Response<Body>) -> Option<Parts> {
    let (status, content_type, content_range, parts) = match ranges {
        Ranges::Unsatisfiable => {
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            put(response.headers_mut(), CONTENT_RANGE, &format!("bytes */{size}"));
            put(response.headers_mut(), CONTENT_LENGTH, "0");
            return None;
        }
        Ranges::Whole => (StatusCode::OK, kind.to_owned(), None, Parts::one(Span { start: 0, end: size })),
        Ranges::Spans(spans) if spans.len() == 1 => {
            let span = spans[0];
            (StatusCode::PARTIAL_CONTENT, kind.to_owned(), Some(content_range(span, size)), Parts::one(span))
        }
        Ranges::Spans(spans) => {
            let boundary = boundary();
            let parts = Parts::several(&spans, size, kind, &boundary);
            (StatusCode::PARTIAL_CONTENT, format!("multipart/byteranges; boundary={boundary}"), None, parts)
        }
    };
    *response.status_mut() = status;
    put(response.headers_mut(), CONTENT_TYPE, &content_type);
    if let Some(range) = content_range {
        put(response.headers_mut(), CONTENT_RANGE, &range);
    }
    Some(parts)
}

pub(crate) fn refuse(e: &Error) -> Response<Body> {
    let status = match e.kind() {
        ErrorKind::NoSuchFile => StatusCode::NOT_FOUND,
        ErrorKind::Closed | ErrorKind::DiskFull | ErrorKind::TimedOut => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    tracing::debug!(error = %e, "cannot open a reader");
    answer(status, &e.to_string())
}

/// Text before each span and after the last: empty but for multipart.
struct Parts {
    spans: Vec<(Bytes, Span)>,
    end: Bytes,
}

impl Parts {
    fn one(span: Span) -> Parts {
        Parts { spans: vec![(Bytes::new(), span)], end: Bytes::new() }
    }

    fn several(spans: &[Span], size: u64, kind: &str, boundary: &str) -> Parts {
        let head = |span: &Span| {
            let range = content_range(*span, size);
            Bytes::from(format!("\r\n--{boundary}\r\nContent-Type: {kind}\r\nContent-Range: {range}\r\n\r\n"))
        };
        Parts {
            spans: spans.iter().map(|s| (head(s), *s)).collect(),
            end: Bytes::from(format!("\r\n--{boundary}--\r\n")),
        }
    }

    fn bytes(&self) -> u64 {
        let spans: u64 = self.spans.iter().map(|(head, span)| head.len() as u64 + (span.end - span.start)).sum();
        spans + self.end.len() as u64
    }
}

/// Pulled by the connection only when the socket has taken what came before; dropped, with the reader, when the client goes.
fn body<R: Reader>(
    mut reader: R,
    parts: Parts,
    sent: Arc<AtomicU64>,
) -> impl Stream<Item = Result<Bytes, Error>> + Send + 'static {
    let begun = Instant::now();
    try_stream! {
        for (head, span) in parts.spans {
            if !head.is_empty() {
                yield head;
            }
            reader.seek_to(span.start);
            reader.set_end(span.end);
            let mut left = span.bytes();
            let mut reserve = Reserve::new(Time::ZERO);
            while left > 0 {
                let mut max = CHUNK_BYTES.min(usize::try_from(left).unwrap_or(usize::MAX));
                while let Some((ready, rate)) = reader.held(left.min(LOOK_BYTES)) {
                    // What is looked at no further counts as all there is.
                    let left = if ready == LOOK_BYTES { ready } else { left };
                    match reserve.next(Time::ZERO + begun.elapsed(), max, ready, left, rate) {
                        Turn::Give(most) => {
                            max = most;
                            break;
                        }
                        Turn::Wait(wait) => tokio::time::sleep(wait).await,
                    }
                }
                let chunk = read(&mut reader, max).await?;
                left -= chunk.len() as u64;
                reserve.gave(chunk.len());
                sent.fetch_add(chunk.len() as u64, Ordering::Relaxed);
                yield chunk;
            }
        }
        if !parts.end.is_empty() {
            yield parts.end;
        }
    }
}

/// A failure here can only end the connection: the status went out long ago.
async fn read<R: Reader>(reader: &mut R, max: usize) -> Result<Bytes, Error> {
    match reader.read_chunk(max).await {
        Ok(chunk) if !chunk.is_empty() && chunk.len() <= max => Ok(chunk),
        Ok(chunk) => {
            tracing::warn!(bytes = chunk.len(), max, "a reader gave another number of bytes than its file has");
            Err(Error::Io { doing: "reading the file", source: std::io::ErrorKind::UnexpectedEof.into() })
        }
        Err(e) => {
            match e.kind() {
                ErrorKind::Closed | ErrorKind::Cancelled => tracing::debug!(error = %e, "a body ends early"),
                _ => tracing::warn!(error = %e, "a body ends early"),
            }
            Err(e)
        }
    }
}

fn content_range(span: Span, size: u64) -> String {
    format!("bytes {}-{}/{size}", span.start, span.end - 1)
}

/// A torrent's author chooses the names: nothing that a browser would run as a page of ours is called by its type.
fn safe_content_type(name: &str) -> &'static str {
    let kind = content_type(name);
    let harmless = ["video/", "audio/", "text/vtt", "text/plain", "application/x-subrip"];
    let picture = kind.starts_with("image/") && !kind.contains("svg");
    if picture || harmless.iter().any(|h| kind.starts_with(h)) { kind } else { "application/octet-stream" }
}

/// 128 random bits: no file can have been made to hold it.
fn boundary() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("playswarm-{:016x}{:016x}", random(), random())
}

fn matches_etag(headers: &HeaderMap, name: HeaderName, etag: &str, weak: bool) -> bool {
    headers.get_all(name).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(',')).any(|tag| {
        let tag = tag.trim();
        tag == "*" || tag == etag || (weak && tag.strip_prefix("W/") == Some(etag))
    })
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
