//! A handle of one open torrent.

use crate::discovery::source::mirror;
use crate::error::{Error, Result};
use crate::metainfo::{ChooseFile, FileEntry, InfoHash, Metainfo, Sidecars};
use crate::player::Player;
use crate::season;
use crate::session::Shared;
use crate::status::{Event, TorrentStatus};
use crate::stream::Stream;
use crate::subtitles;
use crate::swarm::driver::Swarm;
use crate::swarm::listen::Registry;
use crate::swarm::survey::SlotCount;
use crate::timeline::{self, Timelines};
use playswarm_media::{Container, SeekPoint, Timeline};
use playswarm_proto::PeerAddress;
use playswarm_proto::gnutella::Guid;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::runtime::Handle;

/// An open torrent. Cheap to clone.
///
/// When the last clone and the last of its streams are dropped, the torrent is closed, or continues
/// in the background (see [`Config::keep`](crate::Config::keep)).
#[derive(Clone)]
pub struct TorrentHandle {
    pub(crate) inner: Arc<Inner>,
    /// The torrent of `inner`, with the files that this handle's link selects.
    metainfo: Arc<Metainfo>,
}

/// The state that clones and streams share. Dropping it closes the swarm, or hands it over.
pub(crate) struct Inner {
    pub(crate) swarm: Arc<Swarm>,
    pub(crate) metainfo: Arc<Metainfo>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) session: Weak<Shared>,
    /// Whether the torrent was read or requested as a whole: only then is it kept.
    pub(crate) wanted: AtomicBool,
    pub(crate) runtime: Handle,
    pub(crate) timelines: Arc<Timelines>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.registry.remove(&self.swarm.info_hash, Arc::as_ptr(&self.swarm).cast());
        self.swarm.close();
        if *self.wanted.get_mut()
            && let Some(session) = self.session.upgrade()
        {
            session.keep(&self.runtime, self.swarm.clone(), self.metainfo.clone());
        }
    }
}

impl Inner {
    /// Starts to read the file's index, if its name suggests that it has one.
    pub(crate) fn learn_time(&self, file: usize) {
        if self.metainfo.files.get(file).is_some_and(|f| Container::by_name(&f.name) != Container::Other) {
            self.read_index(file);
        }
    }

    /// Does the same for a file whose name tells nothing, from the first bytes that a reader got.
    pub(crate) fn learn_time_from(&self, file: usize, head: &[u8]) {
        let unnamed = self.metainfo.files.get(file).is_some_and(|f| Container::by_name(&f.name) == Container::Other);
        if unnamed && Container::sniff(head) != Container::Other {
            self.read_index(file);
        }
    }

    fn read_index(&self, file: usize) {
        if self.swarm.timeline(file).is_some() {
            return;
        }
        // The task does not hold this media itself, which closes when its last user drops it.
        let (timelines, swarm, torrent) = (self.timelines.clone(), self.swarm.clone(), self.metainfo.clone());
        self.runtime.spawn(async move {
            if let Err(e) = timelines.get(&swarm, &torrent, file).await {
                tracing::debug!(file, error = %e, "the index was not read");
            }
        });
    }

    pub(crate) async fn locate(&self, file: usize, time: Duration) -> Result<SeekPoint> {
        let timeline = self.timelines.get(&self.swarm, &self.metainfo, file).await?;
        timeline::locate(&self.swarm, &self.metainfo, file, &timeline, time).await
    }
}

impl TorrentHandle {
    /// Creates a handle. `selected` are the files that the link selects.
    pub(crate) fn new(inner: Arc<Inner>, selected: Vec<RangeInclusive<usize>>) -> TorrentHandle {
        let metainfo = if selected == inner.metainfo.selected {
            inner.metainfo.clone()
        } else {
            let mut metainfo = Metainfo::clone(&inner.metainfo);
            metainfo.selected = selected;
            Arc::new(metainfo)
        };
        TorrentHandle { inner, metainfo }
    }

    /// Returns the metainfo.
    pub fn metainfo(&self) -> &Arc<Metainfo> {
        &self.metainfo
    }

    /// Returns the torrent's info-hash.
    pub fn info_hash(&self) -> InfoHash {
        self.inner.metainfo.info_hash
    }

