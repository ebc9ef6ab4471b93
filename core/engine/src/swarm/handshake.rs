//! The first 68 bytes of a connection (BEP 3), and the words that go out with them.
//!
//! Reading and writing happen in `transport` and `listen`; here are the bytes. The frame itself is
//! librqbit-peer-protocol's `Handshake`.

use crate::swarm::extended::ExtendedHandshake;
use crate::swarm::wire::{self, Message};
use crate::torrent::InfoHash;
use bytes::{Bytes, BytesMut};
use librqbit_core::hash_id::Id20;
use librqbit_peer_protocol::Handshake as Frame;
use playswarm_logic::Bits;
use std::hash::{BuildHasher, Hasher};

/// Bytes of a handshake.
pub(crate) const HANDSHAKE_BYTES: usize = 68;

const PREFIX: &[u8; 20] = b"\x13BitTorrent protocol";

/// Twenty bytes by which a client is told from another.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PeerId(pub(crate) [u8; 20]);

impl PeerId {
    /// `-PW0100-` and twelve random characters; one for a session.
    pub(crate) fn random() -> PeerId {
        const ALPHABET: &[u8; 64] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._";
        let mut id = *b"-PW0100-............";
        // std's hash maps are keyed by the operating system's random source: 64 unpredictable bits each, of which 36 are used.
        for chunk in id[8..].chunks_mut(6) {
            let mut bits = std::collections::hash_map::RandomState::new().build_hasher().finish();
            for byte in chunk {
                *byte = ALPHABET[(bits & 63) as usize];
                bits >>= 6;
            }
        }
        PeerId(id)
    }
}

impl PeerId {
    /// Whether this client drops a connection on which anything comes together with the handshake. aria2 (1.36) does:
    /// "More than BtHandshakeMessage::MESSAGE_LENGTH bytes are buffered".
    pub(crate) fn wants_bare_handshake(&self) -> bool {
        self.0.starts_with(b"A2-")
    }
}

impl std::fmt::Debug for PeerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// The eight reserved bytes, in which a client says what it speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reserved(pub(crate) u64);

impl Reserved {
    const EXTENDED: u64 = 1 << 20;
    const FAST: u64 = 1 << 2;
    const DHT: u64 = 1;

    /// What we speak: BEP 10, BEP 6, and BEP 5 where there is a DHT node.
    pub(crate) fn ours(dht: bool) -> Reserved {
        Reserved(Self::EXTENDED | Self::FAST | if dht { Self::DHT } else { 0 })
    }

    /// BEP 10: extended messages.
    pub(crate) fn extended(self) -> bool {
        self.0 & Self::EXTENDED != 0
    }

    /// BEP 6: HAVE ALL, HAVE NONE, REJECT, ALLOWED FAST, SUGGEST.
    pub(crate) fn fast(self) -> bool {
        self.0 & Self::FAST != 0
    }

    /// BEP 5: it takes PORT.
    #[cfg(test)]
    pub(crate) fn dht(self) -> bool {
        self.0 & Self::DHT != 0
    }
}

/// A handshake, ours or theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handshake {
    /// What the sender speaks.
    pub(crate) reserved: Reserved,
    /// The torrent that the connection is about.
    pub(crate) info_hash: InfoHash,
    /// Who the sender is.
    pub(crate) peer_id: PeerId,
}

/// Why a handshake led to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    /// The other side speaks something else (encrypted, HTTP, nonsense).
    #[error("the peer does not speak the BitTorrent protocol")]
    NotBitTorrent,
    /// It is about another torrent, or one that we do not have.
    #[error("the peer asked for another torrent")]
    WrongTorrent,
    /// We reached ourselves.
    #[error("connected to ourselves")]
    Ourselves,
    /// The torrent does not want this peer: banned, or there are enough.
    #[error("the peer is not wanted")]
    NotWanted,
    /// It took too long.
    #[error("the handshake took too long")]
    TimedOut,
    /// The connection broke or was closed.
    #[error("the connection broke: {0}")]
    Io(#[from] std::io::Error),
}

impl Handshake {
    /// Appends the 68 bytes.
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        let mut frame = Frame::new(Id20::new(self.info_hash.0), Id20::new(self.peer_id.0));
        frame.reserved = self.reserved.0;
        let mut bytes = [0; HANDSHAKE_BYTES];
        let written = frame.serialize_unchecked_len(&mut bytes);
        debug_assert_eq!(written, HANDSHAKE_BYTES);
        out.extend_from_slice(&bytes);
    }

    /// Takes a handshake off `buf`, or leaves it and returns `None` while it is not all there. What cannot become a
    /// handshake is refused at its first wrong byte.
    pub(crate) fn decode(buf: &mut BytesMut) -> Result<Option<Handshake>, HandshakeError> {
        let known = buf.len().min(PREFIX.len());
        if buf[..known] != PREFIX[..known] {
            return Err(HandshakeError::NotBitTorrent);
        }
        if buf.len() < HANDSHAKE_BYTES {
            return Ok(None);
        }
        let head = buf.split_to(HANDSHAKE_BYTES);
        let (frame, _) = Frame::deserialize(&head).map_err(|_| HandshakeError::NotBitTorrent)?;
        Ok(Some(Handshake {
            reserved: Reserved(frame.reserved),
            info_hash: InfoHash(frame.info_hash.0),
            peer_id: PeerId(frame.peer_id.0),
        }))
    }
}

