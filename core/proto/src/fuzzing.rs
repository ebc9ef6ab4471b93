//! Entry points for the fuzz targets. Not part of the public interface.

use crate::{extended, handshake, metadata, pex, slots, wire};
use bytes::{Bytes, BytesMut};
use std::net::{IpAddr, Ipv4Addr};

const SENDER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Parses messages of peers: framing, handshakes, extended handshakes, PEX, metadata, slots. No
/// parser may panic or hang, and an accepted message must be equal after encoding and decoding.
pub fn peer_bytes(data: &[u8]) {
    let _ = handshake::Handshake::decode(&mut BytesMut::from(data));
    // The first byte chooses the number of pieces, which changes the accepted lengths.
    let pieces = data.first().filter(|n| **n != 0).map(|n| u32::from(*n) * 3);
    let mut stream = BytesMut::from(data.get(1..).unwrap_or_default());
    let _ = wire::partial_piece(&stream);
    while let Ok(Some(message)) = wire::decode(&mut stream, wire::Limits { pieces, metadata: false }) {
        let mut bytes = BytesMut::new();
        wire::encode(&message, &mut bytes);
        let again = wire::decode(&mut bytes, wire::Limits { pieces, metadata: false });
        assert!(matches!(again, Ok(Some(m)) if m == message), "a message must survive its bytes: {message:?}");
        if let wire::Message::Extended { payload, .. } = &message {
            extension(payload);
        }
    }
    // Without framing, so that the fuzzer reaches these parsers at once.
    extension(&Bytes::copy_from_slice(data));
}

fn extension(payload: &Bytes) {
    let _ = extended::ExtendedHandshake::decode(payload);
    let _ = extended::decode_dont_have(payload);
    let _ = pex::PexMessage::decode(payload, SENDER);
    let _ = metadata::MetadataMessage::decode(payload);
    if let Ok(message) = slots::Message::decode(payload) {
        let again = slots::Message::decode(&message.encode());
        assert_eq!(again, Ok(message), "a slot message must survive its bytes");
    }
}
