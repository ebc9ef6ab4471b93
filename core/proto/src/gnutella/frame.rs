//! The header of a message, and messages of a connection or a datagram before their payload is
//! read.

use super::fields::Fields;
use super::inflate::{INFLATE_STEP_BYTES, Inflater};
use super::{Fault, Guid};
use bytes::{BufMut, Bytes, BytesMut};

/// Length of a header, bytes.
pub const HEADER_BYTES: usize = 23;
/// Longest payload of a query, bytes. Servents close the connection for more.
pub const MAX_QUERY_BYTES: u32 = 1024;
/// Longest payload of a query hit, bytes.
pub const MAX_HIT_BYTES: u32 = 64 << 10;
/// Longest payload of other messages, bytes.
pub const MAX_OTHER_BYTES: u32 = 40 << 10;

/// Types of messages.
pub mod kind {
    /// A ping.
    pub const PING: u8 = 0x00;
    /// A pong.
    pub const PONG: u8 = 0x01;
    /// The last message of a connection.
    pub const BYE: u8 = 0x02;
    /// A part of a routing table (QRP).
    pub const ROUTE: u8 = 0x30;
    /// A vendor's message.
    pub const VENDOR: u8 = 0x31;
    /// A vendor's message that all understand.
    pub const STANDARD: u8 = 0x32;
    /// A request to a servent that cannot be reached to connect.
    pub const PUSH: u8 = 0x40;
    /// A message of the DHT, in a datagram.
    pub const DHT: u8 = 0x44;
    /// A query.
    pub const QUERY: u8 = 0x80;
    /// Results of a query.
    pub const QUERY_HIT: u8 = 0x81;
}

/// Returns the longest payload of a type, bytes.
pub fn max_payload(kind: u8) -> u32 {
    match kind {
        kind::QUERY => MAX_QUERY_BYTES,
        kind::QUERY_HIT => MAX_HIT_BYTES,
        _ => MAX_OTHER_BYTES,
    }
}

/// The header of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Identifier of the message. An answer has that of the question.
    pub guid: Guid,
    /// Type of the message, one of [`kind`] or unknown.
    pub kind: u8,
    /// Hops that the message may still make. In the DHT: its major version.
    pub ttl: u8,
    /// Hops that the message made. In the DHT: its minor version.
    pub hops: u8,
}

impl Header {
    /// Reads a header, and the length of the payload.
    fn decode(bytes: &[u8; HEADER_BYTES]) -> (Header, u32) {
        let [guid @ .., kind, ttl, hops, l0, l1, l2, l3] = *bytes;
        (Header { guid: Guid(guid), kind, ttl, hops }, u32::from_le_bytes([l0, l1, l2, l3]))
    }
}

/// A message whose payload is not read yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The header.
    pub header: Header,
    /// The payload. It keeps the whole read buffer alive: copy or drop it before the next read.
    pub payload: Bytes,
}

impl Frame {
    /// Reads a datagram, which is one message.
    ///
    /// # Errors
    /// The reason why it is none.
    pub fn from_datagram(datagram: &Bytes) -> Result<Frame, Fault> {
        let mut fields = Fields::new("datagram", datagram);
        let (header, length) = Header::decode(&fields.array()?);
        check_length(header.kind, length)?;
        let payload = fields.rest();
        if payload.len() != length as usize {
            return Err(Fault::Datagram);
        }
        Ok(Frame { header, payload })
    }

    /// Returns the bytes that are sent.
    ///
    /// # Errors
    /// [`Fault::LongMessage`] if it is longer than its type allows.
    pub fn encode(&self) -> Result<Bytes, Fault> {
        let length = u32::try_from(self.payload.len()).unwrap_or(u32::MAX);
        check_length(self.header.kind, length)?;
        let mut out = BytesMut::with_capacity(HEADER_BYTES + self.payload.len());
        out.put_slice(&self.header.guid.0);
        out.put_slice(&[self.header.kind, self.header.ttl, self.header.hops]);
        out.put_u32_le(length);
        out.put_slice(&self.payload);
        Ok(out.freeze())
    }
}

fn check_length(kind: u8, bytes: u32) -> Result<(), Fault> {
    let most = max_payload(kind);
    if bytes > most { Err(Fault::LongMessage { kind, bytes, most }) } else { Ok(()) }
}

/// The receiving end of a connection after the handshake.
///
/// Pass on what comes ([`Reader::feed`]), then take messages until there is none
/// ([`Reader::next_frame`]). A compressed connection is inflated only as far as the next message
/// needs, so memory is bounded by what is fed. To bound the work as well, stop taking messages
/// when [`Reader::plain_bytes`] grows faster than allowed, and read no more from the socket.
#[derive(Debug)]
pub struct Reader {
    inflater: Option<Inflater>,
    /// Compressed bytes.
    input: BytesMut,
    /// Bytes of messages, less than one message and one step of inflation.
    plain: BytesMut,
    plain_bytes: u64,
}

impl Reader {
    /// Creates the end of a connection. The handshake says whether it is compressed.
    pub fn new(is_deflated: bool) -> Reader {
        let inflater = is_deflated.then(Inflater::new);
        Reader { inflater, input: BytesMut::new(), plain: BytesMut::new(), plain_bytes: 0 }
    }

    /// Adds bytes of the connection.
    pub fn feed(&mut self, bytes: &[u8]) {
        match self.inflater {
            Some(_) => self.input.extend_from_slice(bytes),
            None => {
                self.plain.extend_from_slice(bytes);
                self.plain_bytes += bytes.len() as u64;
            }
        }
    }

    /// Returns the number of bytes of messages so far, after decompression.
    pub fn plain_bytes(&self) -> u64 {
        self.plain_bytes
    }

    /// Takes the next message. `None` if more bytes are needed.
    ///
    /// # Errors
    /// The reason why the connection cannot be read further.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, Fault> {
        loop {
            if let Some(frame) = self.buffered()? {
                return Ok(Some(frame));
            }
            let Some(inflater) = &mut self.inflater else { return Ok(None) };
            debug_assert!(self.plain.len() < HEADER_BYTES + MAX_HIT_BYTES as usize + INFLATE_STEP_BYTES);
            let made = inflater.step(&mut self.input, &mut self.plain)?;
            self.plain_bytes += made as u64;
            if made == 0 {
                return Ok(None);
            }
        }
    }

    /// Takes a message that is complete.
    fn buffered(&mut self) -> Result<Option<Frame>, Fault> {
        let Some((head, rest)) = self.plain.split_first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let (header, length) = Header::decode(head);
        check_length(header.kind, length)?;
        if rest.len() < length as usize {
            return Ok(None);
        }
        let frame = self.plain.split_to(HEADER_BYTES + length as usize).freeze();
        Ok(Some(Frame { header, payload: frame.slice(HEADER_BYTES..) }))
    }
}
