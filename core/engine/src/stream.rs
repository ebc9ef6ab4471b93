//! A reader of one file: asynchronous, or blocking with a canceller.

use crate::error::{Error, Result};
use crate::swarm::readers::Purpose;
use crate::torrent_handle::Inner;
use bytes::Bytes;
use playswarm_logic::ReaderKey;
use playswarm_logic::torrent::Input;
use playswarm_media::SeekPoint;
use std::future::Future;
use std::io::{self, SeekFrom};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncSeek, ReadBuf};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// Bytes that [`AsyncRead`] reads at once: enough for cheap copying, and few enough that a seek
/// discards little.
const READ_BYTES: usize = 256 << 10;

/// A seekable reader of one file of a torrent.
///
/// Seeking never waits; reading waits for verified bytes. Dropping the reader frees its window at
/// once. It keeps its torrent open, even after the [`TorrentHandle`](crate::TorrentHandle) was dropped.
pub struct Stream {
    cursor: Arc<Cursor>,
    position: u64,
    /// Bytes that were fetched for [`AsyncRead`] and not yet consumed.
    left: Bytes,
    pending: Option<Pin<Box<dyn Future<Output = Result<Bytes>> + Send + Sync>>>,
}

/// A reader's position in the swarm. The swarm knows it from the first read until it is dropped. A
/// player that opens a file and seeks before it reads therefore causes no fetch of the beginning.
struct Cursor {
    media: Arc<Inner>,
    key: OnceLock<ReaderKey>,
    file: usize,
    start: u64,
    size: u64,
    /// End of the range that is read, in bytes of the file; see [`Stream::set_end`].
    end: AtomicU64,
}

impl Drop for Cursor {
    fn drop(&mut self) {
        if let Some(key) = self.key.get() {
            self.media.swarm.tell(Input::ReaderClosed(*key));
        }
    }
}

impl Stream {
    pub(crate) fn new(media: Arc<Inner>, file: usize, start: u64, size: u64) -> Stream {
        let cursor = Cursor { media, key: OnceLock::new(), file, start, size, end: AtomicU64::new(size) };
        Stream { cursor: Arc::new(cursor), position: 0, left: Bytes::new(), pending: None }
    }

    /// Returns the size of the file in bytes.
    pub fn size(&self) -> u64 {
        self.cursor.size
    }

    /// Returns the position of the next byte that will be read.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Moves to a position at once, even past the end, where reads return nothing. Cancels requests
    /// outside of the new window.
    pub fn seek_to(&mut self, position: u64) {
        if position == self.position && self.pending.is_none() {
            return;
        }
        self.pending = None;
        self.left = Bytes::new();
        self.position = position;
        let c = &self.cursor;
        if let Some(key) = c.key.get() {
            c.media.swarm.tell(Input::ReaderSought(*key, c.start + position.min(c.size)));
        }
    }

    /// Seeks to the keyframe at or before a time, and starts to fetch from there at once. A time
    /// past the end counts as the end.
    ///
    /// With a file's whole index known, this does not wait; see
    /// [`TorrentHandle::timeline`](crate::TorrentHandle::timeline) for when it must. The [seek point](SeekPoint) states
    /// the position reached, and whether it is an estimate.
    ///
    /// # Errors
    /// Those of [`TorrentHandle::timeline`](crate::TorrentHandle::timeline); the position is then unchanged.
    pub async fn seek_to_time(&mut self, time: Duration) -> Result<SeekPoint> {
        let seek_point = self.cursor.media.locate(self.cursor.file, time).await?;
        self.seek_to(seek_point.from);
        self.cursor.key(self.position);
        Ok(seek_point)
    }

    /// Returns the presentation time at the position, where the file's timeline is known.
    pub fn time(&self) -> Option<Duration> {
        self.cursor.media.swarm.timeline(self.cursor.file).map(|t| t.time_at(self.position))
    }

