//! Answers that are of no use, and what helps.

use super::MAX_REDIRECTS;
use super::head::{MAX_HEAD_BYTES, MAX_HEADERS};
use crate::http1::Fault;
use std::ops::Range;
use std::time::Duration;
use url::Url;

/// Longest time for which a server can send us away.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

/// When a busy server may be asked again (`Retry-After`, RFC 9110, section 10.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// After this number of seconds.
    Seconds(u64),
    /// At this time, in seconds since 1970, UTC.
    At(u64),
}

impl RetryAfter {
    /// Returns how long to wait, at most [`MAX_RETRY_AFTER`]. `now` is the time since 1970, UTC.
    pub fn wait(self, now: Duration) -> Duration {
        let wait = match self {
            RetryAfter::Seconds(seconds) => Duration::from_secs(seconds),
            RetryAfter::At(time) => Duration::from_secs(time).saturating_sub(now),
        };
        wait.min(MAX_RETRY_AFTER)
    }
}

/// What helps after a refused answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// To request the same bytes at this URL, if its address is allowed
    /// ([`Request::moved_to`](super::Request::moved_to)).
    Follow(Url),
    /// To request them here later.
    Wait(Option<RetryAfter>),
    /// To request them over a new connection.
    Reconnect,
    /// To use this URL no more.
    GiveUp,
}

/// The reason why an answer is of no use, as a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// 200 for a range behind the first byte.
    #[error(
        "the server ignores ranges and sends the whole file; such a server can only be read from the first byte on"
    )]
    IgnoresRanges,
    /// 200 without a length.
    #[error("the server ignores ranges and does not say how long the file is; use another mirror")]
    UnknownLength,
    /// 206 without a range, or with one that is none.
    #[error("the server sends a part of the file without saying which; use another mirror")]
    NoContentRange,
    /// 206 for bytes that were not requested.
    #[error("the server sends bytes {} to {} of the file, but {} to {} were requested; use another mirror", sent.start, sent.end, asked.start, asked.end)]
    OtherRange {
        /// The requested bytes.
        asked: Range<u64>,
        /// Those that the answer has.
        sent: Range<u64>,
    },
    /// The file has another length.
    #[error("the server's file has {sent} bytes and not {expected}, so it is another file; use another mirror")]
    OtherTotal {
        /// Length of the file, bytes.
        expected: u64,
        /// Length that the answer states, bytes.
        sent: u64,
    },
    /// The body is shorter or longer than its range.
    #[error("the server states a body of {length} bytes for a range of {range}; use another mirror")]
    OtherLength {
        /// Length of the range, bytes.
        range: u64,
        /// Length of the body, bytes.
        length: u64,
    },
    /// `multipart/byteranges`, though one range was requested.
    #[error("the server sends several ranges at once, though one was requested; use another mirror")]
    Multipart,
    /// HTML in place of a file.
    #[error("the server sends a web page in place of the file; check the address")]
    WebPage,
    /// A content encoding, though none was asked for.
    #[error("the server sends the file compressed ({0}), so its ranges are of no use; use another mirror")]
    Encoded(String),
    /// Another version than that of earlier answers.
    #[error("the file on the server has changed since the last answer; use another mirror")]
    Changed,
    /// 301, 302, 303, 307 or 308.
    #[error("the file is at another address")]
    Moved {
        /// The address. Check it as if a stranger had named it.
        location: Url,
        /// Whether it counts for later requests too.
        is_permanent: bool,
    },
    /// A redirect without a URL of HTTP.
    #[error("the server names no usable address to which the file has moved; use another mirror")]
    BadLocation,
    /// Redirects in a circle, or too many.
    #[error("the server redirects more than {MAX_REDIRECTS} times; use another mirror")]
    TooManyRedirects,
    /// 416.
    #[error("the server's file has no such bytes; it is another file, or incomplete there")]
    OutOfRange {
        /// Length of the file, bytes, if the server states it.
        total: Option<u64>,
    },
    /// 404 or 410.
    #[error("the server does not have the file (status {status}); check the address, or use another mirror")]
    Missing {
        /// Status of HTTP.
        status: u16,
    },
    /// 401, 403 or 407.
    #[error("the server gives the file only to others (status {status}); name and password may be in the address")]
    Denied {
        /// Status of HTTP.
        status: u16,
    },
    /// 429 or 503.
    #[error("the server is busy (status {status}); it is asked again later")]
    Busy {
        /// Status of HTTP.
        status: u16,
        /// When it may be asked again, if it says so.
        retry_after: Option<RetryAfter>,
    },
    /// Any other status.
    #[error("the server answers with status {status}; it is asked again later, other mirrors meanwhile")]
    Status {
        /// Status of HTTP.
        status: u16,
    },
    /// Bytes that are no answer of HTTP/1.
    #[error("the server does not answer in HTTP/1; check the address")]
    NotHttp,
    /// A head beyond the limits.
    #[error("the head of the answer has over {MAX_HEAD_BYTES} bytes or {MAX_HEADERS} fields; use another mirror")]
    LongHead,
    /// A body that cannot be read.
    #[error(transparent)]
    Body(#[from] Fault),
    /// The body ended too early.
    #[error("the answer ended {missing} bytes too early; the rest is requested again")]
    Short {
        /// Number of bytes that did not come.
        missing: u64,
    },
}

impl Refusal {
    /// Returns what helps.
    pub fn remedy(&self) -> Remedy {
        match self {
            Refusal::Moved { location, .. } => Remedy::Follow(location.clone()),
            Refusal::Busy { retry_after, .. } => Remedy::Wait(*retry_after),
            // Faults of a server pass, those of a request do not (RFC 9110, section 15).
            Refusal::Status { status: 408 | 409 | 425 | 500.. } => Remedy::Wait(None),
            Refusal::Short { .. } | Refusal::Body(_) | Refusal::NotHttp => Remedy::Reconnect,
            _ => Remedy::GiveUp,
        }
    }
}
