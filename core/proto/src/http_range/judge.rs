//! Decides whether an answer serves its request.

use super::head::{ContentRange, Head};
use super::{Refusal, Request};
use crate::http1::{Framing, is_web_url};
use std::ops::Range;
use url::Url;

/// An answer of use: bytes of the file, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Accepted {
    /// The bytes that come.
    pub(super) bytes: Range<u64>,
    /// Length of the file, bytes, if it is known.
    pub(super) total: Option<u64>,
}

/// Returns what an answer has for its request.
///
/// # Errors
/// The reason why it is of no use.
pub(super) fn judge(head: &Head, request: &Request) -> Result<Accepted, Refusal> {
    let status = head.status;
    match status {
        200 | 206 => {}
        301 | 302 | 303 | 307 | 308 => return Err(moved(head, request)),
        401 | 403 | 407 => return Err(Refusal::Denied { status }),
        404 | 410 => return Err(Refusal::Missing { status }),
        416 => {
            let total = match head.content_range {
                Some(ContentRange::Unsatisfied(total)) => total,
                _ => None,
            };
            return Err(Refusal::OutOfRange { total });
        }
        429 | 503 => return Err(Refusal::Busy { status, retry_after: head.retry_after }),
        _ => return Err(Refusal::Status { status }),
    }
    let framing = head.framing?;
    if let Some(coding) = &head.encoding {
        return Err(Refusal::Encoded(coding.clone()));
    }
    match head.media_type.as_deref() {
        Some("multipart/byteranges") => return Err(Refusal::Multipart),
        Some(kind) if is_page_instead(kind, request.url()) => return Err(Refusal::WebPage),
        _ => {}
    }
    let stated = match framing {
        Framing::Length(length) => Some(length),
        Framing::Chunked | Framing::Raw => None,
    };
    let accepted = if status == 206 { part(head, request)? } else { whole(stated, request)? };
    if let (Some(sent), Some(expected)) = (accepted.total, request.total)
        && sent != expected
    {
        return Err(Refusal::OtherTotal { expected, sent });
    }
    let range = accepted.bytes.end - accepted.bytes.start;
    match stated {
        Some(length) if length != range => Err(Refusal::OtherLength { range, length }),
        _ if !request.version.agrees(&head.version) => Err(Refusal::Changed),
        _ => Ok(Accepted { total: accepted.total.or(request.total), ..accepted }),
    }
}

/// Returns what a partial answer has. A server may send a part of what was requested: peers that
/// have only some of a file do.
fn part(head: &Head, request: &Request) -> Result<Accepted, Refusal> {
    let Some(ContentRange::Bytes(sent, total)) = head.content_range.clone() else {
        return Err(Refusal::NoContentRange);
    };
    let asked = request.range();
    if sent.start < asked.start || sent.end > asked.end {
        return Err(Refusal::OtherRange { asked, sent });
    }
    Ok(Accepted { bytes: sent, total })
}

/// Returns what an answer with the whole file has. It is of use if the request is for its
/// beginning: nothing has to be read in vain.
fn whole(stated: Option<u64>, request: &Request) -> Result<Accepted, Refusal> {
    let total = stated.or(request.total).ok_or(Refusal::UnknownLength)?;
    match request.range().start {
        0 if total > 0 => Ok(Accepted { bytes: 0..total, total: Some(total) }),
        0 => Err(Refusal::OutOfRange { total: Some(0) }),
        _ => Err(Refusal::IgnoresRanges),
    }
}

fn moved(head: &Head, request: &Request) -> Refusal {
    if !request.may_move() {
        return Refusal::TooManyRedirects;
    }
    let location = head.location.as_ref().and_then(|text| request.url().join(text).ok());
    match location.filter(is_web_url) {
        Some(location) => Refusal::Moved { location, is_permanent: matches!(head.status, 301 | 308) },
        None => Refusal::BadLocation,
    }
}

/// Returns whether a body of this media type, in lower case and without parameters, is a web page
/// where the requested file is none.
pub fn is_page_instead(media_type: &str, requested: &Url) -> bool {
    let path = requested.path().to_ascii_lowercase();
    let is_page = [".html", ".htm", ".xhtml", ".xht"].iter().any(|end| path.ends_with(end));
    matches!(media_type, "text/html" | "application/xhtml+xml") && !is_page
}