    /// Reads up to `max` verified bytes from the position, without a copy. Returns none at the end
    /// of the file and for a `max` of 0. Dropping the future before it is done changes nothing.
    ///
    /// # Errors
    /// [`Error::Closed`] once the session is closed, [`Error::Storage`] where bytes on disk cannot
    /// be read.
    pub async fn read_chunk(&mut self, max: usize) -> Result<Bytes> {
        self.pending = None;
        if !self.left.is_empty() {
            let n = self.left.len().min(max);
            self.position += n as u64;
            return Ok(self.left.split_to(n));
        }
        let bytes = self.cursor.clone().read(self.position, max).await?;
        self.position += bytes.len() as u64;
        Ok(bytes)
    }

    /// Reads like [`Stream::read_chunk`], but only from memory: never waits. Returns `None` where
    /// nothing is in memory ([`Stream::ready`] ends when something is).
    ///
    /// # Errors
    /// [`Error::Closed`] once the session is closed.
    pub fn try_read_chunk(&mut self, max: usize) -> Result<Option<Bytes>> {
        self.pending = None;
        let c = &self.cursor;
        let bytes = if !self.left.is_empty() {
            self.left.split_to(self.left.len().min(max))
        } else if self.position >= c.size || max == 0 {
            return Ok(Some(Bytes::new()));
        } else {
            let max = max.min(usize::try_from(c.size - self.position).unwrap_or(usize::MAX));
            match c.media.swarm.try_read(c.key(self.position), c.start + self.position, max)? {
                Some(bytes) => bytes,
                None => return Ok(None),
            }
        };
        self.position += bytes.len() as u64;
        Ok(Some(bytes))
    }

    /// Waits until [`Stream::try_read_chunk`] would return bytes at this position, with the urgency
    /// of a read. The future does not borrow the stream, so another thread can seek in the
    /// meantime.
    ///
    /// # Errors
    /// Those of [`Stream::read_chunk`].
    pub fn ready(&self) -> impl Future<Output = Result<()>> + Send + use<> {
        let (cursor, position) = (self.cursor.clone(), self.position);
        async move {
            if position >= cursor.size {
                return Ok(());
            }
            let key = cursor.key(position);
            cursor.media.swarm.find(key, cursor.start + position).await.map(drop)
        }
    }

    /// Returns the number of bytes from `position` on that can be read without waiting for the
    /// swarm.
    pub fn readable_at(&self, position: u64) -> u64 {
        self.cursor.readable_at(position)
    }

    /// Returns the number of bytes from the current position on that can be read without waiting
    /// for the swarm, counted up to `most`.
    ///
    /// Its cost grows with `most` alone, that of [`Stream::readable_at`] with all buffered bytes.
    pub fn buffered(&self, most: u64) -> u64 {
        let c = &self.cursor;
        let most = most.min(c.size.saturating_sub(self.position));
        let left = self.left.len() as u64;
        let stored = c.media.swarm.readable_within(c.start + self.position + left, most.saturating_sub(left));
        (left + stored).min(most)
    }

    /// Returns the bytes per second of playback at the position, from the file's index. `None`
    /// where the index is not known, or gives no duration.
    pub fn bytes_per_s(&self) -> Option<f64> {
        let timeline = self.cursor.media.swarm.timeline(self.cursor.file)?;
        timeline.bytes_per_s(timeline.time_at(self.position))
    }

    /// Returns a watcher of changes to [`Stream::readable_at`]. It keeps the torrent open like the
    /// stream.
    pub fn readable(&self) -> Readable {
        Readable { cursor: self.cursor.clone() }
    }

    /// Sets the media's rate in bytes per second, where the caller knows it. Deadlines are derived
    /// from it. Without it the rate is measured from the reads.
    pub fn set_rate(&self, bytes_per_s: f64) {
        self.cursor.media.swarm.tell(Input::ReaderRate(self.cursor.key(self.position), bytes_per_s));
    }

    /// Sets the end of the range to read, in bytes of the file; by default the end of the file.
    /// Nothing from `end` on is fetched for this stream, which serves requests of a part of a file.
    /// It limits the read-ahead, not the reads.
    pub fn set_end(&mut self, end: u64) {
        let c = &self.cursor;
        let end = end.min(c.size);
        c.end.store(end, Ordering::Relaxed);
        if let Some(key) = c.key.get() {
            c.media.swarm.tell(Input::ReaderEnd(*key, c.start + end));
        }
    }

