//! The head of an answer.

use super::date;
use super::refusal::{Refusal, RetryAfter};
use crate::http1::{Fault, Fields, Framing, number};
use std::ops::Range;

/// Longest head of an answer, bytes.
pub const MAX_HEAD_BYTES: usize = 16 << 10;
/// Most header fields of an answer. Content networks send about thirty.
pub const MAX_HEADERS: usize = 100;
/// Longest URL that a redirect may name, bytes.
const MAX_LOCATION_BYTES: usize = 4096;

/// The version of a file, as a server names it (RFC 9110, section 8.8).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Version {
    /// Entity tag (`ETag`) without the mark of weak ones, since proxies add and remove it.
    pub etag: Option<String>,
    /// Date of the last change (`Last-Modified`), unchanged.
    pub last_modified: Option<String>,
}

impl Version {
    /// Whether both may be of the same content: nothing that both name differs. The date counts
    /// only where a tag is missing.
    pub fn agrees(&self, other: &Version) -> bool {
        match (&self.etag, &other.etag) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => match (&self.last_modified, &other.last_modified) {
                (Some(ours), Some(theirs)) => ours == theirs,
                _ => true,
            },
        }
    }
}

/// The field `Content-Range` (RFC 9110, section 14.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ContentRange {
    /// These bytes of a file of this length.
    Bytes(Range<u64>, Option<u64>),
    /// None of a file of this length.
    Unsatisfied(Option<u64>),
    /// Not to be understood, or several that contradict each other.
    Bad,
}

/// The head of an answer.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) status: u16,
    /// Whether the connection may be used again after this answer.
    pub(super) keep_alive: bool,
    pub(super) framing: Result<Framing, Fault>,
    pub(super) content_range: Option<ContentRange>,
    pub(super) media_type: Option<String>,
    /// Content encoding other than none.
    pub(super) encoding: Option<String>,
    pub(super) location: Option<String>,
    pub(super) retry_after: Option<RetryAfter>,
    pub(super) version: Version,
}

/// Parses the head at the start of a connection's bytes. Returns it with its length; `None` if more
/// bytes are needed.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, Refusal> {
    let bytes = &bytes[..bytes.len().min(MAX_HEAD_BYTES)];
    let mut fields = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Response::new(&mut fields);
    let mut config = httparse::ParserConfig::default();
    // Broken fields do not make the others useless.
    config.allow_obsolete_multiline_headers_in_responses(true).ignore_invalid_headers_in_responses(true);
    config.allow_spaces_after_header_name_in_responses(true);
    match config.parse_response(&mut parsed, bytes) {
        Ok(httparse::Status::Complete(length)) => {
            let head = Head::new(parsed.code.unwrap_or_default(), parsed.version == Some(1), &Fields(parsed.headers));
            Ok(Some((head, length)))
        }
        Ok(httparse::Status::Partial) if bytes.len() < MAX_HEAD_BYTES => Ok(None),
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => Err(Refusal::LongHead),
        Err(_) => Err(Refusal::NotHttp),
    }
}

impl Head {
    fn new(status: u16, is_1_1: bool, fields: &Fields<'_>) -> Head {
        let stated = match status {
            // These have no body, whatever their fields say (RFC 9112, section 6.3).
            100..=199 | 204 | 304 => Ok(Some(Framing::Length(0))),
            _ => fields.framing(),
        };
        let keep_alive = fields.keep_alive(is_1_1) && matches!(stated, Ok(Some(_)));
        let etag = fields.text(&["etag"]).map(|tag| tag.strip_prefix("W/").map(str::to_owned).unwrap_or(tag));
        let encoding = fields.text(&["content-encoding"]).filter(|coding| !coding.eq_ignore_ascii_case("identity"));
        Head {
            status,
            keep_alive,
            framing: stated.map(|framing| framing.unwrap_or(Framing::Raw)),
            content_range: content_range(fields),
            media_type: fields.media_type(),
            encoding,
            location: location(fields),
            retry_after: fields.text(&["retry-after"]).and_then(|text| retry_after(&text)),
            version: Version { etag, last_modified: fields.text(&["last-modified"]) },
        }
    }
}

/// Returns the text of `Location`, which may be longer than other fields.
fn location(fields: &Fields<'_>) -> Option<String> {
    let value = fields.all("location").next()?.trim_ascii();
    (!value.is_empty() && value.len() <= MAX_LOCATION_BYTES).then(|| String::from_utf8_lossy(value).into_owned())
}

fn retry_after(text: &str) -> Option<RetryAfter> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        // Only a number that is too large cannot be parsed.
        return Some(RetryAfter::Seconds(text.parse().unwrap_or(u64::MAX)));
    }
    date::seconds(text).map(RetryAfter::At)
}

fn content_range(fields: &Fields<'_>) -> Option<ContentRange> {
    let mut found = None;
    for value in fields.all("content-range") {
        let range = std::str::from_utf8(value).ok().and_then(range).unwrap_or(ContentRange::Bad);
        if found.replace(range.clone()).is_some_and(|before| before != range) {
            return Some(ContentRange::Bad);
        }
    }
    found
}

/// Parses `bytes 0-9/20`, `bytes 0-9/*` or `bytes */20`. The line may be folded.
fn range(text: &str) -> Option<ContentRange> {
    let mut words = text.split_ascii_whitespace();
    let is_bytes = words.next()?.eq_ignore_ascii_case("bytes");
    let rest: String = words.collect();
    let (range, total) = rest.split_once('/').filter(|_| is_bytes)?;
    let total = if total == "*" { None } else { Some(number(total)?) };
    if range == "*" {
        return Some(ContentRange::Unsatisfied(total));
    }
    let (first, last) = range.split_once('-')?;
    let bytes = number(first)?..number(last)?.checked_add(1)?;
    let fits = !bytes.is_empty() && total.is_none_or(|total| bytes.end <= total);
    fits.then_some(ContentRange::Bytes(bytes, total))
}
