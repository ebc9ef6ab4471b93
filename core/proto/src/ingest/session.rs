//! One connection on which a client pushes, from its first byte to its last.

use super::Refusal;
use super::head::{self, Kind, Request};
use crate::http1::Body;
use bytes::{Buf, Bytes, BytesMut};

/// Answer to OPTIONS, with which libshout begins.
const METHODS: &str = " 204 No Content\r\nAllow: PUT, POST, SOURCE, OPTIONS\r\n\r\n";
/// Body of the answer to a new title, in Icecast's words.
const UPDATED: &str = "<?xml version=\"1.0\"?>\n<iceresponse><message>Metadata update successful</message><return>1</return></iceresponse>\n";

/// What a client did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It requests something. [`Session::accept`] or [`Session::refuse`] must follow.
    Request(Box<Request>),
    /// It sent bytes of its stream.
    Data(Bytes),
    /// Its stream ended. Another request may follow on the same connection.
    End,
}

#[derive(Debug)]
enum State {
    Head,
    /// A request waits for a decision.
    Deciding(Box<Request>),
    Body {
        body: Body,
        keep_alive: bool,
        /// Answer to be sent at the end.
        end: String,
    },
    Closed,
}

/// One connection on which a client pushes.
///
/// Pass on what the client sends ([`Session::feed`]), handle events until there is none
/// ([`Session::next_event`]), then send the output ([`Session::take_output`]). Close the connection
/// when [`Session::is_closed`] says so and the output is sent. Read on for a moment before that:
/// a client that is still sending loses the answer if its bytes find the socket closed.
#[derive(Debug)]
pub struct Session {
    input: BytesMut,
    output: BytesMut,
    state: State,
}

impl Default for Session {
    fn default() -> Session {
        Session::new()
    }
}

impl Session {
    /// Creates the session of a new connection.
    pub fn new() -> Session {
        Session { input: BytesMut::new(), output: BytesMut::new(), state: State::Head }
    }

    /// Accepts bytes of the client. They are kept until [`Session::next_event`] returned what they
    /// contain, so feed no more than one read while a request waits for a decision.
    pub fn feed(&mut self, bytes: &[u8]) {
        if !self.is_closed() {
            self.input.extend_from_slice(bytes);
        }
    }

    /// Returns the next event. `None` if more bytes or a decision are needed.
    ///
    /// # Errors
    /// The refusal of a request that cannot be understood. The answer is in the output, and the
    /// session is closed.
    pub fn next_event(&mut self) -> Result<Option<Event>, Refusal> {
        let found = self.step();
        if let Err(refusal) = &found {
            self.close_with(&refusal.answer("HTTP/1.1"));
        }
        found
    }

    fn step(&mut self) -> Result<Option<Event>, Refusal> {
        loop {
            match &mut self.state {
                State::Deciding(_) | State::Closed => return Ok(None),
                State::Head => {
                    // A client may send a line end after a body (RFC 9112, section 2.2).
                    let blank = self.input.iter().take_while(|b| b"\r\n".contains(b)).count();
                    self.input.advance(blank);
                    let Some((request, length)) = head::parse(&self.input)? else { return Ok(None) };
                    self.input.advance(length);
                    let request = Box::new(request);
                    if request.kind == Kind::Options {
                        self.output.extend_from_slice(request.version.as_bytes());
                        self.output.extend_from_slice(METHODS.as_bytes());
                        continue;
                    }
                    self.state = State::Deciding(request.clone());
                    return Ok(Some(Event::Request(request)));
                }
                State::Body { body, keep_alive, end } => {
                    if let Some(bytes) = body.take(&mut self.input)? {
                        return Ok(Some(Event::Data(bytes)));
                    }
                    if !body.is_done() {
                        return Ok(None);
                    }
                    self.output.extend_from_slice(end.as_bytes());
                    self.state = if *keep_alive { State::Head } else { State::Closed };
                    return Ok(Some(Event::End));
                }
            }
        }
    }

    /// Accepts the request that waits. Without one it does nothing.
    pub fn accept(&mut self) {
        let State::Deciding(request) = &self.state else { return };
        let (version, keep_alive) = (request.version, request.keep_alive);
        let connection = if keep_alive { "keep-alive" } else { "close" };
        let ok = format!("{version} 200 OK\r\nContent-Length: 0\r\nConnection: {connection}\r\n\r\n");
        self.state = match &request.kind {
            Kind::Push(push) => {
                let (now, end) = match (request.expects_continue, push.is_source) {
                    (true, _) => (format!("{version} 100 Continue\r\n\r\n"), ok),
                    // Icecast's clients wait for this line. Others would close with it unread, and
                    // the last bytes that they sent would be lost.
                    (false, true) => (format!("{version} 200 OK\r\n\r\n"), String::new()),
                    (false, false) => (String::new(), ok),
                };
                self.output.extend_from_slice(now.as_bytes());
                State::Body { body: Body::new(push.framing), keep_alive, end }
            }
            Kind::Metadata(_) => {
                let length = UPDATED.len();
                let head = format!(
                    "{version} 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {length}\r\nConnection: {connection}\r\n\r\n"
                );
                self.output.extend_from_slice(head.as_bytes());
                self.output.extend_from_slice(UPDATED.as_bytes());
                if keep_alive { State::Head } else { State::Closed }
            }
            // Answered before it could wait.
            Kind::Options => State::Head,
        };
    }

    /// Refuses the request that waits, or the stream that is being pushed, and closes the session.
    pub fn refuse(&mut self, refusal: &Refusal) {
        let answer = match &self.state {
            State::Closed => return,
            State::Deciding(request) => refusal.answer(request.version),
            // What Icecast's clients were answered already ends the exchange.
            State::Body { end, .. } if end.is_empty() => String::new(),
            State::Head | State::Body { .. } => refusal.answer("HTTP/1.1"),
        };
        self.close_with(&answer);
    }

    /// Notes that the client sends no more. Returns whether its last stream is complete. If that
    /// ended with the connection, its answer is in the output.
    pub fn end_of_input(&mut self) -> bool {
        let (is_complete, answer) = match &mut self.state {
            State::Head | State::Closed => (true, String::new()),
            State::Deciding(_) => (false, String::new()),
            State::Body { body, end, .. } if body.may_end() => (true, std::mem::take(end)),
            State::Body { .. } => (false, String::new()),
        };
        self.close_with(&answer);
        is_complete
    }

    /// Returns the bytes to be sent to the client.
    pub fn take_output(&mut self) -> Bytes {
        self.output.split().freeze()
    }

    /// Whether nothing more is read, and the connection is to be closed after its output.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    fn close_with(&mut self, answer: &str) {
        self.output.extend_from_slice(answer.as_bytes());
        self.state = State::Closed;
        self.input.clear();
    }
}