    /// Converts this reader to a blocking [`io::Read`] and [`io::Seek`], for threads outside of the
    /// runtime.
    pub fn into_blocking(self) -> BlockingStream {
        BlockingStream {
            runtime: self.cursor.media.runtime.clone(),
            stream: self,
            cancel: Canceller { token: Arc::new(parking_lot::Mutex::new(CancellationToken::new())) },
        }
    }
}

/// Watches how much of a file can be read, independently of its [`Stream`].
pub struct Readable {
    cursor: Arc<Cursor>,
}

impl Readable {
    /// Returns the same as [`Stream::readable_at`].
    pub fn at(&self, position: u64) -> u64 {
        self.cursor.readable_at(position)
    }

    /// Waits until `at(position)` differs from `known`.
    ///
    /// # Errors
    /// [`Error::Closed`] once the torrent is closed.
    pub async fn changed(&self, position: u64, known: u64) -> Result<()> {
        let swarm = &self.cursor.media.swarm;
        loop {
            let mut news = std::pin::pin!(swarm.news());
            // Registered before the check, so that no change in between is missed.
            news.as_mut().enable();
            if swarm.is_closed() {
                return Err(Error::Closed);
            }
            if self.at(position) != known {
                return Ok(());
            }
            news.await;
        }
    }
}

impl Cursor {
    fn readable_at(&self, position: u64) -> u64 {
        if position >= self.size {
            return 0;
        }
        self.media.swarm.readable(self.start + position).min(self.size - position)
    }

    fn key(&self, position: u64) -> ReaderKey {
        *self.key.get_or_init(|| {
            let end = self.end.load(Ordering::Relaxed);
            let position = self.start + position.min(self.size);
            self.media.learn_time(self.file);
            self.media.swarm.open_reader(Purpose::Play, self.file, self.start, self.start + end, position)
        })
    }

    async fn read(self: Arc<Self>, position: u64, max: usize) -> Result<Bytes> {
        if position >= self.size || max == 0 {
            return Ok(Bytes::new());
        }
        let max = max.min(usize::try_from(self.size - position).unwrap_or(usize::MAX));
        let key = self.key(position);
        let bytes = self.media.swarm.read(key, self.start + position, max).await?;
        if position == 0 {
            self.media.learn_time_from(self.file, &bytes);
        }
        Ok(bytes)
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if self.left.is_empty() {
            let (cursor, position) = (self.cursor.clone(), self.position);
            let pending = self.pending.get_or_insert_with(|| Box::pin(cursor.read(position, READ_BYTES)));
            let done = std::task::ready!(pending.as_mut().poll(cx));
            self.pending = None;
            self.left = done?;
        }
        let n = self.left.len().min(buf.remaining());
        buf.put_slice(&self.left.split_to(n));
        self.position += n as u64;
        Poll::Ready(Ok(()))
    }
}

fn target(size: u64, position: u64, to: SeekFrom) -> io::Result<u64> {
    let (base, by) = match to {
        SeekFrom::Start(n) => (n, 0),
        SeekFrom::End(by) => (size, by),
        SeekFrom::Current(by) => (position, by),
    };
    base.checked_add_signed(by)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the seek leads before the start of the file"))
}

impl AsyncSeek for Stream {
    fn start_seek(mut self: Pin<&mut Self>, to: SeekFrom) -> io::Result<()> {
        let position = target(self.size(), self.position, to)?;
        self.seek_to(position);
        Ok(())
    }

    fn poll_complete(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        Poll::Ready(Ok(self.position))
    }
}

