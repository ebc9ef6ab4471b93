//! What a stream reads: a file of a torrent, which has a size, or a live channel, which has none.

use bytes::Bytes;
use engine::live::{LiveReadable, LiveStream};
use engine::{Error, Result, Stream};
use std::pin::Pin;
use std::time::Duration;

/// A reader of a file or of a channel.
pub(crate) enum Reader {
    File(Stream),
    Live(LiveStream),
}

impl Reader {
    /// Reads up to `capacity` bytes that are here, none at the end. `None` where nothing is here.
    pub(crate) fn try_read_chunk(&mut self, capacity: usize) -> Result<Option<Bytes>> {
        match self {
            Reader::File(stream) => stream.try_read_chunk(capacity),
            Reader::Live(stream) => stream.try_read_chunk(capacity),
        }
    }

    /// Waits until there is something to read. The future does not borrow the reader.
    pub(crate) fn ready(&self) -> Pin<Box<dyn Future<Output = Result<()>> + Send>> {
        match self {
            Reader::File(stream) => Box::pin(stream.ready()),
            Reader::Live(stream) => Box::pin(stream.ready()),
        }
    }

    pub(crate) fn size(&self) -> Result<u64> {
        match self {
            Reader::File(stream) => Ok(stream.size()),
            Reader::Live(_) => Err(Error::NoSize),
        }
    }

    pub(crate) fn position(&self) -> u64 {
        match self {
            Reader::File(stream) => stream.position(),
            Reader::Live(stream) => stream.position(),
        }
    }

    /// Moves to a position. A channel has only the one at which its reader is.
    pub(crate) fn seek_to(&mut self, position: u64) -> Result<()> {
        match self {
            Reader::File(stream) => stream.seek_to(position),
            Reader::Live(stream) if stream.position() == position => {}
            Reader::Live(_) => return Err(Error::NoSize),
        }
        Ok(())
    }

    pub(crate) fn readable_at(&self, position: u64) -> u64 {
        match self {
            Reader::File(stream) => stream.readable_at(position),
            Reader::Live(stream) => stream.readable_at(position),
        }
    }

    pub(crate) fn readable(&self) -> Readable {
        match self {
            Reader::File(stream) => Readable::File(stream.readable()),
            Reader::Live(stream) => Readable::Live(stream.readable()),
        }
    }

    /// Sets the rate of a file. The source of a channel states its rate.
    pub(crate) fn set_rate(&self, bytes_per_s: f64) {
        if let Reader::File(stream) = self {
            stream.set_rate(bytes_per_s);
        }
    }

    pub(crate) fn time(&self) -> Option<Duration> {
        match self {
            Reader::File(stream) => stream.time(),
            Reader::Live(_) => None,
        }
    }
}

/// Watches how much can be read.
pub(crate) enum Readable {
    File(engine::Readable),
    Live(LiveReadable),
}

impl Readable {
    pub(crate) fn at(&self, position: u64) -> u64 {
        match self {
            Readable::File(readable) => readable.at(position),
            Readable::Live(readable) => readable.at(position),
        }
    }

    /// Waits until `at(position)` differs from `known`. Fails at the end.
    pub(crate) async fn changed(&self, position: u64, known: u64) -> Result<()> {
        match self {
            Readable::File(readable) => readable.changed(position, known).await,
            Readable::Live(readable) => readable.changed(position, known).await,
        }
    }
}
