//! One connection to a server, from the first request to its end.

use super::head::{self, Version};
use super::judge::judge;
use super::{Refusal, Request};
use crate::gnutella::ServentFields;
use crate::http1::{Body, Framing};
use bytes::{Buf, Bytes, BytesMut};
use std::collections::VecDeque;
use std::ops::Range;

/// Most bytes of a refused answer's body that are read to keep the connection. Error pages are
/// shorter; a new connection costs less than more bytes.
const MAX_SKIPPED_BYTES: u64 = 64 << 10;
/// Most interim answers (1xx) before an answer. More are a way to never answer.
const MAX_INTERIM: u8 = 8;

/// Number of a request in its conversation, from 0 on.
pub type RequestId = u64;

/// What a server did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It answers: these bytes come now.
    Accepted {
        /// The request.
        request: RequestId,
        /// The bytes of the file. They may be fewer than requested. They are the whole file, and so
        /// more than requested, if the server ignores ranges.
        bytes: Range<u64>,
        /// Length of the file, bytes, if it is known.
        total: Option<u64>,
        /// Version of the file.
        version: Version,
    },
    /// It sent bytes of the file.
    Data {
        /// The request.
        request: RequestId,
        /// Position of the first one in the file.
        offset: u64,
        /// The bytes.
        bytes: Bytes,
    },
    /// All bytes of an answer came.
    End {
        /// The request.
        request: RequestId,
    },
    /// An answer is of no use, or not from here on.
    Refused {
        /// The request.
        request: RequestId,
        /// The reason.
        refusal: Refusal,
    },
    /// Nothing more comes: close the connection. This event is the last one.
    Closed {
        /// Requests that the server did not answer. They may be made again over a new connection.
        unanswered: Vec<RequestId>,
    },
}

#[derive(Debug)]
enum State {
    /// Before an answer, with the number of interim ones.
    Head(u8),
    /// In the body of an accepted answer.
    Body {
        request: RequestId,
        body: Body,
        rest: Range<u64>,
        keep_alive: bool,
    },
    /// In a body of no use, with the number of its bytes that are still read to keep the
    /// connection.
    Skip {
        body: Body,
        most: u64,
    },
    /// After the last answer.
    Closing,
    Closed,
}

/// One connection to a server.
///
/// Add requests ([`Conversation::request`]) and send the output ([`Conversation::take_output`]).
/// Pass on what the server sends ([`Conversation::feed`]), and handle events until there is none
/// ([`Conversation::next_event`]).
#[derive(Debug)]
pub struct Conversation {
    input: BytesMut,
    output: BytesMut,
    /// Whether the server sends no more.
    has_ended: bool,
    /// Whether an answer was the last one on this connection.
    is_last: bool,
    /// Requests that are not answered yet, in their order.
    waiting: VecDeque<(RequestId, Request)>,
    next: RequestId,
    state: State,
    /// What a servent said in its answers, at most once for each request.
    servent_fields: VecDeque<(RequestId, ServentFields)>,
}

impl Default for Conversation {
    fn default() -> Conversation {
        Conversation::new()
    }
}

impl Conversation {
    /// Creates the conversation of a new connection.
    pub fn new() -> Conversation {
        Conversation {
            input: BytesMut::new(),
            output: BytesMut::new(),
            has_ended: false,
            is_last: false,
            waiting: VecDeque::new(),
            next: 0,
            state: State::Head(0),
            servent_fields: VecDeque::new(),
        }
    }

    /// Requests bytes. The request may follow others that are not answered yet. Its URL must be one
    /// of the server on this connection. `None` if the connection takes no more requests.
    pub fn request(&mut self, request: Request) -> Option<RequestId> {
        if !self.takes_requests() {
            return None;
        }
        request.write(&mut self.output);
        let id = self.next;
        self.next += 1;
        self.waiting.push_back((id, request));
        Some(id)
    }

    /// Whether the connection takes another request. Many servers end it with an answer.
    pub fn takes_requests(&self) -> bool {
        !self.is_last && !self.has_ended && !matches!(self.state, State::Closing | State::Closed)
    }

    /// Returns the number of requests that are not answered yet, or whose answer is under way.
    pub fn outstanding(&self) -> usize {
        self.waiting.len() + usize::from(matches!(self.state, State::Body { .. }))
    }

    /// Returns the bytes to be sent to the server.
    pub fn take_output(&mut self) -> Bytes {
        self.output.split().freeze()
    }

    /// Accepts bytes of the server. They are kept until [`Conversation::next_event`] returned what
    /// they contain.
    pub fn feed(&mut self, bytes: &[u8]) {
        if !self.is_closed() {
            self.input.extend_from_slice(bytes);
        }
    }

    /// Notes that the server sends no more: it closed the connection, or the connection broke.
    pub fn end_of_input(&mut self) {
        self.has_ended = true;
    }

    /// Returns what a servent said in the head of its next answer, whether that is of use or not
    /// ([`Request::to_servent`]). It is there as soon as the first event of the answer.
    pub fn take_servent_fields(&mut self) -> Option<(RequestId, ServentFields)> {
        self.servent_fields.pop_front()
    }

