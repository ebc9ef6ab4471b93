//! One opened torrent.

use crate::error::{Error, Result};
use crate::peer_address::PeerAddress;
use crate::season;
use crate::session::Shared;
use crate::status::{Event, MediaStatus};
use crate::stream::Stream;
use crate::subtitles;
use crate::swarm::driver::Swarm;
use crate::swarm::listen::Registry;
use crate::swarm::survey::SlotCount;
use crate::timeline::{self, Timelines};
use crate::torrent::{Beside, InfoHash, Torrent};
use playswarm_media::{Container, Landing, Timeline};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::runtime::Handle;

/// An open torrent. Cheap to clone; when the last clone and the last of its streams are gone, it is closed, or goes on in the
/// background (see [`Config::keep`](crate::Config::keep)).
#[derive(Clone)]
pub struct Media {
    pub(crate) inner: Arc<Inner>,
    /// That of `inner`, with the files that this handle's link means.
    torrent: Arc<Torrent>,
}

/// What clones and streams share. Dropping it ends the swarm, or hands it over.
pub(crate) struct Inner {
    pub(crate) swarm: Arc<Swarm>,
    pub(crate) torrent: Arc<Torrent>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) session: Weak<Shared>,
    /// Somebody read it or wanted all of it: only then is it worth keeping.
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
            session.keep(&self.runtime, self.swarm.clone(), self.torrent.clone());
        }
    }
}

impl Inner {
    /// Begins to read the file's index, if its name says that it may have one.
    pub(crate) fn learn_time(&self, file: usize) {
        if self.torrent.files.get(file).is_some_and(|f| Container::by_name(&f.name) != Container::Other) {
            self.read_index(file);
        }
    }

    /// The same for a file whose name says nothing, by its first bytes, which somebody reads.
    pub(crate) fn learn_time_from(&self, file: usize, head: &[u8]) {
        let unnamed = self.torrent.files.get(file).is_some_and(|f| Container::by_name(&f.name) == Container::Other);
        if unnamed && Container::sniff(head) != Container::Other {
            self.read_index(file);
        }
    }

    fn read_index(&self, file: usize) {
        if self.swarm.timeline(file).is_some() {
            return;
        }
        // Not this media itself, which is closed when its last user lets go of it.
        let (timelines, swarm, torrent) = (self.timelines.clone(), self.swarm.clone(), self.torrent.clone());
        self.runtime.spawn(async move {
            if let Err(e) = timelines.get(&swarm, &torrent, file).await {
                tracing::debug!(file, error = %e, "the index was not read");
            }
        });
    }

    pub(crate) async fn locate(&self, file: usize, time: Duration) -> Result<Landing> {
        let timeline = self.timelines.get(&self.swarm, &self.torrent, file).await?;
        timeline::locate(&self.swarm, &self.torrent, file, &timeline, time).await
    }
}

impl Media {
    /// `selected` are the files that the link means.
    pub(crate) fn new(inner: Arc<Inner>, selected: Vec<RangeInclusive<usize>>) -> Media {
        let torrent = if selected == inner.torrent.selected {
            inner.torrent.clone()
        } else {
            Arc::new(Torrent { selected, ..Torrent::clone(&inner.torrent) })
        };
        Media { inner, torrent }
    }

    /// What is in it.
    pub fn torrent(&self) -> &Arc<Torrent> {
        &self.torrent
    }

    /// Its info-hash.
    pub fn info_hash(&self) -> InfoHash {
        self.inner.torrent.info_hash
    }

    /// The file to play when none is named, by names alone: the largest that can be played, and no sample, trailer or extra
    /// where there is a film. [`Media::choose_file`] looks into files as well.
    ///
    /// # Errors
    /// [`Error::NothingPlayable`], [`Error::Packed`].
    pub fn default_file(&self) -> Result<usize> {
        self.torrent.default_file()
    }

    /// The file to play when none is named, by names and, where a file is large and its name tells nothing, by its first
    /// bytes. These are read from the swarm within ten seconds; of files that nobody gave, names decide.
    ///
    /// # Errors
    /// [`Error::NothingPlayable`], [`Error::Packed`].
    pub async fn choose_file(&self) -> Result<usize> {
        timeline::choose(&self.inner.swarm, &self.torrent).await
    }

