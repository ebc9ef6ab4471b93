//! A connection after its handshake: receives messages in batches, and sends many messages per
//! write.
//!
//! Connections are opened in `transport` (dialled) and `listen` (incoming). The driver decides
//! which messages are sent.

use crate::metainfo::InfoHash;
use crate::swarm::handshake::HandshakeError;
use crate::swarm::sockets::Place;
use bytes::{Buf, BytesMut};
use playswarm_logic::Bits;
use playswarm_logic::torrent::greeting::Greeting;
use playswarm_proto::handshake::{HANDSHAKE_BYTES, Handshake, PeerId, Reserved};
use playswarm_proto::wire::{self, Limits, Message, Partial, WireError};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Initial buffer of a read, bytes: a block and some small messages.
const MIN_READ_BYTES: usize = 32 * 1024;
/// Largest buffer of a read on a fast connection, bytes. Larger reads hardly save system calls.
const MAX_READ_BYTES: usize = 256 * 1024;
/// Number of reads that used little of the buffer before it is halved.
const SMALL_READS: u32 = 64;
/// Most messages in one batch, so that a driver never spends long on one peer.
const MAX_BATCH_MESSAGES: usize = 4096;
/// Size beyond which an empty write buffer is freed, bytes.
const KEEP_WRITE_BYTES: usize = 128 * 1024;

/// The transport of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Via {
    #[default]
    /// TCP, with TCP_NODELAY.
    Tcp,
    /// uTP (BEP 29).
    Utp,
}

/// A function that creates the first messages. It is called at the time of sending, so that they
/// are accurate.
pub(crate) type Words<'a> = &'a (dyn Fn() -> Greeting + Send + Sync);

/// The reason why reading from a peer ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// The peer closed the connection in an orderly way.
    #[error("the peer closed the connection")]
    Closed,
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Io(#[from] std::io::Error),
    /// The peer sent an invalid message.
    #[error(transparent)]
    Wire(#[from] WireError),
}

/// A connected stream before its handshake.
pub(crate) struct Raw {
    pub(crate) reader: Box<dyn AsyncRead + Send + Sync + Unpin>,
    pub(crate) writer: Box<dyn AsyncWrite + Send + Sync + Unpin>,
    /// Remote address; IPv4 in IPv4 form even on a dual-stack socket.
    pub(crate) remote: SocketAddr,
    pub(crate) via: Via,
    /// Time in which the connection was established, if we opened it.
    pub(crate) rtt: Option<Duration>,
    /// The place among the sockets that it takes.
    pub(crate) place: Option<Place>,
}

/// A connection to a peer after the handshake.
pub(crate) struct Link {
    /// Remote address. For an incoming connection, the port is not the peer's listening port.
    pub(crate) remote: SocketAddr,
    /// Peer id that the peer claims.
    pub(crate) peer_id: PeerId,
    /// Extensions that the peer supports.
    pub(crate) reserved: Reserved,
    /// Whether the peer opened the connection.
    pub(crate) incoming: bool,
    /// Transport of the connection.
    pub(crate) via: Via,
    /// Time in which a connection that we opened was established: one round trip, or two if a
    /// packet was lost.
    pub(crate) rtt: Option<Duration>,
    /// Pieces that our first messages announced. The driver announces later changes.
    pub(crate) told: Option<Bits>,
    /// Receiving half.
    pub(crate) reader: LinkReader,
    /// Sending half.
    pub(crate) writer: LinkWriter,
    pub(crate) place: Option<Place>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("remote", &self.remote).field("via", &self.via).finish_non_exhaustive()
    }
}

