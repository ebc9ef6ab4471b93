//! The peer wire protocol: messages of BEP 3, 5 (PORT), 6 (FAST) and the envelope of BEP 10.
//!
//! Pure: decodes messages from a [`BytesMut`] and encodes them. The content of extended messages is
//! in `extended`, `pex` and `metadata`. The driver decides which messages are valid at what time.
//! librqbit-peer-protocol is not used for framing, because it treats an unknown id (FAST's among
//! them) as an error.

use crate::BLOCK_BYTES;
use crate::extended::MAX_METADATA_BYTES;
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Longest payload of an extended or unknown message, bytes. The largest known ones are a piece of
/// metadata (16 KiB and its dictionary) and a PEX message of a thousand addresses.
pub const MAX_EXTENDED_BYTES: u32 = 64 * 1024;

/// Longest such payload while the metadata is not known: some clients send all of it in one
/// message. Enough for 50,000 pieces.
const MAX_UNKNOWN_EXTENDED_BYTES: u32 = 1024 * 1024;

/// Most pieces of a torrent: those whose hashes fit into the largest accepted metadata.
pub const MAX_PIECES: u32 = MAX_METADATA_BYTES / 20;

/// Longest bitfield while the number of pieces is not known (a magnet link), bytes.
const MAX_UNKNOWN_BITFIELD_BYTES: u32 = MAX_PIECES.div_ceil(8);

/// Length of a PIECE message before its data: length, id, piece, begin.
pub const PIECE_HEADER_BYTES: usize = 13;

mod id {
    pub(super) const CHOKE: u8 = 0;
    pub(super) const UNCHOKE: u8 = 1;
    pub(super) const INTERESTED: u8 = 2;
    pub(super) const NOT_INTERESTED: u8 = 3;
    pub(super) const HAVE: u8 = 4;
    pub(super) const BITFIELD: u8 = 5;
    pub(super) const REQUEST: u8 = 6;
    pub(super) const PIECE: u8 = 7;
    pub(super) const CANCEL: u8 = 8;
    pub(super) const PORT: u8 = 9;
    pub(super) const SUGGEST: u8 = 13;
    pub(super) const HAVE_ALL: u8 = 14;
    pub(super) const HAVE_NONE: u8 = 15;
    pub(super) const REJECT: u8 = 16;
    pub(super) const ALLOWED_FAST: u8 = 17;
    pub(super) const EXTENDED: u8 = 20;
}

/// A part of a piece, as named by REQUEST, CANCEL and REJECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Number of the piece.
    pub piece: u32,
    /// Offset within the piece, bytes.
    pub begin: u32,
    /// Length, bytes.
    pub length: u32,
}

/// A peer wire message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// An empty message that keeps the connection alive.
    KeepAlive,
    /// The sender will not answer requests.
    Choke,
    /// The sender will answer requests.
    Unchoke,
    /// The sender wants pieces of the receiver.
    Interested,
    /// The sender wants no pieces of the receiver.
    NotInterested,
    /// The sender has this piece now.
    Have(u32),
    /// The sender's pieces. The length is checked, the spare bits are not.
    Bitfield(Bytes),
    /// A request for a block.
    Request(Span),
    /// A block.
    Piece {
        /// Number of the piece.
        piece: u32,
        /// Offset of the block within the piece, bytes.
        begin: u32,
        /// Bytes of the block, at most 16 KiB. They keep the whole read buffer alive: copy or drop
        /// them before the next read.
        data: Bytes,
    },
    /// A cancelled request.
    Cancel(Span),
    /// The sender's DHT node listens on this UDP port (BEP 5).
    Port(u16),
    /// The sender suggests a request for this piece (BEP 6).
    Suggest(u32),
    /// The sender has every piece (BEP 6).
    HaveAll,
    /// The sender has no piece (BEP 6).
    HaveNone,
    /// The sender will not answer this request (BEP 6).
    Reject(Span),
    /// The receiver may request this piece while choked (BEP 6).
    AllowedFast(u32),
    /// A message of BEP 10; id 0 is its handshake.
    Extended {
        /// The receiver's number for this kind of message.
        id: u8,
        /// The bytes that follow the number.
        payload: Bytes,
    },
    /// A message with an unknown id, which was skipped.
    Unknown(u8),
}