    /// The file that a user means by a number, a path, a name, or a part of a name. Of several that fit, films come before
    /// subtitles, and samples and extras last.
    ///
    /// # Errors
    /// [`Error::NoSuchFile`] where there is none, [`Error::UnclearFile`] where there is more than one.
    pub fn find_file(&self, wanted: &str) -> Result<usize> {
        self.inner.torrent.find_file(wanted)
    }

    /// A reader of one file, at its start. Any number may be open at once.
    ///
    /// # Errors
    /// [`Error::NoSuchFile`] where there is no such file, or it is padding.
    pub fn stream(&self, file: usize) -> Result<Stream> {
        let files = &self.inner.torrent.files;
        let entry = files
            .get(file)
            .filter(|f| !f.padding)
            .ok_or_else(|| Error::NoSuchFile { wanted: file.to_string(), files: files.len() })?;
        self.inner.wanted.store(true, Ordering::Relaxed);
        Ok(Stream::new(self.inner.clone(), file, entry.offset, entry.length))
    }

    /// Fetches the beginning of a file before a player reads it.
    ///
    /// Returns at once. The prefetch ends with the first read of the file, and after 30 seconds at
    /// the latest.
    pub fn prefetch(&self, file: usize) {
        if let Some(entry) = self.inner.torrent.files.get(file) {
            self.inner.learn_time(file);
            self.inner.swarm.prefetch(file, entry.offset, entry.length);
        }
    }

    /// What the file says of its time: duration, tracks, keyframes. Its index is read from the swarm, ahead of everything that
    /// can wait; a file that has none, or one that lies, gets an [estimate](crate::Accuracy::Estimate) that says why. It is read
    /// once, and by itself when a media file is opened.
    ///
    /// Waits for as long as the swarm needs; dropping the future is harmless.
    ///
    /// # Errors
    /// [`Error::NoSuchFile`], [`Error::Closed`], [`Error::Storage`] where what is on disk cannot be read.
    pub async fn timeline(&self, file: usize) -> Result<Arc<Timeline>> {
        let inner = &self.inner;
        inner.timelines.get(&inner.swarm, &inner.torrent, file).await
    }

    /// Starts to read a file's index in the background and returns at once. The result is then
    /// available from [`Media::known_timeline`].
    ///
    /// Unlike a dropped [`Media::timeline`], the read continues until the torrent is closed. It does
    /// not keep the torrent open. A file whose name belongs to no known container is left alone.
    pub fn request_timeline(&self, file: usize) {
        self.inner.learn_time(file);
    }

    /// What is known of the file's time by now.
    pub fn known_timeline(&self, file: usize) -> Option<Arc<Timeline>> {
        self.inner.swarm.timeline(file)
    }

    /// Where to read for a time: at the keyframe at or before it. A time past the end is the end's.
    ///
    /// # Errors
    /// Those of [`Media::timeline`].
    pub async fn locate(&self, file: usize, time: Duration) -> Result<Landing> {
        self.inner.locate(file, time).await
    }

    /// Like [`Media::locate`], followed by [`Media::prefetch_from`] the landing.
    ///
    /// # Errors
    /// Those of [`Media::timeline`].
    pub async fn prefetch_at(&self, file: usize, time: Duration) -> Result<Landing> {
        let landing = self.inner.locate(file, time).await?;
        self.prefetch_from(file, landing);
        Ok(landing)
    }

    /// Fetches what is played from a landing on, through the next keyframe, before a player seeks
    /// there.
    ///
    /// Returns at once. The prefetch ends by itself, after 30 seconds at the latest, and does not keep
    /// the torrent open. At most four of them run at the same time, and further ones do nothing. Nor
    /// does a number that is no file's, or a landing past the end of the file.
    pub fn prefetch_from(&self, file: usize, landing: Landing) {
        let Some(entry) = self.inner.torrent.files.get(file).filter(|f| landing.from < f.length) else { return };
        let (start, landing) = (entry.offset, Landing { until: landing.until.min(entry.length), ..landing });
        // Not this media itself, which is closed when its last user lets go of it.
        let (timelines, swarm) = (self.inner.timelines.clone(), self.inner.swarm.clone());
        self.inner.runtime.spawn(async move {
            timeline::fetch_ahead(&timelines, &swarm, file, start, landing).await;
        });
    }