impl Link {
    /// Performs the handshake on a connection that we opened. Our handshake and the first messages
    /// go out in one write. If `patient`, the first messages wait for the peer's answer.
    ///
    /// The caller limits the time.
    pub(crate) async fn dialled(
        raw: Raw,
        info_hash: InfoHash,
        our_id: PeerId,
        words: Words<'_>,
        patient: bool,
    ) -> Result<Link, HandshakeError> {
        let mut writer = LinkWriter::new(raw.writer);
        let mut said = words();
        Handshake { reserved: said.reserved, info_hash, peer_id: our_id }.encode(&mut writer.buf);
        if !patient {
            said.encode(None, raw.remote.ip(), &mut writer.buf);
        }
        writer.flush().await?;
        let mut reader = LinkReader::new(raw.reader);
        let theirs = reader.handshake().await?;
        if theirs.info_hash != info_hash {
            return Err(HandshakeError::WrongTorrent);
        }
        if theirs.peer_id == our_id {
            return Err(HandshakeError::Ourselves);
        }
        if patient {
            said = words();
            said.encode(Some(theirs.reserved), raw.remote.ip(), &mut writer.buf);
            writer.flush().await?;
        } else {
            // The driver's first flush sends this.
            said.encode_rest(theirs.reserved, &mut writer.buf);
        }
        Ok(Link {
            remote: raw.remote,
            peer_id: theirs.peer_id,
            reserved: theirs.reserved,
            incoming: false,
            via: raw.via,
            rtt: raw.rtt,
            place: raw.place,
            told: said.have,
            reader,
            writer,
        })
    }

    /// Performs the handshake on a connection that a peer opened. `words_for` returns the first
    /// messages of the torrent that the peer names, or `None` if we do not have it.
    ///
    /// The caller limits the time.
    pub(crate) async fn accepted(
        raw: Raw,
        our_id: PeerId,
        words_for: impl FnOnce(InfoHash) -> Result<Greeting, HandshakeError>,
    ) -> Result<(InfoHash, Link), HandshakeError> {
        let mut reader = LinkReader::new(raw.reader);
        let theirs = reader.handshake().await?;
        if theirs.peer_id == our_id {
            // Answered all the same, so that the dialling side learns that it reached itself and
            // stops dialling there.
            let ours = Handshake { reserved: theirs.reserved, info_hash: theirs.info_hash, peer_id: our_id };
            let mut writer = LinkWriter::new(raw.writer);
            ours.encode(&mut writer.buf);
            writer.flush().await?;
            return Err(HandshakeError::Ourselves);
        }
        let words = words_for(theirs.info_hash)?;
        let ours = Handshake { reserved: words.reserved, info_hash: theirs.info_hash, peer_id: our_id };
        let mut writer = LinkWriter::new(raw.writer);
        ours.encode(&mut writer.buf);
        words.encode(Some(theirs.reserved), raw.remote.ip(), &mut writer.buf);
        writer.flush().await?;
        let link = Link {
            remote: raw.remote,
            peer_id: theirs.peer_id,
            reserved: theirs.reserved,
            incoming: true,
            via: raw.via,
            rtt: raw.rtt,
            place: raw.place,
            told: words.have,
            reader,
            writer,
        };
        Ok((theirs.info_hash, link))
    }
}

/// The receiving half of a connection.
pub(crate) struct LinkReader {
    source: Box<dyn AsyncRead + Send + Sync + Unpin>,
    buf: BytesMut,
    limits: Limits,
    room: usize,
    small_reads: u32,
    received: u64,
}

impl LinkReader {
    pub(crate) fn new(source: Box<dyn AsyncRead + Send + Sync + Unpin>) -> LinkReader {
        LinkReader {
            source,
            buf: BytesMut::new(),
            limits: Limits::default(),
            room: MIN_READ_BYTES,
            small_reads: 0,
            received: 0,
        }
    }

    /// Sets the number of pieces of the torrent, which bounds a bitfield. Until then it counts as
    /// unknown. `late` tells whether the connection opened before the number was known.
    pub(crate) fn set_pieces(&mut self, pieces: u32, late: bool) {
        self.limits = Limits { pieces: Some(pieces), metadata: late };
    }

    /// Returns all received bytes, protocol overhead included.
    #[cfg(test)]
    pub(crate) fn received_bytes(&self) -> u64 {
        self.received
    }