impl Message {
    /// Returns the length of the payload if it varies and is not a block; otherwise 0.
    pub fn payload_bytes(&self) -> usize {
        match self {
            Message::Extended { payload, .. } => payload.len(),
            Message::Bitfield(bytes) => bytes.len(),
            _ => 0,
        }
    }
}

/// The reason why bytes are not a message of this protocol. The bytes after them cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A message is longer than any valid one.
    #[error("a message of {length} bytes where at most {limit} make sense")]
    TooLong {
        /// Length that the peer named.
        length: u32,
        /// Longest accepted length.
        limit: u32,
    },
    /// A message has a length that is invalid for its kind.
    #[error("a message of kind {id} with {length} bytes")]
    Malformed {
        /// Id of the message.
        id: u8,
        /// Length that the peer named, id included.
        length: u32,
    },
}

/// The facts that bound the length of a message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Number of pieces of the torrent, once known.
    pub pieces: Option<u32>,
    /// Whether the connection began before the metadata was known: metadata requested then may
    /// still arrive.
    pub metadata: bool,
}

impl Limits {
    fn extended_bytes(self) -> u32 {
        if self.metadata || self.pieces.is_none() { MAX_UNKNOWN_EXTENDED_BYTES } else { MAX_EXTENDED_BYTES }
    }

    fn bitfield_bytes(self) -> u32 {
        self.pieces.map_or(MAX_UNKNOWN_BITFIELD_BYTES, |n| n.div_ceil(8))
    }

    /// Returns the longest valid length of any message, id included.
    fn longest(self) -> u32 {
        (1 + self.bitfield_bytes()).max(1 + self.extended_bytes()).max(9 + BLOCK_BYTES)
    }

    /// Checks the length of a message of this kind (id included).
    fn check(self, id: u8, length: u32) -> Result<(), WireError> {
        let right = match id {
            id::CHOKE | id::UNCHOKE | id::INTERESTED | id::NOT_INTERESTED | id::HAVE_ALL | id::HAVE_NONE => length == 1,
            id::HAVE | id::SUGGEST | id::ALLOWED_FAST => length == 5,
            id::REQUEST | id::CANCEL | id::REJECT => length == 13,
            id::PORT => length == 3,
            id::BITFIELD => match self.pieces {
                Some(_) => length == 1 + self.bitfield_bytes(),
                None => length <= 1 + self.bitfield_bytes(),
            },
            id::PIECE if length > 9 + BLOCK_BYTES => {
                return Err(WireError::TooLong { length, limit: 9 + BLOCK_BYTES });
            }
            id::PIECE => length >= 9,
            id::EXTENDED if length < 2 => false,
            id::EXTENDED if length <= 1 + self.extended_bytes() => true,
            _ if length > 1 + MAX_EXTENDED_BYTES => {
                return Err(WireError::TooLong { length, limit: 1 + MAX_EXTENDED_BYTES });
            }
            _ => true,
        };
        if right { Ok(()) } else { Err(WireError::Malformed { id, length }) }
    }
}

/// A partly received block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partial {
    /// Number of the piece.
    pub piece: u32,
    /// Offset of the block within the piece, bytes.
    pub begin: u32,
    /// Bytes of its data received so far.
    pub here: u32,
    /// Length of its data, bytes.
    pub of: u32,
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}

