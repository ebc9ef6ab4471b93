//! What a client sends over a connection: requests (RFC 2326, section 6) and interleaved frames
//! (section 10.12). Bytes may come in any cuts, and every length is bounded.

use super::answer::reason;

/// Longest request line with its headers, in bytes.
const MAX_HEAD_BYTES: usize = 16 << 10;
/// Longest body of a request in bytes. Bodies carry parameters, none of which are understood.
const MAX_BODY_BYTES: usize = 4 << 10;
/// Longest interleaved frame that is kept, in bytes. Receiver reports are shorter; others are
/// skipped.
const MAX_FRAME_BYTES: usize = 2 << 10;
/// Length in bytes of the header of an interleaved frame.
const FRAME_HEAD: usize = 4;

/// A request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) url: String,
    headers: Vec<(String, String)>,
}

impl Request {
    /// Returns the value of the first header of this name, in any case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.values(name).next()
    }

    /// Returns the values of all headers of this name.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Returns the sequence number. `None` if there is none that could be repeated in an answer.
    pub(crate) fn cseq(&self) -> Option<u32> {
        self.header("CSeq")?.parse().ok()
    }

    /// Returns the session identifier without its parameters.
    pub(crate) fn session(&self) -> Option<&str> {
        self.header("Session").map(|value| value.split(';').next().unwrap_or(value).trim())
    }
}

/// One unit of what a client sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Request(Request),
    /// An interleaved frame: a channel and its data.
    Frame(u8, Vec<u8>),
    /// The head of a request over HTTP, with which a tunnel begins.
    Tunnel(Request),
}

/// The reason why a connection cannot continue. Its text is for the log of the client's author.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The first line is that of another protocol.
    NotRtsp,
    /// Another version of RTSP.
    Version,
    Malformed,
    HeadTooLong,
    BodyTooLong,
}

impl Fault {
    /// Returns the whole answer.
    pub(crate) fn answer(self) -> Vec<u8> {
        let line = match self {
            Fault::NotRtsp => return refuse_http(400),
            Fault::Version => "RTSP/1.0 505 RTSP Version Not Supported\r\nConnection: close",
            Fault::Malformed => "RTSP/1.0 400 Bad Request\r\nConnection: close",
            Fault::HeadTooLong | Fault::BodyTooLong => "RTSP/1.0 413 Request Entity Too Large\r\nConnection: close",
        };
        format!("{line}\r\n\r\n").into_bytes()
    }
}

