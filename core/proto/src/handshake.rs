//! The first 68 bytes of a connection (BEP 3).

use crate::InfoHash;
use bytes::BytesMut;

/// Length of a handshake, bytes.
pub const HANDSHAKE_BYTES: usize = 68;

const PREFIX: &[u8; 20] = b"\x13BitTorrent protocol";

/// First characters of this client's peer id, in the Azureus style: `PW` and the version.
pub const CLIENT_PREFIX: &[u8; 8] = b"-PW0100-";

/// An id of twenty bytes that identifies a client in the swarm.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub [u8; 20]);

impl PeerId {
    /// Returns [`CLIENT_PREFIX`] and twelve random characters, made of six bits of each byte.
    pub fn from_random(random: [u8; 12]) -> PeerId {
        const ALPHABET: &[u8; 64] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._";
        let mut id = [0; 20];
        id[..8].copy_from_slice(CLIENT_PREFIX);
        for (character, bits) in id[8..].iter_mut().zip(random) {
            *character = ALPHABET[usize::from(bits & 63)];
        }
        PeerId(id)
    }

    /// Returns whether this is an id of playswarm.
    pub fn is_playswarm(&self) -> bool {
        self.0.starts_with(&CLIENT_PREFIX[..3])
    }

    /// Returns whether this client drops a connection on which data arrives together with the
    /// handshake. aria2 (1.36) does: "More than BtHandshakeMessage::MESSAGE_LENGTH bytes are
    /// buffered".
    pub fn wants_bare_handshake(&self) -> bool {
        self.0.starts_with(b"A2-")
    }
}

impl std::fmt::Debug for PeerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// The eight reserved bytes, in which a client announces its extensions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reserved(pub u64);

impl Reserved {
    const EXTENDED: u64 = 1 << 20;
    const FAST: u64 = 1 << 2;
    const DHT: u64 = 1;

    /// Returns the extensions of this client: BEP 10, BEP 6, and BEP 5 if a DHT node runs.
    pub fn ours(dht: bool) -> Reserved {
        Reserved(Self::EXTENDED | Self::FAST | if dht { Self::DHT } else { 0 })
    }

    /// Returns extended messages alone, for connections that carry nothing else.
    pub fn extended_only() -> Reserved {
        Reserved(Self::EXTENDED)
    }

    /// Returns whether extended messages are supported (BEP 10).
    pub fn extended(self) -> bool {
        self.0 & Self::EXTENDED != 0
    }

    /// Returns whether HAVE ALL, HAVE NONE, REJECT, ALLOWED FAST and SUGGEST are supported (BEP 6).
    pub fn fast(self) -> bool {
        self.0 & Self::FAST != 0
    }

    /// Returns whether PORT is supported (BEP 5).
    pub fn dht(self) -> bool {
        self.0 & Self::DHT != 0
    }
}

/// A handshake, sent or received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// Extensions that the sender supports.
    pub reserved: Reserved,
    /// Info-hash of the torrent.
    pub info_hash: InfoHash,
    /// Peer id of the sender.
    pub peer_id: PeerId,
}

/// An error: the bytes are not a handshake. The other side uses another protocol (encrypted, HTTP,
/// garbage).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotBitTorrent;

impl Handshake {
    /// Appends the 68 bytes of the handshake.
    pub fn encode(&self, out: &mut BytesMut) {
        out.extend_from_slice(PREFIX);
        out.extend_from_slice(&self.reserved.0.to_be_bytes());
        out.extend_from_slice(&self.info_hash.0);
        out.extend_from_slice(&self.peer_id.0);
    }

    /// Takes a handshake from `buf`, or leaves it and returns `None` while it is incomplete.
    ///
    /// # Errors
    ///
    /// Returns [`NotBitTorrent`] at the first byte that cannot belong to a handshake.
    pub fn decode(buf: &mut BytesMut) -> Result<Option<Handshake>, NotBitTorrent> {
        let known = buf.len().min(PREFIX.len());
        if buf[..known] != PREFIX[..known] {
            return Err(NotBitTorrent);
        }
        if buf.len() < HANDSHAKE_BYTES {
            return Ok(None);
        }
        let head = buf.split_to(HANDSHAKE_BYTES);
        let (mut reserved, mut info_hash, mut peer_id) = ([0; 8], [0; 20], [0; 20]);
        reserved.copy_from_slice(&head[20..28]);
        info_hash.copy_from_slice(&head[28..48]);
        peer_id.copy_from_slice(&head[48..]);
        Ok(Some(Handshake {
            reserved: Reserved(u64::from_be_bytes(reserved)),
            info_hash: InfoHash(info_hash),
            peer_id: PeerId(peer_id),
        }))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_survives_its_bytes_and_shows_its_extensions() {
        let peer_id = PeerId::from_random([7; 12]);
        let ours = Handshake { reserved: Reserved::ours(true), info_hash: InfoHash([7; 20]), peer_id };
        let mut buf = BytesMut::new();
        ours.encode(&mut buf);
        buf.extend_from_slice(b"more");
        assert_eq!((buf[25] & 0x10, buf[27] & 0x05), (0x10, 0x05));
        let theirs = Handshake::decode(&mut buf).unwrap().unwrap();
        assert_eq!((theirs, &buf[..]), (ours, &b"more"[..]));
        assert!(theirs.reserved.fast() && theirs.reserved.extended() && theirs.reserved.dht());
        assert!(!Reserved::ours(false).dht());
    }

    #[test]
    fn what_cannot_become_a_handshake_is_refused_at_once() {
        let decode = |bytes: &[u8]| Handshake::decode(&mut BytesMut::from(bytes));
        assert_eq!(decode(b"\x13BitTor"), Ok(None));
        assert_eq!(decode(b"GET / HTTP"), Err(NotBitTorrent));
        assert_eq!(decode(b"\x13Bitx"), Err(NotBitTorrent));
    }

    #[test]
    fn peer_ids_carry_our_name() {
        let id = PeerId::from_random([0xff; 12]);
        assert!(id.0.starts_with(b"-PW0100-") && id.0.is_ascii() && id.is_playswarm());
        assert_ne!(id, PeerId::from_random([1; 12]));
    }
}
