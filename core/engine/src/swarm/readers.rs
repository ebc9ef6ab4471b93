//! Open readers: where they are, what they wait for, what they get.

use crate::error::{Error, Result};
use crate::swarm::clock::NEAR_BYTES;
use crate::swarm::driver::{State, Swarm};
use bytes::Bytes;
use playswarm_logic::picker::Input;
use playswarm_logic::{PieceIndex, ReaderKey};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the beginning of a file is fetched in the hope that somebody will read it.
pub(super) const WARM: Duration = Duration::from_secs(30);
/// How much of it.
const WARM_BYTES: u64 = 8 << 20;

/// What a reader is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Somebody plays or copies what it reads.
    Play,
    /// We look for the file's index, or for a time in it.
    Index,
}

/// A reader as the swarm knows it; bytes from the start of the torrent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader {
    pub(super) purpose: Purpose,
    pub(super) file: usize,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) position: u64,
    /// Where it began, or was last sent: it has read from there to its position without a jump.
    pub(super) since: u64,
    pub(super) waiting: bool,
    /// Its rate was told by its caller.
    pub(super) rate_given: bool,
}

impl Reader {
    fn new(purpose: Purpose, file: usize, start: u64, end: u64, position: u64) -> Reader {
        Reader { purpose, file, start, end, position, since: position, waiting: false, rate_given: false }
    }
}

impl Swarm {
    pub(crate) fn open_reader(&self, purpose: Purpose, file: usize, start: u64, end: u64, position: u64) -> ReaderKey {
        let mut st = self.state.lock();
        let window = self.window(&st);
        let key = self.add_reader(&mut st, Reader::new(purpose, file, start, end, position), window);
        if purpose == Purpose::Play {
            // Whoever reads makes the guess needless; what it has asked for is kept if it is what is read now.
            self.cool_down(&mut st);
        }
        drop(st);
        self.arm();
        key
    }

    fn add_reader(&self, st: &mut State, reader: Reader, window: u64) -> ReaderKey {
        let key = ReaderKey(st.next_reader);
        st.next_reader += 1;
        let Reader { start, position, end, .. } = reader;
        st.readers.insert(key, reader);
        self.place_readers(st);
        self.pick_with(st, Input::ReaderOpened { reader: key, start, position, end, bytes_per_s: None, window });
        if st.disk_trouble.is_some() {
            // The others' windows shrink.
            self.set_all_limits(st);
        }
        if reader.purpose == Purpose::Index {
            self.pick_with(st, Input::ReaderJumps(key, Vec::new()));
        }
        self.tell_time(st, key);
        key
    }

    /// How far ahead of a reader may be fetched: no more than can be kept.
    fn window(&self, st: &State) -> u64 {
        if st.disk_trouble.is_some() {
            // Half of the memory, as the other half holds what was just read and what is on its way.
            return self.config.memory_limit_bytes / 2 / st.readers.len().max(1) as u64;
        }
        match self.config.storage_limit_bytes() {
            0 => u64::MAX,
            limit if st.narrow => NEAR_BYTES.min(limit / 4),
            limit => limit / 2,
        }
    }

    /// With a bound on disk use: fetches only what comes next while more would push out what was fetched before.
    pub(super) fn fit_windows(&self, st: &mut State) {
        let limit = self.config.storage_limit_bytes();
        let Some(content) = self.content.get().filter(|_| limit != 0) else { return };
        let room = content.store.disk_room_bytes();
        // Not to and fro with each piece.
        let narrow = room == 0 || (st.narrow && room < limit / 8);
        if narrow != st.narrow {
            st.narrow = narrow;
            self.set_all_limits(st);
        }
    }

    pub(super) fn set_all_limits(&self, st: &mut State) {
        let keys: Vec<ReaderKey> = st.readers.keys().copied().collect();
        keys.into_iter().for_each(|key| self.set_limits(st, key));
    }

