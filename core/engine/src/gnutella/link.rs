//! A connection to an ultrapeer: the handshake, then messages both ways until either end closes it.
//!
//! The ultrapeer compresses what it sends, as all of them insist on. What we send is not compressed:
//! it is little, and servents hold compressed messages back for half a second.

use super::service::Service;
use bytes::{Bytes, BytesMut};
use playswarm_logic::gnutella::{Input, LinkKey};
use playswarm_logic::token_bucket::TokenBucket;
use playswarm_proto::gnutella::{Handshake, Outcome, Reader, leaf_greeting};
use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::mpsc;

/// Messages that wait for an ultrapeer. One that does not read so many is left.
pub(super) const MAX_WAITING: usize = 256;
/// Bytes of messages that an ultrapeer may send a second, after decompression, and at once. Beyond,
/// nothing is read from it. Real ones send a leaf a few hundred.
const PLAIN_BYTES_PER_S: f64 = 2.0 * 1024.0 * 1024.0;
const PLAIN_BURST_BYTES: f64 = 256.0 * 1024.0;
/// Longest time until an ultrapeer takes a message. One that reads no more is left, whatever it sends.
const STUCK: Duration = Duration::from_secs(20);
/// Bytes that are read at once.
const READ_BYTES: usize = 4 << 10;
/// Status of a ban, and the time for which the servent is left alone then: each connection during a
/// ban prolongs it.
const BANNED: u16 = 429;
const BAN_PAUSE: Duration = Duration::from_secs(60 * 60);

/// An open connection, and what came on it.
struct Open {
    stream: TcpStream,
    reader: Reader,
}

/// Why a connection is not open.
enum NotOpen {
    Failed(io::Error),
    Refused { others: Vec<SocketAddrV4>, banned: Option<Duration> },
}

impl From<io::Error> for NotOpen {
    fn from(error: io::Error) -> NotOpen {
        NotOpen::Failed(error)
    }
}

/// Connects to an ultrapeer, and passes messages on until the connection or the service ends.
/// `outbox` has the messages to send; its end closes the connection.
pub(super) async fn run(
    service: &Service,
    link: LinkKey,
    address: SocketAddrV4,
    mut outbox: mpsc::Receiver<Bytes>,
) -> Input {
    let opened = tokio::select! {
        // Nothing is sent before the connection is open, so that this is the end of the outbox.
        _ = outbox.recv() => return Input::Closed { link },
        opened = open(service, address) => opened,
    };
    match opened {
        Ok(Open { stream, reader }) => {
            tracing::debug!(%address, "connected to an ultrapeer");
            service.tell(Input::Connected { link });
            let (from, to) = stream.into_split();
            let ended = tokio::select! {
                ended = read(service, link, from, reader) => ended,
                ended = write(outbox, to) => ended,
            };
            tracing::debug!(%address, "the connection to an ultrapeer has ended: {ended:?}");
            Input::Closed { link }
        }
        Err(NotOpen::Failed(error)) => {
            tracing::debug!(%address, "cannot connect to an ultrapeer: {error}");
            Input::Closed { link }
        }
        Err(NotOpen::Refused { others, banned }) => Input::Refused { link, others, banned },
    }
}

/// Connects and makes the handshake.
async fn open(service: &Service, address: SocketAddrV4) -> Result<Open, NotOpen> {
    let (network, to) = (service.network(), SocketAddr::from(address));
    network.permit_dial(to).await?;
    let mut stream = network.connect(to).await?;
    stream.set_nodelay(true)?;
    stream.write_all(&leaf_greeting(None, to, service.servent())).await?;
    let mut head = BytesMut::new();
    let (answer, length) = loop {
        if let Some(answer) = Handshake::parse(&head).map_err(io::Error::other)? {
            break answer;
        }
        if stream.read_buf(&mut head).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    };
    match answer.outcome() {
        Outcome::Accepted { confirmation, is_deflated } => {
            stream.write_all(&confirmation).await?;
            let mut reader = Reader::new(is_deflated);
            reader.feed(&head[length..]);
            Ok(Open { stream, reader })
        }
        Outcome::Refused(refusal) => {
            tracing::debug!(%address, "an ultrapeer refuses us: {} {}", refusal.status, refusal.reason);
            let four = |other: SocketAddr| if let SocketAddr::V4(other) = other { Some(other) } else { None };
            let others = refusal.others.into_iter().filter_map(four).collect();
            Err(NotOpen::Refused { others, banned: (refusal.status == BANNED).then_some(BAN_PAUSE) })
        }
        Outcome::NoUltrapeer => Err(io::Error::other("it is no ultrapeer").into()),
    }
}

/// Passes on the messages of an ultrapeer until it closes the connection.
async fn read(service: &Service, link: LinkKey, mut from: OwnedReadHalf, mut reader: Reader) -> io::Result<()> {
    let mut budget = TokenBucket::new(service.now(), PLAIN_BYTES_PER_S, PLAIN_BURST_BYTES, PLAIN_BURST_BYTES);
    let mut counted = reader.plain_bytes();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        while let Some(frame) = reader.next_frame().map_err(io::Error::other)? {
            service.tell(Input::Message { link, frame });
            let (now, plain) = (service.now(), reader.plain_bytes());
            budget.take(now, (plain - counted) as f64);
            counted = plain;
            if let Some(wait) = budget.until(now, 0.0).filter(|wait| !wait.is_zero()) {
                tokio::time::sleep(wait).await;
            }
        }
        match from.read(&mut buffer).await? {
            0 => return Ok(()),
            length => reader.feed(&buffer[..length]),
        }
    }
}

/// Sends messages until there will be no more.
async fn write(mut outbox: mpsc::Receiver<Bytes>, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
    while let Some(message) = outbox.recv().await {
        tokio::time::timeout(STUCK, to.write_all(&message)).await??;
    }
    to.shutdown().await
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_ultrapeer_that_reads_no_more_is_left() {
        let (sender, outbox) = mpsc::channel(4);
        let (to, mut from) = tokio::io::duplex(8);
        let writes = tokio::spawn(write(outbox, to));
        sender.send(Bytes::from_static(b"a query.")).await.unwrap();
        tokio::time::sleep(10 * STUCK).await;
        assert!(!writes.is_finished(), "it has read all that there is");
        from.read_exact(&mut [0; 4]).await.unwrap();
        sender.send(Bytes::from_static(b"another query.")).await.unwrap();
        // What is dropped here is a limit of the leaf, such as that of a flood.
        drop(sender);
        let ended = tokio::time::timeout(2 * STUCK, writes).await.unwrap().unwrap();
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
