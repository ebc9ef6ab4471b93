//! All messages of the network.

use super::frame::{Frame, Header, kind};
use super::ping::{Bye, Ping, Pong, Push};
use super::{Fault, Guid, Query, QueryHit, RouteUpdate, VendorMessage};
use bytes::Bytes;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// A question for addresses, or whether the receiver is there.
    Ping(Ping),
    /// An address.
    Pong(Pong),
    /// The last message of a connection.
    Bye(Bye),
    /// A part of a routing table.
    Route(RouteUpdate),
    /// A vendor message.
    Vendor(VendorMessage),
    /// A request to connect.
    Push(Push),
    /// A query.
    Query(Query),
    /// Results of a query.
    QueryHit(QueryHit),
    /// A message of another type.
    Other {
        /// Its type.
        kind: u8,
        /// Its payload.
        payload: Bytes,
    },
}

impl Message {
    /// Reads the payload of a message.
    ///
    /// # Errors
    /// The reason why it is malformed. The connection may go on: its frame was whole.
    pub fn decode(frame: &Frame) -> Result<Message, Fault> {
        let payload = &frame.payload;
        Ok(match frame.header.kind {
            kind::PING => Message::Ping(Ping::decode(payload)),
            kind::PONG => Message::Pong(Pong::decode(payload)?),
            kind::BYE => Message::Bye(Bye::decode(payload)?),
            kind::ROUTE => Message::Route(RouteUpdate::decode(payload)?),
            kind::VENDOR | kind::STANDARD => Message::Vendor(VendorMessage::decode(payload)?),
            kind::PUSH => Message::Push(Push::decode(payload)?),
            kind::QUERY => Message::Query(Query::decode(payload)?),
            kind::QUERY_HIT => Message::QueryHit(QueryHit::decode(payload)?),
            kind => Message::Other { kind, payload: payload.clone() },
        })
    }

    /// Returns the type of the message.
    pub fn kind(&self) -> u8 {
        match self {
            Message::Ping(_) => kind::PING,
            Message::Pong(_) => kind::PONG,
            Message::Bye(_) => kind::BYE,
            Message::Route(_) => kind::ROUTE,
            Message::Vendor(_) => kind::VENDOR,
            Message::Push(_) => kind::PUSH,
            Message::Query(_) => kind::QUERY,
            Message::QueryHit(_) => kind::QUERY_HIT,
            Message::Other { kind, .. } => *kind,
        }
    }

    /// Returns the frame of a message that begins here.
    ///
    /// # Errors
    /// [`Fault::TooLong`] if servents would not accept it.
    pub fn frame(&self, guid: Guid, ttl: u8) -> Result<Frame, Fault> {
        let mut payload = Vec::new();
        match self {
            Message::Ping(ping) => ping.encode(&mut payload),
            Message::Pong(pong) => pong.encode(&mut payload),
            Message::Bye(bye) => bye.encode(&mut payload),
            Message::Route(update) => update.encode(&mut payload),
            Message::Vendor(message) => message.encode(&mut payload),
            Message::Push(push) => push.encode(&mut payload),
            Message::Query(query) => query.encode(&mut payload),
            Message::QueryHit(hit) => hit.encode(&mut payload)?,
            Message::Other { payload: other, .. } => payload.extend_from_slice(other),
        }
        let most = super::frame::max_payload(self.kind()) as usize;
        if payload.len() > most {
            return Err(Fault::TooLong { what: "message", bytes: payload.len(), most });
        }
        Ok(Frame { header: Header { guid, kind: self.kind(), ttl, hops: 0 }, payload: payload.into() })
    }

    /// Returns the bytes of a message that begins here. See [`Message::frame`].
    ///
    /// # Errors
    /// [`Fault::TooLong`] if servents would not accept it.
    pub fn encode(&self, guid: Guid, ttl: u8) -> Result<Bytes, Fault> {
        if let Message::Query(query) = self {
            query.check_length()?;
        }
        self.frame(guid, ttl)?.encode()
    }
}