/// Takes the first message from `buf`, or leaves `buf` unchanged and returns `None` if the message
/// is incomplete.
///
/// The length is checked as soon as it and the id have arrived, so that a message to be refused is
/// not buffered.
pub fn decode(buf: &mut BytesMut, limits: Limits) -> Result<Option<Message>, WireError> {
    let Some(length) = be32(buf, 0) else { return Ok(None) };
    if length == 0 {
        buf.advance(4);
        return Ok(Some(Message::KeepAlive));
    }
    if length > limits.longest() {
        return Err(WireError::TooLong { length, limit: limits.longest() });
    }
    let Some(&id) = buf.get(4) else { return Ok(None) };
    limits.check(id, length)?;
    if buf.len() - 4 < length as usize {
        return Ok(None);
    }
    buf.advance(5);
    let mut body = buf.split_to(length as usize - 1);
    Ok(Some(match id {
        id::CHOKE => Message::Choke,
        id::UNCHOKE => Message::Unchoke,
        id::INTERESTED => Message::Interested,
        id::NOT_INTERESTED => Message::NotInterested,
        id::HAVE_ALL => Message::HaveAll,
        id::HAVE_NONE => Message::HaveNone,
        id::HAVE => Message::Have(body.get_u32()),
        id::SUGGEST => Message::Suggest(body.get_u32()),
        id::ALLOWED_FAST => Message::AllowedFast(body.get_u32()),
        id::REQUEST => Message::Request(span(&mut body)),
        id::CANCEL => Message::Cancel(span(&mut body)),
        id::REJECT => Message::Reject(span(&mut body)),
        id::PORT => Message::Port(body.get_u16()),
        // These two outlive the batch, and a slice would keep a read buffer of 256 KiB alive.
        id::BITFIELD => Message::Bitfield(Bytes::copy_from_slice(&body)),
        id::EXTENDED => {
            let id = body.get_u8();
            Message::Extended { id, payload: Bytes::copy_from_slice(&body) }
        }
        id::PIECE => {
            let (piece, begin) = (body.get_u32(), body.get_u32());
            Message::Piece { piece, begin, data: body.freeze() }
        }
        other => Message::Unknown(other),
    }))
}

// The callers checked that there are 12 bytes.
fn span(body: &mut BytesMut) -> Span {
    Span { piece: body.get_u32(), begin: body.get_u32(), length: body.get_u32() }
}

/// Returns the block at the start of `buf`, if its header is complete and its data is not.
pub fn partial_piece(buf: &[u8]) -> Option<Partial> {
    let length = be32(buf, 0)?;
    if *buf.get(4)? != id::PIECE || length < 9 {
        return None;
    }
    let (piece, begin) = (be32(buf, 5)?, be32(buf, 9)?);
    let (here, of) = ((buf.len() - PIECE_HEADER_BYTES) as u32, length - 9);
    (here < of).then_some(Partial { piece, begin, here, of })
}

/// Returns how many more bytes the first message in `buf` needs, as far as known; 0 for unknown.
pub fn missing_bytes(buf: &[u8]) -> usize {
    be32(buf, 0).map_or(0, |length| (length as usize).saturating_add(4).saturating_sub(buf.len()))
}

/// Appends a message.
pub fn encode(message: &Message, out: &mut BytesMut) {
    match message {
        Message::KeepAlive => out.put_u32(0),
        Message::Choke => put(out, id::CHOKE, &[]),
        Message::Unchoke => put(out, id::UNCHOKE, &[]),
        Message::Interested => put(out, id::INTERESTED, &[]),
        Message::NotInterested => put(out, id::NOT_INTERESTED, &[]),
        Message::HaveAll => put(out, id::HAVE_ALL, &[]),
        Message::HaveNone => put(out, id::HAVE_NONE, &[]),
        Message::Have(piece) => put(out, id::HAVE, &piece.to_be_bytes()),
        Message::Suggest(piece) => put(out, id::SUGGEST, &piece.to_be_bytes()),
        Message::AllowedFast(piece) => put(out, id::ALLOWED_FAST, &piece.to_be_bytes()),
        Message::Bitfield(bits) => put(out, id::BITFIELD, bits),
        Message::Request(span) => put_span(out, id::REQUEST, span),
        Message::Cancel(span) => put_span(out, id::CANCEL, span),
        Message::Reject(span) => put_span(out, id::REJECT, span),
        Message::Port(port) => put(out, id::PORT, &port.to_be_bytes()),
        Message::Piece { piece, begin, data } => encode_piece(*piece, *begin, data, out),
        Message::Extended { id, payload } => {
            out.reserve(6 + payload.len());
            out.put_u32(2 + payload.len() as u32);
            out.put_u8(id::EXTENDED);
            out.put_u8(*id);
            out.put_slice(payload);
        }
        Message::Unknown(id) => put(out, *id, &[]),
    }
}

