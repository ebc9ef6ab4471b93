//! Answers to requests (RFC 2326, section 7).

use std::fmt::Write as _;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Answer {
    pub(crate) fn new(status: u16) -> Answer {
        Answer { status, headers: Vec::new(), body: String::new() }
    }

    /// Adds a header. Line breaks in the value are left out.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Answer {
        let mut value = value.into();
        value.retain(|c| !c.is_control());
        self.headers.push((name, value));
        self
    }

    pub(crate) fn body(mut self, kind: &str, body: String) -> Answer {
        self.body = body;
        self.with("Content-Type", kind)
    }

    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    /// Returns the bytes of the answer to a request.
    pub(crate) fn bytes(&self, cseq: Option<u32>) -> Vec<u8> {
        let mut text = format!("RTSP/1.0 {} {}\r\n", self.status, reason(self.status));
        if let Some(cseq) = cseq {
            let _ = write!(text, "CSeq: {cseq}\r\n");
        }
        let _ = write!(text, "Server: playswarm/{}\r\n", env!("CARGO_PKG_VERSION"));
        for (name, value) in &self.headers {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        if !self.body.is_empty() {
            let _ = write!(text, "Content-Length: {}\r\n", self.body.len());
        }
        text.push_str("\r\n");
        text.push_str(&self.body);
        text.into_bytes()
    }
}

pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        415 => "Unsupported Media Type",
        453 => "Not Enough Bandwidth",
        454 => "Session Not Found",
        455 => "Method Not Valid In This State",
        457 => "Invalid Range",
        459 => "Aggregate Operation Not Allowed",
        461 => "Unsupported Transport",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        551 => "Option Not Supported",
        _ => "Internal Server Error",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_what_another_implementation_reads() {
        let answer = Answer::new(200).with("Session", "a\r\nb").body("application/sdp", "v=0\r\n".into());
        let (message, used): (rtsp_types::Message<Vec<u8>>, usize) =
            rtsp_types::Message::parse(&answer.bytes(Some(7))).unwrap();
        let rtsp_types::Message::Response(response) = message else { panic!("no response") };
        assert_eq!(used, answer.bytes(Some(7)).len());
        assert_eq!(response.status(), rtsp_types::StatusCode::Ok);
        assert_eq!(response.header(&rtsp_types::headers::CSEQ).unwrap().as_str(), "7");
        assert_eq!(response.header(&rtsp_types::headers::SESSION).unwrap().as_str(), "ab");
        assert_eq!(response.body(), b"v=0\r\n");
    }
}
