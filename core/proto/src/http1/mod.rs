//! What both ends of HTTP/1 read alike: header fields, and the body of a message (RFC 9112).

mod body;
mod fields;

pub(crate) use body::Body;
pub use body::Framing;
pub(crate) use fields::{Fields, number, shortened};

/// Returns whether a URL is one of HTTP, with a host.
pub(crate) fn is_web_url(url: &url::Url) -> bool {
    matches!(url.scheme(), "http" | "https") && url.host_str().is_some()
}

/// Longest text that is kept of a header field or a parameter, bytes. Longer ones are cut.
pub const MAX_TEXT_BYTES: usize = 255;

/// The reason why the body of a message cannot be read, as a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// A chunk without a length.
    #[error("a chunk of the body does not begin with its length")]
    ChunkHead,
    /// No line end after a chunk.
    #[error("a chunk of the body is longer than it says")]
    ChunkEnd,
    /// Too many bytes after the last chunk.
    #[error("the fields after the body are too long")]
    LongTrailer,
    /// `Content-Length` is no number, or two.
    #[error("the length of the body (Content-Length) is not one number")]
    Length,
    /// Both `Content-Length` and `Transfer-Encoding`.
    #[error("a body has either a length or chunks, not both")]
    Both,
    /// Another transfer encoding than chunks.
    #[error("the only transfer encoding understood here is chunked")]
    Coding,
}