/// Returns the answer to a refused request over HTTP. A browser must not take it for a page, so it
/// has no body.
pub(crate) fn refuse_http(status: u16) -> Vec<u8> {
    let reason = reason(status);
    format!("HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

/// A parser of one connection's bytes.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    buffer: Vec<u8>,
    /// Bytes at the start of the buffer in which no head ends.
    scanned: usize,
    /// Bytes of a frame still to be skipped.
    skip: usize,
    /// Whether the next request may be one over HTTP: it is the first of its connection.
    may_tunnel: bool,
}

impl Parser {
    /// Returns the parser of a connection, on which a tunnel may begin.
    pub(crate) fn of_connection() -> Parser {
        Parser { may_tunnel: true, ..Parser::default() }
    }

    /// Returns the bytes after what was returned.
    pub(crate) fn rest(self) -> Vec<u8> {
        self.buffer
    }

    /// Accepts bytes. They are kept until [`Parser::next`] returned all that they contain.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Returns the next unit; `None` if more bytes are needed.
    ///
    /// # Errors
    /// A fault that ends the connection.
    pub(crate) fn next(&mut self) -> Result<Option<Input>, Fault> {
        loop {
            let skipped = self.skip.min(self.buffer.len());
            self.skip -= skipped;
            self.take(skipped);
            // Blank lines between requests are allowed (RFC 2326, section 4).
            if self.scanned == 0 {
                self.take(self.buffer.iter().take_while(|b| b"\r\n".contains(b)).count());
            }
            if self.skip > 0 || self.buffer.is_empty() {
                return Ok(None);
            }
            if self.buffer[0] != b'$' {
                return self.request();
            }
            let Some(&[_, channel, high, low]) = self.buffer.first_chunk::<FRAME_HEAD>() else { return Ok(None) };
            let length = usize::from(u16::from_be_bytes([high, low]));
            if length > MAX_FRAME_BYTES {
                self.skip = FRAME_HEAD + length;
                continue;
            }
            if self.buffer.len() < FRAME_HEAD + length {
                return Ok(None);
            }
            let frame = self.take(FRAME_HEAD + length);
            return Ok(Some(Input::Frame(channel, frame[FRAME_HEAD..].to_vec())));
        }
    }

    fn request(&mut self) -> Result<Option<Input>, Fault> {
        let from = self.scanned.saturating_sub(2);
        // Each line may end in its own way (RFC 2326, section 4).
        let end = (from..self.buffer.len()).find_map(|at| {
            let rest = &self.buffer[at..];
            [&b"\n\r\n"[..], b"\n\n"].into_iter().find(|end| rest.starts_with(end)).map(|end| (at, at + end.len()))
        });
        let Some((end, body)) = end else {
            self.scanned = self.buffer.len();
            return self.waits_for_head();
        };
        if body > MAX_HEAD_BYTES {
            return Err(Fault::HeadTooLong);
        }
        // Names of programs and of files may be in an older encoding. Nothing depends on them.
        let head = String::from_utf8_lossy(&self.buffer[..end]);
        let (request, protocol) = parse(&head)?;
        self.check(&request.method, protocol)?;
        if protocol == Protocol::Http {
            self.take(body);
            return Ok(Some(Input::Tunnel(request)));
        }
        let length = match request.header("Content-Length") {
            None => 0,
            Some(text) => text.parse::<usize>().map_err(|_| Fault::Malformed)?,
        };
        if length > MAX_BODY_BYTES {
            return Err(Fault::BodyTooLong);
        }
        if self.buffer.len() < body + length {
            // The head is parsed again when the body is here, which is rare and bounded.
            self.scanned = end;
            return Ok(None);
        }
        self.take(body + length);
        self.may_tunnel = false;
        Ok(Some(Input::Request(request)))
    }

    /// Checks what is there of a head that has not ended.
    fn waits_for_head(&self) -> Result<Option<Input>, Fault> {
        if self.buffer.len() > MAX_HEAD_BYTES {
            return Err(Fault::HeadTooLong);
        }
        match self.buffer.iter().position(|b| *b == b'\n') {
            Some(end) => {
                let line = String::from_utf8_lossy(&self.buffer[..end]);
                let (method, _, protocol) = first_line(&line)?;
                self.check(method, protocol).map(|()| None)
            }
            None => Ok(None),
        }
    }

    /// Checks that a request may be of a protocol.
    fn check(&self, method: &str, protocol: Protocol) -> Result<(), Fault> {
        let tunnels = self.may_tunnel && ["GET", "POST"].contains(&method);
        if protocol == Protocol::Rtsp || tunnels { Ok(()) } else { Err(Fault::NotRtsp) }
    }

    fn take(&mut self, bytes: usize) -> Vec<u8> {
        if bytes > 0 {
            self.scanned = 0;
        }
        let rest = self.buffer.split_off(bytes);
        std::mem::replace(&mut self.buffer, rest)
    }
}

/// The protocol that a first line names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Rtsp,
    Http,
}

fn first_line(line: &str) -> Result<(&str, &str, Protocol), Fault> {
    let mut words = line.trim_end().split(' ');
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some(method), Some(url), Some("RTSP/1.0"), None) if !method.is_empty() && !url.is_empty() => {
            Ok((method, url, Protocol::Rtsp))
        }
        (Some(method), Some(path), Some("HTTP/1.0" | "HTTP/1.1"), None) => Ok((method, path, Protocol::Http)),
        (Some(_), Some(_), Some(version), None) if version.starts_with("RTSP/") => Err(Fault::Version),
        _ => Err(Fault::NotRtsp),
    }
}

