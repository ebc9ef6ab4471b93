//! The presentation time of files: the rate of a reader at its position, the likely seek targets,
//! and the playhead.

use super::{FileTime, Purpose, Torrent};
use crate::{ReaderKey, Time, buffering, picker};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Least relative change of a rate that is reported to the picker.
const WORTH_TELLING: f64 = 0.05;
/// Divisor of a file's length that gives its tail, where indexes and tags lie.
const TAIL_SHARE: u64 = 100;
/// Bytes read in a row there from which a reader counts as playing.
const LOOK_BYTES: u64 = 2 << 20;
/// Number of parts of a file's duration at whose boundaries a seek is expected: a player's number
/// keys.
const PARTS: u32 = 10;

/// The presentation times of files, and the last playhead.
#[derive(Default)]
pub(super) struct Times {
    files: BTreeMap<usize, Known>,
    /// The file that a player read last, and the range it read without a jump, except the index.
    playhead: Option<(usize, Range<u64>)>,
}

struct Known {
    time: Arc<dyn FileTime>,
    /// Bytes that contained the index, beyond the head.
    index: Vec<Range<u64>>,
    /// Bytes that playback from the beginning needs by each time.
    needs: Vec<(f64, u64)>,
}

impl Times {
    pub(super) fn of(&self, file: usize) -> Option<&Arc<dyn FileTime>> {
        self.files.get(&file).map(|known| &known.time)
    }

    /// Returns whether a player that reads there reads the index.
    fn is_index(&self, file: usize, position: u64) -> bool {
        self.files.get(&file).is_some_and(|known| known.index.iter().any(|range| range.contains(&position)))
    }

    /// Returns the file played last, and the range that a player read of it without a jump.
    pub(super) fn player(&self) -> Option<(usize, Range<u64>)> {
        self.playhead.clone()
    }

    /// Notes that a player has read these bytes of a file of this length since it began or last
    /// sought.
    pub(super) fn was_read(&mut self, file: usize, read: Range<u64>, length: u64) {
        let tail = length.saturating_sub(length / TAIL_SHARE);
        // A player that seeks to the index or to the very end and reads a little there only probes.
        let looked_at = |byte| self.is_index(file, byte) || byte >= tail;
        let probing = looked_at(read.start)
            && looked_at(read.end.saturating_sub(1))
            && read.end.saturating_sub(read.start) < LOOK_BYTES;
        if !probing || self.playhead.is_none() {
            self.playhead = Some((file, read));
        }
    }
}

impl Torrent {
    pub(super) fn time_known(&mut self, file: usize, time: Arc<dyn FileTime>, index: Vec<Range<u64>>) {
        let needs = buffering::needs_of(&*time);
        self.times.files.insert(file, Known { time, index, needs });
        let keys: Vec<ReaderKey> = self.readers.iter().filter(|(_, r)| r.file == file).map(|(key, _)| *key).collect();
        keys.into_iter().for_each(|key| self.tell_time(key));
        self.do_later(super::Output::News);
    }

    /// Reports a reader's rate at its position and its likely seek targets to the picker.
    pub(super) fn tell_time(&mut self, key: ReaderKey) {
        let Some(r) = self.readers.get(&key).copied().filter(|r| r.purpose != Purpose::Index) else { return };
        let Some(time) = self.times.of(r.file).cloned() else { return };
        let targets = (1..PARTS).map(|n| time.seek_target(time.duration() * n / PARTS));
        if let Some(targets) = targets.collect::<Option<Vec<u64>>>() {
            let targets = targets.into_iter().map(|byte| r.start + byte).collect();
            self.pick(picker::Input::ReaderSeekTargets(key, targets));
        }
        self.tell_rate(key);
    }

    /// Reports a reader's rate at its position to the picker, if it changed.
    pub(super) fn tell_rate(&mut self, key: ReaderKey) {
        let plays = |r: &super::Reader| r.purpose != Purpose::Index && !r.rate_given;
        let Some(r) = self.readers.get(&key).copied().filter(plays) else { return };
        let Some(time) = self.times.of(r.file) else { return };
        let Some(rate) = time.bytes_per_s(time.time_at(r.position - r.start)) else { return };
        let told = self.picker().and_then(|picker| picker.reader_rate(key));
        if told.is_none_or(|told| (told - rate).abs() > WORTH_TELLING * rate) {
            self.pick(picker::Input::ReaderRate(key, rate));
        }
    }

    /// Returns the file played last, and the byte up to which the player has read it.
    pub fn playhead(&self) -> Option<(usize, u64)> {
        self.times.player().map(|(file, read)| (file, read.end))
    }

    /// Returns the duration of the bytes from `position` of a file on, if its presentation time is
    /// known.
    pub fn time_of(&self, file: usize, position: u64, bytes: u64) -> Option<Duration> {
        let time = self.times.of(file).filter(|time| time.bytes_per_s(Duration::ZERO).is_some())?;
        Some(time.time_at(position + bytes).saturating_sub(time.time_at(position)))
    }

    /// Returns the wait before playback of a file from its beginning with which no byte is late, in
    /// seconds, at the rate at which data has arrived. `None` until that rate and the file's times are
    /// known.
    pub fn initial_buffering_s(&self, now: Time, file: usize) -> Option<f64> {
        let needs = &self.times.files.get(&file).filter(|known| !known.needs.is_empty())?.needs;
        let arrival = self.picker()?.arrival_bytes_per_s(now)?;
        buffering::initial_buffering_s(needs.iter().copied(), arrival)
    }
}
