//! Open readers: their waiting and their data.

use crate::error::{Error, Result};
use crate::swarm::driver::Swarm;
use bytes::Bytes;
use playswarm_logic::torrent::{Input, OpenReader, Torrent};
use playswarm_logic::{PieceIndex, PlayerKey, ReaderKey};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

pub(crate) use playswarm_logic::torrent::Purpose;

impl Swarm {
    pub(crate) fn open_reader(&self, purpose: Purpose, file: usize, start: u64, end: u64, position: u64) -> ReaderKey {
        let key = ReaderKey(self.next_reader.fetch_add(1, Ordering::Relaxed));
        self.tell(Input::ReaderOpened(key, OpenReader { purpose, file, start, end, position }));
        key
    }

    /// Returns the number of a player that reports what it shows.
    pub(crate) fn open_player(&self) -> PlayerKey {
        PlayerKey(self.next_reader.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn player_shows(&self, player: PlayerKey, file: usize, time: Duration, playing: bool) {
        self.tell(Input::PlayerShows { player, file, time, playing });
    }

    pub(crate) fn close_player(&self, player: PlayerKey) {
        self.tell(Input::PlayerClosed(player));
    }

    /// Prefetches the beginning of a file for a while, in case a player opens it.
    pub(crate) fn prefetch(&self, file: usize, start: u64, size: u64) {
        self.open_reader(Purpose::Prefetch, file, start, start + size, start);
    }

    /// Returns whether every player has enough read-ahead, so that data no player waits for may be
    /// fetched.
    pub(crate) fn read_ahead_is_full(&self) -> bool {
        self.look(|torrent, _| torrent.read_ahead_is_full())
    }

    /// Returns whether all of these bytes are verified and stored.
    pub(crate) fn is_here(&self, bytes: Range<u64>) -> bool {
        let Some(content) = self.content() else { return bytes.is_empty() };
        content.torrent.layout.pieces_of(bytes).all(|piece| content.store.has(piece))
    }

    /// Returns whether each of these bytes is stored or held by a connected peer.
    pub(crate) fn is_in_reach(&self, bytes: Range<u64>) -> bool {
        let Some(content) = self.content() else { return bytes.is_empty() };
        let held = |torrent: &Torrent, piece| torrent.picker().is_some_and(|picker| picker.any_peer_has(piece));
        let mut missing = content.torrent.layout.pieces_of(bytes).filter(|piece| !content.store.has(*piece));
        self.look(|torrent, _| missing.all(|piece| held(torrent, piece)))
    }

    /// Returns up to `max` verified bytes from `position` on, within one piece. Waits for them.
    pub(crate) async fn read(&self, key: ReaderKey, position: u64, max: usize) -> Result<Bytes> {
        let piece = self.find(key, position).await?;
        Ok(self.hand_out(key, position, &piece, max))
    }

    /// Returns the same bytes if they are in memory. Never waits for the swarm or the disk.
    pub(crate) fn try_read(&self, key: ReaderKey, position: u64, max: usize) -> Result<Option<Bytes>> {
        let Some(content) = self.content().filter(|_| !self.cancel.is_cancelled()) else {
            return Err(Error::Closed);
        };
        self.check_right()?;
        let piece = content.store.try_piece(content.torrent.layout.piece_at(position));
        Ok(piece.map(|piece| self.hand_out(key, position, &piece, max)))
    }

    /// Returns a reader's bytes of a piece. Starts to read the next piece from disk if necessary.
    fn hand_out(&self, key: ReaderKey, position: u64, piece: &Bytes, max: usize) -> Bytes {
        let Some(content) = self.content() else { return Bytes::new() };
        let layout = content.torrent.layout;
        let index = layout.piece_at(position);
        let next = PieceIndex(index.0 + 1);
        if next.0 < layout.pieces() && !content.store.is_cached(next) {
            content.store.prefetch(next);
        }
        let within = (position - layout.start_of(index)) as usize;
        let bytes = piece.slice(within..piece.len().min(within.saturating_add(max)));
        self.tell(Input::ReaderRead(key, position + bytes.len() as u64));
        bytes
    }

    /// Waits until the byte at `position` is verified and in memory, and returns its piece.
    pub(crate) async fn find(&self, key: ReaderKey, position: u64) -> Result<Bytes> {
        let Some(content) = self.content() else { return Err(Error::Closed) };
        let piece = content.torrent.layout.piece_at(position);
        // Created with the first wait, so that a cancelled read does not leave its reader waiting.
        let mut given_up: Option<Waiting<'_>> = None;
        loop {
            // Registered before the check, so that no change in between is missed.
            let mut news = std::pin::pin!(self.news.notified());
            news.as_mut().enable();
            if self.cancel.is_cancelled() {
                return Err(Error::Closed);
            }
            self.check_right()?;
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
            self.tell(Input::ReaderBlocked(key, position));
            // Created once: a guard created anew for each piece would each time report that the
            // reader no longer waits.
            given_up.get_or_insert_with(|| Waiting { swarm: self, key });
            tokio::select! {
                () = &mut news => {}
                () = self.cancel.cancelled() => return Err(Error::Closed),
            }
        }
    }

    /// Returns up to `max` bytes from `position` on for internal use, if they are verified and in
    /// memory.
    pub(crate) fn peek(&self, position: u64, max: usize) -> Option<Bytes> {
        let content = self.content()?;
        let piece = content.torrent.layout.piece_at(position);
        let within = (position - content.torrent.layout.start_of(piece)) as usize;
        let bytes = content.store.try_piece(piece)?;
        Some(bytes.slice(within..bytes.len().min(within.saturating_add(max)))).filter(|bytes| !bytes.is_empty())
    }

    /// Returns a future that ends when the next piece is completed or lost, and when the torrent is
    /// closed. It counts from when it is enabled.
    pub(crate) fn news(&self) -> tokio::sync::futures::Notified<'_> {
        self.news.notified()
    }

    /// Returns a future that ends when this is closed. It keeps no reference to this.
    pub(crate) fn cancelled(&self) -> impl Future<Output = ()> + Send + use<> {
        self.cancel.clone().cancelled_owned()
    }

    /// Returns whether this is closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Returns the length of a piece in bytes, once the torrent is known.
    pub(crate) fn piece_bytes(&self) -> Option<u32> {
        self.content().map(|content| content.torrent.layout.piece_bytes())
    }

    /// Returns the number of contiguous verified bytes from `position` on.
    pub(crate) fn readable(&self, position: u64) -> u64 {
        self.readable_within(position, u64::MAX)
    }

    /// Returns the same number, checking no more than `most` bytes.
    pub(crate) fn readable_within(&self, position: u64, most: u64) -> u64 {
        self.content().map_or(0, |content| content.store.ready_within(position, most))
    }

    /// Rechecks files that another program may have written.
    pub(crate) async fn recheck(self: &Arc<Self>, mut progress: impl FnMut(u64, u64) + Send) -> Result<u64> {
        let content = self.content().ok_or(Error::Closed)?;
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
                    self.tell(Input::Rechecked(index));
                }
            }
            progress(looked, layout.total_bytes());
        }
        if right == layout.total_bytes() {
            self.tell(Input::RecheckedAll);
        }
        self.news.notify_waiters();
        Ok(right)
    }
}

