//! One file over HTTP: preconditions, ranges and the body (RFC 9110, sections 13 to 15). The bytes
//! come from a [`Reader`].

use super::access::Granted;
use super::body_pacer::{BodyPacer, Step};
use super::library::{Library, Reader};
use super::links::Links;
use super::names::{base_name, disposition};
use super::range::{Ranges, Span, parse};
use super::seek::{Landed, Moment};
use super::{App, answer, no_such_file, put};
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
use playswarm::metainfo::content_type;
use playswarm::{Error, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Bytes that one read asks for. Large enough that the fixed costs of a chunk vanish. Small enough
/// that the position stays near what the client has: the connection holds at most one chunk that is
/// not in the socket yet.
const CHUNK_BYTES: usize = 256 * 1024;
/// Header that keeps nginx from reading ahead.
pub(crate) const NO_BUFFER: HeaderName = HeaderName::from_static("x-accel-buffering");
/// Most buffered bytes that are counted: with this read-ahead, no read waits soon.
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

/// `GET` and `HEAD` of `/`: the page. A request with a range comes from a player, and gets the
/// default file.
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

/// What a request for a file says apart from the file.
struct Asked<'a> {
    query: Option<&'a str>,
    method: &'a Method,
    headers: &'a HeaderMap,
    links: &'a Links,
}

