//! Connections to peers, and what is said over them.
//!
//! Nothing here decides what to fetch. The lower half of the folder is pure (bytes to messages and back, queues,
//! scores); `transport`, `listen` and `link` are the only files that touch a socket.

pub(crate) mod abuse;
pub(crate) mod background;
mod bans;
mod blame;
pub(crate) mod book;
pub(crate) mod clients;
mod clock;
mod connect;
pub(crate) mod driver;
pub(crate) mod extended;
pub(crate) mod fast;
mod giver;
pub(crate) mod handshake;
mod having;
mod heard;
pub(crate) mod link;
pub(crate) mod listen;
mod machines;
pub(crate) mod metadata;
mod named;
mod opening;
mod peer;
pub(crate) mod pex;
mod pieces;
mod places;
pub(crate) mod rates;
pub(crate) mod readers;
mod report;
pub(crate) mod sockets;
pub(crate) mod survey;
mod times;
pub(crate) mod transport;
mod turnover;
mod upload;
mod viewing;
pub(crate) mod wire;

/// Everything here that reads foreign bytes, on these; must neither panic nor hang. See [`crate::fuzzing`].
pub(crate) fn fuzz(data: &[u8]) {
    use bytes::{Bytes, BytesMut};
    let from = std::net::Ipv4Addr::LOCALHOST.into();
    let _ = handshake::Handshake::decode(&mut BytesMut::from(data));
    // The first byte chooses how many pieces there are, since that changes what is let through.
    let pieces = data.first().filter(|n| **n != 0).map(|n| u32::from(*n) * 3);
    let mut stream = BytesMut::from(data.get(1..).unwrap_or_default());
    let _ = wire::partial_piece(&stream);
    while let Ok(Some(message)) = wire::decode(&mut stream, wire::Limits { pieces, metadata: false }) {
        let mut bytes = BytesMut::new();
        wire::encode(&message, &mut bytes);
        let again = wire::decode(&mut bytes, wire::Limits { pieces, metadata: false });
        assert!(matches!(again, Ok(Some(m)) if m == message), "a message must survive its bytes: {message:?}");
        if let wire::Message::Extended { payload, .. } = &message {
            fuzz_payload(payload, from);
        }
    }
    // Without a frame in front, so that the fuzzer reaches these parsers at once.
    fuzz_payload(&Bytes::copy_from_slice(data), from);
}

fn fuzz_payload(payload: &bytes::Bytes, from: std::net::IpAddr) {
    let _ = extended::ExtendedHandshake::decode(payload);
    let _ = extended::decode_dont_have(payload);
    let _ = pex::PexMessage::decode(payload, from);
    let _ = metadata::MetadataMessage::decode(payload);
    if let Ok(message) = playswarm_logic::slots::Message::decode(payload) {
        let again = playswarm_logic::slots::Message::decode(&message.encode());
        assert_eq!(again, Ok(message), "a slot message must survive its bytes");
    }
}