    /// Learns how long the files play that a player would open, in their natural order, one after the other: for a list of a
    /// season or an album. Only while every player has enough ahead of it; at most 200 files. What is known by then is
    /// to be had from [`Media::known_timeline`] at any time.
    ///
    /// Ends when each was looked at, and when the torrent is closed. Dropping the future stops it. A
    /// second one waits for the first. The future does not keep the torrent open.
    pub fn learn_durations(&self) -> impl Future<Output = ()> + Send + use<> {
        let inner = &self.inner;
        season::learn(inner.timelines.clone(), inner.swarm.clone(), inner.torrent.clone())
    }

    /// Fetches the subtitles that lie beside a film, one after the other, when its player has enough ahead of it or after ten
    /// seconds. `here` is called with the number of each as soon as all of it is on this machine, at once for those that
    /// are. Subtitles that no connected peer has are waited for, without any effect on the player.
    ///
    /// Ends when all are here, and when the torrent is closed. Dropping the future stops it.
    pub fn fetch_subtitles<F>(&self, film: usize, here: F) -> impl Future<Output = ()> + Send + use<F>
    where
        F: FnMut(usize) + Send,
    {
        let inner = &self.inner;
        let files = Beside::new(&inner.torrent).subtitles(film).iter().map(|s| s.file).collect();
        subtitles::fetch(inner.swarm.clone(), inner.torrent.clone(), files, here)
    }

    /// Whether all of a file is verified and on this machine.
    pub fn is_here(&self, file: usize) -> bool {
        subtitles::bytes_of(&self.inner.torrent, file).is_some_and(|bytes| self.inner.swarm.is_here(bytes))
    }

    /// Whether every piece of a file is on this machine or held by a connected peer.
    pub fn is_available(&self, file: usize) -> bool {
        subtitles::bytes_of(&self.inner.torrent, file).is_some_and(|bytes| self.inner.swarm.is_in_reach(bytes))
    }

    /// Who is where in the film, by the slot index (docs/SLOTS.md): looks up every slot that a viewer can be in now, at most
    /// 120, and gives the latest first. `progress` hears how many were, of how many. Tells nobody anything, but costs a DHT operation
    /// for each slot. Where viewers that are connected say they are is in their [`crate::PeerStatus::viewer`].
    ///
    /// # Errors
    /// Those of [`Media::timeline`]; [`Error::BadArgument`] where the slot index is off, or the file's length in time is not known.
    pub async fn survey_slots(&self, file: usize, progress: impl FnMut(usize, usize) + Send) -> Result<Vec<SlotCount>> {
        let timeline = self.timeline(file).await?;
        if !timeline.knows_duration() {
            return Err(Error::BadArgument("how long this file plays is not known".to_owned()));
        }
        self.inner.swarm.survey(file, timeline.duration(), progress).await
    }

    /// Fetches every piece, whether anybody reads or not; not with a limit on disk use that is too small for that.
    pub fn fetch_all(&self, on: bool) {
        if on {
            self.inner.wanted.store(true, Ordering::Relaxed);
        }
        self.inner.swarm.fetch_all(on);
    }

    /// Looks through the files that are here and takes over every piece that is right: for files that playswarm did not
    /// write itself. `progress` hears the bytes looked at and those of the whole torrent. Returns the bytes of the
    /// pieces that are right.
    ///
    /// # Errors
    /// [`Error::Storage`] where what was found cannot be recorded.
    pub async fn check_files(&self, progress: impl FnMut(u64, u64) + Send) -> Result<u64> {
        self.inner.swarm.check_files(progress).await
    }

    /// A snapshot.
    pub fn status(&self) -> MediaStatus {
        self.inner.swarm.status()
    }

    /// Events from now on. A receiver that lags loses the oldest.
    pub fn events(&self) -> tokio::sync::broadcast::Receiver<Event> {
        self.inner.swarm.events()
    }

    /// Ends when the torrent is closed. It does not keep the torrent open.
    pub fn closed(&self) -> impl Future<Output = ()> + Send + use<> {
        self.inner.swarm.cancelled()
    }

    /// Dials a peer. A host name is looked up in the background.
    pub fn add_peer(&self, peer: impl Into<PeerAddress>) {
        self.inner.swarm.add_peer(&peer.into());
    }

    /// Waits until everything verified is on disk.
    ///
    /// # Errors
    /// [`Error::DiskFull`] or [`Error::Storage`] where it cannot be written.
    pub async fn sync(&self) -> Result<()> {
        self.inner.swarm.sync().await
    }
}