/// Appends a PIECE message with data from a slice.
pub fn encode_piece(piece: u32, begin: u32, data: &[u8], out: &mut BytesMut) {
    out.reserve(PIECE_HEADER_BYTES + data.len());
    out.put_u32(9 + data.len() as u32);
    out.put_u8(id::PIECE);
    out.put_u32(piece);
    out.put_u32(begin);
    out.put_slice(data);
}

fn put(out: &mut BytesMut, id: u8, body: &[u8]) {
    out.reserve(5 + body.len());
    out.put_u32(1 + body.len() as u32);
    out.put_u8(id);
    out.put_slice(body);
}

fn put_span(out: &mut BytesMut, id: u8, span: &Span) {
    out.reserve(17);
    out.put_u32(13);
    out.put_u8(id);
    out.put_u32(span.piece);
    out.put_u32(span.begin);
    out.put_u32(span.length);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { pieces: Some(20), metadata: false };

    fn decode_all(bytes: &[u8], limits: Limits) -> (Vec<Message>, Option<String>) {
        decode_cut(bytes, &[], limits)
    }

    /// Returns the messages of a stream that arrives in pieces cut at `cuts`, and the error that
    /// ended it.
    fn decode_cut(bytes: &[u8], cuts: &[usize], limits: Limits) -> (Vec<Message>, Option<String>) {
        let (mut buf, mut out, mut at) = (BytesMut::new(), Vec::new(), 0);
        for end in cuts.iter().copied().chain([bytes.len()]) {
            let end = end.clamp(at, bytes.len());
            buf.extend_from_slice(&bytes[at..end]);
            at = end;
            loop {
                match decode(&mut buf, limits) {
                    Ok(Some(m)) => out.push(m),
                    Ok(None) => break,
                    Err(e) => return (out, Some(e.to_string())),
                }
            }
        }
        (out, None)
    }

    fn span_any() -> impl Strategy<Value = Span> {
        any::<(u32, u32, u32)>().prop_map(|(piece, begin, length)| Span { piece, begin, length })
    }

    fn message_any() -> impl Strategy<Value = Message> {
        let bytes = |n| proptest::collection::vec(any::<u8>(), 0..n).prop_map(Bytes::from);
        prop_oneof![
            Just(Message::KeepAlive),
            Just(Message::Choke),
            Just(Message::Unchoke),
            Just(Message::Interested),
            Just(Message::NotInterested),
            Just(Message::HaveAll),
            Just(Message::HaveNone),
            any::<u32>().prop_map(Message::Have),
            any::<u32>().prop_map(Message::Suggest),
            any::<u32>().prop_map(Message::AllowedFast),
            any::<u16>().prop_map(Message::Port),
            any::<[u8; 3]>().prop_map(|b| Message::Bitfield(Bytes::copy_from_slice(&b))),
            span_any().prop_map(Message::Request),
            span_any().prop_map(Message::Cancel),
            span_any().prop_map(Message::Reject),
            (any::<u32>(), any::<u32>(), bytes(40)).prop_map(|(piece, begin, data)| Message::Piece {
                piece,
                begin,
                data
            }),
            (any::<u8>(), bytes(40)).prop_map(|(id, payload)| Message::Extended { id, payload }),
            (21u8..).prop_map(Message::Unknown),
        ]
    }

    proptest! {
        #[test]
        fn encoded_messages_are_decoded_however_the_stream_is_cut(
            messages in proptest::collection::vec(message_any(), 0..12),
            mut cuts in proptest::collection::vec(0usize..400, 0..12),
        ) {
            let mut bytes = BytesMut::new();
            messages.iter().for_each(|m| encode(m, &mut bytes));
            cuts.sort_unstable();
            prop_assert_eq!(decode_cut(&bytes, &cuts, LIMITS), (messages, None));
        }

        #[test]
        fn arbitrary_bytes_give_the_same_messages_however_they_are_cut(
            // Some lengths are short; otherwise nearly every stream would be refused at the first
            // message.
            parts in proptest::collection::vec(
                (prop_oneof![0u32..20, any::<u32>()], proptest::collection::vec(any::<u8>(), 0..24)), 0..20),
            mut cuts in proptest::collection::vec(0usize..600, 0..16),
            pieces in proptest::option::of(0u32..200),
        ) {
            let mut bytes = Vec::new();
            for (length, body) in &parts {
                bytes.extend_from_slice(&length.to_be_bytes());
                bytes.extend_from_slice(body);
            }
            cuts.sort_unstable();
            let limits = Limits { pieces, metadata: false };
            prop_assert_eq!(decode_cut(&bytes, &cuts, limits), decode_all(&bytes, limits));
            let _ = (partial_piece(&bytes), missing_bytes(&bytes));
        }
    }

    #[test]
    fn a_message_longer_than_any_honest_one_is_refused_at_its_first_four_bytes() {
        let mut buf = BytesMut::from(&u32::MAX.to_be_bytes()[..]);
        assert!(matches!(decode(&mut buf, LIMITS), Err(WireError::TooLong { length: u32::MAX, .. })));
    }

    #[test]
    fn a_block_above_16_kib_is_refused_before_its_data() {
        let mut buf = BytesMut::from(&[0, 0, 0x40, 10, 7][..]);
        assert!(matches!(decode(&mut buf, LIMITS), Err(WireError::TooLong { length: 16394, limit: 16393 })));
    }

    #[test]
    fn a_bitfield_must_have_the_torrents_length_once_that_is_known() {
        let bytes = [0, 0, 0, 3, 5, 1, 2];
        assert!(matches!(
            decode(&mut BytesMut::from(&bytes[..]), LIMITS),
            Err(WireError::Malformed { id: 5, length: 3 })
        ));
        assert_eq!(
            decode(&mut BytesMut::from(&bytes[..]), Limits::default()).unwrap(),
            Some(Message::Bitfield(Bytes::from_static(&[1, 2])))
        );
    }

    #[test]
    fn fixed_messages_of_another_length_are_malformed() {
        for (id, length) in [(0u8, 2u8), (4, 4), (6, 12), (7, 8), (9, 2), (14, 5), (16, 14), (20, 1)] {
            let mut buf = BytesMut::from(&[0, 0, 0, length, id][..]);
            assert!(matches!(decode(&mut buf, LIMITS), Err(WireError::Malformed { .. })), "{id} of {length}");
        }
    }

    #[test]
    fn unknown_messages_are_skipped_with_their_body() {
        let (messages, error) = decode_all(&[0, 0, 0, 4, 99, 1, 2, 3, 0, 0, 0, 1, 1], LIMITS);
        assert_eq!((messages, error), (vec![Message::Unknown(99), Message::Unchoke], None));
    }

    #[test]
    fn a_block_under_way_shows_how_far_it_is() {
        let mut buf = BytesMut::new();
        encode_piece(3, 16384, &[7; 1000], &mut buf);
        assert_eq!(partial_piece(&buf[..12]), None);
        assert_eq!(partial_piece(&buf[..113]), Some(Partial { piece: 3, begin: 16384, here: 100, of: 1000 }));
        assert_eq!(missing_bytes(&buf[..113]), 900);
        assert_eq!(partial_piece(&buf), None);
    }
}
