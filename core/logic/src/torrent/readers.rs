//! Open readers: their positions, the bytes that block them, and their read-ahead.

use super::{OpenReader, Output, Purpose, Torrent};
use crate::{PieceIndex, ReaderKey, Time, evict, picker};
use std::time::Duration;

/// Longest duration of a prefetch.
const PREFETCH: Duration = Duration::from_secs(30);
/// Bytes that a prefetch covers.
const PREFETCH_BYTES: u64 = 8 << 20;
/// Bytes ahead of a reader that are never evicted.
const NEAR_BYTES: u64 = 16 << 20;

/// An open reader. Bytes count from the start of the torrent.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    /// Purpose of the reader.
    pub purpose: Purpose,
    /// Number of the file in the torrent.
    pub file: usize,
    /// First byte of the file.
    pub start: u64,
    /// End of the range to read, exclusive.
    pub end: u64,
    /// Next byte to read.
    pub position: u64,
    /// Whether the reader is blocked on that byte.
    pub waiting: bool,
    /// Byte at which the reader began or last sought. It has read from there to its position
    /// without a jump.
    pub(super) since: u64,
    /// Whether the caller gave the reader's rate.
    pub(super) rate_given: bool,
    opened: Time,
}

impl Torrent {
    /// Returns the open readers.
    pub fn readers(&self) -> impl Iterator<Item = (ReaderKey, &Reader)> {
        self.readers.iter().map(|(key, reader)| (*key, reader))
    }

    pub(super) fn open_reader(&mut self, key: ReaderKey, open: OpenReader) {
        if open.purpose == Purpose::Prefetch && self.readers.values().any(|r| r.purpose == Purpose::Play) {
            return;
        }
        let OpenReader { purpose, file, start, end, position } = open;
        let waiting = purpose == Purpose::Prefetch;
        let opened = self.now;
        let reader =
            Reader { purpose, file, start, end, position, waiting, since: position, rate_given: false, opened };
        let window = self.window(&reader);
        self.readers.insert(key, reader);
        self.readers_moved();
        self.pick(picker::Input::ReaderOpened { reader: key, start, position, end, bytes_per_s: None, window });
        if self.disk_trouble {
            // The windows of the other readers shrink.
            self.set_all_limits();
        }
        match purpose {
            Purpose::Index => self.pick(picker::Input::ReaderSeekTargets(key, Vec::new())),
            Purpose::Prefetch => self.pick(picker::Input::ReaderBlocked(key, true)),
            Purpose::Play => {}
        }
        self.tell_time(key);
        if purpose != Purpose::Index {
            // Other prefetches are no longer needed. Their outstanding requests remain if the new
            // reader reads the same pieces.
            self.end_prefetch(|other, _| other != key);
        }
    }

    /// Ends the prefetches for which `ends` returns true.
    fn end_prefetch(&mut self, ends: impl Fn(ReaderKey, &Reader) -> bool) {
        let prefetch = |(key, r): &(&ReaderKey, &Reader)| r.purpose == Purpose::Prefetch && ends(**key, r);
        let ended: Vec<ReaderKey> = self.readers.iter().filter(prefetch).map(|(key, _)| *key).collect();
        ended.into_iter().for_each(|key| self.close_reader(key));
    }

    /// Ends prefetches whose time is over.
    pub(super) fn end_old_prefetch(&mut self) {
        let now = self.now;
        self.end_prefetch(|_, r| now.since(r.opened) > PREFETCH);
    }

    /// Returns the read-ahead of a reader, bytes: no more than can be stored.
    fn window(&self, reader: &Reader) -> u64 {
        let window = match self.config.storage_limit_bytes {
            // Half of the memory: the other half holds pieces just read and blocks in flight.
            _ if self.disk_trouble => self.config.memory_limit_bytes / 2 / self.readers.len().max(1) as u64,
            0 => u64::MAX,
            limit if self.narrow => NEAR_BYTES.min(limit / 4),
            limit => limit / 2,
        };
        if reader.purpose == Purpose::Prefetch { window.min(PREFETCH_BYTES) } else { window }
    }

    /// Adjusts the windows to the storage limit. Only the next pieces are fetched while further
    /// ones would evict pieces fetched before.
    pub(super) fn fit_windows(&mut self, disk_room_bytes: u64) {
        let limit = self.config.storage_limit_bytes;
        if limit == 0 || self.ready().is_none() {
            return;
        }
        // Hysteresis, so that the state does not change with each piece.
        let narrow = disk_room_bytes == 0 || (self.narrow && disk_room_bytes < limit / 8);
        if narrow != self.narrow {
            self.narrow = narrow;
            self.set_all_limits();
        }
    }

    pub(super) fn set_all_limits(&mut self) {
        for key in self.readers.keys().copied().collect::<Vec<_>>() {
            self.set_limits(key);
        }
    }

    /// Reports a changed end or window of a reader to the picker.
    fn set_limits(&mut self, key: ReaderKey) {
        let Some(reader) = self.readers.get(&key) else { return };
        let (end, window) = (reader.end, self.window(reader));
        self.pick(picker::Input::ReaderLimits { reader: key, end, window });
    }

