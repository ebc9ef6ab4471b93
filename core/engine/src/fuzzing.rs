//! Doors for the fuzz targets in `fuzz/`: one function for each parser of foreign bytes. Not part of the API.

/// Messages of peers: framing, extended handshakes, PEX, metadata, the handshake itself.
pub fn wire(data: &[u8]) {
    crate::swarm::fuzz(data);
}