    /// Returns the file to play by default, judged by names alone: the largest playable file. Where
    /// there is a film, this is never a sample, trailer or extra. [`TorrentHandle::choose_file`] also reads
    /// from files.
    ///
    /// # Errors
    /// [`Error::NothingPlayable`], [`Error::Packed`].
    pub fn default_file(&self) -> Result<usize> {
        self.metainfo.default_file()
    }

    /// Returns the file to play by default, judged by names and by first bytes where a large file's
    /// name tells nothing.
    ///
    /// The bytes are read from the swarm within ten seconds. Where no peer sent them in time, names
    /// decide.
    ///
    /// # Errors
    /// [`Error::NothingPlayable`], [`Error::Packed`].
    pub async fn choose_file(&self) -> Result<usize> {
        timeline::choose(&self.inner.swarm, &self.metainfo).await
    }

    /// Returns the file that matches a number, a path, a name, or a part of a name. Among several
    /// matches, films come before subtitles, and samples and extras come last.
    ///
    /// # Errors
    /// [`Error::NoSuchFile`] without a match, [`Error::UnclearFile`] with more than one.
    pub fn find_file(&self, wanted: &str) -> Result<usize> {
        self.inner.metainfo.find_file(wanted)
    }

    /// Opens a reader of one file, at its start. Any number of readers may be open at once.
    ///
    /// # Errors
    /// [`Error::NoSuchFile`] where there is no such file, or it is a pad file.
    pub fn stream(&self, file: usize) -> Result<Stream> {
        let entry = self.entry(file)?;
        self.inner.wanted.store(true, Ordering::Relaxed);
        Ok(Stream::new(self.inner.clone(), file, entry.offset, entry.length))
    }

    /// Returns a player of one file, for applications that know what theirs shows.
    ///
    /// # Errors
    /// [`Error::NoSuchFile`] where there is no such file, or it is a pad file.
    pub fn player(&self, file: usize) -> Result<Player> {
        self.entry(file).map(|_| Player::new(self.inner.clone(), file))
    }

    /// Returns a file that can be read.
    fn entry(&self, file: usize) -> Result<&FileEntry> {
        let files = &self.inner.metainfo.files;
        let entry = files.get(file).filter(|f| !f.padding);
        entry.ok_or_else(|| Error::NoSuchFile { wanted: file.to_string(), files: files.len() })
    }

    /// Fetches the beginning of a file before a player reads it.
    ///
    /// Returns at once. The prefetch ends with the first read of the file, and after 30 seconds at
    /// the latest.
    pub fn prefetch(&self, file: usize) {
        if let Some(entry) = self.inner.metainfo.files.get(file) {
            self.inner.learn_time(file);
            self.inner.swarm.prefetch(file, entry.offset, entry.length);
        }
    }

    /// Returns the file's timeline: duration, tracks and keyframes.
    ///
    /// The index is read from the swarm with priority over requests that can wait. A file without
    /// an index, or with a wrong one, gets an [estimate](crate::Accuracy::Estimate) that states the
    /// reason. The index is read once, and automatically when a media file is opened.
    ///
    /// Waits for as long as the swarm needs; dropping the future is harmless.
    ///
    /// # Errors
    /// [`Error::NoSuchFile`], [`Error::Closed`], [`Error::Storage`] where bytes on disk cannot be
    /// read.
    pub async fn timeline(&self, file: usize) -> Result<Arc<Timeline>> {
        let inner = &self.inner;
        inner.timelines.get(&inner.swarm, &inner.metainfo, file).await
    }

    /// Starts to read a file's index in the background and returns at once. The result is then
    /// available from [`TorrentHandle::known_timeline`].
    ///
    /// Unlike a dropped [`TorrentHandle::timeline`], the read continues until the torrent is closed. It
    /// does not keep the torrent open. A file whose name belongs to no known container is skipped.
    pub fn request_timeline(&self, file: usize) {
        self.inner.learn_time(file);
    }

    /// Returns the file's timeline if it is known by now.
    pub fn known_timeline(&self, file: usize) -> Option<Arc<Timeline>> {
        self.inner.swarm.timeline(file)
    }

