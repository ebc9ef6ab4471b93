//! Requests for what we share: those of servents, and of any client of HTTP.

use super::header_fields::{self, HeaderFields};
use super::servent_fields::{ServentFields, Target};
use crate::http1::number;
use std::ops::Range;

/// The reason why a request is not answered with a file, as servents say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadRequest {
    /// The first line is not one of HTTP/1.
    #[error("400 Malformed Request")]
    Malformed,
    /// There is no `Host`.
    #[error("400 Missing Host Header")]
    Host,
    /// Too many fields.
    #[error("400 Too Many Fields")]
    Fields,
    /// There is a body.
    #[error("400 Request Has A Body")]
    Body,
    /// The method is neither GET nor HEAD.
    #[error("501 Not Implemented")]
    Method,
}

/// The bytes of a `Range` field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// From the first byte to the last one, or to the end.
    From(u64, Option<u64>),
    /// As many bytes from the end.
    Last(u64),
}

impl ByteRange {
    /// Parses a field. Of several ranges the first one counts, as servents serve them. What is
    /// malformed is as if it were not there (RFC 9110, section 14.2).
    fn parse(text: &str) -> Option<ByteRange> {
        let specs = text.trim().strip_prefix("bytes")?.trim_start_matches([' ', '=']);
        let (first, last) = specs.split(',').next()?.split_once('-')?;
        let (first, last) = (first.trim(), last.trim());
        match (number(first), number(last)) {
            (Some(first), Some(last)) => (first <= last).then_some(ByteRange::From(first, Some(last))),
            (Some(first), None) if last.is_empty() => Some(ByteRange::From(first, None)),
            (None, Some(count)) if first.is_empty() => Some(ByteRange::Last(count)),
            _ => None,
        }
    }

    /// Returns the bytes of a file of this length; `None` if it has none of them.
    pub fn of(self, size: u64) -> Option<Range<u64>> {
        let range = match self {
            ByteRange::From(first, last) => first..last.map_or(size, |last| size.min(last.saturating_add(1))),
            ByteRange::Last(count) => size.saturating_sub(count)..size,
        };
        (!range.is_empty()).then_some(range)
    }
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileRequest {
    /// Whether only the head of the answer is wanted.
    pub is_head: bool,
    /// What is asked for; `None` for a path that means nothing to servents.
    pub target: Option<Target>,
    /// The bytes that are wanted; `None` for all.
    pub bytes: Option<ByteRange>,
    /// Whether the connection goes on after the answer.
    pub keeps: bool,
    /// Whether the client waits in a queue on the connection (`X-Queue`).
    pub has_queue: bool,
    /// What else servents say.
    pub fields: ServentFields,
}

impl FileRequest {
    /// Returns the length of the head at the start of these bytes, with its empty line. `None` if it
    /// has no end yet.
    pub fn head_bytes(bytes: &[u8]) -> Option<usize> {
        header_fields::head_bytes(bytes)
    }

    /// Reads the head of a request, with or without its empty line.
    ///
    /// # Errors
    /// The reason why it is refused.
    pub fn parse(head: &[u8]) -> Result<FileRequest, BadRequest> {
        let head = &head[..head.len().min(super::MAX_HEAD_BYTES)];
        let (first, fields) = HeaderFields::parse(head).ok_or(BadRequest::Fields)?;
        let mut words = first.split(' ');
        let (method, path, version) = (words.next(), words.next(), words.next());
        let (Some(method), Some(path), Some(version), None) = (method, path, version, words.next()) else {
            return Err(BadRequest::Malformed);
        };
        let is_newer = match version {
            "HTTP/1.1" => true,
            "HTTP/1.0" => false,
            _ => return Err(BadRequest::Malformed),
        };
        let is_head = match method {
            "GET" => false,
            "HEAD" => true,
            _ => return Err(BadRequest::Method),
        };
        if fields.get("Host").is_none() {
            return Err(BadRequest::Host);
        }
        if fields.get("Transfer-Encoding").is_some() || fields.all(&["Content-Length"]).any(|length| length != "0") {
            return Err(BadRequest::Body);
        }
        let says = |word| fields.has_item("Connection", word);
        Ok(FileRequest {
            is_head,
            target: Target::parse(path),
            bytes: fields.get("Range").and_then(ByteRange::parse),
            keeps: if is_newer { !says("close") } else { says("keep-alive") },
            has_queue: fields.get("X-Queue").is_some(),
            fields: ServentFields::parse(head).ok_or(BadRequest::Fields)?,
        })
    }
}