/// What a torrent says first on a new connection, beside the handshake itself.
#[derive(Clone, Debug)]
pub(crate) struct FirstWords {
    /// What we speak.
    pub(crate) reserved: Reserved,
    /// The handshake of BEP 10; `yourip` is filled in for each peer.
    pub(crate) extended: ExtendedHandshake,
    /// Which pieces we have; `None` while the torrent's info is not known.
    pub(crate) have: Option<Bits>,
    /// Whether to say INTERESTED at once, in the hope that the peer unchokes us a round trip sooner.
    pub(crate) interested: bool,
}

/// Makes the first words. Called at the moment at which they are sent, so that they are true then.
pub(crate) type Words<'a> = &'a (dyn Fn() -> FirstWords + Send + Sync);

impl FirstWords {
    /// Appends the messages that follow our handshake.
    ///
    /// Incoming connections know what the peer speaks. When we dial, `theirs` is `None`: the words go out in the same
    /// write as the handshake, in forms that every client takes (a bitfield even if it is empty, BEP 6 wants one of the
    /// three), and [`FirstWords::encode_rest`] adds what had to wait.
    pub(crate) fn encode(&self, theirs: Option<Reserved>, remote: std::net::IpAddr, out: &mut BytesMut) {
        if theirs.is_none_or(Reserved::extended) {
            let extended = ExtendedHandshake { yourip: Some(remote), ..self.extended.clone() };
            wire::encode(&Message::Extended { id: 0, payload: extended.encode() }, out);
        }
        match (&self.have, theirs.is_some_and(Reserved::fast)) {
            (Some(have), true) if have.is_full() && !have.is_empty() => wire::encode(&Message::HaveAll, out),
            (Some(have), true) if have.count() == 0 => wire::encode(&Message::HaveNone, out),
            (None, true) => wire::encode(&Message::HaveNone, out),
            // BEP 3: one who has nothing may leave the bitfield out; but then a FAST peer would miss it.
            (Some(have), false) if have.count() == 0 && theirs.is_some() => {}
            (Some(have), _) => wire::encode(&Message::Bitfield(Bytes::copy_from_slice(have.as_bytes())), out),
            (None, false) => {}
        }
        if self.interested {
            wire::encode(&Message::Interested, out);
        }
    }

    /// Appends what had to wait for the handshake of a peer that we dialled: HAVE NONE, where the number of pieces was
    /// not known for a bitfield.
    pub(crate) fn encode_rest(&self, theirs: Reserved, out: &mut BytesMut) {
        if self.have.is_none() && theirs.fast() {
            wire::encode(&Message::HaveNone, out);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::swarm::wire::{Limits, decode};
    use std::net::{IpAddr, Ipv4Addr};

    const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn words(bits: Option<&Bits>) -> FirstWords {
        FirstWords {
            reserved: Reserved::ours(true),
            extended: ExtendedHandshake::default(),
            have: bits.cloned(),
            interested: true,
        }
    }

    fn said(words: &FirstWords, theirs: Option<Reserved>) -> Vec<Message> {
        let mut buf = BytesMut::new();
        words.encode(theirs, HOST, &mut buf);
        std::iter::from_fn(|| decode(&mut buf, Limits::default()).unwrap()).collect()
    }

    #[test]
    fn a_handshake_survives_its_bytes_and_shows_what_is_spoken() {
        let ours =
            Handshake { reserved: Reserved::ours(true), info_hash: InfoHash([7; 20]), peer_id: PeerId::random() };
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
        assert!(Handshake::decode(&mut BytesMut::from(&b"\x13BitTor"[..])).unwrap().is_none());
        assert!(matches!(
            Handshake::decode(&mut BytesMut::from(&b"GET / HTTP"[..])),
            Err(HandshakeError::NotBitTorrent)
        ));
        assert!(matches!(Handshake::decode(&mut BytesMut::from(&b"\x13Bitx"[..])), Err(HandshakeError::NotBitTorrent)));
    }

    #[test]
    fn peer_ids_carry_our_name_and_differ() {
        let (a, b) = (PeerId::random(), PeerId::random());
        assert!(a.0.starts_with(b"-PW0100-") && a.0.is_ascii() && a != b);
    }

    #[test]
    fn one_who_dials_uses_words_that_every_client_takes() {
        let full = Bits::full(9);
        let said = said(&words(Some(&full)), None);
        assert!(matches!(said[0], Message::Extended { id: 0, .. }));
        assert_eq!(said[1..], [Message::Bitfield(Bytes::from_static(&[0xff, 0x80])), Message::Interested]);
    }

    #[test]
    fn one_who_is_dialled_uses_what_the_peer_speaks() {
        let fast = Some(Reserved::ours(false));
        assert_eq!(said(&words(Some(&Bits::full(9))), fast)[1..], [Message::HaveAll, Message::Interested]);
        assert_eq!(said(&words(Some(&Bits::new(9))), fast)[1..], [Message::HaveNone, Message::Interested]);
        assert_eq!(said(&words(Some(&Bits::new(9))), Some(Reserved(0))), [Message::Interested]);
        assert_eq!(said(&words(None), fast)[1..], [Message::HaveNone, Message::Interested]);
    }

    #[test]
    fn have_none_waits_for_the_peers_handshake_where_the_number_of_pieces_is_unknown() {
        assert_eq!(said(&words(None), None)[1..], [Message::Interested]);
        let mut rest = BytesMut::new();
        words(None).encode_rest(Reserved(0), &mut rest);
        assert!(rest.is_empty());
        words(None).encode_rest(Reserved::ours(false), &mut rest);
        assert_eq!(decode(&mut rest, Limits::default()).unwrap(), Some(Message::HaveNone));
    }
}
