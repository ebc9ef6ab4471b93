//! Conversations with a real servent replayed, and each message at its bounds.

mod bounds;
mod heads;
mod messages;
mod nodes;
mod recording;
mod replay;

use super::*;
use bytes::Bytes;

fn frame(kind: u8, payload: &[u8]) -> Frame {
    let header = Header { guid: Guid::ZERO, kind, ttl: 1, hops: 0 };
    Frame { header, payload: Bytes::copy_from_slice(payload) }
}

fn decode(kind: u8, payload: &[u8]) -> Result<Message, Fault> {
    Message::decode(&frame(kind, payload))
}

/// Returns the message after encoding and decoding.
fn again(message: &Message) -> Message {
    Message::decode(&message.frame(Guid::ZERO, 1).unwrap()).unwrap()
}

fn v4(text: &str) -> std::net::SocketAddrV4 {
    text.parse().unwrap()
}