    pub(super) fn end_reader(&mut self, key: ReaderKey, end: u64) {
        let Some(reader) = self.readers.get_mut(&key).filter(|reader| reader.end != end) else { return };
        reader.end = end;
        self.readers_moved();
        self.set_limits(key);
    }

    pub(super) fn close_reader(&mut self, key: ReaderKey) {
        if self.readers.remove(&key).is_none() {
            return;
        }
        self.readers_moved();
        self.pick(picker::Input::ReaderClosed(key));
        if self.disk_trouble {
            self.set_all_limits();
        }
    }

    pub(super) fn seek_reader(&mut self, key: ReaderKey, position: u64) {
        let Some(reader) = self.readers.get_mut(&key) else { return };
        (reader.position, reader.since, reader.waiting) = (position, position, false);
        self.readers_moved();
        self.pick(picker::Input::ReaderBlocked(key, false));
        self.pick(picker::Input::ReaderSought(key, position));
        self.tell_rate(key);
    }

    pub(super) fn set_reader_rate(&mut self, key: ReaderKey, bytes_per_s: f64) {
        if let Some(reader) = self.readers.get_mut(&key) {
            reader.rate_given = true;
        }
        self.pick(picker::Input::ReaderRate(key, bytes_per_s));
    }

    pub(super) fn reader_waits(&mut self, key: ReaderKey, position: u64) {
        let Some(reader) = self.readers.get_mut(&key).filter(|reader| !reader.waiting) else { return };
        (reader.waiting, reader.position) = (true, position);
        self.pick(picker::Input::ReaderBlocked(key, true));
    }

    pub(super) fn reader_gave_up(&mut self, key: ReaderKey) {
        let Some(reader) = self.readers.get_mut(&key).filter(|reader| reader.waiting) else { return };
        reader.waiting = false;
        self.pick(picker::Input::ReaderBlocked(key, false));
    }

    pub(super) fn reader_read(&mut self, key: ReaderKey, position: u64) {
        let Some(reader) = self.readers.get_mut(&key) else { return };
        let was_waiting = std::mem::replace(&mut reader.waiting, false);
        let before = std::mem::replace(&mut reader.position, position);
        let reader = *reader;
        if was_waiting {
            self.pick(picker::Input::ReaderBlocked(key, false));
        }
        self.pick(picker::Input::ReaderRead(key, position));
        let Some(ready) = self.ready() else { return };
        let layout = ready.content.layout;
        if reader.purpose == Purpose::Play {
            let length = ready.content.files.get(reader.file).map_or(0, |bytes| bytes.end - bytes.start);
            self.times.was_read(reader.file, reader.since - reader.start..position - reader.start, length);
        }
        if layout.piece_at(before) != layout.piece_at(position) {
            self.readers_moved();
            self.tell_rate(key);
        }
    }

    /// Reports the readers' positions to the store, which evicts by them.
    pub(super) fn readers_moved(&mut self) {
        self.do_later(Output::ReadersMoved);
    }

    /// Returns where the readers are; none before the torrent is known.
    pub fn reader_places(&self) -> impl Iterator<Item = evict::Reader> + '_ {
        let layout = self.ready().map(|ready| ready.content.layout);
        layout.into_iter().flat_map(|layout| {
            let near = (NEAR_BYTES / u64::from(layout.piece_bytes())).clamp(2, 1 << 20) as u32;
            self.readers.values().map(move |r| evict::Reader {
                first: layout.piece_at(r.start),
                at: layout.piece_at(r.position),
                near,
                end: PieceIndex(layout.piece_at(r.end.saturating_sub(1)).0 + 1),
            })
        })
    }

    /// Returns whether every player has enough read-ahead, so that data no player waits for may be
    /// fetched.
    pub fn read_ahead_is_full(&self) -> bool {
        let Some(ready) = self.ready() else { return false };
        self.readers.iter().filter(|(_, r)| r.purpose != Purpose::Index).all(|(key, r)| {
            let prefetch = r.purpose == Purpose::Prefetch;
            let rate = ready.picker.reader_rate(*key);
            let wanted = if prefetch { PREFETCH_BYTES } else { self.config.picker.read_ahead_bytes_at(rate) };
            let here = ready.content.layout.bytes_here(ready.picker.have(), r.position, wanted);
            // A prefetching reader always counts as waiting.
            here >= wanted.min(r.end.saturating_sub(r.position)) && (prefetch || !r.waiting)
        })
    }

    /// Returns how many peers have the piece on which a reader is blocked while no connected peer
    /// sends it, and how many peers are connected. A player's reader counts before one that reads
    /// an index.
    pub(super) fn starved(&self) -> Option<(usize, usize)> {
        let ready = self.ready()?;
        let waiting = self.readers.values().filter(|r| r.waiting);
        let reader = waiting.min_by_key(|r| r.purpose == Purpose::Index)?;
        let piece = ready.content.layout.piece_at(reader.position);
        let (with, serving) =
            if ready.picker.have().get(piece.0) { return None } else { ready.picker.piece_holders(piece) };
        (serving == 0).then_some((self.peers.len(), with))
    }

    /// Returns since when a reader has been blocked on data that no connected peer sends, how many
    /// peers are connected, and how many of them have it.
    pub fn starving(&self) -> Option<(Time, usize, usize)> {
        let since = self.starved_since?;
        self.starved().map(|(all, with)| (since, all, with))
    }
}
