//! Entry points for the fuzz targets: one function for each parser of foreign bytes. Not part of
//! the public interface.

use crate::{
    Blocklist, Metainfo, extended, gnutella, handshake, http_range, ingest, krpc, live, m3u8, magnet, metadata,
    metalink, pex, rtmp, slots, tiger_tree, tracker, wire,
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
        let again = Metainfo::from_bytes(&torrent.to_torrent_bytes().expect("it is a torrent"))
            .expect("what is written can be parsed");
        assert_eq!((again.info_hash, &again.files), (torrent.info_hash, &torrent.files));
        assert_eq!(again.web_seeds, torrent.web_seeds);
        let (paths, all) = (torrent.web_paths(), 0..torrent.total_bytes());
        for seed in &torrent.web_seeds {
            let bytes = paths.parts(&torrent, &seed.url, all.clone()).map(|part| part.bytes.end - part.bytes.start);
            assert_eq!(bytes.sum::<u64>(), all.end, "each byte has one place");
        }
        for file in &torrent.files {
            assert!(file.path.components().all(|c| matches!(c, Component::Normal(_))), "{:?}", file.path);
        }
    }
    let _ = Metainfo::from_info(Bytes::copy_from_slice(data), Vec::new());
}

/// Parses a magnet link in any spelling, to a torrent or to a file. It must be equal after writing
/// and parsing.
pub fn magnet(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(Ok(link)) = magnet::parse(&magnet::bare(text)) {
        assert_eq!(magnet::parse(&link.to_string()), Some(Ok(link)));
    }
    if let Some(Ok(link)) = magnet::parse_file(&magnet::bare(text)) {
        assert_eq!(magnet::parse_file(&link.to_string()), Some(Ok(link)));
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

/// Reads a stream of web radio, whose first byte states the distance of its titles: it has the same parts
/// however its bytes are cut.
fn titles(data: &[u8]) {
    let Some((interval, stream)) = data.split_first() else { return };
    let read = |piece: usize| {
        let mut reader = crate::icy::Reader::new(usize::from(*interval))?;
        let (mut sound, mut titles) = (Vec::new(), Vec::new());
        for part in stream.chunks(piece).flat_map(|piece| reader.read(Bytes::copy_from_slice(piece))) {
            match part {
                crate::icy::Part::Sound(bytes) => sound.extend(bytes),
                crate::icy::Part::Title(title) => titles.push((sound.len(), title)),
            }
        }
        Some((sound, titles))
    };
    assert_eq!(read(1), read(stream.len().max(1)), "the parts must not depend on the pieces");
}

/// Parses the link, the head, the beacon, a message and a packet of a live channel. Each must be equal after writing and
/// parsing, and nothing that a fuzzer invents is verified.
pub fn live(data: &[u8]) {
    titles(data);
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
    if let Some(beacon) = live::Beacon::decode(data) {
        assert_eq!(live::Beacon::decode(&beacon.encode()), Some(beacon), "a beacon must survive its bytes");
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

/// Parses a blocklist, which must be equal after writing and parsing.
pub fn blocklist(data: &[u8]) {
    let Ok(list) = Blocklist::parse(data) else { return };
    assert!(list.ranges() + list.broken_lines() <= data.len());
    if list.ranges() > 0 {
        let again = Blocklist::parse(list.to_string().as_bytes()).expect("what is written can be parsed");
        assert_eq!(again.to_string(), list.to_string(), "a list must survive its text");
    }
}

/// Takes the bytes for those of a web server that answers requests, whole and in small cuts. No
/// more bytes come than were sent, each where it was announced, and the cuts do not matter.
pub fn web_server(data: &[u8]) {
    for ends in [false, true] {
        let whole = answered(data, data.len().max(1), ends);
        assert!(whole.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() <= data.len());
        assert_eq!(answered(data, 7, ends), whole, "cuts must not matter");
    }
}

/// Returns what came for each request: its bytes, and how it ended.
fn answered(data: &[u8], cut: usize, ends: bool) -> Vec<(String, Vec<u8>)> {
    let mut conversation = http_range::Conversation::new();
    let version = http_range::Version::default;
    for range in [0..5, 5..15, 0..20, 7..9] {
        let url = "http://a/f.mkv".parse().expect("it is a URL");
        let request = http_range::Request::new(url, range).expect("it has bytes");
        conversation.request(request.expecting(Some(20), version())).expect("the connection is new");
    }
    let (mut came, mut expected) = (Vec::new(), 0..0);
    let mut take = |conversation: &mut http_range::Conversation| {
        while let Some(event) = conversation.next_event() {
            match event {
                http_range::Event::Accepted { bytes, .. } => {
                    came.push((format!("{bytes:?}"), Vec::new()));
                    expected = bytes;
                }
                http_range::Event::Data { offset, bytes, .. } => {
                    assert!(offset == expected.start && !bytes.is_empty());
                    expected.start += bytes.len() as u64;
                    assert!(expected.start <= expected.end);
                    came.last_mut().expect("an answer was accepted").1.extend_from_slice(&bytes);
                }
                http_range::Event::End { .. } => assert!(expected.is_empty()),
                other => came.push((format!("{other:?}"), Vec::new())),
            }
        }
    };
    for bytes in data.chunks(cut) {
        conversation.feed(bytes);
        take(&mut conversation);
    }
    if ends {
        conversation.end_of_input();
        take(&mut conversation);
        assert!(conversation.is_closed());
    }
    came
}

/// Parses a Metalink document. Its paths stay below their folder, and its pieces are whole.
pub fn metalink(data: &[u8]) {
    let Ok(document) = metalink::Metalink::from_bytes(data) else { return };
    for file in &document.files {
        assert!(file.path.components().all(|c| matches!(c, Component::Normal(_))), "{:?}", file.path);
        assert!(file.mirrors.is_sorted_by_key(|mirror| mirror.priority));
        if let (Some(pieces), Some(length)) = (&file.pieces, file.length) {
            assert_eq!(pieces.count() as u64, length.div_ceil(pieces.piece_bytes));
        }
    }
}

/// Parses a transfer of a tiger tree, which follows the file's length and the root.
pub fn thex(data: &[u8]) {
    let Some((length, data)) = data.split_first_chunk::<4>() else { return };
    let Some((root, body)) = data.split_first_chunk::<{ tiger_tree::DIGEST_BYTES }>() else { return };
    let (length, body) = (u64::from(u32::from_le_bytes(*length)), Bytes::copy_from_slice(body));
    for transfer in [tiger_tree::Transfer::Raw, tiger_tree::Transfer::Dime] {
        if let Ok(level) = tiger_tree::read(transfer, &body, length, root) {
            assert_eq!(level.root(), *root);
            let again = tiger_tree::read(tiger_tree::Transfer::Raw, &level.to_breadth_first().into(), length, root);
            assert_eq!(again, Ok(level), "a tree must survive its bytes");
        }
    }
}

/// Takes the bytes for those of a servent: a connection, compressed or not and in cuts, and a
/// datagram. A message must be equal after encoding and decoding.
pub fn gnutella(data: &[u8]) {
    let Some((first, data)) = data.split_first() else { return };
    let (is_deflated, cut) = (first & 1 != 0, usize::from(first >> 1) + 1);
    let mut reader = gnutella::Reader::new(is_deflated);
    let mut receiver = gnutella::RouteReceiver::default();
    for bytes in data.chunks(cut) {
        reader.feed(bytes);
        while let Ok(Some(frame)) = reader.next_frame() {
            servent_message(&frame, &mut receiver);
        }
    }
    if let Ok(frame) = gnutella::Frame::from_datagram(&Bytes::copy_from_slice(data)) {
        servent_message(&frame, &mut receiver);
    }
    // Without framing, so that the fuzzer reaches these parsers at once.
    let header = gnutella::Header { guid: gnutella::Guid::ZERO, kind: *first, ttl: 1, hops: 0 };
    servent_message(&gnutella::Frame { header, payload: Bytes::copy_from_slice(data) }, &mut receiver);
}

fn servent_message(frame: &gnutella::Frame, receiver: &mut gnutella::RouteReceiver) {
    if let Ok(message) = gnutella::dht::DhtMessage::decode(frame) {
        let bytes = message.encode().expect("it is no longer than what was read");
        let again = gnutella::Frame::from_datagram(&bytes).and_then(|frame| gnutella::dht::DhtMessage::decode(&frame));
        assert_eq!(again, Ok(message), "a message of the DHT must survive its bytes");
        return;
    }
    let Ok(message) = gnutella::Message::decode(frame) else { return };
    match &message {
        gnutella::Message::Route(update) => drop(receiver.update(update)),
        gnutella::Message::Pong(pong) => drop((pong.others(), pong.host_caches(), pong.dht_nodes())),
        gnutella::Message::QueryHit(hit) => {
            for record in &hit.records {
                let _ = gnutella::spam_mark(hit, record, "a film", Some(gnutella::media::VIDEO));
                assert!(record.alternates().len() <= gnutella::MAX_ALTERNATES);
            }
        }
        _ => {}
    }
    // Text in an old encoding becomes longer, and may then be too long.
    if let Ok(written) = message.frame(frame.header.guid, frame.header.ttl) {
        assert_eq!(gnutella::Message::decode(&written), Ok(message), "a message must survive its bytes");
    }
}

/// Parses heads of servents, the starts of their connections to us, a block of extensions and the
/// answer of a cache of hosts.
pub fn gnutella_heads(data: &[u8]) {
    if let Ok(Some((handshake, length))) = gnutella::Handshake::parse(data) {
        assert!(length <= data.len() && handshake.others().len() <= gnutella::MAX_TRIES);
        let _ = (handshake.outcome(), handshake.listens_at(), handshake.servent());
    }
    if let Some((_, skip)) = gnutella::callback(data) {
        assert!(skip <= data.len());
    }
    if let Some(fields) = gnutella::ServentFields::parse(data) {
        let head = format!("HTTP/1.1 206 X\r\n{}\r\n", fields.to_lines());
        let again = gnutella::ServentFields::parse(head.as_bytes()).expect("it has few fields");
        assert_eq!(again.to_lines(), fields.to_lines(), "fields must survive their text");
    }
    if let Ok(request) = gnutella::FileRequest::parse(data) {
        let range = request.bytes.and_then(|bytes| bytes.of(1000));
        assert!(range.is_none_or(|range| !range.is_empty() && range.end <= 1000), "a range must be of the file");
    }
    let answer = gnutella::CacheAnswer::parse(data);
    assert!(answer.hosts.len() <= gnutella::MAX_CACHE_LINES);
    let block = Bytes::copy_from_slice(data);
    if let Ok((ggep, rest)) = gnutella::Ggep::decode(&block, &mut gnutella::Budget::default()) {
        let mut bytes = Vec::new();
        ggep.encode(gnutella::Place::AmongTexts, &mut bytes);
        let length = bytes.len();
        bytes.extend_from_slice(&rest);
        let again = gnutella::Ggep::decode(&bytes.into(), &mut gnutella::Budget::default());
        assert_eq!(again, Ok((ggep, rest)), "a block must survive its {length} bytes");
    }
    if let Some(target) = std::str::from_utf8(data).ok().and_then(gnutella::Target::parse)
        && let Some(path) = target.path()
    {
        assert!(gnutella::Target::parse(&path).is_some(), "a path must survive its text");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    const TORRENT: &[u8] = b"d8:announce8:http://a4:infod5:filesld6:lengthi3e4:pathl1:a2:..eed6:lengthi4e4:pathl1:a1:beee4:name1:x12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaaee";
    const MAGNET: &str = "magnet:?xt=urn:btih:a621779b5e3d486e127c3efbca9b6f8d135f52e5&dn=a+b&tr=udp://a:1&x.pe=1.2.3.4:5&x.pe=[::1]:6&ws=http://h/a+b";
    const ANSWERS: &[u8] = b"HTTP/1.1 206 X\r\nContent-Length: 5\r\nContent-Range: bytes 0-4/20\r\n\r\n01234HTTP/1.1 206 X\r\nTransfer-Encoding: chunked\r\nContent-Range: bytes 5-14/20\r\n\r\na\r\n56789abcde\r\n0\r\n\r\nHTTP/1.0 200 X\r\n\r\n0123456789abcdefghij";
    const METALINK: &[u8] = b"<metalink xmlns='urn:ietf:params:xml:ns:metalink'><file name='a/b'><size>2000</size><pieces length='1024' type='sha-1'><hash>da39a3ee5e6b4b0d3255bfef95601890afd80709</hash><hash>da39a3ee5e6b4b0d3255bfef95601890afd80709</hash></pieces><url priority='1' location='de'>http://h/a&amp;b</url></file></metalink>";

    /// Returns a transfer of a tree as the target takes it.
    fn transfer() -> Vec<u8> {
        let level = crate::tiger_tree::Level::of_file(5000, [&[7; 5000][..]]).unwrap();
        [&5000u32.to_le_bytes()[..], &level.root(), &level.to_breadth_first()].concat()
    }

    const HEAD: &[u8] = b"GNUTELLA/0.6 503 Full\r\nX-Try-Ultrapeers: 1.2.3.4:5,\r\n\t6.7.8.9\r\nX-Alt: 1.2.3.4:5\r\nX-Queued: position=1; ID=ab\r\nX-Available-Ranges: bytes 0-9,20-29\r\nX-Thex-URI: /a;b\r\nX-Falt: b7393102f14f52b35d8148cadea29b71;1.2.3.4:5\r\n\r\n";

    /// Returns messages of a servent as the target takes them: a query hit with extensions.
    fn servent() -> Vec<u8> {
        let ggep = crate::gnutella::Ggep::new().with_deflated("ALT", vec![9; 12]).with("LF", vec![0, 0, 0, 0, 1]);
        let mut block = Vec::new();
        ggep.encode(crate::gnutella::Place::AmongTexts, &mut block);
        let record = [&[1, 0, 0, 0, 255, 255, 255, 255][..], b"film.mkv\0urn:x\x1c", &block, &[0]].concat();
        let trailer = [&b"PSWM\x02\x00\x20"[..], &block, &[7; 16]].concat();
        let payload = [&[1, 0, 1, 1, 2, 3, 4, 0, 0, 0, 0][..], &record, &trailer].concat();
        let length = (payload.len() as u32).to_le_bytes();
        [&[0xfe][..], &[5; 16], &[0x81, 1, 0], &length, &payload].concat()
    }

    const BLOCKLIST: &[u8] = b"a:1.2.3.0-1.2.3.255\n001.2.3.4 - 255.255.255.255 , 000 , b\nc:1::-2001:db8::5\n";

    proptest! {
        #[test]
        fn the_fuzz_targets_hold_for_samples_with_changes(changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4)) {
            let (transfer, servent) = (transfer(), servent());
            for (sample, target) in [
                (TORRENT, super::torrent as fn(&[u8])),
                (ANSWERS, super::web_server),
                (METALINK, super::metalink),
                (&transfer, super::thex),
                (&servent, super::gnutella),
                (HEAD, super::gnutella_heads),
                (TORRENT, super::answers),
                (MAGNET.as_bytes(), super::magnet),
                (BLOCKLIST, super::blocklist),
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
