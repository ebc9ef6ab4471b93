//! Open readers: what they wait for, and what they get.

use crate::error::{Error, Result};
use crate::swarm::driver::Swarm;
use bytes::Bytes;
use playswarm_logic::torrent::{Input, OpenReader, Torrent};
use playswarm_logic::{PieceIndex, ReaderKey};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(crate) use playswarm_logic::torrent::Purpose;

impl Swarm {
    pub(crate) fn open_reader(&self, purpose: Purpose, file: usize, start: u64, end: u64, position: u64) -> ReaderKey {
        let key = ReaderKey(self.next_reader.fetch_add(1, Ordering::Relaxed));
        self.tell(Input::ReaderOpened(key, OpenReader { purpose, file, start, end, position }));
        key
    }

    /// The reader will not read beyond `end`.
    pub(crate) fn end_reader(&self, key: ReaderKey, end: u64) {
        self.tell(Input::ReaderEnd(key, end));
    }

    pub(crate) fn close_reader(&self, key: ReaderKey) {
        self.tell(Input::ReaderClosed(key));
    }

    pub(crate) fn seek_reader(&self, key: ReaderKey, position: u64) {
        self.tell(Input::ReaderSought(key, position));
    }

    pub(crate) fn reader_rate(&self, key: ReaderKey, bytes_per_s: f64) {
        self.tell(Input::ReaderRate(key, bytes_per_s));
    }

    /// Fetches the beginning of a file for a while, in case somebody will read it.
    pub(crate) fn prefetch(&self, file: usize, start: u64, size: u64) {
        self.open_reader(Purpose::Prefetch, file, start, start + size, start);
    }

    /// Whether every player has enough ahead of it for us to fetch what nobody waits for.
    pub(crate) fn players_are_comfortable(&self) -> bool {
        self.look(|torrent, _| torrent.players_are_comfortable())
    }

    /// Whether all of these bytes are verified and here.
    pub(crate) fn is_here(&self, bytes: Range<u64>) -> bool {
        let Some(content) = self.content() else { return bytes.is_empty() };
        content.torrent.layout.pieces_of(bytes).all(|piece| content.store.has(piece))
    }

    /// Whether each of these bytes is here or held by a connected peer.
    pub(crate) fn is_in_reach(&self, bytes: Range<u64>) -> bool {
        let Some(content) = self.content() else { return bytes.is_empty() };
        let held = |torrent: &Torrent, piece| torrent.picker().is_some_and(|picker| picker.any_peer_has(piece));
        let mut missing = content.torrent.layout.pieces_of(bytes).filter(|piece| !content.store.has(*piece));
        self.look(|torrent, _| missing.all(|piece| held(torrent, piece)))
    }

    /// Up to `max` bytes from `position` on, verified, within one piece. Waits for them.
    pub(crate) async fn read(&self, key: ReaderKey, position: u64, max: usize) -> Result<Bytes> {
        let piece = self.find(key, position).await?;
        Ok(self.hand_out(key, position, &piece, max))
    }

    /// The same if they are in memory; never waits, for the swarm or for the disk.
    pub(crate) fn try_read(&self, key: ReaderKey, position: u64, max: usize) -> Result<Option<Bytes>> {
        let Some(content) = self.content().filter(|_| !self.cancel.is_cancelled()) else {
            return Err(Error::Closed);
        };
        let piece = content.store.try_piece(content.torrent.layout.piece_at(position));
        Ok(piece.map(|piece| self.hand_out(key, position, &piece, max)))
    }

    /// What a reader gets of a piece; the next one is begun to be read from the disk where it must be.
    fn hand_out(&self, key: ReaderKey, position: u64, piece: &Bytes, max: usize) -> Bytes {
        let Some(content) = self.content() else { return Bytes::new() };
        let layout = content.torrent.layout;
        let index = layout.piece_at(position);
        let next = PieceIndex(index.0 + 1);
        if next.0 < layout.pieces() && !content.store.is_hot(next) {
            content.store.prefetch(next);
        }
        let within = (position - layout.start_of(index)) as usize;
        let bytes = piece.slice(within..piece.len().min(within.saturating_add(max)));
        self.tell(Input::ReaderRead(key, position + bytes.len() as u64));
        bytes
    }

    /// Waits until the byte at `position` is verified and in memory; gives its piece.
    pub(crate) async fn find(&self, key: ReaderKey, position: u64) -> Result<Bytes> {
        let Some(content) = self.content() else { return Err(Error::Closed) };
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
            self.tell(Input::ReaderWaits(key, position));
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
        let content = self.content()?;
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

    /// Bytes per piece, once the torrent is known.
    pub(crate) fn piece_bytes(&self) -> Option<u32> {
        self.content().map(|content| content.torrent.layout.piece_bytes())
    }

    /// Verified bytes from `position` on, without a gap.
    pub(crate) fn readable(&self, position: u64) -> u64 {
        self.readable_within(position, u64::MAX)
    }

    /// The same, looking no further than `most` bytes.
    pub(crate) fn readable_within(&self, position: u64, most: u64) -> u64 {
        self.content().map_or(0, |content| content.store.ready_within(position, most))
    }

    /// Looks through files that somebody else may have written.
    pub(crate) async fn check_files(self: &Arc<Self>, mut progress: impl FnMut(u64, u64) + Send) -> Result<u64> {
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

/// A read that waits. If it is given up, the reader waits no more.
struct Waiting<'a> {
    swarm: &'a Swarm,
    key: ReaderKey,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.swarm.tell(Input::ReaderGaveUp(self.key));
    }
}