    /// Tells the picker of a reader whose end or window is another now.
    fn set_limits(&self, st: &mut State, key: ReaderKey) {
        let warm = st.warm.is_some_and(|(warm, _)| warm == key);
        let window = if warm { self.window(st).min(WARM_BYTES) } else { self.window(st) };
        let Some(Reader { end, .. }) = st.readers.get(&key).copied() else { return };
        self.pick_with(st, Input::ReaderLimits { reader: key, end, window });
    }

    /// The reader will not read beyond `end`.
    pub(crate) fn end_reader(&self, key: ReaderKey, end: u64) {
        let mut st = self.state.lock();
        let Some(r) = st.readers.get_mut(&key) else { return };
        if r.end == end {
            return;
        }
        r.end = end;
        self.place_readers(&st);
        self.set_limits(&mut st, key);
        drop(st);
        self.arm();
    }

    pub(crate) fn close_reader(&self, key: ReaderKey) {
        let mut st = self.state.lock();
        if st.readers.remove(&key).is_some() {
            self.place_readers(&st);
            self.pick_with(&mut st, Input::ReaderClosed(key));
            if st.disk_trouble.is_some() {
                self.set_all_limits(&mut st);
            }
        }
        drop(st);
        self.arm();
    }

    pub(crate) fn seek_reader(&self, key: ReaderKey, position: u64) {
        let mut st = self.state.lock();
        if let Some(r) = st.readers.get_mut(&key) {
            r.position = position;
            r.since = position;
            r.waiting = false;
            self.place_readers(&st);
            self.pick_with(&mut st, Input::ReaderWaits(key, false));
            self.pick_with(&mut st, Input::ReaderSought(key, position));
            self.tell_rate(&mut st, key);
        }
        drop(st);
        self.arm();
    }

    pub(crate) fn reader_rate(&self, key: ReaderKey, bytes_per_s: f64) {
        let mut st = self.state.lock();
        if let Some(r) = st.readers.get_mut(&key) {
            r.rate_given = true;
        }
        self.pick_with(&mut st, Input::ReaderRate(key, bytes_per_s));
        drop(st);
        self.arm();
    }

    pub(crate) fn warm_up(&self, file: usize, start: u64, size: u64) {
        let mut st = self.state.lock();
        if st.readers.values().any(|r| r.purpose == Purpose::Play) {
            return;
        }
        let reader = Reader::new(Purpose::Play, file, start, start + size, start);
        let key = self.add_reader(&mut st, Reader { waiting: true, ..reader }, WARM_BYTES);
        self.pick_with(&mut st, Input::ReaderWaits(key, true));
        st.warm = Some((key, Instant::now()));
        drop(st);
        self.arm();
    }

    /// Whether every player has enough ahead of it for us to fetch what nobody waits for.
    pub(crate) fn players_are_comfortable(&self) -> bool {
        let Some(content) = self.content.get() else { return false };
        let st = self.state.lock();
        let Some(picker) = &st.picker else { return false };
        st.readers.iter().filter(|(_, r)| r.purpose == Purpose::Play).all(|(key, r)| {
            let warm = st.warm.is_some_and(|(warm, _)| warm == *key);
            let wanted = if warm { WARM_BYTES } else { self.config.picker.comfort_bytes_at(picker.reader_rate(*key)) };
            let ready = content.torrent.layout.bytes_here(picker.have(), r.position, u64::MAX);
            // Whoever warms up counts as waiting all the time.
            ready >= wanted.min(r.end.saturating_sub(r.position)) && (warm || !r.waiting)
        })
    }

    /// Whether all of these bytes are verified and here.
    pub(crate) fn is_here(&self, bytes: Range<u64>) -> bool {
        let Some(content) = self.content.get() else { return bytes.is_empty() };
        content.torrent.layout.pieces_of(bytes).all(|piece| content.store.has(piece))
    }

    /// Whether each of these bytes is here or held by a connected peer.
    pub(crate) fn is_in_reach(&self, bytes: Range<u64>) -> bool {
        let Some(content) = self.content.get() else { return bytes.is_empty() };
        let st = self.state.lock();
        let held = |piece| st.picker.as_ref().is_some_and(|picker| picker.any_peer_has(piece));
        content.torrent.layout.pieces_of(bytes).all(|piece| content.store.has(piece) || held(piece))
    }

