//! Refusals of a pushed stream: a status of HTTP and a sentence for the person who pushes.

use crate::http1::Fault;
use std::borrow::Cow;

/// A refusal of a pushed stream. Its text is for the person who pushes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct Refusal {
    /// Status of HTTP.
    pub status: u16,
    /// The cause, and the remedy if there is one.
    pub sentence: Cow<'static, str>,
}

impl Refusal {
    /// Creates a refusal with a status of HTTP from 400 on.
    pub fn new(status: u16, sentence: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { status, sentence: sentence.into() }
    }

    /// Returns the refusal of a client without the right password or token.
    pub fn unauthorized() -> Refusal {
        Refusal::new(401, "the password or token is missing or wrong; use the one that was printed with this address")
    }

    /// Returns the refusal of a second source.
    pub fn busy() -> Refusal {
        Refusal::new(403, "another source is sending to this channel; stop it first, or wait until it is gone")
    }

    /// Returns the refusal of a path or application that is not there.
    pub fn not_found() -> Refusal {
        Refusal::new(404, "nothing takes a stream at this address; use the address that was printed")
    }

    /// Returns the refusal of a stream in a format that cannot be played from its middle.
    pub fn unsupported(sentence: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::new(415, sentence)
    }

    pub(crate) fn bad(sentence: &'static str) -> Refusal {
        Refusal::new(400, sentence)
    }

    /// Returns the whole answer, after which the connection is closed. `version` is that of HTTP in
    /// the status line.
    pub(crate) fn answer(&self, version: &str) -> String {
        let more = match self.status {
            401 => "WWW-Authenticate: Basic realm=\"playswarm\"\r\n",
            405 => "Allow: PUT, POST, SOURCE, OPTIONS\r\n",
            _ => "",
        };
        let (status, reason, text) = (self.status, reason(self.status), &self.sentence);
        let length = text.len() + 1;
        format!(
            "{version} {status} {reason}\r\n{more}Content-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}\n"
        )
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Refusal {
        let status = match fault {
            Fault::LongTrailer => 431,
            Fault::Coding => 501,
            _ => 400,
        };
        Refusal::new(status, fault.to_string())
    }
}

/// Returns the reason phrase of a status (RFC 9110, section 15).
fn reason(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        411 => "Length Required",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Refused",
    }
}