    /// Returns the position to read for a presentation time: the keyframe at or before it. A time
    /// past the end counts as the end.
    ///
    /// # Errors
    /// Those of [`TorrentHandle::timeline`].
    pub async fn locate(&self, file: usize, time: Duration) -> Result<SeekPoint> {
        self.inner.locate(file, time).await
    }

    /// Like [`TorrentHandle::locate`], followed by [`TorrentHandle::prefetch_from`] the seek point.
    ///
    /// # Errors
    /// Those of [`TorrentHandle::timeline`].
    pub async fn prefetch_at(&self, file: usize, time: Duration) -> Result<SeekPoint> {
        let seek_point = self.inner.locate(file, time).await?;
        self.prefetch_from(file, seek_point);
        Ok(seek_point)
    }

    /// Prefetches from a seek point through the next keyframe, before a player seeks there.
    ///
    /// Returns at once. The prefetch ends by itself, after 30 seconds at the latest, and does not
    /// keep the torrent open. At most four run at the same time, and further calls do nothing. Nor
    /// does a call with an invalid file number, or a seek point past the end of the file.
    pub fn prefetch_from(&self, file: usize, mut seek_point: SeekPoint) {
        let Some(entry) = self.inner.metainfo.files.get(file).filter(|f| seek_point.from < f.length) else { return };
        let start = entry.offset;
        seek_point.until = seek_point.until.min(entry.length);
        // The task does not hold this media itself, which closes when its last user drops it.
        let (timelines, swarm) = (self.inner.timelines.clone(), self.inner.swarm.clone());
        self.inner.runtime.spawn(async move {
            timeline::fetch_ahead(&timelines, &swarm, file, start, seek_point).await;
        });
    }

    /// Reads the durations of all files that a player would open, one by one in their natural
    /// order. This serves a list of a season or an album.
    ///
    /// It reads only while every player has enough read-ahead, and at most 200 files. The durations
    /// known so far are available from [`TorrentHandle::known_timeline`] at any time.
    ///
    /// Ends when each file was tried, and when the torrent is closed. Dropping the future stops it.
    /// A second call waits for the first. The future does not keep the torrent open.
    pub fn learn_durations(&self) -> impl Future<Output = ()> + Send + use<> {
        let inner = &self.inner;
        season::learn(inner.timelines.clone(), inner.swarm.clone(), inner.metainfo.clone())
    }

    /// Fetches the subtitle files that accompany a film, one by one.
    ///
    /// Fetching waits until the film's player has enough read-ahead, for ten seconds at most.
    /// `here` is called with the number of each file once it is complete, immediately for complete
    /// ones. Subtitles that no connected peer has are waited for, without any effect on the player.
    ///
    /// Ends when all are complete, and when the torrent is closed. Dropping the future stops it.
    pub fn fetch_subtitles<F>(&self, film: usize, here: F) -> impl Future<Output = ()> + Send + use<F>
    where
        F: FnMut(usize) + Send,
    {
        let inner = &self.inner;
        let files = Sidecars::new(&inner.metainfo).subtitles(film).iter().map(|s| s.file).collect();
        subtitles::fetch(inner.swarm.clone(), inner.metainfo.clone(), files, here)
    }

    /// Returns whether all of a file is verified and on this machine.
    pub fn is_here(&self, file: usize) -> bool {
        subtitles::bytes_of(&self.inner.metainfo, file).is_some_and(|bytes| self.inner.swarm.is_here(bytes))
    }

    /// Returns whether every piece of a file is on this machine or held by a connected peer.
    pub fn is_available(&self, file: usize) -> bool {
        subtitles::bytes_of(&self.inner.metainfo, file).is_some_and(|bytes| self.inner.swarm.is_in_reach(bytes))
    }

    /// Counts viewers along the film with the slot index (docs/SLOTS.md). Looks up every slot that
    /// a viewer can be in now, at most 120, and returns the latest first.
    ///
    /// `progress` is called with the number of slots looked up and their total. The survey
    /// announces nothing, but costs one DHT operation per slot. Connected viewers report their
    /// position in [`crate::PeerStatus::viewer`].
    ///
    /// # Errors
    /// Those of [`TorrentHandle::timeline`]; [`Error::BadArgument`] where the slot index is off, or the
    /// file's duration is not known.
    pub async fn survey_slots(&self, file: usize, progress: impl FnMut(usize, usize) + Send) -> Result<Vec<SlotCount>> {
        let timeline = self.timeline(file).await?;
        if !timeline.knows_duration() {
            return Err(Error::BadArgument("the duration of this file is unknown; read its index first".to_owned()));
        }
        self.inner.swarm.survey(file, timeline.duration(), progress).await
    }

