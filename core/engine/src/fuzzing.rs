//! Entry points for the fuzz targets: one function for each parser of foreign bytes. No part of the public interface.

/// A `.torrent` file, and the same bytes as an info dictionary.
pub fn torrent(data: &[u8]) {
    if let Ok(torrent) = crate::Torrent::from_bytes(data) {
        let again = crate::Torrent::from_bytes(&torrent.to_torrent_bytes()).expect("what we write we can read");
        assert_eq!(again.info_hash, torrent.info_hash);
        assert_eq!(again.files, torrent.files);
        for file in &torrent.files {
            assert!(file.path.components().all(|c| matches!(c, std::path::Component::Normal(_))), "{:?}", file.path);
        }
    }
    let _ = crate::Torrent::from_info(bytes::Bytes::copy_from_slice(data), Vec::new());
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
    crate::swarm::fuzz(data);
}

/// A `Range` header of any bytes for a file of any size (the first eight bytes).
pub fn http_range(data: &[u8]) {
    if let Some((size, header)) = data.split_first_chunk::<8>() {
        crate::front::range::check_invariants(header, u64::from_le_bytes(*size));
    }
}