    /// Whether [`Event::Closed`] was returned.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Returns the next event. `None` if more bytes are needed, or everything is over.
    pub fn next_event(&mut self) -> Option<Event> {
        loop {
            match &mut self.state {
                State::Closed => return None,
                State::Closing => {
                    self.input.clear();
                    self.output.clear();
                    self.state = State::Closed;
                    return Some(Event::Closed { unanswered: self.waiting.drain(..).map(|(id, _)| id).collect() });
                }
                State::Head(_) => {
                    if let Some(event) = self.read_head() {
                        return Some(event);
                    }
                    if matches!(self.state, State::Head(_)) {
                        return None;
                    }
                }
                State::Body { .. } => return self.read_body(),
                State::Skip { body, most } => match body.take(&mut self.input) {
                    Ok(Some(bytes)) if bytes.len() as u64 <= *most => *most -= bytes.len() as u64,
                    Ok(None) if !body.is_done() && !self.has_ended => return None,
                    Ok(None) if body.is_done() => self.state = State::Head(0),
                    _ => self.state = State::Closing,
                },
            }
        }
    }

    /// Reads the head of the next answer. Returns `None` if there is no event yet; then the state
    /// is another one if reading goes on.
    fn read_head(&mut self) -> Option<Event> {
        let State::Head(interim) = &mut self.state else { return None };
        // A server may send a line end after a body.
        let blank = self.input.iter().take_while(|b| b"\r\n".contains(b)).count();
        self.input.advance(blank);
        let (head, bytes) = loop {
            // Nothing is answered without a request: 408 after a pause, as a rule.
            if self.waiting.is_empty() && !self.input.is_empty() {
                self.state = State::Closing;
                return None;
            }
            match head::parse(&self.input) {
                Ok(Some((head, length))) => {
                    let bytes = self.input.split_to(length);
                    if !(100..=199).contains(&head.status) {
                        break (head, bytes);
                    }
                    *interim += 1;
                    if head.status == 101 || *interim > MAX_INTERIM {
                        return self.refuse_head(Refusal::NotHttp);
                    }
                }
                Ok(None) => {
                    if self.has_ended {
                        self.state = State::Closing;
                    }
                    return None;
                }
                Err(refusal) => return self.refuse_head(refusal),
            }
        };
        let (id, request) = self.waiting.pop_front()?;
        if request.is_to_servent() {
            self.servent_fields.extend(ServentFields::parse(&bytes).map(|fields| (id, fields)));
        }
        self.is_last |= !head.keep_alive;
        let keep_alive = head.keep_alive;
        match judge(&head, &request) {
            Ok(accepted) => {
                // Checked by `judge`.
                let body = Body::new(head.framing.ok()?);
                self.expect(&request, accepted.total, &head.version);
                self.state = State::Body { request: id, body, rest: accepted.bytes.clone(), keep_alive };
                let (bytes, total) = (accepted.bytes, accepted.total);
                Some(Event::Accepted { request: id, bytes, total, version: head.version })
            }
            Err(refusal) => {
                self.state = match head.framing {
                    Ok(Framing::Length(length)) if length > MAX_SKIPPED_BYTES => State::Closing,
                    Ok(framing) if keep_alive => State::Skip { body: Body::new(framing), most: MAX_SKIPPED_BYTES },
                    _ => State::Closing,
                };
                Some(Event::Refused { request: id, refusal })
            }
        }
    }

    /// Expects of the next answers for the same file what this one states, where nothing else is
    /// known.
    fn expect(&mut self, answered: &Request, total: Option<u64>, version: &Version) {
        for (_, request) in self.waiting.iter_mut().filter(|(_, request)| request.url() == answered.url()) {
            request.total = request.total.or(total);
            if request.version == Version::default() {
                request.version = version.clone();
            }
        }
    }

    /// Ends the conversation at an answer that cannot be understood.
    fn refuse_head(&mut self, refusal: Refusal) -> Option<Event> {
        self.state = State::Closing;
        let (request, _) = self.waiting.pop_front()?;
        Some(Event::Refused { request, refusal })
    }

    /// Reads the next bytes of an accepted answer.
    fn read_body(&mut self) -> Option<Event> {
        let State::Body { request, body, rest, keep_alive } = &mut self.state else { return None };
        let request = *request;
        if rest.is_empty() {
            // The last chunk may follow. More bytes than those of the range are of no use, so
            // where the server closes, its end is not awaited.
            let body = std::mem::replace(body, Body::Done);
            self.state = if *keep_alive { State::Skip { body, most: 0 } } else { State::Closing };
            return Some(Event::End { request });
        }
        let missing = rest.end - rest.start;
        let refusal = match body.take(&mut self.input) {
            Ok(Some(mut bytes)) => {
                // After more bytes than announced, nothing is where it should be.
                *keep_alive &= bytes.len() as u64 <= missing;
                bytes.truncate(usize::try_from(missing).unwrap_or(usize::MAX));
                let offset = rest.start;
                rest.start += bytes.len() as u64;
                return Some(Event::Data { request, offset, bytes });
            }
            Ok(None) if !body.is_done() && !self.has_ended => return None,
            Ok(None) => Refusal::Short { missing },
            Err(fault) => Refusal::Body(fault),
        };
        self.state = State::Closing;
        Some(Event::Refused { request, refusal })
    }
}