    async fn handshake(&mut self) -> Result<Handshake, HandshakeError> {
        loop {
            if let Some(handshake) = Handshake::decode(&mut self.buf)? {
                return Ok(handshake);
            }
            // Before the handshake, a peer gets only a small buffer.
            self.buf.reserve(HANDSHAKE_BYTES + 512);
            let n = self.source.read_buf(&mut self.buf).await?;
            self.received += n as u64;
            if n == 0 {
                return Err(HandshakeError::Io(std::io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Waits for received data, then appends every complete message to `out` (at most about 256
    /// KiB). Returns the block that is partly received after them.
    ///
    /// The data may be part of a block only: `out` may be unchanged when the result is `Some`.
    /// Cancel-safe. Blocks in `out` share the read buffer: clear `out` before the next call, so
    /// that the buffer is reused without allocating.
    pub(crate) async fn read_batch(&mut self, out: &mut Vec<Message>) -> Result<Option<Partial>, LinkError> {
        let before = out.len();
        let mut filled = false;
        loop {
            self.drain(out, before)?;
            let partial = wire::partial_piece(&self.buf);
            if out.len() > before || (filled && partial.is_some()) {
                return Ok(partial);
            }
            self.fill().await?;
            filled = true;
        }
    }

    /// Returns the complete messages that came with the handshake, without waiting. An error behind them
    /// is left for [`Self::read_batch`].
    pub(crate) fn buffered(&mut self) -> Vec<Message> {
        let mut out = Vec::new();
        let _ = self.drain(&mut out, 0);
        out
    }

    /// Decodes the buffered messages. An error behind valid messages waits for the next call:
    /// `decode` leaves it in place.
    fn drain(&mut self, out: &mut Vec<Message>, before: usize) -> Result<(), LinkError> {
        let at_start = self.buf.len();
        while at_start - self.buf.len() < MAX_READ_BYTES && out.len() - before < MAX_BATCH_MESSAGES {
            match wire::decode(&mut self.buf, self.limits) {
                Ok(Some(message)) => out.push(message),
                Ok(None) => break,
                Err(e) if out.len() == before => return Err(e.into()),
                Err(_) => break,
            }
        }
        Ok(())
    }

    async fn fill(&mut self) -> Result<(), LinkError> {
        if self.buf.is_empty() && self.buf.capacity() > 2 * self.room {
            self.buf = BytesMut::new();
        }
        self.buf.reserve(self.room.max(wire::missing_bytes(&self.buf).min(MAX_READ_BYTES)));
        let room = self.buf.capacity() - self.buf.len();
        let n = self.source.read_buf(&mut self.buf).await?;
        self.received += n as u64;
        if n == 0 {
            return Err(LinkError::Closed);
        }
        // Fast connections get a larger buffer; those that became quiet get a smaller one.
        if n >= room / 4 * 3 {
            self.room = (self.room * 2).min(MAX_READ_BYTES);
            self.small_reads = 0;
        } else if n < self.room / 8 {
            self.small_reads += 1;
            if self.small_reads >= SMALL_READS {
                self.room = (self.room / 2).max(MIN_READ_BYTES);
                self.small_reads = 0;
            }
        }
        Ok(())
    }
}

/// The sending half of a connection. Queued messages go out in one write if the connection takes
/// it.
pub(crate) struct LinkWriter {
    sink: Box<dyn AsyncWrite + Send + Sync + Unpin>,
    buf: BytesMut,
    sent: u64,
}

impl LinkWriter {
    pub(crate) fn new(sink: Box<dyn AsyncWrite + Send + Sync + Unpin>) -> LinkWriter {
        LinkWriter { sink, buf: BytesMut::new(), sent: 0 }
    }

    /// Appends a message to the next flush.
    pub(crate) fn queue(&mut self, message: &Message) {
        wire::encode(message, &mut self.buf);
    }

    /// Appends a block to the next flush.
    pub(crate) fn queue_piece(&mut self, piece: u32, begin: u32, data: &[u8]) {
        wire::encode_piece(piece, begin, data, &mut self.buf);
    }

    /// Returns the bytes that wait for a flush. Code that queues blocks keeps this low, since
    /// queued data cannot be cancelled.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.buf.len()
    }

    /// Returns all sent bytes, protocol overhead included.
    #[cfg(test)]
    pub(crate) fn sent_bytes(&self) -> u64 {
        self.sent
    }

    /// Writes all queued data. Cancel-safe: unwritten data stays queued.
    pub(crate) async fn flush(&mut self) -> std::io::Result<()> {
        while !self.buf.is_empty() {
            let n = self.sink.write(&self.buf).await?;
            if n == 0 {
                return Err(std::io::ErrorKind::WriteZero.into());
            }
            self.sent += n as u64;
            self.buf.advance(n);
        }
        if self.buf.capacity() > KEEP_WRITE_BYTES {
            self.buf = BytesMut::new();
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn pair() -> (LinkWriter, LinkReader) {
        let (a, b) = tokio::io::duplex(1 << 20);
        (LinkWriter::new(Box::new(a)), LinkReader::new(Box::new(b)))
    }

    #[tokio::test]
    async fn all_that_is_buffered_comes_in_one_batch() {
        let (mut writer, mut reader) = pair();
        let messages = [Message::Unchoke, Message::Have(3), Message::KeepAlive];
        messages.iter().for_each(|m| writer.queue(m));
        writer.flush().await.unwrap();
        assert_eq!(writer.queued_bytes(), 0);
        let mut out = Vec::new();
        assert_eq!(reader.read_batch(&mut out).await.unwrap(), None);
        assert_eq!(out, messages);
        assert_eq!((reader.received_bytes(), writer.sent_bytes()), (18, 18));
    }

    #[tokio::test]
    async fn bytes_of_a_block_under_way_are_news_without_a_message() {
        let (mut writer, mut reader) = pair();
        let mut block = BytesMut::new();
        wire::encode_piece(2, 0, &[5; 1000], &mut block);
        writer.buf.extend_from_slice(&block[..513]);
        writer.flush().await.unwrap();
        let mut out = Vec::new();
        let partial = reader.read_batch(&mut out).await.unwrap();
        assert_eq!((partial, out.len()), (Some(Partial { piece: 2, begin: 0, here: 500, of: 1000 }), 0));
        writer.buf.extend_from_slice(&block[513..]);
        writer.flush().await.unwrap();
        assert_eq!(reader.read_batch(&mut out).await.unwrap(), None);
        assert_eq!(out, [Message::Piece { piece: 2, begin: 0, data: Bytes::from_static(&[5; 1000]) }]);
    }

    #[tokio::test]
    async fn good_messages_before_a_bad_one_still_arrive() {
        let (mut writer, mut reader) = pair();
        writer.queue(&Message::Unchoke);
        writer.buf.extend_from_slice(&[0xff; 8]);
        writer.flush().await.unwrap();
        let mut out = Vec::new();
        reader.read_batch(&mut out).await.unwrap();
        assert_eq!(out, [Message::Unchoke]);
        assert!(matches!(reader.read_batch(&mut out).await, Err(LinkError::Wire(WireError::TooLong { .. }))));
    }

    #[tokio::test]
    async fn a_read_that_is_given_up_loses_nothing() {
        let (mut writer, mut reader) = pair();
        let mut out = Vec::new();
        for i in 0..20 {
            let waited = tokio::time::timeout(Duration::from_millis(1), reader.read_batch(&mut out)).await;
            assert!(waited.is_err());
            writer.queue(&Message::Have(i));
            writer.flush().await.unwrap();
            reader.read_batch(&mut out).await.unwrap();
        }
        assert_eq!(out, (0..20).map(Message::Have).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn the_end_of_the_stream_is_an_orderly_close() {
        let (writer, mut reader) = pair();
        drop(writer);
        assert!(matches!(reader.read_batch(&mut Vec::new()).await, Err(LinkError::Closed)));
    }

    #[tokio::test]
    async fn a_fast_stream_gets_a_large_buffer_and_a_quiet_one_gives_it_back() {
        let (mut writer, mut reader) = pair();
        let data = vec![1; 16384];
        let mut out = Vec::new();
        for _ in 0..20 {
            (0..40).for_each(|i| writer.queue_piece(0, i, &data));
            writer.flush().await.unwrap();
            let mut seen = 0;
            while seen < 40 {
                reader.read_batch(&mut out).await.unwrap();
                seen += out.len();
                out.clear();
            }
        }
        assert_eq!(reader.room, MAX_READ_BYTES);
        for _ in 0..4 * SMALL_READS {
            writer.queue(&Message::KeepAlive);
            writer.flush().await.unwrap();
            reader.read_batch(&mut out).await.unwrap();
            out.clear();
        }
        assert_eq!(reader.room, MIN_READ_BYTES);
        assert!(reader.buf.capacity() <= 2 * MIN_READ_BYTES);
    }
}
