//! What the front serves, as it sees it: an open torrent, or in tests a few bytes in memory.

use crate::{Event, Landing, Media, MediaStatus, Result, Stream, Timeline, Torrent};
use bytes::Bytes;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;

/// Something with files that can be read and a state that can be watched.
pub(crate) trait Library: Clone + Send + Sync + 'static {
    /// A reader of one file.
    type Reader: Reader;
    /// What is in it.
    fn torrent(&self) -> &Arc<Torrent>;
    /// A reader of that file, at its start.
    fn open(&self, file: usize) -> Result<Self::Reader>;
    /// Whether each part of a file is here or held by a connected peer.
    fn is_in_reach(&self, file: usize) -> bool;
    /// What the file's index says, as soon as it was read. Given up, it is read on.
    fn timeline(&self, file: usize) -> impl Future<Output = Result<Arc<Timeline>>> + Send;
    /// The same, if it is known by now.
    fn known_timeline(&self, file: usize) -> Option<Arc<Timeline>>;
    /// Where to read for a time.
    fn locate(&self, file: usize, time: Duration) -> impl Future<Output = Result<Landing>> + Send;
    /// Begins to fetch from there, for whoever is about to ask for it.
    fn fetch_from(&self, file: usize, landing: Landing);
    /// Learns the durations of all files, in nobody's way.
    fn learn_durations(&self) -> impl Future<Output = ()> + Send + 'static;
    /// A snapshot.
    fn status(&self) -> MediaStatus;
    /// Events from now on.
    fn events(&self) -> broadcast::Receiver<Event>;
}

/// See [`Stream`], whose face this is.
pub(crate) trait Reader: Send + 'static {
    /// Moves there at once.
    fn seek_to(&mut self, position: u64);
    /// Nothing from there on will be read.
    fn set_end(&mut self, end: u64);
    /// How many bytes lie ready at the position, as far as `most`, and how many the film takes a second there; `None` where
    /// that is not known.
    fn held(&self, most: u64) -> Option<(u64, f64)>;
    /// Up to `max` bytes, as soon as there are any; empty at the end.
    fn read_chunk(&mut self, max: usize) -> impl Future<Output = Result<Bytes>> + Send;
}

impl Library for Media {
    type Reader = Stream;
    fn torrent(&self) -> &Arc<Torrent> {
        Media::torrent(self)
    }
    fn open(&self, file: usize) -> Result<Stream> {
        self.stream(file)
    }
    fn is_in_reach(&self, file: usize) -> bool {
        Media::is_in_reach(self, file)
    }
    fn timeline(&self, file: usize) -> impl Future<Output = Result<Arc<Timeline>>> + Send {
        self.inner.learn_time(file);
        Media::timeline(self, file)
    }
    fn known_timeline(&self, file: usize) -> Option<Arc<Timeline>> {
        Media::known_timeline(self, file)
    }
    fn locate(&self, file: usize, time: Duration) -> impl Future<Output = Result<Landing>> + Send {
        Media::locate(self, file, time)
    }
    fn fetch_from(&self, file: usize, landing: Landing) {
        Media::fetch_from(self, file, landing);
    }
    fn learn_durations(&self) -> impl Future<Output = ()> + Send + 'static {
        self.learn_all()
    }
    fn status(&self) -> MediaStatus {
        Media::status(self)
    }
    fn events(&self) -> broadcast::Receiver<Event> {
        Media::events(self)
    }
}

impl Reader for Stream {
    fn seek_to(&mut self, position: u64) {
        Stream::seek_to(self, position);
    }
    fn set_end(&mut self, end: u64) {
        Stream::set_end(self, end);
    }
    fn held(&self, most: u64) -> Option<(u64, f64)> {
        Stream::held(self, most)
    }
    fn read_chunk(&mut self, max: usize) -> impl Future<Output = Result<Bytes>> + Send {
        Stream::read_chunk(self, max)
    }
}
