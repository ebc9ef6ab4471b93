//! A reader of one file: asynchronous, or blocking with a canceller.

use crate::Result;
use bytes::Bytes;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncSeek, ReadBuf};

/// A seekable reader of one file of a torrent. Seeking never waits; reading waits for verified bytes.
/// Dropping it frees its window at once.
pub struct Stream {}

impl Stream {
    /// Bytes of the file.
    pub fn size(&self) -> u64 {
        todo!()
    }
    /// The next byte that will be read.
    pub fn position(&self) -> u64 {
        todo!()
    }
    /// Moves there at once, past the end too (reads then give nothing). Requests outside the new window are cancelled.
    pub fn seek_to(&mut self, position: u64) {
        let _ = position;
        todo!()
    }
    /// Up to `max` verified bytes from the position on, without a copy; empty at the end. Cancel-safe.
    pub async fn read_chunk(&mut self, max: usize) -> Result<Bytes> {
        let _ = max;
        todo!()
    }
    /// How many bytes from `position` on can be read without waiting.
    pub fn readable_at(&self, position: u64) -> u64 {
        let _ = position;
        todo!()
    }
    /// The same reader as a blocking `Read + Seek`, for threads outside of the runtime.
    pub fn into_blocking(self) -> BlockingStream {
        todo!()
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, _cx: &mut Context<'_>, _buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        todo!()
    }
}

impl AsyncSeek for Stream {
    fn start_seek(self: Pin<&mut Self>, _position: std::io::SeekFrom) -> std::io::Result<()> {
        todo!()
    }
    fn poll_complete(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<std::io::Result<u64>> {
        todo!()
    }
}

/// A [`Stream`] for threads: `Read + Seek`, cancelled from elsewhere by its [`Canceller`].
pub struct BlockingStream {}

/// Cancels a [`BlockingStream`] from any thread: sticky until reset.
#[derive(Clone)]
pub struct Canceller {}
