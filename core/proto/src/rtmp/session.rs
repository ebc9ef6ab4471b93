//! One connection of an encoder: its commands, the decision about its stream, and the stream.

use super::amf0::{self, Value};
use super::chunk::{self, Message};
use super::flv::{self, Writer};
use super::handshake::Handshake;
use super::{Fault, chunk::Reader};
use crate::ingest::Refusal;
use bytes::{Bytes, BytesMut};
use std::fmt;

/// Longest command, bytes. Those of encoders have some hundred.
const MAX_COMMAND_BYTES: usize = 64 << 10;
/// Bytes after which each side acknowledges what it received. Servers usually state this.
const WINDOW_BYTES: u32 = 2_500_000;
/// The message stream of the pushed stream. A connection has one.
const STREAM: u32 = 1;

/// Types of messages (RTMP, sections 5.4 and 7.1) other than those of a stream.
mod kind {
    pub(super) const CHUNK_BYTES: u8 = 1;
    pub(super) const ABORT: u8 = 2;
    pub(super) const ACKNOWLEDGEMENT: u8 = 3;
    pub(super) const USER_CONTROL: u8 = 4;
    pub(super) const WINDOW: u8 = 5;
    pub(super) const BANDWIDTH: u8 = 6;
    pub(super) const DATA_AMF3: u8 = 15;
    pub(super) const COMMAND_AMF3: u8 = 17;
    pub(super) const COMMAND: u8 = 20;
    pub(super) const AGGREGATE: u8 = 22;
}

/// Types of user control messages (RTMP, section 7.1.7).
const STREAM_BEGIN: u16 = 0;
const PING: u16 = 6;
const PONG: u16 = 7;

/// Chunk streams of our messages.
const CONTROL_CHUNKS: u8 = 2;
const COMMAND_CHUNKS: u8 = 3;

/// A stream that a client wants to push.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Publish {
    /// Name of the application: the path of the URL up to the key.
    pub app: String,
    /// Name of the stream, which encoders call the stream key. Compare it in constant time.
    pub key: String,
    /// Name of the encoder (`flashVer`).
    pub encoder: Option<String>,
}

impl fmt::Debug for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publish").field("app", &self.app).field("encoder", &self.encoder).finish_non_exhaustive()
    }
}

/// What a client did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It wants to push a stream. [`Session::accept`] or [`Session::refuse`] must follow.
    Publish(Publish),
    /// It sent a part of its stream: one or more tags of an FLV file, at first with the header of
    /// the file.
    Data(Bytes),
    /// Its stream ended.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Deciding,
    Publishing,
    Closed,
}

/// One connection of an encoder.
///
/// Pass on what the client sends ([`Session::feed`]), handle events until there is none
/// ([`Session::next_event`]), then send the output ([`Session::take_output`]), before more is fed.
/// Close the connection after a fault, and when [`Session::is_closed`] says so and the output is
/// sent. A stream also ends with its connection.
#[derive(Debug)]
pub struct Session {
    input: BytesMut,
    output: BytesMut,
    handshake: Handshake,
    reader: Reader,
    state: State,
    /// Application and encoder, once the client has sent `connect`.
    connected: Option<(String, Option<String>)>,
    writer: Writer,
    /// Bytes after which the client wants an acknowledgement.
    window: u32,
    received: u64,
    acknowledged: u64,
}

impl Default for Session {
    fn default() -> Session {
        Session::new()
    }
}

impl Session {
    /// Creates the session of a new connection.
    pub fn new() -> Session {
        Session {
            input: BytesMut::new(),
            output: BytesMut::new(),
            handshake: Handshake::First,
            reader: Reader::new(),
            state: State::Idle,
            connected: None,
            writer: Writer::default(),
            window: WINDOW_BYTES,
            received: 0,
            acknowledged: 0,
        }
    }

