//! Entry points for the fuzz targets: one function for each parser of foreign bytes. Not part of
//! the public interface.

use crate::{
    Metainfo, extended, handshake, ingest, krpc, live, m3u8, magnet, metadata, pex, rtmp, slots, tracker, wire,
};
use bytes::{Bytes, BytesMut};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Component;

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

/// Parses a `.torrent` file, and the same bytes as an info dictionary. Metainfo must be equal after
/// writing and parsing, and its paths stay below their folder.
pub fn torrent(data: &[u8]) {
    if let Ok(torrent) = Metainfo::from_bytes(data) {
        let again = Metainfo::from_bytes(&torrent.to_torrent_bytes()).expect("what is written can be parsed");
        assert_eq!((again.info_hash, &again.files), (torrent.info_hash, &torrent.files));
        for file in &torrent.files {
            assert!(file.path.components().all(|c| matches!(c, Component::Normal(_))), "{:?}", file.path);
        }
    }
    let _ = Metainfo::from_info(Bytes::copy_from_slice(data), Vec::new());
}

/// Parses a magnet link in any spelling, which must be equal after writing and parsing.
pub fn magnet(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(Ok(link)) = magnet::parse(&magnet::bare(text)) {
        assert_eq!(magnet::parse(&link.to_string()), Some(Ok(link)));
    }
}

/// Parses the answer of a DHT node and that of a tracker, over HTTP and UDP. Results are bounded.
pub fn answers(data: &[u8]) {
    if let Some((_, Some(answer))) = krpc::read(data) {
        assert!(answer.nodes.len() <= krpc::MAX_NODES && answer.peers.len() <= krpc::MAX_PEERS);
    }
    if let Ok(parsed) = tracker::http::parse(data) {
        let most = tracker::MAX_PEERS_OF_ANSWER;
        assert!(parsed.peers.len() <= most && parsed.answer.peers <= 2 * most);
    }
    for v6 in [false, true] {
        let _ = tracker::udp::parse(data, 0, v6);
    }
}

/// Parses the link, the head, a message and a packet of a live channel. Each must be equal after writing and
/// parsing, and nothing that a fuzzer invents is verified.
pub fn live(data: &[u8]) {
    if let Some(Ok(link)) = std::str::from_utf8(data).ok().and_then(live::parse) {
        for again in [link.to_string(), link.to_magnet()] {
            assert_eq!(live::parse(&again), Some(Ok(link.clone())), "a link must survive its text: {again}");
        }
    }
    let key = live::SourceKey::from_seed(&[7; 32]);
    assert!(live::SignedHead::verify(Bytes::copy_from_slice(data), &key.channel()).is_err());
    // Without its signature, which no fuzzer finds.
    if let Ok(mut head) = live::Head::parse(data) {
        head.key = key.channel();
        let signed = live::SignedHead::new(&key, &head).expect("what is read can be signed");
        assert_eq!(signed.head(), &head, "a head must survive its bytes");
    }
    if let Ok(Some(message)) = live::Message::decode(Bytes::copy_from_slice(data)) {
        let again = live::Message::decode(message.encode().into());
        assert_eq!(again, Ok(Some(message)), "a message must survive its bytes");
    }
    if let Ok(packet) = live::Packet::decode(Bytes::copy_from_slice(data)) {
        assert_eq!(packet.encode(), data, "a packet must survive its bytes");
        // The first byte chooses the shape, so that some packets fit it and reach the proof.
        let (of_data, parity) = (1 << (data[0] & 3), data[0] >> 2 & 3);
        let code = if parity == 0 { live::CodeId::None } else { live::CodeId::ReedSolomon };
        if let Some(shape) = live::Shape::new(of_data, parity, code) {
            assert!(packet.verify(&key.channel(), shape, None).is_err());
        }
    }
}

/// Takes the bytes for those of a client that pushes over HTTP, twice: whole, and in small cuts. A
/// stream has no more bytes than were sent, and the cuts do not matter.
pub fn ingest_head(data: &[u8]) {
    let whole = pushed(data, data.len().max(1));
    assert!(whole.len() <= data.len());
    assert_eq!(pushed(data, 7), whole, "cuts must not matter");
}

/// Returns the streams of a client, all of which are accepted.
fn pushed(data: &[u8], cut: usize) -> Vec<u8> {
    let (mut session, mut streams) = (ingest::Session::new(), Vec::new());
    for bytes in data.chunks(cut) {
        session.feed(bytes);
        while let Ok(Some(event)) = session.next_event() {
            match event {
                ingest::Event::Request(_) => session.accept(),
                ingest::Event::Data(bytes) => streams.extend_from_slice(&bytes),
                ingest::Event::End => {}
            }
        }
        session.take_output();
    }
    session.end_of_input();
    streams
}

/// Takes the bytes for those of an RTMP client, with and without the handshake, and whole and in
/// small cuts. A file has no more than a tag's header for each byte that was sent.
pub fn rtmp(data: &[u8]) {
    let _ = published(rtmp::Session::new(), data, data.len().max(1));
    let connected = || {
        let mut session = rtmp::Session::new();
        session.feed(&[3; 1 + 2 * 1536]);
        assert_eq!(session.next_event(), Ok(None));
        session
    };
    let whole = published(connected(), data, data.len().max(1));
    assert!(whole.len() <= 13 + data.len() * 16);
    assert_eq!(published(connected(), data, 5), whole, "cuts must not matter");
}

fn published(mut session: rtmp::Session, data: &[u8], cut: usize) -> Vec<u8> {
    let mut file = Vec::new();
    for bytes in data.chunks(cut) {
        session.feed(bytes);
        while let Ok(Some(event)) = session.next_event() {
            match event {
                rtmp::Event::Publish(_) => session.accept(),
                rtmp::Event::Data(bytes) => file.extend_from_slice(&bytes),
                rtmp::Event::End => {}
            }
        }
        session.take_output();
    }
    file
}

/// Parses a playlist of HLS, which must be equal after writing and parsing, and follows it.
pub fn m3u8(data: &[u8]) {
    match m3u8::parse(data) {
        Ok(m3u8::Playlist::Media(media)) => {
            let again = m3u8::parse(media.to_string().as_bytes());
            assert_eq!(again, Ok(m3u8::Playlist::Media(media.clone())), "a playlist must survive its text");
            let mut follower = m3u8::Follower::default();
            let count = media.segments.len();
            assert!(follower.update(media.clone()).segments.len() <= count);
            assert!(follower.update(media).segments.is_empty(), "no segment is new twice");
        }
        Ok(m3u8::Playlist::Master(variants)) => assert!(m3u8::best(&variants).is_some()),
        Err(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    const TORRENT: &[u8] = b"d8:announce8:http://a4:infod5:filesld6:lengthi3e4:pathl1:a2:..eed6:lengthi4e4:pathl1:a1:beee4:name1:x12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaaee";
    const MAGNET: &str =
        "magnet:?xt=urn:btih:a621779b5e3d486e127c3efbca9b6f8d135f52e5&dn=a+b&tr=udp://a:1&x.pe=1.2.3.4:5&x.pe=[::1]:6";

    proptest! {
        #[test]
        fn the_fuzz_targets_hold_for_samples_with_changes(changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4)) {
            for (sample, target) in [
                (TORRENT, super::torrent as fn(&[u8])),
                (TORRENT, super::answers),
                (MAGNET.as_bytes(), super::magnet),
            ] {
                let mut bytes = sample.to_vec();
                for (at, byte) in &changes {
                    let at = at.index(bytes.len());
                    bytes[at] = *byte;
                }
                target(&bytes);
            }
        }
    }
}