/// A reader of a range of a file that no player reads, closed when it is dropped.
pub(crate) struct RangeReader<'a> {
    swarm: &'a Swarm,
    key: ReaderKey,
    /// Offset of the file in the torrent.
    start: u64,
    /// Position in the file.
    pub(crate) at: u64,
    end: u64,
}

impl RangeReader<'_> {
    /// Opens a reader of `range` of the file that begins at the torrent's byte `start`.
    pub(crate) fn open(swarm: &Swarm, file: usize, start: u64, range: Range<u64>) -> RangeReader<'_> {
        let key = swarm.open_reader(Purpose::Index, file, start, start + range.end, start + range.start);
        RangeReader { swarm, key, start, at: range.start, end: range.end }
    }

    /// Changes the end of the range.
    pub(crate) fn end_at(&mut self, end: u64) {
        if self.end != end {
            self.end = end;
            self.swarm.tell(Input::ReaderEnd(self.key, self.start + end));
        }
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at >= self.end
    }

    /// Waits for the next bytes, at most `most`. The position stays.
    pub(crate) async fn read(&self, most: u64) -> Result<Bytes> {
        let max = usize::try_from(most.min(self.end - self.at)).unwrap_or(usize::MAX);
        let bytes = self.swarm.read(self.key, self.start + self.at, max).await?;
        if bytes.is_empty() { Err(Error::Closed) } else { Ok(bytes) }
    }

    /// Reads the rest of the range in parts of at most `most` bytes.
    pub(crate) async fn read_to_end(&mut self, most: u64, mut take: impl FnMut(&[u8])) -> Result<()> {
        while !self.is_at_end() {
            let part = self.read(most).await?;
            self.at += part.len() as u64;
            take(&part);
        }
        Ok(())
    }
}

impl Drop for RangeReader<'_> {
    fn drop(&mut self) {
        self.swarm.tell(Input::ReaderClosed(self.key));
    }
}

/// A waiting read. If it is cancelled, the reader no longer waits.
struct Waiting<'a> {
    swarm: &'a Swarm,
    key: ReaderKey,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.swarm.tell(Input::ReaderGaveUp(self.key));
    }
}