    /// Accepts bytes of the client. They are kept until [`Session::next_event`] returned what they
    /// contain, so feed no more than one read while a stream waits for a decision.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.is_closed() {
            return;
        }
        self.input.extend_from_slice(bytes);
        self.received += bytes.len() as u64;
        if self.handshake == Handshake::Done && self.received - self.acknowledged >= u64::from(self.window) {
            self.acknowledged = self.received;
            // The number wraps around.
            self.control(kind::ACKNOWLEDGEMENT, &(self.received as u32).to_be_bytes());
        }
    }

    /// Returns the next event. `None` if more bytes or a decision are needed.
    ///
    /// # Errors
    /// A fault that ends the connection. The session is closed.
    pub fn next_event(&mut self) -> Result<Option<Event>, Fault> {
        let found = self.step();
        if found.is_err() {
            self.state = State::Closed;
        }
        found
    }

    fn step(&mut self) -> Result<Option<Event>, Fault> {
        if !self.handshake.take(&mut self.input, &mut self.output)? {
            return Ok(None);
        }
        while matches!(self.state, State::Idle | State::Publishing) {
            let Some(message) = self.reader.next(&mut self.input)? else { break };
            let event = self.message(&message)?;
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    /// Accepts the stream that waits. Does nothing if there is none.
    pub fn accept(&mut self) {
        self.accept_at(0);
    }

    /// Accepts the stream that waits, and moves its times so that it begins at this one, in
    /// milliseconds. Players of a stream that it continues expect that times grow. 0 leaves them as
    /// they are.
    pub fn accept_at(&mut self, start_ms: u32) {
        if self.state != State::Deciding {
            return;
        }
        self.state = State::Publishing;
        self.writer = Writer::starting_at(start_ms);
        let mut begin = STREAM_BEGIN.to_be_bytes().to_vec();
        begin.extend_from_slice(&STREAM.to_be_bytes());
        self.control(kind::USER_CONTROL, &begin);
        self.status("status", "NetStream.Publish.Start", "the stream is taken");
    }

    /// Refuses the stream that waits or that is being pushed, and closes the session. Encoders show
    /// the sentence.
    pub fn refuse(&mut self, refusal: &Refusal) {
        let code = match refusal.status {
            401 | 404 => "NetStream.Publish.Denied",
            403 => "NetStream.Publish.BadName",
            _ => "NetStream.Publish.Rejected",
        };
        if !self.is_closed() {
            self.status("error", code, &refusal.sentence);
            self.state = State::Closed;
            self.input.clear();
        }
    }

    /// Returns the bytes to be sent to the client.
    pub fn take_output(&mut self) -> Bytes {
        self.output.split().freeze()
    }

    /// Whether nothing more is read, and the connection is to be closed after its output.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    fn message(&mut self, message: &Message) -> Result<Option<Event>, Fault> {
        let payload = &message.payload;
        let number = payload.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
        match (message.kind, number) {
            (kind::CHUNK_BYTES, Some(length)) => self.reader.set_chunk_bytes(length)?,
            (kind::ABORT, Some(chunk_stream)) => self.reader.abort(chunk_stream),
            (kind::WINDOW, Some(bytes)) => self.window = bytes.max(1),
            (kind::USER_CONTROL, _) => self.user_control(payload),
            (kind::COMMAND, _) => return self.command(payload),
            // What is in AMF 3 here begins with a byte that says that the rest is AMF 0.
            (kind::COMMAND_AMF3, _) => return self.command(payload.strip_prefix(&[0]).unwrap_or(payload)),
            (flv::AUDIO | flv::VIDEO | flv::DATA | kind::DATA_AMF3 | kind::AGGREGATE, _) => {
                return Ok(self.stream(message).map(Event::Data));
            }
            _ => {}
        }
        Ok(None)
    }

    /// Returns a message of the stream as a part of an FLV file.
    fn stream(&mut self, message: &Message) -> Option<Bytes> {
        let (time, payload) = (message.timestamp, &message.payload[..]);
        match (self.state, message.kind) {
            (State::Publishing, kind::AGGREGATE) => self.writer.aggregate(time, payload),
            (State::Publishing, kind::DATA_AMF3) => {
                self.writer.tag(flv::DATA, time, payload.strip_prefix(&[0]).unwrap_or(payload))
            }
            (State::Publishing, kind) => self.writer.tag(kind, time, payload),
            _ => None,
        }
    }

    fn user_control(&mut self, payload: &[u8]) {
        if let Some((kind, time)) = payload.split_first_chunk()
            && u16::from_be_bytes(*kind) == PING
            && let Some(time) = time.first_chunk::<4>()
        {
            let mut pong = PONG.to_be_bytes().to_vec();
            pong.extend_from_slice(time);
            self.control(kind::USER_CONTROL, &pong);
        }
    }

    fn command(&mut self, payload: &[u8]) -> Result<Option<Event>, Fault> {
        if payload.len() > MAX_COMMAND_BYTES {
            return Err(Fault("a command has over 64 KiB"));
        }
        let values = amf0::decode(payload)?;
        let name = values.first().and_then(Value::text).ok_or(Fault("a command has no name"))?;
        let transaction = values.get(1).cloned().unwrap_or(Value::Number(0.0));
        let text = |at: usize| values.get(at).and_then(Value::text).unwrap_or_default().to_owned();
        match name {
            "connect" => self.connect(transaction, values.get(2)),
            "createStream" => self.result(transaction, Value::Null, Value::Number(f64::from(STREAM))),
            "releaseStream" | "_checkbw" => self.result(transaction, Value::Null, Value::Undefined),
            "FCPublish" => {
                self.result(transaction, Value::Null, Value::Undefined);
                self.notice("onFCPublish", "NetStream.Publish.Start", &text(3));
            }
            "publish" => return self.publish(text(3)),
            "FCUnpublish" => {
                self.result(transaction, Value::Null, Value::Undefined);
                self.notice("onFCUnpublish", "NetStream.Unpublish.Success", &text(3));
                return Ok(self.end());
            }
            "deleteStream" | "closeStream" => return Ok(self.end()),
            "play" | "play2" => {
                self.status("error", "NetStream.Play.Failed", "this address takes streams; players use another one");
            }
            // Answers to nothing that we asked.
            "_result" | "_error" | "onStatus" => {}
            _ if transaction != Value::Number(0.0) => {
                let code = info("error", "NetConnection.Call.Failed", "this command is not understood here");
                self.call("_error", transaction, vec![Value::Null, code], 0);
            }
            _ => {}
        }
        Ok(None)
    }

    fn connect(&mut self, transaction: Value, object: Option<&Value>) {
        let property = |name: &str| object.and_then(|object| object.get(name));
        let text = |name: &str| property(name).and_then(Value::text).map(str::to_owned);
        self.connected = Some((text("app").unwrap_or_default(), text("flashVer")));
        self.control(kind::WINDOW, &WINDOW_BYTES.to_be_bytes());
        // The last byte says that the client may choose a smaller window.
        let mut bandwidth = WINDOW_BYTES.to_be_bytes().to_vec();
        bandwidth.push(2);
        self.control(kind::BANDWIDTH, &bandwidth);
        let server = [("fmsVer", Value::String("FMS/3,5,7,7009".into())), ("capabilities", Value::Number(31.0))];
        let Value::Object(mut status) = info("status", "NetConnection.Connect.Success", "connected") else { return };
        status.push(("objectEncoding".into(), Value::Number(0.0)));
        if property("fourCcList").is_some() {
            // All codecs of Enhanced RTMP pass.
            status.push(("fourCcList".into(), Value::Array(vec![Value::String("*".into())])));
        }
        let server = server.map(|(name, value)| (name.to_owned(), value)).to_vec();
        self.result(transaction, Value::Object(server), Value::Object(status));
    }

    fn publish(&mut self, key: String) -> Result<Option<Event>, Fault> {
        let Some((app, encoder)) = self.connected.clone() else {
            return Err(Fault("the client publishes before it connects"));
        };
        if self.state == State::Publishing {
            self.status("error", "NetStream.Publish.BadName", "this connection already sends a stream");
            return Ok(None);
        }
        self.state = State::Deciding;
        Ok(Some(Event::Publish(Publish { app, key, encoder })))
    }

    fn end(&mut self) -> Option<Event> {
        (self.state == State::Publishing).then(|| {
            self.state = State::Idle;
            self.status("status", "NetStream.Unpublish.Success", "the stream has ended");
            Event::End
        })
    }

    fn control(&mut self, kind: u8, payload: &[u8]) {
        chunk::write(&mut self.output, CONTROL_CHUNKS, kind, 0, payload);
    }

    fn call(&mut self, name: &str, transaction: Value, arguments: Vec<Value>, message_stream: u32) {
        let mut values = vec![Value::String(name.to_owned()), transaction];
        values.extend(arguments);
        chunk::write(&mut self.output, COMMAND_CHUNKS, kind::COMMAND, message_stream, &amf0::encode(&values));
    }

    fn result(&mut self, transaction: Value, properties: Value, result: Value) {
        self.call("_result", transaction, vec![properties, result], 0);
    }

    fn status(&mut self, level: &str, code: &str, description: &str) {
        let arguments = vec![Value::Null, info(level, code, description)];
        self.call("onStatus", Value::Number(0.0), arguments, STREAM);
    }

    fn notice(&mut self, name: &str, code: &str, description: &str) {
        self.call(name, Value::Number(0.0), vec![Value::Null, info("status", code, description)], 0);
    }
}

/// Returns an information object.
fn info(level: &str, code: &str, description: &str) -> Value {
    let text = |name: &str, text: &str| (name.to_owned(), Value::String(text.to_owned()));
    Value::Object(vec![text("level", level), text("code", code), text("description", description)])
}
