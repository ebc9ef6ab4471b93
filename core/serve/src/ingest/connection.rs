//! One connection of an encoder, whatever its protocol. The first bytes tell which it is.

use super::http::Http;
use super::raw::Raw;
use super::rtmp::Rtmp;
use super::sender::Sender;
use super::{Shared, raw};
use crate::admission::State;
use crate::places::Held;
use bytes::Bytes;
use playswarm::live::protocol::ingest::Refusal;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

/// Longest silence of a client that does not send a stream. After it, one that does is asked whether
/// it still has its place.
const SILENCE: Duration = Duration::from_secs(10);
/// Longest wait for a client to take an answer.
const ANSWER: Duration = Duration::from_secs(10);
/// Time for which a refused client may go on sending. It would lose the answer if its bytes found
/// the socket closed.
const LINGER: Duration = Duration::from_secs(2);
/// Bytes that are read at once.
const READ_BYTES: usize = 64 << 10;
/// First byte of RTMP: its version.
const RTMP: u8 = 3;

/// What a protocol does with the bytes of a connection.
pub(super) trait Protocol {
    /// Takes the next bytes.
    fn feed(&mut self, bytes: &[u8]);
    /// Handles the next event that they contain. `None` if there is none.
    fn step(&mut self, sender: &mut Sender) -> Option<Result<(), Refusal>>;
    /// Makes the answer of a refusal, and takes no more.
    fn refuse(&mut self, refusal: &Refusal);
    /// Notes that the client sends no more.
    fn end(&mut self) {}
    /// Returns the bytes for the client.
    fn take_output(&mut self) -> Bytes;
    /// Whether the connection is to be closed after its output.
    fn is_closed(&self) -> bool;
}

/// Serves a connection until it ends.
pub(super) async fn serve(mut stream: TcpStream, peer: SocketAddr, held: Held, shared: Arc<Shared>) {
    let done = tokio::select! {
        () = held.activity.closed.cancelled() => Ok(()),
        done = served(&mut stream, peer, &held, shared) => done,
    };
    if let Err(e) = done {
        tracing::debug!(%peer, "the connection of an encoder broke off: {e}");
    }
}

async fn served(stream: &mut TcpStream, peer: SocketAddr, held: &Held, shared: Arc<Shared>) -> io::Result<()> {
    let mut first = Vec::new();
    let until = Instant::now() + SILENCE;
    while first.len() < raw::TOLD_BY {
        let read = timeout_at(until, stream.read_buf(&mut first)).await.map_err(|_| io::ErrorKind::TimedOut)??;
        if read == 0 {
            return Ok(());
        }
    }
    let sender = |protocol| Sender::new(shared.desk.clone(), protocol, peer);
    match first[0] {
        RTMP => talk(stream, held, Rtmp::new(shared.clone()), sender("RTMP"), first).await,
        _ if raw::is_mpeg_ts(&first) => talk(stream, held, Raw::new(shared.clone()), sender("MPEG-TS"), first).await,
        _ => talk(stream, held, Http::new(shared.clone()), sender("HTTP"), first).await,
    }
}

/// Handles all that these bytes contain, up to a refusal.
fn handle(protocol: &mut impl Protocol, bytes: &[u8], sender: &mut Sender) {
    protocol.feed(bytes);
    while let Some(done) = protocol.step(sender) {
        if let Err(refusal) = done {
            tracing::info!(status = refusal.status, "an encoder is refused: {refusal}");
            return protocol.refuse(&refusal);
        }
    }
}

async fn talk(
    stream: &mut TcpStream,
    held: &Held,
    mut protocol: impl Protocol,
    mut sender: Sender,
    mut bytes: Vec<u8>,
) -> io::Result<()> {
    loop {
        match bytes.is_empty() {
            true => protocol.end(),
            false => handle(&mut protocol, &bytes, &mut sender),
        }
        let output = protocol.take_output();
        timeout(ANSWER, stream.write_all(&output)).await.map_err(|_| io::ErrorKind::TimedOut)??;
        if bytes.is_empty() {
            return Ok(());
        }
        if protocol.is_closed() {
            break;
        }
        if sender.has_begun() {
            // From now on no newcomer gets its place in the server.
            held.activity.set(State::Served(None));
        }
        bytes.clear();
        bytes.reserve(READ_BYTES);
        while timeout(SILENCE, stream.read_buf(&mut bytes)).await.map_or(Ok(true), |read| read.map(|_| false))? {
            if !sender.has_begun() || sender.is_replaced() {
                return Ok(());
            }
        }
    }
    // The next encoder need not wait for this one to read its answer.
    drop(sender);
    stream.shutdown().await?;
    let until = Instant::now() + LINGER;
    loop {
        bytes.clear();
        match timeout_at(until, stream.read_buf(&mut bytes)).await {
            Ok(Ok(read)) if read > 0 => {}
            _ => return Ok(()),
        }
    }
}
