//! What is known of the files' time: whose reader goes how fast where it is, where its player may jump, and where the player is.

use crate::status::{Playhead, TimelineStatus};
use crate::swarm::driver::{State, Swarm};
use crate::swarm::readers::{Purpose, Reader};
use playswarm_logic::ReaderKey;
use playswarm_logic::picker::Input;
use playswarm_media::Timeline;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// A rate that is another by less than this share is not worth a new plan.
const WORTH_TELLING: f64 = 0.05;

/// The files' timelines, and where the player was last.
#[derive(Default)]
pub(super) struct Times {
    files: BTreeMap<usize, FileTime>,
    /// The file, and what of it a player read last without a jump, its index apart.
    playhead: Option<(usize, Range<u64>)>,
}

struct FileTime {
    timeline: Arc<Timeline>,
    /// Where the index was read, beyond the head.
    index: Vec<Range<u64>>,
}

impl Times {
    pub(super) fn timeline(&self, file: usize) -> Option<&Arc<Timeline>> {
        self.files.get(&file).map(|f| &f.timeline)
    }

    /// Whether a player that reads there looks at the index.
    fn is_index(&self, file: usize, position: u64) -> bool {
        self.files.get(&file).is_some_and(|f| f.index.iter().any(|range| range.contains(&position)))
    }

    /// The file, and what of it a player read last without a jump.
    pub(super) fn player(&self) -> Option<(usize, Range<u64>)> {
        self.playhead.clone()
    }

    pub(super) fn statuses(&self) -> Vec<TimelineStatus> {
        self.files.iter().map(|(file, f)| TimelineStatus::new(*file, &f.timeline)).collect()
    }

    /// A player has read these bytes of a file of that length, since it began or last jumped.
    pub(super) fn was_read(&mut self, file: usize, read: Range<u64>, length: u64) {
        let tail = length.saturating_sub(length / TAIL_SHARE);
        // Whoever jumps to the index or to the very end, where indexes and tags are, and reads a little there, only looks.
        let looked_at = |byte| self.is_index(file, byte) || byte >= tail;
        let probing = looked_at(read.start)
            && looked_at(read.end.saturating_sub(1))
            && read.end.saturating_sub(read.start) < LOOK_BYTES;
        if !probing || self.playhead.is_none() {
            self.playhead = Some((file, read));
        }
    }
}

/// The last hundredth of a file is where indexes at its end lie.
const TAIL_SHARE: u64 = 100;
/// Whoever reads more than this in a row there plays it.
const LOOK_BYTES: u64 = 2 << 20;

/// So many jump points are taken from a timeline: the tenths of its time.
const TENTHS: u32 = 10;

impl Swarm {
    /// What is known of that file's time, if it is.
    pub(crate) fn timeline(&self, file: usize) -> Option<Arc<Timeline>> {
        self.state.lock().times.timeline(file).cloned()
    }

    /// The file's index has been read, in these ranges of it.
    pub(crate) fn set_timeline(&self, file: usize, timeline: Arc<Timeline>, read: Vec<Range<u64>>) {
        let mut st = self.state.lock();
        let index = read.into_iter().filter(|range| range.start > 0).collect();
        st.times.files.insert(file, FileTime { timeline, index });
        let keys: Vec<ReaderKey> = st.readers.iter().filter(|(_, r)| r.file == file).map(|(key, _)| *key).collect();
        for key in keys {
            self.tell_time(&mut st, key);
        }
        drop(st);
        self.arm();
        self.news.notify_waiters();
    }

    /// Tells the picker how fast this reader goes where it is, and where its player may jump.
    pub(super) fn tell_time(&self, st: &mut State, key: ReaderKey) {
        let Some(r) = st.readers.get(&key).copied().filter(|r| r.purpose == Purpose::Play) else { return };
        let Some(timeline) = st.times.timeline(r.file).cloned() else { return };
        if !timeline.keyframes().is_empty() {
            let places = (1..TENTHS).map(|n| {
                let at = timeline.duration() * n / TENTHS;
                r.start + timeline.keyframe_at(at).0.map_or_else(|| timeline.byte_at(at), |k| k.from)
            });
            self.pick_with(st, Input::ReaderJumps(key, places.collect()));
        }
        self.tell_rate(st, key);
    }

    /// Tells the picker how fast this reader goes where it is, if that is another rate than before.
    pub(super) fn tell_rate(&self, st: &mut State, key: ReaderKey) {
        let Some(r) = st.readers.get(&key).copied().filter(|r| r.purpose == Purpose::Play && !r.rate_given) else {
            return;
        };
        let Some(timeline) = st.times.timeline(r.file) else { return };
        let Some(rate) = timeline.bytes_per_s(timeline.time_at(r.position - r.start)) else { return };
        let told = st.picker.as_ref().and_then(|p| p.reader_rate(key));
        if told.is_none_or(|told| (told - rate).abs() > WORTH_TELLING * rate) {
            self.pick_with(st, Input::ReaderRate(key, rate));
        }
    }

    /// Where the player is, and how far it can play from there.
    pub(super) fn playhead(&self, st: &State) -> Option<Playhead> {
        let (file, Range { end: position, .. }) = st.times.player()?;
        let timeline = st.times.timeline(file);
        let content = self.content.get()?;
        let entry = content.torrent.files.get(file)?;
        let ahead = st.picker.as_ref().map_or(0, |p| {
            content.torrent.layout.bytes_here(p.have(), entry.offset + position, entry.length - position)
        });
        let seconds = |byte| timeline.map(|t| t.time_at(byte).as_secs_f64());
        Some(Playhead {
            file,
            position,
            time_s: seconds(position),
            buffered_until: position + ahead,
            buffered_until_s: seconds(position + ahead),
        })
    }

    /// Seconds of the media that lie ready ahead of a reader, where its file's time is known.
    pub(super) fn ahead_time(st: &State, r: &Reader, ahead: u64) -> Option<Duration> {
        let timeline = st.times.timeline(r.file).filter(|t| t.bytes_per_s(Duration::ZERO).is_some())?;
        let position = r.position - r.start;
        Some(timeline.time_at(position + ahead).saturating_sub(timeline.time_at(position)))
    }
}