/// A [`Stream`] for threads: [`io::Read`] and [`io::Seek`], cancelled by its [`Canceller`].
///
/// It blocks, so do not use it on a thread that drives the runtime.
///
/// ```
/// use playswarm::{Config, CreateOptions, ErrorKind, Session, Source, create_torrent};
/// use std::io::{Read, Seek, SeekFrom};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
/// let runtime = tokio::runtime::Runtime::new()?;
/// std::fs::write(dir.join("clip.mp4"), b"only a few bytes")?;
/// let (session, stream) = runtime.block_on(async {
///     let torrent = create_torrent(dir.join("clip.mp4"), CreateOptions::default(), |_, _| {}).await?.torrent;
///     let session = Session::new(Config::offline(dir)).await?;
///     let media = session.open(Source::from(&torrent)).await?;
///     // Accepts the existing file; without this, the stream would wait for peers.
///     media.recheck(|_, _| {}).await?;
///     Ok::<_, playswarm::Error>((session, media.stream(0)?))
/// })?;
///
/// let mut stream = stream.into_blocking();
/// stream.seek(SeekFrom::Start(5))?;
/// let mut text = String::new();
/// stream.read_to_string(&mut text)?;
/// assert_eq!(text, "a few bytes");
///
/// // From any thread:
/// stream.canceller().cancel();
/// stream.rewind()?;
/// assert_eq!(stream.read_chunk(10).unwrap_err().kind(), ErrorKind::Cancelled);
/// # runtime.block_on(session.close());
/// # Ok(())
/// # }
/// ```
pub struct BlockingStream {
    stream: Stream,
    runtime: Handle,
    cancel: Canceller,
}

impl BlockingStream {
    /// Returns the size of the file in bytes.
    pub fn size(&self) -> u64 {
        self.stream.size()
    }

    /// Returns a handle that cancels the reads of this stream, from any thread.
    pub fn canceller(&self) -> Canceller {
        self.cancel.clone()
    }

    /// Reads like [`Stream::read_chunk`].
    ///
    /// # Errors
    /// [`Error::Cancelled`] while its canceller is set, [`Error::Closed`] once the session is
    /// closed.
    pub fn read_chunk(&mut self, max: usize) -> Result<Bytes> {
        let BlockingStream { stream, runtime, cancel } = self;
        cancel.unless_cancelled(runtime, stream.read_chunk(max))
    }

    /// Seeks like [`Stream::seek_to_time`].
    ///
    /// # Errors
    /// [`Error::Cancelled`] while its canceller is set, and those of [`Stream::seek_to_time`].
    pub fn seek_to_time(&mut self, time: Duration) -> Result<SeekPoint> {
        let BlockingStream { stream, runtime, cancel } = self;
        cancel.unless_cancelled(runtime, stream.seek_to_time(time))
    }

    /// Returns the same as [`Stream::time`].
    pub fn time(&self) -> Option<Duration> {
        self.stream.time()
    }
}

impl io::Read for BlockingStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let bytes = self.read_chunk(buf.len())?;
        buf[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }
}

impl io::Seek for BlockingStream {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = target(self.size(), self.stream.position(), to)?;
        self.stream.seek_to(position);
        Ok(position)
    }
}

/// Cancels the reads of a [`BlockingStream`], from any thread: the current read and all later ones,
/// until [`Canceller::reset`].
#[derive(Clone, Debug)]
pub struct Canceller {
    token: Arc<parking_lot::Mutex<CancellationToken>>,
}

impl Canceller {
    fn unless_cancelled<T>(&self, runtime: &Handle, work: impl Future<Output = Result<T>>) -> Result<T> {
        let token = self.token.lock().clone();
        runtime.block_on(async {
            tokio::select! {
                biased;
                () = token.cancelled() => Err(Error::Cancelled),
                done = work => done,
            }
        })
    }

    /// Ends the current read and all later ones with [`Error::Cancelled`].
    pub fn cancel(&self) {
        self.token.lock().cancel();
    }

    /// Allows reads again.
    pub fn reset(&self) {
        let mut token = self.token.lock();
        if token.is_cancelled() {
            *token = CancellationToken::new();
        }
    }

    /// Returns whether reads currently end with [`Error::Cancelled`].
    pub fn is_cancelled(&self) -> bool {
        self.token.lock().is_cancelled()
    }
}