    /// Fetches every piece, with or without readers. Has no effect with a disk limit that is too
    /// small for the torrent.
    pub fn fetch_all(&self, on: bool) {
        if on {
            self.inner.wanted.store(true, Ordering::Relaxed);
        }
        self.inner.swarm.fetch_all(on);
    }

    /// Rechecks the existing files and accepts every correct piece: for files that another program
    /// wrote.
    ///
    /// `progress` is called with the checked bytes and the total bytes of the torrent. Returns the
    /// bytes of the correct pieces.
    ///
    /// # Errors
    /// [`Error::Storage`] where the result cannot be recorded.
    pub async fn recheck(&self, progress: impl FnMut(u64, u64) + Send) -> Result<u64> {
        self.inner.swarm.recheck(progress).await
    }

    /// Returns a snapshot of the torrent's state.
    pub fn status(&self) -> TorrentStatus {
        self.inner.swarm.status()
    }

    /// Returns a receiver of events from now on. A receiver that lags loses the oldest events.
    pub fn events(&self) -> tokio::sync::broadcast::Receiver<Event> {
        self.inner.swarm.events()
    }

    /// Returns a future that ends when the torrent is closed. It does not keep the torrent open.
    pub fn closed(&self) -> impl Future<Output = ()> + Send + use<> {
        self.inner.swarm.cancelled()
    }

    /// Connects to a peer. A host name is resolved in the background.
    pub fn add_peer(&self, peer: impl Into<PeerAddress>) {
        self.inner.swarm.add_peer(&peer.into());
    }

    /// Adds a mirror: the URL of a web server that has the torrent's only file, or of the folder that
    /// has its files (BEP 19). It is used at once, and shown in [`TorrentStatus::sources`].
    ///
    /// The user named it, so it may be in a local network. What it sends is verified like anything
    /// else. A mirror that is known already is tried again, and a web seed becomes a mirror.
    ///
    /// # Errors
    /// [`Error::BadArgument`] where it is no URL of HTTP.
    pub fn add_source(&self, url: &str) -> Result<()> {
        self.inner.swarm.add_source(mirror(url)?);
        Ok(())
    }

    /// Adds a servent of Gnutella that has the torrent's only file, as a search found it. `sha1` is the
    /// hash of the file. Addresses of local networks are not used, as a stranger named them.
    pub fn add_servent(&self, servent: SocketAddr, sha1: [u8; 20]) {
        self.inner.swarm.add_servent(servent, sha1);
    }

    /// Awaits for 20 seconds that a servent of Gnutella with this identifier connects to our port, and takes
    /// the torrent's only file from it. Send the push after this call. Returns false if none is to be
    /// sent: the servent is awaited already, or eight are.
    pub fn expect_push(&self, servent: [u8; 16], sha1: [u8; 20]) -> bool {
        self.inner.swarm.expect_push(Guid(servent), sha1)
    }

    /// Checks that the file can still be read. One that a hash names may prove wrong once all of it is
    /// here; nothing more is fetched then.
    ///
    /// # Errors
    /// [`Error::WrongFile`].
    pub fn check(&self) -> Result<()> {
        self.inner.swarm.check_right()
    }

    /// Returns whether everything is here. A file that a hash names is complete once that hash of the
    /// whole was checked.
    ///
    /// # Errors
    /// [`Error::WrongFile`].
    pub fn is_complete(&self) -> Result<bool> {
        self.check()?;
        Ok(self.inner.swarm.content().is_some_and(|content| content.store.is_complete()))
    }

    /// Waits until all verified pieces are on disk.
    ///
    /// # Errors
    /// [`Error::DiskFull`] or [`Error::Storage`] where a piece cannot be written.
    pub async fn sync(&self) -> Result<()> {
        self.inner.swarm.sync().await
    }
}
