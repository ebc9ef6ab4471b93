//! Players that report what they show. For other players, the slot index estimates the playhead
//! from what they read.

use super::{Purpose, Torrent};
use crate::{PlayerKey, ReaderKey, Time, picker};
use std::collections::BTreeSet;
use std::time::Duration;

/// Longest time for which a playhead moves on without a report.
const TRUSTED: Duration = Duration::from_secs(10);
/// Film by which a reader may be behind its player's playhead, in seconds. It then reads from the
/// keyframe before a seek target.
const KEYFRAME_S: f64 = 15.0;

/// A player's last report.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    file: usize,
    position_s: f64,
    playing: bool,
    at: Time,
}

/// The present state of a player that reports.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    /// Playhead, seconds into the film.
    pub(super) position_s: f64,
    pub(super) playing: bool,
    /// Film that was read and not shown yet, in seconds. 0 if no reader is near the playhead.
    pub(super) lead_s: f64,
    /// Position of the reader nearest to the playhead, in bytes of the file.
    pub(super) read_to: Option<u64>,
}

impl Shown {
    fn position_s(&self, now: Time) -> f64 {
        let passed = now.since(self.at).min(TRUSTED).as_secs_f64();
        self.position_s + if self.playing { passed } else { 0.0 }
    }
}

impl Torrent {
    pub(super) fn player_shows(&mut self, key: PlayerKey, file: usize, time: Duration, playing: bool) {
        let shown = Shown { file, position_s: time.as_secs_f64(), playing, at: self.now };
        self.players.insert(key, shown);
        self.tell_lead(file);
    }

    pub(super) fn player_closed(&mut self, key: PlayerKey) {
        if let Some(Shown { file, .. }) = self.players.remove(&key)
            && !self.tell_lead(file)
        {
            self.set_lead(file, 0.0);
        }
    }

    /// Reports the leads of players to the picker again, since they change as time passes.
    pub(super) fn tell_leads(&mut self) {
        let files: BTreeSet<usize> = self.players.values().map(|shown| shown.file).collect();
        files.into_iter().for_each(|file| _ = self.tell_lead(file));
    }

    /// Reports to the picker how much later than it is read a file's data is shown: the least of
    /// its players. Returns whether one reports.
    fn tell_lead(&mut self, file: usize) -> bool {
        let lead_s = self.told(file).map(|told| told.lead_s).reduce(f64::min);
        lead_s.into_iter().for_each(|lead_s| self.set_lead(file, lead_s));
        lead_s.is_some()
    }

    pub(super) fn set_lead(&mut self, file: usize, lead_s: f64) {
        let plays = |r: &super::Reader| r.purpose != Purpose::Index && r.file == file;
        let keys: Vec<ReaderKey> = self.readers.iter().filter(|(_, r)| plays(r)).map(|(key, _)| *key).collect();
        keys.into_iter().for_each(|key| self.pick(picker::Input::ReaderBuffer(key, lead_s)));
    }

    /// Returns the state of a file's players that report, the oldest first.
    pub(super) fn told(&self, file: usize) -> impl Iterator<Item = Told> + '_ {
        self.players.values().filter(move |shown| shown.file == file).map(|shown| self.state_of(shown))
    }

    fn state_of(&self, shown: &Shown) -> Told {
        let position_s = shown.position_s(self.now);
        let readers = self.readers.values().filter(|r| r.purpose == Purpose::Play && r.file == shown.file);
        let nearest = self.times.of(shown.file).and_then(|time| {
            let read = readers.map(|r| r.position.saturating_sub(r.start));
            let ahead = read.map(|byte| (time.time_at(byte).as_secs_f64() - position_s, byte));
            ahead.filter(|(ahead_s, _)| *ahead_s > -KEYFRAME_S).min_by(|(a, _), (b, _)| a.total_cmp(b))
        });
        let lead_s = nearest.map_or(0.0, |(ahead_s, _)| ahead_s.max(0.0));
        Told { position_s, playing: shown.playing, lead_s, read_to: nearest.map(|(_, byte)| byte) }
    }

    /// Returns the time that a file's player shows now, in seconds, if it reports it.
    pub fn shown_s(&self, now: Time, file: usize) -> Option<f64> {
        self.players.values().find(|shown| shown.file == file).map(|shown| shown.position_s(now))
    }
}