    pub(super) fn cool_down(&self, st: &mut State) {
        if let Some((key, _)) = st.warm.take() {
            st.readers.remove(&key);
            self.pick_with(st, Input::ReaderClosed(key));
        }
    }

    /// Up to `max` bytes from `position` on, verified, within one piece. Waits for them.
    pub(crate) async fn read(&self, key: ReaderKey, position: u64, max: usize) -> Result<Bytes> {
        let piece = self.find(key, position).await?;
        Ok(self.hand_out(key, position, &piece, max))
    }

    /// The same if they are in memory; never waits, for the swarm or for the disk.
    pub(crate) fn try_read(&self, key: ReaderKey, position: u64, max: usize) -> Result<Option<Bytes>> {
        let Some(content) = self.content.get().filter(|_| !self.cancel.is_cancelled()) else {
            return Err(Error::Closed);
        };
        let piece = content.store.try_piece(content.torrent.layout.piece_at(position));
        Ok(piece.map(|piece| self.hand_out(key, position, &piece, max)))
    }

    /// What a reader gets of a piece; the next one is begun to be read from the disk where it must be.
    fn hand_out(&self, key: ReaderKey, position: u64, piece: &Bytes, max: usize) -> Bytes {
        let Some(content) = self.content.get() else { return Bytes::new() };
        let layout = content.torrent.layout;
        let index = layout.piece_at(position);
        let next = PieceIndex(index.0 + 1);
        if next.0 < layout.pieces() && !content.store.is_hot(next) {
            content.store.prefetch(next);
        }
        let within = (position - layout.start_of(index)) as usize;
        let bytes = piece.slice(within..piece.len().min(within.saturating_add(max)));
        self.was_read(key, position + bytes.len() as u64);
        bytes
    }

    /// Waits until the byte at `position` is verified and in memory; gives its piece.
    pub(crate) async fn find(&self, key: ReaderKey, position: u64) -> Result<Bytes> {
        let Some(content) = self.content.get() else { return Err(Error::Closed) };
        let piece = content.torrent.layout.piece_at(position);
        // Made with the first wait, so that a read that is given up does not leave its reader waiting.
        let mut given_up: Option<Waiting<'_>> = None;
        loop {
            // Registered before the look, so that nothing that comes between is missed.
            let mut news = std::pin::pin!(self.news.notified());
            news.as_mut().enable();
            if self.cancel.is_cancelled() {
                return Err(Error::Closed);
            }
            let found = match content.store.try_piece(piece) {
                Some(bytes) => Some(bytes),
                None if content.store.has(piece) => content.store.piece(piece).await?,
                None => None,
            };
            if let Some(bytes) = found {
                return Ok(bytes);
            }
            if content.store.has(piece) {
                continue;
            }
            self.waits(key, position);
            // Made once: one that is made anew with each piece would say each time that nobody waits any more.
            given_up.get_or_insert_with(|| Waiting { swarm: self, key });
            tokio::select! {
                () = &mut news => {}
                () = self.cancel.cancelled() => return Err(Error::Closed),
            }
        }
    }

    /// Up to `max` bytes from `position` on, if they are verified and in memory, for ourselves.
    pub(crate) fn peek(&self, position: u64, max: usize) -> Option<Bytes> {
        let content = self.content.get()?;
        let piece = content.torrent.layout.piece_at(position);
        let within = (position - content.torrent.layout.start_of(piece)) as usize;
        let bytes = content.store.try_piece(piece)?;
        Some(bytes.slice(within..bytes.len().min(within.saturating_add(max)))).filter(|bytes| !bytes.is_empty())
    }

