//! Connections to peers, and what is said over them.
//!
//! Nothing here decides what to fetch. The lower half of the folder is pure (bytes to messages and back, queues,
//! scores); `transport`, `listen` and `link` are the only files that touch a socket.

pub(crate) mod abuse;
pub(crate) mod bencode;
pub(crate) mod clients;
pub(crate) mod extended;
pub(crate) mod fast;
pub(crate) mod handshake;
pub(crate) mod link;
pub(crate) mod listen;
pub(crate) mod metadata;
pub(crate) mod pex;
pub(crate) mod transport;
pub(crate) mod upload;
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
    while let Ok(Some(message)) = wire::decode(&mut stream, wire::Limits { pieces }) {
        let mut bytes = BytesMut::new();
        wire::encode(&message, &mut bytes);
        let again = wire::decode(&mut bytes, wire::Limits { pieces });
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
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_parser_panics_on_bytes_that_are_nearly_right(
            tail in proptest::collection::vec(any::<u8>(), 0..60),
            at in 0usize..200, byte in any::<u8>(),
            start in prop_oneof![
                Just(&b"d1:md11:ut_metadatai2e6:ut_pexi1ee13:metadata_sizei31235e1:v3:abc6:yourip4:abcde"[..]),
                Just(&b"d5:added6:abcdef7:added.f1:x6:added60:7:dropped0:e"[..]),
                Just(&b"d8:msg_typei1e5:piecei0e10:total_sizei16384ee"[..]),
                Just(&b"\x05\0\0\0\x15\x14\x00d1:md6:ut_pexi1eee\0\0\0\x01\x01\0\0\0\x0d\x07\0\0\0\x01"[..]),
                Just(&b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\x05"[..]),
                Just(&b""[..]),
            ],
        ) {
            let mut bytes = start.to_vec();
            bytes.extend_from_slice(&tail);
            if let Some(b) = bytes.get_mut(at) {
                *b = byte;
            }
            super::fuzz(&bytes);
        }
    }
}
