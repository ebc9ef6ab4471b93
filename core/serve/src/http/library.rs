//! What is served: an open torrent, or in tests files in memory.

use bytes::Bytes;
use playswarm::{Event, Metainfo, Result, SeekPoint, Stream, Timeline, TorrentHandle, TorrentStatus};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;

/// Files that can be read, and a state that can be watched.
pub(crate) trait Library: Clone + Send + Sync + 'static {
    /// A reader of one file.
    type Reader: Reader;
    /// Returns the description of the files.
    fn metainfo(&self) -> &Arc<Metainfo>;
    /// Opens a reader at the start of a file.
    fn open(&self, file: usize) -> Result<Self::Reader>;
    /// Whether every piece of a file is here or held by a connected peer.
    fn is_available(&self, file: usize) -> bool;
    /// Returns the timeline of a file once its index was read. The read continues when the future
    /// is dropped.
    fn timeline(&self, file: usize) -> impl Future<Output = Result<Arc<Timeline>>> + Send;
    /// Returns the timeline of a file, if it is known by now.
    fn known_timeline(&self, file: usize) -> Option<Arc<Timeline>>;
    /// Returns where to read for a time.
    fn locate(&self, file: usize, time: Duration) -> impl Future<Output = Result<SeekPoint>> + Send;
    /// Starts to fetch the film from a seek point on.
    fn prefetch_from(&self, file: usize, seek_point: SeekPoint);
    /// Learns the durations of all files while no player has to wait.
    fn learn_durations(&self) -> impl Future<Output = ()> + Send + 'static;
    /// Returns a snapshot of the state.
    fn status(&self) -> TorrentStatus;
    /// Subscribes to the events from now on.
    fn events(&self) -> broadcast::Receiver<Event>;
}

/// A reader of one file. See [`Stream`], whose methods these are.
pub(crate) trait Reader: Send + 'static {
    /// Moves the position.
    fn seek_to(&mut self, position: u64);
    /// Excludes the bytes from `end` on from the read-ahead.
    fn set_end(&mut self, end: u64);
    /// Returns how many bytes can be read at the position without waiting, counted up to `most`.
    fn buffered(&self, most: u64) -> u64;
    /// Returns how many bytes a second of playback takes at the position. `None` where that is not
    /// known.
    fn bytes_per_s(&self) -> Option<f64>;
    /// Returns up to `max` bytes as soon as there are any. Empty at the end of the file.
    fn read_chunk(&mut self, max: usize) -> impl Future<Output = Result<Bytes>> + Send;
}

impl Library for TorrentHandle {
    type Reader = Stream;
    fn metainfo(&self) -> &Arc<Metainfo> {
        TorrentHandle::metainfo(self)
    }
    fn open(&self, file: usize) -> Result<Stream> {
        self.stream(file)
    }
    fn is_available(&self, file: usize) -> bool {
        TorrentHandle::is_available(self, file)
    }
    fn timeline(&self, file: usize) -> impl Future<Output = Result<Arc<Timeline>>> + Send {
        self.request_timeline(file);
        TorrentHandle::timeline(self, file)
    }
    fn known_timeline(&self, file: usize) -> Option<Arc<Timeline>> {
        TorrentHandle::known_timeline(self, file)
    }
    fn locate(&self, file: usize, time: Duration) -> impl Future<Output = Result<SeekPoint>> + Send {
        TorrentHandle::locate(self, file, time)
    }
    fn prefetch_from(&self, file: usize, seek_point: SeekPoint) {
        TorrentHandle::prefetch_from(self, file, seek_point);
    }
    fn learn_durations(&self) -> impl Future<Output = ()> + Send + 'static {
        TorrentHandle::learn_durations(self)
    }
    fn status(&self) -> TorrentStatus {
        TorrentHandle::status(self)
    }
    fn events(&self) -> broadcast::Receiver<Event> {
        TorrentHandle::events(self)
    }
}

impl Reader for Stream {
    fn seek_to(&mut self, position: u64) {
        Stream::seek_to(self, position);
    }
    fn set_end(&mut self, end: u64) {
        Stream::set_end(self, end);
    }
    fn buffered(&self, most: u64) -> u64 {
        Stream::buffered(self, most)
    }
    fn bytes_per_s(&self) -> Option<f64> {
        Stream::bytes_per_s(self)
    }
    fn read_chunk(&mut self, max: usize) -> impl Future<Output = Result<Bytes>> + Send {
        Stream::read_chunk(self, max)
    }
}
