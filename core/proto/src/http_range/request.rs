//! A request for a range of a file.

use super::Version;
use crate::gnutella::ServentFields;
use crate::http1::is_web_url;
use crate::printable;
use bytes::BytesMut;
use data_encoding::BASE64;
use percent_encoding::percent_decode_str;
use std::fmt;
use std::ops::Range;
use url::Url;

/// Most redirects that one request follows. Archives and mirror lists need two: to another scheme
/// and to another server.
pub const MAX_REDIRECTS: u8 = 5;
/// Name of the client. It has none of the words by which servers recognise download managers.
pub(crate) const USER_AGENT: &str = concat!("playswarm/", env!("CARGO_PKG_VERSION"));

/// Lines that let a servent queue us, and name sources that need a push.
const QUEUES: &str = "X-Queue: 1.1\r\nX-Features: queue/0.1, fwalt/0.1\r\n";

/// A request for a range of a file.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    url: Url,
    range: Range<u64>,
    /// Length of the file in bytes, if it is known.
    pub(super) total: Option<u64>,
    /// Version of the file that earlier answers had.
    pub(super) version: Version,
    redirects: u8,
    /// Lines for a servent; `None` if the server is none.
    servent: Option<String>,
}

/// The URL is shown without credentials, query and keys.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = printable::without_secrets(self.url.as_str());
        f.debug_struct("Request").field("url", &url).field("range", &self.range).finish_non_exhaustive()
    }
}

impl Request {
    /// Creates a request for these bytes of a file. `None` if the URL is not one of HTTP, or there
    /// are no bytes.
    pub fn new(url: Url, range: Range<u64>) -> Option<Request> {
        let is_http = is_web_url(&url);
        let request = Request { url, range, total: None, version: Version::default(), redirects: 0, servent: None };
        (is_http && !request.range.is_empty()).then_some(request)
    }

    /// States what is known of the file: its length in bytes, and the version of earlier answers.
    /// Answers with another one are refused.
    #[must_use]
    pub fn expecting(mut self, total: Option<u64>, version: Version) -> Request {
        (self.total, self.version) = (total, version);
        self
    }

    /// Makes it a request to a servent of Gnutella, which is told these fields. What the servent says
    /// is in [`Conversation::take_servent_fields`](super::Conversation::take_servent_fields).
    #[must_use]
    pub fn to_servent(mut self, fields: &ServentFields) -> Request {
        self.servent = Some(format!("{QUEUES}{}", fields.to_lines()));
        self
    }

    /// Returns the request for the same bytes at the place that a redirect names. It has its own
    /// version of the file.
    #[must_use]
    pub fn moved_to(&self, location: Url) -> Request {
        Request {
            url: location,
            range: self.range.clone(),
            total: self.total,
            version: Version::default(),
            redirects: self.redirects.saturating_add(1),
            servent: self.servent.clone(),
        }
    }

    /// Returns the URL of the file.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Returns the requested bytes of the file.
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// Whether the server is a servent of Gnutella.
    pub(super) fn is_to_servent(&self) -> bool {
        self.servent.is_some()
    }

    /// Whether another redirect may be followed.
    pub(super) fn may_move(&self) -> bool {
        self.redirects < MAX_REDIRECTS
    }

    /// Appends the head that is sent. A URL has neither spaces nor line ends, so it adds no field.
    pub(super) fn write(&self, out: &mut BytesMut) {
        let path = self.url.path();
        let (mark, query) = self.url.query().map_or(("", ""), |query| ("?", query));
        let host = self.url.host_str().unwrap_or_default();
        let port = self.url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let (first, last) = (self.range.start, self.range.end - 1);
        let mut head = format!(
            "GET {path}{mark}{query} HTTP/1.1\r\nHost: {host}{port}\r\nUser-Agent: {USER_AGENT}\r\n\
             Accept: */*\r\nAccept-Encoding: identity\r\nRange: bytes={first}-{last}\r\n"
        );
        if !self.url.username().is_empty() || self.url.password().is_some() {
            let decoded = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
            let (user, password) = (self.url.username(), self.url.password().unwrap_or_default());
            let both = [decoded(user), decoded(password)].join(&b':');
            head.push_str(&format!("Authorization: Basic {}\r\n", BASE64.encode(&both)));
        }
        head.push_str(self.servent.as_deref().unwrap_or_default());
        head.push_str("Connection: keep-alive\r\n\r\n");
        out.extend_from_slice(head.as_bytes());
    }
}