async fn deliver<L: Library>(app: &App<L>, file: &str, asked: &Asked<'_>) -> Response<Body> {
    let torrent = app.library.metainfo();
    let Some(index) = app.file_of(file) else { return no_such_file() };
    let entry = &torrent.files[index];
    let moment = match Moment::of(asked.query, asked.headers) {
        Ok(moment) => moment,
        Err(sentence) => return answer(StatusCode::BAD_REQUEST, sentence),
    };
    // The info-hash covers every byte, so this is a strong validator that no restart changes.
    let etag = format!("\"{}-{index}\"", torrent.info_hash);
    let mut response = Response::new(Body::empty());
    let out = response.headers_mut();
    out.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // The session's folder is the cache, within the user's bounds. A browser need not keep a second
    // copy of a film.
    out.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    put(out, ETAG, &etag);
    if asked.headers.contains_key(IF_MATCH) && !matches_etag(asked.headers, IF_MATCH, &etag, false) {
        return answer(StatusCode::PRECONDITION_FAILED, "the file differs from the one in If-Match");
    }
    if asked.headers.contains_key(IF_NONE_MATCH) && matches_etag(asked.headers, IF_NONE_MATCH, &etag, true) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    // A proxy that reads ahead of its client would make us fetch film that is not watched.
    out.insert(NO_BUFFER, HeaderValue::from_static("no"));
    put(out, CONTENT_DISPOSITION, &disposition(base_name(entry)));
    super::dlna::tell(app, index, asked.headers, asked.links, out);
    let ranges = match at_time(app, index, moment, asked, ranges_of(asked, entry.length, &etag), out).await {
        Ok(ranges) => ranges,
        Err(refused) => return refused,
    };
    let kind = safe_content_type(base_name(entry));
    let Some(parts) = framed(ranges, entry.length, kind, &mut response) else { return response };
    let length = parts.bytes();
    put(response.headers_mut(), CONTENT_LENGTH, &length.to_string());
    if asked.method == Method::HEAD || length == 0 {
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

/// Returns the ranges that the request asks for. A Range counts for GET only (RFC 9110, section
/// 14.2), and not where it continues another file (section 13.1.5; we give no dates to compare).
fn ranges_of(asked: &Asked<'_>, size: u64, etag: &str) -> Ranges {
    let continues = asked.headers.get(IF_RANGE).is_none_or(|v| v.as_bytes() == etag.as_bytes());
    let mut given = asked.headers.get_all(RANGE).iter();
    match (given.next(), given.next()) {
        (Some(value), None) if asked.method == Method::GET && continues => parse(value.as_bytes(), size),
        _ => Ranges::Whole,
    }
}

/// Returns the ranges from the requested time on, also for HEAD, and adds the headers that state
/// their position.
///
/// # Errors
/// The answer to give instead.
async fn at_time<L: Library>(
    app: &App<L>,
    file: usize,
    moment: Option<Moment>,
    asked: &Asked<'_>,
    ranges: Ranges,
    out: &mut HeaderMap,
) -> Result<Ranges, Response<Body>> {
    let Some(moment) = moment else { return Ok(ranges) };
    let Some(landed) = Landed::find(app, file, moment).await? else {
        if app.library.known_timeline(file).is_some_and(|timeline| !timeline.knows_duration()) {
            out.insert("playswarm-duration", HeaderValue::from_static("unknown"));
        }
        return Ok(ranges);
    };
    landed.tell(out);
    if asked.method == Method::HEAD {
        // A client that asks for the place of a time is about to read there.
        app.library.prefetch_from(file, landed.seek_point);
    }
    Ok(landed.cut(ranges))
}

/// Sets the status and the headers for these ranges and returns the parts of the body. `None` for
/// no body.
fn framed(ranges: Ranges, size: u64, kind: &'static str, response: &mut Response<Body>) -> Option<Parts> {
    let whole = |kind: &str| (StatusCode::OK, kind.to_owned(), None, Parts::one(Span { start: 0, end: size }));
    let (status, content_type, content_range, parts) = match ranges {
        Ranges::Unsatisfiable => {
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            put(response.headers_mut(), CONTENT_RANGE, &format!("bytes */{size}"));
            put(response.headers_mut(), CONTENT_LENGTH, "0");
            return None;
        }
        Ranges::Whole => whole(kind),
        Ranges::Spans(spans) if spans.len() == 1 => {
            let span = spans[0];
            (StatusCode::PARTIAL_CONTENT, kind.to_owned(), Some(content_range(span, size)), Parts::one(span))
        }
        Ranges::Spans(spans) => match boundary() {
            Some(boundary) => {
                let parts = Parts::several(&spans, size, kind, &boundary);
                (StatusCode::PARTIAL_CONTENT, format!("multipart/byteranges; boundary={boundary}"), None, parts)
            }
            // A server may ignore ranges (RFC 9110, section 14.2).
            None => whole(kind),
        },
    };
    *response.status_mut() = status;
    put(response.headers_mut(), CONTENT_TYPE, &content_type);
    if let Some(range) = content_range {
        put(response.headers_mut(), CONTENT_RANGE, &range);
    }
    Some(parts)
}

/// Returns the answer for an error of the library.
pub(crate) fn refuse(e: &Error) -> Response<Body> {
    let status = match e.kind() {
        ErrorKind::NoSuchFile => StatusCode::NOT_FOUND,
        ErrorKind::Closed | ErrorKind::DiskFull | ErrorKind::TimedOut => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    tracing::debug!(error = %e, "a request failed");
    answer(status, &e.to_string())
}

/// The spans of a body with the text before each and after the last. The text is empty except for
/// multipart.
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

/// Returns the body. The connection takes the next chunk only when the socket has taken the last
/// one, and drops the body, with its reader, when the client disconnects.
fn body<R: Reader>(
    mut reader: R,
    parts: Parts,
    sent: Arc<AtomicU64>,
) -> impl Stream<Item = Result<Bytes, Error>> + Send + 'static {
    try_stream! {
        for (head, span) in parts.spans {
            if !head.is_empty() {
                yield head;
            }
            reader.seek_to(span.start);
            reader.set_end(span.end);
            let mut left = span.bytes();
            let mut pacer = BodyPacer::default();
            while left > 0 {
                let max = next_bytes(&mut reader, &mut pacer, left).await;
                let chunk = read(&mut reader, max).await?;
                left -= chunk.len() as u64;
                pacer.gave(chunk.len());
                sent.fetch_add(chunk.len() as u64, Ordering::Relaxed);
                yield chunk;
            }
        }
        if !parts.end.is_empty() {
            yield parts.end;
        }
    }
}

/// Returns how many bytes the next read asks for, as soon as the pacer lets it go out.
async fn next_bytes<R: Reader>(reader: &mut R, pacer: &mut BodyPacer, left: u64) -> usize {
    let max = CHUNK_BYTES.min(usize::try_from(left).unwrap_or(usize::MAX));
    while let Some(rate) = reader.bytes_per_s() {
        let ready = reader.buffered(left.min(LOOK_BYTES));
        // Beyond this bound nothing needs pacing, as if all of it were here.
        let left = if ready == LOOK_BYTES { ready } else { left };
        match pacer.next(Instant::now(), max, ready, left, rate) {
            Step::Give(most) => return most,
            Step::Wait(wait) => tokio::time::sleep(wait).await,
        }
    }
    max
}

/// Reads the next chunk. An error ends the connection, because the status has been sent.
async fn read<R: Reader>(reader: &mut R, max: usize) -> Result<Bytes, Error> {
    match reader.read_chunk(max).await {
        Ok(chunk) if !chunk.is_empty() && chunk.len() <= max => Ok(chunk),
        Ok(chunk) => {
            tracing::warn!(bytes = chunk.len(), max, "a reader returned more bytes than its file has");
            Err(Error::Io { doing: "reading the file", source: std::io::ErrorKind::UnexpectedEof.into() })
        }
        Err(e) => {
            match e.kind() {
                ErrorKind::Closed | ErrorKind::Cancelled => tracing::debug!(error = %e, "a response body ended early"),
                _ => tracing::warn!(error = %e, "a response body ended early"),
            }
            Err(e)
        }
    }
}

fn content_range(span: Span, size: u64) -> String {
    format!("bytes {}-{}/{size}", span.start, span.end - 1)
}

/// Returns a content type that no browser runs as a page of this server: the torrent's author
/// chooses the names.
fn safe_content_type(name: &str) -> &'static str {
    let kind = content_type(name);
    let harmless = ["video/", "audio/", "text/vtt", "text/plain", "application/x-subrip"];
    let picture = kind.starts_with("image/") && !kind.contains("svg");
    if picture || harmless.iter().any(|h| kind.starts_with(h)) { kind } else { "application/octet-stream" }
}

/// Returns a boundary of 128 random bits, which no file can have been made to hold. `None` where
/// the system has none.
fn boundary() -> Option<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).ok()?;
    Some(format!("playswarm-{:032x}", u128::from_ne_bytes(random)))
}

fn matches_etag(headers: &HeaderMap, name: HeaderName, etag: &str, weak: bool) -> bool {
    headers.get_all(name).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(',')).any(|tag| {
        let tag = tag.trim();
        tag == "*" || tag == etag || (weak && tag.strip_prefix("W/") == Some(etag))
    })
}
