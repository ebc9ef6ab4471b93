//! Entry points for the fuzz targets: one function for each parser of foreign bytes. No part of the public interface.

/// A `.torrent` file, and the same bytes as an info dictionary.
pub fn torrent(data: &[u8]) {
    if let Ok(torrent) = crate::Metainfo::from_bytes(data) {
        let again = crate::Metainfo::from_bytes(&torrent.to_torrent_bytes()).expect("what we write we can read");
        assert_eq!(again.info_hash, torrent.info_hash);
        assert_eq!(again.files, torrent.files);
        for file in &torrent.files {
            assert!(file.path.components().all(|c| matches!(c, std::path::Component::Normal(_))), "{:?}", file.path);
        }
    }
    let _ = crate::Metainfo::from_info(bytes::Bytes::copy_from_slice(data), Vec::new());
}

/// A magnet link or whatever else a user may type as a source.
pub fn magnet(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(crate::Source::Magnet(magnet)) = crate::Source::parse(text) {
        let again = crate::Source::parse(&magnet.to_string()).expect("what we write we can read");
        assert!(matches!(again, crate::Source::Magnet(m) if m == magnet));
    }
}

/// Messages of peers: framing, extended handshakes, PEX, metadata, the handshake itself.
pub fn wire(data: &[u8]) {
    playswarm_proto::fuzzing::peer_bytes(data);
}

/// An answer of a DHT node, or of a tracker.
pub fn dht(data: &[u8]) {
    crate::discovery::fuzz(data);
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