fn parse(head: &str) -> Result<(Request, Protocol), Fault> {
    let mut lines = head.lines();
    let (method, url, protocol) = first_line(lines.next().unwrap_or_default())?;
    let mut headers: Vec<(String, String)> = Vec::new();
    for line in lines {
        if line.starts_with([' ', '\t']) {
            // A folded header continues on this line.
            let (_, value) = headers.last_mut().ok_or(Fault::Malformed)?;
            value.push(' ');
            value.push_str(line.trim());
            continue;
        }
        let (name, value) = line.split_once(':').ok_or(Fault::Malformed)?;
        headers.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    Ok((Request { method: method.to_owned(), url: url.to_owned(), headers }, protocol))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Requests of Debian's VLC and of FFmpeg, a frame between them.
    fn sent() -> Vec<u8> {
        let mut bytes = b"SETUP rtsp://127.0.0.1:8559/0/film.mp4 RTSP/1.0\r\nCSeq: 1\r\n\
            Transport: RTP/AVP;unicast;client_port=9164-9165\r\n\r\n"
            .to_vec();
        bytes.extend_from_slice(b"$\x01\x00\x03abc\r\n");
        bytes.extend_from_slice(b"$\x00\x09\x00");
        bytes.extend_from_slice(&[7; 0x900]);
        bytes.extend_from_slice(b"\r\n");
        bytes
            .extend_from_slice(b"GET_PARAMETER * RTSP/1.0\nCSeq: 2\nSession: abc;timeout=60\nContent-Length: 3\n\nx: ");
        bytes.extend_from_slice(b"PLAY rtsp://h/ RTSP/1.0\r\nCSeq: 3\r\nRange: npt=0.000-\r\n\r\n");
        bytes
    }

    fn all(parser: &mut Parser) -> Vec<Input> {
        std::iter::from_fn(|| parser.next().unwrap()).collect()
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(cuts in proptest::collection::vec(1usize..400, 1..40)) {
            let mut whole = Parser::default();
            whole.feed(&sent());
            let expected = all(&mut whole);
            prop_assert_eq!(expected.len(), 4);
            let (mut parser, mut found, bytes) = (Parser::default(), Vec::new(), sent());
            let mut rest = &bytes[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                parser.feed(now);
                found.extend(all(&mut parser));
                rest = later;
            }
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn any_bytes_are_parsed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let mut parser = Parser::default();
            parser.feed(&bytes);
            while let Ok(Some(_)) = parser.next() {}
        }
    }

    #[test]
    fn headers_are_found_in_any_case_and_sessions_lose_their_parameters() {
        let mut parser = Parser::default();
        parser.feed(&sent());
        let inputs = all(&mut parser);
        let Input::Request(request) = &inputs[2] else { panic!("{inputs:?}") };
        assert_eq!((request.cseq(), request.session(), &*request.method), (Some(2), Some("abc"), "GET_PARAMETER"));
        assert_eq!(inputs[1], Input::Frame(1, b"abc".to_vec()));
    }

    fn fault(bytes: &[u8]) -> Option<Fault> {
        let mut parser = Parser::default();
        parser.feed(bytes);
        parser.next().err()
    }

    #[test]
    fn only_the_first_request_of_a_connection_may_begin_a_tunnel() {
        let head = b"GET /0/a HTTP/1.0\r\nx-sessioncookie: c\r\n\r\nabc";
        let mut parser = Parser::of_connection();
        parser.feed(head);
        let Ok(Some(Input::Tunnel(request))) = parser.next() else { panic!("no tunnel") };
        assert_eq!((&*request.method, request.header("X-SessionCookie")), ("GET", Some("c")));
        assert_eq!(parser.rest(), b"abc");
        let mut parser = Parser::of_connection();
        parser.feed(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n");
        assert_eq!(all(&mut parser).len(), 1);
        parser.feed(head);
        assert_eq!(parser.next(), Err(Fault::NotRtsp));
        let mut parser = Parser::of_connection();
        parser.feed(b"PUT /0/a HTTP/1.0\r\n");
        assert_eq!(parser.next(), Err(Fault::NotRtsp));
    }

    #[test]
    fn other_protocols_and_endless_requests_are_refused() {
        assert_eq!(fault(b"POST / HTTP/1.1\r\nHost: x"), Some(Fault::NotRtsp));
        assert_eq!(fault(b"OPTIONS * RTSP/2.0\r\n"), Some(Fault::Version));
        assert_eq!(fault(b"OPTIONS * RTSP/1.0\r\nnothing\r\n\r\n"), Some(Fault::Malformed));
        assert_eq!(fault(&[b'a'; MAX_HEAD_BYTES + 1]), Some(Fault::HeadTooLong));
        let long = b"OPTIONS * RTSP/1.0\r\nContent-Length: 5000\r\n\r\n";
        assert_eq!(fault(long), Some(Fault::BodyTooLong));
        assert_eq!(fault(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n"), None);
    }
}