    /// Ends with the next piece that comes or goes, and when the torrent is closed. It counts from when it is enabled.
    pub(crate) fn news(&self) -> tokio::sync::futures::Notified<'_> {
        self.news.notified()
    }

    /// Ends when this is closed, without keeping it.
    pub(crate) fn cancelled(&self) -> impl Future<Output = ()> + Send + use<> {
        self.cancel.clone().cancelled_owned()
    }

    /// Whether this is closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.cancel.is_cancelled()
    }

    fn waits_no_more(&self, key: ReaderKey) {
        let mut st = self.state.lock();
        if let Some(r) = st.readers.get_mut(&key).filter(|r| r.waiting) {
            r.waiting = false;
            self.pick_with(&mut st, Input::ReaderWaits(key, false));
            drop(st);
            self.arm();
        }
    }

    fn waits(&self, key: ReaderKey, position: u64) {
        let mut st = self.state.lock();
        if let Some(r) = st.readers.get_mut(&key)
            && !r.waiting
        {
            r.waiting = true;
            r.position = position;
            self.pick_with(&mut st, Input::ReaderWaits(key, true));
            drop(st);
            self.arm();
        }
    }

    fn was_read(&self, key: ReaderKey, position: u64) {
        let layout = self.content.get().map(|c| c.torrent.layout);
        let mut st = self.state.lock();
        let Some(r) = st.readers.get_mut(&key) else { return };
        let was_waiting = std::mem::replace(&mut r.waiting, false);
        let before = std::mem::replace(&mut r.position, position);
        let reader = *r;
        if was_waiting {
            self.pick_with(&mut st, Input::ReaderWaits(key, false));
        }
        self.pick_with(&mut st, Input::ReaderRead(key, position));
        if reader.purpose == Purpose::Play {
            let length = self.content.get().and_then(|c| c.torrent.files.get(reader.file)).map_or(0, |f| f.length);
            st.times.was_read(reader.file, reader.since - reader.start..position - reader.start, length);
        }
        if layout.is_some_and(|l| l.piece_at(before) != l.piece_at(position)) {
            self.place_readers(&st);
            self.tell_rate(&mut st, key);
        }
        drop(st);
        self.arm();
    }

    /// Bytes per piece, once the torrent is known.
    pub(crate) fn piece_bytes(&self) -> Option<u32> {
        self.content.get().map(|content| content.torrent.layout.piece_bytes())
    }

    /// Verified bytes from `position` on, without a gap.
    pub(crate) fn readable(&self, position: u64) -> u64 {
        self.readable_within(position, u64::MAX)
    }

    /// The same, looking no further than `most` bytes.
    pub(crate) fn readable_within(&self, position: u64, most: u64) -> u64 {
        self.content.get().map_or(0, |content| content.store.ready_within(position, most))
    }

    /// Looks through files that somebody else may have written.
    pub(crate) async fn check_files(self: &Arc<Self>, mut progress: impl FnMut(u64, u64) + Send) -> Result<u64> {
        let content = self.content.get().ok_or(Error::Closed)?;
        let layout = content.torrent.layout;
        let (mut right, mut looked) = (0, 0);
        for piece in 0..layout.pieces() {
            if self.cancel.is_cancelled() {
                return Err(Error::Closed);
            }
            let index = PieceIndex(piece);
            let known = content.store.has(index);
            let bytes = u64::from(layout.bytes_of(index));
            looked += bytes;
            if content.store.check_piece(index).await? {
                right += bytes;
                if !known {
                    let mut st = self.state.lock();
                    self.pick_with(&mut st, Input::PieceVerified(index));
                    self.announce(&mut st, piece);
                }
            }
            progress(looked, layout.total_bytes());
        }
        if right == layout.total_bytes() {
            let mut st = self.state.lock();
            self.choke_with(&mut st, playswarm_logic::choker::Input::Complete(true));
        }
        self.news.notify_waiters();
        self.arm();
        Ok(right)
    }
}

/// A read that waits. If it is given up, the reader waits no more.
struct Waiting<'a> {
    swarm: &'a Swarm,
    key: ReaderKey,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.swarm.waits_no_more(self.key);
    }
}
